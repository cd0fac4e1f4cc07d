# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["lang-ko"]
# <!-- label: distance-chapter -->
# # 내적에서 거리로: 다섯 칸짜리 사다리
#
# 어텐션(attention)은 쿼리(query)와 키(key)의 내적(dot product)으로 누구를 볼지 정합니다. 중력은 거리와 질량(mass)으로 누구를 당길지 정합니다. 멀어 보이는 두 규칙 사이에 사다리를 놓고, 한 칸 오를 때마다 식이 한 줄씩 어떻게 바뀌는지 코드로 확인합니다. 건너뛰는 칸은 없습니다.
#
# - **할 수 있게 되는 것.** 내적 어텐션을 거리의 말로 옮겨 적고, 가우스 커널(Gaussian kernel)과 거듭제곱 커널(kernel)의 차이를 말하고, 질량과 컷오프(cutoff)가 누구를 보게 하는지 손으로 구할 수 있습니다.
# - **걸리는 시간.** 읽기 30분, 연습 문제 35분.
# - **필요한 것.** [2장의 로짓(logit, 곧 어텐션 점수)과 소프트맥스(softmax)](#qkv-logits), 벡터의 길이, 로그.
# %% [markdown] tags=["lang-en"]
# <!-- label: distance-chapter -->
# # From dot product to distance: a ladder of five rungs
#
# Attention decides by the dot product of query and key whom to look at. Gravity decides by distance and mass whom to pull. We put a ladder between these two rules and check in code, rung by rung, which line of the formula changes. No rung is skipped.
#
# - **You will be able to** write dot-product attention in the language of distances, tell a Gaussian kernel from a power law, and work out by hand whom mass and cutoff make a token look at.
# - **Time.** 30 minutes to read, 35 for the exercises.
# - **You need** [logits (attention scores) and softmax of chapter 2](#qkv-logits), the length of a vector, the logarithm.

# %% tags=["parameters"]
profile: str = None  # smoke, book or gpu; None follows BOOK_PROFILE, else book
seed = 0  # of the random vectors
n_tokens = 6  # tokens of the random vectors
width = 4  # axes of the random vectors
strength = 1.0  # γ of the Gaussian in the pictures
power = 1.0  # p of the inverse power in the pictures
eps = 0.1  # softening ε, in the unit of r²
heavy = 4.0  # mass of the heavy token
radius = 2.0  # R of the cutoff, in the unit of r
draws: int = None  # random sets of points for the slopes; None: the profile
device = "cpu"  # cpu or cuda; the chapter computes in float64

# %% tags=["hide-input"]
import math

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib import pyplot as plt

from lib.page.figures import COLOURS, SEQUENTIAL, show, use_style
from lib.page.profile import expect, settings
from lib.page.record import record

use_style()
expect(int, seed=seed, n_tokens=n_tokens, width=width)
expect(float, strength=strength, power=power, eps=eps, heavy=heavy,
       radius=radius)
cfg = settings(profile, smoke={"draws": 10}, book={"draws": 300},
               gpu={"draws": 3000}, given={"draws": draws}, device=device,
               seed=seed)

# %% [markdown] tags=["lang-ko"]
# <!-- label: distance-picture -->
# ## 먼저 그림으로: 한 토큰을 밀어내 보기
#
# 평면에 토큰(token) 넷이 있습니다. 가운데의 a가 쿼리이고, 자기 자신까지 포함해 네 토큰을 봅니다. b와 c는 제자리에 있고, 무거운 d(질량 ⟨heavy⟩)만 슬라이더로 움직입니다. d를 a에서 멀리 보내면서 d가 받는 어텐션 가중치(attention weight)가 다섯 규칙에서 저마다 어떻게 변하는지 보십시오.
#
# 그림에서 거리를 재는 자는 $r$입니다. 좌표축이 $C$개일 때 거리의 제곱을 $C$로 나눈 것을 $r^2$이라고 부릅니다. 이 그림에서는 $C=2$입니다.
#
# $$r_{ij}^2=\frac{\|z_i-z_j\|^2}{C}$$
# %% [markdown] tags=["lang-en"]
# <!-- label: distance-picture -->
# ## A picture first: push one token away
#
# Four tokens lie in a plane. The one in the middle, a, is the query; it looks at all four, itself included. b and c stay where they are, and the slider moves only d, which is heavy (mass ⟨heavy⟩). Send d away from a and watch how the attention weight that d receives changes under each of five rules.
#
# The ruler of the picture is $r$: with $C$ axes, the squared distance over $C$ is called $r^2$. Here $C=2$.
#
# $$r_{ij}^2=\frac{\|z_i-z_j\|^2}{C}$$

# %% tags=["hide-input"]
from lib.gravity.attention import (
    cutoff_gate,
    gated_softmax,
    gaussian,
    newton,
    potential,
    squared_distances,
)

# %%
a = torch.tensor([1.4, 0.7]).double()  # the dot product's zero is elsewhere
away = a / a.norm()
b, c = a + torch.tensor([0.9, -0.9]), a + torch.tensor([-1.4, -2.0])
mass = torch.tensor([1.0, 1.0, 1.0, heavy]).double()


def rungs(points, mass):
    """Weights that token 0 gives to all, by the rule."""
    r2 = squared_distances(points)[:1]
    near = newton(r2, torch.ones_like(mass), power, eps=eps)
    pull = newton(r2, mass, power, eps=eps)
    gate = (1 - r2 / radius**2).clamp_min(0)
    return {
        "dot product": (points[:1] @ points.T / math.sqrt(2)).softmax(-1),
        "Gaussian": gaussian(r2, torch.ones_like(mass), strength).softmax(-1),
        "newton": near.softmax(-1),
        "newton + mass": pull.softmax(-1),
        "newton + mass + cutoff": gated_softmax(pull, gate)}

# %% [markdown] tags=["lang-ko"]
# 슬라이더가 멈추는 자리마다 d를 옮겨 놓고, 다섯 규칙의 가중치를 미리 구해 둡니다.
# %% [markdown] tags=["lang-en"]
# For every stop of the slider, d is moved there and the weights of the five rules are computed beforehand.

# %% tags=["hide-input"]
stops = torch.linspace(0, 4, 41, dtype=torch.float64)
scenes = [torch.stack([a, b, c, a + math.sqrt(2) * r * away]) for r in stops]
falls = [rungs(points, mass) for points in scenes]
names = list(falls[0])
curves = {n: [float(f"{w:.3g}") if w > 1e-12 else None for w in (
    fall[n][0, 3].item() for fall in falls)] for n in names}
places = [((points - a) / math.sqrt(2)).round(decimals=3).tolist()
          for points in scenes]
zero = (-a / math.sqrt(2)).tolist()
at = {r: int((stops - r).abs().argmin()) for r in (1, 4)}
record(heavy=heavy, radius=radius,
       dot_four=falls[at[4]]["dot product"][0, 3],
       gaussian_four=falls[at[4]]["Gaussian"][0, 3],
       newton_four=falls[at[4]]["newton"][0, 3],
       mass_four=falls[at[4]]["newton + mass"][0, 3])

# %% tags=["remove-cell"]
from lib.page.live import alive, export

turn = np.linspace(0, 2 * np.pi, 73)
colour = dict(zip(names, ("attention", "tokens", "olive", "gravity", "plum"),
                  strict=True))
dashes = dict(zip(names, ("solid", "dashed", "dotted", "solid", "dashdot"),
                  strict=True))
strokes = {"solid": "", "dashed": "7 5", "dotted": "2 4",
           "dashdot": "7 4 2 4"}
korean = dict(zip(names, ("내적", "가우스", "newton", "newton + 질량",
                          "newton + 질량 + 컷오프"), strict=True))
still = places[at[1]][:3]
export("push", x=stops.numpy().round(2).tolist(), start=at[1],
       label="토큰 d의 거리 r | Distance r of token d",
       value="d의 가중치 | weight of d", range=[1e-4, 1.4],
       ticks=[1e-4, 1e-3, 1e-2, 0.1, 1],
       curves=[{"name": f"{korean[n]} | {n}", "colour": colour[n],
                "dash": strokes[dashes[n]],
                "y": [w or 0.0 for w in curves[n]]} for n in names],
       plane={"view": [-2.9, 4.9, -2.2, 2.35], "zero": zero,
              "radius": radius, "name": "d", "mass": heavy,
              "fixed": [[name, *place] for name, place
                        in zip("abc", still, strict=True)],
              "moving": [scene[3] for scene in places]})

# %% tags=["hide-input"]
fig, (above, below) = plt.subplots(2, 1, figsize=(7.2, 7),
                                   height_ratios=[1.1, 1])
above.plot(radius * np.cos(turn), radius * np.sin(turn), ":",
           color=COLOURS["grey"], linewidth=1)
above.plot(*zero, "x", color=COLOURS["grey"])
for name, place in zip("abcd", places[at[1]], strict=True):
    size = heavy if name == "d" else 1.0
    above.scatter(*place, s=90 * size, color=COLOURS[
        {"a": "attention", "d": "gravity"}.get(name, "grey")])
    above.annotate(name, place, ha="center", textcoords="offset points",
                   xytext=(0, 8 + 4 * size))
above.set(aspect="equal", xlim=(-2.9, 4.9), ylim=(-2.2, 2.35), xticks=[],
          yticks=[])
for n in names:
    below.semilogy(stops, [w or np.nan for w in curves[n]], color=COLOURS[
        colour[n]], linestyle=dashes[n], label=n)
below.axvline(stops[at[1]], color=COLOURS["grey"], linewidth=1)
below.set(ylim=(1e-4, 1.4), xlabel="distance r of token d",
          ylabel="weight of d")
below.legend(loc="lower left")
alive(fig, "curves", "push")

