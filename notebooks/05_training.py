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
# <!-- label: training -->
# # 학습: 날짜와 수를 옮기도록 가르치기
#
# 앞 장에서 조립한 트랜스포머(Transformer)는 아직 아무것도 모릅니다. 이 장에서는 그 모델에게 날짜와 수를 영어와 한국어 사이에서 옮기는 법을 가르칩니다. 과제는 작지만 답이 딱 떨어지고, 낱말의 순서가 바뀌며, 문제를 끝없이 만들 수 있습니다. 그래서 무엇을 배웠고 무엇을 아직 틀리는지 끝까지 따져 볼 수 있습니다.
#
# - **할 수 있게 되는 것.** 학습이라는 반복문의 모든 줄을 설명하고, 손실(loss)과 학습률(learning rate)과 기울기(gradient)를 그림에서 읽고, 배운 모델의 크로스 어텐션(cross-attention)이 날짜의 순서를 어떻게 뒤집는지 스텝을 옮겨 가며 볼 수 있습니다.
# - **걸리는 시간.** 읽기 50분, 연습 문제 55분. 모델을 학습하는 데에는 이 실행에서 ⟨minutes⟩분이 걸렸습니다.
# - **필요한 것.** [인코더(encoder)와 디코더(decoder)](04_encoder_decoder.ipynb)의 모델, 로그와 미분, 파이썬과 파이토치 조금.
#
# 다 배운 모델은 처음 보는 날짜의 ⟨exact_dates⟩, 처음 보는 수의 ⟨exact_numbers⟩을(를) 한 글자도 틀리지 않고 옮깁니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: training -->
# # Training: teaching a model dates and numbers
#
# The Transformer that the last chapter assembled knows nothing yet. Here we teach it to carry dates and numbers between English and Korean. The task is small, but its answers are right or wrong to the letter, the words change their order, and examples never run out. So we can follow to the end what was learned and what still goes wrong.
#
# - **You will be able to** explain every line of the loop that is called training; read loss, learning rate and gradients from a figure; step through training and watch the cross-attention of a model learn to turn a date around.
# - **Time.** 50 minutes to read, 55 for the exercises. Training the model took ⟨minutes⟩ minutes in this run.
# - **You need** the model of [encoder and decoder](04_encoder_decoder.ipynb), logarithms and derivatives, a little Python and PyTorch.
#
# Once trained, it translates ⟨exact_dates⟩ of the dates and ⟨exact_numbers⟩ of the numbers that it has never seen, right to the last letter.

# %% tags=["parameters"]
profile: str = None  # smoke, book or gpu; None follows BOOK_PROFILE, else book
day = "1926-03-05"  # the date that the attention maps show, 1900 to 2099
d_model: int = None  # width; None leaves the choice to the profile
n_layers: int = None  # of the encoder and of the decoder; None: the profile
n_heads: int = None  # None: the profile
steps: int = None  # updates; None: the profile
batch: int = None  # pairs in an update; None: the profile
learning_rate: float = None  # at its peak; None: the profile
warmup: int = None  # steps until the peak; None: the profile
schedule = "cosine"  # cosine, noam or constant
smoothing = 0.1  # 0 to 1: ε of the label smoothing
precision = "no"  # no, bf16 or fp16
tests: int = None  # unseen values of each kind; None: the profile
trial_steps: int = None  # updates of each comparison; None: the profile
seed = 0  # of the weights and of the batches
device = "cpu"  # cpu, cuda or auto; float64 needs cpu or cuda

# %% tags=["hide-input"]
import copy
import datetime
import math
import re
import time
from dataclasses import replace

import pandas as pd
import torch
import torch.nn.functional as F

from lib.attention import translation as task
from lib.attention.transformer import Transformer, TransformerConfig
from lib.page.figures import COLOURS, show, use_style
from lib.page.profile import expect, settings
from lib.page.record import record
from lib.training.loop import Recipe, fit, token_loss
from lib.training.loop import learning_rate as rate_of

# %% tags=["hide-input"]
use_style()
pd.set_option("display.max_colwidth", None)

# %% tags=["hide-input"]
options = ("d_model", "n_layers", "n_heads", "steps", "batch",
           "learning_rate", "warmup", "tests", "trial_steps")
quick = (32, 2, 4, 40, 32, 4e-3, 10, 40, 12)
full = (64, 2, 4, 2400, 128, 4e-3, 100, 1000, 300)
large = (256, 4, 8, 8000, 256, 1e-3, 800, 1000, 2000)
values = (d_model, n_layers, n_heads, steps, batch,
          learning_rate, warmup, tests, trial_steps)
expect(str, day=day, schedule=schedule, precision=precision)
expect(float, smoothing=smoothing)
expect(int, seed=seed)
cfg = settings(profile, device=device, seed=seed, **{
    name: dict(zip(options, column, strict=True))
    for name, column in (("smoke", quick), ("book", full),
                         ("gpu", large), ("given", values))})

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-live -->
# ## 먼저 만져 보기
#
# 무엇을 만들게 되는지부터 만져 보십시오. 아래의 번역기는 이 장이 학습하는 바로 그 모델입니다. 매개변수(parameter) ⟨parameters⟩개가 이 페이지 안에서 돌아가며, 쓴 글은 어디로도 나가지 않습니다. 날짜나 수를 두 언어 가운데 하나로 쓰고, 답을 토큰(token) 하나씩 되짚어 보십시오.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-live -->
# ## Touch it first
#
# Begin by touching what will be made. The translator below is the very model that this chapter trains: ⟨parameters⟩ parameters at work inside this page, and what you write goes nowhere. Write a date or a number in either language, and go through the answer one token at a time.

# %% tags=["remove-input"]
from lib.page.live import waiting

waiting("translator")

# %% [markdown] tags=["lang-ko", "caption"]
# 이 장이 학습하는 번역기. 위의 글을 읽고 아래의 답을 한 토큰씩 씁니다. 선은 크로스 어텐션이고 가중치가 클수록 굵고 진합니다. 헤드(head)와 층을 끄고, 학습의 앞선 때로 돌아가고, 텐서를 하나씩 열 수 있습니다. 가중치는 16비트로 줄여 실었습니다.
# <!-- alt: 영어 날짜의 토큰이 위에, 한국어 답의 토큰이 아래에 한 줄씩 놓여 있고, 그 사이를 굵기와 진하기가 다른 선이 잇는다. 해의 네 숫자에서 나온 굵은 선들이 오른쪽 위의 해로 나란히 올라가고, 월에서 나온 선은 맨 왼쪽의 달 이름으로 간다. -->
# %% [markdown] tags=["lang-en", "caption"]
# The translator that this chapter trains. It reads the text above and writes the answer below, one token at a time. The lines are its cross-attention, the wider and stronger the more weight. Heads and layers can be switched off, the training taken back, and every tensor opened. The weights are rounded to 16 bits.
# <!-- alt: The tokens of an English date in a row above, those of the Korean answer in a row below, joined by lines of different width and strength. From the four digits of the year wide lines go up side by side to the year at the upper right; the line from the month goes to its name at the far left. -->

# %% [markdown] tags=["lang-ko"]
# 세 가지를 해 보고 본 것을 기억해 두십시오. 디코더의 헤드를 하나 끄고, 그다음에는 층을 통째로 꺼 봅니다. 학습 스텝을 앞으로 되돌려 봅니다. 12,345에서 쉼표를 빼 봅니다. 무슨 일이 왜 일어나는지는 이 장이 차례로 설명합니다.
# %% [markdown] tags=["lang-en"]
# Try three things, and keep in mind what you see. Switch off a head of the decoder, and then a whole layer. Take the training back to an early step. Leave out the comma of 12,345. What happens and why, this chapter explains in turn.

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-task -->
# ## 과제: 날짜와 수
#
# 방향은 네 가지입니다. 날짜와 수를 각각 영어에서 한국어로, 한국어에서 영어로 옮깁니다. 어느 방향인지는 따로 알려 주지 않습니다. 넣는 글을 보면 알 수 있기 때문입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-task -->
# ## The task: dates and numbers
#
# There are four directions: dates and numbers, each from English to Korean and back. Nobody tells the model which one is wanted; what goes in says it.

# %%
generator = torch.Generator().manual_seed(seed)
drawn = task.sample(400, generator)
examples = {}
for pair in drawn:  # the longest of each direction
    best = examples.get(pair.direction, pair)
    examples[pair.direction] = max(best, pair, key=lambda p: len(p.source))
examples = [examples[direction] for direction in sorted(examples)]
pd.DataFrame(
    {"goes in": [pair.source for pair in examples],
     "should come out": [pair.target for pair in examples]},
    index=[pair.direction for pair in examples])

# %% tags=["remove-input"]
record(n_days=(task.LAST_DAY - task.FIRST_DAY).days + 1,
       n_numbers=task.MAX_NUMBER)

# %% [markdown] tags=["lang-ko"]
# 쉬워 보이지만 규칙이 숨어 있습니다.
#
# - **순서.** 영어의 날짜는 달, 날, 해의 순서이고 한국어의 날짜는 해, 월, 일의 순서입니다. 영어 쪽에는 달 이름을 줄여 쓰거나 날을 앞에 쓴 것도 섞여 있습니다. 나올 때에는 한 가지로만 나와야 합니다.
# - **묶음.** 영어는 세 자리마다 쉼표를 찍고 한국어는 네 자리마다 만(萬) 단위로 띄어 씁니다. 그래서 한쪽의 경계는 다른 쪽의 경계가 아닙니다.
# - **소리 나지 않는 것.** 0은 읽지 않습니다. 십, 백, 천 앞의 일도 읽지 않고, 만이 맨 앞에 홀로 올 때에도 그렇습니다. 한국어에서 영어로 갈 때에는 읽지 않은 0을 제자리에 채워 넣어야 합니다.
#
# 날짜는 200년 동안의 ⟨n_days⟩일에서, 수는 1부터 ⟨n_numbers⟩까지에서 뽑습니다. 수는 자릿수를 먼저 고르게 뽑으므로 짧은 수도 자주 나옵니다. 억부터는 새 단위가 나오므로 그 바로 앞에서 멈췄습니다.
#
# 값 열 개 가운데 하나꼴로는 **따로 떼어 둡니다**. 어느 값을 뗄지는 값의 해시가 정하므로 한 값의 두 방향이 늘 같은 쪽에 있습니다. 뗀 값은 학습하는 동안 한 번도 나오지 않습니다.
# %% [markdown] tags=["lang-en"]
# It looks easy, and has hidden rules.
#
# - **Order.** English dates go month, day, year; Korean ones year, month, day. On the English side some months are shortened and some days stand in front. What comes out must always be written in one way.
# - **Groups.** English puts a comma every three digits, Korean a space every four, at 만 (ten thousand). A border in one language is no border in the other.
# - **What is silent.** A 0 is not read. Neither is the 일 (one) before 십, 백 and 천, nor before a 만 that leads alone. On the way to English, each silent 0 must be put back in its place.
#
# Dates are drawn from the ⟨n_days⟩ days of 200 years, numbers from 1 to ⟨n_numbers⟩. The number of digits is drawn first, evenly, so that short numbers are common too. At the next number a new unit, 억, would begin, so we stop before it.
#
# About one value in ten is **set aside**. A hash of the value decides which, so both directions of a value are always on the same side. What was set aside never appears in training.

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-tokens -->
# ### 토큰과 배치
#
# 토크나이저(tokenizer)는 이 과제의 글로 학습한 것입니다. 숫자, 한글 음절, 빈칸은 저마다 토큰(token) 하나이고, 로마자는 달 이름까지 이어 붙습니다. 어휘(vocabulary)의 크기는 많아야 1000이라고 했지만, 이 작은 언어에는 이어 붙일 것이 더 없어서 ⟨vocab⟩에서 멈췄습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-tokens -->
# ### Tokens and batches
#
# The tokenizer was trained on text of this task. A digit, a Hangul syllable and a space are one token each, and letters merge up to the name of a month. We allowed a vocabulary of at most 1000; in so small a language nothing more is left to merge, and it stopped at ⟨vocab⟩.

