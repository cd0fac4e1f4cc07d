"""A tokenizer file is read for whole texts, or refused in one sentence."""

import json
import re
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from lib.data import ROOT
from lib.data.tokenizer_files import for_whole_texts, load_tokenizer, parse_tokenizer
from lib.gravity.tokenizers import BpeTokens, from_json
from lib.workbench.ngt.training import Options, check, prepare

WORDS = "one two three four five six seven eight nine ten\n" * 40


def published() -> Tokenizer:
    """A byte-level BPE with what trainings leave in the files of published models."""
    tokenizer = BpeTokens.train(WORDS, 280).to_json()["tokenizer"]
    spec = json.loads(tokenizer)
    spec["model"]["dropout"] = 0.3
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding(length=32, pad_id=0, pad_token="!")
    return tokenizer


@pytest.fixture
def file(tmp_path):
    published().save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def test_truncation_padding_and_dropout_of_a_file_do_not_touch_a_text(file):
    left = json.loads(file.read_text("utf-8"))
    assert left["truncation"] and left["padding"] and left["model"]["dropout"]
    whole = BpeTokens.train(WORDS, 280).encode(WORDS)
    tokenizer = load_tokenizer(file)
    assert tokenizer.encode(WORDS).ids == whole
    assert len(tokenizer.encode("one").ids) == 1  # not filled up
    assert parse_tokenizer(file.read_text("utf-8")).encode(WORDS).ids == whole
    assert BpeTokens.load(file).encode(WORDS) == whole
    stored = {"kind": "bpe", "tokenizer": file.read_text("utf-8")}
    assert from_json(stored).encode(WORDS) == whole  # as in a checkpoint


def test_a_training_with_a_truncating_file_reads_the_whole_text(file, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(WORDS, "utf-8")
    task = prepare(check(Options(
        tokenizer="bpe", tokenizer_path=str(file), data_path=str(text), block_size=8,
        checkpoint_path=str(tmp_path / "run"),
    )))
    whole = BpeTokens.train(WORDS, 280).encode(WORDS)
    came = len(task.train_ids) + len(task.valid_ids)
    assert abs(came - len(whole)) <= 2  # more at the cut


def test_a_tokenizer_of_transformers_loses_its_truncation_too(file, tmp_path):
    whole = BpeTokens.train(WORDS, 280).encode(WORDS)
    PreTrainedTokenizerFast(tokenizer_file=str(file)).save_pretrained(tmp_path)
    held = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert held.backend_tokenizer.encode(WORDS).ids != whole
    assert for_whole_texts(held.backend_tokenizer).encode(WORDS).ids == whole


@pytest.mark.parametrize("content, named", [
    (b"", "damaged, or no JSON"),
    (b"{", "damaged, or no JSON"),
    (b"[" * 100_000, "damaged, or no JSON"),
    (b"\xff\xfe\x00\x01", "it is no text"),
    (b"[1, 2]", 'it has no "model"'),
    (b'{"the": 0, "cat": 1}', 'it has no "model"'),
    (b'{"model": {"type": "BPE"}}', "holds no tokenizer: "),
    (b'{"tokenizer_json": "{}"}', 'it has no "model"'),
    (b'{"model": {"type": "BPE", "vocab": {}, "merges": [["a", "b"]]}}',
     "holds no tokenizer: "),
])
def test_a_file_that_is_no_tokenizer_is_one_sentence(tmp_path, content, named):
    file = tmp_path / "tokenizer.json"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(named)) as error:
        load_tokenizer(file)
    assert str(file) in str(error.value) and "\n" not in str(error.value)
    assert "name a tokenizer.json" in str(error.value)


def test_a_file_that_is_not_there_or_a_folder_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="is not there; name a tokenizer"):
        load_tokenizer(tmp_path / "none.json")
    with pytest.raises(ValueError, match="cannot be read"):
        load_tokenizer(tmp_path)


def test_no_place_reads_a_tokenizer_file_by_itself():
    # chapter 15 shows that its files need nothing of ours
    alone = {"lib/data/tokenizer_files.py", "notebooks/15_tokenizer_distillation.py"}
    found = {
        place.relative_to(ROOT).as_posix()
        for folder in ("lib", "notebooks", "benchmarks", "book")
        for place in Path(ROOT, folder).rglob("*.py")
        if re.search(r"\bTokenizer\.from_(file|pretrained|buffer)\(",
                     place.read_text("utf-8"))
    }
    assert found <= alone


def test_a_file_on_which_the_library_panics_is_refused_like_any_other():
    short = {"type": "BPE", "continuing_subword_prefix": "####",
             "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}
    with pytest.raises(ValueError, match=r"mine\.json holds no tokenizer"):
        parse_tokenizer(json.dumps({"version": "1.0", "model": short}), "mine.json")
