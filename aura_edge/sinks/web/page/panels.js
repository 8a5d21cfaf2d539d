// Everything that is words and numbers. Text of any origin becomes text nodes, never markup.

import { clockOf } from "./signal.js";

const STAGES = { resample: "resample", window: "window", encode: "encode", classify: "classify", total: "arrival to label", sink: "sinks" };
const EVENTS = 60;

const at = (selector) => document.querySelector(selector);

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function showPrediction(prediction, spell) {
  at("#now").dataset.state = prediction.state;
  set(at("#label"), prediction.label);
  const lasted = spell && spell.duration_s === null ? `for ${clockOf(Math.max(0, Math.round(prediction.t_s - spell.t_s)))}` : "";
  const score = prediction.state === "still" ? "" : `score ${prediction.score.toFixed(2)}`;
  set(at("#label-since"), [lasted, score, `${prediction.latency_ms.total.toFixed(1)} ms to the label`].filter(Boolean).join("  ·  "));
  set(at("#digest"), prediction.prototypes.slice(0, 12));
  showTop(prediction.top, prediction.label);
  for (const chip of document.querySelectorAll("#chips li")) chip.toggleAttribute("data-force", chip.firstChild.textContent === prediction.label);
}

function showTop(top, inForce) {
  const list = at("#top");
  if (!top.length) {
    list.replaceChildren(element("li", "At rest: no window is compared with the labels.", { class: "none" }));
    return;
  }
  while (list.children.length > top.length || list.querySelector(".none")) list.lastChild.remove();
  while (list.children.length < top.length) {
    const row = element("li"), track = element("div", null, { class: "track" });
    track.append(element("div", null, { class: "fill" }));
    row.append(element("span", null, { class: "name" }), element("span", null, { class: "share" }), track);
    list.append(row);
  }
  top.forEach(([label, share], row) => {
    const [name, number, track] = list.children[row].children;
    set(name, label);
    list.children[row].toggleAttribute("data-force", label === inForce);
    name.title = label;
    set(number, share.toFixed(2));
    track.firstChild.style.transform = `scaleX(${Math.max(0, Math.min(1, share))})`;
  });
}

export function showEvents(spells) {
  const rows = [...spells.values()].slice(-EVENTS).reverse().map((spell) => {
    const row = element("tr", null, { "data-state": spell.state });
    const from = element("td", clockOf(Math.round(spell.t_s)), { title: new Date(spell.host_ms).toLocaleString() });
    const lasted = spell.duration_s === null ? "goes on" : duration(spell.duration_s);
    row.append(from, element("td", spell.label), element("td", spell.state === "still" ? "" : spell.score.toFixed(2), { class: "n" }), element("td", lasted, { class: "n" }));
    return row;
  });
  at("#events tbody").replaceChildren(...rows);
}

export function showHealth(health, nominalHz) {
  const share = (part, whole) => (whole ? part / whole : 0);
  const percent = (value) => (value === 0 ? "0 %" : value < 0.0001 ? "< 0.01 %" : `${(value * 100).toFixed(2)} %`);
  const lost = share(health.lost, health.lost + health.read);
  const refused = Object.entries(health.refused).map(([reason, n]) => `${reason.replaceAll("_", " ")} ${n.toLocaleString()}`).join(", ");
  const rows = [
    ["true rate", health.rate_hz === null ? "–" : `${health.rate_hz.toFixed(2)} Hz`, `brought to ${nominalHz} Hz`],
    ["lost", percent(lost), `${health.lost.toLocaleString()} of ${(health.lost + health.read).toLocaleString()}`, mark(lost, 0, 0.01)],
    ["gaps", String(health.gaps), health.gaps ? `${health.gap_s.toFixed(1)} s` : "", mark(health.gaps, 0, Infinity)],
    ["bridged", percent(health.interpolated), "last 10 s", mark(health.interpolated, 0.02, 0.2)],
    ["saturation", percent(health.saturation), health.saturated ? `${health.saturated.toLocaleString()} in all` : "last 10 s", mark(health.saturation, 0, 0.02)],
    ["clock residual", health.clock_residual_ms === null ? "–" : `${health.clock_residual_ms.toFixed(2)} ms`, health.clock_residual_ms === null ? "recordings have one clock" : "", mark(health.clock_residual_ms ?? 0, 5, 20)],
    ["clock drift", health.clock_drift_ppm === null ? null : `${health.clock_drift_ppm.toFixed(0)} ppm`, "", mark(Math.abs(health.clock_drift_ppm ?? 0), 200, 2000)],
    ["clock set back", health.resets ? `${health.resets} times` : null, "", "warn"],
    ["in no window", refused || null, ""],
    ["windows", health.windows.toLocaleString(), health.windows_skipped ? `${health.windows_skipped.toLocaleString()} skipped, behind` : "none skipped", mark(health.windows_skipped, 0, Infinity)],
    ["not drawn", health.not_drawn ? `${health.not_drawn.toLocaleString()}` : null, "too fast for a page"],
  ];
  fill(at("#health dl"), rows.filter(([, value]) => value !== null));
  at("#health .notes").replaceChildren(...health.notes.map((note) => element("li", note)));
  showLatency(health);
}

