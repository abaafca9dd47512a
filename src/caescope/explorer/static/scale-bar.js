import { attribute, element, restyle } from "./dom.js";

const LONGEST = 110; // CSS pixels

/**
 * A bar of a round length.
 *
 * @returns {{element: HTMLElement, show(micrometres: number|null): void}} µm per CSS pixel; null hides the
 *   bar
 */
export function createScaleBar() {
  const root = element("div", { class: "scale-bar", hidden: true });
  return { element: root, show };

  function show(micrometres) {
    attribute(root, "hidden", !micrometres);
    if (!micrometres) return;
    const length = round(LONGEST * micrometres);
    restyle(root, { width: `${length / micrometres}px` });
    root.textContent = length >= 1000 ? `${length / 1000} mm` : `${length} µm`;
  }
}

/** The largest of 1, 2, 5, 10, 20 … that is not larger. */
function round(length) {
  const power = 10 ** Math.floor(Math.log10(length));
  const lead = [5, 2, 1].find((step) => step * power <= length);
  return Number((lead * power).toPrecision(1));
}
