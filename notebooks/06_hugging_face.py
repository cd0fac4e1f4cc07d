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
# <!-- label: hugging-face -->
# # 허깅페이스로 같은 일 하기
#
# [앞 장](05_training.ipynb)에서는 모델도 학습도 우리 코드로 했습니다. 이번에는 같은 과제를 허깅페이스(Hugging Face)의 도구로 합니다. 토크나이저(tokenizer), 데이터, 모델, 학습, 생성이 모두 남이 쓴 코드로 바뀝니다. 그런데 이름을 하나씩 짝지어 보면 **속은 같은 모델**입니다. 가중치를 옮기면 같은 로짓(logit)이 나오고, 같은 배치를 주면 같은 손실(loss)이 나옵니다.
#
# - **할 수 있게 되는 것.** 토크나이저에서 `generate`까지 `transformers`로 모델 하나를 학습하고, 줄마다 우리 코드의 무엇에 해당하는지 말하고, 라이브러리의 숫자를 믿어도 되는지 스스로 재어 볼 수 있습니다.
# - **걸리는 시간.** 읽기 45분, 연습 문제 55분. 학습에는 이 실행에서 ⟨train_minutes⟩분이 걸렸습니다.
# - **필요한 것.** [인코더(encoder)와 디코더(decoder)](04_encoder_decoder.ipynb), [학습](05_training.ipynb).
#
# 다 배운 모델은 처음 보는 날짜의 ⟨exact_dates⟩, 처음 보는 수의 ⟨exact_numbers⟩을(를) 한 글자도 틀리지 않고 옮깁니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: hugging-face -->
# # The Hugging Face way
#
# In the [last chapter](05_training.ipynb) model and training were code of ours. Now we do the same task with the tools of Hugging Face. Tokenizer, data, model, training and generation all become code that others wrote. And yet, matched name by name, **it is the same model inside**: with our weights it gives our logits, and on our batches it gives our losses.
#
# - **You will be able to** train a model with `transformers`, from the tokenizer to `generate`; say of each line what it is in our code; measure for yourself whether the numbers of a library can be trusted.
# - **Time.** 45 minutes to read, 55 for the exercises. Training took ⟨train_minutes⟩ minutes in this run.
# - **You need** [encoder and decoder](04_encoder_decoder.ipynb) and [training](05_training.ipynb).
#
# Once trained, it translates ⟨exact_dates⟩ of the dates and ⟨exact_numbers⟩ of the numbers that it has never seen, right to the last letter.

# %% tags=["parameters"]
profile: str = None  # smoke, book or gpu; None follows BOOK_PROFILE, else book
day = "1926-03-05"  # the date that is followed, 1900 to 2099
d_model: int = None  # width; None leaves the choice to the profile
n_layers: int = None  # of the encoder and of the decoder; None: the profile
n_heads: int = None  # None: the profile
rows: int = None  # pairs in the data set; None: the profile
steps: int = None  # updates; None: the profile
batch: int = None  # pairs in an update; None: the profile
learning_rate: float = None  # at its peak; None: the profile
warmup: int = None  # steps until the peak; None: the profile
tests: int = None  # unseen values of each kind; None: the profile
beam_tests: int = None  # of these, how many the beams get; None: the profile
trial_steps: int = None  # updates of the trial by length; None: the profile
smoothing = 0.1  # 0 to 1: ε of the label smoothing
precision = "no"  # no, bf16 or fp16
seed = 0  # of the weights and of the order of the rows
device = "cpu"  # cpu, cuda or auto; float64 needs cpu or cuda

# %% tags=["hide-input"]
import datetime
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from lib.attention import translation as task
from lib.page.figures import COLOURS, show, use_style
from lib.page.profile import expect, settings
from lib.page.record import record

use_style()
pd.set_option("display.max_colwidth", None)

# %% tags=["hide-input"]
options = ("d_model", "n_layers", "n_heads", "rows", "steps", "batch",
           "learning_rate", "warmup", "tests", "beam_tests", "trial_steps")
quick = (32, 2, 4, 1_000, 30, 32, 4e-3, 10, 40, 10, 10)
full = (64, 2, 4, 64_000, 1_000, 128, 4e-3, 100, 1000, 250, 300)
large = (256, 4, 8, 1_000_000, 8_000, 256, 1e-3, 800, 1000, 1000, 2_000)
values = (d_model, n_layers, n_heads, rows, steps, batch,
          learning_rate, warmup, tests, beam_tests, trial_steps)
expect(str, day=day, precision=precision)
expect(float, smoothing=smoothing)
expect(int, seed=seed)
cfg = settings(profile, device=device, seed=seed, **{
    name: dict(zip(options, column, strict=True))
    for name, column in (("smoke", quick), ("book", full),
                         ("gpu", large), ("given", values))})

# %% [markdown] tags=["lang-ko"]
# <!-- label: hf-tokenizer -->
# ## 토크나이저: 규칙에 역할 붙이기
#
# 앞 장의 토크나이저는 `tokenizers`의 것으로, 글을 토큰(token) 번호로 바꾸는 규칙만 압니다. `transformers`의 토크나이저는 그 규칙을 감싸고 **역할**을 더합니다. 어느 토큰이 채움이고 시작이고 끝인지, 어느 쪽을 채우는지, 몇 토큰까지 받는지입니다. 학습과 생성의 코드가 이 역할을 보고 움직입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: hf-tokenizer -->
# ## The tokenizer: give the rules their roles
#
# The tokenizer of the last chapter, from `tokenizers`, knows only the rules that turn text into token ids. A tokenizer of `transformers` wraps these rules and adds **roles**: which token pads, begins and ends, on which side to pad, how many tokens to take. The code of training and of generation goes by these roles.

# %%
from transformers import PreTrainedTokenizerFast

rules = task.build_tokenizer(vocab_size=1000)  # an upper bound
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=rules,
    pad_token="<pad>", bos_token="<bos>", eos_token="<eos>",
    unk_token="<unk>",
    model_max_length=32,
    padding_side="right",
    split_special_tokens=True,  # "<eos>" in a text is five characters
    model_input_names=["input_ids", "attention_mask"])

two = tokenizer(["March 5, 1926", "12,345"], padding=True)
pd.DataFrame(
    {f"{name} {i}": row for name, part in two.items()
     for i, row in enumerate(part)}).T

# %% [markdown] tags=["lang-ko"]
# 짧은 글의 뒤가 ⟨pad_id⟩번, 곧 `<pad>`로 채워졌고, `attention_mask`가 채운 자리에 0을 적어 두었습니다. 패딩(padding)을 보지 못하게 하는 마스크(mask)를 여기서는 토크나이저가 만들어 줍니다. 앞 장에서는 모델이 번호를 보고 직접 만들었습니다. 규칙은 그대로이므로 글 ⟨round_trips⟩개를 번호로 바꾸었다가 되돌리면 ⟨round_trips_right⟩개가 처음과 같습니다.
# %% [markdown] tags=["lang-en"]
# The short text was filled up with number ⟨pad_id⟩, which is `<pad>`, and `attention_mask` holds a 0 wherever it was. Here the tokenizer makes the mask that hides padding; in the last chapter the model made its own from the ids. The rules are what they were: of ⟨round_trips⟩ texts turned into ids and back, ⟨round_trips_right⟩ come back equal.

# %% tags=["remove-input"]
texts = [text for p in task.sample(500, torch.Generator().manual_seed(9))
         for text in (p.source, p.target)]
back = tokenizer.batch_decode(tokenizer(texts).input_ids,
                              skip_special_tokens=True)
record(pad_id=tokenizer.pad_token_id, round_trips=len(texts),
       round_trips_right=sum(a == b for a, b in zip(texts, back,
                                                    strict=True)),
       vocab=len(tokenizer))

# %% [markdown] tags=["lang-ko"]
# <!-- label: hf-data -->
# ## 데이터: 표 하나
#
# `datasets`의 데이터는 표입니다. 열마다 이름과 자료형이 있고, 행은 필요할 때 디스크나 메모리에서 읽습니다. 앞 장에서는 문제를 끝없이 만들면서 썼지만, 여기서는 ⟨rows⟩쌍을 한 번 만들어 두고 되풀이해 씁니다. 데이터가 파일 하나로 주어지는 흔한 상황과 같아집니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: hf-data -->
# ## The data: a table
#
# Data of `datasets` is a table. Each column has a name and a type, and rows are read from disk or memory when they are wanted. In the last chapter examples were made without end as we went; here we make ⟨rows⟩ pairs once and use them again and again, as one does when the data comes as a file.

# %%
from datasets import Dataset

from lib.attention.huggingface import encode

pairs = task.sample(cfg.rows, torch.Generator().manual_seed(seed))
sources = [pair.source for pair in pairs]
targets = [pair.target for pair in pairs]
table = Dataset.from_dict({
    "source": sources, "target": targets,
    "input_ids": encode(tokenizer, sources),
    "labels": encode(tokenizer, targets)})
table = table.add_column("length", [
    len(a) + len(b) for a, b in zip(table["input_ids"], table["labels"],
                                    strict=True)])
pd.DataFrame({name: [str(kind), str(table[0][name])]
              for name, kind in table.features.items()},
             index=["type", "first row"]).T

# %% tags=["remove-cell"]
record(rows=len(table))

# %% [markdown] tags=["lang-ko"]
# `encode`는 `lib.attention.huggingface`에 있습니다. 위의 토크나이저를 부르되, 너무 긴 글이나 모르는 글자를 만나면 그 글을 밝히고 멈춥니다. `length`는 나중에 [길이별로 묶어 볼](#hf-by-length) 때 씁니다.
# %% [markdown] tags=["lang-en"]
# `encode` is in `lib.attention.huggingface`: it calls the tokenizer above, and stops, naming the text, at one that is too long or holds an unknown character. `length` is for later, when we [group rows by it](#hf-by-length).

