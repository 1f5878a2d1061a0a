package planner

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pg_manage/schema"
)

// scene is a declaration and a world that it meets.
func scene(t *rapid.T) (*schema.Cluster, *world) {
	before := drawCluster(t)
	w := drawWorld(t, before)
	c := drawChange(t, before)
	w.addMachines(c)
	w.flow()
	return c, w
}

// twin makes the same scene again, for tests that need a second world. What is
// drawn is drawn once: the worlds are made by the same acts.
func (w *world) twin() *world {
	v := *w
	v.machines, v.archives, v.down = map[string]*machine{}, map[string]string{}, maps.Clone(w.down)
	for host, m := range w.machines {
		v.machines[host] = m.copy()
	}
	for k, id := range w.archives {
		v.archives[k] = id
	}
	v.backups = map[string][]stored{}
	for k, list := range w.backups {
		v.backups[k] = slices.Clone(list)
	}
	return &v
}

func TestPropertyConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, w := scene(t)
		p := w.plan(c)
		refused := w.apply(t, c, p, len(p.Steps))
		after := w.plan(c)
		if refused > 0 {
			return // the target did not take it, and could not be asked before
		}
		for _, s := range after.Steps {
			if s.Blocked == "" && !blocked(p, s.ID) {
				t.Fatalf("%s is in the plan again: %s\nfirst %v\nthen %v\n%s", s.ID, s.Reason, steps(p), steps(after), w)
			}
		}
		if !p.HasErrors() && !after.Empty() && !onlyLearnt(after) {
			t.Fatalf("not empty: %v %+v", steps(after), after.Findings)
		}
	})
}

// blocked says that a step stood in a plan and could not be done then: it may be done after
// that plan has mended what was in the way, as far as it could know.
func blocked(p *Plan, id string) bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.ID == id && s.Blocked != "" })
}

// onlyLearnt says that nothing is wrong but what could not be known before this plan was
// carried out: a limit of the primary which nobody declared and which was not known before a
// server was started, or a target that no node could ask before it had the programs.
func onlyLearnt(p *Plan) bool {
	return len(p.Steps) == 0 && !slices.ContainsFunc(p.Findings, func(f Finding) bool {
		return f.Severity == schema.SeverityError && !strings.Contains(f.Summary, "would be below the 300 of the primary") &&
			!(strings.Contains(f.Summary, "are not known") && strings.Contains(f.Detail, "connection refused"))
	})
}

func TestPropertyInterrupted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, w := scene(t)
		v := w.twin()
		p := w.plan(c)
		if w.apply(t, c, p, len(p.Steps)) > 0 {
			return
		}
		done := rapid.IntRange(0, len(p.Steps)).Draw(t, "killed after")
		v.apply(t, c, v.plan(c), done)
		again := v.plan(c)
		v.apply(t, c, again, len(again.Steps))
		last := v.plan(c)
		for _, s := range last.Steps {
			if s.Blocked == "" && !blocked(again, s.ID) {
				t.Fatalf("killed after %d of %v: then %v, and still %s", done, steps(p), steps(again), s.ID)
			}
		}
		// With something in the way, what is learnt between two runs may be in the way too.
		if a, b := w.end(), v.end(); a != b && !p.HasErrors() && !again.HasErrors() {
			t.Fatalf("killed after %d of %v, then %v:\n%s\nwithout:\n%s", done, steps(p), steps(again), b, a)
		}
	})
}

func TestPropertyNothingDangerousUnseen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, w := scene(t)
		p := w.plan(c)
		for _, s := range p.Steps {
			for _, n := range c.Nodes {
				m := w.machines[n.Host]
				unseen := m.unreachable != "" || m.unreadable || m.inst != nil && m.inst.running && m.inst.mute != ""
				if n.Name == s.Node || !unseen || s.Blocked != "" {
					continue
				}
				d, build := s.Detail.(BuildDetail)
				slot, drop := s.Detail.(SlotDetail)
				startsPrimary := s.Kind == KindStart && slices.ContainsFunc(s.Post, func(c Condition) bool { return c.Fact == FactRole && c.Want == "primary" })
				if s.Kind == KindInit || build && d.MoveAside || startsPrimary {
					t.Fatalf("%s is not blocked, and nobody knows what %s is\n%s", s.ID, n.Name, w)
				}
				if drop && slot.Drop && strings.HasSuffix(slot.Name, "_"+n.Name) {
					t.Fatalf("%s is not blocked, and %s may use the slot", s.ID, n.Name)
				}
			}
		}
	})
}

func TestPropertyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, w := scene(t)
		blocked := map[string]bool{}
		for _, s := range w.plan(c).Steps {
			if _, twice := blocked[s.ID]; twice {
				t.Fatalf("%s comes twice", s.ID)
			}
			for _, id := range s.Needs {
				b, before := blocked[id]
				if !before {
					t.Fatalf("%s needs %s, which does not stand before it", s.ID, id)
				}
				if b && s.Blocked == "" {
					t.Fatalf("%s needs %s, which is blocked", s.ID, id)
				}
			}
			if s.Detail == nil || s.Detail.kind() != s.Kind || s.Summary == "" || s.Reason == "" || s.Effect == "" || s.Action == "" {
				t.Fatalf("incomplete: %+v", s)
			}
			blocked[s.ID] = s.Blocked != ""
		}
	})
}

func TestPropertyDeterministicAndSecretless(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, w := scene(t)
		c.Replication.Password = schema.NewSecret(rapid.StringMatching(`[A-Za-z0-9'" %$]{12,30}`).Draw(t, "password"))
		p := w.plan(c)
		one, err := Encode(p)
		if err != nil {
			t.Fatal(err)
		}
		two, _ := Encode(w.plan(clone(c)))
		if !bytes.Equal(one, two) {
			t.Fatalf("two plans for one input:\n%s\n%s", one, two)
		}
		back, err := Decode(one)
		if err != nil {
			t.Fatal(err)
		}
		three, _ := Encode(back)
		if !bytes.Equal(one, three) {
			t.Fatalf("decoded and encoded again:\n%s\n%s", one, three)
		}
		text := fmt.Sprintf("%s %+v %#v", one, p, p)
		for _, s := range p.Steps {
			text += fmt.Sprintf("%+v %#v", s, s.Detail)
		}
		for _, secret := range []string{c.Replication.Password.Reveal(), testPassword, "hunter2"} {
			if strings.Contains(text, secret) {
				t.Fatalf("%q is in %s", secret, text)
			}
		}
	})
}

func TestPropertyTwoPrimaries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, w := scene(t)
		running := 0
		for _, f := range w.observe(c).Clusters[c.Name].Nodes {
			if f.runsPrimary() {
				running++
			}
		}
		if p := w.plan(c); running > 1 && (len(p.Steps) > 0 || !p.HasErrors() || len(p.Unchanged) > 0) {
			t.Fatalf("%d primaries run, and the plan is %v", running, steps(p))
		}
	})
}

func TestPropertySelection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, w := scene(t)
		all := w.plan(c)
		names := rapid.SliceOfN(rapid.SampledFrom([]string{"node1", "node2", "main/node3", "main", "nobody"}), 1, 2).Draw(t, "names")
		opts := testOptions()
		if rapid.Bool().Draw(t, "exclude") {
			opts.Selection.Exclude = names
		} else {
			opts.Selection.Target = names
		}
		opts.Now = w.clock
		p := New(config(c), w.observe(c), opts)
		for _, s := range p.Steps {
			for _, id := range s.Needs {
				if p.Step(id) == nil {
					t.Fatalf("%s needs %s, which the selection %v cut away", s.ID, id, opts.Selection)
				}
			}
			if slices.Contains(opts.Selection.Exclude, s.Node) {
				t.Fatalf("%s is excluded by %v", s.ID, names)
			}
		}
		for _, s := range all.Steps {
			if slices.Contains(opts.Selection.Target, s.Node) && p.Step(s.ID) == nil {
				t.Fatalf("%s is left out by %v", s.ID, names)
			}
			if slices.Contains(p.Unchanged, s.Cluster+"/"+s.Node) {
				t.Fatalf("%s is called unchanged", s.Node)
			}
		}
		_ = w.apply(t, c, p, len(p.Steps)) // a selected plan can be carried out by itself
	})
}

func TestPropertyDataLoss(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, w := scene(t)
		p := w.plan(c)
		for _, s := range p.Steps {
			m := w.on(c, s.Node)
			d, build := s.Detail.(BuildDetail)
			if moves := build && d.MoveAside; moves != (s.Effect == EffectDataLoss) {
				t.Fatalf("%s: effect %s, moves data: %t", s.ID, s.Effect, moves)
			}
			if s.Effect == EffectDataLoss && m.inst == nil {
				t.Fatalf("%s: there is no data to lose", s.ID)
			}
			if (s.Kind == KindInit || s.Kind == KindBuild) && m.inst != nil && m.inst.running && m.inst.dir == s.Instance.DataDir {
				t.Fatalf("%s touches the data of a running server", s.ID)
			}
		}
		data := map[string]*instance{}
		for host, m := range w.machines {
			data[host] = m.inst
		}
		loss := p.DataLoss()
		w.apply(t, c, p, len(p.Steps))
		for host, m := range w.machines { // nothing that was there is gone
			if old := data[host]; old != nil && m.inst != old {
				declared := slices.ContainsFunc(loss, func(s Step) bool { return c.Node(s.Node).Host == host })
				if !slices.Contains(m.aside, old) || !declared && old.dir == m.inst.dir {
					t.Fatalf("the data on %s is gone\n%v", host, steps(p))
				}
			}
		}
	})
}
