"""The kit's images that product images are built on: they behave in a build, and at run time, as the official ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.images.helpers import SOURCE, inside, once, running, wait_healthy
from tests.support.progress import Words
from toolchain.images import ensure_images
from toolchain.registry import stop_registry
from toolchain.workdir import WorkDir

MEMORY = {"/tmp": "", "/run": "", "/var/cache/nginx": ""}


@pytest.fixture(scope="module")
def bases(docker_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The three, with official registries that nobody can reach."""
    work = WorkDir(tmp_path_factory.mktemp("bases"))
    table = work.checkout / "components" / "images.yaml"
    table.parent.mkdir()
    shipped = (SOURCE / "components" / "images.yaml").read_text()
    table.write_text(shipped.replace("docker.io/", "127.0.0.1:9/"))
    yield ensure_images(work, Words().progress, docker_host, ["node", "nginx", "python"], None)
    stop_registry(work, Words().progress)


def test_node_takes_options_and_scripts_for_itself_and_runs_commands(bases, engine):
    assert once(engine, bases["node"], "--print", "1 + 1") == (0, "2\n")
    assert once(engine, bases["node"], "npm", "--version") == (0, "10.8.2\n")
    assert once(engine, bases["node"], "dumb-init", "id", "-u") == (0, "0\n")


def test_node_knows_languages_certificates_and_its_official_places(bases, engine):
    code = "[new Intl.NumberFormat('fr').format(1.5), require('tls').rootCertificates.length > 100, process.execPath]"
    said = once(engine, bases["node"], "--print", f"JSON.stringify({code})")
    assert said == (0, '["1,5",true,"/usr/local/bin/node"]\n')
    assert once(engine, bases["node"], "id", "-u", user="node") == (0, "1000\n")
    assert once(engine, bases["node"], "npm", "config", "get", "prefix") == (0, "/usr/local\n")


def test_nginx_serves_its_page_and_ends_at_its_own_signal(bases, engine):
    capabilities = ["CHOWN", "SETUID", "SETGID"]
    with running(engine, bases["nginx"], tmpfs=MEMORY, cap_add=capabilities) as container:
        wait_healthy(container, "wget -q -O - http://127.0.0.1/ | grep -q nginx")
        assert inside(container, "ps -o user,args | grep 'worker process$'")[1].startswith("nginx ")
        assert "GET / HTTP/1.1" in container.logs().decode()
        container.stop(timeout=20)
        container.reload()
        assert container.attrs["State"]["ExitCode"] == 0
        assert "SIGQUIT" in container.logs().decode()


def test_python_makes_environments_with_pip(bases, engine):
    command = "python -m venv /tmp/venv && /tmp/venv/bin/pip --version"
    code, said = once(engine, bases["python"], "sh", "-c", command, tmpfs={"/tmp": "exec"})
    assert code == 0, said
    assert "(python 3.13)" in said
