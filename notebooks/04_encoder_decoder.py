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
# <!-- label: encoder-decoder -->
# # 인코더와 디코더: 논문 한 편을 열한 줄로
#
# 「Attention Is All You Need」의 트랜스포머(Transformer)를 부품부터 하나씩 만들어 끝까지 조립합니다. 부품마다 식을 적고, 그 식을 코드로 옮기고, 파이토치에 든 같은 부품과 값을 맞추어 봅니다. 다 만들고 나면 모델의 계산 전체가 파이썬 열한 줄에 들어갑니다.
#
# - **할 수 있게 되는 것.** 인코더(encoder)와 디코더(decoder)의 모든 텐서가 어떤 모양인지 말하고, 마스크(mask) 세 가지를 만들고, 매개변수(parameter)와 연산량을 손으로 세고, 왜 학습은 한 번에 되고 쓰기는 한 토큰(token)씩 하는지 재어 보일 수 있습니다.
# - **걸리는 시간.** 읽기 45분, 연습 문제 55분.
# - **필요한 것.** [QKV 추적](02_qkv_tracing.ipynb)의 어텐션(attention)과 [위치 인코딩](#vectors-sinusoidal)(positional encoding), 파이토치 조금.
#
# 모델은 논문의 base 크기이고, 학습하지 않은 난수로 채웁니다. 이 장에서 확인하는 것은 모두 학습하기 전부터 성립하는 것입니다. 학습은 다음 장의 일입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: encoder-decoder -->
# # Encoder and decoder: a paper in eleven lines
#
# We make the parts of the Transformer of “Attention Is All You Need”, one by one, and put them together. For each part we write down the formula, turn it into code, and compare its values with those of the same part in PyTorch. At the end, all that the model computes fits into eleven lines of Python.
#
# - **You will be able to** say the shape of every tensor in encoder and decoder; make the three masks; count parameters and operations by hand; show by measuring why training takes one pass and writing takes one token at a time.
# - **Time.** 45 minutes to read, 55 for the exercises.
# - **You need** the attention of [QKV tracing](02_qkv_tracing.ipynb), [positional encoding](#vectors-sinusoidal), a little PyTorch.
#
# The model has the base size of the paper and is filled with random numbers, not trained. All that this chapter checks holds before training. Training is the work of the next chapter.

# %% tags=["parameters"]
profile: str = None  # smoke, book or gpu; None follows BOOK_PROFILE, else book
vocab: int = None  # pieces of the vocabulary; None: the profile (book: 37,000)
d_model = 512  # width (base: 512)
n_heads = 8  # heads of every attention (base: 8)
n_layers: int = None  # of encoder and of decoder; None: the profile (book: 6)
d_ff = 2048  # inner width of the feed-forward (base: 2048)
depths: list[int] = None  # stacks whose gradients are measured
seeds: int = None  # random starts of each stack; None: the profile
written: int = None  # 1 to 32: tokens that count work; None: profile
device = "cpu"  # cpu, cuda or auto; float64 needs cpu or cuda

# %% tags=["hide-input"]
import math

import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

# %% tags=["hide-input"]
from lib.attention.cache import KVCache
from lib.attention.dot_product import MultiHeadAttention
from lib.attention.layers import (
    DecoderLayer,
    EncoderLayer,
    FeedForward,
    layer_norm,
    sinusoidal_positions,
)
from lib.attention.masks import causal_mask, padding_mask
from lib.attention.transformer import Transformer, TransformerConfig
from lib.page.figures import COLOURS, show, use_style
from lib.page.profile import expect, settings
from lib.page.record import record
from lib.trace.recorder import trace

# %% tags=["hide-input"]
use_style()
quick = {"vocab": 1_000, "n_layers": 2, "depths": [2, 8], "seeds": 1,
         "written": 4}
full = {"vocab": 37_000, "n_layers": 6, "depths": [2, 4, 8, 16, 32],
        "seeds": 4, "written": 32}
large = full | {"depths": [2, 4, 8, 16, 32, 64], "seeds": 20}
given = {"vocab": vocab, "n_layers": n_layers, "depths": depths,
         "seeds": seeds, "written": written}
expect(int, d_model=d_model, n_heads=n_heads, d_ff=d_ff)
cfg = settings(profile, smoke=quick, book=full, gpu=large, given=given,
               device=device)

# %% [markdown] tags=["lang-ko"]
# <!-- label: encdec-map -->
# ## 한눈에: 줄기 둘과 다리 하나
#
# 인코더는 원문을 읽어 **기억**(memory)으로 바꾸고, 디코더는 그 기억을 보면서 번역문을 한 토큰씩 씁니다. 두 쪽 모두 같은 폭 $d$의 벡터가 아래에서 위로 흐르는 줄기이고, 둘을 잇는 다리는 크로스 어텐션(cross-attention) 하나입니다. 먼저 모델을 한 번 돌려 모든 텐서를 받아 적습니다. 원문은 7토큰과 5토큰, 번역문은 5토큰과 4토큰이고, 짧은 쪽의 빈자리는 0번 토큰인 패딩(padding)으로 채웁니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: encdec-map -->
# ## At a glance: two streams and one bridge
#
# The encoder reads the source and turns it into a **memory**; the decoder looks at that memory and writes the target, token by token. On both sides vectors of the same width $d$ flow from bottom to top, and one bridge joins the two: cross-attention. First we run the model once and write down every tensor. The sources have 7 and 5 tokens, the targets 5 and 4; the shorter ones are filled up with padding, token 0.

# %%
torch.manual_seed(0)
vocab, n_layers = cfg.vocab, cfg.n_layers
config = TransformerConfig(
    vocab=vocab, d_model=d_model, n_heads=n_heads, n_layers=n_layers,
    d_ff=d_ff, max_length=128, dropout=0.0)
model = Transformer(config).to(cfg.device).eval()

source = torch.randint(3, vocab, (2, 7), device=cfg.device)
target = torch.randint(3, vocab, (2, 5), device=cfg.device)
target[:, 0] = config.bos
source[1, 5:] = target[1, 4:] = config.pad

with torch.no_grad(), trace(model) as traced:
    logits = model(source, target)

# %% tags=["remove-cell"]
record(n_recorded=len(traced), n_layers=n_layers, d_model=d_model,
       n_heads=n_heads, d_ff=d_ff, vocab=vocab)

# %% tags=["hide-input"]
first, deep = "encoder.blocks.0.", "decoder.blocks.0."
BOXES = {
    "encoder": ["source", "embedding", "self-attention", "add & norm",
                "feed-forward", "add & norm", "memory"],
    "decoder": ["target", "embedding", "masked self-attention",
                "add & norm", "cross-attention", "add & norm",
                "feed-forward", "add & norm", "logits"]}
STAGES = [
    ("encoder", 0, "token ids", source),
    ("encoder", 1, "√d · E[source] + P", traced[f"{first}resid_pre"]),
    ("encoder", 2, "Q, K, V, each", traced[f"{first}attn.q"]),
    ("encoder", 2, "A = softmax(QKᵀ/√d)", traced[f"{first}attn.pattern"]),
    ("encoder", 2, "Z = AV", traced[f"{first}attn.z"]),
    ("encoder", 2, "heads joined, · W_O", traced[f"{first}attn_out"]),
    ("encoder", 3, "LN(x + attention)", traced[f"{first}ln1"]),
    ("encoder", 4, "max(0, x W₁ + b₁)", traced[f"{first}mlp.post"]),
    ("encoder", 4, "· W₂ + b₂", traced[f"{first}mlp_out"]),
    ("encoder", 5, "LN(x + feed-forward)", traced[f"{first}ln2"])]

# %% tags=["hide-input"]
last = f"encoder.blocks.{n_layers - 1}.ln2"
STAGES += [
    ("encoder", 6, f"after {n_layers} layers", traced[last]),
    ("decoder", 0, "token ids", target),
    ("decoder", 1, "√d · E[target] + P", traced[f"{deep}resid_pre"]),
    ("decoder", 2, "Q, K, V, each", traced[f"{deep}attn.q"]),
    ("decoder", 2, "A, lower triangle", traced[f"{deep}attn.pattern"]),
    ("decoder", 3, "LN(y + attention)", traced[f"{deep}ln1"]),
    ("decoder", 4, "Q from the target", traced[f"{deep}cross.q"]),
    ("decoder", 4, "K, V from the memory", traced[f"{deep}cross.k"]),
    ("decoder", 4, "A = softmax(QKᵀ/√d)", traced[f"{deep}cross.pattern"]),
    ("decoder", 4, "heads joined, · W_O", traced[f"{deep}cross_out"]),
    ("decoder", 5, "LN(y + cross-attention)", traced[f"{deep}ln_cross"]),
    ("decoder", 6, "max(0, y W₁ + b₁)", traced[f"{deep}mlp.post"]),
    ("decoder", 7, "LN(y + feed-forward)", traced[f"{deep}ln2"]),
    ("decoder", 8, f"y Eᵀ after {n_layers} layers", logits)]

# %% tags=["hide-input"]
import plotly.graph_objects as go

left = {"encoder": 0.0, "decoder": 1.2}


def corners(stack, level):
    x, y = left[stack], level
    return ([x, x + 1, x + 1, x, x],
            [y - 0.34, y - 0.34, y + 0.34, y + 0.34, y - 0.34])


def headline(stage):
    *_, what, tensor = stage
    shape = ", ".join(map(str, tensor.shape))
    return f"{what}<br>({shape})"

# %% tags=["hide-input"]
boxes, words = [], []
for stack, names in BOXES.items():
    for level, name in enumerate(names):
        (x0, x1, *_), (y0, _, y1, *_) = corners(stack, level)
        boxes.append({"type": "rect", "x0": x0, "x1": x1, "y0": y0,
                      "y1": y1, "line": {"color": COLOURS["grey"],
                                         "width": 1}})
        words.append({"x": x0 + 0.5, "y": level, "text": name,
                      "showarrow": False, "font": {"size": 12}})
arrows = [(0.5, i + 0.34, 0.5, i + 0.66) for i in range(6)]
arrows += [(1.7, i + 0.34, 1.7, i + 0.66) for i in range(8)]
arrows += [(1.0, 6, 1.2, 4.15)]
for ax, ay, x, y in arrows:
    words.append({"x": x, "y": y, "ax": ax, "ay": ay, "axref": "x",
                  "ayref": "y", "text": "", "showarrow": True,
                  "arrowhead": 2, "arrowwidth": 1.2,
                  "arrowcolor": COLOURS["grey"]})

# %% tags=["hide-input"]
steps = [{"method": "update", "label": str(i + 1), "args": [
    dict(zip("xy", ([side] for side in corners(*stage[:2])), strict=True)),
    {"title.text": headline(stage)}]} for i, stage in enumerate(STAGES)]
