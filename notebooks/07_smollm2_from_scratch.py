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
# <!-- label: smollm2-from-scratch -->
# # 밑바닥부터 만드는 실제 모델: SmolLM2-135M
#
# 남이 학습해 둔 언어 모델(language model)을 내 코드로 되살립니다. 파이토치만으로 ⟨n_lines⟩줄을 쓰고, 가중치 파일에 든 텐서를 이름대로 하나씩 제자리에 넣은 다음, `transformers`와 같은 로짓(logit)과 같은 글이 나오는지 확인합니다. 그다음에는 글을 쓸 때 왜 키(key)와 값을 기억해 두어야 하는지, 시간을 재어 알아봅니다.
#
# - **할 수 있게 되는 것.** 라마(Llama) 계열의 모델을 빈 셀에서부터 쓰고, 공개된 가중치를 빠짐없이 불러오고, 글을 생성하게 하고, 시간과 메모리가 어디에 드는지 말할 수 있습니다.
# - **걸리는 시간.** 읽기 45분, 연습 문제 40분.
# - **필요한 것.** [QKV 추적](02_qkv_tracing.ipynb)에서 손으로 따라간 어텐션(attention) 한 층. 이 장에서는 그 층을 ⟨n_layers⟩개 쌓습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-from-scratch -->
# # A real model from scratch: SmolLM2-135M
#
# We bring a language model that others have trained to life in code of our own. With nothing but PyTorch we write ⟨n_lines⟩ lines, put each tensor of the weight file in its place by name, and check that the same logits and the same text come out as from `transformers`. Then we take the time and see why a model that writes should remember its keys and values.
#
# - **You will be able to** write a model of the Llama family from an empty cell, load published weights without leaving any out, let it write, and say where time and memory go.
# - **Time.** 45 minutes to read, 40 for the exercises.
# - **You need** the layer of attention that was followed by hand in [tracing Q, K and V](02_qkv_tracing.ipynb). In this chapter we stack ⟨n_layers⟩ of them.

# %% tags=["parameters"]
profile: str = None  # smoke, book or gpu; None follows BOOK_PROFILE, else book
prompt_ko = "옛날 옛적에 호랑이가"  # the model goes on from here
prompt_en = "Once upon a time, a tiger"  # and from here
new_tokens: int = None  # tokens written to measure speed; None: the profile
same_tokens: int = None  # tokens compared with transformers; None: the profile
points: int = None  # text lengths where pairs are timed; None: the profile
pairs: int = None  # timed pairs at each length; None: the profile
answer_tokens: int = None  # longest answer in the chat; None: the profile
device = "cpu"  # cpu, cuda or auto; float64 needs cpu or cuda

# %% tags=["hide-input"]
import time

import matplotlib.pyplot as plt
import pandas as pd

from lib.data import describe, language_model, path
from lib.page.figures import COLOURS, show, use_style
from lib.page.profile import expect, settings
from lib.page.record import record
from lib.tokens.labels import token_labels

use_style()
pd.set_option("display.max_colwidth", None)

# %% tags=["hide-input"]
quick = {"new_tokens": 12, "same_tokens": 6, "points": 2, "pairs": 1,
         "answer_tokens": 4, "texts": 1}
full = {"new_tokens": 256, "same_tokens": 50, "points": 12, "pairs": 2,
        "answer_tokens": 24, "texts": 3}
large = full | {"points": 32, "pairs": 5, "answer_tokens": 64}
given = {"new_tokens": new_tokens, "same_tokens": same_tokens,
         "points": points, "pairs": pairs, "answer_tokens": answer_tokens}
expect(str, prompt_ko=prompt_ko, prompt_en=prompt_en)
cfg = settings(profile, smoke=quick, book=full, gpu=large, given=given,
               device=device)

# %% [markdown] tags=["lang-ko"]
# <!-- label: smollm2-file -->
# ## 파일 안에 든 것
#
# 모델은 파일 두 개입니다. `config.json`에는 크기가, `model.safetensors`에는 이름이 붙은 텐서가 들어 있습니다. safetensors 파일은 머리말에 이름과 모양이 적혀 있어서, 값을 읽지 않고도 무엇이 들었는지 알 수 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-file -->
# ## What is in the file
#
# A model is two files: `config.json` holds its sizes, `model.safetensors` its tensors, each under a name. A safetensors file begins with a list of names and shapes, so we can see what is inside before reading a single value.

# %%
# model: imports
import json
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import nn

# %%
folder = path("smollm2")
file = folder / "model.safetensors"

with safe_open(file, "pt") as tensors:
    shapes = {name: tuple(tensors.get_slice(name).get_shape())
              for name in sorted(tensors.keys())}
rows = {}
for name, shape in shapes.items():
    short = name.replace(".0.", ".{i}.")  # the other layers look the same
    if ".layers." not in name or ".0." in name:
        rows[short] = " × ".join(f"{side:,}" for side in shape)
pd.DataFrame({"shape": rows}).rename_axis("name")

# %% tags=["remove-cell"]
record(n_tensors=len(shapes))

# %% [markdown] tags=["lang-ko"]
# 텐서는 모두 ⟨n_tensors⟩개이고, 층 ⟨n_layers⟩개가 같은 이름을 번호만 바꾸어 되풀이합니다. 없는 것도 눈여겨보십시오. 편향이 하나도 없고, 마지막에 로짓을 만드는 `lm_head`도 없습니다. 들어오는 토큰(token)을 벡터로 바꾸는 임베딩(embedding) 행렬을 나가는 쪽에서도 그대로 쓰기 때문입니다. 이것을 가중치 공유(weight tying)라고 합니다.
#
# 넓이를 매개변수(parameter)의 수로 삼아 이 파일을 그려 봅니다.
# %% [markdown] tags=["lang-en"]
# There are ⟨n_tensors⟩ tensors; the ⟨n_layers⟩ layers repeat the same names with another number. Notice what is missing: there is no bias anywhere, and no `lm_head` to make logits at the end. The embedding matrix that turns tokens into vectors on the way in serves on the way out as well. This is called weight tying.
#
# Let us draw the file so that area is the number of parameters.

# %% tags=["hide-input"]
import math

sizes = {name: math.prod(shape) for name, shape in shapes.items()}
total = sum(sizes.values())
layer = {name.split(".")[-2].removesuffix("_proj"): size
         for name, size in sizes.items() if ".layers.0." in name}
n_blocks = sum(name.endswith("q_proj.weight") for name in sizes)
embedding = sizes["model.embed_tokens.weight"]
order = ["q", "k", "v", "o", "gate", "up", "down"]
attention_all = n_blocks * sum(layer[part] for part in order[:4])
forward_all = n_blocks * sum(layer[part] for part in order[4:])
for name, size in (("embedding", embedding), ("attention", attention_all),
                   ("forward", forward_all)):
    record(f"{name}_millions", size / 1e6, text=f"{size / 1e6:.1f}")
    record(f"{name}_share", size / total, text=f"{size / total:.0%}")
record(n_parameters=total, file_mb=file.stat().st_size / 1e6,
       norm_parameters=total - embedding - attention_all - forward_all)

# %% tags=["hide-input"]
figure, axis = plt.subplots(figsize=(7.2, 3.4))
axis.bar(0, 1, embedding, align="edge", color=COLOURS["tokens"], alpha=0.45)
axis.text(embedding / 2, 0.5, "token\nembedding", ha="center", va="center")
width = sum(layer.values())
for i in range(n_blocks):
    floor, left = 0.0, embedding + i * width
    for part in order:
        high = layer[part] / width
        colour = COLOURS["attention" if len(part) == 1 else "gravity"]
        axis.bar(left + width * 0.06, high * 0.97, width * 0.88, floor,
                 align="edge", color=colour, alpha=0.5)
        if i == n_blocks - 1 and part != "v":
            name, up = ("k, v", high) if part == "k" else (part, high / 2)
            axis.text(total * 1.005, floor + up, name, va="center")
        floor += high
axis.set(xlim=(0, total * 1.06), ylim=(0, 1), yticks=[],
         xlabel="parameters (millions)", title="every parameter of the model")
