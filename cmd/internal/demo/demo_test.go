package demo

import (
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"pg_manage/schema"
)

// here is a demo in a temporary folder, owned by who runs the test.
func here(t *testing.T) *Demo {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	home := *me
	home.HomeDir = t.TempDir()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &Demo{Dir: filepath.Join(dir, "demo"), Owner: &home}
}

func TestCreate(t *testing.T) {
	d := here(t)
	if exists, err := d.Exists(); exists || err != nil {
		t.Fatalf("before: %v, %v", exists, err)
	}
	if err := d.Create(Postgres{Major: 17, BinDir: "/usr/lib/postgresql/17/bin"}); err != nil {
		t.Fatal(err)
	}
	if exists, err := d.Exists(); !exists || err != nil {
		t.Fatalf("after: %v, %v", exists, err)
	}
	cfg, ds := schema.Load(d.Dir, schema.LoadOptions{})
	if len(ds) > 0 {
		t.Fatalf("the cluster file is not clean: %+v", ds)
	}
	c := cfg.Clusters[0]
	if c.Name != d.Cluster() || c.Version != 17 || c.Primary().Name != Primary || c.Node(Standby) == nil {
		t.Errorf("got %+v", c)
	}
	if c.Node(Primary).Port == c.Node(Standby).Port {
		t.Error("both nodes have the same port")
	}
	if len(c.Replication.Password.Reveal()) < 24 {
		t.Error("the password is short")
	}
	info, err := os.Stat(filepath.Join(d.Dir, passwordFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the password's file: %v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(filepath.Join(d.Dir, clusterFile))
	if err != nil || strings.Contains(string(text), c.Replication.Password.Reveal()) {
		t.Errorf("the password stands in the cluster file, or it cannot be read: %v", err)
	}
	// Formatted as fmt would.
	if out, ds := schema.Format("cluster.hcl", text); len(ds) > 0 || string(out) != string(text) {
		t.Error("the cluster file is not in the canonical layout")
	}
}

func TestExistsRefuses(t *testing.T) {
	d := here(t)
	if err := os.Mkdir(d.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Exists(); err == nil || !strings.Contains(err.Error(), "--dir") {
		t.Errorf("a folder without a marker: %v", err)
	}
	if err := os.Remove(d.Dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), d.Dir); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Exists(); err == nil {
		t.Error("a link is taken for a folder")
	}
}

func TestAt(t *testing.T) {
	for _, dir := range []string{"/tmp/with space", "/tmp/${x}", "/tmp/\"", "/" + strings.Repeat("x", 61)} {
		if _, err := At(dir); err == nil || !strings.Contains(err.Error(), "cannot be the demo's folder") {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestClusterName(t *testing.T) {
	a, b := &Demo{Dir: "/a"}, &Demo{Dir: "/b"}
	if a.Cluster() == b.Cluster() {
		t.Error("two demos have clusters of the same name, whose files would collide")
	}
	if got := (&Demo{Dir: DefaultDir}).Cluster(); got != "demo" {
		t.Errorf("the default demo's cluster is %q", got)
	}
}

func TestRemoveStates(t *testing.T) {
	d := here(t)
	if err := d.Create(Postgres{Major: 17, BinDir: "/x"}); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		path := filepath.Join(d.Owner.HomeDir, ".pg_manage", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	there := func(name string) bool {
		_, err := os.Stat(filepath.Join(d.Owner.HomeDir, ".pg_manage", name))
		return err == nil
	}
	write("bin/pg_manage", "x")
	write(d.Cluster()+"/node1/hook.json", `{"data_dir": "/elsewhere/node1"}`)
	write(d.Cluster()+"/node2/hook.json", `{"data_dir": "`+d.Dir+`/node2"}`)
	if err := d.removeStates(); err != nil {
		t.Fatal(err)
	}
	if !there(d.Cluster()+"/node1") || there(d.Cluster()+"/node2") || !there("bin") {
		t.Error("what belongs to others is gone, or what belongs to the demo is not")
	}
	password, err := os.ReadFile(filepath.Join(d.Dir, passwordFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(d.Owner.HomeDir, ".pg_manage", d.Cluster(), "node1", "hook.json")); err != nil {
		t.Fatal(err)
	}
	write(d.Cluster()+"/node1/passfile", "*:*:*:replicator:"+string(password)+"\n")
	if err := d.removeStates(); err != nil {
		t.Fatal(err)
	}
	if there("") {
		t.Error("something is left")
	}
}

func TestMajorInPath(t *testing.T) {
	for path, want := range map[string]int{
		"/usr/lib/postgresql/17/bin/initdb": 17, "/usr/pgsql-16/bin/initdb": 16, "/usr/local/bin/initdb": 0,
	} {
		if got := majorInPath(path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}
