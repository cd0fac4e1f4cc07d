"""Passes that are compiled for 32-bit numbers on a CPU.

`weigh`: a block u of Newton's table, (head, query, key), becomes the weights
m_j^β u^(−p) in place; `weigh_back`: what the gradients need of them. PyTorch would take
four passes for the one and eight for the other, each through memory. Other numbers and
devices take those passes.

`mix`, `mix_back`: what `lib.gravity.near` does with lists of pairs. Nothing else can do
that.
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
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.polynomial import Chebyshev, Polynomial
from torch import Tensor

__all__ = ["LANES", "lists_ready", "mix", "mix_back", "prepare", "takes", "weigh",
           "weigh_back"]

Block = Float[Tensor, "head query key"]
Rows = Float[Tensor, "head query"]
Columns = Float[Tensor, "head key"]
Heads = Float[Tensor, " head"]
Lists = tuple[Tensor, Tensor, Tensor]
_F, _I = np.float32, np.int32
LANES, MANY = 32, 64  # numbers of a row that are added, and compared, in one go


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


class _Rows:
    """Rows of C-contiguous tables, LANES numbers in one go: what the loops below call.

    LLVM makes such loops of its own where a row is long; here it is a few vectors.
    """

    wide = ir.VectorType(ir.FloatType(), LANES)

    def __init__(self, context, builder, signature, given):
        self.context, self.builder = context, builder
        self.kinds, self.given = signature.args, given

    def held(self, which: int):
        """The array given[which]."""
        return self.context.make_array(self.kinds[which])(
            self.context, self.builder, self.given[which])

    def row(self, which: int, at: int):
        """A pointer to row given[at] of the table given[which]."""
        return self.start(which, self.given[at])

    def start(self, which: int, at):
        held = self.held(which)
        width = self.builder.extract_value(held.shape, 1)
        self.count = self.builder.udiv(width, ir.Constant(width.type, LANES))
        return self.builder.gep(held.data, [self.builder.mul(at, width)])

    def load(self, pointer, index, kind=wide):
        shift = self.builder.mul(index, ir.Constant(index.type, LANES))
        place = self.builder.bitcast(self.builder.gep(pointer, [shift]),
                                     kind.as_pointer())
        return self.builder.load(place, align=4), place

    def all(self, number, kind=wide):
        """A vector of one number."""
        one = self.builder.insert_element(ir.Constant(kind, ir.Undefined), number,
                                          ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(one, one, ir.Constant(
            ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count))

    def sum(self, vector):
        """Its numbers added up, in any order."""
        name = f"llvm.vector.reduce.fadd.v{LANES}f32"
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType(), self.wide])
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, [ir.Constant(ir.FloatType(), 0.0), vector],
                                 fastmath=("reassoc",))

    def added_up(self, term: Callable):
        """Σ term(index) over the vectors of a row, as one number."""
        total = cgutils.alloca_once_value(self.builder, ir.Constant(self.wide, None))
        with cgutils.for_range(self.builder, self.count) as loop:
            self.builder.store(self.plus(self.builder.load(total), term(loop.index)),
                               total)
        return self.sum(self.builder.load(total))

    def plus(self, a, b):
        return self.builder.fadd(a, b, flags=("contract",))

    def times(self, a, b):
        return self.builder.fmul(a, b, flags=("contract",))

    def minus(self, a, b):
        return self.builder.fsub(a, b, flags=("contract",))


@_intrinsic
def _dot(_, a, i, b, j):
    """Σ a[i] b[j]."""

    def build(*given):
        rows = _Rows(*given)
        one, other = rows.row(0, 1), rows.row(2, 3)
        return rows.added_up(lambda at: rows.times(rows.load(one, at)[0],
                                                   rows.load(other, at)[0]))

    return types.float32(a, types.intp, b, types.intp), build


@_intrinsic
def _sum(_, a, i, vectors):
    """The sum of the first vectors of a[i], always in the same order."""

    def build(*given):
        rows = _Rows(*given)
        one, rows.count = rows.row(0, 1), rows.given[2]
        return rows.added_up(lambda at: rows.load(one, at)[0])

    return types.float32(a, types.intp, types.intp), build


@_intrinsic
def _add_row(_, out, i, w, a, j):
    """out[i] += w a[j]."""

    def build(*given):
        rows = _Rows(*given)
        into, one = rows.row(0, 1), rows.row(3, 4)
        weight = rows.all(rows.given[2])
        with cgutils.for_range(rows.builder, rows.count) as loop:
            before, place = rows.load(into, loop.index)
            more = rows.times(weight, rows.load(one, loop.index)[0])
            rows.builder.store(rows.plus(before, more), place, align=4)
        return rows.context.get_dummy_value()

    return types.none(out, types.intp, types.float32, a, types.intp), build


@_intrinsic
def _mix_row(_, out, i, w, a, index, first, many):
    """out[i] = Σ_c w[c] a[index[first + c]] over `many` c."""

    def build(*given):
        rows, builder = _Rows(*given), given[1]
        into, weights = rows.row(0, 1), rows.held(2).data
        listed = builder.gep(rows.held(4).data, [rows.given[5]])
        with cgutils.for_range(builder, rows.count) as lane:
            total = cgutils.alloca_once_value(builder, ir.Constant(rows.wide, None))
            builder.store(ir.Constant(rows.wide, None), total)
            with cgutils.for_range(builder, rows.given[6]) as loop:
                key = builder.load(builder.gep(listed, [loop.index]))
                weight = builder.load(builder.gep(weights, [loop.index]))
                row = rows.start(3, builder.sext(key, loop.index.type))
                more = rows.times(rows.all(weight), rows.load(row, lane.index)[0])
                builder.store(rows.plus(builder.load(total), more), total)
            builder.store(builder.load(total), rows.load(into, lane.index)[1], align=4)
        return rows.context.get_dummy_value()

    return types.none(out, types.intp, w, a, index, types.intp, types.intp), build


@_intrinsic
def _shove(_, dy, i, dz, j, w, y, z):
    """dy[i] += w (y[i] − z[j]) and dz[j] −= w (y[i] − z[j])."""

    def build(*given):
        rows = _Rows(*given)
        back, shift = rows.row(0, 1), rows.row(2, 3)
        one, other = rows.row(5, 1), rows.row(6, 3)
        weight = rows.all(rows.given[4])
        with cgutils.for_range(rows.builder, rows.count) as loop:
            step = rows.times(weight, rows.minus(rows.load(one, loop.index)[0],
                                                 rows.load(other, loop.index)[0]))
            for place, change in ((back, rows.plus), (shift, rows.minus)):
                before, at = rows.load(place, loop.index)
                rows.builder.store(change(before, step), at, align=4)
        return rows.context.get_dummy_value()

    return types.none(dy, types.intp, dz, types.intp, types.float32, y, z), build


@_intrinsic
def _under(_, u, i, j, limit):
    """Bits: which of the MANY numbers of u[i] from j on are not ≥ limit."""

    def build(context, builder, signature, given):
        rows, many = _Rows(context, builder, signature, given), ir.VectorType(
            ir.FloatType(), MANY)
        at = builder.gep(rows.row(0, 1), [given[2]])
        numbers = builder.load(builder.bitcast(at, many.as_pointer()), align=4)
        less = builder.fcmp_unordered("<", numbers, rows.all(given[3], many))
        return builder.bitcast(less, ir.IntType(MANY))

    return types.uint64(u, types.intp, types.intp, types.float32), build


@_intrinsic
def _lowest(_, bits):
    """The place of the lowest bit that is set."""

    def build(context, builder, signature, given):
        return builder.cttz(given[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), build


def _gate_of(x, soft):
    """x² (3 − 2x) or x, and its slope by x."""
    if soft:
        return x * x * (_F(3) - _F(2) * x), _F(6) * x * (_F(1) - x)
    return x, _F(1)


_gate = _compiled(_gate_of, inline="always")


def _mix_rows(u, own, b, v, start, near, begin, index, r2, out, norm):
    (newton, hard, soft, same), (slope, limit, eps, coord) = near
    room = np.empty((2, u.shape[1] + LANES), _F)
    weight, mass = room[0], room[1]
    taken = 0
    _widest()
    for i in range(len(u)):
        first, place, reach = taken, start + i, coord * limit - own[i]
        whole = place - place % MANY
        for j in range(0, whole, MANY):
            close = _under(u, i, j, reach)
            while close:
                at = j + _lowest(close)
                index[taken], r2[taken] = at, u[i, at]
                close &= close - np.uint64(1)
                taken += 1
        for j in range(whole, place):
            if not u[i, j] >= reach:  # what is no number stays
                index[taken], r2[taken] = j, u[i, j]
                taken += 1
        index[taken], r2[taken] = place, -own[i] if same else u[i, place]
        taken += 1
        begin[i + 1] = taken
        many, top = taken - first, _F(-np.inf)
        for c in range(many):
            mass[c] = b[index[first + c]] * _BITS
        for c in range(many):
            x = _at_least((r2[first + c] + own[i]) / coord, _F(0))
            r2[first + c] = x
            s = mass[c] + slope * (_log2(x + eps) if newton else x * _BITS)
            weight[c] = s
            top = max(top, s)
        for c in range(many):
            w = _exp2(weight[c] - top)
            # the last one is the token itself, which no radius leaves out
            if not hard and c < many - 1:
                w *= _gate(_at_least(_F(1) - r2[first + c] / limit, _F(0)), soft)[0]
            weight[c] = w
        weight[many : many + LANES] = _F(0)
        total = _sum(room, 0, (many + LANES - 1) // LANES)
        for c in range(many):
            weight[c] /= total
        _mix_row(out, i, weight, v, index, first, many)
        norm[i] = top + np.log2(total)


def _mix_rows_back(y, z, b, v, e, mean, norm, near, begin, index, r2,
                   dy, dz, db, dv, sums):
    (newton, hard, soft, same), (slope, limit, eps, coord) = near
    most = 0
    for i in range(len(y)):
        most = max(most, begin[i + 1] - begin[i])
    share, log, gate, edge, force = np.empty((5, most), _F)
    _widest()
    for i in range(len(y)):
        first, many, down = begin[i], begin[i + 1] - begin[i], norm[i]
        for c in range(many):
            share[c] = b[index[first + c]] * _BITS - down
        for c in range(many):
            x = r2[first + c]
            log[c] = _log2(x + eps) if newton else x * _BITS
            share[c] = _exp2(share[c] + slope * log[c])
            inside, steep = _gate(_at_least(_F(1) - x / limit, _F(0)), soft)
            if hard or c == many - 1:
                inside, steep = _F(1), _F(0)
            gate[c], edge[c] = inside, steep * x
            pull = inside * slope / (x + eps if newton else _F(1))
            force[c] = (pull - steep / limit) * (_F(2) / coord)
        for c in range(many):
            j = index[first + c]
            part = share[c] * (_dot(e, i, v, j) - mean[i])
            _add_row(dv, j, share[c] * gate[c], e, i)
            db[j] += part * gate[c]
            sums[0] += part * gate[c] * log[c]
            sums[1] += part * edge[c]
            if not same or c < many - 1:
                _shove(dy, i, dz, j, part * force[c], y, z)


_TABLE, _ROWS, _ONE = (types.Array(types.float32, n, layout)
                       for n, layout in ((3, "C"), (2, "A"), (1, "A")))
_PLANE, _LINE, _LISTED, _COUNTS, _SUMS = (
    types.Array(kind, n, "C") for kind, n in (
        (types.float32, 2), (types.float32, 1), (types.int32, 1), (types.int64, 1),
        (types.float64, 1)))
_NEAR = types.Tuple(tuple(types.UniTuple(kind, n) for kind, n in (
    (types.boolean, 4), (types.float32, 4))))
#: What each pass is given; all shapes and strides are compiled for once.
_GIVEN = {
    _weigh_rows: (_TABLE, _ROWS, _ONE, _ROWS, types.int64, types.boolean, _ROWS),
    _weigh_rows_back: (_TABLE, _TABLE, _ROWS, _ONE, _ROWS, types.int64, types.boolean,
                       _ROWS, _ROWS, _ONE),
    _mix_rows: (_PLANE, _LINE, _LINE, _PLANE, types.int64, _NEAR, _COUNTS, _LISTED,
                _LINE, _PLANE, _LINE),
    _mix_rows_back: (_PLANE, _PLANE, _LINE, _PLANE, _PLANE, _LINE, _LINE, _NEAR,
                     _COUNTS, _LISTED, _LINE, _PLANE, _PLANE, _LINE, _PLANE, _SUMS),
}


@cache
def _kernel(function: Callable) -> Callable:
    """The compiled pass; made when first called for."""
    return _compiled(function, _GIVEN[function], nogil=True)


def takes(kind: torch.dtype, device: torch.device) -> bool:
    """Whether the compiled pass is for such numbers; if so it is there afterwards."""
    if kind != torch.float32 or device.type != "cpu":
        return False
    return all(map(_kernel, (_weigh_rows, _weigh_rows_back)))


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
        _kernel(_weigh_rows)(
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
        _kernel(_weigh_rows_back)(*map(_array, (u, g, bias, p, top)), past, same,
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


def lists_ready() -> None:
    """Compile `mix` and `mix_back`, unless it is done."""
    for function in (_mix_rows, _mix_rows_back):
        _kernel(function)


def mix(u: Float[Tensor, "query key"], own: Heads, b: Tensor, v: Tensor, start: int,
        near: tuple, lists: Lists, out: Tensor, norm: Tensor) -> None:
    """List the near pairs of some rows, weigh them, mix their values.

    u, own: u_ij + own_i is C r²; b, v: of all keys; start: the number of the first row;
    near: what `lib.gravity.near` says of the kernel; lists: gets where the pairs of
    each row begin, their keys in order, their r². norm: log₂ of a row's sum of weights.
    """
    _kernel(_mix_rows)(*map(_array, (u, own, b, v)), start, near,
                       *map(_array, (*lists, out, norm)))


def mix_back(y: Tensor, z: Tensor, b: Tensor, v: Tensor, e: Tensor, mean: Tensor,
             norm: Tensor, near: tuple, lists: Lists, dy: Tensor, dz: Tensor,
             db: Tensor, dv: Tensor, sums: Tensor) -> None:
    """Add what the gradients e of some rows say of dy, dz, db, dv.

    mean: e·out of each row; sums: Σ S log₂(r² + ε) (r² log₂e for a Gaussian), and the
    Σ w (e·v − mean) slope r² of which the radius's gradient is made.
    """
    _kernel(_mix_rows_back)(*map(_array, (y, z, b, v, e, mean, norm)), near,
                            *map(_array, (*lists, dy, dz, db, dv, sums)))


def _array(x: Tensor) -> np.ndarray:
    return x.detach().numpy()
