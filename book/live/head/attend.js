"use strict";
// One query of one head, step by step: s = q kᵀ / √d, a = softmax(s / τ), z = a V.
(() => {
  // query, key, value: flat arrays of rows of `size` numbers; keys after `row` are hidden.
  const attend = (query, key, value, size, row, temperature = 1) => {
    const at = (array, i) => array.subarray(i * size, (i + 1) * size);
    const q = at(query, row);
    const scores = Array.from({ length: row + 1 }, (_, j) => {
      const k = at(key, j);
      let sum = 0;
      for (let i = 0; i < size; i += 1) sum += q[i] * k[i];
      return sum / Math.sqrt(size);
    });
    const largest = Math.max(...scores);
    const shares = scores.map((score) => Math.exp((score - largest) / temperature));
    const total = shares.reduce((a, b) => a + b, 0);
    const weights = shares.map((share) => share / total);
    const z = Float64Array.from({ length: size }, (_, i) =>
      weights.reduce((sum, weight, j) => sum + weight * value[j * size + i], 0));
    const entropy = -weights.reduce((sum, weight) => sum + (weight > 0 ? weight * Math.log2(weight) : 0), 0);
    return { q, scores, weights, z, entropy };
  };

  const head = { attend };
  if (typeof module === "object") module.exports = head;
  else Object.assign((globalThis.bookLive ??= {}).pure ??= {}, { head });
})();
