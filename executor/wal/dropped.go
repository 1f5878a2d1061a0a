package wal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"

	"pg_manage/executor/repo"
	"pg_manage/schema/postgres"
)

// DroppedRange is WAL that was given up for one target, because more than its declared
// queue_limit waited: recovery at that target ends before From until there is a base
// backup from after To.
type DroppedRange struct {
	From     string    `json:"from"`
	To       string    `json:"to"`
	Segments int       `json:"segments"`
	Since    time.Time `json:"since"`
}

// dropNote is one line of dropped/<target>.jsonl.
type dropNote struct {
	WAL  string    `json:"wal"`
	Time time.Time `json:"time"`
}

func (c *Config) droppedFile(target string) string { return c.beside("dropped", target+".jsonl") }

// drop writes down, durably, that a file was given up for a target. Only then may
// PostgreSQL hear that it is archived.
func (c *Config) drop(t repo.Target, f postgres.WALFile, now time.Time) error {
	line, err := json.Marshal(dropNote{f.Name, now.UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	unlock, err := c.lockDropped()
	if err != nil {
		return fmt.Errorf("noting that %s is dropped: %w", f.Name, err)
	}
	defer unlock()
	file := c.droppedFile(t.Name)
	w, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("noting that %s is dropped: %w", f.Name, err)
	}
	// Apart from what a full disk or a crash may have left of a note before it.
	_, err = w.Write(append(append([]byte{'\n'}, line...), '\n'))
	if err := errors.Join(err, w.Sync(), w.Close(), syncDirs(filepath.Dir(file), filepath.Dir(c.file))); err != nil {
		return fmt.Errorf("noting that %s is dropped: %w", f.Name, err)
	}
	return nil
}

func syncDirs(dirs ...string) error {
	var errs []error
	for _, dir := range dirs {
		d, err := os.Open(dir)
		if err == nil {
			err = errors.Join(d.Sync(), d.Close())
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Dropped lists what was given up for a target, in the order of its segments.
func (c *Config) Dropped(target string) ([]DroppedRange, error) {
	notes, err := c.dropNotes(target)
	if err != nil {
		return nil, err
	}
	var all []DroppedRange
	var last postgres.WALFile
	seen := map[string]bool{}
	for _, n := range notes {
		f, err := postgres.ClassifyWALName(n.WAL)
		if err != nil || seen[n.WAL] {
			continue
		}
		seen[n.WAL] = true
		if k := len(all) - 1; k >= 0 && follows(last, f) {
			all[k].To = n.WAL
			all[k].Segments++
		} else {
			all = append(all, DroppedRange{n.WAL, n.WAL, 1, n.Time})
		}
		last = f
	}
	return all, nil
}

// follows says whether b is the segment after a on the same timeline. Where a log of
// 4 GB ends depends on the segment size; both of its ends are taken for neighbours.
func follows(a, b postgres.WALFile) bool {
	return a.Timeline == b.Timeline && (a.Log == b.Log && b.Seg == a.Seg+1 || b.Log == a.Log+1 && b.Seg == 0)
}

func (c *Config) dropNotes(target string) ([]dropNote, error) {
	text, err := os.ReadFile(c.droppedFile(target))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var notes []dropNote
	for line := range bytes.Lines(text) {
		var n dropNote
		if json.Unmarshal(line, &n) == nil { // a torn last line was never acknowledged
			notes = append(notes, n)
		}
	}
	return notes, nil
}

// Undrop takes a file that is at the target after all off the list.
func (c *Config) Undrop(target, name string) error {
	return c.rewriteDropped(target, func(n dropNote) bool { return n.WAL != name })
}

// rewriteDropped keeps the notes that keep says.
func (c *Config) rewriteDropped(target string, keep func(dropNote) bool) error {
	unlock, err := c.lockDropped()
	if err != nil {
		return err
	}
	defer unlock()
	notes, err := c.dropNotes(target)
	if err != nil {
		return err
	}
	var text []byte
	for _, n := range notes {
		if keep(n) {
			line, err := json.Marshal(n)
			if err != nil {
				return err
			}
			text = append(append(text, line...), '\n')
		}
	}
	file := c.droppedFile(target)
	if len(text) == 0 {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return syncDirs(filepath.Dir(file))
	}
	if err := renameio.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	return syncDirs(filepath.Dir(file))
}

// lockDropped keeps all others from writing notes until unlock.
func (c *Config) lockDropped() (unlock func(), err error) {
	dir := c.beside("dropped")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock := flock.New(filepath.Join(dir, ".lock"), flock.SetPermissions(0o600))
	if err := lock.Lock(); err != nil {
		return nil, err
	}
	return func() { lock.Unlock() }, nil //nolint:errcheck // it is free when the process ends at the latest
}
