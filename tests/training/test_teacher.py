"""Runs that learn from finished runs or go on from them, and the mean of several checkpoints."""

import shutil
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from serving import manifest as contract
from serving.classifier import Classifier
from serving.manifest import MODEL_FILE
from serving.pictures import prepare
from tests.drawings import draw_lesion, encode
from tests.training.drawn_sets import compose, draw_folders, draw_ham10000
from training import record
from training.card import origin
from training.choices import made_by
from training.data.module import Answers
from training.export import export
from training.finished import RunError, checkpoint_files, load_network, read_config
from training.inputs import as_input
from training.learner import Learner
from training.teacher import Member, Teacher, load_teacher
from training.train import read_answers, read_config_sets, train
from training.weights import WeightsError

SHIPPED = Path(__file__).parents[2] / "artifacts" / "mobilenet"
TEACHER, LEARNER = 64, 48
"""Sides of the pictures that each takes, in pixels."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_ham10000(tmp_path_factory.mktemp("data") / "ham10000")


@pytest.fixture(scope="module")
def taught(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of all diagnoses."""
    run = tmp_path_factory.mktemp("teacher") / "run"
    train(compose("train", run, "model=mobilenet", f"data.root={data}"))
    return run


class Colours(nn.Module):
    """One linear layer over the mean colours; remembers the side of what it was last shown."""

    side = 0

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        self.side = pictures.shape[-1]
        scores: Tensor = self.linear(pictures.mean(dim=(2, 3)))
        return scores


def test_a_teachers_classes_are_joined_into_the_learners() -> None:
    network = Colours(4).eval()
    teacher = Teacher([Member(network, torch.tensor([1, 0, 1, 0]), 8, "drawn")])
    pictures = torch.rand(5, 3, 8, 8)
    own = network(pictures).softmax(dim=1)
    expected = torch.stack([own[:, 1] + own[:, 3], own[:, 0] + own[:, 2]], dim=1)
    torch.testing.assert_close(teacher.answer(pictures), expected)
    assert not teacher.answer(pictures).requires_grad


def test_several_teach_what_they_answer_on_the_mean_each_at_its_own_side() -> None:
    networks = [Colours(3).eval(), Colours(2).eval()]
    joined = [torch.tensor([0, 1, 1]), torch.tensor([1, 0])]
    teacher = Teacher(
        [Member(*each, "drawn") for each in zip(networks, joined, (8, 4), strict=True)]
    )
    assert teacher.side == 8
    pictures = torch.rand(5, 3, 8, 8)
    one, other = (network(pictures).softmax(dim=1) for network in networks)
    one = torch.stack([one[:, 0], one[:, 1] + one[:, 2]], dim=1)
    # Shrinking does not change a mean colour much.
    torch.testing.assert_close(
        teacher.answer(pictures), (one + other.flip(1)) / 2, atol=0.01, rtol=0
    )
    assert [network.side for network in networks] == [8, 4]


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("sides", [(8, 4), (4, 8), (8, 8)])
def test_the_loss_is_the_labels_and_the_teachers_by_its_share(
    share: float, sides: tuple[int, int]
) -> None:
    class Darker(nn.Module):
        def forward(self, pictures: Tensor) -> Tensor:
            return pictures / 2

    teaching, learning = Colours(2).eval(), Colours(2)
    learner = Learner(
        learning,
        Darker(),
        torch.optim.SGD,
        log_prior=np.zeros(2, np.float32),
        prior_shift=np.zeros(2, np.float32),
        teacher=Teacher([Member(teaching, torch.tensor([0, 1]), sides[0], "drawn")]),
        teacher_share=share,
        side=sides[1],
    )
    pictures = torch.randint(0, 256, (6, 8, 8, 3), dtype=torch.uint8)
    labels = torch.tensor([0, 1, 0, 1, 1, 0])
    loss = learner.loss((pictures, labels), learning)
    assert (teaching.side, learning.side) == sides

    # Both are shown the same augmented pictures, and shrinking does not change a mean colour much.
    shown = pictures.permute(0, 3, 1, 2) / 255 / 2
    scores = learning(shown)
    labelled = nn.functional.cross_entropy(scores, labels)
    answered = nn.functional.cross_entropy(scores, teaching(shown).softmax(dim=1))
    torch.testing.assert_close(loss, (1 - share) * labelled + share * answered, atol=0.02, rtol=0)
    loss.backward()
    assert all(parameter.grad is None for parameter in teaching.parameters())


