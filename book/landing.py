"""The front door, and what the prose pages show of the chapters."""

import re
from collections.abc import Iterable, Mapping
from html import escape

from nbformat import NotebookNode

from book.covers import cover
from book.editions import targets
from book.glossary import glossary_markdown
from book.words import WORDS

#: The chapter that each front-door card opens, by part.
CARDS = {"attention": "02_qkv_tracing", "gravity": "09_gravity_coordinates",
         "tokens": "15_tokenizer_distillation"}


def cards(lang: str, notebooks: Mapping[str, NotebookNode], base: str = "",
          parts: Iterable[str] = tuple(CARDS)) -> str:
    """Draw the three systems as cards, each with a picture from its chapter."""
    found = []
    for part in parts:
        name = CARDS[part]
        title, text = WORDS[lang]["cards"][part]
        svg = cover(notebooks.get(name))
        picture = f'<div class="card-picture" aria-hidden="true">{svg}</div>'
        found.append(
            f'<a class="card {part}" href="{base}{name}.html">'
            f"{picture if svg else ''}"
            f'<span class="number">{WORDS[lang]["parts"][part].split(" · ")[0]}</span>'
            f"<b>{title}</b><span>{text}</span></a>"
        )
    return f'<div class="cards">{"".join(found)}</div>'


def fill_markers(text: str, lang: str, notebooks: Mapping[str, NotebookNode]) -> str:
    """Fill what a prose page leaves to the build: its cards and terms."""
    text = text.replace("<!-- cards -->", cards(lang, notebooks))
    for part in CARDS:
        marker = f"<!-- card: {part} -->"
        if marker in text:
            text = text.replace(marker, cards(lang, notebooks, parts=[part]))
    return text.replace("<!-- glossary -->", targets(glossary_markdown(lang)))


def landing_page(notebooks: Mapping[str, NotebookNode]) -> str:
    """Write the page that greets in both languages, the reader's own first."""
    sides = []
    for lang in ("ko", "en"):
        title = " <br>".join(WORDS[lang]["site"].split(" · "))
        lead, enter = WORDS[lang]["lead"], WORDS[lang]["enter"]
        sides.append(
            f'<section lang="{lang}" class="side"><h1>{title}</h1>'
            f'<p class="lead">{escape(lead)}</p>'
            f'<p class="actions"><a class="first" href="{lang}/index.html" '
            f'hreflang="{lang}">{enter}</a></p></section>'
        )
    decks = "".join(
        f'<div class="deck" lang="{lang}">{cards(lang, notebooks, f"{lang}/")}</div>'
        for lang in ("ko", "en")
    )
    return PAGE.replace("{sides}", "".join(sides)).replace("{decks}", decks)


PAGE = re.sub(r"\n\s*", "\n", """<!doctype html>
<html lang="ko" data-first="ko">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>어텐션 · 중력 · 토큰 | Attention · Gravity · Tokens</title>
<meta name="description" content="트랜스포머의 속을 여는 책. A book about the inside of Transformers.">
<meta name="color-scheme" content="light dark">
<link rel="alternate" hreflang="ko" href="ko/index.html">
<link rel="alternate" hreflang="en" href="en/index.html">
<link rel="icon" href="assets/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="assets/fonts/pretendard.css">
<link rel="stylesheet" href="assets/book.css">
<script>
(() => {
  const root = document.documentElement;
  const korean = (navigator.languages?.[0] ?? navigator.language ?? "ko").toLowerCase().startsWith("ko");
  root.dataset.first = root.lang = korean ? "ko" : "en";
  try { const theme = localStorage.getItem("book-theme"); if (theme) root.dataset.theme = theme; } catch { /* private mode */ }
})();
</script>
</head>
<body class="landing">
<main>
<div class="sides">{sides}</div>
{decks}
</main>
</body>
</html>
""")  # noqa: E501
