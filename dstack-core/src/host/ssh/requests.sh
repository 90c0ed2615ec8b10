# Continues supervisor.sh: what a controller asks over the connection that all attempts share.

start() {
    attempt
    field && limit=$value
    field && inside=$value
    field && refusal=$value
    field && search=${value:-$PATH}
    field && kind=$value
    field && script=$value
    variables= through_env= names=
    field && count=$value
    while [ "$count" -gt 0 ]; do
        field && eval "e$count=\$value" && variables="$variables \"\$e$count\"" && names="$names e$count"
        count=$((count - 1))
    done
    field && count=$value
    while [ "$count" -gt 0 ]; do
        field && eval "w$count=\$value" && through_env="$through_env \"\$w$count\""
        count=$((count - 1))
    done
    field && count=$value
    set --
    while [ "$count" -gt 0 ]; do
        field
        set -- "$@" "$value"
        count=$((count - 1))
    done
    verdict && return 0
    case $known in
        *" $name:"*)
            printf 'begun\n'
            return 0
            ;;
    esac
    if [ ! -d "$dir/work" ] && ! problem=$(mkdir -p "$dir/work" 2>&1); then
        say refused "$problem"
        return 0
    fi
    oom_kills
    # Only A kills M, and only once the command has begun, which may have taken its lock away by now.
    launch "$@" 2>/dev/null
    ended=$?
    if verdict || { [ "$ended" -gt 128 ] && printf 'begun\n'; }; then
        a= a_start=
        read -r a a_start mark 2>/dev/null <"$dir/sup"
        known="$known$name:$a:$a_start "
        news "+$name"
    else
        say refused 'it cannot start another process, or keep another file'
    fi
    # Secrets are not kept.
    unset value line script $names
}

# Answers with what was decided, if anything was.
verdict() {
    word=
    if ! read -r word rest 2>/dev/null <"$dir/begun" && [ ! -e "$dir/begun" ]; then return 1; fi
    case $word in
        stop | lost) printf 'closed\n' ;;
        *) printf 'begun\n' ;;
    esac
}

# Sets progress, code, cause and size.
standing() {
    progress=staged code=0 cause=exited size=0 word= m= m_start= j= j_start= f= on_boot= mark=
    if ! read -r word m m_start j j_start f on_boot mark 2>/dev/null <"$dir/begun" && [ ! -e "$dir/begun" ]; then
        case $known in *" $name:"*) vanished ;; esac
        return 0
    fi
    case $word in
        stop | lost)
            progress=never-begun
            return 0
            ;;
    esac
    exit_record && return 0
    if [ "$mark" != end ]; then
        # It is being written, or never will be.
        sleep 1
        read -r word m m_start j j_start f on_boot mark 2>/dev/null <"$dir/begun"
    fi
    read_boot
    progress=running
    if [ "$on_boot" = "$boot" ]; then
        if is_followed; then
            output_so_far
            return 0
        fi
        # What was written before it ended is there by now.
        exit_record && return 0
        kill_left "$dir" "$j" "$j_start" || return 0
    fi
    progress=lost
    if [ -s "$dir/output" ]; then size=$(($(wc -c <"$dir/output"))); fi
}

# Whether M or A of the attempt lives; M first, since A has written down who it is before M ends.
is_followed() {
    lives "$m" "$m_start" && return 0
    a= a_start=
    read -r a a_start mark 2>/dev/null <"$dir/sup"
    [ -n "$a" ] && lives "$a" "$a_start"
}

exit_record() {
    end=
    if read -r code cause size end 2>/dev/null <"$dir/exit" && [ "$end" = end ]; then
        progress=exited
        return 0
    fi
    code=0 cause=exited size=0
    return 1
}

# F holds the output open: how far it was written is where its handle stands.
output_so_far() {
    position=0
    read -r key position 2>/dev/null <"/proc/$f/fdinfo/5"
    case $key$position in
        pos:*[!0-9]* | pos:) position=0 ;;
        pos:*) size=$position ;;
    esac
}

