import { keepAddress, parseState } from "./address.js";
import * as api from "./api.js";
import { attachControls } from "./controls.js";
import { createHoverCard } from "./hover-card.js";
import { createImagePanel } from "./image-panel.js";
import { attachKeys } from "./keys.js";
import { createLegend } from "./legend.js";
import { createMapView } from "./map-view.js";
import { createNotesPanel } from "./notes-panel.js";
import { rowsOf } from "./selectors.js";
import { createSheet } from "./sheet.js";
import { createSlidePanel } from "./slide-panel.js";
import { createStore } from "./store.js";
import { attachTabs } from "./tabs.js";
import { plural, whole } from "./wording.js";

const at = (id) => document.getElementById(id);
const NO_NOTES = { revision: 0, clusters: {}, tags: [], remarks: [] };

start().catch((error) => tell(error.message));

async function start() {
  const collection = await api.openCollection();
  describe(collection);
  const initial = { hover: null, selection: new Uint32Array(0), tool: "pan", notes: NO_NOTES };
  const store = createStore({ ...initial, ...parseState(location.hash.slice(1), collection) });
  const show = (panel) => store.set({ panel });
  const house = { collection, api, store, show };
  const map = createMapView(at("points"), house);
  createHoverCard(at("hover"), { ...house, map });
  createLegend(at("legend"), house);
  createSheet(at("selection"), house);
  createImagePanel(at("image"), house);
  if (collection.slides.length) createSlidePanel(at("slides"), house);
  createNotesPanel(at("notes"), house);
  attachTabs(at("panels"), house);
  attachControls(at("controls"), { ...house, map });
  attachKeys({ ...house, map });
  store.on(["selector"], (state) => select(state.selector, { store, map }));
  await Promise.all([map.ready, readNotes(store), select(store.get().selector, { store, map })]);
  keepAddress(store, collection, (state) => store.set(state));
  document.body.dataset.ready = "true";
}

/** Turns how a selection was made into its rows; the newest wins. */
async function select(selector, { store, map }) {
  const rows = await rowsOf(selector, { api, placesOf: map.placesOf }).catch((error) => tell(error.message));
  if (rows && store.get().selector === selector) store.set({ selection: rows });
}

async function readNotes(store) {
  const notes = await api.readNotes().catch((error) => tell(`Notes cannot be read: ${error.message}`));
  if (notes) store.set({ notes });
}

function describe({ name, n, image, gone, off }) {
  document.title = `${name} · caescope`;
  at("name").textContent = name;
  const size = image ? ` of ${image.width}×${image.height}` : "";
  const lost = gone ? `, ${whole(gone)} of them could not be found` : "";
  at("facts").textContent = `${plural(n, "image")}${size}${lost}`;
  at("facts").title = Object.values(off).join("\n");
  if (off.run ?? off.images) tell(off.run ?? off.images);
}

function tell(text) {
  at("state").textContent = text;
}
