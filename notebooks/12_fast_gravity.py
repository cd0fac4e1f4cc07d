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
# <!-- label: fast-gravity -->
# # 빠른 중력: 표를 통째로 만들지 않고
#
# 토큰(token) 사이의 거리를 모두 적은 표는 글이 길어질수록 제곱으로 커집니다. 공개된 원본은 쌍마다 좌표(coordinates)의 차이를 통째로 적어서 그보다도 큰 것을 만들고, 그래서 느립니다. 이 장에서는 똑같은 중력 어텐션(gravity attention)을 표 없이 계산합니다. 가우스 커널(Gaussian kernel)은 보통의 내적(dot product) 어텐션(attention)이 되고, 뉴턴 커널(Newton kernel)은 내적의 거듭제곱이 됩니다. 메모리와 시간과 반올림 오차를 모두 재면서 갑니다.
#
# | | |
# |---|---|
# | **할 수 있게 되는 것** | 거리를 내적으로 바꾸는 벡터를 직접 만들고, 16비트에서 무엇이 어긋나는지 찾아 고치고, 표를 블록씩 훑는 계산과 그 미분을 쓰고, 컷오프(cutoff)가 언제 시간을 벌어 주는지 판단할 수 있습니다 |
# | **걸리는 시간** | 읽기 40분, 연습 문제 45분 |
# | **필요한 것** | [중력 좌표](09_gravity_coordinates.ipynb)의 커널(kernel), 소프트맥스(softmax), 미분 조금 |
# %% [markdown] tags=["lang-en"]
# <!-- label: fast-gravity -->
# # Fast gravity: without ever making the table
#
# A table of all distances between tokens grows with the square of the text. The published original writes down the difference of coordinates for each pair, which is larger still, and is slow. This chapter computes the same gravity attention without the table: the Gaussian kernel becomes ordinary dot-product attention, the Newton kernel a power of a dot product. Memory, time and rounding errors are measured along the way.
#
# | | |
# |---|---|
# | **You will be able to** | build the vectors that turn distances into dot products, find and repair what goes wrong in 16 bits, write the walk over the table block by block and its derivative, and judge when a cutoff saves time |
# | **Time** | 40 minutes to read, 45 for the exercises |
# | **You need** | the kernels of [gravity coordinates](09_gravity_coordinates.ipynb), the softmax, a little calculus |

# %% tags=["parameters"]
profile: str = None  # smoke, book or gpu; None follows BOOK_PROFILE, else book
seed = 0  # of all points, masses and values
n_heads = 4  # heads of the timed attention
axes = 30  # C, coordinates of each head; 64-wide heads have 30 in this book
d_value = 64  # width of a head's value
lengths: list[int] = None  # numbers of tokens; None: the profile
tables_up_to: int = None  # tokens of the longest (n, n) tables
original_up_to: int = None  # and of the difference tensor
pairs: int = None  # timings of each form beside SDPA; None: the profile
blocks_of: int = None  # tokens where a radius is tried; None: the profile
steps: int = None  # training steps of the two small models; None: the profile

# %% tags=["hide-input"]
import json
import math
import os
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # a quiet profiler
import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt

from lib.page.figures import COLOURS, show, use_style
from lib.page.profile import expect, settings
from lib.page.record import record, used

use_style()

# %% tags=["hide-input"]
sizes = ("lengths", "tables_up_to", "original_up_to", "pairs",
         "blocks_of", "steps")
smoke, book, gpu = (dict(zip(sizes, row, strict=True)) for row in (
    ([64, 128, 256], 256, 128, 1, 256, 6),
    ([128, 256, 512, 1024, 2048], 2048, 512, 7, 1024, 120),
    ([256, 512, 1024, 2048, 4096, 8192], 4096, 1024, 9, 2048, 1000)))
given = {name: globals()[name] for name in sizes}
expect(int, seed=seed, n_heads=n_heads, axes=axes, d_value=d_value)
cfg = settings(profile, smoke=smoke, book=book, gpu=gpu, given=given,
               device="cpu", seed=seed)

# %% tags=["hide-input"]
cfg.lengths = sorted(set(cfg.lengths))
for name in ("tables_up_to", "original_up_to"):
    if getattr(cfg, name) not in cfg.lengths[1:]:
        raise ValueError(
            f"{name} is {getattr(cfg, name)} and lengths are {cfg.lengths}; "
            "use one of the lengths, not the shortest.")
record(heads=n_heads, axes=axes, d_value=d_value, n_pairs=cfg.pairs,
       longest=max(cfg.lengths), original_n=cfg.original_up_to,
       tables_n=cfg.tables_up_to)

# %% [markdown] tags=["lang-ko"]
# <!-- label: fast-cost -->
# ## 같은 답, 다른 크기
#
# 토큰 $n$개, 헤드(head) $H$개, 헤드마다 좌표축 $C$개일 때 거리를 구하는 길은 셋입니다.
#
# | 길 | 만드는 것 | 수의 개수 |
# |---|---|---|
# | 차이 | 쌍마다 $z_i-z_j$ | $H\,n^2\,C$ |
# | 표 | 쌍마다 $r_{ij}^2$ 하나, 내적으로 | $H\,n^2$, 몇 장 |
# | 블록 | 표를 한 조각씩 만들고 버림 | $H\,n\,C$와 조각 하나 |
#
# 첫째가 공개된 원본의 처음 꼴입니다. 원본의 커널은 이 책의 `newton`과 다르지만 만드는 텐서는 같으므로, 여기서는 세 길이 모두 `newton`을 계산하게 하여 답까지 견줍니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: fast-cost -->
# ## One answer, different sizes
#
# With $n$ tokens, $H$ heads and $C$ coordinate axes a head, there are three ways to the distances.
#
# | way | what it makes | numbers |
# |---|---|---|
# | differences | $z_i-z_j$ for each pair | $H\,n^2\,C$ |
# | tables | one $r_{ij}^2$ a pair, by a dot product | $H\,n^2$, several times |
# | blocks | one part of the table at a time, then dropped | $H\,n\,C$ and one part |
#
# The first is what the published original did at first. Its kernel is not this book's `newton`, but the tensor is the same; here all three compute `newton`, so that their answers can be compared too.

# %%
import torch.nn.functional as F

from lib.gravity.attention import Pull, attend, causal, newton
from lib.gravity.fast import fast_attend


# %%
def by_differences(z, mass, value, pull):
    apart = z[..., :, None, :] - z[..., None, :, :]  # b, h, n, n, C
    r2 = apart.square().mean(-1)
    logits = newton(r2, mass[:, None], pull.strength, pull.beta, pull.eps)
    later = ~causal(z.shape[-2])
    return logits.masked_fill(later, -math.inf).softmax(-1) @ value


def scene(n, coord=axes, heads=n_heads, kind=torch.float32):
    draw = torch.Generator().manual_seed(seed)
    some = {"generator": draw, "dtype": torch.float64}
    z = torch.randn(1, heads, n, coord, **some)
    value = torch.randn(1, heads, n, d_value, **some)
    mass = torch.rand(1, n, **some) * 2 + 0.2
    return [x.to(kind).requires_grad_() for x in (z, mass, value)]

# %%
def pull_of(kernel, heads=n_heads, kind=torch.float32, **more):
    p = torch.linspace(0.5, 1.5, heads, dtype=kind)[:, None, None]
    return Pull(kernel, p, torch.ones_like(p), **more)


def gap(found, wanted):
    """Relative distance of two outputs, as vectors."""
    off = (found.double() - wanted.double()).norm()
    return (off / wanted.double().norm()).item()


points = scene(100, kind=torch.float64)
pull = pull_of("newton", kind=torch.float64)
wanted = attend(*points, pull)[0]

# %% tags=["remove-cell"]
record(same_differences=gap(by_differences(*points, pull), wanted),
       same_blocks=gap(fast_attend(*points, pull, "fused"), wanted))

# %% [markdown] tags=["lang-ko"]
# float64에서 표로 구한 답과 견주면 차이로 구한 답은 상대 거리로 ⟨same_differences⟩, 블록으로 구한 답은 ⟨same_blocks⟩만큼 떨어져 있습니다. 반올림뿐입니다. 셋은 같은 계산입니다.
#
# <!-- label: fast-memory -->
# ### 메모리를 재는 법
#
# 순전파와 역전파를 한 번 도는 동안 `torch.profiler`가 PyTorch의 CPU 할당을 하나하나 적습니다. 잡은 바이트를 더하고 놓은 바이트를 빼며 따라가다가 가장 높았던 값을 읽습니다. 입력은 재기 전에 있었으므로 들어가지 않습니다. 시계와 달리 옆에서 무엇이 돌든 거의 같은 값이 나옵니다. 수학 라이브러리가 PyTorch를 거치지 않고 잡는 메모리는 보이지 않습니다.
#
# 아래 그림의 SDPA는 PyTorch에 들어 있는 내적 어텐션 `scaled_dot_product_attention`이고, 이 장에서 견줄 잣대입니다. `gaussian`과 `newton, blocks`는 이 장에서 만들어 갈 빠른 꼴입니다.
# %% [markdown] tags=["lang-en"]
# Against the answer of the tables, in float64, differences lie ⟨same_differences⟩ away (relative distance) and blocks ⟨same_blocks⟩: rounding. The three are one computation.
#
# <!-- label: fast-memory -->
# ### How memory is measured
#
# During one forward and backward pass `torch.profiler` writes down every allocation that PyTorch makes on the CPU. We add the bytes taken, subtract the bytes given back, and read the highest point. Inputs were there before and do not count. Unlike a clock, this gives nearly the same number whatever else the computer does. Memory that a maths library takes without asking PyTorch stays unseen.
#
# SDPA in the figure below is PyTorch's own dot-product attention, `scaled_dot_product_attention`, which all else in this chapter is measured against. `gaussian` and `newton, blocks` are the fast forms that this chapter builds.

# %%
from torch.profiler import ProfilerActivity
from torch.profiler import profile as watch


def peak_mb(work):
    """Most memory held at once during `work()`, in MiB."""
    work()
    with watch(activities=[ProfilerActivity.CPU],
               profile_memory=True) as seen:
        work()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        seen.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    taken = [e for e in events if e["name"] == "[memory]"]
    taken = sorted(taken, key=lambda e: e["ts"])
    held = np.cumsum([e["args"]["Bytes"] for e in taken])
    return held.max() / 2**20

# %%
def forms(n):
    z, mass, value = scene(n)
    query, _, key = scene(n, d_value)
    ask = torch.ones_like(value)
    newton_, gauss = pull_of("newton"), pull_of("gaussian")

    def both(form, *learned):
        return lambda: torch.autograd.grad(form(), learned, ask)

    own = z, mass, value
    return {
        "SDPA": both(lambda: F.scaled_dot_product_attention(
            query, key, value, is_causal=True), query, key, value),
        "gaussian": both(lambda: fast_attend(*own, gauss), *own),
        "newton, blocks": both(lambda: fast_attend(*own, newton_), *own),
        "newton, tables": both(lambda: attend(*own, newton_)[0], *own),
        "newton, differences": both(
            lambda: by_differences(*own, newton_), *own),
    }

# %% tags=["hide-input"]
LOOK = {"SDPA": ("attention", "o"), "gaussian": ("tokens", "s"),
        "newton, blocks": ("gravity", "^"), "newton, tables": ("grey", "v"),
        "newton, differences": ("plum", "D")}
LIMIT = {"newton, tables": cfg.tables_up_to,
         "newton, differences": cfg.original_up_to}


def fits(name, n):
    return n <= LIMIT.get(name, max(cfg.lengths))

# %% tags=["hide-input"]
def told(table):
    return table.astype(object).where(table.notna(), "–")


def draw_lines(table, ylabel):
    fig, ax = plt.subplots(figsize=(7.2, 4.2))
    for name, (colour, marker) in LOOK.items():
        line = table[name].dropna()
        ax.loglog(line.index, line, marker=marker, label=name,
                  color=COLOURS[colour])
    ax.set(xlabel="tokens n", ylabel=ylabel)
    ax.set_xticks(table.index, [str(n) for n in table.index], minor=False)
    ax.minorticks_off()
    ax.legend()
    return fig

# %% tags=["hide-input"]
memory = pd.DataFrame({
    n: {name: peak_mb(work) for name, work in forms(n).items()
        if fits(name, n)}
    for n in cfg.lengths}).T[list(LOOK)]
memory.index.name = "n"
show(draw_lines(memory, "extra memory (MiB)"), table=told(memory))

