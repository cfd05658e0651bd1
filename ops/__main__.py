"""The `dockyard` command."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import docker
import requests
import typer

from machine.progress import Progress, SetupError
from machine.workdir import WorkDir
from ops import test_runner
from ops.alert_test import alert_test as test_receivers
from ops.backups import command as backup_commands
from ops.backups.point_in_time import restore_at
from ops.cleanup import cleanup as clean_up
from ops.crontab import crontab as cron_lines
from ops.deploy import up as deploy
from ops.deploy.down import down as take_down
from ops.deploy.restart import restart as restart_stack
from ops.deploy.rollback import rollback as roll_back
from ops.inspect import show
from ops.inspect.amtool import amtool as run_amtool
from ops.inspect.verify import verify as verify_stack
from ops.session import bootstrap, prepare_tools
from ops.state_commands import app as state_commands
from settings.problems import SettingsError
from settings.schema import write_schemas
from toolchain.docker_engine import stop_engine
from toolchain.environment import discard_foreign_environment, environment

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(state_commands, name="state")
Stack = Annotated[str, typer.Argument(help="A stack: dev, staging, production, or a product's own.")]
Service = Annotated[str | None, typer.Argument(help="One service of the stack, with its replicas. Default: all.")]
Workload = Annotated[str | None, typer.Argument(help="One service or job of the product. Default: the whole stack.")]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
Place = Annotated[str, typer.Option("--from", help="Where to read the backup: volume or s3.")]


@app.command()
def up(stack: Stack, service: Workload = None) -> None:
    """Set up what is missing, and deploy a stack as its files describe it.

    With a service: deploy only that one, and the jobs that must run before it; everything else stays unchanged.
    """
    raise typer.Exit(deploy.up(WorkDir(), stack, service, Progress()))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def preview(context: typer.Context, stack: Stack, service: Workload = None) -> None:
    """Show what `up` would change. Further options go to `pulumi preview`."""
    options = list(context.args)
    if service and service.startswith("-"):
        # An option of Pulumi in the position of the service argument.
        options.insert(0, service)
        service = None
    raise typer.Exit(deploy.preview(WorkDir(), stack, service, options, Progress(quiet=True)))


@app.command()
def down(
    stack: Stack,
    service: Workload = None,
    volumes: Annotated[bool, typer.Option("--volumes", help="Delete the data volumes too.")] = False,
    yes: Yes = False,
    yes_delete_data: Annotated[
        str,
        typer.Option(metavar="STACK", help="With --volumes: delete protected data too; the stack's name."),
    ] = "",
) -> None:
    """Remove everything that a stack created; its data stays unless --volumes is given.

    If data is protected, as in staging and production, --volumes asks for the stack's name.
    With a service: remove only that one; the next `up` creates it again. The edge is down for seconds.
    To remove it for good: services: {NAME: {enabled: false}} in the stack file.
    """
    raise typer.Exit(take_down(WorkDir(), stack, service, Progress(), volumes=volumes, yes=yes, named=yes_delete_data))


@app.command()
def restart(stack: Stack, service: Service = None) -> None:
    """Restart containers one after the other, and wait for each: data stores first, the edge proxy last."""
    raise typer.Exit(restart_stack(WorkDir(), stack, service, Progress()))


@app.command()
def rollback(stack: Stack) -> None:
    """Return to the last good release that differs from the running one: images, settings, files.

    Data and migrations are not rolled back. The stack's files do not change: the next `up` deploys them again.
    """
    raise typer.Exit(roll_back(WorkDir(), stack, Progress()))


@app.command()
def status(stack: Stack) -> None:
    """Show what runs: health, uptime, restarts, memory, address. Exit code 1 if something is unhealthy."""
    raise typer.Exit(show.show_status(WorkDir(), stack, Progress(quiet=True)))


@app.command()
def verify(
    stack: Stack,
    within: Annotated[int, typer.Option(help="Seconds to wait until everything is healthy.")] = 180,
) -> None:
    """Check that a stack works: containers, scrape targets, probes, critical alerts. Exit code 1 if it does not."""
    raise typer.Exit(verify_stack(WorkDir(), stack, Progress(quiet=True), within=within))


@app.command()
def drift(
    stack: Stack,
    fix: Annotated[bool, typer.Option("--fix", help="Repair what drifted, then compare again.")] = False,
    as_json: Json = False,
) -> None:
    """Compare what runs with what was declared. Exit code 0, 1 if something drifted, 2 if it could not be checked."""
    from ops.drift.command import drift as find_drift  # noqa: PLC0415 - what it needs would slow every command

    raise typer.Exit(find_drift(WorkDir(), stack, Progress(quiet=True), fix=fix, as_json=as_json))


@app.command()
def doctor(
    stack: Stack,
    as_json: Json = False,
    cis: Annotated[bool, typer.Option(help="Check the CIS benchmark too; before a deploy use --no-cis.")] = True,
) -> None:
    """Check machine, Docker engine, settings and containers, also by the CIS Docker Benchmark; change nothing.

    Exit code 0, 1 if a check failed, 2 if a check could not be completed.
    """
    from ops.doctor.command import doctor as examine  # noqa: PLC0415 - nothing else needs it

    raise typer.Exit(examine(WorkDir(), stack, Progress(quiet=True), as_json=as_json, benchmark=cis))


@app.command()
def backup(
    stack: Stack,
    store: Annotated[str | None, typer.Argument(help="postgres, redis or monitoring. Default: all.")] = None,
) -> None:
    """Take a backup now. Exit code 1 if the backup of a store fails; earlier backups are kept."""
    raise typer.Exit(backup_commands.backup(WorkDir(), stack, store, Progress(quiet=True)))


@app.command()
def backups(stack: Stack) -> None:
    """List the backups: name, time, size, whether they were verified, where they are stored."""
    raise typer.Exit(backup_commands.backups(WorkDir(), stack, Progress(quiet=True)))


@app.command()
def restore(
    stack: Stack,
    file: Annotated[str | None, typer.Argument(help="latest, a name or id of `backups`, or a dump file.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Name of the new database.")] = None,
    swap: Annotated[bool, typer.Option("--swap", help="Replace the product's database with it.")] = False,
    at: Annotated[str | None, typer.Option("--at", help="Restore Postgres to this point in time.")] = None,
    store: Annotated[str, typer.Option(help="postgres or redis.")] = "postgres",
    place: Place = "volume",
    yes: Yes = False,
) -> None:
    """Restore a backup into a new database, completely or not at all; only --swap changes the product's own.

    Without FILE, --swap uses a database that was restored before.
    """
    if at is not None:
        if file is not None or swap:
            raise SetupError("--at excludes FILE and --swap", "check the new database first, then use --to NAME --swap")
        raise typer.Exit(restore_at(WorkDir(), stack, at, to, Progress(quiet=True), store=store))
    code = backup_commands.restore(
        WorkDir(), stack, file, Progress(quiet=True), store=store, to=to, swap=swap, place=place, yes=yes
    )
    raise typer.Exit(code)


@app.command()
def restore_drill(stack: Stack, place: Place = "volume") -> None:
    """Restore the latest backup into a throwaway Postgres, check all of it, and print how long it took.

    Exit code 1 if it cannot be restored, differs from its source, or exceeds `backups.drill.rto`.
    """
    raise typer.Exit(backup_commands.drill(WorkDir(), stack, Progress(quiet=True), place=place))


@app.command()
def logs(
    stack: Stack,
    service: Service = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow the logs.")] = False,
    tail: Annotated[int, typer.Option(help="Number of last lines of each service.")] = 50,
) -> None:
    """Show the logs of services."""
    raise typer.Exit(show.logs(WorkDir(), stack, service, follow=follow, tail=tail, progress=Progress(quiet=True)))


@app.command()
def secret(stack: Stack, name: Annotated[str, typer.Argument(help="Name of the secret.")]) -> None:
    """Print one secret of a stack, for instance grafana-admin-password."""
    secrets = show.secrets_of(WorkDir(), stack, Progress(quiet=True))
    if name not in secrets:
        names = ", ".join(sorted(secrets))
        raise SetupError(f"the stack {stack} has no secret {name}", f"It has: {names or 'none before its first up'}")
    typer.echo(secrets[name])


@app.command()
def alert_test(
    stack: Stack, receiver: Annotated[str | None, typer.Argument(help="One receiver. Default: all.")] = None
) -> None:
    """Send a test message to the receivers of alerts, and print the results.

    Exit code 1 if one of them could not be reached.
    """
    raise typer.Exit(test_receivers(WorkDir(), stack, receiver, Progress(quiet=True)))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def amtool(context: typer.Context, stack: Stack) -> None:
    """Run amtool in the stack's Alertmanager: silences, alerts, routes. All further arguments go to it."""
    raise typer.Exit(run_amtool(WorkDir(), stack, context.args, Progress(quiet=True)))


