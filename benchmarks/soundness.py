"""Whether any rule of a distilled tokenizer cuts where its teacher does not.

    python -m benchmarks.soundness                       a row for each teacher
    python -m benchmarks.soundness --strings 20000 --teachers gpt2 llama2

A teacher is distilled on a few megabytes and a word list, which leaves it some
thousands of rules. Then strings are made to break them: what a rule asks for, with a
character changed, dropped or doubled, cut short, followed by pieces that begin with the
rest of it, one after another, behind all kinds of signs; pieces glued together; and
characters by chance. A cut at one of a BPE's own boundaries changes no id. So the
teacher is given the student's pre-tokenizer, units and rules and all, in front of its
own merges: each string has to come out with the same ids. Where one does not, the
places of the cuts are compared.

A row is written for each teacher: how many strings, how many of a sample were cut by
units or rules at all, how many had other ids (``ignore_merges`` may keep what a cut
leaves whole), and how many were cut within a token of the teacher: ``off``.
"""

import argparse
import datetime
import json
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tqdm.auto import tqdm

from benchmarks.tokenizers import TEACHERS, teacher
from lib import data
from lib.data.mixture import gather, lexicon
from lib.tokens.distill import Distillation, distill
from lib.tokens.readings import Reading, reading_of
from lib.tokens.sound_cuts import Rule

RESULTS = Path(__file__).parent / "results" / "soundness.jsonl"
AT_ONCE = 10_000  # strings
FRONT = ("", "", "", " ", "  ", "\n", "(", "'", "1", "a", "-", "\t", ".", "é", "가",
         "☃")
ALPHABET = "aeinorstAEST019 .,'-_/()\n\téñßЖ한국語中あ🙂\u200d\u0301\x04\U00041000"


def with_merges(of: Tokenizer, student: Tokenizer) -> Tokenizer:
    """The teacher behind the student's pre-tokenizer.

    Bytes without a piece, which a student takes out, a BPE passes over.
    """
    spec, cutting = json.loads(of.to_str()), json.loads(student.to_str())
    stages = cutting["pre_tokenizer"]["pretokenizers"]
    stages = [stage for stage in stages if stage.get("behavior") != "Removed"]
    spec["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": stages}
    return Tokenizer.from_str(json.dumps(spec, ensure_ascii=False))


def strings(rules: Sequence[Rule], pieces: Sequence[str], seed: int) -> Iterator[str]:
    """Endlessly many texts that lie near the rules, between pieces, or nowhere.

    >>> next(strings([Rule("ab", "c")], ["ab", "cd"], 0))
    '.a한caAccdcdcd'
    """
    draw = random.Random(seed)
    pieces = sorted(pieces)
    start: dict[str, list[str]] = {}
    for piece in pieces:
        start.setdefault(piece[:2], []).append(piece)

    def continued(context: str) -> str:
        """Pieces that begin as the end of the context does, to be merged with it."""
        tail = context[-draw.randint(1, 3):]
        return draw.choice(start.get(tail[:2], pieces))[len(tail):]

    def near(rule: Rule) -> str:
        text = rule.prefix + rule.context
        shape, place = draw.random(), draw.randrange(len(text))
        if shape < 0.25:
            return text + continued(rule.context)
        if shape < 0.4:
            return text[:place + 1] + continued(text[:place + 1])
        if shape < 0.55:
            return text[:place] + draw.choice(ALPHABET) + text[place + 1:]
        if shape < 0.65:
            return text[:place] + text[place + 1:]
        if shape < 0.75:
            return text[:place] + text[place] + text[place:]
        return text

    while True:
        parts = [draw.choice(FRONT)]
        for _ in range(draw.choice((1, 1, 2, 3))):
            kind = draw.random()
            if kind < 0.7 and rules:
                parts.append(near(draw.choice(rules)))
            elif kind < 0.9:
                parts += draw.choices(pieces, k=draw.randint(1, 4))
            else:
                parts += draw.choices(ALPHABET, k=draw.randint(1, 8))
        yield "".join(parts)


