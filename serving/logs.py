"""The log: a line for each answer, to read or to search, which names no picture and no address."""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import msgspec

from serving import visits
from serving.settings import Settings
from serving.visits import Visit

_log = logging.getLogger("lesionlens")

ExceptionInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)


class TextFormatter(logging.Formatter):
    """Lines to read."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatException(self, ei: ExceptionInfo) -> str:  # noqa: N802 - logging's own name
        """Where an exception came from; not its message, which may name a file."""
        kind, _, frames = ei
        name = kind.__name__ if kind else ""
        return "".join(traceback.format_tb(frames)) + name


class JsonFormatter(TextFormatter):
    """An object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record with what is known of its request."""
        visit: Visit | None = getattr(record, "visit", None)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "request_id": visit.id if visit else visits.current_id(),
        }
        if visit:
            line |= {
                "method": visit.method,
                "route": visit.route,
                "status": visit.status,
                "problem": visit.problem or None,
                "seconds": round(visit.seconds, 4),
                "pictures": len(visit.answers),
            }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode({k: v for k, v in line.items() if v is not None}).decode()


def configure(settings: Settings) -> None:
    """Sends the log to standard error in the form that `settings` say."""
    as_text = settings.log_format == "text" or (
        settings.log_format == "auto" and sys.stderr is not None and sys.stderr.isatty()
    )
    handler = logging.StreamHandler()
    handler.setFormatter(TextFormatter() if as_text else JsonFormatter())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
    # Pillow's, of odd files, would be lines of their own form.
    logging.captureWarnings(True)


def log_visit(visit: Visit) -> None:
    """One line for each answer: the route and not the address, which may hold a file's name."""
    _log.info("%s %s %d", visit.method, visit.route, visit.status, extra={"visit": visit})
