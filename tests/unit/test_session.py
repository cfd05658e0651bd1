"""What is made ready before the engine runs."""

import pytest

from machine.progress import SetupError
from machine.workdir import WorkDir
from ops import session


@pytest.fixture
def prepare(tmp_path, monkeypatch, progress):
    """Return a function that makes the tools ready in a checkout with the stacks mine and theirs; theirs cannot be."""
    for stack in ("mine", "theirs"):
        (tmp_path / f"Pulumi.{stack}.yaml").write_text("")
    made = []

    def make(_work, stack, _env):
        if stack == "theirs":
            raise SetupError("pulumi stack init failed: incorrect passphrase")
        made.append(stack)

    for done in ("ensure_pulumi", "ensure_plugins", "ensure_backend"):
        monkeypatch.setattr(session, done, lambda *_: None)
    monkeypatch.setattr(session, "full_environment", lambda _: {"PULUMI_HOME": "there"})
    monkeypatch.setattr(session, "ensure_stack", make)

    def prepare(asked=None):
        env = session.prepare_tools(WorkDir(tmp_path), progress, asked)
        return env, made

    return prepare


@pytest.mark.parametrize("asked", ["mine", None])
def test_a_stack_of_another_passphrase_is_reported_and_stops_nothing(prepare, printed, asked):
    assert prepare(asked) == ({"PULUMI_HOME": "there"}, ["mine"])
    assert "the stack theirs cannot be used here: pulumi stack init failed: incorrect passphrase" in printed.getvalue()


def test_the_stack_that_is_asked_for_must_be_there(prepare):
    with pytest.raises(SetupError, match="incorrect passphrase"):
        prepare("theirs")
