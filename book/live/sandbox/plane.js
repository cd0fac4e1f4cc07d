"use strict";
// The plane of the sandbox: the landscape on a canvas, and on top of it the tokens, their
// links to the query and the two mixed values, as a drawing that hand and keys can move.
(() => {
  const { make, number, colour, pure: { landscape } } = bookLive;
  const CELLS = 6912, PAIRS = 100_000; // of the landscape's grid; with many tokens fewer
  const STEP = 0.1, FEW = 12; // an arrow's way; tokens that all stand in the order of Tab
  // Set what has changed and nothing else: a frame moves one token of many.
  const before = new WeakMap();
  const put = (node, attributes) => {
    if (!before.has(node)) before.set(node, {});
    const last = before.get(node);
    for (const key in attributes) if (last[key] !== attributes[key]) node.setAttribute(key, last[key] = attributes[key]);
  };
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  bookLive.fill = fill;

  bookLive.plane = ({ words, view, move, select, ask, weigh }) => {
    const [left, right, bottom, top] = view;
    const canvas = make("canvas", { "aria-hidden": "true" });
    const small = document.createElement("canvas");
    const origin = make("path", { class: "origin" });
    const ring = make("circle", { class: "ring" });
    const links = make("g", { class: "links" }), tokens = make("g", {});
    const arrows = make("g", { class: "arrows" });
    const ends = { dot: make("path", { class: "mixed dot" }), gravity: make("path", { class: "mixed gravity" }) };
    const ways = { dot: make("line", { class: "way dot" }), gravity: make("line", { class: "way gravity" }) };
    arrows.append(ways.dot, ways.gravity, ends.dot, ends.gravity);
    const svg = make("svg", { role: "group", "aria-label": words.plane }, origin, ring, links, tokens, arrows);
    const root = make("div", { class: "plane" }, canvas, svg);
    let width = 0, height = 0, nodes = [], lines = [];

    const x = (at) => (at - left) / (right - left) * width;
    const y = (at) => (top - at) / (top - bottom) * height;
    const back = (px, py) => [left + px / width * (right - left), top - py / height * (top - bottom)];
    const inside = ([a, b]) => [Math.min(Math.max(a, left), right), Math.min(Math.max(b, bottom), top)];
    const radiusOf = (mass) => Math.min(6 + 3.2 * Math.sqrt(mass), 30);

    const resize = () => {
      width = root.clientWidth;
      height = Math.round(width * (top - bottom) / (right - left));
      const scale = Math.min(devicePixelRatio || 1, 2);
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      root.style.height = `${height}px`;
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    };

    // ---- the hand and the keys
    const drag = (node, index) => {
      let grip = null;
      node.addEventListener("pointerdown", (event) => {
        if (event.button) return;
        event.preventDefault();
        node.focus({ preventScroll: true });
        node.setPointerCapture(event.pointerId);
        const box = svg.getBoundingClientRect();
        const at = nodes[index].at;
        grip = [event.clientX - box.left - x(at[0]), event.clientY - box.top - y(at[1])];
      });
      node.addEventListener("pointermove", (event) => {
        if (!grip) return;
        const box = svg.getBoundingClientRect();
        move(index, inside(back(event.clientX - box.left - grip[0], event.clientY - box.top - grip[1])));
      });
      for (const end of ["pointerup", "pointercancel"]) node.addEventListener(end, () => { grip = null; });
      node.addEventListener("dblclick", () => ask(index));
      node.addEventListener("focus", () => select(index));
      node.addEventListener("keydown", (event) => {
        const far = event.shiftKey ? 5 * STEP : STEP, [px, py] = nodes[index].at;
        const to = { ArrowLeft: [px - far, py], ArrowRight: [px + far, py], ArrowUp: [px, py + far], ArrowDown: [px, py - far] }[event.key];
        const heavier = { "+": 1, "=": 1, "-": -1, "−": -1, _: -1 }[event.key];
        const next = { PageDown: 1, PageUp: -1 }[event.key];
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        if (to) move(index, inside(to));
        else if (heavier) weigh(index, heavier);
        else if (next) nodes[(index + next + nodes.length) % nodes.length].node.focus();
        else if (event.key === "Enter" || event.key === " ") ask(index);
        else return;
        event.preventDefault();
      });
    };

    const place = (names) => {
      lines = names.map(() => make("line", {}));
      nodes = names.map((name, index) => {
        const disc = make("circle", { class: "disc" }), hand = make("circle", { class: "hand", r: 22 });
        const label = make("text", {}, name);
        const node = make("g", { class: "token", role: "button", tabindex: 0 }, hand, disc, label);
        drag(node, index);
        return { node, disc, hand, label, at: [0, 0] };
      });
      links.replaceChildren(...lines);
      tokens.replaceChildren(...nodes.map(({ node }) => node));
    };

    // ---- what is drawn anew in every frame
    const paint = (state) => {
      const context = canvas.getContext("2d");
      const n = state.places.length;
      const columns = Math.round(Math.sqrt(Math.min(CELLS, PAIRS / n) * width / height));
      const rows = Math.round(columns * height / width);
      const values = landscape.grid(state.places, state.mass, state.query, state.pull, view, columns, rows);
      const { low, high, step, lines: levels } = landscape.levels(values);
      const [red, green, blue] = state.ink;
      const image = new ImageData(columns, rows), pixels = new Uint32Array(image.data.buffer);
      const tint = red | green << 8 | blue << 16; // little-endian, as is every browser's machine
      for (let at = 0; at < values.length; at++) {
        const share = Math.min((values[at] - low) / (high - low || 1), 1);
        const opacity = values[at] === -Infinity ? 0 : 14 + 112 * Math.max(share, 0);
        pixels[at] = tint | opacity << 24;
      }
      small.width = columns;
      small.height = rows;
      small.getContext("2d").putImageData(image, 0, 0);
      context.clearRect(0, 0, canvas.width, canvas.height);
      // the first and the last cell of the grid lie on the edges of the plane
      const [sx, sy] = [canvas.width / (columns - 1), canvas.height / (rows - 1)];
      context.drawImage(small, -sx / 2, -sy / 2, columns * sx, rows * sy);
      context.strokeStyle = `rgb(${red} ${green} ${blue} / .55)`;
      context.lineWidth = canvas.width / width;
      context.beginPath();
      for (const level of levels) {
        const pieces = landscape.contour(values, columns, rows, level);
        for (let i = 0; i < pieces.length; i += 4) {
          context.moveTo(pieces[i] * sx, pieces[i + 1] * sy);
          context.lineTo(pieces[i + 2] * sx, pieces[i + 3] * sy);
        }
      }
      context.stroke();
      return levels.length ? Math.round(Math.exp(step)) : 0;
    };

    const label = (state) => nodes.forEach(({ node }, j) => {
      const [px, py] = state.places[j];
      const text = !state.seen[j] ? words.hidden : j === state.query ? words.token_query : words.token;
      put(node, { "aria-label": fill(text, { name: state.names[j], x: px.toFixed(1), y: py.toFixed(1),
        mass: number(state.mass[j]), weight: state.gravity.weights[j].toFixed(2) }) });
    });

    const line = (from, to) => ({ x1: x(from[0]).toFixed(1), y1: y(from[1]).toFixed(1), x2: x(to[0]).toFixed(1), y2: y(to[1]).toFixed(1) });
    const diamond = (px, py, r) => `M${px} ${py - r}L${px + r} ${py}L${px} ${py + r}L${px - r} ${py}Z`;
    const drawTokens = (state) => {
      const many = state.places.length > FEW, asking = state.places[state.query];
      state.places.forEach((at, j) => {
        const { node, disc, hand, label: text } = nodes[j];
        const own = j === state.query, selected = j === state.selected;
        const r = radiusOf(state.mass[j]) * (many ? 0.6 : 1);
        nodes[j].at = at;
        put(node, {
          transform: `translate(${x(at[0]).toFixed(1)} ${y(at[1]).toFixed(1)})`,
          class: `token${own ? " query" : ""}${selected ? " selected" : ""}${state.seen[j] ? "" : " unseen"}`,
          "aria-pressed": String(own), tabindex: many && !selected ? -1 : 0,
        });
        put(disc, { r: r.toFixed(1) });
        put(hand, { r: Math.max(r, many ? 9 : 22).toFixed(1) });
        // beside the disc; above it where it is the query, on which another may lie
        const edge = x(at[0]) > width - 70;
        put(text, {
          x: (own ? 0 : edge ? -r - 5 : r + 5).toFixed(1), y: own ? (-r - 12).toFixed(1) : 0,
          "text-anchor": own ? "middle" : edge ? "end" : "start",
          display: many && !selected && !own ? "none" : "inline",
        });
        put(lines[j], { ...line(asking, at), "stroke-width": (14 * state.gravity.weights[j]).toFixed(2) });
      });
      if (!many) label(state);
    };

    const draw = (state) => {
      if (root.clientWidth !== width) resize();
      drawTokens(state);
      const asking = state.places[state.query], cut = state.pull.cutoff !== "none";
      // r² is the mean over two axes: on the plane the radius is √2 times as long
      put(ring, { display: cut ? "inline" : "none", cx: x(asking[0]), cy: y(asking[1]),
        r: state.pull.radius * Math.SQRT2 / (right - left) * width });
      const [ox, oy] = [x(0), y(0)];
      put(origin, { d: `M${ox - 5} ${oy - 5}l10 10M${ox + 5} ${oy - 5}l-10 10` });
      for (const kind of ["dot", "gravity"]) {
        const { mixed } = state[kind];
        put(ends[kind], { d: diamond(x(mixed[0]), y(mixed[1]), 7) });
        put(ways[kind], line(asking, mixed));
      }
      return paint(state);
    };

    return { root, place, draw, label, focus: (index) => nodes[index].node.focus({ preventScroll: true }) };
  };
})();
