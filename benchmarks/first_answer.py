"""How soon a page that `noonchi export --format html` wrote gives its first answer, opened as a file in Chromium.

    python benchmarks/first_answer.py PAGE.html

Each time a Chromium is started, opens the page and asks about a small picture as soon as its scripts have run: what is
told are milliseconds from the navigation to the probabilities, in the page's own clock, and of a second question.
"""

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright
from reporting import heading, rows, spread

ASK = """
    document.addEventListener("DOMContentLoaded", async () => {
      const paper = new OffscreenCanvas(280, 280);
      paper.getContext("2d").fillRect(90, 40, 60, 200);
      const blob = await paper.convertToBlob();
      await answers.predict(blob);
      const first = performance.now();
      await answers.predict(blob);
      globalThis.taken = [first, performance.now() - first];
    });
"""
TAKEN = "new Promise((tell) => { const look = () => globalThis.taken ? tell(taken) : setTimeout(look, 10); look(); })"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, metavar="PAGE.html")
    parser.add_argument("--times", type=int, default=10)
    given = parser.parse_args()
    taken = np.array([_taken(given.page) for _ in range(given.times)])
    cells = [["first, from the navigation", spread(taken[:, 0], 0)], ["the next", spread(taken[:, 1], 0)]]
    print(heading({None: Path(sys.executable)}, f"PAGE.html --times {given.times}") + "\n")
    print(rows(["answer", "ms"], cells))


def _taken(page: Path) -> list[float]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page()
        tab.add_init_script(ASK)
        tab.goto(page.resolve().as_uri(), wait_until="commit")
        found: list[float] = tab.evaluate(TAKEN)
        browser.close()
    return found


if __name__ == "__main__":
    main()
