"use strict";
// The page's own behaviour. Everything works from a folder (file://) and without
// a network; the reading works without this file too.
(() => {
  const root = document.documentElement;
  const assets = new URL("../assets/", document.currentScript
    ? document.currentScript.src.replace(/assets\/book\.js.*/, "assets/_") : location.href);
  const words = JSON.parse(document.getElementById("words").textContent);
  const one = (selector, from = document) => from.querySelector(selector);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const remember = (key, value) => { try { localStorage.setItem(key, value); } catch { /* private mode */ } };
  const asset = (name) => new URL(name, assets).href;
  const loaded = new Map();
  const load = (name) => {
    if (!loaded.has(name)) loaded.set(name, new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = asset(name);
      script.onload = resolve;
      script.onerror = () => reject(new Error(name));
      document.head.append(script);
    }));
    return loaded.get(name);
  };

  // ---- light and dark
  const dark = () => root.dataset.theme
    ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  one(".theme-button").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    remember("book-theme", root.dataset.theme);
    repaint();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => repaint());

  // ---- contents on a narrow screen
  const menu = one(".menu-button");
  const contents = one("#contents");
  const openMenu = (open) => {
    root.classList.toggle("menu-open", open);
    menu.setAttribute("aria-expanded", String(open));
    menu.setAttribute("aria-label", open ? words.menu_close : words.menu);
  };
  menu.addEventListener("click", () => openMenu(!root.classList.contains("menu-open")));
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && root.classList.contains("menu-open")) { openMenu(false); menu.focus(); }
  });
  document.addEventListener("click", (event) => {
    if (root.classList.contains("menu-open") && !contents.contains(event.target) && !menu.contains(event.target)) openMenu(false);
  });
  one(".current > a.current", contents)?.scrollIntoView?.({ block: "nearest" });

  // ---- where the reader is: marks the margin, and keeps the section when the
  // language changes
  const sections = all("main section[id]");
  const links = new Map(all(".here a").map((link) => [decodeURIComponent(link.hash.slice(1)), link]));
  const language = one(".language");
  const target = language.getAttribute("href").split("#")[0];
  const place = () => {
    let current = null, landed = null; // a heading at the top wins over one just below
    for (const section of sections) {
      const y = section.firstElementChild?.getBoundingClientRect().top ?? Infinity;
      if (y < innerHeight * 0.35) current = section;
      if (y >= 0 && y < 128) landed ??= section;
    }
    current = landed ?? current;
    const top = sections[0];
    const id = current && current !== top ? current.id : "";
    language.setAttribute("href", target + (id ? "#" + id : ""));
    for (const [key, link] of links) {
      if (key === (id || (top && top.id))) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  let waiting = false;
  const placed = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; place(); });
  };
  addEventListener("scroll", placed, { passive: true });
  addEventListener("resize", placed, { passive: true });
  addEventListener("hashchange", placed);
  place();

  // ---- regions that scroll sideways can be reached by keyboard
  const reachable = () => {
    for (const box of all("pre, .table-wrap, .math-display, .figure-body.svg")) {
      if (box.scrollWidth > box.clientWidth + 1) {
        box.tabIndex = 0;
        if (!box.hasAttribute("role")) { box.setAttribute("role", "region"); box.setAttribute("aria-label", box.tagName === "PRE" ? words.code : words.scroll); }
      } else if (box.tagName === "PRE") box.removeAttribute("tabindex");
    }
  };
  reachable();
  addEventListener("resize", reachable);
  document.fonts?.ready.then(() => { reachable(); place(); });
  for (const fold of all("details")) fold.addEventListener("toggle", reachable);
  for (const link of all("a.headerlink")) { link.setAttribute("aria-label", words.permalink); link.removeAttribute("title"); }

  // ---- copy buttons
  for (const block of all(".cell_input .highlight, div.highlight")) {
    if (one(".copy", block)) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = words.copy;
    button.addEventListener("click", async () => {
      const text = one("pre", block).textContent;
      try { await navigator.clipboard.writeText(text); } catch {
        const area = document.createElement("textarea");
        area.value = text;
        document.body.append(area);
        area.select();
        document.execCommand("copy");
        area.remove();
      }
      button.textContent = words.copied;
      setTimeout(() => { button.textContent = words.copy; }, 1600);
    });
    block.append(button);
  }

  // ---- figures drawn by plotly: light colours stand in the data, the page's
  // current ones go into the drawing
  const palette = { "#2f55c6": "--c-attention", "#a64a0a": "--c-gravity", "#0b766b": "--c-tokens",
    "#8a3f8c": "--c-plum", "#76690f": "--c-olive", "#5f687b": "--c-grey",
    "#1d2433": "--ink", "#5b6476": "--muted", "#d9d5ca": "--line", "#fbfaf7": "--paper" };
  const current = () => {
    const style = getComputedStyle(root);
    return Object.fromEntries(Object.entries(palette).map(([light, name]) => [light, style.getPropertyValue(name).trim() || light]));
  };
  const recolour = (value, colours) => {
    if (typeof value === "string") return colours[value.toLowerCase()] ?? value;
    if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map((item) => recolour(item, colours));
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, recolour(item, colours)]));
    return value;
  };
  const themed = (figure) => {
    const colours = current();
    const { layout, data, frames } = recolour(figure, colours);
    const ink = colours["#1d2433"], line = colours["#d9d5ca"], paper = colours["#fbfaf7"];
    const font = { family: getComputedStyle(document.body).fontFamily, color: ink };
    layout.font = { ...layout.font, ...font };
    layout.autosize = true;
    delete layout.width;
    layout.hoverlabel = { ...layout.hoverlabel, bgcolor: paper, bordercolor: line, font: { ...layout.hoverlabel?.font, ...font } };
    for (const key of Object.keys(layout)) {
      if (/^[xy]axis\d*$/.test(key)) layout[key] = { gridcolor: line, zerolinecolor: line, linecolor: line, ...layout[key] };
      if (/^scene\d*$/.test(key)) for (const axis of ["xaxis", "yaxis", "zaxis"]) {
        layout[key][axis] = { gridcolor: line, zerolinecolor: line, showbackground: false, color: colours["#5b6476"], ...layout[key][axis] };
      }
    }
    if (innerWidth < 600) {  // a phone: the whole width for the points themselves
      for (const trace of data) if (trace.marker?.colorbar) trace.marker.showscale = false;
      for (const key of Object.keys(layout)) {
        const eye = /^scene\d*$/.test(key) && layout[key].camera?.eye;
        if (eye) for (const axis of Object.keys(eye)) eye[axis] *= 1.3;
      }
    }
    if (layout.sliders?.length) {
      layout.margin = { ...layout.margin, b: Math.max(layout.margin?.b ?? 0, 80) };
    }
    for (const slider of layout.sliders ?? []) {
      slider.bgcolor = line; slider.bordercolor = line; slider.activebgcolor = colours["#2f55c6"]; slider.tickcolor = line;
      slider.font = { ...slider.font, color: ink };
    }
    for (const buttons of layout.updatemenus ?? []) {
      buttons.bgcolor = paper; buttons.bordercolor = line; buttons.font = { ...buttons.font, color: ink };
    }
    return { data, layout, frames };
  };
  const drawn = [];
  const draw = async (box) => {
    const figure = JSON.parse(one("script", box).textContent);
    try { await load(`plotly/plotly-${box.dataset.plotly}.min.js`); } catch {
      box.append(words.plot_failed);
      return;
    }
    const plot = document.createElement("div");
    plot.className = "plot";
    plot.style.height = `${figure.layout.height ?? 460}px`;
    box.append(plot);
    const { data, layout, frames } = themed(figure);
    await Plotly.newPlot(plot, { data, layout, frames, config: { responsive: true, displaylogo: false, displayModeBar: false, scrollZoom: false } });
    box.dataset.drawn = "yes";
    drawn.push({ plot, figure });
  };
  const repaint = () => {
    dispatchEvent(new Event("book-theme"));
    for (const { plot, figure } of drawn) {
      const { layout, data } = themed(figure);
      const active = (plot.layout.sliders ?? []).map((slider) => slider.active);
      (layout.sliders ?? []).forEach((slider, index) => { slider.active = active[index]; });
      const pressed = (plot.layout.updatemenus ?? []).map((menu) => menu.active);
      (layout.updatemenus ?? []).forEach((menu, index) => { menu.active = pressed[index] ?? menu.active; });
      data.forEach((trace, index) => {
        const now = plot.data[index];
        if (!now) return;
        for (const key of ["x", "y", "z", "visible", "text", "customdata"]) if (now[key] !== undefined) trace[key] = now[key];
      });
      for (const key of Object.keys(plot.layout)) if (/^scene\d*$/.test(key) && plot.layout[key].camera) layout[key].camera = plot.layout[key].camera;
      Plotly.react(plot, data, layout);
    }
  };
  const whenSeen = (boxes, action) => {
    if (!("IntersectionObserver" in window)) { boxes.forEach(action); return; }
    const observer = new IntersectionObserver((entries) => {
      for (const entry of entries) if (entry.isIntersecting) { observer.unobserve(entry.target); action(entry.target); }
    }, { rootMargin: "600px" });
    boxes.forEach((box) => observer.observe(box));
  };
  whenSeen(all("[data-plotly]"), draw);

  // ---- instruments: a still figure comes alive when the reader comes near, or asks
  const wake = async (figure) => {
    try {
      for (const name of figure.dataset.scripts.split(" ")) await load(name);
      bookLive.open(figure, load);
    } catch (error) {
      figure.dataset.awake = "failed"; // the still picture stays
      one(".instrument", figure)?.remove();
      const note = document.createElement("p");
      note.className = "live-failed";
      note.setAttribute("role", "status");
      note.textContent = words.live_failed;
      figure.append(note);
      if (!/^live\//.test(error.message)) throw error;
    }
  };
  const ask = (figure) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "ask-live";
    button.textContent = words.live;
    button.addEventListener("click", async () => {
      button.disabled = true;
      await wake(figure);
      button.remove();
      one(".instrument :is(button, input, select, [tabindex])", figure)?.focus();
    });
    figure.prepend(button);
  };
  whenSeen(all("[data-live][data-when=near]"), wake);
  all("[data-live][data-when=asked]").forEach(ask);

  // ---- widgets linked to each other, without a kernel
  let widgets = false;
  whenSeen(all(".figure-body.widget"), async () => {
    if (widgets) return;
    widgets = true;
    await load("widgets/embed.js");
    // the manager starts by itself on the load event; when that is past, start it
    if (document.readyState === "complete" && window.__jupyter_widgets_started !== true) dispatchEvent(new Event("load"));
    window.__jupyter_widgets_started = true;
  });

  // ---- search: a field that names one of a list of sections, chosen with the arrows
  const dialog = one("dialog.search");
  const field = one("input", dialog);
  const status = one(".search-status", dialog);
  const results = one(".search-results", dialog);
  let chosen = -1;
  const choose = (number) => {
    const options = all("a", results);
    options[chosen]?.setAttribute("aria-selected", "false");
    chosen = options.length ? (number + options.length) % options.length : -1;
    const option = options[chosen];
    if (!option) { field.removeAttribute("aria-activedescendant"); return; }
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({ block: "nearest" });
    field.setAttribute("aria-activedescendant", option.id);
  };
  const openSearch = async () => {
    if (!dialog.open) dialog.showModal();
    field.focus();
    field.select();
    try { await load("search.js"); await load(`search-${root.lang}.js`); look(); } catch { status.textContent = words.failed; }
  };
  const look = () => {
    results.replaceChildren();
    choose(-1);
    status.textContent = "";
    field.setAttribute("aria-expanded", "false");
    if (!window.bookSearch) return;
    const hits = window.bookSearch(field.value);  // without a word too: the first call reads the index
    if (!field.value.trim()) return;
    status.textContent = hits.length ? words.found.replace("{n}", hits.length) : words.none;
    field.setAttribute("aria-expanded", String(hits.length > 0));
    hits.slice(0, 30).forEach((hit, number) => {
      const item = document.createElement("li");
      item.role = "presentation";
      const link = document.createElement("a");
      link.href = hit.address;
      link.id = `search-result-${number}`;
      link.role = "option";
      link.tabIndex = -1;
      link.setAttribute("aria-selected", "false");
      const title = document.createElement("b");
      title.textContent = hit.title;
      const page = document.createElement("span");
      page.className = "search-page";
      page.textContent = hit.title === hit.page ? "" : hit.page;
      const text = document.createElement("span");
      text.className = "search-text";
      for (const [piece, marked] of hit.pieces) {
        const node = document.createElement(marked ? "mark" : "span");
        node.textContent = piece;
        text.append(node);
      }
      link.append(title, " ", page, " ", text);
      link.addEventListener("click", () => dialog.close());
      item.append(link);
      results.append(item);
    });
    one(".search-list", dialog).scrollTop = 0;
    if (hits.length) choose(0);
  };
  one(".search-button").addEventListener("click", openSearch);
  if (/Mac|iP(hone|ad|od)/.test(navigator.platform)) one(".search-button kbd").textContent = "⌘ K";
  field.addEventListener("input", look);
  field.addEventListener("keydown", (event) => {
    if (event.isComposing) return;  // Enter and the arrows belong to a Hangul syllable that is not done
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) { event.preventDefault(); choose(chosen + step); }
    if (event.key === "Enter") {
      event.preventDefault();
      const { ctrlKey, metaKey, shiftKey } = event;
      all("a", results)[chosen]?.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, ctrlKey, metaKey, shiftKey }));
    }
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && dialog.open && !event.isComposing) { event.preventDefault(); dialog.close(); return; }
    const control = (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey;
    const typing = /^(input|textarea|select)$/i.test(event.target.tagName) || event.target.isContentEditable;
    const slash = event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (slash || (control && event.code === "KeyK")) { event.preventDefault(); openSearch(); }
  });
  root.dataset.ready = "yes";
})();
