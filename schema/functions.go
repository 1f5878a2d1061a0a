package schema

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// mark labels values so that a property flows through expressions.
type mark string

// sensitive marks what must not be shown. It flows into everything computed from it.
const sensitive mark = "sensitive"

// plainError is a function's failure with a summary of its own.
type plainError struct{ summary, detail string }

func (e *plainError) Error() string { return e.summary }

// functionTrouble words the failure of a function call.
func functionTrouble(name string, err error) (summary, detail string) {
	var pe *plainError
	if errors.As(err, &pe) {
		return pe.summary, pe.detail
	}
	text := err.Error()
	if i := strings.LastIndex(text, "\n\nError: "); i >= 0 { // try() repeats whole diagnostics
		text = text[i+2:]
	}
	return "Error in " + name + "()", capital(strings.TrimSuffix(text, ".")) + "."
}

// functions are what an expression may call.
func (l *loader) functions() map[string]function.Function {
	all := pureFunctions()
	maps.Copy(all, map[string]function.Function{
		"env":          l.envFunc(),
		"file":         l.fileFunc(),
		"sensitive":    sensitiveFunc(),
		"nonsensitive": l.nonsensitiveFunc(),
	})
	return all
}

func pureFunctions() map[string]function.Function {
	return map[string]function.Function{
		"abs":        stdlib.AbsoluteFunc,
		"can":        tryfunc.CanFunc,
		"ceil":       stdlib.CeilFunc,
		"chomp":      stdlib.ChompFunc,
		"coalesce":   stdlib.CoalesceFunc,
		"compact":    stdlib.CompactFunc,
		"concat":     stdlib.ConcatFunc,
		"contains":   stdlib.ContainsFunc,
		"distinct":   stdlib.DistinctFunc,
		"element":    stdlib.ElementFunc,
		"flatten":    stdlib.FlattenFunc,
		"floor":      stdlib.FloorFunc,
		"format":     stdlib.FormatFunc,
		"join":       stdlib.JoinFunc,
		"jsondecode": stdlib.JSONDecodeFunc,
		"jsonencode": stdlib.JSONEncodeFunc,
		"keys":       stdlib.KeysFunc,
		"length":     lengthFunc(),
		"lookup":     lookupFunc(),
		"lower":      stdlib.LowerFunc,
		"max":        stdlib.MaxFunc,
		"merge":      stdlib.MergeFunc,
		"min":        stdlib.MinFunc,
		"range":      stdlib.RangeFunc,
		"regex":      stdlib.RegexFunc,
		"replace":    stdlib.ReplaceFunc,
		"reverse":    stdlib.ReverseListFunc,
		"slice":      stdlib.SliceFunc,
		"sort":       stdlib.SortFunc,
		"split":      stdlib.SplitFunc,
		"substr":     stdlib.SubstrFunc,
		"tobool":     stdlib.MakeToFunc(cty.Bool),
		"tolist":     stdlib.MakeToFunc(cty.List(cty.DynamicPseudoType)),
		"tomap":      stdlib.MakeToFunc(cty.Map(cty.DynamicPseudoType)),
		"tonumber":   stdlib.MakeToFunc(cty.Number),
		"toset":      stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)),
		"tostring":   stdlib.MakeToFunc(cty.String),
		"trim":       stdlib.TrimFunc,
		"trimprefix": stdlib.TrimPrefixFunc,
		"trimspace":  stdlib.TrimSpaceFunc,
		"trimsuffix": stdlib.TrimSuffixFunc,
		"try":        tryfunc.TryFunc,
		"upper":      stdlib.UpperFunc,
		"values":     stdlib.ValuesFunc,
		"zipmap":     stdlib.ZipmapFunc,
	}
}

