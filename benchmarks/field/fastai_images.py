"""fastai on Fashion-MNIST: its usual recipe, an xresnet18 and the one-cycle policy.

fastai needs torchvision; where that does not import, this script ends with the reason.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from clock import TrainingClock
from fastai.callback.core import Callback, CancelFitException
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.vision.models.xresnet import xresnet18
from idx import load
from torch.nn import CrossEntropyLoss

BATCH, EPOCHS = 128, 5


class Evaluate(Callback):
    """Predicts the test data four times an epoch, while the clock stands still."""

    def __init__(self, clock: TrainingClock, pictures, labels, every: int) -> None:
        self.clock, self.pictures, self.labels, self.every = clock, pictures, labels, every
        self.step = 0

    def after_batch(self):
        self.step += 1
        if self.step % self.every:
            return
        self.clock.pause()
        self.model.eval()
        with torch.inference_mode():
            said = torch.cat([self.model(part).argmax(1) for part in self.pictures.split(1000)])
        self.model.train()
        self.clock.evaluated(float((said == self.labels).float().mean()), self.step)
        self.clock.go_on()
        if self.clock.done:
            raise CancelFitException


def main(folder: str, most_seconds: str, enough: str) -> None:
    torch.manual_seed(0)
    x, y, x_test, y_test = load(folder)
    x, x_test = (torch.from_numpy(a[:, None].astype(np.float32) / 255) for a in (x, x_test))
    rows = list(zip(x, torch.from_numpy(y).long(), strict=True))
    loader = DataLoader(rows, bs=BATCH, shuffle=True, num_workers=0)
    clock = TrainingClock(most_seconds=float(most_seconds), enough=float(enough))
    evaluate = Evaluate(clock, x_test, torch.from_numpy(y_test).long(), len(x) // BATCH // 4)
    learner = Learner(
        DataLoaders(loader, loader),
        xresnet18(c_in=1, n_out=10),
        loss_func=CrossEntropyLoss(),
        cbs=[evaluate],
    )
    clock.go_on()
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(EPOCHS, 3e-3)


if __name__ == "__main__":
    main(*sys.argv[1:])
