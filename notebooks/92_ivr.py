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
# <!-- label: ivr-workbench -->
# # 실험대: 어휘를 제자리에서 바꾸기
#
# 사전 학습된 언어 모델(language model)의 어휘(vocabulary)를 크기는 그대로 둔 채 바꿉니다. 글을 자르는 토크나이저(tokenizer)를 BPE에서 유니그램(Unigram)으로 옮기고, 드물게 쓰이는 토큰(token)의 번호를 새 조각에 넘겨주고, 그 번호의 임베딩(embedding)을 고친 다음 더 학습시킵니다. 이 페이지에서는 이 일을 하는 일곱 단계를 차례로 실행합니다. 설명은 [14장](14_bpe_and_unigram.ipynb)부터 [18장](18_fine_tuning.ipynb)까지에 있고, 여기에는 손잡이가 모두 모여 있습니다.
#
# - **할 수 있게 되는 것.** 모델과 말뭉치(corpus)를 골라 일곱 단계를 처음부터 끝까지, 또는 한 단계씩 실행하고, 중단된 곳부터 다시 시작하고, 만들어진 파일이 무엇으로 만들어졌는지 확인할 수 있습니다.
# - **걸리는 시간.** 읽기 15분, 실험은 원하는 만큼.
# - **필요한 것.** [토크나이저 증류(distillation)](15_tokenizer_distillation.ipynb). 명령을 실행해 보려면 터미널.
# %% [markdown] tags=["lang-en"]
# <!-- label: ivr-workbench -->
# # Workbench: a vocabulary changed in place
#
# The vocabulary of a pretrained language model changes here and keeps its size. Seven stages turn its tokenizer from BPE to Unigram, give the ids of rarely used tokens to new pieces, mend the embeddings of these ids, and train on. The explanations are in chapters [14](14_bpe_and_unigram.ipynb) to [18](18_fine_tuning.ipynb); here all the knobs are in one place.
#
# - **You will be able to** run the stages on a model and a corpus of your choice, all of them or one at a time, start again where a run was cut off, and see what each file was made from.
# - **Time.** 15 minutes to read; experiments as long as you like.
# - **You need** [tokenizer distillation](15_tokenizer_distillation.ipynb). A terminal, to run the commands.

# %% tags=["parameters"]
profile: str = None  # smoke, book or gpu; None follows BOOK_PROFILE, else book
stages = "all"  # one stage, first..last, all, or export
artifacts_dir = "artifacts"  # where everything is read and written
seed = 0  # of learning, choosing, new rows and batches
force = False  # make anew what holds
model = "smollm2"  # smollm2, gpt2, tiny, a folder or a name on the Hub
corpus = "korean"  # for an empty raw folder: korean, shakespeare or none
corpus_documents: int = None  # of it, from its beginning; None: all
raw_corpora_dir: str = None  # None: corpora/raw in artifacts_dir
cleaned_corpora_dir: str = None  # None: corpora/cleaned in artifacts_dir
text_key = "text"  # the key or column of the text, but in .txt
encoding = "utf-8"  # of the raw files
normalize_force = False  # clean again what is clean already
engine = "local"  # local or dask: where the corpora are counted
workers = 1  # processes that count on this machine
most_words = 5_000_000  # different words that are held; beyond, the rarest are lost
passes = 60  # of distill over the words
made_items = 20_000  # made words and numbers of each kind, for distill
layer = True  # the exactness layer of distill
lexicon = 20_000  # words of each of eleven languages, for distill
room = 1.0  # for rules: the file, as a multiple of the original's
share = 0.05  # of the vocabulary that select gives up, at most
least = 20  # times that a new piece occurs in the corpora
general_mb = 12.0  # of other text: what it needs is not given up
merge_list = False  # take in the pieces by way of which merges reach the new ones
init_strategy = "constituents"  # mean, random, zeros, constituents or hidden_states: how new rows begin
align_documents = 400  # that hidden_states reads
untie = False  # rows of their own for the output head
rows_steps = 100  # updates of the new rows alone
train_steps = 300  # updates of everything, after them
batch_size = 8  # windows of an update
context = 128  # tokens of a window
rows_learning_rate = 1e-3  # of the new rows alone
learning_rate = 1e-4  # of everything
gradient_accumulation_steps = 1  # parts that a batch is cut into
mixed_precision = "no"  # no, bf16 or fp16
lora_rank = 0  # of additions that learn in place of all matrices; 0: none
gradient_checkpointing = False  # keep less between the passes and compute it again
baseline = "text"  # text, tokens or none: what the untouched model, tuned too, reads as much of
replay_corpus = "mixture"  # mixture (code, prose and more), a text of the book, a file, or none
replay_share = 0.25  # of each batch
held_out_documents = 200  # that nothing learns from
export_strings = 10_000  # that prove each form, id by id
save_every = 50  # updates between two saves
device = "auto"  # auto, cpu, cuda or mps

