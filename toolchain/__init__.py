"""What brings the Pulumi engine, its plugins, a Docker engine and images to a machine."""
