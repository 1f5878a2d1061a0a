package wal

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// openLog opens the log of today: archive-Mon.log, restore-Mon.log and so on, one for
// each day of the week. The first line of a new week empties the file.
func openLog(dir, what string, now time.Time) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, fmt.Sprintf("%s-%s.log", what, now.Format("Mon")))
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if st, err := os.Stat(file); err == nil && now.Sub(st.ModTime()) > 36*time.Hour {
		flags |= os.O_TRUNC
	}
	return os.OpenFile(file, flags, 0o600)
}
