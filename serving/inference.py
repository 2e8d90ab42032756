"""Models at work: pictures in, answers out, in worker threads that a server or command shares."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import msgspec

from serving import visits
from serving.classifier import Classifier, load_all
from serving.manifest import ArtifactError, Manifest
from serving.memory import Room, return_what_is_free
from serving.pictures import PictureError, prepare
from serving.prediction import Prediction, infer, read
from serving.settings import Settings
from serving.stages import Stages
from serving.workers import Workers

PREFERRED_MODEL = "mobilenet"


class Upload(msgspec.Struct, frozen=True):
    """A file to be answered as it was sent: its name there, and its bytes."""

    name: str
    data: bytes


class UnknownModelError(LookupError):
    """A name that no loaded model has; the message lists those that there are."""


class Loaded(msgspec.Struct, frozen=True):
    """The models by their names, and which answers where none is named."""

    models: dict[str, Classifier]
    default: str


class Inference:
    """The loaded models, the threads that they work in, and the memory for decoding pictures."""

    def __init__(self, settings: Settings) -> None:
        """Loads every model, checks it against its hashes and runs it once.

        Raises:
            ArtifactError: where a model cannot be loaded, or the default one is not there.
        """
        self._settings = settings
        self._loaded = Loaded({}, "")
        self.load()
        self.workers = Workers(settings.workers, settings.queue)
        self.room = Room(settings.decoded_bytes)

    def load(self) -> None:
        """Loads what changed in the folder of models; requests keep the models that they have.

        Raises:
            ArtifactError: as at the start; everything then stays as it was.
        """
        settings = self._settings
        models = load_all(settings.artifacts, settings.threads, self._loaded.models.values())
        default = settings.model or (
            PREFERRED_MODEL if PREFERRED_MODEL in models else next(iter(models))
        )
        if default not in models:
            raise ArtifactError(
                f"{settings.artifacts}: holds no model named {default}, which "
                f"LESIONLENS_MODEL asks for. There are: {', '.join(models)}."
            )
        for model in models.values():
            model.warm_up()
        # The graphs as they were read, and what onnxruntime made of them on its way.
        return_what_is_free()
        self._loaded = Loaded(models, default)

    @property
    def default(self) -> str:
        """The name of the model that answers where none is named."""
        return self._loaded.default

    @property
    def manifests(self) -> list[Manifest]:
        """The models' manifests, the default model's first."""
        loaded = self._loaded
        default = loaded.models[loaded.default].manifest
        others = (m.manifest for m in loaded.models.values() if m.manifest is not default)
        return [default, *others]

    @property
    def bytes(self) -> int:
        """The size of all models' graphs, as who runs them elsewhere fetches them."""
        return sum(model.bytes for model in self._loaded.models.values())

    def model(self, name: str = "") -> Classifier:
        """The model named `name`, or the default one where it is empty.

        Raises:
            UnknownModelError: where there is none of that name.
        """
        loaded = self._loaded
        try:
            return loaded.models[name or loaded.default]
        except KeyError as error:
            raise UnknownModelError(
                f"There is no model named {name}. There are: {', '.join(loaded.models)}."
            ) from error

    def answer(
        self, model: Classifier, upload: Upload, *, heatmaps: bool, stages: Stages | None = None
    ) -> Prediction:
        """Decodes and classifies one picture, in the calling thread; times it into `stages`.

        Raises:
            PictureError: where it is no usable picture.
        """
        stages = stages or Stages()
        limits = self._settings.limits
        prepared = [prepare(upload.data, model.manifest.preprocessing, limits, self.room)]
        stages.end("decode")
        outputs = infer(model, prepared)
        stages.end("infer")
        [answer] = read(model.manifest, [upload.name], prepared, outputs, heatmaps=heatmaps)
        stages.end("render")
        return answer

    def answer_all(
        self, model: Classifier, uploads: Sequence[Upload], *, heatmaps: bool
    ) -> asyncio.Future[list[Prediction]]:
        """Begins to answer several pictures at a time; the answers are in the order of `uploads`.

        Where one is no usable picture, the future fails with a PictureError whose message begins
        with its name, and the others are given up.

        Raises:
            QueueFullError: where too many wait.
        """

        def named(upload: Upload, stages: Stages) -> Prediction:
            stages.end("wait")
            try:
                return self.answer(model, upload, heatmaps=heatmaps, stages=stages)
            except PictureError as error:
                raise PictureError(error.reason, f"{upload.name}: {error}") from error

        self.workers.check(len(uploads))
        timed = [Stages() for _ in uploads]
        visit = visits.current()

        def note(answers: asyncio.Future[list[Prediction]]) -> None:
            if not answers.cancelled() and answers.exception() is None:
                visit.note(model.manifest, answers.result(), timed)

        answers = self.workers.gather(
            partial(named, upload, stages) for upload, stages in zip(uploads, timed, strict=True)
        )
        answers.add_done_callback(note)
        return answers

    def close(self) -> None:
        """Ends the worker threads once each has done what it is busy with."""
        self.workers.close()
