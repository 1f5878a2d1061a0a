package planner

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"pg_manage/schema"
)

// UsedPlace is a note in Instance.State of a node: a place at a target has taken something of
// its cluster. A place that seems empty in spite of it is not new: a disk that is not mounted.
type UsedPlace struct {
	Kind             string    `json:"kind"`  // UsedForArchive or UsedForBackups
	Place            string    `json:"place"` // see BackupPlace.UsedFor
	SystemIdentifier string    `json:"system_identifier"`
	Since            time.Time `json:"since"`
}

// Kinds of use.
const (
	UsedForArchive = "archive"
	UsedForBackups = "backups"
)

// UsedPrefix begins the names of these notes in Instance.State.
const UsedPrefix = "used-"

// UsedFor is a note of use of a place for its archive or its backups, however it is reached.
func (p BackupPlace) UsedFor(kind, system string, since time.Time) UsedPlace {
	t, dir := p.Target, p.BackupDir
	if kind == UsedForArchive {
		dir = t.ArchiveDir
	}
	at := t.Scheme + "://" + t.Host
	if t.Port != 0 {
		at += fmt.Sprintf(":%d", t.Port)
	}
	at += strings.TrimRight(t.Path, "/") + "/" + dir + "/" + p.Cluster
	return UsedPlace{Kind: kind, Place: at, SystemIdentifier: system, Since: since.UTC().Truncate(time.Second)}
}

// File is the name of the note in Instance.State.
func (u UsedPlace) File() string { return UsedPrefix + Digest(u.Kind + " " + u.Place)[:16] + ".json" }

// Encode gives the content of the note, a line.
func (u UsedPlace) Encode() []byte {
	text, err := json.Marshal(u)
	if err != nil { // strings and a time alone: cannot happen
		panic(err)
	}
	return append(text, '\n')
}

// DecodeUsed reads a note.
func DecodeUsed(text []byte) (UsedPlace, error) {
	var u UsedPlace
	err := json.Unmarshal(text, &u)
	if err == nil && (u.Place == "" || u.SystemIdentifier == "") {
		err = errors.New("it names no place")
	}
	return u, err
}

// Vanished says what to do about a place that is empty in spite of a note; noted is where that lies.
func (u UsedPlace) Vanished(noted string) string {
	what := "took base backups"
	if u.Kind == UsedForArchive {
		what = "had the WAL archive"
	}
	return fmt.Sprintf("%s %s of this cluster (system identifier %s) since %s, and seems empty now: is a disk not mounted, on the machine that has it? Mount it. If what was there is gone for good, or was moved away on purpose, remove %s, and it is taken for a new one",
		u.Place, what, u.SystemIdentifier, u.Since.Format("2006-01-02 15:04:05 MST"), noted)
}

// Note finds a node's note of use that is about the same place and cluster; nil when it has none.
func (f *NodeFacts) Note(u UsedPlace) *UsedPlace {
	for i := range f.Used {
		if x := &f.Used[i]; x.Kind == u.Kind && x.Place == u.Place && x.SystemIdentifier == u.SystemIdentifier {
			return x
		}
	}
	return nil
}

// vanished says why a place that seems empty is not new; "" when nothing speaks against that.
func (b *builder) vanished(t *schema.Target, kind string) string {
	id := b.node(b.primary).Data.SystemIdentifier
	if id == "" {
		return ""
	}
	want := NewBackupPlace(t, b.c.Name).UsedFor(kind, id, time.Time{})
	for _, n := range b.c.Nodes {
		if u := b.observed(n).Note(want); u != nil {
			return u.Vanished(b.node(n).Paths.State + "/" + u.File() + " on " + n.Name)
		}
	}
	return ""
}
