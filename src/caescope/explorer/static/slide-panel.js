import { attribute, element, fill } from "./dom.js";
import { attachGestures } from "./gestures.js";
import { createScaleBar } from "./scale-bar.js";
import { readSlide } from "./slide-picture.js";
import { createSlideTools } from "./slide-tools.js";
import { createSlideView } from "./slide-view.js";
import { readPlaces, slideNumber } from "./tile-place.js";
import { plural, valueText } from "./wording.js";

const KEYS = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "+", "-", "=", "_", "0"];
const HELP = "Arrow keys pan, plus and minus zoom, 0 shows all, Enter opens the tile in the middle.";

/**
 * Slides with their tiles in the colours of the map.
 *
 * @param {HTMLElement} root
 * @param {{collection, api, store, show?: (panel: string) => void}} house show("image") brings a panel to
 *   the front
 */
export function createSlidePanel(root, { collection, api, store, show = () => {} }) {
  root.classList.add("slide-panel");
  const none = collection.slides.length === 0 ? "These images were not cut from slides." : null;
  const off = collection.off?.slides ?? none;
  if (off !== null) return fill(root, element("p", { class: "soft" }, off));

  const canvas = element("canvas", {
    tabindex: 0,
    role: "application",
    "aria-label": `Slide. ${HELP}`,
    onkeydown: aim,
    onblur: () => {
      aimed = false;
      lookFor(null);
    },
  });
  const view = createSlideView(canvas, schedule);
  const tools = createSlideTools({
    slides: collection.slides,
    view,
    onSlide: (slide) => store.set({ slide }, { push: true }),
    onAll: () => shown && select(shown.tiles.inRectangle(view.seen())),
    onStrength: schedule,
  });
  const scaleBar = createScaleBar();
  const caption = element("p", { class: "caption" });
  let shown = null; // from readSlide
  let coming = null; // number of the slide that is on its way
  let aimed = false;
  let waiting = 0;
  fill(root, tools.element, element("div", { class: "stage" }, canvas, scaleBar.element), caption);

  attachGestures(canvas, {
    scatter: view,
    places: { nearest: (x, y) => shown?.tiles.at(x, y) ?? -1 },
    getTool: tools.tool,
    onHover: (row) => {
      aimed = false;
      lookFor(row);
    },
    onClick: open,
    onPolygon: (points) => shown && select(shown.tiles.inPolygon(points)),
    onView: schedule,
  });
  new ResizeObserver(resize).observe(canvas);
  store.on(["slide", "image"], choose);
  store.on(["colour"], recolour);
  store.on(["hidden", "selection"], applyMarks);
  store.on(["hover", "image"], schedule);
  store.on(["hover", "notes"], describe);

  /** A hidden panel has no size; when it gets one, it is time to fetch the slide. */
  function resize() {
    if (canvas.clientWidth === 0) return;
    canvas.width = Math.round(canvas.clientWidth * devicePixelRatio);
    canvas.height = Math.round(canvas.clientHeight * devicePixelRatio);
    if (shown !== null) draw();
    choose();
  }

  async function choose() {
    if (canvas.clientWidth === 0) return;
    const s = await wantedSlide();
    if (shown?.s === s) return showTile();
    if (coming === s) return;
    coming = s;
    caption.textContent = "Loading …";
    try {
      const read = await readSlide(s, store.get().colour, { collection, api, onLoad: schedule });
      if (coming === s) put(read);
    } catch (error) {
      if (coming === s) caption.textContent = `The slide could not be shown: ${error.message}`;
    }
    if (coming === s) coming = null;
  }

  /** The slide that was asked for, else the slide of the image that is open, else the first. */
  async function wantedSlide() {
    const { slide, image } = store.get();
    if (slide !== null) return slide;
    const places = image === null ? null : await readPlaces({ collection, api });
    return places === null ? (shown?.s ?? 0) : Math.max(0, slideNumber(collection, places.slides[image]));
  }

  function put(read) {
    shown?.stop();
    shown = read;
    attribute(canvas, "aria-label", `Slide ${read.slide.name}. ${HELP}`);
    tools.show(read.s);
    view.setSlide(read.slide);
    applyMarks();
    showTile();
    describe();
  }

  function showTile() {
    const { image } = store.get();
    if (shown.tiles.has(image)) view.centreOn(...shown.tiles.centre(image));
  }

  async function recolour() {
    const before = shown;
    await before?.tiles.colour(store.get().colour);
    if (before !== shown || before === null) return;
    applyMarks();
    describe();
  }

  function applyMarks() {
    const { hidden, selection } = store.get();
    shown?.tiles.hide(hidden);
    shown?.tiles.choose(selection);
    schedule();
  }

  function schedule() {
    waiting ||= requestAnimationFrame(draw);
  }

  function draw() {
    cancelAnimationFrame(waiting);
    waiting = 0;
    if (shown === null || canvas.clientWidth === 0) return;
    const { hover, image } = store.get();
    const marked = [
      [image, 2],
      [hover, 3],
    ];
    shown.draw(canvas, view, { strength: tools.strength(), marked, aimed });
    scaleBar.show(shown.slide.mpp && shown.slide.mpp / view.getView().scale);
  }

  /** With the keyboard, the tile in the middle is the one that is looked at. */
  function aim({ key }) {
    if (shown === null || !(key === "Enter" || KEYS.includes(key))) return;
    // The key has moved the view by the time of the next frame, whoever listens first.
    requestAnimationFrame(() => {
      const { x, y } = view.getView();
      const row = shown.tiles.at(x, y);
      if (key === "Enter") return open(row);
      aimed = true;
      lookFor(row < 0 ? null : row);
      schedule();
    });
  }

  function lookFor(row) {
    store.set({ hover: row });
  }

  function open(row) {
    if (row < 0) return;
    store.set({ image: row }, { push: true });
    show("image");
  }

  function select(rows) {
    store.set({ selector: { kind: "rows", rows } }, { push: true });
  }

  async function describe() {
    const { hover, colour, notes } = store.get();
    if (shown === null) return;
    if (hover === null || !shown.tiles.has(hover)) {
      const n = plural(shown.tiles.rows.length, "tile");
      caption.textContent = `${n}. Drag to move, scroll to zoom, shift and drag to select.`;
      return;
    }
    const [[id], values] = await Promise.all([api.ids([hover]), colour === null ? null : api.column(colour)]);
    if (store.get().hover !== hover) return;
    const value =
      values &&
      `${collection.columns[colour].name} ${valueText(collection, colour, values[hover], notes)} · `;
    caption.textContent = `${value ?? ""}${id}`;
  }
}
