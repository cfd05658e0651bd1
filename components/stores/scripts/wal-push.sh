#!/bin/sh
# Hands one segment of the write-ahead log to pgBackRest: Postgres' archive_command, in Postgres' own container.
#
#   sh wal-push.sh SEGMENT
#
# A repository that was never used is made ready first, without a connection: what Postgres archives while it starts for
# the first time is its first segment. Where the repository is of another cluster that fails, and Postgres keeps the
# segment until somebody has seen to it. Needs PGBACKREST_CONFIG and PGBACKREST_STANZA.

set -u
pgbackrest archive-push "$1" && exit 0
code=$?
pgbackrest --no-online stanza-create || exit "$code"
exec pgbackrest archive-push "$1"
