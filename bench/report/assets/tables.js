// Sorting and filtering of the page's tables. Without this file they are read as they stand.
"use strict";
(() => {
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const form = document.getElementById("filters");
  const chosen = (name) => form.elements[name]?.value ?? "";
  const hidesControls = () => form.elements.controls?.checked ?? false;

  /** Whether an estimator, by its place among the facts, passes the filters. */
  function passes(place) {
    const fact = facts[place];
    if (hidesControls() && fact.control) return false;
    if (chosen("declared") && (chosen("declared") === "unbiased") !== fact.unbiased) return false;
    if (chosen("needs") && chosen("needs") !== fact.needs) return false;
    return fact.label.toLowerCase().includes(chosen("name").trim().toLowerCase());
  }
  /** Whether a point is shown; what has no point, such as a training, always is. */
  const atPoint = (point) => !chosen("point") || !point || point === chosen("point");
  const rowPasses = (row) => passes(row.dataset.e) && atPoint(row.dataset.point);

  // An empty cell was not measured: it stands last, whichever way a column is sorted.
  const order = (sign) => (a, b) =>
    (a === "") - (b === "") || (a === "" ? 0 : sign * (Number(a) - Number(b)));
  DataTable.type("measured", { order: { asc: order(1), desc: order(-1) } });

  const made = new Map();
  function make(table) {
    if (made.has(table)) return;
    const types = [...table.tHead.rows[0].cells].map((head, i) => ({ targets: i, type: head.dataset.type || "string" }));
    const rows = [...table.tBodies[0].rows];
    const nothing = { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null };
    const whole = new DataTable(table, {
      paging: false, info: false, autoWidth: false, order: [], layout: nothing, columnDefs: types,
      language: { zeroRecords: "No row passes the filters." },
      searchCols: [],
    });
    whole.search.fixed("page", (_text, _data, i) => rowPasses(rows[i])).draw();
    made.set(table, whole);
  }

  function apply() {
    let all = 0, shown = 0;
    for (const part of document.querySelectorAll("details.part")) {
      part.hidden = Boolean(chosen("family")) && part.dataset.family !== chosen("family");
      const table = part.querySelector("table");
      const rows = (part.rows ??= [...table.tBodies[0].rows]);
      const left = part.hidden ? 0 : rows.filter(rowPasses).length;
      all += rows.length;
      shown += left;
      const words = `${rows.length} row${rows.length === 1 ? "" : "s"}`;
      part.querySelector(".count").textContent = left === rows.length ? words : `${left} of ${words}`;
      made.get(table)?.draw();
    }
    form.querySelector("output").textContent = shown === all ? `all ${all} rows` : `${shown} of ${all} rows`;
    for (const block of document.querySelectorAll(".problem")) {
      block.hidden = Boolean(chosen("family")) && block.dataset.family !== chosen("family");
    }
    document.dispatchEvent(new CustomEvent("filtered"));
  }

  /** Opens what a link leads into, since what is closed cannot be scrolled to. */
  function open() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let inside = target; inside; inside = inside.parentElement) if (inside.tagName === "DETAILS") inside.open = true;
    target?.scrollIntoView();
  }

  window.gradest = { facts, passes, atPoint, family: () => chosen("family") };
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", open);
  apply();
  const watch = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) if (isIntersecting) make(target), watch.unobserve(target);
  }, { rootMargin: "600px" });
  for (const table of document.querySelectorAll("table.sortable")) watch.observe(table);
  if (location.hash) open();
})();
