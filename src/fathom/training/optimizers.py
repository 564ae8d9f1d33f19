"""The optimizers by name, and the one face that the trainer sees of them.

A new optimizer is one more function with a line `@OPTIMIZERS.register(name)`. It returns its
torch optimizers, each with the names of its parameters, because state is saved by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fathom.core.errors import ArtefactError
from fathom.core.registry import Registry

if TYPE_CHECKING:
    from fathom.training.settings import OptimizerSpec

Named = Mapping[str, nn.Parameter]
Part = tuple[list[str], torch.optim.Optimizer]
Build = Callable[[Named, "OptimizerSpec", set[int]], list[Part]]

OPTIMIZERS: Registry[Build] = Registry("optimizer")

_MATRIX_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def hidden_matrices(modules: Iterable[nn.Module]) -> set[int]:
    """The `id` of every parameter that Muon may orthogonalise.

    These are the weights of linear and convolutional layers, but not of the head: `module.head`,
    or, where a module names none, its last such layer. Tables that are looked up or added
    (embeddings, positions), norms and biases are no maps between hidden spaces. A grouped
    convolution is a bundle of small maps; orthogonalising it as one would mix them.
    """
    hidden: set[int] = set()
    for module in modules:
        layers = [m for m in module.modules() if isinstance(m, _MATRIX_LAYERS)]
        head = getattr(module, "head", None)
        outside: list[Tensor] = list(head.parameters()) if isinstance(head, nn.Module) else []
        if not outside:
            outside = [layer.weight for layer in layers[-1:]]
        outside += [m.weight for m in module.modules() if isinstance(m, nn.Embedding)]
        hidden |= {id(m.weight) for m in layers if getattr(m, "groups", 1) == 1}
        hidden -= {id(parameter) for parameter in outside}
    return hidden


class FlatMuon(torch.optim.Muon):
    """torch.optim.Muon for kernels of any rank, each seen as a matrix (out, everything else).

    The matrices share the kernels' memory. In which order the columns lie does not matter, as
    orthogonalising commutes with permuting them; so memory in channels_last order is viewed as it
    lies.
    """

    def __init__(self, kernels: Iterable[nn.Parameter], **options: Any) -> None:
        self.kernels = list(kernels)
        super().__init__([nn.Parameter(_matrix(k.detach())) for k in self.kernels], **options)

    def step(self, closure: Any = None) -> Any:
        """Take over the kernels' gradients, then step."""
        for view, kernel in zip(self.param_groups[0]["params"], self.kernels, strict=True):
            gradient = kernel.grad
            if gradient is not None and not kernel.is_contiguous():
                gradient = gradient.movedim(1, -1)
            view.grad = None if gradient is None else gradient.reshape(view.shape)
        return super().step(closure)  # type: ignore[no-untyped-call]


def _matrix(kernel: Tensor) -> Tensor:
    """A kernel (out, in, *size) as (out, rest) in the same memory; `view` refuses to copy."""
    return (kernel if kernel.is_contiguous() else kernel.movedim(1, -1)).view(len(kernel), -1)


def _groups(parameters: Named, spec: OptimizerSpec, rate: float) -> tuple[list[str], list[Any]]:
    """Names and parameter groups: matrices with weight decay, then biases and norms without."""
    decayed = {name: p for name, p in parameters.items() if p.ndim >= 2}
    plain = {name: p for name, p in parameters.items() if p.ndim < 2}
    groups = [
        {"params": list(chosen.values()), "lr": rate, "weight_decay": decay}
        for chosen, decay in ((decayed, spec.weight_decay), (plain, 0.0))
        if chosen
    ]
    return [*decayed, *plain], groups


def _one(names: list[str], optimizer: torch.optim.Optimizer) -> list[Part]:
    return [(names, optimizer)]


@OPTIMIZERS.register("adamw")
def adamw(parameters: Named, spec: OptimizerSpec, hidden: set[int]) -> list[Part]:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""
    names, groups = _groups(parameters, spec, spec.learning_rate)
    return _one(names, torch.optim.AdamW(groups, betas=spec.betas, eps=spec.epsilon, fused=True))


@OPTIMIZERS.register("adam")
def adam(parameters: Named, spec: OptimizerSpec, hidden: set[int]) -> list[Part]:
    """Adam (Kingma and Ba 2015); weight decay is an L2 penalty."""
    names, groups = _groups(parameters, spec, spec.learning_rate)
    return _one(names, torch.optim.Adam(groups, betas=spec.betas, eps=spec.epsilon, fused=True))


