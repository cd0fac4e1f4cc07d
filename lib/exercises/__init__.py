"""Exercises that check the reader's answer and say what is missing.

One module a topic; each check is a function `check_…(answer) -> Verdict` that
never raises: a wrong answer, a stub or a crash is a verdict with a hint. What they
have in common stands in `compare`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from html import escape
from typing import Any

from lib.page.particles import settle


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is right, and one sentence about it in both languages.

    >>> bool(Verdict(True, "맞았습니다.", "Correct."))
    True
    """

    accepted: bool
    ko: str
    en: str

    def __bool__(self) -> bool:
        return self.accepted

    def __repr__(self) -> str:
        mark = "✓" if self.accepted else "…"
        return f"{mark} {self.ko} | {self.en}"

    def _repr_html_(self) -> str:
        kind = "accepted" if self.accepted else "open"
        mark = "✓" if self.accepted else "○"
        return (
            f'<div class="verdict {kind}"><span aria-hidden="true">{mark}</span> '
            f'<span data-lang="ko">{escape(self.ko)}</span> '
            f'<span data-lang="en">{escape(self.en)}</span></div>'
        )


def correct(ko: str = "맞았습니다.", en: str = "Correct.") -> Verdict:
    """Accept an answer."""
    return Verdict(True, ko, en)


def not_yet(ko: str, en: str) -> Verdict:
    """Turn an answer down, with a hint; its particles follow the values in it."""
    return Verdict(False, settle(ko), en)


class NoAnswer(Exception):
    """What came is a stub: nobody has answered yet."""


class Hint(Exception):
    """What is wrong with an answer, in Korean and in English; it ends the check."""


def require(holds: Any, ko: str, en: str) -> None:
    """Turn the answer down with a hint, unless something holds of it."""
    if not holds:
        raise Hint(ko, en)


def given(value: Any) -> Any:
    """What the reader gave; a stub's nothing is no answer.

    >>> given(3)
    3
    """
    if value is None or value is Ellipsis:
        raise NoAnswer
    return value


def exercise(check: Callable[..., Verdict | None]) -> Callable[..., Verdict]:
    """Make a check that never raises: what the answer raises becomes a hint.

    A check ends with a `Hint` where the answer is wrong; one that returns nothing
    accepts. What a function of the reader's returns is no answer if it is nothing.

    >>> @exercise
    ... def check_inverse(answer):
    ...     require(answer(4) == 0.25, "역수", "1/x")
    >>> check_inverse(lambda x: 1 / x).accepted
    True
    >>> check_inverse(lambda x: x / 0).accepted
    False
    """

    @wraps(check)
    def checked(*answers: Any) -> Verdict:
        try:
            answer, *rest = map(given, answers)
            if callable(answer):
                answer = wraps(answer)(lambda *x, call=answer: given(call(*x)))
            verdict = check(answer, *rest)
            return correct() if verdict is None else verdict
        except Hint as hint:
            return not_yet(*hint.args)
        except (NoAnswer, NotImplementedError):
            return not_yet("아직 답이 없습니다.", "There is no answer yet.")
        except Exception as error:  # noqa: BLE001 the reader may raise anything
            what = f"{type(error).__name__}: {error}"
            return not_yet(
                f"답을 실행하는 중에 오류가 났습니다: {what}",
                f"Running the answer raised an error: {what}",
            )

    return checked