# %% tags=["hide-input"]
import itertools

import pandas as pd
from matplotlib import pyplot as plt

from lib.data import ROOT
from lib.data.tokenizer_files import load_tokenizer
from lib.page.figures import COLOURS, show, use_style
from lib.page.profile import expect, settings
from lib.page.record import record, wrote
from lib.workbench.ivr import pipeline as vocabulary
from lib.workbench.ivr.artifacts import TREE, shown
from lib.workbench.ivr.corpora import cleaned
from lib.workbench.ivr.options import judged
from lib.workbench.ivr.report import report

use_style()
pd.set_option("display.max_colwidth", None)

# %% tags=["hide-input"]
expect(str, stages=stages)
cfg = settings(profile, smoke={}, book={}, gpu={}, device=device)
options = judged(globals(), cfg.profile)
wanted = vocabulary.chosen(stages)
running = vocabulary.run_each(wanted, options)
done = {}


def stage(name):
    """Run a stage if it is wanted; show its report."""
    if name not in wanted:
        return None
    _, done[name] = next(running)
    record(**{f"{name}_{key}": value
              for key, value in done[name]["results"].items()})
    return report(done[name])


# %% [markdown] tags=["lang-ko"]
# <!-- label: ivr-running -->
# ## 실행하기
#
# 저장소의 맨 위 폴더에서 아래 명령을 실행합니다.
#
# ```sh
# ./setup_and_run.sh run ivr
# ./setup_and_run.sh run ivr -p corpus shakespeare -p share 0.02
# ./setup_and_run.sh run init -p raw_corpora_dir my_texts -p text_key review
# ./setup_and_run.sh run analyze -p workers 4
# ./setup_and_run.sh run distill -p passes 100
# ./setup_and_run.sh run select
# ./setup_and_run.sh run remap
# ./setup_and_run.sh run align -p init_strategy mean
# ./setup_and_run.sh run train -p train_steps 1000
# ./setup_and_run.sh run ivr -p stages select..align
# ```
#
# 모두 이 노트북 하나를 `stages`만 바꾸어 실행합니다. 나머지 옵션은 위의 매개변수(parameter) 셀에 있고, `./setup_and_run.sh run --list`로도 볼 수 있습니다. 자신의 글을 쓰려면 `artifacts/corpora/raw`에 파일을 넣거나 `raw_corpora_dir`에 폴더를 적습니다. `smoke` 프로필은 기본값으로 둔 크기만 시험용으로 줄이고, 아주 작은 모델로 `artifacts/smoke`에서 실행합니다.
#
# `./setup_and_run.sh run export`는 `all`에 들지 않는 단계입니다. 증류한 토크나이저와 재할당한 토크나이저를 `transformers`, 브라우저, llama.cpp가 읽는 형태로 `tokenizers/exported`에 쓰고, 저마다 문자열 `export_strings`개의 번호로 증명합니다. 형태마다 지키는 것은 [16장](#reassign-export)에 있습니다. Node의 `@huggingface/tokenizers`와 llama.cpp는 처음 쓸 때 npm에서 받습니다.
#
# 단계는 앞 단계가 끝나야 시작합니다. 앞 단계가 없으면 어떤 명령을 먼저 실행해야 하는지 알려 주고 멈춥니다. 예를 들어 `distill` 없이 `remap`을 실행하면 `./setup_and_run.sh run distill`을 먼저 하라고 합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ivr-running -->
# ## Running it
#
# Run these in the root folder of the repository.
#
# ```sh
# ./setup_and_run.sh run ivr
# ./setup_and_run.sh run ivr -p corpus shakespeare -p share 0.02
# ./setup_and_run.sh run init -p raw_corpora_dir my_texts -p text_key review
# ./setup_and_run.sh run analyze -p workers 4
# ./setup_and_run.sh run distill -p passes 100
# ./setup_and_run.sh run select
# ./setup_and_run.sh run remap
# ./setup_and_run.sh run align -p init_strategy mean
# ./setup_and_run.sh run train -p train_steps 1000
# ./setup_and_run.sh run ivr -p stages select..align
# ```
#
# All of them run this one notebook and differ in `stages` alone. The other options are in the cell of parameters above; `./setup_and_run.sh run --list` shows them too. For texts of your own, put files into `artifacts/corpora/raw`, or name a folder as `raw_corpora_dir`. The profile `smoke` lowers the sizes that were left at their defaults, for tests, takes a very small model, and works in `artifacts/smoke`.
#
# `./setup_and_run.sh run export` is a stage that `all` does not run. It writes the distilled and the reassigned tokenizer to `tokenizers/exported` as `transformers`, browsers and llama.cpp read them, and proves each form by the ids of `export_strings` strings. [Chapter 16](#reassign-export) says what each form keeps. `@huggingface/tokenizers` for Node and llama.cpp come from npm when they are first needed.
#
# A stage starts when the stages before it have ended. Where one is missing, it stops and says which command comes first: `remap` without `distill` asks for `./setup_and_run.sh run distill`.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ivr-stages -->
# ## 일곱 단계
#
# | 단계 | 하는 일 | `artifacts`에 남기는 것 |
# |---|---|---|
# | `init` | 토크나이저와 모델 설정을 가져오고 말뭉치를 다듬습니다 | `tokenizers/original`, `corpora/cleaned` |
# | `analyze` | 말뭉치를 BPE로 잘라 토큰마다 몇 번 쓰이는지 셉니다 | `analysis/reports`의 `bpe_token_id_sequences.txt`, `token_frequency.parquet` |
# | `distill` | BPE와 같은 번호를 내는 유니그램을 배웁니다 | `tokenizers/distilled_unigram` |
# | `select` | 내줄 토큰과 새 조각을 고릅니다 | `analysis/reports`의 `replacement_candidates.csv`, `selection_log.md`, `remap_rules.yaml` |
# | `remap` | 규칙을 확인하고 번호를 새 조각에 넘깁니다 | `tokenizers/remapped` |
# | `align` | 새 조각의 임베딩 행을 만듭니다 | `embeddings` |
# | `train` | 새 행을 먼저, 그다음 전체를 학습시킵니다 | `training` |
#
# 단계가 끝나면 `artifacts/manifests`에 명세가 하나씩 남습니다. 읽은 파일과 만든 파일의 sha256, 결과를 좌우하는 옵션, 날짜와 패키지의 버전이 적혀 있습니다. 다시 실행하면 명세와 같은 단계는 건너뜁니다. 읽은 파일이 그 뒤에 바뀌었으면 낡은 것으로 여겨 쓰지 않고, 무엇이 바뀌었는지 알려 줍니다.
#
# 만드는 파일은 모두 임시 이름으로 쓰고, 단계가 끝나면 한꺼번에 제 이름을 붙이고, 명세를 마지막에 씁니다. 그래서 언제 꺼져도 반쯤 쓰인 파일이 남지 않습니다. 명세가 없는 단계는 처음부터 다시 하고, `train`은 마지막으로 저장한 곳에서 이어 갑니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ivr-stages -->
# ## The seven stages
#
# | stage | what it does | what it leaves in `artifacts` |
# |---|---|---|
# | `init` | fetches tokenizer and configuration of the model, cleans the corpora | `tokenizers/original`, `corpora/cleaned` |
# | `analyze` | cuts the corpora with BPE and counts every token | in `analysis/reports`: `bpe_token_id_sequences.txt`, `token_frequency.parquet` |
# | `distill` | learns a Unigram model that gives the ids of BPE | `tokenizers/distilled_unigram` |
# | `select` | chooses the tokens to give up and the new pieces | in `analysis/reports`: `replacement_candidates.csv`, `selection_log.md`, `remap_rules.yaml` |
# | `remap` | checks the rules and gives the ids to the new pieces | `tokenizers/remapped` |
# | `align` | makes the rows of the embeddings for the new pieces | `embeddings` |
# | `train` | trains the new rows first, then everything | `training` |
#
# When a stage ends it leaves a manifest in `artifacts/manifests`: the sha256 of every file that it read and made, the options that decide the result, the date, the versions of packages. Run again, a stage that agrees with its manifest is skipped. If a file that it read has changed since, what it made is stale: it is not used, and the message says what has changed.
#
# All files are written under temporary names, get their own when the stage ends, and the manifest comes last. So no file is ever half-written, whenever the machine goes down. A stage without a manifest starts over; `train` goes on from its last save.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ivr-init -->
# ## init
#
# `.txt`는 한 줄이 문서 하나, `.jsonl`은 한 줄이 객체 하나, `.json`은 객체의 배열이고, `.parquet`에서는 `text_key`라는 열의 한 칸이 문서 하나입니다. 다듬은 파일은 한 줄이 문서 하나이고, 유니코드 NFC로 맞추고, 제어 문자를 빼고, 문서 안의 줄바꿈은 U+2028로 적습니다. 파일은 조금씩 읽으므로 크기가 커도 메모리는 늘지 않습니다. 인코딩이 다르거나 JSON이 틀렸거나 `text_key`가 없으면 어느 파일의 어디인지 알려 줍니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ivr-init -->
# ## init
#
# A `.txt` file has one document a line, a `.jsonl` file one object a line, a `.json` file an array of objects, and a `.parquet` file one document a row, in the column `text_key`. A cleaned file has one document a line, in Unicode NFC and without control characters; a newline inside a document is written as U+2028. Files are read piece by piece, so a large one takes no more memory. Another encoding, broken JSON or a missing `text_key` is told with the file and the place.