@OPTIMIZERS.register("sgd")
def sgd(parameters: Named, spec: OptimizerSpec, hidden: set[int]) -> list[Part]:
    """Stochastic gradient descent with momentum; weight decay is an L2 penalty."""
    names, groups = _groups(parameters, spec, spec.learning_rate)
    nesterov = spec.nesterov and spec.momentum > 0
    return _one(
        names, torch.optim.SGD(groups, momentum=spec.momentum, nesterov=nesterov, fused=True)
    )


@OPTIMIZERS.register("muon")
def muon(parameters: Named, spec: OptimizerSpec, hidden: set[int]) -> list[Part]:
    """Muon for hidden matrices (Jordan 2024), AdamW for the rest.

    The update is scaled by 0.2·sqrt(max(out, in)), to the size of an AdamW step (Liu et al. 2025).
    """
    matrices = {name: p for name, p in parameters.items() if id(p) in hidden}
    rest = {name: p for name, p in parameters.items() if id(p) not in hidden}
    parts: list[Part] = []
    if matrices:
        optimizer = FlatMuon(
            matrices.values(),
            lr=spec.learning_rate,
            weight_decay=spec.weight_decay,
            momentum=spec.momentum,
            nesterov=spec.nesterov,
            adjust_lr_fn="match_rms_adamw",
        )
        parts = [(list(matrices), optimizer)]
    if rest:
        names, groups = _groups(rest, spec, spec.rest_learning_rate or spec.learning_rate)
        betas, epsilon = spec.betas, spec.epsilon
        parts.append((names, torch.optim.AdamW(groups, betas=betas, eps=epsilon, fused=True)))
    return parts


def _by_depth(part: Part, decay: float, depths: Mapping[int, int]) -> Part:
    """The part with a group for each depth, whose learning rate falls with it."""
    names, optimizer = part
    named = dict(
        zip((id(p) for g in optimizer.param_groups for p in g["params"]), names, strict=True)
    )
    groups: list[dict[str, Any]] = []
    for group in optimizer.param_groups:
        own = sorted({depths.get(id(p), 0) for p in group["params"]})
        for depth in own:
            there = [p for p in group["params"] if depths.get(id(p), 0) == depth]
            groups.append({**group, "params": there, "lr": group["lr"] * decay**depth})
    optimizer.param_groups = groups
    return [named[id(p)] for group in groups for p in group["params"]], optimizer


class PhaseOptimizer:
    """Everything that moves the parameters of one phase.

    `depths` maps the `id` of a parameter to how many stages lie above it; see `layer_decay`.
    """

    def __init__(
        self,
        parameters: Named,
        spec: OptimizerSpec,
        hidden: set[int],
        depths: Mapping[int, int] | None = None,
    ) -> None:
        self.parts = OPTIMIZERS[spec.name](parameters, spec, hidden)
        if spec.layer_decay < 1 and depths:
            self.parts = [_by_depth(part, spec.layer_decay, depths) for part in self.parts]
        for _, optimizer in self.parts:
            for group in optimizer.param_groups:
                group["initial_lr"] = group["lr"]

    def step(self, factor: float) -> None:
        """One step with `factor` times the learning rate."""
        for _, optimizer in self.parts:
            for group in optimizer.param_groups:
                group["lr"] = factor * group["initial_lr"]
            optimizer.step()

    def state(self) -> dict[str, Tensor]:
        """The state tensors as 'part/parameter/key'.

        Learning rates and constants follow from spec and step; the tensors are all there is.
        """
        return {
            f"{part}/{name}/{key}": value
            for part, name, parameter, optimizer in self._named()
            for key, value in optimizer.state[parameter].items()
            if isinstance(value, Tensor)
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over saved state. Raises ArtefactError where it is another optimizer's."""
        left = dict(state)
        for part, name, parameter, optimizer in self._named():
            prefix = f"{part}/{name}/"
            keys = [key for key in left if key.startswith(prefix)]
            optimizer.state[parameter] = {
                key.removeprefix(prefix): _like(left.pop(key), parameter) for key in keys
            }
        if left:
            raise ArtefactError(
                f"The checkpoint holds optimizer state of {next(iter(left))!r}, which this plan "
                "does not train: resume with the plan that it was made with."
            )

    def _named(self) -> list[tuple[int, str, Tensor, torch.optim.Optimizer]]:
        """Part, parameter name, tensor that the part's optimizer knows it by, and optimizer."""
        return [
            (number, name, parameter, optimizer)
            for number, (names, optimizer) in enumerate(self.parts)
            for name, parameter in zip(
                names, (p for g in optimizer.param_groups for p in g["params"]), strict=True
            )
        ]


def _like(saved: Tensor, parameter: Tensor) -> Tensor:
    """A copy on the parameter's device, and in its memory order where the shapes agree."""
    if saved.shape != parameter.shape:
        return saved.to(parameter.device, copy=True)
    return torch.empty_like(parameter, dtype=saved.dtype, requires_grad=False).copy_(saved)
