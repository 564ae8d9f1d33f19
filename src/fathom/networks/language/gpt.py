"""The family `gpt`: a decoder-only Transformer (Radford et al. 2019), as such are built today.

By default: rotary positions (Su et al. 2021, arXiv 2104.09864), queries and keys of one length
(Henry et al. 2020, arXiv 2010.04245), SwiGLU (Shazeer 2020, arXiv 2002.05202; or squared ReLU, So
et al. 2021, arXiv 2109.08668), norms without weights (Zhang and Sennrich 2019, arXiv 1910.07467),
projections back into the stream that begin at zero, and logits that are softly capped (Gemma 2,
arXiv 2408.00118). Other values of the spec make the networks of the Llama family (fewer heads of
keys than of queries: Ainslie et al. 2023, arXiv 2305.13245) and of GPT-2, number for number
(`huggingface.py`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fathom.networks.family import check_weights
from fathom.networks.language.attention import Heads, Place, causal_mask
from fathom.networks.language.block import PACKING, Block, Norm
from fathom.networks.language.family import (
    LANGUAGE_FAMILIES,
    LanguageFamily,
    LanguageNetwork,
    Memory,
)
from fathom.networks.language.gpt_spec import GptSpec, per_token, size
from fathom.networks.language.packed import MOST_WEIGHTS, Packed
from fathom.networks.language.rotary import angles, turns
from fathom.networks.language.softcap import softcapped


class Gpt(LanguageNetwork):
    """Embedding, blocks, head."""

    head: nn.Linear
    cosines: Tensor
    sines: Tensor

    def __init__(self, spec: GptSpec, vocabulary: int) -> None:
        super().__init__()
        check_weights(size(spec, vocabulary), "network.width or network.depth")
        self.spec, self.vocabulary, self.context = spec, vocabulary, spec.context
        self.embedding = nn.Embedding(vocabulary, spec.width)
        learned = spec.positions == "learned"
        self.positions = nn.Embedding(spec.context, spec.width) if learned else None
        # Without weights of their own, the embedding's size would not matter; with them it does.
        self.first_norm = Norm(spec) if not spec.norm_scale else nn.Identity()
        self.blocks = nn.ModuleList(Block(spec, layer) for layer in range(spec.depth))
        self.norm = Norm(spec)
        self.head = nn.Linear(spec.width, vocabulary, bias=False)
        if spec.tied:
            self.head.weight = self.embedding.weight
        if not learned:
            found = angles(spec.context, spec.per_head, spec.rope_base, spec.rope_scaling)
            for name, part in zip(("cosines", "sines"), turns(*found), strict=True):
                self.register_buffer(name, part, persistent=False)  # (context, 1, D)
        self._start()

    def forward(self, tokens: Tensor, memory: Memory | None = None) -> Tensor:
        """Logits (B, T, vocabulary) float32."""
        assert memory is None or isinstance(memory, Heads)
        begin = 0 if memory is None else memory.length
        self._check_room(begin + tokens.shape[1], memory)
        x = self._read(tokens, begin)
        place = self._place(x, begin, memory)
        for block in self.blocks:
            x = block(x, place)
        if memory is not None:
            memory.length += tokens.shape[1]
        return softcapped(self.head(self.norm(x)), self.spec.softcap)

    def remember(self, rows: int, room: int) -> Heads:
        """Keys and values of no token yet; there is never room for more than `context` of them."""
        spec = self.spec
        if self._packs:
            for part in self._packed:
                part.refresh()
        shape = (rows, spec.kv_heads, min(room, spec.context), spec.per_head)
        empty = [self.embedding.weight.new_zeros(shape) for _ in range(2 * spec.depth)]
        return Heads(list(zip(empty[::2], empty[1::2], strict=True)))

    @property
    def _packs(self) -> bool:
        """Whether matrices are packed: on a GPU, and of large networks, that gains nothing."""
        small = per_token(self.spec, self.vocabulary) <= MOST_WEIGHTS
        return self.embedding.weight.device.type == "cpu" and small

    @property
    def _packed(self) -> list[Packed]:
        return [module.packed for module in self.modules() if isinstance(module, PACKING)]

    def _check_room(self, end: int, memory: Heads | None) -> None:
        room = self.context if memory is None else memory.room
        if end > room:  # slices would end early, and some shapes would fit all the same
            raise ValueError(f"{end} tokens were to be read where there is room for {room}")

    def _read(self, tokens: Tensor, begin: int) -> Tensor:
        """Vectors (B, T, width) in the type that is computed in."""
        x: Tensor = self.embedding(tokens)
        if self.positions is not None:
            x = x + self.positions.weight[begin : begin + tokens.shape[1]]
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        normed: Tensor = self.first_norm(x)
        return normed

    def _place(self, x: Tensor, begin: int, memory: Heads | None) -> Place:
        count, turning = x.shape[1], None
        if self.positions is None:
            here = slice(begin, begin + count)
            turning = self.cosines[here].to(x.dtype), self.sines[here].to(x.dtype)
        packed = memory is not None and count == 1 and not torch.is_grad_enabled() and self._packs
        return Place(turning, causal_mask(count, begin, x), memory, packed)

    @torch.no_grad()
    def _start(self) -> None:
        """Uniform hidden matrices of the size of their inputs; what goes back begins at zero."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                bound = (3 / module.in_features) ** 0.5
                module.weight.uniform_(-bound, bound)
                if module.bias is not None:
                    module.bias.zero_()
        self.embedding.weight.normal_(std=0.02 if self.spec.tied else 1.0)
        if self.positions is not None:
            self.positions.weight.normal_(std=0.02)
        if not self.spec.tied:
            self.head.weight.zero_()
        for module in self.modules():
            if isinstance(module, Block):
                module.attention.out.weight.zero_()
                module.perceptron.down.weight.zero_()


LANGUAGE_FAMILIES.register("gpt")(
    LanguageFamily(spec=GptSpec, build=Gpt, size=size, per_token=per_token)
)
