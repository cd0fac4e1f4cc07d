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
# # WikiText-103: 변형 여섯을 한꺼번에 걸러 보기
#
# 셰익스피어의 문자 몇십만 개로 배운 것이 더 큰 모델과 더 긴 글에서도 그대로일까요? 공개된 원본은 위키백과 글 WikiText-103에서 NGT의 변형 몇 가지를 걸러 보고, 보통의 트랜스포머(Transformer)보다 모두 못하다는 결과를 숨김없이 실었습니다. 이 장은 그 실험을 누구나 다시 할 수 있게 만든 것입니다. 며칠짜리 학습은 언젠가 끊기므로, 끊겨도 잃지 않게 하는 일이 이 장의 절반입니다.
#
# - **할 수 있게 되는 것.** 요소를 하나씩 빼거나 바꾸는 제거 실험(ablation)을 계획하고, 끊기거나 일부가 실패해도 이어지게 돌리고, 결과를 보고서와 압축 파일로 가져올 수 있습니다.
# - **걸리는 시간.** 읽기 40분, 연습 문제 30분. 이 실행에서는 변형 ⟨n_variants⟩개에 ⟨total_seconds⟩초가 걸렸습니다.
# - **필요한 것.** [NGT 학습](10_training_ngt.ipynb), [토큰화(tokenization)](01_tokens_to_vectors.ipynb). 큰 규모로 돌리려면 GPU와 WikiText-103.
# %% [markdown] tags=["lang-en"]
# <!-- label: wikitext -->
# # WikiText-103: screening six variants at once
#
# Does what a few hundred thousand characters of Shakespeare taught us hold for larger models and longer text? On WikiText-103, articles of Wikipedia, the public original screened some variants of NGT and published, hiding nothing, that all of them did worse than the vanilla Transformer. This chapter makes that experiment one that anybody can repeat. A training that takes days will be cut off at some point, so half of the chapter is about losing nothing when it is.
#
# - **You will be able to** plan an ablation that removes or changes one thing at a time, run it so that it goes on after a cut or a failure, and carry the results home as a report and an archive.
# - **Time.** 40 minutes to read, 30 for the exercises. In this run, ⟨n_variants⟩ variants took ⟨total_seconds⟩ seconds.
# - **You need** [training NGT](10_training_ngt.ipynb) and [tokenization](01_tokens_to_vectors.ipynb). For the large scale, a GPU and WikiText-103.

# %% tags=["parameters"]
profile: str = None  # smoke, book or gpu; None follows BOOK_PROFILE, else book
budget: str = None  # smoke, small or full; None: the profile
variants: str = None  # names with commas between; None: the profile
output: str = None  # folder; None: results/wikitext103_… if a budget is named
seed = 0  # of the first weights and of the batches
max_steps: int = None  # updates of each variant; None: the budget
learning_rate: float = None  # at its peak; None: the budget
batch_size: int = None  # windows in an update; None: the budget
gradient_accumulation_steps: int = None  # parts of a batch; None: the budget
use_amp: bool = None  # 16-bit numbers where they suffice; None: the budget
data_path: str = None  # a text file in place of the dataset of the budget
device = "auto"  # auto, cpu, cuda or mps

# %% tags=["hide-input"]
import json
import math
import tempfile
from pathlib import Path

import pandas as pd
import torch
from matplotlib import pyplot as plt

from lib.data import ROOT, describe, text
from lib.page.figures import COLOURS, show, use_style
from lib.page.profile import expect, settings
from lib.page.record import bilingual, record, used, wrote
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
expect(int, seed=seed)
expect(int | None, max_steps=max_steps, batch_size=batch_size,
       gradient_accumulation_steps=gradient_accumulation_steps)
expect(float | None, learning_rate=learning_rate)
expect(bool | None, use_amp=use_amp)
cfg = settings(
    profile, device=device, seed=seed,
    given={"budget": budget, "steps": max_steps},
    smoke={"budget": "smoke", "variants": "vanilla,default,no_radius",
           "steps": 4, "excerpt": 50_000, "more_seeds": 1},
    book={"budget": "small", "variants": every,
          "steps": 80, "excerpt": 500_000, "more_seeds": 2},
    gpu={"budget": "full", "variants": every,
         "steps": 15_000, "excerpt": 0, "more_seeds": 0})
more_seeds = 0 if budget else cfg.more_seeds  # of two variants
fresh = tempfile.TemporaryDirectory()  # a page of the book starts anew
folder = output or (None if budget else fresh.name)

# %% tags=["hide-input"]
steps, source = cfg.steps, data_path
used([data_path])
if budget:
    steps = max_steps
elif cfg.excerpt and data_path is None:  # a page takes the beginning only
    excerpt = f"{describe('wikitext2_valid')}, first {cfg.excerpt:,} characters"
    source = f"{fresh.name}/{excerpt}"
    Path(source).write_text(text("wikitext2_valid")[:cfg.excerpt],
                            encoding="utf-8")
for row, part in (("wikitext2_test", "learn"), ("wikitext2_valid", "judge")):
    record(**{f"{part}_{side}": describe(row, side) for side in ("ko", "en")})