# %% [markdown] tags=["lang-ko"]
# <!-- label: hf-model -->
# ## 모델: 설정이 전부
#
# `transformers`의 모델은 설정 하나로 정해집니다. 그런데 모델이 수백 가지입니다. 우리 트랜스포머(Transformer)와 같은 것은 어느 것일까요? 논문대로 더한 다음에 층 정규화(layer normalization)를 하는 것은 Marian이고, 앞 장처럼 먼저 정규화하는 것은 Pegasus입니다. BART는 논문과 같은 순서지만 위치를 학습하고 임베딩(embedding)을 한 번 더 정규화합니다. `build_model`은 우리 설정을 그 모델의 설정으로 옮겨 적습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: hf-model -->
# ## The model: all in its configuration
#
# One configuration defines a model of `transformers`. But there are hundreds of kinds. Which is our Transformer? Marian adds and then applies layer normalization, as in the paper; Pegasus normalises first, as we did in the last chapter. BART has the order of the paper, but learns its positions and normalises the embeddings once more. `build_model` writes our configuration down as theirs.

# %%
from lib.attention.huggingface import build_model
from lib.attention.transformer import Transformer, TransformerConfig

ours = TransformerConfig(
    vocab=len(tokenizer), d_model=cfg.d_model, n_heads=cfg.n_heads,
    n_layers=cfg.n_layers, max_length=32, dropout=0.0, norm_first=True)
model = build_model(ours, seed=seed)
usual = type(model.config)()

names = ("d_model", "encoder_layers", "decoder_attention_heads",
         "encoder_ffn_dim", "activation_function", "dropout",
         "scale_embedding", "max_position_embeddings", "pad_token_id",
         "decoder_start_token_id", "eos_token_id", "forced_eos_token_id")
pd.DataFrame({
    "our model": [str(getattr(model.config, n)) for n in names],
    "default": [str(getattr(usual, n)) for n in names]}, index=names)

# %% [markdown] tags=["lang-ko"]
# 기본값이 우리와 다른 곳을 눈여겨보십시오. `scale_embedding`은 임베딩에 $\sqrt{d}$를 곱할지 정하는데 기본값은 곱하지 않는 것입니다. `decoder_start_token_id`는 디코더가 처음 읽는 토큰이고, 이 계열의 모델은 본래 채움 토큰으로 시작합니다. `forced_eos_token_id`는 길이가 다 차면 끝 토큰을 억지로 쓰게 합니다. 하나라도 놓치면 **오류 없이 다른 모델**이 됩니다.
# %% [markdown] tags=["lang-en"]
# Look where the defaults are not ours. `scale_embedding` decides whether embeddings are multiplied by $\sqrt{d}$, and by default they are not. `decoder_start_token_id` is the first token that the decoder reads; this family begins with the padding token. `forced_eos_token_id` makes it write the end token when the length is used up. Miss one of them and you have **another model, without any error**.

# %%
def counts(model):
    every = list(model.parameters())
    learned = [p.numel() for p in every if p.requires_grad]
    return sum(learned), sum(p.numel() for p in every) - sum(learned)


after = replace(ours, norm_first=False)
sizes = pd.DataFrame({
    "ours": counts(Transformer(ours)),
    "Pegasus": counts(model),
    "ours, norm after": counts(Transformer(after)),
    "Marian": counts(build_model(after)),
    "BART": counts(build_model(after, "bart"))},
    index=["learned", "fixed"]).T
sizes.map("{:,}".format)

# %% tags=["remove-cell"]
record(parameters=int(sizes.iloc[0, 0]), fixed=int(sizes.iloc[1, 1]),
       bart_more=int(sizes.iloc[4, 0] - sizes.iloc[2, 0]),
       d_model=cfg.d_model, n_layers=cfg.n_layers, n_heads=cfg.n_heads)

# %% [markdown] tags=["lang-ko"]
# 학습하는 매개변수(parameter)의 수가 한 개까지 같습니다. 고정된 ⟨fixed⟩개는 위치 인코딩(positional encoding)의 사인과 코사인입니다. 우리 코드에는 매개변수가 아니라 버퍼로 들어 있어 세지 않았습니다. BART는 위치를 배우느라 ⟨bart_more⟩개가 더 많습니다. 입력 임베딩, 출력 임베딩, 로짓을 내는 행렬은 다섯 모델 모두에서 하나입니다. 가중치 공유(weight tying)입니다.
# %% [markdown] tags=["lang-en"]
# The numbers of learned parameters agree to the last one. The ⟨fixed⟩ fixed ones are the sines and cosines of the positional encoding, which our code keeps as a buffer and does not count. BART has ⟨bart_more⟩ more because it learns its positions. In all five, the embedding of the source, that of the target and the matrix that makes the logits are one: weight tying.

# %% [markdown] tags=["lang-ko"]
# <!-- label: hf-batch -->
# ### 배치가 되는 길
#
# 표의 행을 배치로 묶는 것은 collator의 일입니다. 길이를 맞추고, 디코더가 읽을 것을 만들어 줍니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: hf-batch -->
# ### How rows become a batch
#
# To make a batch of rows is the work of a collator. It pads, and it makes what the decoder reads.

# %%
from transformers import DataCollatorForSeq2Seq

collate = DataCollatorForSeq2Seq(tokenizer, model)
shown = task.make_pair("date", datetime.date.fromisoformat(day), korean=True)
small = task.make_pair("number", 12_345, korean=True)


def row_of(pair):
    return {"input_ids": encode(tokenizer, [pair.source])[0],
            "labels": encode(tokenizer, [pair.target])[0]}


def pieces(ids):
    tokens = ("−100" if i == -100 else rules.id_to_token(i) for i in ids)
    return ["␣" if token == " " else token for token in tokens]


examples = collate([row_of(small), row_of(shown)])
pd.DataFrame({name: pieces(examples[name][0].tolist())
              for name in ("labels", "decoder_input_ids")}).T

# %% [markdown] tags=["lang-ko"]
# 짧은 쪽의 행입니다. `labels`는 디코더가 **말할** 것이고 채운 자리는 −100입니다. 손실은 −100인 자리를 세지 않습니다. `decoder_input_ids`는 디코더가 **읽을** 것으로, `labels`를 오른쪽으로 한 칸 밀고 앞에 시작 토큰을 놓은 것입니다. 앞 장에서 `target[:, 1:]`과 `target[:, :-1]`로 나누던 일입니다.
# %% [markdown] tags=["lang-en"]
# This is the row of the shorter one. `labels` is what the decoder is to **say**; where it was padded it holds −100, and the loss counts no place with −100. `decoder_input_ids` is what the decoder **reads**: the `labels` moved right by one, with the start token in front. In the last chapter these were `target[:, 1:]` and `target[:, :-1]`.

# %% [markdown] tags=["lang-ko"]
# <!-- label: hf-names -->
# ## 같은 모델, 다른 이름
#
# 우리 층의 매개변수와 Pegasus 층의 매개변수를 짝지으면 남는 것이 없습니다. 디코더 한 층은 이렇습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: hf-names -->
# ## The same model under other names
#
# Match the parameters of our layer with those of a layer of Pegasus, and none is left over. One layer of the decoder looks like this.

# %%
from lib.attention.conversion import names as parameter_names

weights = dict(Transformer(ours).named_parameters())
paired = [name for name in parameter_names(ours)
          if "decoder.0." in name.ours and name.ours.endswith("weight")]
pd.DataFrame({
    "our name": [n.ours for n in paired],
    "name in Pegasus": [n.theirs for n in paired],
    "shape": [" × ".join(map(str, weights[n.ours].shape))
              for n in paired]}).set_index("our name")

# %% tags=["remove-cell"]
record(paired_names=len(parameter_names(ours)), own_names=len(weights))

# %% [markdown] tags=["lang-ko"]
# 모두 ⟨paired_names⟩쌍이고 우리 매개변수도 ⟨own_names⟩개입니다. 그럼 이름대로 베끼면 같은 모델일까요? 한 가지가 더 있습니다. 우리 위치 인코딩은 사인과 코사인이 번갈아 나오고, 이쪽은 **사인이 모두 앞에, 코사인이 모두 뒤에** 있습니다. 그래서 이쪽의 $j$번째 차원은 우리의 $j$번째 차원이 아닙니다.
#
# $$P^{\text{ours}}_t = (\sin t\omega_0, \cos t\omega_0, \sin t\omega_1, \cos t\omega_1, \dots), \qquad P^{\text{theirs}}_t = (\sin t\omega_0, \sin t\omega_1, \dots, \cos t\omega_0, \cos t\omega_1, \dots)$$
#
# 은닉 상태(hidden state)의 차원은 어떤 순서로 늘어놓아도 됩니다. 다만 그것을 읽고 쓰는 **모든 행렬의 행과 열도 함께** 옮겨야 합니다. `to_transformers`가 그 일을 합니다. 무작위 가중치로 시작해 로짓과 기울기(gradient)를 모두 견줍니다.
# %% [markdown] tags=["lang-en"]
# There are ⟨paired_names⟩ pairs in all, and our model has ⟨own_names⟩ parameters. Is it the same model, then, once the weights are copied name by name? One thing is left. In our positional encoding sines and cosines take turns; theirs has **all sines in front and all cosines behind**. So dimension $j$ over there is not our dimension $j$.
#
# $$P^{\text{ours}}_t = (\sin t\omega_0, \cos t\omega_0, \sin t\omega_1, \cos t\omega_1, \dots), \qquad P^{\text{theirs}}_t = (\sin t\omega_0, \sin t\omega_1, \dots, \cos t\omega_0, \cos t\omega_1, \dots)$$
#
# The dimensions of a hidden state may stand in any order, as long as the rows and columns of **every matrix that reads or writes it** move along. `to_transformers` does that. We start from random weights and compare all logits and all gradients.

# %%
from lib.attention.conversion import order, to_transformers

four = collate([row_of(pair) for pair in pairs[:8]])
real = four["labels"] != -100


