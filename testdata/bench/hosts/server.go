package hosts

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Server is a running PostgreSQL on the host "db".
type Server struct {
	Started time.Time
	Ready   time.Time // when recovery was over and it accepted connections

	pair  *Pair
	dir   string
	port  string
	cmd   *exec.Cmd
	ready chan time.Time
	ended chan error
}

// Log is where PostgreSQL's log lies on this machine.
func (p *Pair) Log() string { return filepath.Join(p.Home, "postgres.log") }

// Explain adds the end of PostgreSQL's log to an error.
func (p *Pair) Explain(err error) error {
	if err == nil {
		return nil
	}
	data, _ := os.ReadFile(p.Log())
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return fmt.Errorf("%w\nthe end of PostgreSQL's log:\n%s", err, strings.Join(lines[max(0, len(lines)-15):], "\n"))
}

// Start starts PostgreSQL on a data directory and waits until recovery is over and it
// accepts connections. With an error there is a server when it still runs. Settings have
// the form name=value.
func (p *Pair) Start(dir string, port int, limit time.Duration, settings ...string) (*Server, error) {
	log, err := os.OpenFile(p.Log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	v := &Server{pair: p, dir: dir, port: fmt.Sprint(port), ready: make(chan time.Time, 1), ended: make(chan error, 1)}
	args := []string{PgBin + "/postgres", "-D", dir, "-p", v.port}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	v.cmd = p.Command(args...)
	v.cmd.Stdout, v.cmd.Stderr = w, w
	v.Started = time.Now()
	err = v.cmd.Start()
	_ = w.Close()
	if err != nil {
		return nil, errors.Join(err, r.Close(), log.Close())
	}
	go func() {
		defer log.Close() //nolint:errcheck // a log
		defer r.Close()   //nolint:errcheck // reading end
		for lines := bufio.NewScanner(io.TeeReader(r, log)); lines.Scan(); {
			if strings.HasSuffix(lines.Text(), "database system is ready to accept connections") {
				v.ready <- time.Now()
			}
		}
	}()
	go func() { v.ended <- v.cmd.Wait() }()
	select {
	case v.Ready = <-v.ready:
		return v, nil
	case err := <-v.ended:
		return nil, fmt.Errorf("PostgreSQL ended instead of accepting connections: %w", err)
	case <-time.After(limit):
		return v, fmt.Errorf("PostgreSQL accepts no connections after %s", limit)
	}
}

// Stop ends PostgreSQL in one of pg_ctl's modes.
func (v *Server) Stop(mode string) error {
	if _, err := v.pair.Run(PgBin+"/pg_ctl", "stop", "-D", v.dir, "-m", mode, "-w", "-t", "300"); err != nil {
		return err
	}
	<-v.ended
	return nil
}

// SQL runs a query in the database "postgres".
func (v *Server) SQL(query string) (string, error) {
	out, err := v.pair.Run(PgBin+"/psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-p", v.port, "-d", "postgres", "-c", query)
	return strings.TrimSpace(out), err
}
