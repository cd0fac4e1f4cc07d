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
# <!-- label: qkv-tracing -->
# # QKV 추적: 어텐션 한 층을 손으로 다시 계산하기
#
# 실제 언어 모델(language model) 하나를 열고, 문장이 어텐션(attention) 층을 지나는 길을 처음부터 끝까지 직접 계산해 봅니다. 한 걸음마다 모델이 속에서 얻은 값과 나란히 놓고 견줍니다. 끝까지 값이 같으면 그 층이 하는 계산을 빠짐없이 안 것입니다.
#
# - **할 수 있게 되는 것.** 은닉 상태(hidden state)와 모델의 행렬만으로 쿼리(query), 키(key), 값(value), 로짓(logit, 곧 어텐션 점수), 어텐션 가중치(attention weight), 출력을 구하고, 어느 층의 어느 헤드(head)든 무엇을 보는지 그림에서 읽을 수 있습니다.
# - **걸리는 시간.** 읽기 40분, 연습 문제 50분.
# - **필요한 것.** 행렬 곱, 소프트맥스(softmax), 파이썬과 파이토치 조금.
#
# 모델은 SmolLM2-135M-Instruct입니다. 은닉 차원이 ⟨d_model⟩이고 층이 ⟨n_layers⟩개입니다. 층마다 쿼리 헤드 ⟨n_heads⟩개와 키·값 헤드 ⟨n_kv_heads⟩개가 있고, 헤드 하나는 ⟨d_head⟩차원입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-tracing -->
# # Tracing Q, K and V: one attention layer, recomputed by hand
#
# We open a real language model and compute for ourselves, from start to end, what happens to a sentence in an attention layer. After every step we lay our numbers beside those that the model got inside. If they agree to the end, we know everything that this layer computes.
#
# - **You will be able to** get queries, keys, values, logits (attention scores), attention weights and output from nothing but hidden states and the matrices of the model; read what any head of any layer looks at.
# - **Time.** 40 minutes to read, 50 for the exercises.
# - **You need** matrix products, the softmax, a little Python and PyTorch.
#
# The model is SmolLM2-135M-Instruct: hidden size ⟨d_model⟩, ⟨n_layers⟩ layers, each with ⟨n_heads⟩ query heads and ⟨n_kv_heads⟩ key/value heads of ⟨d_head⟩ dimensions.

# %% tags=["parameters"]
profile: str = None  # smoke, book or gpu; None follows BOOK_PROFILE, else book
sentence = "고양이가 물을 마신다."  # traced; 2 to 96 tokens
sentence_en = "The cat drank the water because it was thirsty."  # its partner
layer = 16  # 0 to 29: the layer that is recomputed step by step
head = 0  # 0 to 8: the head that the pictures show
device = "cpu"  # cpu, cuda or auto; float64 needs cpu or cuda
temperatures: list[float] = None  # list; None leaves the choice to the profile
widths: list[int] = None  # head sizes of the random vectors; None: the profile
draws: int = None  # random queries per head size; None: the profile

# %% tags=["hide-input"]
import math

import pandas as pd
import torch

from lib.attention.dot_product import row_entropy
from lib.attention.masks import causal_mask
from lib.data import describe, language_model
from lib.page.figures import COLOURS, DIVERGING, show, use_style
from lib.page.profile import expect, settings
from lib.page.record import record
from lib.tokens.labels import token_labels
from lib.trace.explorer import Sentence, attention_explorer
from lib.trace.recorder import trace

use_style()
pd.set_option("display.max_colwidth", None)

# %% tags=["hide-input"]
quick = {"temperatures": [0.5, 1, 2], "widths": [4, 64], "draws": 200}
full = {"temperatures": [0.25, 0.5, 0.7, 1, 1.5, 2, 4, 8],
        "widths": [4, 8, 16, 32, 64, 128, 256, 512, 1024],
        "draws": 2000}
given = {"temperatures": temperatures, "widths": widths, "draws": draws}
expect(str, sentence=sentence, sentence_en=sentence_en)
expect(int, layer=layer, head=head)
cfg = settings(profile, smoke=quick, book=full, gpu=full, given=given,
               device=device)

# %% [markdown] tags=["lang-ko"]
# <!-- label: qkv-recording -->
# ## 모델이 계산하는 동안 적어 두기
#
# 모델과 토크나이저(tokenizer)를 불러와 두 문장을 한 번씩 읽힙니다. `trace`는 `with` 블록 안에서 모델이 만드는 텐서를 이름을 붙여 적어 두고, 블록을 나서면 모델에 아무것도 남기지 않습니다. 이 기록이 앞으로 답을 맞춰 볼 정답지입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-recording -->
# ## Write down what the model computes
#
# We load the model and its tokenizer and let it read each of the two sentences once. Inside its `with` block, `trace` writes down the tensors that the model makes, each under a name; when the block ends, nothing of it stays in the model. This record is our answer sheet.

# %%
model, tokenizer = language_model()
model.to(cfg.device)
config = model.config


def read(text):
    inputs = tokenizer(text, return_tensors="pt").to(cfg.device)
    with torch.no_grad(), trace(model) as traced:
        model(**inputs)
    ids = inputs.input_ids[0].tolist()
    return token_labels(tokenizer.convert_ids_to_tokens(ids)), traced

# %% tags=["remove-cell"]
if not 0 <= head < config.num_attention_heads:
    raise ValueError(f"head {head} is not there; use a head from 0 to "
                     f"{config.num_attention_heads - 1}.")
for said in (sentence, sentence_en):
    length = len(tokenizer(said).input_ids)
    if not 2 <= length <= 96:
        raise ValueError(f"{said!r} has {length} tokens; use a sentence "
                         "of 2 to 96 tokens.")

# %%
tokens, traced = read(sentence)
tokens_en, traced_en = read(sentence_en)

# %% tags=["remove-cell"]
record(d_model=config.hidden_size, n_layers=config.num_hidden_layers,
       n_heads=config.num_attention_heads, d_head=config.head_dim,
       n_kv_heads=config.num_key_value_heads,
       n_tokens=len(tokens), n_tokens_en=len(tokens_en),
       n_recorded=len(traced))

# %% [markdown] tags=["lang-ko"]
# 텐서 ⟨n_recorded⟩개가 기록되었습니다. 그 가운데 한 층, 한 헤드의 것만 펼쳐 놓으면 이 장의 내용이 그림 한 장에 다 들어갑니다.
# %% [markdown] tags=["lang-en"]
# ⟨n_recorded⟩ tensors were recorded. Those of one head in one layer, spread out, hold this whole chapter in one picture.

# %% tags=["hide-input"]
import matplotlib.pyplot as plt


def parts_of(traced, layer, head):
    attn = {part: traced[layer, f"attn.{part}"][0].cpu().float()
            for part in ("rot_q", "rot_k", "v", "scores", "pattern", "z")}
    group = head // (config.num_attention_heads
                     // config.num_key_value_heads)
    future = ~causal_mask(len(attn["scores"][0]))
    return {"Q": attn["rot_q"][head], "K": attn["rot_k"][group],
            "S = QKᵀ / √d": attn["scores"][head].masked_fill(
                future, torch.nan),
            "A = softmax(S)": attn["pattern"][head],
            "V": attn["v"][group], "Z = AV": attn["z"][head]}

# %% tags=["hide-input"]
parts = parts_of(traced, layer, head)
figure, axes = plt.subplots(2, 3, figsize=(7.2, 5.4))
figure.get_layout_engine().set(h_pad=0.14, w_pad=0.08)
for axis, (name, part) in zip(axes.flat, parts.items(), strict=True):
    if part.shape[0] == part.shape[1]:
        axis.imshow(part, aspect="auto")
    else:
        top = part.abs().quantile(0.99).item()
        axis.imshow(part, cmap=DIVERGING, vmin=-top, vmax=top,
                    aspect="auto", interpolation="nearest")
    square = part.shape[0] == part.shape[1]
    axis.set(title=name, xlabel="key" if square else "dimension",
             ylabel="key" if name in "KV" else "query")
seen = pd.DataFrame(parts["A = softmax(S)"].numpy(),
                    index=tokens, columns=tokens)
show(figure, table=seen)

# %% [markdown] tags=["lang-ko", "caption"]
# 헤드 L⟨layer⟩H⟨head⟩, 곧 층 ⟨layer⟩의 ⟨head⟩번 헤드가 한국어 문장에서 하는 일의 전부입니다. 위: 쿼리 $Q$와 키 $K$가 만나 로짓 $S$가 됩니다. 미래에 해당하는 칸은 비어 있습니다. 아래: 소프트맥스가 $S$를 가중치 $A$로 바꾸고, $A$가 값 $V$를 섞어 $Z$를 냅니다. $A$에서는 대각선 바로 아래 칸이 진하고, $Z$는 $V$를 한 줄 내려 놓은 것처럼 보입니다.
# <!-- alt: 히트맵 여섯 개. 쿼리, 키, 값, 출력은 토큰마다 수가 64개이고, 로짓과 가중치는 아래쪽 삼각형만 차 있다. 가중치에서는 대각선 바로 아래 칸이 진하다. 그래서 출력의 무늬는 값의 무늬를 한 줄 아래로 옮긴 것과 거의 같다. -->
# %% [markdown] tags=["lang-en", "caption"]
# All that head L⟨layer⟩H⟨head⟩, head ⟨head⟩ of layer ⟨layer⟩, does with the Korean sentence. Above: queries $Q$ meet keys $K$ and become the logits $S$; the cells of the future stay empty. Below: the softmax turns $S$ into weights $A$, and $A$ mixes the values $V$ into $Z$. In $A$ the cells just below the diagonal are dark, and $Z$ looks like $V$ moved down by one row.
# <!-- alt: Six heatmaps. Queries, keys, values and output hold 64 numbers a token; logits and weights fill the lower triangle only. In the weights the cells just below the diagonal are dark, so the pattern of the output is nearly that of the values moved down by one row. -->

