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
# <!-- label: reassign-top -->
# # 어휘 재할당: 드문 토큰의 번호를 새 조각에 넘기기
#
# 영어 글로 만든 토크나이저(tokenizer)에게 한국어는 비쌉니다. 한 글자에 토큰(token)이 두세 개씩 듭니다. 어휘(vocabulary)를 늘리면 짧아지지만 모델도 함께 커집니다. 이 장에서는 크기를 그대로 둡니다. 거의 쓰지 않는 토큰의 번호를 빼앗아 한국어 조각에 넘기는 일, 곧 **재할당**(reassignment)을 합니다.
#
# - **할 수 있게 되는 것.** 내놓을 토큰과 들일 조각을 고르고, 그 규칙을 손으로 고치고, 같은 크기의 `tokenizer.json`을 만듭니다. 무엇이 그대로이고 무엇이 바뀌는지 증명하고 잽니다.
# - **걸리는 시간.** 읽기 40분, 연습 문제 50분.
# - **필요한 것.** [14장](14_bpe_and_unigram.ipynb)과 [15장](15_tokenizer_distillation.ipynb). GPU는 쓰지 않습니다.
#
# 토크나이저는 둘, SmolLM2와 GPT-2의 것입니다. 번호의 ⟨share⟩%까지만 넘깁니다. 넘긴 번호의 임베딩(embedding)을 어떻게 맞출지는 다음 장의 일입니다.
#
# 얼마나 짧아질지는 출발점에 달렸습니다. 한국어 영화평에서 번호의 1%를 넘기면 GPT-2의 토큰은 ⟨gpt_first⟩%, Qwen3의 토큰은 ⟨qwen_first⟩% 줄어듭니다([표](#reassign-others)). 앞의 수는 대부분 한글을 바이트로 적던 것을 고친 몫이고, 한글 조각을 이미 많이 가진 요즘 토크나이저가 얻는 것은 뒤의 수입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: reassign-top -->
# # Reassigning a vocabulary: the ids of rare tokens go to new pieces
#
# Korean is expensive for a tokenizer made from English text: two or three tokens for each character. A larger vocabulary would help and would make the model larger too. This chapter keeps the size. It takes the ids of tokens that are hardly ever used and gives them to Korean pieces. That is **reassignment**.
#
# - **You will be able to** choose which tokens to give up and which pieces to take in; edit the rules by hand; make a `tokenizer.json` of the same size; prove and measure what stays and what changes.
# - **Time.** 40 minutes to read, 50 for the exercises.
# - **You need** chapters [14](14_bpe_and_unigram.ipynb) and [15](15_tokenizer_distillation.ipynb). No GPU.
#
# There are two tokenizers, those of SmolLM2 and GPT-2. No more than ⟨share⟩% of the ids change hands. How to fit the embedding of such an id to its new piece is the business of the next chapter.
#
# How much shorter text becomes depends on where one starts. On Korean film reviews, 1% of the ids saves GPT-2 ⟨gpt_first⟩% of its tokens and Qwen3 ⟨qwen_first⟩% ([table](#reassign-others)). Most of the first is the price of spelling Hangul in bytes, taken back; the second is what a tokenizer of today gains, which has many pieces of Hangul already.

# %% tags=["parameters"]
profile: str = None  # smoke, book or gpu; None follows BOOK_PROFILE, else book
documents: int = None  # Korean documents in use; None: the profile decides
general_mb: float = None  # megabytes of other text; None: the profile decides
passes: int = None  # over the words while distilling; None: the profile
share = 0.05  # of the vocabulary, at most, that is reassigned
least: int = None  # occurrences of a new piece; None: the profile decides
seed = 0  # of the distillation and of the search

# %% tags=["hide-input"]
import tempfile
from collections import Counter
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from lib import data
from lib.data.mixture import gather
from lib.data.tokenizer_files import load_tokenizer
from lib.page.figures import COLOURS, PAPER, show, use_style
from lib.page.profile import expect, settings
from lib.page.record import record

# %% tags=["hide-input"]
expect(float, share=share)
expect(int, seed=seed)
cfg = settings(
    profile,
    smoke={"documents": 500, "general_mb": 0.2, "passes": 2, "least": 4},
    book={"documents": 16_000, "general_mb": 4, "passes": 12, "least": 10},
    gpu={"documents": 60_056, "general_mb": 40, "passes": 60, "least": 20},
    given={"documents": documents, "general_mb": general_mb,
           "passes": passes, "least": least},
    device="cpu", seed=seed,
)
use_style()
record(share=100 * share, profile=cfg.profile)

# %% [markdown] tags=["lang-ko"]
# <!-- label: reassign-price -->
# ## 한 글자의 값
#
# 글은 두 가지입니다. 짧아지기를 바라는 **분야**의 글은 ⟨domain_ko⟩입니다. 스무 편에 한 편은 떼어 두고 재는 데에만 씁니다. 손해를 보지 않아야 할 **일반** 글은 이 컴퓨터에 있는 소스 코드, 문서, 희곡, 여러 언어의 글을 [15장](#distill-corpus)처럼 모은 것입니다.
#
# 먼저 두 토크나이저가 떼어 둔 한국어 글과 셰익스피어의 희곡에서 한 글자에 토큰을 몇 개나 쓰는지 셉니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: reassign-price -->
# ## The price of a character
#
# There are two kinds of text. That of the **domain**, which is to become shorter, is ⟨domain_en⟩; one document in twenty is kept aside and only measured on. **General** text, which must not suffer, is what this machine has: source code, documentation, plays and other languages, gathered as in [chapter 15](#distill-corpus).
#
# First, how many tokens do the two tokenizers take for a character, in the Korean text kept aside and in Shakespeare's plays?

# %%
lines = data.text("korean").splitlines()[:cfg.documents]
held = lines[::20]
train = [line for n, line in enumerate(lines) if n % 20]
gathered = gather(int(cfg.general_mb * 1e6), 0.1)
general = [document.text for part in gathered for document in part]
smollm2 = data.path("smollm2") / "tokenizer.json"
teachers = {"SmolLM2": load_tokenizer(smollm2),
            "GPT-2": data.gpt2_tokenizer()}

# %% tags=["remove-cell"]
record(domain_ko=data.describe("korean", "ko"), held=len(held),
       domain_en=data.describe("korean", "en"), train=len(train))

# %%
from lib.vocabulary.select import lengths


def per_character(tokenizer, texts):
    """Tokens for each character of the texts."""
    return lengths(tokenizer, texts).sum() / sum(map(len, texts))


plays = data.text("tinyshakespeare").split("\n\n")
prices = pd.DataFrame({name: {
    "Korean": per_character(teacher, held),
    "plays": per_character(teacher, plays[::20]),
} for name, teacher in teachers.items()}).T
prices.round(2)

# %% tags=["remove-cell"]
dear, cheap = prices.loc["SmolLM2"]
record(dearer=f"{dear / cheap:.1f}")

# %% [markdown] tags=["lang-ko"]
# 글자당 토큰은 한국어가 희곡의 ⟨dearer⟩배입니다(SmolLM2). 같은 문맥 길이에 들어가는 글자가 그만큼 적고, 글자 하나를 쓰는 데 드는 계산은 그만큼 많습니다.
# %% [markdown] tags=["lang-en"]
# A character of Korean takes ⟨dearer⟩ times the tokens of one in the plays (SmolLM2). So much less of it fits into a context of the same length, and so much more computation goes into writing it.

# %% [markdown] tags=["lang-ko"]
# <!-- label: reassign-chains -->
# ## BPE에서는 왜 안 되는가
#
# 바이트 쌍 인코딩(byte pair encoding, BPE)의 조각은 앞선 조각 둘을 붙인 것입니다. 그래서 조각 하나를 빼면 그 조각을 거쳐 만들어지던 조각도 모두 만들 수 없게 됩니다. 아래의 `made_by_way_of`는 그런 조각이 몇 개인지를 조각마다 셉니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: reassign-chains -->
# ## Why a BPE cannot do it
#
# A piece of a byte pair encoding (BPE) is two earlier pieces joined. Take one out, and no piece that is made by way of it can be made any more. For each piece, `made_by_way_of` counts how many those are.

# %%
from lib.tokens.distill import merge_table, piece_bytes


def made_by_way_of(teacher):
    """How many other pieces are made by way of each piece."""
    ways, count = {}, Counter()
    for left, right in merge_table(teacher):  # in the order of the ranks
        way = {left, right} | ways.get(left, set()) | ways.get(right, set())
        ways[left + right] = way
        count.update(way)
    return count


# %% tags=["hide-input"]
from lib.tokens.distill import bpe_cuts, count_words


def used(teacher, texts):
    """How often the merges leave each piece in the texts, by id."""
    words = count_words(teacher, texts)
    uses = np.zeros(teacher.get_vocab_size(), int)
    for n, cut in zip(words.values(), bpe_cuts(teacher, list(words)),
                      strict=True):
        uses[cut] += n
    return uses


# %%
rows = {}
for name, teacher in teachers.items():
    uses, pieces = used(teacher, general + train), piece_bytes(teacher)
    needed = made_by_way_of(teacher)
    idle = [p for i, p in enumerate(pieces) if len(p) > 1 and not uses[i]]
    rows[name] = {"never used": len(idle), "needed all the same":
                  sum(needed[p] > 0 for p in idle)}
pd.DataFrame(rows).T.map("{:,}".format)

# %% [markdown] tags=["lang-ko"]
# 첫 열은 일반 글에도 고르는 데 쓰는 한국어 글에도 나오지 않은 조각의 수, 둘째 열은 그 가운데 다른 조각으로 가는 길목이어서 뺄 수 없는 것의 수입니다. 들일 때는 더 어렵습니다. ‘영화’ 하나를 병합(merge)으로 만들려면 바이트에서 여기까지 오는 중간 조각이 모두 번호를 하나씩 차지해야 합니다.
#
# 유니그램(Unigram)에는 길목이 없습니다. 조각은 저마다 점수를 가질 뿐이고, 하나를 바꾸면 그 하나만 바뀝니다. 그래서 먼저 두 토크나이저를 유니그램으로 [증류](15_tokenizer_distillation.ipynb)(distillation)합니다.
# %% [markdown] tags=["lang-en"]
# The first column counts the pieces that neither the general text nor the Korean text to choose from uses; the second, those among them that cannot go, because the way to other pieces leads through them. Adding pieces is harder still: for merges to make one Korean word, every piece on the way from its bytes must take an id of its own.
#
# A Unigram has no such ways. Each piece has a score of its own, and changing one changes that one. So the two tokenizers are [distilled](15_tokenizer_distillation.ipynb) into Unigrams first.

