/** Pages of the thumbnail atlas on the GPU: loaded when wanted, the least recently used given up first. */

const AT_ONCE = 4;
const MOST_PAGES = 24, MOST_BYTES = 110e6;
const PATIENCE = 10000;    // milliseconds until a page that failed is tried again

/**
 * @param {WebGL2RenderingContext} gl
 * @param {{thumb: number, side: number, pages: number}} atlas thumb: side in px; side: thumbnails per side
 * @param {(page: number) => string} urlOf
 * @param {() => void} onLoaded called after each page
 * @returns {{bind: Function, layerOf: Function, want: Function, free: Function}}
 */
export function createAtlasPages(gl, atlas, urlOf, onLoaded) {
  const pixels = atlas.thumb * atlas.side;
  const room = Math.floor(MOST_BYTES / (pixels * pixels * 4));
  const capacity = Math.max(1, Math.min(MOST_PAGES, room, atlas.pages));
  const layers = new Map(), loading = new Set(), failed = new Map(); // layers: page → layer, oldest use first
  const stopped = new AbortController();
  let wanted = [];

  const texture = gl.createTexture();
  bind();
  gl.texStorage3D(gl.TEXTURE_2D_ARRAY, 1, gl.RGBA8, pixels, pixels, capacity);
  for (const [name, value] of [["MIN_FILTER", gl.LINEAR], ["MAG_FILTER", gl.LINEAR],
    ["WRAP_S", gl.CLAMP_TO_EDGE], ["WRAP_T", gl.CLAMP_TO_EDGE]]) {
    gl.texParameteri(gl.TEXTURE_2D_ARRAY, gl[`TEXTURE_${name}`], value);
  }

  function bind() {
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, texture);
  }

  /** Layer of a page, −1 while it is not there. */
  const layerOf = (page) => layers.get(page) ?? -1;

  /** Says which pages are needed now, the most wanted first; loads those that are missing. */
  function want(pages) {
    wanted = pages.slice(0, capacity);
    for (const page of wanted.toReversed().filter((p) => layers.has(p))) {
      const layer = layers.get(page);
      layers.delete(page);
      layers.set(page, layer); // a Map keeps the order of insertion: now the most recently used
    }
    const now = performance.now();
    for (const page of wanted) {
      if (loading.size >= AT_ONCE) return;
      if (!layers.has(page) && !loading.has(page) && !(failed.get(page) > now - PATIENCE)) load(page);
    }
  }

  async function load(page) {
    loading.add(page);
    try {
      const response = await fetch(urlOf(page), { signal: stopped.signal });
      if (!response.ok) throw new Error(`Page ${page} of the atlas: ${response.status}`);
      const picture = await createImageBitmap(await response.blob(), { premultiplyAlpha: "none" });
      if (!stopped.signal.aborted) put(page, picture);
      picture.close();
    } catch {
      failed.set(page, performance.now()); // its images stay points
    }
    loading.delete(page);
    if (!stopped.signal.aborted) onLoaded();
  }

  function put(page, picture) {
    const layer = layers.size < capacity ? layers.size : giveUpOldest();
    bind();
    gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, 0, 0, 0, layer, Math.min(picture.width, pixels),
      Math.min(picture.height, pixels), 1, gl.RGBA, gl.UNSIGNED_BYTE, picture);
    layers.set(page, layer);
  }

  function giveUpOldest() {
    const [page, layer] = [...layers].find(([key]) => !wanted.includes(key)) ?? layers.entries().next().value;
    layers.delete(page);
    return layer;
  }

  function free() {
    stopped.abort();
    gl.deleteTexture(texture);
  }

  return { bind, layerOf, want, free };
}
