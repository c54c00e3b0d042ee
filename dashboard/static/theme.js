// In the head and not a module: the theme must be right before the first paint.
"use strict";
(() => {
  const kept = localStorage.getItem("luabus-theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
})();
