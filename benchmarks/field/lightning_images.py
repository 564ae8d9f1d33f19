"""Lightning on Fashion-MNIST: the simple convnet, Adam, a DataLoader over tensors."""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings

import lightning
import torch
from clock import TrainingClock
from convnet import BATCH, LEARNING_RATE, simple_convnet
from idx import load
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


class Module(lightning.LightningModule):
    """As Lightning's own introduction has it."""

    def __init__(self) -> None:
        super().__init__()
        self.network = simple_convnet()

    def training_step(self, batch, index):
        return F.cross_entropy(self.network(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=LEARNING_RATE)


class Evaluate(lightning.Callback):
    """Predicts the test data four times an epoch, while the clock stands still."""

    def __init__(self, clock: TrainingClock, pictures, labels, every: int) -> None:
        self.clock, self.pictures, self.labels, self.every = clock, pictures, labels, every

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        if trainer.global_step % self.every:
            return
        self.clock.pause()
        module.eval()
        with torch.inference_mode():
            said = torch.cat([module.network(part).argmax(1) for part in self.pictures.split(1000)])
        module.train()
        accuracy = float((said == self.labels).float().mean())
        self.clock.evaluated(accuracy, trainer.global_step)
        trainer.should_stop = self.clock.done
        self.clock.go_on()


def main(folder: str, most_seconds: str, enough: str) -> None:
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    lightning.seed_everything(0, verbose=False)
    x, y, x_test, y_test = (torch.from_numpy(a) for a in load(folder))
    x, x_test = x[:, None].float() / 255, x_test[:, None].float() / 255
    loader = DataLoader(TensorDataset(x, y.long()), BATCH, shuffle=True)
    clock = TrainingClock(most_seconds=float(most_seconds), enough=float(enough))
    evaluate = Evaluate(clock, x_test, y_test.long(), every=len(x) // BATCH // 4)
    with tempfile.TemporaryDirectory() as out:
        trainer = lightning.Trainer(
            max_epochs=1000,  # the clock stops it
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[evaluate],
            default_root_dir=out,
        )
        clock.go_on()
        trainer.fit(Module(), loader)


if __name__ == "__main__":
    main(*sys.argv[1:])
