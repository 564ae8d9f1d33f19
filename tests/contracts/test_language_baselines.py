"""What is asked of the traditional methods beside a language network."""

import json
import lzma

import numpy as np
import pytest
from safetensors.numpy import load, save

from fathom.baselines.language import Compressor, KneserNey, best_order, counting, joined
from fathom.baselines.language.compressor import dealt
from fathom.core.budget import Budget
from fathom.core.errors import DataError
from fathom.core.language import Documents, LanguageModel
from fathom.core.progress import Silent

VOCABULARY = 40


def documents(texts, end=0, dtype=np.uint16):
    """Documents of lists of tokens."""
    lengths = np.array([len(text) + 1 for text in texts], dtype=np.int64)
    stream = np.concatenate([[end], *([*text, end] for text in texts)]).astype(dtype)
    starts = np.concatenate([[1], 1 + np.cumsum(lengths)]).astype(np.int64)
    return Documents(stream, starts, lengths - 1, [f"text {i}" for i in range(len(texts))])


def make(seed, count=80, longest=60):
    """Texts in which a token depends on the two before it."""
    generator = np.random.default_rng(seed)
    texts = []
    for _ in range(count):
        text = [1, 2]
        for _ in range(generator.integers(1, longest)):
            text.append(1 + (3 * text[-1] + 5 * text[-2] + generator.geometric(0.6)) % 30)
        texts.append([int(token) for token in text])
    return documents(texts)


def fit(order=4, seed=0, **options):
    return KneserNey.fit(make(seed), vocabulary=VOCABULARY, order=order, **options)


def same(one, other):
    a, b = one.state(), other.state()
    assert a[1] == b[1]
    assert list(a[0]) == list(b[0])
    for name, array in a[0].items():
        assert array.dtype == b[0][name].dtype
        np.testing.assert_array_equal(array, b[0][name], err_msg=name)


def test_it_is_a_language_model_that_learns():
    model, held_out = fit(3), make(1)
    assert isinstance(model, LanguageModel)
    assert model.name == "kneser_ney"
    nats = model.nats(held_out)
    assert nats.shape == (held_out.predicted,)
    assert nats.mean() < 0.75 * fit(1).nats(held_out).mean()


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
@pytest.mark.parametrize("order", [1, 2, 5])
def test_what_is_stored_predicts_exactly_the_same(order, dtype):
    made = make(0)
    train = Documents(made.tokens.astype(dtype), made.starts, made.sizes, made.names)
    model = KneserNey.fit(train, vocabulary=VOCABULARY, order=order)
    arrays, config = model.state()
    again = KneserNey.from_state(load(save(arrays)), json.loads(json.dumps(config)))
    same(model, again)
    same(model, fit(order))
    np.testing.assert_array_equal(model.nats(make(1)), again.nats(make(1)))
    assert model.nbytes == sum(array.nbytes for array in arrays.values())
    assert (again.order, again.vocabulary) == (order, VOCABULARY)


def damaged():
    """What is done to the state, by name."""
    yield "no order", lambda arrays, config: config.pop("order")
    yield "more orders", lambda arrays, config: config.update(order=5)
    yield "fewer orders", lambda arrays, config: config.update(order=3)
    yield "no orders", lambda arrays, config: config.update(order=0)
    yield "order of another kind", lambda arrays, config: config.update(order=None)
    yield "a foreign end", lambda arrays, config: config.update(end=VOCABULARY)
    yield "nothing seen", lambda arrays, config: arrays["unigrams"].fill(0)
    yield "a discount of nothing", lambda arrays, config: arrays["discounts"].fill(0)
    yield "a discount that is none", lambda arrays, config: arrays["discounts"].fill(np.nan)
    yield "counts of nothing", lambda arrays, config: arrays["counts.3"].fill(0)
    yield "totals below counts", lambda arrays, config: arrays["totals.3"].fill(1)
    yield "tokens out of order", lambda arrays, config: arrays["tokens.2"].fill(1)
    yield "foreign tokens", lambda arrays, config: arrays["tokens.4"].fill(200)
    yield "ranges that overlap", lambda arrays, config: arrays["offsets.3"][1:3].fill(60)
    yield "ranges too far", lambda arrays, config: arrays["offsets.4"][-1:].fill(2**20)
    for name in ("unigrams", "discounts", "tokens.2", "counts.2", "offsets.3", "totals.4"):
        yield f"no {name}", lambda arrays, config, name=name: arrays.pop(name)
        yield (
            f"short {name}",
            lambda arrays, config, name=name: arrays.update({name: arrays[name][:-1]}),
        )
        yield (
            f"signed {name}",
            lambda arrays, config, name=name: arrays.update({name: arrays[name].astype(np.int32)}),
        )
        yield (
            f"nested {name}",
            lambda arrays, config, name=name: arrays.update({name: arrays[name][None]}),
        )


@pytest.mark.parametrize("damage", [pytest.param(d, id=name) for name, d in damaged()])
def test_arrays_that_do_not_fit_together_are_refused(damage):
    arrays, config = fit(4).state()
    arrays = {name: array.copy() for name, array in arrays.items()}
    damage(arrays, config)
    with pytest.raises(ValueError, match="n-gram model"):
        KneserNey.from_state(arrays, config)


