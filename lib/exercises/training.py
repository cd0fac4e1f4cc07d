"""Checks of the exercises of chapter 05.

Each check asks for what the answer does, never for how.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.attention.translation import MAX_NUMBER, spell_korean
from lib.exercises import Verdict, correct, exercise, not_yet

PAD, BOS, EOS = 0, 1, 2
NOTHING = "아직 답이 없습니다.", "There is no answer yet."


def _empty(answer: object) -> bool:
    return answer is None or answer is Ellipsis


# ---- 1. teacher forcing -----------------------------------------------------


@exercise
def check_shift(answer) -> Verdict:
    """What the decoder reads and what it should say, from a batch of targets."""
    for rows in ([[1, 7, 8, 9, 2]], [[1, 5, 6, 2, 0, 0], [1, 4, 2, 0, 0, 0],
                                     [1, 5, 4, 6, 7, 2]]):
        target = torch.tensor(rows)
        found = answer(target.clone())
        if _empty(found):
            return not_yet(*NOTHING)
        read, say = found
        if tuple(read.shape) != tuple(say.shape):
            return not_yet(
                f"입력은 {tuple(read.shape)}, 정답은 {tuple(say.shape)}입니다. "
                "자리마다 정답이 하나씩 있어야 합니다.",
                f"The input is {tuple(read.shape)} and the labels {tuple(say.shape)}; "
                "every position needs one label.",
            )
        right = target[:, :-1], target[:, 1:]
        if torch.equal(read, right[0]) and torch.equal(say, right[1]):
            continue
        if torch.equal(read, right[1]) and torch.equal(say, right[0]):
            return not_yet("순서가 바뀌었습니다. 읽는 쪽이 먼저입니다.",
                           "The two are swapped; what is read comes first.")
        if torch.equal(read, say):
            return not_yet("읽은 것을 그대로 말하게 됩니다. 한 칸 밀어야 합니다.",
                           "It would say what it has just read; shift by one.")
        if BOS in say:
            return not_yet("<bos>는 말할 것이 아니라 읽을 것입니다.",
                           "<bos> is read, never said.")
        if len(rows) == 1 and EOS not in say:
            return not_yet("언제 멈출지도 배워야 합니다. 정답에 <eos>가 없습니다.",
                           "It must learn when to stop; the labels lack <eos>.")
        return not_yet(
            f"{target[0].tolist()}에서 {read[0].tolist()}, {say[0].tolist()}이 "
            "나왔습니다. 자리마다 바로 다음 토큰이 정답입니다.",
            f"From {target[0].tolist()} came {read[0].tolist()} and "
            f"{say[0].tolist()}; the label of each position is the token after it.",
        )
    return correct()


# ---- 2. label smoothing -----------------------------------------------------


@exercise
def check_smoothing(answer) -> Verdict:
    """Mean cross-entropy with label smoothing over the tokens that are no padding."""
    for seed, (batch, seq, vocab, eps) in enumerate(
        ((1, 4, 7, 0.0), (3, 6, 11, 0.1), (2, 5, 5, 0.4))
    ):
        logits, labels = _scored(batch, seq, vocab, seed)
        found = answer(logits.clone(), labels.clone(), eps)
        if _empty(found):
            return not_yet(*NOTHING)
        found = torch.as_tensor(found)
        if found.numel() != 1:
            return not_yet(
                f"손실은 수 하나인데 모양이 {tuple(found.shape)}입니다.",
                f"The loss is one number; one of shape {tuple(found.shape)} came.",
            )
        for hint, value in _losses(logits, labels, eps):
            if math.isclose(found.item(), value, rel_tol=1e-5, abs_tol=1e-7):
                if hint is None:
                    break
                return not_yet(*hint)
        else:
            return not_yet(
                "값이 다릅니다. 정답 토큰의 −log p에 1 − ε, 모든 토큰의 −log p "
                "평균에 ε을 곱해 더하십시오.",
                "The value differs: 1 − ε times −log p of the right token, plus ε "
                "times the mean of −log p over all tokens.",
            )
    return correct()


def _scored(batch: int, seq: int, vocab: int, seed: int) -> tuple[Tensor, Tensor]:
    """Random logits, and labels that end in padding, more of it in each row."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(batch, seq, vocab, generator=generator,
                             dtype=torch.float64)
    labels = torch.randint(3, vocab, (batch, seq), generator=generator)
    for row in range(batch):
        labels[row, seq - row:] = PAD
    if batch == 1:
        labels[0, -1] = PAD
    return logits, labels


