#!/bin/sh
# Restores a full base backup with tar and zstd (lz4, gzip) alone; pg_manage is not needed.
#
#   restore-by-hand.sh [-k AGE_KEY_FILE] [-t OID=DIRECTORY]... BACKUP DATA_DIRECTORY
#
# BACKUP is a copy of the backup's directory at the target, <backup_dir>/<cluster>/<label>.
# DATA_DIRECTORY must be empty or absent. Run it as the user who runs PostgreSQL.
#   -k  the private key, where the backup is encrypted (needs age)
#   -t  puts the tablespace with that OID elsewhere than it was; may be repeated
#
# What a backup consists of: parts, each an ordinary compressed tar archive, and all of them
# together the data directory; backup_manifest, which pg_verifybackup checks it against;
# backup.json with the SHA-256 of each. An incremental backup holds changed blocks only, and is
# put together with what it builds upon by `pg_manage restore`.
#
# The last part is the small one with backup_label, tablespace_map and global/pg_control. It is
# looked into first, since the links of pg_tblspc must be there before the tablespaces'
# files are unpacked, and unpacked last: PostgreSQL does not start without global/pg_control,
# and so not on half a restore.
#
# Then: the WAL from the backup's start_lsn on must be at hand (backup.json names it). Set
# restore_command in postgresql.auto.conf, and a recovery target if you like, `touch
# recovery.signal`, and start the server. Set archive_mode = off, or archive to another place, when
# the cluster that the backup is of may still run. With -t, pg_verifybackup finds
# tablespace_map changed, as it is.
set -eu

die() {
	echo "restore-by-hand: $*" >&2
	exit 1
}

key='' moved=''
while getopts k:t: option; do
	case $option in
	k) key=$OPTARG ;;
	t)
		case $OPTARG in
		[0-9]*=/*) moved="$moved$OPTARG
" ;;
		*) die "-t needs OID=/DIRECTORY" ;;
		esac
		;;
	*) die "usage: $0 [-k AGE_KEY_FILE] [-t OID=DIRECTORY]... BACKUP DATA_DIRECTORY" ;;
	esac
done
shift $((OPTIND - 1))
[ $# -eq 2 ] || die "usage: $0 [-k AGE_KEY_FILE] [-t OID=DIRECTORY]... BACKUP DATA_DIRECTORY"
backup=$1 data=$2

[ -f "$backup/backup.json" ] || die "$backup has no backup.json: it is no backup, or one that was not finished"
grep -q '"kind": "full"' "$backup/backup.json" || die "$backup is incremental: restore it with pg_manage"
if [ -d "$data" ] && [ -n "$(ls -A "$data")" ]; then
	die "$data is not empty"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# sound compares all objects with backup.json, which has their names and SHA-256 line by line.
sed -n 's/^ *"name": "\(.*\)",$/\1/p' "$backup/backup.json" >"$work/names"
sed -n 's/^ *"sha256": "\([0-9a-f]*\)"$/\1/p' "$backup/backup.json" >"$work/sums"
[ -s "$work/names" ] && [ "$(wc -l <"$work/names")" = "$(wc -l <"$work/sums")" ] || die "$backup/backup.json is not as expected"
paste -d ' ' "$work/sums" "$work/names" | sed 's/ /  /' >"$work/list"
(cd "$backup" && sha256sum --quiet -c "$work/list") || die "$backup is damaged"

# plain prints a file of the backup as it was before compression and encryption. A failure in
# a pipe is seen by the file that it leaves.
plain() {
	{
		if [ "${1%.age}" = "$1" ]; then
			cat -- "$1"
		else
			age -d -i "$key" -- "$1"
		fi || : >"$work/failed"
	} | {
		case ${1%.age} in
		*.zst) zstd -dcq ;;
		*.lz4) lz4 -dcq ;;
		*.gz) gzip -dcq ;;
		*) cat ;;
		esac || : >"$work/failed"
	}
}

# unpack unpacks a part, or some of its files, into a directory.
unpack() {
	part=$1 into=$2
	shift 2
	plain "$part" | tar -x -p -f - --keep-directory-symlink -C "$into" "$@"
	[ ! -e "$work/failed" ] || die "$part could not be read"
}

# PostgreSQL needs the links of tablespaces; tablespace_map has a line for each: OID, location.
last=''
for part in "$backup"/part-*; do
	last=$part
done
case $last in
*.age) [ -n "$key" ] || die "$backup is encrypted: name the private key with -k" ;;
esac
mkdir "$work/last"
unpack "$last" "$work/last" --wildcards --no-anchored tablespace_map 2>"$work/none" || : # most have none
[ ! -e "$work/failed" ] || die "$last could not be read: $(cat "$work/none")"
umask 077
mkdir -p "$data/pg_tblspc"
if [ -f "$work/last/tablespace_map" ]; then
	while read -r oid place || [ -n "$oid" ]; do
		to=$(printf %s "$moved" | sed -n "s/^$oid=//p")
		[ -z "$to" ] || place=$to
		if [ -d "$place" ] && [ -n "$(ls -A "$place")" ]; then
			die "the tablespace's directory $place is not empty: put it elsewhere with -t $oid=DIRECTORY"
		fi
		mkdir -p "$place"
		ln -s "$place" "$data/pg_tblspc/$oid"
		printf '%s %s\n' "$oid" "$place" >>"$work/map"
	done <"$work/last/tablespace_map"
fi

for part in "$backup"/part-*; do
	unpack "$part" "$data"
done
[ -z "$moved" ] || [ ! -f "$work/map" ] || cat "$work/map" >"$data/tablespace_map"
for file in "$backup"/backup_manifest*; do
	plain "$file" >"$data/backup_manifest"
	[ ! -e "$work/failed" ] || die "$file could not be read"
done
chmod 0700 "$data"
sync
echo "restored into $data"