def logits_of(own, theirs, masked=True):
    mask = four["attention_mask"] if masked else None
    mine = own(four["input_ids"], four["decoder_input_ids"])
    yours = theirs(
        input_ids=four["input_ids"], attention_mask=mask,
        decoder_input_ids=four["decoder_input_ids"]).logits
    return mine[real], yours[real]


def furthest(a, b):
    return (a - b).abs().max().item()

# %%
def compare(config, dtype):
    torch.manual_seed(seed)
    own = Transformer(config).eval()
    theirs = to_transformers(own).to(dtype)
    mine, yours = logits_of(own.to(dtype), theirs)
    for logits in (mine, yours):
        logits.logsumexp(-1).mean().backward()
    here, there = (dict(m.named_parameters()) for m in (own, theirs))
    gaps = []
    for name in parameter_names(config):
        known = here[name.ours].grad
        if name.axis is not None:
            known = known.index_select(name.axis, order(config.d_model))
        gaps.append((furthest(known, there[name.theirs].grad),
                     known.abs().max().item()))
    return (furthest(mine, yours), mine.abs().max().item(),
            *map(max, zip(*gaps, strict=True)))

# %%
found = {(family, str(dtype).removeprefix("torch.")): compare(config, dtype)
         for family, config in (("Pegasus", ours), ("Marian", after))
         for dtype in (torch.float32, torch.float64)}

# %% tags=["hide-input"]
parity = pd.DataFrame(found, index=[
    "로짓의 차이 | logits differ by", "로짓의 최댓값 | largest logit",
    "기울기의 차이 | gradients differ by",
    "기울기의 최댓값 | largest gradient"]).T
parity.index.names = ["모델 | model", "정밀도 | precision"]
for (family, kind), (logits, _, gradients, _) in found.items():
    record(**{f"{family.lower()}_{kind[-2:]}": logits,
              f"{family.lower()}_grad_{kind[-2:]}": gradients})
parity.map("{:.1e}".format)

# %% [markdown] tags=["lang-ko"]
# 로짓의 최대 차이는 Pegasus에서 float32로 ⟨pegasus_32⟩, float64로 ⟨pegasus_64⟩입니다. 정밀도를 올리자 차이가 함께 줄었으니 [2장의 규칙](02_qkv_tracing.ipynb)대로 **반올림일 뿐 같은 계산**입니다. 기울기도 그렇습니다. 앞 장의 모델을 다른 사람이 다른 이름으로 써 둔 것이 Pegasus인 셈입니다.
#
# 하나씩 빼먹으면 얼마나 달라질까요? 아래 표의 값은 모두 오류도 경고도 없이 나온 것입니다.
# %% [markdown] tags=["lang-en"]
# The largest difference between the logits, for Pegasus, is ⟨pegasus_32⟩ in float32 and ⟨pegasus_64⟩ in float64. With more precision it shrinks, so by the [rule of chapter 2](02_qkv_tracing.ipynb) it is **rounding and the computation is the same**. The same holds for the gradients. Pegasus is the model of the last chapter, as someone else wrote it down under other names.
#
# How much changes if one of these things is forgotten? None of the rows below came with an error or a warning.

# %%
torch.manual_seed(seed)
own = Transformer(ours).eval()


@torch.no_grad()
def without(what):
    theirs = to_transformers(own)
    if what == "order":  # copied name by name
        mine, yours = (dict(m.named_parameters()) for m in (own, theirs))
        for name in parameter_names(ours):
            yours[name.theirs].copy_(mine[name.ours])
    elif what == "scale":
        theirs.model.encoder.embed_scale = 1.0
        theirs.model.decoder.embed_scale = 1.0
    return furthest(*logits_of(own, theirs, masked=what != "mask"))


slips = {what: without(what) for what in ("", "order", "scale", "mask")}

# %% tags=["hide-input"]
said = {"": "빠뜨린 것 없음 | nothing forgotten",
        "order": "차원의 순서를 맞추지 않음 | dimensions left in place",
        "scale": "`scale_embedding`을 켜지 않음 | `scale_embedding` off",
        "mask": "`attention_mask`를 주지 않음 | no `attention_mask`"}
record(slip_order=slips["order"], slip_scale=slips["scale"],
       slip_mask=slips["mask"], logit_size=furthest(
           *(x * y for x, y in zip(logits_of(own, to_transformers(own)),
                                   (1, 0), strict=True))))
pd.DataFrame({"로짓의 최대 차이 | largest difference of the logits": [
    f"{gap:.1e}" for gap in slips.values()]},
    index=[said[what].replace("`", "") for what in slips])

# %% [markdown] tags=["lang-ko"]
# 로짓의 최댓값이 ⟨logit_size⟩인데 차이가 ⟨slip_order⟩, ⟨slip_scale⟩, ⟨slip_mask⟩입니다. 이런 모델도 학습을 시작하면 어느 정도 배우기 때문에 더 찾기 어렵습니다. 그러니 라이브러리를 쓸 때에는 **작은 입력으로 한 번 견주어 보는 것**이 가장 싼 검사입니다.
# %% [markdown] tags=["lang-en"]
# The largest logit is ⟨logit_size⟩, and the differences are ⟨slip_order⟩, ⟨slip_scale⟩ and ⟨slip_mask⟩. Such a model would still learn something if it were trained, which makes the slip harder to find. So the cheapest check of a library is to **compare once, on a small input**.

# %% [markdown] tags=["lang-ko"]
# <!-- label: hf-trainer -->
# ## Trainer: 반복문이 들어 있는 상자
#
# `Trainer`는 앞 장의 `fit`에 해당합니다. 학습률(learning rate)의 일정, 기울기 자르기(gradient clipping), 혼합 정밀도(mixed precision), 기울기 누적(gradient accumulation), 저장과 이어 하기, 여러 프로세스를 모두 맡습니다. 무엇을 할지는 `TrainingArguments`의 이름 백여 개로 정합니다. `training_arguments`는 그 가운데 우리가 쓰는 것을 이 책의 이름으로 부릅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: hf-trainer -->
# ## Trainer: a box with a loop in it
#
# `Trainer` is what `fit` was in the last chapter. It sees to the schedule of the learning rate, gradient clipping, mixed precision, gradient accumulation, saving and resuming, and several processes. What it does is set by some hundred names of `TrainingArguments`; `training_arguments` calls those that we use by the names of this book.

# %%
from lib.training.trainer import TracingTrainer, history, training_arguments

folder = Path(tempfile.mkdtemp())


