/** Small pieces of the page that several modules need. */

import { write } from "./words.js";

const SHOWN_MS = 7000;
const ERROR_SHOWN_MS = 15_000;

/**
 * @param {string} id
 * @returns {any}
 */
export function element(id) {
  return document.getElementById(id);
}

/**
 * One line at the foot of the page, in place of another about the same.
 *
 * @param {string} text
 * @param {{error?: boolean, about?: string}} [options]
 */
export function toast(text, { error = false, about = text } = {}) {
  const toasts = element("toasts");
  [...toasts.children].find((other) => other.dataset.about === about)?.remove();
  const line = document.createElement("div");
  line.dataset.about = about;
  line.className = error ? "toast error" : "toast";
  const words = document.createElement("span");
  write(words, text);
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "✕";
  close.setAttribute("aria-label", "Dismiss");
  close.onclick = () => line.remove();
  line.append(words, close);
  toasts.append(line);
  while (toasts.children.length > 3) toasts.firstChild.remove();
  setTimeout(() => line.remove(), error ? ERROR_SHOWN_MS : SHOWN_MS);
}

/**
 * Have a form ask for the token.
 *
 * @param {boolean} refused the one that was tried is wrong
 * @returns {Promise<string>}
 */
export function askForToken(refused) {
  const dialog = element("token-dialog");
  const field = element("token");
  write(
    element("token-hint"),
    refused
      ? "The token was not accepted. It is what followed --token when the tracker was started."
      : "It is what followed --token when the tracker was started.",
  );
  field.value = "";
  const again = element("token-again");
  const open = () => {
    if (!dialog.open) dialog.showModal();
    field.focus();
  };
  again.onclick = open;
  again.hidden = false;
  open();
  return new Promise((resolve) => {
    element("token-form").onsubmit = (event) => {
      event.preventDefault();
      stopAskingForToken();
      resolve(field.value.trim());
    };
  });
}

/** The tracker has a token now. */
export function stopAskingForToken() {
  element("token-dialog").close();
  element("token-again").hidden = true;
}

/**
 * Files dropped anywhere on the page.
 *
 * @param {(file: File) => void} onFile
 */
export function acceptDrops(onFile) {
  const hint = element("drop");
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    hint.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) hint.hidden = true;
  });
  addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    hint.hidden = true;
    const file = event.dataTransfer.files[0];
    if (file) onFile(file);
  });
}

/**
 * Keys that work wherever nothing else takes them.
 *
 * @param {Record<string, (event: KeyboardEvent) => unknown>} actions by `event.key`, letters in lower case; one that
 *   returns false leaves the key to the browser
 */
export function acceptKeys(actions) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.closest?.("input, select, textarea")) return;
    if (event.key === " " && target.closest?.("button, a")) return;
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action || (event.repeat && !event.key.startsWith("Arrow"))) return;
    if (action(event) !== false) event.preventDefault();
  });
}
