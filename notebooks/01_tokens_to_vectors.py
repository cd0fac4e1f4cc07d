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
# <!-- label: tokens-to-vectors -->
# # 토큰에서 벡터로: 글이 모델에 들어가기까지
#
# 언어 모델(language model)은 글자를 읽지 못합니다. 첫 층이 받는 것은 수로 된 행렬입니다. 이 장에서는 문장 하나가 바이트가 되고, 조각이 되고, 번호가 되고, 행렬의 행이 되고, 마지막으로 자리를 얻기까지를 실제 토크나이저(tokenizer)와 실제 임베딩(embedding) 행렬로 따라갑니다.
#
# - **할 수 있게 되는 것.** 같은 말이 왜 한국어에서 더 많은 토큰(token)이 되는지 재고, 번호가 벡터가 되는 계산을 손으로 하고, 임베딩의 이웃에서 읽어도 되는 것과 안 되는 것을 가리고, 위치 인코딩(positional encoding)이 무엇을 싣는지 설명할 수 있습니다.
# - **걸리는 시간.** 읽기 40분, 연습 문제 55분.
# - **필요한 것.** 행렬 곱, 내적(dot product), 사인과 코사인, 파이썬과 파이토치 조금.
#
# 토크나이저는 GPT-2와 SmolLM2의 것 둘을 나란히 쓰고, 임베딩은 SmolLM2-135M-Instruct의 것입니다. 행이 ⟨vocab⟩개, 열이 ⟨d_model⟩개인 행렬입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: tokens-to-vectors -->
# # Tokens to vectors: how text enters a model
#
# A language model cannot read letters. What its first layer receives is a matrix of numbers. This chapter follows one sentence as it becomes bytes, pieces, ids, rows of a matrix, and at last gets its positions, with real tokenizers and a real embedding matrix.
#
# - **You will be able to** measure why the same thing said in Korean takes more tokens; do by hand what turns an id into a vector; tell what the neighbours of an embedding show from what they do not; explain what a positional encoding carries.
# - **Time.** 40 minutes to read, 55 for the exercises.
# - **You need** matrix products, dot products, sine and cosine, a little Python and PyTorch.
#
# Two tokenizers stand side by side, those of GPT-2 and of SmolLM2. The embedding is that of SmolLM2-135M-Instruct, a matrix of ⟨vocab⟩ rows and ⟨d_model⟩ columns.

# %% tags=["parameters"]
profile: str = None  # smoke, book or gpu; None follows BOOK_PROFILE, else book
sentence = "고양이가 물을 마신다."  # followed from text to matrix
sentence_en = "The cat drinks the water."  # the same in English
characters: int = None  # of each corpus that is cut; None: the profile decides
rows: int = None  # rows of the random embedding; None: the profile decides
shuffles: int = None  # random orders to compare with; None: the profile
device = "cpu"  # cpu, cuda or auto

# %% tags=["hide-input"]
import math
import re

import pandas as pd
import torch
import torch.nn.functional as F

from lib.data import describe, gpt2_tokenizer, language_model, text
from lib.page.figures import COLOURS, DIVERGING, show, use_style
from lib.page.profile import expect, settings
from lib.page.record import record
from lib.tokens.bytelevel import piece_bytes
from lib.tokens.labels import token_labels

use_style()
pd.set_option("display.max_colwidth", None)

# %% tags=["hide-input"]
quick = {"characters": 30_000, "rows": 2_000, "shuffles": 200}
full = {"characters": 300_000, "rows": 37_000, "shuffles": 1_000}
large = {"characters": 1_100_000, "rows": 37_000, "shuffles": 20_000}
given = {"characters": characters, "rows": rows, "shuffles": shuffles}
expect(str, sentence=sentence, sentence_en=sentence_en)
cfg = settings(profile, smoke=quick, book=full, gpu=large, given=given,
               device=device)

# %% [markdown] tags=["lang-ko"]
# <!-- label: vectors-bytes -->
# ## 글자에서 바이트로
#
# 컴퓨터는 글을 바이트의 나열로 간직합니다. 거의 모든 글이 쓰는 UTF-8에서 로마자 한 글자는 1바이트, 한글 한 글자는 3바이트입니다. 바이트는 0에서 255까지의 수이고, 아래 표는 그것을 십육진수로 적었습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: vectors-bytes -->
# ## From characters to bytes
#
# A computer keeps text as a row of bytes. In UTF-8, which nearly all text uses, a Latin letter is 1 byte and a Hangul syllable 3. A byte is a number from 0 to 255; the table writes it in hexadecimal.

# %%
samples = ["물", "water", "é", "🙂"]
pd.DataFrame({
    "characters": [len(s) for s in samples],
    "bytes": [len(s.encode()) for s in samples],
    "the bytes": [s.encode().hex(" ").upper() for s in samples],
}, index=samples)

# %% [markdown] tags=["lang-ko"]
# 바이트는 256가지뿐이므로, 바이트를 읽을 줄 아는 모델은 어떤 언어의 글이든 읽기 시작할 수 있습니다. 대신 글이 길어집니다. 그래서 토크나이저는 자주 나란히 나오는 바이트를 붙여 더 큰 조각을 만듭니다.
# %% [markdown] tags=["lang-en"]
# There are only 256 different bytes, so a model that can read bytes can start on text in any language. The price is length. That is why a tokenizer joins bytes that often stand side by side into larger pieces.

# %% [markdown] tags=["lang-ko"]
# <!-- label: vectors-pieces -->
# ## 바이트에서 조각으로
#
# GPT-2와 SmolLM2는 모두 바이트 수준(byte-level)의 바이트 쌍 인코딩(byte pair encoding, BPE)을 씁니다. 많은 글에서 가장 잦은 쌍부터 차례로 붙여 조각의 목록을 만들었고, 그 목록이 어휘(vocabulary)입니다. 붙이는 순서가 어떻게 정해지고 어떻게 쓰이는지는 [BPE와 유니그램(Unigram)](14_bpe_and_unigram.ipynb)에서 한 단계씩 봅니다. 여기서는 결과만 봅니다. 뜻이 같은 두 문장을 두 토크나이저로 자릅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: vectors-pieces -->
# ## From bytes to pieces
#
# GPT-2 and SmolLM2 both use byte-level byte pair encoding (BPE). From a great deal of text the most frequent pairs were joined, one after the other, into a list of pieces: the vocabulary. How the order of joining comes about and is used, [BPE and Unigram](14_bpe_and_unigram.ipynb) shows step by step. Here we look at the result only. Two sentences of the same meaning are cut by both tokenizers.

# %%
model, tokenizer = language_model("sdpa")
model.to(cfg.device)
smollm2 = tokenizer.backend_tokenizer
cutters = {"GPT-2": gpt2_tokenizer(), "SmolLM2": smollm2}
sentences = {"Korean": sentence, "English": sentence_en}

table = []
for language, said in sentences.items():
    for name, cutter in cutters.items():
        cut = token_labels(cutter.encode(said).tokens)
        table.append([f"{language}, {name}", len(said), len(said.encode()),
                      len(cut), " ".join(cut)])
pd.DataFrame(table, columns=[
    "", "characters", "bytes", "tokens", "pieces"]).set_index("")

# %% [markdown] tags=["lang-ko"]
# `고·1/3`은 “고”를 이루는 바이트 세 개 가운데 첫째만 든 조각이고, `␣`는 빈칸입니다. 영어 문장은 낱말 하나가 조각 하나입니다. 한국어 문장은 거의 바이트 하나하나로 부서졌습니다. 두 토크나이저가 주로 영어 글에서 쌍을 세었기 때문입니다. 한 문장만의 일이 아닌지, 영어는 ⟨english_ko⟩에서 앞쪽 ⟨n_english⟩글자, 한국어는 ⟨korean_ko⟩에서 앞쪽 ⟨n_korean⟩글자를 잘라 셉니다.
# %% [markdown] tags=["lang-en"]
# `고·1/3` is a piece that holds only the first of the three bytes of “고”, and `␣` is a space. In the English sentence a word is a piece. The Korean sentence has nearly fallen into single bytes, because both tokenizers counted their pairs mostly in English text. Is it only this sentence? We cut the first ⟨n_english⟩ characters of ⟨english_en⟩ and, for Korean, the first ⟨n_korean⟩ of ⟨korean_en⟩, and count.

# %%
corpora = {"tinyshakespeare": "English", "korean": "Korean"}
parts = {corpus: text(corpus)[:cfg.characters] for corpus in corpora}
cut_ids, table = {}, []
for corpus, language in corpora.items():
    part = parts[corpus]
    for name, cutter in cutters.items():
        ids = cutter.encode(part).ids
        cut_ids[corpus, name] = ids
        table.append([f"{language}, {name}", len(ids) / len(part),
                      len(part.encode()) / len(ids),
                      cutter.decode(ids) == part])
counts = pd.DataFrame(table, columns=[
    "", "tokens per character", "bytes per token",
    "decodes to the same"]).set_index("")
counts.round(3)

# %% tags=["remove-input"]
per_character = counts.iloc[:, 0]
bytes_each = counts.iloc[:, 1]
places = ["en_gpt2", "en_smol", "ko_gpt2", "ko_smol"]
record(**{f"tokens_{place}": value
          for place, value in zip(places, per_character, strict=True)})
record(**{f"bytes_{place}": value
          for place, value in zip(places, bytes_each, strict=True)})
for name, (corpus, part) in zip(("english", "korean"), parts.items(),
                                strict=True):
    record(f"n_{name}", len(part))
    record(**{f"{name}_{side}": describe(corpus, side)
              for side in ("ko", "en")})
record(vocab=smollm2.get_vocab_size(),
       gpt2_vocab=cutters["GPT-2"].get_vocab_size(),
       d_model=model.config.hidden_size,
       longer_gpt2=per_character.iloc[2] / per_character.iloc[0],
       longer_smol=per_character.iloc[3] / per_character.iloc[1])

