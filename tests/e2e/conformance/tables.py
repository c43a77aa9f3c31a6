"""Reads the tables of this directory: every Markdown table is a list of rows by column name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
COLUMNS = {"row", "case", "before", "request", "headers", "headers of a key that never was", "ETag",
           "answer", "outcome", "fields", "afterwards", "then", "name", "what", "by"}


@dataclass(frozen=True)
class Case:
    """One row; a column that its table lacks is empty."""

    file: str
    section: str
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")

    @property
    def id(self) -> str:
        name = self["case"] if self["row"] == "-" else f"{self['row']} {self['case']}"
        return name.replace(" ", "_")

    @property
    def before(self) -> list[str]:
        return steps(self["before"])

    @property
    def then(self) -> list[str]:
        return steps(self["then"])

    @property
    def answer(self) -> tuple[int, str | None]:
        status, _, code = self["answer"].partition(" ")
        return int(status), code or None

    @property
    def headers(self) -> dict[str, str]:
        return headers(self["headers"])


def steps(cell: str) -> list[str]:
    """`put A`, `complete [If-None-Match: *]` -> the steps one by one."""
    return [step for step in (part.strip() for part in cell.split(" , ")) if step]


def headers(text: str) -> dict[str, str]:
    pairs = (part.partition(":") for part in text.split(";") if part.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def read(file: str) -> list[Case]:
    """The cases of a file, in order, the named fields of its first table put in their place."""
    named, cases, section, columns = {}, [], "", None
    for line in (HERE / file).read_text().splitlines():
        if not line.startswith("|"):
            section, columns = line.lstrip("# ") if line.startswith("#") else section, None
            continue
        cells = [_plain(cell) for cell in line.strip().strip("|").split("|")]
        if columns is None:
            columns = cells
            assert set(columns) <= COLUMNS, f"{file}: unknown columns in {line}"
        elif set("".join(cells)) - set("- "):
            assert len(cells) == len(columns), f"{file}: {line}"
            case = Case(file, section, dict(zip(columns, cells)))
            if "name" in columns:
                named[case["name"]] = case["fields"]
            else:
                cases.append(case)
    return [_with_named_fields(case, named) for case in cases]


def _plain(cell: str) -> str:
    """A cell without its backticks; steps stay apart by " , "."""
    return cell.strip().replace("`, `", " , ").replace("`", "")


def _with_named_fields(case: Case, named: dict[str, str]) -> Case:
    fields = named.get(case["fields"], case["fields"])
    return Case(case.file, case.section, {**case.cells, "fields": fields})