# %% [markdown] tags=["lang-ko"]
# <!-- label: wikitext-plan -->
# ## 무엇을 바꾸어 보는가
#
# 기준은 둘입니다. `vanilla`는 내적(dot product) 어텐션(attention)을 쓰는 쌍둥이이고, `default`는 반발(repulsion)과 반지름(radius)을 갖춘 NGT입니다. 나머지는 `default`에서 한 가지씩만 바꿉니다. 그래야 차이가 생겼을 때 무엇 때문인지 말할 수 있습니다. `vanilla`만은 그렇지 않습니다. 여러 가지가 한꺼번에 바뀌므로 이 차이는 중력만의 것이 아닙니다. 그것을 하나씩 나눈 것이 [10장의 사다리](#ngt-ladder)입니다.
#
# | 변형 | 바꾼 것 | 묻는 것 |
# |---|---|---|
# | `vanilla` | 중력 대신 보통의 내적 | 바뀐 것이 모두 합쳐 도움이 되는가 |
# | `default` | 그대로 | 기준 |
# | `mass_in_value` | 질량(mass)을 로짓(logit)에서 빼고 값에 곱함 | 질량은 끄는 힘인가, 실린 짐인가 |
# | `no_repulsion` | 손실(loss)에 반발을 더하지 않음 | 점들을 벌려 놓아야 하는가 |
# | `repulsion_every_8` | 반발을 8스텝에 한 번만 더함 | 그 계산을 아낄 수 있는가 |
# | `no_radius` | 컷오프(cutoff) 없음 | 멀리까지 보아야 하는가 |
#
# 규모는 셋입니다. `full`은 원본이 쓴 크기이고, `small`은 CPU만으로 몇 분, `smoke`는 시험용 몇 초입니다. 매개변수(parameter)의 수는 좌표(coordinates)의 폭으로 맞춥니다. 원본은 `vanilla`의 피드포워드 폭을 1536으로 줄여서 맞추었습니다. 우리 모델은 입력과 출력의 임베딩(embedding)을 따로 두므로 같은 크기라도 원본의 25M개보다 큽니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: wikitext-plan -->
# ## What gets changed
#
# There are two to compare with: `vanilla`, the twin with dot-product attention, and `default`, the NGT with repulsion and a radius. Each of the others changes one thing about `default`, so that a difference can be laid to its cause. `vanilla` is the exception: several things change at once, and its difference is not due to gravity alone. The [ladder of chapter 10](#ngt-ladder) takes these one at a time.
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
record(n_changed=len(changed), n_choices=len(choices))

# %% [markdown] tags=["lang-ko"]
# `default`를 뺀 변형 다섯에 다른 옵션이 모두 ⟨n_changed⟩개, 곧 하나씩입니다. 남은 조건은 크기입니다. 모델을 meta 장치에 만들면 수를 담지 않으므로 큰 모델도 바로 셀 수 있습니다. 매개변수를 부분별로 세어, 모두 더한 값이 `vanilla`와 2 % 넘게 벌어지지 않는지 봅니다.
# %% [markdown] tags=["lang-en"]
# The five variants other than `default` differ from it in ⟨n_changed⟩ options altogether, one each. What is left to keep equal is the size. Made on the meta device, a model holds no numbers, so even a large one is counted at once. Count the parameters part by part, and see whether any sum is more than 2 % away from `vanilla`.

# %%
from lib.gravity.model import LanguageModel
from lib.workbench.ngt.training import model_config

PARTS = {"masses": "places", "coordinates": "places", "move": "places",
         ".attention.": "attention", ".feed_forward.": "feed-forward"}


def count(options):
    with torch.device("meta"):
        model = LanguageModel(model_config(options, options.bpe_vocab_size))
    sizes = dict.fromkeys(PARTS.values(), 0) | {"other": 0}
    for name, p in model.named_parameters():
        if p.requires_grad:
            part = next((PARTS[w] for w in PARTS if w in name), "other")
            sizes[part] += p.numel()
    return sizes | {"d_coord": model.config.d_coord}

# %%
sizes = pd.DataFrame(map(count, choices.values()), index=list(choices))
width = sizes.pop("d_coord").where(sizes["places"] > 0, 0)
total = sizes.sum(axis=1)
off = total / total["vanilla"] - 1
by_lib = [size_of(options) for options in choices.values()]
sizes.assign(total=total, lib=by_lib, d_coord=width, off=off).style.format(
    "{:,.0f}").format("{:+.2%}", subset=["off"])

# %% tags=["remove-cell"]
most = off.abs().max()
record("size_off", most, text=f"{most:.2%}")
record(size_same=str(list(total) == by_lib))

# %% [markdown] tags=["lang-ko"]
# 쿼리(query)와 키(key)의 행렬이 빠진 자리를 좌표와 질량이 채웠고, 가장 크게 벌어진 것도 ⟨size_off⟩입니다. 시험용인 `smoke`에서만은 폭이 2보다 작아질 수 없어 2 %를 넘습니다. `lib`의 `size_of`와 합이 같은지도 보았습니다(⟨size_same⟩).

# %% [markdown] tags=["lang-en"]
# Coordinates and masses fill the place of the matrices of queries and keys; the largest gap is ⟨size_off⟩. In `smoke` alone, made for tests, it is above 2 %, since the width cannot go below 2. Whether `size_of` of `lib` comes to the same sums was checked too (⟨size_same⟩).

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
from lib.gravity.model import build

