/**
 * Makes a function that runs `task` one at a time; of the values that come meanwhile only the newest is run.
 *
 * @param {(value) => Promise<void>} task must not reject
 * @returns {(value) => void}
 */
export function newestOnly(task) {
  let busy = false;
  let next = null;
  return async function ask(value) {
    next = { value };
    if (busy) return;
    busy = true;
    while (next !== null) {
      const newest = next.value;
      next = null;
      await task(newest);
    }
    busy = false;
  };
}
