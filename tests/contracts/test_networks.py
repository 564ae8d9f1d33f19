"""`check_network`: what every family of networks promises, driven over the registry."""

from __future__ import annotations

import importlib

import msgspec
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from fathom.core.blocks import (
    PADDING_SAMPLE,
    AudioBlock,
    CategoriesBlock,
    ImageBlock,
    InputSpec,
    NumbersBlock,
    SeriesBlock,
    TextBlock,
)
from fathom.core.errors import PlanError
from fathom.core.output import OutputSpec
from fathom.networks import (
    ACTIVATIONS,
    FAMILIES,
    NetworkSpec,
    build,
    called,
    default_spec,
    may_mean,
)
from fathom.networks.attention import Attend, turned
from fathom.networks.beginning import Beginning, begin, begins
from fathom.networks.embeddings import PiecewiseNumbers
from fathom.networks.recurrent import CELLS, Layer, RecurrentSpec
from fathom.networks.series_convnet import (
    FARTHEST,
    SeriesConvnetSpec,
    changes,
    dilations_of,
    ranks,
)
from fathom.networks.steps import Maps, MaskedBatchNorm, Steps, flat
from fathom.networks.vit import sincos

ROWS = 2_000
NUMBERS = NumbersBlock(("a", "b.c", "flat"), ((-1.0, 0.0, 0.5, 2.0), (-2.0, 2.0), (0.0,)))
CATEGORIES = CategoriesBlock(("keys", "colour"), (4, 6))
GREY = ImageBlock(1, 8, 8, (100.0,), (50.0,))
COLOUR = ImageBlock(3, 32, 32, (120.0, 110.0, 100.0), (60.0, 50.0, 0.0))
WIDE = ImageBlock(3, 24, 40, (120.0, 110.0, 100.0), (60.0, 50.0, 40.0))
TEXT = TextBlock(60, 12, 7)
SERIES = SeriesBlock(2, 30, 14)
GAPS = SeriesBlock(3, 700, 400, gaps=True)  # long enough for patches
SOUND = AudioBlock(8_000, 4_000, 2_000, (-6.0,) * 40, (3.0,) * 40)
INPUTS = {
    "numbers": InputSpec({"numbers": NUMBERS}),
    "categories": InputSpec({"categories": CATEGORIES}),
    "table": InputSpec({"numbers": NUMBERS, "categories": CATEGORIES}),
    "grey": InputSpec({"image": GREY}),
    "colour": InputSpec({"image": COLOUR}),
    "wide": InputSpec({"image": WIDE}),
    "mixed": InputSpec({"numbers": NUMBERS, "front.view": COLOUR, "back": GREY}),
    "text": InputSpec({"review": TEXT}),
    "texts": InputSpec({"title": TEXT, "flat": TEXT}),
    "series": InputSpec({"signal": SERIES}),
    "gaps": InputSpec({"signal": GAPS}),
    "sound": InputSpec({"recording": SOUND}),
    "everything": InputSpec(
        {"numbers": NUMBERS, "keys": CATEGORIES, "view": GREY, "text": TEXT, "sound": SOUND}
    ),
    "records": InputSpec({"numbers": NUMBERS, "signal": GAPS}),
}
OUTPUTS = {
    "classes": OutputSpec("classes", labels=("x", "y", "z")),
    "number": OutputSpec("number", center=3.0, scale=2.0),
}
CASES = [
    pytest.param(family, inputs, output, id=f"{family}-{inputs}-{output}")
    for family, entry in FAMILIES.items()
    for inputs, spec in INPUTS.items()
    for output in OUTPUTS
    if entry.accepts(spec)
]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def batch(inputs: InputSpec, size: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    made = {}
    for name, block in inputs.blocks.items():
        if isinstance(block, NumbersBlock):
            made[name] = torch.randn(size, len(block.names), generator=generator)
            made[name][0, 0] = torch.nan
        elif isinstance(block, CategoriesBlock):
            columns = [torch.randint(0, s, (size,), generator=generator) for s in block.sizes]
            made[name] = torch.stack(columns, dim=1)
        elif isinstance(block, TextBlock):
            made[name] = texts(block, size, generator)
        elif isinstance(block, SeriesBlock):
            made[name] = series(block, size, generator)
        elif isinstance(block, AudioBlock):
            made[name] = sounds(block, size, generator)
        else:
            shape = (size, block.channels, block.height, block.width)
            made[name] = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    return made


def texts(block: TextBlock, size: int, generator: torch.Generator) -> torch.Tensor:
    """Codes of texts that become longer from row to row, padded behind their end."""
    codes = torch.randint(3, block.size, (size, block.length), generator=generator)
    lengths = torch.linspace(2, block.length, size).long()
    codes[:, 0] = 2
    codes[torch.arange(block.length) >= lengths[:, None]] = 0
    return codes.int()


def series(block: SeriesBlock, size: int, generator: torch.Generator) -> torch.Tensor:
    """Series that become longer from row to row, NaN behind their end and in their gaps."""
    values = torch.randn(size, block.length, block.channels, generator=generator)
    lengths = torch.linspace(2, block.length, size).long()
    if block.gaps:
        values[:, 1::3] = torch.nan
        values[:, 2::5, 0] = torch.nan
        values[torch.arange(size), lengths - 1] = 1.0
    values[torch.arange(block.length) >= lengths[:, None]] = torch.nan
    return values


def sounds(block: AudioBlock, size: int, generator: torch.Generator) -> torch.Tensor:
    """Noise that becomes longer from row to row, the first shorter than a window."""
    samples = torch.randint(-9_000, 9_000, (size, block.length), generator=generator)
    lengths = torch.linspace(50, block.length, size).long()
    samples[torch.arange(block.length) >= lengths[:, None]] = PADDING_SAMPLE
    return samples.short()


def make(family: str, inputs: str, output: str, seed: int = 0):
    spec, _ = FAMILIES[family].default_spec(INPUTS[inputs], OUTPUTS[output], ROWS)
    return build(spec, INPUTS[inputs], OUTPUTS[output], seed=seed)


@pytest.mark.parametrize(
    ("family", "inputs", "changes"),
    [
        ("mlp", "table", {"width": 99_999_999_999}),
        ("mlp", "table", {"width": 1_000_000, "depth": 900}),
        ("mlp", "table", {"embed_dim": 10**10}),
        ("mlp", "table", {"depth": 10**6}),
        ("convnet", "colour", {"widths": (99_999, 999_999)}),
        ("convnet", "colour", {"depth": 10**6}),
        ("vit", "colour", {"width": 10**8, "num_heads": 1}),
        ("vit", "colour", {"depth": 10**6}),
    ],
)
def test_absurd_size_is_refused_before_it_is_made(family, inputs, changes):
    with pytest.raises(PlanError, match=rf"network\.{next(iter(changes))}"):
        build(FAMILIES[family].spec(**changes), INPUTS[inputs], OUTPUTS["classes"], seed=0)


# The parts of a mixed network are foreseen by their own families.
@pytest.mark.parametrize(
    ("family", "inputs", "output"), [case for case in CASES if case.values[0] != "mixed"]
)
def test_the_foreseen_number_of_weights_is_about_right(family, inputs, output, monkeypatch):
    module = importlib.import_module(f"fathom.networks.{family}")
    foreseen = []
    monkeypatch.setattr(module, "check_weights", lambda count, keys: foreseen.append(count))
    network = make(family, inputs, output)
    weights = sum(parameter.numel() for parameter in network.parameters())
    assert 0.9 * weights - 200 < foreseen[0] < 1.5 * weights + 200


@pytest.mark.parametrize(("family", "inputs", "output"), CASES)
def test_check_network(family, inputs, output):
    network, data = make(family, inputs, output), batch(INPUTS[inputs])
    size = OUTPUTS[output].size
    check_training(network, data, size)
    check_evaluation(network, data, size)
    check_stages(network, data)
    check_state(network, make(family, inputs, output, seed=1), data)


def check_training(network, data, size):
    outputs = network.train()(data)
    assert outputs.shape[-1] == size
    assert outputs.ndim == 3 or outputs.shape == (4, size)  # three axes: members learn apart
    assert outputs.dtype == torch.float32
    outputs.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def check_evaluation(network, data, size):
    network.eval()
    with torch.no_grad():
        outputs = network(data)
        torch.testing.assert_close(network(data), outputs, rtol=0, atol=0)
        alone = network({name: block[:1] for name, block in data.items()})
        assert alone.shape == (1, size)
        torch.testing.assert_close(alone, outputs[:1], rtol=1e-4, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(data)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, outputs, rtol=0.1, atol=0.1)


SEQUENCES = [
    (family, inputs)
    for family in FAMILIES
    for inputs in ("text", "series", "gaps", "sound")
    if FAMILIES[family].accepts(INPUTS[inputs])
]
PADDING = {"text": 0, "sound": PADDING_SAMPLE}


@pytest.mark.parametrize(("family", "inputs"), SEQUENCES)
def test_padding_is_never_seen(family, inputs):
    network = make(family, inputs, "classes").eval()
    [(name, data)] = batch(INPUTS[inputs]).items()
    padding = PADDING.get(inputs, torch.nan)
    padded = data == padding if inputs in PADDING else data.isnan().all(dim=2)
    lengths = [int((~row).nonzero().max()) + 1 for row in padded]
    together = network({name: data})
    rows = zip(data, lengths, strict=True)
    alone = [network({name: row[:length][None]})[0] for row, length in rows]
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-4, atol=1e-5)
    more = torch.full((len(data), 555 if inputs == "sound" else 5, *data.shape[2:]), padding)
    longer = torch.cat([data, more.to(data.dtype)], dim=1)
    torch.testing.assert_close(network({name: longer}), together, rtol=1e-4, atol=1e-5)


