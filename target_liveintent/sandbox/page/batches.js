// The list of batches, with the reasons why they were refused.
import { button, describeExtent, element, number, pill, plural, problem, row, time, updateList } from "./dom.js";

const MAX_PROBLEMS = 3; // shown until the user asks for more
const section = document.getElementById("batches");

function problems(found) {
  if (!found.length) return "";
  const list = element("ul", "problems", ...found.slice(0, MAX_PROBLEMS).map(problem));
  const rest = found.slice(MAX_PROBLEMS);
  if (!rest.length) return list;
  const more = button(`${rest.length} more`, "link", () => {
    more.closest("ul").append(...rest.map(problem));
    more.parentElement.remove();
  });
  list.append(element("li", "", more));
  return list;
}

function answer({ status, outcome }) {
  return pill(outcome, [status, outcome].filter(Boolean).join(" "));
}

const columns = showEvents => [
  ["No.", "number", batch => number(batch.number)],
  ["Arrived (UTC)", "time", batch => time(batch.received_at)],
  ["Answer", "", answer],
  ["Events", "number", batch => {
    if (!batch.events) return batch.events === null ? "" : "0";
    const open = button(number(batch.events), "link", () => showEvents(batch.number));
    open.setAttribute("aria-label", `Show ${plural(batch.events, "event")} of batch ${batch.number}`);
    return open;
  }],
  ["Took", "number", batch => `${(batch.latency * 1000).toFixed(1)} ms`],
  ["Why", "why", batch => problems(batch.problems)],
];

// Calls `refresh` when the filter changes, and `showEvents` with the number of a batch.
export function batches(refresh, showEvents) {
  const [filter, more, empty] = [".filters", ".more", ".empty"].map(name => section.querySelector(name));
  const cells = columns(showEvents);
  let limit = 10;
  filter.addEventListener("input", refresh);
  filter.addEventListener("submit", event => event.preventDefault());
  more.addEventListener("click", () => { limit += 40; refresh(); });
  return {
    query: () => ({ batch_outcome: filter.batch_outcome.value, batch_limit: Math.min(limit, 500) }),
    show({ batches: { count, kept, rows }, stats }) {
      updateList(section.querySelector("tbody"), rows, batch => row(cells, batch));
      section.querySelector("table").hidden = !rows.length;
      empty.hidden = rows.length > 0;
      empty.textContent = kept ? "No batch matches the filter." : "No batch has arrived yet.";
      more.hidden = rows.length >= count || limit >= 500;
      section.querySelector(".head .soft").textContent = describeExtent(rows.length, count, kept, stats.requests);
    },
  };
}
