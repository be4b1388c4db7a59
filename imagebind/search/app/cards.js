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
// On a phone what was found is below what was asked, and has to be brought to sight. What the page says when
// it opens, and the item below the map, are not.
watch("value", () => {
  const stays = element.querySelector(".welcome") || element.closest("#item");
  if (!stays && window.innerWidth < 700) element.scrollIntoView({ behavior: "smooth", block: "start" });
});
