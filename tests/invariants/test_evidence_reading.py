"""The walkthrough says what a filter lies on in the words of its kind of data."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fathom.core.blocks import AudioBlock, SeriesBlock, TextBlock
from fathom.core.schema import AudioStatistics
from fathom.data.sounds import told_sounds
from fathom.evidence.drawing import spectrogram
from fathom.evidence.reading import Reading, covered, under_filter

SOUND = AudioBlock(8_000, 8_000, 8_000, (0.0,) * 40, (1.0,) * 40)
HEARD = Reading("stem", "call", SOUND, torch.zeros(98, 40))
LOAD = Reading("front", "load", SeriesBlock(2, 50, 50, False))


def test_a_filter_over_sound_lies_on_bands_and_moments() -> None:
    layer = nn.Conv2d(1, 4, 5, padding=2)
    assert covered(HEARD, layer, (8, 20)) == "bands 9 to 13 and the moments from 0.20 to 0.24 s"
    assert covered(HEARD, layer, (-2, -2)) == "bands 1 to 3 and the moments from 0.00 to 0.02 s"
    assert under_filter(HEARD, (1, 5, 5), 7) == "band 2, moment 3 under the filter"
    assert covered(HEARD, nn.Conv1d(40, 4, 3), (10,)) == "the moments from 0.10 to 0.12 s"
    assert under_filter(HEARD, (40, 3), 4) == "moment 2 under the filter, band 2"
    assert covered(Reading("wave", "call", SOUND), nn.Conv1d(1, 4, 3), (10,)) == "samples 11 to 13"


@pytest.mark.parametrize(
    ("term", "said"),
    [
        (0, "step 1 under the filter, channel 1"),
        (9 + 1, "step 2 under the filter, channel 2"),
        (27 + 8, "step 9 under the filter, rank of channel 2"),
        (36, "step 1 under the filter, rank of the change of channel 1"),
    ],
)
def test_a_filter_over_series_names_steps_and_channels(term: int, said: str) -> None:
    assert under_filter(LOAD, (6, 9), term) == said
    assert covered(LOAD, nn.Conv1d(6, 4, 9), (3,)) == "steps 4 to 12"


def test_filters_over_texts_and_pictures() -> None:
    text = Reading("convolution", "note", TextBlock(9, 5, 5))
    assert under_filter(text, (4, 3), 5) == "token 3 under the filter, number 2 of its vector"
    picture = Reading("stem")
    assert covered(picture, nn.Conv2d(3, 4, 3), (0, 6)) == "the picture at row 1, column 7"
    assert under_filter(picture, (3, 3, 3), 9) == "row 1, column 1 under the filter, channel 2"


def test_loud_bands_are_dark() -> None:
    assert spectrogram(torch.rand(98, 40).numpy()).startswith("data:image/png;base64,")


def test_all_rows_are_a_hundred_per_cent() -> None:
    one = (0.0,)
    told = told_sounds(AudioStatistics(16_000, 16_000, 16_000, one, one, 0.0, 1.0, 0))
    assert "of 100.0 % of the training rows resampled" in told
