"""Two editions from one source: stage each page for one language.

A notebook's prose cells come in pairs tagged `lang-ko` and `lang-en`; a prose page
holds both languages in fenced blocks. Staging keeps one side, fills the results
that the prose quotes as ⟨name⟩, hangs captions on figures, and writes plain MyST
that Sphinx reads without knowing of any of this.
"""

import copy
import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import yaml
from nbformat import NotebookNode

from book.instruments import Mounts
from book.outputs import (
    WIDGET_MIME,
    WIDGET_STATE_MIME,
    BuildError,
    Caption,
    convert,
    edition_html,
    one_side,
    script_json,
)
from book.pairs import page_text
from book.places import NOT_THERE, fill_places, scientific
from book.words import WORDS

LANGS = ("ko", "en")
SENTENCE = 40  # characters: a result that is longer is text, not a number
LABEL = re.compile(r"^<!-- label: ([\w-]+) -->\s*\n+(?=#)", re.MULTILINE)
TITLE = re.compile(r"^# (.*)$", re.MULTILINE)
ALT = re.compile(r"<!-- alt:\s*(.*?)\s*-->", re.DOTALL)
LINK = re.compile(
    r"\]\((?:\.\./)?(?:notebooks/|book/)?([\w-]+)\.(ipynb|md)(#[\w-]+)?\)"
)
DISPLAY = re.compile(r"\n+(\$\$[^$]+\$\$)[ \t]*(?:\n+|\Z)", re.DOTALL)
PROMPTS = {
    "ko": {"parameters": "이 장의 매개변수 보기", "solution": "풀이 보기",
           "hide-input": "코드 보기", "hide-output": "결과 보기"},
    "en": {"parameters": "Show this chapter’s parameters",
           "solution": "Show a solution",
           "hide-input": "Show the code", "hide-output": "Show the output"},
}

Records = Mapping[str, Mapping[str, str] | None]
"""Texts of recorded results by chapter number (`"02"`) and name; None: did not run."""


def fill(text: str, lang: str, records: Records, chapter: str, where: str) -> str:
    """Fill each ⟨name⟩ (of this chapter) and ⟨02.name⟩ (of another) in prose.

    A result of a chapter that did not run shows as a dash that says so.

    Raises
    ------
    BuildError
        If the chapter ran and recorded nothing of that name.
    """
    def value(number: str, name: str, plain: bool) -> str:
        place = f"⟨{number}.{name}⟩" if number else f"⟨{name}⟩"
        number = number or chapter
        results = records.get(number, {})
        if results is None:
            word = WORDS[lang]["not_run"]
            return NOT_THERE if plain else (
                f'<span class="not-run" role="img" aria-label="{word}" '
                f'title="{word}">{NOT_THERE}</span>')
        if name not in results:
            known = ", ".join(sorted(results)) or "nothing"
            raise BuildError(
                f"{where}: {place} is not recorded; chapter {number or '?'} "
                f"records {known}."
            )
        found = results[name]
        words = " " in found and (len(found) > SENTENCE or found.endswith("."))
        kind = "live sentence" if words else "live"
        return found if plain else f'<span class="{kind}">{scientific(found)}</span>'

    return fill_places(text, value)


def targets(text: str) -> str:
    """Write the labels of headings as MyST has them.

    >>> targets("<!-- label: qkv -->\\n## Keys")
    '(qkv)=\\n## Keys'
    """
    return LABEL.sub(lambda m: f"({m[1]})=\n", text)


def prose(text: str, lang: str, records: Records, chapter: str, where: str) -> str:
    """Turn prose that reads well in JupyterLab into the MyST that Sphinx links."""
    text = targets(text)
    text = DISPLAY.sub(r"\n\n\1\n\n", text)
    text = fill(text, lang, records, chapter, where)

    def link(match: re.Match[str]) -> str:
        name, ending, anchor = match[1], match[2], match[3]
        return f"]({anchor})" if anchor else f"]({name}.{ending})"

    return LINK.sub(link, text)


def caption_of(
    cell: NotebookNode, lang: str, records: Records, chapter: str, where: str
) -> Caption:
    """Read a caption cell: its text, and the alt text in its comment.

    Raises
    ------
    BuildError
        If the alt text is missing or empty.
    """
    found = ALT.search(cell.source)
    if not found or not found[1]:
        raise BuildError(f"{where}: the caption has no <!-- alt: … -->.")
    text = fill(ALT.sub("", cell.source).strip(), lang, records, chapter, where)
    alt = re.sub(r"<[^>]+>|&nbsp;", " ", fill(found[1], lang, records, chapter, where))
    return Caption(text, re.sub(r"\s+", " ", alt).strip())