# %% [markdown] tags=["lang-ko", "caption"]
# 순전파와 역전파에 입력 말고 더 드는 메모리(배치 1, 헤드 ⟨heads⟩개, 축 ⟨axes⟩개, 값의 폭 ⟨d_value⟩, float32). 두 축 모두 로그입니다. 가로로 한 칸 갈 때 세로로 한 칸 오르는 선은 글의 길이에 비례하고, 두 칸 오르는 선은 제곱에 비례합니다.
#
# <!-- alt: 토큰 수에 따른 추가 메모리의 로그-로그 그래프. 차이 텐서가 가장 위에서 가파르게, 표가 그 아래에서 나란히 가파르게 오르고, 블록과 가우스와 SDPA는 훨씬 아래에서 완만하게 오른다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Memory beyond the inputs, forward and backward (batch 1, ⟨heads⟩ heads, ⟨axes⟩ axes, values ⟨d_value⟩ wide, float32). Both axes are logarithmic: a line that climbs one decade for each decade follows the length of the text, one that climbs two follows its square.
#
# <!-- alt: Extra memory against the number of tokens, both axes logarithmic. The difference tensor lies highest and climbs steeply, the tables climb just as steeply below it, and blocks, Gaussian and SDPA climb gently far beneath. -->

# %% tags=["hide-input"]
def slope(name):
    line = memory[name].dropna()
    return math.log2(line.iloc[-1] / line.iloc[-2])


n_5 = cfg.original_up_to
record(slope_blocks=slope("newton, blocks"), slope_sdpa=slope("SDPA"),
       slope_gauss=slope("gaussian"), slope_tables=slope("newton, tables"),
       slope_differences=slope("newton, differences"))
record(mb_differences=memory["newton, differences"][n_5],
       mb_one=4 * n_heads * n_5**2 * axes / 2**20,
       mb_tables=memory["newton, tables"][n_5],
       mb_blocks=memory["newton, blocks"][n_5], mb_sdpa=memory["SDPA"][n_5])
last = memory.loc[max(cfg.lengths)]
record(blocks_to_sdpa=last["newton, blocks"] / last["SDPA"],
       gauss_to_sdpa=last["gaussian"] / last["SDPA"])

# %% [markdown] tags=["lang-ko"]
# $n=$ ⟨original_n⟩에서 차이 텐서 하나가 ⟨mb_one⟩ MiB이고, 역전파까지 하는 데 ⟨mb_differences⟩ MiB가 듭니다. 표는 ⟨mb_tables⟩ MiB, 블록은 ⟨mb_blocks⟩ MiB, SDPA는 ⟨mb_sdpa⟩ MiB입니다. 마지막으로 길이를 두 배로 늘렸을 때 메모리가 길이의 몇 제곱으로 늘었는지 보면, 차이 ⟨slope_differences⟩, 표 ⟨slope_tables⟩, 블록 ⟨slope_blocks⟩, 가우스 ⟨slope_gauss⟩, SDPA ⟨slope_sdpa⟩입니다. 앞의 둘은 제곱을 따라가고 뒤의 셋은 길이를 따라갑니다. 가장 긴 글($n=$ ⟨longest⟩)에서 SDPA의 몇 배인지 보면 블록이 ⟨blocks_to_sdpa⟩, 가우스가 ⟨gauss_to_sdpa⟩입니다.
# %% [markdown] tags=["lang-en"]
# At $n=$ ⟨original_n⟩ one difference tensor is ⟨mb_one⟩ MiB, and the pass with its gradients takes ⟨mb_differences⟩ MiB. Tables take ⟨mb_tables⟩ MiB, blocks ⟨mb_blocks⟩ MiB, SDPA ⟨mb_sdpa⟩ MiB. Over the last doubling of the text memory grew with its power ⟨slope_differences⟩ for differences, ⟨slope_tables⟩ for tables, ⟨slope_blocks⟩ for blocks, ⟨slope_gauss⟩ for the Gaussian and ⟨slope_sdpa⟩ for SDPA: the first two follow the square of the length, the last three the length. At the longest text ($n=$ ⟨longest⟩) blocks take ⟨blocks_to_sdpa⟩ times the memory of SDPA, the Gaussian ⟨gauss_to_sdpa⟩ times.

# %% [markdown] tags=["lang-ko"]
# <!-- label: fast-exercise-bytes -->
# ### 연습 1. 차이 텐서의 크기 (★, 5분)
#
# 배치, 헤드의 수, 토큰의 수 `n`, 축의 수를 받아 모든 쌍의 $z_i-z_j$를 float32로 담을 때의 바이트 수를 돌려주십시오.
# %% [markdown] tags=["lang-en"]
# <!-- label: fast-exercise-bytes -->
# ### Exercise 1. How large is the difference tensor? (★, 5 minutes)
#
# Given the batch, the number of heads, the number of tokens `n` and of axes, return the bytes that $z_i-z_j$ of all pairs takes in float32.

# %% tags=["exercise"]
def my_bytes(batch, heads, n, axes):
    ...

# %%
from lib.exercises.fast import check_table_bytes

check_table_bytes(my_bytes)

# %% tags=["solution", "hide-cell"]
def bytes_solution(batch, heads, n, axes):
    return batch * heads * n * n * axes * 4  # a float32 is 4 bytes


check_table_bytes(bytes_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: fast-augmented -->
# ## 가우스 커널은 내적이다
#
# 가우스 커널의 로짓(logit)을 펼칩니다. $b_j=\beta\log m_j$입니다.
#
# $$b_j-\frac{\gamma}{C}\|z_i-z_j\|^2=\underbrace{\frac{2\gamma}{C}\,z_i\cdot z_j}_{\text{내적}}+\underbrace{b_j-\frac{\gamma}{C}\|z_j\|^2}_{\text{키의 것}}-\underbrace{\frac{\gamma}{C}\|z_i\|^2}_{\text{쿼리의 것}}$$
#
# 마지막 항은 한 행에서 모두 같으므로 소프트맥스가 보지 못합니다. 버립니다. 남은 둘은 성분 하나를 덧붙인 증강 벡터(augmented vector)의 내적 하나입니다.
#
# $$q_i=\Big[\tfrac{2\gamma}{C}z_i,\;1\Big],\qquad k_j=\Big[z_j,\;b_j-\tfrac{\gamma}{C}\|z_j\|^2\Big]$$
#
# 여기서 $q_i$가 쿼리(query), $k_j$가 키(key)입니다. 이제 여러 사람이 오래 다듬어 온 어텐션 코드를 그대로 빌려 쓸 수 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: fast-augmented -->
# ## The Gaussian kernel is a dot product
#
# Expand the logit of the Gaussian kernel, with $b_j=\beta\log m_j$:
#
# $$b_j-\frac{\gamma}{C}\|z_i-z_j\|^2=\underbrace{\frac{2\gamma}{C}\,z_i\cdot z_j}_{\text{dot product}}+\underbrace{b_j-\frac{\gamma}{C}\|z_j\|^2}_{\text{the key's own}}-\underbrace{\frac{\gamma}{C}\|z_i\|^2}_{\text{the query's own}}$$
#
# The last term is the same all along a row, and a softmax does not see it. Drop it. The other two are one dot product of augmented vectors, with one more entry each:
#
# $$q_i=\Big[\tfrac{2\gamma}{C}z_i,\;1\Big],\qquad k_j=\Big[z_j,\;b_j-\tfrac{\gamma}{C}\|z_j\|^2\Big]$$
#
# with $q_i$ as the query and $k_j$ as the key. From here on, attention code that many people have polished for years can be borrowed as it is.

# %%
def gaussian_vectors(z, bias, gamma):
    coord = z.shape[-1]
    own = bias - gamma[..., 0] / coord * z.square().sum(-1)
    one = torch.ones_like(own[..., None])
    query = torch.cat((2 * gamma / coord * z, one), -1)
    return query, torch.cat((z, own[..., None]), -1)

# %%
z, mass, value = scene(100, kind=torch.float64)
pull = pull_of("gaussian", kind=torch.float64)
wanted, seen = attend(z, mass, value, pull)
query, key = gaussian_vectors(z, pull.bias(mass[:, None]), pull.strength)

logits = (query @ key.mT).masked_fill(~causal(100), -math.inf)
off_weights = (logits.softmax(-1) - seen["weights"]).abs().max()
mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True,
                                       scale=1.0)

# %% tags=["remove-cell"]
record(off_weights=off_weights, off_mixed=gap(mixed, wanted))

# %% [markdown] tags=["lang-ko"]
# 거리를 재어 구한 가중치와 내적으로 구한 가중치는 float64에서 가장 크게 벌어진 곳도 ⟨off_weights⟩입니다. SDPA에 넣어 얻은 출력의 상대 거리는 ⟨off_mixed⟩입니다. 어림이 아니라 같은 함수입니다.
# %% [markdown] tags=["lang-en"]
# The weights from distances and the weights from dot products differ by at most ⟨off_weights⟩ in float64. The output of SDPA lies ⟨off_mixed⟩ away, relatively. This is no approximation; it is the same function.

# %% [markdown] tags=["lang-ko"]
# <!-- label: fast-bits -->
# ## 16비트의 대가: 높은 자리와 낮은 자리
#
# bf16은 유효 숫자가 8비트, 십진법으로 두세 자리뿐입니다. 키에 덧붙인 성분 $b_j-\gamma\|z_j\|^2/C$는 좌표의 제곱이라 크고, 큰 수일수록 반올림 오차도 큽니다. 그 오차는 로짓에 그대로 더해집니다. 고치는 방법은 수 하나를 둘로 나누는 것입니다. 반올림한 값을 먼저 적고, 남은 것을 다시 반올림하여 옆에 적습니다. 내적이 둘을 다시 더해 줍니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: fast-bits -->
# ## What 16 bits cost: high part and low part
#
# A bf16 number has 8 significant bits, two to three decimal digits. The entry added to the key, $b_j-\gamma\|z_j\|^2/C$, is made of squares and large, and the larger a number the larger its rounding error, which goes straight into the logit. The repair is to write one number as two: first the rounded value, then, beside it, what the rounding left, rounded again. The dot product adds the two together.

# %%
from lib.gravity.fast import split

x = torch.tensor([1.2345, -37.77, 1000 / 3], dtype=torch.float64)
high, low = split(x, torch.bfloat16, 2)
both = high.double() + low.double()
pd.DataFrame({
    "number": x, "high part": high.double(), "low part": low.double(),
    "error of the sum": both - x,
}).style.hide(axis="index").format("{:.6g}")

# %% tags=["remove-cell"]
record(lost_high=((high.double() - x) / x).abs().max(),
       lost_both=((both - x) / x).abs().max())

# %% [markdown] tags=["lang-ko"]
# 하나로 적으면 상대 오차가 ⟨lost_high⟩까지 가고, 둘로 적으면 ⟨lost_both⟩까지입니다. `lib.gravity.fast.gaussian_sdpa`는 쿼리를 둘로, 키의 덧붙인 성분을 셋으로 나눕니다. 축이 $C$개면 폭이 $2C+3$이 됩니다. 이 책의 헤드가 폭의 절반에서 둘을 뺀 축을 쓰는 까닭입니다. 폭 64인 헤드라면 $C=30$이고 $2C+3=63$이어서 꼭 들어갑니다.
#
# 원점도 문제입니다. 모든 점이 원점에서 멀면 $\|z_j\|^2$이 크고, 서로 가까운 두 점의 거리는 큰 수 둘의 작은 차이가 됩니다. 그래서 첫 토큰을 원점으로 삼아 좌표를 다시 잽니다. 그림에서는 점 전체를 원점에서 조금씩 밀어내며 네 가지 방법의 출력 오차를 봅니다. 점은 처음부터 bf16 수이고 벡터만 bf16으로 반올림하며, 곱셈과 소프트맥스는 float64로 하여 벡터의 반올림만 남깁니다.
# %% [markdown] tags=["lang-en"]
# Written as one the relative error reaches ⟨lost_high⟩, written as two ⟨lost_both⟩. `lib.gravity.fast.gaussian_sdpa` splits the query in two and the added entry of the key in three, so that $C$ axes make a width of $2C+3$. This is why the heads of this book have two axes fewer than half their width: at width 64, $C=30$ and $2C+3=63$, which just fits.
#
# The origin matters too. If all points lie far from it, $\|z_j\|^2$ is large and the distance of two near points is a small difference of large numbers. So points are measured from the first token. In the figure the whole cloud is pushed away from the origin, little by little; watch the output error of four ways. The points are bf16 numbers to begin with, only the vectors are rounded to bf16, and products and softmax are in float64, so that nothing but the rounding of the vectors is left.

