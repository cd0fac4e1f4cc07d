"""Korean particles after a value that only a run knows: 0.121이었다, 0.125였다."""

import re

MARKS = {  # as it is written: after a consonant, after a vowel
    "이(가)": ("이", "가"),
    "은(는)": ("은", "는"),
    "을(를)": ("을", "를"),
    "과(와)": ("과", "와"),
    "(으)로": ("으로", "로"),
    "(이)었": ("이었", "였"),
    "(이)어": ("이어", "여"),
    "(이)": ("이", ""),  # (이)나, (이)란, (이)든, (이)라도
}
MARK = "|".join(map(re.escape, MARKS))
VOWEL, L, CONSONANT = "", "ㄹ", "받침"
_DIGITS = (CONSONANT, L, VOWEL, CONSONANT, VOWEL,  # 영 일 이 삼 사
           VOWEL, CONSONANT, L, L, VOWEL)  # 오 육 칠 팔 구
_LETTERS = {"L": L, "M": CONSONANT, "N": CONSONANT, "R": L}  # 엘 엠 엔 알
_TRILLIONS = range(12, 16)  # 조 is the only unit of ten that ends in a vowel
_POWER = re.compile(r"\de[+-]?\d+$|[⁰¹²³⁴⁵⁶⁷⁸⁹]$")
_NUMBER = re.compile(r"\d(?:[\d,]*\d)?(?P<decimals>\.\d+)?$")
_UNIT = re.compile(r"\d\s?(?:%p?|×|ms|s|[kKMGT]i?B)$")  # 퍼센트, 배, 밀리초, 바이트
_NAME = re.compile(r"(?<![a-z])[A-Z]$|(?<![A-Za-z])[a-z]$")


def final_sound(text: str) -> str | None:
    """How the last syllable ends when a Korean reads `text` aloud.

    VOWEL, L or CONSONANT; None where spelling does not tell, as in a word of another
    language. What stands in parentheses at the end is not read.

    >>> [final_sound(text) for text in ("0.125", "0.121", "10", "96 %", "L16H0")]
    ['', 'ㄹ', '받침', '', '받침']
    """
    text = re.sub(r"<[^>]*>", "", text.strip())
    text = re.sub(r"\s*\([^()]*\)$", "", text) or text.rstrip(",)")  # (3, 4) is read
    text = text.rstrip(" *_`$\"'”’»]")
    if not text:
        return None
    if "가" <= text[-1] <= "힣":
        final = (ord(text[-1]) - ord("가")) % 28
        return VOWEL if not final else L if final == 8 else CONSONANT
    if _POWER.search(text):  # 제곱
        return CONSONANT
    if number := _NUMBER.search(text):
        digits = number[0].replace(",", "")
        zeros = len(digits) - len(digits.rstrip("0"))
        if number["decimals"] or not zeros:
            return _DIGITS[int(digits[-1])]
        return VOWEL if zeros in _TRILLIONS and zeros < len(digits) else CONSONANT
    if _UNIT.search(text):
        return VOWEL
    if _NAME.search(text):
        return _LETTERS.get(text[-1].upper(), VOWEL)
    return None


def particle(word: str, mark: str) -> str:
    """The form of a particle after `word`; the mark itself where none can be told.

    >>> particle("0.121", "(이)었"), particle("0.125", "(이)었")
    ('이었', '였')
    >>> [particle(word, "(으)로") for word in ("0.121", "0.3", "12 %", "cat")]
    ['로', '으로', '로', '(으)로']
    """
    final = final_sound(word)
    if final is None:
        return mark
    closed = final == CONSONANT or (final == L and mark != "(으)로")
    return MARKS[mark][0 if closed else 1]


def settle(text: str) -> str:
    """Every particle that a text writes in both forms, after the word before it.

    >>> settle("0.52이(가) 나왔습니다. 3(이)어야 합니다."), settle("cat을(를) 봅니다.")
    ('0.52가 나왔습니다. 3이어야 합니다.', 'cat을(를) 봅니다.')
    """
    return re.sub(MARK, lambda mark: particle(text[: mark.start()], mark[0]), text)
