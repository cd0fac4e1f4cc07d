"use strict";
// Gravity attention of one query, as lib/gravity/attention.py has it: r² over the number
// of axes, one of three logits, a gate, the softmax, the mixture. And its twin, the scaled
// dot product of the same places. No page is needed: Node loads this file as well.
(() => {
  const squaredDistance = (z, i, j) => {
    let sum = 0;
    for (let axis = 0; axis < z[i].length; axis++) sum += (z[i][axis] - z[j][axis]) ** 2;
    return sum / z[i].length;
  };

  // masses below 1e-6 count as 1e-6
  const logMass = (mass) => Math.log(Math.max(mass, 1e-6));

  const logits = {
    newton: (r2, own, mass, { strength, beta, eps }) => beta * logMass(mass) - strength * Math.log(r2 + eps),
    gaussian: (r2, own, mass, { strength, beta }) => beta * logMass(mass) - strength * r2,
    potential: (r2, own, mass, { strength, beta, eps, sign }) => own * mass * (sign * strength / (r2 + eps) + beta),
  };

  // The factor on the weight: 1 at the token, exactly 0 from the radius on.
  const gates = {
    none: () => 1,
    hard: (x) => Number(x > 0),
    soft: (x) => { const inside = Math.min(Math.max(x, 0), 1); return inside ** 2 * (3 - 2 * inside); },
    compact: (x) => Math.min(Math.max(x, 0), 1),
  };

  // The keys that a query sees: with the causal mask, none after itself.
  const visible = (query, key, causal) => !causal || key <= query;

  const mix = (weights, values) => values[0].map((_, axis) =>
    weights.reduce((sum, weight, j) => sum + weight * values[j][axis], 0));

  // Weights from logits and gates; what has no gate takes no part in finding the top.
  const softmax = (logit, gate) => {
    let top = -Infinity, total = 0;
    for (let j = 0; j < logit.length; j++) if (gate[j] > 0) top = Math.max(top, logit[j]);
    const weights = logit.map((s, j) => (gate[j] > 0 ? gate[j] * Math.exp(s - top) : 0));
    for (const weight of weights) total += weight;
    return weights.map((weight) => weight / total);
  };

  // places: one list of coordinates a token; pull: kernel, strength, beta, eps, sign,
  // cutoff, radius, causal.
  const attend = (places, mass, values, query, pull) => {
    const tokens = places.map((_, j) => j);
    const r2 = tokens.map((j) => (j === query ? 0 : squaredDistance(places, query, j)));
    const logit = tokens.map((j) => logits[pull.kernel](r2[j], mass[query], mass[j], pull));
    const gate = tokens.map((j) => !visible(query, j, pull.causal) ? 0
      : j === query ? 1 : gates[pull.cutoff](1 - r2[j] / pull.radius ** 2));
    const weights = softmax(logit, gate);
    return { r2, logit, gate, weights, mixed: mix(weights, values) };
  };

  // q_i · k_j / √d with the places as queries and as keys; masses do not count.
  const dot = (places, values, query, { causal }) => {
    const scale = 1 / Math.sqrt(places[query].length);
    const logit = places.map((place) => scale * place.reduce((sum, x, axis) => sum + x * places[query][axis], 0));
    const weights = softmax(logit, places.map((_, j) => Number(visible(query, j, causal))));
    return { logit, weights, mixed: mix(weights, values) };
  };

  const gravity = { attend, dot, logits, gates, logMass, visible };
  if (typeof module === "object") module.exports = gravity;
  else Object.assign((globalThis.bookLive ??= {}).pure ??= {}, { gravity });
})();
