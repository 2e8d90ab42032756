"""FastAPI with onnxruntime, as their documentation shows them; uvicorn runs it.

The handler is a plain function, which FastAPI runs in its pool of threads.
"""

import json
import os
from pathlib import Path

import numpy as np
import onnxruntime
from fastapi import FastAPI, UploadFile
from PIL import Image, ImageOps

folder = Path(os.environ["MODEL_FOLDER"])
manifest = json.loads((folder / "model.json").read_text())
classes = [each["id"] for each in manifest["classes"]]
size = manifest["preprocessing"]["size"]

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(os.environ.get("THREADS", "0"))
session = onnxruntime.InferenceSession(
    folder / "model.onnx", options, providers=["CPUExecutionProvider"]
)

app = FastAPI()


@app.post("/predict")
def predict(images: UploadFile):
    image = Image.open(images.file).convert("RGB")
    square = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    (probability,) = session.run(["probability"], {"image": np.array(square)[None]})
    return {"probabilities": dict(zip(classes, probability[0].tolist(), strict=True))}
