/** Numbers and names as a person reads them. */

/** 12345 → "12,345". */
export const whole = (n) => n.toLocaleString("en");

/** 0.0123456 → "0.0123"; no value → "no value". */
export function decimal(x) {
  if (Number.isNaN(x)) return "no value";
  if (Number.isInteger(x) && Math.abs(x) < 1e6) return whole(x);
  const size = Math.abs(x);
  return size >= 1e6 || size < 1e-4
    ? x.toExponential(2)
    : x.toLocaleString("en", { maximumSignificantDigits: 3 });
}

/** plural(1, "image") → "1 image", plural(1200, "image") → "1,200 images". */
export const plural = (n, one, many = `${one}s`) => `${whole(n)} ${n === 1 ? one : many}`;

/** A share of all: 0.123 → "12 %", 0.001 → "< 1 %". */
export const percent = (share) => (share > 0 && share < 0.01 ? "< 1 %" : `${Math.round(100 * share)} %`);

/** The name of a category: a cluster's name from the notes stands behind its number. */
export function categoryName(collection, c, code, notes) {
  const category = collection.columns[c].categories[code];
  if (category === undefined) return "no value";
  const given = c === collection.cluster ? notes?.clusters?.[category] : undefined;
  return given ? `${category} · ${given}` : category;
}

/** The value of a column at a row, as text. */
export function valueText(collection, c, value, notes) {
  return collection.columns[c].kind === "category"
    ? categoryName(collection, c, value, notes)
    : decimal(value);
}
