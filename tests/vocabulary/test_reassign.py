"""Rules that are checked line by line, and the tokenizer that they make."""

import json
import random
from functools import cache

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from lib import data
from lib.exercises.reassign import TOY, toy_tokenizer
from lib.tokens import sound_cuts as exactness
from lib.tokens.distill import (
    closed_form_scores,
    count_words,
    distill,
    piece_bytes,
    to_chars,
    unigram_tokenizer,
    whole_pieces,
)
from lib.vocabulary.reassign import (
    Rule,
    RuleError,
    check_rules,
    kept_text,
    left_whole,
    read_rules,
    remap_tokenizer,
    shown_piece,
    unigram_pieces,
    unigram_scores,
    write_rules,
)
from tests.real_data import real

KOREAN = "영화가 정말 재미있어요. 이 영화 최고! ㅋㅋㅋ 10점 만점에 10점"


@cache
def gpt2():
    """GPT-2's pieces with closed-form scores: a Unigram without any learning."""
    teacher = real(data.gpt2_tokenizer)
    counts = count_words(teacher, [KOREAN, "the cat"])
    start = closed_form_scores(teacher, counts, [[0]] * len(counts))
    scores = whole_pieces(piece_bytes(teacher), start["-log(rank + 300)"])
    return unigram_tokenizer(teacher, scores)


@cache
def gpt2_rules():
    pieces = unigram_pieces(gpt2())
    new = ["영화", " 영화", "정말", "재미", "있어요", "ㅋㅋㅋ", "요", "qz", " 최고"]
    new = [piece.encode() for piece in new] + ["뷁".encode()[:2]]
    old = [i for i in range(50256, 0, -1) if len(pieces[i]) > 4][:len(new)]
    return tuple(Rule(i, pieces[i], piece) for i, piece in zip(old, new, strict=True))


@cache
def gpt2_remapped():
    return remap_tokenizer(gpt2(), gpt2_rules())


def rules_file(folder, text):
    path = folder / "remap_rules.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


GOOD = '- {id: 259, old: "bana", new: "banana"}\n'
WRONG = {
    "no rules": ("# nothing\n", "remap_rules.yaml is empty"),
    "no bytes": ("", "remap_rules.yaml is empty"),
    "an empty list": ("[]", "remap_rules.yaml is empty"),
    "not UTF-8": (GOOD.encode() + b"# \xec\x98 \xff\n",
                  "line 2: byte 0xec is not UTF-8"),
    "UTF-16": (GOOD.encode("utf-16"), "line 1: byte 0xff is not UTF-8"),
    "not YAML": (GOOD + "- {id: 257, old: [\n", "line 3: this is not YAML"),
    "a quote that does not end": ('- {id: 259, old: "bana\n',
                                  "line 2: this is not YAML"),
    "a control character": (GOOD + "- {id: 258, old: \x07}", "line 2: the character"),
    "no list": ("id: 259\nold: bana\nnew: x1\n", "line 1: this is no list"),
    "a word": (GOOD + "- banana\n", "line 2: this is no rule"),
    "no id": (GOOD + "- {old: na, new: nan}\n", "line 2: id is missing"),
    "no new": (GOOD + "- id: 257\n  old: na\n", "line 2: new is missing"),
    "an unknown key": (GOOD + "- id: 257\n  alt: na\n", "line 3: 'alt' is not known"),
    "a list for a name": (GOOD + '- {[id]: 257, old: "na", new: "xy"}\n',
                          "line 2: a list or a table stands where a name is due"),
    "a key twice": (GOOD + "- id: 257\n  id: 258\n", "line 3: 'id' comes twice"),
    "an id in words": ("- {id: one, old: na, new: nan}\n", "line 1: id 'one' is no"),
    "an id below zero": ("- {id: -1, old: na, new: nan}\n", "line 1: id '-1' is no"),
    "an id past the end": ("- {id: 261, old: na, new: nan}\n", "line 1: id 261 is not"),
    "a list for a piece": ("- {id: 257, old: [na], new: nan}\n", "old is no text"),
    "an unknown token": (GOOD + '\n- {id: 257, old: "nan", new: "q1"}\n',
                         ('line 3: "nan" is not in the vocabulary; id 257 means '
                          '"na": write that as old, or the id of')),
    "another token's id": ("- {id: 257, old: an, new: nan}\n",
                           'line 1: id 257 means "na", and "an" has id 256'),
    "a special token": (GOOD + '- {id: 260, old: "<end>", new: "nan"}\n',
                        "line 2: <end> is a special token"),
    "a special token's text": ('- {id: 257, old: "<end>", new: "nan"}\n',
                               "line 1: <end> is a special token"),
    "a protected byte": ('- {id: 98, old: "b", new: "nan"}\n',
                         'line 1: "b" is a single byte'),
    "a byte in an alphabet": ('- {id: 236, old: !bytes "ì", new: "nan"}\n',
                              'line 1: !bytes "ì" is a single byte'),
    "a new piece that exists": (GOOD + "- {id: 257, old: na, new: an}\n",
                                'line 2: "an" is in the vocabulary already, with id'),
    "a new piece that goes": ("- {id: 257, old: na, new: an}\n" + GOOD,
                              'line 1: "an" is in the vocabulary already'),
    "the same new piece twice": (GOOD + "\n- {id: 257, old: na, new: banana}\n",
                                 'line 3: "banana" comes twice, here and in line 1'),
    "the same token twice": (GOOD + GOOD.replace("banana", "nan"),
                             "line 2: id 259 is given up twice, here and in line 1"),
    "an empty piece": ('- {id: 257, old: "na", new: ""}\n', "line 1: new is empty"),
    "nothing": ("- {id: 257, old: na, new: }\n", "line 1: new is empty"),
    "half a character": ('- {id: 257, old: "na", new: "\\uD83D"}\n',
                         "line 1: new holds U+D83D, half a character"),
    "no byte character": ('- {id: 257, old: "na", new: !bytes "영"}\n',
                          "line 1: '영' stands for no byte"),
    "a special token inside": ('- {id: 257, old: "na", new: "na<end>"}\n',
                               "line 1: \"na<end>\" holds the special token <end>"),
    "a border inside": ('- {id: 257, old: "na", new: "na na"}\n',
                        "would never be used, because text is cut into na |  na"),
}


