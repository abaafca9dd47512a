import { attribute, button, element, freshId, restyle } from "./dom.js";
import { newestOnly } from "./newest.js";
import { createPicture } from "./picture.js";
import { decimal, whole } from "./wording.js";

const FIRST = 40; // sliders before "all"
const STEPS = 200; // of a slider, from one end of the latent's range to the other

/**
 * The latents of an image as bars; each is a slider, and what the sliders say is decoded at once.
 *
 * @param {{collection, api}} house
 * @returns {(row: number) => Promise<HTMLElement>} makes the section for an image
 */
export function createLatentSliders({ collection, api }) {
  const off = collection.off?.decode ?? null;
  const decode = newestOnly(async ({ values, then }) => {
    await api.decode(values).then(
      (blob) => then(blob, null),
      (error) => then(null, error),
    );
  });
  return async (row) => sliders(row, await api.latents(row));

  function sliders(row, latents) {
    const values = Float32Array.from(latents);
    const preview = off === null ? createPreview(row, api) : null;
    const list = element("div", { class: "latent-list" });
    const turned = () => {
      preview.turned(true);
      decode({ values: values.slice(), then: preview.show });
    };
    const reset = () => {
      values.set(latents);
      drawn.forEach((slider) => slider.draw());
      preview.reset();
    };
    const one = (k) =>
      createSlider({ k, values, was: latents[k], range: collection.latent_range[k], turned, off });
    const drawn = [];
    const add = (from, to) => {
      for (let k = from; k < to; k += 1) drawn.push(one(k));
      list.append(...drawn.slice(from).map((slider) => slider.element));
    };
    add(0, Math.min(FIRST, values.length));
    const rest =
      values.length > FIRST &&
      button(`All ${whole(values.length)} latents`, () => {
        rest.remove();
        add(FIRST, values.length);
        drawn[FIRST].focus();
      });
    preview?.onReset(reset);
    return element(
      "section",
      { class: "latents" },
      element("h3", {}, "Latents"),
      off === null ? preview.element : element("p", { class: "soft" }, off),
      list,
      rest,
    );
  }
}

function createPreview(row, api) {
  const start = api.url.reconstruction(row);
  const picture = createPicture(start, { alt: "Image decoded from the sliders" });
  const text = element("span", { role: "status" });
  const back = button("Reset", () => {}, { class: "quiet" });
  const says = "Move a slider: the picture is decoded from it.";
  let address = null;
  // A picture that comes after a reset belongs to sliders that are no more.
  let away = false;
  turned(false);
  return {
    element: element("div", { class: "preview" }, picture.element, text, back),
    turned,
    show,
    reset,
    onReset,
  };

  function onReset(act) {
    back.addEventListener("click", act);
  }

  function turned(yes) {
    away = yes;
    attribute(back, "disabled", !yes);
    text.textContent = yes ? "Decoded from the sliders." : says;
  }

  function show(blob, error) {
    if (!away) return;
    if (error !== null) text.textContent = `Could not be decoded: ${error.message}`;
    else put(URL.createObjectURL(blob));
  }

  function reset() {
    turned(false);
    put(null);
  }

  function put(next) {
    picture.set(next ?? start);
    if (address !== null) URL.revokeObjectURL(address);
    address = next;
  }
}

function createSlider({ k, values, was, range: [least, most], turned, off }) {
  const name = `z${String(k).padStart(3, "0")}`;
  const id = freshId("latent");
  const [min, max] = [Math.min(least, was), Math.max(most, was)];
  const constant = !(max > min);
  const share = (value) => (constant ? 0.5 : Math.min(1, Math.max(0, (value - min) / (max - min))));
  const oninput = () => {
    values[k] = input.valueAsNumber;
    draw();
    turned();
  };
  const input = element("input", {
    type: "range",
    id,
    min,
    max,
    step: constant ? 1 : (max - min) / STEPS,
    oninput,
  });
  input.disabled = constant || off !== null;
  const figure = element("output", { for: id });
  draw();
  const label = element("label", { for: id, title: constant ? "constant: it says nothing" : null }, name);
  return {
    element: element("div", { class: "latent" }, label, input, figure),
    draw,
    focus: () => input.focus(),
  };

  function draw() {
    const [zero, value] = [share(0), share(values[k])];
    input.value = values[k];
    attribute(input, "aria-valuetext", decimal(values[k]));
    restyle(input, { "--from": Math.min(zero, value), "--to": Math.max(zero, value), "--was": share(was) });
    figure.textContent = constant ? "constant" : decimal(values[k]);
  }
}
