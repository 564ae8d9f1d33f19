"""TensorBoard: event files in the run folder. See them with `tensorboard --logdir runs`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"


class TensorBoard:
    """Writes event files; steps that are done again replace those before them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FOLDER
        self.last = 0
        self._plan: Mapping[str, str] = {}
        self._writer: SummaryWriter | None = None

    def keep_until(self, step: int) -> None:
        """Begin another file, which takes back the later steps of those before."""
        self._close()
        self._writer = self._open(step + 1)
        self._writer.add_text("plan", _table(self._plan), step + 1)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One point of each curve."""
        self.last = max(self.last, step)
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def flush(self) -> None:
        """Write what the writer holds back."""
        self.writer.flush()

    def parameters(self, values: Mapping[str, str]) -> None:
        """The plan, to be shown as a table in every file."""
        self._plan = values

    def results(self, values: Mapping[str, float], texts: Mapping[str, str]) -> None:
        """The records at the last step."""
        for name, value in values.items():
            self.writer.add_scalar(f"evidence/{name}", value, self.last)
        self.writer.add_text("evidence", _table(texts), self.last)

    def close(self, done: bool) -> None:
        """Flush and close the file."""
        self._close()

    @property
    def writer(self) -> SummaryWriter:
        """The writer that is open now."""
        if self._writer is None:
            self._writer = self._open(None)
        return self._writer

    def _open(self, purge_step: int | None) -> SummaryWriter:
        return SummaryWriter(str(self.folder), purge_step=purge_step)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _table(values: Mapping[str, str]) -> str:
    rows = [f"| {key} | {value.replace('|', '/')} |" for key, value in values.items()]
    return "\n".join(["| key | value |", "|---|---|", *rows])


def open_tracker(folder: Path) -> TensorBoard:
    """The event files of the run in `folder`."""
    return TensorBoard(folder)
