package executor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"maps"
	"path"
	"slices"

	"pg_manage/executor/remote"
	"pg_manage/planner"
)

// install copies our programs to the node, each with a note of what was verified
// (SHA-256, size, time of change) beside it, which saves reading the whole file when
// the node is looked at.
func (w *work) install(ctx context.Context, d planner.InstallDetail) error {
	in := w.in
	if w.env.Binary == nil {
		return fmt.Errorf("no programs at hand to install on %s", w.step.Node)
	}
	// PostgreSQL runs them as the owner, and so may others look at them.
	if _, err := in.Host.Run(ctx, remote.Command{Args: []string{"mkdir", "-p", "-m", "0755", "--", in.Tool}, As: in.Owner}); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(d.Files)) {
		if err := w.installFile(ctx, d.Arch, name, d.Files[name]); err != nil {
			return fmt.Errorf("install %s: %w", name, err)
		}
	}
	return nil
}

func (w *work) installFile(ctx context.Context, arch, name, want string) error {
	in := w.in
	bin, err := w.env.Binary(arch, name)
	if err != nil {
		return err
	}
	defer bin.Content.Close()
	file := path.Join(in.Tool, name)
	if err := remote.Remove(ctx, in.Host, file+".sha256", in.Owner); err != nil {
		return err
	}
	sum := &summing{Reader: bin.Content, hash: sha256.New()}
	if err := remote.Upload(ctx, in.Host, file, sum, remote.FileOptions{Mode: 0o755, As: in.Owner}); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.hash.Sum(nil)); got != want {
		return fmt.Errorf("the program at hand is not the one that was planned for (SHA-256 %s, planned %s): plan again", got, want)
	}
	res, err := in.Host.Run(ctx, remote.Command{Args: []string{"stat", "-L", "-c", "%s %Y", "--", file}, As: in.Owner})
	if err != nil {
		return err
	}
	note := want + " " + string(res.Stdout)
	return remote.WriteFile(ctx, in.Host, file+".sha256", []byte(note), remote.FileOptions{Mode: 0o644, As: in.Owner})
}

// summing hashes what is read through it.
type summing struct {
	io.Reader
	hash hash.Hash
}

func (s *summing) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	s.hash.Write(b[:n])
	return n, err
}
