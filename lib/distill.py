"""From BPE to Unigram with the same ids: labels, scores, fidelity, one file.

A byte-level BPE cuts each pre-token by its merges. A Unigram model has one score
a piece and takes the cut with the highest sum. The teacher's cuts of any text are
free, so the scores are learned from them: closed forms first, then
passive-aggressive steps over the lattices of `lib.lattice`.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tqdm import tqdm  # text on stderr: no widget stays behind on the page

from lib.bytelevel import (
    count_words,
    dropped_bytes,
    merge_ranks,
    merge_table,
    piece_bytes,
    to_bytes,
    to_chars,
)
from lib.exactness import mend, with_rules
from lib.gather import MADE, made
from lib.lattice import (
    Lattices,
    build_lattices,
    build_trie,
    margins,
    sweep,
    wrong_words,
)
from lib.recombine import recombined

__all__ = ["LONGEST", "QUANTUM", "STAGES",
           "Distillation", "Distilled", "bpe_cuts", "closed_form_scores",
           "count_words", "distill", "dropped_bytes", "learn_scores", "merge_ranks",
           "merge_table", "piece_bytes", "save_unigram", "to_bytes", "to_chars",
           "unigram_cuts", "unigram_tokenizer", "viterbi", "whole_pieces"]

LONGEST = 128  # bytes of the longest word that takes part in learning


def _cuts(tokenizer: Tokenizer, words: Sequence[bytes]) -> list[list[int]]:
    bare = Tokenizer(tokenizer.model)  # no pre-tokenizer: one word stays one word
    encodings = bare.encode_batch_fast([to_chars(word) for word in words])
    return [encoding.ids for encoding in encodings]


def bpe_cuts(teacher: Tokenizer, words: Sequence[bytes]) -> list[list[int]]:
    """The ids into which the teacher's merges cut each word: the labels."""
    return _cuts(teacher, words)


def unigram_cuts(student: Tokenizer, words: Sequence[bytes]) -> list[list[int]]:
    """The ids into which a saved Unigram model cuts each word, by `tokenizers`."""
    return _cuts(student, words)


def viterbi(word: bytes, scores: Mapping[bytes, float]) -> list[bytes]:
    r"""The segmentation of ``word`` with the highest sum of scores.

    $$ \\operatorname{best}(j) = \\max_{i<j}\\; \\operatorname{best}(i) +
       s(\\text{word}[i:j]) $$

    Of equal sums the one whose last piece is longest is kept, as in the Rust
    code of `tokenizers`. Written to be read; `lib.lattice` has the fast one.

    >>> viterbi(b"abab", {b"a": -1.0, b"b": -1.0, b"ab": -1.5})
    [b'ab', b'ab']

    Raises
    ------
    ValueError
        If no sequence of pieces spells the word.
    """
    best = [0.0] + [-np.inf] * len(word)
    came = [0] * (len(word) + 1)
    for i in range(len(word)):
        if best[i] == -np.inf:
            continue
        for j in range(i + 1, len(word) + 1):
            score = scores.get(word[i:j])
            if score is not None and best[i] + score > best[j]:
                best[j], came[j] = best[i] + score, i
    if best[-1] == -np.inf:
        raise ValueError(
            f"no pieces spell {word!r}; add its single bytes to the scores."
        )
    path, j = [], len(word)
    while j:
        path.append(word[came[j]:j])
        j = came[j]
    return path[::-1]


def closed_form_scores(
    teacher: Tokenizer, counts: Counter[bytes], labels: Sequence[Sequence[int]]
) -> dict[str, np.ndarray]:
    r"""Scores that need no learning, one array over the vocabulary each.

    $\\log((n_t + 1) / \\sum n)$ with $n_t$ the teacher's count of piece $t$ over
    the words of ``counts`` (cut as in ``labels``, same order); $-r_t$ with the
    merge rank; $-1$, which asks for the fewest pieces; $-\\log(r_t + 300)$.
    """
    ranks = merge_ranks(teacher)
    used = np.ones_like(ranks)
    for n, path in zip(counts.values(), labels, strict=True):
        for index in path:
            used[index] += n
    return {
        "log frequency": np.log(used / used.sum()),
        "-rank": -ranks,
        "-1": -np.ones_like(ranks),
        "-log(rank + 300)": -np.log(ranks + 300),
    }


@dataclass(frozen=True)
class Distilled:
    """Learned scores, and what each pass over the words met."""

    scores: np.ndarray
    history: list[dict[str, float | int]] = field(default_factory=list)