# %% [markdown] tags=["lang-ko"]
# 대각선 바로 아래가 진하다는 것은 토큰(token)마다 **바로 앞 토큰**을 본다는 뜻입니다. 한국어 문장에서는 가중치의 ⟨previous_share⟩, 영어 문장에서는 ⟨previous_share_en⟩이(가) 바로 앞 토큰에 실립니다. 그래서 $Z$는 앞 토큰의 값을 거의 그대로 옮겨 온 것이 됩니다. 누가 그러라고 정해 준 것이 아닙니다. 학습하는 동안 이 헤드가 맡게 된 일입니다.
#
# 두 문장은 이렇게 토큰으로 나뉩니다. SmolLM2의 토크나이저는 영어 글에 맞춰져 있어서 한글 한 글자를 바이트 조각 두세 개로 나누곤 합니다. `고·1/3`은 "고"를 이루는 세 조각 가운데 첫째이고, `␣`는 빈칸입니다.
# %% [markdown] tags=["lang-en"]
# Dark cells just below the diagonal mean that every token looks at **the token before it**: ⟨previous_share⟩ of the weight goes there in the Korean sentence, ⟨previous_share_en⟩ in the English one. So $Z$ is close to a copy of the value before. Nobody wrote this rule; it is the job that the head came to do in training.
#
# Here is how the two sentences fall into tokens. The tokenizer of SmolLM2 is fitted to English, so a Hangul syllable often falls into two or three byte pieces. `고·1/3` is the first of three pieces of the syllable "고", and `␣` is a space.

# %% tags=["hide-input"]
before, before_en = (
    t[layer, "attn.pattern"][0, head].diagonal(-1).mean().item()
    for t in (traced, traced_en))
record("previous_share", before, text=f"{before:.1%}")
record("previous_share_en", before_en, text=f"{before_en:.1%}")
pd.DataFrame(
    {"characters": [len(sentence), len(sentence_en)],
     "tokens": [len(tokens), len(tokens_en)],
     "pieces": [" ".join(tokens), " ".join(tokens_en)]},
    index=["Korean", "English"])

# %% [markdown] tags=["lang-ko"]
# <!-- label: qkv-live -->
# ### 쿼리 하나를 따라가기
#
# 가중치의 한 행이 생기는 과정을 손으로 넘겨 보십시오. 토큰을 누르면 그 토큰이 쿼리가 됩니다. 슬라이더를 옮기면 쿼리가 키를 만나 로짓이 되고, 로짓이 가중치가 되고, 가중치가 값을 섞어 $z$가 됩니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-live -->
# ### Follow one query
#
# Turn the pages of how one row of weights comes about. Press a token to make it the query. As the slider moves, the query meets the keys and gives logits, the logits become weights, and the weights mix the values into $z$.

# %% tags=["remove-cell"]
from lib.page.live import alive, export

export("head", size=config.head_dim, sentences=[
    {"name": {"ko": ko, "en": en}, "tokens": labels,
     **{name: shown[part].half() for name, part in
        (("query", "Q"), ("key", "K"), ("value", "V"))}}
    for ko, en, labels, shown in (
        ("한국어", "Korean", tokens, parts_of(traced, layer, head)),
        ("영어", "English", tokens_en, parts_of(traced_en, layer, head)))])

# %% tags=["hide-input"]
row = int(0.6 * len(tokens))
steps = {"logit": parts["S = QKᵀ / √d"], "weight": parts["A = softmax(S)"]}
figure, axes = plt.subplots(2, 1, figsize=(7.2, 3), sharex=True)
for axis, (name, part), colour in zip(
        axes, steps.items(), ("grey", "attention"), strict=True):
    axis.bar(range(row + 1), part[row, : row + 1], color=COLOURS[colour])
    axis.set(ylabel=name)
axes[1].set(xlabel="key", xticks=range(row + 1))
alive(figure, "head", "head", table=pd.DataFrame(
    {name: part[row, : row + 1].numpy() for name, part in steps.items()},
    index=tokens[: row + 1]))

# %% [markdown] tags=["lang-ko", "caption"]
# 헤드 L⟨layer⟩H⟨head⟩의 쿼리 하나가 앞선 키마다 얻는 로짓과, 소프트맥스를 거친 가중치. 지금 보는 토큰까지만 있고 그 뒤는 가려져 있습니다.
# <!-- alt: 막대그래프 두 개. 위는 키마다의 로짓으로 크고 작은 막대가 섞여 있고, 아래는 가중치로 막대 하나가 거의 모두를 차지한다. -->
# %% [markdown] tags=["lang-en", "caption"]
# The logits that one query of head L⟨layer⟩H⟨head⟩ gets from each key before it, and the weights after the softmax. There are keys up to the token itself; what comes later is hidden.
# <!-- alt: Two bar plots. Above, the logits of the keys, large and small; below, the weights, where one bar has nearly all. -->

# %% [markdown] tags=["lang-ko"]
# 쿼리를 옮겨 가며 막대가 가장 긴 자리를 찾아보십시오. 바로 앞 토큰이 아닌 곳이 있습니까? 온도(temperature)를 올리면 나머지 토큰에게도 몫이 돌아갑니다. 온도는 [뒤에서](#qkv-temperature) 다룹니다.
# %% [markdown] tags=["lang-en"]
# Move the query and look for the longest bar. Is there a place where it is not the token before? A higher temperature gives the other tokens a share; we come to it [below](#qkv-temperature).

# %% [markdown] tags=["lang-ko"]
# <!-- label: qkv-steps -->
# ## 한 걸음씩: 은닉 상태에서 출력까지
#
# 층 `layer`로 들어가는 은닉 상태 $x \in \mathbb{R}^{n \times d}$에서 출발합니다. 이제부터 쓰는 재료는 $x$와 이 층의 행렬뿐입니다. 걸음마다 `compare`가 우리 값과 모델의 값 사이에서 가장 크게 벌어진 차이를, 모델 값의 최대 절댓값과 함께 표로 보여 줍니다. 차이가 0이면 마지막 비트까지 같다는 뜻입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-steps -->
# ## Step by step: from hidden states to the output
#
# We start from the hidden states $x \in \mathbb{R}^{n \times d}$ that enter layer `layer`. From here on we use $x$ and the matrices of this layer, and nothing else. At every step `compare` holds our values against the model's and shows the largest difference and the largest absolute value of the model. A difference of 0 means equal to the last bit.

# %% tags=["hide-input"]
COLUMNS = ["shape", "largest difference", "largest value"]


def short(gap):
    return f"{gap:.1e}" if gap else "0"


def compare(name, ours, theirs):
    gap = (ours - theirs).abs().max().item()
    size = theirs.abs().max().item()
    record(f"diff_{name}", gap)
    shape = " × ".join(map(str, ours.shape))
    return pd.DataFrame([[shape, short(gap), f"{size:.3g}"]],
                        index=[name], columns=COLUMNS)

# %% [markdown] tags=["lang-ko"]
# <!-- label: qkv-rmsnorm -->
# ### 크기 맞추기: RMSNorm
#
# 은닉 상태의 크기는 토큰마다 크게 다릅니다. RMSNorm은 벡터를 제곱평균제곱근으로 나누어 크기를 맞춘 다음, 학습된 배율 $g$를 차원마다 곱합니다. 이 식의 $d$는 은닉 차원 ⟨d_model⟩입니다.
#
# $$\hat{x} = \frac{x}{\sqrt{\frac{1}{d}\sum_{i=1}^{d} x_i^2 + \varepsilon}} \odot g$$
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-rmsnorm -->
# ### Bring to one size: RMSNorm
#
# Hidden states differ widely in size from token to token. RMSNorm divides each vector by its root mean square and multiplies each dimension by a learned gain $g$. In this formula $d$ is the hidden size, ⟨d_model⟩.
#
# $$\hat{x} = \frac{x}{\sqrt{\frac{1}{d}\sum_{i=1}^{d} x_i^2 + \varepsilon}} \odot g$$

# %%
block = model.model.layers[layer]
g, eps = block.input_layernorm.weight.detach(), config.rms_norm_eps

x = traced[layer, "resid_pre"][0]
x_hat = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * g
compare("ln1", x_hat, traced[layer, "ln1"][0])

# %% [markdown] tags=["lang-ko"]
# <!-- label: qkv-projections -->
# ### 세 갈래 투영: Q, K, V
#
# 같은 $\hat{x}$에 행렬 세 개를 따로 곱합니다. 이런 선형 변환을 투영(projection)이라고 합니다. 쿼리는 이 토큰이 무엇을 찾는지, 키는 이 토큰이 무엇으로 찾아지는지, 값은 찾아졌을 때 무엇을 건네는지를 나타냅니다. 이 모델의 투영에는 편향이 없습니다.
#
# $$Q = \hat{x} W_Q^\top, \qquad K = \hat{x} W_K^\top, \qquad V = \hat{x} W_V^\top$$
#
# 결과의 폭은 `head_dim`에 헤드 수를 곱한 것입니다. 이 폭을 헤드마다 `head_dim`씩 나누어 가집니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-projections -->
# ### Three projections: Q, K, V
#
# The same $\hat{x}$ is multiplied by three matrices; such a linear map is called a projection. The query stands for what a token looks for, the key for what it is found by, the value for what it hands over when found. The projections of this model have no biases.
#
# $$Q = \hat{x} W_Q^\top, \qquad K = \hat{x} W_K^\top, \qquad V = \hat{x} W_V^\top$$
#
# The result is `head_dim` times the number of heads wide; each head takes `head_dim` of the columns.

# %%
W_Q, W_K, W_V, W_O = (
    getattr(block.self_attn, f"{name}_proj").weight.detach()
    for name in "qkvo")

Q, K, V = x_hat @ W_Q.T, x_hat @ W_K.T, x_hat @ W_V.T
n, d = len(x), config.head_dim
q = Q.view(n, -1, d).transpose(0, 1)  # head, token, dimension
k = K.view(n, -1, d).transpose(0, 1)
v = V.view(n, -1, d).transpose(0, 1)
pd.concat([compare("q", q, traced[layer, "attn.q"][0]),
           compare("k", k, traced[layer, "attn.k"][0]),
           compare("v", v, traced[layer, "attn.v"][0])])

# %% [markdown] tags=["lang-ko"]
# 쿼리 헤드는 ⟨n_heads⟩개인데 키·값 헤드는 ⟨n_kv_heads⟩개뿐입니다. 쿼리 헤드 ⟨group_size⟩개가 키·값 헤드 하나를 함께 쓰는 이 방식을 그룹 쿼리 어텐션(grouped-query attention)이라고 합니다. 글을 생성할 때는 지나온 토큰의 키와 값을 모두 기억해 두어야 하는데, 그 양이 ⟨group_size⟩분의 1로 줄어듭니다.
# %% [markdown] tags=["lang-en"]
# There are ⟨n_heads⟩ query heads and only ⟨n_kv_heads⟩ key/value heads. This is grouped-query attention: ⟨group_size⟩ query heads share one key/value head. A model that writes text must remember the keys and values of everything before; here that is ⟨group_size⟩ times less to keep.

