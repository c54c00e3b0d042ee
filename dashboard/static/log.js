// The log of one process as it is written: follow, pause, search. What services write is put in as text, never as HTML.
import { followLog } from "./live.js";
import { say } from "./texts.js";

const KEPT = 5000;
const box = document.getElementById("log");
const search = document.getElementById("log-search");
const found = document.getElementById("log-found");
const pause = document.getElementById("log-pause");
// What colours a terminal, or moves its cursor, is no text.
const ESCAPES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\)|[ -/]*[0-~])/g;
let lines = [];
let waiting = [];
let paused = false;
let anew = false;

const words = () => search.value.toLowerCase().split(/\s+/).filter(Boolean);

/** A line with what was searched for marked. */
function lineOf(text, wanted) {
  const line = document.createElement("div");
  if (/\b(ERROR|CRITICAL|FATAL|Traceback)\b/.test(text)) line.className = "line-bad";
  else if (/\bWARN(ING)?\b/.test(text)) line.className = "line-warn";
  const lower = text.toLowerCase();
  let at = 0;
  while (wanted.length && at < text.length) {
    const hits = wanted.map((word) => [lower.indexOf(word, at), word.length]).filter(([start]) => start >= 0);
    if (!hits.length) break;
    const [start, length] = hits.reduce((a, b) => (b[0] < a[0] ? b : a));
    line.append(text.slice(at, start), Object.assign(document.createElement("mark"), { textContent: text.slice(start, start + length) }));
    at = start + length;
  }
  line.append(text.slice(at) || (at ? "" : "\u200b"));
  return line;
}

const fits = (text, wanted) => wanted.every((word) => text.toLowerCase().includes(word));

function show() {
  const wanted = words();
  const shown = lines.filter((text) => fits(text, wanted));
  box.replaceChildren(...shown.map((text) => lineOf(text, wanted)));
  if (!shown.length) box.textContent = lines.length ? say("No line fits.") : say("Nothing was written yet.");
  found.textContent = wanted.length ? `${shown.length} / ${lines.length}` : `${lines.length}`;
  box.scrollTop = box.scrollHeight;
}

function add(fresh) {
  const wanted = words();
  const bottom = box.scrollHeight - box.scrollTop - box.clientHeight < 8;
  const first = lines.length === 0;
  lines.push(...fresh);
  if (first || lines.length > KEPT + 500) {
    lines = lines.slice(-KEPT);
    show();
    return;
  }
  const parts = fresh.filter((text) => fits(text, wanted)).map((text) => lineOf(text, wanted));
  if (!box.querySelector("div")) box.replaceChildren();
  box.append(...parts);
  found.textContent = wanted.length ? `${box.childElementCount} / ${lines.length}` : `${lines.length}`;
  if (bottom) box.scrollTop = box.scrollHeight;
}

function label() {
  pause.textContent = !paused ? say("Pause") : waiting.length && !anew ? `${say("Go on")} (+${waiting.length})` : say("Go on");
  pause.setAttribute("aria-pressed", String(paused));
}

/** Show `all` instead of what was shown, and leave the reader where he is: the stream begins anew when another page joins it. */
function begin(all) {
  const bottom = box.scrollHeight - box.scrollTop - box.clientHeight < 8;
  const top = box.scrollTop;
  lines = all;
  show();
  if (!bottom) box.scrollTop = top;
}

/** What was written: all that there is (`first`: the beginning, or the line was cut), or what is new. */
function take(written, first) {
  const fresh = written.map((text) => text.replace(ESCAPES, ""));
  if (paused) {
    anew ||= first;
    waiting = first ? fresh : [...waiting, ...fresh].slice(-KEPT);
    label();
  } else if (first) {
    begin(fresh);
  } else {
    add(fresh);
  }
}

function goOn() {
  if (anew) begin(waiting);
  else if (waiting.length) add(waiting);
  waiting = [];
  anew = false;
}

if (box) {
  label();
  followLog(box.dataset.name, take);
  box.scrollTop = box.scrollHeight;
  search.addEventListener("input", show);
  pause.addEventListener("click", () => {
    paused = !paused;
    if (!paused) goOn();
    label();
  });
}