small = plan("smoke")  # the same formulas, in few numbers
draw = torch.Generator().manual_seed(1)
ids = torch.randint(1024, (2, 64), generator=draw)
x = torch.randn(2, 64, small["default"].hidden_dim, generator=draw)
past, beside = torch.ones(64, 64, dtype=torch.bool).tril(), {}
for name in ("default", "mass_in_value", "no_radius"):
    model = build(model_config(small[name], 1024), seed).eval()
    layer = model.blocks[0].attention
    with torch.no_grad():
        layer.rho.fill_(0.5)
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
# 출력의 차이는 많아야 ⟨layer_gap⟩이니 세 변형의 식은 이것이 맞습니다.
# %% [markdown] tags=["lang-en"]
# The outputs differ by at most ⟨layer_gap⟩: these are the formulas of the three variants.

# %% [markdown] tags=["lang-ko"]
# 나머지 둘은 손실을 바꿉니다. 최소로 만드는 것은 교차 엔트로피(cross-entropy)에 $\lambda$를 곱한 반발을 더한 것이고, 반발은 창에서 뽑은 자리 몇 개 사이에서만 잽니다. `no_repulsion`은 $\lambda=0$이고, `repulsion_every_8`은 8스텝에 한 번만 자리를 뽑습니다.
# %% [markdown] tags=["lang-en"]
# The other two change the loss. What is minimised is the cross-entropy plus $\lambda$ times the repulsion, taken among a few places drawn from the window. `no_repulsion` is $\lambda=0$; `repulsion_every_8` draws places at one step in 8 only.

# %%
from lib.workbench.ngt.training import Windows, objective


def minimised(model, batch, weight):  # by hand: nats per token
    x, y, places = batch
    logits, layers = model.trace(x)
    log_p = logits - logits.logsumexp(-1, keepdim=True)
    loss = -log_p.gather(-1, y[..., None]).mean()
    if weight and places.numel():
        z, mass = (layers[-1][part][:, places[0]] for part in ("z", "mass"))
        r2 = (z[:, :, None] - z[:, None]).square().mean(-1)
        energy = mass[:, :, None] * mass[:, None] / r2.clamp_min(0.1**2)
        apart = ~torch.eye(r2.shape[-1], dtype=torch.bool)
        loss = loss + weight * energy[:, apart].mean()
    return loss.item()

# %%
model = build(model_config(small["default"], 1024), seed).eval()
numbers = torch.randint(1024, (999,),
                        generator=torch.Generator().manual_seed(2))
table = {}
for name in ("default", "no_repulsion", "repulsion_every_8"):
    options = small[name]
    weight = options.lambda_repulsion if options.repels else 0.0
    windows = Windows(numbers, 4, 64, seed, 16, options.repulsion_interval)
    for step in (0, 1):
        batch = next(windows.after(step))
        total, n, _ = objective(model, batch, weight)
        table[name, step] = {"by hand": minimised(model, batch, weight),
                             "lib": (total / n).item()}
table = pd.DataFrame(table).T.rename_axis(["variant", "step"])
table.assign(difference=table["by hand"] - table["lib"]).style.format("{:.6g}")

# %% tags=["remove-cell"]
drawn = table["by hand"].unstack()
record(push_default=drawn.loc["default", 0] - drawn.loc["no_repulsion", 0],
       push_eighth=drawn.loc["repulsion_every_8", 1]
       - drawn.loc["no_repulsion", 1],
       objective_gap=(table["by hand"] - table["lib"]).abs().max())

# %% [markdown] tags=["lang-ko"]
# 아직 배우지 않은 모델에 난수 글을 읽힌 것입니다. 0스텝에서 반발이 손실에 더하는 것은 ⟨push_default⟩내트이고, `repulsion_every_8`은 1스텝에서 ⟨push_eighth⟩을 더합니다. 손으로 구한 값과 `lib`의 값은 ⟨objective_gap⟩ 넘게 벌어지지 않습니다.
# %% [markdown] tags=["lang-en"]
# An untrained model read random text here. At step 0 repulsion adds ⟨push_default⟩ nats to the loss; `repulsion_every_8` adds ⟨push_eighth⟩ at step 1. The values by hand and those of `lib` differ by no more than ⟨objective_gap⟩.

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
# `full`에는 GPU와 WikiText-103(540 MB)이 있어야 합니다. 글은 `datasets`로 받습니다. 인터넷이 없는 기계라면 `wikitext103.txt`를 담은 폴더를 `BOOK_DATA_MIRROR`로 알려 주십시오. 변형 하나가 토큰(token) ⟨full_tokens⟩M개를 읽습니다. 결과는 `results/wikitext103_full`처럼 규모의 이름이 붙은 폴더에 모입니다. 작은 규모가 배우는 글은 ⟨learn_ko⟩, 판정하는 글은 ⟨judge_ko⟩이며, 둘에 함께 든 글은 없습니다. 책에 실린 이 페이지는 더 줄여서 판정하는 글의 앞부분만으로 몇십 스텝을 돌린 것입니다. 그 앞부분의 마지막 10 %로 판정합니다.
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
# `full` wants a GPU and WikiText-103 (540 MB), which comes through `datasets`. On a machine without the internet, let `BOOK_DATA_MIRROR` name a folder that holds `wikitext103.txt`. Each variant reads ⟨full_tokens⟩M tokens. Results gather in a folder named for the budget, such as `results/wikitext103_full`. The small sizes learn from ⟨learn_en⟩ and are judged on ⟨judge_en⟩; no article is in both. This page of the book takes even less: a few dozen steps on the beginning of the text to judge on, and the last 10 % of that beginning to judge on.
#
# A budget or a variant that is not known ends the run before it begins, with one sentence.

