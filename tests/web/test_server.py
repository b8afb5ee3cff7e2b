"""`noonchi serve` from its first line to its exit code."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

TOKEN = "a token of many letters"
POST = "POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\n"


@pytest.fixture
def started():
    """Starts the command, and ends it."""
    processes = []

    def start(*arguments, **environment):
        command = [sys.executable, "-m", "noonchi", "serve", *map(str, arguments)]
        pipe = subprocess.PIPE
        own = {name: value for name, value in os.environ.items() if name != "NOONCHI_TOKEN"}
        own |= {"OMP_NUM_THREADS": "1", **environment}
        processes.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=own))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def refused(process, code):
    """The one line of a command that ends with this code."""
    _, told = process.communicate(timeout=60)
    assert process.returncode == code, told
    [line] = told.splitlines()
    return line


def test_its_first_line_says_where_what_and_how_to_stop(started, run):
    process = started(run, "--port", 0, "--json")
    told = json.loads(process.stdout.readline())
    assert process.stderr.readline() == f"serving digits-1 at {told['url']} (Ctrl-C stops it)\n"
    assert httpx.get(f"{told['url']}/health/ready").json() == {"status": "ready"}
    assert told["classifiers"] == ["digits-1"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_told_to_stop_it_answers_what_is_under_way_and_ends_well(started, run, pictures, number):
    process = started(run, "--port", 0, "--json")
    url = json.loads(process.stdout.readline())["url"]
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=20) as connection:
        head = f"{POST}content-length: {len(pictures[0])}\r\n\r\n"
        connection.sendall(head.encode() + pictures[0][:20])
        assert httpx.get(f"{url}/health/ready").status_code == 200  # by now it knows of the other
        process.send_signal(number)
        while True:
            try:
                httpx.get(f"{url}/health/live")
            except httpx.HTTPError:
                break
        connection.sendall(pictures[0][20:])
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
    assert process.wait(10) == 0
    assert len(process.stderr.read().splitlines()) == 1


def test_a_second_signal_is_not_made_to_wait(started, run):
    process = started(run, "--port", 0, "--json")
    url = json.loads(process.stdout.readline())["url"]
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=20) as connection:
        connection.sendall(f"{POST}content-length: 9\r\n\r\n".encode())
        assert httpx.get(f"{url}/health/ready").status_code == 200
        process.send_signal(signal.SIGINT)
        while True:
            try:
                httpx.get(f"{url}/health/live")
            except httpx.HTTPError:
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(3) == 130


def test_a_port_that_is_taken_is_said_in_one_line(started, run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(started(run, "--port", port), 2)
    assert line == (
        f"noonchi: cannot serve at 127.0.0.1 port {port}: address already in use. Give another --host or --port."
    )


def test_an_address_that_others_reach_needs_a_token(started, run):
    assert "they need a token: set NOONCHI_TOKEN" in refused(started(run, "--host", "0.0.0.0", "--port", 0), 2)


def test_a_short_token_is_refused_without_being_told(started, run):
    line = refused(started(run, "--port", 0, NOONCHI_TOKEN="hunter2"), 2)
    assert "the token has 7 letters" in line
    assert "hunter2" not in line


def test_a_token_from_the_environment_is_asked_for_and_never_printed(started, run):
    process = started(run, "--port", 0, "--json", NOONCHI_TOKEN=TOKEN)
    url = json.loads(process.stdout.readline())["url"]
    assert httpx.get(f"{url}/v1/models").status_code == 401
    assert httpx.get(f"{url}/v1/models", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    [worker] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert TOKEN.encode() not in Path(f"/proc/{worker}/environ").read_bytes()
    process.send_signal(signal.SIGINT)
    out, told = process.communicate(timeout=10)
    assert TOKEN not in out + told


def test_a_run_that_cannot_be_loaded_is_said_in_one_line(started, tmp_path):
    assert "does not exist" in refused(started(tmp_path / "none", "--port", 0), 4)


def test_requests_at_the_very_first_moment_are_answered(started, run):
    process = started(run, "--port", 0, "--json")
    url = json.loads(process.stdout.readline())["url"]
    statuses = []
    asking = [
        threading.Thread(target=lambda: statuses.append(httpx.get(f"{url}/health/ready").status_code)) for _ in range(9)
    ]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    assert statuses == [200] * 9
