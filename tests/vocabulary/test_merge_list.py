"""What a merge list for a reassigned vocabulary keeps, checked on all short words."""

import json
from functools import cache
from itertools import pairwise, product
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from lib import data
from lib.tokens.bytelevel import merge_table, merging, piece_bytes, to_chars
from lib.tokens.distill import bpe_cuts
from lib.vocabulary.merge_list import merge_list, with_steps
from lib.vocabulary.reassign import Rule
from tests.real_data import real

LETTERS = b"abc"
WORDS = [bytes(word) for length in range(1, 8) for word in product(LETTERS,
                                                                  repeat=length)]


def random_bpe(seed: int, size: int, whole: bool = False) -> Tokenizer:
    """A BPE over three letters with merges drawn by chance, some pieces by several."""
    rng = Random(seed)
    pieces, merges = [bytes([n]) for n in LETTERS], []
    while len(merges) < size:
        pair = rng.choice(pieces), rng.choice(pieces)
        if pair not in merges and len(b"".join(pair)) <= 6:
            merges.append(pair)
            pieces += [] if b"".join(pair) in pieces else [b"".join(pair)]
    spec = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
            "normalizer": None, "post_processor": None, "decoder": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False,
                              "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "ignore_merges": whole,
                      "vocab": {to_chars(p): n for n, p in enumerate(pieces)},
                      "merges": [[*map(to_chars, pair)] for pair in merges]}}
    return Tokenizer.from_str(json.dumps(spec))


def random_rules(bpe: Tokenizer, seed: int, size: int) -> list[Rule]:
    rng = Random(seed)
    pieces = piece_bytes(bpe)
    old = rng.sample([n for n, piece in enumerate(pieces) if len(piece) > 1], size)
    new: list[bytes] = []
    while len(new) < size:
        piece = bytes(rng.choices(LETTERS, k=rng.randint(2, 6)))
        if piece not in pieces and piece not in new:
            new.append(piece)
    return [Rule(n, pieces[n], piece) for n, piece in zip(old, new, strict=True)]


def derived(word: bytes, table: dict) -> set[bytes]:
    """All pieces that merges make on the way, by the definition."""
    parts, made = [word[n:n + 1] for n in range(len(word))], set()
    while True:
        pairs = [(table[pair], n) for n, pair in enumerate(pairwise(parts))
                 if pair in table]
        if not pairs:
            return made
        n = min(pairs)[1]
        parts[n:n + 2] = [parts[n] + parts[n + 1]]
        made.add(parts[n])


@pytest.mark.parametrize("whole", [False, True])
@given(seed=st.integers(0, 10**6), size=st.integers(6, 24), given_up=st.integers(1, 4))
@settings(max_examples=30, deadline=None,
          suppress_health_check=[HealthCheck.too_slow])
def test_words_without_new_and_given_up_pieces_are_cut_as_before(
        whole, seed, size, given_up):
    bpe = random_bpe(seed, size, whole)
    rules = random_rules(bpe, seed, min(given_up, len(piece_bytes(bpe)) - 3))
    made, table = merge_list(bpe, rules), merge_table(bpe)
    old, new = {rule.old for rule in rules}, [rule.new for rule in rules]
    before, after = bpe_cuts(bpe, WORDS), bpe_cuts(made.tokenizer, WORDS)
    kept = 0
    for word, gold, ours in zip(WORDS, before, after, strict=True):
        if not any(piece in word for piece in new) and not (
                {*derived(word, table)} | {word}) & old:
            assert ours == gold, word
            kept += 1
    assert kept > 3
    assert made.tokenizer.get_vocab_size() == bpe.get_vocab_size()


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None,
          suppress_health_check=[HealthCheck.too_slow])
def test_what_is_said_to_be_unmade_lost_and_bridged_is_so(seed):
    bpe = random_bpe(seed, 16)
    rules = random_rules(bpe, seed, 3)
    made = merge_list(bpe, rules)
    alone = {piece: len(cut) == 1 for piece, cut in zip(
        piece_bytes(made.tokenizer),
        bpe_cuts(merging(made.tokenizer), piece_bytes(made.tokenizer)), strict=True)}
    whole = [piece for piece, cut in zip(piece_bytes(bpe), bpe_cuts(
        bpe, piece_bytes(bpe)), strict=True) if len(cut) == 1]
    new, old = [rule.new for rule in rules], {rule.old for rule in rules}
    assert {*made.unmade} == {piece for piece in new if not alone[piece]}
    assert {*made.lost} == {piece for piece in whole if piece not in old
                            and not alone[piece]}
    assert all(alone[piece] for piece in made.bridges)


def test_a_piece_made_by_way_of_a_given_up_one_gets_a_bridge():
    spec = json.loads(random_bpe(0, 6).to_str())
    vocab = ["a", "b", "c", "ab", "bc", "abc"]
    spec["model"] |= {"vocab": {piece: n for n, piece in enumerate(vocab)},
                      "merges": [["a", "b"], ["ab", "c"], ["b", "c"]]}
    bpe = Tokenizer.from_str(json.dumps(spec))
    made = merge_list(bpe, [Rule(3, b"ab", b"ca")])
    assert made.bridges == (b"abc",) and not made.lost and not made.unmade
    assert bpe_cuts(made.tokenizer, [b"abc", b"ca", b"ab"]) == [[5], [3], [0, 1]]


def test_a_rule_of_another_vocabulary_is_refused():
    with pytest.raises(ValueError, match="the rule for id 4 gives up b'zz', which"):
        merge_list(random_bpe(0, 6), [Rule(4, b"zz", b"ca")])


@cache
def korean():
    bpe = real(data.gpt2_tokenizer)
    pieces = piece_bytes(bpe)
    new = ["영화", " 영화", "영", "화", "정말", "재미있", "최고", "조", "표", "장"]
    old = [n for n in range(50256, 0, -1) if len(pieces[n]) > 6][:len(new) + 20]
    return bpe, [piece.encode() for piece in new], [
        Rule(n, pieces[n], b"") for n in old]


def test_with_steps_merges_make_pieces_that_they_do_not_make_alone():
    bpe, new, places = korean()
    alone = merge_list(bpe, [Rule(p.id, p.old, n) for p, n in zip(places, new,
                                                                 strict=False)])
    whole = with_steps(bpe, new, len(places))
    made = merge_list(bpe, [Rule(p.id, p.old, n) for p, n in zip(places, whole,
                                                                strict=False)])
    assert whole[:len(new)] == new and len(whole) <= len(places)
    assert len(made.unmade) < len(alone.unmade)
    assert len(made.tokenizer.encode("영화").ids) == 1


def test_with_steps_keeps_to_the_size_and_to_the_most_useful_pieces():
    bpe, new, _ = korean()
    for size in (0, 1, 3, 7):
        some = with_steps(bpe, new, size)
        assert len(some) <= size and len(set(some)) == len(some)
        served = next(n for n in range(len(new) + 1) if new[n:n + 1] == [] or
                      new[n] not in some)
        assert served or size < 7  # steps alone take that many
        others = [piece for piece in some if piece not in new[:served]]
        assert all(any(piece in whole for whole in new[:served]) for piece in others)