def check_stages(network, data):
    stages = network.stages()
    names = [name for name, _ in stages]
    assert len(set(names)) == len(names)
    flow = data
    with torch.no_grad():
        for _, stage in stages:
            flow = stage(flow)
            assert isinstance(flow, torch.Tensor | Steps | Maps)
            assert len(flow if isinstance(flow, torch.Tensor) else flow.values) == 4
            assert flat(flow).ndim >= 2
        torch.testing.assert_close(flow, network(data), rtol=0, atol=0)
    held = {id(p) for _, stage in stages for p in stage.parameters()}
    assert held == {id(p) for p in network.parameters()}


def check_state(network, other, data):
    other.load_state_dict(network.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(other.eval()(data), network(data), rtol=0, atol=0)


@pytest.mark.parametrize(("family", "inputs", "output"), CASES)
def test_weights_depend_on_the_seed_alone(family, inputs, output):
    first = make(family, inputs, output).state_dict()
    torch.manual_seed(123)
    before = torch.get_rng_state()
    again = make(family, inputs, output).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    other = make(family, inputs, output, seed=7).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(("family", "inputs", "output"), CASES)
def test_default_spec_survives_json_and_gives_reasons(family, inputs, output):
    spec, reasons = FAMILIES[family].default_spec(INPUTS[inputs], OUTPUTS[output], ROWS)
    text = msgspec.json.encode(spec)
    assert msgspec.json.decode(text)["family"] == family
    assert msgspec.json.decode(text, type=NetworkSpec) == spec
    assert set(reasons) <= set(spec.__struct_fields__)
    assert all(reason.endswith(".") for reason in reasons.values())


@pytest.mark.parametrize(("inputs", "family"), [("table", "mlp"), ("colour", "convnet")])
def test_the_default_family_follows_the_inputs(inputs, family):
    spec, _ = default_spec(INPUTS[inputs], OUTPUTS["classes"], ROWS)
    assert spec.__struct_config__.tag == family


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "pretrained"])
def test_small_data_get_no_larger_networks(family):
    inputs = next(
        i
        for i in ("colour", "text", "series", "texts", "sound")
        if FAMILIES[family].accepts(INPUTS[i])
    )
    inputs, output = INPUTS[inputs], OUTPUTS["classes"]
    counts = []
    for rows in (100, 1_000, 10_000, 100_000):
        spec, _ = FAMILIES[family].default_spec(inputs, output, rows)
        network = build(spec, inputs, output, seed=0)
        counts.append(sum(p.numel() for p in network.parameters()))
    assert counts == sorted(counts)


