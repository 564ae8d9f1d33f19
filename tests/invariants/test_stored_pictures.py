"""Pictures on disk are the pictures in memory: the same batches, weights and answers."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from fathom.core.errors import PlanError, StorageError
from fathom.core.examples import Examples
from fathom.core.progress import Silent
from fathom.core.schema import ImageStatistics
from fathom.core.stored import StoredArray, StoredFile, take
from fathom.data import cache, pictures
from fathom.data.pictures import encode_pictures
from fathom.data.source import ArraySource
from fathom.inference import run_network
from fathom.planning.flips import mirrored

SIZE = ImageStatistics(8, 8, 3, (0.0,) * 3, (1.0,) * 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 3, 4, 5), dtype=np.uint8)


@pytest.fixture
def stored(tmp_path):
    (tmp_path / "pixels.bin").write_bytes(PIXELS.tobytes())
    return StoredArray(StoredFile(tmp_path / "pixels.bin", PIXELS.shape))


@pytest.mark.parametrize(
    "key",
    [
        slice(None),
        slice(30, 5, -3),
        slice(7, 7),
        np.array([3, 3, 39, 0, -1]),
        np.array([], dtype=np.int64),
        PIXELS[:, 0, 0, 0] > 100,
        17,
    ],
)
def test_a_stored_array_is_indexed_like_one_in_memory(stored, key):
    found = stored[key]
    assert type(found) is np.ndarray
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, PIXELS[key])
    positions = np.array([5, 0, 30, 30, 8])
    view = take(stored, positions)
    assert isinstance(view, StoredArray)
    assert (view.shape, view.ndim, len(view)) == ((5, 3, 4, 5), 4, 5)
    np.testing.assert_array_equal(view, PIXELS[positions])
    np.testing.assert_array_equal(view.take(view.rows == 30)[:], PIXELS[[30, 30]])


def test_a_stored_array_outlives_the_removal_of_its_file_and_refuses_another_size(stored, tmp_path):
    (tmp_path / "pixels.bin").unlink()
    np.testing.assert_array_equal(stored[5:9], PIXELS[5:9])
    (tmp_path / "short.bin").write_bytes(b"x")
    with pytest.raises(ValueError, match="size"):
        StoredFile(tmp_path / "short.bin", PIXELS.shape)
    with pytest.raises(IndexError, match="whole rows"):
        stored[..., ::-1]


def test_examples_of_a_file_are_taken_sampled_and_mirrored_without_being_read(stored):
    there = Examples({"image": stored}, np.arange(40), np.arange(40))
    here = Examples({"image": PIXELS}, np.arange(40), np.arange(40))
    rows = np.array([9, 2, 33])
    for change in (lambda e: e.take(rows), mirrored, lambda e: mirrored(mirrored(e).take(rows))):
        one, two = change(there), change(here)
        assert isinstance(one.inputs["image"], StoredArray)
        np.testing.assert_array_equal(one.inputs["image"], two.inputs["image"])
        np.testing.assert_array_equal(one.targets, two.targets)


def test_batches_and_outputs_from_a_file_are_those_from_memory(stored):
    targets = torch.arange(40)
    sources = [
        ArraySource({"image": block}, targets, batch_size=7, seed=3)
        for block in (stored, torch.from_numpy(PIXELS))
    ]
    for one, two, _ in zip(*(source.batches() for source in sources), range(12), strict=False):
        assert torch.equal(one.inputs["image"], two.inputs["image"])
        assert torch.equal(one.targets, two.targets)
    resumed = ArraySource({"image": stored}, targets, batch_size=7, seed=3)
    resumed.load_state_dict(sources[1].state_dict())
    one, two = next(resumed.batches()), next(sources[1].batches())
    assert torch.equal(one.inputs["image"], two.inputs["image"])

    class Sums(nn.Module):
        def forward(self, inputs):
            return inputs["image"].float().flatten(1).sum(1, keepdim=True)

    examples = [Examples({"image": b}, None, np.arange(40)) for b in (stored, PIXELS)]
    one, two = (run_network(Sums(), each) for each in examples)
    assert torch.equal(one, two)


def folder_of_pictures(root, count=30):
    generator = np.random.default_rng(1)
    files = []
    for i in range(count):
        path = root / f"{i}.png"
        Image.fromarray(generator.integers(0, 255, (9, 11, 3), dtype=np.uint8)).save(path)
        files.append(str(path))
    (root / "3.png").write_bytes(b"nothing")
    return pd.Series(files, dtype="str")


def test_what_was_decoded_is_found_again_in_memory_and_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "KEPT_SECONDS", 0.0)
    monkeypatch.setattr(pictures, "CHUNK", 7)
    column = folder_of_pictures(tmp_path)
    plain, bad = encode_pictures(column, SIZE)
    first = encode_pictures(column, SIZE, digest="sha256:a")

    def refuse(*_):
        raise AssertionError("decoded again")

    told = Silent()
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "decode", refuse)
        again = encode_pictures(column, SIZE, told, digest="sha256:a")
        patch.setenv("FATHOM_CACHE_ABOVE", "0")
        on_disk = encode_pictures(column, SIZE, told, digest="sha256:a")
    for pixels, unreadable in (first, again, on_disk):
        np.testing.assert_array_equal(pixels, plain)
        assert unreadable == bad
        assert list(bad) == [3]
    assert isinstance(on_disk[0], StoredArray)
    assert "taken from the cache" in told.sentences[0]
    monkeypatch.setenv("FATHOM_CACHE_ABOVE", "0")
    streamed, unreadable = encode_pictures(column, SIZE, told, digest="sha256:b")
    assert isinstance(streamed, StoredArray)
    np.testing.assert_array_equal(streamed, plain)
    assert unreadable == bad
    assert "read batch by batch" in told.sentences[-1]


def test_other_pictures_and_other_forms_have_entries_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setenv("FATHOM_CACHE_ABOVE", "0")
    column = folder_of_pictures(tmp_path)
    encode_pictures(column, SIZE, digest="sha256:a")
    encode_pictures(column, SIZE, digest="sha256:changed")
    encode_pictures(column[:20], SIZE, digest="sha256:a")
    grey = ImageStatistics(8, 8, 1, (0.0,), (1.0,))
    encode_pictures(column, grey, digest="sha256:a")
    assert len(list(cache.cache_folder().iterdir())) == 4
    moved = tmp_path / "elsewhere"
    shutil.copytree(tmp_path, moved)
    elsewhere = pd.Series([str(moved / f"{i}.png") for i in range(30)], dtype="str")
    encode_pictures(elsewhere, SIZE, digest="sha256:a")
    assert len(list(cache.cache_folder().iterdir())) == 4  # the folder may be moved


def test_a_damaged_or_unfinished_entry_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("FATHOM_CACHE_ABOVE", "0")
    column = folder_of_pictures(tmp_path)
    plain, _ = encode_pictures(column, SIZE)
    encode_pictures(column, SIZE, digest="sha256:a")
    (entry,) = cache.cache_folder().iterdir()
    for damage in (
        lambda: (entry / "pixels.bin").write_bytes(b"cut short"),
        lambda: (entry / "manifest.json").write_bytes(b"{"),
        (entry / "manifest.json").unlink,
    ):
        damage()
        np.testing.assert_array_equal(encode_pictures(column, SIZE, digest="sha256:a")[0], plain)

    def fail(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pictures, "decode", fail)
        with pytest.raises(KeyboardInterrupt):
            encode_pictures(column, SIZE, digest="sha256:new")
    assert list(cache.cache_folder().iterdir()) == [entry]


def test_the_cache_is_bounded_and_says_when_there_is_no_room(tmp_path, monkeypatch):
    monkeypatch.setenv("FATHOM_CACHE_ABOVE", "0")
    column = folder_of_pictures(tmp_path)
    each = 30 * 3 * 8 * 8
    monkeypatch.setenv("FATHOM_CACHE_LIMIT", f"{3 * each}")
    for digest in "abc":
        encode_pictures(column, SIZE, digest=digest)
    encode_pictures(column, SIZE, digest="a")  # used again: the oldest is now b
    encode_pictures(column, SIZE, digest="d")
    kept = [
        d for d in "abcd" if cache.holds(cache.key_of(d, pictures.names_of(column), "").content)
    ]
    assert "a" in kept
    assert "d" in kept
    assert "b" not in kept
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(StorageError, match="FATHOM_CACHE"):
        encode_pictures(column, SIZE, digest="e")
    monkeypatch.setenv("FATHOM_CACHE_LIMIT", "much")
    with pytest.raises(PlanError, match="FATHOM_CACHE_LIMIT is 'much'"):
        cache.limit()


def test_an_entry_above_the_limit_is_not_stored_and_removes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "KEPT_SECONDS", 0.0)
    column = folder_of_pictures(tmp_path)
    monkeypatch.setenv("FATHOM_CACHE_LIMIT", f"{30 * 3 * 8 * 8 + 1000}")
    encode_pictures(column, SIZE, digest="a")
    (entry,) = cache.cache_folder().iterdir()
    large = ImageStatistics(16, 16, 3, (0.0,) * 3, (1.0,) * 3)
    told = Silent()
    plain, _ = encode_pictures(column, large)
    np.testing.assert_array_equal(encode_pictures(column, large, told, digest="a")[0], plain)
    assert "FATHOM_CACHE_LIMIT allows" in told.sentences[-1]
    monkeypatch.setenv("FATHOM_CACHE_ABOVE", "0")
    with pytest.raises(StorageError, match="FATHOM_CACHE_LIMIT allows"):
        encode_pictures(column, large, digest="a")
    assert list(cache.cache_folder().iterdir()) == [entry]


def test_two_runs_may_write_one_entry_at_the_same_time():
    key, shape = cache.key_of("a", ["x"], "form"), (1, 1, 2, 2)
    pixels = np.full(shape, 7, dtype=np.uint8)
    with cache.storing_entry(key, shape) as first:
        first.append(pixels)
        with cache.storing_entry(key, shape) as second:
            second.append(pixels)
        (kept,) = (p for p in cache.cache_folder().iterdir() if not p.name.startswith("."))
        written = (kept / "manifest.json").stat().st_ino
    assert list(cache.cache_folder().iterdir()) == [kept]
    assert (kept / "manifest.json").stat().st_ino == written  # the first to finish stays
    found = cache.find(key, shape)
    assert found is not None
    np.testing.assert_array_equal(found.pixels, pixels)