def _losses(logits: Tensor, labels: Tensor, eps: float):
    """The right loss, then typical wrong ones, each with its hint."""
    surprise = -logits.log_softmax(-1)
    right = surprise.gather(-1, labels[..., None])[..., 0]
    spread, words = surprise.mean(-1), labels != PAD
    each = (1 - eps) * right + eps * spread
    yield None, each[words].mean().item()
    yield (("패딩도 세었습니다. 패딩은 맞힐 것이 아닙니다.",
            "Padding was counted; it is nothing to predict."), each.mean().item())
    yield (("더하기만 했습니다. 패딩이 아닌 토큰의 수로 나누십시오.",
            "This is the sum; divide by the number of tokens that are no padding."),
           each[words].sum().item())
    yield (("패딩은 더하지 않았지만 나눌 때 세었습니다.",
            "Padding was left out of the sum but counted in the division."),
           (each * words).mean().item())
    yield (("줄마다 평균한 것을 다시 평균했습니다. 긴 문장의 토큰이 덜 세어집니다.",
            "A mean of the rows' means: tokens of long rows count less."),
           ((each * words).sum(1) / words.sum(1)).mean().item())
    yield (("레이블 스무딩이 빠졌습니다.", "The label smoothing is missing."),
           right[words].mean().item())
    yield (("ε과 1 − ε이 바뀌었습니다.", "ε and 1 − ε are swapped."),
           (eps * right + (1 - eps) * spread)[words].mean().item())


# ---- 3. the learning rate of the paper --------------------------------------


