import { createDeepZoom } from "./deep-zoom.js";
import { readSlideTiles } from "./slide-tiles.js";

/**
 * A slide with its tiles, ready to be drawn.
 *
 * @param {number} s
 * @param {number} colour column in whose colours the tiles are painted
 * @param {{collection, api, onLoad(): void}} house onLoad: more of the slide has come, draw again
 * @returns {Promise<{s: number, slide: object, tiles: object, draw: Function, stop(): void}>}
 */
export async function readSlide(s, colour, { collection, api, onLoad }) {
  const slide = collection.slides[s];
  const tiles = await readSlideTiles(s, { collection, api });
  const thumbnail = new Image();
  thumbnail.src = api.url.thumbnail(s);
  await Promise.all([tiles.colour(colour), thumbnail.decode()]);
  const address = (level, column, row) => api.url.zoom(s, level, column, row);
  const zoom = slide.zoom ? createDeepZoom(slide, address, onLoad) : null;
  return { s, slide, tiles, draw, stop: () => zoom?.stop() };

  /** Draws what `view` shows; `marked`: [row, width of its frame in CSS pixels] of single tiles. */
  function draw(canvas, view, { strength, marked, aimed }) {
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    const resolution = view.transform(context);
    const seen = view.seen();
    context.drawImage(thumbnail, 0, 0, slide.width, slide.height);
    zoom?.draw(context, seen, resolution);
    tiles.paint(context, seen, strength);
    tiles.outline(context, seen, devicePixelRatio / resolution, marked);
    if (aimed) drawAim(context, canvas.width / 2, canvas.height / 2);
  }
}

function drawAim(context, x, y) {
  context.setTransform(1, 0, 0, 1, 0, 0);
  for (const [strokeStyle, lineWidth] of [
    ["#ffffff", 4],
    ["#000000", 2],
  ]) {
    Object.assign(context, { strokeStyle, lineWidth });
    context.strokeRect(x - 12, y, 24, 0);
    context.strokeRect(x, y - 12, 0, 24);
  }
}
