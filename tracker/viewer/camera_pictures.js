// The camera's pictures as JPEG: each is drawn on a canvas of its own, which is kept until the hands found in
// it come back, so that they can be shown over the very picture they belong to.

const QUALITY = 0.8;
const KEPT = 8;
const MOST_UNDER_WAY = 2; // more would only wait somewhere and grow old

export class Pictures {
  // `send(blob, capturedMs)` takes each JPEG.
  constructor(send) {
    this.send = send;
    this.kept = [];
    this.restart();
  }

  // A connection begins: nothing is under way on it.
  restart() {
    this.sent = 0;
    this.taken = 0;
    this.encoding = 0;
    this.turn = (this.turn ?? 0) + 1;
  }

  get room() {
    return this.encoding + this.sent - this.taken < MOST_UNDER_WAY;
  }

  // Draw, encode and send what `video` shows now. Its pixels are upright and never mirrored.
  take(video, capturedMs) {
    const picture = this.spare();
    const { canvas } = picture;
    if (canvas.width !== video.videoWidth || canvas.height !== video.videoHeight) {
      canvas.width = video.videoWidth;
      canvas.height = video.videoHeight;
    }
    picture.context.drawImage(video, 0, 0);
    Object.assign(picture, { capturedMs, busy: true });
    this.kept.push(picture);
    this.encoding += 1;
    const turn = this.turn;
    canvas.toBlob(
      (blob) => {
        picture.busy = false;
        if (turn !== this.turn) return;
        this.encoding -= 1;
        if (blob === null) return;
        this.sent += 1;
        this.send(blob, capturedMs);
      },
      "image/jpeg",
      QUALITY,
    );
  }

  // The kept picture that was captured at about `capturedMs`.
  find(capturedMs) {
    const distance = (picture) => Math.abs(picture.capturedMs - capturedMs);
    return this.kept.reduce((best, other) => (!best || distance(other) < distance(best) ? other : best), null);
  }

  spare() {
    const oldest = this.kept.length < KEPT ? -1 : this.kept.findIndex((picture) => !picture.busy);
    if (oldest >= 0) return this.kept.splice(oldest, 1)[0];
    const canvas = document.createElement("canvas");
    return { canvas, context: canvas.getContext("2d", { alpha: false }) };
  }
}
