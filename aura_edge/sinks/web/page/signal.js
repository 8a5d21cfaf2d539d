// Both triads as scrolling traces: a ring of the last minute, drawn as the least and the greatest of each column of pixels.

const KEPT_S = 60;
const TRIADS = [{ into: "acceleration", from: 0, least: 4 }, { into: "rate", from: 3, least: 1 }];
const AXES = ["--x", "--y", "--z"];
const GLIDE_S = 0.12;

export class SignalView {
  constructor(rateHz, channels) {
    this.periodS = 1 / rateHz;
    this.channels = channels;
    this.size = Math.ceil(KEPT_S * rateHz * 1.02);
    this.times = new Float64Array(this.size);
    this.values = new Float32Array(this.size * channels);
    this.spanS = 10;
    this.paused = false;
    this.clear();
    this.charts = TRIADS.map((triad) => ({ ...triad, plot: null, range: [-triad.least, triad.least], rows: [[], [], [], []] }));
  }

  clear() {
    this.count = 0;
    this.edgeS = null;
  }

  // What a frame brings: samples (n, channels), and from which of them on the time counts from where.
  push(signal, samples) {
    const length = samples.length / this.channels;
    let run = -1;
    for (let i = 0; i < length; i++) {
      while (run + 1 < signal.runs.length && signal.runs[run + 1][0] <= signal.first + i) run++;
      const at = this.count % this.size;
      this.times[at] = signal.runs[run][1] + (signal.first + i - signal.runs[run][0]) * this.periodS;
      this.values.set(samples.subarray(i * this.channels, (i + 1) * this.channels), at * this.channels);
      this.count++;
    }
  }

  get newestS() {
    return this.count ? this.times[(this.count - 1) % this.size] : null;
  }

  draw(elapsedS) {
    const newest = this.newestS;
    if (newest === null || this.paused) return;
    const behind = this.edgeS === null ? Infinity : newest - this.edgeS;
    this.edgeS = behind > 2 || behind < 0 ? newest : this.edgeS + behind * (1 - Math.exp(-elapsedS / GLIDE_S));
    const first = this.firstAfter(this.edgeS - this.spanS - 0.5);
    for (const chart of this.charts) this.drawChart(chart, first);
  }

  firstAfter(timeS) {
    let low = Math.max(0, this.count - this.size), high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.times[middle % this.size] < timeS) low = middle + 1; else high = middle;
    }
    return low;
  }

  drawChart(chart, first) {
    const place = document.getElementById(chart.into);
    const width = place.clientWidth, height = place.clientHeight;
    if (!width) return;
    if (chart.plot === null) chart.plot = this.makePlot(chart, place, width, height);
    else if (chart.plot.width !== width || chart.plot.height !== height) chart.plot.setSize({ width, height });
    this.fillRows(chart, first, Math.max(100, width - 60));
    this.fitRange(chart);
    chart.plot.setData(chart.rows, false);
    chart.plot.batch(() => {
      chart.plot.setScale("x", { min: this.edgeS - this.spanS, max: this.edgeS });
      chart.plot.setScale("y", { min: chart.range[0], max: chart.range[1] });
    });
  }

  // Two points a column: its least and greatest value, so that no peak is lost however many samples a column has.
  // Columns are tied to time, not to the edge, so that they do not shimmer while they scroll.
  fillRows(chart, first, columns) {
    const [xs, ...ys] = chart.rows;
    const columnS = Math.max(this.spanS / columns, this.periodS);
    const breakS = 1.5 * columnS + 2.5 * this.periodS;
    let used = 0, column = NaN, last = NaN;
    const low = [0, 0, 0], high = [0, 0, 0];
    const put = (t, values) => {
      xs[used] = t;
      for (let axis = 0; axis < 3; axis++) ys[axis][used] = values === null ? null : values[axis];
      used++;
    };
    const flush = () => {
      if (Number.isNaN(column)) return;
      put(column * columnS, low);
      put((column + 0.5) * columnS, high);
    };
    for (let i = first; i < this.count; i++) {
      const at = i % this.size, t = this.times[at], mine = Math.floor(t / columnS);
      if (mine !== column) {
        flush();
        if (t - last > breakS) put((column + 0.75) * columnS, null);
        column = mine;
        low.fill(Infinity);
        high.fill(-Infinity);
      }
      last = t;
      for (let axis = 0; axis < 3; axis++) {
        const value = this.values[at * this.channels + chart.from + axis];
        if (value < low[axis]) low[axis] = value;
        if (value > high[axis]) high[axis] = value;
      }
    }
    flush();
    for (const row of chart.rows) row.length = used;
  }

  // Grows at once, shrinks slowly: a scale that jumps cannot be read.
  fitRange(chart) {
    let low = Infinity, high = -Infinity;
    for (let axis = 1; axis < 4; axis++) for (const value of chart.rows[axis]) {
      if (value === null) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    if (low > high) return;
    const middle = (low + high) / 2, half = Math.max(chart.least, (high - low) * 0.56);
    const [a, b] = chart.range;
    chart.range = [
      Math.min(middle - half, a + (middle - half - a) * 0.03),
      Math.max(middle + half, b + (middle + half - b) * 0.03),
    ];
  }

  makePlot(chart, place, width, height) {
    const colour = (name) => () => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    return new uPlot({
      width, height, padding: [6, 16, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false, auto: false }, y: { auto: false } },
      series: [{}, ...AXES.map((name) => ({ stroke: colour(name), width: 1.25, points: { show: false }, spanGaps: false }))],
      axes: [
        { ...axis, size: 24, gap: 2, space: 70, values: (_, ticks) => ticks.map((t) => (t < 0 ? "" : clockOf(t))) },
        { ...axis, size: 44, gap: 4, space: 32 },
      ],
    }, chart.rows, place);
  }
}

// Seconds as 1:02 or 1:02:03, with tenths where they matter.
export function clockOf(seconds) {
  const whole = Math.floor(Math.abs(seconds) + 1e-6);
  const tenths = Math.round((Math.abs(seconds) - whole) * 10);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const text = parts[0] ? `${parts[0]}:${two(parts[1])}:${two(parts[2])}` : `${parts[1]}:${two(parts[2])}`;
  return (seconds < 0 ? "−" : "") + text + (tenths && tenths < 10 ? `.${tenths}` : "");
}

function two(number) {
  return String(number).padStart(2, "0");
}
