"""The translator of chapter 05 in a real browser: its numbers, and every hand's way in.

The smoke profile's model writes nonsense, which is as good to compare: what counts is
that the page computes the same nonsense as PyTorch.
"""

import base64
import json
from urllib.parse import urlparse

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup

from lib.attention import translation as task
from lib.attention.transformer import Transformer, TransformerConfig
from lib.trace.recorder import trace
from tests.site.test_pages import accessibility

PAGE = "05_training.html"
#: Logits and greedy answers of the page's own scripts.
COMPUTED = """({ reader, weights, runs }) => {
    const { arrays: { revive }, transformer: { Translator } } = bookLive.pure;
    const model = new Translator(reader.config, revive(weights));
    return runs.map(({ source, target }) => {
        const run = model.read(source);
        for (const id of target) model.take(run, id);
        return { logits: run.logits.map((row) => [...row]),
                 written: model.write(source).written };
    });
}"""


def exported(site, name):
    """What the chapter exported under a name, as the site serves it."""
    text = (site / "assets" / "live" / f"05-{name}.js").read_text("utf-8")
    return json.loads(text[text.index(",") + 1 : text.rindex(")")])


def array(packed):
    flat = np.frombuffer(base64.b64decode(packed["base64"]), packed["dtype"])
    return torch.from_numpy(flat.reshape(packed["shape"]).astype(np.float32))


@pytest.fixture(scope="module")
def reader(site):
    return exported(site, "translator")


@pytest.fixture(scope="module")
def weights(reader):
    return reader["weights"]


@pytest.fixture(scope="module")
def model(reader, weights):
    """The model that the exported numbers make in PyTorch."""
    model = Transformer(TransformerConfig(**reader["config"]))
    model.load_state_dict({name: array(packed) for name, packed in weights.items()})
    return model.eval()


def awake(seen):
    """The instrument of a page, once the reader has come near."""
    figure = seen.page.locator("[data-live=translator]").first
    figure.scroll_into_view_if_needed()
    seen.page.wait_for_selector("[data-live=translator][data-awake=yes]")
    return figure


def test_the_browser_gives_pytorchs_logits_and_answers_on_200_inputs(
        site, visit, reader, weights, model):
    tokenizer = task.build_tokenizer(vocab_size=1000)
    assert reader["vocabulary"] == [tokenizer.id_to_token(i)
                                    for i in range(tokenizer.get_vocab_size())]
    pairs = [pair for kind in task.KINDS for pair in task.unseen(kind, 100, seed=9)]
    batch = task.collate(pairs, tokenizer)
    with torch.no_grad():
        logits = model(batch["source"], batch["target"])
    written = model.generate(batch["source"])[:, 1:].tolist()
    runs = [{name: [i for i in ids[row].tolist() if i != task.PAD]
             for name, ids in batch.items()} for row in range(len(pairs))]
    seen = visit((site / "en" / PAGE).as_uri())
    awake(seen)
    answers = seen.page.evaluate(
        COMPUTED, {"reader": reader, "weights": weights, "runs": runs})
    for row, answer in enumerate(answers):
        ours = torch.tensor(answer["logits"])
        assert (ours - logits[row, : len(ours)]).abs().max() < 1e-4
        assert answer["written"] == written[row][: len(answer["written"])]


def test_the_still_shows_what_the_exported_numbers_compute(site, reader, model):
    """The picture is drawn from the trained model, in 32 bits; the export has 16."""
    html = (site / "ko" / PAGE).read_text("utf-8")
    figure = BeautifulSoup(html, "html.parser").select_one("[data-live=translator]")
    shown = [[float(cell.text) for cell in row.select("td")]
             for row in figure.select(".table-alternative tbody tr")]
    tokenizer = task.build_tokenizer(vocab_size=1000)
    source, target = (task.encode(tokenizer, [text]) for text in reader["examples"][0])
    begun = torch.cat((torch.tensor([[task.BOS]]), target), dim=1)[:, :-1]
    with torch.no_grad(), trace(model, ("*.cross.pattern",)) as traced:
        model(source, begun)
    layer, head = reader["best"]
    weights = traced.stack("cross.pattern", "decoder")[layer, 0, head]
    torch.testing.assert_close(weights, torch.tensor(shown), atol=3e-3, rtol=0)


