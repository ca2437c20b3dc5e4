/** Text for people, in which an option of the command line is one word. */

const OPTION = /(--[a-z][a-z-]*(?: [A-Z]{2,})*)/;

/**
 * Write a text only where it changes, so that nothing is announced or laid out for nothing.
 *
 * @param {Element} node
 * @param {string} text
 */
export function write(node, text) {
  if (node.textContent === text) return;
  node.replaceChildren(...text.split(OPTION).map((part, k) => (k % 2 ? code(part) : part)));
}

function code(text) {
  const node = document.createElement("code");
  node.textContent = text;
  return node;
}
