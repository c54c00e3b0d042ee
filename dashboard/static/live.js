// Keeps the page equal to what the dashboard knows: hears from the hub that something changed, and fetches the page again.
import { morph } from "./morph.js";
import { say } from "./texts.js";
import { localTimes } from "./times.js";

const SILENT_MS = 3500; // the dashboard says each second at least that it is there
const HERE_MS = 5000;
const { base, hub } = document.documentElement.dataset;
const sign = document.getElementById("live");
const main = document.getElementById("main");
let port = null;
let lastHeard = 0;
let cut = false;
let series = null;
let log = null;
let fetching = false;
let again = false;

/** Show the state of the line: live, waiting, or stale since a time. */
function show(state) {
  if (sign.dataset.state === state) return;
  sign.dataset.state = state;
  const since = new Date(lastHeard).toLocaleTimeString();
  const words = { live: say("ui.live"), waiting: say("ui.reconnecting"), stale: `${say("ui.stale-since")} ${since}` };
  sign.querySelector("span").textContent = words[state];
  document.body.classList.toggle("stale", state === "stale");
}

/** What the dashboard answers now; nothing when it cannot be reached. */
async function ask(asked) {
  try {
    const answer = await fetch(asked, { headers: { Accept: "text/html" } });
    const { redirected, url } = answer;
    return { redirected, url, html: answer.headers.get("Content-Type")?.startsWith("text/html") ? await answer.text() : "" };
  } catch {
    if (sign.dataset.state === "live") show("waiting");
    return null;
  }
}

/** Fetch this page again and put what differs into place. One at a time; a wish that comes meanwhile is carried out after. */
export async function refresh() {
  if (fetching) {
    again = true;
    return;
  }
  fetching = true;
  try {
    do {
      again = false;
      const asked = location.href;
      const answer = await ask(asked);
      if (!answer) return;
      if (answer.redirected && new URL(answer.url).pathname === `${base}/login`) {
        location.assign(answer.url);
        return;
      }
      if (asked !== location.href) {
        again = true;
        continue;
      }
      if (answer.html) put(answer.html);
    } while (again);
  } finally {
    fetching = false;
  }
}

function put(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  localTimes(fresh);
  // What was gone and is back, is a page with scripts of its own.
  if (main.dataset.view !== "page" && fresh.getElementById("main")?.dataset.view === "page") {
    location.reload();
    return;
  }
  const bottoms = [...document.querySelectorAll("[data-bottom]")].filter((e) => e.scrollHeight - e.scrollTop - e.clientHeight < 8);
  const held = document.activeElement;
  const beside = held?.closest(".menu, .group-buttons");
  for (const part of document.querySelectorAll("[data-live]")) {
    const other = fresh.getElementById(part.id);
    if (other) morph(part, document.adoptNode(other));
  }
  // A button that makes no sense any more goes, and the keyboard goes on beside it.
  if (held && !held.isConnected) ((beside?.isConnected && beside.querySelector("summary, button")) || main).focus({ preventScroll: true });
  for (const element of bottoms) element.scrollTop = element.scrollHeight;
  document.title = fresh.title;
  dispatchEvent(new Event("luabus:shown"));
  if (log && !document.getElementById("log")) {
    log = null;
    here();
  }
}

function heard() {
  lastHeard = Date.now();
  show("live");
  // A dashboard that was started anew counts its versions anew as well.
  if (cut) refresh();
  cut = false;
}

const told = {
  alive: heard,
  changed({ versions }) {
    heard();
    if (series !== null && versions.series !== series) dispatchEvent(new Event("luabus:series"));
    series = versions.series;
    const shown = JSON.parse(main.dataset.versions);
    if (Object.keys(shown).some((topic) => versions[topic] > shown[topic])) refresh();
  },
  broken({ failures, refused }) {
    cut = true;
    show(failures > 1 ? "stale" : "waiting");
    if (refused) refresh();
  },
  lines({ name, lines, first }) {
    if (log?.name === name) log.take(lines, first);
  },
};

function here() {
  port?.postMessage({ visible: !document.hidden, log: log?.name ?? null });
}

function listen(to) {
  port = to;
  port.addEventListener("message", ({ data }) => told[data.kind](data));
  port.start();
  here();
}

/** A hub of this page's own, where a browser has none that pages share. */
async function alone() {
  const { Hub } = await import("./hub.js");
  const { port1, port2 } = new MessageChannel();
  new Hub(new URL(`${base}/`, location.href).href).join(port2);
  listen(port1);
}

function connect() {
  if (!window.SharedWorker) return alone();
  const worker = new SharedWorker(hub, { type: "module", name: "luabus" });
  worker.addEventListener("error", alone, { once: true });
  return listen(worker.port);
}

/** Have `take(lines, first)` called with what the process `name` writes; `first`: all that there is, and not what is new. */
export function followLog(name, take) {
  log = { name, take };
  here();
}

/** Begin. A hidden tab costs nothing; shown again, it catches up first. */
export function start() {
  lastHeard = Date.now();
  connect();
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) {
      lastHeard = Date.now();
      refresh();
    }
    here();
  });
  addEventListener("pagehide", (event) => port?.postMessage(event.persisted ? { visible: false, log: null } : { gone: true }));
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    lastHeard = Date.now();
    refresh();
    here();
  });
  setInterval(() => !document.hidden && here(), HERE_MS);
  setInterval(() => {
    if (!document.hidden && Date.now() - lastHeard > SILENT_MS) show("stale");
  }, 500);
}
