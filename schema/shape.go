package schema

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Bounds of one configuration file. The parser recurses into brackets and
// operators, so that a file without bounds could exhaust the stack.
const (
	maxFileSize  = 1 << 20 // bytes
	maxNesting   = 250     // brackets within brackets
	maxOperators = 1000    // in one expression
)

// checkShape refuses text that the parser should not be given.
func checkShape(name string, text []byte) *Diagnostic {
	if len(text) > maxFileSize {
		return &Diagnostic{
			Severity: SeverityError, Summary: name + " is too large",
			Detail: fmt.Sprintf("It has %d bytes; a cluster file may have %d. Split it into several files of the folder.", len(text), maxFileSize),
		}
	}
	tokens, _ := hclsyntax.LexConfig(text, name, hcl.InitialPos)
	var open []hclsyntax.TokenType
	operators := 0
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp,
			hclsyntax.TokenTemplateControl, hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc:
			open = append(open, t.Type)
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd,
			hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc:
			open = open[:max(0, len(open)-1)]
		case hclsyntax.TokenNewline:
			// Between parentheses and square brackets an expression goes on.
			if len(open) == 0 || open[len(open)-1] == hclsyntax.TokenOBrace {
				operators = 0
			}
		case hclsyntax.TokenComma:
			operators = 0
		case hclsyntax.TokenBang, hclsyntax.TokenMinus, hclsyntax.TokenQuestion, hclsyntax.TokenPlus, hclsyntax.TokenStar,
			hclsyntax.TokenSlash, hclsyntax.TokenPercent, hclsyntax.TokenAnd, hclsyntax.TokenOr, hclsyntax.TokenEqualOp,
			hclsyntax.TokenNotEqual, hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq, hclsyntax.TokenGreaterThan, hclsyntax.TokenGreaterThanEq:
			operators++
		}
		if len(open) > maxNesting || operators > maxOperators {
			r := rangeOf(t.Range)
			return &Diagnostic{
				Severity: SeverityError, Summary: "Nested too deeply",
				Detail: "Give parts of this expression names in a locals block.", Range: &r,
			}
		}
	}
	return nil
}
