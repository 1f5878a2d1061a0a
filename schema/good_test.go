package schema

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// loadGood loads text that must have no findings.
func loadGood(t *testing.T, text string, opts LoadOptions) *Config {
	t.Helper()
	if opts.Getenv == nil {
		opts.Getenv = testEnv()
	}
	cfg, ds := LoadFiles(map[string][]byte{"main.hcl": []byte(text)}, opts)
	if len(ds) > 0 || cfg == nil {
		t.Fatalf("findings:\n%s", render(ds))
	}
	return cfg
}

func ignoreRanges() cmp.Option {
	return cmp.FilterPath(func(p cmp.Path) bool { return p.Last().Type() == cmpTypeRange() }, cmp.Ignore())
}

func TestLoadEverything(t *testing.T) {
	text, err := os.ReadFile("testdata/good/everything.hcl")
	if err != nil {
		t.Fatal(err)
	}
	cfg := loadGood(t, string(text), LoadOptions{
		Vars:     map[string]string{"size": "4GB", "hosts": `["10.0.0.1", "10.0.0.2", "10.0.0.3"]`},
		ReadFile: func(p string) ([]byte, error) { return []byte("age1" + strings.Repeat("q", 58) + "\n"), nil },
	})
	nas := &Target{
		Name: "nas", URL: URL{Scheme: "ssh", User: "backup", Host: "10.0.0.100", Port: 2222, Path: "/backup"},
		ArchiveDir: "wal", BackupDir: "pg_hotbackup", ExportDir: "pg_export", HostKeys: []string{"ssh-ed25519 AAAA"},
		IdentityFile: "/var/lib/postgresql/.ssh/id", Compression: "lz4", Recipients: []string{"age1" + strings.Repeat("q", 58)},
	}
	cloud := &Target{
		Name: "cloud", URL: URL{Scheme: "s3", Host: "bucket", Path: "some/prefix"},
		ArchiveDir: "pg_archlog", BackupDir: "pg_hotbackup", ExportDir: "pg_export", Compression: "zstd",
		S3: S3{
			Endpoint: "https://minio.example.net:9000", Region: "eu-central-1", PathStyle: true,
			CAFile: "/etc/ssl/minio.pem", CredentialsFile: "/etc/pg_manage/s3", Profile: "wal",
		},
		Recipients: nas.Recipients, AgeIdentityFile: "/etc/pg_manage/age.key",
	}
	ssh := Connection{Type: "ssh", User: "admin", Port: 22, ProxyJump: "gate", Owner: "pg", ConnectTimeout: 10 * time.Second}
	ssh3 := ssh
	ssh3.User, ssh3.ConnectTimeout, ssh3.IdentityFile = "root", 1500*time.Millisecond, "~/.ssh/id"
	hba := []string{"host all all 10.0.0.0/24 scram-sha-256"}
	want := &Config{
		Targets: []*Target{nas, cloud},
		Clusters: []*Cluster{{
			Name: "main", Version: 17,
			Nodes: []*Node{
				{
					Name: "node1", Host: "10.0.0.1", Address: "192.168.0.1", Role: RolePrimary, Port: 5433,
					DataDir: "/srv/pg/main", ConfigDir: "/etc/pg", BinDir: "/opt/pg/bin",
					Parameters: map[string]string{"shared_buffers": "4GB", "max_connections": "200", "jit": "off", "random_page_cost": "1.1", "wal_compression": "on"},
					HBA:        hba, Connection: ssh,
				},
				{
					Name: "node2", Host: "10.0.0.2", Address: "10.0.0.2", Role: RoleStandby, Upstream: "node1", Port: 5433,
					Delay: 90 * time.Minute, SeedFrom: []string{"backup", "primary"},
					DataDir: "/srv/pg/main", ConfigDir: "/etc/pg", BinDir: "/opt/pg/bin",
					Parameters: map[string]string{"shared_buffers": "8GB", "max_connections": "200", "jit": "off", "random_page_cost": "1.1"},
					HBA:        hba, Connection: ssh,
				},
				{
					Name: "node3", Host: "10.0.0.3", Address: "10.0.0.3", Role: RoleStandby, Upstream: "node2", Port: 5434,
					SeedFrom: []string{"upstream"},
					DataDir:  "/srv/other", ConfigDir: "/etc/other", BinDir: "/opt/pg/bin",
					Parameters: map[string]string{"shared_buffers": "4GB", "max_connections": "200", "jit": "off", "random_page_cost": "1.1"},
					HBA:        hba, Connection: ssh3,
				},
			},
			Replication: &Replication{User: "repl", Password: NewSecret("s3cr3t-word")},
			Archives:    []*Archive{{Target: nas, Required: true}, {Target: cloud, QueueLimit: 50 << 30}},
			Archiving:   Archiving{Timeout: 5 * time.Minute, Workers: 4, SpoolLimit: 512 << 20, Log: true},
			Backups: []*Backup{
				{Name: "nightly", Target: nas, MaxAge: 24 * time.Hour, FullEvery: 7 * 24 * time.Hour, From: "prefer-standby", Workers: 3, Rate: 50 << 20, Keep: Keep{Full: 7, Age: 14 * 24 * time.Hour, Window: 7 * 24 * time.Hour}, ProveEvery: 7 * 24 * time.Hour},
				{Name: "weekly", Target: cloud, From: "primary"},
			},
			Exports: []*Export{{Database: "my app", Target: nas, MaxAge: 36 * time.Hour, Keep: Keep{Full: 3}}},
			Bootstrap: &Bootstrap{Restore: &Restore{
				Target: cloud, Cluster: "old", Backup: "20261122T215500Z-node1-full", Timeline: "3",
				RecoveryTarget: RecoveryTarget{Time: "2026-11-22 21:55:00+00"},
				Tablespaces:    map[string]string{"/srv/ssd": "/mnt/ssd"},
			}},
		}},
	}
	if diff := cmp.Diff(want, cfg, ignoreRanges(), cmp.Comparer(Secret.Equal), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("want - got +:\n%s", diff)
	}
	if cfg.Clusters[0].Archives[0].Target != cfg.Targets[0] {
		t.Error("the archive's target is not the target declared")
	}
	if n := cfg.Clusters[0].Nodes[1]; n.Range.File != "main.hcl" || n.Range.Start.Line == 0 {
		t.Errorf("node2 has no place: %+v", n.Range)
	}
}

