/** The bar that plays and scrubs a recording. */

import { element } from "./page.js";
import { Playback } from "./playback.js";
import { Recording, RecordingError } from "./recording.js";
import { write } from "./words.js";

export class Player {
  /** @type {Playback | null} */
  playback = null;
  #readShare = 1;

  /**
   * @param {object} listeners
   * @param {(shown: {header: any, layout: any, frame: any}, index: number) => void} listeners.onFrame
   * @param {() => void} listeners.onOpened
   * @param {() => void} listeners.onPlaying it began or stopped to play
   * @param {(text: string) => void} listeners.onError
   */
  constructor({ onFrame, onOpened, onPlaying, onError }) {
    this.onFrame = onFrame;
    this.onOpened = onOpened;
    this.onPlaying = onPlaying;
    this.onError = onError;
    /** @type {Recording | null} */
    this.opening = null;
    this.slider = element("slider");
    this.slider.addEventListener("input", () => {
      this.playback?.pause();
      this.playback?.seek(Number(this.slider.value));
    });
    element("play").onclick = () => this.toggle();
    element("step-back").onclick = () => this.playback?.step(-1);
    element("step-on").onclick = () => this.playback?.step(1);
    element("speed").onchange = (event) => {
      if (this.playback) this.playback.speed = Number(event.target.value);
    };
  }

  /** The name of the recording at hand, null while there is none. */
  get name() {
    return this.playback?.recording.name ?? null;
  }

  /** Open a file; what is shown stays until its first frames are known. @param {File} file */
  async open(file) {
    const recording = new Recording(file);
    this.opening?.close();
    this.opening = recording;
    try {
      await recording.index((share) => this.#hasRead(recording, share));
      if (recording.unreadable)
        this.onError(`${recording.unreadable} lines of ${file.name} could not be read`);
    } catch (error) {
      if (recording.closed) return;
      this.#readShare = 1;
      if (!(error instanceof RecordingError)) throw error;
      this.onError(error.message);
    }
  }

  close() {
    this.opening?.close();
    this.opening = null;
    this.playback?.close();
    this.playback = null;
    element("player").hidden = true;
  }

  toggle() {
    if (this.playback?.playing) this.playback.pause();
    else this.playback?.play();
  }

  /**
   * Move in the recording.
   *
   * @param {"frame" | "second" | "end"} by
   * @param {-1 | 1} way
   * @returns {boolean} whether there is a recording
   */
  move(by, way) {
    const { playback } = this;
    if (by === "frame") playback?.step(way);
    else if (by === "second") playback?.skip(way);
    else playback?.seek(way * Infinity);
    return playback !== null;
  }

  #hasRead(recording, share) {
    if (recording.closed || !recording.count) return;
    this.#readShare = share;
    if (this.playback?.recording !== recording) this.#begin(recording);
    this.slider.max = String(recording.count - 1);
    this.#writeTime();
  }

  #begin(recording) {
    this.playback?.close();
    this.playback = new Playback(recording, {
      onFrame: (shown, index) => {
        this.slider.value = String(index);
        this.#writeTime();
        this.onFrame(shown, index);
      },
      onPlaying: (playing) => {
        element("play").classList.toggle("plays", !playing);
        element("play").setAttribute("aria-label", playing ? "Pause" : "Play");
        this.onPlaying();
      },
      onError: (error) => this.onError(error.message),
    });
    this.playback.speed = Number(element("speed").value);
    element("play").classList.add("plays");
    element("player").hidden = false;
    this.onOpened();
    this.playback.seek(0);
  }

  #writeTime() {
    const { recording, index } = this.playback;
    const start = recording.timeOf(0);
    const at = (k) => clock(recording.timeOf(k) - start);
    const last = recording.count - 1;
    const text =
      this.#readShare < 1 ? `reading ${Math.floor(100 * this.#readShare)} %` : `${at(index)} / ${at(last)}`;
    write(element("time"), text);
    this.slider.setAttribute("aria-valuetext", `frame ${index + 1} of ${recording.count}, ${at(index)}`);
  }
}

/** Seconds as 1:02.34. */
function clock(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const minutes = Math.floor(Math.abs(seconds) / 60);
  const rest = (Math.abs(seconds) % 60).toFixed(2).padStart(5, "0");
  return `${seconds < 0 ? "−" : ""}${minutes}:${rest}`;
}
