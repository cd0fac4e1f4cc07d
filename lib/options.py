"""Options declared once: kinds, choices and ranges are annotations of a dataclass.

    @no_type_check  # `expect` does, and not while testing alone
    @dataclass(frozen=True)
    class Options:
        kernel: Literal["newton", "gaussian"] = "newton"
        layers: Count = 6
        rate: Rate = 3e-4
        data_path: str | None = None

        def __post_init__(self) -> None:
            expect(self)

No value of another kind ever stands in one: `expect` refuses it in one sentence.
Nothing here needs torch, so that a command can be checked before anything is started.
"""

import ast
import difflib
import inspect
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin

T = TypeVar("T")


@dataclass(frozen=True)
class Range:
    """The numbers from `least`, or above `above`, up to `most`, or below `below`.

    >>> 1.0 in Range(least=0, below=1), str(Range(least=0, below=1))
    (False, '0 or more, below 1')
    """

    least: int | float = -math.inf
    above: int | float = -math.inf
    most: int | float = math.inf
    below: int | float = math.inf

    def __contains__(self, value: Any) -> bool:
        return (self.least <= value <= self.most
                and (value > self.above or self.above == -math.inf)
                and (value < self.below or self.below == math.inf))

    def __str__(self) -> str:
        bounds = ((self.least, "{} or more"), (self.above, "more than {}"),
                  (self.most, "at most {}"), (self.below, "below {}"))
        return ", ".join(words.format(bound) for bound, words in bounds
                         if math.isfinite(bound))


Count = Annotated[int, Range(least=1)]
CountOrNone = Annotated[int, Range(least=0)]  # 0: none of them
Rate = Annotated[float, Range(above=0)]
Share = Annotated[float, Range(least=0, below=1)]
Seed = Annotated[int, Range(least=0, most=2**32 - 1)]  # what every library takes
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["no", "bf16", "fp16"]

_KINDS = {str: "a text", int: "a whole number", float: "a number",
          bool: "True or False"}


@dataclass(frozen=True)
class Kind:
    """What an annotation says: type, choices, range, whether None, and the meaning."""

    type: type
    choices: tuple[Any, ...] = ()
    range: Range = Range()
    optional: bool = False
    meaning: str = ""

    def __str__(self) -> str:
        words = _KINDS[self.type]
        return f"{words.replace(' or', ',')} or None" if self.optional else words

    @property
    def comment(self) -> str:
        """What a parameter cell says of the option: choices, else the range, meaning.

        >>> kind(Annotated[Literal["a", "b"], "which"]).comment, kind(Share).comment
        ('a or b: which', '0 or more, below 1')
        """
        words = ""
        if len(self.choices) > 1 and self.type is str:
            words = f"{', '.join(self.choices[:-1])} or {self.choices[-1]}"
        elif self.type is float and math.isfinite(self.range.below):
            words = str(self.range)
        join = "; " if self.meaning.startswith("None") else ": "
        return join.join(part for part in (words, self.meaning) if part)


def kind(annotation: Any) -> Kind:
    """Read an annotation; a text in `Annotated` is the meaning.

    >>> str(kind(bool | None)), kind(Literal["a", "b"] | None).choices
    ('True, False or None', ('a', 'b'))
    >>> kind(Annotated[Count | None, "of rows"]).meaning
    'of rows'
    """
    if get_origin(annotation) is Annotated:
        base, *more = get_args(annotation)
        return replace(kind(base), **{
            "meaning" if isinstance(word, str) else "range": word for word in more})
    if get_origin(annotation) in (Union, UnionType):
        [some] = [part for part in get_args(annotation) if part is not NoneType]
        return replace(kind(some), optional=True)
    if get_origin(annotation) is Literal:
        choices = get_args(annotation)
        return Kind(type(choices[0]), choices)
    return Kind(annotation)


def kinds(options: type) -> dict[str, Kind]:
    """The kind of every option of a dataclass, by name."""
    hints = inspect.get_annotations(options, eval_str=True)
    return {field.name: kind(hints[field.name]) for field in fields(options)}


