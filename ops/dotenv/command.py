"""Imports a product's `.env` file into a stack: plain settings into its file, and secrets encrypted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from machine.progress import Progress
from machine.workdir import WorkDir
from ops.dotenv.file import read_env_file
from ops.dotenv.plan import ImportPlan, Verdict
from ops.dotenv.rules import apply_rules
from ops.dotenv.stack_file import edited, edited_text
from ops.pulumi_cli import PulumiCli
from ops.session import prepare_pulumi
from settings.loader import NAMESPACE, Configuration, Settings, known_secrets, load, read_stack_file
from settings.problems import Problem, SettingsError, from_validation
from settings.product import Product

STYLES = {
    Verdict.SET: "green",
    Verdict.SECRET: "green",
    Verdict.ALREADY: "dim",
    Verdict.DIFFERS: "yellow",
    Verdict.SKIPPED: "yellow",
    Verdict.UNKNOWN: "red",
}


def import_env(work: WorkDir, file: Path, stack: str, progress: Progress, *, dry_run: bool = False) -> int:
    """Convert each variable of a dotenv file into a setting or secret of a stack, and print the outcome; return 0.

    Nothing is written before the whole plan is valid, and nothing at all with `dry_run`.
    Raises SettingsError if the file cannot be read or the settings reject a value.
    """
    variables = read_env_file(file)
    configuration = read_stack_file(work.checkout, stack)
    plan = _plan(work, stack, configuration, variables)
    apply_rules(plan)
    draft = _draft(work, configuration, plan, file)
    plan.drop_unused_secrets(known_secrets(draft.stack, draft.product))
    # Prepared at the first call only: most outcomes need no Pulumi.
    pulumi_cli = cache(lambda: prepare_pulumi(work, stack, progress))
    if plan.secrets.keys() & configuration.secrets:
        plan.drop_unchanged_secrets(_current_secrets(pulumi_cli()))
    if not dry_run and (plan.edits or plan.secrets):
        _write(work, stack, plan, pulumi_cli)
    _print(plan, draft, dry_run=dry_run)
    return 0


def _plan(work: WorkDir, stack: str, configuration: Configuration, variables: dict[str, str]) -> ImportPlan:
    settings = _load_leniently(work, stack, configuration, configuration.values)
    try:
        product = Product.model_validate(settings.release.product)
    except ValidationError as error:  # which the stack's overrides mend
        raise SettingsError(from_validation(error, Product, lambda *_: settings.files.product)) from error
    return ImportPlan(
        stack_name=stack,
        stack=settings.stack,
        product=product,
        effective=settings.product,
        files=settings.files,
        variables=variables,
    )


def _load_leniently(work: WorkDir, stack: str, configuration: Configuration, values: Any) -> Settings:
    """Load settings even if secrets are missing: the dotenv file may provide them."""
    lenient = Configuration({**values, "preview_without_secrets": True}, configuration.secrets)
    return load(lenient, stack, checkout=work.checkout, preview=True)


def _draft(work: WorkDir, configuration: Configuration, plan: ImportPlan, file: Path) -> Settings:
    """Return the settings after the import. Raises SettingsError that names the variables at fault."""
    try:
        return _load_leniently(work, plan.stack_name, configuration, edited(configuration.values, plan.edits))
    except SettingsError as error:
        raise SettingsError([_name_variable(problem, plan, file) for problem in error.problems]) from None


def _name_variable(problem: Problem, plan: ImportPlan, file: Path) -> Problem:
    """Name the variable that causes a problem: the stack file has no line for it yet."""
    for path, variable in plan.edited_by.items():
        full_path = f"config.{NAMESPACE}{'.'.join(path)}"
        if problem.path == full_path or full_path.startswith(f"{problem.path}."):
            return replace(problem, line=None, remedy=f"It comes from {variable} in {file}. {problem.remedy}".strip())
    return problem


def _current_secrets(pulumi_cli: PulumiCli) -> dict[str, str]:
    config = pulumi_cli.read("config", "--show-secrets", "--json")
    return {
        name.removeprefix(NAMESPACE): entry.get("value", "")
        for name, entry in config.items()
        if name.startswith(NAMESPACE) and entry.get("secret")
    }


def _write(work: WorkDir, stack: str, plan: ImportPlan, pulumi_cli: Callable[[], PulumiCli]) -> None:
    """Write settings and secrets. If that fails, restore the stack file."""
    file = work.checkout / plan.stack_file
    if plan.secrets:
        pulumi_cli()  # prepared before the file changes
    before = file.read_text()
    try:
        if plan.edits:
            file.write_text(edited_text(before, NAMESPACE, plan.edits))
        for name, secret in plan.secrets.items():
            # On stdin a secret is invisible in process lists.
            pulumi_cli().run("config set", "--secret", f"{NAMESPACE}{name}", stdin=secret.value)
    except BaseException:  # also if interrupted: restore the file, then re-raise
        file.write_text(before)
        raise


def _print(plan: ImportPlan, draft: Settings, *, dry_run: bool) -> None:
    console = Console(highlight=False)
    table = Table(title=f"{plan.stack_file}, from {len(plan.variables)} variables")
    for heading in ("variable", "", "result"):
        table.add_column(heading, no_wrap=heading == "variable", overflow="fold")
    previous = ""
    for row in plan.sorted_rows():
        # `Text`, so that brackets in a value are not markup.
        variable = row.variable if row.variable != previous else ""
        table.add_row(Text(variable), Text(row.verdict, STYLES[row.verdict]), Text(row.text))
        previous = row.variable
    console.print(table)
    for problem in draft.missing_secrets:
        if problem.path.removeprefix(f"config.{NAMESPACE}") not in plan.secrets:
            console.print(f"Still missing: {problem.expected}. {problem.remedy}", markup=False, soft_wrap=True)
    if dry_run:
        console.print("Nothing was written: --dry-run.")
