"""The names that the log tests import, which are in tests/support by now."""

from tests.support.containers import make_container, remove_all, run_job

__all__ = ["make_container", "remove_all", "run_job"]
