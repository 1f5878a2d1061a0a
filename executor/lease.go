package executor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"pg_manage/executor/remote"
)

// Times of a lease. A holder that was cut off is given up after LeaseStale on the
// node's own clock.
const (
	LeaseHeartbeat = 10 * time.Second
	LeaseStale     = 60 * time.Second
)

// LeaseOptions say who takes a lease and how.
type LeaseOptions struct {
	Holder    string        // user@host of the operator
	PID       int           // process there
	Operation string        // such as "apply"
	Timeout   time.Duration // how long to wait for another holder; 0 not at all
	Heartbeat time.Duration // 0 is LeaseHeartbeat
}

// holderInfo is what a lease file says.
type holderInfo struct {
	Holder    string    `json:"holder"`
	PID       int       `json:"pid"`
	Operation string    `json:"operation"`
	Since     time.Time `json:"since"`
}

// HeldError is a node that another run holds.
type HeldError struct {
	Node      string
	Holder    string
	Operation string
	Since     time.Time
	Age       time.Duration // by the node's clock
	Beat      time.Duration // since the holder was last heard of
}

func (e *HeldError) Error() string {
	if e.Holder == "" {
		return e.Node + ": locked by another run"
	}
	return fmt.Sprintf("%s: locked by %s (%s) since %s, %s ago, last heard of %s ago; wait with --lock-timeout, or break it with `pg_manage unlock` when that run is gone",
		e.Node, e.Holder, e.Operation, e.Since.Local().Format("15:04:05"), e.Age, e.Beat)
}

// ErrLeaseLost is a lease that was taken over, or whose connection broke.
var ErrLeaseLost = errors.New("the lease on the cluster was lost")

// Lease is a node that this run holds. It ends with this process or its connection,
// at once and without anybody's help: the lock is that of a process at the node's
// end which lives as long as its input is open.
type Lease struct {
	node string
	done chan struct{} // closed when the holding process is gone
	err  error         // why, once done is closed
	stop func()
}

// leaseScript takes the lock and holds it. $1 is the directory, $2 the seconds after
// which a silent holder is given up. The first line of the input says who we are, and
// each further one is a heartbeat. A guard lock makes looking and taking over one action.
const leaseScript = `umask 077
mkdir -p -- "$1" || exit 1
f=$1/holder
IFS= read -r info || exit 1
mine() { [ "$(stat -c %d:%i -- "$f" 2>/dev/null)" = "$(stat -Lc %d:%i /proc/self/fd/9)" ]; }
exec 8>>"$1/guard" || exit 1
flock -w 10 8 || { echo "$1/guard is locked" >&2; exit 1; }
exec 9>>"$f" || exit 1
if ! flock -n 9; then
	now=$(date +%s)
	beat=$(stat -c %Y -- "$f")
	if [ $((now - beat)) -le "$2" ]; then
		{ IFS= read -r who; IFS= read -r since; } <"$f"
		printf 'held %s %s %s\n' "$((now - ${since:-$now}))" "$((now - beat))" "$who"
		exit 75
	fi
	rm -f -- "$f"
	exec 9>>"$f" || exit 1
	flock -n 9 || exit 1
fi
printf '%s\n%s\n' "$info" "$(date +%s)" >"$f" || exit 1
exec 8>&-
echo locked
while IFS= read -r beat; do
	[ "$beat" = release ] && break
	mine || { echo "another run has taken the lock over" >&2; exit 76; }
	touch -c -- "$f"
done
exec 8>>"$1/guard"
flock -w 10 8 && mine && rm -f -- "$f"
exit 0
`

// AcquireLease takes the lease on one node: dir is the directory lease in its state
// directory. A *HeldError says who has it.
func AcquireLease(ctx context.Context, h remote.Host, node, owner, dir string, o LeaseOptions) (*Lease, error) {
	if o.Heartbeat <= 0 {
		o.Heartbeat = LeaseHeartbeat
	}
	deadline := time.Now().Add(o.Timeout)
	for {
		l, err := tryLease(ctx, h, node, owner, dir, o)
		var held *HeldError
		if !errors.As(err, &held) || !time.Now().Before(deadline) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, context.Cause(ctx))
		case <-time.After(min(time.Second, max(time.Until(deadline), time.Millisecond))):
		}
	}
}

func tryLease(ctx context.Context, h remote.Host, node, owner, dir string, o LeaseOptions) (*Lease, error) {
	info, err := json.Marshal(holderInfo{o.Holder, o.PID, o.Operation, time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return nil, err
	}
	stdin, hold := io.Pipe()
	stdout, tell := io.Pipe()
	// The holding process outlives the call: it ends by its input, not by ctx.
	hctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &Lease{node: node, done: make(chan struct{})}
	go func() {
		_, err := h.Run(hctx, remote.Command{
			Args:  []string{"sh", "-c", "# hold the lease\n" + leaseScript, "sh", dir, strconv.Itoa(int(LeaseStale.Seconds()))},
			As:    owner,
			Stdin: stdin, Stdout: tell,
		})
		l.err = err
		tell.CloseWithError(io.EOF)
		stdin.CloseWithError(io.ErrClosedPipe)
		cancel()
		close(l.done)
	}()
	l.stop = sync.OnceFunc(func() {
		stuck := time.AfterFunc(5*time.Second, cancel)
		defer stuck.Stop()
		if _, err := io.WriteString(hold, "release\n"); err == nil {
			hold.Close()
		}
		<-l.done
	})
	answers := make(chan string, 1)
	go func() {
		if _, err := hold.Write(append(info, '\n')); err != nil {
			return // the process is gone; its error tells
		}
	}()
	go func() {
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		answers <- strings.TrimSpace(line)
		io.Copy(io.Discard, stdout)
	}()
	select {
	case answer := <-answers:
		if answer == "locked" {
			go l.beat(hold, o.Heartbeat)
			return l, nil
		}
		<-l.done
		if held := parseHeld(node, answer); held != nil {
			return nil, held
		}
		return nil, fmt.Errorf("take the lease: %w", l.err)
	case <-ctx.Done():
		cancel()
		<-l.done
		return nil, context.Cause(ctx)
	}
}

// beat shows the node that we are there.
func (l *Lease) beat(w io.Writer, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-l.done:
			return
		case <-t.C:
			if _, err := io.WriteString(w, "beat\n"); err != nil {
				return
			}
		}
	}
}

