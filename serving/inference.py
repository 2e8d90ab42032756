"""Models at work: pictures in, answers out, in worker threads that a server or command shares."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import msgspec

from serving import visits
from serving.batches import Batches
from serving.classifier import Classifier, load_all
from serving.manifest import ArtifactError, Manifest
from serving.memory import Room, return_what_is_free
from serving.pictures import PictureError, Prepared, prepare
from serving.prediction import Prediction, infer, read
from serving.quality import Measures, measure
from serving.settings import Settings
from serving.stages import StageName, Stages
from serving.workers import Workers

PREFERRED_MODEL = "mobilenet"

_TOGETHER = 2
"""pictures that go through a model at one go, where more wait than there are workers free for them:
what is done around the model is then done once for both"""

_SMALL = 512 << 10
"""bytes of a file that goes along with another: decoding a larger one is nearly all of its work,
and would keep the other waiting"""


class Upload(msgspec.Struct, frozen=True):
    """A file to be answered as it was sent: its name there, and its bytes."""

    name: str
    data: bytes


class Asked(msgspec.Struct, frozen=True, eq=False):
    """A picture that is to be answered, by which model and how; times it into `stages`."""

    model: Classifier
    upload: Upload
    heatmaps: bool
    stages: Stages


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
        self._batches = Batches(self.workers, self._answer_named, _go_together, _TOGETHER)

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
        [answer] = self.answer_each([Asked(model, upload, heatmaps, stages or Stages())])
        if isinstance(answer, PictureError):
            raise answer
        return answer

    def answer_each(self, asked: Sequence[Asked]) -> list[Prediction | PictureError]:
        """Decodes pictures and classifies them in one batch, in the calling thread.

        All are for the model and with the heatmaps of the first. What is no usable picture is
        answered with what is wrong with it.
        """
        model, heatmaps = asked[0].model, asked[0].heatmaps
        _end("wait", asked)
        decoded = [self._decode(each) for each in asked]
        _end("decode", asked)
        usable = [
            (each, *found)
            for each, found in zip(asked, decoded, strict=True)
            if not isinstance(found, PictureError)
        ]
        answers: Iterator[Prediction] = iter(())
        if usable:
            going, names, prepared, measures = zip(*usable, strict=True)
            for each in going:
                each.stages.together = len(going)
            outputs = infer(model, prepared)
            _end("infer", going)
            answers = iter(
                read(model.manifest, names, prepared, measures, outputs, heatmaps=heatmaps)
            )
            _end("render", going)
        return [found if isinstance(found, PictureError) else next(answers) for found in decoded]

    def _decode(self, asked: Asked) -> tuple[str, Prepared, Measures] | PictureError:
        preprocessing, limits = asked.model.manifest.preprocessing, self._settings.limits
        try:
            prepared = prepare(asked.upload.data, preprocessing, limits, self.room)
        except PictureError as error:
            return error
        return asked.upload.name, prepared, measure(prepared)

    def _answer_named(self, asked: Sequence[Asked]) -> list[Prediction | PictureError]:
        """As `answer_each`; what is wrong begins with the name of the file."""
        return [
            PictureError(found.reason, f"{each.upload.name}: {found}")
            if isinstance(found, PictureError)
            else found
            for each, found in zip(asked, self.answer_each(asked), strict=True)
        ]

    def answer_all(
        self, model: Classifier, uploads: Sequence[Upload], *, heatmaps: bool
    ) -> asyncio.Future[list[Prediction]]:
        """Begins to answer several pictures at a time; the answers are in the order of `uploads`.

        Where one is no usable picture, the future fails with a PictureError whose message begins
        with its name, and the others are given up.

        Raises:
            QueueFullError: where too many wait.
        """
        self.workers.check(len(uploads))
        asked = [Asked(model, upload, heatmaps, Stages()) for upload in uploads]
        visit = visits.current()

        def note(answers: asyncio.Future[list[Prediction]]) -> None:
            stages = [each.stages for each in asked]
            if answers.cancelled():
                return
            if answers.exception() is None:
                visit.note(model.manifest, answers.result(), stages)
            else:
                visit.note_stages(stages)

        answers = self._batches.gather(asked)
        answers.add_done_callback(note)
        return answers

    def close(self) -> None:
        """Ends the worker threads once each has done what it is busy with."""
        self.workers.close()


def _go_together(first: Asked, second: Asked) -> bool:
    """Whether two pictures may be answered in one batch."""
    is_small = max(len(first.upload.data), len(second.upload.data)) <= _SMALL
    return is_small and first.model is second.model and first.heatmaps == second.heatmaps


def _end(name: StageName, asked: Sequence[Asked]) -> None:
    """Ends a stage that all of `asked` were in together."""
    for each in asked:
        each.stages.end(name)