@exercise
def check_noam(answer) -> Verdict:
    """The learning rate of "Attention Is All You Need", equation 3; steps from 1."""
    for d_model, warmup in ((512, 4000), (96, 200), (64, 1)):
        steps = [1, warmup // 2 or 1, warmup, warmup + 1, 10 * warmup]
        found = [answer(step, d_model, warmup) for step in steps]
        if any(map(_empty, found)):
            return not_yet(*NOTHING)
        found = [float(rate) for rate in found]

        def same(rates, found=found):
            return all(math.isclose(a, b, rel_tol=1e-6)
                       for a, b in zip(found, rates, strict=True))

        both = [(step**-0.5, step * warmup**-1.5) for step in steps]
        right = [d_model**-0.5 * min(two) for two in both]
        if same(right):
            continue
        if same([min(two) for two in both]):
            return not_yet("d_model이 빠졌습니다.", "d_model is missing.")
        if same([d_model**-0.5 * max(two) for two in both]):
            return not_yet("두 값 가운데 작은 쪽을 고르십시오.",
                           "Take the smaller of the two.")
        step, rate, wanted = next(
            (s, a, b) for s, a, b in zip(steps, found, right, strict=True)
            if not math.isclose(a, b, rel_tol=1e-6)
        )
        where = (("웜업 동안", "During the warm-up") if step < warmup
                 else ("웜업이 끝난 뒤", "After the warm-up"))
        return not_yet(
            f"{where[0]} 값이 다릅니다. {step}번째 스텝(d_model {d_model}, 웜업 "
            f"{warmup})의 답은 {rate:.3g}인데 {wanted:.3g}이어야 합니다.",
            f"{where[1]} the value differs: step {step} (d_model {d_model}, "
            f"warm-up {warmup}) gave {rate:.3g}, not {wanted:.3g}.",
        )
    return correct()


# ---- 4. reading Korean numbers ----------------------------------------------


@exercise
def check_read(answer) -> Verdict:
    """A Sino-Korean number, as `spell_korean` writes it, back to an integer."""
    generator = torch.Generator().manual_seed(0)
    drawn = [int(10 ** (8 * x)) for x in torch.rand(300, generator=generator)]
    values = [*range(1, 10), 10, 11, 20, 110, 101, 1_111, 9_999, 10_000, 10_001,
              12_345, 20_000, 110_000, 1_000_000, 11_111_111, 90_000_001, *drawn,
              MAX_NUMBER]
    for value in values:
        text = spell_korean(value)
        found = answer(text)
        if _empty(found):
            return not_yet(*NOTHING)
        if found == value:
            continue
        if text.startswith("만"):
            hint = ("앞에 수가 없는 만은 10,000입니다.",
                    "만 with nothing in front of it is 10,000.")
        elif "만" in text:
            hint = ("만 앞의 수를 통째로 10,000배 하십시오.",
                    "All that stands before 만 is taken 10,000 times.")
        elif text[0] in "십백천" or any(f"{a}{b}" in text for a in "십백천"
                                        for b in "십백천"):
            hint = ("십, 백, 천 앞에 숫자가 없으면 1입니다.",
                    "십, 백, 천 with no digit in front of them count once.")
        else:
            hint = ("숫자는 바로 뒤의 단위에 곱합니다.",
                    "A digit is multiplied by the unit right after it.")
        return not_yet(f"{text}의 값은 {value:,}인데 답은 {found}입니다. {hint[0]}",
                       f"{text} is {value:,}, and {found} came. {hint[1]}")
    return correct()


# ---- 5. greedy decoding -----------------------------------------------------


@exercise
def check_greedy(answer) -> Verdict:
    """Write the likeliest token until <eos> or until the limit."""
    for length, limit in ((4, 20), (1, 20), (9, 20), (30, 12)):
        words = [3 + (7 * i) % 11 for i in range(length)]
        calls: list[list[int]] = []

        def following(ids, words=words, calls=calls):
            ids = [int(i) for i in ids]
            calls.append(ids)
            wanted = [BOS, *words, EOS]
            place = len(ids)
            good = ids == wanted[:place] and place < len(wanted)
            token = wanted[place] if good else 13
            return F.one_hot(torch.tensor(token), 14).double() * 5 - 1

        found = answer(following, limit)
        if _empty(found):
            return not_yet(*NOTHING)
        found = [int(token) for token in found]
        whole = [BOS, *words, EOS]
        right = whole if len(whole) <= limit else whole[:limit]
        if found == right:
            continue
        if not calls or calls[0] != [BOS]:
            return not_yet("<bos>(1) 하나로 시작해야 합니다.",
                           "Begin with <bos> (1) alone.")
        if len(found) > limit:
            return not_yet(
                f"한계는 {limit}토큰인데 {len(found)}토큰을 썼습니다.",
                f"The limit is {limit} tokens and {len(found)} were written.")
        if found == right[1:] or found == right[:-1] or found == right[1:-1]:
            return not_yet("<bos>부터 <eos>까지 모두 돌려주십시오.",
                           "Return everything from <bos> to <eos>.")
        if 13 in found:
            return not_yet(
                "앞에서 쓴 것과 다른 것을 읽혔거나 <eos> 뒤에도 썼습니다. 방금 쓴 "
                "토큰까지 모두 다시 읽혀야 합니다.",
                "It read something other than what was written, or wrote on after "
                "<eos>; each call reads all tokens so far.")
        return not_yet(f"{right}이어야 하는데 답은 {found}입니다.",
                       f"{found} came where {right} is right.")
    return correct()
