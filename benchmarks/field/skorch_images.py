"""skorch on Fashion-MNIST: the simple convnet, Adam."""

from __future__ import annotations

import sys

import numpy as np
import torch
from clock import TrainingClock
from convnet import BATCH, LEARNING_RATE, simple_convnet
from idx import load
from skorch import NeuralNetClassifier
from skorch_evaluate import Evaluate
from torch import nn


def main(folder: str, most_seconds: str, enough: str) -> None:
    torch.manual_seed(0)
    x, y, x_test, y_test = load(folder)
    x = x[:, None].astype(np.float32) / 255
    pictures = torch.from_numpy(x_test[:, None].astype(np.float32) / 255)
    clock = TrainingClock(most_seconds=float(most_seconds), enough=float(enough))
    evaluate = Evaluate(clock, pictures, torch.from_numpy(y_test).long(), len(x) // BATCH // 4)
    net = NeuralNetClassifier(
        simple_convnet(),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=LEARNING_RATE,
        batch_size=BATCH,
        max_epochs=1000,  # the clock stops it
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[("evaluate", evaluate)],
        callbacks__print_log=None,
        verbose=0,
    )
    clock.go_on()
    net.fit(x, y.astype(np.int64))


if __name__ == "__main__":
    main(*sys.argv[1:])
