# Begins the runner's side, which goes on in supervisor.sh, requests.sh and channels.sh.
#
# Runs attempts on a runner. One copy serves each controller's connection; what must outlive the connection are processes
# of their own. Works in dash, bash and the shell of busybox.
#
# Everything comes as lines on standard input: a request is a verb and its fields, a field is a number of lines and so many
# lines. No part of a request is ever read as shell text.
#
# $root/attempts/NAME/  work/ script output begun sup exit
#   begun  the lock, made with all it says by one exclusive act: `stop`, `lost`, or the processes of whoever runs the command
#   sup    who follows the command to its end
#   exit   code, cause, length of the output, and an end mark
# $root/news/           one pipe for each connection that wants to hear of changes
# $root/contact         uptime and boot at the last request of a controller
# Between two processes that run an attempt and their readers:
#   start -> M -> F -> J: M waits until A has taken over, F waits for the command, J becomes the command.
#            M -> A: A reads what the others tell it over a pipe, and writes the exit record.

# In its mode for POSIX, bash does not say which signal ended a command.
if [ -n "${BASH_VERSION-}" ] && (set +o posix) 2>/dev/null; then set +o posix; fi
set -f
nl='
'
boot_file=${DSTACK_BOOT_ID_FILE:-/proc/sys/kernel/random/boot_id}
login_umask=$(umask)
umask 077
had_lc_all=${LC_ALL+yes}
lc_all=${LC_ALL-}
LC_ALL=C

# Sets value to the next field.
field() {
    IFS= read -r lines || exit 1
    value=
    while IFS= read -r line; do
        value=$value$line
        lines=$((lines - 1))
        [ "$lines" -gt 0 ] || return 0
        value=$value$nl
    done
    exit 1
}

# Sets name and dir to an attempt's.
attempt() {
    field
    case $value in
        '' | *[!a-z0-9-]*) exit 1 ;;
    esac
    name=$value
    dir=$root/attempts/$name
}

# One line of text, whatever was in it.
say() {
    text=$2
    case $text in
        *"$nl"*) text=${text%%"$nl"*} ;;
    esac
    printf '%s %s\n' "$1" "$text"
}

# What /proc tells of a process; fails when it is gone. A name may hold anything, so only what follows it is read.
stat_of() {
    stat_text=
    { while IFS= read -r line || [ -n "$line" ]; do stat_text=$stat_text$line; done; } 2>/dev/null <"/proc/$1/stat" || return 1
    [ -n "$stat_text" ] || return 1
    st_pid=${stat_text%% *}
    set -- ${stat_text##*) }
    [ "$#" -ge 20 ] || return 1
    st_state=$1 st_session=$4 st_start=${20}
}

# Whether the process with this number and start still runs.
lives() {
    [ -n "$1" ] && stat_of "$1" || return 1
    case $st_state in Z | X) return 1 ;; esac
    [ "$st_start" = "$2" ]
}

read_boot() {
    boot=
    read -r boot 2>/dev/null <"$boot_file"
}

# Decides about the attempt, unless that was done. Whoever finds the lock finds the whole of it: its name comes last. The
# other name may be left of a process that had this number before, and the same file as the lock.
decide() {
    stat_of self
    own=$dir/begun.$st_pid
    set -C
    if ! { printf '%s\n' "$1" >"$own" || { rm -f "$own" && printf '%s\n' "$1" >"$own"; }; } 2>/dev/null; then
        # Without room for its text there is no lock either.
        set +C
        return 1
    fi
    set +C
    ln "$own" "$dir/begun" 2>/dev/null
}

# Tells every connection that listens.
news() {
    set +f
    for pipe in "$root"/news/*; do
        if [ -p "$pipe" ]; then printf '%s\n' "$1" 1<>"$pipe"; fi
    done 2>/dev/null
    set -f
}

oom_kills() {
    kills=0
    [ -n "$oom_file" ] || return 0
    while read -r key count; do
        if [ "$key" = oom_kill ]; then kills=$count; fi
    done 2>/dev/null <"$oom_file"
}

find_oom_file() {
    oom_file=
    while IFS=: read -r number controllers group; do
        if [ -z "$controllers" ] && [ -r "/sys/fs/cgroup$group/memory.events" ]; then
            oom_file=/sys/fs/cgroup$group/memory.events
        fi
    done 2>/dev/null </proc/self/cgroup
}

# Kills what is left of a command: its session (the number of one is not given away while anything is left in it), and
# what carries its mark. Fails when that cannot be shown.
kill_left() {
    rounds=0
    while [ "$rounds" -lt 40 ]; do
        left=
        if ! stat_of "$2" || [ "$st_start" = "$3" ]; then
            set +f
            for process in /proc/[0-9]*; do
                stat_of "${process#/proc/}" || continue
                case $st_session$st_state in
                    "$2"Z | "$2"X) ;;
                    "$2"[A-Za-z]) left="$left $st_pid" ;;
                esac
            done
            set -f
        fi
        set +f
        for process in $(grep -lsF -e "DSTACK_ATTEMPT_FOLDER=$1/" /proc/[0-9]*/environ 2>/dev/null); do
            process=${process#/proc/}
            left="$left ${process%/environ}"
        done
        set -f
        [ -n "$left" ] || return 0
        kill -KILL $left 2>/dev/null
        rounds=$((rounds + 1))
        [ "$rounds" -lt 2 ] || sleep 0.05
    done
    return 1
}
