"""The walls of the house: what each room may import, by its sources and in a live process."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
OWN = {"serving", "training"}


def modules(room: str) -> list[Path]:
    return sorted(path for path in (ROOT / room).rglob("*.py") if "node_modules" not in path.parts)


def imports(source: str) -> Iterator[str]:
    """Top-level names that `source` imports anywhere, in functions and under conditions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) in {"__import__", "import_module", "importlib.import_module"}
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value).partition(".")[0]


def declared(extra: str | None = None) -> set[str]:
    """The distributions that pyproject.toml names, for serving alone or with an extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = project["dependencies"] + project["optional-dependencies"].get(extra, [])
    return {canonicalize_name(Requirement(line).name) for line in lines}


def undeclared(room: str, allowed: set[str], own: set[str]) -> dict[str, set[str]]:
    """By module of `room`: what it imports that is neither Python's, its own, nor declared."""
    providers = packages_distributions()
    strangers = {
        path.relative_to(ROOT).as_posix(): {
            name
            for name in set(imports(path.read_text("utf-8")))
            if name not in sys.stdlib_module_names | own
            and not {canonicalize_name(p) for p in providers.get(name, [])} & allowed
        }
        for path in modules(room)
    }
    return {path: names for path, names in strangers.items() if names}


def test_the_reader_of_imports_sees_through_functions_and_calls():
    source = """
def late():
    import torch.nn
    from training.data import sets
    from . import sibling
    importlib.import_module("hydra.core")
"""
    assert set(imports(source)) == {"torch", "training", "hydra"}


def test_serving_imports_itself_and_what_it_declares():
    assert modules("serving")
    extras = declared("archive") | declared("ray") | declared("traces")
    assert undeclared("serving", declared() | extras, own={"serving"}) == {}


def test_training_imports_the_rooms_and_what_it_declares():
    assert modules("training")
    assert undeclared("training", declared("train"), own=OWN) == {}


def test_a_process_that_serves_loads_nothing_of_training():
    """What the sources cannot show: an import through a library, or by a name made at run time."""
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules("serving")]
    script = (
        f"import sys, {', '.join(names)}\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    loaded = set(run.stdout.split())
    providers = packages_distributions()
    loaded |= {canonicalize_name(by) for name in loaded for by in providers.get(name, [])}
    assert {"serving", "litestar"} <= loaded
    assert loaded & {"training", *declared("train")} - declared() == set()


def test_configuration_is_data_only():
    strangers = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "conf").rglob("*")
        if path.is_file() and path.suffix != ".yaml" and "__pycache__" not in path.parts
    }
    assert list((ROOT / "conf").rglob("*.yaml"))
    assert strangers == set()
