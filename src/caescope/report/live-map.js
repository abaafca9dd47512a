/** The report's map: move, zoom, and see what a point is. */
const liveMap = document.getElementById("live-map");
if (liveMap) startLiveMap(liveMap);

function startLiveMap(root) {
  const canvas = root.querySelector("canvas"), chosen = root.querySelector("select"), said = root.querySelector("output");
  const places = Float32Array.from(new Uint16Array(bytesOf(root.dataset.places).buffer));
  const colours = JSON.parse(root.dataset.colours).map((colour) => ({ ...colour, codes: bytesOf(colour.codes) }));
  let scatter;
  try {
    scatter = createScatter(canvas);
  } catch {
    return; // without WebGL 2 the figures below say it all
  }
  root.hidden = false;
  scatter.setPositions(places);
  colours.forEach(({ name }, i) => chosen.append(new Option(name, i)));
  chosen.parentElement.hidden = colours.length < 2;
  chosen.addEventListener("change", colour);
  attachGestures(canvas, {
    scatter, places: createPlaces(places), getTool: () => "pan",
    onHover: (row) => (scatter.setHover(row), (said.textContent = row === null ? "" : describe(row))),
    onClick: () => {}, onPolygon: () => {}, onView: () => {},
  });
  colour();
  scatter.fit();

  function colour() {
    const { codes, groups } = colours[chosen.value || 0] ?? { codes: new Uint8Array(places.length / 2).fill(255), groups: [] };
    scatter.setColours(Uint16Array.from(codes, (code) => (code === 255 ? NO_CODE : code)), categoryColours(groups.length));
    root.querySelector("ul").replaceChildren(...groups.map(legendEntry));
  }

  function legendEntry(name, code) {
    const entry = document.createElement("li"), swatch = document.createElement("span");
    swatch.style.background = cssColour(code);
    entry.append(swatch, name);
    return entry;
  }

  function describe(row) {
    return colours.map(({ name, groups, codes }) => `${name} ${groups[codes[row]] ?? "none"}`).join(" · ");
  }
}

function bytesOf(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}
