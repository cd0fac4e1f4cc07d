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
# <!-- label: tune-top -->
# # 미세 조정: 새 행 먼저, 그다음 모두
#
# 어휘(vocabulary)를 바꾸고 [새 행을 만들어 주면](17_realigning.ipynb) 모델은 새 조각을 어느 정도 부를 줄 알게 됩니다. 나머지는 배워야 합니다. 이 장에서는 어휘를 바꾼 모델과 바꾸지 않은 모델을 **같은 계산량**으로 미세 조정(fine-tuning)하고, 얻은 것과 잃은 것을 바이트당 비트(bits per byte)로 견줍니다.
#
# - **할 수 있게 되는 것.** 임베딩(embedding) 표의 몇 행만 배우게 하고, 다른 글을 섞어 잊지 않게 하고, 두 모델을 같은 토큰(token) 예산에서 공정하게 견줍니다.
# - **걸리는 시간.** 읽기 30분, 연습 문제 25분.
# - **필요한 것.** [임베딩 다시 맞추기](17_realigning.ipynb), [학습](05_training.ipynb).
# %% [markdown] tags=["lang-en"]
# <!-- label: tune-top -->
# # Fine-tuning: the new rows first, then all
#
# With [rows made for the new pieces](17_realigning.ipynb), a model can call them to some degree. The rest has to be learned. This chapter fine-tunes the swapped model and the untouched one on **equal compute** and compares what they gain and what they lose in bits per byte.
#
# - **You will be able to** train a few rows of an embedding table alone, mix in other text so that nothing is forgotten, and compare two models fairly on one budget of tokens.
# - **Time.** 30 minutes to read, 25 for the exercises.
# - **You need** [realigning embeddings](17_realigning.ipynb) and [training](05_training.ipynb).

# %% tags=["parameters"]
profile: str = None  # smoke, book or gpu; None follows BOOK_PROFILE, else book
reviews: int = None  # Korean documents that give pieces; None: the profile
pieces: int = None  # ids that are reassigned; None: the profile
documents: int = None  # Korean documents to measure on; None: the profile
passes: int = None  # of the distillation; None: the profile
steps: int = None  # updates of each model; None: the profile
rows_steps: int = None  # of them with the new rows alone; None: the profile
batch: int = None  # windows of an update; None: the profile
context: int = None  # tokens of a window; None: the profile
layers: int = None  # of the model, from the first; None: the profile
strategy = "constituents"  # how the new rows begin
rank = 16  # of the additions that learn in the second phase
learning_rate = 1e-3  # of the additions, at its peak
rows_learning_rate = 5e-3  # of the new rows, at its peak
replay_share = 0.25  # of each batch is other text
seed = 0  # of the batches
device = "auto"  # auto, cpu, cuda or mps

# %% tags=["hide-input"]
import json
from collections import Counter

import pandas as pd
import torch
from matplotlib import pyplot as plt

from lib import data
from lib.page.figures import COLOURS, show, use_style
from lib.page.profile import expect, settings
from lib.page.record import record, used

use_style()

# %% tags=["hide-input"]
names = ("reviews", "pieces", "documents", "passes", "steps", "rows_steps",
         "batch", "context", "layers")
smoke, book, gpu = (dict(zip(names, row, strict=True)) for row in (
    (200, 24, 2, 1, 2, 1, 4, 16, 2), (4000, 400, 12, 10, 18, 4, 4, 64, 30),
    (40_000, 2000, 400, 40, 2000, 200, 32, 256, 30)))
given = {name: globals()[name] for name in names}
expect(str, strategy=strategy)
expect(int, rank=rank, seed=seed)
expect(float, learning_rate=learning_rate, replay_share=replay_share,
       rows_learning_rate=rows_learning_rate)
cfg = settings(profile, smoke=smoke, book=book, gpu=gpu, given=given,
               device=device, seed=seed)

# %% [markdown] tags=["lang-ko"]
# <!-- label: tune-equal -->
# ## 무엇이 같아야 공정한가
#
# 트랜스포머(Transformer)가 한 토큰에 쓰는 계산량은 그 토큰이 글을 몇 바이트나 나르는지와 상관이 없습니다. 그래서 **같은 계산량은 같은 토큰 수**입니다. 두 모델은 스텝 수도, 한 스텝의 토큰 수도, 배우는 수의 개수도 같습니다. 다른 것은 둘입니다. 하나는 그 토큰들이 나르는 글의 양이고, 다른 하나는 새 행을 다루는 방법입니다. 바꾼 모델은 처음 몇 스텝에 새 행만 배우고, 새 행의 학습률(learning rate)도 더 큽니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: tune-equal -->
# ## What must be equal to be fair
#
# The compute that a Transformer spends on a token does not depend on how many bytes of text the token carries. So **equal compute is an equal number of tokens**. Both models take as many steps, with as many tokens each, and learn as many numbers. Two things differ: how much text those tokens carry, and how new rows are treated. The swapped model spends its first steps on them alone, and their learning rate is larger.

