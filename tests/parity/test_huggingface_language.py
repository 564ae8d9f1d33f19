"""Models that transformers saved, read by our own network: the same logits; and what is refused."""

from __future__ import annotations

import json
import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fathom.core.errors import ArtefactError, PlanError
from fathom.networks.language import Gpt, build, huggingface
from fathom.networks.language.huggingface import Imported, read_folder
from fathom.networks.language.rotary import RopeScaling, angles

pytest.importorskip("transformers")

VOCABULARY, CONTEXT = 61, 48
LLAMA = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 44,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
}
GPT2 = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT}
FEW_KEYS = LLAMA | {"num_key_value_heads": 2}
SMALL = {"llama": LLAMA, "mistral": FEW_KEYS, "qwen2": FEW_KEYS, "gpt2": GPT2}
MARKS = {"bos_token_id": None, "eos_token_id": None}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 100.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
CASES = {
    "llama": ("llama", {}),
    "llama-few-keys": ("llama", {"num_key_value_heads": 2}),
    "llama-one-key": ("llama", {"num_key_value_heads": 1}),
    "llama-tied": ("llama", {"tie_word_embeddings": True}),
    "llama-wide-heads": ("llama", {"head_dim": 12, "num_key_value_heads": 2}),
    "llama-attention-bias": ("llama", {"attention_bias": True}),
    "llama-mlp-bias": ("llama", {"mlp_bias": True}),
    "llama-all-biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama-base": ("llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 50.0}}),
    "llama-3": ("llama", {"rope_parameters": LLAMA3, "num_key_value_heads": 2}),
    "llama-epsilon": ("llama", {"rms_norm_eps": 0.5}),
    "mistral": ("mistral", {"sliding_window": None}),
    "qwen2": ("qwen2", {}),
    "qwen2-tied": ("qwen2", {"tie_word_embeddings": True}),
    "gpt2": ("gpt2", {}),
    "gpt2-untied": ("gpt2", {"tie_word_embeddings": False}),
    "gpt2-narrow": ("gpt2", {"n_inner": 20, "activation_function": "gelu_pytorch_tanh"}),
    "gpt2-epsilon": ("gpt2", {"layer_norm_epsilon": 0.5}),
}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def save(folder: Path, kind: str, changes: dict, **how) -> Path:
    """A small model of random weights, no norm and no bias among them at its start."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(kind, **SMALL[kind] | MARKS | changes)
    model = AutoModelForCausalLM.from_config(config, dtype=how.pop("dtype", torch.float32))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    model.save_pretrained(folder, **how)
    return folder


def theirs(folder: Path, tokens: torch.Tensor) -> torch.Tensor:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return model(input_ids=tokens).logits


def network_of(found: Imported) -> Gpt:
    network = build(found.spec, found.vocabulary, seed=0)
    network.load_state_dict(found.tensors)
    return network.eval()


def ours(folder: Path, tokens: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network_of(read_folder(folder))(tokens)


def some_tokens(length: int = CONTEXT) -> torch.Tensor:
    return torch.randint(0, VOCABULARY, (3, length), generator=torch.Generator().manual_seed(1))


def close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    assert wanted.std() > 0.3  # or little would be compared
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_transformers(case, tmp_path):
    kind, changes = CASES[case]
    folder, tokens = save(tmp_path / case, kind, changes), some_tokens()
    wanted, found = theirs(folder, tokens), read_folder(folder)
    assert (found.architecture, found.vocabulary) == (kind, VOCABULARY)
    assert found.spec.context == CONTEXT
    assert all(tensor.dtype == torch.float32 for tensor in found.tensors.values())
    network = network_of(found)
    memory = network.remember(3, CONTEXT)
    with torch.no_grad():
        close(network(tokens), wanted)
        sizes = [7, 5, 1, 2, *[1] * (CONTEXT - 15)]
        close(torch.cat([network(t, memory) for t in tokens.split(sizes, dim=1)], dim=1), wanted)


@pytest.mark.parametrize("kind", SMALL)
def test_weights_in_several_files(kind, tmp_path):
    folder = save(tmp_path, kind, {}, max_shard_size="20KB")
    assert len(list(folder.glob("*.safetensors"))) > 2
    close(ours(folder, some_tokens()), theirs(folder, some_tokens()))


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_stored_in_another_type(kind, dtype, tmp_path):
    folder = save(tmp_path, kind, {}, dtype=dtype)
    stored = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {dtype}
    close(ours(folder, some_tokens()), theirs(folder, some_tokens()))


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_names_without_a_prefix_and_what_was_once_stored(kind, tmp_path):
    """So the first GPT-2 files and old Llamas are: masks and rates among the weights."""
    folder = save(tmp_path, kind, {"tie_word_embeddings": True})
    wanted = ours(folder, some_tokens())
    prefix = "model." if kind == "llama" else "transformer."

    def change(tensors):
        bare = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        if kind == "llama":
            return bare | {"layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
        mask = torch.ones(1, 1, CONTEXT, CONTEXT, dtype=torch.uint8).tril()
        bare |= {"h.0.attn.masked_bias": torch.tensor(-1e4), "lm_head.weight": bare["wte.weight"]}
        return bare | {"h.0.attn.bias": mask}

    rewrite(folder, change)
    assert torch.equal(ours(folder, some_tokens()), wanted)


def test_weights_are_copies(tmp_path):
    folder = save(tmp_path, "llama", {})
    found = read_folder(folder)
    before = {name: tensor.clone() for name, tensor in found.tensors.items()}
    file = folder / "model.safetensors"
    file.write_bytes(bytes(file.stat().st_size))
    assert all(torch.equal(found.tensors[name], before[name]) for name in before)


def test_rotary_positions_as_older_packages_wrote_them(tmp_path):
    folder = save(tmp_path, "llama", {"rope_parameters": LLAMA3})
    spec = read_folder(folder).spec
    assert spec.rope_scaling == RopeScaling(4.0, 1.0, 4.0, 16)
    old = {key: value for key, value in LLAMA3.items() if key not in ("rope_type", "rope_theta")}
    configure(
        folder, rope_parameters=None, rope_theta=100.0, rope_scaling={"type": "llama3", **old}
    )
    assert read_folder(folder).spec == spec
    close(ours(folder, some_tokens()), theirs(folder, some_tokens()))
    configure(folder, rope_scaling=None)
    assert read_folder(folder).spec.rope_scaling is None
    close(ours(folder, some_tokens()), theirs(folder, some_tokens()))


@pytest.mark.parametrize("rope", [LLAMA3 | {"original_max_position_embeddings": 512}, None])
def test_angles_are_those_of_transformers_to_the_last_bit(rope):
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    changes = {"head_dim": 64, "max_position_embeddings": 4_000, "rope_parameters": rope}
    there = LlamaRotaryEmbedding(LlamaConfig(**LLAMA | changes))
    cos, sin = there(torch.zeros(1), torch.arange(4_000)[None])
    scaling = RopeScaling(4.0, 1.0, 4.0, 512) if rope else None
    found = angles(4_000, 64, 100.0 if rope else 10_000.0, scaling)
    assert torch.equal(found[0], cos[0, :, :32])
    assert torch.equal(found[1], sin[0, :, :32])


def test_a_window_bounds_what_is_read_at_once(tmp_path):
    folder = save(tmp_path, "mistral", {"sliding_window": 9})
    assert read_folder(folder).spec.context == 9
    close(ours(folder, some_tokens(9)), theirs(folder, some_tokens(9)))
    assert read_folder(save(tmp_path / "wide", "mistral", {})).spec.context == CONTEXT


def test_the_licence_is_what_the_folder_says(tmp_path):
    folder = save(tmp_path, "llama", {})
    assert read_folder(folder).licence.startswith("unknown")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Tiny\n")
    assert read_folder(folder).licence == "Apache-2.0"
    configure(folder, license="mit")
    assert read_folder(folder).licence == "mit"


def configure(folder: Path, **changes) -> None:
    """Change config.json; None takes a key away."""
    file = folder / "config.json"
    said = json.loads(file.read_text()) | changes
    file.write_text(
        json.dumps({k: v for k, v in said.items() if k not in changes or v is not None})
    )


def rewrite(folder: Path, change: Callable[[dict], dict]) -> None:
    """Change the tensors of a model of one file."""
    file = folder / "model.safetensors"
    kept = {name: tensor.contiguous().clone() for name, tensor in change(load_file(file)).items()}
    save_file(kept, file)


def config(**changes) -> Callable[[Path], None]:
    return lambda folder: configure(folder, **changes)


def tensors(change: Callable[[dict], dict]) -> Callable[[Path], None]:
    return lambda folder: rewrite(folder, change)


def written(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: bool((folder / name).write_bytes(content))


def with_value(name: str, value: float) -> Callable[[dict], dict]:
    def change(found: dict) -> dict:
        found[name].view(-1)[3] = value
        return found

    return change


UP = "model.layers.1.mlp.up_proj.weight"
CONV = "transformer.h.1.attn.c_attn.weight"
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0, "beta_fast": 32}
LINEAR = {"type": "linear", "factor": 2.0}
SECTIONS = {"rope_type": "default", "mrope_section": [1, 1, 2]}
DAMAGES = {
    "no-config": ("llama", lambda f: (f / "config.json").unlink(), "no config.json"),
    "broken-config": ("llama", written("config.json", b'{"model_type": '), "config.json"),
    "binary-config": ("llama", written("config.json", b'{"model_type": "\xff"}'), "config.json"),
    "config-of-a-list": ("llama", written("config.json", b"[]"), "config.json"),
    "deep-config": ("llama", written("config.json", b"[" * 200_000), "config.json"),
    "another-type": ("llama", config(model_type="bert"), "'bert'.*llama, mistral, qwen2, gpt2"),
    "no-type": ("llama", config(model_type=None), "model_type"),
    "own-code": ("llama", config(auto_map={"AutoModel": "x.Y"}), "auto_map"),
    "quantised": ("llama", config(quantization_config={"bits": 4}), "quantization_config"),
    "no-width": ("llama", config(hidden_size=None), "config.json.*hidden_size"),
    "word-for-width": ("llama", config(hidden_size="32"), "config.json.*hidden_size"),
    "width": ("llama", config(hidden_size=64), "config.json.*hidden_size"),
    "absurd-width": ("llama", config(hidden_size=4 * 10**12), "config.json.*hidden_size"),
    "vocabulary": ("llama", config(vocab_size=60), "config.json.*vocab_size"),
    "absurd-vocabulary": ("llama", config(vocab_size=10**12), "config.json.*vocab_size"),
    "hidden": ("llama", config(intermediate_size=10**12), "config.json.*intermediate_size"),
    "depth": ("llama", config(num_hidden_layers=3), "config.json.*num_hidden_layers"),
    "absurd-depth": ("llama", config(num_hidden_layers=10**9), "config.json.*depth"),
    "heads": ("llama", config(head_dim=16), "config.json.*num_attention_heads"),
    "no-heads": ("llama", config(num_attention_heads=0), "config.json.*num_heads"),
    "keys": ("llama", config(num_key_value_heads=2), "config.json.*num_key_value_heads"),
    "uneven-keys": ("llama", config(num_key_value_heads=3), "config.json.*num_kv_heads"),
    "context": ("llama", config(max_position_embeddings=10**12), "config.json.*context"),
    "epsilon": ("llama", config(rms_norm_eps=-1.0), "config.json.*epsilon"),
    "activation": ("llama", config(hidden_act="relu"), "config.json.*hidden_act.*'relu'"),
    "yarn": ("llama", config(rope_parameters=YARN), "config.json.*'yarn'"),
    "linear": ("llama", config(rope_scaling=LINEAR), "config.json.*'linear'"),
    "sections": ("llama", config(rope_parameters=SECTIONS), "config.json.*mrope_section"),
    "half-turned": ("llama", config(partial_rotary_factor=0.5), "partial_rotary_factor"),
    "no-factor": ("llama", config(rope_parameters={"rope_type": "llama3"}), "config.json.*factor"),
    "biases": ("llama", config(attention_bias=True), r"lacks layers\.0\.self_attn\.q_proj\.bias"),
    "no-head": ("llama", tensors(lambda t: without(t, "lm_head.weight")), "lacks lm_head"),
    "another-head": ("llama", config(tie_word_embeddings=True), "lm_head.*tie_word_embeddings"),
    "missing": ("llama", tensors(lambda t: without(t, UP)), r"lacks layers\.1\.mlp\.up_proj"),
    "unknown": ("llama", tensors(lambda t: t | {"score.weight": t[UP]}), "score.weight"),
    "twice": ("llama", tensors(lambda t: t | {UP[6:]: t[UP]}), "twice"),
    "shape": (
        "llama",
        tensors(lambda t: t | {UP: t[UP].T}),
        r"up_proj\.weight is 32×44 and not 44",
    ),
    "not-finite": ("llama", tensors(with_value(UP, math.nan)), r"up_proj\.weight.*not finite"),
    "rounded": ("llama", tensors(lambda t: t | {UP: t[UP].to(torch.int8)}), "up_proj.*I8"),
    "no-weights": ("llama", lambda f: (f / "model.safetensors").unlink(), "no model.safetensors"),
    "garbage": ("llama", written("model.safetensors", b"abc" * 99), "model.safetensors.*read"),
    "no-context": ("gpt2", config(n_positions=64), "config.json.*n_positions"),
    "conv": ("gpt2", tensors(lambda t: t | {CONV: t[CONV].T}), r"c_attn\.weight is 96×32"),
    "gpt2-hidden": ("gpt2", config(n_inner=100), "config.json.*n_inner"),
    "gpt2-depth": ("gpt2", config(n_layer=1), "config.json.*n_layer"),
    "unscaled": ("gpt2", config(scale_attn_weights=False), "config.json.*scale_attn_weights"),
    "by-layer": ("gpt2", config(scale_attn_by_inverse_layer_idx=True), "inverse_layer_idx"),
    "exact-gelu": ("gpt2", config(activation_function="gelu"), "activation_function"),
}


def without(found: dict, name: str) -> dict:
    return {key: tensor for key, tensor in found.items() if key != name}


def refusal(folder: Path) -> str:
    with pytest.raises((ArtefactError, PlanError)) as caught:
        read_folder(folder)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    return str(caught.value)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> dict[str, Path]:
    return {kind: save(tmp_path_factory.mktemp(kind), kind, {}) for kind in ("llama", "gpt2")}


@pytest.fixture
def copied(saved, tmp_path) -> Callable[[str], Path]:
    def copy(kind: str) -> Path:
        for file in saved[kind].iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        return tmp_path

    return copy


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_does_not_fit_is_refused_in_one_sentence(damage, copied):
    kind, harm, said = DAMAGES[damage]
    folder = copied(kind)
    harm(folder)
    message = refusal(folder)
    assert re.search(said, message), message


def test_a_file_that_was_cut_short_is_refused(copied):
    file = copied("llama") / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert "model.safetensors cannot be read" in refusal(file.parent)


class Trap:
    def __reduce__(self):
        return Path.touch, (Path("trapped"),)


def test_what_could_run_code_is_not_opened(copied, monkeypatch):
    folder = copied("llama")
    monkeypatch.chdir(folder)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    read_folder(folder)
    (folder / "model.safetensors").unlink()
    assert "pytorch_model.bin" in refusal(folder)
    assert "safetensors" in refusal(folder)
    assert not Path("trapped").exists()


def test_an_index_that_is_not_true_is_refused(tmp_path):
    folder = save(tmp_path / "model", "llama", {}, max_shard_size="20KB")
    index = folder / "model.safetensors.index.json"
    true = json.loads(index.read_text())["weight_map"]

    def said(**changes) -> str:
        index.write_text(json.dumps({"weight_map": true | changes}))
        return refusal(folder)

    (tmp_path / "other.safetensors").write_bytes((folder / true[UP]).read_bytes())
    assert "outside" in said(**{UP: "../other.safetensors"})
    assert "outside" in said(**{UP: str(tmp_path / "other.safetensors")})
    assert "absent.safetensors" in said(**{UP: "absent.safetensors"})
    another = next(file for file in true.values() if file != true[UP])
    assert UP in said(**{UP: another})
    assert "score.weight" in said(**{"score.weight": another})
    index.write_text(json.dumps({"weight_map": without(true, UP)}))
    assert UP in refusal(folder)
    index.write_text(json.dumps({"weight_map": [true]}))
    assert "weight_map" in refusal(folder)
    index.write_text(json.dumps({"weight_map": {}}))
    assert "num_hidden_layers" in refusal(folder)


def test_a_model_too_large_for_the_machine_is_refused_before_it_is_read(copied, monkeypatch):
    monkeypatch.setattr(huggingface, "MOST_WEIGHTS", 1_000)
    monkeypatch.setattr(huggingface, "read_weights", None)
    assert "this machine has room for" in refusal(copied("llama"))


def test_what_is_no_folder_is_refused(tmp_path):
    assert "no model" in refusal(tmp_path / "absent")
    (tmp_path / "file").touch()
    assert "no model" in refusal(tmp_path / "file")
