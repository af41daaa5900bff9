// Opens what the page holds and draws every figure. It filters and shows; every number comes from the tables.
const given = JSON.parse(document.getElementById("data").textContent);

async function fixed({id, title, spec}) {  // a chart of kept results: nothing to choose
  const home = labelled(element("div", {className: "chart"}), "img", `${title}; the table below it holds its numbers`);
  document.getElementById(id).append(element("figure", {}, element("figcaption", {textContent: title}), home));
  delete spec.config;
  delete spec.background;
  const draw = () => {
    for (const part of spec.vconcat || []) part.width = Math.max(150, home.clientWidth - 80);
    if (!spec.vconcat) Object.assign(spec, {width: "container", autosize: {type: "fit-x", contains: "padding"}});
    return embed(home, spec, "svg");
  };
  await draw();
  return draw;
}
async function start() {
  document.head.append(element("script", {textContent: await (await inflated(given.vega)).text()}));
  const page = {points: await Points.of(given.packed), figures: [], step: null};
  for (const about of given.figures) {
    const figure = new Figure(about, page);
    document.getElementById(about.id).append(figure.whole);
    page.figures.push(figure);
  }
  for (const figure of page.figures) await figure.draw();
  const others = [];
  for (const about of given.fixed) others.push(await fixed(about));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { page.figures.forEach(f => f.draw()); others.forEach(draw => draw()); });
  const {points} = page;
  window.page = {figures: page.figures, points, decoded: points.decoded.bind(points), matching: points.matching.bind(points), csv, draw: f => f.draw()};
  performance.mark("drawn");
  document.documentElement.dataset.ready = "yes";
}
start().catch(error => {
  console.error(error);
  document.getElementById("failed").textContent = `The figures cannot be drawn: ${error.message}. Chromium 80, Firefox 113 or Safari 16.4 or newer is needed.`;
});
