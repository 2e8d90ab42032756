"""What the routes that take pictures have in common."""

from __future__ import annotations

from dataclasses import dataclass

from serving.admission import Admission
from serving.inference import Inference
from serving.settings import Settings


@dataclass(frozen=True)
class Services:
    """The parts of the application that a request with pictures goes through.

    One dependency and not three: to bring together several, Litestar starts a task for each of
    them, with every request.
    """

    inference: Inference
    admission: Admission
    settings: Settings
