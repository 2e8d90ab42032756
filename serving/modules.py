"""Imports every module that the server imports: `python -m serving.modules`.

Run once after an installation without bytecode (`pip install --no-compile`), it leaves bytecode of
these modules and no others. Some packages that come with Litestar are large and never imported.
"""

import importlib
import sys

sys.dont_write_bytecode = False  # whatever the environment says: it is what this is for
for module in ("serving.app", "serving.cli", "serving.server"):
    importlib.import_module(module)
importlib.import_module("PIL.Image").init()
