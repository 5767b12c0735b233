// Questions and messages.

import { el } from "./dom.js";

const byId = (id) => document.getElementById(id);

// show opens a dialog and resolves with its value when it closes: "" for Escape. The focus
// goes back to where it was, if that is still there.
export function show(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
  });
}

let last = Promise.resolve(); // one question at a time

// ask puts a question. answers are [value, label, class] each; Cancel comes by itself, has
// the focus, and is "".
export function ask(title, text, ...answers) {
  const next = last.then(() => {
    byId("question-title").textContent = title;
    byId("question-text").textContent = text;
    const cancel = el("button", { value: "", autofocus: true }, "Cancel");
    byId("question-answers").replaceChildren(
      ...answers.map(([value, label, kind]) => el("button", { value, className: kind ?? "" }, label)), cancel);
    return show(byId("question"));
  });
  last = next;
  return next;
}

// Of the messages that are shown, the oldest goes for one more.
const most = 4;
const infoTime = 8000; // ms

// tell shows a message. An error stays until it is dismissed.
export function tell(text, error = false) {
  const list = byId("messages");
  for (const m of list.children) if (m.dataset.text === text) m.remove(); // it comes again
  const dismiss = el("button", { type: "button", "aria-label": "Dismiss" }, "×");
  const message = el("div", { className: error ? "message error" : "message" }, el("p", {}, text), dismiss);
  message.dataset.text = text;
  if (error) message.role = "alert";
  dismiss.onclick = () => {
    const next = message.nextElementSibling ?? message.previousElementSibling;
    message.remove();
    next?.querySelector("button").focus();
  };
  list.append(message);
  while (list.children.length > most) list.firstElementChild.remove();
  if (!error) setTimeout(() => message.remove(), infoTime);
}

// failed shows what has gone wrong with something.
export function failed(what, error) {
  console.debug(what, error);
  tell(`${what}: ${error.message}`, true);
}

// busy does what a button says, once at a time, and shows what goes wrong with it. The button
// keeps the focus meanwhile, which one that is disabled would lose.
export async function busy(button, what, work) {
  if (button.ariaDisabled) return;
  button.ariaDisabled = "true";
  try {
    return await work();
  } catch (error) {
    failed(what, error);
  } finally {
    button.ariaDisabled = null;
  }
}