# %%
common = {
    "max_steps": steps, "learning_rate": learning_rate,
    "batch_size": batch_size, "use_amp": use_amp, "data_path": source,
    "gradient_accumulation_steps": gradient_accumulation_steps,
    "device": str(cfg.device)}
plans = plan(cfg.budget, variants or cfg.variants, folder, seed=seed,
             **common)
found = screen(plans, f"WikiText screening, budget {cfg.budget}")

# %% [markdown] tags=["lang-ko"]
# <!-- label: wikitext-result -->
# ## 결과
#
# 손실은 검증 글 전체에서 잰 것이고, 퍼플렉서티(perplexity)는 그 지수 $e^{L}$입니다. 토큰 하나를 맞힐 때 몇 개 가운데에서 망설이는 셈인지를 나타냅니다. 토큰을 나누는 법이 다르면 서로 견줄 수 없습니다. 왜 그런지는 [연습 문제](#wikitext-exercise-words)에서 봅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: wikitext-result -->
# ## Results
#
# Losses are over the whole validation text; perplexity is their exponential, $e^{L}$: among how many choices the model wavers, so to speak, for each token. With another tokenizer it means something else; an [exercise](#wikitext-exercise-words) shows why.

# %% tags=["remove-cell"]
if not found.rows:
    raise RuntimeError("; ".join(f"{name}: {words}" for name, words
                                 in found.failed.items()))

# %%
rows = pd.DataFrame(found.rows).set_index("variant")
rows["steps_per_second"] = rows["steps_per_second"].astype(float)
rows["perplexity"] = rows["valid"].map(math.exp)
rows.rename_axis(None).rename(columns={
    "valid": "loss", "steps_per_second": "steps/s"}).style.format(
    precision=3, thousands=",")

# %% tags=["remove-cell"]
total = rows["seconds"].sum()
record(n_variants=len(rows), n_kept=len(found.kept), budget=cfg.budget,
       n_resumed=len(found.resumed), n_failed=len(found.failed),
       n_seed=seed, n_steps=int(rows["steps"].iloc[0]))
record("total_seconds", total, text=f"{total:,.0f}")

# %% [markdown] tags=["lang-ko"]
# <!-- label: wikitext-by-hand -->
# ### 표의 수를 손으로
#
# 표의 손실을 로짓에서 다시 구합니다. 검증 글을 토큰으로 나누고, 문맥 길이의 창으로 겹치지 않게 자릅니다. 목표는 창마다 한 토큰 뒤의 것이고, 마지막에 남는 토막은 버립니다. 토크나이저(tokenizer)와 가중치는 변형이 남긴 체크포인트 `last`에서 읽습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: wikitext-by-hand -->
# ### The numbers of the table by hand
#
# We take the losses of the table from the logits once more. The validation text is cut into tokens, and these into windows of the length of a context, side by side. The targets of a window are one token further on; the rest at the end is dropped. Tokenizer and weights come from the checkpoint `last` that each variant left.

# %%
from lib.gravity.load import load_model
from lib.gravity.texts import ids_of, load_text

names = [name for name in plans if name in rows.index]
first = plans[names[0]]
learned = load_text(first.dataset, source and ROOT / source)
tokens = load_model(found.folder / names[0] / "last")[1]

ids, block = ids_of(learned.valid, tokens), first.block_size
n = (len(ids) - 1) // block
x = ids[: n * block].view(n, block)  # window token
y = ids[1 : n * block + 1].view(n, block)

# %% [markdown] tags=["lang-ko"]
# 토큰 하나의 손실은 정답에 준 확률의 로그에 음의 부호를 붙인 것, $-\log p = \log\sum_v e^{s_v} - s_y$입니다. 창마다 평균을 따로 남겨 둡니다. 곧 쓸 데가 있습니다.
# %% [markdown] tags=["lang-en"]
# The loss of a token is minus the logarithm of the probability that the right one got, $-\log p = \log\sum_v e^{s_v} - s_y$. We keep the mean of each window apart; it will be of use soon.

# %%
@torch.no_grad()
def window_losses(folder):  # nats per token, of each window
    model, found = load_model(folder / "last")[0].to(cfg.device), []
    for some, wanted in zip(x.split(32), y.split(32), strict=True):
        logits = model(some.to(cfg.device))  # window token vocab
        right = logits.gather(-1, wanted[..., None].to(cfg.device))[..., 0]
        found.append((logits.logsumexp(-1) - right).mean(-1).cpu())
    return torch.cat(found).double()


losses = pd.DataFrame({name: window_losses(found.folder / name).numpy()
                       for name in names})
