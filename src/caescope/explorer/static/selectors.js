/** How a selection was made, and which rows that means: an address can hold the one, not always the other. */

/**
 * @param {object|null} selector {kind: "rows", rows} | {kind: "polygon", map, points} |
 *   {kind: "category", column, code} | {kind: "neighbours", row}
 * @param {{api, placesOf: (map: number) => Promise<object>}} house
 * @returns {Promise<Uint32Array>} rows, sorted
 */
export async function rowsOf(selector, { api, placesOf }) {
  switch (selector?.kind) {
    case "rows":
      return selector.rows;
    case "polygon":
      return (await placesOf(selector.map)).inPolygon(selector.points);
    case "category":
      return rowsWith(await api.column(selector.column), selector.code);
    case "neighbours": {
      const { rows } = await api.neighbours(selector.row);
      return Uint32Array.from([selector.row, ...rows]).sort();
    }
    default:
      return new Uint32Array(0);
  }
}

function rowsWith(codes, code) {
  let n = 0;
  const rows = new Uint32Array(codes.length);
  codes.forEach((value, row) => value === code && (rows[n++] = row));
  return rows.slice(0, n);
}

/** Rows in either of two selections, sorted. */
export function union(one, other) {
  return Uint32Array.from(new Set([...one, ...other])).sort();
}

/** A selection with one row more, or without it where it was selected. */
export function toggled(rows, row) {
  return rows.includes(row) ? rows.filter((other) => other !== row) : union(rows, [row]);
}

/** Rows, sorted, as short text: the steps from one to the next in base 128, as base64url. */
export function packed(rows) {
  const bytes = [];
  let last = 0;
  for (const row of rows) {
    let step = row - last;
    for (last = row; step > 127; step = Math.floor(step / 128)) bytes.push((step % 128) + 128);
    bytes.push(step);
  }
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The rows below `n` in what `packed` made; none where the text is something else. */
export function unpacked(text, n) {
  const rows = [];
  let row = 0, step = 0, factor = 1;
  for (const byte of bytesOf(text)) {
    step += (byte % 128) * factor;
    factor *= 128;
    if (byte > 127) continue;
    row += step;
    if (row < n && (!rows.length || step > 0)) rows.push(row);
    [step, factor] = [0, 1];
  }
  return Uint32Array.from(rows);
}

function bytesOf(text) {
  try {
    return Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  } catch {
    return [];
  }
}
