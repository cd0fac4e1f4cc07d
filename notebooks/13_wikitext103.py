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
# <!-- label: wikitext -->
# # WikiText-103: 고르는 데 쓰지 않은 글에서도 나은가
#
# **판정.** ⟨finding_ko⟩
#
# [10장](10_training_ngt.ipynb)에서는 모델도 학습률(learning rate)도 희곡에서 골랐고, 사다리의 손실(loss)도 희곡에서 쟀습니다. **고르는 데 쓴 글에서 도움이 된 것이, 고르는 데 쓰지 않은 글에서도 도움이 될까요?** 이 장에서는 10장의 사다리에서 고른 모델 넷에게 희곡이나 위키백과를 가르치고, 떼어 둔 부분과 배운 적 없는 글로 판정합니다. 위의 문장은 시드(seed)를 짝지어 구한 신뢰 구간(confidence interval)에 따라 골랐습니다.
#
# 장의 나머지 절반은 큰 규모로 돌리는 도구입니다. 공개된 원본은 WikiText-103에서 NGT의 변형 몇 가지를 걸러 보고, 보통의 트랜스포머(Transformer)보다 모두 못하다는 결과를 숨김없이 실었습니다. 며칠짜리 학습은 언젠가 끊기므로, 그 실험을 끊겨도 잃지 않고 다시 할 수 있게 했습니다.
#
# - **할 수 있게 되는 것.** 배운 글과 판정하는 글을 나누어 모델을 견주고, 제거 실험(ablation)을 계획하고, 끊기거나 일부가 실패해도 이어지게 돌리고, 결과를 보고서와 압축 파일로 가져올 수 있습니다.
# - **걸리는 시간.** 읽기 45분, 연습 문제 30분. 이 실행에서는 모델 ⟨n_trained⟩개를 학습하는 데 ⟨total_seconds⟩초가 걸렸습니다.
# - **필요한 것.** [NGT 학습](10_training_ngt.ipynb), [토큰화(tokenization)](01_tokens_to_vectors.ipynb). 큰 규모로 돌리려면 GPU와 WikiText-103.
# %% [markdown] tags=["lang-en"]
# <!-- label: wikitext -->
# # WikiText-103: does it help on text that was not used to choose it?
#
# **The verdict.** ⟨finding_en⟩
#
# In [chapter 10](10_training_ngt.ipynb) models and learning rates were chosen on plays, and the losses of the ladder measured there. **Does what helped on the text used for choosing also help on text that was not?** Here four models from the ladder of chapter 10 learn plays or Wikipedia, and are judged on what was held out and on text they never learned. The sentences above were picked by confidence intervals over paired seeds.
#
# The other half of the chapter is a tool for large runs. On WikiText-103 the public original screened some variants of NGT and published, hiding nothing, that all of them did worse than the vanilla Transformer. A training that takes days will be cut off at some point, so that experiment can be repeated here without losing anything when it is.
#
# - **You will be able to** compare models with the text they learn kept apart from the text that judges them, plan an ablation, run it so that it goes on after a cut or a failure, and carry the results home as a report and an archive.
# - **Time.** 45 minutes to read, 30 for the exercises. In this run, training ⟨n_trained⟩ models took ⟨total_seconds⟩ seconds.
# - **You need** [training NGT](10_training_ngt.ipynb) and [tokenization](01_tokens_to_vectors.ipynb). For the large scale, a GPU and WikiText-103.

# %% tags=["parameters"]
profile: str = None  # smoke, book or gpu; None follows BOOK_PROFILE, else book
seeds: int = None  # of the four models on two texts; None: the profile
steps: int = None  # updates of each of these; None: the profile
results = "benchmarks/results/quality.jsonl"  # the runs of chapter 10
budget: str = None  # of the variants: smoke, small or full; None: the profile
variants: str = None  # names with commas between; None: the profile
output: str = None  # folder; None: results/wikitext103_… if a budget is named
seed = 0  # of the first weights and of the batches; the first one of `seeds`
max_steps: int = None  # updates of each variant; None: the budget
learning_rate: float = None  # of the variants, at its peak; None: the budget
batch_size: int = None  # windows in an update; None: the budget
gradient_accumulation_steps: int = None  # parts of a batch; None: the budget
use_amp: bool = None  # 16-bit numbers where they suffice; None: the budget
data_path: str = None  # a text file in place of the dataset of the budget
device = "auto"  # auto, cpu, cuda or mps

# %% tags=["hide-input"]
import json
import math
import sysconfig
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import pandas as pd
import torch
from matplotlib import pyplot as plt

from lib import data
from lib.data import ROOT, describe
from lib.gravity.model import LMConfig, build, matched_width, parameters
from lib.gravity.texts import load_text
from lib.gravity.verdict import QUESTIONS, answer, asked, signed
from lib.page.figures import COLOURS, show, use_style
from lib.page.profile import expect, settings
from lib.page.record import record, used, wrote
from lib.training.comparison import TEXT, paired_interval, read_rows
from lib.training.loop import Recipe, batches, fit
from lib.workbench.ngt.screening import (
    BUDGETS,
    REPORTED,
    VARIANTS,
    plan,
    screen,
    size_of,
)

use_style()

# %% tags=["hide-input"]
every = ",".join(VARIANTS)
expect(str | None, output=output, data_path=data_path)
expect(str, results=results)
expect(int, seed=seed)
expect(int | None, max_steps=max_steps, batch_size=batch_size,
       gradient_accumulation_steps=gradient_accumulation_steps)
expect(float | None, learning_rate=learning_rate)
expect(bool | None, use_amp=use_amp)
names = ("budget", "variants", "max_steps", "excerpt", "texts", "learned",
         "judged", "seeds", "steps", "batch", "context", "d_model", "n_layers",
         "n_heads", "rate", "form")
three = "vanilla,default,no_radius"
smoke, book, gpu = (dict(zip(names, row, strict=True)) for row in (
    ("smoke", three, 4, 50_000, ["plays", "Wikipedia"], 40_000, 2_000,
     2, 4, 4, 32, 32, 2, 2, 4e-3, "reference"),
    ("smoke", three, 4, 50_000, ["plays", "Wikipedia"], 1_000_000, 10_000,
     5, 100, 8, 64, 64, 2, 4, 4e-3, "reference"),
    ("full", every, 15_000, 0, ["Wikipedia"], 0, 100_000,
     3, 15_000, 32, 512, 512, 8, 8, 3e-4, "auto")))
cfg = settings(profile, smoke=smoke, book=book, gpu=gpu, device=device,
               seed=seed, given={"budget": budget, "max_steps": max_steps,
                                 "seeds": seeds, "steps": steps})
fresh = tempfile.TemporaryDirectory()  # a page of the book starts anew
folder = output or (None if budget else fresh.name)
used([data_path, results])

# %% [markdown] tags=["lang-ko"]
# <!-- label: wikitext-texts -->
# ## 배우는 글과 판정하는 글
#
# 글은 넷입니다. 희곡(`plays`)은 10장이 모델을 고르는 데 쓴 글이고, 위키백과(`Wikipedia`)와 파이썬 표준 라이브러리의 코드(`code`)와 한국어(`Korean`)는 무엇을 고르는 데에도 쓰지 않은 글입니다. 모델은 희곡이나 위키백과 가운데 하나를 배웁니다. 시험은 위키백과를 배우는 쪽이고, 희곡은 대조군입니다. 이 장의 모델은 10장의 것보다 작고 짧게 배우므로, 결과가 10장과 다르더라도 글 때문인지 학습이 짧아서인지는 같은 크기로 희곡을 배워 보아야 알 수 있습니다.
#
# 토큰(token)은 바이트입니다. 바이트는 256가지뿐이니 어떤 글이든 읽을 수 있습니다. 손실은 바이트당 비트(bits per byte)로 적습니다. $L$내트는 $L/\ln 2$비트이고, 256가지를 똑같이 보는 모델은 8비트입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: wikitext-texts -->
# ## The text to learn, and the text to judge on
#
# There are four texts. Plays (`plays`) are what chapter 10 chose its models on; Wikipedia (`Wikipedia`), code of Python's standard library (`code`) and Korean (`Korean`) were used to choose nothing. A model learns either plays or Wikipedia. Learning Wikipedia is the test, plays are the control: the models here are smaller than those of chapter 10 and learn for a shorter time, and where the result differs from chapter 10, only plays learned at the same size can tell whether the text or the short training is behind it.
#
# Tokens are bytes. There are only 256 of them, so any text can be read. Losses are in bits per byte: $L$ nats are $L/\ln 2$ bits, and a model that holds all 256 equally likely takes 8.

# %%
def as_bytes(text, most=None):
    return text.encode()[:most]


plays = load_text("tinyshakespeare")
wiki = load_text(BUDGETS[cfg.budget].dataset)
library = Path(sysconfig.get_paths()["stdlib"]).glob("*.py")
code = "".join(file.read_text("utf-8") for file in sorted(library)[:60])

learned = {"plays": as_bytes(plays.train, cfg.learned or None),
           "Wikipedia": as_bytes(wiki.train, cfg.learned or None)}
judged = {name: as_bytes(part, cfg.judged) for name, part in {
    "plays": plays.valid, "Wikipedia": wiki.valid, "code": code,
    "Korean": data.text("korean")}.items()}

# %% [markdown] tags=["lang-ko"]
# 판정하는 글을 정말 배우지 않았을까요? 판정하는 글에서 이어진 32바이트를 모두 꺼내, 배우는 글 어디에든 그대로 나오는 것의 비율을 셉니다.
# %% [markdown] tags=["lang-en"]
# Was the text to judge on really not learned? We take every stretch of 32 bytes of it, and count the share that occurs anywhere in the text to learn.

