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
# <!-- label: ngt -->
# # NGT 학습: 중력의 값어치를 한 칸씩 재기
#
# **판정.** ⟨verdict_ko⟩
#
# [앞 장](09_gravity_coordinates.ipynb)에서 토큰(token)에 질량(mass)과 좌표(coordinates)를 주었습니다. 그렇게 만든 모델을 NGT(Newton Gravity Transformer)라고 부르겠습니다. 이 장은 위의 판정에 이르는 길입니다. **내적(dot product) 대신 중력을 쓰면 글을 더 잘 맞히는가?** 대답보다 어려운 것은 묻는 방법입니다. NGT는 보통의 트랜스포머(Transformer)와 여러 군데가 다르므로, 한 군데씩 바꾸어 가며 재지 않으면 무엇이 도움이 되었는지 알 수 없습니다. 위의 문장은 `benchmarks/results/quality.jsonl`에 적힌 실행에서 신뢰 구간(confidence interval)을 구하여 고른 것이고, 실행이 바뀌면 문장도 바뀝니다. 거기 나오는 말은 아래에서 하나씩 풀이합니다.
#
# - **할 수 있게 되는 것.** 모델 둘 사이를 한 번에 하나씩만 바꾸는 사다리로 잇고, 학습 중에 무엇이 변하는지 지켜보고, 시드(seed)를 짝지은 차이와 신뢰 구간으로 판정하고, 배운 모델과 말을 주고받고, 멈춘 학습을 이어 갈 수 있습니다.
# - **걸리는 시간.** 읽기 60분, 연습 문제 35분. 한 쌍을 학습하는 데 이 실행에서 ⟨pair_seconds⟩초가 걸렸습니다.
# - **필요한 것.** [중력 좌표](09_gravity_coordinates.ipynb), [학습](05_training.ipynb)의 반복문, 평균과 표준편차.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt -->
# # Training NGT: what gravity is worth, rung by rung
#
# **The verdict.** ⟨verdict_en⟩
#
# In the [last chapter](09_gravity_coordinates.ipynb) tokens got masses and coordinates. Call a model built that way an NGT, a Newton Gravity Transformer. This chapter is the way to the verdict above. **Does gravity predict text better than the dot product?** Harder than the answer is how to ask. An NGT differs from the ordinary Transformer in several places, and unless they are changed one at a time, nobody can tell which of them helped. The sentences were picked by confidence intervals over the runs in `benchmarks/results/quality.jsonl`; with other runs there would be other sentences. What their words mean is explained below, one by one.
#
# - **You will be able to** join two models by a ladder that changes one thing at a time, watch what changes during training, judge by differences paired over seeds with a confidence interval, talk to the trained model, and go on with a training that was stopped.
# - **Time.** 60 minutes to read, 35 for the exercises. Training one pair took ⟨pair_seconds⟩ seconds in this run.
# - **You need** [gravity coordinates](09_gravity_coordinates.ipynb), the loop of [training](05_training.ipynb), means and standard deviations.

# %% tags=["parameters"]
profile: str = None  # smoke, book or gpu; None follows BOOK_PROFILE, else book
dataset = "tinyshakespeare"  # tinyshakespeare, wikitext2 or wikitext103
kernel = "gaussian"  # newton, gaussian or potential: beside the dot product
seed = 0  # of the first weights and of the batches
steps: int = None  # updates of each model; None: the profile
batch: int = None  # windows in an update; None: the profile
context: int = None  # characters in a window; None: the profile
d_model: int = None  # width of the stream; None: the profile
n_layers: int = None  # None: the profile
n_heads: int = None  # None: the profile
d_coord: int = None  # width of the coordinates; None: as many weights as dot
learning_rate: float = None  # peak of the cosine; None: the profile
strength = 0.5  # first p or γ of every head
eps = 1.0  # softening of newton and potential, in the unit of r²
lambda_repulsion = 0.0  # weight of repulsion in the loss; 0 only watches
min_dist = 0.1  # below this distance the repulsion stops growing
timings: int = None  # steps timed for each rung; None: the profile
results = "benchmarks/results/quality.jsonl"  # the runs of the full experiment
prompt = "ROMEO:"  # what the models go on with
n_tokens: int = None  # length of a reply; None: the profile
temperature = 0.8  # of the replies
top_k = 20  # of the replies: only the likeliest this many
chat = False  # True in a notebook of your own: a box to talk to the model
device = "cpu"  # cpu, cuda or auto

# %% tags=["hide-input"]
import math
import signal
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib import pyplot as plt

from lib.data import ROOT
from lib.gravity.attention import repulsion
from lib.gravity.model import LMConfig, build, matched_width, parameters
from lib.gravity.texts import ids_of, load_text
from lib.gravity.tokenizers import CharTokens
from lib.page.figures import COLOURS, show, use_style
from lib.page.profile import expect, settings
from lib.page.record import record, used
from lib.training.loop import Recipe, batches, evaluate, fit

use_style()

# %% tags=["hide-input"]
sizes = ("steps", "batch", "context", "d_model", "n_layers", "n_heads",
         "learning_rate", "timings", "n_tokens", "evaluations")
quick, full, large = (dict(zip(sizes, row, strict=True)) for row in (
    (16, 8, 32, 32, 2, 2, 4e-3, 3, 40, 4),
    (350, 12, 64, 128, 4, 4, 2e-3, 11, 240, 12),
    (1500, 12, 64, 128, 4, 4, 2e-3, 21, 400, 30)))
given = {name: globals().get(name) for name in sizes}
expect(str, dataset=dataset, kernel=kernel, results=results, prompt=prompt)
expect(int, seed=seed, top_k=top_k)
expect(int | None, d_coord=d_coord)
expect(float, strength=strength, eps=eps, min_dist=min_dist,
       lambda_repulsion=lambda_repulsion, temperature=temperature)
expect(bool, chat=chat)
cfg = settings(profile, smoke=quick, book=full, gpu=large, given=given,
               device=device, seed=seed)
record(n_steps=cfg.steps, n_layers=cfg.n_layers, d_model=cfg.d_model,
       n_context=cfg.context, kernel=kernel)

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-fair -->
# ## 공정하다는 것
#
# 견주려는 것 하나만 다르고 나머지는 모두 같아야 합니다. 그런데 [앞 장](09_gravity_coordinates.ipynb)의 내적 모델과 중력 모델 사이에서는 세 가지가 한꺼번에 달라집니다.
#
# 1. **어디서 얻는가.** 쿼리(query)와 키(key)를 은닉 상태(hidden state)에서 얻느냐, 따로 흐르는 좌표에서 얻느냐. 층마다 움직이는 이 좌표를 이 장에서는 **좌표 스트림**이라고 부릅니다.
# 2. **무엇으로 견주는가.** 내적이냐 거리냐.
# 3. **무게가 있는가.** 토큰마다 질량이 있느냐.
#
# 게다가 내적 쪽의 쌍둥이는 학습한 위치 표밖에 없었습니다. 내적에 도움이 된다고 알려진 것, 곧 회전 위치 임베딩(rotary position embedding)과 QK 정규화를 갖추고도 지는지를 물어야 합니다. 그래서 이 장은 두 모델만 견주지 않고, 한 칸에 되도록 하나씩만 바꾸는 [사다리](#ngt-ladder)를 놓습니다. 그 밖의 것은 이렇게 같게 둡니다.
#
# | 같게 두는 것 | 어떻게 |
# |---|---|
# | 글과 배치(batch)의 순서 | 시드 하나가 정합니다. 모든 모델은 같은 창을 같은 순서로 읽습니다 |
# | 함께 쓰는 가중치의 처음 값 | 가중치의 이름과 시드가 정합니다 |
# | 매개변수(parameter)의 수 | 좌표의 폭을 골라 2 % 안으로 맞춥니다 |
# | 최적화 | AdamW, 코사인, 웜업(warm-up), 기울기 자르기(gradient clipping)까지 하나의 `Recipe`를 씁니다 |
# | 학습률(learning rate)을 고를 기회 | 같은 후보를 같은 수의 시드로 시험하고, 모델마다 평균이 가장 좋은 것을 씁니다 |
# | 평가 | 검증 글 전체의 손실(loss)입니다. 뽑은 창 몇 개가 아닙니다 |
#
# 학습률까지 한 값으로 묶으면 더 공정해 보이지만 그렇지 않습니다. 모델마다 알맞은 학습률이 다르면, 묶은 값이 한쪽의 편을 들게 됩니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-fair -->
# ## What fair means
#
# One thing should differ, and all the rest be the same. But between the dot-product model of the [last chapter](09_gravity_coordinates.ipynb) and its gravity model three things change at once.
#
# 1. **Where from.** Queries and keys come from the hidden state, or from coordinates that flow apart from it and move at each layer. This chapter calls these the **stream of coordinates**.
# 2. **Compared by what.** A dot product, or a distance.
# 3. **With a weight or not.** Tokens have a mass, or have none.
#
# Besides, the twin with the dot product had nothing but a learned table of positions. The question is whether it loses even with what is known to help it, rotary positions and QK-norm. So this chapter does not hold two models against each other; it puts up a [ladder](#ngt-ladder) that changes as little as possible from rung to rung. The rest is kept the same as follows.
#
# | kept the same | how |
# |---|---|
# | Text and order of the batches | one seed decides; all models read the same windows in the same order |
# | First values of the weights they share | the seed and the name of the weight decide |
# | Number of parameters | the width of the coordinates is chosen to bring it within 2 % |
# | Optimisation | AdamW, cosine, warm-up and gradient clipping, all in one `Recipe` |
# | Chances to choose a learning rate | the same candidates with as many seeds; each model takes the one with the best mean |
# | Evaluation | the loss over the whole validation text, not over a few windows of it |
#
# Tying all models to one learning rate looks fairer still, and is not: where the right rate differs from model to model, the tied one takes a side.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-twins -->
# ## 쌍둥이 만들기
#
# 문자 하나가 토큰인 언어 모델(language model)입니다. 이 장에서 직접 학습하는 쌍은 **좌표 스트림을 함께 쓰고 커널(kernel)만 다른** 둘입니다. 한쪽은 좌표에서 내적을 구하고, 한쪽은 거리와 질량을 씁니다. 좌표는 위치에서 출발하고, 헤드(head)마다 놓인 자리와 [보는 자리](#ngt-looking)를 따로 투영(projection)합니다. 좌표의 폭은 보통의 트랜스포머(`dot`)와 매개변수의 수가 같아지도록 정합니다. 손으로 세어 풀고, [연습 문제](#ngt-exercise-twin)에서는 세지 않고 찾습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-twins -->
# ## Making twins
#
# These are language models whose tokens are characters. The pair that this page trains itself **shares the stream of coordinates and differs in the kernel alone**: one takes dot products of the coordinates, the other distances and masses. Coordinates start from positions, and each head projects where a token lies and [where it looks from](#ngt-looking) apart. Their width is set to make the parameters as many as those of the ordinary Transformer (`dot`). Here we count and solve; the [exercise](#ngt-exercise-twin) finds the value without counting.

# %%
text = load_text(dataset)
tokens = CharTokens.of(text.train + text.valid)
train_ids, valid_ids = (ids_of(part, tokens)
                        for part in (text.train, text.valid))

vanilla = LMConfig(
    vocab=tokens.vocab, context=cfg.context, d_model=cfg.d_model,
    n_layers=cfg.n_layers, n_heads=cfg.n_heads, attention="dot")
flowing = {"coordinates": "position", "looking": True}
gravity = replace(vanilla, attention=kernel, strength=strength, eps=eps,
                  **flowing)
gravity = replace(gravity, d_coord=d_coord or matched_width(gravity))
stream = replace(vanilla, stream="coordinates", d_coord=gravity.d_coord,
                 **flowing)