# %% [markdown] tags=["lang-ko", "caption"]
# 위: 쿼리 a와 세 토큰. 점선은 반지름(radius) $R$이고 ×는 내적이 재는 원점입니다. 아래: d를 옮길 때 d가 받는 가중치(로그 눈금). 내적만 멀어질수록 올라가고, 컷오프를 더한 선은 0이 되는 $R$에서 끊깁니다.
#
# <!-- alt: 위에는 평면에 놓인 토큰 a, b, c와 움직이는 무거운 토큰 d, 반지름을 나타내는 점선 원, 왼쪽 아래의 원점 표시가 있다. 아래에는 거리 0에서 4까지 d의 가중치 곡선 다섯 개가 로그 눈금으로 그려져 있다. 내적의 곡선은 올라가고, 가우스 곡선은 빠르게 0으로 내려가며, 뉴턴 곡선은 천천히 내려간다. 질량을 더한 곡선은 그 위에 있고, 컷오프를 더한 곡선은 반지름에서 끊긴다. 슬라이더로 d의 거리를 고른다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Above: query a and three tokens. The dotted circle is the radius $R$, the × is the origin from which the dot product measures. Below: the weight of d as it moves (logarithmic). The dot product alone rises with distance; the line with the cutoff ends at $R$, where it becomes 0.
#
# <!-- alt: Above, a plane with tokens a, b and c, the moving heavy token d, a dotted circle for the radius, and a mark for the origin at the lower left. Below, five curves of the weight of d over distances from 0 to 4 on a logarithmic scale. The dot product rises, the Gaussian falls fast to 0, newton falls slowly; with mass the curve lies above it, and with a cutoff it ends at the radius. A slider picks the distance of d. -->

# %% [markdown] tags=["lang-ko"]
# $r=4$에서 d가 받는 가중치를 읽어 보면 규칙의 성격이 드러납니다. 내적은 ⟨dot_four⟩, 가우스는 ⟨gaussian_four⟩, 역제곱은 ⟨newton_four⟩, 질량까지 세면 ⟨mass_four⟩입니다. 컷오프를 더하면 정확히 0입니다. 이제 한 칸씩 오릅니다.
# %% [markdown] tags=["lang-en"]
# The weights of d at $r=4$ show the character of each rule: ⟨dot_four⟩ for the dot product, ⟨gaussian_four⟩ for the Gaussian, ⟨newton_four⟩ for the inverse square, ⟨mass_four⟩ once mass counts, and exactly 0 with a cutoff. Now one rung at a time.

# %% [markdown] tags=["lang-ko"]
# <!-- label: distance-dot -->
# ## 첫째 칸: 내적
#
# 출발점은 2장에서 손으로 계산한 식입니다.
#
# $$s_{ij}=\frac{q_i\cdot k_j}{\sqrt d}$$
#
# 내적은 두 가지를 한꺼번에 셉니다. 같은 쪽을 보는지, 그리고 얼마나 긴지입니다. 길이만 바꾸면 어떻게 되는지 봅시다. 방향이 같은 키 셋의 길이를 1, 2, 4로 두고, 쿼리의 방향을 조금씩 돌립니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: distance-dot -->
# ## First rung: the dot product
#
# We start from the formula that chapter 2 computed by hand.
#
# $$s_{ij}=\frac{q_i\cdot k_j}{\sqrt d}$$
#
# A dot product counts two things at once: whether two vectors point the same way, and how long they are. What if only the length differs? Take three keys of one direction, with lengths 1, 2 and 4, and turn the query.

# %%
lengths = torch.tensor([1.0, 2.0, 4.0])
keys = lengths[:, None] * torch.tensor([[1.0, 0.0]])
angles = torch.tensor([0, 60, 90, 120, 180])
query = 2 * torch.stack([angles.deg2rad().cos(), angles.deg2rad().sin()], 1)

by_length = (query @ keys.T / math.sqrt(2)).softmax(-1)
pd.DataFrame(by_length.numpy().round(3), index=[f"{x}°" for x in angles],
             columns=[f"‖k‖ = {x:g}" for x in lengths])

# %% tags=["remove-cell"]
record(long_same=by_length[0, 2], long_opposite=by_length[-1, 2])

# %% [markdown] tags=["lang-ko"]
# 길이가 2인 이 쿼리에 가장 가까운 키는 길이가 2인 키입니다. 쿼리와 방향이 같으면(0°) 두 점은 아예 겹칩니다. 그런데도 내적은 길이가 4인 키에 ⟨long_same⟩만큼 줍니다. 반대쪽을 보면(180°) 같은 키의 몫이 ⟨long_opposite⟩까지 줄어듭니다. 내적에서 긴 키는 목소리가 큰 토큰입니다. 편들 때도 거스를 때도 크게 말합니다.
# %% [markdown] tags=["lang-en"]
# The query has length 2, so the key of length 2 is the nearest one; at 0° the two points even coincide. Yet the dot product gives ⟨long_same⟩ to the key of length 4, and ⟨long_opposite⟩ when the query looks the other way (180°). To a dot product a long key is a loud token: loud when it agrees, and loud when it does not.

# %% [markdown] tags=["lang-ko"]
# <!-- label: distance-gaussian -->
# ## 둘째 칸: 거리의 제곱
#
# 거리의 제곱을 펼치면 그 안에 내적이 들어 있습니다.
#
# $$\|q_i-k_j\|^2=\|q_i\|^2+\|k_j\|^2-2\,q_i\cdot k_j$$
#
# 그러니 $-\gamma\|q_i-k_j\|^2$을 로짓으로 쓰는 가우스 커널은 내적에 길이의 항 두 개를 더한 것입니다. 난수 벡터로 한 줄씩 바꾸어 가며, 줄마다 처음의 정의와 얼마나 다른지 float64로 잽니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: distance-gaussian -->
# ## Second rung: the squared distance
#
# Expand a squared distance and there is a dot product inside.
#
# $$\|q_i-k_j\|^2=\|q_i\|^2+\|k_j\|^2-2\,q_i\cdot k_j$$
#
# A Gaussian kernel, whose logit is $-\gamma\|q_i-k_j\|^2$, is therefore a dot product with two terms of length added. On random vectors we rewrite it one line at a time, and measure in float64 how far each line is from the definition.

# %%
draw = torch.Generator().manual_seed(seed)
q, k, v = torch.randn(3, n_tokens, width, generator=draw, dtype=torch.float64)
gamma = 0.7
one = torch.ones(n_tokens, 1, dtype=torch.float64)
qq, kk = q.square().sum(-1, keepdim=True), k.square().sum(-1, keepdim=True)

defined = -gamma * (q[:, None] - k[None]).square().sum(-1)
expanded = 2 * gamma * q @ k.T - gamma * kk.T - gamma * qq
dropped = 2 * gamma * q @ k.T - gamma * kk.T  # the query's own term is gone
q_wide = torch.cat([2 * gamma * q, one], -1)  # one more axis: always 1
k_wide = torch.cat([k, -gamma * kk], -1)  # and there the key's length
joined = q_wide @ k_wide.T

# %%
weights = defined.softmax(-1)
sdpa = F.scaled_dot_product_attention(
    q_wide[None], k_wide[None], v[None], scale=1.0)[0]
gaps = {
    "2γ q·k − γ‖k‖² − γ‖q‖²": (expanded - defined, expanded.softmax(-1)),
    "2γ q·k − γ‖k‖²": (dropped - defined, dropped.softmax(-1)),
    "[2γq, 1] · [k, −γ‖k‖²]": (joined - defined, joined.softmax(-1)),
}
table = pd.DataFrame([
    (name, logit.abs().max().item(), (w - weights).abs().max().item())
    for name, (logit, w) in gaps.items()], columns=[
    "logit", "gap to the defined logits", "gap of the weights"])
table.style.hide(axis="index").format(precision=1, formatter={
    name: "{:.1e}" for name in table.columns[1:]})

# %% tags=["remove-cell"]
worst = max(table.iloc[:, 2].max(),
            (sdpa - weights @ v).abs().max().item())
record(gap_gaussian=worst, gap_dropped=table.iloc[1, 1])

# %% [markdown] tags=["lang-ko"]
# 둘째 줄에서는 쿼리만의 항 $-\gamma\|q_i\|^2$을 지웠습니다. 로짓은 ⟨gap_dropped⟩까지 달라졌지만 가중치는 그대로입니다. 한 행에 똑같이 더해지는 수는 소프트맥스가 지워 버리기 때문입니다. 셋째 줄은 남은 두 항을 축이 하나 더 많은 벡터의 내적 하나로 묶습니다. 이 벡터를 파이토치의 `scaled_dot_product_attention`에 그대로 넣어도 출력이 같습니다. 가중치와 출력을 통틀어 가장 큰 차이는 ⟨gap_gaussian⟩, float64의 반올림입니다.
#
# 곧 **가우스 커널은 새로운 연산이 아닙니다.** 축 하나를 더한 내적 어텐션입니다. 2부가 거리로 만든 어텐션을 빠르게 계산하는 길이 여기서 열립니다.
# %% [markdown] tags=["lang-en"]
# The second line drops the query's own term, $-\gamma\|q_i\|^2$. The logits move by up to ⟨gap_dropped⟩, and the weights stay: a softmax does not see what is added to a whole row. The third line folds the two terms that are left into one dot product of vectors with one more axis, which PyTorch's `scaled_dot_product_attention` takes as they are. Over weights and outputs the largest difference is ⟨gap_gaussian⟩, the rounding of float64.
#
# So **the Gaussian kernel is no new operation.** It is dot-product attention with one more axis, and this is how Part II will compute attention from distances fast.