# %% [markdown] tags=["lang-ko"]
# SmolLM2의 토크나이저는 영어에서 글자당 ⟨tokens_en_smol⟩개, 한국어에서 글자당 ⟨tokens_ko_smol⟩개의 토큰을 냅니다. 글자당으로 ⟨longer_smol⟩배이고, GPT-2에서는 ⟨longer_gpt2⟩배입니다. 한 조각에 든 바이트로 보면 영어는 ⟨bytes_en_smol⟩바이트, 한국어는 ⟨bytes_ko_smol⟩바이트입니다. 한국어 쪽은 바이트를 붙이는 일이 거의 일어나지 않았다는 뜻입니다.
#
# > **주의.** 한글 한 글자는 로마자 한 글자보다 많은 것을 담으므로, 글자당 토큰의 차이를 그대로 손해로 읽으면 안 됩니다. 두 말뭉치(corpus)는 서로 번역한 글도 아닙니다. 뜻이 같은 글로 견주려면 위의 두 문장처럼 짝지은 글이 많이 있어야 합니다.
#
# 그래도 방향은 분명합니다. 모델이 한 번에 보는 길이는 토큰으로 정해져 있으니, 이런 토크나이저를 쓰는 모델은 한국어를 더 짧게 봅니다. 게다가 “고”라는 글자를 한 번에 본 적이 없습니다. 세 조각이 차례로 들어올 뿐입니다.
# %% [markdown] tags=["lang-en"]
# The tokenizer of SmolLM2 gives ⟨tokens_en_smol⟩ tokens a character in English and ⟨tokens_ko_smol⟩ in Korean: ⟨longer_smol⟩ times as many per character, and for GPT-2 ⟨longer_gpt2⟩ times. Counted in bytes a piece, it is ⟨bytes_en_smol⟩ in English and ⟨bytes_ko_smol⟩ in Korean. In Korean hardly any bytes were joined at all.
#
# > **Note.** A Hangul syllable holds more than a Latin letter, so tokens per character must not be read as the loss itself. Nor are the two corpora translations of each other. A comparison at equal meaning would need many paired texts such as the two sentences above.
#
# The direction is clear all the same. How much a model sees at once is fixed in tokens, so a model with such a tokenizer sees less Korean. Moreover, it never sees the letter “고” as one thing: three pieces come in, one after the other.

# %%
pieces = piece_bytes(smollm2)  # the bytes of each id
known = {name: set(piece_bytes(cutter)) for name, cutter in cutters.items()}
hangul = {name: sum(bool(re.search("[가-힣]", p.decode(errors="ignore")))
                    for p in there) for name, there in known.items()}
alone = {name: sum(bytes([b]) in there for b in range(256))
         for name, there in known.items()}
lost = smollm2.decode(smollm2.encode("a\x04b").ids)
pd.DataFrame({
    "vocabulary": {n: c.get_vocab_size() for n, c in cutters.items()},
    "pieces with a whole Hangul syllable": hangul,
    "bytes that are a piece": alone})

# %% tags=["remove-input"]
record(hangul_gpt2=hangul["GPT-2"], hangul_smol=hangul["SmolLM2"],
       bytes_missing=256 - alone["SmolLM2"], text_lost=repr(lost))

# %% [markdown] tags=["lang-ko"]
# 온전한 한글이 든 조각은 GPT-2에 ⟨hangul_gpt2⟩개, SmolLM2에 ⟨hangul_smol⟩개입니다. 마지막 열도 보아 둘 만합니다. GPT-2에는 256가지 바이트가 모두 조각으로 있어서 어떤 글이든 잃지 않습니다. SmolLM2에는 ⟨bytes_missing⟩가지가 없습니다. 보통 글에 나오지 않는 바이트들이지만, 나오면 말없이 사라집니다. `"a\x04b"`를 자른 뒤 되돌린 글은 `⟨text_lost⟩`입니다.
# %% [markdown] tags=["lang-en"]
# Pieces with a whole Hangul syllable: ⟨hangul_gpt2⟩ in GPT-2 and ⟨hangul_smol⟩ in SmolLM2. The last column is worth a look too. In GPT-2 all 256 bytes are pieces, so no text is ever lost. SmolLM2 lacks ⟨bytes_missing⟩ of them. They are bytes that ordinary text does not contain, but where they occur they vanish without a word: `"a\x04b"`, cut and decoded, becomes `⟨text_lost⟩`.

# %% [markdown] tags=["lang-ko"]
# <!-- label: vectors-lookup -->
# ## 번호에서 벡터로
#
# 조각은 어휘에서 차지한 번호로 바뀝니다. 번호의 크기에는 뜻이 없습니다. 5번이 4번보다 크다는 것은 아무 말도 아닙니다. 그래서 번호를 수로 쓰지 않고, **행렬의 몇째 행인지 가리키는 데** 씁니다. 이 행렬 $E \in \mathbb{R}^{V \times d}$가 임베딩이고, 행 하나하나를 학습으로 정합니다.
#
# $$x_t = E_{\mathrm{id}_t} = o_t E, \qquad o_t = (0, \dots, 0, \underset{\mathrm{id}_t}{1}, 0, \dots, 0)$$
#
# 가운데의 식은 행을 꺼내는 것이고, 오른쪽의 식은 한 칸만 1인 벡터, 곧 원핫(one-hot) 벡터 $o_t$를 행렬에 곱하는 것입니다. 둘은 같습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: vectors-lookup -->
# ## From ids to vectors
#
# A piece becomes its number in the vocabulary, its id. The size of an id means nothing: that 5 is more than 4 says nothing about the pieces. So an id is not used as a number but to **point at a row of a matrix**. This matrix $E \in \mathbb{R}^{V \times d}$ is the embedding; each of its rows is learned.
#
# $$x_t = E_{\mathrm{id}_t} = o_t E, \qquad o_t = (0, \dots, 0, \underset{\mathrm{id}_t}{1}, 0, \dots, 0)$$
#
# The first form takes a row out. The second multiplies the matrix by a one-hot vector $o_t$, which is 1 in one place. They are the same.

# %%
E = model.get_input_embeddings().weight.detach().cpu()
ids = torch.tensor(smollm2.encode(sentence).ids)

looked_up = E[ids]
one_hot = F.one_hot(ids, len(E)).float()
multiplied = one_hot @ E
with torch.no_grad():
    seen = model(ids[None].to(cfg.device), output_hidden_states=True)
entered = seen.hidden_states[0][0].cpu()

pd.DataFrame([
    ["E[ids]", str(tuple(looked_up.shape)), 0.0],
    ["one_hot @ E", str(tuple(multiplied.shape)),
     (multiplied - looked_up).abs().max().item()],
    ["hidden_states[0]", str(tuple(entered.shape)),
     (entered - looked_up).abs().max().item()],
], columns=["", "shape", "largest difference"]).set_index("")

# %% tags=["remove-input"]
record(lookup_gap=(multiplied - looked_up).abs().max().item(),
       enter_gap=(entered - looked_up).abs().max().item(),
       n_tokens=len(ids), n_cells=one_hot.numel(),
       n_copied=looked_up.numel())

# %% [markdown] tags=["lang-ko"]
# 세 행렬이 마지막 비트까지 같습니다(차이 ⟨lookup_gap⟩, ⟨enter_gap⟩). 마지막 행은 모델이 스스로 만든 것입니다. 첫 층으로 들어가는 은닉 상태(hidden state)는 정말로 $E$의 행을 꺼내 쌓은 것입니다. 원핫 쪽은 이 한 문장에 칸 ⟨n_cells⟩개짜리 행렬을 만들어 거의 모두 0을 곱합니다. 그래서 실제로는 행을 꺼내기만 합니다.
#
# 같다는 것을 알면 기울기(gradient)도 저절로 나옵니다. 원핫 행렬 $O$로 쓰면 $\partial L / \partial E = O^\top (\partial L / \partial X)$이므로, **꺼내 쓴 행에만 기울기가 생기고** 여러 번 꺼낸 행에서는 더해집니다.
# %% [markdown] tags=["lang-en"]
# The three matrices agree to the last bit (differences ⟨lookup_gap⟩ and ⟨enter_gap⟩). The last one was made by the model itself: the hidden states that enter the first layer really are rows of $E$, taken out and stacked. The one-hot form builds a matrix of ⟨n_cells⟩ cells for this one sentence and multiplies nearly all of it by 0, so in practice rows are taken out and nothing is multiplied.
#
# Knowing that they are the same gives the gradient for free. With the one-hot matrix $O$ it is $\partial L / \partial E = O^\top (\partial L / \partial X)$: **only rows that were looked up get a gradient**, and a row that was looked up several times adds its gradients up.

# %%
leaf = E.clone().requires_grad_()
(leaf[ids] ** 2).sum().backward()
touched = int(leaf.grad.any(dim=1).sum())
pd.DataFrame({
    "tokens": [len(ids)],
    "different ids": [len(set(ids.tolist()))],
    "rows with a gradient": [touched],
    "all rows": [len(E)]}, index=["E"])

# %% tags=["remove-input"]
record(n_touched=touched, n_different=len(set(ids.tolist())))
del leaf

# %% [markdown] tags=["lang-ko"]
# 이 문장을 읽는 것만으로는 ⟨vocab⟩행 가운데 ⟨n_touched⟩행만 기울기를 얻습니다. 드문 조각의 행은 입력에서 배울 기회가 거의 없다는 뜻입니다. 그 흔적을 [곧](#vectors-common) 보게 됩니다.
# %% [markdown] tags=["lang-en"]
# Reading this sentence gives a gradient to ⟨n_touched⟩ of ⟨vocab⟩ rows. So at the input the rows of rare pieces have hardly a chance to learn. We shall see the trace of that [soon](#vectors-common).

# %% [markdown] tags=["lang-ko"]
# <!-- label: vectors-neighbours -->
# ## 가까운 행들
#
# 학습을 마친 행들은 어떻게 놓여 있을까요? 두 행의 방향이 얼마나 같은지 코사인 유사도(cosine similarity)로 재고, 조각마다 가장 가까운 다섯을 찾습니다. 아래쪽 세 행은 한국어에서 온 바이트 조각입니다. `<EA>`는 “고”의 첫 바이트, `<A0>`은 “고”의 마지막 바이트이고, `<EB><8B>`는 “다”의 앞 두 바이트입니다.
#
# $$\cos(a, b) = \frac{a \cdot b}{\lVert a \rVert \, \lVert b \rVert}$$
# %% [markdown] tags=["lang-en"]
# <!-- label: vectors-neighbours -->
# ## Rows that lie close
#
# How do the rows lie after training? How far two rows point the same way is measured by their cosine similarity; for some pieces we look up the nearest five. The last three are byte pieces from Korean: `<EA>` is the first byte of “고”, `<A0>` its last, and `<EB><8B>` the first two bytes of “다”.
#
# $$\cos(a, b) = \frac{a \cdot b}{\lVert a \rVert \, \lVert b \rVert}$$

# %%
def shown(i):
    """A piece as text; bytes that make no character in hexadecimal."""
    raw = pieces[i] or smollm2.id_to_token(i).encode()
    said = raw.decode(errors="backslashreplace")
    said = said.translate({32: "␣", 10: "⏎", 9: "⇥"})
    return re.sub(r"\\x(..)", lambda m: f"<{m[1].upper()}>", said)


