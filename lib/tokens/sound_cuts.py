"""Sound cuts: places where a BPE always cuts, written into the pre-tokenizer.

A BPE factorises at its own boundaries: break a word at one of them, and the cuts of
the two parts are those of the whole. So the pre-tokenizer may break it there before
the model sees it. That can mend a word which the scores cut wrongly, and it never harms
one which they cut right.

A `Rule` breaks every word that begins with prefix + context after the prefix. It is
*sound* when BPE cuts all such words there. Neighbours in what a BPE makes are always
the BPE of what they spell; so if no chain of such neighbours covers the beginning with
a token across the place, no word has one. That is a finite check
(`lib.tokens.neighbours`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import regex
from tokenizers import Tokenizer

from lib.tokens.neighbours import Neighbours
from lib.tokens.word_patterns import GPT2, KNOWN, WordPattern

__all__ = ["CONTEXT", "Rule", "alternatives", "breaks", "fits", "rule_for", "rules_for",
           "rules_pattern", "stages_of", "with_rules", "words_of", "written_out"]

CONTEXT = 512  # characters that a rule asks for behind its place, at most


@dataclass(frozen=True)
class Rule:
    """Break after ``prefix`` where ``context`` follows.

    ``whole``: only if the word ends with the context.
    """

    prefix: str
    context: str
    whole: bool = False


def breaks(word: str, lengths: Iterable[int]) -> list[int]:
    """The places between tokens of the given byte lengths that lie between characters.

    >>> breaks("가나", [2, 1, 3])
    [1]
    """
    ends, at = {0}, 0
    for length in lengths:
        at += length
        ends.add(at)
    places, at = [], 0
    for n, char in enumerate(word):
        if n and at in ends:
            places.append(n)
        at += len(char.encode())
    return places


def rule_for(word: str, place: int, known: Neighbours) -> Rule | None:
    """The most general rule that breaks the word at one of BPE's own boundaries.

    Its context is the shortest for which the rule is sound; if there is none, the rule
    holds for this word alone. None where that takes more than `CONTEXT` characters, or
    the word, standing alone, is a piece that stays whole.
    """
    return rules_for([(word, place)], known)[0]


def rules_for(cases: Sequence[tuple[str, int]], known: Neighbours) -> list[Rule | None]:
    """`rule_for` of each word and place, all at once."""
    texts = [word[:place + CONTEXT].encode() for word, place in cases]
    places = [len(word[:place].encode()) for word, place in cases]
    found: list[Rule | None] = []
    ends = known.contexts(texts, places)
    for (word, place), text, at, end in zip(cases, texts, places, ends, strict=True):
        if end:
            found.append(Rule(word[:place], text[at:end].decode()))
        elif len(word) - place > CONTEXT or known.keeps(word.encode()):
            found.append(None)
        else:
            found.append(Rule(word[:place], word[place:], whole=True))
    return found


_CUT = "cut"


def _trie(entries: Iterable[tuple[Rule, str, float]]) -> dict:
    """The rules by their characters, each with what has to follow its context, and how
    often it is thought to be met. Where there is no context the word stays whole."""
    root: dict = {}
    for rule, after, weight in entries:
        node = root
        for step in (*rule.prefix, *((_CUT, *rule.context) if rule.context else ())):
            node = node.setdefault(step, {})
        node.setdefault("", {})[after] = weight
    return root


def _literal(char: str) -> str:
    if char in r"\.|()[]{}^$*+?":
        return "\\" + char
    return char if char == " " or char.isprintable() else f"\\x{{{ord(char):x}}}"


def _edge(char: str) -> str:
    """A character as it stands at an end of a class."""
    plain = char.isprintable() and char not in "[]^-\\&"
    return char if plain else f"\\x{{{ord(char):x}}}"


#: A branch of the trie: its character, the expression of what follows, and how often
#: the rules that lie that way are met.
_Branch = tuple[str, str, float]


def _ask(branches: Sequence[_Branch]) -> str:
    """Look whether the next character lies between those of the branches."""
    first, last = branches[0][0], branches[-1][0]
    return "" if first == last else f"(?=[{_edge(first)}-{_edge(last)}])"


_FEW = 4  # branches that are tried one after another
_MANY = 4  # rules on the one side: it pays to ask before the other side, too


def _choose(branches: Sequence[_Branch]) -> str:
    """Alternatives by their first character, halved until few are left to try.

    An engine tries alternatives one after another; asking first on which side of the
    alphabet the next character lies takes the logarithm of that. The sides are met
    about as often, so what begins many words is reached in few steps. Most words
    meet no rule and leave the trie as they came, past every other side on the way:
    where that is often, the other side is asked for as well, and costs one look.
    """
    if len(branches) <= _FEW:
        first = sorted(branches, key=lambda branch: -branch[2])
        texts = [_literal(step) + rest for step, rest, _ in first]
        return texts[0] if len(texts) == 1 else f"(?:{'|'.join(texts)})"
    upto = list(accumulate(weight for *_, weight in branches))
    half = min(range(1, len(branches)), key=lambda n: abs(upto[-1] - 2 * upto[n - 1]))
    low, high = branches[:half], branches[half:]
    other = _ask(high) if upto[half - 1] >= _MANY else ""
    return f"(?:{_ask(low)}{_choose(low)}|{other}{_choose(high)})"


def alternatives(node: dict) -> tuple[str, float]:
    """A trie of rules as a regular expression, longer prefixes first; and the sum of
    their weights."""
    chain = ""  # a stretch without a choice, of which a long word has hundreds
    while len(node) == 1 and (step := next(iter(node))) not in ("", _CUT):
        chain, node = chain + _literal(step), node[step]
    ends: dict[str, float] = node.get("", {})
    if "" in ends:  # holds whatever follows: nothing deeper can add to it
        return chain, ends[""]
    branches = [(step, *alternatives(child)) for step, child in sorted(
        (step, child) for step, child in node.items() if step not in ("", _CUT))]
    parts = [_choose(branches)] if branches else []
    weight = sum(some for *_, some in branches) + sum(ends.values())
    if _CUT in node:
        cut, more = alternatives(node[_CUT])
        parts, weight = [*parts, f"(?={cut})"], weight + more
    parts += sorted(ends)
    text = parts[0] if len(parts) == 1 else f"(?:{'|'.join(parts)})"
    return chain + text, weight


def rules_pattern(rules: Iterable[Rule], words: WordPattern | None = GPT2,
                  common: Mapping[str, float] | None = None) -> str:
    """The pattern that cuts words, with the rules built in.

    words: None for a pattern for words that another stage has cut out already. Each is
    matched from its beginning to its end, so a rule meets what the rules before have
    left.

    common: frequent words, and how often each comes up. Those that no rule cuts are
    matched on the way through the rules; other words leave these again as they came.
    """
    rules = list(rules)
    if words is None:
        ends = [(rule, r"\z" if rule.whole else "", 1.0) for rule in rules]
        return "|".join([*_written(ends), r"[\s\S]+"])
    after = {rule: words.after(rule.prefix, rule.context, rule.whole)
             for rule in [*rules, *_uncut(rules, common or {})]}
    every = Counter(end for end in after.values() if end)
    names = {end: f"e{n}" for n, (end, often) in enumerate(every.items())
             if often > 1 and len(end) > len(r"\g<e0>")}
    share = len(rules) / max(sum((common or {}).values()), 1e-9)
    plain: list[tuple[Rule, str, float]] = []
    lent: list[tuple[Rule, str, float]] = []
    for rule, end in after.items():
        if end is not None:
            group = lent if words.behind_sign(rule.prefix + rule.context) else plain
            weight = 1.0 if rule.context else share * (common or {})[rule.prefix]
            group.append((rule, rf"\g<{names[end]}>" if end in names else end, weight))
    behind = [f"{words.no_sign}(?:{text})" for text in _written(lent)]
    shared = "".join(f"(?<{name}>{end}){{0}}" for end, name in names.items())
    return "|".join(filter(None, [words.first, *_written(plain), *behind, words.last,
                                  shared and f"(?!){shared}"]))


def written_out(pattern: str) -> str:
    """The same pattern for engines that cannot call a group by its name."""
    head, _, shared = pattern.rpartition("|(?!)(?<e")
    for name, end in re.findall(r"(\d+)>(.*?)\)\{0\}", shared):
        head = head.replace(rf"\g<e{name}>", end)
    return head or pattern


_WORD = regex.compile(r" ?\p{L}+")


def _uncut(rules: Iterable[Rule], words: Iterable[str]) -> list[Rule]:
    """The words of letters that none of the rules cuts, as rules that cut nothing."""
    begins = {rule.prefix + rule.context for rule in rules if not rule.whole}
    wholes = {rule.prefix + rule.context for rule in rules if rule.whole}
    return [Rule(word, "", whole=True) for word in words
            if _WORD.fullmatch(word) and word not in wholes
            and not any(begin in begins for begin in accumulate(word))]


def _written(rules: Sequence[tuple[Rule, str, float]]) -> list[str]:
    return [alternatives(_trie(rules))[0]] if rules else []


def fits(rule: Rule, words: WordPattern) -> bool:
    """Whether a rule can be built into the pattern."""
    return words.after(rule.prefix, rule.context, rule.whole) is not None


def stages_of(tokenizer: Tokenizer) -> tuple[list[dict[str, Any]], int]:
    """The pre-tokenizer's stages, and where ByteLevel stands.

    Where the model falls back to bytes itself, rules come last and nothing cuts words.

    Raises
    ------
    ValueError
        If there is not one ByteLevel, or it puts a blank in front, or nothing cuts
        words out before it.
    """
    spec: dict[str, Any] = json.loads(tokenizer.to_str())
    given: dict[str, Any] = spec["pre_tokenizer"] or {"type": "none"}
    if spec["model"].get("byte_fallback") and spec["model"]["type"] == "Unigram":
        stages = given.get("pretokenizers", [])
        return stages, len(stages)
    stages = given["pretokenizers"] if given["type"] == "Sequence" else [given]
    kinds = [stage["type"] for stage in stages]
    which = [n for n, kind in enumerate(kinds) if kind == "ByteLevel"]
    fit = len(which) == 1 and not stages[which[0]]["add_prefix_space"]
    if not fit or not (stages[which[0]]["use_regex"] or "Split" in kinds[:which[0]]):
        raise ValueError(
            "rules need a ByteLevel pre-tokenizer that cuts by its own pattern or "
            "stands behind a Split, and puts no blank in front; this one has "
            f"{kinds}. Use layer=False."
        )
    return stages, which[0]


def words_of(tokenizer: Tokenizer) -> WordPattern | None:
    """The pattern into which rules can be built; None where they need a stage."""
    stages, n = stages_of(tokenizer)
    if n == len(stages):
        return None
    if stages[n]["use_regex"]:
        return GPT2
    before = stages[n - 1]
    pattern = before.get("pattern", {}).get("Regex", "")
    isolates = before.get("behavior") == "Isolated" and not before.get("invert")
    return KNOWN.get(pattern) if isolates else None


def _split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated",
            "invert": False}


def with_rules(tokenizer: Tokenizer, rules: Iterable[Rule],
               common: Mapping[str, float] | None = None) -> Tokenizer:
    """The tokenizer with the rules in its pre-tokenizer; common: see `rules_pattern`.

    The stage that cuts words, a `ByteLevel` or a `Split` with a pattern of
    `lib.tokens.word_patterns`, takes the rules in, where they fit: no stage more that
    would walk over the text. The others, and those for any other `Split`, are a stage
    of their own behind it.

    Raises
    ------
    ValueError
        See `stages_of`.
    """
    stages, n = stages_of(tokenizer)
    rules, words = list(rules), words_of(tokenizer)
    if not rules and words is not GPT2:
        return tokenizer
    inside = [rule for rule in rules if words and fits(rule, words)]
    others = [rule for rule in rules if not (words and fits(rule, words))]
    new = [_split(rules_pattern(inside, words, common))] if words and (
        inside or words is GPT2) else []
    at = n if not new or words is GPT2 else n - 1
    if others:
        new.append(_split(rules_pattern(others, None)))
    stages[at:n + 1] = [*new, *(stage | {"use_regex": False}
                                for stage in stages[n:n + 1])]
    spec = json.loads(tokenizer.to_str())
    spec["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": stages}
    return Tokenizer.from_str(json.dumps(spec, ensure_ascii=False))
