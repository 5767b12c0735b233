// Calls of the API.

import { own } from "./dom.js";
import { meaning } from "./errors.js";

// A CallError is what a call has failed with: name is one of the API's, or "Unreachable"
// where there was no answer; message is for people.
export class CallError extends Error {
  constructor(name, detail, status) {
    super(own(meaning, name) ?? detail);
    this.name = name;
    this.detail = detail;
    this.status = status;
  }

  // signedOut says whether it was refused because nobody is signed in: for a user whose
  // role is too low, the server says so.
  get signedOut() {
    return this.name === "UnauthorizedError" || this.name === "ForbiddenError" && this.detail === "Forbidden";
  }
}

export const unreachable = () => new CallError("Unreachable", "The server cannot be reached.", 0);

// path makes the path of a call, with its parameters; those that are undefined are left out.
export function path(call, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value === undefined) continue;
    query.set(name, value === true ? "1" : value === false ? "0" : value);
  }
  const q = query.toString();
  return `api/${call}${q ? "?" + q : ""}`;
}

// result takes an answer apart: it returns the result, or throws a CallError.
export function result(status, text) {
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new CallError("InternalError", `The server answered with status ${status}.`, status);
  }
  if (answer.ok) return answer.result;
  throw new CallError(answer.result.error, answer.result.error_msg, status);
}

async function call(method, name, parameters, body) {
  let answer, text;
  try {
    answer = await fetch(path(name, parameters), { method, body, credentials: "same-origin", cache: "no-store" });
    text = await answer.text();
  } catch {
    throw unreachable();
  }
  return result(answer.status, text);
}

export const get = (name, parameters) => call("GET", name, parameters);
export const post = (name, parameters, body) => call("POST", name, parameters, body);
