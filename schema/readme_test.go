package schema

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// readmeRows gives the rows of the README's table that begins with this header, cell by cell.
func readmeRows(t *testing.T, header string) [][]string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), header+"\n|---|---|\n")
	if !found {
		t.Fatalf("README.md has no table %s", header)
	}
	table, _, _ = strings.Cut(table, "\n\n")
	var rows [][]string
	for line := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(strings.ReplaceAll(strings.Trim(line, "| "), `\|`, " "), "|")
		if len(cells) != 2 {
			t.Fatalf("not two cells: %s", line)
		}
		rows = append(rows, cells)
	}
	return rows
}

// quotedWords gives the names between backquotes, without what stands in parentheses.
func quotedWords(cell string) []string {
	var out []string
	cell = regexp.MustCompile(`\([^)]*\)`).ReplaceAllString(cell, "")
	for _, quoted := range regexp.MustCompile("`[^`]*`").FindAllString(cell, -1) {
		out = append(out, regexp.MustCompile(`[a-z_]+`).FindAllString(quoted, -1)...)
	}
	return out
}

// TestReadmeListsTheLanguage: every block and attribute that a file may hold stands in the
// README's table, and nothing else does.
func TestReadmeListsTheLanguage(t *testing.T) {
	told := map[string]map[string]bool{} // by block
	kind := ""
	for _, row := range readmeRows(t, "| block | attributes |") {
		if head := quotedWords(row[0]); len(head) > 0 && !strings.HasPrefix(row[0], "&nbsp;") {
			for _, kind = range head { // `variable "NAME"`, `locals`
				told[kind] = map[string]bool{}
			}
		}
		for _, word := range quotedWords(row[1]) {
			told[kind][word] = true
		}
	}
	var check func(parent, kind string, into map[string]bool)
	check = func(parent, kind string, into map[string]bool) {
		s := schemaOf(parent, kind)
		for _, a := range s.Attributes {
			into[a.Name] = true
		}
		for _, b := range s.Blocks {
			if told[b.Type] == nil && b.Type != "export" { // keep and restore stand in their blocks' rows
				into[b.Type] = true
				check(kind, b.Type, into)
			}
		}
	}
	for _, kind := range []string{"target", "cluster", "node", "connection", "replication", "archive", "backup", "bootstrap"} {
		real := map[string]bool{}
		check("", kind, real)
		if kind == "node" { // which has more of what the cluster has
			for word := range told["cluster"] {
				if !real[word] && word != "version" && word != "hba" {
					t.Errorf("README.md gives a node %s, and it has none", word)
				}
				delete(real, word)
			}
		}
		delete(told[kind], kind)
		if !maps.Equal(real, told[kind]) {
			t.Errorf("README.md says of %s: %v; it has: %v", kind, slices.Sorted(maps.Keys(told[kind])), slices.Sorted(maps.Keys(real)))
		}
	}
	for _, b := range fileSchema().Blocks {
		if told[b.Type] == nil {
			t.Errorf("README.md does not list the block %s", b.Type)
		}
	}
}