# %%
def stretches(text, span=32):
    return [text[i : i + span] for i in range(len(text) - span + 1)]


def shared(text):  # share of each judged text that stands in this one
    mine = {name: stretches(part) for name, part in judged.items()}
    wanted = set().union(*mine.values())
    known = {text[i : i + 32] for i in range(len(text))
             if text[i : i + 32] in wanted}
    return {name: sum(one in known for one in part) / len(part)
            for name, part in mine.items()}


overlap = pd.DataFrame({f"in {name}": shared(learned[name])
                        for name in cfg.texts})
overlap.style.format("{:.2%}")

# %% tags=["remove-cell"]
most_shared = overlap.to_numpy().max()
record("most_shared", most_shared, text=f"{most_shared:.2%}")
record(n_judged=min(map(len, judged.values())),
       n_learned=min(len(learned[name]) for name in cfg.texts))
for key, row in (("plays", "tinyshakespeare"), ("korean", "korean"),
                 ("learn", "wikitext2_test"), ("judge", "wikitext2_valid")):
    record(**{f"{key}_{side}": describe(row, side) for side in ("ko", "en")})

# %% [markdown] tags=["lang-ko"]
# 가장 많이 겹친 곳이 ⟨most_shared⟩입니다. 배우는 글은 저마다 ⟨n_learned⟩바이트, 판정하는 글은 앞에서 ⟨n_judged⟩바이트입니다. 희곡은 ⟨plays_ko⟩, 한국어는 ⟨korean_ko⟩입니다.
#
# <!-- label: wikitext-arms -->
# ## 모델 넷
#
# | 이름 | 무엇인가 |
# |---|---|
# | `dot` | 보통의 트랜스포머. 위치 표를 배웁니다 |
# | `dot, rotary, qk-norm` | 회전 위치 임베딩(rotary position embedding)과 QK 정규화를 갖춘, 강한 쌍둥이 |
# | `stream dot` | 쿼리(query)와 키(key)를 [좌표(coordinates) 스트림](#ngt-fair)에서 얻는 내적(dot product). 거리도 질량(mass)도 없습니다 |
# | `rotated gaussian` | 글자에서 얻어 위치만큼 돌린 좌표 사이의 중력 |
#
# [10장의 사다리](#ngt-ladder)에서 옮겨 온 것이고, 좌표의 폭은 매개변수(parameter)의 수가 `dot`과 같아지게 정합니다.
# %% [markdown] tags=["lang-en"]
# The largest overlap is ⟨most_shared⟩. Each text to learn has ⟨n_learned⟩ bytes, each text to judge on its first ⟨n_judged⟩. The plays are ⟨plays_en⟩, the Korean is ⟨korean_en⟩.
#
# <!-- label: wikitext-arms -->
# ## Four models
#
# | name | what it is |
# |---|---|
# | `dot` | the ordinary Transformer, which learns a table of positions |
# | `dot, rotary, qk-norm` | the strong twin, with rotary positions and QK-norm |
# | `stream dot` | a dot product whose queries and keys come from the [stream of coordinates](#ngt-fair), with neither distance nor mass |
# | `rotated gaussian` | gravity between coordinates that come from characters and are turned by position |
#
# They are taken from the [ladder of chapter 10](#ngt-ladder); the width of the coordinates makes the parameters as many as those of `dot`.

# %%
plain = LMConfig(
    vocab=256, context=cfg.context, d_model=cfg.d_model,
    n_layers=cfg.n_layers, n_heads=cfg.n_heads, attention="dot")
from_positions = {"coordinates": "position", "looking": True}
turned = {"coordinates": "token", "looking": True, "positions": "rotary"}
arms = {
    "dot": plain,
    "dot, rotary, qk-norm": replace(
        plain, positions="rotary", qk_norm=True),
    "stream dot": replace(plain, stream="coordinates", **from_positions),
    "rotated gaussian": replace(
        plain, attention="gaussian", form=cfg.form, **turned)}
arms |= {name: replace(arm, d_coord=matched_width(arm))
         for name, arm in arms.items() if arm.has_coordinates}

# %% [markdown] tags=["lang-ko"]
# <!-- label: wikitext-learning -->
# ### 배우고 판정하기
#
# 시드 하나에서 네 모델은 같은 창을 같은 순서로 읽습니다. 학습은 10장의 `fit`이 하고, 학습률은 모두 ⟨rate⟩입니다. 판정은 손으로 합니다. 글을 창으로 겹치지 않게 자르고, 정답에 준 확률의 로그 $-\log_2 p$를 창마다 평균합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: wikitext-learning -->
# ### Learn and judge
#
# Under one seed all four models read the same windows in the same order. Training is by `fit` of chapter 10, at a learning rate of ⟨rate⟩ for all. Judging is by hand: the text is cut into windows side by side, and $-\log_2 p$ of the right byte is averaged in each window.

# %%
ids = {name: torch.frombuffer(bytearray(text), dtype=torch.uint8)
       for name, text in learned.items()}  # a byte is its own id


@torch.no_grad()
def bits_of(model, text):  # per byte, of each window
    every = torch.tensor(list(text))
    n = (len(every) - 1) // cfg.context
    x, y = every[:-1], every[1:]  # targets: one byte further on
    found = []
    for start in range(0, n, 64):
        part = slice(start * cfg.context, min(n, start + 64) * cfg.context)
        seen = x[part].view(-1, cfg.context).to(cfg.device)
        wanted = y[part].view(-1, cfg.context).to(cfg.device)
        logits = model(seen)  # window byte 256
        right = logits.gather(-1, wanted[..., None])[..., 0]
        found.append((logits.logsumexp(-1) - right).mean(-1).cpu())
    return torch.cat(found).double() / math.log(2)

# %%
def loss_of(model, batch):
    x, y = (part.long().to(cfg.device) for part in batch)
    return model.loss(x, y), 1


