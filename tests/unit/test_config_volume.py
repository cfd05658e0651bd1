"""Files in a volume, written by a one-shot container."""

import subprocess

import pulumi
import pytest

from components.config_volume import STAGE, ConfigVolume, Reload, _script
from tests.unit.world import build


def volume(make_context, **changes):
    def program():
        said = {
            "files": {"app.yml": "a: 1\n", "secrets/key": pulumi.Output.secret("hush")},
            "owner": "65534:65534",
            "image": "busybox",
        }
        parent = pulumi.ComponentResource("test:Parent", "parent")
        ConfigVolume("conf", context=make_context(), parent=parent, **{**said, **changes})

    return build(program, secrets={})


def test_one_volume_and_one_writer_are_made_under_the_parent(make_context):
    world = volume(make_context)
    assert [one.name for one in world.made] == ["parent", "conf", "conf-writer"]
    assert world["conf"].parent == world["conf-writer"].parent == "parent"


def test_the_volume_is_marked_as_made_again_at_will_and_never_protected(make_context):
    made = volume(make_context)["conf"]
    assert made.label("dockyard.volume") == "config"
    assert (made.protect, made.retain_on_delete) == (False, False)


def test_secret_files_stay_secret_and_plain_ones_stay_readable(make_context):
    made = volume(make_context)["conf-writer"]
    assert made.files == {f"{STAGE}/app.yml": "a: 1\n", f"{STAGE}/secrets/key": "hush"}
    (path,) = made.secrets
    assert path.startswith("uploads")


def test_no_content_is_in_the_command_the_variables_or_the_labels(make_context):
    made = volume(make_context)["conf-writer"].inputs
    assert "hush" not in str({key: value for key, value in made.items() if key != "uploads"})


def test_the_writer_has_only_the_capabilities_to_give_files_away(make_context):
    made = volume(make_context)["conf-writer"].inputs
    assert made["capabilities"] == {"drops": ["ALL"], "adds": ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER"]}
    assert made["user"] == "0:0"


class TestScript:
    """The script itself, run by a shell on this machine."""

    @pytest.fixture
    def run(self, tmp_path, monkeypatch):
        stage, target = tmp_path / "stage", tmp_path / "target"
        stage.mkdir()
        target.mkdir()
        monkeypatch.setattr("components.config_volume.STAGE", str(stage))
        monkeypatch.setattr("components.config_volume.TARGET", str(target))

        def run(files: dict[str, str], check: str = "true", reload: Reload | None = None):
            for name, content in files.items():
                (stage / name).parent.mkdir(exist_ok=True)
                (stage / name).write_text(content)
            script = _script(sorted(files), "0:0", check, reload)
            return subprocess.run(["/bin/sh", "-ec", script], capture_output=True, text=True), target

        return run

    def test_files_arrive_readable_by_their_owner_alone(self, run):
        finished, target = run({"a.yml": "1", "sub/b.yml": "2"})
        assert finished.returncode == 0, finished.stderr
        assert (target / "a.yml").read_text() == "1"
        assert (target / "sub/b.yml").read_text() == "2"
        assert oct((target / "sub/b.yml").stat().st_mode)[-3:] == "400"

    def test_what_is_no_longer_a_file_of_ours_is_removed(self, run):
        _, target = run({"a.yml": "1"})
        (target / "left-over.yml").write_text("old")
        finished, target = run({"a.yml": "2"})
        assert finished.returncode == 0, finished.stderr
        assert [path.name for path in target.iterdir()] == ["a.yml"]
        assert (target / "a.yml").read_text() == "2"

    def test_files_that_fail_the_check_change_nothing(self, run):
        run({"a.yml": "good"})
        finished, target = run({"a.yml": "bad"}, check="grep -q good a.yml")
        assert finished.returncode != 0
        assert (target / "a.yml").read_text() == "good"