hand = pd.DataFrame({"by hand": losses.mean(), "report": rows["valid"][names]})
hand["difference"] = hand["by hand"] - hand["report"]
hand["perplexity"] = hand["by hand"].map(math.exp)
hand.rename_axis(None).style.format(precision=4).format(
    "{:.1e}", subset=["difference"])

# %% tags=["remove-cell"]
record(hand_windows=n, hand_tokens=n * block, hand_block=block,
       hand_gap=hand["difference"].abs().max(),
       hand_first=names[0], hand_loss=hand["by hand"].iloc[0],
       hand_perplexity=hand["perplexity"].iloc[0])

# %% [markdown] tags=["lang-ko"]
# 창 ⟨hand_windows⟩개, 토큰 ⟨hand_tokens⟩개입니다. `⟨hand_first⟩`의 손실은 ⟨hand_loss⟩, 퍼플렉서티는 ⟨hand_perplexity⟩입니다. 보고서의 수와는 어느 변형에서도 ⟨hand_gap⟩ 넘게 벌어지지 않습니다.
# %% [markdown] tags=["lang-en"]
# There are ⟨hand_windows⟩ windows, ⟨hand_tokens⟩ tokens. `⟨hand_first⟩` has a loss of ⟨hand_loss⟩ and a perplexity of ⟨hand_perplexity⟩. No variant differs from the report by more than ⟨hand_gap⟩.

# %% tags=["hide-input"]
looks = dict(zip(VARIANTS, zip(COLOURS.values(), "osD^vP", strict=True),
                 strict=True))
figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.6))
for name, curve in found.curves.items():
    colour, mark = looks[name]
    axes[0].plot(curve["step"], curve["valid"], color=colour,
                 marker=mark, markersize=5, label=name,
                 linestyle="--" if name == "vanilla" else "-")
    axes[1].plot(rows.loc[name, "steps_per_second"],
                 rows.loc[name, "valid"], mark, color=colour,
                 markersize=8)
axes[0].set(xlabel="step", ylabel="validation loss (nats per token)")
axes[1].set(xlabel="steps per second", ylabel="final loss (nats)")
axes[1].set_xlim(left=0)
axes[0].legend()
show(figure, table=rows[["valid", "steps_per_second"]])

# %% [markdown] tags=["lang-ko", "caption"]
# 왼쪽은 학습하는 동안의 검증 손실(validation loss), 오른쪽은 마지막 손실과 속도입니다. 두 그림에서 같은 빛깔과 모양이 같은 변형입니다. 오른쪽 그림에서는 오른쪽 아래로 갈수록 좋습니다.
# <!-- alt: 왼쪽에는 스텝에 따른 변형별 검증 손실 곡선, 오른쪽에는 초당 스텝 수와 마지막 손실의 점그림. 값은 위 표에 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Left: validation loss during training. Right: final loss against speed, where lower and further right is better. A variant has the same colour and mark in both.
# <!-- alt: On the left, validation loss curves of the variants over steps; on the right, points of steps per second against final loss. The values are in the table above. -->

# %% tags=["hide-input"]
def signed(x):
    return f"{x:+.3f}".replace("-", "−")


best = rows["valid"].idxmin()
gaps = (rows["valid"] - rows["valid"].get("vanilla", math.nan)).drop(
    "vanilla", errors="ignore")
record(best=best, loss_best=rows.loc[best, "valid"])
speed = rows["steps_per_second"].reindex(VARIANTS)
for name in ("default", "no_radius"):
    ratio = speed[name] / speed["vanilla"]
    record(f"speed_{name}", "–" if math.isnan(ratio) else f"{ratio:.2f}")
better = [name for name, gap in gaps.items() if gap < 0]
worse = [name for name, gap in gaps.items() if gap > 0]
bilingual(
    f"vanilla보다 손실이 낮은 변형: {', '.join(better) or '없음'}. "
    f"높은 변형: {', '.join(worse) or '없음'}.",
    f"Lower loss than vanilla: {', '.join(better) or 'none'}. "
    f"Higher: {', '.join(worse) or 'none'}.")

# %% [markdown] tags=["lang-ko"]
# 속도도 보십시오. 반지름이 있는 변형 넷은 컷오프를 셈하느라 조각으로 나누어 계산하는 형태를 쓰고, `no_radius`는 한 번에 훑는 빠른 형태를 씁니다. 이번 실행의 속도는 `vanilla`에 대해 `default`가 ⟨speed_default⟩배, `no_radius`가 ⟨speed_no_radius⟩배입니다. 두 형태의 차이는 [빠른 중력](12_fast_gravity.ipynb)에 있습니다.
#
# 이번 실행에서 손실이 가장 낮은 것은 `⟨best⟩`(⟨loss_best⟩내트)입니다. **시드(seed) 하나, ⟨n_steps⟩스텝의 결과이니 순위로 읽지 마십시오.** 걸러 보기는 더 길게 돌려 볼 것을 고르는 일이지 판정이 아닙니다. 판정은 [앞 장](10_training_ngt.ipynb#ngt-verdict)처럼 시드를 짝지어 합니다. `seed`를 바꾸고 `output`을 따로 두어 몇 번 더 돌리면 이 표로도 할 수 있습니다.
# %% [markdown] tags=["lang-en"]
# Look at the speed too. The four variants with a radius compute their cutoff in chunks, while `no_radius` takes the fast form that goes over everything once. Against `vanilla`, this run made `default` ⟨speed_default⟩ times and `no_radius` ⟨speed_no_radius⟩ times as fast. [Fast gravity](12_fast_gravity.ipynb) has the difference between the two forms.
#
# The lowest loss of this run is that of `⟨best⟩` (⟨loss_best⟩ nats). **It comes from one seed and ⟨n_steps⟩ steps; do not read it as a ranking.** A screening picks what deserves a longer run, it does not judge. To judge, pair over seeds as in the [earlier chapter](10_training_ngt.ipynb#ngt-verdict); a few more runs with another `seed` and an `output` of their own make that possible for this table too.

