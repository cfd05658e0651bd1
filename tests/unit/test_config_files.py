"""Files in a volume, written by a one-shot container."""

import grp
import os
import pwd
import subprocess

import pulumi
import pytest

from runtime.config_files import PACKED, STAGE, _script, pack
from runtime.spec import FileSet, Reload
from tests.support.recording import record


class TestScript:
    """The script itself, run by a shell on this machine."""

    @pytest.fixture
    def run(self, tmp_path, monkeypatch):
        stage, target = tmp_path / "stage", tmp_path / "target"
        stage.mkdir()
        target.mkdir()
        monkeypatch.setattr("runtime.config_files.STAGE", str(stage))
        monkeypatch.setattr("runtime.config_files.TARGET", str(target))

        def run(
            files: dict[str, str],
            check: str = "true",
            reload: Reload | None = None,
            owner: str = f"{os.getuid()}:{os.getgid()}",
        ):
            for name, content in files.items():
                (stage / name).parent.mkdir(parents=True, exist_ok=True)
                (stage / name).write_text(content)
            script = _script(sorted(files), owner, check, reload, unpack=False)
            return subprocess.run(["/bin/sh", "-ec", script], capture_output=True, text=True), target

        return run

    def test_files_arrive_readable_by_their_owner_alone(self, run):
        finished, target = run({"a.yml": "1", "sub/b.yml": "2"})
        assert finished.returncode == 0, finished.stderr
        assert (target / "a.yml").read_text() == "1"
        assert (target / "sub/b.yml").read_text() == "2"
        assert oct((target / "sub/b.yml").stat().st_mode)[-3:] == "400"
        assert {oct(folder.stat().st_mode)[-3:] for folder in (target, target / "sub")} == {"755"}

    def test_what_is_no_longer_a_file_of_ours_is_removed(self, run):
        _, target = run({"a.yml": "1"})
        (target / "left-over.yml").write_text("old")
        finished, target = run({"a.yml": "2"})
        assert finished.returncode == 0, finished.stderr
        assert [path.name for path in target.iterdir()] == ["a.yml"]
        assert (target / "a.yml").read_text() == "2"

    @pytest.mark.parametrize(
        "name", ["rules/deep/er/x.yml", "two words/a b.yml", "[slug].vue", "a*?\\.txt", "-n", "$x"]
    )
    def test_any_path_is_a_name_and_is_kept_beside_others(self, run, name):
        for _ in range(2):
            finished, target = run({name: "1", "other": "2"})
            assert finished.returncode == 0, finished.stderr
        assert sorted(str(file.relative_to(target)) for file in target.rglob("*") if file.is_file()) == sorted(
            [name, "other"]
        )

    @pytest.mark.parametrize("name", ["s", "XslugX", "a.txt"])
    def test_a_name_that_reads_like_a_pattern_keeps_no_other_file(self, run, name):
        _, target = run({"[slug]": "1"})
        (target / name).write_text("old")
        finished, target = run({"[slug]": "1"})
        assert finished.returncode == 0, finished.stderr
        assert [path.name for path in target.iterdir()] == ["[slug]"]

    @pytest.mark.parametrize("group", ["", ":1234", ":daemon", ":2"])
    @pytest.mark.parametrize("user", ["nobody", "65534", "1001"])
    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
    def test_files_belong_to_a_user_and_group_by_number_or_by_name(self, run, user, group):
        finished, target = run({"key": "hush"}, owner=f"{user}{group}")
        assert finished.returncode == 0, finished.stderr
        found, wanted = (target / "key").stat(), group.removeprefix(":")
        assert found.st_uid == (int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid)
        if wanted:
            assert found.st_gid == (int(wanted) if wanted.isdigit() else grp.getgrnam(wanted).gr_gid)
        assert oct(found.st_mode)[-3:] == "400"

    @pytest.mark.parametrize("owner", ["no-such-user", "no-such-user:1001", "--help", "root; touch harm", "$(id -u)"])
    def test_an_owner_that_the_image_does_not_know_fails_and_replaces_nothing(self, run, owner):
        run({"key": "old"})
        finished, target = run({"key": "new"}, owner=owner)
        assert finished.returncode != 0
        assert owner in finished.stderr
        assert (target / "key").read_text() == "old"

    def test_files_that_fail_the_check_change_nothing(self, run):
        run({"a.yml": "good"})
        finished, target = run({"a.yml": "bad"}, check="grep -q good a.yml")
        assert finished.returncode != 0
        assert (target / "a.yml").read_text() == "good"


def test_packed_files_travel_as_one_archive_that_is_the_same_on_every_run(make_context):
    packed = {"boards/b.json": "{}", "boards/a.json": "{1}"}

    def program():
        parent, context = pulumi.ComponentResource("test:Parent", "parent"), make_context()
        files = {"app.yml": "a: 1\n"}
        context.files("conf", FileSet(files, "65534:65534", "busybox", packed=packed), parent)

    made = record(program)["conf-writer"]
    assert set(made.files) == {f"{STAGE}/app.yml", PACKED}
    assert made.files[PACKED] == pack(dict(reversed(packed.items())))
    assert "bunzip2" in made.inputs["command"][0]
