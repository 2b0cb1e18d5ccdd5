// Tones for new level 1 and 2 cases that nobody has acknowledged. Browsers play only after a touch of
// the page: "armed" is shown once a tone could really be played. Silence lasts 60 s and is not an
// acknowledgement; a new or upgraded case ends it.

import { now } from "./clock.js";

const TONES = {
  1: { notes: [988, 1319, 988, 1319], length: 0.14, gap: 0.05 },
  2: { notes: [659, 659], length: 0.22, gap: 0.12 },
};
const REPEAT_MS = 4000;
const SILENCE_MS = 60_000;

export function startSound(boot) {
  const button = document.getElementById("sound");
  let context = null;
  let silentUntil = 0;
  let loudest = () => null;
  let waiting = () => [];

  const armed = () => context?.state === "running";

  async function arm(test) {
    context ??= new AudioContext();
    await context.resume();
    if (armed()) localStorage.setItem("cityvigil.sound", "on");
    if (test && armed()) play(2, 0.5);
    show();
  }

  function play(level, share = 1) {
    const { notes, length, gap } = TONES[level];
    let at = context.currentTime + 0.02;
    for (const note of notes) {
      const tone = context.createOscillator();
      const volume = context.createGain();
      tone.type = level === 1 ? "square" : "sine";
      tone.frequency.value = note;
      volume.gain.setValueAtTime(0, at);
      volume.gain.linearRampToValueAtTime((level === 1 ? 0.12 : 0.2) * share, at + 0.01);
      volume.gain.setValueAtTime((level === 1 ? 0.12 : 0.2) * share, at + length - 0.02);
      volume.gain.linearRampToValueAtTime(0, at + length);
      tone.connect(volume).connect(context.destination);
      tone.start(at);
      tone.stop(at + length);
      at += length + gap;
    }
  }

  function show() {
    const silent = silentUntil > now();
    button.textContent = !armed()
      ? button.dataset.off
      : silent
        ? button.dataset.silent.replace("{s}", Math.ceil((silentUntil - now()) / 1000))
        : button.dataset.on;
    button.dataset.state = !armed() ? "off" : silent ? "silent" : "on";
    button.setAttribute("aria-pressed", String(armed()));
  }

  function round() {
    const level = loudest();
    if (armed() && level && silentUntil <= now()) play(level);
    show();
  }

  button.addEventListener("click", () => arm(true));
  if (localStorage.getItem("cityvigil.sound") === "on") {
    const again = () => arm(false);
    document.addEventListener("pointerdown", again, { once: true });
    document.addEventListener("keydown", again, { once: true });
  }
  setInterval(round, REPEAT_MS);
  setInterval(show, 1000);

  return {
    watch(find, list) {
      loudest = find;
      waiting = list;
    },
    // A new or upgraded case: heard at once, whatever was silenced.
    raised() {
      silentUntil = 0;
      round();
    },
    silence() {
      silentUntil = now() + SILENCE_MS;
      show();
      // Who silenced is kept with the alerts; one that was cleared meanwhile needs no silence.
      for (const alert of waiting()) fetch(`/api/v1/alerts/${alert}/silence`, { method: "POST" });
    },
  };
}
