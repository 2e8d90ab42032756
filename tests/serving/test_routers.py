from __future__ import annotations

from typing import Any

import pytest
from litestar.routes import HTTPRoute
from litestar.testing import TestClient

Client = TestClient[Any]

PLACES = {
    "{name:str}": "mobilenet",
    "{id:str}": "mel",
    "{file:path}": "model.onnx",
    "{file_path:path}": "favicon.svg",
    "{path:str}": "nothing",
}


def addresses(client: Client) -> list[str]:
    """Every address that answers GET."""
    found = []
    for route in client.app.routes:
        if isinstance(route, HTTPRoute) and "GET" in route.methods:
            address = route.path
            for place, value in PLACES.items():
                address = address.replace(place, value)
            found.append(address)
    return found


@pytest.mark.parametrize("accept", ["*/*", "text/html"])
def test_the_head_alone_is_what_comes_with_the_whole(client: Client, accept: str) -> None:
    wrong = ["/nothing", "/diagnoses/nope", "/models/nope", "/api/v1/models/nope", "/static/nope"]
    headers = {"accept": accept, "accept-language": "de"}
    for address in [*addresses(client), "/?lang=es", *wrong, "/preview"]:
        whole, head = (client.request(how, address, headers=headers) for how in ("GET", "HEAD"))
        assert (head.status_code, head.content) == (whole.status_code, b""), address
        assert {**head.headers, "x-request-id": ""} == {**whole.headers, "x-request-id": ""}, (
            address
        )
        client.cookies.clear()


def test_only_what_is_read_is_described(client: Client) -> None:
    described = client.get("/api/openapi.json").json()["paths"].values()
    assert {method for path in described for method in path} == {"get", "post"}
