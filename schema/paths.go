package schema

import "fmt"

// Paths are the places where a distribution's packages put an instance.
type Paths struct {
	DataDir   string
	ConfigDir string // "" means the data directory
	BinDir    string
	LogDir    string // "" means the directory log in the data directory
}

// DefaultPaths gives the places that the packages of a family of distributions
// use for a major version: "debian" (Debian, Ubuntu: postgresql-common) and
// "rhel" (RHEL, Rocky, Alma: the PGDG packages). Any other family gives empty
// strings.
func DefaultPaths(family string, version int) Paths {
	switch family {
	case "debian":
		return Paths{
			DataDir:   fmt.Sprintf("/var/lib/postgresql/%d/main", version),
			ConfigDir: fmt.Sprintf("/etc/postgresql/%d/main", version),
			BinDir:    fmt.Sprintf("/usr/lib/postgresql/%d/bin", version),
			LogDir:    "/var/log/postgresql",
		}
	case "rhel":
		return Paths{
			DataDir: fmt.Sprintf("/var/lib/pgsql/%d/data", version),
			BinDir:  fmt.Sprintf("/usr/pgsql-%d/bin", version),
		}
	}
	return Paths{}
}
