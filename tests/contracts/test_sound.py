"""Sound files of every form, log-mel energies beside a written-out reference, folders of texts."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from PIL import Image

from fathom.core.blocks import PADDING_SAMPLE, AudioBlock
from fathom.core.budget import Budget
from fathom.core.errors import BudgetError, DataError
from fathom.core.mel import FLOOR, LogMel, bands_of, hop_of, mel_filters, window_of
from fathom.core.progress import Silent
from fathom.core.schema import Field, Schema
from fathom.data import sound_files, sounds
from fathom.data.augment_sounds import move_in_time, relisten
from fathom.data.encode import encode
from fathom.data.file_columns import find_files
from fathom.data.infer import infer_schema
from fathom.data.learn import learn
from fathom.data.read import read, read_rows
from fathom.data.remarks import remarks
from fathom.data.sound_files import header, is_cut_off, open_sound
from fathom.data.sounds import encode_sounds, learn_sounds, statistics_fit, told_sounds
from fathom.deployment.surprises import find_surprises
from fathom.networks.sound import Bands
from tones import tone, tone_folder, write

SECOND = np.arange(16_000) / 16_000


def by_hand(samples: np.ndarray, rate: int, bands: int) -> np.ndarray:
    """Log-mel energies frame by frame, as the definition reads."""
    length, hop = window_of(rate), hop_of(rate)
    size = 2 ** int(np.ceil(np.log2(length)))
    filters = mel_filters(rate, bands).astype(np.float64)
    found = []
    for start in range(0, max(1, len(samples) - length + 1), hop):
        piece = np.zeros(length)
        part = samples[start : start + length] / 32_768
        piece[: len(part)] = part
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
        spectrum = np.abs(np.fft.rfft(piece * hann, size)) ** 2
        found.append(np.log(spectrum @ filters + FLOOR))
    return np.array(found)


@pytest.mark.parametrize(("rate", "count"), [(8_000, 3_000), (16_000, 5_001), (11_025, 100)])
def test_log_mel_energies_are_those_of_the_definition(rate, count):
    generator = np.random.default_rng(0)
    rows = [generator.integers(-9_000, 9_000, n).astype(np.int16) for n in (count, count // 3)]
    batch = np.full((2, count), PADDING_SAMPLE, dtype=np.int16)
    for place, row in enumerate(rows):
        batch[place, : len(row)] = row
    energies, mask = LogMel(rate, bands_of(rate))(torch.from_numpy(batch))
    for place, row in enumerate(rows):
        wanted = by_hand(row.astype(np.float64), rate, bands_of(rate))
        assert mask[place].sum() == len(wanted)
        found = energies[place][mask[place]].numpy()
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-3)


def test_a_tone_is_loudest_in_the_band_of_its_pitch():
    for hertz in (200.0, 1_000.0, 3_000.0):
        samples = torch.from_numpy((8_000 * np.sin(2 * np.pi * hertz * SECOND)).astype(np.int16))
        energies, _ = LogMel(16_000, 64)(samples[None])
        peaks = mel_filters(16_000, 64).argmax(axis=0) * 16_000 / 512
        assert abs(peaks[int(energies[0, 5].argmax())] - hertz) < 0.1 * hertz + 40
    assert (mel_filters(4_000, 40).sum(axis=0) > 0).all()


@pytest.mark.parametrize("ending", [".wav", ".flac", ".ogg", ".mp3", ".aiff"])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_form_is_read_as_one_channel_at_one_rate(tmp_path, ending, channels):
    sound = 0.5 * np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)
    path = write(tmp_path / f"a{ending}", np.repeat(sound[:, None], channels, 1), 44_100)
    assert header(path).rate == 44_100
    found = open_sound(path, 16_000, 100_000) / 32_767
    wanted = 0.5 * np.sin(2 * np.pi * 440 * SECOND)
    assert found.dtype == np.float64
    assert abs(len(found) - 16_000) < 1_000  # mp3 fills up its last block
    shifts = range(1_200 if ending == ".mp3" else 1)  # and begins a little later
    far = min(np.abs(found[1_500 + s : 9_000 + s] - wanted[1_500:9_000]).mean() for s in shifts)
    assert far < 0.02
    assert len(open_sound(path.read_bytes(), 16_000, 500)) == 500


def test_what_is_no_sound_says_why(tmp_path, monkeypatch):
    (tmp_path / "t.wav").write_text("I am no sound.")
    (tmp_path / "z.wav").write_bytes(b"")
    empty = write(tmp_path / "e.wav", np.zeros((0, 1)))
    short = write(tmp_path / "s.wav", tone("low", 0))
    odd = write(tmp_path / "n.wav", tone("low", 0))
    soundfile.write(odd, np.array([0.0, np.nan, 0.1]), 4_000, subtype="FLOAT")
    reasons = {}
    for name in ("t.wav", "z.wav", "gone.wav", empty, odd):
        with pytest.raises(DataError) as caught:
            open_sound(tmp_path / name, 4_000, 1_000)
        reasons[str(name)[-8:]] = str(caught.value)
    assert "Format not recognised" in reasons["t.wav"]
    assert reasons["z.wav"] == "is empty"
    assert "no such file" in reasons["gone.wav"]
    assert "holds no sound" in reasons[str(empty)[-8:]]
    assert "no numbers" in reasons[str(odd)[-8:]]
    monkeypatch.setattr(sound_files, "MAX_BYTES", 100)
    with pytest.raises(DataError, match="larger than"):
        open_sound(short, 4_000, 1_000)


def test_damaged_bytes_never_raise_anything_else():
    file = io.BytesIO()
    soundfile.write(file, tone("high", 1), 4_000, format="FLAC")
    generator, whole = np.random.default_rng(0), file.getvalue()
    for _ in range(200):
        data = bytearray(whole[: generator.integers(0, len(whole) + 1)])
        for at in generator.integers(0, max(1, len(data)), 3):
            if data:
                data[at] = generator.integers(0, 256)
        try:
            assert len(open_sound(bytes(data), 8_000, 4_000))
        except DataError as error:
            assert str(error)


def test_statistics_come_from_most_common_rate_and_are_told(tmp_path):
    files = [write(tmp_path / f"{i}.wav", tone("low", i)) for i in range(120)]
    files += [write(tmp_path / f"b{i}.wav", tone("low", i, 8_000), 8_000) for i in range(10)]
    files.append(write(tmp_path / "long.wav", np.full((16_000, 1), 0.1)))
    files.append(tmp_path / "gone.wav")
    column = pd.Series([str(path) for path in files])
    found = learn_sounds("call", column)
    assert (found.rate, found.missing) == (4_000, 1)
    assert found.length == sounds.CHEAP_SECONDS * 4_000  # of four seconds
    assert 0 < found.lost < 0.5
    assert statistics_fit(found)
    told = told_sounds(found)
    assert "4,000 samples a second (of 7.6 % of the training rows resampled)" in told
    assert "are cut there" in told
    block, unreadable = encode_sounds(column, found)
    assert list(unreadable) == [131]
    assert block.lengths[130] == found.length
    assert block.dtype == np.int16
    assert block.values.min() > PADDING_SAMPLE
    slow = iter(np.arange(0.0, 1e6, 50.0))
    with pytest.raises(BudgetError, match="Reading the 132 sounds"):
        encode_sounds(column, found, budget=Budget(100.0, clock=lambda: float(next(slow))))
    with pytest.raises(DataError, match="None of the sounds"):
        learn_sounds("call", pd.Series(["nowhere.wav"]))


def test_the_longest_of_short_sounds_is_not_cut(tmp_path):
    files = [write(tmp_path / f"{i}.wav", tone("low", i)) for i in range(120)]
    files.append(write(tmp_path / "long.wav", np.full((6_000, 1), 0.1)))
    found = learn_sounds("call", pd.Series(list(map(str, files))))
    assert (found.length, found.cut, found.lost) == (6_000, 0.0, 0.0)


def test_damaged_and_silent_and_cut_sounds_are_told_of_and_kept(tmp_path):
    for label in ("low", "high"):
        for i in range(20):
            write(tmp_path / "all" / label / f"{i}.wav", tone(label, i))
    half = (tmp_path / "all" / "low" / "3.wav").read_bytes()
    (tmp_path / "all" / "low" / "3.wav").write_bytes(half[: len(half) // 2])
    write(tmp_path / "all" / "high" / "7.wav", np.zeros((800, 1)))
    raw = read(tmp_path / "all")
    schema = learn(infer_schema(raw), raw.table, np.arange(len(raw)))
    encoded = encode(raw.table, schema)
    assert not encoded.unreadable
    said = {p.where: p.reason for p in remarks(raw, schema, encoded, len(raw))}
    assert said["low/3.wav"].startswith("1 of 40 sounds is shorter than the header says")
    assert said["high/7.wav"].startswith("1 of 40 sounds is silent")
    assert len(said) == 2
    new = pd.DataFrame({"audio": [str(write(tmp_path / "l.wav", np.full((60_000, 1), 0.1)))]})
    new.loc[1] = str(tmp_path / "all" / "low" / "3.wav")
    rows = read_rows(new, schema)
    found = find_surprises(rows.table, schema, encode(rows.table, schema, targets=False))
    assert sorted(count for count in found.values()) == [1, 1]
    assert any("are longer than 0." in what for _, what in found)
    assert any("shorter than the header" in what for _, what in found)


def test_a_header_that_does_not_know_the_length_promises_nothing(tmp_path):
    content = bytearray(write(tmp_path / "a.wav", tone("low", 1)).read_bytes())
    assert not is_cut_off(bytes(content))
    assert is_cut_off(bytes(content[:-100]))
    at = content.index(b"data") + 4
    content[at : at + 4] = b"\xff" * 4
    assert not is_cut_off(bytes(content))
    assert not is_cut_off(b"RIFF")


def test_high_rates_are_brought_down(tmp_path):
    files = [write(tmp_path / f"{i}.wav", tone("high", i, 44_100), 44_100) for i in range(4)]
    assert learn_sounds("call", pd.Series(list(map(str, files)))).rate == sounds.MOST_RATE


def test_the_digest_covers_what_is_in_the_files(tmp_path):
    for i in range(12):
        write(tmp_path / f"{i}.wav", tone("low", i))
    frame = pd.DataFrame({"call": [f"{i}.wav" for i in range(12)], "y": ["a", "b"] * 6})
    frame.to_csv(tmp_path / "t.csv", index=False)

    def digest():
        raw = read(tmp_path / "t.csv")
        schema = infer_schema(raw, target="y")
        assert schema.of_kind("audio")[0].reason.startswith("paths of sounds: all 12")
        return find_files(raw, schema, Silent()).digest

    before = digest()
    write(tmp_path / "3.wav", tone("high", 3))
    assert digest() != before


def test_bytes_are_sounds_too():
    cells = []
    for i in range(12):
        file = io.BytesIO()
        soundfile.write(file, tone("low", i), 4_000, format="WAV")
        cells.append(file.getvalue())
    raw = read(pd.DataFrame({"call": cells, "y": ["a", "b"] * 6}))
    schema = infer_schema(raw, target="y")
    assert schema.of_kind("audio")[0].reason == "encoded sounds: 12 of 12 values"
    learned = learn(schema, raw.table, np.arange(12))
    assert len(encode(raw.table, learned).examples.inputs["call"]) == 12


def test_folders_of_sounds_with_given_splits_and_strays(tmp_path):
    for split in ("train", "test"):
        tone_folder(tmp_path / split, 12)
    Image.new("RGB", (4, 4)).save(tmp_path / "train" / "low" / "cover.jpg")
    raw = read(tmp_path)
    assert set(raw.given_split) == {"train", "test"}
    assert (raw.kinds["audio"], raw.target, len(raw)) == ("audio", "label", 24)
    assert [problem.where for problem in raw.problems] == ["train/low/cover.jpg"]
    for i in range(6):
        Image.new("RGB", (4, 4)).save(tmp_path / "train" / "low" / f"{i}.png")
    with pytest.raises(DataError, match="holds pictures and sounds"):
        read(tmp_path)
    with pytest.raises(DataError, match="is one sound"):
        read(tmp_path / "train" / "low" / "0.wav")


def texts(root, count=12):
    for i in range(count):
        path = root / "ab"[i % 2] / f"{i}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"text {i}\nof caf\xe9s".encode("cp1252" if i == 4 else "utf-8"))
    return root


@pytest.mark.parametrize("ending", [".wav", ".png"])
def test_a_folder_of_two_kinds_says_so(tmp_path, ending):
    for i in range(20):
        folder = tmp_path / "mixed" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"said {i}.txt").write_text(f"words {i}")
        if ending == ".wav":
            write(folder / f"{i}.wav", tone("low", i))
        else:
            Image.new("L", (8, 8), i).save(folder / f"{i}.png")
    many = "sounds" if ending == ".wav" else "pictures"
    with pytest.raises(DataError, match=f"({many} and texts|texts and {many}), such as a/"):
        read(tmp_path / "mixed")
    (tmp_path / "flat").mkdir()  # to predict, what the folder holds most of counts
    write(tmp_path / "flat" / "0.wav", tone("low", 1))
    (tmp_path / "flat" / "notes.txt").write_text("about it")
    schema = Schema("classification", (Field("audio", "audio", "input", ""),))
    assert len(read_rows(tmp_path / "flat", schema)) == 1


def test_texts_beside_sounds_of_the_same_name_are_captions(tmp_path):
    for i in range(20):
        folder = tmp_path / "ab"[i % 2]
        folder.mkdir(exist_ok=True)
        (folder / f"{i}.txt").write_text(f"words {i}")
        write(folder / f"{i}.wav", tone("low", i))
    raw = read(tmp_path)
    assert len(raw.table) == 20
    assert "20 texts were left out" in raw.problems[-1].reason


def test_folders_of_texts_become_a_column_of_texts(tmp_path):
    for split in ("train", "dev"):
        texts(tmp_path / split)
    (tmp_path / "train" / "a" / "empty.txt").write_text(" ")
    (tmp_path / "train" / "b" / "binary.txt").write_bytes(b"\x00\x01\xff" * 50)
    raw = read(tmp_path)
    assert raw.table["text"][3] == "text 4\nof cafés"
    assert raw.table["label"][3] == "a"
    assert set(raw.given_split) == {"train", "validation"}
    assert {p.where for p in raw.problems} == {"train/a/empty.txt", "train/b/binary.txt"}
    schema = infer_schema(raw)
    assert schema.of_kind("text")[0].reason == "the data holds texts"


def test_texts_to_predict_may_lie_flat_or_alone(tmp_path):
    texts(tmp_path / "classes")
    schema = Schema(
        "classification",
        (Field("text", "text", "input", ""), Field("label", "category", "target", "")),
    )
    flat = tmp_path / "classes" / "a"
    raw = read_rows(flat, schema)
    assert (len(raw), raw.locate(0)) == (6, "0.txt")
    assert read_rows(flat / "2.txt", schema).table["text"][0] == "text 2\nof cafés"
    (tmp_path / "t.txt").write_text("text\tlabel\nhello there\ta\n")
    assert read_rows(tmp_path / "t.txt", schema).table["text"].tolist() == ["hello there"]


def test_augmented_sounds_keep_padding_and_repeat():
    sound = torch.full((3, 400), PADDING_SAMPLE, dtype=torch.int16)
    for row, length in enumerate((400, 250, 1)):
        sound[row, :length] = torch.arange(1, length + 1)
    one, two = (_changed(sound) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, sound)
    assert torch.equal(one == PADDING_SAMPLE, sound == PADDING_SAMPLE)
    moved = move_in_time(sound, 0.5, torch.Generator().manual_seed(3))
    kept = moved[0][moved[0] != 0]
    assert len(kept) >= 200
    assert (kept.diff() == 1).all()
    loud = torch.full((2, 50), 30_000, dtype=torch.int16)
    assert relisten(loud, 20.0, 0.0, torch.Generator().manual_seed(1)).max() == 32_767


def _changed(sound):
    generator = torch.Generator().manual_seed(3)
    return relisten(move_in_time(sound, 0.5, generator), 6.0, 0.1, generator)


def test_bands_and_moments_are_hidden_in_training_alone():
    bands = Bands(AudioBlock(8_000, 8_000, 8_000, (0.0,) * 40, (1.0,) * 40))
    sound = torch.randint(-9_000, 9_000, (4, 8_000), generator=torch.Generator().manual_seed(0))
    bands.hidden_bands, bands.hidden_time = 0.5, 0.0
    torch.manual_seed(1)
    hidden = bands(sound.short()).values == 0
    assert hidden.any()
    assert torch.equal(hidden.all(dim=1), hidden.any(dim=1))  # whole bands
    assert (hidden.all(dim=1).sum(dim=1) <= 20).all()
    bands.hidden_bands, bands.hidden_time = 0.0, 0.5
    hidden = bands(sound.short()).values == 0
    assert torch.equal(hidden.all(dim=2), hidden.any(dim=2))  # whole frames
    torch.manual_seed(5)
    one = bands(sound.short()).values
    torch.manual_seed(5)
    assert torch.equal(bands(sound.short()).values, one)
    assert not (bands.eval()(sound.short()).values == 0).any()
