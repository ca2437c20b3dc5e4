/**
 * A recording (JSON lines) read line by line from a file that may be larger than memory.
 *
 * Opening it notes where lines begin, and from each line's first bytes what it is and when; lines are parsed when
 * they are shown. An hour of 30 frames a second takes 2 MB here.
 */

import { layoutOf } from "./messages.js";

const CHUNK_BYTES = 4 << 20;
const HEAD_BYTES = 200;
const LONGEST_LINE_BYTES = 64 << 20;
const BUSY_MS = 12;
const NEWLINE = 10;
/** Some editors put this before a text, and it is no part of it. */
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];
const TYPE = /^\s*\{\s*"type"\s*:\s*"(\w+)"/;
const TIME = /"capture_time_s"\s*:\s*(-?\d[\d.eE+-]*)/;

/** What is wrong with a file, in one line for a person. */
export class RecordingError extends Error {}

export class Recording {
  /** Of each frame: where its line begins and ends, when it was captured, which header holds. */
  #starts = new Numbers();
  #ends = new Numbers();
  #times = new Numbers();
  #headerIndices = new Numbers();
  /** @type {{header: any, layout: import("./messages.js").Layout}[]} */
  #headers = [];

  /** @param {File} file */
  constructor(file) {
    this.file = file;
    this.name = file.name;
    this.unreadable = 0;
    this.closed = false;
  }

  /** How many frames are known by now. */
  get count() {
    return this.#starts.length;
  }

  /** When a frame was captured, in seconds; NaN where its line does not say so at its beginning. */
  timeOf(index) {
    return this.#times.at(index);
  }

  /**
   * Read through the file; frames can be shown as soon as `onProgress` tells of them.
   *
   * @param {(share: number) => void} onProgress
   * @throws {RecordingError}
   */
  async index(onProgress) {
    const { file } = this;
    if (/\.(mcap|rrd|parquet)$/i.test(file.name)) {
      throw new RecordingError(
        `${file.name}: only .jsonl opens here. "hand-tracker replay" turns .mcap into it: --full-speed --record NEW.jsonl`,
      );
    }
    const mark = new Uint8Array(await read(file, 0, BYTE_ORDER_MARK.length));
    const textStart = BYTE_ORDER_MARK.every((byte, k) => byte === mark[k]) ? mark.length : 0;
    let lineStart = textStart;
    let head = new Uint8Array(0);
    let restedAt = performance.now();
    for (let offset = textStart; offset < file.size && !this.closed; offset += CHUNK_BYTES) {
      const chunk = new Uint8Array(await read(file, offset, offset + CHUNK_BYTES));
      let from = 0;
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
        await this.#note(joined(head, chunk.subarray(from, end)), lineStart, offset + end);
        head = head.subarray(0, 0);
        from = end + 1;
        lineStart = offset + from;
        if (performance.now() - restedAt > BUSY_MS) {
          onProgress(lineStart / file.size);
          await rest();
          restedAt = performance.now();
        }
      }
      head = joined(head, chunk.subarray(from)).slice(); // its own copy: the chunk is let go
      if (offset + chunk.length - lineStart > LONGEST_LINE_BYTES) throw this.#strange("it has no lines");
      if (!this.#headers.length) this.#checkBeginning(head);
    }
    if (lineStart < file.size) await this.#note(head, lineStart, file.size, { cut: true });
    if (!this.#headers.length) throw this.#strange("it is empty");
    if (!this.count) throw new RecordingError(`${this.name} holds no frames`);
    onProgress(1);
  }

  /**
   * @param {number} index
   * @returns {Promise<{header: any, layout: import("./messages.js").Layout, frame: any}>}
   * @throws {RecordingError} the line is not a frame, or the file has changed
   */
  async read(index) {
    let frame = null;
    try {
      frame = JSON.parse(
        new TextDecoder().decode(await read(this.file, this.#starts.at(index), this.#ends.at(index))),
      );
    } catch {
      // told below
    }
    if (frame === null || typeof frame !== "object") {
      throw new RecordingError(`frame ${index + 1} of ${this.name} cannot be read`);
    }
    return { ...this.#headers[this.#headerIndices.at(index)], frame };
  }

  /** Stop reading through the file. */
  close() {
    this.closed = true;
  }

  async #note(head, start, end, { cut = false } = {}) {
    if (end <= start || (end - start === 1 && head[0] === 13)) return; // an empty line
    const text = new TextDecoder().decode(head);
    if (!this.#headers.length) this.#checkBeginning(head);
    let type = TYPE.exec(text)?.[1];
    let time = Number(TIME.exec(text)?.[1] ?? NaN);
    if (type === undefined || type === "header" || cut || (type === "frame" && Number.isNaN(time))) {
      const message = await this.#whole(start, end);
      type = typeof message?.type === "string" ? message.type : undefined;
      time = Number.isFinite(message?.capture_time_s) ? message.capture_time_s : NaN;
      if (type === "header") return this.#noteHeader(message);
    }
    if (!this.#headers.length) throw this.#strange("its first line is no header");
    if (type === undefined) this.unreadable += cut ? 0 : 1; // a killed program leaves its last line cut
    if (type !== "frame") return;
    this.#starts.push(start);
    this.#ends.push(end);
    this.#times.push(time);
    this.#headerIndices.push(this.#headers.length - 1);
  }

  #noteHeader(header) {
    try {
      this.#headers.push({ header, layout: layoutOf(header) });
    } catch (error) {
      throw this.#strange(error.message);
    }
  }

  async #whole(start, end) {
    try {
      return JSON.parse(new TextDecoder().decode(await read(this.file, start, end)));
    } catch {
      return null;
    }
  }

  #checkBeginning(head) {
    const first = head.find((byte) => byte > 32);
    if (first !== undefined && first !== "{".charCodeAt(0))
      throw this.#strange("its first line is no header");
  }

  #strange(reason) {
    return new RecordingError(`${this.name} is no hand recording: ${reason}`);
  }
}

/** Numbers that grow without a copy for each; an array of a hundred thousand costs what it holds. */
class Numbers {
  #values = new Float64Array(1024);
  length = 0;

  push(value) {
    if (this.length === this.#values.length) {
      const larger = new Float64Array(2 * this.length);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.length++] = value;
  }

  at(index) {
    return index < this.length ? this.#values[index] : NaN;
  }
}

async function read(file, start, end) {
  try {
    return await file.slice(start, end).arrayBuffer();
  } catch {
    throw new RecordingError(`${file.name} cannot be read any more; was it moved or changed?`);
  }
}

/** The beginning of a line of which `head` came with the chunk before. */
function joined(head, rest) {
  if (!head.length) return rest.subarray(0, HEAD_BYTES);
  if (head.length >= HEAD_BYTES) return head;
  const whole = new Uint8Array(Math.min(HEAD_BYTES, head.length + rest.length));
  whole.set(head);
  whole.set(rest.subarray(0, whole.length - head.length), head.length);
  return whole;
}

/** Let the page draw and listen. */
function rest() {
  return new Promise((resolve) => setTimeout(resolve));
}
