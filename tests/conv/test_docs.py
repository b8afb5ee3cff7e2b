"""docs/conv.md shows what the commands print."""

import re
import shlex
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "conv.md"
BLOCK = r"^```text\n\$ noonchi (.*)\n((?:.*\n)*?)```"


def test_the_page_shows_what_is_printed(noonchi, request, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    page = PAGE.read_text(encoding="utf-8")
    shown = re.findall(BLOCK, page, re.M)
    printed = [noonchi(*shlex.split(command)).out for command, _ in shown]
    if request.config.getoption("--update-golden"):
        outputs = iter(printed)
        page = re.sub(BLOCK, lambda found: f"```text\n$ noonchi {found[1]}\n{next(outputs)}```", page, flags=re.M)
        PAGE.write_text(page, encoding="utf-8")
        return
    assert [output for _, output in shown] == printed
