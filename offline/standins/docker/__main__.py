"""`python -m offline.standins.docker`: the plugin process."""

from offline.standins.launch import launch

launch("offline.standins.docker.server", "DockerProvider")
