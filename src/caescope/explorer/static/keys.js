import { element } from "./dom.js";

/**
 * Keys that work wherever nothing is being typed; those of the map itself are in gestures.js.
 *
 * @param {{collection, api, store, map, show}} house
 */
export function attachKeys({ collection, api, store, map, show }) {
  const keys = [
    ["Arrows", "move the map (when it has the focus)"],
    ["+ −", "zoom"],
    ["0", "show the whole map", map.fit],
    ["Enter", "open the image in the middle of the map"],
    ["P", "drag moves", () => store.set({ tool: "pan" })],
    ["R", "drag selects a rectangle", () => store.set({ tool: "rectangle" })],
    ["L", "drag selects a free form", () => store.set({ tool: "lasso" })],
    ["V", "select what the map shows", map.selectSeen],
    ["C", "select the cluster of the image", () => selectCluster({ collection, api, store })],
    ["K", "select the 20 nearest of the image in the space of the latents", () => selectNeighbours({ collection, store })],
    ["J", "next image of the selection", () => step(store, 1)],
    ["H", "previous image of the selection", () => step(store, -1)],
    ["1 2 3 4", "selection, image, slides, notes"],
    ["Escape", "clear the selection", () => store.set({ selector: null }, { push: true })],
    ["?", "this list", () => document.getElementById("keys").showModal()],
  ];
  const doing = new Map(keys.filter(([, , act]) => act).map(([key, , act]) => [key.toLowerCase(), act]));
  ["selection", "image", "slides", "notes"].forEach((panel, i) => doing.set(String(i + 1), () => show(panel)));

  const list = keys.flatMap(([key, what]) => [element("dt", {}, element("kbd", {}, key)), element("dd", {}, what)]);
  document.querySelector("#keys dl").replaceChildren(...list);
  document.getElementById("points").addEventListener("keydown", (event) => {
    if (event.key === "Enter") map.openCentre();
  });
  addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input:not([type=radio]), textarea, select, dialog");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const act = doing.get(event.key.toLowerCase());
    if (!act) return;
    event.preventDefault();
    act();
  });
}

async function selectCluster({ collection, api, store }) {
  const { image } = store.get();
  if (collection.cluster === null || image === null) return;
  const code = (await api.column(collection.cluster))[image];
  const { categories } = collection.columns[collection.cluster];
  if (code >= categories.length) return;
  store.set({ selector: { kind: "category", column: collection.cluster, code }, panel: "selection" }, { push: true });
}

function selectNeighbours({ collection, store }) {
  const { image: row } = store.get();
  if (row === null || collection.off.latents || collection.off.neighbours) return;
  store.set({ selector: { kind: "neighbours", row }, panel: "selection" }, { push: true });
}

function step(store, by) {
  const { selection, image } = store.get();
  if (!selection.length) return;
  const here = selection.indexOf(image);
  const next = here < 0 ? 0 : (here + by + selection.length) % selection.length;
  store.set({ image: selection[next], panel: "image" });
}