def nearest(matrix, chosen, k=5):
    unit = F.normalize(matrix, dim=1)
    found = {}
    for piece in chosen:
        i = pieces.index(piece)
        top = (unit @ unit[i]).topk(k + 1)
        found[shown(i)] = [f"{shown(j)} {cosine:.2f}" for j, cosine in zip(
            top.indices.tolist()[1:], top.values[1:], strict=True)]
    return pd.DataFrame(found, index=range(1, k + 1)).T

# %%
korean_bytes = [b"\xea", b"\xa0", b"\xeb\x8b"]
words = [b" cat", b" March", b"7", b" hot", b" Seoul"]
nearest(E, words + korean_bytes)

# %% tags=["remove-input"]
def cosines(matrix, first, second):
    a, b = (matrix[pieces.index(piece)] for piece in (first, second))
    return F.cosine_similarity(a, b, dim=0).item()


seed = torch.Generator().manual_seed(0)
left, right = torch.randint(len(E), (2, 20_000), generator=seed)
random_cosine = F.cosine_similarity(E[left], E[right])
record(hot_cold=cosines(E, b" hot", b" cold"),
       hot_warm=cosines(E, b" hot", b" warm"),
       random_cosine=random_cosine.mean(), random_std=random_cosine.std())

# %% [markdown] tags=["lang-ko"]
# 위쪽 다섯 행에서는 이웃이 말이 됩니다. 다만 무엇이 같은지 보십시오. 대소문자와 빈칸만 다른 꼴이 먼저 오고, 그다음이 **같은 자리에 쓰이는 말**입니다. `␣hot`에게는 뜻이 반대인 `␣cold`(⟨hot_cold⟩)가 뜻이 비슷한 `␣warm`(⟨hot_warm⟩)보다 가깝습니다. 이웃은 쓰임이 비슷하다는 것을 말할 뿐, 뜻이 같다고 말하지 않습니다.
#
# `<EA>`의 이웃은 빈칸이 앞에 붙은 것까지 모두 `<EA>`에서 `<ED>`까지의 바이트입니다. UTF-8에서 한글 음절의 첫 바이트가 바로 이 넷입니다. 아무도 그렇다고 알려 주지 않았는데, 모델은 이 바이트들이 **한글이 시작되는 표시**라는 것을 글에서 배웠습니다. 그러나 거기까지입니다. 어느 글자인지는 뒤따르는 바이트가 와야 정해지고, 뒤쪽 바이트 `<A0>`의 이웃은 아무 뜻도 이루지 못합니다. 한국어 낱말의 뜻은 이 표 어디에도 없습니다. 바이트 조각을 모아 낱말의 뜻을 만드는 일은 뒤의 층들이 맡습니다.
#
# 마지막 행은 이상합니다. “다”의 조각 옆에 왜 `␣sandwic`이나 `␣gira` 같은 영어 조각이 올까요? 코사인도 꽤 큽니다. 실마리가 하나 있습니다. 아무렇게나 고른 두 행의 코사인을 평균하면 ⟨random_cosine⟩(표준편차 ⟨random_std⟩)입니다. 방향이 고르게 흩어져 있다면 이 평균은 0에 가까워야 합니다.
# %% [markdown] tags=["lang-en"]
# In the first five rows the neighbours make sense. But look at what is alike: forms that differ in capitals or a space come first, then **words used in the same places**. `␣hot` lies nearer to its opposite `␣cold` (⟨hot_cold⟩) than to the related `␣warm` (⟨hot_warm⟩). Neighbours say that use is similar; they do not say that meaning is the same.
#
# The neighbours of `<EA>`, with a space in front or not, are all bytes from `<EA>` to `<ED>`. In UTF-8 a Hangul syllable begins with just these four. Nobody told the model; it learned from text that these bytes are **the sign that Hangul begins**. And there it ends: which letter it is, only the bytes that follow decide, and the neighbours of the later byte `<A0>` make no sense at all. The meaning of a Korean word is nowhere in this table. Gathering byte pieces into the meaning of a word is left to the layers that follow.
#
# The last row is odd. Why do English fragments such as `␣sandwic` and `␣gira` stand next to a piece of “다”? And with cosines that high? A hint: two rows drawn at random have a cosine of ⟨random_cosine⟩ on average (standard deviation ⟨random_std⟩). If directions were spread evenly, that mean would be close to 0.

# %% [markdown] tags=["lang-ko"]
# <!-- label: vectors-common -->
# ## 모두가 향하는 쪽
#
# 행들이 한쪽으로 쏠려 있다면 평균 행 $\bar{E}$가 그 방향입니다. 행마다 두 가지를 잽니다. 평균 행과의 코사인과 행의 길이입니다. 그리고 조각이 영어 말뭉치에 몇 번 나오는지에 따라 나누어 봅니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: vectors-common -->
# ## The way they all lean
#
# If the rows lean to one side, the mean row $\bar{E}$ points there. For each row we measure two things, its cosine with the mean row and its length, and sort the pieces by how often they occur in the English corpus.

# %%
common = E.mean(0)
lean = F.cosine_similarity(E, common[None])
length = E.norm(dim=1)
english = torch.tensor(cut_ids["tinyshakespeare", "SmolLM2"])
times = torch.bincount(english, minlength=len(E))

bins = [("0", times == 0)]
bins += [(f"{2**k}", (times >= 2**k) & (times < 2 ** (k + 1)))
         for k in range(int(math.log2(times.max())) + 1)]
bins = [(name, chosen) for name, chosen in bins if chosen.sum() >= 10]
by_times = pd.DataFrame([
    [name, int(chosen.sum()), *lean[chosen].quantile(
        torch.tensor([0.25, 0.5, 0.75])).tolist(),
     *length[chosen].quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()]
    for name, chosen in bins
], columns=["times", "rows", *(f"{what} {part}" for what in (
    "cosine", "length") for part in ("25%", "50%", "75%"))])
by_times = by_times.set_index("times")

# %% tags=["hide-input"]
import matplotlib.pyplot as plt

starts = [i for i, piece in enumerate(pieces)
          if re.match(rb" ?[\xea-\xed]", piece)]
figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.2))
for axis, (what, of) in zip(axes, (("cosine", lean), ("length", length)),
                            strict=True):
    x = range(len(by_times))
    axis.fill_between(x, by_times[f"{what} 25%"], by_times[f"{what} 75%"],
                      color=COLOURS["attention"], alpha=0.18, lw=0)
    axis.plot(x, by_times[f"{what} 50%"], color=COLOURS["attention"])
    axis.plot([0] * len(starts), of[starts], "o", ms=4,
              color=COLOURS["gravity"], label="Hangul begins")
    axis.set_xticks(list(x)[::2], by_times.index[::2])
    axis.set_xlabel("times in the corpus (from)")
axes[0].set_title("cosine with the mean row")
axes[1].set_title("length of the row")
axes[0].legend()
show(figure, table=by_times)

# %% [markdown] tags=["lang-ko", "caption"]
# 가로축은 조각이 영어 말뭉치에 나온 횟수입니다(0번, 1번, 2~3번, 4~7번처럼 두 배씩). 선은 중앙값, 띠는 가운데 절반입니다. 주황 점은 한글이 시작되는 바이트 조각입니다.
# <!-- alt: 선 그래프 두 개. 왼쪽은 평균 행과의 코사인으로, 한 번도 나오지 않은 조각은 0.7쯤이고 자주 나올수록 곧게 내려가 음수에 이른다. 오른쪽은 행의 길이로, 나오지 않은 조각이 가장 길고 조금 짧아진 뒤 다시 조금 길어진다. 한글이 시작되는 조각의 점들은 왼쪽 그림에서 나오지 않은 조각들과 같은 높이에 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Across: how often a piece occurs in the English corpus (0 times, once, 2–3, 4–7 times and so on, doubling). The line is the median, the band the middle half. Orange dots are byte pieces with which Hangul begins.
# <!-- alt: Two line plots. Left, the cosine with the mean row: about 0.7 for pieces that never occur, falling steadily with frequency until it is negative. Right, the length of the row: longest for pieces that do not occur, then somewhat shorter, then a little longer again. In the left plot the dots of the pieces with which Hangul begins lie as high as the pieces that do not occur. -->

# %% tags=["remove-input"]
def rank_correlation(a, b):
    a, b = pd.Series(a.numpy()), pd.Series(b.numpy())
    return a.rank().corr(b.rank())


occurring = times > 0
order = length.argsort()
order = [i for i in order.tolist() if pieces[i]]  # no special tokens
record(lean_unseen=lean[~occurring].median(),
       lean_often=by_times["cosine 50%"].iloc[-1],
       lean_rank=rank_correlation(lean[occurring], times[occurring]),
       length_unseen=length[~occurring].median(),
       length_seen=length[occurring].median(),
       unseen_share=100 * (~occurring).float().mean().item(),
       longest=", ".join(shown(i) for i in order[:-6:-1]),
       shortest=", ".join(shown(i) for i in order[:5]))

# %% [markdown] tags=["lang-ko"]
# 왼쪽 그림이 앞의 수수께끼를 풀어 줍니다. 드문 조각일수록 평균 행 쪽을 향합니다. 말뭉치에 한 번도 나오지 않은 조각의 코사인은 중앙값이 ⟨lean_unseen⟩, 가장 자주 나온 묶음은 ⟨lean_often⟩입니다. 나온 조각들만 보아도 횟수와 코사인의 순위 상관(rank correlation)이 ⟨lean_rank⟩입니다. 그러니 드문 조각끼리는 뜻과 상관없이 서로 가깝습니다. `␣sandwic`은 `␣sandwich`로 곧 붙어 버려 홀로 쓰이는 일이 거의 없는 조각이고, “다”의 조각도 이 모델이 거의 보지 못한 것입니다. 둘은 닮아서 가까운 것이 아니라 **둘 다 드물어서** 가깝습니다.
#
# 한글 조각이 어디 놓였는지도 보십시오. 한국어 글에서는 가장 흔한 조각인데도 드문 조각들 사이에 있습니다. 이 그림이 말하는 것은 우리가 얼마나 자주 쓰는지가 아니라 **모델이 얼마나 자주 보았는지**입니다.
#
# 행의 길이도 빈도와 함께 변합니다. 나오지 않은 조각은 중앙값이 ⟨length_unseen⟩, 나온 조각은 ⟨length_seen⟩입니다. 가장 긴 다섯은 모두 낱말의 일부만 담은 조각입니다(⟨longest⟩). 가장 짧은 다섯은 사람 이름입니다(⟨shortest⟩). 왜 그런지는 이 장에서 재지 않았습니다.
#
# 평균 행을 빼고 이웃을 다시 찾으면 쏠림이 없어집니다.
# %% [markdown] tags=["lang-en"]
# The left plot solves the riddle. The rarer a piece, the more it points along the mean row. Pieces that never occur in the corpus have a median cosine of ⟨lean_unseen⟩; in the most frequent bin it is ⟨lean_often⟩. Among the pieces that do occur, the rank correlation of count and cosine is ⟨lean_rank⟩. So rare pieces lie close to each other whatever they mean. `␣sandwic` is a fragment that is nearly always joined on to `␣sandwich` and so hardly ever stands alone; the piece of “다” is one that this model has hardly seen. They are not close because they are alike but because **both are rare**.
#
# Look where the Hangul pieces lie. In Korean text they are the most frequent of all, and yet they are among the rare ones. What this picture tells is not how often we use a piece but **how often the model has seen it**.
#
# The length of a row changes with frequency too: the median is ⟨length_unseen⟩ for pieces that do not occur and ⟨length_seen⟩ for those that do. The five longest are all fragments of words (⟨longest⟩). The five shortest are first names (⟨shortest⟩). We did not measure why.
#
# Take the mean row away and look for neighbours again, and the lean is gone.