@app.command()
def cleanup(
    older_than: Annotated[str, typer.Option(metavar="DURATION", help="Keep everything younger.")] = "7d",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the result and remove nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Remove Dockyard's unused images, containers, networks and build cache; keep what a rollback needs.

    Volumes, and everything that Dockyard did not create, stay.
    """
    raise typer.Exit(clean_up(WorkDir(), Progress(quiet=True), older_than=older_than, dry_run=dry_run, as_json=as_json))


@app.command()
def crontab(stack: Stack) -> None:
    """Print lines for cron on the stack's host: drift every hour, clean-up every week. docs/cleanup.md."""
    for line in cron_lines(WorkDir(), stack):
        typer.echo(line)


@app.command()
def env() -> None:
    """Print what a shell needs for plain `pulumi` commands: eval "$(./dockyard env)"."""
    work = WorkDir()
    prepare_tools(work, Progress(quiet=True))
    for name, value in environment(work).items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def setup(stack: Stack) -> None:
    """Set up what is missing for a stack, and deploy nothing yet."""
    bootstrap(WorkDir(), stack, Progress())


@app.command()
def env_import(
    file: Annotated[Path, typer.Argument(help="A file of NAME=value lines.")],
    stack: Stack,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the result, and write nothing.")] = False,
) -> None:
    """Turn each variable of a .env file into the stack's setting or secret; list the unknown ones."""
    from ops.dotenv.command import import_env  # noqa: PLC0415 - its YAML editor would slow the start of every command

    raise typer.Exit(import_env(WorkDir(), file, stack, Progress(quiet=True), dry_run=dry_run))


@app.command()
def schema() -> None:
    """Render the JSON Schemas of stack and product files."""
    for file in write_schemas(WorkDir().checkout):
        typer.echo(file)


@app.command()
def stop() -> None:
    """Stop this checkout's private Docker engine, with all that runs in it, and its local registry."""
    work, progress = WorkDir(), Progress()
    stop_engine(work, progress)


@app.command()
def test(
    parts: Annotated[list[str] | None, typer.Argument(help="lint, unit, rules, alerts, setup … Default: all.")] = None,
    seed: Annotated[int | None, typer.Option(help="Repeat the order of an earlier run.")] = None,
) -> None:
    """Run the tests: all of them, or the parts named. `soak` among them runs the full, long form."""
    raise typer.Exit(test_runner.run(WorkDir(), parts or [], Progress(), seed=seed))


def main() -> None:
    """Run the command. An error that the user can fix is printed as a message, without a traceback."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    discard_foreign_environment(WorkDir())
    code = 1
    try:
        app()
    except KeyboardInterrupt:
        message, code = "interrupted", 130
    except SettingsError as error:
        message, code = str(error), 2
    except SetupError as error:
        Progress().tell(error)
        sys.exit(code)
    except docker.errors.DockerException as error:
        message = f"Docker: {error}"
    except requests.RequestException as error:
        # docker-py does not wrap these: the engine closed the connection, or did not answer in time.
        message = f"the Docker engine does not answer ({error}); restart it, then run this again"
    except subprocess.CalledProcessError as error:
        message = f"{shlex.join(error.cmd)} failed:\n{error.stderr or error.stdout}"
    else:
        return
    typer.echo(message, err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
