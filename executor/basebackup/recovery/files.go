package recovery

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pg_manage/schema/postgres"
)

// edit takes the settings of a recovery out of postgresql.auto.conf, and puts lines in.
func edit(dataDir string, lines []setting) error {
	file := filepath.Join(dataDir, autoConf)
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text, err := changed(string(old), lines)
	if err != nil {
		return err
	}
	if text == string(old) {
		return remove(dataDir, autoConf+tempEnd)
	}
	return replace(dataDir, autoConf, []byte(text))
}

// changed gives the text without the settings of a recovery, and with lines at its end.
func changed(text string, lines []setting) (string, error) {
	var b strings.Builder
	for line := range strings.Lines(text) {
		entries, err := postgres.ParseConf(line)
		if err == nil && len(entries) == 1 && slices.Contains(names(), strings.ToLower(entries[0].Name)) {
			continue
		}
		b.WriteString(line)
	}
	if s := b.String(); len(lines) > 0 && s != "" && !strings.HasSuffix(s, "\n") {
		b.WriteByte('\n')
	}
	for _, l := range lines {
		q, err := postgres.QuoteConf(l.value)
		if err != nil {
			return "", err
		}
		b.WriteString(l.name + " = " + q + "\n")
	}
	return b.String(), nil
}

// replace gives a file of a directory new content: whole and durable, or not at all. What
// is there must be a plain file, and its mode stays.
func replace(dir, name string, content []byte) error {
	file := filepath.Join(dir, name)
	mode := fs.FileMode(0o600)
	switch st, err := os.Lstat(file); {
	case err == nil && !st.Mode().IsRegular():
		return fmt.Errorf("%s is no plain file", file)
	case err == nil:
		mode = st.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	temp := file + tempEnd
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a call that was cut off
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temp, file)
	}
	if err != nil {
		return errors.Join(err, remove(dir, name+tempEnd))
	}
	return syncDir(dir)
}

// remove takes a file away, durably.
func remove(dir, name string) error {
	err := os.Remove(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