# %%
from lib.tokens.distill import distill

unigrams, cuts_of = {}, {}
for name, teacher in teachers.items():
    made = distill(teacher, train + general, passes=cfg.passes,
                   made_items=200, seed=seed, bar=False)
    unigrams[name], cuts_of[name] = made.tokenizer, made.rules
pd.DataFrame({name: {
    "vocabulary": unigram.get_vocab_size(),
    "held-out tokens, BPE": lengths(teachers[name], held).sum(),
    "Unigram": lengths(unigram, held).sum(),
} for name, unigram in unigrams.items()}).T.map("{:,}".format)

# %% [markdown] tags=["lang-ko"]
# 어휘의 크기와 번호는 그대로입니다. 떼어 둔 글의 토큰 수가 나란한 두 열에서 거의 같은 것은, 유니그램이 BPE처럼 자르도록 점수를 배웠기 때문입니다.
#
# <!-- label: reassign-spare -->
# ## 무엇을 내놓을까
#
# 유니그램에서 어떤 조각이 ‘필요한지’는 글에 달렸습니다. 글에서 조각 $p$가 $n_p$번 쓰이고, 어휘 $V$에서 $p$를 뺀 나머지로 $p$를 자른 것이 $\operatorname{cut}_{V\setminus p}(p)$라면, 내놓았을 때 늘어나는 토큰은
#
# $$ \operatorname{cost}(p) = n_p\,\bigl(|\operatorname{cut}_{V\setminus p}(p)| - 1\bigr) $$
#
# 개입니다. 쓰이던 자리마다 남은 조각으로 다시 자르기 때문입니다. 그 조각들은 이제 더 자주 쓰이므로 더 필요해집니다. 값이 싼 것부터 하나씩 내놓고, 값이 같으면 번호가 큰 것, 곧 가장 늦게 병합된 것부터 내놓습니다. 특수 토큰(special token)과 한 바이트짜리 조각은 내놓지 않습니다. 뒤의 것이 모두 있어야 어떤 글이든 적을 수 있습니다.
#
# 먼저 작은 유니그램으로 해 봅니다. `best_cut`은 [14장](14_bpe_and_unigram.ipynb#bpe-viterbi)의 비터비(Viterbi)이고, `but`에 조각을 주면 그 조각 없이 자릅니다.
# %% [markdown] tags=["lang-en"]
# The size of the vocabulary and its ids are as before. On the text kept aside both take nearly the same number of tokens, because the scores were learned so that the Unigram cuts as the BPE does.
#
# <!-- label: reassign-spare -->
# ## What to give up
#
# In a Unigram, whether a piece is “needed” is a matter of text. If the text uses piece $p$ in $n_p$ places, and $\operatorname{cut}_{V\setminus p}(p)$ is how the rest of the vocabulary $V$ cuts $p$, giving it up costs
#
# $$ \operatorname{cost}(p) = n_p\,\bigl(|\operatorname{cut}_{V\setminus p}(p)| - 1\bigr) $$
#
# tokens, because each of these places is cut again with the pieces that are left. Those are used more often from then on, and so are needed more. The cheapest goes first, one after another; of equals the one with the highest id, the latest merge. Special tokens and the pieces of one byte stay: with all of these any text can be written.
#
# A small Unigram first. `best_cut` is the Viterbi of [chapter 14](14_bpe_and_unigram.ipynb#bpe-viterbi); a piece given as `but` is left out of the cut.

# %%
def best_cut(word, scores, but=None):
    """The highest sum of scores, and its pieces; never the piece `but`."""
    best = [(0.0, ())]  # of the first j letters
    for j in range(1, len(word) + 1):
        ends = [(i, word[i:j]) for i in range(j)
                if word[i:j] in scores and word[i:j] != but]
        best.append(max(((best[i][0] + scores[piece], (*best[i][1], piece))
                         for i, piece in ends), key=lambda way: way[0]))
    return best[-1]


toy = dict.fromkeys("abcdefghijklmnopqrstuvwxyz", -8.0)
toy |= {"th": -8.5, "he": -8.0, "in": -8.0, "an": -8.5, "er": -9.0,
        "the": -6.0, "and": -7.0, "ing": -7.5, "ere": -10.0,
        "there": -9.0, "thing": -9.5, "hand": -10.0}
english = {"the": 40, "and": 30, "in": 12, "there": 9, "here": 6,
           "then": 5, "thing": 4, "hand": 3, "king": 2}

# %%
def uses_in(words, scores):
    """How often each piece stands in the best cuts of the words."""
    uses = Counter()
    for word, n in words.items():
        for piece in best_cut(word, scores)[1]:
            uses[piece] += n
    return uses


def cost(piece, uses, scores):
    """Tokens more if the piece is given up."""
    return uses[piece] * (len(best_cut(piece, scores, piece)[1]) - 1)


toy_uses = uses_in(english, toy)
pd.DataFrame([
    (piece, toy_uses[piece], "·".join(best_cut(piece, toy, piece)[1]),
     cost(piece, toy_uses, toy)) for piece in toy if len(piece) > 1],
    columns=["piece", "uses", "cut without it", "cost"]).set_index("piece")

# %% [markdown] tags=["lang-ko"]
# 값은 하나를 내놓을 때마다 달라집니다. `give_up`은 가장 싼 조각을 내놓고, 그 조각이 쓰이던 횟수를 대신 쓰이게 된 조각들에 더합니다.
# %% [markdown] tags=["lang-en"]
# Costs change each time that one goes. `give_up` lets the cheapest piece go and adds its uses to those of the pieces that stand in for it.

# %%
def give_up(size, uses, scores):
    """The cheapest pieces, one after another, and the scores that are left."""
    uses, scores, gone = uses.copy(), dict(scores), {}
    ids = {piece: i for i, piece in enumerate(scores)}
    for _ in range(size):
        costs = {piece: cost(piece, uses, scores)
                 for piece in scores if len(piece) > 1}
        piece = min(costs, key=lambda p: (costs[p], -ids[p]))
        gone[piece] = costs[piece]
        del scores[piece]
        for part in best_cut(piece, scores)[1]:
            uses[part] += uses[piece]
    return gone, scores


gone, left = give_up(7, toy_uses, toy)
more = sum(uses_in(english, left).values()) - sum(toy_uses.values())

# %% [markdown] tags=["lang-ko"]
# `lib`의 `spare_tokens`도 같은 일을 합니다. 조각을 바이트로 적고, 값이 바뀌었을 만한 것만 다시 계산하므로 큰 어휘에서도 빠릅니다. 두 결과를 나란히 놓습니다.
# %% [markdown] tags=["lang-en"]
# `spare_tokens` of `lib` does the same. Its pieces are bytes, and it counts again only where a cost may have changed, so that large vocabularies take little time. Both results, side by side:

# %%
from lib.vocabulary.select import spare_tokens, uses_of

coded = {word.encode(): n for word, n in english.items()}
toy_pieces = [piece.encode() for piece in toy]
toy_scores = np.array([*toy.values()])
spare = spare_tokens(toy_pieces, toy_scores,
                     uses_of(toy_pieces, toy_scores, coded), len(gone))
pd.DataFrame([
    (piece, toy_uses[piece], cost(piece, toy_uses, toy), now,
     token.piece.decode(), token.cost, token.cost - now)
    for (piece, now), token in zip(gone.items(), spare, strict=True)],
    columns=["given up", "uses at first", "cost at first", "cost when it went",
             "given up by lib", "cost in lib", "difference"]
).set_index("given up")

# %% tags=["remove-cell"]
record(toy_cost=sum(gone.values()), toy_more=more, toy_gone=len(gone),
       thing_first=cost("thing", toy_uses, toy), thing_last=gone["thing"])

# %% [markdown] tags=["lang-ko"]
# 고른 조각도 값도 같습니다. 쓰이지 않던 `th`와 두 번 쓰이던 `ing`를 먼저 내놓았으므로 `thing`의 값은 ⟨thing_first⟩에서 ⟨thing_last⟩(으)로 올랐습니다. 내놓은 ⟨toy_gone⟩개의 값을 더하면 ⟨toy_cost⟩이고, 낱말을 모두 다시 자르면 토큰이 ⟨toy_more⟩개 늘어 있습니다.
#
# 이제 SmolLM2의 어휘입니다. 실제로 고를 때는 일반 글과 한국어 글을 합쳐, 새 조각을 들인 뒤의 횟수로 셉니다. 아래 그림은 일반 글만 본 것입니다.
# %% [markdown] tags=["lang-en"]
# Pieces and costs are the same. `th`, which was not used, and `ing`, used twice, had gone before, so the cost of `thing` rose from ⟨thing_first⟩ to ⟨thing_last⟩. The costs of the ⟨toy_gone⟩ pieces sum to ⟨toy_cost⟩; with all words cut again, there are ⟨toy_more⟩ tokens more.
#
# Now the vocabulary of SmolLM2. The choice itself counts in general and Korean text together, with the new pieces already in; the figure below looks at general text alone.

# %%
from lib.vocabulary.reassign import unigram_pieces, unigram_scores

unigram = unigrams["SmolLM2"]
pieces, scores = unigram_pieces(unigram), unigram_scores(unigram)
uses = uses_of(pieces, scores, count_words(unigram, general))
idle = int((uses == 0).sum())
many = idle + 3 * (len(pieces) - idle) // 5
cheapest = spare_tokens(pieces, scores, uses, many)
costs = np.cumsum([token.cost for token in cheapest]) / uses.sum()
fig, axes = plt.subplots(figsize=(6.4, 2.8))
axes.plot(np.arange(len(costs)) / len(pieces) * 100, 100 * costs,
          color=COLOURS["tokens"])
axes.axvline(100 * share, color=COLOURS["grey"], ls=":")
axes.set(xlabel="given up, % of the vocabulary",
         ylabel="general text longer, %")
show(fig)

# %% tags=["remove-cell"]
record(idle_share=f"{100 * idle / len(pieces):.0f}")

