"use strict";
// The gravity sandbox: tokens on a plane, the weights of one query by gravity and by the
// dot product, and the controls of the kernel. A token's value is its own place, so that
// the mixed value is a place as well.
bookLive.instrument("sandbox", ({ root, words, data, say, framed, onTheme }) => {
  const { make, number, fill, pure: { gravity } } = bookLive;
  const start = data.sandbox;
  const MASSES = Array.from({ length: 31 }, (_, i) => 2 ** ((i - 12) / 3)); // 1/16 … 64
  const EPS = [1e-6, 1e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1];
  const ROWS = 6;
  const including = (list, value) => [...new Set([...list, value])].sort((a, b) => a - b);
  // 10⁻⁶ and the like, as the chapter writes them
  const small = (value) => value < 1e-3 ? `10⁻${"⁰¹²³⁴⁵⁶⁷⁸⁹"[Math.round(-Math.log10(value))]}` : number(value);
  const rows = (array) => Array.from({ length: array.shape[0] }, (_, i) => [...array.subarray(2 * i, 2 * i + 2)]);

  const story = (name) => {
    const { places = start.places, mass = start.mass, names = start.names, query = 0, ...pull } = Object.fromEntries(start.presets)[name];
    return { names: [...names], places: rows(places), mass: [...mass], query, selected: query, pull: { ...start.pull, ...pull } };
  };
  let state = story("start"), began = [];

  // ---- what stands where
  const told = make("p", { class: "story" });
  const contours = make("p", { class: "contours" });
  const table = make("tbody", {});
  const head = make("caption", {});
  const mixed = { gravity: make("td", {}), dot: make("td", {}) };
  const plane = bookLive.plane({
    words, view: start.view,
    move: (index, place) => { state.places[index] = place; changed(); },
    select: (index) => { state.selected = index; changed(); },
    ask: (index) => { state.query = index; state.selected = index; changed(); },
    weigh: (index, by) => {
      const now = state.mass[index];
      state.selected = index;
      state.mass[index] = (by > 0 ? MASSES.find((mass) => mass > now * 1.001)
        : MASSES.findLast((mass) => mass < now * 0.999)) ?? now;
      changed();
    },
  });

  // ---- the controls: each sets one number of the pull
  const presets = bookLive.presets({
    label: words.presets,
    options: start.presets.map(([name]) => [name, words.preset[name]]),
    choose: (name) => begin(name),
  });
  const set = (key) => (value) => { state.pull[key] = value; changed(); };
  const kernel = bookLive.choice({ label: words.kernel, value: state.pull.kernel, change: set("kernel"),
    options: ["newton", "gaussian", "potential"].map((name) => [name, name]) });
  const cutoff = bookLive.choice({ label: words.cutoff, value: state.pull.cutoff, change: set("cutoff"),
    options: ["none", "hard", "soft", "compact"].map((name) => [name, name === "none" ? words.none : name]) });
  const sign = bookLive.choice({ label: words.sign, value: String(state.pull.sign), change: (value) => set("sign")(Number(value)),
    options: [["1", words.attract], ["-1", words.repel]] });
  const sliders = {
    strength: bookLive.slider({ label: words.strength_p, value: state.pull.strength, min: 0, max: 6, step: 0.01, change: set("strength") }),
    eps: bookLive.slider({ label: words.eps, value: state.pull.eps, values: including(EPS, state.pull.eps), format: small, change: set("eps") }),
    beta: bookLive.slider({ label: words.beta, value: state.pull.beta, min: -2, max: 2, step: 0.05, change: set("beta") }),
    radius: bookLive.slider({ label: words.radius, value: state.pull.radius, min: 0.1, max: 4, step: 0.05, change: set("radius") }),
  };
  const mass = bookLive.slider({ label: words.mass, value: 1, values: MASSES, change: (value) => { state.mass[state.selected] = value; changed(); } });
  const causal = bookLive.toggle({ label: words.causal, value: state.pull.causal, change: set("causal") });
  const asking = bookLive.button(words.make_query, () => { state.query = state.selected; changed(); plane.focus(state.query); });
  const logit = make("code", {});

  const refresh = () => {
    const { pull } = state;
    for (const [key, slider] of Object.entries(sliders)) if (slider.value !== pull[key]) slider.set(pull[key], false);
    kernel.set(pull.kernel);
    cutoff.set(pull.cutoff);
    sign.set(String(pull.sign));
    causal.set(pull.causal);
    logit.textContent = words.logits[pull.kernel];
    sliders.strength.name(pull.kernel === "newton" ? words.strength_p : words.strength_gamma);
    sliders.beta.name(pull.kernel === "potential" ? words.bias : words.beta);
    sliders.eps.range.disabled = pull.kernel === "gaussian";
    sliders.radius.range.disabled = pull.cutoff === "none";
    sign.root.disabled = pull.kernel !== "potential";
    mass.name(fill(words.mass, { name: state.names[state.selected] }));
    mass.through(including(including(MASSES, began[state.selected]), state.mass[state.selected]));
    mass.set(state.mass[state.selected], false);
    mass.from(began[state.selected]);
    asking.disabled = state.selected === state.query;
  };

  // ---- the weights: a row a token, or of many tokens those that weigh most
  const bar = (kind) => {
    const fillIn = make("span", { class: `share ${kind}` }), text = make("span", { class: "number" });
    return { cell: make("td", {}, make("span", { class: "track" }, fillIn), text), show: (weight) => {
      fillIn.style.width = `${(100 * weight).toFixed(1)}%`;
      text.textContent = weight.toFixed(3);
    } };
  };
  const lines = Array.from({ length: ROWS + 1 }, () => {
    const name = make("th", { scope: "row" }), bars = { gravity: bar("gravity"), dot: bar("dot") };
    return { name, bars, row: make("tr", {}, name, bars.gravity.cell, bars.dot.cell) };
  });
  const weigh = (now) => {
    const order = now.places.map((_, j) => j);
    if (order.length > ROWS) order.sort((a, b) => now.gravity.weights[b] - now.gravity.weights[a]);
    const shown = order.slice(0, ROWS), rest = order.slice(ROWS);
    head.textContent = fill(words.weights, { name: now.names[now.query] });
    lines.forEach(({ name, bars, row }, i) => {
      row.hidden = i >= shown.length && !(i === ROWS && rest.length);
      if (row.hidden) return;
      const all = i === ROWS ? rest : [shown[i]];
      name.textContent = i === ROWS ? fill(words.others, { n: rest.length }) : now.names[shown[i]];
      row.className = `${all[0] === now.query ? "query" : ""}${all.length === 1 && all[0] === now.selected ? " selected" : ""}`;
      for (const kind of ["gravity", "dot"]) bars[kind].show(all.reduce((sum, j) => sum + now[kind].weights[j], 0));
    });
    const place = ([px, py]) => fill(words.place, { x: px.toFixed(2).replace("-", "−"), y: py.toFixed(2).replace("-", "−") });
    const best = (weights) => weights.indexOf(Math.max(...weights));
    for (const kind of ["gravity", "dot"]) mixed[kind].textContent = place(now[kind].mixed);
    const [top, other] = [best(now.gravity.weights), best(now.dot.weights)];
    say(fill(words.said, { name: now.names[now.query], top: now.names[top], weight: now.gravity.weights[top].toFixed(2),
      dot_top: now.names[other], dot_weight: now.dot.weights[other].toFixed(2),
      mixed: place(now.gravity.mixed), dot_mixed: place(now.dot.mixed) }), () => plane.label(now));
  };

  // ---- one frame
  let ink = null;
  const paint = framed(() => {
    ink ??= bookLive.rgb("accent");
    const { places, mass: masses, query, pull } = state;
    const now = { ...state, ink, seen: places.map((_, j) => gravity.visible(query, j, pull.causal)),
      gravity: gravity.attend(places, masses, places, query, pull), dot: gravity.dot(places, places, query, pull) };
    const times = plane.draw(now);
    contours.textContent = times ? fill(words.contours, { times: times.toLocaleString("en") }) : words.flat;
    weigh(now);
  });
  const changed = () => { refresh(); paint(); };
  const begin = (name) => {
    state = story(name);
    began = [...state.mass];
    for (const [key, slider] of Object.entries(sliders)) slider.from(state.pull[key]);
    presets.mark(name);
    told.textContent = words.story[name];
    plane.place(state.names);
    changed();
  };

  const key = (kind, text) => make("th", { scope: "col" }, make("span", { class: `key ${kind}`, "aria-hidden": "true" }), text);
  root.append(
    presets.root, told,
    make("div", { class: "both" },
      make("div", {}, plane.root, contours),
      make("table", { class: "weights" }, head,
        make("thead", {}, make("tr", {}, make("td", {}), key("gravity", words.gravity), key("dot", words.dot))),
        table, make("tfoot", {}, make("tr", {}, make("th", { scope: "row" }, words.mixed), mixed.gravity, mixed.dot)))),
    make("p", { class: "hint" }, words.hint),
    make("div", { class: "one" }, mass.root, asking, causal.root),
    make("div", { class: "rules" }, kernel.root, make("p", { class: "logit" }, logit)),
    make("div", { class: "knobs" }, sliders.strength.root, sliders.eps.root, sliders.beta.root, sliders.radius.root),
    make("div", { class: "choices" }, cutoff.root, sign.root));
  table.append(...lines.map(({ row }) => row));
  onTheme(() => { ink = null; paint(); });
  new ResizeObserver(paint).observe(plane.root);
  begin("start");
});
