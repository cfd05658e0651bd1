#!/bin/sh
# As in the official image: an option or a command of Traefik's is given to it, anything else is run as it stands.
set -e
case "$1" in
-* | version | healthcheck) set -- traefik "$@" ;;
esac
exec "$@"
