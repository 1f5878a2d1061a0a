package archiver

import (
	"encoding/json"
	"os"
	"runtime"
	"sync"
	"time"

	"pg_manage/executor/wal"
)

// record is what the archiver tells of itself.
type record struct {
	now func() time.Time

	mu     sync.Mutex
	status wal.ArchiverStatus
	recent []storedAt // of the last minute
}

type storedAt struct {
	at   time.Time
	size int64
}

// stored notes how the storing of one file ended.
func (r *record) stored(name string, size int64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if err != nil {
		r.status.Error, r.status.ErrorTime = err.Error(), now.UTC()
		return
	}
	r.status.Stored++
	r.status.Last, r.status.LastTime = name, now.UTC()
	r.status.Error, r.status.ErrorTime = "", time.Time{}
	r.recent = append(r.recent, storedAt{now, size})
	r.trim(now)
}

func (r *record) trim(now time.Time) {
	i := 0
	for i < len(r.recent) && now.Sub(r.recent[i].at) > time.Minute {
		i++
	}
	r.recent = append(r.recent[:0], r.recent[i:]...)
}

// queue notes why a queue does not empty; nil that it does.
func (r *record) queue(target string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		delete(r.status.Queues, target)
		return
	}
	if r.status.Queues == nil {
		r.status.Queues = map[string]wal.Fault{}
	}
	r.status.Queues[target] = wal.Fault{Error: err.Error(), Time: r.now().UTC()}
}

// text is the answer to `status`, as JSON.
func (r *record) text() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trim(r.now())
	st := r.status
	st.PID, st.Goroutines = os.Getpid(), runtime.NumGoroutine()
	if len(r.recent) > 0 {
		var sum int64
		for _, s := range r.recent {
			sum += s.size
		}
		span := max(r.now().Sub(r.recent[0].at), time.Second)
		st.RateBytes = int64(float64(sum) / span.Seconds())
	}
	return json.Marshal(st)
}
