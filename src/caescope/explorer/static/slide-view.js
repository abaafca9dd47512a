const MOST = 8; // CSS pixels that a pixel of level 0 becomes at most

/**
 * What a canvas shows of a slide. It answers to what gestures.js asks of a scatter plot, so coordinates are
 * level-0 pixels with y upwards: the slide's top is at 0, its bottom at −height.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {() => void} onChange
 */
export function createSlideView(canvas, onChange) {
  let view = { x: 0, y: 0, scale: 1 };
  let [width, height] = [1, 1];
  return {
    setSlide,
    fit,
    getView: () => view,
    setView,
    toMap,
    toScreen,
    seen,
    transform,
    centreOn,
    spacing: () => 0,
    data: { hidden: null },
  };

  function setSlide(slide) {
    [width, height] = [slide.width, slide.height];
    fit();
  }

  function whole() {
    return Math.min(canvas.clientWidth / width, canvas.clientHeight / height) || 1;
  }

  function fit() {
    setView({ x: width / 2, y: -height / 2, scale: whole() });
  }

  function setView({ x, y, scale }) {
    view = {
      x: Math.min(width, Math.max(0, x)),
      y: Math.max(-height, Math.min(0, y)),
      scale: Math.min(Math.max(MOST, whole()), Math.max(whole() / 2, scale)),
    };
    onChange();
  }

  function toMap(px, py) {
    return [
      view.x + (px - canvas.clientWidth / 2) / view.scale,
      view.y - (py - canvas.clientHeight / 2) / view.scale,
    ];
  }

  function toScreen(x, y) {
    return [
      canvas.clientWidth / 2 + (x - view.x) * view.scale,
      canvas.clientHeight / 2 - (y - view.y) * view.scale,
    ];
  }

  /** The part of the slide in sight, in level-0 pixels with y downwards, as files and pictures have it. */
  function seen() {
    const [left, top] = toMap(0, 0);
    const [right, bottom] = toMap(canvas.clientWidth, canvas.clientHeight);
    return { left, top: -top, right, bottom: -bottom };
  }

  /** Lets a 2-D context draw in level-0 pixels with y downwards; returns device pixels per level-0 pixel. */
  function transform(context) {
    const dense = canvas.width / canvas.clientWidth;
    const [x, y] = toScreen(0, 0);
    context.setTransform(view.scale * dense, 0, 0, view.scale * dense, x * dense, y * dense);
    return view.scale * dense;
  }

  /** Brings a place into the middle, unless it is in sight already. */
  function centreOn(x, y) {
    const { left, top, right, bottom } = seen();
    if (x < left || x > right || y < top || y > bottom) setView({ ...view, x, y: -y });
  }
}
