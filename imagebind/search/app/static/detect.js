// The detections in an image: the page keeps the image and sends it with the queries.
import { notice, request, show } from "./requests.js";
import { checkSize, UploadList } from "./uploads.js";

const MAX_FILES = 6; // queries in one request

// Connect the form; `scrollTo` is called with the element of new results.
export function connectDetection(form, results, scrollTo) {
  const byId = (id) => document.getElementById(id);
  const files = new UploadList(byId("detect-uploads"), byId("detect-notices"), { limit: MAX_FILES, weighted: false });
  let image = null;
  let running = null; // aborts the running request

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!image) {
      results.replaceChildren(notice("No image yet.", "Drop an image first."));
      return;
    }
    running?.abort();
    running = new AbortController();
    if (await show(results, detect(image, wanted(), running.signal))) scrollTo(results);
  });

  function wanted() {
    const values = new FormData(form);
    return {
      texts: form.querySelector("textarea").value.split("\n"),
      uploads: files.chosen().map(({ upload, kind }) => [upload, kind]),
      threshold: Number(values.get("threshold")),
      maps: values.has("maps"),
    };
  }

  return {
    files,
    image: {
      add([file]) {
        image = file;
        const status = byId("detect-image");
        status.hidden = false;
        status.querySelector("bdi").textContent = file.name;
      },
    },
  };
}

// The body is a line of JSON, and then the image.
async function detect(image, wanted, signal) {
  checkSize(image);
  const body = new Blob([JSON.stringify(wanted), "\n", image]);
  const headers = { "Content-Type": "application/octet-stream" };
  const path = `detections?${new URLSearchParams({ name: image.name })}`;
  return (await request(path, { method: "POST", headers, body, signal })).text();
}
