package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"pg_manage/testdata/bench/hosts"
)

// callServer is the argument with which this program runs on the host "db" as PostgreSQL's
// user: it runs commands as PostgreSQL's archiver does and times them there, without the
// cost of getting into the host.
const callServer = "calls"

type callRequest struct{ Dir, Command string }

type callAnswer struct {
	Elapsed time.Duration
	Error   string
}

func serveCalls(in *json.Decoder, out *json.Encoder) error {
	// A file: a process that a command leaves behind would keep a pipe open.
	said, err := os.CreateTemp("", "calls-")
	if err != nil {
		return err
	}
	defer os.Remove(said.Name()) //nolint:errcheck // goes with the host anyway
	for {
		var r callRequest
		if err := in.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := said.Truncate(0); err != nil {
			return err
		}
		cmd := exec.Command("sh", "-c", r.Command)
		cmd.Dir, cmd.Stdout, cmd.Stderr = r.Dir, said, said
		start := time.Now()
		err := cmd.Run()
		a := callAnswer{Elapsed: time.Since(start)}
		if err != nil {
			text, _ := os.ReadFile(said.Name())
			a.Error = fmt.Sprintf("%s: %v: %s", r.Command, err, text)
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
}

// caller is the other end of serveCalls, which ends with its host.
type caller struct {
	enc *json.Encoder
	dec *json.Decoder
}

func (s *site) newCaller() (*caller, error) {
	cmd := s.Command(hosts.Dir+"/bin/wal", callServer)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &caller{enc: json.NewEncoder(in), dec: json.NewDecoder(out)}, nil
}

// call runs a command through sh -c in the data directory, as PostgreSQL does.
func (c *caller) call(command string) (time.Duration, error) {
	if err := c.enc.Encode(callRequest{Dir: dataDir, Command: command}); err != nil {
		return 0, err
	}
	var a callAnswer
	if err := c.dec.Decode(&a); err != nil {
		return 0, fmt.Errorf("%s: %w", command, err)
	}
	if a.Error != "" {
		return 0, errors.New(a.Error)
	}
	return a.Elapsed, nil
}
