"""Our optimizers against torch's own, and which parameters Muon is given."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from fathom.training.averaging import average_of
from fathom.training.optimizers import FlatMuon, PhaseOptimizer, hidden_matrices
from fathom.training.settings import OptimizerSpec

OPTIONS = {"lr": 0.02, "momentum": 0.95, "weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw"}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_kernels_move_as_their_flattened_matrices_do(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    start = torch.randn(8, 3, 3, 3)
    kernel = nn.Parameter(start.clone().contiguous(memory_format=layout))
    matrix = nn.Parameter(start.flatten(1).clone())
    ours, theirs = FlatMuon([kernel], **OPTIONS), torch.optim.Muon([matrix], **OPTIONS)
    for _ in range(4):
        gradient = torch.randn_like(start)
        kernel.grad = gradient.contiguous(memory_format=layout)
        matrix.grad = gradient.flatten(1)
        ours.step()
        theirs.step()
    change = matrix.detach().view_as(start) - start
    # In channels_last order the columns are permuted: equal but for rounding in bfloat16.
    assert (kernel - start - change).norm() < 0.02 * change.norm()
    assert change.norm() > 0.01
    if layout == torch.contiguous_format:
        assert torch.equal(kernel, matrix.view_as(kernel))


@pytest.mark.parametrize(
    ("spec", "reference"),
    [
        (
            OptimizerSpec(name="adamw", learning_rate=0.01, weight_decay=0.1, betas=(0.9, 0.95)),
            lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1, betas=(0.9, 0.95)),
        ),
        (
            OptimizerSpec(name="adam", learning_rate=0.01, weight_decay=0.1, betas=(0.9, 0.95)),
            lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1, betas=(0.9, 0.95)),
        ),
        (
            OptimizerSpec(name="sgd", learning_rate=0.01, weight_decay=0.1, momentum=0.9),
            lambda p: torch.optim.SGD(p, lr=0.01, weight_decay=0.1, momentum=0.9, nesterov=True),
        ),
    ],
    ids=["adamw", "adam", "sgd"],
)
def test_same_as_torch_on_a_matrix(spec: OptimizerSpec, reference: object) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(5, 4, bias=False)
    twin = copy.deepcopy(layer)
    ours = PhaseOptimizer(dict(layer.named_parameters()), spec, set())
    theirs = reference(list(twin.parameters()))  # type: ignore[operator]
    for _ in range(5):
        layer.weight.grad = torch.randn(4, 5)
        twin.weight.grad = layer.weight.grad.clone()
        ours.step(1.0)
        theirs.step()
    torch.testing.assert_close(layer.weight, twin.weight)


def test_muon_takes_hidden_matrices_alone() -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(10, 4)
            self.place = nn.Parameter(torch.zeros(3, 4))
            self.stem = nn.Conv2d(3, 4, 3)
            self.depthwise = nn.Conv2d(4, 4, 3, groups=4)
            self.norm = nn.LayerNorm(4)
            self.body = nn.Linear(4, 4)
            self.tied = nn.Linear(4, 10)
            self.tied.weight = self.words.weight
            self.head = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))

    network = Network()
    hidden = hidden_matrices([network])
    assert {n for n, p in network.named_parameters() if id(p) in hidden} == {
        "stem.weight",
        "body.weight",
    }
    plain = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))  # no head: the last layer
    assert hidden_matrices([plain]) == {id(plain[0].weight)}


def test_biases_and_norms_do_not_decay() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1.0)
    spec = OptimizerSpec(name="adamw", learning_rate=0.1, weight_decay=0.5)
    optimizer = PhaseOptimizer(dict(network.named_parameters()), spec, set())
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(1.0)
    assert torch.allclose(network[0].weight, torch.full((3, 3), 0.95))
    for parameter in (network[0].bias, network[1].weight, network[1].bias):
        assert torch.equal(parameter, torch.ones(3))


def test_average_trails_weights_and_statistics() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = average_of(network, 0.5)
    expected = None
    for step in range(6):
        with torch.no_grad():
            for tensor in (*network.parameters(), *network.buffers()):
                tensor.copy_(torch.rand_like(tensor, dtype=torch.float32) * 10)
        now = {name: tensor.clone().double() for name, tensor in network.state_dict().items()}
        share = 1 - min(0.5, (1 + step) / (10 + step))
        expected = (
            now
            if expected is None
            else {
                name: value if "num" in name else expected[name] + share * (value - expected[name])
                for name, value in now.items()
            }
        )
        average.update_parameters(network)
    assert expected is not None
    for name, tensor in average.module.state_dict().items():
        torch.testing.assert_close(tensor.double(), expected[name], rtol=1e-5, atol=1e-5)
