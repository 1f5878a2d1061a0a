package instance

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"pg_manage/executor/remote"
)

// errRunning is a data directory that a live server uses.
var errRunning = errors.New("a server is running on the data directory")

// emptyDir looks at the data directory: present says that it is there and empty, inPlace
// that no rename can put another in its place: it is a mount point, a symbolic link, or
// its parent is not the owner's to write to. Anything in it is an error, except what an
// interrupted build of ours says that it moved there.
func (i *Instance) emptyDir(ctx context.Context) (present, inPlace bool, err error) {
	const text = `d=$1 b=$1/.pg_manage-building
if [ ! -e "$d" ] && [ ! -L "$d" ]; then echo absent; exit; fi
[ -d "$d" ] || { echo "$d is no directory" >&2; exit 1; }
for f in "$d"/* "$d"/.[!.]* "$d"/..?*; do
	[ -e "$f" ] || [ -L "$f" ] || continue
	case ${f##*/} in lost+found | .pg_manage-building) continue ;; esac
	[ ! -e "$d/PG_VERSION" ] && [ -f "$b/moving" ] && grep -qxF -e "${f##*/}" -- "$b/moving" && continue
	echo "$d is not empty: it holds ${f##*/}" >&2
	exit 1
done
x=$(stat -L -c %d -- "$d") && y=$(stat -c %d -- "$(dirname -- "$d")") || exit
if [ ! -L "$d" ] && [ "$x" = "$y" ] && ! mountpoint -q -- "$d" && [ -w "$(dirname -- "$d")" ]; then echo empty; exit; fi
[ -O "$d" ] || { echo "$d does not belong to $(id -un): give it to that user" >&2; exit 1; }
[ ! -e "$d/lost+found" ] || { echo "$d is the root of a file system and holds lost+found, which no server can copy to a standby: declare a directory below it as data_dir" >&2; exit 1; }
echo in-place
`
	res, err := i.script(ctx, "look at the data directory", text, strings.TrimRight(i.DataDir, "/"))
	if err != nil {
		return false, false, err
	}
	switch strings.TrimSpace(string(res.Stdout)) {
	case "empty":
		return true, false, nil
	case "in-place":
		return true, true, nil
	}
	return false, false, nil
}

// removeLeftover deletes what an interrupted initdb or pg_basebackup of ours left
// beside the data directory. Anything that does not look like that is left alone.
func (i *Instance) removeLeftover(ctx context.Context, inPlace bool) error {
	if inPlace {
		return i.clearInside(ctx)
	}
	const text = `d=$1
[ -e "$d" ] || [ -L "$d" ] || exit 0
case $d in *.pg_manage-building) ;; *) exit 1 ;; esac
[ -d "$d" ] && [ ! -L "$d" ] && [ -O "$d" ] || { echo "$d is in the way, and not a directory of the owner: move it away by hand" >&2; exit 1; }
if [ -f "$d/postmaster.pid" ]; then
	IFS= read -r pid <"$d/postmaster.pid"
	if kill -0 "$pid" 2>/dev/null; then echo "$d is in the way, and a server may be running on it (pid $pid)" >&2; exit 1; fi
fi
for f in "$d"/* "$d"/.[!.]*; do
	[ -e "$f" ] || [ -L "$f" ] || continue
	case ${f##*/} in
	PG_VERSION | base | global | pg_* | postgresql*.conf | backup_label* | backup_manifest* | tablespace_map* | standby.signal | current_logfiles* | log | server.crt | server.key | root.crt | postmaster.opts | .*) ;;
	*) [ -f "$d/PG_VERSION" ] || [ -d "$d/pg_wal" ] || { echo "$d is in the way, and holds ${f##*/}, which no interrupted copy leaves: move it away by hand" >&2; exit 1; } ;;
	esac
done
w=$(readlink -- "$d/pg_wal") || w=
case $w in # on a disk of its own, as a restore or a build of ours made it for this copy
/*.restored-[0-9]*T[0-9]*Z | /*.rebuilt-[0-9]*T[0-9]*Z)
	[ ! -d "$w" ] || [ -L "$w" ] || [ ! -O "$w" ] || [ "$w" -ef "${d%.pg_manage-building}/pg_wal" ] || rm -rf -- "$w" || exit
	;;
esac
clear_spaces "$d" "${d%.pg_manage-building}"
[ ! -d "$d/pg_tblspc" ] || [ -L "$d/pg_tblspc" ] || chmod u+w -- "$d/pg_tblspc"
rm -rf -- "$d"
`
	if _, err := i.script(ctx, "clear away an interrupted copy", clearSpaces+text, i.beside()); err != nil {
		return fmt.Errorf("clear away what an interrupted run left: %w", err)
	}
	return nil
}