x, y = corners(*STAGES[0][:2])
figure = go.Figure(go.Scatter(
    x=x, y=y, fill="toself", mode="lines", hoverinfo="skip",
    fillcolor="rgba(65,105,225,0.3)",
    line={"color": COLOURS["attention"], "width": 2}))
figure.update_layout(
    title={"text": headline(STAGES[0]), "x": 0.03}, height=600,
    shapes=boxes, annotations=words, showlegend=False, hovermode=False,
    margin={"l": 10, "r": 10, "t": 76, "b": 20},
    xaxis={"range": [-0.05, 2.25], "visible": False},
    yaxis={"range": [-0.5, 8.5], "visible": False},
    sliders=[{"active": 0, "steps": steps, "pad": {"t": 8},
              "currentvalue": {"visible": False}}])
show(figure, table=pd.DataFrame(
    [[s, BOXES[s][i], what, " × ".join(map(str, t.shape))]
     for s, i, what, t in STAGES],
    columns=["stack", "part", "value", "shape"]).set_index("stack"))

# %% [markdown] tags=["lang-ko", "caption"]
# 슬라이더를 움직이면 텐서가 지나는 자리가 밝아지고 위에 식과 모양이 나옵니다. 모양은 (문장 수, 토큰 수, 폭)이고, 헤드(head)로 나누면 (문장 수, 헤드 수, 토큰 수, 헤드의 폭), 가중치는 (문장 수, 헤드 수, 쿼리(query) 수, 키(key) 수)입니다. 인코더의 네 칸과 디코더의 여섯 칸은 층마다 되풀이됩니다.
# <!-- alt: 상자로 된 그림. 왼쪽 줄은 인코더로 아래에서 위로 원문, 임베딩, 셀프 어텐션, 더하고 정규화, 피드포워드, 더하고 정규화, 기억이 있다. 오른쪽 줄은 디코더로 번역문, 임베딩, 가려진 셀프 어텐션, 더하고 정규화, 크로스 어텐션, 더하고 정규화, 피드포워드, 더하고 정규화, 로짓이 있다. 기억에서 크로스 어텐션으로 화살표가 간다. 표에 단계마다의 모양이 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# The slider lights up the place that a tensor passes and shows its formula and shape. A shape is (sentences, tokens, width); cut into heads it is (sentences, heads, tokens, width of a head), and weights are (sentences, heads, queries, keys). Four boxes of the encoder and six of the decoder repeat in every layer.
# <!-- alt: A drawing of boxes. The left column is the encoder: from bottom to top source, embedding, self-attention, add and norm, feed-forward, add and norm, memory. The right column is the decoder: target, embedding, masked self-attention, add and norm, cross-attention, add and norm, feed-forward, add and norm, logits. An arrow leads from the memory to cross-attention. The table holds the shape at every stage. -->

# %% [markdown] tags=["lang-ko"]
# 움직여 보면 두 가지가 눈에 들어옵니다. 로짓(logit)에 이르기 전까지, 상자에서 나오는 값은 늘 폭이 $d$입니다. 그래서 상자를 몇 층이든 쌓을 수 있습니다. 그리고 두 문장의 길이가 만나는 곳은 크로스 어텐션의 가중치 하나뿐입니다. 쿼리는 번역문에서, 키와 값은 기억에서 옵니다.
#
# 이제 상자를 하나씩 엽니다. 어텐션은 2장에서 열어 보았으므로 `MultiHeadAttention`을 그대로 씁니다.
# %% [markdown] tags=["lang-en"]
# Two things stand out. Up to the logits, what leaves a box is always of width $d$, which is why boxes can be stacked to any height. And the two lengths meet in one place only, in the weights of cross-attention: queries come from the target, keys and values from the memory.
#
# Now we open the boxes. Attention was opened in chapter 2, so we use `MultiHeadAttention` as it is.

# %% [markdown] tags=["lang-ko"]
# <!-- label: encdec-norm -->
# ## 크기 맞추기: 층 정규화
#
# 층 정규화(layer normalization)는 토큰마다 따로, 벡터 하나의 평균을 0으로, 분산을 1로 맞춘 다음 학습하는 배율 $g$를 곱하고 $b$를 더합니다.
#
# $$\operatorname{LN}(x) = \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} \odot g + b, \qquad \mu = \frac{1}{d}\sum_{i=1}^{d} x_i, \qquad \sigma^2 = \frac{1}{d}\sum_{i=1}^{d} (x_i - \mu)^2$$
#
# 분산은 $d - 1$이 아니라 $d$로 나눈 것입니다. 식을 그대로 옮긴 `lib.attention.layers.layer_norm`을 `nn.LayerNorm`과 견주고, $d - 1$로 나누면 얼마나 달라지는지도 잽니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: encdec-norm -->
# ## Bring to one size: layer normalization
#
# Layer normalization takes each token on its own, brings the mean of its vector to 0 and the variance to 1, then multiplies by a learned gain $g$ and adds $b$.
#
# $$\operatorname{LN}(x) = \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} \odot g + b, \qquad \mu = \frac{1}{d}\sum_{i=1}^{d} x_i, \qquad \sigma^2 = \frac{1}{d}\sum_{i=1}^{d} (x_i - \mu)^2$$
#
# The variance divides by $d$, not by $d - 1$. We compare `lib.attention.layers.layer_norm`, the formula as it stands, with `nn.LayerNorm`, and measure what dividing by $d - 1$ would change.

# %%
def norm_gaps(dtype):
    seed = torch.Generator().manual_seed(0)
    x = 3 * torch.randn(50, d_model, generator=seed, dtype=dtype) + 1
    g, b = torch.randn(2, d_model, generator=seed, dtype=dtype)
    theirs = F.layer_norm(x, (d_model,), g, b)
    ours = layer_norm(x, g, b)
    wrong = (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True) * g + b
    return [(y - theirs).abs().max().item() for y in (ours, wrong)]


gaps = {str(t).split(".")[1]: norm_gaps(t)
        for t in (torch.float32, torch.float64)}
pd.DataFrame(gaps, index=["the formula", "by d − 1"]).map("{:.1e}".format)

# %% tags=["remove-cell"]
record(norm_gap_32=gaps["float32"][0], norm_gap_64=gaps["float64"][0],
       norm_wrong_64=gaps["float64"][1])

# %% [markdown] tags=["lang-ko"]
# 식과의 차이는 float32에서 ⟨norm_gap_32⟩, float64에서 ⟨norm_gap_64⟩입니다. 정밀도를 높이자 함께 줄었으니 반올림입니다. $d - 1$로 나눈 쪽은 float64에서도 ⟨norm_wrong_64⟩만큼 다릅니다. 이것은 계산이 다른 것입니다.
# %% [markdown] tags=["lang-en"]
# The formula differs by ⟨norm_gap_32⟩ in float32 and ⟨norm_gap_64⟩ in float64. It shrinks along with the precision, so it is rounding. Dividing by $d - 1$ differs by ⟨norm_wrong_64⟩ even in float64. That is another computation.

# %% [markdown] tags=["lang-ko"]
# <!-- label: encdec-feed-forward -->
# ## 자리마다 따로: 피드포워드
#
# 피드포워드 신경망(feed-forward network)은 벡터를 네 배 폭으로 넓혔다가 음수를 0으로 자르고 다시 좁힙니다(논문의 식 2).
#
# $$\operatorname{FF}(x) = \max(0,\; x W_1 + b_1)\, W_2 + b_2, \qquad W_1 \in \mathbb{R}^{d \times d_{ff}}, \quad W_2 \in \mathbb{R}^{d_{ff} \times d}$$
#
# 토큰끼리 정보를 주고받는 것은 어텐션뿐입니다. 피드포워드는 모든 자리에 같은 계산을 따로 합니다. 문장을 통째로 넣은 것과 토큰을 하나씩 넣은 것이 같은지 봅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: encdec-feed-forward -->
# ## Each place on its own: feed-forward
#
# The feed-forward network widens a vector to four times its width, cuts negative numbers to 0 and narrows it again (equation 2 of the paper).
#
# $$\operatorname{FF}(x) = \max(0,\; x W_1 + b_1)\, W_2 + b_2, \qquad W_1 \in \mathbb{R}^{d \times d_{ff}}, \quad W_2 \in \mathbb{R}^{d_{ff} \times d}$$
#
# Only attention passes information between tokens. Feed-forward does the same thing at every place, each on its own. We check that a sentence at once and its tokens one by one give the same.

# %%
@torch.no_grad()
def feed_forward_gaps(dtype):
    torch.manual_seed(0)
    part = FeedForward(d_model, d_ff).to(dtype)
    x = torch.randn(1, 7, d_model, dtype=dtype)
    W1, b1, W2, b2 = (p for p in part.parameters())
    formula = (x @ W1.T + b1).clamp(min=0) @ W2.T + b2
    one_by_one = torch.cat([part(x[:, t:t + 1]) for t in range(7)], dim=1)
    return [(y - part(x)).abs().max().item() for y in (formula, one_by_one)]


gaps = {str(t).split(".")[1]: feed_forward_gaps(t)
        for t in (torch.float32, torch.float64)}
pd.DataFrame(gaps, index=["the formula", "one by one"]).map("{:.1e}".format)

# %% tags=["remove-cell"]
record(ff_gap_32=gaps["float32"][0], ff_alone_32=gaps["float32"][1],
       ff_alone_64=gaps["float64"][1])

# %% [markdown] tags=["lang-ko"]
# 한 토큰씩 넣은 것과의 차이는 float32에서 ⟨ff_alone_32⟩, float64에서 ⟨ff_alone_64⟩입니다. 함께 줄었으니 반올림이고, 피드포워드는 옆의 토큰을 보지 않습니다.
# %% [markdown] tags=["lang-en"]
# Tokens one by one differ by ⟨ff_alone_32⟩ in float32 and ⟨ff_alone_64⟩ in float64. It shrinks along, so it is rounding: feed-forward does not look at the tokens beside.

# %% [markdown] tags=["lang-ko"]
# <!-- label: encdec-residual -->
# ## 더하고 정규화하기, 그 순서
#
# 부분마다 입력을 출력에 더합니다. 이것이 잔차 연결(residual connection)이고, 더해 가며 흐르는 값이 잔차 스트림(residual stream)입니다. 논문은 더한 **뒤에** 정규화합니다. 요즘 모델은 대부분 부분에 넣기 **전에** 정규화합니다.
#
# $$\text{post:}\quad x \leftarrow \operatorname{LN}\big(x + f(x)\big), \qquad\qquad \text{pre:}\quad x \leftarrow x + f\big(\operatorname{LN}(x)\big)$$
#
# 순서 하나가 무엇을 바꾸는지, 학습을 시작하기 전의 난수 모델에서 잽니다. 폭이 64인 인코더 층을 쌓고, 아무렇게나 정한 정답으로 손실(loss)을 구해 기울기(gradient)를 되돌려 보냅니다. 층마다 스트림의 크기(제곱평균제곱근)와 피드포워드의 $W_2$가 받은 기울기의 길이를 적습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: encdec-residual -->
# ## Add and normalise, and in which order
#
# Each part adds its input to its output. That is the residual connection, and what flows along, added to at every step, is the residual stream. The paper normalises **after** adding. Most models of today normalise **before** the part.
#
# $$\text{post:}\quad x \leftarrow \operatorname{LN}\big(x + f(x)\big), \qquad\qquad \text{pre:}\quad x \leftarrow x + f\big(\operatorname{LN}(x)\big)$$
#
# What this order changes we measure on random models, before any training. We stack encoder layers of width 64, compute a loss against answers drawn at random and send the gradient back. For each layer we write down the size of the stream (root mean square) and the length of the gradient that $W_2$ of its feed-forward receives.

