"use strict";
// The pre-tokens of the text as cards: a word and the ids that each way gives it. One is
// chosen; where two ways differ, a sign says so, not a colour alone.
(() => {
  const live = globalThis.bookLive ??= {};
  const bench = (live.pure ??= {}).tokenizer ??= {};
  const CHIPS = 80; // tokens of one word
  const MOST = 60; // cards on the page; a longer text is counted as a whole

  // Fill {name} in a sentence of the instrument.
  bench.fill = (sentence, values = {}) =>
    sentence.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
  // The same with pieces set as code: nodes to append.
  const number = /^(n|id|rank|count|gone|instead|before|after|margin)$/;
  bench.told = (sentence, values = {}) => sentence.split(/(\{\w+\})/).flatMap((part) => {
    const name = /^\{(\w+)\}$/.exec(part);
    if (!name) return part ? [part] : [];
    const value = String(values[name[1]]);
    return [number.test(name[1]) ? value : live.make("code", {}, value)];
  });
  bench.count = (n) => n.toLocaleString("en-US");
  bench.score = (units, digits = 2) => (units * bench.unit).toFixed(digits).replace("-", "−");

  // A piece with its id. kind: what the page says of it by colour and words.
  bench.chip = (piece, id, { kind = "", title } = {}) => live.make("span",
    { class: `chip ${kind}`.trim(), title },
    live.make("b", {}, bench.shown(piece)), id === undefined ? null : live.make("small", {}, String(id)));

  bench.row = (label, chips, note) => live.make("div", { class: "bench-row" },
    live.make("span", { class: "bench-label" }, label),
    live.make("span", { class: "chips" }, chips.slice(0, CHIPS), chips.length > CHIPS ? ` … (${bench.count(chips.length)})` : null), note ? live.make("span", { class: "bench-note" }, note) : null);

  // words: { word, rows: [[name, ids]], mark, says } each; choose: called with an index.
  bench.cards = (words, texts, chosen, choose) => {
    const { make } = live;
    const cards = words.slice(0, MOST).map((one, n) => make("button", {
      type: "button", "data-ids": one.rows.map(([, ids]) => ids.join(" ")).join("|"), class: `card-word ${one.mark ?? ""}`.trim(), "aria-pressed": String(n === chosen),
      onclick: () => choose(n),
    }, make("b", {}, bench.shown(one.word)),
    one.rows.map(([name, ids], k) => make("span", { class: `ids way-${k}` }, make("span", { class: "live-said" }, ` ${name}: `), ids.length > 8 ? `${ids.slice(0, 7).join(" ")} … (${ids.length})` : ids.join(" "))),
    one.sign ? [make("i", { "aria-hidden": "true" }, one.sign), make("span", { class: "live-said" }, `, ${one.says}`)] : null));
    const more = words.length - MOST;
    return make("div", { class: "bench-cards", role: "group", "aria-label": texts.words }, cards,
      more > 0 ? make("span", { class: "bench-note" }, bench.fill(texts.more_words, { n: bench.count(more) })) : null);
  };

  // Below the bytes, the characters that several of them spell. x: of a byte's left end.
  bench.spans = (word, x, y) => bench.characters(word).map(({ char, at, size }) => live.make("g", { class: "span" },
    live.make("path", { d: `M${x(at) + 5} ${y}v4H${x(at + size) - 5}v-4` }),
    live.make("text", { x: (x(at) + x(at + size)) / 2, y: y + 18 }, char)));

  // A box that scrolls sideways, and says so where it has to.
  bench.sideways = (content, label, texts) => {
    const box = live.make("div", { class: "bench-scroll", tabindex: "0", role: "region", "aria-label": label }, content);
    const hint = live.make("p", { class: "bench-hint", "aria-hidden": "true" }, texts.sideways);
    const look = () => {
      hint.hidden = box.scrollWidth <= box.clientWidth + 1;
      box.classList.toggle("more", !hint.hidden);
      if (hint.hidden) box.removeAttribute("tabindex"); else box.tabIndex = 0;
    };
    new ResizeObserver(look).observe(box);
    return live.make("div", { class: "bench-wide" }, box, hint);
  };
})();
