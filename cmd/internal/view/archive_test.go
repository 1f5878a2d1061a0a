package view

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"pg_manage/executor/event"
	"pg_manage/planner"
	"pg_manage/schema"
)

// offsiteConfig is statusConfig with two more archives that nothing waits for.
func offsiteConfig() *schema.Config {
	cfg := statusConfig()
	c := cfg.Clusters[0]
	c.Archives = append(c.Archives,
		&schema.Archive{Target: &schema.Target{Name: "offsite"}, QueueLimit: 50 << 30},
		&schema.Archive{Target: &schema.Target{Name: "attic"}})
	return cfg
}

// archivingFacts are those of a primary whose archives are all well.
func archivingFacts() *planner.NodeFacts {
	f := primaryFacts()
	for _, name := range []string{"nas", "offsite", "attic"} {
		f.Archives = append(f.Archives, planner.ArchiveFact{Target: name, State: planner.ArchiveOurs, SystemIdentifier: f.Data.SystemIdentifier, Evidence: "asked"})
	}
	f.Archiving = planner.ArchivingFacts{
		Known: true, Queues: []planner.QueueFact{{Target: "nas"}, {Target: "offsite"}, {Target: "attic"}},
		Archiver: planner.ArchiverProcess{Running: true, PID: 4711, RateBytes: 34 << 20, Last: "000000030000000000000004", LastTime: created().Add(-12 * time.Second)},
	}
	return f
}

// troubledFacts are those of a primary whose archives are not.
func troubledFacts() *planner.NodeFacts {
	f := archivingFacts()
	f.Server.Archiver.Ready, f.Server.Archiver.Failed, f.Server.Archiver.FailedWAL, f.Server.Archiver.FailedTime = 7, 3, "000000030000000000000005", created().Add(-time.Second)
	f.Archiving.Backlog = planner.Backlog{Segments: 7, Bytes: 7 << 24}
	f.Archiving.Archiver.Error, f.Archiving.Archiver.ErrorTime, f.Archiving.Archiver.RateBytes = "nas: no space left on device", created().Add(-time.Second), 0
	f.Archives[1] = planner.ArchiveFact{Target: "offsite", State: planner.ArchiveUnreachable, Error: "s3.example.net: no route to host", Evidence: "asked"}
	f.Archiving.Queues[1] = planner.QueueFact{
		Target: "offsite", Segments: 120, Bytes: 120 << 24, Error: "s3.example.net: no route to host",
		Dropped: []planner.DroppedWAL{{From: "000000030000000000000001", To: "000000030000000000000003", Segments: 3, Since: created().Add(-time.Hour)}},
	}
	f.Archiving.Queues[2] = planner.QueueFact{Target: "attic", Segments: 2, Bytes: 2 << 24}
	return f
}

func TestStatusOfSeveralArchives(t *testing.T) {
	for name, f := range map[string]*planner.NodeFacts{"status_archives": archivingFacts(), "status_archives_bad": troubledFacts()} {
		nodes := map[string]*planner.NodeFacts{
			"node1": f, "node2": standbyFacts(0x5000000, time.Hour), "node3": standbyFacts(0x4000000, time.Hour), "node4": standbyFacts(0x5000001, 0),
		}
		s := NewStatus(offsiteConfig(), observed(nodes), &planner.Plan{ToolVersion: "v1.2.3"}, created())
		if s.Healthy != (name == "status_archives") {
			t.Errorf("%s: healthy is %v", name, s.Healthy)
		}
		var b bytes.Buffer
		StatusHuman(&b, Style{}, s)
		golden(t, name+".txt", b.Bytes())
		b.Reset()
		if err := WriteJSON(&b, s); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".json", b.Bytes())
	}
}