# %%
def at_start(depth, norm_first, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = nn.ModuleList(EncoderLayer(64, 4, 256, norm_first=norm_first)
                               for _ in range(depth))
        for p in layers.parameters():
            if p.dim() > 1:
                nn.init.xavier_uniform_(p)
        E = torch.randn(50, 64) / 8
        ids, answers = torch.randint(50, (2, 4, 24))
    x, sizes = 8 * E[ids] + sinusoidal_positions(24, 64), []
    for layer in layers:
        x = layer(x)
        sizes.append(x.detach().pow(2).mean().sqrt().item())
    x = F.layer_norm(x, (64,)) if norm_first else x
    F.cross_entropy((x @ E.T).flatten(0, 1), answers.flatten()).backward()
    weights = [layer.feed_forward.down.weight for layer in layers]
    return sizes, [w.grad.norm().item() for w in weights]

# %%
starts = pd.DataFrame([
    {"order": name, "depth": depth, "layer": layer + 1,
     "size": size, "gradient": gradient}
    for name, norm_first in (("post", False), ("pre", True))
    for depth in cfg.depths for seed in range(cfg.seeds)
    for layer, (size, gradient) in enumerate(
        zip(*at_start(depth, norm_first, seed), strict=True))
]).groupby(["order", "depth", "layer"]).mean().reset_index()
deepest = starts[starts["depth"] == max(cfg.depths)]
final = starts[starts["layer"] == starts["depth"]]

# %% tags=["hide-input"]
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.7))
panels = [("size of the stream", deepest, "layer", "size"),
          ("gradient, layer by layer", deepest, "layer", "gradient"),
          ("gradient of the last layer", final, "depth", "gradient")]
for axis, (title, part, across, up) in zip(axes, panels, strict=True):
    for name, colour in (("post", "gravity"), ("pre", "attention")):
        one = part[part["order"] == name]
        axis.plot(one[across], one[up], color=COLOURS[colour], label=name,
                  marker="o" if across == "depth" else None, ms=4)
    axis.set(title=title, xlabel=across, ylim=(0, None))
    axis.title.set_fontsize(9)
axes[2].set_xscale("log", base=2)
axes[0].legend()
table = deepest.pivot(index="layer", columns="order",
                      values=["size", "gradient"])
table.columns = [", ".join(pair) for pair in table.columns]
show(figure, table=table)

# %% [markdown] tags=["lang-ko", "caption"]
# 왼쪽과 가운데: 가장 깊은 모델의 층마다 스트림의 크기와 $W_2$가 받은 기울기. 오른쪽: 깊이를 바꾸었을 때 마지막 층의 기울기. 주황이 논문의 순서(post), 파랑이 먼저 정규화하는 순서(pre)입니다.
# <!-- alt: 선 그래프 세 개. 스트림의 크기는 post에서 모든 층이 1이고 pre에서는 깊어질수록 제곱근처럼 커진다. 기울기는 post에서 층마다 들쭉날쭉하지만 비슷하고 pre에서는 뒤로 갈수록 작아진다. 마지막 층의 기울기는 깊이가 늘어날 때 post에서는 줄지 않고 pre에서는 줄어든다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Left and middle: layer by layer in the deepest model, the size of the stream and the gradient that $W_2$ receives. Right: the gradient of the last layer as the depth changes. Orange is the paper's order (post), blue normalises first (pre).
# <!-- alt: Three line plots. The size of the stream is 1 in every layer with post and grows like a square root with pre. The gradient goes up and down around one height with post and falls towards later layers with pre. As the model gets deeper, the gradient of the last layer does not shrink with post and does with pre. -->

# %% tags=["remove-input"]
def value(part, order, column, first):
    one = part[part["order"] == order][column]
    return (one.iloc[0] if first else one.iloc[-1]).item()


record(deepest=max(cfg.depths), shallowest=min(cfg.depths),
       n_seeds=cfg.seeds, size_post=value(deepest, "post", "size", False),
       size_pre_first=value(deepest, "pre", "size", True),
       size_pre=value(deepest, "pre", "size", False),
       ratio_post=value(deepest, "post", "gradient", False)
       / value(deepest, "post", "gradient", True),
       ratio_pre=value(deepest, "pre", "gradient", False)
       / value(deepest, "pre", "gradient", True),
       last_post_shallow=value(final, "post", "gradient", True),
       last_post_deep=value(final, "post", "gradient", False),
       last_pre_shallow=value(final, "pre", "gradient", True),
       last_pre_deep=value(final, "pre", "gradient", False),
       pre_fall=value(final, "pre", "gradient", True)
       / value(final, "pre", "gradient", False),
       pre_root=(max(cfg.depths) / min(cfg.depths)) ** 0.5)

# %% [markdown] tags=["lang-ko"]
# - **크기.** post에서는 마지막에 정규화하므로 층을 아무리 쌓아도 ⟨size_post⟩입니다. pre에서는 아무도 스트림을 줄이지 않아, ⟨deepest⟩층을 지나며 ⟨size_pre_first⟩에서 ⟨size_pre⟩까지 자랍니다. 그래서 pre 모델은 맨 끝에 정규화를 한 번 더 둡니다.
# - **층에 따른 기울기.** 마지막 층의 기울기를 첫 층의 기울기로 나누면 post에서 ⟨ratio_post⟩, pre에서 ⟨ratio_pre⟩입니다. post에서는 들쭉날쭉해도 층마다 비슷하고, pre에서는 뒤로 갈수록 작아집니다.
# - **깊이에 따른 기울기.** 깊이를 ⟨shallowest⟩층에서 ⟨deepest⟩층으로 늘리면 마지막 층의 기울기가 post에서는 ⟨last_post_shallow⟩에서 ⟨last_post_deep⟩까지, pre에서는 ⟨last_pre_shallow⟩에서 ⟨last_pre_deep⟩까지 바뀝니다. pre에서 두 값의 비는 ⟨pre_fall⟩입니다. 기울기가 깊이의 제곱근에 반비례한다면 ⟨pre_root⟩입니다.
#
# pre의 기울기가 깊이의 제곱근에 반비례하고 post의 기울기가 깊이와 상관없다는 것은 [Xiong 외 2020](#references-attention)이 이론으로 보인 것과 같습니다. 그들은 여기서 한 걸음 더 나아가, post 모델은 처음에 출력 가까이의 기울기가 크기 때문에 학습률(learning rate)을 천천히 올리는 웜업(warm-up)이 필요하다고 설명합니다. 웜업의 효과는 이 장에서 재지 않았습니다.
# %% [markdown] tags=["lang-en"]
# - **Size.** With post every layer ends in a normalisation, so the size is ⟨size_post⟩ however many are stacked. With pre nothing makes the stream smaller, and over ⟨deepest⟩ layers it grows from ⟨size_pre_first⟩ to ⟨size_pre⟩. That is why pre models put one more normalisation at the very end.
# - **Gradient by layer.** The gradient of the last layer over that of the first is ⟨ratio_post⟩ with post and ⟨ratio_pre⟩ with pre. With post it goes up and down but stays about the same; with pre it falls towards later layers.
# - **Gradient by depth.** From ⟨shallowest⟩ to ⟨deepest⟩ layers, the gradient of the last layer goes from ⟨last_post_shallow⟩ to ⟨last_post_deep⟩ with post, and from ⟨last_pre_shallow⟩ to ⟨last_pre_deep⟩ with pre. With pre the ratio of the two is ⟨pre_fall⟩. If gradients fall as the square root of the depth grows, it is ⟨pre_root⟩.
#
# That the gradient falls as the square root of the depth with pre and does not depend on it with post is what [Xiong et al. 2020](#references-attention) show in theory. They go one step further: since post models start with large gradients near the output, the learning rate needs a warm-up. The effect of a warm-up is not measured in this chapter.

# %% [markdown] tags=["lang-ko"]
# <!-- label: encdec-layers -->
# ## 두 가지 층
#
# 부품이 다 모였습니다. 인코더 층은 셀프 어텐션(self-attention)과 피드포워드, 디코더 층은 거기에 크로스 어텐션이 더 있습니다. 논문의 3.1절이 그대로 두 줄과 세 줄이 됩니다.
#
# $$x \leftarrow \operatorname{LN}\big(x + \operatorname{MHA}(x, x)\big), \qquad x \leftarrow \operatorname{LN}\big(x + \operatorname{FF}(x)\big)$$
#
# $$y \leftarrow \operatorname{LN}\big(y + \operatorname{MHA}(y, y)\big), \qquad y \leftarrow \operatorname{LN}\big(y + \operatorname{MHA}(y, x)\big), \qquad y \leftarrow \operatorname{LN}\big(y + \operatorname{FF}(y)\big)$$
#
# `part`는 층 하나의 부품(어텐션과 피드포워드와 정규화)을 담은 것입니다. `lib.attention.layers`의 층도 이 부품들을 같은 이름으로 가지고 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: encdec-layers -->
# ## The two layers
#
# All parts are there. An encoder layer is self-attention and feed-forward; a decoder layer has cross-attention as well. Section 3.1 of the paper becomes two lines and three.
#
# $$x \leftarrow \operatorname{LN}\big(x + \operatorname{MHA}(x, x)\big), \qquad x \leftarrow \operatorname{LN}\big(x + \operatorname{FF}(x)\big)$$
#
# $$y \leftarrow \operatorname{LN}\big(y + \operatorname{MHA}(y, y)\big), \qquad y \leftarrow \operatorname{LN}\big(y + \operatorname{MHA}(y, x)\big), \qquad y \leftarrow \operatorname{LN}\big(y + \operatorname{FF}(y)\big)$$
#
# `part` holds the parts of one layer, its attentions, feed-forward and norms. The layers of `lib.attention.layers` keep them under the same names.

# %%
def encoder_layer(part, x, seen):
    x = part.attention_norm(x + part.attention(x, mask=seen))
    return part.feed_forward_norm(x + part.feed_forward(x))


