"use strict";
// Curves over one quantity, a slider that goes along it, and above them, where there is
// one, the plane in which a point moves. What each curve says there stands in a list.
bookLive.instrument("curves", ({ root, words, data, say, framed }) => {
  const { make, number, side } = bookLive;
  const [figure] = Object.values(data);
  const { x: stops, curves, plane } = figure;
  const last = stops.length - 1;
  const GAP = 12, BELOW = 26, LEFT = 50;
  let width = 0, wide = 0;

  const ways = curves.map(({ colour, dash }) => make("path", { class: "curve", stroke: `var(--c-${colour})`, "stroke-dasharray": dash }));
  const marks = curves.map(({ colour }) => make("circle", { class: "spot", r: 5.5, fill: `var(--c-${colour})` }));
  const cursor = make("line", { class: "cursor" }), grid = make("g", { class: "grid" });
  const chart = make("svg", { class: "chart", "aria-hidden": "true" }, grid, cursor, ways, marks);
  const moved = { disc: make("circle", { class: "moved" }), way: make("line", { class: "way" }), name: make("text", {}) };
  const still = make("g", {});
  const field = plane && make("svg", { class: "field", "aria-hidden": "true" }, still, moved.way, moved.disc, moved.name);
  const lines = curves.map(({ name, colour }) => {
    const value = make("b", {});
    return { name: side(name), value, node: make("li", {}, make("span", { class: "key", style: `background: var(--c-${colour})` }), side(name), value) };
  });
  const slider = bookLive.slider({ label: side(figure.label), value: stops[figure.start], values: [...stops],
    format: (value) => value.toFixed(1), play: true, pace: 120, change: () => paint() });

  // ---- scales: the chart's height is logarithmic and ends at `floor`
  const [floor, ceiling] = figure.range;
  const high = () => Math.round(Math.min(width * 0.4, 260));
  const px = (value) => LEFT + (value - stops[0]) / (stops[last] - stops[0]) * (width - LEFT - GAP);
  const py = (value) => GAP + (Math.log(ceiling) - Math.log(value)) / (Math.log(ceiling) - Math.log(floor)) * (high() - GAP - BELOW);
  const unit = () => wide / (plane.view[1] - plane.view[0]);
  const qx = ([at]) => (at - plane.view[0]) * unit();
  const qy = ([, at]) => (plane.view[3] - at) * unit();

  const lay = () => {
    width = chart.parentNode.clientWidth;
    chart.setAttribute("viewBox", `0 0 ${width} ${high()}`);
    curves.forEach(({ y }, i) => {
      let pen = "M";
      ways[i].setAttribute("d", [...y].map((value, at) => {
        if (!(value >= floor)) { pen = "M"; return ""; } // what is 0 has no logarithm
        const piece = `${pen}${px(stops[at]).toFixed(1)} ${py(value).toFixed(1)}`;
        pen = "L";
        return piece;
      }).join(""));
    });
    grid.replaceChildren(...figure.ticks.flatMap((value) => [
      make("line", { x1: LEFT, x2: width - GAP, y1: py(value), y2: py(value) }),
      make("text", { x: LEFT - 8, y: py(value), "text-anchor": "end", "dominant-baseline": "central" }, String(value)),
    ]), ...[...stops].filter((value) => Number.isInteger(value)).map((value) =>
      make("text", { x: px(value), y: high() - 8, "text-anchor": "middle" }, number(value))));
    if (!plane) return;
    wide = field.clientWidth || width;
    field.setAttribute("viewBox", `0 0 ${wide} ${Math.round((plane.view[3] - plane.view[2]) * unit())}`);
    const ring = make("circle", { class: "ring", cx: qx([0]), cy: qy([0, 0]), r: plane.radius * unit() });
    const [zx, zy] = [qx(plane.zero), qy(plane.zero)];
    still.replaceChildren(ring, make("path", { class: "zero", d: `M${zx - 5} ${zy - 5}l10 10M${zx + 5} ${zy - 5}l-10 10` }),
      ...plane.fixed.flatMap(([name, ...at], i) => [
        make("circle", { class: i ? "fixed" : "query", cx: qx(at), cy: qy(at), r: 7 }),
        make("text", { x: qx(at), y: qy(at) - 13, "text-anchor": "middle" }, name)]));
  };

  const paint = framed(() => {
    if (chart.parentNode.clientWidth !== width) lay();
    const at = Number(slider.range.value);
    for (const key of ["x1", "x2"]) cursor.setAttribute(key, px(stops[at]));
    cursor.setAttribute("y1", GAP);
    cursor.setAttribute("y2", high() - BELOW);
    curves.forEach(({ y }, i) => {
      marks[i].setAttribute("display", y[at] >= floor ? "inline" : "none");
      marks[i].setAttribute("cx", px(stops[at]));
      marks[i].setAttribute("cy", py(Math.max(y[at], floor)));
      lines[i].value.textContent = number(y[at]);
    });
    if (plane) {
      const place = plane.moving[at];
      const r = 7 * Math.sqrt(plane.mass), [mx, my] = [qx(place), qy(place)];
      for (const [key, value] of Object.entries({ cx: mx, cy: my, r })) moved.disc.setAttribute(key, value);
      for (const [key, value] of Object.entries({ x1: qx([0]), y1: qy([0, 0]), x2: mx, y2: my })) moved.way.setAttribute(key, value);
      moved.name.textContent = plane.name;
      for (const [key, value] of Object.entries({ x: mx, y: my - r - 6, "text-anchor": "middle" })) moved.name.setAttribute(key, value);
    }
    say(`${side(figure.label)} ${stops[at].toFixed(1)}. ${side(figure.value)}: ${lines.map(({ name, value }) => `${name} ${value.textContent}`).join(", ")}.`);
  });

  root.append(...(plane ? [field] : []), make("p", { class: "axis" }, side(figure.value)), make("div", {}, chart), slider.root, make("ul", { class: "values" }, lines.map(({ node }) => node)));
  new ResizeObserver(paint).observe(chart.parentNode);
  paint();
});
