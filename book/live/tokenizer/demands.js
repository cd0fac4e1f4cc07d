"use strict";
// What no scores can do. A word asks that its BPE path beat each rival; where the sum
// of such demands cancels every score and still reads 0 > 0, no scores meet them all.
(() => {
  const bench = ((globalThis.bookLive ??= {}).pure ??= {}).tokenizer ??= {};
  const MOST = 2048; // cuts of one word that are listed
  const SHORT = 12; // letters of a word whose cuts are listed

  bench.cuts = (model, word) => {
    const ends = Array.from({ length: word.length + 1 }, () => []);
    ends[0].push([]);
    for (const { start, end, id } of bench.edges(model, word)) {
      for (const cut of ends[start]) {
        if (ends[end].length >= MOST) break;
        ends[end].push([...cut, id]);
      }
    }
    return ends[word.length];
  };

  // Of equal sums the path whose last piece is longer stays: then gold has to be ahead.
  const strict = (model, gold, rival) => {
    for (let k = 1; k <= Math.min(gold.length, rival.length); k++) {
      const ours = model.pieces[gold.at(-k)].length, its = model.pieces[rival.at(-k)].length;
      if (ours !== its) return its > ours;
    }
    return rival.length > gold.length;
  };

  bench.demand = (model, gold, rival) => {
    const terms = new Map();
    for (const id of gold) terms.set(id, (terms.get(id) ?? 0) + 1);
    for (const id of rival) terms.set(id, (terms.get(id) ?? 0) - 1);
    for (const [id, n] of terms) if (!n) terms.delete(id);
    return { gold, rival, terms, strict: strict(model, gold, rival) };
  };

  // The same pieces in another order: a tie under any scores.
  bench.isTie = (demand) => demand.strict && !demand.terms.size;

  const cancels = (one, other) => one.terms.size > 0 && one.terms.size === other.terms.size
    && [...one.terms].every(([id, n]) => other.terms.get(id) === -n)
    && (one.strict || other.strict);

  // A demand of the word and one of another word that add up to 0 > 0, or null. The one
  // that scores failed is looked at first, then those of the word's other rivals.
  // golds: [word, ids of its BPE path] of the other words.
  bench.certificate = (model, gold, rival, golds) => {
    const word = gold.map((id) => model.pieces[id]).join("");
    const listed = (one, path) => bench.cuts(model, one).filter((cut) => cut.join() !== path.join())
      .map((cut) => bench.demand(model, path, cut));
    const mine = [bench.demand(model, gold, rival), ...(word.length <= SHORT ? listed(word, gold) : [])];
    for (const [other, path] of golds) {
      if (other.length > SHORT) continue;
      const theirs = listed(other, path);
      for (const one of mine) {
        const demand = theirs.find((two) => cancels(one, two));
        if (demand) return { mine: one, word: other, demand };
      }
    }
    return null;
  };

  // By how much the BPE path of a word is ahead of its best rival; null without one.
  bench.margin = (model, word, gold) => {
    const best = new Float64Array(word.length + 1).fill(-Infinity); // has left the path
    const on = new Float64Array(word.length + 1).fill(NaN), ids = new Map();
    on[0] = 0;
    let at = 0;
    for (const id of gold) { ids.set(at, id); at += model.pieces[id].length; }
    for (const { start, end, id, score } of bench.edges(model, word)) {
      best[end] = Math.max(best[end], best[start] + score);
      if (ids.get(start) === id) on[end] = on[start] + score;
      else if (ids.has(start)) best[end] = Math.max(best[end], on[start] + score);
    }
    return best[word.length] === -Infinity ? null : on[word.length] - best[word.length];
  };
})();
