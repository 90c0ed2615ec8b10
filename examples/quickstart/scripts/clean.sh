# Usage: clean.sh RAW FOLDER. Drops rows without a reading and writes one file per station.
set -eu
good=0 bad=0
while IFS=, read -r station year tenths; do
    case $station,$tenths in
        station,*) continue ;;
        *,) bad=$((bad + 1)); continue ;;
    esac
    echo "$year,$tenths" >> "$2/$station.csv"
    good=$((good + 1))
done < "$1"
echo "kept $good readings, dropped $bad without a value"