# %%
def rounded_vectors(z, bias, gamma, kind, from_first, parts):
    """Gaussian vectors, each number rounded to `kind` (in parts or not)."""
    if from_first:
        z = (z - z[..., :1, :]).to(kind).double()
    coord = z.shape[-1]
    own = bias[..., None] - gamma / coord * z.square().sum(-1, True)
    queries = split(2 * gamma / coord * z, kind, parts[0])
    keys = [z.to(kind)] * parts[0] + split(own, kind, parts[1])
    queries += [torch.ones_like(keys[-1])] * parts[1]
    return torch.cat(queries, -1).double(), torch.cat(keys, -1).double()


def cloud_error(offset, from_first, parts, kind=torch.bfloat16):
    z, mass, value = scene(128, kind=torch.float64)
    z = (z.detach() + offset).to(kind).double()
    pull = pull_of("gaussian", kind=torch.float64)
    q, k = rounded_vectors(z, pull.bias(mass[:, None]), pull.strength,
                           kind, from_first, parts)
    hidden = (q @ k.mT).masked_fill(~causal(128), -math.inf)
    return gap(hidden.softmax(-1) @ value, attend(z, mass, value, pull)[0])

# %% tags=["hide-input"]
ways = {"one number, as it lies": (False, (1, 1), "grey", "v", "--"),
        "one number, from the first token": (True, (1, 1), "plum", "D", "--"),
        "split, as it lies": (False, (2, 3), "tokens", "s", "-"),
        "split, from the first token": (True, (2, 3), "gravity", "^", "-")}
offsets = [0, 1, 2, 4, 8, 16, 64, 256]
bits = pd.DataFrame({
    name: [cloud_error(x, first, parts) for x in offsets]
    for name, (first, parts, *_) in ways.items()}, index=offsets)
bits.index.name = "offset"
fig, ax = plt.subplots(figsize=(7.2, 4.2))
for name, (_, _, colour, marker, line) in ways.items():
    ax.semilogy(range(len(offsets)), bits[name], line, marker=marker,
                color=COLOURS[colour], label=name)
ax.set_xticks(range(len(offsets)), [f"{x:g}" for x in offsets])
ax.set(xlabel="distance of the cloud from the origin, along every axis",
       ylabel="relative error of the output")
ax.legend()
show(fig, table=bits)

# %% [markdown] tags=["lang-ko", "caption"]
# bf16으로 반올림한 증강 벡터가 만드는 출력 오차. 수 하나로 적은 것과 나누어 적은 것, 점을 놓인 그대로 둔 것과 첫 토큰을 원점으로 삼은 것. 오차의 축은 로그입니다.
#
# <!-- alt: 점 구름이 원점에서 멀어질 때 출력 오차의 곡선 넷. 하나로 적고 그대로 둔 곡선이 가장 높이 오르고, 나누어 적고 그대로 둔 곡선은 낮은 데서 천천히 오르며, 나누어 적고 첫 토큰을 원점으로 삼은 곡선은 멀어지면 낮아진다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Output error that augmented vectors rounded to bf16 cause: written as one number or split, with points as they lie or measured from the first token. The error axis is logarithmic.
#
# <!-- alt: Four curves of the output error as the cloud of points moves away from the origin. One number as it lies climbs highest; split as it lies climbs slowly from low down; split and measured from the first token falls as the cloud moves away. -->

# %% tags=["hide-input"]
record(one_here=bits.iloc[0, 0], one_first=bits.iloc[0, 1],
       split_here=bits.iloc[0, 2], split_first=bits.iloc[0, 3],
       one_far=bits.iloc[-1, 0], one_first_far=bits.iloc[-1, 1],
       split_far=bits.iloc[-1, 2], split_first_far=bits.iloc[-1, 3],
       far=offsets[-1])

# %% [markdown] tags=["lang-ko"]
# | 방법 | 원점에서 | ⟨far⟩만큼 밀었을 때 |
# |---|---|---|
# | 하나로, 놓인 그대로 | ⟨one_here⟩ | ⟨one_far⟩ |
# | 하나로, 첫 토큰을 원점으로 | ⟨one_first⟩ | ⟨one_first_far⟩ |
# | 나누어, 놓인 그대로 | ⟨split_here⟩ | ⟨split_far⟩ |
# | 나누어, 첫 토큰을 원점으로 | ⟨split_first⟩ | ⟨split_first_far⟩ |
#
# 나누어 적기만 해도 원점 가까이에서는 오차가 거의 사라지고, 멀어질수록 천천히 늘어납니다. 첫 토큰을 원점으로 삼는 데에는 대가가 따릅니다. 빼고 나서 좌표를 다시 bf16으로 반올림하므로, 구름이 원점에 있으면 오히려 손해입니다. 멀리서는 거꾸로입니다. 먼 점들은 이미 성긴 눈금 위에 있어서 차이가 반올림 없이 적힙니다. `gaussian_sdpa`는 GPU에서 16비트로 계산할 때 나누어 적고 점은 놓인 그대로 둡니다. CPU에서는 32비트로 바꾸어 계산하므로 나눌 것이 없고, 첫 토큰을 원점으로 삼습니다.
# %% [markdown] tags=["lang-en"]
# | way | at the origin | pushed by ⟨far⟩ |
# |---|---|---|
# | one number, as it lies | ⟨one_here⟩ | ⟨one_far⟩ |
# | one number, from the first token | ⟨one_first⟩ | ⟨one_first_far⟩ |
# | split, as it lies | ⟨split_here⟩ | ⟨split_far⟩ |
# | split, from the first token | ⟨split_first⟩ | ⟨split_first_far⟩ |
#
# Splitting alone all but removes the error near the origin, and lets it grow slowly further away. Measuring from the first token has a price: what is left after the subtraction is rounded to bf16 again, a loss where the cloud lies at the origin anyway. Far away it is the other way round, since distant points already sit on a coarse grid, and their differences need no rounding. Computing in 16 bits on a GPU, `gaussian_sdpa` splits and leaves the points as they lie. On a CPU it computes in 32 bits, where there is nothing to split, and points are measured from the first token.

# %% [markdown] tags=["lang-ko"]
# <!-- label: fast-origin -->
# ## 왜 평균이 아니라 첫 토큰인가
#
# 중심을 잡는다고 하면 평균을 빼는 것이 먼저 떠오릅니다. 그런데 글 전체의 평균에는 아직 나오지 않은 토큰이 들어 있습니다. 거리는 점을 다 같이 옮겨도 변하지 않으니 수학적으로는 아무 일도 없습니다. 그러나 반올림은 옮긴 자리를 봅니다. 인과성(causality)은 믿지 말고 검사합시다. 마지막 토큰의 좌표만 바꾸고, 그보다 앞의 출력이 얼마나 변하는지 봅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: fast-origin -->
# ## Why the first token and not the mean
#
# To centre points, one would subtract their mean. But the mean of a whole text contains tokens that have not come yet. Distances do not change when all points move together, so in mathematics nothing happens; rounding, however, sees where the points went. Do not trust causality, test it: change the coordinates of the last token only, and look how far the outputs before it move.

# %%
def moved_past(centre, kind):
    """Largest change of earlier outputs when the last point moves."""
    z, mass, value = (x.detach() for x in scene(64, kind=kind))
    exact = torch.promote_types(kind, torch.float32)
    pull = pull_of("gaussian", kind=exact)
    later = z.clone()
    later[..., -1, :] += 5
    out = [fast_attend(centre(x), mass, value, pull) for x in (z, later)]
    return (out[1] - out[0])[..., :-1, :].abs().max().item()

# %%
centres = {"mean": lambda z: z - z.mean(-2, keepdim=True),
           "first token": lambda z: z - z[..., :1, :]}
kinds = (torch.bfloat16, torch.float16, torch.float32, torch.float64)
leak = pd.DataFrame({
    name: [moved_past(centre, kind) for kind in kinds]
    for name, centre in centres.items()},
    index=[str(kind).removeprefix("torch.") for kind in kinds])
leak.style.format("{:.1e}")

# %% tags=["remove-cell"]
record(leak_bf16=leak.iloc[0, 0], leak_f64=leak.iloc[3, 0],
       leak_first=leak.iloc[:, 1].max())

# %% [markdown] tags=["lang-ko"]
# 평균을 빼면 bf16에서 과거의 출력이 ⟨leak_bf16⟩까지 움직입니다. float64에서는 ⟨leak_f64⟩입니다. 첫 토큰을 빼면 어느 정밀도에서나 ⟨leak_first⟩입니다. 첫 토큰은 누구에게나 과거이기 때문입니다. 새어 나온 것은 반올림만큼이어서 답을 훔쳐볼 정도는 아닙니다. 그래도 같은 앞글에 다른 답을 내는 모델은 검사할 수가 없습니다. 글자를 하나씩 써 내려갈 때는 평균이 토큰마다 움직여서, 간직해 둔 키를 모두 다시 만들어야 합니다.
#
# <!-- label: fast-mass-ahead -->
# ### 단위도, 계산법도 과거에서만
#
# 질량(mass)에도 같은 함정이 있습니다. 넘침을 막으려고 글 전체에서 가장 무거운 질량으로 나누면, 수학적으로는 지워지는 그 수가 반올림에 남습니다. 그래서 뉴턴 커널의 블록 계산은 행마다 그때까지 나온 가장 무거운 질량을 단위로 삼습니다. 더 숨은 함정은 계산법을 고르는 일입니다. 수의 폭이 넓으면 느린 길로 간다는 규칙은 안전해 보이지만, 그 폭을 글 전체에서 재면 뒤의 토큰 하나가 앞의 토큰까지 다른 길로 보냅니다. 이 책의 코드도 한때 그랬습니다. 그래서 어려운 글로 검사합니다. $p$는 0.1이고, 글의 뒤쪽 절반은 순서를 섞어 백 배 멀리, 백 배 무겁게 합니다. 앞쪽 절반의 출력이 얼마나 변하는지 꼴마다 잽니다.
# %% [markdown] tags=["lang-en"]
# With the mean taken off, past outputs move by up to ⟨leak_bf16⟩ in bf16, and by ⟨leak_f64⟩ in float64. With the first token taken off it is ⟨leak_first⟩ in every precision: the first token is everybody's past. What leaks is no more than rounding, hardly enough to cheat with; yet a model that answers differently to the same beginning cannot be tested. And when a text is written token by token the mean moves each time, so that all stored keys would have to be made again.
#
# <!-- label: fast-mass-ahead -->
# ### The unit and the way of computing, too, come from the past
#
# Masses hold the same trap. Divide by the largest mass of the whole text, to keep numbers from overflowing, and what cancels in mathematics stays in the rounding. So the walk by blocks for the Newton kernel takes as the unit of each row the heaviest mass that has come so far. A trap that hides better is the choice of how to compute. A rule that takes a slower way where numbers spread too far looks safe; but if the spread is that of the whole text, one later token sends all the earlier ones another way. The code of this book once did that. So the test is a hard text: $p$ is 0.1, and the second half is put in another order, a hundred times as far away and a hundred times as heavy. How far do outputs of the first half move, form by form?

# %%
def moved_first_half(kernel, form, kind):
    z, mass, value = (x.detach() for x in scene(64, kind=kind))
    late = torch.arange(64) >= 32
    order = torch.cat((torch.arange(32), torch.arange(63, 31, -1)))
    other = [torch.where(late[:, None], 100 * x[..., order, :] + 30, x)
             for x in (z, value)]
    heavy = torch.where(late, 100 * mass[:, order], mass)
    pull = Pull(kernel, torch.full((n_heads, 1, 1), 0.1),
                torch.ones(n_heads, 1, 1))
    before = fast_attend(z, mass, value, pull, form)
    after = fast_attend(other[0], heavy, other[1], pull, form)
    return (after - before)[..., :32, :].abs().max().item()

# %%
every = {"newton": ("auto", "fused", "chunked", "reference"),
         "gaussian": ("auto", "sdpa", "chunked", "reference"),
         "potential": ("auto", "chunked", "reference")}
hard = pd.DataFrame({
    f"{kernel}, {form}": [moved_first_half(kernel, form, kind)
                          for kind in kinds]
    for kernel, those in every.items() for form in those},
    index=leak.index).T
hard.style.format("{:.1e}")

# %% tags=["remove-cell"]
record(leak_hard=hard.to_numpy().max(), n_hard=hard.size)

# %% [markdown] tags=["lang-ko"]
# 꼴과 정밀도의 조합 ⟨n_hard⟩가지에서 가장 크게 변한 값은 ⟨leak_hard⟩입니다. 0이 아니라면 어느 꼴이 앞을 내다본 것입니다.
# %% [markdown] tags=["lang-en"]
# Over ⟨n_hard⟩ combinations of form and precision the largest change is ⟨leak_hard⟩. Anything but 0 would mean that a form looks ahead.

