"""Checks of the exercises of chapter 05.

Each check asks for what the answer does, never for how.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.attention.translation import MAX_NUMBER, spell_korean
from lib.exercises import Hint, exercise, require
from lib.exercises.compare import close, compare, number

PAD, BOS, EOS = 0, 1, 2


@exercise
def check_shift(answer) -> None:
    """What the decoder reads and what it should say, from a batch of targets."""
    for rows in ([[1, 7, 8, 9, 2]], [[1, 5, 6, 2, 0, 0], [1, 4, 2, 0, 0, 0],
                                     [1, 5, 4, 6, 7, 2]]):
        target = torch.tensor(rows)
        read, say = answer(target.clone())
        require(tuple(read.shape) == tuple(say.shape),
                f"입력은 {tuple(read.shape)}, 정답은 {tuple(say.shape)}입니다. "
                "자리마다 정답이 하나씩 있어야 합니다.",
                f"The input is {tuple(read.shape)} and the labels {tuple(say.shape)}; "
                "every position needs one label.")
        before, after = target[:, :-1], target[:, 1:]
        compare(torch.stack((read, say)), torch.stack((before, after)), [
            (torch.stack((after, before)),
             "순서가 바뀌었습니다. 읽는 쪽이 먼저입니다.",
             "The two are swapped; what is read comes first."),
            (torch.equal(read, say),
             "읽은 것을 그대로 말하게 됩니다. 한 칸 밀어야 합니다.",
             "It would say what it has just read; shift by one."),
            (BOS in say, "<bos>는 말할 것이 아니라 읽을 것입니다.",
             "<bos> is read, never said."),
            (len(rows) == 1 and EOS not in say,
             "언제 멈출지도 배워야 합니다. 정답에 <eos>가 없습니다.",
             "It must learn when to stop; the labels lack <eos>."),
        ], f"{rows[0]}에서 {read[0].tolist()}, {say[0].tolist()}이(가) 나왔습니다. "
           "자리마다 바로 다음 토큰이 정답입니다.",
           f"From {rows[0]} came {read[0].tolist()} and {say[0].tolist()}; the label "
           "of each position is the token after it.")


@exercise
def check_smoothing(answer) -> None:
    """Mean cross-entropy with label smoothing over the tokens that are no padding."""
    cases = (1, 4, 7, 0.0), (3, 6, 11, 0.1), (2, 5, 5, 0.4)
    for seed, (batch, seq, vocab, eps) in enumerate(cases):
        logits, labels = _scored(batch, seq, vocab, seed)
        got = answer(logits.clone(), labels.clone(), eps)
        surprise, words = -logits.log_softmax(-1), labels != PAD
        right = surprise.gather(-1, labels[..., None])[..., 0]
        spread = surprise.mean(-1)
        each = (1 - eps) * right + eps * spread
        compare(number(got), each[words].mean(), [
            (each.mean(), "패딩도 세었습니다. 패딩은 맞힐 것이 아닙니다.",
             "Padding was counted; it is nothing to predict."),
            (each[words].sum(),
             "더하기만 했습니다. 패딩이 아닌 토큰의 수로 나누십시오.",
             "This is the sum; divide by the number of tokens that are no padding."),
            ((each * words).mean(), "패딩은 더하지 않았지만 나눌 때 세었습니다.",
             "Padding was left out of the sum but counted in the division."),
            (((each * words).sum(1) / words.sum(1)).mean(),
             "줄마다 평균한 것을 다시 평균했습니다. 긴 문장의 토큰이 덜 세어집니다.",
             "A mean of the rows' means: tokens of long rows count less."),
            (right[words].mean(), "레이블 스무딩이 빠졌습니다.",
             "The label smoothing is missing."),
            ((eps * right + (1 - eps) * spread)[words].mean(),
             "ε과 1 − ε이 바뀌었습니다.", "ε and 1 − ε are swapped."),
        ], "값이 다릅니다. 정답 토큰의 −log p에 1 − ε, 모든 토큰의 −log p 평균에 ε을 "
           "곱해 더하십시오.",
           "The value differs: 1 − ε times −log p of the right token, plus ε times the "
           "mean of −log p over all tokens.", rtol=1e-5, atol=1e-7)


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


@exercise
def check_noam(answer) -> None:
    """The learning rate of "Attention Is All You Need", equation 3; steps from 1."""
    for d_model, warmup in ((512, 4000), (96, 200), (64, 1)):
        steps = [1, warmup // 2 or 1, warmup, warmup + 1, 10 * warmup]
        rates = [number(answer(step, d_model, warmup)) for step in steps]
        pairs = [(step**-0.5, step * warmup**-1.5) for step in steps]
        right = [d_model**-0.5 * min(pair) for pair in pairs]
        bare = close(rates, [min(pair) for pair in pairs], atol=0.0)
        larger = close(rates, [d_model**-0.5 * max(pair) for pair in pairs], atol=0.0)
        for step, rate, wanted in zip(steps, rates, right, strict=True):
            ko, en = (("웜업 동안", "During the warm-up") if step < warmup
                      else ("웜업이 끝난 뒤", "After the warm-up"))
            compare(rate, wanted, [
                (bare, "d_model이 빠졌습니다.", "d_model is missing."),
                (larger, "두 값 가운데 작은 쪽을 고르십시오.",
                 "Take the smaller of the two."),
            ], f"{ko} 값이 다릅니다. {step}번째 스텝(d_model {d_model}, 웜업 {warmup})"
               f"의 답은 {rate:.3g}인데 {wanted:.3g}(이)어야 합니다.",
               f"{en} the value differs: step {step} (d_model {d_model}, warm-up "
               f"{warmup}) gave {rate:.3g}, not {wanted:.3g}.", atol=0.0)


@exercise
def check_read(answer) -> None:
    """A Sino-Korean number, as `spell_korean` writes it, back to an integer."""
    generator = torch.Generator().manual_seed(0)
    drawn = [int(10 ** (8 * x)) for x in torch.rand(300, generator=generator)]
    values = [*range(1, 10), 10, 11, 20, 110, 101, 1_111, 9_999, 10_000, 10_001,
              12_345, 20_000, 110_000, 1_000_000, 11_111_111, 90_000_001, *drawn,
              MAX_NUMBER]
    for value in values:
        text = spell_korean(value)
        got = answer(text)
        ko = f"{text}의 값은 {value:,}인데 답은 {got}입니다."
        en = f"{text} is {value:,}, and {got} came."
        silent = text[0] in "십백천" or any(
            f"{a}{b}" in text for a in "십백천" for b in "십백천")
        compare(got, value, [
            (text.startswith("만"), f"{ko} 앞에 수가 없는 만은 10,000입니다.",
             f"{en} 만 with nothing in front of it is 10,000."),
            ("만" in text, f"{ko} 만 앞의 수를 통째로 10,000배 하십시오.",
             f"{en} All that stands before 만 is taken 10,000 times."),
            (silent, f"{ko} 십, 백, 천 앞에 숫자가 없으면 1입니다.",
             f"{en} 십, 백, 천 with no digit in front of them count once."),
        ], f"{ko} 숫자는 바로 뒤의 단위에 곱합니다.",
           f"{en} A digit is multiplied by the unit right after it.")


@exercise
def check_greedy(answer) -> None:
    """Write the likeliest token until <eos> or until the limit."""
    for length, limit in ((4, 20), (1, 20), (9, 20), (30, 12)):
        whole = [BOS, *(3 + (7 * i) % 11 for i in range(length)), EOS]
        calls: list[list[int]] = []

        def following(ids, whole=whole, calls=calls):
            ids = [int(i) for i in ids]
            calls.append(ids)
            place = len(ids)
            good = ids == whole[:place] and place < len(whole)
            token = whole[place] if good else 13
            return F.one_hot(torch.tensor(token), 14).double() * 5 - 1

        got, right = [int(token) for token in answer(following, limit)], whole[:limit]
        if got == right:
            continue
        require(calls and calls[0] == [BOS], "<bos>(1) 하나로 시작해야 합니다.",
                "Begin with <bos> (1) alone.")
        require(len(got) <= limit,
                f"한계는 {limit}토큰인데 {len(got)}토큰을 썼습니다.",
                f"The limit is {limit} tokens and {len(got)} were written.")
        require(got not in (right[1:], right[:-1], right[1:-1]),
                "<bos>부터 <eos>까지 모두 돌려주십시오.",
                "Return everything from <bos> to <eos>.")
        require(13 not in got,
                "앞에서 쓴 것과 다른 것을 읽혔거나 <eos> 뒤에도 썼습니다. 방금 쓴 "
                "토큰까지 모두 다시 읽혀야 합니다.",
                "It read something other than what was written, or wrote on after "
                "<eos>; each call reads all tokens so far.")
        raise Hint(f"{right}(이)어야 하는데 답은 {got}입니다.",
                   f"{got} came where {right} is right.")