func TestTargetStates(t *testing.T) {
	required, best := &schema.Archive{Target: &schema.Target{Name: "nas"}, Required: true}, &schema.Archive{Target: &schema.Target{Name: "nas"}}
	fact := func(state planner.ArchiveState) *planner.NodeFacts {
		return &planner.NodeFacts{Archives: []planner.ArchiveFact{{Target: "nas", State: state, Error: "why"}}}
	}
	queue := func(q planner.QueueFact) *planner.NodeFacts {
		f := fact("")
		q.Target = "nas"
		f.Archiving = planner.ArchivingFacts{Known: true, Queues: []planner.QueueFact{q}}
		return f
	}
	for name, c := range map[string]struct {
		archive *schema.Archive
		overall string
		facts   *planner.NodeFacts
		want    string
	}{
		"required, well":                 {required, "ok", fact("ours"), "ok"},
		"required, not asked":            {required, "ok", fact(""), "ok"},
		"required, idle":                 {required, "idle", fact("ours"), "idle"},
		"required, unreachable":          {required, "ok", fact("unreachable"), "unreachable"},
		"required, absent":               {required, "idle", fact("absent"), "absent"},
		"required, failing":              {required, "failing", fact("unreachable"), "failing"},
		"required, foreign":              {required, "idle", fact("foreign"), "foreign"},
		"off":                            {required, "off", fact("absent"), "off"},
		"no primary":                     {required, "unknown", nil, "unknown"},
		"best effort, queue not known":   {best, "ok", fact("ours"), "unknown"},
		"best effort, well":              {best, "ok", queue(planner.QueueFact{}), "ok"},
		"best effort, the other fails":   {best, "failing", queue(planner.QueueFact{}), "ok"},
		"best effort, nothing yet":       {best, "idle", queue(planner.QueueFact{}), "idle"},
		"best effort, WAL waits":         {best, "ok", queue(planner.QueueFact{Segments: 1}), "behind"},
		"best effort, failing":           {best, "ok", queue(planner.QueueFact{Segments: 1, Error: "x"}), "failing"},
		"best effort, unreachable":       {best, "ok", fact("unreachable"), "unreachable"},
		"best effort, archive_mode off":  {best, "off", queue(planner.QueueFact{}), "off"},
		"best effort, there is no other": {best, "unknown", nil, "unknown"},
	} {
		if got := targetStatus(c.archive, c.overall, c.facts); got.State != c.want {
			t.Errorf("%s: %s, want %s", name, got.State, c.want)
		}
	}
}

