"""How long a frame of the gravity sandbox takes, in a real browser.

`python -m benchmarks.sandbox [SITE] [FRAMES]` opens chapter 08 of a built site, drags a
token of each story and measures in every frame what lies between its begin and the end
of layout: attention, landscape, contours, drawing, table. Milliseconds, and how many
tokens there were.
"""

import shutil
import statistics
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

PAGE = "en/08_dot_to_distance.html"
#: Moves a token with the arrow keys and times the callbacks of each frame: one that is
#: asked for before the sandbox's own, and one after it, which forces the layout.
FRAMES = """async (count) => {
    const root = document.querySelector(".instrument.sandbox");
    const token = root.querySelector(".token[tabindex='0']");
    token.focus();
    const times = [];
    for (let i = 0; i < count + 10; i++) {
        const key = ["ArrowRight", "ArrowUp", "ArrowLeft", "ArrowDown"][(i >> 2) % 4];
        await new Promise((done) => {
            let begin = 0;
            requestAnimationFrame(() => { begin = performance.now(); });
            token.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
            requestAnimationFrame(() => {
                root.getBoundingClientRect();
                times.push(performance.now() - begin);
                done();
            });
        });
    }
    return times.slice(10);
}"""


def main(site: str = "_build/site", frames: str = "200") -> None:
    """Print a row a story: tokens, median and 95th percentile of a frame."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.goto((Path(site).resolve() / PAGE).as_uri())
        page.locator("[data-live=sandbox]").scroll_into_view_if_needed()
        page.wait_for_selector("[data-live=sandbox][data-awake=yes]")
        print("story     tokens  median ms  95% ms")
        for button in page.locator("[data-preset]").all():
            button.click()
            times = sorted(page.evaluate(FRAMES, int(frames)))
            print(f"{button.get_attribute('data-preset'):<9} "
                  f"{page.locator('.token').count():>6}  "
                  f"{statistics.median(times):>9.2f}  "
                  f"{times[int(0.95 * len(times))]:>6.2f}")
        chromium.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
