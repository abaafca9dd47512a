import { element, freshId, restyle } from "./dom.js";
import { cssColour } from "./colours.js";
import { nameCluster } from "./note-changes.js";
import { countsBy } from "./statistics.js";
import { whole } from "./wording.js";

/**
 * A list of the clusters in which each can be given a name.
 *
 * @param {{collection, api, store, save, off: string|null}} house
 * @returns {Promise<HTMLElement|null>} null where there are no clusters
 */
export async function clusterNames({ collection, api, store, save, off }) {
  const c = collection.cluster;
  if (c === null || c === undefined) return null;
  const { categories } = collection.columns[c];
  const counts = countsBy(await api.column(c), null, categories.length);
  const fields = categories.map((category, code) => field(category, code));
  store.on(["notes"], show);
  show(store.get());
  const list = element(
    "ul",
    { class: "cluster-names" },
    fields.map((one) => one.element),
  );
  return element("section", {}, element("h3", {}, "Names of clusters"), list);

  function show({ notes }) {
    for (const one of fields) one.show(notes.clusters[one.category] ?? "");
  }

  function field(category, code) {
    const id = freshId("cluster");
    const swatch = element("span", { class: "swatch" });
    restyle(swatch, { background: cssColour(code) });
    const onchange = () => save(nameCluster(category, input.value.trim()));
    const input = element("input", {
      id,
      type: "text",
      maxlength: 80,
      placeholder: "no name",
      disabled: off !== null,
      onchange,
    });
    const label = element("label", { for: id }, swatch, `cluster ${category}`);
    return {
      category,
      element: element("li", {}, label, input, element("small", {}, whole(counts[code]))),
      // What is being typed is not overwritten by what another tab saved.
      show: (name) => document.activeElement !== input && (input.value = name),
    };
  }
}
