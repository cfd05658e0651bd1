#!/bin/sh
# Starts Postgres as the official image does: makes the database cluster on an empty PGDATA from POSTGRES_USER,
# POSTGRES_DB, POSTGRES_PASSWORD (each also as *_FILE) and /docker-entrypoint-initdb.d, then hands over to postgres.
set -eu

fail() { echo "entrypoint: $*" >&2; exit 1; }

# Take a setting from its variable or, where NAME_FILE is given, from that file; $2 is its default.
setting() {
    eval "value=\${$1:-} file=\${$1_FILE:-}"
    [ -z "$value" ] || [ -z "$file" ] || fail "both $1 and $1_FILE are set; give one of them"
    if [ -n "$file" ]; then value=$(cat "$file"); fi
    export "$1=${value:-$2}"
    unset "$1_FILE" value file
}

# Tell whether postgres is only asked to print something and exit.
only_prints() {
    for argument; do
        case $argument in -'?' | --help | --describe-config | -V | --version) return 0 ;; esac
    done
    return 1
}

make_folders() {
    mkdir -p "$PGDATA"
    # As in the official image: where another owner or a read-only root forbids it, postgres itself tells what is wrong.
    chmod 00700 "$PGDATA" || :
    mkdir -p /var/run/postgresql || :
    chmod 03775 /var/run/postgresql || :
    if [ -n "${POSTGRES_INITDB_WALDIR:-}" ]; then mkdir -p "$POSTGRES_INITDB_WALDIR"; fi
    if [ "$(id -u)" = 0 ]; then
        find "$PGDATA" \! -user postgres -exec chown postgres {} +
        find /var/run/postgresql \! -user postgres -exec chown postgres {} +
        [ -z "${POSTGRES_INITDB_WALDIR:-}" ] || chown -R postgres "$POSTGRES_INITDB_WALDIR"
    fi
}

make_cluster() {
    # The two variables hold options, as in the official image: they are meant to be split (and may carry quotes).
    options="${POSTGRES_INITDB_WALDIR:+--waldir=\"\$POSTGRES_INITDB_WALDIR\"} ${POSTGRES_INITDB_ARGS:-}"
    printf '%s\n' "$POSTGRES_PASSWORD" |
        eval "initdb --username=\"\$POSTGRES_USER\" --pwfile=/dev/stdin --set listen_addresses='*' $options"
    method=${POSTGRES_HOST_AUTH_METHOD:-$(postgres -C password_encryption)}
    printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
}

# psql on the server that listens on its Unix socket only, while the cluster is being made.
ask() { PGHOST='' PGHOSTADDR='' psql -v ON_ERROR_STOP=1 --no-psqlrc --username "$POSTGRES_USER" --no-password "$@"; }

make_database() {
    found=$(ask --dbname postgres --set name="$POSTGRES_DB" --tuples-only --no-align <<'SQL'
SELECT 1 FROM pg_database WHERE datname = :'name';
SQL
    )
    [ -n "$found" ] || ask --dbname postgres --set name="$POSTGRES_DB" <<'SQL'
CREATE DATABASE :"name";
SQL
}

run_init_files() {
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
            *.sh) echo "entrypoint: running $file"; if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
            *.sql) echo "entrypoint: running $file"; ask --dbname "$POSTGRES_DB" -f "$file" ;;
            *.sql.gz) echo "entrypoint: running $file"; gunzip -c "$file" | ask --dbname "$POSTGRES_DB" ;;
            *.sql.xz) echo "entrypoint: running $file"; xzcat "$file" | ask --dbname "$POSTGRES_DB" ;;
            */\*) ;;
            *) echo "entrypoint: ignoring $file" ;;
        esac
    done
}

initialise() {
    setting POSTGRES_PASSWORD ''
    setting POSTGRES_USER postgres
    setting POSTGRES_DB "$POSTGRES_USER"
    setting POSTGRES_INITDB_ARGS ''
    if [ -z "$POSTGRES_PASSWORD" ] && [ "${POSTGRES_HOST_AUTH_METHOD:-}" != trust ]; then
        fail "the database is empty and no superuser password is given: set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE"
    fi
    make_cluster
    PGPASSWORD=${PGPASSWORD:-$POSTGRES_PASSWORD}
    export PGPASSWORD
    shift # The word postgres: pg_ctl starts it by itself.
    options=$(printf " '%s'" "$@" -c listen_addresses= -p "${PGPORT:-5432}")
    pg_ctl -D "$PGDATA" -w -o "$options" start
    make_database
    run_init_files
    pg_ctl -D "$PGDATA" -m fast -w stop
    unset PGPASSWORD
    echo "PostgreSQL init process complete; ready for start up."
}

case ${1:-} in -*) set -- postgres "$@" ;; esac
if [ "${1:-}" = postgres ] && ! only_prints "$@"; then
    make_folders
    if [ "$(id -u)" = 0 ]; then exec gosu postgres "$0" "$@"; fi
    if [ -s "$PGDATA/PG_VERSION" ]; then
        echo "PostgreSQL Database directory appears to contain a database; Skipping initialization"
    else
        initialise "$@"
    fi
fi
exec "$@"
