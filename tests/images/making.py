"""The names that the log tests import, which are in tests/support by now."""

from tests.support.containers import make_container as make_container
from tests.support.containers import remove_all as remove_all
from tests.support.containers import run_job as run_job
