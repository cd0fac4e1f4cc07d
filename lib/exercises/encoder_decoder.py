"""Checks of the exercises of chapter 04.

Each check asks for what the answer does, never for how.
"""

import torch
import torch.nn.functional as F
from torch import nn

from lib.attention.layers import DecoderLayer
from lib.attention.masks import causal_mask, padding_mask
from lib.attention.transformer import Transformer, TransformerConfig
from lib.exercises import Hint, exercise, require
from lib.exercises.compare import compare, draw, tensor


@exercise
def check_layer_norm(answer) -> None:
    """LayerNorm of `(…, d)` with gain and shift."""
    for seed, shape in enumerate(((2, 3, 8), (5, 4), (1, 6, 16))):
        x = 3 * draw(*shape, seed=seed) + 1
        gain, shift = 1 + draw(2, shape[-1], seed=9 + seed)
        centred, first = x - x.mean(-1, keepdim=True), x - x.mean(0, keepdim=True)
        spread = first.pow(2).mean(0, keepdim=True).sqrt()
        got = tensor(answer(x.clone(), gain.clone(), shift.clone()), shape)
        compare(got, F.layer_norm(x, shape[-1:], gain, shift), [
            (centred / x.std(-1, keepdim=True) * gain + shift,
             "분산은 d−1이 아니라 d로 나눈 것입니다(unbiased=False).",
             "The variance divides by d, not by d − 1 (unbiased=False)."),
            (centred / x.var(-1, keepdim=True, unbiased=False) * gain + shift,
             "분산이 아니라 그 제곱근으로 나눕니다.",
             "Divide by the square root of the variance, not by the variance."),
            (x / x.pow(2).mean(-1, keepdim=True).sqrt() * gain + shift,
             "평균을 빼지 않았습니다. 그것은 RMSNorm입니다.",
             "The mean was not taken off; that is RMSNorm."),
            (F.layer_norm(x, shape[-1:]),
             "곱하고 더하는 것(gain, shift)이 빠졌습니다.",
             "Gain and shift are missing."),
            (first / spread * gain + shift,
             "벡터 하나 안에서(마지막 축) 평균과 분산을 냅니다.",
             "Mean and variance are those of one vector, over the last axis."),
        ], "값이 다릅니다. 평균을 빼고, 표준편차로 나누고, 곱하고, 더하는 순서입니다.",
           "The values differ: take the mean off, divide by the standard deviation, "
           "multiply, add.", rtol=0.0, atol=1e-3)


@exercise
def check_decoder_mask(answer) -> None:
    """Where a target may look: target ids and the id of padding in, mask out."""
    for ids in ([[1, 5, 6, 2], [1, 7, 2, 0], [0, 1, 4, 2]], [[0, 0, 1, 4, 2]]):
        target = torch.tensor(ids)
        got = answer(target.clone(), 0)
        batch, n = target.shape
        require(got.dtype == torch.bool,
                f"{got.dtype}이(가) 나왔습니다. 참과 거짓의 텐서로 내십시오.",
                f"{got.dtype} came; give a tensor of True and False.")
        try:
            got = got.broadcast_to(batch, 8, n, n)[:, 0]
        except RuntimeError:
            raise Hint(
                f"모양이 {tuple(got.shape)}입니다. (batch, 1, query, key)로 내십시오.",
                f"The shape is {tuple(got.shape)}; give (batch, 1, query, key)."
            ) from None
        causal, words = causal_mask(n), (target != 0)[:, None]
        asks = words.mT  # what a padding query sees is nobody's business
        right = causal & words
        compare(got & asks, right & asks, [
            (~right & asks, "참과 거짓이 바뀌었습니다. 볼 수 있는 곳이 참입니다.",
             "True and False are swapped: True is where one may look."),
            (words & asks, "뒤의 토큰이 보입니다. 인과 마스크가 빠졌습니다.",
             "Later tokens can be seen; the causal mask is missing."),
            (causal & asks, "빈자리가 보입니다. 키가 패딩인 칸을 막으십시오.",
             "Padding can be seen; close the cells whose key is padding."),
            (causal.T & words & asks, "방향이 거꾸로입니다. 앞을 막고 뒤를 열었습니다.",
             "It is the wrong way round: closed before, open after."),
        ], "쿼리 i는 i까지의 키 가운데 패딩이 아닌 것만 봅니다.",
           "Query i sees the keys up to i that are not padding.")


