"""The command line, tokens, and what the program tells of itself."""

import base64
import json
import signal
import subprocess
import threading
import uuid

import httpx
import pytest

from tests.kit_cloudflared.conftest import CLEAN, SECONDS, token_of, wait_until


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


def test_its_version_can_be_had_alone(ask):
    assert ask("version", "--short").stdout == "2025.8.1\n"


@pytest.mark.parametrize("wrong", ["never-base64", "bm8ganNvbg==", token_of(t="no-uuid"), token_of(s=5)])
def test_a_token_that_is_none_is_refused_in_the_official_words_and_not_repeated(ask, wrong):
    refused = ask("tunnel", "run", TUNNEL_TOKEN=wrong)
    assert refused.returncode == 255
    assert refused.stderr == "Provided Tunnel token is not valid.\nSee 'cloudflared tunnel run --help'.\n"


def test_a_token_comes_from_option_variable_and_file_in_this_order(run, tmp_path):
    tunnels = {name: str(uuid.uuid4()) for name in ("option", "variable", "file")}
    tokens = {name: token_of(t=tunnel) for name, tunnel in tunnels.items()}
    file = tmp_path / "token"
    file.write_text(f"{tokens['file']}\n")
    from_file = {"TUNNEL_TOKEN_FILE": str(file)}
    from_both = {**from_file, "TUNNEL_TOKEN": tokens["variable"]}
    for arguments, environment, expected in (
        (["--token", tokens["option"]], from_both, "option"),
        ([], from_both, "variable"),
        ([], from_file, "file"),
        (["--token-file", str(file)], {}, "file"),
    ):
        with run(*arguments, environment=environment) as double:
            assert f"Starting tunnel tunnelID={tunnels[expected]}\n" in double.log.read_text()


def test_a_token_file_that_cannot_be_read_is_told(ask, tmp_path):
    refused = ask("tunnel", "run", TUNNEL_TOKEN_FILE=str(tmp_path / "none"))
    assert refused.returncode == 255
    assert refused.stderr.startswith("Failed to read token file: open ")


def test_without_a_token_it_does_not_run(ask):
    refused = ask("tunnel", "run")
    assert refused.returncode == 255
    assert '"cloudflared tunnel run" requires' in refused.stderr


@pytest.mark.parametrize(
    "arguments", [["tunnel", "--protocol", "quic", "run"], ["tunnel", "list"], ["access"], ["tunnel"]]
)
def test_what_it_does_not_know_it_refuses(ask, arguments):
    refused = ask(*arguments)
    assert refused.returncode == 1
    assert refused.stderr


def test_ready_needs_an_address_and_somebody_there(ask):
    assert ask("tunnel", "ready").stderr == "--metrics has to be provided\n"
    assert ask("tunnel", "--metrics", "127.0.0.1:9", "ready").returncode == 1


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
    wait_until(lambda: connected.inside("/ready").status_code == 503)
    cloudflare.raw_answer = None
    wait_until(lambda: connected.inside("/ready").status_code == 200)
    assert connected.log.read_text().count("Connection terminated") == 1, "told once"


def test_a_deleted_tunnel_connects_nobody(run, made):
    assert made.api.delete(made.path).is_success
    with run("--token", made.token) as double:
        wait_until(lambda: "Unauthorized: [{Tunnel not found}]" in double.log.read_text())
        assert double.ready().returncode == 1


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


@pytest.mark.parametrize(("grace", "served"), [("30s", True), ("300ms", False)])
def test_a_request_in_flight_is_waited_for_as_long_as_the_grace_period(run, made, service, grace, served):
    made.route({"service": service.url})
    answers = []

    def visit():
        try:
            answers.append(double.visit("any.example.org", "/slow").status_code)
        except httpx.TransportError as error:
            answers.append(error)

    with run("--token", made.token, options=["--grace-period", grace]) as double:
        wait_until(lambda: double.inside("/config").json()["version"] == 1)
        visitor = threading.Thread(target=visit)
        visitor.start()
        assert service.reached.wait(SECONDS)
        double.process.send_signal(signal.SIGINT)
        if served:
            wait_until(lambda: "Initiating graceful" in double.log.read_text())
            service.may_answer.set()
        assert double.process.wait(SECONDS) == 0
        visitor.join()
    assert (answers == [200]) == served
