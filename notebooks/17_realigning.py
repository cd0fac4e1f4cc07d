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
# 어휘(vocabulary)의 자리 몇 개에 새 조각을 앉히면 토크나이저(tokenizer)는 달라지지만 모델은 그대로입니다. 그 자리의 임베딩(embedding) 행은 아직 옛 조각을 뜻합니다. 이 행들을 새 조각에 맞추는 일이 **재정렬**(realignment)입니다. 이 장에서는 학습을 한 스텝도 하지 않고 새 행을 만드는 방법 다섯 가지를 실제 모델에서 재어 봅니다.
#
# - **할 수 있게 되는 것.** 토크나이저가 서로 다른 모델을 바이트당 비트(bits per byte)로 견주고, 새 행을 다섯 가지로 만들고, 입력 표와 출력 표에 미치는 영향을 따로 잽니다.
# - **걸리는 시간.** 읽기 45분, 연습 문제 25분.
# - **필요한 것.** [토크나이저 증류(distillation)](15_tokenizer_distillation.ipynb)에서 본 유니그램(Unigram), [어휘 재할당(reassignment)](16_reassigning.ipynb), 소프트맥스(softmax), 교차 엔트로피(cross-entropy).
# %% [markdown] tags=["lang-en"]
# <!-- label: realign-top -->
# # Realigning embeddings: a first row for each new piece
#
# Put new pieces in a few places of the vocabulary, and the tokenizer has changed but the model has not: the embedding rows of those places still mean the old pieces. Fitting these rows to the new pieces is **realignment**. This chapter makes new rows in five ways, without one step of training, and measures them on a real model.
#
# - **You will be able to** compare models with different tokenizers in bits per byte, make new rows in five ways, and measure what they do in the input table and in the output table apart.
# - **Time.** 45 minutes to read, 25 for the exercises.
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
import math
from collections import Counter

import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib import pyplot as plt

from lib import data
from lib.page.figures import COLOURS, show, use_style
from lib.page.profile import expect, settings
from lib.page.record import record
from lib.tokens.bytelevel import to_bytes
from lib.tokens.labels import token_labels

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

# %% [markdown] tags=["lang-ko"]
# 번호마다 두 토크나이저의 조각을 견주면 바뀐 번호가 나옵니다. 새 조각 하나를 옛 토크나이저의 병합(merge)으로 자르면, 전에는 그 조각을 어떤 토큰들로 적었는지 알 수 있습니다.
# %% [markdown] tags=["lang-en"]
# Comparing the pieces of the two tokenizers id by id gives the ids that changed. Cutting a new piece with the merges of the old tokenizer tells which tokens used to spell it.

# %%
size = original.get_vocab_size(with_added_tokens=True)
ids = [i for i in range(size)
       if original.id_to_token(i) != remapped.id_to_token(i)]
pieces = [remapped.id_to_token(i) for i in ids]
spellings = [[token.id for token in original.model.tokenize(piece)]
             for piece in pieces]

# %%
def text_of(tokenizer, ids):
    return [tokenizer.decode([i], skip_special_tokens=False) for i in ids]


pd.DataFrame({
    "id": ids[-6:],
    "old piece": text_of(original, ids[-6:]),
    "new piece": text_of(remapped, ids[-6:]),
    "in old tokens": [" · ".join(map(str, s)) for s in spellings[-6:]]})

# %% tags=["remove-cell"]
from lib.vocabulary.rows import reassigned

change = reassigned(original, remapped)
theirs = list(zip(change.ids, change.pieces, change.spellings, strict=True))
ours = list(zip(ids, pieces, spellings, strict=True))
unlike = abs(len(ours) - len(theirs)) + sum(
    one != other for one, other in zip(ours, theirs, strict=False))
record(unlike_ids=unlike, n_new=len(ids), n_held=len(held), n_prose=len(prose))

# %% [markdown] tags=["lang-ko"]
# 마지막 열은 **옛 토크나이저가** 새 조각을 적던 토큰 번호들입니다. 새 조각의 뜻을 모델이 조금이라도 알고 있다면 그 앎은 이 토큰들을 거칩니다. 그래서 이 열이 이 장의 재료입니다. `lib.vocabulary.rows.reassigned`가 같은 일을 하며, 번호 ⟨n_new⟩개 가운데 우리 것과 다른 것은 ⟨unlike_ids⟩개입니다.
# %% [markdown] tags=["lang-en"]
# The last column holds the ids with which **the old tokenizer** spelled the new piece. Whatever the model knows of the piece, it knows by way of these tokens, so this column is what the chapter works with. `lib.vocabulary.rows.reassigned` does the same; of ⟨n_new⟩ ids, ⟨unlike_ids⟩ differ from ours.

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
from lib.vocabulary.rows import load_model

model = load_model(str(data.path("smollm2"))).to(cfg.device)
model.model.layers = model.model.layers[:cfg.layers]
start = original.token_to_id("<|endoftext|>")


@torch.no_grad()
def surprise(tokenizer, text):
    """The tokens of a text, and -ln p of each."""
    tokens = tokenizer.encode(text).ids
    row = torch.tensor([[start, *tokens]], device=cfg.device)
    log_p = model(input_ids=row).logits[0, :-1].log_softmax(-1)
    return tokens, -log_p[range(len(tokens)), tokens].cpu()

# %% [markdown] tags=["lang-ko"]
# 글 하나를 두 어휘로 읽습니다. 행은 아직 하나도 고치지 않았습니다. `bits_per_byte`는 `lib`의 값입니다.
# %% [markdown] tags=["lang-en"]
# One text, read with both vocabularies; no row has been touched yet. `bits_per_byte` is the value of `lib`.

