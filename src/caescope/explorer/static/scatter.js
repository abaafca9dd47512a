/** Points on a 2-D map, drawn with WebGL 2. Imports nothing, so that the report can embed this one file. */

const HIDDEN = 1, SELECTED = 2;              // bits of a point's flags
const REST = 0, CHOSEN = 1, HOVERED = 2;     // roles in which points are drawn
const MARGIN = 24;                           // CSS pixels around the points when they are fitted
const DEEPEST = 1e5, WIDEST = 0.1;           // limits of the zoom, as multiples of the fitted scale
const SLOW = 60, QUICK = 25;                 // milliseconds per frame: fewer points while moving, more again
const REST_AFTER = 150;                      // milliseconds without movement until all points are drawn
const FEWEST = 20000;                        // points drawn while moving, however slow the machine

const VERTEX = `#version 300 es
precision highp float;
layout(location = 0) in vec2 place;
layout(location = 1) in uint colour;
layout(location = 2) in uint flags;
uniform vec4 centre;       // high and low part: float32 alone would jitter when zoomed in
uniform vec2 stretch;      // clip units per map unit
uniform float size, alpha, fade;
uniform int role;
uniform sampler2D palette;
flat out vec4 tint;
const vec3 GREY = vec3(154.0, 160.0, 166.0) / 255.0;
void main() {
  bool absent = (flags & 1u) != 0u || (role == 0 && (flags & 2u) != 0u) || isnan(place.x + place.y);
  vec2 clip = ((place - centre.xy) - centre.zw) * stretch;
  gl_Position = absent ? vec4(2.0, 2.0, 2.0, 1.0) : vec4(clip, 0.0, 1.0);
  gl_PointSize = size + 1.0;
  int i = int(colour);
  vec3 rgb = i == 65535 ? GREY : texelFetch(palette, ivec2(i & 255, i >> 8), 0).rgb;
  tint = vec4(mix(rgb, GREY, 0.8 * fade), alpha * (1.0 - 0.75 * fade));
}`;

const FRAGMENT = `#version 300 es
precision highp float;
uniform float size, ring;  // device pixels
uniform vec3 ink;
flat in vec4 tint;
out vec4 pixel;
void main() {
  float inwards = 0.5 * size - length(gl_PointCoord - 0.5) * (size + 1.0);
  float cover = clamp(inwards + 0.5, 0.0, 1.0);
  vec3 rgb = mix(tint.rgb, ink, clamp(ring - inwards, 0.0, 1.0) * step(0.01, ring));
  pixel = vec4(rgb, 1.0) * tint.a * cover;
}`;

/**
 * A scatter plot on a canvas whose CSS gives its size. Setters ask for a redraw themselves. y points upwards.
 * A view is {x, y, scale}: map coordinates at the canvas' centre, and CSS pixels per map unit.
 * The points are drawn into a layer that is kept, so that hovering draws one point only. On a slow machine a
 * fair sample of them is drawn while the view moves, and all once it rests.
 * @param {HTMLCanvasElement} canvas the ink of outlines is its CSS color
 * @throws {Error} when the browser has no WebGL 2
 */