func TestSecretsNeverShow(t *testing.T) {
	cfg := loadGood(t, `
variable "pw" {
  sensitive = true
  default   = "s3cr3t-word"
}
cluster "main" {
  version = 17
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
  replication { password = "${upper("x")}${var.pw}" }
}`, LoadOptions{})
	if got := cfg.Clusters[0].Replication.Password.Reveal(); got != "Xs3cr3t-word" {
		t.Fatalf("password is %q", got)
	}
	r := cfg.Clusters[0].Replication
	asJSON, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{string(asJSON), fmt.Sprint(cfg), fmt.Sprintln(*r)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
		texts = append(texts, fmt.Sprintf(verb, r), fmt.Sprintf(verb, *r), fmt.Sprintf(verb, r.Password), fmt.Sprintf(verb, &r.Password), fmt.Sprintf(verb, *cfg.Clusters[0]))
	}
	for _, text := range texts {
		for _, secret := range []string{"s3cr3t", "733363723374", "[88 115", "88 115 51"} {
			if strings.Contains(strings.ToLower(text), secret) {
				t.Errorf("shows %q: %s", secret, text)
			}
		}
	}
}

func TestVariables(t *testing.T) {
	const text = `
variable "v" {
  type    = number
  default = 13
}
cluster "main" {
  version = var.v
  node "a" {
    host = "10.0.0.1"
    role = "primary"
  }
}`
	files := func(string) ([]byte, error) { return []byte("v = 16\n"), nil }
	env := fakeEnv(map[string]string{"PG_MANAGE_VAR_v": "15"})
	for _, tc := range []struct {
		name string
		opts LoadOptions
		want int
	}{
		{"default", LoadOptions{}, 13},
		{"environment", LoadOptions{Getenv: env}, 15},
		{"file", LoadOptions{Getenv: env, VarFiles: []string{"x"}, ReadFile: files}, 16},
		{"option", LoadOptions{Getenv: env, VarFiles: []string{"x"}, ReadFile: files, Vars: map[string]string{"v": "17"}}, 17},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := loadGood(t, text, tc.opts).Clusters[0].Version; got != tc.want {
				t.Errorf("version is %d, want %d", got, tc.want)
			}
		})
	}
	_, ds := LoadFiles(map[string][]byte{"main.hcl": []byte(text)}, LoadOptions{Vars: map[string]string{"w": "1"}})
	if !ds.HasErrors() || !strings.Contains(ds[0].Detail, `"v"`) {
		t.Errorf("-var of an unknown variable: %s", render(ds))
	}
}

func TestLoadFolder(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, ds := Load(dir, LoadOptions{}); !ds.HasErrors() {
		t.Error("an empty folder loads")
	}
	if _, ds := Load(dir+"/missing", LoadOptions{}); !ds.HasErrors() {
		t.Error("a missing folder loads")
	}
	write("b.hcl", "cluster \"main\" {\n  version = 17\n  node \"a\" {\n    host = trimspace(file(\"host.txt\"))\n    role = \"primary\"\n  }\n  archive { target = \"nas\" }\n}\n")
	write("c.hcl", "target \"nas\" { url = local.url }\n")
	write("a.hcl", "locals { url = \"file:///srv/x\" }\n")
	write("host.txt", "db1.example.org\n")
	write("notes.txt", "not read {")
	cfg, ds := Load(dir, LoadOptions{})
	if len(ds) > 0 || cfg.Clusters[0].Nodes[0].Host != "db1.example.org" || cfg.Clusters[0].Archives[0].Target.URL.Path != "/srv/x" {
		t.Errorf("%s", render(ds))
	}
	write("d.hcl", "cluster \"main\" {\n")
	_, ds = Load(dir, LoadOptions{})
	if !ds.HasErrors() || ds[0].Range == nil || ds[0].Range.File != dir+"/d.hcl" || ds[0].Snippet != `cluster "main" {` {
		t.Errorf("%s", render(ds))
	}
}
