"""Arrays in NumPy files, and data sets of other libraries handed in from Python."""

import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
)

from fathom.core.errors import DataError
from fathom.core.progress import Silent
from fathom.core.schema import Field, Schema
from fathom.data.formats import packed
from fathom.data.infer import infer_schema
from fathom.data.labels import fold_labels
from fathom.data.opening import open_picture
from fathom.data.read import read, read_rows

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(6, 3)), np.array([0, 1, 2, 0, 1, 2])
PICTURES = RNG.integers(0, 256, (6, 3, 8, 5), dtype=np.uint8)


def schema_of(*inputs):
    fields = [Field(name, "number", "input", "") for name in inputs]
    return Schema("classification", (*fields, Field("y", "category", "target", "")))


def reason(source):
    with pytest.raises(DataError) as caught:
        read(source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_npz_of_inputs_and_targets(tmp_path):
    path = tmp_path / "iris.npz"
    np.savez(path, X=X, y=Y)
    raw = read(path)
    assert raw.table.names == ("x0", "x1", "x2", "target")
    assert raw.table["target"].tolist() == Y.tolist()
    assert (raw.target, raw.name, raw.locate(2)) == ("target", "iris", "iris.npz X row 3")


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test", "x_val", "y_val"),
        ("train_images", "train_labels", "test_images", "test_labels", "val_images", "val_labels"),
        ("Xtrain", "ytrain", "Xtest", "ytest", "Xvalid", "yvalid"),
    ],
)
def test_npz_with_splits(tmp_path, names):
    path = tmp_path / "t.npz"
    arrays = [PICTURES, Y[:, None], PICTURES[:2], Y[:2, None], PICTURES[2:3], Y[2:3, None]]
    np.savez_compressed(path, **dict(zip(names, arrays, strict=True)), classes=np.array(["a"]))
    progress = Silent()
    raw = read(path, progress=progress)
    assert raw.given_split.tolist() == ["train"] * 6 + ["validation"] + ["test"] * 2
    assert np.array_equal(raw.table["image"][7:], PICTURES[:2].transpose(0, 2, 3, 1))
    assert raw.table["target"].tolist() == [*Y, 2, 0, 1]
    assert raw.locate(7) == f"t.npz {names[2]} row 1"
    assert "classes left out" in progress.sentences[0]


def test_npz_of_columns_and_files_of_one_array(tmp_path):
    np.savez(tmp_path / "t.npz", age=Y, vector=X, city=np.array([b"a", b"b"] * 3), name="n")
    table = read(tmp_path / "t.npz").table
    assert table.names == ("age", "vector0", "vector1", "vector2", "city")
    assert table["city"].tolist() == ["a", "b"] * 3
    rows = np.array([(1, 2.5), (3, 4.5)], dtype=[("n", "i4"), ("f", "f8")])
    np.save(tmp_path / "rows.npy", rows)
    assert read(tmp_path / "rows.npy").table["f"].tolist() == [2.5, 4.5]
    np.save(tmp_path / "X.npy", X)
    assert read_rows(tmp_path / "X.npy", schema_of("x0")).table.names == ("x0", "x1", "x2")
    np.save(tmp_path / "y.npy", Y)
    assert read(tmp_path / "X.npy").table["target"].tolist() == Y.tolist()
    folder = tmp_path / "arrays"
    folder.mkdir()
    for name, array in {"X_train": X, "y_train": Y, "X_test": X[:1], "y_test": Y[:1]}.items():
        np.save(folder / f"{name}.npy", array)
    assert read(folder).given_split.tolist() == ["train"] * 6 + ["test"]


