import { element, fill, restyle } from "./dom.js";
import { countsBy, entropy, gini, ranking, total } from "./statistics.js";
import { categoryName, decimal, percent, whole } from "./wording.js";

const FIRST = 6; // bars before "all"

/**
 * What a selection is made of: bars by label and by cluster, and how mixed its labels are.
 *
 * @returns {{element: HTMLElement, show(rows: Uint32Array): Promise<void>}}
 */
export function createComposition({ collection, api, store }) {
  const root = element("div", { class: "composition" });
  const open = new Set();
  let newest = 0;
  return { element: root, show };

  async function show(rows) {
    const turn = (newest += 1);
    const columns = [collection.label, collection.cluster].filter((c) => c !== null && c !== undefined);
    const codes = await Promise.all(columns.map((c) => api.column(c)));
    if (turn !== newest) return;
    fill(root, ...(rows.length === 0 ? [] : columns.map((c, i) => bars(c, codes[i], rows))));
  }

  function bars(c, codes, rows) {
    const { name, categories } = collection.columns[c];
    const counts = countsBy(codes, rows, categories.length);
    const ranked = ranking(counts);
    const shown = open.has(c) ? ranked : ranked.slice(0, FIRST);
    const { notes } = store.get();
    return element(
      "section",
      {},
      element("h3", {}, `By ${name}`, c === collection.label && impurity(counts)),
      element(
        "ul",
        {},
        shown.map(({ code, count }) =>
          bar(categoryName(collection, c, code, notes), count, ranked[0].count, rows.length),
        ),
      ),
      total(counts) < rows.length &&
        element("p", {}, `${whole(rows.length - total(counts))} have no ${name}`),
      ranked.length > FIRST && unfold(c, rows, ranked.length),
    );
  }

  function unfold(c, rows, n) {
    const toggle = () => {
      if (!open.delete(c)) open.add(c);
      show(rows);
    };
    const text = open.has(c) ? "fewer" : `all ${whole(n)}`;
    return element(
      "button",
      { type: "button", class: "quiet", "aria-expanded": String(open.has(c)), onclick: toggle },
      text,
    );
  }
}

function impurity(counts) {
  const title =
    "Gini impurity of the selection by label: 0 where all have one label, towards 1 where many are mixed. " +
    `Entropy: ${decimal(entropy(counts))} bits.`;
  return element("small", { title }, `Gini ${decimal(gini(counts))}`);
}

function bar(name, count, most, all) {
  const share = element("span", { class: "bar", title: percent(count / all) });
  restyle(share, { "--share": count / most });
  return element(
    "li",
    {},
    element("span", { class: "name", title: name }, name),
    share,
    element("span", {}, whole(count)),
  );
}
