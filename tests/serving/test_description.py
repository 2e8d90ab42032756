from __future__ import annotations

import re
from typing import Any

import pytest
from litestar.testing import TestClient

Client = TestClient[Any]


@pytest.fixture(scope="module")
def description(client: Client) -> dict[str, Any]:
    response = client.get("/api/openapi.json")
    assert response.status_code == 200
    described: dict[str, Any] = response.json()
    return described


def resolve(description: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The schema that a reference leads to, through lists."""
    if "items" in schema:
        return resolve(description, schema["items"])
    if "$ref" in schema:
        return resolve(
            description, description["components"]["schemas"][schema["$ref"].split("/")[-1]]
        )
    return schema


def test_every_route_of_the_api_is_described(description: dict[str, Any]) -> None:
    assert set(description["paths"]) == {
        "/api/v1/predictions",
        "/api/v1/models",
        "/api/v1/models/{name}",
        "/api/v1/models/{name}/files/{file}",
        "/api/v1/problems",
        "/healthz",
        "/readyz",
    }


def test_the_form_of_pictures_is_described(description: dict[str, Any]) -> None:
    operation = description["paths"]["/api/v1/predictions"]["post"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["images"]
    assert form["properties"]["images"]["items"]["format"] == "binary"
    assert {p["name"] for p in operation["parameters"]} == {"model", "heatmaps"}
    assert all(p["description"] for p in operation["parameters"])


def test_every_field_of_an_answer_is_described(description: dict[str, Any]) -> None:
    operation = description["paths"]["/api/v1/predictions"]["post"]
    answer = resolve(
        description, operation["responses"]["200"]["content"]["application/json"]["schema"]
    )
    assert "malignant_probability" in answer["properties"]
    undescribed = [n for n, field in answer["properties"].items() if not field.get("description")]
    assert undescribed == []


def test_an_example_answer_fits_its_description(description: dict[str, Any]) -> None:
    content = description["paths"]["/api/v1/predictions"]["post"]["responses"]["200"]["content"]
    (example,) = content["application/json"]["examples"].values()
    answer = resolve(description, content["application/json"]["schema"])
    assert set(answer["required"]) <= set(example["value"][0]) <= set(answer["properties"])


def test_refusals_are_described_as_problem_details(description: dict[str, Any]) -> None:
    responses = description["paths"]["/api/v1/predictions"]["post"]["responses"]
    assert set(responses) == {
        *("200", "400", "404", "408", "413", "415", "421", "422", "429", "431", "503")
    }
    for status in set(responses) - {"200"}:
        content = responses[status]["content"]["application/problem+json"]
        assert set(resolve(description, content["schema"])["required"]) == {
            "type",
            "title",
            "status",
            "detail",
        }
        for example in content["examples"].values():
            assert example["value"]["status"] == int(status)


@pytest.mark.parametrize("path", ["/api", "/api/"])
def test_its_page_is_served_from_here_alone(client: Client, path: str) -> None:
    response = client.get(path)
    assert response.headers["content-type"].startswith("text/html")
    addresses = re.findall(r'(?:src|href)="([^"]*)"', response.text)
    assert "/static/api/swagger-ui-bundle.js" in addresses
    assert all(address.startswith("/") and address[1] != "/" for address in addresses)
    assert "://" not in response.text


def test_its_page_has_no_inline_script_or_style(client: Client) -> None:
    page = client.get("/api").text
    assert re.findall(r"<script[^>]*>([^<]*)</script>", page) == ["", ""]
    assert "<style" not in page
    assert not re.search(r"\sstyle=|\son\w+=", page)