def decoder_layer(part, y, memory, before, seen):
    y = part.attention_norm(y + part.attention(y, mask=before))
    y = part.cross_norm(y + part.cross_attention(y, memory, mask=seen))
    return part.feed_forward_norm(y + part.feed_forward(y))

# %% [markdown] tags=["lang-ko"]
# <!-- label: encdec-masks -->
# ## 마스크 세 가지
#
# 마스크는 쿼리마다 볼 수 있는 키를 참으로 적은 표입니다. 이 모델에는 어텐션이 세 군데 있고, 마스크도 셋입니다.
#
# | 어디서 | 쿼리 | 키 | 막는 것 |
# |---|---|---|---|
# | 인코더의 셀프 어텐션 | 원문 | 원문 | 원문의 빈자리 |
# | 디코더의 셀프 어텐션 | 번역문 | 번역문 | 뒤에 오는 토큰, 번역문의 빈자리 |
# | 크로스 어텐션 | 번역문 | 원문 | 원문의 빈자리 |
#
# 뒤에 오는 토큰을 막는 것이 인과 마스크(causal mask)이고, 빈자리를 막는 것은 패딩 마스크입니다. 둘은 `&`로 합칩니다. 아래는 짧은 쪽인 둘째 문장의 마스크입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: encdec-masks -->
# ## Three masks
#
# A mask is a table that says for each query which keys it may see. This model has attention in three places, and so three masks.
#
# | where | queries | keys | what it closes |
# |---|---|---|---|
# | self-attention of the encoder | source | source | padding of the source |
# | self-attention of the decoder | target | target | later tokens, padding of the target |
# | cross-attention | target | source | padding of the source |
#
# Closing later tokens is the causal mask, closing empty places a padding mask; `&` joins the two. Below are the masks of the second, shorter sentence.

# %%
seen = padding_mask(source, config.pad)  # batch, 1, 1, source
before = causal_mask(5, device=cfg.device) & padding_mask(target, config.pad)
masks = {
    "encoder self-attention": seen.expand(2, 1, 7, 7)[1, 0].cpu(),
    "decoder self-attention": before[1, 0].cpu(),
    "cross-attention": seen.expand(2, 1, 5, 7)[1, 0].cpu()}
letters = {7: "s", 5: "t"}

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.9))
tables = []
for axis, (name, mask) in zip(axes, masks.items(), strict=True):
    axis.imshow(mask.float(), vmin=0, vmax=1.4)
    queries, keys = ([f"{letters[n]}{i}" for i in range(n)]
                     for n in mask.shape)
    axis.set_xticks(range(len(keys)), keys)
    axis.set_yticks(range(len(queries)), queries)
    axis.set(title=name, xlabel="key")
    axis.title.set_fontsize(9)
    tables.append(pd.DataFrame(
        mask.int().numpy().astype(str), columns=keys,
        index=[f"{name}, {query}" for query in queries]))
axes[0].set_ylabel("query")
show(figure, table=pd.concat(tables).fillna(""))

# %% [markdown] tags=["lang-ko", "caption"]
# 파란 칸이 볼 수 있는 칸입니다. `s`는 원문(5토큰과 빈자리 둘), `t`는 번역문(4토큰과 빈자리 하나)의 자리입니다.
# <!-- alt: 칸으로 된 표 세 개. 인코더와 크로스 어텐션의 표에서는 마지막 두 열이 비어 있고, 디코더의 표에서는 대각선 위와 마지막 열이 비어 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Blue cells may be seen. `s` are places of the source (5 tokens, 2 empty), `t` of the target (4 tokens, 1 empty).
# <!-- alt: Three tables of cells. In those of the encoder and of cross-attention the last two columns are empty; in that of the decoder everything above the diagonal and the last column are empty. -->

# %% [markdown] tags=["lang-ko"]
# 빈자리도 쿼리로서는 무언가를 봅니다. 그 줄의 결과는 아무도 쓰지 않으므로 무엇이 나오든 상관없습니다. 손실을 셀 때 빼면 됩니다.
# %% [markdown] tags=["lang-en"]
# As queries, empty places do look at something. Nobody uses what comes out of those rows, so it does not matter; they are left out when the loss is counted.

# %% [markdown] tags=["lang-ko"]
# <!-- label: encdec-whole -->
# ## 조립: 열한 줄
#
# 이제 조립합니다. 임베딩(embedding) 행렬 $E$ 하나를 원문과 번역문과 출력이 함께 씁니다([가중치 공유(weight tying)](#vectors-tying)). 들어갈 때는 [$\sqrt{d}$를 곱하고](#vectors-scale) 위치를 더하고, 나올 때는 $E$의 모든 행과의 내적(dot product)이 로짓이 됩니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: encdec-whole -->
# ## Put together: eleven lines
#
# Now we put it together. One embedding matrix $E$ serves source, target and output ([weight tying](#vectors-tying)). On the way in it is [multiplied by $\sqrt{d}$](#vectors-scale) and the positions are added; on the way out the dot products with all rows of $E$ are the logits.

# %%
def transformer(model, source, target, pad=0):
    E, P, d = model.token.weight, model.positions, model.config.d_model
    seen = padding_mask(source, pad)
    x = E[source] * math.sqrt(d) + P[:source.shape[1]]
    for part in model.encoder:
        x = encoder_layer(part, x, seen)
    before = causal_mask(target.shape[1], device=target.device)
    before = before & padding_mask(target, pad)
    y = E[target] * math.sqrt(d) + P[:target.shape[1]]
    for part in model.decoder:
        y = decoder_layer(part, y, x, before, seen)
    return y @ E.T


with torch.no_grad():
    ours = transformer(model, source, target)

# %% tags=["remove-cell"]
record(whole_gap=(ours - model(source, target)).abs().max(),
       whole_largest=ours.abs().max())

# %% [markdown] tags=["lang-ko"]
# 함수의 몸이 열한 줄입니다(그 아래는 확인입니다). `lib.attention.transformer.Transformer`와의 차이는 ⟨whole_gap⟩입니다. 뒤의 장에서 쓰는 모델은 이 함수에 오류 문장과 드롭아웃과 캐시를 더한 것입니다.
#
# 마스크가 제 일을 하는지 봅니다. 둘째 문장은 혼자 있을 때나 긴 문장과 한 묶음이 되어 빈자리가 생겼을 때나 로짓이 같아야 합니다. 마스크를 씌우지 않으면 어떻게 되는지도 봅니다.
# %% [markdown] tags=["lang-en"]
# The body of the function has eleven lines; what follows is the check. It differs from `lib.attention.transformer.Transformer` by ⟨whole_gap⟩. The model that later chapters use is this function with error messages, dropout and a cache added.
#
# Do the masks do their work? The second sentence must have the same logits alone as in a batch with a longer one, where it gets empty places. And what happens without masks?

# %%
short = source[1:, :5], target[1:, :4]
with torch.no_grad():
    alone = transformer(model, *short)[0]
    batched = transformer(model, source, target)[1, :4]
    unmasked = transformer(model, source, target, pad=-1)[1, :4]
pad_gap = (batched - alone).abs().max().item()
bare_gap = (unmasked - alone).abs().max().item()
pd.DataFrame({
    "masked": [f"{pad_gap:.1e}"], "not masked": [f"{bare_gap:.1e}"],
    "std of the logits": [f"{alone.std():.2f}"]},
    index=["difference from alone"])

# %% tags=["remove-cell"]
record(pad_gap=pad_gap, bare_gap=bare_gap, alone_std=alone.std())

# %% [markdown] tags=["lang-ko"]
# 마스크를 씌우면 차이가 ⟨pad_gap⟩입니다. 씌우지 않으면 ⟨bare_gap⟩까지 벌어집니다. 빈자리의 임베딩을 낱말처럼 읽은 탓입니다.
# %% [markdown] tags=["lang-en"]
# With masks the difference is ⟨pad_gap⟩. Without them it reaches ⟨bare_gap⟩, because the embedding of an empty place is read like a word.

# %% [markdown] tags=["lang-ko"]
# <!-- label: encdec-parity -->
# ## 파이토치와 맞추어 보기
#
# 우리 층의 행렬을 그대로 `torch.nn`의 같은 층에 옮겨 담고 출력을 견줍니다. 출력이 같아도 되돌아가는 길이 다를 수 있으니, 모든 매개변수의 기울기도 견줍니다. 빈자리가 있는 묶음에 마스크를 모두 씌웁니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: encdec-parity -->
# ## Against PyTorch
#
# We copy the matrices of our layers into the same layers of `torch.nn` and compare the outputs. Equal outputs may still hide another way back, so the gradients of all parameters are compared too. The batch has empty places, and every mask is on.

# %% tags=["hide-input"]
def layer_names(part, of):
    """Parameters of a layer under torch's names; `of` says what of each."""
    found, kinds = {}, ("weight", "bias")
    for name, ours in (("self_attn", "attention"),
                       ("multihead_attn", "cross_attention")):
        for kind in kinds if hasattr(part, ours) else ():
            q, k, v, out = (of(getattr(getattr(
                getattr(part, ours), p), kind))
                for p in ("query", "key", "value", "output"))
            found[f"{name}.in_proj_{kind}"] = torch.cat((q, k, v))
            found[f"{name}.out_proj.{kind}"] = out
    norms = [n for n in ("attention_norm", "cross_norm", "feed_forward_norm")
             if hasattr(part, n)]
    places = {f"norm{i}": getattr(part, n) for i, n in enumerate(norms, 1)}
    places |= {"linear1": part.feed_forward.up,
               "linear2": part.feed_forward.down}
    return found | {f"{name}.{kind}": of(getattr(module, kind))
                    for name, module in places.items() for kind in kinds}

# %% tags=["hide-input"]
class Stacks(nn.Module):
    """Encoder and decoder of this chapter, without embedding and logits."""

    def __init__(self, n, *shape):
        super().__init__()
        self.encoder = nn.ModuleList(EncoderLayer(*shape) for _ in range(n))
        self.decoder = nn.ModuleList(DecoderLayer(*shape) for _ in range(n))

    def forward(self, x, y, seen, before):
        for part in self.encoder:
            x = encoder_layer(part, x, seen)
        for part in self.decoder:
            y = decoder_layer(part, y, x, before, seen)
        return y

# %% tags=["hide-input"]
def stack_names(stacks, of):
    return {f"{side}.layers.{i}.{name}": value
            for side in ("encoder", "decoder")
            for i, part in enumerate(getattr(stacks, side))
            for name, value in layer_names(part, of).items()}

# %%
def gaps(ours, theirs, names, inputs, our_masks, their_masks):
    """Largest difference of outputs and of gradients of all parameters."""
    theirs.load_state_dict(names(ours, lambda p: p.detach()))
    out, expected = ours(*inputs, **our_masks), theirs(*inputs, **their_masks)
    seed = torch.Generator().manual_seed(1)
    towards = torch.randn(out.shape, generator=seed, dtype=out.dtype)
    for y in (out, expected):
        (y * towards).sum().backward()
    found = names(ours, lambda p: p.grad)
    back = max((found[name] - p.grad).abs().max()
               for name, p in theirs.named_parameters())
    return (out - expected).abs().max().item(), back.item()

