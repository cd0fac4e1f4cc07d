(() => {
  const root = document.getElementById("AX_ID");
  if (!root || root.classList.contains("ax-live")) return;
  const data = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
  const view = root.querySelector(".ax-view");
  const pictures = [...view.querySelectorAll(".ax-picture")];
  const [layers, heads] = data.shape;
  // each edition of the page keeps the picture of its own language
  const start = pictures.length === 1 && pictures[0].dataset.lang === "en" ? 1 : 0;
  pictures.slice(1).forEach((picture) => picture.remove());
  const picture = pictures[0];
  delete picture.dataset.lang;
  const table = picture.querySelector("table");
  const facts = picture.querySelectorAll("dd");
  const read = document.createElement("p");
  read.className = "ax-read";
  read.setAttribute("aria-live", "polite");
  picture.querySelector(".ax-scroll").after(read);
  const state = { sentence: -1, layer: data.layer, head: data.head };

  const weightsOf = ({ tokens, layers }) => {
    const n = tokens.length;
    const size = n * (n + 1);
    const text = layers[state.layer].substr(state.head * size, size);
    let place = 0;
    return tokens.map((_, i) =>
      Array.from({ length: i + 1 }, () => parseInt(text.substr(2 * place++, 2), 36) / data.steps));
  };

  const make = (tag, text, scope) => {
    const node = document.createElement(tag);
    if (scope) node.scope = scope;
    node.textContent = text;
    return node;
  };

  const label = (token, scope) => {  // as `_label` of explorer.py
    const cell = make("th", "", scope);
    const cut = /^(.{1,2})·(\d\/\d)$/u.exec(token);
    const span = make("span", cut ? cut[1] : token);
    if (cut || [...token].length < 3) span.className = "ax-short";
    if (cut) span.append(make("small", cut[2]));
    cell.append(span);
    return cell;
  };

  const build = (tokens) => {  // a table without numbers, for another sentence
    table.style.setProperty("--n", tokens.length);
    const top = document.createElement("tr");
    top.append(document.createElement("td"), ...tokens.map((token) => label(token, "col")));
    table.tHead.replaceChildren(top);
    table.tBodies[0].replaceChildren(...tokens.map((token, i) => {
      const row = document.createElement("tr");
      row.append(label(token, "row"), ...tokens.map((_, j) => {
        const cell = document.createElement("td");
        if (j > i) cell.className = "ax-no"; else cell.append(make("span", ""));
        return cell;
      }));
      return row;
    }));
  };

  const map = root.querySelector(".ax-map svg");
  const places = Array.from({ length: layers * heads }, (_, i) => {
    const cell = document.createElementNS(map.namespaceURI, "rect");
    const [layer, head] = [Math.floor(i / heads), i % heads];
    Object.entries({ x: layer + 0.1, y: head + 0.1, width: 0.8, height: 0.8, rx: 0.12 })
      .forEach(([name, value]) => cell.setAttribute(name, value));
    cell.addEventListener("click", () => choose({ layer, head }));
    map.append(cell);
    return cell;
  });

  const shade = ({ tokens, layers: texts }) => {  // weight on the first token, by head
    const n = tokens.length;
    places.forEach((cell, i) => {
      const text = texts[Math.floor(i / heads)];
      const start = (i % heads) * n * (n + 1);
      let sum = 0;
      for (let row = 1; row < n; row += 1) {
        sum += parseInt(text.substr(start + row * (row + 1), 2), 36) / data.steps;
      }
      cell.style.setProperty("--w", Math.round((100 * sum) / Math.max(n - 1, 1)));
    });
  };

  const mean = (values) => values.reduce((a, b) => a + b, 0) / Math.max(values.length, 1);

  const draw = (sentence) => {
    const { tokens } = data.sentences[sentence];
    if (sentence !== state.sentence) {
      build(tokens);
      shade(data.sentences[sentence]);
    }
    map.querySelector(".ax-chosen")?.classList.remove("ax-chosen");
    places[state.layer * heads + state.head].classList.add("ax-chosen");
    state.sentence = sentence;
    const weights = weightsOf(data.sentences[sentence]);
    weights.forEach((row, i) => row.forEach((weight, j) => {
      const cell = table.tBodies[0].rows[i].cells[j + 1];
      cell.style.setProperty("--w", Math.round(100 * Math.sqrt(weight)));
      cell.firstChild.textContent = Math.round(100 * weight);
    }));
    const later = weights.slice(1);
    const entropy = (row) => -row.reduce((sum, w) => sum + (w > 0 ? w * Math.log2(w) : 0), 0);
    facts[0].textContent = `${(100 * mean(later.map((row) => row[0]))).toFixed(0)}%`;
    facts[1].textContent = `${(100 * mean(later.map((row, i) => row[i]))).toFixed(0)}%`;
    facts[2].textContent = mean(later.map(entropy)).toFixed(2);
    read.textContent = "";
    state.weights = weights;
  };

  const choose = (place) => {
    Object.entries(place).forEach(([kind, value]) => {
      const slider = root.querySelector(`[data-ax="${kind}"]`);
      slider.value = value;
      slider.parentNode.querySelector("output").value = value;
      state[kind] = value;
    });
    draw(state.sentence);
  };

  root.addEventListener("input", ({ target }) => {
    const kind = target.dataset.ax;
    if (kind === "numbers") { root.classList.toggle("ax-numbers", target.checked); return; }
    if (kind === "sentence") draw(Number(target.value));
    else choose({ [kind]: Number(target.value) });
  });

  table.addEventListener("pointerover", ({ target }) => {
    const cell = target.closest("td");
    table.querySelector(".ax-here")?.classList.remove("ax-here");
    if (!cell || !cell.firstChild || !cell.closest("tbody")) return;
    const row = cell.parentNode;
    const i = row.sectionRowIndex;
    const j = cell.cellIndex - 1;
    const { tokens } = data.sentences[state.sentence];
    table.tHead.rows[0].cells[j + 1].classList.add("ax-here");
    read.textContent = `${tokens[i]} → ${tokens[j]}: ${(100 * state.weights[i][j]).toFixed(1)}%`;
  });

  const radio = root.querySelector(`[data-ax="sentence"][value="${start}"]`);
  if (radio) radio.checked = true;
  state.layer = Math.min(state.layer, layers - 1);
  state.head = Math.min(state.head, heads - 1);
  draw(start);
  root.classList.add("ax-live");
})();
