#!/bin/sh
# Backs up the database that PGHOST, PGUSER and PGDATABASE name: see backup-common.sh, and docs/backups.md.
#
# A snapshot tagged `postgres` holds <database>.dump (pg_dump -Fc, not compressed: restic compresses, and finds again what
# it has), one tagged `manifest` and `of:<id of the dump's>` holds manifest.tsv: what the database held at that very
# moment (manifest-postgres.sh). Both see one exported snapshot of Postgres.

. "$(dirname "$0")/backup-common.sh"
begin postgres

# A session that stays as long as the dump needs its view of the database.
mkfifo "$work/session"
psql -XAtq -v ON_ERROR_STOP=1 <"$work/session" >&2 &
session=$!
exec 3>"$work/session"
# In a subshell: it is that which dies where the session has ended already.
(printf 'begin isolation level repeatable read read only;\nselect pg_export_snapshot() \\g %s\n' "$work/view" >&3)
until [ -s "$work/view" ]; do
    kill -0 "$session" # ends the backup where the session has ended; psql has said why
    sleep 0.2
done
view=$(cat "$work/view")

# It comes first: its locks keep the tables as they are until the session ends.
sh "$scripts/manifest-postgres.sh" "$view" >"$work/manifest.tsv"
save "$PGDATABASE.dump" pg_dump -Fc --compress=0 --lock-wait-timeout=600000 --snapshot="$view"
exec 3>&-
wait "$session"
read_back "$PGDATABASE.dump" pg_restore -f /dev/null
approve postgres
here backup --json --quiet --host "$BACKUP_HOST" --time "$moment" --tag manifest --tag "of:$id" --tag "at:$stamp" \
    --stdin --stdin-filename manifest.tsv <"$work/manifest.tsv" >/dev/null

# Until a restore is proved, its age counts from the first backup.
proved=$METRICS_FOLDER/backup-verified-postgres.prom
if [ -d "$METRICS_FOLDER" ] && [ ! -e "$proved" ]; then
    echo "dockyard_backup_last_verified_restore_timestamp_seconds{store=\"postgres\"} $began" >"$proved.new"
    mv -f "$proved.new" "$proved"
fi
good postgres manifest
