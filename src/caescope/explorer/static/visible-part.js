const SIDE = 56; // CSS pixels that a picture has at least, its gap included
const TALLEST = 8e6; // CSS pixels; some browsers lay out nothing taller than 11 million

/**
 * Which part of the grid is in sight; null while the grid is hidden. `offset` and `seen` are pixels of the
 * whole grid, `top` is a pixel of the list, which is `ratio` times lower than the grid where the grid is
 * taller than browsers allow.
 */
export function measure(list, n, edge) {
  const box = list.getBoundingClientRect();
  if (box.width === 0) return null;
  const columns = Math.max(1, Math.floor(box.width / SIDE));
  const pitch = box.width / columns;
  const full = Math.ceil(n / columns) * pitch;
  const height = Math.min(full, TALLEST);
  const scroller = scrollerOf(list);
  const page = scroller === document.scrollingElement;
  const port = page ? { top: 0, bottom: innerHeight } : scroller.getBoundingClientRect();
  const from = Math.max(box.top, port.top, edge, 0);
  const top = from - box.top;
  const seen = Math.min(box.top + height, port.bottom, innerHeight) - from;
  const ratio = full > height ? (full - seen) / (height - seen) : 1;
  return { columns, pitch, height, scroller, top, seen, ratio, offset: top * ratio };
}

function scrollerOf(node) {
  for (let up = node.parentElement; up && up !== document.body; up = up.parentElement) {
    if (/auto|scroll/.test(getComputedStyle(up).overflowY)) return up;
  }
  return document.scrollingElement;
}
