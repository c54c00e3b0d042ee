// The API page: sends what a form says, with the session of the page, and shows status, time and body.
import { format } from "./units.js";
import { reach, say } from "./texts.js";

const base = document.documentElement.dataset.base;
const STREAM_MS = 1000;

function request(form, operation) {
  const query = new URLSearchParams();
  let { path } = operation;
  for (const [name, typed] of new FormData(form)) {
    const at = name.indexOf(":");
    if (at < 0 || typed === "") continue;
    if (name.slice(0, at) === "path") path = path.replace(`{${name.slice(at + 1)}}`, encodeURIComponent(typed));
    else query.set(name.slice(at + 1), typed);
  }
  const text = query.toString();
  return `${base}${path}${text ? `?${text}` : ""}`;
}

async function body(answer, stream) {
  if (!stream || !answer.ok) {
    const text = await answer.text();
    return answer.headers.get("Content-Type")?.includes("json") ? JSON.stringify(JSON.parse(text), null, 2) : text;
  }
  const reader = answer.body.getReader();
  const decoder = new TextDecoder();
  const timer = setTimeout(() => reader.cancel(), STREAM_MS);
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
  }
  clearTimeout(timer);
  return text;
}

document.addEventListener("submit", async (event) => {
  const details = event.target.closest("[data-operation]");
  if (!details) return;
  event.preventDefault();
  const form = event.target;
  const operation = JSON.parse(details.dataset.operation);
  const result = form.querySelector(".op-result");
  const status = form.querySelector(".op-status");
  const shown = result.querySelector("pre");
  const options = { method: operation.method, headers: {} };
  if (form.elements.body) {
    options.headers["Content-Type"] = "application/json";
    options.body = form.elements.body.value;
  }
  const url = request(form, operation);
  const begun = performance.now();
  result.hidden = false;
  status.textContent = say("ui.waiting");
  try {
    const answer = await reach(url, options);
    shown.textContent = await body(answer, operation.stream);
    status.textContent = `${answer.status} ${answer.statusText} · ${format(performance.now() - begun, "ms")} · ${operation.method} ${url}`;
    status.classList.toggle("is-bad", !answer.ok);
  } catch (error) {
    status.textContent = error.message;
    status.classList.add("is-bad");
  }
});
