package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"pg_manage/executor/event"
)

// Work is one run of a command.
type Work struct {
	Command string
	Request io.Reader // one JSON object
	Result  io.Writer
	Events  event.Sink
	// ToolVersion is written into what is made.
	ToolVersion string
}

// longestRequest bounds what is read of a request, in bytes.
const longestRequest = 16 << 20

// UsageError is a call that asks for what is not there: an unknown command, a request that
// cannot be read or is of another version.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }

func (e *UsageError) Unwrap() error { return e.Err }

func misuse(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// FoundError says that a check found something wrong; the result has been written and says what.
type FoundError struct{ What string }

func (e *FoundError) Error() string { return e.What }

// Commands are the names of all commands.
func Commands() []string {
	return []string{"catalog", "backup", "restore", "settings", "verify", "drill", "expire", "pin", "unpin", "locate"}
}

// Run does the work. A *FoundError comes after its result; with any other error there is none.
func Run(ctx context.Context, w Work) error {
	if !slices.Contains(Commands(), w.Command) {
		return misuse("there is no command %q on nodes: a node and its operator need the same version of pg_manage, which `pg_manage apply` installs", w.Command)
	}
	text, err := io.ReadAll(io.LimitReader(w.Request, longestRequest+1))
	if err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	if len(text) > longestRequest {
		return misuse("the request is longer than %d bytes", longestRequest)
	}
	switch w.Command {
	case "catalog":
		return do(ctx, w, text, catalogs)
	case "backup":
		return do(ctx, w, text, backup)
	case "restore":
		return do(ctx, w, text, restoreFiles)
	case "expire":
		return do(ctx, w, text, expireBackups)
	case "settings":
		return do(ctx, w, text, settings)
	case "verify":
		return do(ctx, w, text, verifyBackup)
	case "locate":
		return do(ctx, w, text, locatePoint)
	case "pin":
		return do(ctx, w, text, pin)
	case "unpin":
		return do(ctx, w, text, unpin)
	}
	return misuse("%s is not done on nodes", w.Command)
}

// do reads the request, does it and writes the result.
func do[Request, Result any](ctx context.Context, w Work, text []byte, f func(context.Context, Work, *Request) (*Result, error)) error {
	req, err := decode[Request](text)
	if err != nil {
		return misuse("the request of `node %s`: %w", w.Command, err)
	}
	res, err := f(ctx, w, req)
	var found *FoundError
	if err != nil && (!errors.As(err, &found) || res == nil) {
		if cause := context.Cause(ctx); cause != nil && errors.Is(err, ctx.Err()) {
			return fmt.Errorf("%s: %w", w.Command, cause)
		}
		return err
	}
	out, jerr := json.Marshal(res)
	if jerr == nil {
		_, jerr = w.Result.Write(append(out, '\n'))
	}
	if jerr != nil {
		return errors.Join(err, fmt.Errorf("writing the result: %w", jerr))
	}
	return err
}

// decode reads a request. A key that is not known is refused like another version: what it
// asks for would not be done.
func decode[Request any](text []byte) (*Request, error) {
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("it is not one JSON object: %w", err)
	}
	if head.Version != Version {
		return nil, fmt.Errorf("it has version %d, and this program reads version %d: run `pg_manage apply`, which installs the same version on all nodes", head.Version, Version)
	}
	req := new(Request)
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(req); err != nil {
		return nil, err
	}
	return req, nil
}