#: Margin, largest step and share of the passes, one row a stage.
STAGES = ((0.3, 1.0, 0.25), (0.1, 0.1, 0.25), (0.03, 0.01, 0.25), (0.01, 0.002, 0.25))

#: Scores are multiples of this: their sums are exact in float64, in any order, and
#: so few decimal digits survive every JSON parser.
QUANTUM = 2.0**-10


def learn_scores(
    words: Lattices,
    start: np.ndarray,
    passes: int = 60,
    seed: int = 0,
    stages: Sequence[tuple[float, float, float]] = STAGES,
    give_up: float = 0.1,
    watch: Callable[[np.ndarray], float] | None = None,
    bar: bool = True,
) -> Distilled:
    """Learn scores for which the best path of each word is its gold path.

    Margin and step shrink from stage to stage. Words far from their margin are
    looked at again every eighth pass only. From the half of the passes on, words
    whose gold path loses by more than ``give_up`` are left alone: no scores can
    please them all. The result is the mean over the last 30 % of the passes.

    Parameters
    ----------
    words
        Lattices with gold paths.
    start
        Scores to begin with, for instance a closed form.
    passes
        Passes over the words.
    seed
        Order of the words.
    stages
        Margin, largest step and share of the passes, one row a stage.
    give_up
        See above.
    watch
        Called with the scores after every fourth pass; what it returns stands in
        the history under ``"watched"``.
    bar
        Show a progress bar.

    Raises
    ------
    ValueError
        If there are no words or no passes.
    """
    if not len(words) or passes < 1:
        raise ValueError(
            f"{len(words)} words and {passes} passes came; learning needs at least one "
            "of each."
        )
    rng = np.random.default_rng(seed)
    scores = start.astype(np.float64).copy()
    total, summed = np.zeros_like(scores), 0
    seen = np.full(len(words), -np.inf)
    history: list[dict[str, float | int]] = []
    bounds = np.cumsum([share for *_, share in stages]) * passes
    active = np.arange(len(words))
    for n in tqdm(range(passes), desc="scores", disable=not bar, leave=False):
        stage = min(int(np.searchsorted(bounds, n, side="right")), len(stages) - 1)
        margin, rate, _ = stages[stage]
        if n % 8 == 0:
            active = np.arange(len(words))
        elif n % 8 == 1:
            active = np.flatnonzero(seen < 10 * margin + 0.1)
        off = give_up if 2 * n >= passes else np.inf
        moved = sweep(words, rng.permutation(active), scores, margin, rate, off, seen)
        history.append({"pass": n + 1, "margin": margin, "step": rate, "moved": moved,
                        "wrong": int((seen <= 0).sum())})
        if watch is not None and n % 4 == 3:
            history[-1]["watched"] = watch(scores)
        if n >= 0.7 * passes:
            total, summed = total + scores, summed + 1
    return Distilled(total / max(summed, 1), history)


def whole_pieces(
    pieces: Sequence[bytes], scores: np.ndarray, margin: float = 4 * QUANTUM
) -> np.ndarray:
    """Round to `QUANTUM`, and raise scores until every piece is cut into itself.

    A piece can only be beaten by shorter ones, so one pass by length is enough:
    each piece gets at least the best score of its parts plus ``margin``, which is a
    multiple of the quantum.
    """
    fixed = np.round(scores / QUANTUM) * QUANTUM
    trie = build_trie(pieces)
    by_length: dict[int, list[int]] = {}
    for index, piece in enumerate(pieces):
        by_length.setdefault(len(piece), []).append(index)
    for length in sorted(by_length):
        if length < 2:
            continue
        same = by_length[length]
        words = build_lattices(trie, [pieces[i] for i in same], [[i] for i in same])
        short = margin - margins(words, fixed)
        fixed[same] += np.maximum(short, 0)
    return fixed


