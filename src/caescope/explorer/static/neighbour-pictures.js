import { button, element } from "./dom.js";
import { createPicture } from "./picture.js";
import { decimal, plural, whole } from "./wording.js";

/**
 * The nearest images in latent space as pictures with their distances.
 *
 * @param {number} row
 * @param {{collection, api, store, show(panel: string): void, onOpen(row: number): void}} house
 * @returns {Promise<HTMLElement>}
 */
export async function neighbourPictures(row, { collection, api, store, show, onOpen }) {
  if (collection.off?.neighbours) return section(element("p", { class: "soft" }, collection.off.neighbours));
  const { rows, distances } = await api.neighbours(row);
  const names = await api.ids(rows).catch(() => rows.map((near) => `image ${whole(near)}`));
  const select = () => {
    store.set({ selector: { kind: "neighbours", row } }, { push: true });
    show("selection");
  };
  const pictures = rows.map((near, i) => element("li", {}, one(near, names[i], distances[i])));
  return section(
    element(
      "ol",
      {
        onpointerleave: () => store.set({ hover: null }),
      },
      pictures,
    ),
    button(`Select the image and its ${plural(rows.length, "neighbour")}`, select),
  );

  function one(near, name, distance) {
    const picture = createPicture(collection.image ? api.url.image(near) : null);
    return element(
      "button",
      {
        type: "button",
        title: name,
        "aria-label": `${name}, distance ${decimal(distance)}`,
        onclick: () => onOpen(near),
        onpointerenter: ({ pointerType }) => pointerType !== "touch" && store.set({ hover: near }),
        onfocus: () => store.set({ hover: near }),
        onblur: () => store.set({ hover: null }),
      },
      picture.element,
      element("small", {}, decimal(distance)),
    );
  }
}

function section(...children) {
  return element(
    "section",
    { class: "neighbours" },
    element("h3", {}, "Nearest in latent space"),
    ...children,
  );
}
