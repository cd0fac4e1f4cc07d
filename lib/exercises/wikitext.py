"""Checks for the exercises of chapter 13: perplexity, sampled pairs, equal time."""

import math

import torch

from lib.exercises import Verdict, correct, exercise
from lib.exercises.compare import compare, number
from lib.gravity.attention import repulsion, squared_distances


@exercise
def check_word_perplexity(answer) -> None:
    """answer(loss, tokens, words): perplexity a word from the loss a token."""
    for loss, tokens, words in ((2.0, 300, 200), (4.5554, 1400, 1000), (0.7, 50, 50)):
        got = number(answer(loss, tokens, words))
        # of as many tokens as words there is nothing to mix up
        compare(got, math.exp(loss * tokens / words), [] if tokens == words else [
            (math.exp(loss),
             "토큰마다의 퍼플렉서티입니다. 물은 것은 낱말마다의 것입니다.",
             "That is the perplexity a token; the question asks for a word's."),
            (math.exp(loss) * tokens / words,
             "지수를 취하기 전에 나누십시오. 로그의 합을 낱말 수로 나눕니다.",
             "Divide before the exponential: the sum of logs goes over the words."),
            (math.exp(loss * words / tokens),
             "비가 뒤집혔습니다. 낱말 하나에 토큰은 하나보다 많습니다.",
             "The ratio is upside down: a word holds more than one token."),
            (loss * tokens / words,
             "낱말마다의 손실입니다. 지수를 취하십시오.",
             "That is the loss a word; take its exponential."),
        ], f"손실 {loss:g}, 토큰 {tokens}개, 낱말 {words}개에서 {got:.5g}이 "
           "나왔습니다. 글 전체의 로그 확률을 낱말 수로 나누어 보십시오.",
           f"For loss {loss:g}, {tokens} tokens and {words} words it gives {got:.5g}; "
           "divide the log-probability of the whole text by the words.")


@exercise
def check_sampled_repulsion(answer) -> Verdict:
    """answer(z, mass, chosen): mean of m_i m_j / max(r, 0.1)² over pairs of `chosen`.

    z (n, C), mass (n), chosen: indices; r² is per coordinate, and i ≠ j.
    """
    for seed, seq, drawn in ((1, 9, 4), (2, 30, 7), (3, 5, 5)):
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(seq, 3, generator=generator, dtype=torch.float64)
        z[1] = z[0] + 0.01  # closer than 0.1
        mass = torch.rand(seq, generator=generator, dtype=torch.float64) + 0.5
        chosen = torch.randperm(seq, generator=generator)[:drawn]
        if seed == 3:
            chosen = torch.arange(seq)
        got = number(answer(z.clone(), mass.clone(), chosen.clone()))
        part, heavy = z[chosen], mass[chosen]
        right = repulsion(part, heavy, 0.1).item()
        r2 = squared_distances(part)
        held, pair = r2.clamp_min(0.01), heavy[:, None] * heavy
        apart = ~torch.eye(len(chosen), dtype=torch.bool)
        compare(got, right, [
            (repulsion(z, mass, 0.1), "뽑은 토큰만 쓰십시오.",
             "Use the drawn tokens only."),
            ((pair / held).mean(),
             "자기 자신과의 쌍이 들어갔습니다.", "Pairs with oneself are in it."),
            ((pair / held)[apart].sum(),
             "합이 아니라 평균입니다.", "It is the mean, not the sum."),
            ((pair / r2)[apart].mean(),
             "거리를 0.1에서 막지 않았습니다.", "Distances are not held at 0.1."),
            ((pair / (r2 * part.shape[-1]).clamp_min(0.01))[apart].mean(),
             "r²은 좌표축의 수로 나눈 값입니다.",
             "r² is divided by the number of axes."),
            ((1 / held)[apart].mean(), "질량이 빠졌습니다.", "The masses are missing."),
        ], f"{got:.5g}이 나왔습니다. {right:.5g}이어야 합니다.",
           f"{got:.5g} came; it should be {right:.5g}.")
    return correct(
        "맞았습니다. 고르게 뽑은 쌍의 평균이므로 기댓값은 전체의 평균과 같습니다.",
        "Correct: a mean over evenly drawn pairs has the mean of all as expectation.")


@exercise
def check_equal_time(answer) -> Verdict:
    """answer(steps, losses, steps_per_second, seconds): the loss after so many seconds.

    The curve is a straight line between its points; before the first and after the
    last point it is level.
    """
    steps, losses = [100, 200, 400], [5.0, 4.0, 3.5]
    for rate, seconds, right in ((2.0, 75.0, 4.5), (4.0, 75.0, 3.75), (1.0, 10.0, 5.0),
                                 (10.0, 1000.0, 3.5)):
        got = number(answer(list(steps), list(losses), rate, seconds))
        done = rate * seconds
        compare(got, right, [
            (done > steps[-1],
             "학습이 끝난 뒤에는 마지막 손실이 그대로입니다.",
             "After the training has ended, the last loss stays."),
            (done < steps[0],
             "첫 평가보다 이르면 첫 손실을 돌려주십시오.",
             "Before the first evaluation, return the first loss."),
            (got in losses,
             "점 사이는 직선으로 이으십시오.",
             "Between the points, draw a straight line."),
        ], f"초당 {rate:g}스텝으로 {seconds:g}초면 {done:g}스텝이고 손실은 {right:g}"
           f"입니다. {got:.4g}이 나왔습니다.",
           f"At {rate:g} steps a second, {seconds:g} seconds are {done:g} steps and "
           f"the loss is {right:g}; {got:.4g} came.")
    return correct("맞았습니다. 이제 같은 시간에 견줄 수 있습니다.",
                   "Correct: now they can be compared at equal time.")
