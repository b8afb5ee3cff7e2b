"""The page that shows what a classifier says: of `noonchi serve`, and alone in a file. All of it is in the one file."""

import base64
import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files as package_files
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

_SCRIPTS = ("words.js", "answer.js", "draw.js", "camera.js", "batch.js", "dropped.js", "main.js")
_MARKUP = re.compile(r"<(?=/?script|!--)", re.IGNORECASE)
_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def html(title: str, answers: tuple[str, ...], held: Mapping[str, str] | None = None, *, policy: bool = False) -> str:
    """The whole page. `answers` names the scripts that answer: `("remote.js",)`, or `("pixels.js", "local.js")`.

    `held` are texts that these scripts find under their ids, such as a network. With `policy` the page itself says
    that it may ask nobody for anything, as a file must that no server sends headers with.

    >>> "<title>digits" in html("digits", ("remote.js",))
    True
    """
    template = Environment(autoescape=True).from_string(_text("page.html"))
    scripts = [Markup(_text(name)) for name in (*answers, *_SCRIPTS)]  # noqa: S704  # our own
    page = template.render(
        title=title,
        words=Markup(_inside_script(json.dumps(_words(), ensure_ascii=False))),  # noqa: S704
        english=_words()["en"],
        style=Markup(_text("style.css")),  # noqa: S704
        scripts=scripts,
        held={name: Markup(_inside_script(text)) for name, text in (held or {}).items()},  # noqa: S704
    )
    if not policy:
        return page
    own = f'<meta http-equiv="Content-Security-Policy" content="{policy_of(page, "blob:", alone=True)}">'
    return page.replace("<head>", f"<head>\n{own}", 1)


def policy_of(page: str, *script_places: str, alone: bool = False) -> str:
    """The Content-Security-Policy of a page: its own scripts and styles by their hashes, and its own server or nobody.

    >>> policy_of("<style>p{}</style>").split("; ")[1]
    "style-src 'sha256-gG2yISYereRMiG2lMXrbiUgi0Ubw9p7QCeWcroOvy9Y='"
    """
    found: dict[str, list[str]] = {"script": [*script_places], "style": []}
    for kind, text in _INLINE.findall(page):
        found[kind].append(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'")
    wasm = ["'wasm-unsafe-eval'"] if alone else []
    rules = {
        "default-src": ["'none'"],
        "style-src": found["style"] or ["'none'"],
        "script-src": [*found["script"], *wasm] or ["'none'"],
        "img-src": ["data:", "blob:"],
        "media-src": ["blob:"],
        "connect-src": ["'none'"] if alone else ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }
    if not alone:  # a meta tag cannot say this
        rules["frame-ancestors"] = ["'none'"]
    return "; ".join(f"{rule} {' '.join(places)}" for rule, places in rules.items())


def _inside_script(text: str) -> str:
    """JSON or a script, in which no browser finds the end of the script that it stands in, nor a comment.

    >>> json.loads(_inside_script('["</script><!--<script>"]'))
    ['</script><!--<script>']
    """
    return _MARKUP.sub(r"\\u003c", text)


@cache
def _words() -> dict[str, Any]:
    return tomllib.loads(_text("words.toml"))


@cache
def _text(name: str) -> str:
    return (package_files("noonchi.page") / name).read_text(encoding="utf-8")
