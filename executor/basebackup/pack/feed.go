package pack

import (
	"cmp"
	"slices"
	"sync"
)

const (
	// partBytes is after how much content another part begins.
	partBytes = 1 << 30
	// small files are read whole, several in a task.
	small = 256 << 10
	// window is how much of a file is read at once, and so lies in one frame.
	window = 512 << 10
	// stride is how much of a file a task looks through when most of it is expected to be the same.
	stride = 8 * window
	// batchFiles is the most files in a task.
	batchFiles = 500
	// maxFile is the biggest file, in bytes: its line in the index must not be too long to be read.
	maxFile = 48 << 30
)

// unit is what a writer takes at once: one big file, or several small ones.
type unit struct {
	big   item
	batch []item
}

// feed hands out units to the writers.
type feed struct {
	mu    sync.Mutex
	units []unit
}

func (f *feed) next() (unit, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.units) == 0 {
		return unit{}, false
	}
	u := f.units[0]
	f.units[0] = unit{} // lets go of the batch
	f.units = f.units[1:]
	return u, true
}

// push takes files that turned out to be big.
func (f *feed) push(items []item) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, it := range items {
		f.units = append(f.units, unit{big: it})
	}
}

func (f *feed) empty() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.units) == 0
}

// units sorts the files into units: big ones first, so that the work ends everywhere at about
// the same time, then the small ones as they lie in their directories.
func (s *scan) units(incremental bool) []unit {
	most := int64(window - 64<<10) // leaves room for headers
	if incremental {
		most = stride
	}
	var units []unit
	for _, it := range s.files {
		if it.size > small {
			units = append(units, unit{big: it})
		}
	}
	slices.SortStableFunc(units, func(a, b unit) int { return cmp.Compare(b.big.size, a.big.size) })
	var batch []item
	var bytes int64
	for _, it := range s.files {
		if it.size > small {
			continue
		}
		need := it.size + tarBlock
		if len(batch) > 0 && (bytes+need > most || len(batch) == batchFiles) {
			units = append(units, unit{batch: batch})
			batch, bytes = nil, 0
		}
		batch = append(batch, it)
		bytes += need
	}
	if len(batch) > 0 {
		units = append(units, unit{batch: batch})
	}
	return units
}
