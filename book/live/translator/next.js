"use strict";
// What the model would write next: the likeliest tokens with their probabilities.
(() => {
  const space = (bookLive.translator ??= {});
  const { make } = bookLive;
  const SHOWN = 5;
  space.percent = (share) => `${share > 0 && share < 0.001 ? "<0.1" : (100 * share).toFixed(1)}%`;

  space.next = ({ words, pieces }) => {
    const head = make("p", { class: "tr-head" });
    const list = make("ol", { class: "tr-bars" });
    const root = make("div", { class: "tr-next" }, head, list);
    const bar = (name, share, more, mark) => make("li", { class: more, style: `--w:${share.toFixed(4)}` },
      make("span", { class: "tr-token" }, name), make("span", { class: "tr-bar" }),
      make("span", { class: "tr-share" }, space.percent(share), mark ? make("span", { class: "live-said" }, `, ${words.chosen}`) : null));
    // logits of the step, the token that was chosen, the token before it
    const draw = (logits, chosen, before) => {
      const shares = bookLive.pure.transformer.softmax(logits);
      const order = [...shares.keys()].sort((a, b) => shares[b] - shares[a] || a - b).slice(0, SHOWN);
      const rest = 1 - order.reduce((sum, id) => sum + shares[id], 0);
      head.textContent = space.fill(words.next_at, { before: pieces.show(before) });
      list.replaceChildren(
        ...order.map((id) => bar(pieces.show(id), shares[id], id === chosen ? "tr-chosen" : "", id === chosen)),
        bar(space.fill(words.others, { count: shares.length - SHOWN }), Math.max(rest, 0), "tr-rest"));
      return shares[chosen];
    };
    return { root, draw };
  };
})();
