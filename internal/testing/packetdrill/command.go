package packetdrill

import (
	"errors"
	"fmt"
	"path"
	"reflect"
	"strings"
)

// commands are shell lines between backticks. No shell runs: those that set
// what a stack of ours can be set to are applied, those that mean nothing here
// are passed over, and all others are an error that names them.
type commands struct {
	line int
	list [][]string // the words of each
}

// commands reads what stands between backticks.
func (s *scanner) commands(text string) action {
	c := &commands{line: s.line(s.at)}
	text = strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.Lines(text) {
		if p, rest := (&scanner{text: line}), ""; p.acceptWord("sleep") {
			rest = strings.TrimSpace(p.rest())
			return &pause{(&scanner{name: s.name, text: rest, first: c.line - 1}).seconds()}
		}
		list, err := shellWords(line)
		if err != nil {
			s.fail("%v", err)
		}
		c.list = append(c.list, list...)
	}
	return c
}

// initCommands reads commands that have no time.
func (s *scanner) initCommands(text string) *commands {
	c, ok := s.commands(text).(*commands)
	if !ok {
		s.fail("sleep has a time in front")
	}
	return c
}

// shellWords cuts a line of shell into commands and their words. Output that is
// thrown away is left out; pipes, variables and the like are no words.
func shellWords(line string) (list [][]string, err error) {
	var words []string
	end := func() {
		if len(words) > 0 {
			list = append(list, words)
		}
		words = nil
	}
	for p := (&scanner{text: line, plain: true}); ; {
		switch p.skip(); {
		case p.done() || p.accept("#"):
			end()
			return list, nil
		case p.accept("&&"), p.accept(";"), p.accept("||"):
			end()
		case p.accept("&>"), p.accept("2>&1"), p.accept("2>"), p.accept(">"):
			if p.skip(); strings.HasPrefix(p.rest(), "/dev/null") {
				p.run(func(c byte) bool { return c > ' ' && c != ';' })
			}
		case strings.ContainsRune("|&<()`", rune(p.text[p.at])):
			return nil, fmt.Errorf("no shell runs here: %s", strings.TrimSpace(line))
		default:
			w, err := p.shellWord()
			if err != nil {
				return nil, err
			}
			words = append(words, w)
		}
	}
}

// shellWord reads a word, parts of which may stand in quotes.
func (s *scanner) shellWord() (string, error) {
	var b strings.Builder
	for !s.done() {
		c := s.text[s.at]
		switch {
		case c == '"' || c == '\'':
			s.at++
			end := strings.IndexByte(s.rest(), c)
			if end < 0 {
				return "", fmt.Errorf("%c is missing in a command", c)
			}
			b.WriteString(s.rest()[:end])
			s.at += end + 1
			continue
		case strings.IndexByte(" \t\r\n;|&<>", c) >= 0: // what skip passes over, and what is no word
			return b.String(), nil
		}
		b.WriteByte(c)
		s.at++
	}
	return b.String(), nil
}

// apply does what the commands say to a config.
func (c *commands) apply(cfg *config) error {
	for _, words := range c.list {
		if err := cfg.command(words); err != nil {
			return err
		}
	}
	return nil
}

// command does what one command says.
func (c *config) command(words []string) error {
	name, args := path.Base(words[0]), words[1:]
	switch {
	case name == "sysctl":
		return c.sysctls(args)
	case name == "set_sysctls.py":
		return c.sysctls(args)
	case name == "defaults.sh" && c.linux:
		return c.sysctls(linuxDefaults)
	case strings.HasPrefix(name, "sysctl_restore_"): // each script has a stack of its own
		return nil
	case name == "true", name == "echo" && !strings.Contains(strings.Join(args, " "), "/"):
		return nil
	case name == "nstat" && len(args) == 1 && args[0] == "-n": // counters of a stack begin at 0
		return nil
	case name == "ip" && len(args) > 0 && args[0] == "tcp_metrics": // nothing is cached between scripts
		return nil
	case name == "ethtool" && c.linux && offloadsOnly(args): // trains are cut before they are compared
		return nil
	}
	return fmt.Errorf("`%s`: no shell runs here, and this command is none of those that are known: sysctl, set_sysctls.py, defaults.sh (with -linux), sleep", strings.Join(words, " "))
}

// offloadsOnly says whether ethtool switches offloads of segmentation only.
func offloadsOnly(args []string) bool {
	if len(args) < 4 || args[0] != "-K" || len(args)%2 != 0 {
		return false
	}
	for i := 2; i < len(args); i += 2 {
		if args[i] != "tso" && args[i] != "gso" && args[i] != "gro" {
			return false
		}
	}
	return true
}

// sysctls applies "name=value" words; flags are passed over.
func (c *config) sysctls(words []string) error {
	for _, w := range words {
		if strings.HasPrefix(w, "-") {
			continue
		}
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			return fmt.Errorf("want name=value, found %s", w)
		}
		name = strings.TrimPrefix(strings.ReplaceAll(name, "/", "."), ".proc.sys.")
		if err := c.sysctl(name, value); err != nil {
			return fmt.Errorf("%s=%s: %w", name, value, err)
		}
	}
	return nil
}

// do runs commands in the middle of a script. A stack is set up when it
// starts, so here they may only say what is the case already.
func (c *commands) do(r *run, _ *event) error {
	cfg := r.cfg
	if err := c.apply(&cfg); err != nil {
		return &refusal{err}
	}
	if !reflect.DeepEqual(cfg, r.cfg) {
		return &refusal{errors.New("the settings of a stack are made when it starts: such commands stand before the first event")}
	}
	return nil
}
