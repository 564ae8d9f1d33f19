"""InputSpec: the arrays that an encoded data set consists of, so that networks can be sized.

Scalar columns of one kind lie in one block, because a gather of one (n, F) array is far cheaper
than F gathers: `numbers` (n, F) float32 with NaN where missing, `categories` (n, F) int64. Every
picture column is a block of its own under the field's name: (n, channels, height, width) uint8.
This module loads no torch.
"""

from __future__ import annotations

from msgspec import Struct

NUMBERS = "numbers"
CATEGORIES = "categories"


class NumbersBlock(Struct, frozen=True, tag="numbers", forbid_unknown_fields=True):
    """`names[i]` is column i (a time field gives several); `edges[i]` its increasing bin edges."""

    names: tuple[str, ...]
    edges: tuple[tuple[float, ...], ...]


class CategoriesBlock(Struct, frozen=True, tag="categories", forbid_unknown_fields=True):
    """`sizes[i]` counts the codes of column i, the two of missing and unknown included."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]


class ImageBlock(Struct, frozen=True, tag="image", forbid_unknown_fields=True):
    """Pictures (channels, height, width) uint8, with the mean and deviation of each channel."""

    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


Block = NumbersBlock | CategoriesBlock | ImageBlock


class InputSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """Block name to block, in the order in which a network reads them."""

    blocks: dict[str, Block]

    @property
    def images(self) -> dict[str, ImageBlock]:
        """The picture blocks alone."""
        return {name: b for name, b in self.blocks.items() if isinstance(b, ImageBlock)}
