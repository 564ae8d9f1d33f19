"""How fast Fathom's own network, source and optimizer train a GPT of 124 million weights on a card.

    python benchmarks/gpu_language.py
    python benchmarks/gpu_language.py --device cpu --depth 2 --width 128 --context 128 --rows 4

The text is drawn at random (what it says does not change the time). Timed are whole training steps
in bf16, compiled and not, by the code that a run trains with; beside them, in the same run, a
plain network as nanoGPT has it (layer norms, GELU, learned positions, fused AdamW), trained by a
plain loop. Told are tokens a second and the share of the card's measured bf16 matrix rate that the
operations of the network come to (six for each weight and token, and attention over half of the
context). A JSON line is added to benchmarks/results/gpu_language.jsonl.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from msgspec.structs import replace as changed

from fathom.core.language import Documents
from fathom.networks.language import GptSpec, build
from fathom.planning.device import choose_device
from fathom.planning.environment import cores, describe_environment
from fathom.planning.language.sizes import operations_per_token
from fathom.training.language import LanguageFit
from fathom.training.settings import OptimizerSpec, TrainingSpec
from fathom.training.speed import measure_speed
from gpu_images import matrix_rate

RESULTS = Path(__file__).parent / "results" / "gpu_language.jsonl"
VOCABULARY, TEXT_TOKENS = 50_304, 10_000_000
TIMING_SECONDS, PLAIN_STEPS = 10.0, 20


def text() -> Documents:
    """One document of tokens drawn at random."""
    tokens = np.random.default_rng(0).integers(1, VOCABULARY, TEXT_TOKENS, dtype=np.uint16)
    tokens[0] = tokens[-1] = 0
    return Documents(tokens, np.array([1, len(tokens)]), np.array([4 * len(tokens)]), ["random"])


def fit_of(options: Namespace, device: str) -> LanguageFit:
    """The fit whose steps are timed."""
    spec = GptSpec(
        depth=options.depth,
        width=options.width,
        num_heads=max(1, options.width // 64),
        context=options.context,
        tied=True,
    )
    training = TrainingSpec(
        steps=1_000,
        batch_size=options.rows,
        optimizer=OptimizerSpec(name="muon", learning_rate=0.01, rest_learning_rate=0.02),
        precision="bfloat16",
        threads=cores(),
    )
    documents = text()
    return LanguageFit(
        train=documents,
        validation=documents,
        vocabulary=VOCABULARY,
        network=spec,
        training=training,
        seed=0,
        device=device,
    )


def of_fathom(what: LanguageFit) -> dict[str, float]:
    """Median seconds of a step, compiled and not."""
    told = {}
    for name, compiled in (("plain", False), ("compiled", True)):
        training = changed(what.training, compile=compiled)
        timing = measure_speed(replace(what, training=training), seconds=TIMING_SECONDS)
        told[f"{name}_step_seconds"], told[f"{name}_first_seconds"] = timing.median, timing.first
    return told


def of_nanogpt(what: LanguageFit) -> dict[str, float]:
    """Seconds of a step of a plain network, compiled, with fused AdamW."""
    spec = changed(
        what.network, activation="gelu", hidden=4 * what.network.width, normalization="layer",
        norm_scale=True, positions="learned", qk_norm=False, softcap=0.0, tied=True,
    )  # fmt: skip
    device = torch.device(what.device)
    network = build(spec, VOCABULARY, seed=0).to(device)
    network.compile()
    optimizer = torch.optim.AdamW(network.parameters(), lr=6e-4, weight_decay=0.1, fused=True)
    tokens = torch.randint(0, VOCABULARY, (what.training.batch_size, spec.context + 1)).to(device)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            logits = network(tokens[:, :-1])
            loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    taken = []
    for _ in range(PLAIN_STEPS):
        started = perf_counter()
        step()
        taken.append(perf_counter() - started)
    return {"nanogpt_step_seconds": float(np.median(taken[3:]))}


def measure(options: Namespace, device: str) -> dict[str, Any]:
    """Everything that one line tells."""
    what = fit_of(options, device)
    timed = of_fathom(what) | of_nanogpt(what)
    tokens = options.rows * options.context
    operations = operations_per_token(what.network, VOCABULARY)
    limit = matrix_rate(device)
    best = min(timed["plain_step_seconds"], timed["compiled_step_seconds"])
    on_card = device.startswith("cuda")
    return {
        "date": date.today().isoformat(),
        "card": torch.cuda.get_device_name(device) if on_card else None,
        "missing": None
        if on_card
        else "No card: the figures are of the CPU, and say nothing of one.",
        "parameters": sum(p.numel() for p in what.build().parameters()),
        "tokens_a_step": tokens,
        **{name: round(value, 5) for name, value in timed.items()},
        "tokens_per_second": round(tokens / best),
        "nanogpt_tokens_per_second": round(tokens / timed["nanogpt_step_seconds"]),
        "matrix_flops_per_second": round(limit),
        "flops_utilisation": round(operations * tokens / best / limit, 4),
        "environment": describe_environment(device),
    }


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--rows", type=int, default=32, help="sequences of a step")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    device = choose_device(options.device)
    line = json.dumps(measure(options, device))
    print(line, flush=True)
    options.results.parent.mkdir(exist_ok=True)
    with options.results.open("a") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    main()
