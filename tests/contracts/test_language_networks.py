"""`check_language`: what every family of language networks promises, driven over the registry."""

from __future__ import annotations

import math

import msgspec
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fathom.core.errors import PlanError
from fathom.networks.language import LANGUAGE_FAMILIES, LanguageSpec, attention, build, family_of
from fathom.networks.language.attention import Heads
from fathom.networks.language.gpt_spec import GptSpec
from fathom.networks.language.rotary import RopeScaling, angles, turned, turns

VOCABULARY, CONTEXT = 17, 24
SMALL = {
    "gpt": {"depth": 2, "width": 16, "num_heads": 4, "context": CONTEXT},
    "lstm": {"width": 32, "context": CONTEXT},
}
SCALING = {"factor": 4.0, "low": 1.0, "high": 4.0, "original": 8}
PLAIN = {"qk_norm": False, "softcap": 0.0, "norm_scale": True}
GPT_2 = {"normalization": "layer", "activation": "gelu", "positions": "learned", "bias": "all"}
# Some tokens stand in it twice: what follows them shows only in what came before.
PHRASE = torch.tensor([3, 8, 3, 1, 16, 8, 0, 5, 1, 11, 2])
VARIANTS = {
    "gpt": {
        "default": {},
        "tied": {"tied": True},
        "swiglu": {"activation": "swiglu", "hidden": 20},
        "learned": {"positions": "learned"},
        "layer": {"normalization": "layer"},
        "few-keys": {"num_kv_heads": 2},
        "one-key": {"num_kv_heads": 1, "head_width": 6},
        "dropout": {"dropout": 0.2},
        "bias-qkv": {"bias": "qkv"},
        "bias-attention": {"bias": "attention"},
        "bias-perceptron": {"bias": "perceptron", "activation": "swiglu"},
        "llama": {**PLAIN, "activation": "swiglu", "num_kv_heads": 2, "rope_scaling": SCALING},
        "gpt-2": {**PLAIN, **GPT_2, "tied": True},
    },
    "lstm": {"default": {}, "deep": {"depth": 2, "dropout": 0.2}, "tied": {"tied": True}},
}
CASES = [
    pytest.param(family, changes, id=f"{family}-{name}")
    for family in LANGUAGE_FAMILIES
    for name, changes in VARIANTS.get(family, {"default": {}}).items()
]
every_network = pytest.mark.parametrize(("family", "changes"), CASES)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def spec_of(family: str, changes: dict) -> LanguageSpec:
    values = SMALL.get(family, {}) | changes
    return msgspec.convert(values | {"family": family}, LanguageSpec)


def fresh(family: str, changes: dict, seed: int = 0):
    return build(spec_of(family, changes), VOCABULARY, seed=seed)


def awake(family: str, changes: dict):
    """A network in evaluation mode none of whose weights is at its start."""
    network = fresh(family, changes).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return network


def tokens(rows: int = 3, length: int = CONTEXT, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, VOCABULARY, (rows, length), generator=generator)


def in_pieces(network, read: torch.Tensor, sizes: list[int], memory=None):
    """The logits of a text read piece by piece, and the memory that it leaves."""
    memory = memory or network.remember(len(read), CONTEXT)
    with torch.no_grad():
        said = [network(piece, memory) for piece in read.split(sizes, dim=1)]
    return torch.cat(said, dim=1), memory


def close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@every_network
def test_logits_for_every_token(family, changes):
    network = fresh(family, changes)
    assert (network.vocabulary, network.context) == (VOCABULARY, CONTEXT)
    for length in (1, 2, CONTEXT):
        logits = network(tokens(length=length))
        assert logits.shape == (3, length, VOCABULARY)
        assert logits.dtype == torch.float32
    seen = []
    network.head.register_forward_hook(lambda *call: seen.append(call[2].shape))
    network(tokens())
    assert seen == [(3, CONTEXT, VOCABULARY)]


@every_network
@pytest.mark.parametrize("short", [attention.SHORT, 0], ids=["plain", "fused"])
def test_what_comes_later_changes_nothing_before_it(family, changes, short, monkeypatch):
    monkeypatch.setattr(attention, "SHORT", short)
    network, before = awake(family, changes), tokens()
    for place in (1, 7, CONTEXT - 1):
        after = before.clone()
        after[:, place:] = (after[:, place:] + 1) % VOCABULARY
        with torch.no_grad():
            was, now = network(before), network(after)
        torch.testing.assert_close(now[:, :place], was[:, :place], rtol=0, atol=1e-6)
        assert (now[:, place:] - was[:, place:]).abs().amax(dim=2).min() > 1e-4


@every_network
@pytest.mark.parametrize("short", [attention.SHORT, 8, 0], ids=["plain", "both", "fused"])
def test_a_memory_spares_reading_anew(family, changes, short, monkeypatch):
    monkeypatch.setattr(attention, "SHORT", short)
    network, read = awake(family, changes), tokens()
    with torch.no_grad():
        whole = network(read)
    for sizes in ([CONTEXT], [1] * CONTEXT, [5, 1, 6, *[1] * (CONTEXT - 12)]):
        said, memory = in_pieces(network, read, sizes)
        close(said, whole)
        assert memory.length == CONTEXT
        assert memory.room in (None, CONTEXT)


