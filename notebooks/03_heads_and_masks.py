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
# <!-- label: heads-and-masks -->
# # 헤드와 마스크: 볼 수 있는 곳과 실제로 보는 곳
#
# [2장](02_qkv_tracing.ipynb)에서는 헤드(head) 하나가 하는 계산을 끝까지 따라갔습니다. 이 장에서는 헤드를 왜 여럿 두는지, 마스크(mask)로 무엇을 가리는지 코드로 쓰고 재어 봅니다. 그런 다음 실제 언어 모델(language model)의 헤드 ⟨n_all⟩개가 무엇을 보는지 한국어 글과 영어 글에서 세고, 그렇게 얻은 어텐션(attention) 그림에서 **결론지을 수 없는 것**이 무엇인지도 숫자로 확인합니다.
#
# - **할 수 있게 되는 것.** 헤드 하나를 여러 헤드로, 다시 키(key)를 나누어 쓰는 헤드로 키워 갈 수 있습니다. 어떤 마스크든 참·거짓 텐서 하나로 만들고 그것이 지켜야 할 법칙을 검사할 수 있습니다. 헤드가 무엇을 보는지 점수로 말하고, 그 점수로는 알 수 없는 것이 무엇인지 압니다.
# - **걸리는 시간.** 읽기 45분, 연습 문제 47분.
# - **필요한 것.** [2장의 걸음들](02_qkv_tracing.ipynb#qkv-steps), 파이썬과 파이토치 조금.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-and-masks -->
# # Heads and masks: where a head may look, and where it does
#
# [Chapter 2](02_qkv_tracing.ipynb) followed one head to the end of its computation. This chapter asks why there are several, and what a mask hides, in code that is measured. Then it counts what the ⟨n_all⟩ heads of a real language model look at, in Korean text and in English, and checks with numbers what one **cannot conclude** from such a picture of attention.
#
# - **You will be able to** grow one head into many, and many into heads that share their keys; write any mask as one tensor of true and false and test the laws it must keep; say with a score what a head looks at, and know what it cannot tell you.
# - **Time.** 45 minutes to read, 47 for the exercises.
# - **You need** [the steps of chapter 2](02_qkv_tracing.ipynb#qkv-steps), a little Python and PyTorch.

# %% tags=["parameters"]
profile: str = None  # smoke, book or gpu; None follows BOOK_PROFILE, else book
sentence = "고양이가 물을 마신다. 개도 물을 마신다. 물이 아주 차다."  # explored
sentence_en = (
    "The cat drank the water. The dog drank the cold water too."
)  # its partner in English
windows: int = None  # passages measured in each language; None: the profile
tokens: int = None  # 32 to 512: of a passage; None: the profile
shuffled: int = None  # passages that are read in random order too
probed: int = None  # passages for value norms and for silenced heads
silenced: int = None  # heads that are silenced one at a time
seed = 0  # of random vectors, random orders and random heads
device = "cpu"  # cpu, cuda or auto

# %% tags=["hide-input"]
import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib import pyplot as plt
from torch import nn

from lib import data
from lib.attention.dot_product import (
    MultiHeadAttention,
    attention_logits,
    masked_softmax,
)
from lib.attention.masks import causal_mask, padding_mask
from lib.page.figures import COLOURS, PAPER, show, use_style
from lib.page.profile import expect, settings
from lib.page.record import record

use_style()
pd.set_option("display.max_colwidth", None)

# %% tags=["hide-input"]
names = ("windows", "tokens", "shuffled", "probed", "silenced")
smoke, book, gpu = (dict(zip(names, row, strict=True)) for row in (
    (2, 48, 1, 1, 6), (20, 128, 4, 2, 28), (64, 256, 16, 8, 270)))
given = {name: globals()[name] for name in names}
expect(str, sentence=sentence, sentence_en=sentence_en)
expect(int, seed=seed)
cfg = settings(profile, smoke=smoke, book=book, gpu=gpu, given=given,
               device=device, seed=seed)
if not 32 <= cfg.tokens <= 512:
    raise ValueError(f"passages of {cfg.tokens} tokens cannot be measured "
                     "here; use 32 to 512 tokens.")
draw = torch.Generator().manual_seed(seed)

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-mixture -->
# ## 헤드 하나는 섞은 것 하나
#
# 헤드는 쿼리(query)마다 어텐션 가중치(attention weight) 한 줄을 만들고, 그 가중치로 값들을 섞어 벡터 하나를 냅니다. 토큰(token)이 두 곳에 있는 것을 함께 알아야 한다면 헤드 하나는 둘을 한 벡터에 섞을 수밖에 없습니다. 섞은 것에서 둘을 도로 가려낼 수 있을까요?
#
# 서로 아무 상관이 없는 난수 벡터 두 벌로 물어봅니다. 가까운 토큰의 값과 먼 토큰의 값이라고 합시다. 섞인 벡터에 행렬을 곱해 두 값을 되살리되, 가장 잘 되살리는 행렬을 씁니다. 그렇게 되살린 것이 원래 값의 분산을 얼마나 설명하는지($R^2$) 잽니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-mixture -->
# ## One head gives one mixture
#
# For each query a head makes one row of attention weights and mixes the values by it into one vector. A token that needs what stands in two places gets the two blended. Can they be told apart again?
#
# We ask with two sets of random vectors that have nothing to do with each other: call them the values of a near token and of a far one. A matrix restores each of them from the mixture, the best one that there is. How much of their variance it explains is $R^2$.

# %%
near, far = torch.randn(2, 4000, 8, generator=draw)


def recovered(z, wanted):
    left = wanted - z @ torch.linalg.lstsq(z, wanted).solution
    return 1 - (left.var() / wanted.var()).item()


mixtures = {
    "one head, half and half": near / 2 + far / 2,
    "one head, nine to one": 0.9 * near + 0.1 * far,
    "two heads": torch.cat((near, far), dim=-1)}
table = pd.DataFrame(
    {name: [recovered(z, near), recovered(z, far)]
     for name, z in mixtures.items()},
    index=["near", "far"]).T
table["sum"] = table.sum(axis=1)
table.round(2)

# %% tags=["remove-cell"]
record(one_head_sum=table.iloc[0, 2], two_heads_sum=table.iloc[2, 2])

# %% [markdown] tags=["lang-ko"]
# 헤드가 하나면 가중치를 어떻게 나누어도 두 $R^2$의 합은 ⟨one_head_sum⟩ 언저리입니다. 한쪽을 또렷이 볼수록 다른 쪽을 잃습니다. 헤드가 둘이면 저마다 한 곳씩 보고 결과를 나란히 이어 붙이므로 합이 ⟨two_heads_sum⟩입니다. 난수라서 이렇게 깨끗하게 갈립니다. 실제 값들은 서로 얽혀 있어 손해가 이보다 작을 수 있습니다.
# %% [markdown] tags=["lang-en"]
# With one head the two $R^2$ add up to about ⟨one_head_sum⟩, however the weight is split: what one side gains in sharpness the other loses. Two heads look at one place each and lay the results side by side; the sum is ⟨two_heads_sum⟩. Random vectors make the case this clean; real values are tied to one another and may lose less.

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-versions -->
# ## 하나에서 여럿으로, 여럿에서 나눠 쓰기로
#
# 같은 코드를 두 번 키웁니다. 달라진 줄에만 `# v2`, `# v3`이라고 적었습니다. 첫째는 [2장](02_qkv_tracing.ipynb#qkv-steps)에서 손으로 한 계산을 그대로 옮긴 헤드 하나입니다. 입력 `x`의 모양은 `(batch, seq, d_model)`입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-versions -->
# ## From one to many, from many to sharing
#
# The same code grows twice; only the lines that change carry a `# v2` or `# v3`. First, one head: the steps that [chapter 2](02_qkv_tracing.ipynb#qkv-steps) took by hand. The input `x` has the shape `(batch, seq, d_model)`.

# %%
class OneHead(nn.Module):
    def __init__(self, d_model, d_head):
        super().__init__()
        self.query = nn.Linear(d_model, d_head)
        self.key = nn.Linear(d_model, d_head)
        self.value = nn.Linear(d_model, d_head)
        self.output = nn.Linear(d_head, d_model)

    def forward(self, x, mask=None):
        q, k, v = self.query(x), self.key(x), self.value(x)
        A = masked_softmax(attention_logits(q, k), mask)
        return self.output(A @ v)

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-many -->
# ### v2: 나누고, 따로 보고, 잇기
#
# 멀티 헤드 어텐션(multi-head attention)은 행렬을 헤드마다 따로 두지 않습니다. 폭이 `n_heads * d_head`인 투영(projection)을 한 번 하고 결과를 헤드별로 자릅니다. 가운데의 두 줄, 곧 로짓(logit, 곧 어텐션 점수)을 구하고 소프트맥스(softmax)를 적용하는 계산은 그대로입니다. 헤드 축이 배치 축처럼 앞에 놓이기 때문입니다.
#
# $$\operatorname{MHA}(X) = [\,Z_0 \; Z_1 \; \cdots \; Z_{H-1}\,]\, W_O^\top, \qquad Z_h = \operatorname{softmax}\!\left(\frac{Q_h K_h^\top}{\sqrt{d}}\right) V_h$$
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-many -->
# ### v2: cut, look apart, join
#
# Multi-head attention keeps no separate matrices for its heads. It makes one projection of width `n_heads * d_head` and cuts the result. The two lines in the middle, logits (attention scores) and softmax, stay as they are, since the head axis stands in front like a batch.
#
# $$\operatorname{MHA}(X) = [\,Z_0 \; Z_1 \; \cdots \; Z_{H-1}\,]\, W_O^\top, \qquad Z_h = \operatorname{softmax}\!\left(\frac{Q_h K_h^\top}{\sqrt{d}}\right) V_h$$

# %%
class ManyHeads(nn.Module):
    def __init__(self, d_model, d_head, n_heads):            # v2
        super().__init__()
        width, self.n_heads = n_heads * d_head, n_heads      # v2
        self.query = nn.Linear(d_model, width)               # v2
        self.key = nn.Linear(d_model, width)                 # v2
        self.value = nn.Linear(d_model, width)               # v2
        self.output = nn.Linear(width, d_model)              # v2

    def split(self, x):  # to batch, head, seq, d_head         v2
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

    def forward(self, x, mask=None):
        q, k, v = self.query(x), self.key(x), self.value(x)
        q, k, v = self.split(q), self.split(k), self.split(v)  # v2
        A = masked_softmax(attention_logits(q, k), mask)
        return self.output((A @ v).transpose(1, 2).flatten(2))  # v2

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-shared -->
# ### v3: 키와 값 나눠 쓰기
#
# 그룹 쿼리 어텐션(grouped-query attention)에서는 키와 값의 투영만 좁아집니다. 자른 다음 이웃한 쿼리 헤드들이 함께 쓰도록 되풀이해 놓으면 나머지는 v2와 같습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-shared -->
# ### v3: share keys and values
#
# In grouped-query attention only the projections of keys and values become narrower. After cutting, each is repeated for the query heads that share it; the rest is v2.

