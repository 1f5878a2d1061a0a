package recovery

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// spacesLinks is where the links to tablespaces are.
const spacesLinks = "pg_tblspc"

// Fence lets nobody make links to tablespaces beside those that a restore has made. Replay of
// CREATE TABLESPACE makes one to the place that it had on the source (tablespace.c): on the
// source's node the server would write to the live files from then on, and in place it would
// find there pages that are newer than what it replays, and pass over it. With the fence it
// stops there. tablespace_map makes the links anew, and says nothing that they don't.
func Fence(dataDir string) error {
	if err := remove(dataDir, "tablespace_map"); err != nil {
		return err
	}
	dir := filepath.Join(dataDir, spacesLinks)
	st, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = os.Chmod(dir, st.Mode().Perm()&^0o222)
	}
	if err == nil {
		err = syncDir(dir)
	}
	return err
}

// Unfence ends it. Replay of DROP TABLESPACE could not remove its link: one that leads to no
// server's directory any more goes.
func Unfence(dataDir string) error {
	dir := filepath.Join(dataDir, spacesLinks)
	st, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	fenced := st.Mode().Perm()&0o200 == 0
	if err := os.Chmod(dir, st.Mode().Perm()|0o700); err != nil || !fenced {
		return err
	}
	links, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.Type() != fs.ModeSymlink {
			continue
		}
		name := filepath.Join(dir, l.Name())
		if in, err := os.ReadDir(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		} else if hasVersion(in) {
			continue
		}
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

// allow lets a fenced data directory be removed.
func allow(dataDir string) error {
	err := os.Chmod(filepath.Join(dataDir, spacesLinks), 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func hasVersion(entries []fs.DirEntry) bool {
	for _, e := range entries {
		if ok, _ := filepath.Match("PG_*_*", e.Name()); ok {
			return true
		}
	}
	return false
}
