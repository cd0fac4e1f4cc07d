"""Both languages say the same, and no drift passes unseen."""

import doctest
import importlib
import random
import shutil
from collections import Counter
from pathlib import Path

import drift
import pytest
from hypothesis import given
from hypothesis import strategies as st

from book import numerals, pairlock, parity
from book.pairs import (
    PairError,
    Problem,
    Source,
    page_text,
    read_notebook,
    read_page,
    read_source,
    source_files,
)
from lib.commands import module_command

ROOT = Path(__file__).parents[2]
SAMPLE = Path(__file__).parents[1] / "samples" / "parity" / "99_sample.txt"
SAMPLE_NAME = "notebooks/99_sample.py"
EACH = 3
SEED = 20260305


def found_in(root: Path, lock: bool = True) -> list[Problem]:
    return parity.check(root, lock=lock)


def copy_book(root: Path) -> Path:
    """Copy the real sources and the sample below `root`, with a fresh lock."""
    for name in [*source_files(ROOT), "README_KO.md"]:
        if (ROOT / name).exists():
            (root / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    (root / "notebooks").mkdir(exist_ok=True)
    shutil.copy(SAMPLE, root / SAMPLE_NAME)
    parity.update(root, accept="all")
    return root


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_book(tmp_path_factory.mktemp("book"))


def pair_text(ko: str, en: str) -> str:
    """A notebook with one pair."""
    def cell(lang: str, text: str) -> str:
        lines = "".join(f"# {line}".rstrip() + "\n" for line in text.split("\n"))
        return f'# %% [markdown] tags=["lang-{lang}"]\n{lines}'

    return cell("ko", ko) + cell("en", en)


def findings(ko: str, en: str) -> list[str]:
    """What the check says about one pair."""
    source = read_notebook(pair_text(ko, en), "notebooks/50_x.py")
    assert not source.problems
    return [str(p) for pair in source.pairs for p in parity.check_pair(pair)]


# ------------------------------------------------------------------ the book


@pytest.mark.slow
def test_the_book_says_the_same_in_both_languages():
    found = found_in(ROOT)
    assert found == [], "\n" + "\n".join(map(str, found))


def test_the_lock_holds_every_pair_of_the_book():
    locked = pairlock.read_lock(ROOT)
    pairs = {source.path: len(source.pairs) for source in parity.read_book(ROOT)}
    assert {name: len(entries) for name, entries in locked.items()} == {
        name: count for name, count in pairs.items() if count
    }


# -------------------------------------------------------------- seeded drift


def candidates(root: Path) -> list[tuple[Source, int]]:
    return [
        (source, index)
        for source in parity.read_book(root)
        for index in range(len(source.pairs))
    ]


def seeded_edits(root: Path, kind: str):
    """Yield up to EACH (file, new text, where) of one kind, spread over sources."""
    rng = random.Random(f"{SEED} {kind}")
    places = candidates(root)
    rng.shuffle(places)
    real = [place for place in places if place[0].path != SAMPLE_NAME]
    made = 0
    for source, index in real + [p for p in places if p not in real]:
        if made == EACH:
            return
        pair = source.pairs[index]
        if kind in drift.WHOLE_FILE:
            if pair.ko.path != pair.en.path:
                continue
            old = (root / pair.ko.path).read_text(encoding="utf-8")
            new = drift.WHOLE_FILE[kind][0](old, pair, rng)
            where = pair.ko
        else:
            edit, _ = {**drift.ONE_SIDE, **drift.ONE_SIDE_AND_LOCK}[kind]
            where = rng.choice([pair.ko, pair.en])
            old = (root / where.path).read_text(encoding="utf-8")
            text = edit(where.text, rng)
            if text is None or text == where.text:
                continue
            new = drift.replace_side(old, where, text)
        if new is None or new == old:
            continue
        made += 1
        yield where.path, new, f"{where.path}:{where.line} ({where.lang})"


KINDS = {**drift.ONE_SIDE, **drift.ONE_SIDE_AND_LOCK, **drift.WHOLE_FILE}


def keys(problems: list[Problem]) -> Counter:
    return Counter((p.path, p.kind, p.message) for p in problems)


@pytest.mark.slow
def test_every_seeded_drift_is_caught(book: Path):
    """By a comparison, and where one side changed by the lock as well."""
    before = found_in(book)
    assert [p for p in before if p.kind == "lock"] == []
    tried: Counter = Counter()
    caught: Counter = Counter()
    missed: list[str] = []
    for kind, (_, expected) in KINDS.items():
        for name, text, where in seeded_edits(book, kind):
            path = book / name
            old = path.read_text(encoding="utf-8")
            path.write_text(text, encoding="utf-8")
            new = keys(found_in(book)) - keys(before)
            path.write_text(old, encoding="utf-8")
            kinds = {kind for _, kind, _ in new}
            tried[kind] += 1
            if kinds & expected and ("lock" in kinds or kind in drift.WHOLE_FILE):
                caught[kind] += 1
            else:
                missed.append(f"{kind} at {where}: {sorted(new)}")
    report = "\n".join(f"{kind}: {caught[kind]} of {tried[kind]}" for kind in KINDS)
    print(report)
    assert missed == [], "\n".join([report, *missed])
    assert all(tried[kind] for kind in KINDS), f"no place for some kinds\n{report}"
    assert len(tried) >= 10 and sum(tried.values()) >= 40, report


def test_the_sample_raises_no_alarm(tmp_path: Path):
    (tmp_path / "notebooks").mkdir()
    shutil.copy(SAMPLE, tmp_path / SAMPLE_NAME)
    assert [str(p) for p in found_in(tmp_path, lock=False)] == []


# ------------------------------------------------------- what is no difference


@pytest.mark.parametrize(
    ("ko", "en"),
    [
        ("2026년 3월 5일에 쟀습니다.", "Measured on March 5, 2026."),
        ("2026년 3월 5일에 쟀습니다.", "Measured on 5 March 2026."),
        ("2026-03-05에 쟀습니다.", "Measured on March 5th, 2026."),
        ("3월 5일에 쟀습니다.", "Measured on Mar. 5."),
        ("2026년 3월의 일입니다.", "It was in March 2026."),
        ("3월의 일입니다.", "It was in March."),
        ("1990년대의 일입니다.", "It was in the 1990s."),
        ("1,115,394자입니다.", "There are 1115394 characters."),
        ("5만 257개입니다.", "There are 50,257 of them."),
        ("1억 3,450만 개입니다.", "There are 134.5 million."),
        ("매개변수 81만 개입니다.", "It has 0.81M parameters."),
        ("SmolLM2-135M은 작습니다.", "SmolLM2-135M is small."),
        ("99.5 %가 맞습니다.", "99.5% are right."),
        ("99.5퍼센트가 맞습니다.", "99.5 percent are right."),
        ("3 %p 올랐습니다.", "It rose by 3 percentage points."),
        ("\N{MINUS SIGN}0.5에서 시작합니다.", "It starts at -0.5."),
        ("헤드 3만 봅니다.", "We look at head 3 only."),
        ("두 개의 헤드를 세 번 봅니다.", "We look at two heads three times."),
        ("헤드 2개를 봅니다.", "We look at two heads."),
        ("둘째 층과 셋째 층입니다.", "The 2nd and the 3rd layer."),
        ("두 번째 층입니다.", "The second layer."),
        ("둘 다 옳습니다. 한 번에 봅니다.", "Both are right. One sees it at once."),
        ("1/√d로 나눕니다.", "Divide by 1/√d."),
        ("절반이 1/2입니다.", "A half is 1/2."),
        ("오차는 10⁻⁵보다 작습니다.", "The error is below 1e-5."),
        ("3×10⁻⁴입니다.", "It is 3e-4."),
        ("12~15번 층입니다.", "Layers 12 to 15."),
        ("0.50입니다.", "It is 0.5."),
        ("2부에서 봅니다.", "Part II shows it."),
        ("영하 2도입니다.", "It is two degrees below zero."),
        ("GPT-2와 WikiText-103과 bf16을 씁니다.",
         "We use GPT-2, WikiText-103 and bf16."),
        ("TransformerLens, GPT-2, SmolLM2, Hugging Face를 견줍니다.",
         "We compare TransformerLens, GPT-2, SmolLM2 and Hugging Face."),
        ("“The capital of France is the city of”를 넣습니다.",
         "We feed it “The capital of France is the city of”."),
        ("쿼리(query, what a position is looking for)입니다.",
         "The query is what a position looks for."),
        ("문장 “고양이가 물을 마신다.”를 읽습니다.",
         "It reads the sentence “고양이가 물을 마신다.” aloud."),
        ("$q$와 $k$를 곱합니다. $q$는 크고 $k$는 작습니다.",
         "Multiply $q$ and $k$; they differ."),
        ("`trace`를 열고 `trace`를 닫습니다.", "Open `trace`, then close it."),
        ("$x = \\text{무엇}$입니다.", "This is $x = \\text{something}$."),
        ("**쿼리**(query)는 봅니다.", "The **query** looks."),
    ],
)
def test_two_ways_of_saying_the_same_are_no_alarm(ko: str, en: str):
    assert findings(ko, en) == []


@pytest.mark.parametrize(
    ("ko", "en", "said"),
    [
        ("2026년 3월 5일입니다.", "March 6, 2026.", "numerals"),
        ("1,115,394자입니다.", "There are 1115349.", "numerals"),
        ("99.5 %입니다.", "It is 99.5.", "numerals"),
        ("\N{MINUS SIGN}0.5입니다.", "It is 0.5.", "numerals"),
        ("5만 257개입니다.", "There are 50,275.", "numerals"),
        ("두 번 봅니다.", "We look three times.", "numerals"),
        ("헤드 2개입니다.", "There are three heads.", "numerals"),
        ("10⁻⁵입니다.", "It is 1e-6.", "numerals"),
        ("2부입니다.", "It is Part III.", "numerals"),
        ("3과 3입니다.", "It is 3.", "numerals"),
        ("r²입니다.", "It is r³.", "symbols"),
        ("⟨a⟩와 ⟨b⟩입니다.", "⟨a⟩ only.", "placeholders"),
        ("⟨Big Name⟩입니다.", "It is ⟨Big Name⟩.", "not a placeholder"),
        ("$a+b$입니다.", "This is $a-b$.", "formulas"),
        ("`a`입니다.", "This is `b`.", "code spans"),
        ("[이것](a.md)입니다.", "[This](b.md).", "links"),
        ("**쿼리(query)**는 봅니다.", "The **query** looks.", "stays visible"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "| a |\n|---|\n| 1 |", "tables|table of"),
        ("![](a.png) 그림입니다.", "A picture ![a.png](a.png).", "alt text"),
        ("- 하나\n- 둘", "- one", "list items 2 in ko, 1 in en"),
        ("같습니다. The loss of the model is what we look at here.",
         "It is so. Look.", "English stands"),
        ("같습니다.", "It is so. 이것은 아직 옮기지 않은 문장입니다.", "Korean stands"),
        ("# 제목", "# Title", "has no label"),
        ("<!-- label: x -->\n글입니다.", "<!-- label: x -->\nText.", "no heading"),
    ],
)
def test_each_difference_is_named(ko: str, en: str, said: str):
    found = findings(ko, en)
    assert any(part in line for line in found for part in said.split("|")), found


@given(st.integers(min_value=1, max_value=10**9 - 1))
def test_a_count_is_the_same_number_in_both_ways_of_writing_it(number: int):
    tens, ones = divmod(number, 10**4)
    if tens > 9999:
        hundreds, tens = divmod(tens, 10**4)
        korean = f"{hundreds}억" + (f" {tens:,}만" if tens else "")
    else:
        korean = f"{tens:,}만" if tens else ""
    korean = f"{korean} {ones:,}개" if ones else f"{korean} 개"
    assert numerals.compare(korean, f"{number:,} of them") == ([], [])
    wrong = numerals.compare(korean, f"{number + 17:,} of them")
    assert wrong[0] and wrong[1] == [str(number + 17)]


@given(st.dates())
def test_a_date_is_the_same_in_both_ways_of_writing_it(day):
    korean = f"{day.year:04}년 {day.month}월 {day.day}일"
    english = f"{day:%B} {day.day}, {day.year:04}"
    assert numerals.compare(korean, english) == ([], [])
    assert numerals.compare(korean, day.isoformat()) == ([], [])


# ----------------------------------------------------------------- the lock


def write_book(root: Path, *pairs: tuple[str, str]) -> Path:
    path = root / "notebooks" / "50_x.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(pair_text(*pair) for pair in pairs), encoding="utf-8")
    return root


FIRST = ("첫 글입니다.", "The opening text.")
OTHER = ("다른 글입니다.", "Another text.")
MORE = ("새 글입니다.", "A new text.")


def lock_findings(root: Path) -> list[str]:
    return [p.message for p in found_in(root) if p.kind == "lock"]


def test_a_new_pair_needs_the_lock_and_update_takes_it(tmp_path: Path):
    write_book(tmp_path, FIRST, OTHER)
    assert len(lock_findings(tmp_path)) == 2
    assert parity.update(tmp_path) == []
    assert lock_findings(tmp_path) == []


def test_a_pair_put_in_between_changes_no_other(tmp_path: Path):
    write_book(tmp_path, FIRST, OTHER)
    parity.update(tmp_path)
    write_book(tmp_path, MORE, FIRST, OTHER)
    assert len(lock_findings(tmp_path)) == 1
    write_book(tmp_path, MORE, FIRST, ("다른 글이었습니다.", OTHER[1]))
    assert any("only the Korean changed" in m for m in lock_findings(tmp_path))
    assert len(parity.update(tmp_path)) == 1
    assert lock_findings(tmp_path) == [
        m for m in lock_findings(tmp_path) if "only the Korean changed" in m
    ]


@pytest.mark.parametrize("side", [0, 1])
def test_update_refuses_a_pair_changed_on_one_side(tmp_path: Path, side: int):
    write_book(tmp_path, FIRST)
    parity.update(tmp_path)
    write_book(tmp_path, (MORE[0], FIRST[1]) if side == 0 else (FIRST[0], MORE[1]))
    refused = parity.update(tmp_path)
    assert len(refused) == 1 and "50_x.py:2" in refused[0]
    assert len(lock_findings(tmp_path)) == 1
    write_book(tmp_path, MORE)
    assert parity.update(tmp_path) == [] and lock_findings(tmp_path) == []


def test_one_paragraph_changed_on_one_side_hides_behind_no_other(tmp_path: Path):
    ko, en = "하나입니다.\n\n둘입니다.", "Once.\n\nTwice."
    write_book(tmp_path, (ko, en))
    parity.update(tmp_path)
    write_book(tmp_path, ("하나였습니다.\n\n둘입니다.", "Once.\n\nTwice it was."))
    assert "one paragraph changed on one side only" in lock_findings(tmp_path)[0]
    assert len(parity.update(tmp_path)) == 1


def test_accept_takes_one_side_by_label_or_file(tmp_path: Path):
    write_book(tmp_path, FIRST, OTHER)
    parity.update(tmp_path)
    write_book(tmp_path, (MORE[0], FIRST[1]), OTHER)
    assert parity.update(tmp_path, accept="nothing-like-it") != []
    assert len(lock_findings(tmp_path)) == 1
    assert parity.update(tmp_path, accept="top+1") == []
    assert lock_findings(tmp_path) == []
    write_book(tmp_path, (MORE[0], FIRST[1]), (OTHER[0], MORE[1]))
    assert parity.update(tmp_path, accept="notebooks/50_x.py") == []
    assert lock_findings(tmp_path) == []


def test_update_takes_no_pair_whose_sides_differ(tmp_path: Path):
    write_book(tmp_path, ("3입니다.", "It is 4."))
    assert "the sides differ" in parity.update(tmp_path)[0]
    assert pairlock.read_lock(tmp_path) == {}


def test_wrapping_lines_anew_changes_nothing(tmp_path: Path):
    write_book(tmp_path, ("첫째 줄과 둘째 줄입니다.", "Line one and line two."))
    parity.update(tmp_path)
    write_book(tmp_path, ("첫째 줄과\n둘째 줄입니다.", "Line one\nand line two."))
    assert lock_findings(tmp_path) == []


def test_a_pair_that_is_gone_is_named_until_the_update(tmp_path: Path):
    write_book(tmp_path, FIRST, OTHER)
    parity.update(tmp_path)
    write_book(tmp_path, FIRST)
    remedy = module_command("book.parity", "--update")
    assert lock_findings(tmp_path) == [
        f"the lock holds a pair that is gone; run: {remedy}"
    ]
    parity.update(tmp_path)
    assert lock_findings(tmp_path) == []


def test_a_broken_lock_is_one_sentence(tmp_path: Path, capsys):
    write_book(tmp_path, FIRST)
    (tmp_path / "book").mkdir()
    (tmp_path / pairlock.LOCK).write_text("{", encoding="utf-8")
    assert parity.main([], tmp_path) == 1
    assert "cannot be read" in capsys.readouterr().out


# ------------------------------------------------------------ pages and cells

PAGE = """<!-- label: page -->
::::{lang} ko
# 쪽

:::{note} 주의
한국어입니다.
:::
::::
::::{lang} en
# Page

:::{note} Note
```
::::{lang} ko
```
:::
::::
shared
"""


def test_a_page_holds_both_editions(tmp_path: Path):
    path = tmp_path / "page.md"
    path.write_text(PAGE, encoding="utf-8")
    parts = read_page(path)
    assert [lang for lang, _ in parts] == [None, "ko", "en", None]
    assert parts[1][1].startswith("# 쪽") and parts[1][1].endswith(":::")
    korean, english = page_text(path, "ko"), page_text(path, "en")
    assert "한국어입니다" in korean and "Page" not in korean
    assert "Page" in english and "한국어입니다" not in english
    for edition in (korean, english):
        assert "shared" in edition and "label: page" in edition
    lines = PAGE.splitlines()
    for number, line in enumerate(english.splitlines()):
        assert line in ("", lines[number])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("::::{lang} ko\ntext\n", "page.md:1 .*never closed"),
        ("::::{lang} fr\n::::\n", "page.md:1 .*'fr' is not known"),
        ("a\n::::\n", "page.md:2 .*closes nothing"),
        ("::::{lang} ko\n:::::{lang} en\n:::::\n::::\n", "page.md:2 .*inside"),
        ("```\ncode\n", "page.md.*never closed"),
    ],
)
def test_a_broken_page_names_file_and_line(tmp_path: Path, text: str, said: str):
    path = tmp_path / "page.md"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PairError, match=said):
        page_text(path, "ko")