# %%
class SharedKeys(ManyHeads):
    def __init__(self, d_model, d_head, n_heads, n_kv_heads):   # v3
        super().__init__(d_model, d_head, n_heads)
        self.d_head = d_head                                    # v3
        self.key = nn.Linear(d_model, n_kv_heads * d_head)      # v3
        self.value = nn.Linear(d_model, n_kv_heads * d_head)    # v3

    def split(self, x):
        x = x.unflatten(-1, (-1, self.d_head)).transpose(1, 2)  # v3
        return x.repeat_interleave(self.n_heads // x.shape[1], 1)  # v3

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-parity -->
# ### 정말 같은가
#
# 가중치를 옮겨 담아 다섯 쌍을 맞춰 봅니다. v2는 헤드를 하나만 두면 v1이 되어야 하고, v3은 키 헤드를 쿼리 헤드만큼 두면 v2가 되어야 합니다. v2는 `torch.nn.MultiheadAttention`과 같아야 합니다. 나머지 둘은 중간값이 드러나는 우리 구현과, 가중치를 밖에 내놓지 않는 대신 빠른 `F.scaled_dot_product_attention`을 견줍니다. 빠른 쪽은 이 책의 `lib.attention.dot_product.MultiHeadAttention`을 거쳐 부릅니다. v3에 회전 위치와 캐시를 더한 모듈입니다. 인과 마스크(causal mask)를 씌우고 출력과 입력에 대한 기울기(gradient)를 함께 봅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-parity -->
# ### Are they the same?
#
# Five pairs, with the weights copied over. With one head, v2 must become v1; with as many key heads as query heads, v3 must become v2. v2 must equal `torch.nn.MultiheadAttention`. The last two pairs compare our implementation, which shows its intermediate values, with `F.scaled_dot_product_attention`, which is fast and shows no weights. It is called through `lib.attention.dot_product.MultiHeadAttention`, the module of this book that adds rotary positions and a cache to v3. All use the causal mask; we compare the output and the gradient with respect to the input.

# %% tags=["hide-input"]
def same_weights(one, other):
    other.load_state_dict(one.state_dict())
    return one, other


def beside_torch(one):
    other = nn.MultiheadAttention(one.output.out_features, one.n_heads,
                                  batch_first=True)
    parts = one.query, one.key, one.value
    with torch.no_grad():
        other.in_proj_weight.copy_(torch.cat([p.weight for p in parts]))
        other.in_proj_bias.copy_(torch.cat([p.bias for p in parts]))
        other.out_proj.load_state_dict(one.output.state_dict())
    return one, other


def run(layer, x, mask):
    if isinstance(layer, nn.MultiheadAttention):
        return layer(x, x, x, attn_mask=~mask, need_weights=False)[0]
    return layer(x, mask=mask)

# %% tags=["hide-input"]
torch.manual_seed(seed)  # of the modules' first weights
pairs = {
    "v1 = v2, 1 head": same_weights(OneHead(32, 8), ManyHeads(32, 8, 1)),
    "v2 = v3, 4 key heads": same_weights(
        ManyHeads(32, 8, 4), SharedKeys(32, 8, 4, 4)),
    "v2 = nn.MultiheadAttention": beside_torch(ManyHeads(32, 8, 4)),
    "v2 = F.scaled_dot_product_attention": same_weights(
        ManyHeads(32, 8, 4), MultiHeadAttention(32, 4)),
    "v3 = F.scaled_dot_product_attention": same_weights(
        SharedKeys(32, 8, 4, 2), MultiHeadAttention(32, 4, 2))}


def gaps(one, other, dtype):
    x = torch.randn(2, 9, 32, generator=draw).to(dtype)
    results = []
    for layer in (one.to(dtype), other.to(dtype)):
        y = run(layer, x.requires_grad_(), causal_mask(9))
        slope = torch.autograd.grad(y.square().sum(), x)[0]
        results.append((y, slope))
    return [(a - b).abs().max().item() for a, b in zip(*results, strict=True)]

# %%
def short(gap):
    return f"{gap:.1e}" if gap else "0"


rows = {name: gaps(*pair, torch.float32) + gaps(*pair, torch.float64)
        for name, pair in pairs.items()}
parity = pd.DataFrame(rows, index=[
    f"{what}, {kind}" for kind in ("float32", "float64")
    for what in ("output", "gradient")]).T
parity.map(short)

# %% tags=["remove-cell"]
record(parity_32=parity.iloc[:, :2].max().max(),
       parity_64=parity.iloc[:, 2:].max().max())

# %% [markdown] tags=["lang-ko"]
# 가장 큰 차이는 float32에서 ⟨parity_32⟩, float64에서 ⟨parity_64⟩입니다. 정밀도를 높이자 함께 줄었으니 [2장의 규칙](02_qkv_tracing.ipynb#qkv-all-layers)대로 반올림입니다.
#
# 나눠 쓰면 기억해 둘 것이 줄어듭니다. 이 책이 여는 SmolLM2-135M은 층이 ⟨n_layers⟩개, 층마다 쿼리 헤드가 ⟨n_heads⟩개, 키·값 헤드가 ⟨n_kv_heads⟩개입니다. 글을 생성할 때 간직해 두는 키와 값은 토큰 1,000개에 ⟨kv_shared⟩ MiB이고, 헤드마다 제 것을 두었다면 ⟨kv_own⟩ MiB였을 것입니다(bfloat16으로 셈).
# %% [markdown] tags=["lang-en"]
# The largest difference is ⟨parity_32⟩ in float32 and ⟨parity_64⟩ in float64. It shrinks with the precision, so by [the rule of chapter 2](02_qkv_tracing.ipynb#qkv-all-layers) it is rounding.
#
# What sharing saves is memory. SmolLM2-135M, the model of this book, has ⟨n_layers⟩ layers, each with ⟨n_heads⟩ query heads and ⟨n_kv_heads⟩ key/value heads. The keys and values that it keeps while writing take ⟨kv_shared⟩ MiB for 1,000 tokens; with keys of its own for every head it would be ⟨kv_own⟩ MiB (counted in bfloat16).

# %% tags=["remove-input"]
model, tokenizer = data.language_model()
model.to(cfg.device).requires_grad_(False)
config = model.config
group = config.num_attention_heads // config.num_key_value_heads
per_token = (config.num_hidden_layers * config.num_key_value_heads
             * config.head_dim * 2 * 2)  # K and V, 2 bytes each
record(n_layers=config.num_hidden_layers,
       n_heads=config.num_attention_heads,
       n_kv_heads=config.num_key_value_heads,
       n_all=config.num_hidden_layers * config.num_attention_heads,
       kv_shared=per_token * 1000 / 2**20,
       kv_own=per_token * 1000 / 2**20 * group)

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-masks -->
# ## 마스크: 볼 수 있는 곳
#
# 마스크는 참·거짓 텐서 하나입니다. 모양은 `(batch, head, query, key)`로 늘어나며, **참인 칸만 볼 수 있습니다.** 세 가지면 대부분의 일을 합니다.
#
# - **인과 마스크**: 자기 자신과 그 앞만 봅니다.
# - **패딩(padding) 마스크**: 길이를 맞추려고 채운 자리를 보지 않습니다. 쿼리가 누구든 같으므로 모양이 `(batch, 1, 1, key)`입니다.
# - **크로스 마스크**: 크로스 어텐션(cross-attention)에서는 쿼리와 키가 서로 다른 문장에서 오므로 직사각형입니다. 원문의 패딩만 가립니다.
#
# 겹쳐 쓸 때는 `&`로 합칩니다. 그림에서 칠한 칸이 볼 수 있는 칸입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-masks -->
# ## Masks: where a head may look
#
# A mask is one tensor of true and false. It broadcasts to `(batch, head, query, key)`, and **only true cells may be looked at.** Three kinds do most of the work.
#
# - **Causal mask**: look at yourself and at what came before.
# - **Padding mask**: do not look at the places that only fill up a batch, the padding. It is the same for every query, so its shape is `(batch, 1, 1, key)`.
# - **Cross mask**: in cross-attention queries and keys come from two sequences, so it is a rectangle. It hides the padding of the source.
#
# Masks are joined with `&`. In the picture, filled cells may be looked at.

# %% tags=["hide-input"]
source = torch.tensor([[7, 8, 9, 4, 0, 0]])  # 0 fills up the batch
padding = padding_mask(source, pad=0)[0, 0]
panels = {"causal": causal_mask(6), "padding": padding.expand(6, 6),
          "causal & padding": causal_mask(6) & padding,
          "cross": padding.expand(4, 6)}
figure, axes = plt.subplots(1, 4, figsize=(7.2, 2.3))
for axis, (name, mask) in zip(axes, panels.items(), strict=True):
    axis.imshow(mask, vmin=0, vmax=1.4)
    axis.set_title(name, fontsize=9)
    axis.set(xlabel="key", xticks=range(6), yticks=range(len(mask)))
    for i in range(1, 6):
        axis.axvline(i - 0.5, color=PAPER, linewidth=1)
        axis.axhline(i - 0.5, color=PAPER, linewidth=1)
    axis.set_ylim(len(mask) - 0.5, -0.5)
axes[0].set_ylabel("query")
cells = {f"{name}, query {i}": row.int().tolist()
         for name, mask in panels.items() for i, row in enumerate(mask)}
show(figure, table=pd.DataFrame(
    cells, index=[f"key {j}" for j in range(6)]).T)

# %% [markdown] tags=["lang-ko", "caption"]
# 키가 여섯, 그 가운데 뒤의 둘이 패딩입니다. 인과 마스크는 세모꼴, 패딩 마스크는 세로띠이고, 둘을 합치면 둘이 모두 허락한 칸만 남습니다. 맨 오른쪽은 쿼리가 넷인 크로스 마스크입니다.
# <!-- alt: 작은 격자 네 개. 첫째는 왼쪽 아래 세모, 둘째는 왼쪽 네 열, 셋째는 그 둘이 겹친 곳, 넷째는 네 행짜리 격자의 왼쪽 네 열이 칠해져 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Six keys, the last two of them padding. The causal mask is a triangle, the padding mask a band of columns; joined, only cells that both allow remain. On the right a cross mask with four queries.
# <!-- alt: Four small grids. Filled are, in turn, the lower left triangle, the four left columns, where the two overlap, and the four left columns of a grid of four rows. -->

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-paint -->
# ### 마스크를 칠해 보기
#
# 마스크를 손으로 칠하면 모델의 답은 어떻게 될까요? [5장에서 학습하는 번역기](05_training.ipynb)의 인코더(encoder)에 마스크를 씌웁니다. 모든 층, 모든 헤드에 같은 마스크가 씌워집니다. 칸을 지우고, 헤드를 끄고, 날짜와 수를 바꾸어 보십시오.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-paint -->
# ### Paint a mask
#
# What does a model answer under a mask painted by hand? Here is the encoder of [the translator that chapter 5 trains](05_training.ipynb), with one mask over all its layers and heads. Clear cells, switch heads off, try other dates and numbers.

# %% tags=["hide-input"]
from lib.page.live import alive

generator = torch.Generator().manual_seed(0)
logits = torch.randn(6, 6, generator=generator)
close = (torch.arange(6)[:, None] - torch.arange(6)).abs() <= 1
panels = {"mask": close.float(), "weights": masked_softmax(logits, close)}
figure, axes = plt.subplots(1, 2, figsize=(5.2, 2.6))
for axis, (name, part) in zip(axes, panels.items(), strict=True):
    axis.imshow(part, vmin=0, vmax=1.4)
    axis.set(title=name, xlabel="key", xticks=range(6), yticks=range(6))
axes[0].set_ylabel("query")
alive(figure, "mask", "05.translator", table=pd.DataFrame(
    panels["weights"].numpy(), index=[f"query {i}" for i in range(6)],
    columns=[f"key {j}" for j in range(6)]))

# %% [markdown] tags=["lang-ko", "caption"]
# 왼쪽은 이웃만 보게 하는 마스크, 오른쪽은 그 마스크로 남은 가중치. 가린 칸의 몫은 0이고, 행마다 남은 칸이 1을 나누어 가집니다.
# <!-- alt: 정사각형 격자 두 개. 왼쪽은 대각선과 그 양옆의 칸만 칠해져 있고, 오른쪽은 같은 칸들이 저마다 다른 진하기로 칠해져 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# On the left a mask under which each token sees its neighbours alone, on the right the weights that remain. Hidden cells have 0, and in each row the others share 1 among themselves.
# <!-- alt: Two square grids. On the left only the diagonal and the cells on either side of it are filled; on the right the same cells in different strengths. -->

# %% [markdown] tags=["lang-ko"]
# 어느 칸이 꼭 필요한지는 마스크의 꼴만 보아서는 알 수 없습니다. 답이 그대로인 채로 얼마나 많은 칸을 지울 수 있는지 세어 보십시오. 이 모델은 모두 볼 수 있을 때 학습했으므로, 답이 무너졌다고 해서 그런 마스크로는 배울 수 없다는 뜻은 아닙니다.
# %% [markdown] tags=["lang-en"]
# The shape of a mask does not tell which cells are needed. Count how many you can clear before the answer changes. This model was trained while it could see everything; if its answer falls apart, that does not mean that it could not learn under such a mask.

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-laws -->
# ### 지켜야 할 법칙
#
# 마스크를 쓴 어텐션은 몇 가지 법칙을 지킵니다. 말로만 믿지 않고 입력을 바꿔 가며 출력이 얼마나 달라지는지 잽니다. float64로, 중간값이 드러나는 구현(`reference`)과 빠른 구현(`sdpa`) 둘 다에서 잽니다. 법칙이 깨져야 마땅한 대조 실험 둘도 넣었습니다.
#
# - 가중치는 행마다 더해서 1입니다.
# - 인과성(causality): 뒤의 토큰을 바꾸어도 앞의 출력은 그대로입니다. 대조: 앞을 바꾸면 뒤가 달라집니다.
# - 패딩 자리의 내용을 바꾸거나 아예 잘라 내도 진짜 토큰의 출력은 그대로입니다.
# - 순열 등변성(permutation equivariance): 마스크도 위치도 없으면 입력의 순서를 섞을 때 출력의 순서도 똑같이 섞입니다. 대조: 인과 마스크가 있으면 그렇지 않습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-laws -->
# ### The laws they keep
#
# Attention with a mask keeps some laws. We do not take them on trust: we change the input and measure how much the output moves, in float64, in the open form (`reference`) and the fast one (`sdpa`). Two controls, where the law has to break, stand beside them.
#
# - The weights of each row sum to one.
# - Causality: changing later tokens leaves earlier outputs alone. Control: changing earlier ones moves the later.
# - Changing what stands in the padding, or cutting it off, leaves the outputs of real tokens alone.
# - Permutation equivariance: without mask and positions, reordering the input reorders the output alike. Control: with the causal mask it does not.

# %%
layer = MultiHeadAttention(32, 4, n_kv_heads=2).double()
x, noise = torch.randn(2, 1, 9, 32, generator=draw, dtype=torch.float64)
causal, real = causal_mask(9), torch.arange(9)[None] < 6
order = torch.randperm(9, generator=draw)


def mixed(start, stop):  # x with noise from start to stop
    swap = (torch.arange(9) >= start) & (torch.arange(9) < stop)
    return noise.where(swap[:, None], x)


def change(one, other, rows=slice(None)):
    return (one - other)[:, rows].abs().max().item()


def row_sums(mask):
    q, k = (project(x).unflatten(-1, (-1, 8)).transpose(1, 2)
            for project in (layer.query, layer.key))
    S = attention_logits(q, k.repeat_interleave(2, dim=1))
    return masked_softmax(S, mask).sum(-1)

# %%
def laws():
    seen, some = layer(x, mask=causal), layer(x, mask=real)
    later = layer(mixed(5, 9), mask=causal)
    earlier = layer(mixed(0, 5), mask=causal)
    return {
        "sum": (row_sums(causal) - 1).abs().max().item(),
        "later": change(seen, later, slice(0, 5)),
        "earlier": change(seen, earlier, slice(5, 9)),
        "padding": change(some, layer(mixed(6, 9), mask=real), slice(0, 6)),
        "cut": change(some[:, :6], layer(x[:, :6])),
        "order": change(layer(x)[:, order], layer(x[:, order])),
        "causal order": change(seen[:, order],
                               layer(x[:, order], mask=causal))}


forms = {}
with torch.no_grad():
    for form in ("reference", "sdpa"):
        layer.form = form
        forms[form] = laws()

# %% tags=["hide-input"]
sayings = {
    "sum": "sum of a row − 1", "later": "change later, look earlier",
    "earlier": "control: earlier, look later", "padding": "change the padding",
    "cut": "cut the padding off", "order": "shuffle",
    "causal order": "control: causal, shuffled"}
for law in sayings:
    record(f"law_{law.replace(' ', '_')}",
           max(found[law] for found in forms.values()))
pd.DataFrame(forms).rename(index=sayings).map(short)

# %% [markdown] tags=["lang-ko"]
# 뒤의 토큰을 바꾸었을 때 앞의 출력이 달라진 정도는 ⟨law_later⟩, 패딩의 내용을 바꾸었을 때는 ⟨law_padding⟩입니다. 반올림조차 다르지 않습니다. 가려진 칸의 가중치는 작은 수가 아니라 정확히 0이고, 0을 곱한 것은 무엇을 바꾸어도 더해지지 않기 때문입니다. 패딩을 잘라 내면 더하는 수의 개수가 달라지므로 ⟨law_cut⟩만큼의 반올림이 남습니다.
#
# 마지막 대조도 눈여겨볼 만합니다. 마스크가 없으면 어텐션은 순서를 모르지만(⟨law_order⟩), 인과 마스크만 씌워도 순서를 섞은 출력이 ⟨law_causal_order⟩까지 달라집니다. **인과 마스크는 그 자체로 순서를 알려 줍니다.**
# %% [markdown] tags=["lang-en"]
# When later tokens change, earlier outputs move by ⟨law_later⟩; when the padding changes, by ⟨law_padding⟩. Not even the rounding differs: the weight of a hidden cell is not a small number but exactly 0, and 0 times anything adds nothing. Cutting the padding off changes how many numbers are added, which leaves ⟨law_cut⟩ of rounding.
#
# The last control is worth a second look. Without a mask attention does not know the order (⟨law_order⟩), but with the causal mask alone, shuffled outputs differ by up to ⟨law_causal_order⟩. **The causal mask by itself tells the order.**

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-nowhere -->
# ### 볼 곳이 없는 쿼리
#
# 마스크를 합치다 보면 모든 칸이 막힌 행이 생깁니다. 소프트맥스는 그런 행에서 $0/0$이 됩니다. 같은 일을 하는 네 가지 방법이 이때 무엇을 내놓는지 봅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-nowhere -->
# ### A query that may look nowhere
#
# Joining masks can leave a row with every cell closed, where the softmax becomes $0/0$. Here is what four ways of computing the same thing give for such a row.

# %%
blind = torch.tensor([[True, True], [False, False]])  # query 1: nowhere
two = torch.randn(1, 2, 8, generator=draw)
theirs = nn.MultiheadAttention(8, 2, batch_first=True).eval()
S = attention_logits(two, two)
with torch.no_grad():
    outputs = {
        "softmax(S − ∞)": S.masked_fill(~blind, -torch.inf).softmax(-1) @ two,
        "nn.MultiheadAttention": theirs(two, two, two, attn_mask=~blind)[0],
        "F.scaled_dot_product_attention": F.scaled_dot_product_attention(
            two, two, two, blind),
        "masked_softmax": masked_softmax(S, blind) @ two}
pd.DataFrame({"output of the blind query": {
    name: f"{z[0, 1].abs().max():.3g}" for name, z in outputs.items()}})

# %% tags=["remove-input"]
gone = [name for name, z in outputs.items() if z[0, 1].isnan().any()]
record(nan_ways=len(gone), ways=len(outputs))

# %% [markdown] tags=["lang-ko"]
# ⟨ways⟩가지 가운데 ⟨nan_ways⟩가지가 NaN을 냅니다. 같은 파이토치 안에서도 함수에 따라 갈립니다. NaN 하나는 기울기를 타고 모델 전체로 번지므로, 이 책의 `masked_softmax`는 볼 곳이 없는 행에 0을 돌려줍니다. 아무것도 보지 않았으니 더할 것도 없다는 뜻입니다.
# %% [markdown] tags=["lang-en"]
# ⟨nan_ways⟩ of the ⟨ways⟩ give NaN; even within PyTorch it depends on the function. One NaN spreads through the gradients to the whole model. So `masked_softmax` of this book returns zeros for a row that may look nowhere: nothing seen, nothing added.

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-page -->
# ## 실제로 보는 곳: 모델 하나를 재다
#
# 이제 SmolLM2의 헤드 ⟨n_all⟩개가 무엇을 보는지 셉니다. 한국어 글과 영어 글에서 ⟨tokens⟩토큰짜리 토막을 ⟨windows⟩개씩, 글 전체에 고르게 퍼지도록 잘라 냈습니다. 같은 낱말을 보는 헤드를 재려면 낱말이 다시 나와야 하므로, 앞에 나온 낱말의 토큰이 ⟨repeats⟩개 이상인 토막만 골랐습니다. 낱말은 빈칸으로 나뉜 것에서 문장 부호를 떼고 소문자로 바꾼 것입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-page -->
# ## Where heads do look: one model, measured
#
# Now we count what the ⟨n_all⟩ heads of SmolLM2 look at. From a Korean and an English text we cut ⟨windows⟩ passages of ⟨tokens⟩ tokens each, spread evenly. To measure heads that look at the same word, words have to come again, so we kept passages in which at least ⟨repeats⟩ tokens belong to a word seen before. A word is what stands between spaces, without punctuation, in lower case.

# %%
from lib.trace.head_types import earlier_same, word_places

repeats = 6  # tokens of repeated words that a passage must have
corpora = {"ko": data.text("korean"), "en": data.text("tinyshakespeare")}


def passage(text):
    """Ids of the first tokens, and which keys hold the word of which query."""
    read = tokenizer(text, return_offsets_mapping=True)
    offsets = read.offset_mapping[: cfg.tokens]
    ids = torch.tensor(read.input_ids[: cfg.tokens])
    return ids, earlier_same(*word_places(text, offsets))

# %%
def passages(text, wanted):
    found, places = [], 25 * wanted  # to look at, spread evenly
    while len(found) < wanted and places <= len(text):
        found, step = [], len(text) // places
        for start in range(0, len(text), step):
            begin = text.find("\n", start) + 1  # of a line
            ids, word = passage(text[begin : begin + 8 * cfg.tokens])
            if len(ids) == cfg.tokens and word.any(-1).sum() >= repeats:
                found.append((ids, word))
        places *= 2  # more densely, where too few have repeated words
    return found[:: max(1, len(found) // wanted)][:wanted]


texts = {side: passages(text, cfg.windows) for side, text in corpora.items()}

# %% tags=["remove-cell"]
for found in texts.values():
    if len(found) < cfg.windows:
        raise ValueError(f"{len(found)} passages of {cfg.tokens} tokens were "
                         f"found and {cfg.windows} asked for; lower windows.")
record(tokens=cfg.tokens, windows=cfg.windows, repeats=repeats)
record(**{f"{name}_{side}": data.describe(corpus, side) for name, corpus in (
    ("korean", "korean"), ("english", "tinyshakespeare")) for side in corpora})

# %% tags=["hide-input"]
sides = {"ko": "Korean", "en": "English"}
read = {"ko": ("한국어", "Korean", "korean"),
        "en": ("영어", "English", "tinyshakespeare")}
counts = {side: [
    len(found), sum(len(ids) for ids, _ in found),
    sum(len(tokenizer.decode(ids)) for ids, _ in found),
    sum(int(word.any(-1).sum()) for _, word in found)]
    for side, found in texts.items()}
pd.DataFrame(counts, index=[
    "passages", "tokens", "characters", "tokens of repeated words"]).T.rename(
    index={side: f"{ko}: {data.describe(corpus, 'ko')} | "
                 f"{en}: {data.describe(corpus)}"
           for side, (ko, en, corpus) in read.items()})

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-score -->
# ### 점수 하나로 말하기
#
# 무엇을 보느냐는 물음을 칸의 집합 $M$으로 적습니다. 점수는 그 칸들에 실린 가중치의 몫입니다. 볼 것이 있는 쿼리 $R$에서만 셉니다.
#
# $$s(A, M) = \frac{1}{|R|} \sum_{i \in R} \sum_j M_{ij} A_{ij}, \qquad R = \{\, i : \exists j \; M_{ij} \,\}$$
#
# - **바로 앞**: $j = i - 1$.
# - **같은 낱말**: 앞에 나온 같은 낱말의 토큰. 한 낱말 안의 조각끼리는 세지 않습니다.
# - **같은 토큰**: 앞에 나온 같은 번호의 토큰. 한국어에서는 글자를 나눈 바이트 조각일 때가 많습니다.
# - **첫 토큰**: $j = 0$.
#
# 서로 헷갈리지 않도록, 첫 토큰은 ‘첫 토큰’에서만 세고 바로 앞 자리는 ‘바로 앞’에서만 셉니다. 그런데 많은 헤드가 [가중치의 대부분을 첫 토큰에 내려놓습니다](02_qkv_tracing.ipynb#qkv-sink). 그래서 첫 토큰에 놓지 **않은** 가중치 가운데 몫이 얼마인지도 함께 셉니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-score -->
# ### One score for every question
#
# What a head looks at is written as a set of cells $M$. The score is the share of the weight on these cells, over the queries $R$ that have something to look at.
#
# $$s(A, M) = \frac{1}{|R|} \sum_{i \in R} \sum_j M_{ij} A_{ij}, \qquad R = \{\, i : \exists j \; M_{ij} \,\}$$
#
# - **The token before**: $j = i - 1$.
# - **The same word**: tokens of earlier occurrences of the same word; pieces of one word do not count for each other.
# - **The same token**: earlier tokens with the same id. In Korean these are often byte pieces of characters.
# - **The first token**: $j = 0$.
#
# So that one kind is not taken for another, the first token counts only under “first”, and the place just before only under “before”. But many heads [rest most of their weight on the first token](02_qkv_tracing.ipynb#qkv-sink). So we also count the share of the weight that is **not** resting there.

# %%
from lib.trace.head_types import (
    beyond_first,
    first_token,
    previous_token,
    share,
)
from lib.trace.recorder import trace

n = cfg.tokens
ground = beyond_first(n)


def masks_of(ids, word=None):
    masks = {"previous": previous_token(n), "token": earlier_same(ids),
             "first": first_token(n)}
    return masks if word is None else masks | {"word": word}

# %%
def look(ids):
    """Weights and values of all heads for one passage."""
    wanted = ("blocks.*.attn.pattern", "blocks.*.attn.v")
    with torch.no_grad(), trace(model, wanted) as traced:
        model.model(ids[None].to(cfg.device))  # no logits needed
    return (traced.stack("attn.pattern")[:, 0].cpu(),
            traced.stack("attn.v")[:, 0].cpu())

# %%
def measure(passages):
    """Scores by kind (passage, layer, head) and the mean map of all."""
    scores, beyond, total = [], [], 0
    for passage in passages:
        A, _ = look(passage[0])
        masks = masks_of(*passage)
        scores.append({kind: share(A, m) for kind, m in masks.items()})
        beyond.append({kind: share(A, m, ground)
                       for kind, m in masks.items()})
        total = total + A / len(passages)
    return *({kind: torch.stack([row[kind] for row in rows])
              for kind in rows[0]} for rows in (scores, beyond)), total


scores, beyond, maps = {}, {}, {}
for side, found in texts.items():
    scores[side], beyond[side], maps[side] = measure(found)

# %% tags=["hide-input"]
kinds = {"previous": "the token before", "word": "the same word",
         "token": "the same token", "first": "the first token"}
mean = {(side, kind): scores[side][kind].nanmean(0)  # layer, head
        for side in sides for kind in kinds}

# %% tags=["hide-input"]
figure, axes = plt.subplots(3, 2, figsize=(7.2, 5.2), sharex=True, sharey=True)
for row, kind in zip(axes, ("previous", "word", "first"), strict=True):
    for axis, side in zip(row, sides, strict=True):
        shares = mean[side, kind]
        axis.imshow(shares.T.sqrt(), vmin=0, vmax=1, aspect="auto")
        axis.plot(*divmod(int(shares.argmax()), 9), "o", color="none",
                  markeredgecolor=COLOURS["gravity"], markersize=9)
        axis.set_title(f"{kinds[kind]}, {sides[side]}", fontsize=9)
    row[0].set(ylabel="head", yticks=range(0, 9, 2))
axes[2, 0].set_xlabel("layer")
axes[2, 1].set_xlabel("layer")
show(figure, table=pd.DataFrame({
    f"{kinds[kind]}, {sides[side]}": mean[side, kind].max(1).values.tolist()
    for kind in kinds for side in sides}))

# %% [markdown] tags=["lang-ko", "caption"]
# 칸 하나가 헤드 하나입니다. 가로는 층, 세로는 헤드이고, 색은 몫의 제곱근에 비례합니다. 동그라미는 가장 센 헤드입니다. 위부터 바로 앞 토큰, 같은 낱말, 첫 토큰. 앞의 둘은 몇 안 되는 헤드가 맡고, 첫 토큰에는 거의 모든 헤드가 가중치를 놓습니다. 그림에 딸린 표에는 층마다 가장 큰 값이 있습니다.
# <!-- alt: 헤드 지도 여섯 개, 세 줄 두 열. 바로 앞을 보는 헤드는 여러 층에 하나둘씩 흩어져 있고 두 언어에서 자리가 같다. 같은 낱말을 보는 헤드는 2층에서 18층 사이에 드문드문 있다. 첫 토큰 지도는 3층부터 거의 전부 진하며, 한국어가 더 진하고 10층과 11층만 옅다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Each cell is a head, layers across and heads down; colour goes with the square root of the share. A circle marks the strongest head. From the top: the token before, the same word, the first token. The first two are the work of a few heads; on the first token nearly all put weight. The table that comes with the figure holds the largest value of each layer.
# <!-- alt: Six maps of heads in three rows and two columns. Heads that look one back are scattered over the layers, one or two a layer, in the same places for both languages. Heads that look at the same word stand here and there between layers 2 and 18. The map of the first token is dark nearly everywhere from layer 3 on, darker in Korean, and pale in layers 10 and 11. -->

# %% tags=["hide-input"]
from lib.trace.head_types import uniform


def at(index):
    return "L{}H{}".format(*divmod(int(index), config.num_attention_heads))


def other_maps(side, kind):
    """What the mean map of the other passages would score."""
    count = len(texts[side])
    every = torch.stack([share(maps[side], masks_of(*passage)[kind])
                         for passage in texts[side]])
    return (count * every - scores[side][kind]) / (count - 1)


def flat(side, kind):
    shares = [share(uniform(n), masks_of(*passage)[kind])
              for passage in texts[side]]
    return torch.stack(shares).nanmean().item()

# %% tags=["hide-input"]
rows = []
for kind, name in kinds.items():
    for side, text in sides.items():
        now = scores[side][kind].flatten(1)  # passage, head
        others = other_maps(side, kind).flatten(1).nanmean(0)
        bare = beyond[side][kind].flatten(1).nanmean(0)
        for i in mean[side, kind].flatten().topk(3).indices:
            some = now[:, i][~now[:, i].isnan()]
            rows.append([name, text, at(i), some.mean(), some.std(),
                         "" if kind == "first" else f"{bare[i]:.2f}",
                         flat(side, kind), others[i]])
best = pd.DataFrame(rows, columns=[
    "what", "text", "head", "share", "sd", "beyond the first",
    "if uniform", "map of the others"])
best.set_index(best.columns[0]).map(
    lambda cell: cell if isinstance(cell, str) else f"{float(cell):.2f}")

# %% tags=["remove-input"]
for kind in kinds:
    for side in sides:
        one = best[(best.iloc[:, 0] == kinds[kind])
                   & (best.iloc[:, 1] == sides[side])].iloc[0]
        now = mean[side, kind].flatten()
        key = f"{kind}_{side}"
        record(f"{key}_head", one.iloc[2])
        record(f"{key}_share", float(one.iloc[3]), text=f"{one.iloc[3]:.0%}")
        record(f"{key}_sd", float(one.iloc[4]), text=f"{one.iloc[4]:.0%}")
        record(f"{key}_flat", one.iloc[6], text=f"{one.iloc[6]:.1%}")
        record(f"{key}_others", float(one.iloc[7]), text=f"{one.iloc[7]:.0%}")
        bare = beyond[side][kind].flatten(1).nanmean(0)[now.argmax()]
        record(f"{key}_beyond", bare.item(), text=f"{bare:.0%}")
        record(f"{key}_half", int((now > 0.5).sum()))
        record(f"{key}_quarter", int((now > 0.25).sum()))
        record(f"{key}_all", now.mean().item(), text=f"{now.mean():.0%}")

# %% [markdown] tags=["lang-ko"]
# 표에는 종류마다 가장 센 헤드 셋이 있습니다. 몫은 토막 ⟨windows⟩개의 평균, 표준편차는 토막 사이에서 구한 것입니다. 견줄 자리도 둘 두었습니다. **고르게 보면**은 볼 수 있는 모든 칸에 똑같이 나눌 때의 몫이고, **다른 토막의 지도**는 그 헤드가 나머지 토막들에서 보인 평균 지도를 이 토막에 그대로 얹었을 때의 몫입니다. 글을 읽지 않고 자리만 아는 헤드라면 이 값과 제 몫이 같습니다.
#
# - **바로 앞.** 가장 센 헤드는 영어에서 ⟨previous_en_head⟩(L은 층, H는 헤드의 번호), 한국어에서 ⟨previous_ko_head⟩이고, 몫은 각각 ⟨previous_en_share⟩, ⟨previous_ko_share⟩입니다. 고르게 보면 ⟨previous_en_flat⟩에 그칩니다. 절반을 넘는 헤드는 영어에서 ⟨previous_en_half⟩개, 한국어에서 ⟨previous_ko_half⟩개입니다. 다른 토막의 지도로도 몫이 같으니(⟨previous_en_others⟩, ⟨previous_ko_others⟩) 이 헤드들은 **자리를 봅니다.**
# - **같은 낱말.** 가장 센 헤드는 영어에서 ⟨word_en_head⟩, 한국어에서 ⟨word_ko_head⟩이고, 몫은 각각 ⟨word_en_share⟩, ⟨word_ko_share⟩입니다. 첫 토큰에 놓지 않은 가중치만 보면 ⟨word_en_beyond⟩, ⟨word_ko_beyond⟩입니다. 다른 토막의 지도로는 ⟨word_en_others⟩, ⟨word_ko_others⟩에 그칩니다. 이 헤드들은 자리가 아니라 **내용을 봅니다.** 절반을 넘는 헤드는 영어에서 ⟨word_en_half⟩개, 한국어에서 ⟨word_ko_half⟩개이고, 4분의 1을 넘는 헤드는 ⟨word_en_quarter⟩개, ⟨word_ko_quarter⟩개입니다.
# - **첫 토큰.** 모든 헤드를 평균하면 가중치의 ⟨first_en_all⟩(영어), ⟨first_ko_all⟩(한국어)이(가) 첫 토큰에 놓입니다. 절반을 넘는 헤드가 ⟨first_en_half⟩개, ⟨first_ko_half⟩개로 이 모델에서 가장 흔한 모습입니다.
# %% [markdown] tags=["lang-en"]
# The table holds the three strongest heads of each kind. The share is the mean over ⟨windows⟩ passages, the standard deviation that between passages. Two yardsticks stand beside it. **If uniform** is the share of a head that looks at everything in sight alike. **Map of the others** lays the mean map that this head showed on all other passages onto this one: a head that knows places and reads nothing would score the same.
#
# - **The token before.** The strongest head is ⟨previous_en_head⟩ (L for the layer, H for the head) in English and ⟨previous_ko_head⟩ in Korean, with shares of ⟨previous_en_share⟩ and ⟨previous_ko_share⟩. A uniform head would have ⟨previous_en_flat⟩. Above one half are ⟨previous_en_half⟩ heads in English and ⟨previous_ko_half⟩ in Korean. The map of the others scores the same (⟨previous_en_others⟩, ⟨previous_ko_others⟩): these heads **look at places.**
# - **The same word.** The strongest, ⟨word_en_head⟩ in English and ⟨word_ko_head⟩ in Korean, reach ⟨word_en_share⟩ and ⟨word_ko_share⟩; of the weight that does not rest on the first token it is ⟨word_en_beyond⟩ and ⟨word_ko_beyond⟩. The map of the others scores only ⟨word_en_others⟩ and ⟨word_ko_others⟩. These heads **look at content.** Above one half are ⟨word_en_half⟩ in English and ⟨word_ko_half⟩ in Korean, above one quarter ⟨word_en_quarter⟩ and ⟨word_ko_quarter⟩.
# - **The first token.** Averaged over all heads, ⟨first_en_all⟩ of the weight lies there in English and ⟨first_ko_all⟩ in Korean. ⟨first_en_half⟩ and ⟨first_ko_half⟩ heads give it more than half: the most common sight in this model.

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-shuffled -->
# ### 글을 뒤섞으면
#
# 자리를 보는지 내용을 보는지는 한 번 더 물을 수 있습니다. 토막의 토큰을 아무렇게나 섞으면 문장은 사라지고 토큰만 남습니다. 점수가 그대로라면 그 헤드는 문장이 아니라 자리나 토큰을 보고 있었던 것입니다. 섞은 글에는 낱말이 없으므로 ‘같은 토큰’으로 견줍니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-shuffled -->
# ### When the text is shuffled
#
# Places or content can be asked once more. With the tokens of a passage in random order the sentences are gone and the tokens remain. A head whose score stays was looking at places or tokens, not at sentences. A shuffled passage has no words, so the comparison takes “the same token”.

# %%
def reordered(ids):
    return (ids[torch.randperm(len(ids), generator=draw)],)


shuffled_mean, rows = {}, {}
for side, found in texts.items():
    some = [reordered(ids) for ids, _ in found[: cfg.shuffled]]
    for kind, now in measure(some)[0].items():
        top = mean[side, kind].flatten().topk(3).indices
        shuffled_mean[side, kind] = now.nanmean(0)
        rows[kind, side] = [
            shares.flatten()[top].mean().item()
            for shares in (mean[side, kind], shuffled_mean[side, kind])]
pd.DataFrame(rows.values(), columns=["as it is", "shuffled"], index=[
    f"{kinds[kind]}, {sides[side]}" for kind, side in rows]).round(2)

# %% tags=["remove-cell"]
for (kind, side), (before, after) in rows.items():
    record(f"natural_{kind}_{side}", before, text=f"{before:.0%}")
    record(f"shuffled_{kind}_{side}", after, text=f"{after:.0%}")

# %% [markdown] tags=["lang-ko"]
# 종류마다 가장 센 헤드 셋의 평균입니다. 섞고 나서도 바로 앞을 보는 몫은 영어 ⟨natural_previous_en⟩에서 ⟨shuffled_previous_en⟩, 한국어 ⟨natural_previous_ko⟩에서 ⟨shuffled_previous_ko⟩(으)로 바뀌는 데 그치고, 같은 토큰을 보는 몫도 영어에서 ⟨natural_token_en⟩, ⟨shuffled_token_en⟩(으)로 사라지지 않습니다. 말이 되지 않는 글에서도 하던 일을 계속합니다. 그러니 이 점수들은 모델이 글을 **이해했다**는 증거가 아닙니다.
# %% [markdown] tags=["lang-en"]
# These are means over the three strongest heads of each kind. After shuffling, the share on the token before goes from ⟨natural_previous_en⟩ to ⟨shuffled_previous_en⟩ in English and from ⟨natural_previous_ko⟩ to ⟨shuffled_previous_ko⟩ in Korean; that on the same token stays too, ⟨natural_token_en⟩ and ⟨shuffled_token_en⟩ in English. The heads go on with their work in text that means nothing. So these scores are no evidence that the model has **understood** a text.

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-languages -->
# ### 두 언어에서 같은 헤드인가
#
# 헤드 ⟨n_all⟩개를 점수 순으로 줄 세워, 한국어에서의 순위와 영어에서의 순위가 얼마나 같은지 스피어만 순위 상관 $\rho$로 잽니다. 견줄 자리는 같은 언어의 토막을 반씩 나누어 구한 상관입니다. 언어가 같고 글만 다를 때의 값이니, 두 언어의 상관이 이보다 높기는 어렵습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-languages -->
# ### The same heads in both languages?
#
# We put the ⟨n_all⟩ heads in the order of their scores and measure how far the order in Korean agrees with that in English, by Spearman's rank correlation $\rho$. The yardstick is the correlation between two halves of the passages of one language: the value for other text in the same language, which two languages can hardly exceed.

# %%
from lib.trace.head_types import rank_correlation

rows = {}
for kind, name in kinds.items():
    ko, en = (mean[side, kind].flatten() for side in sides)
    between = rank_correlation(ko, en)
    within = [rank_correlation(*(
        scores[side][kind][half::2].nanmean(0).flatten() for half in (0, 1)))
        for side in sides]
    common = {*ko.topk(10).indices.tolist()} & {*en.topk(10).indices.tolist()}
    rows[name] = [between, *within, len(common)]
pd.DataFrame(rows, index=["both languages", "Korean halves",
                          "English halves", "common in top 10"]).T.round(2)

# %% tags=["remove-cell"]
for kind, (between, *within, common) in zip(kinds, rows.values(), strict=True):
    record(**{f"rho_{kind}": between, f"common_{kind}": common,
              f"halves_{kind}_ko": within[0], f"halves_{kind}_en": within[1]})

# %% [markdown] tags=["lang-ko"]
# 바로 앞($\rho$ = ⟨rho_previous⟩)과 첫 토큰(⟨rho_first⟩)은 두 언어의 순서가 꽤 같습니다. 같은 낱말(⟨rho_word⟩)은 그만 못합니다. 같은 언어의 반반(⟨halves_word_ko⟩, ⟨halves_word_en⟩)보다 낮으니 토막을 적게 본 탓만은 아닙니다. 그래도 가장 센 열 개 가운데 ⟨common_word⟩개는 두 언어에서 겹칩니다.
#
# > **주의.** 여기서는 언어와 글의 종류가 함께 바뀝니다. 한쪽은 ⟨korean_ko⟩, 다른 쪽은 ⟨english_ko⟩입니다. 게다가 영어에 맞춘 토크나이저(tokenizer)는 한글을 바이트 조각으로 나눕니다. 그러니 차이가 보인다고 해서 언어 때문이라고 할 수는 없습니다.
# %% [markdown] tags=["lang-en"]
# For the token before ($\rho$ = ⟨rho_previous⟩) and the first token (⟨rho_first⟩) the two orders largely agree. For the same word (⟨rho_word⟩) they agree less, and less than the halves of one language do (⟨halves_word_ko⟩, ⟨halves_word_en⟩), so it is not only that few passages were read. Still, of the ten strongest heads ⟨common_word⟩ are common to both.
#
# > **Note.** Language and kind of text change together here: ⟨korean_en⟩ on one side, ⟨english_en⟩ on the other. And a tokenizer fitted to English cuts Hangul into byte pieces. A difference between the two columns cannot be put down to the language.

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-induction -->
# ### 쉬던 헤드가 깨어날 때
#
# 뜻 없는 난수 토큰을 죽 늘어놓고 그대로 한 번 더 되풀이한 글을 읽힙니다. 두 번째 반복에서는 같은 토큰이 앞에서 나온 자리의 **다음** 자리를 보면 다음 토큰을 맞힐 수 있습니다. 그렇게 하는 헤드를 **유도 헤드**(induction head)라고 합니다(올슨 등, 2022).
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-induction -->
# ### When resting heads wake up
#
# Now the model reads random tokens, and then the same ones again. In the second round a head can tell the next token by looking **one past** the place where the present token stood before. A head that does so is called an **induction head** (Olsson et al. 2022).

# %%
from lib.trace.head_types import after_same

once = torch.randint(1000, len(tokenizer), (4, n // 2), generator=draw)
repeated = torch.cat((once, once), dim=1)
wakened = []
for ids in repeated:
    A, _ = look(ids)
    masks = {"induction": after_same(ids), "first": first_token(len(ids))}
    masks["first"][: n // 2] = False  # the second round only
    wakened.append([share(A, mask) for mask in masks.values()])
induction, resting = (torch.stack(some).mean(0)
                      for some in zip(*wakened, strict=True))
top = induction.flatten().topk(6).indices.tolist()
columns = {f"first, {name} text": mean[side, "first"]
           for side, name in sides.items()} | {
    "first, repeated": resting, "induction, repeated": induction}
pd.DataFrame({name: now.flatten()[top] for name, now in columns.items()},
             index=[at(i) for i in top]).round(2)

# %% tags=["remove-input"]
awake = max(top, key=lambda i: min(mean[side, "first"].flatten()[i]
                                   for side in sides))
record(wake_head=at(awake),
       induction_heads=int((induction > 0.25).sum()),
       induction_flat=share(uniform(n), after_same(repeated[0])).item(),
       **{f"word_induction_{side}": int((induction.flatten()[
           mean[side, "word"].flatten().topk(3).indices] > 0.25).sum())
          for side in sides})
for name, now in (("wake_ko", mean["ko", "first"]),
                  ("wake_en", mean["en", "first"]),
                  ("wake_induction", induction)):
    number = now.flatten()[awake].item()
    record(name, number, text=f"{number:.0%}")

# %% [markdown] tags=["lang-ko"]
# 유도 점수가 4분의 1을 넘는 헤드가 ⟨induction_heads⟩개 있습니다. 고르게 보면 ⟨induction_flat⟩입니다. 눈여겨볼 것은 헤드 ⟨wake_head⟩입니다. 우리가 고른 글에서는 첫 토큰에 한국어 ⟨wake_ko⟩, 영어 ⟨wake_en⟩을(를) 놓고 쉬기만 하던 헤드인데, 글이 되풀이되자 가중치의 ⟨wake_induction⟩을(를) 유도 자리에 놓습니다. **몇 편의 글에서 쉬는 것만 보고 하는 일이 없는 헤드라고 할 수는 없습니다.**
#
# 유도 헤드는 앞의 점수에도 끼어 있습니다. 낱말이 여러 조각이면 ‘다음 조각’도 같은 낱말 안에 있기 때문입니다. 한국어에서 같은 낱말을 가장 많이 보는 헤드 셋 가운데 ⟨word_induction_ko⟩개, 영어에서는 ⟨word_induction_en⟩개가 유도 점수도 4분의 1을 넘습니다. 점수 하나가 서로 다른 일을 같은 일로 보이게 할 수 있습니다.
# %% [markdown] tags=["lang-en"]
# ⟨induction_heads⟩ heads score more than one quarter; a uniform head would score ⟨induction_flat⟩. Look at head ⟨wake_head⟩. In our passages it rests, with ⟨wake_ko⟩ of its weight on the first token in Korean and ⟨wake_en⟩ in English. When the text repeats, it puts ⟨wake_induction⟩ of its weight on the induction place. **A head that rests in some texts is not a head without work.**
#
# Induction heads are in the earlier scores as well: when a word has several pieces, the “next” piece lies in the same word. Of the three heads that look most at the same word, ⟨word_induction_ko⟩ in Korean and ⟨word_induction_en⟩ in English also have an induction score above one quarter. One score can make different work look alike.

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-explorer -->
# ### 직접 골라 보기
#
# 낱말이 되풀이되는 짧은 글 두 편에서 모든 헤드를 볼 수 있습니다. 위의 표에 나온 헤드부터 찾아가 보십시오. 처음에는 같은 낱말을 가장 많이 보는 헤드가 열려 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-explorer -->
# ### Choose for yourself
#
# Here are all heads on two short texts whose words come again. Start with the heads from the tables above. It opens at the head that looks most at the same word.

# %% tags=["hide-input"]
from lib.tokens.labels import token_labels
from lib.trace.explorer import Sentence, attention_explorer


def explored(text, *names):
    ids = tokenizer(text, return_tensors="pt").input_ids[0]
    labels = token_labels(tokenizer.convert_ids_to_tokens(ids.tolist()))
    return Sentence(look(ids)[0], labels, *names)


shown = [explored(sentence, "한국어 글", "Korean text"),
         explored(sentence_en, "영어 글", "English text")]

# %%
both = (mean["ko", "word"] + mean["en", "word"]) / 2
layer_, head_ = divmod(int(both.argmax()), config.num_attention_heads)
attention_explorer(shown, layer=layer_, head=head_)

# %% [markdown] tags=["lang-ko", "caption"]
# 층과 헤드를 슬라이더로 고르고, 글을 단추로 바꿉니다. 행은 보는 토큰, 열은 보이는 토큰입니다. 되풀이되는 낱말의 행에서 앞에 나온 같은 낱말의 칸이 진한지 보십시오.
# <!-- alt: 고른 헤드의 가중치를 담은 세모꼴 표. 되풀이되는 낱말의 행에서 앞에 나온 같은 낱말의 칸에 색이 있고, 나머지 행은 첫 열이 진하다. 슬라이더 두 개와 글 단추로 내용을 바꾼다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Choose layer and head with the sliders and the text with the buttons. Rows are the tokens that look, columns those that are looked at. In the rows of repeated words, see whether the cell of the earlier occurrence is dark.
# <!-- alt: A triangular table with the weights of the chosen head. In the rows of repeated words the cells of their earlier occurrence are coloured; in other rows the first column is dark. Two sliders and a switch of texts change the content. -->

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-cannot -->
# ## 어텐션 그림에서 결론지을 수 없는 것
#
# 진한 칸을 보면 “이 토큰 때문에 그런 출력이 나왔다”고 말하고 싶어집니다. 그래도 되는지를 두고 논쟁이 있었습니다. 제인과 월리스(2019)는 순환 신경망 분류기에서 예측을 거의 바꾸지 않는 전혀 다른 가중치를 찾아 보였고, 위그레프와 핀터(2019)는 그런 가중치가 있다는 것만으로는 모델이 배운 가중치가 쓸모없다고 할 수 없다고 답했습니다. 고바야시 등(2020)은 가중치에 곱해지는 벡터의 길이까지 보아야 한다고 했습니다([참고 문헌](#references-attention)). 우리는 이 모델에서 세 가지를 잽니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-cannot -->
# ## What one cannot conclude from an attention map
#
# A dark cell tempts one to say “the output is so because of this token”. Whether that is allowed has been argued over. Jain and Wallace (2019) found, in recurrent classifiers, very different weights that hardly change the prediction; Wiegreffe and Pinter (2019) replied that the existence of such weights does not make the ones a model has learned useless; Kobayashi et al. (2020) asked to look at the length of the vectors that the weights multiply ([references](#references-attention)). We measure three things on this model.

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-norms -->
# ### 큰 가중치가 큰 몫은 아니다
#
# 헤드가 키 $j$에서 가져와 잔차 스트림(residual stream)에 더하는 것은 가중치가 아니라 벡터 $A_{ij} W_{O,h} v_j$입니다. 그래서 가중치 대신 그 길이를 셉니다.
#
# $$N_{ij} = A_{ij}\, \lVert W_{O,h}\, v_j \rVert$$
#
# 행마다 합이 1이 되게 나누면 가중치와 나란히 놓을 수 있습니다. 첫 토큰의 몫이 어떻게 달라지는지 봅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-norms -->
# ### A large weight is not a large share
#
# What a head takes from key $j$ and adds to the residual stream is not a weight but the vector $A_{ij} W_{O,h} v_j$. So we count its length instead.
#
# $$N_{ij} = A_{ij}\, \lVert W_{O,h}\, v_j \rVert$$
#
# Scaled so that rows sum to one, it can stand beside the weights. See what becomes of the first token.

# %%
from lib.trace.head_types import output_norms

W_O = torch.stack([
    block.self_attn.o_proj.weight.cpu().unflatten(
        1, (config.num_attention_heads, -1)).transpose(0, 1)
    for block in model.model.layers])  # layer, head, d_model, d_head


def by_length(A, v):
    N = output_norms(A, v.repeat_interleave(group, dim=1), W_O)
    return N / N.sum(-1, keepdim=True)

# %%
sinks = {side: [] for side in sides}
turned, agree = {}, {}
for side, found in texts.items():
    differs, ranks = [], []
    for ids, _ in found[: cfg.probed]:
        A, v = look(ids)
        N = by_length(A, v)
        sinks[side].append(torch.stack([share(m, first_token(n))
                                        for m in (A, N)]))
        other = A.argmax(-1) != N.argmax(-1)  # another key leads
        differs.append(torch.stack([
            other[..., 2:], other[..., 2:] & (A.argmax(-1) == 0)[..., 2:]
        ]).double().mean((1, 2, 3)))
        ranks += [rank_correlation(*pair) for pair in zip(
            A[..., -1, 1:].flatten(0, 1), N[..., -1, 1:].flatten(0, 1),
            strict=True)]
    sinks[side] = torch.stack(sinks[side]).mean(0)  # which, layer, head
    turned[side] = torch.stack(differs).mean(0)  # all, from the first
    agree[side] = sum(ranks) / len(ranks)

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.4), sharey=True)
for axis, side in zip(axes, sides, strict=True):
    colour = COLOURS["attention" if side == "ko" else "gravity"]
    axis.plot([0, 1], [0, 1], color=COLOURS["grey"], linewidth=1)
    axis.scatter(*sinks[side], s=10, color=colour)
    axis.set(title=sides[side], xlabel="weight on the first token",
             xlim=(0, 1), ylim=(0, 1))
axes[0].set_ylabel("share of the length")
show(figure)
for side in sides:
    for name, now in zip(("weight", "norm"), sinks[side], strict=True):
        record(f"sink_{name}_{side}", now.mean().item(),
               text=f"{now.mean():.0%}")
        record(f"sink_{name}_half_{side}", int((now > 0.5).sum()))
    every, first = turned[side].tolist()
    record(f"turned_{side}", every, text=f"{every:.0%}")
    record(f"turned_first_{side}", first / every, text=f"{first / every:.0%}")
    record(f"agree_{side}", agree[side])

# %% [markdown] tags=["lang-ko", "caption"]
# 점 하나가 헤드 하나입니다. 가로는 첫 토큰에 놓은 가중치의 몫, 세로는 첫 토큰에서 실제로 온 벡터 길이의 몫. 대각선보다 아래면 가중치가 부풀려 보인다는 뜻입니다.
# <!-- alt: 산점도 두 개. 두 언어 모두 거의 모든 점이 대각선 아래로 휘어진 띠를 이룬다. 영어에서 가중치가 0.6쯤인 헤드는 길이로 0.3 둘레에 있고, 가중치가 1에 가까울 때 대각선에 다가간다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Each dot is a head: across, the share of its weight on the first token; up, the share of the length that really comes from there. Below the diagonal the weight overstates.
# <!-- alt: Two scatter plots. In both languages nearly all dots form a band that sags below the diagonal. In English, heads with a weight of about 0.6 have around 0.3 of the length; near a weight of 1 the band comes back to the diagonal. -->

# %% [markdown] tags=["lang-ko"]
# 벡터의 길이는 언어마다 토막 ⟨probed⟩개에서만 쟀습니다. 거기서 첫 토큰에 놓은 가중치는 평균 ⟨sink_weight_en⟩(영어), ⟨sink_weight_ko⟩(한국어)인데, 길이로 재면 ⟨sink_norm_en⟩, ⟨sink_norm_ko⟩입니다. 몫이 절반을 넘는 헤드는 영어에서 ⟨sink_weight_half_en⟩개가 ⟨sink_norm_half_en⟩개로, 한국어에서 ⟨sink_weight_half_ko⟩개가 ⟨sink_norm_half_ko⟩개로 줄어듭니다. 앞 절의 ⟨first_en_half⟩개와 ⟨first_ko_half⟩개는 토막 ⟨windows⟩개에서 센 것이어서 이 수와 다를 수 있습니다. 줄어드는 까닭은 첫 토큰의 값 벡터가 짧기 때문입니다. 이런 첫 토큰이 [어텐션 싱크(attention sink)](02_qkv_tracing.ipynb#qkv-sink)입니다. 쿼리의 ⟨turned_en⟩(영어), ⟨turned_ko⟩(한국어)에서는 가장 큰 몫을 차지하는 키가 바뀌는데, 그 가운데 ⟨turned_first_en⟩, ⟨turned_first_ko⟩에서는 첫 토큰이 자리를 내줍니다.
#
# 그렇다고 가중치가 아무것도 말해 주지 않는 것은 아닙니다. 첫 토큰을 빼고 마지막 쿼리의 키들을 줄 세우면, 가중치의 순서와 길이의 순서는 순위 상관이 ⟨agree_en⟩, ⟨agree_ko⟩입니다. **어긋남의 절반 넘게는 싱크에서 옵니다.**
# %% [markdown] tags=["lang-en"]
# Lengths were measured on ⟨probed⟩ passages a language. There the weight on the first token is ⟨sink_weight_en⟩ on average in English and ⟨sink_weight_ko⟩ in Korean; counted by length it is ⟨sink_norm_en⟩ and ⟨sink_norm_ko⟩. Heads with more than half fall from ⟨sink_weight_half_en⟩ to ⟨sink_norm_half_en⟩ in English and from ⟨sink_weight_half_ko⟩ to ⟨sink_norm_half_ko⟩ in Korean, since the value vector of the first token is short. (The ⟨first_en_half⟩ and ⟨first_ko_half⟩ heads further up were counted on ⟨windows⟩ passages, so they may differ from these.) Such a first token is an [attention sink](02_qkv_tracing.ipynb#qkv-sink). For ⟨turned_en⟩ of the queries in English and ⟨turned_ko⟩ in Korean another key holds the largest share; in ⟨turned_first_en⟩ and ⟨turned_first_ko⟩ of these it is the first token that gives way.
#
# That does not mean that weights say nothing. Leave out the first token and order the keys of the last query: the order by weight and the order by length have a rank correlation of ⟨agree_en⟩ and ⟨agree_ko⟩. **More than half of the disagreement comes from the sink.**

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-two-weights -->
# ### 다른 가중치, 같은 출력
#
# 같은 토큰이 여러 번 나왔을 때, 그림은 그 가운데 **어느 것을** 보았는지까지 말해 주는 듯합니다. 정말 그런지 가중치를 옮겨 봅니다. 되풀이된 토큰에 실린 가중치를 모두 그 토큰이 처음 나온 자리로 옮기고, 헤드의 출력이 얼마나 달라지는지 봅니다. 견줄 것은 같은 양의 가중치를 앞쪽의 아무 토큰에나 옮길 때입니다.
#
# $$\frac{\lVert (A' - A)\, V \rVert}{\lVert A V \rVert}$$
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-two-weights -->
# ### Other weights, the same output
#
# When a token stands in several places, the map seems to say **which of them** the head looked at. We test it by moving weight: all that lies on repeated tokens goes to the first occurrence of each, and we see how much the output of the head changes. The yardstick is the same weight moved to any earlier token.
#
# $$\frac{\lVert (A' - A)\, V \rVert}{\lVert A V \rVert}$$

# %%
def moved(ids, A, v, least=0.25):
    """Change of the output when weight moves: same token, any token."""
    places = torch.arange(len(ids))
    same = (ids[:, None] == ids) & (places > 0)
    first = same.int().argmax(-1).where(places > 0, places)
    back = first != places  # tokens that stood before
    lot = torch.rand(len(ids), generator=draw)
    stray = (1 + lot * (places - 1)).long().where(back, places)
    v = v.repeat_interleave(group, dim=1)
    rows = (A * back).sum(-1) > least  # where enough weight moves
    before = (A @ v).norm(dim=-1)
    changes = [(A @ (v[:, :, to] - v)).norm(dim=-1) / before
               for to in (first, stray)]
    return [[change[layer][rows[layer]] for layer in range(len(A))]
            for change in changes]

# %%
def middle(parts):
    every = torch.cat(parts)
    return every.median().item() if len(every) else float("nan")


curves, movable = {}, 0
for side, found in texts.items():
    parts = [moved(ids, *look(ids)) for ids, _ in found[: cfg.probed]]
    curves[side] = [[middle([part[to][layer] for part in parts])
                     for layer in range(config.num_hidden_layers)]
                    for to in (0, 1)]
    movable += sum(len(rows) for part in parts for rows in part[0])

# %% tags=["remove-cell"]
record(movable=movable, moved_least=0.25)

# %% tags=["hide-input"]
figure, axis = plt.subplots(figsize=(7.2, 3.2))
for side, colour in (("ko", "attention"), ("en", "gravity")):
    for line, style, where in zip(curves[side], ("-", ":"),
                                  ("same token", "any token"), strict=True):
        axis.plot(line, style, color=COLOURS[colour],
                  label=f"{where}, {sides[side]}")
        key = f"moved_{where.split()[0]}_{side}"
        record(f"{key}_0", line[0])
        record(key, pd.Series(line[5:]).median())
axis.set(xlabel="layer", ylabel="change of the output", ylim=(0, None))
axis.legend(ncols=2)
show(figure)

# %% [markdown] tags=["lang-ko", "caption"]
# 층마다, 가중치가 4분의 1 넘게 옮겨진 줄에서 헤드 출력의 상대 변화(중앙값). 실선은 같은 토큰이 처음 나온 자리로, 점선은 앞쪽의 아무 토큰으로 옮긴 것입니다. 층 0에서 실선은 0입니다.
# <!-- alt: 가로축이 층인 선 네 개. 같은 토큰으로 옮긴 실선은 0에서 출발해 대여섯 층 만에 0.5를 넘고, 아무 토큰으로 옮긴 점선은 처음부터 높다가 뒤로 갈수록 실선에 가까워진다. -->
# %% [markdown] tags=["lang-en", "caption"]
# By layer: the relative change of a head's output (median) over rows in which more than a quarter of the weight moved. Solid: to the first occurrence of the same token; dotted: to any earlier token. In layer 0 the solid lines are at 0.
# <!-- alt: Four lines over the layers. The solid ones, for the same token, start at 0 and pass 0.5 within five or six layers; the dotted ones, for any token, are high from the start and come closer to the solid ones in later layers. -->

# %% [markdown] tags=["lang-ko"]
# 층 0에서는 가중치를 아무리 옮겨도 출력의 변화가 ⟨moved_same_ko_0⟩, ⟨moved_same_en_0⟩입니다. 층 0의 값은 토큰만 보고 정해지므로 같은 토큰의 값은 어디에서나 같습니다. 그림에는 서로 다른 칸으로 보이지만 **출력에는 차이가 없습니다.** 층이 깊어지면 값에 앞뒤의 글이 섞여 들어와 같은 토큰이라도 값이 달라집니다. 층 5부터의 중앙값은 한국어 ⟨moved_same_ko⟩, 영어 ⟨moved_same_en⟩입니다. 아무 토큰에나 옮길 때의 ⟨moved_any_ko⟩, ⟨moved_any_en⟩보다는 작지만 0은 아닙니다. 깊은 층에서는 **어느 자리에 나온 것인지도 출력에 나타납니다.**
#
# 그러니 이렇게 쉽게 얻는 ‘다른 가중치, 같은 출력’은 얕은 층의 일입니다. 키가 헤드의 차원보다 많으면 어느 층에서나 출력이 똑같은 다른 가중치가 있다는 것은 [연습 문제](#heads-exercise-other)에서 봅니다. 다만 있다는 것과, 학습된 쿼리와 키로 그런 가중치를 만들 수 있다는 것은 다른 말입니다. 위그레프와 핀터가 짚은 것이 그 점입니다.
# %% [markdown] tags=["lang-en"]
# In layer 0 the output changes by ⟨moved_same_ko_0⟩ and ⟨moved_same_en_0⟩, however much weight is moved. The values of layer 0 depend on the token alone, so the same token has the same value everywhere: different cells in the map, **no difference in the output.** Deeper, context flows into the values, and the same token no longer has the same value. From layer 5 on the median is ⟨moved_same_ko⟩ in Korean and ⟨moved_same_en⟩ in English. That is less than for any token, ⟨moved_any_ko⟩ and ⟨moved_any_en⟩, but it is not 0: in deep layers **it shows in the output which occurrence it was.**
#
# So “other weights, same output” comes this cheaply in shallow layers only. That other weights with exactly the same output exist in every layer, as soon as there are more keys than dimensions of a head, is the subject of [an exercise](#heads-exercise-other). But that they exist is one thing, and that the learned queries and keys could make them is another. This is the point of Wiegreffe and Pinter.

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-silence -->
# ### 보는 것만으로는 쓸모를 알 수 없다
#
# 헤드의 쓸모를 그 헤드를 껐을 때 모델이 얼마나 나빠지는지로 재어 봅니다. 이런 실험을 제거 실험(ablation)이라고 합니다. 헤드의 출력을 0으로 바꾸고 손실(loss), 곧 다음 토큰의 교차 엔트로피(cross-entropy)가 얼마나 늘어나는지 봅니다.
#
# $$\Delta L = L(\text{끈 모델}) - L(\text{온전한 모델})$$
#
# 종류마다 점수가 가장 높은 헤드 ⟨group_size⟩개를 한꺼번에 끄고, 견줄 것으로 유도 헤드와 같은 층에서 무작위로 뽑은 ⟨group_size⟩개도 끕니다. 글은 한국어와 영어 토막 ⟨probed⟩개씩, 그리고 앞에서 쓴 되풀이되는 난수 토큰입니다. 난수에서는 두 번째 반복의 손실만 셉니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-silence -->
# ### Seeing what a head does is not knowing its use
#
# Let the use of a head be how much worse the model becomes without it. Such an experiment is called an ablation. We set the output of heads to 0 and see how much the loss grows, the cross-entropy of the next token.
#
# $$\Delta L = L(\text{silenced}) - L(\text{whole})$$
#
# For each kind we silence the ⟨group_size⟩ heads with the highest scores together; for comparison, ⟨group_size⟩ heads drawn at random from the layers of the induction heads. The texts are ⟨probed⟩ passages in Korean and in English, and the repeated random tokens from before, where only the second round counts.

# %%
layers, width = model.model.layers, config.num_attention_heads


def silence(layer, head):
    """Set the output of a head to 0 until the handle is removed."""
    def hush(module, args):
        z = args[0].unflatten(-1, (width, -1)).clone()
        z[..., head, :] = 0
        return z.flatten(-2)

    out = layers[layer].self_attn.o_proj
    return out.register_forward_pre_hook(hush)

# %%
@torch.no_grad()
def loss_from(start, states, ids, keep):
    """Loss of each passage when only the layers from `start` on run."""
    model.model.layers = layers[start:]
    try:
        logits = model(inputs_embeds=states[start], use_cache=False,
                       logits_to_keep=keep).logits
    finally:
        model.model.layers = layers
    loss = F.cross_entropy(logits.flatten(0, 1), ids[:, keep + 1].flatten(),
                           reduction="none")
    return loss.view(len(ids), -1).mean(-1).cpu()

# %%
def damage(heads, text):
    """How much the loss of each passage grows without these heads."""
    handles = [silence(*divmod(head, width)) for head in heads]
    try:
        loss = loss_from(min(heads) // width, *readings[text])
    finally:
        for handle in handles:
            handle.remove()
    return loss - whole[text]

# %%
readings, whole = {}, {}
for text in (*sides, "repeated"):
    ids = repeated if text == "repeated" else torch.stack(
        [ids for ids, _ in texts[text][: cfg.probed]])
    ids = ids.to(cfg.device)
    with torch.no_grad(), trace(model, ("blocks.*.resid_pre",)) as traced:
        model.model(ids)
    first = n // 2 - 1 if text == "repeated" else 0  # the second round
    keep = torch.arange(first, ids.shape[1] - 1, device=cfg.device)
    readings[text] = traced.stack("resid_pre"), ids, keep
    whole[text] = loss_from(0, *readings[text])

# %% tags=["remove-cell"]
for text, loss in whole.items():
    record(f"loss_{text}", loss.mean().item())

# %%
group_size = 6
typical = {kind: ((mean["ko", kind] + mean["en", kind]) / 2).flatten()
           for kind in ("previous", "word", "first")}
typical["induction"] = induction.flatten()
groups = {kind: now.topk(group_size).indices.tolist()
          for kind, now in typical.items()}
named = set().union(*groups.values())
lots = []
for _ in range(3):  # heads of the layers of the induction heads
    lots.append([])
    for layer in [i // width for i in groups["induction"]]:
        free = [i for i in range(layer * width, (layer + 1) * width)
                if i not in named and i not in lots[-1]]
        pick = torch.randint(len(free), (), generator=draw)
        lots[-1].append(free[pick])
together = {(kind, text): damage(heads, text).mean().item()
            for kind, heads in groups.items() for text in readings}
for text in readings:
    together["lot", text] = [damage(heads, text).mean().item()
                             for heads in lots]

# %% tags=["hide-input"]
called = {"previous": "the token before", "word": "the same word",
          "first": "the first token", "induction": "induction",
          "lot": "at random, three times"}
figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.7), sharey=True)
for axis, (text, title) in zip(axes, (sides | {
        "repeated": "repeated tokens"}).items(), strict=True):
    for place, kind in enumerate(called):
        found = together[kind, text]
        found = found if isinstance(found, list) else [found]
        colour = COLOURS["grey" if kind == "lot" else "attention"]
        axis.plot(found, [place] * len(found), "o", color=colour)
        axis.plot([0, max(found)], [place] * 2, color=colour, linewidth=1)
    axis.set_title(title, fontsize=9)
    axis.set(xlabel="ΔL (nats)", ylim=(len(called) - 0.5, -0.5))
    axis.axvline(0, color=COLOURS["grey"], linewidth=0.5)
axes[0].set_yticks(range(len(called)), list(called.values()))
show(figure)

# %% [markdown] tags=["lang-ko", "caption"]
# 헤드 ⟨group_size⟩개를 함께 껐을 때 손실이 늘어난 양. 위에서부터 바로 앞, 같은 낱말, 첫 토큰, 유도 헤드, 그리고 무작위로 뽑은 세 묶음(회색). 가로축의 범위가 그림마다 다릅니다.
# <!-- alt: 점그래프 세 개. 한국어와 영어 글에서는 바로 앞을 보는 묶음만 손실을 크게 늘리고 나머지는 0 가까이에 있다. 되풀이되는 토큰에서는 유도 헤드와 바로 앞 묶음이 9 가까이 뛰고 같은 낱말 묶음도 그에 가깝다. 첫 토큰에서 쉬는 묶음도 무작위 묶음보다 크다. -->
# %% [markdown] tags=["lang-en", "caption"]
# How much the loss grows when ⟨group_size⟩ heads are silent together. From the top: the token before, the same word, the first token, induction heads, and three groups drawn at random (grey). The horizontal ranges differ.
# <!-- alt: Three dot plots. In Korean and English text only the group that looks one back makes the loss much larger, the others stay near 0. On repeated tokens the induction heads and the group that looks one back jump to nearly 9, and the group for the same word comes close; the group that rests on the first token is above the random ones too. -->

# %% [markdown] tags=["lang-ko"]
# 첫 토큰에서 가장 많이 쉬는 헤드 ⟨group_size⟩개를 꺼도 ΔL은 한국어 글에서 ⟨first_ko_damage⟩, 영어 글에서 ⟨first_en_damage⟩입니다. 유도 헤드도 글에서는 ⟨induction_ko_damage⟩, ⟨induction_en_damage⟩입니다. 여기서 멈췄다면 없어도 되는 헤드라고 적었을 것입니다. 그런데 글이 되풀이되면 같은 헤드들을 껐을 때 ΔL이 각각 ⟨first_repeated_damage⟩, ⟨induction_repeated_damage⟩입니다. 무작위로 뽑은 묶음은 ⟨lot_low⟩에서 ⟨lot_high⟩ 사이입니다. 쉬는 헤드 ⟨group_size⟩개 가운데 ⟨resting_induction⟩개가 유도 헤드이기도 합니다.
#
# 바로 앞을 보는 헤드들은 되풀이되는 글에서 유도 헤드만큼 중요하고(⟨previous_repeated_damage⟩), 같은 낱말을 보는 헤드들도 그에 못지않습니다(⟨word_repeated_damage⟩). 어느 자리 앞에 무엇이 있었는지를 바로 앞을 보는 헤드가 적어 두어야 유도 헤드가 ‘다음 자리’를 찾을 수 있다는 설명(올슨 등, 2022)과 들어맞습니다. 한 헤드의 그림만 보아서는 이런 이어짐이 보이지 않습니다.
# %% [markdown] tags=["lang-en"]
# Without the ⟨group_size⟩ heads that rest most on the first token ΔL is ⟨first_ko_damage⟩ in Korean text and ⟨first_en_damage⟩ in English; without the induction heads it is ⟨induction_ko_damage⟩ and ⟨induction_en_damage⟩. Had we stopped here, we would have called them dispensable. When the text repeats, ΔL for the same heads is ⟨first_repeated_damage⟩ and ⟨induction_repeated_damage⟩, and between ⟨lot_low⟩ and ⟨lot_high⟩ for groups drawn at random. Of the ⟨group_size⟩ resting heads ⟨resting_induction⟩ are induction heads as well.
#
# The heads that look one back matter for repeated text as much as the induction heads do (⟨previous_repeated_damage⟩), and those that look at the same word hardly less (⟨word_repeated_damage⟩). That fits the explanation of Olsson et al. (2022): heads that look one back note for each place what stood before it, and only so can an induction head find the place “after”. The picture of a single head does not show such a chain.

# %% tags=["remove-input"]
for kind in groups:
    for text in readings:
        number = round(together[kind, text], 2)
        shown = f"{number:+.2f}".replace("-", "−") if number else "0.00"
        record(f"{kind}_{text}_damage", together[kind, text], text=shown)
record("lot_low", min(together["lot", "repeated"]))
record("lot_high", max(together["lot", "repeated"]))
record(group_size=group_size, probed=cfg.probed,
       resting_induction=len({*groups["first"]} & {*groups["induction"]}))

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-alone -->
# ### 하나씩 끄면
#
# 이번에는 위의 묶음에 든 헤드와 무작위로 뽑은 헤드를 하나씩 꺼서, 점수와 ΔL이 함께 가는지 순위 상관으로 봅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-alone -->
# ### One at a time
#
# Now we silence the heads of these groups, and others drawn at random, one at a time, and see by rank correlation whether score and ΔL go together.

# %%
lot = torch.randperm(mean["ko", "first"].numel(), generator=draw).tolist()
chosen = list(dict.fromkeys([*groups["previous"], *sorted(named), *lot]))
chosen = chosen[: max(cfg.silenced, group_size)]
alone = {side: torch.stack([damage([i], side) for i in chosen])
         for side in sides}  # head, passage

rows = {}
for kind, name in kinds.items():
    rows[f"ρ({name}, ΔL)"] = [
        rank_correlation(mean[side, kind].flatten()[chosen],
                         alone[side].mean(1)) for side in sides]
table = pd.DataFrame(rows, index=list(sides.values())).T
table.round(2)

# %% tags=["remove-input"]
noise = 1.96 / (len(chosen) - 1) ** 0.5  # of rho, were there no relation
record(silenced=len(chosen), rho_noise=noise, rho_all=table.size,
       rho_beyond=int((table.abs() > noise).sum().sum()),
       rho_largest=table.abs().max().max())
for kind, row in zip(kinds, rows.values(), strict=True):
    for side, rho in zip(sides, row, strict=True):
        record(f"rho_{kind}_{side}", rho)
for side in sides:
    now = alone[side].mean(1)
    single = sum(now[chosen.index(i)].item() for i in groups["previous"])
    record(f"single_sum_{side}", single)
    top = int(now.argmax())
    record(f"worst_head_{side}", at(chosen[top]))
    record(f"worst_{side}", now[top].item())
    record(f"worst_low_{side}", alone[side][top].min().item())
    record(f"worst_high_{side}", alone[side][top].max().item())
    now = now.sort().values
    record(f"middle_{side}", now[len(now) // 2].item(),
           text=f"{now[len(now) // 2]:+.4f}".replace("-", "−"))
    record(f"helped_{side}", int((now < 0).sum()))

# %% [markdown] tags=["lang-ko"]
# 하나만 꺼서는 거의 티가 나지 않습니다. 헤드 ⟨silenced⟩개의 ΔL은 중앙값이 한국어 ⟨middle_ko⟩, 영어 ⟨middle_en⟩이고, 껐더니 손실이 오히려 줄어든 헤드도 ⟨helped_ko⟩개, ⟨helped_en⟩개 있습니다. 점수와의 순위 상관은 아무 관계가 없을 때에도 스무 번에 열아홉 번은 ±⟨rho_noise⟩ 안에 듭니다. 표의 ⟨rho_all⟩개 가운데 그 밖에 있는 것은 ⟨rho_beyond⟩개이고, 가장 큰 것의 크기가 ⟨rho_largest⟩입니다. 관계가 아주 없지는 않지만, 점수의 순서가 쓸모의 순서를 대신하지는 못합니다. 게다가 여기서 끈 헤드는 대부분 점수가 높아서 고른 것이니, 모든 헤드의 상관이라고 볼 수도 없습니다.
#
# 하나씩 끈 효과를 더해도 함께 끈 효과가 되지는 않습니다. 바로 앞을 보는 ⟨group_size⟩개를 하나씩 끈 ΔL의 합은 영어에서 ⟨single_sum_en⟩인데 함께 끄면 ⟨previous_en_damage⟩입니다. 하나가 없을 때 나머지가 일을 나누어 맡는다고 보면 들어맞습니다. 한국어에서는 ⟨single_sum_ko⟩, ⟨previous_ko_damage⟩이고, 거의 전부가 헤드 ⟨worst_head_ko⟩ 하나의 몫입니다(ΔL = ⟨worst_ko⟩, 토막에 따라 ⟨worst_low_ko⟩에서 ⟨worst_high_ko⟩까지). 한글이 바이트 조각으로 나뉘는 것과 관계가 있을지 모르지만, 여기서 잰 것만으로는 알 수 없습니다.
# %% [markdown] tags=["lang-en"]
# One head alone is seldom missed. Over ⟨silenced⟩ heads the median of ΔL is ⟨middle_ko⟩ in Korean and ⟨middle_en⟩ in English, and without ⟨helped_ko⟩ and ⟨helped_en⟩ of them the loss even falls. Were there no relation at all, nineteen in twenty rank correlations with the score would still lie within ±⟨rho_noise⟩; of the ⟨rho_all⟩ in the table ⟨rho_beyond⟩ lie outside, and the largest has a size of ⟨rho_largest⟩. There is some relation, but the order of scores does not stand in for the order of use. Besides, most of the heads silenced here were chosen for high scores, so this is not the correlation over all heads.
#
# Nor do the effects of single heads add up to the effect of the group. For the ⟨group_size⟩ heads that look one back, the sum of ΔL one at a time is ⟨single_sum_en⟩ in English; together it is ⟨previous_en_damage⟩. That fits heads that stand in for one another. In Korean the two are ⟨single_sum_ko⟩ and ⟨previous_ko_damage⟩, and nearly all of it is the share of one head, ⟨worst_head_ko⟩ (ΔL = ⟨worst_ko⟩; from ⟨worst_low_ko⟩ to ⟨worst_high_ko⟩ between passages). It may have to do with Hangul being cut into byte pieces; what is measured here cannot tell.

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-conclusion -->
# ### 그래서 무엇을 말할 수 있는가
#
# 재어 본 것에서 말할 수 있는 것은 이렇습니다.
#
# | 그림을 보고 하고 싶은 말 | 잰 것 |
# |---|---|
# | “이 헤드는 바로 앞을 본다.” | 말해도 됩니다. 토막이 달라도, 순서를 섞어도 몫이 거의 같습니다. |
# | “이 토큰에서 가장 많이 가져왔다.” | 값의 길이를 곱해 보아야 합니다. 쿼리의 ⟨turned_en⟩(영어)에서 답이 바뀝니다. |
# | “둘 가운데 이쪽을 보았다.” | 같은 토큰이라면 층 0에서는 아무 뜻이 없고, 깊은 층에서는 뜻이 있습니다. |
# | “이 헤드는 쉰다, 그러니 없어도 된다.” | 말할 수 없습니다. 다른 글에서는 일을 합니다. |
# | “이 헤드가 또렷하니 중요하다.” | 꺼 보아야 압니다. |
#
# 어텐션 그림은 가설을 얻는 곳이지 증명하는 곳이 아닙니다. 그림에서 본 것은 값의 길이를 곱해 보고, 꺼 보고, 다른 글에서 다시 재어 본 뒤에 말해야 합니다. 그리고 여기서 잰 것도 모델 하나, 두 가지 글에서 얻은 것입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-conclusion -->
# ### What can be said, then
#
# From what we measured, this much.
#
# | what one would like to say from the map | measured |
# |---|---|
# | “This head looks one back.” | It may be said: other passages and a random order leave the share nearly as it is. |
# | “It took most from this token.” | Multiply by the length of the value first: for ⟨turned_en⟩ of the queries in English the answer changes. |
# | “It looked at this one of the two.” | For the same token it means nothing in layer 0, and something in deeper layers. |
# | “This head rests, so we can do without it.” | It cannot be said: in other text the head works. |
# | “This head is clear, so it is important.” | Silence it to know. |
#
# An attention map is a place to find hypotheses, not to prove them. What it shows should be multiplied by the values, silenced, and measured again on other text before it is said. And what is measured here comes from one model and two kinds of text.

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-exercises -->
# ## 연습 문제
#
# 빈칸(`...`)을 채운 다음 바로 아래 셀을 실행하면 답이 맞는지 알 수 있습니다. 풀이는 접어 두었습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-exercises -->
# ## Exercises
#
# Fill in the gap (`...`) and run the next cell: it tells you whether the answer holds. Solutions are folded.

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-exercise-mask -->
# ### 1. 두 마스크를 하나로 (★, 8분)
#
# 어느 자리가 진짜 토큰인지 담은 `real` `(batch, n)`을 받아, 미래도 패딩도 보지 않는 마스크 `(batch, n, n)`을 돌려주십시오. 글을 생성할 때처럼 패딩이 앞에 있을 수도 있습니다. 패딩 자리에 있는 쿼리의 행은 어떻게 해도 좋습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-exercise-mask -->
# ### 1. Two masks in one (★, 8 minutes)
#
# Given `real` `(batch, n)`, which says where the real tokens are, return the mask `(batch, n, n)` that hides both the future and the padding. The padding may stand in front, as it does when text is generated. What the rows of padded queries hold does not matter.

# %% tags=["exercise"]
def my_mask(real):
    ...

# %%
from lib.exercises.heads import check_mask

check_mask(my_mask)

# %% tags=["solution", "hide-cell"]
def mask_solution(real):
    past = torch.ones(real.shape[1], real.shape[1]).tril().bool()
    return past & real[:, None, :]


check_mask(mask_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-exercise-heads -->
# ### 2. 나누고, 보고, 잇기 (★★, 12분)
#
# 투영을 마친 `q`, `k`, `v`(각각 `(n, width)`)와 헤드의 수 `heads`를 받아, 헤드마다 따로 어텐션을 계산하고 이어 붙인 `(n, width)`를 돌려주십시오. 마스크는 없습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-exercise-heads -->
# ### 2. Cut, look, join (★★, 12 minutes)
#
# Given projected `q`, `k` and `v`, `(n, width)` each, and a number of `heads`, compute attention for each head on its own and return the heads joined, `(n, width)`. There is no mask.

# %% tags=["exercise"]
def my_heads(q, k, v, heads):
    ...

# %%
from lib.exercises.heads import check_heads

check_heads(my_heads)

# %% tags=["solution", "hide-cell"]
def heads_solution(q, k, v, heads):
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(0, 1)
               for x in (q, k, v))
    A = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
    return (A @ v).transpose(0, 1).flatten(1)


check_heads(heads_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-exercise-same -->
# ### 3. 같은 토큰을 얼마나 보는가 (★★, 12분)
#
# 모든 헤드의 가중치 `(layer, head, query, key)`와 토큰 번호 `ids` `(n,)`를 받아, 쿼리와 같은 토큰이 있는 앞자리에 실린 가중치를 헤드마다 `(layer, head)`로 돌려주십시오. 앞에 같은 토큰이 있는 쿼리에서만 평균합니다. 여기서는 바로 앞 자리와 첫 자리도 셉니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-exercise-same -->
# ### 3. How much on the same token (★★, 12 minutes)
#
# Given the weights of all heads, `(layer, head, query, key)`, and the token `ids` `(n,)`, return for each head, `(layer, head)`, the weight on earlier places that hold the token of the query. Average over the queries that have such a place. Here the place just before and the first place count as well.

# %% tags=["exercise"]
def my_same_share(weights, ids):
    ...

# %%
from lib.exercises.heads import check_same_share

check_same_share(my_same_share)

# %% tags=["solution", "hide-cell"]
def same_share_solution(weights, ids):
    earlier = (ids[:, None] == ids).tril(-1)
    on = (weights * earlier).sum(-1)  # layer, head, query
    return on[..., earlier.any(-1)].mean(-1)


check_same_share(same_share_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-exercise-other -->
# ### 4. 다른 가중치, 똑같은 출력 (★★★, 15분)
#
# 가중치 한 줄 `weights` `(n,)`과 값 `values` `(n, d)`를 받아, 출력 `weights @ values`가 똑같은 **다른** 가중치를 돌려주십시오. 음수가 없고 합이 1이어야 합니다. 키의 수 $n$은 언제나 $d + 1$보다 큽니다. 왜 그것으로 충분할까요?
#
# 힌트: 값과 곱해도 0이고 더해도 0인 방향을 찾으십시오. 조건이 $d + 1$개, 미지수가 $n$개입니다. 그 방향으로 어느 가중치가 0이 될 때까지 갈 수 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-exercise-other -->
# ### 4. Other weights, the very same output (★★★, 15 minutes)
#
# Given one row of `weights` `(n,)` and the `values` `(n, d)`, return **other** weights with exactly the same output `weights @ values`. They must not be negative and must sum to 1. The number of keys $n$ is always larger than $d + 1$. Why is that enough?
#
# Hint: find a direction that the values send to 0 and whose entries sum to 0: $d + 1$ conditions, $n$ unknowns. Along it one can go until some weight reaches 0.

# %% tags=["exercise"]
def my_other_weights(weights, values):
    ...

# %%
from lib.exercises.heads import check_other_weights

check_other_weights(my_other_weights)

# %% tags=["solution", "hide-cell"]
def other_weights_solution(weights, values):
    closed = torch.cat((values, torch.ones_like(values[:, :1])), dim=1)
    null = torch.linalg.svd(closed.T).Vh[closed.shape[1]:]
    direction = null[0]
    down = direction < 0
    return weights + (weights / -direction)[down].min() * direction


check_other_weights(other_weights_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: heads-measured -->
# ## 무엇을 무엇으로 쟀는가
#
# | 잰 것 | 결과 |
# |---|---|
# | 우리 코드와 `nn.MultiheadAttention`, `F.scaled_dot_product_attention` | float32 ⟨parity_32⟩, float64 ⟨parity_64⟩ |
# | 뒤의 토큰을 바꾸었을 때 앞의 출력 변화 | ⟨law_later⟩ |
# | 바로 앞을 가장 많이 보는 헤드의 몫 | 한국어 ⟨previous_ko_share⟩ ± ⟨previous_ko_sd⟩, 영어 ⟨previous_en_share⟩ ± ⟨previous_en_sd⟩ |
# | 같은 낱말을 가장 많이 보는 헤드의 몫 | 한국어 ⟨word_ko_share⟩ ± ⟨word_ko_sd⟩, 영어 ⟨word_en_share⟩ ± ⟨word_en_sd⟩ |
# | 첫 토큰에 절반 넘게 놓는 헤드 | 한국어 ⟨first_ko_half⟩개, 영어 ⟨first_en_half⟩개 |
# | 두 언어의 순위 상관(바로 앞, 같은 낱말, 첫 토큰) | ⟨rho_previous⟩, ⟨rho_word⟩, ⟨rho_first⟩ |
# | 가장 많이 쉬는 ⟨group_size⟩개를 껐을 때 | 한국어 ⟨first_ko_damage⟩, 영어 ⟨first_en_damage⟩, 되풀이 ⟨first_repeated_damage⟩ |
#
# ±는 토막 사이의 표준편차입니다. 헤드를 끌 때는 출력을 0으로 바꾸었습니다. 평균으로 바꾸는 방법도 있고, 그러면 다른 수가 나옵니다. 모델의 행렬은 아래 표에 적힌 파일에서 float32로 되살린 것입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: heads-measured -->
# ## What was measured, and on what
#
# | measured | result |
# |---|---|
# | Our code and `nn.MultiheadAttention`, `F.scaled_dot_product_attention` | float32 ⟨parity_32⟩, float64 ⟨parity_64⟩ |
# | Change of earlier outputs when later tokens change | ⟨law_later⟩ |
# | Share of the head that looks most one back | Korean ⟨previous_ko_share⟩ ± ⟨previous_ko_sd⟩, English ⟨previous_en_share⟩ ± ⟨previous_en_sd⟩ |
# | Share of the head that looks most at the same word | Korean ⟨word_ko_share⟩ ± ⟨word_ko_sd⟩, English ⟨word_en_share⟩ ± ⟨word_en_sd⟩ |
# | Heads with more than half on the first token | Korean ⟨first_ko_half⟩, English ⟨first_en_half⟩ |
# | Rank correlation between the languages (before, same word, first) | ⟨rho_previous⟩, ⟨rho_word⟩, ⟨rho_first⟩ |
# | The ⟨group_size⟩ heads that rest most, silenced | Korean ⟨first_ko_damage⟩, English ⟨first_en_damage⟩, repeated ⟨first_repeated_damage⟩ |
#
# ± is the standard deviation between passages. Silenced heads had their output set to 0; setting it to a mean is another way and gives other numbers. The matrices come from the file that the table names, restored to float32.

# %% tags=["remove-input"]
import transformers

versions = f"{torch.__version__}, {transformers.__version__}"
kept = [("모델 | Model", "smollm2"), ("한국어 글 | Korean text", "korean"),
        ("영어 글 | English text", "tinyshakespeare")]
made = [[what, f"{data.describe(name, 'ko')} | {data.describe(name)}"]
        for what, name in kept]
made += [["토막 | Passages", f"2 × {cfg.windows}, {cfg.tokens} tokens"],
         ["장치 | Device", str(cfg.device)],
         ["torch, transformers", versions], ["시드 | Seed", seed],
         ["프로필 | Profile", cfg.profile]]
pd.DataFrame(made, columns=["재료 | made with", "이 실행 | this run"]
             ).set_index("재료 | made with")
