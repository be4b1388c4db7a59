// Cards, whatever cards there are at the time. Gradio hands over `element`, `trigger` and `watch`.
// "More like this":
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-like]");
  if (button) trigger("select", { id: button.dataset.like });
});
// One at a time: what plays stops when another starts.
element.addEventListener(
  "play",
  (event) => {
    for (const player of document.querySelectorAll("audio, video")) if (player !== event.target) player.pause();
  },
  true,
);
// What was found is brought to sight where it is above or below what can be seen: on a phone, and where
// the query's side is long. What the page says when it opens, and the item below the map, are not.
watch("value", () => {
  const stays = element.querySelector(".welcome") || element.closest("#item");
  const { top } = element.getBoundingClientRect();
  const seen = top >= 0 && top < window.innerHeight / 2;
  if (!stays && !seen) element.scrollIntoView({ behavior: "smooth", block: "start" });
});
