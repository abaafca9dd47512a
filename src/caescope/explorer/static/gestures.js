/** Mouse, touch and keys on the map: pan, zoom, hover, click, rectangle and lasso. */

const CLICK = 5;           // CSS pixels that a press may move and still be a click
const STEP = 3;            // CSS pixels between points of a lasso
const PAN = 80;            // CSS pixels per arrow key
const SVG = "http://www.w3.org/2000/svg";
const KEYS = {
  ArrowLeft: [-PAN, 0, 1], ArrowRight: [PAN, 0, 1], ArrowUp: [0, -PAN, 1], ArrowDown: [0, PAN, 1],
  "+": [0, 0, 1.4], "=": [0, 0, 1.4], "-": [0, 0, 1 / 1.4], _: [0, 0, 1 / 1.4],
};

/**
 * @param {HTMLCanvasElement} canvas
 * @param {object} options
 * @param {object} options.scatter from createScatter
 * @param {object} options.places from createPlaces
 * @param {() => "pan"|"rectangle"|"lasso"} options.getTool
 * @param {(row: number|null) => void} options.onHover only when it changes
 * @param {(row: number, event: PointerEvent) => void} options.onClick row −1: beside all points
 * @param {(points: [number, number][], event: PointerEvent) => void} options.onPolygon map coordinates
 * @param {(view: {x: number, y: number, scale: number}) => void} options.onView after each change by hand
 * @returns {{setPlaces: (places: object) => void, dispose: () => void}}
 */
export function attachGestures(canvas, { scatter, places, getTool, onHover, onClick, onPolygon, onView }) {
  const pointers = new Map(), outline = createOutline(canvas);
  let press = null, hover = null; // press: {kind, start, moved, points} while a pointer is down

  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  /** Moves so that what was under `from` lies under `to`, `factor` times as large. */
  function move(from, to, factor = 1) {
    const [x, y] = scatter.toMap(...from), { scale } = scatter.getView();
    scatter.setView({ ...scatter.getView(), scale: scale * factor });
    const view = scatter.getView(), [nx, ny] = scatter.toMap(...to);
    scatter.setView({ ...view, x: view.x + x - nx, y: view.y + y - ny });
    onView(scatter.getView());
  }

  function rowAt([px, py]) {
    const reach = Math.min(Math.max(scatter.spacing() / 2, 8), 32) / scatter.getView().scale;
    return places.nearest(...scatter.toMap(px, py), reach, scatter.data.hidden);
  }

  function setHover(row) {
    if (row === hover) return;
    hover = row;
    onHover(row);
  }

  function showCursor() {
    const drawing = getTool() !== "pan";
    const idle = drawing ? "crosshair" : hover !== null ? "pointer" : "grab";
    canvas.style.cursor = press?.kind === "pan" ? "grabbing" : idle;
  }

  function onDown(event) {
    if (event.button > 0) return;
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    if (pointers.size > 1) {
      press = { kind: "pinch" };
      outline.clear();
    } else {
      const tool = event.shiftKey ? "lasso" : getTool();
      press = { kind: tool, start: at(event), moved: false, points: [at(event)] };
    }
  }

  function onMove(event) {
    const before = pointers.get(event.pointerId), now = at(event);
    if (!before) {
      if (event.pointerType !== "touch") setHover(orNull(rowAt(now)));
    } else if (press?.kind === "pinch") {
      pinch(event.pointerId, before, now);
    } else if (press) {
      drag(before, now);
    }
    if (before) pointers.set(event.pointerId, now);
    showCursor();
  }

  function pinch(id, before, now) {
    const other = [...pointers].find(([key]) => key !== id)?.[1];
    if (!other) return;
    const factor = distance(now, other) / Math.max(distance(before, other), 1);
    move(middle(before, other), middle(now, other), factor);
  }

  function drag(before, now) {
    if (!press.moved && distance(press.start, now) < CLICK) return;
    if (!press.moved && press.kind === "pan") before = press.start;
    press.moved = true;
    setHover(null);
    if (press.kind === "pan") return move(before, now);
    if (press.kind === "rectangle") press.points = corners(press.start, now);
    else if (distance(press.points.at(-1), now) >= STEP) press.points.push(now);
    outline.show(press.points);
  }

  function onUp(event) {
    if (!pointers.delete(event.pointerId) || pointers.size) return;
    const done = press;
    cancel();
    if (!done || done.kind === "pinch") return;
    const drawn = done.kind !== "pan" && done.points.length > 2;
    if (!done.moved) onClick(rowAt(at(event)), event);
    else if (drawn) onPolygon(done.points.map((point) => scatter.toMap(...point)), event);
  }

  function cancel() {
    press = null;
    outline.clear();
    showCursor();
  }

  function onCancel(event) {
    pointers.delete(event.pointerId);
    cancel();
  }

  function onLeave() {
    if (!pointers.size) setHover(null);
  }

  function onWheel(event) {
    event.preventDefault();
    if (press && press.kind !== "pan") return; // a lasso is drawn on the view as it is
    const pixels = event.deltaY * [1, 16, 400][event.deltaMode];
    const speed = event.ctrlKey ? 0.01 : 0.002; // a pinch on a touch pad comes as small wheel turns with ctrl
    move(at(event), at(event), Math.exp(-Math.min(Math.max(pixels, -300), 300) * speed));
  }

  function onDoubleClick(event) {
    event.preventDefault();
    move(at(event), at(event), event.shiftKey ? 0.5 : 2);
  }

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const centre = [canvas.clientWidth / 2, canvas.clientHeight / 2], key = KEYS[event.key];
    if (event.key === "Escape" && press) cancel();
    else if (event.key === "0") scatter.fit(), onView(scatter.getView());
    else if (key) move(centre, [centre[0] - key[0], centre[1] - key[1]], key[2]);
    else return;
    event.preventDefault();
  }

  const listening = new AbortController();
  const listen = (name, listener) =>
    canvas.addEventListener(name, listener, { signal: listening.signal, passive: false });
  listen("pointerdown", onDown);
  listen("pointermove", onMove);
  listen("pointerup", onUp);
  listen("pointercancel", onCancel);
  listen("pointerleave", onLeave);
  listen("wheel", onWheel);
  listen("dblclick", onDoubleClick);
  listen("keydown", onKey);
  if (!canvas.hasAttribute("tabindex")) canvas.tabIndex = 0;
  canvas.style.touchAction = "none";
  showCursor();

  return {
    setPlaces: (next) => ((places = next), setHover(null)),
    dispose: () => (listening.abort(), outline.remove()),
  };
}

