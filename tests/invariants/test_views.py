"""Averaging over views: what a view shows, and that only a gain beyond noise is paid for."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

import bundles
from fathom.core.errors import PlanError
from fathom.core.examples import Examples
from fathom.core.output import OutputSpec
from fathom.deployment.bundle import load_bundle
from fathom.inference import VIEWS, choose_views, run_network
from fathom.inference.views import View, candidates, seen
from fathom.planning.overrides import convert
from fathom.planning.plan import InferencePlan
from fathom.tasks import build_task

TASK = build_task("classification", OutputSpec("classes", ("a", "b", "c")))


def test_a_view_moves_and_mirrors_and_reflects_the_rim():
    picture = torch.arange(9, dtype=torch.uint8).view(1, 1, 3, 3)
    inputs = {"image": picture, "numbers": torch.ones(1, 2)}
    assert seen(inputs, View()) is inputs
    down = seen(inputs, View(down=1))["image"][0, 0].tolist()
    assert down == [[3, 4, 5], [0, 1, 2], [3, 4, 5]]
    mirrored = seen(inputs, View(mirror=True))
    assert mirrored["image"][0, 0].tolist() == [[2, 1, 0], [5, 4, 3], [8, 7, 6]]
    assert mirrored["numbers"] is inputs["numbers"]


@pytest.mark.parametrize("side", [1, 2, 28, 64])
@pytest.mark.parametrize("views", list(VIEWS))
def test_every_view_fits_every_size(side, views):
    picture = torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8)
    for view in VIEWS[views]:
        assert seen({"image": picture}, view)["image"].shape == picture.shape


def test_mirrored_views_do_not_see_which_way_a_picture_faces():
    made = bundles.make(bundles.pictures())
    block = next(iter(made.examples.inputs))
    turned = np.ascontiguousarray(made.examples.inputs[block][..., ::-1])
    turned = Examples({block: turned}, None, made.examples.rows)
    network = made.network.model.network
    one, other = (run_network(network, e) for e in (made.examples, turned))
    assert not torch.allclose(one, other, atol=1e-3)
    one, other = (run_network(network, e, views="mirrored") for e in (made.examples, turned))
    torch.testing.assert_close(one, other)


def test_a_bundle_keeps_its_views_and_an_older_one_has_one(tmp_path):
    made = bundles.make(bundles.pictures())
    kept = made.write(tmp_path / "bundle", views="mirrored")
    wanted = run_network(made.network.model.network, made.examples, views="mirrored")
    torch.testing.assert_close(kept.network.logits(made.examples), wanted)
    path = tmp_path / "bundle" / "bundle.json"
    content = msgspec.json.decode(path.read_bytes())
    del content["views"]
    path.write_bytes(msgspec.json.encode(content))
    assert load_bundle(tmp_path / "bundle").network.model.views == "one"


def outputs_of(right: dict[str, float]):
    """Outputs by views: so large a share of 1,000 examples is answered rightly."""
    targets = np.arange(1000) % 3

    def outputs(views):
        said = targets.copy()
        wrong = np.random.default_rng(0).permutation(1000)[: round(1000 * (1 - right[views]))]
        said[wrong] = (said[wrong] + 1) % 3
        return 4 * torch.nn.functional.one_hot(torch.as_tensor(said), 3).float()

    return targets, outputs


@pytest.mark.parametrize(
    ("right", "chosen"),
    [
        ({"one": 0.9, "mirrored": 0.902, "mirrored_shifted": 0.903}, "one"),
        ({"one": 0.9, "mirrored": 0.93, "mirrored_shifted": 0.931}, "mirrored"),
        ({"one": 0.9, "mirrored": 0.93, "mirrored_shifted": 0.96}, "mirrored_shifted"),
        ({"one": 0.9, "mirrored": 0.85, "mirrored_shifted": 0.8}, "one"),
    ],
)
def test_only_a_gain_beyond_noise_is_chosen_and_the_dearer_only_for_more(right, chosen):
    targets, outputs = outputs_of(right)
    views, why = choose_views(TASK, outputs, targets, candidates(flip=True))
    assert views == chosen
    assert ("no more than noise" in why) == (chosen == "one")


def test_on_few_rows_luck_in_the_accuracy_is_no_gain():
    """The log loss is what few rows are chosen by: more right answers, all unsure, do not count."""
    targets = np.arange(60) % 3
    sure = torch.nn.functional.one_hot(torch.as_tensor(targets), 3).double()
    plain = 4 * sure
    plain[:10] = -0.1 * sure[:10]  # barely wrong, the others surely right
    outputs = {"one": plain, "mirrored": 0.1 * sure, "mirrored_shifted": 0.1 * sure}
    right = [float((o.argmax(1).numpy() == targets).mean()) for o in outputs.values()]
    assert right[0] < right[1] == 1.0
    assert choose_views(TASK, outputs.__getitem__, targets, candidates(flip=True))[0] == "one"


def test_what_was_tested_is_named():
    task = build_task("multilabel", OutputSpec("labels", labels=("a", "b")))
    draw = np.random.default_rng(0)
    targets = (draw.random((800, 2)) < 0.5).astype(np.uint8)
    truth, noise = 2.0 * targets - 1.0, draw.normal(size=(800, 2))
    outputs = {"one": truth + 2 * noise, "mirrored": 2 * truth + noise}
    _, why = choose_views(task, lambda v: torch.as_tensor(outputs[v]), targets, ["mirrored"])
    assert "took macro_roc_auc" in why
    assert "the mean log-probability rose by" in why


def test_mirror_images_are_tried_only_where_they_were_learned():
    assert not any(v.mirror for name in candidates(flip=False) for v in VIEWS[name])
    assert any(v.mirror for name in candidates(flip=True) for v in VIEWS[name])


def test_an_unknown_view_is_refused():
    with pytest.raises(PlanError, match=r"inference\.views"):
        convert({"views": "sideways"}, InferencePlan, "inference")
