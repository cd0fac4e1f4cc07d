"use strict";
// What every instrument of the page stands on: its words, its data, its place in a
// figure, the page's colours, and one voice for readers who do not see the picture.
(() => {
  const live = globalThis.bookLive;
  const words = new Map(), packed = new Map(), revived = new Map(), views = new Map();
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  live.words = (name, table) => words.set(name, table);
  live.data = (key, content) => packed.set(key, content);
  live.style = (look) => {
    if (look) document.head.append(Object.assign(document.createElement("style"), { textContent: look }));
  };
  // A view registers how it opens: ({ root, words, data, options, say, later, onTheme }) => …
  live.instrument = (name, view) => views.set(name, view);
  live.said = (key) => words.get("common")[key];
  // The side of `한국어 | English` that this edition shows.
  live.side = (text) => {
    const [korean, english = korean] = text.split(" | ");
    return document.documentElement.lang === "ko" ? korean : english;
  };
  live.reduced = () => still.matches;
  // A colour of the page, as a canvas needs it: colour("accent"), colour("c-tokens").
  live.colour = (name) => getComputedStyle(document.body).getPropertyValue(`--${name}`).trim();
  // The same as three numbers from 0 to 255, whatever the way it is written.
  live.rgb = (name) => {
    const context = document.createElement("canvas").getContext("2d");
    context.fillStyle = live.colour(name);
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };

  const revive = (key) => {
    if (!revived.has(key)) {
      revived.set(key, live.pure.arrays.revive(packed.get(key)));
      packed.delete(key);
    }
    return revived.get(key);
  };

  // Calls made faster than the screen draws become one a frame.
  const framed = (action) => {
    let waiting = false;
    return () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; action(); });
    };
  };

  // What changed, in words, once the hand rests: a reader hears the last, not them all.
  const voice = (root) => {
    const status = live.make("p", { class: "live-said", role: "status" });
    let timer = 0;
    root.append(status);
    return (text, then) => {
      clearTimeout(timer);
      timer = setTimeout(() => { status.textContent = text; then?.(); }, 300);
    };
  };

  // Open the instrument of a figure in the place of its still picture.
  live.open = (figure, load) => {
    if (figure.dataset.awake) return;
    figure.dataset.awake = "yes";
    const name = figure.dataset.live;
    const table = words.get(name);
    const body = figure.querySelector(".figure-body");
    const root = live.make("div", { class: `instrument ${name}`, role: "group", "aria-label": table.title });
    const data = Object.fromEntries(figure.dataset.exports.split(" ").filter(Boolean)
      .map((key) => [key.split(".")[1], revive(key)]));
    const addresses = Object.entries(JSON.parse(figure.dataset.later));
    body.before(root);
    views.get(name)({
      root, words: table, data, figure,
      options: JSON.parse(figure.dataset.options),
      say: voice(root),
      // an export of `later`, loaded when it is first asked for
      later: async (wanted) => {
        const [key, address] = addresses.find(([name]) => name.split(".")[1] === wanted);
        await load(address);
        return revive(key);
      },
      framed,
      onTheme: (action) => addEventListener("book-theme", action),
    });
    body.hidden = true;
    figure.querySelector(":scope > details.table-alternative")?.remove();
  };
})();
