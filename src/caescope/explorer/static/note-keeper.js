const ATTEMPTS = 5; // another tab may be faster as often as this

/**
 * Saves changes one after another, and again on the newer document where another tab was faster.
 *
 * @param {{api, store, say: (text: string, bad?: boolean) => void}} house
 * @returns {(change: (notes) => notes) => Promise<boolean>} true once the change is saved
 */
export function createNoteKeeper({ api, store, say }) {
  let line = Promise.resolve();
  return (change) => (line = line.then(() => save(change)));

  async function save(change) {
    say("Saving …");
    try {
      const again = await write(change);
      say(again ? "Saved. Another tab had saved first; its notes were kept and yours added." : "Saved.");
      return true;
    } catch (error) {
      say(`Not saved: ${error.message}`, true);
      return false;
    }
  }

  /** Returns whether another tab was faster. */
  async function write(change) {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const { notes, conflict } = await api.writeNotes(change(store.get().notes));
      store.set({ notes });
      if (!conflict) return attempt > 0;
    }
    throw new Error("other tabs are saving all the time; try again.");
  }
}
