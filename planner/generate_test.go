package planner

import (
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"pg_manage/schema"
)

// drawCluster declares a cluster of one to five nodes, in any order, standbys
// below the primary or below each other.
func drawCluster(t *rapid.T) *schema.Cluster {
	count := rapid.IntRange(1, 5).Draw(t, "nodes")
	nodes := []*schema.Node{primaryNode("node1")}
	for i := 2; i <= count; i++ {
		up := fmt.Sprintf("node%d", rapid.IntRange(1, i-1).Draw(t, "upstream"))
		nodes = append(nodes, standbyNode(fmt.Sprintf("node%d", i), up))
	}
	c := cluster(rapid.Permutation(nodes).Draw(t, "order")...)
	drawArchives(t, c)
	drawRules(t, c)
	drawParameters(t, c)
	return c
}

// drawArchives declares up to three archives, at least one of them required.
func drawArchives(t *rapid.T, c *schema.Cluster) {
	c.Archives = nil
	for _, target := range rapid.Permutation([]*schema.Target{sshTarget("nas"), s3Target("offsite"), sshTarget("attic")}).Draw(t, "targets")[:rapid.IntRange(0, 3).Draw(t, "archives")] {
		a := &schema.Archive{Target: target, Required: len(c.Archives) == 0 || rapid.Bool().Draw(t, "required")}
		if !a.Required && rapid.Bool().Draw(t, "limited") {
			a.QueueLimit = 1 << 30
		}
		c.Archives = append(c.Archives, a)
	}
	slices.Reverse(c.Archives)
	c.Archiving.Workers = rapid.SampledFrom([]int{0, 4}).Draw(t, "workers")
}

// somePlace is where one of the archives of a cluster lies, "" when it has none; which
// one depends on the node.
func somePlace(c *schema.Cluster, n *schema.Node) string {
	if all := places(c); len(all) > 0 {
		return all[len(n.Name+n.Upstream)%len(all)]
	}
	return ""
}

func drawParameters(t *rapid.T, c *schema.Cluster) {
	choices := map[string][]string{
		"max_connections": {"", "100", "50", "200"}, "max_worker_processes": {"", "8", "16", "4"},
		"shared_buffers": {"", "128MB", "256MB"}, "work_mem": {"", "4MB", "8192"},
		"log_min_duration_statement": {"", "1s", "250ms"}, "random_page_cost": {"", "1.1"}, "myapp.mode": {"", "a'b", "c"},
	}
	for _, name := range sortedKeys(choices) {
		value := rapid.SampledFrom(choices[name]).Draw(t, name)
		for _, n := range c.Nodes {
			if delete(n.Parameters, name); value != "" {
				n.Parameters[name] = value
			}
		}
	}
	for _, n := range c.Nodes {
		if n.Role == schema.RoleStandby {
			n.Delay = rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "delay")
		}
	}
}

// drawWorld is a world in which c was built or not, and then things happened.
func drawWorld(t *rapid.T, c *schema.Cluster) *world {
	w := newWorld(c)
	for _, host := range sortedKeys(w.machines) {
		m := w.machines[host]
		m.debian, m.empty = rapid.Bool().Draw(t, "debian"), rapid.Bool().Draw(t, "empty")
	}
	if rapid.IntRange(0, 3).Draw(t, "built") > 0 {
		w.converge(t, c)
	}
	for range rapid.IntRange(0, 4).Draw(t, "events") {
		name := rapid.SampledFrom(sortedKeys(events())).Draw(t, "event")
		n := rapid.SampledFrom(c.Nodes).Draw(t, "node")
		events()[name](w, c, n, w.machines[n.Host])
		w.flow()
	}
	return w
}

type event func(w *world, c *schema.Cluster, n *schema.Node, m *machine)

// withData makes an event that needs a data directory.
func withData(f func(w *world, m *machine, i *instance)) event {
	return func(w *world, _ *schema.Cluster, _ *schema.Node, m *machine) {
		if m.inst != nil {
			f(w, m, m.inst)
		}
	}
}