# %%
tokenizer = task.build_tokenizer(vocab_size=1000)  # an upper bound
vocab = tokenizer.get_vocab_size()


def pieces(text):
    tokens = tokenizer.encode(text).tokens
    return ["␣" if token == " " else token for token in tokens]


pd.DataFrame(
    {"tokens": [len(pieces(pair.source)) for pair in examples],
     "pieces": [" ".join(pieces(pair.source)) for pair in examples]},
    index=[pair.direction for pair in examples])

# %% tags=["remove-cell"]
record(vocab=vocab)

# %% [markdown] tags=["lang-ko"]
# 배치(batch)를 만들려면 길이를 맞추어야 합니다. 짧은 글의 뒤를 채우는 것이 패딩(padding)이고, 채운 자리의 계산은 버려집니다. 그래서 여러 배치에 들어갈 글을 한꺼번에 뽑아 길이순으로 늘어놓고 자릅니다. 글은 그대로이고 버리는 계산만 줄어듭니다.
# %% [markdown] tags=["lang-en"]
# The texts of a batch must have one length. What fills up the short ones is padding, and whatever is computed there is thrown away. So we draw the texts of several batches at once, lay them out by length, and cut. The texts are the same; only the waste is less.

# %%
def supply(pool=16, kinds=task.KINDS, size=cfg.batch):
    generator = torch.Generator().manual_seed(seed)
    return task.batches(tokenizer, size, generator, kinds, pool)


def padding_share(source, count=32):
    drawn = [next(source) for _ in range(count)]
    cells = torch.cat([ids.flatten() for b in drawn for ids in b.values()])
    return (cells == task.PAD).float().mean().item()


shares = [padding_share(supply(pool=1)), padding_share(supply())]
pd.DataFrame({"share of padding": [f"{s:.1%}" for s in shares]},
             index=["as drawn", "by length"])

# %% tags=["remove-cell"]
for name, share in zip(("pad_random", "pad_sorted"), shares, strict=True):
    record(name, share, text=f"{share:.0%}")

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-teacher -->
# ## 교사 강요: 정답을 읽으며 다음을 맞히기
#
# 디코더는 토큰을 하나씩 씁니다. 그런데 학습할 때에는 쓰게 하지 않습니다. 정답을 통째로 보여 주되 자리마다 **바로 다음 토큰**을 맞히게 합니다. 디코더가 앞에서 무엇이라고 했든 늘 옳은 앞부분을 읽으므로, 이것을 **교사 강요**(teacher forcing)라고 합니다. 인과 마스크(causal mask)가 뒤를 가려 주므로 모든 자리를 한 번에 계산할 수 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-teacher -->
# ## Teacher forcing: read the answer, say what comes next
#
# A decoder writes one token at a time. In training it does not write. It is shown the whole answer and must say, at each position, **the token that comes next**. Whatever it would have said before, it reads a right beginning: this is **teacher forcing**. The causal mask hides what follows, so all positions are computed at once.

# %%
one = task.make_pair("number", 12_345, korean=True)
target = task.collate([one], tokenizer)["target"]
reads, says = target[:, :-1], target[:, 1:]
names = [[tokenizer.id_to_token(i) for i in row[0]]
         for row in (reads.tolist(), says.tolist())]
pd.DataFrame(names, index=["it reads", "it should say"]).replace(" ", "␣")

# %% [markdown] tags=["lang-ko"]
# `<bos>`는 읽기만 하고 `<eos>`는 말하기만 합니다. 언제 멈출지도 배워야 하기 때문입니다. 모델은 논문의 트랜스포머를 작게 줄인 것입니다. 인코더와 디코더가 각각 ⟨n_layers⟩층이고, 헤드(head)는 ⟨n_heads⟩개, 폭은 ⟨d_model⟩, 매개변수(parameter)는 ⟨parameters⟩개입니다. 논문과 다른 곳이 둘 있습니다. 층 정규화(layer normalization)를 더하기 전에 하고, 드롭아웃을 쓰지 않습니다. 앞의 것은 [뒤에서 견주어 봅니다](#train-trials). 뒤의 것은 문제를 그때그때 새로 뽑기 때문입니다. 그래도 모두 처음 보는 문제는 아닙니다. 짧은 수와 날짜는 거듭 뽑히므로, 학습하는 동안 뽑는 ⟨pairs_seen⟩쌍 가운데 ⟨repeats⟩은(는) 앞에 나온 것과 똑같습니다(수만 보면 ⟨repeats_number⟩, 날짜만 보면 ⟨repeats_date⟩). 외운 것인지는 떼어 둔 값으로 가립니다.
# %% [markdown] tags=["lang-en"]
# `<bos>` is only read and `<eos>` only said: when to stop must be learned too. The model is the Transformer of the paper, made small: encoder and decoder of ⟨n_layers⟩ layers each, ⟨n_heads⟩ heads, a width of ⟨d_model⟩, ⟨parameters⟩ parameters. It departs from the paper in two places: layer normalization comes before adding, and there is no dropout. The first we [compare below](#train-trials); the second is because examples are drawn anew as they are needed. That does not make all of them new: short numbers and dates are drawn again and again, and of the ⟨pairs_seen⟩ pairs drawn in training ⟨repeats⟩ repeat an earlier one exactly (⟨repeats_number⟩ of the numbers, ⟨repeats_date⟩ of the dates). Whether the model learned them by heart is for the values set aside to tell.

# %%
config = TransformerConfig(
    vocab=vocab, d_model=cfg.d_model, n_heads=cfg.n_heads,
    n_layers=cfg.n_layers, max_length=24, dropout=0.0, norm_first=True)


def new_model(**changes):
    torch.manual_seed(seed)
    return Transformer(replace(config, **changes)).to(cfg.device)


def to_device(batch):
    return {name: ids.to(cfg.device) for name, ids in batch.items()}


model = new_model()

# %% tags=["remove-cell"]
record(parameters=sum(p.numel() for p in model.parameters()),
       d_model=cfg.d_model, n_heads=cfg.n_heads, n_layers=cfg.n_layers)

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-loss -->
# ## 손실: 얼마나 놀랐는가
#
# 자리 $t$에서 모델은 어휘의 모든 토큰에 확률 $p_t$를 매깁니다. 옳은 토큰 $y_t$를 보고 놀란 정도 $-\ln p_t(y_t)$를 모든 자리에서 평균한 것이 교차 엔트로피(cross-entropy)입니다. 논문은 여기에 **레이블 스무딩**(label smoothing)을 더합니다. 옳은 토큰에 1을 다 걸지 않고 $\varepsilon$만큼을 떼어 어휘 전체에 고르게 나눕니다.
#
# $$L = \frac{1}{N} \sum_{t} \Big[ -(1-\varepsilon) \ln p_t(y_t) - \frac{\varepsilon}{V} \sum_{v=1}^{V} \ln p_t(v) \Big]$$
#
# $N$은 패딩이 아닌 토큰의 수, $V$는 어휘의 크기입니다. 패딩은 맞힐 것이 아니므로 더하지도 세지도 않습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-loss -->
# ## The loss: how surprised it was
#
# At position $t$ the model gives every token of the vocabulary a probability $p_t$. Its surprise at the right token $y_t$, $-\ln p_t(y_t)$, averaged over all positions, is the cross-entropy. The paper adds **label smoothing**: it does not stake all of 1 on the right token, but takes away $\varepsilon$ and spreads it evenly over the vocabulary.
#
# $$L = \frac{1}{N} \sum_{t} \Big[ -(1-\varepsilon) \ln p_t(y_t) - \frac{\varepsilon}{V} \sum_{v=1}^{V} \ln p_t(v) \Big]$$
#
# $N$ is the number of tokens that are no padding, $V$ the size of the vocabulary. Padding is nothing to predict, so it is neither added nor counted.

# %%
def translation_loss(model, batch, eps=smoothing):
    logits = model(batch["source"], batch["target"][:, :-1])
    labels = batch["target"][:, 1:]
    return token_loss(logits, labels, ignore=task.PAD, smoothing=eps)


first = to_device(next(supply()))
with torch.no_grad():
    logits = model(first["source"], first["target"][:, :-1])
    labels = first["target"][:, 1:]
    surprise = -logits.log_softmax(-1)  # batch, seq, vocab
    right = surprise.gather(-1, labels[..., None])[..., 0]
    each = (1 - smoothing) * right + smoothing * surprise.mean(-1)
    by_hand = each[labels != task.PAD].mean().item()
    total, tokens = translation_loss(model, first)
    by_lib = (total / tokens).item()

# %% tags=["hide-input"]
rest, top = smoothing / vocab, 1 - smoothing + smoothing / vocab
floor = 0.0
if smoothing:
    floor = -top * math.log(top) - (vocab - 1) * rest * math.log(rest)
record(loss_start=by_hand, loss_gap=abs(by_hand - by_lib),
       loss_even=math.log(vocab), loss_floor=floor)
pd.DataFrame(
    {"loss (nats)": [by_hand, by_lib, math.log(vocab), floor]},
    index=["by the formula", "token_loss", "an even guess, ln V",
           "floor"]).round(4)

# %% [markdown] tags=["lang-ko"]
# 식대로 계산한 것과 `token_loss`의 차이는 ⟨loss_gap⟩입니다. 배우기 전의 모델은 ⟨loss_start⟩내트만큼 놀랍니다. 모든 토큰을 고르게 찍을 때의 ⟨loss_even⟩보다도 큽니다. 아무것도 모르면서 몇몇 토큰을 더 믿기 때문입니다.
#
# 바닥에 주목하십시오. 레이블 스무딩을 쓰면 손실은 0이 되지 않습니다. 가장 잘 맞힌 모델은 흐려 놓은 목표와 똑같은 분포를 내놓는 모델이고, 그때의 손실은 그 분포의 엔트로피인 ⟨loss_floor⟩내트입니다. 학습 곡선을 읽을 때 이 선까지 내려왔는지를 보아야 합니다.
# %% [markdown] tags=["lang-en"]
# The formula and `token_loss` differ by ⟨loss_gap⟩. Before it has learned anything, the model is surprised by ⟨loss_start⟩ nats. That is even more than the ⟨loss_even⟩ of guessing all tokens alike: it knows nothing, and still trusts some tokens more than others.
#
# Mind the floor. With label smoothing the loss does not go to 0. The best a model can do is to give exactly the softened distribution, and then its loss is the entropy of that distribution, ⟨loss_floor⟩ nats. On a learning curve, this is the line to look for.

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-loop -->
# ## 반복문의 모든 줄
#
# 학습은 이 여섯 줄을 되풀이하는 것입니다. 배치를 하나 받아 손실을 구하고, 모든 매개변수의 기울기를 거꾸로 구하고, 기울기가 너무 길면 자르고, 그 방향으로 한 걸음 내디딥니다. `lib.training.loop.fit`도 같은 일을 하되 여러 프로세스, 혼합 정밀도(mixed precision), 저장, 이어 하기를 함께 맡습니다. 정말 같은지는 다섯 스텝씩 돌려 보면 압니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-loop -->
# ## Every line of the loop
#
# Training repeats these six lines: take a batch and compute the loss, go back through it for the gradients of all parameters, cut the gradients if they are too long, and step in their direction. `lib.training.loop.fit` does the same and also sees to several processes, mixed precision, checkpoints and resuming. Whether it really is the same, five steps of each will tell.

# %%
recipe = Recipe(
    steps=cfg.steps, batch=cfg.batch, learning_rate=cfg.learning_rate,
    schedule=schedule, warmup=cfg.warmup, final_share=0.05,
    betas=(0.9, 0.98), weight_decay=0.0, clip=1.0, precision=precision,
    seed=seed, evaluations=40)


