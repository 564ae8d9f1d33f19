"""Evidence of language finds what was planted: in networks whose every probability is known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from fathom.baselines.language import Compressed
from fathom.core.budget import Budget
from fathom.core.language import Documents, drawn, first_of
from fathom.core.quantities import prefixed
from fathom.core.record import Record
from fathom.evidence.flops import count_flops
from fathom.evidence.intervals import Estimate
from fathom.evidence.language import (
    LANGUAGE_EVIDENCE,
    LanguageSubject,
    calibration,
    heads,
    rare_words,
    runs,
)
from fathom.evidence.language.estimates import BITS, over_units, share_over_units
from fathom.evidence.language.judging import judged, places_within
from fathom.evidence.language.runs import Runs, fingerprints
from fathom.evidence.language.samples import again, distinct
from fathom.evidence.language.units import units_of
from fathom.inference.sampler import Sampler, Sampling
from fathom.networks.language import GptSpec, build
from fathom.networks.language.attention import CausalAttend
from language_fakes import (
    BYTES,
    SURE,
    Chain,
    copier,
    documents_of,
    markov,
    reciter,
    subject_of,
    uniform,
)
from language_subjects import fresh

CHAIN = Chain()


@cache
def chained() -> dict[str, tuple[str, ...]]:
    """Texts of the chain, the same for all tests."""
    chain = Chain()
    sizes = {"train": 60, "validation": 10, "calibration": 10, "test": 40}
    return {split: tuple(chain.texts(size)) for split, size in sizes.items()}


def measured(subject: LanguageSubject, kind: str) -> dict[str, Record]:
    """The records of a kind by their ids without its group."""
    records = LANGUAGE_EVIDENCE[kind].measure(subject, Budget(120))
    return {record.id.removeprefix(f"{kind}."): record for record in records}


def words(count: int, seed: int = 0) -> list[str]:
    """Different words of six letters that nobody knows."""
    generator = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    return ["".join(generator.choice(letters, 6)) for _ in range(count)]


def prose(documents: int, seed: int, length: int = 60) -> list[str]:
    """Documents of unknown words."""
    several = words(documents * length, seed)
    return [" ".join(several[i * length : (i + 1) * length]) for i in range(documents)]


# ---- test text that stands in training ----


def test_test_text_that_training_holds_is_measured() -> None:
    """A third of the test text stands within longer training documents, word for word."""
    known, new = prose(10, seed=1, length=40), prose(20, seed=2, length=40)
    book = [f"{' '.join(prose(1, seed=9 + i))} {text}" for i, text in enumerate(known)]
    texts = {"train": (*book, *prose(30, seed=3)), "test": (*known, *new)}
    records = measured(subject_of(uniform, texts), "overlap")
    found = records["data.overlap"]
    assert found.value == pytest.approx(1 / 3, abs=0.03)
    assert found.interval[0] < 1 / 3 < found.interval[1]
    assert found.grade == "poor"
    rest = records["data.overlap.bits_per_byte"]
    assert rest.value == pytest.approx(np.log2(BYTES.size), rel=0.02)
    assert rest.n < 0.75 * sum(len(text) + 1 for text in texts["test"])


def test_text_of_its_own_overlaps_nowhere() -> None:
    texts = {"train": tuple(prose(30, seed=3)), "test": tuple(prose(25, seed=4))}
    found = measured(subject_of(uniform, texts), "overlap")["data.overlap"]
    assert found.value == 0.0
    assert found.grade == "good"
    assert found.interval[1] > 0


def test_where_all_test_text_is_known_nothing_is_said_of_new_text() -> None:
    texts = {"train": tuple(prose(30, seed=3)), "test": tuple(prose(30, seed=3)[:22])}
    records = measured(subject_of(uniform, texts), "overlap")
    assert records["data.overlap"].value > 0.95
    assert records["data.overlap.bits_per_byte"].status == "not_applicable"


def test_known_text_is_found_wherever_it_stands_in_training(monkeypatch) -> None:
    monkeypatch.setattr(runs, "MOST_TOKENS", 1_000)
    known = prose(25, seed=1, length=40)
    texts = {"train": (*prose(60, seed=3), *known), "test": (*known, *prose(5, seed=4))}
    found = measured(subject_of(uniform, texts), "overlap")["data.overlap"]
    whole = sum(len(text) + 1 for text in texts["test"])
    assert found.value == pytest.approx(sum(map(len, known)) / whole, abs=0.03)


def test_training_documents_are_drawn_where_not_all_are_read() -> None:
    documents = documents_of([str(i % 10) * 50 for i in range(100)], BYTES)
    some = drawn(documents, 1_000, np.random.default_rng(0))
    assert 1_000 <= some.predicted < 1_060
    assert len(set(some.names)) == len(some)
    assert max(int(name.split()[1]) for name in some.names) > 60
    assert drawn(documents, 10**6, np.random.default_rng(0)) is documents
    subject = subject_of(uniform, {"train": tuple(prose(100, seed=3)), "test": tuple(prose(9, 4))})
    subject.samples = {"train": 5_000}
    read = subject.documents("train")
    assert read.predicted == 5_000
    assert list(read.names) != [f"text {i}" for i in range(len(read))]


# ---- bits for a byte, perplexity, accuracy ----


def test_a_uniform_network_takes_the_logarithm_of_the_vocabulary() -> None:
    subject = subject_of(uniform, chained())
    records = measured(subject, "performance")
    test = subject.splits["test"]
    expected = np.log2(BYTES.size) * test.predicted / test.sizes.sum()
    assert records["bits_per_byte"].value == pytest.approx(expected, rel=1e-5)
    assert records["perplexity"].value == pytest.approx(BYTES.size, rel=1e-5)
    low, high = records["perplexity"].interval
    assert high - low < 1e-3
    assert records["bits_per_byte"].grade == "poor"


def test_known_probabilities_give_exactly_their_bits() -> None:
    subject = subject_of(markov(CHAIN.log_probs), chained())
    tokens = subject.splits["test"].tokens.astype(int)
    nats = -CHAIN.log_probs[tokens[:-1], tokens[1:]]
    records = measured(subject, "performance")
    expected = nats.sum() / np.log(2) / subject.splits["test"].sizes.sum()
    assert records["bits_per_byte"].value == pytest.approx(expected, rel=1e-5)
    assert records["perplexity"].value == pytest.approx(np.exp(nats.mean()), rel=1e-5)
    right = CHAIN.probs[tokens[:-1]].argmax(axis=1) == tokens[1:]
    assert records["token_accuracy"].value == pytest.approx(right.mean())
    for record in records.values():
        assert record.interval[0] < record.value < record.interval[1]


def test_the_temperature_divides_the_logits() -> None:
    warm = measured(
        subject_of(markov(2 * CHAIN.log_probs), chained(), temperature=2.0), "performance"
    )
    plain = measured(subject_of(markov(CHAIN.log_probs), chained()), "performance")
    assert warm["bits_per_byte"].value == pytest.approx(plain["bits_per_byte"].value, rel=1e-4)


# ---- units and their intervals ----


def test_units_take_every_token_exactly_once() -> None:
    for texts in (["abc " * 5000], ["abc " * 50] * 3, ["a b"] * 30, ["x"]):
        documents = documents_of(texts, BYTES)
        units = units_of(documents, BYTES.lengths)
        values = np.arange(documents.predicted, dtype=float)
        assert units.starts[0] == 0
        assert units.starts[-1] == documents.predicted
        assert units.sums(values).sum() == values.sum()
        assert units.tokens.sum() == documents.predicted
        assert units.sizes.sum() == pytest.approx(documents.sizes.sum())
        assert len(units.owner) == documents.predicted
    assert units_of(documents_of(["a b"] * 30, BYTES), BYTES.lengths).called == "documents"
    long = units_of(documents_of(["abc " * 5000], BYTES), BYTES.lengths)
    assert long.called == "stretches"
    assert len(long) == 20


def test_the_first_documents_are_whole_but_for_the_last() -> None:
    documents = documents_of(["abcd", "ef", "ghijkl"], BYTES)
    some = first_of(documents, 8, BYTES.lengths)
    assert len(some) == 2
    assert some.predicted == 8
    assert list(some.tokens) == list(documents.tokens[:9])
    cut = first_of(documents, 10, BYTES.lengths)
    assert (len(cut), cut.predicted, list(cut.sizes)) == (3, 10, [4, 2, 2])
    assert BYTES.decode(cut.document(2)) == "gh"
    one = first_of(documents, 3, BYTES.lengths)
    assert (len(one), one.predicted, one.sizes[0]) == (1, 3, 3)
    assert documents.sizes.tolist() == [4, 2, 6]
    assert first_of(documents, 100, BYTES.lengths) is documents


def test_pieces_are_the_text_of_the_units() -> None:
    long = "".join(chained()["test"])
    subject = subject_of(uniform, {**chained(), "test": [long]})
    pieces = subject.pieces("test")
    assert b"".join(pieces).decode() == long
    assert len(pieces) == len(subject.units("test")) > 10
    documents = subject_of(uniform, chained()).pieces("test")
    assert [text.decode() for text in documents] == list(chained()["test"])


def test_the_compressor_may_be_given_stretches() -> None:
    long = "".join(chained()["test"])
    subject = subject_of(uniform, {**chained(), "test": [long]}, best_baseline="xz")

    def compressed(split: str) -> Compressed:
        sizes = np.array([len(text) for text in subject.pieces(split)])
        part = np.arange(len(sizes)) // 5
        counts = np.bincount(part, weights=sizes).astype(np.int64)
        return Compressed(2 * counts, counts, part, int(3 * counts.sum()))

    subject.compressed = compressed
    records = measured(subject, "comparison")
    assert records["gain.bits_per_byte"].interval is not None
    assert records["verdict"].value == "baseline"
    wrong = replace(compressed("test"), part=np.zeros(3, dtype=np.int64))
    other = subject_of(uniform, {**chained(), "test": [long]}, best_baseline="xz")
    other.compressed = lambda split: wrong
    with pytest.raises(ValueError, match="neither"):
        measured(other, "comparison")


def test_one_unit_has_no_interval_and_decides_nothing() -> None:
    texts = {**chained(), "test": ("abcab",)}
    subject = subject_of(markov(CHAIN.log_probs), texts)
    record = measured(subject, "performance")["bits_per_byte"]
    assert record.interval is None
    assert "gives no interval" in record.sentence
    verdict = measured(subject, "comparison")["verdict"]
    assert (verdict.value, verdict.grade) == ("level", "poor")


def test_intervals_of_few_documents_hold_the_truth_often_enough() -> None:
    generator, inside = np.random.default_rng(0), 0
    for _ in range(400):
        sizes = generator.lognormal(3, 0.7, 20)
        nats = sizes * generator.lognormal(0, 0.4, 20)
        terms = np.stack([nats, sizes], axis=1)
        found = over_units(terms, lambda m: m[..., 0] / m[..., 1], generator, "documents")
        inside += found.low <= np.exp(0.08) <= found.high
    assert inside / 400 > 0.9


def test_a_share_that_no_unit_shows_is_not_certain() -> None:
    found = share_over_units(np.zeros(12), np.full(12, 40), np.random.default_rng(0), "documents")
    assert found.value == 0
    assert 0.2 < found.high < 0.3
    assert "12 documents" not in found.method


# ---- the comparison ----


def test_the_verdict_follows_the_sign_of_the_gain() -> None:
    better = measured(subject_of(markov(CHAIN.log_probs), chained(), order=1), "comparison")
    assert (better["verdict"].value, better["verdict"].grade) == ("network", "good")
    assert better["gain.bits_per_byte"].interval[0] > 0
    blurred = markov(np.log(0.3 * CHAIN.probs + 0.7 / BYTES.size))
    worse = measured(subject_of(blurred, chained(), order=2), "comparison")
    assert worse["verdict"].value == "baseline"
    assert worse["gain.bits_per_byte"].interval[1] < 0
    assert worse["gain.bits_per_byte"].grade == "poor"


def test_gains_are_differences_of_the_two_values() -> None:
    records = measured(subject_of(uniform, chained()), "comparison")
    subject = subject_of(uniform, chained())
    ours = measured(subject, "performance")
    for metric in ("bits_per_byte", "perplexity"):
        theirs = records[f"baseline.kneser_ney.{metric}"].value
        gain = records[f"gain.{metric}"].value
        assert gain == pytest.approx(theirs - ours[metric].value, rel=1e-6)


def test_nothing_learned_is_said_of_noise() -> None:
    generator = np.random.default_rng(1)
    noise = [bytes(generator.integers(0, 128, 200, dtype=np.uint8)).decode() for _ in range(90)]
    texts = {"train": noise[:40], "validation": noise[40:50], "test": noise[50:]}
    record = measured(subject_of(uniform, texts, order=2), "comparison")["verdict"]
    assert record.grade == "poor"
    assert "learned nothing" in record.sentence


def compressed_by(subject: LanguageSubject, bits: float) -> Compressed:
    """Four parts of the test documents at so many bits a byte."""
    sizes = subject.splits["test"].sizes
    part = np.arange(len(sizes)) * 4 // len(sizes)
    counts = np.bincount(part, weights=sizes).astype(np.int64)
    return Compressed((bits * counts).astype(np.int64), counts, part, int(2 * bits * counts.sum()))


def test_the_compressor_is_compared_over_its_own_parts() -> None:
    for bits, value in ((0.2, "baseline"), (7.5, "network")):
        subject = subject_of(markov(CHAIN.log_probs), chained(), best_baseline="xz")
        subject.compressed = lambda split, s=subject, b=bits: compressed_by(s, b)
        records = measured(subject, "comparison")
        assert records["baseline.xz.bits_per_byte"].value == pytest.approx(bits, rel=0.01)
        assert records["verdict"].value == value
        ours = subject.estimate(BITS, "network").value
        assert records["gain.bits_per_byte"].value == pytest.approx(bits - ours, rel=0.01)
        assert "4 parts" in records["gain.bits_per_byte"].method
        assert records["gain.perplexity"].status == "not_applicable"
        assert "--model" not in records["verdict"].sentence


def test_a_network_that_knows_its_training_text_by_heart_is_found_out() -> None:
    texts = chained()
    train = documents_of(texts["train"], BYTES)
    overfitted = measured(subject_of(reciter(train, 12), texts), "gap")["bits_per_byte"]
    assert overfitted.interval[1] < 0
    assert overfitted.grade == "poor"
    assert "overfitting" in overfitted.sentence
    sound = measured(subject_of(markov(CHAIN.log_probs), texts), "gap")["bits_per_byte"]
    assert sound.grade == "good"
    assert "no overfitting can be shown" in sound.sentence
    assert "40 documents" in sound.method


def test_what_training_has_not_seen_is_said_to_be_new() -> None:
    costs = {"tokens_trained": 100.0}
    record = measured(subject_of(uniform, chained(), costs=costs), "gap")["bits_per_byte"]
    assert "Training got through" in record.sentence
    twice = {"tokens_per_second": 1e6, "train_seconds": 1.0}
    subject = subject_of(uniform, chained(), costs=twice)
    assert subject.passes > 1
    assert "Training got through" not in measured(subject, "gap")["bits_per_byte"].sentence


# ---- how far back it looks, and what it learns from its prompt ----


def looks_back(distance: int):
    """Sure of the token that stood so many places before; without it, of nothing."""

    def rule(tokens: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros((*tokens.shape, BYTES.size))
        if tokens.shape[1] >= distance:
            source = tokens[:, : tokens.shape[1] - distance + 1]
            logits[:, distance - 1 :].scatter_(2, source[:, :, None], SURE)
        return logits

    return rule


def periodic(period: int) -> dict[str, list[str]]:
    """Documents that repeat a stretch of their own."""
    generator = np.random.default_rng(period)
    letters = np.array(list("abcdefghijklmnop"))
    whole = ["".join(generator.choice(letters, period)) * (600 // period) for _ in range(60)]
    return {"train": whole[:20], "validation": whole[20:24], "test": whole[24:]}


@pytest.mark.parametrize(("distance", "enough"), [(1, 1), (3, 4), (10, 32)])
def test_how_far_back_a_network_looks_is_found(distance: int, enough: int) -> None:
    subject = subject_of(looks_back(distance), periodic(distance), context=64)
    records = measured(subject, "context")
    sentence = records["gain"].sentence
    nearest = "The nearest token brings" if enough == 1 else f"The nearest {enough} tokens bring"
    assert nearest in sentence
    first = records["first"].value
    assert first == pytest.approx(0.0 if distance == 1 else np.log2(BYTES.size), abs=1e-3)


def test_the_farther_half_of_the_context_is_worth_what_it_tells() -> None:
    far = measured(subject_of(looks_back(40), periodic(40), context=64), "context")["gain"]
    assert far.value == pytest.approx(np.log2(BYTES.size), rel=1e-3)
    assert far.grade == "good"
    near = measured(subject_of(looks_back(5), periodic(5), context=64), "context")["gain"]
    assert near.value == pytest.approx(0.0, abs=1e-6)
    assert near.grade == "fair"
    assert "nothing shows" in near.sentence


def test_rivals_are_read_at_the_same_tokens() -> None:
    network = subject_of(markov(CHAIN.log_probs), chained()).network
    subject = subject_of(
        markov(CHAIN.log_probs), chained(), context=32, baselines={"kneser_ney": network}
    )
    ours, theirs = measured(subject, "context")["first"].figure.data["series"]
    assert ours["y"] == pytest.approx(theirs["y"], abs=1e-4)
    assert ours["x"] == theirs["x"]


def test_documents_that_are_too_short_are_said_to_be() -> None:
    texts = {"train": ["abc"] * 30, "test": ["abcd"] * 30}
    records = measured(subject_of(uniform, texts), "context")
    assert {record.status for record in records.values()} == {"not_applicable"}


def test_a_perfect_copier_is_right_from_the_second_reading_on() -> None:
    texts = {"train": prose(30, 0), "test": prose(40, 1)}
    record = measured(subject_of(copier(), texts, context=128), "in_context")["repetition"]
    network, n_grams = record.figure.data["series"]
    assert network["y"][0] < 0.5
    assert min(network["y"][1:]) > 0.8
    assert record.value == pytest.approx(network["y"][3])
    assert record.interval[0] <= record.value <= record.interval[1]
    assert record.grade == "good"
    assert max(n_grams["y"]) < 0.4
    blind = measured(subject_of(markov(CHAIN.log_probs), texts, context=128), "in_context")
    assert blind["repetition"].grade == "poor"
    assert "nothing shows" in blind["repetition"].sentence


def test_words_in_the_prompt_are_found_by_a_copier_and_by_nobody_else() -> None:
    texts = {"train": prose(30, 0), "test": prose(40, 1)}
    # Of matches of any length only those of a word and its colon tell; shorter ones mislead.
    found = measured(subject_of(copier(shortest=5), texts, context=200), "in_context")["recall"]
    assert found.value > 0.95
    assert found.grade == "good"
    blind = measured(subject_of(uniform, texts, context=200), "in_context")["recall"]
    assert blind.interval[0] < 0.25 < blind.interval[1]
    assert blind.grade == "poor"
    assert "nothing shows" in blind.sentence


def with_names(documents: int, seed: int) -> list[str]:
    """Documents in each of which a name of its own comes several times."""
    generator = np.random.default_rng(seed)
    told = []
    for name in words(documents, seed):
        others = generator.choice(["the", "old", "man", "saw", "her", "and", "went"], 40).tolist()
        told.append(" ".join([*others[:10], name, *others[10:16], name, *others[16:22], name]))
    return told


def test_rare_words_are_easier_for_a_copier_the_second_time() -> None:
    texts = {"train": with_names(30, 0), "test": with_names(40, 1)}
    subject = subject_of(copier(shortest=3, sure=8.0), texts, context=256)
    record = measured(subject, "in_context")["rare_words"]
    assert record.n == 40
    assert record.interval[0] > 0
    assert record.grade in {"good", "fair"}
    blind = measured(subject_of(uniform, texts, context=256), "in_context")["rare_words"]
    assert blind.value == pytest.approx(0.0, abs=1e-3)
    assert blind.grade == "poor"


def test_occurrences_are_found_at_their_bytes() -> None:
    texts = ["ärger Zürich, so Zürich!", "once twice once"]
    documents = documents_of(texts, BYTES)
    found = rare_words.occurrences(
        documents, [t.encode() for t in texts], {"once"}, BYTES.lengths, within=100
    )
    assert list(found.time) == [0, 1]
    stream = documents.tokens[1:]
    for first, last in zip(found.first, found.last, strict=True):
        assert BYTES.decode(stream[first : last + 1]) == "Zürich"
    ones = np.ones(len(stream))
    assert list(found.sums(ones)) == [7.0, 7.0]


def test_an_earlier_occurrence_that_is_out_of_sight_does_not_count() -> None:
    text = "Zorkel " + "so " * 60 + "Zorkel"
    documents = documents_of([text], BYTES)
    near, far = (
        rare_words.occurrences(documents, [text.encode()], set(), BYTES.lengths, within=within)
        for within in (1000, 50)
    )
    assert len(near.time) == 2
    assert len(far.time) == 0


# ---- calibration ----


def test_true_probabilities_are_found_calibrated() -> None:
    records = measured(subject_of(markov(CHAIN.log_probs), chained()), "calibration")
    assert records["ece"].grade == "good"
    assert records["ece"].value < 0.03
    assert "neither over- nor under-confident" in records["ece"].sentence
    assert records["ece_before"].status == "not_applicable"


def test_sharpened_probabilities_are_found_over_confident_and_mended_by_the_temperature() -> None:
    sharp = markov(4 * CHAIN.log_probs)
    wrong = measured(subject_of(sharp, chained()), "calibration")
    assert wrong["ece"].grade == "poor"
    assert "over-confident" in wrong["ece"].sentence
    assert wrong["confident_errors"].grade == "poor"
    mended = measured(subject_of(sharp, chained(), temperature=4.0), "calibration")
    assert mended["ece"].grade == "good"
    assert mended["ece_before"].value == pytest.approx(wrong["ece"].value, abs=1e-6)


def test_mistakes_of_a_sure_network_are_counted() -> None:
    said = np.log(np.full((BYTES.size, BYTES.size), 1e-9))
    said[:, 1 + ord("a")] = np.log(0.95)
    texts = {"train": ["ab" * 50] * 30, "test": ["aaab" * 25] * 40}
    record = measured(subject_of(markov(said), texts), "calibration")["confident_errors"]
    assert record.value == pytest.approx(1 - 75 / 101, abs=1e-6)  # every END is wrong, too
    assert record.n == 40 * 101
    assert record.grade == "poor"


def test_a_share_of_mistakes_that_chance_explains_is_no_fault() -> None:
    assert calibration._grade(Estimate(0.10, 0.04, 0.16, ""), 0.05) == "good"
    assert calibration._grade(Estimate(0.09, 0.08, 0.10, ""), 0.05) == "fair"
    assert calibration._grade(Estimate(0.20, 0.15, 0.25, ""), 0.05) == "poor"


# ---- reciting and writing ----


def test_a_reciter_is_found_to_recite_and_others_are_not() -> None:
    texts = {"train": prose(40, 0), "validation": prose(4, 2), "test": prose(40, 1)}
    train = documents_of(texts["train"], BYTES)
    records = measured(subject_of(reciter(train), texts), "memorisation")
    assert records["extracted"].value == 1.0
    assert records["held_out"].value == 0.0
    assert records["excess"].value == 1.0
    assert records["excess"].interval[0] > 0.9
    assert records["excess"].grade == "poor"
    sound = measured(subject_of(copier(), texts), "memorisation")
    assert sound["excess"].grade == "good"
    assert "nothing shows" in sound["excess"].sentence


def test_stretches_that_training_holds_twice_are_tried_apart() -> None:
    single, double = prose(30, 0), prose(4, 5)
    texts = {"train": [*single, *double, *double], "test": prose(40, 1)}
    knows_doubles = reciter(documents_of(double, BYTES))
    records = measured(subject_of(knows_doubles, texts), "memorisation")
    assert records["repeated"].value == 1.0
    assert 0.1 < records["extracted"].value < 0.4
    unique = measured(subject_of(uniform, {"train": single, "test": texts["test"]}), "memorisation")
    assert unique["repeated"].status == "not_applicable"


def test_unseen_text_that_stands_in_training_is_not_held_against_it() -> None:
    same = prose(40, 0)
    records = measured(subject_of(uniform, {"train": same, "test": same}), "memorisation")
    assert records["held_out"].status == "not_applicable"
    assert records["extracted"].status == "measured"


def test_what_is_called_extracted_is_what_greedy_writing_gives() -> None:
    subject = fresh("tales-gpt")
    documents = subject.splits["train"]
    begins = places_within(documents, 24, 12, np.random.default_rng(0))
    rows = np.stack([documents.tokens[begin : begin + 24] for begin in begins]).astype(np.int64)
    right = judged(subject.network, rows).right[:, 11:]
    matched = np.cumprod(right, axis=1).sum(axis=1)
    written: list[list[int]] = [[] for _ in rows]
    greedy = Sampling(max_tokens=12, temperature=0)
    for step in Sampler(subject.network.model).steps([row[:12] for row in rows], greedy):
        for row, token in step.items():
            written[row].append(token)
    for row, tokens, count in zip(rows, written, matched, strict=True):
        same = row[12 : 12 + len(tokens)] == np.array(tokens)
        assert int(np.cumprod(same).sum()) == count


def test_a_network_that_writes_one_word_is_found_to_repeat_itself() -> None:
    said = np.zeros((BYTES.size, BYTES.size))
    for before, after in ("no", "o ", " n"):
        said[1 + ord(before), 1 + ord(after)] = SURE
    said[said.max(axis=1) == 0, 1 + ord("n")] = SURE
    texts = {"train": prose(30, 0), "test": prose(40, 1)}
    records = measured(subject_of(markov(said), texts), "samples")
    assert records["repetition"].value > 0.9
    assert records["repetition"].grade == "poor"
    assert records["distinct"].value < 0.05
    assert records["distinct"].grade == "poor"
    assert records["copied"].value == 0.0


def test_a_reciter_is_found_to_copy() -> None:
    texts = {"train": prose(40, 0), "test": prose(40, 0)}  # it is begun with its training text
    train = documents_of(texts["train"], BYTES)
    copied = measured(subject_of(reciter(train), texts), "samples")["copied"]
    assert copied.value > 0.95
    assert "The longest run that was copied has" in copied.sentence
    unseen = {**texts, "test": prose(40, 1)}
    fresh_text = measured(subject_of(uniform, unseen), "samples")["copied"]
    assert fresh_text.value == 0.0
    assert fresh_text.grade == "good"


def test_repetition_and_variety_are_counted() -> None:
    assert again(["a", "b", "c", "d", "a", "b", "c", "d"]) == (1, 5)
    assert again(["a"]) == (0, 0)
    assert distinct([["a", "b"], ["a", "b"], ["b", "a"]]) == pytest.approx(2 / 3)


def test_runs_are_found_where_they_stand_and_nowhere_else() -> None:
    generator = np.random.default_rng(0)
    tokens = generator.integers(0, 3, 400)
    for length in (1, 2, 3, 7, 16, 33):
        prints = fingerprints(tokens, length)
        runs = [tuple(tokens[i : i + length]) for i in range(len(tokens) - length + 1)]
        assert len(prints) == len(runs)
        assert len(set(prints.tolist())) == len(set(runs))
        same = dict(zip(runs, prints, strict=True))
        assert all(same[run] == number for run, number in zip(runs, prints, strict=True))
    assert len(fingerprints(tokens[:3], 4)) == 0


def test_no_run_reaches_over_the_end_of_a_document() -> None:
    documents = documents_of(["abcdef", "ghabcd", "xyz"], BYTES)
    runs = Runs.of(documents, 4, BYTES.end)
    code = BYTES.encode
    assert runs.known(code("abcd")).tolist() == [True]
    assert runs.known(code("efgh")).tolist() == [False]
    over = np.concatenate([code("ef"), [BYTES.end], code("g")])
    assert runs.known(over).tolist() == [False]
    assert [BYTES.decode(documents.tokens[p : p + 4]) for p in runs.repeated()] == ["abcd"]
    assert runs.longest(code("__abcdef__")) == (6, 2)
    assert runs.longest(code("nothing")) == (0, 0)
    assert runs.whole
    assert not Runs.of(documents, 4, BYTES.end, most=8).whole


# ---- inside, and what it costs ----


def test_a_causal_product_counts_each_pair_of_tokens_once() -> None:
    attend, rows, size, steps = CausalAttend(), 3, 8, 5
    q, k, v = (torch.randn(2, rows, steps, size) for _ in range(3))
    pairs = steps * (steps + 1) // 2
    assert count_flops(attend, q, k, v, None)[0] == 2 * rows * pairs * size * 4
    one = count_flops(attend, q[:, :, -1:], k, v, None)[0]
    assert one == 2 * rows * steps * size * 4


def test_operations_of_a_token_are_two_for_each_weight_and_its_attention() -> None:
    spec = GptSpec(depth=2, width=16, num_heads=2, context=32)
    network = build(spec, 50, seed=0)
    counted, uncounted = count_flops(network, torch.zeros((1, 32), dtype=torch.int64))
    weights = sum(p.numel() for n, p in network.named_parameters() if "embedding" not in n)
    attention = 2 * 4 * 16 * (32 * 33 // 2)
    assert counted == 2 * 32 * weights + attention
    assert uncounted == []


def test_recomputed_attention_is_what_the_network_uses() -> None:
    q, k = torch.randn(2, 3, 6, 8), torch.randn(2, 3, 6, 8)
    v = torch.eye(6).expand(2, 3, 6, 6)
    mask = torch.full((6, 6), float("-inf")).triu(1)
    used = CausalAttend()(q, k, v, mask)
    assert torch.allclose(heads.weights_of(q, k), used, atol=1e-6)


def test_what_a_head_looks_at_is_told_apart() -> None:
    size = 6
    places = 2 * size
    before = torch.eye(places).roll(-1, dims=1)[None, None]
    before[..., 0, :] = torch.eye(places)[0]
    first = torch.zeros(1, 1, places, places)
    first[..., 0] = 1
    induction = torch.zeros(1, 1, places, places)
    for place in range(places):
        induction[0, 0, place, place - size + 1 if place >= size else 0] = 1
    assert float(heads._to_the_one_before(before)) == 1
    assert float(heads._to_the_one_before(first)) < 0.2
    assert float(heads._to_the_first(first)) == 1
    assert float(heads._to_what_followed(induction, size)) == 1
    assert float(heads._to_what_followed(first, size)) < 0.2
    assert float(heads._to_the_first(induction)) < 0.6


def test_dead_units_are_counted() -> None:
    subject = fresh("tales-gpt")
    network = subject.network.model.network
    changed = build(subject.network.model.spec, network.vocabulary, seed=0)
    changed.load_state_dict(network.state_dict())
    with torch.no_grad():
        up = changed.blocks[1].perceptron.up
        up.weight[:7] = 0.0
    model = replace(subject.network.model, network=changed)
    planted = fresh("tales-gpt", network=type(subject.network)(model))
    assert measured(subject, "anatomy")["dead_units"].value == 0.0
    record = measured(planted, "anatomy")["dead_units"]
    assert record.value == pytest.approx(7 / (2 * len(up.weight)))
    assert f"Most are in block 2 (7 of {len(up.weight)})" in record.sentence


def test_use_of_the_machine_follows_from_tokens_and_operations() -> None:
    subject = fresh("tales-gpt")
    records = measured(subject, "cost")
    used = 3 * records["flops"].value * records["tokens_per_second"].value
    share = records["flops_utilisation"]
    assert 0 < share.value < 1
    assert share.interval[0] <= share.value <= share.interval[1]
    assert f": {prefixed(used, 'FLOP/s')} of" in share.sentence
    assert 1e9 < used / share.value < 1e15
    without = measured(fresh("tales-gpt", costs={}), "cost")
    assert without["flops_utilisation"].status == "skipped"
    assert without["tokens_per_second"].status == "skipped"


# ---- the tools ----


def test_rows_are_judged_by_all_that_stands_before_in_them() -> None:
    subject = subject_of(markov(CHAIN.log_probs), chained())
    generator = np.random.default_rng(0)
    rows = 1 + np.frombuffer(b"abcdefgh", dtype=np.uint8)[generator.integers(0, 8, (5, 20))]
    rows = rows.astype(np.int64)
    found = judged(subject.network, rows)
    expected = -CHAIN.log_probs[rows[:, :-1], rows[:, 1:]]
    assert np.allclose(found.nats, expected, atol=1e-4)
    assert np.array_equal(found.right, CHAIN.probs[rows[:, :-1]].argmax(axis=2) == rows[:, 1:])
    warm = subject_of(markov(2 * CHAIN.log_probs), chained(), temperature=2.0)
    assert np.allclose(judged(warm.network, rows).nats, expected, atol=1e-4)


def test_places_lie_within_documents_and_do_not_overlap() -> None:
    generator = np.random.default_rng(0)
    lengths = generator.integers(0, 60, 50)
    documents = documents_of(["x" * int(length) for length in lengths], BYTES)
    begins = places_within(documents, 8, 1000, np.random.default_rng(1))
    assert len(begins) == (lengths // 8).sum()
    taken: set[int] = set()
    for begin in begins:
        stretch = set(range(begin, begin + 8))
        assert not stretch & taken
        taken |= stretch
        assert BYTES.end not in documents.tokens[begin : begin + 8]
    few = places_within(documents, 8, 5, np.random.default_rng(1))
    assert len(few) == 5
    assert len(places_within(documents, 100, 5, np.random.default_rng(1))) == 0
    empty = Documents(documents.tokens[:2], np.array([1, 2]), np.array([0]), ["empty"])
    assert len(places_within(empty, 8, 5, np.random.default_rng(1))) == 0
