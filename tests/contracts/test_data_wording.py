"""When a column of strings is a text, a category or an identifier."""

import numpy as np
import pandas as pd
import pytest

from fathom.data.profile import judge, profile
from fathom.data.wording import count_words

N = 400
GENERATOR = np.random.default_rng(0)
SYLLABLES = ["ka", "lo", "mi", "ner", "sta", "vo", "ri", "dun", "bel", "tho"]
WORDS = ["the", "card", "has", "not", "come", "yet", "where", "is", "my", "money"]
KANJI = list("今日明天気良悪行来見人山川東西南北大小中")


def names(count, generator=GENERATOR):
    return ["".join(generator.choice(SYLLABLES, 4)).capitalize() for _ in range(count)]


def sentences(count, words=7):
    return [" ".join(GENERATOR.choice(WORDS, words)) for _ in range(count)]


def judged(values, name="column"):
    return judge(profile(name, pd.Series(values)))


@pytest.mark.parametrize(
    ("values", "kind", "use", "reason"),
    [
        (sentences(N), "text", True, "texts of 7 words"),
        ([f"{i} {n} Street" for i, n in enumerate(names(N))], "text", True, "texts of 3 words"),
        (names(N), "text", True, "names that repeat too little"),
        ([f"{'ABCDE'[i % 5]}{i % 300}" for i in range(N)], "text", True, "codes that repeat"),
        ([f"https://shop.com/{n}" for n in names(N)], "text", True, "web addresses"),
        ([f"{n}@mail.com" for n in names(N)], "category", False, "e-mail addresses"),
        ([f"C-{i:05d}" for i in range(N)], "category", False, "an identifier"),
        ([f"+44 20 7946 {i:04d}" for i in range(N)], "category", False, "an identifier"),
        (["".join(GENERATOR.choice(KANJI, 12)) for _ in range(N)], "text", True, "texts of 6"),
        (["".join(GENERATOR.choice(KANJI, 4)) for _ in range(N)], "text", True, "names that"),
        (["ภาษาไทยเขียนติดกันโดยไม่เว้นวรรค" + str(i) for i in range(N)], "text", True, "texts of"),
        (list(GENERATOR.choice(names(30), N)), "category", True, "30 distinct"),
        (list(GENERATOR.choice(sentences(8), N)), "category", True, "8 distinct"),
        (list(GENERATOR.choice(KANJI, N)), "category", True, "distinct"),
    ],
)
def test_strings_are_texts_categories_or_identifiers(values, kind, use, reason):
    found = judged(values)
    assert (found.kind, found.use) == (kind, use), found.reason
    assert reason in found.reason


def test_many_sentences_that_repeat_are_texts():
    pool = sentences(1500, 9)
    assert judged(pool * 3).kind == "text"
    assert judged(pool[:900] * 3).kind == "category"


def test_codes_that_repeat_are_identifiers_by_their_name():
    codes = [f"K{i % 300}" for i in range(N)]
    assert judged(codes, "customerID").use is False
    assert judged(codes, "cabin").use is True


def test_words_are_counted_with_and_without_spaces():
    assert count_words("My card has not come") == 5
    assert count_words("東京") == 1
    assert count_words("今日は天気がいいですね") == pytest.approx(5.5, abs=1)
