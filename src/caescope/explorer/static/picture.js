import { element } from "./dom.js";

/**
 * A picture that says so when it cannot be found, and shows its pixels when it is enlarged.
 *
 * @param {string|null} address null shows an empty frame
 * @param {{alt?: string, onmissing?: () => void, onfound?: () => void}} options
 * @returns {{element: HTMLElement, set(address: string): void, stop(): void}} stop ends a download that
 *   nobody waits for
 */
export function createPicture(address, { alt = "", onmissing, onfound } = {}) {
  const image = element("img", { alt, decoding: "async", draggable: "false", onload, onerror });
  const frame = element("span", { class: "picture" }, image);
  if (address !== null) set(address);
  return { element: frame, set, stop };

  function onload() {
    frame.classList.remove("missing");
    frame.classList.toggle("enlarged", image.naturalWidth < image.clientWidth);
    onfound?.();
  }

  function onerror() {
    frame.classList.add("missing");
    onmissing?.();
  }

  function set(next) {
    image.src = next;
  }

  function stop() {
    if (!image.complete) image.removeAttribute("src");
  }
}