# %% tags=["hide-input"]
ids_s, ids_t = source.cpu(), target.cpu()
see, ahead = padding_mask(ids_s, 0), causal_mask(5) & padding_mask(ids_t, 0)
no_s, no_t = ids_s == 0, ids_t == 0  # torch: True is where not to look
WIDTH, HEADS, INNER = 64, 4, 256
source_side = {"src_key_padding_mask": no_s}
target_side = {"tgt_mask": ~causal_mask(5), "tgt_key_padding_mask": no_t,
               "memory_key_padding_mask": no_s}


def torch_layer(kind, norm_first=False):
    return kind(WIDTH, HEADS, INNER, dropout=0.0, batch_first=True,
                norm_first=norm_first)


def torch_stacks():
    theirs = nn.Transformer(WIDTH, HEADS, 3, 3, INNER, dropout=0.0,
                            batch_first=True)
    theirs.encoder.norm = theirs.decoder.norm = None  # the paper has none
    return theirs

# %%
def compare(dtype):
    torch.manual_seed(0)
    x, y = (torch.randn(2, n, WIDTH).to(dtype) for n in (7, 5))
    found = {}
    for order, first in (("post", False), ("pre", True)):
        shape = WIDTH, HEADS, INNER, "relu", first
        found[f"EncoderLayer, {order}"] = gaps(
            EncoderLayer(*shape).to(dtype),
            torch_layer(nn.TransformerEncoderLayer, first).to(dtype),
            layer_names, (x,), {"mask": see}, source_side)
        found[f"DecoderLayer, {order}"] = gaps(
            DecoderLayer(*shape).to(dtype),
            torch_layer(nn.TransformerDecoderLayer, first).to(dtype),
            layer_names, (y, x), {"mask": ahead, "memory_mask": see},
            target_side)
    found["nn.Transformer, 3 + 3"] = gaps(
        Stacks(3, WIDTH, HEADS, INNER).to(dtype), torch_stacks().to(dtype),
        stack_names, (x, y), {"seen": see, "before": ahead},
        source_side | target_side)
    return found

# %%
in_32, in_64 = compare(torch.float32), compare(torch.float64)
rows = {name: [*in_32[name], *in_64[name]] for name in in_32}
pd.DataFrame(rows, index=[
    "output, float32", "gradients, float32",
    "output, float64", "gradients, float64"]).T.map("{:.1e}".format)

# %% tags=["remove-cell"]
record(out_32=max(row[0] for row in rows.values()),
       back_32=max(row[1] for row in rows.values()),
       out_64=max(row[2] for row in rows.values()),
       back_64=max(row[3] for row in rows.values()))

# %% [markdown] tags=["lang-ko"]
# 출력의 가장 큰 차이는 float32에서 ⟨out_32⟩, float64에서 ⟨out_64⟩입니다. 0이면 마지막 비트까지 같다는 뜻입니다. 기울기의 가장 큰 차이는 float32의 ⟨back_32⟩에서 float64의 ⟨back_64⟩까지 줄어듭니다. 더하는 순서가 다를 뿐, 같은 계산입니다.
#
# 그런데 `nn.Transformer`를 견주려면 손을 대야 했습니다. 위의 코드에서 `theirs.encoder.norm`과 `theirs.decoder.norm`을 지운 줄입니다. 파이토치는 논문에 **없는** 층 정규화를 인코더와 디코더의 끝에 하나씩 더 둡니다. 이미 정규화된 것을 한 번 더 정규화하는 셈이어서 처음에는 거의 티가 나지 않습니다. 배율이 학습으로 달라지면 이야기가 달라집니다. 두 경우를 잽니다.
# %% [markdown] tags=["lang-en"]
# The largest difference of outputs is ⟨out_32⟩ in float32 and ⟨out_64⟩ in float64; 0 means equal to the last bit. For gradients it falls from ⟨back_32⟩ in float32 to ⟨back_64⟩ in float64. Only the order of adding differs; the computation is the same.
#
# To compare `nn.Transformer`, though, we had to modify it: the line above removes `theirs.encoder.norm` and `theirs.decoder.norm`. PyTorch ends encoder and decoder with one more layer normalization each that the paper does **not** have. It normalises what is normalised already, so at first it hardly shows. Once training has changed the gains, it does. We measure both.

# %%
@torch.no_grad()
def extra_norm(trained):
    torch.manual_seed(0)
    theirs = nn.Transformer(WIDTH, HEADS, 3, 3, INNER, dropout=0.0,
                            batch_first=True).double()
    if trained:  # gains and shifts as training might leave them
        for name, p in theirs.named_parameters():
            if "norm" in name:
                p += 0.3 * torch.randn_like(p)
    x, y = (torch.randn(2, n, WIDTH).double() for n in (7, 5))
    masks = {"tgt_mask": ~causal_mask(5)}
    full = theirs(x, y, **masks)
    theirs.encoder.norm = theirs.decoder.norm = None
    return (full - theirs(x, y, **masks)).abs().max().item()

# %%
extra_start, extra_trained = extra_norm(False), extra_norm(True)
pd.DataFrame({"at the start": [f"{extra_start:.1e}"],
              "with other gains": [f"{extra_trained:.1e}"]},
             index=["what the last norms change"])

# %% tags=["remove-cell"]
record(extra_start=extra_start, extra_trained=extra_trained)

# %% [markdown] tags=["lang-ko"]
# 학습하기 전에는 ⟨extra_start⟩이지만, 배율과 더하는 값에 표준편차 0.3의 난수를 더하면 ⟨extra_trained⟩까지 벌어집니다. 파이토치의 `nn.Transformer`로 학습한 모델을 논문의 식에 옮겨 담으면 이만큼 틀릴 수 있다는 뜻입니다.
# %% [markdown] tags=["lang-en"]
# Before training it is ⟨extra_start⟩; once random numbers of standard deviation 0.3 are added to gains and shifts it reaches ⟨extra_trained⟩. That is how far off the results can be when a model is trained with PyTorch's `nn.Transformer` and its weights are carried into the paper's formulas.

# %% [markdown] tags=["lang-ko"]
# <!-- label: encdec-count -->
# ## 매개변수 세기
#
# 논문의 표 3은 모델마다 매개변수의 수를 백만 단위로 적었습니다. base가 65, big이 213입니다. 우리도 셉니다. 층 하나의 어텐션에는 행렬 넷이, 피드포워드에는 둘이 있고, 인코더 층에는 어텐션이 하나, 디코더 층에는 둘입니다. 헤드마다 쿼리와 키는 $d_k$차원, 값은 $d_v$차원이며, 보통은 둘 다 $d/h$입니다.
#
# $$N\Big[\, 3 \underbrace{(2\,d\,h\,d_k + 2\,d\,h\,d_v)}_{\text{attention}} + 2 \underbrace{(2\,d\,d_{ff})}_{\text{feed-forward}} \Big] + \underbrace{V d}_{\text{embedding}} + \text{biases} + \text{norms}$$
#
# 논문은 영어와 독일어가 함께 쓰는 어휘(vocabulary)가 조각 37,000개쯤이라고만 했습니다(5.1절). 표 3에서 매개변수의 수가 적힌 모든 행을 세어 견주고, 거꾸로 어휘가 몇 조각이어야 논문의 수가 되는지도 구합니다. 논문의 수는 백만에서 반올림한 것이므로 답은 구간입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: encdec-count -->
# ## Counting parameters
#
# Table 3 of the paper gives the number of parameters of each model in millions: 65 for base, 213 for big. We count too. An attention has four matrices, a feed-forward two; an encoder layer has one attention, a decoder layer two. In each head, queries and keys have $d_k$ dimensions and values $d_v$, both of them $d/h$ as a rule.
#
# $$N\Big[\, 3 \underbrace{(2\,d\,h\,d_k + 2\,d\,h\,d_v)}_{\text{attention}} + 2 \underbrace{(2\,d\,d_{ff})}_{\text{feed-forward}} \Big] + \underbrace{V d}_{\text{embedding}} + \text{biases} + \text{norms}$$
#
# Of the vocabulary that English and German share the paper says only that it has about 37,000 pieces (section 5.1). We count every row of table 3 that states a number, and also turn the question round: how many pieces must the vocabulary have to give the paper's number? That number is rounded to a million, so the answer is an interval.

# %%
def count(V=37_000, N=6, d=512, d_ff=2048, h=8, d_k=None, d_v=None):
    d_k, d_v = d_k or d // h, d_v or d // h
    attention = 2 * d * h * d_k + 2 * d * h * d_v  # Q, K and V, O
    attention += 2 * h * d_k + h * d_v + d  # their biases
    feed_forward = 2 * d * d_ff + d_ff + d
    norm = 2 * d
    encoder = attention + feed_forward + 2 * norm
    decoder = 2 * attention + feed_forward + 3 * norm
    return N * (encoder + decoder) + V * d


TABLE_3 = [  # Vaswani et al. 2017, table 3: what differs, millions
    ("base", {}, 65), ("d_k = 16", {"d_k": 16}, 58),
    ("d_k = 32", {"d_k": 32}, 60), ("N = 2", {"N": 2}, 36),
    ("N = 4", {"N": 4}, 50), ("N = 8", {"N": 8}, 80),
    ("d = 256", {"d": 256}, 28), ("d = 1024", {"d": 1024}, 168),
    ("d_ff = 1024", {"d_ff": 1024}, 53), ("d_ff = 4096", {"d_ff": 4096}, 90),
    ("big", {"d": 1024, "d_ff": 4096, "h": 16}, 213)]

# %%
rows = []
for name, changed, paper in TABLE_3:
    width, rest = changed.get("d", 512), count(V=0, **changed)
    low, high = ((1e6 * (paper + half) - rest) / width for half in (-.5, .5))
    ours = count(**changed) / 1e6
    rows.append([name, paper, round(ours, 1), round(ours - paper, 1),
                 round(low), round(high)])
counted = pd.DataFrame(rows, columns=[
    "model", "paper (10⁶)", "counted (10⁶)", "difference",
    "vocabulary, from", "to"]).set_index("model")
with torch.device("meta"):  # shapes only, no numbers
    base = Transformer(TransformerConfig(37_000, 512, 8, 6, 2048)).eval()
    big = Transformer(TransformerConfig(37_000, 1024, 16, 6, 4096))
counted

# %% tags=["remove-input"]
def size_of(module):
    return sum(p.numel() for p in module.parameters())


