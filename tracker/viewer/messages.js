/**
 * What the tracker's messages mean: joint sets, axes, distances.
 *
 * Nothing here draws and nothing here knows a socket. Messages are wire format version 1; unknown keys and types are
 * ignored, unknown numbers are null. Everything about joints and axes is derived from the header.
 *
 * @typedef {[number, number, number]} Triple
 * @typedef {{model: string, width: number, height: number, fx: number, fy: number, cx: number, cy: number,
 *   distortion: number[]}} Lens
 * @typedef {{bones: [number, number][], knuckles: number[], wrist: number, signs: Triple, lens: Lens}} Layout
 */

export const FORMAT = "hand-track";
export const VERSION = 1;

/** Signs that bring the axes of each name to the scene's: +x right, +y up, -z ahead, metres. */
const SIGNS_BY_AXES = {
  opencv: [1, -1, -1],
  opengl: [1, 1, 1],
  openxr: [1, 1, 1],
  unity: [1, 1, -1],
};
const FINGERS = ["thumb", "index", "middle", "ring", "little", "pinky"];
const LONG_FINGER_TAIL = 4; // knuckle, two joints and the tip end every long finger in every joint set

/**
 * What a header says about how to draw its frames.
 *
 * @param {any} header
 * @returns {Layout}
 * @throws {Error} where the header is not one that this page can read
 */
export function layoutOf(header) {
  if (header?.format !== FORMAT) throw new Error("this is not a hand-track header");
  if (header.version !== VERSION) {
    throw new Error(`the header is of version ${header.version}; this page reads version ${VERSION}`);
  }
  if (!Array.isArray(header.joint_names)) throw new Error("the header names no joints");
  const signs = SIGNS_BY_AXES[header.axes];
  if (!signs) {
    throw new Error(
      `the axes "${header.axes}" are unknown; known are ${Object.keys(SIGNS_BY_AXES).join(", ")}`,
    );
  }
  const lens = header.camera;
  if (!(lens?.width > 0 && lens?.height > 0)) throw new Error("the header's camera has no size");
  return { ...chainsOf(header.joint_names), signs, lens };
}

/**
 * Bones and knuckles from the names of joints, which list every finger from the hand outward.
 *
 * @param {string[]} names
 */
function chainsOf(names) {
  const wrist = names.indexOf("wrist");
  /** @type {[number, number][]} */
  const bones = [];
  const knuckles = [];
  for (const finger of FINGERS) {
    const chain = names.flatMap((name, joint) => (String(name).split(/[-_]/)[0] === finger ? [joint] : []));
    const path = wrist >= 0 && chain.length ? [wrist, ...chain] : chain;
    for (let k = 1; k < path.length; k++) bones.push([path[k - 1], path[k]]);
    if (finger !== "thumb" && chain.length >= LONG_FINGER_TAIL) {
      knuckles.push(chain[chain.length - LONG_FINGER_TAIL]);
    }
  }
  return { bones, knuckles, wrist };
}

/**
 * A row of numbers, or null where any of them is unknown.
 *
 * @param {any} row
 * @param {number} count
 * @returns {number[] | null}
 */
export function known(row, count) {
  if (!Array.isArray(row) || row.length < count) return null;
  for (let k = 0; k < count; k++) if (!Number.isFinite(row[k])) return null;
  return row;
}

/**
 * The hands of a frame, whatever the message holds; farthest first, so that near ones are drawn over them.
 *
 * @param {any} frame
 * @param {Layout} layout
 * @returns {any[]}
 */
export function handsOf(frame, layout) {
  const hands = Array.isArray(frame?.hands)
    ? frame.hands.filter((hand) => hand && typeof hand === "object")
    : [];
  const far = (hand) => distanceOf(hand, layout)?.metres ?? Infinity;
  return hands.sort((one, other) => far(other) - far(one));
}

/**
 * How far the middle of a hand's knuckles is from the camera, and how sure that is: one standard deviation along
 * the ray, from `covariance_m2`.
 *
 * @param {any} hand
 * @param {Layout} layout
 * @returns {{metres: number, sd: number | null} | null}
 */
export function distanceOf(hand, layout) {
  const rows = layout.knuckles.map((joint) => known(hand.joints_in_camera_m?.[joint], 3));
  if (!rows.length || rows.includes(null)) return null;
  const middle = [0, 1, 2].map((axis) => rows.reduce((sum, row) => sum + row[axis], 0) / rows.length);
  const metres = Math.hypot(...middle);
  const covariance = [0, 1, 2].map((axis) => known(hand.covariance_m2?.[axis], 3));
  if (metres === 0 || covariance.includes(null)) return { metres, sd: null };
  const ray = middle.map((value) => value / metres);
  const variance = ray.reduce(
    (sum, a, i) => sum + ray.reduce((part, b, j) => part + a * covariance[i][j] * b, 0),
    0,
  );
  return { metres, sd: variance >= 0 ? Math.sqrt(variance) : null };
}

/** "Left", "Right", or what the message says. */
export function sideName(hand) {
  return hand.side === "left" ? "Left" : hand.side === "right" ? "Right" : String(hand.side ?? "Hand");
}

/** The sum of the stages' times in milliseconds, null where a frame has none. */
export function trackingMs(frame) {
  const times = Object.values(frame?.stage_ms ?? {}).filter(Number.isFinite);
  return times.length ? times.reduce((sum, ms) => sum + ms, 0) : null;
}

/**
 * @param {string} text base64
 * @returns {Uint8Array}
 */
export function bytesOf(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let k = 0; k < binary.length; k++) bytes[k] = binary.charCodeAt(k);
  return bytes;
}

/**
 * A hand's skin: V x 3 little-endian float32 in the header's axes.
 *
 * @param {any} hand
 * @returns {Float32Array | null}
 */
export function verticesOf(hand) {
  if (typeof hand.vertices_m !== "string") return null;
  const bytes = bytesOf(hand.vertices_m);
  if (bytes.length % 12) return null;
  if (LITTLE_ENDIAN) return new Float32Array(bytes.buffer);
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, k) => view.getFloat32(4 * k, true));
}

const LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;
