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
# <!-- label: bench-workbench -->
# # 실험대: 두 트랜스포머를 한 번에
#
# 1부에서 만든 트랜스포머(Transformer)와 Hugging Face의 트랜스포머를 같은 과제로 학습시키고, 둘의 속을 같은 방법으로 들여다봅니다. 설명을 읽는 장이 아니라 손잡이를 돌려 보는 곳입니다. 옵션을 바꾸면 두 모델에 똑같이 적용됩니다.
#
# - **할 수 있게 되는 것.** 모델의 크기, 학습률(learning rate), 데이터의 양을 바꾸어 가며 두 구현을 학습시키고, 손실(loss) 곡선과 다섯 가지 분석을 비교하고, 중단된 학습을 이어서 할 수 있습니다.
# - **걸리는 시간.** 읽기 15분, 실험은 원하는 만큼.
# - **필요한 것.** [1부](#part-attention)의 장들. 명령을 실행해 보려면 터미널.
# %% [markdown] tags=["lang-en"]
# <!-- label: bench-workbench -->
# # Workbench: both Transformers in one run
#
# The Transformer that Part I builds and the one of Hugging Face learn the same task here, and we look inside both in the same way. This page explains little; it is a place to turn knobs. Every option acts on both models.
#
# - **You will be able to** train the two implementations at other sizes, learning rates and amounts of data, compare their loss curves and the five analyses, and go on with a training that was interrupted.
# - **Time.** 15 minutes to read; experiments as long as you like.
# - **You need** the chapters of [Part I](#part-attention). A terminal, to run the commands.

# %% tags=["parameters"]
profile: str = None  # smoke, book or gpu; None follows BOOK_PROFILE, else book
version = "both"  # both, pytorch, huggingface, analysis or test
vocab_size = 1000  # the most entries that the tokenizer may have
hidden_size = 256  # width of the residual stream
num_layers = 4  # of the encoder, and of the decoder
num_heads = 8  # of each attention layer; must divide hidden_size
epochs = 5  # passes over the training pairs
batch_size = 16  # pairs in one update
learning_rate = 1e-3  # at its peak; the tutorial has 1e-4
max_length = 64  # the longest sequence, in tokens
train_size = 2000  # training pairs
eval_size = 500  # pairs never trained on, half dates and half numbers
output_dir = "results"  # relative to the root of the repository
device = "auto"  # auto, cpu, cuda or mps
debug = False  # a table of every tensor, and of where one is not finite
visualize = True  # pictures, here and in output_dir
track_internals = True  # look inside while training, not only after it
wandb = False  # report to Weights & Biases
wandb_project = "transformer-workbench"  # under this name
seed = 42  # of the pairs, the first weights and the order of the rows
mixed_precision = "no"  # no, bf16 or fp16
gradient_accumulation_steps = 1  # parts that a batch is cut into
resume = False  # refuse where output_dir holds nothing to go on with
force = False  # begin anew, whatever output_dir holds
trials = False  # an epoch more for each of two learning rates
label_smoothing = 0.0  # 0 or more, below 1
schedule = "cosine"  # constant, cosine or noam
warmup_steps: int = None  # updates until the peak; None: a tenth of all
dropout = 0.0  # 0 or more, below 1
norm_first = True  # normalise before each part; False: after it, as the paper

# %% tags=["hide-input"]
import pandas as pd

from lib.page.figures import show, use_style
from lib.page.profile import settings
from lib.page.record import record, wrote
from lib.trace import analyses as five
from lib.workbench.transformer import files
from lib.workbench.transformer import training as bench
from lib.workbench.transformer.options import settled

use_style()
pd.set_option("display.max_colwidth", None)

# %% tags=["hide-input"]
cfg = settings(profile, smoke={}, book={}, gpu={}, device=device)
options = settled(globals(), cfg.profile)
task = bench.prepare(options)

