"""Tiny models as transformers saves them, with weights of no meaning; for several suites."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = ("good", "fine", "bad", "poor", "film", "play", "the", "a", "was", "very")
MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def save_bert(folder: Path, *, licence: str = "apache-2.0") -> Path:
    """A BERT of two layers, its tokenizer of whole words, and a README that names a licence."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(MARKS) + len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=12,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(
        models.WordLevel({w: i for i, w in enumerate((*MARKS, *WORDS))}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_padding(length=12)  # as some are saved: nothing may come of it here
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"unk_token": "[UNK]"}))
    (folder / "README.md").write_text(f"---\nlanguage: en\nlicense: {licence}\n---\n# Tiny\n")
    return folder


def save_vit(folder: Path) -> Path:
    """A vision transformer of two layers, for pictures of 32 pixels a side."""
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
    )
    ViTModel(config).save_pretrained(folder)
    return folder


def save_convnext(folder: Path) -> Path:
    """A ConvNeXt of two stages, and what its processor does to pictures."""
    from transformers import ConvNextConfig, ConvNextModel

    torch.manual_seed(0)
    config = ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2)
    ConvNextModel(config).save_pretrained(folder)
    said = {
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.25, 0.25, 0.25],
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": 32},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    return folder


def save_listener(folder: Path, kind: str = "wav2vec2", **changes: object) -> Path:
    """An encoder of waves with two layers, and what its processor does to sounds."""
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(0)
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "conv_dim": [8, 8, 8],
        "conv_kernel": [10, 3, 2],
        "conv_stride": [5, 4, 4],
        "num_conv_pos_embeddings": 2 if kind == "data2vec-audio" else 8,
        "num_conv_pos_embedding_groups": 4,
    }
    AutoModel.from_config(AutoConfig.for_model(kind, **sizes | changes)).save_pretrained(folder)
    said = {"sampling_rate": 4_000, "do_normalize": True, "return_attention_mask": False}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")
    return folder