axis.set_xticks(range(0, total, 20_000_000),
                [str(n // 10**6) for n in range(0, total, 20_000_000)])
show(figure)

# %% [markdown] tags=["lang-ko", "caption"]
# 매개변수 ⟨n_parameters⟩개의 지도. 왼쪽의 큰 덩어리가 임베딩이고, 오른쪽의 기둥 하나가 한 층입니다. 파랑은 어텐션의 네 행렬, 주황은 피드포워드의 세 행렬입니다. RMSNorm의 배율은 모두 합쳐도 ⟨norm_parameters⟩개뿐이어서 보이지 않습니다.
# <!-- alt: 넓이가 매개변수의 수인 그림. 왼쪽에 임베딩 덩어리가 하나 있고, 그 오른쪽에 똑같은 기둥이 층의 수만큼 늘어서 있다. 기둥마다 아래쪽 4분의 1쯤이 어텐션이고 나머지는 피드포워드다. 키와 값의 칸은 쿼리의 칸보다 훨씬 얇다. -->
# %% [markdown] tags=["lang-en", "caption"]
# A map of the ⟨n_parameters⟩ parameters. The large block on the left is the embedding, each column on the right is a layer. Blue are the four matrices of attention, orange the three of the feed-forward network. The gains of RMSNorm, ⟨norm_parameters⟩ in all, are too few to show.
# <!-- alt: A picture in which area is the number of parameters. On the left stands one block for the embedding, to its right equal columns, one a layer. About the lower quarter of each column is attention, the rest is the feed-forward network. The cells of keys and values are much thinner than those of queries. -->

# %% [markdown] tags=["lang-ko"]
# 백만 개를 단위로 하면 임베딩이 ⟨embedding_millions⟩(⟨embedding_share⟩), 어텐션이 ⟨attention_millions⟩(⟨attention_share⟩), 피드포워드 신경망(feed-forward network)이 ⟨forward_millions⟩(⟨forward_share⟩)입니다. 이름난 것은 어텐션이지만 매개변수는 피드포워드 쪽에 훨씬 많습니다.
# %% [markdown] tags=["lang-en"]
# In millions, the embedding has ⟨embedding_millions⟩ (⟨embedding_share⟩), attention ⟨attention_millions⟩ (⟨attention_share⟩) and the feed-forward networks ⟨forward_millions⟩ (⟨forward_share⟩). Attention has the name, the feed-forward networks have most of the parameters.

# %% [markdown] tags=["lang-ko"]
# <!-- label: smollm2-parts -->
# ## 부품을 하나씩
#
# 이제 모델을 씁니다. 첫 줄이 `# model:`인 셀이 모델을 이루는 셀입니다. 그 셀들만 이어 붙이면 그대로 돌아가는 프로그램이 되고, [끝에서](#smollm2-lines) 줄 수를 셉니다.
#
# 먼저 `config.json`에서 크기를 읽어, 이 책에서 쓰는 이름을 붙입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-parts -->
# ## The parts, one by one
#
# Now we write the model. It consists of the cells whose first line is `# model:`. Joined together they are a program that runs; [at the end](#smollm2-lines) we count its lines.
#
# First we read the sizes from `config.json` and give them the names that this book uses.

# %%
# model: config
def read_config(folder):
    raw = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    heads, width = raw["num_attention_heads"], raw["hidden_size"]
    angles = raw.get("rope_parameters") or raw  # older files: one level up
    return SimpleNamespace(
        vocab=raw["vocab_size"], d_model=width, d_ff=raw["intermediate_size"],
        n_layers=raw["num_hidden_layers"], n_heads=heads,
        n_kv_heads=raw["num_key_value_heads"],
        d_head=raw.get("head_dim") or width // heads, eps=raw["rms_norm_eps"],
        theta=angles["rope_theta"], max_length=raw["max_position_embeddings"])

# %%
config = read_config(folder)
pd.DataFrame({"value": {name: f"{value:,.6g}" for name, value
                        in vars(config).items()}}).rename_axis("name")

# %% tags=["remove-cell"]
record(n_layers=config.n_layers, n_heads=config.n_heads,
       n_kv_heads=config.n_kv_heads, d_head=config.d_head,
       d_model=config.d_model, d_ff=config.d_ff, vocab=config.vocab,
       max_length=config.max_length,
       group=config.n_heads // config.n_kv_heads)

# %% [markdown] tags=["lang-ko"]
# <!-- label: smollm2-rmsnorm -->
# ### RMSNorm
#
# 벡터를 제곱평균제곱근으로 나누어 크기를 맞추고 배율 $g$를 곱합니다. 평균을 빼지 않고 편향도 없습니다. 여기서 $d$는 은닉 차원 ⟨d_model⟩입니다.
#
# $$\operatorname{RMSNorm}(x) = \frac{x}{\sqrt{\frac{1}{d}\sum_i x_i^2 + \varepsilon}} \odot g$$
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-rmsnorm -->
# ### RMSNorm
#
# Divide a vector by its root mean square, so that all come to one size, and multiply by a gain $g$. No mean is taken off, and there is no bias. Here $d$ is the hidden size, ⟨d_model⟩.
#
# $$\operatorname{RMSNorm}(x) = \frac{x}{\sqrt{\frac{1}{d}\sum_i x_i^2 + \varepsilon}} \odot g$$

# %%
# model: RMSNorm
class RMSNorm(nn.Module):
    def __init__(self, d_model, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model))
        self.eps = eps

    def forward(self, x):
        size = x.pow(2).mean(-1, keepdim=True)
        return self.weight * (x * torch.rsqrt(size + self.eps))

# %% [markdown] tags=["lang-ko"]
# <!-- label: smollm2-rotary -->
# ### 회전 위치 임베딩
#
# 쿼리(query)와 키를 자리 $t$에 비례하는 각도로 돌립니다. 이것이 회전 위치 임베딩(rotary position embedding)입니다. 여기서부터 $d$는 헤드(head) 하나의 차원 ⟨d_head⟩입니다. `rotary`는 자리의 **목록**을 받습니다. 0부터 센다고 정해 두지 않은 까닭은 [캐시](#smollm2-cache)에서 드러납니다.
#
# $$\varphi_{t,i} = t\,\theta^{-2i/d}, \qquad \tilde{x} = \big(a\cos\varphi - b\sin\varphi,\;\; a\sin\varphi + b\cos\varphi\big), \quad x = (a, b)$$
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-rotary -->
# ### Rotary position embedding
#
# Queries and keys are turned by an angle in proportion to their position $t$: the rotary position embedding. From here on $d$ is the dimension of one head, ⟨d_head⟩. `rotary` takes a **list** of positions. Why it does not count from 0 by itself will show with the [cache](#smollm2-cache).
#
# $$\varphi_{t,i} = t\,\theta^{-2i/d}, \qquad \tilde{x} = \big(a\cos\varphi - b\sin\varphi,\;\; a\sin\varphi + b\cos\varphi\big), \quad x = (a, b)$$

# %%
# model: rotary
def rotary(t, d, theta):
    pairs = torch.arange(0, d, 2, device=t.device)
    phi = t[:, None] * (1 / theta ** (pairs / d))
    return phi.cos(), phi.sin()


def turn(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)

# %% [markdown] tags=["lang-ko"]
# <!-- label: smollm2-attention -->
# ### 그룹 쿼리 어텐션
#
# 쿼리 헤드는 ⟨n_heads⟩개, 키·값 헤드는 ⟨n_kv_heads⟩개입니다. 쿼리 헤드 ⟨group⟩개가 키·값 헤드 하나를 나누어 쓰는 그룹 쿼리 어텐션(grouped-query attention)입니다. 로짓에 마스크(mask)를 씌우고 소프트맥스(softmax)로 가중치를 얻어 값을 섞는 데까지가 `attend`입니다.
#
# $$A = \operatorname{softmax}\!\left(\frac{\tilde{Q}\tilde{K}^\top}{\sqrt{d}} + M\right), \qquad Z = AV$$
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-attention -->
# ### Grouped-query attention
#
# There are ⟨n_heads⟩ query heads and ⟨n_kv_heads⟩ key/value heads: grouped-query attention, in which ⟨group⟩ query heads share one key/value head. `attend` goes from the logits over the mask and the softmax to the mixed values.
#
# $$A = \operatorname{softmax}\!\left(\frac{\tilde{Q}\tilde{K}^\top}{\sqrt{d}} + M\right), \qquad Z = AV$$

# %%
# model: attend
def attend(q, k, v, mask):  # (batch, head, token, dimension)
    shared = q.shape[1] // k.shape[1]
    k = k.repeat_interleave(shared, dim=1)
    v = v.repeat_interleave(shared, dim=1)
    S = q @ k.mT * q.shape[-1] ** -0.5
    A = S.masked_fill(~mask, -torch.inf).softmax(-1)
    return A @ v

# %% [markdown] tags=["lang-ko"]
# 층은 투영(projection) 네 개로 `attend`를 둘러쌉니다. `cache`가 있으면 새로 만든 키와 값을 맡기고, 지금까지 모인 것을 통째로 돌려받습니다. 캐시가 끼어드는 자리는 여기 한 곳뿐입니다.
# %% [markdown] tags=["lang-en"]
# The layer puts four projections around `attend`. If there is a `cache`, the new keys and values go in and everything gathered so far comes back. This is the only place where the cache enters.

# %%
# model: attention
class Attention(nn.Module):
    def __init__(self, c, layer):
        super().__init__()
        wide, narrow = c.n_heads * c.d_head, c.n_kv_heads * c.d_head
        self.query = nn.Linear(c.d_model, wide, bias=False)
        self.key = nn.Linear(c.d_model, narrow, bias=False)
        self.value = nn.Linear(c.d_model, narrow, bias=False)
        self.output = nn.Linear(wide, c.d_model, bias=False)
        self.layer, self.d_head = layer, c.d_head

    def forward(self, x, cos, sin, mask, cache=None):
        q, k, v = (
            project(x).unflatten(-1, (-1, self.d_head)).transpose(1, 2)
            for project in (self.query, self.key, self.value))
        q, k = turn(q, cos, sin), turn(k, cos, sin)
        if cache:
            k, v = cache.extend(self.layer, k, v)
        z = attend(q, k, v, mask)
        return self.output(z.transpose(1, 2).flatten(2))

# %% [markdown] tags=["lang-ko"]
# <!-- label: smollm2-swiglu -->
# ### SwiGLU
#
# 피드포워드 쪽은 토큰마다 따로 계산합니다. 벡터를 ⟨d_ff⟩차원으로 두 번 넓혀, 한쪽을 다른 쪽의 게이트(gate)로 삼습니다. $\operatorname{silu}(u) = u \cdot \sigma(u)$가 0에 가까우면 그 차원은 닫힙니다.
#
# $$\operatorname{SwiGLU}(x) = W_\text{down}\big(\operatorname{silu}(W_\text{gate}\,x) \odot W_\text{up}\,x\big)$$
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-swiglu -->
# ### SwiGLU
#
# The feed-forward side works on each token by itself. It widens the vector to ⟨d_ff⟩ dimensions twice and uses one as a gate for the other: where $\operatorname{silu}(u) = u \cdot \sigma(u)$ is close to 0, that dimension is closed.
#
# $$\operatorname{SwiGLU}(x) = W_\text{down}\big(\operatorname{silu}(W_\text{gate}\,x) \odot W_\text{up}\,x\big)$$

# %%
# model: SwiGLU
class SwiGLU(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate = nn.Linear(c.d_model, c.d_ff, bias=False)
        self.up = nn.Linear(c.d_model, c.d_ff, bias=False)
        self.down = nn.Linear(c.d_ff, c.d_model, bias=False)

    def forward(self, x):
        return self.down(F.silu(self.gate(x)) * self.up(x))

# %% [markdown] tags=["lang-ko"]
# <!-- label: smollm2-block -->
# ### 블록과 모델
#
# 블록은 어텐션과 SwiGLU를 차례로 지나며, 저마다 제 결과를 잔차 스트림(residual stream)에 더합니다. 정규화는 두 부품의 **앞**에 있습니다.
#
# $$x \leftarrow x + \operatorname{Attention}(\operatorname{RMSNorm}(x)), \qquad x \leftarrow x + \operatorname{SwiGLU}(\operatorname{RMSNorm}(x))$$
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-block -->
# ### Block and model
#
# A block goes through attention and SwiGLU in turn, and each adds its result to the residual stream. The normalisation stands **before** either part.
#
# $$x \leftarrow x + \operatorname{Attention}(\operatorname{RMSNorm}(x)), \qquad x \leftarrow x + \operatorname{SwiGLU}(\operatorname{RMSNorm}(x))$$

# %%
# model: block
class Block(nn.Module):
    def __init__(self, c, layer):
        super().__init__()
        self.attention_norm = RMSNorm(c.d_model, c.eps)
        self.attention = Attention(c, layer)
        self.feed_forward_norm = RMSNorm(c.d_model, c.eps)
        self.feed_forward = SwiGLU(c)

    def forward(self, x, *how):
        x = x + self.attention(self.attention_norm(x), *how)
        return x + self.feed_forward(self.feed_forward_norm(x))

# %% [markdown] tags=["lang-ko"]
# 모델은 토큰을 벡터로 바꾸고, 블록을 차례로 지나고, 끝에서 임베딩 행렬을 한 번 더 곱해 로짓을 냅니다. 자리를 세는 줄에 주목하십시오. 캐시에 토큰이 `start`개 들어 있으면 새 토큰의 자리는 `start`부터입니다. `last`를 켜면 마지막 토큰의 로짓만 구합니다. 다음 토큰 하나를 고르는 데는 그것으로 충분합니다.
# %% [markdown] tags=["lang-en"]
# The model turns tokens into vectors, goes through the blocks, and multiplies by the embedding matrix once more to get logits. Note the line that counts positions: with `start` tokens in the cache, the new ones stand at `start` and after. With `last` only the logits of the last token are made, which is enough to choose one next token.

# %%
# model: model
class SmolLM2(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.token = nn.Embedding(c.vocab, c.d_model)
        self.blocks = nn.ModuleList(Block(c, i) for i in range(c.n_layers))
        self.norm = RMSNorm(c.d_model, c.eps)

    def forward(self, ids, cache=None, last=False):
        start = cache.length if cache else 0
        places = torch.arange(start + ids.shape[1], device=ids.device)
        t = places[start:]
        angles = rotary(t, self.c.d_head, self.c.theta)
        x = self.token(ids)
        for block in self.blocks:
            x = block(x, *angles, places <= t[:, None], cache)
        if cache:
            cache.length += len(t)
        return self.norm(x[:, -1:] if last else x) @ self.token.weight.T

# %% [markdown] tags=["lang-ko"]
# <!-- label: smollm2-loading -->
# ## 이름대로 불러오기
#
# 파일의 이름을 우리 이름으로 바꾸는 데는 낱말 사전 하나면 됩니다. 점으로 나눈 마디마다 사전에 있으면 바꾸고 없으면 그대로 둡니다.
#
# 불러오기는 까다로워야 합니다. 텐서 하나가 빠져도 모델은 태연히 글을 씁니다. 그 자리에 난수가 남아 있을 뿐입니다. 그래서 `load`는 세 가지를 거절합니다. 갈 곳이 없는 텐서, 모양이 다른 텐서, 끝까지 채워지지 않은 자리입니다. 거절하는 말은 접어 둔 셀에 있고, 너무 긴 글을 거절하는 말도 함께 두었습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-loading -->
# ## Load by name
#
# A small dictionary is enough to turn the names of the file into ours: cut a name at its dots, replace the words that are in the dictionary and leave the others.
#
# Loading must be strict. If one tensor is left out, the model writes on regardless; there are just random numbers in that place. So `load` refuses three things: a tensor that has no place, a tensor of another shape, and a place that nothing has filled. The messages of refusal are in a folded cell, together with those for a text that is too long.

# %%
# model: names
OURS = {
    "embed_tokens": "token", "layers": "blocks",
    "input_layernorm": "attention_norm", "self_attn": "attention",
    "q_proj": "query", "k_proj": "key", "v_proj": "value",
    "o_proj": "output", "post_attention_layernorm": "feed_forward_norm",
    "mlp": "feed_forward", "gate_proj": "gate", "up_proj": "up",
    "down_proj": "down",
}


def our_name(name):
    words = name.removeprefix("model.").split(".")
    return ".".join(OURS.get(word, word) for word in words)

# %% tags=["hide-input"]
# model: refusals
def must_fit(name, mine, theirs):
    if mine is None or mine.shape != theirs.shape:
        raise ValueError(f"{name} {tuple(theirs.shape)} fits nowhere "
                         "in the model; use the file's config.json.")


def must_be_full(empty, file):
    if empty:
        raise ValueError(f"{file.name} has no tensor for {len(empty)} places, "
                         f"{min(empty)} first; fetch it and its config again.")


def must_have_room(ids, new, most):
    if len(ids) + new > most:
        raise ValueError(f"{len(ids)} tokens and {new} new ones are more than "
                         f"the model takes ({most}); shorten the text.")

# %%
# model: load
def load(model, file):
    empty = dict(model.named_parameters())
    with safe_open(file, "pt") as tensors:
        for name in sorted(tensors.keys()):
            theirs = tensors.get_tensor(name)
            mine = empty.pop(our_name(name), None)
            must_fit(name, mine, theirs)
            mine.data.copy_(theirs)
    must_be_full(empty, file)
    return model.eval()

# %%
model = load(SmolLM2(config), file).to(cfg.device)

names = [name for name in shapes
         if ".layers." not in name or ".layers.0." in name]
pd.DataFrame({
    "name in the file": names,
    "our name": [our_name(name) for name in names],
}).set_index("name in the file")

# %% [markdown] tags=["lang-ko"]
# 빠진 것도 남은 것도 없습니다. 정말 까다로운지도 봅니다. 층이 하나 모자란 모델과 하나 남는 모델에 같은 파일을 넣으면 다음과 같이 거절합니다. 메타(meta) 장치의 모델은 모양만 있고 메모리를 쓰지 않습니다.
# %% [markdown] tags=["lang-en"]
# Nothing is missing and nothing is left over. Is it really strict? Given the same file, a model with one layer too few and one with a layer too many are refused as follows. A model on the meta device has shapes only and takes no memory.

# %%
refused = {}
for change in (-1, 1):
    other = vars(config) | {"n_layers": config.n_layers + change}
    with torch.device("meta"):
        wrong = SmolLM2(SimpleNamespace(**other))
    try:
        load(wrong, file)
    except ValueError as error:
        refused[other["n_layers"]] = str(error)
pd.DataFrame({"refusal": refused}).rename_axis("layers")

# %% [markdown] tags=["lang-ko"]
# <!-- label: smollm2-logits -->
# ## 같은 로짓인가
#
# 같은 파일을 `transformers`로도 불러와 같은 글을 읽힙니다. 한국어와 영어, 짧은 글과 긴 글, 코드와 이모지를 섞었습니다. 견주는 것은 모든 자리에서 나온 어휘(vocabulary) 전체의 로짓입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-logits -->
# ## The same logits?
#
# We load the same file with `transformers` too and let both read the same texts: Korean and English, short and long, with some code and an emoji. What we compare are the logits of the whole vocabulary at every position.

# %%
passages = {
    "ko 1": "고양이가 물을 마신다.",
    "ko 2": "훈민정음은 백성을 가르치는 바른 소리라는 뜻이며, 닿소리와 "
            "홀소리를 모아 한 글자를 이룬다.",
    "ko 3": "오늘 저녁에는 김치찌개 🍲 어때? 좋아, 일곱 시에 만나자!",
    "en 1": "The cat drank the water because it was thirsty.",
    "en 2": "A model that writes should remember what it has read. Whoever "
            "begins at the first word for every new word will be late, and "
            "the later the longer the story gets.",
    "en 3": "def area(r):\n    return 3.14159 * r ** 2  # of a circle",
}
texts = {name: text for name, text in passages.items()
         if int(name[-1]) <= cfg.texts}
theirs, tokenizer = language_model()
theirs.to(cfg.device)


def encode(text):
    return tokenizer(text, return_tensors="pt").input_ids.to(cfg.device)

# %%
def small(gap):
    return f"{gap:.1e}" if gap else "0"


with torch.no_grad():
    logits_of = [model(encode(text)) for text in texts.values()]


@torch.no_grad()
def gaps_to(attention):
    theirs.set_attn_implementation(attention)
    return [(logits - theirs(encode(text)).logits).abs().max().item()
            for logits, text in zip(logits_of, texts.values(), strict=True)]


eager, sdpa = gaps_to("eager"), gaps_to("sdpa")
pd.DataFrame({"tokens": [encode(text).shape[1] for text in texts.values()],
              "eager": map(small, eager), "sdpa": map(small, sdpa)},
             index=list(texts)).rename_axis("text")

# %% tags=["remove-cell"]
korean = [name.startswith("ko") for name in texts]
for name, gaps in (("eager", eager), ("sdpa", sdpa)):
    by = list(zip(korean, gaps, strict=True))
    record(f"gap_{name}_ko", max(gap for ko, gap in by if ko))
    record(f"gap_{name}_en", max(gap for ko, gap in by if not ko))

# %% [markdown] tags=["lang-ko"]
# `transformers`에는 어텐션을 계산하는 방법이 여럿 있습니다. `eager`는 우리처럼 식을 그대로 풀어 쓴 것이고, `sdpa`는 여러 연산을 하나로 합친 것입니다. 가장 큰 차이는 `eager`와 견주어 한국어에서 ⟨gap_eager_ko⟩, 영어에서 ⟨gap_eager_en⟩입니다. 0이라면 마지막 비트까지 같다는 뜻이고, 연산을 같은 순서로 했기에 그럴 수 있습니다. `sdpa`와 견주면 각각 ⟨gap_sdpa_ko⟩, ⟨gap_sdpa_en⟩입니다.
#
# 이 차이는 어딘가 틀려서 생긴 것일까요, 반올림일까요? [QKV 추적](02_qkv_tracing.ipynb#qkv-all-layers)에서처럼 float64로 가립니다. 우리 모델을 통째로 float64로 바꾸어 구한 로짓을 참값으로 삼고, float32로 계산한 세 가지가 거기서 얼마나 떨어져 있는지 잽니다.
# %% [markdown] tags=["lang-en"]
# `transformers` can compute attention in several ways: `eager` writes the formula out as we do, `sdpa` fuses it into one operation. Against `eager` the largest difference is ⟨gap_eager_ko⟩ in Korean and ⟨gap_eager_en⟩ in English. A 0 means equal to the last bit, which can happen because the operations come in the same order. Against `sdpa` it is ⟨gap_sdpa_ko⟩ and ⟨gap_sdpa_en⟩.
#
# Is that a mistake or rounding? As in [tracing Q, K and V](02_qkv_tracing.ipynb#qkv-all-layers), float64 decides. The logits of our whole model in float64 serve as the truth, and we measure how far the three float32 computations are from it.

# %%
shorts = [encode(passages[name])[:, :12] for name in ("ko 1", "en 1")]
ways = {"ours": [model(ids).detach() for ids in shorts]}
with torch.no_grad():
    for attention in ("eager", "sdpa"):
        theirs.set_attn_implementation(attention)
        ways[attention] = [theirs(ids).logits for ids in shorts]
    model.double()
    truth = [model(ids) for ids in shorts]
    model.float()
distances = pd.DataFrame(
    {way: [(a - b).abs().max().item()
           for a, b in zip(found, truth, strict=True)]
     for way, found in ways.items()}, index=["ko 1", "en 1"]).T
distances.map(small).rename_axis("difference from float64")

# %% tags=["remove-cell"]
record(single_low=distances.min(axis=None),
       single_high=distances.max(axis=None))

# %% [markdown] tags=["lang-ko"]
# float32로 계산한 셋이 참값에서 벗어난 크기는 ⟨single_low⟩에서 ⟨single_high⟩까지입니다. 어느 하나가 더 옳다고 할 수 없고, 서로의 차이도 그만한 크기입니다. **반올림**입니다.
#
# > **주의.** `transformers`를 float64로 돌려 참값으로 삼을 수는 없습니다. RMSNorm을 늘 float32로 계산하기 때문에 거기서 생긴 반올림이 남습니다.
# %% [markdown] tags=["lang-en"]
# The three float32 computations lie ⟨single_low⟩ to ⟨single_high⟩ from the truth. None is more right than the others, and they differ from each other by about as much. It is **rounding**.
#
# > **Note.** `transformers` in float64 cannot serve as the truth: it always computes RMSNorm in float32, and that rounding would stay.

# %% [markdown] tags=["lang-ko"]
# <!-- label: smollm2-cache -->
# ## 한 번 구한 키와 값은 다시 쓴다
#
# 글을 쓰는 모델은 토큰 하나를 쓸 때마다 앞의 글 전체를 다시 봅니다. 그런데 인과 마스크(causal mask) 때문에 앞의 토큰은 뒤를 보지 못하므로, 글이 길어져도 그 키와 값은 바뀌지 않습니다. 그러니 한 번 구한 키와 값을 층마다 모아 두면 새 토큰 하나만 계산하면 됩니다. 이 기억이 **KV 캐시**(KV cache)입니다. 쿼리는 새 토큰의 것만 쓰이므로 모아 둘 까닭이 없습니다.
#
# 키는 **돌린 다음에** 넣습니다. 새 토큰을 제 자리만큼 돌리려면 앞에 몇 개가 있는지 알아야 하고, 그래서 모델은 자리를 `cache.length`부터 셉니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-cache -->
# ## Keys and values, once made, are used again
#
# For every token it writes, a model looks at all the text before. But earlier tokens cannot see later ones (the causal mask), so their keys and values stay the same however long the text grows. If each layer keeps them, only the new token is left to compute. This memory is the **KV cache**. Queries are used for the new token only, so there is no reason to keep them.
#
# Keys go in **after** they were turned. To turn a new token by its own position one must know how many stand before it; that is why the model counts positions from `cache.length`.

# %%
# model: cache
class Cache:
    def __init__(self, model, length):
        c = model.c
        self.kept = model.token.weight.new_empty(
            c.n_layers, 2, 1, c.n_kv_heads, length, c.d_head)
        self.length = 0

    def extend(self, layer, k, v):
        end = self.length + k.shape[2]
        kept = self.kept[layer, ..., :end, :]
        kept[0, ..., self.length:, :] = k
        kept[1, ..., self.length:, :] = v
        return kept[0], kept[1]

# %%
@torch.no_grad()
def one_by_one(ids):
    cache = Cache(model, ids.shape[1])
    return torch.cat([model(ids[:, i:i + 1], cache)
                      for i in range(ids.shape[1])], dim=1)


def cache_gap():
    return max((one_by_one(ids) - model(ids).detach()).abs().max().item()
               for ids in shorts[-min(cfg.texts, 2):])


single = cache_gap()
model.double()
double = cache_gap()
model.float()
pd.DataFrame({"difference with the cache":
              {"float32": small(single), "float64": small(double)}})

# %% tags=["remove-cell"]
record(cache_single=single, cache_double=double)

# %% [markdown] tags=["lang-ko"]
# 토큰을 하나씩 캐시에 넣으며 구한 로짓과 한꺼번에 구한 로짓의 차이입니다. float32에서 ⟨cache_single⟩이던 것이 float64에서는 ⟨cache_double⟩까지 줄어듭니다. 규칙대로라면 반올림이고, 캐시는 계산을 바꾸지 않습니다.
# %% [markdown] tags=["lang-en"]
# This is how far the logits made token by token with the cache are from those made all at once: ⟨cache_single⟩ in float32, ⟨cache_double⟩ in float64. By the rule it is rounding; the cache does not change what is computed.

# %% [markdown] tags=["lang-ko"]
# <!-- label: smollm2-generate -->
# ## 글을 쓰게 하기
#
# 글쓰기는 되풀이입니다. 마지막 자리의 로짓에서 토큰 하나를 골라 글 뒤에 붙이고, 다시 읽힙니다. 캐시를 쓰면 새로 붙은 토큰만, 쓰지 않으면 글 전체를 읽힙니다. 두 방법이 갈라지는 곳은 `fresh`를 정하는 한 줄입니다. 토큰을 고르는 일은 `pick`에 맡깁니다. `greedy`는 언제나 로짓이 가장 큰 토큰을 고르며, 이것을 탐욕 디코딩(greedy decoding)이라고 합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-generate -->
# ## Let it write
#
# Writing is a loop: choose a token from the logits at the last position, put it behind the text, read again. With the cache the model reads what is new, without it the whole text; the two ways part in the one line that sets `fresh`. Choosing is left to `pick`. `greedy` always takes the token with the largest logit, which is called greedy decoding.

# %%
# model: generate
def greedy(logits):
    return int(logits.argmax())


@torch.no_grad()
def generate(model, ids, new, pick=greedy, stop=None, cached=True):
    ids = list(ids)
    must_have_room(ids, new, model.c.max_length)
    cache = Cache(model, len(ids) + new) if cached else None
    for _ in range(new):
        fresh = ids[cache.length:] if cached else ids
        batch = torch.tensor([fresh], device=model.token.weight.device)
        ids.append(pick(model(batch, cache, last=True)[0, -1].cpu()))
        if ids[-1] == stop:
            break
    return ids

# %% [markdown] tags=["lang-ko"]
# <!-- label: smollm2-same-tokens -->
# ### 같은 토큰
#
# 한국어와 영어로 첫머리를 주고 이어 쓰게 합니다. 그리고 처음 ⟨n_same⟩개의 토큰을 `transformers`의 `generate`가 쓴 것과, 또 캐시 없이 쓴 것과 견줍니다. 영어 글은 뒤에서 시간을 재는 데에도 쓰려고 끝까지 쓰게 하고, 토큰마다 언제 나왔는지 적어 둡니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-same-tokens -->
# ### The same tokens
#
# We give the model a beginning in Korean and one in English and let it go on. The first ⟨n_same⟩ tokens are compared with those of `generate` in `transformers`, and with our own without the cache. The English text runs on to its full length, with a note of when each token came: we shall need it to measure time.

# %%
def checked(prompt, new):
    ids, same = encode(prompt), cfg.same_tokens
    stamps = [time.perf_counter()]

    def pick(logits):
        stamps.append(time.perf_counter())
        return greedy(logits)

    ours = generate(model, ids[0].tolist(), new, pick)
    known = theirs.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=same,
        do_sample=False, eos_token_id=None, pad_token_id=0)[0].tolist()
    with torch.no_grad():  # one pass over it all: no cache
        whole = model(torch.tensor([ours], device=ids.device))[0]
    begin = ids.shape[1]
    again = whole.argmax(-1).tolist()[begin - 1:-1]
    return SimpleNamespace(
        ids=ours, begin=begin, stamps=stamps,
        theirs=sum(map(int.__eq__, ours[begin:][:same], known[begin:])),
        uncached=sum(map(int.__eq__, ours[begin:], again)))

# %%
written = {"ko": checked(prompt_ko, cfg.same_tokens),
           "en": checked(prompt_en, cfg.new_tokens)}
pd.DataFrame([[
    tokenizer.decode(text.ids[:text.begin + cfg.same_tokens]),
    f"{text.theirs} / {cfg.same_tokens}",
    f"{text.uncached} / {len(text.ids) - text.begin}"]
    for text in written.values()],
    columns=["text", "same as transformers", "same without the cache"],
    index=["Korean", "English"])

# %% tags=["remove-cell"]
record(n_same=cfg.same_tokens, n_new=cfg.new_tokens)
for name, text in written.items():
    record(f"same_{name}", text.theirs)
    record(f"uncached_{name}", text.uncached)

# %% [markdown] tags=["lang-ko"]
# 한국어에서는 ⟨n_same⟩개 가운데 ⟨same_ko⟩개, 영어에서는 ⟨same_en⟩개가 같습니다. 로짓이 같으니 가장 큰 것도 같은 것입니다. 캐시 없이 견준 열은 다 쓴 글을 캐시 없이 한 번에 읽혀서 얻었습니다. 앞의 자리는 뒤를 보지 못하므로 한 번의 계산으로 모든 자리의 다음 토큰이 나오고, 그것이 쓴 글과 하나하나 같은지 보면 됩니다.
#
# 한국어 글은 글이라고 하기 어렵습니다. 코드가 틀려서가 아니라 이 모델이 영어를 주로 배웠기 때문입니다. `transformers`도 똑같은 글을 씁니다.
# %% [markdown] tags=["lang-en"]
# Of ⟨n_same⟩ tokens, ⟨same_ko⟩ are the same in Korean and ⟨same_en⟩ in English: where the logits agree, so does the largest of them. The column without the cache comes from reading the finished text in one go. As no position sees what follows, a single pass gives the next token at every position, and these must be the tokens of the text.
#
# The Korean hardly deserves to be called text. That is not a mistake in the code: this model learned mostly English, and `transformers` writes the same.

# %% tags=["remove-input"]
english = written["en"].ids
chunks = [tuple(english[i:i + 8]) for i in range(len(english) - 7)]
repeated = 1 - len(set(chunks)) / len(chunks)
record("repeated", repeated, text=f"{repeated:.0%}")

# %% [markdown] tags=["lang-ko"]
# <!-- label: smollm2-speed -->
# ## 토큰 하나를 쓰는 시간
#
# 캐시는 시간을 얼마나 아껴 줄까요? 글의 길이를 달리하며 다음 토큰 하나를 두 가지로 구합니다. 한 번은 캐시를 두고 새 토큰만, 한 번은 글 전체를 처음부터. 두 시간은 바로 이어서 재어 **짝**으로 삼습니다. 그때 컴퓨터가 다른 일로 바쁘면 둘 다 느려지므로 비율은 덜 흔들립니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-speed -->
# ## The time of one token
#
# How much does the cache save? At different lengths of text we make the next token in two ways: with the cache and only the new token, and all over from the first token. Timed right after each other, the two are a **pair**: if the computer is busy with something else just then, both are slowed, and the ratio suffers less.

# %%
text = written["en"]
ids = torch.tensor([text.ids], device=cfg.device)
cache = Cache(model, ids.shape[1])


@torch.no_grad()
def seconds(n, kept=None):
    if kept:
        kept.length = n - 1  # go back to the moment before token n
    begin = time.perf_counter()
    logits = model(ids[:, n - 1 if kept else 0:n], kept, last=True)
    chosen = greedy(logits[0, -1].cpu())  # .cpu() also waits for a GPU
    return time.perf_counter() - begin, chosen


with torch.no_grad():
    model(ids, cache, last=True)  # fill it, and warm up
lengths = torch.linspace(text.begin, ids.shape[1] - 1, cfg.points)
lengths = [int(n) for n in lengths.round()]

# %%
import numpy as np

rows, agreed = [], 0
for n in lengths:
    for _ in range(cfg.pairs):
        (fast, a), (slow, b) = seconds(n, cache), seconds(n)
        rows.append({"n": n, "cached": fast, "again": slow})
        agreed += a == b == text.ids[n]
timed = pd.DataFrame(rows).groupby("n").median()
timed["ratio"] = timed["again"] / timed["cached"]

# %% tags=["remove-cell"]
steps = np.arange(text.begin, ids.shape[1])  # lengths before each new token
whole = {way: np.interp(steps, timed.index, timed[way]).sum()
         for way in ("cached", "again")}
record(seconds_cached=whole["cached"], seconds_again=whole["again"],
       speed_up=whole["again"] / whole["cached"], n_pairs=len(rows),
       speed_up_end=timed["ratio"].iloc[-1], longest=lengths[-1],
       seconds_run=text.stamps[-1] - text.stamps[0], n_agreed=int(agreed),
       work_ratio=float(steps.mean()))

# %% tags=["hide-input"]
figure, axis = plt.subplots(figsize=(7.2, 3.8))
took = np.diff(text.stamps)[1:]  # the first step reads the prompt
axis.plot(text.begin + 1 + np.arange(len(took)), took * 1e3, ".",
          color=COLOURS["attention"], alpha=0.3, markersize=4)
for way, colour, label in (
        ("again", "gravity", "everything again"),
        ("cached", "attention", "with the cache")):
    axis.plot(timed.index, timed[way] * 1e3, "o-", markersize=4,
              color=COLOURS[colour])
    axis.annotate(label, (timed.index[-1], timed[way].iloc[-1] * 1e3),
                  xytext=(-6, 10), textcoords="offset points", ha="right",
                  color=COLOURS[colour])
top = timed[["again", "cached"]].to_numpy().max() * 1e3
axis.set(title="time for one more token", xlabel="tokens so far",
         ylabel="milliseconds", ylim=(0, 1.15 * top))
show(figure, table=timed.rename_axis("tokens so far").rename(
    columns={"cached": "seconds, cached", "again": "seconds, all again"}))

# %% [markdown] tags=["lang-ko", "caption"]
# 다음 토큰 하나를 얻는 데 걸린 시간. 주황은 글 전체를 다시 계산한 것, 파랑은 캐시를 쓴 것입니다. 선으로 이은 점은 짝으로 잰 값의 중앙값이고, 흩어진 옅은 점은 앞에서 글을 쓸 때 실제로 걸린 시간입니다.
# <!-- alt: 가로축은 지금까지의 토큰 수, 세로축은 시간인 그래프. 글 전체를 다시 계산하는 시간은 글이 길어질수록 올라가고, 캐시를 쓴 시간은 바닥 가까이에서 거의 그대로다. -->
# %% [markdown] tags=["lang-en", "caption"]
# The time to get one more token. Orange computes the whole text again, blue uses the cache. The joined points are medians of timed pairs, the faint dots the times that the text above really took.
# <!-- alt: A plot of time against the number of tokens so far. Computing the whole text again takes longer the longer the text is; the time with the cache stays almost level near the bottom. -->

# %% [markdown] tags=["lang-ko"]
# 토큰 ⟨n_new⟩개를 쓰는 동안의 시간을 모두 더하면 캐시 없이는 ⟨seconds_again⟩초, 캐시로는 ⟨seconds_cached⟩초입니다. **⟨speed_up⟩배** 빠릅니다. 잰 길이와 길이 사이는 직선으로 이어 셈했습니다. 캐시로 그 글을 실제로 쓰는 데는 ⟨seconds_run⟩초가 걸렸습니다. 글이 ⟨longest⟩토큰일 때는 토큰 하나를 쓰는 데 ⟨speed_up_end⟩배 차이가 나고, 글이 길어질수록 더 벌어집니다.
#
# 그런데 계산의 **양**은 훨씬 더 줄었습니다. 캐시 없이는 토큰 하나를 쓸 때마다 평균 ⟨work_ratio⟩개의 토큰을 계산하고, 캐시로는 하나만 계산합니다. 시간은 왜 그만큼 줄지 않았을까요? 다음 절이 그 답입니다.
# %% [markdown] tags=["lang-en"]
# Added up over ⟨n_new⟩ tokens, writing takes ⟨seconds_again⟩ seconds without the cache and ⟨seconds_cached⟩ seconds with it: **⟨speed_up⟩ times** as fast. Between the lengths that were timed we took straight lines; really writing the text with the cache took ⟨seconds_run⟩ seconds. At ⟨longest⟩ tokens one more token differs by a factor of ⟨speed_up_end⟩, and the longer the text, the larger the factor.
#
# Yet the **work** shrank far more: without the cache a step computes ⟨work_ratio⟩ tokens on average, with it a single one. Why did time not shrink as much? The next section tells.

# %% [markdown] tags=["lang-ko"]
# <!-- label: smollm2-prefill -->
# ## 읽기는 싸고 쓰기는 비싸다
#
# 모델이 대답하는 일은 두 단계로 나뉩니다. 주어진 글을 한꺼번에 읽어 캐시를 채우는 **프리필**(prefill)과, 그 뒤로 토큰을 하나씩 쓰는 디코드(decode)입니다. 한 번에 읽는 토큰의 수를 바꾸어 가며 시간을 잽니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-prefill -->
# ## Reading is cheap, writing is expensive
#
# A model answers in two stages: **prefill** reads the given text in one go and fills the cache; decode then writes token by token. We measure the time of one pass while changing how many tokens it reads at once.

# %%
@torch.no_grad()
def reading(n):
    fresh = Cache(model, n)
    begin = time.perf_counter()
    model(ids[:, :n], fresh, last=True).cpu()
    return time.perf_counter() - begin


counts = [2**k for k in range(9) if 2**k <= ids.shape[1]]
tries = 1 + cfg.pairs
passes = pd.DataFrame(
    {"pass": [np.median([reading(n) for _ in range(tries)])
              for n in counts]}, index=counts)
passes["token"] = passes["pass"] / passes.index

# %%
@torch.no_grad()
def touch():  # read every weight, compute next to nothing
    begin = time.perf_counter()
    sum(p.sum().item() for p in model.parameters())
    return time.perf_counter() - begin


one, many = passes["token"].iloc[[0, -1]]
weights = sum(p.nbytes for p in model.parameters())
touched = np.median([touch() for _ in range(tries)])

# %% tags=["remove-cell"]
record(decode_ms=one * 1e3, prefill_ms=many * 1e3, prefill_gain=one / many,
       read_at_once=counts[-1], weights_mb=weights / 1e6,
       touch_ms=touched * 1e3, decode_rate=2 * total / one / 1e9,
       prefill_rate=2 * total / many / 1e9)
record("touch_share", touched / one, text=f"{touched / one:.0%}")

# %% tags=["hide-input"]
figure, axis = plt.subplots(figsize=(7.2, 3.4))
axis.plot(passes.index, passes["pass"] * 1e3, "o-", markersize=4,
          color=COLOURS["attention"])
axis.plot(passes.index, passes.index * one * 1e3, ":",
          color=COLOURS["grey"])
axis.set_xscale("log", base=2)
axis.set_yscale("log")
axis.yaxis.set_major_formatter("{x:,.0f}")
axis.annotate("one by one", (counts[-2], counts[-2] * one * 1e3),
              xytext=(-8, 0), textcoords="offset points", ha="right",
              color=COLOURS["grey"])
axis.annotate("all at once", (counts[-2], passes["pass"].iloc[-2] * 1e3),
              xytext=(0, -16), textcoords="offset points", ha="left",
              color=COLOURS["attention"])
axis.set(title="time to read a text", xlabel="tokens",
         ylabel="milliseconds", xticks=counts, xticklabels=counts)
show(figure, table=passes.rename_axis("tokens").rename(
    columns={"pass": "seconds", "token": "seconds a token"}))

# %% [markdown] tags=["lang-ko", "caption"]
# 글 하나를 읽는 시간. 파랑은 한꺼번에 읽은 것을 잰 값이고, 점선은 토큰 하나의 시간에 토큰의 수를 곱한 것입니다. 두 축 모두 로그 눈금입니다.
# <!-- alt: 두 축이 로그 눈금인 그래프. 토큰이 몇 개뿐일 때는 한꺼번에 읽는 시간이 토큰 하나의 시간과 별로 다르지 않다가 차츰 늘어난다. 하나씩 읽는 점선은 곧바로 올라가고 둘 사이가 점점 벌어진다. -->
# %% [markdown] tags=["lang-en", "caption"]
# The time to read a text. Blue was measured, reading all at once; the dotted line is the time of one token times the number of tokens. Both axes are logarithmic.
# <!-- alt: A plot with two logarithmic axes. For few tokens, reading all at once takes little more than one token takes, then the time grows. The dotted line for one by one rises from the start, and the two draw apart. -->

# %% [markdown] tags=["lang-ko"]
# ⟨read_at_once⟩개를 한꺼번에 읽으면 토큰 하나에 ⟨prefill_ms⟩밀리초, 하나씩이면 ⟨decode_ms⟩밀리초입니다. 같은 토큰인데 ⟨prefill_gain⟩배 차이가 납니다.
#
# 토큰 하나를 계산하려면 토큰이 하나뿐이어도 가중치 ⟨weights_mb⟩MB를 모두 메모리에서 읽어 와야 합니다. 토큰마다 곱하고 더하는 횟수는 매개변수 수의 두 배쯤으로 늘 같지만, 한꺼번에 읽으면 한 번 읽어 온 가중치를 여러 토큰이 나누어 씁니다. 초당 연산의 수로 적으면 디코드는 ⟨decode_rate⟩, 프리필은 ⟨prefill_rate⟩입니다(단위 10⁹). 토큰이 하나뿐이면 컴퓨터가 낼 수 있는 계산 속도를 다 쓰지 못하는 것입니다. 그래서 캐시로 계산을 아낀 만큼 시간이 줄지는 않습니다. 가중치를 그저 한 번 훑어 모두 더하는 데는 ⟨touch_ms⟩밀리초, 디코드 시간의 ⟨touch_share⟩이(가) 듭니다. 100%에 가깝다면 디코드는 **가중치를 읽어 오는 속도**에 묶여 있는 것이고, 그보다 훨씬 낮다면 시간은 다른 데에 드는 것입니다. 나머지가 어디에 드는지는 여기서 재지 않았습니다.
# %% [markdown] tags=["lang-en"]
# Reading ⟨read_at_once⟩ tokens at once costs ⟨prefill_ms⟩ milliseconds a token, one at a time ⟨decode_ms⟩: the same tokens, a factor of ⟨prefill_gain⟩.
#
# Even for a single token, all ⟨weights_mb⟩ MB of weights have to come from memory. The work of a token is always about two operations a parameter, but read together, many tokens share each weight that was fetched. In operations a second, decode reaches ⟨decode_rate⟩ and prefill ⟨prefill_rate⟩ (in units of 10⁹). With a single token the machine does not come near the rate of arithmetic that it is capable of, so the cache cannot save as much time as it saves work. Merely going over the weights once to add them all up takes ⟨touch_ms⟩ milliseconds, ⟨touch_share⟩ of the time of decode. Close to 100%, decode would be bound by **how fast the weights can be read**; far below, the time goes elsewhere. Where the rest goes was not measured here.

# %% [markdown] tags=["lang-ko"]
# <!-- label: smollm2-memory -->
# ## 기억에 드는 비용: 캐시의 크기
#
# 캐시는 메모리를 내주고 시간을 삽니다. 크기는 계산해서 알 수 있습니다. 토큰마다, 층마다, 키·값 헤드마다 키와 값이 하나씩 남고, 그 하나가 수 $d$개입니다. 수 하나는 4바이트(float32)입니다.
#
# $$\text{bytes} = 2 \cdot n_\text{layers} \cdot n_\text{kv} \cdot d \cdot 4 \cdot n_\text{tokens}$$
#
# 셈이 맞는지, `Cache`를 만들 때 파이토치가 실제로 잡은 메모리를 물어봅니다. 쿼리 헤드마다 키·값 헤드를 따로 두었다면 얼마였을지도 함께 봅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-memory -->
# ## What remembering costs: the size of the cache
#
# The cache pays with memory for time. How much can be computed: for every token, layer and key/value head there remain one key and one value of $d$ numbers each, and a number has 4 bytes (float32).
#
# $$\text{bytes} = 2 \cdot n_\text{layers} \cdot n_\text{kv} \cdot d \cdot 4 \cdot n_\text{tokens}$$
#
# Is it so? We ask PyTorch how much memory it really took when a `Cache` was made. Beside it we look at what it would have been with a key/value head for each query head.

# %%
def measured(n_kv_heads, length):
    like = SimpleNamespace(
        c=SimpleNamespace(**vars(config) | {"n_kv_heads": n_kv_heads}),
        token=model.token)
    return Cache(like, length).kept.untyped_storage().nbytes()


def computed(n_kv_heads, length):
    return 2 * config.n_layers * n_kv_heads * config.d_head * 4 * length

# %%
length = len(text.ids)
heads = (config.n_kv_heads, config.n_heads)
by_tokens = {n: [computed(h, n) for h in heads]
             for n in (1, length, config.max_length)}
seen = [measured(h, length) for h in heads]
rows = {f"{n:,}": values for n, values in by_tokens.items()}
pd.DataFrame(rows | {f"{length:,}, measured": seen},
             index=["grouped", "one a query head"]
             ).T.map("{:,}".format).rename_axis("tokens")

# %% tags=["remove-cell"]
record(cache_bytes=by_tokens[length][0], cache_measured=seen[0],
       cache_token=by_tokens[1][0], cache_length=length,
       cache_share=by_tokens[config.max_length][0] / weights,
       cache_full_mb=by_tokens[config.max_length][0] / 1e6,
       cache_ungrouped_mb=by_tokens[config.max_length][1] / 1e6,
       cache_saved=seen[1] / seen[0])

# %% [markdown] tags=["lang-ko"]
# 토큰 ⟨cache_length⟩개의 캐시는 셈으로 ⟨cache_bytes⟩바이트, 잰 것도 ⟨cache_measured⟩바이트입니다. 쿼리 헤드 ⟨group⟩개가 키·값 헤드 하나를 나누어 쓰므로 캐시는 ⟨cache_saved⟩배 작습니다. 로짓을 구하는 횟수는 그대로이고 줄어든 것은 기억할 키와 값뿐입니다.
#
# 이 모델이 읽을 수 있는 가장 긴 글(⟨max_length⟩토큰)이라면 캐시는 ⟨cache_full_mb⟩MB, 나누어 쓰지 않았다면 ⟨cache_ungrouped_mb⟩MB입니다. 가중치가 ⟨weights_mb⟩MB이니, 긴 글에서는 캐시가 모델만큼 커질 수 있습니다. `attend`는 키와 값을 잠시 ⟨group⟩벌로 늘려 쓰지만, 한 층의 몫만 늘렸다가 곧 버립니다.
# %% [markdown] tags=["lang-en"]
# For ⟨cache_length⟩ tokens the cache takes ⟨cache_bytes⟩ bytes as computed and ⟨cache_measured⟩ as measured. As ⟨group⟩ query heads share one key/value head, it is ⟨cache_saved⟩ times smaller. There are as many logits as before; what became less is the keys and values to remember.
#
# At the longest text that this model takes (⟨max_length⟩ tokens) the cache has ⟨cache_full_mb⟩ MB; without sharing it would be ⟨cache_ungrouped_mb⟩ MB. The weights have ⟨weights_mb⟩ MB: with long texts a cache can grow as large as the model. `attend` does spread keys and values into ⟨group⟩ copies, but of one layer at a time, and drops them at once.

# %% [markdown] tags=["lang-ko"]
# <!-- label: smollm2-sampling -->
# ## 다음 토큰 고르기: 온도, top-k, top-p
#
# 늘 가장 큰 것만 고르면 같은 말을 되풀이하기 쉽습니다. 앞에서 쓴 영어 글을 여덟 토큰씩 겹쳐 자르면, 그 토막의 ⟨repeated⟩이(가) 이미 나온 것과 똑같습니다. 그래서 확률대로 뽑되, 세 가지로 분포를 다듬습니다. **온도**(temperature) $\tau$는 로짓을 나누어 분포를 또렷하거나 흐릿하게 합니다. **top-k**는 확률이 큰 $k$개만 남깁니다. **top-p**는 큰 것부터 더해 $p$에 이를 때까지만 남깁니다. 남은 것은 합이 1이 되도록 다시 나눕니다.
#
# $$p_i \propto e^{z_i/\tau}, \qquad \text{top-}p: \;\; \text{keep } i \iff \sum_{j:\,p_j > p_i} p_j < p$$
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-sampling -->
# ## Choosing the next token: temperature, top-k, top-p
#
# Always taking the largest logit easily ends in repetition: of all stretches of eight tokens in the English text above, ⟨repeated⟩ had stood there before. So we draw by probability, after shaping the distribution in three ways. The **temperature** $\tau$ divides the logits and makes the distribution sharper or softer. **top-k** keeps the $k$ most likely tokens. **top-p** adds up from the most likely until $p$ is reached and keeps those. What is kept is scaled to a sum of 1 again.
#
# $$p_i \propto e^{z_i/\tau}, \qquad \text{top-}p: \;\; \text{keep } i \iff \sum_{j:\,p_j > p_i} p_j < p$$

# %%
# model: sampling
def distribution(logits, temperature=1.0, top_k=None, top_p=None):
    logits = (logits - logits.max()) / temperature  # the largest stays 0
    p, order = logits.softmax(-1).sort(descending=True, stable=True)
    if top_k is not None:
        p[top_k:] = 0
        p = p / p.sum()
    if top_p is not None:
        before = p.cumsum(-1) - p  # what the likelier tokens hold
        p = p.masked_fill(before >= top_p, 0)
    return torch.zeros_like(p).scatter(-1, order, p / p.sum())


def sampler(generator, **shape):
    return lambda logits: int(torch.multinomial(
        distribution(logits, **shape), 1, generator=generator))

# %% [markdown] tags=["lang-ko"]
# 두 첫머리에 이어질 토큰으로 시험해 봅니다. 두 슬라이더로 온도와 남길 토큰을 바꿔 보십시오. 막대가 사라진 토큰은 이제 뽑힐 수 없습니다.
# %% [markdown] tags=["lang-en"]
# We try them on the next token after two beginnings. Change the temperature and what is kept with the two sliders. A token whose bar is gone can no longer be drawn.

# %% tags=["hide-input"]
questions = {"en": "The capital of France is", "ko": "대한민국의 수도는"}
rules = {"all": {}, "k 40": {"top_k": 40}, "k 5": {"top_k": 5},
         "p 0.95": {"top_p": 0.95}, "p 0.9": {"top_p": 0.9},
         "p 0.5": {"top_p": 0.5}}
heats = [0.25, 0.5, 0.7, 1, 1.5, 2]
after, labels, kept = {}, {}, {}
for name, question in questions.items():
    with torch.no_grad():
        logits = model(encode(question), last=True)[0, -1].cpu()
    best = logits.topk(10).indices
    pieces = tokenizer.convert_ids_to_tokens(best.tolist())
    labels[name] = [token_labels([piece])[0] for piece in pieces] + ["…"]
    for rule, shape in rules.items():
        for heat in heats:
            p = distribution(logits, heat, **shape)
            rest = max(0.0, 1 - p[best].sum().item())
            after[name, rule, heat] = [round(x, 4) for x in
                                       [*p[best].tolist(), rest]]
            kept[name, rule, heat] = int((p > 0).sum())

# %% tags=["hide-input"]
from plotly.subplots import make_subplots

figure = make_subplots(rows=2, subplot_titles=list(questions.values()),
                       vertical_spacing=0.2)
places = [(rule, name) for rule in rules for name in questions]
for rule, name in places:
    figure.add_bar(
        row=1 + list(questions).index(name), col=1, visible=rule == "all",
        x=list(range(11)), y=after[name, rule, 1], texttemplate="%{y:.0%}",
        textposition="outside", cliponaxis=False,
        marker_color=[COLOURS["attention"]] * 10 + [COLOURS["grey"]])
warm = [{"method": "restyle", "label": f"{heat:g}", "args": [
    {"y": [after[name, rule, heat] for rule, name in places]}]}
    for heat in heats]
keep = [{"method": "restyle", "label": rule, "args": [
    {"visible": [rule == other for other, _ in places]}]} for rule in rules]

# %% tags=["hide-input"]
for row, name in enumerate(questions, start=1):
    figure.update_xaxes(tickvals=list(range(11)), ticktext=labels[name],
                        tickangle=-50, showgrid=False, row=row)
    figure.update_yaxes(range=[0, 1.12], tickvals=[0, 0.5, 1],
                        tickformat=".0%", row=row)
figure.update_layout(
    height=700, showlegend=False, bargap=0.25,
    margin={"l": 46, "r": 10, "t": 40, "b": 200},
    sliders=[{"active": heats.index(1), "steps": warm, "y": -0.12,
              "pad": {"t": 10}, "currentvalue": {"prefix": "τ = "}},
             {"active": 0, "steps": keep, "y": -0.33,
              "pad": {"t": 10}, "currentvalue": {"prefix": "keep: "}}])
columns = [("all", heat) for heat in heats]
columns += [(rule, 1) for rule in rules if rule != "all"]
table = pd.DataFrame(
    [[after[name, rule, heat][i] for rule, heat in columns]
     for name in questions for i in range(11)],
    columns=[f"{rule}, τ = {heat:g}" for rule, heat in columns],
    index=[f"{name}: {x}" for name in questions for x in labels[name]])
show(figure, table=table)

# %% [markdown] tags=["lang-ko", "caption"]
# 다음 토큰의 확률. 위는 영어 첫머리, 아래는 한국어 첫머리이고, 회색 막대는 나머지 토큰을 모두 더한 것입니다. 위 슬라이더는 온도 $\tau$, 아래 슬라이더는 남길 토큰입니다. `<EC>`처럼 적힌 것은 글자가 되기 전의 바이트이며, 한글 음절은 `EA`부터 `ED`까지 가운데 하나로 시작합니다.
# <!-- alt: 막대그래프 두 개와 슬라이더 두 개. 영어에서는 막대 하나가 크게 앞서고, 한국어에서는 한글 음절을 시작하는 바이트 몇 개가 나누어 가진다. 온도를 올리면 회색 막대가 자라고, top-k나 top-p를 쓰면 회색 막대가 줄거나 사라진다. 값은 아래 표에 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Probabilities of the next token: above after the English beginning, below after the Korean one. The grey bar is all other tokens together. The upper slider is the temperature $\tau$, the lower one says which tokens to keep. Labels such as `<EC>` are bytes that are no character yet; Hangul syllables begin with one of `EA` to `ED`.
# <!-- alt: Two bar charts and two sliders. In English one bar is far ahead, in Korean a few bytes that begin Hangul syllables share the weight. A higher temperature makes the grey bar grow; top-k or top-p makes it shrink or vanish. The table below holds the values. -->

# %% tags=["hide-input"]
record(kept_k_en=kept["en", "k 40", 1], kept_k_ko=kept["ko", "k 40", 1],
       kept_p_en=kept["en", "p 0.9", 1], kept_p_ko=kept["ko", "p 0.9", 1],
       kept_hot_en=kept["en", "p 0.9", 2], kept_hot_ko=kept["ko", "p 0.9", 2])
counted = pd.DataFrame(
    {f"{rule}, τ = {heat:g}": [kept[name, rule, heat] for name in questions]
     for rule in ("all", "k 40", "p 0.9", "p 0.5") for heat in (1, 2)},
    index=list(questions.values())).T
counted.map("{:,}".format).rename_axis("tokens kept")

# %% [markdown] tags=["lang-ko"]
# top-k는 모델이 확신하든 망설이든 언제나 같은 수를 남깁니다. 영어에서 ⟨kept_k_en⟩개, 한국어에서 ⟨kept_k_ko⟩개입니다. $p = 0.9$인 top-p는 분포에 따라 달라집니다. 온도가 1이면 영어에서 ⟨kept_p_en⟩개, 한국어에서 ⟨kept_p_ko⟩개를 남기고, 온도를 2로 올리면 분포가 납작해져서 각각 ⟨kept_hot_en⟩개, ⟨kept_hot_ko⟩개나 남깁니다. 온도를 먼저 적용하고 그다음에 자르기 때문이며, `transformers`도 이 순서입니다.
# %% [markdown] tags=["lang-en"]
# Sure or unsure, top-k always keeps the same number: ⟨kept_k_en⟩ in English, ⟨kept_k_ko⟩ in Korean. top-p with $p = 0.9$ adapts. At temperature 1 it keeps ⟨kept_p_en⟩ tokens in English and ⟨kept_p_ko⟩ in Korean; at temperature 2 the distribution is flatter, and it keeps ⟨kept_hot_en⟩ and ⟨kept_hot_ko⟩. The temperature comes first and the cut after it, as in `transformers`.

# %% [markdown] tags=["lang-ko"]
# <!-- label: smollm2-chat -->
# ## 대화의 틀
#
# 이름 끝의 Instruct는 대화하는 법을 더 배웠다는 뜻입니다. 대화라고 해도 모델에게는 한 줄로 이어진 토큰일 뿐입니다. 누가 말하는지는 특수 토큰(special token)으로 적고, 마지막에 `assistant`의 차례를 열어 두면 모델이 그 말을 이어 씁니다. 이 약속을 대화 템플릿(chat template)이라고 합니다. 모델이 이 꼴로 대화를 배웠으므로 우리도 똑같이 적습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-chat -->
# ## The form of a conversation
#
# Instruct, at the end of the name, means that the model went on to learn conversation. To the model a conversation is one line of tokens like any other. Special tokens say who speaks; the turn of the `assistant` is left open at the end, and the model goes on from there. This convention is the chat template. The model learned conversation in this form, so we write it in the same way.

# %%
# model: chat
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


def chat(question):
    turns = (("system", SYSTEM), ("user", question))
    return "".join(f"<|im_start|>{who}\n{said}<|im_end|>\n"
                   for who, said in turns) + "<|im_start|>assistant\n"

# %%
asked = "What is the capital of Korea?"
known = tokenizer.apply_chat_template(
    [{"role": "user", "content": asked}], tokenize=False,
    add_generation_prompt=True)
pieces = token_labels(tokenizer.convert_ids_to_tokens(
    encode(chat(asked))[0].tolist()))
pd.DataFrame({"pieces": [" ".join(pieces)]}, index=["chat template"])

# %% tags=["remove-cell"]
record("chat_same", chat(asked) == known, text=str(chat(asked) == known))

# %% [markdown] tags=["lang-ko"]
# 우리가 쓴 틀과 토크나이저(tokenizer)에 딸린 틀이 같은 글을 내는지 견준 결과는 `⟨chat_same⟩`입니다. 이제 묻습니다. 대답은 `<|im_end|>`를 쓰면 끝납니다. 뽑을 때의 난수는 시드(seed)를 준 `torch.Generator`에서만 나오므로, 다시 실행해도 같은 대답이 나옵니다.
# %% [markdown] tags=["lang-en"]
# Do our form and the one that comes with the tokenizer give the same text? `⟨chat_same⟩`. Now we ask. An answer ends with `<|im_end|>`. All randomness comes from a `torch.Generator` with a seed, so that running this again gives the same answers.

# %%
stop = tokenizer.convert_tokens_to_ids("<|im_end|>")


def answer(question, pick=greedy):
    ids = encode(chat(question))[0].tolist()
    said = generate(model, ids, cfg.answer_tokens, pick, stop)[len(ids):]
    return tokenizer.decode(said, skip_special_tokens=True)


def drawn(seed):
    chance = torch.Generator().manual_seed(seed)
    return sampler(chance, temperature=1.0, top_p=0.9)

# %%
sea = "Write one sentence about the sea."
asks = [(asked, greedy, "greedy"), ("한국의 수도는 어디입니까?", greedy, "greedy"),
        (sea, drawn(0), "p 0.9"), (sea, drawn(1), "p 0.9")]
pd.DataFrame([[question, rule, answer(question, pick)]
              for question, pick, rule in asks],
             columns=["question", "choice", "answer"]).set_index("question")

# %% [markdown] tags=["lang-ko"]
# 대답은 길어도 ⟨n_answer⟩토큰에서 멈추게 했습니다. 어느 파일의 가중치인지에 따라 글이 다를 수 있습니다. 이 실행의 가중치는 “⟨model_ko⟩”입니다. 4비트로 줄였다가 되살린 가중치는 원래의 가중치와 조금 다르고, 가장 큰 로짓이 아슬아슬하게 갈리는 자리에서 다른 토큰을 고르면 그 뒤의 글이 모두 달라집니다. 우리 코드와 `transformers`는 같은 파일을 읽으므로 둘의 비교는 그대로 옳습니다.
# %% [markdown] tags=["lang-en"]
# Answers were cut at ⟨n_answer⟩ tokens. The text may differ with the file that the weights come from; in this run they are those of “⟨model_en⟩”. Weights that were reduced to 4 bits and restored are a little different from the original ones. Where two logits are nearly tied, another token may win, and from there the whole text is another. The comparison with `transformers` holds all the same: both read the same file.

# %% tags=["remove-input"]
record(model_ko=describe("smollm2", "ko"), model_en=describe("smollm2", "en"),
       n_answer=cfg.answer_tokens)

# %% [markdown] tags=["lang-ko"]
# <!-- label: smollm2-lines -->
# ## 몇 줄이었나
#
# 노트북은 실행한 셀을 `In`에 차례로 적어 둡니다. 거기서 `# model:`로 시작하는 셀만 골라, 빈 줄과 설명을 빼고 셉니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-lines -->
# ## How many lines was that
#
# A notebook keeps the cells it has run in `In`. From there we take those that begin with `# model:` and count, leaving out empty lines and comments.

# %%
from IPython import get_ipython

ours = {}
for cell in get_ipython().user_ns["In"]:
    mark, _, body = cell.partition("\n")
    if mark.startswith("# model: "):
        lines = (line.strip() for line in body.splitlines())
        ours[mark.removeprefix("# model: ")] = sum(
            not line.startswith("#") for line in lines if line)
pd.DataFrame({"lines": ours | {"total": sum(ours.values())}}
             ).rename_axis("cell")

# %% tags=["remove-cell"]
record(n_lines=sum(ours.values()), n_parts=len(ours))

# %% [markdown] tags=["lang-ko"]
# 셀 ⟨n_parts⟩개, ⟨n_lines⟩줄입니다. 이만큼으로 읽고 쓰고 대화합니다. 같은 부품에 모양 검사와 설명을 붙이고 GPT-2까지 아우른 것이 `lib/attention/decoder.py`에 있습니다.
# %% [markdown] tags=["lang-en"]
# ⟨n_parts⟩ cells, ⟨n_lines⟩ lines: enough to read, to write and to converse. The same parts, with shapes checked and explained and made to cover GPT-2 as well, are in `lib/attention/decoder.py`.

# %% [markdown] tags=["lang-ko"]
# <!-- label: smollm2-exercises -->
# ## 연습 문제
#
# 빈칸(`...`)을 채운 다음 바로 아래 셀을 실행하면 답이 맞는지 알 수 있습니다. 풀이는 접어 두었습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-exercises -->
# ## Exercises
#
# Fill in the gap (`...`) and run the next cell: it tells you whether the answer holds. Solutions are folded.

# %% [markdown] tags=["lang-ko"]
# <!-- label: smollm2-exercise-rmsnorm -->
# ### 1. RMSNorm (★, 8분)
#
# 벡터들 `x`(모양 `(…, d)`)와 배율 `g`(길이 `d`), 작은 수 `eps`를 받아 RMSNorm을 적용한 것을 돌려주는 함수를 쓰십시오. `F.rms_norm`은 쓰지 않습니다.
#
# > 힌트. 제곱의 평균은 마지막 축을 따라 구하고, `eps`는 제곱근 안에서 더합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-exercise-rmsnorm -->
# ### 1. RMSNorm (★, 8 minutes)
#
# Write a function that takes vectors `x` of shape `(…, d)`, a gain `g` of length `d` and a small number `eps`, and returns their RMSNorm. Do not use `F.rms_norm`.
#
# > Hint. The mean of the squares runs over the last axis, and `eps` is added inside the root.

# %% tags=["exercise"]
def my_rmsnorm(x, g, eps):
    ...

# %%
from lib.exercises.smollm2 import check_rmsnorm

check_rmsnorm(my_rmsnorm)

# %% tags=["solution", "hide-cell"]
def rmsnorm_solution(x, g, eps):
    size = (x * x).mean(dim=-1, keepdim=True)
    return g * x / (size + eps).sqrt()


check_rmsnorm(rmsnorm_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: smollm2-exercise-step -->
# ### 2. 캐시 다음의 자리 (★★, 12분)
#
# 캐시에 토큰이 `cached`개 있고 새 토큰이 `new`개 들어옵니다. 새 토큰들의 자리(길이 `new`인 정수 텐서)와 마스크(모양 `(new, cached + new)`, 보아도 되면 `True`)를 차례로 돌려주십시오.
#
# > 힌트. 캐시가 비어 있으면 0부터 세는 자리와 세모꼴 마스크가 나와야 합니다. 새 토큰이 하나뿐이면 마스크는 모두 `True`입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-exercise-step -->
# ### 2. The positions after a cache (★★, 12 minutes)
#
# A cache holds `cached` tokens and `new` ones come in. Return the positions of the new tokens (a tensor of `new` whole numbers) and the mask of shape `(new, cached + new)`, `True` where a token may look.
#
# > Hint. With an empty cache, positions count from 0 and the mask is a triangle. With one new token the mask is `True` throughout.

# %% tags=["exercise"]
def my_step(cached, new):
    ...

# %%
from lib.exercises.smollm2 import check_step

check_step(my_step)

# %% tags=["solution", "hide-cell"]
def step_solution(cached, new):
    places = torch.arange(cached + new)
    t = places[cached:]
    return t, places <= t[:, None]


check_step(step_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: smollm2-exercise-top-p -->
# ### 3. top-p (★★, 12분)
#
# 로짓 한 줄 `logits`와 `p`를 받아, 확률이 큰 것부터 더해 `p`에 처음 이르는 데까지만 남긴 분포를 돌려주십시오. 남은 확률의 합은 1이고, 토큰의 차례는 받은 그대로여야 합니다.
#
# > 힌트. 정렬하기 전에 어느 자리에 있었는지 기억해 두십시오. 합이 `p`에 이르게 한 바로 그 토큰도 남습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-exercise-top-p -->
# ### 3. top-p (★★, 12 minutes)
#
# Given one row of `logits` and `p`, return the distribution that keeps the most likely tokens, added up from the top until the sum first reaches `p`. What is kept sums to 1, and the tokens stay in the order in which they came.
#
# > Hint. Remember where each token stood before sorting. The very token that makes the sum reach `p` stays.

# %% tags=["exercise"]
def my_top_p(logits, p):
    ...

# %%
from lib.exercises.smollm2 import check_top_p

check_top_p(my_top_p)

# %% tags=["solution", "hide-cell"]
def top_p_solution(logits, p):
    share, order = logits.softmax(-1).sort(descending=True)
    above = share.cumsum(-1) - share
    share = share.masked_fill(above >= p, 0)
    return torch.zeros_like(share).scatter(-1, order, share / share.sum())


check_top_p(top_p_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: smollm2-exercise-cache -->
# ### 4. 캐시에 담기는 글 (★★, 8분)
#
# 메모리가 `budget`바이트 있습니다. 층의 수, 쿼리 헤드의 수, 키·값 헤드의 수, 헤드의 차원, 수 하나의 바이트를 받아, KV 캐시에 토큰을 몇 개까지 담을 수 있는지 정수로 돌려주십시오.
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-exercise-cache -->
# ### 4. How much text a cache holds (★★, 8 minutes)
#
# There are `budget` bytes of memory. Given the number of layers, of query heads and of key/value heads, the dimension of a head and the bytes of a number, return as a whole number how many tokens the KV cache can hold.

# %% tags=["exercise"]
def my_capacity(budget, n_layers, n_heads, n_kv_heads, d_head, number):
    ...

# %%
from lib.exercises.smollm2 import check_capacity

check_capacity(my_capacity)

# %% tags=["solution", "hide-cell"]
def capacity_solution(budget, n_layers, n_heads, n_kv_heads, d_head, number):
    return budget // (2 * n_layers * n_kv_heads * d_head * number)


check_capacity(capacity_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: smollm2-measured -->
# ## 무엇을 무엇으로 쟀는가
#
# | 잰 것 | 결과 |
# |---|---|
# | 우리 코드 | ⟨n_lines⟩줄 |
# | 로짓의 최대 차이, `eager` | 한국어 ⟨gap_eager_ko⟩, 영어 ⟨gap_eager_en⟩ |
# | 로짓의 최대 차이, `sdpa` | 한국어 ⟨gap_sdpa_ko⟩, 영어 ⟨gap_sdpa_en⟩ |
# | float64와의 차이, float32로 계산한 세 가지 | ⟨single_low⟩에서 ⟨single_high⟩까지 |
# | `transformers`와 같은 토큰, ⟨n_same⟩개 가운데 | 한국어 ⟨same_ko⟩, 영어 ⟨same_en⟩ |
# | 캐시 없이와 같은 토큰, 영어 ⟨n_new⟩개 가운데 | ⟨uncached_en⟩ |
# | 캐시로 빨라진 배수, 토큰 ⟨n_new⟩개를 쓰는 동안 | ⟨speed_up⟩ |
# | 토큰 하나, 디코드와 프리필 | ⟨decode_ms⟩밀리초, ⟨prefill_ms⟩밀리초 |
# | 캐시, 토큰 하나에 | ⟨cache_token⟩바이트 |
#
# 시간은 이 컴퓨터의, 그때의 값입니다. 짝은 길이마다 이어서 쟀고 모두 ⟨n_pairs⟩쌍이며, 그 가운데 ⟨n_agreed⟩쌍에서 두 방법이 같은 토큰을 골랐습니다. 글 전체를 두 방법으로 끝까지 쓰며 재는 일은 `benchmarks/kv_cache.py`가 합니다. 가중치는 아래 표에 적힌 파일에서 float32로 읽은 것입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: smollm2-measured -->
# ## What was measured, and on what
#
# | measured | result |
# |---|---|
# | Our own code | ⟨n_lines⟩ lines |
# | Largest difference of logits, `eager` | Korean ⟨gap_eager_ko⟩, English ⟨gap_eager_en⟩ |
# | Largest difference of logits, `sdpa` | Korean ⟨gap_sdpa_ko⟩, English ⟨gap_sdpa_en⟩ |
# | Difference from float64, three ways in float32 | ⟨single_low⟩ to ⟨single_high⟩ |
# | Tokens equal to those of `transformers`, of ⟨n_same⟩ | Korean ⟨same_ko⟩, English ⟨same_en⟩ |
# | Tokens equal without the cache, of ⟨n_new⟩ in English | ⟨uncached_en⟩ |
# | Times as fast with the cache, writing ⟨n_new⟩ tokens | ⟨speed_up⟩ |
# | One token, decode and prefill | ⟨decode_ms⟩ and ⟨prefill_ms⟩ milliseconds |
# | Cache, for one token | ⟨cache_token⟩ bytes |
#
# Times are those of this computer at that moment. Pairs were timed back to back at each length, ⟨n_pairs⟩ in all; in ⟨n_agreed⟩ of them both ways chose the same token. Writing the whole text both ways to the end is what `benchmarks/kv_cache.py` measures. The weights come from the file that the table names, read as float32.

# %% tags=["remove-input"]
import transformers

versions = f"{torch.__version__}, {transformers.__version__}"
pd.DataFrame([
    ["모델 | Model",
     f"{describe('smollm2', 'ko')} | {describe('smollm2', 'en')}"],
    ["매개변수 | Parameters", f"{total:,} (float32)"],
    ["한국어 첫머리 | Korean beginning", prompt_ko],
    ["영어 첫머리 | English beginning", prompt_en],
    ["장치, 스레드 | Device, threads",
     f"{cfg.device}, {torch.get_num_threads()}"],
    ["torch, transformers", versions],
    ["프로필 | Profile", cfg.profile],
], columns=["재료 | made with", "이 실행 | this run"]).set_index(
    "재료 | made with")
