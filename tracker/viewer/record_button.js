/** The button that has the tracker record on its own machine. */

import { element, toast } from "./page.js";
import { write } from "./words.js";

/** What came of a click is told within the second; after this the click is forgotten. */
const PATIENCE_MS = 3000;

export class RecordButton {
  /** @type {string | null} */
  #name = null;
  #since = 0;
  #askedAt = -Infinity;

  /** @param {(on: boolean) => boolean} send asks the tracker; whether it was reached */
  constructor(send) {
    this.send = send;
    this.button = element("record");
  }

  /** Ask for a recording, or for its end. */
  toggle() {
    if (this.button.disabled) return;
    this.#askedAt = performance.now();
    if (!this.send(this.#name === null)) toast("The tracker cannot be reached", { error: true });
  }

  /**
   * @param {boolean} usable the tracker can be asked now
   * @param {string | null | undefined} name of the file that the tracker records to, null for none; undefined while
   *   it has not said
   */
  show(usable, name) {
    const now = performance.now();
    if (name !== undefined && name !== this.#name) {
      if (usable) this.#tell(name);
      this.#name = name;
      this.#since = now;
      this.#askedAt = -Infinity;
    }
    this.button.disabled = !usable || now - this.#askedAt < PATIENCE_MS;
    this.button.setAttribute("aria-pressed", String(this.#name !== null));
    this.button.title = this.#name ? `Recording to ${this.#name} (R)` : "Record on the tracker's machine (R)";
    write(element("record-text"), this.#name ? `Stop ${clock(now - this.#since)}` : "Record");
  }

  #tell(name) {
    toast(name ? `Recording to ${name} on the tracker's machine` : `Recorded ${this.#name}`, {
      about: "recording",
    });
  }

  /** A click came to nothing. */
  failed() {
    this.#askedAt = -Infinity;
  }
}

function clock(ms) {
  const seconds = Math.floor(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
