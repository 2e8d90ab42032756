"""Settings of the server and the command line, from the environment."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from serving.cores import available_cores
from serving.memory import available_memory
from serving.networks import NAMED, is_network
from serving.pictures import Limits
from serving.platforms import defaults

PREFIX = "LESIONLENS_"
OTLP_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""OpenTelemetry's own variable, which a platform may set for all that it runs."""

CHECKOUT = Path(__file__).resolve().parent.parent

_LARGE_PICTURE = 4_000_000
"""bytes of a file, as a phone takes it"""

_HOST = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]", re.ASCII | re.IGNORECASE)
"""a name or an address as `Host` tells it, less the port"""

_ORIGIN = re.compile(
    r"(?!https://.*:443$|http://.*:80$)[a-z][a-z0-9+.-]*://[a-z0-9*.:\[\]_-]+|null|\*"
)
"""what a browser sends as `Origin`; Litestar takes `*` for any letters"""

AtLeastOne = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
Names = tuple[str, ...]
"""In the environment: separated by commas."""

ClientHeader = Literal["x-forwarded-for", "x-real-ip", "cf-connecting-ip"]


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

    workers: AtLeastOne = msgspec.field(default_factory=lambda: _workers(available_cores()))
    """How many pictures are decoded and classified at a time. Default: one more than the cores that
    this process may use, by its affinity and its cgroup's quota; one where that is one core."""

    threads: AtLeastOne = 1
    """The threads that one run of a model uses. One is right wherever several pictures may come at
    once; more answer a single picture sooner."""

    queue: AtLeastOne = 64
    """The most pictures that wait for a worker; beyond it a request is turned away at once."""

    deadline_seconds: Seconds = 30
    """The longest time from a request's last byte to its answer."""

    drain_seconds: Seconds = 25
    """The longest time that what was taken gets to finish after SIGTERM."""

    memory_bytes: AtLeastOne = msgspec.field(default_factory=lambda: available_memory() // 2)
    """What pictures may take of the memory while they are sent, wait and are decoded. Default: half
    of what this process may use, by the machine and its cgroup's limit."""

    max_connections: AtLeastOne = 512
    """The most connections at a time. The next 64 get 503 for an answer, those beyond are ended."""

    max_bytes: AtLeastOne = Limits().max_bytes
    """The largest file that is accepted, in bytes."""

    max_pixels: AtLeastOne = Limits().max_pixels
    """The largest picture that is accepted, in pixels."""

    max_files: AtLeastOne = 16
    """The most pictures in one request."""

    max_parts: AtLeastOne = 16
    """The most parts of one request beside its pictures."""

    max_request_bytes: AtLeastOne = 64_000_000
    """The largest body of a request, in bytes; never more than a quarter of `memory_bytes`."""

    max_header_bytes: Annotated[int, Meta(ge=1024)] = 16_384
    """The largest head of a request or of a part of it, in bytes."""

    idle_seconds: AtLeastOne = 5
    """The longest silence on a connection between an answer and the next request. Default: 5, on
    Render and Railway 120, longer than their proxies keep connections."""

    header_seconds: Seconds = 10
    """The longest time for sending a request's head."""

    body_seconds: Seconds = 60
    """The longest time for sending a request's body, and for taking the answer once it is ready; of
    a large file, for each piece, and half an hour for all."""

    hosts: Names = ()
    """The names that this server answers to, `*.example.org` for all below one. Default:
    any."""

    proxies: Names = ()
    """Whose word on who asks, and how, is believed: addresses, networks, `private` for all that are
    in no public network, `cloudflare` for its proxies. Default: nobody's; on Render and Railway the
    platform's."""

    client_header: ClientHeader = "x-forwarded-for"
    """The header in which the proxies say who asks. Default on Railway: x-real-ip."""

    rate_limit: Annotated[int, Meta(ge=0)] = 0
    """The requests with pictures that one client may send in a minute, to be answered or to be
    shown; 0 for any number. Default: 0, on Render and Railway 600."""

    origins: Names = ()
    """The other sites whose scripts may use the API (CORS), as https://example.org. Default:
    none."""

    hsts_seconds: Annotated[int, Meta(ge=0)] = 31_536_000
    """How long a browser that came by HTTPS shall come by nothing else; 0 for not saying."""

    metrics_token: str = ""
    """With it, /metrics answers whoever sends it as bearer token. Default: there is no /metrics."""

    traces_endpoint: str = ""
    """Where traces are sent to by OpenTelemetry's protocol over HTTP, as http://collector:4318.
    OTEL_EXPORTER_OTLP_ENDPOINT is honoured where this is not set, and passed over with a warning
    where the packages for traces are not installed. Default: nowhere."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What the log tells: nothing of it names a picture, a file or an address."""

    log_format: Literal["auto", "text", "json"] = "auto"
    """Lines to read, or an object a line; auto: to read where the log goes to a terminal."""

    @property
    def limits(self) -> Limits:
        """What is accepted of a single picture."""
        return Limits(max_bytes=self.max_bytes, max_pixels=self.max_pixels)

    @property
    def sent_bytes(self) -> int:
        """The memory for what is being sent or waits; the rest is for decoding."""
        return self.memory_bytes // 4

    @property
    def unsent_bytes(self) -> int:
        """The memory for answers that are not taken yet, beside `memory_bytes`."""
        return self.memory_bytes // 8

    @property
    def unread_bytes(self) -> int:
        """The memory for what lies on connections until it is asked for, beside `memory_bytes`."""
        return self.memory_bytes // 8

    @property
    def ahead_bytes(self) -> int:
        """The memory for what is read before a worker is free for it; more would buy no speed."""
        return min(self.sent_bytes, _LARGE_PICTURE * (self.workers + 2))

    @property
    def decoded_bytes(self) -> int:
        """The memory for pictures that are being decoded."""
        return self.memory_bytes - self.sent_bytes

    @property
    def request_bytes(self) -> int:
        """The largest body of a request that there is ever room for."""
        return min(self.max_request_bytes, self.sent_bytes)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """The settings that `environment` holds; an empty variable counts as not set.

        Raises:
            SettingsError: where a variable has a value that cannot be used, or starts with
                LESIONLENS_ and is almost one of these.
        """
        values = {name: value for name, value in environment.items() if value}
        # Kubernetes tells every pod where a service `lesionlens` is, in a variable of this name.
        if values.get(PREFIX + "PORT", "").startswith("tcp://"):
            del values[PREFIX + "PORT"]
        known = {PREFIX + name.upper(): name for name in cls.__struct_fields__}
        _check_spelling(values, known)
        given: dict[str, object] = {f: values[name] for name, f in known.items() if name in values}
        sources = {field: name for name, field in known.items()}
        for field, other in (("port", "PORT"), ("traces_endpoint", OTLP_ENDPOINT)):
            if field not in given and other in values:
                given[field], sources[field] = values[other], other
        for known_field in msgspec.structs.fields(cls):
            if known_field.type == Names and known_field.name in given:
                given[known_field.name] = _split(str(given[known_field.name]))
        for name, value in given.items():
            try:
                msgspec.convert({name: value}, cls, strict=False, dec_hook=_decode)
            except msgspec.ValidationError as error:
                reason = str(error).split(" - at ")[0]
                raise SettingsError(
                    f"{sources[name]}={values[sources[name]]!r}: {reason}."
                ) from error
        settings = msgspec.convert(defaults(values) | given, cls, strict=False, dec_hook=_decode)
        _check_names(settings)
        return settings


def default_artifacts(working_directory: Path) -> Path:
    """`artifacts` in `working_directory` where it is there, else the checkout's beside the code."""
    here = working_directory / "artifacts"
    return here if here.is_dir() else CHECKOUT / "artifacts"


def _check_spelling(names: Iterable[str], known: Iterable[str]) -> None:
    """Refuses what is almost a setting; platforms set others, as LESIONLENS_SERVICE_HOST."""
    short = [name.removeprefix(PREFIX) for name in known]
    for name in sorted(names):
        rest = name.removeprefix(PREFIX)
        if name != rest and rest not in short:
            for meant in difflib.get_close_matches(rest, short, n=1, cutoff=0.75):
                raise SettingsError(f"{name} is no setting. Is {PREFIX}{meant} meant?")


def _check_names(settings: Settings) -> None:
    """Refuses what nothing that is sent can ever be."""
    for host in settings.hosts:
        if not _HOST.fullmatch(host):
            raise SettingsError(
                f"{PREFIX}HOSTS: {host} is no name that requests are for. Write it without scheme, "
                "port or path, as lesions.example, or *.lesions.example for all below one."
            )
    for origin in settings.origins:
        if not _ORIGIN.fullmatch(origin):
            raise SettingsError(
                f"{PREFIX}ORIGINS: {origin} is no origin as browsers send it. Write scheme and "
                "name in lower case and no path, as https://clinic.example; a port only where it "
                "is not the scheme's own."
            )
    for proxy in settings.proxies:
        if proxy not in NAMED and not is_network(proxy):
            raise SettingsError(
                f"{PREFIX}PROXIES: {proxy} is no address or network (as 10.0.0.0/8), nor one of "
                f"{', '.join(NAMED)}."
            )


def _split(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())


def _decode(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(f"no way from {value!r} to {kind}")


def _workers(cores: int) -> int:
    """One more than `cores`: a worker often waits for the interpreter, which only one may use."""
    return cores + 1 if cores > 1 else 1