// Done is closed when the lease is over.
func (l *Lease) Done() <-chan struct{} { return l.done }

// Err says why a lease is over that was not released.
func (l *Lease) Err() error {
	if l.err != nil {
		return fmt.Errorf("%w: %s: %w", ErrLeaseLost, l.node, l.err)
	}
	return fmt.Errorf("%w: %s", ErrLeaseLost, l.node)
}

// Release gives the lease back.
func (l *Lease) Release() { l.stop() }

func parseHeld(node, answer string) *HeldError {
	f := strings.SplitN(answer, " ", 4)
	if len(f) < 3 || f[0] != "held" {
		return nil
	}
	e := &HeldError{Node: node}
	age, err1 := strconv.Atoi(f[1])
	beat, err2 := strconv.Atoi(f[2])
	if err1 != nil || err2 != nil {
		return e
	}
	e.Age, e.Beat = time.Duration(age)*time.Second, time.Duration(beat)*time.Second
	var info holderInfo
	if len(f) == 4 && json.Unmarshal([]byte(f[3]), &info) == nil {
		e.Holder, e.Operation, e.Since = info.Holder, info.Operation, info.Since
		if info.PID != 0 {
			e.Holder += " pid " + strconv.Itoa(info.PID)
		}
	}
	return e
}

// Unlock breaks the lease on a node by taking its file away: the holder notices at
// its next heartbeat and stops. It says whose lease it was; nil when there was none.
func Unlock(ctx context.Context, h remote.Host, node, owner, dir string) (*HeldError, error) {
	const text = `# break the lease
f=$1/holder
[ -e "$f" ] || exit 0
exec 8>>"$1/guard" || exit 1
flock -w 10 8 || exit 1
now=$(date +%s)
{ IFS= read -r who; IFS= read -r since; } <"$f"
printf 'held %s %s %s\n' "$((now - ${since:-$now}))" "$((now - $(stat -c %Y -- "$f")))" "$who"
rm -f -- "$f"
`
	res, err := h.Run(ctx, remote.Command{Args: []string{"sh", "-c", text, "sh", dir}, As: owner})
	if err != nil {
		return nil, fmt.Errorf("break the lease: %w", err)
	}
	return parseHeld(node, strings.TrimSpace(string(res.Stdout))), nil
}

// LeaseDir is where the lease of a node lies, below its state directory.
func LeaseDir(state string) string { return path.Join(state, "lease") }

// lease takes every cluster of the plan, on each of its nodes that can be reached, in
// the order of their names, so that two runs cannot wait for each other.
func (r *runner) lease(ctx context.Context) error {
	if r.env.Lease == nil {
		return nil
	}
	errs := make([]error, len(r.clusters))
	var wg sync.WaitGroup
	for i, name := range slices.Sorted(maps.Keys(r.clusters)) {
		wg.Go(func() { errs[i] = r.leaseCluster(ctx, name, r.clusters[name]) })
	}
	wg.Wait()
	r.mu.Lock()
	clear(r.facts) // from before the lease: another run may have changed things since
	r.mu.Unlock()
	return errors.Join(errs...)
}

func (r *runner) leaseCluster(ctx context.Context, name string, c *clusterRun) error {
	nodes := r.nodeNames(name)
	var wg sync.WaitGroup
	for _, node := range nodes {
		wg.Go(func() { r.observe(ctx, name, node) })
	}
	wg.Wait()
	for _, node := range nodes {
		f := r.node(ctx, name, node)
		if f.Unreachable != "" {
			continue
		}
		h, err := r.env.Host(ctx, name, node)
		if err != nil {
			return err
		}
		l, err := AcquireLease(ctx, h, node, f.Host.Owner, LeaseDir(f.Paths.State), *r.env.Lease)
		if err != nil {
			return err
		}
		c.leases = append(c.leases, l)
		c.leased[node] = true
		go func() {
			select {
			case <-l.Done():
				c.cancel(l.Err())
			case <-c.ctx.Done():
			}
		}()
	}
	return nil
}

// nodeNames are the nodes of a cluster by name: all that are declared, or those of the
// plan where nothing is.
func (r *runner) nodeNames(cluster string) []string {
	names := map[string]bool{}
	for _, s := range r.plan.Steps {
		if s.Cluster == cluster {
			names[s.Node] = true
		}
	}
	if r.env.Config != nil {
		for _, c := range r.env.Config.Clusters {
			for _, n := range c.Nodes {
				if c.Name == cluster {
					names[n.Name] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// release gives all leases back and ends what still waits on the run.
func (r *runner) release() {
	for _, c := range r.clusters {
		c.cancel(nil)
		for _, l := range c.leases {
			l.Release()
		}
	}
	r.cancel()
}
