"""Checks for the exercises of chapter 10: equal sizes, paired intervals, rates."""

import math
from statistics import variance

from lib.exercises import Verdict, correct, exercise, require
from lib.exercises.compare import close, compare, number
from lib.gravity.model import LanguageModel, LMConfig, parameters
from lib.training.comparison import best_rate, paired_interval, t_quantile


@exercise
def check_twin(answer) -> Verdict:
    """answer(count, target): the whole d_coord whose count(d_coord) is nearest target.

    count(d_coord) is a straight line a + b·d_coord.
    """
    for slope, start, target in ((7, 100, 331), (1301, 62_000, 300_000), (5, 3, 6)):
        got = number(answer(lambda d, a=start, b=slope: a + b * d, target))
        require(got == int(got) and got >= 1,
                f"{got:g}이 나왔습니다. 좌표의 폭은 1 이상의 정수입니다.",
                f"{got:g} came; the width of coordinates is a whole number from 1 on.")
        best = max(1, round((target - start) / slope))
        require(abs(start + slope * got - target) <= abs(start + slope * best - target),
                f"a={start}, b={slope}, 목표 {target}에서 {got:g}이 나왔습니다. 더 "
                "가까운 폭이 있습니다. `count`를 두 번 부르면 a와 b를 압니다.",
                f"For a={start}, b={slope} and target {target} it gives {got:g}; "
                "another width is nearer. Two calls of `count` tell a and b.")

    def real(d_coord, attention="newton"):
        return parameters(LanguageModel(LMConfig(
            vocab=40, context=16, d_model=32, n_layers=2, n_heads=2,
            attention=attention, d_coord=d_coord)))

    share = real(int(answer(real, real(1, "dot")))) / real(1, "dot")
    require(abs(share - 1) <= 0.02,
            f"실제 모델에서는 쌍둥이의 {share:.1%}가 됩니다. 2 % 안이어야 합니다.",
            f"On a real model it makes {share:.1%} of the twin; keep within 2 %.")
    return correct("맞았습니다. 실제 모델에서도 매개변수 수의 차이가 2 % 안입니다.",
                   "Correct: on a real model too, the parameters agree within 2 %.")


@exercise
def check_interval(answer) -> None:
    """answer(ours, theirs, t): (low, high) of the mean of ours − theirs, ± t·s/√n."""
    for ours, theirs in (([1.915, 1.919, 1.923], [1.983, 1.988, 1.980]),
                         ([2.0, 1.8, 1.9, 2.2], [1.7, 1.9, 1.8, 1.8])):
        n = len(ours)
        t = t_quantile(0.95, n - 1)
        right = paired_interval([a - b for a, b in zip(ours, theirs, strict=True)])
        low, high = (float(x) for x in answer(list(ours), list(theirs), t))
        middle, reach = (low + high) / 2, (high - low) / 2
        true = (right.high - right.low) / 2
        apart = t * math.sqrt((variance(ours) + variance(theirs)) / n)
        compare([low, high], [right.low, right.high], [
            ([-right.high, -right.low], "부호가 반대입니다. `ours − theirs`입니다.",
             "The sign is turned round: it is `ours − theirs`."),
            (not close(middle, right.mean),
             f"가운데가 {middle:.4g}입니다. 차이의 평균은 {right.mean:.4g}입니다.",
             f"Its middle is {middle:.4g}; the mean difference is {right.mean:.4g}."),
            (close(reach, true * math.sqrt(n)),
             "√n으로 나누지 않았습니다. 평균은 값 하나보다 덜 흔들립니다.",
             "It is not divided by √n: a mean moves less than one value."),
            (close(reach, true * math.sqrt((n - 1) / n)),
             "표준편차를 n으로 나누어 구했습니다. n − 1로 나누십시오.",
             "That standard deviation divides by n; divide by n − 1."),
            (close(reach, apart),
             ("짝을 풀어 버렸습니다. 먼저 시드마다 빼고, 그 차이의 표준편차를 "
              "쓰십시오."),
             ("The pairs are lost: subtract seed by seed first and take the standard "
              "deviation of those differences.")),
        ], f"폭이 {reach:.4g}인데 {true:.4g}이어야 합니다. t·s/√n입니다.",
           f"Its reach is {reach:.4g} and should be {true:.4g}: t·s/√n.")


def _rows(losses: dict[float, list[float]]) -> list[dict]:
    return [{"learning_rate": rate, "seed": seed, "valid": loss}
            for rate, several in losses.items() for seed, loss in enumerate(several)]


@exercise
def check_rate(answer) -> Verdict:
    """answer(rows): the rate with the lowest mean loss, among those with all seeds.

    rows: dictionaries with `learning_rate`, `seed` and `valid`.
    """
    even = _rows({1e-3: [2.0, 2.1, 2.05], 2e-3: [1.9, 2.6, 2.2], 4e-3: [2.3, 2.2, 2.4]})
    partial = _rows({1e-3: [2.0, 2.1, 2.05], 2e-3: [2.1, 2.2, 2.3], 4e-3: [1.8]})
    for rows, ko, en in (
        (even, "시드 하나의 운으로 이긴 학습률입니다. 시드에 대해 평균하십시오.",
         "That rate won by one lucky seed; average over the seeds."),
        (partial,
         "그 학습률은 시드 하나로만 돌렸습니다. 시드를 다 갖춘 것만 견주십시오.",
         "That rate was run with one seed only; compare those with all seeds."),
    ):
        got = number(answer([dict(row) for row in rows]))
        lucky = min(rows, key=lambda row: row["valid"])["learning_rate"]
        compare(got, best_rate(rows), [(lucky, ko, en)],
                f"{got:g}이 나왔습니다. 평균 손실이 가장 낮은 학습률은 다른 값입니다.",
                f"{got:g} came; another rate has the lowest mean loss.")
    return correct("맞았습니다. 운 좋은 시드 하나에 속지 않습니다.",
                   "Correct: it is not taken in by one lucky seed.")
