"use strict";
// A checkpoint as the notebook exports it, 16-bit floating-point numbers in base64, as
// 32-bit numbers again, exactly.
(() => {
  const space = (globalThis.bookTranslator ??= {});

  // The number of 16 bits: a sign, five bits of exponent, ten of fraction.
  const half = (bits) => {
    const exponent = (bits >> 10) & 31, fraction = bits & 1023;
    const size = exponent === 0 ? fraction * 2 ** -24
      : exponent === 31 ? (fraction ? NaN : Infinity)
      : (1024 + fraction) * 2 ** (exponent - 25);
    return bits & 0x8000 ? -size : size;
  };

  const unpack = (weights) => Object.fromEntries(Object.entries(weights).map(([name, { base64 }]) => {
    const bytes = atob(base64);
    return [name, Float32Array.from({ length: bytes.length / 2 },
      (_, i) => half(bytes.charCodeAt(2 * i) | (bytes.charCodeAt(2 * i + 1) << 8)))];
  }));

  Object.assign(space, { half, unpack });
})();
