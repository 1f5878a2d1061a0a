package planner

import (
	"fmt"
	"net/netip"
	"strings"

	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

// SettingsFile is the name of the file beside postgresql.conf that holds what the
// cluster file declares.
const SettingsFile = "pg_manage.conf"

// desiredSettings settles what each node's pg_manage.conf must be.
func (b *builder) desiredSettings() {
	for _, n := range b.c.Nodes {
		if !b.halted[n.Name] {
			b.values[n.Name] = b.nodeSettings(n)
			b.files[n.Name] = b.settingsText(n)
		}
	}
}

// nodeSettings are the settings of a node: the declared ones, and those that follow
// from its place in the cluster.
func (b *builder) nodeSettings(n *schema.Node) map[string]string {
	v := map[string]string{}
	for name, value := range n.Parameters {
		v[name] = value
	}
	v["port"] = fmt.Sprint(n.Port)
	if _, declared := v["listen_addresses"]; !declared && !b.loopbackOnly() && len(b.c.Nodes) > 1 {
		v["listen_addresses"] = "*"
	}
	p := b.node(n).Paths
	if b.c.Archived() {
		hook := shellQuote(p.Tool+"/pg_manage-hook") + " --config " + shellQuote(p.State+"/hook.json")
		hook = strings.ReplaceAll(hook, "%", "%%") // % begins a placeholder in these settings
		v["archive_mode"] = "on"
		log := ""
		if b.c.Archiving.Log {
			log = " --log"
		}
		v["archive_command"] = "exec " + hook + " archive" + log + " %p" // in the shell's place: one process less per segment
		v["restore_command"] = RestoreCommand(p.Tool, p.State+"/hook.json", log)
		if t := b.c.Archiving.Timeout; t > 0 {
			v["archive_timeout"] = fmt.Sprintf("%ds", int(t.Seconds()))
		}
	}
	if up := b.upstream(n); n != b.primary && up != nil && b.c.Replication != nil {
		v["primary_conninfo"] = b.conninfo(n, up)
		v["primary_slot_name"] = postgres.SlotName(n.Name)
		if n.Delay > 0 {
			v["recovery_min_apply_delay"] = fmt.Sprintf("%dms", n.Delay.Milliseconds())
		}
	}
	return v
}

// loopbackOnly says that all nodes reach each other within one machine.
func (b *builder) loopbackOnly() bool {
	for _, n := range b.c.Nodes {
		if ip, err := netip.ParseAddr(n.Address); n.Address != "localhost" && (err != nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}

func (b *builder) settingsText(n *schema.Node) string {
	var t strings.Builder
	fmt.Fprintf(&t, "# Written by pg_manage for node %s of cluster %s.\n# Change the cluster file instead: what is changed here is gone with the next apply.\n", n.Name, b.c.Name)
	values := b.values[n.Name]
	for _, name := range sortedKeys(values) {
		q, err := postgres.QuoteConf(values[name])
		if err != nil {
			b.errorf(n, "Write another value.", "parameter %s cannot be written: %v", name, err)
			continue
		}
		fmt.Fprintf(&t, "%s = %s\n", name, q)
	}
	return t.String()
}

// shellQuote makes a word safe for a POSIX shell; a plain word stays as it is.
func shellQuote(s string) string {
	plain := s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:=@,+", r))
	}) < 0
	if plain {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// redact takes a password out of a connection string that somebody else wrote.
func redact(name, value string) string {
	if name == "primary_conninfo" && (strings.Contains(strings.ToLower(value), "password") || strings.Contains(value, "://")) {
		return schema.Redacted
	}
	return value
}