// envFunc is env(NAME) and env(NAME, DEFAULT): an environment variable of the
// operator's machine. What it gives is sensitive.
func (l *loader) envFunc() function.Function {
	return function.New(&function.Spec{
		Params:   []function.Parameter{{Name: "name", Type: cty.String}},
		VarParam: &function.Parameter{Name: "default", Type: cty.String, AllowNull: true},
		Type:     function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if len(args) > 2 {
				return cty.NilVal, &plainError{
					"Too many arguments for env()", `Write env("NAME"), or env("NAME", "default").`,
				}
			}
			name := args[0].AsString()
			if name == "" || strings.ContainsAny(name, "=\x00") {
				return cty.NilVal, &plainError{
					fmt.Sprintf("%q cannot be the name of an environment variable", name), `Write env("NAME").`,
				}
			}
			if v, ok := l.opts.Getenv(name); ok {
				l.keepSecret(v)
				return cty.StringVal(v).Mark(sensitive), nil
			}
			if len(args) == 2 {
				if !args[1].IsNull() {
					l.keepSecret(args[1].AsString())
				}
				return args[1].Mark(sensitive), nil
			}
			return cty.NilVal, &plainError{
				"Environment variable " + name + " is not set",
				fmt.Sprintf("Set it before the command, for example with: export %s=...\nOr give a value to fall back on: env(%q, \"...\").", name, name),
			}
		},
	})
}

// fileFunc is file(PATH): the text of a file, its trailing newline included. A
// relative path starts from the folder of the cluster files.
func (l *loader) fileFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			path := args[0].AsString()
			if path == "" {
				return cty.NilVal, &plainError{"file() needs a path", `Write for example trimspace(file("key.pub")).`}
			}
			if !filepath.IsAbs(path) {
				path = filepath.Join(l.dir, path)
			}
			text, err := l.opts.ReadFile(path)
			switch {
			case err != nil:
				return cty.NilVal, &plainError{
					"Cannot read " + path, fileTrouble(err) + " A relative path starts from the folder of the cluster files.",
				}
			case !utf8.Valid(text):
				return cty.NilVal, &plainError{"Cannot use " + path, "It is not UTF-8 text."}
			}
			return cty.StringVal(string(text)), nil
		},
	})
}

func sensitiveFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowUnknown: true, AllowNull: true, AllowMarked: true, AllowDynamicType: true}},
		Type:   func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
		Impl:   func(args []cty.Value, _ cty.Type) (cty.Value, error) { return args[0].Mark(sensitive), nil },
	})
}

// nonsensitiveFunc is nonsensitive(VALUE): the writer's word that a value may be shown.
func (l *loader) nonsensitiveFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowUnknown: true, AllowNull: true, AllowMarked: true, AllowDynamicType: true}},
		Type:   func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			v, _ := args[0].UnmarkDeep()
			for _, s := range textsIn(v) {
				l.forgetSecret(s)
			}
			return v, nil
		},
	})
}

// lengthFunc counts the characters of a text or the elements of a collection.
func lengthFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowDynamicType: true}},
		Type:   function.StaticReturnType(cty.Number),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			v := args[0]
			switch ty := v.Type(); {
			case ty == cty.String:
				return stdlib.Strlen(v)
			case v.CanIterateElements():
				return cty.NumberIntVal(int64(v.LengthInt())), nil
			default:
				return cty.NilVal, function.NewArgErrorf(0, "a text, list, set or map is required, not a %s", ty.FriendlyName())
			}
		},
	})
}

// lookupFunc is lookup(MAP, KEY, DEFAULT), for maps and for objects.
func lookupFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{
			{Name: "map", Type: cty.DynamicPseudoType},
			{Name: "key", Type: cty.String},
		},
		VarParam: &function.Parameter{Name: "default", Type: cty.DynamicPseudoType, AllowNull: true},
		Type:     function.StaticReturnType(cty.DynamicPseudoType),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if len(args) > 3 {
				return cty.NilVal, fmt.Errorf("too many arguments: write lookup(MAP, KEY, DEFAULT)")
			}
			if ty := args[0].Type(); !ty.IsMapType() && !ty.IsObjectType() {
				return cty.NilVal, function.NewArgErrorf(0, "a map is required, not a %s", ty.FriendlyName())
			}
			elements := args[0].AsValueMap()
			if v, ok := elements[args[1].AsString()]; ok {
				return v, nil
			}
			if len(args) == 2 {
				return cty.NilVal, fmt.Errorf("the map has no element %q; give a value to fall back on as the third argument", args[1].AsString())
			}
			if ty := args[0].Type(); ty.IsMapType() {
				if v, err := convert.Convert(args[2], ty.ElementType()); err == nil {
					return v, nil
				}
			}
			return args[2], nil
		},
	})
}
