#!/bin/sh
# Prints how fast the main job is, as ratios, beside what is aimed at. Nothing here fails
# because it is slow: look at the figures, on a machine that does nothing else (see the
# load, printed first and last).
#
#   sudo testdata/bench/run.sh [SCALE [RUNS [SEGMENTS [BACKUPS]]]]
#
# SCALE     pgbench scale of the database that a standby is built from, 15 MB each (60)
# RUNS      how often each plan and each ssh is timed (15)
# SEGMENTS  of WAL in the backlog that is archived, 16 MiB each (200); 0 leaves this out
# BACKUPS   pgbench scale of the database that base backups are taken of (150); 0 leaves this out, the longest part
#
# It needs what the labs of the tests need: Linux, root, openssh-client, and the cached
# root of Debian 13 (built at the first use). The nodes share this machine's processors
# with the client, so ratios are worse than with nodes of their own.
set -eu
cd "$(dirname "$0")/../.."
echo "load before: $(cut -d' ' -f1-3 /proc/loadavg), $(nproc) processors"

echo
echo "== Real hosts: plan of 2 nodes <= 1.50 of one ssh, build-standby <= 1.15 of pg_basebackup"
go run ./testdata/bench/mainjob -scale "${1:-60}" -runs "${2:-15}"

echo
echo "== 50 nodes <= 4.00 of 2 nodes (BenchmarkHosts; what the others show is in fleet/doc.go)"
go test -run '^$' -bench . -benchtime 9x ./testdata/bench/fleet

echo
echo "== Planner alone: 1,000 clusters of 3 nodes <= 1 s, and linear: 2.00 and 4.00"
go test -run '^$' -bench 'BenchmarkPlan[0-9]+$' -benchtime 5x ./planner | awk '
	{ print }
	/^BenchmarkPlan[0-9]/ { split($1, n, /[^0-9]+/); ns[n[2]] = $3 }
	END {
		if (ns[1000]) printf "1000 clusters %.3f s   2000: ratio %.2f   4000: ratio %.2f\n", ns[1000] / 1e9, ns[2000] / ns[1000], ns[4000] / ns[1000]
	}'

if [ "${3:-200}" -gt 0 ]; then
	echo
	echo "== WAL: archiving and recovery beside pgBackRest and cp (testdata/bench/wal; goals in its table)"
	go run ./testdata/bench/wal -segments "${3:-200}"
fi

if [ "${4:-150}" -gt 0 ]; then
	echo
	echo "== Base backups: taking and restoring them beside pgBackRest and cp (testdata/bench/backup; goals in its table)"
	go run ./testdata/bench/backup -scale "${4:-150}"
fi

echo
echo "load after: $(cut -d' ' -f1-3 /proc/loadavg)"
