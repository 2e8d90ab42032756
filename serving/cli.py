"""The command line: `lesionlens serve`, `predict`, `models`, and what other packages add."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import click
import msgspec
from click.core import ParameterSource

from serving import hangup

if TYPE_CHECKING:
    from serving.settings import Settings

PLUGINS = "lesionlens.commands"


class PluginCommand(click.Command):
    """A command of another package, which is imported only when it is called."""

    def __init__(self, entry_point: EntryPoint) -> None:
        super().__init__(
            entry_point.name,
            help=f"From {entry_point.module}; lesionlens {entry_point.name} --help tells more.",
        )
        self._entry_point = entry_point

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Hands everything over to the real command.

        Raises:
            ClickException: where packages that it needs are not installed.
        """
        try:
            command = self._entry_point.load()
        except ImportError as error:
            raise click.ClickException(
                f"`lesionlens {self.name}` needs packages that only training uses, and one is not "
                f"installed ({error}). Install them, in a checkout: "
                ".venv/bin/pip install -c constraints.txt -e '.[train]'"
            ) from error
        assert isinstance(command, click.Command)
        return command.make_context(info_name, args, parent, **extra)


class Commands(click.Group):
    """Our commands, and those of other packages."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        return sorted({*super().list_commands(ctx), *_plugins()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; ours go first."""
        if (command := super().get_command(ctx, cmd_name)) is not None:
            return command
        entry_point = _plugins().get(cmd_name)
        return PluginCommand(entry_point) if entry_point else None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lesionlens", message="%(package)s %(version)s")
def main() -> None:
    """Dermoscopic pictures to honest answers. For teaching and demonstration, never diagnosis."""


@main.command()
@click.option("--host", help="Address to listen on; default: LESIONLENS_HOST or 127.0.0.1.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port to listen on; default: LESIONLENS_PORT, PORT or 8000.",
)
def serve(host: str | None, port: int | None) -> None:
    """Serve the page and the API."""
    hangup.hold()
    if os.getpid() == 1:
        # The first process of a container gets no signal that it has no handler for.
        signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
    # numpy would start one for each core of the machine, which no picture needs.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with _plain_errors():
        from serving import logs, server
        from serving.app import create_app
        from serving.memory import return_what_is_freed
        from serving.pages import Assets

        settings = _settings(host=host, port=port)
        logs.configure(settings)
        return_what_is_freed()
        app = create_app(settings)
        if not Assets().built:
            click.echo("The page was not built; only the API answers. Run: make serve", err=True)
        server.run(app, settings)


@main.command()
@click.argument("paths", nargs=-1, required=True)
@click.option(
    "--model", default="", metavar="NAME", help="The model to ask; see `lesionlens models`."
)
@click.option("--json", "form", flag_value="json", help="One JSON object a line.")
@click.option("--csv", "form", flag_value="csv", help="Comma-separated values.")
@click.option(
    "--heatmaps",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Also write into DIR each picture with where the model looked.",
)
@click.option(
    "--out",
    metavar="FOLDER",
    help="Answer one folder of pictures, an archive, by Parquet files in FOLDER, which is named as "
    "results.parquet; where a run was ended, the same command goes on. Both may be in object "
    "storage, as s3://bucket/folder.",
)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="What computes with --out: this process, or Ray Data, on the cluster that RAY_ADDRESS "
    "names or on this machine.",
)
@click.option(
    "--part",
    type=click.IntRange(min=1),
    default=500,
    show_default=True,
    metavar="N",
    help="Pictures a file with --out: what is answered anew where a worker dies.",
)
def predict(
    paths: tuple[str, ...],
    model: str,
    form: str | None,
    heatmaps: Path | None,
    out: str | None,
    engine: Literal["local", "ray"],
    part: int,
) -> None:
    """Classify pictures: files, or folders with all below them.

    The exit status is 1 where one of them could not be read.
    """
    if out is not None:
        if len(paths) != 1 or form or heatmaps:
            raise click.UsageError("--out takes one folder, and no --json, --csv or --heatmaps.")
        _predict_archive(paths[0], out, model, engine, part)
    elif alone := _given("engine", "part"):
        raise click.UsageError(f"--{alone} needs --out FOLDER.")
    else:
        _predict_files([Path(path) for path in paths], model, form, heatmaps)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One manifest a line.")
