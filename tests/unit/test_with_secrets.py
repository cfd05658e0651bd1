"""The wrapper that hands secrets to programs as variables, run for real by every POSIX shell of this machine."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from runtime.shell import SECRETS_FILE, script
from tests.support.shells import shells
from tests.support.waiting import wait_until


@pytest.fixture(params=shells().values(), ids=shells())
def wrapper(request, tmp_path) -> list[str]:
    """The command line as containers have it, but for the shell."""
    (tmp_path / SECRETS_FILE).write_text(script(SECRETS_FILE))
    return [*request.param, str(tmp_path / SECRETS_FILE)]


@pytest.fixture
def run(wrapper, tmp_path):
    def run(files: dict[str, bytes], *command: str, env: dict[str, str] | None = None):
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        pairs = [f"{name.upper().replace('-', '_')}={tmp_path / name}" for name in files]
        return subprocess.run(
            [*wrapper, *pairs, "--", *command], capture_output=True, env={"PATH": os.environ["PATH"], **(env or {})}
        )

    return run


VALUES = [
    b"plain",
    b"  spaces at both ends  ",
    b"-n -e --",
    b"""'single' "double" `id` $HOME $(id) ${x} \\n \\ end\\""",
    b"postgres://u:p%40=ss@db:5432/app?x=1&y=*",
    "clé 鍵".encode(),
    b"not text: \xff\xfe\x01",
    b"",
    b"x" * 5000,
]
WITHOUT_LAST_LINE_END = {
    b"plain\n": b"plain",
    b"two ends\n\n": b"two ends\n",
    b"\n\nfirst\n  second\t\n": b"\n\nfirst\n  second\t",
    b"carriage return\r\n": b"carriage return\r",
}


def test_a_value_arrives_byte_for_byte_without_its_last_line_end(run):
    expected = {**{value: value for value in VALUES}, **WITHOUT_LAST_LINE_END}
    finished = run({f"v{place}": content for place, content in enumerate(expected)}, "env", "-0")
    assert finished.returncode == 0, finished.stderr
    variables = dict(line.split(b"=", 1) for line in finished.stdout.split(b"\0") if line.startswith(b"V"))
    assert variables == {f"V{place}".encode(): value for place, value in enumerate(expected.values())}


def test_the_command_gets_its_arguments_and_the_other_variables_unchanged(run):
    show = "import os, sys; print(sys.argv[1:], os.environ['A_KEY'], os.environ['B'], sorted(os.environ))"
    kept = {"name": "mine", "value": "mine too", "B_FILE": "/b"}
    finished = run({"a-key": b"1", "b": b"2"}, "python3", "-c", show, "a b", "", "--", "$x", "*", env=kept)
    assert finished.stdout.startswith(b"['a b', '', '--', '$x', '*'] 1 2 ")
    assert b"'name', 'value'" in finished.stdout
    assert b"B_FILE" not in finished.stdout, "an entry point that knows both ways would refuse to start"


def test_the_command_replaces_the_shell_and_its_exit_code_is_returned(wrapper, tmp_path, run):
    assert run({"key": b"1"}, "sh", "-c", "exit 7").returncode == 7
    process = subprocess.Popen([*wrapper, f"KEY={tmp_path / 'key'}", "--", "sleep", "60"])
    wait_until(lambda: Path(f"/proc/{process.pid}/cmdline").read_bytes() == b"sleep\x0060\x00", "the command")
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == -signal.SIGTERM


@pytest.mark.parametrize("path", ["missing", "."])
def test_a_missing_file_ends_the_wrapper_with_one_line(wrapper, tmp_path, path):
    start = [*wrapper, f"DATABASE_URL={tmp_path / path}", "--", "echo", "ran"]
    finished = subprocess.run(start, capture_output=True, text=True)
    assert (finished.returncode, finished.stdout) == (78, "")
    assert finished.stderr == f"with-secrets: no readable file {tmp_path / path} for DATABASE_URL\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_file_of_another_user_ends_the_wrapper_with_one_line(wrapper, tmp_path, run):
    run({"key": b"hush"}, "true")
    (tmp_path / "key").chmod(0o400)
    for folder in (tmp_path, *list(tmp_path.parents)[:-2]):
        folder.chmod(folder.stat().st_mode | 0o055)
    start = [*wrapper, f"KEY={tmp_path / 'key'}", "--", "echo", "ran"]
    finished = subprocess.run(start, capture_output=True, text=True, user=65534, group=65534)
    assert (finished.returncode, finished.stdout) == (78, "")
    assert finished.stderr == f"with-secrets: no readable file {tmp_path / 'key'} for KEY\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["KEY-1=/x", "--", "true"], "expected NAME=FILE before --, found KEY-1=/x"),
        (["=/x", "--", "true"], "expected NAME=FILE before --, found =/x"),
        (["--"], "expected -- and a command after the files"),
        ([], "expected -- and a command after the files"),
    ],
)
def test_a_wrong_call_is_refused_with_what_was_expected(wrapper, words, told):
    finished = subprocess.run([*wrapper, *words], capture_output=True, text=True)
    assert (finished.returncode, finished.stderr) == (78, f"with-secrets: {told}\n")
