package instance

import (
	"context"
	"fmt"
	"strings"
)

// A data directory that no rename can replace is made in .pg_manage-building/data within
// it. .pg_manage-building/moving lists the names that then move up, PG_VERSION last: so
// until the directory is whole it is none of PostgreSQL's, and a build that was cut off
// anywhere is known by that list, which is made while nothing else is there.

// clearInside deletes what an interrupted build left within the data directory.
func (i *Instance) clearInside(ctx context.Context) error {
	const text = `d=$1 b=$1/.pg_manage-building
[ -e "$b" ] || [ -L "$b" ] || exit 0
[ -d "$b" ] && [ ! -L "$b" ] && [ -O "$b" ] || { echo "$b is in the way, and not a directory of the owner: move it away by hand" >&2; exit 1; }
for f in "$b"/* "$b"/.[!.]* "$b"/..?*; do
	[ -e "$f" ] || [ -L "$f" ] || continue
	case ${f##*/} in data | moving | moving.new) ;; *) echo "$b holds ${f##*/}, which no interrupted copy leaves: move it away by hand" >&2; exit 1 ;; esac
done
[ ! -e "$b/data/postmaster.pid" ] || { echo "$b/data holds postmaster.pid: a server may be running on it" >&2; exit 1; }
if [ -f "$b/moving" ]; then
	[ ! -e "$d/PG_VERSION" ] || { rm -f -- "$b/moving" && rmdir -- "$b/data" "$b"; exit; }
	while IFS= read -r name; do
		[ -e "$d/$name" ] || [ -L "$d/$name" ] || continue
		[ ! -e "$b/data/$name" ] && mv -nT -- "$d/$name" "$b/data/$name" || { echo "$d/$name cannot be moved back to $b/data" >&2; exit 1; }
	done <"$b/moving"
fi
clear_spaces "$b/data" "$d"
[ ! -d "$b/data/pg_tblspc" ] || [ -L "$b/data/pg_tblspc" ] || chmod u+w -- "$b/data/pg_tblspc"
rm -rf -- "$b"
`
	if _, err := i.script(ctx, "clear away an interrupted copy", clearSpaces+text, strings.TrimRight(i.DataDir, "/")); err != nil {
		return fmt.Errorf("clear away what an interrupted run left: %w", err)
	}
	return nil
}

// moveUp puts what was made within the data directory into its place.
func (i *Instance) moveUp(ctx context.Context) error {
	const text = `d=$1 b=$1/.pg_manage-building
cd "$b/data" && [ -f PG_VERSION ] || exit
for f in * .[!.]* ..?*; do
	[ -e "$f" ] || [ -L "$f" ] || continue
	[ ! -e "$d/$f" ] && [ ! -L "$d/$f" ] || { echo "$d is not empty: it holds $f" >&2; exit 1; }
	[ "$f" = PG_VERSION ] || printf '%s\n' "$f"
done >"$b/moving.new" || exit
while IFS= read -r f; do
	[ -e "$f" ] || [ -L "$f" ] || { echo "a name in $b/data has a line break" >&2; exit 1; }
done <"$b/moving.new" || exit
chmod --reference=. -- "$d" && sync -- "$b/moving.new" && mv -fT -- "$b/moving.new" "$b/moving" && sync -- "$b" || exit
while IFS= read -r f; do
	mv -nT -- "$f" "$d/$f" && [ ! -e "$f" ] || exit 1
done <"$b/moving" || exit
sync -- "$d" && mv -nT -- PG_VERSION "$d/PG_VERSION" && sync -- "$d" || exit
cd / && rm -f -- "$b/moving" && rmdir -- "$b/data" "$b"
`
	if _, err := i.script(ctx, "move the new data directory into its place", text, strings.TrimRight(i.DataDir, "/")); err != nil {
		return fmt.Errorf("move the new data directory into its place: %w", err)
	}
	return nil
}
