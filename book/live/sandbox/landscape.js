"use strict";
// The landscape that a query moves in: at every place of a plane the logarithm of the
// pull that all other tokens would have on the query there, and its contour lines.
(() => {
  const gravity = typeof module === "object" ? require("./gravity.js") : bookLive.pure.gravity;

  // log Σ_j gate · exp(logit) over the seen tokens other than the query, on a grid of
  // `columns` × `rows` over `view` = [left, right, bottom, top]; row 0 is the top.
  const grid = (places, mass, query, pull, view, columns, rows) => {
    const [left, right, bottom, top] = view;
    const { kernel, strength, eps, sign, beta } = pull;
    // logits of a potential may be millions: their sum is kept as a logarithm
    const bounded = kernel !== "potential";
    const values = new Float64Array(columns * rows).fill(bounded ? 0 : -Infinity);
    const gate = gravity.gates[pull.cutoff], cut = pull.cutoff !== "none", outside = pull.radius ** 2;
    for (let j = 0; j < places.length; j++) {
      if (j === query || !gravity.visible(query, j, pull.causal)) continue;
      const [zx, zy] = places[j];
      const own = beta * gravity.logMass(mass[j]), pair = mass[query] * mass[j];
      for (let row = 0, at = 0; row < rows; row++) {
        const dy = top - (top - bottom) * row / (rows - 1) - zy;
        for (let column = 0; column < columns; column++, at++) {
          const dx = left + (right - left) * column / (columns - 1) - zx;
          const r2 = (dx * dx + dy * dy) / 2;
          if (cut && r2 >= outside) continue;
          const factor = cut ? gate(1 - r2 / outside) : 1;
          if (bounded) {
            values[at] += factor * Math.exp(own - strength * (kernel === "newton" ? Math.log(r2 + eps) : r2));
            continue;
          }
          const s = pair * (sign * strength / (r2 + eps) + beta) + Math.log(factor), sum = values[at];
          values[at] = sum === -Infinity ? s : Math.max(s, sum) + Math.log1p(Math.exp(-Math.abs(s - sum)));
        }
      }
    }
    return bounded ? values.map(Math.log) : values;
  };

  // From where to where most of the landscape lies, and the levels between: a step is a
  // doubling of the pull, or of the last step, until a dozen lines are enough.
  const levels = (values, most = 12) => {
    const some = [];
    for (let at = 0; at < values.length; at += 5) if (values[at] > -Infinity) some.push(values[at]);
    if (!some.length) return { low: 0, high: 1, step: Math.LN2, lines: [] };
    some.sort((a, b) => a - b);
    const low = some[Math.floor(some.length * 0.04)], high = some[Math.floor(some.length * 0.985)];
    let step = Math.LN2;
    while ((high - low) / step > most) step *= 2;
    const lines = [];
    for (let line = Math.ceil(low / step); line * step <= high; line++) lines.push(line * step);
    return { low, high, step, lines };
  };

  // Pieces of the line where the landscape is `level`, by marching squares: four numbers
  // a piece, x and y of both ends in cells of the grid.
  const contour = (values, columns, rows, level) => {
    const pieces = [];
    const ends = [];
    for (let row = 0; row + 1 < rows; row++) {
      for (let column = 0; column + 1 < columns; column++) {
        const at = row * columns + column;
        const a = values[at] - level, b = values[at + 1] - level;
        const c = values[at + columns + 1] - level, d = values[at + columns] - level;
        if (a > 0 === b > 0 && b > 0 === c > 0 && c > 0 === d > 0) continue;
        if (a + b + c + d === -Infinity) continue; // the edge of a cutoff is no line of equal pull
        ends.length = 0;
        if (a > 0 !== b > 0) ends.push(column + a / (a - b), row);
        if (b > 0 !== c > 0) ends.push(column + 1, row + b / (b - c));
        if (c > 0 !== d > 0) ends.push(column + d / (d - c), row + 1);
        if (d > 0 !== a > 0) ends.push(column, row + a / (a - d));
        pieces.push(...ends); // four ends on a saddle are two pieces
      }
    }
    return pieces;
  };

  const landscape = { grid, levels, contour };
  if (typeof module === "object") module.exports = landscape;
  else Object.assign(bookLive.pure, { landscape });
})();
