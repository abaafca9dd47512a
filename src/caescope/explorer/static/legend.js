import { attribute, button, element, fill, restyle } from "./dom.js";
import { cssColour, numberColours } from "./colours.js";
import { countsBy, total } from "./statistics.js";
import { categoryName, decimal, whole } from "./wording.js";

const FIRST = 60; // categories before "all"
const ROOMY = matchMedia("(min-width: 47rem)"); // elsewhere the legend would hide the map
const NOTHING = { u8: 0xff, u16: 0xffff }; // codes that mean "no value"

/**
 * What the colours mean. Each category shows or hides its images; alt and click leaves it alone on the map.
 *
 * @param {HTMLElement} root
 * @param {{collection, api, store, show?: (panel: string) => void}} house show("selection") brings a panel
 *   to the front
 */
export function createLegend(root, { collection, api, store, show = () => {} }) {
  const title = element("summary");
  const body = element("div", { class: "legend-body" });
  let newest = 0;
  let drawn = null; // {mark(hidden), point(row)} of what the body shows
  root.classList.add("legend");
  attribute(root, "role", "group");
  attribute(root, "aria-label", "Legend");
  fill(root, element("details", { open: ROOMY.matches }, title, body));
  store.on(["colour", "notes"], draw);
  store.on(["hidden"], ({ hidden }) => drawn?.mark(hidden));
  store.on(["hover"], ({ hover }) => drawn?.point(hover));
  draw();

  async function draw() {
    const turn = (newest += 1);
    const c = store.get().colour;
    attribute(root, "hidden", c === null);
    if (c === null) return;
    const { name, kind } = collection.columns[c];
    title.textContent = name;
    const values = await api.column(c);
    if (turn !== newest) return;
    drawn = (kind === "category" ? groups : ramp)({ c, values, body, collection, store, show });
    drawn.mark(store.get().hidden);
  }
}

function groups({ c, values, body, collection, store, show }) {
  const { categories, type } = collection.columns[c];
  const counts = countsBy(values, null, categories.length);
  const lacking = values.length - total(counts);
  const codes = [...categories.keys(), ...(lacking > 0 ? [NOTHING[type]] : [])];
  const lines = new Map();
  const list = element("ul");
  const all = button("Show all", () => store.set({ hidden: new Set() }), { class: "quiet" });
  const more = codes.length > FIRST && button(`All ${whole(codes.length)}`, unfold, { class: "quiet" });
  add(codes.slice(0, FIRST));
  fill(body, list, more, all);
  let pointed = null;
  return { mark, point };

  function add(some) {
    for (const code of some) {
      const count = code < categories.length ? counts[code] : lacking;
      const name = categoryName(collection, c, code, store.get().notes);
      lines.set(code, line(code, name, count));
      list.append(lines.get(code).element);
    }
  }

  function unfold() {
    more.remove();
    add(codes.slice(FIRST));
    mark(store.get().hidden);
    lines.get(codes[FIRST]).toggle.focus();
  }

  function line(code, name, count) {
    const swatch = element("span", { class: "swatch" });
    restyle(swatch, { "--colour": cssColour(code < categories.length ? code : null) });
    const toggle = element(
      "button",
      {
        type: "button",
        class: "group",
        title: "Show or hide; with alt, show only this",
        onclick: (event) => (event.altKey ? only(code) : flip(code)),
      },
      swatch,
      element("span", { class: "name" }, name),
      element("span", { class: "count" }, whole(count)),
    );
    const alone = button("only", () => only(code), { class: "quiet", "aria-label": `Show only ${name}` });
    const take = button("select", () => select(code), { class: "quiet", "aria-label": `Select ${name}` });
    return { element: element("li", {}, toggle, alone, take), toggle, alone };
  }

  function flip(code) {
    const hidden = new Set(store.get().hidden);
    if (!hidden.delete(code)) hidden.add(code);
    store.set({ hidden });
  }

  function only(code) {
    const { hidden } = store.get();
    const already = !hidden.has(code) && hidden.size === codes.length - 1;
    store.set({ hidden: new Set(already ? [] : codes.filter((other) => other !== code)) });
  }

  function select(code) {
    store.set({ selector: { kind: "category", column: c, code } }, { push: true });
    show("selection");
  }

  function mark(hidden) {
    for (const [code, { toggle }] of lines) attribute(toggle, "aria-pressed", String(!hidden.has(code)));
    attribute(all, "hidden", hidden.size === 0);
  }

  /** Names the group of the image under the pointer by more than its colour. */
  function point(row) {
    pointed?.classList.remove("pointed");
    pointed = lines.get(row === null ? null : values[row])?.element ?? null;
    pointed?.classList.add("pointed");
  }
}

function ramp({ c, values, body, collection }) {
  const { name, min, max } = collection.columns[c];
  const colours = numberColours();
  const stripe = element("canvas", {
    width: 256,
    height: 1,
    role: "img",
    "aria-label": `${name} from ${decimal(min)} to ${decimal(max)}`,
  });
  const pixels = new ImageData(256, 1);
  for (let i = 0; i < 256; i += 1) pixels.data.set([...colours.slice(3 * i, 3 * i + 3), 255], 4 * i);
  stripe.getContext("2d").putImageData(pixels, 0, 0);
  const lacking = values.reduce((n, value) => n + (Number.isNaN(value) ? 1 : 0), 0);
  const pointer = element("span", { class: "pointer", hidden: true });
  const figure = element("strong");
  const grey = element("span", { class: "swatch" });
  restyle(grey, { "--colour": cssColour(null) });
  fill(
    body,
    element("div", { class: "ramp" }, stripe, pointer),
    element(
      "div",
      { class: "ends" },
      element("span", {}, decimal(min)),
      figure,
      element("span", {}, decimal(max)),
    ),
    lacking > 0 && element("p", {}, grey, ` no value ${whole(lacking)}`),
  );
  return { mark: () => {}, point };

  function point(row) {
    const value = row === null ? NaN : values[row];
    attribute(pointer, "hidden", Number.isNaN(value));
    figure.textContent = row === null ? "" : decimal(value);
    if (Number.isNaN(value)) return;
    restyle(pointer, { left: `${(100 * (value - min)) / (max - min || 1)}%` });
  }
}