def unigram_tokenizer(teacher: Tokenizer, scores: np.ndarray) -> Tokenizer:
    """The teacher with its merges taken out and one score a piece put in.

    Pre-tokenizer, decoder, special tokens and ids are the teacher's. Special
    tokens get a score far below all others. There is no unknown token: bytes without
    a piece, which the teacher drops, are taken out before the model sees them.
    """
    spec = json.loads(teacher.to_str())
    pieces = piece_bytes(teacher)
    low = float(scores.min()) - 1000.0
    names = {index: token.content
             for index, token in teacher.get_added_tokens_decoder().items()}
    vocab = [[to_chars(piece), float(scores[index])] if piece else [names[index], low]
             for index, piece in enumerate(pieces)]
    spec["model"] = {"type": "Unigram", "unk_id": None, "vocab": vocab,
                     "byte_fallback": False}
    if dropped := dropped_bytes(pieces):
        never = "[" + "".join(f"\\x{{{ord(c):x}}}" for c in to_chars(dropped)) + "]"
        removed = {"type": "Split", "pattern": {"Regex": never}, "behavior": "Removed",
                   "invert": False}
        stages = spec["pre_tokenizer"]
        stages = stages["pretokenizers"] if stages["type"] == "Sequence" else [stages]
        spec["pre_tokenizer"] = {"type": "Sequence",
                                 "pretokenizers": [*stages, removed]}
    return Tokenizer.from_str(json.dumps(spec, ensure_ascii=False))


@dataclass(frozen=True)
class Distillation:
    """A student, the scores behind it and what was measured on the way.

    ``tokenizer`` is a `tokenizers.Tokenizer` whose model is a Unigram; ``scores`` has
    one number a piece, in the order of ids; ``report`` maps names to numbers.
    """

    tokenizer: Tokenizer
    scores: np.ndarray
    report: dict[str, float | int]


def distill(
    teacher: Tokenizer, texts: Iterable[str], *, passes: int = 60,
    made_items: int = 20_000, seed: int = 0, bar: bool = True, layer: bool = True,
) -> Distillation:
    """A Unigram tokenizer that cuts as the byte-level BPE ``teacher`` does.

    Parameters
    ----------
    teacher
        A byte-level BPE.
    texts
        Documents to learn from; they are read once, in order.
    passes
        Passes over the words while learning.
    made_items
        Made items of each kind (numbers, addresses, …) that join the words, and
        twelve times as many words made of parts of those in the texts.
    seed
        Of the made items and of the order of the words.
    bar
        Show a progress bar.
    layer
        Mend the words of ``texts`` that scores get wrong by the sound cuts of
        `lib.exactness`.

    Raises
    ------
    ValueError
        If the teacher is no byte-level BPE, or the texts are empty.
    """
    pieces = piece_bytes(teacher)
    never = dropped_bytes(pieces)
    counts = count_words(teacher, texts)
    if not counts:
        raise ValueError("the texts hold no words; pass at least one document.")
    start = -np.log(merge_ranks(teacher) + 300)
    plain = (word.decode("utf-8", "ignore").strip() for word in counts)
    plain = sorted({word for word in plain if word.isalpha() and len(word) > 2})
    more: Counter[bytes] = Counter()
    for kind in MADE:
        more += count_words(teacher, [made(kind, made_items, seed + 1, plain).text])
    known = sorted(word.decode("utf-8", "ignore") for word in counts)
    new = recombined(known, min(2 * len(known), 12 * made_items), seed)
    spelled = (word.translate(None, never)
               for word in [*counts, *more, *(w.encode() for w in new), *pieces])
    words = [w for w in dict.fromkeys(spelled) if 0 < len(w) <= LONGEST]
    lattices = build_lattices(build_trie(pieces), words, bpe_cuts(teacher, words))
    learned = learn_scores(lattices, start, passes, seed, bar=bar)
    scores = whole_pieces(pieces, learned.scores)
    wrong = {w for w, bad in zip(words, wrong_words(lattices, scores), strict=True)
             if bad}
    student = unigram_tokenizer(teacher, scores)
    long = [w for w in (word.translate(None, never) for word in counts)
            if len(w) > LONGEST]
    cuts = zip(long, bpe_cuts(teacher, long), unigram_cuts(student, long), strict=True)
    wrong |= {word for word, gold, ours in cuts if gold != ours}
    report = {
        "types": len(counts), "occurrences": counts.total(), "words": len(words),
        "wrong_types": len(wrong & counts.keys()),
        "wrong_occurrences": sum(counts[word] for word in wrong),
    }
    if layer:
        wrong &= counts.keys()
        rules, left = mend(teacher, student, [word.decode() for word in wrong])
        student = with_rules(student, rules)
        report |= {"rules": len(rules), "unmended": len(left)}
    return Distillation(student, scores, report)

def save_unigram(student: Tokenizer, folder: Path) -> Path:
    """Write ``tokenizer.json`` into the folder, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tokenizer.json"
    part = folder / f".tokenizer.{os.getpid()}.part"
    student.save(str(part))
    part.replace(path)
    return path