# %% [markdown] tags=["lang-ko", "caption"]
# SmolLM2의 어휘를 싼 것부터 내놓을 때 일반 글이 길어지는 비율. 점선이 이 장에서 내놓는 양입니다. 어휘의 ⟨idle_share⟩%는 이 일반 글에 한 번도 나오지 않아서, 거기까지는 한 토큰도 늘지 않습니다. 글을 더 모으면 이 몫은 줄어듭니다.
# <!-- alt: 가로축은 내놓은 어휘의 비율, 세로축은 일반 글이 길어지는 비율이다. 청록색 선이 절반을 넘도록 바닥에 붙어 있다가 오른쪽으로 갈수록 가파르게 올라간다. 왼쪽 끝 가까이에 점선 하나가 서 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# How much longer general text becomes as SmolLM2's vocabulary is given up, the cheapest first. The dotted line is how much this chapter gives up. ⟨idle_share⟩% of the vocabulary never occurs in this general text, and up to there not one token is added; with more text that share is smaller.
# <!-- alt: The share of the vocabulary given up runs to the right, the growth of general text upwards. A teal line stays at the bottom for more than half of the way and then rises ever more steeply. A dotted line stands near the left end. -->

# %% [markdown] tags=["lang-ko"]
# <!-- label: reassign-overlap -->
# ## 무엇을 들일까
#
# 자주 나오는 글자열을 차례로 들이면 될 것 같지만, 조각은 서로 겹칩니다. 작은 말뭉치(corpus)로 봅니다. 조각 집합 $S$가 있을 때 낱말 $w$, 곧 프리토큰(pre-token)마다 가장 적은 토큰으로 자르고 나온 횟수 $n_w$를 곱해 더한 것을 $T(S)$라고 합니다.
#
# $$ T(S) = \sum_w n_w \min_{y \in \operatorname{cuts}_S(w)} |y| $$
# %% [markdown] tags=["lang-en"]
# <!-- label: reassign-overlap -->
# ## What to take in
#
# Why not take in the most frequent strings, in turn? Because pieces overlap. A small corpus shows it. With a set $S$ of pieces, let each word $w$ (a pre-token) be cut into the fewest tokens; $T(S)$ is the sum of these over all words, each as often as it occurs, $n_w$ times.
#
# $$ T(S) = \sum_w n_w \min_{y \in \operatorname{cuts}_S(w)} |y| $$

# %%
counts = {"관람객": 9, "관람평": 7, "관람": 4, "영화": 4, "영화관": 4,
          "영화평": 4}


def tokens(*new):
    """T of the small corpus: every letter is a piece as well."""
    flat = dict.fromkeys([*"".join(counts), *new], -1)
    return sum(n * len(best_cut(word, flat)[1])
               for word, n in counts.items())


names = ["관람", "관람객", "관람평"]
pd.DataFrame({name: {
    "alone": tokens() - tokens(name), "with the others":
    tokens(*(o for o in names if o != name)) - tokens(*names),
} for name in names}).T

# %% [markdown] tags=["lang-ko"]
# 표는 줄어드는 토큰 수입니다. ‘관람’은 ‘관람객’, ‘관람평’과 같은 자리를 두고 다투므로, 다른 것이 있으면 값이 떨어집니다. 그래서 조각마다 따로 매긴 값을 더하지 않고, 집합 전체로 $T$를 셉니다.
#
# 후보는 낱말 속에 여러 번 나온 글자열입니다. `greedy`는 후보마다 지금 들이면 줄어드는 토큰을 세어 가장 많이 줄이는 것을 들이고, 낱말을 다시 잘라 또 셉니다.
# %% [markdown] tags=["lang-en"]
# The table counts the tokens saved. 관람 (viewing) competes with 관람객 (viewer) and 관람평 (review) for the same places, so each is worth less where the others are. Nothing is added up piece by piece, therefore; $T$ is counted for the set as a whole.
#
# Candidates are strings that occur several times within words. `greedy` counts for each of them the tokens that it would save now, takes in the best one, cuts the words again and counts anew.

# %%
occurs = Counter()
for word, n in counts.items():
    for i in range(len(word)):
        for j in range(i + 2, len(word) + 1):
            occurs[word[i:j]] += n
offered = [piece for piece, n in occurs.items() if n >= 4]


def greedy(size):
    """Take in the piece that saves most, cut again, and so on."""
    taken, steps = [], []
    for _ in range(size):
        gains = {piece: tokens(*taken) - tokens(*taken, piece)
                 for piece in offered if piece not in taken}
        taken.append(max(gains, key=gains.get))
        steps.append(gains)
    return taken, steps

# %%
taken, gains = greedy(3)
gain_table = pd.DataFrame({"occurrences": occurs, **{
    f"gain {k}": gain for k, gain in enumerate(gains, 1)}})
gain_table.loc[offered].fillna(-1).astype(int).replace(-1, "")

# %% [markdown] tags=["lang-ko"]
# 빈칸은 이미 들인 조각입니다. 처음에는 ‘관람’이 가장 많이 줄이지만, 그다음에는 ‘관람객’과 ‘관람평’이 줄일 것이 절반만 남습니다. 마지막으로 ‘관람객’을 들이고 나면 ‘관람’이 하는 일은 ‘관람평’과 제 낱말에만 남습니다. 그 자리를 ‘관람평’에 주면 더 많이 줄어듭니다. 그래서 들인 것 하나와 들이지 않은 것 하나를 맞바꾸어 봅니다. 후보가 적으므로 세 조각으로 된 집합도 모두 세어 봅니다.
# %% [markdown] tags=["lang-en"]
# A blank is a piece that is in already. At first 관람 saves most; after it, 관람객 and 관람평 have only half left to save. With 관람객 in as the third, 관람 is left with 관람평 and its own word; in its place 관람평 would save more. So pieces inside and outside are exchanged, one against one. With so few candidates all sets of three can be counted as well.

# %%
from itertools import combinations


def exchange(taken):
    """Swap one piece for another while that saves tokens, the best first."""
    while True:
        swaps = [[*(p for p in taken if p != out), come] for out in taken
                 for come in offered if come not in taken]
        best = min(swaps, key=lambda pieces: tokens(*pieces))
        if tokens(*best) >= tokens(*taken):
            return taken
        taken = best


chosen = exchange(taken)
optimum = min(combinations(offered, 3), key=lambda pieces: tokens(*pieces))

# %%
from lib.vocabulary.search import find_candidates, search_pieces

coded = {word.encode(): n for word, n in counts.items()}
known = sorted({letter.encode() for word in counts for letter in word})
found = search_pieces(coded, known, find_candidates(coded, known, 4), 3,
                      seed=seed, bar=False)
sets = {"greedy": taken, "greedy, then exchanged": chosen,
        "best of all sets": optimum,
        "search_pieces of lib": [piece.decode() for piece in found.pieces]}
pd.DataFrame([
    (name, ", ".join(sorted(pieces)), tokens(*pieces),
     tokens(*pieces) - tokens(*optimum)) for name, pieces in sets.items()],
    columns=["way", "pieces", "tokens", "above the best"]).set_index("way")

# %% tags=["remove-cell"]
assert found.tokens == tokens(*sets["search_pieces of lib"])
record(toy_sets=len([*combinations(offered, 3)]), toy_best=tokens(*optimum),
       toy_greedy=tokens(*taken), toy_exchanged=tokens(*chosen),
       toy_lib=found.tokens)

# %% [markdown] tags=["lang-ko"]
# 하나씩 들이면 토큰이 ⟨toy_greedy⟩개, 맞바꾸고 나면 ⟨toy_exchanged⟩개입니다. 집합 ⟨toy_sets⟩개를 모두 세어도 이보다 적어지지 않고, `lib`도 ⟨toy_lib⟩개입니다. 실제 말뭉치에서는 모두 세어 볼 수 없습니다. 가장 좋은 집합을 빠르게 찾는 방법은 알려져 있지 않지만(NP-난해, [참고 문헌](#references-tokens)), 조각 하나를 넣거나 뺐을 때의 변화는 그 조각이 든 낱말만 다시 자르면 정확히 알 수 있습니다. 그래서 `lib`는 반대쪽 끝에서 시작합니다.
#
# 1. 후보를 모두 넣습니다. 후보는 여러 번 나온 글자열과, 드문 글자를 싸게 적을 글자의 앞부분 바이트입니다.
# 2. 빠져도 토큰이 가장 적게 늘어나는 조각을 몇 퍼센트씩 뺍니다. 뺄 때마다 다시 셉니다.
# 3. 남은 것과 빠진 것을 하나씩 맞바꿉니다. 한 번 옮긴 것은 잠시 묶어 두어, 제자리를 맴돌지 않게 합니다.
# %% [markdown] tags=["lang-en"]
# Taken in one by one, the pieces leave ⟨toy_greedy⟩ tokens; after the exchange it is ⟨toy_exchanged⟩. None of the ⟨toy_sets⟩ sets leaves fewer, and `lib` comes to ⟨toy_lib⟩ as well. In a real corpus nobody can count them all. No quick way to the best set is known (the problem is NP-hard, see the [references](#references-tokens)), but what changes when one piece comes or goes is known exactly: the words in which it stands are cut again. So `lib` starts from the other end.
#
# 1. All candidates are in: strings that occur several times, and the first bytes of characters, which spell rare ones at a lower price.
# 2. The pieces whose absence costs the fewest tokens go, a few per cent at a time, and all is counted again.
# 3. Pieces inside and outside are exchanged, one against one. What has been moved is held for a while, so that the search does not run in circles.

# %%
from lib.vocabulary.select import select_pieces

selections = {}
for name, unigram in unigrams.items():
    selections[name] = select_pieces(
        unigram, count_words(unigram, train), count_words(unigram, general),
        share=share, least=cfg.least, seed=seed, bar=False)
pd.DataFrame({name: {
    "candidates": selection.candidates,
    "taken in": len(selection.rules),
    "bytes that were missing": len(selection.missing),
    "given up although used":
    sum(token.uses > 0 for token in selection.given_up),
} for name, selection in selections.items()}).map("{:,}".format)

# %% [markdown] tags=["lang-ko"]
# SmolLM2의 어휘에는 UTF-8이 쓰는 바이트 가운데 ⟨missing⟩개가 없어서, 그 바이트가 든 글자는 아무 말 없이 사라집니다. 새 조각의 첫 자리는 이 바이트들이 차지합니다.
# %% [markdown] tags=["lang-en"]
# SmolLM2's vocabulary lacks ⟨missing⟩ of the bytes that UTF-8 uses, and characters with such a byte vanish without a word. These bytes are the first of the new pieces.

