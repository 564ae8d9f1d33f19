"""Texts by their words: TF-IDF, then a linear model; columns of numbers and categories beside them.

The classical way (Salton and Buckley 1988): how often a word or a pair of words stands in a text,
against how many texts have it. A text in a script without spaces is seen by its characters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from fathom.baselines.base import (
    Baseline,
    State,
    categories_of,
    class_labels,
    common,
    counted,
    known_targets,
    numbers_of,
)
from fathom.baselines.linear import ScalarEncoder, fit_notes
from fathom.baselines.recipe import Extent
from fathom.baselines.rounds import Data, Weights, fit_rounds, sample_order
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.randomness import numpy_generator
from fathom.core.schema import Schema, TaskName

# A penalty is 1 / C of a logistic model, whose rows have length one here.
PENALTIES = (0.1, 0.02, 0.5)
MOST_TERMS = 200_000
FEWEST_TEXTS = 2  # a term of one text alone tells nothing of others
MOST_CHARACTERS = 200_000_000
SPACED = 12.0  # characters between spaces on average, above which words are no words
SEPARATOR = "\0"


@dataclass(frozen=True)
class Terms:
    """What is counted in one column of texts: `terms`, weighted by `idf` (T,)."""

    column: str
    analyzer: str
    terms: tuple[str, ...]
    idf: Array

    @classmethod
    def learn(cls, column: str, texts: list[str], most: int = MOST_TERMS) -> Terms:
        """The terms of the training texts: words and pairs, or runs of characters."""
        analyzer = _analyzer(texts)
        vectorizer = _vectorizer(analyzer, min_df=FEWEST_TEXTS, max_features=most)
        try:
            vectorizer.fit(texts)
        except ValueError:  # no term stands in two texts
            return cls(column, analyzer, (), np.zeros(0))
        terms = vectorizer.get_feature_names_out()
        return cls(column, analyzer, tuple(map(str, terms)), np.asarray(vectorizer.idf_))

    def weigh(self, texts: list[str]) -> Any:
        """Rows (n, T) sparse float64, of length one where any term occurs."""
        if not self.terms or not texts:
            return sparse.csr_matrix((len(texts), len(self.terms)))
        vectorizer = _vectorizer(self.analyzer, vocabulary=self.terms)
        vectorizer.idf_ = self.idf
        return vectorizer.transform(texts)

    def arrays(self) -> dict[str, Array]:
        """The terms as UTF-8 bytes, and their weights."""
        joined = SEPARATOR.join(self.terms).encode()
        return {"terms": np.frombuffer(joined, dtype=np.uint8), "idf": self.idf}

    def described(self) -> dict[str, str]:
        """What beside the arrays is needed to read them back."""
        return {"column": self.column, "analyzer": self.analyzer}

    @classmethod
    def of(cls, arrays: dict[str, Array], described: dict[str, Any]) -> Terms:
        """From `arrays` and `described`."""
        joined = arrays["terms"].tobytes().decode()
        terms = tuple(joined.split(SEPARATOR)) if joined else ()
        return cls(described["column"], described["analyzer"], terms, arrays["idf"])


def _analyzer(texts: list[str]) -> str:
    characters = sum(map(len, texts))
    words = sum(len(text.split()) for text in texts)
    return "char" if characters > SPACED * max(words, 1) else "word"


def _vectorizer(analyzer: str, **options: Any) -> TfidfVectorizer:
    runs = (1, 2) if analyzer == "word" else (1, 3)
    # Single letters and signs are words, too: "I", "5", "!".
    pattern = r"(?u)\b\w+\b|[^\w\s]"
    return TfidfVectorizer(
        analyzer=analyzer, ngram_range=runs, token_pattern=pattern, sublinear_tf=True, **options
    )


class Texts(Baseline):
    """A weighted sum of terms, and of the scalar columns. `limit` is the number of rounds."""

    name = "texts"

    def __init__(
        self,
        columns: tuple[Terms, ...],
        encoder: ScalarEncoder,
        weights: Weights,
        labels: tuple[str, ...],
        *,
        penalty: float,
        **common: Any,
    ) -> None:
        super().__init__(labels, **common)
        self.columns, self.encoder, self.weights = columns, encoder, weights
        self.penalty = penalty

    @classmethod
    def fit(
        cls,
        train: Examples,
        schema: Schema,
        task_name: TaskName,
        *,
        seed: int,
        budget: Budget,
        limit: Extent | None = None,
        validation: Examples | None = None,
    ) -> Self:
        """Fit, with the strength of the L2 penalty chosen on validation where time allows."""
        labels = class_labels(schema, task_name)
        targets = known_targets(train, labels)
        order = sample_order(targets, labels, numpy_generator(seed, "texts", "rows"))
        order = order[: _affordable(train, order)]
        some = train.take(order)
        names = [field.name for field in schema.of_kind("text")]
        columns = tuple(Terms.learn(name, some.texts(name)) for name in names)
        encoder = ScalarEncoder.learn(numbers_of(some), categories_of(some))
        inputs = _encoded(some, columns, encoder)
        held_out = None
        if validation is not None and validation.targets is not None and len(validation):
            held_out = (_encoded(validation, columns, encoder), validation.targets)
        data = Data(lambda n: inputs[:n], targets[order], held_out, labels)
        fit = fit_rounds(data, PENALTIES, budget, counted(limit))
        notes = fit_notes("The linear model on words", fit, len(train))
        return cls(
            columns,
            encoder,
            fit.weights,
            labels,
            penalty=fit.penalty,
            limit=fit.rounds,
            notes=notes,
            settled=not fit.stopped,
        )

    def raw(self, examples: Examples) -> Array:
        """The weighted sums, (n, 1) or (n, K)."""
        return self.weights.apply(_encoded(examples, self.columns, self.encoder))

    def state(self) -> State:
        """Terms, their weights and the encoder as arrays."""
        arrays = {f"scalars.{name}": array for name, array in self.encoder.arrays().items()}
        arrays |= {
            "coefficients": self.weights.coefficients,
            "intercept": self.weights.intercept,
        }
        for position, column in enumerate(self.columns):
            arrays |= {f"{name}.{position}": a for name, a in column.arrays().items()}
        described = [column.described() for column in self.columns]
        return arrays, {**self.config(), "penalty": self.penalty, "texts": described}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], config: dict[str, Any]) -> Self:
        """Texts from `state`."""
        names = ("mean", "scale", "missing", "sizes")
        encoder = ScalarEncoder(*(arrays[f"scalars.{name}"] for name in names))
        columns = []
        for position, described in enumerate(config["texts"]):
            own = {name: arrays[f"{name}.{position}"] for name in ("terms", "idf")}
            columns.append(Terms.of(own, described))
        weights = Weights(arrays["coefficients"], arrays["intercept"])
        return cls(tuple(columns), encoder, weights, penalty=config["penalty"], **common(config))


def _affordable(train: Examples, order: Array) -> int:
    """How many rows in this order have at most MOST_CHARACTERS of text together."""
    lengths = np.sum([texts.lengths[order] for texts in train.written.values()], axis=0)
    return max(1, int(np.searchsorted(np.cumsum(lengths), MOST_CHARACTERS, side="right")))


def _encoded(examples: Examples, columns: tuple[Terms, ...], encoder: ScalarEncoder) -> Any:
    parts = [column.weigh(examples.texts(column.column)) for column in columns]
    scalars = encoder.encode(numbers_of(examples), categories_of(examples))
    if encoder.width:
        parts.append(sparse.csr_matrix(scalars))
    return sparse.hstack(parts, format="csr")
