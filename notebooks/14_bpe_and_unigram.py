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
# <!-- label: bpe-top -->
# # BPE와 유니그램: 순서로 자르기와 합으로 자르기
#
# 토크나이저(tokenizer)는 글을 조각으로 자릅니다. 자르는 방법은 크게 둘입니다. 바이트 쌍 인코딩(byte pair encoding, BPE)은 **무엇을 먼저 붙이는지**를 외우고, 유니그램(Unigram)은 **조각마다 점수**를 두고 합이 가장 큰 쪽을 고릅니다. 이 장에서는 둘을 처음부터 짧은 코드로 쓰고, 실제로 쓰이는 구현과 번호 하나까지 같은지 견줍니다.
#
# - **할 수 있게 되는 것.** 말뭉치(corpus)에서 병합(merge)을 배우고, GPT-2의 병합으로 아무 글이나 번호로 바꾸고, 비터비(Viterbi) 표를 손으로 채우고, 유니그램의 점수를 글에서 배웁니다. 토큰(token)의 나열이 BPE의 출력인지를 이웃한 둘씩만 보고 가려냅니다.
# - **걸리는 시간.** 읽기 45분, 연습 문제 60분.
# - **필요한 것.** 로그와 확률 조금, 파이썬 조금. GPU는 쓰지 않습니다.
#
# 글은 셰익스피어의 희곡과 한국어 글이고, 병합은 GPT-2가 실제로 쓰는 ⟨merges⟩개입니다. 두 방법을 언어 모델(language model)에 들여온 논문은 [참고 문헌](#references-tokens)에 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bpe-top -->
# # BPE and Unigram: cutting by order and cutting by sum
#
# A tokenizer cuts text into pieces. There are two main ways to do it. Byte pair encoding (BPE) remembers **what to join first**; Unigram keeps **a score for each piece** and takes the cut with the largest sum. This chapter writes both from scratch in short cells and compares them, id by id, with implementations in real use.
#
# - **You will be able to** learn merges from a corpus; turn any text into ids with GPT-2's merges; fill in a Viterbi table by hand; learn the scores of a Unigram from text; tell from neighbouring pairs alone whether a sequence of tokens is what BPE would write.
# - **Time.** 45 minutes to read, 60 for the exercises.
# - **You need** a little about logarithms and probability, and a little Python. No GPU.
#
# The texts are Shakespeare's plays and text in Korean; the merges are the ⟨merges⟩ that GPT-2 really uses. The papers that brought the two methods to language models are in the [references](#references-tokens).

# %% tags=["parameters"]
profile: str = None  # smoke, book or gpu; None follows BOOK_PROFILE, else book
characters: int = None  # of plays to learn from; None: the profile decides
new_pieces: int = None  # pieces learned beyond bytes; None: the profile
longest: int = None  # letters of the texts that are tried exhaustively
samples: int = None  # random sequences of GPT-2's tokens; None: the profile
seed = 0  # of those sequences

# %% tags=["hide-input"]
import math
import random
import unicodedata
from collections import Counter
from functools import cache
from itertools import pairwise, product
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import regex

from lib import data
from lib.page.figures import COLOURS, show, use_style
from lib.page.profile import expect, settings
from lib.page.record import record

# %% tags=["hide-input"]
expect(int, seed=seed)
cfg = settings(
    profile,
    smoke={"characters": 24_000, "new_pieces": 100, "longest": 7,
           "samples": 500},
    book={"characters": 200_000, "new_pieces": 1_000, "longest": 10,
          "samples": 10_000},
    gpu={"characters": 500_000, "new_pieces": 3_000, "longest": 11,
         "samples": 50_000},
    given={"characters": characters, "new_pieces": new_pieces,
           "longest": longest, "samples": samples},
    device="cpu", seed=seed,
)
use_style()
pd.set_option("display.max_colwidth", None)

# %% [markdown] tags=["lang-ko"]
# <!-- label: bpe-bytes -->
# ## 바이트를 글자로 적기
#
# 두 방법 모두 [바이트](#vectors-bytes)에서 출발할 수 있습니다. 이런 방식을 바이트 수준(byte-level)이라고 합니다. 바이트는 256가지뿐이라 어휘(vocabulary)에 모두 넣어 두면 자르지 못할 글이 없습니다. 다만 바이트 가운데에는 빈칸, 줄바꿈, 그리고 혼자서는 글자가 되지 못하는 것이 있습니다. GPT-2의 파일은 그런 바이트를 적을 수 있도록 **바이트마다 보이는 글자 하나씩**을 정해 두었습니다. 그 자체로 보이는 바이트는 그대로 쓰고, 나머지 ⟨hidden_bytes⟩가지에는 코드 포인트 256번부터의 글자를 차례로 줍니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bpe-bytes -->
# ## Bytes written as letters
#
# Both methods can start from [bytes](#vectors-bytes), which is called byte-level. There are only 256 of them; with all of them in the vocabulary, no text is beyond cutting. But some bytes are a space, a line break, or no character by themselves. So that they can be written down, GPT-2's files give **each byte one visible letter**. Bytes that are visible stay as they are; the other ⟨hidden_bytes⟩ get the letters from code point 256 on, in turn.

# %%
from tokenizers import pre_tokenizers

VISIBLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
HIDDEN = [byte for byte in range(256) if byte not in VISIBLE]
LETTER = {byte: chr(byte) for byte in VISIBLE}
LETTER |= {byte: chr(256 + n) for n, byte in enumerate(HIDDEN)}
BYTE = {letter: byte for byte, letter in LETTER.items()}


def letters(raw):
    return "".join(LETTER[byte] for byte in raw)


def raw_bytes(written):
    return bytes(BYTE[letter] for letter in written)


assert set(BYTE) == set(pre_tokenizers.ByteLevel.alphabet())

# %%
samples = [" the", "\n", "é", "물", "👋"]
pd.DataFrame({
    "bytes": [s.encode().hex(" ").upper() for s in samples],
    "written": [letters(s.encode()) for s in samples],
}, index=["␣the", "↵", "é", "물", "👋"])

# %% tags=["remove-cell"]
record(hidden_bytes=len(HIDDEN))

# %% [markdown] tags=["lang-ko"]
# 파일에서 자주 보이는 `Ġ`가 빈칸, `Ċ`가 줄바꿈입니다. 뜻이 있는 글자가 아니라 바이트의 이름입니다. 이 장의 코드는 바이트를 그대로 다루고, 파일을 읽을 때와 다른 구현에 넘길 때에만 이 글자로 바꿉니다.
# %% [markdown] tags=["lang-en"]
# `Ġ`, so common in these files, is a space, and `Ċ` a line break. They are names of bytes, not letters with a meaning. The code of this chapter works on bytes and uses these letters only to read files and to hand words to other implementations.

# %% [markdown] tags=["lang-ko"]
# <!-- label: bpe-pre-tokens -->
# ## 먼저 낱말로: 프리토큰
#
# 글 전체에서 아무 데나 붙이면 `. The`나 `dog.` 같은 조각이 생깁니다. 그래서 정규식으로 글을 먼저 나누고 그 안에서만 붙입니다. 이렇게 나눈 부분이 프리토큰(pre-token)이고, 이 장에서는 짧게 **낱말**이라고도 합니다. GPT-2의 규칙은 한 줄입니다. 영어의 줄임꼴, 이어진 글자나 숫자나 그 밖의 기호(앞에 빈칸이 하나 붙을 수 있습니다), 그리고 남은 빈칸입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bpe-pre-tokens -->
# ## Words first: pre-tokens
#
# Joining anywhere in a text would make pieces such as `. The` or `dog.`. So a regular expression divides the text first, and pieces are joined only inside the parts. Such a part is a pre-token; in this chapter we also call it a **word**. GPT-2's rule is one line: English contractions; runs of letters, of digits or of other signs, each with one space before it or none; and the blanks that are left.

# %%
PATTERN = regex.compile(
    r"'(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+"
    r"|\s+(?!\S)|\s+")


def pre_tokens(text):
    return [word.encode() for word in PATTERN.findall(text)]


def shown(cut):
    """Pieces with a dot between; blanks visible, odd bytes in hexadecimal."""
    said = "·".join(p.decode("utf-8", "backslashreplace") for p in cut)
    said = regex.sub(r"\\x(..)", lambda m: f"<{m[1].upper()}>", said)
    return said.translate({32: "␣", 10: "↵", 9: "⇥"})


examples = ["We'll meet at 10:30,  won't we?", "고양이가 물을 3잔 마신다.\n"]
pd.DataFrame({"pre-tokens": [shown(pre_tokens(text)) for text in examples]},
             index=[text.strip() for text in examples])

# %% [markdown] tags=["lang-ko"]
# <!-- label: bpe-training -->
# ## BPE를 배우기: 가장 잦은 쌍을 붙입니다
#
# 배우는 방법은 두 단계를 되풀이하는 것입니다.
#
# 1. 낱말마다 이웃한 두 조각의 쌍을 셉니다. 낱말이 글에 나온 횟수를 곱합니다.
# 2. 가장 잦은 쌍을 모든 낱말에서 붙이고, 그 쌍을 목록의 끝에 적습니다.
#
# 적힌 차례가 병합 순위(merge rank)입니다. 횟수가 같으면 먼저 생긴 조각으로 된 쌍이 앞섭니다. 붙일 때는 왼쪽부터 훑으므로, `aaa`에서 `a`와 `a`를 붙이면 `aa·a`가 됩니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bpe-training -->
# ## Learning BPE: join the commonest pair
#
# Learning repeats two steps.
#
# 1. Count the pairs of neighbouring pieces in each word, times how often the word stands in the text.
# 2. Join the commonest pair in all words, and write it at the end of a list.
#
# Its place in the list is its merge rank. Of equally common pairs, the one of older pieces goes first. Joining runs from the left: in `aaa`, joining `a` and `a` makes `aa·a`.

# %%
def count_pairs(parts, words):
    pairs = Counter()
    for word, cut in parts.items():
        for pair in pairwise(cut):
            pairs[pair] += words[word]
    return pairs


def merge(cut, pair):
    """Join every occurrence of the pair, from the left."""
    joined, i = [], 0
    while i < len(cut):
        n = 2 if tuple(cut[i:i + 2]) == pair else 1
        joined.append(b"".join(cut[i:i + n]))
        i += n
    return joined

