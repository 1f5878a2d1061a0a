package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"

	"pg_manage/executor/node"
	"pg_manage/executor/remote"
	"pg_manage/planner"
	"pg_manage/schema"
)

// catalogSeconds is how long a node may take to ask for the base backups.
const catalogSeconds = "20"

// catalogs asks one node for the base backups of its cluster: the primary where it can be
// asked, else the first node that can. facts must be those of all its nodes.
func catalogs(ctx context.Context, d Dialer, c *schema.Cluster, facts *planner.ClusterFacts, opts Options) {
	if opts.AskArchive == AskNever {
		return
	}
	places := planner.CatalogPlaces(c, facts, opts.Restore)
	if len(places) == 0 {
		return
	}
	n := catalogNode(c, facts)
	if n == nil {
		return
	}
	ctx, cancel := limited(ctx, opts)
	defer cancel()
	f := facts.Nodes[n.Name]
	h, err := d.Host(ctx, c, n)
	if err != nil {
		for _, p := range places {
			f.Catalogs = append(f.Catalogs, planner.CatalogFact{Target: p.Target.Name, Cluster: p.Cluster, Error: message(cause(ctx, err).Error())})
		}
		return
	}
	var asked []node.Place
	for _, p := range places {
		asked = append(asked, node.PlaceOf(p.Cluster, p.Target))
	}
	f.Catalogs = Catalogs(ctx, h, f, asked)
}

// catalogNode is the node that is asked; nil when none has our program yet.
func catalogNode(c *schema.Cluster, facts *planner.ClusterFacts) *schema.Node {
	var out *schema.Node
	for _, n := range c.Nodes {
		f := facts.Nodes[n.Name]
		if f == nil || f.Unreachable != "" || f.Host.Installed["pg_manage"] == "" {
			continue
		}
		if f.Server.Accepting && !f.Server.InRecovery {
			return n
		}
		if out == nil {
			out = n
		}
	}
	return out
}

// Catalogs lets a node ask for the base backups at several places, in one command. Each
// has an answer; one that could not be asked has the reason in Error.
func Catalogs(ctx context.Context, h remote.Host, f *planner.NodeFacts, places []node.Place) []planner.CatalogFact {
	req := node.CatalogRequest{Version: node.Version, Places: places, StateDir: f.Paths.State}
	told, err := askCatalogs(ctx, h, f, req)
	if err == nil && len(told) != len(places) {
		err = fmt.Errorf("%s: `pg_manage node catalog` gave an answer that this version does not understand", h.Name())
	}
	out := make([]planner.CatalogFact, len(places))
	for i, p := range places {
		if err != nil {
			out[i].Error = message(err.Error())
		} else {
			out[i] = told[i]
			out[i].Error = message(out[i].Error)
		}
		out[i].Target, out[i].Cluster = p.Target.Name, p.Cluster
	}
	return out
}

func askCatalogs(ctx context.Context, h remote.Host, f *planner.NodeFacts, req node.CatalogRequest) ([]planner.CatalogFact, error) {
	text, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	res, err := h.Run(ctx, remote.Command{
		Args: []string{"timeout", catalogSeconds, path.Join(f.Paths.Tool, "pg_manage"), "node", "catalog"},
		As:   f.Host.Owner, Stdin: bytes.NewReader(text),
	})
	var failed *remote.CommandError
	switch {
	case errors.As(err, &failed) && failed.Status == 124:
		return nil, fmt.Errorf("%s: the target did not answer within %s seconds", h.Name(), catalogSeconds)
	case err != nil:
		return nil, cause(ctx, err)
	}
	var got node.CatalogResult
	if err := json.Unmarshal(res.Stdout, &got); err != nil || got.Version != node.Version {
		return nil, fmt.Errorf("%s: `pg_manage node catalog` gave an answer that this version does not understand", h.Name())
	}
	return got.Catalogs, nil
}