def arguments(**changes):
    chosen = {
        "steps": cfg.steps, "batch": cfg.batch, "warmup": cfg.warmup,
        "learning_rate": cfg.learning_rate, "schedule": "cosine",
        "final_share": 0.05, "beta2": 0.98, "weight_decay": 0.0,
        "clip": 1.0, "label_smoothing": smoothing, "precision": precision,
        "log_every": max(1, cfg.steps // 50), "seed": seed,
        "device": cfg.device}
    return training_arguments(folder, **{**chosen, **changes})

# %% tags=["hide-input"]
from transformers import Seq2SeqTrainingArguments

args, usual = arguments(), Seq2SeqTrainingArguments(
    output_dir=str(folder), report_to="none")
known = {
    "steps": "max_steps", "batch": "per_device_train_batch_size",
    "accumulation": "gradient_accumulation_steps",
    "learning_rate": "learning_rate", "schedule": "lr_scheduler_type",
    "warmup": "warmup_steps", "beta2": "adam_beta2",
    "weight_decay": "weight_decay", "clip": "max_grad_norm",
    "label_smoothing": "label_smoothing_factor", "precision": "bf16",
    "order": "train_sampling_strategy", "seed": "seed"}


def plain(value):
    return str(getattr(value, "value", value))


pd.DataFrame(
    [[name, plain(getattr(args, name)), plain(getattr(usual, name))]
     for name in known.values()], index=list(known),
    columns=["TrainingArguments", "이 장 | this chapter",
             "기본값 | default"]).rename_axis(
        "이 책의 이름 | our name")

# %% [markdown] tags=["lang-ko"]
# <!-- label: hf-accumulation -->
# ### 상자 속의 나눗셈
#
# 메모리가 모자라 배치를 넷으로 나누어 기울기를 누적한다고 합시다. 앞 장에서 보았듯 결과는 큰 배치와 같아야 합니다. 정말 그런지 같은 첫 배치로 한 스텝만 돌려 봅니다. `Seq2SeqTrainer`는 라이브러리의 것이고, `TracingTrainer`는 `lib.training.trainer`에 있는 우리 것입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: hf-accumulation -->
# ### The division inside the box
#
# Say memory is short, and the batch is cut into four to accumulate gradients. As the last chapter showed, the result must be that of the whole batch. Is it? We take one step on the same first batch. `Seq2SeqTrainer` is the library's, `TracingTrainer` is ours, from `lib.training.trainer`.

# %%
from transformers import PrinterCallback, Seq2SeqTrainer


def first_step(kind, parts):
    fresh = build_model(ours, seed=seed)
    args = arguments(steps=1, batch=cfg.batch // parts, accumulation=parts,
                     order="as given", label_smoothing=0.0, warmup=0)
    if kind is TracingTrainer:
        trainer = TracingTrainer(fresh, args, tokenizer, table)
    else:
        trainer = kind(
            model=fresh, args=args, train_dataset=table,
            processing_class=tokenizer,
            data_collator=DataCollatorForSeq2Seq(tokenizer, fresh))
        trainer.remove_callback(PrinterCallback)
    trainer.train()
    return history(trainer)[0]

# %%
one_step = {(kind.__name__, parts): first_step(kind, parts)
            for kind in (Seq2SeqTrainer, TracingTrainer)
            for parts in (1, 4)}

# %% tags=["hide-input"]
divided = pd.DataFrame({
    key: [log["loss"], log["grad_norm"]] for key, log in one_step.items()},
    index=["손실 | loss", "기울기의 길이 | gradient norm"]).T
divided.index.names = ["Trainer", "조각 | parts"]
stock, tokens = (one_step[name, 4]["loss"] / one_step[name, 1]["loss"]
                 for name in ("Seq2SeqTrainer", "TracingTrainer"))
record(stock_one=one_step["Seq2SeqTrainer", 1]["loss"],
       stock_four=one_step["Seq2SeqTrainer", 4]["loss"],
       stock_ratio=stock, stock_norm=(
           one_step["Seq2SeqTrainer", 4]["grad_norm"]
           / one_step["Seq2SeqTrainer", 1]["grad_norm"]),
       parts_gap=abs(one_step["TracingTrainer", 4]["loss"]
                     - one_step["TracingTrainer", 1]["loss"]))
divided.round(4)

# %% [markdown] tags=["lang-ko"]
# 라이브러리의 것은 넷으로 나누자 손실이 ⟨stock_one⟩에서 ⟨stock_four⟩까지, 곧 ⟨stock_ratio⟩배로 뛰었습니다. 기울기도 ⟨stock_norm⟩배입니다. 무슨 일일까요? `Trainer`는 조각 전체의 토큰 수 $N$을 모델에 넘기면서 “손실의 합을 $N$으로 나누어 달라”고 합니다. 그런데 이 계열의 모델은 그 말을 받기만 하고 듣지 않습니다. 늘 하던 대로 조각마다 제 토큰 수로 나눕니다. `Trainer`는 모델이 들었다고 믿고 더는 나누지 않습니다.
#
# $$\underbrace{\sum_{i=1}^{4} \frac{1}{n_i} \sum_{t \in i} \ell_t}_{\text{Seq2SeqTrainer}} \qquad\ne\qquad \underbrace{\frac{1}{N} \sum_{i=1}^{4} \sum_{t \in i} \ell_t}_{\text{TracingTrainer}}, \qquad N = n_1 + n_2 + n_3 + n_4$$
#
# 기울기를 자르면 길이가 한도에 걸려 티가 덜 나고, 그래서 지나치기 쉽습니다. [비슷한 증상](https://github.com/huggingface/transformers/issues/37766)이 보고된 적도 있습니다. 고치는 데에는 함수 하나면 됩니다. `Trainer`의 손실만 갈아 끼웁니다.
# %% [markdown] tags=["lang-en"]
# Cut into four, the library's loss jumped from ⟨stock_one⟩ to ⟨stock_four⟩, ⟨stock_ratio⟩ times as much, and the gradient to ⟨stock_norm⟩ times. What happened? `Trainer` hands the model the number of tokens $N$ of all parts together, and asks it to divide the summed loss by that. The models of this family accept the number and ignore it: as always, each part is divided by its own tokens. `Trainer` believes that it was heard and divides no more.
#
# $$\underbrace{\sum_{i=1}^{4} \frac{1}{n_i} \sum_{t \in i} \ell_t}_{\text{Seq2SeqTrainer}} \qquad\ne\qquad \underbrace{\frac{1}{N} \sum_{i=1}^{4} \sum_{t \in i} \ell_t}_{\text{TracingTrainer}}, \qquad N = n_1 + n_2 + n_3 + n_4$$
#
# Clipping hides part of it, because it cuts the gradient to its limit, and so it is easily missed. [Something like it](https://github.com/huggingface/transformers/issues/37766) has been reported before. One function mends it: we exchange the loss of `Trainer` and nothing else.

# %%
import inspect

print(inspect.getsource(TracingTrainer.compute_loss))

# %% [markdown] tags=["lang-ko"]
# 이제 나누어도 차이가 ⟨parts_gap⟩입니다. 여러 프로세스로 나눌 때의 나눗셈도 이 함수가 맡습니다. `.venv/bin/accelerate launch --multi_gpu --num_processes 2`로 실행하면 프로세스 둘이 배치를 나누어 가지는데, `tests/attention/test_huggingface.py`는 CPU 프로세스 둘의 손실이 하나일 때와 같은지 확인합니다.
# %% [markdown] tags=["lang-en"]
# Now cutting makes a difference of ⟨parts_gap⟩. The same function divides when there are several processes. Run under `.venv/bin/accelerate launch --multi_gpu --num_processes 2`, two processes share each batch; `tests/attention/test_huggingface.py` checks that two of them on a CPU give the losses of one.

# %% [markdown] tags=["lang-ko"]
# <!-- label: hf-same-steps -->
# ### 같은 길을 가는가
#
# 모델이 같고 손실이 같다면, 같은 배치로 학습할 때 **같은 길을 가야** 합니다. 앞 장의 `fit`과 `Trainer`에게 같은 가중치와 같은 배치를 주고 나란히 학습시킵니다. 다른 것이 없도록 학습률은 일정하게 둡니다. `Trainer`의 웜업(warm-up)은 0에서 시작하고 `fit`의 웜업은 한 칸 위에서 시작하기 때문입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: hf-same-steps -->
# ### Do they take the same steps?
#
# If the model is the same and the loss is the same, then on the same batches training must **go the same way**. We give `fit` of the last chapter and `Trainer` the same weights and the same batches and let them walk side by side. The learning rate stays constant, so that nothing else differs: the warm-up of `Trainer` begins at 0, that of `fit` one notch above.

# %%
from lib.attention.conversion import from_transformers
from lib.training.loop import Recipe, fit, token_loss

walk = 20
# other work on the machine does not count in the time of this process
clock = time.process_time if cfg.device.type == "cpu" else time.perf_counter
recipe = Recipe(
    steps=walk, batch=cfg.batch, learning_rate=1e-3, schedule="constant",
    warmup=0, betas=(0.9, 0.98), weight_decay=0.0, seed=seed)


def our_loss(model, part):
    logits = model(part["input_ids"], part["decoder_input_ids"])
    return token_loss(logits, part["labels"], smoothing=smoothing)

# %%
def our_batches():
    for start in range(0, walk * cfg.batch, cfg.batch):
        part = table.select(range(start, start + cfg.batch))
        kept = part.select_columns(["input_ids", "labels"])
        yield {k: v.to(cfg.device) for k, v in collate(list(kept)).items()}

# %%
def with_fit(dtype):
    copy = from_transformers(build_model(ours, seed=seed))
    copy = copy.to(cfg.device, dtype)
    losses, began = [], clock()
    fit(copy, our_batches(), recipe, loss=our_loss,
        on_step=lambda step: losses.append(step.loss.item()))
    return copy, losses, (clock() - began) / walk


def with_trainer(dtype, steps=walk, **changes):
    fresh = build_model(ours, seed=seed).to(dtype)
    trainer = TracingTrainer(fresh, arguments(
        steps=steps, learning_rate=1e-3, schedule="constant", warmup=0,
        order="as given", log_every=1, **changes), tokenizer, table)
    began = clock()
    trainer.train()
    took = (clock() - began) / steps
    return fresh, [log["loss"] for log in history(trainer)], took

# %%
walks = {dtype: (with_fit(dtype), with_trainer(dtype))
         for dtype in (torch.float32, torch.float64)}

# %% tags=["hide-input"]
def apart(here, there):
    (one, losses, _), (two, others, _) = here, there
    two = dict(from_transformers(two).named_parameters())
    weights = pd.Series({name: furthest(p, two[name])
                         for name, p in one.named_parameters()})
    biases = weights.index.str.endswith("key.bias")
    return (max(abs(a - b) for a, b in zip(losses, others, strict=True)),
            weights[~biases].max(), weights[biases].max())


gaps = {str(dtype).removeprefix("torch."): apart(*pair)
        for dtype, pair in walks.items()}
(_, by_fit, fit_time), (_, _, trainer_time) = walks[torch.float32]
record(walk=walk, walk_gap=gaps["float32"][0], walk_start=by_fit[0],
       walk_end=by_fit[-1], weights_32=gaps["float32"][1],
       weights_64=gaps["float64"][1], biases_32=gaps["float32"][2],
       biases_64=gaps["float64"][2], fit_ms=1000 * fit_time,
       trainer_ms=1000 * trainer_time)
pd.DataFrame(gaps, index=[
    "손실의 차이 | losses differ by",
    "마지막 가중치의 차이 | last weights differ by",
    "키의 편향 | biases of the keys"]).T.map("{:.1e}".format)

# %% [markdown] tags=["lang-ko"]
# ⟨walk⟩스텝 동안 손실은 ⟨walk_start⟩에서 ⟨walk_end⟩까지 내려왔고, 두 길의 손실은 가장 멀 때에도 차이가 ⟨walk_gap⟩입니다. 마지막 스텝 뒤의 가중치는 float32에서 ⟨weights_32⟩, float64에서 ⟨weights_64⟩만큼 다릅니다. 정밀도를 올리면 사라지는 차이이니 반올림입니다. 손실의 차이가 덜 줄어드는 것은 `Trainer`가 모델이 float64여도 손실을 float32로 더해 적기 때문입니다. **상자 안에 든 것은 우리가 쓴 반복문**이었습니다.
#
# 가중치의 차이가 손실의 차이보다 큰 데에는 까닭이 있습니다. AdamW는 기울기를 제 크기로 나누므로, 기울기가 0에 가까운 곳에서는 반올림 오차만으로도 한 스텝을 온전히 움직입니다. 가장 분명한 보기가 따로 뺀 열, 키(key)의 편향입니다. 키에 같은 벡터를 더하면 한 쿼리(query)의 로짓이 모두 같은 만큼 오르고, 소프트맥스(softmax)는 그것을 없던 일로 만듭니다. 그래서 키의 편향은 **아무 일도 하지 않고, 그 기울기는 0이어야** 합니다. 그런데도 두 길에서 float32로는 ⟨biases_32⟩, float64로는 ⟨biases_64⟩만큼 다르게 움직였습니다.
#
# 한 스텝에 프로세서가 일한 시간은 `fit`이 ⟨fit_ms⟩밀리초, `Trainer`가 ⟨trainer_ms⟩밀리초입니다. 모델이 작을수록 상자를 여닫는 시간이 도드라집니다.
# %% [markdown] tags=["lang-en"]
# Over ⟨walk⟩ steps the loss fell from ⟨walk_start⟩ to ⟨walk_end⟩, and the losses of the two ways were never further apart than ⟨walk_gap⟩. After the last step the weights differ by ⟨weights_32⟩ in float32 and by ⟨weights_64⟩ in float64. A difference that more precision removes is rounding. The losses shrink less, because `Trainer` adds them up in float32 even if the model is float64. **What the box contains is the loop we wrote.**
#
# There is a reason why weights differ by more than losses. AdamW divides a gradient by its own size, so where the gradient is close to 0, it takes a full step even on rounding noise. The clearest case is the column set apart, the biases of the keys. Add one vector to all keys, and all logits of a query rise alike, which the softmax undoes. So a bias of the keys **does nothing, and its gradient ought to be 0**. Yet on the two ways it moved differently, by ⟨biases_32⟩ in float32 and by ⟨biases_64⟩ in float64.
#
# A step took ⟨fit_ms⟩ milliseconds of the processor with `fit` and ⟨trainer_ms⟩ with `Trainer`. The smaller the model, the more one notices the opening and closing of the box.

# %% [markdown] tags=["lang-ko"]
# <!-- label: hf-train -->
# ## 학습하며 들여다보기
#
# 이제 끝까지 학습합니다. `TracingTrainer`는 몇 스텝마다 한 번씩 `on_step(step, model)`을 부릅니다. 많이 달라지는 처음에는 자주, 나중에는 드물게 두 가지를 적어 둡니다. 떼어 둔 값을 몇 개나 맞히는지, 그리고 날짜 하나를 옮길 때의 어텐션(attention)입니다. 들여다보는 동안 쓴 난수와 기울기는 되돌려 놓으므로 들여다보아도 학습은 달라지지 않습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: hf-train -->
# ## Train, and look in
#
# Now the whole training. `TracingTrainer` calls `on_step(step, model)` every few steps. We write down two things, often at first, when much changes, and seldom later: how many values set aside come out right, and the attention while one date is translated. Random numbers and gradients that a look uses are put back, so looking changes nothing.

# %%
from lib.attention.huggingface import score
from lib.trace.analyses import Snapshots

one = collate([row_of(shown)])
snapshots = Snapshots(
    dict(one), {"encoder": pieces(one["input_ids"][0].tolist()),
                "decoder": pieces(one["labels"][0].tolist())})
watched = {kind: task.unseen(kind, min(100, cfg.tests), seed=2)
           for kind in task.KINDS}
stride, seen = max(1, cfg.steps // 40), {}
moments = {stride * k for k in (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32)}

# %% tags=["remove-cell"]
began = time.perf_counter()

# %%
def look(step, model):
    if step not in moments | {cfg.steps}:
        return
    snapshots(step, model)
    seen[step] = {kind: score(model, tokenizer, pairs)
                  for kind, pairs in watched.items()}


trainer = TracingTrainer(model, arguments(), tokenizer, table,
                         on_step=look, every=stride)
_ = trainer.train()

# %% tags=["hide-input"]
import matplotlib.pyplot as plt

seconds = time.perf_counter() - began
record("train_minutes", seconds / 60, text=f"{seconds / 60:.1f}")
logs = pd.DataFrame(history(trainer)).set_index("step")
right = pd.DataFrame(seen).T.rename_axis("step")
record(steps=cfg.steps, batch=cfg.batch, seconds=round(seconds),
       loss_end=logs["loss"].iloc[-1], looks=len(seen),
       epochs=cfg.steps * cfg.batch / len(table))
figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.8))
axes[0].plot(logs["loss"])
axes[0].set(title="loss (nats)", ylim=(0, None))
for kind, colour in zip(right, ("attention", "gravity"), strict=True):
    axes[1].plot(right[kind], ".-", color=COLOURS[colour], label=kind)
