"""What a probe has found of each store, kept as `probe_tables/NAME.json`: the tests compare it with what a probe
finds now, and docs/stores.md shows it. `python3 tests/e2e/probe_tables.py` writes the tables, and the settings that
follow, into the page."""

from __future__ import annotations

import json
import re
from pathlib import Path

TABLES = Path(__file__).parent / "probe_tables"
PAGE = Path(__file__).parents[2] / "docs" / "stores.md"
ALONE, THROUGH = 0, 1


def table_of(report: dict) -> list[list[str]]:
    """Part, row, and the cells of the store alone and through the proxy. Races are left out: whether one is seen
    is a matter of luck."""
    return [[row["group"], row["name"], *(cell["text"] if cell else "-" for cell in row["cells"])]
            for row in report["rows"] if row["group"] != "at the same time"]


DEFAULTS = ['empty_segments = "keep"', 'dot_segments = "refuse"', 'checksums = "send"']
"""Of `[backend]`; a list of subresources is not shown either, as the proxy sees them by itself."""


def settings_of(report: dict) -> list[str]:
    """The lines of `[backend]` that follow and are not so by themselves."""
    lines = [f"{each['key']} = {each['value']}" for each in report["settings"] if each["key"] != "subresources"]
    return [line for line in lines if line not in DEFAULTS]


def kept(name: str) -> list[list[str]]:
    return json.loads((TABLES / f"{name}.json").read_text())["rows"]


def kept_settings(name: str) -> list[str]:
    return json.loads((TABLES / f"{name}.json").read_text())["settings"]


def keep(name: str, table: list[list[str]], settings: list[str]) -> None:
    TABLES.mkdir(exist_ok=True)
    rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in table)
    (TABLES / f"{name}.json").write_text(f'{{"settings": {json.dumps(settings)},\n"rows": [\n{rows}\n]}}\n')


def rendered(table: list[list[str]]) -> str:
    """A table for a page."""
    lines = ["| | the store alone | through ifmatch |", "|---|---|---|"]
    group = ""
    for part, name, alone, through in table:
        if part != group:
            group = part
            lines.append(f"| **{part}** | | |")
        lines.append(f"| {name} | {alone} | {through} |".replace("*", "\\*").replace("\\*\\*", "**"))
    return "\n".join(lines)


def block_of(settings: list[str]) -> str:
    """The lines to write, for a page."""
    if not settings:
        return "Nothing has to be set for it."
    return "\n".join(f"    {line}" for line in ["[backend]", *settings])


def marked(name: str, what: str = "probe") -> re.Pattern[str]:
    """Where the page has the table, or the `settings`; there is some text already."""
    return re.compile(f"(?<=<!-- {what} of {name} -->\n)(?!<!--).*?(?=\n<!-- end -->)", re.DOTALL)


def write_page() -> None:
    text = PAGE.read_text()
    for path in sorted(TABLES.glob("*.json")):
        name = path.stem
        text = marked(name).sub(lambda _: rendered(kept(name)), text)
        text = marked(name, "settings").sub(lambda _: block_of(kept_settings(name)), text)
    PAGE.write_text(text)


if __name__ == "__main__":
    write_page()
