// The charts: fetches the figures again when a step of them is complete, and draws them with uPlot in the page's colours.
import { say } from "./texts.js";
import { format } from "./units.js";

const base = document.documentElement.dataset.base;
const { lang } = document.documentElement;
const COLOURS = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5", "--series-6"];
const HEIGHT = 150;
const BRIDGED = 3; // values missing in a row that are a matter of when somebody looked, and no outage
const DAY_EVERY_MS = 60_000; // the day's values are two minutes wide: no need to ask each 5 s
const plots = new Map();
const POWERS = Array.from({ length: 50 }, (_, n) => 2 ** n); // bytes are counted in powers of two
let span = localStorage.getItem("luabus-span") === "1d" ? "1d" : "15m";
let dayAsked = 0;

// The library comes after the first paint, while the figures are fetched: the page is there without them.
function load() {
  return new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = document.querySelector("[data-uplot]").dataset.uplot;
    script.addEventListener("load", () => done(window.uPlot));
    script.addEventListener("error", failed);
    document.head.append(script);
  });
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Values with short gaps drawn through. */
function bridged(values) {
  const result = [...values];
  let last = -1;
  for (let i = 0; i < values.length; i++) {
    if (values[i] === null) continue;
    const gap = i - last - 1;
    if (last >= 0 && gap > 0 && gap <= BRIDGED) {
      for (let k = 1; k <= gap; k++) result[last + k] = values[last] + ((values[i] - values[last]) * k) / (gap + 1);
    }
    last = i;
  }
  return result;
}

const clock = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

function options(uPlot, figure, chart) {
  const axis = { stroke: colour("--muted"), font: "12px system-ui", grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  return {
    width: figure.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, sync: { key: "luabus" }, points: { size: 6 } },
    scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.08 : 1] } },
    axes: [
      { ...axis, values: (_, times) => times.map((at) => clock.format(at * 1000)), space: 70, size: 28, gap: 7 },
      { ...axis, values: (_, values) => values.map((value) => format(value, chart.unit)), size: 70, space: 34, ...(chart.unit.startsWith("B") ? { incrs: POWERS } : {}) },
    ],
    series: [
      {},
      ...chart.series.map((one, index) => ({
        label: one.name,
        stroke: colour(COLOURS[index % COLOURS.length]),
        width: 1.75,
        points: { show: false },
        fill: chart.series.length === 1 ? `${colour(COLOURS[0])}22` : undefined,
      })),
    ],
    hooks: { setCursor: [(plot) => legend(figure, chart, plot.cursor.idx ?? null)] },
  };
}

/** The values at a moment, or the newest, under the chart: what a mouse finds by pointing, everybody can read. */
function legend(figure, chart, index) {
  const items = chart.series.map((one, number) => {
    const item = document.createElement("li");
    const known = index === null ? one.values.findLast((value) => value !== null) : one.values[index];
    const swatch = Object.assign(document.createElement("i"), { className: `swatch swatch-${(number % COLOURS.length) + 1}` });
    const name = one.name === "all" ? "" : `${one.name} `;
    item.append(swatch, name, Object.assign(document.createElement("b"), { textContent: format(known ?? null, chart.unit) }));
    return item;
  });
  figure.querySelector(".chart-legend").replaceChildren(...items);
}

function draw(uPlot, figure, chart) {
  const empty = !chart.series.some((one) => one.values.filter((value) => value !== null).length > 1);
  figure.classList.toggle("is-empty", empty);
  const names = chart.series.map((one) => one.name).join() + chart.unit;
  const data = [chart.at, ...chart.series.map((one) => bridged(one.values))];
  const known = plots.get(figure);
  if (known && known.names === names && !empty) {
    known.chart = Object.assign(known.chart, chart);
    known.plot.setData(data);
  } else {
    // A dashboard that was started anew knows nothing yet: what was drawn goes, so that the message lies over nothing.
    known?.plot.destroy();
    plots.delete(figure);
    const place = figure.querySelector(".plot");
    if (!empty) plots.set(figure, { plot: new uPlot(options(uPlot, figure, chart), data, place), names, chart });
  }
  const shown = plots.get(figure)?.chart ?? chart;
  legend(figure, shown, null);
}

/** Fetch the figures, and draw them with what `library` promised. */
async function update(library) {
  if (span === "1d" && Date.now() - dayAsked < DAY_EVERY_MS) return;
  dayAsked = Date.now();
  const asked = span;
  await Promise.all(
    [...document.querySelectorAll("[data-chart]")].map(async (figure) => {
      const query = new URLSearchParams({ kind: figure.dataset.chart, window: asked });
      if (figure.dataset.of) query.set("of", figure.dataset.of);
      const answer = await fetch(`${base}/api/v1/series?${query}`);
      if (!answer.ok) return;
      const [uPlot, chart] = [await library, await answer.json()];
      if (asked === span) draw(uPlot, figure, chart);
    }),
  ).catch(() => {}); // the live line says that the dashboard is away; the next step asks again
}

function again(library) {
  for (const { plot } of plots.values()) plot.destroy();
  plots.clear();
  dayAsked = 0;
  update(library);
}

function choose(value) {
  span = value;
  localStorage.setItem("luabus-span", value);
  for (const button of document.querySelectorAll("[data-span]")) button.setAttribute("aria-pressed", String(button.dataset.span === value));
}

if (document.querySelector("[data-chart]")) {
  choose(span);
  const library = load();
  update(library);
  addEventListener("luabus:series", () => update(library));
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-span]");
    if (!button) return;
    choose(button.dataset.span);
    again(library);
  });
  new MutationObserver(() => again(library)).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => again(library));
  const sizes = new ResizeObserver((entries) => {
    for (const { target } of entries) plots.get(target)?.plot.setSize({ width: target.clientWidth, height: HEIGHT });
  });
  for (const figure of document.querySelectorAll("[data-chart]")) {
    figure.querySelector(".chart-empty").textContent = say("ui.two-values-are-needed");
    sizes.observe(figure);
  }
}
