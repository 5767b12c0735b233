// Drives: what is in them, and what machines do with it.

import { post } from "./api.js";
import { ask, busy, failed, show, tell } from "./dialog.js";
import { el, own, set, text } from "./dom.js";
import { bytes } from "./format.js";
import { Plot } from "./plot.js";

const largestDVD = 33957083136; // bytes; PiKVM's bound, too
const otherURL = "\n"; // no image is called that

// A Drive is the card of a drive. It is told what is so by update.
export class Drive {
  plot = new Plot();
  #name;
  #session;
  #state = {};
  #names = null; // of images, as the list of options has them
  #urls = document.getElementById("url-dialog");

  constructor(name, session) {
    this.#name = name;
    this.#session = session;
    const id = `drive-${name}`;
    this.status = el("p", { className: "status", role: "status" });
    this.image = el("select", { onchange: () => this.#select() });
    this.cdrom = this.#switch("CD-ROM", "cdrom");
    this.rw = this.#switch("Machines may write", "rw");
    this.overlay = this.#switch("Writes go beside the image", "overlay");
    this.note = el("p", { className: "quiet note" });
    this.connect = el("button", { type: "button", className: "main", onclick: () => this.#connect() });
    this.reset = el("button", { type: "button", onclick: () => this.#reset() }, "Reset…");
    this.element = el("li", { className: "card drive", "aria-labelledby": id },
      el("h3", { id }, name), this.status,
      el("div", { className: "settings" },
        el("label", {}, "Image ", this.image),
        el("fieldset", {}, el("legend", {}, "The machine sees"), ...[this.cdrom, this.rw, this.overlay].map((s) => s.parentElement)),
        this.note,
        el("p", { className: "actions" }, this.connect, this.reset)),
      this.plot.element);
  }

  #switch(label, name) {
    const input = el("input", { type: "checkbox", onchange: () => this.#set({ [name]: input.checked }) });
    el("label", { className: "switch" }, input, label);
    return input;
  }

  // update shows a state, with the images that there are.
  update(state, images) {
    this.#state = state;
    const d = state.drive, may = this.#session.may("operate");
    if (!d?.connected) this.plot.empty();
    text(this.status, this.#describe());
    set(this.status, "className", `status ${!state.online ? "bad" : d?.connected ? "good" : ""}`);
    this.#options(images, d?.image?.name ?? "");
    const still = !may || !state.online || state.busy || !d || d.connected;
    const image = d?.image;
    for (const control of [this.image, this.cdrom]) set(control, "disabled", still);
    const neverWritten = d?.cdrom || /\.iso$/i.test(image?.name ?? "") || image && !image.writable && !d.overlay;
    set(this.rw, "disabled", still || !!neverWritten);
    set(this.overlay, "disabled", still || !!d?.cdrom);
    for (const [control, value] of [[this.cdrom, d?.cdrom], [this.rw, d?.rw], [this.overlay, d?.overlay]]) set(control, "checked", !!value);
    text(this.note, d?.cdrom && image?.size > largestDVD ? `This is more than the ${bytes(largestDVD)} of the largest DVD: some machines will not read all of it.` : "");
    text(this.connect, d?.connected ? "Disconnect" : "Connect");
    set(this.connect, "disabled", !may || !state.online || !d?.connected && !image);
    set(this.reset, "disabled", !may);
  }

  #describe() {
    const { online, busy, drive: d } = this.#state;
    if (online === undefined) return "…";
    if (!online) return "Offline";
    if (busy) return d.connected ? "Disconnecting…" : "Connecting…";
    if (!d.image) return "Empty";
    if (!d.connected) return "Disconnected";
    return `Connected: ${d.cdrom ? "a CD-ROM" : d.rw ? "a disk that machines may write" : "a disk, read-only"}`;
  }

  #options(images, selected) {
    const names = Object.keys(images).filter((n) => images[n].complete).sort();
    if (selected && !names.includes(selected)) names.push(selected);
    const same = this.#names?.join("\n") === names.join("\n");
    if (!same) {
      this.#names = names;
      this.image.replaceChildren(
        new Option("None", ""), ...names.map((n) => new Option(n, n)), new Option("At a URL…", otherURL));
    }
    this.images = images;
    set(this.image, "value", selected);
  }

  async #select() {
    let name = this.image.value;
    const cdrom = own(this.images, name)?.type === "iso";
    if (name !== otherURL) return this.#set({ image: name, ...(name && { cdrom }) });
    this.#urls.querySelector("form").reset();
    if (await show(this.#urls) === "select") await this.#set({ image: this.#urls.querySelector("input").value });
    this.update(this.#state, this.images);
  }

  async #set(parameters) {
    try {
      await post("msd/set_params", { drive: this.#name, ...parameters });
    } catch (error) {
      failed(`Drive ${this.#name}`, error);
      this.update(this.#state, this.images); // as it is, and not as was wanted
    }
  }

  async #connect() {
    const connected = !this.#state.drive.connected;
    await busy(this.connect, `Drive ${this.#name}`, async () => {
      try {
        await post("msd/set_connected", { drive: this.#name, connected });
      } catch (error) {
        if (error.name !== "MsdLockedError") throw error;
        const answer = await ask("Take the medium away?",
          "A machine uses it and does not let it go. Taken away, the machine has errors, and what it has not written yet is lost.", ["force", "Take it away", "danger"]);
        if (answer) await post("msd/set_connected", { drive: this.#name, connected: false, force: true });
      }
    });
  }

  async #reset() {
    const answer = await ask(`Reset drive ${this.#name}?`, "The medium is taken away, whatever machines do with it, and the drive is empty.", ["reset", "Reset", "danger"]);
    if (!answer) return;
    await busy(this.reset, `Drive ${this.#name}`, () => post("msd/reset", { drive: this.#name }));
    tell(`Drive ${this.#name} is as it was at first.`);
  }
}
