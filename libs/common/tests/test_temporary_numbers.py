"""Numbers that were seen."""

from leadline_common.storage.temporary_numbers import SeenNumbers


def test_a_number_keeps_its_first_place() -> None:
    """Whatever comes later, the place is that of the first; what never came is not there."""
    seen = SeenNumbers()
    seen.see([(2**63 - 1, 2), (-(2**63), 3)])
    seen.see([(2**63 - 1, 9), (5, 4)])
    assert seen.seen([2**63 - 1, -(2**63), 5, 6]) == {2**63 - 1: 2, -(2**63): 3, 5: 4}
    assert seen.seen([]) == {}
    seen.close()
    seen.close()
