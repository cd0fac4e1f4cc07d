"""Which `lib.tokens.sound_cuts` mend the words that a student gets wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

from tokenizers import Regex, Tokenizer, pre_tokenizers

from lib.tokens.bytelevel import merging
from lib.tokens.readings import Reading, reading_of
from lib.tokens.sound_cuts import (
    CONTEXT,
    Rule,
    breaks,
    fits,
    rule_for,
    rules_for,
    rules_pattern,
    words_of,
)

__all__ = ["foreseen", "mend"]

_TRIED = 8  # places of one word for which rules are compared
_ROUNDS = 2  # of what the rules of the first round leave wrong
_ROOM = 1 << 17  # characters of all rules for words of more than `CONTEXT` characters


class _Mender:
    """Finds for words that a student cuts wrongly the rules that help them most.

    In Viterbi the best path up to a node that the best path of all meets is a part of
    it, and so is the best path from there on. So of the places where BPE breaks a word
    the first ones are those before which the student is right, and the last ones those
    after which it is: both are looked for by halving.
    """

    def __init__(self, teacher: Tokenizer, student: Tokenizer,
                 reading: Reading | None = None):
        reading = reading or reading_of(teacher)
        self.pieces, self.chars = reading.pieces, reading.chars
        self.known = reading.neighbours()
        self.models = merging(teacher), Tokenizer(student.model)
        self.room = _ROOM

    def cuts(self, texts: list[str]) -> tuple[list[list[int]], list[bool]]:
        """The teacher's ids of each text, and whether the student's are the same."""
        chars = [self.chars(text.encode()) for text in texts]
        gold, ours = ([encoding.ids for encoding in model.encode_batch_fast(chars)]
                      for model in self.models)
        return gold, [a == b for a, b in zip(gold, ours, strict=True)]

    def best(self, words: Iterable[str]) -> dict[str, list[Rule]]:
        """Rules for each of the words that is wrong; none where no rule reaches.

        One for a word, to see first what it does to others; all that a word of more
        than `CONTEXT` characters takes.
        """
        words = list(dict.fromkeys(words))
        gold, right = self.cuts(words)
        places = {word: breaks(word, [len(self.pieces[n]) for n in path])
                  for word, path, fine in zip(words, gold, right, strict=True)
                  if not fine}
        short = {word: at for word, at in places.items() if len(word) <= CONTEXT}
        starts = self._halved(short, lambda word, n: word[:n], True)
        ends = self._halved(short, lambda word, n: word[n:], False)
        tried = {word: at[ends[word]:starts[word]][:_TRIED] or at[:starts[word]][-1:]
                 for word, at in short.items()}
        cases = [(word, place) for word, at in tried.items() for place in at]
        every = iter(rules_for(cases, self.known))
        best = {word: self._least(islice(every, len(at))) for word, at in tried.items()}
        return {word: best[word] if word in short else self._chain(word, at)
                for word, at in sorted(places.items(), key=lambda item: len(item[0]))}

    @staticmethod
    def _least(rules: Iterable[Rule | None]) -> list[Rule]:
        """The rule that asks least, of those for places that leave both sides right."""
        best = min(filter(None, list(rules)), default=None,
                   key=lambda r: (r.whole, len(r.prefix + r.context)))
        return [best] if best else []

    def _halved(self, places: dict[str, list[int]], part: Callable[[str, int], str],
                begins: bool) -> dict[str, int]:
        """For each word, how many of its places come before the border: those before
        which it is right (`begins`), or those after which it is wrong."""
        low = dict.fromkeys(places, 0)
        high = {word: len(at) for word, at in places.items()}
        while open_ := [word for word in places if low[word] < high[word]]:
            middle = {word: (low[word] + high[word]) // 2 for word in open_}
            parts = {word: part(word, places[word][n]) for word, n in middle.items()}
            texts = list(dict.fromkeys(parts.values()))
            fine = dict(zip(texts, self.cuts(texts)[1], strict=True))
            for word, n in middle.items():
                if fine[parts[word]] == begins:
                    low[word] = n + 1
                else:
                    high[word] = n
        return low

    def _chain(self, word: str, at: list[int]) -> list[Rule]:
        """Rules that break a long word again and again, until the rest is right.

        Each is looked for in a part of the word that is at most about twice as long as
        what it breaks off, so that the work grows with the length and no faster.
        """
        wrong = self._halved({word: at}, lambda text, n: text[n:], False)[word]
        rules: list[Rule] = []
        begin = n = 0  # a place, and the number of the one behind it
        while n <= wrong:
            right = self._reach(word, at, begin, n)
            tried = list(range(max(n, wrong), right)) or list(range(n, right))[::-1]
            found = ((k, rule_for(word[begin:at[k] + CONTEXT + 1], at[k] - begin,
                                  self.known)) for k in tried[:_TRIED])
            k, rule = next((pair for pair in found if pair[1]), (0, None))
            size = len(rule.prefix + rule.context) if rule else 0
            if not rule or size > self.room:
                return []
            self.room -= size
            rules.append(rule)
            begin, n = at[k], k + 1
        return rules

    def _reach(self, word: str, at: list[int], begin: int, first: int) -> int:
        """The number of the first place up to which a part that begins there is wrong;
        looked for in parts that double."""
        low, size = first, 8
        while True:
            high = min(low + size, len(at))
            if high == low or not self.cuts([word[begin:at[high - 1]]])[1][0]:
                part = {word: at[low:high]}
                return low + self._halved(
                    part, lambda text, n: text[begin:n], True)[word]
            low, size = high, 2 * size


def mend(
    teacher: Tokenizer, student: Tokenizer, words: Iterable[str],
    reading: Reading | None = None,
) -> tuple[list[Rule], list[str]]:
    """Rules after which the student cuts the words as the teacher does.

    Each round breaks what the rules so far leave of a word, at the place that leaves
    the shortest beginning and context to ask for among those after which both parts
    come out right; else after the longest beginning that does. Where all seem mended
    they are looked at once more: a rule may have changed where another one begins.

    Returns
    -------
    rules
        All of them sound.
    left
        Words that stay wrong: BPE breaks them inside characters only, where no rule
        reaches, or they are very long and would take more rules than there is room for.
    """
    mender = _Mender(teacher, student, reading)
    rules: dict[Rule, None] = {}
    lost: dict[str, None] = {}
    every = words = list(dict.fromkeys(words))
    tails: dict[str, str] = {}
    looked = -1  # how many rules there were when all words were looked at
    while words:
        split = pre_tokenizers.Split(Regex(rules_pattern(rules, None)), "isolated")
        tails |= {word: split.pre_tokenize_str(word)[-1][0] for word in words}
        found = mender.best({tails[word]: None for word in words
                             if tails[word] not in lost})
        new = dict.fromkeys(rule for some in found.values() for rule in some)
        lost |= dict.fromkeys(tail for tail, some in found.items()
                              if not any(rule not in rules for rule in some))
        rules |= new
        words = [word for word in words
                 if tails[word] in found and tails[word] not in lost]
        if not words and looked != len(rules):
            words, looked = every, len(rules)
    return list(rules), [word for word in every if tails[word] in lost]


def foreseen(
    teacher: Tokenizer, student: Tokenizer, words: Mapping[str, float],
    rules: Sequence[Rule], room: int, reading: Reading | None = None,
) -> list[Rule]:
    """Rules for words that may come up: those of most use for their length, while
    they fit.

    Parameters
    ----------
    teacher, student, reading
        As for `mend`.
    words
        Those that the student may cut wrongly, and how often each is thought to come
        up. For what it still cuts wrongly with the rules so far a rule is looked for,
        `_ROUNDS` times over.
    rules
        Those that are there already.
    room
        Bytes by which they may make a file longer that has those.

    Returns
    -------
    more
        All sound, the most useful ones first.
    """
    mender, pattern = _Mender(teacher, student, reading), words_of(student)
    use: dict[Rule, float] = {}
    there = {*rules}
    for _ in range(_ROUNDS if words else 0):
        split = pre_tokenizers.Split(
            Regex(rules_pattern([*rules, *use], None)), "isolated")
        tails: dict[str, float] = {}
        for word, often in words.items():
            for part, _ in split.pre_tokenize_str(word):
                tails[part] = tails.get(part, 0) + often
        new: dict[Rule, float] = {}
        for tail, some in mender.best(tails).items():
            for rule in some:
                if rule not in there and rule not in use and (
                        not pattern or fits(rule, pattern)):
                    new[rule] = new.get(rule, 0) + tails[tail]
        use |= new

    def gain(rule: Rule) -> float:
        return use[rule] / len((rule.prefix + rule.context).encode())

    order = sorted(use, key=lambda r: (-gain(r), r.prefix, r.context))

    def size(count: int) -> int:
        written = rules_pattern([*rules, *order[:count]], pattern)
        return len(json.dumps(written, ensure_ascii=False).encode())

    return order[:_most(size, len(order), room + size(0))]


def _most(size: Callable[[int], int], count: int, limit: int) -> int:
    """About the largest number up to ``count`` whose size is within the limit.

    Sizes grow nearly in proportion, so a few looks between the bounds find it.
    """
    low, high = (0, size(0)), (count, size(count))
    if high[1] <= limit:
        return count
    while low[1] < limit and high[0] - low[0] > max(1, count // 500):
        share = (limit - low[1]) / max(high[1] - low[1], 1)
        step = int(share * (high[0] - low[0]))
        middle = min(max(low[0] + step, low[0] + 1), high[0] - 1)
        looked = (middle, size(middle))
        low, high = (looked, high) if looked[1] <= limit else (low, looked)
    return low[0] if low[1] <= limit else 0
