package view

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// FormatVersion is the version of every JSON form that this package writes, as
// major.minor.
const FormatVersion = "1.0"

// Lines writes JSON objects, one a line; the first one carries the version of
// the form. It may be used by several goroutines.
type Lines struct {
	mu  sync.Mutex
	enc *json.Encoder
	err error
}

type versionLine struct {
	Type          string `json:"type"`
	FormatVersion string `json:"format_version"`
	ToolVersion   string `json:"tool_version"`
	Command       string `json:"command"`
}

// NewLines begins the output of a command.
func NewLines(w io.Writer, command, toolVersion string) *Lines {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	l := &Lines{enc: enc}
	l.Put(versionLine{"version", FormatVersion, toolVersion, command})
	return l
}

// Put writes one object.
func (l *Lines) Put(v any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.enc.Encode(v); err != nil && l.err == nil {
		l.err = fmt.Errorf("writing JSON: %w", err)
	}
}

// Err is the first error of a Put.
func (l *Lines) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// WriteJSON writes one indented JSON document.
func WriteJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}
