// Handles events of the cards that the element shows. Gradio provides `element`, `trigger` and `watch`.
// The button "More like this":
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-like]");
  if (button) trigger("select", { id: button.dataset.like });
});
// When a player starts, pause all others.
element.addEventListener(
  "play",
  (event) => {
    for (const player of document.querySelectorAll("audio, video")) if (player !== event.target) player.pause();
  },
  true,
);
// Scroll to new hits if they are outside the viewport: on a phone, or if the query's column is long.
// Do not scroll to the initial notice or to the item beside the map.
watch("value", () => {
  const ignored = element.querySelector(".welcome") || element.closest("#item");
  const { top } = element.getBoundingClientRect();
  const visible = top >= 0 && top < window.innerHeight / 2;
  if (!ignored && !visible) element.scrollIntoView({ behavior: "smooth", block: "start" });
});
