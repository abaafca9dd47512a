/** What the server knows, asked for once and kept. Addresses are relative, so that files on any host do as well. */

const TYPES = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, f32: Float32Array };
const MOST_BLOCKS = 64; // of ids, and of latents, that are kept

let token = null;
let collection = null;

/** Addresses of pictures and downloads, by number. */
export const url = {
  atlas: (map, page) => `atlas/${map}/${page}.png`,
  image: (row) => `images/${row}.png`,
  reconstruction: (row) => `reconstructions/${row}.png`,
  difference: (row) => `differences/${row}.png`,
  surroundings: (row) => `surroundings/${row}.jpg`,
  thumbnail: (slide) => `slides/${slide}/thumbnail.jpg`,
  zoom: (slide, level, column, row) => `slides/${slide}/zoom/${level}/${column}_${row}.jpg`,
  notes: (suffix) => `notes.${suffix}`,
};

/** Reads what there is to see; must come first. */
export async function openCollection() {
  collection = await json("collection.json");
  token = collection.token;
  return collection;
}

/** @returns {Promise<Float32Array>} x and y of each row on a map */
export const positions = kept((map) => array(`maps/${map}.f32`, "f32"));

/** @returns {Promise<Uint32Array>} rows in the order of their thumbnails */
export const order = kept((map) => array(`order/${map}.u32`, "u32"));

/** @returns {Promise<Uint8Array|Uint16Array|Float32Array>} a column's value for each row */
export const column = kept((number) => {
  const { type } = collection.columns[number];
  return array(`columns/${number}.${type}`, type);
});

const idBlock = kept((block) => json(`ids/${block}.json`), MOST_BLOCKS);
const latentBlock = kept((block) => array(`latents/${block}.f32`, "f32"), MOST_BLOCKS);

/** @returns {Promise<string[]>} the ids of some rows */
export async function ids(rows) {
  const size = collection.block;
  return Promise.all([...rows].map(async (row) => (await idBlock(Math.floor(row / size)))[row % size]));
}

/** @returns {Promise<Float32Array>} the latents of one row */
export async function latents(row) {
  const { block, latents: n } = collection;
  const values = await latentBlock(Math.floor(row / block));
  return values.slice((row % block) * n, ((row % block) + 1) * n);
}

/** @returns {Promise<{rows: number[], distances: number[]}>} the nearest in the space of the latents */
export const neighbours = (row) => json(`neighbours/${row}.json`);

/** @returns {Promise<Uint32Array>} the rows, sorted by the distance to their medoid */
export async function byMedoid(rows) {
  const answer = await change("medoid", "POST", new Uint32Array(rows));
  return new Uint32Array(await answer.arrayBuffer());
}

/** @returns {Promise<Blob>} the picture that the model makes of latents */
export async function decode(values) {
  const answer = await change("decode", "POST", new Float32Array(values));
  return answer.blob();
}

export const readNotes = () => json("notes.json");

/** @returns {Promise<{notes: object, conflict: boolean}>} conflict: somebody else was faster, and these are theirs */
export async function writeNotes(notes) {
  const answer = await change("notes.json", "PUT", JSON.stringify(notes), [409]);
  return { notes: await answer.json(), conflict: answer.status === 409 };
}

/** Remembers what was asked for, at most `most` answers; failures are asked for again. */
function kept(ask, most = Infinity) {
  const answers = new Map();
  return (key) => {
    if (!answers.has(key)) {
      if (answers.size >= most) answers.delete(answers.keys().next().value);
      const answer = ask(key);
      answers.set(key, answer);
      answer.catch(() => answers.delete(key));
    }
    return answers.get(key);
  };
}

async function json(address) {
  return (await demandGood(fetch(address))).json();
}

async function array(address, type) {
  return new TYPES[type](await (await demandGood(fetch(address))).arrayBuffer());
}

function change(address, method, body, allowed = []) {
  return demandGood(fetch(address, { method, body, headers: { "X-Caescope-Token": token } }), allowed);
}

async function demandGood(asking, allowed = []) {
  const answer = await asking.catch(() => {
    throw new Error("The server does not answer: is caescope explore still running?");
  });
  if (answer.ok || allowed.includes(answer.status)) return answer;
  const said = answer.headers.get("content-type")?.startsWith("text/plain") ? (await answer.text()).trim() : "";
  throw new Error(said || `The server answered ${answer.status}.`);
}
