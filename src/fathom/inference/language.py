"""LoadedLanguage: a trained network of language, its tokenizer, and what it says of documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from fathom.core.language import Documents
from fathom.core.prediction import Array
from fathom.core.progress import Progress, Silent
from fathom.data.corpus.tokenizing import Tokenizer
from fathom.inference.model import Precision
from fathom.inference.reading import parts_of, windows_of
from fathom.inference.trust import Trust
from fathom.networks.language import LanguageNetwork, LanguageSpec

CONTEXTS_AT_ONCE = 64


@dataclass(frozen=True)
class LoadedLanguage:
    """A network of language in evaluation mode on `device`, with its tokenizer.

    `precision` is what it was trained in, and reads in. `trust` was fitted on the calibration
    split: its temperature divides the logits of whatever is read or written.
    """

    network: LanguageNetwork
    spec: LanguageSpec
    tokenizer: Tokenizer
    trust: Trust = field(default_factory=Trust)
    precision: Precision = "float32"
    device: str = "cpu"

    def __post_init__(self) -> None:
        self.network.eval()

    def known(self, logits: Tensor) -> Tensor:
        """Logits (..., V) of the tokens that the tokenizer has: a network may be made for more."""
        return logits[..., : self.tokenizer.size]

    def autocast(self) -> torch.autocast:
        """The context in which it reads."""
        kind = torch.device(self.device).type
        return torch.autocast(kind, torch.bfloat16, enabled=self.precision == "bfloat16")


@dataclass(frozen=True)
class TokenScores:
    """What a network says of each predicted token, N - 1 of them in the order of `tokens[1:]`.

    `nats` float32 is -log p of the token that stands there; `confidence` float32 the probability of
    the one that the network finds likeliest, and `right` (Boolean) whether that is the one.
    """

    nats: Array
    confidence: Array
    right: Array


class LanguagePredictor:
    """The network as a `LanguageModel`."""

    name = "network"

    def __init__(self, model: LoadedLanguage) -> None:
        self.model = model

    def nats(self, documents: Documents) -> Array:
        """-log p of every predicted token, (N - 1,) float32."""
        return self.scores(documents).nats

    def scores(
        self,
        documents: Documents,
        *,
        stride: int | None = None,
        temperature: float | None = None,
        progress: Progress | None = None,
    ) -> TokenScores:
        """All that is said of every predicted token; see `windows_of` for the stride."""
        network, shown = self.model.network, progress or Silent()
        nats = np.zeros(len(documents.tokens), dtype=np.float32)
        confidence, right = np.zeros_like(nats), np.zeros(len(nats), dtype=bool)
        windows = windows_of(documents, network.context, stride)
        done, cooled = 0, temperature or self.model.trust.temperature
        with torch.inference_mode(), self.model.autocast():
            for part in parts_of(
                documents, windows, vocabulary=network.vocabulary, device=self.model.device
            ):
                logits = self.model.known(network(part.tokens)[part.counted]) / cooled
                said = logits.log_softmax(dim=1)
                targets = part.targets[part.counted]
                truth = said.gather(1, targets[:, None])[:, 0]
                most = said.max(dim=1)
                nats[part.positions] = -truth.float().cpu().numpy()
                confidence[part.positions] = most.values.exp().float().cpu().numpy()
                right[part.positions] = (most.indices == targets).cpu().numpy()
                done += len(part.positions)
                shown.advance(done, documents.predicted)
        return TokenScores(nats[1:], confidence[1:], right[1:])

    def next_log_probs(self, contexts: Sequence[Array]) -> Array:
        """The log p of each token after each context, (n, V) float32."""
        found = []
        with torch.inference_mode(), self.model.autocast():
            for start in range(0, len(contexts), CONTEXTS_AT_ONCE):
                logits = self._last(contexts[start : start + CONTEXTS_AT_ONCE])
                said = (logits / self.model.trust.temperature).log_softmax(dim=1)
                found.append(said.float().cpu().numpy())
        return np.concatenate(found)

    def logits(self, documents: Documents, most: int, generator: np.random.Generator) -> Tensor:
        """Logits before any temperature at up to `most` places, drawn at random, (n, V) float32;
        and the tokens that stand there as the last column, (n, V + 1).
        """
        network = self.model.network
        drawn = np.zeros(len(documents.tokens), dtype=bool)
        places = generator.permutation(documents.predicted)[:most] + 1
        drawn[places] = True
        kept = []
        with torch.inference_mode(), self.model.autocast():
            for part in parts_of(
                documents,
                windows_of(documents, network.context),
                vocabulary=network.vocabulary,
                device=self.model.device,
            ):
                chosen = torch.from_numpy(drawn[part.positions])
                if chosen.any():
                    logits = self.model.known(network(part.tokens)[part.counted]).cpu()[chosen]
                    targets = part.targets[part.counted].cpu()[chosen]
                    kept.append(torch.cat([logits, targets[:, None].float()], dim=1))
        return torch.cat(kept)

    def _last(self, contexts: Sequence[Array]) -> Tensor:
        """Logits after the last token of each context: what is filled up behind it is not seen."""
        network = self.model.network
        cut = [np.asarray(context[-network.context :], dtype=np.int64) for context in contexts]
        longest = max(map(len, cut))
        tokens = np.zeros((len(cut), longest), dtype=np.int64)
        for row, context in enumerate(cut):
            tokens[row, : len(context)] = context
        ends = torch.tensor([len(context) - 1 for context in cut], device=self.model.device)
        logits = network(torch.from_numpy(tokens).to(self.model.device))
        last: Tensor = logits[torch.arange(len(cut), device=logits.device), ends]
        return self.model.known(last).float()
