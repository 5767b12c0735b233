// How much room is left in the parts of the storage.

import { el, reconcile, set, text } from "./dom.js";
import { bytes } from "./format.js";

const list = document.getElementById("parts");
const folders = document.getElementById("folders");
const rows = new Map();

class Row {
  constructor({ name }) {
    const label = name || "Storage";
    this.meter = el("meter", { "aria-label": `${label}: used` });
    this.facts = el("p", { className: "quiet" });
    this.element = el("li", { className: "card part" }, el("h3", {}, label), this.meter, this.facts);
  }

  update({ size, free, writable }) {
    set(this.meter, "max", size);
    set(this.meter, "high", size * 0.9);
    set(this.meter, "value", size - free);
    text(this.facts, `${bytes(free)} free of ${bytes(size)}${writable ? "" : ", read-only"}`);
  }
}

// show shows the parts, and offers folders for new images: parts, and where images are.
export function show({ parts, images }) {
  const all = Object.keys(parts).sort().map((name) => ({ name, ...parts[name] }));
  reconcile(list, rows, all, (p) => p.name, (p) => new Row(p), document.getElementById("space-title"));
  const names = new Set(Object.keys(parts));
  for (const name of Object.keys(images)) names.add(name.split("/").slice(0, -1).join("/"));
  names.delete("");
  const sorted = [...names].sort();
  if (sorted.join("\n") !== [...folders.children].map((o) => o.value).join("\n")) folders.replaceChildren(...sorted.map((n) => new Option(n, n)));
}
