#!/bin/sh
# Backs up the Redis at REDIS_HOST and REDIS_PORT: what it sends to a replica, as dump.rdb in a snapshot tagged `redis`.
# See backup-common.sh, and docs/backups.md.

. "$(dirname "$0")/backup-common.sh"
begin redis
REDISCLI_AUTH=$(cat /run/secrets/redis-password)
export REDISCLI_AUTH
save dump.rdb redis-cli -h "$REDIS_HOST" -p "$REDIS_PORT" --rdb -
# It reads to the checksum at the end, and says on which byte it stumbles.
read_back dump.rdb redis-check-rdb /dev/stdin >"$work/checked" || {
    cat "$work/checked" >&2
    exit 1
}
approve redis
good redis
