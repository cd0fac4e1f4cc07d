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
# <!-- label: ngtbench-workbench -->
# # 실험대: NGT와 보통의 트랜스포머
#
# 중력 어텐션(gravity attention)으로 글을 배우는 모델 NGT와, 어텐션(attention)만 빼고 모든 것이 같은 보통의 트랜스포머(Transformer)를 학습시키는 곳입니다. 설명은 [NGT 학습](10_training_ngt.ipynb) 장에 있고, 여기에는 손잡이가 모두 모여 있습니다.
#
# - **할 수 있게 되는 것.** 데이터, 토크나이저(tokenizer), 커널(kernel), 크기와 학습률(learning rate)을 골라 두 모델 가운데 하나를 학습시키고, 중단된 학습을 이어서 하고, TensorBoard로 지켜보고, 배운 모델과 이야기할 수 있습니다.
# - **걸리는 시간.** 읽기 15분, 실험은 원하는 만큼.
# - **필요한 것.** 토큰(token)에 질량(mass)과 좌표(coordinates)를 준 [중력 좌표](09_gravity_coordinates.ipynb) 장. 명령을 실행해 보려면 터미널.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngtbench-workbench -->
# # Workbench: NGT and the vanilla Transformer
#
# This page trains NGT, a language model with gravity attention, or its vanilla twin, a Transformer that shares everything with it but attention. The explanations are in the chapter on [training NGT](10_training_ngt.ipynb); here all the knobs are in one place.
#
# - **You will be able to** train either model on data, a tokenizer, a kernel, a size and a learning rate of your choice, go on with a training that was interrupted, watch it in TensorBoard, and talk to the result.
# - **Time.** 15 minutes to read; experiments as long as you like.
# - **You need** the chapter on [gravity coordinates](09_gravity_coordinates.ipynb). A terminal, to run the commands.

# %% tags=["parameters"]
profile: str = None  # smoke, book or gpu; None follows BOOK_PROFILE, else book
model = "ngt"  # ngt or vanilla
dataset = "tinyshakespeare"  # tinyshakespeare, wikitext2 or wikitext103
data_path: str = None  # a text file in place of the dataset
tokenizer = "char"  # char, bpe or tiktoken
bpe_vocab_size = 4000  # the most pieces of bpe
tokenizer_path: str = None  # of bpe: loaded if it is there, else written
hidden_dim = 256  # width of the residual stream
coord_dim: int = None  # of coordinates; None: as many parameters as vanilla
num_layers = 6  # blocks of attention and feed-forward
num_heads = 8  # must divide hidden_dim
mlp_dim = 1024  # width inside the feed-forward networks
block_size = 256  # tokens of a window
batch_size = 64  # windows of an update
max_steps = 5000  # updates
learning_rate = 2e-3  # at its peak
grad_clip = 1.0  # largest norm of all gradients; 0: no limit
dropout = 0.1  # 0 or more, below 1
eval_interval = 100  # updates between two evaluations
eval_iters = 50  # windows of an evaluation, evenly spread
vis_interval: int = None  # steps of embeddings; 0: none; None: eval_interval
use_amp = False  # bf16, or fp16 on a GPU that has no bf16
gradient_accumulation_steps = 1  # parts that a batch is cut into
use_cosine_schedule = True  # else the rate stays at its peak
warmup_steps = 50  # updates until the peak
lambda_repulsion = 0.0  # weight of the repulsion in what is minimised
repulsion_interval = 1  # updates from one with repulsion to the next
no_repulsion = False  # True: nothing keeps the coordinates apart
no_radius_cutoff: bool = None  # True: no cutoff; False: compact; None: none
use_soft_cutoff = False  # True: a soft cutoff, as the original has it
use_rsqrt = False  # taken for compatibility; our kernels need no root
mass_in_value = False  # mass multiplies the value and leaves the logit
checkpoint_path: str = None  # None: checkpoints/ngt or checkpoints/vanilla
resume = False  # refuse where there is nothing to go on with
force = False  # begin anew, whatever checkpoint_path and run_name hold
run_name: str = None  # TensorBoard's folder in runs; None: by the options
seed = 0  # of the first weights and of the windows
kernel = "gaussian"  # newton, gaussian or potential
cutoff: str = None  # none, hard, soft or compact; None: by the two flags
coordinates = "token"  # token+position, position or token
sign = 1  # of potential: 1 attracts, -1 repels as the original
place: int = None  # axes of a head's coordinates; None: half a head less 2
form = "auto"  # auto, reference, sdpa, fused, near, chunked or flex
looking = True  # whether tokens look from a place of their own
positions = "rotary"  # learned, rotary, learned+rotary, alibi or none
moves = True  # whether coordinates move between layers
mass = True  # whether tokens have masses
stream = "content"  # content, coordinates or content+coordinates
qk_norm = True  # of vanilla: queries and keys are normalised
device = "auto"  # auto, cpu, cuda or mps
prompt: str = None  # the model goes on with it; None: validation text

