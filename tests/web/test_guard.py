"""Who may ask, on every route."""

import base64

import httpx
import pytest

from noonchi.errors import SettingsError
from noonchi.web.guard import door
from noonchi.web.meters import Meters

TOKEN = "0123456789abcdef"
ROUTES = ("/", "/v1/models", "/v1/predict", "/health/live", "/health/ready", "/metrics", "/openapi.json", "/nothing")


def asked(server, path="/v1/models", **headers):
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return server.send(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "evil.example:8000", "127.0.0.1.evil", "a@localhost", "", "192.168.1.5"],
)
def test_a_name_that_is_not_this_servers_is_refused_on_every_route(server, path, host):
    assert asked(server, path, host=host).status == 421


def test_a_request_without_a_host_or_with_two_is_refused(server):
    assert server.send(b"GET /v1/models HTTP/1.1\r\n\r\n").status == 421
    assert server.send(b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n").status == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:9", "localhost:22000"])
def test_loopbacks_names_are_served_whatever_port_a_tunnel_gives_them(server, host):
    assert asked(server, host=host).status == 200


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", "file://", "http://127.0.0.1"])
def test_pages_of_other_sites_are_refused_on_every_route(server, path, origin):
    assert asked(server, path, host=f"localhost:{server.port}", origin=origin).status == 403


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_its_own_page_may_ask(server, scheme):
    host = f"localhost:{server.port}"
    assert asked(server, host=host, origin=f"{scheme}://{host}").status == 200


@pytest.mark.parametrize("path", ROUTES)
def test_every_answer_carries_what_keeps_browsers_careful(server, path):
    headers = asked(server, path, host="localhost").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers


def test_without_a_token_only_loopback_is_served():
    for host in ("0.0.0.0", "::", "192.168.1.5", "box.example"):
        with pytest.raises(SettingsError, match="need a token"):
            door(host, [], None)
    assert door("127.0.0.1", ["Box"], None).names == {"localhost", "127.0.0.1", "::1", "box"}
    assert TOKEN not in repr(door("127.0.0.1", [], TOKEN))


@pytest.fixture
def behind():
    """Asks an application that answers everything, behind a guard."""
    from noonchi.web.guard import Guard

    async def anything(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def client(host, *names, token=TOKEN):
        guard = Guard(anything, Meters(), {"/"}, door(host, names, token))
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=guard))

    def ask(url, *, host="127.0.0.1", names=(), **headers):
        import asyncio

        async def asked():
            async with client(host, *names) as browser:
                return await browser.get(url, headers=headers)

        return asyncio.run(asked())

    return ask


def basic(password):
    return "Basic " + base64.b64encode(f"any:{password}".encode()).decode()


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"bearer{TOKEN}",
        TOKEN,
        "Basic !",
        basic(""),
        basic("x"),
        "Basic eA==",
    ],
)
@pytest.mark.parametrize("path", ["/", "/v1/models", "/metrics", "/openapi.json", "/health/live/"])
def test_with_a_token_nothing_is_answered_without_it(behind, path, given):
    headers = {} if given is None else {"authorization": given}
    told = behind(f"http://localhost{path}", **headers)
    assert told.status_code == 401
    assert told.headers["www-authenticate"].startswith("Basic realm=")
    assert TOKEN not in told.text


@pytest.mark.parametrize("given", [f"Bearer {TOKEN}", f"bearer {TOKEN}", basic(TOKEN)])
def test_the_token_opens_as_bearer_or_as_a_browsers_password(behind, given):
    assert behind("http://localhost/", authorization=given).status_code == 200


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_health_needs_no_token(behind, path):
    assert behind(f"http://localhost{path}").status_code == 200


@pytest.mark.parametrize(("host", "status"), [("192.168.1.5:8000", 401), ("[fe80::1]", 401), ("box.example", 421)])
def test_a_server_at_every_address_is_reached_by_addresses_and_by_names_it_was_given(behind, host, status):
    assert behind(f"http://{host}/", host="0.0.0.0").status_code == status
    assert behind(f"http://{host}/", host="0.0.0.0", names=["box.example"]).status_code == 401
