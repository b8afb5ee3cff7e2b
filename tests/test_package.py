"""What `pip install` gets is whole."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_a_wheel_holds_every_recipe_every_page_and_the_licence(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [wheel] = (tmp_path / "dist").glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    recipes = {f"noonchi/recipes/{path.name}" for path in (ROOT / "src" / "noonchi" / "recipes").glob("*.toml")}
    assert recipes
    assert held >= recipes | {"noonchi/py.typed", "noonchi/networks/lenet5.py", "noonchi/check/page.html"}
    assert held >= {f"noonchi/report/{name}" for name in ("page.html", "style.css", "read.js", "en.toml", "ko.toml")}
    assert held >= {
        f"noonchi/export/onnxruntime-web/{name}" for name in ("LICENSE", "runtime.mjs.xz", "runtime.wasm.xz")
    }
    assert any(name.endswith("LICENSE") for name in held)