# %% [markdown] tags=["lang-ko"]
# <!-- label: fast-exercise-ahead -->
# ### 연습 2. 미래를 보는 것 찾기 (★★, 10분)
#
# `form(z)`는 점 (n, C)를 받아 토큰마다 출력 하나, (n, C)를 돌려줍니다. 어떤 출력이 자기보다 뒤의 점에 따라 변하면 `True`를 돌려주는 함수를 쓰십시오. 검사에서는 미래를 보는 것과 보지 않는 것을 섞어 다섯 가지를 넣어 봅니다.
#
# :::{hint} 힌트
# :class: dropdown
#
# 점 하나를 바꾸고 그 앞의 출력을 `torch.equal`로 견줍니다. 끝의 점만 바꾸어서는 보지 못하는 것이 있습니다.
# :::
# %% [markdown] tags=["lang-en"]
# <!-- label: fast-exercise-ahead -->
# ### Exercise 2. Find the one that looks ahead (★★, 10 minutes)
#
# `form(z)` takes points (n, C) and returns one output a token, (n, C). Write a function that returns `True` when some output changes with a point after it. The check tries it on five forms, some of which look ahead.
#
# :::{hint} Hint
# :class: dropdown
#
# Change one point and compare the outputs before it with `torch.equal`. Changing the last point alone does not show everything.
# :::

# %% tags=["exercise"]
def my_detector(form, z):
    ...

# %%
from lib.exercises.fast import check_looks_ahead

check_looks_ahead(my_detector)

# %% tags=["solution", "hide-cell"]
def detector_solution(form, z):
    out = form(z)
    for i in range(1, len(z)):
        other = z.clone()
        other[i] += 3
        if not torch.equal(form(other)[:i], out[:i]):
            return True
    return False


