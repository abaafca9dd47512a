/**
 * The tabs beside the map, one panel shown at a time.
 *
 * @param {HTMLElement} root
 * @param {{collection, store}} house
 */
export function attachTabs(root, { collection, store }) {
  const all = [...root.querySelectorAll("[role=tab]")];
  const tabOf = (name) => root.querySelector(`#tab-${CSS.escape(name)}`);
  tabOf("slides").hidden = collection.slides.length === 0;

  function draw({ panel }) {
    const chosen = all.includes(tabOf(panel)) && !tabOf(panel).hidden ? tabOf(panel) : all[0];
    for (const tab of all) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = tab !== chosen;
    }
  }

  function step(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const shown = all.filter((tab) => !tab.hidden);
    if (!by) return;
    event.preventDefault();
    const next = shown.at((shown.indexOf(event.target) + by) % shown.length);
    store.set({ panel: next.getAttribute("aria-controls") });
    next.focus();
  }

  for (const tab of all) {
    tab.addEventListener("click", () => store.set({ panel: tab.getAttribute("aria-controls") }));
    tab.addEventListener("keydown", step);
  }
  store.on(["panel"], draw);
  draw(store.get());
}
