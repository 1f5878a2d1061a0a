package planner

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"pg_manage/schema"
)

var update = flag.Bool("update", false, "write the golden plans anew")

// scenario is a declaration and a world that it meets.
type scenario func(t testing.TB) (*schema.Cluster, *world)

// after builds from, lets something happen, and then plans for what change makes of from.
func after(from func() *schema.Cluster, happen func(*world, *schema.Cluster), change func(*schema.Cluster) *schema.Cluster) scenario {
	return func(t testing.TB) (*schema.Cluster, *world) {
		c := from()
		w := built(t, c)
		if happen != nil {
			happen(w, c)
			w.flow()
		}
		if change != nil {
			c = change(clone(c))
			w.addMachines(c)
		}
		return c, w
	}
}

// set changes a parameter on all nodes; "" takes it out.
func set(pairs ...string) func(*schema.Cluster) *schema.Cluster {
	return func(c *schema.Cluster) *schema.Cluster {
		for _, n := range c.Nodes {
			for i := 0; i < len(pairs); i += 2 {
				if n.Parameters[pairs[i]] = pairs[i+1]; pairs[i+1] == "" {
					delete(n.Parameters, pairs[i])
				}
			}
		}
		return c
	}
}

func twoWith(pairs ...string) func() *schema.Cluster {
	return func() *schema.Cluster { return set(pairs...)(two()) }
}

// on does something to one node.
func on(node, what string) func(*world, *schema.Cluster) {
	return func(w *world, c *schema.Cluster) {
		events()[what](w, c, c.Node(node), w.on(c, node))
	}
}

// then does one thing after another.
func then(all ...func(*world, *schema.Cluster)) func(*world, *schema.Cluster) {
	return func(w *world, c *schema.Cluster) {
		for _, f := range all {
			f(w, c)
			w.flow()
		}
	}
}

func scenarios() map[string]scenario {
	return map[string]scenario{
		"new-cluster": func(testing.TB) (*schema.Cluster, *world) { return two(), newWorld(two()) },
		"new-cluster-offsite": func(testing.TB) (*schema.Cluster, *world) {
			c := withOffsite()
			w := newWorld(c)
			w.down[places(c)[1]] = true
			return c, w
		},
		"unchanged":         after(two, nil, nil),
		"reload":            after(two, nil, set("work_mem", "64MB")),
		"restart-increase":  after(two, nil, set("max_connections", "200")),
		"restart-decrease":  after(twoWith("max_connections", "200"), nil, set("max_connections", "100")),
		"restart-mixed":     after(twoWith("max_connections", "200"), nil, set("max_connections", "100", "max_worker_processes", "16")),
		"standby-data-gone": after(two, then(on("node2", "stopped"), on("node2", "wiped")), nil),
		"third-node-cascading": after(two, nil, func(c *schema.Cluster) *schema.Cluster {
			c.Nodes = append(c.Nodes, standbyNode("node3", "node2"))
			return c
		}),
		"upstream-changed": after(three, nil, func(c *schema.Cluster) *schema.Cluster {
			c.Node("node3").Upstream = "node1"
			return c
		}),
		"standby-unreachable": after(two, on("node2", "cable cut"), set("work_mem", "64MB")),
		"primary-unreachable": after(two, then(on("node1", "cable cut"), on("node2", "stopped"), on("node2", "wiped")), nil),
		"foreign-directory":   after(two, on("node2", "foreign directory"), nil),
		"other-clusters-data": after(two, then(on("node2", "stopped"), on("node2", "other cluster")), nil),
		"split-brain":         after(three, on("node2", "promoted"), nil),
		"failover-observed":   after(three, then(on("node1", "stopped"), on("node2", "promoted")), nil),
		"archive-of-another":  after(two, on("node1", "archive taken"), nil),
		"archive-removed": after(two, nil, func(c *schema.Cluster) *schema.Cluster {
			c.Archives = nil
			return c
		}),
		"archive-moved": after(two, nil, func(c *schema.Cluster) *schema.Cluster {
			c.Archives[0].Target = sshTarget("tape")
			return c
		}),
		"archive-added":             after(two, nil, offsite),
		"archive-added-unreachable": after(withOffsite, then(down(1), lost(1)), nil),
		"archive-unreachable":       after(two, down(0), nil),
		"archive-of-another-too":    after(withOffsite, taken(1), nil),
		"archive-target-removed":    after(withOffsite, nil, func(c *schema.Cluster) *schema.Cluster { c.Archives = c.Archives[1:]; return c }),
		"archive-required-now": after(withOffsite, nil, func(c *schema.Cluster) *schema.Cluster {
			c.Archives[0].Required, c.Archives[0].QueueLimit, c.Archiving.Workers, c.Archiving.SpoolLimit = true, 0, 4, 512<<20
			return c
		}),
		"archive-encrypted": after(two, nil, func(c *schema.Cluster) *schema.Cluster {
			t := c.Archives[0].Target
			t.Recipients, t.AgeIdentityFile, t.Compression = s3Target("").Recipients, "/etc/pg_manage/age.key", "lz4"
			return c
		}),
		"archive-logged":    after(two, nil, func(c *schema.Cluster) *schema.Cluster { c.Archiving.Log = true; return c }),
		"parameter-removed": after(twoWith("work_mem", "64MB", "shared_buffers", "256MB"), nil, set("work_mem", "", "shared_buffers", "")),
		"adopted":           adopted,
		"port-taken":        after(two, then(on("node2", "stopped"), on("node2", "port taken")), nil),
		"roles-swapped":     after(two, nil, swapped),
	}
}