check_looks_ahead(detector_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: fast-power -->
# ## 뉴턴 커널은 내적의 거듭제곱이다
#
# `newton`의 가중치는 $m_j^\beta/(r_{ij}^2+\varepsilon)^p$입니다. 이번에는 쿼리의 항을 버릴 수 없습니다. 거듭제곱 안에 있기 때문입니다. 대신 성분을 둘 덧붙이면 $r^2+\varepsilon$ 전체가 내적이 됩니다.
#
# $$q_i=\tfrac1\varepsilon\Big[-\tfrac2C z_i,\;\tfrac{\|z_i\|^2}{C}+\varepsilon,\;1\Big],\quad k_j=\Big[z_j,\;1,\;\tfrac{\|z_j\|^2}{C}\Big],\quad u_{ij}=q_i\cdot k_j=\frac{r_{ij}^2+\varepsilon}{\varepsilon}\ge 1$$
#
# 질량은 로그를 구해 로짓에 더합니다. $b_j=\beta\log m_j$라 하면 가중치는 $w_{ij}=e^{b_j-t_i}\,u_{ij}^{-p}$, 출력은 $\sum_j w_{ij}v_j/\sum_j w_{ij}$입니다. $t_i$는 행마다 고른 단위이고 나눌 때 지워집니다.
#
# $u\ge1$이므로 $u^{-p}\le1$입니다. 이것이 내적 어텐션과 다른 점입니다. $e^{q\cdot k}$에는 상한이 없어서 FlashAttention은 온라인 소프트맥스(online softmax)를 씁니다. 지금까지 본 가장 큰 로짓을 들고 다니다가, 더 큰 것이 나오면 모아 둔 합을 모두 다시 줄입니다. 뉴턴 커널에는 그럴 일이 없습니다. $t_i$를 그때까지의 가장 큰 $b_j$로 두면, 거리를 하나도 재지 않고도 모든 $w_{ij}\le1$임을 압니다. 아래는 질량이 모두 같을 때 쿼리 하나의 계산입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: fast-power -->
# ## The Newton kernel is a power of a dot product
#
# `newton` weights go with $m_j^\beta/(r_{ij}^2+\varepsilon)^p$. This time the query's term cannot be dropped, since it stands inside the power. But with two more entries the whole of $r^2+\varepsilon$ is a dot product:
#
# $$q_i=\tfrac1\varepsilon\Big[-\tfrac2C z_i,\;\tfrac{\|z_i\|^2}{C}+\varepsilon,\;1\Big],\quad k_j=\Big[z_j,\;1,\;\tfrac{\|z_j\|^2}{C}\Big],\quad u_{ij}=q_i\cdot k_j=\frac{r_{ij}^2+\varepsilon}{\varepsilon}\ge 1$$
#
# The logarithm of the mass is added to the logit. With $b_j=\beta\log m_j$, weights are $w_{ij}=e^{b_j-t_i}\,u_{ij}^{-p}$ and the output is $\sum_j w_{ij}v_j/\sum_j w_{ij}$; $t_i$ is a unit chosen for each row, which the division cancels.
#
# Since $u\ge1$, $u^{-p}\le1$. Here lies a difference from dot-product attention: $e^{q\cdot k}$ has no upper bound, so FlashAttention uses an online softmax. It carries the largest logit so far, and whenever a larger one comes, scales down all that it has added up. The Newton kernel has no such need. Let $t_i$ be the largest $b_j$ so far, and every $w_{ij}\le1$ before a single distance is known. This is the work for one query, with equal masses:

# %%
def online(logits, value, size=16):
    top, total, out = torch.tensor(-math.inf), 0, 0
    for s, v in zip(logits.split(size), value.split(size), strict=True):
        new = torch.maximum(top, s.max())
        w, fix = (s - new).exp(), (top - new).exp()
        total, out, top = total * fix + w.sum(), out * fix + w @ v, new
    return out / total


def bounded(u, value, p, size=16):
    total, out = 0, 0
    for part, v in zip(u.split(size), value.split(size), strict=True):
        w = part**-p
        total, out = total + w.sum(), out + w @ v
    return out / total

# %%
from lib.gravity.fused import FAINT

z, _, value = (x[0].detach() for x in scene(64))
value = value[0]
logits = z[0] @ z[0, 0] / 3 + 100  # dot products, all of them large
u = 1 + (z[0] - z[0, 0]).square().mean(-1) / 0.1
plain = logits.exp() @ value / logits.exp().sum()

# %% tags=["remove-cell"]
record(plain_result="NaN" if plain.isnan().any() else "finite",
       top_logit=logits.max(),
       off_online=gap(online(logits, value), logits.softmax(0) @ value),
       off_bounded=gap(bounded(u, value, 1.0),
                       (-u.log()).softmax(0) @ value), faint=FAINT)

# %% [markdown] tags=["lang-ko"]
# 가장 큰 로짓이 ⟨top_logit⟩일 때 최댓값을 빼지 않은 $e^{\text{logit}}$은 float32를 넘칩니다. 출력은 ⟨plain_result⟩입니다. 온라인 소프트맥스는 한 번에 구한 값과 ⟨off_online⟩만큼, 상한이 있는 계산은 ⟨off_bounded⟩만큼 다릅니다. 둘째 함수에는 들고 다닐 최댓값도, 다시 줄이는 일도 없습니다.
#
# 상한만으로는 모자랍니다. 분모가 0으로 사라지지 않아야 합니다. 아주 무거운 토큰이 아주 멀리 있으면, 그것을 단위로 한 나머지 가중치가 모두 희미해질 수 있습니다. `newton_fused`는 행의 합이 ⟨faint⟩보다 작으면 그 행만 실제로 가장 큰 로짓을 단위로 삼아 다시 구합니다. 다시 구할지 말지를 그 행의 합만 보고 정하므로, 뒤의 토큰은 끼어들지 못합니다.
# %% [markdown] tags=["lang-en"]
# With ⟨top_logit⟩ as the largest logit, $e^{\text{logit}}$ without a maximum taken off overflows float32; the output is ⟨plain_result⟩. The online softmax is ⟨off_online⟩ away from the one taken at once, the bounded sum ⟨off_bounded⟩. The second function carries no maximum and scales nothing down.
#
# An upper bound is not enough: the denominator must not fall to 0 either. Where a very heavy token lies very far away, all other weights may be faint in its unit. A row whose sum is below ⟨faint⟩ is computed again by `newton_fused`, with its true largest logit as the unit. Whether a row is computed again depends on its own sum alone, so that later tokens have no part in it.

# %% [markdown] tags=["lang-ko"]
# <!-- label: fast-exercise-power -->
# ### 연습 3. 질량을 접은 벡터 (★★, 15분)
#
# $b_j$를 더하는 대신 질량을 키에 접어 넣을 수도 있습니다. 키에 무엇을 곱하면 $-p$제곱을 할 때 $m_j^\beta$가 될까요? (`lib`은 이렇게 하지 않습니다. $p$가 작으면 곱할 수가 float32를 넘칩니다.) 점 (n, C), 질량 (n), $p$, $\beta$, $\varepsilon$을 받아 `query`와 `key`를 돌려주십시오. `(query @ key.T) ** -p`를 행의 합이 1이 되게 나누면 `newton`의 가중치가 되어야 합니다. 마스크(mask)는 쓰지 않습니다. 전체를 $\varepsilon$으로 나누는 것은 해도 되고 하지 않아도 됩니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: fast-exercise-power -->
# ### Exercise 3. Vectors with the mass folded in (★★, 15 minutes)
#
# Instead of adding $b_j$, the mass can be folded into the key: by what must it be multiplied to turn into $m_j^\beta$ under the power $-p$? (`lib` does not do so, since for a small $p$ that factor overflows float32.) Given points (n, C), masses (n), $p$, $\beta$ and $\varepsilon$, return `query` and `key` such that `(query @ key.T) ** -p`, with rows scaled to sum to one, are the weights of `newton`. No mask. Dividing everything by $\varepsilon$ is optional.

# %% tags=["exercise"]
def my_vectors(z, mass, p, beta, eps):
    ...

# %%
from lib.exercises.fast import check_power_vectors

check_power_vectors(my_vectors)

# %% tags=["solution", "hide-cell"]
def vectors_solution(z, mass, p, beta, eps):
    c = z.shape[-1]
    norm = z.square().sum(-1, keepdim=True) / c
    one = torch.ones_like(norm)
    query = torch.cat((-2 / c * z, norm + eps, one), -1)
    key = torch.cat((z, one, norm), -1)
    return query, key * mass[:, None] ** (-beta / p)


check_power_vectors(vectors_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: fast-walk -->
# ## 표를 블록씩 훑기
#
# 이제 표를 통째로 둘 까닭이 없습니다. 한 번에 많아야 헤드 ⟨tile_heads⟩개에서 쿼리 ⟨tile_rows⟩개와 키 ⟨tile_keys⟩개가 만나는 블록 하나만큼만 자리를 잡고, 그 자리를 계속 다시 씁니다. 블록마다 하는 일은 넷입니다.
#
# 1. 행렬곱 한 번으로 $u$를 채웁니다.
# 2. 그 자리에서 로그를 구하고, $-p$를 곱하고, $b_j-t_i$를 더하고, 지수를 구합니다. $w$가 됩니다. PyTorch의 연산으로 하나씩 하면 블록을 그만큼 여러 번 훑지만, `lib.gravity.compiled`는 numba로 컴파일한 반복문에서 수 하나를 읽어 다 하고 씁니다. 메모리를 오가는 일이 계산보다 비싸기 때문입니다.
# 3. 대각선에 걸린 블록에서는 미래를 0으로 지웁니다. 완전히 미래인 블록은 들르지 않습니다.
# 4. 분모 $Z_i=\sum_j w_{ij}$에 행의 합을, 분자에 $w\,v$를 더합니다. 나누기는 맨 끝에 한 번 합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: fast-walk -->
# ## Walking over the table
#
# Nothing now calls for the whole table. Room is set aside for one block, ⟨tile_rows⟩ queries by ⟨tile_keys⟩ keys in at most ⟨tile_heads⟩ heads at a time, and used over and over. Each block takes four steps.
#
# 1. One matrix product fills it with $u$.
# 2. In place, take the logarithm, multiply by $-p$, add $b_j-t_i$, take the exponential. That is $w$. PyTorch's operations would go over the block once for each; the loop that numba compiles in `lib.gravity.compiled` reads a number, does it all and writes it, because the way to memory and back costs more than the arithmetic.
# 3. In a block on the diagonal, set what is later to 0. Blocks that are later altogether are never visited.
# 4. Add the row sums to the denominator $Z_i=\sum_j w_{ij}$ and $w\,v$ to the numerator. Division comes once, at the end.

# %%
from lib.gravity.fused import CELLS, KEYS, QUERIES, parts

n = max(cfg.lengths)
cells = [(at.stop - at.start) * (to.stop - to.start)
         for at in parts(n, QUERIES) for to in parts(at.stop, KEYS)]

# %% tags=["remove-cell"]
record("visited", sum(cells) / n**2, text=f"{sum(cells) / n**2:.0%}")
record(tile_heads=CELLS // (QUERIES * KEYS), tile_rows=QUERIES,
       tile_keys=KEYS, n_tiles=len(cells), tile_mb=4 * CELLS / 2**20)

# %% [markdown] tags=["lang-ko"]
# float32로 블록 하나는 많아야 ⟨tile_mb⟩ MiB이고, 일하는 코어마다 하나씩, 역전파에서는 둘씩 둡니다. $n=$ ⟨longest⟩에서는 헤드 묶음마다 블록 ⟨n_tiles⟩개를 들르고, 계산하는 칸은 표의 ⟨visited⟩뿐입니다. 미래의 칸을 만들었다가 가리는 표와 다른 점입니다.
#
# 코어가 여럿이면 누가 무엇을 하는지도 정해야 합니다. 처음에는 연산 하나하나를 모든 코어가 나누어 했습니다. 행렬곱은 PyTorch의 스레드가, 반복문은 numba의 스레드가 맡았는데, 서로를 기다리는 동안에도 코어를 놓지 않았습니다. 옆에서 다른 프로그램이 하나만 돌아도 몇 배로 느려졌습니다([실험 일지](../book/lab_log.md)). 지금은 순전파라면 헤드 몇 개의 행 ⟨tile_rows⟩개를, 역전파라면 헤드 몇 개를 통째로 코어 하나가 처음부터 끝까지 맡습니다. 끝나면 다음 것을 가져가고, 남은 것이 없으면 잠듭니다(`lib.gravity.cores`).
#
# 이것이 전부라면 직접 쓸 수 있습니다.
# %% [markdown] tags=["lang-en"]
# One block is at most ⟨tile_mb⟩ MiB in float32; each core at work holds one, in the backward pass two. At $n=$ ⟨longest⟩ the walk visits ⟨n_tiles⟩ block(s) for each group of heads and computes ⟨visited⟩ of the table. Made whole, a table has its later cells computed and then hidden.
#
# With several cores, who does what? At first all cores shared out every single operation: PyTorch's threads the matrix product, numba's the loop, and each pool held on to the cores while it waited for the other. One other busy program was enough to make it several times slower ([lab log](../book/lab_log.md)). Now one core does a piece from beginning to end: ⟨tile_rows⟩ rows of a few heads in the forward pass, all rows of a few heads in the backward pass. It takes the next piece when it is done, and sleeps when none is left (`lib.gravity.cores`).
#
# If that is all, you can write it yourself.

# %% [markdown] tags=["lang-ko"]
# <!-- label: fast-exercise-walk -->
# ### 연습 4. 표를 블록씩 훑기 (★★★, 15분)
#
# `query`, `key` (n, 폭), `value` (n, d), $p$, `block`을 받아 인과 마스크(causal mask)가 있는 출력 $\sum_{j\le i}u_{ij}^{-p}v_j\big/\sum_{j\le i}u_{ij}^{-p}$을 돌려주십시오. 한 번에 `block`개 행만 만들어야 합니다. 검사는 연산이 만든 텐서를 하나하나 보고, 수가 `block * n`개보다 많은 것이 있으면 받아 주지 않습니다. `newton_fused`의 순전파가 하는 일입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: fast-exercise-walk -->
# ### Exercise 4. Walk over the table block by block (★★★, 15 minutes)
#
# Given `query` and `key` (n, wide), `value` (n, d), $p$ and `block`, return the output under a causal mask, $\sum_{j\le i}u_{ij}^{-p}v_j\big/\sum_{j\le i}u_{ij}^{-p}$. Make only `block` rows at a time: the check watches every tensor that an operation makes and turns down one with more than `block * n` numbers. This is what the forward pass of `newton_fused` does.

# %% tags=["exercise"]
def my_walk(query, key, value, p, block):
    ...

# %%
from lib.exercises.fast import check_walk

check_walk(my_walk)

# %% tags=["solution", "hide-cell"]
def walk_solution(query, key, value, p, block):
    out = torch.empty_like(value)
    for first in range(0, len(query), block):
        rows = slice(first, first + block)
        seen = slice(0, first + block)
        w = (query[rows] @ key[seen].T) ** -p
        w = w.tril(first)  # row i of the block is token first + i
        out[rows] = w @ value[seen] / w.sum(-1, keepdim=True)
    return out


check_walk(walk_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: fast-backward -->
# ## 역전파: 표를 한 번 더 만든다
#
# 역전파에도 표가 필요합니다. 간직하는 대신 다시 만듭니다. 그러려면 미분을 손으로 구해 두어야 합니다. 출력에 대한 기울기(gradient)를 $g_i=\partial L/\partial o_i$라 하고 다음을 차례로 씁니다.
#
# $$o_i=\frac{\sum_j w_{ij}v_j}{Z_i},\quad Z_i=\sum_j w_{ij},\quad w_{ij}=u_{ij}^{-p},\quad u_{ij}=q_i\cdot k_j$$
#
# 1. 가중치 하나를 조금 바꾸면 분자와 분모가 함께 변합니다. $\dfrac{\partial o_i}{\partial w_{ij}}=\dfrac{v_j-o_i}{Z_i}$입니다.
# 2. $e_i=g_i/Z_i$로 두면 $\dfrac{\partial L}{\partial w_{ij}}=e_i\cdot v_j-e_i\cdot o_i$이고, $e_i\cdot o_i$는 토큰마다 수 하나입니다.
# 3. 로짓은 $s_{ij}=\log w_{ij}=-p\log u_{ij}$이므로 $S_{ij}=\dfrac{\partial L}{\partial s_{ij}}=w_{ij}\,(e_i\cdot v_j-e_i\cdot o_i)$입니다.
# 4. $\partial s_{ij}/\partial u_{ij}=-p/u_{ij}$입니다. $G_{ij}=S_{ij}/u_{ij}$로 적으면 나머지가 모두 나옵니다.
#
# $$\frac{\partial L}{\partial q_i}=-p\sum_j G_{ij}k_j,\quad\frac{\partial L}{\partial k_j}=-p\sum_i G_{ij}q_i,\quad\frac{\partial L}{\partial v_j}=\sum_i w_{ij}e_i,\quad\frac{\partial L}{\partial p}=-\sum_{ij}S_{ij}\log u_{ij}$$
#
# 표는 $w$, $S$, $G$뿐이고 모두 블록 하나에서 만들어 쓰고 버릴 수 있습니다. 간직할 것은 $q$, $k$, $v$, $o$, $Z$입니다. 모두 길이에 비례합니다. 아래 셀은 이 식을 표 하나에 그대로 옮겨 자동 미분과 견줍니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: fast-backward -->
# ## Backward: make the table once more
#
# The backward pass needs the table too. It is made again rather than kept, and for that the derivative has to be worked out by hand. Let $g_i=\partial L/\partial o_i$ be the gradient at the output, and
#
# $$o_i=\frac{\sum_j w_{ij}v_j}{Z_i},\quad Z_i=\sum_j w_{ij},\quad w_{ij}=u_{ij}^{-p},\quad u_{ij}=q_i\cdot k_j$$
#
# 1. A change of one weight moves numerator and denominator: $\dfrac{\partial o_i}{\partial w_{ij}}=\dfrac{v_j-o_i}{Z_i}$.
# 2. With $e_i=g_i/Z_i$ this gives $\dfrac{\partial L}{\partial w_{ij}}=e_i\cdot v_j-e_i\cdot o_i$, where $e_i\cdot o_i$ is one number a token.
# 3. The logit is $s_{ij}=\log w_{ij}=-p\log u_{ij}$, so $S_{ij}=\dfrac{\partial L}{\partial s_{ij}}=w_{ij}\,(e_i\cdot v_j-e_i\cdot o_i)$.
# 4. $\partial s_{ij}/\partial u_{ij}=-p/u_{ij}$. Write $G_{ij}=S_{ij}/u_{ij}$ and the rest follows:
#
# $$\frac{\partial L}{\partial q_i}=-p\sum_j G_{ij}k_j,\quad\frac{\partial L}{\partial k_j}=-p\sum_i G_{ij}q_i,\quad\frac{\partial L}{\partial v_j}=\sum_i w_{ij}e_i,\quad\frac{\partial L}{\partial p}=-\sum_{ij}S_{ij}\log u_{ij}$$
#
# The only tables are $w$, $S$ and $G$, and each can be made within a block, used and dropped. What has to be kept is $q$, $k$, $v$, $o$ and $Z$, all in proportion to the length. The cell below writes these formulas down for one whole table and compares them with automatic differentiation.

# %%
from lib.gravity.fused import augmented

z, _, value = (x[0, 0].detach() if x.dim() == 4 else x
               for x in scene(40, kind=torch.float64))
q, k = (x.requires_grad_() for x in augmented(z, eps=0.1))
v, p = value.requires_grad_(), torch.tensor(1.3).double().requires_grad_()
g = torch.randn(v.shape, dtype=torch.float64,
                generator=torch.Generator().manual_seed(seed))

u = q @ k.T
w = (u**-p).tril()
Z = w.sum(-1, keepdim=True)
o = w @ v / Z
automatic = torch.autograd.grad(o, (q, k, v, p), g, retain_graph=True)

e = g / Z
S = w * (e @ v.T - (e * o).sum(-1, keepdim=True))
G = S / u
by_hand = (-p * G @ k, -p * G.T @ q, w.T @ e, -(S * u.log()).sum())

# %%
tiny = scene(5, coord=2, heads=2, kind=torch.float64)
strength = torch.tensor([0.7, 1.4]).double()[:, None, None]
beta = torch.tensor([1.0, 0.6]).double()[:, None, None]


def run(z, mass, value, p, beta):
    return fast_attend(z, mass, value, Pull("newton", p, beta), "fused")


given = (*tiny, strength.requires_grad_(), beta.requires_grad_())
_ = torch.autograd.gradcheck(run, given)  # raises where they differ

# %% tags=["remove-cell"]
for name, own, right in zip(
        ("q", "k", "v", "p"), by_hand, automatic, strict=True):
    record(f"hand_{name}", gap(own.detach(), right))
record(nudged=sum(x.numel() for x in given))

# %% [markdown] tags=["lang-ko"]
# 손으로 구한 기울기와 자동 미분의 상대 거리는 $q$ ⟨hand_q⟩, $k$ ⟨hand_k⟩, $v$ ⟨hand_v⟩, $p$ ⟨hand_p⟩입니다. 블록으로 나눈 `newton_fused`는 `gradcheck`로 따로 검사했습니다. 입력을 하나씩 조금 흔들어 보고 출력의 변화를 기울기와 견주는 검사이며, 좌표와 질량과 값, $p$와 $\beta$에 든 수 ⟨nudged⟩개를 모두 흔들었고 어긋난 것은 없었습니다.
# %% [markdown] tags=["lang-en"]
# Gradients by hand and automatic ones are ⟨hand_q⟩ apart for $q$, ⟨hand_k⟩ for $k$, ⟨hand_v⟩ for $v$ and ⟨hand_p⟩ for $p$ (relative distance). The walk by blocks, `newton_fused`, is tested on its own with `gradcheck`, which nudges every input, ⟨nudged⟩ numbers in coordinates, masses, values, $p$ and $\beta$, and compares what the output does with the gradient. None was off.

# %% [markdown] tags=["lang-ko"]
# <!-- label: fast-time -->
# ## 시간
#
# 컴퓨터의 빠르기는 순간마다 다릅니다. 그래서 잴 것마다 바로 앞에 SDPA를 한 번 돌리고, 그 둘의 비를 구합니다. 이런 짝을 ⟨n_pairs⟩번 재어 가운데 값을 씁니다. 순전파와 역전파를 함께 잽니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: fast-time -->
# ## Time
#
# How fast a computer is changes from moment to moment. So SDPA runs right before each form that is timed, and the ratio is taken within that pair; of ⟨n_pairs⟩ such pairs the median counts. Forward and backward together.

# %%
def seconds(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


took, ratio = {}, {}
for n in cfg.lengths:
    for name, work in (candidates := forms(n)).items():
        if not fits(name, n):
            continue
        work()
        timed = [(seconds(candidates["SDPA"]), seconds(work))
                 for _ in range(cfg.pairs)]
        took[n, name] = 1e3 * median(own for _, own in timed)
        ratio[n, name] = median(own / peer for peer, own in timed)
took = pd.Series(took).unstack()[list(LOOK)]
ratio = pd.Series(ratio).unstack()[list(LOOK)]
took.index.name = ratio.index.name = "n"

# %% tags=["hide-input"]
n_t, n_max = cfg.tables_up_to, max(cfg.lengths)
record(ratio_gauss=ratio["gaussian"][n_max],
       ratio_blocks=ratio["newton, blocks"][n_max],
       ratio_tables=ratio["newton, tables"][n_t],
       ratio_differences=ratio["newton, differences"][n_5],
       ratio_blocks_there=ratio["newton, blocks"][n_5])
show(draw_lines(took, "forward + backward (ms)"), table=told(took))

# %% [markdown] tags=["lang-ko", "caption"]
# 순전파와 역전파에 걸린 시간(밀리초, 두 축 모두 로그). 시간은 모두 제곱으로 늘지만 시작하는 높이가 다릅니다.
#
# <!-- alt: 토큰 수에 따른 시간의 로그-로그 그래프. 차이 텐서가 가장 위에 있고 표가 그 아래에 있으며, 블록과 가우스와 SDPA는 더 아래에서 서로 가깝다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Time for forward and backward in milliseconds, both axes logarithmic. All of them grow with the square in the end; they start from different heights.
#
# <!-- alt: Time against the number of tokens, both axes logarithmic. The difference tensor lies highest, the tables below it, and blocks, Gaussian and SDPA lie close together further down. -->

# %% tags=["hide-input"]
ratio.rename_axis("n").style.format("{:.2f}", na_rep="–").set_caption(
    "SDPA의 몇 배 | times SDPA")

# %% [markdown] tags=["lang-ko"]
# 이번 실행의 $n=$ ⟨longest⟩에서 가우스는 SDPA의 ⟨ratio_gauss⟩배, 블록으로 훑은 뉴턴은 ⟨ratio_blocks⟩배입니다. 표는 $n=$ ⟨tables_n⟩에서 ⟨ratio_tables⟩배, 차이 텐서는 $n=$ ⟨original_n⟩에서 ⟨ratio_differences⟩배이고, 같은 길이에서 블록은 ⟨ratio_blocks_there⟩배입니다. SDPA 열은 SDPA를 SDPA와 짝지어 잰 것이므로 1이어야 하고, 벗어난 만큼이 측정의 오차입니다. 작은 크기에서 몇 번 잰 것이니 그만큼만 믿으십시오. 제대로 재는 일은 `benchmarks/gravity.py`가 합니다. 헤드 8개, 더 긴 글, 더 많은 짝, 따로 띄운 프로세스에서 잰 메모리까지 한 번에 나옵니다.
# %% [markdown] tags=["lang-en"]
# In this run, at $n=$ ⟨longest⟩, the Gaussian takes ⟨ratio_gauss⟩ times as long as SDPA and Newton by blocks ⟨ratio_blocks⟩ times. Tables take ⟨ratio_tables⟩ times at $n=$ ⟨tables_n⟩, and the difference tensor ⟨ratio_differences⟩ times at $n=$ ⟨original_n⟩, where blocks take ⟨ratio_blocks_there⟩ times. The SDPA column pairs SDPA with itself and should be 1; as far as it is not, that is the error of measurement. These are a few pairs at a small size, to be trusted no further. The proper measurement is `benchmarks/gravity.py`: 8 heads, longer texts, more pairs, and memory measured in a process of its own, in one run.

# %% [markdown] tags=["lang-ko"]
# <!-- label: fast-record -->
# ### 재어 둔 기록
#
# 아래는 `benchmarks/gravity.py`가 남긴 기록입니다. 헤드는 8개이고, `newton_62`는 좌표가 62축이어서 증강 벡터가 값만큼 넓은 뉴턴, `…_near`는 반지름(radius) 안에 있는 가까운 쌍 5%만 [목록](#fast-lists)으로 만들어 계산한 것입니다. 독자의 컴퓨터에서는 다른 프로그램도 돌고 있을 테니, 쉬지 않는 프로세스 하나를 곁에 띄우고도 쟀습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: fast-record -->
# ### The record
#
# This is what `benchmarks/gravity.py` left, with 8 heads. `newton_62` is Newton with 62 axes, so that its augmented vectors are as wide as the values; `…_near` compute only the 5% of pairs that lie within a radius, from a [list](#fast-lists) of them. A reader's computer is seldom idle, so all were measured beside one busy process too.

# %% tags=["hide-input"]
from lib import data

path = data.ROOT / "benchmarks/results/gravity.jsonl"
rows = pd.read_json(path, lines=True).dropna(subset="ratio_to_sdpa")
rows = rows[rows.form.isin(["gaussian", "newton", "newton_62",
                            "gaussian_near", "newton_near"])]
rows["곁에 | beside"] = rows.beside.map(
    {0: "없음 | nothing", 1: "바쁜 프로세스 | a busy process"})
recorded = rows.pivot_table(values="ratio_to_sdpa", index=["곁에 | beside", "n"],
                            columns="form", sort=False)
recorded.columns.name = None
recorded.style.format("{:.2f}").set_caption("SDPA의 몇 배 | times SDPA")

# %% tags=["remove-cell"]
used([path])
worst = rows.groupby(["form", "beside"]).ratio_to_sdpa.max()
longest = rows[rows.n == rows.n.max()].set_index(
    ["form", "beside"]).ratio_to_sdpa
record(rec_gauss=f"{worst['gaussian', 0]:.2f}",
       rec_newton=f"{worst['newton', 0]:.2f}",
       rec_62=f"{worst['newton_62', 0]:.2f}",
       rec_gauss_beside=f"{worst['gaussian', 1]:.2f}",
       rec_newton_beside=f"{worst['newton', 1]:.2f}",
       rec_near=f"{longest['newton_near', 0]:.2f}",
       rec_gauss_near=f"{longest['gaussian_near', 0]:.2f}",
       rec_n=int(rows.n.max()))

# %% [markdown] tags=["lang-ko"]
# SDPA와의 비가 가장 큰 길이에서 가우스는 SDPA의 ⟨rec_gauss⟩배, 뉴턴은 ⟨rec_newton⟩배, 62축의 뉴턴은 ⟨rec_62⟩배입니다. 바쁜 프로세스 곁에서 가장 큰 비는 가우스가 ⟨rec_gauss_beside⟩배, 뉴턴이 ⟨rec_newton_beside⟩배인데, 그때는 SDPA도 느립니다. 토큰 ⟨rec_n⟩개에서 쌍의 5%만 담은 목록은 다른 일이 없을 때 가우스가 ⟨rec_gauss_near⟩배, 뉴턴이 ⟨rec_near⟩배입니다. 더 짧은 글이나 바쁜 프로세스 곁에서 잰 값은 표에 있습니다.
# %% [markdown] tags=["lang-en"]
# At the length where the ratio to SDPA is largest, the Gaussian takes ⟨rec_gauss⟩ times as long as SDPA, Newton ⟨rec_newton⟩ and Newton with 62 axes ⟨rec_62⟩. Beside a busy process the largest ratios are ⟨rec_gauss_beside⟩ for the Gaussian and ⟨rec_newton_beside⟩ for Newton; SDPA is slower there too. With ⟨rec_n⟩ tokens and nothing beside, lists of 5% of the pairs take ⟨rec_gauss_near⟩ times as long (Gaussian) and ⟨rec_near⟩ (Newton). The table has them for shorter texts and beside a busy process.

# %% [markdown] tags=["lang-ko"]
# <!-- label: fast-flex -->
# ## GPU에서는: FlexAttention
#
# GPU에서 표를 블록씩 훑는 코드를 손으로 쓰려면 CUDA나 Triton이 필요합니다. PyTorch의 FlexAttention은 내적 다음에 할 일만 함수로 받아 그런 코드를 만들어 줍니다. $u_{ij}$가 내적이므로 할 일은 한 줄, $b_j-p\log u_{ij}$입니다. 아래 셀은 CPU에서 컴파일하지 않고 작은 크기로 돌려 답이 같은지만 봅니다. GPU에서의 속도는 [아래](#fast-gpu)에 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: fast-flex -->
# ## On a GPU: FlexAttention
#
# To walk over the table by blocks on a GPU, one would write CUDA or Triton. PyTorch's FlexAttention makes such code from a function that says what happens after the dot product. Since $u_{ij}$ is a dot product, that is one line, $b_j-p\log u_{ij}$. The cell below runs it at a small size on the CPU, without compiling, only to see that the answer is the same. Its speed on a GPU is [below](#fast-gpu).

# %%
import warnings

from torch.nn.attention.flex_attention import (
    create_block_mask,
    flex_attention,
)

z, mass, value = (x.detach() for x in scene(48))
pull = pull_of("newton")
bias, p = pull.bias(mass[:, None]).expand(z.shape[:3]), pull.strength
query, key = augmented(z, pull.eps)

# %%
def score(u, batch, head, i, j):
    return bias[batch, head, j] - p[head, 0, 0] * torch.log(u.clamp_min(1))


seen = create_block_mask(lambda b, h, i, j: j <= i, None, None, 48, 48,
                         device="cpu")
with torch.no_grad(), warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it says that it is not compiled
    mixed = flex_attention(query, key, value, score, seen, scale=1.0)
exact = attend(*(x.double() for x in (z, mass, value)),
               pull_of("newton", kind=torch.float64))[0]

# %% tags=["remove-cell"]
record(off_flex=gap(mixed, exact))

# %% [markdown] tags=["lang-ko"]
# float64 기준과의 상대 거리는 ⟨off_flex⟩입니다. `lib.gravity.fast.newton_flex`가 같은 일을 하고, CUDA에서는 컴파일합니다. 알아 둘 것이 둘 있습니다. 함수 밖에서 가져다 쓴 텐서 $b$, $p$의 기울기는 GPU에서 순서 없이 더해지므로 실행할 때마다 마지막 자리가 다를 수 있습니다. 그리고 헤드의 폭은 16의 배수여야 해서 `newton_flex`가 0을 채워 넣습니다.
# %% [markdown] tags=["lang-en"]
# It lies ⟨off_flex⟩ from the float64 reference. `lib.gravity.fast.newton_flex` does the same and compiles it on CUDA. Two things to know: gradients of the tensors that the function takes from outside, $b$ and $p$, are added up in no fixed order on a GPU, so last digits may differ from run to run; and the width of a head must be a multiple of 16, which `newton_flex` reaches by padding with zeros.

# %% [markdown] tags=["lang-ko"]
# <!-- label: fast-gpu -->
# ### GPU에서 잰 시간
#
# `.venv/bin/python -m benchmarks.on_gpu`는 GPU 하나에서 10분 안에 여러 가지를 재어 파일 하나로 남깁니다. 아래 표는 그 파일에서 읽은 것이고, bf16으로 순전파와 역전파를 하는 시간이 같은 길이의 플래시 어텐션(flash attention)의 몇 배인지를 적었습니다. 토큰은 모두 합쳐 어디서나 16384개여서, 글이 길어지면 글의 수가 줄어듭니다. `newton_flex`는 32비트로 계산합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: fast-gpu -->
# ### Time on a GPU
#
# `.venv/bin/python -m benchmarks.on_gpu` measures a number of things on one GPU in 10 minutes and leaves one file. The table below is read from it: how many times as long as flash attention a form takes at the same length, forward and backward in bf16. There are 16384 tokens in all at every length, so that longer texts are fewer. `newton_flex` computes in 32 bits.

# %% tags=["hide-input"]
from lib.page.gpu import (
    GPU_RESULTS,
    gpu_device,
    gpu_table,
    in_each_language,
)

gpu_table(["attention", "flex"], "form", "n", "ratio_to_sdpa")

# %% tags=["remove-cell"]
used([GPU_RESULTS])
record(**in_each_language(gpu=gpu_device("attention")))

# %% [markdown] tags=["lang-ko"]
# <!-- label: fast-cutoff -->
# ## 컷오프가 벌어 주는 것
#
# 반지름 $R$ 밖의 가중치는 정확히 0이므로 그 칸은 계산하지 않아도 됩니다. 문제는 어떻게 건너뛰느냐입니다. 표를 훑는 코드는 블록 단위로 움직이니, 블록을 통째로 빼는 것이 먼저 떠오릅니다. 그러려면 블록 안에 가까운 쌍, 곧 거리가 $R$보다 짧은 쌍이 하나도 없어야 합니다. 블록이 작을수록 그러기 쉬우므로, 앞에서 훑은 것보다 훨씬 작은 블록으로 셉니다. 이 작은 블록을 타일이라고 부르겠습니다.
#
# 좌표는 두 가지를 섞습니다. 하나는 글을 따라 천천히 걷는 길이고, 다른 하나는 토큰마다 아무 데나 놓인 점입니다. $f$는 길의 몫입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: fast-cutoff -->
# ## What a cutoff buys
#
# Weights beyond the radius $R$ are exactly zero, so those cells need no computing. The question is how to skip them. Code that walks over the table moves by blocks, so leaving out whole blocks comes to mind first; but then a block must not hold a single near pair, one closer than $R$. The smaller the block, the likelier that is. So we count with blocks far smaller than those of the walk above, and call them tiles.
#
# Coordinates are mixed from two kinds: a path that wanders slowly along the text, and points put anywhere, token by token. $f$ is the share of the path.

# %%
from lib.gravity.attention import squared_distances


def wander(follow, heads, n, coord=14):
    draw = torch.Generator().manual_seed(seed)
    path, token = torch.randn(2, 1, heads, n, coord, generator=draw)
    path = path.cumsum(-2)
    path = (path - path.mean(-2, True)) / path.std(-2, keepdim=True)
    return follow**0.5 * path + (1 - follow) ** 0.5 * token

# %%
def near(z, radius):
    """Which earlier tokens lie within the radius of each token."""
    n = z.shape[-2]
    return (squared_distances(z) < radius**2) & causal(n).tril(-1)


def touched(close, tile):
    """The share of tiles with any pairs that hold a near one."""
    n = close.shape[-1] // tile
    tiles = close.unflatten(-1, (n, tile)).unflatten(-3, (n, tile))
    any_ = tiles.any(-3).any(-1)
    return (any_.float().sum((-2, -1)) / causal(n).sum()).mean().item()

# %% tags=["hide-input"]
kept = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
pairs_seen = causal(cfg.blocks_of).tril(-1)
tile, shares = 16, {}
for follow in (1.0, 0.9, 0.0):
    z = wander(follow, 1, cfg.blocks_of)
    apart = squared_distances(z)[..., pairs_seen].sqrt().flatten()
    shares[follow] = [touched(near(z, apart.kthvalue(
        max(1, int(share * len(apart)))).values), tile) for share in kept]

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(7.2, 4.2))
for follow, (colour, mark) in zip(
        shares, [("gravity", "^"), ("plum", "D"), ("grey", "v")], strict=True):
    ax.plot(kept, shares[follow], marker=mark, color=COLOURS[colour],
            label=f"f = {follow:g}")
ax.plot(kept, kept, "--", color=COLOURS["attention"], linewidth=2.5,
        label="pairs within R")
ax.set(xlabel="share of pairs within R", ylabel="share of tiles to compute",
       xscale="log", ylim=(-0.03, 1.03))
ax.legend()
show(fig, table=pd.DataFrame(
    {f"f = {f:g}": row for f, row in shares.items()}, index=kept))

# %% [markdown] tags=["lang-ko", "caption"]
# 반지름 안에 있는 쌍의 몫(가로, 로그)과 계산해야 하는 타일의 몫(세로). 타일은 쿼리 16개와 키 16개입니다. 점선은 타일이 아니라 쌍을 하나씩 고를 때입니다.
#
# <!-- alt: 가로축은 반지름 안의 쌍의 몫, 세로축은 계산할 타일의 몫. 글과 무관한 좌표의 곡선은 쌍이 몇 퍼센트만 남아도 1에 가깝고, 길을 따르는 좌표의 곡선은 그 아래에 있으며, 쌍을 하나씩 고르는 점선이 가장 낮다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Share of pairs within the radius (across, logarithmic) and share of tiles that have to be computed (up). A tile is 16 queries by 16 keys. The dashed line is what picking single pairs would take.
#
# <!-- alt: Across, the share of pairs within the radius; up, the share of tiles to compute. The curve of coordinates that know nothing of the text is close to 1 where a few percent of the pairs are left; coordinates that follow the path lie below it, and the dashed line of single pairs lowest. -->

# %% tags=["hide-input"]
at = kept.index(0.05)
for name, share in {"near_pairs": kept[at], "tiles_random": shares[0.0][at],
                    "tiles_mixed": shares[0.9][at],
                    "tiles_path": shares[1.0][at]}.items():
    record(name, share, text=f"{share:.1%}")
record(n_blocks=cfg.blocks_of, tile=tile)

# %% [markdown] tags=["lang-ko"]
# 토큰 ⟨n_blocks⟩개에서 쌍의 ⟨near_pairs⟩만 반지름 안에 있을 때, 글과 무관한 좌표에서는 타일의 ⟨tiles_random⟩에 가까운 쌍이 있습니다. 길을 따르는 좌표에서는 ⟨tiles_path⟩, 조금만 섞으면($f=0.9$) ⟨tiles_mixed⟩입니다. 좌표가 글의 순서를 따르지 않는 한, 가까운 쌍이 몇 없더라도 하나도 없는 타일은 드뭅니다. 어텐션은 글에서 멀리 떨어진 토큰도 찾아야 하므로, 순서를 따르는 좌표를 기대하기도 어렵습니다. 배운 좌표가 어떤지는 [뒤에서](#fast-trained) 봅니다.
#
# <!-- label: fast-lists -->
# ### 쌍의 목록
#
# 그러면 쌍을 하나씩 고르면 어떨까요? 거리를 구하는 내적은 값을 섞고 미분하는 계산보다 쌉니다. 좌표의 폭이 값의 폭보다 좁고, 역전파에서 다시 구하지 않아도 되기 때문입니다. 그래서 거리만은 모두 구하고, 가까운 쌍의 목록을 글의 순서대로 적습니다. 로짓, 값, 기울기는 목록에 있는 쌍에서만 구합니다.
# %% [markdown] tags=["lang-en"]
# With ⟨n_blocks⟩ tokens and ⟨near_pairs⟩ of the pairs within the radius, ⟨tiles_random⟩ of the tiles hold a near pair where coordinates know nothing of the text; ⟨tiles_path⟩ where they follow it, and ⟨tiles_mixed⟩ where they follow it almost ($f=0.9$). Unless coordinates follow the order of the text, tiles without a near pair are rare even where near pairs are few. And that order is hardly to be expected, since attention must find what is far away in the text, too. What learned coordinates do is seen [further down](#fast-trained).
#
# <!-- label: fast-lists -->
# ### Lists of pairs
#
# What about picking single pairs? The dot products that give distances cost less than mixing values and taking gradients: coordinates are narrower than values, and the backward pass does not need the distances again. So take all the distances, write the near pairs into a list in the order of the text, and compute logits, values and gradients for the pairs of the list alone.

# %%
def by_lists(z, value, radius, p, eps):
    """One head: (n, C) points and (n, d) values, the `compact` gate."""
    n = len(z)
    close = near(z, radius) | torch.eye(n, dtype=torch.bool)
    i, j = close.nonzero(as_tuple=True)  # row by row: in order of time
    r2 = (z[i] - z[j]).square().mean(-1)
    w = (1 - r2 / radius**2) * (r2 + eps) ** -p
    total = torch.zeros(n).index_add(0, i, w)
    mixed = torch.zeros_like(value).index_add(0, i, w[:, None] * value[j])
    return mixed / total[:, None], len(i)

# %%
z, _, value = (x.detach() for x in scene(256))
one = torch.ones(n_heads, 1, 1)
limited = Pull("newton", one, one, 0.1, cutoff="compact", radius=1.2 * one)
table = attend(z, torch.ones(1, 256), value, limited)[0][0, 0]
listed, n_listed = by_lists(z[0, 0], value[0, 0], 1.2, 1.0, 0.1)

# %% tags=["remove-cell"]
record(off_lists=gap(listed, table), n_listed=n_listed,
       n_table=int(causal(256).sum()))

# %% [markdown] tags=["lang-ko"]
# 표로 구한 답과의 상대 거리는 ⟨off_lists⟩이고, 목록에는 표의 ⟨n_table⟩칸 가운데 ⟨n_listed⟩칸만 있습니다. `fast_attend`의 `near` 꼴이 같은 일을 컴파일한 코드로 합니다. 한 토큰의 목록에는 자기와 앞의 토큰만 들어가므로 뒤의 토큰은 목록을 바꾸지 못합니다. 가까운 쌍마다 키의 번호와 거리를 역전파까지 간직하므로, 메모리는 글의 길이가 아니라 가까운 쌍의 수를 따라 늘어납니다. 이제 SDPA와 짝지어 시간을 잽니다.
# %% [markdown] tags=["lang-en"]
# It lies ⟨off_lists⟩ from the answer by the table, and the list has ⟨n_listed⟩ of the table's ⟨n_table⟩ cells. The form `near` of `fast_attend` does this in compiled code. The list of a token holds that token and earlier ones alone, so nothing later can change it. For each near pair the number of the key and the distance are kept until the backward pass, so memory grows with the number of near pairs and not with the length of the text. Now the time, paired with SDPA:

# %%
def reach(z, share):
    """The radius of each head that keeps a share of the first pairs."""
    apart = squared_distances(z[..., : cfg.blocks_of, :])[0][:, pairs_seen]
    k = max(1, int(share * apart.shape[-1]))
    return apart.kthvalue(k, -1).values.sqrt()[:, None, None]


def step(z, value, pull):
    inputs = [x.clone().requires_grad_() for x in (z, value)]

    def work():
        out = fast_attend(inputs[0], mass, inputs[1], pull)
        torch.autograd.grad(out.sum(), inputs)
    return work

# %%
z = torch.randn(1, n_heads, max(cfg.lengths), axes)
value, mass = torch.randn(*z.shape[:3], d_value), torch.ones(1, z.shape[2])
whole, peer = Pull("newton", one, one), forms(max(cfg.lengths))["SDPA"]
gains = {}
for share in (*kept, 1.0):
    pull = whole if share == 1 else replace(
        whole, cutoff="compact", radius=reach(z, share))
    work = step(z, value, pull)
    work(), peer()
    timed = [(seconds(peer), seconds(work)) for _ in range(cfg.pairs)]
    gains[share] = median(own / other for other, own in timed)

# %% tags=["hide-input"]
record(time_near=gains[0.05], time_whole=gains[1.0], time_most=gains[0.5])
pd.DataFrame({"SDPA의 몇 배 | times SDPA": gains}).rename_axis(
    "반지름 안의 쌍 | pairs within R").rename(
    lambda share: f"{share:.1%}").style.format("{:.2f}")

# %% [markdown] tags=["lang-ko"]
# 토큰 ⟨longest⟩개에서 순전파와 역전파를 함께 잰 시간입니다. 쌍의 ⟨near_pairs⟩만 남는 반지름에서 SDPA의 ⟨time_near⟩배이고, 반지름이 없는 뉴턴은 ⟨time_whole⟩배입니다. 절반이 남으면 ⟨time_most⟩배입니다. 목록에서는 이웃한 칸을 한꺼번에 계산하지 못해 쌍 하나에 드는 시간이 깁니다. 위 표에서 마지막 줄보다 오래 걸리는 줄이 있다면, 쌍이 그만큼 남을 때는 반지름을 없는 셈 치고 블록으로 훑는 것보다도 느린 것입니다. 더 긴 글에서 잰 값은 [재어 둔 기록](#fast-record)의 `newton_near`에 있습니다.
#
# **반지름을 배울 때는 목록으로 모자랍니다.** 반지름은 밖에 있는 토큰에게서도 기울기를 받아야 넓어질 수 있는데(가중치가 0인 칸의 참 기울기는 0입니다), 목록에는 안의 쌍만 있습니다. 그래서 `fast_attend`가 꼴을 스스로 고를 때(`auto`)는 CPU에서 반지름을 학습하지 않을 때에만 `near`를 쓰고, 반지름까지 학습할 때는 표를 행 몇 개씩 모두 만드는 `chunked`를 씁니다.
# %% [markdown] tags=["lang-en"]
# Forward and backward together, with ⟨longest⟩ tokens. At the radius that keeps ⟨near_pairs⟩ of the pairs it takes ⟨time_near⟩ of SDPA's time; Newton without a radius takes ⟨time_whole⟩. With half of the pairs left it takes ⟨time_most⟩. In a list neighbouring cells are not computed together, and a single pair takes longer. Where a row of the table above takes longer than the last one, a list of so many pairs is slower even than walking over all blocks as if there were no radius. For longer texts see `newton_near` in [the record](#fast-record).
#
# **A radius that is learned needs more than a list.** It can only grow if tokens beyond it give it a gradient (the true gradient of a weight of 0 is 0), and the list has the pairs inside alone. So `fast_attend`, left to choose a form (`auto`), takes `near` only on a CPU and only where the radius is not being trained; where it is, it takes `chunked`, which makes the whole table, some rows at a time.

# %% [markdown] tags=["lang-ko"]
# <!-- label: fast-trained -->
# ### 배운 좌표는 글을 따르는가
#
# 앞의 좌표는 지어낸 것입니다. 실제로 배운 좌표는 어떨까요? 작은 문자 단위 언어 모델(language model) 둘을 `compact` 컷오프로 학습시킵니다. 한쪽 좌표는 토큰과 위치에서, 다른 쪽은 원본처럼 위치에서만 출발합니다. 글자 128개를 8개씩 타일로 나누어, 모델이 배운 반지름으로 가까운 쌍이 하나라도 있는 타일의 몫을 층(layer)마다 셉니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: fast-trained -->
# ### Do learned coordinates follow the text?
#
# Those coordinates were made up. What about learned ones? Two small character-level language models train with the `compact` cutoff. The coordinates of one start from token and position, of the other from position alone, as in the original. Cut 128 characters into tiles of 8 and count, layer by layer, the tiles that hold a near pair at the radii that the model learned.

# %% tags=["hide-input"]
from lib.gravity.model import LMConfig, build
from lib.training.loop import Recipe, train

text = data.text("tinyshakespeare")
index = {char: i for i, char in enumerate(sorted(set(text)))}
ids = torch.tensor([index[char] for char in text[:400_000]])
train_ids, valid_ids = ids[:-20_000], ids[-20_000:]
base = LMConfig(vocab=len(index), context=128, d_model=64, n_layers=2,
                n_heads=2, d_coord=64, attention="newton",
                cutoff="compact", radius=1.0)
recipe = Recipe(steps=cfg.steps, batch=4, context=128, learning_rate=3e-3,
                warmup=cfg.steps // 10, evaluations=1, seed=seed,
                evaluation_windows=8)
models = {}
for start in ("token+position", "position"):
    model = build(replace(base, coordinates=start), seed=seed)
    history = train(model, train_ids, valid_ids, recipe, start)
    models[start] = model, history.valid[-1]

# %% tags=["hide-input"]
sample, rows = valid_ids[:128].reshape(1, -1), []
for start, (model, loss) in models.items():
    with torch.no_grad():
        trace = model.eval().trace(sample)[1]
    for i, (layer, block) in enumerate(
            zip(trace, model.blocks, strict=True)):
        attention = block.attention
        z = attention.heads(attention.place(layer["z"])).detach()
        R = attention.radius.detach()[:, None, None]
        far = (layer["r2"] >= R**2)[..., causal(128).tril(-1)]
        rows.append((start, i, loss, R.mean().item(),
                     far.float().mean().item(), touched(near(z, R), 8)))
trained = pd.DataFrame(rows, columns=[
    "좌표 | coordinates", "층 | layer", "검증 손실 | validation loss",
    "반지름 R | radius R", "끊긴 쌍 | pairs cut",
    "계산할 타일 | tiles to compute"])

# %% tags=["hide-input"]
record(trained_steps=cfg.steps)
cut = trained.iloc[:, 4]
some = trained[cut < 0.99].iloc[:, 4]  # layers that do not cut nearly all
most = trained.loc[some.idxmax() if len(some) else cut.idxmin()]
for name, share in {
        "cut_least": cut.min(), "cut_most": cut.max(),
        "near_many": 1 - most.iloc[4], "tiles_many": most.iloc[5]}.items():
    record(name, share, text=f"{share:.1%}")
record(n_layers=len(trained))
trained.style.hide(axis="index").format(precision=2)

# %% [markdown] tags=["lang-ko"]
# ⟨trained_steps⟩스텝을 학습한 두 모델의 층 ⟨n_layers⟩개에서, 반지름이 끊는 쌍은 ⟨cut_least⟩에서 ⟨cut_most⟩까지 퍼져 있습니다. 쌍의 ⟨near_many⟩만큼이 남은 층에서도 타일의 ⟨tiles_many⟩에는 가까운 쌍이 있습니다. 이 비율이 1에 가깝다면 배운 좌표에서도 타일을 빼서 얻을 것이 없습니다. 거의 모두를 끊은 층이 있다면 그 층의 토큰은 거의 자기만 보므로, 무엇을 건너뛰는지는 문제가 되지 않습니다. 모델은 작고 글은 짧고 시드(seed)는 하나이니, 큰 모델에 대한 답은 아닙니다.
# %% [markdown] tags=["lang-en"]
# In the ⟨n_layers⟩ layers of the two models, after ⟨trained_steps⟩ steps, the radius cuts from ⟨cut_least⟩ to ⟨cut_most⟩ of the pairs. Where ⟨near_many⟩ of the pairs are left, ⟨tiles_many⟩ of the tiles hold a near one. Where that share is close to 1, leaving out tiles gains nothing with learned coordinates either. Where a layer cuts nearly all pairs, its tokens see hardly anything but themselves, and it matters little what is skipped. These models are small, the text is short and there is one seed; about large models this says nothing.

# %% [markdown] tags=["lang-ko"]
# <!-- label: fast-errors -->
# ## 모든 꼴의 오차
#
# 마지막으로 한 표에 모읍니다. 입력을 그 정밀도로 먼저 반올림해 두고, 같은 수를 float64로 계산한 기준과 견줍니다. ‘기준의 답’은 기준이 구한 답을 그 정밀도로 적기만 했을 때의 오차입니다. 같은 커널의 어떤 꼴도 이보다 나을 수 없습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: fast-errors -->
# ## The error of every form
#
# Last, all in one table. Inputs are rounded to each precision first, and outputs compared with the float64 reference on the same numbers. The rows named “the reference's answer” show what writing that answer down in the precision costs; no form of the same kernel can do better.

# %%
from lib.gravity.fast import gaussian_sdpa


def naive_gaussian(z, mass, value, pull):
    q, k = gaussian_vectors(z, pull.bias(mass[:, None]).to(z.dtype),
                            pull.strength.to(z.dtype))
    return F.scaled_dot_product_attention(q, k, value, is_causal=True,
                                          scale=1.0)

# %%
def error(kernel, form, kind, offset=0.0):
    rounded = [x.detach() for x in scene(256)]
    rounded = [(x + offset * (i == 0)).to(kind)
               for i, x in enumerate(rounded)]
    exact = attend(*(x.double() for x in rounded),
                   pull_of(kernel, kind=torch.float64))[0]
    if form == "answer":
        return gap(exact.to(kind), exact)
    pull = pull_of(kernel)
    if form == "naive":
        return gap(naive_gaussian(*rounded, pull), exact)
    if form == "split":
        z, mass, value = rounded
        bias = pull.bias(mass[:, None].float()).expand(z.shape[:-1])
        own = pull.strength.expand(*z.shape[:2], 1, 1)
        return gap(gaussian_sdpa(z, bias, own, value, half=True), exact)
    return gap(fast_attend(*rounded, pull, form), exact)

# %% tags=["hide-input"]
listed = {
    ("newton", "answer"): "newton, 기준의 답 | the reference's answer",
    ("newton", "reference"): "newton, 표 | tables",
    ("newton", "fused"): "newton, 블록 | blocks",
    ("newton", "chunked"): "newton, chunked",
    ("gaussian", "answer"): "gaussian, 기준의 답 | the reference's answer",
    ("gaussian", "reference"): "gaussian, 표 | tables",
    ("gaussian", "naive"): "gaussian, 수 하나 | one number",
    ("gaussian", "split"): "gaussian, 나누어 | split",
    ("gaussian", "sdpa"): "gaussian, sdpa (32 bits)",
    ("gaussian", "chunked"): "gaussian, chunked",
}

# %% tags=["hide-input"]
columns = {"float32": (torch.float32, 0), "float16": (torch.float16, 0),
           "bfloat16": (torch.bfloat16, 0),
           "bfloat16, +4": (torch.bfloat16, 4.0)}
errors = pd.DataFrame({
    head: [error(*key, *where) for key in listed]
    for head, where in columns.items()}, index=list(listed.values()))
floor, naive, parts = errors.iloc[4], errors.iloc[6], errors.iloc[7]
record(floor_bf16=floor.iloc[2], blocks_bf16=errors.iloc[2, 2],
       floor_newton=errors.iloc[0, 2],
       split_bf16=parts.iloc[2], naive_bf16=naive.iloc[2],
       naive_moved=naive.iloc[3], split_moved=parts.iloc[3],
       blocks_f32=errors.iloc[2, 0], tables_f32=errors.iloc[1, 0])
errors.style.format("{:.1e}")

# %% [markdown] tags=["lang-ko"]
# 마지막 열은 모든 좌표에 4를 더한 경우입니다. bf16에서 블록으로 훑은 뉴턴의 오차는 ⟨blocks_bf16⟩이고 답을 적기만 해도 드는 오차는 ⟨floor_newton⟩입니다. 16비트로 나누어 적은 가우스는 ⟨split_bf16⟩, 적기만 할 때는 ⟨floor_bf16⟩입니다. 수 하나로 적은 가우스는 ⟨naive_bf16⟩인데, 좌표를 옮긴 뒤에는 ⟨naive_moved⟩입니다. 나누어 적은 쪽은 옮겨도 ⟨split_moved⟩입니다. float32의 오차는 블록에서 ⟨blocks_f32⟩, 표에서 ⟨tables_f32⟩입니다. 자기 자신과의 거리는 둘 다 0으로 못 박아 둡니다. 이것까지 큰 수의 차이로 구하면 점이 멀리 퍼져 있을 때 오차가 커집니다.
# %% [markdown] tags=["lang-en"]
# The last column adds 4 to every coordinate. In bf16 Newton by blocks has an error of ⟨blocks_bf16⟩, where writing the answer down costs ⟨floor_newton⟩ by itself; the Gaussian split in 16 bits has ⟨split_bf16⟩, where writing down costs ⟨floor_bf16⟩. The Gaussian written as one number has ⟨naive_bf16⟩, and ⟨naive_moved⟩ once the coordinates are moved; split, it is ⟨split_moved⟩. In float32 the error is ⟨blocks_f32⟩ by blocks and ⟨tables_f32⟩ by tables. Both pin a token's distance to itself to 0; were that a difference of large numbers too, the error would grow where points lie far apart.

# %% [markdown] tags=["lang-ko"]
# <!-- label: fast-failures -->
# ## 잘되지 않은 것
#
# - **평균으로 중심 잡기.** bf16에서 과거의 출력이 ⟨leak_bf16⟩까지 움직였습니다.
# - **수 하나로 적은 편향.** 구름이 원점에서 ⟨far⟩만큼 멀어지면 오차가 ⟨one_far⟩입니다.
# - **타일 건너뛰기.** 쌍의 ⟨near_pairs⟩만 남아도 타일 가운데 ⟨tiles_random⟩에 가까운 쌍이 있습니다.
# - **반지름을 배우면서 목록 쓰기.** 목록에는 반지름 밖의 쌍이 없어서, 반지름을 넓히는 기울기를 얻을 수 없습니다. 그래서 하지 않습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: fast-failures -->
# ## What did not work
#
# - **Centring by a mean.** Past outputs moved by up to ⟨leak_bf16⟩ in bf16.
# - **A bias written as one number.** With the cloud ⟨far⟩ away from the origin the error is ⟨one_far⟩.
# - **Leaving out tiles.** With ⟨near_pairs⟩ of the pairs left, ⟨tiles_random⟩ of the tiles have to be computed.
# - **Lists while the radius learns.** A list has no pairs beyond the radius, and from them comes the gradient that widens it. So this is not done.

# %% [markdown] tags=["lang-ko"]
# <!-- label: fast-measured -->
# ## 무엇을 무엇으로 쟀는가
#
# 시간과 메모리는 배치 1, 헤드 ⟨heads⟩개, 축 ⟨axes⟩개, 값의 폭 ⟨d_value⟩, float32, CPU에서 순전파와 역전파를 함께 잰 것입니다. 점과 값은 정규 분포, 질량은 0.2에서 2.2 사이의 균등 분포에서 뽑았습니다. 시간은 SDPA와 번갈아 잰 ⟨n_pairs⟩쌍의 가운데 값, 메모리는 `torch.profiler`가 적은 할당에서 구한 최고점입니다. GPU에서: ⟨gpu_ko⟩.
# %% [markdown] tags=["lang-en"]
# <!-- label: fast-measured -->
# ## What was measured, and on what
#
# Time and memory: batch 1, ⟨heads⟩ heads, ⟨axes⟩ axes, values ⟨d_value⟩ wide, float32, forward and backward together, on the CPU. Points and values come from a normal distribution, masses uniformly from between 0.2 and 2.2. Times are medians of ⟨n_pairs⟩ pairs taken in turn with SDPA; memory is the highest point of the allocations that `torch.profiler` wrote down. On a GPU: ⟨gpu_en⟩.

# %% tags=["hide-input"]
names = [data.describe("tinyshakespeare", side) for side in ("ko", "en")]
pd.DataFrame([
    ("글 (작은 모델 둘) | text (of the two small models)",
     " | ".join(dict.fromkeys(names))),
    ("장치, 스레드 | device, threads",
     f"{cfg.device}, {torch.get_num_threads()}"),
    ("프로필 | profile", cfg.profile),
    ("PyTorch", torch.__version__),
], columns=["", "이번 실행 | this run"]).style.hide(axis="index")