@pytest.mark.parametrize("text, problem", WRONG.values(), ids=WRONG)
def test_wrong_rules_end_in_one_sentence_with_the_line(tmp_path, text, problem):
    path = rules_file(tmp_path, text)
    with pytest.raises(RuleError) as caught:
        read_rules(path, toy_tokenizer())
    told = str(caught.value)
    assert problem in told
    assert told.startswith("remap_rules.yaml")
    assert "\n" not in told
    assert list(tmp_path.iterdir()) == [path]


def test_rules_that_are_not_there_name_the_command(tmp_path):
    with pytest.raises(RuleError, match=r"not there; run \./setup_and_run\.sh run sel"):
        read_rules(tmp_path / "remap_rules.yaml", toy_tokenizer())


def test_more_rules_than_there_may_be_are_refused_at_the_first_too_many(tmp_path):
    path = rules_file(tmp_path, GOOD + "- {id: 257, old: na, new: nan}\n")
    with pytest.raises(RuleError, match="line 2: this is rule 2 and at most 1 may be"):
        read_rules(path, toy_tokenizer(), most=1)
    assert len(read_rules(path, toy_tokenizer(), most=2)) == 2


def test_a_bpe_is_refused():
    spec = json.loads(toy_tokenizer().to_str())
    vocab = {chars: i for i, (chars, _) in enumerate(spec["model"]["vocab"])}
    spec["model"] = {"type": "BPE", "vocab": vocab, "merges": []}
    bpe = Tokenizer.from_str(json.dumps(spec))
    with pytest.raises(RuleError, match="a BPE tokenizer came"):
        check_rules([Rule(256, b"an", b"nan")], bpe)


def test_rules_that_are_written_are_read_again(tmp_path):
    old = [TOY[i].encode() for i in TOY]
    whole = [" 영화", "\u2028\u2028", '\'"\'"', "\\\\"]
    parts = [b"\xec\x98", b"\x80abc", "영".encode() + b"\xed", b"\x00\xff"]
    for new in ([text.encode() for text in whole], parts):
        rules = [Rule(256 + n, *pair)
                 for n, pair in enumerate(zip(old, new, strict=True))]
        write_rules(rules, tmp_path / "rules.yaml")
        text = (tmp_path / "rules.yaml").read_text("utf-8")
        read = read_rules(tmp_path / "rules.yaml", toy_tokenizer())
        assert [(r.id, r.old, r.new) for r in read] == [
            (r.id, r.old, r.new) for r in rules]
        assert [r.line for r in read] == [6, 7, 8, 9]
        assert text.count("!bytes \"") == (len(new) if new is parts else 0)


@pytest.mark.parametrize("piece", [b" a", "영".encode(), b"\xec\x98", b"\x00", b"\xff"])
def test_a_shown_piece_says_which_bytes_it_is(piece):
    node = yaml.compose(shown_piece(piece), Loader=yaml.SafeLoader)
    assert (node.tag == "!bytes") == (kept_text(piece) is None)


# --- the tokenizer ---------------------------------------------------------------


@pytest.mark.slow
def test_size_and_every_other_id_stay():
    before, after = unigram_pieces(gpt2()), unigram_pieces(gpt2_remapped())
    taken = {rule.id: rule.new for rule in gpt2_rules()}
    assert after == [taken.get(i, piece) for i, piece in enumerate(before)]
    kept = [i for i in range(len(before)) if i not in taken]
    assert (unigram_scores(gpt2())[kept] == unigram_scores(gpt2_remapped())[kept]).all()
    assert gpt2_remapped().token_to_id("<|endoftext|>") == 50256


def test_every_new_piece_is_cut_into_itself():
    for rule in gpt2_rules():
        if (text := kept_text(rule.new)) is not None:
            assert gpt2_remapped().encode(text).ids == [rule.id]


