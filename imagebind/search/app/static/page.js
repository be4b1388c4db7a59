// The page: its tabs and forms, and the cards of hits.
import { connectDetection } from "./detect.js";
import { connectMap } from "./map.js";
import { connectRecorder } from "./recorder.js";
import { notice, post, request, show } from "./requests.js";
import { UploadList } from "./uploads.js";

const MAX_UPLOADS = 6; // in one query
const byId = (id) => document.getElementById(id);
const tabs = [...document.querySelectorAll("[role=tab]")];
const form = byId("query");
const hits = byId("hits");
const uploads = new UploadList(byId("uploads"), byId("notices"), { limit: MAX_UPLOADS, weighted: true });
const labelled = new UploadList(byId("label-upload"), byId("label-notices"), { limit: 1, weighted: false });
let search = null; // aborts the running search

function filters() {
  const values = new FormData(form);
  const [path, first, last] = ["path", "first", "last"].map((name) => values.get(name));
  return { kinds: values.getAll("kinds"), path, first, last, top: Number(values.get("top")) };
}

function query() {
  const texts = [...form.querySelectorAll("[data-text]")].map((term) => [
    term.querySelector("textarea").value,
    term.querySelector("input").valueAsNumber,
  ]);
  return { texts, uploads: uploads.chosen().map(({ upload, kind, weight }) => [upload, kind, weight]) };
}

// Show the hits of a request instead of those of an earlier one.
async function showHits(path, value) {
  search?.abort();
  search = new AbortController();
  if (await show(hits, post(path, value, { signal: search.signal }))) scrollTo(hits);
}

// Scroll to results if they are outside the viewport: on a phone, or if the query's column is long.
function scrollTo(results) {
  const { top } = results.getBoundingClientRect();
  if (top < 0 || top >= window.innerHeight / 2) results.scrollIntoView({ behavior: "smooth", block: "start" });
}

function selectTab(selected) {
  for (const tab of tabs) {
    const isSelected = tab === selected;
    tab.setAttribute("aria-selected", isSelected);
    tab.tabIndex = isSelected ? 0 : -1;
    byId(tab.getAttribute("aria-controls")).hidden = !isSelected;
  }
  if (selected.id !== "map-tab") return;
  byId("item").replaceChildren();
  show(byId("map"), request("map").then((answer) => answer.text()));
}

for (const [number, tab] of tabs.entries()) {
  tab.addEventListener("click", () => selectTab(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const next = tabs[(number + step + tabs.length) % tabs.length];
    next.focus();
    selectTab(next);
  });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  showHits("search", { query: query(), filters: filters() });
});
form.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.target.tagName !== "TEXTAREA") return;
  event.preventDefault();
  form.requestSubmit();
});

byId("label-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [{ upload, kind } = { upload: null, kind: null }] = labelled.chosen();
  const labels = byId("label-form").querySelector("textarea").value;
  if (await show(byId("label-bars"), post("label", { upload, kind, labels }))) scrollTo(byId("label-bars"));
});

const detection = connectDetection(byId("detect-form"), byId("detected"), scrollTo);
const drops = {
  drop: uploads,
  "label-drop": labelled,
  "detect-drop": detection.image,
  "detect-files-drop": detection.files,
};
for (const [id, list] of Object.entries(drops)) {
  byId(id).querySelector("input").addEventListener("change", (event) => {
    const files = [...event.target.files];
    event.target.value = ""; // so that the same file can be chosen again
    list.add(files);
  });
}
// A file that is dropped beside a field for files would replace the page.
for (const type of ["dragover", "drop"]) {
  document.addEventListener(type, (event) => event.target.type === "file" || event.preventDefault());
}

// The browser shows the error of an invalid field only if its section is open.
document.addEventListener(
  "invalid",
  (event) => {
    const section = event.target.closest("details");
    if (section) section.open = true;
  },
  true,
);
document.addEventListener("input", (event) => {
  if (event.target.type === "range") event.target.nextElementSibling.value = event.target.value;
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-like]");
  if (!button) return;
  selectTab(byId("search-tab"));
  if (!form.reportValidity()) return;
  showHits(`like/${encodeURIComponent(button.dataset.like)}`, filters());
});
// When a player starts, pause all others.
document.addEventListener(
  "play",
  (event) => {
    for (const player of document.querySelectorAll("#hits audio, #hits video, #item audio, #item video")) {
      if (player !== event.target) player.pause();
    }
  },
  true,
);

connectRecorder(
  byId("record"),
  (files) => uploads.add(files),
  (error) => byId("record-notices").replaceChildren(notice(error.message)),
);
connectMap(byId("map"), (id) => {
  show(byId("item"), request(`item/${encodeURIComponent(id)}`).then((answer) => answer.text()));
});
