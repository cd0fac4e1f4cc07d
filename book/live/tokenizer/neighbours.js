"use strict";
// Why a rule is sound. Neighbours in what a BPE makes are always the BPE of what they
// spell; so if no chain of such neighbours covers prefix + context with a token across
// the place, BPE cuts every word that begins so after the prefix.
(() => {
  const bench = ((globalThis.bookLive ??= {}).pure ??= {}).tokenizer ??= {};
  const never = Infinity;

  // Whether BPE cuts what two tokens spell into these two: take merges back, the last
  // one first, until none is left. limit: the rank before which nothing was joined.
  const apart = (model, x, y, limit = never) => {
    const made = (id) => (id < 256 ? -1 : id - 255);
    for (;;) {
      if ((bench.rank(model, x, y) ?? never) < limit) return false;
      if (made(x) < 0 && made(y) < 0) return true;
      if (made(x) > made(y)) { limit = made(x); x = model.parts[x - 256][1]; }
      else { limit = made(y) + 1; y = model.parts[y - 256][0]; }
    }
  };

  // The tokens that BPE makes of their own bytes; no other stands in a result.
  const reached = (model) => {
    if (model.reached) return model.reached;
    const out = new Uint8Array(model.pieces.length).fill(1, 0, 256);
    const order = model.parts.map((_, n) => n + 256)
      .sort((a, b) => model.pieces[a].length - model.pieces[b].length);
    for (const id of order) {
      const [left, right] = model.parts[id - 256];
      if (out[left] && out[right] && apart(model, left, right, id - 255)) out[id] = 1;
    }
    model.sorted = order.concat(Array.from({ length: 256 }, (_, id) => id))
      .filter((id) => out[id]).sort((a, b) => (model.pieces[a] < model.pieces[b] ? -1 : 1));
    return model.reached = out;
  };

  bench.neighbours = (model, left, right) => {
    const out = reached(model);
    return Boolean(out[left] && out[right]) && apart(model, left, right);
  };

  // Tokens that go on past the end of the text, of which `rest` is what is left.
  const beyond = (model, rest) => {
    let low = 0, high = model.sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (model.pieces[model.sorted[middle]] < rest) low = middle + 1; else high = middle;
    }
    const found = [];
    while (low < model.sorted.length && model.pieces[model.sorted[low]].startsWith(rest)) found.push(model.sorted[low++]);
    return found;
  };

  // Follow all chains over prefix + context (in letters). Returns whether the rule is
  // sound, a chain across the place where it is not, and every token that would lie
  // across with what keeps it from standing there.
  bench.why = (model, prefix, context) => {
    const out = reached(model);
    const text = prefix + context, place = prefix.length;
    const chains = new Map([[0, [[]]]]); // one for each end and last token
    const tries = [];
    for (let start = 0; start < text.length; start++) {
      if (start === place || !chains.has(start)) continue;
      const inside = [];
      for (let end = start + 1; end < text.length; end++) {
        const id = model.ids.get(text.slice(start, end));
        if (id !== undefined && out[id] && end !== place) inside.push(id);
      }
      for (const id of [...inside, ...beyond(model, text.slice(start))]) {
        const end = start + model.pieces[id].length;
        const before = chains.get(start);
        const chain = before.find((one) => !one.length || apart(model, one.at(-1), id));
        const across = end > place;
        if (!chain) {
          if (across) tries.push({ chain: before[0], id, start, blocked: true });
          continue;
        }
        const longer = [...chain, id];
        if (end >= text.length) return { sound: false, leap: longer, tries };
        if (across) tries.push({ chain, id, start, blocked: false });
        if (!chains.has(end)) chains.set(end, []);
        chains.get(end).push(longer);
      }
    }
    return { sound: true, leap: null, tries };
  };
})();
