"""A test that fails is run once more only where the machine's clock jumped."""

from __future__ import annotations

from pathlib import Path

import pytest

from wall_clock import LASTS, WallClock

pytest_plugins = ["pytester"]


@pytest.mark.parametrize("jump", [7.2, -7.2])
def test_a_jump_is_felt_by_the_test_in_which_it_is_and_those_soon_after(jump):
    wall, monotonic = [1_000.0], [50.0]

    def later(seconds: float, jumped: float = 0) -> None:
        monotonic[0] += seconds
        wall[0] += seconds + jumped

    clock = WallClock(lambda: wall[0], lambda: monotonic[0])
    began = monotonic[0]
    later(5, jumped=0.01)
    assert not clock.jumped_since(began)
    began = monotonic[0]
    later(5, jumped=jump)
    assert clock.jumped_since(began)
    later(1)
    assert clock.jumped_since(monotonic[0])
    later(LASTS)
    assert not clock.jumped_since(monotonic[0])


@pytest.mark.parametrize("jumps, outcome", [(True, {"passed": 1}), (False, {"failed": 1})])
def test_only_then_it_is_run_again(pytester, jumps, outcome):
    """A test that fails once, in a run of its own with our hook."""
    here = Path(__file__).parent
    pytester.makeconftest(f"""
        import sys
        sys.path.insert(0, {str(here)!r})
        import wall_clock
        wall_clock.LASTS = 0
        wall_clock.WallClock.jumped_since = lambda clock, moment: {jumps}
        from again import pytest_runtest_protocol
    """)
    pytester.makepyfile("""
        runs = []
        def test_fails_at_first():
            runs.append(1)
            assert len(runs) == 2
    """)
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(**outcome, warnings=int(jumps))
