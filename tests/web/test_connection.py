"""Connections that bring no request, or more of it than one may be."""

import time

import pytest

READY = b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\n"


@pytest.fixture(scope="module")
def strict(serving, run):
    with serving(run, headers_s=0.5, connections=20) as found:
        yield found


def ended(connection, within_s=5):
    """What came until the server closed the connection, and after how long."""
    begun, found = time.monotonic(), b""
    connection.settimeout(within_s)
    while some := connection.recv(2**16):
        found += some
    return found, time.monotonic() - begun


@pytest.mark.parametrize("sent", [b"", b"GET / HT", READY])
def test_headers_that_do_not_end_are_waited_for_so_long_and_no_longer(strict, sent):
    with strict.connected() as connection:
        connection.sendall(sent)
        found, taken = ended(connection)
    assert found == b""
    assert 0.3 < taken < 2


def test_a_kept_connections_next_headers_are_waited_for_no_longer(strict):
    with strict.connected() as connection:
        connection.sendall(READY + b"\r\n")
        assert strict.answer(connection).status == 200
        connection.sendall(READY)
        found, taken = ended(connection)
    assert found == b""
    assert taken < 2


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (READY + b"x: " + b"y" * 40_000 + b"\r\n\r\n", 431),
        (READY + b"x: y\r\n" * 9000 + b"\r\n", 431),
        (b"GET /" + b"x" * 40_000, 431),
        (READY + b"x: " + b"y" * 1_000_000, 431),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET / HTTP/1.1\r\nhost localhost\r\n\r\n", 400),
        (b"GET \xff\xfe HTTP/1.1\r\nhost: localhost\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ],
)
def test_what_is_no_request_or_too_long_is_refused_and_the_connection_closed(server, sent, status):
    with server.connected() as connection:
        connection.sendall(sent)
        found = connection.recv(1000)
    assert found.startswith(b"HTTP/1.1 %d " % status)
    assert b'{"error": "' in found
    assert server.send(READY + b"\r\n").status == 200


def test_an_upgrade_is_not_followed(server):
    told = server.send(READY + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n")
    assert told.status == 200


def test_connections_beyond_so_many_are_asked_to_come_again(strict):
    kept = [strict.connected() for _ in range(20)]
    told = strict.send(READY + b"\r\n")
    assert (told.status, told.headers["retry-after"]) == (503, "1")
    for one in kept:
        one.close()


def test_what_follows_of_a_refused_body_is_thrown_away_and_the_connection_goes_on(server):
    length = 21 * 2**20
    head = (
        f"POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\ncontent-length: {length}\r\n\r\n"
    )
    with server.connected() as connection:
        connection.sendall(head.encode())
        assert server.answer(connection).status == 413
        for _ in range(21):
            connection.sendall(bytes(2**20))
        connection.sendall(READY + b"\r\n")
        assert server.answer(connection).status == 200