def train(name, text, seed, rate=cfg.rate):  # model, curve, processor time
    recipe = Recipe(steps=cfg.steps, batch=cfg.batch, context=cfg.context,
                    learning_rate=rate, warmup=max(1, cfg.steps // 30),
                    seed=seed, evaluations=4)
    model = build(arms[name], seed).to(cfg.device)
    began = time.process_time()
    curve = fit(model, batches(ids[text], recipe), recipe, loss=loss_of,
                evaluate=lambda model: bits_of(
                    model.eval(), judged[text][:2000]).mean(),
                name=f"{name}, {text}, {seed}")
    return model.eval(), curve, time.process_time() - began

# %% tags=["hide-input"]
started = time.perf_counter()

# %%
rows, windows, curves = [], {}, {}
for text in cfg.texts:
    for number in range(seed, seed + cfg.seeds):
        for name in arms:
            model, curve, spent = train(name, text, number)
            curves[text, name, number] = curve, spent
            for other, part in judged.items():
                bits = bits_of(model, part)
                windows[text, other, name, number] = bits
                rows.append({"learned": text, "judged": other, "arm": name,
                             "seed": number, "bits": bits.mean().item()})
results_here = pd.DataFrame(rows)

# %% tags=["remove-cell"]
spent = time.perf_counter() - started
record("total_seconds", spent, text=f"{spent:,.0f}")
sizes = {name: parameters(build(arm, seed)) for name, arm in arms.items()}
size_gap = max((n / sizes["dot"] - 1 for n in sizes.values()), key=abs)
record("size_gap", size_gap, text=f"{size_gap:+.1%}".replace("-", "−"))
record(n_trained=len(curves), n_dot=sizes["dot"], n_seeds=cfg.seeds,
       arm_steps=cfg.steps)
record("rate", cfg.rate, text=f"{cfg.rate:g}")

# %% [markdown] tags=["lang-ko"]
# 매개변수는 `dot`이 ⟨n_dot⟩개이고, 가장 크게 벌어진 모델이 ⟨size_gap⟩입니다(위치 표가 없는 쌍둥이입니다). 시드 ⟨n_seeds⟩개로 ⟨arm_steps⟩스텝씩 배웠습니다. 가장 낮은 잣대로, 배운 글에서 바이트가 나온 횟수만 아는 모델도 같은 글로 판정합니다.
# %% [markdown] tags=["lang-en"]
# `dot` has ⟨n_dot⟩ parameters; the farthest from it is the twin without a table of positions, by ⟨size_gap⟩. There were ⟨n_seeds⟩ seeds of ⟨arm_steps⟩ steps each. As a floor to compare with, a model that only knows how often each byte occurs in the text to learn is judged on the same texts.

# %%
def by_counts(text, part):  # bits per byte
    counts = ids[text].bincount(minlength=256) + 1.0
    return -(counts / counts.sum()).log2()[list(part)].mean().item()


table = results_here.pivot_table(
    index=["learned", "judged"], columns="arm", values="bits", sort=False)
table["byte counts"] = [by_counts(text, judged[other])
                        for text, other in table.index]
table.style.format("{:.2f}")

# %% tags=["remove-cell"]
korean = table.xs("Korean", level="judged")[list(arms)].to_numpy()
record(korean_least=korean.min(), korean_most=korean.max())

# %% [markdown] tags=["lang-ko"]
# 한국어의 수를 먼저 보십시오. 배운 글에 한글의 바이트가 거의 없으므로, 모델들은 ⟨korean_least⟩비트에서 ⟨korean_most⟩비트까지 씁니다. 8비트를 넘으면 256가지를 똑같이 보는 모델보다도 못한 것이니, 그런 글에서의 차이는 실력이 아니라 얼마나 자신 있게 틀리는가를 보여 줍니다. 그래서 첫머리의 판정은 모든 모델이 8비트에 못 미치는 글만 셉니다. 마지막 열도 보십시오. 배운 적 없는 글에서 그보다 비트를 많이 쓰는 모델이라면, 횟수 말고 더 배운 것이 그 글에서는 도리어 해가 된 것입니다.
#
# <!-- label: wikitext-verdict -->
# ## 판정
#
# 10장이 물은 것 가운데 세 가지를 다시 묻습니다. 시드마다 먼저 빼고, 그 차이들의 95 % $t$ 구간을 [10장](#ngt-verdict)과 같은 함수로 구합니다. 음수이면 앞의 모델이 낫습니다.
#
# | 변화 | 모델 − 견준 모델 |
# |---|---|
# | 회전 위치 임베딩과 QK 정규화 | `dot, rotary, qk-norm` − `dot` |
# | 좌표 스트림 | `stream dot` − `dot, rotary, qk-norm` |
# | 돌린 좌표와 중력 | `rotated gaussian` − `dot, rotary, qk-norm` |
#
# 앞의 두 변화에는 중력이 없습니다. 셋째에서는 좌표 스트림과 커널(kernel)이 함께 바뀌므로, 그 차이는 중력만의 값어치가 아닙니다. 같은 좌표에서 커널만 바꾼 것(`rotated gaussian` − `rotated dot`)은 이 장에서 재지 않았고 [10장](#ngt-verdict)에 있습니다.
# %% [markdown] tags=["lang-en"]
# Look at the numbers for Korean first. The bytes of Hangul hardly occur in what was learned, and the models take ⟨korean_least⟩ to ⟨korean_most⟩ bits. Above 8, a model does worse than one that holds all 256 bytes equally likely; differences on such a text show how sure it is when wrong, not how good it is. So the verdict at the head of the chapter only counts texts on which every model stays below 8 bits. See the last column too: where a model takes more bits than that on text it never learned, what it learned beyond those counts does harm there.
#
# <!-- label: wikitext-verdict -->
# ## The verdict
#
# Three questions of chapter 10 are asked again. Differences are taken seed by seed first; their 95 % $t$ interval comes from the function that [chapter 10](#ngt-verdict) uses. Where it is negative, the first model is better.
#
# | change | model − beside |
# |---|---|
# | rotary positions with QK-norm | `dot, rotary, qk-norm` − `dot` |
# | the stream of coordinates | `stream dot` − `dot, rotary, qk-norm` |
# | turned coordinates with gravity | `rotated gaussian` − `dot, rotary, qk-norm` |
#
# The first two have no gravity in them. The third changes the stream of coordinates and the kernel together, so its difference is not what gravity alone is worth. The kernel alone on the same coordinates (`rotated gaussian` − `rotated dot`) was not measured here; it is in [chapter 10](#ngt-verdict).

# %%
changes = ("twin", "verdict_stream", "whole")  # questions of chapter 10


def difference(change, text, other):  # of the bits, over the seeds
    arm, base = (QUESTIONS[change][side] for side in ("arm", "base"))
    here = results_here.query("learned == @text and judged == @other")
    bits = here.pivot_table(index="seed", columns="arm", values="bits")
    return paired_interval((bits[arm] - bits[base]).tolist())


gaps = {(change, text, other): difference(change, text, other)
        for text in cfg.texts for other in judged for change in changes}

# %% tags=["hide-input"]
def in_short(gap):
    if not gap.n:
        return "–"
    ends = f" ({signed(gap.low)} … {signed(gap.high)})" if gap.n > 1 else ""
    return f"{signed(gap.mean)}{ends}"


words = {"twin": ("회전 위치 임베딩과 QK 정규화",
                  "rotary positions with QK-norm"),
         "verdict_stream": ("좌표 스트림", "the stream of coordinates"),
         "whole": ("돌린 좌표와 중력", "turned coordinates with gravity")}
heads = [" | ".join(words[change]) for change in changes]
pd.DataFrame([
    {"배운 글 | learned": text, "판정한 글 | judged": other}
    | {head: in_short(gaps[change, text, other])
       for head, change in zip(heads, changes, strict=True)}
    for text in cfg.texts for other in judged]).style.hide(axis="index")

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, len(changes), figsize=(7.2, 3.6), sharey=True,
                            squeeze=False)
places = [(text, other) for text in cfg.texts for other in judged
          if other != "Korean"][::-1]
looks = {text: (COLOURS[colour], mark) for text, colour, mark in zip(
    ("plays", "Wikipedia"), ("plum", "tokens"), "sD", strict=True)}
for axis, change in zip(axes[0], changes, strict=True):
    axis.axvline(0, color=COLOURS["attention"], linewidth=1)
    for y, place in enumerate(places):
        gap, (colour, mark) = gaps[change, *place], looks[place[0]]
        if gap.n > 1:
            axis.plot([gap.low, gap.high], [y, y], color=colour)
        axis.plot(gap.mean, y, mark, color=colour,
                  markerfacecolor=colour if gap.settled else "none")
    arm, base = (QUESTIONS[change][side] for side in ("arm", "base"))
    axis.set_title(f"{arm}\n− {base}", fontsize=9)
    axis.set(xlabel="bits per byte", xlim=(-0.5, 0.5),
             xticks=(-0.4, 0, 0.4))
axes[0, 0].set_yticks(range(len(places)), [f"{a} → {b}" for a, b in places])
show(figure)

# %% [markdown] tags=["lang-ko", "caption"]
# 배운 글 → 판정한 글마다 두 모델의 차이. 세로선의 왼쪽이 더 나은 쪽이고, 가로선은 시드에 대한 95 % 구간입니다. 구간이 0을 비켜 가면 속이 찬 점, 0을 품으면 빈 점입니다. 한국어는 구간이 너무 넓어 표에만 있습니다. 그림을 벗어나는 구간은 잘려 있습니다.
# <!-- alt: 변화 셋마다 그림 하나. 배운 글과 판정한 글의 짝마다 바이트당 비트의 차이를 점으로, 구간을 가로선으로 나타냈다. 수는 위 표에 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Difference of two models for each text learned → text judged on. Left of the vertical line is better; bars are 95 % intervals over seeds. A filled point has an interval that leaves 0 out, an open one holds 0. The intervals of Korean are too wide and stand in the table alone; those that leave the figure are cut off.
# <!-- alt: One panel for each of the three changes. For every pair of a text learned and a text judged on, a point for the difference in bits per byte and a bar for its interval. The numbers are in the table above. -->

# %% [markdown] tags=["lang-ko"]
# 그 옆에 10장의 크기로 오래 배운 실행(`⟨results⟩`)을 둡니다. 글마다 배운 글의 떼어 둔 부분에서 잰 것이고, 글자당 내트를 비트로 고쳤습니다. 그 글들은 ASCII 문자뿐이어서 글자 하나가 바이트 하나입니다. 구간이 없으면 같은 시드로 잰 것이 둘이 되지 않는 것입니다.
# %% [markdown] tags=["lang-en"]
# Beside it stand the long runs at the size of chapter 10 (`⟨results⟩`), each on the held-out part of the text it learned, with nats a character turned into bits. Those texts are all ASCII, so a character is a byte. Where there is no interval, fewer than two seeds were run with both.

# %% tags=["hide-input"]
recorded = [{"text": TEXT, **row} for row in read_rows(ROOT / results)]
long = {}  # change, text → interval of the losses in nats
for change in changes:
    for text in dict.fromkeys(row["text"] for row in recorded):
        long[change, text] = asked(change, recorded, "small", text)[2]
scaled = {key: replace(gap, mean=gap.mean / math.log(2),
                       low=gap.low / math.log(2), high=gap.high / math.log(2))
          for key, gap in long.items()}
texts = list(dict.fromkeys(text for _, text in long))
pd.DataFrame([
    {"10장의 크기로 배운 글 | learned at chapter 10's size": text}
    | {head: f"{in_short(scaled[change, text])}, n = {long[change, text].n}"
       for head, change in zip(heads, changes, strict=True)}
    for text in texts]).style.hide(axis="index")

# %% [markdown] tags=["lang-ko"]
# 읽는 차례가 있습니다. 구간의 너비로 설명되는 차이는 우연일 수 있으니, 그보다 큰 차이만 봅니다. 먼저 이 장에서 희곡을 배운 줄과 10장의 크기로 희곡을 배운 줄을 견줍니다. 둘이 다르다면 글이 같으니 모델의 크기와 학습의 길이와 학습률에서 까닭을 찾습니다. 그다음 이 장의 희곡과 위키백과를 견줍니다. 조건이 같으니 여기서 다르면 글 때문입니다. 마지막으로 같은 모델이 배운 글과 배운 적 없는 글을 견줍니다. 떼어 둔 글에서 비트를 낮춘 변화가 배운 적 없는 글에서도 낮추라는 법은 없습니다.
# %% [markdown] tags=["lang-en"]
# There is an order to read them in. What the width of the intervals explains may be chance, so look at larger differences alone. First hold the plays learned here against the plays learned at the size of chapter 10: where they differ, the text is the same, and the cause lies in the size of the model, the length of training or the learning rate. Then plays here against Wikipedia here: all else is equal, and what differs now is due to the text. Last, for one and the same model, the text it learned against text it never learned. Nothing says that a change which lowers the bits of held-out text must lower those of other text.

# %% tags=["remove-cell"]
stream = long["verdict_stream", TEXT]
here = gaps["verdict_stream", "Wikipedia", "Wikipedia"]
for key, value in (("effect_there", stream.mean / math.log(2)),
                   ("reach_here", (here.high - here.low) / 2)):
    known = math.isfinite(value)
    record(key, value, text=f"{abs(value):.3f}" if known else "–")