# %% [markdown] tags=["lang-ko"]
# <!-- label: wikitext-one-seed -->
# ### 시드 하나가 말해 주는 것
#
# 시드가 하나여도 창은 여럿입니다. 같은 창에서 두 변형의 손실을 빼면 쉬운 글과 어려운 글의 차이가 지워집니다. 창마다 구한 차이의 평균과 그 95 % 구간 $\bar d \pm 1.96\,s/\sqrt{n}$을 표로 봅니다. 창이 많으므로 $t$ 대신 정규분포의 1.96을 씁니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: wikitext-one-seed -->
# ### What one seed can say
#
# There is one seed, but there are many windows. Subtracting the losses of two variants on the same window takes out whether its text is easy or hard. The table has the mean of these differences with its 95 % interval, $\bar d \pm 1.96\,s/\sqrt{n}$; with so many windows 1.96 of the normal distribution stands for $t$.

# %%
against = names[0]
gaps = losses.sub(losses[against], axis=0)  # window by window
reach = 1.96 * gaps.std() / math.sqrt(n)
spread = pd.DataFrame({
    "mean difference": gaps.mean(),
    "low": gaps.mean() - reach, "high": gaps.mean() + reach,
    "spread of losses": losses.std(),
    "spread of differences": gaps.std(),
    "windows won": (gaps < 0).mean()})
spread.drop(against).style.format(precision=3).format(
    "{:.0%}", subset=["windows won"])

# %% [markdown] tags=["lang-ko"]
# 이 구간이 0을 비켜 가면, **이 두 모델**의 차이는 글을 이만큼 고른 우연이 아닙니다. 그러나 구간이 묻지 않은 것이 있습니다. 다른 시드로 다시 학습해도 그 차이가 남을까요? 표의 처음과 마지막 변형만 시드를 바꾸어 몇 번 더 학습하고, 시드마다 같은 구간을 구합니다.
# %% [markdown] tags=["lang-en"]
# Where such an interval leaves 0 out, the difference of **these two models** is no accident of the text that was picked. But there is something the interval never asked: would the difference stay if both were trained again, with another seed? Train the first and the last variant of the table a few times more, with other seeds, and take the same interval for each seed.

# %%
two = list(dict.fromkeys([names[0], names[-1]]))
by_seed = {seed: losses[two]}
for other in range(seed + 1, seed + 1 + more_seeds):
    place = f"{fresh.name}/seed {other}"
    screen(plan(cfg.budget, two, place, seed=other, **common), "seeds")
    by_seed[other] = pd.DataFrame({name: window_losses(
        Path(place) / name).numpy() for name in two})

# %%
def paired(each):  # of one seed: mean losses, their difference, interval
    gap = each[two[-1]] - each[two[0]]
    reach = 1.96 * gap.std() / math.sqrt(n)
    return each.mean().to_dict() | {
        "mean difference": gap.mean(), "low": gap.mean() - reach,
        "high": gap.mean() + reach}


seeds = pd.DataFrame({s: paired(each) for s, each in by_seed.items()}).T
seeds.rename_axis("seed").reset_index().style.hide(axis="index").format(
    precision=3, subset=list(seeds))

# %% tags=["hide-input"]
others = spread.drop(against)[::-1]
figure, axis = plt.subplots(figsize=(7.2, 0.5 * len(others) + 1.6))
axis.axvline(0, color=COLOURS["attention"], linewidth=1)
for place, (low, high, middle) in enumerate(others[[
        "low", "high", "mean difference"]].itertuples(index=False)):
    axis.plot([low, high], [place, place], color=COLOURS["gravity"])
    axis.plot(middle, place, "o", color=COLOURS["gravity"],
              label=None if place else f"seed {seed}")
if len(two) > 1 and len(seeds) > 1:
    axis.plot(seeds["mean difference"].iloc[1:], [0] * (len(seeds) - 1), "D",
              color=COLOURS["plum"], label="other seeds")
axis.set_yticks(range(len(others)), list(others.index))
axis.set(xlabel=f"loss minus {against} (nats)", ylim=(-0.6, len(others) - 0.4))
if len(others):
    axis.legend()
show(figure, table=others[["mean difference", "low", "high"]])

