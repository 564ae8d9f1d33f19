"""Bundles that are damaged, cut, foreign, newer or malicious: one sentence, never a traceback."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

import bundles
from fathom.baselines.constant import Constant
from fathom.core import files
from fathom.core.errors import ArtefactError, PlanError, StorageError
from fathom.deployment.bundle import find_bundle, load_bundle
from fathom.deployment.manifest import FILES, entry_of

JSON = ("bundle.json", "schema.json", "trust.json")


@pytest.fixture(scope="module")
def made() -> bundles.Made:
    return bundles.make(bundles.people(), "fast")


@pytest.fixture
def folder(made: bundles.Made, tmp_path: Path) -> Path:
    made.write(tmp_path / "bundle")
    return tmp_path / "bundle"


def seal(folder: Path) -> None:
    """Write sizes and digests anew, as whoever forges a bundle would."""
    manifest = json.loads((folder / "bundle.json").read_bytes())
    for name in FILES:
        entry = entry_of((folder / name).read_bytes())
        manifest["files"][name] = {"size": entry.size, "sha256": entry.sha256}
    (folder / "bundle.json").write_text(json.dumps(manifest))


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    content = json.loads(path.read_bytes())
    path.write_text(json.dumps(change(content) or content))


def refusal(folder: Path, *named: str) -> str:
    with pytest.raises(ArtefactError) as error:
        load_bundle(folder)
    sentence = str(error.value)
    for name in named:
        assert name in sentence
    assert "\n" not in sentence.strip()
    return sentence


def same(one: Any, two: Any) -> bool:
    return np.array_equal(one.probs, two.probs)


def test_what_comes_back_predicts_exactly_the_same(made, folder):
    bundle = load_bundle(str(folder))
    assert bundle.schema == made.schema
    assert bundle.default == "baseline"
    assert same(bundle.network.predict(made.examples), made.network.predict(made.examples))
    assert same(bundle.baseline.predict(made.examples), made.baseline.predict(made.examples))
    assert bundle.predictor() is bundle.baseline
    assert bundle.predictor("network") is bundle.network
    assert sorted(p.name for p in folder.parent.iterdir()) == ["bundle"]
    assert sorted(p.name for p in folder.iterdir()) == sorted((*FILES, "bundle.json"))


@pytest.mark.parametrize("source", ["pictures", "number"])
def test_other_forms_of_data_come_back_too(source, tmp_path):
    table = bundles.people().drop(columns="fast")
    made = (
        bundles.make(bundles.pictures()) if source == "pictures" else bundles.make(table, "weight")
    )
    # Weights in another order in memory must not come back scrambled.
    made.network.model.network.to(memory_format=torch.channels_last)
    bundle = made.write(tmp_path / "bundle", default="network")
    made.network.model.network.to(memory_format=torch.contiguous_format)
    examples = made.examples
    for before, after in ((made.network, bundle.network), (made.baseline, bundle.baseline)):
        one, two = before.predict(examples), after.predict(examples)
        np.testing.assert_array_equal(
            *(getattr(p, "probs", getattr(p, "values", 0)) for p in (one, two))
        )


def test_a_model_that_is_not_there(folder):
    with pytest.raises(PlanError, match="Did you mean 'network'"):
        load_bundle(folder).predictor("netwrk")


def test_a_device_that_is_not_there(folder):
    with pytest.raises(PlanError, match="cpu, cuda"):
        load_bundle(folder, device="quantum")


@pytest.mark.parametrize("name", (*FILES, "bundle.json"))
def test_a_missing_file(folder, name):
    (folder / name).unlink()
    refusal(folder, name, "missing", "fathom fit")


@pytest.mark.parametrize("name", (*FILES, "bundle.json"))
@pytest.mark.parametrize("keep", [0, 1, 0.5, 0.99])
def test_a_file_cut_short(folder, name, keep):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(
        content[: keep if isinstance(keep, int) else int(keep * len(content))]
    )
    refusal(folder, name, "damaged")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0, 0.3, 0.999])
def test_a_flipped_bit(folder, name, place):
    content = bytearray((folder / name).read_bytes())
    content[int(place * len(content))] ^= 1
    (folder / name).write_bytes(content)
    refusal(folder, name, "SHA-256")


@pytest.mark.parametrize("name", JSON)
def test_a_newer_format(folder, name):
    edit(folder / name, lambda c: c.update(format_version=99, news={"a": 1}))
    if name != "bundle.json":
        seal(folder)
    refusal(folder, name, "newer Fathom", "update")


@pytest.mark.parametrize("name", JSON)
@pytest.mark.parametrize(
    "content",
    [b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"hello", b'{"format_version": 0}'],
)
def test_a_foreign_file(folder, name, content):
    (folder / name).write_bytes(content)
    if name != "bundle.json":
        seal(folder)
    refusal(folder, name)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(default="both"),
        lambda c: c.update(surprise=1),
        lambda c: c.update(task="regression"),
        lambda c: c.update(precision="float8"),
        lambda c: c.pop("network"),
        lambda c: c["network"].update(family="transformer"),
        lambda c: c["network"].update(width="__import__('os')"),
        lambda c: c["network"].update(width=-1),
        lambda c: c["network"].update(activation="eval"),
        lambda c: c["baseline"].update(name="pickle"),
        lambda c: c["baseline"].update(config={}),
        lambda c: c["baseline"]["config"].update(labels=["a", "b"]),
        lambda c: c["files"].pop("trust.json"),
        lambda c: c["files"]["trust.json"].update(size=10**15),
        lambda c: c["files"]["model.safetensors"].update(size=-1),
        lambda c: c["files"].update({"../../.bashrc": {"size": 1, "sha256": "0"}}),
        lambda c: c["files"].update({"/etc/passwd": {"size": 1, "sha256": "0"}}),
        lambda c: c["files"].update({"run.py": {"size": 1, "sha256": "0"}}),
    ],
)
def test_a_manifest_that_says_something_else(folder, change):
    edit(folder / "bundle.json", lambda c: (change(c), c)[1])
    refusal(folder)


def test_a_path_that_leads_out_is_named_and_not_opened(folder):
    outside = folder.parent / "outside"
    outside.write_bytes(b"secret")
    edit(
        folder / "bundle.json",
        lambda c: c["files"].update(
            {"../outside": {"size": 6, "sha256": entry_of(b"secret").sha256}}
        ),
    )
    refusal(folder, "'../outside'", "list of files")


def test_a_link_that_leads_out(folder):
    outside = folder.parent / "outside"
    (folder / "trust.json").rename(outside)
    (folder / "trust.json").symlink_to(outside)
    refusal(folder, "trust.json", "outside")


@pytest.mark.parametrize("size", [{"width": 3000}, {"depth": 900}, {"embed_dim": 3000}])
def test_a_network_far_larger_than_its_weights(folder, size):
    edit(folder / "bundle.json", lambda c: c["network"].update(size))
    refusal(folder, "model.safetensors")


@pytest.mark.parametrize("key", ["width", "depth", "embed_dim"])
def test_sizes_beyond_the_weights_cost_neither_memory_nor_time(folder, key):
    edit(folder / "bundle.json", lambda c: c["network"].update({key: 10**12}))
    refusal(folder, f"network.{key}")


def weights(folder: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    path = folder / "model.safetensors"
    arrays = safetensors.numpy.load(path.read_bytes())
    change(arrays)
    path.write_bytes(safetensors.numpy.save(arrays))
    seal(folder)


def test_weights_that_are_not_finite(folder):
    weights(folder, lambda a: a["head.linear.weight"].__setitem__((0, 0), np.nan))
    refusal(folder, "model.safetensors", "head.linear.weight", "finite")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: a.pop("head.linear.bias"), "lacks head.linear.bias"),
        (lambda a: a.update({"head.extra": np.zeros(3)}), "has head.extra"),
        (lambda a: a.update({"head.linear.bias": np.zeros(4, np.float32)}), "should be 3 float32"),
        (lambda a: a.update({"head.linear.bias": np.zeros(3)}), "is 3 float64"),
        (lambda a: a.clear(), "too few"),
    ],
)
def test_weights_of_another_network(folder, change, says):
    weights(folder, change)
    refusal(folder, "model.safetensors", says)


@pytest.mark.parametrize("name", ["model.safetensors", "baseline.safetensors"])
@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04", b"\x80\x04\x95.", b"\xff" * 64, (2**63 - 1).to_bytes(8, "little")],
)
def test_files_that_are_no_safetensors(folder, name, content):
    (folder / name).write_bytes(content)
    seal(folder)
    refusal(folder, name)


def test_baseline_arrays_that_make_no_sense(folder):
    path = folder / "baseline.safetensors"
    arrays = safetensors.numpy.load(path.read_bytes())
    path.write_bytes(safetensors.numpy.save({n: a.ravel()[:1] for n, a in arrays.items()}))
    seal(folder)
    refusal(folder)


def test_a_baseline_that_answers_another_question(tmp_path):
    number = bundles.make(bundles.people(), "weight")
    says_a_class = Constant(np.array([0.5, 0.5]), ("yes", "no"))
    with pytest.raises(ArtefactError, match="does not predict what 'weight' is"):
        number.write(tmp_path / "bundle", baseline=says_a_class)


def field(name: str, /, **changes: Any) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        next(f for f in content["fields"] if f["name"] == name).update(changes)

    return change


def statistics(name: str, /, **changes: Any) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        next(f for f in content["fields"] if f["name"] == name)["statistics"].update(changes)

    return change


@pytest.mark.parametrize(
    "change",
    [
        field("height", statistics=None),
        field("height", kind="image"),
        field("height", kind="audio"),
        field("height", role="target"),
        field("height", name="weight"),
        field("fast", role="input"),
        field("fast", statistics=None),
        statistics("height", scale=0.0),
        statistics("height", scale=-1.0),
        statistics("since", parts=["moon_sin"]),
        statistics("town", vocabulary=["Ulm"]),
        statistics("fast", vocabulary=["yes"], counts=[1]),
        lambda c: c.update(fields=[]),
    ],
)
def test_schemas_that_make_no_sense(folder, change):
    edit(folder / "schema.json", change)
    seal(folder)
    refusal(folder)


@pytest.mark.parametrize(
    "changes", [{"height": 10**9}, {"channels": 7}, {"mean": []}, {"width": 0}]
)
def test_pictures_of_a_size_that_makes_no_sense(tmp_path, changes):
    bundles.make(bundles.pictures()).write(tmp_path / "bundle")
    name = json.loads((tmp_path / "bundle/schema.json").read_bytes())["fields"][0]["name"]
    edit(tmp_path / "bundle/schema.json", statistics(name, **changes))
    seal(tmp_path / "bundle")
    refusal(tmp_path / "bundle", "schema.json")


@pytest.mark.parametrize("temperature", [0.0, -1.0, 1e999])
def test_a_temperature_that_makes_no_sense(folder, temperature):
    edit(folder / "trust.json", lambda c: c.update(temperature=temperature))
    seal(folder)
    refusal(folder, "trust.json")


def test_it_takes_the_place_of_the_one_before(made, folder):
    (folder / "stray.txt").write_text("left over")
    made.write(folder, default="network")
    assert load_bundle(folder).default == "network"
    assert not (folder / "stray.txt").exists()
    assert sorted(p.name for p in folder.parent.iterdir()) == ["bundle"]


@pytest.mark.parametrize("fails", ["write", "rename", "content"])
def test_where_writing_fails_the_one_before_stays(made, folder, monkeypatch, fails):
    changes: dict[str, Any] = {"default": "network"}
    if fails == "write":

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
    elif fails == "rename":
        before = Path.rename

        def rename(self: Path, target: Path) -> Path:
            if self.name.endswith(".part"):
                raise OSError(5, "Input/output error")
            return before(self, target)

        monkeypatch.setattr(Path, "rename", rename)
    else:
        spoilt = bundles.make(bundles.people(), "fast").network.model.network
        torch.nn.init.constant_(spoilt.head.linear.bias, float("nan"))
        changes["network"] = spoilt
    with pytest.raises((ArtefactError, StorageError), match="bundle"):
        made.write(folder, **changes)
    monkeypatch.undo()
    assert load_bundle(folder).default == "baseline"
    assert sorted(p.name for p in folder.parent.iterdir()) == ["bundle"]


def test_replacing_leaves_nothing_behind_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), files.replacing(tmp_path / "new") as beside:
        (beside / "a").write_text("a")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_scores_that_cannot_be_told_are_none(made, tmp_path):
    scores = {"network": float("nan"), "baseline": 0.5}
    bundle = made.write(tmp_path / "bundle", validation_scores=scores)
    assert bundle.manifest.validation_scores == {"network": None, "baseline": 0.5}


def test_finding_a_run(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtefactError, match="neither a run nor a bundle"):
        find_bundle("people")
    made.write(tmp_path / "runs/people/bundle")
    for path in ("people", "runs/people", "runs/people/bundle", tmp_path / "runs/people"):
        assert load_bundle(find_bundle(path)).default == "baseline"
    with pytest.raises(ArtefactError, match="Did you mean 'people'"):
        find_bundle("peple")
    with pytest.raises(ArtefactError, match="Runs here: people"):
        find_bundle("xyz")
    (tmp_path / "runs/half").mkdir()
    (tmp_path / "runs/half/plan.yaml").touch()
    with pytest.raises(ArtefactError, match="resume"):
        find_bundle("half")
