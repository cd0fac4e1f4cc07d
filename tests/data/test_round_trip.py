"""Other people's tokenizers: a text comes back as it was, or it is refused."""

import json
import random
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
)

from lib.data.round_trip import check_characters
from lib.gravity.model import LMConfig, build
from lib.gravity.texts import ids_of
from lib.gravity.tokenizers import BpeTokens, CharTokens, TiktokenTokens, from_json
from lib.workbench.chat import ChatError, reply
from lib.workbench.ngt.training import Options, check, prepare

TEXT = "First Citizen: speak, speak.\nAll: We know't.\n" * 30


def trained(**parts) -> Tokenizer:
    """A byte-level BPE of another program, with some parts of its own."""
    tokenizer = Tokenizer.from_str(BpeTokens.train(TEXT, 290).to_json()["tokenizer"])
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    return tokenizer


def answer(tokens, prompt):
    """What a small model answers."""
    config = LMConfig(vocab=tokens.vocab, context=8, d_model=8, n_layers=1, n_heads=2,
                      d_coord=4)
    return reply(build(config, 0), tokens, prompt, 3)


def without(letter: str) -> Tokenizer:
    """One that has no piece for a letter and no unknown piece either."""
    spec = json.loads(trained().to_str())
    spec["model"]["merges"] = []
    pieces = [p for p in spec["model"]["vocab"] if len(p) == 1 and p != letter]
    spec["model"]["vocab"] = {piece: i for i, piece in enumerate(pieces)}
    return Tokenizer.from_str(json.dumps(spec))


def unigram(unknown: int | None) -> Tokenizer:
    letters = sorted(set(TEXT) - set("z"))
    scores = [("<unk>", 0.0), *((letter, -2.0) for letter in letters), ("ea", -3.0)]
    return Tokenizer(models.Unigram(scores, unknown, False))


@pytest.mark.parametrize(("tokenizer", "text", "said"), [
    (trained(normalizer=normalizers.Lowercase()), TEXT,
     "'First Citize' comes back as 'first citize' (its normalizer Lowercase)"),
    (trained(normalizer=normalizers.NFKC()), "speak ﬁrst",
     r"from character 7 on, '\ufb01rst' comes back as 'first' (its normalizer NFKC)"),
    (trained(normalizer=normalizers.NFC()), "cafe\u0301",
     r"from character 4 on, 'e\u0301' comes back as '\xe9' (its normalizer NFC)"),
    (trained(normalizer=normalizers.Sequence(
        [normalizers.NFD(), normalizers.StripAccents()])), "cafe\u0301",
     r"'\u0301' comes back as '' (its normalizer NFD, StripAccents)"),
    (trained(normalizer=normalizers.Strip()), " speak\n",
     "from character 1 on, ' speak\\n' comes back as 'speak'"),
    (trained(pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True)), "speak",
     "'speak' comes back as ' speak' (it puts a blank in front of every text)"),
    (without("z"), "citizen", "from character 5 on, 'zen' comes back as 'en'"),
    (unigram(0), "Citizen", "never saw 'z' (U+007A); train one anew"),
])
def test_a_tokenizer_that_changes_a_text_refuses_it(tmp_path, tokenizer, text, said):
    tokenizer.save(str(tmp_path / "theirs.json"))
    tokens = BpeTokens.load(tmp_path / "theirs.json")
    for again in (tokens, from_json(tokens.to_json())):
        with pytest.raises(ValueError, match=re.escape(said)) as error:
            again.encode(text)
        assert "\n" not in str(error.value)


def test_a_text_that_comes_back_is_taken_also_from_such_a_tokenizer():
    lower = BpeTokens(trained(normalizer=normalizers.Lowercase()))
    assert lower.decode(lower.encode("speak, 안녕")) == "speak, 안녕"
    with pytest.raises(ChatError, match="'Speak' comes back as 'speak'"):
        answer(lower, "Speak")
    composed = BpeTokens(trained(normalizer=normalizers.NFC()))  # as Qwen's
    assert composed.decode(composed.encode(TEXT)) == TEXT


@pytest.mark.parametrize("part", ["train", "valid"])
def test_a_training_refuses_a_tokenizer_that_changes_either_part(tmp_path, part):
    trained(normalizer=normalizers.Lowercase()).save(str(tmp_path / "lower.json"))
    lower = TEXT.lower()
    text = tmp_path / "text.txt"
    text.write_text("Speak" + lower if part == "train" else lower + "Speak")
    options = check(Options(
        tokenizer="bpe", tokenizer_path=str(tmp_path / "lower.json"),
        data_path=str(text), block_size=8, checkpoint_path=str(tmp_path / "run"),
    ))
    with pytest.raises(ValueError, match=r"'Speak.*' comes back as 'speak"):
        prepare(options)
    text.write_text(lower)
    assert prepare(options).tokens.decode(prepare(options).train_ids[:30].tolist())