@pytest.mark.parametrize("family", ["convnet", "vit"])
@pytest.mark.parametrize("side", [1, 2, 3, 5, 8, 16, 28, 64, 128])
def test_default_network_for_pictures_takes_every_size(family, side):
    inputs = InputSpec({"image": ImageBlock(3, side, side, (99.0,) * 3, (50.0,) * 3)})
    spec, _ = FAMILIES[family].default_spec(inputs, OUTPUTS["classes"], ROWS)
    network = build(spec, inputs, OUTPUTS["classes"], seed=0).eval()
    with torch.no_grad():
        assert network(batch(inputs, 2)).shape == (2, 3)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_activations_are_finite_and_bend(name):
    x = torch.linspace(-5, 5, 11)
    y = ACTIVATIONS[name]()(x)
    assert y.isfinite().all()
    assert not torch.allclose(y.diff(), y.diff()[0])


@pytest.mark.parametrize("embedding", ["linear", "piecewise", "periodic"])
@pytest.mark.parametrize("normalization", ["none", "layer"])
def test_every_mlp_learns_a_step(embedding, normalization):
    inputs, output = INPUTS["numbers"], OUTPUTS["number"]
    kind = FAMILIES["mlp"].spec
    spec = kind(width=32, number_embedding=embedding, normalization=normalization, dropout=0.0)
    network = build(spec, inputs, output, seed=0)
    data = {"numbers": torch.randn(256, 3, generator=torch.Generator().manual_seed(1))}
    targets = (data["numbers"][:, :1] > 0.5).float()
    optimizer = torch.optim.AdamW(network.parameters(), 5e-3)
    losses = []
    for _ in range(100):
        loss = torch.nn.functional.mse_loss(network(data), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.25 * losses[0]


def test_piecewise_bins_by_hand():
    block = NumbersBlock(("a", "b"), ((0.0, 1.0, 3.0), (0.0, 2.0)))
    module = PiecewiseNumbers(block, 2)
    with torch.no_grad():
        module.linear.zero_()
        module.bias.zero_()
        module.bent.copy_(torch.tensor([[[1.0, 0], [0, 1]], [[1, 0], [0, 1]]]))
        module.presence.missing.fill_(7.0)
    numbers = torch.tensor([[2.0, 1.0], [-1.0, 5.0], [torch.nan, 0.5]])
    expected = torch.tensor([[1.0, 0.5, 0.5, 0], [0, 0, 1, 0], [7, 7, 0.25, 0]])
    torch.testing.assert_close(module(numbers), expected)


def test_missing_is_not_the_middle():
    network = make("mlp", "numbers", "classes").eval()
    with torch.no_grad():
        network.embedding.blocks["0"].presence.missing.fill_(1.0)
        outputs = network({"numbers": torch.tensor([[0.0, 0, 0], [torch.nan, 0, 0]])})
    assert not torch.allclose(outputs[0], outputs[1])


def test_unknown_codes_say_nothing_at_first():
    network = make("mlp", "categories", "classes").eval()
    codes = torch.tensor([[0, 0], [1, 1]])
    assert network.embedding({"categories": codes}).abs().max() == 0


def test_a_black_channel_is_no_division_by_zero():
    inputs = InputSpec({"image": ImageBlock(1, 8, 8, (0.0,), (0.0,))})
    spec, _ = default_spec(inputs, OUTPUTS["classes"], ROWS)
    network = build(spec, inputs, OUTPUTS["classes"], seed=0).eval()
    assert network({"image": torch.zeros(1, 1, 8, 8, dtype=torch.uint8)}).isfinite().all()


@pytest.mark.parametrize(
    ("family", "fields", "words"),
    [
        ("mlp", {"depth": 0}, "network.depth is 0"),
        ("mlp", {"activation": "rellu"}, "Did you mean 'relu'"),
        ("mlp", {"number_embedding": "piecewize"}, "Did you mean 'piecewise'"),
        ("mlp", {"dropout": 1.0}, "below 1"),
        ("convnet", {"widths": ()}, "network.widths"),
        ("convnet", {"widths": (2,)}, "at least 8"),
        ("convnet", {"stem": 0}, "network.stem"),
        ("convnet", {"normalization": "bach"}, "Did you mean 'batch'"),
        ("vit", {"num_heads": 5}, "does not divide"),
        ("vit", {"width": 30}, "multiple of 4"),
        ("vit", {"stem": "pach"}, "Did you mean 'patch'"),
        ("vit", {"stochastic_depth": 1.0}, "below 1"),
        ("series_convnet", {"kernel": 8}, "odd"),
    ],
)
def test_a_spec_that_makes_no_network_is_refused(family, fields, words):
    with pytest.raises(PlanError, match=words):
        FAMILIES[family].spec(**fields)


def test_convnet_refuses_what_it_cannot_see():
    kind = FAMILIES["convnet"].spec
    with pytest.raises(PlanError, match="picture column"):
        build(kind(), INPUTS["numbers"], OUTPUTS["classes"], seed=0)
    with pytest.raises(PlanError, match="8x8"):
        build(kind(widths=(8, 8, 8), stem=4), INPUTS["grey"], OUTPUTS["classes"], seed=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"stem": "patch", "pool": "token", "positions": "learned", "layer_scale": 0.0},
        {"stochastic_depth": 0.5, "dropout": 0.1},
        {"patch": 8, "width": 64, "num_heads": 2},
    ],
)
def test_every_vit_keeps_the_promises_and_takes_smaller_pictures(changes):
    spec = FAMILIES["vit"].spec(**changes)
    networks = [build(spec, INPUTS["colour"], OUTPUTS["classes"], seed=s) for s in (0, 1)]
    data = batch(INPUTS["colour"])
    check_training(networks[0], data, 3)
    check_evaluation(networks[0], data, 3)
    check_stages(networks[0], data)
    check_state(*networks, data)
    small = {"image": data["image"][:, :, ::2, ::2]}
    assert networks[0](small).shape == (4, 3)


