# Ends a machine that nobody needs any more, whatever has become of its controllers. Arguments: a folder of its own, the
# home folder of the user who runs attempts, and in seconds: how long no controller need call while nothing runs, how long
# results that nobody has kept are held, the longest life of the machine, and how often to look.
#
# It may run as the machine's owner while the files it reads belong to the user: what they say is compared, or counted
# with after a look at each of its characters, and never more.

set -f
place=$1 root=$2/.dstack/runner contact_timeout=$3 result_hold=$4 max_life=$5 every=$6
boot_file=${DSTACK_BOOT_ID_FILE:-/proc/sys/kernel/random/boot_id}
umask 077
LC_ALL=C

is_number() {
    case $1 in '' | *[!0-9]* | ????????????????*) return 1 ;; esac
}

# Whether the process with this number and start runs.
lives() {
    is_number "$1" || return 1
    stat_text=
    { while IFS= read -r line || [ -n "$line" ]; do stat_text=$stat_text$line; done; } 2>/dev/null <"/proc/$1/stat" || return 1
    started=$2
    set -- ${stat_text##*) }
    case ${1:-X} in Z | X) return 1 ;; esac
    [ "${20}" = "$started" ]
}

# Sets busy, where an attempt runs, and held, where one has ended and its results are still here.
look() {
    busy= held=
    set +f
    for dir in "$root"/attempts/*; do
        if [ -e "$dir/exit" ]; then
            if [ -e "$dir/output" ]; then held=yes; fi
        elif [ -f "$dir/begun" ]; then
            word= m= m_start= a= a_start=
            read -r word m m_start rest 2>/dev/null <"$dir/begun"
            read -r a a_start rest 2>/dev/null <"$dir/sup"
            if [ "$word" = run ] && { lives "$m" "$m_start" || lives "$a" "$a_start"; }; then busy=yes; fi
        fi
    done
    set -f
}

# The clock is the machine's time since its start, which goes on while it sleeps, and which nobody sets.
check() {
    read -r up rest </proc/uptime || return 0
    up=${up%%.*}
    read -r boot <"$boot_file" || return 0
    age= seen= since= on_boot= mark=
    read -r age seen since on_boot mark 2>/dev/null <"$place/state"
    if [ "$mark" != end ]; then
        age=$up since=$up
    elif [ "$on_boot" != "$boot" ]; then
        age=$((age + up)) since=$up
    else
        age=$((age + up - seen))
    fi
    at= at_boot=
    read -r at at_boot rest 2>/dev/null <"$root/contact"
    if [ "$at_boot" = "$boot" ] && is_number "$at" && [ "$at" -le "$up" ] && [ "$at" -gt "$since" ]; then since=$at; fi
    look
    [ -z "$busy" ] || since=$up
    printf '%s %s %s %s end\n' "$age" "$up" "$since" "$boot" >"$place/state.new" && mv "$place/state.new" "$place/state"
    limit=$contact_timeout
    if [ -n "$held" ] && [ "$result_hold" -gt "$limit" ]; then limit=$result_hold; fi
    if [ "$age" -ge "$max_life" ] || [ "$((up - since))" -ge "$limit" ]; then
        poweroff || shutdown -P now
    fi
}

while :; do
    check
    sleep "$every"
done
