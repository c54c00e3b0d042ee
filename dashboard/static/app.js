// What every page has: the live line, navigation without reload within a page, menus, the theme.
import "./actions.js";
import { refresh, start } from "./live.js";
import { watchScrolls } from "./scrolls.js";
import { localTimes } from "./times.js";

function go(url, replace) {
  history[replace ? "replaceState" : "pushState"](null, "", url);
  refresh();
}

function begin(list) {
  list.focus({ preventScroll: true });
  list.scrollIntoView();
}

function formUrl(form) {
  const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
  const text = query.toString();
  return form.getAttribute("action") + (text ? `?${text}` : "");
}

document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-nav]");
  if (!form) return;
  event.preventDefault();
  go(formUrl(form), true);
});

let typing = 0;
document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-instant]");
  if (!form) return;
  clearTimeout(typing);
  typing = setTimeout(() => go(formUrl(form), true), 120);
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-nav]");
  if (link && !event.metaKey && !event.ctrlKey && !event.shiftKey && event.button === 0) {
    event.preventDefault();
    go(link.href, false);
    // Another page of a list begins at its top.
    const { top } = link.dataset;
    if (top) addEventListener("luabus:shown", () => begin(document.getElementById(top)), { once: true });
  }
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.removeAttribute("open");
  }
});

// A menu near the lower edge opens upwards; its table scrolls sideways, so it is placed by the window, not by the table.
document.addEventListener("toggle", (event) => {
  const menu = event.target;
  if (!menu.matches?.("details.menu") || !menu.open) return;
  const items = menu.querySelector(".menu-items");
  const at = menu.getBoundingClientRect();
  const below = at.bottom + items.offsetHeight + 8 < innerHeight;
  items.style.top = `${below ? at.bottom + 4 : at.top - items.offsetHeight - 4}px`;
  items.style.left = `${Math.max(8, at.right - items.offsetWidth)}px`;
  items.querySelector("button")?.focus();
}, true);
addEventListener("scroll", () => document.querySelectorAll("details.menu[open]").forEach((menu) => menu.removeAttribute("open")), { passive: true, capture: true });

document.addEventListener("keydown", (event) => {
  const open = document.querySelector("details.menu[open]");
  if (!open) return;
  const items = [...open.querySelectorAll("button")];
  const at = items.indexOf(document.activeElement);
  if (event.key === "Escape") {
    open.removeAttribute("open");
    open.querySelector("summary").focus();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    items[(at + (event.key === "ArrowDown" ? 1 : items.length - 1)) % items.length]?.focus();
  }
});

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  document.cookie = `luabus_theme=${root.dataset.theme}; path=${root.dataset.base || "/"}; max-age=31536000; samesite=lax`;
});

addEventListener("popstate", refresh);
addEventListener("luabus:shown", watchScrolls);
watchScrolls();

localTimes(document);
// On a phone the names of the pages do not all fit side by side: the one that is shown shall be seen.
const here = document.querySelector("nav [aria-current]");
if (here) here.parentElement.scrollLeft = here.offsetLeft - (here.parentElement.clientWidth - here.offsetWidth) / 2;
for (const element of document.querySelectorAll("[data-bottom]")) element.scrollTop = element.scrollHeight;

start();