def test_attention_is_the_same_fused_and_by_hand(monkeypatch):
    attend = Attend(3)
    parts = [torch.randn(2, 7, 12, requires_grad=True) for _ in range(3)]
    by_hand = attend(*parts)
    monkeypatch.setattr(Attend, "SHORT", 0)
    torch.testing.assert_close(attend(*parts), by_hand)


def test_a_vit_tells_places_apart():
    network = make("vit", "colour", "classes").eval()
    with torch.no_grad():
        network.head.linear.weight.mul_(30)
    half = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    half[..., :16] = 255
    assert not torch.allclose(network({"image": half}), network({"image": half.flip(3)}), atol=1e-3)


def test_stretched_positions_lie_between_those_of_the_full_grid():
    full = sincos(8, (4, 4), (4, 4), torch.device("cpu"))
    half = sincos(8, (2, 2), (4, 4), torch.device("cpu"))
    assert full.shape == (1, 8, 4, 4)
    # Place 0 of 2 is the middle of places 0 and 1 of 4; the sine of the slow waves is about linear.
    torch.testing.assert_close(half[0, 1, 0], full[0, 1, :2].mean(0)[:2], rtol=1e-3, atol=1e-4)


def test_masked_batch_norm_is_batch_norm_over_the_steps_that_are_there():
    torch.manual_seed(0)
    values, lengths = torch.randn(5, 3, 9) * 4 + 2, torch.tensor([9, 1, 4, 7, 9])
    mask = torch.arange(9) < lengths[:, None]
    ours, theirs = MaskedBatchNorm(3), torch.nn.BatchNorm1d(3)
    laid_out = values.transpose(1, 2)[mask]  # (steps, 3)
    for _ in range(2):
        normalised = ours(values, mask)
        torch.testing.assert_close(normalised.transpose(1, 2)[mask], theirs(laid_out))
        assert (normalised.transpose(1, 2)[~mask] == 0).all()
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours(values, mask).transpose(1, 2)[mask], theirs(laid_out))


