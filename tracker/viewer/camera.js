// The page of a camera: this device's camera goes to the tracker, the hands it finds are shown over the picture.

import { Call } from "./camera_call.js";
import { TrackerClock } from "./camera_clock.js";
import { openCamera, listCameras, whyNoCamera } from "./camera_device.js";
import { ANOTHER_CAMERA, Link, NO_PLACE, WRONG_TOKEN } from "./camera_link.js";
import { Pictures } from "./camera_pictures.js";
import { Stage, chainsOf } from "./camera_stage.js";
import { rememberToken, takeToken, watchForTokens } from "./token.js";
import { write } from "./words.js";

const ASK_CLOCK_MS = 1_000;
const FIRST_QUESTIONS = 8;
const CONNECTED = "Connected. Hold your hands in view.";
const OLD_MS = 500; // hands older than that are not shown, and the live picture is

const at = (id) => document.getElementById(id);
const page = Object.fromEntries(
  ["stage", "video", "rate", "latency", "hands", "message", "controls", "start", "camera", "size", "way", "mirror", "token"].map(
    (id) => [id, at(id)],
  ),
);
page.wantedRate = at("wanted-rate");

const stage = new Stage(page.stage);
let knownToken = takeToken();
watchForTokens((token) => (knownToken = token));
let clock, camera, hands, pictures, call, stream, header, lock; // of the running session, if there is one
let running = false;
let openings = 0;
let ready = false; // this connection's clock is known well enough to send pictures
let questions = 0; // that this connection has asked for the clock
let shown = null; // { frame, atMs } of the newest hands
let arrivals = [];

function say(text, bad = false) {
  write(page.message, text);
  page.message.classList.toggle("bad", bad);
}

function token() {
  return page.token.value || knownToken;
}

// Starting and stopping

function start() {
  running = true;
  page.start.textContent = "Stop";
  clock = new TrackerClock();
  pictures = new Pictures(sendPicture);
  openStream();
  keepAwake();
}

function connect() {
  camera = new Link("camera", { token, heard: heardFromCamera, opened: cameraOpened, closed: cameraClosed });
  hands = new Link(".", { protocols: ["hand-track.v1.json"], token, heard: heardHands });
  say("Connecting to the tracker ...");
}

function stop() {
  running = ready = false;
  openings += 1;
  page.start.textContent = "Start camera";
  for (const part of [camera, hands, call]) part?.end();
  for (const track of stream?.getTracks() ?? []) track.stop();
  camera = hands = call = stream = header = shown = undefined;
  lock?.release().catch(() => {});
  clearReadout();
}

function clearReadout() {
  arrivals = [];
  shown = null;
  for (const output of [page.rate, page.latency, page.hands]) output.textContent = "";
}

function fail(text) {
  stop();
  say(text, true);
}

// Of several openings that overlap the last one counts.
async function openStream() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  const opening = (openings += 1);
  try {
    const opened = await openCamera(page.camera.value, page.size.value, Number(page.wantedRate.value));
    if (opening !== openings) {
      for (const track of opened.getTracks()) track.stop();
      return;
    }
    stream = opened;
    page.video.srcObject = stream;
    await page.video.play();
  } catch (error) {
    if (opening === openings) fail(whyNoCamera(error));
    return;
  }
  if (opening !== openings) return;
  const [track] = stream.getVideoTracks();
  track.onended = () => fail("The camera stopped: it was unplugged, or another program took it. Start it again.");
  page.mirror.checked = stage.mirrored = track.getSettings().facingMode === "user";
  watch(stream);
  if (!camera) connect();
  else if (call) beginCall();
  await listCameras(page.camera, track);
}

// The camera's side

function cameraOpened() {
  pictures.restart();
  questions = 0;
  askClock();
}

function askClock() {
  questions += 1;
  camera?.say({ type: "clock", client_ms: performance.now() });
}

setInterval(() => {
  if (ready) askClock();
  if (shown && performance.now() - shown.atMs > 2 * OLD_MS) clearReadout();
}, ASK_CLOCK_MS);

function heardFromCamera(message) {
  switch (message.type) {
    case "clock":
      clock.heard(message.client_ms, message.server_s, performance.now());
      if (questions < FIRST_QUESTIONS) askClock();
      else if (!ready) cameraReady(message.webrtc);
      break;
    case "taken":
      pictures.taken = message.count;
      break;
    case "answer":
      call?.answered(message.sdp).catch(callFailed);
      break;
    case "error":
      if (call && !call.connected) callFailed();
      say(`The tracker says: ${message.message}`, true);
      break;
  }
}

function cameraReady(webrtc) {
  ready = true;
  if (token()) rememberToken(token());
  const offered = page.way.querySelector("[value=webrtc]");
  offered.disabled = !webrtc || !("RTCPeerConnection" in window);
  if (offered.disabled) page.way.value = "jpeg";
  write(at("way-note"), whyNoVideo(webrtc));
  say(CONNECTED);
  changeWay();
}