# %%
stage("init")

# %% [markdown] tags=["lang-ko"]
# <!-- label: ivr-analyze -->
# ## analyze
#
# 코어를 모두 써서 말뭉치를 자르고, 문서마다 토큰의 번호를 한 줄에 적습니다. 표에는 한 번도 쓰이지 않은 토큰까지 모두 들어 있습니다. 말뭉치에서 어휘의 얼마나 많은 부분이 놀고 있는지 여기서 보입니다. 내줄 토큰은 다른 글까지 보고 `select`가 고릅니다.
#
# `analyze`와 `distill`은 말뭉치를 여러 부분으로 나누어 세고, 센 것을 더합니다. `workers`가 둘 이상이면 `datasets`가 그만큼의 프로세스에 나누어 맡깁니다. `engine`이 `dask`이면 Dask가 맡는데, 환경 변수 `DASK_SCHEDULER_ADDRESS`에 클러스터의 주소가 있으면 그곳의 컴퓨터들이 셉니다. 그때 `artifacts_dir`는 모든 컴퓨터가 같은 이름으로 읽고 쓰는 폴더여야 합니다. Dask는 `pip install 'dask[distributed]'`로 따로 설치합니다. 어떻게 나누어 세어도 결과는 같습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ivr-analyze -->
# ## analyze
#
# All cores cut the corpora; the ids of each document go on one line. The table has every token of the vocabulary, those that never occur too, which shows how much of it lies idle here. The tokens to give up are chosen by `select`, which looks at other text as well.
#
# `analyze` and `distill` count the corpora in parts and add the counts. With two or more `workers`, `datasets` shares the parts among as many processes. With `engine` set to `dask`, Dask does; if the environment variable `DASK_SCHEDULER_ADDRESS` holds the address of a cluster, its machines count. Then `artifacts_dir` must be a folder that all of them read and write under the same name. Dask is installed apart, by `pip install 'dask[distributed]'`. However the work is shared, the result is the same.

