import { shortest } from "./address.js";
import { categoryColours, NO_CODE, numberColours } from "./colours.js";
import { attachGestures } from "./gestures.js";
import { createPlaces } from "./places.js";
import { createScatter } from "./scatter.js";
import { toggled, union } from "./selectors.js";
import { createThumbnails } from "./thumbnails.js";

const LEGEND = 210, WIDE = 700; // CSS pixels that the legend takes, of a map that is wider than this

/**
 * The map: draws what the store says, and tells it what is done by hand.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {{collection, api, store, show: (panel: string) => void}} house
 * @returns {{ready: Promise<void>, scatter, placesOf: (map: number) => Promise<object>, fit: () => void,
 *   openCentre: () => void, selectSeen: () => void}}
 *   ready: the first map is drawn in colour
 */
export function createMapView(canvas, { collection, api, store, show }) {
  const scatter = createScatter(canvas);
  const indices = new Map(); // of each map, made when it is first needed
  let gestures = null, thumbnails = null, drawn = null;

  function placesOf(map) {
    if (!indices.has(map)) indices.set(map, api.positions(map).then(createPlaces));
    return indices.get(map);
  }

  async function showMap() {
    const { map } = store.get();
    const [positions, places] = await Promise.all([api.positions(map), placesOf(map)]);
    if (map !== store.get().map) return;
    const isFirst = drawn === null;
    drawn = map;
    scatter.setPositions(positions);
    const { view } = store.get();
    if (view && isFirst) scatter.setView(view);
    else fit();
    await colour();
    mark();
    if (gestures) gestures.setPlaces(places);
    else gestures = attach(places);
    showThumbnails(map, positions, places);
  }

  /** Shows the whole map, beside the legend where there is room for both. */
  function fit() {
    const [left, bottom, right, top] = collection.maps[store.get().map].bounds, width = canvas.clientWidth;
    const share = width > WIDE ? LEGEND / (width - LEGEND) : 0;
    scatter.fit([left - share * (right - left), bottom, right, top]);
    store.set({ view: null });
  }

  async function showThumbnails(map, positions, places) {
    thumbnails?.dispose();
    thumbnails = null;
    if (!collection.atlas) return;
    const order = await api.order(map);
    if (map !== store.get().map) return;
    thumbnails = createThumbnails(scatter, api, { positions, places, order, atlas: collection.atlas, map });
    thumbnails.update();
  }

  async function colour() {
    const number = store.get().colour;
    if (number === null) return;
    const values = await api.column(number);
    if (number !== store.get().colour) return;
    const { kind, categories, min, max } = collection.columns[number];
    if (kind === "category") scatter.setColours(codesOf(values), categoryColours(categories.length));
    else scatter.setColours(steps(values, min, max), numberColours());
    hide();
  }

  async function hide() {
    const { hidden, colour: number } = store.get();
    if (!hidden.size) return scatter.setHidden(null);
    const codes = await api.column(number);
    if (number === store.get().colour) scatter.setHidden(Uint8Array.from(codes, (code) => Number(hidden.has(code))));
  }

  function mark() {
    const { selection } = store.get();
    const flags = selection.length ? new Uint8Array(collection.n) : null;
    for (const row of selection) flags[row] = 1;
    scatter.setSelected(flags, selection.length > 1); // a single one is found without fading the others
  }

  function attach(places) {
    return attachGestures(canvas, {
      scatter: { ...scatter, fit },
      places,
      getTool: () => store.get().tool,
      onHover: (hover) => store.set({ hover }),
      onClick: (row, event) => click(row, event.shiftKey),
      onPolygon: (points, event) => draw(points, event.ctrlKey || event.metaKey),
      onView: (view) => store.set({ view }),
    });
  }

  function click(row, more) {
    const { selection } = store.get();
    if (row < 0) return more ? null : store.set({ selector: null }, { push: true });
    const rows = more ? toggled(selection, row) : Uint32Array.of(row);
    store.set({ selector: { kind: "rows", rows }, image: row, panel: more ? "selection" : "image" }, { push: true });
  }

  /** Selects what a polygon encloses but for hidden groups; `more` keeps what was selected before. */
  async function draw(drawing, more) {
    const points = drawing.map((point) => point.map((x) => Number(shortest(x)))); // what the address can hold
    const { hidden } = scatter.data;
    const inside = (await placesOf(drawn)).inPolygon(points).filter((row) => !hidden?.[row]);
    const rows = more ? union(store.get().selection, inside) : inside;
    const selector = more || hidden ? { kind: "rows", rows } : { kind: "polygon", map: drawn, points };
    store.set({ selector, panel: "selection" }, { push: true });
  }

  async function openCentre() {
    const { x, y } = scatter.getView();
    const row = (await placesOf(drawn)).nearest(x, y, Infinity, scatter.data.hidden ?? undefined);
    if (row >= 0) click(row, false);
    show("image");
  }

  /** Selects what the canvas shows. */
  function selectSeen() {
    const { clientWidth: width, clientHeight: height } = canvas;
    const corners = [[0, 0], [width, 0], [width, height], [0, height]];
    return draw(corners.map((corner) => scatter.toMap(...corner)), false);
  }

  store.on(["map"], showMap);
  store.on(["colour"], colour);
  store.on(["hidden"], hide);
  store.on(["selection"], mark);
  store.on(["hover"], ({ hover }) => scatter.setHover(hover));
  store.on(["view"], ({ view }) => view && view !== scatter.getView() && scatter.setView(view));
  new ResizeObserver(() => scatter.resize()).observe(canvas);
  return { ready: showMap(), scatter, placesOf, fit, openCentre, selectSeen };
}

/** Codes with one mark for "no value", whatever type they are stored in. */
function codesOf(values) {
  if (!(values instanceof Uint8Array)) return values;
  return Uint16Array.from(values, (code) => (code === 255 ? NO_CODE : code));
}

/** Numbers as steps of a ramp of 256 colours. */
function steps(values, min, max) {
  const factor = 255 / (max - min || 1);
  return Uint16Array.from(values, (value) => (Number.isNaN(value) ? NO_CODE : Math.round((value - min) * factor)));
}
