
"use strict";
// Renews the page in place, so that it neither flickers nor scrolls, and says
// so when the daemon does not answer. Without scripts the page reloads itself.
const every = 2000;
async function renew() {
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(6000) });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const now = page.querySelector("main");
    if (!now) throw new Error("this is not the status page");
    document.querySelector("main").replaceWith(now);
    document.title = page.title;
    document.getElementById("stale").hidden = true;
  } catch {
    document.getElementById("stale").hidden = false;
    document.title = "vrrpd: no answer";
  }
  setTimeout(renew, every);
}
setTimeout(renew, every);
