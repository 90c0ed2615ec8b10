# Runs attempts on a runner. One copy serves each controller's connection; what must outlive the connection are processes
# of their own. Works in dash, bash and the shell of busybox.
#
# Everything comes as lines on standard input: a request is a verb and its fields, a field is a number of lines and so many
# lines. No part of a request is ever read as shell text.
#
# $root/attempts/NAME/  work/ script output begun sup exit
#   begun  the lock, made by one exclusive act: `stop`, `lost`, or the processes of whoever runs the command
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

# ---- The processes of an attempt

# A number of seconds later, tells A this.
timer() {
    (
        nap=
        trap 'kill "$nap" 2>/dev/null; exit' TERM
        sleep "$1" </dev/null >/dev/null 2>&1 &
        nap=$!
        wait "$nap"
        trap - TERM
        printf '%s\n' "$2"
    ) >/proc/self/fd/4 2>/dev/null &
    timers="$timers $!"
}

# Asks the command to end. Of two reasons the first stays.
ask() {
    [ -n "$why" ] || why=$1
    if [ -z "$killed" ]; then
        kill -TERM "-$job" 2>/dev/null || kill -TERM "$job" 2>/dev/null
        timer "$2" kill
    fi
}

kill_group() {
    killed=yes
    kill -KILL "-$job" 2>/dev/null || [ -n "$code" ] || kill -KILL "$job" 2>/dev/null
}

# A: follows the command to its end.
follow() {
    # For its timers: what runs in the background gets another standard input.
    exec 4<&0
    job= job_start= begun= why= killed= code= signal= not_started= timers=
    while IFS= read -r event; do
        case $event in
            'job '*)
                job=${event#job }
                job_start=${job#* }
                job=${job% *}
                ;;
            begun)
                begun=yes
                stat_of self
                printf '%s %s end\n' "$st_pid" "$st_start" >"$dir/sup"
                kill -KILL "$waiting"
                [ -z "$limit" ] || timer "$limit" time
                ;;
            'end '*)
                code=${event#end }
                [ -n "$begun" ] || return 0
                [ -n "$why" ] && [ -z "$killed" ] && kill -0 "-$job" 2>/dev/null || break
                timer 0.1 tick
                ;;
            tick) if [ -z "$killed" ] && kill -0 "-$job" 2>/dev/null; then timer 0.1 tick; else break; fi ;;
            not-started) not_started=yes ;;
            time) ask timeout 10 ;;
            'stop '*) ask stopped "${event#stop }" ;;
            lost)
                why=lost
                kill_group
                ;;
            kill)
                kill_group
                [ -z "$code" ] || break
                ;;
            # The words of F's shell for a death by a signal.
            ?*) signal=yes ;;
        esac
    done
    [ -n "$begun" ] || return 0
    kill_group
    [ -z "$timers" ] || kill $timers 2>/dev/null
    if [ -z "$code" ] || [ -n "$why" ]; then
        kill_left "$dir" "$job" "$job_start" || return 0
    fi
    if [ -z "$code" ] || [ "$why" = lost ]; then
        # Whoever hears of it looks at once, and is not to find A still there.
        printf 'over\n' >"$dir/sup"
    else
        write_exit
    fi
    news "-$name"
}

write_exit() {
    cause=exited
    case $why$not_started$signal in
        stopped*) code=130 cause=stopped ;;
        timeout*) code=124 cause=timeout ;;
        ?*)
            cause=signal
            [ -z "$not_started" ] || cause=not-started
            if [ "$cause$code" = signal137 ]; then
                kills_before=$kills
                oom_kills
                [ "$kills" = "$kills_before" ] || cause=out-of-memory
            fi
            ;;
    esac
    if [ ! -e "$dir/begun" ]; then
        # The command took our files away: what is known is written again.
        mkdir -p "$dir"
        printf '%s\n' "run $waiting $waiting_start $job $job_start 0 $boot end" >"$dir/begun"
        : >>"$dir/output"
    fi
    size=0
    if [ -s "$dir/output" ]; then size=$(wc -c <"$dir/output"); fi
    set -C
    printf '%s %s %s end\n' "$code" "$cause" "$((size))" >"$dir/exit"
    set +C
}

