package planner

import (
	"time"

	"pg_manage/schema/postgres"
)

// Observed is what the nodes and targets said, by cluster and node name.
type Observed struct {
	Clusters map[string]*ClusterFacts `json:"clusters"`
}

// ClusterFacts are the nodes of one cluster. Every declared node has an entry.
type ClusterFacts struct {
	Nodes map[string]*NodeFacts `json:"nodes"`
}

// Node gives the facts of a node of a cluster; nil when it was not looked at.
func (o *Observed) Node(cluster, node string) *NodeFacts {
	if o == nil || o.Clusters[cluster] == nil {
		return nil
	}
	return o.Clusters[cluster].Nodes[node]
}

// NodeFacts are what was seen of one node. With Unreachable set, nothing else was seen.
type NodeFacts struct {
	Unreachable string         `json:"unreachable,omitempty"` // why the node could not be looked at; "" when it was
	Host        HostFacts      `json:"host"`
	Paths       Paths          `json:"paths"`
	Data        DataFacts      `json:"data"`
	Server      ServerFacts    `json:"server"`
	Files       FileFacts      `json:"files"`
	Archives    []ArchiveFact  `json:"archives,omitempty"` // one for each declared target, in ArchiveOrder
	Archiving   ArchivingFacts `json:"archiving,omitzero"`
	Catalogs    []CatalogFact  `json:"catalogs,omitempty"`       // of base backups; one node of a cluster is asked
	Intent      *RestoreIntent `json:"restore_intent,omitempty"` // a restore in place that was begun and not finished
	Used        []UsedPlace    `json:"used,omitempty"`           // places at targets that have taken something from this node
}

// HostFacts are about the machine.
type HostFacts struct {
	Hostname  string            `json:"hostname"`
	OSFamily  string            `json:"os_family"` // debian, rhel, or other
	OSName    string            `json:"os_name"`   // PRETTY_NAME of os-release
	Arch      string            `json:"arch"`      // Go's name: amd64, arm64
	Owner     string            `json:"owner"`     // operating system user that owns the instance
	OwnerHome string            `json:"owner_home"`
	CanRoot   bool              `json:"can_root"`          // root, or sudo without a password; asked only where systemd governs
	Systemd   bool              `json:"systemd"`           // systemd runs the machine
	Installed map[string]string `json:"installed"`         // our binaries: file name -> SHA-256
	Packages  map[int]string    `json:"packages"`          // PostgreSQL major version -> full version of the server binaries found
	Daemons   []string          `json:"daemons,omitempty"` // HA daemons that are active for this instance: patroni, repmgrd, pg_autoctl
}

// Paths are where things lie on the node, conventions resolved.
type Paths struct {
	BinDir    string  `json:"bin_dir"` // "" when no binaries of the declared major version were found
	DataDir   string  `json:"data_dir"`
	ConfigDir string  `json:"config_dir"` // where postgresql.conf lies or would lie
	Tool      string  `json:"tool"`       // our binaries: <owner home>/.pg_manage/bin
	State     string  `json:"state"`      // our files for this node: <owner home>/.pg_manage/<cluster>/<node>
	SocketDir string  `json:"socket_dir"` // where the server's unix socket is, or will be
	Manager   Manager `json:"manager"`
	Unit      string  `json:"unit,omitempty"` // systemd unit, with ManagerSystemd
}

// Manager is what governs an instance: who starts and stops it.
type Manager string

// Managers of an instance.
const (
	ManagerSystemd      Manager = "systemd"       // systemctl with Unit
	ManagerPgCtlcluster Manager = "pg_ctlcluster" // Debian's postgresql-common, without systemd or without root
	ManagerPgCtl        Manager = "pg_ctl"
)

// DataState is what a data directory holds.
type DataState string

// States of a data directory.
const (
	DataAbsent  DataState = "absent"  // no such directory
	DataEmpty   DataState = "empty"   // an empty directory
	DataForeign DataState = "foreign" // holds something that is no PostgreSQL data directory
	DataCluster DataState = "cluster" // PG_VERSION and global/pg_control are there
	DataUnknown DataState = "unknown" // could not be read; see Error

	// DataUnfinished is what a restore of ours that was cut off has left in the data
	// directory itself: PostgreSQL cannot be started on it. SystemIdentifier is the backup's.
	DataUnfinished DataState = "unfinished"
)

// DataFacts are about the data directory, from PG_VERSION and pg_controldata.
type DataFacts struct {
	State            DataState         `json:"state"`
	Error            string            `json:"error,omitempty"`
	MajorVersion     int               `json:"major_version,omitempty"`
	SystemIdentifier string            `json:"system_identifier,omitempty"`
	ControlState     string            `json:"control_state,omitempty"` // "in production", "shut down", "shut down in recovery", ...
	Timeline         postgres.Timeline `json:"timeline,omitempty"`
	Checkpoint       postgres.LSN      `json:"checkpoint,omitempty"` // latest checkpoint location
	Checksums        bool              `json:"checksums,omitempty"`
	SegmentSize      int64             `json:"segment_size,omitempty"` // bytes of a WAL segment
	Limits           map[string]string `json:"limits,omitempty"`       // the settings that pg_control keeps; on a standby those of its primary, as far as replayed
	StandbySignal    bool              `json:"standby_signal,omitempty"`
	RecoverySignal   bool              `json:"recovery_signal,omitempty"`
	Restored         string            `json:"restored,omitempty"`    // made by a restore of ours, and not recovered yet: what was asked for, as in RestoreIntent
	MountPoint       bool              `json:"mount_point,omitempty"` // the data directory is a mount point, so it cannot be renamed
	Building         bool              `json:"building,omitempty"`    // what an interrupted build left lies beside it
	Aside            []string          `json:"aside,omitempty"`       // former data directories that were moved aside, by path
	Sample           []string          `json:"sample,omitempty"`      // with DataForeign: up to three names it holds
}

