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
# # NGT 학습: 보통의 트랜스포머와 공정하게 견주기
#
# [앞 장](09_gravity_coordinates.ipynb)에서 토큰(token)에 질량(mass)과 좌표(coordinates)를 주었습니다. 그렇게 만든 모델을 NGT(Newton Gravity Transformer)라고 부르겠습니다. 이제 물을 것은 하나입니다. **내적(dot product) 대신 중력을 쓰면 글을 더 잘 맞히는가?** 대답보다 어려운 것은 묻는 방법입니다. 조건이 조금만 달라도 무엇 때문에 이겼는지 알 수 없게 됩니다.
#
# - **할 수 있게 되는 것.** 두 모델을 같은 조건에 세우고, 학습 중에 무엇이 변하는지 지켜보고, 시드(seed)를 짝지은 차이와 신뢰 구간(confidence interval)으로 판정하고, 배운 모델과 말을 주고받고, 멈춘 학습을 이어 갈 수 있습니다.
# - **걸리는 시간.** 읽기 55분, 연습 문제 35분. 한 쌍을 학습하는 데 이 실행에서 ⟨pair_seconds⟩초가 걸렸습니다.
# - **필요한 것.** [중력 좌표](09_gravity_coordinates.ipynb), [학습](05_training.ipynb)의 반복문, 평균과 표준편차.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt -->
# # Training NGT: a fair contest with the vanilla Transformer
#
# In the [last chapter](09_gravity_coordinates.ipynb) tokens got masses and coordinates. Call a model built that way an NGT, a Newton Gravity Transformer. One question is left. **Does gravity predict text better than the dot product?** Harder than the answer is how to ask. When conditions differ ever so little, nobody can tell what made the winner win.
#
# - **You will be able to** put two models under the same conditions, watch what changes during training, judge by differences paired over seeds with a confidence interval, talk to the trained model, and go on with a training that was stopped.
# - **Time.** 55 minutes to read, 35 for the exercises. Training one pair took ⟨pair_seconds⟩ seconds in this run.
# - **You need** [gravity coordinates](09_gravity_coordinates.ipynb), the loop of [training](05_training.ipynb), means and standard deviations.

# %% tags=["parameters"]
profile: str = None  # smoke, book or gpu; None follows BOOK_PROFILE, else book
dataset = "tinyshakespeare"  # tinyshakespeare, wikitext2 or wikitext103
kernel = "newton"  # newton, gaussian or potential: beside the dot product
seed = 0  # of the first weights and of the batches
steps: int = None  # updates of each model; None: the profile
batch: int = None  # windows in an update; None: the profile
context: int = None  # characters in a window; None: the profile
d_model: int = None  # width of the stream; None: the profile
n_layers: int = None  # None: the profile
n_heads: int = None  # None: the profile
d_coord: int = None  # width of the coordinates; None: the profile
learning_rate: float = None  # peak of the cosine; None: the profile
strength = 1.0  # first p or γ of every head
eps = 1.0  # softening of newton and potential, in the unit of r²
lambda_repulsion = 0.0  # weight of repulsion in the loss; 0 only watches
min_dist = 0.1  # below this distance the repulsion stops growing
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

import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib import pyplot as plt

from lib.data import ROOT
from lib.gravity.attention import repulsion
from lib.gravity.model import LMConfig, build, parameters
from lib.gravity.texts import ids_of, load_text
from lib.gravity.tokenizers import CharTokens
from lib.page.figures import COLOURS, show, use_style
from lib.page.profile import expect, settings
from lib.page.record import bilingual, record, used
from lib.training.loop import Recipe, batches, evaluate, fit
from lib.workbench.ngt.training import matched_coordinates

use_style()

# %% tags=["hide-input"]
sizes = ("steps", "batch", "context", "d_model", "n_layers", "n_heads",
         "d_coord", "learning_rate", "n_tokens", "evaluations")
quick, full, large = (dict(zip(sizes, row, strict=True)) for row in (
    (16, 8, 32, 32, 2, 2, 26, 4e-3, 40, 4),
    (350, 12, 64, 128, 4, 4, 176, 2e-3, 240, 12),
    (1500, 12, 64, 128, 4, 4, 176, 2e-3, 400, 30)))
given = {name: globals().get(name) for name in sizes}
expect(str, dataset=dataset, kernel=kernel, results=results, prompt=prompt)
expect(int, seed=seed, top_k=top_k)
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
# 견주려는 것 하나만 다르고 나머지는 모두 같아야 합니다. 이 장이 지키는 규칙은 이렇습니다.
#
# | 같게 두는 것 | 어떻게 |
# |---|---|
# | 글과 배치(batch)의 순서 | 시드 하나가 정합니다. 두 모델은 같은 창을 같은 순서로 읽습니다 |
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
# The one thing under test differs, and all the rest is the same. These are the rules of this chapter.
#
# | kept the same | how |
# |---|---|
# | Text and order of the batches | one seed decides; both models read the same windows in the same order |
# | First values of the weights they share | the seed and the name of the weight decide |
# | Number of parameters | the width of the coordinates is chosen to bring it within 2 % |
# | Optimisation | AdamW, cosine, warm-up and gradient clipping, all in one `Recipe` |
# | Chances to choose a learning rate | the same candidates with as many seeds; each model takes the one with the best mean |
# | Evaluation | the loss over the whole validation text, not over a few windows of it |
#
# Tying both models to one learning rate looks fairer still, and is not: where the right rate differs from model to model, the tied one takes a side.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-twins -->
# ## 쌍둥이 만들기
#
# 문자 하나가 토큰인 언어 모델(language model)입니다. 중력 모델에는 질량과 좌표가 더 붙고 쿼리(query)와 키(key)의 행렬이 빠집니다. 좌표의 폭은 마음대로 정할 수 있으니, 매개변수의 수가 같아지도록 정합니다. 손으로 세어 풀고, [연습 문제](#ngt-exercise-twin)에서는 세지 않고 찾습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-twins -->
# ## Making twins
#
# Both are language models whose tokens are characters. The gravity model adds masses and coordinates and drops the matrices of queries and keys. The width of the coordinates is free, so we set it to make the parameters equal in number. Here we count and solve; the [exercise](#ngt-exercise-twin) finds the value without counting.