# %% [markdown] tags=["lang-ko"]
# <!-- label: qkv-rotary -->
# ### 자리만큼 돌리기: 회전 위치 임베딩
#
# 여기까지의 계산에는 토큰의 순서가 들어 있지 않습니다. 회전 위치 임베딩(rotary position embedding)은 쿼리와 키의 차원을 둘씩 짝지어, $t$번째 토큰이면 $t$에 비례하는 각도만큼 돌립니다. 여기서부터 $d$는 헤드 하나의 차원 ⟨d_head⟩입니다. 짝 $i$는 차원 $i$와 $i + d/2$이고, 뒤쪽 짝일수록 천천히 돕니다.
#
# $$\varphi_{t,i} = t\,\theta^{-2i/d}, \qquad \begin{pmatrix} \tilde{q}_i \\ \tilde{q}_{i+d/2} \end{pmatrix} = \begin{pmatrix} \cos\varphi_{t,i} & -\sin\varphi_{t,i} \\ \sin\varphi_{t,i} & \cos\varphi_{t,i} \end{pmatrix} \begin{pmatrix} q_i \\ q_{i+d/2} \end{pmatrix}$$
#
# 이렇게 돌린 두 벡터의 내적(dot product)은 각도의 차이, 곧 두 토큰 사이의 거리에만 달려 있습니다. 정말 그런지는 [연습 문제](#qkv-exercise-rotary)에서 확인합니다. 첫 그림의 $S$에 비스듬히 이어지던 띠가 그 흔적입니다. 거리가 같은 칸은 대각선을 따라 늘어서 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-rotary -->
# ### Turn by position: rotary embedding
#
# Nothing so far knows the order of the tokens. The rotary position embedding takes the query and key of token $t$, two dimensions at a time, and turns each pair by an angle proportional to $t$. From here on $d$ is the dimension of one head, ⟨d_head⟩. Pair $i$ is dimensions $i$ and $i + d/2$; later pairs turn more slowly.
#
# $$\varphi_{t,i} = t\,\theta^{-2i/d}, \qquad \begin{pmatrix} \tilde{q}_i \\ \tilde{q}_{i+d/2} \end{pmatrix} = \begin{pmatrix} \cos\varphi_{t,i} & -\sin\varphi_{t,i} \\ \sin\varphi_{t,i} & \cos\varphi_{t,i} \end{pmatrix} \begin{pmatrix} q_i \\ q_{i+d/2} \end{pmatrix}$$
#
# The dot product of two turned vectors depends on the difference of their angles, that is, on the distance of the two tokens. An [exercise](#qkv-exercise-rotary) checks that it does. The slanting bands of $S$ in the first picture are its trace: cells of equal distance lie along diagonals.

# %%
theta = config.rope_parameters["rope_theta"]
t = torch.arange(n, device=x.device)[:, None].float()
phi = t * theta ** -(torch.arange(0, d, 2, device=x.device) / d)
cos, sin = phi.cos(), phi.sin()


