import { attribute, element, fill } from "./dom.js";
import { createComposition } from "./composition.js";
import { createPictureGrid } from "./picture-grid.js";
import { holds, sorted, sortings } from "./sorting.js";
import { plural } from "./wording.js";

const WHAT_IS_A_MEDOID = "The medoid is the image whose latents are nearest to those of all others.";

/**
 * The selection: how many images, what they are made of, and their pictures.
 *
 * @param {HTMLElement} root
 * @param {{collection, api, store, show?: (panel: string) => void}} house show("image") brings a panel to
 *   the front
 */
export function createSheet(root, { collection, api, store, show = () => {} }) {
  const missing = new Set();
  const count = element("strong", { "aria-live": "polite" });
  const lost = element("span", { class: "lost", role: "status" });
  const clear = element("button", { type: "button", class: "quiet", onclick: deselect }, "Clear");
  const sort = sortMenu(collection, store);
  const bar = element("div", { class: "sheet-bar" }, count, sort.element, clear, lost);
  const hint = element("p", { class: "hint" });
  const composition = createComposition({ collection, api, store });
  const grid = createPictureGrid({
    address: (row) => (collection.image ? api.url.image(row) : null),
    nameOf: async (row) => (await api.ids([row]))[0],
    label: "Selected images",
    edge: () => bar.getBoundingClientRect().bottom,
    onOpen: open,
    onHover: (hover) => store.set({ hover }),
    onFound: found,
  });
  root.classList.add("sheet");
  fill(root, composition.element, bar, hint, grid.element);
  let newest = 0;

  store.on(["selection", "sort"], arrange);
  store.on(["selection", "notes"], () => composition.show(store.get().selection));
  store.on(["image", "hover"], (state) => grid.mark(state));
  composition.show(store.get().selection);
  arrange();

  async function arrange() {
    const turn = (newest += 1);
    const { selection, sort: way } = store.get();
    describe(selection);
    sort.show(way, null);
    const late = setTimeout(() => turn === newest && sort.show(way, "sorting …"), 150);
    const rows = await sorted(selection, way, { collection, api }).catch((error) => {
      if (turn === newest) hint.textContent = `Could not be sorted: ${error.message}`;
      return selection;
    });
    clearTimeout(late);
    if (turn !== newest) return;
    sort.show(way, null);
    grid.show(rows);
    grid.mark(store.get());
    tellMissing();
  }

  function describe(selection) {
    const none = selection.length === 0;
    count.textContent = none ? "Nothing is selected" : plural(selection.length, "image");
    attribute(clear, "hidden", none);
    attribute(sort.element, "hidden", none);
    hint.textContent = none
      ? "Draw around points on the map with the lasso, or select a group in the legend."
      : (!collection.image && collection.off?.images) || "";
  }

  function found(row, there) {
    if (there ? missing.delete(row) : !missing.has(row) && missing.add(row)) tellMissing();
  }

  function tellMissing() {
    const chosen = store.get().selection;
    let n = 0;
    for (const row of missing) n += holds(chosen, row) ? 1 : 0;
    lost.textContent = n === 0 ? "" : `${plural(n, "image")} could not be found`;
  }

  function open(row) {
    store.set({ image: row }, { push: true });
    show("image");
  }

  function deselect() {
    store.set({ selector: null }, { push: true });
  }
}

function sortMenu(collection, store) {
  const ways = sortings(collection);
  const options = ways.map(({ name, text, off }) =>
    element("option", { value: name, disabled: off !== null, title: off }, text),
  );
  const onchange = (event) => store.set({ sort: event.target.value });
  const menu = element(
    "select",
    { "aria-label": "Sort the images", title: WHAT_IS_A_MEDOID, onchange },
    options,
  );
  const busy = element("span", { class: "busy", role: "status" });
  const usable = (sort) => ways.find(({ name, off }) => name === sort && off === null)?.name ?? "row";
  const show = (sort, message) => {
    menu.value = usable(sort);
    busy.textContent = message ?? "";
  };
  return { element: element("span", { class: "sort" }, menu, busy), show };
}