# %%
from lib.vocabulary.small import korean_swap

swap = korean_swap(
    reviews=cfg.reviews, pieces=cfg.pieces, documents=cfg.documents,
    passes=cfg.passes, seed=seed)
original, remapped = swap.original, swap.remapped
held, prose = swap.held, swap.prose

# %%
from lib.vocabulary.tune import Mixed, windows

need = cfg.steps * cfg.batch
replay = [part for part in data.text("tinyshakespeare").split("\n\n") if part]
batches = {}
for name, tokenizer in (("unswapped", original), ("swapped", remapped)):
    batches[name] = Mixed(
        windows(tokenizer, swap.domain, cfg.context, need),
        windows(tokenizer, replay, cfg.context, need),
        cfg.batch, replay_share, seed)
size = {name: sum(len(e.ids) for e in tokenizer.encode_batch(held))
        for name, tokenizer in (("old", original), ("new", remapped))}
record(n_bytes=sum(len(text.encode()) for text in held),
       tokens_old=size["old"], tokens_new=size["new"],
       more_text=size["old"] / size["new"],
       budget=need * cfg.context, n_steps=cfg.steps)

# %% [markdown] tags=["lang-ko"]
# 떼어 둔 한국어 ⟨n_bytes⟩바이트는 옛 어휘로 ⟨tokens_old⟩토큰, 새 어휘로 ⟨tokens_new⟩토큰입니다. 그러니 새 어휘는 같은 토큰 수로 한국어 글을 ⟨more_text⟩배 읽습니다. 예산은 모두 ⟨budget⟩토큰입니다. 배치(batch)마다 일부는 셰익스피어의 글입니다. 이렇게 다른 글을 섞어 읽히는 것을 **되새김**(replay)이라고 합니다.
# %% [markdown] tags=["lang-en"]
# The held-out Korean text of ⟨n_bytes⟩ bytes takes ⟨tokens_old⟩ tokens of the old vocabulary and ⟨tokens_new⟩ of the new one. So with as many tokens the new vocabulary reads ⟨more_text⟩ times as much Korean. The whole budget is ⟨budget⟩ tokens. A share of each batch is Shakespeare: other text mixed in, so that it is not forgotten, is called **replay**.

# %% [markdown] tags=["lang-ko"]
# <!-- label: tune-rows -->
# ## 새 행만 배우기
#
# 새 행은 아직 서투르고 나머지는 이미 잘 배웠습니다. 처음부터 모두를 배우게 하면 서투른 행이 만든 큰 기울기(gradient)가 나머지를 흔듭니다. 그래서 첫 단계에서는 새 행만 배웁니다. 표의 기울기 $G$에서 새 행이 아닌 행을 0으로 만드는 것과 같습니다.
#
# $$G_r \leftarrow \begin{cases} G_r & r\text{이 새 번호} \\ 0 & \text{그 밖}\end{cases}$$
#
# `lib.vocabulary.light`는 새 행들을 표 밖에 따로 두고 스텝마다 표에 끼워 넣습니다. 그러면 AdamW의 두 평균도 이 행들의 것만 있으면 되고, 다른 행은 한 비트도 바뀌지 않습니다. 새 행은 몇 되지 않으니 학습률을 크게 잡아도 됩니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: tune-rows -->
# ## The new rows alone
#
# The new rows are clumsy still, all else has been learned well. If everything learned from the start, the large gradients that clumsy rows cause would shake the rest. So in the first phase only the new rows learn: it is as if every other row of the table's gradient $G$ were set to zero.
#
# $$G_r \leftarrow \begin{cases} G_r & r\text{ is a new id} \\ 0 & \text{otherwise}\end{cases}$$
#
# `lib.vocabulary.light` keeps the new rows outside of the table and puts them in at each step. AdamW then needs its two averages for these rows only, and not one bit of any other changes. The new rows are few, so their learning rate can be large.

# %%
from lib.vocabulary.bits_per_byte import bits_per_byte
from lib.vocabulary.realign import make_rows
from lib.vocabulary.rows import load_model, put_rows, reassigned

ids = reassigned(original, remapped).ids
counts = Counter(index for encoding in original.encode_batch(swap.domain[:1000])
                 for index in encoding.ids)
learning = {"swapped": ids,
            "unswapped": [i for i, _ in counts.most_common(len(ids))]}

# %%
points = []  # (model, step, Korean, English)