KO, EN = '# %% [markdown] tags=["lang-ko"]\n', '# %% [markdown] tags=["lang-en"]\n'


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (f"{KO}# 글\n# %%\nx = 1\n{EN}# Text\n", "has no English partner"),
        (f"{KO}# 글\n{KO}# 글\n", "has no English partner"),
        (f"{EN}# Text\n", "has no Korean partner"),
        (f"{EN}# Text\n{KO}# 글\n", "English comes before Korean"),
        ("# %% [markdown]\n# Text\n", "needs exactly one of the tags"),
        ('# %% [markdown] tags=["lang-kr"]\n# 글\n', "'lang-kr' is not known"),
        ('# %% [markdown] tags=["lang-ko", "lang-ko"]\n# 글\n', "stands twice"),
        ('# %% tags=["lang-ko"]\nx = 1\n', "prose only"),
        (f"{KO}글\n{EN}# Text\n", "does not start with"),
        ('# %% [markdown] tags=["lang-ko" "x"]\n# 글\n', "cannot read"),
        (KO.replace('"]', '", "caption"]') + f"# 글\n{EN}# Text\n", "tagged diff"),
    ],
)
def test_a_cell_out_of_its_pair_is_named(source: str, said: str):
    messages = [p.message for p in read_notebook(source, "notebooks/50_x.py").problems]
    assert any(said in message for message in messages), messages


