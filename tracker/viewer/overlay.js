/** The camera's picture with skeletons drawn where the joints lie in it. */

import { DARK, handColour, LIGHT, themeColour } from "./colours.js";
import { distanceOf, handsOf, known, sideName } from "./messages.js";

const REFERENCE_PX = 480;
const BONE_PX = 2.8;
const JOINT_PX = 2.7;
const RIM_PX = 1.1;
const COASTING_WIDTH = 0.6;
const COASTING_OPACITY = 0.65;
const STALE_PICTURE_OPACITY = 0.35;
const FAR_PX = 1e5;

/**
 * @typedef {object} Shown
 * @property {import("./messages.js").Layout} layout
 * @property {any} frame hands to draw
 * @property {ImageBitmap | null} picture of the whole view, in any size
 * @property {boolean} stale the picture is older than the hands
 */

export class Overlay {
  /** @type {Shown | null} */
  #shown = null;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** @param {Shown | null} shown */
  show(shown) {
    this.#shown = shown;
    this.draw();
  }

  /** The frame whose hands are drawn. */
  get frame() {
    return this.#shown?.frame ?? null;
  }

  /**
   * Where a pixel of the header's camera is on the canvas, in CSS pixels; pixel centres are on integers.
   *
   * @returns {{scale: number, left: number, top: number, place: (row: number[]) => [number, number]} | null}
   */
  get map() {
    if (!this.#shown) return null;
    const { width, height } = this.#shown.layout.lens;
    const { clientWidth, clientHeight } = this.canvas;
    const scale = Math.min(clientWidth / width, clientHeight / height);
    const left = (clientWidth - scale * width) / 2;
    const top = (clientHeight - scale * height) / 2;
    return { scale, left, top, place: ([x, y]) => [left + (x + 0.5) * scale, top + (y + 0.5) * scale] };
  }

  draw() {
    const { canvas, context } = this;
    const ratio = devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * ratio);
    const height = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    const map = this.map;
    if (map) this.#drawView(map);
  }

  #drawView(map) {
    const { context } = this;
    const { layout, frame, picture, stale } = this.#shown;
    const width = layout.lens.width * map.scale;
    const height = layout.lens.height * map.scale;
    context.fillStyle = themeColour("--view");
    context.fillRect(map.left, map.top, width, height);
    const letGo = picture?.width === 0;
    if (picture && !letGo) {
      context.globalAlpha = stale ? STALE_PICTURE_OPACITY : 1;
      context.drawImage(picture, map.left, map.top, width, height);
      context.globalAlpha = 1;
    }
    context.save();
    context.beginPath();
    context.rect(map.left, map.top, width, height);
    context.clip();
    const unit = Math.min(width, height) / REFERENCE_PX;
    const hands = handsOf(frame, layout);
    for (const hand of hands) this.#drawSkeleton(hand, map, Math.max(unit, 0.7));
    const taken = [];
    for (const hand of hands.reverse()) taken.push(this.#drawLabel(hand, map, width, height, taken));
    context.restore();
  }

  #drawSkeleton(hand, map, unit) {
    const { context } = this;
    const coasting = hand.unseen_s > 0;
    const thin = coasting ? COASTING_WIDTH : 1;
    const joints = placed(hand, map);
    const bones = this.#shown.layout.bones.filter(([a, b]) => joints[a] && joints[b]);
    const lines = new Path2D();
    for (const [a, b] of bones) {
      lines.moveTo(...joints[a]);
      lines.lineTo(...joints[b]);
    }
    context.globalAlpha = coasting ? COASTING_OPACITY : 1;
    context.lineCap = "round";
    const bonePx = BONE_PX * unit * thin;
    const jointPx = JOINT_PX * unit * thin;
    const rimPx = RIM_PX * unit;
    this.#stroke(lines, joints, DARK, bonePx + 2 * rimPx, jointPx + rimPx);
    this.#stroke(lines, joints, handColour(hand), bonePx, jointPx);
    this.#stroke(null, joints, LIGHT, 0, jointPx * 0.55);
    context.globalAlpha = 1;
  }

  #stroke(lines, joints, colour, linePx, radiusPx) {
    const { context } = this;
    context.strokeStyle = context.fillStyle = colour;
    if (lines) {
      context.lineWidth = linePx;
      context.stroke(lines);
    }
    context.beginPath();
    for (const joint of joints) {
      if (!joint) continue;
      context.moveTo(joint[0] + radiusPx, joint[1]);
      context.arc(joint[0], joint[1], radiusPx, 0, 2 * Math.PI);
    }
    context.fill();
  }

  /** Write above the hand, or below it where another label stands; returns where. */
  #drawLabel(hand, map, width, height, taken) {
    const joints = placed(hand, map).filter(Boolean);
    if (!joints.length) return null;
    const { context } = this;
    const distance = distanceOf(hand, this.#shown.layout);
    const text = `${sideName(hand)} #${hand.track_id}${distance ? `  ${(100 * distance.metres).toFixed(0)} cm` : ""}`;
    const fontPx = Math.min(15, Math.max(11, width / 55));
    context.font = `600 ${fontPx}px system-ui, sans-serif`;
    const plateWidth = context.measureText(text).width + 12;
    const plateHeight = fontPx + 8;
    const middle = joints.reduce((sum, joint) => sum + joint[0], 0) / joints.length;
    const x = clamp(middle - plateWidth / 2, map.left + 4, map.left + width - plateWidth - 4);
    const rows = joints.map((joint) => joint[1]);
    const places = [Math.min(...rows) - plateHeight - 10, Math.max(...rows) + 10].map((top) => {
      return { x, y: clamp(top, map.top + 4, map.top + height - plateHeight - 4), plateWidth, plateHeight };
    });
    const place = places.find((one) => !taken.some((other) => other && overlap(one, other))) ?? places[0];
    const { y } = place;
    context.fillStyle = "rgb(20 20 22 / 0.72)";
    context.beginPath();
    context.roundRect(x, y, plateWidth, plateHeight, 5);
    context.fill();
    context.fillStyle = handColour(hand);
    context.textBaseline = "middle";
    context.fillText(text, x + 6, y + plateHeight / 2 + 0.5);
    return place;
  }
}

/** A hand's joints on the canvas; null where unknown or absurdly far out. */
function placed(hand, map) {
  const rows = Array.isArray(hand.joints_px) ? hand.joints_px : [];
  return rows.map((row) => {
    const pixel = known(row, 2);
    return pixel && Math.abs(pixel[0]) < FAR_PX && Math.abs(pixel[1]) < FAR_PX ? map.place(pixel) : null;
  });
}

function overlap(one, other) {
  return (
    one.x < other.x + other.plateWidth &&
    other.x < one.x + one.plateWidth &&
    one.y < other.y + other.plateHeight &&
    other.y < one.y + one.plateHeight
  );
}

function clamp(value, low, high) {
  return Math.max(low, Math.min(value, high));
}
