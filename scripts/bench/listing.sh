#!/usr/bin/env bash
# summary: the listing of a million JPEG files with EXIF blocks, and starting again from its index
#
# Usage: scripts/bench.sh listing [--quick] [--files N]
# Makes the files (some 3 kB each, 1,000 folders) in build/listing, which takes minutes
# and 4 GB, and keeps them for the next time. They are indexed with dimensions, page
# cache warm, in a process of its own; another then starts from the index. --quick:
# 20,000 files.
set -euo pipefail
files=1000000
while (($#)); do
	case $1 in
	--quick) files=20000 && shift ;;
	--files) files=$2 && shift 2 ;;
	*) echo "listing: unknown argument $1" >&2 && exit 2 ;;
	esac
done
work=build/listing
data=$work/files-$files
mkdir -p "$work"
go build -o "$work/listing" ./scripts/bench/listing
if [[ ! -d $data ]]; then
	rm -rf "$data.tmp"
	"$work/listing" -dir "$data.tmp" -files "$files"
	mv "$data.tmp" "$data"
	sleep 3 # folders modified within the last two seconds are read again at the next start
fi

"$work/listing" -dir "$data" -index "$work/warm" >/dev/null # warms the page cache
rm -f "$work/warm" "$work/index.file"
read -r found build_s build_mb < <("$work/listing" -dir "$data" -index "$work/index.file")
read -r again load_s load_mb < <("$work/listing" -dir "$data" -index "$work/index.file")
if [[ $found != "$files" || $again != "$files" ]]; then
	echo "listing: $found and $again files were indexed, of $files" >&2
	exit 1
fi
echo "first:  $build_s s, at most $build_mb MB"
echo "second: $load_s s, at most $load_mb MB, from an index of $(($(stat -c %s "$work/index.file") >> 20)) MB"
echo "bench listing files=$files build_s=$build_s load_s=$load_s rss_mb=$((build_mb > load_mb ? build_mb : load_mb))"
