"""Checks of the exercises of chapter 18."""

import math

import torch

from lib.exercises import Verdict, correct, exercise, not_yet

_NONE = ("아직 답이 없습니다.", "There is no answer yet.")


@exercise
def check_mask(answer) -> Verdict:
    """The gradient of a table, left in the rows of `ids` only."""
    generator = torch.Generator().manual_seed(0)
    for ids in ([1, 4], [0], list(range(6))):
        grad = torch.randn(6, 3, generator=generator)
        found = answer(grad.clone(), list(ids))
        if found is None or found is Ellipsis:
            return not_yet(*_NONE)
        found = torch.as_tensor(found)
        if found.shape != grad.shape:
            return not_yet(
                f"모양이 {tuple(found.shape)}입니다. 기울기와 같은 {tuple(grad.shape)}"
                "이어야 합니다.",
                f"The shape is {tuple(found.shape)}; it must be that of the gradient, "
                f"{tuple(grad.shape)}.",
            )
        right = torch.zeros_like(grad)
        right[ids] = grad[ids]
        if torch.equal(found, right):
            continue
        if torch.equal(found, grad - right):
            return not_yet("거꾸로입니다. 새 행의 기울기를 남기고 나머지를 0으로 "
                           "만드십시오.",
                           "It is the other way round: keep the new rows, zero the "
                           "rest.")
        if torch.equal(found, grad):
            return not_yet("아무것도 가리지 않았습니다.", "Nothing was masked.")
        return not_yet("남은 행의 값은 그대로이고 다른 행은 모두 0이어야 합니다.",
                       "Kept rows keep their values; all others must be 0.")
    return correct()


@exercise
def check_global_mean(answer) -> Verdict:
    """The loss of a whole batch from the sums and token numbers of its parts."""
    for parts in ([(12.0, 4), (30.0, 20)], [(5.0, 5)], [(8.0, 2), (0.0, 0), (6.0, 12)]):
        found = answer([tuple(part) for part in parts])
        if found is None or found is Ellipsis:
            return not_yet(*_NONE)
        found = float(found)
        whole, tokens = (sum(column) for column in zip(*parts, strict=True))
        if math.isclose(found, whole / tokens, rel_tol=1e-9):
            continue
        means = [loss / n for loss, n in parts if n]
        if math.isclose(found, sum(means) / len(means), rel_tol=1e-9):
            return not_yet("평균의 평균입니다. 토큰이 적은 부분이 너무 크게 셉니다.",
                           "This is a mean of means; parts with few tokens count too "
                           "much.")
        if math.isclose(found, whole / len(parts), rel_tol=1e-9):
            return not_yet("부분의 수가 아니라 토큰의 수로 나누십시오.",
                           "Divide by the number of tokens, not of parts.")
        return not_yet(f"{parts}에서 {found:.4g}가 나왔습니다. "
                       f"{whole / tokens:.4g}이어야 합니다.",
                       f"For {parts} it gives {found:.4g}; {whole / tokens:.4g} is "
                       "wanted.")
    return correct()


@exercise
def check_bytes(answer) -> Verdict:
    """Bytes of domain text that a budget of tokens reaches, replay taken off."""
    for tokens, per_byte, share in ((1000, 0.5, 0.25), (4096, 0.2, 0.0),
                                    (30_000, 0.75, 0.5)):
        found = answer(tokens, per_byte, share)
        if found is None or found is Ellipsis:
            return not_yet(*_NONE)
        found, right = float(found), tokens * (1 - share) / per_byte
        if math.isclose(found, right, rel_tol=1e-6):
            continue
        typical = (
            (tokens / per_byte, "되새김의 몫을 빼지 않았습니다.",
             "The share of replay was not taken off."),
            (tokens * (1 - share) * per_byte,
             "곱하지 말고 나누십시오. 바이트당 토큰이 적을수록 더 많은 글을 봅니다.",
             "Divide, do not multiply: fewer tokens a byte reach more text."),
            (tokens * share / per_byte,
             "되새김하는 글의 바이트입니다. 나머지가 필요합니다.",
             "These are the bytes of replay; the others are asked for."),
        )
        for value, ko, en in typical:
            if math.isclose(found, value, rel_tol=1e-6):
                return not_yet(ko, en)
        return not_yet(f"{found:.4g}가 나왔습니다. {right:.4g}이어야 합니다.",
                       f"It gives {found:.4g}; {right:.4g} is wanted.")
    return correct()
