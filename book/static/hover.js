"use strict";
// What a symbol or a term means: a card beside it, for pointer, keyboard and touch.
// book/extensions/meanings.py has marked both: `a.term` leads to the glossary, and
// `data-s` in a formula names an entry. What the cards say is loaded when first asked.
(() => {
  const here = document.currentScript;
  const article = document.querySelector("article.page");
  if (!article?.querySelector("a.term, [data-s]")) return;
  const MARK = "a.term, [data-s]", GAP = 8;
  const make = (tag, name, text = "") => {
    const node = document.createElement(tag);
    node.className = name;
    node.textContent = text;
    return node;
  };

  // ---- the cards' words, once
  let asked = null;
  const words = () => asked ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = here.src.replace("hover.js", `cards-${document.documentElement.lang}.js`);
    script.onload = () => resolve(window.bookCards);
    script.onerror = () => { asked = null; reject(new Error(script.src)); };
    document.head.append(script);
  });

  // ---- one card for the page
  const card = make("div", "meaning");
  card.id = "meaning";
  card.setAttribute("role", "tooltip");
  card.hidden = true;
  const spoken = make("div", "meaning-spoken");
  spoken.setAttribute("role", "status");
  document.body.append(card, spoken);
  let shown = null; // { mark, host }: what the card belongs to, and what has the focus
  const hostOf = (mark) => mark.closest("a.term, .math");
  const address = (mark, all) => mark.matches("a.term")
    ? mark.getAttribute("href") : all.symbols[mark.dataset.s]?.[4];

  const fill = (mark, all, steps) => {
    const head = make("p", "meaning-name");
    const lines = [head];
    let link = all.words.glossary;
    if (mark.matches("a.term")) {
      const [name, other, definition] = all.terms[mark.hash.replace("#glossary-", "")];
      head.append(make("b", "", name), " ", make("span", "", other));
      head.lastChild.lang = document.documentElement.lang === "ko" ? "en" : "ko";
      lines.push(make("p", "", definition));
    } else {
      const [drawn, name, meaning, shape, , place] = all.symbols[mark.dataset.s];
      const sign = make("span", "meaning-sign");
      sign.innerHTML = drawn; // set by KaTeX when the book was built
      head.append(sign, make("b", "", name));
      lines.push(make("p", "", meaning));
      const size = make("p", "meaning-shape", `${all.words.shape} `);
      size.append(shape ? make("code", "", shape) : make("span", "", all.words.number));
      lines.push(size);
      link = place && `${all.words.defined}: ${place}`;
    }
    if (link) {
      const line = make("p", "meaning-link"), anchor = make("a", "", link);
      anchor.href = address(mark, all);
      anchor.tabIndex = -1; // Enter on the mark does the same
      line.append(anchor);
      lines.push(line);
    }
    if (steps) lines.push(make("p", "meaning-keys", `← → ${all.words.keys} · ${steps}`));
    card.replaceChildren(...lines);
  };

  // ---- inside the window, above the mark where there is room, else below
  const placed = (mark, point) => {
    const lines = [...mark.getClientRects()];
    const line = lines.find((rect) => point && point.y >= rect.top && point.y <= rect.bottom)
      ?? lines[0] ?? mark.getBoundingClientRect();
    const box = mark.matches("a.term") || lines.length < 2 ? around(mark, line) : mark.getBoundingClientRect();
    const { clientWidth, clientHeight } = document.documentElement;
    card.style.left = card.style.top = "0";
    const { width, height } = card.getBoundingClientRect();
    const left = Math.min(Math.max(box.left + box.width / 2 - width / 2, GAP), clientWidth - width - GAP);
    const bar = document.querySelector(".bar")?.getBoundingClientRect().bottom ?? 0;
    const above = box.top - height - GAP, below = box.bottom + GAP;
    const top = above >= bar || below + height > clientHeight - GAP && above >= scrollY * -1 && box.top > clientHeight / 2
      ? above : below;
    card.style.left = `${left + scrollX}px`;
    card.style.top = `${Math.max(top + scrollY, 0)}px`;
  };
  // A letter's own box is as high as its line; what is drawn may stand higher.
  const around = (mark, line) => {
    const rects = [line, ...[...mark.querySelectorAll(".mord, .vlist > span > *")].map((part) => part.getBoundingClientRect())]
      .filter((rect) => rect.width && (mark.matches("[data-s]") || rect === line));
    const left = Math.min(...rects.map((rect) => rect.left)), top = Math.min(...rects.map((rect) => rect.top));
    return { left, top, width: Math.max(...rects.map((rect) => rect.right)) - left, bottom: Math.max(...rects.map((rect) => rect.bottom)) };
  };

  const close = () => {
    if (!shown) return;
    shown.mark.classList.remove("asked");
    if (shown.host.getAttribute("aria-describedby") === card.id) shown.host.removeAttribute("aria-describedby");
    shown = null;
    card.hidden = true;
  };
  let turn = 0; // only the last request opens
  const open = async (mark, { point, steps = "", say = false } = {}) => {
    const mine = ++turn;
    let all;
    try { all = await words(); } catch { return; } // a term is still a link
    if (mine !== turn || !(mark.matches("a.term") || all.symbols[mark.dataset.s])) return;
    if (shown?.mark === mark && !card.hidden && !steps) return;
    close();
    fill(mark, all, steps);
    card.hidden = false;
    placed(mark, point);
    shown = { mark, host: hostOf(mark) };
    mark.classList.add("asked");
    shown.host.setAttribute("aria-describedby", card.id);
    spoken.textContent = say ? card.textContent : "";
  };
  const cancel = () => { turn += 1; };

  // ---- pointer: opens after a moment, and stays while the pointer is on mark or card
  let later = 0, touch = false;
  const after = (action, pause) => { clearTimeout(later); later = setTimeout(action, pause); };
  addEventListener("pointerdown", (event) => { touch = event.pointerType === "touch"; }, true);
  article.addEventListener("pointerover", (event) => {
    if (event.pointerType === "touch") return;
    const mark = event.target.closest(MARK);
    if (mark) after(() => open(mark, { point: { y: event.clientY } }), shown ? 60 : 140);
    else if (shown) after(leave, 220);
    else clearTimeout(later);
  });
  const leave = () => { cancel(); if (!(shown && shown.host === document.activeElement && focusSeen())) close(); };
  article.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") after(leave, 220); });
  card.addEventListener("pointerenter", () => clearTimeout(later));
  card.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") after(leave, 220); });

  // ---- touch: a tap opens, another closes; near a symbol is near enough
  const near = (event) => {
    const formula = event.target.closest(".math");
    let best = null, least = 24;
    for (const mark of formula?.querySelectorAll("[data-s]") ?? []) {
      const box = around(mark, mark.getBoundingClientRect());
      const dx = Math.max(box.left - event.clientX, 0, event.clientX - box.left - box.width);
      const dy = Math.max(box.top - event.clientY, 0, event.clientY - box.bottom);
      if (Math.hypot(dx, dy) < least) { least = Math.hypot(dx, dy); best = mark; }
    }
    return best;
  };
  document.addEventListener("click", (event) => {
    if (card.contains(event.target)) return;
    const inside = article.contains(event.target);
    const mark = inside && (event.target.closest(MARK) ?? (touch ? near(event) : null));
    if (!mark) { cancel(); close(); return; }
    if (mark.matches("a.term") && (!touch || event.detail === 0)) return; // a link as any
    event.preventDefault();
    if (touch && shown?.mark === mark) close(); else open(mark, { point: { y: event.clientY } });
  });

  // ---- keyboard: a section's text is one stop, a displayed formula another; arrow
  // keys go from mark to mark, so that a page of symbols costs few stops
  const groups = new Map(); // host -> { items: [{ mark, host }], at }
  const sections = new Map();
  const unique = (marks, seen) => marks.filter(({ dataset: { s } }) => !seen.has(s) && seen.add(s));
  for (const host of article.querySelectorAll("a.term, .math")) {
    if (host.closest("details:not([open])")) continue;
    if (host.matches("div.math")) {
      const marks = unique([...host.querySelectorAll("[data-s]")], new Set());
      if (marks.length) groups.set(host, { items: marks.map((mark) => ({ mark, host })), at: 0 });
      continue;
    }
    const section = host.closest("section");
    if (!sections.has(section)) sections.set(section, {
      items: [], at: 0,
      seen: new Set([...section.querySelectorAll(":scope > div.math [data-s]")].map((mark) => mark.dataset.s)),
    });
    const group = sections.get(section);
    const marks = host.matches("a.term") ? [host] : unique([...host.querySelectorAll("[data-s]")], group.seen);
    group.items.push(...marks.map((mark) => ({ mark, host })));
    if (marks.length) groups.set(host, group);
  }
  for (const [host, group] of groups) {
    host.tabIndex = host === group.items[0].host ? 0 : -1;
    if (host.matches("a.term")) continue;
    host.setAttribute("role", "group");
    host.setAttribute("aria-label", here.dataset.formula);
  }
  let moving = false;
  const focusSeen = () => document.activeElement?.matches(":focus-visible");
  const reach = (group, at, say) => {
    const { host, mark } = group.items[at];
    group.at = at;
    for (const item of group.items) item.host.tabIndex = item.host === host ? 0 : -1;
    moving = true;
    if (document.activeElement !== host) host.focus();
    moving = false;
    if (mark !== host) mark.scrollIntoView?.({ block: "nearest", inline: "nearest", behavior: "instant" });
    open(mark, { steps: group.items.length > 1 ? `${at + 1}/${group.items.length}` : "", say });
  };
  article.addEventListener("focusin", ({ target }) => {
    const group = groups.get(target);
    if (!group || moving || !target.matches(":focus-visible")) return;
    const at = group.items[group.at].host === target ? group.at : group.items.findIndex(({ host }) => host === target);
    reach(group, at, false);
  });
  article.addEventListener("focusout", ({ target }) => {
    if (!moving && groups.has(target)) { cancel(); close(); }
  });
  article.addEventListener("keydown", async (event) => {
    const group = groups.get(event.target);
    if (!group || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const last = group.items.length - 1;
    const to = { ArrowRight: Math.min(group.at + 1, last), ArrowLeft: Math.max(group.at - 1, 0), Home: 0, End: last }[event.key];
    if (to !== undefined && last > 0) {
      event.preventDefault();
      reach(group, to, group.items[to].host === event.target);
    } else if (event.key === "Enter" && event.target.matches(".math")) {
      const all = await words();
      const target = address(group.items[group.at].mark, all);
      if (target) location.href = target;
    }
  });
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    clearTimeout(later);
    cancel();
    close();
  });
  addEventListener("resize", () => { cancel(); close(); });
})();
