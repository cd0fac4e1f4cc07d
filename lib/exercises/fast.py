"""Checks for the exercises of chapter 12: bytes, future, vectors, a walk by blocks."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lib.exercises import Verdict, correct, exercise, require
from lib.exercises.compare import close, cloud, compare, number, share, tensor
from lib.exercises.gravity import same_width
from lib.gravity.attention import causal, newton, squared_distances


@exercise
def check_table_bytes(answer) -> Verdict:
    """answer(batch, heads, n, axes): bytes of z_i − z_j for every pair, in float32."""
    cases = [(1, 8, 1024, 30), (64, 8, 256, 16), (2, 3, 100, 7)]
    right = [4 * b * h * n * n * c for b, h, n, c in cases]
    compare([number(answer(*case)) for case in cases], right, [
        ([r / 4 for r in right],
         "그것은 수의 개수입니다. float32는 하나에 4바이트입니다.",
         "That counts numbers; a float32 takes 4 bytes."),
        ([r / 32 for r in right],
         "바이트로 답하십시오. 4바이트가 32비트입니다.",
         "Answer in bytes; 32 bits are 4 of them."),
        ([r * 8 for r in right],
         "비트가 아니라 바이트로 답하십시오.", "Answer in bytes, not in bits."),
        ([r / 2 for r in right],
         "절반만 세었습니다. 원본은 미래의 쌍도 만든 다음에 가립니다.",
         "That is half: the original makes the later pairs too, then hides them."),
        ([4 * b * h * n * n for b, h, n, c in cases],
         "그것은 (n, n) 표입니다. 차이는 쌍마다 축의 수만큼 있습니다.",
         "That is the (n, n) table; a difference has one number an axis."),
        ([4 * b * h * n * c for b, h, n, c in cases],
         "그것은 좌표 자체입니다. 차이는 i와 j의 쌍마다 하나씩 있습니다.",
         "Those are the coordinates; there is one difference for each pair i, j."),
    ], "텐서의 모양 (batch, heads, n, n, axes)에서 수를 세어 보십시오.",
       "Count the numbers of a tensor (batch, heads, n, n, axes).")
    mebibytes = f"{right[0] / 2**20:,.0f} MiB"
    return correct(
        f"맞았습니다. n = 1,024, 헤드 8개, 축 30개면 {mebibytes}입니다.",
        f"Correct: {mebibytes} at n = 1,024 with 8 heads of 30 axes.")


def _average(r2, z):
    return newton(r2, torch.ones(len(z)), 1.0).masked_fill(
        ~causal(len(z)), -torch.inf).softmax(-1).to(z.dtype) @ z


def _plain_r2(z):
    norm = z.float().square().sum(-1)
    return (norm[:, None] + norm - 2 * z.float() @ z.float().T).clamp_min(0)


def _one_peeks(z):
    out = _average(_plain_r2(z - z[:1]), z)
    out[10:11] += z[11:12].sum(0)  # token 10 alone
    return out


def _by_own_size(z):
    z = z / (1 + z.norm(dim=-1, keepdim=True))
    return _average(_plain_r2(z), z)


_FORMS = {
    "first": lambda z: _average(_plain_r2(z - z[:1]), z),
    "mean": lambda z: _average(_plain_r2(z - z.mean(0)), z),
    "unit": lambda z: _average(_plain_r2(z / z.abs().amax()), z),
    "own": _by_own_size,
    "peek": _one_peeks,
}


@exercise
def check_looks_ahead(answer) -> Verdict:
    """answer(form, z): True when an output of `form(z)` depends on a later point.

    form takes points (n, C) and returns one output a point, (n, C), also 16 bits.
    """
    generator = torch.Generator().manual_seed(3)
    z = torch.randn(32, 4, generator=generator).bfloat16()
    before, caught = z.clone(), {}
    for name, form in _FORMS.items():
        caught[name] = bool(answer(form, z))
        require(torch.equal(z, before),
                "`z` 자체를 바꾸었습니다. 복사본(`z.clone()`)을 바꾸십시오.",
                "You changed `z` itself; change a copy (`z.clone()`).")
    require(not caught["first"] and not caught["own"],
            "미래를 보지 않는 것까지 잡았습니다. 바꾼 토큰보다 앞의 출력만 견주십시오.",
            "It accuses a form that never looks ahead: compare only outputs before "
            "the token that you changed.")
    require(caught["mean"] or caught["unit"],
            "하나도 잡지 못했거나 너무 너그럽습니다. 뒤의 토큰을 크게 바꾸고 "
            "`torch.equal`로 견주십시오.",
            "It misses a mean over all tokens: change a later token by much and "
            "compare with `torch.equal`.")
    require(caught["mean"] and caught["unit"],
            "하나를 놓쳤습니다. 더 크게 바꾸거나 여러 번 바꾸어 보십시오.",
            "One slips through: change by more, or more than once.")
    require(caught["peek"],
            "한 자리만 바로 다음 토큰을 엿보는 것을 놓쳤습니다. 자리마다 차례로 "
            "바꾸어 보십시오.",
            "It misses a form in which one place peeks at the next token: change each "
            "token in turn.")
    return correct(
        "맞았습니다. 평균으로 중심을 잡은 것과 최댓값으로 나눈 것이 미래를 봅니다.",
        "Correct: the one centred by a mean and the one divided by a maximum look "
        "ahead.")


@exercise
def check_power_vectors(answer) -> Verdict:
    """answer(z, mass, p, beta, eps): (query, key), (q·k)^(−p) ∝ newton's weights."""
    for seed, p, beta, eps in ((1, 1.0, 1.0, 0.1), (2, 1.7, 0.6, 0.3)):
        z, mass = cloud(seed, 6)
        query, key = answer(z, mass, p, beta, eps)
        same_width(query, key)
        u = query @ key.mT
        require((u > 0).all(),
                "음수나 0인 내적이 있습니다. r² + ε은 언제나 양수입니다.",
                "Some dot products are not positive; r² + ε always is.")

        def weights(z=z, mass=mass, p=p, beta=beta, eps=eps):
            return newton(squared_distances(z), mass, p, beta, eps).softmax(-1)

        compare(share(u**-p), weights(), [
            (weights(mass=torch.ones_like(mass)),
             "질량이 빠졌습니다. 키에 m^(−β/p)을 곱하십시오.",
             "The mass is missing: multiply the key by m^(−β/p)."),
            (weights(beta=-beta),
             "무거울수록 약하게 당깁니다. 지수의 부호를 뒤집으십시오.",
             "Heavier pulls less here: flip the sign of the exponent."),
            (weights(beta=beta * p),
             "m^(−β)이 아니라 m^(−β/p)입니다. 나중에 −p제곱을 하기 때문입니다.",
             "Not m^(−β) but m^(−β/p), since the power −p comes after."),
            (weights(z * z.shape[-1] ** 0.5),
             "r²은 축의 수 C로 나눈 값입니다.", "r² is per coordinate: divide by C."),
            (weights(eps=1e-12), "ε이 빠졌습니다.", "The ε is missing."),
        ], "‖z_i‖² + ‖z_j‖² − 2 z_i·z_j를 내적 하나로 써 보십시오. 성분 두 개를 "
           "덧붙이면 됩니다.",
           "Write ‖z_i‖² + ‖z_j‖² − 2 z_i·z_j as one dot product: two more entries "
           "will do.")
    return correct("맞았습니다. 뉴턴 커널은 내적의 거듭제곱입니다.",
                   "Correct: the Newton kernel is a power of a dot product.")


