"""From an artifact to answers: the page, the API and the command line. Never needs torch."""

import os

# onnxruntime reports usage by default; it reads this once, at import, so it is set before any.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
