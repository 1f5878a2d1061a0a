// Package catalog keeps the base backups of one cluster at a target: which there are, what
// is known of each, and their objects. Package basebackup describes the layout.
package catalog

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"pg_manage/executor/repo/storage"
	"pg_manage/schema/postgres"
)

// Version of backup.json.
const Version = 1

// Kind of a backup.
type Kind string

// Kinds of backups.
const (
	Full        Kind = "full"
	Incremental Kind = "incremental"
)

// Where the WAL is that a backup needs to become consistent.
const (
	WALArchived = "archive"  // in the WAL archive of the cluster
	WALIncluded = "included" // in the backup, below pg_wal
)

// Info is backup.json: what a backup is. Times are UTC. Unknown keys may be added.
type Info struct {
	Version          int               `json:"version"`
	Label            string            `json:"label"`
	Kind             Kind              `json:"kind"`
	Parent           string            `json:"parent,omitempty"` // label; of incremental backups
	Cluster          string            `json:"cluster"`
	Node             string            `json:"node"` // that it was taken on
	FromStandby      bool              `json:"from_standby,omitempty"`
	Cold             bool              `json:"cold,omitempty"`    // taken of a stopped instance, without backup_label
	SystemIdentifier string            `json:"system_identifier"` // decimal
	PostgreSQL       string            `json:"postgresql"`        // server version, such as "17.6"; cold: the major version
	Timeline         postgres.Timeline `json:"timeline"`
	StartLSN         postgres.LSN      `json:"start_lsn"` // recovery begins here (cold: the redo location)
	StopLSN          postgres.LSN      `json:"stop_lsn"`  // recovery is consistent from here on
	StartTime        time.Time         `json:"start_time"`
	StopTime         time.Time         `json:"stop_time"`
	SegmentSize      int64             `json:"segment_size"` // bytes of a WAL segment
	BlockSize        int               `json:"block_size"`   // bytes of a page of the server
	Checksums        bool              `json:"checksums"`    // pages have checksums, which were verified
	Size             int64             `json:"size"`         // bytes of all files, when restored
	Files            int64             `json:"files"`
	Stored           int64             `json:"stored"` // bytes at the target, of this backup alone
	Compression      string            `json:"compression"`
	Encrypted        bool              `json:"encrypted,omitempty"`
	WAL              string            `json:"wal"` // WALArchived or WALIncluded
	Tablespaces      []Tablespace      `json:"tablespaces,omitempty"`
	DamagedPages     []DamagedPage     `json:"damaged_pages,omitempty"` // whose checksum was wrong on the node already; the first 100
	Damaged          int64             `json:"damaged,omitempty"`       // how many there are
	Summaries        bool              `json:"summaries,omitempty"`     // WAL summaries saved reading what had not changed
	Parts            []Object          `json:"parts"`
	Index            Object            `json:"index"`
	Manifest         Object            `json:"manifest"`
	ToolVersion      string            `json:"tool_version"`
}

// Object is a stored file of a backup.
type Object struct {
	Name   string `json:"name"`   // without directory
	Size   int64  `json:"size"`   // bytes as stored
	SHA256 string `json:"sha256"` // of the bytes as stored, hexadecimal
}

// Tablespace is one beside pg_default and pg_global.
type Tablespace struct {
	OID      uint32 `json:"oid"`
	Location string `json:"location"` // on the node it was taken on
}

// DamagedPage is a page whose checksum is wrong.
type DamagedPage struct {
	Path  string `json:"path"`
	Block int64  `json:"block"` // of the file
}

// TimeForm is the form of times in names, UTC.
const TimeForm = "20060102T150405Z"

// Label makes the label of a backup that begins now.
func Label(begun time.Time, node string, kind Kind) string {
	suffix := "full"
	if kind == Incremental {
		suffix = "incr"
	}
	return begun.UTC().Format(TimeForm) + "-" + node + "-" + suffix
}

var labelForm = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[A-Za-z0-9_.-]+-(full|incr)$`)

// ValidLabel says whether a directory's name is one that Label makes.
func ValidLabel(s string) bool { return labelForm.MatchString(s) }

// Encode gives the content of backup.json.
func (i *Info) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(i, "", "  ")
	return append(b, '\n'), err
}

// DecodeInfo reads a backup.json. One of another version, or that lacks what every backup
// has, is an error.
func DecodeInfo(text []byte) (*Info, error) {
	var i Info
	if err := json.Unmarshal(text, &i); err != nil {
		return nil, fmt.Errorf("backup.json: %w", err)
	}
	switch {
	case i.Version != Version:
		return nil, fmt.Errorf("backup.json has version %d: this program reads version %d", i.Version, Version)
	case !ValidLabel(i.Label) || i.Kind != Full && i.Kind != Incremental || (i.Kind == Incremental) != (i.Parent != "") || i.SystemIdentifier == "" || i.Timeline == 0 || i.SegmentSize <= 0 || len(i.Parts) == 0:
		return nil, fmt.Errorf("backup.json of %q is not whole", i.Label)
	case i.Parent != "" && (!ValidLabel(i.Parent) || i.Parent == i.Label):
		return nil, fmt.Errorf("backup.json of %q: %q is no label of a parent", i.Label, i.Parent)
	}
	if err := checkObjects(i.objects()); err != nil {
		return nil, fmt.Errorf("backup.json of %q: %w", i.Label, err)
	}
	return &i, nil
}

// objects gives the parts, the index and the manifest.
func (i *Info) objects() []Object { return append(slices.Clone(i.Parts), i.Index, i.Manifest) }

var sumForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// checkObjects refuses names that lead elsewhere, and what no stored object has.
func checkObjects(all []Object) error {
	known := make(map[string]bool, len(all))
	for _, o := range all {
		if err := checkObjectName(o.Name); err != nil {
			return err
		}
		if known[o.Name] || o.Size < 0 || !sumForm.MatchString(o.SHA256) {
			return fmt.Errorf("the object %q is there twice, or its size (%d) or SHA-256 (%q) is none", o.Name, o.Size, o.SHA256)
		}
		known[o.Name] = true
	}
	return nil
}

// checkObjectName refuses names that no object of a backup has: those that lead elsewhere, and
// those of backup.json and its like. An index that is not compressed is one.
func checkObjectName(name string) error {
	if storage.CheckName(name) != nil || strings.Contains(name, "/") || strings.HasSuffix(name, ".json") && name != "index.json" {
		return fmt.Errorf("%q is no name of an object of a backup", name)
	}
	return nil
}
