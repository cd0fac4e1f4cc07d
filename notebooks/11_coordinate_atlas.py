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
# <!-- label: atlas-top -->
# # 좌표 지도: 토큰은 어디에 있고 어디로 가나
#
# [중력 모델](09_gravity_coordinates.ipynb)은 토큰(token)마다 좌표(coordinates)와 질량(mass)을 줍니다. 좌표의 좋은 점은 그림으로 그릴 수 있다는 것입니다. 그러나 그림에는 속기 쉽습니다. 이 장에서는 모든 층(layer)을 한 시점에서 본 지도를 그리고, 지도에서 눈에 띄는 것마다 수로 다시 묻습니다. 무엇이 점을 흩어 놓는가? 무거운 토큰은 자주 나오는 토큰인가? 모음은 모음 곁에 있는가?
#
# - **할 수 있게 되는 것.** 여러 층의 좌표를 왜곡 없이 견주는 지도를 그리고, 좌표의 분산을 자리와 글자와 문맥의 몫으로 나누고, 이웃 표를 우연과 견주어 판정합니다. 학습해 둔 모델이 있으면 명령 한 줄로 그 지도를 만듭니다.
# - **걸리는 시간.** 읽기 35분, 연습 문제 40분.
# - **필요한 것.** [중력 좌표](09_gravity_coordinates.ipynb)의 모델, 평균과 분산.
# %% [markdown] tags=["lang-en"]
# <!-- label: atlas-top -->
# # The coordinate atlas: where tokens lie and where they go
#
# A [gravity model](09_gravity_coordinates.ipynb) gives every token coordinates and a mass. The good thing about coordinates is that they can be drawn, and the trouble with drawings is that they mislead. This chapter draws an atlas that shows all layers from one viewpoint, and asks again in numbers for whatever catches the eye. What spreads the points? Are heavy tokens the frequent ones? Do vowels lie by vowels?
#
# - **You will be able to** draw an atlas in which layers can be compared, split the variance of coordinates into position, token and context, and judge a table of neighbours against chance. If you have a trained model, one command makes its atlas.
# - **Time.** 35 minutes to read, 40 for the exercises.
# - **You need** the model of [gravity coordinates](09_gravity_coordinates.ipynb), means and variances.

# %% tags=["parameters"]
profile: str = None  # smoke, book or gpu; None follows BOOK_PROFILE, else book
checkpoint_path: str = None  # a trained NGT, folder or .pt; None: train one
text: str = None  # what is drawn; None: the beginning of the validation text
output: str = None  # the HTML file; None: artifacts/atlas/atlas.html
dataset: str = None  # tinyshakespeare, wikitext2 or wikitext103
data_path: str = None  # a text file in its place
kernel = "newton"  # newton, gaussian or potential: of the model trained here
seed = 0  # of the first weights, the batches and the shuffles
steps: int = None  # training steps; None: the profile
learning_rate: float = None  # peak of the cosine; None: the profile
batch: int = None  # windows a step; None: the profile
context: int = None  # characters a window; None: the profile
d_model: int = None  # width of the stream; None: the profile
n_layers: int = None  # None: the profile
n_heads: int = None  # None: the profile
d_coord: int = None  # width of the coordinates; None: the profile
points: int = None  # tokens drawn where no text is given; None: the profile
windows: int = None  # of the validation text, measured; None: the profile
device = "auto"  # auto, cpu, cuda or mps

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt

from lib import data
from lib.page.figures import COLOURS, show, use_style
from lib.page.profile import expect, settings
from lib.page.record import record, used, wrote

use_style()

# %% tags=["hide-input"]
sizes = ("steps", "learning_rate", "batch", "context", "d_model", "n_layers",
         "n_heads", "d_coord", "points", "windows")
smoke, book, gpu = (dict(zip(sizes, row, strict=True)) for row in (
    (12, 4e-3, 8, 32, 32, 2, 2, 16, 64, 60),
    (750, 4e-3, 16, 64, 64, 4, 4, 48, 256, 300),
    (4000, 2e-3, 32, 128, 256, 6, 8, 96, 512, 600)))
given = {name: globals()[name] for name in sizes}
expect(str | None, checkpoint_path=checkpoint_path, text=text,
       output=output, dataset=dataset, data_path=data_path)
expect(str, kernel=kernel)
expect(int, seed=seed)
cfg = settings(profile, smoke=smoke, book=book, gpu=gpu, given=given,
               device=device, seed=seed)

# %% [markdown] tags=["lang-ko"]
# <!-- label: atlas-model -->
# ## 지도로 그릴 모델
#
# 아무것도 주지 않으면 이 장은 작은 중력 모델 하나를 셰익스피어의 글자들로 학습시킵니다. `checkpoint_path`를 주면 그 모델을 씁니다. 다른 장에서 학습해 남긴 폴더여도, 공개된 원본의 `.pt` 파일이어도 됩니다. 보통의 트랜스포머(Transformer)에는 좌표가 없으므로 거절합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: atlas-model -->
# ## The model to be mapped
#
# Given nothing, this chapter trains one small gravity model on the characters of Shakespeare. Given `checkpoint_path`, it takes that model: a folder trained in another chapter, or a `.pt` file of the published original. An ordinary Transformer has no coordinates and is turned down.

# %%
from lib.commands import path_of
from lib.gravity.atlas import first_ids, names_of, opened, to_show
from lib.gravity.atlas_page import place_for

page = place_for(output or "artifacts/atlas/atlas.html", data.ROOT)
folder = path_of(checkpoint_path) if checkpoint_path else None
source = opened(folder, dataset, data_path)
used([folder, data_path])
tokens, corpus, model = source.tokens, source.corpus, source.model
shown_ids = to_show(text, source, cfg.points)

# %%
from lib.gravity.model import LMConfig, build, parameters
from lib.gravity.texts import ids_of
from lib.training.loop import Recipe, train

