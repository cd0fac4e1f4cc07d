"""The tokenizer bench cuts as Python does, and its reasons are those of lib.tokens."""

import json
import os
import random
from functools import cache
from itertools import combinations, pairwise

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from lib import data
from lib.tokens.bench import merges_text, reassigned_ids, rebuilt, unigram_parts
from lib.tokens.bytelevel import (
    count_words,
    merge_ranks,
    piece_bytes,
    to_bytes,
    to_chars,
)
from lib.tokens.certificates import all_cuts, demands, is_tie, opposite
from lib.tokens.distill import Distillation, bpe_cuts, unigram_tokenizer
from lib.tokens.forms import write_folder
from lib.tokens.lattice import build_lattices, build_trie, margins
from lib.tokens.mending import mend
from lib.tokens.neighbours import Neighbours
from lib.tokens.odd_strings import odd_strings, readable
from lib.tokens.runtimes import RuntimeRefusal, browser_ids
from lib.tokens.scores import QUANTUM, whole_pieces
from lib.tokens.sound_cuts import with_rules
from lib.vocabulary.reassign import (
    Rule,
    remap_tokenizer,
    unigram_scores,
)
from tests.live.node import computed
from tests.real_data import gpt2, real

LOAD = """
    for (const name of ["words", "merges", "lattice", "rules", "neighbours", "demands"])
      require(`./tokenizer/${name}.js`);
    const bench = bookLive.pure.tokenizer;
    const merges = bench.merges(input.merges);
    const model = bench.unigram(merges.pieces, input.scores.split(" ").map(Number));
    const rules = bench.rules(input.rules);
    """
NEW = ("영화", "습니다", " 그리고", "ㅋㅋㅋㅋ", "관람객", " 재미", "👋🏽", "하다")


@cache
def teacher():
    """GPT-2's tokenizer, to which `<|endoftext|>` in a text is text."""
    made = Tokenizer.from_str(gpt2().to_str())
    made.encode_special_tokens = True
    return made


@cache
def student():
    """A Unigram of GPT-2: scores from a formula, rules for what they get wrong."""
    texts = [real(data.text, "tinyshakespeare")[:20_000],
             real(data.text, "korean")[:6_000], "".join(map(chr, range(256)))]
    start = -np.log(merge_ranks(teacher()) + 300)
    scores = whole_pieces(piece_bytes(teacher()), start)
    bare = unigram_tokenizer(teacher(), scores)
    words = [word.decode() for word in count_words(teacher(), texts)]
    rules, _ = mend(teacher(), bare, words)
    return Distillation(with_rules(bare, rules), scores, {}, tuple(rules))


@cache
def remapped():
    """The same with the ids of eight rare pieces given to Korean ones."""
    before = student().tokenizer
    return remap_tokenizer(before, [
        Rule(n, to_bytes(before.id_to_token(n)), new.encode())
        for n, new in enumerate(NEW, 49_000)])


def small_json():
    """A BPE that numbers its pieces otherwise than GPT-2 does."""
    made = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return made.to_str()


@cache
def exported():
    return {"merges": merges_text(teacher()),
            **unigram_parts(student().tokenizer, student().rules),
            "changes": reassigned_ids(student().tokenizer, remapped())}


def ids_of(tokenizer, texts):
    tokenizer.encode_special_tokens = True
    return [one.ids for one in tokenizer.encode_batch([*map(readable, texts)])]


def test_all_ids_of_ten_thousand_strings_are_those_of_python():
    texts = [*odd_strings(9_990, pieces=NEW), *map("다. ".join, combinations(NEW, 3)),
             "<|endoftext|>", " 00822280", "ppp", "antidisestablish"][-10_000:]
    assert len(texts) == 10_000
    found = computed(f"""{LOAD}
        const after = bench.reassigned(model, input.changes);
        output = input.texts.map((text) => [bench.bpeIds(merges, text),
          bench.unigramIds(model, rules, text), bench.unigramIds(after, rules, text)]);
        """, exported() | {"texts": texts})
    for n, tokenizer in enumerate((teacher(), student().tokenizer, remapped())):
        python = ids_of(tokenizer, texts)
        both = zip(texts, found, python, strict=True)
        assert [text[:50] for text, here, there in both if here[n] != there] == []
    assert len(student().rules) > 20  # they took part
    assert sum(here[1] != here[2] for here in found) > 100


def test_what_is_exported_is_the_whole_tokenizer():
    texts = [text for text in odd_strings(900, seed=1, pieces=NEW) if len(text) < 99]
    again = rebuilt(teacher(), exported(), exported()["changes"])
    vocab, copy = (json.loads(t.to_str())["model"]["vocab"] for t in (
        remapped(), again))
    assert vocab[:-1] == copy[:-1]  # behind them stands the special token
    assert ids_of(again, texts) == ids_of(remapped(), texts)


def test_a_tokenizer_that_the_bench_cannot_read_is_refused():
    other = Tokenizer.from_str(small_json())
    with pytest.raises(ValueError, match="numbers its pieces otherwise than GPT-2"):
        merges_text(other)
    spec = json.loads(student().tokenizer.to_str())
    spec["model"]["vocab"][7][1] += 0.5
    with pytest.raises(ValueError, match="a score is no whole number"):
        unigram_parts(Tokenizer.from_str(json.dumps(spec)), [])


def test_the_library_for_browsers_agrees(tmp_path):
    texts = [text for text in odd_strings(900, seed=2) if len(text) < 99]
    write_folder(student().tokenizer, tmp_path)
    try:
        theirs = browser_ids(tmp_path / "tokenizer.json", texts)
    except RuntimeRefusal as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    ours = computed(f"""{LOAD}
        output = input.texts.map((text) => bench.unigramIds(model, rules, text));
        """, exported() | {"texts": texts})
    assert ours == theirs


