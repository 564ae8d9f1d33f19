"""Keras on Fashion-MNIST: the network and the settings of keras.io's "Simple MNIST convnet".

It takes the data's folder, the seconds and the accuracy at which it may stop, and prints a JSON
line four times an epoch.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
from clock import TrainingClock
from idx import load
from keras_evaluate import Evaluate

BATCH = 128


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