export function createScatter(canvas) {
  const wishes = { antialias: false, depth: false, powerPreference: "high-performance" };
  const gl = canvas.getContext("webgl2", wishes);
  if (!gl) {
    throw new Error("The map needs WebGL 2, which this browser does not offer. "
      + "Use a recent browser with hardware acceleration turned on.");
  }
  const data = { positions: new Float32Array(0), colours: null, palette: new Uint8Array([63, 144, 218]),
    hidden: null, selected: null, fades: false, hover: null };
  const view = { x: 0, y: 0, scale: 1 };
  const listeners = new Set(), pace = createPace(gl);
  let n = 0, step = 1, extent = { bounds: [0, 0, 1, 1], spacing: 1 };
  let gpu = createBuffers(gl), chosen = 0, toFit = null;
  let frame = 0, asked = false, resting = 0; // resting: a timer while the view moves
  let stale = true, partial = false;         // the layer of points: to be drawn again? only a sample?

  const width = () => canvas.clientWidth, height = () => canvas.clientHeight;

  function setPositions(positions) {
    data.positions = positions;
    if (n !== positions.length / 2) Object.assign(data, { colours: null, hidden: null, selected: null, fades: false });
    if (data.hover >= positions.length / 2) data.hover = null;
    n = positions.length / 2;
    step = fairStep(n);
    extent = measure(positions);
    upload();
  }

  /** Codes (65535: no value; other unsigned types keep their low 16 bits), and k × 3 red, green, blue. */
  function setColours(codes, palette) {
    const colours = codes instanceof Uint16Array ? codes : Uint16Array.from(codes);
    Object.assign(data, { colours, palette });
    fill(gl.ARRAY_BUFFER, gpu.colours, shuffled(colours, 1, step));
    gpu.setPalette(palette);
    redraw();
  }

  function setFlags(patch) {
    Object.assign(data, patch);
    const flags = new Uint8Array(n);
    for (let row = 0, slot = 0; row < n; row++, slot = (slot + step) % n) {
      flags[slot] = (data.hidden?.[row] ? HIDDEN : 0) | (data.selected?.[row] ? SELECTED : 0);
    }
    fill(gl.ARRAY_BUFFER, gpu.flags, flags);
    const slots = new Uint32Array(data.selected ? n : 0);
    chosen = 0;
    for (let slot = 0; slot < slots.length; slot++) if (flags[slot] === SELECTED) slots[chosen++] = slot;
    fill(gl.ELEMENT_ARRAY_BUFFER, gpu.chosen, slots.subarray(0, chosen));
    redraw();
  }

  function upload() {
    fill(gl.ARRAY_BUFFER, gpu.positions, shuffled(data.positions, 2, step));
    setColours(data.colours ?? new Uint16Array(n), data.palette);
    setFlags({});
  }

  function fill(target, buffer, values) {
    gl.bindVertexArray(gpu.points);
    gl.bindBuffer(target, buffer);
    gl.bufferData(target, values, gl.STATIC_DRAW);
    gl.bindVertexArray(null);
  }

  function fittedScale([x0, y0, x1, y1]) {
    const room = [width() - 2 * MARGIN, height() - 2 * MARGIN].map((side) => Math.max(side, 1));
    return Math.min(room[0] / (x1 - x0 || 1), room[1] / (y1 - y0 || 1));
  }

  function setView({ x, y, scale }) {
    if (![x, y, scale].every(Number.isFinite)) return;
    const whole = fittedScale(extent.bounds);
    Object.assign(view, { x, y, scale: Math.min(Math.max(scale, whole * WIDEST), whole * DEEPEST) });
    toFit = null;
    clearTimeout(resting);
    resting = setTimeout(rest, REST_AFTER);
    redraw();
  }

  function fit(bounds = extent.bounds) {
    const [x0, y0, x1, y1] = bounds;
    setView({ x: (x0 + x1) / 2, y: (y0 + y1) / 2, scale: fittedScale(bounds) });
    if (!width() || !height()) toFit = bounds; // not laid out yet: fit when the size is known
  }

  const toScreen = (x, y) =>
    [(x - view.x) * view.scale + width() / 2, height() / 2 - (y - view.y) * view.scale];
  const toMap = (px, py) =>
    [(px - width() / 2) / view.scale + view.x, (height() / 2 - py) / view.scale + view.y];
  const spacing = () => extent.spacing * view.scale;

  /** Follows the size of the canvas on the screen. @returns {boolean} false while it has none */
  function followSize() {
    const w = Math.round(width() * devicePixelRatio), h = Math.round(height() * devicePixelRatio);
    if (!w || !h || (canvas.width === w && canvas.height === h && gpu.isLayer(w, h))) return w * h > 0;
    Object.assign(canvas, { width: w, height: h });
    gpu.setLayer(w, h);
    stale = true;
    if (toFit) fit(toFit);
    return true;
  }

  /** Paints; if their layer is stale, so many of the points. @returns {boolean} was it stale? */
  function paint(most = n) {
    if (!followSize()) return false;
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.bindFramebuffer(gl.DRAW_FRAMEBUFFER, gpu.layer);
    const renewed = stale;
    if (stale) paintPoints(most);
    gl.bindFramebuffer(gl.DRAW_FRAMEBUFFER, null);
    gl.clear(gl.COLOR_BUFFER_BIT); // else Chromium clears at the first point drawn, after the layer was copied
    gl.bindFramebuffer(gl.READ_FRAMEBUFFER, gpu.layer);
    const all = [0, 0, canvas.width, canvas.height];
    gl.blitFramebuffer(...all, ...all, gl.COLOR_BUFFER_BIT, gl.NEAREST);
    gl.bindFramebuffer(gl.READ_FRAMEBUFFER, null);
    const slot = data.hover === null ? -1 : (data.hover * step) % n;
    if (slot >= 0) paintAs(HOVERED, () => gl.drawArrays(gl.POINTS, slot, 1));
    for (const listener of listeners) listener({ ...view });
    return renewed;
  }

  function paintPoints(most) {
    stale = false;
    partial = most < n;
    gl.clear(gl.COLOR_BUFFER_BIT);
    if (n) paintAs(REST, () => gl.drawArrays(gl.POINTS, 0, most));
    const first = Math.ceil(chosen * (most / n)); // in fair order as well: the first part is a fair sample
    if (chosen) paintAs(CHOSEN, () => gl.drawElements(gl.POINTS, first, gl.UNSIGNED_INT, 0));
  }

  function paintAs(role, drawPoints) {
    const { set } = gpu, high = [Math.fround(view.x), Math.fround(view.y)], size = pointSize(spacing());
    const look = [
      { grow: 0, ring: 0, alpha: pointAlpha(spacing()), fade: data.fades ? 1 : 0 },
      { grow: 1, ring: Math.min(Math.max(size / 4 - 0.5, 0), 1.5), alpha: 1, fade: 0 },
      { grow: 7, ring: 2, alpha: 1, fade: 0 },
    ][role];
    gl.useProgram(gpu.program);
    gl.bindVertexArray(gpu.points);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, gpu.palette);
    gl.uniform4f(set.centre, ...high, view.x - high[0], view.y - high[1]);
    gl.uniform2f(set.stretch, (2 * view.scale) / width(), (2 * view.scale) / height());
    gl.uniform3fv(set.ink, inkOf(canvas));
    gl.uniform1i(set.role, role);
    gl.uniform1f(set.size, (size + look.grow) * devicePixelRatio);
    gl.uniform1f(set.ring, look.ring * devicePixelRatio);
    gl.uniform1f(set.alpha, look.alpha);
    gl.uniform1f(set.fade, look.fade);
    drawPoints();
    gl.bindVertexArray(null);
  }

  /** Asks for one redraw in the next animation frame in which the GPU is free. */
  function draw() {
    asked = true;
    frame ||= requestAnimationFrame(turn);
  }

  function redraw() {
    stale = true;
    draw();
  }

  function rest() {
    resting = 0;
    if (partial) redraw();
  }

  function turn() {
    frame = 0;
    if (pace.busy()) {
      frame = requestAnimationFrame(turn); // a queue of frames would only lag behind
    } else if (asked) {
      asked = false;
      const count = resting ? Math.min(n, pace.most()) : n;
      if (!paint(count)) return;
      pace.begin(count);
      frame ||= requestAnimationFrame(turn);
    }
  }

  /** Draws at once and waits until the picture is there. @returns {number} milliseconds */
  function drawNow() {
    const start = performance.now();
    stale = true;
    paint();
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
    return performance.now() - start;
  }

  /** The picture as PNG, on a transparent background. @returns {Promise<Blob>} */
  function snapshot() {
    stale = true;
    paint();
    return new Promise((resolve, reject) => canvas.toBlob((blob) => {
      if (blob) resolve(blob);
      else reject(new Error("The browser could not turn the map into a picture."));
    }));
  }

  function onLost(event) {
    event.preventDefault(); // says that we want the context back
  }

  function onRestored() {
    gpu = createBuffers(gl);
    pace.forget();
    upload();
  }

  function onDraw(listener) {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  const watch = new AbortController(), signal = { signal: watch.signal }, sizes = new ResizeObserver(draw);
  sizes.observe(canvas);
  addEventListener("resize", draw, signal); // also when devicePixelRatio changes
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw, signal);
  canvas.addEventListener("webglcontextlost", onLost, signal);
  canvas.addEventListener("webglcontextrestored", onRestored, signal);

  function dispose() {
    watch.abort();
    sizes.disconnect();
    cancelAnimationFrame(frame);
    clearTimeout(resting);
    listeners.clear();
    gpu.free();
  }

  return { gl, data, setPositions, setColours, setView, fit, toScreen, toMap, spacing, draw, drawNow,
    snapshot, onDraw, dispose,
    resize: draw, // the next frame finds out; a canvas cleared before would flicker
    setHidden: (hidden) => setFlags({ hidden }),
    setSelected: (selected, fades = true) => setFlags({ selected, fades: fades && selected !== null }),
    setHover: (hover) => ((data.hover = hover), draw()),
    getView: () => ({ ...view }) };
}

