// The page: what goes where.

import { get } from "./api.js";
import { failed, tell } from "./dialog.js";
import { own, reconcile, text } from "./dom.js";
import { Drive } from "./drives.js";
import { Fetches } from "./fetches.js";
import { Images } from "./images.js";
import { Live } from "./live.js";
import { Session } from "./session.js";
import * as space from "./space.js";
import { Uploads } from "./uploads.js";

const byId = (id) => document.getElementById(id);
const session = new Session();
const uploads = new Uploads({ changed: draw, image: (name) => own(storage.images, name) });
const fetches = new Fetches({ changed: draw });
const images = new Images({ session, uploads, fetches });

const nothing = { images: {}, uploads: {}, parts: {} };
let storage = nothing; // as the drive's state that came last has it
let drives = []; // {name, live, state, card}
const cards = new Map();

// link says whether the page hears of what happens.
function link(connected) {
  text(byId("link"), connected ? "Live" : "Not connected to the server: trying again");
  byId("link").className = connected ? "good" : "bad";
  document.body.classList.toggle("stale", !connected);
}

// begin shows the page to whoever is signed in, and goes on trying where there is no server.
async function begin() {
  for (let pause = 250; ; pause = Math.min(pause * 2, 8000)) {
    try {
      await session.check();
      follow(Object.keys(await get("msd/drives")));
      byId("app").hidden = false;
      return;
    } catch (error) {
      if (error.signedOut) await session.signIn();
      else {
        link(false);
        if (error.name !== "Unreachable") failed("Beginning", error);
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
  }
}

// follow listens to drives.
function follow(names) {
  leave();
  drives = names.map((name, i) => {
    const drive = { name, state: {} };
    drive.live = new Live(name, {
      link: (connected) => {
        if (i === 0) link(connected);
        if (connected) {
          cards.get(name)?.plot.unknown();
          uploads.retry();
        }
      },
      state: (state) => {
        drive.state = state;
        if (state.storage) storage = state.storage;
        draw();
      },
      traffic: (counts) => cards.get(name)?.plot.add(counts),
      jobs: (jobs) => { if (i === 0) fetches.update(jobs); },
      unopened: () => { if (i === 0) recheck(); },
    });
    return drive;
  });
  show();
}

function leave() {
  for (const d of drives) d.live.close();
  drives = [];
}

// recheck finds out why the server takes no connection: if nobody is signed in any more, as
// after it was restarted, somebody has to.
async function recheck() {
  link(false);
  try {
    await session.check();
  } catch (error) {
    if (!error.signedOut) return;
    leave();
    await begin();
  }
}

// draw shows what has changed, at most once for each picture of the screen.
let drawing = false;
function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    show();
  });
}

function show() {
  const inDrives = new Set(drives.map((d) => d.state.drive).filter((d) => d?.connected).map((d) => d.image?.name));
  reconcile(byId("drives"), cards, drives, (d) => d.name, (d) => {
    const card = new Drive(d.name, session);
    return { element: card.element, plot: card.plot, update: ({ state }) => card.update(state, storage.images) };
  }, byId("drives-title"));
  images.update(storage, inDrives);
  space.show(storage);
}

// take begins uploads of files.
function take(files) {
  const folder = byId("folder").value.trim().replace(/^\/+|\/+$/g, "");
  for (const file of files) {
    const name = folder ? `${folder}/${file.name}` : file.name;
    const there = own(storage.images, name);
    if (there?.complete) tell(`There is an image ${name} already. Remove it first, or upload into a folder.`, true);
    else uploads.add(name, file);
  }
}

byId("files").onchange = ({ target }) => {
  take([...target.files]);
  target.value = ""; // so that the same file can be chosen again
};
byId("fetch").onclick = () => fetches.open(byId("folder").value.trim());
byId("signout").onclick = async () => {
  try {
    await session.signOut();
  } catch (error) {
    if (!error.signedOut) return failed("Signing out", error);
  }
  leave();
  begin();
};

const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  const may = session.may("upload") && !byId("app").hidden;
  event.dataTransfer.dropEffect = may ? "copy" : "none";
  document.body.classList.toggle("dropping", may);
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
addEventListener("drop", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  document.body.classList.remove("dropping");
  if (!session.may("upload") || byId("app").hidden) return;
  const entries = [...event.dataTransfer.items].map((i) => i.webkitGetAsEntry?.());
  if (entries.some((e) => e?.isDirectory)) tell("Folders cannot be uploaded, only files.", true);
  take([...event.dataTransfer.files].filter((_, i) => !entries[i]?.isDirectory));
});
addEventListener("beforeunload", (event) => {
  if (uploads.busy) event.preventDefault(); // the browser asks
});

setInterval(() => {
  if (!document.hidden) for (const card of cards.values()) card.plot.draw();
}, 1000);

begin();
