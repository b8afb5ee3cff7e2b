"""Bodies that are not what they should be: each is refused with its status, and the server goes on."""

import gzip
import json
import time

import pytest

MIB = 2**20
BOUNDARY = "b"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def request(kind, body, length=None, more="", path="/v1/predict"):
    told = f"content-type: {kind}\r\n" if kind else ""
    length = len(body) if length is None else length
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\n{told}content-length: {length}\r\n{more}\r\n"
    return head.encode("latin-1") + body


def part(content, name="files", file="a.png", more=""):
    about = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"; filename="{file}"\r\n{more}\r\n'
    return about.encode("utf-8", "surrogateescape") + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


@pytest.mark.parametrize(
    ("kind", "body", "status", "said"),
    [
        ("image/png", b"", 400, "no picture came"),
        (FORM, END, 400, "no picture came"),
        (FORM, b"", 400, "cut off"),
        (FORM, part(b"x"), 400, "cut off"),
        (FORM, b"no boundary in it", 400, "malformed"),
        (FORM, b"\0" * 1000, 400, "malformed"),
        ("multipart/form-data", END, 400, "names no boundary"),
        ("multipart/form-data; boundary=" + 300 * "b", END, 400, "malformed"),
        ("multipart/mixed; boundary=b", END, 415, "multipart/mixed came"),
        (None, b"x", 415, "no Content-Type came"),
        ("text/plain", b"x", 415, "text/plain came"),
        ("application/x-www-form-urlencoded", b"files=x", 415, "send multipart/form-data"),
        ("application/json", b"[" * MIB, 415, "application/json came"),
        (FORM, part(b"x", name="other") + END, 400, "part 'other' is no file named 'files'"),
        (FORM, b"--b\r\ncontent-disposition: form-data; name=files\r\n\r\nx\r\n" + END, 400, "is no file"),
        (FORM, b"--b\r\n\r\nx\r\n" + END, 400, "part '' is no file"),
        (FORM, b"".join(part(b"x") for _ in range(3000)) + END, 413, "more than 64 files"),
        (FORM, part(b"x", more="".join(f"x-{n}: y\r\n" for n in range(100))) + END, 400, "malformed"),
        (FORM, part(b"x", file="a" * 5000) + END, 400, "malformed"),
        (FORM, part(b"x" * (20 * MIB + 1)) + END, 413, "'a.png' is larger than 20 MiB"),
        ("image/png", gzip.compress(b"x" * MIB), 422, None),
    ],
)
def test_a_body_without_pictures_is_refused_in_one_line(server, kind, body, status, said):
    told = server.send(request(kind, body))
    assert told.status == status
    if said:
        assert said in told.error
        assert "\n" not in told.error
    assert server.send(b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\n\r\n").status == 200


def test_a_compressed_body_is_refused(server):
    told = server.send(request("image/png", gzip.compress(b"x"), more="content-encoding: gzip\r\n"))
    assert (told.status, "compressed" in told.error) == (415, True)


@pytest.mark.parametrize(("kind", "length"), [("image/png", 20 * MIB + 1), (FORM, 66 * MIB), (FORM, 10**15)])
def test_a_body_that_says_it_is_too_large_is_refused_before_any_of_it_is_read(server, kind, length):
    told = server.send(request(kind, b"", length))
    assert (told.status, "larger than" in told.error) == (413, True)


def test_a_body_without_a_length_is_counted_as_it_arrives(server):
    head = (
        b"POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    chunk = b"100000\r\n" + b"x" * MIB + b"\r\n"
    with server.connected() as connection:
        connection.sendall(head)
        for _ in range(21):
            connection.sendall(chunk)
        told = connection.recv(100)
    assert told.startswith(b"HTTP/1.1 413 ")


def test_a_picture_in_chunks_is_answered(server, pictures):
    head = (
        b"POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    chunks = [b"%x\r\n%s\r\n" % (len(some), some) for some in (pictures[0][:9], pictures[0][9:])]
    assert server.send(head, *chunks, b"0\r\n\r\n").status == 200


@pytest.mark.parametrize("lengths", ["content-length: 5\r\n", "transfer-encoding: chunked\r\n"])
def test_two_lengths_are_no_request(server, lengths):
    told = server.send(request("image/png", b"x" * 9, more=lengths))
    assert (told.status, told.error) == (400, "this is no HTTP request.")


def test_a_body_shorter_than_it_says_is_given_up_when_the_connection_ends(server):
    with server.connected() as connection:
        connection.sendall(request("image/png", b"x", length=1000))
    assert server.send(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n").status == 200


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "C:\\\\windows\\\\x.png", "눈치.png", "<script>alert(1)</script>", "a" * 2000, "\udcff\udcfe"],
)
def test_a_files_name_is_told_again_and_nothing_else_is_done_with_it(server, pictures, name):
    told = server.send(request(FORM, part(pictures[0], file=name) + END))
    assert told.status == 200
    [found] = json.loads(told.body)["predictions"]
    assert found["digit"]["answer"] in "0123456789"
    assert len(found["picture"]) > 4 or "\ufffd" in found["picture"]


def test_a_picture_of_too_many_pixels_is_not_decoded(server):
    from web_answers import bomb

    begun = time.monotonic()
    told = server.send(request("image/png", bomb()))
    assert told.status == 422
    assert "megapixels" in json.loads(told.body)["predictions"][0]["error"]
    assert time.monotonic() - begun < 5


@pytest.fixture(scope="module")
def impatient(serving, run):
    with serving(run, pause_s=0.5, least_bytes_per_s=10**9, bytes_at_once=MIB, headers_s=0.7) as found:
        yield found


def test_a_body_that_stops_is_not_waited_for(impatient):
    with impatient.connected() as connection:
        connection.sendall(request("image/png", b"x", length=1000))
        told = connection.recv(1000)
    assert told.startswith(b"HTTP/1.1 408 ")


def test_a_body_that_trickles_is_not_waited_for(impatient):
    with impatient.connected() as connection:
        connection.sendall(request("image/png", b"x", length=1000))
        connection.settimeout(0.1)
        for _ in range(30):
            connection.sendall(b"x")
            try:
                told = connection.recv(1000)
                break
            except TimeoutError:
                continue
    assert told.startswith(b"HTTP/1.1 408 ")


def test_bodies_that_fill_what_there_is_for_all_are_asked_to_come_again(impatient):
    told = impatient.send(request("image/png", b"x" * 2 * MIB))
    assert (told.status, told.headers["retry-after"]) == (503, "1")
    assert impatient.send(request("image/png", b"x" * MIB)).status == 422