class _Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation made."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for x in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(x, torch.Tensor):
                self.size = max(self.size, x.numel())
        return made


@exercise
def check_walk(answer) -> Verdict:
    """answer(query, key, value, p, block): Σ_j≤i u_ij^(−p) v_j / Σ_j≤i u_ij^(−p).

    query, key: (n, wide) with u = query @ key.T ≥ 1; value: (n, d). No tensor may hold
    more than block · n numbers (or than an input holds).
    """
    for seed, seq, block, p in ((1, 64, 16, 1.0), (2, 50, 16, 1.6)):
        z, mass = cloud(seed, seq)
        norm, one = z.square().sum(-1, keepdim=True), torch.ones(seq, 1).double()
        query = torch.cat((-2 * z, norm + 1, one), -1)
        key = torch.cat((z, one, norm), -1)
        value = torch.stack((mass, mass.cos(), mass.sin()), -1)
        w = (query @ key.T) ** -p
        right = share(w.tril()) @ value
        with _Largest() as seen:
            got = answer(query, key, value, p, block)
        got = tensor(got, right.shape, "길이가 블록의 배수가 아닐 때도 보십시오.",
                     "Mind a length that is no multiple of the block.")
        compare(got, right, [
            (share(w) @ value,
             "미래의 토큰까지 더했습니다. j ≤ i만 더하십시오.",
             "Later tokens were added as well; add only j ≤ i."),
            (w.tril() @ value, "가중치의 합으로 나누지 않았습니다.",
             "The sum of the weights was not divided by."),
            (close(got[:block], right[:block]),
             ("첫 블록만 맞습니다. 합 Z도 모든 블록에 걸쳐 더하고, 나누기는 끝에 한 "
              "번만 하십시오. `tril`의 둘째 인자도 보십시오."),
             ("Only the first block is right: add up Z over all blocks too and divide "
              "once at the end; mind the second argument of `tril`.")),
        ], "값이 다릅니다. u = q·k의 −p제곱이 가중치입니다.",
           "The values differ; the weight is u = q·k to the power −p.")
        require(seen.size <= max(block * seq, key.numel()),
                f"값은 맞지만 수 {seen.size}개짜리 텐서를 만들었습니다. 한 번에 "
                f"{block * seq}개까지만 쓰십시오.",
                f"Right values, but one tensor held {seen.size} numbers; hold at most "
                f"{block * seq} at a time.")
    return correct("맞았습니다. 표를 한 번도 통째로 만들지 않았습니다.",
                   "Correct, and the whole table never existed.")