# %% [markdown] tags=["lang-ko"]
# <!-- label: reassign-baselines -->
# ### 병합을 이어서 배우는 것과 견주기
#
# 넘어서야 할 기준은 둘입니다. 하나는 같은 글에서 BPE의 병합을 같은 수만큼 **이어서** 배우는 것이고, 다른 하나는 병합을 더 많이(SmolLM2는 ⟨greedy_merges⟩개) 배운 뒤 가장 많이 쓰이는 것을 남기고 가장 적은 토큰으로 자르는 것입니다. 둘 다 내놓는 것 없이 어휘를 늘리기만 하므로 기준에 유리한 비교입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: reassign-baselines -->
# ### Compared with learning more merges
#
# There are two baselines to beat. One is to **go on** learning as many merges of BPE from the same text. The other is to learn more merges (⟨greedy_merges⟩ for SmolLM2), keep those used most, and cut into the fewest tokens. Both only add to the vocabulary and give nothing up, so the comparison favours them.

# %%
from lib.vocabulary.baselines import continued_bpe, continued_merges, tokens_of
from lib.vocabulary.reassign import remap_tokenizer
from lib.vocabulary.search import fewest_tokens, most_used

remapped, merges, results = {}, {}, {}
for name, teacher in teachers.items():
    new_rules, pieces = selections[name].rules, piece_bytes(teacher)
    seen, new = count_words(teacher, train), count_words(teacher, held)
    before, size = tokens_of(teacher, new), len(new_rules)
    many = 6000 * size // 2500
    merges[name] = continued_merges(teacher, seen, many)
    more = continued_bpe(teacher, merges[name][:size])
    kept = most_used(seen, pieces, [a + b for a, b in merges[name]], size)
    remapped[name] = remap_tokenizer(unigrams[name], new_rules)
    after = [tokens_of(more, new), fewest_tokens(new, [*pieces, *kept]),
             lengths(remapped[name], held).sum()]
    results[name] = [100 * (1 - count / before) for count in after]

# %%
ways = ["merges continued", "most used merges", "this chapter's choice"]
pd.DataFrame(results, index=ways).round(2)

# %% tags=["remove-cell"]
gpt2, smol = results["GPT-2"], results["SmolLM2"]
record(missing=len(selections["SmolLM2"].missing),
       greedy_merges=len(merges["SmolLM2"]),
       smol_bpe=f"{smol[0]:.2f}", smol_ours=f"{smol[2]:.2f}",
       gpt_bpe=f"{gpt2[0]:.2f}", gpt_ours=f"{gpt2[2]:.2f}",
       smol_more=f"{smol[2] - smol[0]:.2f}",
       gpt_more=f"{gpt2[2] - gpt2[0]:.2f}",
       smol_new=len(selections["SmolLM2"].rules),
       gpt_new=len(selections["GPT-2"].rules))

# %% [markdown] tags=["lang-ko"]
# 떼어 둔 ⟨held⟩편에서 본래의 BPE보다 줄어든 토큰의 비율(%)입니다. 이 장의 선택은 병합을 이어서 배우는 것보다 SmolLM2에서 ⟨smol_more⟩%포인트, GPT-2에서 ⟨gpt_more⟩%포인트 더 줄입니다. 번호를 더 쓸 수 있다면 차이는 어떻게 될까요? 아래 그림은 이 장의 양에서 시작해, 들이는 조각을 늘려 가며 고르는 데 쓴 글에서 잰 것입니다.
# %% [markdown] tags=["lang-en"]
# Per cent of the tokens saved on the ⟨held⟩ held-out documents, against the original BPE. This chapter's choice saves ⟨smol_more⟩ percentage points more than continued merges for SmolLM2, and ⟨gpt_more⟩ more for GPT-2. What if more ids could be used? The picture below starts from as many as this chapter takes and goes on, measured on the text chosen from.

