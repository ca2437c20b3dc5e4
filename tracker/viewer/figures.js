/** The latency plot and the figures below it. */

import { trackingMs } from "./messages.js";
import { element } from "./page.js";
import { LatencyPlot } from "./plot.js";
import { write } from "./words.js";

const RATE_OVER_MS = 2000;
/** Frames of a recording farther apart than this are no longer one piece of it. */
const LONGEST_SKIP = 10;

export class Figures {
  /** When the last frames came, or those of a recording were captured, in ms. @type {number[]} */
  #arrivals = [];
  #lastIndex = -1;
  #stats = null;
  #frame = null;
  /** "live" with latencies; "tracking" where only the tracking's own time is known. */
  #kind = "live";

  constructor() {
    this.plot = new LatencyPlot(element("plot"));
    this.places = Object.fromEntries(
      [...document.querySelectorAll("[data-figure]")].map((place) => [place.dataset.figure, place]),
    );
  }

  /** A live frame has come. */
  addLive(frame) {
    this.#came(performance.now());
    const known = Number.isFinite(frame.latency_ms);
    this.#become(known ? "live" : "tracking");
    this.plot.add(known ? frame.latency_ms : trackingMs(frame));
    this.#frame = frame;
  }

  /** A frame of a recording is shown. */
  addRecorded(frame, index) {
    if (index < this.#lastIndex || index > this.#lastIndex + LONGEST_SKIP) this.clear();
    this.#lastIndex = index;
    this.#came(1000 * frame.capture_time_s);
    this.#become("tracking");
    this.plot.add(trackingMs(frame));
    this.#frame = frame;
  }

  /** The tracker's own figures, null where a recording is shown. */
  stats(stats) {
    this.#stats = stats;
  }

  /** Begin anew, as when something else is shown. */
  clear() {
    this.plot.clear();
    this.#arrivals = [];
    this.#lastIndex = -1;
  }

  draw() {
    const told = this.#kind === "live" ? this.#stats?.latency_ms : null;
    const quantiles = Number.isFinite(told?.p50) ? told : this.plot.quantiles;
    this.plot.mark(quantiles);
    this.plot.draw();
    for (const name of ["p50", "p95", "p99"]) this.#write(name, quantiles[name], 1, "ms");
    this.#write("rate", this.#rateHz(), 1, "/s");
    this.#write("tracking", this.#trackingMs(), 1, "ms");
    this.#write("dropped", this.#frame?.dropped_frames, 0, "");
  }

  #came(ms) {
    this.#arrivals.push(ms);
    while (this.#arrivals[0] < ms - RATE_OVER_MS) this.#arrivals.shift();
  }

  #become(kind) {
    if (kind === this.#kind) return;
    this.#kind = kind;
    this.plot.clear();
    write(element("timing-title"), kind === "live" ? "Latency" : "Tracking time");
    write(element("timing-note"), kind === "live" ? "capture to this connection, ms" : "of each frame, ms");
  }

  #rateHz() {
    if (Number.isFinite(this.#stats?.frame_rate_hz)) return this.#stats.frame_rate_hz;
    const [first] = this.#arrivals;
    const last = this.#arrivals.at(-1);
    return last > first ? (1000 * (this.#arrivals.length - 1)) / (last - first) : null;
  }

  #trackingMs() {
    return trackingMs(this.#stats) ?? trackingMs(this.#frame);
  }

  #write(name, value, digits, unit) {
    write(this.places[name], Number.isFinite(value) ? `${value.toFixed(digits)}${unit && ` ${unit}`}` : "–");
  }
}
