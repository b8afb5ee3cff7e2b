"""Many at one time, and for long: each gets the answer to its own picture, and nothing is left behind."""

import asyncio
import json
import os
from pathlib import Path

from noonchi import classifier
from web_answers import same

CONNECTIONS = 32


def request(picture, path="/v1/predict", kind="image/png"):
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: {len(picture)}\r\n\r\n"
    return head.encode() + picture


async def answered(port, requests):
    """The answers to these, one after the other over one connection, which is made anew where the server closed it."""
    reader = writer = None
    found = []
    for one in requests:
        if reader is None or writer is None or reader.at_eof():
            if writer:
                writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(one)
        status = int((await reader.readline()).split()[1])
        length, closes = 0, False
        while (line := await reader.readline()) != b"\r\n":
            name, _, value = line.decode().lower().partition(": ")
            length = int(value) if name == "content-length" else length
            closes |= name == "connection" and value.strip() == "close"
        found.append((status, await reader.readexactly(length)))
        if closes:
            await reader.read()
    if writer:
        writer.close()
    return found


def test_of_a_thousand_at_once_each_is_answered_about_its_own_picture_or_told_to_come_again(serving, run, pictures):
    expected = classifier.load(run).predict(pictures)

    async def all_at_once(port):
        return await asyncio.gather(*(answered(port, [request(pictures[at % 64])]) for at in range(1000)))

    with serving(run, waiting_pictures=600) as server:
        found = asyncio.run(all_at_once(server.port))
        statuses = [status for [(status, _)] in found]
        assert set(statuses) <= {200, 503}
        assert statuses.count(200) >= 600
        for at, [(status, body)] in enumerate(found):
            if status == 200:
                same(json.loads(body)["predictions"][0], expected[at % 64])
        assert server.process.poll() is None


def held(pid):
    """Memory in MiB, and open files."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len([*Path(f"/proc/{pid}/fd").iterdir()])


BAD = (
    request(b""),
    request(b"no picture"),
    request(b"--b--", kind="multipart/form-data; boundary=b"),
    request(
        b"--b\r\ncontent-disposition: form-data; name=x\r\n\r\n" + bytes(9000), kind="multipart/form-data; boundary=b"
    ),
    request(b"x", kind="text/plain"),
    request(b"x" * 100_000, path="/nothing"),
    request(b"x", path="/v1/predict?top=0"),
    b"GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: localhost\r\norigin: http://evil.example\r\n\r\n",
    b"nonsense\r\n\r\n",
)


def test_ten_thousand_requests_leave_neither_memory_nor_files_behind(serving, run, pictures):
    good = [request(pictures[at % 64]) for at in range(5000)]
    bad = [BAD[at % len(BAD)] for at in range(5000)]

    async def all_of(port, requests):
        shares = [requests[at::CONNECTIONS] for at in range(CONNECTIONS)]
        return [one for some in await asyncio.gather(*(answered(port, share) for share in shares)) for one in some]

    with serving(run) as server:
        both = (server.process.pid, server.worker)
        asyncio.run(all_of(server.port, good[:1000] + bad[:1000]))  # what is made once is there by now
        before = [held(pid) for pid in both]
        fine = asyncio.run(all_of(server.port, good))
        wrong = asyncio.run(all_of(server.port, bad))
        server.until(200, "/health/ready", within_s=5)
        after = [held(pid) for pid in both]
        assert {status for status, _ in fine} == {200}
        assert {status for status, _ in wrong} <= {400, 403, 404, 415, 421, 422}
        assert both == (server.process.pid, server.worker)
    for (memory_before, files_before), (memory_after, files_after) in zip(before, after, strict=True):
        assert memory_after - memory_before < 20
        assert files_after <= files_before + 1


def test_who_goes_away_before_the_answer_leaves_nothing_behind(serving, run, pictures):
    with serving(run) as server:
        before = held(server.process.pid)[1]
        for at in range(40):
            with server.connected() as connection:
                connection.sendall(request(pictures[at])[: None if at % 2 else -5])
        server.until(200, "/health/ready", within_s=5)
        while held(server.process.pid)[1] > before + 1:  # ends by the test's own time limit
            server.until(200, "/health/ready", within_s=5)