big_row = TABLE_3[-1][1]
lows, highs = counted.iloc[:-1, 3], counted.iloc[:-1, 4]
shared = (lows.max(), highs.min())
record(base_counted=size_of(base), big_counted=size_of(big),
       count_gap=abs(size_of(base) - count())
       + abs(size_of(big) - count(**big_row)),
       base_difference=counted.iloc[0, 2], big_difference=counted.iloc[-1, 2],
       vocab_low=int(shared[0]), vocab_high=int(shared[1]),
       shared_exists=str(bool(shared[0] <= shared[1])),
       big_low=int(counted.iloc[-1, 3]), big_high=int(counted.iloc[-1, 4]),
       rows_counted=len(counted))

# %% [markdown] tags=["lang-ko"]
# 식은 진짜 모델의 매개변수를 하나하나 센 것과 같습니다(차이 ⟨count_gap⟩). base는 ⟨base_counted⟩개, big은 ⟨big_counted⟩개입니다. 논문과의 차이는 base에서 ⟨base_difference⟩백만, big에서 ⟨big_difference⟩백만입니다. **부호가 서로 다릅니다.**
#
# 오른쪽 두 열이 까닭을 좁혀 줍니다. big을 뺀 모든 행은 어휘가 ⟨vocab_low⟩~⟨vocab_high⟩조각이면 모두 맞습니다. 그러니 층의 구조를 잘못 센 것은 아니고, 실제로 쓰인 어휘가 37,000보다 컸던 것으로 보입니다. big만은 ⟨big_low⟩~⟨big_high⟩조각이라야 맞으므로, 어떤 어휘로도 표 전체를 맞출 수 없습니다. big의 213이 어떻게 나온 수인지는 우리도 모릅니다.
# %% [markdown] tags=["lang-en"]
# The formula agrees with real models whose parameters are counted one by one (difference ⟨count_gap⟩). Base has ⟨base_counted⟩, big ⟨big_counted⟩. From the paper they differ by ⟨base_difference⟩ million (base) and ⟨big_difference⟩ million (big). **The signs differ.**
#
# The two columns to the right narrow down the reason. Every row but big comes out right at once with a vocabulary of ⟨vocab_low⟩ to ⟨vocab_high⟩ pieces. So it is not that we count the layers wrongly; the vocabulary in use seems to have been larger than 37,000. Big alone asks for ⟨big_low⟩ to ⟨big_high⟩ pieces, so no vocabulary fits the whole table. Where the 213 of big comes from, we do not know either.

# %% [markdown] tags=["lang-ko"]
# <!-- label: encdec-flops -->
# ## 매개변수와 연산은 어디에 있는가
#
# 행렬 곱 한 번에 드는 연산은 곱셈과 덧셈을 따로 세어 $2 \times$ 행 $\times$ 속 $\times$ 열입니다. 원문과 번역문이 모두 $n$토큰일 때 인코더 층과 디코더 층과 로짓에 드는 연산은 이렇습니다.
#
# $$\underbrace{8nd^2 + 4n^2d + 4nd\,d_{ff}}_{\text{encoder layer}} \qquad \underbrace{16nd^2 + 8n^2d + 4nd\,d_{ff}}_{\text{decoder layer}} \qquad \underbrace{2ndV}_{\text{logits}}$$
#
# 길이의 제곱으로 느는 것은 $QK^\top$과 $AV$뿐입니다. 파이토치의 연산 계수기로 같은 모델을 세어 식을 확인한 다음, 길이에 따라 어디에 얼마가 드는지 그립니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: encdec-flops -->
# ## Where parameters and operations are
#
# A matrix product takes $2 \times$ rows $\times$ inner $\times$ columns operations, with multiplication and addition counted separately. With $n$ tokens in the source and in the target, an encoder layer, a decoder layer and the logits take
#
# $$\underbrace{8nd^2 + 4n^2d + 4nd\,d_{ff}}_{\text{encoder layer}} \qquad \underbrace{16nd^2 + 8n^2d + 4nd\,d_{ff}}_{\text{decoder layer}} \qquad \underbrace{2ndV}_{\text{logits}}$$
#
# Only $QK^\top$ and $AV$ grow with the square of the length. We check the formula with PyTorch's operation counter on the same model, then draw where the operations go as texts get longer.

# %%
from torch.utils.flop_counter import FlopCounterMode


def operations(n, N=6, d=512, d_ff=2048, V=37_000):
    return {"projections": N * 24 * n * d * d,
            "QKᵀ and AV": N * 12 * n * n * d,
            "feed-forward": N * 8 * n * d * d_ff, "logits": 2 * n * d * V}


def counted_operations(model, work):
    for part in model.modules():
        if isinstance(part, MultiHeadAttention):
            part.form = "reference"  # every product in the open
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()

# %%
ids = torch.ones(1, 64, dtype=torch.long, device="meta")
by_counter = counted_operations(base, lambda: base(ids, ids))

# %% tags=["remove-cell"]
record(flops_counter=by_counter / 1e9,
       flops_gap=by_counter - sum(operations(64).values()))

# %% tags=["hide-input"]
def parts_of(model):
    found = dict.fromkeys(("embedding", "self-attention", "cross-attention",
                           "feed-forward", "norms"), 0)
    for name, p in model.named_parameters():
        kind = ("embedding" if name.startswith("token") else
                "norms" if "norm" in name else
                "cross-attention" if "cross" in name else
                "feed-forward" if "feed_forward" in name else
                "self-attention")
        found[kind] += p.numel()
    return found


sizes = pd.DataFrame({"base": parts_of(base), "big": parts_of(big)})
lengths = [2**k for k in range(4, 15)]
work = pd.DataFrame({n: operations(n) for n in lengths}).T
share = work.div(work.sum(axis=1), axis=0)
half = next(n for n in range(1, 2**15) if 2 * operations(
    n)["QKᵀ and AV"] > sum(operations(n).values()))

# %% tags=["hide-input"]
figure, (one, two) = plt.subplots(1, 2, figsize=(7.2, 3.4))
colours = dict(zip((*sizes.index, *share.columns), (
    "grey", "attention", "plum", "gravity", "olive",
    "attention", "tokens", "gravity", "grey"), strict=False))
start = pd.Series(0.0, index=sizes.columns)
for name, line in (sizes / sizes.sum()).iterrows():
    one.bar(sizes.columns, line, bottom=start, label=name, width=0.6,
            color=COLOURS[colours[name]], alpha=0.85)
    start += line
two.stackplot(lengths, *(share[name] for name in share),
              labels=list(share.columns), alpha=0.85, colors=[
                  COLOURS[c] for c in ("attention", "tokens", "gravity",
                                       "grey")])
two.set_xscale("log", base=2)
one.set(title="parameters", ylim=(0, 1))
two.set(title="operations", xlabel="n", ylim=(0, 1), xlim=(16, 2**14))
for axis in (one, two):
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
show(figure, table=share.round(3))

# %% [markdown] tags=["lang-ko", "caption"]
# 왼쪽: base와 big의 매개변수가 나뉜 몫. 오른쪽: base에서 원문과 번역문이 $n$토큰일 때 연산이 나뉜 몫.
# <!-- alt: 왼쪽은 쌓은 막대 두 개로, 피드포워드와 임베딩의 몫이 가장 크다. 오른쪽은 쌓은 면적 그래프로, 짧은 글에서는 로짓과 피드포워드와 투영이 전부이고, 글이 길어지면 QKᵀ와 AV의 몫이 커져 마지막에는 대부분을 차지한다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Left: shares of the parameters of base and big. Right: shares of the operations of base when source and target have $n$ tokens.
# <!-- alt: Left, two stacked bars; feed-forward and embedding have the largest shares. Right, a stacked area plot: with short texts logits, feed-forward and projections are everything; as texts grow, the share of QKᵀ and AV grows until it is most of it. -->

# %% tags=["remove-input"]
share_64 = share.loc[64]
for name, part in (("ff", "feed-forward"), ("self", "self-attention"),
                   ("cross", "cross-attention"), ("token", "embedding")):
    value_of = sizes["base"][part] / sizes["base"].sum()
    record(f"share_{name}", value_of, text=f"{value_of:.0%}")
for name, part in (("scores", "QKᵀ and AV"), ("logits", "logits")):
    record(f"work_{name}", share_64[part], text=f"{share_64[part]:.1%}")
record(half_length=half)

# %% [markdown] tags=["lang-ko"]
# 식과 계수기의 차이는 ⟨flops_gap⟩입니다. base의 매개변수는 피드포워드에 ⟨share_ff⟩, 임베딩에 ⟨share_token⟩, 셀프 어텐션에 ⟨share_self⟩, 크로스 어텐션에 ⟨share_cross⟩이(가) 있습니다. 논문의 제목은 어텐션을 말하지만, 가장 큰 몫은 피드포워드에 있습니다.
#
# 64토큰짜리 글에서 $QK^\top$과 $AV$에 드는 연산은 ⟨work_scores⟩에 지나지 않습니다. 이 둘이 절반을 넘는 것은 ⟨half_length⟩토큰부터입니다. 길이의 제곱이 무섭다는 말은 긴 글에서만 맞습니다.
# %% [markdown] tags=["lang-en"]
# Formula and counter differ by ⟨flops_gap⟩. Of the parameters of base, ⟨share_ff⟩ are in the feed-forward, ⟨share_token⟩ in the embedding, ⟨share_self⟩ in self-attention and ⟨share_cross⟩ in cross-attention. The title of the paper speaks of attention; the largest share is in the feed-forward.
#
# With texts of 64 tokens, $QK^\top$ and $AV$ take no more than ⟨work_scores⟩ of the operations. They pass one half from ⟨half_length⟩ tokens on. That the square of the length is frightening is true of long texts only.

# %% [markdown] tags=["lang-ko"]
# <!-- label: encdec-parallel -->
# ## 학습은 한 번에
#
# 디코더는 번역문의 앞부분을 보고 다음 토큰을 맞힙니다. 학습할 때는 정답 번역문이 다 있으므로, 한 칸 민 정답을 통째로 넣으면 모든 자리의 문제를 한 번에 풉니다. 이것을 교사 강요(teacher forcing)라고 합니다.
#
# $$\text{in:}\quad \langle\text{bos}\rangle\; t_1\; t_2\; t_3 \qquad\qquad \text{out:}\quad t_1\; t_2\; t_3\; \langle\text{eos}\rangle$$
#
# 이것이 옳으려면 앞자리의 답이 뒤의 정답을 엿보지 않아야 합니다. 이 성질이 인과성(causality)입니다. 번역문 ⟨target_length⟩토큰 가운데 ⟨changed_from⟩번 자리부터(0부터 셉니다) 다른 토큰으로 바꾸고, 자리마다 로짓이 얼마나 달라지는지 잽니다. 인과 마스크를 뺀 것과도 견줍니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: encdec-parallel -->
# ## Training takes one pass
#
# The decoder sees the target so far and predicts the next token. In training the whole right answer is known, so we put it in, shifted by one place, and solve the problems of all places at once. This is called teacher forcing.
#
# $$\text{in:}\quad \langle\text{bos}\rangle\; t_1\; t_2\; t_3 \qquad\qquad \text{out:}\quad t_1\; t_2\; t_3\; \langle\text{eos}\rangle$$
#
# For this to be right, no place may peep at answers that come after it. That property is causality. In a target of ⟨target_length⟩ tokens we replace all tokens from place ⟨changed_from⟩ on (counting from 0) and measure at each place how much the logits change; beside it, the same without the causal mask.