/** Finds out how many points this machine draws in a fluent frame. */
function createPace(gl) {
  let fence = null, start = 0, count = 0, most = Infinity;

  function begin(points) {
    fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    start = performance.now();
    count = points;
  }

  /** Is the GPU still drawing the last frame? If not, its duration has set the pace. */
  function busy() {
    if (!fence || gl.isContextLost()) return false;
    if (gl.getSyncParameter(fence, gl.SYNC_STATUS) !== gl.SIGNALED) return true;
    gl.deleteSync(fence);
    fence = null;
    const duration = performance.now() - start;
    if (duration > SLOW) most = Math.max(FEWEST, Math.round((count * 0.7 * SLOW) / duration));
    else if (duration < QUICK && count >= most) most = 2 * count;
    return false;
  }

  return { begin, busy, most: () => most, forget: () => (fence = null) };
}

/** Compiles a program. @throws {Error} with the compiler's words */
export function createProgram(gl, vertex, fragment) {
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost()) {
      throw new Error(`A shader does not compile: ${gl.getShaderInfoLog(shader)}`);
    }
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
    throw new Error(`A program does not link: ${gl.getProgramInfoLog(program)}`);
  }
  return program;
}

/** Locations of a program's uniforms by name. */
export function uniformsOf(gl, program, names) {
  return Object.fromEntries(names.map((name) => [name, gl.getUniformLocation(program, name)]));
}