def turn(x):
    first, second = x[..., : d // 2], x[..., d // 2 :]
    return torch.cat((first * cos - second * sin,
                      first * sin + second * cos), dim=-1)


q_rot, k_rot = turn(q), turn(k)
pd.concat([compare("rot_q", q_rot, traced[layer, "attn.rot_q"][0]),
           compare("rot_k", k_rot, traced[layer, "attn.rot_k"][0])])

# %% [markdown] tags=["lang-ko"]
# <!-- label: qkv-logits -->
# ### 쿼리와 키의 만남: 로짓
#
# 이제 모든 쿼리와 모든 키의 내적을 구합니다. 키 헤드 하나를 쿼리 헤드 $r$개가 함께 쓰므로, 쿼리 헤드 $h$의 짝은 키 헤드 $\lfloor h / r \rfloor$입니다. 왜 $\sqrt{d}$로 나누는지는 [뒤에서 재어 보며](#qkv-scale) 알아봅니다.
#
# $$S = \frac{\tilde{Q}\,\tilde{K}^\top}{\sqrt{d}}$$
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-logits -->
# ### Queries meet keys: the logits
#
# Now every query meets every key in a dot product. Since $r$ query heads share one key head, the partner of query head $h$ is key head $\lfloor h / r \rfloor$. Why we divide by $\sqrt{d}$ is [measured below](#qkv-scale).
#
# $$S = \frac{\tilde{Q}\,\tilde{K}^\top}{\sqrt{d}}$$

# %%
r = len(q) // len(k)
k_shared = k_rot.repeat_interleave(r, dim=0)
v_shared = v.repeat_interleave(r, dim=0)

S = q_rot @ k_shared.transpose(-2, -1) / math.sqrt(d)
M = causal_mask(n, device=x.device)
compare("logits", S[:, M], traced[layer, "attn.scores"][0][:, M])

# %% tags=["remove-cell"]
record(group_size=r)

# %% [markdown] tags=["lang-ko"]
# <!-- label: qkv-mask -->
# ### 미래 가리기: 마스크
#
# 다음 토큰을 맞히도록 배우는 모델이 다음 토큰을 미리 보면 안 됩니다. 그래서 인과 마스크(causal mask)가 $j > i$인 칸을 모두 막습니다. 우리는 막을 칸에 $-\infty$를 넣고, 모델은 float32에서 가장 작은 수를 더합니다. 방법은 달라도 막은 칸이 같으면 됩니다.
#
# $$S_{ij} \leftarrow -\infty \quad (j > i)$$
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-mask -->
# ### Hide the future: the mask
#
# A model that predicts the next token must not see it. The causal mask therefore closes every cell with $j > i$. We put $-\infty$ there; the model adds the lowest float32 number. The ways differ; what counts is that the same cells are closed.
#
# $$S_{ij} \leftarrow -\infty \quad (j > i)$$

# %%
S = S.masked_fill(~M, -torch.inf)

closed = traced[layer, "attn.scores"][0] < -1e30
pd.DataFrame({
    "closed by us": [int(S.isneginf().sum())],
    "closed by the model": [int(closed.sum())],
    "different": [int((closed != S.isneginf()).sum())]},
    index=["all heads"])

# %% tags=["remove-cell"]
record(closed_cells=int((~M).sum()),
       closed_differently=int((closed != ~M).sum()))

# %% [markdown] tags=["lang-ko"]
# <!-- label: qkv-weights -->
# ### 나누어 갖기: 소프트맥스
#
# 소프트맥스는 로짓을 양수로 바꾸고, 쿼리마다 합이 1이 되도록 나눕니다. 그 결과가 어텐션 가중치 $A$입니다. 막힌 칸은 $e^{-\infty} = 0$이 됩니다.
#
# $$A_{ij} = \frac{e^{S_{ij}}}{\sum_{k} e^{S_{ik}}}$$
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-weights -->
# ### Share out: the softmax
#
# The softmax makes the logits positive and, for each query, scales them to a sum of 1. The result is the attention weights $A$. Closed cells become $e^{-\infty} = 0$.
#
# $$A_{ij} = \frac{e^{S_{ij}}}{\sum_{k} e^{S_{ik}}}$$

# %%
A = S.exp() / S.exp().sum(dim=-1, keepdim=True)
compare("weights", A, traced[layer, "attn.pattern"][0])

# %% [markdown] tags=["lang-ko"]
# <!-- label: qkv-output -->
# ### 섞고, 이어 붙이고, 되돌리기
#
# 가중치대로 값을 섞으면 헤드마다 $Z_h$가 나옵니다. 이것들을 나란히 이어 붙이고 출력 행렬 $W_O$를 곱하면 다시 은닉 차원이 됩니다. 층에서 층으로 이어지며 층마다 제 결과를 더해 가는 은닉 상태를 잔차 스트림(residual stream)이라고 합니다. 이 층의 어텐션이 거기에 더하는 것이 바로 이 값입니다.
#
# $$Z_h = A_h V_{\lfloor h/r \rfloor}, \qquad O = [\,Z_0 \; Z_1 \; \cdots \; Z_{H-1}\,]\, W_O^\top$$
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-output -->
# ### Mix, lay side by side, bring back
#
# The weights mix the values into one $Z_h$ a head. Laid side by side and multiplied by the output matrix $W_O$, the heads return to the hidden size. The hidden states that run from layer to layer, each layer adding its result, are called the residual stream. This is what the attention of this layer adds to it.
#
# $$Z_h = A_h V_{\lfloor h/r \rfloor}, \qquad O = [\,Z_0 \; Z_1 \; \cdots \; Z_{H-1}\,]\, W_O^\top$$

# %%
Z = A @ v_shared
out = Z.transpose(0, 1).reshape(n, -1) @ W_O.T
pd.concat([compare("z", Z, traced[layer, "attn.z"][0]),
           compare("attn_out", out, traced[layer, "attn_out"][0])])

# %% [markdown] tags=["lang-ko"]
# 끝까지 왔습니다. 은닉 상태와 행렬 네 개, 벡터 하나만으로 모델의 값에 이르렀고, 마지막 차이는 ⟨diff_attn_out⟩입니다. 회전부터 차이가 0이 아닌 것은 우리가 각도를 모델과 조금 다른 순서로 셈해서입니다. 순서까지 맞추면 어떻게 되는지는 곧 봅니다.
#
# 마지막 식은 달리 읽을 수도 있습니다. 이어 붙인 벡터에 행렬을 곱하나, **헤드마다 제 몫의 행렬을 곱해서 모두 더하나** 결과는 같습니다. 그러니 헤드들은 저마다 따로 잔차 스트림에 제 몫을 더하는 셈입니다.
#
# $$O = \sum_{h=0}^{H-1} Z_h\, W_{O,h}^\top$$
# %% [markdown] tags=["lang-en"]
# We have arrived: hidden states, four matrices and one vector were enough to reach the values of the model; the last difference is ⟨diff_attn_out⟩. From the rotation on, differences other than 0 come from computing the angles in a slightly different order from the model's. What happens when the order is the same too, we see in a moment.
#
# The last formula can be read in another way. Multiplying the joined vector by a matrix is the same as **multiplying head by head and adding up**. So each head adds its own share to the residual stream, independently of the others.
#
# $$O = \sum_{h=0}^{H-1} Z_h\, W_{O,h}^\top$$

# %%
W_heads = W_O.view(-1, len(q), d)  # d_model, head, d_head
by_head = sum(Z[h] @ W_heads[:, h].T for h in range(len(q)))
compare("head_sum", by_head, traced[layer, "attn_out"][0])

# %% [markdown] tags=["lang-ko"]
# 이번 차이는 ⟨diff_head_sum⟩입니다. 식으로는 같고 더하는 순서만 다릅니다. 이 차이가 반올림인지, 아니면 어딘가 틀린 것인지 어떻게 가릴 수 있을까요?
# %% [markdown] tags=["lang-en"]
# This time the difference is ⟨diff_head_sum⟩. The formula is the same, the order of adding is not. How do we know whether this is rounding or a mistake?

# %% [markdown] tags=["lang-ko"]
# <!-- label: qkv-all-layers -->
# ## 모든 층, 두 문장, 두 정밀도
#
# 가리는 규칙은 이렇습니다. **float64로 다시 계산해 보아 차이가 함께 줄어들면 반올림이고, 그대로 남으면 계산이 다른 것입니다.** 위의 걸음을 모은 함수 `recompute_attention`을 모든 층과 두 문장에 적용하고, 걸음마다 가장 크게 벌어진 차이만 남깁니다. `recompute_attention`은 더하는 순서까지 모델을 따르고, 헤드별 합(`head_sum`)만 일부러 다른 순서로 더합니다. 층에 따라 값의 크기가 크게 다르므로, 차이를 그 층에서 모델 값의 최대 절댓값으로 나눈 상대 차이도 함께 봅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-all-layers -->
# ## All layers, both sentences, two precisions
#
# The rule is this. **Compute again in float64. If the difference shrinks along, it was rounding; if it stays, the two computations differ.** The function `recompute_attention` gathers the steps above; we run it over all layers and both sentences and keep the worst value of each step. It follows the model even in the order of its sums; only the sum over heads (`head_sum`) is added in another order, on purpose. Since layers differ widely in size, we count the absolute difference and also the relative one: divided by the largest absolute value of the model in that layer.

# %%
from lib.trace.recompute import recompute_attention


@torch.no_grad()
def worst(traces, single):
    found = {}
    for record_of in traces:
        for i in range(config.num_hidden_layers):
            x = record_of[i, "resid_pre"]
            ours = recompute_attention(model, i, x, single)
            for name, mine in ours.items():
                known = "attn_out" if name == "head_sum" else name
                theirs = record_of[i, known]
                seen = mine.isfinite()  # closed cells are -inf
                gap = (mine - theirs)[seen].abs().max().item()
                size = theirs[seen].abs().max().item()
                old = found.get(name, (0, 0))
                found[name] = max(old[0], gap), max(old[1], gap / size)
    return found

# %%
in_32 = worst([traced, traced_en], torch.float32)
model.double()
doubles = [read(sentence)[1], read(sentence_en)[1]]
in_64 = worst(doubles, torch.float32)
all_64 = worst(doubles, torch.float64)
model.float()
del doubles

pd.DataFrame({
    "float32": {name: short(gap) for name, (gap, _) in in_32.items()},
    "float32, relative":
        {name: short(part) for name, (_, part) in in_32.items()},
    "float64": {name: short(gap) for name, (gap, _) in in_64.items()},
    "RMSNorm, softmax float64 too":
        {name: short(gap) for name, (gap, _) in all_64.items()}})

# %% tags=["remove-input"]
steps_compared = [name for name in in_32 if name != "head_sum"]
record(worst_step=max(in_32[name][0] for name in steps_compared),
       worst_step_64=max(in_64[name][0] for name in steps_compared),
       head_sum_32=in_32["head_sum"][0],
       head_sum_relative=in_32["head_sum"][1],
       head_sum_64=in_64["head_sum"][0],
       stays_64=max(all_64[name][1] for name in steps_compared),
       largest_out=max(t.stack("attn_out").abs().max().item()
                       for t in (traced, traced_en)))

# %% [markdown] tags=["lang-ko"]
# 표는 이렇게 읽습니다.
#
# - 모든 걸음을 통틀어 가장 큰 차이는 float32에서 ⟨worst_step⟩, float64에서 ⟨worst_step_64⟩입니다. 이 장치에서 모델과 같은 연산을 같은 순서로 하면 이만큼 같아집니다.
# - 헤드별 합(`head_sum`)에서는 차이가 ⟨head_sum_32⟩까지 벌어집니다. 커 보이지만 층의 출력이 ⟨largest_out⟩까지 이르는 모델에서 나온 값이고, 상대 차이는 가장 큰 층에서도 ⟨head_sum_relative⟩입니다. float64에서는 ⟨head_sum_64⟩까지 줄어듭니다. **반올림**이었던 것입니다.
# - 마지막 열은 우리 쪽의 RMSNorm과 소프트맥스도 float64로 계산한 것인데, 차이가 줄지 않습니다(상대 차이 ⟨stays_64⟩). 규칙대로라면 계산 어딘가가 모델과 다르다는 뜻이고, 정말로 다릅니다. `transformers`는 모델이 float64여도 **RMSNorm과 소프트맥스는 float32로** 계산합니다. 셋째 열은 그 두 곳을 모델과 똑같이 계산한 것입니다. 회전 각도는 모델도 우리도 늘 float32로 구합니다.
# %% [markdown] tags=["lang-en"]
# How to read it:
#
# - The largest difference over all steps is ⟨worst_step⟩ in float32 and ⟨worst_step_64⟩ in float64. That is how close the same operations in the same order come on this device.
# - The sum over heads (`head_sum`) differs by ⟨head_sum_32⟩ in absolute terms. That looks large, but outputs reach ⟨largest_out⟩, and the relative difference is ⟨head_sum_relative⟩ in the worst layer. In float64 it falls to ⟨head_sum_64⟩: it was **rounding**.
# - In the last column our side computes RMSNorm and the softmax in float64 as well, and the difference does not shrink (relative difference ⟨stays_64⟩). By the rule, some computation differs from the model's, and so it does: `transformers` computes **RMSNorm and the softmax in float32** even when the model is in float64. The third column does the same in these two places. The angles of the rotation are float32 throughout, in the model and here.

# %% [markdown] tags=["lang-ko"]
# <!-- label: qkv-own-layer -->
# ## 우리 층을 SmolLM2의 층 옆에
#
# `lib.attention.dot_product.MultiHeadAttention`은 위의 걸음들을 모듈 하나로 묶은 것입니다. 여기에 SmolLM2의 행렬 네 개를 옮겨 담고, 우리 층의 출력을 모델의 출력 옆에 놓아 봅니다. 이 모듈은 두 가지 방법으로 계산할 수 있습니다. `reference`는 지금까지처럼 가중치를 드러내고, `sdpa`는 파이토치의 `F.scaled_dot_product_attention`을 부릅니다. `sdpa`는 가중치를 내주지 않는 대신 빠릅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-own-layer -->
# ## Our own layer beside SmolLM2's
#
# `lib.attention.dot_product.MultiHeadAttention` is the steps above as one module. We copy the four matrices of SmolLM2 into it and lay the output of our layer beside the model's. The module can compute in two forms: `reference` keeps the weights in the open, as we did so far; `sdpa` calls PyTorch's `F.scaled_dot_product_attention`, which keeps the weights to itself and is faster.

# %%
from lib.attention.dot_product import MultiHeadAttention
from lib.attention.rotary import rotary_angles


def own_layer(i):
    attn = model.model.layers[i].self_attn
    own = MultiHeadAttention(
        config.hidden_size, config.num_attention_heads,
        config.num_key_value_heads, config.head_dim, bias=False)
    for name in ("query", "key", "value", "output"):
        theirs = getattr(attn, f"{name[0]}_proj")  # q_proj, k_proj …
        getattr(own, name).load_state_dict(theirs.state_dict())
    return own.to(x.device)

# %%
@torch.no_grad()
def both_forms(i, ln1):
    own = own_layer(i).to(ln1.dtype)
    places = torch.arange(ln1.shape[1], device=ln1.device)
    see = {"mask": causal_mask(len(places), device=ln1.device),
           "rotary": rotary_angles(places, config.head_dim, theta)}
    outputs = {}
    for form in ("reference", "sdpa"):
        own.form = form
        outputs[form] = own(ln1, **see)
    return outputs

# %%
rows = {form: {"here": 0, "any": 0, "part": 0}
        for form in ("reference", "sdpa")}
apart_64 = 0
for t in (traced, traced_en):
    for i in range(config.num_hidden_layers):
        theirs = t[i, "attn_out"]
        for form, ours in both_forms(i, t[i, "ln1"]).items():
            gap = (ours - theirs).abs().max().item()
            row = rows[form]
            row["any"] = max(row["any"], gap)
            row["part"] = max(row["part"], gap / theirs.abs().max().item())
            if i == layer:
                row["here"] = max(row["here"], gap)
        pair = both_forms(i, t[i, "ln1"].double()).values()
        gap = torch.sub(*pair).abs().max().item()
        apart_64 = max(apart_64, gap)

# %% tags=["hide-input"]
record(own_reference=rows["reference"]["any"], own_sdpa=rows["sdpa"]["any"],
       own_relative=max(row["part"] for row in rows.values()),
       own_apart_64=apart_64)
pd.DataFrame(rows).T.map(short).rename(columns={
    "here": f"layer {layer}", "any": "all layers",
    "part": "all layers, relative"})

# %% [markdown] tags=["lang-ko"]
# 두 문장에서 가장 크게 벌어진 차이입니다. 모든 층을 통틀어 `reference`의 차이는 ⟨own_reference⟩, `sdpa`의 차이는 ⟨own_sdpa⟩이고, 상대 차이는 커야 ⟨own_relative⟩입니다. 두 방법을 float64로 계산하면 서로의 차이가 ⟨own_apart_64⟩까지 줄어듭니다. 더하는 순서만 다른 같은 계산이라는 뜻입니다. 7장에서는 이 모듈로 SmolLM2 전체를 세웁니다.
# %% [markdown] tags=["lang-en"]
# These are the largest differences in both sentences. Over all layers `reference` differs from the model by ⟨own_reference⟩ and `sdpa` by ⟨own_sdpa⟩, at most ⟨own_relative⟩ in relative terms. Computed in float64, the two forms differ from each other by ⟨own_apart_64⟩: one computation, added up in two orders. Chapter 7 builds all of SmolLM2 from this module.

# %% [markdown] tags=["lang-ko"]
# <!-- label: qkv-explorer -->
# ## 모든 헤드 둘러보기
#
# 계산을 믿을 수 있게 되었으니 이제 눈으로 볼 차례입니다. 슬라이더 두 개로 층과 헤드를 고르십시오. 화살표 키로도 움직일 수 있습니다. 행은 보는 토큰(쿼리), 열은 보이는 토큰(키)이며, 한 행을 더하면 100%가 됩니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-explorer -->
# ## Look at every head
#
# Now that the numbers can be trusted, look at them. Choose layer and head with the two sliders; the arrow keys move them as well. Rows are the tokens that look (queries), columns the tokens that are looked at (keys), and a row sums to 100%.

# %%
heatmaps = traced.stack("attn.pattern")[:, 0].cpu()  # layer head query key
heatmaps_en = traced_en.stack("attn.pattern")[:, 0].cpu()

# %% tags=["hide-input"]
sentences = [
    Sentence(heatmaps, tokens, "한국어 문장", "Korean sentence"),
    Sentence(heatmaps_en, tokens_en, "영어 문장", "English sentence")]

# %% tags=["cover"]
attention_explorer(sentences, layer=layer, head=head)

# %% [markdown] tags=["lang-ko", "caption"]
# 층과 헤드를 바꿔 가며 보십시오. 색은 가중치의 제곱근에 비례하므로 1%도 옅게 보입니다. 칸에 포인터를 올리면 값이 나타나고, “칸마다 숫자(%) 쓰기”를 켜면 표가 됩니다.
# <!-- alt: 고른 층과 헤드의 가중치를 담은 표. 행은 쿼리 토큰, 열은 키 토큰이며 대각선 위쪽은 비어 있다. 칸마다 백분율이 적혀 있고, 슬라이더 두 개와 문장 단추로 내용을 바꾼다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Change layer and head. Colour goes with the square root of the weight, so that even 1% shows faintly. Point at a cell for its value, or switch on the numbers to read it as a table.
# <!-- alt: A table with the weights of the chosen layer and head. Rows are query tokens, columns key tokens; above the diagonal it is empty. Each cell holds a percentage; two sliders and a switch of sentences change the content. -->

# %% tags=["remove-input"]
first_ko, first_en = (w[:, :, 1:, 0].mean(-1)  # layer, head
                      for w in (heatmaps, heatmaps_en))
for name, share in (("sink_share", first_ko), ("sink_share_en", first_en)):
    record(name, share.mean().item(), text=f"{share.mean():.0%}")
    over = (share > 0.5).float().mean().item()
    record(name.replace("share", "heads"), over, text=f"{over:.0%}")
n_all = heatmaps.shape[0] * heatmaps.shape[1]
record(n_all_heads=n_all)

# %% [markdown] tags=["lang-ko"]
# 몇 번 움직여 보면 이상한 점이 눈에 띕니다. 첫째 열만 진한 헤드가 아주 많습니다. 헤드 ⟨n_all_heads⟩개를 평균하면 첫 토큰에 실린 가중치는 한국어 문장에서 ⟨sink_share⟩, 영어 문장에서 ⟨sink_share_en⟩입니다. 첫 쿼리는 볼 것이 첫 토큰뿐이므로 빼고 셌습니다. 가중치를 절반 넘게 첫 토큰에 주는 헤드의 비율은 각각 ⟨sink_heads⟩, ⟨sink_heads_en⟩입니다.
# %% [markdown] tags=["lang-en"]
# Move the sliders a few times and something odd stands out: in a great many heads only the first column is dark. On average over all ⟨n_all_heads⟩ heads, the first token receives ⟨sink_share⟩ of the weight in the Korean sentence and ⟨sink_share_en⟩ in the English one; the first query, which has nothing else to see, is not counted. ⟨sink_heads⟩ and ⟨sink_heads_en⟩ of the heads give it more than half.

# %% [markdown] tags=["lang-ko"]
# <!-- label: qkv-sink -->
# ## 첫 토큰은 쉼터
#
# 첫 토큰이 그만큼 중요해서일까요? 층마다 세 가지를 재어 봅니다. 첫 토큰이 받는 가중치, 다른 토큰과 견준 첫 토큰의 값 벡터 길이, 그리고 **서로 다른 두 문장**에서 첫 토큰의 은닉 상태가 얼마나 닮았는지입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-sink -->
# ## The first token is a resting place
#
# Is the first token so important? Layer by layer we measure three things: the weight it receives, how long its value vector is beside those of the other tokens, and how alike the hidden states of the first tokens of **two different sentences** are.

# %% tags=["hide-input"]
def value_ratio(traced):
    length = traced.stack("attn.v")[:, 0].norm(dim=-1)  # layer, head, token
    return (length[..., 0].mean(-1) / length[..., 1:].mean((-2, -1))).cpu()


starts = [t.stack("resid_pre")[:, 0, 0].cpu() for t in (traced, traced_en)]
alike = torch.cosine_similarity(*starts, dim=-1)
curves = {"weight on the first token": (first_ko.mean(-1), first_en.mean(-1)),
          "value length, first / others": (
              value_ratio(traced), value_ratio(traced_en)),
          "cosine of the first hidden states": (alike,)}
figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.6))
for axis, (title, lines) in zip(axes, curves.items(), strict=True):
    for line, name in zip(lines, ("Korean", "English"), strict=False):
        axis.plot(line, label=name if len(lines) > 1 else "both")
    axis.set(title=title, xlabel="layer", ylim=(0, None))
    axis.title.set_fontsize(9)