# %%
from lib.vocabulary.bits_per_byte import bits_per_byte

text = max(held, key=len)
rows = {}
for name, tokenizer in (("old vocabulary", original),
                        ("new vocabulary", remapped)):
    tokens, nats = surprise(tokenizer, text)
    bits = nats.sum().item() / math.log(2)
    rows[name] = {
        "tokens": len(tokens),
        "bits per token": bits / len(tokens),
        "bits per byte": bits / len(text.encode()),
        "bits_per_byte": bits_per_byte(model, tokenizer, [text]).per_byte}
one_text = pd.DataFrame(rows).T
one_text.round(4).astype({"tokens": int})

# %% tags=["remove-cell"]
gap = (one_text["bits per byte"] - one_text["bits_per_byte"]).abs().max()
record(diff_bits=gap, text_bytes=len(text.encode()))

# %% [markdown] tags=["lang-ko"]
# 손으로 셈한 값과 `lib`의 값은 ⟨diff_bits⟩비트까지 같습니다. 토큰을 하나씩 읽으며 지나온 바이트와 쓴 비트를 함께 적으면 선이 하나 그려집니다. 선의 끝을 원점과 이은 기울어진 정도가 바이트당 비트입니다.
# %% [markdown] tags=["lang-en"]
# By hand and by `lib`, the values agree to ⟨diff_bits⟩ bits. Note the bytes passed and the bits spent after every token, and a line is drawn; how steeply its end lies above the origin is bits per byte.

# %%
def climb(tokenizer, text):
    """Bytes read and bits spent, after each token."""
    tokens, nats = surprise(tokenizer, text)
    sizes = [len(to_bytes(tokenizer.id_to_token(i))) for i in tokens]
    return torch.tensor(sizes).cumsum(0), nats.cumsum(0) / math.log(2)


climbs = {"old vocabulary": climb(original, text),
          "new vocabulary": climb(remapped, text)}

# %% tags=["hide-input"]
figure, axis = plt.subplots(figsize=(6.4, 3.2))
for (name, (bytes_read, spent)), colour in zip(
        climbs.items(), ("tokens", "attention"), strict=True):
    axis.plot([0, *bytes_read], [0, *spent], marker=".", label=name,
              color=COLOURS[colour])
axis.set(xlabel="bytes read", ylabel="bits spent")
axis.legend()
show(figure, table=one_text.round(3))

# %% [markdown] tags=["lang-ko", "caption"]
# 글 하나를 두 어휘로 읽으며 쓴 비트. 점 하나가 토큰 하나입니다. 새 어휘는 점이 적은 대신 한 걸음에 높이 오릅니다.
# <!-- alt: 선 그래프. 가로축은 읽은 바이트, 세로축은 쓴 비트. 옛 어휘의 선은 점이 촘촘하고 새 어휘의 선은 점이 드문드문하다. 두 선은 한동안 나란히 오르다가 끝에서는 새 어휘의 선이 더 높다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Bits spent on one text with the two vocabularies; each dot is a token. The new one has fewer dots and climbs higher at each.
# <!-- alt: A line plot, bytes read across and bits spent up. The dots of the old vocabulary lie close, those of the new one far apart. The two lines rise side by side for a while; at the end that of the new vocabulary is higher. -->

# %%
def measure(model, tokenizer):
    return [bits_per_byte(model, tokenizer, texts, tokens=1024)
            for texts in (held, prose)]


before, before_en = measure(model, original)
same, same_en = measure(model, unigram)
raw, raw_en = measure(model, remapped)

# %% tags=["remove-cell"]
record(before=before.per_byte, before_en=before_en.per_byte,
       same=same.per_byte, same_en=same_en.per_byte, raw_en=raw_en.per_byte,
       raw=raw.per_byte, tokens_before=before.tokens,
       tokens_after=raw.tokens, n_bytes=before.bytes)

# %% tags=["hide-input"]
pd.DataFrame(
    {"tokens": [one.tokens for one in (before, same, raw)],
     "bits per token": [one.per_token for one in (before, same, raw)],
     "bits per byte": [one.per_byte for one in (before, same, raw)],
     "English": [one.per_byte for one in (before_en, same_en, raw_en)]},
    index=["old vocabulary, BPE", "old vocabulary, Unigram",
           "new vocabulary, old rows"]).round(3)

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
# 식을 그대로 코드로 옮깁니다. 옛 행이 ⟨n_rows⟩개, 새 행이 ⟨n_new⟩개이고 너비는 ⟨width⟩입니다.
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
# The formulas as code. There are ⟨n_rows⟩ old rows and ⟨n_new⟩ new ones, of width ⟨width⟩.

# %%
E = model.get_input_embeddings().weight.detach().clone()  # token width
draw = torch.Generator().manual_seed(seed)
noise = torch.randn(len(ids), E.shape[1], generator=draw).to(E)

made = {
    "mean": E.mean(0).expand_as(noise),
    "random": E.mean(0) + E.std(0) * noise,
    "zeros": torch.zeros_like(noise),
    "constituents": torch.stack([E[s].mean(0) for s in spellings]),
}

# %% tags=["hide-input"]
def short(gap):
    return f"{gap:.1e}" if gap else "0"


def beside(name, ours, theirs):
    """The largest difference of ours and lib's, and lib's largest value."""
    gap = (ours - theirs).abs().max().item()
    record(f"diff_{name}", gap, text=short(gap))
    return pd.DataFrame(
        [[short(gap), f"{theirs.abs().max().item():.3g}"]], index=[name],
        columns=["largest difference", "largest value"])

