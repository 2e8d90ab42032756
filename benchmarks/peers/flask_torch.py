"""Flask with torch and Pillow, as such apps are usually written; gunicorn runs it.

The weights come from the served graph: `benchmarks.weights` writes them.
"""

import json
import os
from pathlib import Path

import numpy as np
import torch
from flask import Flask, request
from PIL import Image, ImageOps

from training.networks.mobilenet import MobileNetV2

folder = Path(os.environ["MODEL_FOLDER"])
manifest = json.loads((folder / "model.json").read_text())
classes = [each["id"] for each in manifest["classes"]]
size = manifest["preprocessing"]["size"]
biases = torch.tensor([manifest.get("logit_biases", {}).get(name, 0.0) for name in classes])

model = MobileNetV2(len(classes))
model.load_state_dict(torch.load(os.environ["WEIGHTS"]))
model.eval()

app = Flask(__name__)


@app.post("/predict")
def predict():
    image = Image.open(request.files["images"].stream).convert("RGB")
    square = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    picture = torch.from_numpy(np.array(square)).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        probability = torch.softmax(model(picture) / manifest["temperature"] + biases, dim=1)
    return {"probabilities": dict(zip(classes, probability[0].tolist(), strict=True))}