axes[0].legend()
show(figure)

# %% [markdown] tags=["lang-ko", "caption"]
# 왼쪽: 첫 토큰이 받는 가중치(헤드 평균). 가운데: 첫 토큰의 값 벡터 길이를 나머지 토큰의 평균으로 나눈 것. 오른쪽: 두 문장의 첫 토큰이 그 층에 들어갈 때 은닉 상태의 코사인 유사도(cosine similarity).
# <!-- alt: 선 그래프 세 개. 첫 토큰이 받는 가중치는 처음 몇 층을 지나면 높아지고, 같은 층에서 그 값 벡터는 다른 토큰보다 훨씬 짧다. 다만 3분의 1쯤 되는 곳에서 가중치가 뚝 떨어지고 값 벡터가 길어진다. 두 문장의 첫 은닉 상태는 이 골을 지난 뒤쪽 층에서 거의 같다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Left: the weight on the first token, averaged over heads. Middle: the length of its value vector over the mean of the others. Right: cosine similarity of the hidden states with which the first tokens of the two sentences enter each layer.
# <!-- alt: Three line plots. The weight on the first token rises after the first few layers, and in the same layers its value vector is much shorter than those of other tokens. About a third of the way, though, the weight drops and the value vector grows long. Past that dip the first hidden states of the two sentences are nearly the same in the later layers. -->

# %% tags=["remove-input"]
ratio = value_ratio(traced)
record(ratio_median=ratio.median().item(),
       alike_first=alike[0].item())
record("alike_last", alike[-6].item(), text=f"{alike[-6]:.5f}")
lowest = int(first_ko.mean(-1)[3:].argmin()) + 3
record(alike_layer=len(alike) - 6, lowest_sink_layer=lowest,
       lowest_sink_ratio=ratio[lowest].item())
lowest_share = first_ko[lowest].mean().item()
record("lowest_sink_share", lowest_share, text=f"{lowest_share:.0%}")

# %% [markdown] tags=["lang-ko"]
# 한국어 문장에서 첫 토큰의 값 벡터는 길이가 다른 토큰의 ⟨ratio_median⟩배에 그칩니다(층별 값의 중앙값). 가중치를 많이 주어도 섞여 들어오는 것은 얼마 없다는 뜻입니다. 게다가 층 ⟨alike_layer⟩에 들어갈 때 두 문장의 첫 토큰은 코사인 유사도가 ⟨alike_last⟩에 이릅니다. 층 0에서는 ⟨alike_first⟩이던 값입니다. 서로 다른 토큰에서 출발해 거의 같은 방향에 이른 것입니다.
#
# 소프트맥스의 가중치는 더해서 1이 되어야 하므로, 볼 것이 없는 헤드에도 가중치를 내려놓을 **쉴 자리**가 필요합니다. 잰 값들은 모델이 첫 토큰을 그런 자리로 쓴다는 설명과 들어맞습니다. 이런 토큰을 어텐션 싱크(attention sink)라고 부릅니다. 모든 층이 그런 것은 아닙니다. 층 ⟨lowest_sink_layer⟩에서는 첫 토큰에 가중치를 ⟨lowest_sink_share⟩만 주고, 그 층에서 첫 토큰의 값 벡터는 다른 토큰의 ⟨lowest_sink_ratio⟩배 길이입니다.
#
# > **주의.** 그러므로 칸이 진하다고 해서 중요한 토큰인 것은 아닙니다. 가중치를 볼 때는 그 가중치가 곱해지는 값도 함께 보아야 합니다.
# %% [markdown] tags=["lang-en"]
# In the Korean sentence the value vector of the first token has only ⟨ratio_median⟩ times the length of the others (median over layers): much weight on it mixes in little. Moreover, when they enter layer ⟨alike_layer⟩, the first tokens of the two sentences have a cosine similarity of ⟨alike_last⟩; in layer 0 it was ⟨alike_first⟩. They began as different tokens and have come to point almost the same way.
#
# The weights of a softmax must sum to 1, so a head with nothing to look at still needs **a place to rest** its weight. What we measured fits the explanation that the model uses the first token as such a place. It is called an attention sink. Not every layer has one: layer ⟨lowest_sink_layer⟩ gives the first token ⟨lowest_sink_share⟩ of its weight, and there its value vector has ⟨lowest_sink_ratio⟩ times the length of the others.
#
# > **Note.** So a dark cell does not make an important token. When you look at a weight, look at the value that it multiplies as well.
# %% [markdown] tags=["lang-ko"]
# <!-- label: qkv-over-layers -->
# ## 층을 따라 변하는 Q, K, V
#
# 층마다 $Q$, $K$, $V$의 길이와 **유효 랭크**(effective rank)를 잽니다. 유효 랭크는 벡터들이 사실상 몇 방향으로 퍼져 있는지를 나타내는 수로, 특잇값 $\sigma_i$를 그 합으로 나눈 $p_i$의 엔트로피(entropy)에 지수 함수를 씌운 것입니다. 첫 토큰은 방금 본 까닭이 있으므로 뺍니다.
#
# $$\operatorname{erank}(X) = \exp\Big(-\sum_i p_i \ln p_i\Big), \qquad p_i = \frac{\sigma_i}{\sum_j \sigma_j}$$
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-over-layers -->
# ## How Q, K and V change over the layers
#
# In every layer we measure the length of $Q$, $K$ and $V$ and their **effective rank**, which tells over how many directions the vectors really spread: the exponential of the entropy of $p_i$, the singular values $\sigma_i$ divided by their sum. We leave out the first token for the reason just seen.
#
# $$\operatorname{erank}(X) = \exp\Big(-\sum_i p_i \ln p_i\Big), \qquad p_i = \frac{\sigma_i}{\sum_j \sigma_j}$$

# %%
def effective_rank(x):  # (…, token, dimension)
    p = torch.linalg.svdvals(x.cpu())
    p = p / p.sum(-1, keepdim=True)
    return torch.special.entr(p).sum(-1).exp()