axes[1].set(title="exact match", ylim=(0, 1.02))
axes[1].legend()
for axis in axes:
    axis.set_xlabel("step")
show(figure, table=right)

# %% [markdown] tags=["lang-ko", "caption"]
# 왼쪽: `Trainer`가 적은 손실. 레이블 스무딩(label smoothing) 때문에 0까지 내려가지 않습니다. 오른쪽: 떼어 둔 날짜와 수를 한 글자도 틀리지 않고 옮긴 비율. 점이 들여다본 때입니다.
# <!-- alt: 선 그래프 두 개. 손실은 가파르게 내려와 바닥에서 평평해진다. 정확히 맞힌 비율은 날짜가 먼저, 수가 나중에 1 가까이 오른다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Left: the loss that `Trainer` logged; label smoothing keeps it above 0. Right: the share of dates and numbers set aside that came out right to the letter; the dots are the looks.
# <!-- alt: Two line plots. The loss falls steeply and levels out. Exact match rises towards 1, dates first and numbers later. -->

# %% [markdown] tags=["lang-ko"]
# 시험은 떼어 둔 다른 값으로 봅니다. 종류마다 ⟨tests⟩개입니다.
# %% [markdown] tags=["lang-en"]
# The test uses other values that were set aside, ⟨tests⟩ of each kind.

# %%
from lib.attention.huggingface import translate

exam = [pair for kind in task.KINDS
        for pair in task.unseen(kind, cfg.tests, seed=5)]
said = translate(model, tokenizer, [pair.source for pair in exam])
answers = pd.DataFrame({
    "kind": [pair.kind for pair in exam],
    "direction": [pair.direction for pair in exam],
    "right": [pair.target == text
              for pair, text in zip(exam, said, strict=True)]})
result = answers.groupby("direction")["right"].agg(
    tested="size", right="sum", share="mean")
result.style.format({"share": "{:.1%}"})

# %% tags=["remove-cell"]
for kind, share in answers.groupby("kind")["right"].mean().items():
    record(f"exact_{kind}s", share, text=f"{share:.1%}")
record(tests=cfg.tests)

# %% [markdown] tags=["lang-ko"]
# 날짜 ⟨exact_dates⟩, 수 ⟨exact_numbers⟩입니다. 앞 장의 모델은 ⟨05.exact_dates⟩, ⟨05.exact_numbers⟩(이)었습니다. 같은 모델이니 같은 수준에 이르는 것이 당연하고, 남은 차이는 첫 가중치와 배치의 순서에서 옵니다.
# %% [markdown] tags=["lang-en"]
# Dates come to ⟨exact_dates⟩ and numbers to ⟨exact_numbers⟩. The model of the last chapter had ⟨05.exact_dates⟩ and ⟨05.exact_numbers⟩. Being the same model, it ought to reach the same level; what differs comes from the first weights and the order of the batches.

# %% [markdown] tags=["lang-ko"]
# <!-- label: hf-evolution -->
# ### 크로스 어텐션이 자라는 모습
#
# 적어 둔 어텐션을 꺼내 봅니다. 디코더가 인코더의 결과를 보는 크로스 어텐션(cross-attention)입니다. 슬라이더로 학습의 처음부터 끝까지 움직이고, 메뉴로 헤드(head)를 고르십시오.
# %% [markdown] tags=["lang-en"]
# <!-- label: hf-evolution -->
# ### Cross-attention as it grows
#
# Here is the attention that was written down: the cross-attention by which the decoder looks at the encoder's result. Move the slider through the training and choose a head from the menu.

# %%
from lib.trace.analyses import as_matrix, attention_plot

last_layer = f"decoder.blocks.{cfg.n_layers - 1}.cross"
growth = snapshots.attention(last_layer)
heads = snapshots.heads
final = heads[(heads["attention"] == last_layer)
              & (heads["step"] == snapshots.steps[-1])]
sharpest = int(final.loc[final["entropy"].idxmin(), "head"])
show(attention_plot(growth), table=as_matrix(growth, head=sharpest))

# %% [markdown] tags=["lang-ko", "caption"]
# 디코더 마지막 층의 크로스 어텐션. 행은 지금 쓸 토큰, 열은 읽는 토큰입니다. 처음에는 고르게 흐리다가 차츰 몇 칸에 모입니다. 표에는 가장 또렷한 헤드의 마지막 모습이 있습니다.
# <!-- alt: 히트맵 하나와 스텝 슬라이더, 헤드 메뉴. 첫 스텝에서는 모든 칸이 옅고, 학습이 나아갈수록 행마다 한두 칸이 짙어진다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Cross-attention of the decoder's last layer. Rows are the tokens to be written, columns the tokens read. At first it is evenly blurred; then it gathers in a few cells. The table holds the sharpest head at the end.
# <!-- alt: A heatmap with a slider of steps and a menu of heads. At the first step all cells are pale; as training goes on, one or two cells of each row darken. -->

# %% tags=["remove-cell"]
record(cross_layer=cfg.n_layers - 1, sharpest=sharpest,
       entropy_end=final["entropy"].min(), entropy_start=heads[
           (heads["attention"] == last_layer) & (heads["step"] == 0)
           & (heads["head"] == sharpest)]["entropy"].item())

# %% [markdown] tags=["lang-ko"]
# 가장 또렷해진 헤드는 L⟨cross_layer⟩H⟨sharpest⟩입니다. 엔트로피가 ⟨entropy_start⟩비트에서 ⟨entropy_end⟩비트까지 줄었습니다. 앞 장에서 우리 모델에게 했던 관찰을 남의 모델에게 그대로 할 수 있는 것은 `trace`가 두 모델의 같은 부분을 같은 이름으로 부르기 때문입니다. 또렷하다고 해서 그 헤드가 답을 정한다는 뜻은 아닙니다. 그것을 가리려면 [지워 보아야](05_training.ipynb#train-reorder) 합니다.
# %% [markdown] tags=["lang-en"]
# Head L⟨cross_layer⟩H⟨sharpest⟩ became the sharpest: its entropy fell from ⟨entropy_start⟩ to ⟨entropy_end⟩ bits. What the last chapter observed on our model, we can observe on theirs, because `trace` calls the same parts of both by the same names. Sharp does not mean that this head decides the answer. To tell that, one has to [erase it](05_training.ipynb#train-reorder).

