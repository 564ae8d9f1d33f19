"""Pictures, side by side: seconds of training until 0.90, 0.92, 0.93 on Fashion-MNIST's test.

    python benchmarks/images.py --data /usr/share/datasets/fashion-mnist [--who fathom keras …]

Every peer runs alone, in its own environment, on all cores. A peer's clock stands still while it
predicts the test data, four times an epoch, and it may stop at 0.93 or after `--most-seconds` of
training. Fathom is run as a command, once for each budget, because its learning rate is brought
down to zero at the end of the run; validation and checkpoints count as training there, and the
seconds of the whole command, with baselines, evidence and report, are told beside. Results go to
benchmarks/results/images.jsonl.
"""

from __future__ import annotations

import subprocess
from argparse import ArgumentParser

from field.curves import marks_of, run_fathom, run_peer, settings_of
from field.environments import PEERS, THIS
from field.lines import keep

MARKS = (0.90, 0.92, 0.93)
BUDGETS = (60, 75, 90, 120, 150, 240, 400)  # seconds
SCRIPTS = {name: f"{name}_images.py" for name in ("keras", "lightning", "skorch", "fastai")}
FILE = "images.jsonl"


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="/usr/share/datasets/fashion-mnist")
    parser.add_argument("--who", nargs="+", default=[THIS, *SCRIPTS], choices=[THIS, *PEERS])
    parser.add_argument("--most-seconds", type=float, default=420)
    options = parser.parse_args()
    most = options.most_seconds
    for who in options.who:
        try:
            if who == THIS:
                curve = run_fathom([options.data], BUDGETS, MARKS[-1], most)
            else:
                curve = run_peer(who, SCRIPTS[who], options.data, str(most), str(MARKS[-1]))
        except (RuntimeError, subprocess.CalledProcessError) as error:
            keep(FILE, who, name="fashion-mnist", failed=str(error))
            continue
        best = max(point["accuracy"] for point in curve)
        keep(FILE, who, name="fashion-mnist", seconds_to=marks_of(curve, MARKS), best=best,
             n=10_000, most_seconds=most, settings=settings_of(who, SCRIPTS.get(who, "")),
             curve=curve)  # fmt: skip


if __name__ == "__main__":
    main()
