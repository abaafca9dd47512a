/**
 * Changes to the notes. Each takes a document and gives a new one, so that it can be made again on a newer
 * document.
 */

/** Gives a cluster a name; an empty name takes it away. */
export const nameCluster = (category, name) => (notes) => {
  const { [category]: before, ...others } = notes.clusters;
  return { ...notes, clusters: name === "" ? others : { ...others, [category]: name } };
};

/** Puts a tag on rows; rows that have it keep it. */
export const addTag = (name, rows) => (notes) => {
  const had = notes.tags.find((tag) => tag.name === name)?.rows ?? [];
  const merged = Array.from(Uint32Array.from(new Set([...had, ...rows])).sort());
  const others = notes.tags.filter((tag) => tag.name !== name);
  return { ...notes, tags: [...others, { name, rows: merged }].sort((a, b) => a.name.localeCompare(b.name)) };
};

/** Takes a tag from every row. */
export const removeTag = (name) => (notes) => ({
  ...notes,
  tags: notes.tags.filter((tag) => tag.name !== name),
});

/** Writes a remark on rows; time: ISO 8601, UTC. */
export const addRemark = (rows, text, time) => (notes) => ({
  ...notes,
  remarks: [...notes.remarks, { rows: Array.from(rows), text, time }],
});

/** Takes one remark away. */
export const removeRemark =
  ({ time, text }) =>
  (notes) => ({
    ...notes,
    remarks: notes.remarks.filter((remark) => remark.time !== time || remark.text !== text),
  });