# %% [markdown] tags=["lang-ko"]
# <!-- label: bench-running -->
# ## 실행하기
#
# 저장소의 맨 위 폴더에서 아래 명령을 실행합니다. 첫 줄은 이 책의 본보기가 된 튜토리얼의 첫 명령과 같은 일을 합니다.
#
# ```sh
# ./setup_and_run.sh run transformer -p version both -p epochs 2 -p train_size 500
# ./setup_and_run.sh run transformer -p version both -p epochs 4 -p train_size 500
# ./setup_and_run.sh run transformer -p version pytorch -p hidden_size 128 -p output_dir results/small
# ./setup_and_run.sh run transformer -p version analysis
# ./setup_and_run.sh run transformer -p version test
# ```
#
# | `version` | 하는 일 |
# |---|---|
# | `both` | 두 모델을 차례로 학습시키고 비교합니다 |
# | `pytorch` | [4장](04_encoder_decoder.ipynb)의 모델을 [5장](05_training.ipynb)의 학습 루프로 학습시킵니다 |
# | `huggingface` | [6장](06_hugging_face.ipynb)의 방식으로 학습시킵니다 |
# | `analysis` | 학습은 하지 않습니다. `output_dir`에 있는 모델을 분석하고, 없으면 학습하지 않은 모델을 분석합니다 |
# | `test` | 작은 모델로 학습, 저장, 불러오기, 분석을 모두 시험합니다. 따로 마련한 폴더에서 하므로 `output_dir`은 건드리지 않습니다 |
#
# 나머지 옵션은 위의 매개변수(parameter) 셀에 있습니다. `./setup_and_run.sh run --list`로도 볼 수 있습니다. 크기를 정하는 옵션은 적힌 그대로 쓰입니다. `smoke` 프로필만은 시험용이라서 `num_layers`, `epochs`, `train_size`, `eval_size`를 조금만 남기고 줄입니다. 책에 실린 이 페이지는 오래 걸리지 않도록 너비 ⟨width⟩, 층(layer) ⟨layers⟩개, 헤드(head) ⟨heads⟩개로 실행한 것입니다.
#
# Ctrl-C를 누르면 하던 스텝을 마치고 저장한 다음 멈춥니다. 같은 명령을 다시 실행하면 거기서부터 이어 하고, 이미 끝난 학습이면 다시 하지 않고 그대로 씁니다. 위의 둘째 줄처럼 `epochs`를 늘리면 더 학습시킵니다. `output_dir`에 다른 옵션으로 한 학습이 있으면 지우지 않고, 어느 옵션이 어떻게 다른지 알려 주고 멈춥니다. 그럴 때는 다른 `output_dir`을 적거나 `--force`로(노트북에서는 `force`로) 새로 시작하십시오.
#
# 옵션이 잘못되면 학습을 시작하기 전에 한 문장으로 알려 주고 멈춥니다. 헤드 수로 나누어지지 않는 `hidden_size`, 모르는 `version`이나 `device`, 없는 GPU, 설치되지 않은 wandb, `max_length`보다 긴 문장이 그렇습니다. 메모리가 모자라면 무엇을 줄일지 알려 줍니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bench-running -->
# ## Running it
#
# Run these in the root folder of the repository. The first line does what the first command of the tutorial behind this book does.
#
# ```sh
# ./setup_and_run.sh run transformer -p version both -p epochs 2 -p train_size 500
# ./setup_and_run.sh run transformer -p version both -p epochs 4 -p train_size 500
# ./setup_and_run.sh run transformer -p version pytorch -p hidden_size 128 -p output_dir results/small
# ./setup_and_run.sh run transformer -p version analysis
# ./setup_and_run.sh run transformer -p version test
# ```
#
# | `version` | what it does |
# |---|---|
# | `both` | trains the two models one after the other and compares them |
# | `pytorch` | trains the model of [chapter 4](04_encoder_decoder.ipynb) with the loop of [chapter 5](05_training.ipynb) |
# | `huggingface` | trains in the way of [chapter 6](06_hugging_face.ipynb) |
# | `analysis` | trains nothing: it analyses the models in `output_dir`, or an untrained one if there are none |
# | `test` | tries out training, saving, loading and the analyses with small models, in a folder of its own; `output_dir` stays as it is |
#
# The other options are in the cell of parameters above; `./setup_and_run.sh run --list` shows them too. Sizes are taken as they are written. Only the profile `smoke`, which is for tests, leaves little of `num_layers`, `epochs`, `train_size` and `eval_size`. This page of the book was run with width ⟨width⟩, ⟨layers⟩ layers and ⟨heads⟩ heads, so that it does not take long.
#
# Ctrl-C stops a training after the step that is being made, and saves it. The same command goes on from there, and a training that has ended is used as it is. With more `epochs`, as in the second line above, it goes on further. If `output_dir` holds a training of other options, nothing is replaced: the run ends and says which option differs. Name another `output_dir` then, or begin anew with `--force` (`force` in a notebook).
#
# An option that makes no sense ends the run before any training, with one sentence: a `hidden_size` that the heads do not divide, an unknown `version` or `device`, a GPU that is not there, wandb that is not installed, a sequence longer than `max_length`. If memory runs out, the sentence says what to lower.

