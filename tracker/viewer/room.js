/** What stands still in the scene: a metre grid with its scale, and the camera with what it sees. */

import {
  BufferGeometry,
  CanvasTexture,
  Float32BufferAttribute,
  Group,
  LineBasicMaterial,
  LineSegments,
  Sprite,
  SpriteMaterial,
} from "./three.min.js";
import { themeColour } from "./colours.js";

export const FLOOR_M = -0.3;
const HALF_WIDTH_M = 0.5;
const DEPTH_M = 1.5;
const CELL_M = 0.1;
const CELLS_PER_HALF_METRE = 5;
const LABELS_M = [0.5, 1, 1.5];
const CAMERA_SIZE_M = 0.05;
const VIEW_DEPTH_M = 0.6;
const STEPS_PER_EDGE = 8;
/** A fisheye sees farther round than lines can show well. */
const WIDEST_RAD = (100 * Math.PI) / 180;

/** The grid below the camera: cells of 10 cm, stronger lines every half metre, distances written along its middle. */
export function makeGrid() {
  const group = new Group();
  const fine = [];
  const strong = [];
  const columns = Math.round((2 * HALF_WIDTH_M) / CELL_M);
  for (let k = 0; k <= columns; k++) {
    const x = -HALF_WIDTH_M + k * CELL_M;
    (k % CELLS_PER_HALF_METRE ? fine : strong).push(x, FLOOR_M, 0, x, FLOOR_M, -DEPTH_M);
  }
  const rows = Math.round(DEPTH_M / CELL_M);
  for (let k = 0; k <= rows; k++) {
    const z = -k * CELL_M;
    (k % CELLS_PER_HALF_METRE ? fine : strong).push(-HALF_WIDTH_M, FLOOR_M, z, HALF_WIDTH_M, FLOOR_M, z);
  }
  group.add(lines(fine, themeColour("--grid-fine")), lines(strong, themeColour("--grid")));
  for (const metres of LABELS_M) {
    const label = makeLabel(`${metres} m`);
    label.position.set(0, FLOOR_M + 0.02, -metres);
    group.add(label);
  }
  return group;
}

/**
 * The camera as a small pyramid, and the edges of what it sees.
 *
 * @param {import("./messages.js").Lens} lens
 */
export function makeFrustum(lens) {
  const group = new Group();
  const outline = pictureOutline(lens);
  const corners = [0, 1, 2, 3].map((k) => outline[k * STEPS_PER_EDGE]);
  group.add(lines(pyramid(outline, corners, CAMERA_SIZE_M), themeColour("--camera")));
  group.add(lines(pyramid(outline, corners, VIEW_DEPTH_M), themeColour("--camera-view")));
  return group;
}

/** Free what the graphics card holds of a group made here. */
export function dispose(group) {
  group.traverse((part) => {
    part.geometry?.dispose();
    part.material?.map?.dispose();
    part.material?.dispose();
  });
}

function pyramid(outline, corners, size) {
  const at = (ray) => ray.map((value) => value * size);
  const points = corners.flatMap((ray) => [0, 0, 0, ...at(ray)]);
  outline.forEach((ray, k) => points.push(...at(ray), ...at(outline[(k + 1) % outline.length])));
  return points;
}

/** Rays through the picture's edge, in the scene's axes: of depth 1 for flat lenses, of length 1 for fisheyes. */
function pictureOutline(lens) {
  const right = lens.width - 0.5;
  const bottom = lens.height - 0.5;
  const corners = [
    [-0.5, -0.5],
    [right, -0.5],
    [right, bottom],
    [-0.5, bottom],
  ];
  return corners.flatMap(([x, y], k) => {
    const [nextX, nextY] = corners[(k + 1) % 4];
    return Array.from({ length: STEPS_PER_EDGE }, (_, step) => {
      const share = step / STEPS_PER_EDGE;
      return rayThrough(lens, x + share * (nextX - x), y + share * (nextY - y));
    });
  });
}

/**
 * The ray through a pixel, close enough for a drawing: a fisheye's polynomial is inverted, the small bending of
 * other lenses and tangential terms are left out.
 */
function rayThrough(lens, u, v) {
  const x = (u - lens.cx) / lens.fx;
  const y = (v - lens.cy) / lens.fy;
  const terms = { kannala_brandt: 4, fisheye62: 6, fisheye624: 6 }[lens.model];
  if (!terms) return [x, -y, -1];
  const radius = Math.hypot(x, y);
  const angle = Math.min(angleOf(radius, (lens.distortion ?? []).slice(0, terms)), WIDEST_RAD);
  const share = radius > 0 ? Math.sin(angle) / radius : 0;
  return [x * share, -y * share, -Math.cos(angle)];
}

/** Solve `a (1 + k0 a^2 + k1 a^4 + ...) = radius` for a by Newton's steps. */
function angleOf(radius, coefficients) {
  let angle = Math.min(radius, WIDEST_RAD);
  for (let step = 0; step < 8; step++) {
    const [value, slope] = coefficients.reduce(
      ([sum, rise], k, n) => [sum + k * angle ** (2 * n + 3), rise + (2 * n + 3) * k * angle ** (2 * n + 2)],
      [angle, 1],
    );
    if (!(slope > 0.05)) break; // past where the polynomial turns back
    angle = Math.max(0, Math.min(angle + (radius - value) / slope, WIDEST_RAD));
  }
  return angle;
}

function lines(points, colour) {
  const geometry = new BufferGeometry().setAttribute("position", new Float32BufferAttribute(points, 3));
  return new LineSegments(geometry, new LineBasicMaterial({ color: colour }));
}

function makeLabel(text) {
  const canvas = Object.assign(document.createElement("canvas"), { width: 160, height: 64 });
  const context = canvas.getContext("2d");
  context.font = "500 44px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillStyle = themeColour("--view-text");
  context.fillText(text, 80, 34);
  const sprite = new Sprite(new SpriteMaterial({ map: new CanvasTexture(canvas), depthWrite: false }));
  sprite.scale.set(0.1, 0.04, 1);
  return sprite;
}
