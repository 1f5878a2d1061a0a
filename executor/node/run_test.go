package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pg_manage/executor/event"
	"pg_manage/executor/repo"
	"pg_manage/executor/repo/catalog"
	"pg_manage/executor/repo/storage"
	"pg_manage/executor/wal"
)

// site is a target with backups, and a node's state directory.
type site struct {
	t           *testing.T
	root, state string
}

func newSite(t *testing.T) *site {
	return &site{t, t.TempDir(), t.TempDir()}
}

func (s *site) place() Place {
	return Place{Target: repo.Target{Name: "nas", Scheme: "file", Path: s.root, ArchiveDir: "wal"}, BackupDir: "backups", Cluster: "main"}
}

// backup stores something that the catalogue takes for a full backup.
func (s *site) backup(begun time.Time) string { return s.damaged(begun, 0) }

// damaged is backup for one with pages that were damaged on the node already.
func (s *site) damaged(begun time.Time, pages int64) string {
	s.t.Helper()
	a, err := enter("main", "", "", s.state)
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := a.catalog(s.t.Context(), s.place())
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.close()
	label := catalog.Label(begun, "node1", catalog.Full)
	if err := c.Begin(s.t.Context(), label, ""); err != nil {
		s.t.Fatal(err)
	}
	put := func(name string) catalog.Object {
		o, err := c.Create(s.t.Context(), label, name, strings.NewReader(name))
		if err != nil {
			s.t.Fatal(err)
		}
		return o
	}
	i := &catalog.Info{
		Version: catalog.Version, Label: label, Kind: catalog.Full, Cluster: "main", Node: "node1", SystemIdentifier: "7300000000000000001", PostgreSQL: "17.2",
		Timeline: 1, StartLSN: 0x2000028, StopLSN: 0x2000148, StartTime: begun, StopTime: begun.Add(time.Minute), SegmentSize: 16 << 20, BlockSize: 8192,
		WAL: catalog.WALArchived, Parts: []catalog.Object{put(c.PartName(0))}, Index: put(c.IndexName()), Manifest: put(c.ManifestName()),
		Compression: c.Compression(), Damaged: pages,
	}
	if err := c.Commit(s.t.Context(), i); err != nil {
		s.t.Fatal(err)
	}
	return label
}

// ask runs a command with a request, and reads its result.
func ask(t *testing.T, command string, request, result any) error {
	t.Helper()
	text, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = Run(t.Context(), Work{Command: command, Request: bytes.NewReader(text), Result: &out, Events: event.Discard{}, ToolVersion: "test"})
	if out.Len() > 0 {
		if jerr := json.Unmarshal(out.Bytes(), result); jerr != nil {
			t.Fatalf("%s: %v", out.String(), jerr)
		}
	}
	return err
}

func TestACatalogueIsReadAndMarked(t *testing.T) {
	s := newSite(t)
	label := s.backup(time.Date(2026, 11, 22, 21, 55, 0, 0, time.UTC))
	gone := s.place()
	gone.Target.Name, gone.Target.Scheme = "share", "nfs" // no such mount
	req := CatalogRequest{Version: Version, Places: []Place{s.place(), gone}, StateDir: s.state}
	list := func() CatalogResult {
		t.Helper()
		var res CatalogResult
		if err := ask(t, "catalog", req, &res); err != nil {
			t.Fatal(err)
		}
		return res
	}
	res := list()
	if len(res.Catalogs) != 2 || !res.Catalogs[0].Known || len(res.Catalogs[0].Backups) != 1 || res.Catalogs[0].Backups[0].Label != label {
		t.Fatalf("%+v", res)
	}
	if c := res.Catalogs[1]; c.Known || c.Target != "share" || !strings.Contains(c.Error, "mount") {
		t.Errorf("a directory that is no mount: %+v", c)
	}
	for _, pinned := range []bool{true, false} {
		command := map[bool]string{true: "pin", false: "unpin"}[pinned]
		var got PinResult
		if err := ask(t, command, PinRequest{Version: Version, Place: s.place(), Label: label, StateDir: s.state}, &got); err != nil || got.Pinned != pinned {
			t.Errorf("%s: %+v, %v", command, got, err)
		}
		if got := list().Catalogs[0].Backups[0].Pinned; got != pinned {
			t.Errorf("%s: the catalogue says %v", command, got)
		}
	}
	err := ask(t, "pin", PinRequest{Version: Version, Place: s.place(), Label: "20260101T000000Z-node1-full", StateDir: s.state}, new(PinResult))
	if err == nil || !strings.Contains(err.Error(), "20260101T000000Z-node1-full") {
		t.Errorf("a backup that is not there: %v", err)
	}
}

