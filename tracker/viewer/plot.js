/** The latency of the last frames as a plot. */

import { themeColour } from "./colours.js";

const KEPT = 300;
const MARGIN = { left: 30, right: 6, top: 8, bottom: 4 };
const LEAST_MS = 20;

export class LatencyPlot {
  /** @type {number[]} */
  #values = [];
  #quantiles = {};

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** @param {number | null} ms of the newest frame; an unknown one leaves a gap */
  add(ms) {
    this.#values.push(Number.isFinite(ms) ? ms : NaN);
    if (this.#values.length > KEPT) this.#values.shift();
  }

  /** Begin anew. */
  clear() {
    this.#values = [];
  }

  /** @param {{p50?: number, p95?: number, p99?: number}} quantiles drawn as lines where known */
  mark(quantiles) {
    this.#quantiles = quantiles;
  }

  /** Quantiles of what is shown. */
  get quantiles() {
    const sorted = this.#values.filter(Number.isFinite).sort((a, b) => a - b);
    const at = (share) =>
      sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : null;
    return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
  }

  draw() {
    const { canvas, context } = this;
    const ratio = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    const size = { width: Math.round(width * ratio), height: Math.round(height * ratio) };
    if (canvas.width !== size.width || canvas.height !== size.height) Object.assign(canvas, size);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const top = niceTop(Math.max(LEAST_MS, ...this.#values.filter(Number.isFinite)));
    const y = (ms) => height - MARGIN.bottom - (ms / top) * (height - MARGIN.top - MARGIN.bottom);
    this.#drawScale(top, y, width);
    this.#drawValues(y, width);
    this.#drawLine("p50", y, width, []);
    this.#drawLine("p95", y, width, [4, 4]);
  }

  #drawScale(top, y, width) {
    const { context } = this;
    context.font = "11px system-ui, sans-serif";
    context.textAlign = "right";
    context.textBaseline = "middle";
    context.setLineDash([]);
    context.lineWidth = 1;
    for (const ms of [0, top / 2, top]) {
      context.fillStyle = themeColour("--muted");
      context.fillText(String(ms), MARGIN.left - 6, y(ms));
      context.strokeStyle = themeColour("--line");
      context.beginPath();
      context.moveTo(MARGIN.left, Math.round(y(ms)) + 0.5);
      context.lineTo(width - MARGIN.right, Math.round(y(ms)) + 0.5);
      context.stroke();
    }
  }

  #drawValues(y, width) {
    const { context } = this;
    const step = (width - MARGIN.left - MARGIN.right) / KEPT;
    const first = KEPT - this.#values.length;
    context.fillStyle = themeColour("--accent");
    this.#values.forEach((ms, k) => {
      if (!Number.isFinite(ms)) return;
      context.fillRect(MARGIN.left + (first + k) * step, y(ms), Math.max(step - 0.5, 0.75), y(0) - y(ms));
    });
  }

  #drawLine(name, y, width, dashes) {
    const ms = this.#quantiles[name];
    if (!Number.isFinite(ms)) return;
    const { context } = this;
    context.strokeStyle = themeColour("--text");
    context.lineWidth = 1.25;
    context.setLineDash(dashes);
    context.beginPath();
    context.moveTo(MARGIN.left, y(ms));
    context.lineTo(width - MARGIN.right, y(ms));
    context.stroke();
    context.setLineDash([]);
    if (name !== "p95") return;
    context.fillStyle = themeColour("--text");
    context.textAlign = "left";
    context.textBaseline = "bottom";
    context.fillText(name, MARGIN.left + 4, y(ms) - 1);
  }
}

/** The next of 20, 40, 60, 100, 200, 400, ... at or above a value. */
function niceTop(ms) {
  let unit = 10;
  for (;;) {
    for (const multiple of [2, 4, 6, 10]) if (multiple * unit >= ms) return multiple * unit;
    unit *= 10;
  }
}
