import { element } from "./dom.js";

/**
 * What is chosen above the map: which map, which colours, what dragging does.
 *
 * @param {HTMLFormElement} form
 * @param {{collection, store, map}} house
 */
export function attachControls(form, { collection, store, map }) {
  const { map: maps, colour, tool } = form.elements;
  maps.append(...collection.maps.map(({ title }, number) => element("option", { value: number }, title)));
  form.querySelector("#maps").hidden = collection.maps.length < 2;
  colour.append(...colourGroups(collection));

  function draw(state) {
    maps.value = state.map;
    colour.value = state.colour ?? "";
    tool.value = state.tool;
  }

  maps.addEventListener("change", () => store.set({ map: Number(maps.value), view: null }, { push: true }));
  colour.addEventListener("change", () => {
    store.set({ colour: Number(colour.value), hidden: new Set() }, { push: true });
  });
  form.addEventListener("change", () => store.set({ tool: tool.value }));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.querySelector("#fit").addEventListener("click", map.fit);
  form.querySelector("#help").addEventListener("click", () => document.getElementById("keys").showModal());
  store.on(["map", "colour", "tool"], draw);
  draw(store.get());
}

function colourGroups({ columns, latent_columns: latents }) {
  const option = (number) => element("option", { value: number }, columns[number].name);
  const known = [...columns.keys()].filter((number) => !latents.includes(number));
  const groups = [["Known of the images", known], ["Latents", latents]];
  return groups
    .filter(([, numbers]) => numbers.length)
    .map(([label, numbers]) => element("optgroup", { label }, ...numbers.map(option)));
}
