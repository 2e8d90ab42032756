"""Both networks, from drawn pictures to an artifact that serving answers with."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import hydra
import msgspec
import numpy as np
import onnx
import pytest
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from benchmarks import novelty
from serving.classifier import Classifier
from serving.manifest import FILE_NAME, MODEL_FILE, ArtifactError, Manifest
from serving.pictures import prepare
from serving.prediction import predict
from tests.drawings import draw_lesion, encode
from tests.training.drawn_sets import CONF, compose, draw_folders, draw_ham10000
from training import record, strangers
from training.data import splits
from training.data.sets import read_sets
from training.data.splits import PARTS, Part, digest
from training.export import FLOAT_FILE, export
from training.finished import CONFIG_FILE, RunError, find_run, resize
from training.graph import ExportError
from training.labels import DIAGNOSES, DataError
from training.refit import refit
from training.sizes import PictureSize, learned_from
from training.train import plain, read_answers, read_config_sets, read_data, train


@pytest.fixture(scope="module")
def ham10000(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_ham10000(tmp_path_factory.mktemp("data") / "ham10000")


Made = tuple[Path, Path, Manifest]


@pytest.fixture(scope="module", params=["mobilenet", "cnn"])
def made(
    request: pytest.FixtureRequest, ham10000: Path, tmp_path_factory: pytest.TempPathFactory
) -> Made:
    """A run and the artifact made from it, for each network."""
    folder = tmp_path_factory.mktemp(request.param)
    run = folder / "run"
    overrides = [f"model={request.param}", f"data.root={ham10000}"]
    train(compose("train", run, *overrides))
    config = compose("export", run, *overrides, f"run={run}", f"artifacts={folder / 'artifacts'}")
    config.parity.pictures = 10
    # A bias for every class that has a calibration picture at all.
    config.targets.least_pictures = 1
    # A dozen pictures and a few steps of training are no base to be strict on.
    config.gate = {**config.gate, "balanced_accuracy": -1, "probability": 1, "heatmap": -1}
    artifact = export(config)
    return run, artifact, Classifier(artifact).manifest


def test_a_run_leaves_its_config_checkpoints_logs_and_record(made: Made) -> None:
    run, _, manifest = made
    assert (run / CONFIG_FILE).read_text().count("batch_size: 8") == 1
    assert "${" not in (run / CONFIG_FILE).read_text()
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    assert "val/balanced_accuracy" in (run / "logs/csv/version_0/metrics.csv").read_text()
    assert list((run / "logs/tensorboard/version_0").glob("events.*"))
    assert record.read(run).split_digest == manifest.training.split_digest


def test_the_artifact_answers_a_picture(made: Made) -> None:
    _, artifact, manifest = made
    model = Classifier(artifact)
    picture = prepare(encode(draw_lesion(1)), manifest.preprocessing)
    (answer,) = predict(model, ["drawn.jpg"], [picture], heatmaps=True)
    ids = ["benign", "malignant"] if manifest.name == "cnn" else list(DIAGNOSES)
    assert list(answer.probabilities) == ids
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert answer.verdict in ("suspicious", "not_suspicious")
    assert answer.prediction in ids
    assert isinstance(answer.heatmaps, dict)
    assert list(answer.heatmaps) == ids


def test_the_manifest_tells_how_the_model_came_about(made: Made, ham10000: Path) -> None:
    _, artifact, manifest = made
    parts = read_sets(plain(compose("train", artifact, f"data.root={ham10000}").data), 0).parts
    assert manifest.training.split_digest == digest(parts)
    assert manifest.training.config[splits.KEY] == "lesion"
    (dataset,) = manifest.training.datasets
    assert dataset.name == "HAM10000"
    assert dataset.licence == "CC BY-NC 4.0"
    assert dataset.pictures == len(parts["train"])
    with Image.open(parts["train"][0].path) as picture:
        assert learned_from(manifest.training.config) == {
            "HAM10000": PictureSize(width=picture.width, height=picture.height, share=1.0)
        }
    assert manifest.parity.batch_sizes == [1, 5]
    assert manifest.parity.probability <= 1e-4
    assert manifest.parity.heatmap <= 1e-3
    assert manifest.operating_points[0].n == sum(
        DIAGNOSES[picture.label] for picture in parts["calibration"]
    )
    assert set(manifest.conformal.counts) == set(manifest.class_ids)
    # The parity above is that of the calibrated probabilities.
    assert set(manifest.logit_biases) == set(manifest.class_ids)
    assert any(manifest.logit_biases.values())


def test_the_artifact_carries_no_path_of_this_machine(made: Made, ham10000: Path) -> None:
    run, artifact, _ = made
    for path in artifact.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            for place in (run, ham10000, CONF.parent, Path.home()):
                assert len(str(place)) < 4 or str(place).encode() not in data, path.name
    assert not re.search(r'"/[a-z]', (artifact / FILE_NAME).read_text())


def test_the_export_fails_where_the_graph_is_not_the_network(made: Made, tmp_path: Path) -> None:
    run, _, manifest = made
    overrides = [f"model={manifest.name}", f"run={run}", f"artifacts={tmp_path}"]
    config = compose("export", run, *overrides, "parity.heatmap=-1")
    with pytest.raises(ExportError, match="differs from the network"):
        export(config)
    assert list(tmp_path.iterdir()) == []


def integer_tensors(artifact: Path) -> list[str]:
    graph = onnx.load(artifact / MODEL_FILE).graph
    return [each.name for each in graph.initializer if each.data_type == onnx.TensorProto.INT8]


def test_a_graph_of_integers_that_passes_the_gate_serves(made: Made) -> None:
    run, artifact, manifest = made
    told = manifest.quantisation
    assert told is not None
    assert told.passed
    assert integer_tensors(artifact)
    assert told.integer_bytes == (artifact / MODEL_FILE).stat().st_size
    assert told.float_bytes == (run / FLOAT_FILE).stat().st_size > 2 * told.integer_bytes
    parts = read_sets(plain(OmegaConf.load(run / CONFIG_FILE))["data"], 0).parts
    counts = {figure.name: figure.n for figure in told.figures}
    assert counts["balanced_accuracy"] == len(parts["validation"])
    assert all(figure.low <= figure.value <= figure.high for figure in told.figures)


def test_what_is_fitted_is_fitted_to_the_graph_that_serves(made: Made) -> None:
    """The threshold is the score of a calibration picture as the artifact answers it."""
    run, artifact, manifest = made
    parts = read_sets(plain(OmegaConf.load(run / CONFIG_FILE))["data"], 0).parts
    pictures = [p.path.read_bytes() for p in parts["calibration"]]
    prepared = [prepare(data, manifest.preprocessing) for data in pictures]
    answers = predict(Classifier(artifact), [""] * len(prepared), prepared)
    novelty = [answer.novelty for answer in answers]
    assert min(abs(each - manifest.novelty_threshold) for each in novelty) < 1e-4


def copied(made: Made, ham10000: Path, tmp_path: Path) -> tuple[Path, list[str]]:
    """A copy of the artifact, and what names it and its pictures to refit."""
    _, original, manifest = made
    shutil.copytree(original, tmp_path / original.name)
    named = [f"model={manifest.name}", f"data.root={ham10000}", f"artifacts={tmp_path}"]
    return tmp_path / original.name, [*named, "targets.least_pictures=1"]


def test_an_artifact_is_fitted_anew_without_its_run(
    made: Made, ham10000: Path, tmp_path: Path
) -> None:
    manifest = made[2]
    artifact, named = copied(made, ham10000, tmp_path)
    (artifact / "report").mkdir()
    (artifact / "report" / "README.md").write_text("of other decisions")
    (artifact / "report" / "recipes.json").write_text("{}")
    before, again = refit(compose("export", tmp_path / "run", *named))
    assert before == manifest
    # Export fits novelty before the weights have 8 bits, here to a handful of pictures.
    known = {"files": manifest.files, "novelty_threshold": manifest.novelty_threshold}
    known["training"] = manifest.training
    assert msgspec.structs.replace(again, **known) == manifest
    fitted = manifest.training.config["fitted"]
    assert (fitted["anew"], fitted["targets"]["least_pictures"]) == (False, 1)
    assert again.training.config == {**manifest.training.config, "fitted": {**fitted, "anew": True}}
    if manifest.name == "cnn":  # fifty layers' norms have counted nothing yet after a few steps
        assert again.novelty_threshold == pytest.approx(manifest.novelty_threshold, rel=0.5)
    equal = compose("export", tmp_path / "run", *named, "targets.accuracy_share=1")
    assert refit(equal)[1].digest == again.digest
    assert set(Classifier(artifact).manifest.decision_offsets.values()) == {1.0}
    assert [file.name for file in (artifact / "report").iterdir()] == ["recipes.json"]


@pytest.mark.parametrize("made", ["cnn"], indirect=True)
def test_an_artifact_is_fitted_only_to_what_it_was_made_from(
    made: Made, ham10000: Path, tmp_path: Path
) -> None:
    artifact, named = copied(made, ham10000, tmp_path)
    fewer = draw_ham10000(tmp_path / "fewer", lesions=5)
    for override, error, message in (
        (f"data.root={fewer}", ArtifactError, "another split"),
        ("data.name=other", DataError, "trained on HAM10000, and these are other"),
        ("model.target=classes", DataError, "tells benign, malignant apart"),
    ):
        with pytest.raises(error, match=message):
            refit(compose("export", tmp_path / "run", *named, override))
    assert Classifier(artifact).manifest == made[2]


@pytest.mark.parametrize("made", ["cnn"], indirect=True)
def test_a_graph_of_integers_that_misses_a_limit_leaves_the_float_graph_to_serve(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _, manifest = made
    overrides = [f"model={manifest.name}", f"run={run}", f"artifacts={tmp_path}"]
    artifact = export(compose("export", run, *overrides, "gate.heatmap=2"))
    told = Classifier(artifact).manifest.quantisation
    assert told is not None
    assert not told.passed
    (heatmap,) = (figure for figure in told.figures if figure.name == "heatmap")
    assert (heatmap.limit, heatmap.passed) == (2, False)
    assert not integer_tensors(artifact)
    assert "THE FLOAT GRAPH SERVES" in capsys.readouterr().out


@pytest.mark.parametrize("made", ["cnn"], indirect=True)
def test_integers_are_tried_only_where_asked_for(made: Made, tmp_path: Path) -> None:
    run, _, manifest = made
    overrides = [f"model={manifest.name}", f"run={run}", f"artifacts={tmp_path}"]
    artifact = export(compose("export", run, *overrides, "quantise.enabled=false"))
    assert Classifier(artifact).manifest.quantisation is None
    assert not integer_tensors(artifact)


def test_an_export_without_a_run_says_to_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="make train"):
        export(compose("export", tmp_path))


def test_an_export_finds_the_run_that_the_same_overrides_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finish(folder: str, network: str) -> Path:
        (tmp_path / folder).mkdir(parents=True)
        kind = {"_target_": f"training.networks.{network}"}
        config = {"model": {"name": network.lower(), "network": kind}}
        OmegaConf.save(config, tmp_path / folder / CONFIG_FILE)
        (tmp_path / folder / record.FILE_NAME).touch()
        folders.append(tmp_path / folder)
        # Each a second after the one before it.
        os.utime(folders[-1] / record.FILE_NAME, (len(folders), len(folders)))
        return folders[-1]

    def found(*overrides: str, run_dir: Path = tmp_path) -> Path:
        return find_run(compose("export", run_dir, *overrides)).resolve()

    folders: list[Path] = []
    monkeypatch.chdir(tmp_path)
    fast, named = finish("runs/debug/mobilenet/a", "MobileNetV2"), finish("R", "MobileNetV2")
    mine, others = finish("runs/mine/a", "MobileNetV2"), finish("runs/mine/b", "CNN")
    newest = [finish(f"runs/mobilenet/{name}", "MobileNetV2") for name in "ba"][-1]
    assert found() == newest
    assert found("debug=fast") == fast
    assert found("model=mobilenet", "model.name=mine") == mine
    assert found("model=cnn", "model.name=mine") == others
    assert found(run_dir=named) == found(f"run={named}", run_dir=fast) == named
    with pytest.raises(RunError, match=r"runs/cnn: holds no finished run of a CNN\."):
        found("model=cnn")
    with pytest.raises(RunError, match=r"nothing: holds no run\.json"):
        found(run_dir=tmp_path / "nothing")


def test_a_run_is_exported_only_as_the_model_that_it_was_trained_as(
    quick_run: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(quick_run, tmp_path / "run"))
    assert find_run(compose("export", run, "model=cnn", f"run={run}")) == run
    with pytest.raises(RunError, match=r"a run of a CNN, and mobilenet .* MODEL=cnn for make"):
        find_run(compose("export", run, f"run={run}"))
    # A name of its own says nothing of the kind.
    config = OmegaConf.load(run / CONFIG_FILE)
    config.model.name = "mine"
    OmegaConf.save(config, run / CONFIG_FILE)
    (run / ".hydra").mkdir()
    (run / ".hydra/hydra.yaml").write_text("hydra: {runtime: {choices: {model: cnn}}}")
    with pytest.raises(RunError, match="MODEL=cnn for make, else model=cnn"):
        find_run(compose("export", run, f"run={run}"))


@pytest.mark.parametrize("overrides", [[], ["debug=fast"], ["model.name=mine"]])
def test_training_writes_where_export_looks(overrides: list[str]) -> None:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose("train", ["run_dir=x", *overrides], return_hydra_config=True)
        exported = hydra.compose("export", ["run_dir=x", *overrides])
        measured = hydra.compose("evaluate", ["run_dir=x", *overrides])
    assert Path(config.hydra.run.dir).parent == Path(exported.runs)
    assert exported.artifacts == measured.artifacts
    assert exported.artifacts.startswith("runs/debug") == ("debug=fast" in overrides)


def test_an_export_from_other_pictures_than_the_runs_is_refused(
    tmp_path: Path,
) -> None:
    root = draw_ham10000(tmp_path / "data", lesions=5)
    run = tmp_path / "run"
    train(compose("train", run, "model=cnn", f"data.root={root}", "model.epochs=1"))
    table = root / "HAM10000_metadata.csv"
    *rows, last = table.read_text().splitlines()
    (root / "images" / f"{last.split(',')[1]}.jpg").unlink()
    table.write_text("\n".join(rows) + "\n")
    with pytest.raises(DataError, match="another split"):
        export(compose("export", run, "model=cnn", f"run={run}", f"artifacts={tmp_path}"))


def test_an_export_leaves_out_what_cannot_be_read_beyond_the_limit_of_a_trial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, run = draw_ham10000(tmp_path / "data", lesions=20), tmp_path / "run"
    trial = ["model=cnn", f"data.root={root}", "model.epochs=1", "data.limit=7"]
    config = compose("train", run, *trial, "data.unreadable=skip")
    # The trial takes the first of each class, export the whole part.
    *_, damaged = read_config_sets(config).parts["calibration"]
    damaged.path.write_bytes(b"not a picture")
    train(config)
    assert damaged.path.name not in capsys.readouterr().err
    places = [f"run={run}", f"artifacts={tmp_path}", "quantise.enabled=false", "parity.pictures=5"]
    folder = export(compose("export", run, "model=cnn", *places))
    counts = Classifier(folder).manifest.conformal.counts
    assert sum(counts.values()) == len(read_config_sets(config).parts["calibration"]) - 1
    assert f"{damaged.path}: cannot be read" in capsys.readouterr().err
    told = OmegaConf.load(run / CONFIG_FILE)
    told.data.unreadable = "fail"
    OmegaConf.save(told, run / CONFIG_FILE)
    with pytest.raises(DataError, match=f"{damaged.path.name}: cannot be read"):
        export(compose("export", run, "model=cnn", *places))


class Stop(pl.Callback):
    """Ends a run in the middle of its second epoch, as a power cut would."""

    class PowerCutError(Exception):
        pass

    def on_train_batch_start(self, trainer: pl.Trainer, *_: object) -> None:
        if trainer.current_epoch == 1 and trainer.global_step % trainer.num_training_batches == 1:
            raise self.PowerCutError


def weights(run: Path, name: str = "last") -> dict[str, torch.Tensor]:
    checkpoint = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)
    state: dict[str, torch.Tensor] = checkpoint["current_model_state"]
    return state


def test_a_resumed_run_ends_where_one_that_went_through_does(
    ham10000: Path, tmp_path: Path
) -> None:
    def config(name: str, *overrides: str) -> DictConfig:
        run = tmp_path / name
        quick = ["model=cnn", "model.epochs=3", f"data.root={ham10000}"]
        return compose("train", run, *quick, *overrides)

    train(config("whole"))
    stop = "+callbacks.stop._target_=tests.training.test_train.Stop"
    with pytest.raises(Stop.PowerCutError):
        train(config("cut", stop))
    last = tmp_path / "cut" / "checkpoints" / "last.ckpt"
    train(config("cut", f"ckpt_path={last}"))
    for checkpoint in ("best", "last"):
        whole = weights(tmp_path / "whole", checkpoint)
        resumed = weights(tmp_path / "cut", checkpoint)
        assert whole.keys() == resumed.keys()
        for name, tensor in whole.items():
            torch.testing.assert_close(resumed[name], tensor, atol=0, rtol=0, msg=name)


def test_the_scores_of_novelty_are_compared_on_the_network_that_is_exported(
    made: Made, ham10000: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _, manifest = made
    for name, few in (("PICTURES", 16), ("DRAWINGS", 1)):
        monkeypatch.setattr(novelty, name, few)
    monkeypatch.delenv("OTHER_CLINICS_DIR", raising=False)
    monkeypatch.delenv("OUTLIERS_DIR", raising=False)
    config = compose("export", run, f"model={manifest.name}", f"run={run}")
    compared = novelty.compare(config)
    assert compared.trained_on == ["HAM10000"]
    assert set(strangers.KINDS) < set(compared.counts)
    shares = np.array([*compared.shares.values()])
    assert shares.shape[1] == len(compared.counts)
    assert ((shares >= 0) & (shares <= 1)).all()
    last = novelty.table(config, compared).strip().splitlines()[-1]
    assert last.startswith("| **")


@pytest.fixture(scope="module")
def quick_run(ham10000: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one epoch."""
    run = tmp_path_factory.mktemp("quick") / "run"
    train(compose("train", run, "model=cnn", "model.epochs=1", f"data.root={ham10000}"))
    return run


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=1", r"seed 0 . 1"),
        ("seed=1", r"split \w{12} . \w{12}"),
        ("data.root=fewer", "split"),
        ("data.limit=20", "data.limit none . 20"),
        ("model.target=classes", "classes benign, malignant . akiec, bcc"),
        ("model.network.dropout=0.5", r"model\.network\.dropout 0\.1 . 0\.5"),
        ("model.preprocessing.fit=squash", r"model\.preprocessing\.fit crop . squash"),
        ("augmentation=none", r"augmentation\."),
    ],
)
def test_a_run_does_not_go_on_as_another(
    quick_run: Path, ham10000: Path, tmp_path: Path, override: str, message: str
) -> None:
    if override == "data.root=fewer":
        override = f"data.root={draw_ham10000(tmp_path / 'fewer', lesions=5)}"
    before = {path: path.read_bytes() for path in quick_run.iterdir() if path.is_file()}
    last = quick_run / "checkpoints" / "last.ckpt"
    overrides = ["model=cnn", f"data.root={ham10000}", "model.epochs=2", override]
    with pytest.raises(RunError, match=f"begun otherwise: .*{message}"):
        train(compose("train", quick_run, *overrides, f"ckpt_path={last}"))
    assert {path: path.read_bytes() for path in quick_run.iterdir() if path.is_file()} == before


