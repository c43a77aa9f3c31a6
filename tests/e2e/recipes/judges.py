"""What must hold of a run of each recipe. Pure: from what was seen to what is wrong with it."""

from __future__ import annotations

from collections import Counter as Tally


def too_many_inside(log: list[str], limit: int) -> list[str]:
    """Reads "enter NAME", "leave NAME" and "dead NAME" in their order: who entered beside `limit` others."""
    inside: set[str] = set()
    wrong = []
    for line in log:
        what, name, *_ = line.split()
        if what == "enter":
            inside.add(name)
            if len(inside) > limit:
                wrong.append(f"{line}: inside are {sorted(inside)}")
        elif what in ("leave", "dead"):
            inside.discard(name)
    return wrong


def miscounted(final: int, acknowledged: list[int], open_ends: int) -> list[str]:
    """A counter that began with 0. `open_ends`: increments of which nobody was told how they ended."""
    wrong = [f"{times} were told that they made it {value}"
             for value, times in Tally(acknowledged).items() if times > 1]
    least = len(acknowledged)
    if not least <= final <= least + open_ends:
        wrong.append(f"it is {final}, with {least} acknowledged and {open_ends} open")
    if acknowledged and max(acknowledged) > final:
        wrong.append(f"it is {final}, and {max(acknowledged)} was acknowledged")
    return wrong


def out_of_order(accepted: list[tuple[int, str]]) -> list[str]:
    """What a resource accepted, as (token, holder) in its order: no token after a greater one, and no
    token of two holders."""
    wrong, holders, greatest = [], {}, 0
    for token, holder in accepted:
        if token < greatest:
            wrong.append(f"{holder} with token {token} after token {greatest}")
        if holders.setdefault(token, holder) != holder:
            wrong.append(f"token {token} is that of {holders[token]} and of {holder}")
        greatest = max(greatest, token)
    return wrong


def two_leaders(terms: list[tuple[int, str]]) -> list[str]:
    """The leaders of terms, as they took the lead: a new term each time, and later ones greater."""
    wrong = [f"term {term} has {count} leaders"
             for term, count in Tally(term for term, _ in terms).items() if count > 1]
    return wrong + [f"term {later} came after {earlier}"
                    for (earlier, _), (later, _) in zip(terms, terms[1:]) if later < earlier]


def rows_wrong(rows: list, acknowledged: list, open_ends: list) -> list[str]:
    """What a table has: each acknowledged row once, each open one once at most, and nothing else."""
    found, wanted = Tally(rows), set(acknowledged)
    wrong = [f"{row} is there {times} times" for row, times in found.items() if times > 1]
    wrong += [f"{row} is lost" for row in wanted - set(found)]
    return wrong + [f"{row} comes from nobody" for row in set(found) - wanted - set(open_ends)]