def test_a_small_network_learns_from_a_larger_ones_run(
    data: Path, taught: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    checkpoints = ",".join(str(path) for path in checkpoint_files(taught, ["best", "last"]))
    overrides = [
        "model=cnn",
        f"data.root={data}",
        f"model.preprocessing.size={LEARNER}",
        f"model.teacher.networks=[[{checkpoints}]]",
    ]
    train(compose("train", run, *overrides))
    origin = record.read(run).teacher
    assert origin is not None
    assert origin.startswith("mobilenet, mean of SHA-256 ")
    alone = tmp_path / "alone"
    train(compose("train", alone, *overrides[:3]))
    assert record.read(alone).teacher is None
    weights = [
        load_network(read_config(each), checkpoint_files(each, "last"), 2).state_dict()
        for each in (run, alone)
    ]
    assert any(not torch.equal(weights[0][key], weights[1][key]) for key in weights[0])

    chosen = ["checkpoint=[best,last]", "quantise.enabled=false", "parity.pictures=10"]
    places = [f"run={run}", f"artifacts={tmp_path / 'artifacts'}"]
    manifest = Classifier(export(compose("export", run, *overrides, *places, *chosen))).manifest
    assert manifest.preprocessing.size == LEARNER
    config = manifest.training.config
    assert config["checkpoints"] == ["best", "last"]
    assert config["model"]["teacher"] == {"networks": origin, "share": 0.5}
    assert str(taught) not in msgspec.json.encode(config).decode()


def test_artifacts_teach_what_their_networks_answer(tmp_path: Path) -> None:
    data = draw_ham10000(tmp_path / "data")
    folder = shutil.copytree(SHIPPED, tmp_path / "teaching")
    shipped = contract.load(SHIPPED)
    training = shipped.training
    told = {**training.config, "holds": ["still others"]}
    training = msgspec.structs.replace(training, config=told)
    manifest = contract.save(msgspec.structs.replace(shipped, training=training), folder)
    own = ["model=cnn", f"data.root={data}", "data.name=drawn", "+data.holds=[others]"]
    own += [f"model.teacher.networks=[{folder}]"]
    config = compose("train", tmp_path / "run", *own)
    train(config)
    written = record.read(tmp_path / "run")
    assert written.teacher == f"mobilenet, graph of SHA-256 {manifest.digest[:16]}"
    assert [each.name for each in written.learned_before] == ["HAM10000", "ISIC 2017"]
    assert written.holds == ["others", "still others"]

    pictures = read_config_sets(config)
    every = Answers(pictures.classes, None)
    teacher = load_teacher([str(folder)], pictures, every, "crop")
    assert teacher is not None
    drawn = (encode(draw_lesion(seed, 300, 225)) for seed in range(6))
    shown = np.stack([prepare(each, manifest.preprocessing).pixels for each in drawn])
    answered = teacher.answer(as_input(torch.from_numpy(shown)))
    # What the graph's temperature and biases make of it, which were fitted on held out pictures.
    biases = torch.tensor([manifest.logit_biases.get(id, 0.0) for id in manifest.class_ids])
    calibrated = (answered.log() / manifest.temperature + biases).softmax(dim=1)
    wanted = torch.from_numpy(Classifier(folder).run(shown).probability)
    torch.testing.assert_close(calibrated, wanted, atol=1e-4, rtol=0)
    with pytest.raises(RunError, match="takes pictures of fit crop, the learner of fit pad"):
        load_teacher([str(folder)], pictures, every, "pad")

    # Another model in its place is another teacher.
    graph = onnx.load(folder / MODEL_FILE)
    graph.producer_name = "another"
    onnx.save(graph, folder / MODEL_FILE)
    assert contract.save(manifest, folder).digest != manifest.digest
    resumed = f"ckpt_path={tmp_path / 'run' / 'checkpoints' / 'last.ckpt'}"
    with pytest.raises(RunError, match=r"teacher mobilenet, graph of SHA-256 \w+ . mobilenet"):
        train(compose("train", tmp_path / "run", *own, "model.epochs=3", resumed))


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ("artifacts/mobilenet", r"Expected `array`, got `str`"),
        ("[nowhere]", "nowhere is neither a checkpoint nor the folder of an artifact"),
        ("[[last.ckpt,nowhere.ckpt]]", r"last\.ckpt is neither"),
        (f"[{SHIPPED.parent.parent}]", r"model\.teacher\.networks: .*model\.json: cannot be read"),
        (f"[{SHIPPED.parent / 'cnn'}]", "answers the data set's classes"),
    ],
)
def test_what_is_no_teacher_is_named(
    networks: str, message: str, data: Path, tmp_path: Path
) -> None:
    own = [f"data.root={data}", "data.name=drawn", f"model.teacher.networks={networks}"]
    with pytest.raises((RunError, WeightsError), match=message):
        train(compose("train", tmp_path / "run", *own))


@pytest.mark.parametrize("networks", ["null", "[]", "[[]]"])
def test_nobody_teaches_where_nobody_is_named(networks: str, data: Path, tmp_path: Path) -> None:
    own = [f"data.root={data}", f"model.teacher.networks={networks}", "model=cnn"]
    train(compose("train", tmp_path / "run", *own))
    assert record.read(tmp_path / "run").teacher is None


