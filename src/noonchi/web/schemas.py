"""What the OpenAPI document says of bodies and answers beyond what the routes' own arguments do."""

from typing import Any

from noonchi.web.limits import Limits

Responses = dict[int | str, dict[str, Any]]


def _object(*required: str, more: Any = False, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(required or properties),
        "properties": properties,
        "additionalProperties": more,
    }


def _json(told: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": told, "content": {"application/json": {"schema": schema}}}


_TEXT = {"type": "string"}
_PROBABILITY = {"type": "number", "minimum": 0, "maximum": 1}
_URI = {"type": "string", "pattern": "^data:image/png;base64,"}
_NUMBERS = {"type": "array", "items": {"type": "integer"}}
_BINARY = {"schema": {"type": "string", "format": "binary"}}

_ERROR = _object(error=_TEXT)
_TOLD = {
    400: "Malformed.",
    401: "No token, or a wrong one.",
    403: "A page of another site asks.",
    404: "No such classifier or route.",
    408: "The body came too slowly.",
    413: "Too large, or too many files.",
    415: "A type that is no picture.",
    421: "A host name that is not this server's.",
    422: "No picture that can be read.",
    500: "A bug of noonchi's.",
    503: "Busy, or the worker is away: try again after the seconds of Retry-After.",
    504: "It took too long.",
}


def _errors(*statuses: int) -> Responses:
    return {status: _json(_TOLD[status], _ERROR) for status in statuses}


def _body(most: int) -> dict[str, Any]:
    """Up to so many pictures in a form, or one as the body itself."""
    files = {"type": "array", "minItems": 1, "maxItems": most, "items": _BINARY["schema"]}
    kinds = {"application/octet-stream": _BINARY, "image/*": _BINARY}
    return {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _object(files=files)}, **kinds}}
    }


_HEAD_ANSWER = _object(answer=_TEXT, probabilities={"type": "object", "additionalProperties": _PROBABILITY})
_PREDICTION = {
    "description": "Of one picture: for each head, by its name, the answer and the probabilities; or why it has none.",
    "type": "object",
    "required": ["picture"],
    "properties": {"picture": _TEXT, "error": _TEXT},
    "additionalProperties": _HEAD_ANSWER,
}
_PREDICTED = _object(model=_TEXT, version=_TEXT, predictions={"type": "array", "items": _PREDICTION})
_MAP = _object(
    **{"model": _TEXT, "head": _TEXT, "class": _TEXT, "probability": _PROBABILITY, "method": _TEXT},
    **{"layer": {"type": ["string", "null"]}, "picture": _URI, "overlay": _URI, "checks": {"type": "object"}},
)
_LAYERS = _object(model=_TEXT, layers={"type": "array", "items": _object(name=_TEXT, shape=_NUMBERS, picture=_URI)})
_HEAD = _object(name=_TEXT, kind={"enum": ["classes", "binary", "labels"]}, classes={"type": "array", "items": _TEXT})
_MODEL = _object(
    name=_TEXT,
    version=_TEXT,
    kind={"enum": ["run", "onnx"]},
    heads={"type": "array", "items": _HEAD},
    size=_NUMBERS,
    channels={"enum": [1, 3]},
    explains={"type": "boolean"},
)

ALWAYS = _errors(400, 401, 403, 421, 500)
PICTURES, PICTURE = _body(Limits.files), _body(1)
PREDICTIONS: Responses = {
    200: _json("Predictions in the order of the pictures.", _PREDICTED),
    **_errors(404, 408, 413, 415, 503, 504),
    422: _json(_TOLD[422], _PREDICTED),
}
EXPLANATION: Responses = {
    200: _json("A heat map, or the layers.", {"oneOf": [_MAP, _LAYERS]}),
    **_errors(404, 408, 413, 415, 422, 503, 504),
}
MODELS: Responses = {200: _json("The classifiers.", _object(models={"type": "array", "items": _MODEL}))}
LIVE: Responses = {200: _json("It is.", _object(status=_TEXT))}
READY: Responses = LIVE | _errors(503)
METRICS: Responses = {200: {"description": "Counts.", "content": {"text/plain": {"schema": _TEXT}}}}
