// Writes the world map of the status page from the two TopoJSON files of the npm package world-atlas: one line for each
// country, with a path in whole units. Run by `cargo xtask world`:
//
//   node map.mjs countries-110m.json countries-50m.json > world.txt

import { readFileSync } from "node:fs";

// The width of the map in units. At 110 million to one, a shape has no detail that is finer.
const WIDTH = 2000;
// Nothing is shown beyond these latitudes: Antarctica would take a fifth of the map.
const [SOUTH, NORTH] = [-56, 83.7];
// The longitude in the middle: the edge of the map then runs through the Bering Strait.
const MIDDLE = 10;
// The radius of the dot of a country that is too small for a shape.
const DOT = 7;

// Equal Earth (Šavrič, Patterson and Jenny 2018): areas are true, and it looks like a common map.
const [A1, A2, A3, A4] = [1.340264, -0.081106, 0.000893, 0.003796];
const M = Math.sqrt(3) / 2;
const vertical = (theta) => theta * (A1 + A2 * theta ** 2 + theta ** 6 * (A3 + A4 * theta ** 2));
const radians = (degrees) => (degrees * Math.PI) / 180;
const angle = (latitude) => Math.asin(M * Math.sin(radians(latitude)));
const SCALE = WIDTH / 2 / (Math.PI / (M * A1));
const TOP = vertical(angle(NORTH));
const HEIGHT = Math.round(SCALE * (TOP - vertical(angle(SOUTH))));

// Degrees east of the middle.
const eastOf = (longitude) => ((longitude - MIDDLE + 540) % 360) - 180;

// The points of a ring, with degrees that go on over the edge of the map where the ring does.
function whole(ring) {
  let before = eastOf(ring[0][0]);
  const points = ring.map(([longitude, latitude]) => {
    const east = eastOf(longitude);
    before = east + 360 * Math.round((before - east) / 360);
    return [before, latitude];
  });
  const middle = points.reduce((sum, [east]) => sum + east, 0) / points.length;
  const turn = 360 * Math.round(middle / 360);
  return points.map(([east, latitude]) => [east - turn, latitude]);
}

function project([east, latitude]) {
  const theta = angle(Math.max(SOUTH, latitude));
  const shrink = M * (A1 + 3 * A2 * theta ** 2 + theta ** 6 * (7 * A3 + 9 * A4 * theta ** 2));
  const x = WIDTH / 2 + (SCALE * radians(east) * Math.cos(theta)) / shrink;
  return [Math.round(x), Math.round(SCALE * (TOP - vertical(theta)))];
}

// The countries of a file: alpha-2 code to rings of longitudes and latitudes.
function countries(file) {
  const { arcs, transform, objects } = JSON.parse(readFileSync(file));
  const [[kx, ky], [dx, dy]] = [transform.scale, transform.translate];
  const lines = arcs.map((arc) => {
    let [x, y] = [0, 0];
    return arc.map(([stepX, stepY]) => [(x += stepX) * kx + dx, (y += stepY) * ky + dy]);
  });
  const line = (at) => (at < 0 ? lines[~at].toReversed() : lines[at]);
  const ring = (parts) => parts.flatMap((at, part) => line(at).slice(part ? 1 : 0));
  const found = new Map();
  for (const { type, arcs, id, properties } of objects.countries.geometries) {
    const code = codeOf(id, properties.name);
    if (!code) continue;
    const polygons = type === "Polygon" ? [arcs] : (arcs ?? []);
    const rings = polygons.flatMap((polygon) => polygon.map(ring));
    found.set(code, (found.get(code) ?? []).concat(rings));
  }
  return found;
}

// Areas without a number of ISO 3166-1 are shown as the country that databases of addresses place them in.
const OTHERS = { Kosovo: "XK", Somaliland: "SO", "N. Cyprus": "CY" };

function codeOf(number, name) {
  if (!number) return OTHERS[name];
  // Unicode's canonical form of a region's number is its alpha-2 code.
  const region = new Intl.Locale(`und-${number}`).region;
  return /^[A-Z]{2}$/.test(region) && region !== "AQ" ? region : undefined;
}

const area = (ring) =>
  ring.reduce((sum, [x, y], at) => {
    const [nextX, nextY] = ring[(at + 1) % ring.length];
    return sum + x * nextY - nextX * y;
  }, 0) / 2;

// A closed path through a ring, or nothing if the ring has no area on the map.
function path(ring) {
  const points = whole(ring).map(project).filter(([x, y], at, all) => {
    const [beforeX, beforeY] = at ? all[at - 1] : [];
    return x !== beforeX || y !== beforeY;
  });
  if (String(points[0]) === String(points.at(-1))) points.pop();
  if (points.length < 3 || Math.abs(area(points)) < 3) return "";
  let [atX, atY] = points[0];
  const steps = points.slice(1).map(([x, y]) => {
    const step = [x - atX, y - atY];
    [atX, atY] = [x, y];
    return `${step[0]}${step[1] < 0 ? "" : " "}${step[1]}`;
  });
  const joined = steps.reduce((text, step) => text + (step[0] === "-" || !text ? "" : " ") + step, "");
  return `M${points[0].join(" ")}l${joined}z`;
}

function dot(rings) {
  const largest = rings.map(whole).reduce((one, other) => (Math.abs(area(one)) < Math.abs(area(other)) ? other : one));
  const middle = [0, 1].map((axis) => largest.reduce((sum, point) => sum + point[axis], 0) / largest.length);
  const [x, y] = project(middle);
  return `M${x - DOT} ${y}a${DOT} ${DOT} 0 1 0 ${2 * DOT} 0a${DOT} ${DOT} 0 1 0-${2 * DOT} 0z`;
}

const [coarse, fine] = process.argv.slice(2).map(countries);
const shapes = new Map();
for (const [code, rings] of coarse) {
  const drawn = rings.map(path).join("");
  if (drawn) shapes.set(code, drawn);
}
for (const [code, rings] of fine) {
  if (!shapes.has(code)) shapes.set(code, dot(rings));
}
console.log(`0 0 ${WIDTH} ${HEIGHT}`);
for (const code of [...shapes.keys()].sort()) console.log(`${code} ${shapes.get(code)}`);
