"""The same table in every form: packed, as JSON, as Arrow, in several files, in other styles."""

import bz2
import gzip
import io
import json
import lzma
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fathom.core.progress import Silent
from fathom.data.infer import infer_schema
from fathom.data.read import read

N = 40


def frame():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "whole": rng.integers(-9, 5000, N),
            "real": rng.normal(size=N).round(4) * 1000,
            "gap": np.where(np.arange(N) % 3, rng.normal(size=N).round(3), np.nan),
            "word": rng.choice(["red", "green", "größer", "a, b"], N),
            "flag": rng.random(N) < 0.5,
            "y": rng.choice(["yes", "no"], N),
        }
    )
    table.loc[3, "word"] = None
    return table


def csv(table, **options):
    return table.to_csv(index=False, **options).encode()


def assert_same(raw, table):
    expected = read(table)
    assert raw.table.names == expected.table.names
    for name in expected.table.names:
        one, two = raw.table[name], expected.table[name]
        assert one.dtype == two.dtype, name
        pd.testing.assert_series_equal(one, two, check_names=False, rtol=1e-12)
    kinds = [(f.name, f.kind, f.role) for f in infer_schema(raw, target="y").fields]
    assert kinds == [(f.name, f.kind, f.role) for f in infer_schema(expected, target="y").fields]


def zipped(data):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../etc/t.csv", data)  # no path is followed
        archive.writestr("__MACOSX/t.csv", b"")
    return file.getvalue()


PACK = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pa.compress(data, "zstd", asbytes=True),
    ".zip": zipped,
}


@pytest.mark.parametrize("ending", PACK)
def test_packed_text(tmp_path, ending):
    (tmp_path / "t.csv").write_bytes(csv(frame()))
    path = tmp_path / f"t.csv{ending}"
    path.write_bytes(PACK[ending](csv(frame())))
    raw = read(path)
    assert_same(raw, frame())
    assert raw.locate(2) == f"{path.name} line 4"
    assert raw.name == "t"
    assert raw.digest == read(tmp_path / "t.csv").digest


@pytest.mark.parametrize(
    "orient", ["lines", "packed lines", "records", "columns", "split", "lists"]
)
def test_json(tmp_path, orient):
    path = tmp_path / ("t.jsonl" if orient == "lines" else "t.json")
    if orient == "lists":  # as Python writes it, NaN and all
        path.write_text(json.dumps({n: c.astype(object).tolist() for n, c in frame().items()}))
    elif orient == "packed lines":
        path = tmp_path / "t.ndjson.gz"
        path.write_bytes(gzip.compress(frame().to_json(orient="records", lines=True).encode()))
    else:
        lines = orient == "lines"
        frame().to_json(
            path, orient="records" if lines else orient, lines=lines, double_precision=15
        )
    raw = read(path)
    assert_same(raw, frame())
    assert raw.locate(2) == f"{path.name} {'line' if 'lines' in orient else 'record'} 3"