def off(reading: Reading, cutting: Tokenizer, text: str) -> bool:
    """Whether the pre-tokenizer cuts a word of the teacher's within a token.

    Both see the words that the teacher's own normalizer and stages leave of the text.
    """
    gold = [reading.teacher.encode(text, add_special_tokens=False),
            cutting.encode(text, add_special_tokens=False)]
    ends = [{*accumulate(len(piece) for piece in encoding.tokens)} for encoding in gold]
    words = gold[1].word_ids
    cuts = {end for end, word, after in zip(
        accumulate(map(len, gold[1].tokens)), words, words[1:], strict=False)
        if word != after}
    return not cuts <= ends[0]


def checked(name: str, made: Distillation, given: argparse.Namespace) -> dict[str, Any]:
    """Encode the strings with both; what came out otherwise, and why."""
    reading = reading_of(teacher(name))
    plain, cutting = reading.teacher, with_merges(reading.teacher, made.tokenizer)
    texts = [reading.text(piece) for piece in reading.pieces if piece]
    drawn = strings(made.rules, [text for text in texts if text], given.seed)
    if reading.core is not plain:  # rules of words, in which a blank is ▁
        drawn = (text.replace("▁", " ") for text in drawn)
    other, wrong, seen, cut = 0, [], 0, 0
    bar = tqdm(total=given.strings, desc=name, leave=False)
    while seen < given.strings:
        some = [next(drawn) for _ in range(min(AT_ONCE, given.strings - seen))]
        sides = (side.encode_batch_fast(some, add_special_tokens=False)
                 for side in (plain, cutting))
        differ = [text for text, gold, ours in zip(some, *sides, strict=True)
                  if gold.ids != ours.ids]
        other += len(differ)
        wrong += [text for text in differ if off(reading, cutting, text)]
        if not seen:
            words = [[len(set(side.encode(text, add_special_tokens=False).word_ids))
                      for side in (plain, cutting)] for text in some[:500]]
            cut = sum(few < many for few, many in words)
        seen += len(some)
        bar.update(len(some))
    bar.close()
    return {"strings": seen, "cut_of_500": cut, "other_ids": other,
            "off": len(wrong), "examples": wrong[:3]}


def row(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """Distill a teacher and try its rules."""
    clock = time.process_time()
    train, _ = gather(int(given.size * 1e6))
    made = distill(teacher(name), (d.text for d in train), passes=given.passes,
                   made_items=given.made, seed=given.seed, bar=False, threads=1,
                   lists=lexicon(given.lexicon))
    return {"tokenizer": name, "date": datetime.date.today().isoformat(),
            "size": given.size, "lexicon": given.lexicon, "passes": given.passes,
            "made": given.made, "seed": given.seed, "rules": len(made.rules),
            **checked(name, made, given),
            "cpu_seconds": round(time.process_time() - clock, 1)}


def main(arguments: list[str] | None = None) -> int:
    """Append a row for each teacher; an error code if a rule cuts where none may."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soundness",
                                     description=str(__doc__).splitlines()[0])
    parser.add_argument("--strings", type=int, default=1_000_000, help="to try")
    parser.add_argument("--size", type=float, default=1, help="MB to learn from")
    parser.add_argument("--lexicon", type=int, default=3_000,
                        help="words of each of ten languages to learn")
    parser.add_argument("--passes", type=int, default=8, help="passes of learning")
    parser.add_argument("--made", type=int, default=2_000, help="made items a kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--teachers", nargs="+", choices=TEACHERS, default=TEACHERS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    if given.strings < 1 or given.size <= 0 or min(given.passes, given.made) < 1:
        parser.error("--strings, --size, --passes and --made are positive")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    failed = False
    try:
        for name in given.teachers:
            result = row(name, given)
            failed |= result["off"] > 0
            line = json.dumps(result, ensure_ascii=False)
            print(line, flush=True)
            with given.out.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
    except data.DataError as error:
        print(error, file=sys.stderr)
        return 1
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
