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


OPS = (
    "cloudflare_errors run_notes test_runner < events ports < pulumi_cli < state < session < inspect < deploy"
    " < alert_test backups cleanup crontab doctor dotenv drift state_commands < __main__"
)


def test_ops_imports_only_from_its_lower_layers():
    levels = {name: level for level, names in enumerate(OPS.split(" < ")) for name in names.split()}
    files = {file: file.relative_to(SOURCE / "ops").parts[0].removesuffix(".py") for file in SOURCE.glob("ops/**/*.py")}
    nodes = [(name, node) for file, name in files.items() for node in ast.walk(ast.parse(file.read_text()))]
    froms = [(name, node) for name, node in nodes if isinstance(node, ast.ImportFrom)]
    paths = [(name, f"{node.module}.{alias.name}".split(".")) for name, node in froms for alias in node.names]
    used = {(name, path[1]) for name, path in paths if path[0] == "ops" and path[1] != name}
    assert [(name, lower) for name, lower in used if levels[name] <= levels[lower]] == []
