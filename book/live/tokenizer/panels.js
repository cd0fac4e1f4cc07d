"use strict";
// What the bench says of a text in each chapter, and the panels of 15 and 16.
(() => {
  const live = globalThis.bookLive ??= {};
  const bench = (live.pure ??= {}).tokenizer ??= {};

  // The examples: the chapter's own first, then those that all have.
  bench.stories = (kind, options, texts) => {
    const story = (key, text) => ({ key, text, name: texts[`story_${key}`] });
    const common = [story("korean", "그는 물을 마신다."), story("emoji", "👋🏽 👩‍👩‍👧‍👦 🇰🇷"),
      story("code", "for (let i = 0; i < n; i++) {\n    total += weights[i];\n}"), story("long", "Donaudampfschifffahrtsgesellschaft antidisestablishmentarianism")];
    if (kind === "merges") return [story("sentence", "The lighthouses were unhappily repositioned."), ...common];
    if (kind === "lattice") return [story("rule", options.rule), story("tie", "ppp ''' \n\n\n"), story("certificate", " 00822280 00828082"), ...common];
    return [...options.texts.map((text, n) => ({ key: `text${n}`, text, name: bench.fill(texts.story_text, { n: n + 1 }) })),
      story("given", options.given), ...common.slice(1)];
  };

  // A sign on a card, and the same in words.
  bench.signOf = (kind, one, texts, same) => {
    if (kind === "lattice") {
      if (!same(one.gold, one.ruled)) return { mark: "differs", sign: "≠", says: texts.differs };
      if (one.rules.length) return { mark: "ruled", sign: "✂", says: texts.ruled };
    }
    if (kind === "reassigned" && !same(one.gold, one.after)) {
      const by = one.after.length - one.gold.length;
      return by < 0 ? { mark: "shorter", sign: `−${-by}`, says: bench.fill(texts.shorter, { n: -by }) }
        : by > 0 ? { mark: "longer", sign: `+${by}`, says: bench.fill(texts.longer, { n: by }) }
          : { mark: "differs", sign: "≠", says: texts.differs };
    }
    return {};
  };

  bench.verdict = (kind, known, texts, same) => {
    const sum = (key) => known.reduce((total, one) => total + one[key].length, 0);
    if (!known.length) return texts.empty;
    const bytes = known.reduce((total, one) => total + one.word.length, 0);
    if (kind === "merges") return bench.fill(texts.verdict_merges, { bytes: bench.count(bytes), words: bench.count(known.length), tokens: bench.count(sum("gold")) });
    if (kind === "lattice") {
      const off = known.filter((one) => !same(one.gold, one.ruled)).length;
      const ruled = known.filter((one) => one.rules.length).length;
      return bench.fill(off ? texts.verdict_differ : texts.verdict_same, { tokens: bench.count(sum("gold")), words: bench.count(known.length), off, ruled });
    }
    const before = sum("gold"), after = sum("after");
    const share = Math.abs(100 * (1 - after / before)).toFixed(1);
    return bench.fill(after <= before ? texts.verdict_saved : texts.verdict_more, { before: bench.count(before), after: bench.count(after), share });
  };

  // 15: three ways to cut the word, its lattice, and the reason.
  bench.lattice = (one, { merges, model }, others, texts, say) => {
    const { make } = live;
    const chips = (ids, against) => ids.map((id) => bench.chip(model.pieces[id], id, { kind: against && !against.includes(id) ? "off" : "" }));
    const mark = (ids) => (ids.join() === one.gold.join() ? `✓ ${texts.as_bpe}` : `≠ ${texts.not_as_bpe}`);
    const rows = make("div", { class: "bench-rows" }, bench.row("BPE", chips(one.gold)),
      bench.row(texts.scores_alone, chips(one.alone, one.gold), mark(one.alone)),
      one.rules.length ? bench.row(texts.with_rules, chips(one.ruled, one.gold), mark(one.ruled)) : null);
    const gold = one.gold.map((id) => merges.pieces[id]);
    const box = make("div");
    let cuts = one.cuts, upto = one.word.length;
    const paint = () => {
      box.replaceChildren(bench.sideways(bench.picture({ model, word: one.word, cuts, upto, gold, names: ["BPE", texts.unigram] }, texts), texts.lattice, texts));
      const { best } = bench.within(model, one.word, cuts);
      return bench.fill(texts.upto_says, { n: upto, sum: bench.score(best[upto]) });
    };
    const slider = live.slider({ label: texts.upto, min: 0, max: one.word.length, step: 1, value: one.word.length, play: true, pace: 600,
      format: (n) => `${n} / ${one.word.length}`, change: (n) => { upto = n; say(paint()); } });
    const choice = one.cuts.length ? live.choice({ label: texts.which, value: "rules", options: [["rules", texts.with_rules], ["alone", texts.scores_alone]],
      change: (key) => { cuts = key === "rules" ? one.cuts : []; say(paint()); } }) : null;
    paint();
    const table = bench.latticeTable(model, one.word, bench.within(model, one.word, one.cuts).path, texts);
    return make("div", {}, rows, bench.reason(one, { merges, model, others }, texts), choice?.root, box, make("p", { class: "bench-note legend" }, texts.legend), slider.root, table);
  };

  // 16: the word before and after, and what the new ids meant.
  bench.exchange = (one, { merges, after, fresh }, texts) => {
    const { make } = live;
    const lost = (id) => fresh.has(id);
    const rows = make("div", { class: "bench-rows" },
      bench.row(texts.before, one.gold.map((id) => bench.chip(merges.pieces[id], id, { kind: lost(id) ? "gone" : "", title: lost(id) ? texts.given_up : undefined }))),
      bench.row(texts.after, one.after.map((id) => bench.chip(after.pieces[id], id, { kind: lost(id) ? "new" : "" }))));
    const changed = [...new Set([...one.after, ...one.gold].filter(lost))];
    const said = changed.map((id) => make("li", {}, bench.told(texts.meant, { id, old: bench.shown(merges.pieces[id]), piece: bench.shown(after.pieces[id]) })));
    const box = bench.sideways(bench.picture({ model: after, word: one.word, cuts: one.cuts, gold: one.gold.map((id) => merges.pieces[id]), fresh, names: ["BPE", texts.unigram] }, texts), texts.lattice, texts);
    return make("div", {}, rows, said.length ? make("ul", { class: "bench-meant" }, said) : make("p", { class: "bench-note" }, texts.unchanged),
      box, make("p", { class: "bench-note legend" }, texts.legend_new), bench.latticeTable(after, one.word, bench.within(after, one.word, one.cuts).path, texts));
  };
})();
