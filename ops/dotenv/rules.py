"""Maps the variables of the products' `.env` files to settings and secrets."""

from __future__ import annotations

from collections.abc import Iterable

from ops.dotenv.plan import ImportPlan, Verdict
from ops.dotenv.receivers import HINTS, receivers
from ops.dotenv.stack_file import ABSENT
from ops.dotenv.stores import postgres, redis
from settings.base import secret_refs

ENVIRONMENTS = {"dev": "development", "stage": "staging", "prod": "production"}
SWITCH = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
GRAFANA_PASSWORD = "grafana-admin-password"  # noqa: S105 - its name
TUNNEL_TOKEN = "tunnel-token"  # noqa: S105 - its name


def apply_rules(plan: ImportPlan) -> None:
    """Decide the outcome of every variable of the plan."""
    plan.skip_empty_and_placeholders()
    product_secrets = plan.product.secrets
    for name, value in plan.variables.items():
        if secret_name(name) in product_secrets and plan.value(name) is not None:
            plan.secret(name, secret_name(name), value)
    for rule in (_environment, _grafana, receivers, _tunnel, postgres, redis, _port, _migrations):
        rule(plan)
    _switch(plan, "BUILD_FRONTEND", {"frontend"} & plan.product.services.keys())
    sections = [plan.stack, plan.effective.postgres, plan.effective.redis, plan.effective.edge]
    secret_names = {GRAFANA_PASSWORD, *(name for name, _ in secret_refs(sections))}
    for name, value in plan.variables.items():
        if plan.value(name) is None:
            continue
        if secret_name(name) in secret_names:
            plan.secret(name, secret_name(name), value)
        elif any(name in workload.env for workload in plan.product.workloads.values()):
            _env(plan, name, value)
        else:
            plan.add_row(name, Verdict.UNKNOWN, _hint(plan, name))


def secret_name(variable: str) -> str:
    """Return the name of the secret for a variable: `JWT_SECRET` → `jwt-secret`."""
    return variable.lower().replace("_", "-")


def _environment(plan: ImportPlan) -> None:
    if (value := plan.value("ENVIRONMENT")) is not None:
        full_name = ENVIRONMENTS.get(value, value)
        if full_name in ("development", "staging", "production"):
            plan.setting("ENVIRONMENT", ("environment",), full_name, plan.stack.environment)
        else:
            plan.add_row("ENVIRONMENT", Verdict.SKIPPED, "not one of development, staging and production")
    if (suffix := plan.value("ENV_SUFFIX")) is not None:
        if ENVIRONMENTS.get(suffix, suffix) == plan.environment:
            plan.add_row("ENV_SUFFIX", Verdict.ALREADY, "container names contain the product and the stack")
        else:
            text = f"the environment is {plan.environment}; names do not contain it"
            plan.add_row("ENV_SUFFIX", Verdict.DIFFERS, text)


def _grafana(plan: ImportPlan) -> None:
    grafana = plan.effective.monitoring.grafana
    if (user := plan.value("GF_SECURITY_ADMIN_USER")) is not None:
        plan.setting("GF_SECURITY_ADMIN_USER", ("monitoring", "grafana", "admin_user"), user, grafana.admin_user)
    if (password := plan.value("GF_SECURITY_ADMIN_PASSWORD")) is not None:
        plan.secret("GF_SECURITY_ADMIN_PASSWORD", GRAFANA_PASSWORD, password)
    if (url := plan.value("GRAFANA_ROOT_URL")) is not None:
        url = url.rstrip("/")
        hostname = plan.stack.tunnel.hostname if plan.stack.tunnel else None
        if grafana.root_url is None and url == f"https://{hostname}":
            plan.add_row("GRAFANA_ROOT_URL", Verdict.ALREADY, f"tunnel.hostname: {hostname}, from {plan.stack_file}")
        else:
            current = grafana.root_url.rstrip("/") if grafana.root_url else None
            plan.setting("GRAFANA_ROOT_URL", ("monitoring", "grafana", "root_url"), url, current)


