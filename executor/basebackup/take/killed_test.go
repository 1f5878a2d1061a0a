package take

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"pg_manage/executor/event"
	"pg_manage/executor/repo"
	"pg_manage/executor/repo/catalog"
	"pg_manage/executor/wal"
)

// childKey is the environment variable that makes the test's program take a backup.
const childKey = "PG_MANAGE_TEST_TAKE"

func TestMain(m *testing.M) {
	if text := os.Getenv(childKey); text != "" {
		if err := child(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// job is what a child does.
type job struct {
	Target repo.Target
	Server Server
	State  string
}

// child takes a backup that never ends: it tells of its first progress and stops there.
func child(text string) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	ctx := context.Background()
	d, err := repo.Open(ctx, j.Target)
	if err != nil {
		return err
	}
	c, err := catalog.New(d, "pg_hotbackup/main", j.Target)
	if err != nil {
		return err
	}
	_, err = Take(ctx, Options{
		Catalog: c, Archive: wal.NewLookup(j.Target, "main", 0, repo.Open), Events: stuck{}, Cluster: "main", Node: "node1", StateDir: j.State, Server: j.Server,
	})
	return err
}

type stuck struct{}

func (stuck) Emit(e event.Event) {
	if e.Type == event.Progress {
		fmt.Println("copying")
		select {}
	}
}

func TestKilledBackupIsNotListed(t *testing.T) {
	s := newPG(t).primary()
	o, _ := s.options()
	text, err := json.Marshal(job{repo.Target{Name: "nas", Scheme: "file", Path: s.root + "/target", ArchiveDir: "pg_archlog"}, o.Server, o.StateDir})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childKey+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "copying" {
		t.Fatal(line, err)
	}
	if _, err := Take(t.Context(), o); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("is running (process %d,", cmd.Process.Pid)) {
		t.Errorf("beside it: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() //nolint:errcheck // killed
	s.await("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_manage backup'", "0")
	if l := s.listed(o); len(l) > 0 {
		t.Errorf("%v is listed", l)
	}
	unfinished, err := o.Catalog.Unfinished(t.Context())
	if err != nil || len(unfinished) != 1 {
		t.Errorf("unfinished: %v, %v", unfinished, err)
	}
	s.mustTake(o)
	if again, err := o.Catalog.Unfinished(t.Context()); err != nil || len(again) != 1 || again[0] != unfinished[0] {
		t.Errorf("unfinished: %v, %v", again, err)
	}
}
