// Package node is what the program does on a node when the operator's side asks it to:
// `pg_manage node COMMAND` reads a request, one JSON object, from standard input or from
// --request, tells of its progress as events, one JSON object a line, on standard error, and
// gives its result, one JSON object, on standard output. Requests hold no secrets: they name
// files. What goes wrong is a line of text on standard error, and an exit status that is not 0.
//
// The commands, their requests and their results:
//
//	catalog    CatalogRequest   CatalogResult    the backups at targets
//	backup     BackupRequest    BackupResult     take a backup
//	restore    RestoreRequest   RestoreResult    put the files of one into a data directory
//	settings   SettingsRequest  SettingsResult   write or clean the settings of a recovery
//	verify     VerifyRequest    VerifyResult     read all bytes of one, and its WAL
//	drill      DrillRequest     DrillResult      restore one to scratch, start it, check it
//	expire     ExpireRequest    ExpireResult     remove backups by label, and WAL that none needs
//	pin, unpin PinRequest       PinResult        keep one from retention, or not any more
//	locate     LocateRequest    LocateResult     find a recovery target in the WAL archive
package node

import (
	"path"
	"strings"
	"time"

	"pg_manage/executor/repo"
	"pg_manage/schema/postgres"
)

// Version of requests and results. Another one is refused.
const Version = 1

// Place is a backup target of a cluster.
type Place struct {
	Target    repo.Target `json:"target"`
	BackupDir string      `json:"backup_dir"` // below the target's path
	Cluster   string      `json:"cluster"`    // whose backups and whose archive
}

// Dir is where the cluster's backups lie at the target.
func (p Place) Dir() string {
	return strings.Trim(path.Clean("/"+p.BackupDir), "/") + "/" + p.Cluster
}

// Server is the instance on the node.
type Server struct {
	DataDir   string `json:"data_dir"`
	BinDir    string `json:"bin_dir"`
	SocketDir string `json:"socket_dir"`
	Port      int    `json:"port"`
	User      string `json:"user"` // database user; the operating system's user of the instance
	Major     int    `json:"major"`
}

// BackupRequest asks for a base backup.
type BackupRequest struct {
	Version          int           `json:"version"`
	Place            Place         `json:"place"`
	Archives         []repo.Target `json:"archives,omitempty"` // where the WAL is awaited: in any of them; none: WAL is put into the backup
	Node             string        `json:"node"`
	Server           Server        `json:"server"`
	SystemIdentifier string        `json:"system_identifier"`     // that the instance must have; "" is any
	Incremental      bool          `json:"incremental,omitempty"` // on the newest backup that serves; without one a full is taken
	Parent           string        `json:"parent,omitempty"`      // label, instead of the newest
	Cold             bool          `json:"cold,omitempty"`        // the instance must be stopped
	Workers          int           `json:"workers,omitempty"`     // 0: as many as there are processors, at most 4
	Rate             int64         `json:"rate,omitempty"`        // bytes read a second; 0 is no limit
	SpreadCheckpoint bool          `json:"spread_checkpoint,omitempty"`
	ArchiveTimeout   time.Duration `json:"archive_timeout_ns,omitempty"` // to wait for the WAL; 0 is 10 minutes
	StateDir         string        `json:"state_dir"`                    // ours, for temporary files
}

// Recovery says where recovery ends; at most one of Time, LSN, XID, Name and Immediate is set; none: at the end of the WAL.
type Recovery struct {
	Time      time.Time    `json:"time,omitzero"`
	LSN       postgres.LSN `json:"lsn,omitempty"`
	XID       string       `json:"xid,omitempty"`
	Name      string       `json:"name,omitempty"`
	Immediate bool         `json:"immediate,omitempty"`
	Exclusive bool         `json:"exclusive,omitempty"` // stop before it, of time, LSN and XID
	Timeline  string       `json:"timeline,omitempty"`  // latest (also when empty), current (the backup's) or a number
}

// RestoreRequest asks for the files of a backup.
type RestoreRequest struct {
	Version          int               `json:"version"`
	Place            Place             `json:"place"`
	Label            string            `json:"label"`
	DataDir          string            `json:"data_dir"`                    // that is made or filled
	Delta            bool              `json:"delta,omitempty"`             // over a stopped data directory of the same cluster
	KeepFiles        []string          `json:"keep_files,omitempty"`        // paths in the data directory that a delta leaves as they are
	Tablespaces      map[string]string `json:"tablespaces,omitempty"`       // oid -> directory, instead of where it was
	WALDir           string            `json:"wal_dir,omitempty"`           // pg_wal becomes a link to it
	SystemIdentifier string            `json:"system_identifier,omitempty"` // that the backup must have
	Hold             bool              `json:"hold,omitempty"`              // PostgreSQL does not start on it until a SettingsRequest says where recovery ends
	Workers          int               `json:"workers,omitempty"`
	StateDir         string            `json:"state_dir"`
}
