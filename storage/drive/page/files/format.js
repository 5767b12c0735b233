// Sizes, rates and times for people.

const units = ["B", "kB", "MB", "GB", "TB", "PB"];

// bytes writes a number of bytes with three digits at least, in units of powers of ten.
export function bytes(n) {
  let unit = 0;
  while (n >= 999.5 && unit < units.length - 1) {
    n /= 1000;
    unit++;
  }
  const digits = unit === 0 || n >= 99.95 ? 0 : n >= 9.995 ? 1 : 2;
  return `${n.toFixed(digits)} ${units[unit]}`;
}

// rate writes bytes per second.
export const rate = (n) => `${bytes(n)}/s`;

// duration writes seconds, roughly.
export function duration(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.ceil(seconds))} s`;
  if (seconds < 3600) return `${Math.ceil(seconds / 60)} min`;
  if (seconds < 100 * 3600) return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds % 3600 / 60)} min`;
  return "days";
}

// percent is how much of a size has come, from 0 to 100; what is empty is whole.
export const percent = (done, size) => size > 0 ? Math.floor(done / size * 100) : 100;

const dates = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

// date writes seconds since 1970.
export const date = (seconds) => dates.format(new Date(seconds * 1000));

// A Meter finds the rate at which a count grows, over the last seconds.
export class Meter {
  static span = 5000; // ms
  #samples = [];

  // add notes a count at a time in ms.
  add(count, now = performance.now()) {
    const s = this.#samples;
    if (s.length && count < s.at(-1).count) s.length = 0; // it has begun anew
    s.push({ count, now });
    while (s.length > 2 && now - s[1].now >= Meter.span) s.shift();
  }

  // rate is per second; 0 if it is not known.
  get rate() {
    const s = this.#samples;
    if (s.length < 2) return 0;
    const first = s[0], last = s.at(-1);
    return last.now > first.now ? (last.count - first.count) / (last.now - first.now) * 1000 : 0;
  }

  reset() { this.#samples.length = 0; }
}
