"""Raw corpora of every kind and every defect, counted ids, and how much memory."""

import json
import os
import subprocess
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from small_vocabulary import TEXTS, model_folder, options, put
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from lib import commands, data
from lib.files import sha256_of
from lib.tokens.sentencepiece import BYTES
from lib.workbench.ivr import artifacts as stages
from lib.workbench.ivr import corpora as vocabulary_corpus
from lib.workbench.ivr import raw_documents as raw_corpora
from lib.workbench.ivr.artifacts import TREE, Room, StageError
from lib.workbench.ivr.corpora import FILLED, INDEX, cleaned
from lib.workbench.ivr.counts import analyze
from lib.workbench.ivr.original import original_model, write_tokenizer
from lib.workbench.ivr.pipeline import run
from lib.workbench.ivr.raw_documents import BLOCK, DOCUMENT, clean, documents, pieces
from tests.real_data import real

ROOT = Path(__file__).parents[2]
KOREAN = "영화가 재미있고 배우가 좋았다\n다시 보고 싶은 영화\n"


def read(tmp_path, name, content, **how):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with open(file, "rb") as raw:
        return list(documents(raw, file, **how))


def listing(folder):
    """Every file below a folder with its bytes, but the lock."""
    return {str(file.relative_to(folder)): file.read_bytes()
            for file in sorted(folder.rglob("*"))
            if file.is_file() and file.name != ".lock"}


# ---- what is read


def test_each_kind_of_file_gives_its_documents(tmp_path):
    rows = [{"text": "하나"}, {"text": "둘\n셋", "more": [1, {"text": "no"}]}, "넷"]
    lines = "\n".join(json.dumps(row) for row in rows)
    expected = ["하나", "둘\n셋", "넷"]
    assert read(tmp_path, "a.txt", "하나\r\n\r둘") == ["하나", "", "둘"]
    assert read(tmp_path, "a.jsonl", lines) == expected
    assert read(tmp_path, "b.jsonl", lines + "\n\n") == expected
    assert read(tmp_path, "a.json", json.dumps(rows, indent=2)) == expected
    assert read(tmp_path, "b.json", json.dumps(rows[1])) == expected[1:2]
    assert read(tmp_path, "c.json", lines) == expected  # one after another
    assert read(tmp_path, "d.json", "[]") == []


@pytest.mark.parametrize("block", [1, 2, 3, 7, 64])
@settings(max_examples=30)
@given(rows=st.lists(st.one_of(
    st.text(), st.fixed_dictionaries({"text": st.text(), "n": st.floats() | st.none()}),
)), indent=st.sampled_from([None, 1]), ascii=st.booleans())
def test_wherever_a_block_ends_a_json_file_reads_as_json_reads_it(
    tmp_path_factory, block, rows, indent, ascii
):
    text = json.dumps(rows, indent=indent, ensure_ascii=ascii)
    text = text.encode("utf-8", "replace")
    expected = [row if isinstance(row, str) else row["text"]
                for row in json.loads(text)]
    before, raw_corpora.BLOCK = raw_corpora.BLOCK, block
    try:
        assert read(tmp_path_factory.getbasetemp(), "x.json", text) == expected
    finally:
        raw_corpora.BLOCK = before


@pytest.mark.parametrize("encoding", ["cp949", "utf-16", "utf-16-le", "utf-16-be",
                                      "utf-32", "utf-8-sig", "euc-kr", "UTF8"])