@pytest.mark.slow
def test_the_place_in_a_long_text_is_told():
    lower = BpeTokens(trained(normalizer=normalizers.Lowercase()))
    line = TEXT.lower()
    long = line * (1_100_000 // len(line))
    with pytest.raises(ValueError, match=r"after the first 1,048,\d+ characters, the"):
        ids_of(long + "\nAnd", lower)


@pytest.mark.parametrize("tokenizer", [
    trained(decoder=decoders.WordPiece()),
    Tokenizer.from_str(json.dumps(json.loads(unigram(0).to_str()) | {
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "split": True,
                          "prepend_scheme": "always"},
        "decoder": {"type": "Metaspace", "replacement": "▁", "split": True,
                    "prepend_scheme": "always"},
        "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": False,
                  "vocab": [["<unk>", 0.0], ["▁speak", -1.0], ["a", -2.0]]},
    })),
    Tokenizer.from_str(json.dumps(json.loads(Tokenizer(models.BPE(
        {"a": 0, "b": 1, "a</w>": 2}, [], end_of_word_suffix="</w>")).to_str()) | {
        "decoder": {"type": "BPEDecoder", "suffix": "</w>"},
    })),
])
def test_a_tokenizer_that_cannot_write_piece_by_piece_is_refused(tmp_path, tokenizer):
    tokenizer.save(str(tmp_path / "theirs.json"))
    with pytest.raises(ValueError, match=r"theirs.json cannot be used: the tokenizer "
                       r"cannot write a text piece by piece: .* twice becomes"):
        BpeTokens.load(tmp_path / "theirs.json")


def test_ids_with_holes_keep_their_numbers():
    tokens = BpeTokens(Tokenizer(models.BPE({"a": 0, "b": 5}, [])))
    assert tokens.vocab == 6  # rows that a model needs
    assert tokens.encode("ab") == [0, 5]
    assert tokens.decode([0, 3, 5]) == "ab"
    assert tokens.labels() == ["a", *4 * ["<unused>"], "b"]
    with pytest.raises(ValueError, match="2 pieces and ids up to 9,999; name one"):
        BpeTokens(Tokenizer(models.BPE({"a": 0, "b": 9999}, [])))


def test_a_tokenizer_without_a_pre_tokenizer_keeps_letters_beyond_ascii():
    tokens = BpeTokens(Tokenizer(models.BPE({"a": 0, "é": 1, "aé": 2}, [("a", "é")])))
    assert tokens.encode("aéa") == [2, 0]
    assert tokens.decode([2, 0]) == "aéa"
    assert tokens.labels() == ["a", "é", "aé"]


@pytest.mark.parametrize("tokens", [
    BpeTokens(trained()), TiktokenTokens("tiktoken"), TiktokenTokens("tokenizers"),
    CharTokens.of("abc\ufffd"),
], ids=["bpe", "tiktoken", "tokenizers", "char"])
@pytest.mark.parametrize(("text", "said"), [
    ("a\udcc7\udcd1", "byte C7 at character 2 begins no character"),
    ("abc\ud83d", r"character 4 is half of one (U+D83D)"),
])
def test_what_no_utf8_can_say_is_refused_and_never_replaced(tokens, text, said):
    with pytest.raises(ValueError, match=re.escape(f"is not in UTF-8: {said}; set")):
        tokens.encode(text)
    with pytest.raises(ChatError, match=re.escape(said)):
        answer(tokens, text)


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(codec=None)))
@example("\ud800")
def test_refused_is_exactly_what_cannot_be_written_to_a_file(text):
    try:
        text.encode()
    except UnicodeEncodeError:
        with pytest.raises(ValueError, match="is not in UTF-8"):
            check_characters(text)
    else:
        check_characters(text)


def test_control_signs_in_a_text_are_characters():
    tokenizer = trained()
    tokenizer.add_special_tokens(["<eos>", "<pad>", AddedToken("<mask>", lstrip=True)])
    tokens = BpeTokens(tokenizer)
    control = {tokenizer.token_to_id(sign) for sign in ("<eos>", "<pad>", "<mask>")}
    for again in (tokens, from_json(tokens.to_json())):
        for text in ("<eos>", "5<pad>", "speak  <mask> all", "<|endoftext|>"):
            ids = again.encode(text)
            assert not control & set(ids)
            assert again.decode(ids) == text
    # and the unknown sign of a small vocabulary is refused when it is typed
    poor = unigram(0)
    poor.add_special_tokens(["<unk>"])
    with pytest.raises(ValueError, match=r"never saw '<'.*, '>'"):
        BpeTokens(poor).encode("speak <unk>")


@pytest.mark.slow
@pytest.mark.parametrize("blanks", [
    " " * 1_000_000, "".join(random.Random(1).choices(" \t\n", k=1_000_000)),
], ids=["spaces", "mixed"])
def test_a_million_blanks_have_the_ids_of_gpt2s_own_tokenizer(blanks):
    text = blanks + "speak"
    ids = TiktokenTokens("tiktoken").encode(text)
    assert ids == TiktokenTokens("tokenizers").encode(text)
    assert TiktokenTokens("tiktoken").decode(ids) == text


def test_just_below_that_length_tiktoken_itself_answers():
    tokens = TiktokenTokens("tiktoken")
    text = " " * 99_999 + "x"
    assert tokens.encode(text) == TiktokenTokens("tokenizers").encode(text)
