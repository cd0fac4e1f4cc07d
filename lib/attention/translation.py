"""The task of chapters 05 and 06: dates and numbers between English and Korean.

    "March 5, 2026"  <->  "2026년 3월 5일"
    "12,345"         <->  "만 이천삼백사십오"

Made without end from a `torch.Generator`, exact to check, and such that the words
change their order.
"""

import datetime
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import eq
from typing import cast

import torch
from jaxtyping import Int
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer
from torch import Tensor

from lib.attention.transformer import Transformer
from lib.data.round_trip import check_characters
from lib.data.tokenizer_files import for_whole_texts
from lib.options import one_of

KINDS = ("date", "number")
SPLITS = ("train", "held out")
STYLES = ("canonical", "canonical", "short", "british")  # how often each is drawn
MAX_NUMBER = 99_999_999  # the last one before a new unit, 억 (100,000,000)
FIRST_DAY, LAST_DAY = datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)
HELD_OUT = 10  # one value in so many
#: Special tokens; the place in this list is the id.
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
PAD, BOS, EOS, UNK = range(4)

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August",
          "September", "October", "November", "December")
DIGITS = "일이삼사오육칠팔구"
UNITS = ("", "십", "백", "천")


@dataclass(frozen=True)
class Pair:
    """One example: what goes in, what should come out, and what it is about."""

    source: str
    target: str
    kind: str  # "date" or "number"
    korean: bool  # whether the target is Korean

    @property
    def direction(self) -> str:
        """Kind and languages: `"number, en → ko"`."""
        return f"{self.kind}, {'en → ko' if self.korean else 'ko → en'}"


def spell_korean(n: int) -> str:
    """Read a number aloud in Sino-Korean, spaced by 만 (10,000).

    일 is silent before 십, 백 and 천, and 10,000 is 만, not 일만; the space follows
    the Korean spelling rules (한글 맞춤법, article 44). Raises ValueError beyond 1 to
    `MAX_NUMBER`.

    >>> [spell_korean(n) for n in (7, 110, 12_345, 110_000, 90_000_001)]
    ['칠', '백십', '만 이천삼백사십오', '십일만', '구천만 일']
    """
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MAX_NUMBER:
        raise ValueError(
            f"{n!r} cannot be spelled; use a whole number from 1 to {MAX_NUMBER:,}."
        )
    high, low = divmod(n, 10_000)
    ten_thousands = "만" if high == 1 else _spell_group(high) + "만" if high else ""
    return f"{ten_thousands} {_spell_group(low)}".strip()


def _spell_group(n: int) -> str:
    """Spell 0, which is silent, to 9,999."""
    text = ""
    for place in (3, 2, 1, 0):
        if digit := n // 10**place % 10:
            silent = digit == 1 and place > 0
            text += ("" if silent else DIGITS[digit - 1]) + UNITS[place]
    return text


def english_date(day: datetime.date, style: str = "canonical") -> str:
    """Write a date in English: canonical, short or British.

    >>> day = datetime.date(2026, 3, 5)
    >>> [english_date(day, style) for style in ("canonical", "short", "british")]
    ['March 5, 2026', 'Mar 5, 2026', '5 March 2026']
    """
    month = MONTHS[day.month - 1]
    styles = {
        "canonical": f"{month} {day.day}, {day.year}",
        "short": f"{month[:3]} {day.day}, {day.year}",
        "british": f"{day.day} {month} {day.year}",
    }
    return styles[one_of("style", style, styles)]


def korean_date(day: datetime.date) -> str:
    """Write a date in Korean: `2026년 3월 5일`."""
    return f"{day.year}년 {day.month}월 {day.day}일"


