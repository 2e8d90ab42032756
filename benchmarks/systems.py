"""What is compared: LesionLens, what people would use instead, and the limits of all of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

PEERS = Path(__file__).parent / "peers"
ROOT = Path(__file__).parents[1]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server runs: its environment's folder of programs, its port, how many cores."""

    programs: Path
    port: int
    cores: int


class System(msgspec.Struct, frozen=True, kw_only=True):
    """One way to serve the model.

    `environment` names the folder with its packages; `path` is where it takes pictures. One that is
    `tuned` is no more than a peer with one setting that its documentation does not make, measured
    only where ratios are taken.
    """

    name: str
    environment: str
    path: str
    command: Callable[[Place], list[str]]
    variables: dict[str, str] = {}
    tuned: bool = False


def _lesionlens(place: Place) -> list[str]:
    return [str(place.programs / "lesionlens"), "serve", "--port", str(place.port)]


def _flask(place: Place) -> list[str]:
    options = ["--workers", str(place.cores), "--bind", f"127.0.0.1:{place.port}"]
    where = ["--chdir", str(PEERS), "flask_torch:app"]
    return [str(place.programs / "gunicorn"), "--log-level", "warning", *options, *where]


def _fastapi(place: Place) -> list[str]:
    options = ["--app-dir", str(PEERS), "--port", str(place.port), "--log-level", "warning"]
    return [str(place.programs / "uvicorn"), *options, "fastapi_onnxruntime:app"]


def _litserve(place: Place) -> list[str]:
    program = [str(place.programs / "python"), str(PEERS / "litserve_onnxruntime.py")]
    return [*program, str(place.port), str(place.cores)]


def _nothing(place: Place) -> list[str]:
    return [sys.executable, "-m", "benchmarks.nothing", str(place.port)]


LESIONLENS = System(
    name="LesionLens",
    environment="lesionlens",
    path="/api/v1/predictions",
    command=_lesionlens,
)
FLASK = System(
    name="Flask, gunicorn, torch",
    environment="flask_torch",
    path="/predict",
    command=_flask,
    variables={"PYTHONPATH": str(ROOT)},  # for the network
)
FASTAPI = System(
    name="FastAPI, uvicorn, onnxruntime",
    environment="fastapi_onnxruntime",
    path="/predict",
    command=_fastapi,
)
LITSERVE = System(
    name="LitServe, onnxruntime",
    environment="litserve_onnxruntime",
    path="/predict",
    command=_litserve,
)
SERVERS: Sequence[System] = (
    LESIONLENS,
    FLASK,
    FASTAPI,
    LITSERVE,
    msgspec.structs.replace(
        FLASK,
        name=f"{FLASK.name}, one thread a worker",
        variables={**FLASK.variables, "OMP_NUM_THREADS": "1"},
        tuned=True,
    ),
    msgspec.structs.replace(
        FASTAPI, name=f"{FASTAPI.name}, one thread a run", variables={"THREADS": "1"}, tuned=True
    ),
    msgspec.structs.replace(
        LITSERVE, name=f"{LITSERVE.name}, one thread a run", variables={"THREADS": "1"}, tuned=True
    ),
)
NOTHING = System(name="nothing but HTTP", environment="", path="/", command=_nothing)
BARE = "bare limit: decode and run"