# %% [markdown] tags=["lang-ko"]
# <!-- label: hf-by-length -->
# ### 길이별로 묶으면
#
# `Trainer`에는 길이가 비슷한 행끼리 묶는 옵션이 있습니다. 패딩이 줄어 빨라집니다. 그런데 배우는 것도 같을까요? 짧게 ⟨trial_steps⟩스텝씩, 순서만 바꾸어 학습해 봅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: hf-by-length -->
# ### Grouped by length
#
# `Trainer` can put rows of similar length together. Less padding makes it faster. Does it learn as much? We train twice for ⟨trial_steps⟩ steps, with nothing but the order changed.

# %%
def trial(how):
    fresh = build_model(ours, seed=seed)
    trainer = TracingTrainer(
        fresh, arguments(steps=cfg.trial_steps, order=how,
                         warmup=min(cfg.warmup, cfg.trial_steps // 3)),
        tokenizer, table)
    began = clock()
    trainer.train()
    took = clock() - began
    some = [part["labels"] for part, _ in zip(
        trainer.get_train_dataloader(), range(20), strict=False)]
    cells = torch.cat([labels.flatten() for labels in some])
    return {"padding": (cells == -100).float().mean().item(),
            "ms": 1000 * took / cfg.trial_steps,
            **{kind: score(fresh, tokenizer, pairs)
               for kind, pairs in watched.items()}}


trials = {how: trial(how) for how in ("shuffled", "by length")}

# %% tags=["hide-input"]
for short, how in (("mixed", "shuffled"), ("sorted", "by length")):
    for name, value in trials[how].items():
        text = f"{value:.0f}" if name == "ms" else f"{value:.1%}"
        record(f"{short}_{name}", value, text=text)
record(trial_steps=cfg.trial_steps)
pd.DataFrame(trials).T.set_axis(
    ["뒤섞어 | shuffled", "길이별로 | by length"]).style.format(
    {"padding": "{:.1%}", "ms": "{:.0f}", "date": "{:.1%}",
     "number": "{:.1%}"}).relabel_index(
    ["패딩 | padding", "밀리초/스텝 | ms a step",
     "맞힌 날짜 | dates right", "맞힌 수 | numbers right"],
    axis="columns")

# %% [markdown] tags=["lang-ko"]
# 길이별로 묶으면 패딩이 ⟨mixed_padding⟩에서 ⟨sorted_padding⟩까지 줄고 한 스텝이 ⟨mixed_ms⟩밀리초에서 ⟨sorted_ms⟩밀리초가 됩니다. 대신 같은 스텝 수에서 맞힌 날짜는 ⟨mixed_date⟩ 대 ⟨sorted_date⟩, 맞힌 수는 ⟨mixed_number⟩ 대 ⟨sorted_number⟩입니다. 이 과제에서는 길이가 곧 종류입니다. 길이가 같은 배치는 날짜뿐이거나 여섯 자리 수뿐이어서, 스텝마다 기울기가 한쪽으로 쏠립니다. **스텝이 빠르다고 빨리 배우는 것은 아닙니다.** 그래서 이 장은 뒤섞어 학습했습니다.
#
# > **주의.** 글의 길이와 내용이 상관없는 자료라면 이야기가 다릅니다. 이 표는 이 과제에서, 이만큼 짧은 학습에서 잰 것입니다.
# %% [markdown] tags=["lang-en"]
# Grouped by length, padding falls from ⟨mixed_padding⟩ to ⟨sorted_padding⟩ and a step from ⟨mixed_ms⟩ to ⟨sorted_ms⟩ milliseconds. But after the same number of steps it gets ⟨mixed_date⟩ against ⟨sorted_date⟩ of the dates right, and ⟨mixed_number⟩ against ⟨sorted_number⟩ of the numbers. In this task the length tells the kind: a batch of one length is all dates, or all numbers of six digits, and its gradient pulls to one side. **Fast steps are not fast learning.** That is why this chapter shuffles.
#
# > **Note.** Where length has nothing to do with content, things are different. The table holds for this task and for so short a training.

# %% [markdown] tags=["lang-ko"]
# <!-- label: hf-bf16 -->
# ### 절반의 비트로
#
# 혼합 정밀도는 옵션 하나입니다. `precision="bf16"`이면 `Trainer`가 `accelerate`를 거쳐 행렬 곱만 bfloat16으로 합니다. 가중치는 float32 그대로입니다. 같은 스텝을 두 정밀도로 돌려 봅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: hf-bf16 -->
# ### With half the bits
#
# Mixed precision is one option. With `precision="bf16"` `Trainer`, through `accelerate`, does the matrix products in bfloat16; the weights stay in float32. We take the same steps in both.

# %%
few = 5
halved, losses_16, took_16 = with_trainer(
    torch.float32, steps=few, precision="bf16")
_, losses_32, took_32 = walks[torch.float32][1]
losses_32 = losses_32[:few]
pd.DataFrame({
    "first loss": [losses_32[0], losses_16[0]],
    "last loss": [losses_32[-1], losses_16[-1]]},
    index=["float32", "bf16"]).round(4)

# %% tags=["remove-cell"]
kinds = {str(p.dtype).removeprefix("torch.") for p in halved.parameters()}
record(few=few, bf16_gap=max(abs(a - b) for a, b in zip(losses_32, losses_16,
                                               strict=True)),
       bf16_ms=1000 * took_16, float_ms=1000 * took_32,
       bf16_kept=", ".join(sorted(kinds)))

# %% [markdown] tags=["lang-ko"]
# ⟨few⟩스텝 동안 손실은 최대 ⟨bf16_gap⟩만큼 달랐습니다. 학습이 끝난 뒤 가중치의 자료형은 ⟨bf16_kept⟩입니다. 이 장치에서 한 스텝은 float32로 ⟨float_ms⟩밀리초, bf16으로 ⟨bf16_ms⟩밀리초 걸렸습니다. bfloat16을 빨리 곱하는 장치가 아니면 자료형을 바꾸는 수고만 늘어납니다. 그래서 이 장은 float32로 학습합니다.
# %% [markdown] tags=["lang-en"]
# Over ⟨few⟩ steps the losses differed by at most ⟨bf16_gap⟩, and after training the weights are ⟨bf16_kept⟩. On this device a step took ⟨float_ms⟩ milliseconds in float32 and ⟨bf16_ms⟩ in bf16. On a device that is not built to multiply bfloat16 fast, it only adds the work of converting, so this chapter trains in float32.

# %% [markdown] tags=["lang-ko"]
# <!-- label: hf-generate -->
# ## 생성: 한 토큰씩
#
# 학습할 때의 모델은 정답을 읽으며 모든 자리를 한 번에 계산했습니다. 쓸 때에는 제가 쓴 것을 다시 읽으며 하나씩 나아갑니다. 자기회귀(autoregressive)입니다. `generate`가 하는 일 가운데 가장 단순한 것, 곧 가장 그럴듯한 토큰을 고르는 탐욕 디코딩(greedy decoding)은 몇 줄이면 씁니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: hf-generate -->
# ## Generation: token by token
#
# In training the model read the answer and computed all positions at once. In use it reads what it has written and goes on one token at a time: it is autoregressive. The simplest thing that `generate` can do, greedy decoding, which always takes the likeliest token, is a few lines.

# %%
from lib.attention.huggingface import generate

asked = [pair.source for pair in exam[:20] + exam[-20:]]
given = tokenizer(asked, padding=True, return_tensors="pt").to(cfg.device)


@torch.no_grad()
def by_hand(model, limit=32):
    model.eval()
    ids = torch.full((len(asked), 1), model.config.decoder_start_token_id,
                     device=cfg.device)
    done = torch.zeros(len(asked), dtype=torch.bool, device=cfg.device)
    while ids.shape[1] < limit and not done.all():
        logits = model(**given, decoder_input_ids=ids).logits[:, -1]
        following = logits.argmax(-1)
        following[done] = tokenizer.pad_token_id
        ids = torch.cat((ids, following[:, None]), dim=1)
        done |= following == tokenizer.eos_token_id
    return ids

# %%
mine = by_hand(model)
theirs = generate(model, given.input_ids, given.attention_mask)

# %% tags=["remove-cell"]
record(hand_same=int((mine == theirs).all(1).sum()), hand_all=len(asked))

# %% [markdown] tags=["lang-ko"]
# 글 ⟨hand_all⟩개 가운데 ⟨hand_same⟩개에서 두 결과가 마지막 토큰까지 같습니다. 위의 반복문은 토큰을 하나 쓸 때마다 앞의 것을 모두 다시 계산합니다. `generate`는 지나온 키와 값을 간직해 두는 KV 캐시(KV cache)를 씁니다. 끄면 어떻게 될까요? 그리고 한 갈래만 따라가지 않고 여러 갈래를 함께 들고 가는 빔 탐색(beam search)은 더 잘 맞힐까요?
#
# 빔 탐색은 폭 $k$만큼의 앞부분을 들고 다니며, 걸음마다 모든 이어 쓰기 가운데 로그 확률의 합이 큰 $k$개를 남깁니다. 마지막에는 길이로 나눈 점수가 가장 큰 것을 고릅니다. 폭이 1이면 탐욕 디코딩입니다.
# %% [markdown] tags=["lang-en"]
# On ⟨hand_same⟩ of ⟨hand_all⟩ texts the two agree to the last token. The loop above computes everything before anew for each token. `generate` uses a KV cache, which keeps the keys and values gone by. What if it is switched off? And does beam search, which carries several branches along instead of one, get more right?
#
# Beam search carries $k$ beginnings, its width, and at every step keeps the $k$ continuations with the largest sum of log-probabilities. At the end it takes the one with the largest score divided by its length. A width of 1 is greedy decoding.

# %%
some = [pair for kind in task.KINDS for pair in exam
        if pair.kind == kind][:: max(1, cfg.tests // cfg.beam_tests)]
ways = {"greedy": {}, "greedy, no cache": {"use_cache": False},
        "2 beams": {"num_beams": 2}, "4 beams": {"num_beams": 4}}
written, took = {}, {}
for name, options in ways.items():
    began = clock()
    written[name] = translate(model, tokenizer, [p.source for p in some],
                              **options)
    took[name] = clock() - began

# %% tags=["hide-input"]
compared = pd.DataFrame({
    name: [task.exact_match(found, [p.target for p in some]),
           sum(a != b for a, b in zip(found, written["greedy"],
                                      strict=True)),
           took[name] / took["greedy"]]
    for name, found in written.items()}, index=["right", "other", "time"]).T
record(beam_texts=len(some), cache_other=int(compared.iloc[1, 1]),
       beam_other=int(compared.iloc[3, 1]))
for name, way in (("greedy", 0), ("beams", 3)):
    share = compared.iloc[way, 0]
    record(f"{name}_right", share, text=f"{share:.1%}")
for name, way in (("uncached_time", 1), ("beam_time", 3)):
    record(name, compared.iloc[way, 2], text=f"{compared.iloc[way, 2]:.1f}")
compared.set_axis(
    ["탐욕 | greedy", "탐욕, 캐시 없이 | greedy, no cache",
     "빔 2 | 2 beams", "빔 4 | 4 beams"]).style.format(
    {"right": "{:.1%}", "other": "{:.0f}", "time": "{:.1f}"}).relabel_index(
    ["맞음 | right", "탐욕과 다른 답 | differ from greedy",
     "시간(탐욕 = 1) | time (greedy = 1)"], axis="columns")

# %% [markdown] tags=["lang-ko"]
# 캐시를 끄면 걸리는 시간이 ⟨uncached_time⟩배이고, 답이 달라진 것은 ⟨cache_other⟩개입니다. 캐시는 속도만 바꿉니다. 폭 4의 빔 탐색은 ⟨beam_time⟩배의 시간을 쓰고 ⟨beam_other⟩개에서 다른 답을 냈으며, 맞힌 비율은 탐욕의 ⟨greedy_right⟩에 견주어 ⟨beams_right⟩입니다. 답이 하나로 정해진 과제를 거의 다 배운 모델은 걸음마다 한 토큰에 확률이 몰려 있어서 여러 갈래를 들고 갈 까닭이 별로 없습니다.
# %% [markdown] tags=["lang-en"]
# Without the cache it takes ⟨uncached_time⟩ times as long, and ⟨cache_other⟩ answers change: a cache changes only the speed. Beam search of width 4 takes ⟨beam_time⟩ times as long, gives another answer to ⟨beam_other⟩ texts, and gets ⟨beams_right⟩ right against ⟨greedy_right⟩ of greedy. Where there is one right answer and the model has nearly learned it, each step has its probability on one token, and there is little reason to carry branches.

# %% [markdown] tags=["lang-ko"]
# <!-- label: hf-files -->
# ## 저장하고, 읽고, 우리 코드로 옮기기
#
# 모델을 저장하면 폴더 하나가 됩니다. 가중치는 safetensors, 나머지는 모두 사람이 읽을 수 있는 JSON입니다. 이 폴더를 받은 사람은 우리 코드 없이 `AutoModelForSeq2SeqLM.from_pretrained`로 엽니다. 어떤 모델인지는 `config.json`이 알려 줍니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: hf-files -->
# ## Save, load, and bring it into our code
#
# A saved model is a folder. The weights are safetensors; all else is JSON that a person can read. Whoever gets the folder opens it without our code, by `AutoModelForSeq2SeqLM.from_pretrained`. What kind of model it is, `config.json` tells.

# %%
from lib.attention.huggingface import load, save

save(folder, model, tokenizer, trainer.args, history(trainer))
files = {
    "model/model.safetensors": "the weights",
    "model/config.json": "kind and sizes of the model",
    "model/generation_config.json": "defaults of generation",
    "model/tokenizer.json": "rules of the tokenizer",
    "model/tokenizer_config.json": "roles of its tokens",
    "training_args.json": "every option of the training",
    "history.json": "the losses"}
pd.DataFrame({
    "bytes": [f"{(folder / file).stat().st_size:,}" for file in files],
    "what": files.values()}, index=list(files))

# %%
config = json.loads((folder / "config.json").read_text())
picked = ("model_type", "architectures", "d_model", "encoder_layers",
          "vocab_size", "scale_embedding", "dtype", "transformers_version")
pd.DataFrame({"config.json": [str(config.get(name)) for name in picked]},
             index=picked)

# %% [markdown] tags=["lang-ko"]
# 저장한 것을 다시 읽고, 그것을 **우리 트랜스포머로** 옮깁니다. `from_transformers`는 앞의 이름표를 거꾸로 읽습니다. 셋에게 같은 문제를 풀게 합니다.
# %% [markdown] tags=["lang-en"]
# We read it back, and bring what we read into **our own Transformer**; `from_transformers` reads the table of names the other way round. All three get the same questions.

# %%
loaded, its_tokenizer = load(folder)
loaded.to(cfg.device)
by_loaded = translate(loaded, its_tokenizer, [p.source for p in some])

inside = from_transformers(loaded)  # chapter 04's code, their weights
by_ours = task.translate(inside, rules, [p.source for p in some])

# %% tags=["remove-cell"]
record(loaded_same=sum(a == b for a, b in zip(
           by_loaded, written["greedy"], strict=True)),
       ours_same=sum(a == b for a, b in zip(
           by_ours, written["greedy"], strict=True)))

# %% [markdown] tags=["lang-ko"]
# 글 ⟨beam_texts⟩개 가운데 다시 읽은 모델은 ⟨loaded_same⟩개, 우리 코드는 ⟨ours_same⟩개에서 같은 답을 썼습니다. `Trainer`가 학습한 모델을 4장의 코드가 그대로 돌리고 있습니다. 다음 장에서는 이 일을 [진짜 공개된 모델](07_smollm2_from_scratch.ipynb)로 합니다.
# %% [markdown] tags=["lang-en"]
# Of ⟨beam_texts⟩ texts the model that was read back answers ⟨loaded_same⟩ alike, and our code ⟨ours_same⟩. The code of chapter 4 runs the model that `Trainer` trained. The next chapter does this with [a model that was really published](07_smollm2_from_scratch.ipynb).

# %% [markdown] tags=["lang-ko"]
# <!-- label: hf-differences -->
# ## 무엇이 다른가
#
# | 하는 일 | 우리 `fit` | `Trainer` |
# |---|---|---|
# | 나눈 배치의 손실 | 합을 전체 토큰 수로 나눔 | 모델에 맡김. 이 계열의 모델에서는 고쳐 써야 함 |
# | 웜업의 첫 학습률 | 0보다 한 칸 위 | 0. 첫 스텝은 제자리 |
# | 같은 시드(seed)의 되풀이 | 마지막 비트까지 | 마지막 비트까지 |
# | 저장한 곳에서 이어 하기 | 마지막 비트까지 | 마지막 비트까지 |
# | 체크포인트의 내용 | safetensors와 JSON | 옵티마이저는 피클(`.pt`) |
# | 쓰다 만 체크포인트 | 이름을 바꾸기 전이라 남지 않음 | 남을 수 있음. `last_checkpoint`가 가려냄 |
# | 메모리가 모자랄 때 | 무엇을 줄일지 알려 줌 | 배치를 줄이며 다시 시도하는 옵션 |
# | 큰 모델 나누기(FSDP, DeepSpeed) | 없음 | 있음 |
# | 보고할 곳(TensorBoard, wandb 등) | 함수 하나를 넘김 | 이름만 적음 |
#
# 배울 때에는 안이 보이는 쪽이, 일할 때에는 많은 것이 이미 들어 있는 쪽이 편합니다. 이 장에서 본 대로, **편한 쪽을 쓰더라도 안이 보이는 쪽과 한 번은 견주어 두는 것**이 좋습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: hf-differences -->
# ## What differs
#
# | what it does | our `fit` | `Trainer` |
# |---|---|---|
# | loss of a batch in parts | sum over all tokens | left to the model; must be mended for this family |
# | first rate of a warm-up | one notch above 0 | 0: the first step goes nowhere |
# | repeating a seed | to the last bit | to the last bit |
# | going on from a checkpoint | to the last bit | to the last bit |
# | what a checkpoint holds | safetensors and JSON | the optimizer is a pickle (`.pt`) |
# | a checkpoint cut off in writing | cannot remain: renamed when whole | may remain; `last_checkpoint` sorts it out |
# | out of memory | says what to lower | an option tries again with smaller batches |
# | splitting large models (FSDP, DeepSpeed) | no | yes |
# | places to report to (TensorBoard, wandb …) | pass a function | name it |
#
# To learn, it is good to see inside; to work, it is good to have much already there. As this chapter showed, it pays to **compare the convenient one with the open one at least once**.

# %% [markdown] tags=["lang-ko"]
# <!-- label: hf-exercises -->
# ## 연습 문제
#
# 빈칸(`...`)을 채운 다음 바로 아래 셀을 실행하면 답이 맞는지 알 수 있습니다. 풀이는 접어 두었습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: hf-exercises -->
# ## Exercises
#
# Fill in the gap (`...`) and run the next cell: it tells you whether the answer holds. Solutions are folded.

# %% [markdown] tags=["lang-ko"]
# <!-- label: hf-exercise-shift -->
# ### 1. 디코더가 읽을 것 (★, 8분)
#
# `labels` `(batch, seq)`와 시작 토큰 `bos`, 채움 토큰 `pad`를 받아 디코더가 읽을 번호를 돌려주십시오. 채운 자리의 −100이 남으면 안 되고, 받은 `labels`를 고쳐서도 안 됩니다.
#
# *힌트.* 한 칸 미는 순서와 −100을 바꾸는 순서는 어느 쪽이 먼저여도 됩니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: hf-exercise-shift -->
# ### 1. What the decoder reads (★, 8 minutes)
#
# Given `labels` `(batch, seq)`, the start token `bos` and the padding token `pad`, return the ids that the decoder reads. No −100 may be left, and the `labels` that came must not be changed.
#
# *Hint.* Moving by one and replacing −100 may come in either order.

# %% tags=["exercise"]
def my_shift(labels, bos, pad):
    ...

# %%
from lib.exercises.hugging_face import check_shift

check_shift(my_shift)

# %% tags=["solution", "hide-cell"]
def shift_solution(labels, bos, pad):
    moved = labels.roll(1, dims=1)
    moved[:, 0] = bos
    return moved.masked_fill(moved == -100, pad)


check_shift(shift_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: hf-exercise-mean -->
# ### 2. 조각에서 전체로 (★, 7분)
#
# 배치를 여러 조각으로 나누었습니다. 조각마다의 평균 손실 `means`와 토큰 수 `tokens`만 남았을 때, 배치 전체의 평균 손실을 돌려주십시오.
#
# *힌트.* 평균에 토큰 수를 곱하면 합이 돌아옵니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: hf-exercise-mean -->
# ### 2. From the parts to the whole (★, 7 minutes)
#
# A batch was cut into parts. All that is left is the mean loss `means` and the number of tokens `tokens` of each. Return the mean loss of the whole batch.
#
# *Hint.* A mean times its number of tokens is the sum again.

# %% tags=["exercise"]
def my_mean(means, tokens):
    ...

# %%
from lib.exercises.hugging_face import check_mean

check_mean(my_mean)

# %% tags=["solution", "hide-cell"]
def mean_solution(means, tokens):
    total = sum(m * n for m, n in zip(means, tokens, strict=True))
    return total / sum(tokens)


check_mean(mean_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: hf-exercise-name -->
# ### 3. 이름 옮기기 (★★, 15분)
#
# 우리 매개변수의 이름을 받아 Pegasus의 이름을 돌려주십시오. 디코더 한 층의 짝은 [위의 표](#hf-names)에 있고 인코더도 같습니다. 표에 없는 것이 셋입니다. `token`은 `model.shared`, `encoder_norm`과 `decoder_norm`은 `model.encoder.layer_norm`과 `model.decoder.layer_norm`입니다.
#
# *힌트.* 사전 하나와 `str.replace`면 됩니다. `attention`이 `cross_attention`의 안에도 들어 있다는 데 주의하십시오.
# %% [markdown] tags=["lang-en"]
# <!-- label: hf-exercise-name -->
# ### 3. Carry the names over (★★, 15 minutes)
#
# Given the name of one of our parameters, return its name in Pegasus. The pairs of a decoder layer are in the [table above](#hf-names), and the encoder is alike. Three are not in the table: `token` is `model.shared`, and `encoder_norm` and `decoder_norm` are `model.encoder.layer_norm` and `model.decoder.layer_norm`.
#
# *Hint.* A dictionary and `str.replace` will do. Mind that `attention` is also inside `cross_attention`.

# %% tags=["exercise"]
def my_name(ours):
    ...

# %%
from lib.exercises.hugging_face import check_name

check_name(my_name)

# %% tags=["solution", "hide-cell"]
WORDS = {
    "token": "model.shared", "encoder_norm": "model.encoder.layer_norm",
    "decoder_norm": "model.decoder.layer_norm",
    "cross_attention": "encoder_attn", "attention": "self_attn",
    "cross_norm": "encoder_attn_layer_norm",
    "attention_norm": "self_attn_layer_norm",
    "feed_forward_norm": "final_layer_norm", "up": "fc1", "down": "fc2",
    "query": "q_proj", "key": "k_proj", "value": "v_proj",
    "output": "out_proj"}


def name_solution(ours):
    words = [WORDS.get(word, word) for word in ours.split(".")
             if word != "feed_forward"]
    if words[0] in ("encoder", "decoder"):
        words = ["model", words[0], "layers", *words[1:]]
    return ".".join(words)


check_name(name_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: hf-exercise-beam -->
# ### 4. 빔 탐색 (★★★, 25분)
#
# `following(prefix)`는 앞부분을 받아 다음 토큰의 로그 확률을 담은 텐서를 돌려줍니다. 폭 `width`의 빔 탐색으로, 끝 토큰 `end`로 끝나고 길이가 `limit` 이하인 나열 가운데 로그 확률의 합이 가장 큰 것을 찾아 돌려주십시오. 길이로 나누지 않습니다. 첫 앞부분은 빈 나열 `()`입니다.
#
# *힌트.* 걸음마다 모든 앞부분에 모든 토큰을 이어 붙이고, 합이 큰 `width`개만 남깁니다. 그 가운데 끝 토큰으로 끝난 것은 따로 모아 둡니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: hf-exercise-beam -->
# ### 4. Beam search (★★★, 25 minutes)
#
# `following(prefix)` takes a beginning and returns a tensor with the log-probabilities of the next token. By beam search of width `width`, find and return the sequence that ends with the token `end`, is no longer than `limit`, and has the largest sum of log-probabilities. Do not divide by length. The first beginning is the empty `()`.
#
# *Hint.* At every step, append every token to every beginning and keep the `width` with the largest sums. Of these, set aside what ends with the end token.

# %% tags=["exercise"]
def my_beam(following, width, end, limit):
    ...

# %%
from lib.exercises.hugging_face import check_beam

check_beam(my_beam)

# %% tags=["solution", "hide-cell"]
def beam_solution(following, width, end, limit):
    alive, done = [(0.0, ())], []
    for _ in range(limit):
        grown = [(total + gain, (*prefix, token))
                 for total, prefix in alive
                 for token, gain in enumerate(following(prefix).tolist())]
        grown = sorted(grown, reverse=True)[:width]
        done += [one for one in grown if one[1][-1] == end]
        alive = [one for one in grown if one[1][-1] != end]
    return max(done)[1]


check_beam(beam_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: hf-measured -->
# ## 무엇을 무엇으로 쟀는가
#
# | 잰 것 | 결과 |
# |---|---|
# | 로짓의 차이, Pegasus와 우리 것 | float32 ⟨pegasus_32⟩, float64 ⟨pegasus_64⟩ |
# | 기울기의 차이, Pegasus와 우리 것 | float32 ⟨pegasus_grad_32⟩, float64 ⟨pegasus_grad_64⟩ |
# | 로짓의 차이, Marian과 우리 것 | float32 ⟨marian_32⟩, float64 ⟨marian_64⟩ |
# | `fit`과 `Trainer`의 가중치, ⟨walk⟩스텝 뒤 | float32 ⟨weights_32⟩, float64 ⟨weights_64⟩ |
# | 넷으로 나눈 배치의 손실 | `Seq2SeqTrainer` ⟨stock_ratio⟩배, `TracingTrainer` 차이 ⟨parts_gap⟩ |
# | 처음 보는 날짜와 수, ⟨tests⟩개씩 | ⟨exact_dates⟩, ⟨exact_numbers⟩ |
# | 뒤섞은 배치와 길이별 배치, 수, ⟨trial_steps⟩스텝 | ⟨mixed_number⟩, ⟨sorted_number⟩ |
# | 캐시를 껐을 때 달라진 답 | ⟨cache_other⟩개 |
#
# 맞힌 비율은 학습 한 번에서 나온 것이고, 시드가 바뀌면 조금 달라집니다. 시간은 이 장치에서 잰 것이고, 학습에 걸린 분을 빼면 CPU에서는 다른 일이 섞이지 않도록 이 프로세스가 쓴 프로세서 시간입니다. `Trainer`의 나눗셈은 아래 표에 적힌 판의 `transformers`에서 본 것이고, 다른 판에서는 다를 수 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: hf-measured -->
# ## What was measured, and on what
#
# | measured | result |
# |---|---|
# | Difference of the logits, Pegasus and ours | float32 ⟨pegasus_32⟩, float64 ⟨pegasus_64⟩ |
# | Difference of the gradients, Pegasus and ours | float32 ⟨pegasus_grad_32⟩, float64 ⟨pegasus_grad_64⟩ |
# | Difference of the logits, Marian and ours | float32 ⟨marian_32⟩, float64 ⟨marian_64⟩ |
# | Weights of `fit` and `Trainer`, after ⟨walk⟩ steps | float32 ⟨weights_32⟩, float64 ⟨weights_64⟩ |
# | Loss of a batch cut into four | `Seq2SeqTrainer` ⟨stock_ratio⟩ times, `TracingTrainer` off by ⟨parts_gap⟩ |
# | Unseen dates and numbers, ⟨tests⟩ each | ⟨exact_dates⟩, ⟨exact_numbers⟩ |
# | Shuffled and by length, numbers, ⟨trial_steps⟩ steps | ⟨mixed_number⟩, ⟨sorted_number⟩ |
# | Answers that change without the cache | ⟨cache_other⟩ |
#
# The shares of right answers come from one training; another seed gives slightly others. Times were taken on this device; but for the minutes of the training, on a CPU they are processor time of this process, so that other work does not mix in. The division of `Trainer` is what the version of `transformers` below does; another may differ.

# %% tags=["remove-input"]
import accelerate
import datasets
import transformers

pd.DataFrame([
    ["모델 | Model", f"Pegasus, d = {cfg.d_model}, {sizes.iloc[1, 0]:,}"],
    ["데이터 | Data", f"{len(pairs):,} × {cfg.steps * cfg.batch / len(pairs):g}"],
    ["장치, 스레드 | Device, threads",
     f"{cfg.device}, {torch.get_num_threads()}"],
    ["transformers, datasets, accelerate", ", ".join(
        m.__version__ for m in (transformers, datasets, accelerate))],
    ["torch", torch.__version__],
    ["프로필 | Profile", cfg.profile],
], columns=["재료 | made with", "이 실행 | this run"]).set_index(
    "재료 | made with")
