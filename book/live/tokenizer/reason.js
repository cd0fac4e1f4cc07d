"use strict";
// Why a word is cut so: the rule that breaks it and its proof, or what no scores can do.
(() => {
  const live = globalThis.bookLive ??= {};
  const bench = (live.pure ??= {}).tokenizer ??= {};
  const MOST = 12; // tries shown

  // The proof of one rule: every token that would lie across, and what is in its way.
  const proof = (merges, rule, texts) => {
    const { make } = live;
    const prefix = bench.letters(rule.prefix), context = bench.letters(rule.context);
    const names = { prefix: bench.shown(prefix), both: bench.shown(prefix + context),
      rule: `${bench.shown(prefix)} | ${bench.shown(context)}` };
    const head = make("p", {}, bench.told(rule.whole ? texts.rule_whole : texts.rule_begins, names));
    if (rule.whole) {
      const gold = bench.bpe(merges, prefix + context).ids.map((id) => bench.shown(merges.pieces[id])).join(" · ");
      return [head, make("p", {}, bench.told(texts.whole_why, { ...names, gold }))];
    }
    const { tries } = bench.why(merges, prefix, context);
    const spell = (ids) => ids.map((id) => bench.shown(merges.pieces[id])).join(" · ");
    const rows = tries.slice(0, MOST).map(({ chain, id, blocked }) => {
      const last = chain.at(-1);
      const pair = last === undefined ? "" : merges.pieces[last] + merges.pieces[id];
      return make("tr", {}, make("td", {}, chain.length ? spell(chain) : "–"), make("th", { scope: "row" }, bench.shown(merges.pieces[id])),
        make("td", {}, blocked ? bench.told(texts.not_beside, { made: spell(bench.bpe(merges, pair).ids) }) : texts.goes_on));
    });
    return [head, make("p", {}, bench.told(tries.length ? texts.begins_why : texts.none_across, { ...names, n: tries.length })),
      rows.length ? make("details", { class: "bench-table", open: rows.length < 5 },
        make("summary", {}, bench.fill(texts.chains, { n: tries.length })),
        make("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": texts.chains_says }, make("table", {},
          make("thead", {}, make("tr", {}, [texts.chain, texts.across, texts.stopped].map((name) => make("th", { scope: "col" }, name)))),
          make("tbody", {}, rows))),
        tries.length > MOST ? make("p", { class: "bench-note" }, bench.fill(texts.more_chains, { n: tries.length - MOST })) : null) : null];
  };

  const inequality = (model, demand) => {
    const side = (sign) => [...demand.terms].filter(([, n]) => n * sign > 0)
      .map(([id, n]) => `${Math.abs(n) === 1 ? "" : Math.abs(n)}s(${bench.shown(model.pieces[id])})`).join(" + ") || "0";
    return `${side(1)} ${demand.strict ? ">" : "≥"} ${side(-1)}`;
  };

  // What can be said of a word that scores alone cut otherwise than BPE.
  const beyond = (merges, model, gold, rival, others, texts) => {
    const { make } = live;
    const demand = bench.demand(model, gold, rival);
    const spell = (ids) => ids.map((id) => bench.shown(model.pieces[id])).join(" · ");
    if (bench.isTie(demand)) return [make("p", {}, bench.told(texts.tie, { gold: spell(gold), rival: spell(rival) }))];
    const other = bench.certificate(model, gold, rival, others);
    if (!other) return [make("p", {}, texts.no_proof), make("ul", { class: "demands" }, make("li", {}, inequality(model, demand)))];
    return [make("p", {}, bench.told(texts.certificate, { other: bench.shown(other.word) })),
      make("ul", { class: "demands" }, make("li", {}, inequality(model, other.mine)), make("li", {}, inequality(model, other.demand)),
        make("li", { class: "sum" }, "0 > 0"))];
  };

  // one: what is known of the chosen word; see view.js.
  bench.reason = ({ word, gold, alone, ruled, rules }, { merges, model, others }, texts) => {
    const { make } = live;
    const same = (a, b) => a.join() === b.join();
    const out = [];
    if (!same(gold, alone)) {
      out.push(make("h4", {}, texts.beyond_head), ...beyond(merges, model, gold, alone, others, texts));
    } else if (!rules.length) {
      const margin = bench.margin(model, word, gold);
      out.push(make("p", {}, margin === null ? texts.only_way
        : bench.told(texts.ahead, { margin: bench.score(margin, 3) })));
    }
    if (rules.length) out.push(make("h4", {}, texts.rule_head), ...rules.flatMap((rule) => proof(merges, rule, texts)));
    else if (!same(gold, ruled)) out.push(make("p", {}, texts.no_rule));
    if (rules.length && same(gold, alone)) out.push(make("p", { class: "bench-note" }, texts.rule_not_needed));
    if (rules.length && !same(gold, ruled)) out.push(make("p", {}, texts.rule_not_enough));
    return make("div", { class: "bench-reason" }, out);
  };
})();
