"""A plain GPT as nanoGPT trains it on a processor, on characters. Own code; its settings.

    python nanogpt_text.py TRAIN.txt TEST.txt

4 layers, 4 heads, width 128, blocks of 64 characters, batches of 12, 2,000 iterations; AdamW at
0.001 with weight decay 0.1 and betas (0.9, 0.99), 100 iterations of warming up, then a cosine down
to 0.0001; layer norms and linear layers without biases, GELU, learned positions, tied embedding,
no dropout, float32. Prints a JSON line with the loss on all of the test text (nats a character, in
blocks of 64) every 250 iterations; the clock stands still meanwhile.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from clock import TrainingClock
from torch import Tensor, nn

LAYERS, HEADS, WIDTH, BLOCK, BATCH, ITERATIONS = 4, 4, 128, 64, 12, 2_000
HIGH, LOW, WARMING = 1e-3, 1e-4, 100


class Block(nn.Module):
    """Attention, then a perceptron."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(WIDTH, bias=False) for _ in range(2))
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.up = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.down = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        q, k, v = (
            part.view(b, t, HEADS, -1).transpose(1, 2)
            for part in self.qkv(self.norm1(x)).split(WIDTH, dim=2)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(b, t, WIDTH))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Gpt(nn.Module):
    """Embeddings, blocks, head."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(characters, WIDTH), nn.Embedding(BLOCK, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH, bias=False)
        self.head = nn.Linear(WIDTH, characters, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                deep = name.endswith(("out.weight", "down.weight"))
                std = 0.02 / math.sqrt(2 * LAYERS) if deep else 0.02
                nn.init.normal_(parameter, std=std)
        self.head.weight = self.tokens.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.tokens(x) + self.places.weight[: x.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def rate(iteration: int) -> float:
    if iteration < WARMING:
        return HIGH * (iteration + 1) / (WARMING + 1)
    done = (iteration - WARMING) / (ITERATIONS - WARMING)
    return LOW + 0.5 * (1 + math.cos(math.pi * done)) * (HIGH - LOW)


@torch.no_grad()
def loss_on(network: Gpt, text: Tensor) -> float:
    count = (len(text) - 1) // BLOCK
    x, y = (text[i : i + count * BLOCK].view(count, BLOCK) for i in (0, 1))
    total = sum(
        F.cross_entropy(
            network(x[i : i + 128]).flatten(0, 1), y[i : i + 128].flatten(), reduction="sum"
        ).item()
        for i in range(0, count, 128)
    )
    return total / y.numel()


def main() -> None:
    torch.manual_seed(1337)
    train_text, test_text = (Path(path).read_text() for path in sys.argv[1:3])
    codes = {c: i for i, c in enumerate(sorted(set(train_text + test_text)))}
    train, test = (torch.tensor([codes[c] for c in text]) for text in (train_text, test_text))
    network, steps = Gpt(len(codes)), torch.arange(BLOCK + 1)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=HIGH, betas=(0.9, 0.99))
    clock = TrainingClock(most_seconds=math.inf, enough=math.inf)
    for iteration in range(ITERATIONS):
        for group in optimizer.param_groups:
            group["lr"] = rate(iteration)
        begins = torch.randint(len(train) - BLOCK, (BATCH,))
        read = train[begins[:, None] + steps]
        loss = F.cross_entropy(network(read[:, :-1]).flatten(0, 1), read[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if (iteration + 1) % 250 == 0:
            clock.pause()
            said = {
                "step": iteration + 1,
                "train_seconds": round(clock.seconds, 2),
                "nats": round(loss_on(network, test), 4),
            }
            print(json.dumps(said), flush=True)
            clock.go_on()


if __name__ == "__main__":
    main()