func withOffsite() *schema.Cluster { return offsite(two()) }

// down lets one of the places not answer, lost and taken change what is there; they are
// counted in the order in which restore asks them.
func down(i int) func(*world, *schema.Cluster) {
	return func(w *world, c *schema.Cluster) { w.down[places(c)[i]] = true }
}

func lost(i int) func(*world, *schema.Cluster) {
	return func(w *world, c *schema.Cluster) { delete(w.archives, places(c)[i]) }
}

func taken(i int) func(*world, *schema.Cluster) {
	return func(w *world, c *schema.Cluster) { w.archives[places(c)[i]] = w.newID() }
}

func swapped(c *schema.Cluster) *schema.Cluster {
	c.Node("node1").Role, c.Node("node1").Upstream = schema.RoleStandby, "node2"
	c.Node("node2").Role, c.Node("node2").Upstream = schema.RolePrimary, ""
	return c
}

// adopted is a running pair that somebody else built, with settings of its own.
func adopted(t testing.TB) (*schema.Cluster, *world) {
	c := two()
	w := built(t, c)
	for _, host := range sortedKeys(w.machines) {
		m := w.machines[host]
		m.conf, m.hba, m.included = "", "", false
		clear(m.installed)
		clear(m.hooks)
		clear(m.passfiles)
		clear(m.inst.slots)
		m.inst.roles = map[string]string{"repl": "theirs"}
		if m.inst.signal {
			m.inst.auto["primary_conninfo"] = "host=10.0.0.11 user=repl password=hunter2"
		}
		m.load(true)
	}
	clear(w.archives)
	return set("work_mem", "64MB")(c), w
}

func TestGoldenPlans(t *testing.T) {
	all := scenarios()
	maps.Copy(all, backupScenarios())
	for _, name := range sortedKeys(all) {
		t.Run(name, func(t *testing.T) {
			c, w := all[name](t)
			p := w.plan(c)
			got, err := Encode(p)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+".golden.json")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the plan is not that of %s (run with -update to accept it):\n%s", file, got)
			}
			back, err := Decode(want)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := Encode(back); err != nil || !bytes.Equal(again, want) {
				t.Errorf("decoded and encoded again it is another: %v\n%s", err, again)
			}
			w.apply(t, c, p, len(p.Steps))
			w.restore = nil
			if after := w.plan(c); !p.HasErrors() && !after.Empty() {
				t.Errorf("not empty afterwards: %v %+v", steps(after), after.Findings)
			}
		})
	}
}

