package planner

import (
	"encoding/json"
	"slices"

	"pg_manage/schema"
)

// HookConfigVersion is the version of the form of hook.json that HookConfig has.
const HookConfigVersion = 2

// HookConfig is the content of hook.json on a node: what archive_command and
// restore_command work from. It names files and holds no secret. Package wal reads the
// same form; a test holds the two together.
type HookConfig struct {
	Version    int          `json:"version"`
	Cluster    string       `json:"cluster"`
	Node       string       `json:"node"`
	DataDir    string       `json:"data_dir"`
	Targets    []HookTarget `json:"targets"` // in the order in which restore asks them
	LogDir     string       `json:"log_dir,omitempty"`
	SpoolDir   string       `json:"spool_dir,omitempty"`
	SpoolLimit int64        `json:"spool_limit,omitempty"` // bytes
	Workers    int          `json:"workers,omitempty"`
	Elsewhere  []string     `json:"backups_elsewhere,omitempty"` // targets without an archive that hold base backups
}

// HookTarget is a backup target as the hook sees it.
type HookTarget struct {
	Name            string   `json:"name"`
	Scheme          string   `json:"scheme"`
	User            string   `json:"user,omitempty"`
	Host            string   `json:"host,omitempty"` // s3: the bucket
	Port            int      `json:"port,omitempty"`
	Path            string   `json:"path"`
	ArchiveDir      string   `json:"archive_dir"`
	BackupDir       string   `json:"backup_dir,omitempty"`
	HostKeys        []string `json:"host_keys,omitempty"`
	IdentityFile    string   `json:"identity_file,omitempty"`
	Endpoint        string   `json:"endpoint,omitempty"`
	Region          string   `json:"region,omitempty"`
	PathStyle       bool     `json:"path_style,omitempty"`
	CAFile          string   `json:"ca_file,omitempty"`
	CredentialsFile string   `json:"credentials_file,omitempty"`
	Profile         string   `json:"profile,omitempty"`
	Compression     string   `json:"compression"`
	Recipients      []string `json:"recipients,omitempty"`
	AgeIdentityFile string   `json:"age_identity_file,omitempty"`
	Required        bool     `json:"required"`
	QueueLimit      int64    `json:"queue_limit,omitempty"` // bytes
}

// ArchiveOrder gives the archives of a cluster as restore asks them: as declared, the
// required ones first, since only they surely have everything.
func ArchiveOrder(c *schema.Cluster) []*schema.Archive {
	out := slices.Clone(c.Archives)
	slices.SortStableFunc(out, func(a, b *schema.Archive) int {
		switch {
		case a.Required == b.Required:
			return 0
		case a.Required:
			return -1
		}
		return 1
	})
	return out
}

// NewHookConfig is the configuration of the hook of a node with these paths.
func NewHookConfig(c *schema.Cluster, node string, p Paths) HookConfig {
	h := HookConfig{
		Version: HookConfigVersion, Cluster: c.Name, Node: node, DataDir: p.DataDir,
		SpoolDir: p.State + "/spool", SpoolLimit: c.Archiving.SpoolLimit, Workers: c.Archiving.Workers,
	}
	if c.Archiving.Log {
		h.LogDir = p.State + "/log"
	}
	for _, a := range ArchiveOrder(c) {
		t := hookTarget(a.Target)
		t.BackupDir, t.Required, t.QueueLimit = a.Target.BackupDir, a.Required, a.QueueLimit
		h.Targets = append(h.Targets, t)
	}
	for _, b := range c.Backups {
		if name := b.Target.Name; h.Target(name) == nil && !slices.Contains(h.Elsewhere, name) {
			h.Elsewhere = append(h.Elsewhere, name)
		}
	}
	return h
}

// hookTarget is a target as the programs on the nodes see it.
func hookTarget(t *schema.Target) HookTarget {
	return HookTarget{
		Name: t.Name, Scheme: t.URL.Scheme, User: t.URL.User, Host: t.URL.Host, Port: t.URL.Port, Path: t.URL.Path,
		ArchiveDir: t.ArchiveDir, HostKeys: t.HostKeys, IdentityFile: t.IdentityFile,
		Endpoint: t.S3.Endpoint, Region: t.S3.Region, PathStyle: t.S3.PathStyle,
		CAFile: t.S3.CAFile, CredentialsFile: t.S3.CredentialsFile, Profile: t.S3.Profile,
		Compression: t.Compression, Recipients: t.Recipients, AgeIdentityFile: t.AgeIdentityFile,
	}
}

// Encode gives the exact bytes of the file, so that its digest can be compared.
func (h HookConfig) Encode() string {
	b, err := json.MarshalIndent(h, "", "  ")
	if err != nil { // strings and numbers alone: cannot happen
		panic(err)
	}
	return string(b) + "\n"
}

// DecodeHookConfig reads a hook.json; false for one that is absent, damaged or of
// another version.
func DecodeHookConfig(text string) (HookConfig, bool) {
	var h HookConfig
	if err := json.Unmarshal([]byte(text), &h); err != nil || h.Version != HookConfigVersion {
		return HookConfig{}, false
	}
	return h, true
}

// Target finds a target by name; nil when there is none.
func (h HookConfig) Target(name string) *HookTarget {
	for i := range h.Targets {
		if h.Targets[i].Name == name {
			return &h.Targets[i]
		}
	}
	return nil
}

// SamePlace says that both mean the same archive of one cluster, however it is reached.
func (t *HookTarget) SamePlace(o *HookTarget) bool {
	return t.Scheme == o.Scheme && t.Host == o.Host && t.Port == o.Port && t.User == o.User && t.Path == o.Path &&
		t.Endpoint == o.Endpoint && t.ArchiveDir == o.ArchiveDir
}
