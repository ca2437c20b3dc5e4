#!/usr/bin/env bash
# Make tracker/viewer/three.min.js: the parts of three.js that the viewer uses, as one module, from npm.
# Needs npm and a network. Prints the checksum, which tests/test_viewer_files.py must hold.
# Usage: tools/bundle_three.sh [FOLDER WITH THREE'S UNPACKED PACKAGE]
set -euo pipefail
three_version=0.187.0
esbuild_version=0.28.2
viewer=$(cd "$(dirname "$0")/../tracker/viewer" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

npm init -y >/dev/null
npm install --silent --no-audit --no-fund "three@${1:-$three_version}" "esbuild@$esbuild_version"
found=$(node -p 'require("./node_modules/three/package.json").version')
[ "$found" = "$three_version" ] || { echo "three is $found, want $three_version" >&2; exit 1; }

cat >entry.js <<'JS'
export {
  BufferAttribute,
  BufferGeometry,
  CanvasTexture,
  Color,
  CylinderGeometry,
  DirectionalLight,
  DoubleSide,
  DynamicDrawUsage,
  Float32BufferAttribute,
  Group,
  HemisphereLight,
  InstancedMesh,
  LineBasicMaterial,
  LineSegments,
  Matrix4,
  Mesh,
  MeshBasicMaterial,
  MeshStandardMaterial,
  PerspectiveCamera,
  Quaternion,
  Scene,
  SphereGeometry,
  Spherical,
  Sprite,
  SpriteMaterial,
  SRGBColorSpace,
  Vector3,
  WebGLRenderer,
} from "three";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";
JS
node_modules/.bin/esbuild entry.js --bundle --minify --format=esm --target=es2022 --legal-comments=none \
  --banner:js="/* three.js $three_version, MIT licence, see three.LICENSE.txt; cut down by tools/bundle_three.sh */" \
  --outfile="$viewer/three.min.js" --log-level=warning
cp node_modules/three/LICENSE "$viewer/three.LICENSE.txt"
(cd "$viewer" && sha256sum three.min.js)