# %%
seed = torch.Generator().manual_seed(0)
long_source = torch.randint(3, vocab, (1, 40), generator=seed)
answer = torch.randint(3, vocab, (1, 32), generator=seed)
start, changed = 20, answer.clone()
changed[:, start:] = torch.randint(3, vocab, (1, 32 - start), generator=seed)
long_source, answer, changed = (
    ids.to(cfg.device) for ids in (long_source, answer, changed))


@torch.no_grad()
def change(causal):
    memory = model.encode(long_source)
    hidden = []
    for ids in (answer, changed):
        y = model.embed(ids)
        before = causal_mask(32, device=ids.device) if causal else None
        for part in model.decoder:
            y = decoder_layer(part, y, memory, before, None)
        hidden.append(y @ model.token.weight.T)
    return (hidden[0] - hidden[1]).abs().amax(-1)[0].cpu()

# %% tags=["hide-input"]
changes = {"causal mask": change(True), "no mask": change(False)}
figure, axis = plt.subplots(figsize=(7.2, 2.6))
for (name, moved), colour in zip(changes.items(), ("attention", "gravity"),
                                 strict=True):
    axis.plot(moved, color=COLOURS[colour], label=name, marker="o", ms=3)
axis.axvline(start - 0.5, color=COLOURS["grey"], linestyle=":")
axis.set(xlabel="place in the target", title="largest change of a logit",
         ylim=(-0.05, None))
axis.legend()
show(figure, table=pd.DataFrame(
    {name: moved.numpy() for name, moved in changes.items()}))
record(early_change=changes["causal mask"][:start].max(),
       late_change=changes["causal mask"][start:].min(),
       peeked=changes["no mask"][:start].min(), changed_from=start,
       target_length=answer.shape[1], source_length=long_source.shape[1])

# %% [markdown] tags=["lang-ko", "caption"]
# ⟨changed_from⟩번 자리부터 바꾸었을 때(점선 오른쪽) 자리마다 로짓이 가장 많이 달라진 크기. 인과 마스크가 있으면 앞자리는 조금도 움직이지 않습니다.
# <!-- alt: 선 그래프. 인과 마스크가 있으면 점선 왼쪽의 변화가 모두 0이고 오른쪽에서 커진다. 마스크가 없으면 모든 자리에서 변화가 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# The largest change of a logit at each place when the tokens from place ⟨changed_from⟩ on (right of the dotted line) are replaced. With the causal mask, places before it do not move at all.
# <!-- alt: A line plot. With the causal mask the change is 0 left of the dotted line and large right of it. Without a mask every place changes. -->

# %% [markdown] tags=["lang-ko"]
# 바꾸지 않은 앞자리에서 가장 큰 변화는 ⟨early_change⟩입니다. 반올림조차 없습니다. 마스크를 빼면 앞자리에서도 적어도 ⟨peeked⟩만큼 달라지니, 그런 모델은 답을 엿보고 배운 것입니다.
# %% [markdown] tags=["lang-en"]
# The largest change at the places before is ⟨early_change⟩, not even rounding. Without the mask they change by ⟨peeked⟩ or more: such a model would have learned by peeping at the answers.

# %% [markdown] tags=["lang-ko"]
# <!-- label: encdec-cache -->
# ## 쓰기는 한 토큰씩, 캐시와 함께
#
# 실제로 번역할 때는 정답이 없습니다. 한 토큰을 쓰고, 쓴 것을 다시 넣어 다음 토큰을 씁니다. 매번 처음부터 다시 계산하면 같은 일을 되풀이하게 됩니다. 인과성 덕분에 앞자리의 키와 값은 토큰이 늘어도 바뀌지 않으므로 간직해 두면 됩니다. 이것이 KV 캐시(KV cache)입니다.
#
# 간직할 것은 두 가지입니다. 디코더의 셀프 어텐션에서는 **토큰마다 하나씩 느는** 키와 값, 크로스 어텐션에서는 기억에서 온, **처음 한 번 계산하면 끝인** 키와 값입니다. ⟨n_written⟩토큰을 쓸 때 드는 연산을 계수기로 셉니다. 원문은 ⟨source_length⟩토큰입니다. 층은 모두 같으므로 인코더와 디코더를 한 층씩 세어 여섯 배 하고, 로짓은 빼고 셉니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: encdec-cache -->
# ## Writing takes one token at a time, with a cache
#
# When a model really translates there is no answer to put in. It writes a token, puts it in again and writes the next. Computing everything anew each time repeats the same work. Thanks to causality, keys and values of earlier places do not change as tokens are added, so they can be kept. That is the KV cache.
#
# Two things are kept. In the self-attention of the decoder, keys and values that **grow by one a token**; in cross-attention those of the memory, **computed once and for all**. We count the operations of writing ⟨n_written⟩ tokens; the source has ⟨source_length⟩. All layers are alike, so we count one of the encoder and one of the decoder, take it six times, and leave the logits out.

# %%
def write(model, source, target, cached="nothing"):
    """Hidden states of the target, one token after the other."""
    memory, states = model.encode(source), []
    caches = [(KVCache(), KVCache()) for _ in model.decoder]
    for t in range(target.shape[1]):
        if cached == "nothing":
            y = model.decode(target[:, :t + 1], memory, source)
        else:
            if cached == "self":  # the memory's keys and values anew
                caches = [(own, KVCache()) for own, _ in caches]
            y = model.decode(target[:, t:t + 1], memory, source, caches)
        states.append(y[:, -1:])
    return torch.cat(states, dim=1)

# %%
answer = answer[:, :cfg.written]
with torch.no_grad():
    at_once = model.decode(answer, model.encode(long_source), long_source)
    kept = write(model, long_source, answer, "both")

# %% tags=["remove-cell"]
record(n_written=answer.shape[1], cache_gap=(at_once - kept).abs().max(),
       state_largest=at_once.abs().max())

# %%
far = torch.ones(1, 40, dtype=torch.long, device="meta")
text = torch.ones_like(answer, device="meta")
with torch.device("meta"):
    one = Transformer(TransformerConfig(2, 512, 8, 1, 2048)).eval()
ways = {
    "at once (training)":
        lambda: one.decode(text, one.encode(far), far),
    "no cache": lambda: write(one, far, text),
    "self-attention only": lambda: write(one, far, text, "self"),
    "both": lambda: write(one, far, text, "both")}
spent = {name: 6 * counted_operations(one, work)
         for name, work in ways.items()}
at_least = min(spent.values())
pd.DataFrame({
    "operations (10⁹)": [f"{n / 1e9:.2f}" for n in spent.values()],
    "times": [f"{n / at_least:.2f}" for n in spent.values()]},
    index=list(spent))

# %% tags=["remove-input"]
once, nothing, own, both = spent.values()
record(times_nothing=nothing / both, times_self=own / both,
       cache_self=2 * 6 * 512 * 4, cache_cross=40 * 2 * 6 * 512 * 4)
record("once_of_both", once / both, text=f"{once / both:.3f}")

# %% [markdown] tags=["lang-ko"]
# 캐시를 쓴 것과 한 번에 계산한 것의 은닉 상태(hidden state)는 ⟨cache_gap⟩밖에 다르지 않습니다. 값의 크기가 ⟨state_largest⟩까지 가니 float32의 반올림입니다. 연산은 캐시가 없으면 ⟨times_nothing⟩배, 셀프 어텐션에만 캐시를 두면 ⟨times_self⟩배가 듭니다. 기억의 키와 값을 되풀이해 계산하는 것이 그만큼 비쌉니다. 둘 다 두면 드는 연산이 한 번에 계산할 때와 거의 같습니다. 한 번에 할 때의 연산이 쓸 때의 ⟨once_of_both⟩배인 것은, 한 번에 할 때는 가려질 칸까지 계산하기 때문입니다.
#
# 그러면 쓰기와 학습의 차이는 무엇일까요? 연산의 양이 아니라 **차례**입니다. 학습은 모든 자리를 나란히 계산하지만, 쓰기는 앞 토큰이 나와야 다음을 시작합니다. 캐시도 공짜가 아닙니다. base 모델은 쓴 토큰 하나마다 ⟨cache_self⟩바이트를(float32), 40토큰짜리 기억에 ⟨cache_cross⟩바이트를 간직합니다. 캐시가 실제 시간을 얼마나 줄이는지는 [뒤의 장](#smollm2-speed)에서 진짜 모델로 잽니다.
# %% [markdown] tags=["lang-en"]
# Hidden states with the cache differ from those computed at once by no more than ⟨cache_gap⟩; values go up to ⟨state_largest⟩, so this is float32 rounding. Without a cache it takes ⟨times_nothing⟩ times the operations, with a cache in self-attention only, ⟨times_self⟩ times: that is the price of computing keys and values of the memory again and again. With both, writing takes about as many operations as computing at once, which takes ⟨once_of_both⟩ times those of writing, since it also computes cells that the mask will close.
#
# So what is the difference between writing and training? Not the amount of work but its **order**. Training computes all places side by side; writing can begin the next token only when the one before is there. Nor is the cache free: the base model keeps ⟨cache_self⟩ bytes for each token written (float32) and ⟨cache_cross⟩ bytes for a memory of 40 tokens. How much time the cache saves, a [later chapter](#smollm2-speed) measures on a real model.

# %% [markdown] tags=["lang-ko"]
# <!-- label: encdec-exercises -->
# ## 연습 문제
#
# 빈칸(`...`)을 채운 다음 바로 아래 셀을 실행하면 답이 맞는지 알 수 있습니다. 풀이는 접어 두었습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: encdec-exercises -->
# ## Exercises
#
# Fill in the gap (`...`) and run the next cell: it tells you whether the answer holds. Solutions are folded.

# %% [markdown] tags=["lang-ko"]
# <!-- label: encdec-exercise-norm -->
# ### 1. 층 정규화 (★, 8분)
#
# `x`(`(…, d)`), 곱하는 `gain`, 더하는 `shift`(길이 `d`)를 받아 층 정규화를 돌려주십시오. `F.layer_norm`은 쓰지 않습니다.
#
# 힌트: 평균과 분산은 마지막 축에서 냅니다. `keepdim=True`가 편합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: encdec-exercise-norm -->
# ### 1. Layer normalization (★, 8 minutes)
#
# Given `x`, `(…, d)`, a `gain` to multiply by and a `shift` to add (length `d`), return the layer normalization. Do not use `F.layer_norm`.
#
# Hint: mean and variance are those of the last axis; `keepdim=True` helps.

