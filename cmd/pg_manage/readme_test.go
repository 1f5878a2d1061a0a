package main

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestReadmeListsTheCommands: every command stands in the README's table, and every command
// and flag that the table names exists.
func TestReadmeListsTheCommands(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "| command | what it does |\n|---|---|\n")
	table, _, ended := strings.Cut(table, "\n\n")
	if !found || !ended {
		t.Fatal("README.md has no table of commands")
	}
	a := &app{stdout: t.Output(), stderr: t.Output()}
	root := a.root()
	root.InitDefaultCompletionCmd()
	told := map[string]bool{}
	for line := range strings.SplitSeq(table, "\n") {
		head, rest, ok := strings.Cut(strings.Trim(strings.ReplaceAll(line, `\|`, "/"), "| "), "|")
		if !ok {
			t.Fatalf("not two cells: %s", line)
		}
		var flags []*pflag.FlagSet
		for _, quoted := range regexp.MustCompile("`[^`]*`").FindAllString(head, -1) {
			for _, path := range spelled(strings.Trim(quoted, "`")) {
				c, left, err := root.Find(path)
				if err != nil || c == root || c.HasSubCommands() && len(left) > 0 && c.Name() != "completion" && strings.ToLower(left[0]) == left[0] {
					t.Errorf("README.md names %q: %v", quoted, err)
					continue
				}
				told[c.CommandPath()] = true
				flags = append(flags, c.Flags(), c.InheritedFlags())
			}
		}
		for _, name := range regexp.MustCompile(`--[a-z-]+`).FindAllString(line, -1) {
			if !slices.ContainsFunc(flags, func(f *pflag.FlagSet) bool { return f.Lookup(name[2:]) != nil }) {
				t.Errorf("README.md names %s, which none of the commands in its row has: %s", name, rest)
			}
		}
	}
	all := map[string]bool{}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		switch {
		case !c.IsAvailableCommand() || c.Name() == "help":
			return
		case c.Name() == "completion": // cobra's own, a command for each shell
			all[c.CommandPath()] = true
			return
		case c != root && c.Runnable() && !c.HasSubCommands() || told[c.CommandPath()]:
			all[c.CommandPath()] = true
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	for _, c := range root.Commands() {
		walk(c)
	}
	if !maps.Equal(all, told) {
		t.Errorf("README.md lists %v; there are %v", slices.Sorted(maps.Keys(told)), slices.Sorted(maps.Keys(all)))
	}
}

// spelled gives the commands that an entry such as "backup show/pin LABEL" stands for.
func spelled(entry string) [][]string {
	paths := [][]string{nil}
	for word := range strings.FieldsSeq(entry) {
		if strings.HasPrefix(word, "-") || strings.HasPrefix(word, "[") || strings.ToLower(word) != word {
			break
		}
		var next [][]string
		for choice := range strings.SplitSeq(word, "/") {
			for _, p := range paths {
				next = append(next, append(slices.Clone(p), choice))
			}
		}
		paths = next
	}
	return paths
}
