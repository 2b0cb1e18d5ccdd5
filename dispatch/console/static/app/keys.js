// Keys for those who work without a mouse. By physical key, not while composing (pinyin) or in a field;
// each can be given another key, and all can be switched off (WCAG 2.1.4).

const DEFAULTS = {
  down: "KeyJ",
  up: "KeyK",
  open: "Enter",
  acknowledge: "KeyA",
  verify: "KeyV",
  dispatch: "KeyD",
  note: "KeyN",
  shelve: "KeyS",
  new: "KeyC",
  silence: "Space",
  search: "Slash",
  help: "Shift+Slash",
};
const STORE = "cityvigil.keys";

export function startKeys(queue, detail, sound) {
  const stored = JSON.parse(localStorage.getItem(STORE) ?? "{}");
  const keys = { ...DEFAULTS, ...stored.keys };
  let on = stored.on ?? true;
  let learning = null;
  const help = document.getElementById("help");
  const acts = {
    down: () => queue.move(1),
    up: () => queue.move(-1),
    open: () => queue.open(),
    acknowledge: () => detail.acknowledge(),
    verify: () => detail.focusAct("verify"),
    dispatch: () => detail.focusAct("dispatch"),
    note: () => detail.focusNote(),
    shelve: () => detail.focusAct("shelve"),
    new: () => detail.newCase(),
    silence: () => sound.silence(),
    search: () => queue.focusSearch(),
    help: () => help.showModal(),
  };

  const name = (event) => (event.shiftKey ? "Shift+" : "") + event.code;
  const shown = (key) => key.replace("Shift+Slash", "?").replace("Slash", "/").replace(/Key|Digit/, "").replace("Shift+", "⇧ ");

  function save() {
    localStorage.setItem(STORE, JSON.stringify({ keys, on }));
    for (const button of document.querySelectorAll(".remap")) {
      button.firstElementChild.textContent = shown(keys[button.dataset.key]);
    }
  }

  for (const button of document.querySelectorAll(".remap")) {
    button.addEventListener("click", () => {
      learning = button;
      button.firstElementChild.textContent = "…";
    });
  }
  const check = document.getElementById("keys-on");
  check.checked = on;
  check.addEventListener("change", () => {
    on = check.checked;
    save();
  });
  document.getElementById("help-button").addEventListener("click", () => help.showModal());
  save();

  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (learning && !/^(Shift|Escape|Tab)/.test(event.code)) {
      event.preventDefault();
      keys[learning.dataset.key] = name(event);
      learning = null;
      return save();
    }
    const target = event.target;
    if (event.code === "Escape" && target.matches("input, textarea, select")) return target.blur();
    if (!on || event.repeat && !/Key[JK]/.test(event.code)) return;
    if (target.closest("input, textarea, select, dialog, [contenteditable]")) return;
    const act = Object.keys(keys).find((key) => keys[key] === name(event));
    if (!act) return;
    // Enter and Space belong to a button or summary that has the focus; a row's link is the queue's.
    const own = target.closest("button, summary, a");
    if (own && ["Enter", "Space"].includes(event.code) && !(own.matches(".row-link") && true)) return;
    event.preventDefault();
    acts[act]();
  });
}
