"use strict";
// The merges of a word as a tree and as a ladder of steps. A click takes a merge out of
// the list, and what rests on it falls with it.
(() => {
  const live = globalThis.bookLive ??= {};
  const bench = (live.pure ??= {}).tokenizer ??= {};
  const CELL = 34, LEVEL = 30, LONGEST = 96;

  const tree = (model, word, steps, count, texts, takeOut) => {
    const { make } = live;
    const done = steps.slice(0, count);
    const sizes = [...new Set(done.map((step) => step.end - step.at))].sort((a, b) => a - b);
    const level = (size) => (size === 1 ? 0 : sizes.indexOf(size) + 1);
    const room = bench.characters(word).length ? 28 : 0; // for characters below their bytes
    const base = 6 + LEVEL * (sizes.length + 1), height = base + 34 + room;
    const y = (size) => base - LEVEL * level(size);
    const tops = new Map(Array.from(word, (_, at) => [at, { at, end: at + 1, x: (at + 0.5) * CELL, size: 1 }]));
    const lines = [], joints = [];
    done.forEach((step, n) => {
      const left = tops.get(step.at), right = tops.get(step.middle);
      const size = step.end - step.at, top = y(size);
      const x = (left.x + right.x) / 2;
      lines.push(make("path", { class: n === count - 1 ? "branch last" : "branch",
        d: `M${left.x} ${y(left.size)}V${top + 5}q0 -5 5 -5H${right.x - 5}q5 0 5 5V${y(right.size)}` }));
      joints.push([step, x, top]);
      tops.delete(step.middle);
      tops.set(step.at, { at: step.at, end: step.end, x, size, step });
    });
    const roots = new Set([...tops.values()].map((node) => node.step).filter(Boolean));
    const knots = joints.map(([step, x, top]) => make("g", { class: roots.has(step) ? "knot root" : "knot", onclick: () => takeOut(step.rank) },
      make("title", {}, bench.fill(texts.joins, { piece: bench.shown(model.pieces[step.id]), rank: bench.count(step.rank) })),
      make("circle", { class: "touch", cx: x, cy: top, r: 14 }), make("circle", { cx: x, cy: top, r: roots.has(step) ? 6 : 4.5 })));
    const names = [...tops.values()].map((node) => make("text", { x: node.x, y: y(node.size) - (node.size > 1 ? 12 : 9), class: "piece" },
      bench.shown(word.slice(node.at, node.end))));
    const stumps = [...tops.values()].filter((node) => node.size === 1)
      .map((node) => make("circle", { class: "stump", cx: node.x, cy: y(1), r: 4.5 }));
    const leaves = Array.from(word, (letter, at) => make("text", { x: (at + 0.5) * CELL, y: base + 22, class: "leaf" }, bench.shown(letter)));
    const width = word.length * CELL;
    return make("svg", { class: "bench-tree", viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
      "aria-label": bench.fill(texts.tree_says, { word: bench.shown(word), pieces: [...tops.values()].map((node) => bench.shown(word.slice(node.at, node.end))).join(" · ") }) },
    lines, stumps, knots, names.filter((_, n) => [...tops.values()][n].size > 1), leaves,
    bench.spans(word, (at) => at * CELL, base + 28));
  };

  // word: in letters; out: ranks that are taken out; change: called with the new set.
  bench.ladder = (model, word, out, texts, say, change) => {
    const { make } = live;
    const plain = bench.bpe(model, word), now = bench.bpe(model, word, out);
    const usual = new Set(plain.steps.map((step) => step.rank));
    const flip = (rank) => {
      const next = new Set(out);
      if (!next.delete(rank)) next.add(rank);
      change(next);
    };
    const picture = make("div"), list = make("ol", { class: "bench-steps" });
    const pair = (left, right) => `${bench.shown(model.pieces[left])} + ${bench.shown(model.pieces[right])}`;
    const paint = (count) => {
      const pieces = bench.after(model, word, now.steps, count);
      picture.replaceChildren(word.length > LONGEST
        ? make("p", { class: "bench-note" }, bench.fill(texts.too_long, { n: bench.count(word.length), most: LONGEST }))
        : bench.sideways(tree(model, word, now.steps, count, texts, flip), texts.tree, texts));
      for (const [n, item] of [...list.children].entries()) item.classList.toggle("ahead", n >= count);
      const step = now.steps[count - 1];
      return step ? bench.fill(texts.step_says, { n: count, pair: pair(step.left, step.right), rank: bench.count(step.rank), count: pieces.length })
        : bench.fill(texts.start_says, { n: word.length });
    };
    list.append(...now.steps.slice(0, 200).map((step) => make("li", { class: usual.has(step.rank) ? "" : "instead" },
      make("button", { type: "button", class: "step", "data-rank": step.rank, onclick: () => flip(step.rank) },
      make("span", { class: "pair" }, pair(step.left, step.right)), " ",
      make("span", { class: "bench-rank" }, bench.fill(texts.rank, { rank: bench.count(step.rank) })),
      usual.has(step.rank) ? null : make("em", {}, ` ${texts.instead}`), make("span", { class: "live-said" }, `: ${texts.take_out}`)))));
    const heard = make("p", { class: "bench-now" });
    const slider = live.slider({ label: texts.steps, min: 0, max: now.steps.length, step: 1, value: now.steps.length,
      play: true, pace: 700, format: (n) => `${n} / ${now.steps.length}`,
      change: (count) => { heard.textContent = paint(count); say(heard.textContent); } });
    heard.textContent = paint(now.steps.length);
    const gone = plain.steps.filter((step) => !now.steps.some((one) => one.rank === step.rank) && !out.has(step.rank));
    const back = [...out].map((rank) => make("button", { type: "button", class: "live-button", "data-rank": rank, onclick: () => flip(rank) },
      bench.fill(texts.put_back, { pair: pair(...model.parts[rank - 1]) })));
    const effect = out.size ? make("div", { class: "bench-effect" },
      make("p", {}, bench.fill(texts.effect, { gone: gone.length,
        instead: now.steps.filter((step) => !usual.has(step.rank)).length, before: plain.ids.length, after: now.ids.length })),
      gone.length ? make("p", { class: "bench-gone" }, `${texts.gone}: `, gone.flatMap((step, n) => [n ? ", " : "", make("s", {}, pair(step.left, step.right))])) : null,
      make("div", { class: "live-presets" }, back)) : null;
    return make("div", { class: "bench-merges" }, picture, now.steps.length ? slider.root : null, heard,
      now.steps.length ? make("p", { class: "bench-note" }, texts.undo_hint) : null, list, effect,
      bench.row("BPE", now.ids.map((id) => bench.chip(model.pieces[id], id)), out.size ? bench.fill(texts.instead_of, { ids: plain.ids.join(" ") }) : null));
  };
})();
