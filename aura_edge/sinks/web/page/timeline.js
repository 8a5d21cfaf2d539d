// Which label was in force when: a lane for each of the labels seen last. Fills from the left, then scrolls.

import { clockOf } from "./signal.js";

const LANES = 7, LANE = 24, AXIS = 22, BAR = 12;
const STEPS_S = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800];

export class Timeline {
  constructor(canvas) {
    this.canvas = canvas;
    this.reachS = 120;
    this.spells = new Map();
    this.hues = new Map();
  }

  clear() {
    this.spells.clear();
  }

  push(spells) {
    for (const spell of spells) {
      this.spells.set(spell.id, spell);
      if (spell.state === "activity" && !this.hues.has(spell.label)) this.hues.set(spell.label, `--c${this.hues.size % 8}`);
    }
    for (const id of this.spells.keys()) {
      if (this.spells.size <= 300) break;
      this.spells.delete(id);
    }
    const kept = new Set([...this.spells.values()].map((spell) => spell.label));
    if (this.hues.size > 64) for (const label of this.hues.keys()) if (!kept.has(label)) this.hues.delete(label);
  }

  // What a label is drawn in, here and elsewhere.
  hue(spell) {
    return spell.state === "activity" ? this.hues.get(spell.label) ?? "--c0" : `--${spell.state}`;
  }

  draw(nowS) {
    const canvas = this.canvas, width = canvas.clientWidth;
    if (!width) return;
    const startS = Math.max(0, nowS - this.reachS);
    const shown = [...this.spells.values()].filter((spell) => endOf(spell, nowS) >= startS);
    const lanes = this.lanesOf(shown);
    const height = Math.max(3, lanes.length) * LANE + AXIS;
    const scale = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      canvas.style.height = `${height}px`;
    }
    const pen = canvas.getContext("2d");
    const css = getComputedStyle(document.documentElement), colour = (name) => css.getPropertyValue(name).trim();
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = "12.5px system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
    pen.textBaseline = "middle";
    const names = Math.min(Math.max(84, ...lanes.map((lane) => pen.measureText(lane.label).width + 16)), width * 0.34);
    const xOf = (t) => names + ((t - startS) / this.reachS) * (width - names - 2);
    this.drawAxis(pen, colour, { startS, xOf, names, height, width });
    lanes.forEach((lane, row) => {
      const middle = row * LANE + LANE / 2;
      pen.fillStyle = colour(lane.state === "activity" ? "--ink" : `--${lane.state}`);
      pen.fillText(shortened(pen, lane.label, names - 14), 0, middle);
      pen.fillStyle = colour("--soft");
      bar(pen, names, width - 2, middle);
      pen.fillStyle = colour(this.hue(lane));
      for (const spell of lane.spells) bar(pen, Math.max(names, xOf(spell.t_s)), xOf(endOf(spell, nowS)), middle);
    });
  }

  // The labels of the newest spells, in order of first appearance in what is shown, so that lanes change seldom.
  lanesOf(spells) {
    const newest = [...new Set(spells.map((spell) => spell.label).reverse())].slice(0, LANES);
    const lanes = new Map();
    for (const spell of spells) {
      if (!newest.includes(spell.label)) continue;
      if (!lanes.has(spell.label)) lanes.set(spell.label, { label: spell.label, state: spell.state, spells: [] });
      lanes.get(spell.label).spells.push(spell);
    }
    return [...lanes.values()];
  }

  drawAxis(pen, colour, { startS, xOf, names, height, width }) {
    const step = STEPS_S.find((s) => (s / this.reachS) * (width - names) >= 62) ?? STEPS_S.at(-1);
    pen.textAlign = "center";
    for (let t = Math.ceil(Math.max(0, startS) / step) * step; t <= startS + this.reachS; t += step) {
      const x = xOf(t), text = clockOf(t), half = pen.measureText(text).width / 2;
      pen.fillStyle = colour("--line");
      pen.fillRect(Math.round(x), 0, 1, height - AXIS + 3);
      pen.fillStyle = colour("--muted");
      if (x - half >= names - 8 && x + half <= width) pen.fillText(text, x, height - AXIS / 2 + 2);
    }
    pen.textAlign = "left";
  }
}

function endOf(spell, nowS) {
  return spell.duration_s === null ? nowS : spell.t_s + spell.duration_s;
}

function bar(pen, from, to, middle) {
  if (to <= from) return;
  const wide = Math.max(2, to - from);
  pen.beginPath();
  pen.roundRect(from, middle - BAR / 2, wide, BAR, Math.min(3, wide / 2));
  pen.fill();
}

function shortened(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  let kept = text.length;
  while (kept > 1 && pen.measureText(`${text.slice(0, kept)}…`).width > width) kept--;
  return `${text.slice(0, kept).trimEnd()}…`;
}
