"use strict";
// One query of one head: its row of numbers meets the keys, becomes logits, weights,
// and a mixture of values, one step at a time.
bookLive.instrument("head", ({ root, words, data, say, onTheme }) => {
  const { make, number, colour } = bookLive;
  const { attend } = bookLive.pure.head;
  const { sentences, size } = data.head;
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, key) => values[key]);
  const first = document.documentElement.lang === "en" ? sentences.length - 1 : 0;
  const state = { sentence: first, row: 0, stage: 4, temperature: 1 };
  const percent = (share) => `${(100 * share).toFixed(1)}%`;

  const choice = sentences.length > 1 && bookLive.choice({ label: words.sentence, value: String(first),
    options: sentences.map(({ name }, i) => [String(i), name[document.documentElement.lang] ?? name.en]),
    change: (i) => { state.sentence = Number(i); state.row = start(); tokens(); draw(); } });
  const stage = bookLive.slider({ label: words.stage, min: 0, max: 4, step: 1, value: 4, play: true, pace: 1400,
    format: (n) => words.stages[n], change: (n) => { state.stage = n; draw(); say(told.textContent); } });
  const heat = bookLive.slider({ label: words.temperature, values: [0.25, 0.5, 0.7, 1, 1.5, 2, 4, 8], value: 1,
    change: (tau) => { state.temperature = tau; draw(); say(told.textContent); } });
  const list = make("div", { class: "hd-tokens", role: "group", "aria-label": words.query });
  const told = make("p", { class: "hd-told" });
  const table = make("table", { class: "hd-table" });
  root.append(...[choice?.root].filter(Boolean), make("p", { class: "hd-label" }, words.query, make("span", {}, words.query_hint)), list,
    make("div", { class: "hd-sliders" }, stage.root, heat.root), told,
    make("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": words.title }, table));

  const now = () => sentences[state.sentence];
  const start = () => Math.min(now().tokens.length - 1, Math.floor(now().tokens.length * 0.6));
  const tokens = () => list.replaceChildren(...now().tokens.map((token, i) => make("button", { type: "button",
    class: "hd-token", tabindex: i === state.row ? "0" : "-1", "data-index": i, onclick: () => choose(i) }, token)));
  const choose = (i, focus) => {
    state.row = i;
    draw();
    if (focus) list.children[i].focus();
    say(told.textContent);
  };
  list.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: state.row - 1, ArrowRight: state.row + 1, Home: 0, End: list.children.length - 1 }[event.key];
    if (to === undefined || !list.children[to]) return;
    event.preventDefault();
    choose(to, true);
  });

  // A row of numbers as a strip of colour: plum below zero, teal above, fading with a weight.
  const strips = [];
  const strip = (name, token, row, most, fade = 1) => {
    const canvas = make("canvas", { class: "hd-strip", role: "img", "aria-label": fill(words.strip, { name, token, size,
      lowest: number(Math.min(...row)), highest: number(Math.max(...row)) }) });
    strips.push(() => {
      canvas.width = row.length * 4;
      canvas.height = 4;
      const brush = canvas.getContext("2d");
      row.forEach((value, i) => {
        brush.globalAlpha = Math.min(Math.abs(value) / most, 1) * fade;
        brush.fillStyle = colour(value < 0 ? "c-plum" : "c-tokens");
        brush.fillRect(i * 4, 0, 4, 4);
      });
    });
    return canvas;
  };
  const paint = () => strips.forEach((action) => action());

  const draw = () => {
    const { tokens: names, query, key, value } = now();
    const { row, stage: at, temperature } = state;
    const { q, scores, weights, z, entropy } = attend(query, key, value, size, row, temperature);
    const peak = (array) => { const sizes = Array.from(array, Math.abs).sort((a, b) => a - b); return sizes[Math.floor(0.99 * (sizes.length - 1))] || 1; };
    const best = scores.indexOf(Math.max(...scores));
    [...list.children].forEach((node, i) => {
      node.tabIndex = i === row ? 0 : -1;
      node.setAttribute("aria-pressed", String(i === row));
      node.classList.toggle("hd-hidden", i > row);
      node.style.setProperty("--w", at >= 2 && i <= row ? weights[i].toFixed(3) : 0);
    });
    told.textContent = fill(words.says[at], { token: names[row], size, best: names[best], score: number(scores[best]), weight: percent(weights[best]), entropy: entropy.toFixed(2) });
    strips.length = 0;
    const [ofQ, ofK, ofV] = [query, key, value].map(peak);
    const low = Math.min(...scores), span = Math.max(...scores) - low || 1;
    const seen = (from, node) => make("td", { class: at >= from ? "" : "hd-later" }, node);
    const bar = (share, text) => make("span", { class: "hd-bar", style: `--w:${share.toFixed(4)}` }, make("b", {}, text));
    table.replaceChildren(
      make("thead", {},
        make("tr", { class: "hd-query" }, make("th", { scope: "row" }, `q · ${names[row]}`), make("td", {}, strip("q", names[row], q, ofQ)),
          make("td"), make("td", { class: at >= 4 ? "hd-name" : "hd-name hd-later" }, make("span", {}, "z")), seen(4, at >= 4 ? strip(words.output, names[row], z, ofV) : "")),
        make("tr", {}, [words.token, words.key, words.score, words.weight, words.value].map((text) => make("th", { scope: "col" }, text)))),
      make("tbody", {}, scores.map((score, j) => make("tr", {}, make("th", { scope: "row" }, names[j]),
        make("td", {}, strip(words.key, names[j], key.subarray(j * size, (j + 1) * size), ofK)),
        seen(1, bar((score - low) / span, number(score))), seen(2, bar(weights[j], percent(weights[j]))),
        seen(3, strip(words.value, names[j], value.subarray(j * size, (j + 1) * size), ofV, at >= 3 ? Math.sqrt(weights[j]) : 1))))));
    paint();
  };

  state.row = start();
  tokens();
  draw();
  onTheme(paint);
});