function whyNoVideo(webrtc) {
  if (!webrtc) return "Video needs the tracker's extra webrtc.";
  return "RTCPeerConnection" in window ? "" : "This browser has no video (WebRTC).";
}

function cameraClosed(code) {
  ready = false;
  clearReadout();
  endCall();
  if (code === WRONG_TOKEN) {
    rememberToken((knownToken = null));
    at("token-row").hidden = false;
    fail("The token is missing or wrong. Type the one that the tracker was started with, then start again.");
  } else if (code === ANOTHER_CAMERA) {
    say("Another camera is connected to the tracker. Stop that one; this page tries again.", true);
  } else if (code === NO_PLACE) {
    say("The tracker lets no more clients in; trying again ...", true);
  } else {
    say("The connection to the tracker is lost; trying again ...", true);
  }
}

function changeWay() {
  if (page.way.value === "webrtc") beginCall();
  else endCall();
}

async function beginCall() {
  endCall();
  const begun = (call = new Call(stream, { failed: callFailed }));
  const sdp = await begun.offer();
  if (call === begun) camera?.say({ type: "offer", sdp });
}

function endCall() {
  call?.end();
  call = undefined;
}

function callFailed() {
  endCall();
  page.way.value = "jpeg";
  say("Video by WebRTC did not connect; sending single pictures instead.");
}

// Every picture of the camera

function watch(watched) {
  const { video } = page;
  const next = (nowMs, about) => {
    if (stream !== watched) return;
    video.requestVideoFrameCallback(next);
    const capturedMs = captureTime(about);
    if (!call?.connected && ready && pictures.room) pictures.take(video, capturedMs);
    if (call?.connected || !shown || performance.now() - shown.atMs > OLD_MS) {
      const recent = shown && performance.now() - shown.atMs < OLD_MS ? shown.frame : null;
      stage.draw(video, video.videoWidth, video.videoHeight, recent, header);
    }
  };
  video.requestVideoFrameCallback(next);
}

// When the camera took it, on the page's clock; where the browser does not say, when it was there to be shown.
function captureTime(about) {
  const nowMs = performance.now();
  const statedMs = about.captureTime ?? about.presentationTime;
  return statedMs <= nowMs && statedMs > nowMs - 1_000 ? statedMs : nowMs;
}

function sendPicture(jpeg, capturedMs) {
  const time = new DataView(new ArrayBuffer(8));
  time.setFloat64(0, clock.trackerSeconds(capturedMs), true);
  camera?.sendBytes(new Blob([time, jpeg]));
}

// The hands that come back

function heardHands(message) {
  if (message.type === "header") header = { ...message, chains: chainsOf(message.joint_names) };
  // Until this camera is the tracker's, the hands are those of another one.
  if (message.type !== "frame" || !header || !ready) return;
  const nowMs = performance.now();
  const capturedMs = clock.pageMs(message.capture_time_s);
  shown = { frame: message, atMs: nowMs };
  if (page.message.classList.contains("bad")) say(CONNECTED); // what was wrong is over
  const picture = call?.connected ? null : pictures.find(capturedMs);
  if (picture) stage.draw(picture.canvas, picture.canvas.width, picture.canvas.height, message, header);
  report(message, nowMs, nowMs - capturedMs);
}

function report(frame, nowMs, latencyMs) {
  arrivals = [...arrivals.filter((other) => nowMs - other.atMs < 1_000), { atMs: nowMs, latencyMs }];
  const latencies = arrivals.map((arrival) => arrival.latencyMs).sort((a, b) => a - b);
  const middleMs = latencies[latencies.length >> 1];
  page.rate.textContent = `${arrivals.length} pictures a second`;
  page.latency.textContent = `${Math.round(middleMs)} ms from ${call?.connected ? "arrival" : "capture"} to hands`;
  page.hands.textContent = frame.hands.map((hand) => hand.side).sort().join(" and ") || "no hands";
}

// The page

async function keepAwake() {
  lock = await navigator.wakeLock?.request("screen").catch(() => undefined);
}

document.addEventListener("visibilitychange", () => running && document.visibilityState === "visible" && keepAwake());
page.controls.addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) {
    stop();
    say("Stopped.");
  } else {
    start();
  }
});
for (const choice of [page.camera, page.size, page.wantedRate]) choice.addEventListener("change", () => running && openStream());
page.way.addEventListener("change", () => running && changeWay());
page.mirror.addEventListener("change", () => (stage.mirrored = page.mirror.checked));

if (!window.isSecureContext) {
  page.start.disabled = true;
  say("Browsers give the camera only to secure pages. Start the tracker with --tls CERT KEY and open this page by https://, or open it on the tracker's own machine.", true);
} else if (!navigator.mediaDevices?.getUserMedia || !("requestVideoFrameCallback" in HTMLVideoElement.prototype)) {
  page.start.disabled = true;
  say("This browser is too old to send its camera; update it, or use another.", true);
}
