"""Imports every module that the server imports: `python -m serving.modules`.

Run once after an installation without bytecode (`pip install --no-compile`), it leaves bytecode of
these modules and no others. Some packages that come with Litestar are large and never imported.
"""

from PIL import Image

import serving.app
import serving.cli
import serving.server  # noqa: F401

Image.init()
