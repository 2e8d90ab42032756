"""How fast an artifact's network answers and what it holds in memory, however it is computed.

`python -m benchmarks.graphs --artifact artifacts/mobilenet` needs nothing but the artifact. It puts
the same network into a graph with floats for weights, one that computes in 8-bit integers, and
PyTorch. Each answers one picture at a time in processes of its own, in turns: on one thread and on
four (or as many as there are), and the graphs in WebAssembly, too. It prints a table, with how far
their answers are apart, and writes it beside this file. Linux only.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
import hydra
import msgspec
import numpy as np
import onnx
import torch
from hydra.errors import MissingConfigException
from omegaconf import DictConfig
from onnx import numpy_helper
from torch import nn
from tqdm import tqdm

from benchmarks.servers import machine, versions
from benchmarks.systems import ROOT
from serving import manifest as contract
from serving.cores import available_cores
from serving.manifest import ArtifactError, Manifest, Preprocessing
from serving.pictures import PictureError, Pixels, fit, prepare
from tests.drawings import draw_lesion
from training.graph import ExportError
from training.quantise import QuantiseSettings, dequantise, quantise
from training.scaling import Scaling
from training.train import plain

ANSWERS = 200
ROUNDS = 5
THREADS = 4
COMPARED = 8
"""pictures that all answer, so that their answers can be compared"""

FLOAT = "float weights"
STORED = "8-bit weights"
INTEGERS = "8-bit integers"
TORCH = "PyTorch"
"""the ways to compute it"""

WASM = "WebAssembly"
RESULT = Path(__file__).with_suffix(".md")

_RUNTIME = ROOT / "serving" / "web" / "node_modules" / "onnxruntime-web"


class Answered(msgspec.Struct, frozen=True):
    """What a process tells: median seconds an answer, its peak in bytes, and its answers."""

    seconds: float
    memory: int
    probability: list[list[float]]


class Measured(msgspec.Struct, frozen=True):
    """One way to answer, and where: medians of its processes' seconds and bytes.

    `apart` is the most that a probability is from the one of the graph with floats for weights.
    """

    way: str
    where: str
    seconds: float
    memory: int
    apart: float


def compare(
    artifact: Path, pictures: Path | None = None, answers: int = ANSWERS, rounds: int = ROUNDS
) -> list[Measured]:
    """Each way in each place, floats for weights being the first in each.

    Raises:
        ArtifactError: where the artifact cannot be read.
        ExportError: where it cannot be turned into a float graph, or is of another network than
            its model's configuration.
        PictureError: where the folder `pictures` holds too few JPEGs, or one that is none.
    """
    size = contract.load(artifact).preprocessing.size
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        graphs = lay_out(artifact, pictures, place)
        told = [str(place / "pictures"), str(size), str(answers)]
        commands = {}
        for threads in sorted({1, min(THREADS, available_cores())}):
            where = f"{threads} thread{'s' * (threads > 1)}"
            for way in [*graphs, TORCH]:
                kind = "torch" if way == TORCH else "serving"
                program = [sys.executable, "-m", "benchmarks.one_answer", kind]
                commands[way, where] = [*program, str(place / way), *told, str(threads)]
        if can_run_wasm():
            for way in graphs:
                graph = place / way / contract.MODEL_FILE
                commands[way, WASM] = ["node", "benchmarks/wasm_answer.mjs", str(graph), *told]
        found = [
            {case: _run(command) for case, command in commands.items()}
            for _ in tqdm(range(rounds), "measuring", unit="round")
        ]
    wanted = found[0][next(iter(commands))].probability
    return [
        Measured(
            *case,
            statistics.median(each[case].seconds for each in found),
            round(statistics.median(each[case].memory for each in found)),
            float(np.abs(np.subtract(found[0][case].probability, wanted)).max()),
        )
        for case in commands
    ]


def can_run_wasm() -> bool:
    """Whether there are Node and the page's packages."""
    return shutil.which("node") is not None and _RUNTIME.is_dir()


def _run(command: Sequence[str]) -> Answered:
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT)
    return msgspec.json.decode(done.stdout, type=Answered)


def lay_out(artifact: Path, pictures: Path | None, place: Path) -> list[str]:
    """Puts pictures, graphs (as artifacts) and network into `place`; which graphs, floats first."""
    manifest = contract.load(artifact)
    config = _config(manifest)
    settings = msgspec.convert(plain(config.quantise), QuantiseSettings)
    shown = _shown(pictures, manifest.preprocessing, COMPARED + settings.pictures)
    shown[:COMPARED].tofile(place / "pictures")
    batches = range(COMPARED, len(shown), settings.batch_size)
    served = onnx.load(artifact / contract.MODEL_FILE)
    floats = dequantise(served)
    graphs = {
        FLOAT: floats,
        STORED: served,
        INTEGERS: quantise(floats, [shown[i : i + settings.batch_size] for i in batches], settings),
    }
    if served == floats:
        del graphs[STORED]
    for way, graph in graphs.items():
        (place / way).mkdir()
        shutil.copy(artifact / contract.PREPROCESS_FILE, place / way)
        onnx.save(graph, place / way / contract.MODEL_FILE)
        contract.save(manifest, place / way)
    torch.save(as_network(floats, manifest), place / TORCH)
    return list(graphs)