# %%
stage("analyze")

# %% [markdown] tags=["lang-ko"]
# <!-- label: ivr-distill -->
# ## distill
#
# 병합(merge) 규칙 없이도 같은 번호를 내는 유니그램을 배웁니다. 병합이 없어야 조각 하나를 바꾸어도 다른 조각이 무너지지 않습니다. 조각마다의 점수만으로 BPE와 똑같이 자를 수 없는 프리토큰(pre-token)이 조금 남는데, **정확 층**(exactness layer)의 규칙이 그런 것을 미리 끊어 바로잡습니다([15장](15_tokenizer_distillation.ipynb)).
#
# 세는 동안 서로 다른 프리토큰은 프로세스마다 `most_words`개까지만 기억하므로, 말뭉치가 아무리 커도 메모리에는 한도가 있습니다. 그보다 많으면 드문 것부터 버리고, 프리토큰 하나가 많아야 몇 번 덜 세어졌는지를 `words_lost`로 보고합니다. 그보다 자주 나온 프리토큰은 모두 남아 있고, 버린 것은 배우지도 고치지도 않습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ivr-distill -->
# ## distill
#
# Scores are learned for a Unigram model that gives the same ids without merges. Without merges a piece can be replaced and no other falls with it. For a few pre-tokens no scores can do it; the rules of the **exactness layer** cut these beforehand where BPE would ([chapter 15](15_tokenizer_distillation.ipynb)).
#
# While counting, each process holds `most_words` different pre-tokens at most, so memory is bounded however large the corpora are. If there are more, the rarest are dropped, and `words_lost` reports by how much the count of a pre-token can be too low. Every pre-token that occurs more often than that is still there; the dropped ones are neither learned nor mended.

