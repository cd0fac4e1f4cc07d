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
# **값어치가 있는가.** 모델마다 가장 나은 학습률(learning rate)을 골라 시드(seed) ⟨fair_seeds⟩개로 학습시켰습니다. 떼어 둔 영화평에서 바꾼 모델은 바꾸지 않은 모델보다, 같은 수의 토큰(token)을 읽고 나면 바이트당 ⟨tokens_size⟩비트 ⟨tokens_word_ko⟩ 쓰고(차이 ⟨tokens_gap⟩, 95% 구간 ⟨tokens_low⟩ ~ ⟨tokens_high⟩), 같은 양의 글을 읽고 나면 ⟨text_size⟩비트 ⟨text_word_ko⟩ 씁니다(⟨text_gap⟩, ⟨text_low⟩ ~ ⟨text_high⟩). 위키백과와 코드와 희곡에서는 같은 토큰 뒤의 차이가 ⟨others_low⟩에서 ⟨others_high⟩까지입니다. 프로세서 시간은 각각 바꾸지 않은 모델의 ⟨tokens_time⟩, ⟨text_time⟩입니다. `benchmarks.fair`가 매개변수(parameter) ⟨fair_parameters⟩개인 `⟨fair_model⟩` 모델을 ⟨fair_budget⟩토큰으로 학습시켜 얻은 값이고, 더 큰 측정이 나오면 이 문단도 바뀝니다. SmolLM2는 학습률 한 벌, 시드 하나로만 쟀고, 차이는 예산이 가장 작을 때 ⟨small_signed⟩비트, 가장 클 때 ⟨large_gap⟩비트입니다(음수이면 바꾼 쪽이 낫습니다, [더 큰 예산](#tune-published)).
#
# 어휘(vocabulary)를 바꾸고 [새 행을 만들어 주면](17_realigning.ipynb) 모델은 새 조각을 어느 정도 부를 줄 알게 됩니다. 나머지는 배워야 합니다. 이 장에서는 어휘를 바꾼 모델과 바꾸지 않은 모델을 **같은 계산량**으로 미세 조정(fine-tuning)하고, 얻은 것과 잃은 것을 바이트당 비트(bits per byte)로 견줍니다.
#
# - **할 수 있게 되는 것.** 임베딩(embedding) 표의 몇 행만 배우게 하고, 다른 글을 섞어 잊지 않게 하고, 두 모델을 같은 토큰(token) 예산에서 공정하게 견줍니다.
# - **걸리는 시간.** 읽기 45분, 연습 문제 25분.
# - **필요한 것.** [임베딩 다시 맞추기](17_realigning.ipynb), [학습](05_training.ipynb).
# %% [markdown] tags=["lang-en"]
# <!-- label: tune-top -->
# # Fine-tuning: the new rows first, then all
#
# **Is it worth it?** Each model was trained at the best learning rate of its own, with ⟨fair_seeds⟩ seeds. On held-out film reviews the swapped model takes ⟨tokens_size⟩ bits per byte ⟨tokens_word_en⟩ than the untouched one after as many tokens (difference ⟨tokens_gap⟩, 95% interval ⟨tokens_low⟩ to ⟨tokens_high⟩), and ⟨text_size⟩ ⟨text_word_en⟩ after as much text (⟨text_gap⟩, ⟨text_low⟩ to ⟨text_high⟩). On Wikipedia, code and plays the difference after as many tokens is ⟨others_low⟩ to ⟨others_high⟩. In processor time that was ⟨tokens_time⟩ and ⟨text_time⟩ of the untouched model's. `benchmarks.fair` got these values from the model `⟨fair_model⟩` of ⟨fair_parameters⟩ parameters, trained on ⟨fair_budget⟩ tokens; a larger measurement changes this paragraph. SmolLM2 was measured with one set of rates and one seed only: the difference is ⟨small_signed⟩ bits at the smallest budget and ⟨large_gap⟩ at the largest (below zero, the swap is better; [a larger budget](#tune-published)).
#
# With [rows made for the new pieces](17_realigning.ipynb), a model can call them to some degree. The rest has to be learned. This chapter fine-tunes the swapped model and the untouched one on **equal compute** and compares what they gain and what they lose in bits per byte.
#
# - **You will be able to** train a few rows of an embedding table alone, mix in other text so that nothing is forgotten, and compare two models fairly on one budget of tokens.
# - **Time.** 45 minutes to read, 25 for the exercises.
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
import math
from collections import Counter
from copy import deepcopy
from itertools import count

import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib import pyplot as plt
from torch.func import functional_call

from lib import data
from lib.page.figures import COLOURS, show, use_style
from lib.page.profile import expect, settings
from lib.page.record import record, used
from lib.tokens.bytelevel import to_bytes

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
# 트랜스포머(Transformer)가 한 토큰에 쓰는 계산량은 그 토큰이 글을 몇 바이트나 나르는지와 상관이 없습니다. 그래서 **같은 계산량은 같은 토큰 수**입니다. 두 모델은 스텝 수도, 한 스텝의 토큰 수도, 학습하는 매개변수의 수도 같습니다. 다른 것은 둘입니다. 하나는 그 토큰들이 나르는 글의 양이고, 다른 하나는 새 행을 다루는 방법입니다. 바꾼 모델은 처음 몇 스텝에 새 행만 배우고, 새 행의 학습률(learning rate)도 더 큽니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: tune-equal -->
# ## What must be equal to be fair
#
# The compute that a Transformer spends on a token does not depend on how many bytes of text the token carries. So **equal compute is an equal number of tokens**. Both models take as many steps, with as many tokens each, and train as many parameters. Two things differ: how much text those tokens carry, and how new rows are treated. The swapped model spends its first steps on them alone, and their learning rate is larger.

# %%
from lib.vocabulary.small import korean_swap

swap = korean_swap(
    reviews=cfg.reviews, pieces=cfg.pieces, documents=cfg.documents,
    passes=cfg.passes, seed=seed)
original, remapped = swap.original, swap.remapped
held, prose = swap.held, swap.prose

# %% tags=["remove-cell"]
size = {name: sum(len(e.ids) for e in tokenizer.encode_batch(held))
        for name, tokenizer in (("old", original), ("new", remapped))}
record(n_bytes=sum(len(text.encode()) for text in held),
       tokens_old=size["old"], tokens_new=size["new"],
       more_text=size["old"] / size["new"],
       budget=cfg.steps * cfg.batch * cfg.context, n_steps=cfg.steps)

# %% [markdown] tags=["lang-ko"]
# 떼어 둔 한국어 ⟨n_bytes⟩바이트는 옛 어휘로 ⟨tokens_old⟩토큰, 새 어휘로 ⟨tokens_new⟩토큰입니다. 그러니 새 어휘는 같은 토큰 수로 한국어 글을 ⟨more_text⟩배 읽습니다. 예산은 모두 ⟨budget⟩토큰입니다.
# %% [markdown] tags=["lang-en"]
# The held-out Korean text of ⟨n_bytes⟩ bytes takes ⟨tokens_old⟩ tokens of the old vocabulary and ⟨tokens_new⟩ of the new one. So with as many tokens the new vocabulary reads ⟨more_text⟩ times as much Korean. The whole budget is ⟨budget⟩ tokens.

