"""onnxruntime is told to report nothing before any module of training can import it."""

import subprocess
import sys


def test_importing_training_switches_telemetry_off_first() -> None:
    code = (
        "import os, sys; os.environ.pop('ORT_DISABLE_TELEMETRY', None); import training; "
        "assert 'onnxruntime' not in sys.modules; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