/** CSS color of an element: red, green, blue in 0–1. */
export function inkOf(element) {
  return getComputedStyle(element).color.match(/[\d.]+/g).slice(0, 3).map((v) => v / 255);
}

function createBuffers(gl) {
  const program = createProgram(gl, VERTEX, FRAGMENT);
  const set = uniformsOf(gl, program, ["centre", "stretch", "size", "alpha", "fade", "ring", "ink", "role"]);
  const points = gl.createVertexArray(), palette = gl.createTexture();
  const [positions, colours, flags, chosen] = Array.from({ length: 4 }, () => gl.createBuffer());
  gl.bindVertexArray(points);
  [positions, colours, flags].forEach((buffer, location) => {
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.enableVertexAttribArray(location);
    const whole = buffer === colours ? gl.UNSIGNED_SHORT : gl.UNSIGNED_BYTE;
    if (buffer === positions) gl.vertexAttribPointer(location, 2, gl.FLOAT, false, 0, 0);
    else gl.vertexAttribIPointer(location, 1, whole, 0, 0);
  });
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, chosen);
  gl.bindVertexArray(null);

  function setPalette(rgb) {
    const lines = Math.max(1, Math.ceil(rgb.length / 768)), texels = new Uint8Array(lines * 768);
    texels.set(rgb);
    gl.bindTexture(gl.TEXTURE_2D, palette);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB8, 256, lines, 0, gl.RGB, gl.UNSIGNED_BYTE, texels);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  }

  const layer = gl.createFramebuffer();
  let picture = null, size = [0, 0];

  function setLayer(w, h) {
    gl.deleteTexture(picture);
    picture = gl.createTexture();
    size = [w, h];
    gl.bindTexture(gl.TEXTURE_2D, picture);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, w, h);
    gl.bindFramebuffer(gl.FRAMEBUFFER, layer);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, picture, 0);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  }

  function free() {
    [positions, colours, flags, chosen].forEach((buffer) => gl.deleteBuffer(buffer));
    [palette, picture].forEach((texture) => gl.deleteTexture(texture));
    gl.deleteVertexArray(points);
    gl.deleteFramebuffer(layer);
    gl.deleteProgram(program);
  }

  const isLayer = (w, h) => w === size[0] && h === size[1];
  return { program, set, points, palette, positions, colours, flags, chosen, layer,
    setPalette, setLayer, isLayer, free };
}