record(n_gaps=len(gaps), results=results)

# %% [markdown] tags=["lang-ko"]
# <!-- label: wikitext-one-seed -->
# ### 시드 하나가 말해 주는 것
#
# 시드가 하나여도 창은 여럿입니다. 같은 창에서 두 모델의 비트를 빼면 쉬운 글과 어려운 글의 차이가 지워지고, 창마다의 차이로 $\bar d \pm 1.96\,s/\sqrt{n}$을 낼 수 있습니다. 첫 시드에서 그렇게 낸 구간 옆에, 다른 시드에서 얻은 차이의 가장 작은 값과 가장 큰 값을 놓습니다. 위키백과를 배워 떼어 둔 위키백과에서 잰 것입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: wikitext-one-seed -->
# ### What one seed can say
#
# There may be one seed, but there are many windows. Subtracting the bits of two models on the same window takes out whether its text is easy or hard, and the differences give $\bar d \pm 1.96\,s/\sqrt{n}$. Beside that interval of the first seed we put the smallest and the largest difference that other seeds found, on held-out Wikipedia after learning Wikipedia.

# %%
def by_window(change, number):  # held-out Wikipedia, one seed
    arm, base = (windows["Wikipedia", "Wikipedia", QUESTIONS[change][side],
                         number] for side in ("arm", "base"))
    return arm - base


spread = {}
for change in changes:
    d = by_window(change, seed)
    reach = 1.96 * d.std().item() / math.sqrt(len(d))
    others = [by_window(change, number).mean().item()
              for number in range(seed + 1, seed + cfg.seeds)]
    spread[change] = {
        "low": d.mean().item() - reach, "high": d.mean().item() + reach,
        "smallest": min(others, default=math.nan),
        "largest": max(others, default=math.nan),
        "outside": sum(abs(x - d.mean().item()) > reach for x in others)}

# %% tags=["hide-input"]
one_seed = pd.DataFrame(spread).T
one_seed["outside"] = one_seed["outside"].astype(int)
record(n_outside=int(one_seed["outside"].sum()),
       n_others=len(changes) * (cfg.seeds - 1))
one_seed.index = heads
one_seed.columns = pd.MultiIndex.from_tuples([
    ("첫 시드, 창의 구간 | first seed, over windows", "low"),
    ("첫 시드, 창의 구간 | first seed, over windows", "high"),
    ("다른 시드 | other seeds", "smallest"),
    ("다른 시드 | other seeds", "largest"),
    ("다른 시드 | other seeds", "outside")])
one_seed.style.format(precision=3)

# %% [markdown] tags=["lang-ko"]
# 다른 시드의 차이 ⟨n_others⟩개 가운데 첫 시드의 구간 밖에 떨어진 것이 ⟨n_outside⟩개입니다. 창으로 낸 구간은 **이 두 모델**의 차이가 판정할 글을 마침 그렇게 고른 우연인지만 묻습니다. 다시 학습해도 그 차이가 남는지는 묻지 않으므로, 판정은 시드로 합니다. 다시 학습할 때의 흔들림은 창을 늘려도 줄지 않습니다.
#
# <!-- label: wikitext-rate -->
# ### 학습률만 바꾸면
#
# 배운 적 없는 글에서의 차이는 어텐션(attention)의 덕일까요? 강한 쌍둥이를 그대로 두고 학습률만 절반과 두 배로 바꾸어, 위키백과를 다시 배우게 합니다.
# %% [markdown] tags=["lang-en"]
# Of ⟨n_others⟩ differences found with other seeds, ⟨n_outside⟩ lie outside the interval of the first seed. An interval over windows only asks whether the difference of **these two models** is an accident of the text that was picked. It never asks whether the difference would stay if both were trained again, so the verdict goes by seeds. How much training again would change does not shrink with more windows.
#
# <!-- label: wikitext-rate -->
# ### When only the rate changes
#
# Is it the attention that makes the differences on text never learned? We leave the strong twin as it is, halve and double its learning rate alone, and let it learn Wikipedia again.

# %%
by_rate = {cfg.rate: {other: windows[
    "Wikipedia", other, "dot, rotary, qk-norm", seed].mean().item()
    for other in judged}}
for rate in (cfg.rate / 2, cfg.rate * 2):
    model, *_ = train("dot, rotary, qk-norm", "Wikipedia", seed, rate)
    by_rate[rate] = {other: bits_of(model, part).mean().item()
                     for other, part in judged.items()}
moved = pd.DataFrame(by_rate).T.sort_index().rename_axis("learning rate")
moved.reset_index().style.hide(axis="index").format(
    precision=3).format("{:g}", subset=["learning rate"])

# %% tags=["remove-cell"]
swing = moved.max() - moved.min()
record(swing_own=swing["Wikipedia"], swing_plays=swing["plays"],
       swing_code=swing["code"])

LANGUAGES = ("ko", "en")
called = {"plays": ("희곡", "plays"), "Wikipedia": ("위키백과", "Wikipedia"),
          "code": ("코드", "code"), "Korean": ("한국어", "Korean")}


def in_words(some):  # changes, as each language ends its sentence; none is said so
    ko, en = zip(*(words[change] for change in some), strict=True) if some else ((), ())
    last = " and ".join(filter(None, [", ".join(en[:-1]), *en[-1:]]))
    return {"ko": f"{', '.join(ko)}입니다" if ko else "없습니다",
            "en": last or "nothing"}


def by_answer(of):  # changes that lower, or raise, by every or any interval of `of`
    told = {change: {answer(gap) for gap in of(change)} for change in changes}
    return {"lowered": [change for change in changes if told[change] == {"lower"}],
            "raised": [change for change in changes if told[change] == {"higher"}],
            "once": [change for change in changes if "higher" in told[change]]}


fair = [other for other in judged if other != "Wikipedia"  # not worse than knowing
        and table.loc[("Wikipedia", other), list(arms)].max() < 8]  # nothing at all
more = [text for text in texts if text != TEXT
        and any(long[change, text].n > 1 for change in changes)]
chosen_on = by_answer(lambda change: [long[change, TEXT]])
at_size = by_answer(lambda change: [long[change, text] for text in more])
own = by_answer(lambda change: [gaps[change, text, text] for text in cfg.texts])
foreign = by_answer(lambda change: [
    gaps[change, "Wikipedia", other] for other in fair])
undecided = [change for change in changes
             if change not in own["lowered"] + own["raised"]]
by_count = table.loc["Wikipedia"].loc[fair]
ahead = [f"`{name}`" for name in arms
         if (by_count[name] < by_count["byte counts"]).all()]
seen = [(abs(gap.mean), swing[other]) for other in fair for change in changes
        if (gap := gaps[change, "Wikipedia", other]).settled]
no_larger = all(size <= by_rate_alone for size, by_rate_alone in seen)

# %% tags=["remove-cell"]
ko, en = ({key: in_words(some)[side] for key, some in (
    ("there", chosen_on["lowered"]), ("also", at_size["lowered"]),
    ("lowered", own["lowered"]), ("raised", own["raised"]), ("rest", undecided),
    ("foreign", foreign["lowered"]), ("once", foreign["once"]))}
    for side in LANGUAGES)
on, at = (["·".join(called[text][0] for text in some),
           " and ".join(called[text][1] for text in some)]
          for some in (cfg.texts, fair))
finding = {"ko": [], "en": []}


def say(ko, en):
    finding["ko"].append(ko)
    finding["en"].append(en)


say(f"10장의 크기로 희곡을 배울 때 손실을 낮춘 변화는 {ko['there']}.",
    f"At the size of chapter 10, learning plays, the loss was lowered by "
    f"{en['there']}.")
if more:
    say(f"같은 크기로 {', '.join(more)}에서 배워도 낮춘 변화는 {ko['also']}.",
        f"At that size it was lowered on {' and '.join(more)} too by {en['also']}.")
else:
    say("같은 크기로 다른 글을 배운 실행은 아직 구간을 낼 만큼 없습니다.",
        "Of other texts there are not yet enough runs of that size for an interval.")
size = f"{sizes['dot']:,}", f"{cfg.steps:,}"
say(f"이 장의 모델(매개변수 {size[0]}개, {size[1]}스텝)에서는, 배운 글({on[0]})의 떼어 둔 부분에서 "
    f"비트를 낮춘 변화는 {ko['lowered']}. 높인 변화는 {ko['raised']}.",
    f"In the models of this page ({size[0]} parameters, {size[1]} steps), bits on the "
    f"held-out part of what they learned ({on[1]}) were lowered by {en['lowered']} and "
    f"raised by {en['raised']}.")
if undecided:
    say(f"글에 따라 갈리거나 우연과 가려지지 않는 변화는 {ko['rest']}.",
        f"Different from text to text, or not told from chance: {en['rest']}.")
if fair:
    say(f"위키백과를 배운 모델이 배운 적 없는 글({at[0]})을 읽을 때 모두에서 낮춘 변화는 "
        f"{ko['foreign']}. 하나에서라도 높인 변화는 {ko['once']}.",
        f"Where models of Wikipedia read what they never learned ({at[1]}), bits were "
        f"lowered on all of it by {en['foreign']}, and raised on some of it by "
        f"{en['once']}.")
    say(f"그러나 그 모두에서 바이트의 횟수만 아는 모델보다 나은 모델은 "
        f"{', '.join(ahead) + '입니다' if ahead else '없습니다'}.",
        f"But on all of it {' and '.join(ahead) or 'no model'} did better than one that "
        f"only knows how often each byte occurs.")
