"""How a dotenv file is read, and how a stack file is edited."""

from pathlib import Path

import pytest
import yaml

from ops.dotenv.file import read_env_file
from ops.dotenv.stack_file import ABSENT, edited_text
from settings.placeholders import is_placeholder
from settings.problems import SettingsError
from tests.support.checkout import SOURCE


def _file(folder: Path, text: str) -> Path:
    file = folder / "variables"
    file.write_text(text)
    return file


class TestReading:
    def test_quotes_comments_and_export_mean_the_same_as_in_a_shell(self, tmp_path):
        text = "export A=1 # one\nB=\"two # words\"\nC='$A ${A}'\n\n# D=4\nE=\n"
        assert read_env_file(_file(tmp_path, text)) == {"A": "1", "B": "two # words", "C": "$A ${A}", "E": ""}

    def test_a_reference_is_to_the_file_and_never_to_this_machine(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOST_ONLY", "leaked")
        text = "USER_NAME=app\nURL=postgresql://${USER_NAME}:x@${DB_HOST:-db.example}/shop\n"
        assert read_env_file(_file(tmp_path, text))["URL"] == "postgresql://app:x@db.example/shop"
        with pytest.raises(SettingsError, match="HOST_ONLY"):
            read_env_file(_file(tmp_path, "A=${HOST_ONLY}\n"))

    # Beside those of the seeds' own examples in test_dotenv.py.
    @pytest.mark.parametrize("value", ["<token>", "PLACEHOLDER", "change-me", "sk-..."])
    def test_a_placeholder_is_recognised(self, value):
        assert is_placeholder(value)

    @pytest.mark.parametrize("value", ["pivotal", "s3xxxYyZ", "my_app", "redis://redis:6379", "postgresql://u:p@h:1/d"])
    def test_real_values_are_not_taken_for_placeholders(self, value):
        assert not is_placeholder(value)

    def test_a_malformed_line_is_reported_by_number_and_not_by_text(self, tmp_path):
        with pytest.raises(SettingsError, match=r":2: \(line\): found an invalid line") as caught:
            read_env_file(_file(tmp_path, "A=1\n= s3cret\n"))
        assert "s3cret" not in str(caught.value)


class TestEditing:
    @pytest.mark.parametrize("file", sorted(SOURCE.glob("Pulumi.*.yaml")), ids=lambda file: file.name)
    def test_a_shipped_stack_file_without_edits_stays_as_it_is(self, file):
        assert edited_text(file.read_text(), "dockyard:", {}) == file.read_text()

    def test_text_that_yaml_reads_as_another_type_is_quoted(self):
        text = edited_text(
            "config:\n  a:b: 1\n", "dockyard:", {("env", name): name for name in ("1", "true", "x: y", "z")}
        )
        assert yaml.safe_load(text)["config"]["dockyard:env"] == {name: name for name in ("1", "true", "x: y", "z")}

    def test_a_section_that_is_emptied_goes(self):
        text = "config:\n  dockyard:a: {b: {c: 1}}\n  dockyard:d: 1\n"
        assert edited_text(text, "dockyard:", {("a", "b", "c"): ABSENT}) == "config:\n  dockyard:d: 1\n"
