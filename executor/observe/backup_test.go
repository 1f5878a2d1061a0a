package observe

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pg_manage/executor/node"
	"pg_manage/executor/remote"
	"pg_manage/planner"
	"pg_manage/schema"
)

// asking is a host whose program tells of backups as the test says.
type asking struct {
	remote.Host
	says  string
	err   error
	asked [][]string
}

func (h *asking) Name() string      { return "n" }
func (h *asking) LoginUser() string { return "postgres" }
func (h *asking) Run(_ context.Context, cmd remote.Command) (remote.Result, error) {
	h.asked = append(h.asked, cmd.Args)
	return remote.Result{Stdout: []byte(h.says)}, h.err
}

func backedUp() (*schema.Cluster, *planner.ClusterFacts) {
	target := &schema.Target{Name: "nas", URL: schema.URL{Scheme: "file", Path: "/nas"}, ArchiveDir: "wal", BackupDir: "backups"}
	c := &schema.Cluster{Name: "main", Backups: []*schema.Backup{{Name: "nightly", Target: target}}}
	facts := &planner.ClusterFacts{Nodes: map[string]*planner.NodeFacts{}}
	for _, name := range []string{"n1", "n2", "n3"} {
		c.Nodes = append(c.Nodes, &schema.Node{Name: name})
		facts.Nodes[name] = &planner.NodeFacts{Host: planner.HostFacts{Owner: "postgres", Installed: map[string]string{"pg_manage": "x"}}, Paths: planner.Paths{Tool: "/t", State: "/s"}}
	}
	facts.Nodes["n3"].Server = planner.ServerFacts{Running: true, Accepting: true}
	return c, facts
}

func TestBackupsAreAskedOfOneNode(t *testing.T) {
	c, facts := backedUp()
	for want, change := range map[string]func(){
		"n3": func() {}, // the primary
		"n1": func() { facts.Nodes["n3"].Server.InRecovery = true },
		"n2": func() { facts.Nodes["n1"].Unreachable = "gone" },
	} {
		if want == "n2" {
			facts.Nodes["n3"].Server.InRecovery = true
		}
		change()
		if n := catalogNode(c, facts); n == nil || n.Name != want {
			t.Errorf("got %v, want %s", n, want)
		}
		c, facts = backedUp()
	}
	for _, f := range facts.Nodes {
		f.Host.Installed = nil
	}
	if n := catalogNode(c, facts); n != nil {
		t.Errorf("%s is asked, and has no program to ask with", n.Name)
	}
}

func TestCatalogsOfOneNode(t *testing.T) {
	c, facts := backedUp()
	places := []node.Place{node.PlaceOf("main", c.Backups[0].Target)}
	f := facts.Nodes["n3"]
	for name, test := range map[string]struct {
		says string
		err  error
		want planner.CatalogFact
	}{
		"backups":         {says: `{"version":1,"catalogs":[{"target":"nas","known":true,"backups":[{"label":"a"}]}]}`, want: planner.CatalogFact{Known: true, Backups: []planner.BackupFact{{Label: "a"}}}},
		"an outage":       {says: `{"version":1,"catalogs":[{"target":"nas","error":"no route\nto host"}]}`, want: planner.CatalogFact{Error: "no route to host"}},
		"another version": {says: `{"version":2,"catalogs":[{"target":"nas","known":true}]}`, want: planner.CatalogFact{Error: "n: `pg_manage node catalog` gave an answer that this version does not understand"}},
		"too few":         {says: `{"version":1,"catalogs":[]}`, want: planner.CatalogFact{Error: "n: `pg_manage node catalog` gave an answer that this version does not understand"}},
		"an old program":  {err: errors.New("unknown command node"), want: planner.CatalogFact{Error: "unknown command node"}},
		"a hanging mount": {err: &remote.CommandError{Status: 124}, want: planner.CatalogFact{Error: "n: the target did not answer within 20 seconds"}},
	} {
		h := &asking{says: test.says, err: test.err}
		test.want.Target, test.want.Cluster = "nas", "main"
		if got := Catalogs(t.Context(), h, f, places); !reflect.DeepEqual(got, []planner.CatalogFact{test.want}) {
			t.Errorf("%s: got %+v, want %+v", name, got, test.want)
		}
		if want := []string{"timeout", "20", "/t/pg_manage", "node", "catalog"}; len(h.asked) != 1 || !slices.Equal(h.asked[0], want) {
			t.Errorf("%s: ran %v", name, h.asked)
		}
	}
}

func TestClusterWithoutBackupsIsNotAsked(t *testing.T) {
	c, facts := backedUp()
	c.Backups = nil
	h := &asking{says: "{}"}
	catalogs(t.Context(), nil, c, facts, Options{})
	if len(h.asked) > 0 || facts.Nodes["n3"].Catalogs != nil {
		t.Error("a node was asked for backups that nobody declared")
	}
}

func TestRestoreIntentIsRead(t *testing.T) {
	for text, want := range map[string]string{
		`{"target":"nas","label":"x","asked":"abc","done":true}`: "abc",
		"":       "",
		"{}":     "cannot be read",
		"cut of": "cannot be read",
	} {
		s := &sections{values: map[string][]string{}}
		if text != "" {
			s.values["intent"] = []string{text}
		}
		i := restoreIntent(s)
		if (i == nil) != (want == "") || i != nil && !strings.Contains(i.Asked, want) {
			t.Errorf("%q: %+v", text, i)
		}
	}
}
