/** Finds points by place: a uniform grid over the map, whose cells list their rows one after another. */

const POINTS_PER_CELL = 4;
const SAMPLE = 10000;

/**
 * @param {Float32Array} positions n × 2, map coordinates; points that are not finite are never found
 * @returns {{nearest: Function, inRectangle: Function, inPolygon: Function, countInRectangle: Function}}
 */
export function createPlaces(positions) {
  const grid = buildGrid(positions);
  const { rows, points, starts, columns, cellX, cellY } = grid;

  /** Calls visit(first, last, line) for each line of cells touched, whose points are first ≤ i < last. */
  function visitLines(x0, y0, x1, y1, visit) {
    const left = cellX(x0), right = cellX(x1), top = cellY(y1);
    for (let line = cellY(y0); line <= top; line++) {
      visit(starts[line * columns + left], starts[line * columns + right + 1], line);
    }
  }

  /**
   * Row nearest to (x, y) within the radius, −1 if there is none.
   * @param {number} x map coordinate @param {number} y map coordinate @param {number} radius map units
   * @param {Uint8Array|null} [skip] 1 for each row to pass over
   */
  function nearest(x, y, radius, skip = null) {
    let best = -1, least = radius * radius;
    visitLines(x - radius, y - radius, x + radius, y + radius, (first, last) => {
      for (let i = first; i < last; i++) {
        const dx = points[2 * i] - x, dy = points[2 * i + 1] - y, squared = dx * dx + dy * dy;
        if (squared <= least && !(skip && skip[rows[i]])) {
          least = squared;
          best = rows[i];
        }
      }
    });
    return best;
  }

  /** Rows in the rectangle (x0 ≤ x1, y0 ≤ y1, borders included), sorted. @returns {Uint32Array} */
  function inRectangle(x0, y0, x1, y1) {
    const found = new Uint32Array(countInRectangle(x0, y0, x1, y1));
    let count = 0;
    visitLines(x0, y0, x1, y1, (first, last) => {
      for (let i = first; i < last; i++) {
        const x = points[2 * i], y = points[2 * i + 1];
        if (x >= x0 && x <= x1 && y >= y0 && y <= y1) found[count++] = rows[i];
      }
    });
    return found.slice(0, count).sort();
  }

  /** Upper bound of how many points the rectangle holds: those of all cells that it touches. Very cheap. */
  function countInRectangle(x0, y0, x1, y1) {
    let count = 0;
    visitLines(x0, y0, x1, y1, (first, last) => (count += last - first));
    return count;
  }

  /**
   * Rows inside a polygon by the even-odd rule, in float64, sorted.
   * @param {[number, number][]} polygon corners in map coordinates; the last joins the first
   * @returns {Uint32Array}
   */
  function inPolygon(polygon) {
    if (polygon.length < 3) return new Uint32Array(0);
    const xs = polygon.map((p) => p[0]), ys = polygon.map((p) => p[1]);
    const box = [smallest(xs), smallest(ys), largest(xs), largest(ys)];
    const edges = edgesByLine(polygon, cellY);
    const found = new Uint32Array(countInRectangle(...box));
    let count = 0;
    visitLines(...box, (first, last, line) => {
      const crossed = edges.get(line) ?? [];
      for (let i = first; i < last; i++) {
        if (isInside(points[2 * i], points[2 * i + 1], crossed)) found[count++] = rows[i];
      }
    });
    return found.slice(0, count).sort();
  }

  return { nearest, inRectangle, inPolygon, countInRectangle };
}

const smallest = (values) => values.reduce((a, b) => Math.min(a, b));
const largest = (values) => values.reduce((a, b) => Math.max(a, b));

/** Even-odd rule: does a ray to the right cross an odd number of edges? They are x0, y0, x1, y1, x0, … */
function isInside(x, y, edges) {
  let inside = false;
  for (let e = 0; e < edges.length; e += 4) {
    const x0 = edges[e], y0 = edges[e + 1], x1 = edges[e + 2], y1 = edges[e + 3];
    if (y0 > y !== y1 > y && x < ((x1 - x0) * (y - y0)) / (y1 - y0) + x0) inside = !inside;
  }
  return inside;
}

/** The polygon's edges by the lines of cells that they cross, so that a point meets only a few of them. */
function edgesByLine(polygon, cellY) {
  const lines = new Map();
  polygon.forEach(([x1, y1], i) => {
    const [x0, y0] = polygon[(i || polygon.length) - 1];
    for (let line = cellY(Math.min(y0, y1)); line <= cellY(Math.max(y0, y1)); line++) {
      if (!lines.has(line)) lines.set(line, []);
      lines.get(line).push(x0, y0, x1, y1);
    }
  });
  return lines;
}

/** Counting sort of the points into cells. Outliers fall into the border cells, which reach to infinity. */
function buildGrid(positions) {
  const n = positions.length / 2;
  const [x0, x1] = middleRange(positions, 0), [y0, y1] = middleRange(positions, 1);
  const cells = Math.max(1, n / POINTS_PER_CELL), aspect = (x1 - x0) / (y1 - y0);
  const columns = clamp(Math.round(Math.sqrt(cells * aspect)), 1, 2048);
  const lines = clamp(Math.round(Math.sqrt(cells / aspect)), 1, 2048);
  const toColumn = columns / (x1 - x0), toLine = lines / (y1 - y0);
  const cellX = (x) => clamp(Math.floor((x - x0) * toColumn), 0, columns - 1);
  const cellY = (y) => clamp(Math.floor((y - y0) * toLine), 0, lines - 1);

  const starts = new Uint32Array(columns * lines + 1), cellOf = new Int32Array(n);
  let kept = 0;
  for (let row = 0; row < n; row++) {
    const x = positions[2 * row], y = positions[2 * row + 1];
    cellOf[row] = Number.isFinite(x) && Number.isFinite(y) ? cellY(y) * columns + cellX(x) : -1;
    if (cellOf[row] >= 0) starts[cellOf[row] + 1]++, kept++;
  }
  for (let cell = 0; cell < columns * lines; cell++) starts[cell + 1] += starts[cell];

  // A copy of the points in the order of the cells: neighbours in memory are neighbours on the map.
  const rows = new Uint32Array(kept), points = new Float32Array(2 * kept), next = starts.slice();
  for (let row = 0; row < n; row++) {
    if (cellOf[row] < 0) continue;
    const i = next[cellOf[row]]++;
    rows[i] = row;
    points[2 * i] = positions[2 * row];
    points[2 * i + 1] = positions[2 * row + 1];
  }
  return { rows, points, starts, columns, cellX, cellY };
}

/** Range of one axis without the outermost thousandths, judged by a sample; never empty. */
function middleRange(positions, axis) {
  const n = positions.length / 2, step = Math.max(1, Math.floor(n / SAMPLE));
  const sample = [];
  for (let row = 0; row < n; row += step) {
    if (Number.isFinite(positions[2 * row + axis])) sample.push(positions[2 * row + axis]);
  }
  const sorted = Float64Array.from(sample).sort(), cut = Math.floor(sorted.length / 1000);
  const low = sorted[cut] ?? 0, high = sorted[sorted.length - 1 - cut] ?? 1;
  return high > low ? [low, high] : [low - 0.5, low + 0.5];
}

function clamp(value, low, high) {
  return value < low ? low : value > high ? high : value;
}