# %% [markdown] tags=["lang-ko", "caption"]
# `⟨against⟩`와의 차이를 창마다 구해 평균한 값(동그라미)과 창에 대한 95 % 구간(가로선). 마름모는 같은 두 변형을 다른 시드로 학습했을 때의 차이입니다. 마름모가 가로선 밖에 있으면, 시드의 우연이 창의 우연보다 크다는 뜻입니다.
# <!-- alt: 변형마다 첫 변형과의 손실 차이를 동그라미로, 창에 대한 구간을 가로선으로 나타내고, 마지막 변형의 줄에는 다른 시드에서 얻은 차이를 마름모로 더한 그림. 수는 위의 두 표에 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Difference from `⟨against⟩`, taken window by window: mean (circle) and 95 % interval over windows (bar). Diamonds are the differences of the same two variants trained with other seeds. A diamond outside its bar says that the chance in a seed is larger than the chance in the windows.
# <!-- alt: For each variant a circle for its loss minus that of the first one, with the interval over windows as a bar; the row of the last variant also has diamonds, the differences found with other seeds. The numbers are in the two tables above. -->

# %% tags=["remove-cell"]
settled = ((others["low"] > 0) | (others["high"] < 0)).sum()
first_loss = seeds[two[0]]
record(against=against, rival=two[-1], n_trained=len(seeds),
       n_settled=int(settled), n_beside=len(others),
       spread_losses=losses[against].std(),
       spread_gaps=others["spread of differences"].mean()
       if len(others) else "–",
       move_low=first_loss.min(), move_high=first_loss.max())
for end, value in (("low", seeds["mean difference"].min()),
                   ("high", seeds["mean difference"].max())):
    record(f"pair_{end}", value, text=f"{value:+.3f}".replace("-", "−"))

# %% [markdown] tags=["lang-ko"]
# `⟨against⟩`의 손실은 창에 따라 표준편차 ⟨spread_losses⟩내트만큼 흔들리지만, 창마다 뺀 차이는 평균해서 ⟨spread_gaps⟩내트만 흔들립니다. 그래서 변형 ⟨n_beside⟩개 가운데 ⟨n_settled⟩개의 구간이 0을 비켜 갑니다. 이제 시드입니다. 시드 ⟨n_trained⟩개에서 `⟨against⟩`의 손실은 ⟨move_low⟩부터 ⟨move_high⟩까지 움직였습니다. 두 변형이 시드를 함께 쓰므로 빼면 함께 움직인 몫이 지워집니다. 그렇게 남은 `⟨rival⟩`과의 차이는 ⟨pair_low⟩부터 ⟨pair_high⟩내트까지입니다.
#
# 창을 늘리면 앞의 흔들림은 줄지만 뒤의 흔들림은 그대로입니다. 시드 하나로 할 수 있는 말은 ‘이 모델이 저 모델보다 이 글을 잘 맞힌다’까지입니다. ‘이 변형이 저 변형보다 낫다’고 하려면 시드를 여럿 두고 그 차이들로 구간을 내야 합니다. 이웃한 창은 같은 글에서 오므로 창으로 낸 구간도 실제보다 조금 좁습니다.
# %% [markdown] tags=["lang-en"]
# From window to window the loss of `⟨against⟩` has a standard deviation of ⟨spread_losses⟩ nats; the differences window by window have one of ⟨spread_gaps⟩ on average. So ⟨n_settled⟩ of ⟨n_beside⟩ variants have an interval that leaves 0 out. Now the seeds. Over ⟨n_trained⟩ seeds the loss of `⟨against⟩` moved from ⟨move_low⟩ to ⟨move_high⟩. Two variants of one seed share part of that, and subtracting takes the shared part out; what is left as the difference of `⟨rival⟩` goes from ⟨pair_low⟩ to ⟨pair_high⟩ nats.
#
# More windows make the first uncertainty smaller and leave the second as it is. One seed can say that this model predicts this text better than that one. To say so of the variants takes several seeds, and an interval over their differences. Neighbouring windows come from one article, so even the interval over windows is a little too narrow.

# %% [markdown] tags=["lang-ko"]
# <!-- label: wikitext-reported -->
# ## 원본이 보고한 값 옆에
#
# 아래 표의 왼쪽은 [원본](#references-gravity)이 스스로 보고한 값이고(WikiText-103, 약 25M개, 15000스텝, 시드 1개), 오른쪽은 이번 실행의 값입니다. 글도 크기도 다르므로 **손실끼리 견주어서는 안 됩니다.** 견줄 수 있는 것은 각자의 `vanilla`와의 차이, 그리고 각자의 `vanilla`에 대한 속도의 비입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: wikitext-reported -->
# ## Beside what the original reported
#
# On the left, the table below has what the [original](#references-gravity) itself reported (WikiText-103, about 25M parameters, 15000 steps, 1 seed), on the right what this run found. Text and sizes differ, so **the losses must not be compared.** What can be is each one's difference from its own `vanilla`, and its speed as a share of that `vanilla`'s.

# %% tags=["hide-input"]
def beside(values, name):
    if name not in values or "vanilla" not in values:
        return ["–"] * 3
    one, base = values[name], values["vanilla"]
    ratio = one["steps_per_second"] / base["steps_per_second"]
    return [f"{one['valid']:.3f}", signed(one["valid"] - base["valid"]),
            "–" if math.isnan(ratio) else f"{ratio:.2f}×"]


ours = rows.to_dict("index")
heads = ("손실 | loss", "− vanilla", "속도 | speed")
columns = pd.MultiIndex.from_product(
    [["원본의 보고 | reported by the original",
      "이번 실행 | this run"], heads])