# %%
stage("distill")

# %% [markdown] tags=["lang-ko"]
# <!-- label: ivr-select -->
# ## select
#
# 어휘의 `share`만큼을 한도로, 이 말뭉치와 다른 글(`general_mb`)에 거의 필요 없는 토큰과 토큰 수를 많이 줄여 주는 새 조각을 짝지어 규칙으로 적습니다. `remap_rules.yaml`은 사람이 고쳐도 됩니다. 고친 규칙은 `remap`이 한 줄씩 확인합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ivr-select -->
# ## select
#
# Up to `share` of the vocabulary, tokens that this corpus and other text (`general_mb`) hardly need are paired with new pieces that save many tokens, and written as rules. `remap_rules.yaml` may be edited by hand; `remap` checks it line by line.

# %%
stage("select")

# %% [markdown] tags=["lang-ko"]
# <!-- label: ivr-remap -->
# ## remap
#
# 규칙대로 번호의 뜻을 바꿉니다. 어휘의 크기와 다른 번호의 뜻은 그대로입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ivr-remap -->
# ## remap
#
# The rules change what ids mean. The size of the vocabulary and the meaning of every other id stay.

# %%
stage("remap")

# %% tags=["hide-input"]
folders = {"BPE": TREE.ORIGINAL, "Unigram": TREE.DISTILLED,
           "remapped": TREE.REMAPPED}
files = {name: options.root / folder / "tokenizer.json"
         for name, folder in folders.items()}
cut = {}
if "remap" in done:
    texts = itertools.islice(cleaned(options.root), 400)
    text = min(texts, key=lambda text: abs(len(text) - 40))
    for name, file in files.items():
        encoded = load_tokenizer(file).encode(
            text, add_special_tokens=False)
        cut[name] = [len(token) for token in encoded.tokens]
    record("sample", text)
    record(**{f"sample_{name.lower()}": len(widths)
              for name, widths in cut.items()})

# %% tags=["hide-input"]
if cut:
    figure, axis = plt.subplots(figsize=(7.2, 1.9))
    shades = (COLOURS["tokens"], COLOURS["grey"])
    for row, widths in enumerate(cut.values()):
        starts = itertools.accumulate([0, *widths[:-1]])
        axis.broken_barh(list(zip(starts, widths, strict=True)),
                         (row - 0.38, 0.76), linewidth=0,
                         facecolors=list(itertools.islice(
                             itertools.cycle(shades), len(widths))))
    axis.set_yticks(range(3), list(cut))
    axis.invert_yaxis()
    axis.set_xlabel("bytes of the text")
    show(figure)

