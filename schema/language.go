package schema

import "github.com/hashicorp/hcl/v2"

// fileSchema lists the blocks that a file may hold.
func fileSchema() *hcl.BodySchema {
	return body(nil, named("target"), named("cluster"), named("variable"), plain("locals"))
}

// schemaOf lists what a block may hold, by the kind of the block around it.
func schemaOf(parent, kind string) *hcl.BodySchema {
	switch kind {
	case "variable":
		return body(words("type", "default", "sensitive", "description"))
	case "target":
		return body(words("url", "archive_dir", "backup_dir", "export_dir", "host_keys", "identity_file",
			"endpoint", "region", "path_style", "ca_file", "credentials_file", "profile", "compression", "recipients", "age_identity_file"))
	case "cluster":
		return body(words("version", "data_dir", "config_dir", "bin_dir", "port", "parameters", "hba"),
			named("node"), plain("connection"), plain("replication"), plain("archive"),
			named("backup"), named("export"), plain("bootstrap"))
	case "node":
		return body(words("host", "address", "role", "upstream", "delay", "seed_from", "port", "data_dir", "config_dir", "bin_dir", "parameters"),
			plain("connection"))
	case "connection":
		return body(words("type", "user", "port", "identity_file", "proxy_jump", "owner", "connect_timeout"))
	case "replication":
		return body(words("user", "password"))
	case "archive":
		return body(words("target", "required", "queue_limit", "timeout", "workers", "spool_limit", "log"))
	case "backup":
		return body(words("target", "max_age", "full_every", "from", "prove_every", "workers", "rate"), plain("keep"))
	case "export":
		return body(words("target", "max_age"), plain("keep"))
	case "keep":
		if parent == "export" {
			return body(words("full", "age"))
		}
		return body(words("full", "age", "window"))
	case "bootstrap":
		return body(words("locale"), plain("restore"))
	case "restore":
		return body(words("target", "cluster", "backup", "time", "lsn", "xid", "name", "immediate", "inclusive", "timeline", "tablespaces"))
	}
	return &hcl.BodySchema{}
}

func words(names ...string) []string { return names }

func body(args []string, blocks ...hcl.BlockHeaderSchema) *hcl.BodySchema {
	s := &hcl.BodySchema{Blocks: blocks}
	for _, a := range args {
		s.Attributes = append(s.Attributes, hcl.AttributeSchema{Name: a})
	}
	return s
}

func named(kind string) hcl.BlockHeaderSchema {
	return hcl.BlockHeaderSchema{Type: kind, LabelNames: []string{"NAME"}}
}

func plain(kind string) hcl.BlockHeaderSchema { return hcl.BlockHeaderSchema{Type: kind} }
