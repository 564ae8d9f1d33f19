"""How fast Fathom's own network, source and Trainer learn pictures on a graphics card.

    python benchmarks/gpu_images.py /usr/share/datasets/fashion-mnist
    python benchmarks/gpu_images.py FASHION --cifar cifar-10-batches-bin
    python benchmarks/gpu_images.py FASHION --device cpu --rows 2048 --epochs 2 --widths 16 32

FASHION is a folder of IDX files. `--cifar` takes CIFAR-10's binary version (the folder of
data_batch_1.bin ... test_batch.bin) or an .npz with train_x, train_y, test_x, test_y (pictures as
bytes, channels first). Pictures lie on the device; training is bf16, channels last, compiled where
that was measured to pay. The accuracy is that on test pictures, read at times of the run and used
for nothing. A JSON line for each data set is added to benchmarks/results/gpu_images.jsonl.
"""

from __future__ import annotations

import json
import tempfile
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace as changed

from fathom.core.blocks import ImageBlock, InputSpec
from fathom.core.examples import Examples
from fathom.core.output import OutputSpec
from fathom.data.augment import AugmentSpec
from fathom.data.formats.idx import read_idx
from fathom.evidence.flops import count_flops
from fathom.networks import ConvnetSpec
from fathom.planning.device import choose_device
from fathom.planning.environment import cores, describe_environment, has_fast_bfloat16
from fathom.tasks import build_task
from fathom.training.settings import OptimizerSpec, TrainingSpec
from fathom.training.speed import measure_speed
from fathom.training.supervised import Supervised
from fathom.training.trainer import Trainer, Validation

RESULTS = Path(__file__).parent / "results" / "gpu_images.jsonl"
MARKS = (0.90, 0.93, 0.94)
VALIDATIONS = 40
TIMING_SECONDS = 2.0
CIFAR_ROW = 1 + 3 * 32 * 32


@dataclass(frozen=True)
class Pictures:
    """Pictures (n, channels, height, width) uint8 and their classes (n,)."""

    name: str
    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    flip: bool
    shift: int


def fashion(folder: Path) -> Pictures:
    """Fashion-MNIST from its IDX files."""

    def pair(part: str) -> tuple[np.ndarray, np.ndarray]:
        x, y = (next(folder.glob(f"{part}-{kind}*")) for kind in ("images", "labels"))
        return read_idx(x, 3)[:, None].copy(), read_idx(y, 1).astype(np.int64)

    return Pictures("fashion-mnist", pair("train"), pair("t10k"), flip=True, shift=2)


