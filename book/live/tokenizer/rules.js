"use strict";
// Sound cuts: a rule breaks every word that begins with prefix + context after the
// prefix. Rules stand before the pattern that cuts words, the longest prefix first.
(() => {
  const bench = ((globalThis.bookLive ??= {}).pure ??= {}).tokenizer ??= {};
  const here = (expression) => new RegExp(expression, "yu");
  const space = "\\p{White_Space}", sign = `[^${space}\\p{L}\\p{N}]`;
  const wholeEnd = { letters: here("(?!\\p{L})"), digits: here("(?!\\p{N})"),
    signs: here(`(?!${sign})`), blanks: here(`(?=${space}\\P{White_Space}|$)`) };
  const blankEnd = here(`(?=${space}|$)`); // blanks with more to come
  const holds = (expression, text, at) => { expression.lastIndex = at; return expression.test(text); };

  // rules: [prefix, context, whole] each. By the prefix, whose first two characters are
  // kept with the longest prefix that begins so.
  bench.rules = (rules) => {
    const byPrefix = new Map(), longest = new Map();
    for (const [prefix, context, whole] of rules) {
      if (!byPrefix.has(prefix)) byPrefix.set(prefix, []);
      byPrefix.get(prefix).push({ prefix, context, whole: Boolean(whole) });
      longest.set(prefix[0], Math.max(longest.get(prefix[0]) ?? 0, prefix.length));
    }
    return { byPrefix, longest, count: rules.length };
  };

  const fits = (rule, text, at) => {
    const end = at + rule.prefix.length + rule.context.length;
    if (!text.startsWith(rule.context, at + rule.prefix.length)) return false;
    const kind = bench.kindOf(rule.prefix + rule.context);
    if (rule.whole) return holds(wholeEnd[kind], text, end);
    return kind !== "blanks" || holds(blankEnd, text, end);
  };

  // The rule that breaks the text at this place, if any.
  bench.ruleAt = (rules, text, at) => {
    const room = Math.min(rules.longest.get(text[at]) ?? 0, text.length - at);
    for (let size = room; size > 0; size--) {
      const some = rules.byPrefix.get(text.slice(at, at + size));
      const rule = some?.find((one) => fits(one, text, at));
      if (rule) return rule;
    }
    return null;
  };

  // The parts of a text that the model sees, each with the rule that broke it off.
  bench.parts = (rules, text) => {
    text = bench.readable(text);
    const parts = [];
    for (let at = 0; at < text.length;) {
      bench.shortForm.lastIndex = bench.nextWord.lastIndex = at;
      const short = bench.shortForm.exec(text)?.[0];
      const rule = short ? null : bench.ruleAt(rules, text, at);
      const part = short ?? rule?.prefix ?? bench.nextWord.exec(text)[0];
      parts.push({ part, at, rule });
      at += part.length;
    }
    return parts;
  };

  bench.unigramIds = (model, rules, text) => bench.parts(rules, text)
    .flatMap(({ part }) => bench.viterbi(model, bench.letters(part)).ids);
  bench.bpeIds = (model, text) => bench.words(text)
    .flatMap((word) => bench.bpe(model, bench.letters(word)).ids);
})();