if model is None:
    config = LMConfig(
        vocab=tokens.vocab, context=cfg.context, d_model=cfg.d_model,
        n_layers=cfg.n_layers, n_heads=cfg.n_heads, d_coord=cfg.d_coord,
        attention=kernel)
    recipe = Recipe(
        steps=cfg.steps, batch=cfg.batch, context=cfg.context, seed=seed,
        learning_rate=cfg.learning_rate, warmup=cfg.steps // 12)
    model = build(config, seed).to(cfg.device)
    train(model, ids_of(corpus.train, tokens),
          ids_of(corpus.valid, tokens), recipe, kernel)
model = model.cpu().eval()

# %% tags=["remove-cell"]
record(parameters=parameters(model), corpus=corpus.name,
       vocab=tokens.vocab, d_coord=model.config.d_coord,
       n_layers=model.config.n_layers, context=model.config.context)

# %% [markdown] tags=["lang-ko"]
# 이제 글 두 토막을 읽히고 층마다 좌표를 받아 적습니다. 하나는 그림에 쓸 짧은 글이고, 하나는 수를 잴 긴 글입니다. 긴 글은 검증 데이터에서 모델의 창(window) 크기만큼씩 이어서 자릅니다. 층 $l$의 좌표 $z^l$은 그 층에 **들어가는** 좌표입니다.
#
# $$z^0=\mathrm{LN}(\text{token}+\text{position}),\qquad z^{l+1}=\mathrm{LN}(z^l+W^l a^l)$$
#
# $a^l$은 어텐션(attention)의 출력이므로, 문맥은 $z^1$부터 좌표에 들어옵니다.
# %% [markdown] tags=["lang-en"]
# Two pieces of text are read and their coordinates written down in every layer: a short one for the picture and a long one for the numbers. The long one is validation text, cut into windows of the model's size, side by side. The coordinates $z^l$ of layer $l$ are those that go **into** it.
#
# $$z^0=\mathrm{LN}(\text{token}+\text{position}),\qquad z^{l+1}=\mathrm{LN}(z^l+W^l a^l)$$
#
# $a^l$ is the output of attention, so context enters the coordinates with $z^1$.

# %%
from lib.gravity.atlas import collect

names = names_of(tokens)  # a label and a kind for every token
long_ids = first_ids(corpus.valid, tokens,
                     cfg.windows * model.config.context)
shown = collect(model, shown_ids, names)
measured = collect(model, long_ids, names)

# %% tags=["remove-cell"]
record(n_shown=len(shown.ids), n_measured=len(measured.ids))

# %% [markdown] tags=["lang-ko"]
# <!-- label: atlas-map -->
# ## 한 시점에서 본 지도
#
# 좌표는 ⟨d_coord⟩차원입니다. 세 축만 남기려고 분산이 가장 큰 방향들을 찾습니다(주성분 분석). 층마다 따로 찾으면 안 됩니다. 층마다 축이 달라져, 점이 움직인 것인지 카메라가 움직인 것인지 알 수 없기 때문입니다. 그래서 **모든 층의 점을 한데 모아 축을 한 번만** 정합니다. 그러면 같은 자리에 그려진 점은 (이 세 축에서) 정말 같은 자리에 있습니다.
#
# 모든 층의 점에서 공통의 평균을 뺀 것을 줄로 쌓은 행렬이 $X$이면, 특이값 분해(singular value decomposition)가 축과 그 몫을 함께 줍니다.
#
# $$ X = U S V^\top, \qquad \text{축 } k = V_{\cdot k}, \qquad \text{몫}_k = S_k^2 \Big/ \sum_j S_j^2 $$
#
# $V$의 한 열은 부호를 뒤집어도 축입니다. 실행할 때마다 그림이 뒤집히지 않도록 절댓값이 가장 큰 성분을 양수로 둡니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: atlas-map -->
# ## One viewpoint for all layers
#
# Coordinates have ⟨d_coord⟩ dimensions. To keep three axes we look for the directions of largest variance (principal component analysis). It must not be done layer by layer: with new axes in every layer nobody could tell whether the points moved or the camera did. So the axes are found **once, from the points of all layers together**. Then points drawn at one place do lie at one place, as far as these three axes go.
#
# Let the rows of $X$ be the points of all layers less their common mean. The singular value decomposition gives the axes and their shares at once.
#
# $$ X = U S V^\top, \qquad \text{axis } k = V_{\cdot k}, \qquad \text{share}_k = S_k^2 \Big/ \sum_j S_j^2 $$
#
# A column of $V$ with its sign turned is as good an axis. So that no run turns the picture over, its component of largest absolute value is made positive.

# %%
def main_axes(points):
    """Three directions of largest variance, and the shares of all."""
    x = points - points.mean(0)  # point coord
    _, s, axes = torch.linalg.svd(x, full_matrices=False)
    axes, shares = axes[:3], s.square() / s.square().sum()
    largest = axes.abs().argmax(1, keepdim=True)
    return axes * axes.gather(1, largest).sign(), shares


def held(points, axes):
    """The share of the variance of the points that lies on the axes."""
    x = points - points.mean(0)
    return ((x @ axes.T).square().sum() / x.square().sum()).item()


z = shown.z.double()  # layer point coord
together = z.flatten(0, 1)
axes, axis_shares = main_axes(together)
places = (z - together.mean(0)) @ axes.T  # layer point 3

# %% [markdown] tags=["lang-ko"]
# 층마다 따로 찾은 축과 견주면 얼마를 내주고 무엇을 얻는지 보입니다. 마지막 열은 그 층만의 첫째 축과 공통의 첫째 축 사이의 각도입니다.
# %% [markdown] tags=["lang-en"]
# Beside axes found in each layer by itself one sees what is given away, and for what. The last column is the angle between the first axis of the layer alone and the common one.

# %%
rows = []
for layer, points in enumerate(z):
    own, _ = main_axes(points)
    cosine = (own[0] @ axes[0]).abs().clamp(max=1)
    rows.append((layer, held(points, axes), held(points, own),
                 cosine.acos().rad2deg().item()))
by_layer = pd.DataFrame(rows, columns=[
    "layer", "on the common axes", "on axes of its own", "angle"])
by_layer.set_index("layer").round(3)

# %% [markdown] tags=["lang-ko"]
# `lib`의 `project`는 같은 축을 공분산 행렬의 고윳값에서 구합니다. 층이 깊고 글이 길어도 행렬은 좌표의 수만큼만 크기 때문입니다. 두 결과를 나란히 놓습니다.
# %% [markdown] tags=["lang-en"]
# `project` of `lib` gets the same axes from the eigenvalues of the covariance matrix, which is no larger than the number of coordinates, however many layers and points there are. Both side by side:

# %%
from lib.gravity.atlas import project

view = project(shown.z)
gap = (places - view.places).abs().amax((0, 1))
pd.DataFrame({
    "share": axis_shares[:3], "share in lib": view.shares.double(),
    "difference of shares": (axis_shares[:3] - view.shares).abs(),
    "largest place": places.abs().amax((0, 1)),
    "difference of places": gap,
}, index=["PC1", "PC2", "PC3"]).map("{:.2g}".format)

# %% tags=["remove-cell"]
record("view", view.shares.sum(), text=f"{view.shares.sum():.0%}")
record("view_low", view.by_layer.min(), text=f"{view.by_layer.min():.0%}")
record(axis_angle=by_layer["angle"].max(), gap_places=gap.max())

# %% [markdown] tags=["lang-ko"]
# 자리의 차이는 커야 ⟨gap_places⟩(으)로, `lib`가 그림에 넘기는 float32의 반올림 오차입니다. 층마다 축을 새로 찾았다면 첫째 축은 많게는 ⟨axis_angle⟩도 돌아갔을 것입니다.
#
# 회색 선은 글을 읽는 순서입니다. 먼저 선을 따라가 보고, 슬라이더로 층을 옮겨 보고, 단추로 색을 질량으로 바꾸어 보십시오.
# %% [markdown] tags=["lang-en"]
# The places differ by ⟨gap_places⟩ at most, which is the rounding of the float32 that `lib` hands to the picture. With axes found anew in every layer, the first would have turned by as much as ⟨axis_angle⟩ degrees.
#
# The grey line is the order of reading. Follow it first, then move the slider from layer to layer, then let the buttons colour the points by mass.

# %%
from lib.gravity.atlas_page import atlas_figure

show(atlas_figure(shown, view))

# %% [markdown] tags=["lang-ko", "caption"]
# 토큰 하나가 점 하나입니다(␣는 빈칸, ⏎는 줄 바꿈). 점에 커서를 대면 토큰, 층, 창 안의 자리 t, 질량 m이 나옵니다. 클수록 무겁습니다. 세 축은 모든 층을 합친 분산의 ⟨view⟩, 가장 적은 층에서 ⟨view_low⟩을(를) 담습니다.
#
# <!-- alt: 토큰들을 읽는 순서대로 회색 선으로 이은 3차원 산점도. 색과 모양은 토큰의 종류(모음, 자음, 대문자, 문장 부호, 빈칸)이고, 단추로 질량의 색으로 바꾼다. 슬라이더로 층을 고른다. 학습을 마친 모델에서는 창마다 점들이 같은 가닥을 따라 늘어서고 종류는 섞여 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# One point a token (␣ is a space, ⏎ a line break). Point at it for token, layer, position t in its window and mass m; larger is heavier. The three axes hold ⟨view⟩ of the variance of all layers together, and ⟨view_low⟩ in the layer where they hold least.
#
# <!-- alt: A 3D scatter plot of tokens joined by a grey line in reading order. Colour and shape tell the kind of token (vowel, consonant, capital, punctuation, space), or by a button the mass; a slider picks the layer. In the trained model the points of each window stand along the same strand, and the kinds are mixed. -->

# %% [markdown] tags=["lang-ko"]
# 모음도 대문자도 한데 모이지 않습니다. 창이 여러 개라면 선은 창마다 거의 같은 길을 다시 갑니다. 그러니 이 그림이 보여 주는 것은 토큰의 뜻이 아니라 **자리**인 듯합니다. 정말 그런지, 얼마나 그런지는 재어 보아야 압니다.
# %% [markdown] tags=["lang-en"]
# Vowels do not gather, nor do capitals; and where there are several windows, the line takes nearly the same way in each. So what the picture shows seems to be **position**, not what a token is. Whether that is so, and how far, takes a measurement.

# %% [markdown] tags=["lang-ko"]
# <!-- label: atlas-exercise-axes -->
# ### 연습 1. 세 축이 담은 분산 (★, 10분)
#
# 점 `x` (n, d)와 축의 수 `k`를 받아, 분산이 가장 큰 `k`개의 방향이 담은 분산의 비율을 돌려주십시오.
#
# 힌트: 평균을 뺀 행렬의 특이값(singular value)은 `torch.linalg.svdvals`로 구합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: atlas-exercise-axes -->
# ### Exercise 1. The variance on three axes (★, 10 minutes)
#
# Given points `x` (n, d) and a number of axes `k`, return the share of the variance that the `k` directions of largest variance hold.
#
# Hint: `torch.linalg.svdvals` gives the singular values of the points less their mean.

# %% tags=["exercise"]
def my_share(x, k):
    ...

# %%
from lib.exercises.atlas import check_axes

check_axes(my_share)

# %% tags=["solution", "hide-cell"]
def share_solution(x, k):
    squares = torch.linalg.svdvals(x - x.mean(0)) ** 2
    return squares[:k].sum() / squares.sum()


check_axes(share_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: atlas-variance -->
# ## 무엇이 점을 흩어 놓나
#
# 점들의 분산을 네 몫으로 나눕니다. 긴 글의 점 ⟨n_measured⟩개에 최소제곱 모델 넷을 차례로 맞춥니다. 뒤의 모델은 앞의 모델을 포함합니다.
#
# | 모델 | 점 하나를 무엇으로 어림하나 | 줄어든 분산의 이름 |
# |---|---|---|
# | 0 | 전체 평균 | |
# | 1 | 그 자리의 평균 | 자리 |
# | 2 | 자리의 값 + 토큰의 값 | 토큰 |
# | 3 | 그 (자리, 토큰) 쌍의 평균 | 함께 |
# | 남은 것 | 같은 자리의 같은 토큰끼리도 다른 만큼 | 문맥 |
#
# 모델 $M$의 남은 분산은 $s_M=\mathrm{RSS}_M/(n-p_M)$입니다. 매개변수(parameter)의 수 $p_M$을 빼고 나누지 않으면, 칸이 많은 모델이 우연만으로도 많이 설명한 것처럼 보입니다. 몫은 $s_M/s_0$의 차이이고 넷을 더하면 1입니다.
#
# 모델 1과 3은 무리의 평균입니다. 모델 2는 한 번에 나오지 않습니다. 자리의 평균을 빼고, 남은 것에서 토큰의 평균을 빼고, 다시 자리의 평균을 빼기를 더 바뀌지 않을 때까지 되풀이하면 최소제곱의 답에 이릅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: atlas-variance -->
# ## What spreads the points
#
# Split the variance of the points in four. Four least-squares models are fitted one after the other to the ⟨n_measured⟩ points of the long text, each containing the one before.
#
# | model | what stands in for a point | name of the variance it takes away |
# |---|---|---|
# | 0 | the mean of all | |
# | 1 | the mean of its position | position |
# | 2 | a value of the position + a value of the token | token |
# | 3 | the mean of its pair (position, token) | together |
# | what is left | the difference between equal tokens at equal positions | context |
#
# The variance that model $M$ leaves is $s_M=\mathrm{RSS}_M/(n-p_M)$. Without taking off the number of parameters $p_M$, a model with many cells would seem to explain much by chance alone. The shares are differences of $s_M/s_0$, and the four sum to 1.
#
# Models 1 and 3 are means of groups. Model 2 does not come at once: take off the mean of each position, from what is left the mean of each token, then that of each position again, until nothing changes; this leads to the least squares.

# %%
def group_means(z, group):
    """One row a group: the mean of its points."""
    count = torch.bincount(group)  # group
    total = torch.zeros(len(count), z.shape[1], dtype=z.dtype)
    return total.index_add(0, group, z) / count[:, None]  # group coord


def without_means(z, group):
    """Points less the mean of their group: what this model leaves."""
    return z - group_means(z, group)[group]


def without_both(z, one, two):
    """What a value for each `one` plus a value for each `two` leaves."""
    while True:
        rest = without_means(without_means(z, one), two)
        if (rest - z).abs().max() < 1e-12:
            return rest
        z = rest

# %%
def numbered(group):
    return torch.unique(group, return_inverse=True)[1]  # 0, 1, 2, …


def split_variance(z, one, two):
    """Shares of the variance: one, two, both together, the rest."""
    z = z.double() - z.double().mean(0)  # point coord
    one, two = numbered(one), numbered(two)
    pair = numbered(one * (two.max() + 1) + two)
    n_one, n_two, n_pair = (int(g.max()) + 1 for g in (one, two, pair))
    models = [(z, 1), (without_means(z, one), n_one),
              (without_both(z, one, two), n_one + n_two - 1),
              (without_means(z, pair), n_pair)]
    s = [(rest.square().sum() / (len(z) - p)).item() for rest, p in models]
    return [(s[0] - s[1]) / s[0], (s[1] - s[2]) / s[0],
            (s[2] - s[3]) / s[0], s[3] / s[0]]

# %%
position, token = measured.position, measured.ids
n_layers = len(measured.z)
shares = pd.DataFrame(
    [split_variance(z, position, token) for z in measured.z],
    columns=["position", "token", "together", "context"])
other = pd.DataFrame(
    [split_variance(z, token, position) for z in measured.z],
    columns=["token", "position", "together", "context"])
shares.rename_axis("layer").round(4)

# %% [markdown] tags=["lang-ko"]
# `other`는 토큰을 먼저 세고 자리를 나중에 센 것입니다. `lib`의 `variance_shares`가 주는 몫과 견줍니다.
# %% [markdown] tags=["lang-en"]
# `other` counts the token first and position after it. Here are the shares of `variance_shares` of `lib` for comparison.

# %%
from lib.gravity.geometry import SHARES, variance_shares

theirs = pd.DataFrame([
    variance_shares(z, position, token) for z in measured.z])
turned = pd.DataFrame([
    variance_shares(z, position, token, first="token")
    for z in measured.z])
gaps = pd.DataFrame({
    "position first": (shares - theirs).abs().max(axis=1),
    "token first": (other[shares.columns] - turned).abs().max(axis=1)})
gaps.rename_axis("layer").map("{:.0e}".format)

# %% tags=["remove-cell"]
record("order_gap", (theirs - turned).abs().max().max())
record(gap_shares=gaps.max().max())
first, last = theirs.iloc[0], theirs.iloc[-1]
for name in SHARES:
    record(f"{name}_first", first[name], text=f"{first[name]:.1%}")
    record(f"{name}_last", last[name], text=f"{last[name]:.1%}")

# %% [markdown] tags=["lang-ko"]
# 표는 층마다 네 몫 가운데 가장 큰 차이입니다. 어느 쪽을 먼저 세어도 ⟨gap_shares⟩을(를) 넘지 않습니다.
# %% [markdown] tags=["lang-en"]
# The table gives the largest difference among the four shares of each layer. Whichever comes first, it is no more than ⟨gap_shares⟩.

# %% tags=["hide-input"]
record("context_zero", first["context"], text=f"{abs(first['context']):.0e}")
quarters = [pd.DataFrame([
    variance_shares(z[part], position[part], token[part])
    for z in measured.z])["context"].iloc[-1]
    for part in torch.arange(len(token)).tensor_split(4)]
error = np.std(quarters, ddof=1) / 2  # standard error of a mean of four
record("context_error", error, text=f"{error:.2%}")

# %% tags=["hide-input"]
rest = shares[list(SHARES[1:])].div(shares[list(SHARES[1:])].sum(axis=1),
                                    axis=0)
fig, axs = plt.subplots(1, 2, figsize=(7.2, 3.4), sharey=True)
colours = dict(zip(SHARES, ("grey", "gravity", "plum", "attention"),
                   strict=True))
for ax, part in zip(axs, (shares, rest), strict=True):
    left = np.zeros(n_layers)
    for name in part:
        width = part[name].clip(lower=0).to_numpy()
        ax.barh(range(n_layers), width, left=left, height=0.66,
                color=COLOURS[colours[name]], label=name)
        left += width
    ax.set(xlim=(0, 1), yticks=range(n_layers))
axs[0].set(xlabel="share of the variance", ylabel="layer")
axs[0].invert_yaxis()
axs[1].set(xlabel="share of what position leaves")
fig.legend(*axs[0].get_legend_handles_labels(), ncols=4,
           loc="outside upper center")
show(fig, table=shares.rename_axis("layer"))

# %% [markdown] tags=["lang-ko", "caption"]
# 층마다 좌표의 분산을 나눈 몫. 왼쪽은 전체, 오른쪽은 자리의 몫을 빼고 나머지를 다시 1로 맞춘 것입니다. 아래로 갈수록 깊은 층입니다.
#
# <!-- alt: 층마다 가로 막대 하나씩인 누적 막대그래프 두 개. 왼쪽에서는 자리의 몫이 막대 대부분을 차지한다. 자리를 뺀 오른쪽에서는 첫 층이 거의 다 토큰의 몫이고 깊은 층으로 갈수록 문맥의 몫이 늘어난다. -->
# %% [markdown] tags=["lang-en", "caption"]
# The variance of the coordinates, split, layer by layer: all of it on the left; on the right without the share of position, the rest brought to 1 again. Further down is deeper.
#
# <!-- alt: Two stacked bar charts with one horizontal bar a layer. On the left position takes up most of each bar. On the right, without position, the first layer is nearly all token, and the deeper the layer, the larger the share of context. -->

# %% [markdown] tags=["lang-ko"]
# 자리의 몫은 첫 층에서 ⟨position_first⟩, 마지막 층에서 ⟨position_last⟩입니다. 토큰의 몫은 ⟨token_first⟩에서 ⟨token_last⟩(으)로, 문맥의 몫은 ⟨context_first⟩에서 ⟨context_last⟩(으)로 바뀝니다(글을 넷으로 나누어 잰 표준 오차 ⟨context_error⟩). 앞에서 본 대로 이 공간의 뼈대는 자리입니다.
#
# 계산이 맞는지 알려 주는 자리가 하나 있습니다. 0층의 좌표는 자리와 토큰만으로 정해지므로 문맥의 몫은 꼭 0이어야 합니다. 이번에 나온 값(⟨context_zero⟩)은 반올림 오차입니다. 자리와 토큰 중 무엇을 먼저 세느냐도 결과를 바꿀 수 있는데, 순서를 바꾸어도 몫이 달라지는 폭은 가장 큰 곳에서 ⟨order_gap⟩입니다. 창을 아무 데서나 잘랐으니 자리와 토큰이 거의 독립이기 때문입니다.
# %% [markdown] tags=["lang-en"]
# Position holds ⟨position_first⟩ in the first layer and ⟨position_last⟩ in the last. The share of the token goes from ⟨token_first⟩ to ⟨token_last⟩, that of context from ⟨context_first⟩ to ⟨context_last⟩ (standard error ⟨context_error⟩, from the text cut in four). So the eye was right: the backbone of this space is position.
#
# One cell tells whether the sums are right. At layer 0 coordinates depend on position and token alone, so context must come out as exactly 0; here it is ⟨context_zero⟩, which is rounding. Which of position and token is counted first could matter too: swapping them changes no share by more than ⟨order_gap⟩, because the windows are cut anywhere and the two are nearly independent.

# %% [markdown] tags=["lang-ko"]
# <!-- label: atlas-exercise-context -->
# ### 연습 2. 문맥의 몫 (★★, 15분)
#
# 좌표 `z` (n, C), 자리 (n), 토큰 (n)을 받아 문맥의 몫을 돌려주십시오. (자리, 토큰) 쌍이 같은 점끼리 모아 그 평균에서 벗어난 제곱합을 구하고 $n-\text{쌍의 수}$로 나눈 다음, 전체 평균에서 벗어난 제곱합을 $n-1$로 나눈 값과 견줍니다.
#
# 힌트: `torch.unique(position * token_count + token, return_inverse=True)`가 쌍마다 번호를 붙여 줍니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: atlas-exercise-context -->
# ### Exercise 2. The share of context (★★, 15 minutes)
#
# Given coordinates `z` (n, C), positions (n) and tokens (n), return the share of context: among points of the same pair (position, token) take the squares around their mean, divide their sum by $n-\text{number of pairs}$, and compare with the squares around the mean of all, divided by $n-1$.
#
# Hint: `torch.unique(position * token_count + token, return_inverse=True)` numbers the pairs.

# %% tags=["exercise"]
def my_context(z, position, token):
    ...

# %%
from lib.exercises.atlas import check_context

check_context(my_context)

# %% tags=["solution", "hide-cell"]
def context_solution(z, position, token):
    pair = position * (token.max() + 1) + token
    kinds, cell = torch.unique(pair, return_inverse=True)
    count = torch.bincount(cell).to(z)[:, None]
    means = torch.zeros(len(kinds), z.shape[1]).to(z)
    means = means.index_add(0, cell, z) / count
    left = (z - means[cell]).square().sum() / (len(z) - len(kinds))
    return left / ((z - z.mean(0)).square().sum() / (len(z) - 1))


check_context(context_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: atlas-unthreaded -->
# ## 실을 뽑아낸 지도
#
# 자리가 그림을 거의 다 차지하니 나머지를 보려면 자리를 빼야 합니다. 긴 글에서 자리마다 평균 좌표를 층별로 구해 두고, 그림의 점에서 제 자리의 평균을 뺍니다. 축도 남은 좌표에서 다시 한 번만 찾습니다. 슬라이더를 0층에 두고 같은 글자가 어디에 모이는지 본 다음, 층을 올리며 그 무리가 어떻게 되는지 보십시오.
# %% [markdown] tags=["lang-en"]
# <!-- label: atlas-unthreaded -->
# ## The atlas with the thread pulled out
#
# Position fills the picture, so to see the rest it has to go. The long text gives a mean for every position in every layer, and each point of the picture loses the mean of its own. The axes are found once more, from what is left. Put the slider on layer 0 and see where equal characters gather; then go up and see what becomes of these groups.

# %%
from lib.gravity.atlas import without_position

means = torch.stack([group_means(z, position) for z in measured.z])
bare = without_position(shown, means)
bare_view = project(bare.z)
bare_figure = atlas_figure(bare, bare_view, thread=False)
show(bare_figure)

# %% tags=["remove-cell"]
record("bare", bare_view.shares.sum(),
       text=f"{bare_view.shares.sum():.0%}")

# %% [markdown] tags=["lang-ko", "caption"]
# 같은 글에서 자리의 평균을 뺀 지도. 세 축은 남은 분산의 ⟨bare⟩을(를) 담습니다. 읽는 순서를 잇는 선은 지웠습니다.
#
# <!-- alt: 자리의 평균을 뺀 3차원 산점도. 0층에서는 같은 글자의 점들이 작은 덩어리로 모이고, 층이 깊어지면 덩어리가 퍼져 구름이 된다. 색은 종류 또는 질량이고 슬라이더로 층을 고른다. -->
# %% [markdown] tags=["lang-en", "caption"]
# The same text with the mean of each position taken out; the three axes hold ⟨bare⟩ of the variance that is left. The line of reading is not drawn.
#
# <!-- alt: A 3D scatter plot with the mean of each position taken out. At layer 0 the points of a character lie in one small clump; in deeper layers the clumps spread into clouds. Colour is kind or mass, a slider picks the layer. -->

# %% [markdown] tags=["lang-ko"]
# 점이 얼마나 움직이는지는 그 층에서 점들이 얼마나 떨어져 있는지에 견주어야 뜻이 있습니다.
#
# $$ \operatorname{move}(l) = \sqrt{\frac{\operatorname{mean}_i \lVert z_i^{l+1}-z_i^l\rVert^2}{\operatorname{mean}_{i,j} \lVert z_i^l-z_j^l\rVert^2}} $$
#
# 분모는 모든 쌍을 세지 않아도 됩니다. 두 점 사이 거리의 제곱을 평균하면 분산의 두 배입니다.
# %% [markdown] tags=["lang-en"]
# How far points move means something only beside how far apart they lie in that layer.
#
# $$ \operatorname{move}(l) = \sqrt{\frac{\operatorname{mean}_i \lVert z_i^{l+1}-z_i^l\rVert^2}{\operatorname{mean}_{i,j} \lVert z_i^l-z_j^l\rVert^2}} $$
#
# No pairs have to be counted for the denominator: the mean square of the distance of two points is twice the variance.

# %%
def move_sizes(z):
    """How far points move at each layer, over how far apart they lie."""
    z = z.double()  # layer point coord
    step = (z[1:] - z[:-1]).square().sum(-1).mean(1)  # layer
    spread = (z - z.mean(1, keepdim=True)).square().sum(-1).mean(1)
    return (step / (2 * spread[:-1])).sqrt()


bare_long = without_position(measured, means)
going = measured.z[1:] - measured.z[:-1]
parts = pd.DataFrame(
    [split_variance(step, position, token) for step in going],
    columns=["position", "token", "together", "context"])
far, bare_far = move_sizes(measured.z), move_sizes(bare_long.z)

# %%
from lib.gravity.geometry import moves

pd.DataFrame({
    "move": far, "without position": bare_far,
    "difference from lib": (far - moves(measured.z)).abs(),
    "of the move: position": parts["position"],
    "of the move: token": parts["token"] + parts["together"],
    "of the move: context": parts["context"],
}, index=range(len(far))).set_axis(
    [f"{i} → {i + 1}" for i in range(len(far))]).map("{:.2g}".format)

# %% tags=["remove-cell"]
record(move_first=far[0].item(), move_last=far[-1].item(),
       bare_first=bare_far[0].item(), bare_last=bare_far[-1].item())
record("drift", parts["position"].iloc[0],
       text=f"{parts['position'].iloc[0]:.0%}")

# %% [markdown] tags=["lang-ko"]
# 첫 층에서 점은 아무 두 점 사이 거리의 ⟨move_first⟩배, 마지막 층에서 ⟨move_last⟩배를 움직입니다. 자리를 빼고 재면 ⟨bare_first⟩배와 ⟨bare_last⟩배입니다. 셋째 열은 `lib`의 `moves`와의 차이, 나머지 열은 움직임 자체의 분산을 같은 방법으로 나눈 것입니다. 첫 움직임 가운데 ⟨drift⟩은(는) 어느 글자든 그 자리에 있으면 함께 겪는 움직임입니다. 어텐션이 글의 내용을 좌표에 적기만 하는 것은 아니라는 뜻입니다.
# %% [markdown] tags=["lang-en"]
# Points move by ⟨move_first⟩ of the distance of any two points at first and by ⟨move_last⟩ at last, and with position taken out by ⟨bare_first⟩ and ⟨bare_last⟩. The third column is the difference from `moves` of `lib`; the other columns split the variance of the moves themselves, in the same way. Of the first move, ⟨drift⟩ is what every character goes through that stands at that position: attention does not only write the content of the text into coordinates.

# %% [markdown] tags=["lang-ko"]
# <!-- label: atlas-mass -->
# ## 질량은 빈도인가
#
# 질량은 모두 1에서 출발해 학습이 정합니다. 학습 글에 나온 횟수와 순위 상관(스피어만의 $\rho$)을 구하고, 95% 구간을 함께 적습니다. 순위 상관은 값 대신 순위로 구한 상관이어서, 횟수가 몇 배로 벌어져도 순서만 봅니다. 구간은 피셔의 변환에 보넷과 라이트(2000)의 표준 오차를 써서 구합니다.
#
# $$ \tanh\!\left( \operatorname{atanh} \rho \pm 1.96 \sqrt{\frac{1 + \rho^2/2}{n - 3}} \right) $$
# %% [markdown] tags=["lang-en"]
# <!-- label: atlas-mass -->
# ## Is mass frequency?
#
# All masses start at 1 and training sets them. Take the rank correlation (Spearman's $\rho$) with the number of occurrences in the training text, and a 95% interval with it. It is the correlation of ranks in place of values, and looks only at the order, however many times one count exceeds another. The interval is Fisher's transformation with the standard error of Bonett and Wright (2000).
#
# $$ \tanh\!\left( \operatorname{atanh} \rho \pm 1.96 \sqrt{\frac{1 + \rho^2/2}{n - 3}} \right) $$

# %%
counted = ids_of(corpus.train[:5_000_000], tokens)
counts = torch.bincount(counted, minlength=tokens.vocab)
everyone = collect(model, torch.arange(tokens.vocab), names)
mass, kinds = everyone.mass, np.array(everyone.kinds)
seen, often = counts > 0, counts >= 100

# %%
def ranks(values):
    """1 for the smallest; equal values share the mean of their ranks."""
    _, which, count = np.unique(values, return_inverse=True,
                                return_counts=True)
    return (count.cumsum() - (count - 1) / 2)[which]


def spearman(x, y, groups):
    """ρ and its 95% interval, from differences within the groups."""
    a, b = ranks(x), ranks(y)
    for group in set(groups):
        inside = groups == group
        a[inside] -= a[inside].mean()
        b[inside] -= b[inside].mean()
    rho = a @ b / np.sqrt((a @ a) * (b @ b))
    n = len(a) - (len(set(groups)) - 1)
    wide = 1.96 * np.sqrt((1 + rho**2 / 2) / (n - 3))
    z = np.arctanh(rho)
    return rho, np.tanh(z - wide), np.tanh(z + wide)

# %%
from lib.gravity.geometry import rank_correlation

one_kind = np.full(len(kinds), "any")
cases = {"all tokens": (seen, one_kind),
         "seen 100 times or more": (often, one_kind),
         "of these, within kinds": (often, kinds)}
rows = {}
for name, (which, groups) in cases.items():
    pairs = counts[which].numpy(), mass[which].numpy(), groups[which.numpy()]
    ours, its = spearman(*pairs), rank_correlation(*pairs)
    rows[name] = [len(pairs[0]), *ours, np.abs(np.subtract(ours, its)).max()]
ranked = pd.DataFrame.from_dict(rows, "index", columns=[
    "tokens", "ρ", "95% low", "95% high", "difference from lib"])
ranked.style.format({"ρ": "{:.2f}", "95% low": "{:.2f}",
                     "95% high": "{:.2f}",
                     "difference from lib": "{:.0e}"})

# %% tags=["remove-cell"]
for key, rho in zip(("all", "often", "within"), ranked["ρ"], strict=True):
    record(f"rho_{key}", rho, text=f"{rho:+.2f}".replace("-", "−"))
record(mass_low=mass[seen].min(), mass_high=mass[seen].max())

# %% tags=["hide-input"]
from lib.gravity.atlas_page import LOOKS

fig, ax = plt.subplots()
for kind, (colour, symbol) in LOOKS.items():
    part = seen & torch.as_tensor(kinds == kind)
    if part.any():
        ax.scatter(counts[part], mass[part], s=22, label=kind,
                   color=COLOURS[colour], marker=symbol[0].replace("c", "o"))
if tokens.vocab < 200:
    for i in seen.nonzero().flatten().tolist():
        ax.annotate(everyone.labels[i], (counts[i], mass[i]), xytext=(4, 3),
                    textcoords="offset points", fontsize=8)
ax.axhline(1, color=COLOURS["grey"], linewidth=1, linestyle=":")
ax.set(xscale="log", xlabel="occurrences in the training text",
       ylabel="mass m")
ax.legend(ncols=2)
show(fig)

# %% [markdown] tags=["lang-ko", "caption"]
# 나온 횟수(로그 눈금)와 질량. 점선은 출발점인 1입니다. 색과 모양은 토큰의 종류입니다.
#
# <!-- alt: 토큰별 산점도. 가로축은 학습 글에 나온 횟수의 로그 눈금, 세로축은 질량이다. 종류마다 색과 모양이 다르고, 드문 글자는 출발점 1 곁에 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Occurrences (logarithmic) and mass; the dotted line is the start at 1. Colour and shape give the kind of token.
#
# <!-- alt: A scatter plot by token: occurrences in the training text on a logarithmic axis against mass. Colours and shapes give the kinds; rare characters lie by the start at 1. -->

# %% [markdown] tags=["lang-ko"]
# 이 표가 말하는 것: 이번 모델에서 질량은 ⟨mass_low⟩에서 ⟨mass_high⟩까지 벌어졌고, 나온 횟수와의 순위 상관은 모든 토큰에서 ⟨rho_all⟩, 드문 것을 빼면 ⟨rho_often⟩, 같은 종류 안에서만 견주면 ⟨rho_within⟩입니다. 음수이면 자주 나올수록 가볍다는 뜻이고, 구간이 0을 포함하면 부호를 말할 수 없습니다.
#
# 말하지 않는 것이 더 많습니다. 구간은 토큰들을 서로 독립인 표본으로 본 것이라 시드(seed)를 바꾸면 질량이 얼마나 달라지는지는 담지 않습니다. 상관은 까닭이 아닙니다. 거의 나오지 않는 토큰은 기울기(gradient)를 받을 일이 드물어 출발점에 남을 뿐입니다. 그리고 무겁다고 더 많이 보이는 것도 아닙니다. 가중치는 질량과 거리가 함께 정하고, 질량의 지수는 헤드(head)마다 따로 배웁니다.
# %% [markdown] tags=["lang-en"]
# What the table says: in this model masses spread from ⟨mass_low⟩ to ⟨mass_high⟩, and their rank correlation with the counts is ⟨rho_all⟩ over all tokens, ⟨rho_often⟩ without the rare ones, ⟨rho_within⟩ among tokens of one kind only. Negative means the more frequent the lighter; where an interval contains 0, the sign is open.
#
# It leaves more unsaid. The interval takes tokens as independent draws, and does not cover what another seed would do to the masses. A correlation is no cause: a token that hardly occurs hardly receives a gradient and stays where it began. Nor is a heavy token looked at more. Weights come from mass and distance together, and each head learns an exponent of its own for the mass.

# %% [markdown] tags=["lang-ko"]
# <!-- label: atlas-exercise-ranks -->
# ### 연습 3. 순위 상관 (★, 10분)
#
# 판다스 `Series` 둘을 받아 스피어만의 $\rho$를 돌려주십시오. 값이 같은 것들은 순위의 평균을 나누어 갖습니다. `method="spearman"`은 쓰지 말고 만들어 보십시오.
#
# 힌트: $\rho$는 순위끼리의 피어슨 상관입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: atlas-exercise-ranks -->
# ### Exercise 3. Rank correlation (★, 10 minutes)
#
# Given two pandas `Series`, return Spearman's $\rho$. Equal values share the mean of their ranks. Build it without `method="spearman"`.
#
# Hint: $\rho$ is Pearson's correlation of the ranks.

# %% tags=["exercise"]
def my_rank_correlation(x, y):
    ...

# %%
from lib.exercises.atlas import check_rank_correlation

check_rank_correlation(my_rank_correlation)

# %% tags=["solution", "hide-cell"]
def rank_solution(x, y):
    return x.rank().corr(y.rank())  # rank() averages ties


check_rank_correlation(rank_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: atlas-neighbours -->
# ## 모음은 모음 곁에 있나
#
# 토큰의 좌표 표에는 토큰마다 벡터가 한 줄씩 있습니다. 같은 자리에서는 위치의 몫이 서로 지워지므로, 정규화하기 전의 두 토큰 사이 거리는 이 표의 두 줄 사이 거리입니다. 줄마다 가장 가까운 이웃 셋을 찾습니다. 거리로 한 번, 평균을 뺀 뒤의 방향(코사인)으로 한 번 찾습니다. 학습 글에 100번 이상 나온 토큰만 봅니다. 원본처럼 좌표가 위치에서만 나오는 모델에는 이 표가 없으므로, 마지막 층의 좌표에서 자리를 빼고 토큰마다 평균한 것을 씁니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: atlas-neighbours -->
# ## Do vowels lie by vowels?
#
# The table of token coordinates has one row a token. At one position the share of the position cancels, so before the normalization the distance of two tokens is the distance of their rows. For each row take the three nearest others: once by distance, once by direction (the cosine, after the mean of the table is taken off). Only tokens seen 100 times or more take part. A model whose coordinates come from position alone, such as the original, has no such table; there the mean coordinates of each token in the last layer are taken, without position.

# %%
from lib.gravity.atlas import token_table

keep = often if int(often.sum()) > 3 else seen
kept_kinds = kinds[keep.numpy()]
table = token_table(model)  # token coord
if table is None:  # position alone: where tokens end up on average
    total = torch.zeros(tokens.vocab, bare_long.z.shape[-1])
    times = torch.bincount(token, minlength=tokens.vocab).clamp_min(1)
    table = total.index_add(0, token, bare_long.z[-1]) / times[:, None]

# %%
def three_nearest(rows):
    """The three nearest other rows of each row."""
    rows = rows.double()
    far = torch.cdist(rows, rows)  # token token
    far.fill_diagonal_(torch.inf)  # nobody is a neighbour of its own
    return far.argsort(1)[:, :3]


def unit(rows):
    """Directions from the mean: nearest means smallest angle."""
    rows = rows - rows.mean(0)
    return rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-12)


near = {"distance": three_nearest(table[keep]),
        "direction": three_nearest(unit(table[keep]))}

# %% tags=["hide-input"]
letters = [label for label, k in zip(everyone.labels, keep, strict=True) if k]
order = sorted(range(len(letters)), key=lambda i: -counts[keep][i])[:16]
pd.DataFrame({
    "token": [letters[i] for i in order],
    "kind": kept_kinds[order],
    "by distance": [
        " ".join(letters[j] for j in near["distance"][i]) for i in order],
    "by direction": [
        " ".join(letters[j] for j in near["direction"][i]) for i in order],
}).style.hide(axis="index")

# %% [markdown] tags=["lang-ko"]
# 표는 가장 잦은 열여섯 토큰입니다. 그럴듯한 쌍이 눈에 띄지만, 눈에 띄는 것만 골라 보게 되므로 모두 셉니다. 이웃이 토큰 자신과 같은 종류인 비율을 구하고, 우연이라면 얼마일지와 견줍니다. 종류를 아무렇게나 다시 나누어 주기를 2,000번 되풀이하면 종류의 크기가 고르지 않은 것까지 셈에 들어갑니다.
# %% [markdown] tags=["lang-en"]
# These are the sixteen most frequent tokens. Some pairs look convincing, but the eye picks what convinces it, so count them all: the share of neighbours that are of the token's own kind, beside what chance would give. Dealing the kinds out anew 2,000 times takes account of kinds that differ in size.

# %%
code = torch.as_tensor(np.unique(kept_kinds, return_inverse=True)[1])


def same_kind(near, code):
    """The share of neighbours that are of the token's own kind."""
    return (code[near] == code[:, None]).double().mean()


def dealt_anew(near, code, times, draw):
    """The same share, with the kinds dealt out at random."""
    return torch.stack([
        same_kind(near, code[torch.randperm(len(code), generator=draw)])
        for _ in range(times)])

# %%
draw = torch.Generator().manual_seed(seed)
noise = torch.randn(table[keep].shape, generator=draw)
tables = {"coordinates, distance": table[keep],
          "coordinates, direction": unit(table[keep]),
          "random table, direction": unit(noise)}
for place, name in (("head", "output layer, direction"),
                    ("token", "embedding, direction")):
    if hasattr(model, place):
        rows = getattr(model, place).weight.detach()[keep]
        tables[name] = unit(rows)
twin = torch.Generator()
twin.set_state(draw.get_state())  # the same cards for lib
dealt = {name: dealt_anew(three_nearest(rows), code, 2000, draw)
         for name, rows in tables.items()}

# %%
from lib.gravity.geometry import agreement, nearest, shuffled

rows = []
for name, places in tables.items():
    share, chance = same_kind(three_nearest(places), code), dealt[name]
    its = nearest(places, 3)
    gap = max(abs(share.item() - agreement(its, kept_kinds)), (
        chance - shuffled(its, kept_kinds, 2000, twin)).abs().max().item())
    rows.append((name, share.item(), chance.mean().item(),
                 chance.quantile(0.975).item(), gap))
shared = pd.DataFrame(rows, columns=[
    "table", "same kind", "shuffled", "97.5% of shuffles",
    "difference from lib"]).set_index("table")
shared.round(3)

# %% tags=["remove-cell"]
keys = ("distance", "direction", "noise", "output", "embedding")
for key, value in zip(keys, shared["same kind"], strict=False):
    record(f"near_{key}", value, text=f"{value:.0%}")
chance = dealt["coordinates, direction"]
record("near_chance", chance.mean(), text=f"{chance.mean():.0%}")
record("near_high", chance.quantile(0.975),
       text=f"{chance.quantile(0.975):.0%}")

# %% tags=["hide-input"]
vowel = torch.as_tensor(kept_kinds == "vowel")


def mates(vowel):
    """The share of vowels among the neighbours of vowels."""
    return vowel[near["direction"][vowel]].double().mean().item()


dealt = [mates(vowel[torch.randperm(len(vowel), generator=draw)])
         for _ in range(2000)]
for key, value in (("mates", mates(vowel)), ("chance", np.mean(dealt)),
                   ("high", np.quantile(dealt, 0.975))):
    record(f"vowel_{key}", value, text=f"{value:.0%}")

# %% [markdown] tags=["lang-ko"]
# 좌표 표에서 이웃이 같은 종류인 비율은 거리로 ⟨near_distance⟩, 방향으로 ⟨near_direction⟩입니다. 섞었을 때는 평균 ⟨near_chance⟩이고 100번 중 97.5번은 ⟨near_high⟩에 못 미칩니다. 난수 표에서는 ⟨near_noise⟩입니다. 섞은 것의 97.5%를 넘는다면 좌표는 종류를 얼마간 아는 것입니다.
#
# 물음으로 돌아가 작은 모음만 봅니다. 이웃이 모음인 비율은 ⟨vowel_mates⟩, 섞었을 때는 평균 ⟨vowel_chance⟩, 97.5%는 ⟨vowel_high⟩입니다. 모음은 다섯뿐이라 이 비율은 크게 흔들립니다. 대문자와 소문자가 갈리는 것만으로도 종류의 비율은 올라가므로, 앞 단락의 수를 모음에 관한 말로 읽어서는 안 됩니다.
#
# 같은 모델의 출력층에서는 ⟨near_output⟩, 입력 임베딩(embedding)에서는 ⟨near_embedding⟩입니다. 출력층의 값이 더 크다면, 다음에 올 토큰의 종류를 가리는 일은 좌표보다 출력층에 더 또렷이 새겨져 있는 것입니다.
# %% [markdown] tags=["lang-en"]
# In the table of coordinates, neighbours are of the same kind in ⟨near_distance⟩ of cases by distance and ⟨near_direction⟩ by direction. Shuffled kinds give ⟨near_chance⟩ on average and stay below ⟨near_high⟩ in 97.5 of 100 draws; a random table gives ⟨near_noise⟩. Beyond the 97.5% of the shuffles, coordinates know something of kinds.
#
# Back to the question, with small vowels alone: their neighbours are vowels in ⟨vowel_mates⟩ of cases, where shuffling gives ⟨vowel_chance⟩ on average and ⟨vowel_high⟩ at 97.5%. With five vowels this share swings widely. And since a mere parting of capitals from small letters lifts the share of equal kinds, the numbers above must not be read as being about vowels.
#
# In the same model the output layer reaches ⟨near_output⟩ and the input embedding ⟨near_embedding⟩. Where the output layer is higher, the kind of what comes next is written there more clearly than in the coordinates.

# %% [markdown] tags=["lang-ko"]
# <!-- label: atlas-exercise-chance -->
# ### 연습 4. 섞지 않고 구하는 우연 (★, 5분)
#
# 종류마다 토큰의 수를 담은 목록 `counts`를 받아, 이웃이 우연히 같은 종류일 확률을 돌려주십시오. 이웃은 자기 자신을 뺀 토큰 가운데 하나입니다. 그러면 2,000번 섞지 않아도 평균을 압니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: atlas-exercise-chance -->
# ### Exercise 4. Chance without shuffling (★, 5 minutes)
#
# Given a list `counts` of the number of tokens of each kind, return the probability that a neighbour is of the same kind by chance. A neighbour is any token but the token itself. Then the mean is known without 2,000 shuffles.

# %% tags=["exercise"]
def my_chance(counts):
    ...

# %%
from lib.exercises.atlas import check_chance

check_chance(my_chance)

# %% tags=["solution", "hide-cell"]
def chance_solution(counts):
    n = sum(counts)
    return sum(c * (c - 1) for c in counts) / (n * (n - 1))


check_chance(chance_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: atlas-own -->
# ## 여러분의 모델로
#
# 학습해 둔 모델이 있으면 저장소의 맨 위 폴더에서 이렇게 합니다. 상대 경로는 그 폴더에서 시작합니다.
#
# ```bash
# ./setup_and_run.sh run atlas -p checkpoint_path runs/my_ngt -p output atlas.html -p text "To be, or not to be"
# ```
#
# 두 지도가 한 파일에 담깁니다. 그림을 그리는 프로그램까지 들어 있어 인터넷 없이 열리고, 점마다 토큰과 질량과 층이 적혀 있습니다. 문자 토크나이저(tokenizer)가 본 적 없는 글자를 주면 어느 글자인지 알려 주고 멈춥니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: atlas-own -->
# ## With a model of your own
#
# With a trained model at hand, run this in the root folder of the repository, where relative paths begin.
#
# ```bash
# ./setup_and_run.sh run atlas -p checkpoint_path runs/my_ngt -p output atlas.html -p text "To be, or not to be"
# ```
#
# Both maps go into one file. It brings its own drawing program, so it opens without a network, and each point carries token, mass and layer. A character that a character tokenizer never saw is named, and nothing is drawn.

# %%
from lib.gravity.atlas_page import write

written = write(
    [("지도", "Atlas", atlas_figure(shown, view)),
     ("자리를 뺀 지도", "Atlas without position", bare_figure)],
    page, f"Coordinate atlas · {corpus.name}")
inside = written.is_relative_to(data.ROOT)
wrote([written.relative_to(data.ROOT) if inside else written])

# %% tags=["remove-cell"]
record("atlas_mb", written.stat().st_size / 1e6)

# %% [markdown] tags=["lang-ko"]
# <!-- label: atlas-measured -->
# ## 무엇을 쟀나
#
# - **모델.** 매개변수 ⟨parameters⟩개, ⟨n_layers⟩층, 좌표 ⟨d_coord⟩차원, 창 ⟨context⟩토큰, 어휘(vocabulary) ⟨vocab⟩개. 글은 ⟨corpus⟩. 시드 하나로 한 번 학습한 모델이므로 다른 시드에서 값이 얼마나 달라지는지는 재지 않았습니다.
# - **지도.** 토큰 ⟨n_shown⟩개, 모든 층에 주성분 분석 한 번. 세 축이 담은 분산 ⟨view⟩, 자리를 뺀 뒤 ⟨bare⟩.
# - **분산.** 검증 글의 토큰 ⟨n_measured⟩개. 문맥의 몫은 같은 자리에 같은 토큰이 두 번 이상 나온 경우에서 얻으므로, 잦은 토큰에 치우칩니다.
# - **파일.** ⟨atlas_mb⟩ MB짜리 HTML 하나.
# %% [markdown] tags=["lang-en"]
# <!-- label: atlas-measured -->
# ## What was measured
#
# - **Model.** ⟨parameters⟩ parameters, ⟨n_layers⟩ layers, ⟨d_coord⟩ coordinates, windows of ⟨context⟩ tokens, a vocabulary of ⟨vocab⟩. Text: ⟨corpus⟩. It was trained once with one seed; how much another seed would change was not measured.
# - **Atlas.** ⟨n_shown⟩ tokens, one principal component analysis for all layers; three axes hold ⟨view⟩ of the variance, and ⟨bare⟩ with position taken out.
# - **Variance.** ⟨n_measured⟩ tokens of validation text. The share of context comes from tokens that stand twice or more at one position, so it leans towards frequent ones.
# - **File.** One HTML file of ⟨atlas_mb⟩ MB.
