// The few words that the scripts say themselves, in the page's language.
const { lang } = document.documentElement;
const words = await fetch(new URL(`locale/${lang}.json`, import.meta.url)).then((answer) => (answer.ok ? answer.json() : {}), () => ({}));

/** As `fetch`; where the dashboard cannot be reached, the error says so in the page's language, and not in the browser's words. */
export const reach = (url, options) =>
  fetch(url, options).catch(() => {
    throw new Error(say("ui.the-dashboard-cannot-be-reached"));
  });

/** The text of a code in the page's language. */
export const say = (code) => words[code] ?? code;