// events are what may happen to a node.
func events() map[string]event {
	return map[string]event{
		"cable cut":     func(_ *world, _ *schema.Cluster, _ *schema.Node, m *machine) { m.unreachable = "connection timed out" },
		"no PostgreSQL": func(_ *world, _ *schema.Cluster, _ *schema.Node, m *machine) { m.noServer = "yes" },
		"daemon":        func(_ *world, _ *schema.Cluster, _ *schema.Node, m *machine) { m.daemons = []string{"patroni"} },
		"hook lost":     func(_ *world, _ *schema.Cluster, _ *schema.Node, m *machine) { clear(m.hooks) },
		"binary old":    func(_ *world, _ *schema.Cluster, _ *schema.Node, m *machine) { m.installed["pg_manage-hook"] = "old" },
		"passfile lost": func(_ *world, _ *schema.Cluster, _ *schema.Node, m *machine) { clear(m.passfiles) },
		"mount point":   func(_ *world, _ *schema.Cluster, _ *schema.Node, m *machine) { m.mount = true },
		"targets down": func(w *world, c *schema.Cluster, _ *schema.Node, _ *machine) {
			for _, place := range places(c) {
				w.down[place] = true
			}
		},
		"target down":   func(w *world, c *schema.Cluster, n *schema.Node, _ *machine) { w.down[somePlace(c, n)] = true },
		"archive lost":  func(w *world, c *schema.Cluster, n *schema.Node, _ *machine) { delete(w.archives, somePlace(c, n)) },
		"archive taken": func(w *world, c *schema.Cluster, n *schema.Node, _ *machine) { w.archives[somePlace(c, n)] = w.newID() },
		"archive junk":  func(w *world, c *schema.Cluster, n *schema.Node, _ *machine) { w.archives[somePlace(c, n)] = "foreign" },
		"port taken": func(_ *world, _ *schema.Cluster, _ *schema.Node, m *machine) {
			if m.inst == nil || !m.inst.running {
				m.portTaken = "nginx"
			}
		},
		"wiped": func(_ *world, _ *schema.Cluster, _ *schema.Node, m *machine) {
			if m.inst = nil; !m.debian {
				m.conf, m.hba, m.included = "", "", false
			}
		},
		"foreign directory": func(_ *world, _ *schema.Cluster, _ *schema.Node, m *machine) {
			m.inst, m.foreign = nil, true
		},
		"unreadable":   withData(func(_ *world, m *machine, i *instance) { m.unreadable = !i.running }),
		"a day passes": func(w *world, _ *schema.Cluster, _ *schema.Node, _ *machine) { w.clock = w.clock.Add(25 * time.Hour) },
		"a week passes": func(w *world, _ *schema.Cluster, _ *schema.Node, _ *machine) {
			w.clock = w.clock.Add(8 * 24 * time.Hour)
		},
		"backup breaks": func(w *world, c *schema.Cluster, _ *schema.Node, _ *machine) {
			for _, at := range sortedKeys(w.backups) {
				if list := w.backups[at]; len(list) > 0 {
					list[len(list)-1].Broken = "part-0000.tar.zst is missing"
				}
			}
		},
		"stopped": withData(func(_ *world, _ *machine, i *instance) { i.stop() }),
		"mute": withData(func(_ *world, _ *machine, i *instance) {
			if i.running {
				i.mute = "too many clients"
			}
		}),
		"other cluster":  withData(func(w *world, _ *machine, i *instance) { i.id = w.newID() }),
		"other version":  withData(func(_ *world, _ *machine, i *instance) { i.stop(); i.major = 16 }),
		"promoted":       withData(func(_ *world, _ *machine, i *instance) { i.promote() }),
		"signal lost":    withData(func(_ *world, _ *machine, i *instance) { i.stop(); i.signal = false }),
		"signal appears": withData(func(_ *world, _ *machine, i *instance) { i.stop(); i.signal = true }),
		"PITR":           withData(func(_ *world, _ *machine, i *instance) { i.stop(); i.signal, i.recovery = false, true }),
		"ahead":          withData(func(w *world, _ *machine, i *instance) { i.stop(); i.lsn += 0x10000000 }),
		"slots lost": withData(func(_ *world, _ *machine, i *instance) {
			clear(i.slots)
		}),
		"stale slot": func(_ *world, c *schema.Cluster, n *schema.Node, m *machine) {
			if m.inst != nil {
				for _, name := range []string{"pg_manage_gone", "pg_manage_node2", "pg_manage_node3", "theirs"} {
					if _, ok := m.inst.slots[name]; !ok {
						m.inst.slots[name] = Slot{Name: name, Type: "physical"}
					}
				}
			}
		},
		"ALTER SYSTEM": withData(func(_ *world, m *machine, i *instance) {
			i.auto["work_mem"], i.auto["max_connections"], i.auto["primary_conninfo"] = "1MB", "300", "host=elsewhere password=hunter2"
			if i.running {
				m.load(false)
			}
		}),
		"edited": withData(func(_ *world, m *machine, i *instance) {
			m.conf += "shared_buffers = '64MB'\nwork_mem = '64kB'\n"
			if i.running {
				m.load(false)
			}
		}),
		"not included": withData(func(_ *world, m *machine, _ *instance) { m.included = false }),
		"hba lost":     withData(func(_ *world, m *machine, _ *instance) { m.hba = "" }),
		"role lost":    withData(func(w *world, _ *machine, i *instance) { w.roles(i, func(r map[string]string) { clear(r) }) }),
		"password": withData(func(w *world, _ *machine, i *instance) {
			w.roles(i, func(r map[string]string) {
				for user := range r {
					r[user] = "changed by hand"
				}
			})
		}),
	}
}