def test_json_of_records_that_differ(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(
        '{"a": 1, "b": {"c": "x", "d": {"e": true}}, "tags": ["u", "v"], "v": [0.5, 1], "m": 1}\n'
        "\n"
        '{"a": 2.5, "b": {"c": "y"}, "tags": [], "v": [2, 3.25], "m": "z", "late": 7}\r\n'
        '{"b": null, "tags": null, "a": NaN, "m": true, "id": 12345678901234567890123}\n'
    )
    raw = read(path)
    table = raw.table
    assert set(table.names) >= {"a", "b.c", "b.d.e", "tags", "v.0", "v.1", "m", "late", "id"}
    assert table["a"].tolist()[:2] == [1, 2.5]
    assert np.isnan(table["a"][2])
    assert table["b.c"].tolist()[:2] == ["x", "y"]
    assert table["b.d.e"].isna().tolist() == [False, True, True]
    assert table["tags"].tolist()[:2] == ['["u", "v"]', "[]"]
    assert table["tags"].isna().tolist() == [False, False, True]
    assert table["v.1"].tolist()[:2] == [1, 3.25]
    assert table["m"].tolist() == ["1", "z", "True"]
    assert table["late"].isna().tolist() == [True, False, True]
    assert table["id"][2] == "12345678901234567890123"
    assert raw.locate(1) == "t.jsonl line 3"


@pytest.mark.parametrize("ending", [".feather", ".arrow", ".ipc", ".parquet"])
def test_arrow(tmp_path, ending):
    path = tmp_path / f"t{ending}"
    table = pa.Table.from_pandas(frame(), preserve_index=False)
    if ending in (".feather", ".parquet"):
        getattr(frame(), f"to_{ending[1:]}")(path)
    else:
        opened = pa.ipc.new_file if ending == ".arrow" else pa.ipc.new_stream
        with opened(str(path), table.schema) as writer:
            writer.write_table(table)
    assert_same(read(path), frame())


def test_structures_and_lists_in_arrow(tmp_path):
    rows = [{"s": {"a": 1, "b": {"c": "x"}}, "l": ["u"], "v": [0.5, 2.0]}] * 2
    pa.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    table = read(tmp_path / "t.parquet").table
    assert table.names == ("s.a", "s.b.c", "l", "v.0", "v.1")
    assert table["l"].tolist() == ['["u"]'] * 2


def write_shards(folder, kind="csv", names=("part-0", "part-1", "part-2")):
    folder.mkdir(exist_ok=True)
    for i, rows in enumerate(np.array_split(np.arange(N), len(names))):
        part, path = frame().iloc[rows], folder / f"{names[i]}.{kind}"
        part = part[part.columns[::-1]] if i == 1 else part
        if kind == "csv":
            path.write_bytes(csv(part, sep=";" if i == 2 else ","))
        elif kind == "csv.gz":
            path.write_bytes(gzip.compress(csv(part)))
        elif kind == "jsonl":
            part.to_json(path, orient="records", lines=True, double_precision=15)
        else:
            part.to_parquet(path)


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "jsonl", "parquet"])
@pytest.mark.parametrize("way", ["folder", "pattern", "list"])
def test_shards(tmp_path, kind, way):
    folder = tmp_path / "sales"
    write_shards(folder, kind)
    (folder / "README.md").write_text("a, b\n")
    (folder / "_SUCCESS").touch()
    source = {
        "folder": folder,
        "pattern": str(folder / f"part-*.{kind}"),
        "list": sorted(folder.glob("part*")),
    }[way]
    raw = read(source)
    assert_same(raw, frame())
    line = "row 1" if kind == "parquet" else f"line {1 if kind == 'jsonl' else 2}"
    assert raw.locate(14) == f"part-1.{kind} {line}"
    assert raw.take([14]).locate(0) == f"part-1.{kind} {line}"
    assert raw.name == ("part" if way == "pattern" else "sales")
    assert raw.digest != read(sorted(folder.glob("part*"))[:2]).digest


def test_what_is_a_number_is_decided_over_all_shards(tmp_path):
    (tmp_path / "a.csv").write_text("code,x\n007,1\n010,\n")
    (tmp_path / "b.csv").write_text("code,x\nA1,\n012,\n")
    table = read(tmp_path).table
    assert table["code"].tolist() == ["007", "010", "A1", "012"]
    assert table["x"].dtype == "float64"


