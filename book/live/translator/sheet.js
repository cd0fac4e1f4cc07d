"use strict";
// One tensor opened: its name in lib/trace, shape, lowest and highest value, and its
// numbers as a heatmap whose cells can be read by pointer and by arrow keys.
(() => {
  const space = (bookLive.translator ??= {});
  const { make, number } = bookLive;
  const HEIGHT = 20; // of a row, in pixels of the page

  space.sheet = ({ words, config, change }) => {
    const catalog = space.catalog(config);
    const entries = new Map(catalog.map((entry) => [entry.name, entry]));
    const title = ({ stack, layer }) => (layer === undefined ? words[stack] : `${words[stack]}, ${space.fill(words.layer, { layer })}`);
    const groups = new Map();
    for (const entry of catalog) {
      const key = title(entry.group);
      if (!groups.has(key)) groups.set(key, make("optgroup", { label: key }));
      const short = entry.part ? `${entry.part}.${entry.kind}` : entry.kind;
      groups.get(key).append(make("option", { value: entry.name }, `${short} · ${words.tensors[entry.kind]}`));
    }
    const pick = make("select", { class: "tr-select", onchange: () => set({ name: pick.value }) }, [...groups.values()]);
    const heads = make("select", { class: "tr-select", onchange: () => set({ head: Number(heads.value) }) },
      Array.from({ length: config.n_heads }, (_, head) => make("option", { value: head }, String(head))));
    const headLabel = make("label", {}, words.which_head, heads);
    const facts = make("p", { class: "tr-facts" });
    const rows = make("div", { class: "tr-rows", "aria-hidden": "true" });
    const canvas = make("canvas", { tabindex: "0", role: "img" });
    const read = make("p", { class: "tr-read", role: "status" });
    const columns = make("div", { class: "tr-columns", "aria-hidden": "true" });
    const field = make("div", { class: "tr-field" }, columns, rows, make("div", {}, canvas));
    const root = make("div", { class: "tr-sheet" },
      make("div", { class: "tr-picks" }, make("label", {}, words.tensor, pick), headLabel), facts, field, read);
    const state = { name: catalog.find((entry) => entry.name.endsWith("cross.pattern")).name, head: 0 };
    let shown = null, cursor = null;

    const set = (wanted) => { Object.assign(state, wanted); cursor = null; change(); };

    // Open the tensor that belongs to a part: a head, a feed-forward, a layer.
    const open = (part) => {
      const [stack, , layer, kind, head] = part.split(".");
      const block = `${stack}.blocks.${layer}`, last = state.name.split(".").at(-1);
      if (head !== undefined) set({ name: `${block}.${kind}.${["q", "k", "v", "scores", "pattern", "z"].includes(last) ? last : "pattern"}`, head: Number(head) });
      else set({ name: kind ? `${block}.mlp.post` : `${block}.resid_post` });
    };

    // run; labels of rows and columns by side; how many target rows are written; the
    // token that is pointed at
    const draw = (now) => {
      shown = { ...now, entry: entries.get(state.name) };
      const { run, labels, written, at, entry } = shown;
      pick.value = state.name;
      heads.value = state.head;
      headLabel.hidden = !entry.heads;
      const matrix = (shown.matrix = space.matrix(run, entry, state.head, config.d_model / config.n_heads));
      if (!matrix) {
        facts.replaceChildren(make("code", {}, state.name), ` ${words.tensor_off}`);
        field.hidden = true;
        read.textContent = "";
        return;
      }
      field.hidden = false;
      const most = entry.rows === "target" ? written : matrix.rows.length;
      let low = Infinity, high = -Infinity;
      for (const row of matrix.rows) for (const value of row) { low = Math.min(low, value); high = Math.max(high, value); }
      Object.assign(shown, { most, low, high });
      const shape = matrix.shape.join(" × ");
      facts.replaceChildren(make("code", {}, state.name), ...[[words.shape, shape], [words.lowest, number(low)], [words.highest, number(high)]]
        .map(([key, value]) => make("span", {}, `${key} `, make("b", {}, value))));
      canvas.setAttribute("aria-label", space.fill(words.tensor_picture, { name: state.name, shape, lowest: number(low), highest: number(high) }));
      const name = (i) => labels[entry.rows === "target" ? "rows" : "source"][i];
      rows.replaceChildren(...matrix.rows.map((_, i) => make("span", {
        class: at && at.index === i && at.side === entry.rows ? "tr-here" : i < most ? "" : "tr-later" }, name(i))));
      columns.replaceChildren(...(!entry.columns ? [] : labels[entry.columns === "target" ? "reads" : "source"].slice(0, matrix.width)
        .map((label, i) => make("span", { class: at?.side === entry.columns && at.index === i ? "tr-here" : "", title: label }, label))));
      paint();
    };

    const paint = () => {
      const { matrix, entry, most, low, high, at } = shown;
      const count = matrix.rows.length, scale = globalThis.devicePixelRatio || 1;
      const width = Math.min(canvas.parentNode.clientWidth || 300, matrix.width * 36), height = count * HEIGHT;
      canvas.style.cssText = `width:${width}px;height:${height}px`;
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      columns.style.width = `${width}px`;
      const brush = canvas.getContext("2d");
      brush.scale(scale, scale);
      const signed = low < 0;
      const largest = Math.max(Math.abs(low), Math.abs(high)) || 1;
      const colours = signed ? [bookLive.colour("c-plum"), bookLive.colour("c-tokens")] : [null, bookLive.colour("c-attention")];
      const step = width / matrix.width, gap = step > 8 ? 1 : 0;
      brush.globalAlpha = 1;
      brush.fillStyle = bookLive.colour("sunk");
      matrix.rows.slice(0, most).forEach((row, i) => brush.fillRect(0, i * HEIGHT, row.length * step - gap, HEIGHT - 1));
      matrix.rows.slice(0, most).forEach((row, i) => row.forEach((value, j) => {
        brush.globalAlpha = Math.abs(value) / largest;
        brush.fillStyle = colours[value < 0 ? 0 : 1];
        brush.fillRect(j * step, i * HEIGHT, step - gap, HEIGHT - 1);
      }));
      brush.globalAlpha = 1;
      brush.strokeStyle = bookLive.colour("ink");
      brush.lineWidth = 1.5;
      const column = at && at.side === entry.columns ? at.index : -1;
      if (at && at.side === entry.rows && at.index < most) brush.strokeRect(0.75, at.index * HEIGHT + 0.25, width - 1.5, HEIGHT - 1.5);
      if (column >= 0 && column < matrix.width) brush.strokeRect(column * step + 0.25, 0.75, step - gap - 0.5, most * HEIGHT - 2);
      if (cursor && cursor.row < most) brush.strokeRect(cursor.column * step + 0.25, cursor.row * HEIGHT + 0.25, Math.max(step - gap - 0.5, 2), HEIGHT - 1.5);
      say();
    };

    const say = () => {
      const { matrix, entry, most, labels } = shown;
      if (!cursor || cursor.row >= most || cursor.column >= matrix.width) { read.textContent = ""; return; }
      const value = matrix.rows[cursor.row][cursor.column];
      read.textContent = space.fill(words.cell, {
        row: labels[entry.rows === "target" ? "rows" : "source"][cursor.row],
        column: entry.columns ? labels[entry.columns === "target" ? "reads" : "source"][cursor.column]
          : entry.name === "logits" ? labels.vocabulary(cursor.column) : space.fill(words.dimension, { n: cursor.column }),
        value: value === undefined ? words.hidden : number(value) });
    };

    canvas.addEventListener("pointermove", (event) => {
      if (!shown?.matrix) return;
      const box = canvas.getBoundingClientRect();
      cursor = { row: Math.floor((event.clientY - box.top) / HEIGHT), column: Math.min(Math.max(0,
        Math.floor((event.clientX - box.left) / box.width * shown.matrix.width)), shown.matrix.width - 1) };
      paint();
    });
    canvas.addEventListener("pointerleave", () => { cursor = null; if (shown?.matrix) paint(); });
    canvas.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (!move || !shown?.matrix) return;
      event.preventDefault();
      const { row, column } = cursor ?? { row: 0, column: -move[1] };
      cursor = { row: Math.min(Math.max(row + move[0], 0), shown.most - 1),
        column: Math.min(Math.max(column + move[1], 0), shown.matrix.width - 1) };
      paint();
    });
    let wide = 0;
    new ResizeObserver(() => {
      if (shown?.matrix && field.clientWidth !== wide) { wide = field.clientWidth; paint(); }
    }).observe(field);
    return { root, draw, open, repaint: () => { if (shown?.matrix) paint(); } };
  };
})();
