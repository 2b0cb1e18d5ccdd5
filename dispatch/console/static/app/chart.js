// The window that fired: readings, the limit as a line, the onset as a mark. Times are city time.

import { cityNow } from "./clock.js";

const MAX_POINTS = 4000;
const LIVE_MS = 5000;

const kept = new Map(); // the readings last shown, so that a renewed page does not blink

export async function drawCharts(root) {
  for (const figure of root.querySelectorAll?.("figure.chart:not([data-drawn])") ?? []) {
    figure.dataset.drawn = "1";
    await draw(figure);
  }
}

async function read(figure) {
  const { sensor, from, to, live } = figure.dataset;
  const until = live === "1" ? new Date(cityNow()).toISOString() : to;
  const query = new URLSearchParams({ from, to: until, limit: MAX_POINTS });
  const answer = await fetch(`/api/v1/sensors/${sensor}/readings?${query}`);
  if (!answer.ok) return null;
  const { items } = await answer.json();
  const data = [items.map((one) => Date.parse(one.time) / 1000), items.map((one) => one.value)];
  kept.clear();
  kept.set(`${sensor} ${from}`, data);
  return data;
}

async function draw(figure) {
  const plot = figure.querySelector(".plot");
  let data = kept.get(`${figure.dataset.sensor} ${figure.dataset.from}`);
  const renewed = data !== undefined;
  data ??= await read(figure);
  if (!figure.isConnected || data === null) return;
  if (!data[0].length) {
    plot.replaceChildren(Object.assign(document.createElement("p"), { className: "none", textContent: figure.dataset.none }));
    return;
  }
  const chart = make(figure, plot, data);
  const renew = async () => {
    const newer = await read(figure);
    if (newer?.[0].length && figure.isConnected) chart.setData(newer);
  };
  if (renewed) renew();
  if (figure.dataset.live !== "1") return;
  const timer = setInterval(() => (figure.isConnected ? renew() : clearInterval(timer)), LIVE_MS);
}

function make(figure, plot, data) {
  const { unit, limit, onset } = figure.dataset;
  const css = getComputedStyle(document.documentElement);
  const colour = (name) => css.getPropertyValue(name).trim();
  const limitAt = limit === undefined ? null : Number(limit);
  const onsetAt = onset ? Date.parse(onset) / 1000 : null;
  const axis = {
    stroke: colour("--muted"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { stroke: colour("--line"), width: 1, size: 4 },
    font: "12px system-ui",
  };
  const inCity = (ts) => uPlot.tzDate(new Date(ts * 1e3), "Asia/Shanghai");
  const marks = (u) => {
    const { ctx, bbox } = u;
    const line = (x0, y0, x1, y1, stroke, dash) => {
      ctx.save();
      ctx.beginPath();
      ctx.strokeStyle = stroke;
      ctx.lineWidth = 1.5 * devicePixelRatio;
      ctx.setLineDash(dash.map((n) => n * devicePixelRatio));
      ctx.moveTo(x0, y0);
      ctx.lineTo(x1, y1);
      ctx.stroke();
      ctx.restore();
    };
    const word = (text, x, y, fill, align) => {
      ctx.save();
      ctx.font = `600 ${12 * devicePixelRatio}px system-ui, sans-serif`;
      ctx.fillStyle = fill;
      ctx.textAlign = align;
      ctx.fillText(text, x, y);
      ctx.restore();
    };
    if (limitAt !== null) {
      const y = u.valToPos(limitAt, "y", true);
      line(bbox.left, y, bbox.left + bbox.width, y, colour("--l1"), [6, 4]);
      word(`${figure.dataset.limitWord} ${limitAt}`, bbox.left + 6 * devicePixelRatio, y - 5 * devicePixelRatio, colour("--l1"), "left");
    }
    if (onsetAt !== null) {
      const x = u.valToPos(onsetAt, "x", true);
      line(x, bbox.top, x, bbox.top + bbox.height, colour("--accent"), [2, 3]);
      const right = x > bbox.left + bbox.width * 0.75;
      word(figure.dataset.onsetWord, x + (right ? -6 : 6) * devicePixelRatio, bbox.top + bbox.height - 6 * devicePixelRatio, colour("--accent"), right ? "right" : "left");
    }
  };
  const chart = new uPlot(
    {
      width: plot.clientWidth,
      height: plot.clientHeight,
      tzDate: inCity,
      legend: { show: false },
      cursor: { points: { size: 6 }, drag: { x: true, y: false } },
      scales: {
        x: { time: true, range: (u, min, max) => [Math.min(min, onsetAt ?? min), Math.max(max, min + 60)] },
        y: {
          range: (u, min, max) => {
            const low = Math.min(min, limitAt ?? min);
            const high = Math.max(max, limitAt ?? max);
            const room = (high - low || Math.abs(high) || 1) * 0.12;
            return [low - room, high + room];
          },
        },
      },
      axes: [
        { ...axis, size: 30, values: "{HH}:{mm}", space: 60 },
        { ...axis, size: 52, label: unit || undefined, labelSize: unit ? 16 : 0, labelFont: "12px system-ui" },
      ],
      series: [
        {},
        {
          stroke: colour("--series"),
          width: 2,
          points: { show: data[0].length < 80, size: 4, fill: colour("--series") },
          fill: colour("--series-fill"),
          // A state holds until the next report: a slope between 0 and 1 would tell of values that never were.
          paths: data[1].every((value) => value === 0 || value === 1) ? uPlot.paths.stepped({ align: 1 }) : undefined,
        },
      ],
      hooks: { draw: [marks] },
    },
    data,
    plot,
  );
  new ResizeObserver(() => {
    if (plot.clientWidth) chart.setSize({ width: plot.clientWidth, height: plot.clientHeight });
  }).observe(plot);
  return chart;
}
