package view

import (
	"bytes"
	"testing"
	"time"

	"pg_manage/planner"
	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

func backupFact(label, kind string, begun time.Time, start postgres.LSN) planner.BackupFact {
	return planner.BackupFact{
		Label: label, Kind: kind, Node: "node1", SystemIdentifier: "7300000000000000001", PostgreSQL: "17.2", Timeline: 1,
		StartLSN: start, StopLSN: start + 0x120, StartTime: begun, StopTime: begun.Add(75 * time.Second), SegmentSize: 16 << 20,
		Size: 12 << 30, Stored: 3 << 30, Files: 1234, WAL: "archive", Compression: "zstd",
	}
}

func catalogs() []planner.CatalogFact {
	now := created()
	full := backupFact("20261120T000000Z-node1-full", "full", now.Add(-50*time.Hour), 0x2000028)
	full.Pinned, full.Proven = true, now.Add(-26*time.Hour)
	incr := backupFact("20261121T000000Z-node1-incr", "incremental", now.Add(-26*time.Hour), 0x5000028)
	incr.Parent, incr.Stored, incr.FromStandby = full.Label, 12<<20, true
	orphan := backupFact("20261121T120000Z-node1-incr", "incremental", now.Add(-14*time.Hour), 0x6000028)
	orphan.Parent, orphan.Broken = "20261121T110000Z-node1-full", "its parent 20261121T110000Z-node1-full is not there"
	hit := backupFact("20261121T200000Z-node2-full", "full", now.Add(-6*time.Hour), 0x7000028)
	hit.Node, hit.Damaged, hit.Encrypted = "node2", 3, true
	hit.Tablespaces = map[string]string{"16400": "/srv/fast\x1b[2J"}
	lost := backupFact("20261122T000000Z-node1-full", "full", now.Add(-2*time.Hour), 0x20000028)
	lost.Cold = true
	return []planner.CatalogFact{
		{Target: "nas", Known: true, Backups: []planner.BackupFact{full, incr, orphan, hit, lost}, Unfinished: []string{"20261122T120000Z-node1-full"}},
		{Target: "offsite", Error: "ssh://backup@10.0.0.9/backup: cannot connect: connection refused"},
	}
}

func wal() WALKnown {
	return WALKnown{Newest: created().Add(-12 * time.Second), Spans: []WALSpan{
		{Timeline: 1, From: 0x1000000, To: 0x8000000, Through: []postgres.Timeline{1}},
		{Timeline: 1, From: 0x30000000, To: 0x31000000, Through: []postgres.Timeline{1}},
	}}
}

// both writes a page as text and as JSON, and compares both.
func both(t *testing.T, name string, doc any, human func(*bytes.Buffer)) {
	t.Helper()
	var b bytes.Buffer
	human(&b)
	golden(t, name+".txt", b.Bytes())
	b.Reset()
	if err := WriteJSON(&b, doc); err != nil {
		t.Fatal(err)
	}
	golden(t, name+".json", b.Bytes())
}

func TestBackups(t *testing.T) {
	now := created()
	page := BackupsPage{FormatVersion: FormatVersion, Time: now, Clusters: []ClusterBackups{
		NewClusterBackups("main", "node1", catalogs(), wal(), now),
		NewClusterBackups("new", "node1", []planner.CatalogFact{{Target: "nas", Known: true}}, WALKnown{}, now),
		NewClusterBackups("alone", "", []planner.CatalogFact{{Target: "nas"}}, WALKnown{Unknown: "no node of it can be asked"}, now),
	}}
	both(t, "backups", page, func(b *bytes.Buffer) { BackupsHuman(b, Style{}, page) })
}

func TestTheWindowBeginsWithTheOldestBackupThatReachesTheNewestWAL(t *testing.T) {
	now := created()
	all := catalogs()[:1]
	c := NewClusterBackups("main", "node1", all, wal(), now)
	if c.Recoverable == nil || c.Recoverable.Label != all[0].Backups[0].Label || c.Recoverable.ToLSN != 0x8000000 {
		t.Errorf("%+v", c.Recoverable)
	}
	// WAL behind a hole serves the newest backup alone, and that reaches further.
	late := wal()
	late.Spans[1].From = 0x20000000
	c = NewClusterBackups("main", "node1", all, late, now)
	if c.Recoverable == nil || c.Recoverable.Label != all[0].Backups[4].Label || c.Recoverable.ToLSN != 0x31000000 {
		t.Errorf("%+v", c.Recoverable)
	}
	// A span of another timeline serves nothing.
	late.Spans = []WALSpan{{Timeline: 2, From: 0, To: 0x40000000, Through: []postgres.Timeline{2}}}
	if c = NewClusterBackups("main", "node1", all, late, now); c.Recoverable != nil {
		t.Errorf("%+v", c.Recoverable)
	}
}

func TestBackupDocuments(t *testing.T) {
	now := created()
	all := catalogs()[0].Backups
	show := BackupDocument{FormatVersion, "main", NewBackup("nas", &all[1], now), []string{all[0].Label}}
	both(t, "backup_show", show, func(b *bytes.Buffer) { BackupHuman(b, Style{}, show, now) })
	hit := BackupDocument{FormatVersion, "main", NewBackup("nas", &all[3], now), nil}
	both(t, "backup_damaged", hit, func(b *bytes.Buffer) { BackupHuman(b, Style{}, hit, now); BackupTaken(b, Style{}, hit) })
	pin := BackupPin{FormatVersion, "main", "nas", all[0].Label, true}
	both(t, "backup_pin", pin, func(b *bytes.Buffer) {
		BackupPinHuman(b, pin)
		pin.Pinned = false
		BackupPinHuman(b, pin)
		pin.Pinned = true
	})
}

func TestVerify(t *testing.T) {
	chunk := int64(131072)
	page := VerifyPage{FormatVersion: FormatVersion, Backups: []VerifyBackup{
		{
			Cluster: "main", Target: "nas", Node: "node1", Label: "20261120T000000Z-node1-full", Files: 1234, SizeBytes: 12 << 30, StoredBytes: 3 << 30, Problems: []VerifyProblem{}, ElapsedNS: 75 * time.Second,
			WAL:   []VerifyWAL{{Target: "nas", From: "000000010000000000000002", To: "000000010000000000000002", Missing: []string{}, Damaged: []string{}}, {Target: "offsite", Missing: []string{}, Damaged: []string{}, Error: "connection refused"}},
			Drill: &Drill{Proven: created(), Problems: []string{}, ElapsedNS: 3 * time.Minute, Scratch: "/srv/scratch/drill"},
		},
		{
			Cluster: "main", Target: "nas", Node: "node1", Label: "20261121T000000Z-node1-incr", Files: 1234, SizeBytes: 12 << 30, StoredBytes: 12 << 20, ElapsedNS: time.Second,
			Problems: []VerifyProblem{
				{Label: "20261120T000000Z-node1-full", Object: "part-0001.tar.zst", Path: "base/5/16384", Chunk: &chunk, Detail: "the frame at 1048576 is damaged: invalid checksum"},
				{Label: "20261121T000000Z-node1-incr", Object: "backup_manifest.zst", Detail: "it is not there"},
			},
			WAL: []VerifyWAL{{Target: "nas", From: "000000010000000000000005", To: "000000010000000000000006", Missing: []string{"000000010000000000000006"}, Damaged: []string{"000000010000000000000005: bad page header"}}},
		},
		{
			Cluster: "main", Target: "offsite", Node: "node1", Label: "20261122T000000Z-node1-full", Problems: []VerifyProblem{}, ElapsedNS: time.Second,
			WAL: []VerifyWAL{}, Error: "ssh://backup@10.0.0.9/backup: the connection to the target is lost",
		},
	}}
	for i, want := range []struct{ sound, complete bool }{{true, true}, {false, true}, {true, false}} {
		if b := page.Backups[i]; b.Sound() != want.sound || b.Complete() != want.complete {
			t.Errorf("%s: sound %v, complete %v", b.Label, b.Sound(), b.Complete())
		}
	}
	both(t, "verify", page, func(b *bytes.Buffer) { VerifyHuman(b, Style{}, page) })
}

func TestExpire(t *testing.T) {
	page := ExpirePage{FormatVersion: FormatVersion, Targets: []ExpireTarget{
		{
			Cluster: "main", Target: "nas", FreedBytes: 3 << 30, Removed: []string{},
			Remove: []ExpireVerdict{{"20261120T000000Z-node1-full", 3 << 30, []string{"rule nightly keeps 7 full backups, and there are 7 newer ones"}}},
			Keep:   []ExpireVerdict{{"20261121T000000Z-node1-full", 3 << 30, []string{"rule nightly: one of the 7 newest"}}, {"20261122T000000Z-node1-full", 1 << 30, []string{"it is the newest"}}},
			WAL:    []ExpireWAL{{Target: "nas", Segments: 12, Bytes: 90 << 20, Last: "000000010000000000000004"}, {Target: "offsite", Error: "connection refused"}, {Target: "third", Stays: "there is no whole backup of this cluster"}},
		},
		{Cluster: "other", Target: "nas", Error: "connection refused", Keep: []ExpireVerdict{}, Remove: []ExpireVerdict{}, Removed: []string{}, WAL: []ExpireWAL{}},
	}}
	if page.Nothing() {
		t.Error("something is to go")
	}
	both(t, "expire", page, func(b *bytes.Buffer) {
		ExpirePlanHuman(b, Style{}, page)
		b.WriteString("----\n")
		page.Targets[0].Removed = []string{"20261120T000000Z-node1-full"}
		ExpiredHuman(b, Style{}, page)
	})
}

func TestStatusOfBackups(t *testing.T) {
	now := created()
	nas := &schema.Target{Name: "nas"}
	rules := []*schema.Backup{
		{Name: "nightly", Target: nas, MaxAge: 24 * time.Hour, ProveEvery: 7 * 24 * time.Hour},
		{Name: "hourly", Target: nas, MaxAge: time.Hour, ProveEvery: time.Hour},
		{Name: "offsite", Target: &schema.Target{Name: "offsite"}, MaxAge: time.Hour},
		{Name: "empty", Target: &schema.Target{Name: "empty"}, ProveEvery: time.Hour},
		{Name: "unasked", Target: &schema.Target{Name: "elsewhere"}},
	}
	cfg := statusConfig()
	cfg.Clusters[0].Backups = rules
	obs := observed(map[string]*planner.NodeFacts{
		"node1": primaryFacts(), "node2": standbyFacts(0x5000000, time.Hour), "node3": standbyFacts(0x4000000, time.Hour), "node4": standbyFacts(0x5000001, 0),
	})
	all := append(catalogs(), planner.CatalogFact{Target: "empty", Known: true})
	for i := range all {
		all[i].Cluster = "main"
	}
	obs.Clusters["main"].Nodes["node1"].Catalogs = all
	s := NewStatus(cfg, obs, &planner.Plan{}, now)
	if s.Healthy {
		t.Error("a backup that is too old is no problem")
	}
	both(t, "status_backups", s, func(b *bytes.Buffer) { StatusHuman(b, Style{}, s) })

	check := BackupCheck{FormatVersion: FormatVersion, Clusters: []ClusterBackupState{{"main", s.Clusters[0].Backups}}}
	check.Judge()
	if check.Result == nil || *check.Result {
		t.Errorf("%v", check.Result)
	}
	both(t, "check_backup", check, func(b *bytes.Buffer) { BackupCheckHuman(b, check) })
	check.Clusters[0].Rules = check.Clusters[0].Rules[:1]
	if check.Judge(); check.Result == nil || !*check.Result {
		t.Errorf("one rule that is met: %v", check.Result)
	}
	check = BackupCheck{Clusters: []ClusterBackupState{{"main", s.Clusters[0].Backups[2:3]}}}
	if check.Judge(); check.Result != nil {
		t.Errorf("a target that is away: %v", *check.Result)
	}
}