func TestTheNewestBackupWithoutDamagedPagesIsNeverRemoved(t *testing.T) {
	s := newSite(t)
	day := time.Date(2026, 11, 20, 21, 55, 0, 0, time.UTC)
	old, sound := s.backup(day), s.backup(day.Add(24*time.Hour))
	s.damaged(day.Add(48*time.Hour), 2)
	req := ExpireRequest{Version: Version, Place: s.place(), Labels: []string{old, sound}, StateDir: s.state}
	var res ExpireResult
	if err := ask(t, "expire", req, &res); err == nil || !strings.Contains(err.Error(), sound+" stays") || len(res.Removed) > 0 {
		t.Errorf("%+v, %v", res, err)
	}
	req.Labels = []string{old}
	if err := ask(t, "expire", req, &res); err != nil || len(res.Removed) != 1 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestNothingIsRemovedByAClockThatIsAhead(t *testing.T) {
	s := newSite(t)
	day := time.Date(2026, 11, 20, 21, 55, 0, 0, time.UTC)
	old := s.backup(day)
	s.backup(day.Add(24 * time.Hour))
	req := ExpireRequest{Version: Version, Place: s.place(), Labels: []string{old}, StateDir: s.state, Now: time.Now().Add(48 * time.Hour)}
	var res ExpireResult
	if err := ask(t, "expire", req, &res); err == nil || !strings.Contains(err.Error(), "clocks is wrong") || len(res.Removed) > 0 {
		t.Errorf("%+v, %v", res, err)
	}
	req.Now = time.Now().Add(time.Minute)
	if err := ask(t, "expire", req, &res); err != nil || len(res.Removed) != 1 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestAPlaceWithoutBackupsIsKnownToBeEmpty(t *testing.T) {
	s := newSite(t)
	var res CatalogResult
	if err := ask(t, "catalog", CatalogRequest{Version: Version, Places: []Place{s.place()}, StateDir: s.state}, &res); err != nil {
		t.Fatal(err)
	}
	if c := res.Catalogs[0]; !c.Known || len(c.Backups) != 0 || c.Error != "" {
		t.Errorf("%+v", c)
	}
}

func TestRequestsThatAreNotUnderstoodAreRefused(t *testing.T) {
	s := newSite(t)
	whole, err := json.Marshal(CatalogRequest{Version: Version, Places: []Place{s.place()}, StateDir: s.state})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ command, text, want string }{
		"no JSON":              {"catalog", "backups please", "not one JSON object"},
		"nothing":              {"catalog", "", "not one JSON object"},
		"another version":      {"catalog", strings.Replace(string(whole), `"version":1`, `"version":2`, 1), "version 2, and this program reads version 1"},
		"no version":           {"catalog", `{}`, "version 0"},
		"a key from elsewhere": {"catalog", strings.Replace(string(whole), `"state_dir"`, `"dry_run":true,"state_dir"`, 1), `unknown field "dry_run"`},
		"a relative directory": {"catalog", strings.Replace(string(whole), s.state, "state", 1), "not an absolute path"},
		"a command of another": {"fly", string(whole), `no command "fly"`},
		"a path for a cluster": {"pin", `{"version":1,"place":{"target":{"name":"nas","scheme":"file","path":"/x"},"backup_dir":"b","cluster":".."},"label":"x","state_dir":"` + s.state + `"}`, "no name for a directory"},
	} {
		var out bytes.Buffer
		err := Run(t.Context(), Work{Command: c.command, Request: strings.NewReader(c.text), Result: &out, Events: event.Discard{}})
		var usage *UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), c.want) || out.Len() > 0 {
			t.Errorf("%s: %v, %s", name, err, out.String())
		}
	}
}

func TestTheWrongUserIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("giving a directory to another user needs root")
	}
	s := newSite(t)
	deeper := filepath.Join(s.state, "not", "there", "yet")
	for _, dir := range []string{s.state, deeper} {
		if err := os.Chown(s.state, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		err := ask(t, "catalog", CatalogRequest{Version: Version, Places: []Place{s.place()}, StateDir: dir}, new(CatalogResult))
		var refused *wal.RefusedError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), "to be run as nobody") {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func FuzzRequests(f *testing.F) {
	f.Add(`{"version":1}`)
	f.Add(`{"version":1,"place":{"target":{"name":"a","scheme":"file","path":"/nowhere"},"backup_dir":"../..","cluster":"a/b"},"state_dir":"/nowhere"}`)
	f.Add(`{"version":1,"place":{"target":{"name":"a","scheme":"file","path":"/nowhere"},"backup_dir":"x/../y","cluster":"main"},"labels":["../x"],"state_dir":"/nowhere"}`)
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = decode[CatalogRequest]([]byte(text))
		_, _ = decode[BackupRequest]([]byte(text))
		p, err := decode[PinRequest]([]byte(text))
		if err != nil || p.Place.check() != nil {
			return
		}
		if err := storage.CheckDir(p.Place.Dir()); err != nil {
			t.Errorf("%q leads to %q: %v", text, p.Place.Dir(), err)
		}
	})
}