# %% [markdown] tags=["lang-ko", "caption"]
# 말뭉치에 있는 글 하나(“⟨sample⟩”)를 세 토크나이저로 자른 모습입니다. 칸 하나가 토큰 하나이고 너비는 바이트 수이며, 색은 이웃한 칸을 가르려고 번갈아 칠했습니다. BPE는 ⟨sample_bpe⟩개, 유니그램은 ⟨sample_unigram⟩개, 어휘를 바꾼 뒤에는 ⟨sample_remapped⟩개입니다. 위의 두 줄은 같은 자리에서 잘립니다.
# <!-- alt: 세 줄의 칸. BPE와 유니그램은 같은 자리에서 잘게 잘리고, 어휘를 바꾼 뒤의 줄은 칸이 더 넓고 적다. -->
# %% [markdown] tags=["lang-en", "caption"]
# One text of the corpus, “⟨sample⟩”, as three tokenizers cut it. Each box is a token, as wide as it has bytes; colours alternate to tell neighbours apart. There are ⟨sample_bpe⟩ of them with BPE, ⟨sample_unigram⟩ with Unigram, ⟨sample_remapped⟩ once the vocabulary has been changed. The upper two rows are cut at the same places.
# <!-- alt: Three rows of boxes. BPE and Unigram are cut finely and at the same places; with the changed vocabulary the boxes are wider and fewer. -->

# %% [markdown] tags=["lang-ko"]
# <!-- label: ivr-align -->
# ## align
#
# 번호의 뜻이 바뀌었으니 임베딩의 행도 바뀌어야 합니다. `constituents`는 새 조각을 적는 데 쓰던 옛 토큰들의 행을 평균합니다. 입력과 출력이 같은 표를 쓰는 모델이면 한 번에 둘 다 바뀝니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ivr-align -->
# ## align
#
# Ids that mean something else need other rows in the embeddings. `constituents` takes the mean of the rows of the old tokens that spelled the new piece. Where input and output share one table, both change at once.

# %%
stage("align")

# %% [markdown] tags=["lang-ko"]
# <!-- label: ivr-train -->
# ## train
#
# 처음에는 새 행만 큰 걸음으로 배우고, 그다음에 모든 것이 작은 걸음으로 배웁니다. 배치(batch)마다 `replay_share`만큼은 다른 글을 섞어, 알던 것을 잊지 않게 합니다. `replay_corpus`를 `mixture`로 두면 코드, 기술 문서, 희곡, 여러 언어의 글을 번갈아 섞습니다. 모든 것 대신 얇은 곱만 배우게 하려면 `lora_rank`를 줍니다. 결과는 `AutoModelForCausalLM`과 `AutoTokenizer`로 바로 불러올 수 있습니다. 바꾸지 않은 모델도 같은 양의 글(`baseline`)로 학습시켜, 바꾸기 전과 학습 앞뒤의 값 옆에 적습니다. 따로 둔 글(`held_out_documents`)에서 바이트당 비트(bits per byte)로 재므로, 토큰의 수가 달라져도 견줄 수 있습니다. 따로 둔 글은 무엇도 배우지 않습니다. 말뭉치나 섞는 글에 같은 줄이 또 있으면 내용을 견주어 빼고, 몇 줄을 뺐는지 아래 표에 적습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ivr-train -->
# ## train
#
# First the new rows alone learn, in large steps; then everything does, in small ones. Of each batch, `replay_share` is other text, so that what the model knew stays. With `mixture` as `replay_corpus` that is code, technical text, plays and other languages by turns. With `lora_rank` thin products learn instead of everything. `AutoModelForCausalLM` and `AutoTokenizer` load the result. The untouched model is trained too, on as much text (`baseline`), and stands beside the values before the swap, before training and after it. It is measured in bits per byte on documents kept aside (`held_out_documents`), which can be compared although the number of tokens has changed. Nothing learns from these: where the corpora or the replayed text hold the same line again, it is found by its content and left out, and the table below tells how many lines that was.

# %%
stage("train")

