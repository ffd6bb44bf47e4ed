const page = () => document.getElementById("page");
const offline = document.getElementById("offline");

async function refresh() {
  // Not under somebody's hands: while they point at a run, or copy an error.
  if (document.hidden || document.querySelector(".bars:hover") || !getSelection().isCollapsed) return;
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(10000) });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const main = fresh.getElementById("page");
    if (!main) throw new Error("not a status page");
    for (const open of page().querySelectorAll("details[open]")) {
      fresh.getElementById(open.id)?.setAttribute("open", "");
    }
    page().replaceWith(main);
    document.title = fresh.title;
    document.querySelector("link[rel=icon]").replaceWith(fresh.querySelector("link[rel=icon]"));
    offline.hidden = true;
  } catch {
    offline.hidden = false;
  }
}

setInterval(refresh, Number(document.currentScript.dataset.seconds) * 1000);
document.addEventListener("visibilitychange", refresh);
