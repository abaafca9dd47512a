import { button, element, fill } from "./dom.js";
import { clusterNames } from "./cluster-names.js";
import { addRemark, addTag, removeRemark, removeTag } from "./note-changes.js";
import { noteForm } from "./note-form.js";
import { createNoteKeeper } from "./note-keeper.js";
import { plural } from "./wording.js";

/**
 * What a person notes about clusters and images. Everything is saved at once.
 *
 * @param {HTMLElement} root
 * @param {{collection, api, store, show?: (panel: string) => void}} house show("selection") brings a panel to
 *   the front
 */
export function createNotesPanel(root, { collection, api, store, show = () => {} }) {
  const still = collection.static ? "Notes of an export can be read, not written." : null;
  const off = collection.off?.notes ?? still;
  const status = element("p", { class: "status", role: "status" });
  const house = { collection, api, store, off, pick, save: createNoteKeeper({ api, store, say }) };
  const names = element("div");
  const reason = off !== null && element("p", { class: "soft" }, off);
  root.classList.add("notes-panel");
  fill(root, reason, names, tags(house), remarks(house), downloads(house), status);
  clusterNames(house).then(
    (made) => made && fill(names, made),
    (error) => say(`No clusters: ${error.message}`, true),
  );

  function say(text, bad = false) {
    status.textContent = text;
    status.classList.toggle("warning", bad);
  }

  function pick(rows) {
    store.set({ selector: { kind: "rows", rows: Uint32Array.from(rows).sort() } }, { push: true });
    show("selection");
  }
}

function tags(house) {
  const { store, save, pick } = house;
  const field = element("input", { type: "text", maxlength: 80, required: true, autocomplete: "off" });
  const add = (name, rows) => save(addTag(name, rows));
  const list = element("ul", { class: "note-list" });
  store.on(["notes"], draw);
  draw();
  return element(
    "section",
    {},
    element("h3", {}, "Tags"),
    list,
    noteForm(house, { verb: "Tag", field, text: "Tag", add }),
  );

  function draw() {
    fill(list, store.get().notes.tags.map(line));
  }

  function line({ name, rows }) {
    return element(
      "li",
      {},
      button(name, () => pick(rows), { class: "link", title: "Select these images" }),
      element("small", {}, plural(rows.length, "image")),
      remover(house, removeTag(name), `the tag ${name}`),
    );
  }
}

function remarks(house) {
  const { store, save, pick } = house;
  const field = element("textarea", { rows: 3, required: true, maxlength: 4000 });
  const list = element("ul", { class: "note-list remarks" });
  const add = (text, rows) => save(addRemark(rows, text, `${new Date().toISOString().slice(0, 19)}Z`));
  store.on(["notes"], draw);
  draw();
  return element(
    "section",
    {},
    element("h3", {}, "Remarks"),
    list,
    noteForm(house, { verb: "Remark on", field, text: "Add", add }),
  );

  function draw() {
    fill(list, store.get().notes.remarks.map(line));
  }

  function line(remark) {
    const { rows, text, time } = remark;
    const when = new Date(time).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    return element(
      "li",
      {},
      element("p", {}, text),
      button(plural(rows.length, "image"), () => pick(rows), { class: "link", title: "Select these images" }),
      element("time", { datetime: time }, when),
      remover(house, removeRemark(remark), `the remark: ${text.slice(0, 40)}`),
    );
  }
}

function remover({ save, off }, change, what) {
  if (off !== null) return null;
  const remove = async ({ currentTarget }) => {
    const section = currentTarget.closest("section");
    // The button goes with its line; the keyboard stays in the section.
    if (await save(change)) section.querySelector("form :is(input, textarea)").focus();
  };
  return button("Remove", remove, { class: "quiet", "aria-label": `Remove ${what}` });
}

function downloads({ collection, api }) {
  if (collection.off?.downloads) return element("p", { class: "soft" }, collection.off.downloads);
  const kinds = {
    csv: "CSV",
    parquet: "Parquet",
    ...(collection.slides.length > 0 ? { geojson: "GeoJSON" } : {}),
  };
  const links = Object.entries(kinds).map(([suffix, text]) =>
    element("a", { href: api.url.notes(suffix), download: true }, text),
  );
  return element("section", {}, element("h3", {}, "Download"), element("p", { class: "downloads" }, links));
}