@exercise
def check_parameters(answer) -> None:
    """How many parameters the whole model has."""
    for vocab, d_model, d_ff, n_layers in ((37, 8, 24, 1), (100, 16, 64, 3)):
        got = int(answer(vocab, d_model, d_ff, n_layers))
        right, parts = _count(vocab, d_model, d_ff, n_layers)
        token, biases, norms = parts["token"], parts["biases"], parts["norms"]
        cross, cross_norm = parts["cross"], parts["cross norm"]
        compare(got, right, [
            (got in (right + token, right + 2 * token),
             "한 행렬을 두 언어와 출력이 함께 씁니다. 한 번만 세십시오.",
             "One matrix serves both languages and the output; count it once."),
            (got in (right - biases, right - biases - norms),
             "편향(bias)이 빠졌습니다.", "The biases are missing."),
            (got in (right - cross, right - cross - cross_norm),
             "디코더 층의 크로스 어텐션이 빠졌습니다.",
             "The cross-attention of the decoder layers is missing."),
            (right - norms,
             "층 정규화가 빠졌습니다. 층마다 곱하는 벡터와 더하는 벡터가 있습니다.",
             "The layer normalizations are missing: each has a gain and a shift."),
            (right - cross_norm, "디코더 층의 층 정규화는 셋입니다.",
             "A decoder layer has three layer normalizations."),
            (right + 64 * d_model, "위치는 학습하지 않으므로 세지 않습니다.",
             "Positions are not learned and do not count."),
            (right - token, "임베딩이 빠졌습니다.", "The embedding is missing."),
        ], f"어휘 {vocab}, 폭 {d_model}, 속 폭 {d_ff}, 층 {n_layers}에서 {got:,}개가 "
           f"나왔습니다. {right:,}개입니다.",
           f"With vocabulary {vocab}, width {d_model}, inner width {d_ff} and "
           f"{n_layers} layers it gave {got:,}; there are {right:,}.")


def _count(vocab: int, d_model: int, d_ff: int, n_layers: int):
    """The parameters of a real model, and those of the parts one may forget."""
    config = TransformerConfig(vocab, d_model, 2, n_layers, d_ff)
    with torch.device("meta"):
        model = Transformer(config)

    def size(wanted) -> int:
        return sum(p.numel() for name, p in model.named_parameters() if wanted(name))

    return size(lambda name: True), {
        "token": size(lambda name: name.startswith("token")),
        "biases": size(lambda name: name.endswith("bias") and "norm" not in name),
        "cross": size(lambda name: "cross_attention" in name),
        "cross norm": size(lambda name: "cross_norm" in name),
        "norms": size(lambda name: "norm" in name),
    }


@exercise
def check_norm_first(answer) -> None:
    """A decoder layer with the norm before each part."""
    for seed in range(2):
        layer = _layer(seed)
        y, memory = draw(2, 4, 12, seed=seed), draw(2, 6, 12, seed=5 + seed)
        source = torch.ones(2, 6, dtype=torch.long)
        source[1, 4:] = 0
        masks = causal_mask(4), padding_mask(source, 0)
        with torch.no_grad():
            right = layer(y, memory, *masks)
            got = tensor(answer(layer, y.clone(), memory.clone(), *masks), right.shape)
            compare(
                got, right, _typical_layers(layer, y, memory, *masks),
                "값이 다릅니다. 부분마다 x + f(LN(x))이고, 순서는 셀프 어텐션, 크로스 "
                "어텐션, 피드포워드입니다.",
                "The values differ: each part is x + f(LN(x)), in the order "
                "self-attention, cross-attention, feed-forward.", rtol=0.0, atol=1e-6)


def _layer(seed: int) -> DecoderLayer:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layer = DecoderLayer(12, 3, 24, norm_first=True).double().eval()
        for p in layer.parameters():
            nn.init.normal_(p, mean=0.2 if p.dim() == 1 else 0.0, std=0.4)
    return layer


