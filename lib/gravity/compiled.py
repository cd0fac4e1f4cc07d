"""One pass over a block of Newton's table: compiled for 32-bit numbers on a CPU.

A block u of shape (head, query, key) becomes the weights m_j^β u^(−p) in place, or what
the gradients need of them. PyTorch would take four passes for the one and eight for the
other, each through memory. Other numbers and devices take those passes.
"""

import inspect
import math
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import numba
import numpy as np
import torch
from jaxtyping import Bool, Float
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numpy.polynomial import Chebyshev, Polynomial
from torch import Tensor

__all__ = ["prepare", "takes", "weigh", "weigh_back"]

Block = Float[Tensor, "head query key"]
Rows = Float[Tensor, "head query"]
Columns = Float[Tensor, "head key"]
Heads = Float[Tensor, " head"]
_F, _I = np.float32, np.int32


def _fitted(function: Callable, low: float, high: float, degree: int) -> tuple:
    """Coefficients of a polynomial close to the function between two numbers."""
    at = Chebyshev.basis(256, domain=[low, high]).roots()
    fit = Chebyshev.fit(at, function(at), degree, domain=[low, high])
    return tuple(fit.convert(kind=Polynomial).coef.astype(_F))


# log2(1 + t) / t for 1 + t from √½ to √2, and 2^r for r from −½ to ½
_LOG = _fitted(lambda t: np.log2(1 + t) / t, math.sqrt(0.5) - 1, math.sqrt(2) - 1, 7)
_EXP = _fitted(np.exp2, -0.5, 0.5, 5)
_HALF = _I(np.array(math.sqrt(0.5), _F).view(_I))  # the bits of √½
_MANTISSA = _I(23)  # bits
_BITS = _F(1 / math.log(2))  # of a power of e


# numba gives the first argument itself, which its types do not say
_intrinsic = cast(Callable[[Callable], Callable[..., Any]], intrinsic)


@_intrinsic
def _bits(_, number):
    def build(__, builder, ___, given):
        return builder.bitcast(given[0], ir.IntType(32))

    return types.int32(types.float32), build


@_intrinsic
def _number(_, bits):
    def build(__, builder, ___, given):
        return builder.bitcast(given[0], ir.FloatType())

    return types.float32(types.int32), build


@_intrinsic
def _widest(_):
    """Ask LLVM for the widest vectors there are in the function that calls this."""

    def build(context, builder, ___, ____):
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.none(), build


def _compiled(function: Callable, signature=None, **options) -> Callable:
    """Compile; sums of a row may be taken in any order."""
    return numba.njit(
        signature, cache=__name__ == "lib.gravity.compiled", error_model="numpy",
        fastmath={"contract", "reassoc", "nsz", "arcp"}, **options,
    )(inspect.unwrap(function))


def _log2_of(x):
    exponent = (_bits(x) - _HALF) >> _MANTISSA
    t = _number(_bits(x) - (exponent << _MANTISSA)) - _F(1)
    sum_ = _LOG[7]
    sum_ = sum_ * t + _LOG[6]
    sum_ = sum_ * t + _LOG[5]
    sum_ = sum_ * t + _LOG[4]
    sum_ = sum_ * t + _LOG[3]
    sum_ = sum_ * t + _LOG[2]
    sum_ = sum_ * t + _LOG[1]
    sum_ = sum_ * t + _LOG[0]
    return _F(exponent) + sum_ * t + x * _F(0)  # what is no number stays none


def _exp2_of(x):
    x = _at_least(x, _F(-126))
    whole = np.rint(x)
    r = x - whole
    sum_ = _EXP[5]
    sum_ = sum_ * r + _EXP[4]
    sum_ = sum_ * r + _EXP[3]
    sum_ = sum_ * r + _EXP[2]
    sum_ = sum_ * r + _EXP[1]
    sum_ = sum_ * r + _EXP[0]
    return _number(_bits(sum_) + (_I(whole) << _MANTISSA))


def _at_least_of(x, low):
    return low if x < low else x  # noqa: FURB136  (max may hide what is no number)


_at_least = _compiled(_at_least_of, inline="always")
_log2 = _compiled(_log2_of, inline="always")
_exp2 = _compiled(_exp2_of, inline="always")


def _weigh_rows(u, bias, p, top, past, same, mass):
    heads, queries, keys = u.shape
    _widest()
    for h in range(heads):
        own, power = bias[h] * _BITS, -p[h]
        for i in range(queries):
            row, place, total = u[h, i], past + i, _F(0)
            seen, down = min(keys, max(0, place + 1)), top[h, i] * _BITS
            if same and 0 <= place < keys:
                row[place] = _F(1)
            for j in range(seen):
                x = _at_least(row[j], _F(1))
                w = _exp2(own[j] - down + power * _log2(x))
                row[j] = w
                total += w
            row[seen:] = _F(0)
            mass[h, i] += total