def prepared(name):
    """The model as it was, or with rows for the new pieces."""
    model = load_model(str(data.path("smollm2"))).to(cfg.device)
    model.model.layers = model.model.layers[:cfg.layers]
    if name == "swapped":
        texts = [*swap.domain[:100], *swap.english[:8]]
        rows = make_rows(model, original, remapped, strategy, texts=texts)
        put_rows(model, ids, rows.wte, rows.lm_head)
    return model


def measure(model, name):
    tokenizer = remapped if name == "swapped" else original
    return [bits_per_byte(model, tokenizer, texts, tokens=1024).per_byte
            for texts in (held, prose)]

# %% [markdown] tags=["lang-ko"]
# <!-- label: tune-light -->
# ## 나머지는 가볍게
#
# 둘째 단계에서는 나머지도 배웁니다. 그러나 모든 행렬을 그대로 배우게 하면 한 스텝이 비쌉니다. 행렬마다 기울기를 만들고 AdamW의 평균 둘을 지녀야 하기 때문입니다. 배운 것을 잊기도 쉽습니다. 그래서 행렬 $W$는 붙들어 두고, 계수(rank)가 작은 곱 하나를 더해 그것만 배웁니다(LoRA, Hu 등, 2021).
#
# $$y = xW + s\,xAB,\qquad A\in\mathbb R^{d\times r},\; B\in\mathbb R^{r\times d'}$$
#
# $r$이 계수이고, $s$는 더하는 크기를 정하는 상수로 여기서는 2입니다. $B$를 0에서 시작하므로 처음에는 아무것도 달라지지 않습니다. 새 행은 이 단계에서도 빨리 배워야 합니다. Adam은 수 하나하나를 대략 학습률만큼 움직이므로, 행을 $e+fz$로 적고 $z$를 배우면 $f$배 빨리 움직입니다. 다 배우면 곱과 행을 모두 모델에 합칩니다. 바꾸지 않은 모델은 첫 단계 없이 처음부터 둘째 단계로 배웁니다. 새 행이 없으니 한국어에 가장 많이 쓰는 토큰의 행을 같은 수만큼 배웁니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: tune-light -->
# ## The rest, lightly
#
# In the second phase the rest learns too. To train every matrix as it is would make a step expensive, with a gradient for each matrix and two averages of AdamW, and would make it easy to forget. So each matrix $W$ is held fixed, a product of low rank is added, and only that learns (LoRA, Hu et al., 2021).
#
# $$y = xW + s\,xAB,\qquad A\in\mathbb R^{d\times r},\; B\in\mathbb R^{r\times d'}$$
#
# $r$ is the rank, and $s$ a constant that sets the size of the addition, here 2. $B$ starts at 0, so nothing is different at first. The new rows have to learn fast in this phase as well. Adam moves each number by about its rate, so a row written as $e+fz$, of which $z$ learns, moves $f$ times as fast. At the end the products and the rows become part of the model. The untouched model skips the first phase and spends all its steps on the second; having no new rows, it learns as many rows of the tokens that Korean uses most.

# %%
from lib.vocabulary.tune import fine_tune, phases


