"""AutoGluon on a table: train.csv, test.csv, target, metric, seconds, preset, folder, answers.csv.

It writes the predictions of the test rows and prints a JSON line of seconds.
"""

from __future__ import annotations

import json
import os
import sys
import time

import pandas as pd
from memory import peak_gib

METRICS = {"roc_auc": "roc_auc", "accuracy": "accuracy", "rmse": "root_mean_squared_error"}


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
    from autogluon.tabular import TabularPredictor

    started = time.perf_counter()
    frame, rows = pd.read_csv(train), pd.read_csv(test)
    predictor = TabularPredictor(
        label=target, eval_metric=METRICS[metric], path=f"{out}/model", verbosity=1
    )
    predictor.fit(frame, time_limit=float(seconds), presets=preset, num_cpus=os.cpu_count())
    fitted = time.perf_counter() - started
    said = pd.DataFrame({"prediction": predictor.predict(rows)})
    if metric != "rmse":
        probabilities = predictor.predict_proba(rows)
        for label in probabilities.columns:
            said[f"probability_{label}"] = probabilities[label]
    said.to_csv(answers, index=False)
    single = rows.drop(columns=target).iloc[[0]]
    predictor.predict(single)
    before = time.perf_counter()
    for _ in range(20):
        predictor.predict(single)
    latency = (time.perf_counter() - before) / 20
    board = predictor.leaderboard(silent=True)
    line = {
        "fit_seconds": round(fitted, 1),
        "models": len(board),
        "best_model": str(board.iloc[0]["model"]),
        "row_seconds": latency,
        "peak_gib": peak_gib(),
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