def test_a_checkpoint_that_does_not_tell_what_it_learned_from_is_refused(
    quick_run: Path, ham10000: Path, tmp_path: Path
) -> None:
    checkpoint = torch.load(quick_run / "checkpoints" / "last.ckpt", weights_only=True)
    del checkpoint["begun_with"]
    torch.save(checkpoint, tmp_path / "last.ckpt")
    (tmp_path / "other.ckpt").write_bytes(b"?")
    overrides = ["model=cnn", f"data.root={ham10000}"]
    for name, message in (("last", "does not tell"), ("other", "is no checkpoint of a run")):
        told = f"ckpt_path={tmp_path / name}.ckpt"
        with pytest.raises(RunError, match=message):
            train(compose("train", tmp_path / "run", *overrides, told))


@pytest.mark.parametrize("path", ["last", "last.ckpt", "nowhere/checkpoints/last.ckpt"])
def test_a_checkpoint_that_is_not_there_is_named_before_anything_is_read(
    tmp_path: Path, path: str
) -> None:
    with pytest.raises(RunError, match=f"^{path}: no such checkpoint"):
        train(compose("train", tmp_path / "run", f"ckpt_path={path}", "data.root=nowhere"))
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_not_overwritten_and_goes_on_as_an_unfinished_one(
    quick_run: Path, ham10000: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(quick_run, tmp_path / "run"))
    overrides = ["model=cnn", f"data.root={ham10000}", "model.epochs=3"]
    for more in ([], [f"ckpt_path={quick_run / 'checkpoints' / 'last.ckpt'}"]):
        with pytest.raises(RunError, match="holds a finished run"):
            train(compose("train", run, *overrides, *more))
    assert record.read(run) == record.read(quick_run)
    stop = "+callbacks.stop._target_=tests.training.test_train.Stop"
    last = f"ckpt_path={run / 'checkpoints' / 'last.ckpt'}"
    with pytest.raises(Stop.PowerCutError):
        train(compose("train", run, *overrides, stop, last))
    assert not (run / record.FILE_NAME).exists()
    train(compose("train", run, *overrides, last))
    assert record.read(run).epochs == 3


