/** Pictures in place of points once the view is deep: textured quads on the scatter plot's own canvas. */

import { createAtlasPages } from "./atlas-pages.js";
import { NO_CODE, NO_VALUE } from "./colours.js";
import { createProgram, inkOf, uniformsOf } from "./scatter.js";

const MOST_VISIBLE = 1500;               // points in view; with more, all stay points
const SMALLEST = 18, LARGEST = 64;       // CSS pixels, frame included
const APART = 0.6;                       // least distance of two pictures' centres, in sizes
const FRAME = 2;                         // CSS pixels
const PLAIN = 0, FADED = 1, SELECTED = 2, HOVERED = 3;
const FLOATS = 10;                       // per quad: x, y, size, layer; red, green, blue, state; u, v

const VERTEX = `#version 300 es
precision highp float;
layout(location = 0) in vec4 quad;       // centre and size in device pixels, y downwards; layer of the atlas
layout(location = 1) in vec4 look;       // colour of the frame, state
layout(location = 2) in vec2 cell;       // left top corner in the atlas
uniform vec2 canvas;
uniform float ratio;
out vec2 place;                          // device pixels from the quad's centre
flat out vec4 v_quad, v_look;
flat out vec2 v_cell;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0 - 1.0;
  place = corner * (quad.z * 0.5 + 3.0 * ratio);
  vec2 clip = (quad.xy + place) / canvas * 2.0 - 1.0;
  gl_Position = vec4(clip.x, -clip.y, 0.0, 1.0);
  v_quad = quad;
  v_look = look;
  v_cell = cell;
}`;

const FRAGMENT = `#version 300 es
precision highp float;
precision highp sampler2DArray;
uniform sampler2DArray atlas;
uniform float ratio, frame;    // device pixels per CSS pixel, of the frame
uniform float extent, texel;   // of a thumbnail and of a texel in u, v
uniform vec3 ink;
in vec2 place;
flat in vec4 v_quad, v_look;
flat in vec2 v_cell;
out vec4 pixel;
float outside(float halfSide, float radius) {
  vec2 d = abs(place) - halfSide + radius;
  return length(max(d, 0.0)) + min(max(d.x, d.y), 0.0) - radius;
}
float cover(float distance) { return clamp(0.5 - distance, 0.0, 1.0); }
vec3 sampleAt(vec2 at) {
  vec2 uv = v_cell + clamp(at * extent, vec2(0.5 * texel), vec2(extent - 0.5 * texel));
  return texture(atlas, vec3(uv, v_quad.w)).rgb;
}
void main() {
  float halfSide = 0.5 * v_quad.z, radius = 3.0 * ratio, inner = halfSide - frame;
  vec2 at = place / (2.0 * inner) + 0.5, dx = dFdx(at) * 0.25, dy = dFdy(at) * 0.25;
  bool shrunk = 2.0 * inner < extent / texel; // four samples then, so that it stays smooth
  vec3 picture = !shrunk ? sampleAt(at) : 0.25 * (sampleAt(at + dx + dy) + sampleAt(at + dx - dy)
    + sampleAt(at - dx + dy) + sampleAt(at - dx - dy));
  vec3 rgb = mix(v_look.rgb, picture, cover(outside(inner, radius - frame)));
  float ring = v_look.w > 1.5 ? (v_look.w > 2.5 ? 2.0 : 1.5) * ratio : 0.0;
  rgb = mix(ink, rgb, cover(outside(halfSide, radius)) * step(0.1, ring) + 1.0 - step(0.1, ring));
  float alpha = cover(outside(halfSide + ring, radius + ring)) * (v_look.w == 1.0 ? 0.35 : 1.0);
  pixel = vec4(rgb, 1.0) * alpha;
}`;

/**
 * Thumbnails for one map. They follow the scatter plot's view, colours, hidden, selected and hovered rows.
 * @param {object} scatter from createScatter
 * @param {{url: {atlas: (map: number, page: number) => string}}} api
 * @param {object} options
 * @param {Float32Array} options.positions n × 2
 * @param {object} options.places from createPlaces(positions)
 * @param {Uint32Array} options.order row at each position of the atlas
 * @param {{thumb: number, side: number, pages: number}} options.atlas
 * @param {number} options.map number of the map
 * @returns {{update: () => void, dispose: () => void}} update asks for a redraw
 */