def test_a_page_with_sections_is_locked_section_by_section(tmp_path: Path):
    (tmp_path / "book").mkdir()
    sections = "\n\n".join(
        f"<!-- label: {name} -->\n## {{}} {name}\n\n{{}}." for name in ("a", "b")
    )
    text = (
        "::::{lang} ko\n" + sections.replace("{}", "글") + "\n::::\n"
        "::::{lang} en\n" + sections.replace("{}", "Text") + "\n::::\n"
    )
    (tmp_path / "book" / "page.md").write_text(text, encoding="utf-8")
    source = read_source(tmp_path, "book/page.md")
    assert [pair.key for pair in source.pairs] == ["a", "b"]
    lines = text.splitlines()
    for pair in source.pairs:
        for side in (pair.ko, pair.en):
            assert lines[side.line - 1] == f"<!-- label: {pair.key} -->"


@pytest.mark.parametrize(
    ("shared", "said"),
    [
        ("두 판이 모두 보여 주는 글입니다.", "Korean prose stands outside"),
        ("This is shown by both of the editions.", "English prose stands outside"),
        ("# Both", "heading 'Both' has no label"),
        ("- Vaswani and others, Attention Is All You Need, is in the list.", ""),
        ("```sh\n./setup_and_run.sh\n```", ""),
        ("<!-- label: x -->\n# 용어집 | Glossary", ""),
    ],
)
def test_what_both_editions_show_holds_no_prose(tmp_path: Path, shared, said):
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "page.md").write_text(shared + "\n", encoding="utf-8")
    found = [str(p) for p in found_in(tmp_path)]
    assert len(found) == bool(said) and all(said in line for line in found)


