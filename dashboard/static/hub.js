// What all pages of one browser hear from the dashboard, over one stream of notices and one of log lines: a browser has six
// connections to a host, so pages that each held their own would soon shut one another out. It lives in a SharedWorker
// (hub-worker.js), or in the page itself where there is none.

const GONE_MS = 20_000; // a page says every 5 s that it is there; one that crashed says nothing more
const SETTLE_MS = 50; // twelve pages that come at once are one change
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 4000;
const LOG_LINES = 1000;

/** One stream of server-sent events, opened again when it breaks or falls silent for `silentMs`. */
class Line {
  #source = null;
  #url = "";
  #timer = 0;
  #heard = 0;

  /** `tell(name, data)` gets each event of `events`; `"broken"` and how often in a row; and `"opened"`. */
  constructor(events, silentMs, tell) {
    this.events = events;
    this.silentMs = silentMs;
    this.tell = tell;
    this.failures = 0;
  }

  get url() {
    return this.#url;
  }

  /** Hear what is at `url`, from its beginning; nothing, when it is empty. */
  follow(url) {
    this.#url = url;
    this.failures = 0;
    this.#close();
    if (url) this.#open();
  }

  /** Look whether it is still alive. What is silent may hang in the network for ever: a new one tells. */
  check() {
    if (this.#source && Date.now() - this.#heard > this.silentMs) {
      this.#close();
      this.#open();
    }
  }

  #open() {
    const source = new EventSource(this.#url);
    this.#source = source;
    this.#heard = Date.now();
    this.tell("opened", null);
    for (const name of this.events) {
      source.addEventListener(name, (event) => {
        if (source !== this.#source) return;
        this.#heard = Date.now();
        this.failures = 0;
        this.tell(name, JSON.parse(event.data));
      });
    }
    source.addEventListener("error", () => {
      if (source !== this.#source) return;
      const refused = source.readyState === EventSource.CLOSED; // answered, but not with a stream: the session may have ended
      this.#close();
      this.failures += 1;
      this.#timer = setTimeout(() => this.#open(), Math.min(FIRST_RETRY_MS * 2 ** (this.failures - 1), LAST_RETRY_MS));
      this.tell("broken", { failures: this.failures, refused });
    });
  }

  #close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }
}

/** Joins pages, each by a MessagePort. A page sends `{visible, log}` whenever that changes and every few seconds, and
 * `{gone: true}`; it is sent `{kind: "changed", versions}`, `{kind: "alive"}`, `{kind: "broken", failures, refused}` and
 * `{kind: "lines", name, lines, first}`. While no page is visible, no stream is open. */
export class Hub {
  #pages = new Map();
  #versions = {};
  #begun = new Set();
  #timer = 0;
  #fresh = false;
  #noticesUrl;

  constructor(base) {
    this.base = base;
    this.#noticesUrl = `${base}api/v1/events?notices=true`;
    this.notices = new Line(["changed", "alive"], 10_000, (name, data) => this.#notice(name, data));
    this.logs = new Line(["lines", "alive"], 25_000, (name, data) => this.#lines(name, data));
    setInterval(() => this.#look(), 1000);
  }

  join(port) {
    port.addEventListener("message", ({ data }) => this.#heard(port, data));
    port.start();
  }

  #heard(port, said) {
    const before = this.#pages.get(port);
    if (said.gone) {
      this.#pages.delete(port);
      port.close();
    } else {
      this.#pages.set(port, { visible: said.visible, log: said.log, at: Date.now() });
    }
    const shown = Boolean(said.visible && !said.gone);
    if (shown && !before?.visible) this.#greet(port);
    // All pages share one stream of notices: it need not wait for the others.
    if (shown && !this.notices.url) this.notices.follow(this.#noticesUrl);
    // A log is told from its beginning: who comes to one needs the stream anew.
    if (shown && said.log && (!before?.visible || before.log !== said.log)) this.#fresh = true;
    if (Boolean(before?.visible) !== shown || before?.log !== said.log) this.#settleSoon();
  }

  /** What a page that joins must know now, and not with the next change. */
  #greet(port) {
    if (this.notices.failures) port.postMessage({ kind: "broken", failures: this.notices.failures, refused: false });
    else if (Object.keys(this.#versions).length) port.postMessage({ kind: "changed", versions: this.#versions });
  }

  #settleSoon() {
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      this.#settle();
    }, SETTLE_MS);
  }

  #settle() {
    const shown = this.#visible();
    if (!shown.length) this.#versions = {};
    const notices = shown.length ? this.#noticesUrl : "";
    if (notices !== this.notices.url) this.notices.follow(notices);
    const names = [...new Set(shown.map(({ log }) => log).filter(Boolean))].sort();
    // A log that nobody looks at any more goes with the next change: to begin all the others anew costs more.
    if (!names.length && this.logs.url) this.logs.follow("");
    else if (names.length && this.#fresh) this.logs.follow(`${this.base}api/v1/follow?${new URLSearchParams({ names, lines: LOG_LINES })}`);
    this.#fresh = false;
  }

  #visible() {
    return [...this.#pages.values()].filter(({ visible }) => visible);
  }

  #look() {
    for (const [port, { visible, at }] of this.#pages) {
      if (visible && Date.now() - at > GONE_MS) {
        this.#pages.delete(port);
        this.#settleSoon();
      }
    }
    this.notices.check();
    this.logs.check();
  }

  #notice(name, data) {
    if (name === "opened") this.#versions = {};
    else if (name === "changed") this.#tell({ kind: "changed", versions: (this.#versions = { ...this.#versions, ...data }) });
    else this.#tell({ kind: name, ...data });
  }

  #lines(name, data) {
    if (name === "opened") this.#begun.clear();
    if (name !== "lines") return; // while a log is away, the notices say what is the matter
    this.#tell({ kind: "lines", ...data, first: !this.#begun.has(data.name) }, (page) => page.log === data.name);
    this.#begun.add(data.name);
  }

  #tell(message, wanted = () => true) {
    for (const [port, page] of this.#pages) if (page.visible && wanted(page)) port.postMessage(message);
  }
}
