package planner

import "container/heap"

// order sorts steps so that each stands behind all that it needs; among those
// that are free to go, the one that was planned first comes first.
func order(steps []Step) []Step {
	pos := make(map[string]int, len(steps))
	for i, s := range steps {
		pos[s.ID] = i
	}
	waits := make([]int, len(steps))
	next := make([][]int, len(steps))
	for i, s := range steps {
		for _, id := range s.Needs {
			if j, ok := pos[id]; ok {
				waits[i]++
				next[j] = append(next[j], i)
			}
		}
	}
	free := &intHeap{}
	for i, w := range waits {
		if w == 0 {
			heap.Push(free, i)
		}
	}
	out := make([]Step, 0, len(steps))
	for free.Len() > 0 {
		i := heap.Pop(free).(int)
		out = append(out, steps[i])
		for _, j := range next[i] {
			if waits[j]--; waits[j] == 0 {
				heap.Push(free, j)
			}
		}
	}
	if len(out) != len(steps) { // a mistake of ours, found by the tests: better no plan than one that hangs
		panic("planner: the steps need each other in a circle")
	}
	return out
}

type intHeap []int

func (h intHeap) Len() int           { return len(h) }
func (h intHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h intHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *intHeap) Push(x any)        { *h = append(*h, x.(int)) }
func (h *intHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