def test_readmes_must_both_exist_and_have_the_same_sections(tmp_path: Path):
    (tmp_path / "README.md").write_text("# A\n\ntext\n", encoding="utf-8")
    assert "is missing" in str(found_in(tmp_path)[0])
    (tmp_path / "README_KO.md").write_text("# 가\n\n글\n\n## 나\n", encoding="utf-8")
    assert any("headings 2 in ko, 1 in en" in str(p) for p in found_in(tmp_path))


def test_readmes_lead_to_each_other(tmp_path: Path):
    (tmp_path / "README.md").write_text("[Korean](README_KO.md)\n", encoding="utf-8")
    korean = tmp_path / "README_KO.md"
    korean.write_text("[영어](README.md)\n", encoding="utf-8")
    assert found_in(tmp_path, lock=False) == []
    korean.write_text("[영어](README_KO.md)\n", encoding="utf-8")
    assert [p.kind for p in found_in(tmp_path, lock=False)] == ["links"]


def test_links_lead_to_files_and_labels_that_exist(tmp_path: Path):
    ko = "<!-- label: here -->\n# 글\n\n[가](#here) [나](#gone) [다](51_y.ipynb)"
    en = "<!-- label: here -->\n# Text\n\n[a](#here) [b](#gone) [c](51_y.ipynb)"
    write_book(tmp_path, (ko, en))
    messages = [p.message for p in found_in(tmp_path, lock=False)]
    assert sorted(set(messages)) == [
        "link '#gone': the book has no label 'gone'",
        "link '51_y.ipynb': there is no file notebooks/51_y.ipynb",
    ]


def test_the_command_line_says_what_it_found(tmp_path: Path, capsys):
    write_book(tmp_path, FIRST)
    assert parity.main(["--update"], tmp_path) == 0
    assert "1 pairs in 1 sources say the same" in capsys.readouterr().out
    write_book(tmp_path, ("3입니다.", "It is 4."))
    assert parity.main([], tmp_path) == 1
    out = capsys.readouterr().out
    assert "notebooks/50_x.py:2 [top+1] numerals differ: ko {3} en {4}" in out
    assert parity.main(["nowhere.py"], tmp_path) == 2
    assert "nowhere.py is no source of prose" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["glossary", "language", "numerals", "pairlock", "prose"]
)
def test_the_examples_in_the_docstrings_hold(name: str):
    result = doctest.testmod(importlib.import_module(f"book.{name}"))
    assert result.failed == 0
