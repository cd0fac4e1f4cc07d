"""How soon the translator in the page of chapter 05 answers a date.

    python -m benchmarks.translator _build/site                a table
    python -m benchmarks.translator _build/site --json         one JSON object

A built site, headless Chromium, the model that the site holds. Each date is put into
the field as a reader's hand would; `answer` ends when all that is shown has its new
place, `frame` when the browser draws the next picture. See benchmarks/README.md.
"""

import argparse
import json
import shutil
import statistics
from pathlib import Path

from playwright.sync_api import sync_playwright

from lib.attention import translation as task

ANSWERS = """async (texts) => {
    const root = document.querySelector(".translator");
    const field = root.querySelector("input[type=text]");
    const times = [];
    for (const text of texts) {
        const begun = performance.now();
        field.value = text;
        field.dispatchEvent(new InputEvent("input", { bubbles: true }));
        root.getBoundingClientRect();  // lays everything out
        const answer = performance.now() - begun;
        await new Promise(requestAnimationFrame);
        times.push([answer, performance.now() - begun, root.querySelector("output b").textContent]);
        await new Promise((resolve) => setTimeout(resolve, 30));
    }
    return times;
}"""  # noqa: E501


def measure(site: Path, count: int) -> dict:
    """Let the page translate `count` unseen dates in both directions."""
    pairs = task.unseen("date", count, seed=11)
    found = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.goto((site / "en" / "05_training.html").resolve().as_uri())
        page.locator("[data-live=translator]").first.scroll_into_view_if_needed()
        page.wait_for_selector(".tr-exact[data-done=yes]", timeout=120_000)
        times = page.evaluate(ANSWERS, [pair.source for pair in pairs])
        version = browser.version
        browser.close()
    answer, frame, said = zip(*times, strict=True)
    right = task.exact_match(said, [pair.target for pair in pairs])
    return {"dates": count, "answer_ms": round(statistics.median(answer), 1),
            "slowest_ms": round(max(answer), 1),
            "frame_ms": round(statistics.median(frame), 1), "right": right,
            "chromium": version}


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.translator",
                                     description=str(__doc__).split("\n")[0])
    parser.add_argument("site", type=Path, help="a built site, such as _build/site")
    parser.add_argument("--dates", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    row = measure(options.site, options.dates)
    print(json.dumps(row) if options.json else
          "\n".join(f"{name:>12}  {value}" for name, value in row.items()))


if __name__ == "__main__":
    main()
