"""The local backend: its passphrase, its environment, and stacks that leave no trace in git."""

import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from machine import processes
from machine.progress import SetupError
from machine.workdir import CHECKOUT, WorkDir
from tests.support.progress import Words
from tests.support.waiting import wait_until
from toolchain.environment import discard_foreign_environment, ensure_backend, environment, full_environment
from toolchain.pulumi_cli import ensure_pulumi
from toolchain.stacks import ensure_stack

PROGRAM = """\
import pulumi
pulumi.export("password", pulumi.Output.secret("hush-hush-hush"))
pulumi.export("color", pulumi.Config("dockyard").require("color"))
"""
STACK_FILE = """\
# What differs in dev.
config:
  dockyard:color: blue
  dockyard:docker: {health_interval: 2s}
"""


def test_the_passphrase_is_made_once_and_only_its_owner_can_read_it(work: WorkDir) -> None:
    ensure_backend(work)
    first = work.passphrase_file.read_text()
    ensure_backend(work)
    assert work.passphrase_file.read_text() == first
    assert len(first) >= 40
    assert work.passphrase_file.stat().st_mode & 0o777 == 0o600
    assert work.state.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in work.root.iterdir() if entry.name.startswith(".passphrase-")] == []


def test_a_lost_passphrase_is_an_error_and_never_replaced_by_a_new_one(work: WorkDir) -> None:
    ensure_backend(work)
    work.passphrase_file.unlink()
    stack = work.state / ".pulumi/stacks/dockyard/dev.json"
    stack.parent.mkdir(parents=True)
    stack.write_text("{}")
    with pytest.raises(SetupError, match="cannot be decrypted without it"):
        ensure_backend(work)
    assert not work.passphrase_file.exists()


