"""Models at work: pictures in, answers out, in worker threads that a server or command shares."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import msgspec

from serving.classifier import Classifier, load_all
from serving.manifest import ArtifactError, Manifest
from serving.pictures import PictureError, prepare
from serving.prediction import Prediction, predict
from serving.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

PREFERRED_MODEL = "mobilenet"


class Upload(msgspec.Struct, frozen=True):
    """A file to be answered as it was sent: its name there, and its bytes."""

    name: str
    data: bytes


class UnknownModelError(LookupError):
    """A name that no loaded model has; the message lists those that there are."""


class Inference:
    """The loaded models and the threads that they work in, as many as `settings.workers`."""

    def __init__(self, settings: Settings) -> None:
        """Loads every model, checks it against its hashes and runs it once.

        Raises:
            ArtifactError: where a model cannot be loaded, or the default one is not there.
        """
        self._models = load_all(settings.artifacts, settings.threads)
        self.default = settings.model or (
            PREFERRED_MODEL if PREFERRED_MODEL in self._models else next(iter(self._models))
        )
        if self.default not in self._models:
            raise ArtifactError(
                f"{settings.artifacts}: holds no model named {self.default}, which "
                f"LESIONLENS_MODEL asks for. There are: {', '.join(self._models)}."
            )
        for model in self._models.values():
            model.warm_up()
        self._limits = settings.limits
        self.workers = settings.workers
        self.pool = ThreadPoolExecutor(settings.workers, thread_name_prefix="inference")

    @property
    def manifests(self) -> list[Manifest]:
        """The models' manifests, the default model's first."""
        default = self._models[self.default].manifest
        return [default, *(m.manifest for m in self._models.values() if m.manifest is not default)]

    def model(self, name: str = "") -> Classifier:
        """The model named `name`, or the default one where it is empty.

        Raises:
            UnknownModelError: where there is none of that name.
        """
        try:
            return self._models[name or self.default]
        except KeyError as error:
            raise UnknownModelError(
                f"There is no model named {name}. There are: {', '.join(self._models)}."
            ) from error

    def answer(self, model: Classifier, upload: Upload, *, heatmaps: bool) -> Prediction:
        """Decodes and classifies one picture, in the calling thread.

        Raises:
            PictureError: where it is no usable picture.
        """
        prepared = prepare(upload.data, model.manifest.preprocessing, self._limits)
        return predict(model, [upload.name], [prepared], heatmaps=heatmaps)[0]

    async def answer_all(
        self, model: Classifier, uploads: Sequence[Upload], *, heatmaps: bool
    ) -> list[Prediction]:
        """Answers several pictures at a time, in the order of `uploads`.

        Raises:
            PictureError: where one is no usable picture; the message begins with its name, and the
                others are given up.
        """

        def named(upload: Upload) -> Prediction:
            try:
                return self.answer(model, upload, heatmaps=heatmaps)
            except PictureError as error:
                raise PictureError(error.reason, f"{upload.name}: {error}") from error

        futures = [self._submit(named, upload) for upload in uploads]
        try:
            return await asyncio.gather(*futures)
        finally:
            for future in futures:
                future.cancel()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs `function` in one of the worker threads."""
        return await self._submit(function, *args, **kwargs)

    def close(self) -> None:
        """Ends the worker threads once they have done what they were given."""
        self.pool.shutdown()

    def _submit(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        return asyncio.wrap_future(self.pool.submit(function, *args, **kwargs))
