// Draws a picture and the hands in it; only the display is ever mirrored, never what is sent.

const COLOURS = { left: "#ffb02e", right: "#48c8ff" };

export class Stage {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.mirrored = false;
  }

  // `header` says which joints there are and for which size of picture their pixels hold.
  draw(picture, width, height, frame, header) {
    const { canvas, context } = this;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    context.setTransform(this.mirrored ? -1 : 1, 0, 0, 1, this.mirrored ? width : 0, 0);
    context.drawImage(picture, 0, 0, width, height);
    context.setTransform(1, 0, 0, 1, 0, 0);
    if (!frame || !header) return;
    const scale = width / header.camera.width;
    // A header of another shape belongs to pictures before the device was turned.
    if (Math.abs(scale - height / header.camera.height) > 0.02 * scale) return;
    const place = ([x, y]) => [this.mirrored ? width - 1 - x * scale : x * scale, y * scale];
    const size = Math.max(width / canvas.clientWidth, height / canvas.clientHeight); // of a pixel of the page
    for (const hand of frame.hands) this.drawHand(hand, place, header.chains, size);
  }

  drawHand(hand, place, chains, size) {
    const { context } = this;
    const points = hand.joints_px.map((joint) => (joint && joint[0] !== null ? place(joint) : null));
    const wrist = points[chains[0][0]];
    const colour = COLOURS[hand.side];
    context.globalAlpha = hand.unseen_s > 0 ? 0.5 : 1;
    context.lineCap = context.lineJoin = "round";
    for (const [style, thick] of [["#000a", 5.5], [colour, 3]]) {
      context.strokeStyle = style;
      context.lineWidth = thick * size;
      context.beginPath();
      for (const chain of chains) {
        let drawing = false;
        for (const joint of chain) {
          if (points[joint]) context[drawing ? "lineTo" : "moveTo"](...points[joint]);
          drawing = points[joint] !== null;
        }
      }
      context.stroke();
    }
    if (wrist) this.label(`${hand.side} ${Math.hypot(...hand.joints_in_camera_m[chains[0][0]]).toFixed(2)} m`, wrist, colour, size);
    context.globalAlpha = 1;
  }

  label(text, [x, y], colour, size) {
    const { context } = this;
    context.font = `600 ${Math.round(15 * size)}px system-ui, sans-serif`;
    context.lineWidth = 4 * size;
    context.strokeStyle = "#000c";
    const left = Math.min(x + 8 * size, this.canvas.width - context.measureText(text).width - 4 * size);
    context.strokeText(text, left, y + 5 * size);
    context.fillStyle = colour;
    context.fillText(text, left, y + 5 * size);
  }
}

// From the wrist along each finger, whatever a skeleton calls its joints: `index_mcp`, `index-finger-tip`.
export function chainsOf(jointNames) {
  const wrist = jointNames.indexOf("wrist");
  const fingers = new Map();
  jointNames.forEach((name, joint) => {
    const finger = name.split(/[_-]/)[0];
    if (finger === "wrist" || finger === "palm") return;
    if (!fingers.has(finger)) fingers.set(finger, [wrist]);
    fingers.get(finger).push(joint);
  });
  return [...fingers.values()];
}