lengths, ranks = {}, {}
for part in "qkv":
    x = traced.stack(f"attn.{part}")[:, 0, :, 1:]  # layer, head, token, d
    lengths[part.upper()] = x.norm(dim=-1).mean((1, 2)).cpu()
    ranks[part.upper()] = effective_rank(x).mean(-1)
seed = torch.Generator().manual_seed(0)
noise = torch.randn(100, n - 1, d, generator=seed)
random_rank = effective_rank(noise).mean().item()

# %% tags=["hide-input"]
figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3))
for name, colour in zip("QKV", ("attention", "gravity", "tokens"),
                        strict=True):
    left.plot(lengths[name], color=COLOURS[colour], label=name)
    right.plot(ranks[name], color=COLOURS[colour], label=name)
right.axhline(random_rank, color=COLOURS["grey"], linestyle=":",
              label="random")
left.set(title="mean length", xlabel="layer", ylim=(0, None))
right.set(title="effective rank", xlabel="layer", ylim=(0, None))
right.legend(ncols=2)
show(figure)

# %% [markdown] tags=["lang-ko", "caption"]
# 왼쪽: 층마다 $Q$, $K$, $V$ 벡터의 평균 길이(첫 토큰 제외, 한국어 문장). 오른쪽: 헤드마다 구한 유효 랭크의 평균. 점선은 모양이 같은 난수 행렬의 유효 랭크입니다.
# <!-- alt: 선 그래프 두 개. 쿼리와 키의 길이는 첫 층 뒤로 큰 변화 없이 이어지고, 값의 길이는 0 가까이에서 차츰 늘다가 뒤쪽 층에서 뛰어올랐다가 내려온다. 유효 랭크는 값이 난수에 가깝게 높고 쿼리와 키는 그보다 훨씬 낮다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Left: mean length of the $Q$, $K$ and $V$ vectors in each layer (first token left out, Korean sentence). Right: effective rank, computed for each head and averaged. The dotted line is that of random matrices of the same shape.
# <!-- alt: Two line plots. The lengths of queries and keys change little after the first layer; that of values grows slowly from near 0, jumps in the later layers and comes down again. The effective rank of values is high, close to random, that of queries and keys much lower. -->

# %% tags=["remove-input"]
record(rank_q=ranks["Q"].mean().item(), rank_k=ranks["K"].mean().item(),
       rank_v=ranks["V"].mean().item(), rank_random=random_rank,
       v_first=lengths["V"][0].item(), v_top=lengths["V"].max().item(),
       v_top_layer=int(lengths["V"].argmax()),
       q_low=lengths["Q"].min().item(), q_high=lengths["Q"].max().item())

# %% [markdown] tags=["lang-ko"]
# 두 가지가 보입니다. 첫째, 쿼리의 길이는 ⟨q_low⟩에서 ⟨q_high⟩ 사이에 머물지만, 값의 길이는 층 0에서 ⟨v_first⟩이던 것이 가장 긴 층 ⟨v_top_layer⟩에서는 ⟨v_top⟩에 이릅니다. 둘째, 유효 랭크가 다릅니다. 모든 층을 평균하면 값은 ⟨rank_v⟩이고 모양이 같은 난수(⟨rank_random⟩)에 가깝지만, 쿼리와 키는 각각 ⟨rank_q⟩, ⟨rank_k⟩에 그칩니다. 이 문장에서 **무엇을 건넬지**는 여러 방향에 퍼져 있고 **어디를 볼지**는 그보다 적은 방향에 모여 있습니다.
# %% [markdown] tags=["lang-en"]
# Two things show. First, the length of queries stays between ⟨q_low⟩ and ⟨q_high⟩, while that of values goes from ⟨v_first⟩ in layer 0 to ⟨v_top⟩ in layer ⟨v_top_layer⟩, where it is longest. Second, the effective ranks differ: averaged over the layers, values have ⟨rank_v⟩, close to random numbers of the same shape (⟨rank_random⟩), queries and keys only ⟨rank_q⟩ and ⟨rank_k⟩. In this sentence **what to hand over** spreads over many directions, **where to look** gathers in fewer.

# %% [markdown] tags=["lang-ko"]
# <!-- label: qkv-temperature -->
# ## 온도: 또렷하게, 흐릿하게
#
# 로짓을 온도(temperature) $\tau$로 나눈 다음 소프트맥스를 적용하면 분포가 더 또렷해지거나 흐릿해집니다.
#
# $$A_{ij}(\tau) = \operatorname{softmax}_j\!\left(\frac{S_{ij}}{\tau}\right)$$
#
# $\tau$가 작으면 가장 큰 로짓 하나가 가중치를 독차지하고, 크면 모두가 고르게 나누어 가집니다. 얼마나 퍼졌는지는 엔트로피 $H = -\sum_j A_{ij} \log_2 A_{ij}$로 잽니다. 한 곳만 보면 0비트, $m$곳을 고르게 보면 $\log_2 m$비트입니다. 아래 그림은 층 `layer`, 헤드 `head`의 쿼리 가운데 엔트로피가 가장 큰 것의 실제 로짓으로 그렸습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-temperature -->
# ## Temperature: sharper, softer
#
# Dividing the logits by a temperature $\tau$ before the softmax changes how sharp the distribution is.
#
# $$A_{ij}(\tau) = \operatorname{softmax}_j\!\left(\frac{S_{ij}}{\tau}\right)$$
#
# A small $\tau$ gives everything to the largest logit, a large one gives everyone an even share. How spread out that is, the entropy $H = -\sum_j A_{ij} \log_2 A_{ij}$ counts: 0 bits for one place, $\log_2 m$ bits for $m$ places alike. The figure uses the real logits of layer `layer`, head `head`, for the query with the largest entropy.

# %% tags=["hide-input"]
import plotly.graph_objects as go

spread = row_entropy(A[head])
row = int(spread.argmax())
seen = S[head, row, : row + 1].cpu()
labels = [f"{i} {token}" for i, token in enumerate(tokens[: row + 1])]
shares = [(seen / tau).softmax(-1) for tau in cfg.temperatures]
bits = [row_entropy(share[None]).item() for share in shares]
at_one = min(range(len(shares)),
             key=lambda i: abs(cfg.temperatures[i] - 1))
titles = [f"τ = {tau:g}, H = {h:.2f} bits"
          for tau, h in zip(cfg.temperatures, bits, strict=True)]
steps = [{"method": "update", "label": f"{tau:g}",
          "args": [{"y": [share.tolist()]}, {"title.text": title}]}
         for tau, share, title in zip(
             cfg.temperatures, shares, titles, strict=True)]
record(row_token=tokens[row], row_entropy_one=bits[at_one],
       row_entropy_low=bits[0], row_entropy_high=bits[-1],
       row_entropy_max=math.log2(row + 1),
       tau_low=cfg.temperatures[0], tau_high=cfg.temperatures[-1])

# %% tags=["hide-input"]
figure = go.Figure(go.Bar(x=labels, y=shares[at_one].tolist(),
                          marker_color=COLOURS["attention"]))
figure.update_layout(
    title_text=titles[at_one], height=420, showlegend=False,
    yaxis={"range": [0, 1], "title": "weight"},
    xaxis={"tickangle": -60, "showgrid": False},
    margin={"l": 60, "r": 20, "t": 60, "b": 20},
    sliders=[{"active": at_one, "steps": steps, "pad": {"t": 90},
              "currentvalue": {"prefix": "τ = "}}])
table = pd.DataFrame(
    {f"τ = {tau:g}": share.tolist()
     for tau, share in zip(cfg.temperatures, shares, strict=True)},
    index=labels)
show(figure, table=table)

# %% [markdown] tags=["lang-ko", "caption"]
# 슬라이더로 온도 $\tau$를 바꿔 보십시오. 막대는 쿼리 하나가 앞선 토큰들에 준 가중치이고, 제목의 $H$가 엔트로피입니다.
# <!-- alt: 막대그래프. 온도가 낮으면 막대 하나가 거의 1이고, 온도가 높으면 모든 막대의 높이가 비슷해진다. 아래 표에 온도마다의 값이 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Move the slider to change the temperature $\tau$. The bars are the weights that one query gives to the tokens before it; $H$ in the title is their entropy.
# <!-- alt: A bar chart. At a low temperature one bar is close to 1, at a high temperature all bars come to a similar height. The table below holds the values for every temperature. -->

# %% [markdown] tags=["lang-ko"]
# 이 쿼리(⟨row_token⟩)의 엔트로피는 $\tau = 1$에서 ⟨row_entropy_one⟩비트입니다. 온도를 ⟨tau_low⟩까지 낮추면 ⟨row_entropy_low⟩비트, ⟨tau_high⟩까지 높이면 ⟨row_entropy_high⟩비트가 됩니다. 아무리 높여도, 보이는 토큰 모두에 고르게 나눌 때의 값인 ⟨row_entropy_max⟩비트를 넘지 못합니다.
# %% [markdown] tags=["lang-en"]
# At $\tau = 1$ the entropy of this query (⟨row_token⟩) is ⟨row_entropy_one⟩ bits. At a temperature of ⟨tau_low⟩ it is ⟨row_entropy_low⟩ bits, at ⟨tau_high⟩ it is ⟨row_entropy_high⟩. No temperature takes it above ⟨row_entropy_max⟩ bits, the value for an even share to every token in sight.

# %% [markdown] tags=["lang-ko"]
# <!-- label: qkv-scale -->
# ## 왜 √d로 나누는가
#
# 로짓을 $\sqrt{d}$로 나누는 것은 온도를 $\tau = \sqrt{d}$로 두는 것과 같습니다. 왜 하필 $\sqrt{d}$일까요? $q$와 $k$의 성분이 서로 독립이고 평균이 0, 분산이 1이라면
#
# $$\operatorname{Var}(q \cdot k) = \sum_{i=1}^{d} \operatorname{Var}(q_i k_i) = d$$
#
# 이므로 내적의 표준편차는 $\sqrt{d}$입니다. 나누지 않으면 $d$가 커질수록 소프트맥스가 한 곳으로 쏠리고, 한 곳이 가중치를 거의 다 가져간 소프트맥스는 기울기(gradient)를 거의 되돌려 보내지 않습니다. 소프트맥스를 지나 얼마나 흐르는지는 야코비 행렬(Jacobian) $\partial A / \partial S = \operatorname{diag}(A) - A A^\top$의 노름으로 잽니다. 먼저 난수 벡터로 확인합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-scale -->
# ## Why divide by √d
#
# Dividing by $\sqrt{d}$ is a temperature of $\tau = \sqrt{d}$. Why $\sqrt{d}$? If the components of $q$ and $k$ are independent with mean 0 and variance 1, then
#
# $$\operatorname{Var}(q \cdot k) = \sum_{i=1}^{d} \operatorname{Var}(q_i k_i) = d$$
#
# so the standard deviation of dot products is $\sqrt{d}$. Without the division the softmax leans to one place as $d$ grows, and a softmax that gives nearly all weight to one place passes hardly any gradient back. How much passes through the softmax we measure by the norm of the Jacobian $\partial A / \partial S = \operatorname{diag}(A) - A A^\top$. Random vectors first.

