"""Splits of a corpus: all text once, what is alike on one side, near duplicates found by sketch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.core.budget import Budget
from fathom.core.errors import DataError
from fathom.data.corpus import survey as surveying
from fathom.data.corpus.learned import Learned
from fathom.data.corpus.reading import open_corpus
from fathom.data.corpus.sketch import NEAR, RUN, Sketcher, near_pairs
from fathom.data.corpus.splits import MOST_WINDOW, UNUSED
from fathom.data.corpus.splitting import CAPS, PARTS, SHARES, split_documents
from fathom.data.corpus.stretches import good_place, stretches
from fathom.data.corpus.survey import Survey, survey

LEXICON = [
    "".join(np.random.default_rng(i).choice(list("abcdefghijklmnoprstuvwy"), 3 + i % 6))
    for i in range(3000)
]


def story(seed: int, words: int = 100) -> str:
    chosen = np.random.default_rng(seed).integers(0, len(LEXICON), words)
    lines = [" ".join(LEXICON[i] for i in chosen[k : k + 9]) for k in range(0, words, 9)]
    return "\n".join(lines) + "\n"


def changed(text: str, every: int, seed: int = 0) -> str:
    """The text with one word in `every` replaced."""
    words = text.split(" ")
    for i in range(seed % every, len(words), every):
        words[i] = f"other{i}"
    return " ".join(words)


def survey_of(sizes, hashes=None, called="The corpus") -> Survey:
    """A survey as if documents of these sizes had been read."""
    sizes = np.array(sizes, dtype=np.int64)
    hashes = np.arange(len(sizes)) if hashes is None else hashes
    return Survey(
        called,
        sizes,
        np.array(hashes, dtype=np.uint64),
        np.empty((0, 128), np.uint16),
        np.zeros(len(sizes), bool),
        "sha256:0",
        why_not="data.near_duplicates is off",
    )


def learned_whole(hashes):
    return Learned.of(hashes.astype(np.uint64), np.zeros((len(hashes), 2), dtype=np.int64))


def parts_of(splits):
    return np.array(PARTS, dtype=object)[splits.part]


def written(corpus, splits):
    """The text of each split, document by document."""
    found: dict[str, dict[str, str]] = {name: {} for name in PARTS}
    for s in stretches(corpus, splits):
        found[s.split][s.name] = found[s.split].get(s.name, "") + s.text
    return found


# Known to a network that is gone on with


@pytest.mark.parametrize("seed", range(6))
def test_what_is_known_is_never_held_out_nor_what_is_alike(seed):
    sizes = np.full(300, 1_000)
    hashes = np.arange(300)
    hashes[200:250] = hashes[:50]  # copies
    known = learned_whole(np.arange(0, 150))
    splits = split_documents(survey_of(sizes, hashes), seed, known=known)
    held = parts_of(splits) != "train"
    assert held.sum() > 5
    assert not np.isin(hashes[held], known.hashes).any()
    assert "has learned from" in splits.how


def test_nothing_left_to_test_on_is_told():
    sizes, known = np.full(60, 1_000), learned_whole(np.arange(60))
    with pytest.raises(DataError, match="Add other text"):
        split_documents(survey_of(sizes), known=known)


# Whole documents


@settings(max_examples=80, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 5_000), min_size=40, max_size=400),
    alike=st.integers(1, 30),
    seed=st.integers(0, 3),
)
def test_all_text_once_and_copies_together(sizes, alike, seed):
    sizes = [size + 300 for size in sizes]
    hashes = np.random.default_rng(seed).integers(0, max(25, len(sizes) // alike), len(sizes))
    sizes = np.array(sizes)[np.unique(hashes, return_index=True)[1]][
        np.unique(hashes, return_inverse=True)[1]
    ]
    found = survey_of(sizes, hashes)
    try:
        splits = split_documents(found, seed)
    except DataError:
        return
    assert sum(splits.bytes.values()) == found.bytes
    assert all(splits.bytes.values())
    for value in np.unique(hashes):
        same = np.flatnonzero(hashes == value)
        assert len(set(splits.part[same])) == 1
        assert len({splits.cuts.get(int(i)) for i in same}) == 1
    again = split_documents(found, seed)
    assert np.array_equal(splits.part, again.part)
    assert splits.cuts == again.cuts
    assert splits.key == again.key


def test_shares_are_of_bytes():
    sizes = np.random.default_rng(0).lognormal(7, 1.2, 20_000).astype(int) + 1
    splits = split_documents(survey_of(sizes))
    total = sizes.sum()
    for name, share in SHARES.items():
        wanted = min(share * total, CAPS[name])
        assert 0.85 * wanted < splits.bytes[name] < 1.15 * wanted
    assert not splits.cuts
    # What is held out is drawn, not chosen by size.
    held = sizes[splits.part != 0]
    assert abs(np.log(held).mean() - np.log(sizes).mean()) < 0.1


def test_gigabytes_keep_their_training_text():
    splits = split_documents(survey_of(np.full(100_000, 50_000)))
    assert {name: splits.bytes[name] for name in CAPS} == pytest.approx(CAPS, rel=0.1)
    assert splits.bytes["train"] > 0.998 * 5e9


def test_other_seeds_hold_out_others():
    found = survey_of(np.full(500, 3_000))
    one, other = split_documents(found, 0), split_documents(found, 1)
    assert not np.array_equal(one.part, other.part)
    assert one.key != other.key


def test_documents_far_larger_than_the_rest_are_cut():
    sizes = [3_000] * 200 + [10_000_000]
    splits = split_documents(survey_of(sizes))
    assert set(splits.cuts) == {200}
    assert [cut.part for cut in splits.cuts[200]] == [1, 2, 3]
    assert 3 * splits.documents["train"] > 200
    for name, share in SHARES.items():
        assert 0.8 * share * sum(sizes) < splits.bytes[name] < 1.2 * share * sum(sizes)


def test_shards_as_large_as_books_give_their_ends():
    splits = split_documents(survey_of([50_000_000] * 40))
    assert splits.bytes["test"] == pytest.approx(4e6, rel=0.2)
    assert splits.bytes["train"] > 1.9e9


# A few documents


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(200, 40_000), min_size=1, max_size=19),
    seed=st.integers(0, 2),
    given_test=st.booleans(),
)
def test_few_documents_are_cut_in_order(sizes, seed, given_test):
    if sum(sizes) < 10_000:
        sizes.append(10_000)
    texts = [(story(i, size // 4) * 2)[:size] for i, size in enumerate(sizes)]
    corpus = open_corpus([text + "\n" for text in texts])
    test = survey(open_corpus([story(99)])) if given_test else None
    splits = split_documents(survey(corpus), seed, test)
    found = written(corpus, splits)
    names = [name for name in PARTS if not (given_test and name == "test")]
    for i, text in enumerate(texts, 1):
        called = {
            int((where.split("from byte ")[1:] or ["0"])[0].replace(",", "")): stretch
            for name in names
            for where, stretch in found[name].items()
            if where.split(",")[0] == f"document {i}"
        }
        assert "".join(called[at] for at in sorted(called)) == text + "\n"
    for name in names:
        told = splits.bytes[name]
        assert abs(sum(map(len, found[name].values())) - told) <= MOST_WINDOW * len(texts)
        assert found[name]
    assert not (given_test and found["test"])


def test_a_book_trains_first_and_is_tested_at_its_end():
    book = "\n".join(story(i, 300) for i in range(60))
    corpus = open_corpus([book])
    splits = split_documents(survey(corpus))
    found = written(corpus, splits)
    parts = [text for name in PARTS for text in found[name].values()]
    assert len(parts) == 4
    assert "".join(parts) == book
    # Paragraphs are whole: an empty line stands before each cut.
    assert all(part.endswith("\n\n") for part in parts[:-1])
    assert "the document was cut by position" in splits.how
    assert "test" in splits.how
    shares = [len(part) / len(book) for part in parts]
    assert shares == pytest.approx([0.76, 0.08, 0.06, 0.10], abs=0.03)
    larger = split_documents(survey(open_corpus([book * 8])))
    total = sum(larger.bytes.values())
    assert {name: larger.bytes[name] / total for name in SHARES} == pytest.approx(SHARES, rel=0.01)


def test_copies_of_books_are_cut_alike_and_near_ones_train():
    books = [story(i, 3_000) for i in range(4)]
    corpus = open_corpus([books[0], books[1], books[0], books[2], changed(books[3], 40), books[3]])
    splits = split_documents(survey(corpus))
    assert splits.cuts[0] == splits.cuts[2]
    assert set(splits.cuts) == {0, 1, 2, 3}
    assert "2 that nearly equal others train whole" in splits.how
    found = written(corpus, splits)
    test = "".join(found["test"].values())
    train = "".join(found["train"].values())
    assert not any(line in train for line in test.splitlines() if len(line) > 30)


@settings(max_examples=200, deadline=None)
@given(
    text=st.text(alphabet="ab \n漢é\r", max_size=60),
    start=st.integers(0, 100),
    window=st.integers(1, 30),
)
def test_cuts_are_between_letters(text, start, window):
    data = text.encode()
    place = good_place(data, start, start + window)
    assert min(start, len(data)) <= place <= min(len(data), start + max(window, 3))
    assert data[:place].decode() + data[place:].decode() == text


# Training text alone is left out


@pytest.mark.parametrize("sizes", [[3_000] * 300, [300_000], [40_000] * 5, [5_000] * 60 + [10**6]])
def test_thinned_splits_keep_what_is_held_out(sizes):
    texts = [story(i, size // 5) for i, size in enumerate(sizes)]
    corpus = open_corpus(texts)
    splits = split_documents(survey(corpus))
    wanted = splits.bytes["train"] // 4
    thin = splits.thinned(wanted, 0)
    assert 0.8 * wanted < thin.bytes["train"] <= 1.05 * wanted
    assert thin.key != splits.key
    assert splits.thinned(10**9, 0) is splits
    whole, less = written(corpus, splits), written(corpus, thin)
    for name in PARTS[1:]:
        assert list(whole[name].values()) == list(less[name].values())
    train = list(whole["train"].values())
    assert all(any(t.startswith(text) for t in train) for text in less["train"].values())
    assert 0.7 * wanted < sum(map(len, less["train"].values())) < 1.1 * wanted + MOST_WINDOW


# What is alike


def exact(one: str, other: str) -> float:
    """The share of runs, of all in either text, that both have."""
    sets = []
    for text in (one, other):
        words = " ".join(text.casefold().split())
        sets.append({words[i : i + RUN] for i in range(len(words) - RUN + 1)})
    return len(sets[0] & sets[1]) / max(1, len(sets[0] | sets[1]))


def sketch(texts, piece=10**9):
    sketcher = Sketcher()
    for text in texts:
        parts = [text[i : i + piece] for i in range(0, len(text), piece)] or [""]
        for i, part in enumerate(parts):
            sketcher.add(part, last=i == len(parts) - 1)
    return sketcher.sketches()


@pytest.mark.parametrize("words", [30, 120, 600, 5_000])
def test_sketches_agree_as_the_texts_do(words):
    errors = []
    for seed in range(8):
        text = story(seed, words)
        for every in (8, 16, 50, 200):
            other = changed(text, every, seed)
            sketches, told = sketch([text, other])
            assert told.all()
            errors.append((sketches[0] == sketches[1]).mean() - exact(text, other))
    assert abs(np.mean(errors)) < 0.03
    assert np.std(errors) < 0.07


def test_sketches_do_not_depend_on_pieces_or_neighbours():
    texts = [story(i, 60 * (1 + i % 7)) for i in range(40)]
    together, told = sketch(texts)
    assert told.all()
    for i in range(0, 40, 7):
        alone, _ = sketch([texts[i]])
        assert np.array_equal(alone[0], together[i])
    # Pieces that end with a line lose nothing; others a run or two.
    lines = Sketcher()
    for text in texts:
        parts = text.splitlines(keepends=True)
        for i, part in enumerate(parts):
            lines.add(part, last=i == len(parts) - 1)
    assert np.array_equal(lines.sketches()[0], together)
    assert (sketch(texts, 100)[0] == together).mean() > 0.75


def test_case_and_blanks_do_not_count_and_short_texts_are_left_alone():
    text = story(1)
    sketches, told = sketch([text, text.upper().replace(" ", "\n  "), "short text", ""])
    assert np.array_equal(sketches[0], sketches[1])
    assert told.tolist() == [True, True, False, False]
    assert near_pairs(sketches, told).tolist() == [[0, 1]]


def test_near_duplicates_stay_together_and_different_texts_do_not():
    texts = [story(i) for i in range(300)]
    near = [changed(texts[i], 40, i) for i in range(0, 100, 2)]
    corpus = open_corpus(texts + near)
    found = survey(corpus)
    pairs = near_pairs(found.sketches, found.told)
    truth = {(i, 300 + i // 2) for i in range(0, 100, 2)}
    truth = {pair for pair in truth if exact(texts[pair[0]], near[pair[1] - 300]) > NEAR + 0.12}
    assert len(truth) > 30
    got = set(map(tuple, pairs.tolist()))
    assert len(truth - got) <= 1
    assert all(b - 300 == a // 2 and a % 2 == 0 for a, b in got)
    splits = split_documents(found, 4)
    for one, other in got:
        assert splits.part[one] == splits.part[other]
    assert splits.repeated.near == 2 * len(got)
    assert f"{2 * len(got)} near duplicates kept together" in splits.how


def test_endless_chains_are_not_kept_together():
    text = story(0, 400)
    texts = [text]
    for i in range(
        240
    ):  # each differs from the next by a few words, the first from the last wholly
        words = texts[-1].split(" ")
        words[(7 * i) % len(words)] = f"new{i}"
        words[(11 * i + 3) % len(words)] = f"newer{i}"
        texts.append(" ".join(words))
    splits = split_documents(survey(open_corpus(texts)))
    assert splits.repeated.too_long > 200
    assert len(set(splits.part)) == 4
    assert "too long to be kept together" in splits.problems[0].reason


def test_without_looking_only_copies_stay_together():
    texts = [story(i) for i in range(60)]
    corpus = open_corpus([*texts, *(text.upper() for text in texts), *texts[:10]])
    found = survey(corpus, near=False)
    assert not found.near
    splits = split_documents(found)
    assert np.array_equal(splits.part[:10], splits.part[120:])
    assert not np.array_equal(splits.part[:60], splits.part[60:120])
    assert "near duplicates not looked for" in splits.how
    assert splits.repeated.copies == 20


def test_looking_is_given_up_where_it_takes_too_long(monkeypatch):
    monkeypatch.setattr(surveying, "FREE_SECONDS", 0.0)
    corpus = open_corpus([story(i) for i in range(100)])
    tight = Budget(1e-6)
    found = survey(corpus, budget=tight)
    assert not found.near
    assert "data.near_duplicates=true" in found.why_not
    assert survey(corpus, near=True, budget=tight).near
    assert survey(corpus, budget=Budget(1e6)).near
    assert found.digest == survey(corpus, near=False).digest


# A test corpus that was given


def test_straddlers_of_a_given_test_are_counted():
    texts = [story(i) for i in range(200)]
    test = [texts[3], changed(texts[7], 30), story(1_000), texts[3], texts[150]]
    splits = split_documents(survey(open_corpus(texts)), 0, survey(open_corpus(test)))
    assert not (parts_of(splits) == "test").any()
    assert splits.bytes["test"] == sum(map(len, test))
    assert splits.documents["test"] == 5
    trains = {i for i in (3, 7, 150) if splits.part[i] == 0}
    assert set(splits.straddlers.train) == trains
    places = {3: [0, 3], 7: [1], 150: [4]}
    assert set(splits.straddlers.test) == {k for i in trains for k in places[i]}
    assert set(splits.straddlers.test_exact) == {k for i in trains - {7} for k in places[i]}
    assert len(trains) > 1
    assert "exactly or nearly" in splits.problems[-1].reason
    assert "test as given" in splits.how


# The survey


def test_survey_counts_bytes_and_tells_texts_apart():
    texts = ["one é", "two\r\n", "one é", "three"]
    found = survey(open_corpus(texts))
    assert found.sizes.tolist() == [len(text.encode()) for text in texts]
    assert (found.bytes, found.characters, found.documents) == (22, 20, 4)
    assert found.hashes[0] == found.hashes[2]
    assert len(np.unique(found.hashes)) == 3
    digests = {
        survey(open_corpus(other)).digest
        for other in (texts, texts[::-1], ["one étwo\r\n", *texts[2:]], texts[:3])
    }
    assert len(digests) == 4
    assert found.digest == survey(open_corpus(texts), near=False).digest


# Beside a test that was given


def test_beside_a_given_test_the_middle_is_held_out_and_the_end_trains():
    book = "\n".join(story(i, 300) for i in range(60))
    corpus, test = open_corpus([book]), survey(open_corpus([story(99, 600)]))
    splits = split_documents(survey(corpus), given_test=test)
    found = written(corpus, splits)
    assert [len(found[name]) for name in PARTS] == [2, 1, 1, 0]
    first, last = found["train"].values()
    middle = [next(iter(found[name].values())) for name in ("validation", "calibration")]
    assert "".join([first, *middle, last]) == book
    assert len(first) == pytest.approx(len(last), rel=0.1)
    assert "train again" in splits.how
    assert sum(splits.thinned(40_000, 0).bytes.values()) < sum(splits.bytes.values())
    assert splits.thinned(40_000, 0).bytes["train"] == pytest.approx(40_000, rel=0.01)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(8_000, 60_000), min_size=2, max_size=5),
    kept=st.lists(st.booleans(), min_size=5, max_size=5),
    more=st.integers(0, 2),
    given_before=st.booleans(),
    given_now=st.booleans(),
)
def test_what_was_learned_is_never_held_out_when_it_is_gone_on_with(
    sizes, kept, more, given_before, given_now
):
    """Books are cut by position; the next corpus has some of them, and others, in other shares."""
    test = survey(open_corpus([story(999, 600)]))
    books = [(story(i, size // 4) * 2)[:size] + "\n" for i, size in enumerate(sizes)]
    before = survey(open_corpus(books))
    try:
        splits = split_documents(before, given_test=test if given_before else None)
    except DataError:
        return
    trained = "\0".join(written(open_corpus(books), splits)["train"].values())
    again = [book for book, here in zip(books, kept, strict=False) if here]
    again += [story(500 + i, 9_000) for i in range(more)]
    corpus = open_corpus(again or books)
    learned = splits.learned(before.hashes)
    try:
        following = split_documents(
            survey(corpus), given_test=test if given_now else None, known=learned
        )
    except DataError:
        return
    found = written(corpus, following)
    for name in ("validation", "calibration", "test"):
        for held in found[name].values():
            assert held[: len(held) // 2] not in trained
            assert held[len(held) // 2 :] not in trained


def test_a_book_can_be_gone_on_with():
    for given_test in (None, survey(open_corpus([story(999, 600)]))):
        corpus = open_corpus(["\n".join(story(i, 300) for i in range(60))])
        found = survey(corpus)
        first = split_documents(found, given_test=given_test)
        second = split_documents(found, given_test=given_test, known=first.learned(found.hashes))
        for name, size in first.bytes.items():
            assert second.bytes[name] == size or second.bytes[name] > 0.7 * size


def test_what_was_learned_whole_trains_whole():
    whole = survey_of(np.full(300, 1_000))
    learned = split_documents(whole).learned(whole.hashes)
    few = survey_of([1_000, 60_000], [learned.hashes[0], 7_777])
    splits = split_documents(few, known=learned)
    assert set(splits.cuts) == {1}
    assert "that were learned from before train whole" in splits.how
    with pytest.raises(DataError, match="nothing is left to measure"):
        split_documents(survey_of([60_000], [learned.hashes[0]]), known=learned)


def test_what_is_cut_at_its_end_is_never_drawn_whole():
    found = survey_of([3_000] * 200 + [10_000_000])
    learned = split_documents(found).learned(found.hashes)
    held = set(range(200)) - set(learned.hashes.tolist())
    for seed in range(5):
        larger = survey_of([3_000] * 200 + [10_000_000] + [9_000_000] * 30)
        again = split_documents(larger, seed, known=learned)
        assert again.part[200] == 0
        assert set(np.flatnonzero(again.part[:200])) <= held


def test_a_piece_of_a_document_is_all_that_is_used_of_it():
    kept = split_documents(survey_of(np.full(300, 1_000))).thinned(500, 0)
    (piece,) = kept.cuts
    assert kept.cuts[piece][-1].part == UNUSED
    learned = kept.learned(np.arange(300, dtype=np.uint64))
    assert learned.kept[learned.find(np.array([piece], dtype=np.uint64))].tolist() == [[0, 0]]
