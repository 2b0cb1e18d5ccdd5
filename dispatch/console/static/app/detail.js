// The detail: the server's page of one case, swapped in by htmx. When the case moves on elsewhere the
// page is renewed at once, unless somebody is writing in it: then it says so and keeps what was typed.

export function startDetail(boot, queue) {
  const box = document.getElementById("detail");
  const toast = document.getElementById("toast");
  let timer = null;
  let focused = null;
  let latest = null;
  let stale = false;

  const shown = () => box.querySelector("article.case");

  async function open(id) {
    document.body.dataset.tab = "detail";
    press("detail");
    await htmx.ajax("GET", `/cases/${encodeURIComponent(id)}/panel`, { target: "#detail", swap: "innerHTML" });
    box.scrollTop = 0;
  }

  function refresh() {
    const article = shown();
    if (!article) return;
    stale = false;
    const how = { target: "#detail", swap: "innerHTML", headers: { "X-Renewal": "1" } };
    htmx.ajax("GET", `/cases/${encodeURIComponent(article.dataset.case)}/panel`, how);
  }

  function writing() {
    const active = document.activeElement;
    if (box.contains(active) && active.matches("input, textarea, select")) return true;
    if (box.querySelector("details[open]")) return true;
    return [...box.querySelectorAll("textarea, input:not([type=hidden]):not([type=radio])")].some((one) => one.value !== one.defaultValue);
  }

  function soon() {
    clearTimeout(timer);
    timer = setTimeout(refresh, 120);
  }

  function caseChanged(one) {
    const article = shown();
    if (!article || article.dataset.case !== one.case_id) return;
    if (Number(article.dataset.version) > one.version) return;
    latest = one;
    if (writing()) keepWriting();
    else soon();
  }

  // What is being written stays; the rest is renewed when the writing is over.
  function keepWriting() {
    stale = true;
    const article = shown();
    if (!article || latest?.case_id !== article.dataset.case || Number(article.dataset.version) >= latest.version) return;
    const moved = article.querySelector("#moved");
    moved.firstElementChild.textContent = boot.words.moved.replace("{state}", boot.words.state[latest.state]);
    moved.hidden = false;
  }

  function alertChanged(one) {
    const article = shown();
    if (!article || article.dataset.case !== one.case_id) return;
    if (writing()) keepWriting();
    else soon();
  }

  function press(tab) {
    for (const button of document.querySelectorAll("[data-tab]:is(button)")) {
      button.setAttribute("aria-pressed", String(button.dataset.tab === tab));
    }
  }

  function focusAct(name) {
    const act = box.querySelector(`[data-act="${name}"]`);
    if (!act) return say(boot.words.not_now);
    if (act.tagName === "DETAILS") act.open = true;
    const first = act.querySelector("input:not([type=hidden]):checked, select, textarea, input:not([type=hidden]), button");
    act.scrollIntoView({ block: "nearest" });
    (name === "dispatch" ? act.querySelector("button") : first).focus();
  }

  function acknowledge() {
    const form = box.querySelector('form[data-act="acknowledge"]');
    const article = shown();
    // Level 1 is acknowledged only with the case open; so is any other whose detail is not the selected one.
    if (!article || (queue?.selected() && queue.selected() !== article.dataset.case)) {
      const one = queue?.all().get(queue.selected());
      if (one && one.level > 1) {
        return htmx.ajax("POST", `/cases/${encodeURIComponent(one.case_id)}/acknowledge`, { target: "#detail", swap: "innerHTML" });
      }
      return say(boot.words.open_first);
    }
    if (!form) return say(boot.words.seen_already);
    form.requestSubmit();
  }

  function focusNote() {
    const note = box.querySelector(".acts .note input, .acts .note textarea");
    if (note) note.focus();
    else say(boot.words.not_now);
  }

  function say(text) {
    toast.textContent = text;
    toast.classList.add("shown");
    clearTimeout(say.timer);
    say.timer = setTimeout(() => toast.classList.remove("shown"), 4000);
  }

  // A button that is being pressed stays until it is released: swapped away in between, it would never be clicked.
  let pressed = false;
  box.addEventListener("pointerdown", () => { pressed = true; });
  for (const over of ["pointerup", "pointercancel"]) {
    window.addEventListener(over, () => setTimeout(() => { pressed = false; }));
  }

  // Answers can overtake each other: an older picture of the case never replaces a newer one.
  box.addEventListener("htmx:beforeSwap", (event) => {
    // A renewal that was asked for before somebody began to write must not take their words away.
    if (event.detail.requestConfig.headers["X-Renewal"] && writing()) {
      event.detail.shouldSwap = false;
      return keepWriting();
    }
    const [, id, version] = event.detail.serverResponse.match(/data-case="([^"]+)" data-version="(\d+)"/) ?? [];
    const article = shown();
    if (pressed && article?.dataset.case === id) {
      event.detail.shouldSwap = false;
      return soon();
    }
    if (event.detail.requestConfig.headers["X-Renewal"] && article?.dataset.case !== id) event.detail.shouldSwap = false;
    if (article?.dataset.case === id && Number(version) < Number(article.dataset.version)) event.detail.shouldSwap = false;
    const active = document.activeElement;
    focused = box.contains(active) ? (active.closest("[data-act]")?.dataset.act ?? "") : null;
  });
  // Who works by keyboard stays where they were: at the same action if it is still there.
  box.addEventListener("htmx:afterSettle", () => {
    if (focused === null || box.contains(document.activeElement)) return;
    const again = focused && box.querySelector(`[data-act="${focused}"] button:not(:disabled)`);
    (again || box).focus({ preventScroll: true });
  });

  box.addEventListener("focusout", () => setTimeout(() => stale && !writing() && refresh()));

  queue?.onSelect((id, wanted) => wanted && open(id));
  for (const button of document.querySelectorAll("button[data-tab]")) {
    button.addEventListener("click", () => {
      document.body.dataset.tab = button.dataset.tab;
      press(button.dataset.tab);
      window.dispatchEvent(new Event("resize"));
    });
  }
  document.body.addEventListener("htmx:sendError", () => say(boot.words.not_sent));
  document.body.addEventListener("htmx:responseError", (event) => {
    const status = event.detail.xhr.status;
    if (status === 401) location.href = "/login";
    else if (![403, 409, 422].includes(status)) say(boot.words.failed.replace("{status}", status));
  });

  const dialog = document.getElementById("new-case-dialog");
  document.getElementById("new-case")?.addEventListener("click", () => dialog.showModal());
  for (const button of document.querySelectorAll("dialog [data-close]")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
  document.body.addEventListener("case-opened", (event) => {
    dialog?.close();
    dialog?.querySelector("form").reset();
    document.getElementById("new-case-answer").replaceChildren();
    queue?.select(event.detail.value, true);
  });

  return { caseChanged, alertChanged, refresh, open, focusAct, focusNote, acknowledge, say, newCase: () => dialog?.showModal(), focus: () => box.focus() };
}
