"""OptimizerSpec and TrainingSpec: every choice of training, fixed before its first step."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from fathom.core.errors import PlanError


def _require(holds: bool, key: str, value: object, wanted: str) -> None:
    """Raise PlanError naming the plan key where a value does not fit."""
    if not holds:
        raise PlanError(f"{key} is {value!r}: it must be {wanted}.")


class OptimizerSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """Which optimizer, and its constants.

    `name` is a key of `fathom.training.optimizers.OPTIMIZERS`. `learning_rate` is the height of the
    curve. Muon's step is scaled to the size of an AdamW step, so that one learning rate serves the
    hidden matrices and the rest; `rest_learning_rate` sets the rest apart. `momentum` and
    `nesterov` are read by muon and sgd, `betas` and `epsilon` by adam, adamw and muon's rest.
    Below 1, `layer_decay` is how much slower each stage learns than the one above it (Howard and
    Ruder 2018, arXiv 1801.06146), which muon does not know.
    """

    name: str = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    rest_learning_rate: float | None = None
    momentum: float = 0.95
    nesterov: bool = True
    betas: tuple[float, float] = (0.9, 0.99)
    epsilon: float = 1e-8
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        """Check every value. Raises PlanError."""
        from fathom.training.optimizers import OPTIMIZERS  # it loads torch, and this module

        OPTIMIZERS[self.name]
        rates = [self.learning_rate, self.rest_learning_rate or self.learning_rate]
        _require(min(rates) > 0, "optimizer.learning_rate", min(rates), "above 0")
        _require(self.weight_decay >= 0, "optimizer.weight_decay", self.weight_decay, "0 or more")
        for key, value in (("momentum", self.momentum), *(("betas", beta) for beta in self.betas)):
            _require(0 <= value < 1, f"optimizer.{key}", value, "at least 0 and below 1")
        _require(self.epsilon > 0, "optimizer.epsilon", self.epsilon, "above 0")
        _require(
            0 < self.layer_decay <= 1,
            "optimizer.layer_decay",
            self.layer_decay,
            "above 0 and at most 1",
        )
        _require(
            self.layer_decay == 1 or self.name != "muon",
            "optimizer.layer_decay",
            self.layer_decay,
            "1 (off) with the optimizer muon",
        )


class TrainingSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """How a network is trained: the same spec, seed and data give the same weights.

    `steps` optimizer steps of `batch_size` examples; where a budget is to be kept, a re-plan in
    mid-run may raise them to `most_steps` (0: never above `steps`). `warmup_steps` raise the
    learning rate, then `schedule` brings it down. `weight_averaging` is the decay of an exponential
    moving average of the weights, 0 for none. `clip_norm` bounds the norm of the gradient, 0 for no
    bound. `compile` runs torch.compile. `threads` are CPU threads. `log_every`, `validate_every`
    and `save_every` count steps; the last step is always logged, validated and saved.
    """

    steps: int
    batch_size: int
    most_steps: int = 0
    optimizer: OptimizerSpec = OptimizerSpec()
    warmup_steps: int = 0
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    weight_averaging: float = 0.0
    clip_norm: float = 1.0
    precision: Literal["float32", "bfloat16"] = "float32"
    channels_last: bool = False
    compile: bool = False
    threads: int = 1
    log_every: int = 10
    validate_every: int = 100
    save_every: int = 100

    def __post_init__(self) -> None:
        """Check every value. Raises PlanError."""
        for key in ("steps", "batch_size", "threads", "log_every", "validate_every", "save_every"):
            value = getattr(self, key)
            _require(value >= 1, f"training.{key}", value, "a whole number of at least 1")
        _require(
            0 <= self.warmup_steps < max(self.steps, 2),
            "training.warmup_steps",
            self.warmup_steps,
            f"at least 0 and below the number of steps ({self.steps})",
        )
        _require(
            0 <= self.weight_averaging < 1,
            "training.weight_averaging",
            self.weight_averaging,
            "at least 0 and below 1",
        )
        _require(self.clip_norm >= 0, "training.clip_norm", self.clip_norm, "0 or more")
        schedules, precisions = ("linear", "cosine", "constant"), ("float32", "bfloat16")
        _require(
            self.schedule in schedules, "training.schedule", self.schedule, " or ".join(schedules)
        )
        _require(
            self.precision in precisions,
            "training.precision",
            self.precision,
            " or ".join(precisions),
        )
