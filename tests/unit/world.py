"""The old names of tests/support/recording.py, for test modules that do not use the new ones yet."""

from tests.support.recording import RecordedProgram as World
from tests.support.recording import RecordedResource as Made
from tests.support.recording import record as build

__all__ = ["Made", "World", "build"]