def test_a_backend_that_the_person_has_set_is_left_alone(work: WorkDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://team-state")
    ensure_backend(work)
    assert not work.state.exists()
    assert environment(work)["PULUMI_BACKEND_URL"] == "s3://team-state"
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" not in environment(work), "our passphrase would lock the team's secrets"


def test_what_another_checkout_has_put_into_the_shell_does_not_lead_this_one_to_its_state(
    work: WorkDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = WorkDir(tmp_path / "other")
    ensure_backend(other)
    other.docker_host_file.write_text("unix:///run/of-the-other.sock\n")
    before = environment(work)
    for name, value in environment(other).items():
        monkeypatch.setenv(name, value)
    discard_foreign_environment(work)
    assert "DOCKER_HOST" not in os.environ
    assert str(other.root) not in os.environ["PATH"]
    assert environment(work) == before


def test_what_this_checkout_or_the_person_has_put_into_the_shell_stays_and_is_the_same_when_taken_over_twice(
    work: WorkDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = environment(work)
    assert first["PATH"].split(os.pathsep)[:2] == [str(work.bin), str(work.venv / "bin")]
    for name, value in first.items():
        monkeypatch.setenv(name, value)
    assert environment(work) == first
    monkeypatch.setenv("DOCKER_HOST", "unix:///mine.sock")
    discard_foreign_environment(work)
    assert os.environ["DOCKER_HOST"] == "unix:///mine.sock"
    assert os.environ["PULUMI_HOME"] == str(work.pulumi_home)


def test_a_passphrase_that_the_person_has_set_counts(work: WorkDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "their own")
    ensure_backend(work)
    assert not work.passphrase_file.exists()
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" not in environment(work)


@pytest.fixture
def project(tmp_path: Path, words: Words, monkeypatch: pytest.MonkeyPatch) -> WorkDir:
    """A small project under git, with the real engine of this machine."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text("name: dockyard\nruntime: python\n")
    (folder / "Pulumi.dev.yaml").write_text(STACK_FILE)
    (folder / "__main__.py").write_text(PROGRAM)
    (folder / ".gitignore").write_text(".dockyard/\n__pycache__/\n")
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "t"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    work = WorkDir(folder)
    ensure_pulumi(work, words.progress)
    ensure_backend(work)
    return work


def pulumi(work: WorkDir, *arguments: str) -> str:
    command = ["pulumi", *arguments, "--non-interactive"]
    done = subprocess.run(command, cwd=work.checkout, env=full_environment(work), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def git_status(work: WorkDir) -> str:
    return subprocess.run(
        ["git", "status", "--short"], cwd=work.checkout, capture_output=True, text=True, check=True
    ).stdout


def test_plain_pulumi_commands_leave_git_clean_and_keep_secrets_encrypted(project: WorkDir) -> None:
    ensure_stack(project, "dev", full_environment(project))
    ensure_stack(project, "dev", full_environment(project))
    assert git_status(project) == ""
    first = pulumi(project, "preview", "--stack", "dev")
    assert "warning" not in first, "the engine warns of language hosts that do not lie beside it"
    assert git_status(project) == ""
    pulumi(project, "up", "--yes", "--stack", "dev")
    assert git_status(project) == ""
    state = "".join(path.read_text() for path in project.state.rglob("*") if path.is_file())
    assert "hush-hush-hush" not in state
    assert '"type":"passphrase"' in state.replace(" ", "")
    shown = json.loads(pulumi(project, "stack", "output", "--json", "--show-secrets", "--stack", "dev"))
    assert shown == {"color": "blue", "password": "hush-hush-hush"}
    pulumi(project, "preview", "--refresh", "--expect-no-changes", "--stack", "dev")
    pulumi(project, "destroy", "--yes", "--stack", "dev")
    assert git_status(project) == ""


def test_a_salt_that_came_with_the_stack_file_stays_in_it(project: WorkDir) -> None:
    ensure_stack(project, "dev", full_environment(project))
    salt = project.salts.read_text()
    shutil.rmtree(project.state)
    project.state.mkdir()
    project.salts.unlink()
    stack_file = project.checkout / "Pulumi.dev.yaml"
    stack_file.write_text(STACK_FILE + salt)
    ensure_stack(project, "dev", full_environment(project))
    pulumi(project, "up", "--yes", "--stack", "dev")
    assert stack_file.read_text() == STACK_FILE + salt
    assert salt.split(maxsplit=1)[1].strip() in (project.state / ".pulumi/stacks/dockyard/dev.json").read_text()


def test_a_secret_in_the_stack_file_keeps_the_salt_that_opens_it(project: WorkDir) -> None:
    ensure_stack(project, "dev", full_environment(project))
    pulumi(project, "config", "set", "--secret", "webhook", "https://secret", "--stack", "dev")
    text = (project.checkout / "Pulumi.dev.yaml").read_text()
    assert "secure: v1:" in text
    assert project.salts.read_text() in text
    assert pulumi(project, "config", "get", "webhook", "--stack", "dev").strip() == "https://secret"


def test_an_edit_made_while_the_engine_runs_is_kept(project: WorkDir) -> None:
    stack_file = project.checkout / "Pulumi.dev.yaml"
    ensure_stack(project, "dev", full_environment(project))
    edit = f"from pathlib import Path\nfile = Path({str(stack_file)!r})\n"
    edit += 'file.write_text(file.read_text().replace("blue", "green"))\n'
    (project.checkout / "__main__.py").write_text(edit)
    pulumi(project, "preview", "--stack", "dev")
    assert stack_file.read_text() == STACK_FILE.replace("blue", "green")


def test_a_killed_command_leaves_nothing_that_the_next_one_does_not_tidy_up(project: WorkDir) -> None:
    stack_file = project.checkout / "Pulumi.dev.yaml"
    stack_file.write_text(STACK_FILE + "  dockyard:_secrets: true\n")
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qam", "t"], cwd=project.checkout)
    ensure_stack(project, "dev", full_environment(project))
    begun = project.root / "begun"
    slow = f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\ntime.sleep(5)\n"
    (project.checkout / "__main__.py").write_text(slow)
    process = subprocess.Popen(
        ["pulumi", "preview", "--stack", "dev", "--non-interactive"],
        cwd=project.checkout,
        env=full_environment(project),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until(begun.exists, "the program runs", 120)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    processes.stop(processes.find(str(project.checkout)), 2.0)  # the language host, in a group of its own
    assert "encryptionsalt" in stack_file.read_text(), "the kill came too early to prove anything"
    (project.checkout / "__main__.py").write_text(PROGRAM)
    pulumi(project, "preview", "--stack", "dev")
    assert git_status(project) == ""


def test_each_stack_file_of_this_project_is_the_same_after_the_engine_has_written_it(project: WorkDir) -> None:
    (project.checkout / "__main__.py").write_text("")
    names = sorted(path.name for path in CHECKOUT.glob("Pulumi.*.yaml"))
    shipped = {}
    for name in names:
        # As committed: an `up` of this very checkout may be under way, with the engine's salt in the file.
        show = ["git", "show", f"HEAD:{name}"]
        shipped[name] = subprocess.run(show, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
        (project.checkout / name).write_text(shipped[name])
        ensure_stack(project, name.split(".")[1], full_environment(project))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: pulumi(project, "preview", "--stack", name.split(".")[1]), names))
    assert {name: (project.checkout / name).read_text() for name in names} == shipped