@every_network
def test_rows_of_a_memory_are_as_if_read_alone(family, changes):
    network, read, rows = awake(family, changes), tokens(), torch.tensor([2, 0, 0])
    first, later = read[:, :9], tokens(seed=1)[:, :5]
    _, memory = in_pieces(network, first, [4, 5])
    taken = memory.take(rows)
    assert taken.length == 9
    said, _ = in_pieces(network, later, [2, 3], taken)
    alone, _ = in_pieces(network, torch.cat([first[rows], later], dim=1), [14])
    close(said, alone[:, 9:])
    # The memory that rows were taken from is as it was.
    said, _ = in_pieces(network, later, [5], memory)
    alone, _ = in_pieces(network, torch.cat([first, later], dim=1), [14])
    close(said, alone[:, 9:])


@every_network
def test_weights_depend_on_the_seed_alone(family, changes):
    state = torch.get_rng_state()
    one, same = fresh(family, changes).state_dict(), fresh(family, changes).state_dict()
    other = fresh(family, changes, seed=1).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@every_network
def test_weights_are_counted_before_they_are_made(family, changes):
    """Exactly, but for norms and biases: those are the vectors among the parameters."""
    spec, network = spec_of(family, changes), fresh(family, changes)
    matrices = [p.numel() for p in network.parameters() if p.ndim > 1]
    assert LANGUAGE_FAMILIES[family].size(spec, VOCABULARY) == sum(matrices)
    multiplied = [
        parameter.numel()
        for module in network.modules()
        if not isinstance(module, nn.Embedding)
        for parameter in module.parameters(recurse=False)
        if parameter.ndim > 1
    ]
    assert LANGUAGE_FAMILIES[family].per_token(spec, VOCABULARY) == sum(multiplied)


@every_network
def test_a_spec_is_the_same_after_json(family, changes):
    spec = spec_of(family, changes)
    again = msgspec.json.decode(msgspec.json.encode(spec), type=LanguageSpec)
    assert again == spec
    assert family_of(again) is LANGUAGE_FAMILIES[family]
    with pytest.raises(msgspec.ValidationError, match="breadth"):
        spec_of(family, {"breadth": 3})


