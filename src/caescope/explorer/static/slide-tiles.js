import { cssColour, numberColours } from "./colours.js";
import { createPlaces } from "./places.js";
import { holds } from "./sorting.js";
import { readPlaces, slideNumber } from "./tile-place.js";

const FADED = 0.2; // of their strength that tiles keep beside a selection

/**
 * The tiles of one slide: which is where, and how they are painted.
 *
 * @param {number} s slide
 * @param {{collection, api}} house
 * @returns {Promise<object>} rows: Uint32Array; at(x, y) and inPolygon(points) in level-0 pixels with y
 *   upwards, and inRectangle({left, top, right, bottom}) with y downwards; colour(c), hide(codes),
 *   choose(selection), paint(…), outline(…)
 */
export async function readSlideTiles(s, { collection, api }) {
  const all = await readPlaces({ collection, api });
  const rows = all === null ? new Uint32Array(0) : rowsOf(s, all.slides, collection);
  const [x, y, size] = ["x", "y", "size"].map((name) => Float32Array.from(rows, (row) => all[name][row]));
  const largest = size.reduce((most, one) => Math.max(most, one), 0);
  const places = createPlaces(centres(x, y, size));
  const number = new Map(Array.from(rows, (row, i) => [row, i]));
  const hidden = new Uint8Array(rows.length);
  let chosen = null; // 1 for each selected tile; null where nothing is selected anywhere
  let paints = {
    levels: new Uint32Array(rows.length),
    palette: [cssColour(null)],
    order: rows.map((_, i) => i),
    codes: null,
  };
  return {
    rows,
    at,
    inPolygon,
    inRectangle,
    has: (row) => number.has(row),
    centre,
    colour,
    hide,
    choose,
    paint,
    outline,
  };

  /** Row of the tile that covers a place, −1 where none does. */
  function at(px, py) {
    const i = places.nearest(px, py, largest * Math.SQRT1_2, hidden);
    const inside =
      i >= 0 && Math.max(Math.abs(px - x[i] - size[i] / 2), Math.abs(py + y[i] + size[i] / 2)) <= size[i] / 2;
    return inside ? rows[i] : -1;
  }

  function inPolygon(points) {
    return places
      .inPolygon(points)
      .filter((i) => !hidden[i])
      .map((i) => rows[i]);
  }

  function inRectangle({ left, top, right, bottom }) {
    return places
      .inRectangle(left, -bottom, right, -top)
      .filter((i) => !hidden[i])
      .map((i) => rows[i]);
  }

  function centre(row) {
    const i = number.get(row);
    return [x[i] + size[i] / 2, y[i] + size[i] / 2];
  }

  async function colour(c) {
    if (c === null) return;
    const values = await api.column(c);
    paints = makePaints(rows, values, collection.columns[c]);
  }

  function hide(codes) {
    hidden.forEach((_, i) => (hidden[i] = paints.codes !== null && codes.has(paints.codes[rows[i]]) ? 1 : 0));
  }

  function choose(selection) {
    chosen = selection.length === 0 ? null : Uint8Array.from(rows, (row) => (holds(selection, row) ? 1 : 0));
  }

  /** Paints the tiles in sight; `strength` 0 (not at all) to 1 (nothing of the slide shows through). */
  function paint(context, seen, strength) {
    const { order, levels, palette } = paints;
    let level = -1;
    for (const i of order) {
      if (hidden[i] || !inSight(i, seen)) continue;
      if (levels[i] !== level) context.fillStyle = palette[(level = levels[i])];
      context.globalAlpha = chosen && !chosen[i] ? strength * FADED : strength;
      context.fillRect(x[i], y[i], size[i], size[i]);
    }
    context.globalAlpha = 1;
  }

  /**
   * Draws a line around the selected tiles, and a stronger one around each of `rows`; widths in level-0
   * pixels.
   */
  function outline(context, seen, pixel, strong) {
    // Smaller than this, lines would hide the tiles; the others are faded anyway.
    if (chosen && largest > 8 * pixel)
      chosen.forEach(
        (one, i) =>
          one &&
          inSight(i, seen) &&
          frame(context, i, [
            ["#ffffff", 2 * pixel],
            ["#000000", pixel],
          ]),
      );
    for (const [row, width] of strong) {
      const i = number.get(row);
      if (i !== undefined)
        frame(context, i, [
          ["#000000", (width + 4) * pixel],
          ["#ffffff", width * pixel],
        ]);
    }
  }

  function frame(context, i, lines) {
    for (const [strokeStyle, lineWidth] of lines) {
      Object.assign(context, { strokeStyle, lineWidth });
      context.strokeRect(x[i], y[i], size[i], size[i]);
    }
  }

  function inSight(i, { left, top, right, bottom }) {
    return x[i] < right && y[i] < bottom && x[i] + size[i] > left && y[i] + size[i] > top;
  }
}

function rowsOf(s, slides, collection) {
  const numbers = collection.columns[collection.slide].categories.map((_, code) =>
    slideNumber(collection, code),
  );
  const rows = [];
  slides.forEach((code, row) => numbers[code] === s && rows.push(row));
  return Uint32Array.from(rows);
}

function centres(x, y, size) {
  const points = new Float32Array(2 * x.length);
  x.forEach((left, i) => points.set([left + size[i] / 2, -y[i] - size[i] / 2], 2 * i));
  return points;
}

/** A paint for each tile, and the order in which the brush changes least. */
function makePaints(rows, values, { kind, categories, min, max }) {
  const category = kind === "category";
  const none = category ? categories.length : 256; // paint of tiles without a value
  const ramp = numberColours();
  const palette = Array.from({ length: none + 1 }, (_, level) => {
    if (level === none) return cssColour(null);
    return category ? cssColour(level) : `rgb(${ramp.slice(3 * level, 3 * level + 3).join(", ")})`;
  });
  const step = (value) => Math.min(255, Math.max(0, Math.round((255 * (value - min)) / (max - min || 1))));
  const level = (value) => (category ? Math.min(value, none) : Number.isNaN(value) ? none : step(value));
  const levels = Uint32Array.from(rows, (row) => level(values[row]));
  const order = Uint32Array.from(rows.keys()).sort((a, b) => levels[a] - levels[b]);
  return { levels, palette, order, codes: category ? values : null };
}