# %% tags=["hide-input"]
from dataclasses import replace

import pandas as pd
from matplotlib import pyplot as plt

from lib.data import ROOT
from lib.gravity.model import LanguageModel, parameters
from lib.page.figures import COLOURS, show, use_style
from lib.page.profile import expect, settings
from lib.page.record import record, used, wrote
from lib.workbench.chat import reply
from lib.workbench.ngt import training as ngt
from lib.workbench.ngt.log import scalars
from lib.workbench.ngt.options import settled

use_style()
pd.set_option("display.max_colwidth", None)

# %% tags=["hide-input"]
expect(str | None, prompt=prompt)
cfg = settings(profile, smoke={}, book={}, gpu={}, device=device)
options = settled(globals(), cfg.profile)
task = ngt.prepare(options)
used([data_path])
start = prompt or task.text.valid[:40]
task.tokens.encode(start)  # a prompt it cannot read ends the run here
record(n_steps=options.max_steps, width=options.hidden_dim,
       layers=options.num_layers, heads=options.num_heads,
       window=options.block_size, batch=options.batch_size,
       data=task.text.name, n_train=len(task.train_ids),
       n_valid=len(task.valid_ids), n_vocab=task.tokens.vocab,
       tokens=task.tokens.name)

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngtbench-running -->
# ## 실행하기
#
# 저장소의 맨 위 폴더에서 아래 명령을 실행합니다.
#
# ```sh
# ./setup_and_run.sh run ngt -p hidden_dim 128 -p num_layers 2 -p block_size 64 -p batch_size 16 -p max_steps 300
# ./setup_and_run.sh run vanilla -p hidden_dim 128 -p num_layers 2 -p block_size 64 -p batch_size 16 -p max_steps 300
# ./setup_and_run.sh run ngt -p hidden_dim 128 -p num_layers 2 -p block_size 64 -p batch_size 16 -p max_steps 600
# ./setup_and_run.sh run ngt -p kernel newton -p cutoff compact -p checkpoint_path checkpoints/compact
# ./setup_and_run.sh run original
# ./setup_and_run.sh run ngt -p dataset wikitext2 -p tokenizer bpe -p checkpoint_path checkpoints/wikitext2
# ./setup_and_run.sh chat checkpoints/ngt
# .venv/bin/tensorboard --logdir runs
# ```
#
# `run ngt`와 `run vanilla`는 이 노트북 하나를 `model`만 바꾸어 실행하고, `run original`은 공개된 원본의 기본값으로 실행합니다. 나머지 옵션은 위의 매개변수(parameter) 셀에 있고, `./setup_and_run.sh run --list`로도 볼 수 있습니다. 크기의 기본값은 원본의 것이라서 GPU에서 돌릴 만한 크기입니다. 위의 처음 세 줄은 CPU에서 해 볼 만하게 `hidden_dim`, `num_layers`, `block_size`, `batch_size`를 줄인 것으로, 처음 둘은 코어 두 개에서 저마다 몇 분이면 끝납니다. `smoke` 프로필은 기본값으로 둔 크기만 시험용으로 줄이고 직접 적은 값은 그대로 쓰며, 체크포인트를 `checkpoints/smoke`에 따로 둡니다. 책에 실린 이 페이지는 너비 ⟨width⟩, 층(layer) ⟨layers⟩개, 헤드(head) ⟨heads⟩개, 창 하나에 토큰 ⟨window⟩개로 실행한 것입니다.
#
# Ctrl-C를 누르면 하던 스텝을 마치고 저장한 다음 멈춥니다. 같은 명령을 다시 실행하면 거기서부터 이어 하고, 이미 끝난 학습이면 다시 하지 않고 그대로 씁니다. 위의 셋째 줄처럼 `max_steps`를 늘리면 더 학습시킵니다. `checkpoint_path`에 다른 옵션으로 한 학습이 있으면 지우지 않고, 어느 옵션이 어떻게 다른지 알려 주고 멈춥니다. 그럴 때는 다른 `checkpoint_path`를 적거나 `--force`로(노트북에서는 `force`로) 새로 시작하십시오.
#
# 옵션이 잘못되면 학습을 시작하기 전에 한 문장으로 알려 주고 멈춥니다. 헤드 수로 나누어지지 않는 `hidden_dim`, 글보다 긴 `block_size`, 모르는 `kernel`이나 `tokenizer`, 토크나이저가 본 적이 없는 글자가 그렇습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngtbench-running -->
# ## Running it
#
# Run these in the root folder of the repository.
#
# ```sh
# ./setup_and_run.sh run ngt -p hidden_dim 128 -p num_layers 2 -p block_size 64 -p batch_size 16 -p max_steps 300
# ./setup_and_run.sh run vanilla -p hidden_dim 128 -p num_layers 2 -p block_size 64 -p batch_size 16 -p max_steps 300
# ./setup_and_run.sh run ngt -p hidden_dim 128 -p num_layers 2 -p block_size 64 -p batch_size 16 -p max_steps 600
# ./setup_and_run.sh run ngt -p kernel newton -p cutoff compact -p checkpoint_path checkpoints/compact
# ./setup_and_run.sh run original
# ./setup_and_run.sh run ngt -p dataset wikitext2 -p tokenizer bpe -p checkpoint_path checkpoints/wikitext2
# ./setup_and_run.sh chat checkpoints/ngt
# .venv/bin/tensorboard --logdir runs
# ```
#
# `run ngt` and `run vanilla` run this one notebook and differ in `model` alone; `run original` runs it with the defaults of the published original. The other options are in the cell of parameters above; `./setup_and_run.sh run --list` shows them too. Sizes have the defaults of the original, which want a GPU. The first three lines above lower `hidden_dim`, `num_layers`, `block_size` and `batch_size` for a CPU; the first two end within a few minutes each on two cores. The profile `smoke` lowers the sizes that were left at their defaults, for tests, takes those you write as they are, and keeps its checkpoints apart in `checkpoints/smoke`. This page of the book was run with width ⟨width⟩, ⟨layers⟩ layers, ⟨heads⟩ heads and windows of ⟨window⟩ tokens.
#
# Ctrl-C stops a training after the step that is being made, and saves it. The same command goes on from there, and a training that has ended is used as it is. With more `max_steps`, as in the third line above, it goes on further. If `checkpoint_path` holds a training of other options, nothing is replaced: the run ends and says which option differs. Name another `checkpoint_path` then, or begin anew with `--force` (`force` in a notebook).
#
# An option that makes no sense ends the run before any training, with one sentence: a `hidden_dim` that the heads do not divide, a `block_size` longer than the text, an unknown `kernel` or `tokenizer`, or a character that the tokenizer never saw.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngtbench-training -->
# ## 글과 모델
#
# 배우는 글은 ⟨data⟩이고 토크나이저는 ⟨tokens⟩입니다. 토큰 ⟨n_train⟩개로 배우고, 한 번도 배우지 않은 ⟨n_valid⟩개로 시험합니다. 스텝마다 글의 아무 데서나 창 ⟨batch⟩개를 잘라 옵니다. 어디를 자를지는 시드(seed)와 스텝의 번호만으로 정해지므로, 중단했다가 이어도 같은 창을 같은 순서로 봅니다.
#
# NGT에는 쿼리(query)와 키(key)가 없고, 그 자리에 질량과 좌표가 있습니다. `coord_dim`을 적지 않으면 두 모델의 매개변수 수가 같아지도록 정합니다. 크기가 다른 모델을 견주면 무엇 때문에 이겼는지 알 수 없기 때문입니다. `run vanilla -p stream coordinates`의 모델은 같은 좌표에서 쿼리와 키를 읽으므로, NGT와는 커널과 질량에서만 다릅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngtbench-training -->
# ## The text and the model
#
# The text is ⟨data⟩, the tokenizer ⟨tokens⟩. The model learns from ⟨n_train⟩ tokens and is tested on ⟨n_valid⟩ that it never learns from. Each step cuts ⟨batch⟩ windows from anywhere in the text. Where it cuts follows from the seed and the number of the step alone, so a training that was stopped and goes on sees the same windows in the same order.
#
# NGT has no queries and keys; masses and coordinates stand in their place. Unless you set `coord_dim`, it is chosen so that both models have the same number of parameters. Otherwise nobody could say what made the larger one win. The model of `run vanilla -p stream coordinates` reads queries and keys from the same coordinates, and so differs from NGT in the kernel and the masses alone.