# %%
nearest(E - common, [b"\xeb\x8b", b"\xa0", b" Seoul", b" cat"])

# %% tags=["remove-input"]
centred = F.cosine_similarity(E[left] - common, E[right] - common)
record(centred_cosine=centred.mean(), centred_std=centred.std())

# %% [markdown] tags=["lang-ko"]
# “다”의 조각도 이제 한글이 시작되는 바이트들을 이웃으로 얻었습니다. 코사인은 작아졌지만, 이제는 아무 두 행의 평균이 ⟨centred_cosine⟩(표준편차 ⟨centred_std⟩)입니다. 그래서 작은 값도 뜻이 있습니다. 대가도 있습니다. `<A0>`의 이웃에 이번에는 `␣is`나 `␣.`처럼 아주 흔한 조각이 올라옵니다. 어떤 방법으로 재든 **이웃의 목록은 그 방법이 무엇을 같다고 보는지까지 알아야** 읽을 수 있습니다.
# %% [markdown] tags=["lang-en"]
# Now the piece of “다”, too, has bytes with which Hangul begins as its neighbours. The cosines are smaller, but two rows at random now have ⟨centred_cosine⟩ on average (standard deviation ⟨centred_std⟩), so a small value means something. There is a price: among the neighbours of `<A0>` very common pieces such as `␣is` and `␣.` come up instead. Whatever the measure, **a list of neighbours can only be read if one knows what the measure calls alike**.

# %% [markdown] tags=["lang-ko"]
# <!-- label: vectors-picture -->
# ## 숫자는 줄을 서고, 5월은 비켜 섭니다
#
# ⟨d_model⟩차원을 그대로 그릴 수는 없으니, 몇 개씩 묶은 행을 분산이 가장 큰 두 방향에 투영(projection)합니다. 주성분 분석(principal component analysis)입니다. 선은 우리가 아는 순서대로 이은 것이고, 모델에는 알려 준 적이 없습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: vectors-picture -->
# ## Digits stand in line, May steps aside
#
# ⟨d_model⟩ dimensions cannot be drawn, so we take a handful of rows at a time and make a projection on the two directions of largest variance: principal component analysis. The line joins them in the order that we know; nobody told the model.

# %%
WORDS = {
    "digits": "0 1 2 3 4 5 6 7 8 9",
    "number words": "zero one two three four five six seven eight nine",
    "days": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "months": "January February March April May June July August "
              "September October November December",
}
groups = {}
for name, listed in WORDS.items():
    space = "" if name == "digits" else " "
    chosen = [pieces.index(f"{space}{w}".encode()) for w in listed.split()]
    x = E[chosen] - E[chosen].mean(0)
    U, S, _ = torch.linalg.svd(x, full_matrices=False)
    share = (S[:2].square().sum() / S.square().sum()).item()
    groups[name] = listed.split(), chosen, (U * S)[:, :2], share

# %% tags=["hide-input"]
figure, axes = plt.subplots(2, 2, figsize=(7.2, 6.4))
table = []
for axis, (name, (listed, _, places, share)) in zip(
        axes.flat, groups.items(), strict=True):
    cyclic = name in ("days", "months")
    line = torch.cat((places, places[:1])) if cyclic else places
    axis.plot(*line.T, color=COLOURS["attention"], lw=1, alpha=0.4)
    axis.plot(*places.T, "o", color=COLOURS["attention"], ms=3)
    apart = places[:, None] - places  # labels stand away from other points
    force = (apart / (apart.norm(dim=2, keepdim=True) + 0.01) ** 3).sum(1)
    for word, place, aside in zip(listed, places, F.normalize(force),
                                  strict=True):
        axis.annotate(word if len(word) < 6 else word[:3], place.tolist(),
                      (18 * aside[0].item(), 10 * aside[1].item()),
                      textcoords="offset points", ha="center", va="center")
        table.append([name, word, *place.tolist()])
    axis.set(title=f"{name} ({share:.0%})", xticks=[], yticks=[],
             xmargin=0.14, ymargin=0.14)
show(figure, table=pd.DataFrame(
    table, columns=["group", "word", "PC1", "PC2"]).set_index("group"))

# %% [markdown] tags=["lang-ko", "caption"]
# 임베딩 행을 묶음마다 두 방향에 투영한 것. 괄호는 두 방향이 담은 분산입니다. 숫자는 0에서 9까지 한 줄로 이어지고, 요일과 달은 순서대로 돕니다. `May`만 멀리 떨어져 있습니다.
# <!-- alt: 점 그림 네 개. 숫자와 수를 나타내는 낱말은 작은 것부터 큰 것까지 휘어진 한 줄을 이룬다. 요일은 월요일에서 일요일까지 휜 줄을 이룬다. 달은 고리처럼 이어지지만 May가 혼자 오른쪽 멀리 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Embedding rows, each group projected on two directions; in brackets, the variance that these hold. Digits run in one line from 0 to 9, days and months go round in order. `May` alone stands far off.
# <!-- alt: Four scatter plots. Digits and number words form one bent line from small to large. The days form a bent line from Monday to Sunday. The months join up like a ring, except that May stands alone far to the right. -->

# %% [markdown] tags=["lang-ko"]
# 5월이 왜 혼자일까요? `␣May`는 달의 이름이면서 조동사이고 사람 이름이기도 합니다. 행은 조각마다 하나뿐이므로 세 쓰임이 한 벡터에 섞여 있습니다. 갈라내는 일은 앞뒤를 볼 수 있는 어텐션(attention)이 합니다.
#
# 그런데 주성분 분석은 난수에서도 그럴듯한 그림을 뽑아냅니다. 순서가 정말 있는지는 그림이 아니라 전체 차원에서 잽니다. 두 낱말이 몇 칸 떨어져 있는지와 두 행의 코사인의 순위 상관을 구하고, 낱말을 아무렇게나 섞은 순서와 견줍니다. 순서가 있다면 값이 크게 음수여야 합니다.
# %% [markdown] tags=["lang-en"]
# Why does May stand alone? `␣May` is the name of a month, a verb and a name for people. A piece has one row, so the three uses are mixed in one vector. To tell them apart is the work of attention, which can look at what stands around.
#
# But principal component analysis draws a plausible picture of random numbers too. Whether the order is really there we measure in all dimensions and not in the picture: the rank correlation between the number of steps from word to word and the cosine of their rows, beside that of words in random order. If there is an order, it must be far below zero.

# %%
def order_in(chosen, cyclic, order):
    n = len(chosen)
    i, j = torch.triu_indices(n, n, 1)
    steps = (i - j).abs()
    steps = torch.minimum(steps, n - steps) if cyclic else steps
    unit = F.normalize(E[chosen], dim=1)[order]
    return rank_correlation((unit @ unit.T)[i, j], steps)

# %%
seed = torch.Generator().manual_seed(0)
found = {}
for name, (_, chosen, _, _) in groups.items():
    n, cyclic = len(chosen), name in ("days", "months")
    ours = order_in(chosen, cyclic, torch.arange(n))
    others = [order_in(chosen, cyclic, torch.randperm(n, generator=seed))
              for _ in range(cfg.shuffles)]
    as_low = sum(other <= ours + 1e-9 for other in others)
    found[name] = [n, round(ours, 3), round(min(others), 3), as_low]
pd.DataFrame(found, index=[
    "words", "rank correlation", "lowest of the shuffled", "as low"],
    dtype=object).T

# %% tags=["remove-input"]
record(order_digits=found["digits"][1], order_words=found["number words"][1],
       order_days=found["days"][1], order_months=found["months"][1],
       n_shuffles=cfg.shuffles,
       as_low_days=found["days"][3], as_low_months=found["months"][3],
       as_low_digits=found["digits"][3])

# %% [markdown] tags=["lang-ko"]
# 숫자는 ⟨order_digits⟩, 수를 나타내는 낱말은 ⟨order_words⟩, 요일은 ⟨order_days⟩, 달은 ⟨order_months⟩입니다. 아무렇게나 섞은 순서 ⟨n_shuffles⟩가지 가운데 이만큼 낮은 것은 숫자에서 ⟨as_low_digits⟩가지, 요일에서 ⟨as_low_days⟩가지, 달에서 ⟨as_low_months⟩가지입니다. 순서는 그림이 지어낸 것이 아닙니다. 다음 토큰을 맞히는 것만 배운 모델이, 서로 바꿔 쓰이는 말들을 가까이 두다 보니 얻은 것으로 보입니다.
# %% [markdown] tags=["lang-en"]
# It is ⟨order_digits⟩ for digits, ⟨order_words⟩ for number words, ⟨order_days⟩ for days and ⟨order_months⟩ for months. Of ⟨n_shuffles⟩ random orders, ⟨as_low_digits⟩ come as low for digits, ⟨as_low_days⟩ for days and ⟨as_low_months⟩ for months. The picture did not invent the order. A model that learned nothing but to predict the next token seems to have arrived at it by keeping words close that can stand for one another.

