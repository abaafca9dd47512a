import { attribute, button, element, freshId } from "./dom.js";

/**
 * The chooser of slides and the tools under it.
 *
 * @param {{slides: {name: string}[], view, onSlide(s: number): void, onAll(): void, onStrength(): void}}
 *   options view: from createSlideView; onAll: select all tiles in view
 * @returns {{element: HTMLElement, tool(): "pan"|"rectangle", strength(): number, show(s: number): void}}
 *   strength: how little of the slide shows through the tiles, 0 to 1
 */
export function createSlideTools({ slides, view, onSlide, onAll, onStrength }) {
  const chooser = element(
    "select",
    { "aria-label": "Slide", onchange: () => onSlide(Number(chooser.value)) },
    slides.map((slide, s) => element("option", { value: s }, slide.name)),
  );
  const marking = button("Rectangle", () => press(marking.ariaPressed !== "true"), {
    "aria-pressed": "false",
    title: "Dragging selects tiles instead of moving the slide",
  });
  const press = (yes) => attribute(marking, "aria-pressed", String(yes));
  const id = freshId("strength");
  const range = { type: "range", min: 0, max: 1, step: 0.05, value: 0.5 };
  const strength = element("input", { ...range, id, oninput: onStrength });
  const zoom = (factor) => view.setView({ ...view.getView(), scale: view.getView().scale * factor });
  const tools = element(
    "div",
    { class: "slide-tools" },
    marking,
    button("Select in view", onAll),
    button("−", () => zoom(1 / 1.5), { "aria-label": "Zoom out" }),
    button("+", () => zoom(1.5), { "aria-label": "Zoom in" }),
    button("Fit", view.fit),
    element("span", { class: "strength" }, element("label", { for: id }, "Colours"), strength),
  );
  return {
    element: element("div", { class: "slide-bar" }, chooser, tools),
    tool: () => (marking.ariaPressed === "true" ? "rectangle" : "pan"),
    strength: () => strength.valueAsNumber,
    show: (s) => (chooser.value = String(s)),
  };
}
