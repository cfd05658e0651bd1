#!/bin/sh
# As in the official image: what stands in /docker-entrypoint.d runs before nginx.
set -e
if [ "$1" = nginx ]; then
	for script in /docker-entrypoint.d/*.sh; do
		if [ -x "$script" ]; then "$script"; fi
	done
fi
exec "$@"
