// Keeps the page equal to what the dashboard knows: listens for "something changed" and fetches the page again.
import { morph } from "./morph.js";
import { say } from "./texts.js";
import { localTimes } from "./times.js";

const SILENT_MS = 25000; // two heartbeats and a half: what is shown may be old by then
const base = document.documentElement.dataset.base;
const sign = document.getElementById("live");
let source = null;
let lastHeard = 0;
let retry = 0;
let fetching = false;
let again = false;

/** Show the state of the line: live, waiting, or stale since a time. */
function show(state) {
  if (sign.dataset.state === state) return;
  sign.dataset.state = state;
  const since = new Date(lastHeard || Date.now()).toLocaleTimeString();
  const words = { live: say("Live"), waiting: say("Reconnecting"), stale: `${say("Stale since")} ${since}` };
  sign.querySelector("span").textContent = words[state];
  document.body.classList.toggle("stale", state === "stale");
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
      const answer = await fetch(asked, { headers: { Accept: "text/html" } });
      if (answer.redirected && new URL(answer.url).pathname === `${base}/login`) {
        location.assign(answer.url);
        return;
      }
      if (asked !== location.href) {
        again = true;
        continue;
      }
      if (answer.headers.get("Content-Type")?.startsWith("text/html")) put(await answer.text());
    } while (again);
  } catch {
    show("waiting");
  } finally {
    fetching = false;
  }
}

function put(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  localTimes(fresh);
  const bottoms = [...document.querySelectorAll("[data-bottom]")].filter((e) => e.scrollHeight - e.scrollTop - e.clientHeight < 8);
  for (const part of document.querySelectorAll("[data-live]")) {
    const other = fresh.getElementById(part.id);
    if (other) morph(part, document.adoptNode(other));
  }
  for (const element of bottoms) element.scrollTop = element.scrollHeight;
  document.title = fresh.title;
}

function heard() {
  lastHeard = Date.now();
  retry = 0;
  show("live");
}

function open() {
  if (source || document.hidden) return;
  const topics = document.documentElement.dataset.topics;
  source = new EventSource(`${base}/api/v1/events?notices=true&topics=${encodeURIComponent(topics)}`);
  let first = true;
  source.addEventListener("changed", (event) => {
    heard();
    const { series, ...others } = JSON.parse(event.data);
    if (series !== undefined) dispatchEvent(new Event("luabus:series"));
    // The first notice tells what is known now: the page was just rendered from it, unless the line was cut in between.
    if (Object.keys(others).length && (!first || sign.dataset.seen)) refresh();
    first = false;
    sign.dataset.seen = "yes";
  });
  source.addEventListener("alive", heard);
  source.addEventListener("error", () => {
    show("waiting");
    if (source?.readyState === EventSource.CLOSED) {
      close();
      retry = Math.min(retry + 1, 5);
      setTimeout(() => refresh().then(open), 500 * 2 ** retry);
    }
  });
}

function close() {
  source?.close();
  source = null;
}

/** Begin. A hidden tab closes its line and costs nothing; shown again, it catches up first. */
export function start() {
  lastHeard = Date.now();
  open();
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      close();
    } else {
      lastHeard = Date.now();
      refresh().then(open);
    }
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && refresh().then(open));
  setInterval(() => {
    if (!document.hidden && Date.now() - lastHeard > SILENT_MS) show("stale");
  }, 1000);
}
