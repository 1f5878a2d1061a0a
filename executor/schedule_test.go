package executor

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

// TestScheduleProperties: whatever the graph, order respects needs, the bound holds,
// and what depends on a failure is skipped while all the rest is done.
func TestScheduleProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 25).Draw(t, "tasks")
		limit := rapid.IntRange(1, 5).Draw(t, "parallelism")
		tasks, fails := make([]task, n), make([]bool, n)
		for i := range tasks {
			for j := range i {
				if rapid.IntRange(0, 3).Draw(t, "need") == 0 {
					tasks[i].needs = append(tasks[i].needs, j)
				}
			}
			switch rapid.IntRange(0, 9).Draw(t, "fate") {
			case 0:
				fails[i] = true
			case 1:
				tasks[i].blocked = "because"
			}
		}
		var mu sync.Mutex
		finished, ran, skippedBy := map[int]bool{}, map[int]int{}, map[int]bool{}
		var active, peak atomic.Int64
		s := &scheduler{tasks: tasks, parallelism: limit}
		s.run = func(i int) error {
			if a := active.Add(1); a > peak.Load() {
				peak.Store(a)
			}
			defer active.Add(-1)
			mu.Lock()
			defer mu.Unlock()
			ran[i]++
			for _, j := range tasks[i].needs {
				if !finished[j] {
					t.Errorf("task %d began before %d, which it needs, was done", i, j)
				}
			}
			if fails[i] {
				return errors.New("failed")
			}
			finished[i] = true
			return nil
		}
		s.skip = func(i, because int) { skippedBy[i] = true }
		s.blocked = func(i int) { skippedBy[i] = true }
		s.interrupted = func(i int) { t.Errorf("task %d was interrupted", i) }
		s.schedule(context.Background())
		for i := range tasks {
			lost := tasks[i].blocked != "" || slices.ContainsFunc(tasks[i].needs, func(j int) bool { return !finished[j] })
			switch {
			case lost && (ran[i] != 0 || !skippedBy[i]):
				t.Errorf("task %d ran %d times, skipped %v; it could not run", i, ran[i], skippedBy[i])
			case !lost && (ran[i] != 1 || skippedBy[i]):
				t.Errorf("task %d ran %d times, skipped %v", i, ran[i], skippedBy[i])
			}
		}
		if peak.Load() > int64(limit) {
			t.Errorf("%d tasks at a time, allowed %d", peak.Load(), limit)
		}
	})
}

// TestScheduleInterrupted: what runs is finished, and nothing more is begun.
func TestScheduleInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var ran, left []int
	s := &scheduler{tasks: []task{{}, {needs: []int{0}}, {}}, parallelism: 1}
	s.run = func(i int) error {
		cancel()
		ran = append(ran, i)
		return nil
	}
	s.interrupted = func(i int) { left = append(left, i) }
	s.schedule(ctx)
	if !slices.Equal(ran, []int{0}) || !slices.Equal(left, []int{1, 2}) {
		t.Errorf("ran %v, left %v", ran, left)
	}
	if s.state[0] != done || s.state[1] != skipped {
		t.Errorf("states %v", s.state)
	}
}
