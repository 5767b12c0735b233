package gonet

import (
	"go/ast"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// banned are words that names in the stack once had, or should not get: a network
// engineer would have to guess what they mean. With each stands what to look for.
var banned = map[string]string{
	"door":     "passive open",
	"stranger": "unmatched segment",
	"desk":     "rendezvous",
	"staffed":  "parked",
	"stir":     "recheck",
	"bedtime":  "when it is parked",
	"rise":     "unpark",
	"obey":     "serve a request",
	"spares":   "free list",
	"stock":    "free list",
	"besides":  "alternative",
	"deaf":     "no multicast loop",
	"problem":  "error request, as ip.ErrorRequest",
	"problems": "error requests, as ip.ErrorRequest",
	"report":   "ICMP error, as ip.ICMPError",
	"reports":  "ICMP errors, as ip.ICMPError",
	"dice":     "random",
	"deed":     "request",
	"house":    "stack",
	"activity": "transfer state",
	"notice":   "connection event",
}

// inComments are those of the banned words that no plain sentence needs.
var inComments = regexp.MustCompile(`(?i)\b(bedtime|staffed|desk|dice|deaf|takeUp)\b`)

// allowed are the words in their own sense, in the files whose names begin so.
var allowed = map[string][]string{
	"problem": {"ip/errors.go", "ipv4/rx.go", "icmp/", "udp/icmp.go"}, // ICMP's Parameter Problem
	"report":  {"ipv4/igmp.go", "netdev/", "dns/"},                    // IGMP's Membership Report; what a card or a query tells its user
	"reports": {"ipv4/igmp.go"},
}

// TestRuleWords looks at each word of each name that is declared in the stack, and at
// its comments.
func TestRuleWords(t *testing.T) {
	for _, s := range sources(t) {
		if !s.inStack() || strings.HasPrefix(s.dir, "vhost") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			name, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			for _, w := range words(name.Name) {
				fine := slices.ContainsFunc(allowed[w], func(prefix string) bool { return strings.HasPrefix(s.name, prefix) })
				if instead := banned[w]; instead != "" && !fine {
					s.errorf(t, name, "the name %s has the word %q: rather %s", name.Name, w, instead)
				}
			}
			return true
		})
		for _, c := range s.file.Comments {
			if w := inComments.FindString(c.Text()); w != "" {
				s.errorf(t, c, "the comment has the word %q", w)
			}
		}
	}
}

// words are the words of a name in camel case, in lower case.
func words(name string) (all []string) {
	var word []rune
	runes := []rune(name)
	for i, r := range runes {
		begins := unicode.IsUpper(r) && (i == 0 || !unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1]))
		if begins && len(word) > 0 {
			all, word = append(all, strings.ToLower(string(word))), nil
		}
		word = append(word, r)
	}
	return append(all, strings.ToLower(string(word)))
}

func TestWords(t *testing.T) {
	for name, want := range map[string]string{"takeUp": "take up", "ICMPError": "icmp error", "rxReports": "rx reports", "isDeaf": "is deaf", "x": "x", "TCP": "tcp"} {
		if got := strings.Join(words(name), " "); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
