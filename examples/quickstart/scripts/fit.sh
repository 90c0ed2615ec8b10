# Usage: fit.sh CSV UNIT. Least squares over rows "year,tenths of a degree Celsius", in whole numbers.
set -eu
n=0 sx=0 sy=0 sxx=0 sxy=0
while IFS=, read -r year tenths; do
    x=$((year - 2000))
    n=$((n + 1)) sx=$((sx + x)) sy=$((sy + tenths)) sxx=$((sxx + x * x)) sxy=$((sxy + x * tenths))
done < "$1"
# Slope in thousandths of a degree per decade.
slope=$(((n * sxy - sx * sy) * 1000 / (n * sxx - sx * sx)))
if [ "$2" = F ]; then slope=$((slope * 9 / 5)); fi
sign=+
if [ "$slope" -lt 0 ]; then sign=- slope=$((-slope)); fi
printf '%s readings, trend %s%d.%02d %s per decade\n' "$n" "$sign" $((slope / 1000)) $((slope % 1000 / 10)) "$2"
