"""A request costs the proxy as many instructions as were written down (make instructions RECORD=1), and
as few calls of the kernel that write as there are messages."""

import shutil

import pytest

import instructions

MORE_OR_LESS = 0.15
"""A share of the recorded count. Runs differ by a hundredth."""


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="no valgrind here")
def test_a_request_costs_as_many_instructions_as_were_recorded(tmp_path):
    optimised, compiler = instructions.build()
    known = instructions.recorded().get(optimised)
    assert known, f"no counts are recorded for {optimised}: make instructions RECORD=1"
    costs = instructions.count(tmp_path)
    assert set(costs) == set(known["counts"])
    for name, cost in costs.items():
        before = known["counts"][name]
        share = cost.whole / before
        dearest = "\n".join(f"{number:>10,} {name}" for number, name in cost.functions[:20])
        assert abs(share - 1) <= MORE_OR_LESS, (
            f"{name}: {cost.whole:,} instructions, and {before:,} were recorded ({optimised}, "
            f"{known['compiler']}; this is {compiler}). If that is meant: make instructions "
            f"RECORD=1, with BINARY=debug too.\n{dearest}")


def test_a_request_writes_to_the_store_and_to_the_client_and_wakes_nobody(tmp_path):
    for name, writes in instructions.count_writes(tmp_path).items():
        # A few belong to no request. A thread that is woken for each third one would be one too many.
        assert 2 <= writes < 2.2, f"{name}: {writes} calls of the kernel that write"
