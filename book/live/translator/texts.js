"use strict";
// The two texts and the lines of cross-attention between them: one above the other
// where there is room, side by side on a phone. A token that is pointed at keeps its
// own lines only.
(() => {
  const space = (bookLive.translator ??= {});
  const { make } = bookLive;
  const FAINT = 0.02; // weights below it have no line

  // point: called with { side, index } or null; choose: with the same, on a press.
  space.texts = ({ words, point, choose }) => {
    const sides = {}, places = { source: 0, target: 0 };
    const svg = make("svg", { class: "tr-lines", "aria-hidden": "true" });
    const side = (name, label) => {
      const list = make("div", { class: "tr-pieces", role: "group", "aria-label": label });
      sides[name] = list;
      return make("div", { class: `tr-text tr-${name}` }, make("p", { class: "tr-name", "aria-hidden": "true" }, label), list);
    };
    const root = make("div", { class: "tr-texts" }, side("source", words.reads), svg, side("target", words.writes));
    const of = (event) => {
      const piece = event.target.closest?.(".tr-piece:not(.tr-later)");
      return piece ? { side: piece.dataset.side, index: Number(piece.dataset.index) } : null;
    };
    root.addEventListener("pointerover", (event) => { if (event.pointerType === "mouse") point(of(event)); });
    root.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") point(null); });
    root.addEventListener("focusin", (event) => {
      if (event.target.matches(":focus-visible")) point(of(event));
      const at = of(event);
      if (at) rove(at.side, at.index);
    });
    root.addEventListener("focusout", () => point(null));
    root.addEventListener("click", (event) => { const at = of(event); if (at) choose(at); });
    root.addEventListener("keydown", (event) => {
      const at = of(event);
      if (!at) return;
      const there = [...sides[at.side].querySelectorAll(".tr-piece:not(.tr-later)")];
      const to = { ArrowLeft: at.index - 1, ArrowUp: at.index - 1, ArrowRight: at.index + 1,
        ArrowDown: at.index + 1, Home: 0, End: there.length - 1 }[event.key];
      if (to === undefined || !there[to]) return;
      event.preventDefault();
      there[to].focus();
    });

    // One stop of the Tab key a text; arrows go on from there.
    const rove = (name, index) => {
      places[name] = index;
      [...sides[name].children].forEach((piece, i) => { piece.tabIndex = i === index ? 0 : -1; });
    };

    let state = null;
    const draw = ({ source, target, shown, weights, at, dead }) => {
      state = { source, target, shown, weights, at };
      for (const [name, labels] of [["source", source], ["target", target]]) {
        const list = sides[name];
        const same = list.children.length === labels.length && labels.every((label, i) => list.children[i].firstChild.data === label);
        if (!same) {
          list.replaceChildren(...labels.map((label, index) => make("button", {
            type: "button", class: label.startsWith("<") ? "tr-piece tr-special" : "tr-piece", "data-side": name, "data-index": index }, label)));
        }
        list.style.setProperty("--n", labels.length);
        const mine = name === "source" ? labels.length : shown;
        [...list.children].forEach((piece, i) => {
          piece.classList.toggle("tr-later", i >= mine);
          piece.disabled = i >= mine;
          piece.classList.toggle("tr-pointed", at?.side === name && at.index === i);
          if (name === "target" && i === shown - 1) piece.setAttribute("aria-current", "step");
          else piece.removeAttribute("aria-current");
          const weight = !at || at.side === name || !weights ? 0
            : name === "source" ? weights[at.index]?.[i] ?? 0 : i < shown ? weights[i]?.[at.index] ?? 0 : 0;
          piece.style.setProperty("--w", weight.toFixed(3));
        });
        rove(name, Math.min(places[name], Math.max(mine - 1, 0)));
      }
      svg.classList.toggle("tr-dead", Boolean(dead));
      lines();
    };

    const lines = () => {
      if (!state || !root.isConnected) return;
      const { shown, weights, at } = state;
      const box = svg.getBoundingClientRect();
      const upright = root.classList.contains("tr-upright");
      const middle = (piece) => {
        const own = piece.getBoundingClientRect();
        return upright ? own.top + own.height / 2 - box.top : own.left + own.width / 2 - box.left;
      };
      const ends = Object.fromEntries(Object.entries(sides).map(([name, list]) => [name, [...list.children].map(middle)]));
      const paths = [];
      for (let i = 0; weights && i < shown; i += 1) {
        for (let j = 0; j < weights[i].length; j += 1) {
          const weight = weights[i][j];
          if (weight < FAINT) continue;
          if (at && (at.side === "source" ? at.index !== j : at.index !== i)) continue;
          const [a, b] = [ends.source[j], ends.target[i]], [w, h] = [box.width, box.height];
          paths.push(make("path", {
            d: upright ? `M0 ${a}C${w / 2} ${a} ${w / 2} ${b} ${w} ${b}` : `M${a} 0C${a} ${h / 2} ${b} ${h / 2} ${b} ${h}`,
            class: i === shown - 1 || at ? "tr-line tr-now" : "tr-line",
            "stroke-width": (0.6 + 3.2 * weight).toFixed(2), "stroke-opacity": weight.toFixed(3) }));
        }
      }
      svg.replaceChildren(...paths);
    };
    new ResizeObserver(() => {
      root.classList.toggle("tr-upright", root.clientWidth < 520);
      lines();
    }).observe(root);
    document.fonts?.ready.then(lines);
    return { root, draw };
  };
})();