# %%
def learn_merges(words, new_pieces):
    """Merges with their counts, in order of rank."""
    parts = {word: [bytes([b]) for b in word] for word in words}
    pairs, merges = count_pairs(parts, words), {}
    age = {bytes([b]): ord(LETTER[b]) for b in range(256)}
    while len(age) < 256 + new_pieces and (top := max(pairs.values())):
        ties = [pair for pair, n in pairs.items() if n == top]
        best = min(ties, key=lambda pair: (age[pair[0]], age[pair[1]]))
        joined = b"".join(best)
        merges[best] = top
        age.setdefault(joined, 1000 + len(age))
        for word in (word for word in parts if joined in word):
            pairs.subtract(count_pairs({word: parts[word]}, words))
            parts[word] = merge(parts[word], best)
            pairs.update(count_pairs({word: parts[word]}, words))
    return merges

# %%
plays = data.text("tinyshakespeare")
words = Counter(pre_tokens(plays[:cfg.characters]))
merges = learn_merges(words, cfg.new_pieces)

# %% [markdown] tags=["lang-ko"]
# 희곡의 앞쪽 ⟨n_characters⟩글자, 서로 다른 낱말 ⟨n_types⟩개에서 병합 ⟨learned⟩개를 배웠습니다. 같은 글을 Hugging Face `tokenizers`의 `BpeTrainer`에게도 주었습니다. 두 목록에서 자리까지 같은 병합은 ⟨same_merges⟩개입니다.
# %% [markdown] tags=["lang-en"]
# From the first ⟨n_characters⟩ characters of the plays, ⟨n_types⟩ different words, we learned ⟨learned⟩ merges. The same text went to `BpeTrainer` of Hugging Face `tokenizers`. Merges that are alike in both lists, place by place: ⟨same_merges⟩.

# %%
import json

from tokenizers import Tokenizer, models, trainers


def merges_of(tokenizer):
    """The merges of a byte-level BPE of `tokenizers`, as pairs of bytes."""
    listed = json.loads(tokenizer.to_str())["model"]["merges"]
    pairs = (p if isinstance(p, list) else p.split(" ") for p in listed)
    return [(raw_bytes(left), raw_bytes(right)) for left, right in pairs]