# %%
from lib.vocabulary.rows import closed_rows

pd.concat([
    beside(name, rows, closed_rows(E, spellings, name, seed))
    for name, rows in made.items()])

# %% tags=["remove-cell"]
record(n_rows=len(E), width=E.shape[1])

# %% [markdown] tags=["lang-ko"]
# <!-- label: realign-two-tables -->
# ### 입력 표와 출력 표
#
# SmolLM2와 GPT-2는 입력 표와 출력 표가 한 몸입니다. 그래서 한 행이 두 가지 일을 합니다. 들어갈 때는 그 조각의 뜻을 나르고, 나올 때는 그 조각이 올 자리인지를 은닉 상태(hidden state)와의 내적(dot product)으로 답합니다. 두 일을 따로 보려고 표를 둘로 나눕니다. 나누기만 해서는 로짓(logit)이 하나도 바뀌지 않습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: realign-two-tables -->
# ### The input table and the output table
#
# In SmolLM2 and GPT-2 the input table and the output table are one. A row does two jobs there: going in it carries the meaning of its piece, going out it answers, by a dot product with the hidden state, whether the piece comes next. To see the two apart, we part the tables. Parting alone changes no logit.

# %%
wte = model.get_input_embeddings()
lm_head = model.get_output_embeddings()
lm_head.weight = torch.nn.Parameter(E.clone())
model.config.tie_word_embeddings = False
old_rows = E[ids]


@torch.no_grad()
def put(going_in, going_out):
    """Write rows for the new ids into the two tables."""
    wte.weight[ids] = going_in.to(E)
    lm_head.weight[ids] = going_out.to(E)

# %%
def sides(strategy, going_in, going_out):
    """Bits with the new rows in one table, in both, in one for both."""
    for side, *pair in (("input", going_in, old_rows),
                        ("output", old_rows, going_out),
                        ("both", going_in, going_out),
                        ("one table", going_out, going_out)):
        if side != "one table" or going_in is not going_out:
            put(*pair)
            bits = measure(model, remapped)
        yield strategy, side, *bits


found = [row for name, rows in made.items()
         for row in sides(name, rows, rows)]

# %%
def frame(found):
    told = [(strategy, side, ko.per_byte, en.per_byte)
            for strategy, side, ko, en in found]
    columns = ["strategy", "rows in", "Korean", "English"]
    return pd.DataFrame(told, columns=columns).set_index(columns[:2])


frame(found).unstack().round(3)["Korean"]

# %% [markdown] tags=["lang-ko"]
# 행은 방법, 열은 새 행을 어디에 넣었는지입니다. ‘입력 표’와 ‘출력 표’는 나눈 두 표 가운데 그 하나에만, ‘두 표’는 둘 모두에 넣은 것입니다. ‘한 표’는 입력과 출력이 한 행을 함께 쓰는, 본래의 모델입니다. 표만 보고 만든 행은 두 표에서 같으므로 ‘두 표’와 ‘한 표’의 값이 같습니다. ‘입력 표’와 ‘출력 표’에서는 다른 한 표에 옛 조각의 행이 남아 있습니다.
# %% [markdown] tags=["lang-en"]
# Rows are strategies, columns say where the new rows went: “input” and “output” into one of the two parted tables, “both” into the two, “one table” is the model as it was built, in which input and output share a row. Rows made from the table alone are the same for both tables, so “both” and “one table” agree. With “input” and “output”, the other table still has the rows of the old pieces.

# %% [markdown] tags=["lang-ko"]
# <!-- label: realign-hidden -->
# ## 은닉 상태에서 배우는 행
#
# 평균은 글을 한 줄도 읽지 않고 만듭니다. 글을 읽으면 더 잘할 수 있습니다. 새 조각을 옛 토큰으로 풀어 적은 글을 옛 모델에 한 번 읽히면, 새 조각이 올 자리마다 바로 앞의 은닉 상태 $h_i$를 얻습니다. 새 출력 행 $R_r$은 그 상태를 보고 조각을 맞혀야 합니다. 옛 행을 모두 붙들어 두면 이것은 볼록한 문제이고, 역전파가 필요 없습니다.
#
# $$\min_R \sum_i\Bigl[\ln\Bigl(e^{a_i}+\sum_r e^{h_i\cdot R_r}\Bigr)-[y_i\text{가 새 조각}]\;h_i\cdot R_{y_i}\Bigr]+\lambda\lVert R-R_0\rVert^2$$
#
# $a_i=\ln\sum_t e^{h_i\cdot e_t}$는 남은 행들의 로짓(logit)을 하나로 합친 값이고 $R_0$은 `constituents`입니다. 글에 드물게 나오는 조각은 $\lambda$가 $R_0$ 가까이에 붙들어 둡니다. 표가 하나인 모델에서는 이 행을 입력에도 씁니다. 이 방법의 이름은 `hidden_states`입니다. 옛 토큰으로 읽은 은닉 상태를 새 행의 스승으로 삼는다는 생각은 Token Distillation(Dobler 등, 2025)과 같습니다. 그쪽은 경사를 모델 끝까지 되돌려 입력 행을 배우고, 여기서는 한 번 읽은 상태로 출력 행을 풉니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: realign-hidden -->
# ## Rows learned from hidden states
#
# The mean is made without reading a line of text; reading does better. Let the old model read text in which the new pieces are spelled out in old tokens. At every place where a new piece comes, that gives the hidden state $h_i$ just before it, and the new output rows $R_r$ should predict the piece from there. With all old rows held fixed the problem is convex, and no backpropagation is needed.
#
# $$\min_R \sum_i\Bigl[\ln\Bigl(e^{a_i}+\sum_r e^{h_i\cdot R_r}\Bigr)-[y_i\text{ is new}]\;h_i\cdot R_{y_i}\Bigr]+\lambda\lVert R-R_0\rVert^2$$
#
# $a_i=\ln\sum_t e^{h_i\cdot e_t}$ joins the logits of all rows that stay, and $R_0$ is `constituents`: $\lambda$ keeps pieces that the text seldom shows near it. In a model of one table the same rows serve the input. This strategy is called `hidden_states`. That hidden states under the old tokens should teach the new rows is the idea of Token Distillation (Dobler et al., 2025), which passes gradients through the whole model to learn input rows; here the states are read once and output rows are solved for.

