"""Augmentation is a pure function of inputs and generator, and keeps what it must keep."""

from __future__ import annotations

import pytest
import torch

from fathom.core.batch import PATCH_SHARE, PATCH_TARGETS, Batch
from fathom.core.errors import PlanError
from fathom.core.output import OutputSpec
from fathom.data.augment import (
    Augment,
    AugmentSpec,
    PictureSizes,
    cut_out,
    move,
    patch,
    relight,
    zoom,
)
from fathom.tasks.classification import Classification
from fathom.tasks.losses import mean_loss

SPECS = {
    "flip": AugmentSpec(flip=True),
    "shift": AugmentSpec(shift=2),
    "cutout": AugmentSpec(cutout=4),
    "brightness": AugmentSpec(brightness=0.3),
    "contrast": AugmentSpec(contrast=0.3),
    "zoom": AugmentSpec(zoom=0.2),
    "all": AugmentSpec(flip=True, shift=3, cutout=5, brightness=0.2, contrast=0.2, zoom=0.2),
}


def augmented(spec, inputs, generator):
    return Augment(spec)(Batch(inputs), generator).inputs


def waves(count=16):
    generator = torch.Generator().manual_seed(2)
    values = torch.randn(count, 40, 2, generator=generator)
    values[torch.arange(40) >= torch.linspace(5, 40, count).long()[:, None]] = torch.nan
    values[:, 2] = torch.nan
    return values


@pytest.mark.parametrize(
    "spec", [AugmentSpec(jitter=0.1), AugmentSpec(rescale=0.3), AugmentSpec(slide=0.2)]
)
def test_series_keep_their_ends_and_change_with_the_generator_alone(spec):
    inputs = {"signal": waves(), "numbers": torch.randn(16, 3)}
    first, again, other = (augmented(spec, inputs, seeded(seed)) for seed in (0, 0, 1))
    torch.testing.assert_close(first["signal"], again["signal"], rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(first["signal"].nan_to_num(), other["signal"].nan_to_num())
    assert first["numbers"] is inputs["numbers"]
    ends = [(~block.isnan()).any(dim=2).sum(dim=1) for block in (waves(), first["signal"])]
    assert (ends[0] - ends[1]).abs().max() <= 2  # a gap may slide over a rim
    beyond = torch.arange(40) >= torch.linspace(5, 40, 16).long()[:, None]
    assert first["signal"][beyond].isnan().all()
    if not spec.slide:
        assert torch.equal(first["signal"].isnan(), waves().isnan())


def pictures(count=64, channels=3, height=10, width=12, dtype=torch.uint8):
    generator = torch.Generator().manual_seed(1)
    shape = (count, channels, height, width)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8).to(dtype)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("name", list(SPECS))
