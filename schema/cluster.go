package schema

import "time"

// Config is everything that the files of a folder declare, in order of
// declaration. Defaults are filled in and references are resolved.
type Config struct {
	Targets  []*Target
	Clusters []*Cluster
}

// Role is what a node is meant to be.
type Role string

// Roles of a node.
const (
	RolePrimary Role = "primary"
	RoleStandby Role = "standby"
)

// Cluster is one PostgreSQL cluster: a primary, its standbys and what is kept of them.
type Cluster struct {
	Name        string
	Version     int // PostgreSQL's major version, 13 or later
	Nodes       []*Node
	Replication *Replication // nil when the cluster has only one node and declares none
	Archives    []*Archive   // where WAL goes, in order of declaration; none when it is not archived
	Archiving   Archiving    // what holds for all of them
	Backups     []*Backup
	Exports     []*Export
	Bootstrap   *Bootstrap
	Range       Range
}

// Node is one PostgreSQL instance of a cluster. What the cluster block sets for
// all nodes is merged in.
type Node struct {
	Name     string
	Host     string // what the operator connects to: a name, an address or an alias of ~/.ssh/config; "" when local
	Address  string // what the other nodes connect to; Host unless declared
	Role     Role
	Upstream string        // name of the node that a standby streams from; "" for the primary
	Delay    time.Duration // recovery_min_apply_delay of a standby
	SeedFrom []string      // where a new standby's data comes from, by preference: "backup", "primary", "upstream"

	Port      int
	DataDir   string // "" means the convention of the node's distribution
	ConfigDir string // where postgresql.conf lies; "" means by convention, else the data directory
	BinDir    string // where initdb lies; "" means by convention

	Parameters map[string]string // PostgreSQL settings by lower-case name, values as they would stand unquoted in postgresql.conf
	HBA        []string          // lines for pg_hba.conf, below the ones that replication needs

	Connection Connection
	Range      Range
}

// Connection says how the operator's machine reaches a node.
type Connection struct {
	Type           string // "ssh" or "local"
	User           string // login user; "" leaves it to ~/.ssh/config, then the operator's own name
	Port           int    // 0 leaves it to ~/.ssh/config, then 22
	IdentityFile   string
	ProxyJump      string
	Owner          string        // operating system user that owns the instance; "postgres" unless declared
	ConnectTimeout time.Duration // for the TCP connection and the handshake
}

// Replication is the role that standbys stream with.
type Replication struct {
	User     string
	Password Secret
	Range    Range
}

// Archive is one place where WAL goes.
type Archive struct {
	Target     *Target
	Required   bool  // a segment is archived only when it is durable there; at least one archive of a cluster is required
	QueueLimit int64 // not required: bytes of WAL that may wait for the target before it is dropped; 0 never drops
	Range      Range
}

// Archiving is what a cluster's archive blocks say for all of its targets.
type Archiving struct {
	Timeout    time.Duration // archive_timeout; 0 leaves PostgreSQL's default
	Workers    int           // segments stored or fetched at a time; 0 leaves it to the tool
	SpoolLimit int64         // bytes that restore may fetch ahead; 0 leaves it to the tool
	Log        bool          // the hook writes weekday logs on the nodes
}

// Backup is a rule: a base backup at a target, never older than MaxAge.
type Backup struct {
	Name       string
	Target     *Target
	MaxAge     time.Duration // 0: only when asked for
	FullEvery  time.Duration // between full backups of at most this age the others are incremental; 0: all are full
	From       string        // "primary", "standby" or "prefer-standby"
	Workers    int           // that read and compress at a time; 0 leaves it to the tool
	Rate       int64         // bytes read a second; 0 is no limit
	Keep       Keep
	ProveEvery time.Duration // 0: only when asked for
	Range      Range
}

// Keep says which backups stay. A backup is kept while any rule keeps it.
type Keep struct {
	Full   int           // newest N full backups
	Age    time.Duration // backups younger than this
	Window time.Duration // what recovery to any point in this window needs
}

// Export is a rule: a logical dump of one database, never older than MaxAge.
type Export struct {
	Database string
	Target   *Target
	MaxAge   time.Duration
	Keep     Keep
	Range    Range
}

// Bootstrap says where the first data of a new cluster comes from; nil means initdb.
type Bootstrap struct {
	Restore *Restore
	Locale  string // initdb --locale
	Range   Range
}

// Restore names a backup and the point to recover to.
type Restore struct {
	Target         *Target
	Cluster        string // whose backup
	Backup         string // label; "" lets the tool choose
	RecoveryTarget RecoveryTarget
	Timeline       string // "latest", "current" or a number
	// Tablespaces are new places, by the locations that the backup has. Both are absolute and clean.
	Tablespaces map[string]string `json:",omitempty"`
	Range       Range
}

// RecoveryTarget is the point at which recovery ends; at most one is set.
type RecoveryTarget struct {
	Time      string
	LSN       string
	XID       string
	Name      string
	Immediate bool
	Inclusive bool
}

// Target is a place for WAL, backups and exports.
type Target struct {
	Name         string
	URL          URL
	ArchiveDir   string
	BackupDir    string
	ExportDir    string
	HostKeys     []string // ssh://: host keys of the server, as in known_hosts without the name
	IdentityFile string   // ssh://: private key on the nodes; "" means the owner's defaults
	S3           S3
	Compression  string   // zstd, lz4, gzip or none
	Recipients   []string // age recipients; none means not encrypted

	// AgeIdentityFile lies on the nodes and holds the secret keys that reading what is
	// encrypted needs; "" means that the nodes can write and not restore.
	AgeIdentityFile string
	Range           Range
}

// S3 says how the server of an s3:// target is reached. Its files lie on the nodes.
type S3 struct {
	Endpoint        string // https://host:port; "" means Amazon's for the region
	Region          string // "" leaves it to the server
	PathStyle       bool   // the bucket stands in the path, not in the host name
	CAFile          string // PEM certificates that the server's may be signed by, beside the system's
	CredentialsFile string // in the form of ~/.aws/credentials; "" means what the environment of the owner gives
	Profile         string // section of that file; "" means "default"
}

// URL is where a target lies. Scheme is file, nfs, cifs, ssh or s3.
type URL struct {
	Scheme string
	User   string
	Host   string // s3: the bucket
	Port   int
	Path   string
}

// Node finds a node by name; nil when there is none.
func (c *Cluster) Node(name string) *Node {
	for _, n := range c.Nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// Archived says whether the cluster's WAL goes anywhere.
func (c *Cluster) Archived() bool { return len(c.Archives) > 0 }

// Primary is the node that is declared primary; nil when none is.
func (c *Cluster) Primary() *Node {
	for _, n := range c.Nodes {
		if n.Role == RolePrimary {
			return n
		}
	}
	return nil
}
