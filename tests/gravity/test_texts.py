"""Texts and tokenizers of Part II: round trips, references, refusals."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import data
from lib.gravity.texts import Text, ids_of, load_text, pieces
from lib.gravity.tokenizers import (
    BpeTokens,
    CharTokens,
    TiktokenTokens,
    Tokens,
    from_json,
    tokens_of,
)
from tests.real_data import real

PLAY = data.text("tinyshakespeare")
STRINGS = ("", "Hello, world!", "안녕하세요", "🌌 stars", "a\n\n b\t c  \n", "don't",
           "<|endoftext|>", "é", "  two  spaces ", "\x00\x7f")
BPE = BpeTokens.train(PLAY[:100_000], 400)
GPT2 = {by: TiktokenTokens(by) for by in ("tiktoken", "tokenizers")}


def test_a_text_is_cut_nine_to_one_and_named_as_the_data_it_is():
    text = load_text("tinyshakespeare")
    assert text.train + text.valid == PLAY
    assert len(text.train) == int(0.9 * len(PLAY))
    assert text.name == data.describe("tinyshakespeare")


def test_a_file_is_a_text_of_its_own(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("가나다라마바사아자차", encoding="utf-8")
    cut = Text("가나다라마바사아자", "차", "mine.txt")
    assert load_text("tinyshakespeare", file) == cut


@pytest.mark.parametrize("stored", [
    "\ufeffone\ntwo\n".encode(), b"one\r\ntwo\r\n", b"one\rtwo\r",
])
def test_a_mark_in_front_and_other_line_ends_are_no_part_of_a_text(tmp_path, stored):
    file = tmp_path / "mine.txt"
    file.write_bytes(stored)
    text = load_text("tinyshakespeare", file)
    assert text.train + text.valid == "one\ntwo\n"


@pytest.mark.parametrize(("stored", "said"), [
    (None, "is a folder; name one text file in UTF-8"),
    ("one two".encode("utf-16"), "is in UTF-16; save it as UTF-8, or name another"),
    ("가나다".encode("cp949"), r"is not in UTF-8 \(byte 0\); save it as UTF-8"),
    (b"one\0two", "has a NUL at character 3 and is no text"),
    (b" \n", "is empty; name a file with text in it"),
])
def test_what_is_no_text_is_refused_in_one_sentence(tmp_path, stored, said):
    file = tmp_path / "mine"
    file.mkdir() if stored is None else file.write_bytes(stored)
    with pytest.raises(ValueError, match=said):
        load_text("tinyshakespeare", file)


def test_wikitext2_names_the_data_it_learns_from_and_is_judged_on():
    text = real(load_text, "wikitext2")
    rows = ("wikitext2_test", "wikitext2_valid")
    assert (text.train, text.valid) == tuple(map(data.text, rows))
    learn, judge = map(data.describe, rows)
    assert text.name == f"{learn}, judged on {judge}"


def test_wikitext103_is_cut_where_an_article_begins(monkeypatch):
    article = " = Title = \n \n words and words \n \n = = Part = = \n \n more \n \n"
    monkeypatch.setattr(data, "text", {"wikitext103": article * 300}.get)
    monkeypatch.setattr(data, "describe", {"wikitext103": "WikiText-103"}.get)
    text = load_text("wikitext103")
    assert text.valid.startswith(" = Title = \n")
    assert text.train + text.valid == article * 300
    assert 0 < len(text.valid) <= 3 * len(article)
    assert text.name.startswith("WikiText-103 (")


@pytest.mark.parametrize(("make", "said"), [
    (lambda tmp: load_text("wikitext"), "wikitext2, wikitext103, or name a file"),
    (lambda tmp: load_text("x", tmp / "none.txt"), "none.txt is no file; name"),
    (lambda tmp: load_text("x", _file(tmp, b"\xff")), "is not in UTF-8 (byte 0)"),
    (lambda tmp: load_text("x", _file(tmp, b" \n")), "is empty; name a file"),
    (lambda tmp: tokens_of("bpee", "x"), "'bpee' is not known; use one of char"),
    (lambda tmp: tokens_of("bpe", "x", 100), "bpe_vocab_size is 100; use 256 or more"),
    (lambda tmp: tokens_of("bpe", "", 300), "an empty text teaches no merges"),
    (lambda tmp: tokens_of("char", ""), "an empty text has no characters"),
    (lambda tmp: tokens_of("bpe", "x", 300, _file(tmp, b"{}")), "holds no tokenizer: "),
    (lambda tmp: BPE.decode([400]), "id 400 is not in the vocabulary of 400"),
    (lambda tmp: CharTokens.of("ab").decode([-1]), "id -1 is not in the vocabulary"),
    (lambda tmp: TiktokenTokens().decode([50257]), "id 50257 is not in the vocabulary"),
    (lambda tmp: from_json({"kind": "wordpiece"}), "'wordpiece' is not known"),
    (lambda tmp: from_json({}), "this tells of no tokenizer: {}"),
    (lambda tmp: CharTokens("aab"), "wants each of its characters once"),
])
def test_wrong_use_is_one_sentence(tmp_path, make, said):
    with pytest.raises(ValueError) as caught:
        make(tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def _file(folder, content):
    (folder / "given").write_bytes(content)
    return folder / "given"


def test_characters_never_seen_are_shown_and_not_replaced():
    tokens = CharTokens.of("the cat sat")
    with pytest.raises(ValueError, match=r"never saw '한' \(U\+D55C\), 'b' .*use a"):
        tokens.encode("the 한 bat 한")
    with pytest.raises(ValueError, match=r"and 21 more;"):
        tokens.encode("".join(map(chr, range(0xAC00, 0xAC00 + 26))))


@pytest.mark.parametrize(
    "tokens", [BPE, GPT2["tiktoken"], CharTokens.of("".join(STRINGS))],
    ids=["bpe", "tiktoken", "char"],
)
def test_what_is_encoded_decodes_to_itself_also_after_json(tokens):
    again = from_json(tokens.to_json())
    assert isinstance(tokens, Tokens)
    assert (again.vocab, again.name) == (tokens.vocab, tokens.name)
    for text in STRINGS:
        ids = tokens.encode(text)
        assert tokens.decode(ids) == text
        assert again.encode(text) == ids
        assert all(0 <= i < tokens.vocab for i in ids)


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_byte_pairs_know_every_text(text):
    assert BPE.decode(BPE.encode(text)) == text


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab 'st\n\t.,1 가🌌é"), max_size=40))
def test_both_makers_of_gpt2_tokens_agree(text):
    ours, theirs = GPT2.values()
    assert ours.encode(text) == theirs.encode(text)
    assert theirs.decode(ours.encode(text)) == text


def test_gpt2_ids_are_those_of_its_own_tokenizer_and_the_maker_is_named():
    reference = data.gpt2_tokenizer()
    text = PLAY[5000:25000] + " 안녕하세요 🌌"
    for by, tokens in GPT2.items():
        assert tokens.encode(text) == reference.encode(text).ids
        assert tokens.name.endswith(f"({by})")
        assert tokens.decode(tokens.encode("<|endoftext|>")) == "<|endoftext|>"
        assert len(tokens.encode("<|endoftext|>")) > 1  # text is never a control sign
        assert tokens.decode([50256]) == "<|endoftext|>"


@pytest.mark.slow
@pytest.mark.parametrize("tokens", [CharTokens.of(PLAY), BPE, GPT2["tiktoken"]],
                         ids=["char", "bpe", "tiktoken"])
def test_labels_are_one_line_each_and_say_what_a_token_is(tokens):
    labels = tokens.labels()
    assert len(labels) == tokens.vocab
    assert all(label and label.isprintable() and " " not in label for label in labels)
    told = [labels[i] for i in tokens.encode("\n")]
    assert told == ["⏎"]


def test_a_trained_tokenizer_is_kept_and_loaded_instead_of_trained(tmp_path):
    file = tmp_path / "inner" / "bpe.json"
    first = tokens_of("bpe", PLAY[:20_000], 300, file)
    again = tokens_of("bpe", "another text", 4000, file)
    assert first.vocab == 300
    assert again.to_json() == first.to_json()
    assert [p.name for p in file.parent.iterdir()] == ["bpe.json"]


def test_a_tokenizer_that_has_an_unknown_token_refuses_too():
    from tokenizers import Tokenizer, models

    model = models.BPE({"<unk>": 0, "a": 1}, [], unk_token="<unk>")
    tokens = BpeTokens(Tokenizer(model))
    assert tokens.encode("a") == [1]
    with pytest.raises(ValueError, match=r"'bpe' never saw 'z' \(U\+007A\)"):
        tokens.encode("az")


@pytest.mark.parametrize("tokens", [BPE, GPT2["tiktoken"]], ids=["bpe", "tiktoken"])
@settings(max_examples=80, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab' \n\n=.가"), max_size=60))
def test_a_text_in_pieces_has_the_tokens_of_the_whole(tokens, text):
    assert "".join(pieces(text, 3)) == text
    apart = [i for piece in pieces(text, 3) for i in tokens.encode(piece)]
    assert apart == tokens.encode(text)


@pytest.mark.slow
def test_ids_of_a_long_text_are_those_of_its_tokenizer():
    assert next(pieces(PLAY)) != PLAY  # more than one piece
    ids = ids_of(PLAY, BPE)
    assert ids.dtype == torch.long
    assert ids.tolist() == BPE.encode(PLAY)
    assert ids_of("", BPE).shape == (0,)