/** Diameter in CSS pixels of a point whose neighbours are so many CSS pixels away. */
function pointSize(spacing) {
  return Math.min(Math.max(1.6 * Math.sqrt(spacing), 1.5), 8);
}

function pointAlpha(spacing) {
  return Math.min(Math.max(0.55 * spacing ** 0.3, 0.35), 0.9);
}

/**
 * Rows often come sorted by class, and the class drawn last would hide the others. So row r is drawn in slot
 * r × step modulo n, which deals the rows out evenly: step is near n's golden section and coprime to n.
 */
function fairStep(n) {
  const divisor = (a, b) => (b ? divisor(b, a % b) : a);
  let step = Math.max(1, Math.round(n * 0.618));
  while (divisor(n, step) > 1) step++;
  return step;
}

function shuffled(values, width, step) {
  const n = values.length / width, out = new values.constructor(values.length);
  for (let row = 0, slot = 0; row < n; row++, slot = (slot + step) % n) {
    for (let c = 0; c < width; c++) out[slot * width + c] = values[row * width + c];
  }
  return out;
}

/** Bounds of the points and typical distance of neighbours, √(area of the cells in use / n), in map units. */
function measure(positions) {
  const n = positions.length / 2, bounds = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < n; i++) {
    const x = positions[2 * i], y = positions[2 * i + 1];
    if (x < bounds[0]) bounds[0] = x;
    if (y < bounds[1]) bounds[1] = y;
    if (x > bounds[2]) bounds[2] = x;
    if (y > bounds[3]) bounds[3] = y;
  }
  if (!bounds.every(Number.isFinite)) return { bounds: [0, 0, 1, 1], spacing: 1 };
  const w = bounds[2] - bounds[0] || 1, h = bounds[3] - bounds[1] || 1;
  const side = Math.min(Math.max(Math.floor(Math.sqrt(n) / 2), 1), 128);
  const cells = new Uint8Array(side * side);
  const line = (value, low, length) => Math.min(Math.floor(((value - low) / length) * side), side - 1);
  for (let i = 0; i < n; i++) {
    const x = positions[2 * i], y = positions[2 * i + 1];
    cells[line(y, bounds[1], h) * side + line(x, bounds[0], w)] = 1;
  }
  const occupied = cells.reduce((sum, cell) => sum + cell, 0) / cells.length;
  return { bounds, spacing: Math.sqrt((occupied * w * h) / n) };
}
