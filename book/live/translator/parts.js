"use strict";
// The parts of the model as switches: layers, heads, feed-forward networks; and what
// that does to the share of right answers, counted while the page is idle.
(() => {
  const space = (bookLive.translator ??= {});
  const { make } = bookLive;

  // open: called with the name of a part that is pointed at; change: with the set of
  // names that are off.
  space.parts = ({ words, config, open, change }) => {
    const off = new Set(), buttons = new Map();
    const room = make("div", { class: "tr-room" }); // for what is counted
    const button = (name, text, label, look = "") => {
      const node = make("button", { type: "button", class: `tr-part ${look}`, "aria-pressed": "true", "aria-label": label,
        onclick: () => { if (!off.delete(name)) off.add(name); paint(); change(off); } }, text);
      for (const kind of ["pointerenter", "focus"]) node.addEventListener(kind, () => open(name));
      buttons.set(name, node);
      return node;
    };
    const paint = () => {
      for (const [name, node] of buttons) {
        node.setAttribute("aria-pressed", String(!off.has(name)));
        node.classList.toggle("tr-within", [...off].some((other) => name.startsWith(`${other}.`)));
      }
      restore.disabled = !off.size;
    };
    const layer = (stack, number) => {
      const name = `${stack}.blocks.${number}`;
      const where = `${words[stack]}, ${space.fill(words.layer, { layer: number })}`;
      const heads = (part) => make("div", { class: "tr-heads" }, make("span", { "aria-hidden": "true" }, words[part]),
        make("div", {}, Array.from({ length: config.n_heads }, (_, head) =>
          button(`${name}.${part}.${head}`, `H${head}`, `${where}, ${words[part]}, H${head}`))));
      return make("div", { class: "tr-layer", role: "group", "aria-label": where },
        button(name, space.fill(words.layer, { layer: number }), where, "tr-wide"),
        heads("attn"), stack === "decoder" ? heads("cross") : null,
        make("div", { class: "tr-heads" }, button(`${name}.mlp`, words.mlp, `${where}, ${words.mlp}`, "tr-wide")));
    };
    const restore = bookLive.button(words.all_on, () => { off.clear(); paint(); change(off); }, { disabled: true });
    const root = make("div", { class: "tr-parts", role: "group", "aria-label": words.parts },
      make("p", { class: "tr-head" }, words.parts, restore), make("p", { class: "tr-hint" }, words.parts_hint),
      make("div", { class: "tr-stacks" }, ["encoder", "decoder"].map((stack) => make("div", { class: `tr-stack tr-${stack}` },
        make("p", { class: "tr-name" }, words[stack]),
        make("div", { class: "tr-layers" }, Array.from({ length: config.n_layers }, (_, i) => layer(stack, i))))), room));
    return { root, off, room };
  };

  const idle = (action) => (globalThis.requestIdleCallback
    ? requestIdleCallback(action, { timeout: 250 }) : setTimeout(() => action({ timeRemaining: () => 12 }), 40));

  // A table of shares by direction: with all parts on, and as it is now.
  space.exact = ({ words, pieces, samples }) => {
    const body = make("tbody"), note = make("p", { class: "tr-hint" });
    const root = make("div", { class: "tr-exact" }, make("p", { class: "tr-head" }, words.exact),
      make("table", {}, make("thead", {}, make("tr", {}, [words.direction, words.whole, words.now]
        .map((text) => make("th", { scope: "col" }, text)))), body), note);
    const directions = [...new Set(samples.map(([, , direction]) => direction))].sort();
    const cache = new Map();
    let turn = 0;
    const share = (counts, direction) => {
      const all = direction ? [counts?.[direction]] : Object.values(counts ?? {});
      const of = all.reduce((sum, count) => sum + (count?.of ?? 0), 0);
      return of ? all.reduce((sum, count) => sum + count.right, 0) / of : null;
    };
    const draw = (whole, now, n) => {
      const cell = (value) => make("td", { style: `--w:${(value ?? 0).toFixed(3)}` }, value === null ? "…" : `${Math.round(100 * value)}%`);
      body.replaceChildren(...[...directions, null].map((direction) => make("tr", { class: direction ? "" : "tr-total" },
        make("th", { scope: "row" }, direction ? words.directions[direction] : words.total),
        cell(share(whole, direction)), cell(share(now, direction)))));
      note.textContent = n < samples.length ? space.fill(words.exact_some, { n, all: samples.length }) : space.fill(words.exact_n, { n });
      root.dataset.done = n < samples.length ? "" : "yes";
    };
    // key: the checkpoint; counts all on first, then what is off, and keeps both
    const count = (model, key, off) => {
      const mine = (turn += 1);
      const wanted = [new Set(), new Set(off)].map((set) => [`${key}|${[...set].sort()}`, set]);
      const show = (n) => draw(...wanted.map(([name]) => cache.get(name)?.counts), n);
      const work = (left) => {
        if (mine !== turn || !root.isConnected) return;
        const next = wanted.find(([name]) => !cache.get(name)?.done);
        if (!next) { show(samples.length); return; }
        const [name, set] = next;
        if (!cache.has(name)) cache.set(name, { steps: bookLive.pure.transformer.measure(model, pieces, samples, set), n: 0 });
        const entry = cache.get(name);
        do {
          const { value, done } = entry.steps.next();
          if (done) { entry.done = true; break; }
          entry.counts = value;
          entry.n += 1;
        } while (left.timeRemaining() > 8);
        show(Math.min(entry.n, samples.length - 1));
        idle(work);
      };
      show(0);
      idle(work);
    };
    return { root, count };
  };
})();
