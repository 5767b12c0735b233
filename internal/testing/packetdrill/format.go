package packetdrill

import (
	"fmt"
	"strconv"
	"strings"
)

// format is Python's %: verbs d, i, u, x, o, f, e, g and s, with flags and
// widths, each for the next of the values.
func format(f string, v any) (string, error) {
	values, ok := v.([]any)
	if !ok {
		values = []any{v}
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(f, "%")
		b.WriteString(before)
		if !found {
			break
		}
		n := len(rest) - len(strings.TrimLeft(rest, "-+ 0#123456789."))
		if n == len(rest) || n > 4 {
			return "", fmt.Errorf("%q is no format", "%"+rest)
		}
		flags, verb := rest[:n], rest[n]
		f = rest[n+1:]
		if verb == '%' {
			b.WriteByte('%')
			continue
		}
		if len(values) == 0 {
			return "", fmt.Errorf("the format wants more values")
		}
		piece, err := formatOne(flags, verb, values[0])
		if err != nil {
			return "", err
		}
		b.WriteString(piece)
		values = values[1:]
	}
	if len(values) > 0 {
		return "", fmt.Errorf("the format wants fewer values")
	}
	return b.String(), nil
}

func formatOne(flags string, verb byte, v any) (string, error) {
	if verb == 's' || verb == 'r' {
		return fmt.Sprintf("%"+flags+"s", str(v)), nil
	}
	x, ok := number(v)
	if !ok {
		return "", fmt.Errorf("%%%c of %s, which is no number", verb, text(v))
	}
	switch verb {
	case 'd', 'i', 'u':
		return fmt.Sprintf("%"+flags+"d", int64(x)), nil
	case 'x', 'X', 'o':
		return fmt.Sprintf("%"+flags+string(verb), int64(x)), nil
	case 'f', 'e', 'g':
		return fmt.Sprintf("%"+flags+string(verb), x), nil
	}
	return "", fmt.Errorf("no verb %%%c", verb)
}

// str is v as print writes it.
func str(v any) string {
	switch v := v.(type) {
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		if v {
			return "True"
		}
		return "False"
	case []any:
		words := make([]string, len(v))
		for i, w := range v {
			words[i] = text(w)
		}
		return "(" + strings.Join(words, ", ") + ")"
	}
	return fmt.Sprint(v)
}

// text is v as it stands in a message.
func text(v any) string {
	if s, ok := v.(string); ok {
		return strconv.Quote(s)
	}
	return str(v)
}