# %%
def sharpness(logits):  # (query, key) or (…, query, key), finite or -inf
    A = logits.softmax(-1)
    jacobian = torch.diag_embed(A) - A[..., :, None] * A[..., None, :]
    return {"largest weight": A.max(-1).values.mean().item(),
            "entropy (bits)": row_entropy(A).mean().item(),
            "norm of dA/dS": jacobian.norm(dim=(-2, -1)).mean().item()}


seed = torch.Generator().manual_seed(0)
rows = []
for width in cfg.widths:
    one_q = torch.randn(cfg.draws, 1, width, generator=seed)
    keys = torch.randn(cfg.draws, 32, width, generator=seed)
    dots = (one_q @ keys.mT)[:, 0]
    for divided, scale in ((False, 1), (True, width**-0.5)):
        rows.append({"d": width, "divided": divided,
                     "std of logits": (dots * scale).std().item(),
                     **sharpness(dots * scale)})
random = pd.DataFrame(rows)

# %% tags=["hide-input"]
measures = list(random.columns[2:])
figure, axes = plt.subplots(1, 4, figsize=(7.2, 2.5))
for axis, measure in zip(axes, measures, strict=True):
    for divided, colour in ((False, "gravity"), (True, "attention")):
        part = random[random["divided"] == divided]
        axis.plot(part["d"], part[measure], color=COLOURS[colour],
                  label="÷ √d" if divided else "as is")
    axis.set_xscale("log", base=2)
    axis.set(title=measure, xlabel="d", ylim=(0, None))
    axis.title.set_fontsize(9)
axes[1].legend()
show(figure, table=random.set_index("d"))

# %% [markdown] tags=["lang-ko", "caption"]
# 난수 쿼리 하나와 난수 키 32개. 둘을 거듭 새로 뽑아 평균했습니다. 주황은 내적 그대로, 파랑은 $\sqrt{d}$로 나눈 것입니다. 파란 선은 $d$가 커져도 거의 그대로입니다.
# <!-- alt: 선 그래프 네 개, 가로축은 4에서 1024까지의 차원. 나누지 않으면 로짓의 표준편차가 차원의 제곱근으로 커지고, 최대 가중치는 1에 다가가고, 엔트로피와 야코비 노름은 0을 향해 내려간다. 나누면 네 값이 모두 거의 일정하다. -->
# %% [markdown] tags=["lang-en", "caption"]
# One random query and 32 random keys, averaged over many draws. Orange is the dot product as it is, blue is divided by $\sqrt{d}$. The blue lines hardly depend on $d$.
# <!-- alt: Four line plots over dimensions from 4 to 1024. Without the division the standard deviation of the logits grows with the square root of the dimension, the largest weight approaches 1, entropy and Jacobian norm fall towards 0. With it all four stay nearly constant. -->

# %% [markdown] tags=["lang-ko"]
# 실제 모델에서는 어떨까요? 모델의 로짓에서 나눗셈을 걷어 내고 같은 것을 잽니다. 두 문장의 모든 층과 헤드에서, 둘째 토큰부터의 쿼리를 평균한 값입니다.
# %% [markdown] tags=["lang-en"]
# And the real model? We undo the division in its logits and measure the same, averaged over both sentences, all layers and heads and all queries from the second token on.

# %% tags=["hide-input"]
def model_sharpness(traced, factor):
    scores = traced.stack("attn.scores")[:, 0].cpu().double()
    open_cells = causal_mask(scores.shape[-1])
    scores = (scores * factor).masked_fill(~open_cells, -torch.inf)
    seen = scores[..., open_cells]
    return {"std of logits": seen.std().item(),
            **sharpness(scores[..., 1:, :])}


real = {}
for name, factor in (("÷ √d", 1), ("as is", math.sqrt(d))):
    ko, en = (model_sharpness(t, factor) for t in (traced, traced_en))
    real[name] = {key: (ko[key] + en[key]) / 2 for key in ko}
record(real_std=real["÷ √d"]["std of logits"],
       real_top=real["÷ √d"]["largest weight"],
       real_top_raw=real["as is"]["largest weight"],
       real_bits=real["÷ √d"]["entropy (bits)"],
       real_bits_raw=real["as is"]["entropy (bits)"],
       real_grad=real["÷ √d"]["norm of dA/dS"],
       real_grad_raw=real["as is"]["norm of dA/dS"])
pd.DataFrame(real).T.round(3)

# %% tags=["remove-input"]
largest = random["d"].max()
ends = random[random["d"] == largest].set_index("divided")
record(random_d=int(largest),
       random_std=ends.loc[False, "std of logits"],
       random_std_divided=ends.loc[True, "std of logits"],
       random_grad=ends.loc[False, "norm of dA/dS"],
       random_grad_divided=ends.loc[True, "norm of dA/dS"])


def reaching(width, scale):  # norm of dA/dq, a value a draw
    seed = torch.Generator().manual_seed(0)
    one_q = torch.randn(cfg.draws, 1, width, generator=seed)
    keys = torch.randn(cfg.draws, 32, width, generator=seed)
    gram = keys @ keys.mT
    A = ((one_q @ keys.mT)[:, 0] * scale).softmax(-1)
    jacobian = torch.diag_embed(A) - A[:, :, None] * A[:, None]
    return scale * (jacobian @ gram * jacobian).sum((1, 2)).clamp(0).sqrt()


for end, width in (("low", min(cfg.widths)), ("high", max(cfg.widths))):
    raw, divided = reaching(width, 1), reaching(width, width**-0.5)
    record(**{f"reach_d_{end}": width, f"reach_mean_{end}": raw.mean(),
              f"reach_median_{end}": raw.median(),
              f"reach_divided_{end}": divided.mean()})
peaks = random[~random["divided"]].set_index("d")["norm of dA/dS"]
record(random_grad_peak=peaks.max(), random_grad_peak_d=int(peaks.idxmax()))

# %% [markdown] tags=["lang-ko"]
# 난수에서는 예측이 들어맞습니다. $d$가 ⟨random_d⟩일 때 로짓의 표준편차는 ⟨random_std⟩이고, 나누면 ⟨random_std_divided⟩입니다. 야코비 행렬의 노름은 나누지 않으면 ⟨random_grad⟩, 나누면 ⟨random_grad_divided⟩입니다. 나누지 않은 쪽이 늘 작은 것은 아닙니다. 가장 클 때는 $d$가 ⟨random_grad_peak_d⟩일 때이고, 그때는 ⟨random_grad_peak⟩입니다.
#
# 쿼리까지 되돌아오는 기울기는 한 번 더 보아야 합니다. $\partial A / \partial q$에는 키와 로짓을 나눈 수가 더 곱해집니다. 나누지 않으면 이 노름의 평균은 $d$가 ⟨reach_d_low⟩에서 ⟨reach_d_high⟩까지 커지는 동안 ⟨reach_mean_low⟩에서 ⟨reach_mean_high⟩(으)로, 중앙값은 ⟨reach_median_low⟩에서 ⟨reach_median_high⟩(으)로 바뀝니다. 평균은 큰데 중앙값이 0에 가까우면, **대개는 거의 오지 않고 드물게 한 번 크게 튄다**는 뜻입니다. 나누면 평균이 ⟨reach_divided_low⟩과(와) ⟨reach_divided_high⟩입니다.
#
# 모델에서도 방향은 같습니다. 나눗셈을 걷어 내면 최대 가중치는 ⟨real_top⟩에서 ⟨real_top_raw⟩까지 오르고, 엔트로피는 ⟨real_bits⟩비트에서 ⟨real_bits_raw⟩비트까지, 야코비 행렬의 노름은 ⟨real_grad⟩에서 ⟨real_grad_raw⟩까지 내려갑니다. 다만 모든 층과 헤드를 모은 모델의 로짓은 나눈 뒤에도 표준편차가 ⟨real_std⟩입니다. 난수에서 얻은 1과 다릅니다. 학습한 $q$와 $k$의 성분은 독립도 아니고 분산이 1도 아니기 때문입니다. **나눗셈은 난수로 시작하는 학습의 출발점을 맞추어 줄 뿐이고, 얼마나 또렷하게 볼지는 학습한 $Q$와 $K$가 정합니다.**
#
# > **주의.** 나눗셈 없이 학습한 모델이 어떻게 될지는 이 표로 알 수 없습니다. 나눗셈을 하며 학습한 모델에서 나눗셈만 걷어 낸 결과이기 때문입니다.
# %% [markdown] tags=["lang-en"]
# With random vectors the prediction holds: at $d$ of ⟨random_d⟩ the logits have a standard deviation of ⟨random_std⟩, divided it is ⟨random_std_divided⟩. The norm of the Jacobian is ⟨random_grad⟩ without the division and ⟨random_grad_divided⟩ with it. Without it the norm is not always the smaller one: it is largest at $d$ of ⟨random_grad_peak_d⟩, where it is ⟨random_grad_peak⟩.
#
# The gradient that reaches the query needs one more look: $\partial A / \partial q$ is also multiplied by the keys and by what divides the logits. Without the division, as $d$ grows from ⟨reach_d_low⟩ to ⟨reach_d_high⟩, the mean of its norm goes from ⟨reach_mean_low⟩ to ⟨reach_mean_high⟩ and the median from ⟨reach_median_low⟩ to ⟨reach_median_high⟩. A large mean with a median close to 0 says that **mostly next to nothing arrives, and rarely a spike**. With the division the means are ⟨reach_divided_low⟩ and ⟨reach_divided_high⟩.
#
# The model agrees in direction. Without the division the largest weight rises from ⟨real_top⟩ to ⟨real_top_raw⟩, the entropy falls from ⟨real_bits⟩ to ⟨real_bits_raw⟩ bits, and the norm of the Jacobian from ⟨real_grad⟩ to ⟨real_grad_raw⟩. But even divided, the logits of the model, pooled over layers and heads, have a standard deviation of ⟨real_std⟩ and not the 1 of random vectors: trained components of $q$ and $k$ are neither independent nor of variance 1. **The division only sets the scale at which training starts from random numbers; how sharply to look is up to the $Q$ and $K$ that were learned.**
#
# > **Note.** This table does not tell what a model trained without the division would become: it takes the division away from a model that was trained with it.

