package catalog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"pg_manage/executor/repo/storage"
)

// Pin lets retention and Remove leave a backup alone.
func (c *Catalog) Pin(ctx context.Context, label string) error {
	text, err := json.Marshal(struct {
		Version int       `json:"version"`
		Time    time.Time `json:"time"`
	}{Version, time.Now().UTC()})
	if err == nil {
		err = c.mark(ctx, label, pinName, text)
	}
	return c.fail("pinning", label, err)
}

// mark stores a file beside a backup's objects, unless it is there. A backup that is removed
// meanwhile gets none.
func (c *Catalog) mark(ctx context.Context, label, name string, text []byte) error {
	if err := c.listed(ctx, label); err != nil {
		return err
	}
	err := c.d.Put(ctx, c.path(label, name), bytes.NewReader(append(text, '\n')))
	if errors.Is(err, storage.ErrExists) {
		err = c.d.Sync(ctx, c.path(label, name))
	}
	if err != nil {
		return err
	}
	err = c.listed(ctx, label)
	if errors.Is(err, storage.ErrNotExist) {
		return errors.Join(err, c.removeFile(ctx, label, name))
	}
	return err
}

func (c *Catalog) listed(ctx context.Context, label string) error {
	if err := checkLabel(label); err != nil {
		return err
	}
	_, err := c.d.Stat(ctx, c.path(label, infoName))
	return err
}

// Unpin ends what Pin did. A backup that is not pinned is left as it is.
func (c *Catalog) Unpin(ctx context.Context, label string) error {
	err := c.listed(ctx, label)
	if err == nil {
		err = c.removeFile(ctx, label, pinName)
	}
	return c.fail("unpinning", label, err)
}

// Proof is proven-TIME.json: a restore of the backup was started and checked.
type Proof struct {
	Version     int           `json:"version"`
	Time        time.Time     `json:"time"`        // when it was done, UTC
	Duration    time.Duration `json:"duration_ns"` // from the first byte restored to the end of the checks
	Checked     []string      `json:"checked"`     // such as "pg_verifybackup", "pg_amcheck"
	Node        string        `json:"node"`        // that did it
	ToolVersion string        `json:"tool_version"`
}

// Prove records that a backup is proven. A second proof of the same second changes nothing.
func (c *Catalog) Prove(ctx context.Context, label string, p Proof) error {
	p.Version, p.Time = Version, p.Time.UTC()
	text, err := json.MarshalIndent(p, "", "  ")
	if err == nil && p.Time.IsZero() {
		err = errors.New("the proof has no time")
	}
	if err == nil {
		err = c.mark(ctx, label, "proven-"+p.Time.Format(TimeForm)+".json", text)
	}
	return c.fail("recording the proof of", label, err)
}

// Proofs gives the proofs of a backup, the newest first.
func (c *Catalog) Proofs(ctx context.Context, label string) ([]Proof, error) {
	out, err := c.proofs(ctx, label)
	return out, c.fail("reading the proofs of", label, err)
}

func (c *Catalog) proofs(ctx context.Context, label string) ([]Proof, error) {
	if err := c.listed(ctx, label); err != nil {
		return nil, err
	}
	f, err := c.folder(ctx, label)
	if err != nil {
		return nil, err
	}
	var out []Proof
	for _, i := range f.files {
		at, ok := proofTime(i.Name)
		if !ok {
			continue
		}
		text, err := c.readSmall(ctx, label, i.Name)
		if err != nil {
			return nil, err
		}
		p := Proof{Time: at}
		if err := json.Unmarshal(text, &p); err != nil {
			p = Proof{Time: at} // the name says what matters
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Proof) int { return b.Time.Compare(a.Time) })
	return out, nil
}