@pytest.mark.parametrize("classes", [["mole", "wart"], ["akiec", "bcc"]])
def test_an_artifact_of_other_classes_is_no_teacher(tmp_path: Path, classes: list[str]) -> None:
    data = draw_folders(tmp_path / "own", classes)
    own = ["data=folder", f"data.root={data}", f"data.malignant=[{classes[1]}]", "model.name=own"]
    config = compose("train", tmp_path / "run", *own, f"model.teacher.networks=[{SHIPPED}]")
    with pytest.raises(RunError, match="mobilenet: a teacher answers the data set's classes"):
        train(config)


def test_an_efficientnet_lite_is_trained_to_teach(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    overrides = [
        "model=efficientnet_lite",
        "model.network.version=0",
        "model.weights.package=null",
        "model.preprocessing.size=64",
        f"data.root={data}",
    ]
    config = compose("train", run, *overrides)
    train(config)
    pictures = read_config_sets(config)
    networks = [[str(path) for path in checkpoint_files(run, ["best", "last"])]]
    teacher = load_teacher(networks, pictures, read_answers(config, pictures), "crop")
    assert teacher is not None
    assert teacher.origin.startswith("efficientnet_lite, mean of SHA-256 ")
    answered = teacher.answer(torch.rand(2, 3, 64, 64))
    torch.testing.assert_close(answered.sum(dim=1), torch.ones(2))

    places = [f"run={run}", f"artifacts={tmp_path / 'artifacts'}"]
    quick = ["quantise.enabled=false", "parity.pictures=10"]
    manifest = Classifier(export(compose("export", run, *overrides, *places, *quick))).manifest
    assert (manifest.name, manifest.architecture) == ("efficientnet_lite", "EfficientNet-Lite0")


def test_a_network_learns_from_a_smaller_ones_run(data: Path, taught: Path, tmp_path: Path) -> None:
    [best] = checkpoint_files(taught, "best")
    overrides = [f"model.teacher.networks=[{best}]", "model.preprocessing.size=96"]
    train(compose("train", tmp_path / "run", f"data.root={data}", *overrides))
    assert record.read(tmp_path / "run").teacher is not None
    trained = read_config(tmp_path / "run")
    network = load_network(trained, checkpoint_files(tmp_path / "run", "last"), 7)
    plain = tmp_path / "plain"
    train(compose("train", plain, f"data.root={data}", overrides[1]))
    alone = load_network(trained, checkpoint_files(plain, "last"), 7)
    # What the smaller one says of the same pictures moved the weights.
    name = "classifier.1.weight"
    assert not torch.equal(network.state_dict()[name], alone.state_dict()[name])


def test_a_run_goes_on_from_the_mean_of_finished_ones(
    data: Path, taught: Path, tmp_path: Path
) -> None:
    run, files = tmp_path / "run", checkpoint_files(taught, ["best", "last"])
    start = f"model.weights.checkpoints=[{','.join(map(str, files))}]"
    # Without a rate every step leaves the weights as they are.
    unmoved = "model.optimizer.lr=0"
    train(compose("train", run, f"data.root={data}", start, unmoved))
    assert record.read(run).weights.startswith("mean of SHA-256 ")
    [before] = made_by(run, [])["gone_on_from"]
    assert before["checkpoints"] == ["best", "last"]
    assert before["model"]["weights"] == record.read(taught).weights
    expected = load_network(read_config(taught), files, 7)
    found = load_network(read_config(run), checkpoint_files(run, "last"), 7)
    for wanted, parameter in zip(expected.parameters(), found.parameters(), strict=True):
        torch.testing.assert_close(parameter, wanted)


def test_a_share_of_the_start_is_mixed_in_again(data: Path, taught: Path, tmp_path: Path) -> None:
    run, [start] = tmp_path / "run", checkpoint_files(taught, "best")
    overrides = [f"data.root={data}", f"model.weights.checkpoints=[{start}]"]
    train(compose("train", run, *overrides))
    trained, last = read_config(run), checkpoint_files(run, "last")
    before, after, mixed = (
        load_network(trained, files, 7, share).state_dict()["classifier.1.weight"]
        for files, share in (([start], 0), (last, 0), (last, 0.25))
    )
    assert not torch.allclose(before, after)
    torch.testing.assert_close(mixed, 0.25 * before + 0.75 * after)
    with pytest.raises(RunError, match="went on from no other"):
        load_network(read_config(taught), [start], 7, 0.25)

    places = [f"run={run}", f"artifacts={tmp_path / 'artifacts'}", f"data.root={data}"]
    chosen = ["checkpoint=last", "start_share=0.25", "size=48", "quantise.enabled=false"]
    manifest = Classifier(export(compose("export", run, *places, *chosen))).manifest
    assert manifest.preprocessing.size == 48
    config = manifest.training.config
    assert (config["start_share"], config["model"]["preprocessing"]["size"]) == (0.25, 64)
    card = origin.section(manifest)
    assert "48 x 48 pixels, crop (trained at 64 x 64)" in card
    assert "| an earlier run; 25% of these weights is mixed in again |" in card


def test_a_network_of_another_shape_is_no_start(data: Path, tmp_path: Path) -> None:
    # The first linear layer of the cnn is as wide as the pictures make it.
    overrides = ["model=cnn", f"data.root={data}", "model.epochs=1"]
    train(compose("train", tmp_path / "small", *overrides))
    [last] = checkpoint_files(tmp_path / "small", "last")
    overrides += [f"model.weights.checkpoints=[{last}]", "model.preprocessing.size=96"]
    with pytest.raises(RunError, match="holds another network than cnn"):
        train(compose("train", tmp_path / "large", *overrides))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model=cnn", "tell other classes apart than cnn"),
        ("data.name=elsewhere", r"learned from HAM10000, and .* only from elsewhere"),
        ("seed=1", "learned from another split"),
    ],
)
def test_a_run_that_cannot_be_gone_on_from_is_refused(
    override: str, message: str, data: Path, taught: Path, tmp_path: Path
) -> None:
    [best] = checkpoint_files(taught, "best")
    start = f"model.weights.checkpoints=[{best}]"
    with pytest.raises(RunError, match=message):
        train(compose("train", tmp_path / "run", f"data.root={data}", override, start))


