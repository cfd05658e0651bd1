"""`python -m toolchain.standins.docker`: the plugin process."""

from toolchain.standins.launch import launch

launch("toolchain.standins.docker.server")
