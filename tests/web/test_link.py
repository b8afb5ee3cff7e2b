"""The worker dies, hangs, or cannot start: the server says so, and has another one soon."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest


def post(server, picture):
    return httpx.post(f"{server.url}/v1/predict", content=picture, headers={"content-type": "image/png"}, timeout=60)


def counted(server, line, within_s=20):
    """Returns once the metrics have this line."""
    end = time.monotonic() + within_s
    while line not in (told := httpx.get(f"{server.url}/metrics").text.splitlines()):
        assert time.monotonic() < end, told
        time.sleep(0.01)


def test_a_killed_worker_is_told_of_within_a_second_and_back_within_ten(serving, run, pictures):
    with serving(run) as server:
        dead = server.worker
        os.kill(dead, signal.SIGKILL)
        server.until(503, "/health/ready", within_s=1)
        told = post(server, pictures[0])
        assert (told.status_code, told.headers["retry-after"]) == (503, "1")
        assert httpx.get(f"{server.url}/health/live").status_code == 200
        server.until(200, "/health/ready", within_s=10)
        assert server.worker != dead
        assert post(server, pictures[0]).status_code == 200
        assert "noonchi_worker_restarts 1.0" in httpx.get(f"{server.url}/metrics").text


def test_those_who_wait_for_a_worker_that_dies_are_told_to_come_again(serving, run, pictures):
    with serving(run) as server:
        os.kill(server.worker, signal.SIGSTOP)  # until it is killed, what is sent waits
        told = []
        asking = [threading.Thread(target=lambda: told.append(post(server, pictures[0]))) for _ in range(9)]
        asking[0].start()
        counted(server, "noonchi_batch_pictures_count 1.0")  # sent on
        for one in asking[1:]:
            one.start()
        counted(server, "noonchi_waiting_pictures 8.0")
        os.kill(server.worker, signal.SIGKILL)
        for one in asking:
            one.join()
    assert [(one.status_code, one.headers["retry-after"]) for one in told] == [(503, "1")] * 9


def test_a_worker_that_hangs_is_killed_and_who_asked_it_is_told_that_it_takes_too_long(serving, run, pictures):
    with serving(run, answer_s=0.3, stuck_s=0.5) as server:
        hung = server.worker
        os.kill(hung, signal.SIGSTOP)
        told = post(server, pictures[0])
        assert (told.status_code, "no answer within 0.3 s" in told.json()["error"]) == (504, True)
        server.until(503, "/health/ready", within_s=2)
        server.until(200, "/health/ready", within_s=10)
        assert server.worker != hung
        assert post(server, pictures[0]).status_code == 200


def test_more_than_may_wait_are_told_to_come_again(serving, run, pictures):
    with serving(run, waiting_pictures=4) as server:
        forms = [("files", (f"{at}.png", one, "image/png")) for at, one in enumerate(pictures[:5])]
        told = httpx.post(f"{server.url}/v1/predict", files=forms)
        assert (told.status_code, told.headers["retry-after"]) == (503, "1")
        assert httpx.post(f"{server.url}/v1/predict", files=forms[:4]).status_code == 200


def test_a_server_whose_worker_cannot_start_again_ends_with_one_line(serving, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    with serving(tmp_path / "run") as server:
        (tmp_path / "run" / "classifier.json").unlink()
        os.kill(server.worker, signal.SIGKILL)
        assert server.process.wait(20) == 1  # the script of these tests turns no error into an exit code
        assert "holds no classifier" in server.says("RunError")


def test_a_worker_ends_with_its_server(serving, run):
    with serving(run) as server:
        worker = server.worker
        server.process.kill()
        server.process.wait()
        end = time.monotonic() + 10
        while Path(f"/proc/{worker}").exists() and " Z " not in Path(f"/proc/{worker}/stat").read_text():
            assert time.monotonic() < end
            time.sleep(0.02)


def test_what_answers_http_imports_no_torch():
    code = "import sys\nfrom noonchi.web import server\nprint('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_worker_leaves_signals_to_the_server(serving, run, pictures, number):
    with serving(run) as server:
        os.kill(server.worker, number)
        assert post(server, pictures[0]).status_code == 200
