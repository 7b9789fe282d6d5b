// Loads the page again twice a second, and replaces the parts that have changed.

const byId = id => document.getElementById(id);

// Replace the children that differ. The others keep their focus and selection.
function update(old, fresh) {
  const wanted = [...fresh.children];
  const html = new Set(wanted.map(child => child.outerHTML));
  for (const child of [...old.children]) if (!html.has(child.outerHTML)) child.remove();
  wanted.forEach((child, n) => {
    if (old.children[n]?.outerHTML !== child.outerHTML) old.insertBefore(child, old.children[n] ?? null);
  });
}

async function refresh() {
  const live = byId("live");
  let said = "live";
  try {
    const fresh = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
    const focused = document.activeElement.id;
    for (const part of document.querySelectorAll("[data-live]")) {
      update(part, fresh.getElementById(part.id));
    }
    if (focused) byId(focused).focus({ preventScroll: true });
  } catch {
    said = "the sandbox does not answer";
  }
  if (live.textContent !== said) live.textContent = said;
}

// The data attributes of a button describe the request that a click sends.
document.addEventListener("click", async ({ target }) => {
  const { path, method, body, confirm: question } = target.closest("[data-path]")?.dataset ?? {};
  if (!path || (question && !confirm(question))) return;
  await fetch(path, { method, body, headers: { "Content-Type": "application/json" } });
  await refresh();
});

setInterval(refresh, 500);
refresh();
