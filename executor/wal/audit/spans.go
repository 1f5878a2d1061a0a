package audit

import (
	"cmp"
	"slices"
)

// span is a run of segment numbers, both ends included. A segment's number is its
// first LSN divided by the segment size.
type span struct{ from, to uint64 }

// spans is a set of segment numbers. It takes memory for its runs, not for its members.
// After add, tidy makes it sorted and disjoint again, which all other methods need.
type spans []span

func (s *spans) add(n uint64) {
	if k := len(*s); k > 0 {
		last := &(*s)[k-1]
		if n >= last.from && n <= last.to {
			return
		}
		if n == last.to+1 {
			last.to = n
			return
		}
	}
	*s = append(*s, span{n, n})
}

func (s *spans) tidy() {
	slices.SortFunc(*s, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	out := (*s)[:0]
	for _, r := range *s {
		if k := len(out); k > 0 && r.from <= out[k-1].to+1 {
			out[k-1].to = max(out[k-1].to, r.to)
			continue
		}
		out = append(out, r)
	}
	*s = slices.Clip(out)
}

func (s spans) count() (n uint64) {
	for _, r := range s {
		n += r.to - r.from + 1
	}
	return n
}

func (s spans) has(n uint64) bool {
	_, ok := slices.BinarySearchFunc(s, n, func(r span, n uint64) int {
		switch {
		case r.to < n:
			return -1
		case r.from > n:
			return 1
		}
		return 0
	})
	return ok
}

// within gives the members from a to b.
func (s spans) within(a, b uint64) (out spans) {
	for _, r := range s {
		if r.to >= a && r.from <= b {
			out = append(out, span{max(r.from, a), min(r.to, b)})
		}
	}
	return out
}

// lack gives the numbers from a to b that are no members.
func (s spans) lack(a, b uint64) (out spans) {
	for _, r := range s.within(a, b) {
		if r.from > a {
			out = append(out, span{a, r.from - 1})
		}
		if r.to == b { // also keeps a from passing the largest number there is
			return out
		}
		a = r.to + 1
	}
	if a <= b {
		out = append(out, span{a, b})
	}
	return out
}

// without gives the members that t doesn't have.
func (s spans) without(t spans) (out spans) {
	for _, r := range s {
		out = append(out, t.lack(r.from, r.to)...)
	}
	return out
}

// union gives the members of both.
func (s spans) union(t spans) spans {
	out := append(slices.Clone(s), t...)
	out.tidy()
	return out
}