base = REPORTED["vanilla"]
record(reported_gap=signed(REPORTED["default"]["valid"] - base["valid"]),
       reported_speed=REPORTED["default"]["steps_per_second"]
       / base["steps_per_second"])
pd.DataFrame([beside(REPORTED, name) + beside(ours, name)
              for name in VARIANTS], index=list(VARIANTS), columns=columns)

# %% [markdown] tags=["lang-ko"]
# 원본의 `default`는 자기 `vanilla`보다 ⟨reported_gap⟩내트 높고, 속도는 ⟨reported_speed⟩배였습니다. 그 까닭으로 짚이는 것, 곧 뒤집힌 부호, 위치만 아는 좌표, 거리를 통째로 펼쳐 놓는 계산은 [중력 좌표](09_gravity_coordinates.ipynb#gravity-sign)와 [빠른 중력](12_fast_gravity.ipynb)에서 하나씩 다룹니다. 그러나 원본의 변형을 우리가 같은 규모로 다시 돌려 본 것은 아니므로, 그 까닭이 이 차이를 모두 설명하는지는 모릅니다.
# %% [markdown] tags=["lang-en"]
# The original's `default` lay ⟨reported_gap⟩ nats above its own `vanilla` and ran at ⟨reported_speed⟩ times its speed. Likely causes (a flipped sign, coordinates that know position only, distances spread out in full) are taken one by one in [gravity coordinates](09_gravity_coordinates.ipynb#gravity-sign) and [fast gravity](12_fast_gravity.ipynb). But we have not run the original's variants again at that size, so whether these causes explain all of the difference is not known.

# %% [markdown] tags=["lang-ko"]
# <!-- label: wikitext-gpu -->
# ### `full` 크기의 한 스텝, GPU에서
#
# `.venv/bin/python -m benchmarks.on_gpu`는 `full` 크기의 모델로 학습 한 스텝(bf16, 창 512토큰이 배치에 32개)에 걸리는 시간도 잽니다. 반지름이 없는 변형(`no_radius`)의 크기에서 커널(kernel)만 바꾸었습니다. 아래는 초당 스텝 수이고, 옆의 `tinyshakespeare`는 원본이 셰익스피어를 배울 때의 크기입니다. 원본의 속도는 다른 기계의 것이니, 서로 견줄 것은 한 열 안의 비입니다.
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
fastest = rows["steps_per_second"].idxmax()
limit = rows.loc[fastest, "steps"] / rows.loc[fastest, "steps_per_second"]
record("limit", limit, text=f"{limit:.1f}")
record(fastest=fastest)
pd.DataFrame({"같은 시간의 손실 | loss at equal time": {
    name: loss_at_solution(curve["step"], curve["valid"],
                           rows.loc[name, "steps_per_second"], limit)
    for name, curve in found.curves.items()}}).round(3)

# %% [markdown] tags=["lang-ko"]
# 풀이로 이번 실행을 다시 견주면 위와 같습니다. 가장 빠른 변형(`⟨fastest⟩`)이 다 배우는 데 걸린 ⟨limit⟩초 동안 저마다 어디까지 왔는지입니다. 학습률(learning rate)은 스텝에 맞추어 내려가므로, 중간에 끊은 모델에게는 조금 불리한 비교입니다.
# %% [markdown] tags=["lang-en"]
# The solution compares this run again: where each one stood after the ⟨limit⟩ seconds in which `⟨fastest⟩`, the quickest, was done. The learning rate falls by steps, so this is a little unfair to those caught halfway.

# %% [markdown] tags=["lang-ko"]
# <!-- label: wikitext-measured -->
# ## 무엇을 무엇으로 쟀는가
#
# 규모는 `⟨budget⟩`, 시드는 ⟨n_seed⟩번입니다. 변형 ⟨n_variants⟩개를 ⟨n_steps⟩스텝씩 학습했습니다. 학습률은 규모마다 하나로 정해 두었고 변형마다 맞추지 않았습니다. 속도는 다른 일도 하는 기계에서 잰 것이어서 비만 뜻이 있습니다. 원본의 값은 원본이 보고한 것이며 우리가 잰 것이 아닙니다. `full` 규모는 이 장을 만들 때 돌려 보지 못했습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: wikitext-measured -->
# ## What was measured, and on what
#
# The budget `⟨budget⟩` trained ⟨n_variants⟩ variants with seed ⟨n_seed⟩ for ⟨n_steps⟩ steps each. The learning rate is one for each budget and was tuned for no variant. Speeds come from a machine that had other work to do; only their ratios mean something. The figures of the original are as it reported them and were not measured here. The budget `full` has not been run for this chapter.

# %% tags=["remove-input"]
source = found.folder / rows.index[0] / "result.json"
told = json.loads(source.read_text(encoding="utf-8"))
pd.DataFrame([
    ("데이터 | data", told["text"]), ("토크나이저 | tokenizer", told["tokens"]),
    ("장치 | device", rows["device"].iloc[0]),
    ("프로필 | profile", cfg.profile), ("PyTorch", torch.__version__),
], columns=["", "이번 실행 | this run"]).style.hide(axis="index")

# %% tags=["remove-input"]
if found.failed:
    raise RuntimeError("; ".join(f"{name}: {words}" for name, words
                                 in found.failed.items()))