# It was begun over this connection, or was running when the connection came, and its lock is gone.
vanished() {
    progress=running
    a=${known##*" $name:"}
    a=${a%%" "*}
    if lives "${a%%:*}" "${a#*:}"; then return 0; fi
    if [ -n "$(set +f && grep -lsF -e "DSTACK_ATTEMPT_FOLDER=$dir/" /proc/[0-9]*/environ)" ]; then return 0; fi
    # Who followed it to its end writes everything again.
    sleep 1
    if [ -e "$dir/begun" ]; then standing; else progress=lost; fi
}

find_known() {
    known=' '
    set +f
    for process in $(grep -lsF -e "DSTACK_ATTEMPT_FOLDER=$root/attempts/" /proc/[0-9]*/environ 2>/dev/null); do
        for word in $(tr '\000 ' '\n_' 2>/dev/null <"$process" | grep -F -e "DSTACK_ATTEMPT_FOLDER=$root/attempts/"); do
            word=${word#"DSTACK_ATTEMPT_FOLDER=$root/attempts/"}
            known="$known${word%/}:: "
        done
    done
    set -f
}

poll() {
    field && polls=$value
    while [ "$polls" -gt 0 ]; do
        attempt
        field && offset=$value
        standing
        length=$((size - offset)) more=0
        if [ "$length" -lt 0 ] || [ ! -s "$dir/output" ]; then length=0; fi
        if [ "$length" -gt 0 ]; then
            # A command can cut its own output short.
            there=$(($(wc -c <"$dir/output") - offset))
            if [ "$length" -gt "$there" ]; then length=$((there > 0 ? there : 0)); fi
        fi
        if [ "$length" -gt 1048576 ]; then length=1048576 more=1; fi
        printf '%s %s %s %s %s\n' "$progress" "$code" "$cause" "$length" "$more"
        [ "$length" -eq 0 ] || send "$dir/output" "$offset" "$length"
        printf '\n'
        polls=$((polls - 1))
    done
}

send() {
    if [ -z "$exact" ]; then
        exact=no
        if dd if=/dev/null iflag=skip_bytes,count_bytes skip=0 count=0 2>/dev/null; then exact=yes; fi
    fi
    if [ "$exact" = yes ]; then
        dd if="$1" bs=65536 iflag=skip_bytes,count_bytes skip="$2" count="$3" 2>/dev/null
    else
        tail -c "+$(($2 + 1))" "$1" | head -c "$3"
    fi
}

close() {
    attempt
    field && closing=$value
    if ! problem=$(mkdir -p "$dir" 2>&1); then
        say refused "$problem"
        return 0
    fi
    case $closing in lost) word=lost ;; *) word=stop ;; esac
    if decide "$word"; then
        news "-$name"
    elif [ ! -e "$dir/begun" ]; then
        rm -f "$own"
        say refused 'it cannot keep another file'
        return 0
    else
        standing
        if [ "$progress" = running ]; then tell "$closing"; fi
    fi
    rm -f "$own"
    printf 'done\n'
}

# Into the pipe that A reads.
tell() {
    a= a_start=
    read -r a a_start mark 2>/dev/null <"$dir/sup"
    if [ -n "$a" ]; then
        lives "$a" "$a_start" && printf '%s\n' "$1" 2>/dev/null >"/proc/$a/fd/0"
    else
        printf '%s\n' "$1" 2>/dev/null >"/proc/$f/fd/1"
    fi
}

release() {
    attempt
    standing
    if [ "$progress" = running ]; then
        say refused "attempt $name still runs"
        return 0
    fi
    rm -f "$dir/output"
    # What is much may take long.
    empty </dev/null >/dev/null 2>&1 &
    printf 'done\n'
}

empty() {
    cd "$dir" || exit 0
    set --
    set +f
    for entry in * .[!.]* ..?*; do
        case $entry in
            begun | exit) ;;
            *) set -- "$@" "./$entry" ;;
        esac
    done
    set -f
    rm -rf "$@" || { chmod -R u+rwX "$@" && rm -rf "$@"; }
}

contact() {
    read -r up rest 2>/dev/null </proc/uptime
    read_boot
    printf '%s %s\n' "${up%%.*}" "$boot" 2>/dev/null >"$root/contact"
}

serve() {
    exact=
    find_oom_file
    find_known
    contact
    printf '%s ready\n' "$nonce"
    while IFS= read -r verb; do
        contact
        case $verb in
            start | poll | close | release) "$verb" ;;
            *) exit 1 ;;
        esac
        printf '.\n'
    done
}
