"use strict";
// Unigram: every way to cut a word is a path through its lattice, and the path with the
// largest sum of scores wins. Of equal sums the first to arrive stays, as in `tokenizers`.
(() => {
  const bench = ((globalThis.bookLive ??= {}).pure ??= {}).tokenizer ??= {};

  // pieces by id, "" for what no text may use; scores in whole units of 2^-10.
  bench.unigram = (pieces, scores) => {
    const ids = new Map();
    const longest = new Map(); // of the pieces that begin with these two letters
    pieces.forEach((piece, id) => {
      if (!piece) return;
      ids.set(piece, id);
      const head = piece.slice(0, 2);
      longest.set(head, Math.max(longest.get(head) ?? 0, piece.length));
    });
    return { pieces, scores, ids, longest };
  };
  bench.unit = 2 ** -10;

  // Every piece that stands in the word, by start, then by end.
  bench.edges = function* (model, word) {
    for (let start = 0; start < word.length; start++) {
      const room = Math.max(1, model.longest.get(word.slice(start, start + 2)) ?? 0);
      for (let end = start + 1; end <= Math.min(start + room, word.length); end++) {
        const id = model.ids.get(word.slice(start, end));
        if (id !== undefined) yield { start, end, id, score: model.scores[id] };
      }
    }
  };

  // The best sum up to each node, and the edge by which it came.
  bench.viterbi = (model, word) => {
    const best = new Float64Array(word.length + 1).fill(-Infinity);
    const came = new Array(word.length + 1).fill(null);
    best[0] = 0;
    for (const edge of bench.edges(model, word)) {
      const sum = best[edge.start] + edge.score;
      if (sum > best[edge.end]) { best[edge.end] = sum; came[edge.end] = edge; }
    }
    const path = [];
    for (let node = word.length; node; node = path.at(-1).start) path.push(came[node]);
    return { best, path: path.reverse(), ids: path.map((edge) => edge.id) };
  };

  // How many ways there are to cut the word.
  bench.ways = (model, word) => {
    const count = [1n, ...new Array(word.length).fill(0n)];
    for (const { start, end } of bench.edges(model, word)) count[end] += count[start];
    return count[word.length];
  };

  // The same vocabulary with some ids given to other pieces: [id, piece, score].
  bench.reassigned = (model, changes) => {
    const pieces = [...model.pieces], scores = [...model.scores];
    for (const [id, piece, score] of changes) { pieces[id] = piece; scores[id] = score; }
    return bench.unigram(pieces, scores);
  };
})();
