"use strict";
// Byte pair encoding: of all neighbouring pairs in the list of merges, join the one of
// lowest rank, the leftmost of equals, until none is left. Every step is kept.
(() => {
  const bench = ((globalThis.bookLive ??= {}).pure ??= {}).tokenizer ??= {};
  const key = (left, right) => left * 65536 + right;

  // source: one merge a line, "left right", in order of rank. Ids are those of GPT-2:
  // the 256 bytes, then the merges as they come.
  bench.merges = (source) => {
    const pieces = [...bench.alphabet];
    const ids = new Map(pieces.map((piece, id) => [piece, id]));
    const ranks = new Map();
    const parts = [];
    for (const line of source.split("\n")) {
      const [left, right] = line.split(" ");
      parts.push([ids.get(left), ids.get(right)]);
      ranks.set(key(...parts.at(-1)), parts.length);
      ids.set(left + right, pieces.length);
      pieces.push(left + right);
    }
    return { pieces, ids, ranks, parts };
  };

  bench.rank = (model, left, right) => model.ranks.get(key(left, right));

  // ---- a heap of pairs that may be joined, the lowest rank first, then the leftmost
  const sooner = (a, b) => a.rank - b.rank || a.left.at - b.left.at;
  const push = (heap, item) => {
    let k = heap.push(item) - 1;
    for (let up; k && sooner(heap[k], heap[up = (k - 1) >> 1]) < 0; k = up) {
      [heap[k], heap[up]] = [heap[up], heap[k]];
    }
  };
  const pop = (heap) => {
    const top = heap[0], last = heap.pop();
    if (!heap.length) return top;
    heap[0] = last;
    for (let k = 0, down; (down = 2 * k + 1) < heap.length; k = down) {
      if (down + 1 < heap.length && sooner(heap[down + 1], heap[down]) < 0) down += 1;
      if (sooner(heap[k], heap[down]) <= 0) break;
      [heap[k], heap[down]] = [heap[down], heap[k]];
    }
    return top;
  };

  // The steps of a word (in letters) and the ids that are left.
  // out: ranks of merges that are taken out of the list.
  bench.bpe = (model, word, out = new Set()) => {
    const heap = [], steps = [];
    const offer = (left) => {
      const rank = left.next && bench.rank(model, left.id, left.next.id);
      if (rank && !out.has(rank)) push(heap, { rank, left, right: left.next });
    };
    let first = null, before = null;
    for (let at = 0; at < word.length; at++) {
      const node = { id: model.ids.get(word[at]), at, end: at + 1, before, next: null, live: true };
      if (before) before.next = node; else first = node;
      before = node;
    }
    for (let node = first; node; node = node.next) offer(node);
    while (heap.length) {
      const { rank, left, right } = pop(heap);
      if (!left.live || !right.live) continue;
      const node = { id: 255 + rank, at: left.at, end: right.end,
        before: left.before, next: right.next, live: true };
      left.live = right.live = false;
      if (node.before) node.before.next = node; else first = node;
      if (node.next) node.next.before = node;
      steps.push({ rank, left: left.id, right: right.id, id: node.id,
        at: node.at, middle: right.at, end: node.end });
      if (node.before) offer(node.before);
      offer(node);
    }
    const ids = [];
    for (let node = first; node; node = node.next) ids.push(node.id);
    return { steps, ids };
  };

  // The ids that stand after the first few steps of a word.
  bench.after = (model, word, steps, count) => {
    const made = new Map(Array.from(word, (letter, at) => [at, { id: model.ids.get(letter), end: at + 1 }]));
    for (const step of steps.slice(0, count)) made.set(step.at, step);
    const ids = [];
    for (let at = 0; at < word.length; at = made.get(at).end) ids.push(made.get(at).id);
    return ids;
  };
})();
