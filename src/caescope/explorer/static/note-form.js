import { attribute, button, element, fill, freshId } from "./dom.js";
import { plural, whole } from "./wording.js";

/**
 * A form that notes something about the selection or about the open image.
 *
 * @param {{store, off: string|null}} house off: why nothing can be noted, which hides the form
 * @param {{verb: string, field: HTMLElement, text: string, add(said: string, rows): Promise<boolean>}}
 *   options verb: before what it is about, "Tag"; field: an input; text: of the button; add: says whether it
 *   is saved
 * @returns {HTMLElement}
 */
export function noteForm({ store, off }, { verb, field, text, add }) {
  const about = element("select", { "aria-label": `${verb} which images` });
  const label = element("label", { for: (field.id = freshId("note")) }, `${verb} `);
  const put = button(text, () => {}, { type: "submit" });
  let targets = [];
  store.on(["selection", "image"], ask);
  ask();
  const head = element("div", { class: "line" }, label, about);
  return element(
    "form",
    { onsubmit, hidden: off !== null },
    head,
    element("div", { class: "line" }, field, put),
  );

  function ask() {
    const before = about.value;
    targets = targetsOf(store.get());
    const none = element("option", {}, "nothing: select images, or open one");
    fill(
      about,
      targets.length === 0 ? none : targets.map(({ name, kind }) => element("option", { value: kind }, name)),
    );
    if (targets.some(({ kind }) => kind === before)) about.value = before;
    for (const one of [about, put]) attribute(one, "disabled", targets.length === 0);
  }

  async function onsubmit(event) {
    event.preventDefault();
    const said = field.value.trim();
    const target = targets.find(({ kind }) => kind === about.value);
    if (said !== "" && target && (await add(said, target.rows))) field.value = "";
  }
}

function targetsOf({ selection, image }) {
  const targets = [];
  if (selection.length > 0) {
    targets.push({
      kind: "selection",
      name: `the selection (${plural(selection.length, "image")})`,
      rows: selection,
    });
  }
  if (image !== null)
    targets.push({ kind: "image", name: `image ${whole(image)}, which is open`, rows: [image] });
  return targets;
}
