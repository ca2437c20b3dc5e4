/** A card for each hand: side, id, distance, where its wrist is, score. */

import { rgbOf } from "./colours.js";
import { distanceOf, handsOf, known, sideName } from "./messages.js";

/** Figures that change with every frame cannot be read. */
const LEAST_MS = 100;
const DESCRIBE_MS = 2000;

export class HandsPanel {
  #drawnAt = 0;
  #describedAt = 0;

  /**
   * @param {HTMLElement} list where the cards go
   * @param {HTMLTemplateElement} template of one card
   * @param {HTMLElement[]} canvases whose labels are to say what is seen
   */
  constructor(list, template, canvases) {
    this.list = list;
    this.template = template;
    this.canvases = canvases;
    /** @type {Map<string, HTMLElement>} */
    this.cards = new Map();
  }

  /**
   * @param {import("./messages.js").Layout} layout
   * @param {any} frame
   * @param {{now?: boolean}} [options] now: a single frame is shown, so its figures are too
   */
  show(layout, frame, { now = false } = {}) {
    const time = performance.now();
    if (!now && time - this.#drawnAt < LEAST_MS) return;
    this.#drawnAt = time;
    const hands = handsOf(frame, layout);
    const bySide = (side) => hands.filter((hand) => hand.side === side);
    const rows = [];
    for (const side of ["left", "right"]) {
      const own = bySide(side).sort((one, other) => one.track_id - other.track_id);
      rows.push(own[0] ?? { side, absent: true }, ...own.slice(1));
    }
    rows.push(...hands.filter((hand) => hand.side !== "left" && hand.side !== "right"));
    this.#place(rows, layout);
    if (time - this.#describedAt > DESCRIBE_MS || now) this.#describe(hands, layout, time);
  }

  #place(rows, layout) {
    const seen = new Map();
    rows.forEach((hand, k) => {
      const key = `${hand.side} ${rows.slice(0, k).filter((other) => other.side === hand.side).length}`;
      const card = this.cards.get(key) ?? this.template.content.firstElementChild.cloneNode(true);
      fill(card, hand, layout);
      seen.set(key, card);
    });
    if ([...seen.keys()].join() !== [...this.cards.keys()].join())
      this.list.replaceChildren(...seen.values());
    this.cards = seen;
  }

  #describe(hands, layout, time) {
    this.#describedAt = time;
    const parts = hands.map((hand) => {
      const distance = distanceOf(hand, layout);
      return `${sideName(hand)} hand${distance ? `, ${(100 * distance.metres).toFixed(0)} centimetres away` : ""}`;
    });
    const text = parts.length ? parts.join("; ") : "no hands";
    for (const canvas of this.canvases) canvas.setAttribute("aria-label", `${canvas.dataset.label}: ${text}`);
  }
}

function fill(card, hand, layout) {
  const part = (name) => card.querySelector(`[data-part="${name}"]`);
  card.classList.toggle("absent", Boolean(hand.absent));
  card.classList.toggle("coasting", hand.unseen_s > 0);
  card.style.setProperty("--hand", `rgb(${rgbOf(hand).join(" ")})`);
  part("side").textContent = sideName(hand);
  part("id").textContent = hand.absent ? "" : `#${hand.track_id}`;
  const distance = hand.absent ? null : distanceOf(hand, layout);
  part("distance").textContent = distance ? (100 * distance.metres).toFixed(1) : "–";
  part("sd").textContent = distance?.sd ? `± ${(100 * distance.sd).toFixed(1)}` : "";
  const score = Number.isFinite(hand.score) ? hand.score : null;
  part("score").textContent = score === null ? "–" : score.toFixed(2);
  part("meter").value = score ?? 0;
  part("note").textContent = noteOn(hand);
  const wrist = known(hand.joints_in_camera_m?.[layout.wrist], 3);
  ["x", "y", "z"].forEach((axis, k) => {
    part(axis).textContent = wrist ? (100 * wrist[k]).toFixed(1) : "–";
  });
  const velocity = known(hand.velocity_m_per_s?.[layout.wrist], 3);
  part("speed").textContent = velocity ? Math.hypot(...velocity).toFixed(2) : "–";
}

function noteOn(hand) {
  if (hand.absent) return "not seen";
  if (hand.unseen_s > 0) return `coasting ${hand.unseen_s.toFixed(1)} s`;
  if (hand.side_score < 0.8) return `side ${(100 * hand.side_score).toFixed(0)} % sure`;
  return "tracked";
}
