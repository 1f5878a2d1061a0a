package instance

import (
	"context"
	"fmt"
	"path"
	"strings"

	"pg_manage/schema/postgres"
)

// refuseForeignConfig fails when the configuration directory belongs to an instance with
// another data directory: what is written there would take that one's configuration
// away, and a start would start that one.
func (i *Instance) refuseForeignConfig(ctx context.Context) error {
	if path.Clean(i.ConfigDir) == path.Clean(i.DataDir) {
		return nil
	}
	file := path.Join(i.ConfigDir, "postgresql.conf")
	text, present, err := i.read(ctx, file)
	if err != nil || !present {
		return err
	}
	entries, err := postgres.ParseConf(text)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", i.Host.Name(), file, err)
	}
	dir := ""
	for _, e := range entries {
		if strings.EqualFold(e.Name, "data_directory") {
			dir = e.Value
		}
	}
	// The last two are ours from a build that was cut off.
	for _, own := range []string{"", i.DataDir, i.building(false), i.building(true)} {
		if dir == "" || path.Clean(dir) == path.Clean(own) {
			return nil
		}
	}
	if _, err := i.run(ctx, "test", dir, "-ef", i.DataDir); err == nil {
		return nil
	}
	return fmt.Errorf("%s: %s is the configuration of the data directory %s, not of %s: declare data_dir = %q when it is that instance that you mean; otherwise give this one a name or a config_dir of its own",
		i.Host.Name(), file, dir, i.DataDir, dir)
}