# %% [markdown] tags=["lang-ko"]
# <!-- label: bench-training -->
# ## 같은 출발점, 같은 순서
#
# 과제는 5장과 같습니다. 날짜와 수를 영어와 한국어 사이에서 옮깁니다. 학습에 쓰는 쌍은 ⟨n_train⟩개, 학습에서 한 번도 보지 않은 쌍은 ⟨n_eval⟩개입니다. 토크나이저(tokenizer)의 어휘(vocabulary)는 ⟨n_vocab⟩개이고, `vocab_size`는 넘지 말아야 할 수입니다.
#
# 두 구현을 견주려면 다른 것이 모두 같아야 합니다. 그래서 처음 가중치가 같고, 배치에 담기는 쌍과 그 순서가 같고, 옵티마이저와 학습률도 스텝마다 같습니다. 남는 차이는 코드뿐입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bench-training -->
# ## The same start, the same order
#
# The task is that of chapter 5: dates and numbers between English and Korean. There are ⟨n_train⟩ pairs to train on and ⟨n_eval⟩ that training never sees. The tokenizer has a vocabulary of ⟨n_vocab⟩ entries; `vocab_size` is the number it must not exceed.
#
# To compare two implementations, everything else must be equal. So they start from the same weights, get the same pairs in the same batches and the same order, and have the same optimizer and the same learning rate at each step. What remains is the code.

# %%
runs = [bench.train(options, task, name)
        for name in bench.versions(options)]
if version == "analysis":
    runs = files.loaded(options) or [files.untrained(options, task)]
checks = files.self_test(options) if version == "test" else None
checks

# %% tags=["remove-input"]
# of the models at hand, whatever was asked for
of = runs[0].options if runs else options
record(n_train=of.train_size, n_eval=of.eval_size,
       n_vocab=(runs[0].task if runs else task).config.vocab,
       n_epochs=of.epochs, n_steps=runs[0].step if runs else of.steps,
       batch=of.batch_size, width=of.hidden_size, layers=of.num_layers,
       heads=of.num_heads, epoch_steps=of.per_epoch)

# %% tags=["hide-input"]
if visualize and any(len(run.curve) for run in runs):
    show(files.curves_figure(runs))

# %% [markdown] tags=["lang-ko", "caption"]
# 두 구현의 손실. 점선은 학습 손실, 실선은 학습에 쓰지 않은 쌍에서 잰 검증 손실(validation loss)입니다. 넓은 선이 PyTorch, 좁은 선이 Hugging Face입니다. 두 구현이 같은 계산을 한다면 두 선이 겹칩니다.
# <!-- alt: 학습 스텝에 따른 두 구현의 학습 손실과 검증 손실 곡선. 모두 오른쪽으로 갈수록 내려간다. -->
# %% [markdown] tags=["lang-en", "caption"]
# The loss of the two implementations: dotted on the training pairs, solid the validation loss on pairs never trained on. The wide lines are PyTorch, the narrow ones Hugging Face. If both compute the same, the lines lie on each other.
# <!-- alt: Training and validation loss of the two implementations against the training step. All curves descend to the right. -->

# %% tags=["hide-input"]
def summary(run):
    size = sum(p.numel() for p in run.model.parameters()
               if p.requires_grad)
    loss = run.curve["valid"].iloc[-1] if len(run.curve) else None
    return {"매개변수 | parameters": f"{size:,}",
            "학습 시간(초) | seconds of training": f"{run.seconds:.1f}",
            "검증 손실 | validation loss":
                "–" if loss is None else f"{loss:.4f}",
            **{f"맞은 비율, {ko} | right, {kind}s":
                   f"{run.scores[kind]:.1%}" if run.scores else "–"
               for kind, ko in (("date", "날짜"), ("number", "수"))}}


pd.DataFrame({files.NAMES[run.version]: summary(run) for run in runs})

# %% tags=["remove-input"]
for run in runs:
    if not run.scores:
        continue
    name = {"pytorch": "ours", "huggingface": "theirs"}[run.version]
    for kind, share in run.scores.items():
        record(f"{name}_{kind}", share, text=f"{share:.1%}")
    record(f"{name}_seconds", run.seconds, text=f"{run.seconds:.0f}")
both = [run.curve.set_index("step")["valid"] for run in runs
        if len(run.curve)]
