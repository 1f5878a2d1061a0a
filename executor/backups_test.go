package executor_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pg_manage/executor"
	"pg_manage/planner"
	"pg_manage/schema"
)

const backedUp = "archive { target = \"nas\" }\nbackup \"nightly\" {\n target = \"nas\"\n max_age = \"24h\"\n from = \"prefer-standby\"\n keep { full = 3 }\n}"

// labels of the backups of the world's cluster.
func (w *world) labels() []string {
	w.t.Helper()
	files, err := filepath.Glob(w.dir + "/nas/pg_hotbackup/" + w.name + "/*/backup.json")
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		out = append(out, filepath.Base(filepath.Dir(f)))
	}
	slices.Sort(out)
	return out
}

func (w *world) nas() {
	w.t.Helper()
	if err := os.Mkdir(w.dir+"/nas", 0o700); err != nil {
		w.t.Fatal(err)
	}
	w.own(w.dir + "/nas")
}

// TestBackupsAndWhatComesOfThem: a backup is taken on the standby, a second standby is made
// from it, and the cluster is brought back to what it was then.
func TestBackupsAndWhatComesOfThem(t *testing.T) {
	w := newWorld(t, "n1", "n2", "n3")
	w.build()
	w.nas()
	w.declare(backedUp, "n1", "n2")
	w.apply()
	w.settled()
	taken := w.labels()
	if len(taken) != 1 || !strings.HasSuffix(taken[0], "-n2-full") {
		t.Fatalf("backups: %v", taken)
	}

	w.sql("n1", "CREATE TABLE after_backup AS SELECT 42 AS answer")
	w.declare(backedUp, "n1", "n2", "n3")
	w.cfg.Clusters[0].Node("n3").SeedFrom = []string{"backup"}
	p := w.plan()
	if s := p.Step(w.name + "/n3/build-standby"); s == nil || !strings.Contains(s.Summary, "from base backup "+taken[0]) {
		t.Fatalf("n3 is not built from the backup: %+v", s)
	}
	w.run(p)
	w.settled()
	w.eventually("the row on n3", func() bool {
		return w.sql("n3", "SELECT count(*) FROM pg_class WHERE relname = 'after_backup'") == "1"
	})

	c := w.cfg.Clusters[0]
	w.restore = &planner.RestoreRequest{
		Cluster: w.name,
		Want:    schema.Restore{Target: c.Backups[0].Target, Cluster: w.name, Backup: taken[0], Timeline: "current", RecoveryTarget: schema.RecoveryTarget{Immediate: true, Inclusive: true}},
	}
	p = w.plan()
	var loss []string
	for _, s := range p.DataLoss() {
		loss = append(loss, s.Node)
	}
	if !slices.Equal(loss, []string{"n1", "n2", "n3"}) {
		t.Errorf("data is set aside on %v", loss)
	}
	w.run(p)
	w.restore = nil
	w.settled()
	for n := range w.ports {
		if got := w.sql(n, "SELECT count(*) FROM pg_class WHERE relname = 'after_backup'"); got != "0" {
			t.Errorf("%s is not as it was when the backup was taken", n)
		}
		if old, _ := filepath.Glob(w.data(n) + ".old-*"); len(old) != 1 {
			t.Errorf("%s: the old data is kept in %v", n, old)
		}
	}
	if got := w.sql("n1", "SELECT timeline_id FROM pg_control_checkpoint()"); got != "2" {
		t.Errorf("timeline %s", got)
	}
	if got := w.sql("n1", "SELECT count(*) FROM pg_file_settings WHERE name LIKE 'recovery_target%'"); got != "0" {
		t.Error("settings of the recovery are left")
	}
	if got := w.labels(); len(got) != 2 {
		t.Errorf("no backup of what was restored: %v", got)
	}
	if left, _ := filepath.Glob(w.state("n1") + "/restore*.json"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestClusterFromBackupOfAnother: a new cluster begins with another one's backup, and
// archives into a place of its own. On the same machine the tablespace of its source is not free.
func TestClusterFromBackupOfAnother(t *testing.T) {
	w := newWorld(t, "n1", "n2")
	w.build()
	w.nas()
	w.declare("", "n1")
	w.apply()
	if err := os.Mkdir(w.dir+"/space", 0o700); err != nil {
		t.Fatal(err)
	}
	w.own(w.dir + "/space")
	w.sql("n1", "CREATE TABLESPACE side LOCATION '"+w.dir+"/space'")
	w.sql("n1", "CREATE TABLE aside TABLESPACE side AS SELECT 43 AS answer")
	w.declare(backedUp, "n1")
	w.apply()
	w.settled()
	wal, _ := filepath.Glob(w.dir + "/nas/pg_archlog/" + w.name + "/*/*")
	w.sql("n1", "CREATE TABLE t AS SELECT 42 AS answer")
	w.sql("n1", "SELECT pg_switch_wal()")

	source := w.name
	w.name += "copy"
	defer os.RemoveAll(w.home() + "/.pg_manage/" + w.name)
	w.declare(backedUp+"\nbootstrap {\n restore {\n  target = \"nas\"\n  cluster = \""+source+"\"\n  tablespaces = { \""+w.dir+"/space\" = \""+w.dir+"/moved\" }\n }\n}", "n2")
	w.eventually("the last WAL in the archive", func() bool {
		now, _ := filepath.Glob(w.dir + "/nas/pg_archlog/" + source + "/*/*")
		return len(now) > len(wal)
	})
	w.apply()
	w.settled()
	if got := w.sql("n2", "SELECT answer FROM t"); got != "42" {
		t.Errorf("the copy has %q", got)
	}
	if got := w.sql("n2", "SELECT answer, pg_tablespace_location(oid) FROM aside, pg_tablespace WHERE spcname = 'side'"); got != "43|"+w.dir+"/moved" {
		t.Errorf("the copy's tablespace has %q", got)
	}
	if got := w.labels(); len(got) != 1 {
		t.Errorf("backups of the copy: %v", got)
	}
	after, _ := filepath.Glob(w.dir + "/nas/pg_archlog/" + source + "/00000002*")
	if len(after) > 0 {
		t.Errorf("the copy archives into the archive of its source: %v", after)
	}
}

// TestRestoreThatIsCutOff: every step of a restore in turn is left in its middle; the same
// request goes on, and nothing else is planned meanwhile.
func TestRestoreThatIsCutOff(t *testing.T) { restoreCutOff(t, false) }

func TestDeltaThatIsCutOff(t *testing.T) { restoreCutOff(t, true) }

func restoreCutOff(t *testing.T, delta bool) {
	w := newWorld(t, "n1", "n2")
	w.build()
	w.nas()
	w.declare(strings.ReplaceAll(backedUp, "prefer-standby", "primary"), "n1", "n2")
	w.apply()
	w.settled()
	w.sql("n1", "CREATE TABLE after_backup ()")
	c := w.cfg.Clusters[0]
	asked := &planner.RestoreRequest{
		Cluster: w.name, Delta: delta,
		Want: schema.Restore{Target: c.Backups[0].Target, Cluster: w.name, Backup: w.labels()[0], Timeline: "current", RecoveryTarget: schema.RecoveryTarget{Immediate: true, Inclusive: true}},
	}
	sink, unfinished := &abortAt{eventLog: w.log, seen: map[string]bool{}}, 0
	for round := 0; ; round++ {
		if round > 40 {
			t.Fatal("no end")
		}
		w.restore = asked
		p := w.plan()
		if f := w.observe(t.Context(), w.name, "n1"); f.Intent == nil && round > 0 && len(w.labels()) > 1 {
			break
		}
		w.abortOnce(sink, p)
		w.restore = nil
		f := w.observe(t.Context(), w.name, "n1")
		if f.Data.State == planner.DataUnfinished {
			unfinished++
		}
		if f.Intent != nil {
			if p := w.plan(); len(p.Steps) > 0 || !p.HasErrors() {
				t.Fatalf("in the middle of a restore something else is planned: %+v", p.Steps)
			}
		} else if len(sink.seen) > 5 {
			break // the last step was done, but for backups
		}
	}
	w.restore = nil
	w.apply()
	w.settled()
	for n := range w.ports {
		if got := w.sql(n, "SELECT count(*) FROM pg_class WHERE relname = 'after_backup'"); got != "0" {
			t.Errorf("%s is not as it was when the backup was taken", n)
		}
	}
	t.Logf("interrupted: %d steps, and %d times with the data half overwritten", len(sink.seen), unfinished)
}

// TestDeltaThatFailsInItsMiddle: a part of the backup turns out to be damaged when the data is
// half overwritten. The directory cannot be started and nothing of it is cleared away; when
// the part is mended the same request goes on.
func TestDeltaThatFailsInItsMiddle(t *testing.T) {
	w := newWorld(t, "n1", "n2")
	w.build()
	w.nas()
	w.declare(strings.ReplaceAll(backedUp, "prefer-standby", "primary"), "n1", "n2")
	w.apply()
	w.settled()
	w.sql("n1", "CREATE TABLE after_backup AS SELECT generate_series(1, 100000) AS n")
	kept := w.data("n1") + "/theirs"
	if err := os.WriteFile(kept, []byte("a file of somebody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.own(kept)
	before, err := os.Stat(w.data("n1") + "/base")
	if err != nil {
		t.Fatal(err)
	}
	c := w.cfg.Clusters[0]
	w.restore = &planner.RestoreRequest{
		Cluster: w.name, Delta: true,
		Want: schema.Restore{Target: c.Backups[0].Target, Cluster: w.name, Backup: w.labels()[0], Timeline: "current", RecoveryTarget: schema.RecoveryTarget{Immediate: true, Inclusive: true}},
	}
	asked := w.restore
	step := w.name + "/n1/restore-backup"
	p := w.plan()
	if s := p.Step(step); s == nil || s.Effect != planner.EffectDataLoss || !strings.Contains(s.Summary, "not kept") {
		t.Fatalf("%+v", s)
	}
	parts, err := filepath.Glob(w.dir + "/nas/pg_hotbackup/" + w.name + "/*/part-*")
	if err != nil || len(parts) == 0 {
		t.Fatal(parts, err)
	}
	whole := map[string][]byte{}
	for _, name := range parts {
		if whole[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, make([]byte, len(whole[name])), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := executor.Run(t.Context(), p, w.env())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(r.Results, func(x executor.Result) bool { return x.Step == step })
	if i < 0 || r.Results[i].Status != executor.StatusFailed || !strings.Contains(r.Results[i].Error, "restoring again goes on from there") {
		t.Fatalf("%+v", r.Results)
	}
	f := w.observe(t.Context(), w.name, "n1")
	if f.Data.State != planner.DataUnfinished || f.Data.SystemIdentifier == "" || f.Intent == nil {
		t.Fatalf("the data directory is %+v, the note %+v", f.Data, f.Intent)
	}
	if _, err := os.Stat(w.data("n1") + "/global/pg_control"); err == nil {
		t.Error("PostgreSQL could be started on what is half overwritten")
	}
	w.restore = nil
	if p := w.plan(); len(p.Steps) > 0 || !p.HasErrors() {
		t.Fatalf("in the middle of a delta something else is planned: %+v", p.Steps)
	}

	for name, text := range whole {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.restore = asked
	p = w.plan()
	if s := p.Step(step); s == nil || s.Effect != planner.EffectDataLoss || s.Blocked != "" {
		t.Fatalf("it does not go on: %+v %+v", s, p.Findings)
	}
	w.run(p)
	w.restore = nil
	w.settled()
	for n := range w.ports {
		if got := w.sql(n, "SELECT count(*) FROM pg_class WHERE relname = 'after_backup'"); got != "0" {
			t.Errorf("%s is not as it was when the backup was taken", n)
		}
	}
	if after, err := os.Stat(w.data("n1") + "/base"); err != nil || !os.SameFile(before, after) {
		t.Errorf("the data directory is another one: %v", err)
	}
	if old, _ := filepath.Glob(w.data("n1") + ".old-[0-9]*"); len(old) > 0 {
		t.Errorf("moved aside: %v", old)
	}
	if text, err := os.ReadFile(kept); err != nil || string(text) != "a file of somebody's" {
		t.Errorf("what is not PostgreSQL's is gone: %v", err)
	}
	if left, _ := filepath.Glob(w.data("n1") + "/pg_manage.rest*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
