# Continues requests.sh: channels of their own, for news and for files; and where all of them begin.

# Prints a line whenever a poll may say something new, until standard input ends. When it is told so, it listens, too.
watch() {
    stat_of self
    watcher=$st_pid watcher_start=$st_start
    pipe=$root/news/$st_pid-$st_start
    sweep
    mkfifo "$pipe" || return 1
    ear= ear_start=
    trap 'rm -f "$pipe"; if lives "$ear" "$ear_start"; then kill "$ear"; fi' EXIT
    trap 'exit 1' HUP PIPE TERM
    exec 9<>"$pipe" 8<&0
    (
        while IFS= read -r line; do
            case $line in listen) printf 'l\n' >&9 ;; esac
        done
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
            l)
                if [ -z "$ear" ]; then
                    listen </dev/null 9>&- &
                    ear=$!
                    stat_of "$ear" && ear_start=$st_start
                fi
                ;;
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

# Tells what this machine hears of its own end, whenever that is something else than before. Where nobody has answered for a
# while, it is deaf.
listen() {
    if ! command -v can_hear >/dev/null || ! can_hear; then
        printf 'ear deaf\n'
        return 0
    fi
    told= hears= misses=0
    while lives "$watcher" "$watcher_start"; do
        if words=$(hear); then
            misses=0 hears=hears
            [ -z "$words" ] || hears="said $words"
        else
            misses=$((misses + 1))
            [ "$misses" -lt 3 ] || hears=deaf
        fi
        # It is one line, whatever was said.
        while case $hears in *"$nl"*) true ;; *) false ;; esac do hears="${hears%%"$nl"*} ${hears#*"$nl"}"; done
        [ "$hears" = "$told" ] || printf 'ear %s\n' "$hears"
        told=$hears
        sleep "$hear_every" </dev/null >/dev/null 2>&1
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
    if [ ! -e "$dir/begun" ]; then
        printf '%s unknown\n' "$nonce"
        return 0
    fi
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
    # What ends the runner may take the files away under it.
    [ -e "$dir/begun" ] || status=255
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
