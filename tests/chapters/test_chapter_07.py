"""The model that the reader writes in chapter 07: the cells themselves, run here."""

import importlib.util
import json
from pathlib import Path

import jupytext
import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from lib.data import language_model, path
from tests.real_data import real

CHAPTER = Path(__file__).parents[2] / "notebooks/07_smollm2_from_scratch.py"
TEXTS = {
    "ko": ("고양이가 물을 마신다.",
           "백성을 가르치는 바른 소리이며, 닿소리와 홀소리를 모아 한 글자를 이룬다.",
           "오늘 저녁에는 김치찌개 🍲 어때? 좋아, 일곱 시에 만나자!"),
    "en": ("The cat drank the water because it was thirsty.",
           "Whoever begins at the first word again for every new word will be late.",
           "def area(r):\n    return 3.14159 * r ** 2  # of a circle"),
}
PROMPTS = {"ko": "옛날 옛적에 호랑이가", "en": "Once upon a time, a tiger"}


@pytest.fixture(scope="module")
def chapter(tmp_path_factory):
    """The model cells of the chapter, joined into a file and imported."""
    cells = jupytext.read(CHAPTER).cells
    code = [cell.source for cell in cells if cell.source.startswith("# model: ")]
    file = tmp_path_factory.mktemp("chapter") / "smollm2.py"
    file.write_text("\n\n\n".join(code), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("smollm2", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def theirs():
    return real(language_model)


@pytest.fixture(scope="module")
def ours(chapter, theirs):
    folder = path("smollm2")
    model = chapter.SmolLM2(chapter.read_config(folder))
    return chapter.load(model, folder / "model.safetensors")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A small random Llama, and the folder of its weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40, hidden_size=24, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=6, num_key_value_heads=2, head_dim=8, rms_norm_eps=1e-5,
        max_position_embeddings=64, rope_theta=500.0, tie_word_embeddings=True,
        attn_implementation="eager", initializer_range=0.5,
    )
    model = LlamaForCausalLM(config).eval()
    folder = tmp_path_factory.mktemp("tiny")
    model.save_pretrained(folder)
    return model, folder


@pytest.fixture
def small(chapter, tiny):
    folder = tiny[1]
    model = chapter.SmolLM2(chapter.read_config(folder))
    return chapter.load(model, folder / "model.safetensors")


def state_of(tiny):
    """The tensors under the names of the file, as they can be saved again."""
    state = {name: tensor.clone() for name, tensor in tiny[0].state_dict().items()}
    state.pop("lm_head.weight")
    return state


# ---- the real weights -------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("language", ["ko", "en"])
@torch.no_grad()
def test_logits_of_the_real_model_are_those_of_transformers(ours, theirs, language):
    model, tokenizer = theirs
    for text in TEXTS[language]:
        ids = tokenizer(text, return_tensors="pt").input_ids
        gap = (ours(ids) - model(ids).logits).abs().max().item()
        assert gap <= 1e-4, (text, gap)


@pytest.mark.slow
@pytest.mark.parametrize("language", ["ko", "en"])
def test_fifty_greedy_tokens_are_those_of_transformers(
    chapter, ours, theirs, language
):
    model, tokenizer = theirs
    ids = tokenizer(PROMPTS[language], return_tensors="pt").input_ids
    mine = chapter.generate(ours, ids[0].tolist(), 50)
    known = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=50,
                           do_sample=False, eos_token_id=None, pad_token_id=0)
    assert mine == known[0].tolist()
    assert len(mine) == ids.shape[1] + 50


@pytest.mark.slow
@pytest.mark.parametrize("language", ["ko", "en"])
def test_without_the_cache_the_real_model_writes_the_same(
    chapter, ours, theirs, language
):
    ids = theirs[1](PROMPTS[language]).input_ids
    texts = [chapter.generate(ours, ids, 12, cached=cached) for cached in (True, False)]
    assert texts[0] == texts[1]