def test_no_document_sees_another():
    model, held_out = fit(5), make(1, 12)
    alone = [model.nats(held_out.take(np.array([i]))) for i in range(len(held_out))]
    np.testing.assert_array_equal(model.nats(held_out), np.concatenate(alone))
    mixed = held_out.take(np.random.default_rng(0).permutation(12))
    assert model.nats(mixed).sum() == pytest.approx(model.nats(held_out).sum())
    # Training documents in another order give the same model, too.
    train = make(0)
    shuffled = train.take(np.random.default_rng(1).permutation(len(train)))
    same(model, KneserNey.fit(shuffled, vocabulary=VOCABULARY, order=5))


def test_texts_may_be_few_short_or_empty():
    model = KneserNey.fit(documents([[]]), vocabulary=3, order=4)
    assert model.nats(documents([[], [1]])).shape == (3,)
    assert np.isfinite(model.next_log_probs([np.array([0]), np.array([2, 2, 2, 2])])).all()
    assert model.nats(documents([])).shape == (0,)
    assert model.next_log_probs([]).shape == (0, 3)


def test_what_cannot_be_is_said():
    train = make(0)
    with pytest.raises(DataError, match="there are none"):
        KneserNey.fit(documents([]), vocabulary=3, order=2)
    with pytest.raises(ValueError, match="below 10"):
        KneserNey.fit(train, vocabulary=10, order=2)
    for order in (0, 13):
        with pytest.raises(ValueError, match="order"):
            KneserNey.fit(train, vocabulary=VOCABULARY, order=order)
    with pytest.raises(ValueError, match="at least one token"):
        KneserNey.fit(train, vocabulary=VOCABULARY, order=2, limit=0)
    model = fit(3)
    with pytest.raises(ValueError, match="end with token 5"):
        model.nats(documents([[1]], end=5))
    with pytest.raises(ValueError, match="below 40"):
        model.nats(documents([[1, 40]]))
    with pytest.raises(ValueError, match="below 40"):
        model.next_log_probs([np.array([-1])])
    with pytest.raises(ValueError, match="at least one token"):
        model.next_log_probs([np.array([1]), np.array([], dtype=np.uint16)])


@pytest.mark.parametrize("limit", [1, 57, 500, 2000])
def test_a_limit_counts_so_many_tokens_of_documents_drawn(limit):
    train = make(0)
    model = fit(4, limit=limit)
    assert model.counted == limit
    same(model, fit(4, limit=limit))
    assert f"{limit:,} of {train.predicted:,} tokens" in model.notes[0]
    stream = counting.drawn(train, limit)
    texts = [train.document(i).tolist() for i in range(len(train))]
    *whole, last = (part for part in _split(stream[1:].tolist()))
    assert all(text in texts for text in whole)
    assert any(text[: len(last)] == last for text in texts)
    assert fit(4, limit=10**9).counted == train.predicted
    assert not fit(4, limit=10**9).notes


def _split(stream):
    text = []
    for token in stream:
        text.append(token)
        if token == 0:
            yield text
            text = []
    yield text


def test_short_of_time_fewer_tokens_are_counted(monkeypatch):
    monkeypatch.setattr(counting, "PROBED", 300)
    monkeypatch.setattr(counting, "LEAST_TOKENS", 700)
    assert fit(3, budget=Budget(1e-9)).counted == 700
    assert fit(3, budget=Budget(1000)).counted == make(0).predicted
    some = fit(3, budget=Budget(1e-9))
    same(some, fit(3, limit=some.counted))


def test_short_of_memory_fewer_tokens_are_counted(monkeypatch):
    monkeypatch.setattr(counting, "machine_memory", lambda: 1_000_000)
    counted = fit(3).counted
    assert 0 < counted < make(0).predicted
    assert fit(5).counted < counted


