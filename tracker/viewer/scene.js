/** The 3D view: both hands in metres before the camera, to orbit. Scene axes: +x right, +y up, -z ahead. */

import {
  Color,
  DirectionalLight,
  HemisphereLight,
  OrbitControls,
  PerspectiveCamera,
  Scene,
  Spherical,
  Vector3,
  WebGLRenderer,
} from "./three.min.js";
import { themeColour } from "./colours.js";
import { HandModel, scenePoints } from "./hand_model.js";
import { handsOf } from "./messages.js";
import { dispose, FLOOR_M, makeFrustum, makeGrid } from "./room.js";

const EYE_DEGREES = 42;
const LEAST_ASPECT = 1.3;
const USUAL_TARGET_M = [0, -0.1, -0.45];
/** Where the eye stands from the target, in metres: behind the camera's right shoulder, from above, or from the side. */
const VIEWPOINTS = {
  angle: [0.3, 0.32, 0.7],
  top: [0, 1.1, 0.001],
  side: [1.1, 0.06, 0],
};
const TURN_RAD = Math.PI / 36;
const ZOOM_STEP = 1.1;

export class HandScene {
  /** @type {Map<string, HandModel>} */
  #models = new Map();
  #layout = null;
  #frame = null;
  #frustum = null;
  #grid = null;
  #due = false;

  /**
   * @param {HTMLCanvasElement} canvas
   * @throws {Error} where the browser has no WebGL
   */
  constructor(canvas) {
    this.canvas = canvas;
    this.renderer = new WebGLRenderer({ canvas, antialias: true });
    this.scene = new Scene();
    this.camera = new PerspectiveCamera(EYE_DEGREES, 1, 0.01, 30);
    this.light = new DirectionalLight(0xffffff, 2.2);
    this.scene.add(new HemisphereLight(0xffffff, 0x6b7280, 1.5), this.light, this.light.target);
    this.controls = new OrbitControls(this.camera, canvas);
    Object.assign(this.controls, { minDistance: 0.08, maxDistance: 6, zoomSpeed: 0.8 });
    this.controls.addEventListener("change", () => this.#requestDraw());
    /** Skin of each mesh by name; hands are skin while this is set and they bring vertices. @type {Map<string, number[][]> | null} */
    this.meshes = null;
    this.useTheme();
    this.lookFrom("angle");
    new ResizeObserver(() => this.#resize()).observe(canvas);
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  /**
   * @param {import("./messages.js").Layout} layout
   * @param {any} frame
   */
  show(layout, frame) {
    if (this.#layout !== layout) {
      this.#layout = layout;
      this.#frustum = this.#replaced(this.#frustum, makeFrustum(layout.lens));
    }
    this.#frame = frame;
    this.#updateHands();
    this.#requestDraw();
  }

  /** Whether any hand is drawn as skin. */
  get skinned() {
    return [...this.#models.values()].some((model) => model.skinned);
  }

  /** Where joints are on the canvas, in CSS pixels, for those who look at pictures of it. */
  canvasPoint(row) {
    if (!this.#layout) return null;
    const point = scenePoints([row], this.#layout.signs)[0].project(this.camera);
    return [((point.x + 1) / 2) * this.canvas.clientWidth, ((1 - point.y) / 2) * this.canvas.clientHeight];
  }

  /**
   * Move the eye to a viewpoint of `VIEWPOINTS`, or `camera`: to where the tracker's camera is.
   *
   * @param {"angle" | "camera" | "top" | "side"} name
   */
  lookFrom(name) {
    const target = this.#middleOfHands() ?? new Vector3(...USUAL_TARGET_M);
    if (name === "camera") {
      this.controls.target.set(0, 0, Math.min(-0.1, target.z));
      this.camera.position.set(0, 0, 0.001);
    } else {
      this.controls.target.copy(target);
      this.camera.position.copy(target).add(new Vector3(...VIEWPOINTS[name]));
    }
    this.#widen(name === "camera");
    this.controls.update();
    this.#requestDraw();
  }

  /** Take over the colours of the page's theme. */
  useTheme() {
    this.scene.background = new Color(themeColour("--view"));
    this.#grid = this.#replaced(this.#grid, makeGrid());
    if (this.#layout) this.#frustum = this.#replaced(this.#frustum, makeFrustum(this.#layout.lens));
    this.#requestDraw();
  }

  #updateHands() {
    const seen = new Set();
    for (const hand of handsOf(this.#frame, this.#layout)) {
      const key = `${hand.side} ${hand.track_id}`;
      seen.add(key);
      let model = this.#models.get(key);
      if (!model) {
        model = new HandModel();
        this.#models.set(key, model);
        this.scene.add(model.group);
      }
      model.show(hand, this.#layout, this.meshes?.get(hand.mesh) ?? null, FLOOR_M);
    }
    for (const [key, model] of this.#models) {
      if (seen.has(key)) continue;
      this.scene.remove(model.group);
      model.dispose();
      this.#models.delete(key);
    }
  }

  #middleOfHands() {
    if (!this.#layout) return null;
    const hands = handsOf(this.#frame, this.#layout);
    const points = hands
      .flatMap((hand) => scenePoints(hand.joints_in_camera_m, this.#layout.signs))
      .filter(Boolean);
    if (!points.length) return null;
    return points.reduce((sum, point) => sum.add(point), new Vector3()).divideScalar(points.length);
  }

  /** The eye of the tracker's camera sees what its lens sees (as far as a flat picture can show it). */
  #widen(asLens) {
    const lens = this.#layout?.lens;
    this.lens = asLens && lens ? lens : null;
    this.#resize();
  }

  #resize() {
    const { clientWidth, clientHeight } = this.canvas;
    if (!clientWidth || !clientHeight) return;
    this.renderer.setPixelRatio(Math.min(devicePixelRatio || 1, 2));
    this.renderer.setSize(clientWidth, clientHeight, false);
    this.camera.aspect = clientWidth / clientHeight;
    let slope = Math.tan((EYE_DEGREES * Math.PI) / 360);
    if (this.lens) {
      const across = this.lens.width / (2 * this.lens.fx) / this.camera.aspect;
      slope = Math.min(Math.max(this.lens.height / (2 * this.lens.fy), across), Math.tan(1.1));
    } else {
      slope *= Math.max(1, LEAST_ASPECT / this.camera.aspect); // a tall view keeps both hands in sight
    }
    this.camera.fov = (2 * Math.atan(slope) * 180) / Math.PI;
    this.camera.updateProjectionMatrix();
    this.#draw(); // at once: a canvas is empty after a change of its size
  }

  #key(event) {
    const turns = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const zoom = { "+": 1 / ZOOM_STEP, "=": 1 / ZOOM_STEP, "-": ZOOM_STEP }[event.key];
    if ((!turns && !zoom) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const { target } = this.controls;
    const place = new Spherical().setFromVector3(this.camera.position.clone().sub(target));
    if (turns) {
      place.theta += turns[0] * TURN_RAD;
      place.phi += turns[1] * TURN_RAD;
    } else {
      place.radius *= zoom;
    }
    this.camera.position.setFromSpherical(place.makeSafe()).add(target);
    this.controls.update();
    this.#requestDraw();
  }

  #replaced(old, group) {
    if (old) {
      this.scene.remove(old);
      dispose(old);
    }
    this.scene.add(group);
    return group;
  }

  #requestDraw() {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#due = false;
    this.light.position.copy(this.camera.position).add(new Vector3(0.3, 0.6, 0));
    this.light.target.position.copy(this.controls.target);
    this.renderer.render(this.scene, this.camera);
  }
}