if len(both) == 2 and both[0].index.equals(both[1].index):
    gaps = (both[0] - both[1]).abs()
    record(gap_first=gaps.iloc[0], gap_last=gaps.iloc[-1],
           gap_most=gaps.max())

# %% [markdown] tags=["lang-ko"]
# 두 검증 손실의 차이는 학습하기 전에 ⟨gap_first⟩, ⟨n_steps⟩스텝을 마친 뒤에 ⟨gap_last⟩이고, 가장 크게 벌어졌을 때 ⟨gap_most⟩입니다. 두 코드는 같은 식을 다른 순서로 더하므로 끝자리가 조금씩 다르고, 이 차이가 학습하는 동안 커집니다. 그러니 위의 표에서 두 구현이 이만큼 다른 것은 어느 쪽이 낫다는 뜻이 아닙니다. 두 모델을 비교할 때도 이보다 작은 차이는 우연으로 보아야 합니다.
#
# 학습이 끝나면 두 모델에 글을 한 토큰(token)씩 쓰게 합니다. 이제까지 쓴 것만 보고 다음 토큰을 정하는 자기회귀(autoregressive) 방식입니다. 글자 하나까지 맞아야 맞은 것으로 칩니다. 날짜는 ⟨ours_date⟩과(와) ⟨theirs_date⟩, 수는 ⟨ours_number⟩과(와) ⟨theirs_number⟩이(가) 맞았습니다(앞이 PyTorch). 걸린 시간은 들여다보는 데 쓴 시간을 빼고 ⟨ours_seconds⟩초와 ⟨theirs_seconds⟩초입니다.
# %% [markdown] tags=["lang-en"]
# The two validation losses lie ⟨gap_first⟩ apart before training and ⟨gap_last⟩ after ⟨n_steps⟩ steps; ⟨gap_most⟩ is the most. The two codes add the terms of the same formulas in another order, so their last digits differ, and training makes such differences grow. So the difference between the two in the table above does not make either one better. When two models are compared, a difference smaller than this is chance.
#
# After training each model writes its answers token by token: autoregressive, from nothing but the source and what it has written so far. An answer counts if it is right to the letter. Of the dates, ⟨ours_date⟩ and ⟨theirs_date⟩ are right, of the numbers ⟨ours_number⟩ and ⟨theirs_number⟩ (PyTorch first). Training took ⟨ours_seconds⟩ and ⟨theirs_seconds⟩ seconds, without the time spent on looking inside.

# %% tags=["hide-input"]
table = {}
for run in runs:
    for pair, text in run.samples:
        row = table.setdefault(pair.source, {
            "나와야 할 글 | should come out": pair.target})
        row[files.NAMES[run.version]] = text
pd.DataFrame(table.values(), index=list(table))

# %% [markdown] tags=["lang-ko"]
# <!-- label: bench-analyses -->
# ## 다섯 가지 분석
#
# 아래 그림은 먼저 학습한 모델의 것이고, 다른 모델의 그림은 `output_dir`에 있습니다. 날짜 한 쌍을 정해 두고 학습하는 동안 여러 번 같은 문장을 읽혀 기록했습니다. 들여다보는 일은 학습에 아무 영향도 주지 않습니다. 기록하지 않고 학습한 것과 손실이 마지막 비트까지 같습니다.
#
# | 옵션 | 끄면 |
# |---|---|
# | `track_internals` | 학습 도중은 기록하지 않고 마지막 모델만 분석합니다 |
# | `visualize` | 그림을 만들지 않습니다. 표는 그대로 `logs`에 남습니다 |
# | `debug` | 켜면 모든 텐서의 모양과 크기를 표로 보여 주고, 무한대나 NaN이 있는지 셉니다 |
# %% [markdown] tags=["lang-en"]
# <!-- label: bench-analyses -->
# ## The five analyses
#
# The figures below are of the model that was trained first; those of the other are in `output_dir`. One pair, a date, is read again and again during training and recorded. Looking changes nothing: without it the losses are the same to the last bit.
#
# | option | when it is off |
# |---|---|
# | `track_internals` | nothing is recorded during training; the last model alone is analysed |
# | `visualize` | no pictures are made; the tables still go to `logs` |
# | `debug` | when on, a table shows shape and size of every tensor and counts infinities and NaN |

# %% tags=["hide-input"]
tables = files.analyses(runs[0]) if runs else {}
drawn = tables if visualize else {}
files.tensors(runs[0]) if debug and runs else None

