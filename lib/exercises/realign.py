"""Checks of the exercises of chapter 17."""

import math

import torch

from lib.exercises import Verdict, correct, exercise, not_yet

_NONE = ("아직 답이 없습니다.", "There is no answer yet.")


def _draw(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@exercise
def check_bits(answer) -> Verdict:
    """Bits per byte of one text, from the surprise of each token in nats."""
    for nats, text in (([2.0, 3.5, 0.5], "영화"), ([1.0] * 5, "hello"),
                       ([4.0, 4.0], "재미 ok")):
        found = answer(list(nats), text)
        if found is None or found is Ellipsis:
            return not_yet(*_NONE)
        found, whole, size = float(found), sum(nats), len(text.encode())
        bits = whole / math.log(2)
        if math.isclose(found, bits / size, rel_tol=1e-6):
            continue
        typical = (
            (whole / size, "냇이 그대로입니다. ln 2로 나누면 비트가 됩니다.",
             "These are nats; divide by ln 2 for bits."),
            (bits / len(text), "글자 수로 나누었습니다. 한글은 세 바이트입니다.",
             "This divides by characters; a Hangul syllable is three bytes of UTF-8."),
            (bits / len(nats), "토큰이 아니라 바이트 수로 나누십시오.",
             "Per token, every tokenizer has another value; divide by bytes."),
        )
        for value, ko, en in typical:
            if math.isclose(found, value, rel_tol=1e-6):
                return not_yet(ko, en)
        return not_yet(
            f"{text!r}에서 {found:.4g}가 나왔습니다. {bits / size:.4g}이어야 합니다.",
            f"For {text!r} it gives {found:.4g}; {bits / size:.4g} is wanted.",
        )
    return correct()


@exercise
def check_constituents(answer) -> Verdict:
    """Rows of new pieces: `(v, d)` and spellings in, `(n, d)` out."""
    spellings = [[3, 4, 4], [7], [0, 1, 2, 5]]
    for width in (4, 16):
        table = _draw(9, width, seed=width)
        found = answer(table.clone(), [list(s) for s in spellings])
        if found is None or found is Ellipsis:
            return not_yet(*_NONE)
        found = torch.as_tensor(found).double()
        if tuple(found.shape) != (len(spellings), width):
            return not_yet(
                f"모양이 {tuple(found.shape)}입니다. {(len(spellings), width)}이어야 "
                "합니다.",
                f"The shape is {tuple(found.shape)}; {(len(spellings), width)} is "
                "wanted.",
            )

        def rows(how, table=table):
            return torch.stack([how(table[s]) for s in spellings])

        if torch.allclose(found, rows(lambda x: x.mean(0)), atol=1e-6):
            continue
        once = torch.stack([table[sorted(set(s))].mean(0) for s in spellings])
        typical = (
            (rows(lambda x: x.sum(0)), "더하기만 했습니다. 토큰의 수로 나누십시오.",
             "This is the sum; divide by the number of tokens."),
            (rows(lambda x: x[0]), "첫 토큰만 썼습니다. 모두 평균하십시오.",
             "This takes the first token only; average them all."),
            (rows(lambda x: x[-1]), "마지막 토큰만 썼습니다. 모두 평균하십시오.",
             "This takes the last token only; average them all."),
            (once, "두 번 나온 토큰은 두 번 셉니다.",
             "A token that stands twice counts twice."),
            (table.mean(0).expand_as(found),
             "표 전체의 평균입니다. 조각을 적던 토큰의 행만 평균하십시오.",
             "This is the mean of the whole table; take the rows that spell a piece."),
        )
        for wrong, ko, en in typical:
            if torch.allclose(found, wrong, atol=1e-6):
                return not_yet(ko, en)
        return not_yet("값이 다릅니다. 조각마다 그 토큰들의 행을 평균하십시오.",
                       "The values differ; for each piece average the rows of its "
                       "tokens.")
    return correct()


@exercise
def check_mass(answer) -> Verdict:
    """The probability that new output rows take, averaged over positions."""
    for seed, (n, v, k, d) in enumerate(((6, 20, 3, 8), (1, 5, 5, 4), (9, 40, 2, 16))):
        hidden, old, new = _draw(n, d, seed=seed), _draw(v, d, seed=seed + 9), _draw(
            k, d, seed=seed + 99)
        found = answer(hidden.clone(), old.clone(), new.clone())
        if found is None or found is Ellipsis:
            return not_yet(*_NONE)
        found = float(found)
        logits = hidden @ torch.cat((old, new)).T
        share = logits.softmax(-1)[:, v:]
        right = share.sum(-1).mean().item()
        if math.isclose(found, right, rel_tol=1e-5):
            continue
        typical = (
            (1.0, "새 행끼리만 소프트맥스를 했습니다. 옛 행과 함께 해야 합니다.",
             "The softmax runs over the new rows alone; the old rows belong to it."),
            (1 - right, "옛 행이 가진 확률입니다. 새 행의 것이 필요합니다.",
             "This is the share of the old rows; the new ones are asked for."),
            (share.mean().item(), "새 행들의 확률을 평균했습니다. 자리마다 더하십시오.",
             "This averages over the new rows; at each position add them up."),
            (share.sum().item(), "자리마다 더한 값을 자리에 대해 평균하십시오.",
             "Average over the positions what is summed at each."),
            (k / (k + v), "행의 수를 세었습니다. 확률은 로짓의 소프트맥스입니다.",
             "This counts rows; probability is the softmax of the logits."),
        )
        for value, ko, en in typical:
            if math.isclose(found, value, rel_tol=1e-5):
                return not_yet(ko, en)
        return not_yet(f"{found:.4g}가 나왔습니다. {right:.4g}이어야 합니다.",
                       f"It gives {found:.4g}; {right:.4g} is wanted.")
    return correct()
