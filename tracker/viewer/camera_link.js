// A WebSocket to the tracker that says the token first and comes back when it is lost.

export const WRONG_TOKEN = 4401;
export const ANOTHER_CAMERA = 4409;
export const NO_PLACE = 4429;
const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 4_000;
const STEADY_MS = 3_000; // a connection that held so long was a good one

export class Link {
  // `heard` gets each text message as an object; `opened` and `closed(code)` tell of the connection.
  constructor(path, { protocols = [], token, heard, opened = () => {}, closed = () => {} }) {
    this.url = new URL(path, location.href);
    this.url.protocol = this.url.protocol === "https:" ? "wss:" : "ws:";
    this.url.hash = "";
    Object.assign(this, { protocols, token, heard, opened, closed });
    this.waitMs = FIRST_WAIT_MS;
    this.over = false;
    this.connect();
  }

  connect() {
    const socket = new WebSocket(this.url, this.protocols);
    this.socket = socket;
    let openedMs = Infinity;
    socket.onopen = () => {
      openedMs = performance.now();
      const token = this.token();
      if (token) this.say({ type: "token", token });
      this.opened();
    };
    socket.onmessage = (event) => {
      if (typeof event.data === "string") this.heard(JSON.parse(event.data));
    };
    socket.onclose = (event) => {
      if (this.over) return;
      if (performance.now() - openedMs > STEADY_MS) this.waitMs = FIRST_WAIT_MS;
      this.closed(event.code);
      if (event.code === WRONG_TOKEN) return;
      this.timer = setTimeout(() => this.connect(), this.waitMs);
      this.waitMs = Math.min(2 * this.waitMs, LONGEST_WAIT_MS);
    };
  }

  get open() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  say(message) {
    if (this.open) this.socket.send(JSON.stringify(message));
  }

  sendBytes(blob) {
    if (this.open) this.socket.send(blob);
  }

  end() {
    this.over = true;
    clearTimeout(this.timer);
    this.socket.close();
  }
}