def tune(name):
    """Fine-tune one of the two; note its bits before, halfway and after."""
    model = prepared(name)
    points.append((name, 0, *measure(model, name)))
    rows_steps = cfg.rows_steps if name == "swapped" else 0
    plan = phases(rows_steps=rows_steps, steps=cfg.steps - rows_steps,
                  batch=cfg.batch, rate=learning_rate, rank=rank, seed=seed,
                  rows_rate=(rows_learning_rate if name == "swapped"
                             else learning_rate))

    def told(phase, step):
        at = step.step + (rows_steps if phase == "all" else 0)
        if at in (cfg.steps // 2, cfg.steps):
            step.model.write()  # the rows, as they are now
            points.append((name, at, *measure(model, name)))

    fine_tune(model, learning[name], batches[name], plan, on_step=told)
    return model

# %% [markdown] tags=["lang-ko"]
# `fine_tune`은 `lib.training.loop.fit`을 두 번 부를 뿐입니다. 혼합 정밀도(mixed precision), 기울기 누적(gradient accumulation), 체크포인트(checkpoint), 이어서 하기는 모두 [5장](05_training.ipynb)의 것입니다. 먼저 한 스텝만 학습시켜, 새 행 말고는 정말 그대로인지 봅니다.
# %% [markdown] tags=["lang-en"]
# `fine_tune` does no more than call `lib.training.loop.fit` twice: mixed precision, accumulation, checkpoints and resuming are those of [chapter 05](05_training.ipynb). First a single step, to see that nothing but the new rows moves.

# %%
model = prepared("swapped")
before = {name: p.detach().clone() for name, p in model.named_parameters()}
one_step = phases(rows_steps=1, steps=0, batch=cfg.batch, rate=0.0,
                  rows_rate=rows_learning_rate, seed=seed)
fine_tune(model, ids, batches["swapped"], one_step)
moved = {name: int((p != before[name]).reshape(len(p), -1).any(1).sum())
         for name, p in model.named_parameters()}
tables = [name for name, rows in moved.items() if rows]
record(moved_rows=sum(moved.values()), moved_tables=len(tables),
       n_new=len(ids), n_tables=len(moved))
del model, before

# %% [markdown] tags=["lang-ko"]
# 텐서 ⟨n_tables⟩개 가운데 ⟨moved_tables⟩개에서만, 그 안에서도 ⟨moved_rows⟩행만 달라졌습니다. 새 번호는 ⟨n_new⟩개입니다. 이 배치에 나오지 않은 조각의 행도 움직입니다. 출력에서는 나오지 않는 것도 배울 거리이기 때문입니다.
# %% [markdown] tags=["lang-en"]
# Of ⟨n_tables⟩ tensors ⟨moved_tables⟩ changed, and in it ⟨moved_rows⟩ rows; there are ⟨n_new⟩ new ids. Rows of pieces that this batch does not show move too: for the output, not to come is something to learn.

# %% [markdown] tags=["lang-ko"]
# <!-- label: tune-both -->
# ## 같은 예산, 두 모델
#
# 이제 두 모델을 ⟨n_steps⟩스텝씩 학습시킵니다. 이 페이지에서 쓸 수 있는 예산은 아주 작지만 방향은 보입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: tune-both -->
# ## One budget, two models
#
# Now both models are trained for ⟨n_steps⟩ steps. That is as small a budget as a page can spend; the direction shows all the same.

# %%
model = tune("unswapped")
start_ko, start_en = points[0][2:]
del model
model = tune("swapped")
curve = pd.DataFrame(points, columns=["model", "step", "Korean", "English"])
curve = curve.set_index(["model", "step"])
last = curve.xs(cfg.steps, level="step")
aligned = curve.loc[("swapped", 0)]
record(start_ko=start_ko, start_en=start_en, aligned_ko=aligned["Korean"],
       aligned_en=aligned["English"])
record(**{f"{name}_{kind}": last.loc[name, column]
          for name in ("swapped", "unswapped")
          for kind, column in (("ko", "Korean"), ("en", "English"))})
record(gap_ko=last.loc["swapped", "Korean"]
       - last.loc["unswapped", "Korean"])
for name in ("swapped", "unswapped"):
    change = last.loc[name, "English"] / start_en - 1
    record(f"{name}_lost", change, text=f"{change:+.1%}".replace("-", "−"))

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.2))
for axis, kind, start in zip(axes, ("Korean", "English"),
                             (start_ko, start_en), strict=True):
    axis.axhline(start, color=COLOURS["grey"], lw=1, ls="--", label="before")
    for name, colour, mark in (("unswapped", "gravity", "s"),
                               ("swapped", "attention", "o")):
        part = curve.loc[name][kind]
        axis.plot(part.index * cfg.batch * cfg.context, part,
                  color=COLOURS[colour], marker=mark, label=name)
    axis.set(title=kind, xlabel="tokens trained on", ylabel="bits per byte")
axes[0].legend()
show(figure, table=curve.round(3).unstack(0))

# %% [markdown] tags=["lang-ko", "caption"]
# 이 페이지에서 학습한 두 모델의 바이트당 비트(낮을수록 좋음). 점선은 어휘를 바꾸기 전의 모델입니다.
# <!-- alt: 선 그래프 두 개. 가로축은 학습한 토큰 수. 왼쪽 한국어에서는 두 선이 모두 내려간다. 오른쪽은 영어이고, 바꾸기 전의 점선에 견준 두 선의 높이는 아래 문단에 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Bits per byte of the two models trained on this page (lower is better). The dashed line is the model before its vocabulary changed.
# <!-- alt: Two line plots over the number of tokens trained on. On the left, Korean, both lines fall. On the right is English; how the two lines lie against the dashed line of before is told below. -->

