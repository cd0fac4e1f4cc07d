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
# <!-- label: gravity-coordinates -->
# # 중력 좌표: 토큰을 공간에 놓기
#
# 토큰(token)이 저마다 무게를 지니고 공간에 떠 있다고 해 봅시다. 가까운 것일수록, 무거운 것일수록 세게 끌어당깁니다. 이 장에서는 어텐션(attention)을 그런 힘으로 바꾸고, 작은 모델을 실제로 학습시켜 토큰이 어디에 자리를 잡는지 봅니다. 부호 하나를 뒤집으면 무슨 일이 생기는지도 함께 잽니다.
#
# | | |
# |---|---|
# | **할 수 있게 되는 것** | 질량(mass)과 좌표(coordinates)로 어텐션 가중치(attention weight)를 손으로 구하고, 커널(kernel) 세 가지와 컷오프(cutoff) 세 가지를 구별하고, 학습된 좌표를 그림에서 읽을 수 있습니다 |
# | **걸리는 시간** | 읽기 50분, 연습 문제 40분 |
# | **필요한 것** | 소프트맥스(softmax), [2장의 쿼리(query)와 키(key)](02_qkv_tracing.ipynb), [8장의 사다리](08_dot_to_distance.ipynb), 파이토치 조금 |
# %% [markdown] tags=["lang-en"]
# <!-- label: gravity-coordinates -->
# # Gravity coordinates: giving every token a place
#
# Suppose that each token has a weight of its own and floats in space. What is near pulls harder, and so does what is heavy. This chapter turns attention into such a force, trains small models for real, and looks at where the tokens settle. It also measures what happens when one sign is flipped.
#
# | | |
# |---|---|
# | **You will be able to** | get attention weights from masses and coordinates by hand, tell three kernels and three cutoffs apart, and read learned coordinates in a picture |
# | **Time** | 50 minutes to read, 40 for the exercises |
# | **You need** | the softmax, [queries and keys from chapter 2](02_qkv_tracing.ipynb), [the ladder of chapter 8](08_dot_to_distance.ipynb), a little PyTorch |

# %% tags=["parameters"]
profile: str = None  # smoke, book or gpu; None follows BOOK_PROFILE, else book
dataset = "tinyshakespeare"  # a text that lib.data knows
seed = 0  # of the first weights and of the batches
seeds: int = None  # runs for each model, from `seed` on; None: the profile
steps: int = None  # training steps of every model; None: the profile
learning_rate: float = None  # peak of the cosine; None: the profile
batch: int = None  # windows a step; None: the profile
context: int = None  # characters a window; None: the profile
d_model: int = None  # width of the stream; None: the profile
n_layers: int = None  # None: the profile
n_heads: int = None  # None: the profile
d_coord: int = None  # width of the coordinates; None: as many weights as dot
kernel = "newton"  # newton or gaussian: the model that is looked into
cutoff = "compact"  # hard, soft or compact: the copy that learns a radius
radius = 1.0  # where that radius starts, in the unit of r
repulsion_weight = 0.05  # λ of the repulsion term
min_dist = 0.1  # below this distance the repulsion stops growing
more_steps: int = None  # further steps of each copy; None: the profile
windows: int = None  # validation windows of the final loss; None: the profile
device = "auto"  # auto, cpu, cuda or mps

# %% tags=["hide-input"]
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt

from lib import data
from lib.page.figures import COLOURS, SEQUENTIAL, show, use_style
from lib.page.profile import expect, settings
from lib.page.record import record

use_style()
if kernel not in ("newton", "gaussian"):
    raise ValueError(f"kernel {kernel!r} cannot be looked into here; "
                     "use newton or gaussian")

# %% tags=["hide-input"]
sizes = ("seeds", "steps", "learning_rate", "batch", "context", "d_model",
         "n_layers", "n_heads", "d_coord", "more_steps", "windows")
smoke, book, gpu = (dict(zip(sizes, row, strict=True)) for row in (
    (1, 12, 4e-3, 8, 32, 32, 2, 2, 26, 6, 64),
    (1, 540, 4e-3, 12, 64, 64, 3, 4, 73, 60, 600),
    (3, 3000, 2e-3, 32, 64, 128, 4, 4, 176, 500, 1742)))
given = {name: globals()[name] for name in sizes}
expect(str, dataset=dataset, kernel=kernel, cutoff=cutoff)
expect(int, seed=seed)
expect(float, radius=radius, repulsion_weight=repulsion_weight,
       min_dist=min_dist)
cfg = settings(profile, smoke=smoke, book=book, gpu=gpu, given=given,
               device=device, seed=seed)

# %% [markdown] tags=["lang-ko"]
# <!-- label: gravity-distance -->
# ## 내적에서 거리로
#
# 내적(dot product) 어텐션은 쿼리와 키가 얼마나 같은 쪽을 보는지 묻습니다. 거리는 둘이 얼마나 떨어져 있는지 묻습니다. 두 물음은 식 하나로 이어집니다. 한 칸씩 오르는 길은 [앞 장](#distance-gaussian)에 있고, 여기서는 결과만 다시 확인합니다.
#
# $$\|q-k\|^2=\|q\|^2+\|k\|^2-2\,q\cdot k$$
#
# 따라서 $-\|q-k\|^2$을 로짓(logit)으로 쓰면 내적에 항 두 개가 더해진 셈입니다. 쿼리만의 항 $\|q\|^2$은 한 행 안에서 값이 같으므로 소프트맥스에서 사라집니다. 키만의 항 $\|k\|^2$은 남아서, 벡터가 길다는 이유만으로 가중치를 많이 받는 일을 막습니다. 아래에서 두 계산이 같은지 확인합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: gravity-distance -->
# ## From dot product to distance
#
# Dot-product attention asks how far query and key point the same way. A distance asks how far apart they lie. One identity joins the two questions. The [chapter before](#distance-gaussian) climbs there rung by rung; here is the result once more.
#
# $$\|q-k\|^2=\|q\|^2+\|k\|^2-2\,q\cdot k$$
#
# Taking $-\|q-k\|^2$ as the logit therefore means a dot product with two more terms. The query's own, $\|q\|^2$, is the same along a row, so the softmax drops it. The key's own, $\|k\|^2$, stays, and takes away the attention that a key would get for nothing but its length. The cell below checks that both ways agree.

# %%
draw = torch.Generator().manual_seed(seed)
q, k = torch.randn(2, 6, 4, generator=draw, dtype=torch.float64)

by_distance = -(q[:, None] - k[None]).square().sum(-1)
by_dot = 2 * q @ k.T - k.square().sum(-1)
same = by_distance.softmax(-1) - by_dot.softmax(-1)
same.abs().max()

# %% tags=["remove-cell"]
record(distance_error=same.abs().max())

# %% [markdown] tags=["lang-ko"]
# 난수 벡터로 구한 두 가중치는 가장 크게 벌어진 곳에서도 차이가 ⟨distance_error⟩에 그칩니다. float64의 반올림 오차입니다.
# %% [markdown] tags=["lang-en"]
# On random vectors the two sets of weights differ by at most ⟨distance_error⟩, the rounding of float64.

# %% [markdown] tags=["lang-ko"]
# <!-- label: gravity-three -->
# ## 토큰 셋으로 손계산
#
# 토큰마다 질량 $m_i>0$과 좌표 $z_i$를 줍니다. 질량은 어휘(vocabulary)의 항목마다 수 하나를 학습해 $m=\mathrm{softplus}(\mu)$로 얻으므로 언제나 양수입니다. 거리는 좌표축의 수 $C$로 나누어, 축이 늘어도 크기가 그대로이게 합니다.
#
# $$r_{ij}^2=\frac{\|z_i-z_j\|^2}{C},\qquad w_{ij}\propto\frac{m_j}{r_{ij}^2+\varepsilon}$$
#
# 오른쪽 식이 역제곱 법칙(inverse-square law)입니다. $\varepsilon$은 두 점이 겹쳐도 힘이 끝없이 커지지 않게 하는 완화 상수입니다. 평면 위의 세 점, 곧 가벼운 a와 그 곁의 b, 멀지만 무거운 c로 계산해 봅니다. 소프트맥스가 지수를 취하므로 로짓은 $w$의 로그이면 됩니다. 곱하고 나누던 것이 더하고 빼는 것이 됩니다. 질량의 지수 $\beta$와 거리의 지수 $p$는 뒤에서 학습할 값이며, 여기서는 둘 다 1입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: gravity-three -->
# ## Three tokens by hand
#
# Every token gets a mass $m_i>0$ and coordinates $z_i$. The mass is one learned number for each entry of the vocabulary, $m=\mathrm{softplus}(\mu)$, so it is always positive. Distances are divided by the number of axes $C$, so that they keep their size when axes are added.
#
# $$r_{ij}^2=\frac{\|z_i-z_j\|^2}{C},\qquad w_{ij}\propto\frac{m_j}{r_{ij}^2+\varepsilon}$$
#
# On the right stands the inverse-square law; the softening $\varepsilon$ keeps the force finite where two points meet. Take three points in a plane: a light one, a, with b beside it, and c, far away and heavy. The softmax takes exponentials, so the logit is the logarithm of $w$, and products become sums. The exponents $\beta$ of the mass and $p$ of the distance will be learned further on; here both are 1.

# %%
def squared_distances(z):  # seq axes → query key
    return (z[..., :, None, :] - z[..., None, :, :]).square().mean(-1)


def newton(r2, mass, p, beta=1.0, eps=0.1):  # logits of that law
    return beta * mass.log()[..., None, :] - p * (r2 + eps).log()

# %%
names = ["a", "b", "c"]
z = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 3.0]])
mass = torch.tensor([1.0, 1.0, 6.0])

r2 = squared_distances(z)
weights = newton(r2, mass, p=1.0).softmax(-1)
pd.DataFrame(weights.numpy().round(3), index=[f"{n} →" for n in names],
             columns=names)

# %% tags=["remove-cell"]
record(weight_ab=weights[0, 1], weight_ac=weights[0, 2])

# %% [markdown] tags=["lang-ko"]
# 행이 쿼리, 열이 키입니다. a는 곁에 있는 b에 ⟨weight_ab⟩만큼, 멀리 있는 c에 ⟨weight_ac⟩만큼 가중치를 줍니다. 무게가 여섯 배라도 거리를 다 이기지는 못합니다. 거리는 대칭이지만 가중치는 대칭이 아닙니다. 당기는 쪽의 질량만 세고 행마다 합을 1로 맞추기 때문입니다.
# %% [markdown] tags=["lang-en"]
# Rows are queries, columns are keys. a gives ⟨weight_ab⟩ to its neighbour b and ⟨weight_ac⟩ to the distant c: six times the mass does not quite make up for the way. Distances are symmetric and the weights are not, since only the mass of the one that pulls counts and every row sums to one.

# %% [markdown] tags=["lang-ko"]
# `lib.gravity.attention`에도 두 함수가 있습니다. 거기서는 첫 절의 항등식으로 제곱을 풀어 계산합니다. 그러면 (쿼리, 키, 축) 크기의 표를 펼치지 않아도 됩니다. 식은 같고 더하는 순서만 다르니 차이는 반올림뿐이어야 합니다. 그런지 아닌지는 float64로 다시 계산해 보면 압니다. 반올림이라면 차이도 그만큼 작아집니다.
# %% [markdown] tags=["lang-en"]
# `lib.gravity.attention` has these two functions as well. There the square is multiplied out by the identity of the first section, which saves a table of the size (query, key, axis). The formula is the same and only the order of adding differs, so the difference should be rounding and nothing else. Computing once more in float64 tells: rounding shrinks with it.

# %%
from lib.gravity import attention as library

some = torch.randn(20, 8, generator=draw, dtype=torch.float64)
heavy = 0.1 + torch.rand(20, generator=draw, dtype=torch.float64)
gaps = {}
for kind in (torch.float32, torch.float64):
    x, m = some.to(kind), heavy.to(kind)
    ours = newton(squared_distances(x), m, p=1.5)
    theirs = library.newton(library.squared_distances(x), m, 1.5)
    gaps[kind] = (ours - theirs).abs().max().item()
pd.DataFrame({"largest difference": gaps}).style.format("{:.1e}")

# %% tags=["remove-cell"]
record(kernel_gap_32=gaps[torch.float32], kernel_gap_64=gaps[torch.float64])

# %% [markdown] tags=["lang-ko"]
# 난수로 만든 스무 점에서 로짓의 차이는 float32에서 ⟨kernel_gap_32⟩, float64에서 ⟨kernel_gap_64⟩입니다. 정밀도를 따라 줄었으니 반올림입니다. 이 장에서는 앞으로도 이렇게 먼저 짓고, 그다음 나란히 놓습니다.
# %% [markdown] tags=["lang-en"]
# On twenty random points the logits differ by ⟨kernel_gap_32⟩ in float32 and ⟨kernel_gap_64⟩ in float64. It shrank with the precision, so it is rounding. This is how the chapter goes on: build first, then lay beside.

