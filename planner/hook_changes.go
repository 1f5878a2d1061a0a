package planner

import (
	"encoding/json"
	"fmt"
	"strings"

	"pg_manage/schema"
)

// hookChanges tells, attribute by attribute, what a new hook.json changes.
func hookChanges(have, want HookConfig) []Change {
	var out []Change
	add := func(name, before, after string) {
		if before != after {
			out = append(out, Change{Name: name, Before: before, After: after})
		}
	}
	for i := range want.Targets {
		t := &want.Targets[i]
		old := have.Target(t.Name)
		if old == nil {
			add("target "+t.Name, "", t.describe(want.Cluster))
			continue
		}
		add("target "+t.Name, old.place(have.Cluster), t.place(want.Cluster))
		before, after := attributes(old), attributes(t)
		for _, name := range sortedKeys(merged(before, after)) {
			add(t.Name+"."+name, before[name], after[name])
		}
	}
	for i := range have.Targets {
		if t := &have.Targets[i]; want.Target(t.Name) == nil {
			out = append(out, Change{Name: "target " + t.Name, Before: t.place(have.Cluster), Note: "forgotten; what is stored there stays"})
		}
	}
	if have.Version == 0 { // there was none
		return out
	}
	order := func(h HookConfig) string { return targetNames(h.Targets) }
	if len(out) == 0 {
		add("order", order(have), order(want))
	}
	add("data_dir", have.DataDir, want.DataDir)
	add("log_dir", have.LogDir, want.LogDir)
	add("spool_dir", have.SpoolDir, want.SpoolDir)
	add("spool_limit", bytesText(have.SpoolLimit), bytesText(want.SpoolLimit))
	add("backups_elsewhere", strings.Join(have.Elsewhere, ", "), strings.Join(want.Elsewhere, ", "))
	add("workers", countText(have.Workers), countText(want.Workers))
	return out
}

// place is the URL of the archive.
func (t *HookTarget) place(cluster string) string {
	u := schema.URL{Scheme: t.Scheme, User: t.User, Host: t.Host, Port: t.Port, Path: t.Path}
	return strings.TrimSuffix(u.String(), "/") + "/" + t.ArchiveDir + "/" + cluster
}

// describe is place with what else somebody who approves of a new target wants to know.
func (t *HookTarget) describe(cluster string) string {
	var more []string
	if n := len(t.Recipients); n > 0 {
		more = append(more, "encrypted")
	}
	if !t.Required {
		more = append(more, "not required")
	}
	if t.QueueLimit > 0 {
		more = append(more, "WAL beyond "+bytesText(t.QueueLimit)+" is dropped")
	}
	s := t.place(cluster)
	if t.Endpoint != "" {
		s += " at " + t.Endpoint
	}
	if len(more) > 0 {
		s += " (" + strings.Join(more, ", ") + ")"
	}
	return s
}

// attributes are those of a target that are no part of its place, as text.
func attributes(t *HookTarget) map[string]string {
	c := *t
	c.Name, c.Scheme, c.User, c.Host, c.Port, c.Path, c.ArchiveDir = "", "", "", "", 0, "", ""
	limit := c.QueueLimit
	c.QueueLimit = 0
	text, err := json.Marshal(c)
	if err != nil { // strings and numbers alone: cannot happen
		panic(err)
	}
	var values map[string]any
	if err := json.Unmarshal(text, &values); err != nil {
		panic(err)
	}
	out := map[string]string{"queue_limit": bytesText(limit)}
	for name, v := range values {
		if list, ok := v.([]any); ok {
			words := make([]string, len(list))
			for i, w := range list {
				words[i] = fmt.Sprint(w)
			}
			v = strings.Join(words, ", ")
		}
		out[name] = fmt.Sprint(v)
	}
	return out
}

func merged(a, b map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range []map[string]string{a, b} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

func targetNames(targets []HookTarget) string {
	names := make([]string, len(targets))
	for i, t := range targets {
		names[i] = t.Name
	}
	if len(names) == 1 {
		return "target " + names[0]
	}
	return "targets " + strings.Join(names, ", ")
}

// bytesText writes a number of bytes in the largest unit that leaves a whole number; 0 is "".
func bytesText(n int64) string {
	if n == 0 {
		return ""
	}
	for i, unit := range []string{"TB", "GB", "MB", "kB"} {
		if size := int64(1) << (10 * (4 - i)); n%size == 0 {
			return fmt.Sprintf("%d%s", n/size, unit)
		}
	}
	return fmt.Sprintf("%dB", n)
}

func countText(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