export function createThumbnails(scatter, api, { positions, places, order, atlas, map }) {
  const { gl, data } = scatter, perPage = atlas.side * atlas.side;
  const seat = new Uint32Array(order.length); // position in the atlas of each row
  order.forEach((row, position) => (seat[row] = position));
  let gpu = null;

  const pageOf = (row) => Math.floor(seat[row] / perPage);

  function open() {
    const pages = createAtlasPages(gl, atlas, (page) => api.url.atlas(map, page), scatter.draw);
    return { ...createQuads(gl), pages };
  }

  function paint(view) {
    const rows = rowsInView(view);
    if (!rows.length) return;
    gpu ??= open();
    const size = Math.min(Math.max(0.85 * scatter.spacing(), SMALLEST), LARGEST);
    const shown = spread(rows, size / view.scale);
    gpu.pages.want(mostWanted(shown.map(pageOf)));
    paintQuads(shown.filter((row) => gpu.pages.layerOf(pageOf(row)) >= 0), size);
  }

  /** Rows that are visible and not hidden, none if they are too many; selected ones first. */
  function rowsInView(view) {
    const w = (gl.canvas.clientWidth + LARGEST) / 2 / view.scale;
    const h = (gl.canvas.clientHeight + LARGEST) / 2 / view.scale;
    const box = [view.x - w, view.y - h, view.x + w, view.y + h];
    if (places.countInRectangle(...box) > MOST_VISIBLE * (data.hidden ? 20 : 2)) return [];
    let rows = Array.from(places.inRectangle(...box));
    if (data.hidden) rows = rows.filter((row) => !data.hidden[row]);
    if (rows.length > MOST_VISIBLE) return [];
    if (!data.selected) return rows;
    return [...rows.filter((row) => data.selected[row]), ...rows.filter((row) => !data.selected[row])];
  }

  /** The rows whose pictures do not hide an earlier one, the hovered row last. Panning keeps the choice. */
  function spread(rows, size) {
    const apart = APART * size, kept = createClearing(apart);
    const shown = rows.filter((row) => kept.add(positions[2 * row], positions[2 * row + 1]));
    return rows.includes(data.hover) ? [...shown.filter((row) => row !== data.hover), data.hover] : shown;
  }

  function quadsOf(rows, size) {
    const ratio = devicePixelRatio, quads = new Float32Array(rows.length * FLOATS);
    rows.forEach((row, i) => {
      const [x, y] = scatter.toScreen(positions[2 * row], positions[2 * row + 1]);
      const cell = seat[row] % perPage, state = stateOf(row);
      const side = state === HOVERED ? Math.min(1.5 * size, size + 24) : size;
      const corner = [(cell % atlas.side) / atlas.side, Math.floor(cell / atlas.side) / atlas.side];
      const quad = [x * ratio, y * ratio, side * ratio, gpu.pages.layerOf(pageOf(row))];
      quads.set([...quad, ...frameOf(data, row), state, ...corner], i * FLOATS);
    });
    return quads;
  }

  function stateOf(row) {
    if (row === data.hover) return HOVERED;
    return data.selected?.[row] ? SELECTED : data.fades ? FADED : PLAIN;
  }

  function paintQuads(rows, size) {
    const { set } = gpu;
    gl.useProgram(gpu.program);
    gl.bindVertexArray(gpu.array);
    gl.bindBuffer(gl.ARRAY_BUFFER, gpu.buffer);
    gl.bufferData(gl.ARRAY_BUFFER, quadsOf(rows, size), gl.DYNAMIC_DRAW);
    gpu.pages.bind();
    gl.uniform2f(set.canvas, gl.canvas.width, gl.canvas.height);
    gl.uniform1f(set.ratio, devicePixelRatio);
    gl.uniform1f(set.frame, FRAME * devicePixelRatio);
    gl.uniform1f(set.extent, 1 / atlas.side);
    gl.uniform1f(set.texel, 1 / (atlas.side * atlas.thumb));
    gl.uniform3fv(set.ink, inkOf(gl.canvas));
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, rows.length);
    gl.bindVertexArray(null);
  }

  function close() {
    gpu?.pages.free();
    gpu?.free();
    gpu = null; // made anew when next needed
  }

  gl.canvas.addEventListener("webglcontextlost", close);
  const forget = scatter.onDraw(paint);
  scatter.draw();

  function dispose() {
    gl.canvas.removeEventListener("webglcontextlost", close);
    forget();
    close();
    scatter.draw();
  }

  return { update: scatter.draw, dispose };
}

/** Places at least `apart` from each other: add(x, y) says whether there was room. */
function createClearing(apart) {
  const taken = new Map(); // key of a cell → the places in it
  const keyOf = (column, line) => column * 67108864 + line;
  const isFar = (x0, y0, x1, y1) => (x1 - x0) ** 2 + (y1 - y0) ** 2 >= apart ** 2;
  const isFree = (x, y, key) => (taken.get(key) ?? []).every((other) => isFar(x, y, ...other));

  function add(x, y) {
    const column = Math.floor(x / apart), line = Math.floor(y / apart);
    for (let c = column - 1; c <= column + 1; c++) {
      for (let l = line - 1; l <= line + 1; l++) if (!isFree(x, y, keyOf(c, l))) return false;
    }
    const own = keyOf(column, line);
    taken.set(own, [...(taken.get(own) ?? []), [x, y]]);
    return true;
  }

  return { add };
}

/** Each page once, the one with most rows first. */
function mostWanted(pages) {
  const counts = new Map();
  for (const page of pages) counts.set(page, (counts.get(page) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]).map(([page]) => page);
}

/** Colour of a row's frame, 0–1. */
function frameOf({ colours, palette }, row) {
  const code = colours ? colours[row] : 0;
  const rgb = code === NO_CODE ? NO_VALUE : palette.subarray(3 * code, 3 * code + 3);
  return Array.from(rgb, (v) => v / 255);
}

function createQuads(gl) {
  const program = createProgram(gl, VERTEX, FRAGMENT);
  const array = gl.createVertexArray(), buffer = gl.createBuffer();
  const set = uniformsOf(gl, program, ["canvas", "ratio", "frame", "extent", "texel", "ink"]);
  gl.bindVertexArray(array);
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  [[4, 0], [4, 4], [2, 8]].forEach(([width, from], location) => {
    gl.enableVertexAttribArray(location);
    gl.vertexAttribPointer(location, width, gl.FLOAT, false, FLOATS * 4, from * 4);
    gl.vertexAttribDivisor(location, 1);
  });
  gl.bindVertexArray(null);
  const free = () => (gl.deleteProgram(program), gl.deleteVertexArray(array), gl.deleteBuffer(buffer));
  return { program, array, buffer, set, free };
}
