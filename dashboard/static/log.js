// The log of one process as it is written: follow, pause, search. What services write is put in as text, never as HTML. How a line
// looks `views/log_lines.py` says for the first ones.
import { followLog } from "./live.js";
import { exactTime } from "./times.js";
import { say } from "./texts.js";

const KEPT = 5000;
const SLACK = 500; // so many more before the oldest go: each time they do, what is below moves up
const MOST = 20_000; // while somebody reads further up, what he reads is kept as well, up to so many lines
const box = document.getElementById("log");
const search = document.getElementById("log-search");
const found = document.getElementById("log-found");
const pause = document.getElementById("log-pause");
// What colours a terminal, or moves its cursor, is no text.
const ESCAPES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\)|[ -/]*[0-~])/g;
const HIDDEN = /[^\P{C}\t]|[\u2028\u2029]/gu;
const SHORT = { "\r": "\\r", "\n": "\\n" };
let lines = [];
let waiting = [];
let paused = false;
let anew = false;
let unseen = 0;

const words = () => search.value.toLowerCase().split(/\s+/).filter(Boolean);

const CLASSES = { DEBUG: "line-quiet", WARNING: "line-warn", ERROR: "line-bad", CRITICAL: "line-bad" };
const STREAMS = { out: "stdout", err: "stderr" };

/** A control character, or a mark that turns the writing round, in letters; as `luabus/visible.py`. */
function visible(letter) {
  const number = letter.codePointAt(0);
  const [mark, digits] = number < 0x100 ? ["x", 2] : number < 0x10000 ? ["u", 4] : ["U", 8];
  return SHORT[letter] ?? `\\${mark}${number.toString(16).padStart(digits, "0")}`;
}

/** As the launcher tells it, with a text that is none of its own markup, and a key that is equal for the same line. */
function written(told) {
  const line = typeof told === "string" ? { line: told } : told;
  const text = line.line.replace(ESCAPES, "").replace(HIDDEN, visible);
  return { ...line, text, key: `${line.time ?? ""} ${line.stream ?? ""} ${text}` };
}

/** A line with its time, and what was searched for marked. */
function lineOf(entry, wanted) {
  const line = document.createElement("div");
  const own = entry.stream === "sys";
  const trouble = entry.stream === "err" && !["INFO", "DEBUG"].includes(entry.level);
  line.className = own ? "line-own" : [CLASSES[entry.level], trouble && "line-err"].filter(Boolean).join(" ");
  const [short, whole] = entry.time ? exactTime(entry.time) : ["", ""];
  line.title = [whole, STREAMS[entry.stream], entry.level].filter(Boolean).join(" · ");
  if (short) line.append(Object.assign(document.createElement("time"), { dateTime: entry.time, textContent: short }), " ");
  if (own) line.append(Object.assign(document.createElement("em"), { textContent: say("word.launcher") }), " ");
  const text = document.createElement("span");
  marked(text, entry.text, wanted);
  line.append(text);
  return line;
}

function marked(line, text, wanted) {
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
}

const fits = ({ text }, wanted) => wanted.every((word) => text.toLowerCase().includes(word));

const atBottom = () => box.scrollHeight - box.scrollTop - box.clientHeight < 8;

function show() {
  const wanted = words();
  const shown = lines.filter((line) => fits(line, wanted));
  box.replaceChildren(...shown.map((line) => lineOf(line, wanted)));
  if (!shown.length) box.textContent = lines.length ? say("ui.no-line-fits") : say("ui.nothing-was-written-yet");
  count(wanted);
  box.scrollTop = box.scrollHeight;
}

function count(wanted) {
  found.textContent = wanted.length ? `${box.childElementCount} / ${lines.length}` : `${lines.length}`;
}

/** Put what is new below, and let the oldest go: who follows sees the end, who reads further up goes on with the same line. */
function add(fresh) {
  const wanted = words();
  const follows = atBottom();
  lines.push(...fresh);
  if (!box.childElementCount) return show();
  box.append(...fresh.filter((line) => fits(line, wanted)).map((line) => lineOf(line, wanted)));
  const most = follows ? KEPT : MOST;
  if (lines.length > most + SLACK) forget(lines.length - most, wanted);
  count(wanted);
  if (follows) box.scrollTop = box.scrollHeight;
}

/** The oldest `number` lines go; what is seen stays where it is. */
function forget(number, wanted) {
  const gone = lines.splice(0, number).filter((line) => fits(line, wanted)).length;
  const first = box.children[gone];
  const moved = first && first.offsetTop - box.firstElementChild.offsetTop;
  for (let left = gone; left > 0; left -= 1) box.firstElementChild.remove();
  if (first) box.scrollTop -= moved;
  else show();
}

function label() {
  pause.textContent = !paused ? say("ui.pause-log") : unseen ? `${say("ui.go-on")} (+${unseen})` : say("ui.go-on");
  pause.setAttribute("aria-pressed", String(paused));
}

/** How many of `all` are known already: they are the end of `before`. */
function known(before, all) {
  for (let length = Math.min(all.length, before.length); length > 0; length -= 1) {
    const from = before.length - length;
    let same = 0;
    while (same < length && before[from + same].key === all[same].key) same += 1;
    if (same === length) return length;
  }
  return 0;
}

/** The stream begins anew, with the newest lines, whenever another page joins it: what goes on where `lines` end is added, and
 * only when nothing does is all of it shown instead. */
function begin(all) {
  const length = known(lines, all);
  if (length) return add(all.slice(length));
  const follows = atBottom();
  const top = box.scrollTop;
  lines = all;
  show();
  if (!follows) box.scrollTop = top;
}

/** What was written: all that there is (`first`: the beginning, or the line was cut), or what is new. */
function take(told, first) {
  const fresh = told.map(written);
  if (paused) {
    wait(fresh, first);
    label();
  } else if (first) {
    begin(fresh);
  } else {
    add(fresh);
  }
}

function wait(fresh, first) {
  const length = first ? known(anew ? waiting : [...lines, ...waiting], fresh) : 0;
  if (first && !length) {
    anew = true;
    waiting = fresh;
    return;
  }
  unseen += fresh.length - length;
  waiting = [...waiting, ...fresh.slice(length)].slice(-KEPT);
}

function goOn() {
  if (anew) begin(waiting);
  else if (waiting.length) add(waiting);
  waiting = [];
  anew = false;
  unseen = 0;
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