# %% [markdown] tags=["lang-ko"]
# <!-- label: distance-hidden-mass -->
# ### 거꾸로 읽기: 내적에 숨은 질량
#
# 같은 등식을 거꾸로 읽으면 내적에서 빠져나간 것이 보입니다. 한 행에 똑같이 더해지는 항을 접어 두면
#
# $$2\gamma\,q_i\cdot k_j \;=\; -\gamma\|q_i-k_j\|^2+\gamma\|k_j\|^2+\text{const}_i$$
#
# 입니다. $\gamma=\frac{1}{2\sqrt d}$로 두면 왼쪽이 바로 첫째 칸의 로짓입니다. 오른쪽은 $m_j=e^{\gamma\|k_j\|^2}$인 질량을 단 가우스 중력입니다. 내적 어텐션은 이미 중력이었던 셈입니다. **긴 키가 곧 무거운 토큰**이고, 질량은 길이의 제곱을 따라 지수 함수로 늘어납니다. 키의 길이를 모두 1로 맞추면 질량이 같아져서 가우스 커널만 남습니다. 둘 다 확인합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: distance-hidden-mass -->
# ### Read backwards: the mass inside a dot product
#
# Read the same identity backwards and you see what the dot product leaves out. Up to a term that a whole row shares,
#
# $$2\gamma\,q_i\cdot k_j \;=\; -\gamma\|q_i-k_j\|^2+\gamma\|k_j\|^2+\text{const}_i$$
#
# With $\gamma=\frac{1}{2\sqrt d}$ the left side is the logit of the first rung. The right side is Gaussian gravity with masses $m_j=e^{\gamma\|k_j\|^2}$. Dot-product attention has been gravity all along: **a long key is a heavy token**, and its mass grows exponentially with the square of the length. Bring all keys to length 1 and the masses become equal, so that only the Gaussian is left. The cell checks both.

# %%
gamma_dot = 1 / (2 * math.sqrt(width))
hidden_mass = (gamma_dot * kk).exp()
square = (q[:, None] - k[None]).square().sum(-1)

dot = (q @ k.T / math.sqrt(width)).softmax(-1)
pulled = hidden_mass.T * (-gamma_dot * square).exp()
pulled = pulled / pulled.sum(-1, keepdim=True)

unit = k / kk.sqrt()
dot_unit = (q @ unit.T / math.sqrt(width)).softmax(-1)
near = -gamma_dot * (q[:, None] - unit[None]).square().sum(-1)

# %% tags=["remove-cell"]
record(gap_mass=(dot - pulled).abs().max(),
       gap_unit=(dot_unit - near.softmax(-1)).abs().max(),
       mass_least=hidden_mass.min(), mass_most=hidden_mass.max())

# %% [markdown] tags=["lang-ko"]
# 내적의 가중치와 질량을 단 가우스의 가중치는 ⟨gap_mass⟩까지 같고, 길이를 맞춘 키에서는 질량 없이도 ⟨gap_unit⟩까지 같습니다. 이 난수 키들에 숨은 질량은 ⟨mass_least⟩에서 ⟨mass_most⟩까지입니다. 키의 길이를 맞추는 QK 정규화(QK-norm)를 쓰는 모델이라면, 그 어텐션은 질량이 모두 같은 가우스 커널입니다.
# %% [markdown] tags=["lang-en"]
# The weights of the dot product and of the Gaussian with these masses agree to ⟨gap_mass⟩; on keys of one length they agree without any mass, to ⟨gap_unit⟩. The masses hidden in these random keys run from ⟨mass_least⟩ to ⟨mass_most⟩. A model that brings its keys to one length (QK-norm) thus attends by a Gaussian kernel of equal masses.

# %% [markdown] tags=["lang-ko"]
# <!-- label: distance-exercise-mass -->
# ### 연습 1. 숨은 질량 찾기 (★, 10분)
#
# 키 (n, d)를 받아, 첫째 칸의 어텐션 $\mathrm{softmax}(q\cdot k_j/\sqrt d)$와 같은 가중치를 주는 질량 (n)을 돌려주십시오. 가우스 커널의 $\gamma$는 $\frac{1}{2\sqrt d}$입니다. 질량은 공통의 배수를 곱해도 됩니다. 왜 그래도 되는지도 생각해 보십시오.
# %% [markdown] tags=["lang-en"]
# <!-- label: distance-exercise-mass -->
# ### Exercise 1. Find the hidden mass (★, 10 minutes)
#
# Given keys (n, d), return the masses (n) with which a Gaussian kernel gives the weights of the first rung, $\mathrm{softmax}(q\cdot k_j/\sqrt d)$. Its $\gamma$ is $\frac{1}{2\sqrt d}$. A common factor is free; ask yourself why.

# %% tags=["exercise"]
def my_masses(keys):
    ...

# %%
from lib.exercises.distance import check_hidden_mass

check_hidden_mass(my_masses)

# %% tags=["solution", "hide-cell"]
def masses_solution(keys):
    gamma = 1 / (2 * keys.shape[-1] ** 0.5)
    return (gamma * keys.square().sum(-1)).exp()


