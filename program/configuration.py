"""The settings of the current stack, read from Pulumi's configuration."""

import pulumi
from pulumi.runtime import config as engine_config

from program.preflight import check_receiver_secrets
from settings.loader import Settings, from_pulumi_config, load
from settings.problems import SettingsError


def load_settings() -> Settings:
    """Return the settings of the current stack from Pulumi's configuration.

    Raises pulumi.RunError with every problem, before any resource is created.
    """
    values = engine_config.CONFIG.get() or engine_config.get_config_env()
    configuration = from_pulumi_config(values, frozenset(filter(engine_config.is_config_secret, values)))
    try:
        settings = load(configuration, pulumi.get_stack(), preview=pulumi.runtime.is_dry_run())
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from error
    for problem in settings.missing_secrets:
        pulumi.log.warn(f"{problem} (`up` fails without it)")
    for problem in settings.warnings:
        pulumi.log.warn(str(problem))
    check_receiver_secrets(settings, values)
    return settings
