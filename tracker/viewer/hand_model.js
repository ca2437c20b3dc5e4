/** One hand in the scene: joints and bones, or skin, and a line that drops to the floor's grid. */

import {
  BufferAttribute,
  BufferGeometry,
  CylinderGeometry,
  DoubleSide,
  DynamicDrawUsage,
  Group,
  InstancedMesh,
  LineBasicMaterial,
  LineSegments,
  Matrix4,
  Mesh,
  MeshStandardMaterial,
  Quaternion,
  SphereGeometry,
  SRGBColorSpace,
  Vector3,
} from "./three.min.js";
import { rgbOf } from "./colours.js";
import { known, verticesOf } from "./messages.js";

const JOINT_RADIUS_M = 0.0052;
const BONE_RADIUS_M = 0.0034;
const COASTING_OPACITY = 0.45;
const MOST_JOINTS = 40;

const BALL = new SphereGeometry(JOINT_RADIUS_M, 16, 12);
const STICK = new CylinderGeometry(BONE_RADIUS_M, BONE_RADIUS_M, 1, 12, 1, true);
const UP = new Vector3(0, 1, 0);
const HIDDEN = new Matrix4().makeScale(0, 0, 0);

export class HandModel {
  constructor() {
    this.group = new Group();
    this.boneMaterial = new MeshStandardMaterial({ roughness: 0.55 });
    this.jointMaterial = new MeshStandardMaterial({ roughness: 0.45 });
    // Both sides are lit, so skin looks right whichever way its faces are wound.
    this.skinMaterial = new MeshStandardMaterial({ roughness: 0.62, side: DoubleSide });
    this.joints = instances(BALL, this.jointMaterial);
    this.bones = instances(STICK, this.boneMaterial);
    this.skin = new Mesh(new BufferGeometry(), this.skinMaterial);
    this.drop = new LineSegments(
      new BufferGeometry(),
      new LineBasicMaterial({ transparent: true, opacity: 0.6 }),
    );
    this.drop.geometry.setAttribute("position", new BufferAttribute(new Float32Array(6), 3));
    this.group.add(this.joints, this.bones, this.skin, this.drop);
    for (const part of this.group.children) part.frustumCulled = false; // their bounds change with every frame
    this.faces = null;
  }

  /**
   * @param {any} hand
   * @param {import("./messages.js").Layout} layout
   * @param {number[][] | null} faces skin is drawn where the hand brings vertices for them, else the skeleton
   * @param {number} floorM height of the grid that the line drops to
   */
  show(hand, layout, faces, floorM) {
    const points = scenePoints(hand.joints_in_camera_m, layout.signs);
    const skinned = faces !== null && this.#showSkin(hand, layout.signs, faces);
    this.skin.visible = skinned;
    this.joints.visible = this.bones.visible = !skinned;
    if (!skinned) this.#showSkeleton(points, layout.bones);
    this.#showDrop(points[layout.wrist] ?? points.find(Boolean), floorM);
    this.#paint(hand);
    this.skinned = skinned;
  }

  #paint(hand) {
    const [red, green, blue] = rgbOf(hand).map((value) => value / 255);
    this.boneMaterial.color.setRGB(red, green, blue, SRGBColorSpace);
    this.skinMaterial.color.copy(this.boneMaterial.color);
    this.drop.material.color.copy(this.boneMaterial.color);
    this.jointMaterial.color.setRGB(0.96, 0.96, 0.96, SRGBColorSpace);
    const coasting = hand.unseen_s > 0;
    for (const material of [this.boneMaterial, this.jointMaterial, this.skinMaterial]) {
      if (material.transparent !== coasting) material.needsUpdate = true;
      material.transparent = coasting;
      material.opacity = coasting ? COASTING_OPACITY : 1;
    }
  }

  #showSkeleton(points, bones) {
    const matrix = new Matrix4();
    for (let k = 0; k < MOST_JOINTS; k++) {
      this.joints.setMatrixAt(k, points[k] ? matrix.makeTranslation(points[k]) : HIDDEN);
      const [a, b] = bones[k] ?? [-1, -1];
      this.bones.setMatrixAt(k, points[a] && points[b] ? along(points[a], points[b]) : HIDDEN);
    }
    this.joints.instanceMatrix.needsUpdate = this.bones.instanceMatrix.needsUpdate = true;
  }

  #showSkin(hand, signs, faces) {
    const vertices = verticesOf(hand);
    if (!vertices?.length) return false;
    for (let k = 0; k < vertices.length; k++) vertices[k] *= signs[k % 3];
    const geometry = this.skin.geometry;
    if (this.faces !== faces || geometry.attributes.position?.array.length !== vertices.length) {
      const count = vertices.length / 3;
      const corners = faces.flat();
      if (corners.some((corner) => !(corner >= 0 && corner < count))) return false;
      this.faces = faces;
      geometry.dispose();
      geometry.setIndex(new BufferAttribute(new Uint32Array(corners), 1));
      geometry.deleteAttribute("normal");
      geometry.setAttribute("position", new BufferAttribute(vertices, 3).setUsage(DynamicDrawUsage));
    } else {
      geometry.attributes.position.array.set(vertices);
      geometry.attributes.position.needsUpdate = true;
    }
    geometry.computeVertexNormals();
    return true;
  }

  #showDrop(point, floorM) {
    this.drop.visible = Boolean(point) && point.y > floorM;
    if (!this.drop.visible) return;
    const { position } = this.drop.geometry.attributes;
    position.array.set([point.x, point.y, point.z, point.x, floorM, point.z]);
    position.needsUpdate = true;
  }

  /** Free what the graphics card holds. */
  dispose() {
    this.skin.geometry.dispose();
    this.drop.geometry.dispose();
    this.joints.dispose();
    this.bones.dispose();
    for (const part of this.group.children) part.material.dispose();
  }
}

/**
 * Rows of x, y, z in the header's axes as points of the scene; null where unknown.
 *
 * @param {any} rows
 * @param {import("./messages.js").Triple} signs
 * @returns {(Vector3 | null)[]}
 */
export function scenePoints(rows, signs) {
  return (Array.isArray(rows) ? rows : []).map((row) => {
    const point = known(row, 3);
    return point && new Vector3(signs[0] * point[0], signs[1] * point[1], signs[2] * point[2]);
  });
}

function instances(geometry, material) {
  const mesh = new InstancedMesh(geometry, material, MOST_JOINTS);
  mesh.instanceMatrix.setUsage(DynamicDrawUsage);
  return mesh;
}

/** The matrix that lays the unit stick from one point to another. */
function along(start, end) {
  const step = end.clone().sub(start);
  const length = step.length();
  if (length < 1e-6) return HIDDEN;
  const turn = new Quaternion().setFromUnitVectors(UP, step.divideScalar(length));
  const middle = start.clone().add(end).multiplyScalar(0.5);
  return new Matrix4().compose(middle, turn, new Vector3(1, length, 1));
}