def test_pruning_keeps_to_its_bound_and_is_said():
    train = make(0)
    counted = counting.begun(train, VOCABULARY, train.predicted)
    for _ in range(4):
        counted.extend()
    whole = KneserNey.of(counted, train.predicted)
    assert not whole.notes
    before = whole.nats(make(1)).mean()
    for most in (whole.nbytes - 1, whole.nbytes // 2, whole.nbytes // 8):
        model = KneserNey.of(counted, train.predicted, most)
        assert model.nbytes <= most
        assert "rarest" in model.notes[0]
        assert model.nats(make(1)).mean() < 1.6 * before
        same(model, KneserNey.from_state(*model.state()))


def test_the_order_is_chosen_on_validation():
    shown = Silent()
    train, validation = make(0, 400), make(1)
    choice = best_order(train, validation, vocabulary=VOCABULARY, progress=shown)
    bits = [tried.bits for tried in choice.tried]
    assert choice.settled
    assert [tried.order for tried in choice.tried] == list(range(1, len(bits) + 1))
    assert choice.model.order == 1 + int(np.argmin(bits))
    assert choice.model.order >= 3  # what a token depends on
    best = choice.model.nats(validation).mean() / np.log(2)
    assert best == pytest.approx(min(bits), rel=1e-5)
    again = KneserNey.fit(
        train, vocabulary=VOCABULARY, order=choice.model.order, limit=choice.model.counted
    )
    same(choice.model, again)
    with pytest.raises(DataError, match="validation"):
        best_order(train, documents([]), vocabulary=VOCABULARY)


def test_whether_it_could_have_become_better_is_kept():
    choice = best_order(make(0), make(1), vocabulary=VOCABULARY, budget=Budget(1e-9))
    choice.model.settled = choice.settled
    again = KneserNey.from_state(*choice.model.state())
    assert not again.settled
    assert KneserNey.fit(make(0), vocabulary=VOCABULARY, order=2).settled


def test_the_choice_of_an_order_keeps_to_its_budget(monkeypatch):
    train, validation = make(0), make(1)
    cut = best_order(train, validation, vocabulary=VOCABULARY, budget=Budget(1e-9))
    assert (cut.model.order, len(cut.tried), cut.settled) == (1, 1, False)
    monkeypatch.setattr(counting, "PROBED", 300)
    monkeypatch.setattr(counting, "LEAST_TOKENS", 700)
    cut = best_order(train, validation, vocabulary=VOCABULARY, budget=Budget(1e-9))
    assert cut.model.counted == 700


WORDS = b"the quick brown fox jumps over the lazy dog and then it goes home again ".split()


def prose(seed, count=40, words=120):
    generator = np.random.default_rng(seed)
    return [b" ".join(WORDS[i] for i in generator.integers(0, 15, words)) for _ in range(count)]


def test_a_primed_compressor_needs_fewer_bits():
    compressor, texts = Compressor(), prose(0)
    assert compressor.name == "xz"
    found = compressor.compressed(texts, joined(prose(1)))
    unprimed = compressor.compressed(texts, b"")
    assert found.bits.shape == found.bytes.shape == (20,)
    assert found.bytes.sum() == sum(map(len, texts))
    assert found.bytes.max() < 1.2 * found.bytes.min()
    assert found.bits.sum() < 0.9 * unprimed.bits.sum()
    assert found.alone_bits == unprimed.alone_bits < unprimed.bits.sum()
    for p in range(20):
        own = sum(len(text) for text, part in zip(texts, found.part, strict=True) if part == p)
        assert found.bytes[p] == own
    repeated = compressor.compressed(texts[:4], joined(texts), parts=2)
    assert repeated.bits.sum() < 0.1 * found.bits.sum()


def test_the_bits_are_those_of_xz():
    texts = prose(0)
    packed = 8 * len(lzma.compress(joined(texts), preset=6))
    alone = Compressor().compressed(texts, b"", parts=1).alone_bits
    assert packed - 8 * 80 < alone < packed  # without headers and checksums


@pytest.mark.parametrize(
    ("texts", "parts"),
    [([b""], 1), ([b"", b""], 1), ([b"one"], 1), ([b"", b"one", b""], 1), ([b"a", b"", b"b"], 2)],
)
def test_texts_to_compress_may_be_few_or_empty(texts, parts):
    found = Compressor().compressed(texts, joined(prose(0, 3)))
    assert found.part.shape == (len(texts),)
    assert found.bits.shape == found.bytes.shape == (parts,)
    assert (found.bits >= 0).all()
    assert found.alone_bits > 0


def test_a_compressor_needs_texts():
    with pytest.raises(ValueError, match="at least one text"):
        Compressor().compressed([], b"")
    with pytest.raises(ValueError, match="at least one text"):
        Compressor().compressed([b"a"], b"", parts=0)


@pytest.mark.parametrize("parts", [1, 2, 7, 50])
def test_texts_are_dealt_evenly_and_neighbours_together(parts):
    generator = np.random.default_rng(parts)
    sizes = generator.integers(0, 50, 300) * generator.integers(0, 2, 300)
    part = dealt(sizes, parts)
    assert (np.diff(part) >= 0).all()
    assert part[0] == 0
    assert part[-1] == parts - 1
    assert np.ptp(np.bincount(part, weights=sizes)) <= 2 * sizes.max()
    assert (np.bincount(dealt(np.array([3, 0, 900, 0, 0, 2]), parts)) > 0).all()


def test_priming_follows_the_time():
    compressor, sample = Compressor(), joined(prose(0))
    amounts = [compressor.priming_bytes(seconds, 20) for seconds in (0, 0.1, 1, 60, 1e6)]
    assert amounts[0] == 0
    assert amounts == sorted(amounts)
    assert amounts[-1] == 2**26
    assert compressor.priming_bytes(60, 5) > compressor.priming_bytes(60, 20)
    assert compressor.priming_bytes(10, 20, held_out=10**7) < compressor.priming_bytes(10, 20)
    assert compressor.priming_bytes(1, 20, held_out=10**9) == 0
    assert compressor.priming_bytes(1, 20, sample=sample) > 0