# %% [markdown] tags=["lang-ko"]
# <!-- label: bench-qkv -->
# ### Q, K, V
#
# 쿼리(query), 키(key), 값의 길이와 방향이 학습하면서 얼마나 달라지는지 봅니다. 코사인이 1에 가까우면 바로 앞의 기록과 방향이 같다는 뜻입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bench-qkv -->
# ### Q, K, V
#
# How much do length and direction of queries, keys and values change in training? A cosine near 1 means the direction of the record before.

# %% tags=["hide-input"]
if drawn:
    show(five.qkv_figure(drawn["qkv"]))

# %% [markdown] tags=["lang-ko", "caption"]
# 어텐션(attention) 종류마다 한 줄. 굵은 선은 층의 평균, 옅은 선은 층 하나하나입니다.
# <!-- alt: 인코더, 디코더, 크로스 어텐션에서 Q, K, V의 길이, 퍼진 정도, 토큰 사이의 코사인, 앞 기록과의 코사인을 학습 스텝에 따라 그린 선 그래프. -->
# %% [markdown] tags=["lang-en", "caption"]
# One row for each kind of attention. Strong lines are means over layers, faint ones the layers.
# <!-- alt: Line plots over training steps of the length, spread, cosine between tokens and cosine with the record before of Q, K and V, for encoder, decoder and cross-attention. -->

# %% [markdown] tags=["lang-ko"]
# <!-- label: bench-attention -->
# ### 어텐션 지도
#
# 디코더(decoder)의 마지막 크로스 어텐션(cross-attention)이 원문의 어디를 보는지입니다. 메뉴에서 헤드를 고르고 슬라이더로 학습 스텝을 옮겨 보십시오. 연도는 영어에서는 맨 뒤에, 한국어에서는 맨 앞에 있으므로 순서가 바뀌는 것이 보여야 합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bench-attention -->
# ### Attention maps
#
# Where in the source does the last cross-attention of the decoder look? Choose a head in the menu and move the slider through training. The year comes last in English and first in Korean, so a change of order should show.

# %% tags=["hide-input"]
if drawn:
    show(five.attention_plot(drawn["attention"]),
         table=five.as_matrix(drawn["attention"]).round(3))

# %% [markdown] tags=["lang-ko", "caption"]
# 행은 지금 쓰고 있는 글의 토큰, 열은 원문의 토큰입니다. 색이 진할수록 가중치가 큽니다. 표는 마지막 스텝, 0번 헤드의 것입니다.
# <!-- alt: 한국어 날짜를 쓰는 동안 영어 날짜의 어느 토큰을 보는지 나타낸 히트맵. 메뉴와 슬라이더로 헤드와 학습 스텝을 고른다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Rows are the tokens being written, columns those of the source; darker is more weight. The table is of head 0 at the last step.
# <!-- alt: A heatmap of which token of the English date is looked at while the Korean date is written. A menu and a slider choose the head and the training step. -->

# %% [markdown] tags=["lang-ko"]
# <!-- label: bench-feed-forward -->
# ### 피드포워드 신경망의 활성
#
# 피드포워드 신경망(feed-forward network)의 유닛 가운데 몇이나 켜지는지, 켜진 것들이 고르게 일하는지 봅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bench-feed-forward -->
# ### Feed-forward activations
#
# How many units of the feed-forward networks are active, and do they share the work evenly?

# %% tags=["hide-input"]
if drawn:
    show(five.feed_forward_figure(drawn["feed_forward"]))

# %% [markdown] tags=["lang-ko", "caption"]
# 왼쪽부터 0보다 큰 비율, 제곱합을 실질적으로 나누어 지는 유닛의 비율, 표준편차. 넓은 선은 활성화 함수(activation function)를 지나기 전, 좁은 선은 지난 뒤입니다.
# <!-- alt: 인코더와 디코더의 피드포워드에서 켜진 비율, 유효 비율, 표준편차를 학습 스텝에 따라 그린 선 그래프. -->
# %% [markdown] tags=["lang-en", "caption"]
# From left: the share above zero, the share of units that really carry the sum of squares, the standard deviation. The wide line is before the activation function, the narrow one after it.
# <!-- alt: Line plots over training steps of the active share, the effective share and the standard deviation of the feed-forward networks of encoder and decoder. -->

