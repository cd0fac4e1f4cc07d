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
# <!-- label: realign-top -->
# # 임베딩 다시 맞추기: 새 조각에 첫 행을 주는 법
#
# 어휘(vocabulary)의 자리 몇 개에 새 조각을 앉히면 토크나이저(tokenizer)는 달라지지만 모델은 그대로입니다. 그 자리의 임베딩(embedding) 행은 아직 옛 조각을 뜻합니다. 이 행들을 새 조각에 맞추는 일이 **재정렬**(realignment)입니다. 이 장에서는 학습을 한 걸음도 하지 않고 새 행을 만드는 방법 다섯 가지를 실제 모델에서 재어 봅니다.
#
# - **할 수 있게 되는 것.** 토크나이저가 서로 다른 모델을 바이트당 비트(bits per byte)로 견주고, 새 행을 다섯 가지로 만들고, 입력 표와 출력 표에 미치는 영향을 따로 잽니다.
# - **걸리는 시간.** 읽기 35분, 연습 문제 25분.
# - **필요한 것.** [토크나이저 증류(distillation)](15_tokenizer_distillation.ipynb)에서 본 유니그램(Unigram), [어휘 재할당(reassignment)](16_reassigning.ipynb), 소프트맥스(softmax), 교차 엔트로피(cross-entropy).
# %% [markdown] tags=["lang-en"]
# <!-- label: realign-top -->
# # Realigning embeddings: a first row for each new piece
#
# Seat new pieces in a few places of the vocabulary, and the tokenizer has changed but the model has not: the embedding rows of those places still mean the old pieces. Fitting these rows to the new pieces is **realignment**. This chapter makes new rows in five ways, without one step of training, and measures them on a real model.
#
# - **You will be able to** compare models with different tokenizers in bits per byte, make new rows in five ways, and measure what they do in the input table and in the output table apart.
# - **Time.** 35 minutes to read, 25 for the exercises.
# - **You need** the Unigram of [tokenizer distillation](15_tokenizer_distillation.ipynb), [reassigning a vocabulary](16_reassigning.ipynb), the softmax, cross-entropy.

# %% tags=["parameters"]
profile: str = None  # smoke, book or gpu; None follows BOOK_PROFILE, else book
reviews: int = None  # Korean documents the pieces come from; None: the profile
pieces: int = None  # ids that are reassigned; None: the profile
documents: int = None  # Korean documents to measure on; None: the profile
letters: int = None  # of each English document; None: the profile
passes: int = None  # of the distillation; None: the profile
read: int = None  # documents that hidden_states reads; None: the profile
layers: int = None  # of the model, from the first; None: the profile
seed = 0  # of the random rows and of the batches of hidden_states
device = "auto"  # auto, cpu, cuda or mps

# %% tags=["hide-input"]
import pandas as pd
import torch
from matplotlib import pyplot as plt

from lib import data
from lib.page.figures import COLOURS, show, use_style
from lib.page.profile import expect, settings
from lib.page.record import record

use_style()
names = ("reviews", "pieces", "documents", "letters", "passes", "read",
         "layers")
smoke, book, gpu = (dict(zip(names, row, strict=True)) for row in (
    (200, 24, 2, 60, 1, 4, 2), (4000, 400, 12, 240, 12, 70, 30),
    (40_000, 2000, 400, 600, 40, 2000, 30)))
given = {name: globals()[name] for name in names}
expect(int, seed=seed)
cfg = settings(profile, smoke=smoke, book=book, gpu=gpu, given=given,
               device=device, seed=seed)

# %% [markdown] tags=["lang-ko"]
# <!-- label: realign-swap -->
# ## 바뀐 어휘
#
# 모델은 SmolLM2-135M-Instruct이고 분야는 한국어 글입니다. `korean_swap`은 앞선 두 단계를 작은 규모로 합니다. BPE를 같은 번호의 유니그램으로 증류한 다음, 거의 쓰이지 않는 번호 ⟨n_new⟩개에 한국어 글의 토큰(token)을 가장 많이 줄이는 조각을 앉힙니다. 어휘의 크기는 그대로입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: realign-swap -->
# ## The vocabulary that changed
#
# The model is SmolLM2-135M-Instruct, the domain Korean text. `korean_swap` does the two stages before this one at small scale: it distills the BPE into a Unigram with the same ids, and then gives ⟨n_new⟩ ids that are hardly used to the pieces that save most tokens of the Korean text. The size of the vocabulary stays.