# %% [markdown] tags=["lang-ko"]
# <!-- label: realign-read -->
# ### 옛 토큰으로 풀어 읽기
#
# 글을 새 토크나이저로 자르고, 새 조각은 옛 토큰들로 다시 풉니다. 그러면 모델이 아는 토큰만 남습니다. 조각 하나가 $t_1,\dots,t_k$로 풀렸을 때, 그 조각을 맞혀야 하는 상태는 $t_1$ **바로 앞**의 것입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: realign-read -->
# ### Reading it spelled out
#
# The new tokenizer cuts the text, and each new piece is spelled out in old tokens again, which leaves only tokens that the model knows. Where a piece has become $t_1,\dots,t_k$, the state that has to predict it is the one **just before** $t_1$.

# %%
spelling = dict(zip(ids, spellings, strict=True))


def spelled_out(tokens):
    """Old tokens for new ones, and how many stand ahead of each of these."""
    old, ahead = [], []
    for i in tokens:
        ahead.append(len(old))
        old += spelling.get(i, [i])
    return old, ahead


tokens = remapped.encode(swap.domain[0]).ids[:8]
old, ahead = spelled_out(tokens)
pd.DataFrame({
    "new piece": text_of(remapped, tokens),
    "in old tokens": [" · ".join(map(str, spelling.get(i, [i])))
                      for i in tokens],
    "stand ahead": ahead})

# %% [markdown] tags=["lang-ko"]
# 상태는 모델의 마지막 층이 출력 표에 건네는 벡터입니다. 상태마다 남은 옛 행의 로짓 ⟨n_stay⟩개를 $a_i$ 하나로 합쳐 두면 출력 표는 더 볼 일이 없습니다. 글은 ⟨n_read⟩편입니다.
# %% [markdown] tags=["lang-en"]
# A state is the vector that the last layer hands to the output table. Once the ⟨n_stay⟩ logits of the old rows that stay are joined into one number $a_i$ a state, the output table is not needed again. There are ⟨n_read⟩ texts.

# %%
put(old_rows, old_rows)
row_of = {i: n for n, i in enumerate(ids)}
stays = torch.ones(len(E), dtype=torch.bool)
stays[ids] = False
old_head = E[stays]


@torch.no_grad()
def states_before(text):
    """State before each token, old logits joined, which new row is right."""
    tokens = remapped.encode(text).ids[:256]
    old, ahead = spelled_out(tokens)
    row = torch.tensor([[start, *old]], device=cfg.device)
    hidden = model.base_model(input_ids=row)[0][0, ahead]  # token width
    joined = (hidden @ old_head.T).logsumexp(-1)           # token
    right = torch.tensor([row_of.get(i, -1) for i in tokens])
    return hidden.cpu(), joined.cpu(), right

