// The tracker's clock as seen from this page, from questions and answers over the camera's WebSocket.
// Times of the page are performance.now() in milliseconds; the tracker's are seconds of its monotonic clock.

const KEPT_MS = 60_000;

export class TrackerClock {
  constructor() {
    this.samples = [];
  }

  // Take the answer to a question asked at `askedMs`.
  heard(askedMs, serverS, nowMs) {
    // The tracker read its clock some time between: at the middle, give or take half the round trip.
    const sample = { atMs: nowMs, tripMs: nowMs - askedMs, offsetMs: serverS * 1e3 - (askedMs + nowMs) / 2 };
    this.samples = this.samples.filter((other) => nowMs - other.atMs < KEPT_MS);
    this.samples.push(sample);
    // The quickest answer leaves the least room for error; older ones expire, as clocks drift apart.
    this.best = this.samples.reduce((best, other) => (other.tripMs < best.tripMs ? other : best));
  }

  get known() {
    return this.best !== undefined;
  }

  trackerSeconds(pageMs) {
    return (pageMs + this.best.offsetMs) / 1e3;
  }

  pageMs(trackerSeconds) {
    return trackerSeconds * 1e3 - this.best.offsetMs;
  }
}
