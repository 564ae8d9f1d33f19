"""The stages of a network of language, and a batch of real text to look at them with."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from fathom.core.batch import Batch
from fathom.core.language import TOKENS
from fathom.core.prediction import Array
from fathom.evidence.language.judging import cut
from fathom.evidence.language.subject import LanguageSubject
from fathom.inference.reading import windows_of


def stages_of(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """The parts that learn, in the order of the computation: 'embedding', 'block 1' … 'head'."""
    found: list[tuple[str, nn.Module]] = []
    for name, child in network.named_children():
        if isinstance(child, nn.ModuleList):
            one = name.removesuffix("s")
            found += [(f"{one} {number}", each) for number, each in enumerate(child, 1)]
        elif any(True for _ in child.parameters()):
            found.append((name, child))
    return found


def rows_of(
    subject: LanguageSubject, split: str, most: int, *, longest: int | None = None
) -> Array:
    """Stretches of a split for `most` tokens or so, (n, L + 1).

    L is the network's context, or `longest`; where documents are shorter, the length of most.
    """
    documents, context = subject.documents(split), subject.network.model.network.context
    windows = windows_of(documents, context, context)
    length = int(min(context, longest or context, np.quantile(windows.lengths, 0.75)))
    fitting = np.flatnonzero(windows.lengths >= length)
    generator = subject.generator("rows", split, length)
    drawn = generator.permutation(fitting)[: max(1, most // length)]
    return cut(documents.tokens, windows.begins[np.sort(drawn)], length + 1)


def batch_of(subject: LanguageSubject, rows: Array) -> Batch:
    """Rows of tokens (n, L + 1) as one batch on the network's device."""
    tokens = torch.from_numpy(rows.astype(np.int64)).to(subject.network.model.device)
    return Batch({TOKENS: tokens[:, :-1]}, tokens[:, 1:])
