// Uploads: the server embeds a file and forgets it; the page keeps the vectors and sends them with a query.
import { notice, request } from "./requests.js";

const MAX_UPLOAD_BYTES = Number(document.body.dataset.maxUploadBytes);
const KIND_NAMES = JSON.parse(document.body.dataset.kindNames);
const MEBIBYTE = 2 ** 20;

// The uploads that a list shows, each with its media type and weight.
export class UploadList {
  constructor(element, notices, { limit, weighted }) {
    Object.assign(this, { element, notices, limit, weighted, entries: [] });
  }

  // Embed files one after another, and report each that fails.
  async add(files) {
    this.notices.replaceChildren();
    for (const file of files) {
      if (this.entries.length >= this.limit) {
        if (this.limit > 1) {
          this.notices.append(notice(`No room for ${file.name}.`, "Remove a file first."));
          continue;
        }
        this.remove(this.entries[0]);
      }
      const entry = { upload: null };
      this.entries.push(entry);
      const status = document.createElement("p");
      status.className = "status";
      status.textContent = `Embedding ${file.name} …`;
      this.notices.append(status);
      try {
        entry.upload = await embed(file);
        this.show(entry);
      } catch (error) {
        this.remove(entry);
        this.notices.append(notice(error.message, "Drop another file."));
      }
      status.remove();
    }
  }

  // Return the embedded uploads, with their chosen media type and weight.
  chosen() {
    return this.entries
      .filter((entry) => entry.upload && entry.card)
      .map(({ upload: { name, kind, vectors }, card }) => ({
        upload: { name, kind, vectors },
        kind: card.querySelector("select").value || null,
        weight: card.querySelector("input").valueAsNumber,
      }));
  }

  remove(entry) {
    this.entries = this.entries.filter((other) => other !== entry);
    entry.card?.remove();
  }

  show(entry) {
    const { upload } = entry;
    const card = document.getElementById("upload-template").content.firstElementChild.cloneNode(true);
    entry.card = card;
    card.setAttribute("aria-label", upload.name);
    card.querySelector("bdi").textContent = upload.name;
    card.querySelector(".weight span").textContent = `Weight of ${upload.name}`;
    card.querySelector(".weight").hidden = !this.weighted;
    const remove = card.querySelector(".remove");
    remove.textContent = `Remove ${upload.name}`;
    remove.addEventListener("click", () => this.remove(entry));
    const kinds = Object.keys(upload.vectors);
    const select = card.querySelector("select");
    card.querySelector(".kind-choice").hidden = kinds.length < 2;
    card.querySelector(".kind-choice span").textContent = upload.kind ? "Media type" : "Choose the media type";
    if (!upload.kind) select.add(new Option("choose …", ""));
    for (const kind of kinds) select.add(new Option(KIND_NAMES[kind], kind));
    select.value = upload.kind ?? "";
    select.addEventListener("change", () => preview(card, upload, select.value));
    for (const [kind, reason] of Object.entries(upload.refusals)) {
      const line = document.createElement("p");
      line.className = "refusal";
      line.textContent = `Cannot be read as ${KIND_NAMES[kind]}. ${reason}`;
      remove.before(line);
    }
    preview(card, upload, select.value);
    this.element.append(card);
  }
}

// Throw an Error if a file is too large.
export function checkSize(file) {
  if (file.size <= MAX_UPLOAD_BYTES) return;
  const size = (file.size / MEBIBYTE).toPrecision(3);
  throw new Error(`${file.name}: expected at most ${MAX_UPLOAD_BYTES / MEBIBYTE} MiB, got ${size} MiB`);
}

async function embed(file) {
  checkSize(file);
  const headers = { "Content-Type": "application/octet-stream" };
  const query = new URLSearchParams({ name: file.name });
  return (await request(`uploads?${query}`, { method: "POST", headers, body: file })).json();
}

// Show the thumbnail and name of the chosen media type.
function preview(card, upload, kind) {
  const [image, none] = card.querySelectorAll(".upload-preview");
  image.hidden = !upload.thumbnails[kind];
  none.hidden = !image.hidden;
  image.src = upload.thumbnails[kind] ?? "";
  none.className = `upload-preview no-preview${kind ? ` kind-${kind}` : ""}`;
  card.querySelector("small").textContent = KIND_NAMES[kind] ?? "ambiguous media type";
}
