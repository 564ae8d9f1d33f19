"""Packed, JSON, Arrow and several files that are damaged or do not fit: one sentence each."""

import gzip
import io
import json
import lzma
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from fathom.core.errors import DataError
from fathom.data.formats import packed, parquet
from fathom.data.read import read

TABLE = b"a,y\n1,u\n2,v\n3,u\n"


def reason(source, **options):
    with pytest.raises(DataError) as caught:
        read(source, **options)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith((".", "?"))
    return sentence


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv.gz", gzip.compress(TABLE * 99, mtime=0)[:-12]),
        ("t.csv.gz", TABLE),
        ("t.csv.xz", lzma.compress(TABLE * 99)[:-12]),
        ("t.csv.bz2", b"BZh9"),
        ("t.csv.zst", pa.compress(TABLE * 99, "zstd", asbytes=True)[:-5]),
        ("t.csv.zst", TABLE),
        ("t.csv.zip", b"PK\x03\x04 and nothing"),
    ],
    ids=["gz cut", "gz none", "xz cut", "bz2 cut", "zst cut", "zst none", "zip none"],
)
def test_damaged_packed_files(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert "damaged" in reason(tmp_path / name)


def test_archives_that_are_not_one_file(tmp_path):
    path = tmp_path / "t.zip"
    for names, part in ((["a.csv", "b.csv"], "holds 2 files (a.csv, b.csv)"), ([], "0 files")):
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, TABLE)
        assert part in reason(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", TABLE)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # "encrypted"
    path.write_bytes(bytes(data))
    assert "password" in reason(path)
    (tmp_path / "t.gz").write_bytes(gzip.compress(TABLE))
    assert "'.gz'" in reason(tmp_path / "t.gz")
    (tmp_path / "t.tar").write_bytes(b"")
    assert "unpack it" in reason(tmp_path / "t.tar")


@pytest.mark.parametrize("ending", [".gz", ".zip", ".zst", ".xz"])
def test_bombs_are_refused_before_they_fill_the_memory(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(packed, "HARMLESS_BYTES", 2**20)
    monkeypatch.setattr(packed, "CHUNK", 2**16)
    zeros, path = bytes(2**23), tmp_path / f"t.csv{ending}"
    if ending == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("t.csv", zeros)
    elif ending == ".zst":
        path.write_bytes(pa.compress(zeros, "zstd", asbytes=True))
    else:
        path.write_bytes({".gz": gzip, ".xz": lzma}[ending].compress(zeros))
    assert "unpacks to more than" in reason(path)


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("t.jsonl", '{"a": 1}\n{"a": \n', "t.jsonl line 2 is no JSON"),
        ("t.jsonl", '{"a": 1}\n\n[1, 2]\n', "t.jsonl line 3 holds"),
        ("t.jsonl", '{"a": 1, "b": {"c": 1}, "b.c": 2}\n', "line 1 has two fields 'b.c'"),
        ("t.jsonl", "\n\n", "is empty"),
        ("t.jsonl", "[" * 100_000, "line 1 is no JSON"),
        ("t.json", "[1, 2]", "record 1 holds '1'"),
        ("t.json", "[]", "no records"),
        ("t.json", '{"a": [1, 2], "b": [1]}', "unequal length: 'b' has 1"),
        ("t.json", '{"a": [1, 2', "is no JSON"),
        ("t.json", '{"note": "none",\n"n": 3}', "neither a list of records nor columns"),
        ("t.json", json.dumps([{f"k{i}": 1 for i in range(20_001)}]), "different names of fields"),
    ],
)
def test_broken_json(tmp_path, name, content, part):
    (tmp_path / name).write_text(content)
    assert part in reason(tmp_path / name)


@pytest.mark.parametrize("name", ["t.feather", "t.arrow"])
def test_broken_arrow(tmp_path, name):
    path = tmp_path / name
    for content in (b"", TABLE):
        path.write_bytes(content)
        assert name in reason(path)
    file = io.BytesIO()
    pd.DataFrame({"a": range(1000)}).to_feather(file)
    path.write_bytes(file.getvalue()[:-50])
    assert "damaged" in reason(path)