# %% [markdown] tags=["lang-ko"]
# 바꾸기 전의 모델은 한국어에 바이트당 ⟨start_ko⟩비트를 씁니다. 새 행을 만들어 준 직후에는 ⟨aligned_ko⟩비트입니다. 같은 예산을 쓰고 나면 바꾼 쪽이 ⟨swapped_ko⟩비트, 바꾸지 않은 쪽이 ⟨unswapped_ko⟩비트입니다. 차이는 ⟨gap_ko⟩비트이고, 음수라면 바꾼 쪽이 낫습니다. 영어는 바꾸기 전 ⟨start_en⟩비트에서 각각 ⟨swapped_en⟩비트(⟨swapped_lost⟩), ⟨unswapped_en⟩비트(⟨unswapped_lost⟩)가 되었습니다.
#
# 예산이 작을수록 바꾼 쪽이 불리합니다. 바꾸지 않은 모델은 이미 잘 아는 토큰 몇백 개로 한글을 한 바이트씩 적는 법만 다듬으면 되지만, 바꾼 모델은 새 조각마다 언제 부를지를 따로 배워야 합니다. 드문 조각은 이만한 글에는 한두 번밖에 나오지 않습니다. 그 대신 글을 쓰고 읽을 때의 토큰 수는 첫 스텝부터 줄어 있습니다.
# %% [markdown] tags=["lang-en"]
# Before the change the model spends ⟨start_ko⟩ bits a byte on Korean, and ⟨aligned_ko⟩ once the new rows are made. After the same budget the swapped model spends ⟨swapped_ko⟩ and the untouched one ⟨unswapped_ko⟩. English went from ⟨start_en⟩ to ⟨swapped_en⟩ (⟨swapped_lost⟩) and ⟨unswapped_en⟩ (⟨unswapped_lost⟩). In Korean they differ by ⟨gap_ko⟩ bits; a negative number is in favour of the swap.
#
# The smaller the budget, the harder it is on the swapped model. The untouched one has only to polish how it spells Hangul byte by byte, with a few hundred tokens that it knows well; the swapped one has to learn for each new piece when to call it, and so little text shows a rare piece once or twice. What it has from the first step on is the smaller number of tokens, in reading and in writing.

# %% [markdown] tags=["lang-ko"]
# <!-- label: tune-published -->
# ## 더 큰 예산
#
# `.venv/bin/python -m benchmarks.ivr`은 두 모델을 더 많은 스텝으로 견줍니다. 다만 새 행만 배우는 첫 단계 없이 처음부터 둘째 단계로 배웁니다. 끝낸 측정은 `benchmarks/results/ivr.jsonl`에 한 줄씩 남습니다. 아래는 그 파일에 있는 가장 큰 예산의 곡선입니다. 여기서 되새김 글은 위키백과와 코드이고, 셰익스피어의 희곡은 되새기지 않은 종류의 글입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: tune-published -->
# ## A larger budget
#
# `.venv/bin/python -m benchmarks.ivr` compares the two models over more steps, though without the first phase: it begins with the second. It leaves each measurement as a line of `benchmarks/results/ivr.jsonl`. Below is the curve of the largest budget in that file. Replay is Wikipedia and code there, and the plays of Shakespeare are a kind of text that is not replayed.

# %% tags=["hide-input"]
results = data.ROOT / "benchmarks/results/ivr.jsonl"
used([results])
lines = results.read_text("utf-8")
rows = pd.DataFrame([json.loads(line) for line in lines.splitlines()])
rows["budget"] = rows["steps"] * rows["batch"] * rows["context"]
every = rows[rows["part"] == "train"]
same = ["pieces", "seed", "batch", "context", "rate", "rows_rate", "rank"]
every = every[(every[same] == every[same].iloc[0]).all(axis=1)]  # as published
trained = every[every["budget"] == every["budget"].max()]
published = trained.set_index(["name", "tokens"])[["domain", "prose", "code", "plays"]]
record(big_pieces=int(trained["pieces"].iloc[0]),
       big_budget=int(trained["budget"].iloc[0]),
       big_bytes=int(trained["domain_bytes"].iloc[0]))

# %% tags=["hide-input"]
ends = published.groupby("name", sort=False).agg(["first", "last"]).round(3)
final = published.groupby("name").last()
swapped = final.drop("unswapped")
best, least = swapped["domain"].idxmin(), swapped["domain"].min()
plain = rows[rows["part"] == "before"].groupby("name")["plays"].first()
plays, untouched = swapped["plays"][best], final["domain"]["unswapped"]
others = {kind: 100 * (swapped[kind][best] / final[kind]["unswapped"] - 1)
          for kind in ("prose", "code", "plays")}
record(big_unswapped=f"{untouched:.2f}", big_swapped=f"{least:.2f}",
       big_gap=f"{least - untouched:+.3f}".replace("-", "−"),
       plays_swapped=f"{plays:.2f}",
       plays_before=f"{plain['original']:.2f}",
       plays_distilled=f"{plain['distilled']:.2f}",
       plays_change=f"{100 * (plays / plain['original'] - 1):+.1f}%".replace("-", "−"),
       plays_unswapped=f"{final['plays']['unswapped']:.2f}",
       **{f"{kind}_gap": f"{percent:+.1f}%".replace("-", "−")
          for kind, percent in others.items()})
ends.columns = [f"{kind}, {when}" for kind, when in ends.columns]
ends.rename_axis("모델 | model")

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 4, figsize=(7.6, 3.2))
colours = dict(zip(trained["name"].unique(),
                   ("gravity", "attention", "tokens"), strict=False))
