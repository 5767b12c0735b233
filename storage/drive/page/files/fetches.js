// Fetches by URL, which the server does by itself, also when this page is gone.

import { post } from "./api.js";
import { failed, show, tell } from "./dialog.js";

// Fetches are those that the server knows of as jobs. on.changed() is called when there is
// news.
export class Fetches {
  #on;
  #jobs = {};
  #own = new Map(); // of this page, which tells how they end: jobs by number, {image, parameters}
  #again = new Map(); // parameters of those that were begun here, by image
  #dialog = document.getElementById("fetch-dialog");

  constructor(on) { this.#on = on; }

  // open asks for a URL and fetches from it into a folder.
  async open(folder) {
    const form = this.#dialog.querySelector("form");
    form.reset();
    if (await show(this.#dialog) !== "fetch") return;
    const { url, image, sha256, insecure } = form.elements;
    await this.#begin({
      url: url.value, image: image.value || undefined, sha256: sha256.value || undefined,
      insecure: insecure.checked || undefined, prefix: folder || undefined,
    });
  }

  async #begin(parameters) {
    try {
      const { job } = await post("msd/write_remote", { ...parameters, background: true });
      this.#own.set(job, parameters);
      this.update(this.#jobs);
    } catch (error) {
      failed(`Fetching ${parameters.image ?? "an image"}`, error);
    }
  }

  // update takes the jobs that there are.
  update(jobs) {
    this.#jobs = jobs;
    for (const [number, parameters] of this.#own) {
      const job = jobs[number];
      if (!job) continue;
      this.#again.set(job.image, { ...parameters, image: job.image, prefix: undefined });
      if (job.active) continue;
      this.#own.delete(number);
      if (!job.error) tell(`${job.image} is complete.`);
      else failed(`Fetching ${job.image}`, { message: job.error.error_msg });
    }
    this.#on.changed();
  }

  // job is the number of the job that does something with an image at present.
  job(image) {
    return Object.keys(this.#jobs).map(Number).find((n) => this.#jobs[n].active && this.#jobs[n].image === image);
  }

  kind(number) { return this.#jobs[number]?.kind; }

  // stop ends a fetch; what has come stays.
  async stop(number) {
    this.#own.delete(number);
    await post("msd/jobs/cancel", { job: number });
  }

  // known says whether a fetch of an image can go on from here.
  known(image) { return this.#again.has(image); }

  resume(image) { return this.#begin({ ...this.#again.get(image), resume: true }); }
}