# %%
run = ngt.train(options, task)

# %% tags=["hide-input"]
def size(kind):
    config = ngt.model_config(replace(options, model=kind),
                              task.tokens.vocab)
    return parameters(LanguageModel(config))


counts = task.train_ids.bincount(minlength=task.tokens.vocab) + 1.0
by_counting = -(counts / counts.sum()).log()[task.valid_ids].mean().item()
record(model=options.model, n_parameters=parameters(run.model),
       loss_whole=run.valid, loss_best=run.best, by_counting=by_counting,
       n_ngt=size("ngt"), n_vanilla=size("vanilla"))
seconds = run.history.seconds  # those before a resume included
record("seconds", seconds, text=f"{seconds:.0f}")

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngtbench-loss -->
# ## 손실
# %% [markdown] tags=["lang-en"]
# <!-- label: ngtbench-loss -->
# ## The loss

# %% tags=["hide-input"]
past = run.history
figure, axis = plt.subplots()
axis.plot(range(1, len(run.losses) + 1), run.losses, linewidth=1,
          color=COLOURS["grey"], alpha=0.5, label="train, each step")
axis.plot(past.step, past.train, ":", color=COLOURS["gravity"],
          label="train, mean")
axis.plot(past.step, past.valid, color=COLOURS["gravity"],
          label="validation")