def _tunnel(plan: ImportPlan) -> None:
    tunnel = plan.stack.tunnel
    token, domain = plan.value("CLOUDFLARE_TUNNEL_TOKEN"), plan.value("GRAFANA_PUBLIC_DOMAIN")
    variable = "CLOUDFLARE_TUNNEL_TOKEN"
    if token is not None:
        # The shipped stacks have zeros in place of an account id.
        if tunnel and tunnel.account_id and tunnel.account_id.strip("0"):
            text = (
                "not used: Dockyard creates this stack's tunnel. To use the token, replace the other keys with `token`"
            )
            plan.add_row(variable, Verdict.DIFFERS, f"{text} in {plan.stack_file}")
        else:
            for key in ("account_id", "zone_id", "name") if tunnel and tunnel.account_id else ():
                plan.edit(variable, ("tunnel", key), ABSENT)
            current = tunnel.token if tunnel else None
            plan.named_secret(variable, ("tunnel", "token"), current or TUNNEL_TOKEN, token, current)
    if domain is not None:
        if tunnel or ("tunnel", "token") in plan.edits:
            current = tunnel.hostname if tunnel else None
            plan.setting("GRAFANA_PUBLIC_DOMAIN", ("tunnel", "hostname"), domain, current)
        else:
            text = "this stack has no tunnel: set CLOUDFLARE_TUNNEL_TOKEN too, or `dockyard:tunnel`"
            plan.add_row("GRAFANA_PUBLIC_DOMAIN", Verdict.SKIPPED, text)


def _port(plan: ImportPlan) -> None:
    if (value := plan.value("PORT")) is None:
        return
    ports = {name: service.port for name, service in plan.product.services.items() if service.port}
    if listening := [name for name, port in ports.items() if str(port) == value]:
        paths = " and ".join(f"services.{name}.port" for name in listening)
        plan.add_row("PORT", Verdict.ALREADY, f"{paths}: {value}, from {plan.stack.product}")
    else:
        have = ", ".join(f"services.{name}.port is {port}" for name, port in ports.items())
        plan.add_row("PORT", Verdict.DIFFERS, f"{have or 'no service has a port'}: change it in {plan.stack.product}")


def _migrations(plan: ImportPlan) -> None:
    """Enable or disable the migration jobs: one-shot jobs that dump the database before they run."""
    jobs = [name for name, job in plan.product.jobs.items() if job.schedule is None and job.dumps_before]
    within = [name for name, service in plan.product.services.items() if service.dump_before]
    value = plan.value("RUN_MIGRATIONS")
    if not jobs and within and value is not None:
        verdict = Verdict.ALREADY if SWITCH.get(value.lower()) else Verdict.SKIPPED
        text = f"the image of {' and '.join(within)} runs its migrations when it starts"
        plan.add_row("RUN_MIGRATIONS", verdict, text)
        return
    _switch(plan, "RUN_MIGRATIONS", jobs)


def _switch(plan: ImportPlan, variable: str, workloads: Iterable[str]) -> None:
    value = plan.value(variable)
    if value is None:
        return
    enabled = SWITCH.get(value.lower())
    if enabled is None:
        plan.add_row(variable, Verdict.SKIPPED, "neither true nor false")
        return
    for name in workloads:
        override = plan.stack.services.get(name)
        overridden = override.enabled if override else None
        path = ("services", name, "enabled")
        plan.override(variable, path, enabled, plan.product.workloads[name].enabled, overridden)


def _env(plan: ImportPlan, name: str, value: str) -> None:
    """Override the variable in each workload that has it in its `env`."""
    for workload_name, workload in plan.product.workloads.items():
        if name in workload.env:
            override = plan.stack.services.get(workload_name)
            overridden = override.env.get(name) if override else None
            plan.override(name, ("services", workload_name, "env", name), value, workload.env[name], overridden)


def _hint(plan: ImportPlan, name: str) -> str:
    for prefix, text in HINTS.items():
        if name.startswith(prefix):
            return text
    for store, names in {"Postgres": ("DATABASE_URL", "DATA_SOURCE_NAME", "POSTGRES_"), "Redis": ("REDIS_",)}.items():
        if name.startswith(names) and getattr(plan.product, store.lower()) is None:
            return f"{plan.product.name} has no {store}"
    if name == "BUILD_FRONTEND":
        return f"{plan.product.name} has no service called frontend"
    if name == "RUN_MIGRATIONS":
        return f"{plan.product.name} has no migration job"
    return f"to import it, add it to `env` or `secrets` of a service in {plan.stack.product}"
