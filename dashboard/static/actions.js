// Buttons that change something: ask the server what would happen, show it, and do it only after a yes.
import { refresh } from "./live.js";
import { reach, say } from "./texts.js";

const base = document.documentElement.dataset.base;
const dialog = document.getElementById("confirm");
const yes = document.getElementById("confirm-yes");
const problem = document.getElementById("confirm-problem");
const more = document.getElementById("confirm-more");
const SIGNALS = ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGSTOP", "SIGCONT"];
let asked = null;
let opener = null;

async function post(verb, args, preview) {
  const answer = await reach(`${base}/api/v1/${verb}${preview ? "?preview=true" : ""}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(args),
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail ?? body.title ?? `${answer.status}`);
  return body;
}

/** Say what `verb` with `args` would do, and do it when the person agrees. The keyboard is then back at `from`. */
async function ask(verb, args, from) {
  asked = { verb, args };
  opener = from;
  yes.disabled = true;
  fail("");
  more.replaceChildren();
  if (verb === "kill") more.append(signalChoice());
  if (verb === "scale") more.append(countChoice());
  await preview();
  if (!dialog.open) dialog.showModal();
}

async function preview() {
  const { args } = asked;
  try {
    const said = await post(asked.verb, args, true);
    if (args !== asked.args) return; // a newer choice asks for itself
    describe(said.title, said.sentences, said.danger);
    yes.disabled = false;
  } catch (error) {
    describe(say("ui.this-cannot-be-done"), [], false);
    fail(error.message);
  }
}

function describe(title, sentences, danger) {
  document.getElementById("confirm-title").textContent = title;
  document.getElementById("confirm-text").replaceChildren(...sentences.map((sentence) => Object.assign(document.createElement("li"), { textContent: sentence })));
  yes.classList.toggle("danger", danger);
}

function fail(text) {
  problem.textContent = text;
  problem.hidden = !text;
}

function signalChoice() {
  const label = Object.assign(document.createElement("label"), { className: "field" });
  const select = document.createElement("select");
  select.name = "signal";
  select.append(...SIGNALS.map((name) => new Option(name, name, false, name === asked.args.signal)));
  select.addEventListener("change", () => {
    asked.args = { ...asked.args, signal: select.value };
    preview();
  });
  label.append(Object.assign(document.createElement("span"), { textContent: say("ui.signal") }), select);
  return label;
}

function countChoice() {
  const label = Object.assign(document.createElement("label"), { className: "field" });
  const input = Object.assign(document.createElement("input"), { type: "number", name: "instances", min: 0, max: 65535, step: 1, value: asked.args.instances });
  input.addEventListener("input", () => {
    asked.args = { ...asked.args, instances: input.valueAsNumber };
    yes.disabled = true;
    if (input.checkValidity() && Number.isInteger(input.valueAsNumber)) {
      fail("");
      preview();
    }
  });
  label.append(Object.assign(document.createElement("span"), { textContent: say("ui.instances") }), input);
  return label;
}

yes.addEventListener("click", async () => {
  yes.disabled = true;
  fail("");
  try {
    const { verb, args } = asked;
    const from = opener;
    const done = await post(verb, args, false);
    dialog.close();
    opener = toast(done.done, from, done.undo ? () => ask(verb, done.undo, from) : null);
    refresh();
  } catch (error) {
    yes.disabled = false;
    yes.focus();
    fail(error.message);
  }
});

// A browser gives the keyboard back as well, but to the button in the menu, which is closed by then.
dialog.addEventListener("close", () => backTo(opener));

/** The keyboard goes on where it was; where that is gone, at the beginning of the content. */
function backTo(place) {
  (place?.checkVisibility() ? place : document.getElementById("main")).focus();
}

/** A short message that goes away by itself; with `undo` it offers to take the action back, and stays longer. Returns where the
 * keyboard goes on: at the button for that, or at `from`. */
function toast(text, from, undo) {
  const box = Object.assign(document.createElement("div"), { className: "toast" });
  box.append(Object.assign(document.createElement("span"), { textContent: text }));
  const away = () => {
    const had = box.contains(document.activeElement);
    box.remove();
    if (had) backTo(from);
  };
  const button = Object.assign(document.createElement("button"), { type: "button", className: "button", textContent: say("ui.undo") });
  button.addEventListener("click", () => {
    away();
    undo();
  });
  if (undo) box.append(button);
  document.getElementById("toasts").append(box);
  setTimeout(away, undo ? 20000 : 6000);
  return undo ? button : from;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-verb]");
  if (button) {
    const menu = button.closest("details");
    menu?.removeAttribute("open");
    ask(button.dataset.verb, JSON.parse(button.dataset.args), menu?.querySelector("summary") ?? button);
  }
  const opener = event.target.closest("[data-open]");
  if (opener) document.getElementById(opener.dataset.open).showModal();
});

const form = document.querySelector("[data-form=register]");
if (form) {
  const toggle = () => {
    for (const part of form.querySelectorAll("[data-when]")) {
      const [name, value] = part.dataset.when.split("=");
      part.hidden = form.elements[name].value !== value;
      for (const input of part.querySelectorAll("input")) input.required = !part.hidden;
    }
  };
  form.addEventListener("input", toggle);
  toggle();
  form.addEventListener("submit", (event) => {
    if (event.submitter?.value !== "yes") return;
    const { service_id, router, token, number, is_master } = form.elements;
    const chosen = { own: "own", 0: 0, none: null, number: Number(number.value) }[token.value];
    const opened = document.querySelector("[data-open=register]");
    ask("register", { service_id: service_id.value.trim(), router: router.value, token: chosen, is_master: is_master.checked }, opened);
  });
}
