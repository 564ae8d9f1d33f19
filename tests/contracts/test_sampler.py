"""The sampler: deterministic, the same with and without a memory, alone and among others."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import language_corpora
from fathom.core.errors import PlanError
from fathom.core.language import LanguageModel
from fathom.data.corpus.tokenizing import Tokenizer, train_tokenizer
from fathom.inference.language import LanguagePredictor, LoadedLanguage
from fathom.inference.sampler import Sampler, Sampling
from fathom.networks.language import GptSpec, LstmSpec, build

TEXTS = language_corpora.tales(20)
SPECS = {
    "gpt": GptSpec(depth=2, width=32, num_heads=2, context=48),
    "learned positions": GptSpec(
        depth=1, width=32, num_heads=2, context=48, positions="learned", activation="gelu"
    ),
    "grouped": GptSpec(depth=2, width=32, num_heads=4, num_kv_heads=2, context=48),
    "lstm": LstmSpec(width=32, context=48),
}


def unsettled(network: torch.nn.Module) -> torch.nn.Module:
    """The network away from its quiet start, so that what it says depends on what it reads."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return network


@pytest.fixture(scope="module", params=list(SPECS))
def model(request: pytest.FixtureRequest) -> LoadedLanguage:
    tokenizer = train_tokenizer("bpe", TEXTS, vocabulary=300)
    spec = SPECS[request.param]
    return LoadedLanguage(unsettled(build(spec, tokenizer.size, seed=0)), spec, tokenizer)


def test_a_predictor_is_a_language_model(model):
    assert isinstance(LanguagePredictor(model), LanguageModel)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_same_seed_writes_the_same_and_another_another(model, temperature):
    sampling = Sampling(max_tokens=30, temperature=temperature, seed=3)
    sampler = Sampler(model)
    first, again = sampler.sample("The wolf", sampling), sampler.sample("The wolf", sampling)
    assert first.text == again.text
    other = sampler.sample("The wolf", Sampling(max_tokens=30, temperature=temperature, seed=4))
    assert (other.text == first.text) == (temperature == 0.0)


def test_with_and_without_memory_the_same_is_written(model):
    sampling = Sampling(max_tokens=30, temperature=0.0)
    cached = Sampler(model).sample("The fox", sampling)
    assert cached.text == Sampler(model, cached=False).sample("The fox", sampling).text


def test_texts_of_uneven_length_are_written_as_each_alone(model):
    prompts = ["The", "The wolf sees the hen. The owl", ""]
    sampling = Sampling(max_tokens=20, temperature=0.0)
    sampler = Sampler(model)
    together = [written.text for written in sampler.sample_several(prompts, sampling)]
    assert together == [sampler.sample(prompt, sampling).text for prompt in prompts]


def test_more_is_written_than_the_context_holds(model):
    written = Sampler(model).sample("The", Sampling(max_tokens=150, temperature=1.0, seed=1))
    assert written.ended or len(written.tokens) == 150


def test_pieces_of_a_stream_are_the_whole(model):
    sampling = Sampling(max_tokens=40, temperature=0.7, seed=5)
    sampler = Sampler(model)
    assert "".join(sampler.stream("The", sampling)) == sampler.sample("The", sampling).text


def test_top_k_of_one_is_the_likeliest(model):
    sampler = Sampler(model)
    one = sampler.sample("The", Sampling(max_tokens=20, temperature=1.0, top_k=1, seed=9))
    assert one.text == sampler.sample("The", Sampling(max_tokens=20, temperature=0.0)).text


def test_tokens_are_drawn_as_often_as_the_network_says(model):
    predictor, sampler = LanguagePredictor(model), Sampler(model)
    begun = sampler.begun("The")
    wanted = np.exp(predictor.next_log_probs([begun])[0].astype(np.float64))
    drawn = np.zeros(len(wanted))
    for seed in range(6):
        several = [begun] * 100
        for step in sampler.steps(several, Sampling(max_tokens=1, seed=seed)):
            for token in step.values():
                drawn[token] += 1
    assert drawn.sum() == 600
    assert np.abs(drawn / 600 - wanted).max() < 5 * np.sqrt(wanted.max() / 600)


