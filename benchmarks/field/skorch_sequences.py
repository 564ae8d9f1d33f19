"""skorch on texts and spoken digits: the networks of Keras's recipes in PyTorch, Adam.

Texts: embedding of 128, two convolutions of 128 with kernel 7 and stride 3, the largest value of
each. Spoken digits: spectrograms of 32 x 32, convolutions of 32 and 64, a dense layer of 128.
Batches of 32.
"""

from __future__ import annotations

import sys

import numpy as np
import spoken
import torch
import words
from clock import TrainingClock
from skorch import NeuralNetClassifier
from skorch_evaluate import Evaluate
from torch import nn

BATCH, LEARNING_RATE = 32, 1e-3


class Texts(nn.Module):
    """Word codes (B, 64) to logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words.WORDS, 128)
        self.layers = nn.Sequential(
            nn.Dropout(0.5),
            nn.Conv1d(128, 128, 7, stride=3),
            nn.ReLU(),
            nn.Conv1d(128, 128, 7, stride=3),
            nn.ReLU(),
            nn.AdaptiveMaxPool1d(1),
            nn.Flatten(),
            nn.Linear(128, 128),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, classes),
        )

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        return self.layers(self.embedding(codes).transpose(1, 2))


def of_sound(classes: int) -> nn.Sequential:
    side = (spoken.SIDE - 4) // 2
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(64 * side * side, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, classes),
    )


def main(kind: str, folder: str, most_seconds: str, enough: str) -> None:
    torch.manual_seed(0)
    x, y, x_test, y_test = (words if kind == "texts" else spoken).load(folder)
    classes = int(y.max()) + 1
    if kind == "texts":
        network: nn.Module = Texts(classes)
    else:
        mean, deviation = x.mean(), x.std()
        x, x_test = ((part[:, None] - mean) / deviation for part in (x, x_test))
        network = of_sound(classes)
    clock = TrainingClock(most_seconds=float(most_seconds), enough=float(enough))
    test = torch.from_numpy(np.ascontiguousarray(x_test)), torch.from_numpy(y_test).long()
    net = NeuralNetClassifier(
        network,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=LEARNING_RATE,
        batch_size=BATCH,
        max_epochs=1000,  # the clock stops it
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[("evaluate", Evaluate(clock, *test, len(x) // BATCH))],
        callbacks__print_log=None,
        verbose=0,
    )
    clock.go_on()
    net.fit(x, y.astype(np.int64))


if __name__ == "__main__":
    main(*sys.argv[1:])
