"""Checks of the exercises of chapter 17."""

import math

import torch

from lib.exercises import exercise
from lib.exercises.compare import compare, draw, number, tensor


@exercise
def check_bits(answer) -> None:
    """Bits per byte of one text, from the surprise of each token in nats."""
    for nats, text in (([2.0, 3.5, 0.5], "영화"), ([1.0] * 5, "hello"),
                       ([4.0, 4.0], "재미 ok")):
        got, size = number(answer(list(nats), text)), len(text.encode())
        bits = sum(nats) / math.log(2)
        compare(got, bits / size, [
            (sum(nats) / size, "냇이 그대로입니다. ln 2로 나누면 비트가 됩니다.",
             "These are nats; divide by ln 2 for bits."),
            (bits / len(text), "글자 수로 나누었습니다. 한글은 세 바이트입니다.",
             "This divides by characters; a Hangul syllable is three bytes of UTF-8."),
            (bits / len(nats), "토큰이 아니라 바이트 수로 나누십시오.",
             "Per token, every tokenizer has another value; divide by bytes."),
        ], f"{text!r}에서 {got:.4g}이(가) 나왔습니다. "
           f"{bits / size:.4g}(이)어야 합니다.",
           f"For {text!r} it gives {got:.4g}; {bits / size:.4g} is wanted.")


@exercise
def check_constituents(answer) -> None:
    """Rows of new pieces: `(v, d)` and spellings in, `(n, d)` out."""
    spellings = [[3, 4, 4], [7], [0, 1, 2, 5]]
    for width in (4, 16):
        table = draw(9, width, seed=width)
        rows = [table[spelling] for spelling in spellings]
        once = torch.stack([table[sorted(set(s))].mean(0) for s in spellings])
        got = tensor(answer(table.clone(), [list(s) for s in spellings]),
                     (len(spellings), width))
        compare(got, torch.stack([x.mean(0) for x in rows]), [
            (torch.stack([x.sum(0) for x in rows]),
             "더하기만 했습니다. 토큰의 수로 나누십시오.",
             "This is the sum; divide by the number of tokens."),
            (torch.stack([x[0] for x in rows]),
             "첫 토큰만 썼습니다. 모두 평균하십시오.",
             "This takes the first token only; average them all."),
            (torch.stack([x[-1] for x in rows]),
             "마지막 토큰만 썼습니다. 모두 평균하십시오.",
             "This takes the last token only; average them all."),
            (once, "두 번 나온 토큰은 두 번 셉니다.",
             "A token that stands twice counts twice."),
            (table.mean(0).expand_as(got),
             "표 전체의 평균입니다. 조각을 적던 토큰의 행만 평균하십시오.",
             "This is the mean of the whole table; take the rows that spell a piece."),
        ], "값이 다릅니다. 조각마다 그 토큰들의 행을 평균하십시오.",
           "The values differ; for each piece average the rows of its tokens.",
           rtol=1e-5, atol=1e-6)


@exercise
def check_mass(answer) -> None:
    """The probability that new output rows take, averaged over positions."""
    for seed, (n, v, k, d) in enumerate(((6, 20, 3, 8), (1, 5, 5, 4), (9, 40, 2, 16))):
        hidden, old = draw(n, d, seed=seed), draw(v, d, seed=seed + 9)
        new = draw(k, d, seed=seed + 99)
        got = number(answer(hidden.clone(), old.clone(), new.clone()))
        share = (hidden @ torch.cat((old, new)).T).softmax(-1)[:, v:]
        right = share.sum(-1).mean().item()
        compare(got, right, [
            (1.0, "새 행끼리만 소프트맥스를 했습니다. 옛 행과 함께 해야 합니다.",
             "The softmax runs over the new rows alone; the old rows belong to it."),
            (1 - right, "옛 행이 가진 확률입니다. 새 행의 것이 필요합니다.",
             "This is the share of the old rows; the new ones are asked for."),
            (share.mean(), "새 행들의 확률을 평균했습니다. 자리마다 더하십시오.",
             "This averages over the new rows; at each position add them up."),
            (share.sum(), "자리마다 더한 값을 자리에 대해 평균하십시오.",
             "Average over the positions what is summed at each."),
            (k / (k + v), "행의 수를 세었습니다. 확률은 로짓의 소프트맥스입니다.",
             "This counts rows; probability is the softmax of the logits."),
        ], rtol=1e-5)
