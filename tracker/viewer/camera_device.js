// This device's cameras: opening one, listing them, and what to tell a person when there is none.

const FACINGS = { environment: "back", user: "front" };

// `choice` is a facing or a device's id, `size` WIDTHxHEIGHT. Gets the nearest mode that the camera has.
export function openCamera(choice, size, rateHz) {
  const [width, height] = size.split("x").map(Number);
  const which = choice in FACINGS ? { facingMode: { ideal: choice } } : { deviceId: { exact: choice } };
  const video = { ...which, width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: rateHz } };
  return navigator.mediaDevices.getUserMedia({ video, audio: false });
}

// Names are told only once a camera was allowed; the two facings stay, as phones have several lenses a side.
export async function listCameras(select, track) {
  const devices = (await navigator.mediaDevices.enumerateDevices()).filter((device) => device.kind === "videoinput");
  const chosen = select.value;
  const options = Object.entries(FACINGS).map(([value, text]) => new Option(text, value));
  devices.forEach((device, k) => {
    if (device.deviceId) options.push(new Option(device.label || `camera ${k + 1}`, device.deviceId));
  });
  select.replaceChildren(...options);
  select.value = chosen;
  if (!select.value) select.value = track.getSettings().deviceId;
}

export function whyNoCamera(error) {
  switch (error.name) {
    case "NotAllowedError":
      return "The camera was refused. Allow it for this page in the browser's settings (the symbol beside the address), then start again.";
    case "NotFoundError":
    case "OverconstrainedError":
      return "This device has no such camera. Choose another one, then start again.";
    case "NotReadableError":
    case "AbortError":
      return "The camera is in use by another program. Close that one, then start again.";
    default:
      return `The camera cannot be opened (${error.name}: ${error.message}).`;
  }
}
