import { attribute, element, restyle } from "./dom.js";
import { createPicture } from "./picture.js";
import { measure } from "./visible-part.js";
import { whole } from "./wording.js";

const PAUSE = 60; // ms that a picture must be in sight before it is fetched: not those that fly past

/**
 * A grid of as many pictures as there are rows, of which only those in sight exist. It scrolls with whatever
 * scrolls around it. Each picture is a button; one of them is in the tab order, arrow keys move from there.
 *
 * @param {{address(row: number): string|null, nameOf(row: number): Promise<string>, label: string,
 *   edge(): number, onOpen(row: number): void, onHover(row: number|null): void,
 *   onFound(row: number, found: boolean): void}} options edge: CSS pixel of the window under which pictures
 *   are in sight
 * @returns {{element: HTMLElement, show(rows: Uint32Array): void, mark(state: {image, hover}): void,
 *   dispose(): void}}
 */
export function createPictureGrid({ address, nameOf, label, edge, onOpen, onHover, onFound }) {
  const list = element("div", {
    class: "picture-grid",
    role: "list",
    "aria-label": label,
    onclick: (event) => withCell(event, ({ row }) => onOpen(row)),
    onkeydown: move,
    onfocusin: (event) => withCell(event, look),
    onpointerover: (event) =>
      withCell(event, (cell) => {
        nameCell(cell);
        if (event.pointerType !== "touch") onHover(cell.row);
      }),
    onpointerleave: () => onHover(null),
  });
  const cells = new Map(); // place in the grid → {index, row, element, button, stop}
  let rows = new Uint32Array(0);
  let marks = { image: null, hover: null };
  let current = 0;
  let layout = null;
  let waiting = 0;

  const resized = new ResizeObserver(schedule);
  resized.observe(list);
  document.addEventListener("scroll", schedule, { capture: true, passive: true });
  window.addEventListener("resize", schedule);
  return { element: list, show, mark, dispose };

  function show(next) {
    rows = next;
    current = 0;
    for (const index of [...cells.keys()]) drop(index);
    draw();
  }

  function mark({ image, hover }) {
    marks = { image, hover };
    for (const cell of cells.values()) paint(cell);
  }

  function schedule() {
    waiting ||= requestAnimationFrame(draw);
  }

  function draw() {
    cancelAnimationFrame(waiting);
    waiting = 0;
    layout = measure(list, rows.length, edge());
    if (layout === null) return;
    restyle(list, { height: `${layout.height}px`, "--side": `${layout.pitch}px` });
    const { columns, pitch, offset, seen } = layout;
    const first = Math.max(0, Math.floor(offset / pitch) - 1) * columns;
    const end = seen <= 0 ? first : Math.min(rows.length, (Math.ceil((offset + seen) / pitch) + 1) * columns);
    const wanted = (index) => (index >= first && index < end) || (index === current && index < rows.length);
    for (const index of [...cells.keys()]) if (!wanted(index)) drop(index);
    for (let index = first; index < end; index += 1) place(index);
    if (rows.length > 0) place(current);
  }

  function place(index) {
    const cell = cells.get(index) ?? add(index);
    const { columns, pitch, offset, top } = layout;
    const y = top + Math.floor(index / columns) * pitch - offset;
    restyle(cell.element, { transform: `translate(${(index % columns) * pitch}px, ${y}px)` });
  }

  function add(index) {
    const row = rows[index];
    const picture = createPicture(null, {
      onmissing: () => onFound(row, false),
      onfound: () => onFound(row, true),
    });
    const button = element(
      "button",
      { type: "button", "aria-label": `image ${whole(row)}`, tabindex: index === current ? 0 : -1 },
      picture.element,
    );
    const item = element(
      "div",
      { role: "listitem", "aria-setsize": rows.length, "aria-posinset": index + 1 },
      button,
    );
    item.dataset.index = index;
    const start = setTimeout(() => address(row) !== null && picture.set(address(row)), PAUSE);
    const stop = () => {
      clearTimeout(start);
      picture.stop();
    };
    const cell = { index, row, element: item, button, stop, named: false };
    cells.set(index, cell);
    paint(cell);
    list.append(item);
    return cell;
  }

  function drop(index) {
    const { element: item, stop } = cells.get(index);
    stop();
    item.remove();
    cells.delete(index);
  }

  function paint({ row, button }) {
    attribute(button, "aria-current", row === marks.image && "true");
    button.classList.toggle("hovered", row === marks.hover);
  }

  /** Ids come in large blocks, so only those are asked for that somebody looks at. */
  async function nameCell(cell) {
    if (cell.named) return;
    cell.named = true;
    const name = await nameOf(cell.row).catch(() => null);
    for (const attr of name === null ? [] : ["aria-label", "title"]) attribute(cell.button, attr, name);
  }

  function withCell(event, act) {
    const item = event.target.closest("[role=listitem]");
    const cell = item && cells.get(Number(item.dataset.index));
    if (cell) act(cell);
  }

  function look(cell) {
    makeCurrent(cell.index);
    nameCell(cell);
  }

  function makeCurrent(index) {
    const before = cells.get(current);
    if (before) before.button.tabIndex = -1;
    current = index;
    cells.get(index).button.tabIndex = 0;
  }

  function move(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || layout === null || rows.length === 0) return;
    const { columns, pitch, seen } = layout;
    const page = columns * Math.max(1, Math.floor(seen / pitch));
    const steps = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -columns,
      ArrowDown: columns,
      PageUp: -page,
      PageDown: page,
      Home: -current,
      End: rows.length - 1 - current,
    };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const next = current + steps[event.key];
    const far = event.key.startsWith("Page");
    if (next >= 0 && next < rows.length) go(next);
    else if (far) go(next < 0 ? 0 : rows.length - 1);
  }

  function go(index) {
    reveal(index);
    draw();
    if (!cells.has(index)) place(index);
    makeCurrent(index);
    cells.get(index).button.focus({ preventScroll: true });
  }

  function reveal(index) {
    const { columns, pitch, offset, seen, top, ratio, scroller } = layout;
    const y = Math.floor(index / columns) * pitch;
    if (y < offset) scroller.scrollTop += y / ratio - top;
    else if (y + pitch > offset + seen) scroller.scrollTop += (y + pitch - offset - seen) / ratio;
  }

  function dispose() {
    resized.disconnect();
    document.removeEventListener("scroll", schedule, { capture: true });
    window.removeEventListener("resize", schedule);
  }
}
