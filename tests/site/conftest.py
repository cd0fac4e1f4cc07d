"""A smoke build of the whole site, a server for it, and a real browser."""

import contextlib
import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading

import pytest
from filelock import FileLock
from playwright.sync_api import sync_playwright

from tests.site.pages import ROOT

SITE = ROOT / "_build" / "site-smoke"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
            "msedge", "chrome")


@pytest.fixture(scope="session")
def site(worker_id):
    """Build the site once a test run, whatever the number of workers."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    mark = ROOT / "_build" / "site-smoke.run"
    mark.parent.mkdir(exist_ok=True)
    with FileLock(f"{mark}.lock"):
        if not (mark.exists() and mark.read_text() == run):
            done = subprocess.run(
                [sys.executable, "-m", "book.build", "--profile", "smoke",
                 "--out", str(SITE)],
                cwd=ROOT, check=False, capture_output=True, text=True, encoding="utf-8",
                env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"},
            )
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
            mark.write_text(run)
    return SITE


@pytest.fixture(scope="session")
def address(site):
    """Serve the site on this machine; give the address."""
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    """Start a Chromium that is on the machine, with its drawing in software.

    One a file: Playwright's event loop runs on until it is closed, and tests of other
    files need their own.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium, Chrome or Edge is on the PATH; install one "
                    "(Debian: chromium)")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=[
            "--no-sandbox", "--disable-gpu", "--use-gl=angle",
            "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
            "--disable-background-networking", "--disable-component-update",
        ])
        yield chromium
        chromium.close()


class Visit:
    """A page opened for real, and everything that went wrong on the way."""

    def __init__(self, page):
        self.page = page
        self.errors, self.requests, self.weights = [], [], {}
        page.on("console", lambda message: message.type == "error"
                and self.errors.append(message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("requestfailed", lambda request: self.errors.append(
            f"failed: {request.url} ({request.failure})"))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("response", self._response)

    def _response(self, response):
        if response.status >= 400:
            self.errors.append(f"{response.status}: {response.url}")

    def open(self, url):
        self.page.goto(url, wait_until="load")
        self.page.wait_for_selector("html[data-ready], body.landing")
        return self

    def scroll_through(self):
        """Pass every part of the page, so that all it draws late is drawn."""
        self.page.evaluate("""async () => {
            const frame = () => new Promise(requestAnimationFrame);
            for (let y = 0; y < document.documentElement.scrollHeight; y += 400) {
                window.scrollTo({ top: y, behavior: "instant" });
                await frame(); await frame();
            }
            window.scrollTo({ top: 0, behavior: "instant" });
        }""")
        self.page.wait_for_function(
            "[...document.querySelectorAll('[data-plotly]')]"
            ".every((box) => box.dataset.drawn === 'yes')", timeout=60_000)
        self.page.wait_for_function(
            "[...document.querySelectorAll('.figure-body.widget')]"
            ".every((box) => box.querySelector('.jupyter-widgets'))", timeout=60_000)
        return self


@contextlib.contextmanager
def visits(browser):
    """Give a function that opens pages in fresh contexts; close these at the end."""
    contexts = []

    def opened(url, width=1280, theme="light", locale="ko-KR"):
        context = browser.new_context(
            viewport={"width": width, "height": 860}, color_scheme=theme, locale=locale
        )
        context.set_default_timeout(30_000)
        contexts.append(context)
        return Visit(context.new_page()).open(url)

    try:
        yield opened
    finally:
        for context in contexts:
            context.close()


@pytest.fixture
def visit(browser):
    """Open pages in fresh contexts: `visit(url, width=…, theme=…, locale=…)`."""
    with visits(browser) as opened:
        yield opened


@pytest.fixture(scope="module")
def served(request, browser, address):
    """A page as served, in light, passed through once for all tests that only look."""
    with visits(browser) as opened:
        yield opened(f"{address}/{request.param}").scroll_through()
