"""The code of docs/python.md, run from top to bottom."""

import re
import subprocess
import sys
from pathlib import Path

from PIL import Image

# one core: on nets this small two threads wait for each other where others use the processor too (61 s, not 15)
ALONE = "import os; hasattr(os, 'sched_setaffinity') and os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})"
PAGE = Path(__file__).parent.parent / "docs" / "python.md"


def test_the_code_runs_from_top_to_bottom(tmp_path: Path) -> None:
    Image.new("L", (28, 28), 9).save(tmp_path / "digit.png")
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    code = "\n".join([ALONE, *blocks])
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    folders = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert folders == {"digits", "halves", "shown", "crashed", "kept"}, "nothing else is written"