axis.axhline(by_counting, color=COLOURS["tokens"], linewidth=1,
             label="counting tokens")
axis.set(xlabel="step", ylabel="loss (nats per token)")
axis.legend()
show(figure)

# %% [markdown] tags=["lang-ko", "caption"]
# 학습 스텝에 따른 손실(loss). 반발(repulsion)은 빼고 교차 엔트로피(cross-entropy)만 그렸습니다. 굵은 실선은 고르게 뽑은 창에서 잰 검증 손실(validation loss)이고, 가로선은 앞을 보지 않고 토큰이 얼마나 자주 나오는지만 세었을 때의 손실입니다. 곡선이 이 선 아래로 내려가야 앞의 글을 읽는 것입니다.
# <!-- alt: 학습 스텝에 따른 학습 손실과 검증 손실의 곡선. 오른쪽으로 갈수록 내려가며, 토큰을 세기만 했을 때의 손실을 나타내는 가로선이 함께 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# The loss against the step: cross-entropy alone, without repulsion. The wide solid line is the validation loss on evenly spread windows. The level line is the loss of counting how often each token occurs, without a look at what came before; a curve below it shows that the model reads.
# <!-- alt: Training and validation loss against the training step, descending to the right, with a level line at the loss of counting tokens. -->

# %% tags=["hide-input"]
pd.Series({
    "모델 | model": options.model,
    "매개변수 | parameters": f"{parameters(run.model):,}",
    "같은 옵션의 NGT와 보통의 모델 | NGT and vanilla with these options":
        f"{size('ngt'):,}, {size('vanilla'):,}",
    "검증 손실, 글 전체, 마지막 | validation loss, whole text, last":
        f"{run.valid:.4f}",
    "검증 손실, 글 전체, best | validation loss, whole text, best":
        f"{run.best:.4f}",
    "토큰을 세기만 한 손실 | loss of counting tokens":
        f"{by_counting:.4f}",
    "걸린 시간(초) | seconds": f"{seconds:.0f}",
}, name="이 실행 | this run").to_frame()