// clearSpaces is a function of the shell that empties the tablespaces of an interrupted copy, $1,
// which lie outside of it: they were empty when it was begun. One that the data directory $2,
// another one kept beside it or one that a process works in leads to as well stays as it is, and
// so does one that holds anything else.
const clearSpaces = `clear_spaces() {
	[ ! -L "$1/pg_tblspc" ] || return 0
	for l in "$1"/pg_tblspc/[0-9]*; do
		[ -L "$l" ] && [ -d "$l" ] && [ -O "$l" ] || continue
		for o in "$2"/pg_tblspc/* "$2".*/pg_tblspc/* /proc/[0-9]*/cwd/pg_tblspc/*; do
			case $o in "$1"/*) continue ;; esac
			[ ! "$o" -ef "$l" ] || continue 2
		done
		for f in "$l"/* "$l"/.[!.]* "$l"/..?*; do
			[ -e "$f" ] || [ -L "$f" ] || continue
			case ${f##*/} in PG_[0-9]*_[0-9]* | lost+found) continue ;; esac
			continue 2
		done
		rm -rf -- "$l"/PG_[0-9]*_[0-9]* || exit
	done
}
`

// refuseRunning fails when postmaster.pid names a live process of the data directory.
func (i *Instance) refuseRunning(ctx context.Context) error {
	const text = `f=$1/postmaster.pid
[ -e "$f" ] || exit 0
IFS= read -r pid <"$f" || exit 3
case $pid in -*) pid=${pid#-} ;; esac
[ -n "$pid" ] || exit 3
kill -0 "$pid" 2>/dev/null || exit 0
works=$(stat -L -c %d:%i "/proc/$pid/cwd") && here=$(stat -L -c %d:%i -- "$1") || exit 3
[ "$works" = "$here" ] && exit 3
exit 0
`
	_, err := i.script(ctx, "is a server running on the data directory", text, i.DataDir)
	var failed *remote.CommandError
	if errors.As(err, &failed) && failed.Status == 3 {
		return fmt.Errorf("%s: %s: %w: stop it first, if it is not needed", i.Host.Name(), i.DataDir, errRunning)
	}
	return err
}

// swap puts the finished directory into the place of the data directory. What was
// there is removed when it was an empty directory, and renamed to aside otherwise. It
// comes back when the second rename fails.
func (i *Instance) swap(ctx context.Context, empty, inPlace bool, aside string) error {
	if err := i.refuseRunning(ctx); err != nil {
		return err
	}
	if inPlace {
		return i.moveUp(ctx)
	}
	data := strings.TrimRight(i.DataDir, "/")
	switch {
	case empty:
		if _, err := i.run(ctx, "rmdir", "--", data); err != nil {
			return fmt.Errorf("make room for the new data directory: %w", err)
		}
	case aside != "":
		if err := remote.Rename(ctx, i.Host, data, aside, i.Owner); err != nil {
			return fmt.Errorf("move the old data directory aside: %w", err)
		}
	}
	err := remote.Rename(ctx, i.Host, i.beside(), data, i.Owner)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("put the new data directory into its place (it is whole, at %s): %w", i.beside(), err)
	if aside != "" && !empty {
		if back := remote.Rename(context.WithoutCancel(ctx), i.Host, aside, data, i.Owner); back != nil {
			return fmt.Errorf("%w; the old data directory is kept at %s", err, aside)
		}
		return fmt.Errorf("%w; the old data directory was put back", err)
	}
	return err
}