# %% [markdown] tags=["lang-ko"]
# <!-- label: bench-gradient -->
# ### 기울기의 흐름
#
# 기울기(gradient)가 아래층까지 닿는지 봅니다. 정해 둔 한 쌍의 손실에서 얻은 기울기이고, 그 크기를 행렬의 크기로 나누었으므로 층끼리 견줄 수 있습니다. 그 쌍을 맞히게 되면 손실이 줄어 기울기도 작아집니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bench-gradient -->
# ### Gradient flow
#
# Does the gradient reach the lower layers? The gradients are those of the loss of the one pair, each norm divided by that of its matrix, so that layers can be compared. Once the model gets the pair right, its loss is small, and so are they.

# %% tags=["hide-input"]
if drawn:
    show(five.gradient_figure(drawn["gradient"]))

# %% [markdown] tags=["lang-ko", "caption"]
# 행렬의 종류마다 선 하나. 세로축은 로그입니다.
# <!-- alt: 인코더와 디코더의 행렬 종류별로 기울기 크기를 행렬 크기로 나눈 값의 선 그래프, 로그 눈금. -->
# %% [markdown] tags=["lang-en", "caption"]
# One line for each kind of matrix, on a logarithmic axis.
# <!-- alt: Line plots on a logarithmic scale of the gradient norm over the weight norm, one line for each kind of matrix, for encoder and decoder. -->

# %% [markdown] tags=["lang-ko"]
# <!-- label: bench-path -->
# ### 토큰이 지나는 길
#
# 잔차 스트림(residual stream)에서 토큰마다 층을 지나며 어디로 옮겨 가는지 봅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bench-path -->
# ### The path of each token
#
# Where does each token move in the residual stream, layer by layer?

# %% tags=["hide-input"]
if drawn:
    show(five.path_figure(drawn["path"]))

# %% [markdown] tags=["lang-ko", "caption"]
# 디코더에서 토큰마다 선 하나. 고리는 첫 층에 들어갈 때, 점은 마지막 층에서 나올 때의 자리입니다. 오른쪽은 벡터의 길이와, 출발할 때의 벡터와 이루는 코사인입니다.
# <!-- alt: 왼쪽에는 두 주성분 평면에서 토큰마다 층을 따라 움직인 길, 오른쪽에는 층에 따른 벡터의 길이와 출발점과의 코사인. -->
# %% [markdown] tags=["lang-en", "caption"]
# One line for each token in the decoder. A ring is where it enters the first layer, a dot where it leaves the last. Right: the length of the vector, and its cosine with the vector at the start.
# <!-- alt: Left, the path of each token over the layers in the plane of two principal components; right, the length of its vector and its cosine with the start against the layer. -->

# %% [markdown] tags=["lang-ko"]
# <!-- label: bench-files -->
# ## 남는 파일
#
# 결과는 `output_dir`에 남고, 상대 경로는 저장소의 맨 위 폴더에서 시작합니다.
#
# ```text
# results/
#   pytorch/
#     checkpoints/best, epoch_1 …, last, before
#     visualizations/attention_plots/attention_evolution.png
#     visualizations/training_curves.png, qkv_evolution.png …
#     logs/run.json, history.csv, qkv.csv …
#   huggingface/
#     model/, config.json, training_args.json
#     visualizations/attention/attention_step_000000.png …
#     visualizations/qkv/qkv_evolution.png …
#     logs/run.json, history.csv, qkv.csv …
# ```
#
# `best`는 검증 손실이 가장 낮았던 가중치, `epoch_1`부터는 한 바퀴를 돌 때마다의 가중치, `last`는 이어서 학습하는 데 필요한 전부입니다. `before`는 그 앞에 저장한 것으로, `last`가 손상되면 거기서 이어집니다. 체크포인트는 새것을 다 쓴 다음에 이름을 바꾸는 방식으로 저장하므로, 쓰는 도중에 전원이 나가도 온전한 것이 하나는 남습니다. 같은 명령을 다시 실행하면 거기서부터 이어지고, PyTorch 쪽의 손실은 중단하지 않았을 때와 마지막 비트까지 같습니다. `huggingface/model`은 `from_pretrained`로 바로 불러올 수 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bench-files -->
# ## What stays on disk
#
# Results stay in `output_dir`; a relative path begins at the root folder of the repository.
#
# ```text
# results/
#   pytorch/
#     checkpoints/best, epoch_1 …, last, before
#     visualizations/attention_plots/attention_evolution.png
#     visualizations/training_curves.png, qkv_evolution.png …
#     logs/run.json, history.csv, qkv.csv …
#   huggingface/
#     model/, config.json, training_args.json
#     visualizations/attention/attention_step_000000.png …
#     visualizations/qkv/qkv_evolution.png …
#     logs/run.json, history.csv, qkv.csv …
# ```
#
# `best` holds the weights with the lowest validation loss, `epoch_1` and so on those after each pass over the data, `last` all that is needed to go on. `before` is the save before it; where `last` is damaged, the run goes on from there. A checkpoint is renamed into place when it is complete, so that a whole one is left even if the power fails while it is written. The same command goes on from there, and the losses of the PyTorch version are the same to the last bit as without the interruption. `huggingface/model` can be read with `from_pretrained`.

