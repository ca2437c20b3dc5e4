/**
 * One WebSocket to the tracker, opened again whenever it is lost.
 *
 * @typedef {"connecting" | "open" | "waiting" | "token"} Phase
 *   open: messages come; waiting: lost, tried again at `retryAt`, or at this moment where that is past; token: the
 *   tracker wants one, or another one.
 */

import { rememberToken } from "./token.js";

const SUBPROTOCOL = "hand-track.v1.json";
const UNAUTHORISED = 4401;
const NO_PLACE = 4429;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 2_000;
/** Statistics come once a second, so a connection that says nothing for this long is dead without knowing it. */
const SILENCE_MS = 8_000;
const ANSWER_MS = 1_500;
const FULL = "The tracker is there but lets no more clients in.";

export class Connection {
  /** @type {WebSocket | null} */
  #socket = null;
  #waitMs = FIRST_WAIT_MS;
  #timer = 0;
  /** No connection could be made, or the last one broke, and none was made since. */
  #lost = false;
  #retryAt = 0;
  /** Why the tracker does not let this page in; null while it is not there at all. @type {string | null} */
  #refusal = null;
  #heardAt = 0;
  /** The first header of this connection has come; others may, as when the picture's size changes. */
  #greeted = false;
  #wanted = {};
  /** @type {string | null} */
  #token;

  /**
   * @param {object} options
   * @param {string} options.url
   * @param {string | null} options.token
   * @param {(message: any) => void} options.onMessage
   * @param {(phase: Phase, detail: {retryAt?: number, refused?: boolean, refusal?: string | null}) => void} options.onPhase
   *   refused: the token was; refusal: why a tracker that is there does not let this page in
   */
  constructor({ url, token, onMessage, onPhase }) {
    this.url = url;
    this.onMessage = onMessage;
    this.onPhase = onPhase;
    this.#token = token;
    addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => document.hidden || this.retryNow());
    setInterval(() => this.#endSilence(), 1000);
  }

  /** Connect; from here on the connection looks after itself. */
  open() {
    clearTimeout(this.#timer);
    this.#retryAt = 0;
    if (this.#lost) this.#tellLost();
    else this.onPhase("connecting", {});
    const socket = new WebSocket(this.url, SUBPROTOCOL);
    this.#socket = socket;
    this.#greeted = false;
    this.#heardAt = performance.now();
    let opened = false;
    let said = "";
    socket.onopen = () => {
      opened = true;
      this.#heardAt = performance.now();
      if (this.#token) this.send({ type: "token", token: this.#token });
      this.send({ type: "want", ...this.#wanted });
    };
    socket.onmessage = (event) => {
      const message = this.#heard(event.data);
      if (message?.type === "error") said = String(message.message);
    };
    socket.onclose = ({ code }) => {
      if (this.#socket !== socket) return;
      if (opened) this.#refusal = code === NO_PLACE ? inWords(said) : null;
      this.#closed(code);
      if (!opened) this.#findOut();
    };
  }

  /**
   * Ask for what frames should carry; remembered, and asked for again on every new connection.
   *
   * @param {{vertices?: boolean, preview?: boolean, stats?: boolean, max_rate_hz?: number}} wanted
   */
  want(wanted) {
    if (JSON.stringify(wanted) === JSON.stringify(this.#wanted)) return;
    this.#wanted = wanted;
    this.send({ type: "want", ...wanted });
  }

  /** Send one message; without a connection it is left out, and false returned. */
  send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Try this token now. */
  useToken(token) {
    this.#token = token;
    this.#waitMs = FIRST_WAIT_MS;
    this.tryNow();
  }

  /** Try now, also in place of a try under way. */
  tryNow() {
    this.#drop();
    this.open();
  }

  /** Where a lost connection waits for its next try: try now. */
  retryNow() {
    if (this.#socket === null && this.#timer) this.open();
  }

  #heard(text) {
    this.#heardAt = performance.now();
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return null; // not of this format; the next message may be
    }
    if (message?.type === "header" && !this.#greeted) {
      this.#greeted = true;
      this.#waitMs = FIRST_WAIT_MS;
      this.#lost = false;
      if (this.#token) rememberToken(this.#token);
      this.onPhase("open", {});
    }
    if (message !== null && typeof message === "object") this.onMessage(message);
    return message;
  }

  #closed(code) {
    this.#socket = null;
    this.#timer = 0;
    if (code === UNAUTHORISED) {
      rememberToken(null);
      this.#lost = false;
      this.onPhase("token", { refused: this.#token !== null });
      return;
    }
    this.#lost = true;
    const waitMs = this.#waitMs * (0.7 + 0.3 * Math.random()); // clients of one tracker do not all come back at once
    this.#waitMs = Math.min(2 * this.#waitMs, LONGEST_WAIT_MS);
    this.#timer = setTimeout(() => this.open(), waitMs);
    this.#retryAt = performance.now() + waitMs;
    this.#tellLost();
  }

  #tellLost() {
    this.onPhase("waiting", { retryAt: this.#retryAt, refusal: this.#refusal });
  }

  /** Browsers do not say why a WebSocket was refused; a tracker that is there and refuses has no place left. */
  async #findOut() {
    const there = await trackerAnswers();
    if (!this.#lost) return; // let in meanwhile
    this.#refusal = there ? FULL : null;
    this.#tellLost();
  }

  #endSilence() {
    if (this.#socket && performance.now() - this.#heardAt > SILENCE_MS) {
      this.#drop();
      this.#closed(0);
    }
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }
}

function inWords(said) {
  return said ? `The tracker is there and says: ${said.replace(/\.$/, "")}.` : FULL;
}

/** Whether the tracker that served this page still answers. */
async function trackerAnswers() {
  try {
    const answer = await fetch("/healthz", { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) });
    return /^[a-z ]{2,40}\s*$/.test(await answer.text()); // a state, not a proxy's page about a dead tracker
  } catch {
    return false;
  }
}

/** Where the tracker listens that served this page. */
export function trackerUrl() {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/`;
}
