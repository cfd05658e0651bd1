"""The kit's images that product images are built on: they behave in a build, and at run time, as the official ones."""

from __future__ import annotations

from tests.support.containers import inside, once, running, stop_and_exit_code, wait_healthy

MEMORY = {"/tmp": "", "/run": "", "/var/cache/nginx": ""}


def test_node_takes_options_and_scripts_for_itself_and_runs_commands(kit, engine):
    assert once(engine, kit["node"], "--print", "1 + 1") == (0, "2\n")
    assert once(engine, kit["node"], "npm", "--version") == (0, "10.8.2\n")
    assert once(engine, kit["node"], "dumb-init", "id", "-u") == (0, "0\n")


def test_node_knows_languages_certificates_and_its_official_places(kit, engine):
    code = "[new Intl.NumberFormat('fr').format(1.5), require('tls').rootCertificates.length > 100, process.execPath]"
    said = once(engine, kit["node"], "--print", f"JSON.stringify({code})")
    assert said == (0, '["1,5",true,"/usr/local/bin/node"]\n')
    assert once(engine, kit["node"], "id", "-u", user="node") == (0, "1000\n")
    assert once(engine, kit["node"], "npm", "config", "get", "prefix") == (0, "/usr/local\n")


def test_nginx_serves_its_page_and_ends_at_its_own_signal(kit, engine):
    capabilities = ["CHOWN", "SETUID", "SETGID"]
    with running(engine, kit["nginx"], tmpfs=MEMORY, cap_add=capabilities) as container:
        wait_healthy(container, "wget -q -O - http://127.0.0.1/ | grep -q nginx")
        assert inside(container, "ps -o user,args | grep 'worker process$'")[1].startswith("nginx ")
        assert "GET / HTTP/1.1" in container.logs().decode()
        assert stop_and_exit_code(container) == 0
        assert "SIGQUIT" in container.logs().decode()


def test_python_makes_environments_with_pip(kit, engine):
    command = "python -m venv /tmp/venv && /tmp/venv/bin/pip --version"
    code, said = once(engine, kit["python"], "sh", "-c", command, tmpfs={"/tmp": "exec"})
    assert code == 0, said
    assert "(python 3.13)" in said
