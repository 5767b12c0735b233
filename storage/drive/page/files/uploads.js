// Uploads of files.

import { CallError, path, post, result, unreachable } from "./api.js";
import { ask, tell } from "./dialog.js";
import { bytes, Meter } from "./format.js";

const atATime = 2; // a browser has six connections to a server, and others need some
const firstPause = 500, longestPause = 8000; // ms between attempts
const patience = 120000; // ms for which the server may say that it is busy: so long it may keep a broken connection
const passing = ["MsdIsBusyError", "MsdOffsetError", "MsdSizeError", "UnavailableError"]; // MsdSizeError: the body broke off

// What is known of the file of an upload, so that after a reload it is known again.
const memory = {
  key: (name) => `upload ${name}`,
  of: (file) => `${file.size} ${file.lastModified}`,
  keep(name, file) { try { localStorage.setItem(this.key(name), this.of(file)); } catch { /* there is none */ } },
  drop(name) { try { localStorage.removeItem(this.key(name)); } catch { /* there is none */ } },
  knows(name, file) { try { return localStorage.getItem(this.key(name)) === this.of(file); } catch { return false; } },
};

// An Upload is one file on its way.
class Upload {
  state = "waiting"; // for its turn; or "sending", "broken", "paused", "failed"
  from = 0; // where the last request began, in bytes of the file
  sent = 0; // so many bytes are on their way or have come
  reason = ""; // of "broken" and "failed"
  meter = new Meter();
  sure = false; // that the file is the one that what has come before is of
  stop = new AbortController(); // of the present run

  constructor(name, file) {
    this.name = name;
    this.file = file;
  }

  get size() { return this.file.size; }
  get left() { return this.meter.rate > 0 ? (this.size - this.sent) / this.meter.rate : NaN; }
}

// Uploads are all of this page, by name. on.changed() is called when one has changed, and
// on.image(name) is what the server says of an image.
export class Uploads {
  all = new Map();
  #on;
  #running = new Set();
  #wake = new EventTarget();

  constructor(on) { this.#on = on; }

  // add begins an upload, or goes on with one of that name.
  add(name, file) {
    if (this.#running.has(this.all.get(name))) return tell(`${name} is being uploaded already.`);
    this.all.set(name, new Upload(name, file));
    this.#next();
  }

  pause(name) {
    const u = this.all.get(name);
    u.state = "paused";
    u.stop.abort();
    this.#next();
  }

  // resume goes on with one that was paused or has failed.
  resume(name) {
    const u = this.all.get(name);
    u.state = "waiting";
    this.#next();
  }

  // forget ends an upload; what has come of it stays with the server.
  forget(name) {
    const u = this.all.get(name);
    this.all.delete(name);
    u?.stop.abort();
    this.#next();
  }

  // retry has those that wait for the server try at once.
  retry() { this.#wake.dispatchEvent(new Event("retry")); }

  get busy() { return this.#running.size > 0; }

  // next begins with those whose turn it is.
  #next() {
    for (const u of this.all.values()) {
      if (u.state !== "waiting" || this.#running.has(u) || this.#running.size >= atATime) continue;
      this.#running.add(u);
      u.stop = new AbortController();
      this.#run(u, u.stop.signal).finally(() => {
        this.#running.delete(u);
        this.#next();
      });
    }
    this.#on.changed();
  }

  // run has an upload come to its end, over as many attempts as it takes.
  async #run(u, stopped) {
    let pause = firstPause, since = 0;
    while (!stopped.aborted) {
      try {
        await this.#attempt(u, stopped);
        if (!stopped.aborted) this.#done(u);
        return;
      } catch (error) {
        if (stopped.aborted) return;
        if (error.name === "MsdImageExistsError" && this.#arrived(u)) return this.#done(u);
        since ||= performance.now();
        const wait = error.name === "Unreachable" || error.signedOut || passing.includes(error.name) && performance.now() - since < patience;
        u.state = wait ? "broken" : "failed";
        u.reason = error.message;
        u.meter.reset();
        this.#on.changed();
        if (!wait) return;
      }
      if (u.sent > u.from) [pause, since] = [firstPause, 0]; // it was not in vain
      await this.#rest(pause, stopped);
      pause = Math.min(pause * 2, longestPause);
    }
  }

  // arrived says whether all of a file had come when the connection broke before the answer.
  #arrived(u) {
    const image = this.#on.image(u.name);
    return u.sent === u.size && image?.complete && image.size === u.size;
  }

  #done(u) {
    this.all.delete(u.name);
    memory.drop(u.name);
    tell(`${u.name} is complete.`);
    this.#on.changed();
  }

  // attempt sends what the server has not.
  async #attempt(u, stopped) {
    await u.file.slice(0, 1).arrayBuffer().catch(() => {
      throw new CallError("File", "The file cannot be read any more: it has changed, or is gone.", 0);
    });
    const offset = await this.#begin(u, stopped);
    if (offset === undefined || stopped.aborted) return;
    u.state = "sending";
    u.from = u.sent = offset;
    u.meter.add(offset);
    this.#on.changed();
    await this.#send(u, offset, stopped);
  }

  // begin has the server expect the file, and returns how much of it has come before. That
  // it is of the same file is known, or asked.
  async #begin(u, stopped) {
    let written;
    try {
      written = (await post("msd/write", { image: u.name, begin: true, size: u.size })).image.written;
    } catch (error) {
      if (error.name !== "MsdSizeError") throw error;
      const answer = await ask(`Replace ${u.name}?`,
        `An upload of this name was interrupted that had another size than the ${bytes(u.size)} of this file.`, ["again", "Replace it", "danger"]);
      if (!answer) return this.forget(u.name);
      await post("msd/remove", { image: u.name });
      return this.#begin(u, stopped);
    }
    u.sure ||= written === 0 || memory.knows(u.name, u.file);
    if (!u.sure) {
      const answer = await ask(`Go on with ${u.name}?`,
        `${bytes(written)} of ${bytes(u.size)} have come before. Go on only if this is the same file.`, ["on", "Go on", "main"], ["again", "Start again"]);
      if (!answer) return this.forget(u.name);
      if (answer === "again") written = 0;
      u.sure = true;
    }
    memory.keep(u.name, u.file);
    return written;
  }

  // send sends a file from an offset on.
  #send(u, offset, stopped) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest(); // fetch does not tell how far a body is
      const abort = () => request.abort();
      stopped.addEventListener("abort", abort, { once: true });
      request.onloadend = () => stopped.removeEventListener("abort", abort);
      request.upload.onprogress = ({ loaded }) => {
        u.sent = offset + loaded;
        u.meter.add(u.sent);
        this.#on.changed();
      };
      request.onload = () => {
        try {
          resolve(result(request.status, request.responseText));
        } catch (error) {
          reject(error);
        }
      };
      request.onerror = request.onabort = () => reject(unreachable());
      request.open("POST", path("msd/write", { image: u.name, offset, size: u.size }));
      request.send(u.file.slice(offset, u.size, "application/octet-stream"));
    });
  }

  // rest waits for a time, for the server to be there again, or for the end.
  #rest(pause, stopped) {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#wake.removeEventListener("retry", end);
        stopped.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, pause);
      this.#wake.addEventListener("retry", end);
      stopped.addEventListener("abort", end);
    });
  }
}
