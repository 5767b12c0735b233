package packetdrill

import (
	"errors"
	"strings"
	"testing"
)

// testEnv is an env with some names.
func testEnv(print func(string)) *env {
	return &env{
		vars: make(map[string]any), print: print,
		state: func(name string) (any, error) {
			v, ok := map[string]any{"two": 2.0, "yes": true, "word": "text"}[name]
			if !ok {
				return nil, errors.New("no " + name)
			}
			return v, nil
		},
	}
}

// runCode runs the statements of text, and returns what they print and the
// error that ends them.
func runCode(t *testing.T, text string) (printed []string, err error) {
	t.Helper()
	defer func() {
		if e, ok := recover().(*Error); ok {
			err = e
		}
	}()
	s := &scanner{name: "test", text: text}
	e := testEnv(func(line string) { printed = append(printed, line) })
	for _, st := range s.code(text, 1).(code) {
		if err := st.do(e); err != nil {
			return printed, err
		}
	}
	return printed, nil
}

func TestExpressions(t *testing.T) {
	for text, want := range map[string]string{
		"two == 2": "True", "two != 2": "False", "two < 3 and two > 1": "True", "two <= 1 or two >= 2": "True",
		"not yes": "False", "not (two == 3 or not yes)": "True", "1 + 2 * 3 == 7": "True", "(1 + 2) * 3 - 1": "8",
		"9 / two": "4.5", "word == 'text'": "True", `word == "texts"`: "False", "yes == True": "True", "two": "2", "two - two": "0",
		"yes and no": "no no", "no or yes": "no no", "word < 2": `"text" and 2 have no order`,
		"word + 1": `"text" and 1 are not both numbers`, "not word": `"text" is neither true nor false`, "yes or no": "True",

		// Chains of comparisons, in which each pair must hold.
		"1 <= two <= 3": "True", "1 < two < 2": "False", "3 > two > 1 == 1": "True", "1 < 2 < word": `2 and "text" have no order`,

		// Operators of whole numbers, and how strongly all bind.
		"6 & 3": "2", "6 | 1": "7", "6 ^ 3": "5", "1 << 4": "16", "256 >> 4": "16", "6 & 3 == 2": "True", "1 | 2 ^ 3 & 4": "3",
		"1 + 1 << 2": "8", "~0 & 0xff": "255", "-two": "-2", "+two": "2", "2 - -2": "4", "2 ** 3 ** 2": "512", "-2 ** 2": "-4",
		"7 // two": "3", "-7 // two": "-4", "7 % 4": "3", "-7 % 4": "1", "0x10": "16", "1e3": "1000", "1.5 & 1": "1.5 & 1: both must be whole numbers",
		"1 << 63": "a shift by 63", "1 / 0": "1 / 0", "1 // 0": "1 // 0", "1 % 0": "1 % 0",

		// Formats.
		"'cwnd=%d' % two": "cwnd=2", "'%d of %s' % (two, word)": "2 of text", "'%5.1f|%-4d|%x' % (1.25, 7, 255)": "  1.2|7   |ff",
		"'100%%' % ()": "100%", "'%d %d' % two": "the format wants more values", "'%d' % (1, 2)": "the format wants fewer values",
		"'%d' % word": `%d of "text", which is no number`, "'%q' % 1": "no verb %q", "'%' % 1": `"%" is no format`, "'%99999d' % 1": `"%99999d" is no format`,
		"'a' + 'b'": "ab",

		"abs(-two)": "2", "min(3, two, 4)": "2", "max(3, two)": "3", "int(2.7)": "2", "round(2.5)": "2", "float(2)": "2",
		"abs()": "abs does not take 0 arguments", "abs(1, 2)": "abs does not take 2 arguments", "abs(word)": `abs of "text", which is no number`,
		"1 if yes else 2": "1", "1 if two > 2 else two": "2", "(1, two)": "(1, 2)", "(1,)": "(1)", "(1, 2) == (1, 2)": "tuples are not compared",
		"TCPI_OPT_SYN_DATA": "32", "TCP_CA_Recovery": "3", "TCP_INFINITE_SSTHRESH == 0x7fffffff": "True",
	} {
		printed, err := runCode(t, "print("+text+")")
		got := strings.Join(printed, "|")
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}

func TestStatements(t *testing.T) {
	for text, want := range map[string]string{
		"x = 10; print(x); x += 5; print(x)":                  "10|15",
		"x = 7\nx -= 1\nx *= 4\nx /= 3\nx //= 3\nprint(x)":    "2",
		"x = 5; x %= 3; x <<= 2; x |= 1; x ^= 8; print(x)":    "1",
		"x = 6; x &= 3; x **= 3; x >>= 1; print('x', x)":      "x 4",
		"two = 3; print(two) # a name of the state is hidden": "3",
		"print('a;b#c'); print(two)":                          "a;b#c|2",
		"print(two,\n      yes,\n      word)":                 "2 True text",
		"assert two == 2, \\\n  two; \\\nprint(word)":         "text",
		"pass; print()":                               "",
		"assert two == 2, 'is %d' % two":              "",
		"assert two == 3, 'is %d' % two":              "assert two == 3: two is 2 (is 2)",
		"assert 1 <= two <= 1, two":                   "assert 1 <= two <= 1: two is 2",
		"x = 1; assert x == two":                      "assert x == two: two is 2",
		"y += 1":                                      "no y",
		"import os":                                   `test:1: only assert, print and assignments may stand in %{ }%, not "import"`,
		"\n\nif yes: print(1)":                        `test:3: only assert, print and assignments may stand in %{ }%, not "if"`,
		"two == 2":                                    `test:1: only assert, print and assignments may stand in %{ }%, not "two"`,
		"assert len('x') == 1":                        `test:1: no function "len"; there are abs, float, int, max, min, round`,
		"assert lambda == 1":                          `test:1: "lambda" cannot stand here`,
		"assert 1_000 == 1000":                        `test:1: want a number, found "1_000 == 1000"`,
		"assert 'a":                                   `test:1: "'" is missing`,
		"assert 1 if yes":                             `test:1: want else, found ""`,
		"print(1":                                     `test:1: want ",", found ""`,
		"print(" + strings.Repeat("-", 50) + "1)":     "test:1: nested too deep",
		"print(" + strings.Repeat("2 ** ", 50) + "1)": "test:1: nested too deep",
		"print(" + strings.Repeat("1 if 1 else ", 50) + "1)":     "test:1: nested too deep",
		"print(" + strings.Repeat("not ", 50) + "1)":             "test:1: nested too deep",
		"print(" + strings.Repeat("abs(", 50) + "1" + ")\n)))))": "test:1: nested too deep",
	} {
		printed, err := runCode(t, text)
		got := strings.Join(printed, "|")
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
