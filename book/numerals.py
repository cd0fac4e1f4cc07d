"""Numbers in Korean and in English prose, brought to one form.

``numerals(text, lang)`` finds what is written in digits: dates, percentages,
thousands separators, ``5만 257``, ``134.5 million``, ``10⁻⁵``. ``words(text, lang)``
finds numbers written out. Digits on one side must stand on the other side, as
digits or as words; words alone only have to avoid contradicting each other, because
``both``, ``one of them`` and 한 are not always counts.
"""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal, InvalidOperation

_MONTHS = "january february march april may june july august september october"
_MONTHS = [*_MONTHS.split(), "november", "december"]
_MONTH = "|".join([*_MONTHS, *(m[:3] + r"\.?" for m in _MONTHS), r"sept\.?"])

_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_UNITS = {"십": 10, "백": 100, "천": 1000, "만": 10**4, "억": 10**8, "조": 10**12}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_SCALES |= {"K": 10**3, "k": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}

_NUMBER = r"(?:\d+(?:[,\u202f\u2009']\d{3})+|\d+)(?:\.\d+)?|\.\d+"
_DATES = {
    "ko": [
        re.compile(r"(?P<y>\d{4})년\s*(?P<m>\d{1,2})월(?:\s*(?P<d>\d{1,2})일)?"),
        re.compile(r"(?P<m>\d{1,2})월\s*(?P<d>\d{1,2})일"),
    ],
    "en": [
        re.compile(
            rf"\b(?P<m>{_MONTH})\s+(?P<d>\d{{1,2}})(?:st|nd|rd|th)?\b(?!,?\d)"
            r"(?:,?\s+(?P<y>\d{4}))?",
            re.IGNORECASE,
        ),
        re.compile(
            rf"\b(?P<d>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?(?P<m>{_MONTH})\b"
            r"(?:,?\s+(?P<y>\d{4}))?",
            re.IGNORECASE,
        ),
        re.compile(rf"\b(?P<m>{_MONTH}),?\s+(?P<y>\d{{4}})\b", re.IGNORECASE),
    ],
    "": [
        re.compile(
            r"(?<!\d)(?P<y>\d{4})(?P<s>[-./])\s?(?P<m>\d{1,2})(?P=s)\s?(?P<d>\d{1,2})"
            r"(?!\d)\.?"
        ),
    ],
}
_ROMAN = re.compile(
    r"\b(?P<noun>Parts?|Chapters?|Sections?|Volumes?)\s+(?P<n>[IVX]+)\b"
)
_ROMANS = ["", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI"]
POWER = re.compile(
    rf"(?:(?P<a>[-−]?(?:{_NUMBER}))\s*[×·x]\s*)?(?<!\d)10"
    r"(?:(?P<e>[⁻⁺]?[⁰¹²³⁴-⁹]+)|\^\{?(?P<c>[-−]?\d+)\}?)"
)
_KOREAN = re.compile(
    r"(?:(?:\d[\d,]*(?:\.\d+)?)\s?[십백천만억조]+\s?)+(?:\d[\d,]*(?![\d.]))?"
)
_PLAIN = re.compile(
    rf"(?P<sign>(?<![\w\]\)%⟩])[-−–+]\s?)?(?P<n>{_NUMBER})"
    r"(?P<e>[eE][-−+]?\d+)?"
    r"(?:\s?(?P<scale>thousand|million|billion|trillion|[KkMBT](?![A-Za-z])))?"
    r"(?P<pct>\s?(?:%\s?[pP](?![A-Za-z])|%\s?포인트|％|%|퍼센트(?:포인트)?"
    r"|per\s?cent(?:age points?)?))?"
)


def _decimal(text: str) -> Decimal:
    plain = re.sub(r"[,\u202f\u2009']", "", text).replace("−", "-").replace("–", "-")
    return Decimal(plain.replace(" ", "").replace("+", ""))


def _show(value: Decimal, percent: bool = False) -> str:
    value = value.normalize()
    if value == value.to_integral() and abs(value) < 10**15:
        text = str(value.quantize(Decimal(1)))
    elif Decimal("1e-4") <= abs(value) < 10**15:
        text = format(value, "f")
    else:
        text = str(value)
    return text + ("%" if percent else "")


def _korean_value(text: str) -> Decimal:
    """Value of ``5만 257`` or ``1억 3,450만``."""
    total = Decimal(0)
    for number, units in re.findall(r"(\d[\d,]*(?:\.\d+)?)\s?([십백천만억조]*)", text):
        value = _decimal(number)
        for unit in units:
            value *= _UNITS[unit]
        total += value
    return total


def numerals(text: str, lang: str) -> list[frozenset[str]]:
    """Return each numeral of ``text`` as the set of values it may mean.

    Most sets hold one value; ``3만`` may be 30000 or "only 3" and holds both.

    >>> numerals("2026년 3월 5일에 1,115,394자", "ko")
    [frozenset({'2026-03-05'}), frozenset({'1115394'})]
    >>> numerals("1115394 characters on March 5, 2026", "en")
    [frozenset({'2026-03-05'}), frozenset({'1115394'})]
    """
    found: list[frozenset[str]] = []

    def date(match: re.Match[str]) -> str:
        part = match.groupdict()
        month = part["m"]
        if not month.isdigit():
            starts = [m.startswith(month.lower().rstrip(".")[:3]) for m in _MONTHS]
            month = str(starts.index(True) + 1)
        if not 1 <= int(month) <= 12:
            return match[0]
        pieces = [part.get("y"), month.zfill(2)]
        if part.get("d"):
            pieces.append(part["d"].zfill(2))
        found.append(frozenset(["-".join(piece for piece in pieces if piece)]))
        return " \ufffc "

    for pattern in _DATES[""] + _DATES[lang]:
        text = pattern.sub(date, text)

    def power(match: re.Match[str]) -> str:
        digits = (match["e"] or "").translate(_SUPERSCRIPT) or match["c"]
        value = Decimal(10) ** int(digits.replace("−", "-"))
        if match["a"]:
            value *= _decimal(match["a"])
        found.append(frozenset([_show(value)]))
        return " \ufffc "

    text = POWER.sub(power, text)

    def korean(match: re.Match[str]) -> str:
        values = {_show(_korean_value(match[0]))}
        particle = re.fullmatch(r"([\d,]+(?:\.\d+)?)만\s?", match[0])
        if particle:  # "3만 보면": only 3
            values.add(_show(_decimal(particle[1])))
        found.append(frozenset(values))
        return " \ufffc "

    def roman(match: re.Match[str]) -> str:
        if match["n"] not in _ROMANS:
            return match[0]
        return f"{match['noun']} {_ROMANS.index(match['n'])}"

    text = _ROMAN.sub(roman, text)
    if lang == "ko":
        text = _KOREAN.sub(korean, text)
    for match in _PLAIN.finditer(text):
        try:
            value = _decimal(match["n"] + (match["e"] or ""))
        except InvalidOperation:
            continue
        if match["sign"] and match["sign"][0] in "-−–":
            value = -value
        if match["scale"]:
            value *= _SCALES[match["scale"]]
        found.append(frozenset([_show(value, bool(match["pct"]))]))
    return found


_ENGLISH = {"zero": [0], "one": [1], "two": [2], "three": [3], "four": [4]}
_ENGLISH |= {"five": [5], "six": [6], "seven": [7], "eight": [8], "nine": [9]}
_ENGLISH |= {"ten": [10], "eleven": [11], "twelve": [12], "thirteen": [13]}
_ENGLISH |= {"fourteen": [14], "fifteen": [15], "sixteen": [16], "seventeen": [17]}
_ENGLISH |= {"eighteen": [18], "nineteen": [19], "twenty": [20], "thirty": [30]}
_ENGLISH |= {"forty": [40], "fifty": [50], "sixty": [60], "seventy": [70]}
_ENGLISH |= {"eighty": [80], "ninety": [90], "hundred": [100], "thousand": [1000]}
_ENGLISH |= {"million": [10**6], "first": [1], "second": [2], "third": [3, 1]}
_ENGLISH |= {"fourth": [4], "fifth": [5], "sixth": [6], "seventh": [7]}
_ENGLISH |= {"eighth": [8], "ninth": [9], "tenth": [10], "once": [1], "twice": [2]}
_ENGLISH |= {"double": [2], "both": [2], "pair": [2], "single": [1], "half": [1, 2]}
_ENGLISH |= {"quarter": [1, 4], "dozen": [12], "none": [0]}
_COUNTS = {word: _ENGLISH[word][0] for word in list(_ENGLISH)[2:13]}
_COUNTS |= {"twice": 2}

_KOREAN_WORDS = {"하나": [1], "한": [1], "첫": [1], "첫째": [1], "둘": [2], "두": [2]}
_KOREAN_WORDS |= {"둘째": [2], "셋": [3], "세": [3], "셋째": [3], "넷": [4], "네": [4]}
_KOREAN_WORDS |= {"다섯": [5], "여섯": [6], "일곱": [7], "여덟": [8], "아홉": [9]}
_KOREAN_WORDS |= {"열": [10], "열한": [11], "열두": [12], "스무": [20], "스물": [20]}
_KOREAN_WORDS |= {"절반": [1, 2], "반": [1, 2], "영": [0]}
_KOREAN_WORDS |= {"백": [100], "천": [1000], "만": [10**4]}
_COUNTERS = (
    "개|번|줄|배|층|쪽|가지|단계|문장|시간|장|칸|명|단어|벡터|행렬|헤드|토큰|글자|"
    "수|값|차례|방법|종류|사람|언어|항|점|식|그림|표|묶음|군데|곳|걸음|부분"
)
_KO_WORD = re.compile(
    rf"(?<![가-힣])({'|'.join(sorted(_KOREAN_WORDS, key=len, reverse=True))})"
    rf"(?=\s|[^가-힣]|{_COUNTERS}|째|[이가을를은는도로의와과]|$)"
)
_KO_COUNT = re.compile(
    "(?<![가-힣])(두|세|네|다섯|여섯|일곱|여덟|아홉|열|열한|열두)"
    rf"\s?(?:{_COUNTERS})"
)


def words(text: str, lang: str) -> set[int]:
    """Values that number words of ``text`` may stand for, generously."""
    if lang == "en":
        tokens = re.findall(r"[a-z]+", text.lower())
        plural = [token.removesuffix("s") for token in tokens]
        return {n for token in tokens + plural for n in _ENGLISH.get(token, ())}
    return {n for word in _KO_WORD.findall(text) for n in _KOREAN_WORDS[word]}


def counts(text: str, lang: str) -> set[int]:
    """Values from two to twelve that number words of ``text`` clearly count."""
    if lang == "en":
        tokens = re.findall(r"[a-z]+", text.lower())
        return {_COUNTS[token] for token in tokens if token in _COUNTS}
    return {_KOREAN_WORDS[word][0] for word in _KO_COUNT.findall(text)}


def _match(left: list[frozenset[str]], right: list[frozenset[str]]):
    """Remove what stands on both sides; return the rest of each."""
    rest = list(right)
    unmatched = []
    for item in sorted(left, key=len):
        same = [other for other in rest if other & item]
        if same:
            rest.remove(min(same, key=len))
        else:
            unmatched.append(item)
    return unmatched, rest


def compare(ko: str, en: str) -> tuple[list[str], list[str]]:
    """Return the numbers of each side that the other side does not hold.

    >>> compare("헤드 두 개와 3번 층", "2 heads and layer 3")
    ([], [])
    >>> compare("헤드 8개", "9 heads")
    (['8'], ['9'])
    """
    only_ko, only_en = _match(numerals(ko, "ko"), numerals(en, "en"))
    spelled = {"ko": words(ko, "ko"), "en": words(en, "en")}

    def unspoken(items: list[frozenset[str]], other: str) -> list[str]:
        values = {str(n) for n in spelled[other]}
        return sorted(min(item, key=len) for item in items if not item & values)

    left, right = unspoken(only_ko, "en"), unspoken(only_en, "ko")
    months = Counter(re.findall(r"(?<!\d)(\d{1,2})월(?!\s*\d)", ko))
    for month in months:  # "3월" against "March", with no day and no year
        name = _MONTHS[int(month) - 1] if 1 <= int(month) <= 12 else ""
        if name and month in left and re.search(rf"\b{name[:3]}", en, re.IGNORECASE):
            left.remove(month)
    said_ko = counts(ko, "ko")
    said_en = counts(en, "en")
    digits_ko = {v for item in numerals(ko, "ko") for v in item}
    digits_en = {v for item in numerals(en, "en") for v in item}
    lone_ko = {n for n in said_ko - spelled["en"] if str(n) not in digits_en}
    lone_en = {n for n in said_en - spelled["ko"] if str(n) not in digits_ko}
    if lone_ko and lone_en:
        left += [f"{n} (in words)" for n in sorted(lone_ko)]
        right += [f"{n} (in words)" for n in sorted(lone_en)]
    return left, right
