"""InputSpec: the arrays that an encoded data set consists of, so that networks can be sized.

Scalar columns of one kind lie in one block, because a gather of one (n, F) array is far cheaper
than F gathers: `numbers` (n, F) float32 with NaN where missing, `categories` (n, F) int64. Every
picture column is a block of its own under the field's name: (n, channels, height, width) uint8.
So is every column of sequences, as a `core.ragged.Ragged`; in a batch B of them are padded to the
longest, and what is padding shows in the values themselves:

    text     (B, L) integers, token codes; PADDING_TOKEN after the end
    series   (B, L, channels) float32, encoded; NaN where a value is missing, and after the end
    audio    (B, L) int16, samples of one channel; PADDING_SAMPLE after the end

This module loads no torch.
"""

from __future__ import annotations

from msgspec import Struct

NUMBERS = "numbers"
CATEGORIES = "categories"
# Codes below FIRST_TOKEN mean the same for every tokenizer.
PADDING_TOKEN, UNKNOWN_TOKEN, START_TOKEN, FIRST_TOKEN = 0, 1, 2, 3
PADDING_SAMPLE = -32_768  # samples themselves are at least -32,767


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


class TextBlock(Struct, frozen=True, tag="text", forbid_unknown_fields=True):
    """Texts as token codes below `size`; each begins with START_TOKEN, `length` is the longest.

    `typical` is the median length in training.
    """

    size: int
    length: int
    typical: int


class SeriesBlock(Struct, frozen=True, tag="series", forbid_unknown_fields=True):
    """Series of `channels` values at each of at most `length` steps, encoded about 0 and 1.

    `typical` is the median length in training; `gaps` tells whether values were missing there.
    """

    channels: int
    length: int
    typical: int
    gaps: bool = False


class AudioBlock(Struct, frozen=True, tag="audio", forbid_unknown_fields=True):
    """Sound at `rate` samples a second, at most `length` and typically `typical` samples long.

    `mean` and `std` are those of the log-mel energies of the training split, one for each band.
    """

    rate: int
    length: int
    typical: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


SequenceBlock = TextBlock | SeriesBlock | AudioBlock
Block = NumbersBlock | CategoriesBlock | ImageBlock | TextBlock | SeriesBlock | AudioBlock


class InputSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """Block name to block, in the order in which a network reads them."""

    blocks: dict[str, Block]

    @property
    def images(self) -> dict[str, ImageBlock]:
        """The picture blocks alone."""
        return {name: b for name, b in self.blocks.items() if isinstance(b, ImageBlock)}

    @property
    def sequences(self) -> dict[str, SequenceBlock]:
        """The blocks of texts, series and sound alone."""
        return {name: b for name, b in self.blocks.items() if isinstance(b, SequenceBlock)}

    @property
    def scalars(self) -> dict[str, NumbersBlock | CategoriesBlock]:
        """The blocks of numbers and categories alone."""
        kinds = NumbersBlock | CategoriesBlock
        return {name: b for name, b in self.blocks.items() if isinstance(b, kinds)}

    def only(self, *names: str) -> InputSpec:
        """The blocks called so, and no others."""
        return InputSpec({name: self.blocks[name] for name in names})
