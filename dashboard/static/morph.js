// Makes one piece of the page equal to a newer one, touching only what differs: focus, scroll, selection, open menus and what
// somebody is typing stay as they are.

/** Make `from` equal to `to`. Elements with `data-keep` are left alone. */
export function morph(from, to) {
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) {
    from.replaceWith(to);
    return;
  }
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  if (from.hasAttribute("data-keep")) return;
  attributes(from, to);
  children(from, to);
}

// What the person at the page has set, and the server does not know.
const theirs = { DETAILS: ["open"], DIALOG: ["open"] };

function attributes(from, to) {
  const kept = theirs[from.nodeName] ?? [];
  for (const { name, value } of [...to.attributes]) {
    if (!kept.includes(name) && from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  for (const { name } of [...from.attributes]) {
    if (!kept.includes(name) && !to.hasAttribute(name)) from.removeAttribute(name);
  }
  if (from === document.activeElement) return;
  if (from.nodeName === "INPUT" && from.value !== to.value && from.type !== "file") from.value = to.value;
  if (from.nodeName === "INPUT" && from.checked !== to.checked) from.checked = to.checked;
  const select = from.nodeName === "OPTION" && from.closest("select"); // those of a datalist are not chosen among
  if (select && !select.matches(":focus")) from.selected = to.hasAttribute("selected") || (to.selected && !select.querySelector("option[selected]"));
}

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.dataset.key || node.id : "");

function children(from, to) {
  const keyed = new Map();
  for (const child of from.childNodes) {
    const key = keyOf(child);
    if (key) keyed.set(key, child);
  }
  const wanted = new Set([...to.childNodes].map(keyOf).filter(Boolean));
  let place = from.firstChild;
  for (const next of [...to.childNodes]) {
    const key = keyOf(next);
    // What has a key that is not wanted any more goes first, so that its neighbours are met at the right place.
    while (place && keyOf(place) && !wanted.has(keyOf(place))) {
      const gone = place;
      place = place.nextSibling;
      gone.remove();
    }
    const same = key ? keyed.get(key) : place && !keyOf(place) && place.nodeName === next.nodeName ? place : null;
    if (!same) {
      from.insertBefore(next, place);
    } else if (same === place) {
      place = place.nextSibling;
      morph(same, next);
    } else {
      from.insertBefore(same, place);
      morph(same, next);
    }
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
}
