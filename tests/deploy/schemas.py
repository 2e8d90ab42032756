"""The platforms' files against the schemas that the platforms publish.

`python -m tests.deploy.schemas` (`make check-deploy`) fetches the schemas, which have no licence to
keep a copy by, and ends with an error where a file is not as its schema says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import httpx
import yaml
from jsonschema.validators import validator_for

from serving.settings import CHECKOUT

SCHEMAS = {
    "render.yaml": "https://render.com/schema/render.yaml.json",
    "railway.json": "https://railway.com/railway.schema.json",
}


def faults(file: Path, schema: dict[str, Any]) -> list[str]:
    """What in the YAML or JSON `file` is not as `schema` says, each with its place."""
    told = yaml.safe_load(file.read_text())
    found = validator_for(schema)(schema).iter_errors(told)
    return [f"{file.name}, {error.json_path}: {error.message}" for error in found]


@click.command()
@click.option("--render", default=SCHEMAS["render.yaml"], show_default=True)
@click.option("--railway", default=SCHEMAS["railway.json"], show_default=True)
def main(render: str, railway: str) -> None:
    """Checks both files."""
    found = []
    for name, address in (("render.yaml", render), ("railway.json", railway)):
        try:
            answer = httpx.get(address, follow_redirects=True).raise_for_status()
            schema = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise click.ClickException(
                f"{address}: is no schema that can be had: {error}"
            ) from error
        found += faults(CHECKOUT / name, schema)
        click.echo(f"{name}: read, against {address}")
    if found:
        raise click.ClickException("\n".join(found))


if __name__ == "__main__":
    main()