def test_shards_that_do_not_fit_together(tmp_path):
    (tmp_path / "a.csv").write_bytes(TABLE)
    (tmp_path / "b.csv").write_bytes(TABLE.replace(b"a,y", b"b,y"))
    sentence = reason(tmp_path)
    assert "b.csv lacks the column 'a'" in sentence
    assert "a.csv has" in sentence
    (tmp_path / "b.csv").write_bytes(b"a,y\n1,u\n2\n")
    assert "b.csv line 3 has 1 fields" in reason(str(tmp_path / "*.csv"))
    (tmp_path / "b.csv").write_bytes(b"")
    assert "b.csv is empty" in reason([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert "No file matches" in reason(str(tmp_path / "c-*.csv"))
    assert "c.csv" in reason([tmp_path / "a.csv", tmp_path / "c.csv"])
    pd.DataFrame({"a": ["x"], "y": ["u"]}).to_parquet(tmp_path / "b.parquet")
    sentence = reason([tmp_path / "a.csv", tmp_path / "b.parquet"])
    assert "Column 'a' holds numbers" in sentence
    assert "b.parquet row 1" in sentence


def test_folders_whose_splits_are_not_clear(tmp_path):
    for name in ("train.csv", "test.csv", "sample_submission.csv"):
        (tmp_path / name).write_bytes(TABLE)
    sentence = reason(tmp_path)
    assert "sample_submission.csv lies beside" in sentence
    assert "--test" in sentence
    (tmp_path / "sample_submission.csv").unlink()
    (tmp_path / "test.csv").write_bytes(b"a\n1\n")
    assert "'y'" in reason(tmp_path)
    (tmp_path / "test.csv").unlink()
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "a.csv").write_bytes(TABLE)
    assert "train.csv lies beside folders of splits" in reason(tmp_path)
    (tmp_path / "train.csv").unlink()
    assert "none for train" in reason(tmp_path)


@pytest.mark.parametrize(
    ("name", "part"),
    [("t.xlsx", "Save As"), ("t.pkl", "to_parquet"), ("t.dta", "CSV"), ("t.db", "CSV")],
)
def test_formats_that_are_not_read_have_a_way_out(tmp_path, name, part):
    (tmp_path / name).write_bytes(b"x")
    sentence = reason(tmp_path / name)
    assert name in sentence
    assert part in sentence


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_parquet_that_is_made_to_fill_the_memory_is_refused_unread(
    tmp_path, monkeypatch, compression
):
    path = tmp_path / "bomb.parquet"
    table = pa.table({"a": ["x" * 1000] * 4000, "b": np.zeros(4000), "y": ["u", "v"] * 2000})
    pq.write_table(table, path, compression=compression, use_dictionary=compression == "none")
    monkeypatch.setattr(packed, "HARMLESS_BYTES", 2**20)
    if compression == "none":  # repeated values take nothing in the file, whatever packs it
        monkeypatch.setattr(parquet, "machine_memory", lambda: 30_000)
    monkeypatch.setattr(pq.ParquetFile, "read", None)
    assert "unpacks to" in reason(path)


@pytest.mark.parametrize("ending", ["feather", "arrow"])
def test_arrow_that_would_fill_the_memory_is_unpacked_no_further(tmp_path, monkeypatch, ending):
    path = tmp_path / f"bomb.{ending}"
    table = pa.table({"a": np.zeros(100_000), "y": ["u", "v"] * 50_000})
    feather.write_feather(table, path, compression="zstd", chunksize=1000)
    assert len(read(path)) == 100_000
    monkeypatch.setattr(parquet, "machine_memory", lambda: 50_000)
    unpacked = []
    room = parquet._require_room
    monkeypatch.setattr(parquet, "_require_room", lambda p, n: (unpacked.append(n), room(p, n)))
    assert "but this machine has" in reason(path)
    assert max(unpacked) < table.nbytes / 3
