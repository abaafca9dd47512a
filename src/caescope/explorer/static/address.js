import { packed, unpacked } from "./selectors.js";

/** The page's state in its address: `#map=0&colour=cluster&view=1.5,2,40&select=category:cluster:3&image=17`. */

const NAMES = ["map", "colour", "view", "hidden", "selector", "image", "sort", "panel", "slide"];
const MOST_ROWS = 8000; // of a selection made by hand; with more the address leaves it out
const PAUSE = 300; // ms without movement before the view goes into the address

/** Keeps the address as the store says; a step back or forward is handed to `onStep`. */
export function keepAddress(store, collection, onStep) {
  let late = 0;
  const write = (push) => {
    clearTimeout(late);
    const address = `#${formatState(store.get(), collection)}`;
    if (address !== location.hash) history[push ? "pushState" : "replaceState"](null, "", address);
  };
  store.on(NAMES, (_state, { names, push }) => {
    clearTimeout(late);
    if (push || names.size > 1 || !names.has("view")) write(push);
    else late = setTimeout(write, PAUSE, false);
  });
  addEventListener("popstate", () => onStep(parseState(location.hash.slice(1), collection)));
}

/** @returns {string} what `parseState` makes the same state of */
export function formatState(state, collection) {
  const fields = new URLSearchParams();
  if (state.map) fields.set("map", state.map);
  fields.set("colour", collection.columns[state.colour]?.name ?? "");
  if (state.view) fields.set("view", ["x", "y", "scale"].map((name) => shortest(state.view[name])).join(","));
  if (state.hidden.size) fields.set("hidden", [...state.hidden].sort((a, b) => a - b).join("."));
  const select = formatSelector(state.selector, collection);
  if (select) fields.set("select", select);
  if (state.image !== null) fields.set("image", state.image);
  if (state.sort !== "medoid") fields.set("sort", state.sort);
  if (state.panel !== "selection") fields.set("panel", state.panel);
  if (state.slide) fields.set("slide", state.slide);
  return fields.toString().replaceAll("%2C", ",").replaceAll("%3A", ":").replaceAll("%3B", ";");
}

/** @returns {object} a patch for the store; what is not in the text, or makes no sense, is at its default */
export function parseState(text, collection) {
  const fields = new URLSearchParams(text);
  const view = numbers(fields.get("view"));
  return {
    map: below(fields.get("map"), collection.maps.length) ?? 0,
    colour: columnNamed(fields.get("colour"), collection) ?? firstColour(collection),
    view: view.length === 3 && view[2] > 0 ? { x: view[0], y: view[1], scale: view[2] } : null,
    hidden: new Set((fields.get("hidden") ?? "").split(".").filter(Boolean).map(Number)),
    selector: parseSelector(fields.get("select") ?? "", collection),
    image: below(fields.get("image"), collection.n),
    sort: ["medoid", "error", "row"].includes(fields.get("sort")) ? fields.get("sort") : "medoid",
    panel: fields.get("panel") ?? "selection",
    slide: below(fields.get("slide"), collection.slides.length),
  };
}

function formatSelector(selector, collection) {
  switch (selector?.kind) {
    case "rows":
      return selector.rows.length && selector.rows.length <= MOST_ROWS ? `rows:${packed(selector.rows)}` : "";
    case "polygon":
      return `polygon:${selector.map}:${selector.points.map((point) => point.map(shortest).join(",")).join(";")}`;
    case "category":
      return `category:${selector.code}:${collection.columns[selector.column].name}`;
    case "neighbours":
      return `neighbours:${selector.row}`;
    default:
      return "";
  }
}

function parseSelector(text, collection) {
  const [kind, first, ...more] = text.split(":");
  const rest = more.join(":");
  if (kind === "rows") return { kind, rows: unpacked(first ?? "", collection.n) };
  if (kind === "neighbours") return found({ kind, row: below(first, collection.n) });
  if (kind === "category") {
    const column = columnNamed(rest, collection);
    return found({ kind, column, code: below(first, 2 ** 32) }); // all bits set: those without a value
  }
  if (kind === "polygon") {
    const points = rest.split(";").map(numbers).filter((point) => point.length === 2);
    return points.length > 2 ? found({ kind, map: below(first, collection.maps.length), points }) : null;
  }
  return null;
}

const found = (selector) => (Object.values(selector).includes(null) ? null : selector);

/** A coordinate as text, of six digits. */
export const shortest = (x) => Number(x.toPrecision(6)).toString();

const numbers = (text) => (text ?? "").split(",").map(Number).filter(Number.isFinite);

function below(text, n) {
  return text && /^\d{1,10}$/.test(text) && Number(text) < n ? Number(text) : null;
}

function columnNamed(name, { columns }) {
  const number = columns.findIndex((column) => column.name === name);
  return number < 0 ? null : number;
}

const firstColour = ({ cluster, label, columns }) => cluster ?? label ?? (columns.length ? 0 : null);
