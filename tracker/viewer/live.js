/** What the tracker has said so far: header, newest frame, picture, skins, figures. */

import { bytesOf, layoutOf } from "./messages.js";

/** Frames kept until the picture of one of them comes. */
const KEPT_FRAMES = 30;
/** After so long without a new picture, in ms, the last one no longer says where hands are. */
const STALE_MS = 1000;

export class Live {
  header = null;
  /** @type {import("./messages.js").Layout | null} */
  layout = null;
  frame = null;
  /** "playing", "lost" or "ended", as the tracker says. */
  state = "playing";
  stats = null;
  /** @type {Map<string, number[][]>} */
  meshes = new Map();
  /** Decode pictures that come; the one at hand stays as it is while this is false. */
  wantsPictures = true;
  /** @type {{bitmap: ImageBitmap, frame: any, cameAt: number} | null} */
  #picture = null;
  #recent = new Map();
  #nextPreview = null;
  #decoding = false;

  /** @param {{onFrame: (frame: any) => void, onChange: () => void, onError: (text: string) => void}} listeners */
  constructor({ onFrame, onChange, onError }) {
    this.onFrame = onFrame;
    this.onChange = onChange;
    this.onError = onError;
  }

  /** A new connection: nothing holds but what is said on it. */
  connected() {
    this.state = "playing"; // until told otherwise
    this.stats = null;
    this.meshes.clear();
  }

  /** Take in one message; types that are not known are passed over. */
  take(message) {
    switch (message.type) {
      case "header":
        return this.#takeHeader(message);
      case "frame":
        return this.#takeFrame(message);
      case "preview":
        return this.#takePreview(message);
      case "state":
        this.state = String(message.state);
        return this.onChange();
      case "stats":
        this.stats = message;
        return this.onChange();
      case "mesh":
        if (Array.isArray(message.faces)) this.meshes.set(message.name, message.faces);
        return undefined;
      case "error":
        return this.onError(String(message.message));
    }
  }

  /** The picture to draw and the very frame that it is of; without a picture where the last one is too old. */
  get pictured() {
    const picture = this.#picture;
    const behind = picture && this.frame?.frame !== picture.frame.frame;
    if (!picture || (behind && performance.now() - picture.cameAt > STALE_MS)) {
      return { frame: this.frame, picture: null, stale: false };
    }
    return { frame: picture.frame, picture: picture.bitmap, stale: false };
  }

  /** The last picture without hands, dimmed. */
  get past() {
    return { frame: { ...this.frame, hands: [] }, picture: this.#picture?.bitmap ?? null, stale: true };
  }

  /** Forget the picture, as when previews are switched off. */
  dropPicture() {
    this.#picture?.bitmap.close();
    this.#picture = this.#nextPreview = null;
  }

  #takeHeader(message) {
    try {
      this.layout = layoutOf(message);
      this.header = message;
    } catch (error) {
      this.layout = this.header = null;
      this.onError(`This page cannot show what the tracker sends: ${error.message}`);
    }
    this.frame = null;
    this.#recent.clear();
    this.dropPicture();
    this.onChange();
  }

  #takeFrame(message) {
    if (!this.layout) return;
    this.frame = message;
    this.#recent.set(message.frame, message);
    if (this.#recent.size > KEPT_FRAMES) this.#recent.delete(this.#recent.keys().next().value);
    this.onFrame(message);
  }

  async #takePreview(message) {
    this.#nextPreview = message;
    if (this.#decoding) return;
    this.#decoding = true;
    while (this.#nextPreview && this.wantsPictures) {
      const { jpeg, frame } = this.#nextPreview;
      this.#nextPreview = null;
      const own = this.#recent.get(frame); // kept with the picture: decoding may take long
      if (!own) continue; // it would lie under the hands of another moment
      const layout = this.layout;
      const bitmap = await decoded(jpeg);
      if (!bitmap) continue;
      if (!this.wantsPictures || this.layout !== layout) {
        bitmap.close();
        continue;
      }
      this.#picture?.bitmap.close();
      this.#picture = { bitmap, frame: own, cameAt: performance.now() };
      this.onChange();
    }
    this.#nextPreview = null;
    this.#decoding = false;
  }
}

/** A picture, or null where it is damaged. */
async function decoded(jpeg) {
  try {
    return await createImageBitmap(new Blob([bytesOf(jpeg)], { type: "image/jpeg" }));
  } catch {
    return null;
  }
}
