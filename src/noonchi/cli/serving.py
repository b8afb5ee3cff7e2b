"""`noonchi serve`."""

import os
from importlib.util import find_spec
from pathlib import Path

import click

from noonchi.cli.printing import JSON, TRUST, print_json
from noonchi.errors import SettingsError
from noonchi.results import printable

_LEAST_LETTERS = 16
"""Of a token."""
_TOKEN = "NOONCHI_TOKEN"  # noqa: S105  # a name
"""Of the environment."""
_PACKAGES = ("fastapi", "httptools", "prometheus_client", "python_multipart", "uvicorn")


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to serve at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option(
    "--name",
    "names",
    metavar="NAME",
    multiple=True,
    help="A host name that others reach this server by, if it has one.",
)
@click.option(
    "--token",
    envvar=_TOKEN,
    show_envvar=True,
    help="What all must send who ask; needed wherever others than this machine can ask.",
)
@TRUST
@JSON
def serve(
    runs: tuple[Path, ...],
    host: str,
    port: int,
    names: tuple[str, ...],
    token: str | None,
    *,
    trust_code: bool,
    as_json: bool,
) -> None:
    """Answer about pictures over HTTP, with each RUN's classifier, and show a page for it.

    RUN is a run's folder, or a .onnx file that noonchi export wrote; when it changes, the new one is served.
    Ctrl-C stops the server once what is under way is answered.
    """
    if missing := [name for name in _PACKAGES if not find_spec(name)]:
        raise SettingsError(f"serving needs the package {missing[0]}; install it: pip install 'noonchi[serve]'")
    _refuse_token(token)
    os.environ.pop(_TOKEN, None)  # the process that decodes what strangers send need not know it
    from noonchi.web import server
    from noonchi.web.guard import door

    entrance = door(host, names, token)
    paths = server.named(runs)
    with server.listening(host, port) as place:
        url = server.url(host, place.getsockname()[1])

        def started() -> None:
            if as_json:
                print_json({"url": url, "classifiers": list(paths)})
            click.echo(f"serving {printable(', '.join(paths))} at {url} (Ctrl-C stops it)", err=True)

        def tell(line: str) -> None:
            click.echo(f"noonchi: {printable(line)}", err=True)

        server.serve(paths, place, entrance, started=started, tell=tell, trust_code=trust_code)


def _refuse_token(token: str | None) -> None:
    if token is not None and not (len(token) >= _LEAST_LETTERS and token.isascii() and token.isprintable()):
        raise SettingsError(
            f"the token has {len(token)} letters; give at least {_LEAST_LETTERS}, of ASCII, "
            "such as python -c 'import secrets; print(secrets.token_urlsafe())' prints."
        )