# %%
reading = [*swap.domain[:cfg.read],
           *(text[:300] for text in swap.english[:cfg.read // 8])]


def length(text):
    return len(spelled_out(remapped.encode(text).ids[:256])[0])


reading.sort(key=length, reverse=True)  # the order of lib
H, a, y = (torch.cat(part)
           for part in zip(*map(states_before, reading), strict=True))

# %%
from lib.vocabulary.hidden_states import read_states

theirs = read_states(model, remapped, ids, spellings, reading[-3:])
n = len(theirs.target)
pd.concat([beside("hidden_states", H[-n:], theirs.hidden),
           beside("old_logits", a[-n:], theirs.other),
           beside("right_row", y[-n:], theirs.target)])

# %% tags=["remove-cell"]
record(n_stay=int(stays.sum()), n_read=len(reading), n_states=len(y),
       n_asked=int((y >= 0).sum()))

# %% [markdown] tags=["lang-ko"]
# 마지막 글 세 편을 `lib.vocabulary.hidden_states.read_states`에게도 읽혔습니다. 상태의 최대 차이는 ⟨diff_hidden_states⟩입니다. 저쪽은 여러 글을 한 배치로 묶어 읽으므로 반올림이 다릅니다. 상태는 모두 ⟨n_states⟩개이고, 그 가운데 ⟨n_asked⟩개에서 새 조각이 옵니다.
# %% [markdown] tags=["lang-en"]
# The last three texts went through `lib.vocabulary.hidden_states.read_states` as well. The largest difference of a state is ⟨diff_hidden_states⟩; it reads several texts as one batch, which rounds differently. There are ⟨n_states⟩ states, and at ⟨n_asked⟩ of them a new piece comes.

# %% [markdown] tags=["lang-ko"]
# <!-- label: realign-two-rows -->
# ### 두 행만 풀어 보기
#
# 글에 가장 자주 나온 새 조각 둘, `⟨first_piece⟩`과(와) `⟨second_piece⟩`의 행만 풉니다. 상태마다 고를 것은 셋입니다. 옛 토큰 가운데 아무것이나($a_i$), 첫 조각($h_i\cdot R_1$), 둘째 조각($h_i\cdot R_2$)입니다. 그러니 위의 목적 함수는 **셋 가운데 하나를 고르는 소프트맥스 회귀**이고, 상태 수로 나누면 교차 엔트로피가 됩니다($R$과 상관없는 수만큼만 다릅니다). 기울기(gradient)는 준 확률과 정답의 차이에 상태를 곱해 더한 것입니다.
#
# $$\frac{\partial}{\partial R_r}=\sum_i\bigl(p_{ir}-[y_i=r]\bigr)\,h_i+2\lambda\,(R_r-R_{0,r})$$
# %% [markdown] tags=["lang-en"]
# <!-- label: realign-two-rows -->
# ### Two rows, solved
#
# We solve for the rows of two pieces only, those the text shows most: `⟨first_piece⟩` and `⟨second_piece⟩`. Each state has three choices: any of the old tokens ($a_i$), the first piece ($h_i\cdot R_1$) or the second ($h_i\cdot R_2$). So the objective above is a **softmax regression with three choices**; divided by the number of states it is a cross-entropy, but for a number that does not depend on $R$. Its gradient adds up the states, each times what the probability is off by.
#
# $$\frac{\partial}{\partial R_r}=\sum_i\bigl(p_{ir}-[y_i=r]\bigr)\,h_i+2\lambda\,(R_r-R_{0,r})$$

# %%
seen = Counter(y[y >= 0].tolist())
two = sorted(range(len(ids)), key=lambda row: -seen[row])[:2]
choice = torch.zeros_like(y)  # 0 old, 1 and 2 the two pieces
for n, row in enumerate(two, 1):
    choice[y == row] = n
right = F.one_hot(choice, 3)[:, 1:].float()  # state piece
R0, strength = made["constituents"][two].cpu(), 50.0

# %%
def choices(R):
    return torch.cat((a[:, None], H @ R.T), 1)  # state choice


def objective(R):
    hold = strength * (R - R0).square().sum()
    return F.cross_entropy(choices(R), choice) + hold / len(H)


def gradient(R):
    off = choices(R).softmax(-1)[:, 1:] - right  # state piece
    return (off.T @ H + 2 * strength * (R - R0)) / len(H)


leaf = R0.clone().requires_grad_(True)
objective(leaf).backward()
beside("gradient", gradient(R0), leaf.grad)

# %% [markdown] tags=["lang-ko"]
# 손으로 쓴 기울기와 `torch`가 되짚어 구한 기울기의 최대 차이는 ⟨diff_gradient⟩입니다. 이제 내려갑니다. 소프트맥스의 곡률은 $\tfrac12$을 넘지 않으므로 $L=(\sigma_1^2/2+2\lambda)/n$보다 가파르게 휘는 방향은 없고($\sigma_1$은 상태 행렬 $H$의 가장 큰 특잇값), 걸음을 $1/L$로 잡으면 목적 함수는 스텝마다 줄어듭니다. 또 하나는 Adam입니다. 수 하나하나의 걸음을 지나온 기울기의 크기로 나눕니다.
# %% [markdown] tags=["lang-en"]
# The gradient written by hand and the one `torch` traces back differ by ⟨diff_gradient⟩ at most. Now downhill. The curvature of a softmax is at most $\tfrac12$, so no direction bends more than $L=(\sigma_1^2/2+2\lambda)/n$, with $\sigma_1$ the largest singular value of the matrix $H$ of states, and with steps of $1/L$ the objective falls at every step. The other way is Adam, which divides the step of each number by the size of the gradients it has seen.

# %%
stretch = torch.linalg.svdvals(H)


def plain(steps):
    """R - G / L."""
    L = (stretch[0] ** 2 / 2 + 2 * strength) / len(H)
    R = R0
    for _ in range(steps):
        R = R - gradient(R) / L
        yield R

# %%
def adam(steps, rate=0.005, b1=0.9, b2=0.999):
    """Two running means for each number; the rate falls to zero."""
    R, m, v = R0, 0, 0
    for n in range(1, steps + 1):
        G = gradient(R)
        m, v = b1 * m + (1 - b1) * G, b2 * v + (1 - b2) * G**2
        mean, size = m / (1 - b1**n), (v / (1 - b2**n)).sqrt()
        R = R - rate * (1 - (n - 1) / steps) * mean / (size + 1e-8)
        yield R


ways = {"gradient descent": list(plain(100)), "Adam": list(adam(100))}
falls = {way: [objective(R).item() for R in (R0, *path)]
         for way, path in ways.items()}

# %% [markdown] tags=["lang-ko"]
# 같은 상태를 `lib`의 `fit_output`에도 줍니다. 저쪽도 Adam이지만 상태를 ⟨lib_batch⟩개씩 나누어 네 번만 훑습니다.
# %% [markdown] tags=["lang-en"]
# `fit_output` of `lib` gets the same states. It is Adam too, but takes the states ⟨lib_batch⟩ at a time and goes over them only four times.

# %%
from lib.vocabulary.hidden_states import States, fit_output

theirs = fit_output(States(H, a, choice - 1), R0, strength=strength)
solved = {"constituents": R0, "fit_output": theirs,
          **{way: path[-1] for way, path in ways.items()}}
asked = choice > 0
told = {}
for name, R in solved.items():
    p = choices(R).softmax(-1)
    told[name] = {
        "objective": objective(R).item(),
        "right piece": p[asked, choice[asked]].mean().item(),
        "taken elsewhere": p[~asked, 1:].sum(-1).mean().item(),
        "moved": (R - R0).norm().item()}
fits = pd.DataFrame(told).T
fits.round(4)

# %% tags=["remove-cell"]
from inspect import signature

words = text_of(remapped, [ids[row] for row in two])
record(first_piece=words[0].strip(), second_piece=words[1].strip(),
       n_first=seen[two[0]], n_second=seen[two[1]],
       stretch=(stretch[0] / stretch[1]).item(),
       lib_batch=signature(fit_output).parameters["batch"].default)
for name, key in (("constituents", "start"), ("fit_output", "lib"),
                  ("gradient descent", "plain"), ("Adam", "adam")):
    record(**{f"fit_{key}": fits.loc[name, "objective"],
              f"right_{key}": fits.loc[name, "right piece"],
              f"else_{key}": fits.loc[name, "taken elsewhere"]})
record(moved_share=fits.loc["Adam", "moved"] / R0.norm().item())

# %% tags=["hide-input"]
figure, axis = plt.subplots(figsize=(6.4, 3))
for (way, fall), colour in zip(falls.items(), ("gravity", "attention"),
                               strict=True):
    axis.plot(fall, color=COLOURS[colour], label=way)
axis.axhline(fits.loc["fit_output", "objective"], color=COLOURS["grey"],
             ls="--", lw=1, label="fit_output")
axis.set(xlabel="step", ylabel="objective")
axis.legend()
show(figure, table=fits.round(4))

# %% [markdown] tags=["lang-ko", "caption"]
# 두 행의 목적 함수. 스텝마다 모든 상태를 봅니다. 점선은 `fit_output`이 멈춘 곳입니다.
# <!-- alt: 선 그래프. 가로축은 스텝, 세로축은 목적 함수. 두 선이 모두 내려가고 Adam의 선이 더 빨리, 더 낮게 내려간다. 점선이 하나 가로로 놓여 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# The objective of the two rows; each step looks at all states. The dashed line is where `fit_output` stopped.
# <!-- alt: A line plot of the objective over steps. Both lines fall, that of Adam faster and lower. A dashed line lies across. -->

# %% [markdown] tags=["lang-ko"]
# 목적 함수는 `constituents`에서 ⟨fit_start⟩, 경사를 그대로 따라간 100스텝 뒤에 ⟨fit_plain⟩, Adam 100스텝 뒤에 ⟨fit_adam⟩, `fit_output`이 ⟨fit_lib⟩입니다. 그대로 따라가면 더딘 까닭은 상태들이 한 방향으로 길게 늘어서 있기 때문입니다. $H$의 가장 큰 특잇값은 둘째의 ⟨stretch⟩배이고, 걸음의 크기는 그 한 방향이 정합니다. 조각이 정말 올 자리에서 그 조각에 준 확률의 평균은 ⟨right_start⟩에서 Adam ⟨right_adam⟩, `fit_output` ⟨right_lib⟩이(가) 되었습니다. 그 대가로 다른 자리에서 두 조각이 가져가는 확률도 ⟨else_start⟩에서 ⟨else_adam⟩(Adam), ⟨else_lib⟩(`fit_output`)(으)로 커졌습니다. `fit_output`은 가장 낮은 곳까지 가지 않습니다. 글을 네 번만 훑고 멈춥니다.
# %% [markdown] tags=["lang-en"]
# The objective is ⟨fit_start⟩ at `constituents`, ⟨fit_plain⟩ after 100 plain steps, ⟨fit_adam⟩ after 100 of Adam, and ⟨fit_lib⟩ with `fit_output`. Plain steps are slow because the states are drawn out in one direction: the largest singular value of $H$ is ⟨stretch⟩ times the second, and this one direction sets the size of the step. The mean probability of a piece where it does come went from ⟨right_start⟩ to ⟨right_adam⟩ with Adam and ⟨right_lib⟩ with `fit_output`. The price is that the two take more where something else comes: ⟨else_start⟩ became ⟨else_adam⟩ (Adam) and ⟨else_lib⟩ (`fit_output`). `fit_output` does not go all the way down; it stops after four passes over the text.

# %% [markdown] tags=["lang-ko"]
# <!-- label: realign-nearest -->
# ### 새 행이 놓인 곳
#
# 풀린 행은 옛 행들 사이의 어디쯤일까요? 두 조각의 행마다 코사인 유사도(cosine similarity)가 가장 높은 옛 토큰 넷을 찾습니다. `<EC>`처럼 적은 것은 글자가 되지 못한 바이트입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: realign-nearest -->
# ### Where the new rows land
#
# Where among the old rows is a row that was solved for? For each of the two pieces, these are the four old tokens of the highest cosine similarity. What is written like `<EC>` is a byte that makes no character.

# %%
directions = F.normalize(E, dim=-1).cpu()


def nearest(row, most=4):
    """The old tokens whose rows point most nearly the same way."""
    cosine = directions @ F.normalize(row, dim=0)
    top = cosine.masked_fill(~stays, -1).topk(most)
    labels = [token_labels([original.id_to_token(i)])[0]
              for i in top.indices.tolist()]
    return [f"{label} {value:.2f}"
            for label, value in zip(labels, top.values, strict=True)]


pd.DataFrame({(piece, name): nearest(solved[name][n])
              for n, piece in enumerate(text_of(remapped,
                                                [ids[row] for row in two]))
              for name in ("constituents", "Adam", "fit_output")},
             index=range(1, 5)).T

# %% [markdown] tags=["lang-ko"]
# 풀기 전에 가장 가까운 것은 그 조각을 적던 바이트들입니다. 그 평균이니 당연합니다. 배운 행도 이웃은 거의 그대로입니다. Adam이 옮긴 거리는 처음 두 행 길이의 ⟨moved_share⟩배이고, 이만한 몫이 어느 상태에서 그 조각을 부를지를 정합니다.
# %% [markdown] tags=["lang-en"]
# Before solving, the nearest are the bytes that spelled the piece, as must be with their mean. The learned rows keep nearly the same neighbours. Adam moved them by ⟨moved_share⟩ times the length that the two rows began with, and this part decides in which states the piece is called.

# %% [markdown] tags=["lang-ko"]
# <!-- label: realign-all-rows -->
# ### 모든 행
#
# 이제 새 행 ⟨n_new⟩개를 함께 풉니다. 상태는 그대로이고 고를 것만 늘어납니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: realign-all-rows -->
# ### All rows
#
# Now for all ⟨n_new⟩ new rows together. The states stay the same; there are only more choices.

# %%
constituents = made["constituents"]
learned = fit_output(States(H, a, y), constituents.cpu(), seed=seed)
found += sides("hidden_states", constituents, learned.to(E))
table = frame(found)

# %% tags=["remove-cell"]
one = table.xs("one table", level=1)
record(**{f"{name}_ko": one.loc[name, "Korean"] for name in one.index},
       **{f"{name}_en": one.loc[name, "English"] for name in one.index})
both = table.xs("both", level=1)
record(parted_constituents=both.loc["constituents", "Korean"],
       parted_hidden=both.loc["hidden_states", "Korean"])

from lib.page.record import used

longer = data.ROOT / "benchmarks/results/ivr.jsonl"
used([longer])
rows = pd.read_json(longer, lines=True)
was = rows[(rows["part"] == "before") & (rows["name"] == "original")].iloc[0]
now = rows[(rows["part"] == "align") & (rows["rows"] == "one table")
           & (rows["strategy"] == "hidden_states")].iloc[0]
record(longer_bytes=int(was["domain_bytes"]), longer_before=was["domain"],
       longer_pieces=int(now["pieces"]), longer_hidden=now["domain"])

# %% tags=["hide-input", "cover"]
figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.4), sharey=True)
marks = {"input": "<", "output": ">", "both": "o", "one table": "D"}
colours = ("gravity", "plum", "grey", "attention")
for axis, kind, was in zip(axes, ("Korean", "English"),
                           (before, before_en), strict=True):
    axis.axvline(was.per_byte, color=COLOURS["tokens"], lw=1.5,
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
wide = table.round(3).unstack()
wide.columns = [f"{kind}, {side}" for kind, side in wide.columns]
show(figure, table=wide)

# %% [markdown] tags=["lang-ko", "caption"]
# 방법 다섯 가지와 바이트당 비트(왼쪽일수록 좋음). 청록색 세로줄은 어휘를 바꾸기 전의 모델입니다.
# <!-- alt: 점 그래프 두 개. 왼쪽은 한국어, 오른쪽은 영어. 한국어에서는 constituents와 hidden_states를 두 표 모두나 한 표에 넣은 점이 가장 왼쪽에 있고, 입력 표나 출력 표 하나에만 넣은 점은 그보다 오른쪽에 있다. 출력에 zeros를 넣은 점들이 멀리 오른쪽에 떨어져 있다. 영어에서는 출력에 random을 넣은 점들이 가장 오른쪽에 있고, 나머지는 바꾸기 전의 세로줄에 가깝다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Five strategies in bits per byte (further left is better). The teal line is the model before its vocabulary changed.
# <!-- alt: Two dot plots, Korean on the left, English on the right. In Korean the points of constituents and hidden_states in both tables or in the one table lie furthest left, and those with new rows in the input or output table alone lie right of them. Those with zeros in the output lie far off to the right. In English those with random rows in the output lie furthest right, and the others near the line of before. -->

# %% [markdown] tags=["lang-ko"]
# 표가 하나인 모델에서 한국어는 `mean` ⟨mean_ko⟩, `random` ⟨random_ko⟩, `zeros` ⟨zeros_ko⟩, `constituents` ⟨constituents_ko⟩, `hidden_states` ⟨hidden_states_ko⟩비트입니다. 바꾸기 전은 ⟨before⟩비트입니다. 새 행을 한쪽에만 넣으면 두 쪽에 넣을 때보다 얻는 것이 훨씬 적습니다. `hidden_states`의 출력 행은 혼자서도 꽤 줄이지만 나머지는 그렇지 않습니다. 입력 표가 새 조각의 뜻을 날라도 출력 표가 그 조각을 부르지 못하거나, 그 반대이기 때문입니다.
#
# 이 페이지의 한국어는 ⟨n_bytes⟩바이트뿐입니다. 그러니 `hidden_states`가 바꾸기 전의 값에 가깝다고 해서 되찾았다고 읽으면 안 됩니다. `benchmarks/ivr.py`로 조각 ⟨longer_pieces⟩개를 바꾸고 영화평 ⟨longer_bytes⟩바이트에서 재면 바꾸기 전이 ⟨longer_before⟩비트, `hidden_states`가 ⟨longer_hidden⟩비트입니다. 나머지 차이는 학습해서 줄여야 합니다.
# %% [markdown] tags=["lang-en"]
# With one table, Korean takes ⟨mean_ko⟩ bits with `mean`, ⟨random_ko⟩ with `random`, ⟨zeros_ko⟩ with `zeros`, ⟨constituents_ko⟩ with `constituents` and ⟨hidden_states_ko⟩ with `hidden_states`; before the change it was ⟨before⟩. New rows on one side alone gain far less than on both. The output rows of `hidden_states` gain a good deal by themselves, the others do not: either the input carries the meaning of a piece that the output cannot name, or the other way round.
#
# The Korean text of this page is only ⟨n_bytes⟩ bytes, so `hidden_states` close to the value before does not mean that the loss was recovered. `benchmarks/ivr.py` changed ⟨longer_pieces⟩ pieces and measured ⟨longer_bytes⟩ bytes of film reviews: ⟨longer_before⟩ bits before the change, ⟨longer_hidden⟩ with `hidden_states`. The rest takes training.

# %% [markdown] tags=["lang-ko"]
# <!-- label: realign-mass -->
# ## 쓰이지 않는 행이 가져가는 확률
#
# 증류의 몫을 빼면 영어의 값은 세 길로 달라집니다. 첫째, 내놓은 조각이 이 글에 나오면 여러 토큰으로 다시 잘립니다. 둘째, 새 조각이 영어에도 나옵니다. 한국어 글에서 고른 조각에는 앞에 빈칸이 붙은 숫자 따위도 있어서, 이 영어 글에도 새 조각이 ⟨en_uses⟩번 나옵니다. 셋째는 소프트맥스의 분모입니다. 쓰이지 않는 새 행도 거기에 들어 있습니다. 새 행들이 어느 자리에서 확률 $m$을 가져가면 다른 토큰의 확률은 모두 $1-m$배가 되고, 그 자리에서 $-\log_2(1-m)$비트를 더 냅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: realign-mass -->
# ## Probability taken by unused rows
#
# Distillation apart, the bits of English change in three ways. A given-up piece that this text uses is cut into several tokens. New pieces occur in English too: those chosen from Korean text include, say, digits with a blank before them, and in this English text new pieces come ⟨en_uses⟩ times. And the new rows stand in the denominator of the softmax, used or not. Where they take the probability $m$, every other token is left with $1-m$ times its own, which costs $-\log_2(1-m)$ bits at that place.

# %%
put(old_rows, old_rows)
hidden = []
with torch.no_grad():
    for encoding in original.encode_batch(prose):
        row = torch.tensor([[start, *encoding.ids]], device=cfg.device)
        hidden.append(model.base_model(input_ids=row)[0][0, :-1])
hidden = torch.cat(hidden)  # (places, d): before every English token


def mass(rows):
    """What all new rows take together at each place of the English text."""
    head = E.clone()
    head[ids] = rows
    return (hidden @ head.T).softmax(-1)[:, ids].sum(-1)

# %%
masses = {name: mass(rows) for name, rows in made.items()}
lost = {name: torch.log2(1 / (1 - m)) for name, m in masses.items()}
pd.DataFrame({
    "mean probability": {name: m.mean().item() for name, m in masses.items()},
    "bits per token": {name: bits.mean().item()
                       for name, bits in lost.items()},
}).map("{:.2g}".format)

# %% tags=["remove-cell"]
new = set(ids)
record(en_uses=sum(i in new for text in prose
                   for i in remapped.encode(text).ids))
for name, m in masses.items():
    record(f"mass_{name}", m.mean(), text=f"{m.mean().item():.2g}")

# %% [markdown] tags=["lang-ko"]
# `random`이 ⟨mass_random⟩(으)로 가장 많이 가져갑니다. 흩어진 정도가 진짜 행만큼인 난수 행이 ⟨n_new⟩개나 있으면, 어느 자리에서든 우연히 로짓이 큰 행이 있기 마련입니다. `mean`은 ⟨mass_mean⟩입니다. 모두 같은 행이라 우연이 끼어들 틈이 없습니다. `constituents`는 ⟨mass_constituents⟩입니다. 한국어를 적던 토큰을 닮아서 영어의 자리에서 드물게 불립니다. `zeros`는 ⟨mass_zeros⟩입니다. 로짓 0은 다른 행의 로짓이 모두 낮은 자리에서만 눈에 뜨입니다.
#
# 영어에서 `mean`은 다른 토큰의 확률을 거의 가져가지 않습니다. 그렇다면 한국어에서 나쁜 까닭은 새 조각이 정말 올 자리에서 부르지 못하는 데 있을 것입니다. 한국어 글에서는 이 확률을 재지 않았습니다.
# %% [markdown] tags=["lang-en"]
# `random` takes most, ⟨mass_random⟩: with ⟨n_new⟩ random rows as scattered as real ones, some row has a large logit by chance wherever one looks. `mean` takes ⟨mass_mean⟩; its rows are all the same and leave nothing to chance. `constituents` takes ⟨mass_constituents⟩: it resembles tokens that spelled Korean, and is seldom called in English. `zeros` takes ⟨mass_zeros⟩: a logit of 0 shows only where all others are low.
#
# In English `mean` takes hardly any probability from other tokens. What makes it bad in Korean, then, is probably that it cannot be called where a new piece does come. The probability was not measured on Korean text.

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
    ["새 조각 | New pieces", f"{len(ids):,}"],
    ["장치 | Device", str(cfg.device)],
    ["torch, transformers",
     f"{torch.__version__}, {transformers.__version__}"],
    ["프로필 | Profile", cfg.profile],
], columns=["재료 | made with", "이 실행 | this run"]).set_index(
    "재료 | made with")
