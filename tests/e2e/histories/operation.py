"""One operation of one client on one key, with what it was told.

Bodies are unique, so a write has a name (`w17`), its ETag names it too, and so does the state it
leaves behind. `None` is the state of a key that is not there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

READ, PUT, CREATE, REPLACE, DELETE, DELETE_IF = (
    "read", "put", "create", "replace", "delete", "delete_if")
WRITES = (PUT, CREATE, REPLACE, DELETE, DELETE_IF)

OK = "ok"
MISMATCH = "412"
MISSING = "404"
UNKNOWN = "unknown"
"""It may take effect at any time after its invocation, or never."""
FAILED = "failed"
"""It has not taken effect and never will."""


@dataclass(frozen=True)
class Operation:
    number: int
    key: str
    kind: str
    invoked: float
    returned: float
    outcome: str
    value: str | None = None
    """What a write leaves behind, what a read saw."""
    expected: str | None = None
    """The write whose ETag a condition named."""
    client: int = 0
    said: str = ""
    """The answers to all attempts, for readers of the history."""

    @property
    def changes(self) -> bool:
        return self.kind in WRITES and self.outcome in (OK, UNKNOWN)

    @property
    def open_ended(self) -> bool:
        return self.outcome == UNKNOWN

    def after(self, state: str | None) -> tuple[bool, str | None]:
        """Whether this could happen to a key in this state, with its outcome; the state after."""
        if self.outcome == MISSING:
            return state is None, state
        if self.outcome == MISMATCH:
            return state is not None and state != self.expected, state
        if self.kind == READ:
            return state == self.value, state
        if self.kind == CREATE:
            return state is None, self.value
        if self.kind in (REPLACE, DELETE_IF):
            return state == self.expected, self.value
        return True, self.value

    def as_json(self) -> dict:
        return {name: value for name, value in asdict(self).items() if value not in (None, "")}

    @classmethod
    def from_json(cls, fields: dict) -> "Operation":
        return cls(**fields)

    def __str__(self) -> str:
        what = {READ: f"read → {self.value or 'absent'}",
                PUT: f"put {self.value}",
                CREATE: f"create {self.value}",
                REPLACE: f"replace {self.expected} by {self.value}",
                DELETE: "delete",
                DELETE_IF: f"delete {self.expected}"}[self.kind]
        said = f"  [{self.said}]" if self.said else ""
        return (f"{self.invoked:8.3f} … {self.returned:8.3f}  client {self.client} {self.key}: "
                f"{what}: {self.outcome}{said}")
