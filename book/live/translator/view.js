"use strict";
// The translator, joined: what is written is translated at once, and every control
// shows the same run of the model.
bookLive.instrument("translator", ({ root, words, data, say, later, framed, onTheme }) => {
  const { make } = bookLive;
  const { fill, texts, next, parts, exact, sheet, percent } = bookLive.translator;
  const { pieces: { Pieces }, transformer: { Translator } } = bookLive.pure;
  const { config, steps, best, examples, samples } = data.translator;
  const pieces = new Pieces(data.translator);
  const last = steps.at(-1);
  const models = new Map([[last, new Translator(config, data.translator.weights)]]);
  const answers = new Map([...samples, ...examples]); // where the right answer is known
  const state = { step: last, run: null, shown: 0, lines: best.join("."), hover: null, pinned: null };

  // ---- the text
  const field = make("input", { type: "text", id: "translator-text", value: examples[0][0], autocomplete: "off",
    autocapitalize: "off", spellcheck: "false", "aria-describedby": "translator-said" });
  const said = make("p", { class: "tr-said", id: "translator-said", role: "status" });
  const presets = bookLive.presets({ label: words.examples, options: examples.map(([text]) => [text, text]),
    choose: (text) => { field.value = text; translate(); } });
  const answer = make("output", { for: "translator-text", class: "tr-answer" });
  field.addEventListener("input", (event) => { if (!event.isComposing) translate(); });
  field.addEventListener("compositionend", () => translate());

  // ---- what is shown of a run
  const at = () => state.hover ?? state.pinned;
  const view = texts({ words,
    point: (place) => { state.hover = place; draw(); },
    choose: (place) => {
      const same = state.pinned?.side === place.side && state.pinned.index === place.index;
      state.pinned = same ? null : place;
      if (place.side === "target") slider.set(place.index + 1);
      draw();
      read(place);
    } });
  const bars = next({ words, pieces });
  const looked = make("p", { class: "tr-read" });
  const layers = Array.from({ length: config.n_layers * config.n_heads }, (_, i) => [Math.floor(i / config.n_heads), i % config.n_heads]);
  const lines = make("select", { class: "tr-select", onchange: () => { state.lines = lines.value; draw(); } },
    make("option", { value: "mean" }, words.mean),
    layers.map(([layer, head]) => make("option", { value: `${layer}.${head}` }, fill(words.head, { layer, head }))));
  lines.value = state.lines;
  const room = make("div", {});
  let slider = { set() {} };
  const scrubber = bookLive.slider({ label: words.step, values: steps, value: last, play: true, pace: 900,
    format: (step) => step.toLocaleString("en"), change: (step) => load(step) });
  const opened = sheet({ words, config, change: () => draw() });
  const switches = parts({ words, config, open: (name) => {
    const [stack, , layer, kind, head] = name.split(".");
    if (kind === "cross" && stack === "decoder") { state.lines = lines.value = `${layer}.${head}`; }
    opened.open(name);
  }, change: () => { write(); count(); } });
  const right = exact({ words, pieces, samples });
  const table = make("table"), fold = make("details", { class: "table-alternative" }, make("summary", {}, words.table),
    make("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": words.table_scroll }, table));
  fold.addEventListener("toggle", () => draw());

  root.append(
    make("label", { class: "tr-ask", for: "translator-text" }, words.ask), field, presets.root, said, view.root,
    make("p", { class: "tr-result" }, make("span", { class: "tr-name" }, words.answer), answer), looked,
    make("div", { class: "tr-pair" },
      make("div", { class: "tr-side" }, room, scrubber.root, make("label", { class: "tr-choose" }, words.lines, lines)), bars.root),
    fold, switches.root, opened.root);
  switches.room.append(right.root);

  // ---- the weights of the lines: a row a written token, a share a source token
  const silent = ([layer, head]) => switches.off.has(`decoder.blocks.${layer}.cross.${head}`);
  const weights = () => {
    const of = ([layer, head]) => state.run.record[`decoder.blocks.${layer}.cross.pattern`]?.[head];
    if (state.lines !== "mean") return of(state.lines.split("."));
    const all = layers.filter((place) => !silent(place)).map(of).filter(Boolean);
    return all[0]?.map((row, i) => row.map((_, j) => all.reduce((sum, rows) => sum + rows[i][j] / all.length, 0)));
  };
  const labels = () => {
    const { source, target, written } = state.run;
    const reads = target.map((id) => pieces.show(id));
    return { source: source.map((id) => pieces.show(id)), reads, target: written.map((id) => pieces.show(id)),
      rows: reads.map((read, i) => `${read} → ${pieces.show(written[i])}`), vocabulary: (id) => pieces.show(id) };
  };

  const paint = () => {
    if (!state.run) return;
    const { run, shown } = state, names = labels(), rows = weights(), place = at();
    const dead = rows && state.lines !== "mean" && silent(state.lines.split("."));
    view.draw({ source: names.source, target: names.target, shown, weights: rows, at: place, dead });
    bars.draw(run.logits[shown - 1], run.written[shown - 1], run.target[shown - 1]);
    opened.draw({ run, labels: names, written: shown, at: place });
    looked.textContent = rows ? sight(names, rows, place ?? { side: "target", index: shown - 1 }) + (dead ? ` ${words.dead}` : "") : words.off_lines;
    if (fold.open) {
      table.replaceChildren(make("thead", {}, make("tr", {}, make("td"), names.source.map((name) => make("th", { scope: "col" }, name)))),
        make("tbody", {}, (rows ?? []).map((row, i) => make("tr", {}, make("th", { scope: "row" }, names.target[i]),
          [...row].map((weight) => make("td", {}, percent(weight)))))));
    }
  };
  const draw = framed(paint);

  // What a token looks at most, or is looked at from, in words.
  const sight = (names, rows, { side, index }) => {
    const from = side === "target" ? [...(rows[index] ?? [])].map((weight, j) => [weight, names.source[j]])
      : rows.slice(0, state.shown).map((row, i) => [row[index] ?? 0, names.target[i]]);
    const most = from.sort((a, b) => b[0] - a[0]).slice(0, 3).filter(([weight]) => weight >= 0.005);
    return fill(side === "target" ? words.looks : words.looked, { token: names[side][index],
      list: most.map(([weight, name]) => `‘${name}’ ${percent(weight)}`).join(" · ") || "–" });
  };
  const read = (place) => { const rows = weights(); if (rows) say(sight(labels(), rows, place)); };

  // ---- computing
  const write = () => {
    const text = field.value.trim().normalize("NFC");
    presets.mark(text);
    const letter = pieces.unknown(text);
    const ids = letter === undefined ? pieces.encode(text) : [];
    said.textContent = !text ? words.empty : letter !== undefined ? fill(words.unknown, { letter })
      : ids.length > config.max_length ? fill(words.long, { count: ids.length, most: config.max_length }) : "";
    root.classList.toggle("tr-refused", Boolean(said.textContent));
    field.setAttribute("aria-invalid", String(Boolean(said.textContent) && Boolean(text)));
    if (said.textContent) { answer.replaceChildren("–"); return; }
    const run = models.get(state.step).write(ids, new Set(switches.off));
    run.target = run.target.slice(0, run.written.length);
    Object.assign(state, { run, shown: run.written.length, pinned: null, hover: null });
    const text_out = pieces.decode(run.written), target = answers.get(text);
    const ended = run.written.at(-1) === config.eos;
    answer.replaceChildren(make("b", {}, text_out || "–"), ...(!ended ? [make("span", {}, words.endless)]
      : target === undefined ? [] : [make("span", { class: target === text_out ? "tr-good" : "tr-bad" },
        target === text_out ? `✓ ${words.right}` : `✗ ${fill(words.wrong, { target })}`)]));
    slider.stop?.();
    slider = bookLive.slider({ label: words.written, min: 1, max: run.written.length, step: 1, value: run.written.length, play: true, pace: 600,
      format: (n) => fill(words.of, { n, all: run.written.length }),
      change: (n) => {
        state.shown = n;
        paint();
        say(`${pieces.show(run.written[n - 1])}, ${percent(bookLive.pure.transformer.softmax(run.logits[n - 1])[run.written[n - 1]])}`);
      } });
    room.replaceChildren(slider.root);
    paint();
  };
  const count = () => right.count(models.get(state.step), state.step, switches.off);
  const translate = () => { write(); if (state.run && !said.textContent) say(`${words.answer}: ${answer.textContent}`); };

  const load = async (step) => {
    state.step = step;
    if (!models.has(step)) {
      try { models.set(step, new Translator(config, (await later(`translator_${step}`)).weights)); } catch {
        said.textContent = words.failed;
        return;
      }
    }
    if (state.step !== step) return; // moved on meanwhile
    write();
    count();
    say(`${words.step} ${step}. ${words.answer}: ${answer.textContent}`);
  };

  onTheme(() => opened.repaint());
  write();
  count();
});
