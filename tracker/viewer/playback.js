/** Which frame of a recording is shown: playing by its clock, stepping, scrubbing. */

/** Longer gaps, as while the camera was away, are jumped over. */
const LONGEST_GAP_S = 1;
const USUAL_STEP_S = 1 / 30;
/** Times are written to the microsecond. */
const ROUNDING_S = 1e-5;

export class Playback {
  #reading = false;
  #wanted = 0;
  #lastTick = 0;
  #clockS = 0;

  /**
   * @param {import("./recording.js").Recording} recording
   * @param {object} listeners
   * @param {(shown: {header: any, layout: any, frame: any}, index: number) => void} listeners.onFrame
   * @param {(playing: boolean) => void} listeners.onPlaying
   * @param {(error: Error) => void} listeners.onError
   */
  constructor(recording, { onFrame, onPlaying, onError }) {
    this.recording = recording;
    this.onFrame = onFrame;
    this.onPlaying = onPlaying;
    this.onError = onError;
    this.index = 0;
    this.playing = false;
    this.speed = 1;
    this.closed = false;
  }

  /** Show a frame; of several asked for while one is read, only the last is shown. */
  async seek(index) {
    this.index = this.#wanted = Math.max(0, Math.min(Math.round(index), this.recording.count - 1));
    this.#clockS = this.#timeOf(this.index);
    await this.#show();
  }

  /** Move by frames; playing stops. */
  step(frames) {
    this.pause();
    return this.seek(this.index + frames);
  }

  /** Move by seconds of the recording. */
  skip(seconds) {
    const { recording } = this;
    const way = Math.sign(seconds);
    const aim = this.#timeOf(this.index) + seconds + way * ROUNDING_S;
    let index = this.index;
    while (recording.timeOf(index + way) * way <= aim * way) index += way;
    return this.seek(index === this.index ? index + way : index);
  }

  play() {
    if (this.playing) return;
    if (this.index >= this.recording.count - 1) this.seek(0);
    this.playing = true;
    this.#lastTick = performance.now();
    this.onPlaying(true);
    requestAnimationFrame(() => this.#tick());
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    this.onPlaying(false);
  }

  /** Show nothing more. */
  close() {
    this.pause();
    this.closed = true;
    this.recording.close();
  }

  #tick() {
    if (!this.playing) return;
    const now = performance.now();
    this.#clockS += (Math.min(now - this.#lastTick, 1000 * LONGEST_GAP_S) / 1000) * this.speed;
    this.#lastTick = now;
    const last = this.recording.count - 1;
    let index = this.index;
    while (index < last && !(this.#timeOf(index + 1) > this.#clockS)) index++;
    const gap = this.#timeOf(index + 1) - this.#clockS;
    if (gap > LONGEST_GAP_S || this.#clockS - this.#timeOf(index) > LONGEST_GAP_S) {
      index = Math.min(index + 1, last);
      this.#clockS = this.#timeOf(index);
    }
    if (index !== this.index) {
      this.index = this.#wanted = index;
      this.#show();
    }
    if (index >= last) this.pause();
    else requestAnimationFrame(() => this.#tick());
  }

  #timeOf(index) {
    const time = this.recording.timeOf(index);
    return Number.isNaN(time) ? index * USUAL_STEP_S : time;
  }

  async #show() {
    if (this.#reading) return;
    this.#reading = true;
    try {
      for (let index = -1; index !== this.#wanted && !this.closed;) {
        index = this.#wanted;
        const shown = await this.recording.read(index);
        if (!this.closed) this.onFrame(shown, index);
      }
    } catch (error) {
      this.pause();
      this.onError(error);
    } finally {
      this.#reading = false;
    }
  }
}
