# Continues common.sh: the processes of an attempt.

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
                rm -f "$dir/begun.$job"
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
    decide "run $waiting $waiting_start $st_pid $st_start $waiter $boot end" || { rm -f "$own"; exit 0; }
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
