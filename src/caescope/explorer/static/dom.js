/**
 * Makes an element: `element("button", {type: "button", onclick: open}, "Open")`.
 *
 * @param {string} tag
 * @param {object} properties a function under on… becomes a listener; `style` is an object of CSS
 *   properties, variables included; true, false and null set and leave out an attribute; all else is the
 *   attribute of that name
 * @param {...(Node|string|number|null|false|Array)} children null and false are left out, arrays are opened
 * @returns {HTMLElement}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "style") restyle(made, value);
    else attribute(made, name, value);
  }
  made.append(...shown(children));
  return made;
}

/** A push button: `button("Reset", reset, {class: "quiet"})`. */
export function button(text, onclick, properties = {}) {
  return element("button", { type: "button", onclick, ...properties }, text);
}

/** Puts new children in the place of all that `parent` had; children as in `element`. */
export function fill(parent, ...children) {
  parent.replaceChildren(...shown(children));
}

/** Sets an attribute, or takes it away where the value is false, null or undefined. */
export function attribute(node, name, value) {
  if (value === false || value === null || value === undefined) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? "" : value);
}

/** Sets CSS properties and variables: `restyle(bar, {width: "40%", "--to": 0.4})`. */
export function restyle(node, properties) {
  for (const [name, value] of Object.entries(properties)) node.style.setProperty(name, value);
}

/** A name for an element that ARIA or a <label> must refer to; unlike any other on the page. */
export const freshId = (() => {
  let last = 0;
  return (stem) => `${stem}-${(last += 1)}`;
})();

function shown(children) {
  return children.flat(2).filter((child) => child !== null && child !== undefined && child !== false);
}