# %% tags=["hide-input"]
left = [file for run in runs for file in files.leave(run, options)]
if left:
    wrote(left)
rows = pd.DataFrame({
    "folder": [str(file.relative_to(options.folder).parent) for file in left],
    "bytes": [file.stat().st_size for file in left],
    "opens": [files.opens(file) for file in left]})
found = rows.groupby("folder", sort=True).agg(
    files=("opens", "size"), size=("bytes", "sum"), opens=("opens", "all"))
found["size"] = [f"{size / 1e6:.1f} MB" for size in found["size"]]
found.index.name = None
found.set_axis(["파일 | files", "크기 | size", "모두 열림 | all open"],
               axis=1)

# %% [markdown] tags=["lang-ko"]
# <!-- label: bench-defaults -->
# ## 바꾼 기본값
#
# 옵션의 이름과 기본값은 튜토리얼의 것을 그대로 두었습니다. 그대로 두면 잘 배우지 못하는 것만 바꾸었습니다. 학습률은 튜토리얼의 `1e-4`를 열 배로 올렸습니다. `trials`를 켜면 두 학습률로 한 바퀴(⟨epoch_steps⟩스텝)씩 더 학습시키고, 그때의 검증 손실을 견주어 봅니다. 책에 실린 페이지는 켜고 실행한 것입니다. 처음 가중치와 배치의 순서는 같습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bench-defaults -->
# ## Defaults that were changed
#
# Options have the names and defaults of the tutorial, except where the model learns badly with them. The learning rate is ten times the `1e-4` of the tutorial. With `trials` on, as it was for the page of the book, the model learns for one more pass over the data (⟨epoch_steps⟩ steps) at each of the two rates, and their validation losses are compared; first weights and order of the batches are the same.

# %% tags=["hide-input"]
changes = {
    "이 페이지 | this page": {},
    "학습률 1e-4 | learning rate 1e-4": {"learning_rate": 1e-4},
} if options.trials and bench.versions(options) else {}
tried = {name: bench.trial(options, task, **change)
         for name, change in changes.items()}
if tried:
    record(**dict(zip(("trial_here", "trial_rate"), tried.values(),
                      strict=True)))
pd.Series(tried, name="검증 손실 | validation loss",
          dtype=float).to_frame().round(3) if tried else None

# %% [markdown] tags=["lang-ko"]
# 이 페이지의 학습률로는 ⟨trial_here⟩, 튜토리얼의 학습률로는 ⟨trial_rate⟩입니다. 한 바퀴만 돌았을 때의 값이고 시드(seed)도 하나뿐입니다.
#
# 튜토리얼에 없는 옵션 가운데서는 `norm_first`의 기본값이 논문과 다릅니다. 층 정규화(layer normalization)를 각 부분의 뒤가 아니라 앞에 둡니다. 이 페이지의 크기로 한 바퀴만 돌면 논문 쪽이 조금 앞서지만, 튜토리얼의 크기로 끝까지 학습시키면 크게 뒤집힙니다. 튜토리얼의 크기로 잰 값은 [실험 일지](#lab-log-workbench)에 있습니다.
# %% [markdown] tags=["lang-en"]
# The learning rate of this page gives ⟨trial_here⟩, that of the tutorial ⟨trial_rate⟩. This is one pass with one seed.
#
# Of the options that the tutorial does not have, `norm_first` departs from the paper: layer normalization stands before each part, not after it. In one pass at the size of this page the paper's way is slightly ahead; at the size of the tutorial and trained to the end, it falls far behind. The values measured at that size are in the [lab log](#lab-log-workbench).

