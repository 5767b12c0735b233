// Elements and lists of them. What comes from elsewhere, such as names of images, is only
// ever given as text or as a property, never as HTML.

// el makes an element: el("button", { type: "button", onclick: f }, "Text", child). A
// property of the element is set as such, anything else as an attribute.
export function el(tag, properties = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in e) e[name] = value;
    else e.setAttribute(name, value);
  }
  e.append(...children);
  return e;
}

// set changes a property only if it is another: so a screen reader hears no news where
// there are none, and a focus or a selection stays.
export function set(element, name, value) {
  if (element[name] !== value) element[name] = value;
}

// text sets the text of an element if it is another.
export const text = (element, value) => set(element, "textContent", value);

// reconcile has a list show items: it keeps the elements of those that were there, in which
// the focus may be. make(item) returns a row, which is {element, update(item)}. rows is the
// Map of the rows that there are, by key. If the focus was in a row that goes, it goes to
// the row after it, or to the fallback.
export function reconcile(list, rows, items, key, make, fallback) {
  const keys = new Set(items.map(key));
  for (const [k, row] of rows) {
    if (keys.has(k)) continue;
    if (row.element.contains(document.activeElement)) {
      const next = row.element.nextElementSibling ?? row.element.previousElementSibling;
      (next?.querySelector("button:not(:disabled, [hidden]), a[href]") ?? fallback).focus();
    }
    row.element.remove();
    rows.delete(k);
  }
  items.forEach((item, i) => {
    let row = rows.get(key(item));
    if (!row) {
      row = make(item);
      rows.set(key(item), row);
    }
    row.update(item);
    if (list.children[i] === row.element) return;
    const focus = row.element.contains(document.activeElement) ? document.activeElement : null;
    list.insertBefore(row.element, list.children[i] ?? null);
    focus?.focus({ preventScroll: true });
  });
}

// own is what an object has by a name that comes from elsewhere, which may be "constructor".
export const own = (object, name) => Object.hasOwn(object, name) ? object[name] : undefined;
