"""Imports point one way: each package imports only from the packages that are listed for it."""

import ast

from tests.support.checkout import SOURCE

BELOW = {
    "settings": set(),
    "dashboards": {"settings"},
    "runtime": {"settings"},
    "components": {"runtime", "settings"},
    "program": {"components", "dashboards", "runtime", "settings"},
    "machine": set(),
    "offline": {"dashboards", "machine", "settings"},  # the kit's Grafana checks dashboards
    "toolchain": {"machine", "offline", "settings"},
    "policy": {"runtime"},
    "ops": {"components", "machine", "policy", "program", "runtime", "settings", "toolchain"},
}


def imports(package: str) -> set[str]:
    trees = [ast.parse(file.read_text()) for file in (SOURCE / package).rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    modules = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    modules += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return {module.partition(".")[0] for module in modules} - {package}


def test_packages_import_only_from_packages_below_them():
    assert {package: imports(package) & BELOW.keys() - below for package, below in BELOW.items()} == {
        package: set() for package in BELOW
    }


def test_only_the_runtime_knows_the_docker_provider():
    assert [package for package in BELOW if "pulumi_docker" in imports(package)] == ["runtime"]
