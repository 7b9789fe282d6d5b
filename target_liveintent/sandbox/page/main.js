// The page: requests a new snapshot whenever the server announces a change.
import { batches } from "./batches.js";
import { element, number, plural, request } from "./dom.js";
import { events } from "./events.js";
import { faults } from "./faults.js";

const ANNOUNCE_AFTER_MS = 1000; // without changes, so that screen readers do not read each one
const byId = id => document.getElementById(id);
const sum = (counts, ...names) => names.reduce((total, name) => total + counts[name], 0);

// Label, count, and whether any number except zero is a warning.
const TILES = [
  ["events accepted", stats => stats.accepted],
  ["events arrived", stats => stats.arrived],
  ["batches", stats => stats.requests],
  ["batches refused", stats => stats.by_outcome.refused, true],
  ["requests with faults", stats => sum(stats.by_outcome, "fault", "dropped", "partial"), true],
  ["duplicate events", stats => stats.duplicates, true],
];

function showTiles({ stats }) {
  byId("tiles").replaceChildren(...TILES.map(([label, count, warns]) => {
    const value = count(stats);
    return element("div", warns && value ? "bad" : "", element("dt", "", label), element("dd", "", number(value)));
  }));
}

function share(count, all) {
  if (!all) return "–";
  // Show 100 % only for all events, and 0 % only for none.
  const percent = count === all ? 100 : Math.min(99.9, Math.max(count ? 0.1 : 0, 100 * count / all));
  return `${percent.toLocaleString("en-US", { maximumFractionDigits: 1 })} %`;
}

function showCoverage({ stats: { coverage, accepted } }) {
  const rows = Object.entries(coverage).map(([field, count]) => {
    const filled = element("span", "filled");
    filled.style.width = `${accepted ? 100 * count / accepted : 0}%`;
    const made = element("li", "", element("span", "name", field), element("span", "bar", filled), element("span", "share", share(count, accepted)));
    made.title = `${number(count)} of ${plural(accepted, "accepted event")}`;
    return made;
  });
  byId("coverage").querySelector("ul").replaceChildren(...rows);
}

let announcement;
function announce({ stats }) {
  clearTimeout(announcement);
  announcement = setTimeout(() => {
    byId("counts").textContent = `${plural(stats.accepted, "event")} accepted in ${number(stats.requests)} batches, ${number(stats.by_outcome.refused)} refused.`;
  }, ANNOUNCE_AFTER_MS);
}

function showLive(answers) {
  const live = byId("live"), words = answers ? "live" : "the sandbox does not answer";
  if (live.textContent !== words) live.textContent = words;
  live.classList.toggle("lost", !answers);
}

const eventList = events(refresh);
const batchList = batches(refresh, eventList.filterBy);
const parts = [{ show: showTiles }, { show: showCoverage }, { show: announce }, faults(), batchList, eventList];

let busy = false, again = false;
// At most one request at a time. Changes during a request cause one further request.
async function refresh() {
  again = true;
  if (busy) return;
  busy = true;
  while (again) {
    again = false;
    try {
      const found = await request(`look?${new URLSearchParams({ ...batchList.query(), ...eventList.query() })}`);
      for (const part of parts) part.show(found);
      showLive(true);
    } catch {
      showLive(false);
    }
  }
  busy = false;
}

// Only while the page is visible, because a browser opens few connections to one server.
let changes;
function follow() {
  changes?.close();
  if (document.hidden) return;
  changes = new EventSource("look/changes");
  changes.addEventListener("message", refresh);
  changes.addEventListener("error", () => showLive(false));
}
document.addEventListener("visibilitychange", follow);
byId("forget").addEventListener("click", () => {
  if (confirm("Delete all batches, events and faults?")) request("events", { method: "DELETE" }).catch(refresh);
});
follow();
