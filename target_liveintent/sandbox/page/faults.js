// Switches for common faults, a form for the others, and the list of active faults.
import { button, element, number, plural, request, updateList } from "./dom.js";

const section = document.getElementById("faults");
const errorText = section.querySelector(".wrong");

// The name of each switch, its effect, and the fault that it adds.
const SWITCHES = [
  ["Unavailable", "answers 503", { kind: "status", status: 503 }],
  ["Too many requests", "429, Retry-After: 2", { kind: "status", status: 429, headers: { "Retry-After": "2" } }],
  ["Token refused", "answers 401", { kind: "status", status: 401 }],
  ["Slow", "answers 2 s later", { kind: "latency", seconds: 2 }],
  ["Lost request", "drops, accepts nothing", { kind: "drop", when: "before" }],
  ["Lost answer", "accepts, then drops", { kind: "drop", when: "after" }],
];

const eventIds = fault => [...fault.event_ids ?? []].sort();

const DESCRIPTIONS = {
  status: fault => `Answers ${[fault.status, ...Object.entries(fault.headers ?? {}).map(pair => pair.join(": "))].join(", ")}`,
  latency: fault => `Answers ${number(fault.seconds)} s later`,
  drop: fault => `Drops the connection ${fault.when} processing`,
  refuse: fault => `Refuses batches with ${[
    ...eventIds(fault), ...Object.entries(fault.where ?? {}).map(([path, value]) => `${path} = ${JSON.stringify(value)}`),
  ].join(", ")}`,
  partial: fault => `Does not process ${eventIds(fault).join(", ")}`,
};

function describe({ times, probability, ...fault }) {
  const often = times === null ? "until removed" : `${number(times)} more ${times === 1 ? "time" : "times"}`;
  const chance = probability < 1 ? `, with a probability of ${number(probability * 100)} %` : "";
  return [DESCRIPTIONS[fault.kind](fault), `${often}${chance}`];
}

async function attempt(action) {
  try {
    await action();
    errorText.hidden = true;
  } catch (error) {
    errorText.textContent = error.message;
    errorText.hidden = false;
  }
}

const add = fault => attempt(() => request("faults", {
  method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify([fault]),
}));
const remove = scripted => attempt(() => request(`faults/${scripted.number}`, { method: "DELETE" }));

// A switch is on while exactly its fault is active, without a limit or a probability.
function belongsTo(scripted, fault) {
  const { times, probability, ...rest } = scripted.fault;
  if (times !== null || probability !== 1) return false;
  const same = (a, b) => JSON.stringify(a ?? {}) === JSON.stringify(b ?? {});
  return ["kind", "status", "seconds", "when", "headers"].every(name => same(rest[name], fault[name])) && !("body" in rest);
}

function makeSwitch([name, does, fault], scripted) {
  const made = button("", "switch", () => {
    const found = scripted().filter(one => belongsTo(one, fault));
    if (found.length) found.forEach(remove);
    else add({ ...fault, times: null });
  });
  made.append(element("span", "knob"), element("span", "name", name), element("span", "soft", does));
  made.setAttribute("role", "switch");
  return made;
}

function readFault(form) {
  const { kind, times, percent, ...fields } = Object.fromEntries(new FormData(form));
  const ids = (fields.event_ids ?? "").split(/[\s,]+/).filter(Boolean);
  const parsed = value => { try { return JSON.parse(value); } catch { return value; } };
  return {
    kind,
    times: times === "" ? null : Number(times),
    probability: Number(percent) / 100,
    ...{
      status: () => ({ status: Number(fields.status), headers: fields.retry_after ? { "Retry-After": fields.retry_after } : {} }),
      latency: () => ({ seconds: Number(fields.seconds) }),
      drop: () => ({ when: fields.when }),
      refuse: () => ({ event_ids: ids, where: fields.field ? { [fields.field]: parsed(fields.value) } : {} }),
      partial: () => ({ event_ids: ids }),
    }[kind](),
  };
}

function prepareForm(form) {
  const showFields = () => {
    for (const field of form.querySelectorAll("[data-for]")) {
      field.hidden = !field.dataset.for.split(" ").includes(form.kind.value);
      field.querySelector("input, select, textarea").disabled = field.hidden;
    }
  };
  form.kind.addEventListener("input", showFields);
  form.addEventListener("submit", event => { event.preventDefault(); add(readFault(form)); });
  showFields();
}

export function faults() {
  let scripted = [];
  const switches = SWITCHES.map(row => [makeSwitch(row, () => scripted), row[2]]);
  section.querySelector(".switches").append(...switches.map(([made]) => made));
  prepareForm(section.querySelector("form"));
  const clear = section.querySelector(".active button");
  clear.addEventListener("click", () => attempt(() => request("faults", { method: "DELETE" })));
  return {
    show({ faults: found }) {
      scripted = found;
      for (const [made, fault] of switches) made.setAttribute("aria-checked", found.some(one => belongsTo(one, fault)));
      updateList(section.querySelector(".active ul"), found, one => {
        const [what, often] = describe(one.fault);
        const off = button("Remove", "link", () => remove(one));
        off.setAttribute("aria-label", `Remove: ${what}`);
        return element("li", "", element("span", "", what), element("span", "soft", often), off);
      });
      clear.hidden = found.length < 2;
      section.classList.toggle("on", found.length > 0);
      section.querySelector(".head .soft").textContent =
        found.length ? `${plural(found.length, "fault")} active` : "none active";
    },
  };
}
