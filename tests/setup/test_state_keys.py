"""What opens the secrets of a shared state: a passphrase, or a key in a KMS."""

import pytest

from machine.progress import SetupError
from tests.setup.team import STACK_FILE, Team, client
from toolchain.environment import full_environment
from toolchain.stacks import ensure_stack


def test_without_a_passphrase_or_a_key_nothing_is_made_there(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE")
    with pytest.raises(SetupError, match="no passphrase or key is configured") as told:
        ensure_stack(team.work, "dev", full_environment(team.work))
    assert "docs/state.md" in told.value.remedy
    assert "region=" not in told.value.message, "the address is told without its options"
    assert team.store.keys("") == []


def test_a_key_in_a_kms_encrypts_a_new_stack_and_the_stack_file_says_so(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE")
    url = kms_key(team)
    file = team.work.checkout / "Pulumi.dev.yaml"
    file.write_text(f"{STACK_FILE}secretsprovider: {url}\n")
    assert team.up() == {"created": 1}
    assert file.read_text().startswith(f"{STACK_FILE}secretsprovider: {url}\nencryptedkey: ")
    written = file.read_text()
    assert team.up() == {}
    assert file.read_text() == written
    check_opened_by(team, url)


def test_a_passphrase_gives_way_to_a_key_in_a_kms(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    team.up()
    url = kms_key(team)
    changed = team.pulumi("stack", "change-secrets-provider", url, "--stack", "dev")
    assert changed.returncode == 0, changed.stderr
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE")
    assert team.up() == {}
    check_opened_by(team, url)


def kms_key(team: Team) -> str:
    made = client(team.endpoint, "kms").create_key()["KeyMetadata"]["KeyId"]
    return f"awskms:///{made}?region=eu-west-3&endpoint={team.endpoint}"


def check_opened_by(team: Team, key: str) -> None:
    assert f"secrets      {key}" in team.verb("show", "dev").output
    opened = team.pulumi("stack", "output", "password", "--show-secrets", "--stack", "dev")
    assert opened.stdout.strip() == "hush-hush-hush"
