// The list of events, its filters, and the dialog with one complete event.
import { button, describeExtent, element, number, pill, problem, request, row, text, time, updateList } from "./dom.js";

const section = document.getElementById("events");
const dialog = document.getElementById("event");

const label = outcome => outcome === "partial" ? "not processed" : outcome;

function money({ value, currency }) {
  const amount = typeof value === "number"
    ? value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 6 })
    : text(value);
  return [amount, text(currency)].filter(Boolean).join(" ");
}

const COLUMNS = [
  ["Happened (UTC)", "time", event => time(event.time)],
  ["Event", "id", event => button(text(event.id) || "without an ID", "link mono", () => openEvent(event.number))],
  ["Outcome", "", event => pill(event.outcome, label(event.outcome))],
  ["Source", "", event => text(event.source)],
  ["Pixel", "number", event => text(event.pixel)],
  ["Order", "mono", event => text(event.order)],
  ["Value", "number", money],
  ["Identified by", "", event => event.identified.length
    ? element("span", "chips", ...event.identified.map(name => element("span", "chip", name))) : ""],
];

async function openEvent(wanted) {
  let event;
  try {
    event = await request(`look/events/${wanted}`);
  } catch (error) {
    event = { id: "Event not found", facts: error.message, json: "" };
  }
  dialog.querySelector("h2").textContent = text(event.id) || "Without an ID";
  dialog.querySelector(".facts").replaceChildren(...(event.facts ? [event.facts] : facts(event)));
  const own = (event.batch?.problems ?? []).filter(({ index }) => index === event.index || index === undefined);
  dialog.querySelector(".problems").replaceChildren(...own.map(problem));
  dialog.querySelector("pre").textContent = event.json;
  dialog.querySelector("[data-copy]").textContent = "Copy";
  if (!dialog.open) dialog.showModal();
}

function facts({ outcome, batch, index, request: number_ }) {
  const others = (batch?.problems ?? []).filter(other => other.index !== undefined && other.index !== index);
  const blamed = outcome === "refused" && batch && !batch.problems.some(own => own.index === index) && others.length;
  return [
    pill(outcome, label(outcome)),
    ` events[${index}] of batch ${number(number_)}`,
    ...(batch ? [", ", time(batch.received_at), " UTC"] : []),
    ...(blamed ? [`. Nothing is wrong with this event: the batch was refused because of events[${others[0].index}].`] : []),
  ];
}

dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", event => { if (event.target === dialog) dialog.close(); });
dialog.querySelector("[data-copy]").addEventListener("click", async ({ target }) => {
  try {
    await navigator.clipboard.writeText(dialog.querySelector("pre").textContent);
    target.textContent = "Copied";
  } catch {
    target.textContent = "The browser does not allow copying";
  }
});

function showPixels(select, pixels) {
  const wanted = ["", ...pixels.map(String)];
  if ([...select.options].map(option => option.value).join() === wanted.join()) return;
  const chosen = select.value;
  select.replaceChildren(...wanted.map(pixel => new Option(pixel || "any", pixel)));
  select.value = wanted.includes(chosen) ? chosen : "";
}

// Calls `refresh` when a filter changes.
export function events(refresh) {
  const [filter, more, empty] = [".filters", ".more", ".empty"].map(name => section.querySelector(name));
  const FILTERS = ["outcome", "source", "pixel", "request", "search"];
  let limit = 25;
  const values = () => Object.fromEntries(
    FILTERS.map(name => [name, filter[name].validity.valid ? filter[name].value : ""]));
  filter.addEventListener("input", refresh);
  filter.addEventListener("submit", event => event.preventDefault());
  filter.addEventListener("reset", () => setTimeout(refresh)); // after the reset has emptied the fields
  more.addEventListener("click", () => { limit += 75; refresh(); });
  return {
    query: () => ({ ...values(), limit: Math.min(limit, 500) }),
    filterBy(batch) {
      filter.reset();
      filter.request.value = batch;
      section.scrollIntoView();
      filter.request.focus({ preventScroll: true });
      refresh();
    },
    show({ events: { count, kept, rows }, pixels, stats }) {
      showPixels(filter.pixel, pixels);
      updateList(section.querySelector("tbody"), rows, event => row(COLUMNS, event));
      section.querySelector("table").hidden = !rows.length;
      empty.hidden = rows.length > 0;
      empty.textContent = kept ? "No event matches the filters." : "No event has arrived yet.";
      more.hidden = rows.length >= count || limit >= 500;
      section.querySelector(".head .soft").textContent = describeExtent(rows.length, count, kept, stats.arrived);
      filter.querySelector("[type=reset]").hidden = !Object.values(values()).some(Boolean);
    },
  };
}
