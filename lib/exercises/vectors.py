"""Checks of the exercises of chapter 01.

Each check asks for what the answer does, never for how.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F

from lib.attention.layers import sinusoidal_positions
from lib.exercises import exercise, require
from lib.exercises.compare import close, compare, draw, tensor


@exercise
def check_stream(answer) -> None:
    """The text that each byte piece completes: pieces in, as many strings out."""
    for pieces in _streams():
        got = list(answer(list(pieces)))
        require(len(got) == len(pieces),
                f"조각 {len(pieces)}개에 문자열 {len(got)}개가 나왔습니다. 조각마다 "
                "하나씩, 완성된 글자가 없으면 빈 문자열을 내야 합니다.",
                f"{len(pieces)} pieces gave {len(got)} strings; give one a piece, "
                "an empty one where no character is complete.")
        text, joined = b"".join(pieces).decode(), "".join(got)
        require("\ufffd" not in joined,
                "깨진 글자가 나왔습니다. 글자가 완성될 때까지 바이트를 모아 두십시오.",
                "A broken character came out; keep the bytes until they make one.")
        require(joined == text or got[-1] != text,
                "지금까지의 글 전체가 아니라 이번 조각으로 새로 완성된 글자만 "
                "내십시오.",
                "Give only what this piece has completed, not the whole text so far.")
        require(joined == text,
                f"이어 붙이면 {joined!r}입니다. {text!r}(이)어야 합니다.",
                f"Joined they make {joined!r}; it should be {text!r}.")
        require(got == _completed(pieces),
                f"글자가 완성되자마자 내보내야 합니다. {pieces}에서 {got}이(가) "
                "나왔습니다.",
                f"A character must come out as soon as it is complete; {pieces} gave "
                f"{got}.")


def _streams() -> Iterator[list[bytes]]:
    yield [b"cat", b" drinks"]
    yield [bytes([byte]) for byte in "물".encode()]
    yield [b"\xec\x9d", b"\x84 ", "물".encode()]
    raw = "고양이 🙂!".encode()
    for size in (1, 2, 5):  # a piece may end one character and begin the next
        yield [raw[i : i + size] for i in range(0, len(raw), size)]


def _completed(pieces: list[bytes]) -> list[str]:
    """Reference: each character belongs to the piece that holds its last byte."""
    ends = [len(b"".join(pieces[: i + 1])) for i in range(len(pieces))]
    out, place = [""] * len(pieces), 0
    for character in b"".join(pieces).decode():
        place += len(character.encode())
        out[next(i for i, end in enumerate(ends) if place <= end)] += character
    return out


@exercise
def check_neighbours(answer) -> None:
    """The ids of the k rows nearest to one row by cosine, without itself."""
    for seed, (rows, width, k) in enumerate(((12, 4, 3), (40, 8, 5), (30, 3, 1))):
        matrix = draw(rows, width, seed=seed) * draw(rows, 1, seed=9 + seed).exp()
        matrix = matrix + 0.5  # a common direction, as in a real model
        for row in (0, rows // 2):
            got = [int(i) for i in answer(matrix.clone(), row, k)]
            require(row not in got, f"{row}번 자신이 들어 있습니다. 자신은 빼십시오.",
                    f"Row {row} itself is among them; leave it out.")
            require(len(got) == k,
                    f"{k}개를 찾아야 하는데 {len(got)}개가 나왔습니다.",
                    f"{k} neighbours are wanted, {len(got)} came.")

            def largest(score, row=row, k=k):
                score = score.clone()
                score[row] = -torch.inf
                return sorted(score.topk(k).indices.tolist())

            cosine = F.cosine_similarity(matrix, matrix[row : row + 1])
            distance = torch.cdist(matrix, matrix[row : row + 1])[:, 0]
            compare(sorted(got), largest(cosine), [
                (largest(matrix @ matrix[row]),
                 "내적이 큰 순서입니다. 긴 행이 유리해지지 않게 길이로 나누십시오.",
                 ("This is the order of dot products; divide by the lengths, or long "
                  "rows win.")),
                (largest(-distance),
                 "거리가 가까운 순서입니다. 코사인은 방향만 봅니다.",
                 ("This is the order of distances; the cosine looks at directions "
                  "only.")),
                (largest(-cosine),
                 "가장 먼 행들입니다. 코사인이 큰 쪽을 고르십시오.",
                 "These are the farthest rows; take the largest cosines."),
            ], f"{row}번에 코사인이 더 큰 행이 있습니다.",
               f"Some row has a larger cosine with row {row}.")


@exercise
def check_gradient(answer) -> None:
    """The gradient of the embedding matrix from that of the looked-up rows."""
    for seed, (places, vocab) in enumerate((([2, 0, 3], 5), ([1, 1, 4, 1], 6))):
        ids, grad = torch.tensor(places), draw(len(places), 3, seed=seed)
        got = tensor(answer(ids.clone(), grad.clone(), vocab), (vocab, 3),
                     "임베딩 행렬과 같은 모양입니다.",
                     "It is that of the embedding matrix.")
        one_hot = F.one_hot(ids, vocab).double()
        right, last = one_hot.T @ grad, torch.zeros(vocab, 3).double()
        for i, row in zip(places, grad, strict=True):
            last[i] = row
        compare(got, right, [
            (right / one_hot.sum(0).clamp(min=1)[:, None],
             "평균이 아니라 합입니다.", "It is the sum, not the mean."),
            (last,
             ("같은 토큰이 여러 번 나오면 기울기를 더해야 합니다. 마지막 것만 "
              "남았습니다."),
             ("A token that occurs several times adds up its gradients; only the "
              "last one is left.")),
        ], "값이 다릅니다. 꺼내 쓰지 않은 행은 0, 꺼내 쓴 행은 그 자리들의 기울기의 "
           "합입니다.",
           "The values differ: 0 for rows not looked up, for the others the sum over "
           "the places where they stand.", rtol=1e-5, atol=1e-6)


@exercise
def check_place(answer) -> None:
    """Read the position off a sinusoidal vector."""
    for width, places in ((32, range(60)), (64, range(0, 400, 7))):
        table = sinusoidal_positions(max(places) + 1, width).double()
        came = {place: answer(table[place].clone()) for place in places}
        for place, got in came.items():
            compare(got, place, [
                (place > 3 and width == 32,
                 (f"자리 {place}부터 틀립니다({got}). 첫 쌍의 바늘은 여섯 자리 "
                  "남짓이면 한 바퀴를 돕니다. 느린 쌍도 보십시오."),
                 (f"It goes wrong from position {place} on ({got}): the first pair "
                  "comes round after about six positions; use slower pairs too.")),
            ], f"너비 {width}, 자리 {place}의 벡터에서 {got}이(가) 나왔습니다.",
               f"The vector of position {place}, width {width}, gave {got}.")


@exercise
def check_shift(answer) -> None:
    """The matrix that moves every sinusoidal position by k."""
    for k, width in ((1, 4), (7, 16), (3, 64)):
        matrix = tensor(answer(k, width), (width, width))
        table = _table(200 + k, width)
        half = torch.cat((table[:, 0::2], table[:, 1::2]), dim=1)
        moved, near = table[:-k] @ matrix.T, {"rtol": 1e-5, "atol": 1e-4}
        compare(moved, table[k:], [
            (close(table[:-k] @ matrix, table[k:], **near),
             ("반대쪽으로 옮깁니다. 부호를 바꾸거나 전치하십시오. "
              "M P[t] = P[t + k]이어야 합니다."),
             ("It moves the other way; change a sign or transpose it: "
              "M P[t] = P[t + k] is wanted.")),
            (close(half[:-k] @ matrix.T, half[k:], **near),
             ("사인이 앞에, 코사인이 뒤에 모인 배치에 맞는 행렬입니다. 이 장에서는 "
              "사인과 코사인이 번갈아 놓입니다."),
             ("This fits a table with all sines first and all cosines after; here "
              "they alternate.")),
            (bool((moved[0] - table[k]).abs().max() < 1e-4),
             "자리 0에서만 맞습니다. 어느 자리에서 출발해도 같은 행렬이어야 합니다.",
             ("It is right from position 0 only; the same matrix must serve every "
              "position.")),
        ], f"k = {k}, 너비 {width}에서 자리가 맞지 않습니다. 쌍마다 k·ω만큼 "
           "돌리십시오.",
           f"With k = {k} and width {width} the positions do not match; turn each "
           "pair by k·ω.", **near)


def _table(seq: int, width: int) -> torch.Tensor:
    """Sinusoidal positions in float64, sines and cosines in turn."""
    speed = torch.exp(-math.log(10_000) / width
                      * torch.arange(0, width, 2, dtype=torch.float64))
    angle = torch.arange(seq, dtype=torch.float64)[:, None] * speed
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)