# Where a program of the job is; fails when it is nowhere.
find_program() {
    case $1 in
        */*)
            found=$1
            [ -f "$found" ]
            return
            ;;
    esac
    IFS=:
    for folder in $search; do
        found=${folder:-.}/$1
        if [ -f "$found" ] && [ -x "$found" ]; then
            unset IFS
            return 0
        fi
    done
    unset IFS
    return 1
}

refuse() {
    printf 'dstack: %s\n' "$2"
    printf 'not-started\n' >&6
    exit "$1"
}

# The job's variables, all in one act: none of them can get in the way of another.
load() {
    eval "set -- $variables"
    [ "$#" -eq 0 ] || export "$@"
}

# J: decides, and becomes the command. Once the variables are loaded, only positional parameters are safe.
become() {
    exec 2>/dev/null
    stat_of self
    printf 'job %s %s\n' "$st_pid" "$st_start"
    set -C
    printf '%s\n' "run $waiting $waiting_start $st_pid $st_start $waiter $boot end" >"$dir/begun" || exit 0
    set +C
    printf 'begun\n'
    exec 6>&1 1>&5 2>&5 5>&-
    [ -z "$refusal" ] || refuse "${refusal%% *}" "${refusal#* }"
    cd -P "$dir/work/$inside" 2>/dev/null || refuse 126 "there is no folder $inside to run in"
    case $kind in
        argv) found=$1 ;;
        *)
            printf '%s\n' "$script" 2>/dev/null >"$dir/script" || refuse 126 'the script cannot be written'
            found=$kind
            set -- -e "$dir/script" "$@"
            ;;
    esac
    program=$found
    [ -n "$program" ] || refuse 127 'there is no program to run'
    find_program "$program" || refuse 127 "$program: not found"
    [ -x "$found" ] || refuse 126 "$program: may not be executed"
    [ "$kind" = argv ] || set -- "$found" "$@"
    if [ -n "$through_env" ]; then
        eval "set -- $through_env"' "$@"'
        set -- "$env" -- "$@"
    fi
    set -- "$setsid" "$@"
    umask "$login_umask"
    unset SSH_CLIENT SSH_CONNECTION SSH_TTY SSH_ORIGINAL_COMMAND SSH_USER_AUTH MAIL SHLVL OLDPWD PWD TERM
    unset XDG_SESSION_ID XDG_RUNTIME_DIR XDG_SESSION_TYPE XDG_SESSION_CLASS DBUS_SESSION_BUS_ADDRESS DSTACK_BOOT_ID_FILE
    if [ -n "$had_lc_all" ]; then LC_ALL=$lc_all && export LC_ALL; else unset LC_ALL; fi
    DSTACK_ATTEMPT_FOLDER=$dir/
    export DSTACK_ATTEMPT_FOLDER
    load
    exec 6>&-
    exec "$@"
}

# F: waits for the command. Its shell says on standard error what signal ended it; exit codes alone do not tell.
run() {
    stat_of self
    waiter=$st_pid
    exec 5>>"$dir/output"
    (become "$@")
    printf 'end %s\n' "$?"
}

# M: no shell waits for what it started in the background without ignoring interrupts there for ever. So the command is
# started in the foreground, and A ends the waiting.
launch() (
    exec </dev/null >/dev/null 2>&1
    stat_of self
    waiting=$st_pid waiting_start=$st_start
    run "$@" 2>&1 | follow
)

# ---- Requests

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
        say refused 'it cannot start another process'
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
    set -C
    case $closing in lost) word=lost ;; *) word=stop ;; esac
    if printf '%s\n' "$word" 2>/dev/null >"$dir/begun"; then
        set +C
        news "-$name"
    else
        set +C
        standing
        if [ "$progress" = running ]; then tell "$closing"; fi
    fi
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

# ---- Other channels

# Prints a line whenever a poll may say something new, until standard input ends.
watch() {
    stat_of self
    pipe=$root/news/$st_pid-$st_start
    sweep
    mkfifo "$pipe" || return 1
    trap 'rm -f "$pipe"' EXIT
    trap 'exit 1' HUP PIPE TERM
    exec 9<>"$pipe" 8<&0
    (
        while IFS= read -r line; do :; done
        printf 'q\n' >&9
    ) <&8 >/dev/null &
    exec 8<&-
    running=' ' ticking= positions=
    set +f
    for dir in "$root"/attempts/*; do
        if [ -e "$dir/begun" ] && [ ! -e "$dir/exit" ]; then running="$running${dir##*/} "; fi
    done
    set -f
    printf '%s ready\n' "$nonce"
    while IFS= read -r event <&9; do
        case $event in
            q) exit 0 ;;
            t)
                wait "$ticking"
                ticking=
                before=$positions
                measure
                [ "$before" = "$positions" ] || printf 'n\n'
                ;;
            +*)
                case $running in *" ${event#+} "*) ;; *) running="$running${event#+} " ;; esac
                ;;
            -*)
                forget "${event#-}"
                printf 'n\n'
                ;;
        esac
        if [ "$running" != ' ' ] && [ -z "$ticking" ]; then
            (
                sleep 0.2
                printf 't\n' >&9
            ) </dev/null >/dev/null &
            ticking=$!
        fi
    done
}