# %% [markdown] tags=["lang-ko"]
# <!-- label: gravity-exercise-newton -->
# ### 연습 1. 역제곱 법칙 (★, 10분)
#
# 점 $z$ (n, C)와 질량 (n), 완화 상수 `eps`를 받아 가중치 $m_j/(r_{ij}^2+\varepsilon)$를 행의 합이 1이 되게 돌려주십시오. 미래를 가리는 마스크(mask)는 쓰지 않습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: gravity-exercise-newton -->
# ### Exercise 1. The inverse-square law (★, 10 minutes)
#
# Given points $z$ (n, C), masses (n) and a softening `eps`, return the weights $m_j/(r_{ij}^2+\varepsilon)$ with rows that sum to one. No mask here.

# %% tags=["exercise"]
def my_weights(z, mass, eps):
    ...

# %%
from lib.exercises.gravity import check_newton_weights

check_newton_weights(my_weights)

# %% tags=["solution", "hide-cell"]
def weights_solution(z, mass, eps):
    r2 = (z[:, None] - z[None]).square().mean(-1)
    pull = mass / (r2 + eps)
    return pull / pull.sum(-1, keepdim=True)


check_newton_weights(weights_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: gravity-kernels -->
# ## 커널 세 가지
#
# 거리를 로짓으로 바꾸는 규칙을 커널이라고 부릅니다. 이 책은 세 가지를 씁니다.
#
# | 이름 | 로짓 | 성질 |
# |---|---|---|
# | `newton` | $\beta\log m_j-p\log(r_{ij}^2+\varepsilon)$ | $p=\beta=1$이면 역제곱 법칙. 값에 상한이 있음 |
# | `gaussian` | $\beta\log m_j-\gamma\,r_{ij}^2$ | 내적 어텐션으로 정확히 계산됨 |
# | `potential` | $m_im_j\left(\dfrac{\gamma}{r_{ij}^2+\varepsilon}+\beta\right)$ | 공개된 원본의 꼴. $\varepsilon$이 작으면 끝없이 커짐 |
#
# 세기 $p$, $\gamma$와 질량 지수 $\beta$는 헤드(head)마다 학습합니다. 그림에서 볼 것은 꼬리입니다. 멀리 있는 토큰을 얼마나 빨리 잊는지가 커널의 성격입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: gravity-kernels -->
# ## Three kernels
#
# A rule that turns a distance into a logit is called a kernel. This book uses three.
#
# | name | logit | what it is like |
# |---|---|---|
# | `newton` | $\beta\log m_j-p\log(r_{ij}^2+\varepsilon)$ | the inverse-square law at $p=\beta=1$; bounded above |
# | `gaussian` | $\beta\log m_j-\gamma\,r_{ij}^2$ | dot-product attention computes it exactly |
# | `potential` | $m_im_j\left(\dfrac{\gamma}{r_{ij}^2+\varepsilon}+\beta\right)$ | the form of the published original; grows without end as $\varepsilon$ shrinks |
#
# Each head learns its strength, $p$ or $\gamma$, and its mass exponent $\beta$. The thing to look at in the figure is the tail: how fast a kernel forgets what is far away is its character.

# %%
def gaussian(r2, mass, gamma, beta=1.0):
    return beta * mass.log()[..., None, :] - gamma * r2


def potential(r2, mass, gamma, beta=0.0, eps=0.1, sign=1):
    pair = mass[..., :, None] * mass[..., None, :]  # m_i m_j
    return pair * (sign * gamma / (r2 + eps) + beta)

# %% tags=["hide-input"]
r = torch.linspace(0, 4, 81)
one, table = torch.ones(81), (r**2).expand(81, 81)
curves = {
    "newton, p = 1": (newton(table, one, 1.0), "gravity", "-"),
    "newton, p = 3": (newton(table, one, 3.0), "gravity", "--"),
    "gaussian, γ = 1": (gaussian(table, one, 1.0), "attention", "-"),
    "potential, γ = 1": (potential(table, one, 1.0), "plum", "-"),
}
fig, ax = plt.subplots()
for name, (logits, colour, line) in curves.items():
    pull = (logits[0] - logits[0, 0]).exp()
    ax.semilogy(r, pull, line, color=COLOURS[colour], label=name)
ax.set(xlabel="distance r", ylabel="weight relative to r = 0",
       ylim=(1e-7, 2))
ax.legend()
show(fig)

# %% [markdown] tags=["lang-ko", "caption"]
# 같은 질량에서 거리에 따른 가중치($\varepsilon=0.1$, 세로축은 로그). `newton`은 거듭제곱으로 느리게, `gaussian`은 지수로 빠르게 잊고, `potential`은 바로 곁에서 크게 떨어진 뒤로는 거의 줄지 않습니다.
#
# <!-- alt: 거리 0에서 4까지 네 곡선의 로그 눈금 그래프. 뉴턴 커널 두 곡선은 완만하게 내려가고, 가우스 커널은 포물선처럼 급하게 떨어지며, 퍼텐셜 커널은 거리 1 안쪽에서 만 배쯤 떨어진 뒤 평평해진다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Weight against distance at equal mass ($\varepsilon=0.1$, logarithmic axis). `newton` forgets slowly, as a power; `gaussian` fast, as an exponential; `potential` drops steeply close by and then hardly falls any further.
#
# <!-- alt: Four curves over distances from 0 to 4 on a logarithmic scale. The two Newton curves descend gently, the Gaussian falls steeply like a parabola, and the potential drops by about four powers of ten within distance 1 and then stays flat. -->

# %% [markdown] tags=["lang-ko"]
# <!-- label: gravity-sandbox -->
# ### 세 토큰을 손으로 옮기기
#
# 손으로 계산한 a, b, c를 [8장의 모래판](#distance-sandbox)에 올렸습니다. 커널 셋을 번갈아 눌러 보고, c를 a에 가까이 끌어 보십시오. 바탕은 쿼리를 당기는 힘의 지형이고, 실선 끝의 ◆가 중력으로 섞은 값, 점선 끝의 파란 ◆가 내적으로 섞은 값입니다. 아래쪽의 컷오프 세 가지는 [뒤에서](#gravity-cutoff) 다룹니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: gravity-sandbox -->
# ### The three tokens by hand
#
# Here are a, b and c of the calculation in the [sandbox of chapter 8](#distance-sandbox). Switch between the three kernels, and drag c towards a. The background is the landscape of the pull on the query; the ◆ at the end of the solid line is what gravity mixes, the blue one what the dot product mixes. The three cutoffs at the bottom are for [later](#gravity-cutoff).

# %% tags=["remove-cell"]
from lib.page.live import export

frame = (-2.6, 4.2, -1.05, 4.05)  # left, right, bottom, top
equal = [1.0] * len(names)
export("sandbox", names=names, places=z.double(), mass=mass.double(),
       view=frame, pull={
           "kernel": "newton", "strength": 1.0, "beta": 1.0, "eps": 0.1,
           "sign": 1, "cutoff": "none", "radius": 2.0, "causal": False},
       presets=[
           ("start", {}),
           ("heavy", {"mass": [1.0, 1.0, 48.0]}),
           ("coincide", {"places": z[[0, 0, 2]].double(), "mass": equal,
                         "kernel": "potential", "beta": 0.0, "eps": 0.01}),
           ("original", {"kernel": "potential", "beta": 0.0, "eps": 1e-6,
                         "sign": -1, "mass": equal}),
           ("radius", {"cutoff": "compact"})])

# %% tags=["hide-input"]
from lib.page.figures import INK, PAPER
from lib.page.live import alive

left, right, bottom, top = frame
x_axis, y_axis = (torch.linspace(low, high, 45) for low, high in (
    (left, right), (bottom, top)))
everywhere = torch.cartesian_prod(x_axis, y_axis)
from_a = (everywhere[:, None] - z[1:]).square().mean(-1)
land = (mass[1:].log() - (from_a + 0.1).log()).logsumexp(-1)
land = land.view(45, 45).T
fig, (plane, bars) = plt.subplots(1, 2, figsize=(7.2, 3.5),
                                  width_ratios=[1.6, 1])
low, high = land.min().item(), land.max().item()
doublings = np.arange(low // np.log(2), high // np.log(2) + 2) * np.log(2)
plane.contourf(x_axis, y_axis, land, doublings, vmin=low,
               vmax=2 * high - low, cmap=SEQUENTIAL["gravity"])
plane.contour(x_axis, y_axis, land, doublings, linewidths=0.7, alpha=0.6,
              colors=COLOURS["gravity"], linestyles="solid")
for name, place, m, w in zip(names, z.tolist(), mass.tolist(),
                             weights[0].tolist(), strict=True):
    plane.plot(*zip(z[0].tolist(), place, strict=True), alpha=0.5,
               color=COLOURS["gravity"], linewidth=14 * w,
               solid_capstyle="butt")
    plane.scatter(*place, s=50 * m**0.8, edgecolor=COLOURS["gravity"],
                  linewidth=2.5, zorder=3, color=PAPER if name == "a"
                  else COLOURS["gravity"])
    plane.annotate(name, place, xytext=(9, 5), textcoords="offset points")
twin = (z[:1] @ z.T / z.shape[-1] ** 0.5).softmax(-1)[0]
for mixed, line, hue in ((twin @ z, "--", COLOURS["attention"]),
                         (weights[0] @ z, "-", INK)):
    plane.plot(*zip(z[0].tolist(), mixed.tolist(), strict=True), line,
               color=hue, linewidth=1.2, marker="D", markevery=[1])
plane.set(aspect="equal", xlim=(left, right), ylim=(bottom, top), xticks=[],
          yticks=[])
for shift, w, hue, name in ((-0.2, weights[0], "gravity", "newton, p = 1"),
                            (0.2, twin, "attention", "dot product")):
    bars.barh(np.arange(3) + shift, w, 0.36, color=COLOURS[hue], label=name)
bars.set(yticks=range(3), xlabel="weight")
bars.set_yticklabels(names)
bars.invert_yaxis()
bars.legend()
alive(fig, "sandbox", "sandbox")

# %% [markdown] tags=["lang-ko", "caption"]
# 처음 상태. 쿼리는 a이고, a가 원점에 있어서 내적은 세 토큰에 똑같은 가중치를 줍니다.
#
# <!-- alt: 평면의 왼쪽 아래에 a, 그 오른쪽에 b, 위쪽에 무거운 c가 있고 뒤에는 당기는 힘의 등고선이 있다. 막대그래프에서 중력의 가중치는 a가 가장 크고 b와 c가 뒤를 따르며, 내적의 가중치는 셋이 같다. -->
# %% [markdown] tags=["lang-en", "caption"]
# The start. The query is a; it lies at the origin, so the dot product gives the same weight to all three.
#
# <!-- alt: In the plane a lies at the lower left, b to its right, the heavy c above, with contours of the pull behind them. In the bar chart gravity gives most to a, then to b and c; the dot product gives all three the same. -->

# %% [markdown] tags=["lang-ko"]
# **원본의 부호**를 누르면 봉우리였던 곳이 구멍이 됩니다. a는 바로 곁의 b보다 먼 c를 더 봅니다. 그런 모델이 무엇을 배우는지는 [뒤에서 잽니다](#gravity-sign).
# %% [markdown] tags=["lang-en"]
# Press **the original’s sign**, and what were peaks are holes: a looks at the distant c more than at its neighbour b. What such a model learns is [measured below](#gravity-sign).

# %% [markdown] tags=["lang-ko"]
# <!-- label: gravity-exercise-pull -->
# ### 연습 2. 같은 힘 (★, 5분)
#
# 질량 1인 토큰이 거리 $r=1$에 있습니다. 질량이 $m$인 토큰은 어느 거리에 있어야 똑같은 세기로 당길까요? `newton` 커널에서 $\varepsilon=0$일 때의 $r$을 $m$, $p$, $\beta$로 나타내십시오.
# %% [markdown] tags=["lang-en"]
# <!-- label: gravity-exercise-pull -->
# ### Exercise 2. Equal pull (★, 5 minutes)
#
# A token of mass 1 lies at distance $r=1$. Where must a token of mass $m$ lie to pull just as hard? Give $r$ for the `newton` kernel with $\varepsilon=0$, in terms of $m$, $p$ and $\beta$.

# %% tags=["exercise"]
def my_distance(mass, p, beta):
    ...

# %%
from lib.exercises.gravity import check_same_pull

check_same_pull(my_distance)

# %% tags=["solution", "hide-cell"]
def distance_solution(mass, p, beta):
    return mass ** (beta / (2 * p))  # m^β / r^(2p) = 1


check_same_pull(distance_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: gravity-sign -->
# ## 부호 하나
#
# 공개된 [Newton Gravity Transformer](#references-gravity)(NGT, 이 장에서는 ‘원본’)는 `potential`에 음의 부호를 붙여 $-\gamma/(r^2+10^{-6})$을 로짓으로 씁니다. 퍼텐셜 에너지를 음수로 쓰는 물리의 습관과 닮았지만, 소프트맥스는 값이 큰 쪽을 고릅니다. 그래서 가까운 토큰일수록 점수가 낮습니다. 이름은 중력인데 하는 일은 밀어내기입니다. 원본의 결함 여섯 가지는 [앞 장](#distance-defects)에 모아 두었고, 여기서는 이 부호를 끝까지 따라갑니다. 거리가 다른 일곱 토큰에 가중치가 어떻게 나뉘는지 표로 봅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: gravity-sign -->
# ## One sign
#
# The published [Newton Gravity Transformer](#references-gravity) (NGT, “the original” in this chapter) puts a minus in front of `potential` and takes $-\gamma/(r^2+10^{-6})$ as the logit. That looks like the custom of physics, where potential energy is negative; but a softmax picks the larger value, so the nearer a token, the lower its score. It is called gravity and it pushes away. The [chapter before](#distance-defects) lists its six defects; here we follow this one to the end. The table shows how the weight is shared among seven tokens at different distances.

# %%
ladder = torch.tensor([0, 0.01, 0.1, 1, 4, 16, 100])
one, table = torch.ones(7), ladder.expand(7, 7)
strength = np.log(2)  # softplus(0), where the original starts
sign_table = pd.DataFrame({
    "r²": ladder.numpy(),
    "original, sign −1": potential(
        table, one, strength, eps=1e-6, sign=-1)[0].softmax(-1),
    "same form, sign +1": potential(
        table, one, strength, eps=1e-6)[0].softmax(-1),
    "newton, p = 1": newton(table, one, 1.0)[0].softmax(-1),
})
sign_table.round(4).style.hide(axis="index").format("{:g}")

# %% tags=["remove-cell"]
record("repel_near", sign_table.iloc[0, 1].item(), text="0")
record("repel_far", sign_table.iloc[6, 1].item())
record("attract_self", sign_table.iloc[0, 2].item())
record("newton_self", sign_table.iloc[0, 3].item())

# %% [markdown] tags=["lang-ko"]
# 원본의 부호에서는 겹친 토큰($r^2=0$)의 가중치가 ⟨repel_near⟩이고, 가장 먼 토큰이 ⟨repel_far⟩만큼을 가져갑니다. 부호만 바꾸면 이번에는 겹친 토큰의 가중치가 ⟨attract_self⟩입니다. $10^{-6}$으로는 $1/r^2$이 막히지 않습니다. 모델에서 거리가 0인 토큰은 자기 자신이므로, 자기 자신만 보게 됩니다. 그러니 고칠 곳은 둘입니다. 부호를 바로잡아야 하고, 커널이 끝없이 커지지 않게 막아야 합니다. $\varepsilon=0.1$인 `newton`은 겹친 토큰에 ⟨newton_self⟩만큼만 주고 나머지를 다른 토큰들에 나눕니다.
# %% [markdown] tags=["lang-en"]
# With the original's sign, the token that coincides ($r^2=0$) gets ⟨repel_near⟩ and the farthest takes ⟨repel_far⟩. Flip the sign alone and the coinciding token takes ⟨attract_self⟩: a softening of $10^{-6}$ does not hold $1/r^2$ back. In a model the token at distance 0 is the token itself, which then sees nothing else. So there are two things to repair: the sign has to be set right, and the kernel has to be bounded. With $\varepsilon=0.1$, `newton` gives ⟨newton_self⟩ to the coinciding token and shares out the rest among the others.

# %% [markdown] tags=["lang-ko"]
# <!-- label: gravity-training -->
# ## 같은 모델, 다른 힘
#
# 표만으로는 모델이 밀어내는 힘으로 무엇을 배울지 알 수 없습니다. 그래서 학습시켜 봅니다. 문자 단위 언어 모델(language model) 넷을 만드는데, 어텐션 말고는 모두 같습니다. 그 가운데 셋은 커널과 부호만 다릅니다. 나머지 하나인 `dot`은 커널만 다른 것이 아니어서, 쿼리와 키를 은닉 상태(hidden state)에서 얻습니다. 다른 셋은 좌표에서 얻습니다. 좌표의 폭(⟨d_coord⟩)은 중력 모델의 매개변수(parameter) 수가 내적 모델과 비슷해지도록 골랐습니다. 함께 쓰는 가중치는 처음 값까지 같고, 배치의 순서도 같습니다.
#
# 좌표는 $z^0=\mathrm{LN}(\text{token}+\text{position})$에서 출발하고, 층(layer)을 지날 때마다 어텐션 출력 $a$를 따라 움직입니다.
#
# $$z\leftarrow\mathrm{LN}(z+W a)$$
#
# $\mathrm{LN}$은 벡터의 평균을 0으로, 크기를 일정하게 맞추는 층 정규화(layer normalization)입니다. 헤드마다 이 좌표를 축 ⟨place⟩개로 투영(projection)해서 거리를 잽니다. 쿼리와 키가 따로 없고, 둘 다 같은 점입니다. 좌표가 토큰과 위치를 함께 안다는 점이 원본과 다릅니다. 원본의 좌표는 위치에서만 나옵니다. 그 차이는 [조금 뒤에](#gravity-knowledge) 잽니다. `newton`은 $\varepsilon=1$로 부드럽게 하고 $p$를 1에서 시작합니다. $\varepsilon$이 작으면 처음에는 자기 자신만 보게 되어 [손실(loss)이 더 높았습니다](#lab-log-softening). `potential`에서는 $\varepsilon=0.1$입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: gravity-training -->
# ## One model, different forces
#
# A table is only a table; a model may well learn something from a force that pushes. So we train. Four character-level language models are alike in all but their attention. Three of them differ in kernel and sign alone. The fourth, `dot`, differs in more than the kernel: it takes queries and keys from the hidden state, and the others take theirs from coordinates. The width of the coordinates, ⟨d_coord⟩, was chosen so that the gravity models have about as many parameters as the dot-product one. The weights they share start from the same values, and the batches come in the same order.
#
# Coordinates start at $z^0=\mathrm{LN}(\text{token}+\text{position})$ and move with the attention output $a$ at every layer:
#
# $$z\leftarrow\mathrm{LN}(z+W a)$$
#
# $\mathrm{LN}$ is layer normalization, which brings a vector to mean 0 and a fixed size. Each head projects these coordinates to ⟨place⟩ axes of its own and measures distances there. There is no separate query and key; both are the same point. Here the coordinates know both token and position, unlike the original's, which come from position alone; that difference is measured [further below](#gravity-knowledge). `newton` is softened with $\varepsilon=1$, and $p$ starts at 1: with a small $\varepsilon$ a token at first sees itself alone, which [cost some loss](#lab-log-softening). `potential` has $\varepsilon=0.1$.

# %% tags=["hide-input"]
from lib.gravity.model import LMConfig, build, parameters
from lib.training.loop import Recipe, evaluate, train

text = data.text(dataset)
chars = sorted(set(text))
index = {char: i for i, char in enumerate(chars)}
ids = torch.tensor([index[char] for char in text])
split = int(0.9 * len(ids))
train_ids, valid_ids = ids[:split], ids[split:]
record(n_chars=len(text), vocab=len(chars), n_valid=len(valid_ids))

# %%
base = LMConfig(
    vocab=len(chars), context=cfg.context, d_model=cfg.d_model,
    n_layers=cfg.n_layers, n_heads=cfg.n_heads, d_coord=cfg.d_coord)
gravity = replace(base, attention=kernel)
if kernel == "newton":  # soft, so that a token sees others from the start
    gravity = replace(gravity, strength=1.0, eps=1.0)
original = replace(base, attention="potential", form="reference")
twins = {
    "dot": replace(base, attention="dot"),
    kernel: gravity,
    "potential +1": replace(original, sign=1),
    "potential −1": replace(original, sign=-1),
}
recipe = Recipe(steps=cfg.steps, batch=cfg.batch, context=cfg.context,
                learning_rate=cfg.learning_rate, warmup=cfg.steps // 12,
                evaluation_windows=64)

# %% [markdown] tags=["lang-ko"]
# <!-- label: gravity-layer -->
# ### 중력 모델을 손으로 짓기
#
# 학습하기 전에 중력 모델의 속을 끝까지 써 봅니다. 먼저 토큰마다 붙는 것 둘입니다. 질량은 어휘의 항목마다 수 $\mu$ 하나, 좌표는 토큰과 위치의 임베딩(embedding)을 더해 정규화한 것입니다. $\mu$를 $\log(e-1)$에서 시작하므로 질량은 모두 1에서 출발합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: gravity-layer -->
# ### A gravity model by hand
#
# Before training, we write out a gravity model to its end. First the two things that every token carries. Its mass is one number $\mu$ for each entry of the vocabulary; its coordinates are the embeddings of token and position, added and normalized. Since $\mu$ starts at $\log(e-1)$, all masses start at 1.

# %%
import math

from torch import nn
from torch.nn.functional import cross_entropy, softplus


class Masses(nn.Module):
    def __init__(self, vocab):
        super().__init__()
        start = math.log(math.e - 1)  # softplus of it is 1
        self.mu = nn.Parameter(torch.full((vocab,), start))

    def forward(self, ids):
        return softplus(self.mu[ids])  # batch seq


# %%
class Coordinates(nn.Module):
    def __init__(self, vocab, context, d_coord):
        super().__init__()
        self.token = nn.Embedding(vocab, d_coord)
        self.position = nn.Embedding(context, d_coord)
        self.norm = nn.LayerNorm(d_coord)

    def forward(self, ids):
        position = self.position.weight[: ids.shape[1]]
        return self.norm(self.token(ids) + position)  # batch seq d_coord

# %% [markdown] tags=["lang-ko"]
# 이제 어텐션입니다. `forward`를 위에서 아래로 읽으십시오. 헤드마다 좌표를 투영해 거리를 재고, 질량과 거리로 로짓을 내고, 미래를 가리고, 소프트맥스로 나누고, 값을 섞습니다. 세기 $p$는 $\mathrm{softplus}(\gamma)\sqrt{d_\text{head}}$, 질량의 지수 $\beta$도 softplus를 거치므로 둘 다 양수입니다.
# %% [markdown] tags=["lang-en"]
# Now attention. Read the lines of `forward` from top to bottom: each head projects the coordinates and measures distances, masses and distances give logits, the future is hidden, the softmax shares out, values are mixed. The strength $p$ is $\mathrm{softplus}(\gamma)\sqrt{d_\text{head}}$ and the mass exponent $\beta$ goes through a softplus as well, so both are positive.

# %%
def causal(n):  # query key: True where the key is not in the future
    return torch.ones(n, n, dtype=torch.bool).tril()


def heads(x, n):  # batch seq wide → batch head seq wide/n
    return x.unflatten(-1, (n, -1)).transpose(1, 2)


def each(x):  # one number a head, beside a table of query and key
    return x[:, None, None]


def soft_newton(r2, mass, p, beta):
    return newton(r2, mass, p, beta, eps=1.0)


force = {"newton": soft_newton, "gaussian": gaussian}[kernel]

# %%
class GravityAttention(nn.Module):
    def __init__(self, d_model, n_heads, d_coord, axes):
        super().__init__()
        self.n_heads, self.d_head = n_heads, d_model // n_heads
        self.place = nn.Linear(d_coord, n_heads * axes, bias=False)
        self.value = nn.Linear(d_model, d_model, bias=False)
        self.output = nn.Linear(d_model, d_model, bias=False)
        self.gamma = nn.Parameter(torch.zeros(n_heads))
        self.beta = nn.Parameter(torch.zeros(n_heads))

    def forward(self, x, z, mass):
        z, n = heads(self.place(z), self.n_heads), x.shape[1]
        p = softplus(self.gamma) * math.sqrt(self.d_head)
        logits = force(squared_distances(z), mass[:, None],
                       each(p), each(softplus(self.beta)))
        weights = logits.masked_fill(~causal(n), -torch.inf).softmax(-1)
        mixed = weights @ heads(self.value(x), self.n_heads)
        return self.output(mixed.transpose(1, 2).flatten(2)), weights

# %% [markdown] tags=["lang-ko"]
# 어텐션을 둘러싼 블록은 내적 모델과 똑같습니다. 중력 모델다운 곳은 층 사이의 한 줄, 좌표가 어텐션 출력을 따라 움직이는 $z\leftarrow\mathrm{LN}(z+Wa)$입니다. 마지막 층 뒤에는 쓸 사람이 없으니 움직이지 않습니다.
# %% [markdown] tags=["lang-en"]
# The block around attention is that of the dot-product model. What makes it a gravity model is one line between the layers, where the coordinates move with the attention output: $z\leftarrow\mathrm{LN}(z+Wa)$. After the last layer nobody would use them, so there they stay.

# %%
class Block(nn.Module):
    def __init__(self, d_model, attention):
        super().__init__()
        self.before_attention = nn.LayerNorm(d_model)
        self.attention = attention
        self.before_feed_forward = nn.LayerNorm(d_model)
        self.feed_forward = nn.Sequential(
            nn.Linear(d_model, 4 * d_model), nn.GELU(),
            nn.Linear(4 * d_model, d_model))

    def forward(self, x, z, mass):
        a, _ = self.attention(self.before_attention(x), z, mass)
        x = x + a
        return x + self.feed_forward(self.before_feed_forward(x)), a

# %%
class GravityModel(nn.Module):
    def __init__(self, vocab, context, d, n_layers, n_heads, d_coord, axes):
        super().__init__()
        self.token = nn.Embedding(vocab, d)
        self.position = nn.Embedding(context, d)
        self.masses = Masses(vocab)
        self.coordinates = Coordinates(vocab, context, d_coord)
        self.blocks = nn.ModuleList(Block(d, GravityAttention(
            d, n_heads, d_coord, axes)) for _ in range(n_layers))
        self.move = nn.ModuleList(nn.Linear(d, d_coord, bias=False)
                                  for _ in range(n_layers - 1))
        self.move_norm = nn.ModuleList(nn.LayerNorm(d_coord)
                                       for _ in range(n_layers - 1))
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(d, vocab, bias=False)

    def forward(self, ids):
        x = self.token(ids) + self.position.weight[: ids.shape[1]]
        return self.head(self.norm(travel(self, x, ids)))


# %%
def travel(model, x, ids):  # through all layers
    mass, z = model.masses(ids), model.coordinates(ids)
    for i, block in enumerate(model.blocks):
        x, a = block(x, z, mass)
        if i < len(model.move):
            z = model.move_norm[i](z + model.move[i](a))
    return x

# %% [markdown] tags=["lang-ko"]
# `lib.gravity.model`이 만든 모델의 가중치를 이름 그대로 옮겨 담고, 검증 글의 첫 글자들을 읽혀 로짓을 나란히 놓습니다. 그쪽은 컷오프에 쓸 반지름(radius)을 층마다 더 가지고 있을 뿐입니다.
# %% [markdown] tags=["lang-en"]
# Copy the weights of a model that `lib.gravity.model` made, name by name, let both read the first characters of the validation text, and lay the logits side by side. That model has one thing more in each layer, the radii for a cutoff.

# %%
def by_hand(model):  # the same weights in our own modules
    attention = model.blocks[0].attention
    axes = attention.place.out_features // cfg.n_heads
    ours = GravityModel(len(chars), cfg.context, cfg.d_model, cfg.n_layers,
                        cfg.n_heads, cfg.d_coord, axes)
    names = ours.load_state_dict(model.state_dict(), strict=False)
    return ours.eval(), names.missing_keys, names.unexpected_keys


sample = valid_ids[: cfg.context][None]
theirs = build(gravity, seed).eval()
ours, missing, left = by_hand(theirs)
with torch.no_grad():
    layer_gap = (ours(sample) - theirs(sample)).abs().max().item()
    exact_gap = (ours.double()(sample) - theirs.double()(sample)
                 ).abs().max().item()
pd.Series({"float32": layer_gap, "float64": exact_gap}).to_frame(
    "largest difference").style.format("{:.1e}")

# %% tags=["remove-cell"]
if missing or not all(name.endswith("rho") for name in left):
    raise RuntimeError(f"weights differ: {missing}, {left}")
record(layer_gap=layer_gap, exact_gap=exact_gap,
       n_copied=len(ours.state_dict()))

# %% [markdown] tags=["lang-ko"]
# 가중치 텐서 ⟨n_copied⟩개를 옮겼고, 로짓은 float32에서 ⟨layer_gap⟩, float64에서 ⟨exact_gap⟩만큼 다릅니다. 위의 셀들이 이 모델의 전부라는 뜻입니다. 학습은 `lib`의 모델로 합니다. 같은 계산을 더 빠르게 하기 때문입니다. 학습을 마친 모델도 [나중에](#gravity-space) 다시 나란히 놓아 봅니다.
# %% [markdown] tags=["lang-en"]
# ⟨n_copied⟩ weight tensors were copied; the logits differ by ⟨layer_gap⟩ in float32 and by ⟨exact_gap⟩ in float64. So the cells above are all there is to this model. For training we take that of `lib`, which does the same faster. The trained one is laid beside ours again [later](#gravity-space).

# %% [markdown] tags=["lang-ko"]
# <!-- label: gravity-runs -->
# ### 넷을 학습하기
#
# 모델마다 같은 배치를 같은 순서로 읽습니다. 바뀌는 것은 어텐션뿐입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: gravity-runs -->
# ### Train the four
#
# Each model reads the same batches in the same order. The attention is all that changes.

# %%
runs = {}


def train_all(configs):
    """Train each model, once for each seed."""
    for name, config in configs.items():
        for s in range(seed, seed + cfg.seeds):
            model = build(config, seed=s).to(cfg.device)
            history = train(model, train_ids, valid_ids,
                            replace(recipe, seed=s), f"{name}, seed {s}")
            loss = evaluate(model, valid_ids, cfg.context, cfg.windows)
            runs[name, s] = model, history, loss


train_all(twins)

# %% tags=["hide-input"]
palette = dict(zip(twins, (
    "attention", "gravity", "tokens", "plum"), strict=True))
fig, ax = plt.subplots(figsize=(7.2, 4.2))
for (name, s), (_, history, _) in runs.items():
    ax.plot(history.step, history.valid, color=COLOURS[palette[name]],
            marker="osD^"[list(twins).index(name)], markersize=4,
            label=name if s == seed else None)
ax.set(xlabel="step", ylabel="validation loss (nats per character)")
ax.legend()
show(fig)

# %% [markdown] tags=["lang-ko", "caption"]
# 같은 순서의 배치로 배우는 네 모델의 검증 손실(validation loss). 시드(seed)마다 선 하나입니다. 낮을수록 좋습니다.
#
# <!-- alt: 학습 스텝에 따른 네 모델의 검증 손실 곡선. 모두 오른쪽으로 갈수록 내려가며, 마지막 값은 아래 표에 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Validation loss of the four models over the same sequence of batches, one line a seed. Lower is better.
#
# <!-- alt: Validation loss curves of the four models against training step. All descend to the right; their last values are in the table below. -->

# %% tags=["hide-input"]
def losses_of(name):
    return [runs[name, s][2] for s in range(seed, seed + cfg.seeds)]


curves = [runs[f"potential {sign}1", seed][1].valid for sign in "−+"]
early = len(curves[0]) // 2 - 1  # an evaluation about half way
record("early_gap", curves[0][early] - curves[1][early],
       text=f"{curves[0][early] - curves[1][early]:+.3f}")
record(early_step=runs[kernel, seed][1].step[early],
       place=runs[kernel, seed][0].blocks[0].attention.place.out_features
       // cfg.n_heads)

# %% tags=["hide-input"]
final = {name: losses_of(name) for name in twins}
mean = {name: float(np.mean(losses)) for name, losses in final.items()}
for key, name in zip(
        ("dot", "kernel", "attract", "repel"), twins, strict=True):
    record(f"loss_{key}", mean[name], text=f"{mean[name]:.3f}")
sign_gap = mean["potential −1"] - mean["potential +1"]
record("sign_gap", sign_gap, text=f"{sign_gap:+.3f}")
dot_gap = mean["dot"] - mean[kernel]
record("dot_gap", dot_gap, text=f"{dot_gap:+.3f}")
record("ranking", " < ".join(sorted(mean, key=mean.get)))
record(kernel=kernel, n_steps=cfg.steps, n_seeds=cfg.seeds)
pd.DataFrame({
    "모델 | model": list(twins),
    "매개변수 | parameters": [f"{parameters(runs[n, seed][0]):,}"
                              for n in twins],
    "검증 손실 | validation loss": [
        " · ".join(f"{x:.3f}" for x in final[n]) for n in twins],
}).style.hide(axis="index")

# %% [markdown] tags=["lang-ko"]
# 이번 실행에서 손실이 낮은 순서는 ⟨ranking⟩입니다. 부호만 다른 두 모델의 차이(−1의 손실에서 +1의 손실을 뺀 값)는 ⟨sign_gap⟩내트이고, 내적의 손실에서 `⟨kernel⟩`의 손실을 뺀 차이는 ⟨dot_gap⟩내트입니다. 앞의 수가 양수이면 당기는 쪽이, 뒤의 수가 양수이면 중력 모델이 이번 실행에서 나았다는 뜻입니다. 뒤의 차이는 중력만의 것이 아닙니다. `dot`과 중력 모델 사이에서는 커널뿐 아니라 쿼리와 키를 얻는 곳도 다르고, `dot`에는 학습한 위치 표밖에 없습니다. 무엇이 얼마나 도움이 되는지는 [다음 장의 사다리](#ngt-ladder)가 하나씩 가립니다.
#
# 이 표가 말할 수 있는 것과 없는 것을 나누어 둡니다. 모델마다 ⟨n_steps⟩스텝, 시드 ⟨n_seeds⟩개뿐이고 학습률(learning rate)은 모두에게 같은 값을 주었을 뿐 따로 맞추지 않았습니다. 시드가 하나뿐이면 시드에 따라 손실이 얼마나 흔들리는지도 알 수 없습니다. 그러니 이 표만으로 순위를 가려서는 안 됩니다. 시드 셋으로 따로 잰 값은 [실험 일지](#lab-log-sign)에 있습니다. 더 오래 학습하거나 모델이 커졌을 때도 같은지는 이 표가 답하지 못합니다. `gpu` 프로필은 더 큰 모델을 시드 셋으로 더 오래 학습합니다.
# %% [markdown] tags=["lang-en"]
# In this run the losses, lowest first, come out as ⟨ranking⟩. The two models that differ in nothing but the sign lie ⟨sign_gap⟩ nats apart (−1 minus +1); the dot product minus `⟨kernel⟩` is ⟨dot_gap⟩ nats. Where the first is positive, attraction did better in this run; where the second is, the gravity model did. The second is not due to gravity alone: `dot` and the gravity model differ in where queries and keys come from as well as in the kernel, and `dot` has nothing but a learned table of positions. What each of these is worth, [the ladder of the next chapter](#ngt-ladder) takes one at a time.
#
# What this table can say, and what it cannot: each model had ⟨n_steps⟩ steps (seeds: ⟨n_seeds⟩), with one learning rate given to all and tuned for none. With a single seed it does not even show how much a loss moves from seed to seed, so this table alone settles no ranking. Values measured separately with three seeds are in the [lab log](#lab-log-sign). Whether it stays so with longer training or larger models, this table does not answer. The `gpu` profile trains a larger model for longer, with three seeds.

# %% [markdown] tags=["lang-ko"]
# <!-- label: gravity-attended -->
# ### 어디를 보고 있나
#
# 부호가 뒤집힌 모델도 학습하면서 좌표와 질량을 바꿀 수 있습니다. 그러니 아예 배우지 못하는 것이 아니라, 다르게 배우는 것일 수 있습니다. 토큰마다 가중치로 평균한 거리를, 볼 수 있는 토큰 전체의 평균 거리로 나누어 보면 어떻게 다른지 드러납니다. 1보다 작으면 가까운 것을, 1보다 크면 먼 것을 보는 모델입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: gravity-attended -->
# ### Where they look
#
# A model with the sign flipped can still change its coordinates and masses in training, so it may well learn, only differently. Take the mean distance under the weights of each token, over the mean distance of all tokens it can see: below 1 a model looks at what is near, above 1 at what is far.

# %%
seen = causal(cfg.context)
looks = {}
for name in list(twins)[1:4]:
    with torch.no_grad():
        layers = runs[name, seed][0].cpu().eval().trace(sample)[1]
    r = torch.cat([layer["r2"].sqrt() for layer in layers])
    weights = torch.cat([layer["weights"] for layer in layers])
    looked, usual = (weights * r).sum(-1), (r * seen).sum(-1) / seen.sum(-1)
    looks[name] = (looked[..., 1:] / usual[..., 1:]).mean().item()
pd.Series(looks, name="distance looked at ÷ mean").to_frame().round(3)

# %% tags=["remove-cell"]
record(look_kernel=looks[kernel], look_attract=looks["potential +1"],
       look_repel=looks["potential −1"])

# %% [markdown] tags=["lang-ko"]
# 당기는 모델은 ⟨look_attract⟩, 밀어내는 모델은 ⟨look_repel⟩입니다. 부호에 따라 중요한 토큰을 가까이에 두느냐 멀리에 두느냐가 갈린 것입니다. 손실이 왜 달라졌는지는 따로 재지 않았습니다. 멀리에 두려면 서로 다른 여러 방향으로 벌려야 하고, 자기 자신과 가까운 이웃에는 가중치를 주기 어렵다는 것이 까닭일 수 있습니다.
# %% [markdown] tags=["lang-en"]
# The attracting model gives ⟨look_attract⟩, the repelling one ⟨look_repel⟩. So the sign decides whether the tokens that matter are kept near or far. Why the losses differ was not measured; that far lies in many directions, and that hardly any weight can go to the token itself and its neighbours, may be part of it.

# %% [markdown] tags=["lang-ko"]
# <!-- label: gravity-knowledge -->
# ### 좌표가 알아야 할 것
#
# 원본의 좌표는 위치에서만 나옵니다. 첫 층에서는 3번째 글자가 무엇이든 같은 점이라는 뜻입니다. 글자에 따라 자리가 달라지는 것은 둘째 층부터입니다. `⟨kernel⟩` 모델의 좌표에서 토큰 임베딩(embedding)을 빼고 다시 학습시킵니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: gravity-knowledge -->
# ### What coordinates should know
#
# The original's coordinates come from position alone. In the first layer the 3rd character is the same point, whatever it is; only from the second layer on does the place depend on the character. We take the token embedding out of the coordinates of the `⟨kernel⟩` model and train it again.

# %%
blind_name = f"{kernel}, position"
train_all({blind_name: replace(gravity, coordinates="position")})
pd.DataFrame({
    "step": runs[kernel, seed][1].step,
    "token + position": runs[kernel, seed][1].valid,
    "position only": runs[blind_name, seed][1].valid,
}).style.hide(axis="index").format(precision=3)

# %% tags=["remove-cell"]
blind = float(np.mean(losses_of(blind_name)))
record("loss_position", blind, text=f"{blind:.3f}")
record("know_gap", blind - mean[kernel], text=f"{blind - mean[kernel]:+.3f}")
record(blind_fewer=parameters(runs[kernel, seed][0])
       - parameters(runs[blind_name, seed][0]))

# %% [markdown] tags=["lang-ko"]
# 학습 도중 작은 표본에서 잰 검증 손실입니다. 끝난 뒤에 다시 재면 토큰과 위치를 아는 쪽이 ⟨loss_kernel⟩, 위치만 아는 쪽이 ⟨loss_position⟩입니다(차이 ⟨know_gap⟩내트, 매개변수는 위치만 아는 쪽이 ⟨blind_fewer⟩개 적습니다). 차이가 음수이면 위치만 아는 쪽이 이번 실행에서 나았다는 뜻입니다.
#
# 토큰을 아는 좌표가 언제나 이롭지는 않습니다. 위치만 아는 좌표도 층을 지날 때마다 어텐션 출력을 따라 움직이므로 둘째 층부터는 글자를 알고, 첫 층에서는 ‘몇 글자 앞’만 가리면 됩니다. 배울 것이 적은 쪽이 짧은 학습에서는 빨리 자리를 잡는 것으로 보입니다. 까닭을 따로 재지는 않았습니다.
# %% [markdown] tags=["lang-en"]
# These are validation losses taken on a small sample during training. Measured again at the end, the one that knows token and position has ⟨loss_kernel⟩, the one that knows only the position ⟨loss_position⟩ (a difference of ⟨know_gap⟩ nats; the latter has ⟨blind_fewer⟩ parameters fewer). Negative means that position alone did better in this run.
#
# Coordinates that know the token are not always better. Those that know the position alone still move with the attention output from layer to layer; from the second layer on they know characters, and in the first they only have to tell how many characters back. With less to learn, they seem to settle sooner in a short training. Why was not measured.

# %% [markdown] tags=["lang-ko"]
# <!-- label: gravity-start -->
# ### 부호의 판정은 조건을 탑니다
#
# 학습 곡선에서 두 `potential`의 순서는 도중에 바뀔 수 있습니다. ⟨early_step⟩스텝에서 −1의 손실에서 +1의 손실을 뺀 값은 ⟨early_gap⟩내트이고(작은 표본), 끝에서는 ⟨sign_gap⟩내트입니다. 두 수의 부호가 다르면, 어디서 멈추느냐가 판정을 뒤집는다는 뜻입니다.
#
# 까닭을 자기 자신에게서 찾아봅니다. 자기 자신과의 거리는 언제나 0입니다. 당기는 힘은 거기서 가장 세고, 밀어내는 힘은 거기서 가장 약합니다. 학습 전과 후에 자기 자신이 받는 가중치의 평균을 잽니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: gravity-start -->
# ### The verdict on the sign depends on the conditions
#
# In the learning curves the two `potential` models may change places on the way. At step ⟨early_step⟩ −1 minus +1 is ⟨early_gap⟩ nats (on a small sample), at the end ⟨sign_gap⟩ nats. Where the two differ in sign, the verdict turns on when one stops.
#
# Look for the reason in the token itself. It is always at distance 0, where attraction is strongest and repulsion weakest. Here is the mean weight that a token gives to itself, before and after training.

# %%
def own_weight(model):
    """Mean weight on the diagonal, over layers, heads and queries."""
    with torch.no_grad():
        seen = model.cpu().eval().trace(sample)[1]
    return torch.cat([layer["weights"].diagonal(dim1=-2, dim2=-1)
                      for layer in seen]).mean().item()


own = {name: (own_weight(build(twins[name], seed)),
              own_weight(runs[name, seed][0])) for name in list(twins)[1:]}
pd.DataFrame(own, index=["before training", "after training"]).T.round(3)

# %% tags=["remove-cell"]
record(own_kernel=own[kernel][0], own_attract=own["potential +1"][0],
       own_repel=own["potential −1"][0],
       own_attract_after=own["potential +1"][1])

# %% [markdown] tags=["lang-ko"]
# 학습을 시작할 때 당기는 `potential`은 자기 자신에게 ⟨own_attract⟩만큼, 밀어내는 쪽은 ⟨own_repel⟩만큼, `⟨kernel⟩` 모델은 ⟨own_kernel⟩만큼 줍니다. 당기는 `potential`은 다른 토큰의 자리를 끌어오기 전에는 남을 보기 어렵고, 밀어내는 쪽은 처음부터 남을 봅니다. 로그를 쓰는 `newton`은 그 사이에 있습니다. 당기는 쪽이 늦게 출발하는 것은 이 때문으로 보입니다.
#
# 좌표의 시작 값을 바꾸었을 때 순서가 뒤집힌 기록도 [실험 일지](#lab-log-start)에 있습니다. 그러니 ‘끌어당기면 낫다’를 법칙으로 읽지 마십시오. 모델의 크기, 스텝의 수, 출발점과 함께 읽어야 하는 결과입니다.
# %% [markdown] tags=["lang-en"]
# When training begins, the attracting `potential` gives ⟨own_attract⟩ to the token itself, the repelling one ⟨own_repel⟩, and `⟨kernel⟩` ⟨own_kernel⟩. Until it has drawn other tokens near, the attracting `potential` can hardly see them, while the repelling one sees others from the start; `newton`, with its logarithm, stands between the two. That seems to be why attraction starts late.
#
# The [lab log](#lab-log-start) also tells of a start of the coordinates that turned the order around. So do not read “attraction is better” as a law. It is a result that goes with a size, a number of steps and a starting point.

# %% [markdown] tags=["lang-ko"]
# <!-- label: gravity-space -->
# ## 토큰이 자리 잡은 곳
#
# 이제 `⟨kernel⟩` 모델의 공간으로 들어갑니다. 검증 데이터의 첫 ⟨n_context⟩글자를 읽히고 층마다 좌표를 받아 적습니다. 좌표는 ⟨d_coord⟩차원이어서 그대로는 그릴 수 없으므로, 모든 층의 점을 한데 모아 분산이 가장 큰 세 방향으로 투영(projection)합니다. 점의 크기와 색은 질량입니다. 이웃한 자리는 가는 선으로 이었습니다. 손으로 지은 모델에 학습된 가중치를 옮겨 담아 같은 글자를 읽히면 로짓의 차이는 ⟨trained_gap⟩이니, 여기서 그리는 것은 앞에서 쓴 그 계산의 속입니다. 선이 어떤 모양인지 먼저 보고, 슬라이더를 움직여 층이 바뀔 때 무엇이 달라지는지 보십시오.
# %% [markdown] tags=["lang-en"]
# <!-- label: gravity-space -->
# ## Where the tokens settled
#
# Now into the space of the `⟨kernel⟩` model. It reads the first ⟨n_context⟩ characters of the validation data while we write down the coordinates at every layer. They have ⟨d_coord⟩ dimensions, too many to draw, so the points of all layers together are projected on the three directions of largest variance. Size and colour of a point are its mass; a thin line joins neighbouring positions. With the trained weights copied into the model by hand, the logits for these characters differ by ⟨trained_gap⟩: what is drawn here is the inside of the computation written above. Look at the shape of that line first, then move the slider and see what changes from layer to layer.

# %%
model = runs[kernel, seed][0].cpu().eval()
ours = by_hand(model)[0]
with torch.no_grad():
    logits, layers = model.trace(sample)
    trained_gap = (ours(sample) - logits).abs().max().item()
letters = [{" ": "␣", "\n": "⏎"}.get(chars[i], chars[i]) for i in sample[0]]
token_mass = layers[0]["mass"][0]

z = torch.cat([layer["z"][0] for layer in layers])
z = z - z.mean(0)
_, singular, axes = torch.linalg.svd(z, full_matrices=False)
shares = singular**2 / singular.square().sum()
places = (z @ axes[:3].T).reshape(len(layers), -1, 3).numpy()

# %% tags=["remove-cell"]
record(trained_gap=trained_gap)
record("explained", shares[:3].sum(), text=f"{shares[:3].sum():.0%}")
record(n_context=cfg.context, d_coord=cfg.d_coord, n_layers=cfg.n_layers)

# %% tags=["hide-input"]
import plotly.graph_objects as go

spread = (token_mass - token_mass.min()) / np.ptp(token_mass.numpy())
marker = {"size": (5 + 13 * spread).round(decimals=1).tolist(),
          "color": token_mass.numpy().round(3).tolist(), "opacity": 0.85,
          "colorscale": [[0, "#e9c39b"], [1, COLOURS["gravity"]]],
          "colorbar": {"title": {"text": "mass"}, "thickness": 12}}
hover = "%{text} · t = %{customdata} · m = %{marker.color}<extra></extra>"
points = [go.Scatter3d(
    x=xyz[:, 0].round(2).tolist(), y=xyz[:, 1].round(2).tolist(),
    z=xyz[:, 2].round(2).tolist(), mode="lines+markers+text", text=letters,
    line={"color": COLOURS["grey"], "width": 1.5},
    customdata=list(range(len(letters))), marker=marker,
    hovertemplate=hover, visible=layer == 0, name=f"layer {layer}",
    textfont={"size": 11}) for layer, xyz in enumerate(places)]

# %% tags=["hide-input", "cover"]
reach = float(np.abs(places).max() * 1.05)
axis = {"range": [-reach, reach], "showticklabels": False,
        "showbackground": False, "zeroline": False}
stops = [{"method": "update", "label": str(layer),
          "args": [{"visible": [i == layer for i in range(len(points))]}]}
         for layer in range(len(points))]
fig = go.Figure(points)
fig.update_layout(
    height=580, margin={"l": 10, "r": 0, "t": 0, "b": 80}, showlegend=False,
    scene={f"{a}axis": axis | {"title": {"text": f"PC{n}"}}
           for n, a in enumerate("xyz", 1)} | {
        "aspectmode": "cube",
        "camera": {"eye": {"x": 1.1, "y": 1.1, "z": 0.8}}},
    sliders=[{"active": 0, "steps": stops, "len": 0.9,
              "pad": {"t": 20, "b": 24},
              "currentvalue": {"prefix": "layer "}}])
show(fig)

# %% [markdown] tags=["lang-ko", "caption"]
# 글자 하나가 점 하나입니다(␣는 빈칸, ⏎는 줄 바꿈). 세 축이 담은 분산은 전체의 ⟨explained⟩이므로, 그림에서 가까워도 실제로는 떨어져 있을 수 있습니다.
#
# <!-- alt: 검증 글의 글자들을 읽는 순서대로 선으로 이은 3차원 산점도. 학습을 마친 모델에서는 점들이 공간을 감아 도는 한 가닥의 선 위에 순서대로 늘어선다. 점의 크기와 색은 질량이고, 슬라이더로 층을 고른다. -->
# %% [markdown] tags=["lang-en", "caption"]
# One point a character (␣ is a space, ⏎ a line break). The three axes hold ⟨explained⟩ of the variance, so points that look close may lie apart.
#
# <!-- alt: A 3D scatter plot of the characters of the validation text, joined by a line in reading order. In the trained model the points stand in order along one strand that winds through space. Size and colour are mass; a slider picks the layer. -->

# %% [markdown] tags=["lang-ko"]
# 좌표의 위치 임베딩(embedding)은 아무 순서도 없는 난수에서 출발했습니다. 학습을 마치면 이웃한 자리가 공간에서도 이웃하게 되는지 수로 확인합니다. 옆자리끼리의 평균 거리와 같은 글자끼리의 평균 거리를 각각 모든 쌍의 평균 거리로 나눕니다. 1보다 작으면 그만큼 모여 있는 것입니다.
# %% [markdown] tags=["lang-en"]
# The position embeddings of the coordinates began as random numbers without any order. Are neighbouring positions neighbours in space after training? Take the mean distance between next-door positions, and the one between equal characters, each over the mean of all pairs. Below 1 means closer together than the average pair.

# %%
same_char = sample[0][:, None] == sample[0][None]
place = torch.arange(len(letters))
gap = (place[:, None] - place[None]).abs()


def closeness(z):
    r = squared_distances(z).sqrt()
    usual = r[gap > 0].mean()
    return [(r[group].mean() / usual).item()
            for group in (gap == 1, same_char & (gap > 0))]


with torch.no_grad():
    fresh = build(twins[kernel], seed).trace(sample)[1]
rows = {"untrained, layer 0": closeness(fresh[0]["z"][0])}
rows |= {f"layer {i}": closeness(layer["z"][0])
         for i, layer in enumerate(layers)}
pd.DataFrame.from_dict(rows, "index", columns=[
    "next-door", "equal characters"]).round(3)

# %% tags=["remove-cell"]
found = list(rows.values())
record(next_fresh=found[0][0], same_fresh=found[0][1],
       next_first=found[1][0], same_first=found[1][1],
       next_last=found[-1][0], same_last=found[-1][1])

# %% [markdown] tags=["lang-ko"]
# 옆자리의 비는 학습 전에 ⟨next_fresh⟩, 학습 뒤에는 첫 층에서 ⟨next_first⟩, 마지막 층에서 ⟨next_last⟩입니다. 같은 글자의 비는 차례로 ⟨same_fresh⟩, ⟨same_first⟩, ⟨same_last⟩입니다. 더 작은 쪽이 이 공간의 뼈대입니다. 옆자리 쪽이 더 작으면 글은 공간을 감아 도는 실 한 가닥이 되고, 어떤 글자인지는 그 실에서 조금 비켜난 자리로 나타납니다. 자리 번호가 이웃한다는 것을 모델에 알려 준 적은 없습니다. 미래를 가리는 마스크와 다음 글자를 맞히라는 요구가 있었을 뿐입니다.
# %% [markdown] tags=["lang-en"]
# For next-door positions the ratio went from ⟨next_fresh⟩ before training to ⟨next_first⟩ after it, and is ⟨next_last⟩ at the last layer; for equal characters from ⟨same_fresh⟩ to ⟨same_first⟩, and ⟨same_last⟩ at the last. The smaller of the two ratios is the backbone of this space. Where it is the next-door one, the text has become a thread that winds through space, and which character a token is shows as a small step off the thread. Nobody told the model which positions are neighbours; there was only the mask that hides the future, and the demand to guess the next character.

# %% [markdown] tags=["lang-ko"]
# <!-- label: gravity-mass -->
# ## 무엇이 무거워졌나
#
# 질량은 1에서 출발해 학습이 정합니다. 자주 나오는 글자가 무거워질까요, 드문 글자가 무거워질까요? 학습 글에 나온 횟수와 견줍니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: gravity-mass -->
# ## What grew heavy
#
# Masses start at 1 and training sets them. Do frequent characters grow heavy, or rare ones? Compare with how often each occurs in the training text.

# %% tags=["hide-input"]
counts = torch.bincount(train_ids, minlength=len(chars)).clamp_min(1)
learned = model.masses(torch.arange(len(chars))[None])[0].detach()
ranks = pd.DataFrame({"count": counts, "mass": learned}).rank()
record("mass_rank", ranks.corr().iloc[0, 1])
order = learned.argsort(descending=True).tolist()
record("heaviest", " ".join(repr(chars[i]) for i in order[:3]))
record("lightest", " ".join(repr(chars[i]) for i in order[-3:]))
record(mass_low=learned.min(), mass_high=learned.max())

fig, ax = plt.subplots()
ax.scatter(counts, learned, s=14, color=COLOURS["gravity"])
ax.axhline(1, color=COLOURS["grey"], linewidth=1, linestyle=":")
for i, char in enumerate(chars):
    ax.annotate({" ": "space", "\n": "newline"}.get(char, char),
                (counts[i], learned[i]), xytext=(4, 3),
                textcoords="offset points", fontsize=8)
ax.set(xscale="log", xlabel="occurrences in the training text",
       ylabel="mass m")
show(fig, table=ranks.set_index(pd.Index(map(repr, chars))).assign(
    count=counts.numpy(), mass=learned.numpy()).sort_values("mass"))

# %% [markdown] tags=["lang-ko", "caption"]
# 글자마다 나온 횟수(로그 눈금)와 학습된 질량. 점선은 출발점인 1입니다. 오른쪽 끝의 잦은 소문자들과 가운데의 문장 부호, 왼쪽의 드문 대문자를 견주어 보십시오.
#
# <!-- alt: 글자별 산점도. 가로축은 학습 글에 나온 횟수의 로그 눈금, 세로축은 질량이며 점마다 글자가 적혀 있다. 한두 번 나온 글자는 출발점 1 곁에 있고, 나머지는 위아래로 퍼져 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Occurrences (logarithmic) and learned mass of every character; the dotted line is the start at 1. Compare the frequent small letters at the right, the punctuation in the middle and the rare capitals at the left.
#
# <!-- alt: A scatter plot by character: occurrences in the training text on a logarithmic axis against mass, each point labelled with its character. Characters that occur once or twice stay by the start at 1, the others spread above and below. -->

# %% [markdown] tags=["lang-ko"]
# 질량은 ⟨mass_low⟩에서 ⟨mass_high⟩까지 벌어졌습니다. 가장 무거운 셋은 `⟨heaviest⟩`, 가장 가벼운 셋은 `⟨lightest⟩`입니다. 횟수와의 순위 상관은 ⟨mass_rank⟩입니다. 순위 상관은 1이면 잦을수록 무겁고, −1이면 잦을수록 가벼우며, 0이면 관계가 없다는 뜻입니다. 거의 나오지 않는 글자는 기울기(gradient)를 받을 기회도 드물어 출발점 곁에 남습니다.
# %% [markdown] tags=["lang-en"]
# Masses spread from ⟨mass_low⟩ to ⟨mass_high⟩; the three heaviest are `⟨heaviest⟩`, the three lightest `⟨lightest⟩`. Their rank correlation with the counts is ⟨mass_rank⟩: 1 would mean the more frequent the heavier, −1 the more frequent the lighter, 0 no relation. A character that hardly occurs hardly receives a gradient and stays by its start.

# %% [markdown] tags=["lang-ko"]
# <!-- label: gravity-cutoff -->
# ## 컷오프: 여기까지만
#
# 거듭제곱의 꼬리는 길어서 먼 토큰도 조금씩은 당깁니다. 반지름(radius) $R$ 밖을 아예 끊으면 계산을 건너뛸 수 있습니다. 끊는 방법을 컷오프라고 합니다. $x=1-r^2/R^2$라 하고, 소프트맥스 안의 지수 함수 값에 다음을 곱합니다.
#
# | 이름 | 곱하는 값 | 가장자리 |
# |---|---|---|
# | `none` | $1$ | 없음 |
# | `hard` | $x>0$이면 $1$, 아니면 $0$ | 절벽 |
# | `soft` | $x^2(3-2x)$, 밖에서는 $0$ | 매끄러움 |
# | `compact` | $\max(x,0)$ | 꺾임 |
#
# 자기 자신은 언제나 남깁니다. $R$도 학습하는데, 절벽은 기울기가 0이라 그대로는 배우지 못합니다. 그래서 `hard`에서는 어디서나, 다른 컷오프에서는 반지름 밖에서 0 대신 매끄러운 함수의 기울기를 반지름에 흘려보냅니다(straight-through). 그러면 끊긴 토큰도 반지름을 넓히라고 요구할 수 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: gravity-cutoff -->
# ## Cutoffs: this far and no further
#
# The tail of a power is long; even distant tokens pull a little. Cutting off all that lies beyond a radius $R$ lets a program skip work. Write $x=1-r^2/R^2$ and multiply the exponentials inside the softmax by one of these:
#
# | name | factor | at the edge |
# |---|---|---|
# | `none` | $1$ | none |
# | `hard` | $1$ if $x>0$, else $0$ | a cliff |
# | `soft` | $x^2(3-2x)$, outside $0$ | smooth |
# | `compact` | $\max(x,0)$ | a kink |
#
# The token itself always stays. $R$ is learned too, and a cliff has slope zero, so `hard`, and every factor outside the radius, passes on a substitute gradient (straight-through): a token that was cut off can ask for a larger radius.

# %%
def cutoff_gate(r2, radius, cutoff):  # factor on each weight, query key
    x = (1 - r2 / radius**2).clamp(0, 1)
    factor = {"none": torch.ones_like(x), "hard": (x > 0).to(x),
              "soft": x**2 * (3 - 2 * x), "compact": x}[cutoff]
    itself = torch.eye(*r2.shape[-2:], dtype=torch.bool)
    return factor.masked_fill(itself, 1)


def gated_softmax(logits, gate=1.0, seen=None):
    if seen is not None:
        logits = logits.masked_fill(~seen, -torch.inf)
    weights = gate * logits.softmax(-1)
    return weights / weights.sum(-1, keepdim=True)

# %% [markdown] tags=["lang-ko"]
# 학습된 마지막 층에서 가장 넓게 보는 헤드를 골라, 앞선 쌍의 절반이 끊기는 반지름을 줍니다. 컷오프마다 가중치를 구하고 `lib`의 것과 나란히 놓습니다.
# %% [markdown] tags=["lang-en"]
# In the last trained layer take the head that looks widest, and the radius that cuts half of the earlier pairs. Here are the weights under each cutoff, laid beside those of `lib`.

# %%
n = 14
entropy = -(layers[-1]["weights"] * layers[-1]["weights"].clamp_min(
    1e-30).log()).sum(-1).mean((0, 2))
head = int(entropy.argmax())  # of the last layer, the one that looks widest
r2 = layers[-1]["r2"][0, head, :n, :n]
scores = layers[-1]["logits"][0, head, :n, :n]
before = causal(n).tril(-1)
R = r2[before].median().sqrt().item()
maps, beside = {}, {}
for name in ("none", "hard", "soft", "compact"):
    maps[name] = gated_softmax(scores, cutoff_gate(r2, R, name), causal(n))
    theirs = library.gated_softmax(
        scores, library.cutoff_gate(r2, R, name), causal(n))
    beside[name] = (maps[name] - theirs).abs().max().item()
pd.Series(beside).to_frame("largest difference").style.format("{:.1e}")

# %% tags=["remove-cell"]
record(cut_head=f"L{cfg.n_layers - 1}H{head}", cut_radius=R, cut_gap=max(beside.values()))

# %% tags=["hide-input"]
fig, axs = plt.subplots(2, 2, figsize=(7.2, 7.4))
for ax, (name, w) in zip(axs.flat, maps.items(), strict=True):
    ax.imshow(w, cmap=SEQUENTIAL["gravity"], vmin=0, vmax=1)
    ax.set(title=name, xticks=range(n), yticks=range(n))
    ax.set_xticklabels(letters[:n])
    ax.set_yticklabels(letters[:n])
    ax.tick_params(length=0)
rows = {f"{name} · {i} {letters[i]}": w[i].numpy().round(2)
        for name, w in maps.items() for i in range(n)}
columns = [f"{j} {letters[j]}" for j in range(n)]
show(fig, table=pd.DataFrame.from_dict(rows, "index", columns=columns))

# %% [markdown] tags=["lang-ko", "caption"]
# 마지막 층의 헤드 ⟨cut_head⟩의 가중치. $R$은 앞선 쌍의 절반이 끊기는 ⟨cut_radius⟩입니다. 컷오프가 비운 칸은 정확히 0이며, 대각선은 어디서나 남아 있습니다. 행이 쿼리, 열이 키입니다.
#
# <!-- alt: 같은 열네 글자에 대한 히트맵 넷. 컷오프가 없으면 아래 삼각형이 고루 차 있고, 하드와 소프트와 콤팩트에서는 먼 칸이 비면서 남은 칸이 진해진다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Weights of head ⟨cut_head⟩ in the last layer, where $R$ is ⟨cut_radius⟩, so that half of the earlier pairs are cut. The cells that a cutoff emptied are exactly zero; the diagonal stays everywhere. Rows are queries, columns keys.
#
# <!-- alt: Four heatmaps of the same fourteen characters. Without a cutoff the lower triangle is filled; with hard, soft and compact the far cells are empty and the remaining ones darker. -->

# %% [markdown] tags=["lang-ko"]
# 네 컷오프에서 `lib`와 벌어진 차이는 많아야 ⟨cut_gap⟩입니다. 그런데 우리 함수로는 반지름을 배우기 어렵습니다. 반지름 밖에서는 값이 0으로 고르니 기울기도 0입니다. 앞에서 말한 대신 흘려보내는 기울기를 붙여 봅니다. `slope - slope.detach()`는 값이 0이므로 가중치를 바꾸지 않고 기울기만 남깁니다. 반지름 1의 바로 밖, $r=1.5$에 놓인 토큰이 $R$에 주는 기울기를 잽니다.
# %% [markdown] tags=["lang-en"]
# Under the four cutoffs ours and those of `lib` differ by at most ⟨cut_gap⟩. Yet our function hardly lets a radius learn: outside it the value is 0 throughout, and the slope is 0 too. Attach the substitute gradient spoken of above. `slope - slope.detach()` has the value 0, so it leaves the weights alone and adds its gradient only. Measured is the gradient that $R$ receives from a token just outside a radius of 1, at $r=1.5$.

# %%
def learnable_gate(r2, radius, cutoff):
    x = 1 - r2.detach() / radius**2
    slope = -x.sign() / (1 + x.abs())
    if cutoff != "hard":
        slope = slope * (x <= 0)  # inside, the true slope is there
    return cutoff_gate(r2, radius, cutoff) + (slope - slope.detach())


def asks(gate, cutoff):  # gradient of the far token's factor by R
    R = torch.tensor(1.0, requires_grad=True)
    pair = torch.tensor([[0.0, 1.5**2], [1.5**2, 0.0]])
    factor = gate(pair, R, cutoff)[0, 1] + 0 * R  # a cliff has no slope
    return torch.autograd.grad(factor, R)[0].item()


gates = {"as it is": cutoff_gate, "with substitute": learnable_gate,
         "lib": library.cutoff_gate}
pd.DataFrame({title: {name: asks(gate, name) for name in list(maps)[1:]}
              for title, gate in gates.items()}).round(3)

# %% [markdown] tags=["lang-ko"]
# 기울기가 양수라는 것은, 이 토큰의 몫을 늘리려면 반지름을 넓히라는 뜻입니다. 그대로 두면 0이어서 아무 말도 하지 못합니다.
# %% [markdown] tags=["lang-en"]
# A positive gradient says: for more of this token, widen the radius. As it is, the gradient is 0 and the token has no say.

# %% [markdown] tags=["lang-ko"]
# <!-- label: gravity-cutoff-defect -->
# ### 끊은 것을 맨 앞에 세우는 컷오프
#
# 원본의 `soft` 컷오프는 가중치가 아니라 점수에 곱합니다. $\text{score}\cdot\max(1-r^2/R^2,\,0)$입니다. 그런데 원본의 점수 $-\gamma/(r^2+\varepsilon)$은 음수입니다. 반지름 밖에서 0이 된다는 것은 꼴찌가 아니라 일등이 된다는 뜻입니다. 앞의 일곱 거리에서 반지름을 2로 두고 확인합니다($\gamma=1$, $\varepsilon=0.1$).
# %% [markdown] tags=["lang-en"]
# <!-- label: gravity-cutoff-defect -->
# ### A cutoff that puts first what it cuts
#
# The original's `soft` cutoff multiplies the score, not the weight: $\text{score}\cdot\max(1-r^2/R^2,\,0)$. Its scores $-\gamma/(r^2+\varepsilon)$ are negative, so becoming 0 beyond the radius does not mean coming last; it means coming first. Check it at the seven distances from before, with a radius of 2 ($\gamma=1$, $\varepsilon=0.1$).

# %%
score = potential(table, one, 1.0, sign=-1)[0]
fade = (1 - ladder / 2**2).clamp_min(0)
cut_table = pd.DataFrame({
    "r²": ladder.numpy(),
    "no cutoff": score.softmax(-1),
    "the original's soft": (score * fade).softmax(-1),
    "compact": gated_softmax(score, fade),
})
cut_table.round(3).style.hide(axis="index").format("{:g}")

# %% tags=["remove-cell"]
beyond = cut_table[cut_table["r²"] >= 4].sum()
record(beyond_none=beyond.iloc[1], beyond_soft=beyond.iloc[2],
       edge_none=cut_table.iloc[4, 1], edge_soft=cut_table.iloc[4, 2],
       kept_soft=cut_table.iloc[:4, 2].max())

# %% [markdown] tags=["lang-ko"]
# 원본의 컷오프를 지나면 끊으려던 세 토큰($r^2\ge 4$)이 ⟨edge_soft⟩씩 나란히 받아 맨 앞에 섭니다. 안쪽에서는 가장 큰 것이 ⟨kept_soft⟩입니다. 반지름에 꼭 걸린 토큰($r^2=4$)은 끊기 전의 ⟨edge_none⟩보다 도리어 늘었습니다. 밖의 몫을 모두 더하면 끊기 전에 ⟨beyond_none⟩, 끊은 뒤에 ⟨beyond_soft⟩이니 거의 그대로입니다. `compact`에서는 정확히 0입니다. 점수가 양수인 커널이라면 끊긴 토큰이 꼴찌가 되기는 하지만, 그때도 $e^0=1$만큼은 남습니다.
#
# 학습된 모델에서도 같은지, 부호 −1로 학습한 모델의 마지막 층에서 쌍의 절반을 끊어 봅니다.
# %% [markdown] tags=["lang-en"]
# After the original's cutoff the three tokens it was to cut ($r^2\ge 4$) come first, side by side with ⟨edge_soft⟩ each; the largest one inside has ⟨kept_soft⟩. The token right at the radius ($r^2=4$) even gained, up from ⟨edge_none⟩, and the share of the three together went from ⟨beyond_none⟩ to ⟨beyond_soft⟩, next to no change. With `compact` it is exactly 0. Under a kernel with positive scores the cut tokens would come last, yet each would still keep $e^0=1$.
#
# Does that hold in a trained model? Cut half of the pairs in the last layer of the one trained with sign −1.

# %%
repeller = runs["potential −1", seed][0].cpu().eval()
with torch.no_grad():
    repelled = repeller.trace(sample)[1][-1]
r2, score = repelled["r2"][0], repelled["logits"][0]
seen = causal(r2.shape[-1])
R2 = r2[:, seen.tril(-1)].median()
fade = (1 - r2 / R2).clamp_min(0)
ways = {
    "no cutoff": gated_softmax(score, seen=seen),
    "the original's soft": gated_softmax(score * fade, seen=seen),
    "compact": gated_softmax(score, fade, seen)}
outside = [(w * (r2 >= R2)).sum(-1)[:, 1:].mean().item()
           for w in ways.values()]
pd.Series(outside, index=list(ways)).to_frame(
    "weight beyond R").style.format(precision=3)

# %% tags=["remove-cell"]
record(outside_none=outside[0], outside_soft=outside[1])

# %% [markdown] tags=["lang-ko"]
# 학습된 헤드들에서 반지름 밖의 몫은 끊기 전에 ⟨outside_none⟩, 끊은 뒤에 ⟨outside_soft⟩입니다. 끊는다는 이름과 달리 0이 되지 않습니다. `compact`에서는 0입니다.
# %% [markdown] tags=["lang-en"]
# In the trained heads the share beyond the radius goes from ⟨outside_none⟩ to ⟨outside_soft⟩, not to zero as the name cutoff promises. With `compact` it is zero.

# %% [markdown] tags=["lang-ko"]
# <!-- label: gravity-exercise-cutoff -->
# ### 연습 3. 컷오프 고치기 (★★, 10분)
#
# 로짓 (n, n), `r2` (n, n), 반지름을 받아 가중치를 돌려주십시오. 반지름 밖은 정확히 0, 안쪽은 $\max(1-r^2/R^2,\,0)\cdot\exp(\text{logit})$에 비례하고, 행의 합은 1입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: gravity-exercise-cutoff -->
# ### Exercise 3. Mend the cutoff (★★, 10 minutes)
#
# Given logits (n, n), `r2` (n, n) and a radius, return weights that are exactly 0 outside, go with $\max(1-r^2/R^2,\,0)\cdot\exp(\text{logit})$ inside, and sum to one along each row.

# %% tags=["exercise"]
def my_cutoff(logits, r2, radius):
    ...

# %%
from lib.exercises.gravity import check_mended_cutoff

check_mended_cutoff(my_cutoff)

# %% tags=["solution", "hide-cell"]
def cutoff_solution(logits, r2, radius):
    inside = (1 - r2 / radius**2).clamp_min(0)
    return (logits + inside.log()).softmax(-1)  # log 0 = -inf: weight 0


check_mended_cutoff(cutoff_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: gravity-radius -->
# ### 배운 반지름
#
# 학습된 `⟨kernel⟩` 모델을 두 벌 복사해 ⟨n_more⟩스텝을 더 학습합니다. 한쪽은 그대로 두고, 한쪽에는 반지름이 ⟨radius_start⟩에서 시작하는 `⟨cutoff⟩` 컷오프를 켭니다. 헤드마다 반지름이 얼마가 되고 쌍을 얼마나 끊는지 봅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: gravity-radius -->
# ### Radii that were learned
#
# Copy the trained `⟨kernel⟩` model twice and train both for ⟨n_more⟩ more steps, one as it is, the other with the `⟨cutoff⟩` cutoff on and radii that begin at ⟨radius_start⟩. Here is where each head takes its radius, and what share of the pairs it cuts.

# %%
import copy

further = replace(recipe, steps=cfg.more_steps, seed=seed + 1000,
                  learning_rate=cfg.learning_rate / 4,
                  warmup=1, evaluations=1)
limited = build(replace(gravity, cutoff=cutoff, radius=radius,
                        form="reference"), seed)
learned = {name: w for name, w in model.state_dict().items()
           if not name.endswith(".rho")}  # all but the radii
limited.load_state_dict(learned, strict=False)
copies, after = {"without": copy.deepcopy(model), "cut": limited}, {}
for name, copied in copies.items():
    train(copied.to(cfg.device).train(), train_ids, valid_ids, further, name)
    after[name] = evaluate(copied, valid_ids, cfg.context, cfg.windows)
pd.Series(after).to_frame("validation loss").round(3)

# %% tags=["remove-cell"]
for name, score in after.items():
    record(f"loss_{name}", score, text=f"{score:.3f}")

# %% tags=["hide-input"]
from lib.gravity.layers import statistics

with torch.no_grad():
    trace = limited.cpu().eval().trace(sample)[1]
parts = []
for i, (block, seen) in enumerate(
        zip(limited.blocks, trace, strict=True)):
    found = statistics(block.attention, seen)
    parts.append(pd.DataFrame({"층 | layer": i, "헤드 | head": range(
        cfg.n_heads)} | {
        "반지름 R | radius R": found["radius"],
        "평균 거리 | mean distance": found["distance"],
        "끊긴 몫 | share cut off": found["cut_off"],
        "엔트로피 | entropy": found["entropy"]}))
of_heads = pd.concat(parts)
record("cutoff", cutoff)
record("n_more", cfg.more_steps)
record(radius_start=radius, radius_low=of_heads.iloc[:, 2].min(),
       radius_high=of_heads.iloc[:, 2].max(),
       share_cut=of_heads.iloc[:, 4].mean())
of_heads.style.hide(axis="index").format(precision=2)

# %% [markdown] tags=["lang-ko"]
# 학습 뒤 반지름은 ⟨radius_low⟩에서 ⟨radius_high⟩ 사이에 있고, 평균하면 쌍의 ⟨share_cut⟩만큼이 끊겼습니다. 같은 만큼 더 배운 뒤의 검증 손실은 컷오프가 있을 때 ⟨loss_cut⟩, 없을 때 ⟨loss_without⟩입니다. 끊긴 몫이 크고 두 손실이 비슷하면 건너뛰어도 좋은 계산이 그만큼 있다는 뜻입니다. 건너뛰어서 얼마나 빨라지는지는 12장에서 잽니다. 짧게 더 배운 것이어서 반지름이 출발점에서 멀리 가지는 못합니다.
# %% [markdown] tags=["lang-en"]
# After training the radii lie between ⟨radius_low⟩ and ⟨radius_high⟩ and cut, on average, ⟨share_cut⟩ of the pairs. After equally many further steps the validation loss is ⟨loss_cut⟩ with the cutoff and ⟨loss_without⟩ without it. Where the share is large and the two losses are close, that much work could be skipped; how much time that saves is for chapter 12. The further training was short, so the radii cannot have gone far from where they began.

# %% [markdown] tags=["lang-ko"]
# <!-- label: gravity-repulsion -->
# ## 반발: 한 점에 뭉치지 않게
#
# 서로 당기기만 하면 점들이 한곳에 뭉칠 수 있습니다. 원본은 손실에 반발(repulsion) 항을 더합니다. 무거운 것끼리 가까울수록 값이 크고, 거리가 $d_{\min}$보다 작으면 더 커지지 않습니다.
#
# $$L_{\text{rep}}=\lambda\cdot\operatorname*{mean}_{i\ne j}\ \frac{m_im_j}{\max(r_{ij},\,d_{\min})^2}$$
#
# 학습된 모델을 한 번 더 복사해, 이번에는 이 항을 더한 채 ⟨n_more⟩스텝을 학습합니다. 앞에서 그대로 더 배운 모델과 나란히 놓고, 토큰마다 가장 가까운 이웃까지의 거리를 잽니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: gravity-repulsion -->
# ## Repulsion: not all in one place
#
# If everything only attracts, points may fall into one heap. The original adds a repulsion term to the loss: large where heavy tokens are close, and no larger once the distance is below $d_{\min}$.
#
# $$L_{\text{rep}}=\lambda\cdot\operatorname*{mean}_{i\ne j}\ \frac{m_im_j}{\max(r_{ij},\,d_{\min})^2}$$
#
# Copy the trained model once more and train it for ⟨n_more⟩ steps with this term. Beside the copy that went on as it was, measure how far each token is from its nearest neighbour.

# %%
def repulsion(z, mass):
    r2 = squared_distances(z)  # batch query key
    apart = ~torch.eye(z.shape[-2], dtype=torch.bool)
    pair = mass[..., :, None] * mass[..., None, :]
    return (pair / r2.clamp_min(min_dist**2))[..., apart].mean()


push = {"ours": [repulsion(layer["z"], layer["mass"]).item()
                 for layer in layers],
        "lib": [library.repulsion(layer["z"], layer["mass"], min_dist).item()
                for layer in layers]}
push = pd.DataFrame(push).rename_axis("layer")
push.assign(difference=push["ours"] - push["lib"]).style.format("{:.3g}")

# %% [markdown] tags=["lang-ko"]
# 학습된 모델의 층마다 손으로 구한 값과 `lib`의 값입니다. 학습에는 표를 작게 쓰는 `lib`의 것을 씁니다.
# %% [markdown] tags=["lang-en"]
# These are the values by hand and those of `lib` in each layer of the trained model. Training takes that of `lib`, whose table is smaller.

# %%
def with_repulsion(model, x, y):
    logits, layers = model.trace(x)
    push = sum(library.repulsion(layer["z"], layer["mass"], min_dist)
               for layer in layers) / len(layers)
    fit = cross_entropy(logits.flatten(0, 1), y.flatten())
    return fit + repulsion_weight * push

# %%
copies["with"] = copy.deepcopy(model).to(cfg.device).train()
train(copies["with"], train_ids, valid_ids, further, "with",
      with_repulsion)
after["with"] = evaluate(copies["with"], valid_ids, cfg.context,
                         cfg.windows)
pd.Series(after)[["without", "with"]].to_frame("validation loss").round(3)

# %% tags=["remove-cell"]
record("loss_with_repulsion", after["with"], text=f"{after['with']:.3f}")

# %% tags=["hide-input"]
block = valid_ids[: 16 * cfg.context].reshape(16, -1)
fig, ax = plt.subplots()
for name, style in (("without", "--"), ("with", "-")):
    with torch.no_grad():
        z = copies[name].cpu().eval().trace(block)[1][-1]["z"]
    r2 = squared_distances(z)
    near = r2.masked_fill(torch.eye(r2.shape[-1]).bool(), torch.inf)
    near = near.amin(-1).sqrt().flatten().sort().values
    record(f"near_{name}", near.median())
    ax.plot(near, torch.linspace(0, 1, len(near)), style, label=name,
            color=COLOURS["gravity" if name == "with" else "grey"])
ax.set(xlabel="distance to the nearest neighbour",
       ylabel="share of tokens", xlim=(0, None))
ax.legend(title="repulsion")
show(fig)

# %% [markdown] tags=["lang-ko", "caption"]
# 마지막 층 좌표에서 가장 가까운 이웃까지의 거리의 누적 분포. 곡선이 오른쪽에 있을수록 점들이 떨어져 있습니다.
#
# <!-- alt: 반발이 있을 때와 없을 때 최근접 거리의 누적 분포 곡선 둘. 중앙값은 본문에 적혀 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Cumulative distribution of the distance to the nearest neighbour, coordinates of the last layer. The further right a curve, the further apart the points.
#
# <!-- alt: Two cumulative curves of the nearest-neighbour distance, with and without repulsion; their medians are given in the text. -->

# %% [markdown] tags=["lang-ko"]
# 중앙값은 반발이 없을 때 ⟨near_without⟩, 있을 때 ⟨near_with⟩입니다. 검증 손실은 차례로 ⟨loss_without⟩, ⟨loss_with_repulsion⟩입니다. 점들을 벌려 놓은 일이 예측에 도움이 되었는지는 두 손실의 차이가 말해 줍니다. 차이가 거의 없다면 도움도 해도 되지 않은 것입니다. 반발이 없어도 중앙값이 0이 아니니 점들이 한곳으로 무너지지는 않았습니다. 다음 글자를 맞히려면 자리와 글자를 구별해야 하기 때문일 것입니다.
# %% [markdown] tags=["lang-en"]
# The median is ⟨near_without⟩ without repulsion and ⟨near_with⟩ with it; the validation losses are ⟨loss_without⟩ and ⟨loss_with_repulsion⟩. Whether spreading the points helped to predict is for the difference of the two to say; where there is next to none, it neither helped nor hurt. Even without repulsion the median is not 0: the points did not fall into one place, presumably because a model that guesses the next character has to tell positions and characters apart.

# %% [markdown] tags=["lang-ko"]
# <!-- label: gravity-exercise-gaussian -->
# ### 연습 4. 가우스 커널을 내적으로 (★★★, 15분)
#
# 점 (n, C), 질량 (n), $\gamma$, $\beta$를 받아 행렬 둘 `query`, `key`를 돌려주십시오. `(query @ key.T).softmax(-1)`이 가우스 커널(Gaussian kernel)의 가중치와 같아야 합니다. 이것이 되면 빠른 내적 어텐션을 그대로 빌려 쓸 수 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: gravity-exercise-gaussian -->
# ### Exercise 4. The Gaussian kernel as a dot product (★★★, 15 minutes)
#
# Given points (n, C), masses (n), $\gamma$ and $\beta$, return two matrices `query` and `key` such that `(query @ key.T).softmax(-1)` equals the weights of the Gaussian kernel. With that, any fast dot-product attention can be borrowed as it is.

# %% tags=["exercise"]
def my_vectors(z, mass, gamma, beta):
    ...

# %%
from lib.exercises.gravity import check_gaussian_as_dot

check_gaussian_as_dot(my_vectors)

# %% tags=["solution", "hide-cell"]
def vectors_solution(z, mass, gamma, beta):
    c = z.shape[-1]
    key_term = beta * mass.log() - gamma * z.square().sum(-1) / c
    query = torch.cat([2 * gamma / c * z, torch.ones_like(z[:, :1])], -1)
    key = torch.cat([z, key_term[:, None]], -1)
    return query, key


check_gaussian_as_dot(vectors_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: gravity-failures -->
# ## 잘되지 않은 것
#
# - **밀어내는 부호.** 당기는 쪽과의 손실 차이는 ⟨sign_gap⟩내트였습니다. 부호만 바로잡으면 될 일이 아니었습니다. 판정은 [조건을 탑니다](#gravity-start).
# - **토큰을 아는 좌표.** 이 크기와 이 스텝 수에서는 위치만 아는 좌표와의 차이가 ⟨know_gap⟩내트였습니다. 음수이면 위치만 아는 쪽이 나았다는 뜻입니다.
# - **아주 작은 $\varepsilon$만으로 막은 퍼텐셜.** 겹친 토큰 하나의 가중치가 ⟨attract_self⟩입니다.
# - **점수에 곱하는 컷오프.** 끊으려던 토큰의 몫이 0이 되지 않았습니다. 끊기 전에 ⟨beyond_none⟩, 끊은 뒤에 ⟨beyond_soft⟩입니다.
# - **반발.** 없을 때와 있을 때 가장 가까운 이웃까지 거리의 중앙값은 ⟨near_without⟩, ⟨near_with⟩이고 손실은 ⟨loss_without⟩, ⟨loss_with_repulsion⟩입니다. 점들이 벌어진 만큼 손실이 나아졌는지 견주어 보십시오.
# - **질량과 빈도.** 횟수와의 순위 상관은 ⟨mass_rank⟩입니다. 0보다 뚜렷이 크지 않다면, 잦은 글자가 곧 무거운 글자라는 기대는 맞지 않은 것입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: gravity-failures -->
# ## What did not work
#
# - **The repelling sign.** Its loss minus that of attraction was ⟨sign_gap⟩ nats. Putting the sign right is not all there is to it: the verdict [depends on the conditions](#gravity-start).
# - **Coordinates that know the token.** At this size and after this many steps, coordinates of position only differ by ⟨know_gap⟩ nats; negative means that position alone did better.
# - **A potential bounded by nothing but a tiny $\varepsilon$.** One coinciding token took ⟨attract_self⟩ of the weight.
# - **A cutoff that multiplies scores.** The share of the tokens it meant to cut did not go to 0; it went from ⟨beyond_none⟩ to ⟨beyond_soft⟩.
# - **Repulsion.** Without it and with it, the median distance to the nearest neighbour is ⟨near_without⟩ and ⟨near_with⟩, the loss ⟨loss_without⟩ and ⟨loss_with_repulsion⟩. Compare how far the points moved apart with how far the loss fell.
# - **Mass and frequency.** The rank correlation with the counts is ⟨mass_rank⟩. Unless that is clearly above 0, the expectation that frequent characters are heavy ones was wrong.

# %% [markdown] tags=["lang-ko"]
# <!-- label: gravity-measured -->
# ## 무엇을 무엇으로 쟀는가
#
# 데이터는 아래 표에 적힌 글의 글자 ⟨n_chars⟩개(종류는 ⟨vocab⟩가지)이며, 뒤쪽 10%에 해당하는 ⟨n_valid⟩글자를 검증에 썼습니다. 모델은 층 ⟨n_layers⟩개, 폭 ⟨d_model⟩, 문맥 ⟨n_context⟩글자이고, 모델마다 ⟨n_steps⟩스텝을 시드 ⟨n_seeds⟩개로 학습했습니다. 마지막 손실은 검증 창 ⟨n_windows⟩개의 평균 교차 엔트로피(cross-entropy)입니다. 이 값들은 모두 이번 실행에서 나온 것이고, 어디에서 돌렸는지는 표에 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: gravity-measured -->
# ## What was measured, and on what
#
# The data are ⟨n_chars⟩ characters (⟨vocab⟩ kinds) of the text that the table names; the last 10% of them, ⟨n_valid⟩ characters, served as validation data. The models have ⟨n_layers⟩ layers, width ⟨d_model⟩ and a context of ⟨n_context⟩ characters; each trained for ⟨n_steps⟩ steps (seeds: ⟨n_seeds⟩). Final losses are the mean cross-entropy over ⟨n_windows⟩ validation windows. All of it comes from this run; the table says where it ran.

# %% tags=["hide-input"]
record(d_model=cfg.d_model, n_windows=min(
    cfg.windows, (len(valid_ids) - 1) // cfg.context))
names = [data.describe(dataset, side) for side in ("ko", "en")]
pd.DataFrame([
    ("데이터 | data", " | ".join(dict.fromkeys(names))),
    ("장치 | device", str(cfg.device)),
    ("프로필 | profile", cfg.profile),
    ("PyTorch", torch.__version__),
], columns=["", "이번 실행 | this run"]).style.hide(axis="index")
