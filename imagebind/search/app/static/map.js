// The points of the map: the pointer and arrow keys highlight a point, a click or Enter selects it.
const POINTER_REACH = 28; // largest distance in pixels between the pointer and a highlighted point
const TIP_DISTANCE = 14; // pixels between a point and its tip
const MAX_TIP_HEIGHT = 190; // in pixels: the tip stays inside the map

// Connect the map in `element`, which may be loaded later; `select` receives the id of a point's item.
export function connectMap(element, select) {
  let active = null;

  const svg = () => element.querySelector(".map-points");
  const points = () => [...element.querySelectorAll("circle")].filter((point) => !point.hasAttribute("hidden"));

  function nearest(x, y) {
    let best = null;
    let least = POINTER_REACH;
    for (const point of points()) {
      const [px, py] = center(point);
      const distance = Math.hypot(px - x, py - y);
      if (distance < least) [best, least] = [point, distance];
    }
    return best;
  }

  // Return the next point in the direction of an arrow key; sideways distance counts twice.
  function next(from, dx, dy) {
    const [x, y] = center(from);
    let best = null;
    let least = Infinity;
    for (const point of points()) {
      const [px, py] = center(point);
      const along = (px - x) * dx + (py - y) * dy;
      const aside = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
      if (along > 0.5 && along + 2 * aside < least) [best, least] = [point, along + 2 * aside];
    }
    return best;
  }

  function show(point) {
    const tip = element.querySelector(".map-tip");
    if (active) active.classList.remove("active");
    active = point;
    tip.hidden = !point;
    svg().removeAttribute("aria-activedescendant");
    if (!point) return;
    point.classList.add("active");
    svg().setAttribute("aria-activedescendant", point.id);
    tip.textContent = point.getAttribute("aria-label");
    if ("thumbnail" in point.dataset) {
      const thumbnail = document.createElement("img");
      thumbnail.src = `thumbnail/${point.dataset.id}`;
      thumbnail.alt = "";
      tip.prepend(thumbnail);
    }
    const frame = element.querySelector(".map").getBoundingClientRect();
    const [x, y] = center(point);
    const right = x - frame.left > frame.width / 2;
    tip.style.left = right ? "auto" : `${x - frame.left + TIP_DISTANCE}px`;
    tip.style.right = right ? `${frame.right - x + TIP_DISTANCE}px` : "auto";
    tip.style.top = `${Math.min(y - frame.top, Math.max(frame.height - MAX_TIP_HEIGHT, 0))}px`;
  }

  function choose(point) {
    if (!point) return;
    element.querySelectorAll(".chosen").forEach((other) => other.classList.remove("chosen"));
    point.classList.add("chosen");
    point.parentNode.append(point); // draw it above the others
    show(point);
    select(point.dataset.id);
  }

  element.addEventListener("pointermove", (event) => {
    if (event.pointerType === "mouse" && event.target.closest(".map")) show(nearest(event.clientX, event.clientY));
  });
  element.addEventListener("pointerleave", () => svg() && show(null));
  element.addEventListener("click", (event) => {
    const entry = event.target.closest("[data-legend]");
    if (entry) {
      const shown = entry.getAttribute("aria-pressed") !== "true";
      entry.setAttribute("aria-pressed", shown);
      element.querySelectorAll(`circle[data-kind="${entry.dataset.legend}"]`).forEach((point) => point.toggleAttribute("hidden", !shown));
      show(null);
    } else if (event.target.closest(".map")) {
      choose(nearest(event.clientX, event.clientY));
    }
  });
  element.addEventListener("keydown", (event) => {
    if (!event.target.closest(".map-points")) return;
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const direction = directions[event.key];
    if (direction) show((active && next(active, ...direction)) || active || points()[0] || null);
    else if (event.key === "Enter" || event.key === " ") choose(active);
    else if (event.key === "Escape") show(null);
    else return;
    event.preventDefault();
  });
}

function center(point) {
  const box = point.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
}