# %%
theirs = Tokenizer(models.BPE())
theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
theirs.train_from_iterator([plays[:cfg.characters]], trainers.BpeTrainer(
    vocab_size=256 + cfg.new_pieces, show_progress=False,
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
same = sum(map(tuple.__eq__, merges, merges_of(theirs)))
pd.DataFrame([(shown(pair), f"{n:,}") for pair, n in list(merges.items())[:8]],
             columns=["merged pair", "count"], index=range(1, 9))

# %% tags=["remove-cell"]
record(n_characters=cfg.characters, n_types=len(words), learned=len(merges),
       same_merges=same)

# %% [markdown] tags=["lang-ko"]
# <!-- label: bpe-who-counts -->
# ### 센 글이 짧아집니다
#
# 병합은 **세어 본 글**에서 자주 나온 쌍입니다. 다른 글에서는 어떨까요? 영어 희곡에서 배운 병합과 한국어 글에서 배운 병합을, 각각 영어와 한국어에 차례로 적용하며 한 조각에 바이트가 몇 개나 드는지 봅니다. 재는 글은 배운 글과 겹치지 않습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bpe-who-counts -->
# ### What was counted gets shorter
#
# Merges are pairs that were common in the text that **was counted**. What do they do elsewhere? We learn merges from English plays and others from Korean text, apply each list in order to both languages, and watch how many bytes a piece holds. The texts we measure on do not overlap with those we learned from.

# %%
def bytes_per_piece(merges, words):
    """After each merge in turn: bytes of the words per piece."""
    parts = {word: [bytes([b]) for b in word] for word in words}
    total = sum(len(word) * n for word, n in words.items())
    pieces, curve = total, [1.0]
    for pair in merges:
        joined = b"".join(pair)
        for word in (word for word in parts if joined in word):
            before, parts[word] = parts[word], merge(parts[word], pair)
            pieces -= words[word] * (len(before) - len(parts[word]))
        curve.append(total / pieces)
    return curve

# %%
korean_text = data.text("korean")
few = 2 * cfg.new_pieces // 5
part = min(cfg.characters // 8, len(korean_text) // 2)
heard = {"English": list(merges)[:few], "Korean": learn_merges(
    Counter(pre_tokens(korean_text[:part])), few)}
held = {"English": Counter(pre_tokens(plays[-2 * part:])),
        "Korean": Counter(pre_tokens(korean_text[part:2 * part]))}
curves = {(taught, read): bytes_per_piece(heard[taught], held[read])
          for taught, read in product(heard, held)}

# %% tags=["hide-input"]
fig, both = plt.subplots(1, 2, figsize=(6.4, 3), sharey=True)
for axes, taught in zip(both, heard, strict=True):
    for read, colour in (("English", "attention"), ("Korean", "gravity")):
        axes.plot(curves[taught, read], c=COLOURS[colour])
        axes.text(1.04 * few, curves[taught, read][-1], read,
                  color=COLOURS[colour], va="center")
    axes.set(title=f"merges learned from {taught}", xlabel="merges")
    axes.set_xlim(0, 1.4 * few)
both[0].set_ylabel("bytes a piece")
show(fig)
record(few=few, n_korean=part)
for (taught, read), curve in curves.items():
    record(f"{taught.lower()}_on_{read.lower()}", curve[-1],
           text=f"{curve[-1]:.2f}")

# %% [markdown] tags=["lang-ko", "caption"]
# 병합을 하나씩 더할 때 한 조각에 든 바이트 수. 왼쪽은 영어에서, 오른쪽은 한국어에서 배운 병합입니다. 배운 말의 선만 올라갑니다.
# <!-- alt: 선 그래프 두 개. 왼쪽에서는 영어의 선이 가파르게 오르다 완만해지고 한국어의 선은 1 가까이에 거의 누워 있다. 오른쪽에서는 한국어의 선이 높이 오르고 영어의 선이 낮게 깔린다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Bytes in a piece as merges are added one by one. On the left the merges are learned from English, on the right from Korean. Only the line of the language that was learned rises.
# <!-- alt: Two line plots. On the left the line of English rises steeply and then more slowly, while that of Korean lies nearly flat close to 1. On the right the line of Korean rises high and that of English stays low. -->

# %% [markdown] tags=["lang-ko"]
# 영어에서 배운 병합 ⟨few⟩개는 영어를 조각당 ⟨english_on_english⟩바이트까지 묶지만 한국어는 ⟨english_on_korean⟩바이트에 머뭅니다. 한국어에서 배우면 한국어가 ⟨korean_on_korean⟩바이트, 영어가 ⟨korean_on_english⟩바이트입니다. 알고리즘은 같습니다. 다른 것은 **누구의 글을 세었는가**입니다(한국어는 ⟨n_korean⟩글자만 세었습니다).
# %% [markdown] tags=["lang-en"]
# ⟨few⟩ merges from English bind English into ⟨english_on_english⟩ bytes a piece and leave Korean at ⟨english_on_korean⟩. Learned from Korean, they give ⟨korean_on_korean⟩ bytes in Korean and ⟨korean_on_english⟩ in English. The algorithm is the same; the difference is **whose text was counted** (of Korean, only ⟨n_korean⟩ characters).

# %% [markdown] tags=["lang-ko"]
# <!-- label: bpe-encoding -->
# ## BPE로 자르기: GPT-2의 진짜 병합으로
#
# 새 낱말을 자를 때는 세지 않습니다. 바이트에서 출발해, 지금 있는 쌍 가운데 순위가 가장 앞선 것을 붙이고, 목록에 있는 쌍이 없을 때까지 되풀이합니다. 붙인 것은 되돌리지 않습니다. 앞의 정규식과 `merge`에 아래 몇 줄을 더하면 GPT-2의 토크나이저 전부입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bpe-encoding -->
# ## Cutting with BPE: GPT-2's real merges
#
# Cutting a new word takes no counting. Start from bytes, join the pair of lowest rank among those that are there, and repeat until no pair is in the list. Nothing is ever taken apart again. Together with the regular expression and `merge`, the few lines below are all of GPT-2's tokenizer.

# %%
gpt2 = data.gpt2_tokenizer()
gpt2.encode_special_tokens = True  # <|endoftext|> in a text is text
ranks = {pair: rank for rank, pair in enumerate(merges_of(gpt2))}
ids = {raw_bytes(written): i for written, i in gpt2.get_vocab().items()
       if written != "<|endoftext|>"}

# %%
def bpe(word, ranks):
    cut = [bytes([b]) for b in word]
    while pairs := [p for p in pairwise(cut) if p in ranks]:
        cut = merge(cut, min(pairs, key=ranks.get))
    return cut


@cache
def word_ids(word):
    return [ids[piece] for piece in bpe(word, ranks)]


def encode(text):
    return [i for word in pre_tokens(text) for i in word_ids(word)]

# %% [markdown] tags=["lang-ko"]
# 맞는지 어떻게 알까요? 서로 따로 쓰인 두 구현, `tokenizers`와 `tiktoken`에게 같은 글을 줍니다. 희곡, 한국어 글, 파이썬 표준 라이브러리의 코드, 그림 문자, 그리고 아무렇게나 뽑은 유니코드 글자입니다. 아직 정해지지 않은 코드 포인트는 뺍니다. 무엇이 글자인지는 구현이 아는 유니코드의 판에 따라 다르기 때문입니다. 번호가 하나라도 다르면 아래 표의 마지막 두 열에 나타납니다. `tiktoken`이 받는 것은 정규식과 조각마다의 번호뿐입니다. GPT-2의 번호는 병합된 차례로 매겨져 있어서, 두 조각을 이은 것의 번호가 그 쌍의 순위를 대신합니다. 특수 토큰(special token) `<|endoftext|>`는 글에 나와도 여느 글자처럼 다룹니다.
# %% [markdown] tags=["lang-en"]
# How do we know it is right? Two implementations that were written apart, `tokenizers` and `tiktoken`, get the same texts: plays, Korean text, the code of Python's standard library, emoji, and Unicode characters drawn at random. Code points that are not assigned yet are left out, since what counts as a letter depends on which Unicode an implementation knows. A single id that differs would show in the last two columns. `tiktoken` is given nothing but the regular expression and the id of each piece: GPT-2 numbers its pieces in the order of merging, so the id of two joined pieces stands in for the rank of their pair. The special token `<|endoftext|>`, where a text contains it, is treated as letters like any others.

# %%
import tiktoken
from tiktoken_ext.openai_public import r50k_pat_str

other = tiktoken.Encoding("gpt2", pat_str=r50k_pat_str, special_tokens={},
                          mergeable_ranks=ids)
draw = random.Random(seed)
code = sorted(Path(random.__file__).parent.glob("*.py"))
source = "\n".join(file.read_text("utf-8") for file in code)
emoji = [chr(c) for c in range(0x1F300, 0x1FAFF)]
joined = ["👩‍👩‍👧‍👦", "🤦🏻‍♂️", "👋🏽", "🇰🇷", "❤️", "1️⃣"]
known = [chr(c) for c in range(0x20000)
         if unicodedata.category(chr(c)) not in ("Cn", "Cs")]
strange = "".join(draw.choices(known, k=3_000))
texts = {
    "English": plays[-cfg.characters:],
    "Korean": korean_text[-cfg.characters:],
    "code": source[:cfg.characters],
    "emoji": " ".join([*emoji, *joined, *draw.sample(emoji, 99)]),
    "any characters": strange,
}

# %%
def differ(ours, theirs):
    """How many places of two sequences of ids are not alike."""
    gap = abs(len(ours) - len(theirs))
    return gap + sum(a != b for a, b in zip(ours, theirs, strict=False))


rows = {}
for kind, text in texts.items():
    ours = encode(text)
    rows[kind] = (len(text), len(ours), differ(ours, gpt2.encode(text).ids),
                  differ(ours, other.encode(text)))
pd.DataFrame(rows, index=[
    "characters", "tokens", "ids unlike tokenizers", "ids unlike tiktoken",
]).T.map("{:,}".format)

# %% tags=["remove-cell"]
record(merges=len(ranks), checked_ids=sum(row[1] for row in rows.values()),
       wrong_ids=sum(row[2] + row[3] for row in rows.values()))

# %% [markdown] tags=["lang-ko"]
# 번호 ⟨checked_ids⟩개 가운데 다른 것은 ⟨wrong_ids⟩개입니다.
#
# <!-- label: bpe-trees -->
# ### 나무와 그루터기
#
# 병합은 두 조각을 하나로 묶으므로, 토큰 하나는 바이트를 잎으로 하는 **나무**입니다. 마디의 높이를 거기까지 묶인 바이트 수로 삼고, 뜻이 같은 두 문장의 나무들을 그려 봅니다. `⟨tree_en⟩`, 그리고 `⟨tree_ko⟩`입니다.
# %% [markdown] tags=["lang-en"]
# Of ⟨checked_ids⟩ ids, ⟨wrong_ids⟩ differ.
#
# <!-- label: bpe-trees -->
# ### Trees and stumps
#
# A merge binds two pieces into one, so a token is a **tree** with bytes as its leaves. Let the height of a node be the number of bytes it has bound so far. Here are the trees of two sentences of one meaning, `⟨tree_en⟩` and `⟨tree_ko⟩`.

# %% tags=["hide-input"]
def draw_trees(axes, text, colour):
    """The merges of a text as trees; returns the number of tokens."""
    roots, x = [], 0
    for word in pre_tokens(text):
        nodes = [(word[i:i + 1], x + i) for i in range(len(word))]
        x += len(word)
        while pairs := [(ranks[a[0], b[0]], i)
                        for i, (a, b) in enumerate(pairwise(nodes))
                        if (a[0], b[0]) in ranks]:
            i = min(pairs)[1]
            (a, xa), (b, xb) = nodes[i:i + 2]
            top = len(a + b)
            axes.plot([xa, xa, xb, xb], [len(a), top, top, len(b)],
                      c=COLOURS[colour], lw=1.6)
            nodes[i:i + 2] = [(a + b, (xa + xb) / 2)]
        roots += nodes
    axes.plot([x for _, x in roots], [len(root) for root, _ in roots], "o",
              c=COLOURS[colour], ms=7)
    return len(roots)

# %% tags=["hide-input", "cover"]
phrases = {"He drinks the water": "tokens", "그는 물을 마신다": "gravity"}
fig, both = plt.subplots(2, 1, figsize=(6.4, 4.2), sharey=True)
roots = []
for axes, (text, colour) in zip(both, phrases.items(), strict=True):
    roots.append(draw_trees(axes, text, colour))
    leaves = [chr(b) if 32 < b < 127 else "␣" if b == 32 else f"{b:02X}"
              for b in text.encode()]
    axes.set_xticks(range(len(leaves)), leaves, fontsize=9)
    axes.tick_params(axis="x", length=0)
    axes.set(ylim=(0.5, 7.6), xlim=(-0.7, 22.7), ylabel="bytes joined")
show(fig)
english, korean = phrases
record(tree_en=english, tree_ko=korean, roots_en=roots[0], roots_ko=roots[1],
       leaves_en=len(english.encode()), leaves_ko=len(korean.encode()))

# %% [markdown] tags=["lang-ko", "caption"]
# GPT-2의 병합으로 자란 나무. 위는 `⟨tree_en⟩`, 아래는 `⟨tree_ko⟩`. 가로는 바이트, 세로는 묶인 바이트 수이고, 동그라미 하나가 토큰 하나입니다. 영어는 바이트 ⟨leaves_en⟩개가 나무 ⟨roots_en⟩그루로 모이고, 한국어는 바이트 ⟨leaves_ko⟩개가 그루터기 ⟨roots_ko⟩개로 남습니다.
# <!-- alt: 두 줄의 나무 그림. 위쪽 영어에서는 여러 바이트가 가지를 모아 낱말마다 키 큰 나무 한 그루를 이룬다. 아래쪽 한국어에서는 바이트 둘만 묶인 낮은 가지와, 가지 없이 바닥에 놓인 동그라미가 늘어서 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Trees grown from GPT-2's merges: above `⟨tree_en⟩`, below `⟨tree_ko⟩`. Bytes run across, the number of bytes joined upwards, and each disc is a token. ⟨leaves_en⟩ bytes of English gather into ⟨roots_en⟩ trees; ⟨leaves_ko⟩ bytes of Korean remain ⟨roots_ko⟩ stumps.
# <!-- alt: Trees in two rows. Above, in English, many bytes gather their branches into one tall tree for each word. Below, in Korean, there are low branches over two bytes and discs without branches on the ground. -->

# %% [markdown] tags=["lang-ko"]
# 영어의 나무는 낱말 끝까지 자라고, 한국어의 나무는 글자 하나도 채 덮지 못합니다. 한글 한 글자는 UTF-8로 3바이트이니, 나무가 자라지 않으면 한 글자가 토큰 두셋에 걸칩니다. [1장](#vectors-pieces)에서는 글자당 토큰 수를 쟀습니다. 여기서는 한글 한 글자가 토큰 몇 개로 쪼개지는지, 한국어 글의 앞쪽에 나오는 한글 ⟨n_syllables⟩글자에서 세어 봅니다.
# %% [markdown] tags=["lang-en"]
# English trees grow to the end of the word; Korean ones do not even cover a syllable. A Hangul syllable is 3 bytes in UTF-8, so where no tree grows it is spread over two or three tokens. [Chapter 1](#vectors-pieces) measured tokens per character; here we count over how many tokens one syllable is spread, in the first ⟨n_syllables⟩ syllables of the Korean text.

# %%
from lib.data.tokenizer_files import load_tokenizer
from lib.tokens.distill import piece_bytes


def tokens_each(tokenizer, text):
    """Over how many tokens each Hangul syllable is spread."""
    pieces = piece_bytes(tokenizer)  # the bytes of each id
    ends = np.cumsum([len(pieces[i]) for i in tokenizer.encode(text).ids])
    starts = np.cumsum([0] + [len(char.encode()) for char in text])
    assert ends[-1] == starts[-1]  # no byte was lost
    hangul = starts[:-1][["가" <= char <= "힣" for char in text]]
    broken = np.isin([hangul + 1, hangul + 2], ends)
    return 1 + broken.sum(0)

# %%
smollm2 = load_tokenizer(data.path("smollm2") / "tokenizer.json")
spread = {name: tokens_each(tokenizer, korean_text[:cfg.characters])
          for name, tokenizer in (("GPT-2", gpt2), ("SmolLM2", smollm2))}
pd.DataFrame({name: [f"{100 * (n == k).mean():.1f}%" for k in (1, 2, 3)]
              + [f"{n.mean():.2f}"] for name, n in spread.items()},
             index=["one token", "two", "three", "mean"]).T

# %% tags=["remove-cell"]
seen = set(gpt2.encode(korean_text[:cfg.characters]).ids)
record(n_syllables=len(spread["GPT-2"]), pieces_seen=len(seen),
       gpt2_vocab=gpt2.get_vocab_size(),
       syllable_gpt2=spread["GPT-2"].mean(),
       syllable_smol=spread["SmolLM2"].mean())

# %% [markdown] tags=["lang-ko"]
# 한 글자가 평균해서 GPT-2에서는 토큰 ⟨syllable_gpt2⟩개, SmolLM2에서는 ⟨syllable_smol⟩개에 걸칩니다. 그런데 GPT-2의 어휘 ⟨gpt2_vocab⟩개 가운데 이 글에 한 번이라도 나온 것은 ⟨pieces_seen⟩개뿐입니다. 나머지의 번호를 한국어 조각에 넘겨주면 어떨까요? 3부가 하려는 일이 이것입니다. 다만 BPE의 조각은 앞선 병합에 기대어 만들어지므로 하나만 바꿀 수가 없습니다. BPE가 무엇을 지키는 규칙인지부터 봅시다.
# %% [markdown] tags=["lang-en"]
# On average a syllable is spread over ⟨syllable_gpt2⟩ tokens in GPT-2 and ⟨syllable_smol⟩ in SmolLM2. Yet of GPT-2's ⟨gpt2_vocab⟩ entries only ⟨pieces_seen⟩ occur in this text at all. What if the ids of the others were handed to Korean pieces? This is what Part III sets out to do. But a piece of BPE rests on the merges before it, and none can be changed alone. Let us first see what kind of rule BPE is.

# %% [markdown] tags=["lang-ko"]
# <!-- label: bpe-bench -->
# ### 병합 하나를 빼 보기
#
# 아래에 아무 글이나 적으면 GPT-2의 병합이 붙는 차례대로 보입니다. 병합 하나를 누르면 목록에서 빠집니다. 그 위에 서 있던 조각들이 함께 사라지고, 남은 병합이 다른 길로 낱말을 묶습니다. 조각 하나만 따로 바꿀 수 없다는 말은 이런 뜻입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bpe-bench -->
# ### Take a merge out
#
# Write any text below and see GPT-2's merges in the order in which they join. Press one of them and it leaves the list: the pieces that stood on it fall with it, and the merges that are left bind the word in another way. That is what it means that no piece can be changed alone.

# %% tags=["remove-cell"]
from lib.page.live import alive, export
from lib.tokens.bench import merges_text

export("gpt2_merges", merges=merges_text(gpt2))

# %% tags=["hide-input"]
tried = " lighthouses"
fig, axes = plt.subplots(figsize=(6.4, 2.6))
tried_tokens = draw_trees(axes, tried, "tokens")
axes.set_xticks(range(len(tried)), tried.replace(" ", "␣"), fontsize=10)
axes.tick_params(axis="x", length=0)
axes.set(ylabel="bytes joined", ylim=(0.5, None))
alive(fig, "tokenizer", "gpt2_merges", asked=True, bench="merges")
record(tried=tried.strip(), tried_tokens=tried_tokens,
       tried_steps=len(tried) - tried_tokens)

# %% [markdown] tags=["lang-ko", "caption"]
# 빈칸이 앞에 붙은 `⟨tried⟩`에 붙는 병합 ⟨tried_steps⟩개와 남는 토큰 ⟨tried_tokens⟩개. 마디 하나가 병합 하나이고 높이는 묶인 바이트 수입니다.
# <!-- alt: 낱말 하나의 바이트가 아래에 늘어서 있고, 이웃한 둘을 잇는 가지가 위로 자라며 모인다. 꼭대기의 동그라미가 토큰이다. -->
# %% [markdown] tags=["lang-en", "caption"]
# The ⟨tried_steps⟩ merges of `⟨tried⟩` with a blank in front, and the ⟨tried_tokens⟩ tokens that are left. Each joint is a merge, and its height the number of bytes joined.
# <!-- alt: The bytes of one word stand in a row at the bottom; branches that join two neighbours grow upwards and come together. The discs at the top are tokens. -->

# %% [markdown] tags=["lang-ko"]
# <!-- label: bpe-pairs -->
# ## 이웃한 둘만 보면 압니다
#
# 토큰의 나열이 하나 주어졌습니다. 이어 붙인 글을 BPE로 자르면 바로 이 나열이 나올까요? 글 전체를 다시 잘라 보지 않아도 됩니다.
#
# > **정리.** 조각 $t_1, \dots, t_n$은 저마다 따로 자르면 한 조각으로 남는다고 합시다. BPE가 $t_1 t_2 \cdots t_n$을 바로 이 나열로 자를 필요충분조건은, 모든 $i$에 대해 BPE가 $t_i t_{i+1}$을 $[t_i, t_{i+1}]$로 자르는 것입니다.
#
# 까닭은 이렇습니다. 낱말의 한 구간을 정하고, **구간의 두 끝을 넘는 병합이 일어나지 않는 동안**만 봅시다. 낱말 전체에서 다음에 붙일 쌍은 순위가 가장 앞선 쌍이고, 같은 쌍이 여럿이면 가장 왼쪽입니다. 위의 코드는 같은 쌍을 한꺼번에 붙이지만 결과는 같습니다. 조각마다 만드는 병합이 하나뿐이면, 붙여서 생긴 조각이 드는 쌍은 순위가 언제나 더 뒤이기 때문입니다. 그 쌍이 구간 안에 있다면 구간 안에서도 그 쌍이 으뜸입니다. 구간 밖에 있다면 구간 안은 그대로입니다. 그러므로 구간 안에서 병합이 일어나는 차례는 그 구간만 따로 떼어 자를 때와 똑같습니다. 이제 두 방향을 봅시다.
#
# - **둘씩 모두 맞으면 전체도 맞습니다.** 아니라면 전체를 자르다가 토큰의 경계를 넘는 병합이 처음 일어나는 순간이 있습니다. 그 경계가 $t_i$와 $t_{i+1}$ 사이라 합시다. 그때까지 어느 경계도 넘지 않았으므로, 구간 $t_i t_{i+1}$ 안의 일은 따로 자를 때와 같습니다. 그러면 따로 자를 때에도 같은 병합이 경계를 넘고, 붙은 것은 되돌리지 않으니 $[t_i, t_{i+1}]$이 나올 수 없습니다. 모순입니다. 경계를 넘는 병합이 없으므로, 각 $t_i$의 안에서는 따로 자를 때처럼 한 조각으로 붙습니다.
# - **전체가 맞으면 둘씩도 맞습니다.** 전체를 자르는 동안 어느 경계도 넘지 않았으니, 구간 $t_i t_{i+1}$ 안의 일은 처음부터 끝까지 따로 자를 때와 같습니다. ∎
# %% [markdown] tags=["lang-en"]
# <!-- label: bpe-pairs -->
# ## Neighbours are enough
#
# Given a sequence of tokens: if we join them into a text and cut it with BPE, does this very sequence come out? There is no need to cut the whole text again.
#
# > **Theorem.** Let $t_1, \dots, t_n$ be pieces that stay whole when BPE cuts them by themselves. BPE cuts $t_1 t_2 \cdots t_n$ into this sequence if and only if, for every $i$, BPE cuts $t_i t_{i+1}$ into $[t_i, t_{i+1}]$.
#
# Here is why. Fix a stretch of the word and look at it **as long as no merge crosses either end of it**. The next pair to be joined in the whole word is the pair of lowest rank, the leftmost where it stands several times. (The code above joins all places of a pair at once, with the same result: where each piece is made by one merge only, pairs with the new piece always rank later.) If it lies inside the stretch, it is first inside the stretch too. If it lies outside, the inside stays as it is. So the merges inside the stretch happen in the very order in which they happen when the stretch is cut by itself. Now the two directions.
#
# - **If all pairs are right, so is the whole.** If not, there is a first merge, while the whole is cut, that crosses a border between tokens, say between $t_i$ and $t_{i+1}$. No border was crossed before, so within the stretch $t_i t_{i+1}$ all went as when it is cut by itself. Then the same merge crosses the border there as well, and since nothing is taken apart again, $[t_i, t_{i+1}]$ cannot come out: a contradiction. So no merge crosses a border, and inside, each $t_i$ is joined into one piece as it is by itself.
# - **If the whole is right, so are the pairs.** No border was crossed while the whole was cut, so within $t_i t_{i+1}$ all went, from start to end, as when it is cut by itself. ∎

# %% [markdown] tags=["lang-ko"]
# 증명을 믿더라도 시험은 해 봅니다. 글자 둘과 병합 여섯 개짜리 BPE에서, 길이 ⟨longest⟩까지의 모든 글을 어휘의 조각으로 자르는 **모든 방법**을 늘어놓습니다. 그 가운데 BPE의 출력을 세고, 이웃한 쌍이 모두 맞는 나열을 따로 셉니다.
# %% [markdown] tags=["lang-en"]
# Even with a proof, we test. For a BPE of two letters and six merges we list **every way** to cut every text of up to ⟨longest⟩ letters into pieces of the vocabulary. Among them we count the outputs of BPE and, apart from that, the sequences whose neighbouring pairs are all right.

# %%
def all_cuts(word, vocabulary):
    """Every way to spell a word with pieces of the vocabulary."""
    if not word:
        return [()]
    return [(word[:n], *rest) for n in range(1, len(word) + 1)
            if word[:n] in vocabulary
            for rest in all_cuts(word[n:], vocabulary)]


def pairs_are_right(cut, pair_is_right):
    return all(pair_is_right(a, b) for a, b in pairwise(cut))

# %%
toy = ["a b", "a a", "ab b", "b aa", "ab ab", "aa aa"]
toy = {tuple(p.encode() for p in m.split()): r for r, m in enumerate(toy)}
toy_pieces = {b"a", b"b", *map(b"".join, toy)}


@cache
def toy_pair(a, b):
    return bpe(a + b, toy) == [a, b]

# %%
rows, disagree = [], 0
for n in range(2, cfg.longest + 1):
    counts = Counter()
    for text in product(b"ab", repeat=n):
        text = bytes(text)
        output = tuple(bpe(text, toy))
        for cut in all_cuts(text, toy_pieces):
            right = pairs_are_right(cut, toy_pair)
            counts["cuts"] += 1
            counts["bpe"] += cut == output
            counts["pairs"] += right
            disagree += right != (cut == output)
    rows.append((n, *(f"{k:,}" for k in (
        2**n, counts["cuts"], counts["bpe"], counts["pairs"]))))
pd.DataFrame(rows, columns=[
    "letters", "texts", "all cuts", "outputs of BPE", "all pairs right",
]).set_index("letters")

# %% tags=["remove-cell"]
record(longest=cfg.longest, toy_disagree=disagree)

# %% [markdown] tags=["lang-ko"]
# 마지막 두 열은 수만 같은 것이 아니라 나열 하나하나가 같습니다(어긋난 것 ⟨toy_disagree⟩개). 그 수가 ‘글’ 열과도 같다는 점을 보십시오. **글마다 자르는 방법은 많아도, 모든 쌍이 맞는 것은 꼭 하나뿐입니다.** 그러니 병합을 하나도 하지 않고, 어느 쌍이 맞는지 적은 표만으로도 BPE처럼 자를 수 있습니다. [연습 문제](#bpe-exercise-pairs)에서 해 봅니다.
#
# GPT-2의 조각으로도 시험합니다. 먼저 조각 하나하나가 자기 자신으로 잘리는지 보고, 짧은 조각을 아무렇게나 골라 다섯 개씩 늘어놓습니다. 한 번은 글 전체를 자르고, 한 번은 쌍만 봅니다.
# %% [markdown] tags=["lang-en"]
# The last two columns agree not in number only but sequence by sequence (⟨toy_disagree⟩ disagree). Note that they also equal the column of texts: **however many cuts a text has, exactly one of them has all pairs right.** So a table of right pairs is enough to cut as BPE does, without a single merge. An [exercise](#bpe-exercise-pairs) does it.
#
# Now GPT-2's own pieces. First we see whether each piece, by itself, is cut into itself; then we draw short pieces at random, five in a row, and judge once by cutting the whole and once by the pairs.

# %%
@cache
def gpt2_pair(a, b):
    return bpe(a + b, ranks) == [a, b]


whole = sum(bpe(piece, ranks) == [piece] for piece in ids)
short = sorted(piece for piece in ids if piece.isalpha() and len(piece) < 4)
judged = Counter()
for _ in range(cfg.samples):
    cut = draw.choices(short, k=5)
    by_pairs = pairs_are_right(cut, gpt2_pair)
    judged[bpe(b"".join(cut), ranks) == cut, by_pairs] += 1
pd.DataFrame([[f"{judged[right, pairs]:,}" for pairs in (True, False)]
              for right in (True, False)],
             index=["whole right", "whole wrong"],
             columns=["all pairs right", "some pair wrong"])

# %% tags=["remove-cell"]
record(whole=whole, n_pieces=len(ids), n_samples=cfg.samples,
       both_right=judged[True, True],
       gpt2_disagree=judged[True, False] + judged[False, True])

# %% [markdown] tags=["lang-ko"]
# 조각 ⟨n_pieces⟩개 가운데 ⟨whole⟩개가 자기 자신으로 잘리고, 나열 ⟨n_samples⟩개에서 두 판정이 어긋난 것은 ⟨gpt2_disagree⟩개입니다.
#
# 덤으로 `tiktoken`이 쌍의 목록 없이도 맞는 까닭을 알게 됩니다. 자르는 도중에 두 조각 $x$, $y$가 이웃하고, 이어 붙인 $xy$가 어휘에 있다고 합시다. $xy$는 따로 자르면 한 조각으로 남고, 구간 $xy$ 안의 일은 따로 자를 때와 같습니다. 그러니 거기서 남은 한 걸음은 $x$와 $y$를 붙이는 것이고, 이 쌍은 목록에 있습니다. **이어 붙인 것이 어휘에 있는지만 보면 됩니다.**
#
# BPE는 결국 **이웃한 둘에 대한 규칙**입니다. 이제 볼 유니그램에는 이웃이라는 것이 아예 없습니다.
# %% [markdown] tags=["lang-en"]
# Of ⟨n_pieces⟩ pieces ⟨whole⟩ are cut into themselves, and over ⟨n_samples⟩ sequences the two judgements disagree ⟨gpt2_disagree⟩ times.
#
# This also tells why `tiktoken` is right without a list of pairs. Say that, while a word is cut, two pieces $x$ and $y$ are neighbours and the vocabulary holds $xy$. By itself $xy$ stays whole, and within the stretch $xy$ all went as it does by itself. So the one step left there is to join $x$ and $y$, and this pair is in the list. **It is enough to see whether the joined piece is in the vocabulary.**
#
# In the end BPE is **a rule about neighbours**. Unigram, to which we come now, knows no neighbours at all.

# %% [markdown] tags=["lang-ko"]
# <!-- label: bpe-unigram -->
# ## 유니그램: 글을 뽑는 주사위
#
# 유니그램은 글이 다음과 같이 만들어진다고 봅니다. 면마다 조각이 하나씩 적힌 주사위를 거듭 던져 나온 조각을 이어 붙입니다. 조각 $t$가 나올 확률을 $p(t)$라 하면, 나열 $y = (t_1, \dots, t_k)$가 나올 확률은 곱이고, 그 로그는 합입니다. 조각의 점수는 곧 $s(t) = \log p(t)$입니다.
#
# $$ P(y) = \prod_{i=1}^{k} p(t_i), \qquad \log P(y) = \sum_{i=1}^{k} s(t_i) $$
#
# 낱말을 자른다는 것은, 그 낱말이 되는 나열 가운데 가장 그럴듯한 것을 고르는 일입니다. 손으로 따라갈 수 있게 조각 ⟨hand_pieces⟩개만으로 `father`를 잘라 봅니다. 확률은 희곡의 낱말 속에 그 글자열이 나온 횟수에 비례하게 정합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bpe-unigram -->
# ## Unigram: a die that writes text
#
# Unigram takes text to come about like this: throw a die with one piece on each face, again and again, and join what comes up. If piece $t$ comes up with probability $p(t)$, a sequence $y = (t_1, \dots, t_k)$ has the product as its probability, and the sum as its logarithm. The score of a piece is $s(t) = \log p(t)$.
#
# $$ P(y) = \prod_{i=1}^{k} p(t_i), \qquad \log P(y) = \sum_{i=1}^{k} s(t_i) $$
#
# Cutting a word means choosing the likeliest of the sequences that spell it. To follow by hand, we cut `father` with ⟨hand_pieces⟩ pieces only. Their probabilities are in proportion to how often these strings stand inside the words of the plays.

# %%
hand = [b"f", b"a", b"t", b"h", b"e", b"r", b"fa", b"at", b"th", b"he",
        b"er", b"fat", b"the", b"her"]
counted = {t: sum(n * w.count(t) for w, n in words.items()) for t in hand}
total = sum(counted.values())
p = {t: n / total for t, n in counted.items()}
s = {t: math.log(q) for t, q in p.items()}
cuts = {cut: math.prod(p[t] for t in cut) for cut in all_cuts(b"father", p)}
ranked = sorted(cuts, key=cuts.get, reverse=True)
pd.DataFrame([(f"−{-sum(s[t] for t in cut):.3f}", f"{cuts[cut]:.1e}",
               f"{100 * cuts[cut] / sum(cuts.values()):.1f}%")
              for cut in ranked[:6]], index=[shown(c) for c in ranked[:6]],
             columns=["log P", "P", "share of the word"])

# %% tags=["remove-cell"]
record(hand_pieces=len(hand), hand_cuts=len(cuts), best_cut=shown(ranked[0]),
       best_share=100 * cuts[ranked[0]] / sum(cuts.values()))

# %% [markdown] tags=["lang-ko"]
# `father`를 자르는 방법은 모두 ⟨hand_cuts⟩가지이고, 그 가운데 위의 여섯이 가장 그럴듯합니다. 으뜸은 `⟨best_cut⟩`입니다.
#
# <!-- label: bpe-viterbi -->
# ### 비터비: 표를 한 칸씩
#
# 글자가 늘면 방법의 수는 거의 두 배씩 늘어납니다. 모두 늘어놓는 대신, 낱말을 앞에서부터 한 글자씩 늘려 가며 **거기까지의 최댓값 하나**만 적어 둡니다. 끝이 $j$인 조각은 몇 개뿐이고, 조각이 시작하는 $i$까지의 최댓값은 이미 압니다.
#
# $$ \operatorname{best}(0) = 0, \qquad \operatorname{best}(j) = \max_{i<j}\,\bigl[\operatorname{best}(i) + s(w_{i:j})\bigr] $$
# %% [markdown] tags=["lang-en"]
# There are ⟨hand_cuts⟩ ways to cut `father`; the six above are the likeliest, `⟨best_cut⟩` first of all.
#
# <!-- label: bpe-viterbi -->
# ### Viterbi: one cell at a time
#
# With each letter the number of cuts nearly doubles. Instead of listing them all, let the word grow letter by letter and keep **one number, the best so far**. Only a few pieces end at $j$, and the best up to $i$, where such a piece begins, is known already.
#
# $$ \operatorname{best}(0) = 0, \qquad \operatorname{best}(j) = \max_{i<j}\,\bigl[\operatorname{best}(i) + s(w_{i:j})\bigr] $$

# %%
def viterbi(word, scores):
    """The best cut; of equal sums the one whose last piece is longest."""
    best = [0.0] + [-math.inf] * len(word)
    start = [0] * (len(word) + 1)
    for j in range(1, len(word) + 1):
        for i in range(max(0, j - LONGEST), j):
            new = best[i] + scores.get(word[i:j], -math.inf)
            if new > best[j]:
                best[j], start[j] = new, i
    cut, j = [], len(word)
    while j:
        cut.append(word[start[j]:j])
        j = start[j]
    return cut[::-1], best[-1]


LONGEST = 12  # letters of the longest piece
best_cut, best_sum = viterbi(b"father", s)
assert tuple(best_cut) == ranked[0]

# %% tags=["hide-input"]
def viterbi_cells(word, scores):
    """best(i) + s(word[i:j]) for each piece, as a table of i by j."""
    n = len(word)
    best = [viterbi(word[:j], scores)[1] for j in range(n + 1)]
    cells = np.full((n, n + 1), np.nan)
    for i, j in product(range(n), range(1, n + 1)):
        if word[i:j] in scores:
            cells[i, j] = best[i] + scores[word[i:j]]
    return cells


def path_cells(cut):
    ends = np.cumsum([0, *map(len, cut)])
    return set(pairwise(ends.tolist()))

# %% tags=["hide-input"]
cells = viterbi_cells(b"father", s)
fig, axes = plt.subplots(figsize=(5.6, 3.6))
for i, j in np.argwhere(np.isfinite(cells)):
    top = cells[i, j] == np.nanmax(cells[:, j])
    on = (i, j) in path_cells(best_cut)
    axes.add_patch(plt.Rectangle(
        (j - 0.46, i - 0.42), 0.92, 0.84, lw=2.5 if on else 0,
        fc=COLOURS["tokens"] if top else COLOURS["grey"],
        ec=COLOURS["gravity"], alpha=0.3 if top else 0.12))
    axes.text(j, i, f"{shown([b'father'[i:j]])}\n−{-cells[i, j]:.2f}",
              ha="center", va="center", fontsize=9)
    if on:
        axes.add_patch(plt.Rectangle((j - 0.46, i - 0.42), 0.92, 0.84, lw=2.5,
                                     fill=False, ec=COLOURS["gravity"]))
axes.set(xlim=(0.4, 6.6), ylim=(5.6, -0.6), xlabel="end j", ylabel="start i")
axes.spines[["left", "bottom"]].set_visible(False)
axes.tick_params(length=0)
written = np.where(np.isnan(cells), "", np.char.mod("−%.2f", -cells))
show(fig, table=pd.DataFrame(written[:, 1:], columns=range(1, 7)))

# %% [markdown] tags=["lang-ko", "caption"]
# `father`의 비터비 표. 칸 하나가 조각 하나이고, 수는 $\operatorname{best}(i) + s(w_{i:j})$입니다. 열마다 가장 큰 칸(청록)이 $\operatorname{best}(j)$가 됩니다. 마지막 열의 청록 칸에서 시작해, 그 칸의 행 번호와 같은 번호의 열로 거슬러 가면 테두리를 두른 경로가 나옵니다.
# <!-- alt: 행이 시작, 열이 끝인 삼각형 꼴의 표. 조각이 있는 칸에 조각과 합이 적혀 있고 열마다 한 칸이 청록색이다. 청록색 칸 가운데 몇이 주황 테두리로 이어져 낱말 전체를 덮는다. -->
# %% [markdown] tags=["lang-en", "caption"]
# The Viterbi table of `father`. Each cell is a piece, with the number $\operatorname{best}(i) + s(w_{i:j})$. The largest of a column (teal) becomes $\operatorname{best}(j)$. From the teal cell of the last column, go back to the column whose number is the cell's row, and so on: this is the framed path.
# <!-- alt: A triangular table with starts as rows and ends as columns. Cells that are pieces show the piece and the sum, and one cell in each column is teal. Some of the teal cells have an orange frame and together cover the whole word. -->

# %% [markdown] tags=["lang-ko"]
# <!-- label: bpe-tie -->
# ### 합이 같으면
#
# 두 경로의 합이 똑같으면 누가 남을까요? 코드의 부등호 하나가 정합니다. `>`이면 **먼저 온 것**이 남는데, 시작 $i$가 작은 것부터 오므로 마지막 조각이 가장 긴 경로입니다. `>=`이면 나중에 온 것, 곧 마지막 조각이 가장 짧은 경로가 남습니다. 점수가 모두 $-1$인 조각 `a`와 `aa`로 `aaa`를 잘라 봅니다. `tokenizers`는 `>`를 씁니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bpe-tie -->
# ### When sums are equal
#
# If two paths have the very same sum, which one stays? One sign in the code decides. With `>` it is the one that **came first**, and since small starts $i$ come first, that is the path whose last piece is longest. With `>=` the later one stays, whose last piece is shortest. Here `aaa` is cut with the pieces `a` and `aa`, both of score $-1$. `tokenizers` uses `>`.

# %%
def unigram_of(scores):
    """A Unigram of `tokenizers` with these scores, on letters for bytes."""
    listed = [(letters(piece), score) for piece, score in scores.items()]
    return models.Unigram(listed, unk_id=None, byte_fallback=False)


def their_cut(model, word):
    return [raw_bytes(t.value) for t in model.tokenize(letters(word))]


even = {b"a": -1.0, b"aa": -1.0}
either = sorted(all_cuts(b"aaa", even), key=len)[:2]
kept = viterbi(b"aaa", even)[0]
pd.DataFrame({
    "two equal sums": [" , ".join(map(shown, either))],
    "our Viterbi": [shown(kept)],
    "tokenizers": [shown(their_cut(unigram_of(even), b"aaa"))]}, index=["aaa"])

# %% [markdown] tags=["lang-ko"]
# <!-- label: bpe-em -->
# ## 유니그램을 배우기: 기댓값 최대화
#
# 조각의 확률은 어디서 올까요? 글에서 조각을 세고 싶지만, 글은 아직 잘려 있지 않습니다. 자르려면 확률이 있어야 하고, 확률을 얻으려면 잘라야 합니다. 기댓값 최대화(expectation–maximization, EM)는 이 고리를 차례로 풉니다.
#
# - **기댓값.** 지금의 확률로 보면 낱말 $w$가 나열 $y$에서 나왔을 확률은 $P(y \mid w) = P(y) / Z_w$입니다. $Z_w$는 $w$가 되는 모든 나열의 확률을 더한 것입니다. 하나를 고르지 않고, 모든 나열에서 조각을 세되 이 확률만큼만 셉니다. $e_t = \sum_w n_w \sum_y P(y \mid w)\, \#_t(y)$. 여기서 $n_w$는 $w$가 글에 나온 횟수, $\#_t(y)$는 $y$에 $t$가 나온 횟수입니다.
# - **최대화.** 센 만큼을 새 확률로 삼습니다. $p(t) \leftarrow e_t / \sum_u e_u$
#
# 한 번 돌 때마다 글의 확률은 커지거나 그대로입니다. 모든 나열을 늘어놓을 필요는 없습니다. 앞에서부터의 합 $\alpha$와 뒤에서부터의 합 $\beta$만 있으면 됩니다. 비터비에서 최댓값을 합으로 바꾼 것이고, 전방–후방(forward–backward) 알고리즘이라고 부릅니다. $P(i \to j \mid w)$는 낱말 $w$를 자르는 경로가 조각 $w_{i:j}$를 지날 확률입니다. $n$은 낱말의 길이이고, $\alpha_0 = \beta_n = 1$에서 시작합니다.
#
# $$ \alpha_j = \sum_{i<j} \alpha_i\, p(w_{i:j}), \qquad \beta_i = \sum_{j>i} p(w_{i:j})\, \beta_j, \qquad P(i \to j \mid w) = \frac{\alpha_i\, p(w_{i:j})\, \beta_j}{\alpha_n} $$
# %% [markdown] tags=["lang-en"]
# <!-- label: bpe-em -->
# ## Learning a Unigram: expectation–maximization
#
# Where do the probabilities come from? We would like to count pieces in the text, but the text is not cut yet. Cutting takes probabilities, and probabilities take a cut text. Expectation–maximization (EM) goes round this circle by turns.
#
# - **Expectation.** Under the present probabilities the word $w$ came from the sequence $y$ with probability $P(y \mid w) = P(y) / Z_w$, where $Z_w$ adds up the probabilities of all sequences that spell $w$. Do not choose one; count the pieces of every sequence, but only as much as it is likely: $e_t = \sum_w n_w \sum_y P(y \mid w)\, \#_t(y)$. Here $n_w$ is how often $w$ occurs in the text, and $\#_t(y)$ how often $t$ stands in $y$.
# - **Maximization.** Let these counts be the new probabilities: $p(t) \leftarrow e_t / \sum_u e_u$
#
# Each round makes the text as likely as before or likelier. There is no need to list all sequences: sums from the front, $\alpha$, and from the back, $\beta$, are enough. It is Viterbi with sums in place of maxima, called the forward–backward algorithm. $P(i \to j \mid w)$ is the probability that the path of $w$ passes through the piece $w_{i:j}$. The word has $n$ letters, and $\alpha_0 = \beta_n = 1$ to begin with.
#
# $$ \alpha_j = \sum_{i<j} \alpha_i\, p(w_{i:j}), \qquad \beta_i = \sum_{j>i} p(w_{i:j})\, \beta_j, \qquad P(i \to j \mid w) = \frac{\alpha_i\, p(w_{i:j})\, \beta_j}{\alpha_n} $$

# %%
def expected_counts(word, p):
    """log P(word), and how often each piece is expected in it."""
    n = len(word)
    arcs = [(i, j, p[word[i:j]]) for i in range(n)
            for j in range(i + 1, min(n, i + LONGEST) + 1) if word[i:j] in p]
    alpha, beta = [1.0] + [0.0] * n, [0.0] * n + [1.0]
    for i, j, q in arcs:
        alpha[j] += alpha[i] * q
    for i, j, q in reversed(arcs):
        beta[i] += q * beta[j]
    counts = Counter()
    for i, j, q in arcs:
        counts[word[i:j]] += alpha[i] * q * beta[j] / alpha[n]
    return math.log(alpha[n]), counts

# %%
log_z, counts = expected_counts(b"father", p)
listed = Counter()
for cut, probability in cuts.items():
    for t in cut:
        listed[t] += probability / sum(cuts.values())
pd.DataFrame({"forward–backward": [counts[t] for t in hand],
              "all cuts listed": [listed[t] for t in hand]},
             index=[shown([t]) for t in hand]).round(3)

# %% tags=["remove-cell"]
record(em_gap=max(abs(counts[t] - listed[t]) for t in hand),
       z_gap=abs(log_z - math.log(sum(cuts.values()))))

# %% [markdown] tags=["lang-ko"]
# 조각마다 기대 횟수가 두 방법에서 같습니다(가장 큰 차이 ⟨em_gap⟩). 이제 낱말 하나가 아니라 앞에서 센 희곡의 낱말 전체입니다. 씨앗이 되는 조각은 두 번 이상 나온 글자열 가운데 글을 많이 덮는 것들입니다. 횟수에 길이를 곱해 순서를 매깁니다.
# %% [markdown] tags=["lang-en"]
# Both ways give the same expected counts for the pieces (largest difference ⟨em_gap⟩). Now from one word to all the words of the plays that we counted. The first pieces are strings that occur twice or more and cover much text; they are ordered by count times length.

# %%
def seeds(words, size):
    """The `size` strings that cover most text, and all single bytes."""
    counts = Counter()
    for word, n in words.items():
        for i in range(len(word)):
            for j in range(i + 1, min(len(word), i + LONGEST) + 1):
                counts[word[i:j]] += n
    top = sorted((t for t in counts if counts[t] > 1 and len(t) > 1),
                 key=lambda t: (-counts[t] * len(t), t))[:size]
    kept = [*top, *(t for t in counts if len(t) == 1)]
    total = sum(counts[t] for t in kept)
    return {t: counts[t] / total for t in kept}

# %%
def em_step(words, p):
    """New probabilities, and the log-probability of the words before."""
    counts, log_likelihood = Counter(), 0.0
    for word, n in words.items():
        log_z, found = expected_counts(word, p)
        log_likelihood += n * log_z
        for t, e in found.items():
            counts[t] += n * e
    total = sum(counts.values())
    # a probability that falls to 0 would have no logarithm
    new = {t: max(e, 1e-9) / total for t, e in counts.items()}
    return new, log_likelihood

# %% [markdown] tags=["lang-ko"]
# <!-- label: bpe-pruning -->
# ### 가지치기: 없어도 되는 조각부터
#
# 씨앗은 어휘보다 훨씬 많습니다. 그래서 EM을 세 번 돌 때마다, **없애도 글의 확률이 가장 적게 줄어드는 조각**부터 버립니다. 조각 $t$가 없어지면 그 자리는 다른 조각들로 적어야 합니다. 그중 가장 나은 나열의 점수를 $S_{-t}$라 하면, 조각 하나에 로그 확률을 $s(t) - S_{-t}$만큼 잃고, 그런 자리는 $p(t)$에 비례하게 있습니다.
#
# $$ \operatorname{loss}(t) \propto p(t)\,\bigl[s(t) - S_{-t}\bigr] $$
#
# 한 바이트짜리 조각은 버리지 않습니다. 글에 나오지 않은 바이트도 마지막에 가장 낮은 점수로 넣어 두어, BPE처럼 자르지 못할 글이 없게 합니다. BPE는 **작은 것을 붙여** 어휘를 키우고, 유니그램은 **큰 것을 버려** 어휘를 줄입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bpe-pruning -->
# ### Pruning: first what is least missed
#
# There are far more of these strings than the vocabulary may hold. So after every three rounds of EM we drop the pieces **whose loss makes the text least less likely**. Without piece $t$, its places have to be written with other pieces. Let $S_{-t}$ be the score of the best sequence of those: each place loses $s(t) - S_{-t}$ of log-probability, and the number of places is in proportion to $p(t)$.
#
# $$ \operatorname{loss}(t) \propto p(t)\,\bigl[s(t) - S_{-t}\bigr] $$
#
# Single bytes are never dropped. Bytes that the text does not contain join at the end with the lowest score, so that, as with BPE, no text is beyond cutting. BPE grows a vocabulary by **joining what is small**; Unigram shrinks one by **dropping what is large**.

# %%
def prune(p, size):
    """Keep single bytes and the `size` pieces that are missed most."""
    s = {t: math.log(q) for t, q in p.items()}
    loss = {t: p[t] * (s[t] - viterbi(t, s | {t: -math.inf})[1])
            for t in p if len(t) > 1}
    kept = set(sorted(loss, key=lambda t: (-loss[t], t))[:size])
    kept = {t: q for t, q in p.items() if len(t) == 1 or t in kept}
    return {t: q / sum(kept.values()) for t, q in kept.items()}

# %%
def learn_unigram(words, new_pieces):
    p, history = seeds(words, 8 * new_pieces), []
    while True:
        for _ in range(3):
            size = sum(len(t) > 1 for t in p)
            p, log_likelihood = em_step(words, p)
            history.append((size, log_likelihood))
        if size <= new_pieces:
            break
        p = prune(p, max(new_pieces, int(0.7 * size)))
    lowest = min(p.values())
    p = {bytes([b]): lowest for b in range(256)} | p
    return {t: math.log(q) for t, q in p.items()}, history

# %%
scores, history = learn_unigram(words, cfg.new_pieces)
n_bytes = sum(len(word) * n for word, n in words.items())
rising = [later[1] - sooner[1] for sooner, later in pairwise(history)
          if later[0] == sooner[0]]
assert min(rising) > -1e-6 * n_bytes

# %% tags=["remove-cell"]
record(n_unigram=len(scores), em_steps=len(history),
       n_seeds=history[0][0], em_rises=len(rising),
       bits_first=-history[0][1] / n_bytes / math.log(2),
       bits_low=-max(h[1] for h in history) / n_bytes / math.log(2),
       bits_last=-history[-1][1] / n_bytes / math.log(2))

# %% tags=["hide-input"]
bits = [-h[1] / n_bytes / math.log(2) for h in history]
fig, axes = plt.subplots(figsize=(5.6, 3.2))
for first in range(0, len(history), 3):
    steps = range(first, first + 3)
    axes.plot(steps, bits[first:first + 3], "o-", ms=4, c=COLOURS["tokens"])
    axes.text(first + 1, max(bits[first:first + 3]) + 0.03,
              f"{history[first][0]:,}", ha="center", fontsize=8)
axes.set(xlabel="EM step", ylabel="bits a byte",
         xticks=range(0, len(history), 3),
         ylim=(min(bits) - 0.08, max(bits) + 0.12))
show(fig, table=pd.DataFrame({"pieces": [h[0] for h in history],
                              "bits a byte": bits}))

# %% [markdown] tags=["lang-ko", "caption"]
# EM 세 번마다 조각을 버립니다. 세로는 글을 적는 데 드는 비트(작을수록 그럴듯함), 선 위의 수는 그때의 조각 수입니다. 이어진 점들 안에서는 내려가기만 합니다. 처음에는 버려도 잃는 것이 거의 없지만, 조각이 적어질수록 한 번 버릴 때마다 더 높은 데서 다시 시작합니다.
# <!-- alt: 세 점씩 이어진 짧은 선이 왼쪽에서 오른쪽으로 늘어서 있고, 위에 줄어드는 조각 수가 적혀 있다. 첫 선은 가파르게 내려가고, 이어지는 몇 선은 바닥에 누워 있으며, 그 뒤로는 선마다 앞 선보다 높은 데서 시작해 조금 내려간다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Pieces are dropped after every three steps of EM. Upwards: the bits it takes to write the text (fewer is likelier); the numbers above the lines are the pieces at that time. Within joined points it only falls. At first hardly anything is lost by dropping; the fewer the pieces, the higher it starts again each time.
# <!-- alt: Short lines of three points each stand from left to right, with the shrinking number of pieces above them. The first line falls steeply, the next few lie flat at the bottom, and from then on each line starts higher than the one before and falls a little. -->

# %% [markdown] tags=["lang-ko"]
# 조각을 그대로 둔 EM 걸음 ⟨em_rises⟩번에서 글의 확률은 한 번도 줄지 않았습니다. 이제 이 점수를 `tokenizers`의 유니그램 모델에 넣고, 배운 글과 그다음 글의 모든 낱말을 우리의 비터비와 견줍니다.
# %% [markdown] tags=["lang-en"]
# In the ⟨em_rises⟩ steps of EM that kept the pieces, the text never became less likely. Now these scores go into the Unigram model of `tokenizers`, and every word of the text we learned from, and of the text after it, is compared with our Viterbi.

# %%
fast = unigram_of(scores)
after = plays[cfg.characters:2 * cfg.characters]
held = Counter(pre_tokens(after))
every = {*words, *held}
alike = sum(viterbi(word, scores)[0] == their_cut(fast, word)
            for word in every)
pd.DataFrame({"words": [f"{len(every):,}"], "cut alike": [f"{alike:,}"]},
             index=["Viterbi = tokenizers"])

# %% tags=["remove-cell"]
record(viterbi_asked=len(every), viterbi_alike=alike)

# %% [markdown] tags=["lang-ko"]
# <!-- label: bpe-apart -->
# ## 둘이 갈라지는 곳
#
# 같은 글에서 같은 크기의 어휘를 배웠으니 견줄 수 있습니다. BPE와 유니그램으로 배운 글과 그다음 글을 자르고, 토큰 수와 같게 잘린 낱말의 비율, 한 번도 쓰이지 않은 조각의 수를 셉니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bpe-apart -->
# ## Where the two part
#
# Both have learned a vocabulary of one size from one text, so they can be compared. We cut the text they learned from and the one after it, and count tokens, the share of words cut alike, and pieces that are never used.

# %%
rank_of = {pair: rank for rank, pair in enumerate(merges)}
sides = {"text learned from": words, "text after it": held}
rows, apart, cut_of = {}, Counter(), {}
for side, counted in sides.items():
    total, used = Counter(), {"bpe": Counter(), "uni": Counter()}
    for word, k in counted.items():
        cut = {"bpe": bpe(word, rank_of), "uni": viterbi(word, scores)[0]}
        cut_of[word] = cut
        for way, pieces in cut.items():
            total[way] += k * len(pieces)
            used[way].update(pieces)
        total["same"] += k * (cut["bpe"] == cut["uni"])
    rows[side] = (total["bpe"], total["uni"],
                  100 * total["same"] / counted.total(),
                  sum(b"".join(m) not in used["bpe"] for m in merges),
                  sum(len(t) > 1 and t not in used["uni"] for t in scores))

# %% tags=["hide-input"]
(bpe_in, uni_in, same_in, idle_bpe, idle_uni), (
    bpe_out, uni_out, same_out, *_) = rows.values()
record(bpe_in=bpe_in, uni_in=uni_in, same_in=same_in, same_out=same_out,
       bpe_out=bpe_out, uni_out=uni_out, idle_bpe=idle_bpe,
       idle_uni=idle_uni, uni_fewer_in=100 * (1 - uni_in / bpe_in),
       uni_fewer_out=100 * (1 - uni_out / bpe_out))
pd.DataFrame({side: (f"{a:,}", f"{b:,}", f"{same:.1f}%", str(c), str(d))
              for side, (a, b, same, c, d) in rows.items()}, index=[
    "tokens of BPE", "tokens of Unigram", "words cut alike",
    "pieces BPE never used", "pieces Unigram never used"])

# %% [markdown] tags=["lang-ko"]
# 배운 글에서 낱말의 ⟨same_in⟩%가 같게 잘립니다. 비율은 낱말이 나온 횟수로 셉니다. 이 글에서는 유니그램의 토큰이 ⟨uni_fewer_in⟩% 적습니다. 그다음 글에서는 BPE가 ⟨bpe_out⟩개, 유니그램이 ⟨uni_out⟩개를 씁니다. 배운 글에서 난 차이가 다른 글에서도 그대로라고 믿을 수는 없습니다.
#
# 쓰이지 않은 조각도 다릅니다. 배운 글에서 BPE의 조각 ⟨idle_bpe⟩개는 더 큰 조각으로 가는 **징검다리**였을 뿐 토큰으로는 한 번도 나오지 않습니다. `⟨idle_examples⟩` 같은 것들입니다. 그래도 뺄 수 없습니다. 빼면 그 위의 조각도 만들어지지 않습니다. 유니그램에서 그런 조각은 ⟨idle_uni⟩개입니다.
#
# 다르게 잘린 낱말 가운데 흔한 것을 봅시다. 마지막 열은 BPE의 어휘로 가장 적은 조각으로 자른 것입니다. 점수를 모두 $-1$로 둔 비터비가 바로 그것입니다.
# %% [markdown] tags=["lang-en"]
# In the text they learned from, ⟨same_in⟩% of the words, counted as often as they occur, are cut alike, and Unigram needs ⟨uni_fewer_in⟩% fewer tokens. In the text after it BPE takes ⟨bpe_out⟩ and Unigram ⟨uni_out⟩: a difference in the text that was learned from need not hold elsewhere.
#
# Unused pieces differ too. In the text they were learned from, ⟨idle_bpe⟩ pieces of BPE were only **stepping stones** on the way to larger ones and never come out as tokens, such as `⟨idle_examples⟩`. Still none of them can go: without it, the pieces above it are not made either. Unigram has ⟨idle_uni⟩ such pieces.
#
# Here are common words that are cut differently. The last column cuts into the fewest pieces of BPE's vocabulary: that is Viterbi with every score at $-1$.

# %%
ones = {piece: -1 for piece in [bytes([b]) for b in range(256)]}
ones |= {b"".join(pair): -1 for pair in merges}
differ_most = sorted((w for w in words if cut_of[w]["bpe"] != cut_of[w]["uni"]
                      and len(w) > 4), key=lambda w: (-words[w], w))[:8]
pd.DataFrame([(words[w], shown(cut_of[w]["bpe"]), shown(cut_of[w]["uni"]),
               shown(viterbi(w, ones)[0])) for w in differ_most],
             columns=["count", "BPE", "Unigram", "fewest pieces"],
             index=[shown([w]) for w in differ_most])

# %% tags=["remove-cell"]
used = {piece for w in words for piece in cut_of[w]["bpe"]}
idle = [piece for piece in map(b"".join, merges) if piece not in used]
wasted = sum(n for w, n in words.items()
             if len(cut_of[w]["bpe"]) > -viterbi(w, ones)[1])
record(idle_examples=", ".join(shown([t]) for t in idle[-3:]) or "–",
       wasted=100 * wasted / words.total())

# %% [markdown] tags=["lang-ko"]
# BPE는 배운 글의 낱말 가운데 ⟨wasted⟩%를 자기 어휘로 할 수 있는 것보다 많은 조각으로 자릅니다. 먼저 붙인 것을 되돌리지 않기 때문입니다. 한눈에 견주면 이렇습니다.
#
# | | BPE | 유니그램 |
# |---|---|---|
# | 간직하는 것 | 병합의 차례 | 조각마다의 점수 |
# | 배우는 길 | 작은 것을 붙여 키웁니다 | 큰 것을 버려 줄입니다 |
# | 자르는 법 | 순위가 앞선 쌍부터, 되돌리지 않고 | 합이 가장 큰 경로를 한 번에 |
# | 무엇이 옳은 자르기인가 | 이웃한 쌍이 모두 맞는 것 | 합이 가장 큰 것, 이웃은 보지 않음 |
# | 조각 하나를 빼면 | 그 위의 조각도 사라집니다 | 그 조각만 사라집니다 |
#
# 마지막 줄이 3부의 열쇠입니다. 조각을 하나씩 바꾸려면 유니그램이어야 합니다. 그런데 배워 둔 언어 모델은 BPE의 조각과 번호에 맞추어져 있고, 여기서 새로 배운 유니그램은 조각부터 다릅니다. 그래서 [다음 장](15_tokenizer_distillation.ipynb)은 BPE의 **어휘와 번호를 그대로 두고** 점수만 새로 찾아, 유니그램이 BPE와 똑같이 자르게 하려 합니다. 이웃을 모르는 모델이 이웃에 대한 규칙을 어디까지 흉내 낼 수 있을까요?
# %% [markdown] tags=["lang-en"]
# BPE cuts ⟨wasted⟩% of the words it learned from into more pieces than its own vocabulary would need, since it never takes back what it joined first. Side by side:
#
# | | BPE | Unigram |
# |---|---|---|
# | What it keeps | an order of merges | a score for each piece |
# | How it learns | grows by joining what is small | shrinks by dropping what is large |
# | How it cuts | lowest rank first, nothing taken back | the path of largest sum, in one go |
# | Which cut is right | the one whose neighbouring pairs are all right | the one of largest sum; neighbours do not count |
# | Take one piece out | and those above it go too | and only that piece is gone |
#
# The last line is the key to Part III. To change pieces one at a time it takes a Unigram. But a language model that has been trained is fitted to BPE's pieces and ids, and the Unigram learned here does not even have the same pieces. So [the next chapter](15_tokenizer_distillation.ipynb) **keeps BPE's vocabulary and ids** and looks for nothing but scores under which Unigram cuts as BPE does. How far can a model that knows no neighbours imitate a rule about neighbours?

# %% [markdown] tags=["lang-ko"]
# <!-- label: bpe-exercises -->
# ## 연습 문제
#
# 빈칸(`...`)을 채운 다음 바로 아래 셀을 실행하면 답이 맞는지 알 수 있습니다. 풀이는 접어 두었습니다.
#
# <!-- label: bpe-exercise-merge -->
# ### 1. 쌍 붙이기 (★, 8분)
#
# 조각의 리스트 `cut`에서 쌍 `pair`를 왼쪽부터 모두 붙인 새 리스트를 돌려주는 함수를 쓰십시오. 같은 조각이 겹칠 때와, 이어 붙인 글자는 같지만 경계가 다를 때를 살피십시오.
# %% [markdown] tags=["lang-en"]
# <!-- label: bpe-exercises -->
# ## Exercises
#
# Fill in the gap (`...`) and run the next cell: it tells you whether the answer holds. Solutions are folded.
#
# <!-- label: bpe-exercise-merge -->
# ### 1. Join a pair (★, 8 minutes)
#
# Write a function that returns a new list in which every occurrence of `pair` in the list of pieces `cut` is joined, from the left. Mind pieces that overlap with themselves, and letters that are the same but have their border elsewhere.

# %% tags=["exercise"]
def my_merge(cut, pair):
    ...

# %%
from lib.exercises.bpe import check_merge

check_merge(my_merge)

# %% tags=["solution", "hide-cell"]
def merge_solution(cut, pair):
    done = []
    for piece in cut:
        if done and not done[-1][1] and (done[-1][0], piece) == pair:
            done[-1] = (done[-1][0] + piece, True)  # joined: not again
        else:
            done.append((piece, False))
    return [piece for piece, _ in done]


assert check_merge(merge_solution)
check_merge(merge_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: bpe-exercise-fewest -->
# ### 2. 먼저 붙여서 손해 보기 (★★, 12분)
#
# GPT-2가 **어휘로 할 수 있는 것보다 많은 토큰**으로 자르는 낱말을 하나 찾으십시오. 로마자로만 된 4–40글자이고, 프리토큰 하나여야 합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bpe-exercise-fewest -->
# ### 2. Joined too early (★★, 12 minutes)
#
# Find a word that GPT-2 cuts into **more tokens than its vocabulary would need**. It must be 4–40 Latin letters and nothing else, and a single pre-token.

# %% tags=["exercise"]
my_word = ...

# %%
from lib.exercises.bpe import check_fewest

check_fewest(my_word, gpt2)

# %% tags=["solution", "hide-cell"]
costs = dict.fromkeys(ids, -1)
its_word = next(
    word.decode() for word in sorted(words)
    if word.isalpha() and len(word) > 3
    and len(bpe(word, ranks)) > -viterbi(word, costs)[1])
assert check_fewest(its_word, gpt2)
check_fewest(its_word, gpt2)

# %% [markdown] tags=["lang-ko"]
# <!-- label: bpe-exercise-expected -->
# ### 3. 기대 횟수 (★★, 20분)
#
# 낱말과 조각의 확률(사전)을 받아, 조각마다의 기대 횟수를 사전으로 돌려주는 함수를 쓰십시오. 늘어놓아도 좋고, 앞뒤의 합을 써도 좋습니다. 세 번째 길도 있습니다. $\log Z_w$를 $\log p(t)$로 미분하면 바로 $e_t$입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bpe-exercise-expected -->
# ### 3. Expected counts (★★, 20 minutes)
#
# Write a function that takes a word and a dictionary of the pieces' probabilities and returns a dictionary of their expected counts. List all cuts, or use the sums from both sides. There is a third way: the derivative of $\log Z_w$ by $\log p(t)$ is $e_t$.

# %% tags=["exercise"]
def my_counts(word, p):
    ...

# %%
from lib.exercises.bpe import check_expected

check_expected(my_counts)

# %% tags=["solution", "hide-cell"]
def counts_solution(word, p):
    """Derivatives of log Z, carried along with Z itself."""
    z = [(1.0, Counter())] + [None] * len(word)
    for j in range(1, len(word) + 1):
        total, slope = 0.0, Counter()
        for i in range(j):
            q = p.get(word[i:j], 0.0)
            total += z[i][0] * q
            slope[word[i:j]] += z[i][0] * q
            for t, x in z[i][1].items():
                slope[t] += x * q
        z[j] = total, slope
    return {t: x / z[-1][0] for t, x in z[-1][1].items()}


assert check_expected(counts_solution)
check_expected(counts_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: bpe-exercise-pairs -->
# ### 4. 병합하지 않는 BPE (★★★, 20분)
#
# 병합 목록 없이 BPE처럼 자르는 함수를 쓰십시오. 받는 것은 낱말, 어휘의 조각들, 그리고 이웃한 두 조각이 맞는지 알려 주는 함수 `pair_is_right(a, b)`뿐입니다. 모든 쌍이 맞는 나열은 꼭 하나입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bpe-exercise-pairs -->
# ### 4. BPE without merges (★★★, 20 minutes)
#
# Write a function that cuts as BPE does without a list of merges. It gets the word, the pieces of the vocabulary, and a function `pair_is_right(a, b)` that tells whether two neighbours are right. Exactly one sequence has all pairs right.

# %% tags=["exercise"]
def my_cut(word, pieces, pair_is_right):
    ...

# %%
from lib.exercises.bpe import check_pairs

check_pairs(my_cut)

# %% tags=["solution", "hide-cell"]
def cut_solution(word, pieces, pair_is_right):
    # ending[j]: for each last piece up to j, a cut whose pairs are right
    ending = [{b"": []}] + [{} for _ in word]
    for j in range(1, len(word) + 1):
        for i in range(j):
            piece = word[i:j]
            for last, cut in ending[i].items():
                if piece in pieces and (not last or
                                        pair_is_right(last, piece)):
                    ending[j][piece] = [*cut, piece]
    return next(iter(ending[-1].values()))


assert check_pairs(cut_solution)
check_pairs(cut_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: bpe-measured -->
# ## 무엇을 무엇으로 쟀는가
#
# | 견준 것 | 결과 |
# |---|---|
# | 배운 병합과 `tokenizers`의 병합 | ⟨learned⟩개 가운데 ⟨same_merges⟩개가 자리까지 같음 |
# | GPT-2의 번호, `tokenizers`와 `tiktoken` 둘 다 | ⟨checked_ids⟩개, 다른 것 ⟨wrong_ids⟩개 |
# | 정리, 글자 둘로 길이 ⟨longest⟩까지 모두 | 어긋난 것 ⟨toy_disagree⟩개 |
# | 정리, GPT-2의 조각 다섯 개씩 ⟨n_samples⟩번 | 어긋난 것 ⟨gpt2_disagree⟩개 |
# | 비터비와 `tokenizers`의 유니그램 | 낱말 ⟨viterbi_asked⟩개 가운데 ⟨viterbi_alike⟩개가 같음 |
# | 한글 한 글자가 걸친 토큰 | GPT-2 ⟨syllable_gpt2⟩개, SmolLM2 ⟨syllable_smol⟩개 |
#
# 배운 것은 작은 말뭉치 하나에서의 결과입니다. 유니그램의 씨앗과 가지치기는 이 장의 것이라, `sentencepiece`나 `tokenizers`가 배우는 어휘와 같지 않습니다. 점수가 같을 때 같게 자른다는 것만 견주었습니다. 프로필은 ⟨profile⟩입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: bpe-measured -->
# ## What was measured, and on what
#
# | compared | result |
# |---|---|
# | Merges we learned and those of `tokenizers` | ⟨same_merges⟩ of ⟨learned⟩ alike, place by place |
# | GPT-2's ids, against both `tokenizers` and `tiktoken` | ⟨checked_ids⟩ ids, ⟨wrong_ids⟩ differ |
# | The theorem, all texts of two letters up to length ⟨longest⟩ | ⟨toy_disagree⟩ disagree |
# | The theorem, five pieces of GPT-2, ⟨n_samples⟩ times | ⟨gpt2_disagree⟩ disagree |
# | Viterbi and the Unigram of `tokenizers` | ⟨viterbi_alike⟩ of ⟨viterbi_asked⟩ words alike |
# | Tokens over which a Hangul syllable is spread | GPT-2 ⟨syllable_gpt2⟩, SmolLM2 ⟨syllable_smol⟩ |
#
# What was learned comes from one small corpus. How our Unigram starts and prunes is this chapter's own, and its vocabulary is not the one `sentencepiece` or `tokenizers` would learn; what was compared is that equal scores give equal cuts. The profile is ⟨profile⟩.

# %% tags=["hide-input"]
import platform
from importlib.metadata import version


def both_titles(name):
    """A data set's title in both languages, for a table."""
    ko, en = (data.describe(name, language) for language in ("ko", "en"))
    return ko if ko == en else f"{ko} | {en}"


record(profile=cfg.profile)
named = {"희곡 | plays": both_titles("tinyshakespeare"),
         "한국어 글 | Korean text": both_titles("korean"),
         "GPT-2의 병합 | GPT-2's merges": both_titles("gpt2"),
         "tokenizers, tiktoken": ", ".join(map(version, (
             "tokenizers", "tiktoken"))),
         "파이썬 | Python": platform.python_version()}
pd.DataFrame({"무엇으로 | which": named})
