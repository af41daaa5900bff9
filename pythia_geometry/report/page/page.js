"use strict";
// Draws the packed rows of the page. It filters and shows; every number comes from the tables.
(async () => {
  const given = JSON.parse(document.getElementById("data").textContent);
  const FIELDS = ["run", "what", "site", "task"], NONE = 127, SHOWN = 300;

  async function bytes(text) {
    const raw = atob(text), packed = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) packed[i] = raw.charCodeAt(i);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }
  async function integers(column) {
    const planes = await bytes(column.data), n = column.count;
    if (column.kind === "u1") return planes;
    const out = column.kind === "u2" ? new Uint16Array(n) : new Int32Array(n);
    for (let p = 0; p < out.BYTES_PER_ELEMENT; p++) for (let i = 0; i < n; i++) out[i] |= planes[p * n + i] << (8 * p);
    return out;
  }
  async function decimals(column) {
    const [whole, tens] = await Promise.all([integers(column.whole), integers(column.tens)]);
    return i => {
      const e = tens[i] - 128;
      return e === NONE ? null : e < 0 ? whole[i] / 10 ** -e : whole[i] * 10 ** e;
    };
  }
  async function all(columns) {
    const names = Object.keys(columns);
    const read = await Promise.all(names.map(k => columns[k].whole ? decimals(columns[k]) : integers(columns[k])));
    return Object.fromEntries(names.map((k, i) => [k, read[i]]));
  }
  const series = await all(given.packed.series), rows = await all(given.packed.rows), names = given.packed.names;

  function matching(chosen) {
    const sets = FIELDS.map(f => chosen[f] && new Set(chosen[f].map(t => names[f].indexOf(t))));
    const found = [];
    for (let s = 0; s < series.start.length; s++)
      if (FIELDS.every((f, k) => !sets[k] || sets[k].has(series[f][s]))) found.push(s);
    return found;
  }
  function decoded(found, by) {
    const out = [];
    for (const s of found) {
      const about = Object.fromEntries(FIELDS.map(f => [f, names[f][series[f][s]]]));
      const name = by.map(f => f === "model" ? names.model[series.model[s]] : about[f]).join(", "), depth = series.depth(s);
      for (let i = series.start[s]; i < series.start[s] + series.count[s]; i++) {
        const value = rows.value(i), error = rows.error(i);
        out.push({...about, name, depth, step: rows.step[i], value, error, low: value === null ? null : value - error,
          high: value === null ? null : value + error, n: rows.n[i], ceiling: rows.ceiling(i), chance: rows.chance(i),
          reason: names.reason[rows.reason[i]]});
      }
    }
    return out;
  }
  const element = (tag, about = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), about);
    made.append(...children);
    return made;
  };
  const short = v => v === null || v === undefined ? "–" : typeof v === "number" ? String(v) : v;
  const COLUMNS = ["run", "what", "site", "task", "step", "value", "error", "n", "ceiling", "chance", "reason"];
  const cell = v => {
    let text = v === null || v === undefined ? "" : String(v);
    if (typeof v === "string" && /^[=+\-@\t\r]/.test(text)) text = "'" + text;  // a sheet would run it as a formula
    return /[",\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  };
  const csv = shown => [COLUMNS.join(","), ...shown.map(r => COLUMNS.map(c => cell(r[c])).join(","))].join("\r\n") + "\r\n";

  const colours = () => {
    const style = getComputedStyle(document.documentElement), of = n => style.getPropertyValue(n).trim();
    const text = {labelColor: of("--ink"), titleColor: of("--ink"), labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal"};
    return {background: "transparent", font: "system-ui, sans-serif", view: {stroke: null},
      axis: {...text, gridColor: of("--line"), gridOpacity: .35, domainColor: of("--line"), tickColor: of("--line")},
      legend: {...text, orient: "bottom", columns: innerWidth < 600 ? 2 : 5, labelLimit: 160}};
  };
  const ticks = last => [0, ...[0, 1, 2, 3, 4, 5, 6, 7].map(k => 10 ** k).filter(t => t <= last / 3), last];
  const figures = [];
  let step = null;

  function filled(figure, shown) {
    const what = figure.chosen.what[0], last = Math.max(1, ...new Set(shown.map(r => r.step)));
    const scale = given.scales[what] === "log" && shown.every(r => r.value === null || r.value > 0) ? "log" : "linear";
    const several = figure.kind === "lines" && new Set(shown.map(r => r.name + "\u0000" + r.run)).size > new Set(shown.map(r => r.name)).size;
    const spec = structuredClone(given.specs[figure.kind === "cells" ? "cells" : several ? "seeds" : "lines"]);
    const lines = [...new Set(shown.map(r => r.name))];
    const put = node => {
      if (node.field === "name" && node.scale) node.scale.domain = lines;  // equal, or colour, dash and shape get a legend each
      for (const key of Object.keys(node)) {
        if (node[key] === "%TITLE%") node[key] = given.units[what] || what;
        else if (node[key] === "sqrt") node[key] = scale;
        else if (key === "values" && node[key][0] === -1) node[key] = ticks(last);
        else if (key === "domain" && node[key][1] === -1) node[key] = [0, last];
        else if (node[key] && typeof node[key] === "object") put(node[key]);
      }
    };
    put(spec);
    const least = Math.min(...shown.filter(r => r.value > 0).map(r => r.value));
    if (scale === "log") for (const r of shown) if (r.low !== null && r.low < least / 2) r.low = least / 2;
    spec.datasets = {rows: shown.filter(r => r.value !== null), cursor: step === null ? [] : [{step}], spans: figure.spans(shown, last)};
    spec.height = figure.kind === "cells" ? Math.min(420, Math.max(120, 18 * new Set(shown.map(r => r.site)).size)) : 260;
    return spec;
  }
  async function draw(figure) {
    const found = matching(figure.chosen);
    let kept = found;
    if (figure.kind === "lines") {
      const of = s => figure.by.map(f => f === "model" ? names.model[series.model[s]] : names[f][series[f][s]]).join(", ");
      const first = new Set([...new Set(found.map(of))].slice(0, given.most));
      kept = found.filter(s => first.has(of(s)));
    }
    const shown = figure.shown = decoded(kept, figure.by);
    const missing = shown.filter(r => r.value === null).length;
    figure.said.textContent = `${shown.length} values shown of ${kept.length} curves` + (missing ? `; ${missing} could not be computed (reasons in the table)` : "")
      + (found.length > kept.length ? `; ${found.length - kept.length} curves are left out: more than ${given.most} lines cannot be told apart` : "") + ".";
    if (figure.view) figure.view.finalize();
    figure.view = null;
    figure.home.replaceChildren();
    figure.home.setAttribute("aria-label", `${figure.title}: ${figure.chosen.what.join(", ")}. ${figure.said.textContent} Arrow keys read values step by step.`);
    if (!shown.some(r => r.value !== null)) { figure.home.textContent = "No value to draw here."; table(figure); return; }
    const made = await vegaEmbed(figure.home, filled(figure, shown), {actions: false, renderer: figure.kind === "cells" ? "canvas" : "svg", config: colours(), tooltip: {theme: matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light", sanitize: v => String(v).replace(/&/g, "&amp;").replace(/</g, "&lt;")}});
    figure.view = made.view;
    figure.view.addEventListener("mousemove", (_, item) => { if (item && item.datum && item.datum.step !== undefined) point(Number(item.datum.step), figure); });
    table(figure);
  }
  function table(figure) {
    if (!figure.details.open) return;
    const head = element("tr", {}, ...COLUMNS.map(c => element("th", {textContent: c, scope: "col"})));
    const body = figure.shown.slice(0, SHOWN).map(r => element("tr", {}, ...COLUMNS.map(c => element("td", {textContent: short(r[c])}))));
    figure.rows.replaceChildren(element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
    if (figure.shown.length > SHOWN) figure.rows.append(element("p", {className: "note", textContent: `The first ${SHOWN} of ${figure.shown.length}; the CSV holds all.`}));
  }
  function point(at, from) {  // linked: every chart marks the step
    if (at === step) return;
    step = at;
    for (const f of figures) if (f.view && f.kind !== "cells") f.view.data("cursor", [{step}]).runAsync();
    const here = from.shown.filter(r => r.step === step && r.value !== null).slice(0, 8);
    from.read.textContent = `step ${step}: ` + here.map(r => `${from.kind === "cells" ? r.site : r.name} ${r.value}`).join("; ");
  }
  function chooser(figure, about, change) {
    const select = element("select", {multiple: about.many, name: about.field}, ...about.options.map(o =>
      element("option", {value: o, textContent: o, selected: about.value.includes(o)})));
    select.addEventListener("change", () => { figure.chosen[about.field] = [...select.selectedOptions].map(o => o.value); change(); });
    const label = element("label", {textContent: about.label}, select);
    if (about.options.length > 15) {
      const filter = element("input", {type: "search", placeholder: "filter"});
      filter.setAttribute("aria-label", `filter ${about.label}`);
      filter.addEventListener("input", () => { for (const o of select.options) o.hidden = !o.value.toLowerCase().includes(filter.value.toLowerCase()); });
      label.append(filter);
    }
    return label;
  }
  async function build(about) {
    const section = document.getElementById(about.id);
    const figure = {...about, chosen: Object.fromEntries(about.choose.map(c => [c.field, [...c.value]]))};
    figure.spans = (shown, last) => about.spans ? given.spans.filter(s => figure.chosen.task.includes(s.task) && figure.chosen.run.includes(s.run)).map(s => ({...s, to: Math.min(s.to, last)})) : [];
    figure.home = element("div", {className: "chart", tabIndex: 0});
    figure.home.setAttribute("role", "img");
    figure.said = element("p", {className: "note said"});
    figure.read = element("div", {className: "read"});
    figure.read.setAttribute("aria-live", "polite");
    figure.rows = element("div", {className: "scroll", tabIndex: 0});
    figure.rows.setAttribute("role", "region");
    figure.rows.setAttribute("aria-label", `table of ${about.title}`);
    figure.details = element("details", {}, element("summary", {textContent: "Table of what is shown"}), figure.rows);
    figure.details.addEventListener("toggle", () => table(figure));
    const save = element("button", {type: "button", textContent: "Download as CSV", className: "csv"});
    save.addEventListener("click", () => {
      const link = element("a", {href: URL.createObjectURL(new Blob([csv(figure.shown)], {type: "text/csv"})), download: `${about.id}.csv`});
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
    const choosers = element("div", {className: "choosers"}, ...about.choose.filter(c => c.options.length > 1).map(c => chooser(figure, c, () => draw(figure))), save);
    figure.home.addEventListener("keydown", event => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      event.preventDefault();
      const steps = [...new Set(figure.shown.map(r => r.step))].sort((a, b) => a - b), at = steps.indexOf(step);
      point(steps[Math.min(steps.length - 1, Math.max(0, at + (event.key === "ArrowRight" ? 1 : -1)))], figure);
    });
    section.append(element("figure", {}, element("figcaption", {textContent: about.title}), choosers, figure.home, figure.read, figure.said, figure.details));
    figures.push(figure);
    await draw(figure);
  }
  for (const about of given.figures) await build(about);
  for (const {id, title, spec} of given.fixed) {
    const home = element("div", {className: "chart"});
    home.setAttribute("role", "img");
    home.setAttribute("aria-label", `${title}; the table below holds its numbers`);
    document.getElementById(id).append(element("figure", {}, element("figcaption", {textContent: title}), home));
    delete spec.config;
    delete spec.background;
    await vegaEmbed(home, spec, {actions: false, renderer: "svg", config: colours()});
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => figures.forEach(draw));
  window.page = {figures, decoded, matching, csv, draw};
  document.documentElement.dataset.ready = "yes";
})().catch(error => {
  console.error(error);
  document.getElementById("failed").textContent = `The figures cannot be drawn: ${error.message}. Chromium 80, Firefox 113 or Safari 16.4 or newer is needed.`;
});
