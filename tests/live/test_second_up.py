"""The second `up`, plain `pulumi`, and previews: nothing changes, and quickly."""

import subprocess

import pytest

# How quick is quick is told against the first `up` of the same run, since machines differ and are busy at times. On two
# idle cores, with caches, that takes 30 to 40 s, an `up` that changes nothing 5 s and a preview 3 s.


def test_a_second_up_changes_nothing_and_is_quick(dev, first_up):
    again = dev.dockyard("up", "dev")
    assert again.code == 0
    assert "\n0 changes in" in again.output
    assert again.seconds <= first_up.seconds / 2


def test_a_preview_with_refresh_is_clean_twice_in_a_row(dev):
    for _ in range(2):
        seen = dev.pulumi("preview", "-s", "dev", "--refresh", "--expect-no-changes", "--non-interactive")
        assert seen.code == 0, seen.output


def test_a_plain_preview_that_changes_nothing_is_quick(dev, first_up):
    runs = [dev.pulumi("preview", "-s", "dev", "--expect-no-changes", "--non-interactive") for _ in range(5)]
    assert all(run.code == 0 for run in runs)
    assert sorted(run.seconds for run in runs)[2] <= first_up.seconds / 4


def test_a_plain_up_changes_nothing(dev):
    done = dev.pulumi("up", "-s", "dev", "--yes", "--skip-preview", "--expect-no-changes", "--non-interactive")
    assert done.code == 0, done.output


@pytest.mark.parametrize("stack", ["staging", "production"])
def test_the_other_environments_can_be_previewed_with_their_tunnel(stack, dev):
    seen = dev.dockyard("preview", stack)
    assert seen.code == 0, seen.output
    assert "cloudflare:index:ZeroTrustTunnelCloudflared " in seen.output
    assert "cloudflare:index:DnsRecord " in seen.output
    assert "to create" in seen.output
    assert "dockyard:discord-critical" in seen.output, "the missing secrets are told"


def test_an_up_without_its_secrets_is_refused_before_anything_is_made(dev):
    refused = dev.dockyard("up", "production")
    assert refused.code == 2
    assert "pulumi config set --secret dockyard:discord-critical -s production" in refused.output


def test_git_still_sees_no_change(dev):
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=dev.folder, capture_output=True, text=True, check=True
    )
    assert status.stdout == ""
