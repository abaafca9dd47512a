/**
 * What the page shows, in one place; parts of the page listen to the names they depend on.
 *
 * @param {object} initial
 * @returns {{get: () => object, set: (patch: object, options?: {push?: boolean}) => void,
 *   on: (names: string[], listener: (state: object, changed: {names: Set<string>, push: boolean}) => void) => () => void}}
 *   push: the change is one that the browser's back button undoes
 */
export function createStore(initial) {
  let state = { ...initial };
  const listeners = new Set();

  function set(patch, { push = false } = {}) {
    const names = new Set(Object.keys(patch).filter((name) => patch[name] !== state[name]));
    if (!names.size) return;
    state = { ...state, ...patch };
    for (const { wanted, listener } of [...listeners]) {
      if (wanted.some((name) => names.has(name))) listener(state, { names, push });
    }
  }

  function on(wanted, listener) {
    const entry = { wanted, listener };
    listeners.add(entry);
    return () => listeners.delete(entry);
  }

  return { get: () => state, set, on };
}
