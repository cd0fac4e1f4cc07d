"""The tokenizers that chapter 14 writes: its own cells, run here on hostile input."""

import ast
import json
import math
import random
from collections import Counter
from functools import cache
from itertools import pairwise, product
from pathlib import Path
from types import SimpleNamespace

import jupytext
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from lib import data
from tests.real_data import real

CHAPTER = Path(__file__).parents[2] / "notebooks/14_bpe_and_unigram.py"
# Half of the bits are such as the pattern treats apart. Code points that are not
# assigned yet (Cn) are left out: a newer Unicode may make letters of them, and `regex`
# and `tokenizers` do not know the same one.
BITS = st.sampled_from(["'ll", "'s", "it's", " ", "  ", "\n\n", "\t", "12", "...",
                        " a", "B", " 세", "é", "!?"])
TEXTS = st.lists(BITS | st.characters(exclude_categories=["Cs", "Cn"]),
                 max_size=20).map("".join)
CONSTANTS = {"VISIBLE", "HIDDEN", "LETTER", "BYTE", "PATTERN", "LONGEST"}


@cache
def chapter():
    """The functions and constants of the chapter, without what its cells run."""
    cells = [c.source for c in jupytext.read(CHAPTER).cells if c.cell_type == "code"]
    kept = []
    for node in ast.parse("\n".join(cells)).body:
        target = getattr(node, "targets", [getattr(node, "target", None)])[0]
        if isinstance(node, ast.FunctionDef) or (
                isinstance(target, ast.Name) and target.id in CONSTANTS):
            kept.append(node)
    names = {"Counter": Counter, "cache": cache, "json": json, "math": math,
             "models": models, "pairwise": pairwise, "product": product,
             "regex": regex}
    code = compile(ast.Module(kept, []), "chapter 14", "exec")
    exec(code, names)  # noqa: S102 - the cells are the code under test
    return SimpleNamespace(**names)


@cache
def gpt2():
    tokenizer = real(data.gpt2_tokenizer)
    tokenizer.encode_special_tokens = True
    ranks = {pair: n for n, pair in enumerate(chapter().merges_of(tokenizer))}
    return tokenizer, ranks


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_any_text_falls_into_the_pre_tokens_of_gpt2(text):
    ours = [chapter().letters(word) for word in chapter().pre_tokens(text)]
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    assert ours == [chars for chars, _ in byte_level.pre_tokenize_str(text)]


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_any_text_gets_the_tokens_of_gpt2(text):
    tokenizer, ranks = gpt2()
    ours = [piece for word in chapter().pre_tokens(text)
            for piece in chapter().bpe(word, ranks)]
    theirs = map(chapter().raw_bytes, tokenizer.encode(text).tokens)
    assert ours == list(theirs)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text("abé ", min_size=1, max_size=9), min_size=3, max_size=25))
def test_learned_merges_are_those_of_tokenizers(lines):
    text = " ".join(lines)
    words = Counter(chapter().pre_tokens(text))
    theirs = Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.train_from_iterator([text], trainers.BpeTrainer(
        vocab_size=268, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    ours = list(chapter().learn_merges(words, 12))
    assert ours == chapter().merges_of(theirs)


scored = st.fixed_dictionaries(
    {bytes(piece): st.floats(-9, -1) for n in (1, 2, 3)
     for piece in product(b"ab", repeat=n)})


@settings(max_examples=60, deadline=None)
@given(scored, st.lists(st.sampled_from(b"ab"), min_size=1, max_size=12).map(bytes),
       st.booleans())
def test_viterbi_cuts_as_tokenizers_does_even_where_sums_tie(scores, word, even):
    if even:  # ties everywhere; quarters add up without rounding
        scores = {piece: round(4 * score) / 4 for piece, score in scores.items()}
    cut, total = chapter().viterbi(word, scores)
    assert cut == chapter().their_cut(chapter().unigram_of(scores), word)
    best = max(sum(map(scores.get, cut)) for cut in chapter().all_cuts(word, scores))
    assert math.isclose(total, best, abs_tol=1e-9)


@st.composite
def vocabularies(draw):
    """A list of merges whose parts exist before them, as training makes them."""
    pieces, merges = [b"a", b"b", b"c"], {}
    for _ in range(draw(st.integers(1, 9))):
        pair = draw(st.sampled_from(pieces)), draw(st.sampled_from(pieces))
        if b"".join(pair) not in pieces:
            merges[pair] = len(merges)
            pieces.append(b"".join(pair))
    return merges


@settings(max_examples=80, deadline=None)
@given(vocabularies(), st.data())
def test_a_sequence_is_the_output_of_bpe_iff_its_pairs_are(merges, draw):
    bpe = chapter().bpe
    pieces = {b"a", b"b", b"c", *map(b"".join, merges)}
    whole = sorted(piece for piece in pieces if bpe(piece, merges) == [piece])
    word = bytes(draw.draw(st.lists(st.sampled_from(b"abc"), max_size=8)))
    right = [cut for cut in chapter().all_cuts(word, whole)
             if chapter().pairs_are_right(
                 cut, lambda a, b: bpe(a + b, merges) == [a, b])]
    assert right == [tuple(bpe(word, merges))]


@settings(max_examples=40, deadline=None)
@given(scored, st.lists(st.sampled_from(b"ab"), min_size=1, max_size=9).map(bytes))
def test_expected_counts_are_the_slopes_of_log_z(scores, word):
    p = {piece: math.exp(score) for piece, score in scores.items()}
    log_z, counts = chapter().expected_counts(word, p)
    cuts = chapter().all_cuts(word, p)
    assert math.isclose(
        log_z, math.log(sum(math.prod(map(p.get, cut)) for cut in cuts)))
    for piece in p:
        up, down = (chapter().expected_counts(
            word, p | {piece: p[piece] * math.exp(h)})[0] for h in (1e-5, -1e-5))
        # a central difference: off by h² of a third derivative, and rounding / h
        assert math.isclose(counts[piece], (up - down) / 2e-5, abs_tol=1e-6)


def test_em_never_makes_the_text_less_likely():
    draw = random.Random(0)
    words = Counter({bytes(draw.choices(b"abcd", k=draw.randint(1, 9))):
                     draw.randint(1, 5) for _ in range(60)})
    p, seen = chapter().seeds(words, 80), []
    for _ in range(8):
        p, log_likelihood = chapter().em_step(words, p)
        seen.append(log_likelihood)
    assert all(later >= sooner - 1e-9 for sooner, later in pairwise(seen))
    assert seen[-1] > seen[0]


def test_a_learned_unigram_has_the_size_asked_for_and_spells_any_bytes():
    words = Counter(chapter().pre_tokens("the cat that chats with the hats " * 5))
    scores, _ = chapter().learn_unigram(words, 6)
    assert sum(len(piece) > 1 for piece in scores) == 6
    assert {bytes([byte]) for byte in range(256)} <= set(scores)
    word = bytes(range(256))
    assert b"".join(chapter().viterbi(word, scores)[0]) == word