for axis, kind in zip(axes, published, strict=True):
    for name, colour in colours.items():
        axis.plot(published.loc[name][kind], marker=".", label=name,
                  color=COLOURS[colour])
    axis.set(title=kind, xlabel="tokens")
    axis.ticklabel_format(axis="x", style="sci", scilimits=(3, 3))
axes[0].set_ylabel("bits per byte")
figure.legend(*axes[0].get_legend_handles_labels(), ncols=3,
              loc="outside lower center")
show(figure, table=published.round(3))

# %% [markdown] tags=["lang-ko", "caption"]
# 조각 ⟨big_pieces⟩개를 바꾼 모델과 바꾸지 않은 모델, 예산 ⟨big_budget⟩토큰. 왼쪽부터 영화평, 영어 위키백과, 파이썬 코드, 셰익스피어입니다. 글을 읽기만 한 토큰은 3분의 1로 쳐서 예산에 넣었습니다.
# <!-- alt: 선 그래프 네 개. 가로축은 토큰 수, 세로축은 바이트당 비트. 모델마다 선이 하나씩 있다. 영화평에서는 선들이 내려가고, 나머지에서는 훨씬 덜 움직인다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Models with ⟨big_pieces⟩ pieces swapped, and the untouched one, on ⟨big_budget⟩ tokens. From the left: film reviews, English Wikipedia, Python code, Shakespeare. A token that was only read counts as a third of one that was trained on.
# <!-- alt: Four line plots, tokens across and bits per byte up, one line a model. For film reviews the lines fall; for the others they move far less. -->

# %% [markdown] tags=["lang-ko"]
# 학습을 마쳤을 때 영화평은 바꾸지 않은 모델이 ⟨big_unswapped⟩비트, 바꾼 모델 가운데 가장 나은 것이 ⟨big_swapped⟩비트입니다(차이 ⟨big_gap⟩비트, 음수이면 바꾼 쪽이 낫습니다). 같은 두 모델이 다른 종류의 글에서 벌어진 정도는 위키백과 ⟨prose_gap⟩, 코드 ⟨code_gap⟩, 희곡 ⟨plays_gap⟩입니다. 곡선 가운데의 점들은 학습률(learning rate)이 높을 때 잰 것이고, 학습률이 다 내려간 마지막 점만 결과로 보십시오.
#
# 희곡은 되새기지 않은 종류입니다. 학습하기 전에는 옛 토크나이저(tokenizer)로 ⟨plays_before⟩비트, 증류(distillation)한 것으로 ⟨plays_distilled⟩비트입니다. 학습을 마치면 바꾸지 않은 모델은 ⟨plays_unswapped⟩비트, 바꾼 모델은 ⟨plays_swapped⟩비트가 됩니다(학습하기 전과 견주어 ⟨plays_change⟩). 한국어를 배우는 동안 둘 다 희곡을 얼마쯤 잊습니다.
# %% [markdown] tags=["lang-en"]
# At the end of training, film reviews take ⟨big_unswapped⟩ bits with the untouched model and ⟨big_swapped⟩ with the best of the swapped ones (a difference of ⟨big_gap⟩ bits; below zero, the swap is better). On other kinds of text the same two models differ by ⟨prose_gap⟩ on Wikipedia, ⟨code_gap⟩ on code and ⟨plays_gap⟩ on the plays. Points in the middle of a curve were measured while the learning rate was high; take only the last one, after it has come down, as a result.
#
# The plays are a kind that is not replayed. Before training they take ⟨plays_before⟩ bits with the old tokenizer and ⟨plays_distilled⟩ with the distilled one. After it they take ⟨plays_unswapped⟩ with the untouched model and ⟨plays_swapped⟩ with the swapped one (⟨plays_change⟩ against before training). Learning Korean, both forget something of the plays.

# %% [markdown] tags=["lang-ko"]
# <!-- label: tune-budgets -->
# ### 예산마다, 방법마다
#
# 아래 표의 열은 예산(토큰)입니다. 예산마다 처음부터 따로 학습한 모델의 마지막 값이고, 첫 열은 학습하기 전입니다. 빈칸은 재지 않은 것이고, `zeros`만은 첫 스텝에서 기울기가 넘쳐 값이 없습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: tune-budgets -->
# ### By budget and by strategy
#
# The columns of this table are budgets in tokens. For each, a model was trained from the beginning, and this is its last value; the first column is before training. A gap was not measured; only `zeros` has none because its gradient overflowed in the first step.

# %% tags=["hide-input"]
ended = every[every["last"].astype(bool)].pivot(
    index="name", columns="budget", values="domain")
gaps = ended.drop("unswapped").min() - ended.loc["unswapped"]
record(small_budget=int(gaps.index[0]), small_gap=f"{gaps.iloc[0]:.2f}",
       large_gap=f"{gaps.iloc[-1]:+.3f}".replace("-", "−"))