# %% [markdown] tags=["lang-ko"]
# <!-- label: bench-processes -->
# ## 여러 프로세스, GPU, wandb
#
# 노트북은 프로세스 하나에서 돕니다. 여러 프로세스로 학습시키려면 `lib.workbench.transformer`를 직접 부릅니다. 한 배치를 프로세스들이 나누어 맡고 토큰의 전체 수로 평균을 내므로, 손실은 프로세스 하나로 학습할 때와 반올림만큼만 다릅니다. `--multi_gpu`는 GPU가 없어도 필요합니다. accelerate는 이 옵션이 있어야 프로세스를 여럿 띄웁니다.
#
# ```sh
# .venv/bin/accelerate launch --multi_gpu --num_processes 2 -m lib.workbench.transformer version=pytorch epochs=2
# ```
#
# GPU가 있으면 `device`를 `auto`로 두기만 하면 됩니다. `mixed_precision`의 `bf16`은 CPU에서도 돌지만 빨라지지는 않고, `fp16`은 GPU에서만 됩니다. `wandb`를 켜면 손실을 Weights & Biases에 보냅니다. 켜지 않으면 설치되어 있지 않아도 됩니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bench-processes -->
# ## Several processes, a GPU, wandb
#
# A notebook runs in one process. To train with several, call `lib.workbench.transformer` itself. The processes share each batch and take the mean over all its tokens, so the losses differ from those of one process by rounding only. `--multi_gpu` is needed without a GPU too: accelerate starts several processes only when it is given.
#
# ```sh
# .venv/bin/accelerate launch --multi_gpu --num_processes 2 -m lib.workbench.transformer version=pytorch epochs=2
# ```
#
# With a GPU, leave `device` at `auto`. The `bf16` of `mixed_precision` works on a CPU too, though no faster; `fp16` needs a GPU. With `wandb` on, losses go to Weights & Biases; with it off, it need not be installed.

# %% [markdown] tags=["lang-ko"]
# <!-- label: bench-measured -->
# ## 무엇을 무엇으로 쟀는가
#
# | 잰 것 | 결과 |
# |---|---|
# | 두 구현의 검증 손실 차이, 학습 전과 후 | ⟨gap_first⟩, ⟨gap_last⟩ |
# | 맞은 날짜, PyTorch와 Hugging Face | ⟨ours_date⟩, ⟨theirs_date⟩ |
# | 맞은 수, PyTorch와 Hugging Face | ⟨ours_number⟩, ⟨theirs_number⟩ |
# | 학습에 걸린 초, PyTorch와 Hugging Face | ⟨ours_seconds⟩, ⟨theirs_seconds⟩ |
# | 한 바퀴 뒤의 검증 손실, 이 페이지의 학습률과 1e-4 | ⟨trial_here⟩, ⟨trial_rate⟩ |
#
# 시드 하나로 한 번 학습시킨 결과입니다. 배치 하나에 쌍 ⟨batch⟩개, ⟨n_epochs⟩바퀴, 모두 ⟨n_steps⟩스텝입니다. 걸린 시간은 컴퓨터가 그때 무엇을 함께 하고 있었는지에 따라 달라지므로, 어느 구현이 빠른지를 이 수로 가릴 수는 없습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bench-measured -->
# ## What was measured, and on what
#
# | measured | result |
# |---|---|
# | Difference of the validation losses, before and after training | ⟨gap_first⟩, ⟨gap_last⟩ |
# | Dates right, PyTorch and Hugging Face | ⟨ours_date⟩, ⟨theirs_date⟩ |
# | Numbers right, PyTorch and Hugging Face | ⟨ours_number⟩, ⟨theirs_number⟩ |
# | Seconds of training, PyTorch and Hugging Face | ⟨ours_seconds⟩, ⟨theirs_seconds⟩ |
# | Validation loss after one pass, the learning rate of this page and 1e-4 | ⟨trial_here⟩, ⟨trial_rate⟩ |
#
# These are of one training with one seed: ⟨batch⟩ pairs a batch, ⟨n_epochs⟩ passes, ⟨n_steps⟩ steps in all. Seconds depend on what else the computer was doing, so they do not decide which implementation is faster.

# %% tags=["remove-input"]
import torch
import transformers

versions = f"{torch.__version__}, {transformers.__version__}"
pd.DataFrame([
    ["버전 | Version", version],
    ["층, 너비, 헤드 | Layers, width, heads",
     f"{of.num_layers}, {of.hidden_size}, {of.num_heads}"],
    ["학습률 | Learning rate", f"{of.learning_rate:g}"],
    ["혼합 정밀도 | Mixed precision", of.mixed_precision],
    ["시드 | Seed", str(of.seed)],
    ["장치 | Device", str(cfg.device)],
    ["torch, transformers", versions],
    ["프로필 | Profile", cfg.profile],
], columns=["재료 | made with", "이 실행 | this run"]).set_index(
    "재료 | made with")
