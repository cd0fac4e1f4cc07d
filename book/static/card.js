// The card that says what a symbol or a term means; built into cards-LANG.js behind its
// words, so that a page loads it when a reader first asks.
(() => {
  const all = window.bookCards, GAP = 8;
  const make = (tag, name, text = "") => {
    const node = document.createElement(tag);
    node.className = name;
    node.textContent = text;
    return node;
  };
  const card = make("div", "meaning"), spoken = make("div", "meaning-spoken");
  card.id = "meaning";
  card.setAttribute("role", "tooltip");
  card.hidden = true;
  spoken.setAttribute("role", "status");
  document.body.append(card, spoken);

  const known = (mark) => mark.dataset.s ? all.symbols[mark.dataset.s] : all.terms[mark.hash.slice("#glossary-".length)];
  const address = (mark) => mark.dataset.s ? known(mark)[4] : mark.getAttribute("href");
  const fill = (mark, steps) => {
    const head = make("p", "meaning-name"), lines = [head];
    let link = all.words.glossary;
    if (mark.dataset.s) {
      const [drawn, name, meaning, shape, , place] = known(mark);
      const sign = make("span", "meaning-sign"), size = make("p", "meaning-shape", all.words.shape);
      sign.innerHTML = drawn; // set by KaTeX when the book was built
      head.append(sign, make("b", "", name));
      size.append(shape ? make("code", "", shape) : all.words.number);
      lines.push(make("p", "", meaning), size);
      link = place && all.words.defined.replace("{place}", place);
    } else {
      const [name, other, definition] = known(mark), second = make("span", "", other);
      second.lang = document.documentElement.lang === "ko" ? "en" : "ko";
      head.append(make("b", "", name), " ", second);
      lines.push(make("p", "", definition));
    }
    if (link) {
      const line = make("p", "meaning-link"), anchor = make("a", "", link);
      anchor.href = address(mark);
      anchor.tabIndex = -1; // Enter on the mark does the same
      line.append(anchor);
      lines.push(line);
    }
    if (steps) lines.push(make("p", "meaning-keys", `${all.words.keys} · ${steps}`));
    card.replaceChildren(...lines);
  };

  // Inside the window, above the mark where there is room, else below; a formula that
  // stands by itself is not covered.
  const place = (mark, y) => {
    const lines = [...mark.getClientRects()];
    const line = lines.find((rect) => y >= rect.top && y <= rect.bottom) ?? lines[0];
    const { top, bottom } = (mark.closest("div.math") ?? { getBoundingClientRect: () => line }).getBoundingClientRect();
    const { clientWidth, clientHeight } = document.documentElement;
    const bar = document.querySelector(".bar")?.getBoundingClientRect().bottom ?? 0;
    card.style.left = card.style.top = "0";
    const { width, height } = card.getBoundingClientRect();
    const left = Math.min(Math.max(line.left + line.width / 2 - width / 2, GAP), clientWidth - width - GAP);
    const above = top - GAP - height, below = bottom + GAP;
    const at = above >= bar ? above : Math.max(Math.min(below, clientHeight - height - GAP), bar + GAP);
    card.style.left = `${left + scrollX}px`;
    card.style.top = `${at + scrollY}px`;
  };

  const shown = { card, mark: null, host: null, known, address };
  shown.hide = () => {
    shown.mark?.classList.remove("asked");
    if (shown.host?.getAttribute("aria-describedby") === card.id) shown.host.removeAttribute("aria-describedby");
    shown.mark = shown.host = null;
    card.hidden = true;
  };
  shown.show = (mark, { y, steps = "", say = false }) => {
    shown.hide();
    fill(mark, steps);
    card.hidden = false;
    place(mark, y);
    shown.mark = mark;
    shown.host = mark.closest("a.term, .math");
    mark.classList.add("asked");
    shown.host.setAttribute("aria-describedby", card.id);
    spoken.textContent = say ? card.textContent : "";
  };
  window.bookCard = shown;
})();