def test_pure_function_of_inputs_and_generator(name, dtype):
    images = pictures(dtype=dtype)
    inputs = {"image": images, "numbers": torch.randn(64, 3)}
    kept = {key: value.clone() for key, value in inputs.items()}
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, again, other = (augmented(SPECS[name], inputs, seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(inputs[key], kept[key]) for key in kept)
    assert list(first) == list(inputs)
    assert torch.equal(first["image"], again["image"])
    assert not torch.equal(first["image"], other["image"])
    assert not torch.equal(first["image"], images)
    assert torch.equal(first["numbers"], inputs["numbers"])
    assert first["image"].shape == images.shape
    assert first["image"].dtype == dtype


def test_off_is_the_identity_and_draws_nothing():
    generator = seeded()
    before = generator.get_state()
    images = pictures()
    assert torch.equal(augmented(AugmentSpec(), {"image": images}, generator)["image"], images)
    assert torch.equal(generator.get_state(), before)


def test_flip_mirrors_about_half():
    images = pictures(count=400)
    moved = move(images, 0, True, seeded())
    same = (moved == images).flatten(1).all(1)
    mirrored = (moved == images.flip(3)).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 150 < int(mirrored.sum()) < 250


def test_shift_is_a_crop_of_the_reflected_picture():
    images = pictures(count=100)
    moved = move(images, 2, False, seeded())
    padded = torch.nn.functional.pad(images.float(), (2, 2, 2, 2), mode="reflect").to(torch.uint8)
    crops = [padded[:, :, y : y + 10, x : x + 12] for y in range(5) for x in range(5)]
    matches = torch.stack([(moved == crop).flatten(1).all(1) for crop in crops])
    assert matches.any(0).all()
    assert matches.any(1).all()  # every one of the 25 shifts occurs


def test_every_channel_moves_alike():
    grey = pictures(channels=1).expand(-1, 3, -1, -1)
    moved = augmented(SPECS["all"], {"image": grey}, seeded())["image"]
    assert torch.equal(moved[:, 0], moved[:, 2])


@pytest.mark.parametrize("side", [1, 2, 3])
def test_shift_larger_than_the_picture(side):
    images = pictures(height=side, width=side)
    moved = move(images, 9, True, seeded())
    assert moved.shape == images.shape


def test_cutout_blanks_one_square():
    images = pictures(count=200, channels=1)
    changed = (cut_out(images, 4, seeded()) != images)[:, 0]
    assert changed.flatten(1).sum(1).max() <= 16
    assert changed.any(2).sum(1).max() <= 4
    assert changed.any(1).sum(1).max() <= 4
    assert changed.any(0).all()  # every place is reached


def test_relight_stays_in_range_and_keeps_the_order():
    images = pictures()
    lit = relight(images, 0.9, 0.5, seeded())
    assert lit.min() == 0
    assert lit.max() == 255
    order = images[0].flatten().argsort()
    assert (lit[0].flatten()[order].int().diff() >= 0).all()


def test_zoom_keeps_the_middle():
    images = torch.zeros(50, 1, 11, 11, dtype=torch.uint8)
    images[:, :, 5, 5] = 200
    zoomed = zoom(images, 0.3, seeded())
    assert (zoomed[:, 0].flatten(1).argmax(1) == 60).all()
    flat = torch.full((5, 1, 11, 11), 77, dtype=torch.uint8)
    assert torch.equal(zoom(flat, 0.3, seeded()), flat)


def test_a_patch_is_a_rectangle_of_the_next_picture_and_its_share_is_counted():
    count = 400
    images = torch.arange(count).view(-1, 1, 1, 1).expand(-1, 1, 16, 20).float()
    targets = torch.arange(count)
    batch = Batch({"image": images}, targets)
    patched = patch(batch, 0.5, seeded())
    foreign = patched.inputs["image"][:, 0] != images[:, 0]
    share = foreign.float().mean(dim=(1, 2))
    torch.testing.assert_close(patched.extra[PATCH_SHARE], share)
    assert torch.equal(patched.extra[PATCH_TARGETS], targets.roll(1))
    rectangle = foreign.any(2)[:, :, None] & foreign.any(1)[:, None, :]
    assert torch.equal(foreign, rectangle)
    assert torch.equal(patched.inputs["image"][:, 0][foreign].long(), _of_next(targets, foreign))
    assert 150 < int((share > 0).sum()) < 230  # half of them; the smallest patches cover nothing
    assert share.max() > 0.8
    assert torch.equal(patched.targets, targets)
    assert torch.equal(batch.inputs["image"], images)


def _of_next(targets, foreign):
    return targets.roll(1)[:, None, None].expand_as(foreign)[foreign]


def test_a_patched_picture_is_learned_as_both():
    logits, targets = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    task = Classification(OutputSpec("classes", labels=("a", "b", "c")), label_smoothing=0.1)
    share = torch.tensor([0.0, 0.3, 1.0, 0.5, 0.0, 0.2])
    extra = {PATCH_TARGETS: targets.roll(1), PATCH_SHARE: share}
    mixed = mean_loss(task._losses, logits, Batch({}, targets, extra=extra))
    own, other = (task._losses(logits, t) for t in (targets, targets.roll(1)))
    torch.testing.assert_close(mixed, ((1 - share) * own + share * other).mean())


def test_patches_are_for_examples_of_one_picture_alone():
    inputs = {"image": pictures(), "numbers": torch.randn(64, 3)}
    with pytest.raises(PlanError, match="other columns"):
        patch(Batch(inputs, torch.zeros(64)), 0.5, seeded())


@pytest.mark.parametrize(
    "fields",
    [
        {"shift": -1},
        {"cutout": -2},
        {"zoom": 1.0},
        {"contrast": -1},
        {"progressive": 0},
        {"cutmix": 1.5},
        {"cutmix": -0.1},
    ],
)
def test_nonsense_is_refused(fields):
    with pytest.raises(PlanError, match="augment"):
        AugmentSpec(**fields)


def test_pictures_grow_in_a_few_even_steps_and_are_full_at_the_end():
    sizes = PictureSizes(0.55, 28)
    sides = [sizes.side(28, i / 100) for i in range(101)]
    assert sides == sorted(sides)
    assert sorted(set(sides)) == [16, 20, 24, 28]
    assert all(side == 28 for side in sides[70:])
    assert sizes.cost(1.0) == 1.0
    assert sizes.cost(0.0) == (16 / 28) ** 2
    assert {PictureSizes(0.1, 8).side(full, 0.0) for full in (1, 2, 3)} == {1, 2}


def test_a_small_picture_shows_the_same():
    images = pictures(height=28, width=56)
    inputs = {"image": images, "numbers": torch.ones(64, 3)}
    sizes = PictureSizes(0.5, 28)
    small = sizes(inputs, 0.0)
    assert small["image"].shape == (64, 3, 16, 32)
    assert small["image"].dtype == torch.uint8
    assert small["numbers"] is inputs["numbers"]
    means = [x.float().mean(dim=(2, 3)) for x in (images, small["image"])]
    torch.testing.assert_close(*means, rtol=0, atol=6)
    assert torch.equal(sizes(inputs, 1.0)["image"], images)
