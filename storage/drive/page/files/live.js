// The WebSocket of a drive: what is so, as it changes.

// Times in ms.
const firstPause = 250, longestPause = 8000, pingEvery = 10000, pongWithin = 10000;

// merge has what an event says be in the state: storage comes in parts, the others whole.
export function merge(state, event) {
  const next = { ...state, ...event };
  if (event.storage && state.storage) next.storage = { ...state.storage, ...event.storage };
  return next;
}

// A Live follows a drive until it is closed, and connects again when the connection ends. It
// calls on.state(state) with the whole state after each change, on.traffic(counts),
// on.jobs(jobs), on.link(true) when it is connected, on.link(false) when it is no more, and
// on.unopened() when a connection did not come about: the server is not there, or does not
// know who this is.
export class Live {
  #drive;
  #on;
  #socket;
  #state = {};
  #pause = firstPause;
  #timer;
  #ping;
  #closed = false;

  constructor(drive, on) {
    this.#drive = drive;
    this.#on = on;
    this.#connect();
    addEventListener("online", this.#hurry);
    document.addEventListener("visibilitychange", this.#hurry);
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#ping);
    removeEventListener("online", this.#hurry);
    document.removeEventListener("visibilitychange", this.#hurry);
    this.#socket?.close();
  }

  // hurry tries at once what would be tried later.
  #hurry = () => {
    if (!this.#timer || document.hidden) return;
    clearTimeout(this.#timer);
    this.#connect();
  };

  #connect() {
    this.#timer = undefined;
    const url = new URL(`api/ws?drive=${encodeURIComponent(this.#drive)}`, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = this.#socket = new WebSocket(url);
    let open = false, heard = true;
    socket.onopen = () => {
      open = true;
      this.#state = {};
      this.#pause = firstPause;
      this.#on.link(true);
      // A connection may be dead though nobody has said so: the server is to answer.
      let asked = 0;
      this.#ping = setInterval(() => {
        if (!heard && performance.now() - asked >= pongWithin) return socket.close();
        heard = false;
        asked = performance.now();
        socket.send(`{"event_type": "ping", "event": {}}`);
      }, pingEvery);
    };
    socket.onmessage = ({ data }) => {
      heard = true;
      const { event_type: type, event } = JSON.parse(data);
      if (type === "msd") this.#on.state(this.#state = merge(this.#state, event));
      if (type === "msd_traffic") this.#on.traffic(event);
      if (type === "msd_jobs") this.#on.jobs(event.jobs);
    };
    socket.onclose = () => {
      clearInterval(this.#ping);
      if (this.#closed) return;
      if (open) this.#on.link(false);
      else this.#on.unopened();
      if (this.#closed) return;
      this.#timer = setTimeout(() => this.#connect(), this.#pause * (0.75 + Math.random() / 2));
      this.#pause = Math.min(this.#pause * 2, longestPause);
    };
  }
}