// TestScenarioSteps holds the plans in a form that a person can judge at a glance.
func TestScenarioSteps(t *testing.T) {
	want := map[string][]string{
		"new-cluster": {
			"node1/install-binaries", "node1/write-passfile", "node1/write-hook-config", "node1/init-instance", "node1/create-archive",
			"node1/write-settings", "node1/write-hba", "node1/start", "node1/replication-role",
			"node2/install-binaries", "node2/write-passfile", "node2/write-hook-config", "node1/create-slot", "node2/build-standby", "node2/write-hba", "node2/start", "node1/check-archive",
		},
		"unchanged":            {},
		"reload":               {"node1/write-settings", "node1/reload", "node2/write-settings", "node2/reload"},
		"restart-increase":     {"node1/write-settings", "node2/write-settings", "node2/restart", "node1/restart"},
		"restart-decrease":     {"node1/write-settings", "node1/restart", "node2/write-settings", "node2/restart"},
		"restart-mixed":        {"node1/write-settings!", "node1/restart!", "node2/write-settings!", "node2/restart!"},
		"standby-data-gone":    {"node2/build-standby", "node2/start"},
		"third-node-cascading": {"node1/write-hba", "node1/reload", "node2/write-hba", "node2/reload", "node3/install-binaries", "node3/write-passfile", "node3/write-hook-config", "node2/create-slot", "node3/build-standby", "node3/write-hba", "node3/start"},
		"upstream-changed":     {"node1/create-slot", "node3/write-settings", "node3/reload", "node2/drop-slot"},
		"standby-unreachable":  {"node1/write-settings", "node1/reload"},
		"primary-unreachable":  {"node2/build-standby!", "node2/start!"},
		"foreign-directory":    {},
		"other-clusters-data":  {"node2/build-standby", "node2/start"},
		"split-brain":          {},
		"archive-of-another":   {},
		"archive-moved":        {"node1/write-hook-config", "node1/create-archive", "node2/write-hook-config", "node1/check-archive"},
		"port-taken":           {},
		"roles-swapped":        {},
		"new-cluster-offsite": {
			"node1/install-binaries", "node1/write-passfile", "node1/write-hook-config", "node1/init-instance", "node1/create-archive", "node1/create-archive",
			"node1/write-settings", "node1/write-hba", "node1/start", "node1/replication-role",
			"node2/install-binaries", "node2/write-passfile", "node2/write-hook-config", "node1/create-slot", "node2/build-standby", "node2/write-hba", "node2/start", "node1/check-archive",
		},
		"archive-added":             {"node1/write-hook-config", "node1/create-archive", "node2/write-hook-config", "node1/check-archive"},
		"archive-added-unreachable": {},
		"archive-unreachable":       {},
		"archive-of-another-too":    {},
		"archive-target-removed":    {"node1/write-hook-config", "node2/write-hook-config", "node1/check-archive"},
		"archive-required-now":      {"node1/write-hook-config", "node2/write-hook-config", "node1/check-archive"},
		"archive-encrypted":         {"node1/write-hook-config", "node2/write-hook-config", "node1/check-archive"},
		"archive-logged":            {"node1/write-hook-config", "node1/write-settings", "node1/reload", "node2/write-hook-config", "node2/write-settings", "node2/reload", "node1/check-archive"},
	}
	all := scenarios()
	for _, name := range sortedKeys(want) {
		c, w := all[name](t)
		if got := steps(w.plan(c)); len(got) != len(want[name]) {
			t.Errorf("%s:\n got %v\nwant %v", name, got, want[name])
		} else {
			for i := range got {
				if got[i] != want[name][i] {
					t.Errorf("%s:\n got %v\nwant %v", name, got, want[name])
					break
				}
			}
		}
	}
}
