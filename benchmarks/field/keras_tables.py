"""Keras on a table: its structured-data example as a user writes it. Arguments as autogluon_tables.

Numbers normalised, categories one-hot, two hidden layers of 32 ReLU units with dropout, Adam; at
most 50 epochs, the best by validation loss on a fifth of the rows.
"""

from __future__ import annotations

import json
import os
import sys
import time

os.environ.setdefault("KERAS_BACKEND", "torch")

import pandas as pd
from memory import peak_gib


def main(
    train: str,
    test: str,
    target: str,
    metric: str,
    seconds: str,
    preset: str,
    out: str,
    answers: str,
) -> None:
    import keras
    import numpy as np
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    started = time.perf_counter()
    keras.utils.set_random_seed(0)
    frame, rows = pd.read_csv(train), pd.read_csv(test)
    inputs = frame.drop(columns=target)
    columns = make_column_transformer(
        (
            make_pipeline(SimpleImputer(), StandardScaler()),
            make_column_selector(dtype_include="number"),
        ),
        (
            OneHotEncoder(handle_unknown="ignore", sparse_output=False, max_categories=50),
            make_column_selector(dtype_exclude="number"),
        ),
    )
    x = columns.fit_transform(inputs).astype("float32")
    x_test = columns.transform(rows.drop(columns=target)).astype("float32")
    classes = metric != "rmse"
    if classes:
        labels, y = np.unique(frame[target].astype(str), return_inverse=True)
        center = scale = 0.0
    else:
        center, scale = frame[target].mean(), frame[target].std()
        y = ((frame[target] - center) / scale).to_numpy("float32")
    size = len(labels) if classes else 1
    model = keras.Sequential(
        [
            keras.Input((x.shape[1],)),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dropout(0.5 if classes else 0.1),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(size, activation="softmax" if classes else None),
        ]
    )
    model.compile(loss="sparse_categorical_crossentropy" if classes else "mse", optimizer="adam")

    class Limit(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if time.perf_counter() - started > 0.9 * float(seconds):
                self.model.stop_training = True

    stop = keras.callbacks.EarlyStopping(patience=8, restore_best_weights=True)
    order = np.random.default_rng(0).permutation(len(x))
    model.fit(x[order], y[order], batch_size=32 if len(x) < 5000 else 256, epochs=50,
              validation_split=0.2, verbose=0, callbacks=[stop, Limit()])  # fmt: skip
    fitted = time.perf_counter() - started
    outputs = model.predict(x_test, verbose=0, batch_size=1024)
    if classes:
        said = pd.DataFrame({"prediction": labels[outputs.argmax(1)]})
        for index, label in enumerate(labels):
            said[f"probability_{label}"] = outputs[:, index]
    else:
        said = pd.DataFrame({"prediction": outputs[:, 0] * scale + center})
    said.to_csv(answers, index=False)
    single = rows.drop(columns=target).iloc[[0]]
    before = time.perf_counter()
    for _ in range(20):
        model.predict(columns.transform(single).astype("float32"), verbose=0)
    latency = (time.perf_counter() - before) / 20
    peak = peak_gib()
    line = {"fit_seconds": round(fitted, 1), "row_seconds": latency, "peak_gib": peak}
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
