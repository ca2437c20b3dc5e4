/**
 * The viewer: live hands from the tracker that served this page, or a recording opened by the user.
 *
 * `window.handTracker.latest` is the header and the frame as shown, for scripts and tests.
 */

import { Connection, trackerUrl } from "./connection.js";
import { Figures } from "./figures.js";
import { HandsPanel } from "./hands_panel.js";
import { Live } from "./live.js";
import { Overlay } from "./overlay.js";
import { acceptDrops, acceptKeys, askForToken, element, stopAskingForToken, toast } from "./page.js";
import { Player } from "./player.js";
import { RecordButton } from "./record_button.js";
import { describe } from "./status.js";
import { takeToken, watchForTokens } from "./token.js";
import { write } from "./words.js";

const overlay = new Overlay(element("picture"));
const hands = new HandsPanel(element("hands"), element("hand-card"), [element("picture"), element("space")]);
const figures = new Figures();
/** @type {import("./scene.js").HandScene | null} */
let scene = null;
let sceneFailed = false;

/** What is shown now. */
const shown = { header: null, layout: null, frame: null };
let paused = false;
let previewOn = true;
let skinOn = false;
let link = { phase: "connecting", retryAt: 0, refusal: null };
let due = false;

const live = new Live({
  onFrame: (frame) => {
    if (!paused && !player.name) figures.addLive(frame);
    requestShow();
  },
  onChange: () => {
    ask();
    requestShow();
  },
  onError: (text) => {
    if (link.phase === "open") toast(text, { error: true });
    recordButton.failed();
  },
});

const connection = new Connection({
  url: trackerUrl(),
  token: takeToken(),
  onMessage: (message) => live.take(message),
  onPhase: (phase, { retryAt = 0, refused = false, refusal = null }) => {
    link = { phase, retryAt, refusal };
    if (phase === "open") {
      live.connected();
      stopAskingForToken();
    }
    if (phase === "token") askForToken(refused).then((token) => connection.useToken(token));
    requestShow();
  },
});

const player = new Player({
  onFrame: (recorded, index) => {
    figures.addRecorded(recorded.frame, index);
    showFrame(recorded.header, recorded.layout, recorded.frame, {
      frame: recorded.frame,
      picture: null,
      stale: false,
    });
  },
  onOpened: () => {
    figures.clear();
    modeChanged();
  },
  onPlaying: () => writeStatus(),
  onError: (text) => toast(text, { error: true }),
});

const recordButton = new RecordButton((on) => connection.send({ type: "record", on }));

/** Ask the tracker for what is looked at and nothing more. */
function ask() {
  const watching = !player.name && !paused;
  live.wantsPictures = watching && previewOn;
  connection.want({
    vertices: watching && skinOn,
    preview: live.wantsPictures && Boolean(live.stats?.preview_offered),
    stats: true,
  });
}

function requestShow() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    showLive();
    writeStatus();
  });
}

function showLive() {
  figures.stats(player.name ? null : live.stats);
  if (paused || player.name || !live.layout || !live.frame) return;
  const away = isAway();
  const pictured = away ? live.past : live.pictured;
  showFrame(live.header, live.layout, away ? pictured.frame : live.frame, pictured);
}

/** No hands are seen now, whatever the last frame had. */
function isAway() {
  return live.state === "lost" || (link.phase !== "open" && live.state !== "ended");
}

function showFrame(header, layout, frame, pictured) {
  if (shown.header !== header) {
    const { width, height } = layout.lens;
    element("picture").parentElement.style.setProperty("--aspect", `${width} / ${height}`);
  }
  Object.assign(shown, { header, layout, frame });
  overlay.show({ layout, ...pictured });
  showSpace();
  hands.show(layout, frame, { now: player.name ? !player.playback.playing : paused });
  figures.draw();
}

function showSpace() {
  if (!scene || !shown.frame) return;
  scene.meshes = skinOn ? live.meshes : null;
  scene.show(shown.layout, shown.frame);
}

/** Everything on the page that says how things stand. */
function writeStatus() {
  const recording = player.name;
  const playing = Boolean(player.playback?.playing);
  const skinMissing = Boolean(skinOn && scene && !scene.skinned && shown.frame?.hands?.length);
  const { header } = shown;
  const status = describe({ link, live, paused, recording, playing, header, skinMissing });
  element("state").dataset.kind = status.kind;
  write(element("state-text"), status.text);
  write(element("announcer"), status.spoken);
  write(element("source"), status.source);
  element("source").title = status.source;
  const veil = element("veil");
  veil.hidden = !status.veil;
  write(veil, status.veil);
  element("try-now").hidden = Boolean(recording) || link.phase !== "waiting";
  element("pause").setAttribute("aria-pressed", String(paused));
  element("pause").classList.toggle("plays", paused);
  write(element("pause-text"), paused ? "Resume" : "Pause");
  recordButton.show(link.phase === "open" && !recording, live.stats?.recording);
  element("preview").hidden = Boolean(recording) || !live.stats?.preview_offered;
  element("preview").setAttribute("aria-pressed", String(previewOn));
  write(element("picture-note"), status.picture);
  element("mesh").setAttribute("aria-pressed", String(skinOn && !recording));
  element("mesh").disabled = Boolean(recording) || sceneFailed;
  write(element("space-note"), status.space);
}