def stage_notebook(
    notebook: NotebookNode, lang: str, records: Records, name: str, notice: str = "",
    mounts: Mounts | None = None,
) -> NotebookNode:
    """Make the notebook of one edition from the executed one.

    Parameters
    ----------
    notebook
        The executed notebook, with prose cells of both languages.
    lang
        `ko` or `en`.
    records
        What the executed notebooks recorded.
    name
        The notebook's stem, such as `02_qkv_tracing`.
    notice
        Of a chapter that did not run: the HTML below its title. Its page holds prose
        and code only.
    mounts
        The places of instruments, which ask it for the exports that they use.

    Raises
    ------
    BuildError
        On a missing result, caption, alt text, or a cell that failed.
    """
    chapter = name[:2]
    # what is numbered from 90 on is a workbench: a tool, not a chapter
    number = "" if chapter >= "90" else f"{chapter} · "
    other = "lang-en" if lang == "ko" else "lang-ko"
    mounts = mounts or Mounts({})
    cells = [
        copy.deepcopy(cell) for cell in notebook.cells
        if other not in (tags := cell.metadata.get("tags", []))
        and "injected-parameters" not in tags and "remove-cell" not in tags
    ]
    staged: list[NotebookNode] = []
    for index, cell in enumerate(cells):
        tags = cell.metadata.get("tags", [])
        first = cell.source.strip().splitlines()[0] if cell.source.strip() else "empty"
        where = f"notebooks/{name}.py, cell “{first[:50]}”"
        if cell.cell_type == "markdown":
            if "caption" in tags:
                if not staged or staged[-1].cell_type != "code":
                    raise BuildError(f"{where}: a caption must follow a code cell.")
                continue
            text = prose(cell.source, lang, records, chapter, where)
            cell.source = TITLE.sub(
                lambda title: f"# {number}{title[1]}\n\n{notice}".rstrip(), text, 1
            )
        else:
            following = cells[index + 1] if index + 1 < len(cells) else None
            caption = None
            if following and "caption" in following.metadata.get("tags", []):
                caption = caption_of(following, lang, records, chapter, where)
            if notice:
                cell.outputs = []
            else:
                cell.outputs = convert(
                    cell.outputs, lang, caption, where, chapter,
                    partial(mounts.attributes, lang=lang, chapter=chapter, where=where))
            prepare_code(cell, lang)
        staged.append(cell)
    result = copy.deepcopy(notebook)
    result.cells = staged
    state = result.metadata.pop("widgets", {}).get(WIDGET_STATE_MIME)
    views = re.findall(rf'<script type="{re.escape(WIDGET_MIME)}">(.*?)</script>',
                       "".join(html_outputs(result)))
    if state and views:
        shown = {json.loads(view)["model_id"] for view in views}
        add_widget_state(result, state, shown, lang)
    return result


def html_outputs(notebook: NotebookNode) -> list[str]:
    """List the HTML outputs of a staged notebook."""
    return [
        output.data["text/html"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]


def prepare_code(cell: NotebookNode, lang: str) -> None:
    """Fold what the reader need not see at once, in the reader's language."""
    tags = list(cell.metadata.get("tags", []))
    if "parameters" in tags:
        tags.append("hide-input")
    kinds = ("solution", "parameters", "hide-input", "hide-output")
    kind = next((tag for tag in kinds if tag in tags), None)
    if kind:
        cell.metadata["mystnb"] = {"code_prompt_show": PROMPTS[lang][kind],
                                   "code_prompt_hide": PROMPTS[lang][kind]}
    cell.metadata["tags"] = tags


def reachable(models: Mapping[str, NotebookNode], shown: set[str]) -> set[str]:
    """Find the widgets that the shown ones need, and the links between them."""
    needs = {name: set(re.findall(r"IPY_MODEL_(\w+)", json.dumps(model)))
             for name, model in models.items()}
    found: set[str] = set()
    more = shown & set(models)
    while more:
        found |= more
        more = {need for name in found for need in needs[name] if need in models}
        more |= {name for name, model in models.items()
                 if "Link" in model["model_name"] and needs[name] & found}
        more -= found
    return found


def add_widget_state(notebook: NotebookNode, state: NotebookNode, shown: set[str],
                     lang: str) -> None:
    """Put the shown widgets' state on the page, in one language."""
    state = copy.deepcopy(state)
    keep = reachable(state["state"], shown)
    state["state"] = {name: model for name, model in state["state"].items()
                      if name in keep}
    for model in state["state"].values():
        for key, value in model["state"].items():
            if isinstance(value, str):
                value = (edition_html(value, lang) if "data-lang" in value
                         else one_side(value, lang))
            elif key == "_options_labels":
                value = [one_side(item, lang) for item in value]
            model["state"][key] = value
    last = next(cell for cell in reversed(notebook.cells) if cell.cell_type == "code")
    html = f'<script type="{WIDGET_STATE_MIME}">{script_json(state)}</script>'
    last.outputs.append(NotebookNode(
        output_type="display_data", metadata={}, data={"text/html": html}
    ))


def stage_page(path: Path, lang: str, records: Records) -> str:
    """Make the Markdown of one edition from a page in both languages."""
    text = prose(page_text(path, lang), lang, records, "", f"book/{path.name}")
    return ALT.sub("", text)


def stage_toc(toc: dict, lang: str) -> str:
    """Write the table of contents of one edition: flat paths, one title a part."""
    def flat(entry: object) -> object:
        if isinstance(entry, dict):
            return {key: (Path(value).name if key in ("file", "root")
                          else one_side(value, lang) if isinstance(value, str)
                          else flat(value)) for key, value in entry.items()}
        return [flat(item) for item in entry] if isinstance(entry, list) else entry

    return yaml.safe_dump(flat(toc), allow_unicode=True, sort_keys=False)