def test_top_p_keeps_the_likeliest_that_hold_so_much(model):
    sampler = Sampler(model)
    begun = sampler.begun("The")
    probs = np.exp(LanguagePredictor(model).next_log_probs([begun])[0])
    ranked = np.argsort(-probs)
    kept = set(ranked[: int(np.searchsorted(np.cumsum(probs[ranked]), 0.5)) + 1].tolist())
    seen = {
        token
        for step in sampler.steps([begun] * 200, Sampling(max_tokens=1, top_p=0.5))
        for token in step.values()
    }
    assert seen <= kept
    assert len(seen) > 1 or len(kept) == 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "8"}, "max_tokens"),
        ({"max_tokens": 2_000_000_000}, "max_tokens"),
        ({"seed": -1}, "seed"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(options, named):
    with pytest.raises(PlanError, match=named):
        Sampling(**options)


def test_next_to_no_temperature_takes_the_likeliest(model):
    cold = Sampler(model).sample("The", Sampling(max_tokens=20, temperature=1e-40, seed=2))
    assert cold.text == Sampler(model).sample("The", Sampling(max_tokens=20, temperature=0)).text


def test_no_prompts_are_no_texts_and_a_prompt_is_text(model):
    assert Sampler(model).sample_several([]) == []
    with pytest.raises(PlanError, match="UTF-8"):
        Sampler(model).sample("\ud800")


@pytest.mark.parametrize("prompt", ["", "The wolf", "The "])
def test_a_stream_begins_as_the_whole_does_with_every_tokenizer(prompt, tmp_path):
    """A tokenizer that puts a blank before every text must not take it from what is written on."""
    from tokenizers import Tokenizer as Library
    from tokenizers import decoders, models, normalizers

    words = ["<s>", "</s>", "<unk>", "▁", "▁the", "▁wolf", "t", "h", "e", "w", "o", "l", "f"]
    words += [f"<0x{byte:02X}>" for byte in range(256)]
    library = Library(
        models.BPE({w: i for i, w in enumerate(words)}, [], unk_token="<unk>", byte_fallback=True)
    )
    library.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    library.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    library.add_special_tokens(["<s>", "</s>"])
    library.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')
    (tmp_path / "config.json").write_text('{"eos_token_id": 1}')
    tokenizer = Tokenizer.from_huggingface(tmp_path)
    network = unsettled(build(SPECS["gpt"], tokenizer.size, seed=0))
    sampler = Sampler(LoadedLanguage(network, SPECS["gpt"], tokenizer))
    blanks = 0
    for seed in range(20):
        sampling = Sampling(max_tokens=6, seed=seed)
        written = sampler.sample(prompt, sampling)
        assert "".join(sampler.stream(prompt, sampling)) == written.text
        first = tokenizer.written(int(written.tokens[0])) if len(written.tokens) else b""
        blanks += first.startswith(b" ")
        if prompt:
            assert written.text.startswith(" ") == first.startswith(b" ")
        elif first == b" wolf":
            assert written.text.startswith("wolf")
    assert blanks or prompt != "The wolf"  # the prompt after which this network likes one


def test_scores_do_not_depend_on_what_stands_beside(model):
    """A document's tokens are judged from itself alone, in windows that overlap."""
    from fathom.core.language import Documents

    texts = [TEXTS[0], "The hen", TEXTS[1] * 3]
    codes = [model.tokenizer.encode(text) for text in texts]
    stream = np.concatenate([[0], *[np.append(c, 0) for c in codes]]).astype(np.uint16)
    starts = np.concatenate([[1], 1 + np.cumsum([len(c) + 1 for c in codes])])
    sizes = np.array([len(t.encode()) for t in texts])
    documents = Documents(stream, starts, sizes, ["a", "b", "c"])
    predictor = LanguagePredictor(model)
    together = predictor.nats(documents)
    alone = [predictor.nats(documents.take(np.array([i]))) for i in range(3)]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-4, atol=1e-5)
    said = predictor.next_log_probs([stream[:1], stream[:4]])
    np.testing.assert_allclose(-said[0, stream[1]], together[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(-said[1, stream[4]], together[3], rtol=1e-4, atol=1e-5)
