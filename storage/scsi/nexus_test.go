package scsi

import (
	"context"
	"slices"
	"testing"
)

// TestAttentions: the first command of a nexus learns of the power on, one that ignores
// attentions leaves them, and REQUEST SENSE takes them.
func TestAttentions(t *testing.T) {
	r := newRig(t, UnitConfig{})
	for _, c := range diskCommands().all {
		n := r.attach("x")
		s, _ := r.on(n, c.smallest(), nil, 255)
		if told := s == attention(CodePowerOn); told == (c.flags&ignoresAttention != 0) {
			t.Errorf("%s: %v", c.name, s)
		}
		if c.flags&ignoresAttention == 0 {
			if s, _ := r.on(n, ready, nil, 0); r.task.Status != Good {
				t.Errorf("after %s: %v", c.name, s)
			}
		} else if c.usage[0] != 0x03 {
			if s, _ := r.on(n, ready, nil, 0); s != attention(CodePowerOn) {
				t.Errorf("after %s: %v", c.name, s)
			}
		}
		n.Detach()
	}
	n := r.attach("x")
	for _, want := range []Sense{attention(CodePowerOn), {}} {
		for _, desc := range []byte{0} {
			_, in := r.on(n, cdb(0x03, desc, 0, 0, 252, 0), nil, 252)
			if s, ok := ParseSense(in); !ok || s != want {
				t.Errorf("REQUEST SENSE gives %v, want %v", s, want)
			}
		}
	}
	// An unknown command tells of the attention as well (SAM-4 5.14.4).
	n = r.attach("y")
	if s, _ := r.on(n, cdb(0xff, 0, 0, 0, 0, 0), nil, 0); s != attention(CodePowerOn) {
		t.Errorf("an unknown command: %v", s)
	}
}

// TestAttentionQueue: each condition is told once, a reset first.
func TestAttentionQueue(t *testing.T) {
	var a attentions
	for _, c := range []Code{CodeModeChanged, CodeCapacityChanged, CodeModeChanged, CodeDeviceReset, CodeCommandsCleared, CodeLUNsChanged, CodePowerOn} {
		a.establish(c)
	}
	var got []Code
	for a.n > 0 {
		c, _ := a.first()
		a.clear(c)
		got = append(got, c)
	}
	if !slices.Equal(got, []Code{CodePowerOn, CodeCapacityChanged, CodeLUNsChanged}) {
		t.Errorf("%v", got)
	}
	for c := range Code(100) {
		a.establish(0x3000 | c)
	}
	if a.n > len(a.codes) {
		t.Errorf("%d conditions", a.n)
	}
}

// TestModeChanged: other nexuses learn of MODE SELECT, if it has changed something.
func TestModeChanged(t *testing.T) {
	r := newRig(t, UnitConfig{})
	other := r.attach("host-b")
	r.settle(other)
	p := append(make([]byte, 4), cachingBytes...)
	for _, c := range []struct {
		v    byte
		want Sense
	}{{4, Sense{}}, {0, attention(CodeModeChanged)}, {0, Sense{}}} {
		p[6] = c.v
		r.good(select6(0, len(p)), p, 0)
		if s, _ := r.on(other, ready, nil, 0); s != c.want {
			t.Errorf("WCE %d: %v", c.v, s)
		}
		r.good(ready, nil, 0)
	}
}

// TestLUNsChange: units come to the target and go.
func TestLUNsChange(t *testing.T) {
	r := newRig(t, UnitConfig{})
	var events []Event
	r.nexus = r.target.Attach(NexusConfig{Notify: func(e Event) { events = append(events, e) }})
	r.settle(r.nexus)
	events = nil
	u, err := NewUnit(UnitConfig{Disk: newDisk(t, memory(1<<20))})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.target.Add(5, u); err != nil {
		t.Fatal(err)
	}
	if want := []Event{{EventAttention, 0, CodeLUNsChanged}, {Kind: EventLUNsChanged}}; !slices.Equal(events, want) {
		t.Errorf("told %v", events)
	}
	r.fails(ready, nil, 0, attention(CodeLUNsChanged))
	r.good(ready, nil, 0)

	on := func(lun int, want Sense) {
		t.Helper()
		r.nexus.Begin(&r.task, LUNOf(lun), ready)
		r.task.Execute(context.Background(), nil, nil)
		if s, _ := r.ended(&r.task, nil); s != want {
			t.Errorf("unit %d: %v, want %v", lun, s, want)
		}
	}
	on(5, attention(CodePowerOn))
	on(5, Sense{})
	var task Task
	r.nexus.Begin(&task, LUNOf(5), blocks(0x2a, 0, 1))
	done, err := r.target.Remove(5)
	if err != nil {
		t.Fatal(err)
	}
	if aborted, answer := task.Aborted(); !aborted || !answer {
		t.Errorf("aborted %v, answer %v", aborted, answer)
	}
	task.Abandon()
	<-done
	on(5, Sense{Key: IllegalRequest, Code: CodeNoUnit})
	on(0, attention(CodeLUNsChanged))
	if len(u.state.links) != 0 {
		t.Error("the unit still knows the nexus")
	}
	if _, err := r.target.Remove(5); err == nil {
		t.Error("removed twice")
	}
	// REPORT LUNS ends the condition.
	if err := r.target.Add(5, u); err != nil {
		t.Fatal(err)
	}
	r.good(cdb(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0), nil, 16)
	r.good(ready, nil, 0)
	on(5, attention(CodePowerOn))
}

// TestDetach: nothing of a nexus is left.
func TestDetach(t *testing.T) {
	r := newRig(t, UnitConfig{})
	n := r.attach("host-b")
	r.settle(n)
	var task Task
	n.Begin(&task, 0, blocks(0x2a, 0, 1))
	done := n.Detach()
	select {
	case <-done:
		t.Fatal("a task has not ended")
	default:
	}
	out := pattern(512, 1)
	task.Execute(context.Background(), out, nil)
	<-done
	if aborted, answer := task.Aborted(); !aborted || answer {
		t.Errorf("aborted %v, answer %v", aborted, answer)
	}
	if p := r.good(blocks(0x28, 0, 1), nil, 512); p[1] != 0 {
		t.Error("a task that was aborted has written")
	}
	if len(r.unit.state.links) != 1 || len(r.target.nexuses) != 1 {
		t.Errorf("%d links, %d nexuses", len(r.unit.state.links), len(r.target.nexuses))
	}
}
