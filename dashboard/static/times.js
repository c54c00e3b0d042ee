// Moments as the person's clock shows them: the server writes UTC, which is right everywhere and read nowhere.
const { lang } = document.documentElement;
const clock = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(lang, { month: "short", day: "numeric" });

const exact = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" });
const zoned = new Intl.DateTimeFormat(lang, { dateStyle: "medium", timeStyle: "long" });

/** A moment to the millisecond, in local time: short, with the day if that is not today; and the whole with its zone. */
export function exactTime(text) {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return [text, text];
  return [at.toDateString() === new Date().toDateString() ? exact.format(at) : `${day.format(at)} ${exact.format(at)}`, zoned.format(at)];
}

/** Write every `<time data-time>` under `root` in local time; the day is left out when it is today, unless it is `full`. */
export function localTimes(root) {
  const today = new Date().toDateString();
  for (const time of root.querySelectorAll("time[data-time]")) {
    const at = new Date(time.dateTime);
    const whole = at.toLocaleString(lang);
    const short = at.toDateString() === today ? clock.format(at) : `${day.format(at)} ${clock.format(at)}`;
    time.textContent = time.dataset.time === "full" ? whole : short;
    time.title = whole;
  }
}