# %% tags=["exercise"]
def my_layer_norm(x, gain, shift):
    ...

# %%
from lib.exercises.encoder_decoder import check_layer_norm

check_layer_norm(my_layer_norm)

# %% tags=["solution", "hide-cell"]
def layer_norm_solution(x, gain, shift):
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)
    return centred / (variance + 1e-5).sqrt() * gain + shift


check_layer_norm(layer_norm_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: encdec-exercise-mask -->
# ### 2. 디코더의 마스크 (★, 8분)
#
# 토큰 번호 `target`(`(batch, n)`)과 패딩의 번호 `pad`를 받아, 볼 수 있는 칸이 참인 마스크 `(batch, 1, n, n)`을 돌려주십시오. 빈자리는 뒤에 올 수도, 앞에 올 수도 있습니다. 빈자리가 쿼리인 줄은 무엇이든 됩니다.
#
# 힌트: 자리 `i`와 `j`의 표는 `torch.arange`에 축을 하나씩 더해 견주면 됩니다. 빈자리가 뒤에만 있다면 인과 마스크만으로도 되는 까닭도 생각해 보십시오.
# %% [markdown] tags=["lang-en"]
# <!-- label: encdec-exercise-mask -->
# ### 2. The mask of the decoder (★, 8 minutes)
#
# Given token ids `target`, `(batch, n)`, and the id `pad` of padding, return the mask `(batch, 1, n, n)` that is True where one may look. Empty places may come last or first. Rows whose query is an empty place may hold anything.
#
# Hint: a table of places `i` and `j` comes from comparing `torch.arange` with itself along another axis. Think, too, why the causal mask alone would do if empty places only came last.

# %% tags=["exercise"]
def my_decoder_mask(target, pad):
    ...

# %%
from lib.exercises.encoder_decoder import check_decoder_mask

check_decoder_mask(my_decoder_mask)

# %% tags=["solution", "hide-cell"]
def decoder_mask_solution(target, pad):
    place = torch.arange(target.shape[1])
    causal = place[None, :] <= place[:, None]  # key <= query
    return causal & (target != pad)[:, None, None, :]


check_decoder_mask(decoder_mask_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: encdec-exercise-norm-first -->
# ### 3. 먼저 정규화하는 디코더 층 (★★, 10분)
#
# 위의 `decoder_layer`를 pre 순서로 고쳐 쓰십시오. `layer`에는 `attention`, `cross_attention`, `feed_forward`와 `attention_norm`, `cross_norm`, `feed_forward_norm`이 있습니다.
#
# 힌트: 더하는 쪽의 `y`는 정규화하지 않은 것이고, 기억은 이미 인코더의 끝에서 정규화되었습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: encdec-exercise-norm-first -->
# ### 3. A decoder layer that normalises first (★★, 10 minutes)
#
# Rewrite `decoder_layer` above in pre order. A `layer` has `attention`, `cross_attention`, `feed_forward` and `attention_norm`, `cross_norm`, `feed_forward_norm`.
#
# Hint: the `y` that is added to is not normalised, and the memory was normalised at the end of the encoder.

# %% tags=["exercise"]
def my_decoder_layer(layer, y, memory, mask, memory_mask):
    ...

# %%
from lib.exercises.encoder_decoder import check_norm_first

check_norm_first(my_decoder_layer)

# %% tags=["solution", "hide-cell"]
def norm_first_solution(layer, y, memory, mask, memory_mask):
    y = y + layer.attention(layer.attention_norm(y), mask=mask)
    y = y + layer.cross_attention(layer.cross_norm(y), memory,
                                  mask=memory_mask)
    return y + layer.feed_forward(layer.feed_forward_norm(y))


check_norm_first(norm_first_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: encdec-exercise-parameters -->
# ### 4. 모두 몇 개인가 (★★, 12분)
#
# 어휘의 크기 `vocab`, 폭 `d_model`, 속 폭 `d_ff`, 층의 수 `n_layers`(인코더와 디코더 각각)를 받아 이 장의 모델이 가진 매개변수의 수를 돌려주십시오. 편향과 층 정규화까지 셉니다.
#
# 힌트: 어텐션 하나는 행렬 넷과 편향 넷입니다. 위치는 학습하지 않습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: encdec-exercise-parameters -->
# ### 4. How many in all (★★, 12 minutes)
#
# Given the size `vocab` of the vocabulary, the width `d_model`, the inner width `d_ff` and the number of layers `n_layers` (of encoder and decoder each), return how many parameters the model of this chapter has, biases and layer normalizations included.
#
# Hint: an attention is four matrices and four biases. Positions are not learned.

# %% tags=["exercise"]
def my_parameters(vocab, d_model, d_ff, n_layers):
    ...

# %%
from lib.exercises.encoder_decoder import check_parameters

check_parameters(my_parameters)

# %% tags=["solution", "hide-cell"]
def parameters_solution(vocab, d_model, d_ff, n_layers):
    attention = 4 * (d_model * d_model + d_model)
    feed_forward = 2 * d_model * d_ff + d_ff + d_model
    encoder = attention + feed_forward + 2 * (2 * d_model)
    decoder = 2 * attention + feed_forward + 3 * (2 * d_model)
    return vocab * d_model + n_layers * (encoder + decoder)


check_parameters(parameters_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: encdec-exercise-generate -->
# ### 5. 한 토큰씩 쓰기 (★★★, 17분)
#
# `model(source, target)`만 써서 번역문을 쓰는 함수를 만드십시오. 모든 줄이 `model.config.bos`에서 시작하고, 로짓이 가장 큰 토큰을 이어 붙이며, `eos`가 나온 줄은 그 뒤를 `pad`로 채웁니다. 모든 줄이 끝나거나 길이가 (bos까지 세어) `max_length`에 이르면 멈춥니다.
#
# 힌트: 다음 토큰은 마지막 자리의 로짓에서 나옵니다. 끝난 줄을 참으로 적어 두면 `masked_fill`로 채울 수 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: encdec-exercise-generate -->
# ### 5. Write token by token (★★★, 17 minutes)
#
# With nothing but `model(source, target)`, make a function that writes targets. Every row begins with `model.config.bos` and takes on the token with the largest logit; after `eos` a row is filled up with `pad`. Stop when all rows have ended or their length, bos included, has reached `max_length`.
#
# Hint: the next token comes from the logits of the last place. Keep track of the rows that have ended, and `masked_fill` can fill them.

# %% tags=["exercise"]
def my_generate(model, source, max_length):
    ...

# %%
from lib.exercises.encoder_decoder import check_generate

check_generate(my_generate)

# %% tags=["solution", "hide-cell"]
def generate_solution(model, source, max_length):
    config = model.config
    ids = source.new_full((len(source), 1), config.bos)
    done = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    while ids.shape[1] < max_length and not done.all():
        following = model(source, ids)[:, -1].argmax(-1)
        following = following.masked_fill(done, config.pad)
        ids = torch.cat((ids, following[:, None]), dim=1)
        done = done | (following == config.eos)
    return ids


check_generate(generate_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: encdec-measured -->
# ## 무엇을 무엇으로 쟀는가
#
# | 잰 것 | 결과 |
# |---|---|
# | 열한 줄과 `Transformer`의 차이(float32) | ⟨whole_gap⟩ |
# | `torch.nn`과의 차이, 출력 | float32 ⟨out_32⟩, float64 ⟨out_64⟩ |
# | `torch.nn`과의 차이, 모든 매개변수의 기울기 | float32 ⟨back_32⟩, float64 ⟨back_64⟩ |
# | 빈자리가 바꾸는 로짓(float32) | ⟨pad_gap⟩ |
# | 뒤의 토큰이 바꾸는 앞의 로짓 | ⟨early_change⟩ |
# | 마지막 층의 기울기, ⟨shallowest⟩층과 ⟨deepest⟩층, 시드(seed) ⟨n_seeds⟩개 평균 | post ⟨last_post_shallow⟩, ⟨last_post_deep⟩, pre ⟨last_pre_shallow⟩, ⟨last_pre_deep⟩ |
# | 매개변수, base와 big | ⟨base_counted⟩, ⟨big_counted⟩ |
# | 연산의 식과 계수기의 차이, 64토큰 | ⟨flops_gap⟩ |
# | 캐시 없이 ⟨n_written⟩토큰을 쓸 때의 연산 | ⟨times_nothing⟩배 |
#
# 모델은 모두 난수로 채운 것이고 드롭아웃은 껐습니다. 파이토치와의 비교는 폭 64, 헤드 4개, 3층인 모델로, 깊이의 비교는 폭 64인 인코더로 했습니다. 학습한 모델의 기울기는 여기서 잰 것과 다릅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: encdec-measured -->
# ## What was measured, and on what
#
# | measured | result |
# |---|---|
# | Eleven lines against `Transformer` (float32) | ⟨whole_gap⟩ |
# | Difference from `torch.nn`, outputs | float32 ⟨out_32⟩, float64 ⟨out_64⟩ |
# | Difference from `torch.nn`, gradients of all parameters | float32 ⟨back_32⟩, float64 ⟨back_64⟩ |
# | Logits changed by padding (float32) | ⟨pad_gap⟩ |
# | Earlier logits changed by later tokens | ⟨early_change⟩ |
# | Gradient of the last layer, ⟨shallowest⟩ and ⟨deepest⟩ layers, mean over seeds (⟨n_seeds⟩) | post ⟨last_post_shallow⟩, ⟨last_post_deep⟩, pre ⟨last_pre_shallow⟩, ⟨last_pre_deep⟩ |
# | Parameters, base and big | ⟨base_counted⟩, ⟨big_counted⟩ |
# | Operations, formula against counter, 64 tokens | ⟨flops_gap⟩ |
# | Operations of writing ⟨n_written⟩ tokens without a cache | ⟨times_nothing⟩ times |
#
# All models are filled with random numbers, dropout is off. The comparison with PyTorch used a model of width 64 with 4 heads and 3 layers, that of depths encoders of width 64. Gradients of trained models are not those measured here.

# %% tags=["remove-input"]
named = ", ".join((f"d = {d_model}", f"h = {n_heads}", f"N = {n_layers}",
                   f"d_ff = {d_ff}", f"V = {vocab:,}"))
pd.DataFrame([
    ["모델 | Model", named],
    ["매개변수 | Parameters", f"{size_of(model):,} (float32)"],
    ["깊이 | Depths", ", ".join(map(str, cfg.depths))],
    ["시드 | Seeds", str(cfg.seeds)],
    ["장치 | Device", str(cfg.device)],
    ["torch", torch.__version__],
    ["프로필 | Profile", cfg.profile],
], columns=["재료 | made with", "이 실행 | this run"]).set_index(
    "재료 | made with")