# %%
from lib.vocabulary.small import korean_swap

swap = korean_swap(
    reviews=cfg.reviews, pieces=cfg.pieces, documents=cfg.documents,
    letters=cfg.letters, passes=cfg.passes, seed=seed)
original, unigram, remapped = swap.original, swap.unigram, swap.remapped
held, prose = swap.held, swap.prose

# %%
from lib.vocabulary.rows import reassigned

change = reassigned(original, remapped)


def text_of(tokenizer, ids):
    return [tokenizer.decode([i], skip_special_tokens=False) for i in ids]


pd.DataFrame(
    {"번호 | id": change.ids[-6:],
     "옛 조각 | old piece": text_of(original, change.ids[-6:]),
     "새 조각 | new piece": text_of(remapped, change.ids[-6:]),
     "옛 토큰으로는 | in old tokens":
         [" · ".join(map(str, s)) for s in change.spellings[-6:]]})

# %% [markdown] tags=["lang-ko"]
# 마지막 열은 **옛 토크나이저가** 새 조각을 적던 토큰 번호들입니다. 새 조각의 뜻을 모델이 조금이라도 알고 있다면 그 앎은 이 토큰들을 거칩니다. 그래서 이 열이 이 장의 재료입니다.
# %% [markdown] tags=["lang-en"]
# The last column holds the ids with which **the old tokenizer** spelled the new piece. Whatever the model knows of the piece, it knows by way of these tokens, so this column is what the chapter works with.

# %% [markdown] tags=["lang-ko"]
# <!-- label: realign-bits -->
# ## 토크나이저가 달라도 견줄 수 있는 자: 바이트당 비트
#
# 토큰당 손실(loss)로는 둘을 견줄 수 없습니다. 굵게 자르는 쪽은 토큰이 적은 대신 하나하나가 맞히기 어렵습니다. 글의 길이를 바이트로 재면 토크나이저와 상관이 없으므로, 글 $d$를 이루는 모든 토큰에서 놀란 정도 $-\ln p$([학습](05_training.ipynb))를 더해 바이트 수로 나눕니다.
#
# $$\mathrm{bpb}=\frac{1}{\ln 2}\cdot\frac{-\sum_d\sum_i \ln p(t_i\mid \text{start},t_1,\dots,t_{i-1})}{\sum_d \text{bytes}(d)}$$
#
# 글마다 맨 앞에 `<|endoftext|>`를 두어 첫 토큰도 셈에 넣습니다. 글의 끝은 맞히게 하지 않습니다. 재는 글은 새 조각을 고를 때 쓰지 않은 한국어 ⟨n_held⟩편과 영어 위키백과 ⟨n_prose⟩토막입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: realign-bits -->
# ## A ruler that fits every tokenizer: bits per byte
#
# Loss per token cannot compare the two. A tokenizer that cuts more coarsely needs fewer tokens, but each is harder to predict. The length of the text in bytes depends on no tokenizer, so the surprise $-\ln p$ ([training](05_training.ipynb)) of all tokens of each document $d$ is added up and divided by bytes.
#
# $$\mathrm{bpb}=\frac{1}{\ln 2}\cdot\frac{-\sum_d\sum_i \ln p(t_i\mid \text{start},t_1,\dots,t_{i-1})}{\sum_d \text{bytes}(d)}$$
#
# `<|endoftext|>` stands before every document, so that its first token counts as well; the end is not asked for. The texts are ⟨n_held⟩ Korean documents that had no part in choosing pieces, and ⟨n_prose⟩ pieces of English Wikipedia.

# %%
from lib.vocabulary.bits_per_byte import bits_per_byte
from lib.vocabulary.rows import load_model, untie

model = load_model(str(data.path("smollm2"))).to(cfg.device)
model.model.layers = model.model.layers[:cfg.layers]
untie(model)  # two tables, with the same numbers so far


def measure(model, tokenizer):
    return [bits_per_byte(model, tokenizer, texts, tokens=1024)
            for texts in (held, prose)]


# %%
before, before_en = measure(model, original)
same, same_en = measure(model, unigram)
raw, raw_en = measure(model, remapped)
record(n_new=len(change), n_held=len(held), n_prose=len(prose),
       before=before.per_byte, before_en=before_en.per_byte,
       same=same.per_byte, same_en=same_en.per_byte, raw_en=raw_en.per_byte,
       raw=raw.per_byte, tokens_before=before.tokens,
       tokens_after=raw.tokens, n_bytes=before.bytes)

