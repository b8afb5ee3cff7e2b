"""A request that is not answered, and why, in one line."""

from collections.abc import Mapping

from starlette.responses import JSONResponse

from noonchi.results import printable

AGAIN = {"Retry-After": "1"}
"""Seconds, for who finds the server busy."""


class Refused(Exception):  # noqa: N818  # it becomes a response
    """Ends a request with a status and `{"error": told}`."""

    def __init__(self, status: int, told: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(printable(told))
        self.status = status
        self.headers = dict(headers or {})


def busy(told: str) -> Refused:
    """One that may be tried again."""
    return Refused(503, told, AGAIN)


def response(refused: Refused) -> JSONResponse:
    """What is sent."""
    return JSONResponse({"error": str(refused)}, refused.status, refused.headers)
