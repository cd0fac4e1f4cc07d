"""One tokenizer in four forms, as transformers, a browser and llama.cpp read them."""

import json
import unicodedata
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from lib import data
from lib.tokens.bytelevel import count_words, piece_bytes, to_bytes
from lib.tokens.distill import bpe_cuts, closed_form_scores, unigram_tokenizer
from lib.tokens.export import (
    ExportError,
    Frame,
    bare_unigram,
    charsmap,
    for_every_reader,
    frame_of,
    llama_pattern,
    write_unigram_gguf,
)
from lib.tokens.forms import KEEPS, ids_of, prove, write_folder, write_forms
from lib.tokens.odd_strings import LONGEST_RUN, odd_strings, readable
from lib.tokens.runtimes import RuntimeRefusal, browser_ids, llama_ids
from lib.tokens.scores import whole_pieces
from lib.tokens.sound_cuts import Rule, with_rules
from tests.real_data import gpt2, real
from tests.runtimes import all_readers

SAMPLE = odd_strings(1200)


@cache
def small_json() -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(["the cat sat, 영화가 12"] * 3, trainers.BpeTrainer(
        vocab_size=290, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<end>"], show_progress=False))
    return tokenizer.to_str()


def small() -> Tokenizer:
    """A byte-level BPE of 290 pieces."""
    return Tokenizer.from_str(small_json())


def unigram_of(bpe: Tokenizer) -> Tokenizer:
    """A Unigram with closed-form scores and two rules."""
    counts = count_words(bpe, ["the cat", "영화"])
    start = closed_form_scores(bpe, counts, bpe_cuts(bpe, list(counts)))
    scores = whole_pieces(piece_bytes(bpe), start["-log(rank + 300)"])
    rules = [Rule(" c", "at"), Rule("ab", "cd", whole=True)]
    return with_rules(unigram_tokenizer(bpe, scores), rules)


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    all_readers()
    folder = tmp_path_factory.mktemp("forms")
    unigram = unigram_of(small())
    assert write_forms(unigram, small(), folder, rows=300) == ""
    return folder, unigram


def test_the_sample_holds_what_runtimes_are_apt_to_read_differently():
    whole = "".join(SAMPLE)
    used = {*readable(whole).encode()}
    assert used == {*range(0xF5)} - {0xC0, 0xC1}  # every byte of UTF-8
    assert max(map(len, SAMPLE)) == LONGEST_RUN
    assert any("\ud800" <= char <= "\udfff" for char in whole)
    assert any(unicodedata.category(char) == "So" for char in whole)
    assert len({*SAMPLE}) == len(SAMPLE) and odd_strings(1200) == SAMPLE
    with pytest.raises(ValueError, match=r"10 strings came, and .* ask for more"):
        odd_strings(10)


def test_every_reader_gives_the_ids_that_the_form_promises(forms):
    folder, unigram = forms
    proofs = list(prove(folder, unigram, small(), SAMPLE))
    assert {(proof.form, proof.reader) for proof in proofs} == {
        ("unigram", "transformers"), ("unigram", "browser"),
        ("unigram.gguf", "llama.cpp"), ("merges", "transformers"),
        ("merges", "browser"), ("merges.gguf", "llama.cpp")}
    assert {proof.form for proof in proofs} == {*KEEPS}
    assert all(proof.texts + proof.others == len(SAMPLE) for proof in proofs)
    assert [proof.others for proof in proofs] == [0, 0, 1, 0, 0, 0]  # "\0\0\0"


def test_another_tokenizer_than_the_one_written_is_found_out(forms):
    folder, _ = forms
    with pytest.raises(ExportError, match=(
            "transformers reads unigram differently: 1 of 2 texts get other ids than "
            "here, such as ' the cat'; nothing is exported")):
        list(prove(folder, small(), small(), ["the", " the cat"]))


def test_llama_reads_a_text_as_the_unigram_without_words_and_rules(forms):
    folder, unigram = forms
    texts = ["cat12", " the cat", "\0", "\0\0", "<end>a"]
    ours = llama_ids(folder / "unigram.gguf", texts)
    zero = unigram.token_to_id("Ā")
    assert ours[:2] == ids_of(bare_unigram(unigram), texts[:2])
    assert ours[1] != ids_of(unigram, texts)[1]  # which has a rule
    assert ours[2:] == [[zero], [zero], [0, unigram.token_to_id("a")]]


def test_a_vocabulary_without_some_bytes_leaves_them_out_in_llama_too(tmp_path):
    all_readers()
    spec = json.loads(unigram_of(small()).to_str())
    bell = small().token_to_id("ć")  # U+0007
    spec["model"]["vocab"][bell] = ["zqzq", -99.0]
    spec["pre_tokenizer"]["pretokenizers"].append(
        {"type": "Split", "pattern": {"Regex": "ć"}, "behavior": "Removed",
         "invert": False})
    lacking = Tokenizer.from_str(json.dumps(spec))
    write_unigram_gguf(lacking, tmp_path / "u.gguf", Frame({}))
    texts = ["a\x07b", "\x07", " \x07 c"]
    assert llama_ids(tmp_path / "u.gguf", texts) == ids_of(bare_unigram(lacking), texts)
    write_folder(lacking, tmp_path / "f")
    assert browser_ids(tmp_path / "f/tokenizer.json", texts) == ids_of(lacking, texts)


def test_the_map_of_characters_gives_each_byte_its_letter():
    table = charsmap(b"\x07")
    size = int.from_bytes(table[:4], "little")
    nodes = memoryview(table[4:4 + size]).cast("I").tolist()
    ends = table[4 + size:]
    for byte in range(1, 256):  # as llama.cpp walks it
        at = (nodes[0] >> 10) ^ byte
        assert nodes[at] & 0xFF == byte and nodes[at] >> 8 & 1
        place = nodes[at ^ (nodes[at] >> 10)] & (1 << 31) - 1
        letter = ends[place:ends.index(b"\0", place)].decode()
        assert to_bytes(letter) == (b"" if byte == 7 else bytes([byte]))


@cache
def dialects():
    """Two tokenizers, each as it is and in the shared dialect."""
    digits = small()
    digits.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return [(one, for_every_reader(one)) for one in (small(), digits)]


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_the_shared_dialect_changes_no_id(text):
    for tokenizer, shared in dialects():
        assert shared.encode(text).ids == tokenizer.encode(text).ids


@pytest.mark.parametrize("stage", [
    pre_tokenizers.Metaspace(), pre_tokenizers.ByteLevel(add_prefix_space=True),
    pre_tokenizers.Split(" ", "merged_with_next")])
def test_a_stage_that_browsers_read_differently_is_refused(stage, tmp_path):
    tokenizer = small()
    tokenizer.pre_tokenizer = stage
    kind = type(stage).__name__
    with pytest.raises(ExportError, match=(
            rf"its pre-tokenizer has a stage {kind} \(.*\), which the library for "
            "browsers reads differently; use a tokenizer of ByteLevel, Digits and")):
        write_folder(tokenizer, tmp_path)
    assert not [*tmp_path.iterdir()]


def test_llama_has_a_name_for_the_pre_tokenizers_of_known_models():
    assert llama_pattern(small()) == "gpt-2"
    digits = small()
    digits.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False)])
    assert llama_pattern(digits) == "smollm"
    whole = json.loads(small_json())
    whole["model"]["ignore_merges"] = True
    with pytest.raises(ExportError, match="has no name for its pre-tokenizer"):
        llama_pattern(Tokenizer.from_str(json.dumps(whole)))