# %% [markdown] tags=["lang-ko"]
# 학습 중에 재는 검증 손실은 창 몇 개의 것이라 빠르지만 조금씩 흔들립니다. 그래서 학습이 끝나면 검증 글 전체에서 한 번 더 잽니다. 마지막 가중치로 ⟨loss_whole⟩, 검증 손실이 가장 낮았던 `best`로 ⟨loss_best⟩입니다. 토큰을 세기만 하면 ⟨by_counting⟩입니다. 이 수 하나로는 두 모델의 우열을 말할 수 없습니다. 같은 예산으로 여러 시드를 돌려 짝지어 본 결과는 [NGT 학습](10_training_ngt.ipynb)에 있습니다.
# %% [markdown] tags=["lang-en"]
# The validation loss taken during training is that of a few windows: quick, and a little noisy. At the end it is taken once more over the whole validation text: ⟨loss_whole⟩ with the last weights, ⟨loss_best⟩ with `best`, those of the lowest validation loss. Counting tokens gives ⟨by_counting⟩. One such number decides nothing between two models; pairs of runs with several seeds and equal budgets are in [training NGT](10_training_ngt.ipynb).

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngtbench-inside -->
# ## TensorBoard가 보는 것
#
# 학습하는 동안 `runs`에 기록이 쌓입니다. `.venv/bin/tensorboard --logdir runs`를 켜고 브라우저로 열면 손실, 학습률, 기울기(gradient)의 크기와 함께 아래 값들을 볼 수 있고, Projector에서는 검증 글 한 창의 좌표를 3차원으로 돌려 볼 수 있습니다. 점마다 토큰, 질량, 자리가 붙어 있습니다. 아래 그림은 그 기록을 TensorBoard의 읽기 도구로 다시 읽어 그린 것입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngtbench-inside -->
# ## What TensorBoard sees
#
# A training writes to `runs`. Start `.venv/bin/tensorboard --logdir runs` and open it in a browser: beside loss, learning rate and gradient norm it has the values below, and its Projector turns the coordinates of one window of the validation text in three dimensions, each point with its token, mass and position. The figure is drawn from what TensorBoard's own reader finds there.

# %% tags=["hide-input"]
told = scalars(options.board)
names = {"entropy": "entropy (nats)", "strength": "strength",
         "distance": "mean distance", "repulsion": "repulsion",
         "radius": "radius", "cut_off": "share cut off"}
if options.gate == "none":
    names = dict(list(names.items())[:4])
there = [name for name in names if name in told]
if there:
    rows = min(2, len(there))
    figure, axes = plt.subplots(rows, len(there) // rows, sharex=True,
                                squeeze=False, figsize=(7.2, 2.2 * rows))
    for axis, name in zip(axes.flat, there, strict=True):
        part = told[name].dropna()
        axis.plot(part.index, part, ".-", color=COLOURS["gravity"])
        axis.set_title(names[name])
    figure.supxlabel("step", fontsize=10)
    show(figure)