// page writes a document in both forms and compares them with their golden files.
func page(t *testing.T, name string, doc any, human func(b *bytes.Buffer)) {
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

// holey is what an archive with a hole looks like.
func holey() ArchiveAudit {
	return ArchiveAudit{
		Target: "nas", Segments: 8, StoredBytes: 9 << 20,
		Timelines: []AuditTimeline{{Timeline: 1, Missing: []AuditRange{{From: "000000010000000000000004", To: "000000010000000000000005", Segments: 2}}}},
		Recoverable: []AuditSpan{
			{Timeline: 1, FromLSN: "0/1000000", ToLSN: "0/4000000", Through: []uint32{1}},
			{Timeline: 1, FromLSN: "0/6000000", ToLSN: "0/B000000", Through: []uint32{1}},
		},
	}
}

func TestArchiveStatus(t *testing.T) {
	c := offsiteConfig().Clusters[0]
	nodes := map[string]*planner.NodeFacts{"node1": archivingFacts(), "node2": troubledFacts(), "node3": {Unreachable: "node3: connection refused"}}
	p := ArchiveStatusPage{FormatVersion: FormatVersion, Time: created()}
	for i, want := range []bool{true, false, false} {
		s := NewNodeArchiveStatus(c, c.Nodes[i], observed(nodes), created())
		if s.Healthy() != want {
			t.Errorf("%s: healthy is %v", s.Node, s.Healthy())
		}
		if i == 0 {
			s.Contents = []ArchiveAudit{holey(), {Target: "offsite", Error: "no route to host"}}
			if s.Healthy() {
				t.Error("an archive with a hole is healthy")
			}
		}
		p.Nodes = append(p.Nodes, s)
	}
	page(t, "archive_status", p, func(b *bytes.Buffer) { ArchiveStatusHuman(b, Style{}, p) })
}

func TestArchiveCheck(t *testing.T) {
	whole := ArchiveAudit{
		Cluster: "main", Node: "node1", Target: "nas", SystemIdentifier: "7", SegmentSize: 16 << 20, Segments: 9, StoredBytes: 9 << 20,
		Timelines: []AuditTimeline{
			{Timeline: 1, Ranges: []AuditRange{{From: "000000010000000000000001", To: "000000010000000000000005", FromLSN: "0/1000000", ToLSN: "0/6000000", Segments: 5}}, Missing: []AuditRange{}},
			{Timeline: 2, Parent: 1, ForkLSN: "0/5000028", Ranges: []AuditRange{{From: "000000020000000000000005", To: "000000020000000000000008", FromLSN: "0/5000000", ToLSN: "0/9000000", Segments: 4}}, Missing: []AuditRange{}},
		},
		Problems:    []AuditProblem{{Name: "0000000200000000/000000020000000000000009.zst.tmp", Kind: "unfinished"}},
		Recoverable: []AuditSpan{{Timeline: 2, FromLSN: "0/1000000", ToLSN: "0/9000000", Through: []uint32{1, 2}}},
	}
	bad := ArchiveAudit{
		Cluster: "main", Node: "node1", Target: "offsite", Segments: 1, StoredBytes: 1 << 20,
		Timelines: []AuditTimeline{{
			Timeline: 1, Ranges: []AuditRange{{From: "000000010000000000000001", To: "000000010000000000000001", FromLSN: "0/1000000", ToLSN: "0/2000000", Segments: 1}},
			Missing: []AuditRange{{From: "000000010000000000000002", To: "000000010000000000000004", Segments: 3}},
		}},
		Problems: []AuditProblem{
			{Name: "0000000100000000/000000010000000000000005.zst", Kind: "damaged", Detail: "the header of page 3 is wrong\x1b[2J"},
			{Name: "photo.jpg", Kind: "foreign", Detail: "this is no name of a file of a WAL archive"},
		},
		Recoverable: []AuditSpan{{Timeline: 1, FromLSN: "0/1000000", ToLSN: "0/2000000", Through: []uint32{1}}},
	}
	gone := ArchiveAudit{Cluster: "main", Node: "node1", Target: "attic", Error: "no route to host", Timelines: []AuditTimeline{}, Problems: []AuditProblem{}, Recoverable: []AuditSpan{}}
	empty := ArchiveAudit{Cluster: "other", Node: "db1", Target: "nas", Timelines: []AuditTimeline{{Timeline: 1}}}
	if !whole.Whole() || bad.Whole() || !empty.Whole() {
		t.Error("what is whole is not told")
	}
	c := ArchiveCheck{FormatVersion: FormatVersion, Archives: []ArchiveAudit{whole, bad, gone, empty}}
	page(t, "archive_check", c, func(b *bytes.Buffer) { ArchiveCheckHuman(b, Style{}, c) })
	c = ArchiveCheck{FormatVersion: FormatVersion, Quick: true, Archives: []ArchiveAudit{whole}}
	page(t, "archive_check_quick", c, func(b *bytes.Buffer) { ArchiveCheckHuman(b, Style{Color: true}, c) })
}

func TestArchivePush(t *testing.T) {
	many := strings.Fields(strings.Repeat("000000010000000000000001 ", 25))
	p := ArchivePush{FormatVersion: FormatVersion, Nodes: []NodePush{
		{Cluster: "main", Node: "node1", Target: "nas", Pushed: many, Present: 3, Unpushable: []AuditRange{}, Failed: []PushFailure{}},
		{
			Cluster: "main", Node: "node1", Target: "offsite", Pushed: []string{"000000010000000000000001"}, Present: 1,
			Unpushable: []AuditRange{{From: "000000010000000000000002", To: "000000010000000000000004", Segments: 3}},
			Failed:     []PushFailure{{Name: "000000010000000000000005", Error: "no space left on device"}},
		},
		{Cluster: "other", Node: "db1", Pushed: []string{}, Unpushable: []AuditRange{}, Failed: []PushFailure{}, Error: "unreachable: connection refused"},
	}}
	page(t, "archive_push", p, func(b *bytes.Buffer) { ArchivePushHuman(b, Style{}, p) })
	p = ArchivePush{FormatVersion: FormatVersion, DryRun: true, Nodes: []NodePush{{Cluster: "main", Node: "node1", Pushed: []string{"000000010000000000000001"}}}}
	page(t, "archive_push_dry", p, func(b *bytes.Buffer) { ArchivePushHuman(b, Style{}, p) })
}

func TestTask(t *testing.T) {
	now := created()
	var b bytes.Buffer
	for _, st := range []Style{{}, {Color: true, Width: 80, Height: 24}} {
		task := NewTask(&b, st, "main/node1", func() time.Time { return now })
		for _, e := range []event.Event{
			{Type: event.Progress, Done: 1 << 20, Total: 10 << 20, Message: "nas"},
			{Type: event.Notice, Message: "offsite: no route to host"},
			{Type: event.Progress, Done: 5 << 20, Total: 10 << 20, Message: "nas"},
			{Type: event.Progress, Done: 6 << 20, Total: 10 << 20},
			{Type: event.Done},
		} {
			task.Emit(e)
			now = now.Add(6 * time.Second)
		}
		task.Finish()
	}
	golden(t, "task.txt", b.Bytes())
}