def _typical_layers(layer, y, memory, mask, memory_mask):
    norms = layer.attention_norm, layer.cross_norm, layer.feed_forward_norm

    def walk(step, memory=memory, mask=mask, memory_mask=memory_mask):
        x = step(y, norms[0], lambda x: layer.attention(x, mask=mask))
        x = step(x, norms[1],
                 lambda x: layer.cross_attention(x, memory, mask=memory_mask))
        return step(x, norms[2], layer.feed_forward)

    def before(x, norm, part):
        return x + part(norm(x))

    yield (walk(lambda x, norm, part: norm(x + part(x))),
           "이것은 더한 뒤에 정규화하는 논문의 순서입니다. 먼저 정규화하십시오.",
           "This is the paper's order, norm after adding; normalise first.")
    yield (walk(lambda x, norm, part: part(norm(x))),
           "잔차가 빠졌습니다. 부분의 출력을 입력에 더하십시오.",
           "The residual is missing: add each part's output to its input.")
    yield (walk(lambda x, norm, part: norm(x) + part(norm(x))),
           "정규화한 것에 더했습니다. 잔차는 정규화하기 전의 x입니다.",
           "The output was added to the normalised x; the residual is x itself.")
    yield (walk(before, memory=norms[1](memory)),
           "기억(memory)은 정규화하지 않습니다.", "The memory is not normalised.")
    yield (walk(before, mask=None),
           "인과 마스크가 빠졌습니다.", "The causal mask is missing.")
    yield (walk(before, memory_mask=None), "크로스 어텐션의 마스크가 빠졌습니다.",
           "The mask of the cross-attention is missing.")


@exercise
def check_generate(answer) -> None:
    """Greedy writing with nothing but `model(source, target)`."""
    for seed, longest in enumerate((12, 9, 5)):
        model, source = _Writer(seed), _sources(seed)
        config, right = model.config, _written(model, source, longest)
        got = torch.as_tensor(answer(model, source.clone(), longest))
        require(got.dim() == 2 and len(got) == len(right),
                f"모양이 {tuple(got.shape)}입니다. 원문마다 한 줄, 곧 "
                f"{tuple(right.shape)}(이)어야 합니다.",
                f"The shape is {tuple(got.shape)}; one row a source is wanted, "
                f"{tuple(right.shape)}.")
        require((got[:, 0] == config.bos).all(),
                "첫 토큰은 bos여야 합니다.", "The first token must be bos.")
        length = got.shape[1]
        require(length <= longest,
                f"{length}토큰을 썼습니다. bos까지 세어 {longest}토큰까지만 쓰십시오.",
                f"It wrote {length} tokens; at most {longest}, bos included.")
        common = min(length, right.shape[1])
        ended = (right == config.eos).cumsum(1) - (right == config.eos).int() > 0
        same = (got[:, :common] == right[:, :common]) | ended[:, :common]
        compare(got, right, [
            (bool(same.all()),
             "eos까지는 맞습니다. eos 뒤는 pad로 채우고, 모든 줄이 끝나면 멈추십시오.",
             ("It is right up to eos; then write pad, and stop when every row has "
              "ended.")),
        ], "다른 토큰을 골랐습니다. 마지막 자리에서 로짓이 가장 큰 것을 이어 "
           "붙이십시오.",
           "It chose other tokens: append the largest logit of the last position.")


class _Writer(nn.Module):
    """Stands for a trained model: its next token hangs on the source and on every
    token before, it never writes pad or bos, and it ends rows early and late."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.config = TransformerConfig(vocab=9, max_length=16)
        self.table = draw(101, 9, seed=seed).float()
        self.table[:, [self.config.pad, self.config.bos]] = -9.0

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        places = torch.arange(1, target.shape[1] + 1)
        state = (target * places).cumsum(1) * 7 + (source * 3).sum(1, keepdim=True)
        return self.table[state % len(self.table)]


def _sources(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, 9, (6, 7), generator=generator)


def _written(model: _Writer, source: torch.Tensor, longest: int) -> torch.Tensor:
    """Reference: row by row, in plain Python."""
    config, rows = model.config, []
    for one in source:
        row = [config.bos]
        while len(row) < longest and row[-1] != config.eos:
            logits = model(one[None], torch.tensor([row]))
            row.append(int(logits[0, -1].argmax()))
        rows.append(row)
    width = max(map(len, rows))
    return torch.tensor([row + [config.pad] * (width - len(row)) for row in rows])
