package instance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	"pg_manage/planner"
)

// withBlock puts our marked block at the top of pg_hba.conf, where it is matched
// before all other rules, in the place of what stood between the marks.
func withBlock(text, block string) (string, error) {
	var kept []string
	inside := false
	for _, line := range strings.SplitAfter(text, "\n") {
		switch strings.TrimRight(line, " \t\r\n") {
		case planner.HBABegin:
			if inside {
				return "", errors.New("a second line " + planner.HBABegin + " before the first one's end: mend the file by hand")
			}
			inside = true
			continue
		case planner.HBAEnd:
			if !inside {
				return "", errors.New("a line " + planner.HBAEnd + " without its beginning: mend the file by hand")
			}
			inside = false
			continue
		}
		if !inside {
			kept = append(kept, line)
		}
	}
	if inside {
		return "", errors.New("the line " + planner.HBABegin + " has no " + planner.HBAEnd + " behind it: mend the file by hand")
	}
	if block != "" && !strings.HasSuffix(block, "\n") {
		block += "\n"
	}
	return block + strings.Join(kept, ""), nil
}

// WriteHBA puts the block into pg_hba.conf. When a running server finds a mistake in
// it, the file is put back and the error has PostgreSQL's message.
func (i *Instance) WriteHBA(ctx context.Context, block string, running bool) error {
	file := path.Join(i.ConfigDir, "pg_hba.conf")
	old, present, err := i.read(ctx, file)
	if err != nil {
		return err
	}
	if !present {
		return fmt.Errorf("%s: %s does not exist", i.Host.Name(), file)
	}
	text, err := withBlock(old, block)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", i.Host.Name(), file, err)
	}
	if text == old {
		return nil
	}
	before, err := i.hbaErrors(ctx, running)
	if err != nil {
		return err
	}
	if err := i.replace(ctx, file, text); err != nil {
		return err
	}
	after, err := i.hbaErrors(ctx, running)
	if err == nil && len(after) > len(before) {
		err = fmt.Errorf("%s: PostgreSQL refuses pg_hba.conf: %s", i.Host.Name(), strings.Join(after, "; "))
	}
	if err != nil {
		if back := i.replace(context.WithoutCancel(ctx), file, old); back != nil {
			return fmt.Errorf("%w; putting the old file back failed too: %w", err, back)
		}
		return fmt.Errorf("%w (the old file was put back)", err)
	}
	return nil
}

// hbaErrors are the mistakes that a running server sees in the file as it is now.
func (i *Instance) hbaErrors(ctx context.Context, running bool) ([]string, error) {
	if !running {
		return nil, nil
	}
	db, err := i.DB(ctx)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	out, err := db.JSON(ctx, `SELECT pg_catalog.json_agg('line ' || line_number || ': ' || error ORDER BY line_number) FROM pg_catalog.pg_hba_file_rules WHERE error IS NOT NULL`)
	if err != nil || len(out) == 0 {
		return nil, err
	}
	var lines []string
	if err := json.Unmarshal(out, &lines); err != nil {
		return nil, fmt.Errorf("%s: pg_hba_file_rules: %w", i.Host.Name(), err)
	}
	return lines, nil
}
