/** How things stand, in words. */

const SEPARATOR = "  ·  ";

/**
 * @param {object} facts
 * @param {{phase: import("./connection.js").Phase, retryAt: number, refusal: string | null}} facts.link
 * @param {import("./live.js").Live} facts.live
 * @param {boolean} facts.paused
 * @param {string | null} facts.recording the name of the file that is shown
 * @param {boolean} facts.playing the recording plays
 * @param {any} facts.header of what is shown, null while nothing is
 * @param {boolean} facts.skinMissing skin is wished for, and hands are there without
 */
export function describe({ link, live, paused, recording, playing, header, skinMissing }) {
  if (recording) {
    return {
      kind: "recording",
      text: playing ? "Playing a recording" : "Viewing a recording",
      spoken: `Recording ${recording}`,
      source: [recording, sourceLine(header)].filter(Boolean).join(SEPARATOR),
      veil: "",
      picture: "recordings hold no picture",
      space: "recordings hold no skin",
    };
  }
  const status = describeLink(link, live);
  const usable = status.kind === "playing";
  const source = link.phase === "open" ? sourceLine(live.header) : "";
  const space = !skinMissing ? "" : paused ? "skin comes when frames go on" : "no skin yet";
  const picture =
    usable && live.stats && !live.stats.preview_offered ? "no picture: start the tracker with --preview" : "";
  if (usable && paused)
    return { ...status, kind: "paused", text: "Paused", spoken: "Paused", source, picture, space };
  return { ...status, source, picture, space };
}

function describeLink(link, live) {
  switch (link.phase) {
    case "connecting":
      return worded(
        "connecting",
        "Connecting",
        "Connecting to the tracker",
        live.frame ? "" : "Connecting to the tracker",
      );
    case "token":
      return worded("token", "Token needed", "The tracker asks for a token", "The tracker asks for a token");
    case "waiting": {
      const seconds = Math.ceil((link.retryAt - performance.now()) / 1000);
      const next = seconds > 0 ? `next try in ${seconds} s` : "trying now";
      if (link.refusal) {
        const refused = `${link.refusal} This page goes on trying.`;
        return worded("waiting", `Not let in, ${next}`, refused, refused);
      }
      const lost =
        live.state === "ended"
          ? "The source has ended, and the tracker with it. This page waits for the next."
          : "No connection to the tracker. This page goes on trying.";
      return worded("waiting", `No connection, ${next}`, lost, lost);
    }
  }
  if (live.state === "lost") {
    return worded(
      "lost",
      "Camera lost",
      "The camera is away",
      "The camera is away. The tracker waits for it to come back.",
    );
  }
  if (live.state === "ended") return worded("ended", "Ended", "The source has ended", "The source has ended");
  return worded("playing", "Playing", "Playing", live.frame ? "" : "Waiting for the first frame");
}

function worded(kind, text, spoken, veil) {
  return { kind, text, spoken, veil };
}

function sourceLine(header) {
  if (!header) return "";
  const { camera } = header;
  const source = String(header.source);
  const name = source.includes("://") ? source : source.split(/[\\/]/).pop();
  const lens = header.camera_assumed ? "lens assumed" : String(camera.model).replaceAll("_", " ");
  const size = `${camera.width} × ${camera.height}`;
  return [name, size, lens, header.backend, header.skeleton, header.axes].join(SEPARATOR);
}
