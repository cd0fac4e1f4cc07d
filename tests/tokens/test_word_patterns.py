"""Rules built into a pattern break what a stage of their own breaks, and no more."""

import json
import random

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from lib.tokens.sound_cuts import (
    Rule,
    fits,
    rules_pattern,
    with_rules,
    written_out,
)
from lib.tokens.word_patterns import GPT2, KNOWN

LETTERS = ["a", "b", "s", "t", "B", "T", "é", "가", "나", "ʰ", "ǅ", "\u0301", "한"]
SIGNS = [".", "'", "/", "(", "-", "\u0301", "’"]
BLANKS = [" ", "\n", "\r", "\t", "\u3000", "\u00a0"]
DIGITS = ["1", "23", "½"]
POOLS = [LETTERS, SIGNS, BLANKS, [" ", "\n"], [*LETTERS, *SIGNS], [*SIGNS, "\n"],
         [*BLANKS, "a", "."], LETTERS + SIGNS + BLANKS + DIGITS]


def some(chance: random.Random, longest: int) -> str:
    pool = chance.choice(POOLS)
    return "".join(chance.choice(pool) for _ in range(chance.randint(1, longest)))


def cutting(pattern: str | None) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(False, use_regex=pattern is None)
    tokenizer.pre_tokenizer = byte_level if pattern is None else (
        pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                 byte_level]))
    return tokenizer


def parts(stage, texts):
    return [[part for part, _ in stage.pre_tokenize_str(text)] for text in texts]


def rules_of(words, chance, count) -> list[Rule]:
    """Rules for the beginnings of words that the pattern cuts out."""
    found: dict[Rule, None] = {}
    words = [word for word in words if len(word) > 1]
    while words and len(found) < count:
        word = chance.choice(words)
        place = chance.randrange(1, len(word))
        end = chance.randint(place + 1, len(word))
        whole = end == len(word) and chance.random() < 0.4
        found[Rule(word[:place], word[place:end], whole)] = None
    return list(found)


@pytest.mark.parametrize("words", [GPT2, *KNOWN.values()],
                         ids=["gpt2", "qwen", "cl100k", "o200k"])
@pytest.mark.parametrize("seed", range(6))
def test_rules_in_the_pattern_break_as_those_in_a_stage_of_their_own(words, seed):
    chance = random.Random(seed)
    texts = ["".join(some(chance, 6) for _ in range(chance.randint(1, 5)))
             for _ in range(2500)]
    split = pre_tokenizers.Split(Regex(rules_pattern([], words)), "isolated")
    every = list(dict.fromkeys(word for cut in parts(split, texts) for word in cut))
    common = {word: chance.random() for word in every}
    met: set[str] = set()
    for count in (3, 60):
        rules = [rule for rule in rules_of(every, chance, count) if fits(rule, words)
                 and not (words is GPT2 and rule.prefix == "'")]  # its contractions
        stage = pre_tokenizers.Sequence([split, pre_tokenizers.Split(
            Regex(rules_pattern(rules, None)), "isolated")])
        inside, walked = (rules_pattern(rules, words, some) for some in ({}, common))
        assert len(walked) > len(inside) and r"\g<" in walked
        for written in (inside, walked, written_out(walked)):
            there = pre_tokenizers.Split(Regex(written), "isolated")
            for text, a, b, bare in zip(texts, parts(stage, texts), parts(there, texts),
                                        parts(split, texts), strict=True):
                assert a == b, (text, a, b, rules)
                if a != bare:
                    met.add(text)
        assert r"\g<" not in written_out(walked)
    assert len(met) > 50  # texts that some rule breaks


@pytest.mark.parametrize("pattern", [None, *KNOWN],
                         ids=["gpt2", "qwen", "cl100k", "o200k"])
def test_without_a_rule_the_pattern_that_is_open_to_rules_is_the_teachers(pattern):
    chance = random.Random(9)
    texts = ["".join(some(chance, 6) for _ in range(chance.randint(1, 5)))
             for _ in range(8_000)]
    words = GPT2 if pattern is None else KNOWN[pattern]
    own = (Tokenizer(models.BPE()) if pattern is None else None)
    bare = (pre_tokenizers.ByteLevel(False) if own else
            pre_tokenizers.Split(Regex(pattern), "isolated"))
    open_ = pre_tokenizers.Split(Regex(rules_pattern([], words)), "isolated")
    if own:
        open_ = pre_tokenizers.Sequence(
            [open_, pre_tokenizers.ByteLevel(False, use_regex=False)])
    assert parts(bare, texts) == parts(open_, texts)


@pytest.mark.parametrize("pattern", [None, *KNOWN],
                         ids=["gpt2", "qwen", "cl100k", "o200k"])
def test_rules_that_fit_take_no_stage_and_others_take_one(pattern):
    tokenizer = cutting(pattern)
    fitting, other = Rule("ab", "c"), Rule("ab", "1", whole=True)

    def kinds(rules):
        spec = json.loads(with_rules(tokenizer, rules).to_str())["pre_tokenizer"]
        return [stage["type"] for stage in spec["pretokenizers"]]

    assert kinds([fitting]) == ["Split", "ByteLevel"]
    assert kinds([fitting, other]) == (
        ["Split", "ByteLevel"] if pattern is None else ["Split", "Split", "ByteLevel"])
