#!/bin/sh
# The image's entry point by name, for whoever takes over the entry point and gives a full command line.
exec python -m demo "$@"