def joined(word, ranks):
    """The pieces of a word in letters, by the definition."""
    cut = list(word)
    while pairs := [(ranks[pair], n) for n, pair in enumerate(pairwise(cut))
                    if pair in ranks]:
        n = min(pairs)[1]
        cut[n:n + 2] = [cut[n] + cut[n + 1]]
    return cut


def test_without_a_merge_the_others_join_by_their_ranks():
    words = [to_chars(word.encode()) for word in (
        "repositioned", " lighthouses", "마신다", "aaaaaaa", " unhappily")]
    steps = computed(f"""{LOAD}
        output = input.words.map((word) => bench.bpe(merges, word).steps.map(
          ({{ rank }}) => [rank, bench.bpe(merges, word, new Set([rank])).ids
            .map((id) => merges.pieces[id])]));""", exported() | {"words": words})
    listed = [tuple(line.split(" ")) for line in exported()["merges"].split("\n")]
    ranks = {pair: rank for rank, pair in enumerate(listed, 1)}
    for word, tried in zip(words, steps, strict=True):
        for rank, pieces in tried:
            left = {pair: n for pair, n in ranks.items() if n != rank}
            assert pieces == joined(word, left) != joined(word, ranks), (word, rank)
    assert sum(map(len, steps)) > 25


def test_the_steps_of_a_word_lead_from_its_bytes_to_its_tokens():
    counts = computed(f"""{LOAD}
        const word = bench.letters(" repositioned");
        const {{ steps, ids }} = bench.bpe(merges, word);
        output = [steps.map((_, n) => bench.after(merges, word, steps, n)),
          bench.after(merges, word, steps, steps.length), ids,
          steps.map(({{ rank }}) => rank)];
        """, exported())
    partly, last, ids, ranks = counts
    assert last == ids == teacher().encode(" repositioned").ids
    assert [len(path) for path in partly] == [*range(13, 13 - len(partly), -1)]
    assert ranks[0] == min(ranks)


def test_a_rule_is_sound_in_the_page_where_it_is_in_lib():
    pieces = piece_bytes(teacher())
    draw = random.Random(0)
    some = [piece for piece in pieces if 1 < len(piece) < 7]
    asked = [(draw.choice(some)[:draw.randint(1, 3)], draw.choice(some)[:draw.randint(
        1, 4)]) for _ in range(300)]
    asked += [(rule.prefix.encode(), rule.context.encode()) for rule
              in student().rules[::2] if not rule.whole]
    found = computed(f"""{LOAD}
        output = input.asked.map(([p, q]) => {{
          const {{ sound, leap, tries }} = bench.why(merges, p, q);
          const across = tries.filter(({{ id, start }}) => start >= p.length
            || start + merges.pieces[id].length <= p.length).length;
          return [sound, leap?.map((id) => merges.pieces[id]), across, tries.length];
        }});""", exported() | {"asked": [[to_chars(p), to_chars(q)] for p, q in asked]})
    beside = Neighbours(pieces, {
        (to_bytes(a), to_bytes(b)): n for n, (a, b) in enumerate(
            (line.split(" ") for line in exported()["merges"].split("\n")), 1)})
    for (prefix, context), (sound, leap, *_) in zip(asked, found, strict=True):
        assert sound == beside.sound(prefix, context), (prefix, context)
        if not sound:  # the chain is what BPE makes, and leaps over the place
            ids = [teacher().token_to_id(piece) for piece in leap]
            word = b"".join(pieces[n] for n in ids)
            assert bpe_cuts(teacher(), [word]) == [ids]
            assert word.startswith(prefix + context)
            assert len(prefix) not in np.cumsum([len(pieces[n]) for n in ids])
    assert 40 < sum(sound for sound, *_ in found) < len(found) - 40


def test_ties_certificates_and_margins_are_those_of_lib():
    pieces = [piece for piece in piece_bytes(teacher()) if piece]
    words = [b"ppp", b" 00822280", b" 00828082", b"hugs", b" the", b"etching"]
    golds = [tuple(pieces[i] for i in path) for path in bpe_cuts(teacher(), words)]
    found = computed(f"""{LOAD}
        const gold = (word) => bench.bpe(merges, word).ids;
        const [ppp, one, other] = input.words;
        output = {{
          cuts: input.words.map((word) => [bench.cuts(model, word).length,
            Number(bench.ways(model, word))]),
          ties: bench.cuts(model, ppp).filter((cut) =>
            bench.isTie(bench.demand(model, gold(ppp), cut))).length,
          opposite: bench.certificate(model, gold(one), bench.cuts(model, one)[0],
            [[other, gold(other)]])?.word === other,
          none: bench.certificate(model, gold(ppp), bench.cuts(model, ppp)[0],
            [[other, gold(other)]]),
          margins: input.words.map((word) => bench.margin(model, word, gold(word))),
        }};""", exported() | {"words": [*map(to_chars, words)]})
    vocabulary = {*pieces}
    listed = [len(all_cuts(word, vocabulary)) for word in words]
    assert found["cuts"] == [[n, n] for n in listed]
    assert found["ties"] == sum(map(is_tie, demands(golds[0], vocabulary))) == 1
    assert opposite(demands(golds[1], vocabulary), demands(golds[2], vocabulary))
    assert found["opposite"] and found["none"] is None
    trie = build_trie(piece_bytes(teacher()))
    scores = unigram_scores(student().tokenizer)
    lattices = build_lattices(trie, words, bpe_cuts(teacher(), words))
    np.testing.assert_array_equal(np.array(found["margins"]) * QUANTUM,
                                  margins(lattices, scores))
