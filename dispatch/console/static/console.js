// The console's one entry: reads what the page was given, starts the parts that the page has.
// The server says what is; nothing here guesses the outcome of an action.

import { showSteps, startSteps } from "./app/card.js";
import { startClocks, startCountdowns } from "./app/clock.js";
import { drawCharts } from "./app/chart.js";
import { startDetail } from "./app/detail.js";
import { startKeys } from "./app/keys.js";
import { openLive } from "./app/live.js";
import { startMap } from "./app/map.js";
import { startQueue } from "./app/queue.js";
import { startSound } from "./app/sound.js";
import { showTrust } from "./app/trust.js";

const boot = JSON.parse(document.getElementById("boot").textContent);

startClocks(boot);
showTrust(boot.health, boot);

const sound = document.getElementById("sound") ? startSound(boot) : null;
const queue = document.getElementById("rows") ? startQueue(boot, sound) : null;
const detail = document.getElementById("detail") ? startDetail(boot, queue) : null;
const map = document.getElementById("map-box") ? startMap(boot, queue, detail) : null;
if (queue) startKeys(queue, detail, sound);
startCountdowns(boot);

document.body.addEventListener("htmx:afterSettle", (event) => {
  drawCharts(event.target);
  showSteps(event.target);
});
drawCharts(document);
showSteps(document);
startSteps();

openLive(boot, {
  case(one) {
    queue?.put(one);
    map?.casesChanged();
    detail?.caseChanged(one);
  },
  alert(one) {
    map?.alertChanged(one);
    detail?.alertChanged(one);
  },
  health(one) {
    showTrust(one, boot);
    queue?.counted(one.counts);
    map?.gatewaysOffline(one.offline);
  },
  async caughtUp() {
    // The stream could not be resumed from where it broke: take everything anew.
    await Promise.all([queue?.reload(), map?.reload()]);
    detail?.refresh();
  },
});
