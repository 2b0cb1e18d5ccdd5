// The live stream: small JSON patches over server-sent events. A lost connection is loud: the page
// greys, says since when, and catches up by itself; the browser sends Last-Event-ID when it returns.

const STALE_AFTER_MS = 12_000; // the server speaks at least every 5 s

export function openLive(boot, on) {
  const link = document.getElementById("link");
  const text = document.getElementById("link-text");
  const lost = document.getElementById("lost");
  let source = null;
  let last = boot.live_from;
  let heard = Date.now();
  let lostSince = null;
  let ending = false;

  function alive() {
    heard = Date.now();
    if (lostSince === null && link.dataset.state === "ok") return;
    lostSince = null;
    link.dataset.state = "ok";
    text.textContent = link.dataset.ok;
    document.body.classList.remove("is-lost");
    lost.hidden = true;
  }

  function gone() {
    if (ending) return;
    lostSince ??= heard;
    link.dataset.state = "lost";
    document.body.classList.add("is-lost");
    const since = new Date(lostSince + boot.offset_ms + 8 * 3600_000).toISOString().slice(11, 19);
    text.textContent = link.dataset.lost.replace("{since}", since);
    lost.textContent = text.textContent;
    lost.hidden = false;
  }

  function open() {
    source?.close();
    source = new EventSource(`/live?after=${last}`);
    const take = (kind) => (event) => {
      last = event.lastEventId || last;
      alive();
      on[kind](JSON.parse(event.data));
    };
    source.addEventListener("open", alive);
    source.addEventListener("case", take("case"));
    source.addEventListener("alert", take("alert"));
    source.addEventListener("health", take("health"));
    source.addEventListener("reset", async (event) => {
      last = event.lastEventId || last;
      alive();
      await on.caughtUp();
    });
    source.addEventListener("goodbye", () => {
      location.href = `/login?next=${encodeURIComponent(location.pathname)}`; // the session is over
    });
    source.addEventListener("error", () => {
      gone();
      // CLOSED means that the browser gave up (an answer that was no stream); else it retries itself.
      if (source.readyState === EventSource.CLOSED) setTimeout(open, 2000);
    });
  }

  setInterval(() => {
    if (Date.now() - heard > STALE_AFTER_MS) {
      gone();
      open();
      heard = Date.now() - STALE_AFTER_MS / 2;
    }
  }, 2000);
  // A page that is being left loses its stream: that is no news.
  window.addEventListener("pagehide", () => {
    ending = true;
    source?.close();
  });
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) {
      ending = false;
      open();
    }
  });
  open();
}
