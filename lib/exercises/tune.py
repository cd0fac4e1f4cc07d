"""Checks of the exercises of chapter 18."""

import torch

from lib.exercises import exercise
from lib.exercises.compare import compare, number, tensor


@exercise
def check_mask(answer) -> None:
    """The gradient of a table, left in the rows of `ids` only."""
    generator = torch.Generator().manual_seed(0)
    for ids in ([1, 4], [0], list(range(6))):
        grad = torch.randn(6, 3, generator=generator)
        right = torch.zeros_like(grad)
        right[ids] = grad[ids]
        compare(tensor(answer(grad.clone(), list(ids)), grad.shape,
                       "기울기와 같은 모양입니다.", "It is that of the gradient."),
                right, [
            (grad - right,
             "거꾸로입니다. 새 행의 기울기를 남기고 나머지를 0으로 만드십시오.",
             "It is the other way round: keep the new rows, zero the rest."),
            (grad, "아무것도 가리지 않았습니다.", "Nothing was masked."),
        ], "남은 행의 값은 그대로이고 다른 행은 모두 0이어야 합니다.",
           "Kept rows keep their values; all others must be 0.", rtol=0.0, atol=0.0)


@exercise
def check_global_mean(answer) -> None:
    """The loss of a whole batch from the sums and token numbers of its parts."""
    for parts in ([(12.0, 4), (30.0, 20)], [(5.0, 5)], [(8.0, 2), (0.0, 0), (6.0, 12)]):
        got = number(answer([tuple(part) for part in parts]))
        whole, tokens = (sum(column) for column in zip(*parts, strict=True))
        means = [loss / n for loss, n in parts if n]
        compare(got, whole / tokens, [
            (sum(means) / len(means),
             "평균의 평균입니다. 토큰이 적은 부분이 너무 크게 셉니다.",
             "This is a mean of means; parts with few tokens count too much."),
            (whole / len(parts), "부분의 수가 아니라 토큰의 수로 나누십시오.",
             "Divide by the number of tokens, not of parts."),
        ], f"{parts}에서 {got:.4g}이(가) 나왔습니다. "
           f"{whole / tokens:.4g}(이)어야 합니다.",
           f"For {parts} it gives {got:.4g}; {whole / tokens:.4g} is wanted.",
           rtol=1e-9)


@exercise
def check_bytes(answer) -> None:
    """Bytes of domain text that a budget of tokens reaches, replay taken off."""
    for tokens, per_byte, share in ((1000, 0.5, 0.25), (4096, 0.2, 0.0),
                                    (30_000, 0.75, 0.5)):
        got = number(answer(tokens, per_byte, share))
        compare(got, tokens * (1 - share) / per_byte, [
            (tokens / per_byte, "되새김의 몫을 빼지 않았습니다.",
             "The share of replay was not taken off."),
            (tokens * (1 - share) * per_byte,
             "곱하지 말고 나누십시오. 바이트당 토큰이 적을수록 더 많은 글을 봅니다.",
             "Divide, do not multiply: fewer tokens a byte reach more text."),
            (tokens * share / per_byte,
             "되새김하는 글의 바이트입니다. 나머지가 필요합니다.",
             "These are the bytes of replay; the others are asked for."),
        ])
