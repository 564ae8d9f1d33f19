"""The network of keras.io's "Simple MNIST convnet" in PyTorch, for the peers built on that."""

from __future__ import annotations

from torch import nn

BATCH = 128
LEARNING_RATE = 1e-3


def simple_convnet() -> nn.Sequential:
    """Logits (B, 10) from pictures (B, 1, 28, 28)."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(1600, 10),
    )