function mark(value, warn, bad) {
  return value > bad ? "bad" : value > warn ? "warn" : undefined;
}

function showLatency(health) {
  const most = Math.max(1e-9, ...Object.values(health.latency).map((times) => times.p99_ms));
  const rows = Object.entries(health.latency).map(([stage, times]) => {
    const row = element("tr"), cell = element("td"), span = element("div", null, { class: "span" });
    const to99 = element("i"), to50 = element("b");
    to99.style.width = `${(100 * times.p99_ms) / most}%`;
    to50.style.width = `${(100 * times.p50_ms) / most}%`;
    span.append(to99, to50);
    cell.append(span);
    row.append(element("td", STAGES[stage] ?? stage), cell, element("td", milliseconds(times.p50_ms), { class: "n" }), element("td", milliseconds(times.p99_ms), { class: "n" }));
    return row;
  });
  at("#latency tbody").replaceChildren(...rows);
  set(at("#latency .foot"), `Milliseconds of computing. The resampler's constant delay of ${health.delay_ms.toFixed(1)} ms comes on top.`);
}

export function showLabels(labels, editable, remove) {
  at("#add").hidden = !editable;
  at("#chips").replaceChildren(...labels.map((label) => {
    const chip = element("li");
    chip.append(element("span", label, { title: label }));
    if (editable && labels.length > 1) {
      const button = element("button", "×", { type: "button", "aria-label": `Remove ${label}` });
      button.addEventListener("click", () => remove(label));
      chip.append(button);
    } else {
      chip.dataset.fixed = "";
    }
    return chip;
  }));
}

export function say(text, ok) {
  const line = at("#said");
  set(line, text);
  if (ok === undefined) delete line.dataset.ok; else line.dataset.ok = String(ok);
}

export function showFacts(facts) {
  set(at("#title"), facts.title);
  at("#title").title = facts.title;
  document.title = `${facts.title.split(" ")[0]} · aura-edge`;
  fill(at("#model dl"), facts.model);
  at("#model details").hidden = !facts.card;
  at("#card").replaceChildren(...cardOf(facts.card));
}

function fill(list, rows) {
  list.replaceChildren(...rows.flatMap(([name, value, more, marked]) => {
    const said = element("dd", value, marked ? { "data-mark": marked } : {});
    if (more) said.append(element("small", more));
    return [element("dt", name), said];
  }));
}

// The little of Markdown that a model card has: headings, lists, tables, code between fences, paragraphs.
function cardOf(text) {
  const made = [];
  let list = null, table = null, fence = null;
  for (const line of text.split("\n")) {
    if (line.startsWith("```")) {
      if (fence === null) made.push((fence = element("pre", "")));
      else fence = null;
    } else if (fence !== null) {
      fence.textContent += `${line}\n`;
    } else if (line.startsWith("- ")) {
      if (list === null) made.push((list = element("ul")));
      list.append(element("li", plain(line.slice(2))));
      continue;
    } else if (line.startsWith("|")) {
      if (table === null) made.push((table = element("table")));
      if (/^[|\s:-]+$/.test(line)) continue;
      const row = element("tr");
      row.append(...line.slice(1, line.lastIndexOf("|")).split("|").map((cell) => element(table.children.length ? "td" : "th", plain(cell.trim()))));
      table.append(row);
      continue;
    } else if (/^#{2,6} /.test(line)) {
      made.push(element("h3", plain(line.replace(/^#+ /, ""))));
    } else if (line.trim() && !line.startsWith("# ")) {
      made.push(element("p", plain(line)));
    }
    list = table = null;
  }
  return made;
}

function plain(text) {
  return text.replaceAll(/[`*]{1,2}([^`*]+)[`*]{1,2}/g, "$1");
}

function milliseconds(value) {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function duration(seconds) {
  return seconds < 60 ? `${seconds.toFixed(1)} s` : clockOf(Math.round(seconds));
}
