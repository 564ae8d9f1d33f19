"""Names that tell something: of splits, and of targets, in folders, files, arrays and data sets."""

from __future__ import annotations

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
ORDER = ("train", "validation", "test")
TARGETS = ("target", "label", "labels", "targets", "y")
