"use strict";
// The lattice of a word: an arc for each piece that stands in it, with its score, and the
// path that wins. Below, what BPE and Unigram make of the word, on the same places.
(() => {
  const live = globalThis.bookLive ??= {};
  const bench = (live.pure ??= {}).tokenizer ??= {};
  const CELL = 58, LEFT = 76, RIGHT = 28, LEVEL = 36, LONGEST = 64, MOST = 420;

  const bars = (pieces, y, kind) => {
    const { make } = live;
    let at = 0;
    return pieces.map((piece) => {
      const x = LEFT + at * CELL + 3, width = piece.length * CELL - 6;
      at += piece.length;
      return make("g", { class: `bar ${kind}` }, make("rect", { x, y, width, height: 24, rx: 6 }),
        make("text", { x: x + width / 2, y: y + 16.5 }, bench.shown(piece)));
    });
  };

  // spec: model, word, cuts (places a rule breaks at), upto (node that Viterbi has
  // reached), gold (pieces of BPE), fresh (ids that mean something new).
  bench.picture = ({ model, word, cuts = [], upto = word.length, gold, fresh = new Set(), names }, texts) => {
    const { make } = live;
    if (word.length > LONGEST) return make("p", { class: "bench-note" }, bench.fill(texts.too_long_lattice, { n: bench.count(word.length), most: LONGEST }));
    const across = (edge) => cuts.some((cut) => edge.start < cut && cut < edge.end);
    const edges = [...bench.edges(model, word)];
    const { best, path } = bench.within(model, word, cuts);
    const came = bench.arrivals(edges.filter((edge) => !across(edge)), word.length);
    const few = edges.length > MOST ? path : edges; // of a long run only the best path
    const sizes = [...new Set(few.map((edge) => edge.end - edge.start))].sort((a, b) => a - b);
    const rise = (edge) => LEVEL * (sizes.indexOf(edge.end - edge.start) + 1);
    const base = rise({ start: 0, end: sizes.at(-1) }) + 26;
    const low = base + (bench.characters(word).length ? 26 : 0); // below the letters
    const x = (node) => LEFT + node * CELL;
    const on = new Set(path.map((edge) => `${edge.start} ${edge.end}`));
    const kind = (edge) => {
      if (across(edge)) return "across";
      const key = `${edge.start} ${edge.end}`;
      if (upto === word.length) return on.has(key) ? "won" : fresh.has(edge.id) ? "fresh" : "";
      if (edge.end > upto) return "ahead";
      return came[edge.end]?.start === edge.start ? "best" : "";
    };
    const order = { ahead: 0, across: 1, "": 2, fresh: 3, best: 4, won: 5 };
    const drawn = few.map((edge) => ({ edge, kind: kind(edge) })).sort((a, b) => order[a.kind] - order[b.kind]);
    const arcs = drawn.map(({ edge, kind: name }) => make("path", { class: `arc ${name}`.trim(),
      d: `M${x(edge.start)} ${base}A${(edge.end - edge.start) * CELL / 2} ${rise(edge)} 0 0 1 ${x(edge.end)} ${base}` },
    make("title", {}, `${bench.shown(model.pieces[edge.id])}  ${bench.score(edge.score, 3)}`)));
    const labels = drawn.filter((one) => one.kind !== "ahead").map(({ edge, kind: name }) => {
      const cx = (x(edge.start) + x(edge.end)) / 2, cy = base - rise(edge);
      return make("text", { class: `score ${name}`.trim(), x: cx, y: cy - 5 }, bench.score(edge.score));
    });
    const letters = Array.from(word, (letter, at) => make("text", { class: "letter", x: x(at + 0.5), y: base + 19 }, bench.shown(letter)));
    const nodes = Array.from({ length: word.length + 1 }, (_, node) => make("g", { class: node > upto ? "node ahead" : "node" },
      make("circle", { cx: x(node), cy: base, r: 3.5 }),
      node && node <= upto ? make("text", { x: x(node), y: low + 38 }, bench.score(best[node])) : null));
    const ours = upto === word.length ? path.map((edge) => model.pieces[edge.id]) : [];
    const marks = cuts.map((cut) => make("g", { class: "cut" },
      make("line", { x1: x(cut), x2: x(cut), y1: 4, y2: low + 106 })));
    const width = LEFT + RIGHT + word.length * CELL, height = low + 108;
    const name = (text, y) => make("text", { class: "bar-name", x: 4, y }, text);
    return make("svg", { class: "bench-lattice", viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
      "aria-label": bench.fill(texts.lattice_says, { word: bench.shown(word), edges: edges.length, ways: bench.ways(model, word).toLocaleString("en-US"),
        path: path.map((edge) => bench.shown(model.pieces[edge.id])).join(" · "), sum: bench.score(best[word.length]) }) },
    arcs, marks, labels, nodes, letters, bench.spans(word, x, base + 24),
    name("best(j)", low + 37), name(names[0], low + 66), bars(gold, low + 50, "bpe"),
    name(names[1], low + 95), bars(ours, low + 79, "unigram"));
  };

  // Where rules have cut, no piece stands across: the best path of each part in turn.
  bench.within = (model, word, cuts) => {
    const ends = [...cuts, word.length];
    let from = 0, sum = 0;
    const best = new Float64Array(word.length + 1), path = [];
    for (const end of ends) {
      const part = bench.viterbi(model, word.slice(from, end));
      for (let node = 1; node <= end - from; node++) best[from + node] = sum + part.best[node];
      path.push(...part.path.map((edge) => ({ ...edge, start: edge.start + from, end: edge.end + from })));
      sum = best[end];
      from = end;
    }
    return { best, path, ids: path.map((edge) => edge.id) };
  };

  // The edge by which the best sum came to each node.
  bench.arrivals = (edges, length) => {
    const best = new Float64Array(length + 1).fill(-Infinity), came = new Array(length + 1).fill(null);
    best[0] = 0;
    for (const edge of edges) if (best[edge.start] + edge.score > best[edge.end]) {
      best[edge.end] = best[edge.start] + edge.score;
      came[edge.end] = edge;
    }
    return came;
  };

  // The same lattice in a table: a row for each piece.
  bench.latticeTable = (model, word, path, texts) => {
    const { make } = live;
    const on = new Set(path.map((edge) => `${edge.start} ${edge.end}`));
    const every = [...bench.edges(model, word)], edges = every.slice(0, MOST);
    const rows = edges.map((edge) => make("tr", {}, make("th", { scope: "row" }, bench.shown(model.pieces[edge.id])),
      make("td", {}, `${edge.start}–${edge.end}`), make("td", {}, bench.score(edge.score, 3)), make("td", {}, String(edge.id)),
      make("td", {}, on.has(`${edge.start} ${edge.end}`) ? texts.on_path : "")));
    return make("details", { class: "bench-table" }, make("summary", {}, bench.fill(texts.as_table, { n: bench.count(every.length) })),
      make("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": texts.table_says }, make("table", {}, make("caption", { class: "live-said" }, texts.table_says),
        make("thead", {}, make("tr", {}, [texts.piece, texts.bytes, texts.score, "id", texts.path].map((head) => make("th", { scope: "col" }, head)))),
        make("tbody", {}, rows))));
  };
})();
