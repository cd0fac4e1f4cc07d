"""Counting words in parts: the same sums, and a bound on what a cap loses."""

from collections import Counter
from pathlib import Path

import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from lib.tokens.bytelevel import to_chars
from lib.tokens.counting import Words, count_parts, count_rows, count_texts
from lib.tokens.distill import count_words, distill

TEXTS = [f"the ban of {'na' * (n % 7)} and {n % 13} cans" for n in range(300)]


def toy() -> Tokenizer:
    single = [to_chars(bytes([byte])) for byte in range(256)]
    vocab = {char: n for n, char in enumerate([*single, "na", "an", "ban"])}
    made = Tokenizer(models.BPE(vocab, [("n", "a"), ("a", "n"), ("b", "an")]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made


def parts_of(part: list[str]) -> list[str]:
    """What a machine reads of its part."""
    if part == ["broken"]:
        raise ValueError("part.txt, line 3: is broken")
    return part


@settings(deadline=None, max_examples=50)
@given(st.lists(st.dictionaries(st.binary(max_size=1), st.integers(1, 9))),
       st.integers(1, 6))
def test_what_a_cap_loses_is_bounded_and_told(parts, most):
    words, total = Words(most), Counter()
    for part in parts:
        words.add(part)
        total.update(part)
    assert len(words.counts) <= most
    assert words.lost <= total.total() / (most + 1)
    for word, n in total.items():
        assert n - words.lost <= words.counts[word] <= n


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.dictionaries(st.binary(max_size=1), st.integers(1, 9)))),
       st.integers(1, 6))
def test_sums_of_capped_parts_keep_the_bound(machines, most):
    all_words, total = Words(most), Counter()
    for parts in machines:
        words = Words(most)
        for part in parts:
            words.add(part)
            total.update(part)
        all_words.add(words.counts, words.lost)
    assert all_words.lost <= total.total() / (most + 1)
    for word, n in total.items():
        assert n - all_words.lost <= all_words.counts[word] <= n


def test_texts_rows_on_disk_and_rows_in_a_stream_count_the_same():
    whole = count_words(toy(), TEXTS)
    rows = Dataset.from_dict({"review": TEXTS})
    assert count_texts(toy(), iter(TEXTS)).counts == whole
    assert count_rows(toy(), rows, "review").counts == whole
    assert count_rows(toy(), rows, "review", processes=2).counts == whole
    assert count_rows(toy(), rows.to_iterable_dataset(), "review").counts == whole
    few = count_rows(toy(), rows, "review", most=5)
    assert len(few.counts) == 5 and few.lost > 0


def test_a_student_learns_the_same_from_counts_as_from_texts():
    texts, counts = (
        distill(toy(), source, passes=2, made_items=5, bar=False, layer=False)
        for source in (TEXTS, count_words(toy(), TEXTS)))
    assert (texts.scores == counts.scores).all()


def test_two_machines_count_as_one_and_their_errors_come_back(tmp_path: Path):
    distributed = pytest.importorskip("dask.distributed")  # an optional extra
    toy().save(str(tmp_path / "tokenizer.json"))
    whole = count_words(toy(), TEXTS)
    parts = [TEXTS[n:n + 50] for n in range(0, 300, 50)]
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1,
                                  dashboard_address=None) as cluster, \
            distributed.Client(cluster):
        file = tmp_path / "tokenizer.json"
        assert count_parts(file, parts, parts_of).counts == whole
        few = count_parts(file, parts, parts_of, most=4)
        assert few.lost <= whole.total() / 5 and len(few.counts) <= 4
        with pytest.raises(ValueError, match=r"part\.txt, line 3"):
            count_parts(file, [*parts, ["broken"]], parts_of)
