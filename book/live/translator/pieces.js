"use strict";
// Text to pieces and ids and back, as the tokenizer of chapter 05 does it: a run of
// letters A to Z is merged pair by pair, everything else is one piece a character.
(() => {
  const RUNS = /[A-Za-z]+|[^A-Za-z]/gu;

  class Pieces {
    // vocabulary: the token of each id; merges: pairs, the earlier the sooner
    constructor({ vocabulary, merges, special }) {
      this.vocabulary = vocabulary;
      this.special = special;
      this.ids = new Map(vocabulary.map((token, id) => [token, id]));
      for (const token of Object.keys(special)) this.ids.delete(token); // in a text they are text
      this.ranks = new Map(merges.map(([left, right], rank) => [`${left} ${right}`, rank]));
    }

    // The pieces of a text; without <eos>.
    split(text) {
      return (text.match(RUNS) ?? []).flatMap((run) => this.merge([...run]));
    }

    // Join the pair that was learned first, the leftmost of equal ones, until none is left.
    merge(parts) {
      for (;;) {
        let best = Infinity, at = -1;
        for (let i = 0; i + 1 < parts.length; i += 1) {
          const rank = this.ranks.get(`${parts[i]} ${parts[i + 1]}`) ?? Infinity;
          if (rank < best) [best, at] = [rank, i];
        }
        if (at < 0) return parts;
        parts = [...parts.slice(0, at), parts[at] + parts[at + 1], ...parts.slice(at + 2)];
      }
    }

    // The first character that the vocabulary does not have, or undefined.
    unknown(text) {
      return [...text].find((character) => !this.ids.has(character));
    }

    // The ids of a text, closed by <eos>; the text holds no unknown character.
    encode(text) {
      return [...this.split(text).map((piece) => this.ids.get(piece)), this.special["<eos>"]];
    }

    // The text of ids up to the first <eos>, special tokens left out.
    decode(ids) {
      const end = ids.indexOf(this.special["<eos>"]);
      return (end < 0 ? ids : ids.slice(0, end))
        .map((id) => this.vocabulary[id]).filter((token) => !(token in this.special)).join("");
    }

    // A piece as it is shown: a blank must be seen.
    show(id) {
      return this.vocabulary[id] === " " ? "␣" : this.vocabulary[id];
    }
  }

  const pieces = { Pieces };
  if (typeof module === "object") module.exports = pieces;
  else Object.assign((globalThis.bookLive ??= {}).pure ??= {}, { pieces });
})();
