// The hub of all pages of this browser: one, however many pages are open.
import { Hub } from "./hub.js";

const hub = new Hub(new URL("../..", import.meta.url).href);
addEventListener("connect", (event) => hub.join(event.ports[0]));
