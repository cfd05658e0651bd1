#!/bin/sh
set -e
export MIGRATED=yes
exec "$@"
