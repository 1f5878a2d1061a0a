package schema

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkLoad reads clusters of three nodes each.
func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var text strings.Builder
			for i := range n {
				fmt.Fprintf(&text, "cluster \"c%d\" {\n  version    = 17\n  parameters = { shared_buffers = \"2GB\", work_mem = \"64MB\" }\n", i)
				for j, role := range []string{"primary", "standby", "standby"} {
					fmt.Fprintf(&text, "  node \"n%d\" {\n    host = \"h%d-%d\"\n    role = %q\n  }\n", j, i, j, role)
				}
				text.WriteString("  replication { password = env(\"PW\") }\n}\n")
			}
			files := map[string][]byte{"main.hcl": []byte(text.String())}
			for b.Loop() {
				if cfg, ds := LoadFiles(files, LoadOptions{Getenv: testEnv()}); cfg == nil {
					b.Fatal(ds)
				}
			}
		})
	}
}