def test_special_tokens_and_the_chat_template_go_along(tmp_path):
    source = real(data.path, "smollm2")
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    write_folder(tokenizer, tmp_path, source)
    frame = frame_of(tokenizer, tmp_path)
    assert frame.ids == {"bos": 1, "eos": 2, "unk": 0, "pad": 2}
    assert not frame.begins and not frame.ends and "im_start" in frame.template
    config = json.loads((tmp_path / "tokenizer_config.json").read_text("utf-8"))
    assert config["clean_up_tokenization_spaces"] is False
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"


def test_what_a_reader_cannot_read_is_told_in_a_sentence(tmp_path):
    all_readers()
    file = tmp_path / "model.gguf"
    file.write_bytes(b"no model")
    with pytest.raises(RuntimeRefusal, match=r"^llama does not read model.gguf: .*; "):
        llama_ids(file, ["a"])
    (tmp_path / "tokenizer.json").write_text("{", "utf-8")
    (tmp_path / "tokenizer_config.json").write_text("{}", "utf-8")
    with pytest.raises(RuntimeRefusal, match=r"^browser does not read tokenizer"):
        browser_ids(tmp_path / "tokenizer.json", ["a"])


@pytest.mark.slow
def test_ten_thousand_strings_are_the_same_for_every_reader(forms):
    folder, unigram = forms
    texts = odd_strings()
    assert len(texts) == 10_000
    assert len(list(prove(folder, unigram, small(), texts))) == 6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt2", "qwen3", "llama3_1"])
def test_vocabularies_of_real_models_are_the_same_for_every_reader(name, tmp_path):
    all_readers()
    teacher = gpt2() if name == "gpt2" else Tokenizer.from_file(
        str(real(data.path, f"tokenizer_{name}")))
    unigram = unigram_of(teacher)
    assert write_forms(unigram, teacher, tmp_path) == ""
    assert len(list(prove(tmp_path, unigram, teacher, SAMPLE))) == 6
