// Tables that are wider than their place: shows at the edge that there is more, for as long as there is.

const seen = new WeakSet();
const sizes = new ResizeObserver((entries) => entries.forEach(({ target }) => mark(target.closest(".scroll"))));

function mark(place) {
  place?.classList.toggle("more", place.scrollWidth - place.clientWidth - place.scrollLeft > 2);
}

/** Watch every table of the page that was not there before. */
export function watchScrolls() {
  for (const place of document.querySelectorAll(".scroll")) {
    mark(place);
    if (seen.has(place)) continue;
    seen.add(place);
    place.addEventListener("scroll", () => mark(place), { passive: true });
    sizes.observe(place);
    sizes.observe(place.firstElementChild);
  }
}
