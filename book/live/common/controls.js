"use strict";
// The controls of the page's instruments: one kind of slider, choices, switches and
// buttons, all of them HTML's own, so that keys, touch and screen readers work at once.
(() => {
  const live = globalThis.bookLive;
  const SVG = new Set(["svg", "g", "path", "line", "circle", "rect", "text", "tspan", "polyline", "title", "clipPath", "defs"]);
  let count = 0;
  const fresh = () => `live-${++count}`;

  // An element with attributes and children; `onclick` and the like are listeners.
  live.make = (tag, attributes = {}, ...children) => {
    const node = SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === undefined || value === null || value === false) continue;
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.flat().filter((child) => child !== undefined && child !== null));
    return node;
  };
  const { make } = live;
  const said = (key) => live.said(key);

  live.button = (text, action, attributes = {}) =>
    make("button", { type: "button", class: "live-button", onclick: action, ...attributes }, text);

  // A number as the book writes it: three significant digits, a minus that is one.
  live.number = (value, digits = 3) => {
    if (!Number.isFinite(value)) return "–";
    const text = value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)
      ? value.toExponential(1) : String(Number(value.toPrecision(digits)));
    return text.replace(/^-/, "−").replace("e-", "e−").replace("e+", "e");
  };

  // The slider of the book: label, value in words, range, and where they help the
  // buttons play and reset. `values` lists what it steps through, else min, max, step.
  live.slider = ({ label, value, min = 0, max = 1, step = 0.01, values, format = live.number, play = false, pace = 250, change }) => {
    const id = fresh();
    let start = value; // where the button for that goes back to
    const at = (index) => values ? values[index] : index;
    const nearest = (wanted) => values
      ? values.reduce((best, item, i) => Math.abs(item - wanted) < Math.abs(values[best] - wanted) ? i : best, 0)
      : wanted;
    const range = make("input", {
      id, type: "range", min: values ? 0 : min, max: values ? values.length - 1 : max,
      step: values ? 1 : step,
    });
    const output = make("output", { for: id });
    const title = make("label", { for: id }, label);
    // where one slider serves several things, it is named anew
    const name = (text) => {
      if (text === title.textContent) return;
      title.textContent = label = text;
      reset.setAttribute("aria-label", `${label}: ${said("reset")}`);
      if (play) paint();
    };
    const show = () => {
      const now = at(Number(range.value));
      output.textContent = format(now);
      range.setAttribute("aria-valuetext", format(now));
      const low = Number(range.min), high = Number(range.max);
      range.style.setProperty("--share", (Number(range.value) - low) / (high - low || 1));
      if (reset) reset.disabled = Math.abs(now - start) < 1e-9;
      return now;
    };
    const set = (wanted, tell = true) => {
      range.value = nearest(wanted);
      const now = show();
      if (tell) change?.(now);
    };
    range.addEventListener("input", () => { stop(); change?.(show()); });
    const icon = (path) => make("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, make("path", { d: path }));
    const reset = make("button", { type: "button", class: "live-icon", "aria-label": `${label}: ${said("reset")}`, title: said("reset"),
      onclick: () => { stop(); set(start); range.focus(); } }, icon("M4 3v4h4M4.4 6.6a4.8 4.8 0 1 1-.9 4"));
    let timer = 0;
    const PLAY = "M5 3.2v9.6l7.6-4.8z", PAUSE = "M5 3.5v9M11 3.5v9";
    const stop = () => { clearInterval(timer); timer = 0; if (play) paint(); };
    const forward = () => {
      const last = Number(range.value) >= Number(range.max);
      range.value = last ? range.min : Number(range.value) + Number(range.step);
      change?.(show());
      return Number(range.value) < Number(range.max);
    };
    // where motion is to be reduced, a press takes one step
    const player = play && make("button", { type: "button", class: "live-icon",
      onclick: () => {
        if (live.reduced()) { forward(); return; }
        if (timer) { stop(); return; }
        forward();
        timer = setInterval(() => { if (!range.isConnected || !forward()) stop(); }, pace);
        paint();
      } });
    const paint = () => {
      player.replaceChildren(icon(timer ? PAUSE : PLAY));
      player.setAttribute("aria-label", `${label}: ${said(timer ? "pause" : live.reduced() ? "step" : "play")}`);
    };
    if (play) paint();
    const root = make("div", { class: "live-slider" }, title, output,
      make("div", { class: "live-rail" }, player || null, range, reset));
    set(value, false);
    const through = (list) => { values = list; range.max = list.length - 1; };
    const from = (first) => { start = first; show(); };
    return { root, range, set, from, through, name, get value() { return at(Number(range.value)); }, stop };
  };

  // One of a few: radio buttons that look like one bar.
  live.choice = ({ label, options, value, change }) => {
    const name = fresh();
    const inputs = options.map(([key, text, title]) => {
      const input = make("input", { type: "radio", name, value: key, checked: key === value,
        onchange: () => change?.(key) });
      return [key, input, make("label", { title }, input, make("span", {}, text))];
    });
    const root = make("fieldset", { class: "live-choice" }, make("legend", {}, label),
      make("div", { class: "live-bar" }, inputs.map(([, , node]) => node)));
    return {
      root,
      set: (wanted) => { for (const [key, input] of inputs) input.checked = key === wanted; },
      get value() { return inputs.find(([, input]) => input.checked)?.[0]; },
    };
  };

  // On or off.
  live.toggle = ({ label, value = false, change }) => {
    const input = make("input", { type: "checkbox", checked: value, onchange: () => change?.(input.checked) });
    const root = make("label", { class: "live-toggle" }, input, make("span", {}, label));
    return { root, input, set: (on) => { input.checked = on; }, get value() { return input.checked; } };
  };

  // Stories to begin with: one button each; the one that is told is marked.
  live.presets = ({ label, options, choose }) => {
    const buttons = options.map(([key, text]) => live.button(text, () => { mark(key); choose(key); }, { "aria-pressed": "false", "data-preset": key }));
    const mark = (wanted) => options.forEach(([key], i) => buttons[i].setAttribute("aria-pressed", String(key === wanted)));
    const root = make("div", { class: "live-presets", role: "group", "aria-label": label }, buttons);
    return { root, mark };
  };
})();