# %%
text = load_text(dataset)
tokens = CharTokens.of(text.train + text.valid)
train_ids, valid_ids = (ids_of(part, tokens)
                        for part in (text.train, text.valid))

vanilla = LMConfig(
    vocab=tokens.vocab, context=cfg.context, d_model=cfg.d_model,
    n_layers=cfg.n_layers, n_heads=cfg.n_heads, attention="dot",
    d_coord=cfg.d_coord)
twins = {"dot": vanilla, kernel: replace(
    vanilla, attention=kernel, strength=strength, eps=eps)}
recipe = Recipe(
    steps=cfg.steps, batch=cfg.batch, context=cfg.context, seed=seed,
    learning_rate=cfg.learning_rate, warmup=max(1, cfg.steps // 30),
    evaluations=cfg.evaluations)

# %% [markdown] tags=["lang-ko"]
# 중력 모델이 내놓는 것은 층마다 쿼리와 키의 행렬, 곧 $2d^2$개입니다. 대신 받는 것은 둘로 나뉩니다. 좌표의 폭과 상관없는 것(글자마다 질량 하나, 헤드(head)마다 세기와 질량 지수)과, 좌표의 축이 하나 늘 때마다 따라 느는 것입니다. 축 하나는 위치와 글자의 임베딩(embedding) 표에 한 열, 헤드로 가는 투영(projection)에 한 열, 층 사이를 옮기는 행렬에 한 행을 더합니다. 정규화에도 수가 둘씩 붙습니다. 내놓은 만큼 받으려면 일차방정식 하나를 풀면 됩니다.
# %% [markdown] tags=["lang-en"]
# A gravity model gives up the matrices of queries and keys, $2d^2$ numbers a layer. What it gets instead comes in two parts: what does not depend on the width of the coordinates (a mass for each character, a strength and a mass exponent for each head), and what grows with every axis. An axis adds a column to the tables of positions and characters, a column to the projections to the heads and a row to the matrices that move the coordinates between layers; each normalization has two numbers more. To get as much as was given up, solve one linear equation.

# %%
def exact_width(d, layers, heads, looking=False):
    axes = max(2, d // heads // 2 - 2)  # of the coordinates of a head
    gone = 2 * layers * d**2  # queries and keys
    fixed = tokens.vocab + 2 * layers * heads  # masses; strengths, exponents
    tables = cfg.context + tokens.vocab + 2  # positions, characters, LN
    project = layers * heads * axes * (2 if looking else 1)
    move = (layers - 1) * (d + 2)  # W and LN between the layers
    return (gone - fixed) / (tables + project + move)


exact = exact_width(cfg.d_model, cfg.n_layers, cfg.n_heads)
pd.Series({"solved": exact, "lib": matched_coordinates(twins[kernel]),
           "used here": vanilla.d_coord}).to_frame(
               "d_coord").style.format("{:.5g}")

# %% tags=["remove-cell"]
record("solved_width", exact, text=f"{exact:.2f}")

# %% [markdown] tags=["lang-ko"]
# 식이 주는 폭은 ⟨solved_width⟩이고, 정수로 만들면 `lib`가 찾은 값이 됩니다. 이제 두 모델을 만들어 실제로 세어 봅니다.
# %% [markdown] tags=["lang-en"]
# The equation gives a width of ⟨solved_width⟩; made whole, it is what `lib` finds. Now build the two models and count for real.

# %% tags=["hide-input"]
pair = {name: build(config, seed) for name, config in twins.items()}
shared = {n: p for n, p in pair["dot"].named_parameters()
          if n in dict(pair[kernel].named_parameters())}
moved = [n for n, p in shared.items()
         if not torch.equal(p, dict(pair[kernel].named_parameters())[n])]
counts = {name: parameters(model) for name, model in pair.items()}
gap = counts[kernel] / counts["dot"] - 1
record("size_gap", gap, text=f"{gap:+.2%}".replace("-", "−"))
record(n_dot=counts["dot"], n_ngt=counts[kernel], d_coord=vanilla.d_coord,
       n_shared=len(shared), n_moved=len(moved))
common = sum(p.numel() for p in shared.values())
pd.DataFrame({
    "매개변수 | parameters": [f"{n:,}" for n in counts.values()],
    "함께 쓰는 것 | shared": f"{common:,}",
    "제 것 | its own": [f"{n - common:,}" for n in counts.values()],
}, index=list(twins))

# %% [markdown] tags=["lang-ko"]
# 좌표의 폭이 ⟨d_coord⟩일 때 매개변수는 내적 모델이 ⟨n_dot⟩개, 중력 모델이 ⟨n_ngt⟩개로 차이는 ⟨size_gap⟩입니다. 이름이 같은 가중치 텐서 ⟨n_shared⟩개 가운데 처음 값이 다른 것은 ⟨n_moved⟩개입니다.
# %% [markdown] tags=["lang-en"]
# With coordinates ⟨d_coord⟩ wide, the dot-product model has ⟨n_dot⟩ parameters and the gravity model ⟨n_ngt⟩, a difference of ⟨size_gap⟩. Of the ⟨n_shared⟩ weight tensors that go by the same name, ⟨n_moved⟩ begin with other values.

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
        if layers[-1]["z"] is not None:
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
    if lambda_repulsion and z is not None:
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
tint = {"dot": COLOURS["attention"], kernel: COLOURS["gravity"]}
figure, axes = plt.subplots(2, 2, figsize=(7.2, 5.2))
for name, history in histories.items():
    axes[0, 0].plot(history.step, history.valid, color=tint[name],
                    linestyle="--" if name == "dot" else "-", label=name)
    axes[1, 1].plot(seen[name]["step"], seen[name]["entropy"],
                    linestyle="--" if name == "dot" else "-",
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
for key, name in (("dot", "dot"), ("ngt", kernel)):
    record(f"loss_{key}", final[name], text=f"{final[name]:.3f}")
    record(f"entropy_{key}_first", seen[name]["entropy"].iloc[0])
    record(f"entropy_{key}_last", seen[name]["entropy"].iloc[-1])
gap = final[kernel] - final["dot"]
record("pair_gap", gap, text=f"{gap:+.3f}".replace("-", "−"))
first, last = ngt.iloc[0], ngt.iloc[-1]
record(push_first=first["repulsion"], push_last=last["repulsion"],
       p_first=first["mean"], p_low=last["low"], p_high=last["high"])
windows = (len(valid_ids) - 1) // cfg.context
record(n_windows=windows, n_valid=windows * cfg.context)
pd.DataFrame({"검증 손실, 글 전체 | loss, whole validation text": [
    f"{loss:.4f}" for loss in final.values()]}, index=list(final))

# %% [markdown] tags=["lang-ko"]
# 세기는 어느 헤드에서나 ⟨p_first⟩ 가까이에서 출발해 ⟨p_low⟩에서 ⟨p_high⟩까지 벌어졌습니다. 반발은 ⟨push_first⟩에서 ⟨push_last⟩까지 변했습니다. 손실에 더하지 않고 재기만 했을 때 이 값이 끝없이 커졌다면 점들이 한곳에 뭉친 것입니다. 엔트로피는 중력이 ⟨entropy_ngt_first⟩에서 ⟨entropy_ngt_last⟩까지, 내적이 ⟨entropy_dot_first⟩에서 ⟨entropy_dot_last⟩까지 변했습니다.
#
# 마지막 손실은 검증 글의 창 ⟨n_windows⟩개 전부에서 쟀습니다. 내적은 ⟨loss_dot⟩, 중력은 ⟨loss_ngt⟩내트이고, 중력에서 내적을 뺀 차이는 ⟨pair_gap⟩입니다. 음수이면 중력이 나은 것입니다. 그러나 **이것은 한 쌍이고, 한 쌍은 아무것도 판정하지 못합니다.** 시드를 바꾸면 두 손실이 모두 움직이고, 얼마나 움직이는지를 모르면 차이가 큰지 작은지도 알 수 없습니다.
# %% [markdown] tags=["lang-en"]
# All heads began with a strength near ⟨p_first⟩ and ended between ⟨p_low⟩ and ⟨p_high⟩. Repulsion went from ⟨push_first⟩ to ⟨push_last⟩; had it grown without end while it was only measured, the points would have fallen into one heap. Entropy went from ⟨entropy_ngt_first⟩ to ⟨entropy_ngt_last⟩ under gravity and from ⟨entropy_dot_first⟩ to ⟨entropy_dot_last⟩ under the dot product.
#
# The last loss was taken over all ⟨n_windows⟩ windows of the validation text: ⟨loss_dot⟩ nats for the dot product, ⟨loss_ngt⟩ for gravity. Gravity minus dot product is ⟨pair_gap⟩; where that is negative, gravity did better. But **this is one pair, and one pair settles nothing.** Another seed moves both losses, and without knowing how far, nobody can call a difference large or small.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-experiment -->
# ## 실험 전체
#
# 그래서 같은 일을 여러 시드와 여러 학습률로 되풀이한 기록을 읽습니다. `benchmarks/quality.py`가 실행 하나를 한 줄로 적어 둔 파일이며, 명령 하나로 누구나 다시 만들 수 있습니다.
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
# So we read the record of the same thing done over and over, with several seeds and several learning rates. `benchmarks/quality.py` wrote one line for each run; one command makes the file again.
#
# ```
# .venv/bin/python -m benchmarks.quality small
# ```
#
# The file holds ⟨n_runs⟩ runs with ⟨n_seeds⟩ seed(s) now, ⟨run_hours⟩ hours of training in all.

# %%
from lib.training.comparison import Interval, by_rate, read_rows, standings

runs = read_rows(ROOT / results)
there = {(row["size"], row["name"]) for row in runs}
all_sizes = [size for size in ("small", "medium") if (size, "dot") in there]
tables = {size: standings(runs, size) for size in all_sizes}

# %% tags=["remove-cell"]
used([results])
record(n_runs=len(runs), n_seeds=len({row["seed"] for row in runs}))
record("run_hours", sum(row["seconds"] for row in runs) / 3600)

# %% tags=["hide-input"]
facts = pd.DataFrame(runs).groupby("size", sort=False).agg(
    runs=("valid", "size"), seeds=("seed", "nunique"),
    rates=("learning_rate", lambda rates: " · ".join(
        f"{rate:g}" for rate in sorted(set(rates)))),
    steps=("steps", "first"), low=("parameters", "min"),
    high=("parameters", "max"), date=("date", "max"),
    device=("device", lambda devices: ", ".join(sorted(set(devices)))))
facts["low"], facts["high"] = facts["low"] / 1e6, facts["high"] / 1e6
facts.rename(columns={
    "runs": "실행 | runs", "seeds": "시드 | seeds",
    "rates": "학습률 | learning rates", "steps": "스텝 | steps",
    "low": "최소, M개 | fewest, M", "high": "최대, M개 | most, M",
    "date": "날짜 | date", "device": "장치 | device"}).style.format(
    precision=3)

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-rates -->
# ### 학습률 고르기
#
# 후보는 견주는 둘에게 같습니다. 시드에 대한 평균이 가장 낮은 것을 고르되, 내적과 함께 시험했고 시드를 다 갖춘 학습률만 후보로 칩니다. 그러지 않으면 운 좋은 시드 하나로 이기는 학습률이 생깁니다. 아래 표에서 후보가 하나뿐인 줄은 고른 것이 아니라 정해 준 것입니다. 같은 검증 글로 고르고 같은 글로 견주니 손실 자체는 조금 좋게 나오지만, 고를 기회가 모두에게 같으므로 차이에는 그만큼 덜 실립니다.
#
# 그림에서는 바닥이 가운데에 있는지 보십시오. 가장 낮은 점이 맨 끝에 있다면 더 나은 학습률이 바깥에 있을 수 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-rates -->
# ### Choosing the rate
#
# The candidates are the same for each pair. The lowest mean over seeds wins, among the rates that the dot product was run with too and that have all seeds; otherwise one lucky seed could win for its rate. Where the table below counts a single candidate, the rate was not chosen but given. Choosing and comparing on one and the same text makes each loss a little too good, but the chances are equal, so less of that reaches the differences.
#
# In the figure, see whether the bottom lies in the middle. Where the lowest point stands at an end, a better rate may lie outside.

# %% tags=["hide-input"]
drawn = ["dot", "newton", "gaussian", "gaussian, position",
         "gaussian, position, looking"]
looks = dict(zip(drawn, zip(
    ("attention", "gravity", "tokens", "plum", "olive"), "osD^v",
    strict=True), strict=True))

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, len(tables), figsize=(7.2, 3.4),
                            squeeze=False)
for axis, size in zip(axes[0], tables, strict=True):
    for name, (colour, mark) in looks.items():
        found = by_rate(row for row in runs if row["name"] == name
                        and row["size"] == size)
        if not found:
            continue
        rates = sorted(found)
        axis.plot(rates, [sum(found[r].values()) / len(found[r])
                          for r in rates], color=COLOURS[colour],
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
# 학습률에 따른 검증 손실, 시드의 평균. 내적과 중력 모델 넷만 그렸습니다. `position`은 좌표가 위치만 아는 모델이고, `looking`은 [아래](#ngt-looking)에서 설명합니다.
# <!-- alt: 학습률을 가로축(로그), 검증 손실을 세로축으로 한 선 그래프. 어텐션마다 선 하나. 고른 학습률은 아래 표에 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Validation loss against learning rate, mean over seeds, for the dot product and four gravity models. In `position` the coordinates know the position only; `looking` is explained [below](#ngt-looking).
# <!-- alt: Line plot of validation loss over learning rate on a logarithmic axis, one line for each attention. The rates that were chosen are in the table below. -->

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-verdict -->
# ### 판정
#
# 시드 하나에서 두 모델은 같은 배치를 같은 순서로 읽었습니다. 그래서 손실을 따로 평균하지 않고 **시드마다 먼저 뺍니다.** 어려운 순서를 만난 시드는 두 손실을 함께 올리는데, 빼면 그 몫이 지워집니다. 차이 $d_1, \dots, d_n$의 평균과 그 95 % 신뢰 구간은
#
# $$\bar{d} \pm t_{n-1} \frac{s}{\sqrt{n}}, \qquad s^2 = \frac{1}{n-1} \sum_{i=1}^{n} (d_i - \bar{d})^2$$
#
# 입니다. $t_{n-1}$은 스튜던트 분포에서 옵니다. $n$이 3이면 4.30, 10이면 2.26입니다. 짝이 적으면 흔들림을 어림한 $s$도 믿기 어렵고, $t$가 그 값을 치르게 합니다. 구간이 0을 품으면 어느 쪽이 나은지 모르는 것이며, 짝이 하나뿐이면 구간이 아예 없습니다.
#
# 파일의 줄에서 직접 구해 봅니다. 먼저 `⟨hand_size⟩` 크기에서 두 모델이 저마다 평균이 가장 낮은 학습률을 고르고, 시드마다 손실을 나란히 놓고 뺍니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-verdict -->
# ### The verdict
#
# Under one seed both models read the same batches in the same order. So we do not average the losses apart; we **subtract seed by seed first.** A seed with a hard order raises both losses, and subtracting takes that out. The mean of the differences $d_1, \dots, d_n$ and its 95 % confidence interval are
#
# $$\bar{d} \pm t_{n-1} \frac{s}{\sqrt{n}}, \qquad s^2 = \frac{1}{n-1} \sum_{i=1}^{n} (d_i - \bar{d})^2$$
#
# Here $t_{n-1}$ comes from Student's distribution: 4.30 for $n$ of 3, 2.26 for 10. With few pairs, $s$ itself is a poor guess, and $t$ makes us pay for that. An interval that holds 0 means that we do not know which is better; a single pair has no interval at all.
#
# We take it from the rows of the file ourselves. At the size `⟨hand_size⟩` each of the two models first takes the rate with the lowest mean, then the losses stand side by side, seed by seed, and are subtracted.

# %%
rows = pd.DataFrame(runs)
size = all_sizes[0]
here = rows[rows["size"] == size].pivot_table(
    index="seed", columns=["name", "learning_rate"], values="valid")
names = [name for name in rows["name"].unique() if name in here]
name = "newton" if "newton" in names else names[-1]
both = here["dot"].columns.intersection(here[name].columns)


def chosen(name):  # seed → loss, at the best rate that all seeds have
    rates = here[name][both]
    full = rates.count() == rates.count().max()
    return rates[rates.mean()[full].idxmin()]


pairs = pd.DataFrame({name: chosen(name), "dot": chosen("dot")}).dropna()
pairs["difference"] = pairs[name] - pairs["dot"]
pairs.style.format(precision=4)

# %% tags=["remove-cell"]
record(hand_size=size)

# %% [markdown] tags=["lang-ko"]
# 두 열은 시드를 따라 함께 오르내리고, 차이의 열은 그보다 덜 흔들립니다. 짝을 짓는 까닭이 여기에 있습니다. 이제 $t$입니다. 스튜던트 분포에서 $t=\sqrt{n-1}\tan\theta$로 바꾸면 밀도가 $\cos^{n-2}\theta$가 되어, 끝없는 꼬리가 $\pi/2$에서 끝납니다. 이 곡선 아래의 넓이가 95 %가 되는 $\theta$를 찾습니다.
# %% [markdown] tags=["lang-en"]
# Along the seeds the two columns rise and fall together, and the column of differences moves less: that is what pairing is for. Now for $t$. With $t=\sqrt{n-1}\tan\theta$ the density of Student's distribution becomes $\cos^{n-2}\theta$, and the endless tail ends at $\pi/2$. We look for the $\theta$ that has 95 % of the area under this curve.

# %%
def t_of(n, level=0.95):
    theta = torch.linspace(0, math.pi / 2, 1_000_001, dtype=torch.float64)
    area = torch.cumulative_trapezoid(theta.cos() ** (n - 2), theta)
    reach = theta[1:][area >= level * area[-1]][0].item()
    return math.sqrt(n - 1) * math.tan(reach)


d = pairs["difference"]
n, mean, s = len(d), d.mean(), d.std()  # s with n − 1 below
reach = t_of(n) * s / math.sqrt(n)
gap = next(one for one in tables[size] if one.name == name).difference
interval = pd.DataFrame({
    "by hand": [mean, mean - reach, mean + reach],
    "lib": [gap.mean, gap.low, gap.high]}, index=["mean", "low", "high"])
interval.assign(difference=interval["by hand"] - interval["lib"]
                ).style.format("{:.4g}")

# %% tags=["remove-cell"]
apart = math.hypot(pairs[name].std(), pairs["dot"].std())
record(hand_pairs=n, hand_t=t_of(n), hand_s=s, hand_apart=apart,
       hand_gap=(interval["by hand"] - interval["lib"]).abs().max())

# %% [markdown] tags=["lang-ko"]
# 짝이 ⟨hand_pairs⟩개이면 $t$는 ⟨hand_t⟩이고, 손으로 구한 구간과 `lib`의 구간은 ⟨hand_gap⟩ 넘게 벌어지지 않습니다. 차이의 표준편차는 ⟨hand_s⟩내트입니다. 짝을 풀고 두 열의 흔들림을 합치면 ⟨hand_apart⟩내트가 됩니다. 아래 표와 그림은 같은 계산을 모든 어텐션(attention)에 되풀이한 것입니다.
# %% [markdown] tags=["lang-en"]
# With ⟨hand_pairs⟩ pairs $t$ is ⟨hand_t⟩, and the interval by hand and that of `lib` differ by no more than ⟨hand_gap⟩. The standard deviation of the differences is ⟨hand_s⟩ nats; with the pairs taken apart, the spreads of the two columns together make ⟨hand_apart⟩. Table and figure below repeat this for every attention.

# %% tags=["hide-input"]
def signed(x):
    return f"{x:+.3f}".replace("-", "−").replace("inf", "∞")


def as_row(size, one):
    gap = one.difference
    known = gap is not None and gap.n > 1
    return {
        "크기 | size": size, "어텐션 | attention": one.name,
        "후보 | tried": len(one.rates),
        "학습률 | rate": f"{one.rate:g}", "손실 | loss": f"{one.mean:.3f}",
        "− dot": signed(gap.mean) if gap else "",
        "95 %": f"{signed(gap.low)} … {signed(gap.high)}" if known else "",
        "짝 | pairs": gap.n if gap else "",
        "매개변수 | parameters": f"{one.parameters:,}"}


pd.DataFrame([as_row(size, one) for size, table in tables.items()
              for one in table]).style.hide(axis="index")

# %% tags=["hide-input"]
figure, axes = plt.subplots(len(tables), figsize=(7.2, 3 * len(tables)),
                            squeeze=False)
for axis, (size, table) in zip(axes[:, 0], tables.items(), strict=True):
    rest = [one for one in table if one.difference][::-1]
    for y, one in enumerate(rest):
        gap = one.difference
        colour = COLOURS["gravity" if gap.mean < 0 else "plum"]
        axis.plot(gap.mean, y, "D" if gap.settled else "o", color=colour)
        if gap.n > 1:
            axis.plot([gap.low, gap.high], [y, y], color=colour)
    axis.axvline(0, color=COLOURS["attention"], linewidth=1)
    axis.set(title=size, xlabel="loss minus dot (nats)",
             ylim=(-0.5, len(rest) - 0.5))
    axis.set_yticks(range(len(rest)), [one.name for one in rest])
gaps = pd.DataFrame([as_row(size, one) for size, table in tables.items()
                     for one in table if one.difference])
show(figure, table=gaps.set_index(gaps.columns[1]))

# %% [markdown] tags=["lang-ko", "caption"]
# 내적과의 차이. 세로선이 내적이고 왼쪽이 더 나은 쪽입니다. 가로선은 95 % 신뢰 구간이며, 구간이 0을 비켜 가면 마름모, 0을 품거나 짝이 하나뿐이면 동그라미입니다.
# <!-- alt: 어텐션마다 내적과의 손실 차이를 점으로, 신뢰 구간을 가로선으로 나타낸 그림. 세로선은 차이 0인 내적이다. 수는 위 표에 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Differences from the dot product, which is the vertical line; left is better. Bars are 95 % confidence intervals: a diamond where the interval leaves 0 out, a circle where it holds 0 or there is only one pair.
# <!-- alt: For each attention a point for its loss minus that of the dot product, with its confidence interval as a bar. The vertical line at 0 is the dot product. The numbers are in the table above. -->

# %% tags=["hide-input"]
unknown = Interval(math.nan, math.nan, math.nan, 0)


def verdict(size, name, key):
    gaps = [one.difference for one in tables.get(size, ())
            if one.name == name]
    gap = gaps[0] if gaps and gaps[0] else unknown
    record(**{f"{key}_{end}": signed(getattr(gap, end))
              for end in ("mean", "low", "high")})
    record(f"{key}_pairs", gap.n)
    if gap.n < 2:
        return ("짝이 둘도 안 되므로 판정할 수 없습니다",
                "fewer than two pairs settle nothing")
    if not gap.settled:
        return ("구간이 0을 품으므로 어느 쪽이 나은지 알 수 없습니다",
                "the interval holds 0: which is better is not known")
    if gap.mean < 0:
        return ("구간 전체가 0보다 작으므로 중력이 낫습니다",
                "the whole interval lies below 0: gravity is better")
    return ("구간 전체가 0보다 크므로 내적이 낫습니다",
            "the whole interval lies above 0: the dot product is better")

# %% tags=["hide-input"]
look = "gaussian, position, looking"
said = {("small", "newton"): "small", ("small", look): "look",
        ("medium", look): "medium"}
said = {f"{size}, {name}": verdict(size, name, key)
        for (size, name), key in said.items()}
bilingual(". ".join(f"{what}: {ko}" for what, (ko, _) in said.items()) + ".",
          ". ".join(f"{what}: {en}" for what, (_, en) in said.items()) + ".")

# %% [markdown] tags=["lang-ko"]
# 작은 크기에서 `newton`에서 내적을 뺀 차이는 평균 ⟨small_mean⟩내트, 95 % 신뢰 구간은 ⟨small_low⟩부터 ⟨small_high⟩까지, 짝은 ⟨small_pairs⟩개입니다. 여러 가지를 시도한 끝에 가장 나았던 모델의 차이는 ⟨look_mean⟩내트(⟨look_low⟩부터 ⟨look_high⟩까지, 짝 ⟨look_pairs⟩개)이고, 중간 크기에서는 ⟨medium_mean⟩내트(⟨medium_low⟩부터 ⟨medium_high⟩까지, 짝 ⟨medium_pairs⟩개)입니다. 위의 문장은 이 구간만 보고 씁니다. 이 장을 쓰면서 바란 대답에 맞추어 쓴 것이 아닙니다.
# %% [markdown] tags=["lang-en"]
# At the small size `newton` minus dot product is ⟨small_mean⟩ nats on average, with a 95 % confidence interval from ⟨small_low⟩ to ⟨small_high⟩ over ⟨small_pairs⟩ pairs. For the model that did best after several things had been tried the difference is ⟨look_mean⟩ nats (⟨look_low⟩ to ⟨look_high⟩, ⟨look_pairs⟩ pairs), and at the medium size ⟨medium_mean⟩ nats (⟨medium_low⟩ to ⟨medium_high⟩, ⟨medium_pairs⟩ pairs). The sentences above are written from these intervals and nothing else, not from the answer that the author hoped for.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-kernels -->
# ### 커널과 좌표
#
# 같은 실험에는 커널(kernel) 셋과 밀어내는 부호가 들어 있고, 저마다 좌표가 토큰과 위치를 아는 것과 위치만 아는 것이 있습니다. 공개된 원본은 맨 아랫줄의 둘째 칸, 밀어내면서 위치만 아는 칸입니다. `looking`은 바로 뒤에서 설명합니다. 칸마다 가장 좋은 학습률에서 시드를 평균한 손실과 내적과의 차이를 적었습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-kernels -->
# ### Kernels and coordinates
#
# The same experiment holds three kernels and the repelling sign, each with coordinates that know token and position and with coordinates that know position only. The published original is the second cell of the last row: repelling, position only. What `looking` means comes right after. Each cell gives the mean loss over seeds at its best rate, and the difference from the dot product.

# %% tags=["hide-input"]
def cell(table, name):
    found = [one for one in table if one.name == name]
    if not found:
        return "–"
    gap = found[0].difference
    return f"{found[0].mean:.3f} ({signed(gap.mean) if gap else '–'})"


kinds = ("newton", "gaussian", "potential", "repelling")
columns = {"토큰 + 위치 | token + position": "",
           "위치만 | position only": ", position",
           "토큰 + 위치, looking | token + position, looking": ", looking",
           "위치만, looking | position only, looking": ", position, looking"}
pd.concat({size: pd.DataFrame(
    {column: [cell(table, kind + end) for kind in kinds]
     for column, end in columns.items()}, index=kinds)
    for size, table in tables.items()}).rename_axis(
    ["크기 | size", "커널 | kernel"]).reset_index().style.hide(axis="index")

# %% [markdown] tags=["lang-ko"]
# 괄호 안이 음수인 칸만 내적보다 낫습니다. 줄표는 파일에 없는 실행입니다. 앞의 두 열을 견주면 좌표가 토큰을 아는 것이 얼마나 중요한지, 마지막 두 줄을 견주면 부호 하나가 얼마나 큰지 알 수 있습니다.
# %% [markdown] tags=["lang-en"]
# Only cells with a negative number in brackets beat the dot product; a dash is a run that the file does not have. Compare the first two columns to see how much it matters that coordinates know the token, and the last two rows to see what a single sign is worth.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-looking -->
# ### 놓인 자리와 보는 자리
#
# 거리로 정하는 어텐션(attention)에는 내적에 없는 버릇이 하나 있습니다. 자기 자신과의 거리는 늘 0이므로, **어떤 토큰에게도 가장 가까운 것은 자기 자신**입니다. “바로 앞 글자만 보라”는 헤드를 만들 수가 없습니다. 내적은 쿼리와 키를 따로 투영(projection)하니 그런 제약이 없습니다.
#
# 그래서 헤드마다 투영을 하나 더 둡니다. 토큰은 $z_i$에 놓여 있지만 $y_i$에서 봅니다.
#
# $$r^2_{ij} = \frac{\lVert y_i - z_j \rVert^2}{C}, \qquad y_i = W_\text{look}\,\zeta_i, \quad z_j = W_\text{place}\,\zeta_j$$
#
# $\zeta$는 층이 함께 쓰는 좌표입니다. 학습은 $W_\text{look} = W_\text{place}$에서, 곧 놓인 자리에서 보는 상태로 시작합니다. 질량도 커널도 그대로이고 빠른 꼴도 모두 그대로 쓸 수 있습니다. 늘어난 투영만큼 좌표의 폭을 줄여 매개변수의 수는 같게 두었습니다. 코드에서는 `LMConfig(looking=True)`, 명령에서는 `-p looking True`입니다. 서로 당기는 힘이 같다는 뉴턴의 셋째 법칙은 이때 깨집니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-looking -->
# ### Where a token lies and where it looks from
#
# Attention by distance has a habit that the dot product has not. The distance to oneself is always 0, so **the nearest thing to any token is that token itself.** No head can say “look at the previous character only.” The dot product, which projects queries and keys apart, is free to.
#
# So give each head one more projection. A token lies at $z_i$ and looks from $y_i$.
#
# $$r^2_{ij} = \frac{\lVert y_i - z_j \rVert^2}{C}, \qquad y_i = W_\text{look}\,\zeta_i, \quad z_j = W_\text{place}\,\zeta_j$$
#
# Here $\zeta$ are the coordinates that all heads of a layer share. Training starts at $W_\text{look} = W_\text{place}$, looking from where it lies. Masses and kernels stay as they are, and so does every fast form. The coordinates are made narrower by what the new projection costs, so that the number of parameters stays the same. In code it is `LMConfig(looking=True)`, on the command line `-p looking True`. Newton's third law, that two bodies pull each other alike, no longer holds then.

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
exact = exact_width(cfg.d_model, cfg.n_layers, cfg.n_heads, looking=True)
width = max(1, round(exact))
free = replace(vanilla, attention="newton", looking=True, d_coord=width,
               strength=strength, eps=eps)
model, ids = build(free, seed).eval(), valid_ids[None, : cfg.context]
theirs = model.blocks[0].attention
ours = Looking(width, cfg.n_heads, theirs.place.out_features // cfg.n_heads)


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
record(look_gap=max((a - b).abs().max().item() for a, b in looked.values()),
       look_width=width)
for key, value in zip(("look_first", "look_other"), share.values(), strict=True):
    record(key, value, text=f"{value:.0%}")

# %% [markdown] tags=["lang-ko"]
# 손으로 지은 층과 `lib`의 층은 가중치가 ⟨look_gap⟩ 넘게 다르지 않습니다. 학습 전에는 쿼리의 ⟨look_first⟩가 자기 자신에게 가장 큰 가중치를 주고, $W_\text{look}$을 아무 행렬로 바꾸면 그 비율이 ⟨look_other⟩로 내려갑니다. 투영이 하나 늘었으니 앞의 방정식에서 투영의 몫이 두 배가 되고, 좌표의 폭은 ⟨look_width⟩로 줄어듭니다.
# %% [markdown] tags=["lang-en"]
# The weights of the layer by hand and of `lib`'s differ by no more than ⟨look_gap⟩. Before training, ⟨look_first⟩ of the queries give their largest weight to themselves; with some other matrix for $W_\text{look}$ it is ⟨look_other⟩. There is one projection more, so that its share in the equation above doubles and the width of the coordinates shrinks to ⟨look_width⟩.

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
# 위치를 토큰과 섞지 않고 따로 흐르게 하는 것은 중력이 처음 한 일이 아닙니다. TUPE는 낱말끼리의 어울림과 위치끼리의 어울림을 다른 투영으로 구해 더하고, DeBERTa는 토큰마다 내용의 벡터와 위치의 벡터를 둡니다. ALiBi와 KERPLE은 로짓(logit)에서 위치의 차이에 따른 값을 뺍니다. KERPLE의 로그 꼴은 $-r_1\log(1+r_2|i-j|)$여서, 좌표가 위치뿐일 때의 `newton`과 닮았습니다. 이 책의 좌표가 이들과 다른 점은 어텐션의 출력을 따라 층마다 움직인다는 것입니다. 모두 [참고 문헌](#references-attention)에 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-related -->
# ### Earlier work: positions on their own
#
# Gravity is not the first to let positions flow apart from tokens. TUPE takes the match of words and the match of positions through projections of their own and adds them; DeBERTa gives each token one vector for its content and one for its position. ALiBi and KERPLE subtract from the logits something that depends on the difference of positions. The logarithmic form of KERPLE, $-r_1\log(1+r_2|i-j|)$, resembles `newton` with coordinates that are the position alone. What sets the coordinates of this book apart is that they move from layer to layer with the attention output. All are in the [references](#references-attention).

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngt-limits -->
# ### 이 실험이 말하지 못하는 것
#
# - **`looking`은 결과를 보고 찾은 것입니다.** 시드 0 하나로 여러 가지를 시험해 고른 뒤, 다른 시드로 다시 재었습니다. 시험했으나 듣지 않은 것은 [실험 일지](../book/lab_log.md)에 있습니다. 구간에는 시드 0도 들어 있어 그만큼은 중력에 후합니다. 같은 생각을 내적에 되돌려 줄 길은 없습니다. 내적은 처음부터 쿼리와 키를 따로 투영합니다.
# - **맞춘 것은 학습률만이 아닙니다.** `newton`의 $\varepsilon$과 첫 세기는 첫 실행을 보고 0.1과 0.5에서 둘 다 1로 바꾸었습니다. 바꾸기 전의 줄(`newton, eps 0.1`)도 표에 남겨 두었습니다. 내적에는 그런 손질을 하지 않았으니, 그만큼은 중력의 편을 든 셈입니다. 웜업과 가중치 감쇠는 모두에게 한 번 정한 대로 두었습니다.
# - **글 하나, 문자 단위, 짧은 학습입니다.** 큰 모델이 긴 글에서 어떤지는 [WikiText-103 장](13_wikitext103.ipynb)의 몫입니다. 매개변수 12억 개와 30억 개에서 스무 가지 변형을 다시 잰 [Zhao 등](#references-evidence)은 대부분이 이득을 잃었다고 하고, [Verma](#references-evidence)는 글이 적을 때의 이득이 글이 많아지면 손해로 바뀌는 변형을 보였습니다. 이 장의 크기에서 나온 차이도 그럴 수 있습니다.
# - **시간은 같게 두지 않았습니다.** 같은 것은 스텝의 수입니다. 한 스텝이 얼마나 느린지는 [빠른 중력](12_fast_gravity.ipynb)에서 잽니다.
# - **어텐션마다 구간을 하나씩 그렸습니다.** 여럿을 한꺼번에 보면 하나쯤은 우연히 0을 비켜 갑니다. 미리 정해 둔 물음은 `newton`과 내적의 차이 하나였습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-limits -->
# ### What this experiment cannot say
#
# - **`looking` was found by looking at results.** Several things were tried on seed 0 alone, this one was kept and then measured on other seeds; what was tried and did not help is in the [lab log](../book/lab_log.md). The intervals hold seed 0 too, and to that extent are kind to gravity. The dot product cannot be given the same idea in return: it has projected queries and keys apart from the start.
# - **The learning rate is not all that was tuned.** The $\varepsilon$ and the first strength of `newton` were moved from 0.1 and 0.5 to 1, both of them, after the first run was seen; the row from before (`newton, eps 0.1`) stays in the table. The dot product got no such care, and to that extent gravity is favoured. Warm-up and weight decay stayed as they were set once, for all.
# - **One text, character by character, a short training.** Larger models on longer text are for the [chapter on WikiText-103](13_wikitext103.ipynb). [Zhao et al.](#references-evidence), who measured twenty modifications again at 1.2 billion and 3 billion parameters, found that most of them had lost their gain, and [Verma](#references-evidence) shows one that gains on little text and loses on more. The differences at the size of this chapter may go the same way.
# - **Time was not kept equal.** The number of steps was. How much slower a step is gets measured in [fast gravity](12_fast_gravity.ipynb).
# - **There is one interval for each attention.** Look at many at once, and some will miss 0 by chance. The question asked beforehand was a single one, `newton` against the dot product.

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
# | 이 장에서 학습한 한 쌍, ⟨n_steps⟩스텝 | 내적 ⟨loss_dot⟩, 중력 ⟨loss_ngt⟩, 차이 ⟨pair_gap⟩ |
# | 매개변수 수의 차이 | ⟨size_gap⟩ |
# | 실험 전체, 작은 크기, `newton` − 내적 | ⟨small_mean⟩, 95 % 구간 ⟨small_low⟩부터 ⟨small_high⟩까지, 짝 ⟨small_pairs⟩개 |
# | 작은 크기, `gaussian, position, looking` − 내적 | ⟨look_mean⟩, 95 % 구간 ⟨look_low⟩부터 ⟨look_high⟩까지, 짝 ⟨look_pairs⟩개 |
# | 중간 크기, 같은 모델 − 내적 | ⟨medium_mean⟩, 95 % 구간 ⟨medium_low⟩부터 ⟨medium_high⟩까지, 짝 ⟨medium_pairs⟩개 |
# | 이어 한 학습과 다른 가중치 텐서 | ⟨n_tensors⟩개 가운데 ⟨n_differ⟩개 |
#
# 손실은 문자 하나당 내트이고 검증 글의 ⟨n_valid⟩글자에서 쟀습니다. 한 쌍은 이 실행에서, 실험 전체는 파일에 적힌 날짜와 장치에서 잰 것입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngt-measured -->
# ## What was measured, and on what
#
# | measured | result |
# |---|---|
# | The pair trained on this page, ⟨n_steps⟩ steps | dot product ⟨loss_dot⟩, gravity ⟨loss_ngt⟩, difference ⟨pair_gap⟩ |
# | Difference in parameters | ⟨size_gap⟩ |
# | Whole experiment, small size, `newton` − dot product | ⟨small_mean⟩, 95 % interval ⟨small_low⟩ to ⟨small_high⟩, ⟨small_pairs⟩ pairs |
# | Small size, `gaussian, position, looking` − dot product | ⟨look_mean⟩, 95 % interval ⟨look_low⟩ to ⟨look_high⟩, ⟨look_pairs⟩ pairs |
# | Medium size, the same model − dot product | ⟨medium_mean⟩, 95 % interval ⟨medium_low⟩ to ⟨medium_high⟩, ⟨medium_pairs⟩ pairs |
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