const distance = ([x0, y0], [x1, y1]) => Math.hypot(x1 - x0, y1 - y0);
const middle = ([x0, y0], [x1, y1]) => [(x0 + x1) / 2, (y0 + y1) / 2];
const corners = ([x0, y0], [x1, y1]) => [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
const orNull = (row) => (row < 0 ? null : row);

/** A layer over the canvas that shows the polygon while it is drawn. */
function createOutline(canvas) {
  const svg = document.createElementNS(SVG, "svg"), path = document.createElementNS(SVG, "path");
  svg.setAttribute("aria-hidden", "true");
  Object.assign(svg.style, { position: "absolute", pointerEvents: "none", overflow: "hidden" });
  svg.style.color = "var(--accent, #3f90da)";
  const look = { fill: "currentColor", "fill-opacity": 0.12, "fill-rule": "evenodd",
    stroke: "currentColor", "stroke-width": 1.5, "stroke-linejoin": "round" };
  for (const [name, value] of Object.entries(look)) path.setAttribute(name, value);
  svg.append(path);
  canvas.after(svg);

  function show(points) {
    const { offsetLeft, offsetTop, clientWidth, clientHeight } = canvas;
    Object.assign(svg.style, { left: `${offsetLeft}px`, top: `${offsetTop}px`,
      width: `${clientWidth}px`, height: `${clientHeight}px` });
    path.setAttribute("d", `M${points.map((p) => p.join(" ")).join("L")}Z`);
  }

  return { show, clear: () => path.removeAttribute("d"), remove: () => svg.remove() };
}