@pytest.mark.parametrize("repeats", [1, BLOCK // 20])
def test_a_named_encoding_is_read(tmp_path, encoding, repeats):
    text = KOREAN * repeats
    assert read(tmp_path, "a.txt", text.encode(encoding),
                encoding=encoding) == text.splitlines()


@pytest.mark.parametrize("asked, written", [("utf-16", "utf-16-be"),
                                            ("utf-16", "utf-16-le"),
                                            ("utf-8", "utf-8")])
def test_a_mark_at_the_beginning_is_no_part_of_the_text(tmp_path, asked, written):
    content = ("\ufeff" + KOREAN).encode(written)
    assert read(tmp_path, "a.txt", content, encoding=asked) == KOREAN.splitlines()


@given(st.text())
def test_a_clean_document_is_one_line_composed_and_clean_again(text):
    once = clean(text)
    assert clean(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert len(f"{once}x".splitlines()) == 1 + once.count("\u2028")
    assert not set(once) & set("\n\r\0\ufeff")
    once.encode()


def test_cleaning_keeps_blanks_inside_and_composes_hangul():
    decomposed = unicodedata.normalize("NFD", "  한글\n  들여쓰기\t표  ")
    assert clean(decomposed) == "한글\u2028  들여쓰기\t표"
    assert clean("a\ud83d b\x07") == "a\ufffd b"


@given(st.text(st.sampled_from("ab \u3000"), max_size=60), st.integers(4, 20))
def test_a_long_document_is_cut_at_blanks_and_loses_none_of_its_letters(text, most):
    parts = list(pieces(text, most))
    assert all(len(part) <= most for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


def test_a_file_without_a_newline_comes_in_documents_of_bounded_length(tmp_path):
    words = "word " * (DOCUMENT)
    found = read(tmp_path, "a.txt", words)
    assert max(map(len, found)) <= 3 * DOCUMENT + BLOCK
    assert sum(text.count("word") for text in found) == DOCUMENT


# ---- what is refused


REFUSED = {
    "not UTF-8, and cp949": (
        "a.txt", ("좋은 영화\n" * 3).encode() + "나쁜 영화".encode("cp949"), {},
        ("a.txt is not utf-8: byte 0xB3 at offset 42 (line 4) does not belong there; "
         "name its encoding, or save it as UTF-8")),
    "all of it cp949": (
        "a.txt", KOREAN.encode("cp949"), {},
        ("a.txt is not utf-8: byte 0xBF at offset 0 (line 1) does not belong there; "
         "as cp949 it reads well: write encoding cp949")),
    "Latin": (
        "a.txt", "first\nthe café\n".encode("latin-1"), {},
        ("byte 0xE9 at offset 13 (line 2) does not belong there; as cp1252 it reads "
         "well: write encoding cp1252")),
    "cut inside a character": (
        "a.txt", KOREAN.strip().encode()[:-1], {},
        ("byte 0xED at offset 67 (line 2) begins a character in the middle of which "
         "the file ends; fetch the whole file")),
    "not cp949": (
        "a.txt", b"abc\n\xff\xff\n", {"encoding": "cp949"},
        "a.txt is not cp949: byte 0xFF at offset 4 (line 2)"),
    "UTF-16 with a mark": (
        "a.txt", KOREAN.encode("utf-16"), {},
        ("a.txt begins with the mark of utf-16 (FF FE) and encoding is utf-8; write "
         "encoding utf-16, or save the file as utf-8")),
    "UTF-32 with a mark": (
        "a.txt", KOREAN.encode("utf-32"), {},
        "a.txt begins with the mark of utf-32 (FF FE 00 00)"),
    "UTF-16 without a mark": (
        "a.txt", "plain words\n".encode("utf-16-le"), {},
        "a.txt looks like utf-16-le without a mark"),
    "UTF-16, the other way": (
        "a.jsonl", '{"text": "plain"}'.encode("utf-16-be"), {},
        "a.jsonl looks like utf-16-be without a mark"),
    "Korean UTF-16 without a mark": (
        "a.txt", KOREAN.encode("utf-16-le"), {},
        "write encoding utf-16-le"),
    "UTF-8 with a mark, asked for as cp949": (
        "a.txt", ("\ufeff" + KOREAN).encode(), {"encoding": "cp949"},
        "a.txt begins with the mark of utf-8 (EF BB BF) and encoding is cp949"),
    "no text": (
        "a.txt", bytes(200), {}, "a.txt holds zero bytes and is no text in utf-8"),
    "unknown encoding": (
        "a.txt", b"x", {"encoding": "utf-9"}, "encoding 'utf-9' is not known; use "),
    "an encoding of no text": (
        "a.txt", b"x", {"encoding": "hex"}, "encoding 'hex' is not known; use "),
    "unknown kind": (
        "a.csv", b"x", {},
        "a.csv is not read; turn it into .txt, .jsonl, .json, .parquet or "),
    "JSONL cut off": (
        "a.jsonl", b'{"text": "a"}\n{"text": "b"\n', {},
        ("a.jsonl is no JSON at line 2, column 13 (Expecting ',' delimiter); mend it "
         "there: .jsonl is one object a line")),
    "JSONL without a newline at its end": (
        "a.jsonl", b'{"text": "a"}\n\n{"text": b}', {},
        "a.jsonl is no JSON at line 3, column 10 (Expecting value)"),
    "JSON cut off": (
        "a.json", b'[\n {"text": "a"},\n {"text": "b"}\n', {},
        ("a.json is no JSON at line 4, column 1 (the array does not end); mend it "
         "there: .json is an array of objects")),
    "JSON cut off in a string": (
        "a.json", b'[\n {"text": "a"},\n {"text": "b', {},
        "a.json is no JSON at line 3, column 11 (Unterminated string"),
    "no comma": (
        "a.json", b'[{"text": "a"}\n{"text": "b"}]', {},
        "a.json is no JSON at line 2, column 1 (a comma or ] is missing)"),
    "one comma too many": (
        "a.json", b'[{"text": "a"},\n]', {},
        "a.json is no JSON at line 2, column 1 (a value is missing behind the comma)"),
    "more behind the end": (
        "a.json", b'["a"]\n["b"]', {},
        "a.json is no JSON at line 2, column 1 (something stands behind the end"),
    "far into a file": (
        "a.json", b"[" + b'"%s",\n' % (b"word " * 40) * 6_000 + b"{'n': 1}]", {},
        "a.json is no JSON at line 6,001, column 2 (Expecting property name"),
    "deep": (
        "a.json", b"[" * 100_000, {}, "a.json is no JSON at line 1"),
    "no key": (
        "a.jsonl", '{"review": "좋다", "rating": 9}'.encode(), {},
        ("a.jsonl, line 1 has no key 'text'; its keys are 'review', 'rating': name the "
         "one of the text as text_key")),
    "no key in the third of an array": (
        "a.json", b'[{"text": ""},\n{"text": ""},\n{"n": 1}]', {},
        "a.json, line 3 has no key 'text'; its keys are 'n'"),
    "a number under the key": (
        "a.jsonl", b'{"text": 3}', {}, "'text' in a.jsonl, line 1 is a number and no"),
    "a number": (
        "a.jsonl", b"3", {},
        ("a.jsonl, line 1 is a number; a document is a text, or an object that has one "
         "under 'text'")),
    "an array in an array": (
        "a.json", b'["fine",\n["a"]]', {}, "a.json, line 2 is an array; a document is"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_named_with_its_place(tmp_path, case):
    name, content, how, sentence = REFUSED[case]
    with pytest.raises(StageError) as refused:
        read(tmp_path, name, content, **how)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_value_that_does_not_end_is_given_up_before_memory_is(tmp_path, monkeypatch):
    monkeypatch.setattr(raw_corpora, "LONGEST", 3 * BLOCK)
    for name, begin in (("a.json", '\n["'), ("a.jsonl", '\n"')):
        with pytest.raises(StageError, match=r"one value of more than .* line 2 "):
            read(tmp_path, name, begin + "x" * 8 * BLOCK)


# ---- init


def test_init_gathers_tokenizer_configuration_and_corpora(tmp_path):
    chosen = options(tmp_path)
    put(chosen, "b.txt", "둘째 글\n\n셋째 글\n")
    put(chosen, "a.jsonl", json.dumps({"text": "첫째\n글"}))
    told = run("init", chosen)
    assert list(cleaned(chosen.root)) == ["첫째\n글", "둘째 글", "셋째 글"]
    files = sorted(f.name for f in (chosen.root / TREE.CLEANED).iterdir())
    assert files == ["a.txt", "b.txt"]
    assert told["results"]["documents"] == 3
    original = Tokenizer.from_file(str(chosen.root / TREE.ORIGINAL / "tokenizer.json"))
    assert original.get_vocab_size() == told["results"]["vocabulary"] == 300
    assert json.loads((chosen.root / TREE.ORIGINAL / "config.json").read_text())


@pytest.mark.parametrize("case", ["no JSON", "a key missing", "another encoding",
                                  "no folder",
                                  "an empty folder", "empty files", "one name twice",
                                  "no model", "one folder for both"])
def test_an_init_that_is_refused_leaves_everything_as_it_was(tmp_path, case):
    chosen = options(tmp_path)
    kept = put(chosen, "a.txt", "ein Text\n")
    run("init", chosen)
    folder = kept.parent
    if case == "no JSON":
        put(chosen, "b.json", '[{"text": "x"}, {"text": }]')
        sentence = "b.json is no JSON at line 1, column 26"
    elif case == "a key missing":
        put(chosen, "b.jsonl", '{"body": "x"}')
        sentence = "b.jsonl, line 1 has no key 'text'; its keys are 'body'"
    elif case == "another encoding":
        put(chosen, "b.txt", KOREAN.encode("cp949"))
        sentence = "byte 0xBF at offset 0 (line 1)"
    elif case == "no folder":
        chosen = replace(chosen, raw_corpora_dir=str(tmp_path / "nowhere"))
        sentence = ("nowhere is not there; name a folder that holds .txt, .jsonl, "
                    ".json, .parquet")
    elif case == "an empty folder":
        (tmp_path / "none").mkdir()
        chosen = replace(chosen, raw_corpora_dir=str(tmp_path / "none"),
                         cleaned_corpora_dir=str(tmp_path / "clean"))
        sentence = "none holds no corpus; put .txt, .jsonl, .json, .parquet there, or"
    elif case == "empty files":
        kept.write_text(" \n\n")
        sentence = "raw holds no text; put .txt, .jsonl, .json, .parquet there"
    elif case == "one name twice":
        put(chosen, "A.jsonl", '"x"')
        sentence = "would both be cleaned into"
    elif case == "no model":
        chosen = replace(chosen, model=str(tmp_path / "no model"))
        sentence = "is neither smollm2, gpt2, tiny nor a folder that is there"
    else:
        chosen = replace(chosen, cleaned_corpora_dir=str(folder))
        sentence = "is to hold both raw and cleaned corpora; name two folders"
    before = listing(tmp_path)
    with pytest.raises(StageError) as refused:
        run("init", chosen)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
    assert listing(tmp_path) == before


def test_a_hidden_file_is_no_corpus(tmp_path):
    chosen = options(tmp_path)
    put(chosen, "a.txt", "a text\n")
    put(chosen, ".DS_Store", b"\0\1")
    assert run("init", chosen)["results"]["files"] == 1


@pytest.mark.parametrize("spoil, sentence", [
    ({"tokenizer.json": "{"}, "cannot be used: "),
    ({"tokenizer.json": None}, "has no tokenizer.json; name one that has"),
    ({"config.json": None}, "has no config.json"),
    ({"config.json": "{}"}, "lacks 'vocab_size'; name a model"),
    ({"config.json": '{"vocab_size": 299}'}, "has 299 rows of embeddings and a"),
    ({"tokenizer.json": json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
        "normalizer": None, "pre_tokenizer": None, "post_processor": None,
        "decoder": None, "model": {"type": "WordLevel", "vocab": {"a": 0},
                                   "unk_token": "a"}})},
     "a WordLevel tokenizer came"),
    *(({"tokenizer.json": json.dumps({"model": model})}, sentence)
      for model, sentence in (  # none of these could be built
          ({"type": "WordPiece"}, "a WordPiece tokenizer came"),
          ({"type": "Unigram", "vocab": []}, "a Unigram tokenizer came"),
          ({"type": "BPE", "dropout": 0.1}, "its dropout 0.1 draws the cuts by chance"),
          ({"merges": [], "end_of_word_suffix": "</w>"}, "end_of_word_suffix '</w>'"),
          ({"type": "BPE", "continuing_subword_prefix": "##"},
           "its continuing_subword_prefix '##'"),
          ({"type": "BPE", "byte_fallback": True, "vocab": dict.fromkeys(BYTES, 0)},
           "whose vocabulary select and remap cannot change yet"))),
])
def test_a_model_that_does_not_fit_is_refused(tmp_path, spoil, sentence):
    chosen = options(tmp_path)
    put(chosen, "a.txt", "a text\n")
    for name, text in spoil.items():
        file = Path(chosen.model) / name
        file.write_text(text) if text else file.unlink()
    with pytest.raises(StageError) as refused:
        run("init", chosen)
    assert sentence in str(refused.value)
    assert not (chosen.root / TREE.ORIGINAL).exists()


def test_what_is_clean_already_is_kept_unless_forced(tmp_path, capsys):
    chosen = options(tmp_path)
    put(chosen, "a.txt", "from raw\n")
    target = chosen.root / TREE.CLEANED / "a.txt"
    target.parent.mkdir(parents=True)
    target.write_text("by hand\n")
    assert run("init", chosen)["results"]["kept_files"] == 1
    assert "a.txt was clean already and is kept; normalize_force" in (
        capsys.readouterr().err)
    assert target.read_text() == "by hand\n"
    assert run("init", chosen)["kept"]
    told = run("init", replace(chosen, normalize_force=True))
    assert (told["kept"], told["results"]["kept_files"]) == (False, 0)
    assert target.read_text() == "from raw\n"


def test_what_is_no_corpus_among_the_raw_ones_is_named_and_passed_over(
        tmp_path, capsys):
    chosen = options(tmp_path)
    put(chosen, "a.txt", "ein Text\n")
    put(chosen, "b.csv", "x,y")
    (chosen.root / TREE.RAW / "more").mkdir()
    assert run("init", chosen)["results"]["files"] == 1
    assert ("corpora/raw holds b.csv, the folder more, passed over: .txt, .jsonl, "
            ".json, .parquet are read") in capsys.readouterr().err
    assert list(cleaned(chosen.root)) == ["ein Text"]
    put(chosen, "a.txt", "").unlink()
    with pytest.raises(StageError, match=r"no corpus \(b\.csv, the folder more not re"):
        run("init", chosen)


def test_both_folders_of_corpora_count_from_the_repository(tmp_path, monkeypatch):
    for module in (commands, vocabulary_corpus, stages):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    chosen = options(tmp_path, artifacts_dir="artifacts", raw_corpora_dir="mine/raw",
                     cleaned_corpora_dir="mine/clean")
    (tmp_path / "mine/raw").mkdir(parents=True)
    (tmp_path / "mine/raw/a.txt").write_text(" ein Text\n")
    run("init", chosen)
    assert (tmp_path / "mine/clean/a.txt").read_text() == "ein Text\n"
    assert list(cleaned(chosen.root)) == ["ein Text"]
    assert run("init", chosen)["kept"] and run("analyze", chosen)
    assert not (tmp_path / "artifacts/mine").exists()
    (tmp_path / "mine/clean/own.txt").write_text("of my own\n")
    assert run("init", chosen)["results"]["files"] == 2


def test_a_cleaned_file_that_was_edited_is_kept_or_the_reader_decides(
        tmp_path, capsys):
    chosen = options(tmp_path)
    raw = put(chosen, "a.txt", "from raw\n")
    run("init", chosen)
    target = chosen.root / TREE.CLEANED / "a.txt"
    target.write_text("from raw\nby hand\n")
    for chance in range(2):
        told = run("init", chosen)
        assert target.read_text() == "from raw\nby hand\n" and told["kept"] == chance
    assert "a.txt was edited after it had been cleaned and is kept; norm" in (
        capsys.readouterr().err)
    assert list(cleaned(chosen.root)) == ["from raw", "by hand"]
    raw.write_text("raw anew\n")
    with pytest.raises(StageError, match="the raw file or how it is read has changed"):
        run("init", chosen)
    assert target.read_text() == "from raw\nby hand\n"
    run("init", replace(chosen, normalize_force=True))
    assert target.read_text() == "raw anew\n"
    assert (target.parent / "a.txt.before").read_text() == "from raw\nby hand\n"
    target.write_text("not clean \n")
    with pytest.raises(StageError, match="is no longer clean"):
        run("init", chosen)


def test_an_edited_file_whose_raw_one_is_gone_stays_as_the_readers_own(tmp_path):
    chosen = options(tmp_path)
    put(chosen, "a.txt", "from raw\n")
    put(chosen, "b.txt", "another\n")
    run("init", chosen)
    target = chosen.root / TREE.CLEANED / "a.txt"
    target.write_text("by hand\n")
    for name in ("a.txt", "b.txt"):
        (chosen.root / TREE.RAW / name).unlink()
    put(chosen, "c.txt", "a third\n")
    run("init", chosen)
    assert target.read_text() == "by hand\n"
    assert not (target.parent / "b.txt").exists()
    run("init", replace(chosen, force=True))
    assert sorted(cleaned(chosen.root)) == ["a third", "by hand"]


@pytest.mark.parametrize("folder", [TREE.RAW, TREE.CLEANED])
def test_a_corpus_of_the_book_makes_room_for_texts_of_the_readers_own(
        tmp_path, capsys, folder):
    real(data.text, "korean")
    chosen = options(tmp_path, corpus="korean", corpus_documents=3)
    run("init", chosen)
    assert len(list(cleaned(chosen.root))) == 3
    (chosen.root / folder / "mine.txt").write_text("of my own\n")
    told = run("init", chosen)
    assert list(cleaned(chosen.root)) == ["of my own"]
    assert "so korean.txt, which the book had put" in capsys.readouterr().err
    assert not (chosen.root / TREE.RAW / "korean.txt").exists()
    assert run("init", chosen)["kept"] and told["results"]["files"] == 1


def test_a_document_without_a_token_is_an_empty_line(tmp_path):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(["hello world, hello words"], trainers.BpeTrainer(
        vocab_size=60, show_progress=False))
    chosen = options(tmp_path)
    room = Room(chosen.root, "analyze")
    for folder in (TREE.ORIGINAL, TREE.CLEANED):
        (room.root / folder).mkdir(parents=True)
    tokenizer.save(str(room.root / TREE.ORIGINAL / "tokenizer.json"))
    (room.root / INDEX).write_text(
        json.dumps({"folder": TREE.CLEANED, "files": {"a.txt": {}}}))
    (room.root / TREE.CLEANED / "a.txt").write_text("hello\n다람쥐\nworld\n", "utf-8")
    told = analyze(chosen, room)
    assert told["documents"] == 3
    room.finish()
    lines = (room.root / TREE.REPORTS / "bpe_token_id_sequences.txt").read_text()
    assert [len(line.split()) for line in lines.splitlines()] == [
        len(tokenizer.encode(text).ids) for text in ("hello", "다람쥐", "world")]
    (room.root / TREE.CLEANED / "a.txt").write_text("다람쥐\n", "utf-8")
    with pytest.raises(StageError, match="makes no token of any of the 1 documents"):
        analyze(chosen, Room(chosen.root, "analyze"))


@pytest.mark.parametrize("settings, sentence", [
    ({"pre_tokenizer": {"type": "Digits", "individual_digits": True}},
     r"its pre-tokenizer \(Digits\) has not one stage ByteLevel"),
    ({"normalizer": {"type": "NFKC"}}, "it gives '½ ﬁ' back as"),
    ({"pre_tokenizer": None}, "it has no pre-tokenizer"),
])
def test_a_tokenizer_that_later_stages_would_get_wrong_is_refused_by_init(
        tmp_path, settings, sentence):
    chosen = options(tmp_path)
    put(chosen, "a.txt", "a text\n")
    file = Path(chosen.model) / "tokenizer.json"
    spec = json.loads(file.read_text("utf-8"))
    spec["model"]["vocab"]["quartz"] = len(spec["model"]["vocab"])
    spec["model"] |= settings.pop("model", {})
    file.write_text(json.dumps(spec | settings), "utf-8")
    config = Path(chosen.model) / "config.json"
    config.write_text(config.read_text().replace("300", "400"))
    with pytest.raises(StageError, match=sentence):
        run("init", chosen)


def test_a_truncation_in_the_file_cuts_no_document(tmp_path):
    chosen = options(tmp_path)
    put(chosen, "a.txt", " ".join(TEXTS) + "\n")
    file = Path(chosen.model) / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(file))
    whole = len(tokenizer.encode(" ".join(TEXTS)).ids)
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=500)
    tokenizer.save(str(file))
    run("init", chosen)
    assert run("analyze", chosen)["results"]["tokens"] == whole > 8
    run("distill", chosen)
    student = json.loads((chosen.root / TREE.DISTILLED / "tokenizer.json").read_text())
    assert student["truncation"] is student["padding"] is None


def test_what_is_not_clean_is_cleaned_or_named(tmp_path):
    chosen = options(tmp_path)
    put(chosen, "a.txt", "from raw\n")
    target = chosen.root / TREE.CLEANED / "a.txt"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"two blanks  \r\n")
    run("init", chosen)
    assert target.read_text() == "from raw\n"
    (target.parent / "b.txt").write_bytes(b"\xff\n")
    with pytest.raises(StageError, match=r"b\.txt among the cleaned corpora is not "):
        run("init", replace(chosen, force=True))


def test_a_clean_file_put_there_later_makes_init_stale_and_is_taken_in(tmp_path):
    chosen = options(tmp_path)
    put(chosen, "a.txt", "from raw\n")
    run("init", chosen)
    own = chosen.root / TREE.CLEANED / "own.txt"
    own.write_text("by hand\n")
    with pytest.raises(StageError, match=r"corpora/cleaned/own\.txt is new; run "):
        run("analyze", chosen)
    told = run("init", chosen)
    assert (told["kept"], told["results"]["files"]) == (False, 2)
    assert list(cleaned(chosen.root)) == ["from raw", "by hand"]
    assert run("init", chosen)["kept"]
    own.unlink()
    assert not run("init", chosen)["kept"]
    assert list(cleaned(chosen.root)) == ["from raw"]


def test_a_raw_file_without_text_is_told(tmp_path, capsys):
    chosen = options(tmp_path)
    put(chosen, "a.txt", "words\n")
    put(chosen, "b.txt", " \n\n")
    assert run("init", chosen)["results"]["documents"] == 1
    assert "b.txt holds no text and adds no document." in capsys.readouterr().err


def test_a_new_raw_file_leaves_the_cleaned_ones_and_a_raw_file_gone_takes_its_own(
    tmp_path
):
    chosen = options(tmp_path)
    first = put(chosen, "a.txt", "one\n")
    run("init", chosen)
    clean_one = chosen.root / TREE.CLEANED / "a.txt"
    inode = clean_one.stat().st_ino
    put(chosen, "b.txt", "two\n")
    told = run("init", chosen)
    assert told["results"]["kept_files"] == 1
    assert clean_one.stat().st_ino == inode
    (clean_one.parent / "own.txt").write_text("own\n")
    run("init", replace(chosen, force=True))
    assert list(cleaned(chosen.root)) == ["one", "two", "own"]
    first.unlink()
    run("init", chosen)
    assert list(cleaned(chosen.root)) == ["two", "own"]
    assert not clean_one.exists()
    put(chosen, "b.txt", "three\n")
    run("init", chosen)
    assert list(cleaned(chosen.root)) == ["three", "own"]


def test_another_key_or_encoding_cleans_anew(tmp_path):
    chosen = options(tmp_path)
    put(chosen, "a.jsonl", '{"text": "one", "body": "other"}')
    run("init", chosen)
    run("init", replace(chosen, text_key="body"))
    assert list(cleaned(chosen.root)) == ["other"]


def test_the_corpora_may_lie_elsewhere(tmp_path):
    chosen = options(tmp_path, raw_corpora_dir=str(tmp_path / "in"),
                     cleaned_corpora_dir=str(tmp_path / "out"))
    put(chosen, "a.txt", "one\n")
    run("init", chosen)
    assert (tmp_path / "out" / "a.txt").read_text() == "one\n"
    assert run("analyze", chosen)["results"]["documents"] == 1
    put(chosen, "a.txt", "two\n")
    with pytest.raises(StageError, match=r"init made, which is stale: .*a\.txt has "):
        run("analyze", chosen)


@pytest.mark.parametrize("corpus, name", [("korean", "korean.txt"),
                                          ("shakespeare", "shakespeare.jsonl")])
def test_an_empty_raw_folder_is_given_a_corpus_of_the_book(tmp_path, corpus, name):
    chosen = options(tmp_path, corpus=corpus, corpus_documents=50)
    assert run("init", chosen)["results"]["documents"] == 50
    raw = chosen.root / TREE.RAW
    assert [file.name for file in raw.iterdir()] == [name]
    other = "shakespeare" if corpus == "korean" else "korean"
    run("init", replace(chosen, corpus=other))
    assert name not in [file.name for file in raw.iterdir()]
    (raw / name).write_text('"own"' if name.endswith("l") else "own")
    told = run("init", replace(chosen, corpus=other))
    assert told["results"]["documents"] == 1  # a reader's own text stays alone
    with pytest.raises(StageError, match="corpus 'latin' is not known; use one of"):
        run("init", replace(chosen, corpus="latin"))


def test_a_corpus_of_a_stand_in_makes_room_when_the_data_is_another(tmp_path):
    chosen = options(tmp_path, corpus="korean", corpus_documents=3)
    run("init", chosen)
    raw = chosen.root / TREE.RAW / "korean.txt"
    rows = raw.read_text("utf-8")
    told = json.loads((chosen.root / FILLED).read_text("utf-8"))
    assert told["data"] == data.describe("korean")
    raw.write_text("법 하나\n", encoding="utf-8")  # as of an earlier cache
    told |= {"data": "the law of another wheel", "sha256": sha256_of(raw)}
    (chosen.root / FILLED).write_text(json.dumps(told), encoding="utf-8")
    run("init", chosen)
    assert raw.read_text("utf-8") == rows
    assert "".join(f"{text}\n" for text in cleaned(chosen.root)) == rows


def test_gpt2_comes_with_its_tokenizer_and_says_where_its_weights_are(tmp_path):
    chosen = options(tmp_path, model="gpt2")
    put(chosen, "a.txt", "one text\n")
    told = run("init", chosen)
    assert told["results"]["vocabulary"] == 50257
    from transformers import AutoConfig, AutoTokenizer

    folder = chosen.root / TREE.ORIGINAL
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer("Hello world")["input_ids"] == [15496, 995]
    assert tokenizer.eos_token_id == 50256
    assert AutoConfig.from_pretrained(folder).n_embd == 768
    if told["results"]["weights"] == "none":
        with pytest.raises(StageError, match="weights of gpt2 could not be had"):
            original_model(chosen.root)
    else:
        assert original_model(chosen.root) == "openai-community/gpt2"


# ---- analyze and distill


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("counted")
    chosen = options(folder)
    put(chosen, "a.jsonl", "\n".join(json.dumps({"text": t}) for t in TEXTS * 40))
    for stage in ("init", "analyze", "distill"):
        run(stage, chosen)
    return chosen


def test_analyze_writes_the_ids_of_each_document_and_counts_every_token(counted):
    tokenizer = Tokenizer.from_file(
        str(counted.root / TREE.ORIGINAL / "tokenizer.json"))
    reports = counted.root / TREE.REPORTS
    lines = (reports / "bpe_token_id_sequences.txt").read_text().splitlines()
    expected = [tokenizer.encode(text).ids for text in cleaned(counted.root)]
    assert [list(map(int, line.split())) for line in lines] == expected
    table = parquet.read_table(reports / "token_frequency.parquet").to_pydict()
    assert list(table) == ["token_id", "token", "frequency"]
    assert table["token_id"] == list(range(300))
    assert table["token"] == [tokenizer.id_to_token(i) for i in range(300)]
    flat = [index for ids in expected for index in ids]
    assert table["frequency"] == [flat.count(i) for i in range(300)]
    assert 0 in table["frequency"]


def test_the_distilled_folder_is_a_unigram_tokenizer_for_transformers_too(counted):
    from transformers import AutoTokenizer

    folder = counted.root / TREE.DISTILLED
    student = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert json.loads(student.to_str())["model"]["type"] == "Unigram"
    teacher = Tokenizer.from_file(str(counted.root / TREE.ORIGINAL / "tokenizer.json"))
    assert student.get_vocab() == teacher.get_vocab()
    theirs = AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        assert theirs(text)["input_ids"] == student.encode(text).ids


def test_a_tokenizer_class_that_would_bring_the_merges_back_is_not_written(
    tmp_path, counted
):
    from transformers import AutoTokenizer

    student = Tokenizer.from_file(
        str(counted.root / TREE.DISTILLED / "tokenizer.json"))
    original = tmp_path / TREE.ORIGINAL
    model_folder(original)
    (original / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|endoftext|>"}')
    write_tokenizer(student, tmp_path / "out", tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert json.loads(theirs.backend_tokenizer.to_str())["model"]["type"] == "Unigram"
    assert theirs.eos_token_id == 0


# ---- memory


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows tells no ru_maxrss; "
                    "run it on Linux or macOS")
@pytest.mark.parametrize("kind", ["json", "txt without a newline"])
def test_a_large_file_is_cleaned_in_little_memory(tmp_path, kind):
    chosen = options(tmp_path)
    size = 120_000_000
    review = "배우가 좋았고 다시 보고 싶은 영화. " * 20
    name = "a.json" if kind == "json" else "a.txt"
    row = json.dumps({"text": review}, ensure_ascii=False) + ","
    block = (row if kind == "json" else review) * 500
    raw = put(chosen, name, "")
    with open(raw, "w", encoding="utf-8") as out:
        if kind == "json":
            out.write("[")
        out.writelines(block for _ in range(size // len(block.encode()) + 1))
        if kind == "json":
            out.write('"the last one"]')
    assert raw.stat().st_size > size
    script = f"""
import resource, sys
sys.path[:0] = [{str(ROOT)!r}]
from lib.workbench.ivr.pipeline import Options, run
import lib.tokens.distill, lib.workbench.ivr.corpora, tokenizers
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
told = run("init", Options(**{ {f: getattr(chosen, f) for f in (
    "artifacts_dir", "corpus", "model")} !r}))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(told["results"]["documents"], after - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True,
                          text=True, check=False, env=os.environ | {"RANK": "0"})
    assert done.returncode == 0, done.stderr[-2000:]
    count, grown = map(int, done.stdout.split())
    unit = 1 if sys.platform == "darwin" else 1024
    assert count >= (size // len(row.encode()) if kind == "json" else 100)
    # a block, a value and their copies: 2 GB take no more than 120 MB do
    assert grown * unit < 60_000_000
    raw.unlink()
    (chosen.root / TREE.CLEANED / "a.txt").unlink()
    assert (chosen.root / INDEX).exists()
