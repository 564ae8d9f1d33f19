"""The n-gram model against its formula, written with dictionaries and followed token by token."""

import math
import textwrap
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from fathom.baselines.language import KneserNey, kneser_ney
from fathom.baselines.language.counting import _sorted, begun
from fathom.core.language import Documents


def documents(texts, end=0, dtype=np.uint16):
    """Documents of lists of tokens."""
    lengths = np.array([len(text) + 1 for text in texts], dtype=np.int64)
    stream = np.concatenate([[end], *([*text, end] for text in texts)]).astype(dtype)
    starts = np.concatenate([[1], 1 + np.cumsum(lengths)]).astype(np.int64)
    return Documents(stream, starts, lengths - 1, [f"text {i}" for i in range(len(texts))])


class Reference:
    """Chen and Goodman's interpolated modified Kneser-Ney, as slow as it is plain."""

    def __init__(self, texts, vocabulary, order, end):
        self.vocabulary, self.order, self.end = vocabulary, order, end
        occurs, left = defaultdict(int), defaultdict(set)
        for text in texts:
            sequence = (end, *text, end)
            for last in range(1, len(sequence)):
                for size in range(1, min(order, last + 1) + 1):
                    gram = sequence[last - size + 1 : last + 1]
                    occurs[gram] += 1
                    if last - size >= 0:
                        left[gram].add(sequence[last - size])
        self.counts = {
            gram: occurs[gram] if len(gram) == order or not left[gram] else len(left[gram])
            for gram in occurs
        }
        self.discounts = [self.discounts_of(size) for size in range(1, order + 1)]
        self.after = defaultdict(list)
        for gram in self.counts:
            self.after[gram[:-1]].append(gram)

    def discounts_of(self, size):
        n = [0] * 5
        for gram, count in self.counts.items():
            if len(gram) == size and count <= 4:
                n[count] += 1
        if not all(n[1:]):
            return [0.5, 1.0, 1.5]
        y = n[1] / (n[1] + 2 * n[2])
        found = [j - (j + 1) * y * n[j + 1] / n[j] for j in (1, 2, 3)]
        return [d if d > 0 else back for d, back in zip(found, (0.5, 1.0, 1.5), strict=True)]

    def probability(self, context, token):
        context = tuple(context)[-(self.order - 1) :] if self.order > 1 else ()
        if self.end in context:  # no text sees another one
            context = context[len(context) - 1 - context[::-1].index(self.end) :]
        return self.interpolated(context, token)

    def interpolated(self, context, token):
        below = self.interpolated(context[1:], token) if context else 1 / self.vocabulary
        grams = self.after[context]
        if not grams:
            return below
        discounts = self.discounts[len(context)]
        total = sum(self.counts[gram] for gram in grams)
        taken = {gram: discounts[min(self.counts[gram], 3) - 1] for gram in grams}
        gram = (*context, token)
        own = max(self.counts[gram] - taken[gram], 0) if gram in taken else 0
        return (own + sum(taken.values()) * below) / total


def random_texts(generator, count, vocabulary, end):
    """Texts in which tokens depend on the one before, some of them empty."""
    tokens = np.array([t for t in range(vocabulary - 2) if t != end])  # two are never seen
    texts = []
    for _ in range(count):
        text, token = [], 0
        for _ in range(generator.integers(0, 25)):
            token = int((token * 3 + generator.geometric(0.5)) % len(tokens))
            text.append(int(tokens[token]))
        texts.append(text)
    return texts


def real_texts():
    """Bytes of a module's source, a text for every paragraph."""
    source = Path(textwrap.__file__).read_bytes()[:9000]
    return [[byte + 1 for byte in part] for part in source.split(b"\n\n")]


CASES = {
    "END is 0": (lambda: random_texts(np.random.default_rng(0), 40, 12, 0), 12, 0),
    "END is last": (lambda: random_texts(np.random.default_rng(1), 60, 9, 8), 9, 8),
    "few": (lambda: [[1, 2, 1, 2, 3], [], [2]], 7, 0),
    "real": (real_texts, 257, 0),
}


@pytest.mark.parametrize("order", range(1, 8))
@pytest.mark.parametrize("case", CASES)
def test_probabilities_are_those_of_the_formula(case, order):
    make, vocabulary, end = CASES[case]
    texts = make()
    split = max(1, len(texts) * 2 // 3)
    train, held_out = texts[:split], [*texts[split:], [], texts[0]][-12:]
    reference = Reference(train, vocabulary, order, end)
    model = KneserNey.fit(documents(train, end), vocabulary=vocabulary, order=order)
    np.testing.assert_allclose(model.discounts[:, 1:], reference.discounts)
    expected = []
    for text in held_out:
        sequence = [end, *text, end]
        expected += [
            -math.log(reference.probability(sequence[:i], sequence[i]))
            for i in range(1, len(sequence))
        ]
    nats = model.nats(documents(held_out, end))
    assert nats.dtype == np.float32
    np.testing.assert_allclose(nats, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("order", [1, 2, 3, 6])
@pytest.mark.parametrize("case", CASES)
def test_distributions_are_those_of_the_formula(case, order):
    make, vocabulary, end = CASES[case]
    texts = make()
    reference = Reference(texts, vocabulary, order, end)
    model = KneserNey.fit(documents(texts, end), vocabulary=vocabulary, order=order)
    unseen = [vocabulary - 1, vocabulary - 2, vocabulary - 1]
    contexts = [[end], [*texts[0], end], texts[0][:3], [end, *texts[0][:2]], unseen, [end, *unseen]]
    contexts += [[*unseen, *texts[0][:1]], [end, *texts[0], end, *texts[0][:4]]]
    found = model.next_log_probs([np.array(c, dtype=np.uint16) for c in contexts])
    assert found.shape == (len(contexts), vocabulary)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.exp(found.astype(np.float64)).sum(axis=1), 1, atol=1e-6)
    expected = [
        [math.log(reference.probability(c, t)) for t in range(vocabulary)] for c in contexts
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("most_bytes", [10**9, 12_000, 3_000, 0])
def test_nats_agree_with_next_log_probs_whatever_is_pruned(most_bytes, monkeypatch):
    monkeypatch.setattr(kneser_ney, "CELLS_AT_ONCE", 5 * 257)
    monkeypatch.setattr(kneser_ney, "AT_ONCE", 50)
    train, held_out = documents(real_texts()[:30]), documents(real_texts()[20:])
    counting = begun(train, 257, train.predicted)
    for _ in range(4):
        counting.extend()
    model = KneserNey.of(counting, train.predicted, most_bytes)
    stream = held_out.tokens
    found = model.next_log_probs([stream[:i] for i in range(1, len(stream))])
    np.testing.assert_allclose(np.exp(found.astype(np.float64)).sum(axis=1), 1, atol=1e-6)
    of_tokens = found[np.arange(len(found)), stream[1:]]
    np.testing.assert_allclose(model.nats(held_out), -of_tokens, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("bits", [4, 30, 63])
def test_keys_are_sorted_with_their_places_however_large_they_are(bits):
    keys = np.random.default_rng(bits).integers(0, 2**bits, 1000, dtype=np.uint64)
    found, places = _sorted(keys.copy())
    np.testing.assert_array_equal(found, np.sort(keys))
    np.testing.assert_array_equal(found, keys[places])
    assert len(np.unique(places)) == len(keys)
