# Usage: report.sh FOLDER. One line per station.
set -eu
echo "Temperature trend by station"
echo "----------------------------"
for file in "$1"/*.txt; do
    station=${file##*/}
    printf '%-6s %s\n' "${station%.txt}" "$(cat "$file")"
done
