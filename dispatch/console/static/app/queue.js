// The queue: open cases, unacknowledged first, then level, then what is due next. Rows are placed by
// transform, so an update never shifts the page's layout; while the pointer moves over the list its
// order stands still and what is new waits, counted, until it leaves: nobody clicks a row that just moved.

import { now } from "./clock.js";

const ENDED = new Set(["closed", "declined", "merged", "voided"]);
const STAGES = {
  new: (one) => ["detected", "verified"].includes(one.state),
  work: (one) => ["filed", "dispatched", "accepted", "returned", "arrived", "handling", "rework", "deferred", "suspended"].includes(one.state),
  check: (one) => ["reported", "checking"].includes(one.state),
  ended: (one) => ENDED.has(one.state),
};
const STILL_MS = 2500;
const SHOWN = 400;

export function startQueue(boot, sound) {
  const list = document.getElementById("rows");
  const notice = document.getElementById("queue-notice");
  const search = document.getElementById("search");
  const network = document.getElementById("network");
  const cases = new Map();
  const rows = new Map();
  const chosen = { level: new Set(), stage: new Set(), network: "", zone: "", text: "" };
  let order = [];
  let selected = null;
  let movedAt = 0;
  let held = 0;
  let more = boot.cases.next !== null;
  let served = null;
  const hidden = new Set();
  const onSelect = [];

  const unseen = (one) => !one.acknowledged_by && !ENDED.has(one.state);
  const due = (one) => (one.due_at && !one.stopped_at ? Date.parse(one.due_at) : Infinity);

  function sorted() {
    return [...cases.values()]
      .filter(fits)
      .sort(
        (a, b) =>
          unseen(b) - unseen(a) ||
          a.level - b.level ||
          due(a) - due(b) ||
          Date.parse(a.opened_at) - Date.parse(b.opened_at) ||
          (a.case_id < b.case_id ? -1 : 1),
      )
      .slice(0, SHOWN);
  }

  function fits(one) {
    if (ENDED.has(one.state) && !chosen.stage.has("ended")) return false;
    if (chosen.level.size && !chosen.level.has(String(one.level))) return false;
    if (chosen.stage.size && ![...chosen.stage].some((stage) => STAGES[stage](one))) return false;
    if (chosen.network && one.network !== chosen.network) return false;
    if (chosen.zone && one.zone !== chosen.zone) return false;
    return !chosen.text || haystack(one).includes(chosen.text);
  }

  function haystack(one) {
    return [one.case_id, what(one), where(one), unit(one), one.place, one.text].join(" ").toLowerCase();
  }

  const named = (one) => boot.words.categories[one.category] ?? one.category;
  const what = (one) => (one.network === "device" && one.category !== "device_silence" ? `${boot.words.network.device} · ${named(one)}` : named(one));
  const where = (one) => boot.zones[one.zone] ?? one.zone ?? boot.words.no_zone;
  const unit = (one) => boot.units[one.unit] ?? one.unit ?? "";

  function node(tag, className, text) {
    const made = document.createElement(tag);
    made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function shape(level) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("class", "shape");
    svg.setAttribute("aria-hidden", "true");
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    use.setAttribute("href", `#l${level}`);
    svg.append(use);
    return svg;
  }

  function build(one) {
    const item = node("li", "row");
    item.dataset.case = one.case_id;
    const link = node("a", "row-link");
    link.href = `/cases/${one.case_id}`;
    link.append(
      node("span", "level"),
      node("span", "what"),
      node("span", "due"),
      node("span", "where"),
      node("span", "state"),
      node("span", "age"),
    );
    item.append(link);
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      if (matchMedia("(max-width: 899px)").matches) return;
      event.preventDefault();
      select(one.case_id, true);
    });
    return item;
  }

  function fill(item, one) {
    const seen = JSON.stringify(one);
    if (item.dataset.seen === seen) return;
    item.dataset.seen = seen;
    item.dataset.level = one.level;
    item.classList.toggle("unseen-case", unseen(one));
    item.classList.toggle("ended", ENDED.has(one.state));
    const [level, title, dueBox, whereBox, state, ageBox] = item.firstChild.children;
    level.className = `level l${one.level}`;
    level.replaceChildren(shape(one.level), node("b", "", boot.words.level[one.level]));
    title.textContent = what(one);
    whereBox.textContent = [where(one), unit(one)].filter(Boolean).join(" · ");
    state.replaceChildren(node("b", "", boot.words.state[one.state]));
    if (one.condition === "cleared") state.append(node("i", "cleared", boot.words.condition.cleared));
    if (one.alerts_n > 1) state.append(node("i", "many", `×${one.alerts_n}`));
    const kind = Object.keys(one.clocks ?? {}).find((name) => one.clocks[name] === one.due_at);
    dueBox.replaceChildren();
    if (kind && Number.isFinite(due(one))) {
      const clock = node("time", "", "");
      clock.dataset.due = due(one);
      dueBox.append(node("span", "kind", boot.words.clock[kind]), " ", clock);
    } else if (one.stopped_at) {
      dueBox.append(node("span", "kind", boot.words.clock.stopped));
    }
    const since = node("time", "", "");
    since.dataset.since = Date.parse(one.opened_at);
    ageBox.replaceChildren(since);
  }

  const height = () => parseFloat(getComputedStyle(list).getPropertyValue("--row"));

  function place() {
    order = sorted().map((one) => one.case_id);
    held = 0;
    arrange();
  }

  function arrange() {
    const step = height();
    const focused = document.activeElement?.closest?.(".row");
    const wanted = new Set(order);
    for (const [id, item] of rows) {
      if (!wanted.has(id)) {
        item.remove();
        rows.delete(id);
      }
    }
    let before = null;
    order.forEach((id, index) => {
      let item = rows.get(id);
      if (!item) {
        item = build(cases.get(id));
        rows.set(id, item);
      }
      fill(item, cases.get(id));
      item.style.transform = `translateY(${index * step}px)`;
      item.firstChild.setAttribute("aria-current", String(id === selected));
      // The document's order follows the screen's, for readers and for Tab.
      const expected = before ? before.nextSibling : list.firstChild;
      if (expected !== item) list.insertBefore(item, expected);
      before = item;
    });
    list.style.setProperty("--rows", order.length);
    if (focused?.isConnected && document.activeElement !== focused.firstChild) {
      focused.firstChild.focus({ preventScroll: true });
    }
    tell();
    sum();
    document.dispatchEvent(new Event("cityvigil:rows"));
  }

  function tell() {
    if (held) {
      notice.replaceChildren(node("span", "held", boot.words.queue.held.replace("{n}", held)));
    } else if (chosen.zone) {
      const clear = node("button", "held", `${where({ zone: chosen.zone })} ✕`);
      clear.type = "button";
      clear.addEventListener("click", () => filterZone(""));
      notice.replaceChildren(clear);
    } else if (!order.length) {
      const any = [...cases.values()].some((one) => !ENDED.has(one.state));
      notice.textContent = any ? boot.words.queue.none_fit : boot.words.queue.none;
    } else {
      notice.textContent = more ? boot.words.queue.more.replace("{n}", order.length) : "";
    }
  }

  function put(one) {
    const before = cases.get(one.case_id);
    // Events may come again after a reconnect; an older version never replaces a newer one.
    if (before && (before.version > one.version || before.updated_at > one.updated_at)) return;
    cases.set(one.case_id, one);
    const grew = !before || one.level < before.level;
    if (grew && one.level <= 2 && unseen(one)) sound?.raised();
    const row = rows.get(one.case_id);
    if (row) fill(row, one);
    if (now() - movedAt < STILL_MS) {
      if (!before && fits(one)) held += 1;
      hidden.add(one.case_id);
      tell();
    } else {
      place();
    }
  }

  function select(id, open) {
    selected = id;
    for (const [key, item] of rows) item.firstChild.setAttribute("aria-current", String(key === id));
    for (const listener of onSelect) listener(id, open);
  }

  function move(by) {
    if (!order.length) return;
    const at = order.indexOf(selected);
    const next = order[Math.min(order.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
    select(next, false);
    const link = rows.get(next).firstChild;
    link.focus({ preventScroll: true });
    rows.get(next).scrollIntoView({ block: "nearest" });
  }

  function filterZone(zone) {
    chosen.zone = zone;
    place();
  }

  async function reload() {
    const query = chosen.stage.has("ended") ? "" : "?open=1";
    const answer = await fetch(`/queue${query}`);
    if (!answer.ok) return;
    const page = await answer.json();
    cases.clear();
    for (const one of page.items) cases.set(one.case_id, one);
    more = page.next !== null;
    place();
  }

  for (const chip of document.querySelectorAll(".chip")) {
    chip.addEventListener("click", () => {
      const on = chip.getAttribute("aria-pressed") !== "true";
      chip.setAttribute("aria-pressed", String(on));
      chosen[chip.dataset.filter][on ? "add" : "delete"](chip.dataset.value);
      if (chip.dataset.value === "ended" && on) reload();
      else place();
    });
  }
  network.addEventListener("change", () => {
    chosen.network = network.value;
    place();
  });
  search.addEventListener("input", () => {
    chosen.text = search.value.trim().toLowerCase();
    place();
  });
  list.addEventListener("pointermove", () => (movedAt = now()));
  list.addEventListener("pointerleave", () => {
    movedAt = 0;
    if (hidden.size) place();
    hidden.clear();
  });
  setInterval(() => {
    if (hidden.size && now() - movedAt >= STILL_MS) {
      hidden.clear();
      place();
    }
  }, 1000);

  for (const one of boot.cases.items) cases.set(one.case_id, one);
  sound?.watch(
    () => Math.min(...[...cases.values()].filter((one) => unseen(one) && one.level <= 2).map((one) => one.level), 9) % 9 || null,
    () => [...cases.values()].filter((one) => unseen(one) && one.level <= 2).flatMap((one) => one.alerts).slice(0, 20),
  );
  counted(boot.health.counts);
  place();

  function counted(counts) {
    served = counts ?? served;
    sum();
    if (!counts) return;
    const rate = document.getElementById("rate");
    rate.textContent = rate.dataset.text.replace("{n}", counts.raised_10min);
    rate.dataset.state = counts.raised_10min > 10 ? "flood" : "";
  }

  // What is loaded is counted here, at once; a flood that is not all loaded, by the server.
  function sum() {
    const open = [...cases.values()].filter((one) => !ENDED.has(one.state));
    const levels = { 1: 0, 2: 0, 3: 0, 4: 0 };
    for (const one of open) levels[one.level] += 1;
    const all = more && served ? served.open_cases : levels;
    const total = Object.values(all).reduce((a, b) => a + b, 0);
    document.getElementById("sum-open").textContent = total;
    document.getElementById("sum-unseen").textContent = more && served ? served.cases_unseen : open.filter(unseen).length;
    for (const box of document.querySelectorAll("[data-count]")) box.textContent = all[box.dataset.count] ?? 0;
  }

  return {
    put,
    move,
    select,
    reload,
    counted,
    filterZone,
    all: () => cases,
    selected: () => selected,
    onSelect: (listener) => onSelect.push(listener),
    open: () => selected && select(selected, true),
    focusSearch: () => search.focus(),
    isOpen: (one) => !ENDED.has(one.state),
    unseen,
  };
}