def test_broken_numpy_files(tmp_path, monkeypatch):
    path = tmp_path / "t.npz"
    np.savez(path, X=X, y=Y[:4])
    assert "6 rows of inputs" in reason(path)
    np.savez(path, a=X, b=Y[:4])
    assert "a (6, 3), b (4,)" in reason(path)
    np.savez(path, X=X, y=np.array(["a", None] * 3, dtype=object))
    assert "'y' as pickled objects" in reason(path)
    np.savez(path, X=X, y=Y)
    path.write_bytes(path.read_bytes()[:-40])
    assert "damaged" in reason(path)
    path.write_bytes(b"")
    assert "damaged" in reason(path)
    file = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**12, 3)}
    np.lib.format.write_array_header_1_0(file, header)
    (tmp_path / "X.npy").write_bytes(file.getvalue())
    assert "announces the shape" in reason(tmp_path / "X.npy")
    np.savez_compressed(path, X=np.zeros((1000, 2000)), y=np.zeros(1000))
    monkeypatch.setattr(packed, "HARMLESS_BYTES", 2**20)
    assert "unpacks to more than" in reason(path)


class Pairs(Dataset):
    def __init__(self, items, classes=None):
        self.items = items
        self.asked = []
        if classes:
            self.classes = classes

    def __len__(self):
        return len(self.items)

    def __getitem__(self, row):
        self.asked.append(row)
        return self.items[row]


def test_data_sets_of_torch():
    data = Pairs([(torch.tensor(row), int(label)) for row, label in zip(X, Y, strict=True)])
    raw = read(data)
    assert data.asked == list(range(6))  # each once: transforms may be random
    assert raw.table.names == ("x0", "x1", "x2", "target")
    assert np.allclose(raw.table["x1"], X[:, 1])
    assert (raw.target, raw.locate(4)) == ("target", "example 4")
    two = TensorDataset(torch.tensor(X), torch.tensor(Y), torch.tensor(Y))
    assert read(two).table.names == ("input0.0", "input0.1", "input0.2", "input1", "target")
    part = ConcatDataset([Subset(data, [4, 5]), Subset(data, [0])])
    assert read(part).table["target"].tolist() == [1, 2, 0]
    assert read(data, test=Subset(data, [1])).given_split.tolist() == ["train"] * 6 + ["test"]


@pytest.mark.parametrize("form", ["chw float", "chw bytes", "pil", "grey"])
def test_pictures_in_data_sets_of_torch(form):
    make = {
        "chw float": lambda p: torch.tensor(p).float() / 255,
        "chw bytes": torch.tensor,
        "pil": lambda p: Image.fromarray(p.transpose(1, 2, 0)),
        "grey": lambda p: torch.tensor(p[:1]),
    }[form]
    names = ["cat", "dog", "owl"]
    data = Pairs([(make(p), torch.tensor(y)) for p, y in zip(PICTURES, Y, strict=True)], names)
    raw = read(Subset(data, [0, 2, 1]))
    expected = PICTURES[[0, 2, 1]]
    expected = expected[:, 0] if form == "grey" else expected.transpose(0, 2, 3, 1)
    assert np.array_equal(raw.table["image" if "image" in raw.table else "input"], expected)
    assert raw.kinds == {"input": "image"}
    assert raw.table["target"].tolist() == ["cat", "owl", "dog"]


def test_dictionaries_and_pictures_of_several_sizes():
    items = [
        {
            "photo": Image.new("RGB", (4 + i, 5), (9 * i, 0, 0)),
            "age": torch.tensor(i),
            "label": "ab"[i % 2],
        }
        for i in range(3)
    ]
    items[1]["note"] = "x"
    for source in (Pairs(items), items):
        raw = read(source)
        assert open_picture(raw.table["photo"][2]).size == (6, 5)
        assert raw.table["age"].tolist() == [0, 1, 2]
        assert raw.table["note"].isna().tolist() == [True, False, True]
        assert raw.target == "label"
        assert raw.digest == read(source).digest


def test_several_labels_in_data_sets_of_torch():
    hot = torch.tensor([[0, 1, 1], [1, 0, 0]])
    raw = read(Pairs(list(zip(torch.tensor(X), hot, strict=False))))
    assert raw.target == ("target.0", "target.1", "target.2")
    assert raw.table["target.1"].tolist() == [1, 0]
    raw = read(Pairs(list(zip(torch.tensor(X), hot, strict=False)), ["a", "b", "c"]))
    assert raw.target == ("a", "b", "c")
    raw = read(Pairs([(torch.tensor(X[0]), ["a", "b"]), (torch.tensor(X[1]), [])]))
    assert raw.table["target"].tolist() == ['["a", "b"]', "[]"]


