// Try it: a form for one request, filled from what the group declares; the answers with who gave them, newest first.
import { refresh } from "./live.js";
import { format } from "./units.js";
import { reach, say } from "./texts.js";

const base = document.documentElement.dataset.base;
const form = document.getElementById("try-form");
const { group, kind, instance, key, method, timeout, one_way } = form.elements;
const problem = document.getElementById("try-problem");
const args = document.getElementById("try-args");
const answers = document.getElementById("try-answers");
const KEPT = 30;

const known = () => new Map([...document.querySelectorAll("[data-method]")].map((button) => JSON.parse(button.dataset.method)).map((one) => [one.name, one]));

function route() {
  const rest = { target: instance.value, hash: `${group.value}:${key.value}` }[kind.value] ?? group.value;
  return `${kind.value}:${rest}`;
}

function shape() {
  for (const part of form.querySelectorAll("[data-kind]")) part.hidden = part.dataset.kind !== kind.value;
  key.required = kind.value === "hash";
  document.getElementById("try-route").textContent = route();
}

/** One field per parameter of the method; a list for those that nobody declared. */
function fields() {
  const found = known().get(method.value);
  const names = found ? found.parameters : [];
  const more = !found || found.more;
  if (args.dataset.for === JSON.stringify([names, more])) return;
  args.dataset.for = JSON.stringify([names, more]);
  const made = names.map((name, index) => field(name, index < found.required, name));
  if (more && method.value) made.push(field(say("ui.more-arguments-a-json-list"), false, "*"));
  args.replaceChildren(...made);
}

function field(text, required, name) {
  const label = Object.assign(document.createElement("label"), { className: "field" });
  const input = Object.assign(document.createElement("input"), { name: `arg:${name}`, required, autocomplete: "off", placeholder: name === "*" ? "[]" : say("ui.text-or-json") });
  label.append(Object.assign(document.createElement("span"), { textContent: text }), input);
  return label;
}

/** What was typed, as a value: JSON when it is, else the text itself. */
function value(typed) {
  try {
    return JSON.parse(typed);
  } catch {
    return typed;
  }
}

function given() {
  const list = [];
  const inputs = [...args.querySelectorAll("input")];
  const named = inputs.filter((input) => input.name !== "arg:*");
  const last = named.findLastIndex((input) => input.value !== "");
  for (const input of named.slice(0, last + 1)) list.push(value(input.value));
  const rest = inputs.find((input) => input.name === "arg:*")?.value.trim();
  if (rest) {
    const more = value(rest);
    if (!Array.isArray(more)) throw new Error(say("problem.the-further-arguments-must"));
    list.push(...more);
  }
  return list;
}

const element = (name, className, text) => Object.assign(document.createElement(name), { className, textContent: text });

function show(asked, called) {
  const block = element("article", "answer", "");
  const head = element("p", "answer-head", "");
  head.append(element("b", "", `${asked.method}(${asked.args.map((one) => JSON.stringify(one)).join(", ")})`), element("span", "mono muted", asked.route), element("span", "answer-time", format(called.elapsed_ms, "ms")));
  block.append(head);
  if (called.warning) block.append(element("p", "problem", called.warning));
  else if (!called.answers.length) block.append(element("p", "muted", asked.one_way ? say("ui.sent-one-way") : say("ui.nobody-was-there-to-answer")));
  for (const one of called.answers) {
    const row = element("div", one.error ? "answer-one answer-bad" : "answer-one", "");
    row.append(element("b", "", one.name || one.service_id || "–"));
    row.append(element("pre", "code", one.error ? `${one.error.type}: ${one.error.text}${one.error.traceback ? `\n\n${one.error.traceback}` : ""}` : JSON.stringify(one.value, null, 1)));
    block.append(row);
  }
  answers.querySelector(".empty")?.remove();
  answers.prepend(block);
  while (answers.childElementCount > KEPT) answers.lastElementChild.remove();
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  problem.hidden = true;
  const button = form.querySelector("button.primary");
  button.disabled = true;
  try {
    const asked = { route: route(), method: method.value.trim(), args: given(), timeout_s: Number(timeout.value), one_way: one_way.checked };
    const answer = await reach(`${base}/api/v1/call`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(asked) });
    const body = await answer.json();
    if (!answer.ok) throw new Error(`${body.error ? `${body.error}: ` : ""}${body.detail ?? body.title}`);
    show(asked, body);
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
  } finally {
    button.disabled = false;
    refresh(); // the method was called once more
  }
});

form.addEventListener("input", () => {
  shape();
  fields();
});
group.addEventListener("change", () => location.assign(`${base}/try?group=${encodeURIComponent(group.value)}`));
document.getElementById("method-list").addEventListener("click", (event) => {
  const button = event.target.closest("[data-method]");
  if (!button) return;
  method.value = JSON.parse(button.dataset.method).name;
  fields();
  (args.querySelector("input") ?? form.querySelector("button.primary")).focus();
});
shape();
fields();