def cifar(path: Path) -> Pictures:
    """CIFAR-10 from its binary version, or from an .npz; nothing is unpickled."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            train, test = (
                (arrays[f"{part}_x"], arrays[f"{part}_y"].astype(np.int64))
                for part in ("train", "test")
            )
    else:
        train = _cifar_binary(sorted(path.glob("data_batch_*.bin")))
        test = _cifar_binary([path / "test_batch.bin"])
    return Pictures("cifar-10", train, test, flip=True, shift=4)


def _cifar_binary(files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    rows = np.concatenate([np.fromfile(f, np.uint8).reshape(-1, CIFAR_ROW) for f in files])
    return rows[:, 1:].reshape(-1, 3, 32, 32).copy(), rows[:, 0].astype(np.int64)


def fit_of(pictures: Pictures, device: str, options: Namespace) -> Supervised:
    """The fit that is timed; the test pictures stand where a run has its validation split."""
    x, y = (part[: options.rows] for part in pictures.train)
    test_x, test_y = (part[: options.rows] for part in pictures.test)
    count, channels, height, width = x.shape
    mean, std = x.mean((0, 2, 3)), x.std((0, 2, 3))
    block = ImageBlock(channels, height, width, tuple(map(float, mean)), tuple(map(float, std)))
    output = OutputSpec("classes", tuple(map(str, range(10))))
    batch_size = min(options.batch_size, count)
    steps = max(2, options.epochs * count // batch_size)
    training = TrainingSpec(
        steps=steps,
        batch_size=batch_size,
        optimizer=OptimizerSpec(name="muon", learning_rate=0.02, rest_learning_rate=0.005),
        warmup_steps=steps // 10,
        schedule="linear",
        clip_norm=0.0,
        precision="bfloat16" if has_fast_bfloat16(device) else "float32",
        channels_last=True,
        threads=cores(),
        log_every=steps,
        validate_every=max(1, steps // VALIDATIONS),
        save_every=steps + 1,
    )
    return Supervised(
        train=Examples({"image": x}, y, np.arange(count)),
        validation=Examples({"image": test_x}, test_y, np.arange(len(test_y))),
        inputs=InputSpec({"image": block}),
        output=output,
        task=build_task("classification", output, label_smoothing=0.05),
        network=ConvnetSpec(widths=tuple(options.widths), depth=options.depth),
        training=training,
        augmentation=AugmentSpec(flip=pictures.flip, shift=pictures.shift),
        seed=options.seed,
        device=device,
    )


def compile_where_it_pays(what: Supervised) -> tuple[Supervised, dict[str, float]]:
    """The fit, compiled where all its steps gain more than compiling costs; and what was timed.

    On a processor nothing is compiled: it made such networks slower (LOG.md).
    """
    told: dict[str, float] = {}
    on_card = what.device.startswith("cuda")
    for name, compiled in (("plain", False), *([("compiled", True)] if on_card else [])):
        started = perf_counter()
        speed = measure_speed(
            replace(what, training=changed(what.training, compile=compiled)),
            seconds=TIMING_SECONDS,
        )
        told[f"{name}_step_seconds"] = speed.median
        told[f"{name}_start_seconds"] = perf_counter() - started - speed.steps * speed.median
    if not on_card:
        return what, told
    gained = what.training.steps * (told["plain_step_seconds"] - told["compiled_step_seconds"])
    pays = gained > told["compiled_start_seconds"] - told["plain_start_seconds"]
    return replace(what, training=changed(what.training, compile=pays)), told


def train(what: Supervised) -> tuple[list[tuple[float, float]], float]:
    """(seconds of training, accuracy on test pictures) over the run, and all its seconds."""
    curve: list[tuple[float, float]] = []
    reading = 0.0
    started = perf_counter()

    def validate(network: torch.nn.Module) -> Validation:
        nonlocal reading
        begun = perf_counter()
        found = what.validate(network)
        curve.append((begun - started - reading, found.logged["accuracy"]))
        reading += perf_counter() - begun
        return found

    network = what.build()
    with tempfile.TemporaryDirectory() as folder:
        source = what.source()
        started = perf_counter()
        Trainer(
            network,
            what.task,
            source,
            what.training,
            seed=what.seed,
            folder=Path(folder),
            device=what.device,
            validate=validate,
            sizes=what.sizes,
        ).fit()
    return curve, curve[-1][0]


def matrix_rate(device: str) -> float:
    """Bf16 operations a second of a large matrix product: the measured limit of this device."""
    side, repeats = (8192, 20) if device.startswith("cuda") else (1024, 5)
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)

    def product() -> None:
        for _ in range(repeats):
            a @ a
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)

    product()
    started = perf_counter()
    product()
    return 2 * side**3 * repeats / (perf_counter() - started)


def measure(pictures: Pictures, device: str, options: Namespace) -> dict[str, Any]:
    """Everything that one line tells."""
    what, timed = compile_where_it_pays(fit_of(pictures, device, options))
    curve, seconds = train(what)
    steps, batch = what.training.steps, what.training.batch_size
    one = {n: torch.as_tensor(a[:1], device=device) for n, a in what.train.inputs.items()}
    forward, _ = count_flops(what.build().eval(), one)
    step = "compiled_step_seconds" if what.training.compile else "plain_step_seconds"
    rate, limit = batch / timed[step], matrix_rate(device)
    on_card = device.startswith("cuda")
    return {
        "date": date.today().isoformat(),
        "data": pictures.name,
        "card": torch.cuda.get_device_name(device) if on_card else None,
        "missing": None
        if on_card
        else "No card: the figures are of the CPU and say nothing of one.",
        "training_pictures": len(what.train),
        "steps": steps,
        "batch_size": batch,
        "network": {"family": "convnet", "widths": options.widths, "depth": options.depth},
        "precision": what.training.precision,
        "compiled": what.training.compile,
        **{name: round(value, 5) for name, value in timed.items()},
        "accuracy": curve[-1][1],
        "seconds": round(seconds, 3),
        **{
            f"seconds_to_{mark}": next((round(s, 3) for s, a in curve if a >= mark), None)
            for mark in MARKS
        },
        "images_per_second": round(rate),
        # Backward costs twice the forward pass.
        "training_flops_per_image": 3 * forward,
        "matrix_flops_per_second": round(limit),
        "share_of_matrix_rate": round(3 * forward * rate / limit, 4),
        "environment": describe_environment(device),
    }


def main() -> None:
    """Measure the data sets named on the command line."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("fashion", type=Path)
    parser.add_argument("--cifar", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--rows", type=int, default=None, help="pictures of each split, all by default"
    )
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    device = choose_device(options.device)
    if not device.startswith("cuda"):
        print("No card is used: figures of one are missing, and what follows is the CPU's.")
    sets = [fashion(options.fashion), *([cifar(options.cifar)] if options.cifar else [])]
    for pictures in sets:
        line = json.dumps(measure(pictures, device, options))
        print(line, flush=True)
        options.results.parent.mkdir(exist_ok=True)
        with options.results.open("a") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main()