def test_several_checkpoints_give_the_mean_of_their_weights(taught: Path) -> None:
    trained = read_config(taught)

    def weights(*names: str) -> dict[str, Tensor]:
        return load_network(trained, checkpoint_files(taught, names), 7).state_dict()

    best, last, both = weights("best"), weights("last"), weights("best", "last")
    name = "classifier.1.weight"
    torch.testing.assert_close(both[name], (best[name] + last[name]) / 2)
    assert checkpoint_files(taught, "last") == [taught / "checkpoints" / "last.ckpt"]


def test_a_model_may_be_the_mean_of_several_runs(data: Path, taught: Path, tmp_path: Path) -> None:
    other = shutil.copytree(taught, tmp_path / "other")
    last = other / "checkpoints" / "last.ckpt"
    overrides = ["quantise.enabled=false", "parity.pictures=10", f"checkpoint=[best,{last}]"]
    places = [f"run={taught}", f"artifacts={tmp_path / 'artifacts'}", f"data.root={data}"]
    config = compose("export", taught, *overrides, *places)
    made_by = Classifier(export(config)).manifest.training.config
    assert made_by["checkpoints"] == ["best"]
    assert [each["checkpoints"] for each in made_by["averaged_with"]] == [["last"]]

    changed = (other / "config.yaml").read_text().replace("name: HAM10000", "name: elsewhere")
    (other / "config.yaml").write_text(changed)
    with pytest.raises(RunError, match=r"learned from elsewhere, and .* only from HAM10000"):
        export(config)


def test_a_checkpoint_that_is_not_there_or_of_another_network_is_named(taught: Path) -> None:
    trained = read_config(taught)
    with pytest.raises(RunError, match=r"first\.ckpt: cannot be read"):
        load_network(trained, checkpoint_files(taught, "first"), 7)
    with pytest.raises(RunError, match=r"best\.ckpt: holds another network"):
        load_network(trained, checkpoint_files(taught, "best"), 5)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"unfinished": True}, "no run has finished there"),
        ({"split_digest": "another"}, "learned from another split"),
        ({"target": "malignancy"}, "answers the data set's classes"),
        ({"weights": "other weights"}, "started from different weights"),
        ({"name": "elsewhere"}, "learned from elsewhere"),
    ],
)
def test_a_teacher_that_cannot_teach_is_refused(
    damage: dict[str, object], message: str, data: Path, taught: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(taught, tmp_path / "other")
    history = record.read(other)
    if "unfinished" in damage:
        (other / record.FILE_NAME).unlink()
    elif "target" in damage:
        file = other / "config.yaml"
        file.write_text(file.read_text().replace("target: classes", "target: malignancy"))
    elif "name" in damage:
        file = other / "config.yaml"
        file.write_text(file.read_text().replace("name: HAM10000", "name: elsewhere"))
    else:
        record.write(msgspec.structs.replace(history, **damage), other)
    config = compose("train", tmp_path / "run", f"data.root={data}")
    pictures = read_config_sets(config)
    checkpoints = [str(path) for run in (taught, other) for path in checkpoint_files(run, "best")]
    with pytest.raises(RunError, match=message):
        load_teacher([checkpoints], pictures, read_answers(config, pictures), "crop")