function modeChanged() {
  element("live").hidden = !player.name;
  element("pause").hidden = element("record").hidden = Boolean(player.name); // the player has its own button
  document.title = player.name ? `${player.name} – Hand tracker` : "Hand tracker";
  ask();
  requestShow();
}

function togglePause() {
  if (player.name) return player.toggle();
  paused = !paused;
  if (paused) showOneMoment();
  ask();
  requestShow();
}

/** Pictures come a moment later than hands; what is to be looked at for long is all of the picture's moment. */
function showOneMoment() {
  if (!live.layout || !live.frame || isAway()) return;
  const pictured = live.pictured;
  showFrame(live.header, live.layout, pictured.frame, pictured);
}

function togglePreview() {
  if (element("preview").hidden) return;
  previewOn = !previewOn;
  if (!previewOn) live.dropPicture();
  ask();
  requestShow();
}

function toggleSkin() {
  skinOn = !skinOn;
  ask();
  showSpace();
  requestShow();
}

function backToLive() {
  if (!player.name) return;
  player.close();
  paused = false;
  figures.clear();
  modeChanged();
}

async function openScene() {
  try {
    const { HandScene } = await import("./scene.js");
    scene = new HandScene(element("space"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => scene.useTheme());
    showSpace();
  } catch (error) {
    console.info("no 3D view:", error.message);
    element("space-veil").hidden = false;
    write(
      element("space-veil"),
      "No 3D view: this browser has no WebGL, or it is switched off. All else works.",
    );
    sceneFailed = true;
    for (const button of document.querySelectorAll("[data-view]")) button.disabled = true;
    writeStatus();
  }
}

function listen() {
  const file = element("file");
  element("try-now").onclick = () => connection.tryNow();
  element("pause").onclick = togglePause;
  element("record").onclick = () => recordButton.toggle();
  element("open").onclick = () => file.click();
  element("live").onclick = backToLive;
  element("preview").onclick = togglePreview;
  element("mesh").onclick = toggleSkin;
  element("help").onclick = () => element("shortcuts").showModal();
  file.onchange = () => {
    if (file.files[0]) player.open(file.files[0]);
    file.value = ""; // the same file can be opened again
  };
  const looks = [...document.querySelectorAll("[data-view]")];
  for (const button of looks) button.onclick = () => scene?.lookFrom(button.dataset.view);
  acceptDrops((dropped) => player.open(dropped));
  acceptKeys({
    " ": togglePause,
    r: () => recordButton.toggle(),
    o: () => file.click(),
    l: backToLive,
    m: () => element("mesh").click(),
    p: togglePreview,
    "?": () => element("shortcuts").showModal(),
    ArrowLeft: (event) => player.move(event.shiftKey ? "second" : "frame", -1),
    ArrowRight: (event) => player.move(event.shiftKey ? "second" : "frame", 1),
    Home: () => player.move("end", -1),
    End: () => player.move("end", 1),
    ...Object.fromEntries(looks.map((button, k) => [String(k + 1), () => button.click()])),
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    overlay.draw();
    figures.draw();
  });
  setInterval(writeStatus, 500); // counts down to the next try, counts up a recording
}

/** For scripts and tests: what is shown, as the page has it. */
window.handTracker = {
  get latest() {
    return { header: shown.header, frame: shown.frame };
  },
  get stats() {
    return live.stats;
  },
  get state() {
    return element("state").dataset.kind;
  },
  /** The recording's frame that is shown, null when live. */
  get position() {
    return player.playback?.index ?? null;
  },
  /** Hands are drawn as skin. */
  get skinned() {
    return Boolean(scene?.skinned);
  },
  /** Where a pixel of the header's camera, or a point in metres, is on the canvas that shows it, in CSS pixels. */
  onPicture: (row) => overlay.map?.place(row) ?? null,
  inSpace: (row) => scene?.canvasPoint(row) ?? null,
  /** The frame whose hands are drawn over the picture. */
  get pictured() {
    return overlay.frame;
  },
};

listen();
openScene();
ask();
watchForTokens((token) => connection.useToken(token));
connection.open();
