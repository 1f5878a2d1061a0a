package executor

import (
	"context"
	"errors"
	"fmt"
	"path"

	"pg_manage/executor/instance"
	"pg_manage/executor/observe"
	"pg_manage/executor/remote"
	"pg_manage/planner"
	"pg_manage/schema"
)

// declared gives the declaration of the step's cluster.
func (w *work) declared() (*schema.Cluster, error) {
	if w.env.Config != nil {
		for _, c := range w.env.Config.Clusters {
			if c.Name == w.step.Cluster {
				return c, nil
			}
		}
	}
	return nil, fmt.Errorf("cluster %s is not declared", w.step.Cluster)
}

// role creates the replication role, or mends it. Only a verifier leaves this machine.
func (w *work) role(ctx context.Context, d planner.RoleDetail) error {
	c, err := w.declared()
	if err != nil {
		return err
	}
	if c.Replication == nil || c.Replication.Password.IsZero() {
		return errors.New("no replication password is declared")
	}
	verifier, err := instance.SCRAMVerifier(c.Replication.Password.Reveal())
	if err != nil {
		return err
	}
	return w.in.SetRole(ctx, d.Name, verifier)
}

// passfile writes the password file that the node's libpq connections use.
func (w *work) passfile(ctx context.Context) error {
	c, err := w.declared()
	if err != nil {
		return err
	}
	n := c.Node(w.step.Node)
	if n == nil {
		return fmt.Errorf("node %s is not declared", w.step.Node)
	}
	file, text := path.Join(w.in.State, "passfile"), observe.Passfile(c, n)
	if text == "" {
		return remote.Remove(ctx, w.in.Host, file, w.in.Owner)
	}
	return remote.WriteFile(ctx, w.in.Host, file, []byte(text), remote.FileOptions{Mode: 0o600, As: w.in.Owner, MkDir: true})
}
