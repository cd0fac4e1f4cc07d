"""What the runs say of gravity: each claim of the book follows from an interval.

A question holds one arm of `benchmarks/quality.py` against another. Both run at their
own best learning rate; losses are subtracted seed by seed. The 95 % t interval of the
differences decides, and nothing else:

    lower     the whole interval lies below 0
    higher    the whole interval lies above 0
    chance    the interval holds 0
    unknown   fewer than two seeds were run with both

For each answer `verdict.toml` has the sentence, in Korean and in English. Another row
in the file is another sentence on the page.
"""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lib.training.comparison import (
    TEXT,
    Interval,
    Row,
    best_rate,
    by_rate,
    standings,
)

LEVEL = 0.95
AIM = 0.02  # nats below the strongest dot product, set before the runs
WANTED = {"small": 5, "small128": 5, "medium": 3}  # seeds
FEW = 3  # seeds without which no arm is called the strongest
LANGUAGES = ("ko", "en")
VERDICT = ("verdict_stream", "verdict_kernel", "verdict_strongest")
ELSEWHERE, BECAUSE = GROUPED = ("verdict_elsewhere", "verdict_because")
NEEDED = "stream dot"  # without its `FEW` seeds the strongest dot product is not known
NONE = Interval(float("nan"), float("-inf"), float("inf"), 0)
QUESTIONS: dict[str, Any] = tomllib.loads(
    Path(__file__).with_suffix(".toml").read_text("utf-8"))
PLACES: list[dict[str, str]] = QUESTIONS.pop("places")  # home first


def difference(rows: Iterable[Row], arm: str, base: str, size: str = "small",
               text: str = TEXT) -> Interval:
    """Losses of `arm` minus those of `base`, each at its best rate; n = 0: no pairs.

    >>> losses = {"a": (1.7, 1.6, 1.8), "b": (1.9, 1.81, 2.02)}
    >>> rows = [{"name": name, "seed": seed, "valid": loss, "size": "small",
    ...          "learning_rate": 2e-3, "parameters": 1}
    ...         for name in losses for seed, loss in enumerate(losses[name])]
    >>> found = difference(rows, "a", "b")
    >>> round(found.mean, 3), found.n, answer(found)
    (-0.21, 3, 'lower')
    """
    both = [row for row in rows if row["name"] in (arm, base) and row["size"] == size
            and row.get("text", TEXT) == text]
    if {row["name"] for row in both} != {arm, base}:
        return NONE
    table = standings(both, size, base, LEVEL, text)
    return next(one.difference for one in table if one.name == arm) or NONE


def strongest(rows: Iterable[Row], dot: bool, size: str = "small",
              text: str = TEXT) -> str:
    """The arm with the lowest loss, of the dot products or of the others.

    Arms with at least `FEW` seeds at their best rate take part, and the seeds that all
    of these have count. Empty where there is none.
    """
    losses: dict[str, dict[int, float]] = {}
    here = [row for row in rows if row["size"] == size
            and row.get("text", TEXT) == text and (row["attention"] == "dot") == dot]
    for name in {row["name"]: None for row in here}:
        part = [row for row in here if row["name"] == name]
        losses[name] = by_rate(part)[best_rate(part)]
    losses = {name: found for name, found in losses.items() if len(found) >= FEW}
    if not losses:
        return ""
    shared = set.intersection(*(set(found) for found in losses.values()))
    return min(losses, key=lambda name: sum(losses[name][seed] for seed in shared))


def answer(found: Interval) -> str:
    """lower, higher, chance or unknown: what an interval lets one say.

    >>> answer(Interval(-0.2, -0.3, -0.1, 3)), answer(Interval(-0.2, -0.5, 0.1, 3))
    ('lower', 'chance')
    """
    if found.n < 2:
        return "unknown"
    if not found.settled:
        return "chance"
    return "lower" if found.high < 0 else "higher"


def signed(x: float) -> str:
    """A difference of losses as the page writes it."""
    return f"{x:+.3f}".replace("-", "−").replace("inf", "∞")


