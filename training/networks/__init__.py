"""The networks, each in one file: logits from pictures, and the features behind them."""

from training.networks.cnn import CNN
from training.networks.efficientnet_lite import EfficientNetLite
from training.networks.mobilenet import MobileNetV2

__all__ = ["CNN", "EfficientNetLite", "MobileNetV2"]
