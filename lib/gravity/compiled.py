"""One pass over a block of Newton's table: compiled for 32-bit numbers on a CPU.

A block u of shape (head, query, key) becomes the weights u^(−p) in place, or what the
gradients need of them. PyTorch would take four passes for the one and eight for the
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
from jaxtyping import Float
from llvmlite import ir
from numba.core import config, types
from numba.extending import intrinsic
from numpy.polynomial import Chebyshev, Polynomial
from torch import Tensor

__all__ = ["weigh", "weigh_back"]

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


def _weigh_rows(u, least, p, past, same, mass):
    heads, queries, keys = u.shape
    for h in numba.prange(heads):
        _widest()
        floor, power = least[h].copy(), -p[h]  # a copy's numbers are neighbours
        for i in range(queries):
            row, seen, total = u[h, i], min(keys, past + i + 1), _F(0)
            if same and past + i < keys:
                row[past + i] = floor[past + i]
            for j in range(seen):
                x = _at_least(row[j], floor[j])
                w = _exp2(power * _log2(x))
                row[j] = w
                total += w
            row[seen:] = _F(0)
            mass[h, i] += total


def _weigh_rows_back(u, g, least, p, past, same, scale, mean, db, dp):
    heads, queries, keys = u.shape
    for h in numba.prange(heads):
        _widest()
        floor, power = least[h].copy(), -p[h]
        column, slope = np.zeros(keys, _F), _F(0)
        for i in range(queries):
            row, back, seen = u[h, i], g[h, i], min(keys, past + i + 1)
            size, middle, part = scale[h, i], mean[h, i], _F(0)
            if same and past + i < keys:
                row[past + i] = floor[past + i]
            for j in range(seen):
                x = _at_least(row[j], floor[j])
                log = _log2(x)
                w = _exp2(power * log) * size
                s = w * (back[j] - middle)
                part += s * log
                column[j] += s
                row[j] = w
                back[j] = _F(0) if x <= floor[j] else s / x
            row[seen:] = _F(0)
            back[seen:] = _F(0)
            slope += part
        db[h] += column
        dp[h] += slope * _F(math.log(2))


_TABLE, _ROWS, _ONE = (types.Array(types.float32, n, layout)
                       for n, layout in ((3, "C"), (2, "A"), (1, "A")))


@cache
def _kernel(back: bool) -> Callable:
    """The compiled pass for all shapes and strides; made when first called for."""
    function = _weigh_rows_back if back else _weigh_rows
    given = (_TABLE, *(_TABLE,) * back, _ROWS, _ONE, types.int64, types.boolean, _ROWS)
    if back:
        given += (_ROWS, _ROWS, _ONE)
    return _compiled(function, given, parallel=True)


def _takes(block: Tensor) -> bool:
    """Whether the compiled pass is for such a block; sets how many cores it takes.

    The first call starts numba's OpenMP layer, which sets the number of threads of
    the whole process to the machine's, PyTorch's with it: that one is put back.
    """
    if block.dtype != torch.float32 or block.device.type != "cpu":
        return False
    threads = torch.get_num_threads()
    # numba sets it when it is imported
    most = config.NUMBA_NUM_THREADS  # pyright: ignore[reportAttributeAccessIssue]
    numba.set_num_threads(min(threads, most))
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return True


def weigh(
    u: Block, least: Columns, p: Heads, past: int, same: bool, mass: Rows
) -> None:
    """Put max(u, least)^(−p) into u, 0 where a key is later, and add rows to `mass`.

    past: how many keys of the block come before its first query; query i sees
    `past + i + 1` keys. same: whether a token is at distance 0 from itself, so that
    its own u is `least`.

    >>> u, mass = torch.tensor([[[2.0, 9.0], [4.0, 3.0]]]), torch.zeros(1, 2)
    >>> weigh(u, torch.ones(1, 2), torch.ones(1), 0, False, mass)
    >>> u.mul(12).round(), mass.mul(12).round()
    (tensor([[[6., 0.],
             [3., 4.]]]), tensor([[6., 7.]]))
    """
    if _takes(u):
        _kernel(back=False)(*map(_array, (u, least, p)), past, same, _array(mass))
        return
    hidden = _prepare(u, least, past, same)
    u.log_().mul_(-p[:, None, None]).exp_().masked_fill_(hidden, 0)
    mass += u.sum(-1)


def weigh_back(
    u: Block, g: Block, least: Columns, p: Heads, past: int, same: bool,
    scale: Rows, mean: Rows, db: Columns, dp: Heads,
) -> None:
    """Put w = u^(−p) · scale into u and S / u into g, S = w (g − mean).

    Σ_i S_ij is added to `db`, Σ_ij S_ij log u_ij to `dp`. Where u is `least`, g is 0:
    there it does not depend on the distance. The rest as in `weigh`.
    """
    if _takes(u):
        _kernel(back=True)(*map(_array, (u, g, least, p)), past, same,
                           *map(_array, (scale, mean, db, dp)))
        return
    hidden = _prepare(u, least, past, same)
    log = u.log()
    w = log.mul(-p[:, None, None]).exp_().mul_(scale[..., None])
    w.masked_fill_(hidden, 0)
    g.sub_(mean[..., None]).mul_(w)
    db += g.sum(1)
    dp += (g * log).sum((1, 2))
    g.div_(u).masked_fill_(u <= least[:, None], 0)
    u.copy_(w)


def _prepare(u: Tensor, least: Tensor, past: int, same: bool) -> Tensor:
    """Hold u at its least values; tell which keys are later than their query."""
    query, key = (torch.arange(n, device=u.device) for n in u.shape[1:])
    query = query[:, None] + past
    if same:
        torch.where(key == query, least[:, None], u, out=u)
    torch.maximum(u, least[:, None], out=u)
    return key > query


def _array(x: Tensor) -> np.ndarray:
    return x.detach().numpy()