@pytest.mark.parametrize("best_there", [True, False])
def test_a_run_that_was_moved_goes_on_with_its_best_checkpoint(
    quick_run: Path,
    ham10000: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    best_there: bool,
) -> None:
    run = Path(shutil.copytree(quick_run, tmp_path / "moved"))
    best, last = run / "checkpoints" / "best.ckpt", run / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(last, weights_only=True)
    (state,) = (s for s in checkpoint["callbacks"].values() if s.get("monitor"))
    # No later epoch is as good.
    state["best_model_score"] = state["kth_value"] = torch.tensor(2.0)
    state["best_k_models"] = dict.fromkeys(state["best_k_models"], torch.tensor(2.0))
    torch.save(checkpoint, last)
    before = best.read_bytes()
    if not best_there:
        best.unlink()
    overrides = ["model=cnn", "model.epochs=2", f"data.root={ham10000}", f"ckpt_path={last}"]
    train(compose("train", run, *overrides))
    assert (best.read_bytes() == before) == (record.read(run).best_score == 2) == best_there
    assert capsys.readouterr().out.rstrip().endswith(f": {best.resolve()}")
    assert sorted(each.name for each in best.parent.iterdir()) == ["best.ckpt", "last.ckpt"]


def test_another_seed_gives_another_model(ham10000: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        overrides = ["model=cnn", "model.epochs=1", f"data.root={ham10000}", f"seed={seed}"]
        train(compose("train", tmp_path / str(seed), *overrides))
    name = "network.last.weight"
    assert not torch.equal(weights(tmp_path / "0")[name], weights(tmp_path / "1")[name])


def test_ones_own_folders_make_a_model_of_their_classes(tmp_path: Path) -> None:
    root = draw_folders(tmp_path / "mine", ["wart", "mole", "carcinoma"])
    overrides = [
        *("data=folder", f"data.root={root}", "data.malignant=[carcinoma]"),
        *("model=cnn", "model.target=classes", "model.name=mine", "model.title=null"),
    ]
    run = tmp_path / "run"
    train(compose("train", run, *overrides))
    artifacts = tmp_path / "artifacts"
    export(compose("export", run, *overrides, f"run={run}", f"artifacts={artifacts}"))
    manifest = Classifier(artifacts / "mine").manifest
    assert manifest.class_ids == ["carcinoma", "mole", "wart"]
    assert manifest.malignant_ids == ["carcinoma"]
    assert manifest.title == "Three diagnoses"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "images/ISIC_0000005.jpg").unlink(), "ISIC_0000005"),
        (lambda root: (root / "images/ISIC_0000007.jpg").write_bytes(b"?"), "ISIC_0000007"),
        (lambda root: (root / "HAM10000_metadata.csv").unlink(), "HAM10000_metadata"),
    ],
)
def test_what_is_wrong_with_the_pictures_is_said_before_training(
    tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    root = draw_ham10000(tmp_path / "data", lesions=4)
    spoil(root)
    with pytest.raises(DataError, match=message):
        train(compose("train", tmp_path / "run", "model=cnn", f"data.root={root}"))
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize("part", PARTS)
def test_a_class_without_a_picture_in_a_part_is_named_before_training(
    tmp_path: Path, part: Part
) -> None:
    root = draw_ham10000(tmp_path / "data", lesions=5)
    overrides = [f"data.root={root}", "data.unreadable=skip", "model=mobilenet"]
    config = compose("train", tmp_path / "run", *overrides)
    for picture in read_sets(plain(config.data), 0).parts[part]:
        if picture.label == "mel":
            picture.path.write_bytes(b"?")
    with pytest.raises(DataError, match=f"mel: none in {part}\\."):
        train(config)
    assert not (tmp_path / "run" / "checkpoints").exists()
    # A benign and a malignant picture are in each part still.
    config = compose("train", tmp_path / "run", *overrides[:2], "model=cnn")
    pictures = read_config_sets(config)
    read_data(config, pictures, read_answers(config, pictures))


def test_a_model_of_malignancy_needs_both_kinds(tmp_path: Path) -> None:
    root = draw_folders(tmp_path / "mine", ["wart", "mole"])
    for malignant in ("[]", "[wart,mole]"):
        overrides = ["data=folder", f"data.root={root}", f"data.malignant={malignant}"]
        with pytest.raises(DataError, match=r"mole, wart\) are malignant.* data\.malignant"):
            train(compose("train", tmp_path / "run", *overrides, "model=cnn"))


@pytest.mark.parametrize("model", ["mobilenet", "cnn"])
@pytest.mark.parametrize(
    "overrides",
    [
        ["trainer=gpu", "+data/extra=isic2017"],
        ["experiment=travel"],
        ["debug=fast"],
        ["data=folder", "data.root=somewhere", "augmentation=none"],
    ],
)
def test_the_groups_compose(model: str, overrides: list[str]) -> None:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose("train", [f"model={model}", "run_dir=runs/x", *overrides])
    assert plain(config)["model"]["name"] == model
    adds = "experiment=travel" in overrides or "+data/extra=isic2017" in overrides
    assert ("isic2017" in config.data.extra) == adds


def test_extra_sets_are_for_training_only(ham10000: Path, tmp_path: Path) -> None:
    extra = tmp_path / "extra"
    (extra / "images").mkdir(parents=True)
    for i in range(3):
        (extra / "images" / f"more{i}.jpg").write_bytes(encode(draw_lesion(900 + i, 80, 60)))
    (extra / "labels.csv").write_text("image,label\nmore0,nv\nmore1,mel\nmore2,nv\n")
    overrides = [f"data.root={ham10000}", "+data/extra=isic2017"]
    config = compose("train", tmp_path, *overrides, f"data.extra.isic2017.root={extra}")
    pictures = read_sets(plain(config.data), 0)
    alone = read_sets(plain(compose("train", tmp_path, f"data.root={ham10000}").data), 0)
    assert pictures.parts == alone.parts
    assert sorted(p.image_id for p in pictures.extra) == ["more0", "more1", "more2"]


def test_an_extra_picture_that_the_main_set_has_is_refused(ham10000: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    picture = next((ham10000 / "images").iterdir())
    (tmp_path / "images" / picture.name).write_bytes(picture.read_bytes())
    (tmp_path / "labels.csv").write_text(f"image,label\n{picture.stem},nv\n")
    overrides = [f"data.root={ham10000}", "+data/extra=isic2017"]
    config = compose("train", tmp_path, *overrides, f"data.extra.isic2017.root={tmp_path}")
    with pytest.raises(DataError, match="leak into training"):
        read_sets(plain(config.data), 0)


def test_a_manifest_reads_back_as_it_was_written(made: Made) -> None:
    _, artifact, manifest = made
    data = (artifact / FILE_NAME).read_bytes()
    assert msgspec.json.decode(data, type=Manifest) == manifest


def test_a_network_that_was_made_for_one_size_takes_no_other(tmp_path: Path) -> None:
    made = compose("train", tmp_path, "model=cnn", "model.preprocessing.size=48")
    assert not resize(made, None)
    assert not resize(made, 48)
    with pytest.raises(RunError, match="size=64: cnn was made for 48 pixels and takes no others"):
        resize(made, 64)
    any_size = compose("train", tmp_path, "model=mobilenet", "model.preprocessing.size=48")
    assert resize(any_size, 64)
    assert any_size.model.preprocessing.size == 64
