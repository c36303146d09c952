import pytest

from models.newest_mesh import newest_mesh


def test_named_weights_come_first_then_the_demos_then_the_committed(tmp_path):
    named, demo, committed = (tmp_path / name for name in ("named.pt", "demo.pt", "committed.pt"))
    with pytest.raises(FileNotFoundError, match="run make demo, or give") as refused:
        newest_mesh(None, demo, committed)
    assert str(demo) in str(refused.value) and str(committed) in str(refused.value)
    committed.touch()
    assert newest_mesh(None, demo, committed) == committed
    demo.touch()
    assert newest_mesh(None, demo, committed) == demo
    assert newest_mesh(named, demo, committed) == named, "also one that is missing: its reader says so"
