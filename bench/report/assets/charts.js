// Charts in the places of pictures: drawn when they come into sight, and one estimator brought out in all of them.
"use strict";
(() => {
  const held = document.getElementById("charts");
  if (!held) return;
  const { charts, frames } = JSON.parse(held.textContent);
  const { facts, passes, atPoint } = window.gradest;
  const form = document.getElementById("figure-controls");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const figures = [...document.querySelectorAll("figure[data-chart]")];
  const views = new Map(); // figure -> its view
  const near = new Set(); // figures in or near the window
  const stale = new Set(figures); // what is to be drawn again before it is seen
  let chosen = -1;

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  /** A colour that is seen on a dark page: black and deep blue are not. */
  function ink(colour) {
    if (!dark.matches) return colour;
    const parts = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
    const light = (0.3 * parts[0] + 0.59 * parts[1] + 0.11 * parts[2]) / 255;
    const share = Math.max(0, (0.5 - light) / (1 - light));
    return "#" + parts.map((x) => Math.round(x + share * (255 - x)).toString(16).padStart(2, "0")).join("");
  }

  async function draw(figure) {
    stale.delete(figure);
    const place = figure.querySelector(".chart");
    const chart = charts[figure.dataset.chart];
    const mode = {
      facts, ink, width: place.clientWidth || 480, text: css("--ink"), line: css("--line"), paper: css("--paper"),
      grey: dark.matches ? "#6b6e74" : "#b4b6ba", relative: form.elements.relative.value,
      reference: Number(form.elements.reference.value), log: form.elements.scale.value === "log",
      part: form.elements.part?.value ?? "test set", shown: (mark, line) => passes(mark.e) && (line || atPoint(mark.at)),
    };
    const { spec, rows } = drawing.build(chart, frames[chart.frame.split("-")[0]], mode);
    views.get(figure)?.finalize();
    views.delete(figure);
    if (!rows.length) {
      place.textContent = "Nothing passes the filters.";
      return;
    }
    spec.params = spec.params.map((param) => ({ ...param, value: chosen }));
    const result = await vegaEmbed(place, spec, {
      actions: false, renderer: "svg", defaultStyle: false, logLevel: vega.Error, tooltip: { theme: dark.matches ? "dark" : "light" },
      // Names on an axis can be clicked as marks can.
      patch: (vega) => {
        for (const axis of vega.axes ?? []) axis.encode = { ...axis.encode, labels: { ...axis.encode?.labels, interactive: true } };
        return vega;
      },
    });
    place.style.minHeight = "0";
    if (stale.has(figure)) return; // a later one is on its way
    views.set(figure, result.view);
    result.view.addEventListener("click", (_event, item) => {
      const datum = item?.datum ?? {};
      const place = datum.e ?? rows.find((row) => row.name === datum.value)?.e ?? -1;
      if (place >= 0) choose(place === chosen ? -1 : place);
    });
  }

  const redraw = () => {
    for (const figure of figures) stale.add(figure);
    for (const figure of near) draw(figure);
  };

  /** Brings one estimator out everywhere; -1 nobody. */
  function choose(place) {
    chosen = place;
    form.elements.estimator.value = String(place);
    for (const view of views.values()) view.signal("chosen", place).runAsync();
    for (const button of document.querySelectorAll(".key button")) {
      button.setAttribute("aria-pressed", String(Number(button.value) === place));
    }
  }

  /** The names of a problem's estimators with their markers, each a button. */
  function key(block) {
    const list = document.createElement("div");
    list.className = "key";
    const places = [...block.querySelectorAll("figure[data-chart]")].flatMap((figure) => charts[figure.dataset.chart].e);
    for (const place of [...new Set(places)].sort((a, b) => a - b)) {
      const button = document.createElement("button");
      button.type = "button";
      button.value = String(place);
      button.setAttribute("aria-pressed", "false");
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      svg.setAttribute("viewBox", "-1.3 -1.3 2.6 2.6");
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("d", facts[place].path);
      path.style.stroke = ink(facts[place].colour);
      path.style.fill = facts[place].unbiased ? ink(facts[place].colour) : "none";
      svg.append(path);
      button.append(svg, facts[place].label);
      button.addEventListener("click", () => choose(place === chosen ? -1 : place));
      list.append(button);
    }
    block.querySelector(".figures").before(list);
    return list;
  }

  function offer(select, places) {
    for (const place of places) select.append(new Option(facts[place].label, String(place)));
  }

  const drawn = [...new Set(Object.values(charts).flatMap((chart) => chart.e))].sort((a, b) => a - b);
  offer(form.elements.estimator, drawn);
  offer(form.elements.reference, drawn);
  form.hidden = false;
  form.addEventListener("input", (event) => {
    if (event.target.name === "estimator") choose(Number(event.target.value));
    else redraw();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  const keys = [...document.querySelectorAll(".problem")].filter((block) => block.querySelector("[data-chart]")).map(key);
  const veil = () => {
    for (const button of keys.flatMap((list) => [...list.children])) button.hidden = !passes(Number(button.value));
  };
  veil();
  document.addEventListener("filtered", () => (veil(), redraw()));
  dark.addEventListener("change", () => {
    for (const path of document.querySelectorAll(".key path")) {
      const fact = facts[path.closest("button").value];
      path.style.stroke = ink(fact.colour);
      path.style.fill = fact.unbiased ? ink(fact.colour) : "none";
    }
    redraw();
  });
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) (width = innerWidth), redraw();
  });
  const watch = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) {
      if (isIntersecting) near.add(target);
      else near.delete(target);
      if (isIntersecting && stale.has(target)) draw(target);
    }
  }, { rootMargin: "400px" });
  for (const figure of figures) figure.classList.add("live"); // all at once, since each is as wide as the others leave it
  for (const figure of figures) watch.observe(figure);
  window.gradest.choose = choose;
})();