# %% [markdown] tags=["lang-ko"]
# <!-- label: vectors-order -->
# ## 순서가 없으면
#
# 이제 문장은 벡터를 쌓은 행렬입니다. 그런데 행렬의 어느 벡터에도 몇째인지가 적혀 있지 않습니다. 어텐션이 행의 순서를 보아 주지 않을까요? 보지 않습니다. 어텐션은 모든 쌍을 똑같이 다루므로, 행의 순서를 바꾸면 결과의 순서만 똑같이 바뀝니다. 이 성질이 순열 등변성(permutation equivariance)입니다.
#
# 영어에서는 “The dog bit the man”과 “The man bit the dog”이 그런 쌍입니다. 한국어에서는 조사가 붙어 있어 “개가 사람을 물었다”의 순서를 바꾸어도 뜻이 같지만, 그 아래의 바이트에서는 사정이 다릅니다. “갱”은 `EA B0 B1`, “거”는 `EA B1 B0`입니다. **같은 바이트 셋이고 순서만 다릅니다.** 난수로 채운 멀티 헤드 어텐션(multi-head attention) 한 층에 두 쌍을 넣고, 같은 조각이 얻은 출력을 견줍니다. 다음 절에서 볼 위치를 더한 것도 함께 잽니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: vectors-order -->
# ## Without order
#
# A sentence is now a matrix of stacked vectors, and none of them says which one it is. Does attention not see the order of the rows? It does not. Attention treats all pairs alike, so that reordering the rows reorders the result and does nothing else. This property is permutation equivariance.
#
# In English “The dog bit the man” and “The man bit the dog” are such a pair. In Korean, particles mark who does what, and 개가 사람을 물었다 keeps its meaning when its words change places; but for the bytes below it is another matter. “갱” is `EA B0 B1` and “거” is `EA B1 B0`: **the same three bytes in another order.** We put both pairs through one layer of multi-head attention filled with random numbers and compare the outputs of the same pieces, also with the positions added that the next section explains.

# %%
from lib.attention.dot_product import MultiHeadAttention
from lib.attention.layers import sinusoidal_positions

with torch.random.fork_rng():
    torch.manual_seed(0)
    layer = MultiHeadAttention(E.shape[1], n_heads=9).double()


@torch.no_grad()
def output_of(said, positions):
    ids = smollm2.encode(said).ids
    x = E[ids].double()
    if positions:
        x = x + sinusoidal_positions(len(ids), E.shape[1])
    return dict(zip(ids, layer(x[None])[0], strict=True))

# %%
def difference(first, second, positions):
    one, two = (output_of(said, positions) for said in (first, second))
    gap = max((one[i] - two[i]).abs().max() for i in one)
    return (gap / max(z.abs().max() for z in one.values())).item()


pairs = [("갱", "거"), ("The dog bit the man", "The man bit the dog")]
compared = pd.DataFrame({
    " / ".join(pair): [difference(*pair, False), difference(*pair, True)]
    for pair in pairs},
    index=["no positions", "positions added"]).T
compared.map("{:.1e}".format)

# %% tags=["remove-input"]
record(order_gap=compared.iloc[:, 0].max(),
       place_gap_ko=compared.iloc[0, 1], place_gap_en=compared.iloc[1, 1])

# %% [markdown] tags=["lang-ko"]
# 위치가 없으면 차이는 float64의 반올림뿐입니다(⟨order_gap⟩, 출력의 최댓값에 대한 비율). 이 층에게 “갱”과 “거”는 같은 글입니다. 위치를 더하면 ⟨place_gap_ko⟩, ⟨place_gap_en⟩만큼 달라집니다.
# %% [markdown] tags=["lang-en"]
# Without positions the differences are float64 rounding (⟨order_gap⟩, relative to the largest output). To this layer “갱” and “거” are the same text. With positions they differ by ⟨place_gap_ko⟩ and ⟨place_gap_en⟩.

# %% [markdown] tags=["lang-ko"]
# <!-- label: vectors-sinusoidal -->
# ## 사인과 코사인으로 적은 자리
#
# 「Attention Is All You Need」(3.5절)는 자리마다 임베딩과 폭이 같은 벡터를 만들어 더합니다. 학습하는 것이 아니라 식으로 정합니다. 자리 $t$에서 차원 $2i$와 $2i+1$이 한 쌍입니다.
#
# $$P_{t,2i} = \sin(\omega_i t), \qquad P_{t,2i+1} = \cos(\omega_i t), \qquad \omega_i = 10000^{-2i/d}$$
#
# 쌍 하나는 시곗바늘 하나와 같습니다. 바늘은 한 자리마다 $\omega_i$만큼 돕니다. 첫 쌍은 여섯 자리 남짓에 한 바퀴를 돌고, 뒤로 갈수록 느려져 마지막 쌍은 한 바퀴에 수만 자리가 걸립니다. 초침, 분침, 시침이 함께 시각을 말하듯 바늘 $d/2$개가 함께 자리를 말합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: vectors-sinusoidal -->
# ## Positions in sines and cosines
#
# “Attention Is All You Need” (section 3.5) makes for each position a vector as wide as the embedding and adds it. It is not learned but given by a formula. At position $t$ the dimensions $2i$ and $2i+1$ make a pair.
#
# $$P_{t,2i} = \sin(\omega_i t), \qquad P_{t,2i+1} = \cos(\omega_i t), \qquad \omega_i = 10000^{-2i/d}$$
#
# A pair is like the hand of a clock. It turns by $\omega_i$ from one position to the next. The first pair goes round in a little over six positions; further along they slow down, until the last takes tens of thousands. As seconds, minutes and hours tell the time together, $d/2$ hands tell the position.

# %%
def positions(n, d):
    omega = 10_000 ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    angle = torch.arange(n, dtype=torch.float64)[:, None] * omega
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)


P = positions(64, 64)

# %% tags=["remove-cell"]
record(position_gap=(P - sinusoidal_positions(64, 64)).abs().max(),
       drawn_positions=len(P), drawn_dims=P.shape[1])

# %% tags=["hide-input"]
figure, axis = plt.subplots(figsize=(7.2, 3.6))
image = axis.imshow(P, cmap=DIVERGING, vmin=-1, vmax=1, aspect="auto",
                    interpolation="nearest")
axis.set(xlabel="dimension", ylabel="position")
figure.colorbar(image, ax=axis, shrink=0.8)
listed = P[:, :24].numpy()
show(figure, table=pd.DataFrame(listed).round(2))
record(listed_dims=listed.shape[1])

# %% [markdown] tags=["lang-ko", "caption"]
# 자리 ⟨drawn_positions⟩개의 위치 벡터(⟨drawn_dims⟩차원). 왼쪽 열일수록 빨리 오르내리고, 오른쪽 열은 이 길이에서 거의 변하지 않습니다. 표는 앞의 ⟨listed_dims⟩차원입니다.
# <!-- alt: 히트맵. 행은 자리, 열은 차원이다. 왼쪽 열에서는 색이 몇 행마다 뒤바뀌고, 오른쪽으로 갈수록 무늬가 세로로 길어지다가 오른쪽 절반에서는 0인 열과 1인 열이 번갈아 있을 뿐이다. -->
# %% [markdown] tags=["lang-en", "caption"]
# The position vectors of ⟨drawn_positions⟩ positions (⟨drawn_dims⟩ dimensions). Columns to the left rise and fall fast; those to the right hardly change over this length. The table lists the first ⟨listed_dims⟩ dimensions.
# <!-- alt: A heatmap. Rows are positions, columns dimensions. In the left columns the colour flips every few rows; to the right the pattern stretches downwards, until in the right half columns of 0 and columns of 1 only alternate. -->

# %% [markdown] tags=["lang-ko"]
# 슬라이더로 자리를 옮기면서 두 바늘을 보십시오. 파란 바늘은 자리 $t$, 주황 바늘은 다섯 자리 뒤인 $t + 5$입니다. 바늘은 모두 돌지만 **두 바늘이 벌어진 각도는 그대로입니다.**
# %% [markdown] tags=["lang-en"]
# Move the position with the slider and watch the two hands. The blue one is position $t$, the orange one five positions later, $t + 5$. All hands turn, but **the angle between the two stays as it is.**

# %% tags=["hide-input"]
import plotly.graph_objects as go

