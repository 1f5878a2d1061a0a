package layering

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSlowTestsExist: a test that is renamed would be run by --fast again, and a misspelt one always.
func TestSlowTestsExist(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "testdata", "test.sh"))
	if err != nil {
		t.Fatal(err)
	}
	list := regexp.MustCompile(`(?s)\nslow=\((.*?)\n\)\n`).FindSubmatch(text)
	if list == nil {
		t.Fatal("testdata/test.sh has no list of slow tests")
	}
	grep := exec.Command("grep", "-rhoE", "--include=*_test.go", `^func Test\w+\(`, ".")
	grep.Dir = root
	out, err := grep.Output()
	if err != nil {
		t.Fatal(err)
	}
	names := 0
	for _, line := range strings.Split(string(list[1]), "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for _, name := range strings.Fields(line) {
			names++
			if !strings.Contains(string(out), "func "+name+"(") {
				t.Errorf("testdata/test.sh: there is no test %s", name)
			}
		}
	}
	if names == 0 {
		t.Error("the list of slow tests is empty")
	}
}