def defaults_lowered(options: Any, most: dict[str, Any]) -> dict[str, Any]:
    """Those of `most` whose option was left at its default, for the profile `smoke`."""
    mine = changed(options)
    return {name: value for name, value in most.items() if name not in mine}


def unknown(what: str, value: object, choices: Iterable[object]) -> str:
    """The sentence on a value that is none of the choices.

    >>> unknown("kernel", "newtn", ["newton", "gaussian"])
    "kernel 'newtn' is not known; use one of newton, gaussian"
    """
    words = ", ".join(map(str, choices))
    return f"{what} {value!r} is not known; use one of {words}"


def one_of(what: str, value: T, choices: Collection[object]) -> T:
    """The value where it is one of the choices; ValueError with `unknown` elsewhere.

    >>> one_of("kernel", "newton", ["newton", "gaussian"])
    'newton'
    """
    if value not in choices:
        raise ValueError(unknown(what, value, choices))
    return value


def fitting(name: str, value: Any, wanted: Kind) -> Any:
    """The value of an option, a whole number for a number as a float.

    >>> fitting("cutoff", "no", kind(bool | None))
    Traceback (most recent call last):
    ...
    ValueError: cutoff is 'no'; give True, False or None
    """
    if value is None and wanted.optional:
        return None
    if wanted.type is float and type(value) is int:
        value = float(value) if abs(value) < 2**63 else math.inf
    right = type(value) is wanted.type
    if wanted.choices:
        if not right or value not in wanted.choices:  # True is no 1
            raise ValueError(unknown(name, value, wanted.choices))
        return value
    if not right or value == "":
        raise ValueError(f"{name} is {value!r}; give {wanted}")
    value = cast(Any, value)  # None is not right
    if wanted.type is float and not math.isfinite(value):
        raise ValueError(f"{name} is {value}; give a finite number")
    if wanted.type in (int, float) and value not in wanted.range:
        raise ValueError(f"{name} is {value}; use {wanted.range}")
    if wanted.type is int and abs(value) >= 2**63:
        raise ValueError(f"{name} is {value}; give a number of less than 64 bits")
    return value


def expect(options: Any) -> None:
    """Refuse options that are not what their dataclass says, the first as `fitting`."""
    for name, wanted in kinds(type(options)).items():
        value = fitting(name, getattr(options, name), wanted)
        object.__setattr__(options, name, value)  # frozen for all others


def given_by(words: Sequence[str], options: type) -> dict[str, Any]:
    """Values from the words `name=value` of a command line, by name.

    A text is taken as it stands; any other value is a Python literal where it reads as
    one.

    >>> @dataclass
    ... class Two:
    ...     steps: int = 3
    ...     name: str | None = None
    >>> given_by(["steps=9", "name=1"], Two), given_by(["name=None"], Two)
    ({'steps': 9, 'name': '1'}, {'name': None})
    """
    values: dict[str, Any] = {}
    wanted = kinds(options)
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or name not in wanted:
            near = difflib.get_close_matches(name.replace("-", "_"), list(wanted), 1)
            raise ValueError(
                f"{word!r} is no option; write name=value, with one of "
                f"{', '.join(wanted)}{f' (nearest: {near[0]})' if near else ''}"
            )
        if wanted[name].type is str:
            values[name] = None if wanted[name].optional and value == "None" else value
            continue
        try:
            values[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            values[name] = value
    return values


def changed(options: Any) -> dict[str, Any]:
    """The options that are not at their defaults."""
    return {field.name: getattr(options, field.name) for field in fields(options)
            if getattr(options, field.name) != field.default}


def largest_divisor(number: int, most: int) -> int:
    """The largest number that divides another, up to `most` and to a million.

    >>> largest_divisor(100, 8)
    5
    """
    few = range(min(number, most, 10**6), 0, -1)  # a number of any size ends, too
    return next(n for n in few if number % n == 0)