def _weigh_rows_back(u, g, bias, p, top, past, same, mean, db, dp):
    heads, queries, keys = u.shape
    _widest()
    for h in range(heads):
        own, power = bias[h] * _BITS, -p[h]
        column, slope = np.zeros(keys, _F), _F(0)
        for i in range(queries):
            row, back, place = u[h, i], g[h, i], past + i
            seen, down = min(keys, max(0, place + 1)), top[h, i] * _BITS
            middle, part = mean[h, i], _F(0)
            if same and 0 <= place < keys:
                row[place] = _F(1)
            for j in range(seen):
                x = _at_least(row[j], _F(1))
                log = _log2(x)
                w = _exp2(own[j] - down + power * log)
                s = w * (back[j] - middle)
                part += s * log
                column[j] += s
                row[j] = w
                back[j] = _F(0) if x <= _F(1) else s / x
            row[seen:] = _F(0)
            back[seen:] = _F(0)
            slope += part
        db[h] += column
        dp[h] += slope / _BITS


_TABLE, _ROWS, _ONE = (types.Array(types.float32, n, layout)
                       for n, layout in ((3, "C"), (2, "A"), (1, "A")))


@cache
def _kernel(back: bool) -> Callable:
    """The compiled pass for all shapes and strides; made when first called for."""
    function = _weigh_rows_back if back else _weigh_rows
    given = (_TABLE, *(_TABLE,) * back, _ROWS, _ONE, _ROWS, types.int64, types.boolean)
    given += (_ROWS, _ROWS, _ONE) if back else (_ROWS,)
    return _compiled(function, given, nogil=True)


def takes(kind: torch.dtype, device: torch.device) -> bool:
    """Whether the compiled pass is for such numbers; if so it is there afterwards."""
    if kind != torch.float32 or device.type != "cpu":
        return False
    return all(map(_kernel, (False, True)))


def weigh(
    u: Block, bias: Columns, p: Heads, top: Rows, past: int, same: bool, mass: Rows
) -> None:
    """Put exp(bias − top) max(u, 1)^(−p) into u and add the sum of a row to `mass`.

    A key that is later than its query weighs 0. past: how many keys of the block come
    before its first query; query i sees `past + i + 1` keys. same: whether a token is
    at distance 0 from itself, so that its own u is 1.

    >>> u, mass = torch.tensor([[[2.0, 9.0], [4.0, 3.0]]]), torch.zeros(1, 2)
    >>> weigh(u, torch.zeros(1, 2), torch.ones(1), torch.zeros(1, 2), 0, False, mass)
    >>> u.mul(12).round(), mass.mul(12).round()
    (tensor([[[6., 0.],
             [3., 4.]]]), tensor([[6., 7.]]))
    """
    if takes(u.dtype, u.device):
        _kernel(back=False)(
            *map(_array, (u, bias, p, top)), past, same, _array(mass))
        return
    hidden = prepare(u, past, same)
    u.log_().mul_(-p[:, None, None]).add_(bias[:, None]).sub_(top[..., None])
    mass += u.exp_().masked_fill_(hidden, 0).sum(-1)


def weigh_back(
    u: Block, g: Block, bias: Columns, p: Heads, top: Rows, past: int, same: bool,
    mean: Rows, db: Columns, dp: Heads,
) -> None:
    """Put w = exp(bias − top) u^(−p) into u and S / u into g, S = w (g − mean).

    Σ_i S_ij is added to `db`, Σ_ij S_ij log u_ij to `dp`. Where u is 1, g is 0: there
    it does not depend on the distance. The rest as in `weigh`.
    """
    if takes(u.dtype, u.device):
        _kernel(back=True)(*map(_array, (u, g, bias, p, top)), past, same,
                           *map(_array, (mean, db, dp)))
        return
    hidden = prepare(u, past, same)
    log = u.log()
    w = log.mul(-p[:, None, None]).add_(bias[:, None]).sub_(top[..., None]).exp_()
    w.masked_fill_(hidden, 0)
    g.sub_(mean[..., None]).mul_(w)
    db += g.sum(1)
    dp += (g * log).sum((1, 2))
    g.div_(u).masked_fill_(u <= 1, 0)
    u.copy_(w)


def prepare(u: Block, past: int, same: bool) -> Bool[Tensor, "query key"]:
    """Hold u at 1 or more; tell which keys are later than their query."""
    query, key = (torch.arange(n, device=u.device) for n in u.shape[1:])
    query = query[:, None] + past
    if same:
        u.masked_fill_(key == query, 1)
    u.clamp_min_(1)
    return key > query


def _array(x: Tensor) -> np.ndarray:
    return x.detach().numpy()