def test_objects_that_cannot_be_indexed_have_a_way_out():
    class Stream(IterableDataset):
        def __iter__(self):
            yield X[0], 0

    assert "loader.dataset" in reason(DataLoader(Pairs([(1, 2)])))
    assert "list(data)" in reason(Stream())
    assert "no rows" in reason(Pairs([]))
    assert "Normalize" in reason(Pairs([(torch.zeros(3, 4, 4) - 1, 0)]))

    class Broken(Pairs):
        def __getitem__(self, row):
            raise KeyError("photo.png")

    assert "Example 0 of the data set cannot be read (KeyError" in reason(Broken([1]))


def features(**columns):
    return {b"huggingface": json.dumps({"info": {"features": columns}}).encode()}


def test_arrow_tables_and_what_datasets_notes_in_them():
    file = io.BytesIO()
    Image.new("RGB", (5, 4), (200, 0, 0)).save(file, "PNG")
    rows = [{"image": {"bytes": file.getvalue(), "path": None}, "label": y} for y in (0, 1, -1)]
    table = pa.Table.from_pylist(rows)
    noted = features(
        image={"_type": "Image"}, label={"_type": "ClassLabel", "names": ["cat", "dog"]}
    )
    raw = read(table.replace_schema_metadata(noted))
    assert raw.kinds == {"image": "image"}
    assert (raw.target, raw.table["label"].tolist()[:2]) == ("label", ["cat", "dog"])
    assert raw.table["label"].isna().tolist() == [False, False, True]
    assert open_picture(raw.table["image"][0]).size == (5, 4)
    wrong = features(label={"_type": "ClassLabel", "names": ["cat"]})
    assert "names 1 classes" in reason(table.replace_schema_metadata(wrong))


def test_splits_and_columns_in_a_mapping():
    frames = {
        "test": pd.DataFrame({"a": [3], "y": ["u"]}),
        "train": pd.DataFrame({"a": [1, 2], "y": ["u", "v"]}),
        "unsupervised": pd.DataFrame({"a": [1]}),
    }
    progress = Silent()
    raw = read(frames, progress=progress)
    assert raw.given_split.tolist() == ["train", "train", "test"]
    assert raw.table["a"].tolist() == [1, 2, 3]
    assert raw.locate(2) == "test row 1"
    assert "unsupervised left out" in progress.sentences[0]
    assert read({"a": [1, 2], "y": ["u", "v"]}).table["y"].tolist() == ["u", "v"]
    assert "make no table" in reason({"a": [1, 2], "y": ["u"]})


def test_hugging_face_itself():
    datasets = pytest.importorskip("datasets")
    kinds = datasets.Features(
        {
            "text": datasets.Value("string"),
            "n": datasets.Value("float32"),
            "image": datasets.Image(),
            "tags": datasets.Sequence(datasets.Value("string")),
            "label": datasets.ClassLabel(names=["neg", "pos"]),
        }
    )
    rows = [
        {
            "text": f"t{i}",
            "n": i / 2,
            "image": Image.new("L", (4, 4), i),
            "tags": ["a"] * (i % 3),
            "label": i % 2,
        }
        for i in range(6)
    ]
    data = datasets.Dataset.from_list(rows, features=kinds)
    raw = read(data.select([5, 0, 3]))
    assert raw.table["text"].tolist() == ["t5", "t0", "t3"]
    assert raw.table["label"].tolist() == ["pos", "neg", "pos"]
    assert raw.table["tags"].tolist() == ['["a", "a"]', "[]", "[]"]
    assert open_picture(raw.table["image"][0]).getpixel((0, 0)) == 5
    assert (raw.target, raw.kinds) == ("label", {"image": "image"})
    both = datasets.DatasetDict({"test": data.select([1]), "train": data})
    raw = read(both)
    assert raw.given_split.tolist() == ["train"] * 6 + ["test"]
    assert raw.locate(6) == "test row 1"
    assert "streaming=True" in reason(data.to_iterable_dataset())
    assert "none is for training" in reason(datasets.DatasetDict({"a": data, "b": data}))