if seen and no_larger:
    say("이만한 차이는 학습률만 바꾸어도 생깁니다.",
        "Differences as large come from a change of the learning rate alone.")
elif seen:
    say("차이 가운데에는 학습률만 바꿀 때보다 큰 것도 있습니다.",
        "Some of the differences are larger than a change of the learning rate alone "
        "makes.")
record(**{f"finding_{side}": " ".join(finding[side]) for side in LANGUAGES})

# %% [markdown] tags=["lang-ko"]
# 시드 하나에서 학습률 셋을 견주면 떼어 둔 위키백과는 ⟨swing_own⟩비트, 희곡은 ⟨swing_plays⟩비트, 코드는 ⟨swing_code⟩비트까지 벌어집니다. 배운 글에 깊이 맞춘 모델은 다른 글에서 더 크게 틀릴 수 있으므로, 배운 적 없는 글에서의 차이가 이보다 크지 않다면 그것을 어텐션의 덕이라고 할 수 없습니다.
#
# <!-- label: wikitext-limits -->
# ### 이 실험이 말하지 못하는 것
#
# - **작고 짧습니다.** 10장의 글에서 좌표 스트림이 강한 쌍둥이와 벌인 차이는 ⟨effect_there⟩비트인데, 위키백과에서 같은 차이를 잰 이 장의 구간은 반폭이 ⟨reach_here⟩비트입니다. 구간보다 작은 차이는 여기서 보이지 않습니다. 짧은 학습에서는 빨리 배우는 모델이 낫게 나오며, 끝내 잘 배우는 모델인지는 긴 실행만이 말합니다.
# - **학습률이 하나입니다.** 모델마다 맞는 값이 다르므로 한 값으로 묶으면 누군가의 편을 들게 됩니다. 시험해 본 것은 [실험 일지](../book/lab_log.md)에 있습니다.
# - **스텝의 수가 같습니다.** 느린 모델이 그만큼 덕을 봅니다. 같은 시간에 견주면 어떻게 되는지는 [연습 문제](#wikitext-exercise-time)에서 봅니다.
# - **구간이 ⟨n_gaps⟩개입니다.** 그 가운데 하나쯤은 우연히 0을 비켜 갑니다.
# - **글이 넷뿐입니다.** 표에 있는 다른 글의 긴 실행이 늘어나면 판정의 문장도 따라 바뀝니다.
# %% [markdown] tags=["lang-en"]
# Over the three rates, with one seed, held-out Wikipedia moves by ⟨swing_own⟩ bits, plays by ⟨swing_plays⟩ and code by ⟨swing_code⟩. A model that has fitted its own text closely can be more wrong on another one; where a difference on text never learned is no larger than this, it cannot be put down to the attention.
#
# <!-- label: wikitext-limits -->
# ### What this experiment cannot say
#
# - **It is small and short.** On the text of chapter 10, stream of coordinates and strong twin are ⟨effect_there⟩ bits apart; the interval of the same difference on Wikipedia here reaches ⟨reach_here⟩ bits to either side. What is smaller than an interval is not seen here. A short training favours what learns soon; only long runs tell what learns well in the end.
# - **There is one learning rate.** The right one differs from model to model, and one for all takes a side. What was tried is in the [lab log](../book/lab_log.md).
# - **Steps are equal.** That favours the slow model; an [exercise](#wikitext-exercise-time) compares at equal time.
# - **There are ⟨n_gaps⟩ intervals.** Of so many, some miss 0 by chance.
# - **There are only four texts.** As long runs on other texts join the table, the sentences of the verdict change with them.

# %% [markdown] tags=["lang-ko"]
# <!-- label: wikitext-plan -->
# ## 원본의 실험: 변형 여섯
#
# 여기부터는 원본이 WikiText-103에서 한 실험을 큰 규모로 다시 하는 도구입니다. 기준은 둘입니다. `vanilla`는 내적 어텐션을 쓰는 쌍둥이이고, `default`는 반발(repulsion)과 반지름(radius)을 갖춘 NGT입니다. 나머지는 `default`에서 한 가지씩만 바꿉니다. 그래야 차이가 생겼을 때 무엇 때문인지 말할 수 있습니다. `vanilla`만은 그렇지 않습니다. 여러 가지가 한꺼번에 바뀌므로 이 차이는 중력만의 것이 아닙니다. 그것을 하나씩 나눈 것이 [10장의 사다리](#ngt-ladder)입니다.
#
# | 변형 | 바꾼 것 | 묻는 것 |
# |---|---|---|
# | `vanilla` | 중력 대신 보통의 내적 | 바뀐 것이 모두 합쳐 도움이 되는가 |
# | `default` | 그대로 | 기준 |
# | `mass_in_value` | 질량을 로짓(logit)에서 빼고 값에 곱함 | 질량은 끄는 힘인가, 실린 짐인가 |
# | `no_repulsion` | 손실에 반발을 더하지 않음 | 점들을 벌려 놓아야 하는가 |
# | `repulsion_every_8` | 반발을 8스텝에 한 번만 더함 | 그 계산을 아낄 수 있는가 |
# | `no_radius` | 컷오프(cutoff) 없음 | 멀리까지 보아야 하는가 |
#
# 규모는 셋입니다. `full`은 원본이 쓴 크기이고, `small`은 CPU만으로 몇 분, `smoke`는 시험용 몇 초입니다. 매개변수의 수는 좌표의 폭으로 맞춥니다. 원본은 `vanilla`의 피드포워드 폭을 1536으로 줄여서 맞추었습니다. 우리 모델은 입력과 출력의 임베딩(embedding)을 따로 두므로 같은 크기라도 원본의 25M개보다 큽니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: wikitext-plan -->
# ## The original's experiment: six variants
#
# From here on it is a tool to repeat, at large sizes, what the original did on WikiText-103. There are two to compare with: `vanilla`, the twin with dot-product attention, and `default`, the NGT with repulsion and a radius. Each of the others changes one thing about `default`, so that a difference can be laid to its cause. `vanilla` is the exception: several things change at once, and its difference is not due to gravity alone. The [ladder of chapter 10](#ngt-ladder) takes these one at a time.
#
# | variant | what changes | what it asks |
# |---|---|---|
# | `vanilla` | an ordinary dot product instead of gravity | do all the changes together help |
# | `default` | nothing | to compare with |
# | `mass_in_value` | mass leaves the logit and multiplies the value | is mass a pull, or a load |
# | `no_repulsion` | no repulsion in the loss | must points be kept apart |
# | `repulsion_every_8` | repulsion at one step in 8 only | can that work be saved |
# | `no_radius` | no cutoff | must it see far |
#
# There are three sizes. `full` is that of the original, `small` takes minutes on a CPU alone, `smoke` seconds in a test. The width of the coordinates makes the parameters equal; the original lowered the feed-forward width of `vanilla` to 1536 for that. Our models keep separate embeddings for input and output, so at the same sizes they are larger than the original's 25M.

# %% tags=["hide-input"]
rows = {}
for name, options in BUDGETS.items():
    rows[name] = {
        "데이터 | data": options.dataset,
        "폭 × 층 | width × layers":
            f"{options.hidden_dim} × {options.num_layers}",
        "헤드 | heads": options.num_heads, "mlp": options.mlp_dim,
        "문맥 | context": options.block_size,
        "배치 | batch": options.batch_size,
        "어휘 | vocabulary": options.bpe_vocab_size,
        "스텝 | steps": options.max_steps,
        "학습률 | rate": f"{options.learning_rate:g}",
        "매개변수 | parameters": f"{size_of(options) / 1e6:.2f} M"}
full = BUDGETS["full"]
seen = full.max_steps * full.batch_size * full.block_size
record("full_tokens", seen / 1e6, text=f"{seen / 1e6:.0f}")
pd.DataFrame(rows)

# %% [markdown] tags=["lang-ko"]
# <!-- label: wikitext-one-thing -->
# ### 정말 하나만 바뀌는가
#
# `plan`은 변형마다 옵션 한 벌을 만들 뿐 아무것도 돌리지 않습니다. 옵션을 `default`의 것과 하나씩 대조해 다른 것만 남깁니다. 폴더의 이름은 변형마다 다를 수밖에 없으니 뺍니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: wikitext-one-thing -->
# ### Does only one thing change?
#
# `plan` makes a set of options for each variant and runs nothing. Hold each set against that of `default` and keep what differs. The names of the folders have to differ, so they are left out.

# %%
from dataclasses import asdict

choices = plan(cfg.budget)  # all six
start = asdict(choices["default"])
changed = [
    (name, option, str(start[option]), str(value))
    for name, options in choices.items()
    for option, value in asdict(options).items()
    if value != start[option]
    and option not in ("checkpoint_path", "run_name")]
pd.DataFrame(changed, columns=["variant", "option", "in default", "here"]
             ).style.hide(axis="index")

# %% tags=["remove-cell"]
record(n_changed=len(changed))

# %% [markdown] tags=["lang-ko"]
# `default`를 뺀 변형 다섯에 다른 옵션이 모두 ⟨n_changed⟩개, 곧 하나씩입니다. 남은 조건은 크기입니다. 모델을 meta 장치에 만들면 수를 담지 않으므로 큰 모델도 바로 셀 수 있습니다.
# %% [markdown] tags=["lang-en"]
# The five variants other than `default` differ from it in ⟨n_changed⟩ options altogether, one each. What is left to keep equal is the size. Made on the meta device, a model holds no numbers, so even a large one is counted at once.

# %%
from lib.gravity.model import LanguageModel
from lib.workbench.ngt.training import model_config


def count(options):
    with torch.device("meta"):
        return parameters(LanguageModel(model_config(
            options, options.bpe_vocab_size)))