@pytest.mark.parametrize("cell", ["simple", "lstm", "gru"])
def test_recurrent_layers_read_both_ways_as_pytorchs_packed_ones_do(cell):
    spec = RecurrentSpec(cell=cell, width=8, embed_dim=5)
    layer = Layer(spec, 5).eval()
    theirs = CELLS[cell](5, 4, batch_first=True, bidirectional=True)
    state = {}
    for direction, suffix in zip(layer.directions, ("", "_reverse"), strict=True):
        state |= {f"{n}{suffix}": p for n, p in direction.cells.state_dict().items()}
    theirs.load_state_dict(state)
    lengths = torch.tensor([6, 2, 1, 4])
    mask = torch.arange(6) < lengths[:, None]
    values = torch.randn(4, 6, 5)
    said = layer(Steps(values, mask)).values
    packed = pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = pad_packed_sequence(theirs(packed)[0], batch_first=True)
    torch.testing.assert_close(said[mask], expected[mask])


def test_ranks_by_hand():
    series = torch.tensor([[[5.0], [torch.nan], [-1], [5], [70]]])
    expected = torch.tensor([0.0, torch.nan, -0.375, 0, 0.375]) * 12**0.5
    torch.testing.assert_close(ranks(series)[0, :, 0], expected, equal_nan=True)
    torch.testing.assert_close(ranks(3 * series.exp() - 1), ranks(series), equal_nan=True)
    expected = torch.tensor([torch.nan, torch.nan, torch.nan, 6.0, 65.0])
    torch.testing.assert_close(changes(series)[0, :, 0], expected, equal_nan=True)


def test_dilations_reach_as_far_as_a_typical_series():
    spec = SeriesConvnetSpec(kernel=9)
    lengths = {
        1: (1,),
        15: (1,),
        16: (1, 2),
        100: (1, 2, 4, 5, 8, 11),
        128: (1, 2, 4, 5, 8, 11, 16),
    }
    for typical, expected in lengths.items():
        assert dilations_of(SeriesBlock(1, 500, typical), spec) == expected


