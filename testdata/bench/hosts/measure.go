package hosts

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"strings"
)

// Measurement is one thing that a benchmark measures at its site.
type Measurement[S Site] struct {
	Name string // a letter, as -only takes it
	Do   func(S) error
}

// Site is where a benchmark measures.
type Site interface {
	Explain(err error) error // with what the server's log says
	Quiet() error            // ends what a measurement may have left running
}

// Choose gives the measurements that are named, with commas between; a name that none has is an error.
func Choose[S Site](all []Measurement[S], names string) ([]Measurement[S], error) {
	only, known := strings.Split(names, ","), make([]string, len(all))
	for i, m := range all {
		known[i] = m.Name
	}
	for _, name := range only {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("-only %s: the measurements are %s", name, strings.Join(known, ","))
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(m Measurement[S]) bool { return !slices.Contains(only, m.Name) }), nil
}

// Measure does one measurement after the other, also after one that failed, until the
// context ends. What fails because of that is not told.
func Measure[S Site](ctx context.Context, s S, list []Measurement[S]) error {
	var failed []error
	for _, m := range list {
		if ctx.Err() != nil {
			break
		}
		log.Printf("measuring %s, load average %s", m.Name, LoadAverage())
		if err := m.Do(s); err != nil && ctx.Err() == nil {
			failed = append(failed, fmt.Errorf("%s: %w", m.Name, err))
			log.Printf("%s failed: %v", m.Name, s.Explain(err))
		}
		if err := s.Quiet(); err != nil && ctx.Err() == nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}
