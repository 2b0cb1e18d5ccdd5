// The trust bar: how far the screen can be believed. What nobody could measure is "–", never zero.

export function showTrust(health, boot) {
  if (!health) return;
  const words = boot.words.trust;
  const seconds = (value) => (value == null ? "–" : value < 0.95 ? `${Math.round(value * 1000)} ms` : value < 10 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`);
  const age = seconds(health.stream_age_s);
  if (health.held) put("stream_age", `${words.held} · ${age}`, "bad");
  else put("stream_age", age, health.stream_age_s == null ? "unknown" : health.stream_age_s > 5 ? "bad" : "");
  put("ingest_lag", seconds(health.ingest_lag_s), health.ingest_lag_s > 2 ? "bad" : "");
  const offline = health.gateways_offline;
  put(
    "gateways",
    offline == null ? "–" : words.offline.replace("{n}", offline).replace("{of}", health.gateways ?? "–"),
    offline ? "warn" : "",
  );
  put("rules", health.rules_version == null ? "–" : `v${health.rules_version}`, "");
}

function put(key, text, state) {
  const box = document.querySelector(`[data-trust="${key}"]`);
  if (!box) return;
  const value = box.querySelector("dd");
  if (value.textContent !== text) value.textContent = text;
  box.dataset.state = state;
}