# %% tags=["hide-input"]
pd.DataFrame(
    {"토큰 | tokens": [one.tokens for one in (before, same, raw)],
     "토큰당 비트 | bits per token":
         [one.per_token for one in (before, same, raw)],
     "바이트당 비트 | bits per byte":
         [one.per_byte for one in (before, same, raw)],
     "영어 | English":
         [one.per_byte for one in (before_en, same_en, raw_en)]},
    index=["옛 어휘, BPE | old vocabulary, BPE",
           "옛 어휘, 유니그램 | old vocabulary, Unigram",
           "새 어휘, 옛 행 | new vocabulary, old rows"]).round(3)

# %% [markdown] tags=["lang-ko"]
# 같은 글 ⟨n_bytes⟩바이트가 ⟨tokens_before⟩토큰에서 ⟨tokens_after⟩토큰으로 줄었습니다. 그러나 새 번호의 행이 엉뚱한 옛 조각을 뜻하므로 모델은 이 글을 전보다 훨씬 못 맞힙니다. 바이트당 ⟨before⟩비트이던 것이 ⟨raw⟩비트입니다. 가운데 줄은 증류만 한 것입니다. 이 장의 증류는 작고 짧아서 글이 옛 토크나이저와 꼭 같게 잘린다는 보장이 없으므로, 그 몫을 따로 보려고 적었습니다. 영어는 증류 전 ⟨before_en⟩비트, 증류 뒤 ⟨same_en⟩비트입니다.
# %% [markdown] tags=["lang-en"]
# The same ⟨n_bytes⟩ bytes went from ⟨tokens_before⟩ tokens to ⟨tokens_after⟩. But the rows of the new ids mean something else, so the model predicts the text far less well: ⟨before⟩ bits per byte have become ⟨raw⟩. The row between is distillation alone. That of this chapter is small and short, and nothing promises that it cuts all text as before, so its part is shown by itself: English takes ⟨before_en⟩ bits before distillation and ⟨same_en⟩ after.

# %% [markdown] tags=["lang-ko"]
# <!-- label: realign-strategies -->
# ## 표만 보고 만드는 네 가지 행
#
# 표 $E$의 행을 $e_t$, 새 조각을 적던 옛 토큰을 $t_1,\dots,t_k$라고 하겠습니다.
#
# | `init_strategy` | 새 행 |
# |---|---|
# | `mean` | 모든 행의 평균 $\bar e$ |
# | `random` | 차원마다 평균과 표준편차를 맞춘 정규 난수 |
# | `zeros` | $0$ |
# | `constituents` | $\frac1k\sum_j e_{t_j}$, 옛 토큰들의 평균 |
#
# SmolLM2와 GPT-2는 입력 표와 출력 표가 한 몸입니다. 그래서 한 행이 두 가지 일을 합니다. 들어갈 때는 그 조각의 뜻을 나르고, 나올 때는 그 조각이 올 자리인지를 은닉 상태(hidden state)와의 내적(dot product)으로 답합니다. 두 일을 따로 보려고 위에서 표를 둘로 나누었습니다(`untie`). 나누기만 해서는 로짓(logit)이 하나도 바뀌지 않습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: realign-strategies -->
# ## Four kinds of rows from the table alone
#
# Let $e_t$ be the rows of the table $E$, and $t_1,\dots,t_k$ the old tokens that spelled a new piece.
#
# | `init_strategy` | the new row |
# |---|---|
# | `mean` | the mean $\bar e$ of all rows |
# | `random` | normal numbers with mean and standard deviation of each dimension |
# | `zeros` | $0$ |
# | `constituents` | $\frac1k\sum_j e_{t_j}$, the mean over the old tokens |
#
# In SmolLM2 and GPT-2 the input table and the output table are one. A row does two jobs there: going in it carries the meaning of its piece, going out it answers, by a dot product with the hidden state, whether the piece comes next. To see the two apart, the cell above parted the tables (`untie`). Parting alone changes no logit.

# %%
from lib.vocabulary.realign import make_rows
from lib.vocabulary.rows import put_rows

