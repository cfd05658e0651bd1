#!/bin/sh
# Starts the scheduler of a container that takes backups.
#
#   sh backup-start.sh STORE,... SCHEDULE -- COMMAND [ARGUMENT...]
#
# Nothing else uses the repository, so that every lock on it is of a container that is gone. What is wrong with it is not
# told here but by the backup itself.

. "$(dirname "$0")/backup-common.sh"
stores=$1
shift
for store in $(echo "$stores" | tr , ' '); do
    expect scheduled
    [ -z "${BACKUP_S3_REPOSITORY-}" ] || expect offsite
done
if here cat config >/dev/null 2>&1; then
    here unlock --quiet --remove-all || log warning '"locks of an earlier container stay"'
fi
# Drills have a clock of their own. That one did not start is told by the age of the last good one.
if [ -n "${DRILL_SCHEDULE-}" ]; then
    mkdir -p /tmp/drill
    TMPDIR=/tmp/drill /bin/sh "$scripts/schedule.sh" "$DRILL_SCHEDULE" -- /bin/sh "$scripts/drill-$stores.sh" &
fi
exec /bin/sh "$scripts/schedule.sh" "$@"
