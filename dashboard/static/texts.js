// The few words that the scripts say themselves, in the page's language.
const { lang } = document.documentElement;
const words = lang === "en" ? {} : await fetch(new URL(`locale/${lang}.json`, import.meta.url)).then((answer) => (answer.ok ? answer.json() : {}), () => ({}));

/** The text in the page's language; English when there is none. */
export const say = (text) => words[text] ?? text;
