package planner

import (
	"maps"
	"testing"
	"time"

	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

const testPassword = "correct horse battery staple"

var testTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func primaryNode(name string) *schema.Node { return declare(name, schema.RolePrimary, "") }

func standbyNode(name, upstream string) *schema.Node {
	return declare(name, schema.RoleStandby, upstream)
}

// declare gives nodeN the address 10.0.0.1N.
func declare(name string, role schema.Role, upstream string) *schema.Node {
	host := name + ".example.net"
	return &schema.Node{
		Name: name, Host: host, Address: address(host), Role: role, Upstream: upstream, Port: 5432,
		Parameters: map[string]string{}, Connection: schema.Connection{Type: "ssh", Owner: "postgres"},
	}
}

// cluster declares PostgreSQL 17 with a replication role.
func cluster(nodes ...*schema.Node) *schema.Cluster {
	return &schema.Cluster{
		Name: "main", Version: 17, Nodes: nodes,
		Replication: &schema.Replication{User: "replicator", Password: schema.NewSecret(testPassword)},
	}
}

func archived(c *schema.Cluster) *schema.Cluster {
	c.Archives = append(c.Archives, &schema.Archive{Target: sshTarget("nas"), Required: true})
	return c
}

// offsite adds an encrypted archive that nothing waits for, declared before the others.
func offsite(c *schema.Cluster) *schema.Cluster {
	c.Archives = append([]*schema.Archive{{Target: s3Target("offsite"), QueueLimit: 50 << 30}}, c.Archives...)
	return c
}

func s3Target(name string) *schema.Target {
	return &schema.Target{
		Name: name, URL: schema.URL{Scheme: "s3", Host: "bucket", Path: "wal"}, ArchiveDir: "pg_archlog", BackupDir: "pg_hotbackup", ExportDir: "pg_export",
		S3:          schema.S3{Endpoint: "https://minio.example.net:9000", Region: "eu", PathStyle: true, CAFile: "/etc/ssl/minio.pem", CredentialsFile: "/etc/pg_manage/s3", Profile: "wal"},
		Compression: "lz4", Recipients: []string{"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"}, AgeIdentityFile: "/etc/pg_manage/age.key",
	}
}

func sshTarget(name string) *schema.Target {
	return &schema.Target{
		Name: name, URL: schema.URL{Scheme: "ssh", User: "backup", Host: name + ".example.net", Path: "/backup"},
		ArchiveDir: "pg_archlog", BackupDir: "pg_hotbackup", ExportDir: "pg_export", Compression: "zstd",
	}
}

func config(clusters ...*schema.Cluster) *schema.Config { return &schema.Config{Clusters: clusters} }

func testOptions() Options {
	return Options{
		Now: testTime, ToolVersion: "0.1.0",
		Binaries: map[string]map[string]string{"amd64": {"pg_manage": Digest("pg_manage"), "pg_manage-hook": Digest("pg_manage-hook")}},
	}
}

// clone copies a cluster so deeply that a test may change the copy.
func clone(c *schema.Cluster) *schema.Cluster {
	d := *c
	d.Nodes = nil
	for _, n := range c.Nodes {
		m := *n
		m.Parameters = maps.Clone(n.Parameters)
		d.Nodes = append(d.Nodes, &m)
	}
	if c.Replication != nil {
		r := *c.Replication
		d.Replication = &r
	}
	targets := map[*schema.Target]*schema.Target{} // those that are one stay one
	d.Archives = nil
	for _, archive := range c.Archives {
		a := *archive
		t := *a.Target
		targets[a.Target] = &t
		a.Target = &t
		d.Archives = append(d.Archives, &a)
	}
	d.Backups = nil
	for _, backup := range c.Backups {
		k := *backup
		if t := targets[k.Target]; t != nil {
			k.Target = t
		}
		d.Backups = append(d.Backups, &k)
	}
	return &d
}

// catalog are the settings that the servers of these tests know, at their defaults.
func catalog() map[string]postgres.Setting {
	list := []postgres.Setting{
		{Name: "port", Value: "5432", VarType: "integer", Context: "postmaster"},
		{Name: "listen_addresses", Value: "localhost", VarType: "string", Context: "postmaster"},
		{Name: "archive_mode", Value: "off", VarType: "enum", Context: "postmaster", EnumVals: []string{"always", "on", "off"}},
		{Name: "archive_command", VarType: "string", Context: "sighup"},
		{Name: "archive_timeout", Value: "0", Unit: "s", VarType: "integer", Context: "sighup"},
		{Name: "restore_command", VarType: "string", Context: "sighup"},
		{Name: "primary_conninfo", VarType: "string", Context: "sighup"},
		{Name: "primary_slot_name", VarType: "string", Context: "sighup"},
		{Name: "recovery_min_apply_delay", Value: "0", Unit: "ms", VarType: "integer", Context: "sighup"},
		{Name: "max_connections", Value: "100", VarType: "integer", Context: "postmaster"},
		{Name: "max_worker_processes", Value: "8", VarType: "integer", Context: "postmaster"},
		{Name: "max_wal_senders", Value: "10", VarType: "integer", Context: "postmaster"},
		{Name: "shared_buffers", Value: "16384", Unit: "8kB", VarType: "integer", Context: "postmaster"},
		{Name: "work_mem", Value: "4096", Unit: "kB", VarType: "integer", Context: "user"},
		{Name: "log_min_duration_statement", Value: "-1", Unit: "ms", VarType: "integer", Context: "superuser"},
		{Name: "random_page_cost", Value: "4", VarType: "real", Context: "user"},
		{Name: "block_size", Value: "8192", VarType: "integer", Context: "internal"},
	}
	m := map[string]postgres.Setting{}
	for _, s := range list {
		m[s.Name] = s
	}
	return m
}

// two is a primary and a standby with an archive.
func two() *schema.Cluster {
	return archived(cluster(primaryNode("node1"), standbyNode("node2", "node1")))
}

// three has a second standby that streams from the first.
func three() *schema.Cluster {
	return archived(cluster(primaryNode("node1"), standbyNode("node2", "node1"), standbyNode("node3", "node2")))
}

// built is the world after everything that c declares was done on vacant machines.
func built(t testing.TB, c *schema.Cluster) *world {
	t.Helper()
	w := newWorld(c)
	w.converge(t, c)
	return w
}

func (w *world) plan(c *schema.Cluster) *Plan {
	opts := testOptions()
	opts.Now, opts.Restore = w.clock, w.restore
	return New(config(c), w.observe(c), opts)
}

// steps gives the IDs without the cluster's name; a blocked step has a "!" behind it.
func steps(p *Plan) []string {
	out := []string{}
	for _, s := range p.Steps {
		id := s.Node + "/" + string(s.Kind)
		if s.Blocked != "" {
			id += "!"
		}
		out = append(out, id)
	}
	return out
}