total = pd.Series({name: count(one) for name, one in choices.items()})
off = total / total["vanilla"] - 1
pd.DataFrame({"total": total, "off": off}).style.format(
    {"total": "{:,}", "off": "{:+.2%}"})

# %% tags=["remove-cell"]
most = off.abs().max()
record("size_off", most, text=f"{most:.2%}")

# %% [markdown] tags=["lang-ko"]
# 쿼리와 키의 행렬이 빠진 자리를 좌표와 질량이 채웠고, 가장 크게 벌어진 것도 ⟨size_off⟩입니다. 시험용인 `smoke`에서만은 폭이 2보다 작아질 수 없어 2 %를 넘습니다.
# %% [markdown] tags=["lang-en"]
# Coordinates and masses fill the place of the matrices of queries and keys; the largest gap is ⟨size_off⟩. In `smoke` alone, made for tests, it is above 2 %, since the width cannot go below 2.

# %% [markdown] tags=["lang-ko"]
# <!-- label: wikitext-formulas -->
# ### 변형이 하는 계산
#
# 옵션 하나가 계산에서는 무엇일까요? `mass_in_value`와 `no_radius`는 어텐션의 식을 바꿉니다. [중력 좌표](09_gravity_coordinates.ipynb#gravity-layer)에서 지은 층에 갈래를 더한 것이 전부입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: wikitext-formulas -->
# ### What the variants compute
#
# What is an option in the computation? `mass_in_value` and `no_radius` change the formula of attention. They are branches in the layer built in [gravity coordinates](09_gravity_coordinates.ipynb#gravity-layer), and nothing else.

# %%
def weights_of(layer, z, mass, options):  # batch head query key
    z = layer.place(z).unflatten(-1, (layer.n_heads, -1)).transpose(1, 2)
    r2 = (z[..., :, None, :] - z[..., None, :, :]).square().mean(-1)
    logits = -layer.pull.strength * (r2 + layer.eps).log()
    if not options.mass_in_value:  # else the mass multiplies the value
        logits = logits + layer.pull.beta * mass.log()[:, None, None]
    seen = torch.ones(r2.shape[-2:], dtype=torch.bool).tril()
    weights = logits.masked_fill(~seen, -torch.inf).softmax(-1)
    if not options.no_radius_cutoff:  # compact: exactly 0 beyond R
        gate = (1 - r2 / layer.pull.radius**2).clamp_min(0)
        itself = torch.eye(r2.shape[-1], dtype=torch.bool)
        weights = weights * gate.masked_fill(itself, 1)
        weights = weights / weights.sum(-1, keepdim=True)
    return weights

# %%
def output_of(layer, x, weights, mass, options):  # batch seq d_model
    value = layer.value(x).unflatten(-1, (layer.n_heads, -1)).transpose(1, 2)
    if options.mass_in_value:
        value = value * mass[:, None, :, None]
    mixed = weights @ value  # batch head query d_head
    return layer.output(mixed.transpose(1, 2).flatten(2))

# %% [markdown] tags=["lang-ko"]
# 가장 작은 크기의 층에 난수를 넣어 `lib`의 출력과 나란히 놓습니다. 처음에는 질량이 모두 1이고 반지름이 넓어 변형끼리 다를 것이 없으므로, 질량을 흩뜨리고 반지름을 줄입니다. 표의 마지막 열은 볼 수 있는 쌍 가운데 가중치가 정확히 0인 것의 비율입니다.
# %% [markdown] tags=["lang-en"]
# We put random numbers into a layer of the smallest size and lay its output beside that of `lib`. At first all masses are 1 and the radius is wide, and the variants would not differ; so masses are scattered and the radius made smaller. The last column is the share of visible pairs whose weight is exactly 0.

# %%
small = plan("smoke")  # the same formulas, in few numbers
draw = torch.Generator().manual_seed(1)
ids = torch.randint(1024, (2, 64), generator=draw)
x = torch.randn(2, 64, small["default"].hidden_dim, generator=draw)
past, beside = torch.ones(64, 64, dtype=torch.bool).tril(), {}
for name in ("default", "mass_in_value", "no_radius"):
    model = build(model_config(small[name], 1024), seed).eval()
    layer = model.blocks[0].attention
    with torch.no_grad():
        layer.rho.fill_(-1)
        model.masses.mu.copy_(torch.linspace(-1, 1, 1024))
        z, mass = model.coordinates(ids), model.masses(ids)
        weights = weights_of(layer, z, mass, small[name])
        ours = output_of(layer, x, weights, mass, small[name])
        gap = (ours - layer(x, z, mass)[0]).abs().max().item()
    zero = (weights[..., past] == 0).double().mean().item()
    beside[name] = {"largest difference": gap, "exactly 0": zero}

# %% tags=["remove-cell"]
record(layer_gap=max(row["largest difference"] for row in beside.values()))

# %% tags=["hide-input"]
pd.DataFrame(beside).T.style.format(
    {"largest difference": "{:.1e}", "exactly 0": "{:.0%}"})

# %% [markdown] tags=["lang-ko"]
# 출력의 차이는 많아야 ⟨layer_gap⟩이니 세 변형의 식은 이것이 맞습니다. 나머지 둘은 손실을 바꿉니다. 최소로 만드는 것은 교차 엔트로피(cross-entropy)에 $\lambda$를 곱한 반발을 더한 것이고, 반발은 창에서 뽑은 자리 몇 개 사이에서만 잽니다([연습 문제](#wikitext-exercise-sample)). `no_repulsion`은 $\lambda=0$이고, `repulsion_every_8`은 8스텝에 한 번만 자리를 뽑습니다.
# %% [markdown] tags=["lang-en"]
# The outputs differ by at most ⟨layer_gap⟩: these are the formulas of the three variants. The other two change the loss. What is minimised is the cross-entropy plus $\lambda$ times the repulsion, taken among a few places drawn from the window ([exercise](#wikitext-exercise-sample)). `no_repulsion` is $\lambda=0$; `repulsion_every_8` draws places at one step in 8 only.

# %% [markdown] tags=["lang-ko"]
# <!-- label: wikitext-running -->
# ## 돌리기
#
# ```
# ./setup_and_run.sh run wikitext103 -p budget small
# ./setup_and_run.sh run wikitext103 -p budget small -p variants vanilla,no_radius
# ./setup_and_run.sh run wikitext103 -p budget full -p device cuda -p seed 1
# ```
#
# `full`에는 GPU와 WikiText-103(540 MB)이 있어야 합니다. 글은 `datasets`로 받습니다. 인터넷이 없는 기계라면 `wikitext103.txt`를 담은 폴더를 `BOOK_DATA_MIRROR`로 알려 주십시오. 변형 하나가 토큰 ⟨full_tokens⟩M개를 읽습니다. 결과는 `results/wikitext103_full`처럼 규모의 이름이 붙은 폴더에 모입니다. 작은 규모가 배우는 글은 ⟨learn_ko⟩, 판정하는 글은 ⟨judge_ko⟩이며, 둘에 함께 든 글은 없습니다. 책에 실린 이 페이지는 도구가 하는 일만 보입니다. 변형 ⟨n_variants⟩개를 `⟨budget⟩` 크기로 ⟨n_steps⟩스텝 돌린 것이므로, 손실에는 아무 뜻도 없습니다.
#
# 규모나 변형의 이름이 틀리면 시작하기 전에 한 문장으로 알려 주고 멈춥니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: wikitext-running -->
# ## Running it
#
# ```
# ./setup_and_run.sh run wikitext103 -p budget small
# ./setup_and_run.sh run wikitext103 -p budget small -p variants vanilla,no_radius
# ./setup_and_run.sh run wikitext103 -p budget full -p device cuda -p seed 1
# ```
#
# `full` wants a GPU and WikiText-103 (540 MB), which comes through `datasets`. On a machine without the internet, let `BOOK_DATA_MIRROR` name a folder that holds `wikitext103.txt`. Each variant reads ⟨full_tokens⟩M tokens. Results gather in a folder named for the budget, such as `results/wikitext103_full`. The small sizes learn from ⟨learn_en⟩ and are judged on ⟨judge_en⟩; no article is in both. This page of the book only shows the tool at work: ⟨n_variants⟩ variants at the size `⟨budget⟩` for ⟨n_steps⟩ steps, whose losses mean nothing.
#
# A budget or a variant that is not known ends the run before it begins, with one sentence.

# %% tags=["hide-input"]
steps, source = cfg.max_steps, data_path
if budget:
    steps = max_steps  # of the budget, unless asked for
elif cfg.excerpt and data_path is None:  # a page takes the beginning only
    excerpt = f"{describe('wikitext2_valid')}, first {cfg.excerpt:,} characters"
    source = f"{fresh.name}/{excerpt}"
    Path(source).write_text(data.text("wikitext2_valid")[:cfg.excerpt],
                            encoding="utf-8")

# %%
common = {
    "max_steps": steps, "learning_rate": learning_rate,
    "batch_size": batch_size, "use_amp": use_amp, "data_path": source,
    "gradient_accumulation_steps": gradient_accumulation_steps,
    "device": str(cfg.device)}
plans = plan(cfg.budget, variants or cfg.variants, folder, seed=seed,
             **common)
found = screen(plans, f"WikiText screening, budget {cfg.budget}")

# %% tags=["remove-cell"]
if not found.rows:
    raise RuntimeError("; ".join(f"{name}: {words}" for name, words
                                 in found.failed.items()))

