"""Every error that foreworld raises on purpose. The command line turns them into one line and exit code 2."""

from collections.abc import Sequence


class ForeworldError(Exception):
    """Base class: the message is meant for the user and complete in itself."""


class DataError(ForeworldError):
    """A table that cannot be used as it is.

    The message names the source (a file, or `frame`), the column and the row. Rows count from 1 in the order of the
    user's table, not counting a header; at most the first five are named.
    """

    def __init__(self, problem: str, *, source: str = "frame", column: str | None = None, rows: Sequence[int] = ()):
        self.source, self.column, self.rows = source, column, tuple(int(row) for row in rows)
        where = source
        if column is not None:
            where += f", column '{column}'"
        if self.rows:
            label = "row" if len(self.rows) == 1 else "rows"
            shown = ", ".join(str(row) for row in self.rows[:5])
            where += f", {label} {shown}" + (f" and {len(self.rows) - 5} more" if len(self.rows) > 5 else "")
        super().__init__(f"{where}: {problem}")


class QuestionError(ForeworldError):
    """A question that the model cannot answer as it was put: an unknown action, a plan that is too short."""


class ArtifactError(ForeworldError):
    """A saved folder that is incomplete, altered or not one of ours; the message names the file."""


class TrainingError(ForeworldError):
    """Training that cannot start or go on: too little data, a diverged loss, a checkpoint of another run."""


class MissingExtraError(ForeworldError):
    """A part of foreworld whose optional dependency is not installed; the message says what to install."""

    def __init__(self, what: str, extra: str):
        super().__init__(f"{what} needs an optional part: pip install 'foreworld[{extra}]'")
        self.what, self.extra = what, extra

    def __reduce__(self) -> tuple:
        """Worker processes hand errors back."""
        return type(self), (self.what, self.extra)
