"""Channels of convnets on sound, series and texts: what is shown of them is true of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from evidence_subjects import fresh
from fathom.core.blocks import PADDING_SAMPLE, AudioBlock, InputSpec, SeriesBlock
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.output import OutputSpec
from fathom.core.ragged import Ragged
from fathom.core.record import Record
from fathom.evidence import EVIDENCE
from fathom.evidence.channels import _shown, never_silent
from fathom.evidence.channels_sequences import Canvas, answers, item, made, maps_of, reach
from fathom.evidence.channels_texts import linear_in_runs, shares
from fathom.evidence.instruments import batch_of, copied_network
from fathom.evidence.stages import Encoder, encoders
from fathom.networks import FAMILIES
from fathom.networks.audio_convnet import AudioConvnetSpec
from fathom.networks.series_convnet import SeriesConvnetSpec

SERIES = SeriesBlock(channels=2, length=60, typical=50, gaps=True)
SOUND = AudioBlock(rate=4_000, length=2_400, typical=2_000, mean=(0.0,) * 40, std=(1.0,) * 40)


def subject_of(block: Any, spec: Any, rows: list[Any], padding: float, kind: Any) -> Any:
    """As much of a subject as channels look at, with an untrained network."""
    torch.manual_seed(0)
    inputs = InputSpec({"x": block})
    family = FAMILIES[spec.__struct_config__.tag]
    network = family.build(spec, inputs, OutputSpec("number")).eval().requires_grad_(False)
    model = SimpleNamespace(inputs=inputs, network=network, device="cpu", precision="float32")
    axes = rows[0].shape[1:]
    examples = Examples({"x": Ragged.of(rows, padding, kind, *axes)}, None, np.arange(len(rows)))
    return SimpleNamespace(model=model, seed=0), examples


@pytest.fixture
def series() -> Any:
    generator = np.random.default_rng(0)
    rows = [generator.normal(size=(n, 2)).astype(np.float32) for n in (60, 41, 55, 50)]
    rows[1][7] = np.nan
    spec = SeriesConvnetSpec(filters=2, depth=1)
    return subject_of(SERIES, spec, rows, np.nan, np.float32)


@pytest.fixture
def sound() -> Any:
    generator = np.random.default_rng(0)
    rows = [generator.normal(0, 2_000, n).astype(np.int16) for n in (2_400, 1_500, 2_000)]
    spec = AudioConvnetSpec(widths=(4, 6), depths=(1, 1), stem=4, stride=2)
    return subject_of(SOUND, spec, rows, PADDING_SAMPLE, np.int16)


def the_encoder(subject: Any) -> Encoder:
    return encoders(subject.model.network, subject.model.inputs)[0]


@pytest.mark.parametrize("name", ["series", "sound"])
def test_largest_answers_stand_where_they_are_said_to(name: str, request: Any) -> None:
    subject, examples = request.getfixturevalue(name)
    encoder = the_encoder(subject)
    for stage in answers(subject, encoder, examples):
        for row in range(len(examples)):
            batch = Canvas(subject, encoder).inputs(examples.take(np.array([row])))
            maps = maps_of(encoder.until(stage.name, batch)).values[0]
            for channel in range(maps.shape[0]):
                place = (int(stage.rows[row, channel]), int(stage.times[row, channel]))
                assert float(maps[channel][place]) == pytest.approx(
                    stage.largest[row, channel], abs=1e-4
                )
                assert float(maps[channel].max()) == pytest.approx(
                    stage.largest[row, channel], abs=1e-4
                )


def test_series_that_all_stand_still_have_nothing_to_show() -> None:
    rows = [np.ones((50, 2), np.float32)] * 4
    subject, examples = subject_of(SERIES, SeriesConvnetSpec(filters=2), rows, np.nan, np.float32)
    assert _shown(subject, subject.model.network, the_encoder(subject), examples) is None


VIEWS = 4  # of series with gaps: values, ranks, those of changes, whether there is a value


def test_a_place_of_series_sees_its_kernel_at_its_dilation(series: Any) -> None:
    subject, examples = series
    canvas = Canvas(subject, never_silent(the_encoder(subject)))
    kernels = subject.model.network.front.layer.kernels
    for place, kernel in enumerate(kernels):
        sees = reach(canvas, examples, "layer 1", 2 * VIEWS * place)
        half = kernel.dilation[0] * (kernel.kernel_size[0] // 2)
        assert (sees.before, sees.behind) == (half, half + 1)
    assert sees.box(0, 3, (60, 2)) == (slice(0, 3 + half + 1), slice(0, 2))


def test_a_place_of_the_stem_sees_five_frames_and_bands(sound: Any) -> None:
    subject, examples = sound
    canvas = Canvas(subject, never_silent(the_encoder(subject)))
    sees = reach(canvas, examples, "stem", 0)
    assert (sees.before + sees.behind, sees.below + sees.above) == (5, 5)
    assert sees.before == 2
    assert (sees.stride, sees.step) == (2, 2.0)


@pytest.mark.parametrize("name", ["series", "sound"])
def test_what_is_made_excites_its_channel(name: str, request: Any) -> None:
    subject, examples = request.getfixturevalue(name)
    encoder = never_silent(the_encoder(subject))
    canvas, stage = Canvas(subject, encoder), answers(subject, encoder, examples)[0]
    drawn, middle = made(subject, canvas, stage.name, np.array([0, 1]))
    batch = canvas.inputs(examples.take(np.array([0, 0])))[:, :1] * 0
    batch = batch.expand(2, 2_000) if name == "sound" else torch.from_numpy(drawn)
    maps = canvas.maps(stage.name, batch.contiguous(), torch.from_numpy(drawn))
    rest = canvas.maps(stage.name, batch.contiguous(), torch.zeros(drawn.shape))
    for row in (0, 1):
        excited = maps[:, row, middle[0], middle[1]]
        assert float(excited[row]) > 2 * abs(float(rest[row, row, middle[0], middle[1]]))
        assert float(excited[row]) > float(excited[1 - row])
    shown = item(subject, encoder, examples, stage, np.array([0, 1]), count=2)
    pictures = [c["image"] for c in shown["channels"]] + shown["channels"][0]["patches"]
    assert all(picture.startswith("data:image/png;base64,") for picture in pictures)
    assert shown["note"].startswith("a place sees ")


# --- texts


def channels_of(name: str) -> Record:
    return EVIDENCE["channels"].measure(fresh(name), Budget(60))[0]


def test_shares_of_runs_sum_to_the_outputs() -> None:
    subject = fresh("texts-bag")
    network = copied_network(subject)
    assert linear_in_runs(network)
    inputs = batch_of(subject, subject.examples("validation").take(np.arange(12))).inputs
    found, mask = shares(network, next(iter(inputs.values())))
    assert (found[~mask] == 0).all()
    total = found.sum(dim=1) + network.head.linear.bias
    assert torch.allclose(total, network(inputs), atol=1e-4)


def test_words_that_speak_for_a_class_are_those_it_was_made_of() -> None:
    figure = channels_of("texts-bag").figure
    assert figure is not None
    spoken = {c["name"]: " ".join(c["words"]) for c in figure.data["items"][0]["channels"]}
    good = ("joy", "lovely", "well", "warm", "delight", "funny")
    bad = ("bore", "dreadful", "badly", "cold", "pain", "dull")
    for name, words, others in (("good", good, bad), ("bad", bad, good)):
        assert any(word in spoken[name] for word in words)
        assert sum(w in spoken[name] for w in words) > sum(w in spoken[name] for w in others)


def test_runs_of_tokens_are_as_long_as_a_place_sees() -> None:
    figure = channels_of("texts-convnet").figure
    assert figure is not None
    notes = [stage["note"] for stage in figure.data["items"]]
    assert notes == [f"a place sees {count} tokens" for count in (2, 6, 10)]
    mixed = channels_of("texts+number-mixed").figure
    assert mixed is not None
    assert [s["stage"].partition(":")[0] for s in mixed.data["items"]] == ["judgement"] * 2


def test_networks_that_do_not_convolve_are_told() -> None:
    record = channels_of("texts-lstm")
    assert record.status == "not_applicable"
    assert "convnet" in record.reason
