"""What an answer to a write promises about this attempt of it.

A 503 that says nothing of an effect promises that there was none: the register could not be asked,
or has just started, or the key was busy, or nothing was sent (`src/gate/refusal.rs`). One that says
"may have taken effect" promises nothing. A 409 is a conflict before anything was sent.
"""

from __future__ import annotations

from clients import Answer
from histories.operation import FAILED, MISMATCH, MISSING, OK, UNKNOWN

_NOT_APPLIED = (
    "was not sent to the store",
    "Another write of this key is in progress",
    "register of conditional writes has just started",
    "register of conditional writes cannot be reached",
    "so the condition cannot be judged",
)


def outcome(answer: Answer) -> str:
    if answer.status in (200, 204):
        return OK
    if answer.status == 412:
        return MISMATCH
    if answer.status == 404:
        return MISSING if answer.code == "NoSuchKey" else UNKNOWN
    if answer.status == 409:
        return FAILED
    message = answer.fields.get("Message", "")
    if answer.status == 503 and any(words in message for words in _NOT_APPLIED):
        return FAILED
    return UNKNOWN


def expected(answer: Answer) -> bool:
    """Whether it is one of the answers that a write may get at all."""
    return answer.status in (200, 204, 404, 409, 412, 503)


def in_short(answer: Answer) -> str:
    replayed = " replayed" if answer.headers.get("x-ifmatch-replayed") else ""
    message = answer.fields.get("Message", "")
    return f"{answer.status}{replayed}" + (f" {message[:60]}" if answer.status == 503 else "")
