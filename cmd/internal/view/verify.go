package view

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// VerifyPage is the JSON form of `verify`.
type VerifyPage struct {
	FormatVersion string         `json:"format_version"`
	Sound         bool           `json:"sound"` // nothing is damaged and nothing is missing, of what could be looked at
	Complete      bool           `json:"complete"`
	Backups       []VerifyBackup `json:"backups"`
}

// VerifyBackup is what reading one backup, or restoring it for a drill, found.
type VerifyBackup struct {
	Cluster     string          `json:"cluster"`
	Target      string          `json:"target"`
	Node        string          `json:"node"` // that read it
	Label       string          `json:"label"`
	Files       int64           `json:"files"`
	SizeBytes   int64           `json:"size_bytes"`   // of files, as restored
	StoredBytes int64           `json:"stored_bytes"` // read at the target
	Problems    []VerifyProblem `json:"problems"`
	WAL         []VerifyWAL     `json:"wal"` // of each archive; one of them must have it
	Drill       *Drill          `json:"drill,omitempty"`
	ElapsedNS   time.Duration   `json:"elapsed_ns"`
	Error       string          `json:"error,omitempty"` // why it could not be looked at to the end
}

// VerifyProblem is damage.
type VerifyProblem struct {
	Label  string `json:"label"`           // the backup that is damaged: with --chain it may be another one
	Object string `json:"object"`          // file at the target
	Path   string `json:"path,omitempty"`  // file of the data directory that is hit
	Chunk  *int64 `json:"chunk,omitempty"` // first block of the chunk that is hit
	Detail string `json:"detail"`
}

// VerifyWAL is the WAL from a backup's start to its end, in one archive.
type VerifyWAL struct {
	Target  string   `json:"target"`
	From    string   `json:"from"`
	To      string   `json:"to"`
	Missing []string `json:"missing"`
	Damaged []string `json:"damaged"`
	Error   string   `json:"error,omitempty"`
}

// Whole says that the archive has it all.
func (w VerifyWAL) Whole() bool { return w.Error == "" && len(w.Missing)+len(w.Damaged) == 0 }

// Drill is a restore that was started and checked.
type Drill struct {
	Proven    time.Time     `json:"proven,omitzero"` // as the catalogue has it now; zero when it failed
	Problems  []string      `json:"problems"`
	Scratch   string        `json:"scratch,omitempty"` // directory, when it was kept
	ElapsedNS time.Duration `json:"elapsed_ns"`
}

// Sound says that nothing is damaged and nothing missing, of what could be looked at.
func (b VerifyBackup) Sound() bool {
	if len(b.Problems) > 0 || b.Drill != nil && len(b.Drill.Problems) > 0 {
		return false
	}
	unclear := false
	for _, w := range b.WAL {
		if w.Whole() {
			return true
		}
		unclear = unclear || w.Error != ""
	}
	return len(b.WAL) == 0 || unclear
}

// Complete says that all could be looked at.
func (b VerifyBackup) Complete() bool {
	if b.Error != "" {
		return false
	}
	for _, w := range b.WAL {
		if w.Whole() {
			return true
		}
	}
	for _, w := range b.WAL {
		if w.Error != "" {
			return false
		}
	}
	return true
}

// shownSegments is how many names of segments are shown at most.
const shownSegments = 8

// VerifyHuman writes what was found in backups.
func VerifyHuman(w io.Writer, st Style, p VerifyPage) {
	for _, b := range p.Backups {
		verifyBackupHuman(w, st, b)
	}
}

func verifyBackupHuman(w io.Writer, st Style, b VerifyBackup) {
	verdict := st.paint(bold+";"+green, "whole")
	switch {
	case !b.Sound():
		verdict = st.paint(bold+";"+red, "DAMAGED")
	case !b.Complete():
		verdict = st.paint(bold+";"+red, "could not be checked")
	case b.Drill != nil:
		verdict = st.paint(bold+";"+green, "proven")
	}
	fmt.Fprintf(w, "%s at %s: %s", st.paint(bold, clean(b.Cluster)+": "+clean(b.Label)), clean(b.Target), verdict)
	if b.Files > 0 {
		fmt.Fprintf(w, ", %s, %s", plural(int(b.Files), "file", "files"), size(b.SizeBytes))
		if b.StoredBytes > 0 {
			fmt.Fprintf(w, " (%s read)", size(b.StoredBytes))
		}
	}
	fmt.Fprintf(w, ", in %s on %s\n", age(b.ElapsedNS), clean(b.Node))
	bad := func(text string) {
		fmt.Fprint(w, "  "+st.paint(red, "✗")+strings.TrimPrefix(st.wrap("    ", clean(text)), "   "))
	}
	if b.Error != "" {
		bad(b.Error)
	}
	for _, x := range b.Problems {
		where := x.Object
		if x.Label != "" && x.Label != b.Label {
			where = x.Label + "/" + where
		}
		if x.Path != "" {
			where += ": " + x.Path
		}
		if x.Chunk != nil {
			where += fmt.Sprintf(", chunk at block %d", *x.Chunk)
		}
		bad(where + ": " + x.Detail)
	}
	for _, x := range b.WAL {
		verifyWALHuman(w, x, bad)
	}
	if b.Drill == nil {
		return
	}
	for _, x := range b.Drill.Problems {
		bad("drill: " + x)
	}
	if !b.Drill.Proven.IsZero() {
		fmt.Fprintf(w, "  drill: restored, started and checked in %s; proven at %s\n", age(b.Drill.ElapsedNS), stamp(b.Drill.Proven))
	}
	if b.Drill.Scratch != "" {
		fmt.Fprintf(w, "  drill: what was restored is kept in %s on %s\n", clean(b.Drill.Scratch), clean(b.Node))
	}
}

func verifyWALHuman(w io.Writer, x VerifyWAL, bad func(string)) {
	if x.Whole() {
		fmt.Fprintf(w, "  WAL %s to %s is whole at %s\n", clean(x.From), clean(x.To), clean(x.Target))
		return
	}
	if x.Error != "" {
		bad("WAL at " + x.Target + " could not be checked: " + x.Error)
	}
	for i, name := range x.Missing {
		if i == shownSegments {
			fmt.Fprintf(w, "    ... and %s\n", plural(len(x.Missing)-i, "more", "more"))
			break
		}
		bad("WAL " + name + " is missing at " + x.Target)
	}
	for _, text := range x.Damaged {
		bad("WAL at " + x.Target + ": " + text)
	}
}
