"""The command line, tokens, and what the program tells of itself."""

import base64
import json
import signal
import subprocess
import uuid

import pytest

from tests.support.cloudflared import CLEAN, SECONDS, token_of
from tests.support.waiting import wait_until


@pytest.fixture
def ask(program):
    def asked(*arguments, **environment):
        return subprocess.run(
            [program, *arguments], env={**CLEAN, **environment}, capture_output=True, text=True, timeout=SECONDS
        )

    return asked


@pytest.mark.parametrize("asked", [["--no-autoupdate", "version"], ["--version"], ["-v"]])
def test_its_version_is_the_official_images_and_says_that_it_is_a_double(ask, asked):
    assert ask(*asked).stdout == "cloudflared version 2025.8.1 (built by Dockyard's image kit: a double)\n"


@pytest.mark.parametrize("wrong", ["never-base64", "bm8ganNvbg==", token_of(t="no-uuid"), token_of(s=5)])
def test_a_token_that_is_none_is_refused_in_the_official_words_and_not_repeated(ask, wrong):
    refused = ask("tunnel", "run", TUNNEL_TOKEN=wrong)
    assert refused.returncode == 255
    assert refused.stderr == "Provided Tunnel token is not valid.\nSee 'cloudflared tunnel run --help'.\n"


def test_it_is_ready_while_it_is_connected(connected):
    assert connected.ready().returncode == 0
    told = connected.inside("/ready")
    uuid.UUID(told.json().pop("connectorId"))
    assert (told.status_code, told.json()["status"], told.json()["readyConnections"]) == (200, 200, 4)
    assert connected.metric("cloudflared_tunnel_ha_connections") == 4


def test_a_tunnel_without_an_endpoint_stays_down(run):
    with run("--token", token_of()) as double:
        seen = double.ready()
        assert seen.returncode == 1
        assert f"http://{double.metrics}/ready endpoint returned status code 503\n" in seen.stderr
        assert '"status":503,"readyConnections":0' in seen.stderr
        assert double.visit("monitoring.example.org").status_code == 530
        assert "no way to Cloudflare" in double.log.read_text()


def test_it_loses_its_connections_with_the_endpoint_and_takes_them_up_again(connected, made, cloudflare):
    assert made.told()["status"] == "healthy"
    cloudflare.raw_answer = (502, b"<html>Bad gateway</html>")
    wait_until(lambda: connected.inside("/ready").status_code == 503, "it has lost its connections")
    cloudflare.raw_answer = None
    wait_until(lambda: connected.inside("/ready").status_code == 200, "it is connected again")
    assert connected.log.read_text().count("Connection terminated") == 1, "told once"


def test_its_token_is_in_nothing_that_it_says(connected, made):
    secret = json.loads(base64.b64decode(made.token))["s"]
    said = connected.log.read_text() + connected.inside("/metrics").text + connected.inside("/config").text
    assert secret not in said
    assert made.token not in said


def test_it_leaves_the_endpoint_when_it_is_stopped(connected, made):
    connected.process.send_signal(signal.SIGTERM)
    assert connected.process.wait(SECONDS) == 0
    assert made.told()["connections"] == []
    assert "Initiating graceful shutdown due to signal terminated ..." in connected.log.read_text()