def loop(model, source, recipe):
    optimizer = torch.optim.AdamW(model.parameters(), betas=recipe.betas,
                                  weight_decay=recipe.weight_decay)
    for step in range(recipe.steps):
        optimizer.param_groups[0]["lr"] = rate_of(recipe, step)
        total, tokens = translation_loss(model, to_device(next(source)))
        optimizer.zero_grad()
        (total / tokens).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        yield (total / tokens).item()

# %%
def with_fit(recipe):
    losses = []
    fit(new_model(), supply(), recipe, loss=translation_loss, name="5 steps",
        on_step=lambda step: losses.append(step.loss.item()))
    return losses


five = replace(recipe, steps=5, precision="no")
runs = {"six lines": list(loop(new_model(), supply(), five)),
        "fit": with_fit(five), "fit again": with_fit(five)}
pd.DataFrame(runs, index=[f"{i}" for i in range(1, 6)]).rename_axis(
    "step").round(6)

# %% tags=["remove-cell"]
ours, theirs, again = runs.values()
record(loop_gap=max(abs(a - b) for a, b in zip(ours, theirs, strict=True)),
       again_gap=max(abs(a - b) for a, b in zip(theirs, again, strict=True)))

# %% [markdown] tags=["lang-ko"]
# 여섯 줄과 `fit`의 손실 차이는 가장 클 때 ⟨loop_gap⟩입니다. 0이면 끝까지 같다는 뜻입니다. 같은 시드(seed)로 다시 돌린 `fit`과의 차이는 ⟨again_gap⟩입니다. 가중치의 첫값도, 배치의 순서도 시드 하나에서 나오기 때문입니다.
# %% [markdown] tags=["lang-en"]
# The losses of the six lines and of `fit` differ by ⟨loop_gap⟩ at most; 0 means that they are the same to the end. Run again with the same seed, `fit` differs from itself by ⟨again_gap⟩: the first weights and the order of the batches both come from that one seed.

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-rate -->
# ### 보폭: 학습률을 올렸다 내리기
#
# 한 걸음의 크기를 정하는 것이 학습률입니다. 처음에는 기울기의 크기를 아직 재지 못해 크게 내디디면 위험하므로 **웜업**(warm-up) 동안 차츰 올리고, 그 뒤로는 목표에 다가갈수록 보폭을 줄입니다. 논문의 방식은 저자 한 사람의 이름을 따서 Noam이라고 부릅니다.
#
# $$\eta_n = d_\text{model}^{-1/2} \cdot \min\big(n^{-1/2},\; n \cdot w^{-3/2}\big)$$
#
# $n$은 스텝, $w$는 웜업의 길이입니다. 이 장에서는 끝에서 거의 0에 이르는 코사인을 씁니다. 끝을 미리 정해 두는 대신 마지막에 아주 잔걸음으로 마무리할 수 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-rate -->
# ### The stride: raise the rate, then lower it
#
# The learning rate sets how long a step is. At first the size of the gradients has not been measured and a long step is dangerous, so the rate rises during a **warm-up**; after that the stride shortens on the way to the goal. The schedule of the paper is known as Noam, after one of its authors.
#
# $$\eta_n = d_\text{model}^{-1/2} \cdot \min\big(n^{-1/2},\; n \cdot w^{-3/2}\big)$$
#
# $n$ is the step and $w$ the length of the warm-up. This chapter uses a cosine that nearly reaches 0. It must know the end beforehand; in return it finishes with very small steps.

# %% tags=["hide-input"]
import matplotlib.pyplot as plt

