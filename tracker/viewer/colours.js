/**
 * The colours of hands, as in overlay videos (tracker/sinks/drawing.py): orange and blue are told apart also by
 * people who confuse red and green.
 */

const LEFT = [255, 176, 46];
const RIGHT = [72, 200, 255];
const OTHER = [200, 200, 205];
export const DARK = "rgb(20 20 22)";
export const LIGHT = "rgb(245 245 245)";

/**
 * @param {any} hand
 * @param {number} opacity
 * @returns {string} a CSS colour
 */
export function handColour(hand, opacity = 1) {
  return `rgb(${rgbOf(hand).join(" ")} / ${opacity})`;
}

/**
 * @param {any} hand
 * @returns {number[]} red, green and blue, 0 to 255
 */
export function rgbOf(hand) {
  return hand.side === "left" ? LEFT : hand.side === "right" ? RIGHT : OTHER;
}

/** The value of a colour that viewer.css names, such as `--text`, in the page's present theme. */
export function themeColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
