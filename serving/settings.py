"""Settings of the server and the command line, from the environment."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from serving.cores import available_cores
from serving.pictures import Limits

PREFIX = "LESIONLENS_"
CHECKOUT = Path(__file__).resolve().parent.parent

AtLeastOne = Annotated[int, Meta(ge=1)]


class SettingsError(ValueError):
    """A setting that cannot be used; the message names the variable and says what it takes."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Each field is read from `LESIONLENS_` and its name in capitals; the default serves well."""

    artifacts: Path = msgspec.field(default_factory=lambda: default_artifacts(Path.cwd()))
    """The folder of models, each a folder with a model.json. Default: `artifacts` in the working
    directory, or the checkout's."""

    model: str = ""
    """The model that answers where a request names none. Default: mobilenet, or the first."""

    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 for every one, as in a container."""

    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    """The port to listen on. PORT, as Render and Railway set it, is honoured where this is not
    set."""

    workers: AtLeastOne = msgspec.field(default_factory=available_cores)
    """How many pictures are decoded and classified at a time. Default: the cores that this process
    may use, by its affinity and its cgroup's quota."""

    threads: AtLeastOne = 1
    """The threads that one run of a model uses. One is right wherever several pictures may come at
    once; more answer a single picture sooner."""

    max_bytes: AtLeastOne = Limits().max_bytes
    """The largest file that is accepted, in bytes."""

    max_pixels: AtLeastOne = Limits().max_pixels
    """The largest picture that is accepted, in pixels."""

    max_files: AtLeastOne = 16
    """The most pictures in one request."""

    max_request_bytes: AtLeastOne = 64_000_000
    """The largest body of a request, in bytes."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What the log tells: nothing of it names a picture, a file or an address."""

    @property
    def limits(self) -> Limits:
        """What is accepted of a single picture."""
        return Limits(max_bytes=self.max_bytes, max_pixels=self.max_pixels)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """The settings that `environment` holds; an empty variable counts as not set.

        Raises:
            SettingsError: where a variable has a value that cannot be used, or starts with
                LESIONLENS_ and is almost one of these.
        """
        values = {name: value for name, value in environment.items() if value}
        known = {PREFIX + name.upper(): name for name in cls.__struct_fields__}
        _check_spelling(values, known)
        given = {field: values[name] for name, field in known.items() if name in values}
        sources = {field: name for name, field in known.items()}
        if "port" not in given and "PORT" in values:
            given["port"], sources["port"] = values["PORT"], "PORT"
        for field, value in given.items():
            try:
                msgspec.convert({field: value}, cls, strict=False, dec_hook=_decode)
            except msgspec.ValidationError as error:
                reason = str(error).split(" - at ")[0]
                raise SettingsError(f"{sources[field]}={value!r}: {reason}.") from error
        return msgspec.convert(given, cls, strict=False, dec_hook=_decode)


def default_artifacts(working_directory: Path) -> Path:
    """`artifacts` in `working_directory` where it is there, else the checkout's beside the code."""
    here = working_directory / "artifacts"
    return here if here.is_dir() else CHECKOUT / "artifacts"


def _check_spelling(names: Iterable[str], known: Iterable[str]) -> None:
    """Refuses what is almost a setting; training has variables of the same prefix, too."""
    short = [name.removeprefix(PREFIX) for name in known]
    for name in sorted(names):
        rest = name.removeprefix(PREFIX)
        if name != rest and rest not in short:
            for meant in difflib.get_close_matches(rest, short, n=1, cutoff=0.75):
                raise SettingsError(f"{name} is no setting. Is {PREFIX}{meant} meant?")


def _decode(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(f"no way from {value!r} to {kind}")