# %% [markdown] tags=["lang-ko"]
# <!-- label: qkv-exercises -->
# ## 연습 문제
#
# 빈칸(`...`)을 채운 다음 바로 아래 셀을 실행하면 답이 맞는지 알 수 있습니다. 풀이는 접어 두었습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-exercises -->
# ## Exercises
#
# Fill in the gap (`...`) and run the next cell: it tells you whether the answer holds. Solutions are folded.

# %% [markdown] tags=["lang-ko"]
# <!-- label: qkv-exercise-attention -->
# ### 1. 헤드 하나 (★, 8분)
#
# 쿼리, 키, 값(각각 `(n, d)`)을 받아 인과 마스크를 씌운 어텐션의 출력 `(n, d)`를 돌려주는 함수를 쓰십시오. `F.scaled_dot_product_attention`은 쓰지 않습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-exercise-attention -->
# ### 1. One head (★, 8 minutes)
#
# Write a function that takes queries, keys and values, `(n, d)` each, and returns the output `(n, d)` of causal attention. Do not use `F.scaled_dot_product_attention`.

# %% tags=["exercise"]
def my_attention(q, k, v):
    ...

# %%
from lib.exercises.qkv import check_attention

check_attention(my_attention)

# %% tags=["solution", "hide-cell"]
def attention_solution(q, k, v):
    logits = q @ k.T / q.shape[-1] ** 0.5
    future = torch.ones_like(logits).triu(1).bool()
    return logits.masked_fill(future, -torch.inf).softmax(-1) @ v


check_attention(attention_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: qkv-exercise-group -->
# ### 2. 누구의 키를 보는가 (★, 5분)
#
# 쿼리 헤드 번호 `head`, 쿼리 헤드의 수 `n_heads`, 키·값 헤드의 수 `n_kv_heads`를 받아 그 쿼리 헤드가 쓰는 키·값 헤드의 번호를 돌려주십시오.
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-exercise-group -->
# ### 2. Whose keys (★, 5 minutes)
#
# Given the number `head` of a query head, the number of query heads `n_heads` and of key/value heads `n_kv_heads`, return the number of the key/value head that this query head uses.

# %% tags=["exercise"]
def my_kv_head(head, n_heads, n_kv_heads):
    ...

# %%
from lib.exercises.qkv import check_kv_head

check_kv_head(my_kv_head)

# %% tags=["solution", "hide-cell"]
def kv_head_solution(head, n_heads, n_kv_heads):
    return head // (n_heads // n_kv_heads)


check_kv_head(kv_head_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: qkv-exercise-previous -->
# ### 3. 바로 앞을 보는 헤드 찾기 (★★, 10분)
#
# 모든 헤드의 가중치 `(layer, head, query, key)`를 받아, 바로 앞 토큰에 준 가중치의 평균이 가장 큰 헤드를 `(layer, head)`로 돌려주십시오. 첫 쿼리에는 앞이 없으므로 셈에 넣지 않습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-exercise-previous -->
# ### 3. Find the head that looks one back (★★, 10 minutes)
#
# Given the weights of all heads, `(layer, head, query, key)`, return as `(layer, head)` the head with the largest mean weight on the token before. The first query has nothing before it and does not count.

# %% tags=["exercise"]
def my_previous_head(weights):
    ...

# %%
from lib.exercises.qkv import check_previous_head

check_previous_head(my_previous_head)

# %% tags=["solution", "hide-cell"]
def previous_head_solution(weights):
    share = weights.diagonal(-1, dim1=2, dim2=3).mean(-1)
    best = int(share.argmax())
    return divmod(best, weights.shape[1])


record(found_head="L{}H{}".format(*previous_head_solution(heatmaps)),
       found_head_en="L{}H{}".format(*previous_head_solution(heatmaps_en)))
check_previous_head(previous_head_solution)

# %% [markdown] tags=["lang-ko"]
# 이 모델에서 풀이가 찾아낸 헤드는 한국어 문장에서 ⟨found_head⟩, 영어 문장에서 ⟨found_head_en⟩입니다.
# %% [markdown] tags=["lang-en"]
# On this model the solution finds ⟨found_head⟩ in the Korean sentence and ⟨found_head_en⟩ in the English one.

# %% [markdown] tags=["lang-ko"]
# <!-- label: qkv-exercise-temperature -->
# ### 4. 원하는 만큼 흐릿하게 (★★, 12분)
#
# 로짓 한 줄 `logits`와 목표 엔트로피 `bits`를 받아, `softmax(logits / tau)`의 엔트로피가 그 값이 되는 온도 `tau`를 돌려주십시오. 엔트로피는 온도와 함께 늘기만 하므로 이분법으로 찾을 수 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-exercise-temperature -->
# ### 4. As soft as you like (★★, 12 minutes)
#
# Given one row of `logits` and a target entropy in `bits`, return the temperature `tau` at which `softmax(logits / tau)` has that entropy. Entropy only grows with temperature, so bisection finds it.

# %% tags=["exercise"]
def my_temperature(logits, bits):
    ...

# %%
from lib.exercises.qkv import check_temperature

check_temperature(my_temperature)

# %% tags=["solution", "hide-cell"]
def temperature_solution(logits, bits):
    low, high = 1e-3, 1e3
    for _ in range(60):
        tau = (low * high) ** 0.5
        p = (logits.double() / tau).softmax(-1)
        entropy = torch.special.entr(p).sum() / math.log(2)
        low, high = (tau, high) if entropy < bits else (low, tau)
    return tau


check_temperature(temperature_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: qkv-exercise-rotary -->
# ### 5. 거리만 아는 회전 (★★★, 15분)
#
# 벡터 `x`(길이 `d`, 짝수)를 자리 `position`만큼 돌리는 함수를 쓰십시오. 길이를 바꾸지 않아야 하고, 두 벡터를 각각 자리 $s$와 $t$만큼 돌린 뒤의 내적이 $t - s$에만 달려 있어야 하며, 거리가 달라지면 내적도 달라져야 합니다. 어느 차원끼리 짝을 지을지는 마음대로 고르십시오.
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-exercise-rotary -->
# ### 5. A rotation that knows only distance (★★★, 15 minutes)
#
# Write a function that turns a vector `x` (length `d`, even) by its `position`. It must keep lengths; the dot product of two vectors turned at $s$ and $t$ must depend on $t - s$ only; and another distance must give another dot product. Which dimensions make a pair is up to you.

# %% tags=["exercise"]
def my_rotation(x, position):
    ...

# %%
from lib.exercises.qkv import check_rotation

check_rotation(my_rotation)

# %% tags=["solution", "hide-cell"]
def rotation_solution(x, position):
    half = x.shape[-1] // 2
    speed = 10_000 ** -(torch.arange(half, dtype=x.dtype) / half)
    first, second = x[:half], x[half:]
    c, s = torch.cos(position * speed), torch.sin(position * speed)
    return torch.cat((first * c - second * s, first * s + second * c))


check_rotation(rotation_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: qkv-measured -->
# ## 무엇을 무엇으로 쟀는가
#
# | 잰 것 | 결과 |
# |---|---|
# | 견준 텐서 | ⟨compared⟩개(두 문장, 모든 층) |
# | 걸음 전체의 최대 차이 | float32 ⟨worst_step⟩, float64 ⟨worst_step_64⟩ |
# | 헤드별 합의 차이 | float32 ⟨head_sum_32⟩(상대 ⟨head_sum_relative⟩), float64 ⟨head_sum_64⟩ |
# | 바로 앞 토큰에 준 가중치, 헤드 L⟨layer⟩H⟨head⟩ | 한국어 ⟨previous_share⟩, 영어 ⟨previous_share_en⟩ |
# | 첫 토큰에 실린 가중치, 모든 헤드 | 한국어 ⟨sink_share⟩, 영어 ⟨sink_share_en⟩ |
# | $\sqrt{d}$로 나눌 때와 나누지 않을 때의 엔트로피 | ⟨real_bits⟩비트, ⟨real_bits_raw⟩비트 |
#
# 여기 적은 것은 아래의 문장 두 개에서 잰 값입니다. 다른 글에서도 그러리라는 보장은 없으니 `sentence`를 바꾸어 다시 실행해 보십시오. 모델의 행렬은 아래 표에 적힌 파일에서 float32로 되살린 것입니다. 양자화된 파일이라면 원래 모델의 행렬과 다르지만, 이 장이 견준 두 계산은 똑같은 행렬로 했습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: qkv-measured -->
# ## What was measured, and on what
#
# | measured | result |
# |---|---|
# | Tensors compared | ⟨compared⟩ (both sentences, all layers) |
# | Largest difference over all steps | float32 ⟨worst_step⟩, float64 ⟨worst_step_64⟩ |
# | Difference of the sum over heads | float32 ⟨head_sum_32⟩ (relative ⟨head_sum_relative⟩), float64 ⟨head_sum_64⟩ |
# | Weight on the token before, head L⟨layer⟩H⟨head⟩ | Korean ⟨previous_share⟩, English ⟨previous_share_en⟩ |
# | Weight on the first token, all heads | Korean ⟨sink_share⟩, English ⟨sink_share_en⟩ |
# | Entropy with and without the division by $\sqrt{d}$ | ⟨real_bits⟩ bits, ⟨real_bits_raw⟩ bits |
#
# These are values of the two sentences below. Nothing promises the same for other text: change `sentence` and run again. The matrices come from the file that the table names, restored to float32. If that file is quantised, they differ from those of the original model; both computations that this chapter compares use the same ones.

# %% tags=["remove-input"]
import transformers

size = sum(p.numel() for p in model.parameters())
versions = f"{torch.__version__}, {transformers.__version__}"
record(parameters=size, layer=layer, head=head,
       compared=len(steps_compared) * config.num_hidden_layers * 2)
pd.DataFrame([
    ["모델 | Model",
     f"{describe('smollm2', 'ko')} | {describe('smollm2', 'en')}"],
    ["매개변수 | Parameters", f"{size:,} (float32)"],
    ["한국어 문장 | Korean sentence", sentence],
    ["영어 문장 | English sentence", sentence_en],
    ["장치 | Device", str(cfg.device)],
    ["torch, transformers", versions],
    ["프로필 | Profile", cfg.profile],
], columns=["재료 | made with", "이 실행 | this run"]).set_index(
    "재료 | made with")
