import { element, restyle } from "./dom.js";
import { createPicture } from "./picture.js";
import { whole } from "./wording.js";

/**
 * Where tiles lie on their slides.
 *
 * @returns {Promise<{slides: TypedArray, x: Float32Array, y: Float32Array, size: Float32Array}|null>} a
 *   value for each row: code of its slide, corner and side in level-0 pixels; null where the collection has
 *   no tiles
 */
export async function readPlaces({ collection, api }) {
  if (collection.slide === null || !collection.place || collection.slides.length === 0) return null;
  const columns = [collection.slide, ...collection.place];
  const [slides, x, y, size] = await Promise.all(columns.map((c) => api.column(c)));
  return { slides, x, y, size };
}

/**
 * Number in `collection.slides` of the slide that a code of the slide column means; −1 where it is not there.
 */
export function slideNumber(collection, code) {
  const name = collection.columns[collection.slide].categories[code];
  return collection.slides.findIndex((slide) => slide.name === name);
}

/**
 * The slide of a tile with the tile's place marked, and the tile's surroundings.
 *
 * @param {number} row
 * @param {{collection, api, onShow(slide: number): void}} house onShow: the person wants to see the slide
 *   itself
 * @returns {Promise<HTMLElement|null>} null for an image that is not from a slide
 */
export async function tilePlace(row, { collection, api, onShow }) {
  const places = await readPlaces({ collection, api });
  const s = places === null ? -1 : slideNumber(collection, places.slides[row]);
  if (s < 0) return null;
  const slide = collection.slides[s];
  const [x, y, size] = [places.x[row], places.y[row], places.size[row]];
  const around = createPicture(api.url.surroundings(row), {
    alt: "The tile in the middle of its surroundings",
  });
  around.element.append(element("span", { class: "mark middle" }));
  return element(
    "section",
    { class: "tile-place" },
    element("h3", {}, "Place"),
    element("p", { class: "soft" }, placeText(slide, [x, y, size])),
    collection.off?.slides
      ? element("p", { class: "soft" }, collection.off.slides)
      : element(
          "div",
          { class: "pair" },
          element(
            "figure",
            {},
            thumbnail(slide, s, { x, y, size }, api, onShow),
            element("figcaption", {}, "slide"),
          ),
          element("figure", {}, around.element, element("figcaption", {}, "surroundings")),
        ),
  );
}

function thumbnail(slide, s, { x, y, size }, api, onShow) {
  const mark = element("span", { class: "mark" });
  restyle(mark, {
    left: `${(100 * x) / slide.width}%`,
    top: `${(100 * y) / slide.height}%`,
    width: `${(100 * size) / slide.width}%`,
    height: `${(100 * size) / slide.height}%`,
  });
  const picture = createPicture(api.url.thumbnail(s));
  picture.element.append(mark);
  restyle(picture.element, { "--aspect": slide.width / slide.height });
  return element(
    "button",
    { type: "button", "aria-label": `Show on slide ${slide.name}`, onclick: () => onShow(s) },
    picture.element,
  );
}

function placeText({ name, mpp }, lengths) {
  const [x, y, size] = lengths.map((length) => whole(Math.round(length * (mpp ?? 1))));
  const unit = mpp ? "µm" : "pixels";
  return `${size} × ${size} ${unit} on ${name}, ${x} ${unit} from the left, ${y} from the top`;
}
