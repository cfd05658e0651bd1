#!/bin/sh
# Starts Redis as the official image does: options and configuration files go to redis-server, root becomes redis.
set -eu

case ${1:-} in -* | *.conf) set -- redis-server "$@" ;; esac
if [ "${1:-}" = redis-server ]; then
    if [ "$(id -u)" = 0 ]; then
        find . \! -user redis -exec chown redis {} +
        exec gosu redis "$0" "$@"
    fi
    # New files are the server's alone.
    [ "$(umask)" != 0022 ] || umask 0077
    # The official build has the protected mode off unless somebody asks for it; Debian's has it on.
    # A file that cannot be read says nothing of it here: the server itself tells that it cannot read it.
    mode=$*
    if [ -f "${2:-}" ]; then mode="$mode $(cat "$2" 2>/dev/null || :)"; fi
    case $mode in *protected-mode*) ;; *) set -- "$@" --protected-mode no ;; esac
fi
exec "$@"
