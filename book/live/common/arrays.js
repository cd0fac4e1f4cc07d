"use strict";
// Arrays as notebooks export them (lib/page/live.py): base64 of little-endian numbers.
// No page is needed, so that Node loads this file as well.
(() => {
  const kinds = { float64: Float64Array, float32: Float32Array, int32: Int32Array, uint16: Uint16Array, uint8: Uint8Array };

  // The number that 16 bits stand for: sign, 5 bits of exponent, 10 of fraction.
  const half = (bits) => {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31, fraction = bits & 1023;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
  };

  const bytes = (base64) => {
    const text = atob(base64);
    const out = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
    return out;
  };

  // A flat typed array that knows its shape; half precision is widened to 32 bits.
  const unpack = ({ dtype, shape, base64 }) => {
    const raw = bytes(base64).buffer;
    const array = dtype === "float16"
      ? Float32Array.from(new Uint16Array(raw), half) : new kinds[dtype](raw);
    return Object.assign(array, { shape });
  };

  // An export with all arrays in it unpacked.
  const revive = (value) => {
    if (Array.isArray(value)) return value.map(revive);
    if (!value || typeof value !== "object") return value;
    if (typeof value.base64 === "string" && value.dtype) return unpack(value);
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, revive(item)]));
  };

  const arrays = { half, unpack, revive };
  if (typeof module === "object") module.exports = arrays;
  else Object.assign((globalThis.bookLive ??= {}).pure ??= {}, { arrays });
})();
