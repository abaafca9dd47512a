/** Figures about groups of images. Codes without a category (no value) count nowhere. */

/**
 * How many of the rows fall into each category.
 *
 * @param {Uint8Array|Uint16Array|Uint32Array} codes category of each row of the collection
 * @param {Uint32Array|null} rows null means every row
 * @param {number} n how many categories there are
 * @returns {Uint32Array} n counts
 */
export function countsBy(codes, rows, n) {
  const counts = new Uint32Array(n);
  const many = rows === null ? codes.length : rows.length;
  for (let i = 0; i < many; i += 1) {
    const code = rows === null ? codes[i] : codes[rows[i]];
    if (code < n) counts[code] += 1;
  }
  return counts;
}

/** The sum of the counts. */
export const total = (counts) => counts.reduce((sum, count) => sum + count, 0);

/** Gini impurity 1 − Σ p², 0 (all of one kind) to 1 − 1/n; NaN where nothing was counted. */
export function gini(counts) {
  const all = total(counts);
  return all === 0 ? NaN : counts.reduce((rest, count) => rest - (count / all) ** 2, 1);
}

/** Shannon entropy −Σ p log₂ p in bits, 0 to log₂ n; NaN where nothing was counted. */
export function entropy(counts) {
  const all = total(counts);
  if (all === 0) return NaN;
  return counts.reduce((sum, count) => (count === 0 ? sum : sum - (count / all) * Math.log2(count / all)), 0);
}

/** Categories by falling count, those with none left out: [{code, count}, …]. */
export function ranking(counts) {
  return Array.from(counts, (count, code) => ({ code, count }))
    .filter(({ count }) => count > 0)
    .sort((a, b) => b.count - a.count || a.code - b.code);
}