@every_network
def test_gradients_reach_every_parameter(family, changes):
    network, read = fresh(family, changes), tokens(rows=8)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(4):  # what begins at zero lets gradients through after a step or two
        optimizer.zero_grad()
        loss_of(network, read[:, :-1], read[:, 1:]).backward()
        optimizer.step()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def loss_of(network, read: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(network(read).flatten(0, 1), targets.flatten())


@every_network
def test_a_fresh_network_claims_little(family, changes):
    network, read = fresh(family, changes).eval(), tokens(rows=8)
    loss = loss_of(network, read[:, :-1], read[:, 1:]).item()
    if family == "gpt" and not changes.get("tied"):
        assert loss == pytest.approx(math.log(VOCABULARY), abs=1e-6)
    assert loss == pytest.approx(math.log(VOCABULARY), abs=0.3)


@every_network
def test_it_learns_a_text_but_no_noise(family, changes):
    shares = PHRASE.bincount() / len(PHRASE)
    entropy = -torch.special.xlogy(shares, shares).sum().item()  # what counting tokens comes to
    assert learned(family, changes, shuffled=False) < entropy / 2
    assert learned(family, changes, shuffled=True) > 0.9 * entropy


def learned(family: str, changes: dict, *, shuffled: bool, steps: int = 50) -> float:
    """The loss after some steps on a text that repeats itself, or one with shuffled targets."""
    network = fresh(family, changes)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(steps):
        begins = torch.randint(0, len(PHRASE), (8, 1), generator=generator)
        read = PHRASE[(begins + torch.arange(CONTEXT + 1)) % len(PHRASE)]
        targets = read[:, 1:]
        if shuffled:
            order = torch.randperm(targets.numel(), generator=generator)
            targets = targets.flatten()[order].view_as(targets)
        loss = loss_of(network, read[:, :-1], targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


@every_network
def test_it_computes_in_bfloat16(family, changes):
    network, read = awake(family, changes), tokens()
    exact = network(read).detach()
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(read)
        said, _ = in_pieces(network, read, [5, 1, CONTEXT - 6])
    assert logits.dtype == torch.float32
    for found in (logits.detach(), said):
        assert 0 < (found - exact).abs().max() < 0.1 * exact.abs().max()
    logits.logsumexp(dim=2).mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


@every_network
def test_dropout_only_where_it_learns(family, changes):
    network, read = awake(family, changes), tokens()
    with torch.no_grad():
        assert torch.equal(network(read), network(read))
        network.train()
        torch.manual_seed(0)
        assert torch.equal(network(read), network(read)) != bool(changes.get("dropout"))


@pytest.mark.parametrize(
    ("family", "changes", "key"),
    [
        ("gpt", {"depth": 0}, "depth"),
        ("gpt", {"depth": 10**6}, "depth"),
        ("gpt", {"width": 0}, "width"),
        ("gpt", {"width": 10}, "width"),
        ("gpt", {"width": 10**8}, "width"),
        ("gpt", {"width": 12}, "width"),  # three numbers a head cannot be turned in pairs
        ("gpt", {"head_width": 3}, "head_width"),
        ("gpt", {"head_width": -2}, "head_width"),
        ("gpt", {"hidden": -1}, "hidden"),
        ("gpt", {"hidden": 10**12}, "width or network.depth"),
        ("gpt", {"num_heads": 0}, "num_heads"),
        ("gpt", {"num_kv_heads": 3}, "num_kv_heads"),
        ("gpt", {"num_kv_heads": -1}, "num_kv_heads"),
        ("gpt", {"num_kv_heads": 8}, "num_kv_heads"),
        ("gpt", {"context": 0}, "context"),
        ("gpt", {"context": 10**12}, "context"),
        ("gpt", {"epsilon": 0.0}, "epsilon"),
        ("gpt", {"epsilon": math.nan}, "epsilon"),
        ("gpt", {"rope_base": 0.5}, "rope_base"),
        ("gpt", {"rope_base": math.inf}, "rope_base"),
        ("gpt", {"softcap": -1.0}, "softcap"),
        ("gpt", {"softcap": math.nan}, "softcap"),
        ("gpt", {"dropout": 1.0}, "dropout"),
        ("gpt", {"rope_scaling": {**SCALING, "factor": 0.5}}, "rope_scaling.factor"),
        ("gpt", {"rope_scaling": {**SCALING, "factor": math.nan}}, "rope_scaling.factor"),
        ("gpt", {"rope_scaling": {**SCALING, "low": -1.0}}, "rope_scaling.low"),
        ("gpt", {"rope_scaling": {**SCALING, "high": 1.0}}, "rope_scaling.high"),
        ("gpt", {"rope_scaling": {**SCALING, "original": 0}}, "rope_scaling.original"),
        ("lstm", {"depth": 0}, "depth"),
        ("lstm", {"depth": 10**6}, "depth"),
        ("lstm", {"width": 1}, "width"),
        ("lstm", {"width": 10**8}, "width"),
        ("lstm", {"context": 0}, "context"),
        ("lstm", {"context": 10**12}, "context"),
        ("lstm", {"dropout": -0.1}, "dropout"),
    ],
)
def test_what_makes_no_network_is_refused(family, changes, key):
    with pytest.raises(PlanError, match=rf"network\.{key}"):
        fresh(family, changes)


@pytest.mark.parametrize("key", ["activation", "normalization", "positions", "bias"])
def test_an_unknown_word_is_refused(key):
    with pytest.raises(PlanError, match=rf"network\.{key}.*known"):
        GptSpec(**{key: "rotari"})


def test_more_tokens_than_there_is_room_for_are_refused():
    network = fresh("gpt", {"num_kv_heads": 1}).eval()
    assert network.remember(1, 10**9).room == CONTEXT
    with pytest.raises(ValueError, match="25 tokens"):
        network(tokens(length=CONTEXT + 1))
    memory = network.remember(3, 6)
    network(tokens(length=5), memory)
    with pytest.raises(ValueError, match="room for 6"):
        network(tokens(length=2), memory)
    assert memory.length == 5
    network(tokens(length=1), memory)
    assert isinstance(memory, Heads)


def test_rotary_positions_compare_distances_alone():
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 1, 1, 1, 8, generator=generator)
    cos, sin = turns(*angles(40, 8, 100.0))

    def score(i: int, j: int) -> float:
        turns = [turned(x, cos[[at]], sin[[at]]) for x, at in ((query, i), (key, j))]
        return (turns[0] * turns[1]).sum().item()

    assert score(9, 4) == pytest.approx(score(38, 33), abs=1e-5)
    assert score(9, 4) != pytest.approx(score(9, 5), abs=1e-2)
    assert score(7, 7) == pytest.approx((query * key).sum().item(), abs=1e-5)


def test_scaled_rotary_positions_slow_down_slow_pairs_alone():
    one = torch.atan2(*(part[1] for part in reversed(angles(2, 16, 1_000.0))))
    scaling = RopeScaling(factor=4.0, low=1.0, high=4.0, original=64)
    now = torch.atan2(*(part[1] for part in reversed(angles(2, 16, 1_000.0, scaling))))
    turns = 64 * one / (2 * math.pi)
    torch.testing.assert_close(now[turns > 4], one[turns > 4])
    torch.testing.assert_close(now[turns < 1], one[turns < 1] / 4)
    between = (turns > 1) & (turns < 4)
    assert between.any()
    assert ((now < one) & (now > one / 4))[between].all()
