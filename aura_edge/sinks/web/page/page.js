// The socket, the frames that come over it, and when what is drawn. Comes back by itself when the stream does.

import { clockOf, SignalView } from "./signal.js";
import { Timeline } from "./timeline.js";
import { say, showEvents, showFacts, showHealth, showLabels, showPrediction } from "./panels.js";

const calm = matchMedia("(prefers-reduced-motion: reduce)");
const DRAWS_PER_S = () => (calm.matches ? 4 : 30);
const AGAIN_MS = [500, 1000, 2000, 5000];

const at = (id) => document.getElementById(id);
const timeline = new Timeline(at("lanes"));
let signal = null, facts = null, socket = null, tries = 0, ended = false, known = null;
let laneDrawnAt = -Infinity, drawnAt = 0;

function connect() {
  socket = new WebSocket(new URL("socket", location.href.replace(/^http/, "ws")));
  socket.binaryType = "arraybuffer";
  socket.addEventListener("open", () => {
    tries = 0;
    ended = false;
    timeline.clear();
    signal?.clear();
    status("waiting", "waiting for samples");
  });
  socket.addEventListener("message", ({ data }) => {
    if (typeof data === "string") {
      const { ok, said } = JSON.parse(data);
      say(said, ok);
      busy(false);
      return;
    }
    take(data);
    socket.send('{"got":true}');
  });
  socket.addEventListener("close", () => {
    busy(false);
    if (ended) return;
    status("lost", tries < 2 ? "reconnecting" : "not reachable");
    setTimeout(connect, AGAIN_MS[Math.min(tries++, AGAIN_MS.length - 1)]);
  });
}

function take(data) {
  const length = new DataView(data).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  if (header.facts) {
    facts = header.facts;
    showFacts(facts);
    signal ??= new SignalView(facts.rate_hz, facts.channels.length);
  }
  if (header.signal) {
    signal.push(header.signal, new Float32Array(data, 4 + length));
    status("live", "live");
  }
  if (header.labels) {
    known = header.labels.labels;
    showLabels(known, facts.editable, (label) => ask({ remove: label }));
  } else if (header.facts && !facts.editable) {
    at("labels").hidden = true;
  }
  if (header.spells) {
    timeline.push(header.spells);
    showEvents(timeline.spells);
    laneDrawnAt = -Infinity;
  }
  if (header.prediction) showPrediction(header.prediction, [...timeline.spells.values()].at(-1));
  if (header.health) showHealth(header.health, facts.rate_hz);
  if (header.ended) {
    ended = true;
    status("ended", "ended");
  }
}

function status(state, text) {
  at("status").dataset.state = state;
  if (at("status").textContent !== text) at("status").textContent = text;
}

function draw(nowMs) {
  requestAnimationFrame(draw);
  const elapsedMs = nowMs - drawnAt;
  if (elapsedMs < 1000 / DRAWS_PER_S() - 2 || signal === null) return;
  drawnAt = nowMs;
  signal.draw(Math.min(1, elapsedMs / 1000));
  const newest = signal.newestS;
  if (newest === null) return;
  const time = clockOf(Math.floor(newest));
  if (at("clock").textContent !== time) at("clock").textContent = time;
  if (nowMs - laneDrawnAt > 200) {
    laneDrawnAt = nowMs;
    timeline.draw(newest);
  }
}

function ask(edit) {
  if (socket.readyState !== WebSocket.OPEN) return say("the stream is not reachable now", false);
  busy(true);
  say("…");
  socket.send(JSON.stringify(edit));
}

function busy(yes) {
  for (const control of document.querySelectorAll("#add button, #chips button")) control.disabled = yes;
}

at("add").addEventListener("submit", (event) => {
  event.preventDefault();
  const phrase = at("phrase").value.trim();
  if (!phrase) return;
  ask({ add: phrase });
  at("phrase").value = "";
});

at("pause").addEventListener("click", () => {
  if (signal === null) return;
  signal.paused = !signal.paused;
  at("pause").setAttribute("aria-pressed", String(signal.paused));
  at("pause").textContent = signal.paused ? "Resume" : "Pause";
});

function choices(group, key, chosen) {
  group.addEventListener("click", (event) => {
    const value = event.target.dataset?.[key];
    if (!value) return;
    for (const button of group.children) button.setAttribute("aria-pressed", String(button === event.target));
    chosen(Number(value));
  });
}
choices(at("span"), "span", (seconds) => { if (signal !== null) signal.spanS = seconds; });
choices(at("reach"), "reach", (seconds) => { timeline.reachS = seconds; laneDrawnAt = -Infinity; });

connect();
requestAnimationFrame(draw);
