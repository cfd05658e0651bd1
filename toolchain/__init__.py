"""Installs what Dockyard needs on a machine: the Pulumi CLI, its plugins, a Docker engine and the images."""
