/** Colours of categories and numbers. Codes index a palette; NO_CODE stands for "no value". */

const PETROFF = [
  "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
  "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
];
const DARKER = 0.6;
// Lightness rises evenly from blue to yellow: any eye can tell the order, on white as on near black.
const RAMP = ["#4b3fa0", "#3f69b1", "#2f8fa6", "#3bae84", "#93c653", "#f3d32c"];

/** Code that stands for "no value" in the arrays given to the scatter plot. */
export const NO_CODE = 65535;

/** Grey of whatever has no value: red, green, blue, 0–255. */
export const NO_VALUE = Object.freeze([154, 160, 166]);

const parse = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
const mix = (from, to, share) => from + share * (to - from);
const HOUSE = [...PETROFF.map(parse), ...PETROFF.map((hex) => parse(hex).map((v) => Math.round(v * DARKER)))];

/**
 * The house palette (Petroff 2021), then the same ten darker, then both again.
 * @param {number} n how many categories
 * @returns {Uint8Array} n × 3, red, green, blue
 */
export function categoryColours(n) {
  const palette = new Uint8Array(n * 3);
  for (let code = 0; code < n; code++) palette.set(HOUSE[code % HOUSE.length], code * 3);
  return palette;
}

/**
 * Ramp for numbers, smallest first, readable with any colour vision.
 * @returns {Uint8Array} 256 × 3, red, green, blue
 */
export function numberColours() {
  const keys = RAMP.map(parse);
  const ramp = new Uint8Array(256 * 3);
  for (let i = 0; i < 256; i++) {
    const at = (i / 255) * (keys.length - 1);
    const k = Math.min(Math.floor(at), keys.length - 2);
    for (let c = 0; c < 3; c++) ramp[i * 3 + c] = Math.round(mix(keys[k][c], keys[k + 1][c], at - k));
  }
  return ramp;
}

/**
 * Colour of a category for style properties.
 * @param {number|null|undefined} code a category, or null or NO_CODE for "no value"
 * @returns {string} such as "rgb(63, 144, 218)"
 */
export function cssColour(code) {
  const known = Number.isInteger(code) && code >= 0 && code < NO_CODE;
  return `rgb(${(known ? HOUSE[code % HOUSE.length] : NO_VALUE).join(", ")})`;
}
