"""Pieces of several words: what they join, and that nothing else changes."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, pre_tokenizers

from lib.exercises.reassign import toy_tokenizer
from lib.tokens.distill import count_words
from lib.vocabulary.phrases import (
    count_documents,
    count_runs,
    end_of,
    find_phrases,
    joined,
    usable,
    with_phrases,
)
from lib.vocabulary.reassign import Rule, RuleError, remap_tokenizer, words_of
from lib.vocabulary.select import lengths, select_pieces

QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
PHRASES = (" of the", ", and", "in a", ":\n   ", ").", ". The", " 1 of")
TEXT = ["the end of the day, and in a way.", "a man of the sea, and in a boat."]


def tokenizers() -> dict[str, Tokenizer]:
    plain = toy_tokenizer()
    split = Tokenizer.from_str(plain.to_str())
    split.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    return {"ByteLevel": plain, "Split": split}


@pytest.mark.parametrize("kind", ["ByteLevel", "Split"])
@given(text=st.lists(st.sampled_from(
    [*PHRASES, " ", "\n", "the", " The", "n", "a", "1", "'s", ".", "é", "\u0301", "가",
     "_", "   ", "\t"]), max_size=8).map("".join))
@settings(max_examples=150, deadline=None)
def test_words_are_joined_and_never_cut_elsewhere(kind, text):
    before = words_of(tokenizers()[kind])
    phrases = usable(tokenizers()[kind], PHRASES)
    after = words_of(with_phrases(tokenizers()[kind], phrases))
    words, at = before(text), 0
    for run in after(text):
        parts = [words[at]]
        while len("".join(parts)) < len(run):
            parts.append(words[at + len(parts)])
        assert "".join(parts) == run and (len(parts) == 1 or run in phrases)
        at += len(parts)
    assert at == len(words)


def test_a_phrase_is_one_token_and_text_without_one_is_as_before():
    toy = toy_tokenizer()
    news = [b" of the", b" and"]
    rules = [Rule(257 + n, piece, new) for n, (piece, new) in enumerate(zip(
        [b"na", b"ban"], news, strict=True))]
    with pytest.raises(RuleError, match="would never be used, because text is cut"):
        remap_tokenizer(toy, rules)
    made = remap_tokenizer(joined(toy, news), rules)
    assert made.encode("x of the").ids[1:] == [257]
    assert 257 not in made.encode("x of then").ids  # the last word goes on
    assert made.encode("can an, in 3 cans").ids == [
        *toy.encode("can an, in 3 cans").ids]
    assert made.decode(made.encode(TEXT[0]).ids) == TEXT[0]


def test_what_may_follow_is_what_leaves_the_words_alone():
    cut = words_of(toy_tokenizer())
    assert end_of(cut, " the") == r"(?!\p{L})"
    assert r"\p{N}" not in end_of(cut, " the").replace(r"\s\p{L}\p{M}\p{N}", "")
    assert r"[\r\n]" in end_of(cut, ":\n")  # a blank line would be one word with it


def test_phrases_are_counted_by_texts_and_runs_hold_together():
    toy = toy_tokenizer()
    found = find_phrases(toy, TEXT, 2)
    assert found[" of the"] == 2 and found[", and in a"] == 2
    assert "the end" not in found
    assert count_documents(toy, ["a a b", "a"])[b"a"] == 2
    runs = count_runs(toy, TEXT, {" of the", ", and"})
    assert runs[b" of the"] == 2 and runs[b" day"] == 1 and runs[b" of"] == 0
    words: Counter[bytes] = count_words(toy, TEXT)
    assert sum(len(run) * n for run, n in runs.items()) == sum(
        len(word) * n for word, n in words.items())


def test_a_choice_with_phrases_saves_more_and_no_text_becomes_longer():
    toy, texts = toy_tokenizer(), TEXT * 20
    counts = count_words(toy, texts)
    both = []
    for given_texts in (None, texts):
        chosen = select_pieces(toy, counts, Counter(), share=0.012, least=2, bar=False,
                               texts=given_texts)
        news = [rule.new for rule in chosen.rules]
        made = remap_tokenizer(joined(toy, news), chosen.rules)
        assert (lengths(made, texts) <= lengths(toy, texts)).all()
        both.append(lengths(made, texts).sum())
    assert both[1] < both[0]


def test_a_pre_tokenizer_without_an_expression_is_refused():
    toy = Tokenizer.from_str(toy_tokenizer().to_str())  # the other one is shared
    toy.pre_tokenizer = pre_tokenizers.ByteLevel(use_regex=False)
    with pytest.raises(ValueError, match="cuts words by an expression"):
        with_phrases(toy, {" of the": "(?=)"})