def test_a_list_is_the_same_value_whichever_way_it_comes(tmp_path):
    lists = [["red", "blue"], ["blue", "red"], [1, 2], [], None, ["größer", None]]
    expected = ['["red", "blue"]', '["blue", "red"]', "[1, 2]", "[]", None, '["größer", null]']
    rows = [{"n": i, "tags": value} for i, value in enumerate(lists)]
    frame = pd.DataFrame({"n": range(6), "tags": pd.Series(lists, dtype=object)})
    (tmp_path / "a.json").write_text(json.dumps(rows))
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for source in (tmp_path / "a.json", tmp_path / "a.jsonl", frame, rows, Pairs(rows)):
        column = read(source).table["tags"].astype(object)
        assert column.where(column.notna(), None).tolist() == expected
    del rows[2]
    texts = [text for i, text in enumerate(expected) if i != 2]
    pa.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    for source in (tmp_path / "a.parquet", pa.Table.from_pylist(rows), frame.drop(index=2)):
        column = read(source).table["tags"].astype(object)
        assert column.where(column.notna(), None).tolist() == texts


def test_lists_in_a_frame_of_numpy_and_of_fractions_are_as_in_a_file(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"v": [0.5, 1.0], "k": [1, 2]}\n{"v": [2, 3], "k": [3]}\n')
    frame = pd.DataFrame({"v": [np.array([0.5, 1]), [2, 3]], "k": [np.array([1.0, 2]), (3,)]})
    from_file, from_memory = read(tmp_path / "a.jsonl").table, read(frame).table
    assert from_file.names == from_memory.names == ("v.0", "v.1", "k")
    for name in from_file.names:
        assert from_file[name].tolist() == from_memory[name].tolist()
    frame["v.1"] = 7
    frame.to_json(tmp_path / "b.jsonl", orient="records", lines=True)
    for source in (frame, tmp_path / "b.jsonl", pa.Table.from_pandas(frame[["v", "v.1"]])):
        assert "more than one column named 'v.1'" in reason(source)
    assert "nested values in row 2" in reason(pd.DataFrame({"a": [[1], {"b": 1}]}))


def test_a_target_is_guessed_by_its_name_in_data_sets_of_both_libraries_and_said():
    rows = [{"x": i, "label": "ab"[i % 2]} for i in range(4)]
    datasets = pytest.importorskip("datasets")
    hugging_face = datasets.Dataset.from_list(rows)
    for source in (hugging_face, Pairs(rows), rows):
        progress = Silent()
        raw = read(source, progress=progress)
        assert raw.target == "label"
        assert [said for said in progress.sentences if "'label' is taken for the target" in said]
        progress = Silent()
        read(source, target="x", progress=progress)
        assert progress.sentences == []
    hot = [{"x": i, "labels": [i % 2, 1, 0]} for i in range(4)]
    for source in (datasets.Dataset.from_list(hot), Pairs(hot)):
        raw = read(source)
        assert raw.target == ("labels.0", "labels.1", "labels.2")
        assert raw.table["labels.0"].tolist() == [0, 1, 0, 1]


def test_a_file_that_tells_no_target_is_named_and_so_is_the_array_that_would(tmp_path):
    np.savez(tmp_path / "t.npz", foo=X)
    with pytest.raises(DataError, match=r"t\.npz does not say .* no array y beside foo"):
        infer_schema(read(tmp_path / "t.npz"))
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(
        DataError, match=r"t\.csv does not say .* --target COLUMN .*; its columns are a, b"
    ):
        infer_schema(read(tmp_path / "t.csv"))
    with pytest.raises(DataError, match=r"t\.csv has no column 'c'"):
        fold_labels(read(tmp_path / "t.csv"), "c", None)
