package instance

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"pg_manage/executor/remote"
)

// canned is a host whose only command is psql, and whose sockets end where a test says.
type canned struct {
	remote.Host
	stdout, stderr string
	status         int
	got            string // what psql read
	args           string
	dial           func() (net.Conn, error)
}

func (h *canned) Name() string      { return "n1" }
func (h *canned) LoginUser() string { return "bob" }

func (h *canned) Run(_ context.Context, cmd remote.Command) (remote.Result, error) {
	in, err := io.ReadAll(cmd.Stdin)
	if err != nil {
		return remote.Result{}, err
	}
	h.got, h.args = string(in), strings.Join(cmd.Args, " ")
	if h.status != 0 {
		return remote.Result{}, &remote.CommandError{Host: "n1", Command: "psql", Status: h.status, Stderr: h.stderr}
	}
	return remote.Result{Stdout: []byte(h.stdout)}, nil
}

func (h *canned) Dial(context.Context, string, string) (net.Conn, error) { return h.dial() }

func TestPsqlErrors(t *testing.T) {
	for name, c := range map[string]struct {
		stderr string
		status int
		want   Error
	}{
		"a statement": {
			"psql:<stdin>:1: ERROR:  42601: syntax error at or near \"x\"\nLINE 1: CREATE ROLE a PASSWORD 'SCRAM-SHA-256$secret' x\n   ^\nLOCATION:  scanner_yyerror, scan.l:1176\n", 3,
			Error{"n1", "42601", `syntax error at or near "x"`},
		},
		"translated":  {"psql:<stdin>:7: FEHLER:  42710: Rolle »a« existiert bereits\n", 3, Error{"n1", "42710", "Rolle »a« existiert bereits"}},
		"starting up": {"psql: error: connection to server on socket \"/tmp/.s.PGSQL.1\" failed: FATAL:  the database system is starting up\n", 2, Error{"n1", "57P03", `connection to server on socket "/tmp/.s.PGSQL.1" failed: FATAL:  the database system is starting up`}},
		"no psql":     {"env: psql: secret\n", 127, Error{"n1", "", "psql cannot be run (exit status 127): are PostgreSQL's client programs installed?"}},
		"unknown":     {"secret\n", 3, Error{"n1", "", "psql ended with exit status 3"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := &canned{stderr: c.stderr, status: c.status}
			db, err := Open(t.Context(), h, Target{SocketDir: "/tmp", Port: 1, Owner: "postgres"})
			if err != nil {
				t.Fatal(err)
			}
			err = db.Exec(t.Context(), "CREATE ROLE a PASSWORD 'SCRAM-SHA-256$secret' x")
			var e *Error
			if !errors.As(err, &e) || *e != c.want {
				t.Fatalf("got %#v", err)
			}
			if strings.Contains(err.Error(), "secret") || strings.Contains(h.args, "secret") {
				t.Errorf("the secret is out: %v / %s", err, h.args)
			}
			if e.Starting() != (name == "starting up") {
				t.Error("Starting is wrong")
			}
		})
	}
}

func TestPsqlAnswers(t *testing.T) {
	for out, want := range map[string]string{"": "", "\n": "", "{}\n": "{}", "1\n{\"a\": 2}\n": `{"a": 2}`} {
		h := &canned{stdout: out}
		db, err := Open(t.Context(), h, Target{SocketDir: "/s", Port: 5433, Owner: "postgres", BinDir: "/b in"})
		if err != nil {
			t.Fatal(err)
		}
		got, err := db.JSON(t.Context(), "SELECT 1; ")
		if err != nil || string(got) != want {
			t.Errorf("%q: %q, %v", out, got, err)
		}
		if h.got != "SELECT 1;\n" || !strings.Contains(h.args, "/b in/psql -XAtqw") {
			t.Errorf("%q %q", h.got, h.args)
		}
	}
}

// A server that takes the connection and then is silent must not hold anybody up for long.
func TestSilentServer(t *testing.T) {
	ours, theirs := net.Pipe()
	defer func() { _ = theirs.Close() }()
	go func() { _, _ = io.Copy(io.Discard, theirs) }()
	h := &canned{dial: func() (net.Conn, error) { return deaf{ours}, nil }}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := Open(ctx, h, Target{SocketDir: "/s", Port: 1, Owner: "bob", LoginIsOwner: true})
	if err == nil || time.Since(begin) > time.Minute {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}

// deaf is a connection that neither deadlines nor Close wake.
type deaf struct{ net.Conn }

func (deaf) SetDeadline(time.Time) error      { return nil }
func (deaf) SetReadDeadline(time.Time) error  { return nil }
func (deaf) SetWriteDeadline(time.Time) error { return nil }
func (deaf) Close() error                     { return nil }

func TestNoForwarding(t *testing.T) {
	h := &canned{stdout: "7\n", dial: func() (net.Conn, error) { return nil, errors.New("open failed") }}
	target := Target{SocketDir: "/s", Port: 1, Owner: "bob", LoginIsOwner: true}
	db, err := Open(t.Context(), h, target)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := db.JSON(t.Context(), "SELECT 7"); err != nil || string(got) != "7" {
		t.Errorf("%q, %v", got, err)
	}
	target.DirectOnly = true
	if _, err := Open(t.Context(), h, target); err == nil || !strings.Contains(err.Error(), "open failed") {
		t.Errorf("direct only: %v", err)
	}
}
