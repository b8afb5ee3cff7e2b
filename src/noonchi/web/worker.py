"""The process that decodes what strangers send and runs the networks; told what to do on its standard input.

It dies with the server, whose end of that pipe is then closed, and of nothing that the server is told to stop by.
"""

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

from noonchi import device
from noonchi.errors import DataError, NoonchiError, reason
from noonchi.settings import DeviceSettings
from noonchi.web import answering
from noonchi.web.answering import Job, Served
from noonchi.web.messages import Message, packed, read

Answer = tuple[dict[str, Any], list[bytes]]
Do = Callable[[dict[str, Any], list[bytes]], Answer]


class Worker:
    """Classifiers by their names, and who waits for what is said of them."""

    def __init__(self, paths: dict[str, Path], answers: BinaryIO, *, trust_code: bool) -> None:
        self._paths, self._trust_code = paths, trust_code
        self._answers, self._lock = answers, threading.Lock()
        self._served: dict[str, Served] = {}

    def run(self, questions: BinaryIO) -> None:
        """Predicts as it is asked to; what takes long is done beside that, one after the other."""
        try:
            told = [self._load({"model": name}, [])[0]["model"] for name in self._paths]
        except NoonchiError as error:
            return self._tell({"failed": str(error), "code": error.exit_code})
        self._tell({"ready": told})
        does = {"predict": self._predict, "explain": self._explain, "load": self._load}
        beside = ThreadPoolExecutor(1)
        while message := read(questions):
            what = message.told["do"]
            if what == "predict":
                self._answer(self._predict, message)
            else:
                beside.submit(self._answer, does[what], message)
        return None

    def _answer(self, do: Do, message: Message) -> None:
        try:
            told, parts = do(message.told, message.parts)
        except NoonchiError as error:
            told, parts = {"status": 422 if isinstance(error, DataError) else 400, "error": str(error)}, []
        except Exception as error:
            traceback.print_exc()
            told, parts = {"status": 500, "error": f"this is a bug of noonchi's: {reason(error)}"}, []
        self._tell({"id": message.told["id"], **told}, parts)

    def _tell(self, told: dict[str, Any], parts: Sequence[bytes] = ()) -> None:
        with self._lock:
            self._answers.write(packed(told, parts))
            self._answers.flush()

    def _predict(self, asked: dict[str, Any], pictures: list[bytes]) -> Answer:
        """A part for each job: its predictions as JSON, with commas between them."""
        served, now = self._served[asked["model"]], time.monotonic()
        jobs = [Job(top, names, now + seconds) for top, names, seconds in asked["jobs"]]
        found = answering.predict(served, asked["invert"], jobs, pictures)
        parts = [json.dumps(told, ensure_ascii=False, allow_nan=False)[1:-1].encode() for told in found]
        read = [sum("error" not in one for one in told) for told in found]
        return {"version": served.version, "read": read}, parts

    def _explain(self, asked: dict[str, Any], pictures: list[bytes]) -> Answer:
        served = self._served[asked["model"]]
        how = {"what": asked["what"], "invert": asked["invert"]}
        found = answering.explain(served, pictures[0], asked["head"], asked["class"], **how)
        return {}, [json.dumps({"model": served.name, **found}, ensure_ascii=False, allow_nan=False).encode()]

    def _load(self, asked: dict[str, Any], _: list[bytes]) -> Answer:
        name = asked["model"]
        self._served[name] = served = answering.load(name, self._paths[name], trust_code=self._trust_code)
        return {"model": served.to_json()}, []


def main() -> None:
    """What the server starts, with the classifiers' names and places as its argument."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # of a terminal or a service manager: the server decides when to end
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # the user's network may print
    asked = json.loads(sys.argv[1])
    device.prepare(DeviceSettings(name="cpu"))
    paths = {name: Path(path) for name, path in asked["paths"].items()}
    Worker(paths, answers, trust_code=asked["trust_code"]).run(sys.stdin.buffer)
    os._exit(0)  # the server is gone: nobody waits for what is still under way


if __name__ == "__main__":
    main()
