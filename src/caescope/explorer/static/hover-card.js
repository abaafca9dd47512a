import { element, fill, restyle } from "./dom.js";
import { createPicture } from "./picture.js";
import { valueText } from "./wording.js";

const GAP = 14; // CSS pixels between a point and its card
const PAUSE = 60; // ms that a point must be hovered over before its card comes

/**
 * A small card beside the point that is hovered over: its picture, its id, and what it is coloured by.
 *
 * @param {HTMLElement} root lies over the map
 * @param {{collection, api, store, map}} house
 */
export function createHoverCard(root, { collection, api, store, map }) {
  let late = 0;

  async function draw({ hover: row, colour }) {
    clearTimeout(late);
    root.hidden = true;
    if (row === null) return;
    late = setTimeout(async () => {
      const [[id], values, positions] = await Promise.all([
        api.ids([row]), colour === null ? null : api.column(colour), api.positions(store.get().map),
      ]);
      if (store.get().hover === row) show(row, id, values?.[row], positions);
    }, PAUSE);
  }

  function show(row, id, value, positions) {
    const { colour, notes } = store.get();
    const name = colour === null ? null : `${collection.columns[colour].name} ${valueText(collection, colour, value, notes)}`;
    const picture = collection.image ? createPicture(api.url.image(row), { alt: "" }) : null;
    fill(root, picture?.element ?? picture, element("p", {}, id), name && element("p", { class: "soft" }, name));
    root.hidden = false;
    place(map.scatter.toScreen(positions[2 * row], positions[2 * row + 1]));
  }

  /** Puts the card beside the point, on the side that has room. */
  function place([x, y]) {
    const { clientWidth: width, clientHeight: height } = root.parentElement;
    const left = x + GAP + root.offsetWidth < width ? x + GAP : x - GAP - root.offsetWidth;
    const top = Math.min(Math.max(y - root.offsetHeight / 2, 4), height - root.offsetHeight - 4);
    restyle(root, { left: `${Math.max(left, 4)}px`, top: `${top}px` });
  }

  store.on(["hover"], draw);
  map.scatter.onDraw(() => (root.hidden = root.hidden || store.get().hover === null));
}
