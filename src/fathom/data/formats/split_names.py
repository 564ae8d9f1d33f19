"""Split names: what folders, files, arrays and parts of data sets are called that give splits."""

from __future__ import annotations

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
ORDER = ("train", "validation", "test")