def models(as_json: bool) -> None:
    """List the models that there are, the default one first."""
    with _plain_errors():
        from serving.inference import Inference
        from serving.listing import columns

        manifests = Inference(_settings()).manifests
        if as_json:
            for manifest in manifests:
                _write(msgspec.json.encode(manifest))
            return
        rows = [("name", "title", "answers", "digest")]
        for manifest in manifests:
            ids = ", ".join(manifest.class_ids)
            rows.append((manifest.name, manifest.title, ids, manifest.digest[:12]))
        _write(columns(rows))


def _given(*options: str) -> str:
    """The first of `options` that the command was given; empty where it has them by default."""
    context = click.get_current_context()
    given = (o for o in options if context.get_parameter_source(o) != ParameterSource.DEFAULT)
    return next(given, "")


def _predict_files(
    paths: Sequence[Path], model: str, form: str | None, heatmaps: Path | None
) -> NoReturn:
    with _plain_errors():
        from tqdm import tqdm

        from serving import files
        from serving.inference import Inference
        from serving.listing import Csv, Failure, JsonLines, Listing, Table

        settings = _settings()
        inference = Inference(settings)
        classifier = inference.model(model)
        found = files.find(paths)
        listing: Listing
        if form == "json":
            listing = JsonLines()
        elif form == "csv":
            listing = Csv(classifier.manifest)
        else:
            listing = Table([file.name for file in found], classifier.manifest)
        if head := listing.head():
            _write(head)
        failed = False
        # None: no bar where the errors do not go to a terminal.
        quiet = None if any(os.path.isdir(path) for path in paths) else True
        with tqdm(total=len(found), unit="picture", disable=quiet) as progress:
            for answer in files.answers(inference, classifier, found, settings.limits, heatmaps):
                failed |= isinstance(answer, Failure)
                with progress.external_write_mode():
                    _write(listing.line(answer))
                progress.update()
    sys.exit(1 if failed else 0)


def _predict_archive(
    address: str, out: str, model: str, engine: Literal["local", "ray"], part: int
) -> NoReturn:
    extra = "ray" if engine == "ray" else "archive"
    with _plain_errors():
        try:
            from serving.archive.run import score
            from serving.archive.storage import ArchiveError

            outcome = score(_settings(), model, address, out, engine, part)
        except ImportError as error:
            raise click.ClickException(
                f"`--out` needs packages that are not installed ({error}). Install them: "
                f"pip install 'lesionlens[{extra}]', or in a checkout: "
                f".venv/bin/pip install -c constraints.txt -e '.[{extra}]'"
            ) from error
        except ArchiveError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            raise _unwritten(error) from error
    told = f"{out}: {outcome.pictures} pictures, {outcome.before} of them by an earlier run."
    if outcome.failures:
        told += f" {outcome.failures} could not be read; the column error says why."
    if outcome.unread:
        told += (
            f" {outcome.unread} files or folders could not be reached and are left out; another "
            "run asks for them again:"
        )
        rest = outcome.unread - len(outcome.named)
        told = "\n  ".join([told, *outcome.named, *([f"and {rest} more"] if rest else [])])
    click.echo(told, err=True)
    sys.exit(1 if outcome.failures or outcome.unread else 0)


def _plugins() -> dict[str, EntryPoint]:
    return {entry_point.name: entry_point for entry_point in entry_points(group=PLUGINS)}


def _settings(**changes: object) -> Settings:
    """The environment's settings, changed by the options that were given."""
    from serving.settings import Settings

    given = {name: value for name, value in changes.items() if value is not None}
    return msgspec.structs.replace(Settings.from_environment(), **given)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turns what a person can put right into one line without a traceback."""
    from serving.inference import UnknownModelError
    from serving.manifest import ArtifactError
    from serving.settings import SettingsError

    if sys.stdout is None:
        raise click.ClickException("The standard output is closed, so no answer can be written.")
    try:
        yield
    except (ArtifactError, SettingsError, UnknownModelError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        if error.errno == errno.EPIPE:  # whoever read the answers has seen enough; click knows
            raise
        raise click.ClickException(f"{error}.") from error


def _write(line: str | bytes) -> None:
    """Writes a line of the answers to standard output.

    Raises:
        ClickException: where that cannot be done.
        OSError: where nobody reads them any more.
    """
    try:
        click.echo(line)
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        # What is still buffered would fail again when the interpreter ends, and change its status.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise _unwritten(error) from error


def _unwritten(error: OSError) -> click.ClickException:
    return click.ClickException(f"The answers cannot be written: {error}.")
