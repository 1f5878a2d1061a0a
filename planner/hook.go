package planner

import "encoding/json"

// HookConfig is the content of hook.json on a node: what archive_command and
// restore_command work from. Package wal reads the same form; a test holds the two together.
type HookConfig struct {
	Version     int        `json:"version"`
	Cluster     string     `json:"cluster"`
	Node        string     `json:"node"`
	DataDir     string     `json:"data_dir"`
	Target      HookTarget `json:"target"`
	Compression string     `json:"compression"`
	LogDir      string     `json:"log_dir,omitempty"`
}

// HookTarget is a backup target as the hook sees it.
type HookTarget struct {
	Name         string   `json:"name"`
	Scheme       string   `json:"scheme"`
	User         string   `json:"user,omitempty"`
	Host         string   `json:"host,omitempty"`
	Port         int      `json:"port,omitempty"`
	Path         string   `json:"path"`
	ArchiveDir   string   `json:"archive_dir"`
	HostKeys     []string `json:"host_keys,omitempty"`
	IdentityFile string   `json:"identity_file,omitempty"`
}

// Encode gives the exact bytes of the file, so that its digest can be compared.
func (h HookConfig) Encode() string {
	b, err := json.MarshalIndent(h, "", "  ")
	if err != nil { // strings and numbers alone: cannot happen
		panic(err)
	}
	return string(b) + "\n"
}
