import { element, fill } from "./dom.js";
import { createLatentSliders } from "./latent-sliders.js";
import { neighbourPictures } from "./neighbour-pictures.js";
import { createPicture } from "./picture.js";
import { tilePlace } from "./tile-place.js";
import { valueText, whole } from "./wording.js";

/**
 * One image: original, reconstruction, difference; its latents, neighbours, values and place.
 *
 * @param {HTMLElement} root
 * @param {{collection, api, store, show?: (panel: string) => void}} house show("slides") brings a panel to
 *   the front
 */
export function createImagePanel(root, { collection, api, store, show = () => {} }) {
  const latentSliders = createLatentSliders({ collection, api });
  let newest = 0;
  root.classList.add("image-panel");
  store.on(["image"], draw);
  draw();

  function draw() {
    const turn = (newest += 1);
    const row = store.get().image;
    if (row === null)
      return fill(
        root,
        element("p", { class: "soft" }, "Click on a point of the map or on a picture to see an image here."),
      );
    const focused = root.contains(document.activeElement);
    const title = element("h2", { tabindex: -1 }, `image ${whole(row)}`);
    api.ids([row]).then(
      ([id]) => (title.textContent = id),
      () => {},
    );
    fill(
      root,
      title,
      pictures(row),
      later(values(row), "values"),
      later(tilePlace(row, { collection, api, onShow: showSlide }), "place"),
      ...latents(row).map(([coming, what]) => later(coming, what)),
    );
    if (focused) title.focus();

    /** Leaves a place for what is on its way, or says that it did not come. */
    function later(coming, what) {
      const place = element("div", { class: "coming", "aria-busy": "true" });
      coming.then(
        (made) => turn === newest && place.replaceWith(...(made === null ? [] : [made])),
        (error) => place.replaceWith(element("p", { class: "warning" }, `No ${what}: ${error.message}`)),
      );
      return place;
    }
  }

  function pictures(row) {
    if (!collection.image)
      return element("p", { class: "soft" }, collection.off?.images ?? "This run has no images.");
    const off = collection.off?.reconstructions ?? (collection.static ? null : collection.off?.decode);
    const all = [["original", api.url.image(row)]];
    if (!off)
      all.push(["reconstruction", api.url.reconstruction(row)], ["difference", api.url.difference(row)]);
    return element(
      "div",
      { class: "pictures" },
      all.map(([name, address]) =>
        element("figure", {}, createPicture(address, { alt: name }).element, element("figcaption", {}, name)),
      ),
      off && element("p", { class: "soft" }, off),
    );
  }

  function latents(row) {
    const off = collection.off?.latents;
    if (off) return [[Promise.resolve(element("p", { class: "soft" }, off)), "latents"]];
    return [
      [neighbourPictures(row, { collection, api, store, show, onOpen: open }), "neighbours"],
      [latentSliders(row), "latents"],
    ];
  }

  async function values(row) {
    const place = collection.slides.length > 0 ? [collection.slide, ...(collection.place ?? [])] : [];
    const elsewhere = new Set([...collection.latent_columns, ...place]);
    const shown = [...collection.columns.keys()].filter((c) => !elsewhere.has(c));
    const columns = await Promise.all(shown.map((c) => api.column(c)));
    const { notes } = store.get();
    const line = (c, i) => [
      element("dt", {}, collection.columns[c].name),
      element("dd", {}, valueText(collection, c, columns[i][row], notes)),
    ];
    const lines = shown.map((c, i) => element("div", {}, ...line(c, i)));
    return element("section", { class: "values" }, element("h3", {}, "Values"), element("dl", {}, lines));
  }

  function open(row) {
    store.set({ image: row, hover: null }, { push: true });
  }

  function showSlide(slide) {
    store.set({ slide }, { push: true });
    show("slides");
  }
}
