"""Records as a real run writes them: pictures of ten classes, a table of two, a regression."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from fathom.core.record import Figure, Record, not_applicable, skipped
from fathom.report import SchemaRow, Story

PLAN = """\
name: {name}
seed: 0
network:
  tag: {family}
  width: 128
  depth: 4
training:
  steps: 1800
  batch_size: 128
  learning_rate: 0.004
  precision: bfloat16
seconds:
  training: 61.5
format_version: 1
"""
WHY = {
    "network": "A right-sized network: larger ones would not be trained out in the budget.",
    "training.steps": "61 s of training at 0.034 s a step, probed on this machine.",
    "training.batch_size": "A twelfth of the training rows, so that an epoch has enough steps.",
    "training.precision": "bfloat16 was 2.1 times faster than float32 in the probe.",
    "seconds.training": "What the baselines and the evidence leave of 90 s.",
}


def png(pixels: np.ndarray) -> str:
    out = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(out, format="png")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def story(name: str, task: str, rows: int, schema: tuple[SchemaRow, ...], **changes) -> Story:
    settings = {
        "created": "2026-03-14T09:26:53+00:00",
        "command": f"fathom fit {name} --budget 90s",
        "repeat_command": f"fathom fit runs/{name}/plan.yaml",
        "predict_command": f"fathom predict runs/{name} new.csv",
        "columns": len(schema),
        "splits": {
            "train": int(rows * 0.7),
            "validation": int(rows * 0.08),
            "calibration": int(rows * 0.07),
            "test": rows - int(rows * 0.7) - int(rows * 0.08) - int(rows * 0.07),
        },
        "split_how": "Split at random with the classes kept in proportion; equal rows on one side.",
        "plan_yaml": PLAN.format(name=name, family="convnet" if name == "digits" else "mlp"),
        "why": WHY,
        "versions": {"python": "3.11.9", "torch": "2.13.0", "numpy": "2.4.6", "fathom": "0.1.0"},
        "hardware": {"processor": "Xeon 8481C", "cores": 2, "memory_gib": 15.6, "device": "cpu"},
        "default_model": "network",
        "seconds": 87.4,
        "budget_seconds": 90.0,
        "source": name,
        "folder": f"runs/{name}",
        "fathom_version": "0.1.0",
    }
    return Story(name=name, task=task, rows=rows, schema=schema, **(settings | changes))


def scored(group: str, name: str, value: float, half: float, n: int, **changes) -> Record:
    id = f"{group}.{name}"
    settings = {
        "value": value,
        "interval": (value - half, value + half),
        "n": n,
        "split": "test",
        "method": "percentile bootstrap, 2,000 draws",
        "higher_is_better": name.rpartition(".")[2] not in {"log_loss", "rmse", "mae"},
        "grade": "good",
        "sentence": f"The {name.replace('_', ' ')} is {value:.3g} on {n:,} unseen examples.",
    }
    return Record(id, group, **(settings | changes))


def comparison(metrics: dict[str, dict[str, tuple[float, float]]], primary: str, n: int):
    """`metrics` maps a metric to models to (value, half interval); network first."""
    records = []
    for metric, models in metrics.items():
        rivals = [name for name in models if name != "network"]
        best = rivals[-1]
        sign = -1 if metric in {"log_loss", "rmse", "mae"} else 1
        gain = sign * (models["network"][0] - models[best][0])
        figure = None
        if metric == primary:
            data = {
                "labels": list(models),
                "values": [v for v, _ in models.values()],
                "low": [v - h for v, h in models.values()],
                "high": [v + h for v, h in models.values()],
                "x_label": f"{metric} ({'more' if sign > 0 else 'less'} is better)",
                "highlight": 0,
            }
            figure = Figure("bars", data)
        side = "better than" if gain > 0 else "worse than"
        records.append(
            scored(
                "gain",
                metric,
                gain,
                models["network"][1] * 0.7,
                n,
                figure=figure,
                higher_is_better=True,
                sentence=f"By {metric} the network is {side} gradient boosting, the best of the "
                f"traditional methods on validation: the gain is {gain:+.3g}.",
            )
        )
    for metric, models in metrics.items():
        for name, (value, half) in models.items():
            if name != "network":
                records.append(scored("baseline", f"{name}.{metric}", value, half, n))
    return records


def curves() -> list[Record]:
    x = np.linspace(0, 1800, 120)
    noise = np.random.default_rng(0).normal(0, 0.04, len(x))
    loss = np.exp(-x / 350) * 2.2 + 0.06
    data = {
        "series": [
            {"name": "training", "x": x.tolist(), "y": (loss * np.exp(noise)).tolist()},
            {
                "name": "validation",
                "x": x[::8].tolist(),
                "y": (np.exp(-x / 330) * 2.2 + 0.11)[::8].tolist(),
            },
        ],
        "x_label": "step",
        "y_label": "loss",
        "log_y": True,
    }
    rate = np.interp(x, [0, 90, 1800], [0, 0.004, 0])
    rates = {
        "series": [{"name": "learning rate", "x": x.tolist(), "y": rate.tolist()}],
        "x_label": "step",
        "y_label": "learning rate",
        "log_y": False,
    }
    return [
        Record(
            "training.loss",
            "training",
            "The loss fell from 2.26 to 0.073 in 1,800 steps and was still falling slowly.",
            value=0.073,
            method="mean over 20 steps",
            figure=Figure("curves", data),
            grade="good",
        ),
        Record(
            "training.learning_rate",
            "training",
            "The learning rate rose to 0.004 and came down to zero.",
            value=0.004,
            figure=Figure("curves", rates),
        ),
    ]


def calibration(n: int) -> list[Record]:
    rng = np.random.default_rng(1)
    confidence = np.sort(1 - rng.beta(1.2, 5, 12) * 0.55)
    after = np.clip(confidence + rng.normal(0, 0.015, 12), 0, 1)
    data = {
        "before": {
            "confidence": np.clip(confidence + 0.05 * (1 - confidence) * 4, 0, 0.999).tolist(),
            "accuracy": after.tolist(),
            "count": [n // 12] * 12,
        },
        "after": {
            "confidence": confidence.tolist(),
            "accuracy": after.tolist(),
            "count": [n // 12] * 12,
        },
    }
    return [
        scored(
            "calibration",
            "ece_before",
            0.048,
            0.006,
            n,
            grade="fair",
            higher_is_better=False,
            sentence="Before calibration the network was over-confident: it claimed 94.1 % "
            "confidence on average and was right in 89.6 % of cases; its stated confidence was "
            "off by 4.8 % (95 % interval 4.2 to 5.4 %).",
        ),
        scored(
            "calibration",
            "ece",
            0.011,
            0.004,
            n,
            higher_is_better=False,
            figure=Figure("reliability", data),
            sentence="As it is used, its outputs divided by a temperature of 1.42, the network "
            "is neither over- nor under-confident on the whole: it claims 89.9 % on average and is "
            "right in 89.6 % of cases.",
        ),
    ]


def anatomy(names: list[tuple[str, str, list[int], int]], image: str | None) -> list[Record]:
    rng = np.random.default_rng(2)
    rows = []
    for place, (name, kind, shape, parameters) in enumerate(names):
        values = rng.normal(0.1 * place, 1 + 0.3 * place, 4000)
        if kind == "ReLU":
            values = np.maximum(values, 0)
        counts, edges = np.histogram(values, bins=24)
        rows.append(
            {
                "name": name,
                "type": kind,
                "output_shape": shape,
                "parameters": parameters,
                "mean": float(values.mean()),
                "std": float(values.std()),
                "dead_share": [0.0, 0.016, 0.14][place % 3] if kind == "ReLU" else None,
                "saturated_share": None,
                "grad_norm": float(0.8 * 0.45**place) if parameters else None,
                "update_ratio": float(0.002 * 1.3**place) if parameters else None,
                "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
            }
        )
    steps = [
        {
            "title": "The input",
            "sentence": "Test example 212 goes in as numbers from 0 to 1.",
            "table": None
            if image
            else {
                "columns": ["column", "value", "encoded"],
                "rows": [["age", 39, 0.031], ["workclass", "State-gov", 7]],
            },
            "formula": None,
            "image": image,
        },
        {
            "title": "The first layer",
            "sentence": "Each of its 128 units adds up the inputs, each times a weight of its own; "
            "these are three of them.",
            "table": {
                "columns": ["unit", "sum", "after ReLU"],
                "rows": [[0, 1.273, 1.273], [1, -0.482, 0.0], [2, 0.0517, 0.0517]],
            },
            "formula": "z = W x + b,   h = max(0, z)",
            "image": None,
        },
        {
            "title": "The answer",
            "sentence": "The head's outputs become probabilities; the largest is the answer.",
            "table": {
                "columns": ["class", "output", "probability"],
                "rows": [["3", 4.91, 0.934], ["8", 1.87, 0.0447], ["5", 0.92, 0.0173]],
            },
            "formula": "p_i = exp(z_i / 1.42) / Σ_j exp(z_j / 1.42)",
            "image": None,
        },
    ]
    return [
        Record(
            "anatomy.layers",
            "anatomy",
            "The network has 4 blocks and 421,642 parameters.",
            value=421642.0,
            unit="parameters",
            figure=Figure("layers", {"rows": rows}),
        ),
        Record(
            "anatomy.dead_units",
            "anatomy",
            "5.2 % of all units never respond to any of 2,000 examples: the network is wider there "
            "than it need be.",
            value=0.052,
            unit="share",
            n=2000,
            split="validation",
            grade="fair",
        ),
        Record(
            "anatomy.gradient_ratio",
            "anatomy",
            "The gradient is 11 times larger in the first layer than in the last: no vanishing.",
            value=11.0,
            grade="good",
        ),
        Record(
            "anatomy.walkthrough",
            "anatomy",
            "How one unseen example becomes an answer.",
            figure=Figure("walkthrough", {"steps": steps}),
        ),
    ]


def cost() -> list[Record]:
    def one(name, value, unit, sentence, interval=None):
        return Record(f"cost.{name}", "cost", sentence, value=value, unit=unit, interval=interval)

    return [
        one("parameters", 421642.0, "parameters", "421,642 numbers were learned."),
        one("flops", 5.3e6, "FLOP", "One prediction takes 5.3 million operations."),
        one("train_seconds", 61.2, "seconds", "Training took 61 s on 2 cores."),
        one("total_seconds", 87.4, "seconds", "The whole run took 1 min 27 s."),
        one("peak_memory_bytes", 912e6, "bytes", "At most 912 MB of memory were in use."),
        one(
            "latency_seconds",
            0.00042,
            "seconds",
            "One example alone is answered in 0.42 ms.",
            (0.0004, 0.00047),
        ),
        skipped("cost.energy_joules", "cost", "This machine does not tell what power it draws."),
    ]


def data_records(leak_columns: list[str]) -> list[Record]:
    leaks = {
        "labels": leak_columns,
        "values": np.linspace(0.71, 0.5, len(leak_columns)).round(3).tolist(),
        "low": None,
        "high": None,
        "x_label": "balanced accuracy of one column alone",
        "highlight": None,
    }
    return [
        Record(
            "data.leak",
            "data",
            f"No column gives the target away: the strongest, {leak_columns[0]} alone reaches "
            "balanced accuracy 0.710.",
            value=0.0,
            unit="columns",
            n=20000,
            split="train",
            method="each column alone predicts the target, in 5 folds, on 20,000 training rows",
            grade="good",
            figure=Figure("bars", leaks),
        ),
        Record(
            "data.missing",
            "data",
            "3 columns have gaps, the most in occupation (5.7 %).",
            value=0.009,
            unit="share",
            grade="fair",
            figure=Figure(
                "table",
                {
                    "columns": ["column", "missing", "rows"],
                    "rows": [["occupation", 0.0566, 2766], ["workclass", 0.0564, 2753]],
                },
            ),
        ),
        Record(
            "data.duplicates",
            "data",
            "52 rows are equal to another one (0.1 %); they were kept on one side of the split.",
            value=0.001,
            unit="share",
            n=48842,
            grade="good",
        ),
    ]


def verdict(value: str, sentence: str, n: int, grade: str = "good") -> Record:
    return Record("verdict", "verdict", sentence, value=value, n=n, split="test", grade=grade)


def digits() -> tuple[list[Record], Story]:
    """Ten classes of pictures; the network wins."""
    images, labels = load_digits(return_X_y=True)
    pictures = [png(image.reshape(8, 8) * 15) for image in images[:12]]
    n = 360
    rng = np.random.default_rng(3)
    counts = np.diag(rng.integers(33, 37, 10))
    for truth, said in [(8, 1), (8, 1), (9, 3), (3, 8), (1, 8)]:
        counts[truth, said] += 1
    classes = [str(k) for k in range(10)]
    metrics = {
        "accuracy": {
            "network": (0.989, 0.009),
            "constant": (0.101, 0.03),
            "pictures": (0.961, 0.019),
            "boosting": (0.969, 0.018),
        },
        "macro_f1": {
            "network": (0.988, 0.01),
            "constant": (0.018, 0.005),
            "pictures": (0.96, 0.02),
            "boosting": (0.969, 0.018),
        },
        "log_loss": {
            "network": (0.041, 0.02),
            "constant": (2.303, 0.001),
            "pictures": (0.15, 0.04),
            "boosting": (0.112, 0.05),
        },
    }
    confusion = Figure("confusion", {"labels": classes, "counts": counts.tolist()})
    performance = [
        scored("performance", m, *models["network"], n, figure=confusion if place == 0 else None)
        for place, (m, models) in enumerate(metrics.items())
    ]
    worst = {
        "items": [
            {
                "image": picture,
                "row": None,
                "truth": str(truth),
                "said": str((truth + 5) % 10),
                "confidence": 0.99 - 0.04 * place,
                "where": f"row {place * 37 + 5}",
            }
            for place, (picture, truth) in enumerate(zip(pictures, labels, strict=False))
        ]
    }
    layers = [
        ("stem", "Conv2d", [32, 8, 8], 832),
        ("activation 1", "ReLU", [32, 8, 8], 0),
        ("block 1", "Conv2d", [64, 4, 4], 18496),
        ("activation 2", "ReLU", [64, 4, 4], 0),
        ("block 2", "Conv2d", [128, 2, 2], 73856),
        ("activation 3", "ReLU", [128, 2, 2], 0),
        ("head", "Linear", [10], 1290),
    ]
    records = [
        verdict(
            "network",
            "Use the network. It is better than gradient boosting: its accuracy is 98.9 % against "
            "96.9 % on 360 unseen examples (gain +2.0 %, 95 % interval +0.6 to +3.6 %).",
            n,
        ),
        *data_records(["image"])[2:],
        not_applicable("data.leak", "data", "There is no scalar input that could give it away."),
        *performance,
        not_applicable("performance.roc_auc", "performance", "Only asked for with two classes."),
        *comparison(metrics, "accuracy", n),
        scored("gap", "accuracy", 0.011, 0.008, n, grade="good"),
        *curves(),
        *calibration(n),
        *anatomy(layers, pictures[3]),
        Record(
            "worst.examples",
            "worst",
            "The mistakes look hard to people, too.",
            figure=Figure("examples", worst),
        ),
        Record(
            "worst.saliency",
            "worst",
            "Where the network looked.",
            figure=Figure(
                "pictures",
                {
                    "items": [
                        {"image": p, "caption": f"example {i}"} for i, p in enumerate(pictures[:4])
                    ]
                },
            ),
        ),
        *cost(),
    ]
    schema = (
        SchemaRow("image", "image", "input", "pictures of 8 by 8 pixels, grey"),
        SchemaRow("label", "category", "target", "named by the data itself"),
    )
    return records, story("digits", "Classify image into one of 10 labels", 1797, schema)


def adult() -> tuple[list[Record], Story]:
    """A table with two classes; boosting wins."""
    n = 16281
    metrics = {
        "roc_auc": {
            "network": (0.9118, 0.0047),
            "constant": (0.5, 0.0),
            "linear": (0.9049, 0.005),
            "boosting": (0.9277, 0.0042),
        },
        "accuracy": {
            "network": (0.855, 0.0054),
            "constant": (0.764, 0.0065),
            "linear": (0.852, 0.0055),
            "boosting": (0.873, 0.0052),
        },
        "log_loss": {
            "network": (0.312, 0.008),
            "constant": (0.546, 0.007),
            "linear": (0.322, 0.008),
            "boosting": (0.28, 0.008),
        },
    }
    columns = ["relationship", "marital.status", "capital.gain", "education.num", "age", "sex"]
    confusion = Figure(
        "confusion", {"labels": ["<=50K", ">50K"], "counts": [[11602, 833], [1528, 2318]]}
    )
    performance = [
        scored("performance", m, *models["network"], n, figure=confusion if place == 0 else None)
        for place, (m, models) in enumerate(metrics.items())
    ]
    rng = np.random.default_rng(4)
    worst = {
        "items": [
            {
                "image": None,
                "row": {
                    "age": str(rng.integers(20, 70)),
                    "workclass": "Private",
                    "education": "Some-college",
                    "occupation": "Exec-managerial",
                    "hours.per.week": str(rng.integers(20, 60)),
                    "native.country": "United-States",
                },
                "truth": ">50K",
                "said": "<=50K",
                "confidence": 0.997 - 0.003 * place,
                "where": f"test.csv line {place * 311 + 12}",
            }
            for place in range(10)
        ]
    }
    layers = [
        ("embedding", "PiecewiseLinear", [14, 8], 4312),
        ("block 1", "Linear", [256], 65792),
        ("activation 1", "ReLU", [256], 0),
        ("block 2", "Linear", [256], 65792),
        ("activation 2", "ReLU", [256], 0),
        ("head", "Linear", [2], 514),
    ]
    records = [
        verdict(
            "baseline",
            "Do not use the network. It is worse than gradient boosting: its ROC AUC is 0.912 "
            "against 0.928 on 16,281 unseen examples (gain -0.016, 95 % interval -0.019 to "
            "-0.013). That model is simpler and cheaper, easier to explain: use it with --model "
            "baseline.",
            n,
            "fair",
        ),
        *data_records(columns),
        *performance,
        *comparison(metrics, "roc_auc", n),
        scored("gap", "roc_auc", 0.021, 0.005, n, grade="fair"),
        scored("gap", "accuracy", 0.018, 0.006, n, grade="good"),
        scored("gap", "log_loss", -0.031, 0.009, n, grade="poor"),
        *curves(),
        *calibration(n),
        *anatomy(layers, None),
        Record(
            "worst.examples",
            "worst",
            "These were said most confidently, and wrongly.",
            figure=Figure("examples", worst),
        ),
        *cost(),
    ]
    schema = tuple(
        [
            SchemaRow(c, "number" if c == "age" else "category", "input", "16 distinct texts")
            for c in columns
        ]
        + [
            SchemaRow("fnlwgt", "number", "ignored", "an identifier: 28,523 distinct values"),
            SchemaRow("income", "category", "target", "named with --target"),
        ]
    )
    changes = {
        "splits": {"train": 26048, "validation": 3256, "calibration": 3257, "test": 16281},
        "split_how": "The test rows are those that were given; the others were split at random.",
        "default_model": "baseline",
        "warnings": ("The budget allowed 1,800 of the 2,600 steps that the probe asked for.",),
        "best_baseline": "boosting",
        "primary": "roc_auc",
    }
    return records, story("adult", "Tell which of 2 classes income is", 48842, schema, **changes)


def housing() -> tuple[list[Record], Story]:
    """A regression; level with boosting."""
    n = 3096
    rng = np.random.default_rng(5)
    true = np.exp(rng.normal(12.1, 0.5, 350))
    said = true * np.exp(rng.normal(0, 0.18, 350))
    scatter = Figure(
        "scatter",
        {
            "x": true.tolist(),
            "y": said.tolist(),
            "x_label": "true median_house_value",
            "y_label": "predicted median_house_value",
            "diagonal": True,
        },
    )
    counts, edges = np.histogram(true, bins=40)
    histogram = Figure(
        "histogram",
        {
            "edges": edges.tolist(),
            "series": [{"name": "median_house_value", "counts": counts.tolist()}],
            "x_label": "median_house_value",
        },
    )
    errors, bins = np.histogram(said - true, bins=30)
    rival, _ = np.histogram(said - true, bins=bins * 1.2)
    both = Figure(
        "histogram",
        {
            "edges": bins.tolist(),
            "series": [
                {"name": "network", "counts": errors.tolist()},
                {"name": "boosting", "counts": rival.tolist()},
            ],
            "x_label": "error",
        },
    )
    metrics = {
        "rmse": {
            "network": (48210.0, 1900.0),
            "constant": (115300.0, 2500.0),
            "linear": (68900.0, 2200.0),
            "boosting": (47650.0, 1850.0),
        },
        "mae": {
            "network": (31900.0, 1000.0),
            "constant": (91000.0, 2000.0),
            "linear": (49800.0, 1300.0),
            "boosting": (31500.0, 1000.0),
        },
        "r2": {
            "network": (0.825, 0.012),
            "constant": (-0.0002, 0.0004),
            "linear": (0.643, 0.018),
            "boosting": (0.829, 0.012),
        },
    }
    figures = {"rmse": scatter, "mae": both}
    performance = [
        scored("performance", m, *models["network"], n, figure=figures.get(m))
        for m, models in metrics.items()
    ]
    reason = "Calibration is about class probabilities, and this network predicts a number."
    worst = {
        "items": [
            {
                "image": None,
                "row": {"longitude": "-122.2", "ocean_proximity": "NEAR BAY", "households": "126"},
                "truth": 500001.0,
                "said": 112345.6,
                "confidence": None,
                "where": f"row {k}",
            }
            for k in range(6)
        ]
    }
    records = [
        verdict(
            "level",
            "The network and gradient boosting are level: its root mean squared error is 48,200 "
            "against 47,700 on 3,096 unseen examples (gain -560, 95 % interval -1,890 to +770), "
            "which is too little to tell them apart. Gradient boosting is then the better choice, "
            "being simpler, cheaper and easier to explain: use it with --model baseline.",
            n,
            "fair",
        ),
        Record("data.rows", "data", "20,640 rows.", value=20640.0, unit="rows", figure=histogram),
        *performance,
        *comparison(metrics, "rmse", n),
        scored("gap", "rmse", -2110.0, 1500.0, n),
        *curves(),
        not_applicable("calibration.ece_before", "calibration", reason),
        not_applicable("calibration.ece", "calibration", reason),
        skipped(
            "anatomy.dead_units",
            "anatomy",
            "Measuring anatomy would take about 12 s, and 3.1 s were left for it. "
            "Give a larger --budget to have it measured.",
        ),
        Record("worst.examples", "worst", "The largest errors.", figure=Figure("examples", worst)),
        *cost(),
    ]
    names = ("longitude", "latitude", "households", "median_income")
    schema = (
        *(SchemaRow(name, "number", "input", "numbers: 812 distinct values") for name in names),
        SchemaRow("median_house_value", "number", "target", "named with --target"),
    )
    changes = {"default_model": "baseline"}
    return records, story(
        "housing", "Predict the number median_house_value", 20640, schema, **changes
    )
