"""LitServe with onnxruntime: a process that decodes and infers for each core.

`python litserve_onnxruntime.py PORT PROCESSES`
"""

import io
import json
import os
import sys
from pathlib import Path

import litserve
import numpy as np
import onnxruntime
from PIL import Image, ImageOps


class Classify(litserve.LitAPI):
    def setup(self, device):
        folder = Path(os.environ["MODEL_FOLDER"])
        manifest = json.loads((folder / "model.json").read_text())
        self.classes = [each["id"] for each in manifest["classes"]]
        self.size = manifest["preprocessing"]["size"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("THREADS", "0"))
        self.session = onnxruntime.InferenceSession(
            folder / "model.onnx", options, providers=["CPUExecutionProvider"]
        )

    def decode_request(self, request):
        image = Image.open(io.BytesIO(request["images"].file.read())).convert("RGB")
        square = ImageOps.fit(image, (self.size, self.size), Image.Resampling.BICUBIC)
        return np.array(square)[None]

    def predict(self, pixels):
        return self.session.run(["probability"], {"image": pixels})[0][0]

    def encode_response(self, probability):
        return {"probabilities": dict(zip(self.classes, probability.tolist(), strict=True))}


if __name__ == "__main__":
    port, processes = int(sys.argv[1]), int(sys.argv[2])
    server = litserve.LitServer(
        Classify(), accelerator="cpu", devices=1, workers_per_device=processes
    )
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="warning")