twins = {"stream dot": stream, kernel: gravity}
recipe = Recipe(
    steps=cfg.steps, batch=cfg.batch, context=cfg.context, seed=seed,
    learning_rate=cfg.learning_rate, warmup=max(1, cfg.steps // 30),
    evaluations=cfg.evaluations)

# %% [markdown] tags=["lang-ko"]
# 보통의 트랜스포머에서 빼는 것은 층마다 쿼리와 키의 행렬, 곧 $2d^2$개입니다. 대신 넣는 것은 둘로 나뉩니다. 좌표의 폭과 상관없는 것(글자마다 질량 하나, 헤드마다 세기와 질량 지수)과, 좌표의 축이 하나 늘 때마다 따라 느는 것입니다. 축 하나는 위치의 임베딩(embedding) 표에 한 열, 헤드로 가는 두 투영에 한 열씩, 층 사이를 옮기는 행렬에 한 행을 더합니다. 정규화에도 수가 둘씩 붙습니다. 뺀 만큼 넣으려면 일차방정식 하나를 풀면 됩니다.
# %% [markdown] tags=["lang-en"]
# What the ordinary Transformer gives up are the matrices of queries and keys, $2d^2$ numbers a layer. What it gets instead comes in two parts: what does not depend on the width of the coordinates (a mass for each character, a strength and a mass exponent for each head), and what grows with every axis. An axis adds a column to the table of positions, one to each of the two projections to the heads and a row to the matrices that move the coordinates between layers; each normalization has two numbers more. To get as much as was given up, solve one linear equation.

# %%
def exact_width(d, layers, heads):
    axes = max(2, d // heads // 2 - 2)  # of the coordinates of a head
    gone = 2 * layers * d**2  # queries and keys
    fixed = tokens.vocab + 2 * layers * heads  # masses; strengths, exponents
    tables = cfg.context + 2  # positions, LN
    project = layers * heads * axes * 2  # where it lies, where it looks from
    move = (layers - 1) * (d + 2)  # W and LN between the layers
    return (gone - fixed) / (tables + project + move)


exact = exact_width(cfg.d_model, cfg.n_layers, cfg.n_heads)
pd.Series({"solved": exact, "lib": matched_width(gravity),
           "used here": gravity.d_coord}).to_frame(
               "d_coord").style.format("{:.5g}")

# %% tags=["remove-cell"]
record("solved_width", exact, text=f"{exact:.2f}")

# %% [markdown] tags=["lang-ko"]
# 식이 주는 폭은 ⟨solved_width⟩이고, 정수로 만들면 `lib`가 찾은 값이 됩니다. 내적 쪽도 같은 폭을 씁니다. 이제 모델을 만들어 실제로 세어 봅니다.
# %% [markdown] tags=["lang-en"]
# The equation gives a width of ⟨solved_width⟩; made whole, it is what `lib` finds. The side of the dot product takes the same width. Now build the models and count for real.

# %% tags=["hide-input"]
pair = {name: build(config, seed) for name, config in twins.items()}
theirs = dict(pair[kernel].named_parameters())
shared = {n: p for n, p in pair["stream dot"].named_parameters()
          if n in theirs}
moved = [n for n, p in shared.items() if not torch.equal(p, theirs[n])]
counts = {"dot": parameters(build(vanilla, seed))}
counts |= {name: parameters(model) for name, model in pair.items()}
gap = max((counts[name] / counts["dot"] - 1 for name in pair), key=abs)
record("size_gap", gap, text=f"{gap:+.2%}".replace("-", "−"))
record(n_dot=counts["dot"], n_stream=counts["stream dot"],
       n_ngt=counts[kernel], d_coord=gravity.d_coord,
       n_shared=len(shared), n_moved=len(moved),
       n_kernel=counts[kernel] - counts["stream dot"])
pd.DataFrame({"매개변수 | parameters": [f"{n:,}" for n in counts.values()]},
             index=list(counts))

# %% [markdown] tags=["lang-ko"]
# 좌표의 폭이 ⟨d_coord⟩일 때 매개변수는 보통의 트랜스포머가 ⟨n_dot⟩개, 좌표에서 내적을 구하는 모델이 ⟨n_stream⟩개, 중력 모델이 ⟨n_ngt⟩개입니다. 보통의 것과 가장 크게 벌어진 차이는 ⟨size_gap⟩입니다. 이 장의 쌍은 가중치 텐서 ⟨n_shared⟩개를 함께 쓰고, 그 가운데 처음 값이 다른 것은 ⟨n_moved⟩개입니다. 중력만 가진 것은 질량과 세기와 질량 지수, 수 ⟨n_kernel⟩개가 전부입니다.
# %% [markdown] tags=["lang-en"]
# With coordinates ⟨d_coord⟩ wide, the ordinary Transformer has ⟨n_dot⟩ parameters, the model with dot products of coordinates ⟨n_stream⟩ and the gravity model ⟨n_ngt⟩; the largest difference from the first is ⟨size_gap⟩. The pair of this page shares ⟨n_shared⟩ weight tensors, of which ⟨n_moved⟩ begin with other values. All that gravity has for itself are masses, strengths and mass exponents: ⟨n_kernel⟩ numbers.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-looking -->
# ### 놓인 자리와 보는 자리
#
# 거리로 정하는 어텐션(attention)에는 내적에 없는 버릇이 하나 있습니다. 자기 자신과의 거리는 늘 0이므로, **어떤 토큰에게도 가장 가까운 것은 자기 자신**입니다. 질량이 모두 같다면 “바로 앞 글자만 보라”는 헤드를 만들 수가 없습니다. 내적은 쿼리와 키를 따로 투영(projection)하니 그런 제약이 없습니다.
#
# 그래서 헤드마다 투영을 하나 더 둡니다. 토큰은 $z_i$에 놓여 있지만 $y_i$에서 봅니다.
#
# $$r^2_{ij} = \frac{\lVert y_i - z_j \rVert^2}{C}, \qquad y_i = W_\text{look}\,\zeta_i, \quad z_j = W_\text{place}\,\zeta_j$$
#
# $\zeta$는 층이 함께 쓰는 좌표입니다. 학습은 $W_\text{look} = W_\text{place}$에서, 곧 놓인 자리에서 보는 상태로 시작합니다. 질량도 커널도 그대로이고 빠른 꼴도 모두 그대로 쓸 수 있습니다. 코드에서는 `LMConfig(looking=True)`, 명령에서는 `-p looking True`입니다. 서로 당기는 힘이 같다는 뉴턴의 셋째 법칙은 이때 깨집니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-looking -->
# ### Where a token lies and where it looks from
#
# Attention by distance has a habit that the dot product has not. The distance to oneself is always 0, so **the nearest thing to any token is that token itself.** With equal masses, no head can say “look at the previous character only.” The dot product, which projects queries and keys apart, is free to.
#
# So give each head one more projection. A token lies at $z_i$ and looks from $y_i$.
#
# $$r^2_{ij} = \frac{\lVert y_i - z_j \rVert^2}{C}, \qquad y_i = W_\text{look}\,\zeta_i, \quad z_j = W_\text{place}\,\zeta_j$$
#
# Here $\zeta$ are the coordinates that all heads of a layer share. Training starts at $W_\text{look} = W_\text{place}$, looking from where it lies. Masses and kernels stay as they are, and so does every fast form. In code it is `LMConfig(looking=True)`, on the command line `-p looking True`. Newton's third law, that two bodies pull each other alike, no longer holds then.

# %% [markdown] tags=["lang-ko"]
# 먼저 버릇부터 봅니다. 글자 열두 개를 원 위에 읽는 순서대로 놓고 질량은 모두 같게 합니다. 놓인 자리에서 보는 헤드와, 원을 한 칸 거꾸로 돌려 **앞 글자의 자리에서 보는** 헤드를 견줍니다. $W_\text{look}$은 그 회전입니다. 표의 수는 바로 앞 글자가 받는 가중치의 평균입니다.
# %% [markdown] tags=["lang-en"]
# First the habit. Put twelve characters on a circle in reading order, all of one mass. Compare a head that looks from where each one lies with a head that turns the circle back by one and looks **from where the previous one lies**; $W_\text{look}$ is that rotation. The numbers in the table are the mean weight that the previous character gets.

# %%
def squared_distances(y, z):  # from where one looks to where others lie
    return (y[..., :, None, :] - z[..., None, :, :]).square().mean(-1)


def weights_of(r2, mass, p, beta=1.0, eps=0.1):  # newton, causal
    logits = beta * mass.log()[..., None, :] - p * (r2 + eps).log()
    seen = torch.ones(r2.shape[-2:], dtype=torch.bool).tril()
    return logits.masked_fill(~seen, -torch.inf).softmax(-1)

# %%
n_on_circle = 12
step = 2 * math.pi / n_on_circle
angle = step * torch.arange(n_on_circle)
zeta = torch.stack([angle.cos(), angle.sin()], -1)
W_look = torch.tensor([[math.cos(step), math.sin(step)],
                       [-math.sin(step), math.cos(step)]])  # one back

mass, previous = torch.ones(n_on_circle), {}
for p in (1, 4, 16):
    previous[p] = {
        name: weights_of(squared_distances(y, zeta), mass, p, eps=0.01
                         ).diagonal(-1).mean().item()
        for name, y in {"from where it lies": zeta,
                        "from the place before": zeta @ W_look.T}.items()}
pd.DataFrame(previous).T.rename_axis("p").round(3)

# %% tags=["remove-cell"]
record(own_look=previous[1]["from where it lies"],
       turned_look=previous[16]["from the place before"])

# %% [markdown] tags=["lang-ko"]
# 놓인 자리에서 보면 앞 글자의 몫은 $p=1$에서 ⟨own_look⟩이고, 세기를 올릴수록 자기 자신에게 빼앗깁니다. 자리를 돌려서 보면 $p=16$에서 ⟨turned_look⟩입니다.
#
# 이제 같은 것을 층으로 짓습니다. 늘어나는 것은 투영 하나뿐입니다.
# %% [markdown] tags=["lang-en"]
# Looking from where each one lies, the previous character has ⟨own_look⟩ at $p=1$, and the stronger the head, the more of it goes to the token itself. Looking from the turned place, it has ⟨turned_look⟩ at $p=16$.
#
# Now the same as a layer. One projection is all that is added.

# %%
class Looking(torch.nn.Module):
    def __init__(self, d_coord, n_heads, axes):
        super().__init__()
        self.n_heads = n_heads
        self.place, self.look = (
            torch.nn.Linear(d_coord, n_heads * axes, bias=False)
            for _ in range(2))
        with torch.no_grad():  # at first it looks from where it lies
            self.look.weight.copy_(self.place.weight)

    def forward(self, zeta, mass, p, beta, eps):
        y, z = (part(zeta).unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
                for part in (self.look, self.place))  # batch head seq axes
        r2 = squared_distances(y, z)
        return weights_of(r2, mass[:, None], p, beta, eps)

# %%
free = replace(gravity, attention="newton", strength=1.0, eps=eps)
model, ids = build(free, seed).eval(), valid_ids[None, : cfg.context]
theirs = model.blocks[0].attention
ours = Looking(free.d_coord, cfg.n_heads,
               theirs.place.out_features // cfg.n_heads)


def both_weights():  # of the first layer: by hand, in lib's model
    ours.place.load_state_dict(theirs.place.state_dict())
    ours.look.load_state_dict(theirs.look.state_dict())
    p, beta = theirs.pull.strength, theirs.pull.beta
    return (ours(model.coordinates(ids), model.masses(ids), p, beta, eps),
            model.trace(ids)[1][0]["weights"])


def to_itself(weights):  # share of queries that look at themselves most
    own = torch.arange(weights.shape[-1])
    return (weights.argmax(-1) == own).double().mean().item()

# %%
with torch.no_grad():
    looked = {"at the start": both_weights()}
    turned = torch.randn(theirs.look.weight.shape,
                         generator=torch.Generator().manual_seed(seed))
    theirs.look.weight.copy_(turned * theirs.place.weight.std())
    looked["another W_look"] = both_weights()
pd.DataFrame({name: {"largest difference": f"{(a - b).abs().max():.1e}",
                     "largest to itself": f"{to_itself(a):.0%}"}
              for name, (a, b) in looked.items()}).T

# %% tags=["remove-cell"]
share = {name: to_itself(a) for name, (a, _) in looked.items()}
record(look_gap=max((a - b).abs().max().item() for a, b in looked.values()))
for key, value in zip(("look_first", "look_other"), share.values(), strict=True):
    record(key, value, text=f"{value:.0%}")

# %% [markdown] tags=["lang-ko"]
# 손으로 지은 층과 `lib`의 층은 가중치가 ⟨look_gap⟩ 넘게 다르지 않습니다. 학습 전에는 쿼리의 ⟨look_first⟩이(가) 자기 자신에게 가장 큰 가중치를 주고, $W_\text{look}$을 아무 행렬로 바꾸면 그 비율이 ⟨look_other⟩(으)로 내려갑니다. 앞의 방정식에서 투영의 몫에 2를 곱한 것은 이 투영이 하나 더 있기 때문입니다. 내적 쪽의 쌍둥이도 같은 두 투영을 가집니다.
# %% [markdown] tags=["lang-en"]
# The weights of the layer by hand and of `lib`'s differ by no more than ⟨look_gap⟩. Before training, ⟨look_first⟩ of the queries give their largest weight to themselves; with some other matrix for $W_\text{look}$ it is ⟨look_other⟩. This projection is why the share of projections in the equation above was multiplied by 2. The twin with the dot product has the same two.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-ladder -->
# ## 사다리
#
# 칸마다 견줄 칸에서 한 군데만 바꿉니다. 이름은 실행을 적은 파일에 있는 것입니다.
#
# | 칸 | 이름 | 견줄 칸 | 바꾸는 것 |
# |---|---|---|---|
# | 0 | `dot` | | 보통의 트랜스포머. 학습한 위치 표를 은닉 상태에 더합니다 |
# | 1 | `dot, rotary` | 0 | 위치 표를 빼고, 쿼리와 키를 위치만큼 돌립니다 |
# | 2 | `dot, rotary, qk-norm` | 1 | 헤드마다 쿼리와 키의 길이를 맞춥니다(QK 정규화) |
# | 3 | `stream dot` | 0 | 쿼리와 키를 은닉 상태가 아니라 좌표 스트림에서 얻습니다 |
# | 4 | `gaussian, position, looking` | 3 | 내적 대신 거리와 질량을 씁니다 |
# | 5 | `rotated dot` | 3 | 좌표를 위치가 아니라 글자에서 얻고, 위치만큼 돌립니다. 위치 표는 없습니다 |
# | 6 | `rotated gaussian` | 5 | 내적 대신 거리와 질량을 씁니다 |
#
# 1과 2는 내적을 강하게 만드는 갈래이고, 3부터가 중력으로 가는 갈래입니다. 중력의 값어치는 4와 3, 6과 5 사이에 있습니다. 같은 좌표에서 커널만 바뀌기 때문입니다. 다만 커널이 바뀌면 거리와 질량이 함께 들어옵니다. 질량만의 몫은 질량을 뺀 모델(`no mass`)과 견주어 따로 봅니다. 5에서는 좌표를 얻는 곳과 위치를 알려 주는 방법이 함께 바뀌므로, 5와 3의 차이는 어느 한쪽만의 것이 아닙니다. 좌표 스트림의 값어치는 3과 0 사이에 있고, 그것이 강한 내적과 견주어도 남는지는 3과 2가 말해 줍니다. 코드로는 이렇습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-ladder -->
# ## The ladder
#
# Each rung changes one place of the rung it stands beside. The names are those of the file of runs.
#
# | rung | name | beside | what changes |
# |---|---|---|---|
# | 0 | `dot` | | the ordinary Transformer, with a learned table of positions added to the hidden state |
# | 1 | `dot, rotary` | 0 | no table of positions; queries and keys are turned by position |
# | 2 | `dot, rotary, qk-norm` | 1 | queries and keys of each head are brought to one length (QK-norm) |
# | 3 | `stream dot` | 0 | queries and keys come from the stream of coordinates, not from the hidden state |
# | 4 | `gaussian, position, looking` | 3 | distance and mass in place of the dot product |
# | 5 | `rotated dot` | 3 | coordinates come from characters, not positions, and are turned by position; no table of positions |
# | 6 | `rotated gaussian` | 5 | distance and mass in place of the dot product |
#
# Rungs 1 and 2 are the branch that makes the dot product strong; from 3 on goes the branch to gravity. What gravity is worth lies between 4 and 3, and between 6 and 5, since only the kernel changes on the same coordinates. Still, a new kernel brings in distance and mass together; what mass alone is worth is seen beside a model without it (`no mass`). At rung 5, where coordinates come from and how they are told of positions change together, so the difference of 5 and 3 belongs to neither alone. What the stream of coordinates is worth lies between 3 and 0, and 3 beside 2 tells whether it lasts against a strong dot product. In code:

# %%
from_characters = {"coordinates": "token", "positions": "rotary"}
gauss = replace(gravity, attention="gaussian", strength=0.5)
ladder = {
    "dot": vanilla,
    "dot, rotary": replace(vanilla, positions="rotary"),
    "dot, rotary, qk-norm": replace(
        vanilla, positions="rotary", qk_norm=True),
    "stream dot": stream,
    "gaussian, position, looking": gauss,
    "rotated dot": replace(stream, **from_characters),
    "rotated gaussian": replace(gauss, **from_characters)}
ladder |= {name: replace(config, d_coord=d_coord or matched_width(config))
           for name, config in ladder.items() if config.has_coordinates}

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-turning -->
# ### 돌리기
#
# 회전 위치 임베딩은 벡터의 수를 둘씩 짝지어, 짝마다 다른 속도로, 글자의 자리에 비례하는 각도만큼 돌립니다. 두 벡터를 저마다의 자리만큼 돌린 뒤의 내적은 자리의 **차이**만 압니다. 거리도 그렇습니다. 돌려도 길이는 그대로이기 때문입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-turning -->
# ### Turning
#
# Rotary positions take the numbers of a vector in pairs and turn each pair, at a speed of its own, by an angle in proportion to where the character stands. The dot product of two vectors turned by their own places knows only the **difference** of the places. So does their distance, since turning leaves lengths alone.

# %%
def turned(x, first=0):  # … seq axes; `first` is the place of token 0
    a, b = x.chunk(2, -1)
    pair = torch.arange(a.shape[-1], dtype=torch.float64) / a.shape[-1]
    place = torch.arange(first, first + x.shape[-2])
    angle = place[:, None] * 10_000.0**-pair
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


draw = torch.Generator().manual_seed(seed)
y, z = torch.randn(2, 6, 8, generator=draw, dtype=torch.float64)
here, later = (
    {"dot product": turned(y, n) @ turned(z, n).T,
     "squared distance": squared_distances(turned(y, n), turned(z, n))}
    for n in (0, 1000))
pd.Series({name: (here[name] - later[name]).abs().max().item()
           for name in here}).to_frame("largest difference"
                                       ).style.format("{:.1e}")

# %% tags=["remove-cell"]
record(turn_gap=max((here[name] - later[name]).abs().max().item()
                    for name in here), turn_far=1000)

# %% [markdown] tags=["lang-ko"]
# 글 전체를 ⟨turn_far⟩자리 뒤로 옮겨도 내적과 거리는 ⟨turn_gap⟩ 넘게 달라지지 않습니다.
#
# <!-- label: ngt-two-kernels -->
# ### 같은 좌표, 두 커널
#
# 3번 칸의 헤드는 보는 자리 $y_i$를 쿼리로, 놓인 자리 $z_j$를 키로 삼아 보통의 내적을 구합니다. 4번 칸은 같은 $y_i$와 $z_j$ 사이의 거리를 잽니다. 가우스 커널(Gaussian kernel)을 펼치면 둘의 차이가 드러납니다.
#
# $$\beta\log m_j-\frac{\gamma}{C}\lVert y_i-z_j\rVert^2=\frac{2\gamma}{C}\,y_i\cdot z_j+\underbrace{\beta\log m_j-\frac{\gamma}{C}\lVert z_j\rVert^2}_{b_j}-\frac{\gamma}{C}\lVert y_i\rVert^2$$
#
# 마지막 항은 한 행에서 모두 같으니 소프트맥스(softmax)가 지웁니다. 그러므로 이 칸에서 바뀌는 것은 **키마다 더해지는 수 하나**($b_j$)와, 학습하는 세기 $\gamma$입니다. 거리는 길이가 긴 키를 낮추고, 질량은 글자마다 정해진 만큼 올리거나 내립니다.
# %% [markdown] tags=["lang-en"]
# Moving the whole text back by ⟨turn_far⟩ places changes dot products and distances by no more than ⟨turn_gap⟩.
#
# <!-- label: ngt-two-kernels -->
# ### The same coordinates, two kernels
#
# A head of rung 3 takes the place it looks from, $y_i$, for a query, the place where a token lies, $z_j$, for a key, and forms a plain dot product. Rung 4 measures the distance between the same $y_i$ and $z_j$. Expanding the Gaussian kernel shows how they differ.
#
# $$\beta\log m_j-\frac{\gamma}{C}\lVert y_i-z_j\rVert^2=\frac{2\gamma}{C}\,y_i\cdot z_j+\underbrace{\beta\log m_j-\frac{\gamma}{C}\lVert z_j\rVert^2}_{b_j}-\frac{\gamma}{C}\lVert y_i\rVert^2$$
#
# The last term is the same along a row, and the softmax drops it. So what this rung changes is **one number added to each key** ($b_j$), and a strength $\gamma$ that is learned. Distance lowers keys that are long; mass raises or lowers each character by an amount of its own.

# %%
def causal_softmax(logits):
    later = torch.ones(logits.shape[-2:], dtype=torch.bool).triu(1)
    return logits.masked_fill(later, -torch.inf).softmax(-1)


def by_dot(y, z):  # rungs 3 and 5
    return causal_softmax(y @ z.mT / math.sqrt(z.shape[-1]))


def by_distance(y, z, mass, gamma, beta):  # rungs 4 and 6
    C = z.shape[-1]
    own = beta[..., 0] * mass.log() - gamma[..., 0] / C * z.square().sum(-1)
    return causal_softmax(2 * gamma / C * y @ z.mT + own[..., None, :])

# %%
def by_hand(model, ids):  # weights of the first layer
    layer, zeta = model.blocks[0].attention, model.coordinates(ids)
    y, z = (part(zeta).unflatten(-1, (cfg.n_heads, -1)).transpose(1, 2)
            for part in (layer.look, layer.place))
    if layer.rotary:
        y, z = turned(y), turned(z)
    if model.config.attention == "dot":
        return by_dot(y, z)
    mass = model.masses(ids)[:, None]
    return by_distance(y, z, mass, layer.pull.strength, layer.pull.beta)


beside = {}
for name, config in list(ladder.items())[3:]:
    model = build(config, seed).eval()
    with torch.no_grad():
        theirs = model.trace(ids)[1][0]["weights"]
        beside[name] = (by_hand(model, ids) - theirs).abs().max().item()
pd.Series(beside).to_frame("largest difference").style.format("{:.1e}")

# %% tags=["remove-cell"]
record(rung_gap=max(beside.values()))

# %% [markdown] tags=["lang-ko"]
# 좌표를 쓰는 네 칸에서 손으로 구한 가중치는 `lib`의 것과 ⟨rung_gap⟩ 넘게 벌어지지 않습니다. 층 사이에서 좌표가 어텐션(attention)의 출력을 따라 움직이는 것($z\leftarrow\mathrm{LN}(z+Wa)$)도 네 칸이 모두 같습니다.
# %% [markdown] tags=["lang-en"]
# On the four rungs with coordinates the weights by hand differ from those of `lib` by no more than ⟨rung_gap⟩. How coordinates move between layers with the output of attention ($z\leftarrow\mathrm{LN}(z+Wa)$) is the same on all four.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-loop -->
# ## 학습 반복문을 손으로
#
# 조건이 같다는 말은 반복문까지 같다는 뜻입니다. 두 모델을 학습시킬 `fit`이 하는 일을 손으로 써서 견줍니다. 먼저 배치입니다. 시드가 창의 시작점을 뽑고, 목표는 한 글자 뒤의 같은 창입니다. 학습률은 처음 몇 스텝 동안 올라간 다음 코사인을 따라 최댓값의 십분의 일까지 내려갑니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-loop -->
# ## The training loop by hand
#
# Equal conditions include the loop. We write out what `fit`, which will train both models, does, and compare. First the batches: the seed draws where windows begin, and the targets are the same windows one character later. The learning rate rises for a few steps and then follows a cosine down to a tenth of its peak.

# %%
def windows_of(ids, recipe):  # endless: characters, next characters
    draw = torch.Generator().manual_seed(recipe.seed)
    span = torch.arange(recipe.context + 1)
    while True:
        start = torch.randint(len(ids) - recipe.context,
                              (recipe.batch, 1), generator=draw)
        chunk = ids[start + span]
        yield chunk[:, :-1], chunk[:, 1:]


def rate(step, recipe):
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / (recipe.steps - recipe.warmup)
    cosine = (1 + math.cos(math.pi * done)) / 2
    return recipe.learning_rate * (0.1 + 0.9 * cosine)

# %% [markdown] tags=["lang-ko"]
# 한 스텝은 다섯 동작입니다. 손실(loss)을 구하고, 기울기(gradient)를 구하고, 모든 기울기를 한데 본 길이가 1을 넘으면 줄이고, AdamW로 가중치를 옮기고, 기울기를 비웁니다. 가중치 감쇠(weight decay)는 행렬에만 겁니다.
# %% [markdown] tags=["lang-en"]
# A step is five moves: take the loss, take its gradient, shorten the gradient where all of it together is longer than 1, move the weights by AdamW, clear the gradient. Weight decay is for matrices only.

# %%
def train_by_hand(model, recipe):
    learn = [p for p in model.parameters() if p.requires_grad]
    adamw = torch.optim.AdamW([
        {"params": [p for p in learn if p.dim() > 1],
         "weight_decay": recipe.weight_decay},
        {"params": [p for p in learn if p.dim() < 2], "weight_decay": 0}],
        betas=recipe.betas)
    losses, source = [], windows_of(train_ids, recipe)
    for step in range(recipe.steps):
        for group in adamw.param_groups:
            group["lr"] = rate(step, recipe)
        x, y = next(source)
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learn, recipe.clip)
        adamw.step()
        adamw.zero_grad()
        losses.append(loss.item())
    return losses

# %%
short = replace(recipe, steps=6, warmup=2, evaluations=1)
by_hand = train_by_hand(build(twins[kernel], seed), short)
by_fit = []
fit(build(twins[kernel], seed), batches(train_ids, short), short,
    loss=lambda model, batch: (model.loss(*batch), 1),
    on_step=lambda step: by_fit.append(step.loss.item()), name="fit")
loop = pd.DataFrame({"by hand": by_hand, "fit": by_fit},
                    index=pd.RangeIndex(1, 7, name="step"))
loop.assign(difference=loop["by hand"] - loop["fit"]).style.format("{:.6g}")

# %% tags=["remove-cell"]
record(loop_gap=(loop["by hand"] - loop["fit"]).abs().max(),
       loop_steps=short.steps)

# %% [markdown] tags=["lang-ko"]
# ⟨loop_steps⟩스텝의 손실이 가장 크게 벌어진 곳에서 ⟨loop_gap⟩만큼 다릅니다. `fit`이 더하는 것은 저장과 재개, 여러 장치, 16비트 계산이며, 이 값들을 바꾸지는 않습니다.
# %% [markdown] tags=["lang-en"]
# Over ⟨loop_steps⟩ steps the losses differ by at most ⟨loop_gap⟩. What `fit` adds is saving and resuming, several devices and 16-bit numbers; it does not change these values.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-watch -->
# ## 지켜보며 학습하기
#
# 손실만 보면 무엇이 달라지는지 알 수 없습니다. 그래서 몇 스텝마다 배치 하나를 읽히며 네 가지를 적습니다.
#
# - **검증 손실**(validation loss). 둘 가운데 누가 앞서는지 봅니다.
# - **반발**(repulsion). 마지막 층의 점들이 서로 얼마나 바싹 붙었는지를 $m_i m_j / \max(r_{ij}, d_{\min})^2$의 평균으로 잽니다. 원본은 이 값을 손실에 더합니다. 여기서는 계수 `lambda_repulsion`이 0이면 재기만 합니다.
# - **세기**. 헤드(head)마다 학습하는 $p$(`newton`)나 $\gamma$입니다. 클수록 가까운 것을 더 편애합니다.
# - **엔트로피**. 어텐션 가중치(attention weight)가 퍼진 정도입니다. 한 토큰에 다 실리면 0이고, $n$개에 고르게 실리면 $\ln n$입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-watch -->
# ## Train and watch
#
# The loss alone does not show what changes. So every few steps we let the model read a batch and write down four things.
#
# - **Validation loss.** Who is ahead.
# - **Repulsion.** How close the points of the last layer stand, as the mean of $m_i m_j / \max(r_{ij}, d_{\min})^2$. The original adds it to the loss; here, where the weight `lambda_repulsion` is 0, it is only measured.
# - **Strength.** The $p$ (`newton`) or $\gamma$ that each head learns. The larger, the more it favours what is near.
# - **Entropy.** How far the attention weights spread: 0 where one token has them all, $\ln n$ where $n$ share them evenly.

# %%
class Watch:
    def __init__(self, every):
        self.every, self.rows = every, []

    def __call__(self, step):
        if step.step % self.every and step.step > 1:
            return
        model, ids = step.model.eval(), step.batch[0]
        with torch.no_grad():
            _, layers = model.trace(ids)
        w = torch.stack([layer["weights"] for layer in layers])
        row = {"step": step.step, "entropy": entropy(w).mean().item()}
        if layers[-1]["mass"] is not None:
            last = layers[-1]
            p = torch.stack([b.attention.strength for b in model.blocks])
            row |= {"repulsion": repulsion(last["z"], last["mass"],
                                           min_dist).item(),
                    "low": p.min().item(), "mean": p.mean().item(),
                    "high": p.max().item()}
        self.rows.append(row)


# %%
def entropy(w):  # of each row, in nats
    return -(w * w.clamp_min(1e-30).log()).sum(-1)


def loss_of(model, batch):  # summed over the tokens, and their number
    x, y = (ids.to(cfg.device) for ids in batch)
    logits, z, mass = model.places(x)
    fit_loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
    if lambda_repulsion and mass is not None:
        push = repulsion(z, mass, min_dist)
        fit_loss = fit_loss + lambda_repulsion * push
    return fit_loss * y.numel(), y.numel()


def quick_loss(model):  # on 128 windows, for the curve
    return evaluate(model, valid_ids, cfg.context, windows=128)

# %%
histories, watches, began = {}, {}, time.perf_counter()
for name, model in pair.items():
    watches[name] = Watch(max(1, cfg.steps // 30))
    histories[name] = fit(
        model.to(cfg.device), batches(train_ids, recipe), recipe,
        loss=loss_of, evaluate=quick_loss, on_step=watches[name], name=name)
spent = time.perf_counter() - began

# %% tags=["remove-cell"]
record("pair_seconds", spent, text=f"{spent:.0f}")

# %% tags=["hide-input"]
seen = {name: pd.DataFrame(w.rows) for name, w in watches.items()}
tint = {"stream dot": COLOURS["attention"], kernel: COLOURS["gravity"]}
figure, axes = plt.subplots(2, 2, figsize=(7.2, 5.2))
for name, history in histories.items():
    axes[0, 0].plot(history.step, history.valid, color=tint[name],
                    linestyle="-" if name == kernel else "--", label=name)
    axes[1, 1].plot(seen[name]["step"], seen[name]["entropy"],
                    linestyle="-" if name == kernel else "--",
                    color=tint[name], label=name)
ngt = seen[kernel]
axes[0, 1].plot(ngt["step"], ngt["repulsion"], color=tint[kernel])
axes[1, 0].fill_between(ngt["step"], ngt["low"], ngt["high"], alpha=0.2,
                        color=tint[kernel], linewidth=0)
axes[1, 0].plot(ngt["step"], ngt["mean"], color=tint[kernel])
axes[0, 0].legend()
for axis, title in zip(axes.flat, (
        "validation loss (nats)", "repulsion of the points",
        "strength of the heads",
        "entropy of the weights (nats)"), strict=True):
    axis.set(title=title, xlabel="step")
show(figure, table=ngt.set_index("step").rename(columns={
    "entropy": "mean entropy", "repulsion": "mean repulsion",
    "low": "weakest", "mean": "mean strength", "high": "strongest"}))

# %% [markdown] tags=["lang-ko", "caption"]
# 한 쌍의 학습. 실선이 중력, 파선이 내적입니다. 세기의 띠는 헤드 가운데 가장 약한 것부터 가장 센 것까지이고, 가운데 선이 평균입니다.
# <!-- alt: 스텝에 따른 그래프 네 개. 검증 손실은 두 모델 모두 내려간다. 반발과 세기는 중력 모델에만 있다. 엔트로피는 두 모델을 나란히 그렸다. 처음과 끝의 값은 본문에 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# One pair in training: gravity solid, the dot product dashed. The band of strengths reaches from the weakest head to the strongest, the line inside is their mean.
# <!-- alt: Four plots over steps. The validation loss of both models falls. Repulsion and strength exist in the gravity model only. The entropies of both are drawn together. First and last values are in the text. -->

# %% tags=["hide-input"]
began = time.perf_counter()
final = {name: evaluate(model, valid_ids, cfg.context)
         for name, model in pair.items()}
for key, name in (("stream", "stream dot"), ("ngt", kernel)):
    record(f"loss_{key}", final[name], text=f"{final[name]:.3f}")
    record(f"entropy_{key}_first", seen[name]["entropy"].iloc[0])
    record(f"entropy_{key}_last", seen[name]["entropy"].iloc[-1])
gap = final[kernel] - final["stream dot"]
record("pair_gap", gap, text=f"{gap:+.3f}".replace("-", "−"))
first, last = ngt.iloc[0], ngt.iloc[-1]
record(push_first=first["repulsion"], push_last=last["repulsion"],
       p_first=first["mean"], p_low=last["low"], p_high=last["high"])
windows = (len(valid_ids) - 1) // cfg.context
record(n_windows=windows, n_valid=windows * cfg.context)
pd.DataFrame({"검증 손실, 글 전체 | loss, whole validation text": [
    f"{loss:.4f}" for loss in final.values()]}, index=list(final))

# %% [markdown] tags=["lang-ko"]
# 세기는 어느 헤드에서나 ⟨p_first⟩ 가까이에서 출발해 ⟨p_low⟩에서 ⟨p_high⟩까지 벌어졌습니다. 반발은 ⟨push_first⟩에서 ⟨push_last⟩까지 변했습니다. 손실에 더하지 않고 재기만 했는데 이 값이 크게 늘었다면, 점들이 한곳에 뭉쳤거나 질량이 커진 것입니다. 엔트로피는 중력이 ⟨entropy_ngt_first⟩에서 ⟨entropy_ngt_last⟩까지, 내적이 ⟨entropy_stream_first⟩에서 ⟨entropy_stream_last⟩까지 변했습니다.
#
# 마지막 손실은 검증 글의 창 ⟨n_windows⟩개 전부에서 쟀습니다. 내적은 ⟨loss_stream⟩, 중력은 ⟨loss_ngt⟩내트이고, 중력에서 내적을 뺀 차이는 ⟨pair_gap⟩입니다. 음수이면 중력이 나은 것입니다. 그러나 **이것은 한 쌍이고, 한 쌍은 아무것도 판정하지 못합니다.** 시드를 바꾸면 두 손실이 모두 움직이고, 얼마나 움직이는지를 모르면 차이가 큰지 작은지도 알 수 없습니다.
# %% [markdown] tags=["lang-en"]
# All heads began with a strength near ⟨p_first⟩ and ended between ⟨p_low⟩ and ⟨p_high⟩. Repulsion went from ⟨push_first⟩ to ⟨push_last⟩; where it grows much while it is only measured, points have come together in one place or masses have grown. Entropy went from ⟨entropy_ngt_first⟩ to ⟨entropy_ngt_last⟩ under gravity and from ⟨entropy_stream_first⟩ to ⟨entropy_stream_last⟩ under the dot product.
#
# The last loss was taken over all ⟨n_windows⟩ windows of the validation text: ⟨loss_stream⟩ nats for the dot product, ⟨loss_ngt⟩ for gravity. Gravity minus dot product is ⟨pair_gap⟩; where that is negative, gravity did better. But **this is one pair, and one pair settles nothing.** Another seed moves both losses, and without knowing how far, nobody can call a difference large or small.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-time -->
# ### 같은 시간에
#
# 스텝의 수를 같게 두면 느린 모델이 덕을 봅니다. 그래서 한 스텝의 시간도 잽니다. 사다리의 칸마다 순전파와 역전파를 `dot`과 번갈아 ⟨timings⟩번씩 하고, 번갈아 잰 두 시간의 비를 구해 가운데 값을 적습니다. 시간은 프로세서가 이 일에 쓴 시간이어서, 옆에서 다른 일이 돌아도 크게 흔들리지 않습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-time -->
# ### In equal time
#
# Equal steps favour the slow model, so the time of a step is measured too. For each rung a forward and a backward pass are taken in turn with those of `dot`, ⟨timings⟩ times; the table has the median ratio of the two times. It is the time that the processor spent on this, which holds fairly still even while other work runs beside it.

# %%
x, y = next(batches(train_ids, recipe))
rungs = {name: build(config, seed) for name, config in ladder.items()}


def seconds(model):  # the processor's, of a forward and a backward pass
    began = time.process_time()
    model.loss(x, y).backward()
    return time.process_time() - began


for model in rungs.values():
    seconds(model)  # once to warm up
ratio = {name: median(seconds(model) / seconds(rungs["dot"])
                      for _ in range(cfg.timings))
         for name, model in rungs.items()}
pd.Series(ratio, name="time of a step ÷ dot").to_frame().round(2)

# %% [markdown] tags=["lang-ko"]
# 이제 이 장의 쌍을 같은 시간에 맞춥니다. 둘 가운데 느린 쪽은 그만큼 적은 스텝만 배웁니다. 학습률은 그 스텝 수에 맞추어 끝까지 내려갑니다.
# %% [markdown] tags=["lang-en"]
# Now give the pair of this page equal time: the slower of the two takes fewer steps by as much, and its learning rate comes all the way down over those.

# %% tags=["hide-input"]
both = {name: build(config, seed) for name, config in twins.items()}
for model in both.values():
    seconds(model)
slower = median(seconds(both[kernel]) / seconds(both["stream dot"])
                for _ in range(cfg.timings))
slow = kernel if slower > 1 else "stream dot"
fewer = round(cfg.steps / max(slower, 1 / slower))
timed = dict(final)
if fewer < cfg.steps:
    shorter = replace(recipe, steps=fewer, warmup=max(1, fewer // 30))
    model = build(twins[slow], seed).to(cfg.device)
    fit(model, batches(train_ids, shorter), shorter, loss=loss_of,
        evaluate=quick_loss, name=f"{slow}, {fewer} steps")
    timed[slow] = evaluate(model, valid_ids, cfg.context)
spread = timed[kernel] - timed["stream dot"]
record(timings=cfg.timings, slow=slow, fewer=fewer, kernel_time=slower,
       stream_time=ratio["stream dot"] / ratio["dot, rotary, qk-norm"],
       twin_time=ratio["dot, rotary, qk-norm"])
record("timed_gap", spread, text=f"{spread:+.3f}".replace("-", "−"))
pd.DataFrame({
    "스텝 | steps": [fewer if name == slow else cfg.steps for name in timed],
    "같은 시간의 손실 | loss in equal time": [
        f"{loss:.4f}" for loss in timed.values()]}, index=list(timed))

# %% [markdown] tags=["lang-ko"]
# 중력의 한 스텝은 같은 좌표의 내적에 견주어 ⟨kernel_time⟩배의 시간이 걸립니다. 느린 쪽(`⟨slow⟩`)이 ⟨fewer⟩스텝만 배우면, 중력에서 내적을 뺀 손실은 ⟨pair_gap⟩에서 ⟨timed_gap⟩이(가) 됩니다. 이것도 한 쌍이고, ⟨n_steps⟩스텝은 짧은 학습입니다. 아래의 긴 학습에서 차이가 줄어든다면, 줄어든 만큼은 더 빨리 배운 것일 뿐 끝내 더 잘 배운 것이 아닙니다. 아래에서 읽을 실행들은 스텝의 수만 같습니다. 적힌 시간은 다른 일을 하던 컴퓨터의 것이어서 서로 견줄 수 없으므로, 그 차이를 읽을 때는 위의 비를 함께 보십시오.
# %% [markdown] tags=["lang-en"]
# A step of gravity takes ⟨kernel_time⟩ times as long as a dot product on the same coordinates. With ⟨fewer⟩ steps for the slower of the two (`⟨slow⟩`), gravity minus dot product goes from ⟨pair_gap⟩ to ⟨timed_gap⟩. This is one pair, too, and ⟨n_steps⟩ steps are a short training: as far as the difference shrinks in the longer ones below, one side only learned sooner and not better in the end. The runs read below have equal steps only; the times written there are of a computer that did other work and cannot be compared, so read their differences with the ratios above beside them.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-experiment -->
# ## 실험 전체
#
# 그래서 같은 일을 여러 시드와 여러 학습률로 되풀이한 기록을 읽습니다. `benchmarks/quality.py`가 실행 하나를 한 줄로 적어 둔 파일입니다. 아래는 작은 크기의 실행을 다시 하는 명령이고, 다른 크기와 다른 글에는 `medium`이나 `--text`를 씁니다.
#
# ```
# .venv/bin/python -m benchmarks.quality small
# ```
#
# 지금 파일에는 시드 ⟨n_seeds⟩개로 한 실행 ⟨n_runs⟩개가 있습니다. 쓴 시간을 모두 더하면 ⟨run_hours⟩시간입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-experiment -->
# ## The whole experiment
#
# So we read the record of the same thing done over and over, with several seeds and several learning rates. `benchmarks/quality.py` wrote one line for each run. The command below repeats the runs of the small size; `medium` and `--text` are for the other size and other texts.
#
# ```
# .venv/bin/python -m benchmarks.quality small
# ```
#
# The file holds ⟨n_runs⟩ runs now, of ⟨n_seeds⟩ different seeds, ⟨run_hours⟩ hours of training in all.

# %%
from lib.training.comparison import TEXT, by_rate, read_rows, standings

every = [{"text": TEXT, **row} for row in read_rows(ROOT / results)]
runs = [row for row in every if row["text"] == TEXT]
there = {(row["size"], row["name"]) for row in runs}
all_sizes = [size for size in ("small", "medium") if (size, "dot") in there]
tables = {size: standings(runs, size) for size in all_sizes}

# %% tags=["remove-cell"]
from lib.gravity.verdict import asked, sentences, signed

used([results])
record(n_runs=len(every), n_seeds=len({row["seed"] for row in every}))
record("run_hours", sum(row["seconds"] for row in every) / 3600)
record(**sentences(every))

# %% tags=["hide-input"]
facts = pd.DataFrame(every).groupby(["text", "size"], sort=False).agg(
    runs=("valid", "size"), arms=("name", "nunique"),
    seeds=("seed", "nunique"),
    rates=("learning_rate", lambda rates: " · ".join(
        f"{rate:g}" for rate in sorted(set(rates)))),
    steps=("steps", "first"), low=("parameters", "min"),
    high=("parameters", "max"), date=("date", "max"),
    device=("device", lambda devices: ", ".join(sorted(set(devices))))
    ).reset_index()
facts["low"], facts["high"] = facts["low"] / 1e6, facts["high"] / 1e6
facts.rename(columns={
    "text": "글 | text", "size": "크기 | size", "runs": "실행 | runs",
    "arms": "모델 | models", "seeds": "시드 | seeds",
    "rates": "학습률 | learning rates", "steps": "스텝 | steps",
    "low": "최소, M개 | fewest, M", "high": "최대, M개 | most, M",
    "date": "날짜 | date", "device": "장치 | device"}).style.format(
    precision=3).hide(axis="index")

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-rates -->
# ### 학습률 고르기
#
# 후보는 견주는 둘에게 같습니다. 시드에 대한 평균이 가장 낮은 것을 고르되, 둘 다 시험했고 시드를 다 갖춘 학습률만 후보로 칩니다. 그러지 않으면 운 좋은 시드 하나로 이기는 학습률이 생깁니다. 아래 표에서 후보가 하나뿐인 줄은 고른 것이 아니라 정해 준 것입니다. 같은 검증 글로 고르고 같은 글로 견주니 손실 자체는 조금 좋게 나오지만, 고를 기회가 모두에게 같으므로 차이에는 그만큼 덜 실립니다.
#
# 그림에서는 바닥이 가운데에 있는지 보십시오. 가장 낮은 점이 맨 끝에 있다면 더 나은 학습률이 바깥에 있을 수 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-rates -->
# ### Choosing the rate
#
# The candidates are the same for each pair. The lowest mean over seeds wins, among the rates that both were run with and that have all seeds; otherwise one lucky seed could win for its rate. Where the table below counts a single candidate, the rate was not chosen but given. Choosing and comparing on one and the same text makes each loss a little too good, but the chances are equal, so less of that reaches the differences.
#
# In the figure, see whether the bottom lies in the middle. Where the lowest point stands at an end, a better rate may lie outside.

# %% tags=["hide-input"]
looks = dict(zip(ladder, zip(
    ("attention", "tokens", "olive", "grey", "gravity", "plum", "gravity"),
    "osD^vPX", ("-", "-", "-", "--", "--", ":", ":"), strict=True),
    strict=True))

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, len(tables), figsize=(7.2, 3.8),
                            squeeze=False)
for axis, size in zip(axes[0], tables, strict=True):
    for name, (colour, mark, line) in looks.items():
        found = by_rate(row for row in runs if row["name"] == name
                        and row["size"] == size)
        if not found:
            continue
        rates = sorted(found)
        axis.plot(rates, [sum(found[r].values()) / len(found[r])
                          for r in rates], line, color=COLOURS[colour],
                  marker=mark, markersize=5, label=name)
    ticks = sorted({row["learning_rate"] for row in runs
                    if row["size"] == size})
    axis.set(title=size, xlabel="learning rate", xscale="log")
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
axes[0, 0].set(ylabel="loss (nats)")
axes[0, 0].legend()
show(figure)

# %% [markdown] tags=["lang-ko", "caption"]
# 학습률에 따른 검증 손실, 시드의 평균. 사다리의 칸 가운데 실행이 있는 것만 그렸습니다.
# <!-- alt: 학습률을 가로축(로그), 검증 손실을 세로축으로 한 선 그래프. 사다리의 칸마다 선 하나. 고른 학습률은 아래 표에 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Validation loss against learning rate, mean over seeds, for those rungs of the ladder that have runs.
# <!-- alt: Line plot of validation loss over learning rate on a logarithmic axis, one line for each rung. The rates that were chosen are in the table below. -->

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-verdict -->
# ### 판정
#
# 시드 하나에서 두 모델은 같은 배치를 같은 순서로 읽었습니다. 그래서 손실을 따로 평균하지 않고 **시드마다 먼저 뺍니다.** 어려운 순서를 만난 시드는 두 손실을 함께 올리는데, 빼면 그 몫이 지워집니다. 차이 $d_1, \dots, d_n$의 평균과 그 95 % 신뢰 구간은
#
# $$\bar{d} \pm t_{n-1} \frac{s}{\sqrt{n}}, \qquad s^2 = \frac{1}{n-1} \sum_{i=1}^{n} (d_i - \bar{d})^2$$
#
# 입니다. $t_{n-1}$은 스튜던트 분포에서 옵니다. $n$이 3이면 4.30, 10이면 2.26입니다. 짝이 적으면 흔들림을 어림한 $s$도 믿기 어렵고, 그만큼 $t$가 커져 구간이 넓어집니다. 구간이 0을 포함하면 어느 쪽이 나은지 모르는 것이며, 짝이 하나뿐이면 구간이 아예 없습니다.
#
# 파일의 줄에서 직접 구해 봅니다. 작은 크기에서 사다리의 4번 칸과 3번 칸, 곧 좌표가 같고 커널만 다른 둘입니다. 저마다 평균이 가장 낮은 학습률을 고르고, 시드마다 손실을 나란히 놓고 뺍니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-verdict -->
# ### The verdict
#
# Under one seed both models read the same batches in the same order. So we do not average the losses apart; we **subtract seed by seed first.** A seed with a hard order raises both losses, and subtracting takes that out. The mean of the differences $d_1, \dots, d_n$ and its 95 % confidence interval are
#
# $$\bar{d} \pm t_{n-1} \frac{s}{\sqrt{n}}, \qquad s^2 = \frac{1}{n-1} \sum_{i=1}^{n} (d_i - \bar{d})^2$$
#
# Here $t_{n-1}$ comes from Student's distribution: 4.30 for $n$ of 3, 2.26 for 10. With few pairs, $s$ itself is a poor guess, and $t$ grows by as much and widens the interval. An interval that contains 0 means that we do not know which is better; a single pair has no interval at all.
#
# We take it from the rows of the file ourselves, at the small size, for rungs 4 and 3 of the ladder: the same coordinates, another kernel. Each of the two first takes the rate with the lowest mean, then the losses stand side by side, seed by seed, and are subtracted.

# %%
rows = pd.DataFrame(runs)
here = rows[rows["size"] == "small"].pivot_table(
    index="seed", columns=["name", "learning_rate"], values="valid")
name, base = "gaussian, position, looking", "stream dot"
both = here[base].columns.intersection(here[name].columns)


def chosen(name):  # seed → loss, at the best rate that all seeds have
    rates = here[name][both]
    full = rates.count() == rates.count().max()
    return rates[rates.mean()[full].idxmin()]


pairs = pd.DataFrame({name: chosen(name), base: chosen(base)}).dropna()
pairs["difference"] = pairs[name] - pairs[base]
pairs.style.format(precision=4)

# %% [markdown] tags=["lang-ko"]
# 두 열은 시드를 따라 함께 오르내립니다. 짝을 짓는 까닭이 여기에 있습니다. 이제 $t$입니다. 스튜던트 분포에서 $t=\sqrt{n-1}\tan\theta$로 바꾸면 밀도가 $\cos^{n-2}\theta$가 되어, 끝없는 꼬리가 $\pi/2$에서 끝납니다. 이 곡선 아래의 넓이가 95 %가 되는 $\theta$를 찾습니다.
# %% [markdown] tags=["lang-en"]
# Along the seeds the two columns rise and fall together: that is what pairing is for. Now for $t$. With $t=\sqrt{n-1}\tan\theta$ the density of Student's distribution becomes $\cos^{n-2}\theta$, and the endless tail ends at $\pi/2$. We look for the $\theta$ that has 95 % of the area under this curve.

# %%
def t_of(n, level=0.95):
    theta = torch.linspace(0, math.pi / 2, 1_000_001, dtype=torch.float64)
    area = torch.cumulative_trapezoid(theta.cos() ** (n - 2), theta)
    reach = theta[1:][area >= level * area[-1]][0].item()
    return math.sqrt(n - 1) * math.tan(reach)


d = pairs["difference"]
n, mean, s = len(d), d.mean(), d.std()  # s with n − 1 below
reach = t_of(n) * s / math.sqrt(n)
gap = asked("kernel", runs)[2]
interval = pd.DataFrame({
    "by hand": [mean, mean - reach, mean + reach],
    "lib": [gap.mean, gap.low, gap.high]}, index=["mean", "low", "high"])
interval.assign(difference=interval["by hand"] - interval["lib"]
                ).style.format("{:.4g}")

# %% tags=["remove-cell"]
apart = math.hypot(pairs[name].std(), pairs[base].std())
record(hand_pairs=n, hand_t=t_of(n), hand_s=s, hand_apart=apart,
       hand_gap=(interval["by hand"] - interval["lib"]).abs().max())

# %% [markdown] tags=["lang-ko"]
# 짝이 ⟨hand_pairs⟩개이면 $t$는 ⟨hand_t⟩이고, 손으로 구한 구간과 `lib`의 구간은 ⟨hand_gap⟩ 넘게 벌어지지 않습니다. 차이의 표준편차는 ⟨hand_s⟩내트입니다. 짝을 풀고 두 열의 흔들림을 합치면 ⟨hand_apart⟩내트가 됩니다. 아래 표와 그림은 같은 계산을 사다리의 모든 칸에 되풀이한 것입니다.
# %% [markdown] tags=["lang-en"]
# With ⟨hand_pairs⟩ pairs $t$ is ⟨hand_t⟩, and the interval by hand and that of `lib` differ by no more than ⟨hand_gap⟩. The standard deviation of the differences is ⟨hand_s⟩ nats; with the pairs taken apart, the spreads of the two columns together make ⟨hand_apart⟩. Table and figure below repeat this for every rung.

# %% tags=["hide-input"]
questions = ("rotary", "qk_norm", "stream", "kernel", "mass", "turn",
             "turned_kernel", "tables_kernel", "verdict_stream", "whole")
best = {one.name: one for one in tables.get("small", ())}
lines, gaps = [], {}
for question in questions:
    arm, base, gap = asked(question, runs)
    gaps[f"{arm}\n− {base}"] = gap
    lines.append({
        "모델 | model": arm, "견준 모델 | beside": base,
        "손실 | loss": f"{best[arm].mean:.3f}" if arm in best else "–",
        "차이 | difference": signed(gap.mean) if gap.n else "–",
        "95 %": f"{signed(gap.low)} … {signed(gap.high)}" if gap.n > 1
                else "–",
        "시드 | seeds": gap.n,
        "한 스텝의 시간 | time of a step":
            f"{ratio[arm]:.2f}×" if arm in ratio else "–"})
pd.DataFrame(lines).style.hide(axis="index")

# %% tags=["hide-input"]
drawn = {name: gap for name, gap in list(gaps.items())[::-1] if gap.n}
figure, axis = plt.subplots(figsize=(7.2, 1 + 0.62 * len(drawn)))
for y, gap in enumerate(drawn.values()):
    colour = COLOURS["gravity" if gap.mean < 0 else "plum"]
    axis.plot(gap.mean, y, "D" if gap.settled else "o", color=colour)
    if gap.n > 1:
        axis.plot([gap.low, gap.high], [y, y], color=colour)
axis.axvline(0, color=COLOURS["attention"], linewidth=1)
axis.set(xlabel="difference of losses (nats)", xlim=(-0.14, 0.14),
         ylim=(-0.5, len(drawn) - 0.5))
axis.set_yticks(range(len(drawn)), list(drawn))
show(figure, table=pd.DataFrame({
    name.replace("\n", " "): [gap.mean, gap.low, gap.high]
    for name, gap in gaps.items()}, index=["mean", "low", "high"]).T)

# %% [markdown] tags=["lang-ko", "caption"]
# 칸마다 견줄 칸과의 차이. 세로선의 왼쪽이 더 나은 쪽입니다. 가로선은 95 % 신뢰 구간이며, 구간이 0을 비켜 가면 마름모, 0을 포함하거나 짝이 하나뿐이면 동그라미입니다. 그림을 벗어나는 구간은 잘려 있습니다.
# <!-- alt: 사다리의 칸마다 견줄 칸과의 손실 차이를 점으로, 신뢰 구간을 가로선으로 나타낸 그림. 세로선은 차이 0이다. 수는 위 표에 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Each rung minus the one that it stands beside; left of the vertical line is better. Bars are 95 % confidence intervals: a diamond where the interval leaves 0 out, a circle where it contains 0 or there is only one pair. Intervals that leave the figure are cut off.
# <!-- alt: For each rung a point for its loss minus that of the rung beside it, with its confidence interval as a bar. The vertical line is a difference of 0. The numbers are in the table above. -->

# %% [markdown] tags=["lang-ko"]
# 구간이 말하게 하는 것은 이렇습니다.
#
# - ⟨rotary_ko⟩ ⟨qk_norm_ko⟩ ⟨twin_ko⟩
# - ⟨stream_ko⟩
# - ⟨kernel_ko⟩ ⟨mass_ko⟩
# - ⟨turn_ko⟩ ⟨turned_kernel_ko⟩ ⟨tables_kernel_ko⟩
# - ⟨whole_ko⟩
#
# ⟨aim_ko⟩ 문장마다 구간이 0 아래에 있을 때, 위에 있을 때, 0을 품을 때, 구간이 없을 때의 것이 `lib/gravity/verdict.toml`에 미리 적혀 있고, 구간이 그 가운데 하나를 고릅니다. 바라던 대답에 맞추어 고른 문장이 아닙니다. 장 첫머리의 ‘가장 나은’ 모델은 시드 3개 이상으로 잰 모델 가운데 평균 손실이 가장 낮은 것입니다. 시드 하나로만 잰 모델이 더 나을 수도 있습니다. 둘의 좌표가 서로 다를 수 있으니, 그 차이가 모두 거리와 질량의 덕은 아닙니다.
#
# **같은 시간으로 보면.** 여기의 실행은 스텝의 수가 같습니다. [앞에서 잰](#ngt-time) 한 스텝의 시간은 좌표 스트림의 내적이 2번 칸의 ⟨stream_time⟩배, 중력이 같은 좌표의 내적의 ⟨kernel_time⟩배입니다. 이 수가 1보다 작으면 같은 시간에 더 많은 스텝을 배우므로 그쪽에 유리해지고, 1보다 크면 불리해집니다.
#
# 돌린 좌표에서 잰 차이는 조심해서 읽어야 합니다. 5번 칸의 내적은 글자에서 얻은 좌표를 돌린 것이 아는 전부여서, 위치를 따로 아는 3번 칸보다 나쁠 수도 있습니다. 약한 쌍둥이와 견주면 같은 모델도 이득이 커 보입니다. 그래서 첫머리의 판정은 가장 나은 내적 모델과 견줍니다.
# %% [markdown] tags=["lang-en"]
# This is what the intervals let one say.
#
# - ⟨rotary_en⟩ ⟨qk_norm_en⟩ ⟨twin_en⟩
# - ⟨stream_en⟩
# - ⟨kernel_en⟩ ⟨mass_en⟩
# - ⟨turn_en⟩ ⟨turned_kernel_en⟩ ⟨tables_kernel_en⟩
# - ⟨whole_en⟩
#
# ⟨aim_en⟩ For each sentence `lib/gravity/verdict.toml` holds one for an interval below 0, above it, around 0, and for none; the interval picks one of them, whatever answer was hoped for. The “best” models at the head of the chapter are those with the lowest mean loss among the models that were run with 3 seeds or more. One that was run with a single seed may be better still. Their coordinates may differ, so that not all of that difference need be due to distance and mass.
#
# **In equal time.** These runs have equal numbers of steps. By the [measurement above](#ngt-time) a step takes ⟨stream_time⟩ times as long for the dot product on the stream of coordinates as on rung 2, and ⟨kernel_time⟩ times as long for gravity as for a dot product on the same coordinates. A number below 1 means more steps in equal time and speaks for that side, one above 1 against it.
#
# Read the differences on turned coordinates with care. All that the dot product of rung 5 knows of positions is the turning of coordinates that come from characters, and it may do worse than rung 3, which knows positions apart. Beside a weak twin, the same model seems to gain more. That is why the verdict at the head of the chapter takes the best model with a dot product.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-elsewhere -->
# ### 다른 글, 다른 크기
#
# 위의 사다리는 희곡과 작은 크기에서 쟀습니다. 같은 물음을 파일에 있는 다른 글과 크기에 물으면 이렇습니다. 칸에는 차이와 95 % 구간, 시드의 수를 적었고, 줄표는 둘을 함께 잰 실행이 없다는 뜻입니다. 재기로 정한 시드의 수는 작은 크기에서 5개, 중간 크기에서 3개입니다. `small128`은 작은 크기에서 창만 두 배로 늘린 것입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-elsewhere -->
# ### Another text, another size
#
# The ladder above was measured on plays, at the small size. The table puts the same questions to the other texts and sizes in the file. Cells hold the difference, the 95 % interval and the number of seeds; a dash says that no runs have both. The number of seeds set beforehand is 5 at the small size and 3 at the medium one. `small128` is the small size with windows twice as long.

# %% tags=["hide-input"]
def in_short(gap):
    if not gap.n:
        return "–"
    ends = f" ({signed(gap.low)} … {signed(gap.high)})" if gap.n > 1 else ""
    return f"{signed(gap.mean)}{ends}, n = {gap.n}"


places = dict.fromkeys((row["text"], row["size"]) for row in every)
table = pd.DataFrame(
    {f"{text}, {size}": [in_short(asked(question, every, size, text)[2])
                         for question in questions] for text, size in places})
table.insert(0, "모델 − 견준 모델 | model − beside",
             [name.replace("\n", " ") for name in gaps])
table.style.hide(axis="index")

# %% tags=["remove-cell"]
from lib.gravity.verdict import difference

old = {"small": difference(runs, "newton", "dot"),
       "look": difference(runs, "gaussian, position, looking", "dot"),
       "medium": difference(runs, "gaussian, position, looking", "dot",
                            "medium")}
for key, gap in old.items():
    record(**{f"{key}_{end}": signed(getattr(gap, end)) if gap.n else "–"
              for end in ("mean", "low", "high")}, **{f"{key}_pairs": gap.n})

# %% [markdown] tags=["lang-ko"]
# 같은 좌표에서 커널만 다른 두 모델은 `rotated gaussian`과 `rotated dot`입니다. ⟨because_ko⟩ 다만 이 내적은 [위에서](#ngt-verdict) 말한 대로 가장 나은 내적이 아닐 수 있습니다.
#
# 처음의 쌍둥이(`dot`)와 견주면 중력의 이득은 커 보입니다. 작은 크기에서 `newton`에서 `dot`을 뺀 차이는 ⟨small_mean⟩내트(95 % 구간 ⟨small_low⟩부터 ⟨small_high⟩까지, 짝 ⟨small_pairs⟩개), `gaussian, position, looking`은 ⟨look_mean⟩내트(⟨look_low⟩부터 ⟨look_high⟩까지, ⟨look_pairs⟩개), 중간 크기에서는 ⟨medium_mean⟩내트(⟨medium_low⟩부터 ⟨medium_high⟩까지, ⟨medium_pairs⟩개)입니다. 그러나 이 차이에는 좌표 스트림과 거리와 질량이 한데 들어 있습니다. 어느 것의 덕인지는 위의 사다리가 가립니다.
# %% [markdown] tags=["lang-en"]
# The two models that differ in nothing but the kernel, on the same coordinates, are `rotated gaussian` and `rotated dot`. ⟨because_en⟩ But, as said [above](#ngt-verdict), that dot product need not be the best one.
#
# Beside the first twin (`dot`) the gain of gravity looks large. At the small size `newton` minus `dot` is ⟨small_mean⟩ nats (95 % interval ⟨small_low⟩ to ⟨small_high⟩, ⟨small_pairs⟩ pairs), `gaussian, position, looking` ⟨look_mean⟩ (⟨look_low⟩ to ⟨look_high⟩, ⟨look_pairs⟩), and at the medium size ⟨medium_mean⟩ (⟨medium_low⟩ to ⟨medium_high⟩, ⟨medium_pairs⟩). But stream of coordinates, distance and mass are all in these differences. To which of them they are due is for the ladder above to tell.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-kernels -->
# ### 모든 모델
#
# 파일에는 사다리 밖의 모델도 있습니다. 커널 셋과 밀어내는 부호, ALiBi를 쓰는 내적, 질량만 더한 내적 같은 것들입니다. `position`은 좌표가 위치에서만 출발한다는 뜻입니다. 공개된 원본은 밀어내면서 위치만 아는 `repelling, position`입니다. 여기의 차이는 모두 처음의 쌍둥이 `dot`과의 것이어서, 두 가지 이상이 한꺼번에 바뀐 줄이 많습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-kernels -->
# ### Every model
#
# The file also holds models off the ladder: three kernels and the repelling sign, dot products with ALiBi, with masses added, and the like. In `position` coordinates start from positions alone. The published original is `repelling, position`. All differences here are from the first twin, `dot`, so in many rows more than one thing has changed.

# %% tags=["hide-input"]
def as_row(size, one):
    gap = one.difference
    known = gap is not None and gap.n > 1
    return {
        "크기 | size": size, "모델 | model": one.name,
        "후보 | tried": len(one.rates),
        "학습률 | rate": f"{one.rate:g}", "손실 | loss": f"{one.mean:.3f}",
        "− dot": signed(gap.mean) if gap else "",
        "95 %": f"{signed(gap.low)} … {signed(gap.high)}" if known else "",
        "짝 | pairs": gap.n if gap else "",
        "매개변수 | parameters": f"{one.parameters:,}"}


pd.DataFrame([as_row(size, one) for size, table in tables.items()
              for one in sorted(table, key=lambda one: one.mean)]
             ).style.hide(axis="index")

# %% [markdown] tags=["lang-ko"]
# 손실이 낮은 것부터 늘어놓았습니다. 짝이 하나뿐인 줄은 구간이 없으니 순서를 믿지 마십시오. 부호가 뒤집힌 모델은 좌표가 같은 당기는 `potential`과, `potential`은 `newton`이나 `gaussian`과 나란히 보십시오.
# %% [markdown] tags=["lang-en"]
# Lowest losses come first. Rows with a single pair have no interval; do not trust their order. See the models with the sign flipped beside the attracting `potential` on the same coordinates, and `potential` beside `newton` or `gaussian`.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-recall -->
# ### 되찾기
#
# 손실 하나로는 보이지 않는 것이 있습니다. 읽은 것을 다시 찾을 수 있는가입니다. `benchmarks/recall.py`는 두 층짜리 모델에게 두 가지만 가르칩니다. 귀납(`induction`)은 서로 다른 토큰이 늘어선 줄을 되풀이해 읽히고, 지난번에 무엇이 뒤따랐는지 묻습니다. 짝(`pairs`)은 키와 값을 여러 쌍 읽히고, 키마다 그 값을 묻습니다(여기서 키와 값은 어텐션의 것이 아니라 그냥 토큰입니다). 매개변수의 수는 모두 2 % 안에서 같습니다. 토큰 4개에서 31개까지의 줄과 2쌍에서 8쌍까지의 짝으로 배우고, 본 적 없는 것으로 판정합니다. 아래는 맞힌 비율이고, 열의 이름에 적힌 수는 줄의 토큰 수나 쌍의 수입니다. 줄의 64, 짝의 16과 32는 배운 것보다 많은 경우입니다. 위치 표가 있는 모델은 표보다 긴 글을 읽지 못하므로, 그런 칸에는 줄표가 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-recall -->
# ### Recall
#
# One thing a loss does not show: can a model find again what it has read? `benchmarks/recall.py` teaches models of two layers nothing but two tasks. In `induction` a row of different tokens is read again and again, and the question is what followed last time; in `pairs` keys come with values, and then each key asks for its value (keys and values are mere tokens here, not those of attention). The parameters of all are equal within 2 %. They learn from rows of 4 to 31 tokens and from 2 to 8 pairs, and are judged on sequences that they have not seen. Below is the share that is right; the number in the name of a column counts the tokens of the row or the pairs. In `induction` 64, in `pairs` 16 and 32 are more than was learned. A model with a table of positions cannot read past the end of it; those cells have a dash.

# %% tags=["hide-input"]
recalled = pd.DataFrame(read_rows(
    ROOT / "benchmarks/results/recall.jsonl"))
asked_of = {"induction": (31, 64), "pairs": (8, 16, 32)}
recalled = recalled[[items in asked_of[task] for task, items in zip(
    recalled["task"], recalled["items"], strict=True)]]
right = recalled.pivot_table(
    values="accuracy", index="name", columns=["task", "items"], sort=False)
right.columns = [f"{task} {items}" for task, items in right.columns]
right["시드 | seeds"] = recalled.groupby("name")["seed"].nunique()
right.rename_axis("모델 | model").reset_index().style.format(
    {name: "{:.0%}" for name in right.columns if "|" not in name},
    na_rep="–").hide(axis="index")

# %% tags=["remove-cell"]
used(["benchmarks/results/recall.jsonl", "benchmarks/results/lengths.jsonl"])
flowing, turning, plain = (
    right["pairs 8"].loc[name]
    for name in ("stream dot", "rotated gaussian", "rotated dot"))
record(recall_steps=int(recalled["steps"].max()))
for name, share in (("recall_flowing", flowing), ("recall_turning", turning),
                    ("recall_plain", plain)):
    record(name, share, text=f"{share:.0%}")
if plain - flowing > max(turning - plain, 0):
    whose = ("대부분은 좌표가 하는 일입니다.", "Most of that is the coordinates.")
else:
    whose = ("좌표보다 커널이 하는 일이 큽니다.",
             "More of that is the kernel than the coordinates.")
record(recall_ko=whose[0], recall_en=whose[1])

# %% [markdown] tags=["lang-ko"]
# ⟨recall_steps⟩스텝을 배운 뒤 짝 8개에서, 좌표가 위치에서만 출발하는 `stream dot`은 ⟨recall_flowing⟩, 글자에서 얻은 좌표를 돌린 `rotated gaussian`은 ⟨recall_turning⟩을(를) 맞힙니다. 두 모델은 좌표도 커널도 다릅니다. 돌린 좌표에 내적을 쓴 `rotated dot`은 ⟨recall_plain⟩입니다. ⟨recall_ko⟩ 좌표에서는 한 가지 까닭을 짐작할 수 있습니다. 위치에서 출발한 좌표는 첫 층의 어텐션이 옮겨 주기 전까지 토큰이 무엇인지 모르고, 두 층이면 그것을 아는 어텐션은 하나뿐입니다. 층이 많은 모델에서도 그런지는 재지 않았습니다.
# %% [markdown] tags=["lang-en"]
# After ⟨recall_steps⟩ steps, of 8 pairs `stream dot`, whose coordinates start from positions alone, gets ⟨recall_flowing⟩ right, and `rotated gaussian`, whose coordinates come from characters and are turned, ⟨recall_turning⟩. The two differ in coordinates and in kernel. With turned coordinates and a dot product, `rotated dot` gets ⟨recall_plain⟩. ⟨recall_en⟩ The coordinates suggest one cause. Starting from positions, they do not know what a token is until the attention of the first layer has moved them, and with two layers only one attention comes after that. Whether it is so with more layers was not measured.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-lengths -->
# ### 배운 것보다 긴 글
#
# 위치 표가 없는 모델은 창보다 긴 글도 읽을 수 있습니다. 읽을 수 있다고 잘 읽는 것은 아닙니다. `benchmarks/lengths.py`는 배운 창(`trained`)의 1배에서 8배까지의 창으로 검증 글을 읽혔습니다. 표는 글자 하나에 드는 손실이고, 창 전체와 시드의 평균입니다. 줄을 왼쪽에서 오른쪽으로 읽으십시오. 창이 길수록 앞의 글을 더 볼 수 있으니, 긴 글을 잘 읽는 모델이라면 손실이 늘지 않아야 합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-lengths -->
# ### Texts longer than those learned
#
# A model without a table of positions can read texts longer than its window. Being able to is not the same as doing it well. `benchmarks/lengths.py` had models read the validation text in windows of 1 to 8 times the one that was learned (`trained`). The table holds the loss a character, a mean over whole windows and over seeds. Read each row from left to right. A longer window shows more of the text before, so the loss of a model that reads long texts well should not grow.

# %% tags=["hide-input"]
longer = pd.DataFrame(read_rows(
    ROOT / "benchmarks/results/lengths.jsonl"))
longer = longer[longer["text"] == TEXT]
seeds_of = longer.groupby(["name", "trained"])["seed"].nunique()
longer = longer.pivot_table(
    values="valid", index=["name", "trained"], columns="length", sort=False)
longer.columns.name = None
seeds = "시드 | seeds"
longer[seeds] = seeds_of
longer.rename_axis(["모델 | model", "배운 창 | trained"]).reset_index(
    ).style.format({name: "{:.3f}" for name in longer.columns
                    if name != seeds}, na_rep="–").hide(axis="index")

# %% tags=["remove-cell"]
trained = int(longer.index.get_level_values("trained").max())
windows = longer.xs(trained, level="trained").drop(columns=seeds)
at_home, far = windows[trained], windows[8 * trained]
farthest, lowest = far.idxmin(), at_home.idxmin()
record(length_trained=trained, length_far=8 * trained,
       length_best=farthest, length_home=lowest)
for name, value in (("length_best_far", far[farthest]),
                    ("length_best_home", at_home[farthest]),
                    ("length_home_far", far[lowest]),
                    ("length_home_home", at_home[lowest]),
                    ("length_plain_far", far["rotated dot"])):
    record(name, value, text=f"{value:.2f}")

# %% [markdown] tags=["lang-ko"]
# 창 ⟨length_trained⟩(으)로 배운 모델 가운데 제 창에서 손실이 가장 낮은 것은 `⟨length_home⟩`(⟨length_home_home⟩)이지만, 여덟 배인 ⟨length_far⟩에서는 ⟨length_home_far⟩이(가) 됩니다. 거기서 가장 낮은 것은 `⟨length_best⟩`(으)로, 제 창에서 ⟨length_best_home⟩, 여덟 배에서 ⟨length_best_far⟩입니다. 같은 좌표에 내적을 쓴 `rotated dot`은 ⟨length_plain_far⟩까지 오릅니다. ALiBi는 먼 토큰의 로짓(logit)을 거리만큼 깎으므로 처음 보는 거리에서도 하던 일을 계속할 수 있습니다. 돌린 좌표는 그렇지 못합니다. 거리를 재는 커널은 이 약점을 줄이지만 없애지는 못합니다.
# %% [markdown] tags=["lang-en"]
# Of the models trained with windows of ⟨length_trained⟩, the one with the lowest loss there is `⟨length_home⟩` (⟨length_home_home⟩), but at ⟨length_far⟩, eight times as long, it reaches ⟨length_home_far⟩. The lowest there is `⟨length_best⟩`, with ⟨length_best_home⟩ at its own window and ⟨length_best_far⟩ at eight times that. `rotated dot`, a dot product on the same turned coordinates, rises to ⟨length_plain_far⟩. ALiBi takes more off the logit the farther a token is, and so can go on with what it did at distances never seen. Turned coordinates cannot. A kernel of distances lessens this weakness and does not remove it.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-larger -->
# ### GPU에서, 더 큰 모델
#
# 위의 크기는 CPU에서 여러 번 되풀이할 수 있는 크기입니다. [nanoGPT](#references-books)가 같은 글을 문자 단위로 배우는 크기는 6층, 헤드 6개, 폭 384, 창 256, 드롭아웃(dropout) 0.2이고 매개변수는 1070만 개쯤입니다. nanoGPT는 5000스텝을 배우는 동안 가장 낮았던 검증 손실로 1.4697을 보고합니다. `.venv/bin/python -m benchmarks.on_gpu`는 이 크기를 GPU 하나에서 시간이 허락하는 스텝만큼 돌립니다. 아래는 그동안 가장 낮았던 검증 손실입니다. 저마다 배운 스텝: ⟨larger_steps_ko⟩. 5000보다 적거나 글이 TinyShakespeare를 대신하는 희곡이면 1.4697과 견줄 수 없습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-larger -->
# ### On a GPU, a larger model
#
# The sizes above are such as a CPU can repeat often. The size at which [nanoGPT](#references-books) learns the same text by characters has 6 layers, 6 heads, a width of 384, windows of 256 and dropout 0.2, some 10.7 million parameters. The lowest validation loss that nanoGPT reports over 5000 steps is 1.4697. `.venv/bin/python -m benchmarks.on_gpu` trains this size on one GPU for as many steps as the time allows. Below is the lowest validation loss on the way. Steps for each: ⟨larger_steps_en⟩; where that is less than 5000, or other plays stand in for TinyShakespeare, it must not be held to 1.4697.

# %% tags=["hide-input"]
from lib.page.gpu import (
    GPU_RESULTS,
    gpu_figure,
    gpu_table,
    in_each_language,
)

gpu_table(["characters"], "name", "seed", "lowest", write="{:.4f}".format)

# %% tags=["remove-cell"]
used([GPU_RESULTS])
record(**in_each_language(larger_steps=gpu_figure("characters", "steps")))

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-related -->
# ### 앞선 작업: 위치를 따로 두기
#
# 위치를 토큰과 섞지 않고 따로 흐르게 하는 것은 중력이 처음 한 일이 아닙니다. TUPE는 낱말끼리의 어울림과 위치끼리의 어울림을 다른 투영으로 구해 더하고, DeBERTa는 토큰마다 내용의 벡터와 위치의 벡터를 둡니다. ALiBi와 KERPLE은 로짓에서 위치의 차이에 따른 값을 뺍니다. KERPLE의 로그 꼴은 $-r_1\log(1+r_2|i-j|)$여서, 좌표가 위치뿐일 때의 `newton`과 닮았습니다. 이 책의 좌표가 이들과 다른 점은 어텐션의 출력을 따라 층마다 움직인다는 것입니다. 모두 [참고 문헌](#references-attention)에 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-related -->
# ### Earlier work: positions on their own
#
# Gravity is not the first to let positions flow apart from tokens. TUPE takes the match of words and the match of positions through projections of their own and adds them; DeBERTa gives each token one vector for its content and one for its position. ALiBi and KERPLE subtract from the logits something that depends on the difference of positions. The logarithmic form of KERPLE, $-r_1\log(1+r_2|i-j|)$, resembles `newton` with coordinates that are the position alone. What sets the coordinates of this book apart is that they move from layer to layer with the attention output. All are in the [references](#references-attention).

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-limits -->
# ### 이 실험이 말하지 못하는 것
#
# - **시드가 적습니다.** 문장마다 정한 수와 실제 수를 적었습니다. 짝이 둘이나 셋이면 구간이 넓어서, ‘우연을 넘는 차이가 보이지 않는다’는 것은 같다는 뜻이 아니라 이만한 시드로는 가려내지 못했다는 뜻입니다.
# - **`looking`과 돌린 좌표는 결과를 보고 찾은 것입니다.** `looking`은 시드 0 하나로 여러 가지를 시험해 골랐고, 돌린 좌표는 시드 0, 1, 2에서 먼저 보았습니다. 구간에는 그 시드도 들어 있어 그만큼은 이 둘에 후합니다. 시험했으나 듣지 않은 것은 [실험 일지](../book/lab_log.md)에 있습니다.
# - **손질한 것은 중력 쪽입니다.** `newton`의 $\varepsilon$과 첫 세기는 첫 실행을 보고 0.1과 0.5에서 둘 다 1로 바꾸었습니다. 바꾸기 전의 줄(`newton, eps 0.1`)도 표에 남겨 두었습니다. 내적은 학습률 말고는 고르지 않았습니다. 웜업과 가중치 감쇠는 모두에게 한 번 정한 대로 두었습니다.
# - **문자 단위의 짧은 학습이고, 모델이 작습니다.** 다른 글에서 어떤지는 [위의 표](#ngt-elsewhere)와 [WikiText-103 장](13_wikitext103.ipynb)이 다루지만, 그 장의 모델은 더 작습니다. 매개변수 12억 개와 30억 개에서 스무 가지 변형을 다시 잰 [Zhao 등](#references-evidence)은 대부분이 이득을 잃었다고 하고, [Verma](#references-evidence)는 글이 적을 때의 이득이 글이 많아지면 손해로 바뀌는 변형을 보였습니다. 이 장의 크기에서 나온 차이도 그럴 수 있습니다.
# - **여러 구간을 한꺼번에 보았습니다.** 구간이 여럿이면 하나쯤은 우연히 0을 비켜 갑니다. 판정은 장 첫머리에 적힌 물음만 봅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-limits -->
# ### What this experiment cannot say
#
# - **There are few seeds.** Each sentence says how many were wanted and how many there are. With two or three pairs intervals are wide: “no difference beyond chance was found” does not mean that two models are equal, only that so few seeds do not tell them apart.
# - **`looking` and turned coordinates were found by looking at results.** `looking` was picked among several things on seed 0 alone; turned coordinates were first seen on seeds 0, 1 and 2. The intervals hold those seeds too, and to that extent favour both. What was tried and did not help is in the [lab log](../book/lab_log.md).
# - **The care went to gravity.** The $\varepsilon$ and the first strength of `newton` were moved from 0.1 and 0.5 to 1, both of them, after the first run was seen; the row from before (`newton, eps 0.1`) stays in the table. Of the dot product nothing was chosen but the learning rate. Warm-up and weight decay stayed as they were set once, for all.
# - **Training is short and character by character, and models are small.** Other texts are for the [table above](#ngt-elsewhere) and the [chapter on WikiText-103](13_wikitext103.ipynb), whose models are smaller still. [Zhao et al.](#references-evidence), who measured twenty modifications again at 1.2 billion and 3 billion parameters, found that most of them had lost their gain, and [Verma](#references-evidence) shows one that gains on little text and loses on more. The differences at the size of this chapter may go the same way.
# - **Many intervals were looked at together.** Of many, some miss 0 by chance. The verdict takes the questions at the head of the chapter and no others.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-talk -->
# ## 배운 모델과 말하기
#
# 손실이 조금 낮은 모델은 글을 어떻게 다르게 쓸까요? 이 장에서 학습한 두 모델에게 같은 첫머리를 주고 이어 쓰게 합니다. 온도(temperature) ⟨temperature⟩, 가장 그럴듯한 ⟨top_k⟩글자 안에서 뽑고, 시드도 같습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-talk -->
# ## Talking to the models
#
# What does a slightly lower loss read like? We give both models of this page the same beginning and let them go on, at temperature ⟨temperature⟩, drawing from the ⟨top_k⟩ likeliest characters, with the same seed.

# %%
def choose(logits, draw):  # one token: heat, keep the likeliest, draw
    heated = (logits - logits.max()) / max(temperature, 1e-9)
    least = heated.topk(min(top_k, len(heated))).values[-1]
    p = heated.masked_fill(heated < least, -torch.inf).softmax(-1)
    return torch.multinomial(p, 1, generator=draw).item()


@torch.no_grad()
def go_on(model, text, n):
    ids, draw = tokens.encode(text), torch.Generator().manual_seed(seed)
    for _ in range(n):
        window = torch.tensor([ids[-cfg.context :]])
        ids.append(choose(model(window)[0, -1], draw))
    return tokens.decode(ids)

# %% [markdown] tags=["lang-ko"]
# 글자를 하나 뽑아 뒤에 붙이고, 마지막 한 문맥만큼을 다시 읽히는 일의 되풀이입니다. `lib`의 `reply`에도 같은 첫머리와 시드를 주고, 글자가 몇 개나 같은지 봅니다.
# %% [markdown] tags=["lang-en"]
# Draw a character, append it, read the last context once more, and so on. `reply` of `lib` gets the same beginning and the same seed; how many characters are the same?

# %%
from lib.workbench.chat import reply

replies, equal = {}, {}
for name, model in pair.items():
    ours = go_on(model.cpu().eval(), prompt, cfg.n_tokens)
    pieces = reply(model, tokens, prompt, cfg.n_tokens,
                   temperature, top_k, seed)
    replies[name] = prompt + "".join(pieces)
    equal[name] = sum(a == b for a, b in zip(
        ours, replies[name], strict=False))
pd.DataFrame({"characters": {name: len(said) for name, said
                             in replies.items()}, "the same": equal})

# %% tags=["hide-input"]
from html import escape

from IPython.display import HTML

record(temperature=temperature, top_k=top_k)
HTML("".join(
    f'<p><strong>{name}</strong></p><pre class="reply">{escape(said)}</pre>'
    for name, said in replies.items()))

# %% [markdown] tags=["lang-ko"]
# 짧게 배운 문자 모델은 낱말 비슷한 것을 늘어놓을 뿐 뜻을 이루지 못합니다. 손실의 작은 차이는 이런 글에서 눈으로 가려지지 않습니다. 그래서 글을 읽는 대신 손실을 쟀습니다.
#
# 이 노트북을 직접 열어 `chat = True`로 두고 실행하면, 아래에 상자가 나타나 말을 걸 수 있습니다. 터미널에서는 `./setup_and_run.sh chat CHECKPOINT`입니다. `CHECKPOINT`에는 학습이 남긴 폴더를 적습니다.
# %% [markdown] tags=["lang-en"]
# Character models trained this briefly string together things that look like words and mean nothing. No eye can tell a small difference of losses in such text; that is why we measured them instead of reading.
#
# Open this notebook yourself, set `chat = True` and run it: a box appears below and takes what you type. In a terminal it is `./setup_and_run.sh chat CHECKPOINT`, where `CHECKPOINT` is the folder that a training left.

# %% tags=["hide-input"]
from IPython.display import display

from lib.workbench.chat import chat_widget

if chat:
    display(chat_widget(pair[kernel], tokens, prompt))

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-resume -->
# ## 체크포인트와 이어 하기
#
# 긴 학습은 언젠가 끊깁니다. 그래서 `fit`은 폴더 셋을 남깁니다. `last`는 마지막으로, `before`는 그 앞에 저장한 것이고, `best`는 검증 손실이 가장 낮았을 때의 것입니다. 셋 다 이어 가는 데 필요한 것을 모두 담습니다. 가중치, 최적화의 상태, 난수의 상태, 배치를 어디까지 읽었는지까지입니다. `last`가 망가지면 `before`에서, 그것도 망가지면 `best`에서 이어 갑니다. 파일은 임시 이름으로 다 쓴 다음 이름을 바꾸므로, 쓰다가 전원이 나가도 앞의 것은 남습니다.
#
# 이어 한 학습이 끊기지 않은 학습과 **마지막 비트까지** 같아야 이어 하기라고 할 수 있습니다. ⟨resume_steps⟩스텝을 한 번은 그대로, 한 번은 ⟨resume_stop⟩스텝에서 Ctrl-C를 눌러 끊었다가 이어서 돌립니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-resume -->
# ## Checkpoints, and going on
#
# A long training is cut off sooner or later. So `fit` leaves three folders: `last`, `before`, which is the save before it, and `best`, that of the lowest validation loss. Each holds all that is needed to go on: weights, the state of the optimiser, the state of the random numbers, and how far the batches were read. Where `last` is damaged a run goes on from `before`, and where that is damaged too, from `best`. Files are written whole under a temporary name and then renamed; when the power goes while writing, the one before is still there.
#
# Going on deserves its name if the result equals that of a training never cut off, **to the last bit**. We run ⟨resume_steps⟩ steps, once as they are, and once cut off at step ⟨resume_stop⟩ by Ctrl-C and resumed.

# %%
from dataclasses import asdict

from lib.training.resume import Keep

few = replace(recipe, steps=12, evaluations=2, warmup=2)
about = {"kind": "gravity_lm", "model": asdict(twins[kernel]),
         "tokenizer": tokens.to_json(), "options": {}}


def training(folder, hook=(), resume=False):
    model = build(twins[kernel], seed).to(cfg.device)
    history = fit(model, batches(train_ids, few), few, loss=loss_of,
                  evaluate=quick_loss, on_step=hook, resume=resume,
                  keep=Keep(Path(folder), configuration=about))
    return model, history


def press_ctrl_c(step):
    if step.step == 4:
        signal.raise_signal(signal.SIGINT)

# %%
with tempfile.TemporaryDirectory() as folder:
    whole, _ = training(f"{folder}/whole")
    _, broken = training(f"{folder}/cut", hook=press_ctrl_c)
    resumed, history = training(f"{folder}/cut", resume=True)
    left = sorted(p.name for p in Path(f"{folder}/cut").iterdir())

differ = [name for (name, a), b in zip(
    whole.named_parameters(), resumed.parameters(), strict=True)
    if not torch.equal(a, b)]
len(differ)

# %% tags=["remove-cell"]
record(resume_steps=few.steps, resume_stop=5, n_differ=len(differ),
       n_tensors=len(list(whole.parameters())),
       interrupted=str(broken.interrupted), left=", ".join(left))

# %% [markdown] tags=["lang-ko"]
# 정말 끊겼는지는 기록에 남습니다(`interrupted` = ⟨interrupted⟩). 이어 한 모델의 가중치 텐서 ⟨n_tensors⟩개 가운데 끊기지 않은 것과 한 비트라도 다른 것은 ⟨n_differ⟩개입니다. 폴더에 남은 것은 ⟨left⟩입니다.
#
# [실험대](91_ngt.ipynb)는 같은 일을 매개변수로 합니다. 끊긴 뒤에 같은 명령을 다시 실행하면 거기서부터 이어 합니다. 아래 명령은 크기를 적지 않아 원본과 같은 크기이므로 GPU에서 돌릴 만합니다.
#
# ```
# ./setup_and_run.sh run ngt -p max_steps 5000 -p run_name mine
# ```
# %% [markdown] tags=["lang-en"]
# That it was cut off is on record (`interrupted` = ⟨interrupted⟩). Of the ⟨n_tensors⟩ weight tensors of the resumed model, ⟨n_differ⟩ differ in any bit from those never cut off. In the folder were ⟨left⟩.
#
# The [workbench](91_ngt.ipynb) does the same by parameters; where it was cut off, the same command goes on from there. Without sizes, as below, the model is as large as the original, which wants a GPU.
#
# ```
# ./setup_and_run.sh run ngt -p max_steps 5000 -p run_name mine
# ```

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-tensorboard -->
# ## 텐서보드로 지켜보기
#
# `lib.workbench.ngt`는 선택지 한 벌로 학습하면서 체크포인트와 함께 텐서보드(TensorBoard) 파일을 남깁니다. 짧은 학습을 하나 돌린 다음 텐서보드에 딸린 도구로 읽어, 무엇이 적혔는지 봅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-tensorboard -->
# ## Watching with TensorBoard
#
# From one set of options `lib.workbench.ngt` trains, and leaves TensorBoard files beside the checkpoints. We run a short training and read with TensorBoard's own reader what was written.

# %%
from lib.workbench.ngt.training import Options, check, prepare
from lib.workbench.ngt.training import train as train_ngt

options = check(Options(
    kernel=kernel, max_steps=6, eval_interval=3, eval_iters=4,
    hidden_dim=32, num_layers=2, num_heads=2, mlp_dim=64, block_size=32,
    batch_size=64, seed=seed, device=str(cfg.device)))

# %% tags=["hide-input"]
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)

with tempfile.TemporaryDirectory() as folder:
    here = replace(options, checkpoint_path=f"{folder}/ngt",
                   run_name=f"{folder}/board")
    train_ngt(here, prepare(here))
    reader = EventAccumulator(f"{folder}/board").Reload()
    scalars = {tag: [event.value for event in reader.Scalars(tag)]
               for tag in reader.Tags()["scalars"]}
    projector = Path(f"{folder}/board/projector_config.pbtxt").exists()
record(n_scalars=len(scalars), projector=str(projector))
pd.DataFrame({"처음 | first": [v[0] for v in scalars.values()],
              "마지막 | last": [v[-1] for v in scalars.values()]},
             index=list(scalars)).style.format(precision=3)

# %% [markdown] tags=["lang-ko"]
# 스칼라가 ⟨n_scalars⟩가지 적혔습니다. Projector가 읽을 좌표의 목록이 있는지도 보았습니다(⟨projector⟩). 거기에는 토큰마다의 좌표가 이름표, 질량과 함께 들어 있습니다. 학습하는 동안 다른 터미널에서 이렇게 엽니다.
#
# ```
# .venv/bin/tensorboard --logdir runs
# ```
#
# 브라우저에서 `http://localhost:6006`을 열고, Scalars에서 `ngt`와 `vanilla`의 실행을 함께 골라 곡선을 포개 보십시오. Projector에서는 토큰을 하나 눌러 이웃을 볼 수 있습니다.
# %% [markdown] tags=["lang-en"]
# ⟨n_scalars⟩ kinds of scalars were written. We also looked for the list of coordinates that the Projector reads (⟨projector⟩); it holds the coordinates of the tokens with their labels and masses. Open it in another terminal while training runs:
#
# ```
# .venv/bin/tensorboard --logdir runs
# ```
#
# Visit `http://localhost:6006`, choose runs of `ngt` and `vanilla` together under Scalars, and lay their curves over each other. Under Projector, click on a token to see its neighbours.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-exercises -->
# ## 연습 문제
#
# 빈칸(`...`)을 채운 다음 바로 아래 셀을 실행하면 답이 맞는지 알 수 있습니다. 풀이는 접어 두었습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-exercises -->
# ## Exercises
#
# Fill in the gap (`...`) and run the next cell: it tells you whether the answer holds. Solutions are folded.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-exercise-twin -->
# ### 1. 크기가 같은 쌍둥이 (★, 10분)
#
# `count(d_coord)`는 좌표의 폭이 `d_coord`인 중력 모델의 매개변수 수를 돌려주고, `target`은 내적 모델의 수입니다. 수가 가장 가까워지는 폭(1 이상의 정수)을 돌려주십시오. 폭이 하나 늘 때마다 매개변수는 늘 같은 수만큼 늘어납니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-exercise-twin -->
# ### 1. A twin of equal size (★, 10 minutes)
#
# `count(d_coord)` gives the number of parameters of a gravity model with coordinates `d_coord` wide; `target` is the number of the dot-product model. Return the width, a whole number from 1 on, that brings the two nearest. Each step of the width adds the same number of parameters.

# %% tags=["exercise"]
def my_width(count, target):
    ...

# %%
from lib.exercises.ngt import check_twin

check_twin(my_width)

# %% tags=["solution", "hide-cell"]
def width_solution(count, target):
    slope = count(2) - count(1)
    start = count(1) - slope
    return max(1, round((target - start) / slope))


def size_with(d_coord):
    return parameters(build(replace(twins[kernel], d_coord=d_coord), seed))


record("exact_width", width_solution(size_with, counts["dot"]))
check_twin(width_solution)

# %% [markdown] tags=["lang-ko"]
# 이 장의 모델에서 풀이가 찾는 폭은 ⟨exact_width⟩입니다. 이 장이 쓴 폭은 ⟨d_coord⟩입니다.
# %% [markdown] tags=["lang-en"]
# For the models of this page the solution finds a width of ⟨exact_width⟩. The page used ⟨d_coord⟩.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-exercise-rate -->
# ### 2. 운 좋은 시드에 속지 않기 (★, 10분)
#
# `rows`는 `learning_rate`, `seed`, `valid`를 담은 사전의 목록입니다. 시드를 가장 많이 갖춘 학습률들 가운데 평균 손실이 가장 낮은 학습률을 돌려주십시오.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-exercise-rate -->
# ### 2. Not taken in by a lucky seed (★, 10 minutes)
#
# `rows` is a list of dictionaries with `learning_rate`, `seed` and `valid`. Among the rates that were run with the most seeds, return the one with the lowest mean loss.

# %% tags=["exercise"]
def my_rate(rows):
    ...

# %%
from lib.exercises.ngt import check_rate

check_rate(my_rate)

# %% tags=["solution", "hide-cell"]
def rate_solution(rows):
    table = pd.DataFrame(rows).groupby("learning_rate")["valid"]
    counted = table.agg(["mean", "count"])
    full = counted[counted["count"] == counted["count"].max()]
    return full["mean"].idxmin()


check_rate(rate_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-exercise-interval -->
# ### 3. 짝을 지은 구간 (★★, 15분)
#
# 시드 순서대로 놓인 두 모델의 손실 `ours`, `theirs`와 분위수 `t`를 받아, `ours` − `theirs`의 평균에 대한 신뢰 구간 `(low, high)`를 돌려주십시오. 짝을 풀고 구하면 구간이 얼마나 넓어지는지도 견주어 보십시오.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-exercise-interval -->
# ### 3. The paired interval (★★, 15 minutes)
#
# Given the losses `ours` and `theirs` of two models in the order of their seeds, and the quantile `t`, return the confidence interval `(low, high)` of the mean of `ours` − `theirs`. Then see how much wider it gets when the pairs are taken apart.

# %% tags=["exercise"]
def my_interval(ours, theirs, t):
    ...

# %%
from lib.exercises.ngt import check_interval

check_interval(my_interval)

# %% tags=["solution", "hide-cell"]
def interval_solution(ours, theirs, t):
    d = torch.tensor(ours).double() - torch.tensor(theirs).double()
    reach = t * d.std() / len(d) ** 0.5
    return d.mean() - reach, d.mean() + reach


check_interval(interval_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-measured -->
# ## 무엇을 무엇으로 쟀는가
#
# | 잰 것 | 결과 |
# |---|---|
# | 이 장에서 학습한 한 쌍, ⟨n_steps⟩스텝 | 좌표의 내적 ⟨loss_stream⟩, 중력 ⟨loss_ngt⟩, 차이 ⟨pair_gap⟩ |
# | 같은 시간에 | 차이 ⟨timed_gap⟩, `⟨slow⟩`은(는) ⟨fewer⟩스텝 |
# | 매개변수 수의 가장 큰 차이 | ⟨size_gap⟩ |
# | 실험 전체 | ⟨verdict_ko⟩ |
# | 이어 한 학습과 다른 가중치 텐서 | ⟨n_tensors⟩개 가운데 ⟨n_differ⟩개 |
#
# 손실은 문자 하나당 내트이고 검증 글의 ⟨n_valid⟩글자에서 쟀습니다. 한 쌍은 이 실행에서, 실험 전체는 파일에 적힌 날짜와 장치에서 잰 것입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-measured -->
# ## What was measured, and on what
#
# | measured | result |
# |---|---|
# | The pair trained on this page, ⟨n_steps⟩ steps | dot product of coordinates ⟨loss_stream⟩, gravity ⟨loss_ngt⟩, difference ⟨pair_gap⟩ |
# | In equal time | difference ⟨timed_gap⟩, `⟨slow⟩` with ⟨fewer⟩ steps |
# | Largest difference in parameters | ⟨size_gap⟩ |
# | The whole experiment | ⟨verdict_en⟩ |
# | Weight tensors that differ after resuming | ⟨n_differ⟩ of ⟨n_tensors⟩ |
#
# Losses are nats a character, over ⟨n_valid⟩ characters of validation text. The pair was measured in this run, the whole experiment on the dates and devices that its file names.

# %% tags=["remove-input"]
record(n_chars=len(text.train) + len(text.valid))
pd.DataFrame([
    ("데이터 | data", text.name),
    ("장치 | device", str(cfg.device)),
    ("프로필 | profile", cfg.profile),
    ("PyTorch", torch.__version__),
], columns=["", "이번 실행 | this run"]).style.hide(axis="index")