def test_the_chat_of_the_chapter_is_the_template_of_the_tokenizer(chapter, theirs):
    for question in ("What is the capital of Korea?", "물은 몇 도에서 끓나요?"):
        turn = [{"role": "user", "content": question}]
        known = theirs[1].apply_chat_template(turn, tokenize=False,
                                              add_generation_prompt=True)
        assert chapter.chat(question) == known


# ---- a small random model ---------------------------------------------------


@torch.no_grad()
def test_logits_of_a_random_llama_agree_to_rounding(tiny, small):
    ids = torch.randint(40, (3, 20), generator=torch.Generator().manual_seed(1))
    known = tiny[0](ids).logits
    # 1e-5 of the size of the logits: a few hundred roundings of float32
    assert (small(ids) - known).abs().max() <= 1e-5 * known.abs().max()


@pytest.mark.parametrize("pieces", [[1] * 12, [5, 1, 6], [12], [3, 9]])
@torch.no_grad()
def test_however_the_text_is_cut_the_cache_changes_no_logit(chapter, small, pieces):
    small.double()  # so that nothing but a mistake can show
    ids = torch.randint(40, (1, 12), generator=torch.Generator().manual_seed(2))
    cache = chapter.Cache(small, 12)
    parts = [small(part, cache) for part in ids.split(pieces, dim=1)]
    assert torch.allclose(torch.cat(parts, 1), small(ids), rtol=0, atol=1e-10)
    assert cache.length == 12


@torch.no_grad()
def test_a_cache_that_is_turned_back_writes_over_what_came_after(chapter, small):
    ids = torch.arange(12)[None]
    other = torch.cat((ids[:, :6], ids[:, 6:] + 20), 1)
    cache = chapter.Cache(small.double(), 12)
    small(ids, cache)
    cache.length = 6
    assert torch.allclose(small(other[:, 6:], cache), small(other)[:, 6:], atol=1e-10)


@torch.no_grad()
def test_later_tokens_change_no_earlier_logit(small):
    a = torch.arange(10)[None]
    b = torch.cat((a[:, :6], a[:, 6:] + 11), 1)
    one, two = small(a), small(b)
    assert torch.equal(one[:, :6], two[:, :6])
    assert not torch.allclose(one[:, 6:], two[:, 6:])


@torch.no_grad()
def test_the_last_logits_are_the_last_of_all(small):
    ids = torch.arange(9)[None]
    small.double()
    assert torch.allclose(small(ids, last=True), small(ids)[:, -1:], atol=1e-10)


def test_a_cache_takes_as_many_bytes_as_the_formula_says(chapter, small):
    kept = chapter.Cache(small, 11).kept
    layers, kv_heads, d_head = 2, 2, 8
    assert kept.untyped_storage().nbytes() == 2 * layers * kv_heads * d_head * 4 * 11


@pytest.mark.parametrize("prompt", [[3], [1, 2, 30, 4]])
def test_with_and_without_the_cache_the_same_tokens_are_written(
    chapter, small, prompt
):
    texts = [chapter.generate(small, prompt, 25, cached=way) for way in (True, False)]
    assert texts[0] == texts[1]
    assert len(texts[0]) == len(prompt) + 25


def test_writing_ends_at_the_stop_token(chapter, small):
    free = chapter.generate(small, [1, 2], 8)
    stop = free[4]
    stopped = chapter.generate(small, [1, 2], 8, stop=stop)
    assert stopped == free[: free.index(stop, 2) + 1]


def test_a_text_longer_than_the_model_allows_is_refused_at_once(chapter, small):
    with pytest.raises(ValueError, match=r"60 tokens and 5 new ones .* \(64\)"):
        chapter.generate(small, list(range(30)) * 2, 5)


# ---- loading ----------------------------------------------------------------


def attempt(chapter, tiny, tmp_path, change):
    state = state_of(tiny)
    change(state)
    file = tmp_path / "model.safetensors"
    save_file(state, file)
    model = chapter.SmolLM2(chapter.read_config(tiny[1]))
    return chapter.load(model, file)


