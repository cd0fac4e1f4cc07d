"use strict";
// Text as GPT-2 reads it: pre-tokens, and bytes written as visible letters.
(() => {
  const bench = ((globalThis.bookLive ??= {}).pure ??= {}).tokenizer ??= {};

  // ---- one letter for each of the 256 bytes, in the order of GPT-2's first ids
  const visible = [[33, 127], [161, 173], [174, 256]]
    .flatMap(([from, to]) => Array.from({ length: to - from }, (_, n) => from + n));
  const hidden = Array.from({ length: 256 }, (_, n) => n).filter((n) => !visible.includes(n));
  const letterOf = new Map(visible.map((byte) => [byte, String.fromCharCode(byte)]));
  hidden.forEach((byte, n) => letterOf.set(byte, String.fromCharCode(256 + n)));
  const byteOf = new Map([...letterOf].map(([byte, letter]) => [letter, byte]));
  bench.alphabet = [...visible, ...hidden].map((byte) => letterOf.get(byte));

  const encoder = new TextEncoder();
  const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  bench.letters = (text) => Array.from(encoder.encode(text), (byte) => letterOf.get(byte)).join("");
  bench.bytes = (letters) => Uint8Array.from(letters, (letter) => byteOf.get(letter));

  // The text of letters, or null where their bytes are no whole UTF-8.
  bench.text = (letters) => {
    try { return strict.decode(bench.bytes(letters)); } catch { return null; }
  };

  // As a reader sees a piece: blanks visible, a byte that is no character in hexadecimal.
  const signs = new Map([[" ", "␣"], ["\n", "↵"], ["\t", "⇥"], ["\r", "␍"]]);
  const unseen = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u00a0\u2000-\u200a\u202f\u205f\u3000]/u;
  const shown = (char) => signs.get(char)
    ?? (unseen.test(char) ? `<${char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}>` : char);
  bench.shown = (letters) => {
    const bytes = bench.bytes(letters);
    let out = "";
    for (let at = 0; at < bytes.length;) {
      const lead = bytes[at];
      const size = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
      const part = bytes.subarray(at, at + Math.max(size, 1));
      let char = null;
      if (size && part.length === size) try { char = strict.decode(part); } catch { /* no character */ }
      const joins = char === "\u200d" && /(\p{Extended_Pictographic}|\p{Emoji_Modifier}|\ufe0f)$/u.test(out);
      out += char === null ? `<${lead.toString(16).toUpperCase().padStart(2, "0")}>` : joins ? char : shown(char);
      at += char === null ? 1 : size;
    }
    return out;
  };

  // The characters of several bytes that stand whole in a word: where, and how long.
  bench.characters = (letters) => {
    const bytes = bench.bytes(letters), found = [];
    for (let at = 0; at < bytes.length;) {
      const lead = bytes[at];
      const size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 1;
      const char = size > 1 ? bench.text(letters.slice(at, at + size)) : null;
      if (char !== null) found.push({ char: shown(char), at, size });
      at += char === null ? 1 : size;
    }
    return found;
  };

  // The first `most` letters, without half of a pair at the end.
  bench.upTo = (text, most) => {
    const first = text.slice(0, most);
    return text.length > most ? first.replace(/[\ud800-\udbff]$/, "") : first;
  };

  // Half a character (a lone surrogate) is none: it is read as U+FFFD, as lib does.
  bench.readable = (text) => text.replace(/\p{Surrogate}/gu, "\ufffd");

  // ---- pre-tokens; JavaScript's own \s has U+FEFF and lacks U+0085
  const space = "\\p{White_Space}";
  const sign = `[^${space}\\p{L}\\p{N}]`;
  const contraction = "'(?:s|t|re|ve|m|ll|d)";
  const run = ` ?(?:\\p{L}+|\\p{N}+|${sign}+)|${space}+(?!\\P{White_Space})|${space}+`;
  const plain = new RegExp(`${contraction}|${run}`, "gu");
  bench.words = (text) => bench.readable(text).match(plain) ?? [];

  // What the search for rules asks for at a place (see rules.js).
  bench.shortForm = new RegExp(`(?<!${sign})${contraction}`, "yu");
  bench.nextWord = new RegExp(run, "yu");
  bench.kindOf = (word) => {
    const last = [...word].at(-1);
    return /\p{L}/u.test(last) ? "letters" : /\p{N}/u.test(last) ? "digits"
      : /\p{White_Space}/u.test(last) ? "blanks" : "signs";
  };
})();