def evidence(found: Interval, size: str, language: str) -> str:
    """The interval in words, with the seeds that it rests on and those it lacks.

    >>> evidence(Interval(-0.06, -0.085, -0.035, 3), "medium", "en")
    '−0.060 nats, 95% interval −0.085 to −0.035, 3 seeds'
    """
    n, wanted = found.n, WANTED.get(size, 5)
    mean, low, high = map(signed, (found.mean, found.low, found.high))
    if language == "ko":
        seeds = f"정한 시드 {wanted}개 가운데 {n}개" if n < wanted else f"시드 {n}개"
        return ("같은 시드로 잰 것이 없음" if n == 0
                else f"{mean}내트, {seeds}뿐이라 구간이 없음" if n == 1
                else f"{mean}내트, 95% 구간 {low} ~ {high}, {seeds}")
    seeds = f"{n} of the {wanted} seeds wanted" if n < wanted else f"{n} seeds"
    return ("no seed was run with both" if n == 0
            else f"{mean} nats, {seeds}, so no interval" if n == 1
            else f"{mean} nats, 95% interval {low} to {high}, {seeds}")


def asked(name: str, rows: Iterable[Row], size: str = "small", text: str = TEXT
          ) -> tuple[str, str, Interval]:
    """The two arms of a question, and the interval; `strongest` looks them up."""
    rows, question = list(rows), QUESTIONS[name]
    arm, base = question["arm"], question["base"]
    if arm == "strongest":
        arm, base = (strongest(rows, dot, size, text) for dot in (False, True))
    return arm, base, difference(rows, arm, base, size, text)


def sentence(name: str, rows: Iterable[Row], language: str, size: str = "small",
             text: str = TEXT, numbers: bool = True) -> str:
    """The sentence that the rows call for, about one question of `verdict.toml`."""
    arm, base, found = asked(name, rows, size, text)
    told = QUESTIONS[name][answer(found)][language]
    if not numbers:
        return told.replace(" ({evidence})", "")
    return told.replace("{evidence}", _named(name, arm, base, found, size, language))


def _named(name: str, arm: str, base: str, found: Interval, size: str, language: str
           ) -> str:
    """The evidence; the strongest arms are named with it, for they change."""
    words = evidence(found, size, language)
    strongest = QUESTIONS[name]["arm"] == "strongest"
    return f"`{arm}` − `{base}`: {words}" if strongest and found.n else words


def grouped(name: str, rows: Iterable[Row], language: str, numbers: bool = True
            ) -> list[str]:
    """A sentence for each answer that some place gives; those without seeds are out."""
    rows, groups = list(rows), {"lower": [], "chance": [], "higher": []}
    for place in PLACES[name == ELSEWHERE:]:  # home has its own sentence
        where = {"size": place["size"], "text": place["text"]}
        seeds = {row["seed"] for row in rows if row["name"] == NEEDED
                 and (row["size"], row.get("text", TEXT)) == tuple(where.values())}
        arm, base, found = asked(name, rows, **where)
        if found.n < 2 or (name == ELSEWHERE and len(seeds) < FEW):
            continue
        words = _named(name, arm, base, found, place["size"], language)
        groups[answer(found)].append(
            f"{place[language]} ({words})" if numbers else place[language])
    told = []
    for key, places in groups.items():
        last = " and " if language == "en" else ", "
        words = last.join(filter(None, (", ".join(places[:-1]), *places[-1:])))
        if words:
            line = QUESTIONS[name][key][language].replace("{places}", words)
            told.append(line[0].upper() + line[1:])
    return told


def verdict(rows: Iterable[Row], language: str, numbers: bool = True) -> str:
    """What the stream is worth, and distance and mass; then the same of the strongest
    arms on every other text and size that has been run with the strong twin."""
    rows = list(rows)
    told = [sentence(name, rows, language, numbers=numbers) for name in VERDICT]
    return " ".join(told + grouped(ELSEWHERE, rows, language, numbers))


def aim(rows: Iterable[Row], language: str) -> str:
    """Whether the strongest gravity lies so far below the strongest dot product."""
    found = asked("verdict_strongest", rows)[2]
    reached = answer(found) == "lower" and found.mean <= -AIM
    key = "unknown" if found.n < 2 else "reached" if reached else "missed"
    return QUESTIONS["aim"][key][language].format(aim=AIM)


def sentences(rows: Iterable[Row]) -> dict[str, str]:
    """All that the pages say: of each question, of verdict, headline and aim, NAME_ko
    and NAME_en."""
    rows, told = list(rows), {}
    for language in LANGUAGES:
        told |= {f"{name}_{language}": sentence(name, rows, language)
                 for name in QUESTIONS if name not in (*VERDICT, *GROUPED, "aim")}
        told |= {f"verdict_{language}": verdict(rows, language),
                 f"headline_{language}": verdict(rows, language, numbers=False),
                 f"because_{language}": " ".join(grouped(BECAUSE, rows, language)),
                 f"aim_{language}": aim(rows, language)}
    return told
