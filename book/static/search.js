"use strict";
// Search over the index that book/search.py writes. A query finds a word by its
// beginning; Korean particles at the end of a query word are taken off, longest
// first, so that 질량을 finds 질량.
(() => {
  const normal = (text) => text.normalize("NFC").toLowerCase();
  const hangul = /[가-힣]/;

  const forms = (word, particles) => {
    const found = [word];
    if (hangul.test(word)) for (const particle of particles) {
      if (word.endsWith(particle) && word.length > particle.length) found.push(word.slice(0, -particle.length));
    }
    return [...new Set(found)];
  };

  // sorted terms: all that begin with the form; a form of one letter only itself
  const matching = (index, form) => {
    const { terms } = index;
    let low = 0, high = terms.length;
    while (low < high) { const middle = (low + high) >> 1; if (terms[middle] < form) low = middle + 1; else high = middle; }
    const found = [];
    for (let i = low; i < terms.length && terms[i].startsWith(form); i++) if (form.length > 1 || terms[i] === form) found.push(i);
    return found;
  };

  const scores = (index, word) => {
    const total = new Map();
    forms(word, index.particles).forEach((form, rank) => {
      for (const term of matching(index, form)) {
        const exact = index.terms[term] === form ? 2 : 1;
        const postings = index.postings[term];
        for (let i = 0; i < postings.length; i += 2) {
          const value = postings[i + 1] * exact / (1 + rank);
          total.set(postings[i], Math.max(total.get(postings[i]) ?? 0, value));
        }
      }
    });
    return total;
  };

  const pieces = (text, words, particles) => {
    const needles = words.flatMap((word) => forms(word, particles)).filter((form) => form.length > 1 || hangul.test(form));
    const plain = normal(text);
    let at = -1, length = 0;
    for (const needle of needles) { const found = plain.indexOf(needle); if (found >= 0 && (at < 0 || needle.length > length)) { at = found; length = needle.length; } }
    if (at < 0) return [[text.slice(0, 120), false]];
    const start = Math.max(0, at - 40);
    return [[(start ? "…" : "") + text.slice(start, at), false], [text.slice(at, at + length), true], [text.slice(at + length, at + length + 80) + "…", false]];
  };

  window.bookSearch = (query) => {
    const index = window.bookSearchIndex;
    const words = normal(query).match(/[\p{L}\p{N}_]+/gu) ?? [];
    if (!words.length) return [];
    const each = words.map((word) => scores(index, word));
    const hits = [];
    for (const [entry, value] of each[0]) {
      let sum = value;
      if (each.slice(1).every((other) => { const more = other.get(entry); sum += more ?? 0; return more; })) hits.push([sum, entry]);
    }
    hits.sort((a, b) => b[0] - a[0] || a[1] - b[1]);
    return hits.map(([, entry]) => {
      const [page, anchor, title, text] = index.entries[entry];
      return { address: `${index.pages[page][0]}.html${anchor ? "#" + anchor : ""}`, title, page: index.pages[page][1], pieces: pieces(text, words, index.particles) };
    });
  };
})();
