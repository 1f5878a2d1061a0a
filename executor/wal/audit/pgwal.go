package audit

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pg_manage/schema/postgres"
)

// Ends of the names of marks in pg_wal/archive_status (xlogarchive.c).
const (
	markReady = ".ready" // to be archived
	markDone  = ".done"  // archived, or never to be
)

// local is a file of pg_wal.
type local struct {
	file  postgres.WALFile
	mark  string // "" when it has none
	size  int64
	path  string
	order uint64 // its segment's place, for one segment size
}

// localFiles reads pg_wal and its marks. Marks of files that are gone are in marks alone.
func localFiles(dataDir string) (files []local, marks map[string]string, err error) {
	dir := filepath.Join(dataDir, "pg_wal")
	marks, err = readMarks(dir)
	if err != nil {
		return nil, nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		f, err := postgres.ClassifyWALName(e.Name())
		if err != nil || !e.Type().IsRegular() {
			continue
		}
		st, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // PostgreSQL has removed or renamed it
		}
		if err != nil {
			return nil, nil, err
		}
		files = append(files, local{f, marks[e.Name()], st.Size(), filepath.Join(dir, e.Name()), uint64(f.Log)<<32 | uint64(f.Seg)})
	}
	return files, marks, nil
}

func readMarks(dir string) (map[string]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "archive_status"))
	if err != nil {
		return nil, err
	}
	marks := map[string]string{}
	for _, e := range entries {
		for _, mark := range []string{markReady, markDone} {
			name, ok := strings.CutSuffix(e.Name(), mark)
			if !ok {
				continue
			}
			if _, err := postgres.ClassifyWALName(name); err == nil && marks[name] != markReady {
				marks[name] = mark
			}
		}
	}
	return marks, nil
}

// Backlog says how many files wait in pg_wal to be archived, how many bytes they have,
// and which one is the oldest. It costs one look at the directory and one at each such file.
func Backlog(dataDir string) (segments int, bytes int64, oldest string, err error) {
	dir := filepath.Join(dataDir, "pg_wal")
	ready, err := Ready(dataDir)
	if err != nil {
		return 0, 0, "", err
	}
	for _, name := range ready {
		st, err := os.Stat(filepath.Join(dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist): // a mark that a crash has left
			continue
		case err != nil:
			return 0, 0, "", fmt.Errorf("counting what is to be archived: %w", err)
		}
		if oldest == "" {
			oldest = name
		}
		segments++
		bytes += st.Size()
	}
	return segments, bytes, oldest, nil
}

// Ready names the files that have a mark ".ready", by timeline and place, history files
// first, as PostgreSQL archives them.
func Ready(dataDir string) ([]string, error) {
	marks, err := readMarks(filepath.Join(dataDir, "pg_wal"))
	if err != nil {
		return nil, fmt.Errorf("reading the marks of what is to be archived: %w", err)
	}
	var names []string
	for name, mark := range marks {
		if mark == markReady {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
	return names, nil
}

func rank(name string) int {
	if strings.HasSuffix(name, ".history") {
		return 0
	}
	return 1
}