# %% [markdown] tags=["lang-ko", "caption"]
# 검증 글의 한 창에서 잰 값. 모든 층과 헤드의 평균입니다. 엔트로피가 작을수록 한 토큰이 몇 안 되는 토큰만 끌어당기고, 세기가 클수록 가까운 토큰으로 쏠립니다. 반발은 마지막 층의 좌표에서 잰 m m / r²의 평균입니다. 보통의 모델에는 엔트로피만 있습니다.
# <!-- alt: 학습 스텝에 따른 엔트로피, 중력의 세기, 평균 거리, 반발의 선 그래프. 컷오프가 있으면 반지름과 잘려 나간 비율도 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Measured on one window of the validation text, means over layers and heads. The lower the entropy, the fewer tokens a token draws on; the larger the strength, the more it leans to those nearby. Repulsion is the mean of m m / r² over the coordinates of the last layer. The vanilla model has an entropy only.
# <!-- alt: Line plots against the step of entropy, strength, mean distance and repulsion; with a cutoff also of the radius and the share cut off. -->

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngtbench-samples -->
# ## 모델이 쓰는 글
#
# 검증 글의 첫머리를 주고 이어 쓰게 했습니다. 온도(temperature) 0은 가장 그럴듯한 토큰만 고르고, 1은 모델이 매긴 확률대로 뽑습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngtbench-samples -->
# ## What the model writes
#
# The model goes on from the beginning of the validation text. Temperature 0 takes the likeliest token each time, 1 draws with the model's probabilities.

# %% tags=["hide-input"]
pieces = 200 if cfg.profile != "smoke" else 20
written = {
    f"{heat}": "".join(reply(run.model, task.tokens, start, pieces, heat,
                             None, options.seed))
    for heat in (0.0, 0.7, 1.0)
}
pd.Series({"주어진 글 | given": start, **{
    f"온도 {heat} | temperature {heat}": text
    for heat, text in written.items()}}, name="글 | text").to_frame()

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngtbench-files -->
# ## 남는 파일
#
# | 폴더 | 담긴 것 |
# |---|---|
# | `checkpoint_path`의 `last` | 이어서 학습하는 데 필요한 전부: 가중치, 옵티마이저, 난수, 손실의 기록 |
# | `before` | 바로 앞에 저장한 `last` |
# | `best` | 검증 손실이 가장 낮았을 때의 것 |
# | `runs`의 `run_name` | TensorBoard가 읽는 기록과 Projector의 점들 |
#
# 체크포인트는 새것을 다 쓴 다음에 이름을 바꾸므로, 쓰는 도중에 꺼져도 온전한 것이 남습니다. 같은 명령을 다시 실행하면 `last`, `before`, `best`의 차례로 온전한 것을 찾아 이어 가고, 손실은 중단하지 않았을 때와 마지막 비트까지 같습니다. 모양을 바꾸는 옵션이 하나라도 다르면 이어 가지 않고 무엇이 다른지 알려 줍니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngtbench-files -->
# ## What stays on disk
#
# | folder | what is in it |
# |---|---|
# | `last` in `checkpoint_path` | all that is needed to go on: weights, optimizer, random state, the record of losses |
# | `before` | the `last` that was saved before it |
# | `best` | the same where the validation loss was lowest |
# | `run_name` in `runs` | what TensorBoard reads, and the points of the Projector |
#
# A checkpoint is renamed into place when it is complete, so that a whole one is left if the power fails while it is written. The same command goes on from the first of `last`, `before` and `best` that is whole, and its losses are to the last bit those of a run that was not stopped. If an option that shapes the run is another one, it does not go on, and says which.

# %% tags=["hide-input"]
folders = {"checkpoint_path": options.folder, "run_name": options.board}
left = {name: sorted(file for file in folder.rglob("*") if file.is_file())
        for name, folder in folders.items()}
wrote(file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
      for found in left.values() for file in found)