# %%
rows = pd.DataFrame(found.rows).set_index("variant")
rows["steps_per_second"] = rows["steps_per_second"].astype(float)
rows.rename_axis(None).rename(columns={
    "valid": "loss", "steps_per_second": "steps/s"}).style.format(
    precision=3, thousands=",")

# %% tags=["remove-cell"]
record(n_variants=len(rows), n_kept=len(found.kept), budget=cfg.budget,
       n_resumed=len(found.resumed), n_failed=len(found.failed),
       n_seed=seed, n_steps=int(rows["steps"].iloc[0]))

# %% [markdown] tags=["lang-ko"]
# 손실은 토큰당 내트이고 검증 글 전체에서 잰 것입니다. 퍼플렉서티(perplexity)는 그 지수 $e^{L}$, 곧 토큰 하나를 맞힐 때 몇 개 가운데에서 망설이는 셈인지입니다. 조각을 나누는 법이 다르면 둘 다 서로 견줄 수 없습니다([연습 문제](#wikitext-exercise-words)). 속도도 보십시오. 반지름을 배우는 변형은 반지름 밖의 쌍까지 셈해야 하므로 느린 꼴(`chunked`)로 학습하고, `no_radius`는 [빠른 꼴](12_fast_gravity.ipynb#fast-walk)로 학습합니다. 시드가 하나인 걸러 보기는 더 길게 돌려 볼 것을 고를 뿐 판정하지 않습니다. 판정하려면 `seed`를 바꾸고 `output`을 따로 두어 여러 번 돌려서, 위에서처럼 짝을 지으십시오.
# %% [markdown] tags=["lang-en"]
# Losses are in nats a token, over the whole validation text. Perplexity is their exponential, $e^{L}$: among how many choices the model wavers, so to speak, for each token. With another way of cutting text into pieces neither can be compared ([exercise](#wikitext-exercise-words)). Look at the speed too: variants that learn a radius need the pairs beyond it too and train with a slower form (`chunked`), while `no_radius` trains with a [fast one](12_fast_gravity.ipynb#fast-walk). A screening with one seed picks what deserves a longer run; it does not judge. To judge, run it several times with another `seed` and an `output` of its own, and pair as above.

# %% [markdown] tags=["lang-ko"]
# <!-- label: wikitext-reported -->
# ## 원본이 보고한 값 옆에
#
# 아래는 [원본](#references-gravity)이 스스로 보고한 값입니다(WikiText-103, 약 25M개, 15000스텝, 시드 1개). `small`이나 `full` 크기로 돌리면 그 실행의 값이 오른쪽에 붙습니다. 글과 크기가 다르면 **손실끼리 견주어서는 안 됩니다.** 견줄 수 있는 것은 각자의 `vanilla`와의 차이, 그리고 각자의 `vanilla`에 대한 속도의 비입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: wikitext-reported -->
# ## Beside what the original reported
#
# Below is what the [original](#references-gravity) itself reported (WikiText-103, about 25M parameters, 15000 steps, 1 seed). A run at the size `small` or `full` stands to the right of it. Where text and sizes differ, **the losses must not be compared.** What can be is each one's difference from its own `vanilla`, and its speed as a share of that `vanilla`'s.

# %% tags=["hide-input"]
def beside(values, name):
    if name not in values or "vanilla" not in values:
        return ["–"] * 3
    one, base = values[name], values["vanilla"]
    ratio = one["steps_per_second"] / base["steps_per_second"]
    return [f"{one['valid']:.3f}", signed(one["valid"] - base["valid"]),
            "–" if math.isnan(ratio) else f"{ratio:.2f}×"]


sides = {"원본의 보고 | reported by the original": REPORTED}
if cfg.budget != "smoke":
    sides["이번 실행 | this run"] = rows.to_dict("index")
columns = pd.MultiIndex.from_product(
    [sides, ("손실 | loss", "− vanilla", "속도 | speed")])
base = REPORTED["vanilla"]
record(reported_gap=signed(REPORTED["default"]["valid"] - base["valid"]),
       reported_speed=REPORTED["default"]["steps_per_second"]
       / base["steps_per_second"])
pd.DataFrame([[part for values in sides.values()
               for part in beside(values, name)] for name in VARIANTS],
             index=list(VARIANTS), columns=columns)

# %% [markdown] tags=["lang-ko"]
# 원본의 `default`는 자기 `vanilla`보다 ⟨reported_gap⟩내트 높고, 속도는 ⟨reported_speed⟩배였습니다. 그 까닭으로 짚이는 것, 곧 뒤집힌 부호, 위치만 아는 좌표, 거리를 통째로 펼쳐 놓는 계산은 [중력 좌표](09_gravity_coordinates.ipynb#gravity-sign)와 [빠른 중력](12_fast_gravity.ipynb)에서 하나씩 다룹니다. 그러나 원본의 변형을 우리가 같은 규모로 다시 돌려 본 것은 아니므로, 그 까닭이 이 차이를 모두 설명하는지는 모릅니다.
# %% [markdown] tags=["lang-en"]
# The original's `default` lay ⟨reported_gap⟩ nats above its own `vanilla` and ran at ⟨reported_speed⟩ times its speed. Likely causes (a flipped sign, coordinates that know position only, distances spread out in full) are taken one by one in [gravity coordinates](09_gravity_coordinates.ipynb#gravity-sign) and [fast gravity](12_fast_gravity.ipynb). But we have not run the original's variants again at that size, so whether these causes explain all of the difference is not known.

# %% [markdown] tags=["lang-ko"]
# <!-- label: wikitext-gpu -->
# ### `full` 크기의 한 스텝, GPU에서
#
# `.venv/bin/python -m benchmarks.on_gpu`는 `full` 크기의 모델로 학습 한 스텝(bf16, 창 512토큰이 배치에 32개)에 걸리는 시간도 잽니다. 반지름이 없는 변형(`no_radius`)의 크기에서 커널만 바꾸었습니다. 아래는 초당 스텝 수이고, 옆의 `tinyshakespeare`는 원본이 셰익스피어를 배울 때의 크기입니다. 원본의 속도는 다른 기계의 것이니, 서로 견줄 것은 한 열 안의 비입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: wikitext-gpu -->
# ### A step at the `full` size, on a GPU
#
# `.venv/bin/python -m benchmarks.on_gpu` also times a training step at the `full` size (bf16, 32 windows of 512 tokens to a batch). It has the size of the variant without a radius (`no_radius`), and only the kernel changes. Below are steps per second; `tinyshakespeare` beside it is the size at which the original learned Shakespeare. The original's speeds are those of another machine, so compare ratios within a column.

# %% tags=["hide-input"]
from lib.page.gpu import GPU_RESULTS, gpu_table

gpu_table(["step"], "form", "size", "steps_per_second")

# %% tags=["remove-cell"]
used([GPU_RESULTS])

# %% [markdown] tags=["lang-ko"]
# <!-- label: wikitext-survive -->
# ## 끊겨도, 하나가 실패해도
#
# 변형마다 폴더가 따로 있고, 다음 셋 가운데 하나의 상태에 있습니다.
#
# | 폴더에 있는 것 | 다시 실행하면 |
# |---|---|
# | `result.json` | 다시 돌리지 않고 그 값을 씁니다 |
# | `last`만 | 거기서부터 이어 합니다. 끊기지 않았을 때와 비트까지 같습니다 |
# | 아무것도 없음 | 처음부터 합니다 |
#
# 옵션이 하나라도 다르면 다른 실행으로 칩니다. 변형을 나누어 돌려도 한 폴더에 있으면 한 표에 모입니다. 한 변형이 실패하면 그 까닭을 적고 다음 변형으로 넘어갑니다. 끝나면 실패한 것이 있다고 알리며 0이 아닌 값을 돌려줍니다. 이번 실행에서는 다시 돌리지 않은 것이 ⟨n_kept⟩개, 이어 한 것이 ⟨n_resumed⟩개, 실패한 것이 ⟨n_failed⟩개입니다. 같은 계획을 한 번 더 맡겨 봅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: wikitext-survive -->
# ## When it is cut off, or one fails
#
# Every variant has its folder, in one of three states.
#
# | in the folder | when run again |
# |---|---|
# | `result.json` | it is not run; the values are taken from there |
# | only `last` | it goes on from there, equal to the bit to a run never cut off |
# | nothing | it starts from the beginning |
#
# With any other option it counts as another run. Variants run one by one gather in one table, as long as they share the folder. When a variant fails, the reason is written down and the next one runs; at the end the run says so and does not return 0. In this run, ⟨n_kept⟩ were taken as they were, ⟨n_resumed⟩ went on, and ⟨n_failed⟩ failed. We hand in the same plan once more.

# %%
again = screen(plans, f"WikiText screening, budget {cfg.budget}")
same = [row["valid"] for row in again.rows] == rows["valid"].tolist()
len(again.kept), same

# %% tags=["remove-cell"]
record(again_kept=len(again.kept), again_same=str(same))

# %% [markdown] tags=["lang-ko"]
# 두 번째에는 ⟨again_kept⟩개를 다시 돌리지 않았고, 손실은 그대로입니다(⟨again_same⟩).
# %% [markdown] tags=["lang-en"]
# The second time ⟨again_kept⟩ of them were not run again, and the losses are the same (⟨again_same⟩).

