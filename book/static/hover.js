"use strict";
// Who asks what a symbol or a term means: pointer, keyboard or touch. The marks are made
// at build time (book/extensions/meanings.py): `a.term` leads to the glossary, and
// `data-s` in a formula names an entry. The card itself (card.js) is loaded when asked.
(() => {
  const here = document.currentScript;
  const article = document.querySelector("article.page");
  const MARK = "a.term, [data-s]";
  if (!article?.querySelector(MARK)) return;

  let asked = null, card = null, turn = 0; // only the last request opens
  const loaded = () => asked ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = here.src.replace("hover.js", `cards-${document.documentElement.lang}.js`);
    script.onload = () => {
      card = window.bookCard;
      card.card.addEventListener("pointerenter", () => clearTimeout(later));
      card.card.addEventListener("pointerleave", left);
      resolve();
    };
    script.onerror = () => { asked = null; reject(new Error(script.src)); };
    document.head.append(script);
  });
  const close = () => { turn += 1; clearTimeout(later); card?.hide(); };
  const open = async (mark, { y, steps, say } = {}) => {
    const mine = ++turn;
    try { await loaded(); } catch { return; } // a term is still a link
    if (mine === turn && card.known(mark) && (card.mark !== mark || steps)) card.show(mark, { y, steps, say });
  };

  // ---- pointer: opens after a moment, and stays while the pointer is on mark or card
  let later = 0, touch = false;
  const after = (action, pause) => { clearTimeout(later); later = setTimeout(action, pause); };
  const left = ({ pointerType }) => { if (pointerType !== "touch") after(() => { if (!held()) close(); }, 220); };
  const held = () => card?.host && card.host === document.activeElement && card.host.matches(":focus-visible");
  addEventListener("pointerdown", ({ pointerType }) => { touch = pointerType === "touch"; }, true);
  article.addEventListener("pointerover", (event) => {
    const mark = event.target.closest(MARK);
    if (mark && event.pointerType !== "touch") after(() => open(mark, { y: event.clientY }), card?.mark ? 60 : 140);
    else left(event);
  });
  article.addEventListener("pointerleave", left);

  // ---- touch: a tap opens, another closes; near a symbol is near enough
  const near = ({ target, clientX: x, clientY: y }) => {
    const far = (mark) => {
      const box = mark.getBoundingClientRect();
      return Math.hypot(Math.max(box.left - x, 0, x - box.right), Math.max(box.top - y, 0, y - box.bottom));
    };
    const [mark] = [...target.closest(".math")?.querySelectorAll("[data-s]") ?? []].sort((a, b) => far(a) - far(b));
    return mark && far(mark) < 24 ? mark : null;
  };
  document.addEventListener("click", (event) => {
    if (card?.card.contains(event.target)) return;
    const mark = article.contains(event.target) && (event.target.closest(MARK) ?? (touch ? near(event) : null));
    if (!mark) { close(); return; }
    if (mark.matches("a.term") && (!touch || !event.detail)) return; // a link as any
    event.preventDefault();
    if (touch && card?.mark === mark) close();
    else open(mark, { y: event.clientY });
  });

  // ---- keyboard: the text of a section is one stop, a displayed formula another; arrow
  // keys go from mark to mark, so that a page of symbols costs few stops
  const groups = new Map(), sections = new Map(); // host -> { items: [{ mark, host }], at }
  const fresh = (host, seen) => [...host.querySelectorAll("[data-s]")]
    .filter(({ dataset: { s } }) => !seen.has(s) && seen.add(s)).map((mark) => ({ mark, host }));
  for (const host of article.querySelectorAll("a.term, .math")) {
    if (host.closest("details:not([open])")) continue;
    const section = host.closest("section");
    if (!sections.has(section)) {
      const alone = [...section.querySelectorAll(":scope > div.math [data-s]")];
      sections.set(section, { items: [], at: 0, seen: new Set(alone.map(({ dataset }) => dataset.s)) });
    }
    const group = host.matches("div.math") ? { items: [], at: 0, seen: new Set() } : sections.get(section);
    const items = host.matches("a.term") ? [{ mark: host, host }] : fresh(host, group.seen);
    group.items.push(...items);
    if (items.length) groups.set(host, group);
  }
  for (const [host, { items }] of groups) {
    host.tabIndex = host === items[0].host ? 0 : -1;
    if (host.matches("a.term")) continue;
    host.setAttribute("role", "group");
    host.setAttribute("aria-label", here.dataset.formula);
  }
  let moving = false;
  const reach = (group, at, say) => {
    const { host, mark } = group.items[at], of = group.items.length;
    group.at = at;
    for (const item of group.items) item.host.tabIndex = item.host === host ? 0 : -1;
    moving = true;
    if (document.activeElement !== host) host.focus();
    moving = false;
    mark.scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" });
    open(mark, { steps: of > 1 ? `${at + 1}/${of}` : "", say });
  };
  article.addEventListener("focusin", ({ target }) => {
    const group = groups.get(target);
    if (!group || moving || !target.matches(":focus-visible")) return;
    const own = group.items[group.at].host === target;
    reach(group, own ? group.at : group.items.findIndex(({ host }) => host === target), false);
  });
  article.addEventListener("focusout", ({ target }) => { if (!moving && groups.has(target)) close(); });
  article.addEventListener("keydown", async (event) => {
    const group = groups.get(event.target);
    if (!group || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const last = group.items.length - 1;
    const to = { ArrowRight: Math.min(group.at + 1, last), ArrowLeft: Math.max(group.at - 1, 0), Home: 0, End: last }[event.key];
    if (to !== undefined && last) {
      event.preventDefault();
      reach(group, to, group.items[to].host === event.target);
    } else if (event.key === "Enter" && event.target.matches(".math")) {
      await loaded();
      const target = card.address(group.items[group.at].mark);
      if (target) location.href = target;
    }
  });
  addEventListener("keydown", ({ key }) => { if (key === "Escape") close(); });
  addEventListener("resize", close);
})();
