// A link from elsewhere (a chat, a mail) comes without the session's cookie, because it is SameSite=Strict. Asking from this
// page sends it: if there is a session, go on. A token after # never leaves the browser but in the form's body.
const base = document.documentElement.dataset.base;
const form = document.querySelector("form");
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  history.replaceState(null, "", location.pathname + location.search);
  form.elements.token.value = given;
  form.requestSubmit();
} else if (!document.querySelector(".problem")) {
  const { role } = await fetch(`${base}/api/v1/session`).then((answer) => answer.json());
  if (role) location.replace(base + form.elements.next.value);
}
