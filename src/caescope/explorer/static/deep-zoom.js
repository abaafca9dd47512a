const KEPT = 240; // tiles, some 60 MB once decoded
const AT_ONCE = 6; // downloads

/**
 * Draws a slide's deep-zoom tiles where the view asks for more than the thumbnail has.
 *
 * @param {{width, height, thumbnail, zoom: {tile: number, levels: number}}} slide
 * @param {(level: number, column: number, row: number) => string} address
 * @param {() => void} onLoad a tile came: draw again
 * @returns {{draw(context, seen, resolution: number): void, stop(): void}} the context draws in level-0
 *   pixels, of which one takes `resolution` device pixels
 */
export function createDeepZoom(slide, address, onLoad) {
  const { tile, levels } = slide.zoom;
  const kept = new Map(); // name → {level, column, row, image, state}; longest unused first
  return { draw, stop };

  function draw(context, seen, resolution) {
    if (resolution * slide.width <= slide.thumbnail[0]) return drop(new Set());
    const level = Math.min(levels - 1, Math.max(0, levels - 1 - Math.floor(Math.log2(1 / resolution))));
    const wanted = inSight(level, seen);
    drop(new Set(wanted.map(({ name }) => name)));
    for (const one of wanted) use(one);
    const ready = [...kept.values()]
      .filter(({ state }) => state === "ready")
      .sort((a, b) => a.level - b.level);
    for (const one of ready) paint(context, one);
  }

  /** Tiles of a level that are in sight, those in the middle first. */
  function inSight(level, { left, top, right, bottom }) {
    const side = tile * shrink(level);
    const [columns, rows] = [Math.ceil(slide.width / side), Math.ceil(slide.height / side)];
    const [midColumn, midRow] = [(left + right) / 2 / side - 0.5, (top + bottom) / 2 / side - 0.5];
    const found = [];
    for (let row = Math.max(0, Math.floor(top / side)); row < Math.min(rows, bottom / side); row += 1) {
      for (
        let column = Math.max(0, Math.floor(left / side));
        column < Math.min(columns, right / side);
        column += 1
      ) {
        const distance = Math.hypot(column - midColumn, row - midRow);
        found.push({ name: `${level}/${column}_${row}`, level, column, row, distance });
      }
    }
    return found.sort((a, b) => a.distance - b.distance);
  }

  function use({ name, level, column, row }) {
    const known = kept.get(name);
    if (known) {
      kept.delete(name);
      kept.set(name, known);
    } else if (loading().length < AT_ONCE) {
      kept.set(name, load({ level, column, row }));
    }
  }

  function load(one) {
    const image = new Image();
    const made = { ...one, image, state: "loading" };
    const ended = (state) => () => {
      if (made.state !== "loading") return;
      made.state = state;
      onLoad();
    };
    image.onload = ended("ready");
    image.onerror = ended("missing");
    image.src = address(one.level, one.column, one.row);
    return made;
  }

  function paint(context, { level, column, row, image }) {
    const far = shrink(level);
    const side = tile * far;
    context.drawImage(image, column * side, row * side, image.naturalWidth * far, image.naturalHeight * far);
  }

  /** Ends downloads that nobody waits for any more, and forgets what was unused for longest. */
  function drop(wanted) {
    for (const [name, one] of kept) {
      const late = one.state === "loading" && !wanted.has(name);
      if (!late && kept.size <= KEPT) continue;
      if (!late && wanted.has(name)) continue;
      if (late) one.image.removeAttribute("src");
      one.state = "dropped";
      kept.delete(name);
    }
  }

  function loading() {
    return [...kept.values()].filter(({ state }) => state === "loading");
  }

  function shrink(level) {
    return 2 ** (levels - 1 - level);
  }

  function stop() {
    for (const one of kept.values()) {
      if (one.state === "loading") one.image.removeAttribute("src");
      one.state = "dropped";
    }
    kept.clear();
  }
}