// ServerFacts are about the running server. Running is judged by postmaster.pid
// and the process it names, never by a process name. When it runs but gave no
// answer, Error says why and the rest is not known.
type ServerFacts struct {
	Running   bool   `json:"running"`
	PID       int    `json:"pid,omitempty"`
	Port      int    `json:"port,omitempty"`
	Accepting bool   `json:"accepting"` // answered our queries
	Error     string `json:"error,omitempty"`
	PortTaken string `json:"port_taken,omitempty"` // not running, and somebody else listens on the declared port: who, as far as known

	Version         postgres.Version            `json:"version,omitempty"`
	InRecovery      bool                        `json:"in_recovery,omitempty"`
	Timeline        postgres.Timeline           `json:"timeline,omitempty"`
	CurrentLSN      postgres.LSN                `json:"current_lsn,omitempty"` // primary: written; standby: 0
	ReceiveLSN      postgres.LSN                `json:"receive_lsn,omitempty"`
	ReplayLSN       postgres.LSN                `json:"replay_lsn,omitempty"`
	ReplayAge       time.Duration               `json:"replay_age_ns,omitempty"` // since the last replayed commit
	ReplayPaused    bool                        `json:"replay_paused,omitempty"`
	StartedAt       time.Time                   `json:"started_at,omitzero"`
	Receiver        *Receiver                   `json:"receiver,omitempty"` // standby: nil when no WAL receiver runs
	Senders         []Sender                    `json:"senders,omitempty"`
	Slots           []Slot                      `json:"slots,omitempty"`
	Settings        map[string]postgres.Setting `json:"settings,omitempty"`      // those that the file declares, and those that are not at their default
	AutoConf        map[string]string           `json:"auto_conf,omitempty"`     // set in postgresql.auto.conf, which overrides the files
	FromOurFile     []string                    `json:"from_our_file,omitempty"` // settings whose live value comes from pg_manage.conf
	PendingRestart  []string                    `json:"pending_restart,omitempty"`
	ReplicationRole *RoleFacts                  `json:"replication_role,omitempty"` // nil when the role does not exist
	Archiver        *Archiver                   `json:"archiver,omitempty"`
}

// Receiver is the WAL receiver of a standby (pg_stat_wal_receiver).
type Receiver struct {
	Status     string       `json:"status"` // "streaming" when all is well
	SenderHost string       `json:"sender_host,omitempty"`
	SenderPort int          `json:"sender_port,omitempty"`
	Slot       string       `json:"slot,omitempty"`
	Received   postgres.LSN `json:"received,omitempty"`
}

// Sender is one row of pg_stat_replication.
type Sender struct {
	ApplicationName string        `json:"application_name"`
	ClientAddr      string        `json:"client_addr,omitempty"`
	State           string        `json:"state"`
	SyncState       string        `json:"sync_state,omitempty"`
	SentLSN         postgres.LSN  `json:"sent_lsn,omitempty"`
	FlushLSN        postgres.LSN  `json:"flush_lsn,omitempty"`
	ReplayLSN       postgres.LSN  `json:"replay_lsn,omitempty"`
	ReplayLag       time.Duration `json:"replay_lag_ns,omitempty"`
}

// Slot is one replication slot.
type Slot struct {
	Name       string       `json:"name"`
	Type       string       `json:"type"` // physical or logical
	Active     bool         `json:"active"`
	RestartLSN postgres.LSN `json:"restart_lsn,omitempty"`
	WALStatus  string       `json:"wal_status,omitempty"` // reserved, extended, unreserved, lost
}

// RoleFacts are about the replication role. The password itself is never a fact.
type RoleFacts struct {
	Login           bool `json:"login"`
	Replication     bool `json:"replication"`
	PasswordMatches bool `json:"password_matches"` // the stored verifier fits the declared password
}

// Archiver is pg_stat_archiver.
type Archiver struct {
	Archived   int64     `json:"archived"`
	LastWAL    string    `json:"last_wal,omitempty"`
	LastTime   time.Time `json:"last_time,omitzero"`
	Failed     int64     `json:"failed"`
	FailedWAL  string    `json:"failed_wal,omitempty"`
	FailedTime time.Time `json:"failed_time,omitzero"`
	Ready      int       `json:"ready"` // segments that wait in pg_wal/archive_status
}

// Failing says that the newest thing the archiver tells of is a failure.
func (a *Archiver) Failing() bool {
	return a != nil && !a.FailedTime.IsZero() && a.FailedTime.After(a.LastTime)
}

// Proven says that the archive took a segment since the archiver last failed.
func (a *Archiver) Proven() bool {
	return a != nil && !a.LastTime.IsZero() && a.LastTime.After(a.FailedTime)
}

// FileFacts are the files that we keep on a node. An absent file is "".
type FileFacts struct {
	Settings        string `json:"settings"`                  // <config dir>/pg_manage.conf
	Included        bool   `json:"included"`                  // postgresql.conf includes it, and nothing stands behind that line
	HBA             string `json:"hba"`                       // our marked block of pg_hba.conf, marks and all
	Unread          bool   `json:"unread,omitempty"`          // pg_hba.conf is newer than what the running server read of it
	HBAErrors       string `json:"hba_errors,omitempty"`      // what pg_hba_file_rules complains of
	SettingsErrors  string `json:"settings_errors,omitempty"` // what pg_file_settings complains of
	HookConfig      string `json:"hook_config"`               // <state>/hook.json
	PassfileMatches bool   `json:"passfile_matches"`          // <state>/passfile is what the file declares, and 0600
	ConfigExists    bool   `json:"config_exists"`             // postgresql.conf is there
}
