"""The judges of the recipes find what they are there to find. The racy variants that they must find out stand beside
the recipes' own tests."""

from __future__ import annotations

from recipes.judges import miscounted, out_of_order, rows_wrong, too_many_inside, two_leaders


def test_too_many_inside():
    assert not too_many_inside(["enter a", "leave a", "enter b", "hold b", "dead b", "enter c"], limit=1)
    assert too_many_inside(["enter a", "enter b", "leave a"], limit=1)
    assert not too_many_inside(["enter a", "enter b"], limit=2)


def test_miscounted():
    assert not miscounted(3, [1, 2, 3], open_ends=0)
    assert not miscounted(4, [1, 2, 4], open_ends=1)
    assert miscounted(4, [1, 2, 4], open_ends=0), "one too many"
    assert miscounted(2, [1, 2, 2], open_ends=0), "a lost update"
    assert miscounted(2, [1, 3], open_ends=1), "a number that is gone"


def test_out_of_order():
    assert not out_of_order([(1, "a"), (1, "a"), (3, "b")])
    assert out_of_order([(1, "a"), (2, "b"), (1, "a")])
    assert out_of_order([(1, "a"), (1, "b")])


def test_two_leaders():
    assert not two_leaders([(1, "a"), (2, "b"), (4, "a")])
    assert two_leaders([(1, "a"), (1, "b")])
    assert two_leaders([(2, "a"), (1, "b")])


def test_rows_wrong():
    assert not rows_wrong([1, 2, 3], [1, 2], [3, 4])
    assert rows_wrong([1, 1], [1], []), "twice"
    assert rows_wrong([1], [1, 2], [3]), "lost"
    assert rows_wrong([1, 5], [1], [3]), "nobody's"