HANDS = pytest.mark.parametrize(("lang", "served", "width", "theme", "touch"), [
    ("ko", True, 1280, "light", False), ("en", False, 390, "dark", True)],
    ids=["keys, served", "touch, from a folder"])


@HANDS
def test_every_part_answers_the_hand(site, address, browser, lang, served, width, theme,
                                     touch):
    context = browser.new_context(
        viewport={"width": width, "height": 860}, color_scheme=theme, has_touch=touch,
        reduced_motion="reduce")
    page = context.new_page()
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    root = address if served else site.as_uri()
    page.goto(f"{root}/{lang}/{PAGE}")
    figure = page.locator("[data-live=translator]").first
    figure.scroll_into_view_if_needed()
    page.wait_for_selector("[data-live=translator][data-awake=yes]")
    bars, said = figure.locator(".tr-bars"), figure.locator(".live-said[role=status]")

    def changed(act, part):
        before = part.inner_text()
        act()
        page.wait_for_function("([node, before]) => node.innerText !== before",
                               arg=[part.element_handle(), before])

    def press(node):
        if touch:
            node.tap()
        else:
            node.focus()
            page.keyboard.press("Enter")

    field = figure.get_by_role("textbox")
    field.fill("12,345")
    assert figure.locator(".tr-source .tr-piece").all_inner_texts() == [
        *"12,345", "<eos>"]
    field.fill("Xmas")  # X is in no month
    assert "‘X’" in figure.locator(".tr-said").inner_text()
    assert field.get_attribute("aria-invalid") == "true"
    field.fill("March 5, 2026")
    assert figure.locator(".tr-said").inner_text() == ""
    # a head and a layer off
    head = figure.locator(".tr-decoder .tr-heads button").first
    changed(lambda: press(head), bars)
    assert head.get_attribute("aria-pressed") == "false"
    assert "decoder.blocks.0.attn.pattern" in figure.locator(".tr-facts").inner_text()
    changed(lambda: press(figure.locator(".tr-encoder .tr-wide").first), bars)
    page.wait_for_selector(".tr-exact[data-done=yes]", timeout=120_000)
    changed(lambda: press(figure.locator(".tr-parts .live-button")), bars)
    assert head.get_attribute("aria-pressed") == "true"
    # one token back, and one checkpoint back, which alone is loaded
    sliders = figure.get_by_role("slider")
    if sliders.first.get_attribute("max") != "1":
        changed(lambda: sliders.first.press("ArrowLeft"), said)
    changed(lambda: sliders.nth(1).press("ArrowLeft"), bars)
    loaded = [url.rpartition("/")[2].partition("?")[0] for url in requests
              if "/live/05-translator_" in url]
    steps = exported(site, "translator")["steps"]
    assert loaded == [f"05-translator_{steps[-2]}.js"]
    # a token keeps its own lines only
    press(figure.locator(".tr-source .tr-piece").first)
    page.wait_for_selector(".tr-pointed")
    assert not page.locator(".tr-line:not(.tr-now)").count()
    # a tensor, cell by cell
    figure.locator(".tr-picks select").first.select_option("encoder.blocks.1.mlp.post")
    canvas = figure.locator("canvas")
    page.wait_for_function("(node) => node.ariaLabel.includes('encoder.blocks.1.mlp')",
                           arg=canvas.element_handle())
    canvas.press("ArrowRight")
    assert ": " in figure.locator(".tr-sheet .tr-read").inner_text()
    # the same lines as a table
    figure.locator("summary").click()
    page.wait_for_selector(".translator .table-alternative tbody td")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert errors == []
    assert {urlparse(url).netloc for url in requests} == {urlparse(root).netloc}
    assert accessibility(page, "[data-live]") == []
    context.close()


def test_without_scripts_the_still_and_its_caption_remain(site, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((site / "en" / PAGE).as_uri())
    figure = page.locator("[data-live=translator]").first
    assert figure.locator(".figure-body svg path").count() > 5
    assert "translator" in figure.locator("figcaption").inner_text()
    assert not page.locator(".instrument").count()
    context.close()