check_hidden_mass(masses_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: distance-newton -->
# ## 셋째 칸: 지수에서 거듭제곱으로
#
# 가우스 커널은 먼 것을 지수 함수를 따라 빠르게 잊습니다. 멀리 있는 토큰끼리는 견주어 볼 것도 없이 모두 0에 가깝습니다. 거듭제곱은 다르게 잊습니다.
#
# $$e^{-\gamma r^2}\quad\longrightarrow\quad\frac{1}{(r^2+\varepsilon)^{p}}=e^{-p\log(r^2+\varepsilon)}$$
#
# 바뀐 것은 로짓에 들어간 로그 하나입니다. 거리의 제곱이 둘째 칸처럼 내적으로 계산된다는 점은 그대로입니다. 두 식은 서로 이어져 있기도 합니다. $\varepsilon=p/\gamma$로 두고 $p$를 키우면
#
# $$\Bigl(1+\frac{\gamma r^2}{p}\Bigr)^{-p}\;\longrightarrow\;e^{-\gamma r^2}$$
#
# 이므로 가우스 커널은 뉴턴 커널(Newton kernel)의 끝입니다. 통계에서 $t$ 분포가 정규 분포로 가는 길과 같습니다. $p$를 키우며 확인합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: distance-newton -->
# ## Third rung: from an exponential to a power
#
# A Gaussian forgets exponentially. However they compare, distant tokens all weigh close to 0. A power forgets otherwise:
#
# $$e^{-\gamma r^2}\quad\longrightarrow\quad\frac{1}{(r^2+\varepsilon)^{p}}=e^{-p\log(r^2+\varepsilon)}$$
#
# What changed is one logarithm inside the logit; the squared distance is still computed by a dot product, as on the second rung. Nor is there a gap between the two. Put $\varepsilon=p/\gamma$ and let $p$ grow:
#
# $$\Bigl(1+\frac{\gamma r^2}{p}\Bigr)^{-p}\;\longrightarrow\;e^{-\gamma r^2}$$
#
# So the Gaussian is where the Newton kernel ends up, as the $t$ distribution ends up normal. Let $p$ grow and see.

# %%
r2 = squared_distances(torch.cat([q, k]))[:n_tokens, n_tokens:]
equal = torch.ones(n_tokens, dtype=torch.float64)
limit = gaussian(r2, equal, gamma).softmax(-1)
powers = (1, 4, 16, 64, 256)
gap = {p: (newton(r2, equal, p, eps=p / gamma).softmax(-1) - limit)
       .abs().max().item() for p in powers}
pd.DataFrame({"p": powers, "weight gap to the Gaussian": [
    f"{x:.5f}" for x in gap.values()]}).style.hide(axis="index")

# %% tags=["remove-cell"]
record(power_first=gap[1], power_last=gap[256])

# %% [markdown] tags=["lang-ko"]
# $p$가 크면 차이는 거의 $1/p$에 비례해 줄고, $p=256$에서는 ⟨power_last⟩입니다. 그림에서는 꼬리를 보십시오. 두 축이 모두 로그이므로 거듭제곱은 곧은 선이 됩니다.
# %% [markdown] tags=["lang-en"]
# For large $p$ the gap shrinks nearly in proportion to $1/p$; at $p=256$ it is ⟨power_last⟩. In the figure look at the tails: both axes are logarithmic, so a power is a straight line.

# %% tags=["hide-input"]
r = torch.logspace(-1, 1.3, 90)
lone, line = torch.ones(90), (r**2).expand(90, 90)
fig, ax = plt.subplots()
for p, style, colour in ((1, "-", "gravity"), (4, "--", "plum"),
                         (64, "-.", "olive")):
    fall = newton(line, lone, p, eps=p / strength)[0]
    ax.loglog(r, (fall + p * math.log(p / strength)).exp(), style,
              color=COLOURS[colour], label=f"newton, p = {p}")
ax.loglog(r, gaussian(line, lone, strength)[0].exp(),
          color=COLOURS["attention"], label="Gaussian")
ax.set(xlabel="distance r", ylabel="weight relative to r = 0",
       ylim=(1e-8, 2))
ax.legend()
show(fig)

# %% [markdown] tags=["lang-ko", "caption"]
# 원점 근처에서 네 커널이 같아지도록 $\varepsilon=p/\gamma$로 둔 것입니다. 가까이에서는 겹치고, 꼬리에서 갈라집니다.
#
# <!-- alt: 두 축이 모두 로그인 그래프의 곡선 넷. 거리 0.5까지는 겹쳐 있다가 갈라진다. p가 1인 뉴턴은 완만한 직선으로, 4인 뉴턴은 더 가파른 직선으로 내려가고, 64인 뉴턴은 거의 수직으로 떨어지는 가우스 곡선을 따라간다. -->
# %% [markdown] tags=["lang-en", "caption"]
# With $\varepsilon=p/\gamma$ the four kernels agree near the origin. They overlap close by and part in the tails.
#
# <!-- alt: Four curves with both axes logarithmic. They overlap up to distance 0.5 and then part: newton with p of 1 descends as a gentle straight line, p of 4 as a steeper one, and p of 64 follows the Gaussian, which drops almost vertically. -->

# %% [markdown] tags=["lang-ko"]
# 꼬리가 다르면 보는 방식이 달라집니다. 멀리 있는 토큰 하나를 두 배 더 멀리 옮겨 봅시다. 역제곱 법칙(inverse-square law)에서는 얼마나 멀든 몫이 4분의 1쯤이 됩니다. 가우스에서는 멀수록 더 가혹하게 깎입니다.
# %% [markdown] tags=["lang-en"]
# A different tail is a different way of looking. Move a distant token twice as far away. Under the inverse-square law its share falls to about a quarter, however far it was; under a Gaussian, the farther, the harsher.

# %%
far = torch.tensor([0.5, 1.0, 2.0, 4.0])
there = {"newton, p = 1": lambda r: 1 / (r**2 + eps),
         f"gaussian, γ = {strength:g}": lambda r: (-strength * r**2).exp()}
keeps = pd.DataFrame({name: (rule(2 * far) / rule(far)).numpy()
                      for name, rule in there.items()},
                     index=[f"r: {x:g} → {2 * x:g}" for x in far.tolist()])
keeps.map("{:.2g}".format)

# %% tags=["remove-cell"]
record(keep_newton=keeps.iloc[-1, 0], keep_gaussian=keeps.iloc[-1, 1])

# %% [markdown] tags=["lang-ko"]
# <!-- label: distance-exercise-reach -->
# ### 연습 2. 어디까지 닿나 (★, 10분)
#
# 겹쳐 있을 때의 몫을 1이라 할 때, 뉴턴 커널의 몫이 `share`로 줄어드는 거리 $r$을 $p$와 $\varepsilon$으로 나타내십시오. 반지름을 고를 때 쓸 수 있는 식입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: distance-exercise-reach -->
# ### Exercise 2. How far does it reach (★, 10 minutes)
#
# Call the pull of a coinciding token 1. At which distance $r$ has the pull of the Newton kernel fallen to `share`? Give it in terms of $p$ and $\varepsilon$. It helps to choose a radius.

# %% tags=["exercise"]
def my_reach(share, p, eps):
    ...

# %%
from lib.exercises.distance import check_reach

check_reach(my_reach)

# %% tags=["solution", "hide-cell"]
def reach_solution(share, p, eps):
    # ((r² + ε) / ε)^(−p) = share
    return (eps * (share ** (-1 / p) - 1)) ** 0.5


check_reach(reach_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: distance-mass -->
# ## 넷째 칸: 질량
#
# 내적에서는 키의 길이가 질량 노릇까지 했습니다. 방향과 무게가 한 벡터에 얽혀 있어서, 무거워지려면 자리를 옮겨야 했습니다. 거리만 남긴 둘째 칸과 셋째 칸에서는 그 무게가 사라졌습니다. 이제 무게를 자리에서 떼어 내어 돌려줍니다.
#
# $$w_{ij}\propto\frac{m_j^{\beta}}{(r_{ij}^2+\varepsilon)^{p}},\qquad s_{ij}=\beta\log m_j-p\log(r_{ij}^2+\varepsilon)$$
#
# $\beta\log m_j$는 키마다 하나씩 더하는 수입니다. 어디에 있든 누가 보든 같습니다. 그래서 자리를 옮기지 않고도 모두의 눈에 더 띌 수 있습니다. 처음에 본 네 토큰에서 d를 $r=2$에 두고, d의 질량만 바꾸어 봅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: distance-mass -->
# ## Fourth rung: mass
#
# In a dot product the length of a key doubles as its mass. Direction and weight share one vector, so a token that wants to be heavier has to move. On rungs two and three, where only distance counts, that weight is gone. Now it comes back, apart from the place.
#
# $$w_{ij}\propto\frac{m_j^{\beta}}{(r_{ij}^2+\varepsilon)^{p}},\qquad s_{ij}=\beta\log m_j-p\log(r_{ij}^2+\varepsilon)$$
#
# $\beta\log m_j$ is one number for each key, the same wherever the key is and whoever looks. A token can thus get more attention from all without moving. Take the four tokens of the first picture with d at $r=2$, and change nothing but the mass of d.

# %%
scene = torch.stack([a, b, c, a + math.sqrt(2) * 2 * away])
shares = {m: rungs(scene, torch.tensor([1.0, 1.0, 1.0, m]).double())
          for m in (0.25, 1.0, 4.0, 16.0, 64.0)}
by_mass = pd.DataFrame(
    [w["newton + mass"][0].numpy().round(3) for w in shares.values()],
    index=[f"m(d) = {m:g}" for m in shares], columns=list("abcd"))
by_mass

# %% tags=["remove-cell"]
record(light_d=by_mass.iloc[1, 3], heavy_d=by_mass.iloc[-1, 3])

# %% [markdown] tags=["lang-ko"]
# 질량이 1일 때 ⟨light_d⟩만큼 받던 d가 질량이 64이면 ⟨heavy_d⟩만큼 받습니다. 한편 b와 c의 비는 어느 행에서나 같습니다. 질량은 몫을 나누어 갖는 비율만 바꿀 뿐, 나머지 토큰끼리의 관계는 건드리지 않습니다.
# %% [markdown] tags=["lang-en"]
# With mass 1, d receives ⟨light_d⟩; with mass 64, ⟨heavy_d⟩. The ratio of b to c is the same in every row: a mass changes what share is left, and not how the others stand to each other.

# %% [markdown] tags=["lang-ko"]
# <!-- label: distance-cutoff -->
# ## 다섯째 칸: 컷오프
#
# 거듭제곱의 꼬리는 길어서 먼 토큰도 조금씩 당깁니다. 먼 토큰이 많으면 그 조금이 모여 큰 몫이 됩니다. 반지름 $R$ 밖에서 정확히 0이 되는 인수를 곱하면 이 꼬리를 자를 수 있습니다.
#
# $$w_{ij}\propto\max\Bigl(1-\frac{r_{ij}^2}{R^2},\,0\Bigr)\cdot\frac{m_j^{\beta}}{(r_{ij}^2+\varepsilon)^{p}}$$
#
# 한 토큰은 가까이($r=0.5$)에 있고, 먼 토큰($r=4$)이 점점 많아집니다. 먼 토큰 모두가 받는 몫은 얼마일까요?
# %% [markdown] tags=["lang-en"]
# <!-- label: distance-cutoff -->
# ## Fifth rung: the cutoff
#
# The tail of a power is long, and distant tokens all pull a little. Where there are many, the little adds up. A factor that is exactly 0 beyond a radius $R$ cuts the tail off.
#
# $$w_{ij}\propto\max\Bigl(1-\frac{r_{ij}^2}{R^2},\,0\Bigr)\cdot\frac{m_j^{\beta}}{(r_{ij}^2+\varepsilon)^{p}}$$
#
# One token is near, at $r=0.5$, and more and more are far, at $r=4$. What is the share of all the distant ones together?

# %%
crowd = {}
for n_far in (10, 100, 1000):
    r2 = torch.tensor([0.25] + [16.0] * n_far)[None]
    alone = torch.ones(n_far + 1)
    kinds = {"newton": newton(r2, alone, power, eps=eps),
             "Gaussian": gaussian(r2, alone, strength)}
    gate = (1 - r2 / radius**2).clamp_min(0)
    crowd[n_far] = {n: s.softmax(-1)[0, 1:].sum().item()
                    for n, s in kinds.items()}
    crowd[n_far]["newton + cutoff"] = gated_softmax(
        kinds["newton"], gate)[0, 1:].sum().item()
pd.DataFrame(crowd).T.rename_axis("far tokens").map("{:.3g}".format)

# %% tags=["remove-cell"]
record(crowd_newton=crowd[1000]["newton"],
       crowd_gaussian=crowd[1000]["Gaussian"])

# %% [markdown] tags=["lang-ko"]
# 먼 토큰이 천 개이면 역제곱은 그 무리에 모두 ⟨crowd_newton⟩만큼 줍니다. 가우스는 ⟨crowd_gaussian⟩입니다. 긴 꼬리는 멀리 있는 무리를 보게 하는 눈이기도 하고, 가까운 것을 흐리는 잡음이기도 합니다. 어느 쪽인지는 학습이 정할 일이므로 반지름도 배우게 합니다. 그러려면 반지름까지 기울기(gradient)가 흘러야 합니다.
# %% [markdown] tags=["lang-en"]
# With a thousand distant tokens, the inverse square gives ⟨crowd_newton⟩ to the crowd, the Gaussian ⟨crowd_gaussian⟩. A long tail is an eye for distant crowds, and noise that blurs what is near. Which of the two is for training to decide, so the radius is learned too; and for that it needs a gradient.

# %% [markdown] tags=["lang-ko"]
# <!-- label: distance-exercise-radius -->
# ### 연습 3. 절벽에서도 배우기 (★★, 15분)
#
# `r2`와 텐서 `radius`를 받아, 가중치에 곱할 게이트(gate)를 돌려주십시오. 값은 $r<R$이면 정확히 1, 아니면 정확히 0이어야 합니다. 그러면서도 `radius`로 미분한 값은 0이 아니어야 하고, 반지름이 커지면 게이트가 열려야 하므로 양수여야 합니다.
#
# > **힌트.** 미분되는 함수 $g$를 하나 고르고 `value + g - g.detach()`라고 쓰면 값은 `value`이고 기울기는 $g$의 것입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: distance-exercise-radius -->
# ### Exercise 3. Learn at a cliff (★★, 15 minutes)
#
# Given `r2` and a tensor `radius`, return a gate, to be multiplied with the weights, whose value is exactly 1 where $r<R$ and exactly 0 elsewhere, but whose derivative by `radius` is not 0 but positive, since a larger radius should open the gate.
#
# > **Hint.** Choose a differentiable $g$; `value + g - g.detach()` has the value of `value` and the gradient of $g$.

# %% tags=["exercise"]
def my_gate(r2, radius):
    ...

# %%
from lib.exercises.distance import check_hard_gate

check_hard_gate(my_gate)

# %% tags=["solution", "hide-cell"]
def gate_solution(r2, radius):
    x = 1 - r2 / radius**2
    value = (x > 0).to(r2)
    smooth = x.sigmoid()
    return value + smooth - smooth.detach()


check_hard_gate(gate_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: distance-summary -->
# ## 칸마다 누구를 보나
#
# 사다리를 다 올랐습니다. 이제 쿼리 하나와 성격이 다른 토큰 여섯을 놓고, 칸이 바뀔 때마다 누구를 보게 되는지 한 장에 담습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: distance-summary -->
# ## Whom each rung looks at
#
# That was the whole ladder. Now take one query and six tokens of different character, and see on one page whom each rung makes it look at.

# %%
cast = {"itself": (0.0, 0.0, 1.0), "near": (0.6, -0.5, 1.0),
        "long": (2.6, 1.3, 1.0), "short": (-1.0, -0.5, 1.0),
        "heavy": (-0.6, 1.9, 8.0), "far": (-2.2, -2.6, 8.0)}
spots = a + torch.tensor([x[:2] for x in cast.values()])
looks = rungs(spots, torch.tensor([x[2] for x in cast.values()]))
looked = torch.cat(list(looks.values()))
sheet = pd.DataFrame(looked.numpy().round(3), index=list(looks),
                     columns=list(cast))

# %% tags=["remove-cell"]
record(sum_long=looked[0, 2], sum_long_gaussian=looked[1, 2],
       sum_near_gaussian=looked[1, 1], sum_near_newton=looked[2, 1],
       sum_far_newton=looked[2, 5], sum_heavy=looked[3, 4],
       sum_heavy_before=looked[2, 4], sum_itself=looked[1, 0],
       sum_itself_dot=looked[0, 0], sum_itself_newton=looked[2, 0])

# %% tags=["hide-input"]
fig, (left, right) = plt.subplots(
    2, 1, figsize=(7.2, 7.4), height_ratios=[1, 1.1])
xy = (spots - a) / math.sqrt(2)
for (name, (_, _, m)), (x, y) in zip(cast.items(), xy.tolist(), strict=True):
    left.scatter(x, y, s=60 * m**0.8, alpha=0.8, color=COLOURS[
        "attention" if name == "itself" else "gravity" if m > 1 else "grey"])
    left.annotate(name, (x, y), xytext=(9, 5), textcoords="offset points")
left.plot(radius * np.cos(turn), radius * np.sin(turn), ":", linewidth=1,
          color=COLOURS["grey"])
left.plot(*zero, "x", color=COLOURS["grey"])
left.set(aspect="equal", xlim=(-2.7, 3.1), title="where they are",
         xlabel="first axis", ylabel="second axis")
right.imshow(looked, cmap=SEQUENTIAL["gravity"], vmin=0, vmax=1,
             aspect="auto")
for (i, j), x in np.ndenumerate(looked.numpy()):
    right.text(j, i, f"{x:.2f}", ha="center", va="center", fontsize=9)
right.set(xticks=range(6), yticks=range(5), title="how they are looked at",
          xlabel="token", ylabel="rule")
right.set_xticklabels(list(cast))
right.set_yticklabels(list(looks))
right.tick_params(length=0)
show(fig, table=sheet)

# %% [markdown] tags=["lang-ko", "caption"]
# 위: 쿼리(파랑)를 가운데에 둔 여섯 토큰. 큰 점은 질량이 8이고, ×는 내적의 원점, 점선은 반지름입니다. 아래: 규칙마다 여섯 토큰에 주는 가중치. 행의 합은 1입니다.
#
# <!-- alt: 위에는 평면에 놓인 여섯 토큰. 가운데에 쿼리 자신, 바로 옆에 near, 오른쪽 위 멀리 long, 왼쪽 아래 원점 가까이에 short, 위쪽에 무거운 heavy, 왼쪽 아래 반지름 밖에 무거운 far가 있다. 아래에는 규칙 다섯 줄과 토큰 여섯 칸의 히트맵. 내적 줄은 long이 가장 진하고, 가우스 줄과 뉴턴 줄은 자신과 near가 진하며, 질량을 더하면 heavy가 진해지고, 컷오프를 더하면 far가 0이 된다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Above: six tokens with the query (blue) in the middle. Large points have mass 8, × is the origin of the dot product, the dotted circle the radius. Below: the weights that each rule gives to them; rows sum to one.
#
# <!-- alt: Above, six tokens in a plane: the query itself in the middle, near beside it, long far at the upper right, short at the lower left close to the origin, heavy above, and a heavy token, far, outside the radius at the lower left. Below, a heatmap of five rules by six tokens. The dot product is darkest at long, Gaussian and newton at the token itself and near; with mass, heavy grows darker, and with a cutoff far becomes 0. -->

# %% [markdown] tags=["lang-ko"]
# - **내적 → 가우스.** 길이 대신 가까움을 봅니다. `long`의 몫이 ⟨sum_long⟩에서 ⟨sum_long_gaussian⟩까지 줄고, 자기 자신의 몫은 ⟨sum_itself_dot⟩에서 ⟨sum_itself⟩까지 늘었습니다. 거리에서는 자기 자신이 언제나 가장 가깝기 때문입니다.
# - **가우스 → 역제곱.** 봉우리는 뾰족해지고 꼬리는 길어집니다. $\varepsilon$이 작아서 자기 자신의 몫은 ⟨sum_itself_newton⟩까지 늘고, `near`의 몫은 ⟨sum_near_gaussian⟩에서 ⟨sum_near_newton⟩까지 줄었습니다. 그러면서도 `far`에 ⟨sum_far_newton⟩만큼 남습니다.
# - **질량.** 가장 가깝지 않아도 보이게 합니다. `heavy`의 몫이 ⟨sum_heavy_before⟩에서 ⟨sum_heavy⟩까지 늘었습니다.
# - **컷오프.** 무거워도 너무 멀면 보지 않습니다. 반지름 밖에 있는 `far`와 `long`은 정확히 0입니다.
#
# 사다리는 옳고 그름의 순서가 아닙니다. 한 칸마다 보는 대상이 달라질 뿐이고, 어느 칸이 글을 더 잘 예측하는지는 학습해 보아야 압니다. 그것은 [다음 장](#gravity-training)의 일입니다. [3장에서 본 헤드(head)들](#heads-page)처럼 바로 앞 토큰만 보는 헤드에는 짧은 꼬리가, 글 전체를 보는 헤드에는 긴 꼬리가 맞을지도 모릅니다. 그래서 세기 $p$와 $\gamma$는 헤드마다 배웁니다.
# %% [markdown] tags=["lang-en"]
# - **Dot product → Gaussian.** Nearness counts, not length. The share of `long` falls from ⟨sum_long⟩ to ⟨sum_long_gaussian⟩, and that of the token itself grows from ⟨sum_itself_dot⟩ to ⟨sum_itself⟩: by distance, nothing is nearer than oneself.
# - **Gaussian → inverse square.** A sharper peak and a longer tail. Since $\varepsilon$ is small, the token itself goes up to ⟨sum_itself_newton⟩ and `near` falls from ⟨sum_near_gaussian⟩ to ⟨sum_near_newton⟩; yet `far` keeps ⟨sum_far_newton⟩.
# - **Mass.** One need not be nearest to be seen. The share of `heavy` grows from ⟨sum_heavy_before⟩ to ⟨sum_heavy⟩.
# - **Cutoff.** What is too far is not seen, however heavy. `far` and `long`, outside the radius, get exactly 0.
#
# The ladder is no order of right and wrong. Each rung looks at others, and which one predicts text better takes training to find out: that is for [the next chapter](#gravity-training). A head that looks at the token before, like those of [chapter 3](#heads-page), may want a short tail, and a head that surveys the text a long one. So each head learns its strength $p$ or $\gamma$.

# %% [markdown] tags=["lang-ko"]
# <!-- label: distance-sandbox -->
# ## 모래판: 손으로 옮겨 보기
#
# 같은 여섯 토큰을 이번에는 손으로 옮깁니다. 바탕의 지형은 쿼리가 그 자리에 있을 때 나머지 토큰이 당기는 힘의 로그이고, 선의 굵기는 쿼리가 주는 가중치입니다. 값을 섞은 결과까지 그림에서 보이도록 토큰의 값은 자기 좌표(coordinates)로 두었습니다. 그래서 섞인 값(◆)도 평면의 한 점입니다. 자리와 값이 똑같은 내적 어텐션을 곁에 두었으니, 토큰 하나를 끌 때 두 막대가 어떻게 갈라지는지 보십시오.
# %% [markdown] tags=["lang-en"]
# <!-- label: distance-sandbox -->
# ## A sandbox: move them by hand
#
# The same six tokens once more, now to be moved by hand. The landscape behind them is the logarithm of the pull that the others would have on the query at each place; the thickness of a line is the weight that the query gives. A token's value is its own coordinates, so that the mixed value (◆) is a point of the plane too. Dot-product attention with the same places and the same values goes along beside it: drag a token, and watch the two bars part.

# %% tags=["remove-cell"]
crowded = torch.Generator().manual_seed(seed)
frame = (-2.4, 5.2, -2.65, 3.05)  # left, right, bottom, top
corner, size = torch.tensor([-2.1, -2.4]), torch.tensor([7.0, 5.2])
many = corner + size * torch.rand(64, 2, generator=crowded)
cast_mass = [x[2] for x in cast.values()]
at = {name: i for i, name in enumerate(cast)}
overlapping = spots.clone()
overlapping[at["near"]] = spots[at["itself"]]
export("sandbox", names=list(cast), places=spots, mass=cast_mass, view=frame,
       pull={"kernel": "newton", "strength": power, "beta": 1.0, "eps": eps,
             "sign": 1, "cutoff": "none", "radius": radius,
             "causal": False},
       presets=[
           ("start", {}),
           ("heavy", {"mass": [64.0 if name == "far" else m for name, m
                               in zip(cast, cast_mass, strict=True)]}),
           ("coincide", {"places": overlapping, "kernel": "potential",
                         "strength": strength, "beta": 0.0, "eps": 0.01,
                         "mass": [1.0] * len(cast)}),
           ("original", {"kernel": "potential", "strength": math.log(2),
                         "beta": 0.0, "eps": 1e-6, "sign": -1,
                         "mass": [1.0] * len(cast)}),
           ("radius", {"cutoff": "compact"}),
           ("many", {"places": many.double(), "strength": 1.5,
                     "names": [str(i + 1) for i in range(64)],
                     "mass": (2 * torch.rand(64, generator=crowded)).exp()
                     .double()})])

# %% tags=["hide-input", "cover"]
from lib.page.figures import INK, PAPER

left, right, bottom, top = frame
x, y = np.meshgrid(np.linspace(left, right, 49),
                   np.linspace(bottom, top, 37))
grid = torch.tensor(np.stack([x, y], -1))
r2 = (grid[:, :, None] - spots).square().mean(-1)[:, :, 1:]
heavies = torch.tensor(cast_mass).double()
land = newton(r2, heavies[1:].expand(37, -1), power, eps=eps).logsumexp(-1)
share = newton(squared_distances(spots)[:1], heavies, power,
               eps=eps).softmax(-1)[0]
twin = looks["dot product"][0]
fig, (plane, bars) = plt.subplots(1, 2, figsize=(7.2, 3.5),
                                  width_ratios=[1.6, 1])
low, high = land.min().item(), land.max().item()
doublings = np.arange(low // math.log(2), high // math.log(2) + 2
                      ) * math.log(2)
plane.contourf(x, y, land, doublings, cmap=SEQUENTIAL["gravity"],
               vmin=low, vmax=2 * high - low)
plane.contour(x, y, land, doublings, linewidths=0.7, alpha=0.6,
              colors=COLOURS["gravity"], linestyles="solid")
for name, (px, py), m, w in zip(cast, spots.tolist(), cast_mass, share,
                                strict=True):
    plane.plot(*zip(spots[0].tolist(), (px, py), strict=True),
               color=COLOURS["gravity"], linewidth=14 * w, alpha=0.5,
               solid_capstyle="butt")
    plane.scatter(px, py, s=40 * m**0.8, edgecolor=COLOURS["gravity"],
                  linewidth=2.5, zorder=3, color=PAPER if name == "itself"
                  else COLOURS["gravity"])
    plane.annotate(name, (px, py), xytext=(8, 5), textcoords="offset points")
for mixed, line, hue in ((twin @ spots, "--", COLOURS["attention"]),
                         (share @ spots, "-", INK)):
    plane.plot(*zip(spots[0].tolist(), mixed.tolist(), strict=True), line,
               color=hue, linewidth=1.2, marker="D", markevery=[1])
plane.plot(0, 0, "x", color=COLOURS["grey"])
plane.set(aspect="equal", xlim=(left, right), ylim=(bottom, top), xticks=[],
          yticks=[], title="where they are")
for shift, w, colour_, name in ((-0.2, share, "gravity", "newton + mass"),
                                (0.2, twin, "attention", "dot product")):
    bars.barh(np.arange(6) + shift, w, 0.36, color=COLOURS[colour_],
              label=name)
bars.set(yticks=range(6), xlabel="weight")
bars.set_yticklabels(list(cast))
bars.invert_yaxis()
bars.legend(loc="lower right")
alive(fig, "sandbox", "sandbox")

# %% [markdown] tags=["lang-ko", "caption"]
# 처음 상태의 모래판. 고리는 쿼리 `itself`, 원이 클수록 무거운 토큰, ×는 내적이 재는 원점입니다. 실선 끝의 ◆는 중력이, 점선 끝의 파란 ◆는 내적이 섞은 값입니다.
#
# <!-- alt: 평면에 여섯 토큰이 있고 그 뒤로 당기는 힘의 등고선이 있다. 무거운 heavy와 far 둘레의 봉우리가 높다. 쿼리에서 토큰으로 가는 선은 자기 곁의 near와 heavy에서 굵다. 막대그래프에서 중력은 itself에, 내적은 원점에서 먼 long에 가중치를 가장 많이 준다. -->
# %% [markdown] tags=["lang-en", "caption"]
# The sandbox at its start. The ring is the query, `itself`; the larger a disc, the heavier the token; × is the origin from which the dot product measures. The ◆ at the end of the solid line is what gravity mixes, the blue one at the end of the dashed line what the dot product mixes.
#
# <!-- alt: Six tokens in a plane, and behind them contours of the pull, with high peaks around heavy and far. The lines from the query are thick to near, beside it, and to heavy. In the bar chart, gravity gives most to itself, the dot product most to long, which is far from the origin. -->

# %% [markdown] tags=["lang-ko"]
# 이야기 단추는 이 장에서 한 말들을 다시 보여 줍니다. **무거운 토큰**은 넷째 칸, **반지름**은 다섯째 칸이고, **겹친 두 토큰**과 **원본의 부호**는 [곧 볼 결함](#distance-defects)입니다. 어느 경우에나 쿼리를 옮기면 중력의 지형은 그대로이고 쿼리만 그 위를 지나갑니다. 내적에는 그런 지형이 없습니다. 쿼리의 방향과 길이가 바뀔 뿐입니다.
# %% [markdown] tags=["lang-en"]
# The stories tell again what this chapter told: **a heavy token** is the fourth rung, **a radius** the fifth; **two that coincide** and **the original’s sign** are among the [defects ahead](#distance-defects). In all of them, moving the query leaves gravity’s landscape as it is, and the query travels over it. The dot product has no such landscape, only a query that turns and grows.

# %% [markdown] tags=["lang-ko"]
# <!-- label: distance-lipschitz -->
# ## 얼마나 흔들리나: 립시츠 성질
#
# 거리로 바꾸면 덤으로 따라오는 성질이 하나 있습니다. 입력을 조금 흔들 때 출력이 얼마나 흔들리는지를 재는 수, 곧 야코비 행렬(Jacobian)의 가장 큰 특잇값에 한계가 생깁니다. 어떤 입력에서든 이 값이 일정한 수를 넘지 않는 함수를 립시츠(Lipschitz) 함수라고 합니다. [Kim 등](#references-gravity)은 내적 셀프 어텐션(self-attention)이 립시츠가 아니며, 쿼리와 키가 같은 투영(projection)을 쓰는 L2 어텐션은 립시츠라는 것을 증명했습니다.
#
# 난수 토큰 8개를 평면에 두고, 하나는 원점에 놓습니다. 나머지를 점점 크게 벌리면서 $f(X)=\mathrm{softmax}(S)\,X$의 야코비 행렬에서 가장 큰 특잇값을 찾습니다. 두 커널은 쿼리가 키와 다른 투영을 쓰는 경우로도 잽니다. 여기서는 쿼리만 90도 돌립니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: distance-lipschitz -->
# ## How much it shakes: the Lipschitz property
#
# Distances bring one thing for free: a bound on how much the output shakes when the input is shaken a little, which is the largest singular value of the Jacobian. A function for which it never exceeds some number, whatever the input, is called Lipschitz. [Kim et al.](#references-gravity) proved that dot-product self-attention is not, and that L2 attention is when query and key share one projection.
#
# Put eight random tokens in a plane, one of them at the origin, spread the others further and further, and look for the largest singular value of the Jacobian of $f(X)=\mathrm{softmax}(S)\,X$. Both kernels are measured once more with queries that have a projection of their own: here, queries alone are turned by 90 degrees.

# %%
def square(query, key):
    return (query[:, None] - key[None]).square().mean(-1)


turn = torch.tensor([[0.0, 1.0], [-1.0, 0.0]]).double()
rules = {
    "dot product": lambda x: x @ x.T / math.sqrt(2),
    "Gaussian": lambda x: -strength * square(x, x),
    "newton": lambda x: -power * torch.log(square(x, x) + eps),
    "Gaussian, untied": lambda x: -strength * square(x @ turn, x),
    "newton, untied":
        lambda x: -power * torch.log(square(x @ turn, x) + eps)}

# %%
scales = [2.0**e for e in range(-2, 7)]
cloud = torch.randn(cfg.draws, 8, 2, generator=draw, dtype=torch.float64)
cloud[:, 0] = 0
steepest = {name: [] for name in rules}
for name, rule in rules.items():
    def attention(x, rule=rule):
        return rule(x).softmax(-1) @ x
    for scale in scales:
        slopes = torch.func.vmap(torch.func.jacrev(attention))(scale * cloud)
        sizes = torch.linalg.matrix_norm(slopes.reshape(-1, 16, 16), 2)
        steepest[name].append(sizes.max().item())

# %% tags=["hide-input"]
fig, ax = plt.subplots()
for (name, sizes), style in zip(
        steepest.items(), ("o-", "s--", "D-.", "s:", "D:"), strict=True):
    kind = name.split(",")[0]
    ax.loglog(scales, sizes, style, color=COLOURS[dict(zip(
        rules, ("attention", "tokens", "gravity"), strict=False))[kind]],
        label=name, markersize=4)
ax.set(xlabel="scale of the input", ylabel="largest singular value")
ax.legend()
show(fig)
top = {name: max(sizes) for name, sizes in steepest.items()}
one, sixteen = scales.index(1), scales.index(16)
record(steep_dot=steepest["dot product"][-1], steep_gaussian=top["Gaussian"],
       steep_newton=top["newton"], steep_scale=scales[-1], n_draws=cfg.draws,
       steep_one=scales[one], steep_sixteen=scales[sixteen])
for key, name in (("gaussian", "Gaussian"), ("newton", "newton")):
    sizes = steepest[f"{name}, untied"]
    record(**{f"free_{key}_one": sizes[one], f"free_{key}": sizes[sixteen]})

# %% [markdown] tags=["lang-ko", "caption"]
# 입력을 크게 할 때 가장 큰 특잇값(난수 입력 ⟨n_draws⟩개 가운데 가장 큰 것). 내적은 입력 크기의 제곱으로 자라고, 쿼리와 키가 같은 투영을 쓰는 두 커널은 멈춥니다. 점으로 이은 선은 투영이 다른 경우(`untied`)입니다.
#
# <!-- alt: 두 축이 모두 로그인 그래프. 내적의 선은 입력이 커질수록 곧게 올라가고, 가우스와 뉴턴의 선은 처음에 조금 오른 뒤 다시 1 가까이에 머문다. 투영이 다른 가우스의 점선은 내적의 선을 따라 올라가고, 투영이 다른 뉴턴의 점선은 조금 오른 곳에서 멈춘다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Largest singular value as the input grows (the largest of ⟨n_draws⟩ random inputs). The dot product grows with the square of the input; the two made of distances with one projection for both sides stop. Dotted lines: two projections (`untied`).
#
# <!-- alt: A plot with both axes logarithmic. The dot product rises as a straight line as the input grows; Gaussian and newton rise a little at first and then stay near 1. The dotted line of the untied Gaussian climbs along with the dot product, that of the untied newton rises a little and then stops. -->

# %% [markdown] tags=["lang-ko"]
# 크기 ⟨steep_scale⟩에서 내적은 ⟨steep_dot⟩에 이릅니다. 쿼리와 키가 같은 투영을 쓰는 거리 어텐션에서는 모든 크기를 통틀어 가장 큰 값이 가우스 ⟨steep_gaussian⟩, 역제곱 ⟨steep_newton⟩에 그쳤습니다. 멀리 있는 토큰일수록 가중치가 작아져서, 큰 값이 출력을 흔들 힘을 잃기 때문입니다. 난수로 찾은 것이므로 한계를 증명하지는 못합니다. 적어도 이만큼은 된다는 것만 알려 줍니다. 또 실제 트랜스포머(Transformer)에서는 층 정규화(layer normalization)가 입력의 크기를 묶어 두므로, 이 성질만으로 학습이 나아진다고 말할 수는 없습니다.
#
# **투영을 묶어야 성립합니다.** Kim 등의 증명은 쿼리와 키의 투영이 같고 값도 그 투영을 거칠 때의 것입니다. 쿼리만 돌려 놓으면 크기 ⟨steep_one⟩에서 ⟨steep_sixteen⟩까지 가는 동안 가우스는 ⟨free_gaussian_one⟩에서 ⟨free_gaussian⟩, 역제곱은 ⟨free_newton_one⟩에서 ⟨free_newton⟩이(가) 됩니다. 멀리 떨어진 두 토큰이 한 쿼리에서 같은 거리에 놓일 수 있게 되고, 그러면 쿼리가 조금만 움직여도 가중치가 한쪽으로 쏠리기 때문입니다. 로짓이 거리의 제곱인 가우스에서는 입력이 클수록 심하고, 로그를 취하는 역제곱은 덜합니다. [10장의 `looking`](#ngt-looking)이 바로 투영을 나누는 일이고, 이 책의 모델은 값에 늘 따로 투영을 씁니다. 그러니 이 한계를 책의 모델이 물려받는다고는 말할 수 없습니다.
# %% [markdown] tags=["lang-en"]
# At scale ⟨steep_scale⟩ the dot product reaches ⟨steep_dot⟩. With distances and one projection for query and key, the largest values over all scales are ⟨steep_gaussian⟩ for the Gaussian and ⟨steep_newton⟩ for the inverse square, for distant tokens weigh less, and large values lose the power to shake the output. A search among random inputs is no proof of a bound, only a value it cannot be below. And in a real Transformer layer normalization ties the size of the input down, so this property alone does not mean better training.
#
# **It takes tied projections.** The proof of Kim et al. is for queries and keys that share a projection, through which the values go too. With only the queries turned, from scale ⟨steep_one⟩ to scale ⟨steep_sixteen⟩ the Gaussian goes from ⟨free_gaussian_one⟩ to ⟨free_gaussian⟩ and the inverse square from ⟨free_newton_one⟩ to ⟨free_newton⟩. Two tokens far apart may now be at the same distance from one query, and the slightest move of it sends the weight to one of them. The Gaussian, whose logit is a squared distance, suffers more the larger the input; the inverse square, whose logit is a logarithm, suffers less. The [`looking` of chapter 10](#ngt-looking) is just such a parting of projections, and the models of this book always give the values a projection of their own. So nothing says that they inherit this bound.

# %% [markdown] tags=["lang-ko"]
# <!-- label: distance-related -->
# ### 앞선 작업
#
# 거리로 어텐션을 만든 것은 이 책이 처음이 아닙니다. Kim 등의 L2 어텐션은 위의 립시츠 성질을 얻으려고 거리를 썼습니다. 내적 어텐션을 커널 회귀로 보고 키마다 가우스를 여럿 두거나(MGK), 다른 적분 커널로 바꾸거나(FourierFormer), 축마다 다른 자로 거리를 재는(Elliptical attention) 작업은 언어 모델(language model)에서 소프트맥스 어텐션과 비슷하거나 나은 결과를 보고했습니다. Geshkovski 등은 층을 시간으로 보고 토큰을 서로 끌리는 입자로 다루어, 시간이 지나면 무리를 짓는다는 것을 보였습니다. 가까운 것은 정확히, 먼 것은 뭉뚱그려 계산하는 FMMformer와 Fast Multipole Attention은 중력 계산에서 온 생각입니다.
#
# 이 책의 두 커널도 새것이 아닙니다. 가우스는 Pisoni의 scaled RBF attention과 같은 식이고, 소프트맥스를 지나면 내적 어텐션에 키의 편향 하나를 더한 것이라는 점도 거기에 나옵니다. 역제곱($p=1$)은 ZETA의 코시 소프트맥스와 같은 꼴입니다. ZETA는 축이 몇 안 되는 공간에서 가까운 토큰 몇 개만 골라 $O(N\log N)$에 계산합니다. Yat 곱은 내적의 제곱을 거리의 제곱으로 나누어, 방향과 거리를 함께 봅니다. MuSe는 쿼리와 키를 따로 무리 짓고 먼 무리를 다중극으로 뭉뚱그립니다. 토큰마다 배우는 질량과, 은닉 상태(hidden state)와 따로 흐르는 좌표(coordinates)는 [공개된 원본](#distance-defects)에서 왔습니다. 그 값어치는 [10장](#ngt-verdict)에서 잽니다. 모두 [참고 문헌](#references-gravity)에 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: distance-related -->
# ### Earlier work
#
# This book is not the first to make attention out of distances. The L2 attention of Kim et al. uses them for the Lipschitz property above. Others see dot-product attention as kernel regression and give every key several Gaussians (MGK), another integral kernel (FourierFormer), or a ruler that differs by axis (Elliptical attention); on language models they report results on a par with softmax attention or better. Geshkovski et al. take layers for time and tokens for particles that attract each other, and show that they gather in clusters. FMMformer and Fast Multipole Attention compute what is near exactly and summarise what is far, an idea from the computation of gravity.
#
# Nor are the two kernels of this book new. The Gaussian is the formula of Pisoni's scaled RBF attention, where it is also shown that after the softmax it is dot-product attention with one more bias for each key. The inverse square with $p=1$ has the form of ZETA's Cauchy softmax; ZETA looks in a space of few axes for the few nearest tokens only, and needs $O(N\log N)$. The Yat product divides a squared dot product by a squared distance and so sees direction and distance together. MuSe clusters queries and keys apart and sums up far clusters by multipoles. A mass learned for each token, and coordinates that flow apart from the hidden state, come from the [public original](#distance-defects). What they are worth is measured in [chapter 10](#ngt-verdict). All are in the [references](#references-gravity).

# %% [markdown] tags=["lang-ko"]
# <!-- label: distance-defects -->
# ## 공개된 원본의 결함 여섯 가지
#
# 공개된 [Newton Gravity Transformer](#references-gravity)(이 책에서는 ‘원본’)는 토큰에 질량과 좌표(coordinates)를 준다는 생각을 코드로 옮긴 것이고, 이 책의 2부는 거기서 출발합니다. 다만 그 코드에는 결함이 여섯 가지 있습니다. 모두 토큰 서너 개로 직접 확인할 수 있습니다.
#
# 원본의 로짓은 $m_im_j\bigl(-\gamma/(d^2+10^{-6})+\beta\bigr)$이고, $d^2$은 축의 수로 나누지 않은 거리의 제곱입니다. 먼저 부호와 `soft` 컷오프를 봅니다. 거리 0.5, 1, 3에 질량이 같은 토큰이 하나씩 있고 반지름은 2입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: distance-defects -->
# ## Six defects of the public original
#
# The public [Newton Gravity Transformer](#references-gravity) (“the original” in this book) puts the idea of tokens with masses and coordinates into code, and Part II starts from there. But the code has six defects, and three or four tokens are enough to see each of them.
#
# Its logit is $m_im_j\bigl(-\gamma/(d^2+10^{-6})+\beta\bigr)$, where $d^2$ is the squared distance, not divided by the number of axes. First the sign and the `soft` cutoff: one token each at distances 0.5, 1 and 3, equal masses, a radius of 2.

# %%
apart = torch.tensor([[0.5, 1.0, 3.0]], dtype=torch.float64).square()
same = torch.ones(3, dtype=torch.float64)
gamma0 = math.log(2)  # softplus(0), where the original starts
repel = potential(apart, same, gamma0, eps=1e-6, sign=-1)
pull = potential(apart, same, gamma0, eps=1e-6)
fade = (1 - apart / 2.0**2).clamp_min(0)
rows = {"original sign": repel,
        "original sign + soft": repel * fade,
        "sign put right + soft": pull * fade}
sign_and_soft = {name: s.softmax(-1)[0] for name, s in rows.items()}
sign_and_soft["sign put right + compact"] = gated_softmax(pull, fade)[0]
pd.DataFrame(sign_and_soft, index=["d = 0.5", "d = 1", "d = 3"]).T.round(3)

# %% tags=["remove-cell"]
repelled, softened, righted, mended = sign_and_soft.values()
record(sign_near=repelled[0], sign_far=repelled[2], soft_cut=softened[2],
       soft_cut_right=righted[2], compact_cut=mended[2])

# %% [markdown] tags=["lang-ko"]
# 1. **부호.** 가장 가까운 토큰의 몫이 ⟨sign_near⟩, 가장 먼 토큰의 몫이 ⟨sign_far⟩입니다. 당기는 것이 아니라 밀어냅니다.
# 2. **끊은 것을 높이는 `soft` 컷오프.** 반지름 밖의 점수를 0으로 만드는데, 음수인 점수들 사이에서 0은 가장 큰 값입니다. 끊으려던 토큰이 ⟨soft_cut⟩만큼 받아 여전히 첫째입니다. 부호를 바로잡아도 ⟨soft_cut_right⟩만큼은 남습니다. 점수가 아니라 가중치에 곱하면 ⟨compact_cut⟩입니다.
#
# 다음은 배우지 못하는 수 두 개입니다. 원본의 `hard` 컷오프는 반지름을 비교에만 쓰고, `mass_in_value`를 켜면 질량이 로짓에서 빠져서 $\beta$가 행마다 똑같은 상수로 남습니다.
# %% [markdown] tags=["lang-en"]
# 1. **The sign.** The nearest token gets ⟨sign_near⟩, the farthest ⟨sign_far⟩. It does not attract; it repels.
# 2. **A `soft` cutoff that favours what it cuts.** It sets scores beyond the radius to 0, and among negative scores 0 is the largest. The token that was to be cut still comes first with ⟨soft_cut⟩. With the sign put right it keeps ⟨soft_cut_right⟩. Multiply the weight and not the score, and it is ⟨compact_cut⟩.
#
# Next, two numbers that cannot learn. The original's `hard` cutoff uses the radius in a comparison only; and with `mass_in_value` the mass leaves the logit, so that $\beta$ is one constant along a row.

# %%
z = torch.tensor([[3.0], [1.0], [0.5], [0.0]], dtype=torch.float64)
r2 = squared_distances(z, queries=1)  # the last token looks at all four
worth = torch.tensor([1.0, -2.0, 0.5, 0.0], dtype=torch.float64)
R = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
beta = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
logits = newton(r2, torch.ones(4, dtype=torch.float64), power, eps=eps)

boolean = logits.masked_fill(r2 > R**2, -torch.inf).softmax(-1)
learns = {"boolean": 0 if not boolean.requires_grad else math.nan}
for name in ("hard", "soft", "compact"):
    gated = gated_softmax(logits, cutoff_gate(r2, R, name))
    learns[name] = torch.autograd.grad((gated @ worth).sum(), R)[0].item()
in_row = (logits + beta).softmax(-1) @ worth
dead = torch.autograd.grad(in_row.sum(), beta)[0].item()

# %% tags=["remove-cell"]
record(radius_boolean=learns["boolean"], radius_hard=learns["hard"],
       radius_soft=learns["soft"], radius_compact=learns["compact"])
record("beta_slope", dead, text=f"{abs(dead):.0e}" if dead else "0")

# %% [markdown] tags=["lang-ko"]
# 3. **배우지 못하는 반지름.** 비교의 결과는 참과 거짓뿐이어서 반지름으로 미분하면 ⟨radius_boolean⟩입니다. 이 책의 `hard`, `soft`, `compact`에서는 차례로 ⟨radius_hard⟩, ⟨radius_soft⟩, ⟨radius_compact⟩입니다.
# 4. **죽은 $\beta$.** 행 전체에 같은 수를 더하는 것이므로 기울기는 ⟨beta_slope⟩입니다. [둘째 칸](#distance-gaussian)에서 쿼리만의 항이 사라진 것과 같은 까닭입니다.
#
# 마지막은 크기의 문제 두 가지입니다. 원본은 거리를 재려고 (배치, 헤드, 토큰, 토큰, 축)의 다섯 축짜리 텐서를 만듭니다. 아래 표는 헤드 8개, 축 32개일 때 그 텐서 하나의 크기입니다. 모양만 있고 속이 빈 `meta` 텐서로 재었으니 메모리는 들지 않습니다.
# %% [markdown] tags=["lang-en"]
# 3. **A radius that cannot learn.** A comparison yields true or false, and its derivative by the radius is ⟨radius_boolean⟩. For this book's `hard`, `soft` and `compact` it is ⟨radius_hard⟩, ⟨radius_soft⟩ and ⟨radius_compact⟩.
# 4. **A dead $\beta$.** It adds the same number to a whole row, so its gradient is ⟨beta_slope⟩, for the reason that made the query's own term vanish on the [second rung](#distance-gaussian).
#
# Last, two matters of size. To measure distances the original builds a tensor of five axes (batch, head, token, token, axis). The table gives the size of that one tensor for 8 heads and 32 axes. It is measured on `meta` tensors, which have a shape and no content, so it costs no memory.

# %%
sizes = {}
for n in (256, 1024, 4096):
    z = torch.empty(1, 8, n, 32, device="meta")
    five = z[:, :, :, None] - z[:, :, None]
    sizes[f"N = {n}"] = [x.nbytes / 2**20 for x in (five, z @ z.mT, z)]
pd.DataFrame.from_dict(sizes, "index", columns=[
    "five axes", "one table a head", "coordinates",
]).map("{:,.2f} MiB".format)

# %% tags=["remove-cell"]
record(five_mib=sizes["N = 1024"][0], table_mib=sizes["N = 1024"][1],
       points_mib=sizes["N = 1024"][2])

# %%
r2 = torch.tensor([0.0, 0.01, 1.0, 100.0])
halves = {
    "original 1/(d² + 1e-6)": 1 / (r2.half() + 1e-6),
    "original, after softmax": (1 / (r2.half() + 1e-6)).softmax(-1),
    "newton −log(r² + ε)": -(r2.half() + eps).log(),
    "newton, after softmax": (-(r2.half() + eps).log()).softmax(-1)}
pd.DataFrame({name: x.tolist() for name, x in halves.items()},
             index=[f"d² = {x:g}" for x in r2.tolist()]).T.map("{:.4g}".format)

# %% tags=["remove-cell"]
record(half_zero=str(halves["original 1/(d² + 1e-6)"][0].item()))
record(half_newton=halves["newton −log(r² + ε)"][0])

# %% [markdown] tags=["lang-ko"]
# 5. **다섯 축의 텐서.** 토큰 1,024개에 ⟨five_mib⟩ MiB입니다. 둘째 칸처럼 내적으로 구하면 헤드마다 표 하나, 모두 ⟨table_mib⟩ MiB이면 됩니다. 그 표마저 만들지 않고 좌표의 크기(⟨points_mib⟩ MiB)만큼만 쓰는 길이 `lib.gravity.fast`에 있습니다.
# 6. **$d=0$에서의 10⁶.** 16비트 부동소수점(fp16)은 65,504까지만 담습니다. 겹친 토큰의 점수는 `⟨half_zero⟩`, 곧 무한대가 되고, 소프트맥스를 지나면 행 전체가 수가 아닌 것이 됩니다. 자기 자신과의 거리는 언제나 0이므로 이 일은 모든 행에서 일어납니다. 로그를 쓰는 뉴턴 커널의 로짓은 ⟨half_newton⟩에 머뭅니다.
#
# 학습 결과를 저장하는 방식도 여기에 덧붙입니다. 원본의 체크포인트는 피클이고, 안의 코드를 실행할 수 있는 설정으로 엽니다. 이 책은 그런 파일을 열 때 텐서만 읽습니다.
#
# 이 결함들이 있다고 해서 생각까지 틀린 것은 아닙니다. 부호 하나, 곱하는 자리 하나를 고치면 되는 것들입니다. 고친 중력이 어떻게 배우는지는 [다음 장](09_gravity_coordinates.ipynb)에서, 내적보다 정말로 더 잘 배우는지는 [10장](#ngt-verdict)에서 잽니다.
# %% [markdown] tags=["lang-en"]
# 5. **A tensor of five axes.** For 1,024 tokens it takes ⟨five_mib⟩ MiB. Computed by dot products, as on the second rung, it takes one table a head, ⟨table_mib⟩ MiB in all. `lib.gravity.fast` makes do without even that table, with memory the size of the coordinates (⟨points_mib⟩ MiB).
# 6. **10⁶ at $d=0$.** 16-bit floating point (fp16) ends at 65,504. The score of a coinciding token becomes `⟨half_zero⟩`, infinite, and past the softmax its whole row is not a number. Since every token is at distance 0 from itself, this happens in every row. The logit of the Newton kernel, which takes a logarithm, stays at ⟨half_newton⟩.
#
# To which one may add how results are saved. The original's checkpoints are pickles, opened in the way that may run the code inside; this book reads nothing but tensors from such a file.
#
# None of this means that the idea is wrong. One sign, one place to multiply: these are things one can put right. How gravity put right learns is for [the next chapter](09_gravity_coordinates.ipynb), whether it really learns better than the dot product for [chapter 10](#ngt-verdict) to measure.

# %% [markdown] tags=["lang-ko"]
# <!-- label: distance-measured -->
# ## 무엇을 무엇으로 쟀는가
#
# | 잰 것 | 결과 |
# |---|---|
# | 가우스 커널과 축을 더한 내적, 가중치와 출력의 최대 차이 | ⟨gap_gaussian⟩ |
# | 내적과 숨은 질량을 단 가우스 커널의 최대 차이 | ⟨gap_mass⟩ |
# | $p=1$, $p=256$인 뉴턴 커널과 가우스 커널의 차이 | ⟨power_first⟩, ⟨power_last⟩ |
# | 가장 큰 특잇값: 내적, 가우스, 뉴턴 | ⟨steep_dot⟩, ⟨steep_gaussian⟩, ⟨steep_newton⟩ |
#
# 등식은 축 ⟨width⟩개인 난수 벡터 ⟨n_tokens⟩개로, float64에서 확인했습니다. 특잇값은 난수 입력 ⟨n_draws⟩개에서 찾은 최댓값입니다. 이 장에는 학습된 모델이 없습니다. 그림의 토큰은 이해를 도우려고 손으로 놓은 것입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: distance-measured -->
# ## What was measured, and on what
#
# | measured | result |
# |---|---|
# | Gaussian kernel against a dot product with one more axis, largest gap of weights and outputs | ⟨gap_gaussian⟩ |
# | Dot product against a Gaussian with hidden masses, largest gap | ⟨gap_mass⟩ |
# | Newton kernel against the Gaussian at $p=1$ and $p=256$ | ⟨power_first⟩, ⟨power_last⟩ |
# | Largest singular value: dot product, Gaussian, Newton | ⟨steep_dot⟩, ⟨steep_gaussian⟩, ⟨steep_newton⟩ |
#
# Identities were checked on ⟨n_tokens⟩ random vectors of ⟨width⟩ axes in float64. Singular values are the largest found among ⟨n_draws⟩ random inputs. This chapter has no trained model; the tokens of its pictures were placed by hand, to make the rules visible.

# %% tags=["remove-input"]
record(n_tokens=n_tokens, width=width)
pd.DataFrame([
    ("장치 | device", str(cfg.device)),
    ("프로필 | profile", cfg.profile),
    ("PyTorch", torch.__version__),
], columns=["", "이번 실행 | this run"]).style.hide(axis="index")
