"""Checks for the exercises of the chapter on reassigning a vocabulary."""

import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from lib.exercises import Hint, Verdict, correct, exercise, require
from lib.exercises.compare import compare
from lib.tokens.distill import to_chars
from lib.vocabulary.reassign import RuleError, read_rules, remap_tokenizer, shown_piece
from lib.vocabulary.search import fewest_tokens

#: Pieces of more than one byte in the tokenizer of the exercise with rules.
TOY = {256: "an", 257: "na", 258: "ban", 259: "bana"}


@cache
def toy_tokenizer() -> Tokenizer:
    """A byte-level Unigram of the 256 bytes, the pieces of `TOY` and `<end>` (260)."""
    vocab = [(to_chars(bytes([byte])), -4.0) for byte in range(256)]
    vocab += [(piece, -6.0) for piece in TOY.values()] + [("<end>", -1000.0)]
    tokenizer = Tokenizer(models.Unigram(vocab, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<end>"])
    return tokenizer


@exercise
def check_fewest(answer) -> None:
    """`answer(word, pieces)` is the least number of pieces that spell the word.

    Every single character is a piece as well.
    """
    for word, pieces in (
        ("banana", ("ban", "ana", "nana", "ba")),
        ("영화관람평", ("영화", "영화관", "관람평")),
        ("aaaaa", ("aa", "aaa")),
        ("x", ()),
    ):
        want = _tokens({word: 1}, {*pieces})
        got = answer(word, {*pieces, *word})
        require(isinstance(got, int) and not isinstance(got, bool),
                f"{got!r} 대신 정수 하나를 돌려주십시오.",
                f"Return one whole number, not {got!r}.")
        require(got >= want,
                f"{word}: 조각 {got}개로는 적을 수 없습니다. 조각의 끝과 다음 조각의 "
                "시작이 맞닿아야 합니다.",
                f"{word}: {got} pieces cannot spell it; each piece begins where the "
                "one before ends.")
        require(got <= want,
                f"{word}: {got}개보다 적은 {want}개로도 적을 수 있습니다. 앞에서부터 "
                "긴 조각을 고르는 것으로는 모자랍니다.",
                f"{word}: {want} pieces are enough, {got} are more; taking the "
                "longest piece from the left does not do.")


def _tokens(words: Mapping[str, int], pieces: set[str]) -> int:
    whole = {*pieces, *"".join(words)}
    return fewest_tokens({word.encode(): n for word, n in words.items()},
                         [piece.encode() for piece in whole])


_CORPUS: tuple[tuple[dict[str, int], set[str]], ...] = (
    ({"영화": 10, "영화관": 4, "영": 3, "화면": 5}, {"영화", "영화관", "화면"}),
    ({"aab": 7, "abab": 2, "b": 9}, {"ab", "aab", "abab"}),
)


@exercise
def check_loss(answer) -> None:
    """`answer(words, pieces, piece)`: how many tokens more, if `piece` is missing.

    Every single character is a piece as well, in `pieces` or not.
    """
    for words, pieces in _CORPUS:
        for piece in sorted(pieces):
            want = _tokens(words, pieces - {piece}) - _tokens(words, pieces)
            got = answer(dict(words), set(pieces), piece)
            uses = sum(n for word, n in words.items() if piece in word)
            compare(got, want, [
                (uses * (len(piece) - 1),
                 (f"{piece}: {got}개는 글자로 흩어질 때의 수입니다. 남은 조각으로 다시 "
                  "자르면 덜 늘어납니다."),
                 (f"{piece}: {got} is what it costs to fall apart into characters; "
                  "cut again with the pieces that are left.")),
                (-want, "부호를 뒤집으십시오. 늘어난 수를 묻습니다.",
                 "Turn the sign round: it asks how many more."),
            ], f"{piece}: {got!r}이(가) 아니라 {want}개 늘어납니다. 낱말마다 가장 적은 "
               "토큰 수를 두 번 구해 빼십시오.",
               f"{piece}: {want} more, not {got!r}; take the fewest tokens of each "
               "word twice and subtract.")


@exercise
def check_rules(text: Any) -> Verdict:
    """Rules by hand for `toy_tokenizer()`: *banana* is to become one token."""
    require(isinstance(text, str),
            "규칙을 적은 문자열을 주십시오.", "Give a string of rules.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "remap_rules.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            rules = read_rules(path, toy_tokenizer())
        except RuleError as error:
            raise Hint(f"규칙을 쓸 수 없습니다: {error}",
                       f"The rules cannot be used: {error}") from None
    remapped = remap_tokenizer(toy_tokenizer(), rules)
    cut = remapped.encode("banana").ids
    require(len(cut) == 1,
            f"규칙은 옳지만 banana가 아직 토큰 {len(cut)}개입니다.",
            f"The rules are sound, but banana still takes {len(cut)} tokens.")
    require(len(remapped.encode("ban").ids) == 1,
            "banana는 토큰 하나가 되었지만 ban이 길어졌습니다. 다른 토큰을 "
            "내놓으십시오.",
            "banana is one token, but ban has become longer; give up another token.")
    return correct(f"맞았습니다. 번호 {cut[0]}의 뜻이 바뀌었습니다.",
                   f"Correct: id {cut[0]} has a new meaning.")


@exercise
def check_paid(text: Any, before: Any, after: Any) -> Verdict:
    """A text that takes more tokens under `after` than under `before`."""
    require(isinstance(text, str) and text,
            "빈 문자열이 아닌 글을 주십시오.", "Give a text, not an empty one.")
    old, new = (len(tokenizer.encode(text, add_special_tokens=False).ids)
                for tokenizer in (before, after))
    change = "그대로 남습니다" if new == old else f"{new}개로 줄어듭니다"
    gone = _some(before, after)
    require(new > old,
            f"토큰 {old}개가 {change}. 내놓은 조각 {gone} 같은 것을 쓰십시오.",
            f"It takes {old} before and {new} after; use what was given up, such as "
            f"{gone}.")
    return correct(f"맞았습니다. 토큰 {old}개가 {new}개가 되었습니다.",
                   f"Correct: {new} tokens instead of {old}.")


def _some(before: Any, after: Any) -> str:
    """A piece that the one tokenizer has and the other has given up."""
    gone = before.get_vocab().keys() - after.get_vocab().keys()
    first = min(gone, key=before.token_to_id, default="")
    text = before.decode([before.token_to_id(first)]) if first else ""
    return shown_piece(text.encode())