# %% tags=["hide-input"]
log = options.root / TREE.TRAINING / "training_log.jsonl"
if "train" in done:
    lines = pd.read_json(log, lines=True)
    figure, axis = plt.subplots(figsize=(7.2, 2.6))
    axis.plot(range(1, len(lines) + 1), lines["loss"],
              color=COLOURS["tokens"])
    rows = int((lines["phase"] == "rows").sum())
    axis.axvline(rows + 0.5, color=COLOURS["grey"], linestyle=":")
    axis.set(xlabel="step", ylabel="loss (nats per token)")
    show(figure)

# %% [markdown] tags=["lang-ko", "caption"]
# 학습 스텝에 따른 손실(loss). 점선 왼쪽에서는 새 행만, 오른쪽에서는 모든 것이 배웁니다. 배치마다 글이 다르므로 오르내립니다.
# <!-- alt: 학습 스텝에 따른 손실의 꺾은선. 새 행만 배우는 구간과 모두 배우는 구간이 점선으로 나뉘어 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# The loss against the step. Left of the dotted line the new rows alone learn, right of it everything does. Batches hold different text, so it goes up and down.
# <!-- alt: A line of the loss against the training step; a dotted line parts the steps of the new rows from those of everything. -->

# %% [markdown] tags=["lang-ko"]
# <!-- label: ivr-files -->
# ## 남는 파일
#
# 아래 표는 이번에 실행한 단계가 남긴 파일입니다. 다른 단계가 만든 것도 `artifacts/manifests`를 보면 알 수 있습니다. 다시 만들고 싶은 파일은 지우고 같은 명령을 실행합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ivr-files -->
# ## What stays on disk
#
# These files were left by the stages of this run; `artifacts/manifests` tells of the others. To have one made anew, delete it and run the same command.

# %% tags=["hide-input"]
left = [(name, options.root / output) for name, told in done.items()
        for output in told["outputs"]]
wrote(shown(file, ROOT) for _, file in left)
pd.DataFrame(
    [[name, shown(file, options.root),
      f"{file.stat().st_size / 1e3:,.1f} kB"] for name, file in left],
    columns=["단계 | stage", "파일 | file", "크기 | size"],
).set_index("단계 | stage")

# %% [markdown] tags=["lang-ko"]
# <!-- label: ivr-processes -->
# ## 여러 프로세스와 GPU
#
# 노트북은 프로세스 하나에서 돕니다. 여러 프로세스로 학습시키려면 `lib.workbench.ivr`를 직접 부릅니다. 옵션은 `name=value`처럼 적습니다. 배치 하나를 프로세스들이 나누어 맡으므로 `batch_size`는 그대로 두면 됩니다.
#
# ```sh
# .venv/bin/python -m lib.workbench.ivr init..align
# .venv/bin/accelerate launch --multi_gpu --num_processes 2 -m lib.workbench.ivr train
# ```
#
# 카드 하나에 다 들어가지 않는 모델은 `accelerate config`에서 FSDP(`fsdp_version: 2`)를 고르고 `.venv/bin/accelerate launch -m lib.workbench.ivr train`을 실행합니다. 컴퓨터의 메모리에는 프로세스마다 모델 전체가 한 벌씩 들어가야 하고, 학습 앞뒤의 측정은 CPU에서 합니다. 옵션 `gradient_checkpointing`과 `mixed_precision`도 메모리를 줄입니다.
#
# `--multi_gpu`는 GPU가 없어도 필요합니다. accelerate는 이 옵션이 있어야 프로세스를 여럿 띄웁니다. GPU가 있으면 `device`를 `auto`로 두기만 하면 됩니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ivr-processes -->
# ## Several processes, a GPU
#
# A notebook runs in one process. To train with several, call `lib.workbench.ivr` itself, with options as `name=value`. The processes share each batch, so `batch_size` stays what it is.
#
# ```sh
# .venv/bin/python -m lib.workbench.ivr init..align
# .venv/bin/accelerate launch --multi_gpu --num_processes 2 -m lib.workbench.ivr train
# ```
#
# For a model that outgrows one card choose FSDP (`fsdp_version: 2`) in `accelerate config` and run `.venv/bin/accelerate launch -m lib.workbench.ivr train`. The machine's memory must hold a whole model for each process, and what is measured before and after the training is measured on the CPU. The options `gradient_checkpointing` and `mixed_precision` save memory as well.
#
# `--multi_gpu` is needed without a GPU too: accelerate starts several processes only when it is given. With a GPU, leave `device` at `auto`.

