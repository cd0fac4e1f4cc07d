"""Learning rates by step: warm-up, then constant, half a cosine, or Noam.

Steps count from 0; the first update already has a rate above 0.
"""

import math

SCHEDULES = ("constant", "cosine", "noam")


def constant(step: int, peak: float, warmup: int = 0) -> float:
    """Linear warm-up to `peak`, and stay there.

    >>> [constant(step, 1.0, warmup=4) for step in (0, 3, 4, 1000)]
    [0.25, 1.0, 1.0, 1.0]
    """
    return peak * (step + 1) / warmup if step < warmup else peak


def cosine(
    step: int, steps: int, peak: float, warmup: int = 0, final_share: float = 0.1
) -> float:
    """Linear warm-up, then half a cosine down to `final_share` of the peak.

    lr = peak · (f + (1 − f) · (1 + cos πt) / 2), t from 0 after the warm-up to 1 at
    `steps` (Loshchilov and Hutter, SGDR, eq. 5, without restarts).

    >>> [round(cosine(step, 100, 1.0, warmup=10), 2) for step in (0, 9, 10, 55, 100)]
    [0.1, 1.0, 1.0, 0.55, 0.1]
    """
    if step < warmup:
        return constant(step, peak, warmup)
    done = (step - warmup) / max(1, steps - warmup)
    share = (1 + math.cos(math.pi * min(1.0, done))) / 2
    return peak * (final_share + (1 - final_share) * share)


def noam(step: int, d_model: int, warmup: int) -> float:
    """The rate of “Attention Is All You Need”, eq. 3, with n = step + 1.

    lr = d_model^−½ · min(n^−½, n · warmup^−3⁄2); its peak is at n = warmup.

    >>> round(noam(3999, d_model=512, warmup=4000), 7)
    0.0006988
    """
    n = step + 1
    return d_model**-0.5 * min(n**-0.5, n * warmup**-1.5)


def noam_peak(d_model: int, warmup: int) -> float:
    """The largest rate of `noam`: (d_model · warmup)^−½.

    >>> round(noam_peak(512, 4000), 7)
    0.0006988
    """
    return (d_model * warmup) ** -0.5