forget() {
    case $running in *" $1 "*) running="${running%%" $1 "*} ${running#*" $1 "}" ;; esac
}

# Where the outputs of those that run stand.
measure() {
    positions=
    for name in $running; do
        dir=$root/attempts/$name word= f= a=self size=0
        read -r word m m_start j j_start f rest 2>/dev/null <"$dir/begun"
        read -r a rest 2>/dev/null <"$dir/sup"
        if [ -e "$dir/exit" ] || [ ! -e "/proc/${f:-none}" ] || [ ! -e "/proc/${a:-none}" ]; then
            forget "$name"
            size=over
        else
            output_so_far
        fi
        positions="$positions $name $size"
    done
}

# Takes away the pipes of those that are gone.
sweep() {
    set +f
    for old in "$root"/news/*; do
        number=${old##*/}
        lives "${number%%-*}" "${number#*-}" || rm -f "$old"
    done
    set -f
}

# Lays files into an attempt's folder: beside it first, then in one act.
stage() {
    attempt
    beside=$dir/.unpacked-$nonce
    if [ -e "$dir/begun" ] || [ -e "$dir/work" ]; then
        printf '%s done\n' "$nonce"
        return 0
    fi
    trap 'chmod -R u+rwX "$beside" 2>/dev/null; rm -rf "$beside"' EXIT
    trap 'exit 1' HUP PIPE TERM
    if command -v zstd >/dev/null; then packing=zstd; else packing=plain; fi
    if problem=$(mkdir -p "$beside" 2>&1); then
        printf '%s ready %s\n' "$nonce" "$packing"
        problem=$(umask "$login_umask" && unpack 2>&1)
    fi
    if [ "$?" -ne 0 ] || [ ! -f "$beside/complete" ] || [ ! -d "$beside/.dstack-$nonce" ]; then
        say "$nonce refused" "${problem:-the files did not arrive whole}"
    elif [ -e "$dir/work" ] || problem=$(mv "$beside/.dstack-$nonce" "$dir/work" 2>&1); then
        printf '%s done\n' "$nonce"
    else
        say "$nonce refused" "$problem"
    fi
    # Where two did it at once, the second one landed inside the first.
    rm -rf "$dir/work/.dstack-$nonce"
}

unpack() {
    case $packing in
        zstd) zstd -dcq | tar -xomf - -C "$beside" ;;
        *) tar -xomf - -C "$beside" ;;
    esac
}

# Sends what is at a path of an attempt's folder.
fetch() {
    attempt
    field && path=$value
    if ! cd -P "$dir/work" 2>/dev/null || { [ ! -e "./$path" ] && [ ! -L "./$path" ]; }; then
        printf '%s absent\n' "$nonce"
        return 0
    fi
    base=$(pwd -P && printf .)
    base=${base%"$nl".}
    real=$(readlink -f "./$path" && printf .)
    real=${real%"$nl".}
    case $real in
        "$base" | "$base"/*) ;;
        *) real= ;;
    esac
    if [ -z "$real" ] || [ ! -e "$real" ]; then
        printf '%s outside\n' "$nonce"
    elif [ -d "$real" ]; then
        cd -P "$real" && pack folder .
    elif [ -f "$real" ]; then
        cd -P "${real%/*}" && pack file "./${real##*/}"
    else
        printf '%s outside\n' "$nonce"
    fi
}

pack() {
    printf '%s %s\n%s\n' "$nonce" "$1" "${#base}"
    printf '%s' "$base"
    { problem=$(tar -cf - "$2" 2>&1 >&3); } 3>&1
    status=$?
    say "$nl$nonce end $status" "$problem"
}

root=$HOME/.dstack/runner
setsid=$(command -v setsid)
env=$(command -v env)
read -r mode nonce || exit 1
if [ -z "$setsid" ] || ! command -v tar >/dev/null || ! command -v grep >/dev/null; then
    say "$nonce refused" 'it lacks one of the commands setsid, tar and grep: use an image that has them'
elif ! problem=$(mkdir -p "$root/attempts" "$root/news" 2>&1); then
    say "$nonce refused" "$problem"
else
    case $mode in
        serve | watch | stage | fetch) "$mode" ;;
    esac
fi
exit 0
