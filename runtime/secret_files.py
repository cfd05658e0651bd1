"""Secrets from the stack's configuration, as files of a container, and the variables that name the files."""

from collections.abc import Mapping

import pulumi

SECRETS_FOLDER = "/run/secrets"


def file_variables(names: Mapping[str, object]) -> dict[str, str]:
    """Return the `*_FILE` variables that name the secret files."""
    return {f"{variable_name(name)}_FILE": f"{SECRETS_FOLDER}/{name}" for name in sorted(names)}


def variable_name(secret: str) -> str:
    """Return the name of a secret's variable: `app-key` becomes APP_KEY."""
    return secret.upper().replace("-", "_")


def required_secret(name: str) -> pulumi.Output[str]:
    """Return a secret whose presence the settings have checked; empty in a preview that continues without secrets."""
    return pulumi.Config("dockyard").get_secret(name) or pulumi.Output.secret("")