@pytest.mark.parametrize("name", [
    "model.norm.weight", "model.layers.1.self_attn.k_proj.weight",
])
def test_a_missing_tensor_is_refused_by_name(chapter, tiny, tmp_path, name):
    with pytest.raises(ValueError, match=r"has no tensor for 1 places, ") as error:
        attempt(chapter, tiny, tmp_path, lambda state: state.pop(name))
    assert chapter.our_name(name) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_tensor_without_a_place_is_refused(chapter, tiny, tmp_path):
    with pytest.raises(ValueError, match=r"q_proj.bias .* fits nowhere .* config"):
        attempt(chapter, tiny, tmp_path, lambda state: state.update(
            {"model.layers.0.self_attn.q_proj.bias": torch.zeros(48)}))


def test_a_tensor_of_another_shape_is_refused(chapter, tiny, tmp_path):
    with pytest.raises(ValueError, match=r"norm.weight \(1,\) fits nowhere"):
        attempt(chapter, tiny, tmp_path, lambda state: state.update(
            {"model.norm.weight": torch.ones(1)}))


def test_half_precision_files_are_read_as_float32(chapter, tiny, tmp_path):
    model = attempt(chapter, tiny, tmp_path, lambda state: state.update(
        {name: tensor.bfloat16() for name, tensor in state.items()}))
    known = state_of(tiny)["model.norm.weight"].bfloat16().float()
    assert torch.equal(model.norm.weight, known)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_a_config_of_an_older_transformers_gives_the_same_sizes(
    chapter, tiny, tmp_path
):
    raw = json.loads((tiny[1] / "config.json").read_text())
    raw["rope_theta"] = raw.pop("rope_parameters")["rope_theta"]
    (tmp_path / "config.json").write_text(json.dumps(raw))
    assert chapter.read_config(tmp_path) == chapter.read_config(tiny[1])
    assert chapter.read_config(tmp_path).theta == 500.0


# ---- sampling ---------------------------------------------------------------


@pytest.mark.parametrize("shape", [
    {}, {"temperature": 0.5}, {"top_k": 3}, {"top_p": 0.8},
    {"temperature": 1.7, "top_k": 9, "top_p": 0.6}, {"top_p": 1e-6},
])
def test_the_distribution_is_that_of_transformers(chapter, shape):
    logits = 3 * torch.randn(5, 30, generator=torch.Generator().manual_seed(3))
    warpers = {"temperature": TemperatureLogitsWarper, "top_k": TopKLogitsWarper,
               "top_p": TopPLogitsWarper}
    known = logits
    for name, value in shape.items():
        known = warpers[name](value)(None, known)
    found = torch.stack([chapter.distribution(row, **shape) for row in logits])
    assert torch.allclose(found, known.softmax(-1), atol=1e-6)


def test_top_k_keeps_exactly_k_and_a_tiny_temperature_the_likeliest(chapter):
    p = chapter.distribution(torch.tensor([1.0, 2.0, 2.0, 2.0]), top_k=2)
    assert p.tolist() == [0.0, 0.5, 0.5, 0.0]
    p = chapter.distribution(torch.tensor([1.0, 30.0, 2.0]), temperature=1e-39)
    assert p.tolist() == [0.0, 1.0, 0.0]


def test_the_same_seed_draws_the_same_text_and_another_one_does_not(chapter, small):
    def text(seed):
        chance = torch.Generator().manual_seed(seed)
        pick = chapter.sampler(chance, temperature=1.5)
        return chapter.generate(small, [1, 2], 30, pick)

    assert text(0) == text(0)
    assert text(0) != text(1)


def test_draws_follow_the_distribution(chapter):
    logits = torch.tensor([0.6, 0.3, 0.1]).log()
    pick = chapter.sampler(torch.Generator().manual_seed(0), top_k=2)
    counts = torch.bincount(torch.tensor([pick(logits) for _ in range(3000)]),
                            minlength=3) / 3000
    # three standard deviations of a share of 3000 draws
    assert torch.allclose(counts, torch.tensor([2 / 3, 1 / 3, 0.0]), atol=0.026)
    assert counts[2] == 0