at = range(0, cfg.steps, max(1, cfg.steps // 400))
rates = {"cosine": recipe, "noam": replace(recipe, schedule="noam"),
         "constant": replace(recipe, schedule="constant")}
rates = {name: replace(one, schedule=name) for name, one in rates.items()}
figure, axis = plt.subplots(figsize=(7.2, 2.8))
for (name, one), colour in zip(
        rates.items(), ("attention", "gravity", "grey"), strict=True):
    axis.plot(at, [rate_of(one, n) for n in at], label=name,
              color=COLOURS[colour], linestyle="-" if name == schedule
              else "--")
axis.set(xlabel="step", ylabel="learning rate", ylim=(0, None))
axis.legend()
show(figure)

# %% [markdown] tags=["lang-ko", "caption"]
# 학습률의 세 가지 일정. 꼭대기의 높이를 같게 맞추었습니다. 실선이 이 장에서 쓰는 것입니다. Noam은 빨리 내려온 뒤 길게 끌고, 코사인은 오래 높이 머물다가 끝에서 거의 0이 됩니다.
# <!-- alt: 스텝에 따른 학습률 세 선. 셋 다 짧은 웜업 동안 곧게 오른다. 그 뒤 하나는 그대로 평평하고, Noam은 처음에 가파르게, 나중에 완만하게 내려가며, 코사인은 완만하게 시작해 끝에서 거의 0이 된다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Three schedules of the learning rate, brought to the same peak. The solid line is the one used here. Noam falls fast and then trails; the cosine stays high for long and is nearly 0 at the end.
# <!-- alt: Three lines of the learning rate over steps. All rise straight during a short warm-up. Then one stays level, Noam falls steeply at first and gently later, and the cosine begins gently and ends near 0. -->

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-parts -->
# ### 큰 배치를 나누어 지기
#
# 배치가 메모리에 다 들어가지 않으면 나누어서 계산하고 기울기를 더해 둡니다. 이것이 **기울기 누적**(gradient accumulation)입니다. 결과는 큰 배치와 같아야 하는데, 나누는 법이 틀리면 같지 않습니다. 조각마다 토큰의 수가 다르므로 **평균의 평균은 전체의 평균이 아닙니다**. 더한 것을 전체 토큰 수로 나누어야 합니다. float64로 확인합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-parts -->
# ### Carry a large batch in parts
#
# If a batch does not fit into memory, we compute it in parts and add up the gradients: **gradient accumulation**. The result should be that of the whole batch, and it is not if the division goes wrong. Parts differ in their number of tokens, so **a mean of means is not the mean of all**. Sum first, then divide by all tokens. We check it in float64.

# %%
def gradient(parts, mean_of_means=False):
    exact = copy.deepcopy(model).double()
    sums = [translation_loss(exact, part) for part in parts]
    if mean_of_means:
        loss = sum(total / tokens for total, tokens in sums) / len(sums)
    else:
        loss = sum(total for total, _ in sums) / sum(n for _, n in sums)
    loss.backward()
    return torch.cat([p.grad.flatten() for p in exact.parameters()])


whole = to_device(next(supply(pool=1)))
parts = [dict(zip(whole, rows, strict=True)) for rows in
         zip(*(ids.chunk(4) for ids in whole.values()), strict=True)]
goal = gradient([whole])
gaps = [((gradient(parts, wrong) - goal).norm() / goal.norm()).item()
        for wrong in (False, True)]

# %% tags=["hide-input"]
record(parts_gap=gaps[0], means_gap=gaps[1])
pd.DataFrame(
    {"relative difference from the whole": [f"{gap:.1e}" for gap in gaps]},
    index=["sums over all tokens", "mean of means"])

# %% [markdown] tags=["lang-ko"]
# 토큰 수로 나누면 차이가 ⟨parts_gap⟩이고 이것은 반올림입니다. 평균을 평균하면 ⟨means_gap⟩만큼 다른 방향으로 가게 됩니다. 길이순으로 늘어놓은 배치를 넷으로 나누었으니 차이가 크게 드러난 편입니다. `fit`의 손실 함수가 평균이 아니라 합과 토큰 수를 따로 돌려주는 까닭이 이것입니다.
# %% [markdown] tags=["lang-en"]
# Divided by the number of tokens, the difference is ⟨parts_gap⟩, which is rounding. The mean of means goes another way by ⟨means_gap⟩. The batch was sorted by length before it was cut into four, which brings the difference out. This is why the loss that `fit` asks for returns a sum and a number of tokens, not a mean.

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-precision -->
# ### 절반의 비트로
#
# 그래픽 카드는 16비트 수를 훨씬 빨리 곱합니다. bfloat16은 float32와 같은 범위를 다루지만 유효 숫자가 두세 자리뿐입니다. **혼합 정밀도**는 곱셈만 16비트로 하고, 가중치와 더하는 일은 32비트에 남겨 둡니다. 왜 남겨 두어야 하는지는 한 줄로 보일 수 있습니다. bfloat16에서 1에 0.001을 더하면 1입니다. 잔걸음이 사라집니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-precision -->
# ### With half the bits
#
# Graphics cards multiply 16-bit numbers much faster. bfloat16 has the range of float32 but only two or three significant digits. **Mixed precision** does the products in 16 bits and leaves the weights and the sums in 32. Why they must stay, one line shows: in bfloat16, adding 0.001 to 1 gives 1. Small steps vanish.

# %%
def loss_and_gradient(dtype=None):
    model.zero_grad()
    with torch.autocast(cfg.device.type, dtype or torch.bfloat16,
                        enabled=dtype is not None):
        total, tokens = translation_loss(model, first)
    (total.float() / tokens).backward()
    return (total / tokens).item(), torch.cat(
        [p.grad.flatten() for p in model.parameters()])


(loss_32, grad_32), (loss_16, grad_16) = (
    loss_and_gradient(), loss_and_gradient(torch.bfloat16))
cosine = F.cosine_similarity(grad_32, grad_16, dim=0).item()

# %% tags=["hide-input"]
record("grad_cosine", cosine, text=f"{cosine:.5f}")
record(loss_16_gap=abs(loss_16 - loss_32))
one = torch.tensor(1.0, dtype=torch.bfloat16)
pd.DataFrame({
    "float32": [f"{loss_32:.5f}", f"{torch.finfo(torch.float32).eps:.1e}",
                f"{torch.tensor(1.0) + 0.001:.4f}"],
    "bfloat16": [f"{loss_16:.5f}", f"{torch.finfo(torch.bfloat16).eps:.1e}",
                 f"{one + 0.001:.4f}"]},
    index=["loss", "from 1 to the next number", "1 + 0.001"])

# %% [markdown] tags=["lang-ko"]
# 같은 배치에서 손실은 ⟨loss_16_gap⟩만큼 다르고, 두 기울기의 방향은 코사인 유사도(cosine similarity)가 ⟨grad_cosine⟩입니다. 한 걸음의 방향으로는 넉넉하다는 뜻입니다. 이 장은 CPU에서도 똑같이 되풀이되도록 float32로 학습하고, `precision`으로 바꿀 수 있습니다.
# %% [markdown] tags=["lang-en"]
# On the same batch the loss differs by ⟨loss_16_gap⟩, and the two gradients agree in direction to a cosine similarity of ⟨grad_cosine⟩. For the direction of one step that is plenty. This chapter trains in float32, so that it repeats itself on a CPU; `precision` changes that.

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-run -->
# ## 학습하기
#
# 이제 ⟨steps⟩스텝을 학습합니다. 도중에 몇 번 멈추어 들여다봅니다. 떼어 둔 값을 모델이 **혼자** 옮기게 해서 몇 개나 맞는지 세고, 날짜 하나를 옮길 때의 크로스 어텐션과 그때의 가중치를 적어 둡니다. 들여다보는 일은 학습에 아무 영향을 주지 않습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-run -->
# ## Train
#
# Now for ⟨steps⟩ steps. A few times on the way we stop and look: the model translates values that were set aside, **on its own**, and we count how many are right; and we write down its cross-attention on one date and its weights at that moment. Looking changes nothing in the training.

# %%
from lib.trace.recorder import trace

shown = task.make_pair("date", datetime.date.fromisoformat(day), korean=True)
shown_batch = to_device(task.collate([shown], tokenizer))
watched = [pair for kind in task.KINDS
           for pair in task.unseen(kind, min(200, cfg.tests), seed=2)]


def cross_weights(model, batch):  # layer, batch, head, query, key
    with torch.no_grad(), trace(model, ("*.cross.pattern",)) as traced:
        model(batch["source"], batch["target"][:, :-1])
    return traced.stack("cross.pattern", "decoder").cpu()


def by_direction(pairs, said):
    right = pd.Series([p.target == text
                       for p, text in zip(pairs, said, strict=True)])
    return right.groupby([p.direction for p in pairs]).mean().to_dict()

# %% [markdown] tags=["lang-ko"]
# 날짜에서는 어느 토큰이 어느 토큰에서 와야 하는지 압니다. 그래서 **짝에 준 가중치**를 셀 수 있습니다. 한국어의 해, 월, 일의 숫자를 쓸 때, 영어의 같은 해, 달 이름, 날에 가중치를 얼마나 주는지 헤드마다 평균한 것입니다.
# %% [markdown] tags=["lang-en"]
# In a date we know which token must come from which. So we can count **the weight on the partner**: while writing a digit of the Korean year, month or day, how much weight a head puts on the same digit of the English year, on the name of the month, on the day, on average.

# %%
def partners(day):  # places in the Korean target and the English source
    m, d = len(str(day.month)), len(str(day.day))
    of_year = [(i, 4 + d + i) for i in range(4)]
    of_month = [(6 + i, 0) for i in range(m)]
    of_day = [(8 + m + i, 2 + i) for i in range(d)]
    return of_year + of_month + of_day


dates = [datetime.date(*map(int, re.findall(r"\d+", pair.target)))
         for pair in task.unseen("date", 200, seed=3) if pair.korean]
date_batch = to_device(task.collate(
    [task.make_pair("date", d, korean=True) for d in dates], tokenizer))


def partner_weight(model):  # layer, head
    weights = cross_weights(model, date_batch)
    found = [weights[:, i, :, query, key] for i, date in enumerate(dates)
             for query, key in partners(date)]
    return torch.stack(found).mean(0)

# %%
moments = (0, .01, .02, .03, .05, .07, .1, .13, .17, .22, .28, .35, .45,
           .55, .65, .8, .9, 1)
moments = sorted({round(cfg.steps * share) for share in moments})
seen = {}


def look(step, model):
    said = task.translate(model, tokenizer, [p.source for p in watched])
    seen[step] = {
        "right": by_direction(watched, said),
        "said": task.translate(model, tokenizer, [shown.source])[0],
        "cross": cross_weights(model, shown_batch)[:, 0],
        "partner": partner_weight(model),
        "weights": copy.deepcopy(model.state_dict())}


def on_step(now):
    if now.step in moments:
        look(now.step, now.model)

# %% tags=["remove-cell"]
began = time.perf_counter()

# %%
valid = [to_device(task.collate(task.unseen(kind, 200, seed=4), tokenizer))
         for kind in task.KINDS]


def valid_loss(model):
    sums = [translation_loss(model, part) for part in valid]
    return sum(total for total, _ in sums) / sum(n for _, n in sums)


model = new_model()
look(0, model)
history = fit(model, supply(), recipe, loss=translation_loss,
              evaluate=torch.no_grad()(valid_loss), on_step=on_step,
              name="training")

# %% tags=["remove-cell"]
seconds = time.perf_counter() - began
record("minutes", seconds / 60, text=f"{seconds / 60:.1f}")
record(steps=cfg.steps, batch=cfg.batch, seconds=round(seconds),
       pairs_seen=cfg.steps * cfg.batch)
stream = task.sample(cfg.steps * cfg.batch,
                     torch.Generator().manual_seed(seed))
for name, some in (("repeats", stream), *(
        (f"repeats_{kind}", [p for p in stream if p.kind == kind])
        for kind in task.KINDS)):
    share = 1 - len(set(some)) / len(some)
    record(name, share, text=f"{share:.1%}")

# %% tags=["hide-input"]
directions = sorted(seen[0]["right"])
curves = pd.DataFrame({step: at["right"] for step, at in seen.items()}).T
lines = dict(zip(directions, COLOURS.values(), strict=False))
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(7.2, 3))
left.plot(history.step, history.train, label="training")
left.plot(history.step, history.valid, label="set aside", linestyle="--")
left.axhline(floor, color=COLOURS["grey"], linestyle=":", label="floor")
left.set(title="loss (nats)", xlabel="step", ylim=(0, None))
for name, colour in lines.items():
    middle.plot(curves.index, curves[name], color=colour,
                label=name.replace(", ", "\n"))
middle.set(title="exact match", xlabel="step", ylim=(0, 1.02))
right.plot(history.step, history.grad_norm, color=COLOURS["plum"])
right.axhline(recipe.clip, color=COLOURS["grey"], linestyle=":")
right.set(title="gradient norm", xlabel="step", yscale="log")
left.legend()
middle.legend(fontsize=7, loc="lower right")
show(figure, table=curves)

# %% [markdown] tags=["lang-ko", "caption"]
# 왼쪽: 학습 손실과 떼어 둔 값의 손실. 점선이 레이블 스무딩의 바닥입니다. 가운데: 떼어 둔 값을 한 글자도 틀리지 않고 옮긴 비율. 오른쪽: 자르기 전 기울기의 길이. 점선보다 길면 점선까지 자릅니다.
# <!-- alt: 선 그래프 세 개. 두 손실이 함께 내려와 바닥 선에 닿는다. 정확히 맞힌 비율은 날짜 두 방향이 먼저, 수를 한국어로 쓰는 방향이 다음, 한국어 수를 숫자로 쓰는 방향이 가장 늦게 1에 이른다. 기울기의 길이는 학습하는 동안 점점 짧아진다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Left: the training loss and the loss on values set aside; the dotted line is the floor of label smoothing. Middle: the share of values set aside that came out right to the letter. Right: the length of the gradient before clipping; beyond the dotted line it is cut back to it.
# <!-- alt: Three line plots. Both losses come down together and reach the floor. Exact match reaches 1 first for both directions of dates, then for numbers into Korean, and last for Korean numbers into digits. The gradient grows shorter over training. -->

# %% tags=["remove-input"]
clipped = [norm > recipe.clip for norm in history.grad_norm]
last = moments[-1]


def when(directions, share=0.95):
    good = curves[directions].min(axis=1) >= share
    return int(good.idxmax()) if good.any() else "—"


record(loss_end=history.valid[-1], train_end=history.train[-1],
       clipped_early=history.grad_norm[0], clipped_late=history.grad_norm[-1],
       dates_at=when(directions[:2]), spell_at=when(directions[2:3]),
       read_at=when(directions[3:]))

# %% [markdown] tags=["lang-ko"]
# 떼어 둔 값의 손실은 ⟨loss_end⟩까지 내려와 바닥(⟨loss_floor⟩)에 닿았습니다. 학습 손실은 ⟨train_end⟩이고, 둘이 벌어지지 않으니 외우기만 한 것은 아닙니다.
#
# 가운데 그림에는 배우는 **순서**가 있습니다. 들여다본 때를 기준으로 95%를 넘긴 것은 날짜가 ⟨dates_at⟩스텝, 수를 한국어로 읽는 것이 ⟨spell_at⟩스텝, 한국어를 숫자로 쓰는 것이 ⟨read_at⟩스텝입니다. 마지막 것이 가장 어렵습니다. 첫 숫자를 쓰기 전에 모두 몇 자리인지 알아야 쉼표를 찍을 수 있고, 읽지 않은 0을 빠뜨리지 않아야 하기 때문입니다.
#
# 오른쪽 그림의 점선이 **기울기 자르기**(gradient clipping)의 한계입니다. 기울기가 ⟨clip⟩보다 길면 방향은 두고 길이만 줄입니다. 첫 구간의 평균은 ⟨clipped_early⟩, 마지막 구간의 평균은 ⟨clipped_late⟩입니다. 드물게 튀는 배치 하나가 걸음을 망치지 못하게 하는 안전띠입니다.
# %% [markdown] tags=["lang-en"]
# The loss on values set aside came down to ⟨loss_end⟩ and touches the floor (⟨loss_floor⟩). The training loss is ⟨train_end⟩; the two do not part, so the model did not merely learn by heart.
#
# The middle figure shows an **order** of learning. By the moments at which we looked, dates passed 95% at step ⟨dates_at⟩, numbers read in Korean at step ⟨spell_at⟩, Korean written in digits at step ⟨read_at⟩. The last is hardest: to set the commas, the number of digits must be known before the first is written, and every silent 0 must be put in.
#
# The dotted line on the right is the limit of **gradient clipping**. A gradient longer than ⟨clip⟩ keeps its direction and loses length. Its mean length was ⟨clipped_early⟩ in the first stretch and ⟨clipped_late⟩ in the last. It is a seat belt against the rare batch that would spoil a step.

# %% tags=["remove-input"]
record(clip=int(recipe.clip))

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-result -->
# ## 처음 보는 값으로 시험하기
#
# 시험은 지금까지 한 번도 쓰지 않은 값으로 봅니다. 종류마다 떼어 둔 값 ⟨tests⟩개를 뽑아, 모델이 가장 그럴듯한 토큰을 하나씩 이어 쓰게 합니다. 탐욕 디코딩(greedy decoding)입니다. 한 글자라도 다르면 틀린 것으로 셉니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-result -->
# ## A test on values never seen
#
# The test uses values that nothing so far has touched. Of each kind we draw ⟨tests⟩ values set aside, and the model writes the likeliest token again and again: greedy decoding. One wrong letter makes a wrong answer.

# %%
answers = []
for kind in task.KINDS:
    pairs = task.unseen(kind, cfg.tests, seed=5)
    said = task.translate(model, tokenizer, [p.source for p in pairs])
    answers += [(pair.kind, pair.direction, pair.target == text)
                for pair, text in zip(pairs, said, strict=True)]
answers = pd.DataFrame(answers, columns=["kind", "direction", "right"])
result = answers.groupby("direction")["right"].agg(["size", "sum", "mean"])
pd.DataFrame({"tested": result["size"], "right": result["sum"],
              "share": result["mean"].map("{:.1%}".format)},
             ).rename_axis(None)

# %% tags=["remove-input"]
for kind, share in answers.groupby("kind")["right"].mean().items():
    record(f"exact_{kind}s", share, text=f"{share:.1%}")
for name, direction in zip(("date_ko_en", "date_en_ko", "number_ko_en",
                            "number_en_ko"),
                           ("date, ko → en", "date, en → ko",
                            "number, ko → en", "number, en → ko"),
                           strict=True):
    share = result.loc[direction, "mean"]
    record(name, share, text=f"{share:.1%}")
record(tests=cfg.tests, wrong=int((~answers["right"]).sum()),
       tested=len(answers))

# %% [markdown] tags=["lang-ko"]
# 날짜는 ⟨exact_dates⟩, 수는 ⟨exact_numbers⟩입니다. 이 값들은 학습에도, 이 장의 설정을 고르는 데에도 쓰지 않았습니다. 무엇을 틀렸는지는 [뒤에서](#train-errors) 하나하나 봅니다.
# %% [markdown] tags=["lang-en"]
# Dates come to ⟨exact_dates⟩, numbers to ⟨exact_numbers⟩. These values took no part in training, nor in choosing the settings of this chapter. What went wrong, we look at one by one [below](#train-errors).

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-reorder -->
# ## 순서를 뒤집는 헤드
#
# 디코더가 인코더의 결과에서 무엇을 보는지는 크로스 어텐션에 있습니다. 쿼리(query)는 지금 쓸 자리이고 키(key)는 넣은 글의 토큰입니다. 영어 날짜를 한국어로 옮길 때의 모든 헤드를 펼칩니다. 영어는 달로 시작해 해로 끝나고 한국어는 해로 시작하니, 순서를 뒤집는 헤드라면 **왼쪽 위가 아니라 오른쪽 위에서** 시작해야 합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-reorder -->
# ## The head that turns the order around
#
# What the decoder looks at in the encoder's result is in its cross-attention. The query is the position to be written now, the keys are the tokens that went in. Here are all heads on an English date going into Korean. English begins with the month and ends with the year, Korean begins with the year; so a head that turns the order around must begin **at the upper right, not at the upper left**.

# %% tags=["hide-input"]
partner = seen[last]["partner"]
best = divmod(int(partner.argmax()), cfg.n_heads)
reads, writes = pieces(shown.source), pieces(shown.target)
figure, axes = plt.subplots(
    cfg.n_layers, cfg.n_heads, squeeze=False, sharex=True, sharey=True,
    figsize=(7.2, 1.9 * cfg.n_layers))
for layer, row in enumerate(axes):
    for head, axis in enumerate(row):
        axis.imshow(seen[last]["cross"][layer, head], vmin=0, vmax=1,
                    aspect="auto", interpolation="nearest")
        axis.set_title(f"L{layer}H{head}: {partner[layer, head]:.2f}",
                       fontsize=9)
        axis.set(xticks=[], yticks=[])
    row[0].set_ylabel("written ↓")
for axis in axes[-1]:
    axis.set_xlabel("read →")
show(figure, table=pd.DataFrame(
    seen[last]["cross"][best].numpy(), index=writes, columns=reads))

# %% [markdown] tags=["lang-ko", "caption"]
# 다 배운 모델의 디코더가 날짜 하나를 옮길 때의 크로스 어텐션. 위에서 아래로 쓰고 왼쪽에서 오른쪽으로 읽습니다. 제목은 헤드의 이름(L은 층, H는 헤드의 번호)과 날짜 여러 개에서 잰 짝에 준 가중치입니다. 표에는 그 값이 가장 큰 헤드의 가중치가 있습니다.
# <!-- alt: 헤드마다 히트맵 하나. 짝에 준 가중치가 큰 헤드에서는 윗부분 네 줄이 오른쪽 끝의 해를 대각선으로 따라가고, 가운데 줄이 맨 왼쪽의 달 이름으로, 아랫줄이 그 옆의 날로 건너뛴다. 다른 헤드들은 흐리거나 한두 열에 모여 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Cross-attention of the trained decoder on one date. It writes from top to bottom and reads from left to right. The titles give the name of the head (L for the layer, H for the head) and the weight on the partner, measured on many dates. The table holds the weights of the head with the most.
# <!-- alt: One heatmap a head. In heads with much weight on the partner the upper four rows follow the year at the right end along a diagonal, a middle row jumps to the name of the month at the far left, and a lower row to the day beside it. Other heads are blurred or gather in one or two columns. -->

# %% tags=["remove-cell"]
import warnings

from lib.attention.export import halves, reader, samples
from lib.page.live import alive, export
from lib.trace.alignment import alignment

kept = sorted({moments[round(i * (len(moments) - 1) / 8)] for i in range(9)})
asked = [pair for kind in task.KINDS
         for pair in task.unseen(kind, min(60, cfg.tests), seed=2)]
spoken = [shown, *(task.make_pair(kind, value, korean) for kind, value, korean in (
    ("date", datetime.date(2026, 3, 5), False), ("number", 12_345, True),
    ("number", 12_345, False)))]
examples = [[pair.source, pair.target] for pair in spoken]
examples.append(["12345", spoken[2].target])  # without its comma
export("translator", **reader(config, tokenizer), steps=kept, best=list(best),
       examples=examples, samples=samples(asked),
       weights=halves(seen[last]["weights"]))
for step in kept[:-1]:
    export(f"translator_{step}", weights=halves(seen[step]["weights"]))
warnings.filterwarnings("ignore", message="Glyph")  # the page has its own font
alive(alignment(reads, writes, seen[last]["cross"][best]), "translator",
      "translator", place="translator",
      later=[f"translator_{step}" for step in kept[:-1]],
      table=pd.DataFrame(seen[last]["cross"][best].numpy(), index=writes,
                         columns=reads))

# %% tags=["remove-input"]
flat = partner.flatten().sort(descending=True).values
record(best_layer=best[0], best_head=best[1], n_heads_all=len(flat),
       partner_best=flat[0], partner_second=flat[1], partner_last=flat[-1],
       partner_start=seen[0]["partner"][best], n_dates=len(dates))

# %% [markdown] tags=["lang-ko"]
# 헤드 L⟨best_layer⟩H⟨best_head⟩은(는) 날짜 ⟨n_dates⟩개에서 평균 ⟨partner_best⟩의 가중치를 짝에 줍니다. 배우기 전에는 ⟨partner_start⟩(이)었습니다. 둘째로 큰 헤드는 ⟨partner_second⟩입니다.
#
# 그렇다면 이 헤드가 날짜를 옮기는 것일까요? 그림만으로는 말할 수 없습니다. 헤드를 하나씩 **지워 보는** 제거 실험(ablation)을 해야 합니다. 헤드의 출력을 0으로 두고, 떼어 둔 값을 몇 개나 맞히는지 다시 셉니다.
# %% [markdown] tags=["lang-en"]
# Head L⟨best_layer⟩H⟨best_head⟩ puts a weight of ⟨partner_best⟩ on the partner, averaged over ⟨n_dates⟩ dates. Before training it was ⟨partner_start⟩. The second head has ⟨partner_second⟩.
#
# Is it this head, then, that translates dates? The picture alone cannot say. It takes an ablation: we **erase** one head at a time, setting its output to 0, and count again how many values set aside come out right.

# %%
width = cfg.d_model // cfg.n_heads


def erase(layer, heads):
    def silence(module, args):
        z = args[0].clone()  # all heads side by side
        for head in heads:
            z[..., head * width : (head + 1) * width] = 0
        return (z,)

    output = model.decoder[layer].cross_attention.output
    return output.register_forward_pre_hook(silence)

# %%
every = list(range(cfg.n_heads))
erased = {"—": seen[last]["right"]}
for layer in range(cfg.n_layers):
    for heads in [[head] for head in every] + [every]:
        hook = erase(layer, heads)
        said = task.translate(model, tokenizer, [p.source for p in watched])
        hook.remove()
        name = f"L{layer}H{heads[0] if len(heads) == 1 else '*'}"
        erased[name] = by_direction(watched, said)

# %% tags=["hide-input"]
erased = pd.DataFrame(erased).T
single = [name for name in erased.index if name[-1].isdigit()]
weight = {name: partner[tuple(map(int, re.findall(r"\d+", name)))].item()
          for name in single}
single.sort(key=weight.get, reverse=True)
order = ["—", *single, *(f"L{i}H*" for i in range(cfg.n_layers))]
table = erased.loc[order].map("{:.0%}".format)
table.insert(0, "weight on the partner",
             [f"{weight[n]:.2f}" if n in weight else "" for n in order])
table.rename_axis("erased head")

# %% tags=["remove-input"]
of_dates, of_numbers = directions[:2], directions[2:]
hardest = erased.loc[single, of_numbers].stack().idxmin()
for name, share in {
        "erase_best": erased.loc[single[0], of_dates].min(),
        "erase_dates": erased.loc[single, of_dates].min().min(),
        "erase_numbers": erased.loc[hardest],
        "erase_layer": erased.loc["L0H*", of_dates].max(),
        "erase_last": erased.loc[order[-1], of_dates].min()}.items():
    record(name, share, text=f"{share:.0%}")
record(erase_head=hardest[0], erase_weight=weight[hardest[0]],
       layers_top=cfg.n_layers - 1)

# %% [markdown] tags=["lang-ko"]
# 표를 위에서부터 보십시오. 짝을 가장 또렷하게 보던 헤드를 지워도 날짜는 두 방향 가운데 낮은 쪽이 ⟨erase_best⟩ 맞습니다. 다른 헤드 하나를 지웠을 때 가장 낮은 값도 ⟨erase_dates⟩입니다. 비슷한 곳을 보는 헤드가 여럿이어서 하나가 없어도 나머지가 그 몫을 하는 것으로 보입니다. 층 0의 헤드를 모두 지우면 날짜는 높은 쪽도 ⟨erase_layer⟩입니다.
#
# 거꾸로, 날짜의 그림으로 잰 값은 수에 대해 아무것도 말해 주지 않습니다. 수를 옮기는 데 가장 필요한 헤드는 ⟨erase_head⟩입니다. 짝에 준 가중치는 ⟨erase_weight⟩인데, 지우면 수의 한 방향이 ⟨erase_numbers⟩까지 떨어집니다.
#
# > **주의.** 또렷한 그림은 모델이 **무엇을 볼 수 있게 되었는지**를 보여 줍니다. 그 헤드가 꼭 필요한지, 흐릿한 헤드가 쓸모없는지는 그림이 아니라 지워 보는 실험이 말해 줍니다.
# %% [markdown] tags=["lang-en"]
# Read the table from the top. Without the head that sees the partner most clearly, ⟨erase_best⟩ of the dates are still right in the worse of the two directions. Erasing any other single head gives ⟨erase_dates⟩ at the lowest. Several heads look at similar places, and when one is gone the rest seem to do its share. With all heads of layer 0 erased, dates come to ⟨erase_layer⟩ even in the better direction.
#
# The other way round, what was measured on dates says nothing about numbers. The head that numbers need most is ⟨erase_head⟩. Its weight on the partner is ⟨erase_weight⟩, and without it one direction of numbers falls to ⟨erase_numbers⟩.
#
# > **Note.** A clear picture shows **what the model has become able to see**. Whether that head is needed, and whether a blurred one is useless, is told not by the picture but by erasing.

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-steps -->
# ## 학습을 한 걸음씩 되짚기
#
# 이 헤드는 언제 그렇게 되었을까요? 슬라이더를 움직여 학습의 처음부터 끝까지 되짚어 보십시오. 히트맵(heatmap)은 그때의 크로스 어텐션이고, 제목은 그때 모델이 혼자 쓴 답입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-steps -->
# ## Step through the training
#
# When did this head become what it is? Move the slider from the beginning of the training to its end. The heatmap is the cross-attention of that moment; the title is what the model wrote on its own at that moment.

# %% tags=["hide-input"]
import plotly.graph_objects as go

maps = {step: [[round(weight, 3) for weight in row]
               for row in at["cross"][best].tolist()]
        for step, at in seen.items()}


def headline(step):
    said = seen[step]["said"] or "…"
    said = said if len(said) <= 20 else said[:19] + "…"
    mark = "✓" if seen[step]["said"] == shown.target else "✗"
    return f"{said} {mark}"


turns = [{"method": "update", "label": f"{step}",
          "args": [{"z": [maps[step]]}, {"title.text": headline(step)}]}
         for step in seen]
start = len(turns) // 2

# %% tags=["hide-input"]
begin = list(seen)[start]
axes = {"showgrid": False, "zeroline": False}
figure = go.Figure(go.Heatmap(
    z=maps[begin], zmin=0, zmax=1, xgap=1, ygap=1, showscale=False,
    colorscale=[[0, "rgba(65,105,225,0)"], [1, "rgba(65,105,225,1)"]],
    hovertemplate="%{z:.2f}<extra></extra>"))
figure.update_layout(
    title_text=headline(begin), height=520,
    xaxis={"tickvals": list(range(len(reads))), "ticktext": reads,
           "title": "read", "side": "bottom", "tickangle": 0, **axes},
    yaxis={"tickvals": list(range(len(writes))), "ticktext": writes,
           "title": "written", "autorange": "reversed", **axes},
    margin={"l": 60, "r": 16, "t": 60, "b": 20},
    sliders=[{"active": start, "steps": turns, "pad": {"t": 60},
              "currentvalue": {"prefix": "step "}}])
looked_at = {step: [reads[i] for i in at["cross"][best].argmax(-1)]
             for step, at in seen.items()}

# %% tags=["hide-input"]
show(figure, table=pd.DataFrame(
    {f"{step}": [seen[step]["said"], *tokens]
     for step, tokens in looked_at.items()},
    index=["written alone", *(f"{token} ←" for token in writes)]))

# %% [markdown] tags=["lang-ko", "caption"]
# 슬라이더로 스텝을 옮겨 보십시오. 세로는 쓰는 토큰(위에서 아래로), 가로는 읽는 토큰입니다. 정답의 앞부분을 읽히며 잰 가중치이고, 제목만 모델이 혼자 쓴 답입니다. ✓는 정답과 같다는 뜻입니다. 표에는 스텝마다 혼자 쓴 답과, 토큰을 쓸 때마다 가장 많이 본 토큰이 있습니다.
# <!-- alt: 히트맵 하나와 스텝을 고르는 슬라이더. 처음에는 모든 칸이 고르게 옅다. 스텝이 나아가면 해의 네 숫자가 먼저 오른쪽의 해를 대각선으로 따라가고, 이어 월의 숫자가 달 이름에, 일의 숫자가 날에 모인다. 제목의 답은 뜻 없는 글자에서 차츰 날짜가 되고 마침내 정답이 된다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Move the slider from step to step. Down are the tokens written (top to bottom), across those read. The weights are measured while the model reads the right beginning; only the title is written on its own, and ✓ means equal to the right answer. The table holds for every step that answer and, for each token written, the token looked at most.
# <!-- alt: A heatmap and a slider that chooses the step. At first all cells are evenly pale. As steps pass, the four digits of the year are first to follow the year on the right along a diagonal; then the digit of the month gathers on the name of the month and that of the day on the day. The answer in the title turns from meaningless letters into a date and at last into the right one. -->

# %% tags=["remove-input"]
path = pd.Series({step: at["partner"][best].item()
                  for step, at in seen.items()})
solved = [step for step, at in seen.items() if at["said"] == shown.target]
record(partner_half_at=int((path >= path.iloc[-1] / 2).idxmax()),
       shown_at=solved[0] if solved else "—",
       looks=len(seen))

# %% [markdown] tags=["lang-ko"]
# 처음에는 모든 칸이 비슷합니다. 어디를 볼지 모르므로 고르게 섞습니다. 그다음 모델은 한동안 **어디를 볼지는 모르면서 날짜처럼 생긴 것**을 씁니다. 해, 월, 일이라는 틀은 넣은 글을 보지 않고도 배울 수 있기 때문입니다. 들여다본 때를 기준으로, 짝에 준 가중치가 마지막 값의 절반에 이른 것은 ⟨partner_half_at⟩스텝이고 이 날짜의 답이 처음으로 맞은 것은 ⟨shown_at⟩스텝입니다.
#
# 볼 자리를 찾는 일과 답이 맞는 일은 이렇게 나란히 옵니다. 다만 이것은 함께 일어났다는 것이지 하나가 다른 하나를 일으켰다는 것은 아닙니다. 슬라이더를 뒤로 더 움직이면 답이 이미 맞은 뒤에도 그림이 계속 바뀌는 것을 볼 수 있습니다.
# %% [markdown] tags=["lang-en"]
# At first all cells are alike: not knowing where to look, the model mixes evenly. Then for a while it writes **something that looks like a date without knowing where to look**. The frame of year, month and day can be learned without looking at what went in. By the moments at which we looked, the weight on the partner reached half of its last value at step ⟨partner_half_at⟩, and this date came out right for the first time at step ⟨shown_at⟩.
#
# So finding the place to look and getting the answer right come side by side. That they came together does not say that one caused the other. Move the slider further: the picture goes on changing after the answer is already right.

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-gradients -->
# ## 기울기는 어디로 흐르는가
#
# 손실에서 출발한 기울기는 디코더를 거슬러 인코더까지 갑니다. 멀리 갈수록 작아질까요? 학습의 세 순간에 부분마다 기울기의 길이를 잽니다. 견줄 수 있도록 모두 같은 글, 떼어 둔 값 한 묶음으로 쟀습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-gradients -->
# ## Where the gradient flows
#
# The gradient sets out from the loss, goes back through the decoder and on into the encoder. Does it fade on the way? We measure its length in each part at three moments of the training, all on the same batch of values set aside, so that they compare.

# %%
from lib.trace.analyses import gradient_table

PARTS = {"attention": ["query", "key", "value", "output"],
         "cross": ["cross.query", "cross.key", "cross.value",
                   "cross.output"],
         "feed-forward": ["up", "down"]}

# %%

def flow(step):
    probe = new_model()
    probe.load_state_dict(seen[step]["weights"])
    valid_loss(probe).backward()
    table, rows = gradient_table(probe), {}
    for stack in ("encoder", "decoder"):
        for layer in range(cfg.n_layers):
            own = table[(table["stack"] == stack) & (table["layer"] == layer)]
            for part, kinds in PARTS.items():
                squares = own.loc[own["kind"].isin(kinds), "gradient"] ** 2
                if len(squares):
                    rows[f"{stack} {layer} {part}"] = squares.sum() ** 0.5
    return pd.Series(rows)


stations = [moments[1], moments[len(moments) // 2], moments[-1]]
flows = pd.DataFrame({f"step {step}": flow(step) for step in stations})

# %% tags=["hide-input"]
figure, axis = plt.subplots(figsize=(7.2, 0.3 * len(flows) + 1.1))
places = range(len(flows))
axis.hlines(places, flows.min(axis=1), flows.max(axis=1),
            color=COLOURS["grey"], linewidth=1, zorder=0)
for name, colour, marker in zip(
        flows.columns, ("gravity", "tokens", "attention"), "s^o",
        strict=True):
    axis.plot(flows[name], places, marker, color=COLOURS[colour],
              label=name)
axis.set(xscale="log", xlabel="gradient norm", yticks=places,
         yticklabels=flows.index)
axis.invert_yaxis()
figure.legend(loc="outside upper right", ncols=3)
show(figure, table=flows)

# %% [markdown] tags=["lang-ko", "caption"]
# 부분마다의 기울기 길이(로그 눈금). 네모는 웜업 동안, 세모는 도중, 동그라미는 마지막 스텝입니다. 위에서 아래로 인코더에서 디코더까지 늘어놓았습니다.
# <!-- alt: 부분마다 점 세 개를 찍은 그림. 가로는 로그 눈금의 기울기 길이이다. 모든 부분에서 마지막 스텝의 기울기가 처음보다 훨씬 짧고, 한 스텝 안에서는 부분들이 서로 비슷하다. -->
# %% [markdown] tags=["lang-en", "caption"]
# The length of the gradient in each part (log scale): squares during the warm-up, triangles on the way, circles at the last step. From top to bottom: encoder to decoder.
# <!-- alt: A plot with three dots for each part over a logarithmic length of the gradient. In every part the gradient of the last step is far shorter than the early one; within one step the parts are much alike. -->

# %% tags=["remove-input"]
starts, ends = flows.iloc[:, 0], flows.iloc[:, -1]
sides = {side: flows.filter(like=side, axis=0).pow(2).sum() ** 0.5
         for side in ("encoder", "decoder")}
ratio = sides["decoder"] / sides["encoder"]
record(grad_first=int(stations[0]), grad_last=int(stations[-1]),
       grad_drop=round((starts / ends).median()),
       grad_spread_first=starts.max() / starts.min(),
       grad_spread_last=ends.max() / ends.min(),
       grad_sides_first=ratio.iloc[0], grad_sides_last=ratio.iloc[-1])

# %% [markdown] tags=["lang-ko"]
# 두 가지가 보입니다. 첫째, **모든 부분이 함께** 작아집니다. 스텝 ⟨grad_first⟩에서 스텝 ⟨grad_last⟩까지 가운데쯤 되는 부분의 기울기는 ⟨grad_drop⟩분의 1로 줄었습니다. 배울 것이 얼마 남지 않았기 때문입니다. 둘째, 멀리 있는 부분에도 기울기가 닿습니다. 가장 긴 부분과 가장 짧은 부분의 차이는 처음에 ⟨grad_spread_first⟩배, 끝에 ⟨grad_spread_last⟩배입니다. 디코더 전체의 기울기는 인코더의 ⟨grad_sides_first⟩배에서 시작해 ⟨grad_sides_last⟩배가 되었습니다. 잔차 연결(residual connection)이 기울기에게 층을 건너뛰는 길을 내주는 덕분이라고 흔히 설명합니다. 층이 이렇게 적은 모델에서는 그 길이 없어도 닿을 수 있으니, 이 그림이 그 설명을 증명하지는 않습니다.
# %% [markdown] tags=["lang-en"]
# Two things show. First, **all parts shrink together**: from step ⟨grad_first⟩ to step ⟨grad_last⟩ the gradient of a middling part fell by a factor of ⟨grad_drop⟩, as little was left to learn. Second, distant parts still receive gradient. The longest and the shortest differ by a factor of ⟨grad_spread_first⟩ at first and ⟨grad_spread_last⟩ at the end. The gradient of the whole decoder began at ⟨grad_sides_first⟩ times that of the encoder and ended at ⟨grad_sides_last⟩. The usual explanation is the residual connection, which gives the gradient a way past the layers. With so few layers the gradient might reach them without it too, so this figure is no proof of that.

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-alone -->
# ## 선생님 없이 쓰기
#
# 학습할 때에는 늘 옳은 앞부분을 읽었습니다. 혼자 쓸 때에는 **자기가 쓴 것**을 읽습니다. 이렇게 제 출력을 다시 입력으로 삼는 방식을 자기회귀(autoregressive)라고 합니다. 앞에서 한 번 틀리면 한 번도 본 적 없는 앞부분을 읽게 됩니다. 아직 덜 배운 모델(스텝 ⟨half_step⟩)과 다 배운 모델에게 떼어 둔 수를 두 방식으로 쓰게 합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-alone -->
# ## Writing without the teacher
#
# In training the model always read a right beginning. On its own it reads **what it has written itself**; a model that feeds on its own output is called autoregressive. One mistake, and it reads a beginning that it has never met. We give numbers set aside to a model that is not there yet (step ⟨half_step⟩) and to the trained one, in both ways.

# %%
alone = task.unseen("number", min(400, cfg.tests), seed=7)
alone = to_device(task.collate(alone, tokenizer))


@torch.no_grad()
def both_ways(model):
    source, target = alone["source"], alone["target"]
    labels, words = target[:, 1:], target[:, 1:] != task.PAD
    forced = model(source, target[:, :-1]).argmax(-1)
    free = model.generate(source)[:, 1:]
    free = F.pad(free, (0, max(0, labels.shape[1] - free.shape[1])))
    free = free[:, : labels.shape[1]]
    return {name: (said == labels) | ~words
            for name, said in (("taught", forced), ("alone", free))}

# %%
words = alone["target"][:, 1:] != task.PAD
mean_right = curves[directions[2:]].mean(axis=1)
half_step = int((mean_right >= 0.25).idxmax())
young = new_model()
_ = young.load_state_dict(seen[half_step]["weights"])

# %% tags=["hide-input"]
found = {(half_step, way): right for way, right in both_ways(young).items()}
found |= {(last, way): right for way, right in both_ways(model).items()}
rows = {}
for (step, way), right in found.items():
    rows[f"{step}", way] = {
        "tokens right": right[words].float().mean().item(),
        "answers right": right.all(1).float().mean().item()}
    short = f"{way}_{'half' if step == half_step else 'end'}"
    for name, value in zip(("tokens", "answers"),
                           rows[f"{step}", way].values(), strict=True):
        record(f"{name}_{short}", value, text=f"{value:.1%}")
record(half_step=half_step)
scores = pd.DataFrame(rows).T.map("{:.1%}".format)
scores.rename_axis(["step", "way"])

# %% [markdown] tags=["lang-ko"]
# 마지막 열을 보십시오. 두 방식에서 **답을 통째로 맞힌 비율이 같습니다**. 우연이 아닙니다. 정답을 읽으며 모든 토큰을 맞히는 모델은 혼자 써도 같은 것을 읽게 되니 정답을 씁니다. 한 곳이라도 틀리는 모델은 혼자 써도 거기서 틀립니다. 가장 그럴듯한 토큰만 고르는 한 두 방식의 정확히 맞힌 비율은 늘 같습니다.
#
# 다른 것은 **틀린 뒤**입니다. 덜 배운 모델의 토큰은 정답을 읽을 때 ⟨tokens_taught_half⟩ 맞지만 혼자 쓸 때에는 ⟨tokens_alone_half⟩만 맞습니다. 어디서 벌어지는지 자리마다 세어 봅니다.
# %% [markdown] tags=["lang-en"]
# Look at the last column. In both ways **the share of whole answers is the same**. That is no accident. A model that gets every token right while reading the answer will, alone, read just that, and so write the answer. One that goes wrong somewhere goes wrong there alone as well. As long as only the likeliest token is chosen, exact match is the same in both ways.
#
# What differs is **after the mistake**. Of the tokens of the model that is not there yet, ⟨tokens_taught_half⟩ are right when it reads the answer, but only ⟨tokens_alone_half⟩ when it writes alone. Where they part, we count position by position.

# %% tags=["hide-input"]
figure, axis = plt.subplots(figsize=(7.2, 2.8))
there = words.float().sum(0).cpu()
enough = there >= 0.1 * len(words)  # positions that many answers have
for (step, way), right in found.items():
    share = ((right & words).float().sum(0).cpu() / there)[enough]
    axis.plot(range(1, len(share) + 1), share, label=f"step {step}, {way}",
              color=COLOURS["attention" if step == last else "gravity"],
              linestyle="-" if way == "taught" else "--")
axis.set(xlabel="position in the answer", ylabel="share right",
         ylim=(0, 1.03))
axis.legend()
show(figure)

# %% [markdown] tags=["lang-ko", "caption"]
# 답의 자리마다 맞은 토큰의 비율. 실선은 정답을 읽으며, 점선은 혼자 썼을 때입니다. 주황은 덜 배운 모델, 파랑은 다 배운 모델이고 파란 두 선은 거의 겹칩니다.
# <!-- alt: 답의 자리에 따른 비율의 선 네 개. 다 배운 모델의 두 선은 1에 붙어 있다. 덜 배운 모델에서는 첫 자리에서 두 선이 만나고, 뒤로 갈수록 혼자 쓴 선이 정답을 읽은 선보다 아래로 벌어진다. -->
# %% [markdown] tags=["lang-en", "caption"]
# The share of right tokens at each position of the answer: solid while reading the answer, dashed alone. Orange is the model that is not there yet, blue the trained one, whose two lines nearly coincide.
# <!-- alt: Four lines of shares over the position in the answer. Both lines of the trained model lie at 1. Those of the model that is not there yet meet at the first position, and further on the line written alone falls below the one that reads the answer. -->

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-errors -->
# ## 무엇을 아직 틀리는가
#
# 시험에서 틀린 것은 ⟨tested⟩개 가운데 ⟨wrong⟩개입니다. 그것만으로는 경향이 보이지 않으니, 떼어 둔 수를 ⟨n_more⟩개 더 뽑아 틀린 것을 모읍니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-errors -->
# ## What it still gets wrong
#
# Of ⟨tested⟩ in the test, ⟨wrong⟩ were wrong. That is too few to show a pattern, so we draw ⟨n_more⟩ more numbers set aside and gather what goes wrong.

# %%
more = task.unseen("number", 4 * cfg.tests, seed=6)
said = task.translate(model, tokenizer, [pair.source for pair in more])
more = pd.DataFrame({
    "source": [p.source for p in more], "target": [p.target for p in more],
    "said": said, "korean": [p.korean for p in more]})
more["right"] = more["said"] == more["target"]
digits = more["source"].where(more["korean"], more["target"])
more["zeros"] = digits.str.count("0").clip(upper=3)
by_zeros = more.groupby("zeros")["right"].agg(["size", "mean"])
by_zeros["wrong"] = by_zeros["size"] - more.groupby("zeros")["right"].sum()

# %% tags=["hide-input"]
record(n_more=len(more), wrong_more=int((~more["right"]).sum()))
pd.DataFrame(
    {"tested": by_zeros["size"], "wrong": by_zeros["wrong"],
     "share wrong": (1 - by_zeros["mean"]).map("{:.1%}".format)},
    ).rename(index={3: "3+"}).rename_axis("zeros")

# %% tags=["hide-input"]
wrong = more[~more["right"]].sort_values("source").head(8)
pd.DataFrame({"went in": wrong["source"], "right answer": wrong["target"],
              "it wrote": wrong["said"]}).style.hide()

# %% tags=["remove-input"]
zeros = more["zeros"] >= 2
shares = {"wrong_zeros": 1 - more.loc[zeros, "right"].mean(),
          "wrong_few": 1 - more.loc[~zeros, "right"].mean(),
          "wrong_read": 1 - more.loc[~more["korean"], "right"].mean(),
          "wrong_spell": 1 - more.loc[more["korean"], "right"].mean(),
          "zeros_share": zeros.mean()}
for name, share in shares.items():
    record(name, share, text=f"{share:.1%}")
record(wrong_with_zeros=int((zeros & ~more["right"]).sum()))

# %% [markdown] tags=["lang-ko"]
# 틀린 ⟨wrong_more⟩개 가운데 ⟨wrong_with_zeros⟩개가 **0이 둘 이상인 수**입니다. 그런 수에서는 ⟨wrong_zeros⟩, 그렇지 않은 수에서는 ⟨wrong_few⟩ 틀립니다. 0은 읽지 않으므로 한국어 쪽에 흔적이 없습니다. 몇 개의 0을 어디에 넣을지, 또는 어디에서 그만 읽을지를 없는 것에서 알아내야 합니다.
#
# 그런 수는 드물기도 합니다. 뽑은 수 가운데 0이 둘 이상인 것은 ⟨zeros_share⟩입니다. 어려워서 틀리는 것인지 드물어서 틀리는 것인지는 이 표로 가릴 수 없습니다. 0이 많은 수를 더 자주 뽑아 다시 가르쳐 보면 가릴 수 있습니다.
# %% [markdown] tags=["lang-en"]
# Of the ⟨wrong_more⟩ wrong ones, ⟨wrong_with_zeros⟩ are **numbers with two or more zeros**. Of such numbers ⟨wrong_zeros⟩ are wrong, of the others ⟨wrong_few⟩. A 0 is not read, so it leaves no trace in Korean. How many zeros to put where, or where to stop reading, must be worked out from what is not there.
#
# Such numbers are also rare: ⟨zeros_share⟩ of those drawn have two or more zeros. Whether they go wrong because they are hard or because they are rare, this table cannot tell. Drawing them more often and training again would.

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-outside -->
# ### 배운 것의 바깥
#
# 배운 범위 밖의 것을 넣으면 어떻게 될까요? 규칙을 배운 것이라면 조금 벗어나도 맞아야 합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-outside -->
# ### Outside of what it learned
#
# What happens beyond the range that it learned? If it has learned the rule, a little outside should still be right.

# %%
strange = {
    "March 5, 1776": "1776년 3월 5일",  # years begin at 1900
    "March 5, 2345": "2345년 3월 5일",
    "5 Mar 1926": "1926년 3월 5일",  # a spelling it has not met
    "February 30, 2026": "2026년 2월 30일",  # no such day
    "12345": "만 이천삼백사십오",  # no comma
    "0012": "십이",
    "일만": "10,000",  # not how it is spelled
    "만이천삼백사십오": "12,345",  # no space
    "123,456,789": "일억 이천삼백사십오만 육천칠백팔십구",
}
said = task.translate(model, tokenizer, list(strange))
outside = pd.DataFrame({"hoped for": strange.values(), "it wrote": said},
                       index=list(strange))
good = [a == b for a, b in zip(strange.values(), said, strict=True)]
outside.assign(**{"": ["✓" if right else "✗" for right in good]})

# %% tags=["remove-cell"]
record(outside=len(strange), outside_right=sum(good))

# %% [markdown] tags=["lang-ko"]
# ⟨outside⟩개 가운데 ⟨outside_right⟩개가 맞았습니다. 사람이라면 맞힐 것들입니다. 쉼표나 빈칸 하나가 빠졌을 뿐인데 답이 달라지기도 합니다. 떼어 둔 값을 다 맞힌 모델이라고 해서 사람이 말하는 뜻의 규칙을 배웠다고 할 수는 없습니다. **시험지와 같은 곳에서 뽑은 문제를 잘 푸는 것**과 규칙을 아는 것은 다릅니다.
# %% [markdown] tags=["lang-en"]
# ⟨outside_right⟩ of ⟨outside⟩ are right. People would get them right. A missing comma or space can be enough to change the answer. A model that gets the values set aside right has not thereby learned the rule in the sense in which people mean it. **Doing well on questions drawn from the same place** is one thing, knowing the rule another.

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-trials -->
# ## 설정 하나씩 바꾸어 보기
#
# 이 장의 설정은 논문과 몇 군데 다릅니다. 날짜만, 배치를 절반으로 줄여 ⟨trial_steps⟩스텝 가르치면서 하나씩 바꾸어 봅니다. 배치의 내용과 순서는 모두 같습니다. 손실은 설정마다 뜻이 다르지 않도록 레이블 스무딩을 빼고 잽니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-trials -->
# ## Change one setting at a time
#
# This chapter departs from the paper in a few settings. We teach dates alone, in batches half as large, for ⟨trial_steps⟩ steps and change one thing at a time; the batches and their order are the same for all. The loss is measured without label smoothing, so that it means the same for each.

# %%
trial = replace(recipe, steps=cfg.trial_steps, evaluations=10,
                schedule="cosine", precision="no", batch=cfg.batch // 2)
trials = {
    "as here": (trial, smoothing, {}),
    "no smoothing": (trial, 0.0, {}),
    "no warm-up": (replace(trial, warmup=1), smoothing, {}),
    "Noam": (replace(trial, schedule="noam"), smoothing, {}),
    "norm after": (trial, smoothing, {"norm_first": False}),
}
exam = [task.unseen("date", min(400, cfg.tests), seed=8)]
exam_batch = to_device(task.collate(exam[0], tokenizer))


@torch.no_grad()
def plain_loss(model):
    total, tokens = translation_loss(model, exam_batch, eps=0.0)
    return total / tokens

# %%
outcome, trial_curves = {}, {}
for name, (chosen, eps, changes) in trials.items():
    candidate = new_model(**changes)
    dates_only = supply(kinds=("date",), size=chosen.batch)
    losses = fit(candidate, dates_only, chosen,
                 loss=lambda m, b, eps=eps: translation_loss(m, b, eps),
                 evaluate=plain_loss, name=name)
    said = task.translate(candidate, tokenizer,
                          [pair.source for pair in exam[0]])
    trial_curves[name] = losses
    outcome[name] = {
        "loss": losses.valid[-1],
        "exact match": task.exact_match(
            said, [pair.target for pair in exam[0]])}
outcome = pd.DataFrame(outcome).T

# %% tags=["hide-input"]
figure, axis = plt.subplots(figsize=(7.2, 3))
for (name, losses), colour in zip(trial_curves.items(), COLOURS.values(),
                                  strict=False):
    axis.plot(losses.step, losses.valid, color=colour, marker="o",
              markersize=3, label=name)
axis.set(xlabel="step", ylabel="loss (nats)", yscale="log")
axis.legend()
show(figure, table=outcome)

# %% [markdown] tags=["lang-ko", "caption"]
# 설정 하나씩만 바꾼 다섯 번의 짧은 학습. 떼어 둔 날짜의 손실을 레이블 스무딩 없이 쟀습니다. 표에는 마지막 손실과 정확히 맞힌 비율이 있습니다.
# <!-- alt: 스텝에 따른 손실의 선 다섯 개, 세로는 로그 눈금. 웜업이 없는 것이 처음에 가장 빨리 내려오지만 곧 따라잡힌다. 스무딩이 없는 것이 끝에서 다른 것보다 훨씬 낮고, 나머지는 끝에서 서로 가깝다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Five short trainings that differ in one setting each; the loss on dates set aside, measured without label smoothing. The table holds the last loss and the exact match.
# <!-- alt: Five lines of loss over steps, on a log scale. The one with no warm-up falls fastest at first and is soon caught up with. The one with no smoothing ends far below the others, which end close together. -->

# %% tags=["remove-input"]
for short, name in zip(("here", "plain", "cold", "noam", "post"),
                       outcome.index, strict=True):
    loss, share = outcome.loc[name]
    record(f"trial_{short}", share, text=f"{share:.1%}")
    record(f"trial_{short}_loss", loss)
record(trial_steps=cfg.trial_steps, trial_tests=len(exam[0]))

# %% [markdown] tags=["lang-ko"]
# 떼어 둔 날짜를 정확히 맞힌 비율로 견줍니다. 이 장의 설정은 ⟨trial_here⟩입니다.
#
# - **Noam**은 ⟨trial_noam⟩에 그쳤습니다. 꼭대기의 높이는 같지만 끝까지 학습률이 높아서 마무리가 덜 되었습니다. 논문의 모델은 100,000스텝을 학습했으니 거기서는 끝이 충분히 낮습니다. 일정의 좋고 나쁨이 아니라 길이에 맞느냐의 문제입니다.
# - **웜업 없이**는 처음에 오히려 앞서지만 ⟨trial_cold⟩에서 끝났습니다.
# - **스무딩 없이**는 손실이 ⟨trial_plain_loss⟩까지 내려갑니다. 이 장의 설정에서는 ⟨trial_here_loss⟩입니다. 스무딩은 옳은 토큰에도 확률을 다 걸지 않도록 가르치니 당연합니다. 맞힌 비율은 ⟨trial_plain⟩입니다.
# - **더한 뒤 정규화**는 논문의 순서이고 ⟨trial_post⟩입니다. 층이 이렇게 적으면 어느 쪽이든 잘 배웁니다.
#
# 시드 하나로 날짜 ⟨trial_tests⟩개를 시험한 것이므로 몇 %의 차이는 우연일 수 있습니다. 스무딩이 번역의 점수를 올린다는 논문의 결과는 이 과제에서 확인되지 않았습니다.
# %% [markdown] tags=["lang-en"]
# We compare the exact match on dates set aside. The settings of this chapter reach ⟨trial_here⟩.
#
# - **Noam** stops at ⟨trial_noam⟩. Its peak is as high, but its rate stays high to the end and the finish is rough. The model of the paper took 100,000 steps, and there the end is low enough: a schedule is not good or bad, it fits the length or it does not.
# - **No warm-up** is ahead at first and ends at ⟨trial_cold⟩.
# - **No smoothing** lets the loss go down to ⟨trial_plain_loss⟩; here it is ⟨trial_here_loss⟩. That is as it should be: smoothing teaches not to stake everything even on the right token. Its exact match is ⟨trial_plain⟩.
# - **Norm after** is the order of the paper and comes to ⟨trial_post⟩. With so few layers, either order learns well.
#
# This is one seed and ⟨trial_tests⟩ dates, so a few % may be chance. The paper's finding that smoothing raises the score of translations is not confirmed on this task.

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-exercises -->
# ## 연습 문제
#
# 빈칸(`...`)을 채운 다음 바로 아래 셀을 실행하면 답이 맞는지 알 수 있습니다. 풀이는 접어 두었습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-exercises -->
# ## Exercises
#
# Fill in the gap (`...`) and run the next cell: it tells you whether the answer holds. Solutions are folded.

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-exercise-shift -->
# ### 1. 한 칸 밀기 (★, 5분)
#
# `<bos>`로 시작하고 `<eos>`로 끝나며 뒤가 패딩(0)으로 채워진 배치 `target`(`(batch, seq)`)을 받아, 디코더가 읽을 것과 말해야 할 것을 순서대로 돌려주십시오.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-exercise-shift -->
# ### 1. Shift by one (★, 5 minutes)
#
# Given a batch `target`, `(batch, seq)`, whose rows begin with `<bos>`, end with `<eos>` and are filled up with padding (0), return what the decoder reads and what it should say, in this order.

# %% tags=["exercise"]
def my_shift(target):
    ...

# %%
from lib.exercises.training import check_shift

check_shift(my_shift)

# %% tags=["solution", "hide-cell"]
def shift_solution(target):
    return target[:, :-1], target[:, 1:]


check_shift(shift_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-exercise-noam -->
# ### 2. 논문의 학습률 (★, 8분)
#
# 스텝 `step`(1부터), 폭 `d_model`, 웜업의 길이 `warmup`을 받아 논문의 학습률을 돌려주십시오. 웜업이 끝나는 스텝에서 두 식의 값이 같은지도 확인해 보십시오.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-exercise-noam -->
# ### 2. The learning rate of the paper (★, 8 minutes)
#
# Given `step` (from 1 on), the width `d_model` and the length `warmup` of the warm-up, return the learning rate of the paper. Check that at the step where the warm-up ends the two formulas agree.

# %% tags=["exercise"]
def my_noam(step, d_model, warmup):
    ...

# %%
from lib.exercises.training import check_noam

check_noam(my_noam)

# %% tags=["solution", "hide-cell"]
def noam_solution(step, d_model, warmup):
    return d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)


check_noam(noam_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-exercise-smoothing -->
# ### 3. 손실을 손으로 (★★, 12분)
#
# 로짓(logit) `logits`(`(batch, seq, vocab)`)와 정답 `labels`(`(batch, seq)`, 패딩은 0), 레이블 스무딩의 `eps`를 받아 손실의 평균을 돌려주십시오. `F.cross_entropy`는 쓰지 않습니다. 패딩을 어디에서 빼야 하는지가 이 문제의 핵심입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-exercise-smoothing -->
# ### 3. The loss by hand (★★, 12 minutes)
#
# Given `logits`, `(batch, seq, vocab)`, the right answers `labels`, `(batch, seq)` with 0 for padding, and the `eps` of label smoothing, return the mean loss. Do not use `F.cross_entropy`. The point is where padding has to be left out.

# %% tags=["exercise"]
def my_loss(logits, labels, eps):
    ...

# %%
from lib.exercises.training import check_smoothing

check_smoothing(my_loss)

# %% tags=["solution", "hide-cell"]
def loss_solution(logits, labels, eps):
    surprise = -logits.log_softmax(-1)
    right = surprise.gather(-1, labels[..., None])[..., 0]
    each = (1 - eps) * right + eps * surprise.mean(-1)
    return each[labels != 0].mean()


check_smoothing(loss_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-exercise-read -->
# ### 4. 한국어 수 읽기 (★★, 15분)
#
# 모델이 배운 것을 직접 써 봅니다. `만 이천삼백사십오` 같은 글을 받아 정수를 돌려주십시오. 숫자는 바로 뒤의 단위에 곱하고, 단위 앞에 숫자가 없으면 1이며, 만 앞의 수는 통째로 10,000배입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-exercise-read -->
# ### 4. Read Korean numbers (★★, 15 minutes)
#
# Write yourself what the model has learned: given a text such as `만 이천삼백사십오`, return the integer. A digit multiplies the unit right after it, a unit with no digit counts once (1), and all that stands before 만 is taken 10,000 times.

# %% tags=["exercise"]
def my_read(text):
    ...

# %%
from lib.exercises.training import check_read

check_read(my_read)

# %% tags=["solution", "hide-cell"]
def read_solution(text):
    units = {"십": 10, "백": 100, "천": 1000}
    total = group = digit = 0
    for letter in text.replace(" ", ""):
        if letter == "만":
            total, group, digit = (group + digit or 1) * 10_000, 0, 0
        elif letter in units:
            group, digit = group + (digit or 1) * units[letter], 0
        else:
            digit = "일이삼사오육칠팔구".index(letter) + 1
    return total + group + digit


check_read(read_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-exercise-greedy -->
# ### 5. 혼자 쓰게 하기 (★★★, 15분)
#
# 함수 `following(ids)`는 지금까지 쓴 토큰 전부를 받아 다음 토큰의 로짓 `(vocab,)`을 돌려줍니다. `<bos>`(1)에서 시작해 가장 그럴듯한 토큰을 이어 쓰다가 `<eos>`(2)를 쓰거나 모두 `limit`개가 되면 멈추는 반복문을 쓰고, 쓴 것을 `<bos>`부터 모두 돌려주십시오.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-exercise-greedy -->
# ### 5. Let it write alone (★★★, 15 minutes)
#
# The function `following(ids)` takes all tokens written so far and returns the logits `(vocab,)` of the next one. Write the loop that begins with `<bos>` (1), appends the likeliest token, and stops once it has written `<eos>` (2) or holds `limit` tokens; return all of them, `<bos>` included.

# %% tags=["exercise"]
def my_greedy(following, limit):
    ...

# %%
from lib.exercises.training import check_greedy

check_greedy(my_greedy)

# %% tags=["solution", "hide-cell"]
def greedy_solution(following, limit):
    ids = [1]
    while len(ids) < limit and ids[-1] != 2:
        ids.append(int(following(ids).argmax()))
    return ids


check_greedy(greedy_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: train-measured -->
# ## 무엇을 무엇으로 쟀는가
#
# | 잰 것 | 결과 |
# |---|---|
# | 날짜, 정확히 맞힘 | ⟨exact_dates⟩(영어로 ⟨date_ko_en⟩, 한국어로 ⟨date_en_ko⟩) |
# | 수, 정확히 맞힘 | ⟨exact_numbers⟩(영어로 ⟨number_ko_en⟩, 한국어로 ⟨number_en_ko⟩) |
# | 여섯 줄과 `fit`의 손실 차이 | ⟨loop_gap⟩ |
# | 같은 시드로 다시 한 손실 차이 | ⟨again_gap⟩ |
# | 나눈 배치와 큰 배치의 기울기 차이(float64) | ⟨parts_gap⟩ |
# | 짝에 준 가중치, 배우기 전과 뒤 | ⟨partner_start⟩, ⟨partner_best⟩ |
# | 학습한 쌍 | ⟨pairs_seen⟩개, ⟨seconds⟩초 |
#
# 시드 하나, 설정 하나의 결과입니다. 시드를 바꾸면 맞히는 비율도, 어느 헤드가 순서를 뒤집는지도 달라집니다. 걸린 시간은 이 실행의 것이며 도중에 들여다본 시간도 들어 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: train-measured -->
# ## What was measured, and on what
#
# | measured | result |
# |---|---|
# | Dates, exact match | ⟨exact_dates⟩ (into English ⟨date_ko_en⟩, into Korean ⟨date_en_ko⟩) |
# | Numbers, exact match | ⟨exact_numbers⟩ (into English ⟨number_ko_en⟩, into Korean ⟨number_en_ko⟩) |
# | Losses of the six lines against `fit` | ⟨loop_gap⟩ |
# | Losses of the same seed again | ⟨again_gap⟩ |
# | Gradient of the batch in parts against the whole (float64) | ⟨parts_gap⟩ |
# | Weight on the partner, before and after training | ⟨partner_start⟩, ⟨partner_best⟩ |
# | Pairs trained on | ⟨pairs_seen⟩, in ⟨seconds⟩ seconds |
#
# This is one seed and one choice of settings. With another seed the shares change, and so does the head that turns the order around. The time is that of this run and includes the moments at which we looked.

# %% tags=["remove-input"]
pd.DataFrame([
    ["모델 | Model", f"{cfg.n_layers} + {cfg.n_layers}, d = {cfg.d_model}"],
    ["학습 | Training",
     f"{cfg.steps} × {cfg.batch}, {schedule}, ε = {smoothing:g}"],
    ["학습률 | Learning rate", f"{cfg.learning_rate:g}"],
    ["시드 | Seed", str(seed)],
    ["장치, 스레드 | Device, threads",
     f"{cfg.device}, {torch.get_num_threads()}"],
    ["torch", torch.__version__],
    ["프로필 | Profile", cfg.profile],
], columns=["재료 | made with", "이 실행 | this run"]).set_index(
    "재료 | made with")
