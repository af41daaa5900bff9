// One figure that can be chosen in: choosers, chart, values by step, table, CSV.
const SHOWN = 300;
const element = (tag, about = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), about);
  made.append(...children);
  return made;
};
const labelled = (made, role, label) => {
  if (role) made.setAttribute("role", role);
  made.setAttribute("aria-label", label);
  return made;
};
const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;
const short = v => v === null || v === undefined || v === "" ? "–" : String(v);

function config() {
  const style = getComputedStyle(document.documentElement), of = n => style.getPropertyValue(n).trim();
  const text = {labelColor: of("--ink"), titleColor: of("--ink"), labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal"};
  return {background: "transparent", font: "system-ui, sans-serif", view: {stroke: null}, text: {color: of("--ink")},
    axis: {...text, gridColor: of("--line"), gridOpacity: .35, domainColor: of("--line"), tickColor: of("--line")},
    title: {color: of("--ink"), fontSize: 12, fontWeight: "normal"},
    legend: {...text, orient: "bottom", columns: innerWidth < 600 ? 2 : 5, labelLimit: innerWidth < 600 ? 130 : 160}};
}
async function embed(home, spec, renderer) {
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
  const {datasets, ...look} = spec;  // data may be large, and holds no colour
  const inked = JSON.parse(JSON.stringify(look), (_, v) => v === "#222222" ? ink : v);
  if (datasets) inked.datasets = datasets;
  const sanitize = v => String(v).replace(/&/g, "&amp;").replace(/</g, "&lt;");
  const made = await vegaEmbed(home, inked, {actions: false, renderer, config: config(), tooltip: {theme: isDark() ? "dark" : "light", sanitize}});
  for (const drawn of home.querySelectorAll("svg, canvas")) drawn.setAttribute("aria-hidden", "true");  // the label and the table say it
  return made.view;
}
const ticks = last => [0, ...[0, 1, 2, 3, 4, 5, 6, 7, 8].map(k => 10 ** k).filter(t => t <= last / (innerWidth < 600 ? 6 : 3)), last];
const largest = (rows, field, least) => rows.reduce((most, r) => r[field] > most ? r[field] : most, least);

function leaveOut(spec, name) {  // a layer without a value would still stretch its axis
  if (!spec.layer) return;
  spec.layer = spec.layer.filter(layer => !(layer.name || "").startsWith(name));
  for (const layer of spec.layer) leaveOut(layer, name);
}

class Figure {
  constructor(about, page) {
    Object.assign(this, about, {page, view: null, shown: [], drawn: Promise.resolve(), pointed: Promise.resolve()});
    this.chosen = Object.fromEntries(about.choose.map(c => [c.field, [...c.value]]));
    this.home = labelled(element("div", {className: "chart"}), "img", about.title);
    this.said = element("p", {className: "note said"});
    this.read = element("p", {className: "read"});
    this.read.setAttribute("aria-live", "polite");
    this.slider = labelled(element("input", {type: "range", min: 0, max: 0, step: 1, value: 0}), "", `${about.title}: read values at a step`);
    this.slider.addEventListener("input", () => this.pointAt(this.steps[this.slider.value]));
    this.home.addEventListener("keydown", event => this.keyed(event));
    this.rows = labelled(element("div", {className: "scroll", tabIndex: 0}), "region", `table of ${about.title}`);
    this.details = element("details", {}, element("summary", {textContent: "Table of what is shown"}), this.rows);
    this.details.addEventListener("toggle", () => this.table());
    const save = labelled(element("button", {type: "button", textContent: "Download as CSV", className: "csv"}), "", `Download as CSV: ${about.title}`);
    save.addEventListener("click", () => download(`${about.id}.csv`, csv(this.shown)));
    const choosers = about.choose.filter(c => c.options.length > 1).map(c => this.chooser(c));
    this.whole = element("figure", {}, element("figcaption", {textContent: about.title}), element("div", {className: "choosers"}, ...choosers, save),
      this.home, this.slider, this.read, this.said, this.details);
  }
  get steps() {
    return [...new Set(this.shown.map(r => r.step))].sort((a, b) => a - b);
  }
  chooser(about) {
    const select = element("select", {multiple: about.many, name: about.field}, ...about.options.map(o =>
      element("option", {value: o, textContent: o, selected: about.value.includes(o)})));
    select.addEventListener("change", () => { this.chosen[about.field] = [...select.selectedOptions].map(o => o.value); this.draw(); });
    const label = element("label", {}, element("span", {textContent: about.label}), select);
    if (about.options.length <= 15) return label;
    const filter = labelled(element("input", {type: "search", placeholder: "filter"}), "", `filter ${about.label} of ${this.title}`);
    filter.addEventListener("input", () => { for (const o of select.options) o.hidden = !o.value.toLowerCase().includes(filter.value.toLowerCase()); });
    return element("div", {className: "filtered"}, label, filter);
  }
  keyed(event) {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    event.preventDefault();
    const steps = this.steps, at = steps.indexOf(this.page.step) + (event.key === "ArrowRight" ? 1 : -1);
    this.pointAt(steps[Math.min(steps.length - 1, Math.max(0, at))]);
  }
  pointAt(step) {  // linked: every chart marks the step
    if (step === undefined || step === this.page.step) return;
    this.page.step = step;
    this.pointed = Promise.all(this.page.figures.filter(f => f.view && f.kind !== "cells").map(f => f.view.data("cursor", [{step}]).runAsync()));
    for (const f of this.page.figures) f.aim(step);
    const here = this.shown.filter(r => r.step === step && r.value !== null).slice(0, 8);
    this.read.textContent = `step ${step}: ` + here.map(r => `${this.kind === "cells" ? r.site : r.name} ${r.value}`).join("; ");
  }
  aim(step) {
    const steps = this.stepsShown, at = steps.indexOf(step);
    this.slider.max = Math.max(0, steps.length - 1);
    if (at >= 0) this.slider.value = at;
    if (steps.length) this.slider.setAttribute("aria-valuetext", `step ${steps[this.slider.value]}`);
  }
  draw() {  // one after another: two drawings into one place would both stay
    this.drawn = this.drawn.then(() => this.redraw());
    return this.drawn;
  }
  async redraw() {
    const found = this.page.points.matching(this.chosen);
    let kept = found;
    if (this.kind === "lines") {
      const first = new Set([...new Set(found.map(s => this.page.points.nameOf(s, this.by)))].slice(0, given.most));
      kept = found.filter(s => first.has(this.page.points.nameOf(s, this.by)));
    }
    this.shown = this.page.points.decoded(kept, this.by);
    this.stepsShown = this.steps;
    this.say(found.length, kept.length);
    if (this.view) this.view.finalize();
    this.view = null;
    this.home.replaceChildren();
    this.slider.hidden = this.stepsShown.length < 2;
    this.aim(this.page.step);
    if (!this.shown.some(r => r.value !== null)) this.home.textContent = "No value to draw here.";
    else {
      this.view = await embed(this.home, this.specification(), this.kind === "cells" ? "canvas" : "svg");
      this.view.addEventListener("mousemove", (_, item) => { if (item && item.datum && item.datum.step !== undefined) this.pointAt(Number(item.datum.step)); });
    }
    this.table();
  }
  say(found, kept) {
    const missing = this.shown.filter(r => r.value === null).length, warned = this.shown.filter(r => r.value !== null && r.reason).length;
    const parts = [`${this.shown.length} values shown of ${kept} curves`];
    if (missing) parts.push(`${missing} could not be computed and are not drawn (reasons in the table)`);
    if (warned) parts.push(`${warned} carry a warning (${this.kind === "cells" ? "reasons in the table" : "hollow; reasons in the table"})`);
    if (found > kept) parts.push(`${found - kept} curves are left out: more than ${given.most} lines cannot be told apart`);
    this.said.textContent = parts.join("; ") + ".";
    this.home.setAttribute("aria-label", `${this.title}: ${this.chosen.what.join(", ")}. ${this.said.textContent} The slider below reads values step by step; the table holds them.`);
  }
  specification() {
    const shown = this.shown, what = this.chosen.what[0], last = largest(shown, "step", 1);
    const scale = given.scales[what] === "log" && shown.every(r => r.value === null || r.value > 0) ? "log" : "linear";
    const lines = [...new Set(shown.map(r => r.name))];
    const several = this.kind === "lines" && new Set(shown.map(r => r.name + "\u0000" + r.run)).size > lines.length;
    const put = node => {
      if (node.field === "name" && node.scale) node.scale.domain = lines;  // equal, or colour, dash and shape get a legend each
      for (const key of Object.keys(node)) {
        if (node[key] === "%TITLE%") node[key] = given.units[what] || what;
        else if (node[key] === "sqrt") {
          node[key] = scale;
          if (scale === "log") delete node.zero;  // Vega warns otherwise
        }
        else if (key === "values" && node[key][0] === -1) node[key] = ticks(last);
        else if (key === "domain" && node[key][1] === -1) node[key] = [0, last];
        else if (node[key] && typeof node[key] === "object") put(node[key]);
      }
      return node;
    };
    const spec = put(structuredClone(given.specs[this.kind === "cells" ? "cells" : several ? "seeds" : "lines"]));
    if (scale === "log") {
      const least = shown.reduce((low, r) => r.value !== null && r.value < low ? r.value : low, Infinity);
      for (const r of shown) if (r.low !== null && r.low < least / 2) r.low = least / 2;
    }
    const spans = this.spans ? given.spans.filter(s => this.chosen.task.includes(s.task) && this.chosen.run.includes(s.run)).map(s => ({...s, to: Math.min(s.to, last)})) : [];
    spec.datasets = {rows: shown.filter(r => r.value !== null), cursor: this.page.step === null ? [] : [{step: this.page.step}], spans};
    if (!shown.some(r => r.chance !== null)) leaveOut(spec, "chance");
    if (!shown.some(r => r.error !== null)) leaveOut(spec, "error");
    spec.height = this.kind === "cells" ? Math.min(420, Math.max(120, 18 * new Set(shown.map(r => r.site)).size)) : 260;
    return spec;
  }
  table() {
    if (!this.details.open) return;
    const head = element("tr", {}, ...COLUMNS.map(c => element("th", {textContent: c, scope: "col"})));
    const body = this.shown.slice(0, SHOWN).map(r => element("tr", {}, ...COLUMNS.map(c => element("td", {textContent: short(r[c])}))));
    this.rows.replaceChildren(element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
    if (this.shown.length > SHOWN) this.rows.append(element("p", {className: "note", textContent: `The first ${SHOWN} of ${this.shown.length}; the CSV holds all.`}));
  }
}

function download(name, text) {
  const link = element("a", {href: URL.createObjectURL(new Blob([text], {type: "text/csv"})), download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