@pytest.mark.parametrize("depth", [1, 2])
def test_thresholds_begin_where_answers_are_however_high_the_series(depth):
    spec, block = SeriesConvnetSpec(filters=4, depth=depth), SeriesBlock(2, 60, 50)
    series = torch.randn(20, 60, 2, generator=torch.Generator().manual_seed(0)).cumsum(dim=1)
    series[3, 30:] = torch.nan  # is shorter
    features = []
    for height in (1.0, 1000.0):
        network = build(spec, InputSpec({"x": block}), OUTPUTS["classes"], seed=0).train()
        assert begins(network)
        begin(network, {"x": height * series})
        first = network.front({"x": height * series})
        flow = first if depth == 1 else network.layers[0](first)
        counting = network.counting
        shares, features_now = counting.shares(flow), counting(flow)
        assert (shares.mean(dim=0) > 0.002).all()
        assert (shares.mean(dim=0) < 0.998).all()
        assert features_now.mean(dim=0).abs().max() < 1e-3
        features.append(features_now)
    if depth == 1:
        torch.testing.assert_close(features[0], features[1], atol=2e-3, rtol=1e-3)


def test_a_series_that_stands_still_sets_no_threshold():
    spec, block = SeriesConvnetSpec(filters=4), SeriesBlock(1, 60, 60)
    series = torch.randn(20, 60, 1, generator=torch.Generator().manual_seed(0)).cumsum(dim=1)
    series[::2] = 1.0
    network = build(spec, InputSpec({"x": block}), OUTPUTS["classes"], seed=0)
    begin(network, {"x": series})
    assert network.counting.scale.min() > 1e-3
    begin(network, {"x": series[:1]})  # where no series moves, nothing is far from the mean
    begun = network.counting(network.front({"x": series}))
    assert begun.isfinite().all()
    assert begun.abs().max() <= FARTHEST


def test_what_a_mixed_network_holds_begins_too():
    inputs, output = INPUTS["records"], OUTPUTS["classes"]
    spec, _ = FAMILIES["mixed"].default_spec(inputs, output, 100)
    network = build(spec, inputs, output, seed=0).train()
    begin(network, batch(inputs))
    counting = next(part for part in network.modules() if isinstance(part, Beginning))
    assert network.training
    assert not counting.beginning
    assert (counting.threshold != 0).any()


def test_a_deeper_series_convnet_keeps_the_promises():
    inputs, output, spec = INPUTS["gaps"], OUTPUTS["classes"], SeriesConvnetSpec(filters=4, depth=3)
    networks = [build(spec, inputs, output, seed=seed) for seed in (0, 1)]
    data = batch(inputs)
    check_training(networks[0], data, 3)
    check_evaluation(networks[0], data, 3)
    check_stages(networks[0], data)
    check_state(*networks, data)


def test_rotary_attention_depends_on_distances_alone():
    query, key = torch.randn(2, 1, 1, 1, 8)
    at = lambda x, place: turned(x.expand(1, 1, 20, 8), 10_000.0)[0, 0, place]  # noqa: E731
    products = [at(query, place + 3) @ at(key, place) for place in (0, 5, 16)]
    torch.testing.assert_close(products[0], products[1])
    torch.testing.assert_close(products[0], products[2])


@pytest.mark.parametrize(
    ("name", "inputs", "family", "settled"),
    [
        ("lstm", "text", "recurrent", {"network.cell": "lstm"}),
        ("rnn", "text", "recurrent", {"network.cell": "simple"}),
        ("convnet", "text", "text_convnet", {}),
        ("convnet", "colour", "convnet", {}),
        ("transformer", "colour", "vit", {}),
        ("transformer", "text", "transformer", {}),
        ("mlp", "text", "mlp", {}),
    ],
)
def test_one_word_means_the_network_that_the_data_calls_for(name, inputs, family, settled):
    assert called(name, INPUTS[inputs]) == (family, settled)
    assert family in may_mean(name)


def test_an_unknown_network_is_answered_with_those_that_there_are():
    with pytest.raises(PlanError, match="recurrent"):
        called("recurent", INPUTS["text"])
    with pytest.raises(PlanError, match="known"):
        may_mean("nothing")


def test_families_of_one_sequence_name_the_way_out():
    for family in ("recurrent", "transformer", "text_convnet"):
        with pytest.raises(PlanError, match="mixed"):
            make(family, "texts", "classes")
    with pytest.raises(PlanError, match="mixed"):
        make("convnet", "everything", "classes")
