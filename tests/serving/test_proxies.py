from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec
import pytest

from serving.networks import client_network
from serving.settings import Settings
from tests.serving.live import Live, serving

URL = "/api/v1/predictions"


@contextmanager
def limited(settings: Settings, **changes: Any) -> Iterator[Live]:
    """A server that takes two requests with pictures a minute from each client."""
    with serving(msgspec.structs.replace(settings, port=0, rate_limit=2, **changes)) as live:
        yield live


def statuses(live: Live, *headers: dict[str, str]) -> list[int]:
    """The status of a post with each of `headers`: 415 where it was let in, for it is no form."""
    return [httpx.post(live.url + URL, headers=header).status_code for header in headers]


def forwarded(*addresses: str) -> dict[str, str]:
    return {"x-forwarded-for": ", ".join(addresses)}


def test_a_client_may_ask_only_so_often(settings: Settings) -> None:
    with limited(settings) as live:
        assert statuses(live, {}, {}, {}) == [415, 415, 429]
        refused = httpx.post(live.url + URL)
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["type"] == "/api/v1/problems#too_many_requests"
        assert 30 < int(refused.headers["retry-after"]) <= 60
        assert f"in {refused.headers['retry-after']} seconds" in refused.json()["detail"]
        assert "frame-ancestors 'none'" in refused.headers["content-security-policy"]
        # The page's form and pictures to be shown count, too; reading does not.
        assert httpx.post(live.url + "/").status_code == 429
        assert httpx.post(live.url + "/preview").status_code == 429
        assert httpx.get(live.url + "/api/v1/models").status_code == 200
        assert httpx.get(live.url + "/readyz").status_code == 200
        assert httpx.head(live.url + "/readyz").status_code == 200


def test_without_a_limit_there_is_none(settings: Settings) -> None:
    with serving(msgspec.structs.replace(settings, port=0)) as live:
        assert statuses(live, *[{}] * 9) == [415] * 9


def test_behind_a_proxy_people_are_counted_and_not_the_proxy(settings: Settings) -> None:
    one, other = forwarded("198.51.100.1"), forwarded("198.51.100.2")
    with limited(settings, proxies=("private",)) as live:
        assert statuses(live, one, one, other, one, other, other) == [415, 415, 415, 429, 415, 429]


def test_a_forged_address_is_not_believed(settings: Settings) -> None:
    forged = [forwarded(f"203.0.113.{i}", "198.51.100.1") for i in range(3)]
    with limited(settings, proxies=("private",)) as live:
        assert statuses(live, *forged) == [415, 415, 429]


def test_of_several_proxies_none_is_taken_for_the_client(settings: Settings) -> None:
    # As on Render: Cloudflare's edge is the last address, and another one each time.
    through = [forwarded("203.0.113.9", "198.51.100.1", f"104.22.17.{i}") for i in range(3)]
    other = forwarded("198.51.100.2", "104.22.17.1")
    with limited(settings, proxies=("private", "cloudflare")) as live:
        assert statuses(live, *through, other) == [415, 415, 429, 415]


def test_a_program_at_cloudflare_is_no_proxy(settings: Settings) -> None:
    # As Cloudflare says of one that asks for pages of others; it writes the header as it likes.
    claimed = [forwarded(f"203.0.113.{i}", "2a06:98c0:3600::103", "104.22.17.1") for i in range(3)]
    with limited(settings, proxies=("private", "cloudflare")) as live:
        assert statuses(live, *claimed) == [415, 415, 429]


def test_without_proxies_nobody_is_believed(settings: Settings) -> None:
    claimed = [forwarded(f"198.51.100.{i}") | {"x-real-ip": f"198.51.100.{i}"} for i in range(3)]
    with limited(settings) as live:
        assert statuses(live, *claimed) == [415, 415, 429]


def test_a_stranger_is_not_believed_where_others_are(settings: Settings) -> None:
    claimed = [forwarded(f"198.51.100.{i}") for i in range(3)]
    with limited(settings, proxies=("192.0.2.0/24",)) as live:
        assert statuses(live, *claimed) == [415, 415, 429]


def test_the_platforms_own_header_counts_where_it_is_named(settings: Settings) -> None:
    # As on Railway; what the client wrote into the usual header is passed over.
    def real(address: str, forged: str) -> dict[str, str]:
        return {"x-real-ip": address, "x-forwarded-for": forged}

    one = [real("198.51.100.1", f"203.0.113.{i}") for i in range(3)]
    with limited(settings, proxies=("private",), client_header="x-real-ip") as live:
        assert statuses(live, *one, real("198.51.100.2", "203.0.113.1")) == [415, 415, 429, 415]


def test_one_line_with_many_addresses_is_one_client(settings: Settings) -> None:
    same = [forwarded(f"2001:db8:1:2::{i:x}") for i in range(1, 4)]
    with limited(settings, proxies=("private",)) as live:
        assert statuses(live, *same, forwarded("2001:db8:1:3::1")) == [415, 415, 429, 415]


def test_https_is_believed_of_a_proxy_alone(settings: Settings) -> None:
    https = {"x-forwarded-proto": "https"}
    for proxies, told in ((("private",), True), ((), False)):
        with serving(msgspec.structs.replace(settings, port=0, proxies=proxies)) as live:
            headers = httpx.get(live.url + "/healthz", headers=https).headers
            assert ("strict-transport-security" in headers) is told


@pytest.mark.parametrize(
    ("status", "rest"),
    [
        (b"400", b"Host: other\r\n\r\n"),
        (b"400", b"Transfer-Encoding: chunked\r\n\r\nno chunk\r\n"),
        (b"408", b"A"),
        (b"431", b"A: " + b"a" * 20_000),
        (b"503", b"\r\n"),
    ],
)
@pytest.mark.parametrize(("proxies", "told"), [(("private",), True), ((), False)])
def test_what_is_refused_unread_tells_of_https_as_every_answer_does(
    settings: Settings, status: bytes, rest: bytes, proxies: tuple[str, ...], told: bool
) -> None:
    changes: dict[str, Any] = {"proxies": proxies, "hsts_seconds": 1000, "header_seconds": 0.3}
    if status == b"503":
        changes["max_connections"] = 1
    live_settings = msgspec.structs.replace(settings, port=0, **changes)
    head = b"POST /none HTTP/1.1\r\nHost: here\r\nX-Forwarded-Proto: https\r\n"
    with serving(live_settings) as live, live.connect() as other, live.connect() as connection:
        other.sendall(b"GET")
        connection.sendall(head + rest)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    assert received.startswith(b"HTTP/1.1 " + status)
    assert (b"\r\nstrict-transport-security: max-age=1000\r\n" in received) is told


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("testclient", "testclient"),
    ],
)
def test_a_client_is_an_address_or_an_ipv6_line(address: str, client: str) -> None:
    assert client_network(address) == client
