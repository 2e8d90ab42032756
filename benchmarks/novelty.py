"""Which score knows best what is no lesion: several, on what one trained network sees.

`python -m benchmarks.novelty model=mobilenet` takes what `python -m training.export` takes. Each
score is fitted to training pictures and refuses what lies above the threshold that accepts
`targets.accepted` of the validation split. It prints a table of what is refused and writes it
beside this file. Photographs and other clinics are read where conf/evaluate.yaml finds them; the
test split is not looked at.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import hydra
import msgspec
import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from tqdm import tqdm

from serving.pictures import prepare
from training import strangers
from training.calibration import fit_novelty_threshold
from training.cameras import compressed, enlarged
from training.candidate import open_candidate
from training.data.sets import read_travel
from training.finished import RunError
from training.inputs import as_input
from training.labels import DataError
from training.networks import CNN, MobileNetV2
from training.networks.description import Description, means, means_and_deviations
from training.novelty import Floats, Novelty, NoveltySettings, bare_skin
from training.novelty import shown as shown_to_novelty
from training.refusals import photographs
from training.train import plain, read_preprocessing

PICTURES = 2048
"""Training pictures that are fitted to."""

DRAWINGS = 100
"""Strangers of each kind."""

BATCH = 64
RESULT = Path(__file__).with_suffix(".md")
CONF = Path(__file__).parents[1] / "conf"

CHANGES: Mapping[str, Callable[[bytes], bytes]] = {
    "x0.5": lambda data: enlarged(data, 0.5, 92),
    "x2": lambda data: enlarged(data, 2, 92),
    "x4": lambda data: enlarged(data, 4, 92),
    "JPEG 30": lambda data: compressed(data, 30),
    "JPEG 75": lambda data: compressed(data, 75),
}
"""What is done to every fourth picture of the validation split."""


class Seen(NamedTuple):
    """What a network sees of N pictures: `features` `[N, D]` by name, and its logits `[N, C]`.

    A feature's name is that of its block; with a plus it has deviations beside means.
    """

    features: dict[str, Tensor]
    logits: Tensor


class Learned(NamedTuple):
    """What is fitted to: training pictures as they are, augmented, and their corners.

    `shown` are those that the exported score is fitted to, some copies of them, and their corners.
    """

    plain: Seen
    augmented: Seen
    bare: Seen
    shown: Seen
    shown_bare: Seen


class Compared(NamedTuple):
    """By score the share that it refused of each kind of pictures.

    `counts` says how many of each kind there were, `trained_on` what the network learned from.
    """

    trained_on: list[str]
    counts: dict[str, int]
    shares: dict[str, list[float]]


Score = Callable[[Seen], Floats]
Method = Callable[[Learned], Score]


def methods(network: nn.Module, settings: NoveltySettings) -> dict[str, Method]:
    """The scores that are compared, by what the table calls them."""

    def distance(
        *layers: str, to: str = "plain", skin: str | None = None, largest: bool = False
    ) -> Method:
        def fit(learned: Learned) -> Score:
            training: Seen = getattr(learned, to)
            bare = learned.shown_bare if to == "shown" else learned.bare
            groups = [[name] for name in layers] if largest else [[*layers]]
            fitted = [
                Novelty(_picked(training, each, skin), _picked(bare, each, skin), settings)
                for each in groups
            ]

            def score(seen: Seen) -> Floats:
                found = [f(_picked(seen, g, skin)) for f, g in zip(fitted, groups, strict=True)]
                return torch.stack(found).amax(dim=0).double().numpy()

            return score

        return fit

    shared: dict[str, Method] = {
        "largest logit": lambda _: lambda seen: -seen.logits.amax(dim=1).double().numpy(),
        "energy": lambda _: lambda seen: -seen.logits.logsumexp(dim=1).double().numpy(),
    }
    if isinstance(network, MobileNetV2):
        return {
            **shared,
            "nearest training picture, 18": _nearest("18"),
            "variances of 6 and 18 as they are, 8 directions": _variances("6", "18"),
            "distance in 18": distance("18"),
            "distance in 17": distance("17"),
            "distance in 10": distance("10"),
            "distance in 6": distance("6"),
            "distances in 6 and 17": distance("6", "17"),
            "distances in 10 and 18": distance("10", "18"),
            "distances in 10, 17 and 18": distance("10", "17", "18"),
            "distances in 6, 10 and 17": distance("6", "10", "17"),
            "distances in 10 and 17": distance("10", "17"),
            "the larger of 10 and 17": distance("10", "17", largest=True),
            "10 and 17, fitted to augmented pictures": distance("10", "17", to="augmented"),
            "10 and 17, augmented; bare skin": distance("10", "17", to="augmented", skin="17"),
            "10 with deviations, and 17; bare skin": distance("10+", "17", skin="17"),
            "6 and 17; bare skin": distance("6", "17", skin="17"),
            "10, 17 and 18; bare skin": distance("10", "17", "18", skin="17"),
            "10 and 17; bare skin": distance("10", "17", skin="17"),
            "**10 and 17, and copies; bare skin**": distance("10", "17", to="shown", skin="17"),
        }
    return {
        **shared,
        "nearest training picture, 3": _nearest("3"),
        "variances of 2 and 3 as they are, 8 directions": _variances("2", "3"),
        "distance in 3": distance("3"),
        "distance in 3 with deviations": distance("3+"),
        "distances in 2 and 3": distance("2", "3"),
        "distances in 2 and 3 with deviations": distance("2+", "3+"),
        "the same, fitted to augmented pictures": distance("2+", "3+", to="augmented"),
        "3 with deviations; bare skin": distance("3+", skin="3+"),
        "augmented, 2 and 3 with deviations; bare skin": distance(
            "2+", "3+", to="augmented", skin="3+"
        ),
        "2 and 3 with deviations; bare skin": distance("2+", "3+", skin="3+"),
        "**2 and 3 with deviations, and copies; bare skin**": distance(
            "2+", "3+", to="shown", skin="3+"
        ),
    }


def _picked(seen: Seen, layers: Sequence[str], skin: str | None) -> Description:
    """A description by these features; where `skin` is None, nothing is bare skin."""
    nothing = torch.zeros((len(seen.logits), 2))
    told = nothing if skin is None else seen.features[skin]
    return Description([seen.features[name] for name in layers], told)


def _nearest(layer: str) -> Method:
    """Cosine distance to the nearest training picture: Sun et al., ICML 2022, with k = 1."""

    def fit(learned: Learned) -> Score:
        known = nn.functional.normalize(learned.plain.features[layer])

        def score(seen: Seen) -> Floats:
            found = nn.functional.normalize(seen.features[layer])
            return (1 - (found @ known.T).amax(dim=1)).double().numpy()

        return score

    return fit


def _variances(*layers: str, directions: int = 8) -> Method:
    """The sum of Mahalanobis distances, each over its width; nothing standardised or shrunk."""

    def fit(learned: Learned) -> Score:
        parts = []
        for layer in layers:
            features = learned.plain.features[layer].double().numpy()
            centred = features - features.mean(axis=0)
            variances, axes = np.linalg.eigh(centred.T @ centred / len(centred))
            variances[:-directions] = variances[:-directions].mean()
            parts.append((layer, features.mean(axis=0), axes / np.sqrt(variances)))

        def score(seen: Seen) -> Floats:
            found = [
                (((seen.features[layer].double().numpy() - mean) @ axes) ** 2).mean(axis=1)
                for layer, mean, axes in parts
            ]
            total: Floats = np.sum(found, axis=0)
            return total

        return score

    return fit


def look(network: nn.Module, batches: Iterable[Tensor]) -> Seen:
    """What `network` sees of pictures in batches `[N, 3, S, S] float32` in [0, 1]."""
    maps: dict[str, Tensor] = {}
    blocks = {"6": 6, "10": 10, "17": 17, "18": 18}
    if isinstance(network, MobileNetV2):
        watched = {name: network.features[index] for name, index in blocks.items()}
    else:
        convolutions = network.convolutions
        assert isinstance(convolutions, nn.ModuleList)
        watched = {"2": convolutions[1], "3": convolutions[2]}

    def keeper(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        return lambda _module, _given, made: maps.update({name: made})

    hooks = [module.register_forward_hook(keeper(name)) for name, module in watched.items()]
    parts: list[Seen] = []
    with torch.no_grad():
        for batch in batches:
            logits = network(batch)
            pooled = {name: means(each) for name, each in maps.items()}
            pooled |= {f"{name}+": means_and_deviations(each) for name, each in maps.items()}
            parts.append(Seen(pooled, logits))
    for hook in hooks:
        hook.remove()
    names = parts[0].features
    features = {name: torch.cat([part.features[name] for part in parts]) for name in names}
    return Seen(features, torch.cat([part.logits for part in parts]))


def compare(config: DictConfig) -> Compared:
    """The shares that each method refuses, and of how many pictures of which kinds.

    Raises:
        RunError: where there is no finished run, or it is of another network.
        DataError: where pictures cannot be read.
    """
    candidate = open_candidate(config)
    trained, pictures, network = candidate.trained, candidate.pictures, candidate.network
    if not isinstance(network, MobileNetV2 | CNN):
        raise RunError(
            f"{candidate.run}: is a {type(network).__name__}; the scores that are compared are of "
            "layers of the mobilenet and of the cnn. Name a run of theirs (model=, run=)."
        )
    training = candidate.cached.part("train")
    settings = msgspec.convert(plain(config.novelty), NoveltySettings)
    augmentation = hydra.utils.instantiate(trained.augmentation)
    torch.manual_seed(config.seed)
    shown = [*training.drawn(PICTURES, BATCH, config.seed, "training pictures")]
    preprocessing = read_preprocessing(trained)
    listed = candidate.cached.listed("train")
    fewer = msgspec.structs.replace(settings, pictures=PICTURES, copies=PICTURES // 2)
    to_novelty = [*shown_to_novelty(listed, preprocessing, fewer, config.seed)]

    def corners(batches: Sequence[Tensor]) -> Seen:
        numbered = enumerate(tqdm(batches, "corners"))
        return look(network, (as_input(bare_skin(each, settings, n)) for n, each in numbered))

    learned = Learned(
        look(network, tqdm([as_input(each) for each in shown], "as they are")),
        look(network, (augmentation(as_input(each)) for each in tqdm(shown, "augmented"))),
        corners(shown),
        look(network, (as_input(each) for each in to_novelty)),
        corners(to_novelty),
    )

    def seen(title: str, files: Sequence[Callable[[], bytes]]) -> Seen:
        def batches() -> Iterator[Tensor]:
            for start in tqdm(range(0, len(files), BATCH), title, unit="batch"):
                read = [prepare(f(), preprocessing).pixels for f in files[start : start + BATCH]]
                yield as_input(torch.from_numpy(np.stack(read)))

        return look(network, batches())

    validation = [each.path for each in pictures.parts["validation"]]
    accepted = seen("validation", [path.read_bytes for path in validation])
    others: dict[str, Seen] = {}
    evaluate = OmegaConf.load(CONF / "evaluate.yaml")
    travel = OmegaConf.load(CONF / "travel" / "default.yaml")
    sets = read_travel(plain(travel), [c.id for c in pictures.classes], pictures)
    for described, listed in sets:
        others[described.name] = seen(described.name, [each.path.read_bytes for each in listed])
    for name, change in CHANGES.items():
        changed = [partial(_changed, path, change) for path in validation[::4]]
        others[name] = seen(name, changed)
    if evaluate.refusals.photographs is not None:
        found = photographs(Path(evaluate.refusals.photographs).expanduser())
        others["photographs"] = seen("photographs", [path.read_bytes for path in found])
    for kind in strangers.KINDS:
        drawn = [partial(strangers.draw, kind, number) for number in range(DRAWINGS)]
        others[kind] = seen(kind, drawn)
    shares = {}
    for name, method in methods(network, settings).items():
        score = method(learned)
        threshold = fit_novelty_threshold(
            score(accepted).astype(np.float32), config.targets.accepted
        )
        shares[name] = [
            float(np.mean(score(each).astype(np.float32) > threshold)) for each in others.values()
        ]
    counts = {name: len(each.logits) for name, each in others.items()}
    return Compared([each.name for each in pictures.sets], counts, shares)


def _changed(path: Path, change: Callable[[bytes], bytes]) -> bytes:
    return change(path.read_bytes())


def table(config: DictConfig, compared: Compared) -> str:
    """The result as Markdown, in percent."""
    counts = compared.counts
    rows = [
        f"| {name} | " + " | ".join(f"{100 * share:.0f}" for share in each) + " |"
        for name, each in compared.shares.items()
    ]
    lesions = [name for name in counts if name not in (*strangers.KINDS, "photographs")]
    lines = [
        f"# What is no lesion: {config.model.name}",
        "",
        f"Percent refused where {100 * config.targets.accepted:g} % of the validation split are "
        "accepted: as little as can be of",
        f"{', '.join(lesions)}; as much as can be of all else.",
        f"The network was trained on {' and '.join(compared.trained_on)}, the scores fitted to "
        f"{PICTURES} of those pictures.",
        "Numbers are blocks of the network; *bare skin* is the discriminant of corners beside the "
        "distance.",
        "The last line is the score that is exported, there fitted to more. Made by "
        f"`python -m benchmarks.novelty model={config.model.name} checkpoint={config.checkpoint} "
        f"start_share={config.start_share}`.",
        "",
        "| score | " + " | ".join(counts) + " |",
        "|---|" + "---|" * len(counts),
        "| *pictures* | " + " | ".join(f"*{count}*" for count in counts.values()) + " |",
        *rows,
        "",
    ]
    return "\n".join(lines)


@hydra.main(version_base="1.3", config_path="../conf", config_name="export")
def main(config: DictConfig) -> None:
    """Compares, prints and writes the table."""
    try:
        text = table(config, compare(config))
    except (DataError, RunError) as error:
        sys.exit(f"error: {error}")
    print(text)
    RESULT.with_stem(f"{RESULT.stem}_{config.model.name}").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
