package packetdrill

import (
	"fmt"
	"strings"
	"time"
)

// A Script is what [Parse] has made of the text of one.
type Script struct {
	Name  string   // of the file, for messages
	IDs   []string // the requirements that it shows
	Title string   // what it shows, in a sentence

	settings []setting
	commands []*commands // before and behind the events
	events   []event
}

// A setting is a line --name=value.
type setting struct {
	line        int
	name, value string
}

// An event is something that happens at its time: a packet, a call of the
// user, an assertion.
type event struct {
	line int
	text string // as it stands in the script, in one line
	what string // the same without the time
	when when
	do   action
}

// An action is what an event does in a run.
type action interface {
	do(r *run, e *event) error
}

// when is the time of an event.
type when struct {
	anytime  bool // "*"
	relative bool // "+": after the event before
	from, to time.Duration
	blocks   bool          // "...": a call that takes its time,
	end      time.Duration // and returns then; counted like from
}

// isRange says whether the event may happen at any instant of a stretch.
func (w *when) isRange() bool { return w.anytime || w.to > w.from }

// header takes the requirements and the sentence from the first comment of
// the script: "// MUST-34 RFC9293-3.8.6: a sentence".
func (s *Script) header(text string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		comment, ok := strings.CutPrefix(line, "//")
		if !ok {
			return
		}
		ids, title, ok := strings.Cut(comment, ":")
		if ok {
			s.IDs, s.Title = strings.Fields(ids), strings.TrimSpace(title)
		}
		return
	}
}

// An Error says what is wrong with a script, or with what happened in its run.
type Error struct {
	File    string
	Line    int
	Text    string   // the event; "" when there is none
	Message string   // what is wrong
	Wanted  string   // the packet of the script, in its notation; or ""
	Seen    string   // the packet that was seen instead; or ""
	Before  []string // what happened before, the last at the end

	// Refused: the script asks for something that there is not here, so that
	// nothing is known about the rest of it.
	Refused bool
}

// A refusal is an error about what a script asks for.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }

func (r *refusal) Unwrap() error { return r.err }

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d: %s", e.File, e.Line, e.Message)
	if e.Text != "" {
		fmt.Fprintf(&b, "\n\tline    %s", e.Text)
	}
	if e.Wanted != "" {
		fmt.Fprintf(&b, "\n\twanted  %s", e.Wanted)
	}
	if e.Seen != "" {
		fmt.Fprintf(&b, "\n\tseen    %s", e.Seen)
	}
	if len(e.Before) > 0 {
		b.WriteString("\nbefore:")
		for _, line := range e.Before {
			b.WriteString("\n\t" + line)
		}
	}
	return b.String()
}
