"""Counting words in parts: the same sums, and a bound on what a cap loses."""

import os
import sys
from collections import Counter
from pathlib import Path

import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from lib.tokens.bytelevel import to_chars
from lib.tokens.counting import (
    TokenizerFile,
    Words,
    count_parts,
    count_rows,
    count_texts,
)
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


def parts_on_a_cluster(part: list[str]) -> list[str]:
    """The same, and no other process can."""
    from dask.distributed import get_worker

    return part if get_worker().address else []


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


def test_processes_count_as_one_in_the_same_order_and_their_errors_come_back(
        tmp_path: Path):
    file = tmp_path / "tokenizer.json"
    toy().save(str(file))
    parts = [TEXTS[n:n + 50] for n in range(0, 300, 50)]
    for workers in (1, 2):
        how = {"engine": "local", "workers": workers}
        counts = count_parts(file, parts, parts_of, **how).counts
        assert [*counts.items()] == [*count_words(toy(), TEXTS).items()]
        few = count_parts(file, parts, parts_of, most=4, **how)
        assert few.lost <= counts.total() / 5 and len(few.counts) <= 4
        with pytest.raises(ValueError, match=r"part\.txt, line 3"):
            count_parts(file, [*parts, ["broken"]], parts_of, **how)


def test_engines_that_are_unknown_or_not_installed_and_no_workers_are_refused(
        tmp_path: Path, monkeypatch):
    toy().save(str(tmp_path / "tokenizer.json"))
    monkeypatch.setitem(sys.modules, "dask", None)
    for how, sentence in (
            ({"engine": "ray"}, "engine 'ray' is not known; use one of local, dask"),
            ({"engine": "dask"}, "Dask is not installed, which counts on a cluster"),
            ({"workers": 0}, "workers is 0; use 1 or more")):
        with pytest.raises(ValueError, match=f"^{sentence}"):
            count_parts(tmp_path / "tokenizer.json", [TEXTS], parts_of, **how)


def test_a_tokenizer_that_took_the_place_of_another_is_the_one_that_counts(
        tmp_path: Path):
    file = tmp_path / "tokenizer.json"
    for n, isolated in enumerate((False, True)):
        made = toy()
        if isolated:
            made.pre_tokenizer = pre_tokenizers.Sequence([
                pre_tokenizers.Digits(True), made.pre_tokenizer])
        made.save(str(file))
        os.utime(file, (n, n))
        counts = count_parts(file, [TEXTS], parts_of, engine="local").counts
        assert counts == count_words(made, TEXTS)
        assert TokenizerFile(file).tokenizer().to_str() == made.to_str()


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


@pytest.mark.slow
def test_the_cluster_that_the_environment_names_is_the_one_that_counts(tmp_path: Path):
    distributed = pytest.importorskip("dask.distributed")  # an optional extra
    config = pytest.importorskip("dask.config")
    toy().save(str(tmp_path / "tokenizer.json"))
    parts = [TEXTS[n:n + 150] for n in range(0, 300, 150)]
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1,
                                  dashboard_address=None) as cluster, \
            config.set({"scheduler-address": cluster.scheduler_address}):
        words = count_parts(tmp_path / "tokenizer.json", parts, parts_on_a_cluster)
    assert words.counts == count_words(toy(), TEXTS)