def held_out(kind: str, value: int | datetime.date) -> bool:
    """Whether a value is kept for evaluation: a hash of the value decides, so that both
    directions and every spelling of it are on one side."""
    digest = hashlib.blake2b(f"{kind} {value}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % HELD_OUT == 0


def _draw(kind: str, generator: torch.Generator) -> int | datetime.date:
    """Draw a value: every day alike; every number of digits alike."""
    if kind == "date":
        days = (LAST_DAY - FIRST_DAY).days + 1
        offset = int(torch.randint(days, (), generator=generator))
        return FIRST_DAY + datetime.timedelta(offset)
    digits = int(torch.randint(1, len(str(MAX_NUMBER)) + 1, (), generator=generator))
    low, high = 10 ** (digits - 1), 10**digits
    return int(torch.randint(low, high, (), generator=generator))


def make_pair(kind: str, value: int | datetime.date, korean: bool,
              style: str = "canonical") -> Pair:
    """Make the pair of a value; `korean` says whether the target is Korean.

    >>> make_pair("number", 12_345, korean=False)
    Pair(source='만 이천삼백사십오', target='12,345', kind='number', korean=False)
    """
    if one_of("kind", kind, KINDS) == "date":
        # an English date may come in several spellings, and goes out in one
        day = cast(datetime.date, value)
        english = english_date(day, style if korean else "canonical")
        pair = english, korean_date(day)
    else:
        pair = f"{value:,}", spell_korean(cast(int, value))
    source, target = pair if korean else pair[::-1]
    return Pair(source, target, kind, korean)


def sample(
    count: int, generator: torch.Generator, split: str = "train",
    kinds: Sequence[str] = KINDS,
) -> list[Pair]:
    """Draw pairs: kind, direction and value at random, "train" or "held out".

    A kind that is named twice has a double share.

    >>> for pair in sample(2, torch.Generator().manual_seed(1)):
    ...     print(pair.source, "->", pair.target)
    팔 -> 8
    삼천삼백구십구만 사천사백삼십이 -> 33,994,432
    """
    one_of("split", split, SPLITS)
    pairs: list[Pair] = []
    while len(pairs) < count:
        pick, korean, spelling = cast(list[int], torch.randint(
            4 * len(kinds), (3,), generator=generator).tolist())
        kind = kinds[pick % len(kinds)]
        value = _draw(kind, generator)
        if held_out(kind, value) == (split == "held out"):
            pairs.append(make_pair(kind, value, korean % 2 == 0, STYLES[spelling % 4]))
    return pairs


def unseen(kind: str, count: int, seed: int = 0) -> list[Pair]:
    """Draw held-out pairs of different values, in all spellings, directions in turn."""
    generator = torch.Generator().manual_seed(seed)
    pairs, seen = [], set()
    while len(pairs) < count:
        value = _draw(kind, generator)
        style = STYLES[int(torch.randint(4, (), generator=generator))]
        if value not in seen and held_out(kind, value):
            seen.add(value)
            pairs.append(make_pair(kind, value, len(pairs) % 2 == 0, style))
    return pairs


def build_tokenizer(vocab_size: int = 1000, pairs: int = 4000) -> Tokenizer:
    """Train a BPE tokenizer on the task.

    A digit, a Hangul syllable, a space and a mark are one token each; letters merge
    up to a month name. The language is small, so the vocabulary stops far below
    `vocab_size`; ValueError if not even the single characters fit. Encoding appends
    <eos>; one that stands in a text is five characters. Decoding leaves the special
    tokens out and gives the text back to the letter.

    >>> tokenizer = build_tokenizer()
    >>> tokenizer.encode("March 5, 2026").tokens
    ['March', ' ', '5', ',', ' ', '2', '0', '2', '6', '<eos>']
    >>> tokenizer.decode(tokenizer.encode("2026년 3월 5일").ids)
    '2026년 3월 5일'
    """
    generator = torch.Generator().manual_seed(0)
    texts = [text for pair in sample(pairs, generator)
             for text in (pair.source, pair.target)]
    letters = set("".join([*texts, *MONTHS]))
    least = len(letters) + len(SPECIAL)
    if vocab_size < least:
        raise ValueError(
            f"vocab_size {vocab_size} does not hold the {len(letters)} characters of "
            f"the task and {len(SPECIAL)} special tokens; use at least {least}."
        )
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(
        Regex(r"[A-Za-z]+|[^A-Za-z]"), behavior="isolated"
    )
    tokenizer.decoder = decoders.Fuse()
    tokenizer.train_from_iterator(
        [*texts, *MONTHS],
        BpeTrainer(vocab_size=vocab_size, special_tokens=list(SPECIAL),
                   show_progress=False),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", EOS)]
    )
    tokenizer.encode_special_tokens = True  # in a text they are text
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> Int[Tensor, "batch seq"]:
    """The ids of texts, as `ids_of` has them, padded to the longest."""
    rows = ids_of(tokenizer, texts)
    width = max(map(len, rows), default=0)
    return torch.tensor([row + [PAD] * (width - len(row)) for row in rows],
                        dtype=torch.long).view(len(rows), width)


def ids_of(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Turn texts into ids, each closed by <eos>. Raises ValueError on a text with a
    character that the task does not have."""
    for text in texts:
        check_characters(text, f"the text {text[:40]!r}")
    for_whole_texts(tokenizer)
    tokenizer.encode_special_tokens = True  # also where it was read from a file
    rows = [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]
    unknown = tokenizer.token_to_id("<unk>")
    for text, row in zip(texts, rows, strict=True):
        if unknown in row:
            raise ValueError(
                f"{text!r} holds a character that the tokenizer does not know; write "
                "a date or a number as in 'March 5, 2026' or '12,345'."
            )
    return rows


def decode(tokenizer: Tokenizer, ids: Int[Tensor, "batch seq"]) -> list[str]:
    """Turn ids into texts, each up to its first <eos>."""
    rows = [row[: row.index(EOS)] if EOS in row else row for row in ids.tolist()]
    return [tokenizer.decode(row) for row in rows]


def collate(pairs: Sequence[Pair], tokenizer: Tokenizer) -> dict[str, Tensor]:
    """Make a batch: `source` ends with <eos>, `target` also begins with <bos>."""
    target = encode(tokenizer, [pair.target for pair in pairs])
    begin = torch.full((len(pairs), 1), BOS)
    return {"source": encode(tokenizer, [pair.source for pair in pairs]),
            "target": torch.cat((begin, target), dim=1)}


def batches(
    tokenizer: Tokenizer, batch: int, generator: torch.Generator,
    kinds: Sequence[str] = KINDS, pool: int = 16,
) -> Iterator[dict[str, Tensor]]:
    """Endless training batches, texts of similar length together: less padding. `pool`
    batches are drawn at once, sorted by length, cut, and shuffled."""
    while True:
        pairs = sample(pool * batch, generator, kinds=kinds)
        pairs.sort(key=lambda pair: (len(pair.target), len(pair.source)))
        for place in torch.randperm(pool, generator=generator).tolist():
            yield collate(pairs[place * batch : (place + 1) * batch], tokenizer)


def translate(
    model: Transformer, tokenizer: Tokenizer, texts: Sequence[str], batch: int = 256
) -> list[str]:
    """Let the model write each text in the other language, greedily. Raises as
    `ids_of`, and ValueError for a text longer than the model allows."""
    device = next(model.parameters()).device
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # less padding
    written = [""] * len(texts)
    for start in range(0, len(order), batch):
        places = order[start : start + batch]
        source = encode(tokenizer, [texts[i] for i in places]).to(device)
        said = decode(tokenizer, model.generate(source))
        for place, text in zip(places, said, strict=True):
            written[place] = text
    return written


def exact_match(predictions: Sequence[str], answers: Sequence[str]) -> float:
    """Share of predictions that equal their answer to the letter, 0 to 1."""
    if len(predictions) != len(answers) or not answers:
        raise ValueError(
            f"{len(predictions)} predictions and {len(answers)} answers came; give "
            "one prediction for each of at least one answer."
        )
    return sum(map(eq, predictions, answers)) / len(answers)
