package schema

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestFunctionsTakeAnything calls every function with values of every kind,
// sensitive, null and failed ones among them: whatever comes of it, it is no
// panic, and the sensitive text is in no finding.
func TestFunctionsTakeAnything(t *testing.T) {
	values := []string{
		`env("PW")`, `"text"`, `""`, `-1`, `1.5`, `true`, `null`, `[]`, `{}`, `["a", env("PW"), null]`, `{ a = env("PW"), b = 1 }`,
		`sensitive([1, 2])`, `sensitive({ a = "x" })`, `toset(["a", "b"])`, `tomap({ a = "b" })`, `var.missing`, `"%s %d %v"`, `[["a"], [1]]`, `tolist([])`, `env("NOPE")`,
	}
	opts := LoadOptions{Getenv: testEnv(), ReadFile: func(string) ([]byte, error) { return nil, errors.New("no files here") }}
	for _, name := range sortedKeys(newLoader("", opts).functions()) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			n := 0
			add := func(args ...string) {
				fmt.Fprintf(&b, "  x%d = %s(%s)\n  y%d = [for v in [%s(%s)] : \"${v}\"]\n", n, name, strings.Join(args, ", "), n, name, strings.Join(args, ", "))
				n++
			}
			add()
			for _, v := range values {
				add(v)
				add(v + "...")
				for _, w := range values {
					add(v, w)
				}
			}
			text := "variable \"missing\" {}\nlocals {\n" + b.String() + "}\n"
			_, ds := LoadFiles(map[string][]byte{"main.hcl": []byte(text)}, opts)
			for _, d := range ds {
				if strings.Contains(d.Summary+d.Detail+d.Snippet, "s3cr3t-word") {
					t.Errorf("a secret shows: %+v", d)
				}
			}
		})
	}
}

func TestFunctionResults(t *testing.T) {
	for expr, want := range map[string]string{
		`env("REPLICATION_PASSWORD_2", "d") == "x" ? "a" : "b"`:        "", // sensitive, so refused
		`nonsensitive(env("REPLICATION_PASSWORD_2"))`:                  "x",
		`nonsensitive(env("UNSET", "fallback"))`:                       "fallback",
		`nonsensitive("a${env("PW")}")`:                                "as3cr3t-word",
		`format("%s-%02d", lower("A"), length("äö"))`:                  "a-02",
		`join("", reverse(sort(distinct(concat(["b"], ["a", "b"])))))`: "ba",
		`lookup({ a = "x" }, "b", "y")`:                                "y",
		`lookup(tomap({ a = "x" }), "a")`:                              "x",
		`try(jsondecode("{").a, "caught")`:                             "caught",
		`can(env("UNSET")) ? "set" : "unset"`:                          "unset",
		`trimsuffix(trimprefix("--a--", "--"), "--")`:                  "a",
		`jsondecode(jsonencode({ a = "b" })).a`:                        "b",
		`substr(replace("hello", "l", "L"), 1, 3)`:                     "eLL",
		`element(split(",", "a,b"), 1)`:                                "b",
		`tostring(max(1, min(5, abs(-3)), floor(2.9), ceil(0.1)))`:     "3",
		`keys(merge({ a = 1 }, { b = 2 }))[1]`:                         "b",
		`coalesce(null, "x", "y")`:                                     "x",
		`contains(flatten([["a"], ["b"]]), "b") ? "y" : "n"`:           "y",
		`join("", [for i in range(3) : tostring(i)])`:                  "012",
		`trimspace(" a ")`:                                             "a",
		`length(toset(["a", "a"])) == tonumber("1") ? "y" : "n"`:       "y",
		`join("-", values({ b = "2", a = "1" }))`:                      "1-2",
	} {
		text := "cluster \"main\" {\n version = 17\n node \"a\" {\n host = " + expr + "\n role = \"primary\"\n }\n}\n"
		cfg, ds := LoadFiles(map[string][]byte{"main.hcl": []byte(text)}, LoadOptions{Getenv: testEnv()})
		switch {
		case want == "" && !ds.HasErrors():
			t.Errorf("%s is accepted", expr)
		case want != "" && (len(ds) > 0 || cfg.Clusters[0].Nodes[0].Host != want):
			t.Errorf("%s: want %q, got %s", expr, want, render(ds))
		}
	}
}