# %% tags=["hide-input"]
name, teacher = "SmolLM2", teachers["SmolLM2"]
seen = count_words(teacher, train)
before, size = tokens_of(teacher, seen), len(selections[name].rules)
many = len(merges[name])
sizes = [size, (2 * size + many) // 3, (size + 2 * many) // 3, many]
bpe = [tokens_of(continued_bpe(teacher, merges[name][:n]), seen)
       for n in sizes]
ours = pd.Series(dict(selections[name].found.history))
ours = ours[ours.index <= 1.02 * many]
fig, axes = plt.subplots(figsize=(6.4, 3.4))
axes.plot(ours.index, 100 * (1 - ours / before), "o-", ms=4,
          color=COLOURS["tokens"], label="chosen together")
axes.plot(sizes, 100 * (1 - np.array(bpe) / before), "o--", ms=4,
          color=COLOURS["gravity"], label="merges continued")
axes.set(xlabel="new pieces", ylabel="tokens saved, %")
axes.legend(loc="lower right")
show(fig)

# %% [markdown] tags=["lang-ko", "caption"]
# SmolLM2의 어휘에 새 조각을 들일 때, 고르는 데 쓴 한국어 글에서 줄어드는 토큰. 왼쪽 끝이 번호의 ⟨share⟩%입니다.
# <!-- alt: 새 조각의 수가 늘수록 줄어든 토큰의 비율이 천천히 오르는 두 곡선. 함께 고른 조각의 청록색 선이 병합을 이어서 배운 갈색 점선보다 처음부터 끝까지 위에 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Tokens saved on the Korean text chosen from, as SmolLM2's vocabulary takes in new pieces. The left end is ⟨share⟩% of the ids.
# <!-- alt: Two curves of tokens saved that rise slowly with the number of new pieces. The teal line of pieces chosen together lies above the brown dashed line of continued merges from end to end. -->

# %% [markdown] tags=["lang-ko"]
# <!-- label: reassign-phrases -->
# ## 낱말보다 긴 조각: 어구
#
# 여기까지 조각은 낱말 안에 있었습니다. 토크나이저가 글을 먼저 낱말로 나누기 때문입니다. 그런데 영어 낱말은 이미 대부분 한 토큰이라 낱말 안에서는 더 줄일 것이 적고, 자주 붙어 다니는 낱말은 여전히 따로 셉니다. AdaptiVocab([참고 문헌](#references-tokens))은 글을 다 자른 다음 이웃한 토큰을 이어 붙여 이것을 줄입니다.
#
# 재할당에서는 낱말을 나누는 정규식 맨 앞에 어구를 적습니다. 낱말이 시작되는 자리마다 어구부터 찾고, 맞으면 그 낱말들이 한 덩어리로 나옵니다. 어구 뒤에는 낱말이 이어지지 않는다는 조건이 붙으므로 어구가 낱말을 자르는 일은 없습니다. 어구가 없는 글은 전과 똑같이 나뉘고, 있는 글은 짧아지기만 합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: reassign-phrases -->
# ## Pieces longer than a word: phrases
#
# So far a piece lay within a word, because a tokenizer cuts text into words first. But most English words are one token already, which leaves little to save within them, while words that always come together are still counted apart. AdaptiVocab ([references](#references-tokens)) saves on these by joining neighbouring tokens once the text is cut.
#
# Reassignment writes phrases in front of the expression that cuts words. Wherever a word begins, phrases are tried first, and where one fits its words come out as one. What may follow is a part of each phrase, so none ever ends within a word. Text without a phrase is cut as before; text with one can only become shorter.

# %%
from lib.vocabulary.phrases import joined
from lib.vocabulary.reassign import words_of

plain = unigrams["SmolLM2"]
together = joined(plain, [b" of the", b", and"])
line = "the end of the day, and one of them, andante"
pd.DataFrame({"words": {
    "as before": "|".join(words_of(plain)(line)),
    "with two phrases": "|".join(words_of(together)(line))}})

# %% [markdown] tags=["lang-ko"]
# `select_pieces`에 글을 `texts`로 함께 주면 어구도 후보가 됩니다. 둘 이상의 문서에 나온 낱말의 줄 가운데 많이 나온 것들이 낱말 안의 조각들과 같은 자리를 두고 겨룹니다. 세는 방법은 그대로입니다. 어구로 이어질 수 있는 낱말들을 낱말 하나처럼 놓고 가장 적은 토큰으로 자릅니다.
#
# <!-- label: reassign-others -->
# ## 다른 방법들과 견주기
#
# `.venv/bin/python -m benchmarks.selection`은 네 토크나이저와 여섯 분야에서 다섯 방법을 한 번에 견줍니다. 같은 글에서 고르고, 같은 수의 번호를 쓰고, 고르는 데 쓰지 않은 같은 문서에서 `tokenizers`로 셉니다.
#
# - **이 장, 어구까지**와 **이 장, 낱말 안에서만**.
# - **병합 잇기, 잎 내놓기**: 다른 조각의 재료가 아닌 조각(잎)을 덜 쓰인 것부터 내놓고 병합을 이어서 배웁니다(Purason 외).
# - **AdaptiVocab**: 안 쓰인 토큰을 내놓고, 이웃한 토큰 둘이나 셋을 횟수와 길이를 곱한 점수로 골라 잇습니다(Nakash 외).
# - **길어지지 않음**: 병합을 맨 뒤에만 더해, 어떤 글도 길어지지 않는다고 보장합니다. 내놓는 것이 없어서 어휘가 그만큼 커집니다(Herold 외).
# %% [markdown] tags=["lang-en"]
# With the documents given as `texts`, `select_pieces` takes phrases for candidates as well: frequent runs of words, found in two documents or more, compete with pieces within words for the same ids. The counting is the same: words that a phrase may join are laid out like one word and cut into the fewest tokens.
#
# <!-- label: reassign-others -->
# ## Beside other ways
#
# `.venv/bin/python -m benchmarks.selection` compares five ways on four tokenizers and six domains, in one run. All choose from the same text, use as many ids, and are counted by `tokenizers` on the same documents, from which nothing was chosen.
#
# - **This chapter, with phrases**, and **this chapter, within words**.
# - **Merges continued, leaves given up**: pieces of which no other is made (leaves) go, the least used first, and merging goes on (Purason et al.).
# - **AdaptiVocab**: idle tokens go, and two or three neighbouring tokens become one, chosen by count times length (Nakash et al.).
# - **Never longer**: merges are added behind all others, which guarantees that no text becomes longer. Nothing is given up, so the vocabulary grows (Herold et al.).

# %% tags=["hide-input"]
path = data.ROOT / "benchmarks/results/selection.jsonl"
measured = pd.read_json(path, lines=True)
columns = {"ours": "with phrases", "ours, single words": "within words",
           "continued BPE, leaves pruned": "merges, leaves",
           "AdaptiVocab": "AdaptiVocab", "never longer": "never longer"}
names = {"gpt2": "GPT-2", "smollm2": "SmolLM2", "qwen3": "Qwen3",
         "llama3_1": "Llama 3.1", "korean": "Korean reviews",
         "shakespeare": "plays", "python": "Python code",
         "wikipedia_en": "Wikipedia, English",
         "wikipedia_es": "Wikipedia, Spanish",
         "wikipedia_fr": "Wikipedia, French"}
saved = measured.pivot_table(values="saved", columns="way", sort=False,
                             index=["budget", "teacher", "domain"])
saved = saved[[*columns]].dropna().rename(columns=columns)
first = saved.loc[1].rename(index=names)
first.index.names = ["tokenizer", "domain"]
first.round(2)

# %% tags=["remove-cell"]
rivals = saved[["merges, leaves", "AdaptiVocab", "never longer"]]
ahead = saved["with phrases"] >= rivals.max(axis=1)
ways = measured.set_index(["budget", "teacher", "domain", "way"]).longer
compared = [ways.xs(way, level="way").reindex(saved.index).sum()
            for way in ("ours", "continued BPE, leaves pruned",
                        "AdaptiVocab", "never longer")]
korean = measured[(measured.budget == 1) & (measured.domain == "korean")
                  & (measured.way == "ours")].set_index("teacher")
behind = rivals[~ahead].max(axis=1) - saved["with phrases"][~ahead]
within = saved["within words"] >= rivals[["merges, leaves",
                                          "never longer"]].max(axis=1)
record(qwen_first=f"{korean.saved['qwen3']:.1f}",
       gpt_first=f"{korean.saved['gpt2']:.1f}",
       measured_cells=len(saved), measured_ahead=int(ahead.sum()),
       measured_within=int(within.sum()),
       measured_behind=f"{behind.max() if len(behind) else 0:.2f}",
       longer_ours=int(compared[0]), longer_leaves=int(compared[1]),
       longer_adapt=int(compared[2]), longer_never=int(compared[3]),
       measured_mb=measured["size"].max(),
       budgets=", ".join(f"{b:g}" for b in sorted(saved.reset_index()
                                                  .budget.unique())))

# %% [markdown] tags=["lang-ko"]
# 떼어 둔 글에서 줄어든 토큰의 비율(%)이고, 번호의 1%를 썼습니다. 분야마다 글은 ⟨measured_mb⟩ MB까지입니다. 기록이 다섯 방법 모두 있는 칸은 번호의 ⟨budgets⟩%를 통틀어 ⟨measured_cells⟩개이고, 그 가운데 ⟨measured_ahead⟩개에서 어구까지 쓰는 이 장의 선택이 다른 세 방법보다 많이 줄이거나 같습니다. 뒤진 칸이 있다면 차이는 가장 클 때 ⟨measured_behind⟩%포인트입니다. 낱말 안에서만 골라도 낱말 안에서 일하는 두 방법보다 적지 않은 칸은 ⟨measured_within⟩개입니다. 길어진 문서는 모두 합해 이 장 ⟨longer_ours⟩편, 병합 잇기 ⟨longer_leaves⟩편, AdaptiVocab ⟨longer_adapt⟩편, 길어지지 않음 ⟨longer_never⟩편입니다.
#
# GPT-2와 Qwen3를 나란히 보면, 한국어에서 얻는 것이 토크나이저마다 얼마나 다른지 보입니다. 어구가 든 토큰을 모델이 얼마나 잘 쓰는지는 여기서 재지 않았습니다.
# %% [markdown] tags=["lang-en"]
# Per cent of the tokens saved on text kept aside, with 1% of the ids and up to ⟨measured_mb⟩ MB of text a domain. With all five ways on record there are ⟨measured_cells⟩ cells, over ⟨budgets⟩% of the ids. In ⟨measured_ahead⟩ of them this chapter's choice with phrases saves as much as the best of the other three or more; where it is behind, it is by ⟨measured_behind⟩ percentage points at most. Kept within words, it saves no less than the two ways that work within words in ⟨measured_within⟩ cells. Documents that became longer, all together: this chapter ⟨longer_ours⟩, continued merges ⟨longer_leaves⟩, AdaptiVocab ⟨longer_adapt⟩, never longer ⟨longer_never⟩.
#
# GPT-2 beside Qwen3 shows how much less a tokenizer of today has to gain on Korean. How well a model uses tokens that are phrases was not measured here.

# %% [markdown] tags=["lang-ko"]
# <!-- label: reassign-rules -->
# ## 손으로 고치는 규칙
#
# 고른 것은 `remap_rules.yaml`에 한 줄에 하나씩 적힙니다. 번호, 그 번호가 뜻하던 조각, 앞으로 뜻할 조각입니다. 온전한 글자가 아닌 조각에는 `!bytes`가 붙습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: reassign-rules -->
# ## Rules to edit by hand
#
# What was chosen is written into `remap_rules.yaml`, one rule a line: the id, the piece it has meant, the piece it is to mean. A piece that is no whole text has `!bytes` before it.

# %%
from lib.vocabulary.reassign import write_rules

unigram, rules = unigrams["SmolLM2"], selections["SmolLM2"].rules
folder = Path(tempfile.mkdtemp())
write_rules(rules, folder / "remap_rules.yaml")
text = (folder / "remap_rules.yaml").read_text("utf-8")
print("\n".join(text.splitlines()[:20]))

# %% [markdown] tags=["lang-ko"]
# 손으로 고치다 보면 틀립니다. 규칙은 쓰이기 전에 모두 검사하고, 하나라도 틀리면 몇째 줄이 왜 틀렸고 어떻게 할지를 한 문장으로 말한 뒤 아무것도 쓰지 않습니다. 틀린 규칙을 여러 가지로 써 봅니다.
# %% [markdown] tags=["lang-en"]
# Editing by hand goes wrong at times. All rules are checked before any is used; if one is wrong, one sentence tells the line, what is wrong and what to do, and nothing is written. Here are rules that are wrong in several ways.

# %%
from lib.vocabulary.reassign import RuleError, read_rules, shown_piece

one, two = rules[0].id, rules[1]
good = f"- {{id: {two.id}, old: {shown_piece(two.old)}, new: \"나무꾼\"}}\n"
broken = {
    "unknown token": f'- {{id: {one}, old: "qqq", new: "꾼"}}',
    "special token": '- {id: 0, old: "<|endoftext|>", new: "꾼"}',
    "a single byte":
    f'- {{id: {unigram.token_to_id("a")}, old: "a", new: "꾼"}}',
    "a piece that exists": good.replace("나무꾼", "the"),
    "the same piece twice": good + good,
    "empty": "",
}

# %%
file, sentences = folder / "broken.yaml", {}
for kind, content in broken.items():
    file.write_text(content, encoding="utf-8")
    try:
        read_rules(file, unigram)
    except RuleError as error:
        sentences[kind] = str(error)
pd.set_option("display.max_colwidth", None)  # sentences are shown whole
pd.DataFrame({"the sentence": sentences})

# %% [markdown] tags=["lang-ko"]
# <!-- label: reassign-scores -->
# ## 새 조각의 점수
#
# 새 조각은 거의 같은 점수 $c$를 받습니다. 옛 조각의 점수를 $s$라 하면, 양 끝의 몇을 빼고는 새 조각 하나가 옛 조각 둘을 이기고($c > 2\max s$) 옛 조각 하나가 새 조각 둘을 이기는($2c < \min s$) 값이라, 대개 토큰이 적은 쪽이 이깁니다. $c$는 두 경계의 한가운데이고, 먼저 고른 조각이 조금 앞섭니다.
#
# $$ s(\text{new}_k) = c - \tfrac{1}{16}\log_2(k + 1), \qquad c = \max s + \tfrac14 \min s, \qquad k = 0, 1, \dots $$
#
# 제 부분들에게 지는 조각은 그보다 조금 위로 올립니다. 남은 조각의 점수는 건드리지 않습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: reassign-scores -->
# ## Scores for new pieces
#
# New pieces get about the same score $c$. With $s$ for the scores of old pieces, a few extremes apart, one new piece beats two old ones ($c > 2\max s$) and one old piece beats two new ones ($2c < \min s$): as a rule the cut with fewer tokens wins. $c$ is the middle between the two bounds, and pieces chosen earlier are slightly ahead.
#
# $$ s(\text{new}_k) = c - \tfrac{1}{16}\log_2(k + 1), \qquad c = \max s + \tfrac14 \min s, \qquad k = 0, 1, \dots $$
#
# A piece that its own parts would beat is raised a little above them. The scores of all others stay as they are.

# %%
STEP = 2.0**-10  # every score is a whole number of these


def new_scores(new, old):
    """The scores of old and new pieces, the new ones best first."""
    low, high = np.quantile([*old.values()], [0.001, 0.999])
    scores = dict(old)
    for k, piece in enumerate(new):
        score = high + low / 4 - np.log2(k + 1) / 16
        scores[piece] = round(score / STEP) * STEP
    for piece in sorted(new, key=len):  # parts come first
        if len(piece) > 1:
            parts = best_cut(piece, scores, piece)[0]
            scores[piece] = max(scores[piece], parts + 4 * STEP)
    return scores

# %%
letters = dict.fromkeys("".join(counts), -8.0)
cheap = [*gone][:len(chosen)]  # the cheapest make room
kept = {p: score for p, score in (toy | letters).items() if p not in cheap}
small = new_scores(chosen, kept)
pd.DataFrame([
    (word, *("·".join(best_cut(word, scores)[1])
             for scores in (toy | letters, small)))
    for word in [*counts, "there", "her"]],
    columns=["word", "before", "after"]).set_index("word")

# %% [markdown] tags=["lang-ko"]
# 작은 유니그램은 크기가 그대로인데 한국어가 짧아졌습니다. `there`는 전과 같고, 내놓은 조각을 쓰던 `her`는 한 토큰 길어졌습니다. 점수를 `lib`의 것과 나란히 놓습니다. 작은 유니그램에서 한 번, SmolLM2의 규칙 전체로 한 번입니다. 이어서 우리 점수와 `best_cut`으로 떼어 둔 글 몇 편을 잘라, 다시 만든 토크나이저가 내는 번호와 견줍니다.
# %% [markdown] tags=["lang-en"]
# The small Unigram has its old size, and Korean has become shorter. `there` is as before; `her`, which used a piece given up, takes one token more. Now the scores beside those of `lib`, once in the small Unigram and once with all rules of SmolLM2. After that a few held-out texts are cut with our scores and `best_cut` and laid beside the ids of the tokenizer that was made.

# %%
from lib.vocabulary.reassign import reassigned_scores

unigram, after = unigrams["SmolLM2"], remapped["SmolLM2"]
rows = reassigned_scores(
    [piece.encode() for piece in small],
    np.array([*kept.values(), *[0.0] * len(chosen)]),
    range(len(kept), len(small)))
gaps = {"small": np.abs(rows - [*small.values()]).max()}

taken = {rule.id for rule in rules}
old = {piece: score for i, (piece, score) in enumerate(zip(
    unigram_pieces(unigram), unigram_scores(unigram), strict=True))
    if piece and i not in taken}
ours = new_scores([rule.new for rule in rules], old)
theirs = dict(zip(unigram_pieces(after), unigram_scores(after), strict=True))
gaps["SmolLM2"] = max(abs(ours[p] - theirs[p]) for p in ours)

# %%
from lib.tokens.distill import to_bytes

ids = {piece: i for i, piece in enumerate(unigram_pieces(after))}


def encoded(text):
    """The ids of a text, every pre-token cut by our scores."""
    words = after.pre_tokenizer.pre_tokenize_str(text)
    return [ids[piece] for word, _ in words
            for piece in best_cut(to_bytes(word), ours)[1]]


ours_and_its = [(encoded(text), after.encode(text).ids)
                for text in held[:50]]
pd.DataFrame({"SmolLM2": {
    "new scores": len(rules),
    "largest difference of scores": gaps["SmolLM2"],
    "documents cut": len(ours_and_its),
    "same ids": sum(a == b for a, b in ours_and_its)}}).map("{:,g}".format)

# %% tags=["remove-cell"]
record(gap_small=gaps["small"], gap_smol=gaps["SmolLM2"],
       cut_documents=len(ours_and_its),
       cut_same=sum(a == b for a, b in ours_and_its))

# %% [markdown] tags=["lang-ko"]
# 점수의 최대 차이는 작은 유니그램에서 ⟨gap_small⟩, SmolLM2에서 ⟨gap_smol⟩입니다. 글 ⟨cut_documents⟩편 가운데 ⟨cut_same⟩편의 번호가 모두 같습니다. 재할당한 유니그램에는 점수와 비터비 말고 다른 것이 없습니다.
# %% [markdown] tags=["lang-en"]
# The largest difference of scores is ⟨gap_small⟩ in the small Unigram and ⟨gap_smol⟩ in SmolLM2. Of ⟨cut_documents⟩ texts, ⟨cut_same⟩ have the same ids throughout. There is nothing in a reassigned Unigram but scores and Viterbi.

# %% [markdown] tags=["lang-ko"]
# <!-- label: reassign-same -->
# ## 무엇이 그대로인가
#
# 남은 조각의 점수가 그대로이므로 다음이 성립합니다.
#
# > 본래 분할에 내놓은 번호가 없고, 바꾼 토크나이저가 나눈 프리토큰 안에 새 조각이 들어 있지 않은 글은, 번호 하나 다르지 않게 전과 같이 잘립니다.
#
# 증명은 짧습니다. [15장](15_tokenizer_distillation.ipynb)의 격자(lattice)로 봅니다. 글자와 글자 사이가 마디, 조각이 호이고, 자르기는 왼쪽 끝에서 오른쪽 끝까지 가는 경로입니다. 그런 프리토큰의 격자에는 새 호가 없고, 사라진 호는 최적 경로에 있던 것이 아닙니다. 비터비는 마디마다 합이 가장 큰 호 가운데 첫째를 남깁니다. 최적 경로의 마디에서 그 호는 같은 합으로 아직 있고, 앞의 호는 합이 더 낮았으며, 뒤의 호는 더 높지 않았습니다. 호를 빼서 합이 커지는 일은 없으니 남는 호도 같습니다. 왼쪽 끝에서부터 이를 되풀이하면 경로 전체가 같습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: reassign-same -->
# ## What stays
#
# The scores of all other pieces are as they were, and so this holds:
#
# > Text whose old cut has no given-up id, and in whose pre-tokens, as the changed tokenizer makes them, no new piece stands, is cut as before, the same in every id.
#
# The proof is short. Take the lattice of [chapter 15](15_tokenizer_distillation.ipynb): a node between any two letters, an arc for each piece, and a cut is a path from the left end to the right. The lattice of such a pre-token has no new arc, and the arcs that are gone were not on the best path. Viterbi keeps, at each node, the first of the arcs with the highest sum. At a node of the best path that arc is still there with the same sum; those before it had lower sums, those after it no higher ones. Taking arcs away raises no sum, so the same arc is kept; from the left end on, the whole path is the same.

# %%
checks = {}
for name, after in remapped.items():
    before, taken = unigrams[name], {r.id for r in selections[name].rules}
    same = [i for i in range(before.get_vocab_size()) if i not in taken]
    kept = sum(before.id_to_token(i) == after.id_to_token(i) for i in same)
    cut = after.encode_batch(held)
    longer = lengths(after, held) > lengths(teachers[name], held)
    new = set(after.get_vocab()) - set(before.get_vocab())
    checks[name] = {
        "vocabulary": after.get_vocab_size(),
        "reassigned": len(new), "others": len(same),
        "of these as before": kept,
        "held-out documents": len(held),
        "that became longer": int(longer.sum()),
        "that decode to themselves": sum(
            after.decode(c.ids) == t for c, t in zip(cut, held, strict=True)),
    }
pd.DataFrame(checks).map("{:,}".format)

# %% tags=["remove-cell"]
record(longer=sum(column["that became longer"] for column in checks.values()))

# %% [markdown] tags=["lang-ko"]
# 정리도 글로 확인합니다. 일반 글의 줄 가운데 조건에 맞는 것을 골라 앞뒤의 번호를 견줍니다. 되돌리기는 유니코드 전체에서 무작위로 뽑은 글자로도 봅니다.
# %% [markdown] tags=["lang-en"]
# The theorem is checked on text as well: of the lines of the general text, those that meet its condition are encoded before and after. Decoding is tried on characters drawn at random from all of Unicode, too.

# %%
from lib.tokens.distill import to_chars

before, after = unigrams["SmolLM2"], remapped["SmolLM2"]
news, taken = {to_chars(r.new) for r in rules}, {r.id for r in rules}
sizes_of_new = sorted({len(new) for new in news})


def has_new(line):
    """Whether a new piece stands in a pre-token of the line."""
    words = after.pre_tokenizer.pre_tokenize_str(line)
    return any(word[i:i + n] in news for word, _ in words
               for n in sizes_of_new for i in range(len(word) - n + 1))


some = [line for text in general[:150] for line in text.splitlines()[:20]]


# %%
old = [e.ids for e in before.encode_batch(some)]
free = [k for k, line in enumerate(some)
        if not taken & set(old[k]) and not has_new(line)]
now = after.encode_batch([some[k] for k in free])
rng = np.random.default_rng(seed)
points = rng.integers(0, 0x110000, 5000)
wild = [chr(p) for p in points if not 0xD800 <= p < 0xE000]

# %%
same = sum(e.ids == old[k] for k, e in zip(free, now, strict=True))
back = [after.decode(e.ids) for e in after.encode_batch(wild)] == wild
pd.DataFrame({"lines": {
    "looked at": f"{len(some):,}",
    "condition met": f"{len(free):,}",
    "same ids": f"{same:,}",
    "random characters come back": "✓" if back else "✗"}})

# %% tags=["remove-cell"]
record(free=len(free), same=same)

# %% [markdown] tags=["lang-ko"]
# <!-- label: reassign-strips -->
# ## 글 여섯 편, 앞과 뒤
#
# 떼어 둔 글 여섯 편을 SmolLM2로 자른 모습입니다. 칸 하나가 토큰 하나이고, 너비는 바이트 수입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: reassign-strips -->
# ## Six texts, before and after
#
# Six held-out documents, cut by SmolLM2. Each box is a token, as wide as its bytes are many.

# %% tags=["hide-input"]
def strip(axes, y, tokenizer, text, colour):
    """One text as a row of boxes; reassigned ids are filled."""
    cut, x = tokenizer.encode(text), 0
    byte_of = {r.id: r.new for r in rules} if tokenizer is after else {}
    for i in cut.ids:
        width = len(byte_of.get(i, old_pieces[i]))
        new = i in byte_of
        axes.barh(y, width, 0.36, x, color=colour if new else "none",
                  edgecolor=PAPER if new else COLOURS["grey"], lw=0.8)
        x += width


old_pieces = unigram_pieces(before)
shorts = sorted(held, key=lambda t: abs(len(t.encode()) - 65))[:6]
fig, axes = plt.subplots(figsize=(6.6, 3.6))
for n, line in enumerate(shorts):
    strip(axes, -n + 0.2, before, line, COLOURS["grey"])
    strip(axes, -n - 0.2, after, line, COLOURS["tokens"])
axes.set(yticks=[], xlim=(0, None), xlabel="bytes", ylabel="documents")
show(fig)

# %% [markdown] tags=["lang-ko", "caption"]
# 문서마다 윗줄이 전, 아랫줄이 후입니다. 색칠한 칸이 번호를 넘겨받은 조각입니다.
# <!-- alt: 문서 여섯 편이 위아래 두 줄씩 있다. 윗줄은 한두 바이트 너비의 빈 칸이 촘촘하고, 아랫줄은 너비가 서너 배인 청록색 칸이 드문드문 이어진다. -->
# %% [markdown] tags=["lang-en", "caption"]
# For each document the upper row is before, the lower after. Filled boxes are pieces that took over an id.
# <!-- alt: Six documents with two rows each. The upper rows are dense with empty boxes of a byte or two; the lower ones are made of teal boxes several times as wide. -->

# %% [markdown] tags=["lang-ko"]
# <!-- label: reassign-given -->
# ## 무엇을 내놓았는가
#
# 공짜는 아닙니다. 내놓은 토큰을 쓰는 글은 길어집니다. 내놓은 것 가운데 글자가 가장 많은 조각들이 이제 몇 토큰인지, 그 번호에 무엇을 들였는지 봅니다. 글을 잃지는 않습니다. 길어질 뿐입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: reassign-given -->
# ## What was given up
#
# It is not free: text that uses what was given up becomes longer. Here are the longest of the pieces given up, the tokens they take now, and what came in with their ids. No text is lost; it takes more tokens.

# %%
letters_only = [r for r in rules if r.old.decode(errors="replace")
                .strip().isalpha()]
longest = sorted(letters_only, key=lambda r: -len(r.old))[:10]
pd.DataFrame([{
    "id": r.id, "given up": shown_piece(r.old),
    "now": " · ".join(after.decode([i]) for i in
                           after.encode(r.old.decode()).ids),
    "taken in": shown_piece(r.new)} for r in longest]
).set_index("id")

# %% [markdown] tags=["lang-ko"]
# <!-- label: reassign-bench -->
# ### 여러분의 글로
#
# 재할당한 GPT-2가 아래에 들어 있습니다. 글을 적으면 본래의 토큰과 재할당한 뒤의 토큰이 나란히 서고, 얼마나 줄었는지가 보입니다. 뜻이 바뀐 번호는 채워져 있습니다. 하나를 고르면 그 번호가 전에 무엇이었는지 나옵니다. 내놓은 조각이 든 글은 길어집니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: reassign-bench -->
# ### Your own text
#
# GPT-2, reassigned, is in the box below. Write a text: its tokens before and after stand side by side, with what is saved. Ids with a new meaning are filled; choose a word to see what they meant before. Text that uses what was given up becomes longer.

# %% tags=["remove-cell"]
from lib.page.live import alive, export
from lib.tokens.bench import reassigned_ids, unigram_parts

was, now_is = unigrams["GPT-2"], remapped["GPT-2"]
export("gpt2_reassigned", changes=reassigned_ids(was, now_is),
       **unigram_parts(was, cuts_of["GPT-2"]))

# %% tags=["hide-input"]
def boxes(axes, y, ids, pieces, new, colour):
    """One text as a row of boxes; ids with a new meaning are filled."""
    x = 0
    for i in ids:
        axes.barh(y, len(pieces[i]), 0.5, x, edgecolor=COLOURS["grey"],
                  color=colour if i in new else "none", lw=0.8)
        x += len(pieces[i])


gpt2_rules = selections["GPT-2"].rules
new_ids = {r.id for r in gpt2_rules}
line = shorts[0]
cuts_now = {"before": teachers["GPT-2"].encode(line).ids,
            "after": now_is.encode(line).ids}
words_given = [r.old.decode(errors="replace") for r in gpt2_rules]
given = max((w for w in words_given if w.strip().isalpha()), key=len)

# %% tags=["hide-input"]
fig, axes = plt.subplots(figsize=(6.6, 1.5))
boxes(axes, 1, cuts_now["before"], unigram_pieces(was), {}, "none")
boxes(axes, 0, cuts_now["after"], unigram_pieces(now_is), new_ids,
      COLOURS["tokens"])
axes.set(yticks=[1, 0], xlim=(0, None), xlabel="bytes")
axes.set_yticklabels(cuts_now)
alive(fig, "tokenizer", ["14.gpt2_merges", "gpt2_reassigned"], asked=True,
      bench="reassigned", texts=shorts[:2], given=given)
record(bench_before=len(cuts_now["before"]),
       bench_after=len(cuts_now["after"]))

# %% [markdown] tags=["lang-ko", "caption"]
# 떼어 둔 글 하나를 GPT-2로 자르면 ⟨bench_before⟩토큰, 재할당한 뒤에는 ⟨bench_after⟩토큰입니다. 채워진 상자는 번호의 뜻이 바뀐 조각입니다.
# <!-- alt: 상자가 두 줄로 늘어서 있다. 윗줄은 좁고 빈 상자가 빽빽하고, 아랫줄은 몇 배 넓은 청록색 상자로 되어 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# One held-out text takes ⟨bench_before⟩ tokens in GPT-2 and ⟨bench_after⟩ after the reassignment. Filled boxes are pieces that took over an id.
# <!-- alt: Two rows of boxes. The upper row is dense with narrow empty boxes, the lower one is made of teal boxes several times as wide. -->

# %% [markdown] tags=["lang-ko"]
# <!-- label: reassign-export -->
# ## 남의 코드만으로 쓰기: 병합 목록
#
# 재할당한 토크나이저는 `tokenizer.json` 하나이고, `transformers`와 브라우저의 `@huggingface/tokenizers`가 그대로 읽습니다. llama.cpp는 유니그램에 낱말을 나누는 단계와 규칙을 두지 못합니다. 그래서 같은 번호를 쓰는 **병합 목록**(merge list)도 만듭니다. 보통의 BPE이므로 어디서나 읽습니다.
#
# 내놓은 조각이 든 병합을 빼고, 새 조각에서 끝나는 병합을 더합니다. 병합은 토큰 둘을 붙이므로, 앞선 병합이 새 조각을 셋 이상으로 남기면 그 조각은 만들어지지 않습니다. 번호 몇 개를 그런 조각으로 가는 **디딤돌**에 쓰면 만들 수 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: reassign-export -->
# ## With other people's code alone: a merge list
#
# A reassigned tokenizer is one `tokenizer.json`, which `transformers` and, in a browser, `@huggingface/tokenizers` read as it is. llama.cpp gives a Unigram no words and no rules. So there is a **merge list** with the same ids as well: a plain BPE, which is read everywhere.
#
# The merges with given-up pieces are taken out, and merges that end in new pieces are put in. A merge joins two tokens; a new piece of which the merges before leave three or more is not made. A few ids spent on **steps** to such pieces help.

# %%
from dataclasses import replace

from lib.vocabulary.merge_list import merge_list, with_steps

bpe = teachers["SmolLM2"]
stepping = with_steps(bpe, [r.new for r in rules], len(rules))
stepped = [replace(r, new=piece)
           for r, piece in zip(rules, stepping, strict=False)]
lists = {"merges": merge_list(bpe, rules),
         "merges, with steps": merge_list(bpe, stepped)}
pd.DataFrame({name: {
    "held-out tokens": lengths(tokenizer, held).sum(),
    "new pieces not made": unmade,
} for name, tokenizer, unmade in (
    ("BPE, as it was", bpe, 0), ("Unigram, reassigned", after, 0),
    *((name, made.tokenizer, len(made.unmade))
      for name, made in lists.items()))}).T.map("{:,}".format)

# %% [markdown] tags=["lang-ko"]
# 병합 목록이 지키는 것은 이렇습니다.
#
# > 새 조각도 내놓은 조각도 들어 있지 않은 글은, 번호 하나 다르지 않게 본래의 BPE처럼 잘립니다.
#
# 본래 쓰던 병합은 같은 차례로 남아 있고, 새 병합에는 거기 없는 바이트가 필요하기 때문입니다. 다른 글에서는 유니그램과 달라질 수 있습니다. 병합은 토큰 수를 줄이려고 앞을 내다보지 않습니다. 앞 절의 줄로 확인합니다.
# %% [markdown] tags=["lang-en"]
# This is what a merge list keeps:
#
# > Text in which no new and no given-up piece stands is cut as the original BPE cuts it, the same in every id.
#
# The merges used there are still there, in the same order, and the new ones need bytes that are not. Other text may differ from the Unigram: merges do not look ahead for the fewest tokens. Checked on the lines of the section before:

# %%
gone_too = {to_chars(r.old) for r in rules}
sizes_of_both = sorted({len(p) for p in news | gone_too})


def has_either(line):
    """Whether a new or a given-up piece stands in a word of the line."""
    words = bpe.pre_tokenizer.pre_tokenize_str(line)
    return any(word[i:i + n] in news | gone_too for word, _ in words
               for n in sizes_of_both for i in range(len(word) - n + 1))


plain = [line for line in some if not has_either(line)]
cuts = [[e.ids for e in t.encode_batch(plain)]
        for t in (bpe, lists["merges"].tokenizer)]
pd.DataFrame({"lines": {
    "without new and given-up pieces": len(plain),
    "same ids": sum(a == b for a, b in zip(*cuts, strict=True))}}
).map("{:,}".format)

# %% tags=["remove-cell"]
record(plain_lines=len(plain),
       plain_same=sum(a == b for a, b in zip(*cuts, strict=True)),
       merges_unmade=len(lists["merges"].unmade),
       steps_unmade=len(lists["merges, with steps"].unmade))

# %% [markdown] tags=["lang-ko"]
# 명령 하나가 모든 형태를 쓰고, 저마다 문자열 만 개(한국어, 이모지, 코드, 제어 문자, 모든 바이트, 한 글자 만 번)로 증명합니다. 파이썬과 Node와 llama.cpp가 내는 번호를 하나하나 견주고, 다르면 아무것도 쓰지 않습니다. 디딤돌은 `select`의 옵션 `merge_list`가 들입니다.
#
# ```sh
# ./setup_and_run.sh run select -p merge_list True
# ./setup_and_run.sh run remap
# ./setup_and_run.sh run export
# ```
#
# | `artifacts/tokenizers/exported`의 형태 | 읽는 쪽 | 그대로 지키는 것 |
# |---|---|---|
# | `unigram/tokenizer.json` | `transformers`, 브라우저 | 모든 글의 모든 번호 |
# | `unigram.gguf` | llama.cpp | 조각, 번호, 점수. 낱말을 나누지 않고 글 전체를 가장 좋게 자르며, 규칙은 없습니다. 이어진 U+0000은 하나가 되고, 되돌리면 바이트를 나타내는 글자가 나옵니다 |
# | `merges/tokenizer.json` | `transformers`, 브라우저 | 새 조각도 내놓은 조각도 없는 글의 번호 |
# | `merges.gguf` | llama.cpp | `merges/tokenizer.json`과 같은 번호. 정규화된 글이고 바이트마다 조각이 있을 때 |
# %% [markdown] tags=["lang-en"]
# One command writes all forms and proves each with ten thousand strings (Korean, emoji, code, control characters, every byte, one character ten thousand times). What Python, Node and llama.cpp make of them is compared id by id; where they differ, nothing is written. The option `merge_list` of `select` takes the steps in.
#
# ```sh
# ./setup_and_run.sh run select -p merge_list True
# ./setup_and_run.sh run remap
# ./setup_and_run.sh run export
# ```
#
# | form in `artifacts/tokenizers/exported` | read by | what it keeps |
# |---|---|---|
# | `unigram/tokenizer.json` | `transformers`, browsers | every id of every text |
# | `unigram.gguf` | llama.cpp | pieces, ids and scores. No words are cut out: the best cut is that of the whole text, without rules. U+0000 several times in a row becomes one; it decodes to letters that stand for bytes |
# | `merges/tokenizer.json` | `transformers`, browsers | the ids of text without new and given-up pieces |
# | `merges.gguf` | llama.cpp | the ids of `merges/tokenizer.json`, for normalized text whose bytes all have pieces |

# %% [markdown] tags=["lang-ko"]
# <!-- label: reassign-shakespeare -->
# ## 분야가 영어라면: 셰익스피어
#
# 어휘가 이미 영어로 차 있으면 얼마나 줄일 수 있을까요? 같은 일을 희곡으로 되풀이합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: reassign-shakespeare -->
# ## A domain in English: Shakespeare
#
# How much is there to save where the vocabulary is full of English already? The same again, with the plays.

# %%
aside = plays[::20]
rest = [speech for n, speech in enumerate(plays) if n % 20]
rest = rest[:cfg.documents // 3]
unigram = unigrams["SmolLM2"]
bard = select_pieces(unigram, count_words(unigram, rest),
                     count_words(unigram, general), share=share,
                     least=max(cfg.least // 2, 3), seed=seed, bar=False)
scene = remap_tokenizer(unigram, bard.rules)
old, new = lengths(teachers["SmolLM2"], aside), lengths(scene, aside)
first = [shown_piece(rule.new) for rule in bard.rules
         if rule.new not in bard.missing]
for k in range(0, 20, 4):
    print(", ".join(first[k:k + 4]))

# %% tags=["remove-cell"]
record(bard_new=len(bard.rules), bard_longer=int((new > old).sum()),
       bard_saved=f"{100 * (1 - new.sum() / old.sum()):.2f}")

# %% [markdown] tags=["lang-ko"]
# 위는 들인 조각 가운데 앞의 것들입니다. 새 조각 ⟨bard_new⟩개로 떼어 둔 희곡(대사 스무 토막에 하나)의 토큰이 ⟨bard_saved⟩% 줄고, 대사 가운데 길어진 것은 ⟨bard_longer⟩개입니다. 영어 낱말은 이미 대부분 한 토큰이고, 위에 보이듯 남은 몫은 인물의 이름에 많습니다. 어휘가 맞지 않는 글일수록 재할당으로 얻는 것이 많습니다.
# %% [markdown] tags=["lang-en"]
# Above are the first of the pieces taken in. With ⟨bard_new⟩ of them the held-out plays (one speech in twenty) take ⟨bard_saved⟩% fewer tokens; ⟨bard_longer⟩ of the speeches became longer. Most English words are one token already; much of what is left, as seen above, lies in names of persons. The worse a vocabulary fits a text, the more there is to gain from reassigning it.

# %% [markdown] tags=["lang-ko"]
# <!-- label: reassign-exercises -->
# ## 연습 문제
#
# 빈칸(`...`)을 채운 다음 바로 아래 셀을 실행하면 답이 맞는지 알 수 있습니다. 풀이는 접어 두었습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: reassign-exercises -->
# ## Exercises
#
# Fill in the gap (`...`) and run the next cell: it tells you whether the answer holds. Solutions are folded.

# %% [markdown] tags=["lang-ko"]
# <!-- label: reassign-exercise-fewest -->
# ### 1. 가장 적은 토큰 (★, 10분)
#
# 낱말과 조각 집합을 받아, 낱말을 적는 데 드는 가장 적은 조각 수를 돌려주는 함수를 쓰십시오. 글자 하나하나는 모두 집합에 들어 있습니다. 힌트: 앞에서부터 자리마다 가장 적은 수를 적어 나갑니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: reassign-exercise-fewest -->
# ### 1. The fewest tokens (★, 10 minutes)
#
# Write a function that takes a word and a set of pieces and returns the least number of pieces that spell the word. Every single letter is in the set. Hint: from the left, write down the least number for every place.

# %% tags=["exercise"]
def my_fewest(word, pieces):
    ...

# %%
from lib.exercises.reassign import check_fewest

check_fewest(my_fewest)

# %% tags=["solution", "hide-cell"]
def its_fewest(word, pieces):
    best = [0]
    for j in range(1, len(word) + 1):
        best.append(1 + min(best[i] for i in range(j)
                            if word[i:j] in pieces))
    return best[-1]


assert check_fewest(its_fewest)
check_fewest(its_fewest)

# %% [markdown] tags=["lang-ko"]
# <!-- label: reassign-exercise-loss -->
# ### 2. 빠지면 얼마나 늘어나나 (★★, 15분)
#
# 낱말의 횟수, 조각 집합, 그 가운데 한 조각을 받아, 그 조각이 빠질 때 늘어나는 토큰 수를 돌려주는 함수를 쓰십시오. 글자 하나하나는 집합에 없어도 조각으로 칩니다. 힌트: 낱말의 글자들을 집합에 더해 앞 문제의 함수를 두 번 씁니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: reassign-exercise-loss -->
# ### 2. What its absence costs (★★, 15 minutes)
#
# Write a function that takes the counts of words, a set of pieces and one of these, and returns how many tokens more the words take without it. Every single letter counts as a piece, in the set or not. Hint: add the letters of the word to the set and use the function of the exercise before, twice.

# %% tags=["exercise"]
def my_loss(words, pieces, piece):
    ...

# %%
from lib.exercises.reassign import check_loss

check_loss(my_loss)

# %% tags=["solution", "hide-cell"]
def least_of(word, pieces):
    best = [0]
    for j in range(1, len(word) + 1):
        best.append(1 + min(best[i] for i in range(j)
                            if word[i:j] in pieces or j - i == 1))
    return best[-1]


def its_loss(words, pieces, piece):
    return sum(n * (least_of(word, pieces - {piece})
                    - least_of(word, pieces)) for word, n in words.items())


assert check_loss(its_loss)
check_loss(its_loss)

# %% [markdown] tags=["lang-ko"]
# <!-- label: reassign-exercise-rules -->
# ### 3. 규칙을 손으로 (★, 10분)
#
# 작은 토크나이저에 256개의 바이트와 조각 `an`(256), `na`(257), `ban`(258), `bana`(259), 특수 토큰 `<end>`(260)가 있습니다. `banana`가 토큰 하나가 되고 `ban`은 길어지지 않게 하는 규칙을 YAML 문자열로 쓰십시오.
# %% [markdown] tags=["lang-en"]
# <!-- label: reassign-exercise-rules -->
# ### 3. Rules by hand (★, 10 minutes)
#
# A small tokenizer has the 256 bytes, the pieces `an` (256), `na` (257), `ban` (258) and `bana` (259), and the special token `<end>` (260). Write, as a string of YAML, rules that make `banana` one token without making `ban` longer.

# %% tags=["exercise"]
my_rules = ...

# %%
from lib.exercises.reassign import check_rules

check_rules(my_rules)

# %% tags=["solution", "hide-cell"]
its_rules = '- {id: 259, old: "bana", new: "banana"}'
assert check_rules(its_rules)
check_rules(its_rules)

# %% [markdown] tags=["lang-ko"]
# <!-- label: reassign-exercise-paid -->
# ### 4. 손해 보는 글 (★★, 15분)
#
# 재할당 뒤에 토큰이 더 드는 글을 하나 찾으십시오. `rules`의 규칙마다 `old`에 내놓은 조각의 바이트가 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: reassign-exercise-paid -->
# ### 4. A text that gets longer (★★, 15 minutes)
#
# Find a text that takes more tokens after the reassignment. Each rule of `rules` has the bytes of the piece given up in `old`.

# %% tags=["exercise"]
my_text = ...

# %%
from lib.exercises.reassign import check_paid

check_paid(my_text, before, after)

# %% tags=["solution", "hide-cell"]
its_text = max((rule.old.decode(errors="ignore") for rule in rules), key=len)
assert check_paid(its_text, before, after)
check_paid(its_text, before, after)

# %% [markdown] tags=["lang-ko"]
# <!-- label: reassign-measured -->
# ## 무엇을 무엇으로 쟀는가
#
# ⟨profile⟩ 프로필에서 ⟨domain_ko⟩ 가운데 ⟨train⟩편으로 고르고 ⟨held⟩편을 떼어 두었습니다. SmolLM2는 번호 ⟨smol_new⟩개, GPT-2는 ⟨gpt_new⟩개를 넘겼고, 떼어 둔 글의 토큰이 각각 ⟨smol_ours⟩%와 ⟨gpt_ours⟩% 줄었습니다. 같은 글에서 병합을 이어서 배우면 ⟨smol_bpe⟩%와 ⟨gpt_bpe⟩%입니다. 길어진 문서는 두 토크나이저를 합해 ⟨longer⟩편입니다. 조건에 맞는 줄 ⟨free⟩개 가운데 번호가 그대로인 것은 ⟨same⟩개입니다. 병합 목록은 새 조각도 내놓은 조각도 없는 줄 ⟨plain_lines⟩개 가운데 ⟨plain_same⟩개를 본래의 BPE처럼 잘랐고, 새 조각 ⟨merges_unmade⟩개를 만들지 못했습니다. 디딤돌이 있으면 ⟨steps_unmade⟩개입니다. 토큰 수는 모두 `tokenizers`로 셌습니다. 모델이 새 조각을 얼마나 잘 쓰는지는 여기서 재지 않았습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: reassign-measured -->
# ## What was measured, and on what
#
# In the profile ⟨profile⟩, the choice was made on ⟨train⟩ documents of ⟨domain_en⟩, and ⟨held⟩ were kept aside. SmolLM2 gave ⟨smol_new⟩ ids to new pieces, GPT-2 ⟨gpt_new⟩; the held-out text takes ⟨smol_ours⟩% and ⟨gpt_ours⟩% fewer tokens. Merges continued on the same text save ⟨smol_bpe⟩% and ⟨gpt_bpe⟩%. Documents that became longer, for both tokenizers together: ⟨longer⟩. Of ⟨free⟩ lines that meet the condition, ⟨same⟩ have the same ids. Of ⟨plain_lines⟩ lines without new and given-up pieces, the merge list cuts ⟨plain_same⟩ as the original BPE does; it does not make ⟨merges_unmade⟩ of the new pieces, with steps ⟨steps_unmade⟩. All tokens were counted by `tokenizers`. How well a model uses the new pieces was not measured here.
