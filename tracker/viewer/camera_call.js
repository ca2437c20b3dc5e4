// The camera by WebRTC: one offer with all addresses in it, no server outside the local network.

const GATHER_MS = 1_500;
const CONNECT_MS = 8_000;
// Browsers begin at 300 kbit/s and are slow to find out that a local network carries more: pictures would come
// blurred or seldom. These are kbit/s, in the words of the library that Chrome and Safari are built on.
const RATES = "x-google-min-bitrate=2500;x-google-start-bitrate=5000;x-google-max-bitrate=10000";

export class Call {
  // `failed` is called once, when the connection cannot be made or broke.
  constructor(stream, { failed }) {
    this.peer = new RTCPeerConnection({ iceServers: [] });
    const [track] = stream.getVideoTracks();
    track.contentHint = "motion";
    this.sender = this.peer.addTrack(track, stream);
    this.peer.onconnectionstatechange = () => {
      if (this.peer.connectionState === "failed") failed();
    };
    this.timer = setTimeout(() => this.connected || failed(), CONNECT_MS);
  }

  get connected() {
    return this.peer.connectionState === "connected";
  }

  async offer() {
    await this.peer.setLocalDescription(await this.peer.createOffer());
    await new Promise((done) => {
      const look = () => this.peer.iceGatheringState === "complete" && done();
      this.peer.addEventListener("icegatheringstatechange", look);
      setTimeout(done, GATHER_MS);
      look();
    });
    return this.peer.localDescription.sdp;
  }

  async answered(sdp) {
    await this.peer.setRemoteDescription({ type: "answer", sdp: withRates(sdp) });
    const parameters = this.sender.getParameters();
    parameters.degradationPreference = "maintain-resolution"; // a new size would be a new camera
    await this.sender.setParameters(parameters).catch(() => {});
  }

  end() {
    clearTimeout(this.timer);
    this.peer.close();
  }
}

// `sdp` with `RATES` for each of its video formats.
function withRates(sdp) {
  const lines = sdp.split("\r\n");
  const formats = lines.map((line) => /^a=rtpmap:(\d+) (?:VP8|VP9|H264|AV1)\//.exec(line)?.[1]).filter(Boolean);
  for (const format of formats) {
    const start = `a=fmtp:${format} `;
    const at = lines.findIndex((line) => line.startsWith(start));
    if (at >= 0) lines[at] += `;${RATES}`;
    else lines.splice(lines.findIndex((line) => line.startsWith(`a=rtpmap:${format} `)) + 1, 0, start + RATES);
  }
  return lines.join("\r\n");
}