# %% [markdown] tags=["lang-ko"]
# <!-- label: ivr-measured -->
# ## 무엇을 무엇으로 쟀는가
#
# | 잰 것 | 결과 |
# |---|---|
# | 문서, BPE 토큰 | ⟨init_documents⟩, ⟨analyze_tokens⟩ |
# | BPE 토큰 하나의 바이트 | ⟨analyze_bytes_per_token⟩ |
# | 서로 다른 프리토큰, 그 가운데 점수만으로는 틀린 것 | ⟨distill_types⟩, ⟨distill_wrong_types⟩ |
# | 새 조각에 넘겨준 번호 | ⟨select_reassigned⟩ |
# | 따로 둔 글에서 줄어든 토큰(%) | ⟨select_held_out_saved⟩ |
# | 그 글에서 길어진 문서 | ⟨select_held_out_longer⟩ |
# | 바이트당 비트: 바꾸기 전, 학습 전, 학습 뒤 | ⟨train_bits_before⟩, ⟨train_bits_aligned⟩, ⟨train_bits_trained⟩ |
# | 바꾸지 않고 같은 글로 학습시킨 모델 | ⟨train_bits_untouched⟩ |
#
# 책에 실린 이 페이지는 모든 크기를 줄여 한 번 실행한 것이고, 학습은 ⟨train_steps⟩스텝뿐입니다. 얼마나 좋아질 수 있는지를 보이는 수가 아니라, 일곱 단계가 이어져 돈다는 것을 보이는 수입니다. 제대로 잰 값은 [재할당(reassignment)](16_reassigning.ipynb), [재정렬(realignment)](17_realigning.ipynb), [미세 조정(fine-tuning)](18_fine_tuning.ipynb) 장에 있습니다. 걸린 시간은 컴퓨터가 그때 무엇을 함께 하고 있었는지에 따라 달라집니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: ivr-measured -->
# ## What was measured, and on what
#
# | measured | result |
# |---|---|
# | Documents, BPE tokens | ⟨init_documents⟩, ⟨analyze_tokens⟩ |
# | Bytes a BPE token | ⟨analyze_bytes_per_token⟩ |
# | Different pre-tokens, and those wrong by scores alone | ⟨distill_types⟩, ⟨distill_wrong_types⟩ |
# | Ids given to new pieces | ⟨select_reassigned⟩ |
# | Tokens saved on held-out text (%) | ⟨select_held_out_saved⟩ |
# | Documents of it that became longer | ⟨select_held_out_longer⟩ |
# | Bits per byte: before the swap, before training, after it | ⟨train_bits_before⟩, ⟨train_bits_aligned⟩, ⟨train_bits_trained⟩ |
# | The untouched model, trained on the same text | ⟨train_bits_untouched⟩ |
#
# This page of the book was run once with every size lowered, and trains for ⟨train_steps⟩ steps only. The numbers show that the seven stages run one after another, not how good the result can be. For that see the chapters on [reassigning](16_reassigning.ipynb), [realigning](17_realigning.ipynb) and [fine-tuning](18_fine_tuning.ipynb). Seconds depend on what else the computer was doing.

# %% tags=["remove-input"]
import tokenizers
import torch
import transformers

versions = ", ".join(
    package.__version__ for package in (tokenizers, torch, transformers))
pd.DataFrame([
    ["모델 | Model", options.model],
    ["단계 | Stages", stages],
    ["바꾸는 비율 | Share", f"{options.share:g}"],
    ["배우는 횟수 | Passes", str(options.passes)],
    ["시드 | Seed", str(options.seed)],
    ["장치 | Device", str(cfg.device)],
    ["tokenizers, torch, transformers", versions],
    ["프로필 | Profile", cfg.profile],
], columns=["재료 | made with", "이 실행 | this run"]).set_index(
    "재료 | made with")
