// A schematic of the city from the registry's own coordinates: zones as outlines around their sensors,
// sensors as dots (canvas), open cases by level and shape (SVG), blind areas hatched. No basemap.

const NS = "http://www.w3.org/2000/svg";
const PAD = 34;
const SIDE_BY_SIDE = 3;

export function startMap(boot, queue, detail) {
  const box = document.getElementById("map-box");
  const caption = document.getElementById("map-caption");
  const canvas = box.appendChild(document.createElement("canvas"));
  const svg = box.appendChild(make("svg", { role: "img", "aria-label": boot.words.map.label }));
  const layers = Object.fromEntries(["zones", "blind", "marks"].map((name) => [name, svg.appendChild(make("g", { class: name }))]));
  svg.prepend(hatching());
  const alerts = new Map();
  let sensors = [];
  let bySubject = new Map();
  let zones = new Map();
  let offline = new Set();
  let project = null;
  let pending = 0;

  function make(tag, attributes = {}) {
    const made = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  }

  function hatching() {
    const defs = make("defs");
    const pattern = make("pattern", { id: "hatching", width: 8, height: 8, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
    pattern.append(make("line", { x1: 0, y1: 0, x2: 0, y2: 8 }));
    defs.append(pattern);
    return defs;
  }

  async function reload() {
    const answer = await fetch("/map.json");
    if (!answer.ok) return;
    const city = await answer.json();
    sensors = city.sensors.map(([number, gateway, point, lon, lat, category, zone]) => ({
      number,
      gateway: city.gateways[gateway],
      subject: `sensor/${city.gateways[gateway]}/${point}`,
      point,
      lon,
      lat,
      category: city.categories[category],
      zone: city.zone_ids[zone],
    }));
    bySubject = new Map(sensors.map((one) => [one.subject, one]));
    zones = new Map();
    for (const one of sensors) {
      if (!zones.has(one.zone)) zones.set(one.zone, { zone: one.zone, sensors: [] });
      zones.get(one.zone).sensors.push(one);
    }
    alerts.clear();
    for (const one of city.alerts) alerts.set(one.alert_id, one);
    draw();
  }

  function fit() {
    const width = box.clientWidth;
    const height = box.clientHeight;
    if (!width || !height || !sensors.length) return false;
    const lons = sensors.map((one) => one.lon);
    const lats = sensors.map((one) => one.lat);
    const [west, east] = [min(lons), max(lons)];
    const [south, north] = [min(lats), max(lats)];
    const squeeze = Math.cos(((south + north) / 2) * (Math.PI / 180));
    const scale = Math.min((width - 2 * PAD) / (Math.max(east - west, 1e-6) * squeeze), (height - 2 * PAD) / Math.max(north - south, 1e-6));
    const left = (width - (east - west) * squeeze * scale) / 2;
    const top = (height - (north - south) * scale) / 2;
    project = (lon, lat) => [left + (lon - west) * squeeze * scale, top + (north - lat) * scale];
    for (const one of sensors) [one.x, one.y] = project(one.lon, one.lat);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const ratio = devicePixelRatio;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    return true;
  }

  function draw() {
    if (!fit()) return;
    drawZones();
    drawSensors();
    drawBlind();
    drawMarks();
  }

  function drawZones() {
    layers.zones.replaceChildren();
    for (const zone of zones.values()) {
      const outline = hull(zone.sensors);
      const area = make("g", { class: "zone", "data-zone": zone.zone });
      area.append(make("path", { d: path(outline) }));
      const [x, y] = middle(outline);
      zone.at = [x, y];
      const label = make("text", { x, y: Math.max(14, min(outline.map((p) => p[1])) - 9), "text-anchor": "middle" });
      label.textContent = boot.zones[zone.zone] ?? zone.zone;
      area.append(label);
      area.addEventListener("click", (event) => {
        const near = nearest(event);
        if (near) showSensor(near);
        else queue?.filterZone(zone.zone);
      });
      layers.zones.append(area);
    }
  }

  function drawSensors() {
    const css = getComputedStyle(document.documentElement);
    const context = canvas.getContext("2d");
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    const dots = (list, colour, size) => {
      context.fillStyle = css.getPropertyValue(colour).trim();
      for (const one of list) context.fillRect(one.x - size / 2, one.y - size / 2, size, size);
    };
    dots(sensors.filter((one) => !offline.has(one.gateway)), "--dot", sensors.length > 3000 ? 1.6 : 2.4);
    dots(sensors.filter((one) => offline.has(one.gateway)), "--dot-off", 2.4);
    const levels = new Map();
    for (const alert of alerts.values()) {
      const sensor = bySubject.get(alert.subject);
      if (sensor && alert.state === "active") levels.set(sensor, Math.min(alert.level, levels.get(sensor) ?? 9));
    }
    for (const [one, level] of levels) {
      context.beginPath();
      context.arc(one.x, one.y, 3.6, 0, 7);
      context.fillStyle = css.getPropertyValue(`--l${level}`).trim();
      context.fill();
    }
  }

  function drawBlind() {
    layers.blind.replaceChildren();
    for (const gateway of offline) {
      const outline = hull(sensors.filter((one) => one.gateway === gateway));
      if (outline.length) layers.blind.append(make("path", { d: path(outline) }));
    }
  }

  function positionOf(one) {
    const at = one.alerts
      .map((id) => bySubject.get(alerts.get(id)?.subject))
      .filter(Boolean);
    if (at.length) return [at.reduce((sum, p) => sum + p.x, 0) / at.length, at.reduce((sum, p) => sum + p.y, 0) / at.length];
    return zones.get(one.zone)?.at ?? null;
  }

  function markOf(one, x, y) {
    const mark = make("g", { class: `mark l${one.level}`, transform: `translate(${x} ${y})` });
    mark.classList.toggle("is-unseen", queue.unseen(one));
    mark.classList.toggle("is-selected", one.case_id === queue.selected());
    mark.append(make("circle", { class: "ring", r: 15 }), make("use", { href: `#l${one.level}`, x: -10, y: -10, width: 20, height: 20 }));
    const title = make("title");
    title.textContent = `${boot.words.level[one.level]} ${boot.words.categories[one.category] ?? one.category}`;
    mark.append(title);
    mark.addEventListener("click", () => queue.select(one.case_id, true));
    return mark;
  }

  function drawMarks() {
    layers.marks.replaceChildren();
    if (!queue || !project) return;
    const places = [];
    const worst = new Map();
    const chosen = queue.selected();
    const open = [...queue.all().values()].filter(queue.isOpen);
    // The gravest come first and the chosen one always has a mark; what stands at one place is folded.
    open.sort((a, b) => (b.case_id === chosen) - (a.case_id === chosen) || a.level - b.level);
    for (const one of open) {
      worst.set(one.zone, Math.min(one.level, worst.get(one.zone) ?? 9));
      const at = positionOf(one);
      if (!at) continue;
      const place = places.find(([x, y]) => Math.abs(x - at[0]) < 17 && Math.abs(y - at[1]) < 17);
      if (place) place[2].push(one);
      else places.push([...at, [one]]);
    }
    for (const [x, y, here] of places) {
      here.slice(0, SIDE_BY_SIDE).forEach((one, index) => layers.marks.append(markOf(one, x + index * 20, y)));
      if (here.length > SIDE_BY_SIDE) {
        const rest = make("text", { class: "rest", x: x + SIDE_BY_SIDE * 20 - 4, y: y + 4 });
        rest.textContent = `+${here.length - SIDE_BY_SIDE}`;
        layers.marks.append(rest);
      }
    }
    for (const area of layers.zones.children) area.dataset.level = worst.get(area.dataset.zone) ?? "";
  }

  function nearest(event) {
    const { left, top } = box.getBoundingClientRect();
    const [x, y] = [event.clientX - left, event.clientY - top];
    let best = null;
    let close = 8 * 8;
    for (const one of sensors) {
      const far = (one.x - x) ** 2 + (one.y - y) ** 2;
      if (far < close) [best, close] = [one, far];
    }
    return best;
  }

  const named = (one) => `${boot.words.categories[one.category] ?? boot.words.map.waiting} · ${one.gateway}/${one.point} · ${boot.zones[one.zone] ?? one.zone}`;

  function showSensor(one) {
    caption.textContent = named(one);
    htmx.ajax("GET", `/sensors/${one.number}/panel`, { target: "#detail", swap: "innerHTML" });
    queue?.select(null, false);
  }

  svg.addEventListener("pointermove", (event) => {
    const near = nearest(event);
    caption.textContent = near ? named(near) : boot.words.map.hint;
  });

  function later() {
    pending ||= requestAnimationFrame(() => {
      pending = 0;
      drawSensors();
      drawMarks();
    });
  }

  queue?.onSelect(later);
  new ResizeObserver(draw).observe(box);
  reload();

  return {
    reload,
    casesChanged: later,
    alertChanged(one) {
      if (one.state === "active") alerts.set(one.alert_id, one);
      else alerts.delete(one.alert_id);
      later();
    },
    gatewaysOffline(list) {
      const now = new Set((list ?? []).map((one) => one.gateway));
      if (now.size === offline.size && [...now].every((one) => offline.has(one))) return;
      offline = now;
      draw();
    },
  };
}

const min = (list) => list.reduce((a, b) => Math.min(a, b), Infinity);
const max = (list) => list.reduce((a, b) => Math.max(a, b), -Infinity);

// Andrew's monotone chain.
function hull(points) {
  const sorted = points.map((one) => [one.x, one.y]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  if (sorted.length < 3) return sorted;
  const half = (list) => {
    const chain = [];
    for (const p of list) {
      while (chain.length > 1 && cross(chain.at(-2), chain.at(-1), p) <= 0) chain.pop();
      chain.push(p);
    }
    return chain.slice(0, -1);
  };
  return [...half(sorted), ...half(sorted.reverse())];
}

const cross = (o, a, b) => (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0]);
const path = (outline) => `M${outline.map((p) => p.map((n) => n.toFixed(1)).join(" ")).join("L")}Z`;

function middle(outline) {
  const n = outline.length || 1;
  return [outline.reduce((sum, p) => sum + p[0], 0) / n, outline.reduce((sum, p) => sum + p[1], 0) / n];
}
