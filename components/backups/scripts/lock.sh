# Read by scripts of which one may run at a time in a container. Not every image has flock.

# hold PATH: take the lock for this process, or fail while another that lives has it. It ends with the process. PATH must
# be gone when the container starts anew: a number of another life says nothing.
hold() {
    tries=0
    until ln -s "$$" "$1" 2>/dev/null; do
        # Neither made nor there: given back at this moment, or the folder is full.
        tries=$((tries + 1))
        [ "$tries" -lt 20 ] || return 1
        holder=$(readlink "$1") || continue
        ! kill -0 "$holder" 2>/dev/null || return 1
        # Of one that was killed. Who saw that too may have been quicker, and hold it by now: then it gets it back.
        mv "$1" "$1.$$" 2>/dev/null || continue
        moved=$(readlink "$1.$$")
        [ "$moved" = "$holder" ] || ln -s "$moved" "$1"
        rm -f "$1.$$"
    done
}