def _config(manifest: Manifest) -> DictConfig:
    changes = [
        f"model={manifest.name}",
        f"model.preprocessing.size={manifest.preprocessing.size}",
        "quantise.activations=true",
    ]
    try:
        with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            return hydra.compose("export", changes)
    except MissingConfigException as error:
        raise ExportError(
            f"conf/model/{manifest.name}.yaml: there is none to tell what network the artifact is."
        ) from error


def _shown(folder: Path | None, preprocessing: Preprocessing, count: int) -> Pixels:
    """So many pictures `[count, S, S, 3]`: drawn ones, or some of the JPEGs in `folder`."""
    if folder is None:
        drawn = (draw_lesion(seed, 300, 225, redness=seed % 5 / 4) for seed in range(count))
        return np.stack([fit(each, preprocessing)[0] for each in drawn])
    files = sorted(folder.rglob("*.jpg"))
    if len(files) < count:
        raise PictureError("empty", f"{folder}: holds {len(files)} .jpg, {count} are needed.")
    chosen = np.random.default_rng(1).permutation(len(files))[:count]
    return np.stack([prepare(files[i].read_bytes(), preprocessing).pixels for i in chosen])


@torch.no_grad()
def as_network(graph: onnx.ModelProto, manifest: Manifest) -> nn.Module:
    """The network that the float `graph` was made from; its head gives calibrated logits.

    Norms that were folded into the layers before them have nothing left to do but add a bias.

    Raises:
        ExportError: where the configuration of the artifact's model describes another network.
    """
    network: nn.Module = hydra.utils.instantiate(
        _config(manifest).model.network, classes=len(manifest.classes)
    )
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            assert norm.running_var is not None
            norm.running_var.fill_(1 - norm.eps)
    weights = network.state_dict()
    for each in graph.graph.initializer:
        name = each.name.removeprefix("network.")
        if name.endswith(".weight_bias"):  # of a convolution, which has none but its norm's
            block, place = name.removesuffix(".weight_bias").rsplit(".", 1)
            name = f"{block}.{int(place) + 1}.bias"
        if name in weights:
            weights[name] = torch.from_numpy(numpy_helper.to_array(each).copy())
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ExportError(
            f"{manifest.name}: conf/model/{manifest.name}.yaml describes another network: {error}"
        ) from error
    *_, head = (each for each in network.modules() if isinstance(each, nn.Linear))
    scaling = Scaling.of(manifest)
    head.weight /= scaling.temperature
    head.bias.copy_(head.bias / scaling.temperature + torch.from_numpy(scaling.biases))
    return network.eval()


def table(
    manifest: Manifest, measured: Sequence[Measured], shown: str, answers: int, rounds: int
) -> str:
    """The result as Markdown; `shown` says what the pictures are."""
    ways = {each.way for each in measured}
    told = {
        FLOAT: "the artifact's network, its weights stored as floats"
        + ("; what serves" if STORED not in ways else ""),
        STORED: "what serves; the same weights in 8 bits, which become floats when it is loaded",
        INTEGERS: "computed in, too, as with `quantise.activations=true`; its ranges were measured "
        f"on other {shown}, which changes its answers, not its speed",
        TORCH: "the same network, eager, in inference mode; without novelty",
    }
    in_wasm = (
        f"{WASM} is onnxruntime-web, as the page has it, in Node on one thread; its memory is all "
        "of Node's."
        if any(each.where == WASM for each in measured)
        else f"{WASM} is left out: there is no Node, or no serving/web/node_modules."
    )
    rows = []
    for each in measured:
        base = next(m for m in measured if m.where == each.where)
        rows.append(
            f"| {each.way} | {each.where} | {1000 * each.seconds:.2f} "
            f"| {base.seconds / each.seconds:.2f} | {each.memory / 2**20:.0f} "
            f"| {each.memory / base.memory:.2f} | {each.apart:.1g} |"
        )
    lines = [
        f"# One answer: {manifest.name}, {manifest.preprocessing.size} px",
        "",
        f"{machine()}; {versions()}. One picture at a time; for each line {rounds} processes of "
        f"{answers} answers, in turns; medians, of one run. Made by",
        f"`python -m benchmarks.graphs --artifact artifacts/{manifest.name}`.",
        "",
        *(f"- {way}: {what}." for way, what in told.items() if way in ways),
        "",
        f"On threads the graphs answer through the code that serves. {in_wasm} Speed and memory "
        f"are beside {FLOAT} in the same place. Memory is the most that a process holds which does "
        "nothing else, its libraries included. The last column is the most that any probability of "
        f"{COMPARED} {shown} differs from that of {FLOAT} on 1 thread.",
        "",
        "| | in | ms an answer | times as fast | MiB | of float's | differs |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]
    return "\n".join(lines)


@click.command()
@click.option(
    "--artifact",
    default=ROOT / "artifacts" / "mobilenet",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
)
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder with JPEGs, to be shown instead of drawn ones.",
)
@click.option("--answers", default=ANSWERS, help="Of each process.")
@click.option("--rounds", default=ROUNDS, help="How often everything is measured.")
def main(artifact: Path, pictures: Path | None, answers: int, rounds: int) -> None:
    """Measures, prints and writes the table."""
    try:
        measured = compare(artifact, pictures, answers, rounds)
        manifest = contract.load(artifact)
    except (ArtifactError, ExportError, PictureError) as error:
        sys.exit(f"error: {error}")
    shown = "drawn pictures" if pictures is None else f"pictures of {pictures.name}"
    text = table(manifest, measured, shown, answers, rounds)
    print(text)
    RESULT.with_stem(f"{RESULT.stem}_{manifest.name}").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