old_rows = model.get_input_embeddings().weight[change.ids].detach().clone()
reading = [*swap.domain[:cfg.read],
           *(text[:300] for text in swap.english[:cfg.read // 8])]


def sides(strategy):
    """Bits with the new rows in one table, in both, in one for both."""
    put_rows(model, change.ids, old_rows, old_rows)
    own = make_rows(model, original, remapped, strategy, texts=reading,
                    seed=seed)
    for side, wte, head in (("input", own.wte, old_rows),
                            ("output", old_rows, own.lm_head),
                            ("both", own.wte, own.lm_head),
                            ("one table", own.lm_head, own.lm_head)):
        if side != "one table" or not torch.equal(own.wte, own.lm_head):
            put_rows(model, change.ids, wte, head)
            bits = measure(model, remapped)
        yield strategy, side, *bits

# %%
from lib.vocabulary.rows import CLOSED

found = [row for strategy in CLOSED for row in sides(strategy)]


def frame(found):
    told = [(strategy, side, ko.per_byte, en.per_byte)
            for strategy, side, ko, en in found]
    columns = ["strategy", "rows in", "Korean", "English"]
    return pd.DataFrame(told, columns=columns).set_index(columns[:2])


frame(found).unstack().round(3)["Korean"]

# %% [markdown] tags=["lang-ko"]
# 행은 방법, 열은 새 행을 어디에 넣었는지입니다. `input`은 입력 표에만, `output`은 출력 표에만, `both`는 나눈 두 표 모두에, `one table`은 입력과 출력이 한 행을 함께 쓰는, 본래의 모델입니다. 표만 보고 만든 행은 두 표에서 같으므로 `both`와 `one table`의 값이 같습니다. `input`과 `output`에서는 다른 한 표에 옛 조각의 행이 남아 있습니다.
# %% [markdown] tags=["lang-en"]
# Rows are strategies, columns say where the new rows went: `input` and `output` into one of the two parted tables, `both` into the two, `one table` is the model as it was built, in which input and output share a row. Rows made from the table alone are the same for both tables, so `both` and `one table` agree. With `input` and `output`, the other table still has the rows of the old pieces.

# %% [markdown] tags=["lang-ko"]
# <!-- label: realign-hidden -->
# ## 은닉 상태에서 배우는 행
#
# 평균은 글을 한 줄도 읽지 않고 만듭니다. 글을 읽으면 더 잘할 수 있습니다. 새 조각을 옛 토큰으로 풀어 적은 글을 옛 모델에 한 번 읽히면, 새 조각이 올 자리마다 바로 앞의 은닉 상태 $h_i$를 얻습니다. 새 출력 행 $R_r$은 그 상태를 보고 조각을 맞혀야 합니다. 옛 행을 모두 붙들어 두면 이것은 볼록한 문제이고, 모델을 거꾸로 지나는 계산이 필요 없습니다.
#
# $$\min_R \sum_i\Bigl[\ln\Bigl(e^{a_i}+\sum_r e^{h_i\cdot R_r}\Bigr)-[y_i\text{가 새 조각}]\;h_i\cdot R_{y_i}\Bigr]+\lambda\lVert R-R_0\rVert^2$$
#
# $a_i=\ln\sum_t e^{h_i\cdot e_t}$는 남은 행들의 로짓(logit)을 하나로 합친 값이고 $R_0$은 `constituents`입니다. 글에 드물게 나오는 조각은 $\lambda$가 $R_0$ 가까이에 붙들어 둡니다. 표가 하나인 모델에서는 이 행을 입력에도 씁니다. 이 방법의 이름은 `hidden_states`입니다. 옛 토큰으로 읽은 은닉 상태를 새 행의 스승으로 삼는다는 생각은 Token Distillation(Dobler 등, 2025)과 같습니다. 그쪽은 경사를 모델 끝까지 되돌려 입력 행을 배우고, 여기서는 한 번 읽은 상태로 출력 행을 풉니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: realign-hidden -->
# ## Rows learned from hidden states
#
# The mean is made without reading a line of text; reading does better. Let the old model read text in which the new pieces are spelled out in old tokens. At every place where a new piece comes, that gives the hidden state $h_i$ just before it, and the new output rows $R_r$ should predict the piece from there. With all old rows held fixed the problem is convex, and nothing is passed back through the model.
#
# $$\min_R \sum_i\Bigl[\ln\Bigl(e^{a_i}+\sum_r e^{h_i\cdot R_r}\Bigr)-[y_i\text{ is new}]\;h_i\cdot R_{y_i}\Bigr]+\lambda\lVert R-R_0\rVert^2$$
#
# $a_i=\ln\sum_t e^{h_i\cdot e_t}$ joins the logits of all rows that stay, and $R_0$ is `constituents`: $\lambda$ keeps pieces that the text seldom shows near it. In a model of one table the same rows serve the input. This strategy is called `hidden_states`. That hidden states under the old tokens should teach the new rows is the idea of Token Distillation (Dobler et al., 2025), which passes gradients through the whole model to learn input rows; here the states are read once and output rows are solved for.

# %%
found += sides("hidden_states")
table = frame(found)
one = table.xs("one table", level=1)
record(**{f"{name}_ko": one.loc[name, "Korean"] for name in one.index},
       **{f"{name}_en": one.loc[name, "English"] for name in one.index})
both = table.xs("both", level=1)
record(parted_constituents=both.loc["constituents", "Korean"],
       parted_hidden=both.loc["hidden_states", "Korean"])

# %% tags=["hide-input", "cover"]
figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.4), sharey=True)
marks = {"input": "<", "output": ">", "both": "o", "one table": "D"}
colours = ("gravity", "plum", "grey", "attention")
for axis, kind, start in zip(axes, ("Korean", "English"),
                             (before, before_en), strict=True):
    axis.axvline(start.per_byte, color=COLOURS["tokens"], lw=1.5,
                 label="before")
    for (side, mark), colour in zip(marks.items(), colours, strict=True):
        part = table.xs(side, level=1)[kind]
        axis.plot(part, range(len(part)), mark, color=COLOURS[colour],
                  label=side, ms=7, alpha=0.85)
    axis.set(title=kind, xlabel="bits per byte")
axes[0].set_yticks(range(len(one)), one.index)
axes[0].invert_yaxis()
figure.legend(*axes[0].get_legend_handles_labels(), ncols=5,
              loc="outside lower center")
show(figure, table=table.round(3).unstack())

# %% [markdown] tags=["lang-ko", "caption"]
# 방법 다섯 가지와 바이트당 비트(왼쪽일수록 좋음). 청록색 세로줄은 어휘를 바꾸기 전의 모델입니다.
# <!-- alt: 점 그래프 두 개. 왼쪽은 한국어, 오른쪽은 영어. 한국어에서는 constituents와 hidden_states를 두 표 모두나 한 표에 넣은 점이 가장 왼쪽에 있고, 입력 표나 출력 표 하나에만 넣은 점은 그보다 오른쪽에 있다. 출력에 zeros를 넣은 점들이 멀리 오른쪽에 떨어져 있다. 영어에서는 출력에 random을 넣은 점들이 가장 오른쪽에 있고, 나머지는 바꾸기 전의 세로줄에 가깝다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Five strategies in bits per byte (further left is better). The teal line is the model before its vocabulary changed.
# <!-- alt: Two dot plots, Korean on the left, English on the right. In Korean the points of constituents and hidden_states in both tables or in the one table lie furthest left, and those with new rows in the input or output table alone lie right of them. Those with zeros in the output lie far off to the right. In English those with random rows in the output lie furthest right, and the others near the line of before. -->

# %% [markdown] tags=["lang-ko"]
# 표가 하나인 모델에서 한국어는 `mean` ⟨mean_ko⟩, `random` ⟨random_ko⟩, `zeros` ⟨zeros_ko⟩, `constituents` ⟨constituents_ko⟩, `hidden_states` ⟨hidden_states_ko⟩비트입니다. 바꾸기 전은 ⟨before⟩비트입니다. 새 행을 한쪽에만 넣으면 두 쪽에 넣을 때보다 얻는 것이 훨씬 적습니다. `hidden_states`의 출력 행은 혼자서도 꽤 줄이지만 나머지는 그렇지 않습니다. 입력 표가 새 조각의 뜻을 날라도 출력 표가 그 조각을 부르지 못하거나, 그 반대이기 때문입니다.
# %% [markdown] tags=["lang-en"]
# With one table, Korean takes ⟨mean_ko⟩ bits with `mean`, ⟨random_ko⟩ with `random`, ⟨zeros_ko⟩ with `zeros`, ⟨constituents_ko⟩ with `constituents` and ⟨hidden_states_ko⟩ with `hidden_states`; before the change it was ⟨before⟩. New rows on one side alone gain far less than on both. The output rows of `hidden_states` gain a good deal by themselves, the others do not: either the input carries the meaning of a piece that the output cannot name, or the other way round.

# %% [markdown] tags=["lang-ko"]
# <!-- label: realign-mass -->
# ## 부르지 않은 자리에 나타나는 행
#
# 증류의 몫을 빼면 영어의 값은 세 길로 달라집니다. 첫째, 내놓은 조각이 이 글에 나오면 여러 토큰으로 다시 잘립니다. 둘째, 새 조각이 영어에도 나옵니다. 한국어 글에서 고른 조각에는 앞에 빈칸이 붙은 숫자 따위도 있어서, 이 영어 글에도 새 조각이 ⟨en_uses⟩번 나옵니다. 셋째는 소프트맥스의 분모입니다. 부르지 않은 새 행도 거기에 들어 있습니다. 새 행들이 어느 자리에서 확률 $m$을 가져가면 다른 토큰의 확률은 모두 $1-m$배가 되고, 그 자리에서 $-\log_2(1-m)$비트를 더 냅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: realign-mass -->
# ## Rows that turn up uncalled
#
# Distillation apart, the bits of English change in three ways. A given-up piece that this text uses is cut into several tokens. New pieces occur in English too: those chosen from Korean text include, say, digits with a blank before them, and in this English text new pieces come ⟨en_uses⟩ times. And the new rows stand in the denominator of the softmax, called or not. Where they take the probability $m$, every other token is left with $1-m$ times its own, which costs $-\log_2(1-m)$ bits at that place.

# %%
put_rows(model, change.ids, old_rows, old_rows)
hidden = []
with torch.no_grad():
    for encoding in original.encode_batch(prose):
        row = torch.tensor([[0, *encoding.ids]], device=cfg.device)
        hidden.append(model.base_model(input_ids=row)[0][0, :-1])
hidden = torch.cat(hidden)  # (places, d): before every English token


def mass(strategy):
    """What all new rows take together at each place of the English text."""
    head = model.get_output_embeddings().weight.detach().clone()
    rows = make_rows(model, original, remapped, strategy, seed=seed)
    head[change.ids] = rows.lm_head.to(head)
    return (hidden @ head.T).softmax(-1)[:, change.ids].sum(-1)

# %%
new = set(change.ids)
uses = sum(i in new for text in prose for i in remapped.encode(text).ids)
masses = {name: mass(name) for name in CLOSED}
record(en_uses=uses)
for name, m in masses.items():
    record(f"mass_{name}", m.mean(), text=f"{m.mean().item():.2g}")
pd.DataFrame({
    "확률의 평균 | mean probability": {
        name: f"{m.mean().item():.2g}" for name, m in masses.items()},
    "토큰당 비트 | bits per token": {
        name: f"{torch.log2(1 / (1 - m)).mean().item():.2g}"
        for name, m in masses.items()}})

# %% [markdown] tags=["lang-ko"]
# `random`이 ⟨mass_random⟩으로 가장 많이 가져갑니다. 흩어진 정도가 진짜 행만큼인 난수 행이 ⟨n_new⟩개나 있으면, 어느 자리에서든 우연히 로짓이 큰 행이 있기 마련입니다. `mean`은 ⟨mass_mean⟩입니다. 모두 같은 행이라 우연이 끼어들 틈이 없습니다. `constituents`는 ⟨mass_constituents⟩입니다. 한국어를 적던 토큰을 닮아서 영어의 자리에서 드물게 불립니다. `zeros`는 ⟨mass_zeros⟩입니다. 로짓 0은 다른 행의 로짓이 모두 낮은 자리에서만 눈에 뜨입니다.
#
# 영어에서 `mean`은 남의 자리를 거의 차지하지 않습니다. 그렇다면 한국어에서 나쁜 까닭은 새 조각이 정말 올 자리에서 부르지 못하는 데 있을 것입니다. 한국어 글에서는 이 확률을 재지 않았습니다.
# %% [markdown] tags=["lang-en"]
# `random` takes most, ⟨mass_random⟩: with ⟨n_new⟩ random rows as scattered as real ones, some row has a large logit by chance wherever one looks. `mean` takes ⟨mass_mean⟩; its rows are all the same and leave nothing to chance. `constituents` takes ⟨mass_constituents⟩: it resembles tokens that spelled Korean, and is seldom called in English. `zeros` takes ⟨mass_zeros⟩: a logit of 0 shows only where all others are low.
#
# In English `mean` hardly sits in the seats of others. What makes it bad in Korean, then, is probably that it cannot be called where a new piece does come. The probability was not measured on Korean text.

# %% [markdown] tags=["lang-ko"]
# <!-- label: realign-stage -->
# ## 단계 `align`이 남기는 것
#
# `./setup_and_run.sh run align`은 같은 일을 파일로 합니다. `artifacts/embeddings/`에 표들과 `embeddings.json`이 남습니다.
#
# | 파일 | 내용 |
# |---|---|
# | `original_wte.pt`, `original_wpe.pt` | 모델의 토큰 표, 그리고 절대 위치를 배운 모델(GPT-2)이라면 위치 표 |
# | `aligned_wte.pt` | 뜻이 그대로인 행은 제자리에, 새 행의 자리는 0 |
# | `final_wte.pt` | 새 행까지 채운 표 |
# | `original_lm_head.pt`, `final_lm_head.pt` | 출력 표가 따로 있을 때 |
#
# 모두 텐서 하나뿐이므로 `weights_only=True`로 열립니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: realign-stage -->
# ## What the stage `align` leaves
#
# `./setup_and_run.sh run align` does the same with files. Tables and `embeddings.json` are left in `artifacts/embeddings/`.
#
# | file | holds |
# |---|---|
# | `original_wte.pt`, `original_wpe.pt` | the token table of the model, and that of positions where it learned absolute ones (GPT-2) |
# | `aligned_wte.pt` | rows that kept their meaning in place, zeros where new ones go |
# | `final_wte.pt` | the same with the new rows |
# | `original_lm_head.pt`, `final_lm_head.pt` | where the output table is one of its own |
#
# Each is one plain tensor and opens with `weights_only=True`.

# %% [markdown] tags=["lang-ko"]
# <!-- label: realign-exercises -->
# ## 연습 문제
#
# 빈칸(`...`)을 채운 다음 바로 아래 셀을 실행하면 답이 맞는지 알 수 있습니다. 풀이는 접어 두었습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: realign-exercises -->
# ## Exercises
#
# Fill in the gap (`...`) and run the next cell: it tells you whether the answer holds. Solutions are folded.

# %% [markdown] tags=["lang-ko"]
# <!-- label: realign-exercise-bits -->
# ### 1. 바이트당 비트 (★, 6분)
#
# 글 하나를 이루는 토큰마다 놀란 정도 `nats`(자연로그)와 그 글 `text`를 받아 바이트당 비트를 돌려주십시오.
#
# 힌트: 한글 한 글자는 UTF-8로 세 바이트입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: realign-exercise-bits -->
# ### 1. Bits per byte (★, 6 minutes)
#
# Given the surprise of every token of one text in `nats` (natural logarithm) and the `text`, return bits per byte.
#
# Hint: a Hangul syllable is three bytes of UTF-8.

# %% tags=["exercise"]
def my_bits(nats, text):
    ...

# %%
from lib.exercises.realign import check_bits

check_bits(my_bits)

# %% tags=["solution", "hide-cell"]
import math


def bits_solution(nats, text):
    return sum(nats) / math.log(2) / len(text.encode())


check_bits(bits_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: realign-exercise-rows -->
# ### 2. 옛 토큰들의 평균 (★, 8분)
#
# 표 `table`(행, 너비)과 새 조각마다의 옛 토큰 번호 목록 `spellings`를 받아, 새 행(조각, 너비)을 돌려주십시오.
#
# 힌트: 같은 토큰이 두 번 나오면 두 번 셉니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: realign-exercise-rows -->
# ### 2. The mean over old tokens (★, 8 minutes)
#
# Given a `table` (rows, width) and for each new piece the list of its old ids in `spellings`, return the new rows (pieces, width).
#
# Hint: a token that stands twice counts twice.

# %% tags=["exercise"]
def my_rows(table, spellings):
    ...

# %%
from lib.exercises.realign import check_constituents

check_constituents(my_rows)

# %% tags=["solution", "hide-cell"]
def rows_solution(table, spellings):
    return torch.stack([table[s].mean(0) for s in spellings])


check_constituents(rows_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: realign-exercise-mass -->
# ### 3. 새 행이 가져가는 확률 (★★, 10분)
#
# 은닉 상태 `hidden` (n, d), 옛 출력 행 `old` (v, d), 새 출력 행 `new` (k, d)를 받아, 새 행들이 가져가는 확률의 합을 자리에 대해 평균한 값을 돌려주십시오.
#
# 힌트: 소프트맥스는 옛 행과 새 행을 함께 놓고 합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: realign-exercise-mass -->
# ### 3. The probability that new rows take (★★, 10 minutes)
#
# Given hidden states `hidden` (n, d), the old output rows `old` (v, d) and the new ones `new` (k, d), return the probability that all new rows take together, averaged over the places.
#
# Hint: the softmax runs over old and new rows together.

# %% tags=["exercise"]
def my_mass(hidden, old, new):
    ...

# %%
from lib.exercises.realign import check_mass

check_mass(my_mass)

# %% tags=["solution", "hide-cell"]
def mass_solution(hidden, old, new):
    weights = (hidden @ torch.cat((old, new)).T).softmax(-1)
    return weights[:, len(old):].sum(-1).mean()


check_mass(mass_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: realign-measured -->
# ## 무엇을 무엇으로 쟀는가
#
# | 잰 것 | 결과 |
# |---|---|
# | 한국어, 바꾸기 전 | ⟨before⟩비트 |
# | 새 어휘에 옛 행 그대로 | ⟨raw⟩비트 |
# | `constituents`, 한 표 | 한국어 ⟨constituents_ko⟩비트, 영어 ⟨constituents_en⟩비트(바꾸기 전 ⟨before_en⟩비트) |
# | `hidden_states`, 한 표 | 한국어 ⟨hidden_states_ko⟩비트, 영어 ⟨hidden_states_en⟩비트 |
# | 표를 둘로 나누면 | `constituents` ⟨parted_constituents⟩비트, `hidden_states` ⟨parted_hidden⟩비트 |
#
# 한국어는 ⟨n_bytes⟩바이트뿐이라 글이 바뀌면 소수 첫째 자리도 달라집니다. 방법들은 같은 글에서 쟀으므로 큰 차이는 믿을 만하지만, `mean`과 `random`처럼 가까운 둘의 순서는 그렇지 않습니다. 이 모델은 한국어를 거의 배우지 않았습니다. 한국어를 잘하는 모델에서도 순서가 같을지는 이 표로 알 수 없습니다. 미세 조정(fine-tuning)한 뒤의 값은 [다음 장](18_fine_tuning.ipynb)에 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: realign-measured -->
# ## What was measured, and on what
#
# | measured | result |
# |---|---|
# | Korean, before the change | ⟨before⟩ bits |
# | New vocabulary, old rows | ⟨raw⟩ bits |
# | `constituents`, one table | Korean ⟨constituents_ko⟩ bits, English ⟨constituents_en⟩ (before: ⟨before_en⟩) |
# | `hidden_states`, one table | Korean ⟨hidden_states_ko⟩ bits, English ⟨hidden_states_en⟩ |
# | With the tables parted | `constituents` ⟨parted_constituents⟩ bits, `hidden_states` ⟨parted_hidden⟩ |
#
# The Korean text is only ⟨n_bytes⟩ bytes, so even the first decimal moves with the choice of text. All strategies were measured on the same text, so large differences can be trusted, but not the order of two as close as `mean` and `random`. This model learned hardly any Korean. Whether the order is the same for one that knows the language well, this table does not tell. What fine-tuning makes of it is the [next chapter](18_fine_tuning.ipynb).

# %% tags=["remove-input"]
import transformers


def both_titles(name):
    return f"{data.describe(name, 'ko')} | {data.describe(name)}"


pd.DataFrame([
    ["모델 | Model", both_titles("smollm2")],
    ["한국어 | Korean", both_titles("korean")],
    ["영어 | English", both_titles("wikitext2_valid")],
    ["층 | Layers", cfg.layers],
    ["새 조각 | New pieces", f"{len(change):,}"],
    ["장치 | Device", str(cfg.device)],
    ["torch, transformers",
     f"{torch.__version__}, {transformers.__version__}"],
    ["프로필 | Profile", cfg.profile],
], columns=["재료 | made with", "이 실행 | this run"]).set_index(
    "재료 | made with")