pd.DataFrame({
    "파일 | files": {name: len(found) for name, found in left.items()},
    "크기 | size": {
        name: f"{sum(f.stat().st_size for f in found) / 1e6:.1f} MB"
        for name, found in left.items()}})

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngtbench-defaults -->
# ## 원본과 다른 것
#
# 옵션의 이름과 크기의 기본값은 [원본](https://github.com/leetae9yu/newton-gravity-transformer)의 것을 그대로 두었습니다. 어텐션과 학습 방법의 기본값은 이 책의 [기록](10_training_ngt.ipynb)에서 가장 나았던 것입니다. 원본의 것은 `run original`이 씁니다. 그때 남는 차이는 아주 작은 완화 상수 대신 0.1을 쓰는 것과, 아래 표에서 ‘늘’이라고 적은 것입니다.
#
# | 옵션 | 원본 | 여기 | 까닭 |
# |---|---|---|---|
# | `kernel`, `sign` | 가까울수록 점수가 낮다 | `gaussian`, 가까울수록 높다 | 원본의 중력은 밀어냅니다 |
# | `looking` | 놓인 자리에서 본다 | 보는 자리를 따로 배운다 | 기록에서 도움이 되었습니다 |
# | `coordinates`, `positions` | 위치마다 배운 좌표 | 토큰의 좌표를 위치만큼 돌린다 | 기록에서 가장 나았고, 배운 것보다 긴 글도 읽습니다 |
# | `qk_norm` | 없다 | 보통의 모델은 쿼리와 키를 정규화한다 | 견줄 상대도 기록에서 가장 나았던 것이어야 합니다 |
# | `lambda_repulsion` | 0.05 | 0 | 기록에서 가장 나았던 것에는 반발이 없습니다 |
# | `coord_dim` | 32 | 매개변수 수가 같도록 | 크기가 같아야 견줄 수 있습니다 |
# | 컷오프(cutoff) | 딱딱한 것 | 없음 | 기록에서 가장 나았던 것에는 없습니다. 켜면 `compact`이고, 반지름(radius)도 기울기를 받습니다 |
# | `learning_rate` | 0.0003, 그대로 | 0.002, 코사인 | 기록의 학습률입니다 |
# | `use_rsqrt` | 계산법을 바꾼다 | 늘 바꾸지 않는다 | 우리 커널은 제곱근의 역수를 쓰지 않습니다 |
# | `eval_iters` | 배치 50개를 아무렇게나 | 늘 같은 창 50개 | 평가끼리 견줄 수 있습니다 |
# | 코사인의 끝 | 0까지 내린다 | 늘 10%까지 | 다른 장과 같습니다 |
# | 가중치 감쇠 | 0.01, 모든 것에 | 늘 0.1, 행렬에만 | 다른 장과 같습니다 |
# | `use_amp` | fp16 | 늘 bf16, 안 되는 GPU에서는 fp16 | CPU에서도 됩니다 |
# %% [markdown] tags=["lang-en"]
# <!-- label: ngtbench-defaults -->
# ## Where it departs from the original
#
# Options have the names of the [original](https://github.com/leetae9yu/newton-gravity-transformer), and sizes its defaults. How a model attends and learns has the defaults that did best in this book's [record](10_training_ngt.ipynb). `run original` takes those of the original; what differs then is a softening of 0.1 where it has a tiny one, and what the table calls “always”.
#
# | option | there | here | why |
# |---|---|---|---|
# | `kernel`, `sign` | a nearer token scores lower | `gaussian`, it scores higher | its gravity repels |
# | `looking` | a token looks from where it lies | it learns where to look from | it helped in the record |
# | `coordinates`, `positions` | coordinates learned for each position | those of the token, turned by its position | the best of the record, and it reads longer texts than it learned from |
# | `qk_norm` | not there | vanilla normalises queries and keys | the other side should be the best of the record too |
# | `lambda_repulsion` | 0.05 | 0 | the best of the record has no repulsion |
# | `coord_dim` | 32 | as many parameters as the twin | only equal sizes can be compared |
# | cutoff | hard | none | the best of the record has none; asked for, it is `compact`, and the radius gets a gradient |
# | `learning_rate` | 0.0003, constant | 0.002, a cosine | the rate of the record |
# | `use_rsqrt` | changes the arithmetic | always nothing | our kernels take no reciprocal root |
# | `eval_iters` | 50 batches at random | always the same 50 windows | evaluations can be compared |
# | end of the cosine | down to 0 | always down to 10% | as in the other chapters |
# | weight decay | 0.01, on everything | always 0.1, on matrices | as in the other chapters |
# | `use_amp` | fp16 | always bf16, fp16 on a GPU without it | it works on a CPU too |

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngtbench-processes -->
# ## 여러 프로세스와 GPU
#
# 노트북은 프로세스 하나에서 돕니다. 여러 프로세스로 학습시키려면 `lib.workbench.ngt`를 직접 부릅니다. 옵션은 `name=value`처럼 적습니다. 배치 하나를 프로세스들이 나누어 맡으므로 `batch_size`는 그대로 두면 됩니다.
#
# ```sh
# .venv/bin/python -m lib.workbench.ngt max_steps=200 kernel=newton
# .venv/bin/accelerate launch --multi_gpu --num_processes 2 -m lib.workbench.ngt max_steps=200
# ```
#
# GPU가 있으면 `device`를 `auto`로 두기만 하면 됩니다. 메모리가 모자라면 `gradient_accumulation_steps`를 올리십시오. 기울기 누적(gradient accumulation)은 배치 하나를 여러 부분으로 나누어 계산하고 합치므로, 한 번에 계산한 것과 반올림만큼만 다릅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngtbench-processes -->
# ## Several processes, a GPU
#
# A notebook runs in one process. To train with several, call `lib.workbench.ngt` itself, with options as `name=value`. The processes share each batch, so `batch_size` stays what it is.
#
# ```sh
# .venv/bin/python -m lib.workbench.ngt max_steps=200 kernel=newton
# .venv/bin/accelerate launch --multi_gpu --num_processes 2 -m lib.workbench.ngt max_steps=200
# ```
#
# With a GPU, leave `device` at `auto`. If memory runs out, raise `gradient_accumulation_steps`: gradient accumulation computes a batch in parts and adds them up, and differs from the whole by rounding only.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ngtbench-measured -->
# ## 무엇을 무엇으로 쟀는가
#
# | 잰 것 | 결과 |
# |---|---|
# | 글 전체의 검증 손실, 마지막 가중치 | ⟨loss_whole⟩ |
# | 글 전체의 검증 손실, `best` | ⟨loss_best⟩ |
# | 토큰을 세기만 한 손실 | ⟨by_counting⟩ |
# | 매개변수, 학습한 모델 | ⟨n_parameters⟩ |
# | 매개변수, 같은 옵션의 NGT와 보통의 모델 | ⟨n_ngt⟩, ⟨n_vanilla⟩ |
# | 학습에 걸린 초 | ⟨seconds⟩ |
#
# 모델 하나(⟨model⟩)를 시드 하나로 한 번, 창 ⟨batch⟩개씩 ⟨n_steps⟩스텝을 학습시킨 결과입니다. 손실의 단위는 토큰당 내트입니다. 걸린 시간은 컴퓨터가 그때 무엇을 함께 하고 있었는지에 따라 달라집니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ngtbench-measured -->
# ## What was measured, and on what
#
# | measured | result |
# |---|---|
# | Validation loss of the whole text, last weights | ⟨loss_whole⟩ |
# | Validation loss of the whole text, `best` | ⟨loss_best⟩ |
# | Loss of counting tokens | ⟨by_counting⟩ |
# | Parameters of the trained model | ⟨n_parameters⟩ |
# | Parameters of NGT and vanilla with these options | ⟨n_ngt⟩, ⟨n_vanilla⟩ |
# | Seconds of training | ⟨seconds⟩ |
#
# This is one training of one model (⟨model⟩) with one seed: ⟨n_steps⟩ steps of ⟨batch⟩ windows. Losses are in nats per token. Seconds depend on what else the computer was doing.

# %% tags=["remove-input"]
import torch

kind = f"{options.kernel}, {options.gate}"
pd.DataFrame([
    ["모델 | Model", options.model],
    ["커널, 컷오프 | Kernel, cutoff", kind],
    ["층, 너비, 헤드 | Layers, width, heads",
     f"{options.num_layers}, {options.hidden_dim}, {options.num_heads}"],
    ["학습률 | Learning rate", f"{options.learning_rate:g}"],
    ["시드 | Seed", str(options.seed)],
    ["장치 | Device", str(cfg.device)],
    ["torch", torch.__version__],
    ["프로필 | Profile", cfg.profile],
], columns=["재료 | made with", "이 실행 | this run"]).set_index(
    "재료 | made with")
