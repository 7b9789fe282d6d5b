// Creates elements. Data from the sandbox is untrusted and enters the page only as text nodes.

export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children.filter(child => child !== undefined && child !== null));
  return made;
}

export function button(label, className, act) {
  const made = element("button", className, label);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

export const number = value => Number(value).toLocaleString("en-US");

export const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;

// Describe how many items a list shows, of those that match the filter, are kept, and arrived.
export function describeExtent(shown, matching, kept, all) {
  const rest = kept < all ? ` kept, ${number(all)} arrived` : "";
  if (matching > shown) return `newest ${number(shown)} of ${number(matching)}${rest}`;
  return shown < all ? `${number(shown)} of ${number(kept)}${rest}` : "";
}

export function time(seconds) {
  const moment = new Date(typeof seconds === "number" ? seconds * 1000 : NaN);
  if (isNaN(moment)) return text(seconds);
  const iso = moment.toISOString();
  const shown = element("time", "", `${iso.slice(0, -14)} ${iso.slice(-13, -5)}`);
  shown.dateTime = iso;
  return shown;
}

export const text = value => value === null || value === undefined ? "" : String(value);

export const pill = (outcome, label = outcome) => element("span", `pill ${outcome}`, label);

// A row of a table. Each cell has its label, because narrow screens do not show the table's head.
export function row(columns, content) {
  return element("tr", "", ...columns.map(([label, kind, show]) => {
    const cell = element("td", kind, show(content));
    cell.dataset.label = label;
    return cell;
  }));
}

// Show a list in the given order. Items that do not change keep their element, focus and selection.
export function updateList(parent, contents, build) {
  const wanted = new Map(contents.map(content => [JSON.stringify(content), content]));
  for (const child of [...parent.children]) if (!wanted.has(child.dataset.key)) child.remove();
  let next = parent.firstElementChild;
  for (const [key, content] of wanted) {
    if (next?.dataset.key === key) {
      next = next.nextElementSibling;
    } else {
      const made = build(content);
      made.dataset.key = key;
      parent.insertBefore(made, next);
    }
  }
}

// One broken rule: the field, the rule, the value, and the event.
export function problem({ index, event_id, field, rule, value }) {
  const whose = index === undefined ? "" : `events[${index}]${event_id === null ? "" : ` · ${event_id}`}`;
  return element("li", "",
    field && element("code", "field", field), field && " ",
    element("span", "rule", rule), " ",
    value !== undefined && value !== null ? element("span", "got", "got ", element("code", "value", value)) : undefined,
    whose ? element("span", "whose", whose) : undefined);
}

export async function request(path, options) {
  const answer = await fetch(path, options);
  const body = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw new Error(body?.error ?? `${path}: ${answer.status}`);
  return body;
}