told = pd.concat(
    [every[every["step"] == 0].groupby("name")["domain"].first(), ended], axis=1)
told.columns = ["학습 전 | before", *(f"{n:,.0f}" for n in ended)]
told.sort_values(told.columns[1]).map(
    lambda bits: "" if pd.isna(bits) else f"{bits:.3f}").rename_axis("모델 | model")

# %% [markdown] tags=["lang-ko"]
# 예산이 ⟨small_budget⟩토큰이면 바꾼 쪽의 가장 나은 방법도 ⟨small_gap⟩비트 뒤집니다. 예산이 커질수록 차이는 줄어, 가장 큰 예산에서 ⟨large_gap⟩비트입니다(음수이면 바꾼 쪽이 낫습니다). 첫 행을 잘 만든 방법은 대체로 학습한 뒤에도 앞서 있습니다. 시드(seed)는 하나입니다.
# %% [markdown] tags=["lang-en"]
# With ⟨small_budget⟩ tokens even the best strategy is ⟨small_gap⟩ bits behind. The larger the budget, the smaller the difference: ⟨large_gap⟩ bits for the largest (below zero, the swap is better). By and large, strategies that make better first rows are still ahead after training. There is one seed.

# %% [markdown] tags=["lang-ko"]
# <!-- label: tune-processes -->
# ## 두 프로세스, 같은 손실
#
# 단계 `train`도 새 행을 먼저, 그다음 모두를 배웁니다. 다만 둘째 단계에서 얇은 곱이 아니라 모델의 모든 수를 배웁니다. 여러 프로세스에서도 돌릴 수 있습니다.
#
# ```sh
# ./setup_and_run.sh run train
# .venv/bin/accelerate launch --multi_gpu --num_processes 2 -m lib.workbench.ivr train
# ```
#
# 배치 하나를 프로세스들이 나누어 맡고, 손실(loss)은 **합과 토큰 수**로 따로 모읍니다. 프로세스마다 평균을 낸 다음 그 평균들을 평균하면, 토큰이 적은 쪽이 너무 크게 셉니다([연습 2](#tune-exercise-mean)). 결과는 `artifacts/training/`에 놓이고 `AutoModelForCausalLM`과 `AutoTokenizer`로 열립니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: tune-processes -->
# ## Two processes, the same loss
#
# The stage `train` also learns the new rows first and then everything, but its second phase trains all numbers of the model, not thin products. It runs on several processes too.
#
# ```sh
# ./setup_and_run.sh run train
# .venv/bin/accelerate launch --multi_gpu --num_processes 2 -m lib.workbench.ivr train
# ```
#
# The processes share out each batch, and the loss is gathered as a **sum and a number of tokens**. A mean of the means of each process would count parts with few tokens too much ([exercise 2](#tune-exercise-mean)). The result lies in `artifacts/training/` and opens with `AutoModelForCausalLM` and `AutoTokenizer`.

# %% [markdown] tags=["lang-ko"]
# <!-- label: tune-exercises -->
# ## 연습 문제
#
# 빈칸(`...`)을 채운 다음 바로 아래 셀을 실행하면 답이 맞는지 알 수 있습니다. 풀이는 접어 두었습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: tune-exercises -->
# ## Exercises
#
# Fill in the gap (`...`) and run the next cell: it tells you whether the answer holds. Solutions are folded.

# %% [markdown] tags=["lang-ko"]
# <!-- label: tune-exercise-mask -->
# ### 1. 몇 행만 남긴 기울기 (★, 6분)
#
# 표의 기울기 `grad`(행, 너비)와 번호 목록 `ids`를 받아, 그 행만 남기고 나머지를 0으로 만든 기울기를 돌려주십시오.
#
# 힌트: `torch.zeros_like`.
# %% [markdown] tags=["lang-en"]
# <!-- label: tune-exercise-mask -->
# ### 1. A gradient of few rows (★, 6 minutes)
#
# Given the gradient `grad` of a table (rows, width) and a list of `ids`, return the gradient with these rows kept and all others 0.
#
# Hint: `torch.zeros_like`.

# %% tags=["exercise"]
def my_mask(grad, ids):
    ...

# %%
from lib.exercises.tune import check_mask

check_mask(my_mask)

# %% tags=["solution", "hide-cell"]
def mask_solution(grad, ids):
    kept = torch.zeros_like(grad)
    kept[ids] = grad[ids]
    return kept


