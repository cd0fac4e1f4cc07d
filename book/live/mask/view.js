"use strict";
// The mask of the translator's encoder under the reader's brush: who may look at whom,
// what weights remain, and what the model then writes.
bookLive.instrument("mask", ({ root, words, data, say, framed }) => {
  const { make } = bookLive;
  const { pieces: { Pieces }, transformer: { Translator } } = bookLive.pure;
  const { config, weights, examples } = data.translator;
  const pieces = new Pieces(data.translator), model = new Translator(config, weights);
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, key) => values[key]);
  const numbers = (n) => Array.from({ length: n }, (_, i) => i);
  const shapes = { all: () => true, causal: (i, j) => j <= i, near: (i, j) => Math.abs(i - j) <= 1,
    self: (i, j) => i === j, blind: (i, j, n) => j < n - 1 };
  const state = { ids: [], mask: [], off: new Set(), layer: 0, head: 0, cell: [0, 0], plain: "", shape: "near" };

  const field = make("input", { type: "text", id: "mask-text", class: "mk-text", value: examples[0][0], autocomplete: "off",
    autocapitalize: "off", spellcheck: "false", "aria-describedby": "mask-said" });
  const wrong = make("p", { class: "mk-wrong", id: "mask-said", role: "status" });
  const presets = bookLive.presets({ label: words.presets, options: Object.keys(shapes).map((key) => [key, words[key]]),
    choose: (key) => { state.shape = key; reshape(shapes[key]); compute(); } });
  const grid = make("table", { class: "mk-grid mk-mask" }), seen = make("table", { class: "mk-grid" });
  const pick = make("select", { class: "mk-select", "aria-label": words.weights, onchange: () => { [state.layer, state.head] = pick.value.split(".").map(Number); show(); } },
    numbers(config.n_layers).flatMap((layer) => numbers(config.n_heads).map((head) =>
      make("option", { value: `${layer}.${head}` }, fill(words.head, { layer, head })))));
  const switches = make("div", { class: "mk-heads", role: "group", "aria-label": words.heads }, make("b", {}, words.heads),
    numbers(config.n_layers).map((layer) => make("span", {}, fill(words.layer, { layer }), numbers(config.n_heads).map((head) => {
      const name = `encoder.blocks.${layer}.attn.${head}`;
      return bookLive.button(`H${head}`, (event) => {
        if (!state.off.delete(name)) state.off.add(name);
        event.currentTarget.setAttribute("aria-pressed", String(!state.off.has(name)));
        pick.value = `${state.layer = layer}.${state.head = head}`;
        compute();
      }, { "aria-pressed": "true", "aria-label": `${fill(words.layer, { layer })}, H${head}` });
    }))));
  const answer = make("p", { class: "mk-answer" }), told = make("p", { class: "mk-hint" });
  root.append(make("label", { for: "mask-text", class: "mk-label" }, words.ask), field, wrong, presets.root,
    make("div", { class: "mk-pair" },
      make("div", {}, make("p", { class: "mk-label" }, words.mask), make("p", { class: "mk-hint" }, words.mask_hint), grid),
      make("div", {}, make("p", { class: "mk-label" }, words.weights), pick, seen)),
    switches, answer, told);

  const reshape = (rule) => {
    const n = state.ids.length;
    state.mask = numbers(n).map((i) => numbers(n).map((j) => rule(i, j, n)));
    numbers(n).forEach((i) => numbers(n).forEach((j) => { box(i, j).checked = state.mask[i][j]; }));
  };
  const box = (i, j) => grid.tBodies[0].rows[i].cells[j + 1].firstChild;
  const names = () => state.ids.map((id) => pieces.show(id));
  const head = () => make("thead", {}, make("tr", {}, make("td"), names().map((name) => make("th", { scope: "col" }, name))));
  const lay = () => {
    grid.replaceChildren(head(), make("tbody", {}, names().map((query, i) => make("tr", {}, make("th", { scope: "row" }, query),
      names().map((key, j) => make("td", {}, make("input", { type: "checkbox", tabindex: i || j ? "-1" : "0", "data-at": `${i},${j}`,
        "aria-label": fill(words.cell, { query, key }) })))))));
    seen.replaceChildren(head(), make("tbody", {}, names().map((query) => make("tr", {}, make("th", { scope: "row" }, query), names().map(() => make("td", {}, make("span")))))));
  };

  // ---- the brush
  let brush = null;
  const at = (node) => node.dataset.at.split(",").map(Number);
  const set = (node, on) => {
    const [i, j] = at(node);
    node.checked = state.mask[i][j] = on;
    presets.mark(null);
    later();
  };
  grid.addEventListener("pointerdown", (event) => {
    const node = event.target.closest("input");
    if (!node || event.pointerType !== "mouse" || event.button) return;
    brush = !node.checked;
    set(node, brush);
  });
  grid.addEventListener("pointerover", (event) => {
    const node = event.target.closest("input");
    if (node && brush !== null && event.buttons) set(node, brush);
  });
  addEventListener("pointerup", () => setTimeout(() => { brush = null; }));
  grid.addEventListener("click", (event) => { if (brush !== null && event.target.closest("input")) event.preventDefault(); });
  grid.addEventListener("change", (event) => { if (brush === null) set(event.target, event.target.checked); });
  grid.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const node = event.target.closest("input");
    if (!move || !node) return;
    event.preventDefault();
    const [i, j] = at(node), [y, x] = [i + move[0], j + move[1]];
    if (!state.mask[y] || state.mask[y][x] === undefined) return;
    node.tabIndex = -1;
    box(y, x).tabIndex = 0;
    box(y, x).focus();
  });

  // ---- what remains
  const show = () => {
    const rows = state.run.record[`encoder.blocks.${state.layer}.attn.pattern`][state.head];
    rows.forEach((row, i) => row.forEach((weight, j) => {
      const cell = seen.tBodies[0].rows[i].cells[j + 1];
      cell.style.setProperty("--w", weight.toFixed(3));
      cell.classList.toggle("mk-no", !state.mask[i][j]);
      cell.firstChild.textContent = state.mask[i][j] ? String(Math.round(100 * weight)) : "";
    }));
  };
  const compute = () => {
    const may = (query, key) => state.mask[query][key];
    model.masks = Object.fromEntries(numbers(config.n_layers).map((layer) => [`encoder.blocks.${layer}.attn`, may]));
    state.run = model.write(state.ids, state.off);
    const text = pieces.decode(state.run.written);
    const same = text === state.plain;
    answer.replaceChildren(make("span", {}, words.whole), make("b", {}, state.plain || "–"), make("span", {}, words.now), make("b", { class: same ? "" : "mk-other" }, text || "–"),
      make("span", {}, same ? words.same : words.other));
    const n = state.mask.flat().filter((on) => !on).length;
    told.textContent = fill(words.hidden, { n, total: state.mask.length ** 2 });
    show();
    say(`${told.textContent} ${words.now}: ${text}`);
  };
  const later = framed(compute);
  const read = () => {
    const text = field.value.trim().normalize("NFC");
    const letter = pieces.unknown(text);
    const ids = letter === undefined ? pieces.encode(text) : [];
    wrong.textContent = letter !== undefined ? fill(words.unknown, { letter })
      : ids.length > config.max_length ? fill(words.long, { count: ids.length, most: config.max_length }) : "";
    field.setAttribute("aria-invalid", String(Boolean(wrong.textContent)));
    if (wrong.textContent) return;
    state.ids = ids;
    model.masks = {};
    state.plain = pieces.decode(model.write(ids, new Set()).written);
    lay();
    reshape(shapes[state.shape]);
    presets.mark(state.shape);
    compute();
  };
  field.addEventListener("input", (event) => { if (!event.isComposing) read(); });
  field.addEventListener("compositionend", read);
  read();
});
