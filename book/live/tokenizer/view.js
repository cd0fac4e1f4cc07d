"use strict";
// The bench: a text of the reader's, its pre-tokens as cards, and for the chosen one what
// the chapter is about: merges (14), lattice and rules (15), reassigned ids (16).
(() => {
  const live = globalThis.bookLive ??= {};
  const bench = (live.pure ??= {}).tokenizer ??= {};
  const MOST = 20000; // letters that are read, so that a page of text answers at once
  const same = (a, b) => a.length === b.length && a.every((id, n) => id === b[n]);

  // The pre-tokens of a text with all that the cards and panels ask for.
  const read = (text, { merges, model, rules, after }) => {
    const parts = rules ? bench.parts(rules, text) : [];
    let n = 0, at = 0;
    return bench.words(text).map((plain) => {
      const word = bench.letters(plain);
      const one = { word, gold: bench.bpe(merges, word).ids, rules: [], cuts: [] };
      const end = at + plain.length;
      const own = [];
      for (; n < parts.length && parts[n].at < end; n++) own.push(parts[n]);
      at = end;
      if (!rules) return one;
      own.forEach((part, k) => {
        if (part.rule) one.rules.push(part.rule);
        if (k) one.cuts.push(bench.letters(plain.slice(0, part.at - own[0].at)).length);
      });
      one.ruled = bench.within(model, word, one.cuts).ids;
      one.alone = bench.viterbi(model, word).ids;
      if (after) one.after = bench.within(after, word, one.cuts).ids;
      return one;
    });
  };

  const models = (data, kind) => {
    const merges = bench.merges(data.gpt2_merges.merges);
    const rest = data.gpt2_unigram ?? data.gpt2_reassigned;
    if (kind === "merges" || !rest) return { merges };
    const model = bench.unigram(merges.pieces, rest.scores.split(" ").map(Number));
    const made = { merges, model, rules: bench.rules(rest.rules) };
    if (!rest.changes) return made;
    return { ...made, after: bench.reassigned(model, rest.changes), fresh: new Set(rest.changes.map(([id]) => id)) };
  };

  live.instrument("tokenizer", ({ root, words: texts, data, options, say, framed }) => {
    const { make } = live;
    const kind = options.bench;
    const made = models(data, kind);
    let known = [], chosen = 0, out = new Set(), told = "";

    // ---- what the reader writes
    const stories = bench.stories(kind, options, texts);
    const field = make("textarea", { rows: 2, id: "bench-text", spellcheck: "false", autocapitalize: "off",
      oninput: () => { presets.mark(null); refresh(); } });
    const presets = live.presets({ label: texts.examples, options: stories.map(({ key, name }) => [key, name]),
      choose: (key) => { field.value = stories.find((story) => story.key === key).text; begin(); } });
    const verdict = make("p", { class: "bench-verdict" });
    const cards = make("div"), panel = make("div", { class: "bench-panel" });
    root.append(make("label", { class: "bench-field" }, make("span", {}, texts.text), field), presets.root, verdict, cards, panel);

    // ---- the chosen word
    const choose = (n) => {
      chosen = n;
      out = new Set();
      paintCards();
      paintPanel();
      cards.querySelector("[aria-pressed=true]")?.focus();
      say(`${bench.shown(known[n].word)}. ${panelSays()}`);
    };
    const ways = (one) => kind === "merges" ? [["BPE", one.gold]]
      : kind === "lattice" ? [["BPE", one.gold], [texts.unigram, one.ruled]] : [[texts.before, one.gold], [texts.after, one.after]];
    const paintCards = () => {
      cards.replaceChildren(bench.cards(known.map((one) => ({ word: one.word, rows: ways(one), ...bench.signOf(kind, one, texts, same) })), texts, chosen, choose));
    };
    const panelSays = () => {
      const one = known[chosen];
      return ways(one).map(([name, ids]) => `${name}: ${ids.length}`).join(", ");
    };
    const paintPanel = () => {
      const one = known[chosen];
      panel.hidden = !one;
      if (!one) return;
      const others = known.filter((other) => other.word !== one.word).map(({ word, gold }) => [word, gold]);
      panel.replaceChildren(make("h3", {}, texts.chosen, " ", make("b", { class: "chosen" }, bench.shown(one.word))),
        kind === "merges" ? bench.ladder(made.merges, one.word, out, texts, say, (next) => {
          const rank = [...out].find((one) => !next.has(one)) ?? [...next].find((one) => !out.has(one));
          out = next;
          paintPanel();
          panel.querySelector(`button[data-rank="${rank}"]`)?.focus();
          say(panel.querySelector(".bench-effect p")?.textContent ?? texts.all_back);
        }) : kind === "lattice" ? bench.lattice(one, made, others, texts, say, framed) : bench.exchange(one, made, texts));
    };

    const refresh = framed(() => {
      known = read(bench.upTo(field.value, MOST), made);
      chosen = Math.min(chosen, Math.max(known.length - 1, 0));
      out = new Set();
      paintCards();
      paintPanel();
      told = bench.verdict(kind, known, texts, same);
      if (field.value.length > MOST) told += ` ${bench.fill(texts.cut, { n: bench.count(MOST) })}`;
      if (field.value !== bench.readable(field.value)) told += ` ${texts.half}`;
      verdict.textContent = told;
      say(told);
    });
    // A story begins with the word that it is about: the first where something happens.
    const begin = () => {
      known = read(bench.upTo(field.value, MOST), made);
      const joined = ({ word, gold }) => word.length - gold.length;
      chosen = known.findIndex((one) => bench.signOf(kind, one, texts, same).sign);
      if (chosen < 0) chosen = known.reduce((best, one, n) => joined(one) > joined(known[best]) ? n : best, 0);
      refresh();
    };
    field.value = stories[0].text;
    presets.mark(stories[0].key);
    begin();
  });
})();