// roles changes the roles of a cluster, standbys and all.
func (w *world) roles(i *instance, change func(map[string]string)) {
	for _, m := range w.machines {
		if m.inst != nil && m.inst.id == i.id {
			change(m.inst.roles)
		}
	}
}

func (i *instance) stop() {
	i.running, i.primary, i.mute, i.ours, i.pending = false, false, "", nil, nil
}

func (i *instance) promote() {
	if i.signal {
		i.signal, i.timeline = false, i.timeline+1
		i.primary = i.running
	}
}

// drawChange is what a person may change in the file.
func drawChange(t *rapid.T, c *schema.Cluster) *schema.Cluster {
	c = clone(c)
	for _, what := range rapid.SliceOfN(rapid.SampledFrom([]string{"parameters", "node", "gone", "upstream", "swap", "user", "password", "archives", "target", "required", "keys", "rename node", "rename cluster", "data_dir", "rules", "seed"}), 0, 2).Draw(t, "changes") {
		n := rapid.SampledFrom(c.Nodes).Draw(t, "changed node")
		switch what {
		case "parameters":
			drawParameters(t, c)
		case "node":
			if c.Node("node9") == nil {
				c.Nodes = append(c.Nodes, standbyNode("node9", n.Name))
			}
		case "gone":
			used := slices.ContainsFunc(c.Nodes, func(o *schema.Node) bool { return o.Upstream == n.Name })
			if n.Role == schema.RoleStandby && !used {
				c.Nodes = slices.DeleteFunc(c.Nodes, func(o *schema.Node) bool { return o == n })
			}
		case "upstream":
			if n.Role == schema.RoleStandby {
				n.Upstream = c.Primary().Name
			}
		case "swap":
			if p := c.Primary(); p != n {
				p.Role, p.Upstream, p.Delay, n.Role, n.Upstream, n.Delay = schema.RoleStandby, n.Name, 0, schema.RolePrimary, "", 0
				for _, o := range c.Nodes {
					if o != n {
						o.Upstream = n.Name
					}
				}
			}
		case "user":
			c.Replication.User = "streamer"
		case "password":
			c.Replication.Password = schema.NewSecret("another " + testPassword)
		case "archives":
			drawArchives(t, c)
		case "target":
			if c.Archived() {
				c.Archives[0].Target = sshTarget("tape")
			}
		case "required":
			for _, a := range c.Archives {
				a.Required, a.QueueLimit = true, 0
			}
		case "keys":
			for _, a := range c.Archives {
				a.Target.Recipients, a.Target.IdentityFile = []string{"age1new"}, "/new"
			}
		case "rename node":
			for _, o := range c.Nodes {
				if o.Upstream == n.Name {
					o.Upstream = "db" + n.Name
				}
			}
			n.Name = "db" + n.Name
		case "rename cluster":
			c.Name = "primary"
		case "rules":
			drawRules(t, c)
		case "seed":
			if n.Role == schema.RoleStandby && len(c.Backups) > 0 {
				n.SeedFrom = []string{"backup", "primary"}
			}
		case "data_dir":
			n.DataDir = "/srv/pg"
		}
	}
	return c
}