ahead, width, hours = 5, 12, 41
clocks = positions(hours + ahead, width).view(-1, width // 2, 2)
centres = [(2.8 * (i % 3), -3.6 * (i // 3)) for i in range(width // 2)]


def hands(t):
    """Line pieces from each centre to the tip (sine across, cosine up)."""
    x, y = [], []
    for (cx, cy), (sine, cosine) in zip(centres, clocks[t].tolist(),
                                        strict=True):
        x += [cx, round(cx + sine, 3), None]
        y += [cy, round(cy + cosine, 3), None]
    return x, y

# %% tags=["hide-input"]
steps = []
for t in range(hours):
    (x, y), (later_x, later_y) = hands(t), hands(t + ahead)
    steps.append({"method": "restyle", "label": str(t),
                  "args": [{"x": [later_x, x], "y": [later_y, y]}, [0, 1]]})
(x, y), (later_x, later_y) = hands(0), hands(ahead)
line = {"mode": "lines+markers", "hoverinfo": "skip"}
figure = go.Figure([
    go.Scatter(x=later_x, y=later_y, name="t + 5", **line,
               line={"color": COLOURS["gravity"], "width": 3}),
    go.Scatter(x=x, y=y, name="t", **line,
               line={"color": COLOURS["attention"], "width": 4})])

# %% tags=["hide-input"]
circles = [{"type": "circle", "x0": cx - 1, "x1": cx + 1, "y0": cy - 1,
            "y1": cy + 1, "line": {"color": COLOURS["grey"], "width": 1}}
           for cx, cy in centres]
turns = [2 * math.pi * 10_000 ** (2 * i / width) for i in range(width // 2)]
notes = [{"x": cx, "y": cy + 1.08, "showarrow": False, "yanchor": "bottom",
          "text": f"i = {i}<br>↻ {turns[i]:,.0f}"}
         for i, (cx, cy) in enumerate(centres)]
figure.update_layout(
    height=470, shapes=circles, annotations=notes,
    legend={"orientation": "h", "y": 1.12, "x": 0},
    margin={"l": 10, "r": 10, "t": 40, "b": 20}, hovermode=False,
    xaxis={"range": [-1.2, 6.8], "visible": False},
    yaxis={"range": [-4.8, 2], "visible": False, "scaleanchor": "x"},
    sliders=[{"active": 0, "steps": steps, "pad": {"t": 10},
              "currentvalue": {"prefix": "t = "}}])
angles = torch.atan2(clocks[..., 0], clocks[..., 1]).rad2deg()
show(figure, table=pd.DataFrame(
    angles[:hours].round(decimals=1).numpy(),
    columns=[f"i = {i} (°)" for i in range(width // 2)],
    index=[f"t = {t}" for t in range(hours)]))

# %% [markdown] tags=["lang-ko", "caption"]
# 폭이 12인 위치 벡터의 여섯 쌍. 바늘의 가로 성분이 사인, 세로 성분이 코사인입니다. ↻ 뒤의 수는 한 바퀴에 걸리는 자리 수입니다. 바늘은 12시에서 시작해 시계 방향으로 돕니다.
# <!-- alt: 원 여섯 개에 바늘이 둘씩 있다. 첫 원의 바늘은 여섯 자리마다 한 바퀴를 돌고, 둘째 원은 스물아홉 자리, 셋째는 백서른다섯 자리가 걸리며, 나머지 셋은 거의 움직이지 않는다. 자리를 옮겨도 두 바늘 사이의 각도는 변하지 않는다. 표에 자리마다의 각도가 있다. -->
# %% [markdown] tags=["lang-en", "caption"]
# The six pairs of a position vector of width 12. Across is the sine, up the cosine; after ↻ stands how many positions a turn takes. The hands begin at twelve and turn clockwise.
# <!-- alt: Six circles with two hands each. The hand of the first goes round every six positions, the second takes twenty-nine, the third a hundred and thirty-five, and the other three hardly move. As the position changes, the angle between the two hands does not. The table holds the angles for every position. -->

# %% [markdown] tags=["lang-ko"]
# <!-- label: vectors-shift -->
# ## 옮기는 것은 돌리는 것
#
# 그림에서 본 것을 식으로 쓰면 이렇습니다. $k$자리 뒤로 가는 일은 쌍마다 각도 $k\omega_i$만큼 돌리는 일이고, 어느 자리에서 출발하든 같은 행렬입니다.
#
# $$\begin{pmatrix} P_{t+k,2i} \\ P_{t+k,2i+1} \end{pmatrix} = \begin{pmatrix} \cos k\omega_i & \sin k\omega_i \\ -\sin k\omega_i & \cos k\omega_i \end{pmatrix} \begin{pmatrix} P_{t,2i} \\ P_{t,2i+1} \end{pmatrix}$$
#
# 회전은 내적을 바꾸지 않으므로, 두 자리의 내적은 둘 사이의 거리에만 달려 있습니다.
#
# $$P_s \cdot P_t = \sum_{i} \cos\big(\omega_i (t - s)\big)$$
#
# 자리 ⟨n_positions⟩개로 두 식을 확인합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: vectors-shift -->
# ## To move is to turn
#
# What the picture showed, as a formula: going $k$ positions on means turning each pair by the angle $k\omega_i$, and it is the same matrix wherever one starts.
#
# $$\begin{pmatrix} P_{t+k,2i} \\ P_{t+k,2i+1} \end{pmatrix} = \begin{pmatrix} \cos k\omega_i & \sin k\omega_i \\ -\sin k\omega_i & \cos k\omega_i \end{pmatrix} \begin{pmatrix} P_{t,2i} \\ P_{t,2i+1} \end{pmatrix}$$
#
# A rotation leaves dot products alone, so the dot product of two positions depends on their distance only.
#
# $$P_s \cdot P_t = \sum_{i} \cos\big(\omega_i (t - s)\big)$$
#
# We check both formulas on ⟨n_positions⟩ positions.

# %%
n, d = 512, 64
P = positions(n, d)
omega = 10_000 ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)


def turned(P, k):
    sine, cosine = P[:, 0::2], P[:, 1::2]
    c, s = torch.cos(k * omega), torch.sin(k * omega)
    return torch.stack((c * sine + s * cosine, c * cosine - s * sine),
                       dim=-1).flatten(1)


turn_gap = max((turned(P, k)[:n - k] - P[k:]).abs().max().item()
               for k in (1, 5, 100))
dots = P @ P.T
by_distance = torch.stack([torch.cos(omega * k).sum() for k in range(n)])
far = (torch.arange(n)[:, None] - torch.arange(n)).abs()
dot_gap = (dots - by_distance[far]).abs().max().item()

# %% tags=["remove-cell"]
record(turn_gap=turn_gap, dot_gap=dot_gap, n_positions=n)

# %% [markdown] tags=["lang-ko"]
# 돌린 것과 옮긴 것의 차이는 ⟨turn_gap⟩, 내적과 거리만의 식의 차이는 ⟨dot_gap⟩입니다. float64의 반올림입니다. 내적을 그려 보면 거리가 멀어질수록 대체로 줄어드는 것이 보입니다.
#
# 그런데 모델이 정말로 셈하는 것은 $P_s \cdot P_t$가 아닙니다. 어텐션은 위치를 더한 벡터에 행렬을 곱해 쿼리(query)와 키(key)를 만든 다음 내적합니다. 행렬을 사이에 두어도 거리만 남을까요? 난수 행렬을 곱한 뒤의 내적을 나란히 그립니다.
# %% [markdown] tags=["lang-en"]
# Turned against moved differs by ⟨turn_gap⟩, the dot products against the formula of distance alone by ⟨dot_gap⟩: float64 rounding. Drawn, the dot product falls, on the whole, as the distance grows.
#
# But what a model computes is not $P_s \cdot P_t$. Attention multiplies vectors with positions in them by matrices, which gives queries and keys, and takes the dot product of those. Does distance alone remain when matrices stand between? Beside it we draw the dot products after random matrices.

# %%
seed = torch.Generator().manual_seed(0)
W_Q, W_K = torch.randn(2, d, d, generator=seed, dtype=torch.float64) / d**0.5
projected = (P @ W_Q) @ (P @ W_K).T


def explained_by_distance(dots):
    """Share of the variance that the signed distance t - s explains."""
    n = len(dots)
    means = torch.zeros_like(dots)
    for k in range(-n + 1, n):
        line = dots.diagonal(k)
        means.diagonal(k).copy_(line.mean().expand_as(line))
    return (1 - (dots - means).var() / dots.var()).item()


near = slice(0, 128)
shares = [explained_by_distance(x[near, near]) for x in (dots, projected)]

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.7))
for axis, x, name in zip(axes, (dots, projected),
                         ("P · P", "WP · W'P"), strict=False):
    top = x[near, near].abs().max().item()
    axis.imshow(x[near, near], cmap=DIVERGING, vmin=-top, vmax=top,
                interpolation="nearest")
    axis.set(title=name, xlabel="position t", ylabel="position s")
for start, colour in ((0, "attention"), (40, "gravity"), (80, "tokens")):
    axes[2].plot(dots[start, start:start + 100] / (d / 2),
                 color=COLOURS[colour], label=f"s = {start}",
                 lw={0: 6, 40: 3.5, 80: 1.2}[start])
axes[2].set(title="P · P / (d/2)", xlabel="distance t − s", ylim=(0, 1.05))
axes[2].legend()
show(figure, table=pd.DataFrame(
    {f"s = {s}": dots[s, s:s + 100:5].numpy() for s in (0, 40, 80)},
    index=[f"t − s = {k}" for k in range(0, 100, 5)]))

# %% [markdown] tags=["lang-ko", "caption"]
# 왼쪽: 위치끼리의 내적. 대각선을 따라 색이 같습니다. 가운데: 난수 행렬을 곱한 뒤의 내적. 오른쪽: 세 자리에서 출발해 거리에 따라 그린 내적. 굵기가 다른 세 선이 정확히 겹칩니다.
# <!-- alt: 왼쪽 히트맵은 대각선과 나란한 띠로 되어 있고, 가운데 히트맵에는 가로와 세로의 줄무늬가 섞여 있다. 오른쪽 선 그래프에서 세 선이 겹치며, 거리 0에서 1이던 내적이 물결치며 줄어든다. -->
# %% [markdown] tags=["lang-en", "caption"]
# Left: dot products of positions; the colour is the same along diagonals. Middle: dot products after random matrices. Right: dot products against distance, starting from three positions; three lines of different width lie exactly on each other.
# <!-- alt: The left heatmap consists of bands along the diagonal; in the middle one, stripes across and down are mixed in. In the line plot to the right three lines coincide; the dot product is 1 at distance 0 and falls in waves. -->

# %% tags=["remove-input"]
record("explained_plain", shares[0], text=f"{shares[0]:.1%}")
record("explained_projected", shares[1], text=f"{shares[1]:.1%}")
record(next_door=(dots[0, 1] / (d / 2)), far_away=(dots[0, 99] / (d / 2)))

# %% [markdown] tags=["lang-ko"]
# 거리로 설명되는 분산은 위치만일 때 ⟨explained_plain⟩, 난수 행렬을 지난 뒤 ⟨explained_projected⟩입니다. **사인과 코사인을 더해 둔다고 해서 어텐션이 거리를 아는 것은 아닙니다.** 거리를 꺼내 쓸 수 있는 꼴로 담아 두었을 뿐이고, 꺼내는 행렬은 학습으로 찾아야 합니다.
#
# 다른 방법도 있습니다. GPT-2는 식을 쓰지 않고 자리마다 벡터를 하나씩 학습하며, 그래서 배운 길이를 넘는 자리가 없습니다. SmolLM2는 이 장의 회전을 **더하는 대신 쿼리와 키에 직접** 겁니다. 행렬을 지난 뒤에 돌리므로 내적에 거리만 남습니다. 다음 장의 [회전 위치 임베딩](#qkv-rotary)(rotary position embedding)이 그것입니다. 그래서 [위에서](#vectors-lookup) 본 SmolLM2의 첫 은닉 상태에는 자리가 더해져 있지 않았습니다.
# %% [markdown] tags=["lang-en"]
# Distance explains ⟨explained_plain⟩ of the variance with positions alone and ⟨explained_projected⟩ after random matrices. **Adding sines and cosines does not make attention know distances.** It stores distance in a form from which it can be taken, and the matrices that take it must be found by learning.
#
# There are other ways. GPT-2 uses no formula and learns one vector for each position, so there is no position beyond the length it was taught. SmolLM2 takes the rotation of this chapter and, **instead of adding, applies it to queries and keys themselves**. They turn after the matrices, and so only distance is left in the dot product. That is the [rotary position embedding](#qkv-rotary) of the next chapter. This is why the first hidden states of SmolLM2 that we saw [above](#vectors-lookup) had no positions in them.

# %% [markdown] tags=["lang-ko"]
# <!-- label: vectors-scale -->
# ## 왜 √d를 곱하는가
#
# 논문은 임베딩을 그대로 쓰지 않고 $\sqrt{d}$를 곱한 다음 위치를 더합니다(3.4절).
#
# $$x_t = \sqrt{d}\; E_{\mathrm{id}_t} + P_t$$
#
# 까닭은 적혀 있지 않습니다. 실마리는 같은 절의 다른 문장에 있습니다. **같은 행렬 $E$가 출력에서도 쓰입니다.** 출력에서는 은닉 상태와 $E$의 모든 행의 내적이 로짓(logit)이 됩니다. 학습을 시작하기 전의 난수 행렬로 세 가지를 견줍니다. 폭은 ⟨random_width⟩, 행은 ⟨random_rows⟩개입니다. 입력에서는 위치를 더한 벡터에 가장 가까운 행이 원래 조각의 행인지 보고, 출력에서는 층 정규화(layer normalization)를 지난 은닉 상태처럼 길이가 $\sqrt{d}$인 난수 벡터로 로짓과 손실(loss)을 구합니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: vectors-scale -->
# ## Why multiply by √d
#
# The paper does not use the embedding as it is: it multiplies by $\sqrt{d}$ and then adds the position (section 3.4).
#
# $$x_t = \sqrt{d}\; E_{\mathrm{id}_t} + P_t$$
#
# It gives no reason. A hint is in another sentence of the same section: **the same matrix $E$ serves at the output.** There the logits are the dot products of a hidden state with every row of $E$. With random matrices, as before any training, we compare three choices; the width is ⟨random_width⟩ and there are ⟨random_rows⟩ rows. At the input we ask whether the row nearest to the vector with its position is still the row of the piece. At the output we take random vectors of length $\sqrt{d}$, such as hidden states have after layer normalization, and compute logits and loss.

# %%
width, n_ids = 512, 256
seed = torch.Generator().manual_seed(0)
unit = torch.randn(cfg.rows, width, generator=seed) / width**0.5
drawn = torch.randint(cfg.rows, (n_ids,), generator=seed)
hidden = torch.randn(n_ids, width, generator=seed)
at = sinusoidal_positions(n_ids, width)


def both_ends(matrix, factor):
    entering = factor * matrix[drawn]
    kept = ((entering + at) @ matrix.T).argmax(-1) == drawn
    logits = hidden @ matrix.T
    return [entering.norm(dim=1).mean().item(), at.norm(dim=1).mean().item(),
            kept.float().mean().item(), logits.std().item(),
            F.cross_entropy(logits, drawn).item()]

# %%
choices = {"E": both_ends(unit, 1), "√d · E": both_ends(unit, width**0.5),
           "E′ = √d · E": both_ends(width**0.5 * unit, 1)}
ends = pd.DataFrame(choices, index=[
    "token length", "position length", "tokens recognised",
    "std of logits", "loss at the start"]).T
ends.round(2)

# %% tags=["remove-input"]
record("recognised_plain", ends.iloc[0, 2], text=f"{ends.iloc[0, 2]:.0%}")
record("recognised_paper", ends.iloc[1, 2], text=f"{ends.iloc[1, 2]:.0%}")
record(random_rows=cfg.rows, random_width=width,
       uniform_loss=math.log(cfg.rows),
       loss_paper=ends.iloc[1, 4], loss_large=ends.iloc[2, 4],
       std_paper=ends.iloc[1, 3], std_large=ends.iloc[2, 3],
       length_token=ends.iloc[0, 0], length_position=ends.iloc[0, 1])

# %% [markdown] tags=["lang-ko"]
# - 첫째 행(`E`)은 행의 길이를 1쯤으로 두고 그대로 씁니다. 위치 벡터의 길이가 ⟨length_position⟩이므로 토큰이 위치에 묻힙니다. 가장 가까운 행으로 알아볼 수 있는 토큰은 ⟨recognised_plain⟩뿐입니다.
# - 둘째 행(`√d · E`)이 논문의 방법입니다. 토큰을 ⟨recognised_paper⟩ 알아보고, 출력에서는 곱하지 않은 $E$를 쓰므로 로짓의 표준편차가 ⟨std_paper⟩에 머뭅니다. 손실은 ⟨loss_paper⟩에서 시작합니다. 모두에게 같은 확률을 줄 때의 $\ln V$가 ⟨uniform_loss⟩입니다.
# - 셋째 행(`E′ = √d · E`)은 행 자체를 길게 만듭니다. 입력에는 문제가 없지만, 출력에서 로짓의 표준편차가 ⟨std_large⟩이고 손실이 ⟨loss_large⟩에서 시작합니다.
#
# 한 행렬이 두 곳에서 서로 다른 크기를 요구받는데, $\sqrt{d}$가 그 둘을 맞추어 줍니다. 이것이 저자들의 까닭이었는지는 알 수 없습니다.
# %% [markdown] tags=["lang-en"]
# - The first row (`E`) has rows of length about 1 and uses them as they are. Position vectors have length ⟨length_position⟩, and the token drowns in its position: only ⟨recognised_plain⟩ of the tokens are recognised by their nearest row.
# - The second (`√d · E`) is the paper's. It recognises ⟨recognised_paper⟩ of the tokens, and since the output uses $E$ without the factor, the standard deviation of the logits stays at ⟨std_paper⟩. The loss starts at ⟨loss_paper⟩; equal probability for all would be $\ln V$, ⟨uniform_loss⟩.
# - The third (`E′ = √d · E`) makes the rows themselves long. The input is fine, but at the output the logits have a standard deviation of ⟨std_large⟩ and the loss starts at ⟨loss_large⟩.
#
# One matrix is asked for two different sizes in two places, and $\sqrt{d}$ reconciles them. Whether this was the authors' reason we cannot know.

# %% [markdown] tags=["lang-ko"]
# <!-- label: vectors-tying -->
# ## 들어온 문으로 나가기
#
# 입력과 출력이 한 행렬을 쓰는 것을 가중치 공유(weight tying)라고 합니다. SmolLM2도 그렇습니다. 마지막 은닉 상태 $h$와 모든 행의 내적이 다음 토큰의 로짓입니다.
#
# $$\operatorname{logits} = h E^\top$$
# %% [markdown] tags=["lang-en"]
# <!-- label: vectors-tying -->
# ## Out by the door it came in
#
# Using one matrix for input and output is called weight tying. SmolLM2 does it. The dot products of the last hidden state $h$ with every row are the logits of the next token.
#
# $$\operatorname{logits} = h E^\top$$

# %%
embedding = model.get_input_embeddings().weight
same = model.get_output_embeddings().weight is embedding
last = seen.hidden_states[-1][0]
with torch.no_grad():
    tie_gap = (last @ embedding.T - seen.logits[0]).abs().max().item()
size = sum(p.numel() for p in model.parameters())
pd.DataFrame({
    "one tensor": [same],
    "largest difference of logits": [tie_gap],
    "parameters": [f"{size:,}"],
    "untied": [f"{size + E.numel():,}"],
}, index=["SmolLM2"])

# %% tags=["remove-input"]
after = seen.hidden_states[-1][0, 1:].mean(0).cpu()
record(tie_gap=tie_gap, n_parameters=size, n_saved=E.numel(),
       leaving=F.cosine_similarity(after, common, dim=0))
record("saved_share", E.numel() / (size + E.numel()),
       text=f"{E.numel() / (size + E.numel()):.0%}")
record("embedding_share", E.numel() / size, text=f"{E.numel() / size:.0%}")

# %% [markdown] tags=["lang-ko"]
# 두 행렬은 값이 같은 정도가 아니라 같은 텐서이고, 손으로 구한 로짓과의 차이는 ⟨tie_gap⟩입니다. 매개변수(parameter) ⟨n_parameters⟩개 가운데 ⟨embedding_share⟩이(가) 이 행렬 하나입니다. 공유하지 않는 모델이라면 ⟨n_saved⟩개가 더 들고, 그만큼이 그 모델의 ⟨saved_share⟩입니다. 같은 어휘라면 작은 모델일수록 아끼는 몫이 큽니다.
#
# 공유에는 뜻도 있습니다. 한 행이 “이 조각을 읽었다”와 “이 조각을 쓰겠다”를 함께 나타내게 됩니다. 그리고 [위의 쏠림](#vectors-common)과 얽힙니다. 입력에서는 읽은 조각의 행만 배우지만, 출력에서는 소프트맥스(softmax)가 정답이 아닌 **모든** 행을 은닉 상태에서 밀어냅니다. 거의 정답이 되지 못하는 드문 조각의 행들은 밀리기만 해서 한 방향으로 모인다는 것이 알려진 설명입니다([Gao 외 2019](#references-attention)). 그 설명대로라면 평균 행은 은닉 상태의 반대쪽을 향해야 합니다. 재어 보면 이 문장의 마지막 은닉 상태의 평균과 평균 행의 코사인은 ⟨leaving⟩입니다. 음수가 아닙니다. 쏠림은 있지만, 이 모델에서 그 설명이 맞는지는 이 수로 확인되지 않았습니다.
# %% [markdown] tags=["lang-en"]
# The two matrices do not only hold equal values, they are one tensor; logits computed by hand differ by ⟨tie_gap⟩. Of ⟨n_parameters⟩ parameters, ⟨embedding_share⟩ are this one matrix. An untied model would need ⟨n_saved⟩ more, which would be ⟨saved_share⟩ of it. With the same vocabulary, the smaller the model, the larger the share saved.
#
# Tying also has a meaning. One row comes to stand both for “this piece was read” and for “this piece shall be written”. And it is entangled with [the lean above](#vectors-common). At the input only the rows that were read learn, but at the output the softmax pushes **all** rows that are not the answer away from the hidden state. Rows of rare pieces, which are hardly ever the answer, are only pushed, and gather in one direction: that is a known explanation ([Gao et al. 2019](#references-attention)). If so, the mean row should point away from the hidden states. Measured, the mean of the last hidden states of this sentence and the mean row have a cosine of ⟨leaving⟩, which is not negative. The lean is there; that the explanation holds for this model, this number does not confirm.

# %% [markdown] tags=["lang-ko"]
# <!-- label: vectors-exercises -->
# ## 연습 문제
#
# 빈칸(`...`)을 채운 다음 바로 아래 셀을 실행하면 답이 맞는지 알 수 있습니다. 풀이는 접어 두었습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: vectors-exercises -->
# ## Exercises
#
# Fill in the gap (`...`) and run the next cell: it tells you whether the answer holds. Solutions are folded.

# %% [markdown] tags=["lang-ko"]
# <!-- label: vectors-exercise-neighbours -->
# ### 1. 이웃 찾기 (★, 8분)
#
# 행렬 `matrix`, 행 번호 `row`, 개수 `k`를 받아 그 행과 코사인이 가장 큰 `k`개 행의 번호를 돌려주십시오. 자기 자신은 뺍니다.
#
# 힌트: 행마다 제 길이로 나누고 나면 내적이 곧 코사인입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: vectors-exercise-neighbours -->
# ### 1. Find the neighbours (★, 8 minutes)
#
# Given a `matrix`, the number of a `row` and a count `k`, return the numbers of the `k` rows with the largest cosine to that row. Leave the row itself out.
#
# Hint: once each row is divided by its length, the dot product is the cosine.

# %% tags=["exercise"]
def my_neighbours(matrix, row, k):
    ...

# %%
from lib.exercises.vectors import check_neighbours

check_neighbours(my_neighbours)

# %% tags=["solution", "hide-cell"]
def neighbours_solution(matrix, row, k):
    unit = matrix / matrix.norm(dim=1, keepdim=True)
    cosine = unit @ unit[row]
    cosine[row] = -torch.inf
    return cosine.topk(k).indices


check_neighbours(neighbours_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: vectors-exercise-gradient -->
# ### 2. 행으로 돌아가는 기울기 (★★, 10분)
#
# 토큰 번호 `ids`(길이 `n`), 꺼낸 행들에 대한 기울기 `given`(`(n, d)`), 어휘의 크기 `vocab`을 받아 임베딩 행렬에 대한 기울기 `(vocab, d)`를 돌려주십시오. `backward`는 쓰지 않습니다.
#
# 힌트: 같은 번호가 두 번 나오면 어떻게 되어야 할까요? `zeros[ids] = given`은 마지막 것만 남깁니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: vectors-exercise-gradient -->
# ### 2. The gradient's way back to the rows (★★, 10 minutes)
#
# Given token ids `ids` (length `n`), the gradient `given` of the rows looked up, `(n, d)`, and the size `vocab` of the vocabulary, return the gradient of the embedding matrix, `(vocab, d)`. Do not use `backward`.
#
# Hint: what must happen when an id occurs twice? `zeros[ids] = given` keeps the last one only.

# %% tags=["exercise"]
def my_gradient(ids, given, vocab):
    ...

# %%
from lib.exercises.vectors import check_gradient

check_gradient(my_gradient)

# %% tags=["solution", "hide-cell"]
def gradient_solution(ids, given, vocab):
    one_hot = F.one_hot(ids, vocab).to(given.dtype)
    return one_hot.T @ given


check_gradient(gradient_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: vectors-exercise-stream -->
# ### 3. 한 조각씩 받아 쓰기 (★★, 10분)
#
# 모델이 한국어를 쓸 때는 바이트 조각이 하나씩 나옵니다. 조각의 목록 `pieces`(`bytes`)를 받아, 조각이 올 때마다 **새로 완성된 글자**를 문자열로 담은 같은 길이의 목록을 돌려주십시오. 완성된 것이 없으면 빈 문자열입니다. 조각 하나가 앞 글자를 끝내고 다음 글자를 시작할 수도 있습니다.
#
# 힌트: 완성되지 않은 바이트는 다음 조각이 올 때까지 모아 둡니다. `codecs`에 이런 일을 하는 것이 있습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: vectors-exercise-stream -->
# ### 3. Writing piece by piece (★★, 10 minutes)
#
# When a model writes Korean, byte pieces come out one at a time. Given the list `pieces` (of `bytes`), return a list of the same length that holds, for each piece, **the characters it has completed**, as a string; an empty one where there are none. A piece may end one character and begin the next.
#
# Hint: keep incomplete bytes until the next piece comes. `codecs` has something that does this.

# %% tags=["exercise"]
def my_stream(pieces):
    ...

# %%
from lib.exercises.vectors import check_stream

check_stream(my_stream)

# %% tags=["solution", "hide-cell"]
def stream_solution(pieces):
    kept, out = b"", []
    for piece in pieces:
        kept += piece
        done = kept.decode(errors="ignore")  # drops an unfinished end
        out.append(done)
        kept = kept[len(done.encode()):]
    return out


check_stream(stream_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: vectors-exercise-place -->
# ### 4. 시계 읽기 (★★, 12분)
#
# 사인과 코사인으로 된 위치 벡터 하나 `vector`(길이 `d`)를 받아 몇째 자리인지 돌려주십시오. 자리는 0 이상이고 500보다 작습니다.
#
# 힌트: 모든 자리의 벡터를 만들어 견주어도 되고, 느린 바늘부터 읽어도 됩니다. 첫 바늘 하나만으로는 모자랍니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: vectors-exercise-place -->
# ### 4. Read the clocks (★★, 12 minutes)
#
# Given one position vector of sines and cosines, `vector` (length `d`), return which position it is. Positions are 0 or more and less than 500.
#
# Hint: you may make the vectors of all positions and compare, or read the slow hands first. The first hand alone is not enough.

# %% tags=["exercise"]
def my_place(vector):
    ...

# %%
from lib.exercises.vectors import check_place

check_place(my_place)

# %% tags=["solution", "hide-cell"]
def place_solution(vector):
    table = positions(500, len(vector))
    return int((table @ vector.double()).argmax())


check_place(place_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: vectors-exercise-shift -->
# ### 5. 옮기는 행렬 (★★★, 15분)
#
# 어느 자리 $t$에서든 $M P_t = P_{t+k}$가 되는 행렬 $M$(`(d, d)`)을 돌려주는 함수를 쓰십시오. 사인과 코사인은 이 장에서처럼 번갈아 놓입니다.
#
# 힌트: $2 \times 2$ 회전을 대각선에 늘어놓은 행렬입니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: vectors-exercise-shift -->
# ### 5. The matrix that moves (★★★, 15 minutes)
#
# Write a function that returns the matrix $M$, `(d, d)`, with $M P_t = P_{t+k}$ from any position $t$. Sines and cosines alternate as in this chapter.
#
# Hint: it is a matrix with $2 \times 2$ rotations along its diagonal.

# %% tags=["exercise"]
def my_shift(k, d):
    ...

# %%
from lib.exercises.vectors import check_shift

check_shift(my_shift)

# %% tags=["solution", "hide-cell"]
def shift_solution(k, d):
    angle = k * 10_000 ** (-torch.arange(0, d, 2) / d)
    blocks = [torch.tensor([[math.cos(a), math.sin(a)],
                            [-math.sin(a), math.cos(a)]])
              for a in angle.tolist()]
    return torch.block_diag(*blocks)


check_shift(shift_solution)

# %% [markdown] tags=["lang-ko"]
# <!-- label: vectors-measured -->
# ## 무엇을 무엇으로 쟀는가
#
# | 잰 것 | 결과 |
# |---|---|
# | 글자당 토큰, SmolLM2 | 영어 ⟨tokens_en_smol⟩, 한국어 ⟨tokens_ko_smol⟩ |
# | 글자당 토큰, GPT-2 | 영어 ⟨tokens_en_gpt2⟩, 한국어 ⟨tokens_ko_gpt2⟩ |
# | 행을 꺼낸 것과 원핫을 곱한 것, 모델의 첫 은닉 상태의 차이 | ⟨lookup_gap⟩, ⟨enter_gap⟩ |
# | 말뭉치에 나온 조각의 횟수와 평균 행과의 코사인, 순위 상관 | ⟨lean_rank⟩ |
# | 순서와 코사인의 순위 상관 | 숫자 ⟨order_digits⟩, 요일 ⟨order_days⟩, 달 ⟨order_months⟩ |
# | 위치 없이 순서를 바꾼 출력의 상대 차이(float64) | ⟨order_gap⟩ |
# | 자리를 옮긴 것과 돌린 것의 차이, 자리 ⟨n_positions⟩개(float64) | ⟨turn_gap⟩ |
# | 내적과 거리만의 식의 차이(float64) | ⟨dot_gap⟩ |
# | 출력 로짓과 $hE^\top$의 차이 | ⟨tie_gap⟩ |
#
# 이웃과 쏠림과 순서는 아래의 모델 하나에서 잰 것입니다. 모델의 행렬은 표에 적힌 파일에서 float32로 되살린 것이고, 양자화된 파일이라면 원래 모델의 행과 조금 다릅니다. 빈도는 모델이 학습한 글이 아니라 여기 있는 영어 말뭉치에서 세었습니다. 학습에 쓰인 글의 빈도는 알려져 있지 않습니다.
# %% [markdown] tags=["lang-en"]
# <!-- label: vectors-measured -->
# ## What was measured, and on what
#
# | measured | result |
# |---|---|
# | Tokens per character, SmolLM2 | English ⟨tokens_en_smol⟩, Korean ⟨tokens_ko_smol⟩ |
# | Tokens per character, GPT-2 | English ⟨tokens_en_gpt2⟩, Korean ⟨tokens_ko_gpt2⟩ |
# | Rows looked up against one-hot product and first hidden states, difference | ⟨lookup_gap⟩, ⟨enter_gap⟩ |
# | Count in the corpus and cosine with the mean row, rank correlation | ⟨lean_rank⟩ |
# | Order and cosine, rank correlation | digits ⟨order_digits⟩, days ⟨order_days⟩, months ⟨order_months⟩ |
# | Reordered outputs without positions, relative difference (float64) | ⟨order_gap⟩ |
# | Moved against turned positions, ⟨n_positions⟩ positions (float64) | ⟨turn_gap⟩ |
# | Dot products against the formula of distance (float64) | ⟨dot_gap⟩ |
# | Output logits against $hE^\top$, difference | ⟨tie_gap⟩ |
#
# Neighbours, lean and order were measured on the one model below. Its matrices come from the file that the table names, restored to float32; if that file is quantised, its rows differ a little from those of the original model. Frequencies were counted in the English corpus at hand and not in the text the model was trained on, whose frequencies are not known.

# %% tags=["remove-input"]
import tokenizers
import transformers

versions = ", ".join(m.__version__ for m in (torch, transformers, tokenizers))
model_name, gpt2_name, english_name, korean_name = (
    f"{describe(name, 'ko')} | {describe(name, 'en')}"
    for name in ("smollm2", "gpt2", "tinyshakespeare", "korean"))
pd.DataFrame([
    ["모델 | Model", model_name],
    ["토크나이저 | Tokenizer", gpt2_name],
    ["영어 말뭉치 | English corpus", english_name],
    ["한국어 말뭉치 | Korean corpus", korean_name],
    ["말뭉치의 글자 | Characters of the corpora",
     ", ".join(f"{len(part):,}" for part in parts.values())],
    ["장치 | Device", str(cfg.device)],
    ["torch, transformers, tokenizers", versions],
    ["프로필 | Profile", cfg.profile],
], columns=["재료 | made with", "이 실행 | this run"]).set_index(
    "재료 | made with")
