// From a chart's columns to the rows and the specification that Vega-Lite draws. Nothing here touches the page.
"use strict";
window.drawing = (() => {
  const BELOW = "M1,-1L-1,0L1,1Z"; // marks a value that is too small for a logarithmic axis
  const WORST = 8; // of an ELBO's panel: multiples of the usual distance from the best estimator that it shows

  /** A number to so many digits, as a person writes it. */
  function words(x, digits = 3) {
    if (x === null || x === undefined || Number.isNaN(x)) return "";
    const size = Math.abs(x);
    return x === 0 ? "0" : size < 1e-3 || size >= 1e5 ? x.toExponential(digits - 1) : String(Number(x.toPrecision(digits)));
  }
  /** An estimate and its interval to digits that show how wide it is, as the tables do: -21.0 [-21.1, -20.8]. */
  function told(y, low, high) {
    const known = low !== null && high !== null && y !== null;
    const size = Math.abs(y), half = known ? (high - low) / 2 : 0;
    const fixed = known && half > 0 && Math.max(size, half) >= 1e-3 && Math.max(size, half) < 1e5 && !(low > 0 && high > 10 * low);
    if (!fixed) return [words(y), known ? `[${words(low)}, ${words(high)}]` : "none"];
    const exponent = (x) => Math.floor(Math.log10(x));
    const decimals = Math.max(size > half ? Math.max(2 - exponent(size), -exponent(half)) : 1 - exponent(half), 0);
    const round = (x) => x.toFixed(decimals).replace(/^-(0\.?0*)$/, "$1");
    return [round(y), `[${round(low)}, ${round(high)}]`];
  }

  /** The marks of a chart, one object each; those of estimators that are not shown are left out. */
  function marks(chart, shown) {
    const get = (name, i) => chart[name]?.[i] ?? null;
    return chart.e
      .map((e, i) => ({
        e, at: chart.points?.[chart.p[i]] ?? "", p: chart.p[i], x: get("x", i), y: get("y", i), low: get("low", i),
        high: get("high", i), n: chart.n[i], x_low: get("x_low", i), x_high: get("x_high", i),
        dash: get("part", i) ?? "test set", tick: chart.tick ? get("t", i) : null, edge: !chart.tick && get("t", i) === 1,
      }))
      .filter((mark) => mark.y !== null && shown(mark));
  }

  /**
   * Each mark beside the reference's at the same place. The interval of a ratio is that of two independent estimates,
   * from the ends of both on the logarithm (Donner and Zou 2012, closed-form intervals for functions of two
   * parameters); a difference of two means has none here, since the table pairs it by seed.
   */
  function related(rows, all, chart, reference) {
    const key = (mark) => [mark.dash, chart.frame === "scatter" ? "" : chart.x ? mark.x : mark.at].join("|");
    const others = new Map(all.filter((mark) => mark.e === reference).map((mark) => [key(mark), mark]));
    return rows.flatMap((mark) => {
      const other = others.get(key(mark));
      if (!other) return [];
      const [own] = told(mark.y, mark.low, mark.high);
      if (chart.relative === "difference") {
        return [{ ...mark, y: mark.y - other.y, low: null, high: null, own }];
      }
      if (!(other.y > 0) || mark.y < 0) return [];
      const y = mark.y / other.y;
      if (mark.e === reference) return [{ ...mark, y: 1, low: null, high: null, own }];
      const known = [mark, other].every((one) => one.low > 0 && one.high > 0);
      const far = (a, b) => Math.exp(Math.hypot(Math.log(a), Math.log(b)));
      const low = known && y > 0 ? y / far(mark.y / mark.low, other.high / other.y) : null;
      const high = known && y > 0 ? y * far(mark.high / mark.y, other.y / other.low) : null;
      return [{ ...mark, y, low, high, own, tick: mark.tick === null ? null : mark.tick / other.y }];
    });
  }

  /** Ends of the axis of the values. */
  function domain(rows, chart, log) {
    let values = rows.map((row) => row.y);
    const ends = rows.flatMap((row) => [row.low, row.high, row.tick]).filter((x) => x !== null);
    if (log) {
      values = values.filter((y) => y > 0);
      if (!values.length) values = ends.filter((y) => y > 0);
      if (!values.length) return [0.1, 10];
      const [least, most] = [Math.min(...values), Math.max(...values)];
      const near = ends.filter((y) => y > least / 10 && y < most * 10);
      const [low, high] = [Math.min(least, ...near), Math.max(most, ...near)];
      const pad = Math.max((high / low) ** 0.05, 1.1);
      return [low / pad, high * pad];
    }
    if (!values.length) return [0, 1];
    let low = Math.min(...values), high = Math.max(...values);
    if (chart.best === "highest") {
      // Training begins far below where it ends, and one estimator may end far below the others.
      const lasts = [...last(rows).values()].map((row) => row.y).sort((a, b) => a - b);
      const most = Math.max(...rows.map((row) => row.x));
      const late = rows.filter((row) => row.x >= most / 5).map((row) => row.y);
      const best = lasts.at(-1), usual = Math.max(best - lasts[Math.floor(lasts.length / 2)], 1e-3);
      low = Math.max(Math.min(...late, lasts[0]), best - WORST * usual);
      high = Math.max(...values);
    } else {
      const near = ends.filter((y) => y <= high + (high - low || Math.abs(high)));
      low = Math.min(low, 0, ...near);
      high = Math.max(high, ...near);
    }
    const pad = 0.05 * (high - low || Math.abs(high) || 1);
    return [low - (low === 0 ? 0 : pad), high + pad];
  }

  /** A linear scale need not begin at 0. */
  const spaced = (type) => (type === "linear" ? { type, zero: false } : { type });

  /** A handful of round numbers on a logarithmic axis. */
  function ticks([low, high]) {
    const span = Math.log10(high / low);
    const steps = span < 0.5 ? [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9] : span < 1.3 ? [1, 2, 5] : span < 2.2 ? [1, 3] : [1];
    const found = [];
    for (let k = Math.floor(Math.log10(low)); k <= Math.log10(high); k++) for (const step of steps) found.push(step * 10 ** k);
    const inside = found.filter((x) => x >= low && x <= high);
    return inside.filter((_, i) => i % Math.ceil(inside.length / 6) === 0);
  }

  /** The last mark of each estimator, of the test set where a chart holds two parts. */
  function last(rows) {
    const found = new Map();
    for (const row of rows) {
      const before = found.get(row.e);
      const later = !before || (row.x ?? row.p) >= (before.x ?? before.p);
      if (row.dash === "test set" && later) found.set(row.e, row);
    }
    return found;
  }

  /** Heights of names at the ends of lines, as far apart as one line of text, as near to their ends as that leaves. */
  function apart(rows, [low, high], log, height) {
    const scale = log ? Math.log : (x) => x;
    const unit = (scale(high) - scale(low)) / height;
    const gap = 13 * unit;
    const sorted = [...rows].sort((a, b) => a.y - b.y);
    let floor = -Infinity;
    for (const row of sorted) {
      const wanted = Math.max(scale(Math.min(Math.max(row.y, low), high)), floor);
      row.end = wanted;
      floor = wanted + gap;
    }
    let ceiling = scale(high);
    for (const row of sorted.reverse()) {
      row.end = Math.min(row.end, ceiling);
      ceiling = row.end - gap;
    }
    for (const row of sorted) row.end = log ? Math.exp(row.end) : row.end;
  }

  /**
   * A specification with its data.
   *
   * mode: { relative, reference, log, part, shown, width, facts, ink(colour), dark }.
   */
  function build(chart, frame, mode) {
    const [form, spacing] = chart.frame.split("-"); // of lines, how their places are spaced
    const lines = form === "lines";
    const all = marks(chart, () => true).filter((mark) => !lines || !chart.part || mark.dash === mode.part);
    let rows = all.filter((mark) => mode.shown(mark, lines));
    const reference = mode.reference >= 0 ? mode.reference : chart.reference;
    const wanted = mode.relative === "all" || (mode.relative === "lines" && lines);
    let relative = wanted && Boolean(chart.relative) && all.some((mark) => mark.e === reference);
    if (relative) rows = related(rows, all, chart, reference);
    const label = (e) => chart.names?.[e] ?? mode.facts[e].label;
    const name = relative ? mode.facts[reference].label : "";
    const log = mode.log && chart.best !== "highest";
    const ends = domain(rows, chart, log);
    const title = !relative ? chart.value
      : chart.relative === "ratio" ? `${chart.value}, times that of ${name}` : `${chart.value}, minus that of ${name}`;

    // While nobody is chosen, of lines the reference and the three best unbiased ones stand out.
    const finals = last(rows);
    const sign = chart.best === "highest" ? -1 : 1;
    // Where lines have a best place, as over learning rates, they are ranked by it: the ends are of rates too high.
    const bests = rows.filter((row) => lines && row.edge);
    const ranked = [...(bests.length ? bests : finals.values())].sort((a, b) => sign * (a.y - b.y));
    const few = new Set(ranked.filter((row) => mode.facts[row.e].unbiased).slice(0, 3).map((row) => row.e)).add(reference);

    // Of a scatter plot the other quantity too.
    const at = (row) => (chart.frame === "scatter" ? ` at ${told(row.x, row.x_low, row.x_high).join(" ")} ${unit}` : "");
    const unit = chart.place?.split(", ").at(-1);
    const points = Math.max(...rows.map((row) => row.p), 0) + 1;
    const places = [...new Set(rows.map((row) => row.x))].sort((a, b) => a - b);
    // Of many places on a line few have a marker.
    const marked = new Set([...finals.keys()].flatMap((e) => {
      const own = rows.filter((row) => row.e === e);
      const every = own.length > 10 ? Math.ceil(own.length / 6) : 1;
      return own.filter((_, i) => i % every === 0 || i === own.length - 1);
    }));
    const edge = (y) => (y === null ? null : Math.min(Math.max(y, ends[0]), ends[1]));
    const line = !relative && chart.line > ends[0] && chart.line < ends[1] ? chart.line : null;
    const drawn = rows.map((row) => {
      const fact = mode.facts[row.e];
      const [estimate, interval] = told(row.y, row.low, row.high);
      const value = estimate + (relative ? (chart.relative === "ratio" ? " times" : " more") : "");
      const none = log && !(row.y > 0); // it has no place on this axis, though its interval may reach into it
      const zero = none && !(row.high > ends[0]);
      return {
        ...row, name: label(row.e), unbiased: fact.unbiased && !none, shape: none ? BELOW : fact.path, colour: mode.ink(fact.colour),
        grey: mode.grey, paper: mode.paper, few: !lines || few.has(row.e),
        v: zero ? null : edge(row.y), end: edge(row.y), zero: zero && (lines || row.p === finals.get(row.e)?.p) ? "0" : null, offset: row.p,
        low: edge(row.low), high: edge(row.high), tick: row.tick > ends[0] && row.tick < ends[1] ? row.tick : null,
        told: (row.own === undefined ? value : `${value}; ${row.own} by itself`) + at(row), interval,
        line, last: lines && finals.get(row.e) === row, marked: bests.length ? row.edge : marked.has(row),
        pale: lines || points === 1 ? 1 : 0.4 + (0.6 * row.p) / (points - 1),
      };
    });
    if (lines) apart(drawn.filter((row) => row.last && row.few), ends, log, 300);

    const spec = structuredClone(frame);
    const order = [...finals.values()].sort((a, b) => a.y - b.y).map((row) => label(row.e));
    for (const layer of spec.layer) {
      for (const channel of Object.values(layer.encoding)) {
        if (channel.title === "$value") {
          channel.title = title;
          channel.scale = { ...channel.scale, ...spaced(log ? "log" : "linear"), domain: ends };
          if (log) channel.axis = { ...channel.axis, values: ticks(ends) };
        }
        if (channel.title === "$place") {
          channel.title = chart.place;
          const type = spacing ?? (mode.log ? "log" : "linear");
          channel.scale = { ...channel.scale, ...spaced(type) };
          if (type === "symlog") channel.scale.constant = places.find((x) => x > 0) ?? 1;
          if (lines && places.length <= 8) channel.axis = { ...channel.axis, values: places, labelOverlap: true };
          else if (type === "log") channel.axis = { ...channel.axis, values: ticks([places[0], places.at(-1)]) };
        }
        if (channel.sort) channel.sort = order;
      }
    }
    spec.data = { values: drawn };
    spec.width = mode.width;
    spec.height = lines ? 300 : chart.frame === "scatter" ? 340 : { step: Math.max(17, 8 * points + 6), for: "position" };
    spec.autosize = { type: "fit-x", contains: "padding" };
    spec.padding = { left: 4, top: 6, bottom: 4, right: 8 };
    spec.background = "transparent";
    const text = { labelColor: mode.text, titleColor: mode.text, domainColor: mode.line, gridColor: mode.line, tickColor: mode.line };
    spec.config = { axis: { ...text, titleFontWeight: "normal", gridOpacity: 0.6 }, view: { stroke: null }, font: "system-ui, sans-serif", text: { color: mode.text } };
    return { spec, rows: drawn };
  }
  return { build, words };
})();