# %% [markdown] tags=["lang-ko"]
# <!-- label: wikitext-home -->
# ## 집으로 가져가기
#
# 빌린 기계는 돌려주어야 합니다. 그래서 변형이 하나 끝날 때마다 세 가지를 새로 씁니다. 사람이 읽을 `report.md`, 표로 열 `report.csv`, 그리고 둘과 변형마다의 `result.json`(옵션과 학습 곡선)을 묶은 `home.zip`입니다. 가중치는 크므로 넣지 않았습니다. 폴더의 `best`에 있으니 필요하면 따로 가져오십시오.
# %% [markdown] tags=["lang-en"]
# <!-- label: wikitext-home -->
# ## To carry home
#
# A borrowed machine has to be given back. So three things are written anew after every variant: `report.md` to read, `report.csv` to open as a table, and `home.zip`, which packs both with the `result.json` of each variant (its options and its curve). Weights are large and not in it; they lie in `best`, to be fetched when wanted.

# %% tags=["hide-input"]
def shown(file):
    return str(file.relative_to(ROOT) if file.is_relative_to(ROOT) else file)


if folder != fresh.name:
    wrote([shown(file) for file in found.files])
pd.DataFrame({"크기 | size": [f"{file.stat().st_size / 1024:.1f} KiB"
                            for file in found.files]},
             index=[file.name for file in found.files])

# %% [markdown] tags=["lang-ko"]
# <!-- label: wikitext-exercises -->
# ## 연습 문제
#
# 빈칸(`...`)을 채운 다음 바로 아래 셀을 실행하면 답이 맞는지 알 수 있습니다. 풀이는 접어 두었습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: wikitext-exercises -->
# ## Exercises
#
# Fill in the gap (`...`) and run the next cell: it tells you whether the answer holds. Solutions are folded.

# %% [markdown] tags=["lang-ko"]
# <!-- label: wikitext-exercise-words -->
# ### 1. 낱말당 퍼플렉서티 (★, 8분)
#
# 어휘(vocabulary)가 크면 토큰이 길어지고, 긴 토큰은 맞히기 어려우니 손실이 높아집니다. 그러니 토크나이저(tokenizer)가 다른 모델은 낱말당 퍼플렉서티로 견줍니다. 토큰 하나의 평균 손실 `loss`, 글의 토큰 수 `tokens`, 낱말 수 `words`를 받아 그것을 돌려주십시오.
# %% [markdown] tags=["lang-en"]
# <!-- label: wikitext-exercise-words -->
# ### 1. Perplexity per word (★, 8 minutes)
#
# A larger vocabulary has longer tokens, which are harder to predict, and the loss rises. So models with different tokenizers are compared by their perplexity per word. Given the mean `loss` of a token, the number of `tokens` and of `words` in the text, return it.

# %% tags=["exercise"]
def my_perplexity(loss, tokens, words):
    ...

# %%
from lib.exercises.wikitext import check_word_perplexity

check_word_perplexity(my_perplexity)

# %% tags=["solution", "hide-cell"]
def perplexity_solution(loss, tokens, words):
    return math.exp(loss * tokens / words)  # all the surprise, a word


check_word_perplexity(perplexity_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: wikitext-exercise-sample -->
# ### 2. 뽑은 쌍의 반발 (★★, 12분)
#
# 토큰이 512개이면 쌍은 십만이 넘습니다. 반발은 몇 개만 뽑아 어림할 수 있습니다. 좌표 `z` (n, C), 질량 `mass` (n), 뽑힌 자리 `chosen`을 받아, 뽑힌 것끼리의 서로 다른 쌍에 대한 $m_i m_j / \max(r_{ij}, 0.1)^2$의 평균을 돌려주십시오. $r_{ij}^2$은 축의 수 $C$로 나눈 것입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: wikitext-exercise-sample -->
# ### 2. The repulsion of a sample (★★, 12 minutes)
#
# Among 512 tokens there are well over a hundred thousand pairs; a few of them suffice to estimate the repulsion. Given coordinates `z` (n, C), masses `mass` (n) and the positions `chosen`, return the mean of $m_i m_j / \max(r_{ij}, 0.1)^2$ over all pairs of two different chosen ones. $r_{ij}^2$ is divided by the number of axes $C$.

# %% tags=["exercise"]
def my_repulsion(z, mass, chosen):
    ...

# %%
from lib.exercises.wikitext import check_sampled_repulsion

check_sampled_repulsion(my_repulsion)

# %% tags=["solution", "hide-cell"]
def repulsion_solution(z, mass, chosen):
    z, mass = z[chosen], mass[chosen]
    r2 = (z[:, None] - z[None]).square().mean(-1)
    energy = mass[:, None] * mass / r2.clamp_min(0.1**2)
    apart = ~torch.eye(len(chosen), dtype=torch.bool)
    return energy[apart].mean()


check_sampled_repulsion(repulsion_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: wikitext-exercise-time -->
# ### 3. 같은 시간에 (★★, 10분)
#
# 스텝 수를 같게 두면 느린 모델이 덕을 봅니다. 학습 곡선 `steps`, `losses`와 초당 스텝 수 `steps_per_second`를 받아 `seconds`초가 지났을 때의 손실을 돌려주십시오. 점 사이는 직선으로 잇고, 곡선의 앞과 뒤는 끝의 값으로 둡니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: wikitext-exercise-time -->
# ### 3. At equal time (★★, 10 minutes)
#
# Equal steps favour the slow model. Given a learning curve `steps`, `losses` and its `steps_per_second`, return the loss after `seconds` seconds. Between points draw straight lines; before and after the curve take its end values.

# %% tags=["exercise"]
def my_loss_at(steps, losses, steps_per_second, seconds):
    ...

# %%
from lib.exercises.wikitext import check_equal_time

check_equal_time(my_loss_at)

# %% tags=["solution", "hide-cell"]
import numpy as np


def loss_at_solution(steps, losses, steps_per_second, seconds):
    return float(np.interp(steps_per_second * seconds, steps, losses))


check_equal_time(loss_at_solution)

# %% tags=["hide-input"]
first = {name: curves["Wikipedia", name, seed] for name in arms}
spent = {name: median(curves[text, name, number][1] for text in cfg.texts
                      for number in range(seed, seed + cfg.seeds))
         for name in arms}
fastest = min(spent, key=spent.get)
record(fastest=fastest)
pd.DataFrame([{
    "모델 | model": name,
    "학습의 시간 ÷ dot | time of a training ÷ dot":
        f"{spent[name] / spent['dot']:.2f}×",
    "같은 스텝의 비트 | bits at equal steps": f"{curve.valid[-1]:.3f}",
    "같은 시간의 비트 | bits at equal time": f"""{loss_at_solution(
        curve.step, curve.valid, cfg.steps / spent[name],
        spent[fastest]):.3f}"""}
    for name, (curve, _) in first.items()]).style.hide(axis="index")

# %% [markdown] tags=["lang-ko"]
# 풀이로 위키백과를 배운 네 모델을 같은 시간에 견주면 위와 같습니다(시드 ⟨n_seed⟩번, 떼어 둔 글의 앞부분). 가장 빠른 `⟨fastest⟩`이(가) 다 배우는 동안 저마다 어디까지 왔는지입니다. 시간은 프로세서가 학습에 쓴 시간의 가운데 값입니다. 학습률은 스텝에 맞추어 내려가므로, 중간에 끊은 모델에게는 조금 불리한 비교입니다.
# %% [markdown] tags=["lang-en"]
# The solution compares at equal time the four models that learned Wikipedia (seed ⟨n_seed⟩, the beginning of the held-out text): where each one stood when `⟨fastest⟩`, the quickest, was done. Times are medians of what the processor spent on a training. The learning rate falls by steps, so this is a little unfair to those caught halfway.

# %% [markdown] tags=["lang-ko"]
# <!-- label: wikitext-measured -->
# ## 무엇을 무엇으로 쟀는가
#
# | 잰 것 | 무엇으로 |
# |---|---|
# | 네 모델의 판정 | 시드 ⟨n_seeds⟩개, ⟨arm_steps⟩스텝, 학습률 ⟨rate⟩, 판정하는 글마다 ⟨n_judged⟩바이트 |
# | 10장의 크기 | `⟨results⟩`의 실행 |
# | 변형 | 규모 `⟨budget⟩`, ⟨n_variants⟩개, ⟨n_steps⟩스텝, 시드 ⟨n_seed⟩번 |
#
# 속도는 다른 일도 하는 기계에서 잰 것이어서 비만 뜻이 있습니다. 원본의 값은 원본이 보고한 것이며 우리가 잰 것이 아닙니다. `full` 규모와 `gpu` 프로필은 이 장을 만들 때 돌려 보지 못했습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: wikitext-measured -->
# ## What was measured, and on what
#
# | measured | on what |
# |---|---|
# | the four models | ⟨n_seeds⟩ seeds, ⟨arm_steps⟩ steps, a learning rate of ⟨rate⟩, ⟨n_judged⟩ bytes of each text to judge on |
# | the size of chapter 10 | the runs in `⟨results⟩` |
# | the variants | budget `⟨budget⟩`, ⟨n_variants⟩ of them, ⟨n_steps⟩ steps, seed ⟨n_seed⟩ |
#
# Speeds come from a machine that had other work to do; only their ratios mean something. The figures of the original are as it reported them and were not measured here. The budget `full` and the profile `gpu` have not been run for this chapter.

# %% tags=["remove-input"]
source = found.folder / rows.index[0] / "result.json"
told = json.loads(source.read_text(encoding="utf-8"))
pd.DataFrame([
    ("변형의 데이터 | data of the variants", told["text"]), ("토크나이저 | tokenizer", told["tokens"]),
    ("장치 | device", rows["device"].iloc[0]),
    ("프로필 | profile", cfg.profile), ("PyTorch", torch.__version__),
], columns=["", "이번 실행 | this run"]).style.hide(axis="index")

# %% tags=["remove-input"]
if found.failed:
    raise RuntimeError("; ".join(f"{name}: {words}" for name, words
                                 in found.failed.items()))
