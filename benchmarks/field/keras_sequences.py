"""Keras on texts and spoken digits, by its own beginners' recipes.

Texts: embedding of 128, dropout, two convolutions of 128 with kernel 7 and stride 3, the largest
value of each, a dense layer of 128 (keras.io, "Text classification from scratch", for texts of 64
words). Spoken digits: spectrograms of 32 x 32, convolutions of 32 and 64, a dense layer of 128
(TensorFlow's "Simple audio recognition"). Adam, batches of 32.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import spoken
import words
from clock import TrainingClock
from keras_evaluate import Evaluate

BATCH = 32
layers = keras.layers


def of_texts(classes: int) -> list[keras.Layer]:
    return [
        keras.Input((words.LENGTH,), dtype="int64"),
        layers.Embedding(words.WORDS, 128),
        layers.Dropout(0.5),
        layers.Conv1D(128, 7, padding="valid", activation="relu", strides=3),
        layers.Conv1D(128, 7, padding="valid", activation="relu", strides=3),
        layers.GlobalMaxPooling1D(),
        layers.Dense(128, activation="relu"),
        layers.Dropout(0.5),
        layers.Dense(classes, activation="softmax"),
    ]


def of_sound(normalise: keras.Layer, classes: int) -> list[keras.Layer]:
    return [
        keras.Input((spoken.SIDE, spoken.SIDE, 1)),
        normalise,
        layers.Conv2D(32, 3, activation="relu"),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Dropout(0.25),
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
        layers.Dropout(0.5),
        layers.Dense(classes, activation="softmax"),
    ]


def main(kind: str, folder: str, most_seconds: str, enough: str) -> None:
    keras.utils.set_random_seed(0)
    x, y, x_test, y_test = (words if kind == "texts" else spoken).load(folder)
    classes = int(y.max()) + 1
    if kind == "texts":
        model = keras.Sequential(of_texts(classes))
    else:
        x, x_test = x[..., None], x_test[..., None]
        normalise = layers.Normalization(mean=float(x.mean()), variance=float(x.var()))
        model = keras.Sequential(of_sound(normalise, classes))
    model.compile(loss="sparse_categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    clock = TrainingClock(most_seconds=float(most_seconds), enough=float(enough))
    evaluate = Evaluate(clock, x_test, y_test, every=len(x) // BATCH)
    clock.go_on()
    epochs = 1000  # the clock stops it
    model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=[evaluate], shuffle=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
