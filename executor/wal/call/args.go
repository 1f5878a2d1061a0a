package call

import "strings"

// Parse finds the configuration and the command among the arguments, as far as the
// short way needs them; the far side reads them again in full.
func Parse(args []string) (config, command string) {
	for i := 0; i < len(args); i++ {
		value, isConfig := configFlag(args, &i)
		switch {
		case isConfig:
			config = value
		case command == "" && !strings.HasPrefix(args[i], "-"):
			command = args[i]
		case command == "":
			return "", guess(args) // an unknown flag: the full program tells
		}
	}
	return config, command
}

// guess says whether a call that is not understood is a restore, which decides what it ends with.
func guess(args []string) string {
	for _, a := range args {
		if a == "restore" {
			return a
		}
	}
	return ""
}

// Command says whether the arguments call for a command, and gives them without its name.
func Command(args []string, name string) (rest []string, ok bool) {
	for i := 0; i < len(args); i++ {
		from := i
		if _, flag := configFlag(args, &i); !flag && !ok {
			if ok = args[i] == name; !ok {
				return nil, false
			}
			continue
		}
		rest = append(rest, args[from:i+1]...)
	}
	return rest, ok
}

// configFlag reads --config at args[*i], and moves *i to its last word.
func configFlag(args []string, i *int) (value string, ok bool) {
	name := strings.TrimPrefix(args[*i], "-")
	name = strings.TrimPrefix(name, "-")
	if name == args[*i] {
		return "", false
	}
	if value, ok := strings.CutPrefix(name, "config="); ok {
		return value, true
	}
	if name != "config" || *i+1 >= len(args) {
		return "", false
	}
	*i++
	return args[*i], true
}

// without leaves --config out, which has a field of its own.
func without(args []string) (rest []string) {
	for i := 0; i < len(args); i++ {
		if _, ok := configFlag(args, &i); !ok {
			rest = append(rest, args[i])
		}
	}
	return rest
}
