"""Weights come from a file or an address, and what does not fit is refused before training."""

import importlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from training.networks import EfficientNetLite, MobileNetV2
from training.weights import WeightsError, start_from


@pytest.fixture
def trained() -> MobileNetV2:
    torch.manual_seed(3)
    return MobileNetV2(1000)


def same_features(one: MobileNetV2, other: MobileNetV2) -> bool:
    ours, theirs = one.features.state_dict(), other.features.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_of_weights_is_loaded_but_for_its_classifier(
    tmp_path: Path, trained: MobileNetV2, suffix: str
) -> None:
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(trained.state_dict(), path)
    else:
        save_file(trained.state_dict(), path)
    network = MobileNetV2(7)
    assert path.name in start_from(network, str(path), "http://127.0.0.1:9/never-asked")
    assert same_features(network, trained)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = partial(Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def test_weights_are_fetched_by_torch_hub(
    tmp_path: Path, server: str, trained: MobileNetV2, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    torch.save(trained.state_dict(), tmp_path / "weights.pth")
    network = MobileNetV2(7)
    assert start_from(network, None, f"{server}/weights.pth") == f"{server}/weights.pth"
    assert same_features(network, trained)


def test_a_fetch_that_fails_says_what_to_do(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    with pytest.raises(WeightsError, match=r"model\.weights\.file"):
        start_from(MobileNetV2(7), None, f"{server}/nothing.pth")


def test_neither_is_from_scratch() -> None:
    assert start_from(MobileNetV2(7), None, None) == "scratch"


def test_an_efficientnet_lite_takes_the_names_of_its_ports(tmp_path: Path) -> None:
    torch.manual_seed(4)
    trained = EfficientNetLite(7, version=0)
    named = {
        "_conv_stem.weight": "features.0.0.weight",
        "_bn0.bias": "features.0.1.bias",
        "_blocks.0._depthwise_conv.weight": "features.1.conv.0.0.weight",
        "_blocks.0._bn1.running_mean": "features.1.conv.0.1.running_mean",
        "_blocks.0._project_conv.weight": "features.1.conv.1.weight",
        "_blocks.0._bn2.weight": "features.1.conv.2.weight",
        "_blocks.15._expand_conv.weight": "features.16.conv.0.0.weight",
        "_blocks.15._bn0.weight": "features.16.conv.0.1.weight",
        "_blocks.15._depthwise_conv.weight": "features.16.conv.1.0.weight",
        "_blocks.15._project_conv.weight": "features.16.conv.2.weight",
        "_blocks.15._bn2.num_batches_tracked": "features.16.conv.3.num_batches_tracked",
        "_conv_head.weight": "features.17.0.weight",
        "_bn1.running_var": "features.17.1.running_var",
        "_fc.bias": "classifier.1.bias",
    }
    of_ports = {ours: theirs for theirs, ours in named.items()}
    state = {of_ports.get(name, name): value for name, value in trained.state_dict().items()}
    assert len(state.keys() & named.keys()) == len(named)
    torch.save(state, tmp_path / "weights.pth")
    network = EfficientNetLite(7, version=0)
    start_from(network, str(tmp_path / "weights.pth"), None)
    ours, theirs = network.features.state_dict(), trained.features.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_weights_may_be_an_installed_packages(
    tmp_path: Path, trained: MobileNetV2, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    network = MobileNetV2(7)
    with pytest.raises(WeightsError, match=r"drawn_weights, .*is not installed"):
        start_from(network, None, None, package="drawn_weights")
    models = tmp_path / "drawn_weights" / "models"
    models.mkdir(parents=True)
    (tmp_path / "drawn_weights" / "__init__.py").touch()
    importlib.invalidate_caches()
    with pytest.raises(WeightsError, match="holds 0 files of weights"):
        start_from(network, None, None, package="drawn_weights")
    torch.save(trained.state_dict(), models / "weights.pth")
    told = start_from(network, None, "http://127.0.0.1:9/never-asked", package="drawn_weights")
    assert told.startswith("weights.pth (SHA-256 ")
    assert same_features(network, trained)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_file({"features.0.0.weight": torch.zeros(8, 3, 3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="not of this network"):
        start_from(MobileNetV2(7), str(tmp_path / "other.safetensors"), None)


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.pth").write_bytes(b"nothing of the kind")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        start_from(MobileNetV2(7), str(tmp_path / "broken.pth"), None)


def test_filters_of_one_scale_compute_what_they_did(tmp_path: Path, trained: MobileNetV2) -> None:
    for name, value in trained.features.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.01, 4.0)
    path = tmp_path / "weights.safetensors"
    save_file(trained.state_dict(), path)
    plain, even = MobileNetV2(7).eval(), MobileNetV2(7).eval()
    start_from(plain, str(path), None)
    start_from(even, str(path), None, scale=0.1)

    filters = [m.weight for m in even.features.modules() if isinstance(m, nn.Conv2d)]
    sizes = torch.cat([weight.square().mean(dim=(1, 2, 3)).sqrt() for weight in filters])
    torch.testing.assert_close(sizes, torch.full_like(sizes, 0.1))
    pictures = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        wanted, got = plain.feature_maps(pictures)[-1], even.feature_maps(pictures)[-1]
    torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-4)


def test_a_filter_of_zeros_stays_one(tmp_path: Path, trained: MobileNetV2) -> None:
    trained.state_dict()["features.0.0.weight"][3].zero_()
    path = tmp_path / "weights.safetensors"
    save_file(trained.state_dict(), path)
    network = MobileNetV2(7)
    start_from(network, str(path), None, scale=0.1)
    assert not network.state_dict()["features.0.0.weight"][3].any()
    assert all(value.isfinite().all() for value in network.state_dict().values())
