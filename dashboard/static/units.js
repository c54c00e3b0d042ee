// Numbers as people read them, like `render/words.py` on the server.
const scaled = (value, steps, factor) => {
  let unit = 0;
  while (value >= factor && unit < steps.length - 1) {
    value /= factor;
    unit += 1;
  }
  const digits = value === 0 || value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 1 : 2;
  return `${Number(value.toFixed(digits))}${steps[unit]}`;
};

/** A value with its unit; a dash for null. */
export function format(value, unit) {
  if (value === null || value === undefined) return "–";
  if (unit === "/s") return scaled(value, ["/s", " k/s", " M/s"], 1000);
  if (unit === "B" || unit === "B/s") return scaled(value, [" B", " KiB", " MiB", " GiB"].map((one) => one + unit.slice(1)), 1024);
  if (unit === "ms") return value >= 1000 ? scaled(value / 1000, [" s"], 1000) : value < 1 && value > 0 ? `${Math.round(value * 1000)} µs` : scaled(value, [" ms"], 1e9);
  if (unit === "%") return `${scaled(value, [""], 1e9)} %`;
  return scaled(value, ["", " k", " M"], 1000);
}