# %% [markdown] tags=["lang-ko"]
# <!-- label: tune-mix -->
# ### 창과 되새김
#
# 학습할 글은 하나로 이어 붙이고, 글마다 앞에 `<|endoftext|>`를 둡니다. 이것을 토큰 ⟨width⟩개씩 자르면 **창**(window)이 됩니다. 앞의 ⟨context⟩개가 입력이고, 한 칸 뒤의 ⟨context⟩개가 정답입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: tune-mix -->
# ### Windows and replay
#
# The text to train on is strung together, with `<|endoftext|>` before each document, and cut every ⟨width⟩ tokens into **windows**. The first ⟨context⟩ tokens of a window go in; the ⟨context⟩ from the second on are the right answers.

# %%
def windows_of(tokenizer, texts, most):
    """Texts one after another, cut into rows of context + 1 tokens."""
    start, width = tokenizer.token_to_id("<|endoftext|>"), cfg.context + 1
    stream = []
    for text in texts:
        if tokens := tokenizer.encode(text).ids:
            stream += [start, *tokens]
        if len(stream) >= most * width:
            break
    rows = min(most, len(stream) // width)
    return torch.tensor(stream[:rows * width]).view(rows, width)

# %% [markdown] tags=["lang-ko"]
# 배치(batch)마다 일부는 영어 위키백과의 글입니다. 이렇게 지키고 싶은 분야의 글을 섞어 읽히는 것을 **되새김**(replay)이라고 합니다. 두 글은 저마다 제 차례로 돕니다. 한 바퀴를 다 돌면 그쪽만 다시 섞습니다.
# %% [markdown] tags=["lang-en"]
# A share of each batch is English Wikipedia. Text of the domains that are to be kept, mixed in so that they are not forgotten, is called **replay**. The two go round by themselves; one that is through is shuffled anew without the other.

# %%
def shuffled(rows, size):
    """So many rows at a time, without end, each round in another order."""
    for round_ in count():
        draw = torch.Generator().manual_seed((seed << 20) + round_)
        order = torch.randperm(len(rows), generator=draw)
        for picked in order[:len(rows) // size * size].split(size):
            yield rows[picked]


def mixed(domain, replay):
    """Batches of which `replay_share` is replay."""
    sides = [shuffled(domain, cfg.batch - other)]
    if other:
        sides.append(shuffled(replay, other))
    for parts in zip(*sides, strict=True):
        yield torch.cat(parts)

# %%
need = cfg.steps * cfg.batch
other = round(cfg.batch * replay_share)
replay = swap.english  # none of it is measured on
sources, carried = {}, {}
for name, tokenizer in (("unswapped", original), ("swapped", remapped)):
    korean = windows_of(tokenizer, swap.domain, need)
    sources[name] = (korean, windows_of(tokenizer, replay, need))
    pieces = [tokenizer.id_to_token(i) for i in korean[:, 1:].flatten()]
    read = sum(len(to_bytes(p)) for p in pieces if p != "<|endoftext|>")
    carried[name] = {"Korean windows a batch": cfg.batch - other,
                     "replayed windows a batch": other,
                     "tokens a window": cfg.context,
                     "bytes of a Korean window": read / len(korean)}
pd.DataFrame.from_dict(carried, orient="index").round(1)

# %% tags=["remove-cell"]
from lib.vocabulary.tune import Mixed, windows

batches, unlike = {}, 0
for name, tokenizer in (("unswapped", original), ("swapped", remapped)):
    batches[name] = Mixed(
        windows(tokenizer, swap.domain, cfg.context, need),
        windows(tokenizer, replay, cfg.context, need),
        cfg.batch, replay_share, seed)
    ours, theirs = mixed(*sources[name]), iter(batches[name])
    unlike += sum(not torch.equal(next(ours), next(theirs))
                  for _ in range(2 * cfg.steps))
record(width=cfg.context + 1, context=cfg.context, unlike_batches=unlike,
       same_batches=4 * cfg.steps, share=f"{other}/{cfg.batch}",
       window_old=carried["unswapped"]["bytes of a Korean window"],
       window_new=carried["swapped"]["bytes of a Korean window"])

# %% [markdown] tags=["lang-ko"]
# 한국어 창 하나가 나르는 글은 옛 어휘로 ⟨window_old⟩바이트, 새 어휘로 ⟨window_new⟩바이트입니다. 되새김의 몫은 배치마다 ⟨share⟩입니다. `lib.vocabulary.tune`의 `windows`와 `Mixed`도 같은 일을 합니다. 배치 ⟨same_batches⟩개를 나란히 뽑아 보니 다른 것은 ⟨unlike_batches⟩개입니다.
# %% [markdown] tags=["lang-en"]
# A Korean window carries ⟨window_old⟩ bytes with the old vocabulary and ⟨window_new⟩ with the new one. Replay is ⟨share⟩ of each batch. `windows` and `Mixed` of `lib.vocabulary.tune` do the same: of ⟨same_batches⟩ batches drawn side by side, ⟨unlike_batches⟩ differ.

# %% [markdown] tags=["lang-ko"]
# <!-- label: tune-rows -->
# ## 새 행만 배우기
#
# 새 행은 아직 서투르고 나머지는 이미 잘 배웠습니다. 처음부터 모두를 배우게 하면 서투른 행이 만든 큰 기울기(gradient)가 나머지를 흔듭니다. 그래서 첫 단계에서는 새 행만 배웁니다. 표의 기울기 $G$에서 새 행이 아닌 행을 0으로 만드는 것과 같습니다.
#
# $$G_r \leftarrow \begin{cases} G_r & r\text{이 새 번호} \\ 0 & \text{그 밖}\end{cases}$$
#
# 새 행들을 표 밖에 따로 두고 스텝마다 표에 끼워 넣어도 같은 일이 됩니다. 그러면 AdamW의 두 평균도 이 행들의 것만 있으면 되고, 다른 행은 한 비트도 바뀌지 않습니다. 새 행은 몇 되지 않으니 학습률을 크게 잡아도 됩니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: tune-rows -->
# ## The new rows alone
#
# The new rows are clumsy still, all else has been learned well. If everything learned from the start, the large gradients that clumsy rows cause would shake the rest. So in the first phase only the new rows learn: it is as if every other row of the table's gradient $G$ were set to zero.
#
# $$G_r \leftarrow \begin{cases} G_r & r\text{ is a new id} \\ 0 & \text{otherwise}\end{cases}$$
#
# Keeping the new rows outside of the table and putting them in at each step comes to the same. AdamW then needs its two averages for these rows only, and not one bit of any other changes. The new rows are few, so their learning rate can be large.

# %%
from lib.vocabulary.rows import reassigned

ids = reassigned(original, remapped).ids
read = original.encode_batch(swap.domain[:1000])
counts = Counter(index for encoding in read for index in encoding.ids)
learning = {"swapped": ids,
            "unswapped": [i for i, _ in counts.most_common(len(ids))]}

# %%
from lib.vocabulary.bits_per_byte import bits_per_byte
from lib.vocabulary.realign import make_rows
from lib.vocabulary.rows import load_model, put_rows


def prepared(name, layers=cfg.layers):
    """The model as it was, or with rows for the new pieces."""
    model = load_model(str(data.path("smollm2"))).to(cfg.device)
    model.model.layers = model.model.layers[:layers]
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
# <!-- label: tune-two-layers -->
# ### 두 층으로 먼저
#
# 앞의 두 층만 남긴 작은 모델에서 셀로 직접 해 보고, `lib`의 것과 견줍니다. 이 모델은 글을 잘 모르지만 셈은 똑같습니다. 먼저 기울기를 두 길로 구합니다. 하나는 표 전체의 기울기에 0과 1을 곱한 것, 다른 하나는 표 밖의 행들로 곧장 구한 것입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: tune-two-layers -->
# ### Two layers first
#
# A small model, of which only the first two layers are left, serves to do it in our own cells and to compare with `lib`. It knows little of text, but the arithmetic is the same. First the gradient, in two ways: that of the whole table times 0 and 1, and that of rows outside of the table, straight away.

# %%
TABLE = "model.embed_tokens.weight"  # input and output
small = prepared("swapped", layers=2).requires_grad_(False)
new = torch.tensor(ids, device=cfg.device)


def table_of(model):
    return model.get_input_embeddings().weight


def loss_of(model, batch, tables=()):
    """Cross-entropy of the next token, with other tables where given."""
    inputs = {"input_ids": batch[:, :-1], "use_cache": False}
    logits = functional_call(model, dict(tables), kwargs=inputs).logits
    return F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())


def with_rows(model, rows):
    return {TABLE: table_of(model).index_copy(0, new, rows)}

# %% tags=["hide-input"]
def short(gap):
    return f"{gap:.1e}" if gap else "0"


def beside(name, ours, theirs):
    """The largest difference of the two, and the largest value."""
    gap = (ours - theirs).abs().max().item()
    record(f"diff_{name}", gap, text=short(gap))
    return pd.DataFrame(
        [[short(gap), f"{theirs.abs().max().item():.3g}"]], index=[name],
        columns=["largest difference", "largest value"])

# %%
batch = next(mixed(*sources["swapped"])).to(cfg.device)
E = table_of(small).requires_grad_(True)
loss_of(small, batch).backward()
kept = torch.zeros(len(E), 1, device=cfg.device)
kept[new] = 1
masked = E.grad * kept  # the others stand still
E.requires_grad_(False).grad = None

rows = E[new].clone().requires_grad_(True)
loss_of(small, batch, with_rows(small, rows)).backward()
beside("gradient", rows.grad, masked[new])

# %% [markdown] tags=["lang-ko"]
# 두 기울기의 최대 차이는 ⟨diff_gradient⟩입니다. 첫째 길에서 AdamW가 지녀야 할 평균은 수 ⟨table_numbers⟩개마다 둘이고, 둘째 길에서는 ⟨row_numbers⟩개마다 둘입니다. 이제 학습 루프입니다. 학습률은 곧게 올렸다가 코사인을 따라 10분의 1까지 내리고, 기울기는 크기가 1을 넘지 않게 자릅니다.
# %% [markdown] tags=["lang-en"]
# The two gradients differ by ⟨diff_gradient⟩ at most. The first way makes AdamW keep two averages for each of ⟨table_numbers⟩ numbers, the second for each of ⟨row_numbers⟩. Now the training loop. The learning rate goes up in a line and comes down along a cosine to a tenth; gradients are cut to a norm of 1.

# %%
def rates(steps, peak, warmup):
    """Up in a line, then half a cosine down to a tenth."""
    for step in range(steps):
        done = (step - warmup) / max(1, steps - warmup)
        down = 0.1 + 0.9 * (1 + math.cos(math.pi * done)) / 2
        yield peak * ((step + 1) / warmup if step < warmup else down)

# %%
def learn(rows, loss, rates, batches, additions=(), faster=1.0):
    """AdamW on these parts alone; the loss before each step."""
    adamw = torch.optim.AdamW(
        [{"params": rows}, {"params": [*additions]}],
        betas=(0.9, 0.95), weight_decay=0)
    for rate, batch in zip(rates, batches, strict=False):
        adamw.param_groups[0]["lr"] = faster * rate
        adamw.param_groups[1]["lr"] = rate
        adamw.zero_grad()
        value = loss(batch.to(cfg.device))
        value.backward()
        torch.nn.utils.clip_grad_norm_([*rows, *additions], 1.0)
        adamw.step()
        yield value.item()

# %% [markdown] tags=["lang-ko"]
# 같은 루프로 ⟨few⟩스텝을 두 번 학습시킵니다. 한 번은 우리 행을, 또 한 번은 라이브러리 `peft`의 행을 배웁니다. `lib.vocabulary.light`가 `peft`에 행과 곱을 맡기고, 블록이 끝나면 배운 것을 모델에 합칩니다.
# %% [markdown] tags=["lang-en"]
# The same loop trains ⟨few⟩ steps twice: once it learns our rows, once those of the library `peft`. `lib.vocabulary.light` hands rows and products to `peft`; at the end of the block what was learned is in the model.

# %%
from lib.vocabulary.light import light

few = min(4, cfg.steps)
warmup = min(5, few)
rows = E[new].clone().requires_grad_(True)
ours = [*learn([rows], lambda b: loss_of(small, b, with_rows(small, rows)),
               rates(few, rows_learning_rate, warmup),
               mixed(*sources["swapped"]))]

other_model = deepcopy(small)
with light(other_model, ids) as learner:  # no rank: rows alone
    learned = [p for p in learner.parameters() if p.requires_grad]
    theirs = [*learn(learned, lambda b: loss_of(learner, b),
                     rates(few, rows_learning_rate, warmup),
                     mixed(*sources["swapped"]))]
pd.concat([beside("loss", torch.tensor(ours), torch.tensor(theirs)),
           beside("rows", rows.detach(), table_of(other_model)[new])])

# %% tags=["remove-cell"]
record(few=few, table_numbers=E.numel(), row_numbers=rows.numel())

# %% [markdown] tags=["lang-ko"]
# 손실(loss)의 최대 차이는 ⟨diff_loss⟩, 배운 행의 최대 차이는 ⟨diff_rows⟩입니다. 둘 다 행을 곧장 옮기지만 `peft`는 입력과 출력에서 표를 따로 끼워 맞추므로 반올림이 다를 수 있습니다.
# %% [markdown] tags=["lang-en"]
# The losses differ by ⟨diff_loss⟩ at most, the learned rows by ⟨diff_rows⟩. Both move the rows themselves, but `peft` puts them into the table once for the input and once for the output, so the two may round differently.

# %% [markdown] tags=["lang-ko"]
# <!-- label: tune-light -->
# ## 나머지는 가볍게
#
# 둘째 단계에서는 나머지도 배웁니다. 그러나 모든 행렬을 그대로 배우게 하면 한 스텝이 비쌉니다. 행렬마다 기울기를 만들고 AdamW의 평균 둘을 지녀야 하기 때문입니다. 배운 것을 잊기도 쉽습니다. 그래서 행렬 $W$는 붙들어 두고, 랭크(rank)가 낮은 곱 하나를 더해 그것만 배웁니다(LoRA, Hu 등, 2021).
#
# $$y = xW + s\,xAB,\qquad A\in\mathbb R^{d\times r},\; B\in\mathbb R^{r\times d'}$$
#
# $r$이 랭크이고, $s$는 더하는 크기를 정하는 상수로 여기서는 2입니다. $B$를 0에서 시작하므로 처음에는 아무것도 달라지지 않습니다. 새 행은 이 단계에서도 빨리 배워야 합니다. Adam은 수 하나하나를 대략 학습률만큼 움직이므로, 행에는 $f$배의 학습률을 따로 줍니다. 다 배우면 곱과 행을 모두 모델에 합칩니다.
#
# 바꾸지 않은 모델은 첫 단계 없이 처음부터 둘째 단계로 배웁니다. 새 행이 없으니 한국어에 가장 많이 쓰는 토큰의 행을 같은 수만큼 배웁니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: tune-light -->
# ## The rest, lightly
#
# In the second phase the rest learns too. To train every matrix as it is would make a step expensive, with a gradient for each matrix and two averages of AdamW, and would make it easy to forget. So each matrix $W$ is held fixed, a product of low rank is added, and only that learns (LoRA, Hu et al., 2021).
#
# $$y = xW + s\,xAB,\qquad A\in\mathbb R^{d\times r},\; B\in\mathbb R^{r\times d'}$$
#
# $r$ is the rank, and $s$ a constant that sets the size of the addition, here 2. $B$ starts at 0, so nothing is different at first. The new rows have to learn fast in this phase as well. Adam moves each number by about its rate, so the rows get a rate of their own, $f$ times as large. At the end the products and the rows become part of the model.
#
# The untouched model skips the first phase and spends all its steps on the second; having no new rows, it learns as many rows of the tokens that Korean uses most.

# %%
class Thin(torch.nn.Module):
    """y = xW + s xAB, of which only A and B learn."""

    def __init__(self, matrix, draw, s=2.0):
        super().__init__()
        self.matrix, self.s = matrix, s
        d, out = matrix.in_features, matrix.out_features
        A = torch.randn(d, rank, generator=draw) / d**0.5
        self.A = torch.nn.Parameter(A.to(cfg.device))
        self.B = torch.nn.Parameter(A.new_zeros(rank, out).to(cfg.device))

    def forward(self, x):
        return self.matrix(x) + self.s * (x @ self.A @ self.B)

    def merged(self):
        self.matrix.weight += self.s * (self.A @ self.B).T
        return self.matrix

# %% [markdown] tags=["lang-ko"]
# 층 안의 행렬을 모두 이것으로 바꿉니다. 바꾼 직후의 로짓(logit)이 전과 같은지 봅니다.
# %% [markdown] tags=["lang-en"]
# Every matrix inside the layers is exchanged for one of these. Are the logits right after the exchange those of before?

# %%
def exchange(model, kind, change):
    """Put something else in the place of every module of a kind."""
    found = [name for name, module in model.model.named_modules()
             if isinstance(module, kind)]
    for name in found:
        there = model.model.get_submodule(name)
        model.model.set_submodule(name, change(there))


def thin(model):
    draw = torch.Generator().manual_seed(seed)
    exchange(model, torch.nn.Linear, lambda matrix: Thin(matrix, draw))
    return [p for p in model.parameters() if p.requires_grad]


mine = deepcopy(small)
plain = mine(batch).logits
added = thin(mine)
beside("start", mine(batch).logits.detach(), plain)

# %%
shares = {}
for name, module in mine.model.layers[0].named_modules():
    if isinstance(module, Thin):
        W, AB = module.matrix.weight, module.A.numel() + module.B.numel()
        shares[name.split(".")[-1]] = {
            "matrix": " × ".join(map(str, W.T.shape)),
            "numbers": f"{W.numel():,}", "added": f"{AB:,}",
            "share": f"{AB / W.numel():.1%}"}
pd.DataFrame(shares).T

# %% tags=["remove-cell"]
whole = sum(p.numel() for p in small.parameters())
layers = sum(p.numel() for p in small.model.layers.parameters())
numbers = sum(p.numel() for p in added)
record(added=numbers, in_layers=layers, added_share=f"{numbers / layers:.1%}",
       learning_numbers=numbers + rows.numel(),
       learning_share=f"{(numbers + rows.numel()) / whole:.1%}", whole=whole)

# %% [markdown] tags=["lang-ko"]
# 처음의 차이는 ⟨diff_start⟩입니다. 두 층에 있는 수 ⟨in_layers⟩개에 더한 것은 ⟨added⟩개(⟨added_share⟩)이고, 새 행까지 쳐서 학습하는 매개변수는 ⟨learning_numbers⟩개입니다. 작은 모델 전체의 ⟨learning_share⟩입니다. 행렬이 클수록 몫은 작습니다. $r(d+d')$과 $dd'$의 비이기 때문입니다.
#
# <!-- label: tune-phases -->
# ## 두 단계를 손으로
#
# 이제 모두 모아 두 단계를 씁니다. 첫 단계에는 새 행만, 둘째 단계에는 행과 곱이 배웁니다. 단계가 끝날 때마다 배운 것을 모델에 적어 넣습니다.
# %% [markdown] tags=["lang-en"]
# The difference at the start is ⟨diff_start⟩. To the ⟨in_layers⟩ numbers of the two layers ⟨added⟩ were added (⟨added_share⟩); with the new rows, ⟨learning_numbers⟩ parameters are trained, ⟨learning_share⟩ of the whole small model. The larger a matrix, the smaller the share, which is $r(d+d')$ against $dd'$.
#
# <!-- label: tune-phases -->
# ## Two phases by hand
#
# Now all of it together makes the two phases. In the first the new rows learn alone, in the second rows and products. After each phase what was learned is written into the model.

# %%
def phase(model, steps, warmup, peak, batches, additions=(), faster=1.0):
    """Rows learn, and additions; then the rows are written down."""
    E = table_of(model)
    rows = E[new].clone().requires_grad_(True)
    yield from learn(
        [rows], lambda b: loss_of(model, b, with_rows(model, rows)),
        rates(steps, peak, warmup), batches, additions, faster)
    E[new] = rows.detach()

# %%
mine, stream = deepcopy(small), mixed(*sources["swapped"])
by_hand = [*phase(mine, few, warmup, rows_learning_rate, stream)]
by_hand += phase(mine, few, max(1, few // 20), learning_rate, stream,
                 thin(mine), rows_learning_rate / learning_rate)
with torch.no_grad():
    apart = mine(batch).logits
    exchange(mine, Thin, Thin.merged)
    together = mine(batch).logits
beside("merged", together, apart)

# %% [markdown] tags=["lang-ko"]
# 곱을 행렬에 합친 뒤의 로짓은 합치기 전과 ⟨diff_merged⟩만큼 다릅니다. $x(W+sAB)$와 $xW+sxAB$는 식으로는 같고 반올림만 다릅니다. 합치고 나면 모델의 모양은 처음과 같습니다. 같은 일을 `lib`의 `fine_tune`에 시킵니다.
# %% [markdown] tags=["lang-en"]
# With the products merged into the matrices, logits differ from before by ⟨diff_merged⟩: $x(W+sAB)$ and $xW+sxAB$ are the same formula, rounded differently. Once merged, the model has its old shape. `fine_tune` of `lib` is asked for the same.

# %%
from lib.vocabulary.tune import fine_tune, phases

theirs, by_lib = deepcopy(small), []
plan = phases(rows_steps=few, steps=few, batch=cfg.batch, rank=rank,
              rate=learning_rate, rows_rate=rows_learning_rate, seed=seed)
fine_tune(theirs, ids, batches["swapped"], plan,
          on_step=lambda _, step: by_lib.append(step.loss.item()))
beside("phases", torch.tensor(by_hand), torch.tensor(by_lib))

# %%
ends = pd.DataFrame({
    "before training": measure(small, "swapped"),
    "after, by hand": measure(mine, "swapped"),
    "after, fine_tune": measure(theirs, "swapped")},
    index=["Korean", "English"])
ends.round(4)

# %% tags=["remove-cell"]
record(small_before=ends.loc["Korean", "before training"],
       small_after=ends.loc["Korean", "after, by hand"],
       hand_first=by_hand[0], uniform=math.log(len(table_of(mine))),
       hand_last=by_hand[-1],
       diff_ends=(ends["after, by hand"]
                  - ends["after, fine_tune"]).abs().max())

# %% tags=["hide-input"]
figure, axis = plt.subplots(figsize=(6.4, 3))
steps_taken = range(1, 2 * few + 1)
axis.plot(steps_taken, by_hand, color=COLOURS["attention"], label="by hand")
axis.plot(steps_taken, by_lib, "o", color=COLOURS["gravity"],
          mfc="none", label="fine_tune")
axis.axvline(few + 0.5, color=COLOURS["grey"], ls="--", lw=1)
axis.set(xlabel="step", ylabel="loss")
axis.legend()
show(figure, table=pd.DataFrame(
    {"by hand": by_hand, "fine_tune": by_lib}, index=steps_taken).round(4))

# %% [markdown] tags=["lang-ko", "caption"]
# 두 층 모델의 손실. 점선 왼쪽에서는 새 행만, 오른쪽에서는 행과 곱이 배웁니다.
# <!-- alt: 스텝마다의 손실을 이은 선과 그 위에 놓인 동그라미들. 동그라미는 모두 선 위에 있다. 가운데에 세로 점선이 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# The loss of the model of two layers. Left of the dashed line only the new rows learn, right of it rows and products.
# <!-- alt: A line of the loss at each step, with circles on it; all circles lie on the line. A dashed vertical line stands in the middle. -->

# %% [markdown] tags=["lang-ko"]
# 두 루프의 손실이 가장 크게 벌어진 스텝에서도 차이는 ⟨diff_phases⟩입니다. 배치마다 글이 다르니 손실은 오르내릴 수 있습니다. 손실은 첫 스텝에 ⟨hand_first⟩, 마지막 스텝에 ⟨hand_last⟩(이)었습니다. 모든 토큰을 고르게 찍을 때의 손실은 ⟨uniform⟩이니, 층을 잘라 낸 모델이 얼마나 서투른지 알 수 있습니다. 떼어 둔 한국어는 바이트당 ⟨small_before⟩비트에서 ⟨small_after⟩비트가 되었고, 두 모델의 차이는 ⟨diff_ends⟩비트입니다. 이제 온전한 모델로 갑니다.
# %% [markdown] tags=["lang-en"]
# Even where they are furthest apart, the losses of the two loops differ by ⟨diff_phases⟩. Each batch is other text, so a loss may go up and down. It was ⟨hand_first⟩ at the first step and ⟨hand_last⟩ at the last. Guessing every token alike costs ⟨uniform⟩, which shows how clumsy a model without its other layers is. The held-out Korean went from ⟨small_before⟩ bits per byte to ⟨small_after⟩, and the two models differ by ⟨diff_ends⟩ bits. On to the whole model.

# %% [markdown] tags=["lang-ko"]
# <!-- label: tune-halfway -->
# ## 재면서 학습하기
#
# 온전한 모델은 `fine_tune`으로 학습시키고, 처음과 중간과 끝에서 두 글의 바이트당 비트를 적습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: tune-halfway -->
# ## Measuring on the way
#
# The whole model is trained with `fine_tune`; the bits per byte of the two texts are noted at the start, halfway and at the end.

# %%
points = []  # (model, step, Korean, English)


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
            points.append((name, at, *measure(step.model, name)))

    fine_tune(model, learning[name], batches[name], plan, on_step=told)

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

# %% tags=["remove-cell"]
tables = [name for name, changed in moved.items() if changed]
record(moved_rows=sum(moved.values()), moved_tables=len(tables),
       n_new=len(ids), n_tables=len(moved))
del model, before

# %% [markdown] tags=["lang-ko"]
# 텐서 ⟨n_tables⟩개 가운데 ⟨moved_tables⟩개에서만, 그 안에서도 ⟨moved_rows⟩행만 달라졌습니다. 새 번호는 ⟨n_new⟩개입니다. 이 배치에 나오지 않은 조각의 행도 움직입니다. 출력에서는 나오지 않는 것도 배울 거리이기 때문입니다.
# %% [markdown] tags=["lang-en"]
# Of ⟨n_tables⟩ tensors ⟨moved_tables⟩ changed, and in it ⟨moved_rows⟩ rows; there are ⟨n_new⟩ new ids. Rows of pieces that this batch does not show move too: the output also learns from pieces that do not come.

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
tune("unswapped")
tune("swapped")
start_ko, start_en = points[0][2:]
curve = pd.DataFrame(points, columns=["model", "step", "Korean", "English"])
curve = curve.set_index(["model", "step"])
last = curve.xs(cfg.steps, level="step")
aligned = curve.loc[("swapped", 0)]

# %% tags=["remove-cell"]
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
wide = curve.round(3).unstack(0)
wide.columns = [f"{kind}, {name}" for kind, name in wide.columns]
show(figure, table=wide)

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
# <!-- label: tune-fair -->
# ## 각자 가장 나은 학습률에서
#
# 위의 두 모델은 학습률 한 벌로 한 번 배웠습니다. 공정하려면 모델마다 학습률을 고르고, 시드를 바꾸어 되풀이하고, 문서가 달랐으면 값이 얼마나 달랐을지도 말해야 합니다. `.venv/bin/python -m benchmarks.fair`가 그 일을 합니다. 학습률은 고르는 데만 쓰는 영화평에서 시드 하나로 고르고, 고른 학습률로 시드마다 학습시켜 다른 영화평에서 잽니다. 셋째 모델은 어휘를 바꾸되 바꾸지 않은 모델과 **같은 양의 글**만 읽습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: tune-fair -->
# ## Each at its best rate
#
# The two models above learned once, with one set of rates. To be fair, each model must have its rate chosen, the run repeated with other seeds, and something said of how much the value would be another with other documents. `.venv/bin/python -m benchmarks.fair` does this. Rates are chosen with one seed on reviews that serve for nothing else; at the chosen rate a model is trained with every seed and measured on other reviews. A third model is swapped too, but reads only **as much text** as the untouched one.

# %% tags=["hide-input"]
file = data.ROOT / "benchmarks/results/fair.jsonl"
used([file])
fair = pd.DataFrame([json.loads(line)
                     for line in file.read_text("utf-8").splitlines()])
arms = ["unswapped", "swapped", "swapped, equal text"]
grid = fair[fair["part"] == "grid"]
ends = grid[grid["last"].astype(bool)]
first = ends[ends["seed"] == ends["seed"].min()]
bests = first.loc[first.groupby(["model", "arm"])["choosing"].idxmin()]
bests = bests.set_index(["model", "arm"])["rate"]
at_best = ends[[bests[row.model, row.arm] == row.rate
                for row in ends.itertuples()]]
seeds = {name: set.intersection(*(
    {*part[part["arm"] == arm]["seed"]} for arm in arms))  # that all of them have
    for name, part in at_best.groupby("model")}
fair_model = max(seeds, key=lambda name: (min(len(seeds[name]), 3),
                                          name == "smollm2"))
at_best = at_best[(at_best["model"] == fair_model)
                  & at_best["seed"].isin(seeds[fair_model])]
runs = {arm: at_best[at_best["arm"] == arm].sort_values("seed") for arm in arms}
tried = first[first["model"] == fair_model].pivot(
    index="arm", columns="rate", values="choosing").loc[arms]
tried.round(3).rename_axis(index="model", columns="learning rate")

# %% [markdown] tags=["lang-ko"]
# 고르는 영화평의 바이트당 비트입니다. 줄마다 가장 작은 값의 학습률을 씁니다. 문서에 대한 95% 구간은 문서들에서 같은 수를 거듭 뽑아(한 문서가 여러 번 뽑혀도 됩니다) 다시 계산한 값들의 가운데 95%입니다.
# %% [markdown] tags=["lang-en"]
# Bits per byte of the reviews for choosing; each row takes the rate of its smallest value. A 95% interval over documents is the middle 95% of the values that come out when as many documents are drawn again and again, one of them possibly several times.

# %%
from lib.vocabulary.bits_per_byte import interval


def gap_of(arm, kind="domain"):
    """Against the untouched model: bits a byte, and the interval's ends."""
    nats = [torch.tensor([row[kind] for row in runs[name]["nats"]]).mean(0)
            for name in ("unswapped", arm)]
    sizes = runs[arm]["sizes"].iloc[0][kind]
    return interval((nats[1] - nats[0]).tolist(), sizes)


table = pd.DataFrame({
    arm: {kind: "{:+.3f} ({:+.3f} to {:+.3f})".format(*gap_of(arm, kind))
          for kind in ("domain", "prose", "code", "plays")}
    for arm in arms[1:]})
table.replace("-", "−", regex=True).rename_axis("kind")

# %% tags=["remove-cell"]
def signed(value):
    return f"{value:+.3f}".replace("-", "−")


seconds = {arm: runs[arm]["cpu_seconds"].mean() for arm in arms}
plain = runs["unswapped"].iloc[0]
uses = pd.concat([runs[arm] for arm in arms[1:2]])
share = 100 * uses["pieces_used"].sum() / uses["pieces_fit"].sum()
record(fair_model=fair_model, fair_seeds=len(seeds[fair_model]),
       fair_parameters=int(plain["parameters"]), fair_budget=int(plain["tokens"]),
       fair_documents=len(plain["sizes"]["domain"]),
       used_share=f"{share:.1f}%", places=int(uses["pieces_fit"].sum()),
       fair_ids=int(plain["pieces"]), read_tokens=int(runs["swapped"]["bytes"].iloc[0]),
       read_plain=int(plain["bytes"]))
others = [gap_of("swapped", kind)[0] for kind in ("prose", "code", "plays")]
record(others_low=signed(min(others)), others_high=signed(max(others)))
for name, arm in (("tokens", "swapped"), ("text", "swapped, equal text")):
    gap, low, high = gap_of(arm)
    side, sure = int(gap > 0), low * high > 0
    record(**{f"{name}_word_en": ("fewer", "more")[side]
              + ", within chance," * (not sure),
              f"{name}_word_ko": ("적게", "많이")[side]
              + ", 우연일 수 있는 만큼" * (not sure)})
    gap, low, high, size = map(signed, (gap, low, high, abs(gap)))
    record(**{f"{name}_gap": gap, f"{name}_low": low, f"{name}_high": high,
              f"{name}_size": size.lstrip("+"),
              f"{name}_time": f"{100 * seconds[arm] / seconds['unswapped']:.0f}%"})

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 3, figsize=(7.6, 3), sharey=True)
points = grid[(grid["model"] == fair_model)
              & grid["seed"].isin(seeds[fair_model])]
means = {}
for arm, colour in zip(arms, ("gravity", "attention", "tokens"), strict=True):
    part = points[(points["arm"] == arm)
                  & (points["rate"] == bests[fair_model, arm])]
    groups = part.groupby("step")[["tokens", "bytes", "cpu_seconds", "domain"]]
    mean, low, high = groups.mean(), groups.min(), groups.max()
    means[arm] = mean
    for axis, column in zip(axes, ("tokens", "bytes", "cpu_seconds"), strict=True):
        axis.plot(mean[column], mean["domain"], marker=".", label=arm,
                  color=COLOURS[colour])
        axis.fill_between(mean[column], low["domain"], high["domain"], alpha=0.2,
                          color=COLOURS[colour], linewidth=0)
for axis, label in zip(axes, ("tokens", "bytes of reviews read",
                              "seconds of the processor"), strict=True):
    axis.set(xlabel=label)
axes[0].set_ylabel("bits per byte")
figure.legend(*axes[0].get_legend_handles_labels(), ncols=3,
              loc="outside lower center")
show(figure, table=pd.concat(means, names=["model"]).reset_index().round(3))

# %% [markdown] tags=["lang-ko", "caption"]
# `⟨fair_model⟩` 모델의 영화평 ⟨fair_documents⟩편. 왼쪽부터 토큰 수, 읽은 글의 양, 프로세서 시간에 견준 바이트당 비트입니다. 선은 시드 ⟨fair_seeds⟩개의 평균이고 띠는 그 가운데 가장 작은 값에서 가장 큰 값까지입니다. 선의 가운데는 학습률이 높을 때이니 끝점만 결과로 보십시오.
# <!-- alt: 선 그래프 세 개. 세로축은 바이트당 비트이고 가로축은 토큰 수, 읽은 바이트, 초. 모델마다 선이 하나씩 있고 모두 오른쪽으로 갈수록 내려간다. -->
# %% [markdown] tags=["lang-en", "caption"]
# The model `⟨fair_model⟩` on ⟨fair_documents⟩ reviews: bits per byte against tokens, against text read, against processor time. Lines are means over ⟨fair_seeds⟩ seeds, bands reach from the smallest to the largest of them. In the middle of a line the learning rate is high; take its end as the result.
# <!-- alt: Three line plots of bits per byte, over tokens, over bytes read and over seconds; one line a model, and all of them fall to the right. -->

# %% [markdown] tags=["lang-ko"]
# 표는 바꾸지 않은 모델과의 차이이고, 첫 줄의 두 값이 이 장의 첫 문단에 있습니다. 같은 토큰으로 바꾼 모델은 영화평을 ⟨read_tokens⟩바이트, 바꾸지 않은 모델은 ⟨read_plain⟩바이트 읽었습니다. 구간은 문서가 달라질 때의 흔들림만 말하고, 모델과 글이 달라질 때의 것은 아닙니다. 새 번호는 ⟨fair_ids⟩개입니다.
#
# 바꾼 모델은 새 조각을 정말 쓸까요? 영화평의 첫 여섯 토큰을 주고 마흔 토큰씩 이어 쓰게 했습니다. 나온 글을 토크나이저(tokenizer)로 다시 자르면 새 조각이 들어맞는 자리가 ⟨places⟩곳이고, 모델은 그 가운데 ⟨used_share⟩에서 새 조각 하나를 썼습니다. 나머지 자리에서는 같은 글자를 옛 토큰 여럿으로 적었습니다.
# %% [markdown] tags=["lang-en"]
# The table has the differences from the untouched model; the two values in its first row are those of the chapter's first paragraph. With as many tokens the swapped model read ⟨read_tokens⟩ bytes of reviews and the untouched one ⟨read_plain⟩. The intervals tell how other documents would sway the result, not what another model or another text would do. There are ⟨fair_ids⟩ new ids.
#
# Does the swapped model use its new pieces? Given the first six tokens of reviews, it went on for forty tokens each. Where the tokenizer cuts that text again, a new piece fits in ⟨places⟩ places, and in ⟨used_share⟩ of them the model wrote that one piece; elsewhere it spelled the same letters with several old tokens.

# %% [markdown] tags=["lang-ko"]
# <!-- label: tune-distilled -->
# ### 토크나이저만 바꾸면
#
# 조각을 바꾸기 전에 BPE를 유니그램(Unigram)으로 옮기는 일에도 값이 듭니다. 유니그램이 BPE와 다르게 자르는 문서에서는 모델이 배운 적 없는 나누기를 읽기 때문입니다. 글마다 문서를 ⟨compared⟩편까지 두 토크나이저로 자르고, 다르게 잘린 문서의 비트를 견주었습니다. 이 유니그램은 [15장의 기록](15_tokenizer_distillation.ipynb#distill-published)에 있는 것으로, 글과 열한 언어의 낱말 목록에서 배우고 규칙을 갖추었습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: tune-distilled -->
# ### The tokenizer alone
#
# Before any piece is swapped, going from BPE to Unigram has its price too: where the Unigram cuts a document otherwise than the BPE, the model reads a cut that it never learned. Of each text up to ⟨compared⟩ documents were cut by both tokenizers, and the bits of those that differ compared. This Unigram is the one in [the record of chapter 15](15_tokenizer_distillation.ipynb#distill-published); it learned from text and word lists of eleven languages, and has its rules.

# %% tags=["hide-input"]
alone = fair[fair["part"] == "distilled"].set_index("kind").rename({
    "wikipedia_en": "English Wikipedia", "wikipedia_es": "Spanish Wikipedia",
    "wikipedia_fr": "French Wikipedia", "reviews": "Korean film reviews"})


def percent_of(row):
    """Per cent more bits, and the ends of a 95% interval over documents."""
    count, size = int(row["documents"]), row["bytes"] / row["documents"]
    unchanged = [0.0] * (count - len(row["more_bits"]))
    more = [bits * math.log(2) for bits in row["more_bits"]] + unchanged
    return [100 * bits / row["bits_per_byte"]
            for bits in interval(more, [size] * count)]


costs = {kind: percent_of(row) for kind, row in alone.iterrows()}
record(compared=int(alone["documents"].max()), aim="0.1%",
       alone_low=f"{min(c[0] for c in costs.values()):.2f}%".replace("-", "−"),
       alone_high=f"{max(c[0] for c in costs.values()):.2f}%".replace("-", "−"),
       within=sum(c[0] <= 0.1 for c in costs.values()), texts=len(costs))
pd.DataFrame({kind: {
    "documents": int(alone.loc[kind, "documents"]),
    "cut otherwise": int(alone.loc[kind, "differ"]),
    "bits per byte, BPE": f"{alone.loc[kind, 'bits_per_byte']:.3f}",
    "more bits, %": "{:+.3f} ({:+.3f} to {:+.3f})".format(*cost)}
    for kind, cost in costs.items()}).T.replace("-", "−", regex=True)

# %% [markdown] tags=["lang-ko"]
# 글 ⟨texts⟩가지에서 SmolLM2의 비트는 가장 적게 ⟨alone_low⟩, 가장 많이 ⟨alone_high⟩ 늘었습니다. 목표는 어느 글에서나 ⟨aim⟩ 이하이고, ⟨within⟩가지가 거기에 듭니다. 괄호 안은 문서에 대한 95% 구간입니다. 바이트당 비트는 문서 가운데 몇십 편으로 쟀습니다.
# %% [markdown] tags=["lang-en"]
# On ⟨texts⟩ texts the bits of SmolLM2 grew by ⟨alone_low⟩ at the least and ⟨alone_high⟩ at the most. The aim is ⟨aim⟩ or less on every text, and ⟨within⟩ of them keep it. In brackets are 95% intervals over documents. The bits per byte come from a few dozen of the documents.

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
ends.rename_axis("model")

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
# The columns of this table are budgets in tokens. For each, a model was trained from the beginning, and this is its last value; the first column is before training. An empty cell was not run; `zeros` alone has no value because its gradient overflowed in the first step.

# %% tags=["hide-input"]
ended = every[every["last"].astype(bool)].pivot(
    index="name", columns="budget", values="domain")
gaps = ended.drop("unswapped").min() - ended.loc["unswapped"]
record(small_budget=int(gaps.index[0]), small_gap=f"{gaps.iloc[0]:.2f}",
       small_signed=signed(gaps.iloc[0]),
       large_gap=f"{gaps.iloc[-1]:+.3f}".replace("-", "−"))
told = pd.concat(
    [every[every["step"] == 0].groupby("name")["domain"].first(), ended], axis=1)
told.columns = ["before training", *(f"{n:,.0f}" for n in ended)]
told.sort_values(told.columns[1]).map(
    lambda bits: "" if pd.isna(bits) else f"{bits:.3f}").rename_axis("model")

# %% [markdown] tags=["lang-ko"]
# 예산이 ⟨small_budget⟩토큰이면 바꾼 쪽의 가장 나은 방법도 ⟨small_gap⟩비트 뒤처집니다. 예산이 커질수록 차이는 줄어, 가장 큰 예산에서 ⟨large_gap⟩비트입니다(음수이면 바꾼 쪽이 낫습니다). 첫 행을 잘 만든 방법은 대체로 학습한 뒤에도 앞서 있습니다. 시드(seed)는 하나입니다.
# %% [markdown] tags=["lang-en"]
# With ⟨small_budget⟩ tokens even the best strategy is ⟨small_gap⟩ bits behind. The larger the budget, the smaller the difference: ⟨large_gap⟩ bits for the largest (below zero, the swap is better). By and large, strategies that make better first rows are still ahead after training. There is one seed.

# %% [markdown] tags=["lang-ko"]
# <!-- label: tune-gpu -->
# ### GPU에서
#
# `.venv/bin/python -m benchmarks.on_gpu`는 같은 두 모델을 GPU 하나에서 스텝을 늘려 가며 다시 학습합니다. 학습률(learning rate)은 둘 가운데 고르는 글에서 나은 것이고, 시드는 하나입니다. 아래는 영화평의 바이트당 비트입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: tune-gpu -->
# ### On a GPU
#
# `.venv/bin/python -m benchmarks.on_gpu` trains the same two models on one GPU again, with more and more steps. Of two learning rates each has the one that is better on the text for choosing; there is one seed. Below are the bits per byte of film reviews.

# %% tags=["hide-input"]
from lib.page.gpu import GPU_RESULTS, gpu_table

gpu_table(["tuning"], "arm", "steps", "domain", write="{:.3f}".format)

# %% tags=["remove-cell"]
used([GPU_RESULTS])

# %% [markdown] tags=["lang-ko"]
# <!-- label: tune-processes -->
# ## 두 프로세스, 같은 손실
#
# 단계 `train`도 새 행을 먼저, 그다음 모두를 배웁니다. 둘째 단계에서는 모델의 모든 수를 배우고, `lora_rank`를 주면 얇은 곱만 배웁니다. 바꾸지 않은 모델도 같은 글로 학습시켜 견줍니다. 여러 프로세스에서도 돌릴 수 있습니다.
#
# ```sh
# ./setup_and_run.sh run train
# .venv/bin/accelerate launch --multi_gpu --num_processes 2 -m lib.workbench.ivr train
# ```
#
# 카드 하나에 다 들어가지 않는 모델은 `accelerate config`에서 FSDP(`fsdp_version: 2`)를 고르고 `accelerate launch -m lib.workbench.ivr train`으로 학습시킵니다. 프로세스마다 매개변수, 기울기, AdamW의 평균을 한 부분씩만 지닙니다. 메모리를 더 아끼려면 `gradient_checkpointing=True`로 순전파의 중간값을 버리고 다시 계산하게 하고, `mixed_precision=bf16`을 씁니다.
#
# 배치 하나를 프로세스들이 나누어 맡고, 손실(loss)은 **합과 토큰 수**로 따로 모읍니다. 프로세스마다 평균을 낸 다음 그 평균들을 평균하면, 토큰이 적은 쪽이 너무 크게 셉니다([연습 2](#tune-exercise-mean)). 결과는 `artifacts/training/`에 놓이고 `AutoModelForCausalLM`과 `AutoTokenizer`로 열립니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: tune-processes -->
# ## Two processes, the same loss
#
# The stage `train` also learns the new rows first and then everything: in its second phase all numbers of the model, or with `lora_rank` thin products alone. It tunes the untouched model on the same text as well, to compare. It runs on several processes too.
#
# ```sh
# ./setup_and_run.sh run train
# .venv/bin/accelerate launch --multi_gpu --num_processes 2 -m lib.workbench.ivr train
# ```
#
# A model that outgrows one card is trained with FSDP: choose it (`fsdp_version: 2`) in `accelerate config`, then `accelerate launch -m lib.workbench.ivr train`. Each process then holds a part only of the parameters, of the gradients and of AdamW's averages. To save more memory, `gradient_checkpointing=True` drops values of the forward pass and computes them again, and there is `mixed_precision=bf16`.
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
# 시드(seed) 하나, 학습률 한 벌, 몇 쪽 안 되는 글에서 잰 값입니다. 두 모델의 학습률을 따로 고르지 않았으니 어느 쪽에도 가장 좋은 값은 아닐 수 있습니다. 따로 고른 것은 [각자 가장 나은 학습률에서](#tune-fair)에 있습니다. 이 모델은 한국어를 거의 배우지 않았습니다. 한국어를 잘하는 모델이라면 옛 어휘로 쌓은 앎이 더 크므로 따라잡는 데 더 오래 걸릴 것입니다. 이것은 재지 않았습니다.
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
# One seed, one set of learning rates, a few pages of text. The rate was not chosen for each model by itself, so it may be the best for neither; for that see [each at its best rate](#tune-fair). This model learned hardly any Korean. One that knows the language well has more to lose with its old vocabulary and would take longer to catch up; that was not measured.

# %% tags=["remove-input"]
import transformers


def both_titles(name):
    return f"{data.describe(name, 'ko')} | {data.describe(name)}"


pd.DataFrame([
    ["모델 | Model", both_titles("smollm2")],
    ["한국어 | Korean", both_titles("korean")],
    ["영어 | English", both_titles("wikitext2_valid")],
    ["되새긴 글 | Replayed", both_titles("wikitext2_valid")],
    ["층 | Layers", cfg.layers],
    ["스텝 × 창 × 토큰 | Steps × windows × tokens",
     f"{cfg.steps} × {cfg.batch} × {cfg.context}"],
    ["장치 | Device", str(cfg.device)],
    ["torch, transformers",
     f"{torch.__version__}, {transformers.__version__}"],
    ["프로필 | Profile", cfg.profile],
], columns=["재료 | made with", "이 실행 | this run"]).set_index(
    "재료 | made with")
