// Wall and city clocks, ages and countdowns. All shown in the city's offset, +08:00, by the server's
// clock: a wrong clock on the desk's machine must not move a deadline.

const DAY = 86_400_000;
let offset = 0;
let city = { base_ms: 0, wall0_ms: 0, scale: 1 };

export function now() {
  return Date.now() + offset;
}

export function cityNow() {
  return city.base_ms + (now() - city.wall0_ms) * city.scale;
}

export function timeOfDay(ms) {
  return new Date(ms + 8 * 3600_000).toISOString().slice(11, 19);
}

export function startClocks(boot) {
  offset = boot.now_ms - Date.now();
  boot.offset_ms = offset;
  const wall = document.getElementById("wall-clock");
  const cityClock = document.getElementById("city-clock");
  city = boot.clock;
  const tick = () => {
    wall.textContent = timeOfDay(now());
    if (cityClock) cityClock.textContent = timeOfDay(cityNow());
  };
  tick();
  setInterval(tick, city.scale === 1 ? 1000 : 250);
}

export function age(ms, words) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return words.seconds.replace("{n}", s);
  if (s < 3600) return words.minutes.replace("{n}", Math.floor(s / 60));
  if (s < 48 * 3600) return words.hours.replace("{n}", Math.floor(s / 3600));
  return words.days.replace("{n}", Math.floor(s / 86400));
}

export function countdown(ms) {
  const over = ms < 0;
  const s = Math.floor(Math.abs(ms) / 1000);
  const sign = over ? "+" : "";
  if (s >= DAY / 1000) return `${sign}${Math.floor(s / 86400)}d ${Math.floor((s % 86400) / 3600)}h`;
  const h = Math.floor(s / 3600);
  const m = String(Math.floor((s % 3600) / 60)).padStart(2, "0");
  return h ? `${sign}${h}:${m}:${String(s % 60).padStart(2, "0")}` : `${sign}${m}:${String(s % 60).padStart(2, "0")}`;
}

// Every element with data-due counts down, every one with data-since grows old: one timer for all.
export function startCountdowns(boot) {
  const show = () => {
    const at = now();
    for (const one of document.querySelectorAll("[data-due]")) {
      const left = Number(one.dataset.due) - at;
      one.textContent = countdown(left);
      one.parentElement.dataset.urgency = left < 0 ? "over" : left < 60_000 ? "soon" : "";
    }
    for (const one of document.querySelectorAll("[data-since]")) {
      one.textContent = age(at - Number(one.dataset.since), boot.words.age);
    }
  };
  show();
  setInterval(show, 1000);
  document.addEventListener("cityvigil:rows", show);
}
