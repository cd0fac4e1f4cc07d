"""What `analyze` and `distill` count: the same in parts, in processes and on Dask."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from small_vocabulary import TEXTS, model_folder, options, put
from tokenizers import Tokenizer

from lib.tokens.distill import count_words
from lib.tokens.distill import distill as distilled
from lib.workbench.ivr import corpora
from lib.workbench.ivr.artifacts import TREE, StageError
from lib.workbench.ivr.corpora import Part, cleaned, texts_of
from lib.workbench.ivr.counts import words
from lib.workbench.ivr.options import parsed
from lib.workbench.ivr.pipeline import run

ENGINES = [("local", 1), ("local", 2),
           pytest.param("dask", 2, marks=pytest.mark.slow)]
DOCUMENTS = [f"{text} {n}" for n in range(12) for text in TEXTS]


def corpus(folder: Path, **more):
    """Options of a pipeline whose corpora have been cleaned: two files."""
    chosen = options(folder, **more)
    put(chosen, "a.jsonl", "\n".join(json.dumps({"text": text.replace(" ", "\n", 1)})
                                     for text in DOCUMENTS))
    put(chosen, "b.txt", "영화 and a last one\n")
    run("init", chosen)
    return chosen


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text(st.sampled_from("a한\u2028")), min_size=1), st.integers(1, 9))
def test_wherever_parts_end_each_document_is_in_one_of_them(
        tmp_path_factory, texts, size):
    file = tmp_path_factory.getbasetemp() / "parts.txt"
    file.write_text("".join(f"{text}\n" for text in texts), "utf-8", newline="\n")
    length = file.stat().st_size
    read = [text for begin in range(0, length, size)
            for text in texts_of(Part(file, begin, begin + size))]
    assert read == [text.replace("\u2028", "\n") for text in texts]


@pytest.mark.parametrize(("engine", "workers"), ENGINES)
def test_every_engine_counts_word_for_word_as_one_pass_over_the_texts(
        tmp_path, monkeypatch, engine, workers):
    if engine == "dask":
        pytest.importorskip("dask.bag")  # an optional extra
    chosen = corpus(tmp_path)
    teacher = Tokenizer.from_file(
        str(chosen.root / TREE.ORIGINAL / "tokenizer.json"))
    plain = distilled(teacher, cleaned(chosen.root), passes=2, made_items=5, bar=False)
    once = count_words(teacher, cleaned(chosen.root))
    sequences = [teacher.encode(text).ids for text in cleaned(chosen.root)]
    monkeypatch.setattr(corpora, "PART", 500)
    assert len(corpora.parts(chosen.root)) > 4
    chosen = replace(chosen, engine=engine, workers=workers, lexicon=0)
    assert [*words(chosen, chosen.root).counts.items()] == [*once.items()]
    counted = run("analyze", chosen)["results"]
    assert counted["documents"] == len(DOCUMENTS) + 1
    lines = (chosen.root / TREE.REPORTS / "bpe_token_id_sequences.txt").read_text()
    assert [list(map(int, line.split())) for line in lines.splitlines()] == sequences
    table = parquet.read_table(chosen.root / TREE.REPORTS / "token_frequency.parquet")
    assert sum(table["frequency"].to_pylist()) == sum(map(len, sequences))
    assert run("distill", chosen)["results"] == plain.report
    student = Tokenizer.from_file(
        str(chosen.root / TREE.DISTILLED / "tokenizer.json"))
    assert student.to_str() == plain.tokenizer.to_str()
    assert not [*(chosen.root / TREE.SCRATCH).glob("*")]


def test_what_a_cap_of_words_loses_is_said_and_reported(tmp_path, capsys):
    chosen = corpus(tmp_path, most_words=20, lexicon=0)
    run("analyze", chosen)
    results = run("distill", chosen)["results"]
    assert results["types"] <= 20 and results["words_lost"] > 0
    assert ("more than most_words = 20 different words: each is counted "
            f"{results['words_lost']} times too few at most") in capsys.readouterr().err
    report = json.loads((chosen.root / TREE.DISTILLED / "report.json").read_text())
    assert report["words_lost"] == results["words_lost"]
    assert "words_lost" not in run("distill", replace(chosen, most_words=10**6)
                                   )["results"]


@pytest.mark.parametrize(("word", "sentence"), [
    ("engine=ray", "engine 'ray' is not known; use one of local, dask"),
    ("workers=0", "workers is 0; use 1 or more"),
    ("most_words=0", "most_words is 0; use 1 or more"),
])
def test_an_engine_or_a_number_that_cannot_count_is_refused(word, sentence):
    with pytest.raises(StageError, match=f"^{sentence}$"):
        parsed([word])


def test_dask_is_asked_for_before_anything_starts(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask", None)  # as if it were not installed
    with pytest.raises(StageError, match=r"Dask is not installed.*pip install 'dask\["):
        parsed(["engine=dask"])


def test_a_file_that_a_machine_does_not_have_is_named(tmp_path):
    with pytest.raises(StageError, match=r"gone\.txt is not on the machine that is to"):
        list(texts_of(Part(tmp_path / "gone.txt", 0, 9)))


def test_a_parquet_file_gives_the_documents_of_its_column(tmp_path):
    chosen = options(tmp_path, text_key="review")
    model_folder(Path(chosen.model))
    rows = put(chosen, "a.parquet", b"")
    texts = pa.array(["하나", "둘\n셋", None, " "]).dictionary_encode()
    parquet.write_table(pa.table({"review": texts, "n": range(4)}), rows)
    run("init", chosen)
    assert list(cleaned(chosen.root)) == ["하나", "둘\n셋"]
    for key, sentence in (
            ("text", "a.parquet has no column 'text'; its columns are 'review', 'n': "),
            ("n", "the column 'n' of a.parquet is int64 and no text; name the one")):
        with pytest.raises(StageError, match=sentence):
            run("init", replace(chosen, text_key=key))
    rows.write_bytes(rows.read_bytes()[:-9])
    with pytest.raises(StageError, match=r"a\.parquet is no whole Parquet file \(.*\)"):
        run("init", chosen)
    assert list(cleaned(chosen.root)) == ["하나", "둘\n셋"]
