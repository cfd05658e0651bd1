"""The command `doctor`: checks the machine, the Docker engine, the settings and the containers of a stack."""