@pytest.mark.parametrize(
    "names",
    [
        ("train.csv", "test.csv", "validation.csv"),
        ("train-00000-of-00001.csv", "test-00000-of-00001.csv", "dev_0.csv"),
        ("train/a.csv", "test/a.csv", "val/a.csv"),
    ],
)
def test_given_splits_in_a_folder(tmp_path, names):
    for name, text in zip(names, ("a,y\n1,u\n2,v\n", "a,y\n3,u\n", "y,a\nv,4\n"), strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    progress = Silent()
    raw = read(tmp_path, progress=progress)
    assert raw.given_split.tolist() == ["train", "train", "validation", "test"]
    assert raw.table["a"].tolist() == [1, 2, 4, 3]
    assert "train is" in progress.sentences[0]
    assert "line 2" in raw.locate(3)


@pytest.mark.parametrize(
    ("cells", "delimiter", "expected"),
    [
        (["3,14", "-2,5", "7"], ";", [3.14, -2.5, 7]),
        (["3,14", "-2,5", "7"], ",", [3.14, -2.5, 7]),
        (["1,234", "12,500", "999"], ",", [1234, 12500, 999]),
        (["1,234", "12,500", "999"], ";", [1.234, 12.5, 999]),
        (["1,234", "12,500", "1999"], ",", [1.234, 12.5, 1999]),
        (["1,234.5", "12", "1,234,567"], ",", [1234.5, 12, 1234567]),
        (["1.234,5", "12", "1.234.567"], ";", [1234.5, 12, 1234567]),
        (["1 234,5", "12,25", "7"], ";", [1234.5, 12.25, 7]),
        (["1\u202f234", "12\u00a0500", "7"], ",", [1234, 12500, 7]),
        (["1'234.50", "12", "7"], ",", [1234.5, 12, 7]),
        (["+5", " 7 ", "-0"], ",", [5, 7, 0]),
        (["1e3", ".5", "5."], ",", [1000, 0.5, 5]),
        (["12,7", "3", "1,5,9"], ",", ["12,7", "3", "1,5,9"]),
        (["0x1F", "0x2A", "7"], ",", ["0x1F", "0x2A", "7"]),
        (["9" * 20, "8" * 25, "7"], ",", ["9" * 20, "8" * 25, "7"]),
        (["18446744073709551615", "1", "7"], ",", [2**64 - 1, 1, 7]),
        (["1_000", "2", "3"], ",", ["1_000", "2", "3"]),
        (["555 1234", "555 9876", "7"], ",", ["555 1234", "555 9876", "7"]),
    ],
)
def test_how_numbers_are_written_is_decided_for_each_column(tmp_path, cells, delimiter, expected):
    path = tmp_path / "t.csv"
    path.write_bytes(csv(pd.DataFrame({"n": cells, "word": list("abc")}), sep=delimiter))
    assert read(path).table["n"].tolist() == expected


def test_points_part_thousands_where_other_columns_have_decimal_commas(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("n;m;k\n1.234;3,5;1.25\n999;4,25;2.5\n")
    progress = Silent()
    table = read(path, progress=progress).table
    assert table["n"].tolist() == [1234, 999]
    assert table["m"].tolist() == [3.5, 4.25]
    assert table["k"].tolist() == [1.25, 2.5]
    assert "1.234 is read as 1234" in progress.sentences[0]


def test_decimal_commas_with_a_few_words_among_them(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("n;m\n" + "".join(f"{i},5;x\n" for i in range(60)) + "unknown;x\n")
    column = read(path).table["n"]
    assert column[3] == "3.5"
    assert column[60] == "unknown"


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-16", "name,n\nMüller,1\n北京,2\n"),
        ("utf-16-le", "name,n\nMuller,1\ncafe,2\n"),
        ("utf-32", "name,n\nMüller,1\n"),
        ("latin-1", "name,n\nMüller,1\ncafé,2\nÅse,3\n"),
        ("iso8859-15", "name,n\nfaçade,1\nnaïve,2\n"),
        (
            "shift_jis",
            "都市,n\n東京都千代田区,1\n大阪府大阪市,2\n北海道札幌市,3\nカタカナとひらがな,4\n",
        ),
        (
            "euc_jp",
            "都市,n\n東京都千代田区はとても大きい,1\n大阪府大阪市の人々,2\n北海道札幌市です,3\n",
        ),
        ("euc_kr", "도시,n\n서울특별시 종로구,1\n부산광역시 해운대구,2\n대한민국 사람들은,3\n"),
        ("big5", "城市,n\n臺北市中正區的天氣很好,1\n高雄市前金區,2\n這是一個測試,3\n"),
        ("cp1250", "miasto,n\nŁódź jest piękna,1\nWrocław i Kraków są też ładne,2\n"),
    ],
)
def test_encodings(tmp_path, encoding, text):
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode(encoding))
    table = read(path).table
    lines = [line.split(",")[0] for line in text.splitlines()]
    assert [table.names[0], *table[table.names[0]]] == lines
