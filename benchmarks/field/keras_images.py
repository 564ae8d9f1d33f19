"""Keras on Fashion-MNIST: the network and the settings of keras.io's "Simple MNIST convnet".

It takes the data's folder, the seconds and the accuracy at which it may stop, and prints a JSON
line four times an epoch.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
from clock import TrainingClock
from idx import load

BATCH = 128


class Evaluate(keras.callbacks.Callback):
    """Predicts the test data four times an epoch, while the clock stands still."""

    def __init__(self, clock: TrainingClock, pictures: np.ndarray, labels: np.ndarray, every: int):
        super().__init__()
        self.clock, self.pictures, self.labels, self.every = clock, pictures, labels, every
        self.step = 0

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        if self.step % self.every:
            return
        self.clock.pause()
        said = [
            np.asarray(self.model.predict_on_batch(self.pictures[s : s + 1000])).argmax(1)
            for s in range(0, len(self.pictures), 1000)
        ]
        self.clock.evaluated(float((np.concatenate(said) == self.labels).mean()), self.step)
        if self.clock.done:
            self.model.stop_training = True
        self.clock.go_on()


def main(folder: str, most_seconds: str, enough: str) -> None:
    keras.utils.set_random_seed(0)
    x, y, x_test, y_test = load(folder)
    x = (x.astype("float32") / 255)[..., None]
    x_test = (x_test.astype("float32") / 255)[..., None]
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(loss="sparse_categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    clock = TrainingClock(most_seconds=float(most_seconds), enough=float(enough))
    evaluate = Evaluate(clock, x_test, y_test, every=len(x) // BATCH // 4)
    clock.go_on()
    epochs = 1000  # the clock stops it
    model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=[evaluate], shuffle=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
