package restore

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// markerName is the file that says that a restore has not come to its end.
const markerName = "pg_manage.restoring"

// marker is its content.
type marker struct {
	Label            string            `json:"label"`
	SystemIdentifier string            `json:"system_identifier"`
	Delta            bool              `json:"delta,omitempty"`     // there was a cluster before, of which something may be left
	WALMoved         bool              `json:"wal_moved,omitempty"` // its WAL has been moved aside
	Places           map[string]string `json:"places,omitempty"`    // tablespaces by oid, and pg_wal: directories that are the restore's to fill
}

// readMarker gives the marker of a data directory; nil: there is none.
func readMarker(dir string) (*marker, error) {
	name := filepath.Join(dir, markerName)
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var m marker
	if err := json.Unmarshal(text, &m); err != nil || m.SystemIdentifier == "" {
		return nil, fmt.Errorf("%s does not say which restore was interrupted: look whether anything in %s is still needed, and remove it", name, dir)
	}
	return &m, nil
}

// write puts the marker into a data directory, durably.
func (m *marker) write(p *place) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := writeWhole(p, markerName, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(p.dir, markerName), err)
	}
	return nil
}

// writeWhole puts a file into a place under its name once it is whole and durable.
func writeWhole(p *place, name string, text []byte, mode os.FileMode) error {
	temp := name + ".pg_manage-tmp"
	f, err := p.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := p.root.Rename(temp, name); err != nil {
		return err
	}
	return p.syncDir(filepath.Dir(name))
}

// controlSize is how much of pg_control is read: the system identifier is its first 8
// bytes, in all versions (src/include/catalog/pg_control.h).
const controlSize = 8

// systemIdentifier reads that of a data directory.
func systemIdentifier(control string) (string, error) {
	f, err := os.Open(control)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	b := make([]byte, controlSize)
	if _, err := io.ReadFull(f, b); err != nil {
		return "", fmt.Errorf("%s: %w", control, err)
	}
	return strconv.FormatUint(binary.NativeEndian.Uint64(b), 10), nil
}
