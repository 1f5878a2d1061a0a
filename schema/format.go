package schema

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format puts the text of a cluster file into the canonical layout. Text that is
// not HCL comes back as it was, with the errors, which bear the file's name.
func Format(name string, src []byte) ([]byte, Diagnostics) {
	l := newLoader("", LoadOptions{})
	l.sources[name] = src
	if d := checkShape(name, src); d != nil {
		l.diags = append(l.diags, *d)
		return src, l.finish()
	}
	_, hd := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	l.hclDiags(hd)
	ds := l.finish()
	if ds.HasErrors() {
		return src, ds
	}
	return hclwrite.Format(src), ds
}
