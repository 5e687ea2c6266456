"""Findings in a data set, each with place and remedy, raised together as one error."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from schemas.errors import FinalError

MOST_SHOWN: Final = 20


class DataSetError(FinalError):
    """A data set that cannot be read, split or learned from; the message names file, row, column and remedy."""

    code = "data_set"
    remedy = "Correct the file, row or option that the message names; `dancerank data check` lists all findings."

    def __init__(self, message: str, *, field: str | None = None, findings: "Sequence[Finding]" = ()) -> None:
        super().__init__(message, field=field)
        self.findings = tuple(findings)


@dataclass(frozen=True)
class Finding:
    """One problem. ``row`` is the line of the table, the header being line 1; ``field`` a column or a
    tensor."""

    path: Path
    problem: str
    remedy: str
    row: int | None = None
    field: str | None = None

    def __str__(self) -> str:
        row = "" if self.row is None else f", row {self.row}"
        field = "" if self.field is None else f", {self.field}"
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.path}{row}{field}: {self.problem}{remedy}"


def refusal(findings: Sequence[Finding]) -> DataSetError:
    """One error for all findings: the first ``MOST_SHOWN`` findings, and the number of the others."""
    field = findings[0].field
    if len(findings) == 1:
        return DataSetError(str(findings[0]), field=field, findings=findings)
    shown = [f"  {finding}" for finding in findings[:MOST_SHOWN]]
    if len(findings) > MOST_SHOWN:
        shown.append(f"  and {len(findings) - MOST_SHOWN} more")
    return DataSetError("\n".join([f"{len(findings)} things are wrong:", *shown]), field=field, findings=findings)