def test_what_is_given_up_is_spelled_by_other_pieces():
    given_up = {rule.id for rule in gpt2_rules()}
    for rule in gpt2_rules():
        ids = gpt2_remapped().encode(rule.old.decode()).ids
        assert len(ids) > 1 and not given_up & set(ids)
        assert gpt2_remapped().decode(ids) == rule.old.decode()


WORDS = st.text("abqz0 \n.'영화점요ㅋ뷁é\U0001f600", min_size=0, max_size=6)
TEXTS = st.lists(st.one_of(WORDS, st.sampled_from(
    ["the ", " cats", "ization", "영화", " 정말", "10점", "ㅋㅋㅋㅋ", " unconditional"]
)), max_size=12).map("".join)


def uses_none(text):
    """Whether the text has neither a given-up id nor a new piece in its words."""
    if {rule.id for rule in gpt2_rules()} & set(gpt2().encode(text).ids):
        return False
    words = [word for word, _ in gpt2().pre_tokenizer.pre_tokenize_str(text)]
    return not any(to_chars(rule.new) in word for rule in gpt2_rules()
                   for word in words)


@settings(max_examples=300, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS)
def test_text_that_uses_neither_is_cut_as_before_and_all_text_comes_back(text):
    before, after = gpt2().encode(text).ids, gpt2_remapped().encode(text).ids
    if uses_none(text):
        assert after == before
    assert gpt2_remapped().decode(after) == text


def test_the_property_is_met_by_real_text_too():
    rng = random.Random(0)
    words = data.text("tinyshakespeare")[:200_000].split()
    texts = [" ".join(rng.choices(words, k=12)) for _ in range(500)]
    free = [text for text in texts if uses_none(text)]
    assert len(free) > 400
    for text in free:
        assert gpt2_remapped().encode(text).ids == gpt2().encode(text).ids


def test_new_pieces_make_their_text_shorter():
    before = len(gpt2().encode(KOREAN).ids)
    assert len(gpt2_remapped().encode(KOREAN).ids) < before


@pytest.mark.slow
def test_rules_of_the_exactness_layer_stay():
    cut = Tokenizer.from_str(gpt2().to_str())
    cut.pre_tokenizer = pre_tokenizers.Sequence([
        cut.pre_tokenizer, pre_tokenizers.Split(Regex(r"\Aq(?=zz\z)"), "isolated")])
    after = remap_tokenizer(cut, gpt2_rules())
    assert after.encode("qzz").tokens[0] == "q"  # the rule, although qz is a piece
    assert after.encode("qz").tokens == ["qz"]


def test_a_byte_without_a_piece_gets_one_and_is_no_longer_lost():
    spec = toy_tokenizer().to_str()
    poor = Tokenizer.from_str(spec.replace('["ć",-4.0]', '["xyz",-9.0]'))
    assert unigram_pieces(poor)[7] == b"xyz"
    lossy = Tokenizer.from_str(poor.to_str())
    lossy.pre_tokenizer = pre_tokenizers.Sequence([
        lossy.pre_tokenizer, pre_tokenizers.Split(Regex("[\\x{107}]"), "removed")])
    assert lossy.decode(lossy.encode("a\x07b").ids) == "ab"
    whole = remap_tokenizer(lossy, [Rule(257, TOY[257].encode(), b"\x07")])
    assert whole.decode(whole.encode("a\x07b").ids) == "a\x07b"
    assert whole.encode("ban").ids == lossy.encode("ban").ids


def test_transformers_loads_what_was_saved(tmp_path):
    gpt2_remapped().save(str(tmp_path / "tokenizer.json"))
    loaded = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    ids = loaded(KOREAN)["input_ids"]
    assert ids == gpt2_remapped().encode(KOREAN).ids
    assert loaded.decode(ids) == KOREAN
    assert len(loaded) == 50257


@pytest.mark.slow
def test_a_learned_teacher_with_its_layer_can_be_reassigned():
    unigram = distill(data.gpt2_tokenizer(), [KOREAN] * 3, passes=2, made_items=5,
                      bar=False).tokenizer
    # the layer foresees runs of one sign, and cuts them before pieces are looked for
    runs = "ㅋㅋㅋ".encode()
    with pytest.raises(RuleError, match=r"cut into ㅋㅋ \| ㅋ before"):
        remap_tokenizer(unigram, gpt2_rules())
    rules = tuple(rule for rule in gpt2_rules() if rule.new != runs)
    after = remap_tokenizer(unigram, rules)
    assert after.decode(after.encode(KOREAN).ids) == KOREAN
    assert len(after.encode(KOREAN).ids) < len(unigram.encode(KOREAN).ids)


def test_pieces_that_a_rule_would_break_are_left_out():
    exact = exactness.with_rules(gpt2(), [exactness.Rule(" app", "aut")])
    asked = [b" appauthor", b" apple", b"two words", "영".encode()[:2]]
    assert left_whole(exact, asked) == [b" apple", "영".encode()[:2]]
    assert left_whole(gpt2(), asked) == [b" appauthor", b" apple", "영".encode()[:2]]
