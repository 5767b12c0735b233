// A plot of what a machine reads and writes.

import { el, text } from "./dom.js";
import { bytes, rate } from "./format.js";

const span = 60000; // ms that the plot shows
const tick = 1000; // ms between counts while there is traffic; the server sends none where nothing is new
const width = 300, height = 60;

// spans makes of counts, {at, read, written} each, the times of traffic and its rates:
// {from, to, read, written}, in bytes per second. After a rest, what is new was in the last
// tick.
export function spans(counts) {
  const all = [];
  for (let i = 1; i < counts.length; i++) {
    const a = counts[i - 1], b = counts[i];
    const from = b.at - a.at > 1.5 * tick ? b.at - tick : a.at;
    const seconds = (b.at - from) / 1000;
    if (seconds > 0) all.push({ from, to: b.at, read: (b.read - a.read) / seconds, written: (b.written - a.written) / seconds });
  }
  return all;
}

// line is the path of one of the rates; top is the rate at the upper edge.
export function line(all, key, now, top) {
  const x = (at) => Math.max(0, width - (now - at) / span * width).toFixed(1);
  const y = (rate) => (height - 1 - rate / top * (height - 2)).toFixed(1);
  let path = `M0 ${y(0)}`;
  let end = -Infinity;
  for (const s of all) {
    if (s.to < now - span) continue;
    if (s.from > end) path += `H${x(end)}V${y(0)}H${x(s.from)}`.replace("H0.0", "");
    path += `H${x(s.from)}V${y(s[key])}H${x(s.to)}`;
    end = s.to;
  }
  return `${path}V${y(0)}H${width}`;
}

const svg = (tag, attributes) => {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  return e;
};

// A Plot is the figure of one drive.
export class Plot {
  #counts = [];
  #read = svg("path", { class: "read" });
  #written = svg("path", { class: "written" });
  #image = svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img" });
  #readText = el("span", { className: "read" });
  #writtenText = el("span", { className: "written" });
  #top = el("span", { className: "top" });

  constructor() {
    this.#image.append(this.#read, this.#written);
    const caption = el("figcaption", {}, this.#readText, this.#writtenText);
    this.element = el("figure", { className: "plot" }, caption, el("div", {}, this.#image, this.#top));
    this.empty();
  }

  // empty says that there is no medium: counts begin at 0.
  empty(now = performance.now()) {
    this.#counts = [{ at: now, read: 0, written: 0 }];
    this.draw(now);
  }

  // unknown says that counts may be any: the page has not seen what was before.
  unknown() { this.#counts = []; }

  // add takes counts of the server's.
  add({ read_bytes: read, written_bytes: written }, now = performance.now()) {
    const c = this.#counts, last = c.at(-1);
    if (last && (read < last.read || written < last.written)) this.empty(now - tick);
    if (c.length > 1 && c.at(-1).at - c.at(-2).at < tick / 2) c.pop(); // too short for a rate
    this.#counts.push({ at: now, read, written });
    while (this.#counts.length > 2 && this.#counts[1].at < now - span) this.#counts.shift();
    this.draw(now);
  }

  // draw shows the last minute.
  draw(now = performance.now()) {
    const all = spans(this.#counts);
    const top = 1.25 * Math.max(1000, ...all.filter((s) => s.to >= now - span).flatMap((s) => [s.read, s.written])); // with room for its figure
    this.#read.setAttribute("d", line(all, "read", now, top));
    this.#written.setAttribute("d", line(all, "written", now, top));
    const total = this.#counts.at(-1) ?? { read: 0, written: 0 };
    const s = all.at(-1);
    const at = s && now - s.to < 1.5 * tick ? s : { read: 0, written: 0 };
    text(this.#readText, `Reads ${rate(at.read)}, ${bytes(total.read)} in all`);
    text(this.#writtenText, `Writes ${rate(at.written)}, ${bytes(total.written)} in all`);
    text(this.#top, rate(top));
    this.#image.setAttribute("aria-label", `The last minute: ${this.#readText.textContent}; ${this.#writtenText.textContent}`);
  }
}