check_mask(mask_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: tune-exercise-mean -->
# ### 2. 나누어 계산한 손실 (★★, 8분)
#
# 프로세스마다의 (손실의 합, 토큰 수) 목록 `parts`를 받아, 배치 전체의 토큰당 평균 손실을 돌려주십시오. 토큰이 하나도 없는 프로세스가 있을 수 있습니다.
#
# 힌트: 두 열을 따로 더하십시오.
# %% [markdown] tags=["lang-en"]
# <!-- label: tune-exercise-mean -->
# ### 2. A loss computed in parts (★★, 8 minutes)
#
# Given in `parts` the (summed loss, number of tokens) of each process, return the mean loss per token of the whole batch. A process may have no tokens at all.
#
# Hint: add up the two columns apart.

# %% tags=["exercise"]
def my_global_mean(parts):
    ...

# %%
from lib.exercises.tune import check_global_mean

check_global_mean(my_global_mean)

# %% tags=["solution", "hide-cell"]
def global_mean_solution(parts):
    losses, tokens = zip(*parts, strict=True)
    return sum(losses) / sum(tokens)


check_global_mean(global_mean_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: tune-exercise-bytes -->
# ### 3. 예산이 닿는 글 (★★, 8분)
#
# 토큰 예산 `tokens`, 분야의 글에서 바이트당 토큰 수 `per_byte`, 되새김의 몫 `share`를 받아, 학습하는 동안 읽는 분야 글의 바이트 수를 돌려주십시오.
#
# 힌트: 바이트당 토큰이 적을수록 더 많은 글을 읽습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: tune-exercise-bytes -->
# ### 3. The text that a budget reaches (★★, 8 minutes)
#
# Given a budget of `tokens`, the tokens `per_byte` of the domain's text and the `share` of replay, return the bytes of domain text that the training reads.
#
# Hint: the fewer tokens a byte, the more text.

# %% tags=["exercise"]
def my_bytes(tokens, per_byte, share):
    ...

# %%
from lib.exercises.tune import check_bytes

check_bytes(my_bytes)

# %% tags=["solution", "hide-cell"]
def bytes_solution(tokens, per_byte, share):
    return tokens * (1 - share) / per_byte


check_bytes(bytes_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: tune-measured -->
# ## 무엇을 무엇으로 쟀는가
#
# | 잰 것 | 어휘를 바꾼 모델 | 바꾸지 않은 모델 |
# |---|---|---|
# | 한국어, 학습 전 | ⟨aligned_ko⟩비트 | ⟨start_ko⟩비트 |
# | 한국어, ⟨budget⟩토큰 뒤 | ⟨swapped_ko⟩비트 | ⟨unswapped_ko⟩비트 |
# | 영어, 학습 전 | ⟨aligned_en⟩비트 | ⟨start_en⟩비트 |
# | 영어, ⟨budget⟩토큰 뒤 | ⟨swapped_en⟩비트 | ⟨unswapped_en⟩비트 |
#
# 시드(seed) 하나, 학습률 한 벌, 몇 쪽 안 되는 글에서 잰 값입니다. 두 모델의 학습률을 따로 고르지 않았으니 어느 쪽에도 가장 좋은 값은 아닐 수 있습니다. 이 모델은 한국어를 거의 배우지 않았습니다. 한국어를 잘하는 모델이라면 옛 어휘로 쌓은 앎이 더 크므로 따라잡는 데 더 오래 걸릴 것입니다. 이것은 재지 않았습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: tune-measured -->
# ## What was measured, and on what
#
# | measured | swapped model | untouched model |
# |---|---|---|
# | Korean, before training | ⟨aligned_ko⟩ bits | ⟨start_ko⟩ bits |
# | Korean, after ⟨budget⟩ tokens | ⟨swapped_ko⟩ bits | ⟨unswapped_ko⟩ bits |
# | English, before training | ⟨aligned_en⟩ bits | ⟨start_en⟩ bits |
# | English, after ⟨budget⟩ tokens | ⟨swapped_en⟩ bits | ⟨unswapped_en⟩ bits |
#
# One seed, one set of learning rates, a few pages of text. The rate was not chosen for each model by itself, so it may be the best for neither. This model learned hardly any Korean. One that knows the language well has more to lose with its old vocabulary and would take longer to catch up; that was not measured.

# %% tags=["remove-input"]
import transformers


def both_titles(name):
    return f"{data.describe(name, 'ko')} | {data.describe(name)}"


pd.DataFrame([
    ["모델 | Model", both_titles("smollm2")],
    ["한국어 | Korean", both_titles("korean")],
    ["영어 | English", both_titles("wikitext2_valid")],
    ["되새긴 글 | Replayed", both_titles("tinyshakespeare")],
    ["층 | Layers", cfg.layers],
    ["스텝 × 창 × 토큰 | Steps × windows × tokens",
     f"{cfg.steps} × {cfg.batch} × {cfg.context}"],
    ["장치 | Device", str(cfg.device)],
    ["torch, transformers",
     f"{torch.__version__}, {transformers.__version__}"],
    ["프로필 | Profile", cfg.profile],
], columns=["재료 | made with", "이 실행 | this run"]).set_index(
    "재료 | made with")
