package executor

import (
	"context"
	"sync"
)

// task is one unit for schedule: what it waits for, by position.
type task struct {
	needs   []int
	blocked string // why it is never run; "" when it may
}

// outcome of a task.
type outcome int

const (
	pending outcome = iota
	running
	done
	failed
	skipped
)

// scheduler runs tasks as soon as all that they need is done, several at a time.
type scheduler struct {
	tasks       []task
	parallelism int
	run         func(i int) error        // in a goroutine of its own
	skip        func(i int, because int) // because is the position of the need that was not met
	blocked     func(i int)              // never to be run
	interrupted func(i int)              // not begun before the interruption
	state       []outcome
	waits       []int
	next        [][]int
	ready       []int
	active      int
}

// schedule runs everything; it returns when nothing runs any more. When ctx ends no
// further task is begun; those that run are waited for.
func (s *scheduler) schedule(ctx context.Context) {
	n := len(s.tasks)
	s.state, s.waits, s.next = make([]outcome, n), make([]int, n), make([][]int, n)
	for i, t := range s.tasks {
		for _, j := range t.needs {
			s.waits[i]++
			s.next[j] = append(s.next[j], i)
		}
	}
	for i, t := range s.tasks {
		if t.blocked != "" && s.state[i] == pending {
			s.state[i] = skipped
			s.blocked(i)
			s.abandon(i)
		}
	}
	for i := range s.tasks {
		if s.waits[i] == 0 && s.state[i] == pending {
			s.ready = append(s.ready, i)
		}
	}
	type result struct {
		i   int
		err error
	}
	results := make(chan result)
	var wg sync.WaitGroup
	for {
		for len(s.ready) > 0 && s.active < s.parallelism && ctx.Err() == nil {
			i := s.ready[0]
			s.ready = s.ready[1:]
			if s.state[i] != pending {
				continue
			}
			s.state[i] = running
			s.active++
			wg.Go(func() { results <- result{i, s.run(i)} })
		}
		if s.active == 0 {
			break
		}
		r := <-results
		s.active--
		s.finish(r.i, r.err)
	}
	wg.Wait()
	for i := range s.tasks {
		if s.state[i] == pending {
			s.state[i] = skipped
			s.interrupted(i)
		}
	}
}

func (s *scheduler) finish(i int, err error) {
	if err != nil {
		s.state[i] = failed
		s.abandon(i)
		return
	}
	s.state[i] = done
	for _, j := range s.next[i] {
		if s.waits[j]--; s.waits[j] == 0 && s.state[j] == pending {
			s.ready = append(s.ready, j)
		}
	}
}

// abandon skips all that needs i, directly or not.
func (s *scheduler) abandon(i int) {
	for _, j := range s.next[i] {
		if s.state[j] == pending {
			s.state[j] = skipped
			s.skip(j, i)
			s.abandon(j)
		}
	}
}
