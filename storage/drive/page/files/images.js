// The list of images, and of uploads on their way.

import { path, post } from "./api.js";
import { ask, busy } from "./dialog.js";
import { el, own, reconcile, set, text } from "./dom.js";
import * as format from "./format.js";

const typeNames = {
  iso: "CD or DVD", qcow2: "qcow2", vmdk: "VMDK", vhdx: "VHDX", gpt: "disk with GPT", mbr: "disk with MBR", raw: "raw",
};

// Images is the list. source has session, uploads and fetches.
export class Images {
  #list = document.getElementById("images");
  #title = document.getElementById("images-title");
  #none = document.getElementById("no-images");
  #rows = new Map();
  #source;

  constructor(source) { this.#source = source; }

  // update shows what is in the storage; inDrives are the names of connected images.
  update(storage, inDrives) {
    const { uploads, fetches } = this.#source;
    const names = new Set([...Object.keys(storage.images), ...Object.keys(storage.uploads), ...uploads.all.keys()]);
    const items = [...names].map((name) => ({
      name, image: own(storage.images, name), transfer: own(storage.uploads, name), upload: uploads.all.get(name),
      job: fetches.job(name), inDrive: inDrives.has(name),
    }));
    const going = (i) => i.upload || i.transfer ? 0 : 1; // first
    items.sort((a, b) => going(a) - going(b) || (a.name < b.name ? -1 : 1));
    reconcile(this.#list, this.#rows, items, (i) => i.name, (i) => new Row(i.name, this.#source), this.#title);
    set(this.#none, "hidden", items.length > 0);
  }
}

// A Row is one image.
class Row {
  #source;
  #name;
  #item;

  constructor(name, source) {
    this.#name = name;
    this.#source = source;
    const button = (label, work) => el("button", { type: "button", onclick: work, "aria-label": `${label} ${name}` }, label);
    this.facts = el("p", { className: "quiet facts" });
    this.progress = el("progress", { "aria-label": `Progress of ${name}` });
    this.download = el("a", { className: "button", download: "", href: path("msd/read", { image: name }), "aria-label": `Download ${name}` }, "Download");
    this.pause = button("Pause", () => this.#pause());
    this.resume = button("Go on", () => this.#resume());
    this.remove = button("Remove…", () => this.#remove());
    this.element = el("li", { className: "card image" },
      el("h3", {}, name), this.facts, this.progress,
      el("p", { className: "actions" }, this.pause, this.resume, this.download, this.remove));
  }

  update(item) {
    this.#item = item;
    const { upload, transfer, image, job } = item;
    const may = this.#source.session.may("upload");
    const going = !!(upload || transfer);
    text(this.facts, this.#describe());
    this.element.classList.toggle("failed", upload?.state === "failed");
    set(this.progress, "hidden", !going);
    if (going) {
      const size = upload?.size ?? transfer.size, done = upload ? Math.max(upload.sent, upload.state === "sending" ? 0 : transfer?.written ?? 0) : transfer.written;
      if (size > 0) {
        set(this.progress, "max", size);
        set(this.progress, "value", done);
      } else {
        this.progress.removeAttribute("value"); // not known
      }
    }
    const fetching = job !== undefined && this.#source.fetches.kind(job) === "fetch";
    const moving = upload && ["waiting", "sending", "broken"].includes(upload.state);
    const focus = this.element.contains(document.activeElement) ? document.activeElement : null;
    set(this.pause, "hidden", !may || !(moving || !upload && fetching));
    set(this.resume, "hidden", !may || !(upload ? !moving : transfer && !transfer.active && this.#source.fetches.known(this.#name)));
    set(this.download, "hidden", going || !image?.complete || item.inDrive);
    set(this.remove, "hidden", !may || item.inDrive || !going && !image?.removable);
    text(this.remove, going ? "Cancel…" : "Remove…");
    set(this.remove, "ariaLabel", `${going ? "Cancel the upload of" : "Remove"} ${this.#name}`);
    if (focus?.hidden) this.element.querySelector(".actions > :not([hidden])")?.focus();
  }

  #describe() {
    const { upload, transfer, image, inDrive } = this.#item;
    if (upload) return this.#describeUpload(upload);
    if (transfer) {
      const much = transfer.size >= 0 ? `${format.bytes(transfer.written)} of ${format.bytes(transfer.size)}` : format.bytes(transfer.written);
      if (transfer.active) return `${much}, ${this.#item.job !== undefined ? "being fetched" : "being uploaded"}`;
      return `Incomplete: ${much}. ${this.#source.fetches.known(this.#name) ? "The fetch can go on." : "Choose the same file again to go on."}`;
    }
    const facts = [own(typeNames, image.type) ?? image.type, format.bytes(image.size)];
    if (!image.complete) facts.unshift("Incomplete");
    if (image.mod_ts) facts.push(format.date(image.mod_ts));
    if (inDrive) facts.push("in a drive");
    if (!image.removable) facts.push("fixed");
    return facts.join(" · ");
  }

  #describeUpload(u) {
    const much = `${format.bytes(u.sent)} of ${format.bytes(u.size)}`;
    switch (u.state) {
      case "waiting": return `${format.bytes(u.size)}, waits for its turn`;
      case "paused": return `Paused: ${much}`;
      case "broken": return `Interrupted: ${much}. ${u.reason} It goes on by itself.`;
      case "failed": return `Failed: ${u.reason}`;
    }
    if (u.sent === u.size) return `${much}, being stored`;
    const facts = [`${much} (${format.percent(u.sent, u.size)} %)`];
    if (u.meter.rate > 0) facts.push(format.rate(u.meter.rate), `${format.duration(u.left)} left`);
    return facts.join(" · ");
  }

  async #pause() {
    const { upload, job } = this.#item;
    if (upload) this.#source.uploads.pause(this.#name);
    else await busy(this.pause, this.#name, () => this.#source.fetches.stop(job));
  }

  async #resume() {
    if (this.#item.upload) this.#source.uploads.resume(this.#name);
    else await busy(this.resume, this.#name, () => this.#source.fetches.resume(this.#name));
  }

  async #remove() {
    const { upload, transfer, job } = this.#item;
    const going = upload || transfer;
    const answer = going
      ? await ask("Cancel the upload?", `What has come of ${this.#name} is removed.`, ["yes", "Cancel the upload", "danger"])
      : await ask("Remove the image?", `${this.#name} is gone then for everyone, and cannot be had back.`, ["yes", "Remove", "danger"]);
    if (!answer) return;
    await busy(this.remove, this.#name, async () => {
      if (job !== undefined) await this.#source.fetches.stop(job);
      if (upload) this.#source.uploads.forget(this.#name);
      if (!going || this.#item.transfer) await removeWhenFree(this.#name);
    });
  }
}

// removeWhenFree removes an image. That an upload has been broken off the server may learn a
// moment later.
async function removeWhenFree(image) {
  for (let attempts = 60; ; attempts--) {
    try {
      return await post("msd/remove", { image });
    } catch (error) {
      if (error.name === "MsdUnknownImageError") return;
      if (error.name !== "MsdIsBusyError" || attempts === 0) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}
