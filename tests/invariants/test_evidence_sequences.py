"""Evidence of networks of sequences and pictures is true of them: memory, attention, channels."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from evidence_subjects import SPECS, fresh
from fathom.core.blocks import PADDING_SAMPLE
from fathom.core.budget import Budget
from fathom.core.record import Record
from fathom.evidence import EVIDENCE, Subject
from fathom.evidence.anatomy import dead_units, touched
from fathom.evidence.attention import in_parts, lit
from fathom.evidence.channels import Field, never_silent, optimised, receptive_field, responses
from fathom.evidence.drawing import DRAWINGS, row_of
from fathom.evidence.flops import count_flops
from fathom.evidence.instruments import batch_of, copied_network, traced
from fathom.evidence.looking import looks, recomputed
from fathom.evidence.memory import (
    Reaches,
    _changed,
    _fresh,
    _side_by_side,
    half_way,
    reach,
    typical,
)
from fathom.networks.attention import Attend
from fathom.networks.recurrent import CELLS, Layer, RecurrentSpec
from fathom.networks.steps import Steps


def one(kind: str, subject: Subject, id: str) -> Record:
    return next(r for r in EVIDENCE[kind].measure(subject, Budget(60)) if r.id == id)


# --- memory


def steps_of(lengths: list[int], width: int) -> Steps:
    torch.manual_seed(0)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return Steps(torch.randn(len(lengths), max(lengths), width), mask)


@pytest.mark.parametrize("cell", CELLS)
def test_the_gradient_by_distance_is_the_norm_of_the_jacobian(cell: Any) -> None:
    layers = _fresh([Layer(RecurrentSpec(cell=cell, width=6, bidirectional=False), 3)], cell, 1)
    steps = steps_of([5, 3], 3)
    norms = np.mean([reach(layers, steps, seed) ** 2 for seed in range(300)], axis=0) ** 0.5
    direction: Any = layers[0].directions[0]
    for row, length in enumerate((5, 3)):

        def last(values: torch.Tensor, length: int = length) -> torch.Tensor:
            return direction.cells(values[None])[0][0, length - 1]

        whole = torch.autograd.functional.jacobian(last, steps.values[row, :length])
        exact = whole.square().sum(dim=(0, 2)).sqrt().flip(0)  # by distance
        assert norms[row, :length] == pytest.approx(exact.detach().numpy(), rel=0.1)
        assert np.isnan(norms[row, length:]).all()


def test_the_simple_network_forgets_and_an_open_gate_keeps() -> None:
    steps = steps_of([60] * 8, 4)
    spec = RecurrentSpec(width=32, bidirectional=False)
    curves = {cell: typical(reach(_fresh([Layer(spec, 4)], cell, 0), steps, 0)) for cell in CELLS}
    assert all(curve[0] == 1 for curve in curves.values())
    assert curves["simple"][50] < 1e-6 * curves["lstm"][50]
    assert half_way(curves["simple"]) < half_way(curves["lstm"])


def test_half_way_is_read_between_two_distances() -> None:
    assert half_way(0.5 ** (np.arange(9) / 2.5)) == pytest.approx(2.5)
    assert half_way(np.array([1.0, 0.9, 0.8])) == float("inf")


@pytest.mark.parametrize("name", ["texts-lstm", "texts-simple"])
def test_memory_is_told_beside_untrained_cells(name: str) -> None:
    record = one("memory", fresh(name), "features.memory")
    assert record.figure is not None
    names = [series["name"] for series in record.figure.data["series"]]
    own = "LSTM" if name == "texts-lstm" else "simple"
    assert names[0] == f"{own}, untrained"
    assert sorted(names[:3]) == ["GRU, untrained", "LSTM, untrained", "simple, untrained"]
    assert names[3:] == [f"this {own}, trained"]
    assert f"In this run's {own} network, trained, it is half as large" in record.sentence


def test_words_about_gates_and_training_follow_the_figures() -> None:
    def fading(rate: float) -> Any:
        return np.tile(rate ** np.arange(30.0), (10, 1))

    fresh = {"simple": fading(0.5), "lstm": fading(0.8), "gru": fading(0.5)}
    told = _side_by_side(Reaches("lstm", fading(0.7), fading(0.9), fresh))
    assert "after 1.00 steps in the simple" in told
    assert told.endswith("The gates of the LSTM let more of it through.")
    alike = dict.fromkeys(fresh, fading(0.5))
    told = _side_by_side(Reaches("lstm", fading(0.7), fading(0.9), alike))
    assert told.endswith("Gates do not let more through here.")
    assert "training shortened" in _changed(2.0, 6.0, 30)
    assert "training lengthened" in _changed(6.0, 2.0, 30)
    assert "hardly changed" in _changed(float("inf"), 29.0, 30)


# --- attention


@pytest.mark.parametrize("rotary", [False, True])
def test_recomputed_weights_give_what_the_heads_gave(rotary: bool) -> None:
    torch.manual_seed(0)
    attend = Attend(2, rotary=rotary)
    q, k, v = (torch.randn(3, 7, 8) for _ in range(3))
    mask = torch.arange(7) < torch.tensor([[7], [4], [1]])
    found = recomputed(attend, q, k, v, mask)
    mixed = found.weights @ v.view(3, 7, 2, 4).transpose(1, 2)
    assert torch.allclose(mixed.transpose(1, 2).flatten(2), attend(q, k, v, mask), atol=1e-5)
    assert (found.weights[1, :, :, 4:] == 0).all()
    places = torch.arange(7)[:, None].float()
    assert found.distance(places)[2].tolist() == [0.0, 0.0]  # one place looks at itself
    assert found.alike().entropy()[:2] == pytest.approx(torch.ones(2, 2), abs=1e-5)
    assert float(found.alike().distance(places)[0, 0]) == pytest.approx(16 / 7)


def test_every_layer_is_seen_and_its_texts_are_named() -> None:
    subject = fresh("texts-transformer")
    examples = subject.examples("validation").take(np.arange(3))
    layers = looks(subject, copied_network(subject), examples)
    assert [tuple(layer.weights.shape[:2]) for layer in layers] == [(3, 2), (3, 2)]
    figure = one("attention", subject, "features.attention").figure
    assert figure is not None
    first = figure.data["items"][0]["maps"][0]
    assert first["labels"][0] == "<start>"
    assert "was" in "".join(first["labels"])
    assert len(first["values"]) == len(first["labels"])


def test_attention_of_pictures_lights_them() -> None:
    figure = one("attention", fresh("digits-vit"), "features.attention").figure
    assert figure is not None
    assert figure.data["items"][0]["maps"][0]["image"].startswith("data:image/png;base64,")
    received = np.array([[0.0, 1.0], [0.0, 0.0]])
    shown = pixels(lit(np.full((1, 8, 8), 200, dtype=np.uint8), received))
    height, width = shown.shape
    assert shown[: height // 2, width // 2 :].min() > 4 * shown[height // 2 :].max()


def test_parts_of_a_long_map_still_sum_to_one() -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(50), size=50)
    parts, labels = in_parts(weights)
    assert parts.shape == (20, 20)
    assert parts.sum(axis=1) == pytest.approx(np.ones(20))
    assert labels[0].startswith("1")
    assert labels[-1].endswith("50")


# --- channels


def test_a_place_sees_what_its_kernels_reach() -> None:
    subject = fresh("digits")
    network = copied_network(subject)
    examples = subject.examples("validation")
    stages = {stage.name: stage for stage in responses(subject, network, examples)}
    leaky = never_silent(network)
    stem = receptive_field(subject, leaky, examples, stages["stem"])
    middle = stem.box(4 * 8 + 4)
    assert [(side.start, side.stop) for side in middle] == [(3, 6), (3, 6)]  # 3 x 3 around (4, 4)
    assert [(s.start, s.stop) for s in stem.box(0)] == [(0, 2), (0, 2)]
    block = receptive_field(subject, leaky, examples, stages["block 1"])
    assert [(s.start, s.stop) for s in block.box(4 * 8 + 4)] == [(1, 8), (1, 8)]  # three 3 x 3
    assert Field((8, 8), (4, 4), (2, 2, 2, 2)).box(5) == (slice(1, 5), slice(1, 5))


def test_largest_responses_are_those_of_the_stage() -> None:
    subject = fresh("digits")
    network = copied_network(subject)
    examples = subject.examples("validation").take(np.arange(40))
    stem = responses(subject, network, examples)[0]
    with torch.no_grad():
        maps = network.stages()[0][1](batch_of(subject, examples).inputs).numpy()
    assert stem.largest == pytest.approx(maps.max(axis=(2, 3)), abs=1e-5)
    assert (maps.reshape(40, -1, 64)[3, 2].argmax()) == stem.places[3, 2]


def test_made_images_excite_their_channels() -> None:
    subject = fresh("digits")
    network = copied_network(subject).requires_grad_(False)
    examples = subject.examples("validation")
    stage = responses(subject, network, examples)[2]
    channels = np.array([0, 3])
    made = optimised(subject, never_silent(network), examples, stage.name, channels, most=0)
    name = next(iter(subject.model.inputs.blocks))
    flow: Any = {name: torch.from_numpy(made)}
    for _, module in network.stages()[:3]:
        flow = module(flow)
    middle = flow[:, :, flow.shape[2] // 2, flow.shape[3] // 2]
    for row, channel in enumerate(channels):
        assert float(middle[row, channel]) > np.median(stage.largest[:, channel])
        assert float(middle[row, channel]) > float(middle[1 - row, channel])


# --- what stands beside: units, operations, drawings


def test_channels_over_steps_and_cells_are_units_each() -> None:
    steps = torch.zeros(2, 3, 5)  # (B, channels, L)
    steps[0, 1, 4] = 1.0
    assert dead_units(steps).tolist() == [True, False, True]
    assert dead_units(steps, nn.LSTM(2, 5)).tolist() == [True, True, True, True, False]
    assert len(dead_units(steps, members=True)) == 15


def test_words_that_no_example_has_do_not_thin_the_gradient() -> None:
    table = nn.Sequential(nn.Embedding(1_000, 4), nn.Linear(4, 2))
    table(torch.tensor([[3, 5], [5, 9]])).sum().backward()
    assert touched(table) == 3 * 4 + 4 * 2 + 2


@pytest.mark.parametrize("name", SPECS)
def test_operations_are_those_written_out(name: str) -> None:
    subject = fresh(name)
    network = copied_network(subject)
    inputs = batch_of(subject, subject.examples("validation").take(np.array([0]))).inputs
    counted, uncounted = count_flops(network, inputs)
    assert uncounted == []
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(inputs)
    with traced(network) as calls, torch.no_grad():
        network(inputs)
    # PyTorch's own counter sees every product of matrices but those inside of recurrent cells.
    spec: Any = subject.model.network_spec
    expected = counter.get_total_flops()
    if isinstance(spec, RecurrentSpec):
        gates = {"simple": 1, "lstm": 4, "gru": 3}[spec.cell]
        halves = (spec.width // 2, spec.width // 2) if spec.bidirectional else (spec.width,)
        length = next(iter(inputs.values())).shape[1]
        widths = [spec.embed_dim, *[spec.width] * (spec.depth - 1)]
        per_step = sum(2 * gates * h * (before + h) for before in widths for h in halves)
        head: Any = calls[-1].module
        expected = length * per_step + 2 * head.in_features * head.out_features
    assert counted == expected


def pixels(uri: str) -> Any:
    data = base64.b64decode(uri.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("L")).astype(int)


def test_series_are_lines_and_sound_is_an_envelope() -> None:
    rising = np.stack([np.linspace(0, 1, 50), np.zeros(50)], axis=1).astype(np.float32)
    rising[20:25] = np.nan
    drawn = pixels(DRAWINGS["series"](rising))
    height, width = drawn.shape
    inked = drawn < 150
    assert inked[: height // 4, 3 * width // 4 :].any()
    assert not inked[: height // 4, : width // 2].any()
    gap = slice(int(width * (0.03 + 0.94 * 20.5 / 49)), int(width * (0.03 + 0.94 * 23.5 / 49)))
    assert not (drawn[:, gap] < 200).any()
    samples = np.zeros(4_000, dtype=np.int16)
    samples[:1_000:2], samples[1:1_000:2] = 9_000, -9_000
    samples = np.append(samples, np.full(4_000, PADDING_SAMPLE, dtype=np.int16))
    sound = pixels(DRAWINGS["audio"](samples)) < 150
    loud = sound.sum(axis=0)
    assert loud[: width // 5].min() > 0.8 * height
    assert loud[width // 3 :].max() < 5
    for kind in ("series", "audio"):
        assert DRAWINGS[kind](np.zeros(0)).startswith("data:image/png")


def test_texts_are_shown_whole_and_first() -> None:
    subject = fresh("texts-lstm")
    examples = subject.examples("test")
    longest = int(np.argmax(examples.inputs["judgement"].lengths))
    shown = row_of(subject, examples, longest)
    text = subject.table["judgement"].iloc[int(examples.rows[longest])]
    assert shown == {"judgement": text if len(text) <= 300 else text[:299] + "…"}
    assert len(text) > 80


@pytest.mark.parametrize("name", ["texts-lstm", "texts-simple", "texts-transformer"])
def test_the_walkthrough_begins_with_the_words(name: str) -> None:
    figure = one("walkthrough", fresh(name), "anatomy.walkthrough").figure
    assert figure is not None
    titles = [step["title"] for step in figure.data["steps"]]
    assert titles[1] == "The text becomes numbers"
    kind = "cell" if name != "texts-transformer" else "unit"
    assert titles[2] == f"A {kind} of the first layer adds up"
    assert figure.data["steps"][1]["table"]["rows"][0][0] == "<start>"
