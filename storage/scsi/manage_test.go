package scsi

import (
	"context"
	"testing"
)

// TestManage walks the functions of task management over tasks of two nexuses.
func TestManage(t *testing.T) {
	for name, c := range map[string]struct {
		do           func(*rig, *Nexus) <-chan struct{}
		own, other   bool
		reset, alone bool
	}{
		"task":     {do: func(*rig, *Nexus) <-chan struct{} { return nil }, alone: true},
		"task set": {do: func(_ *rig, n *Nexus) <-chan struct{} { d, _ := n.AbortTaskSet(0); return d }, own: true},
		"unit":     {do: func(_ *rig, n *Nexus) <-chan struct{} { d, _ := n.ResetUnit(0); return d }, own: true, other: true, reset: true},
		"target":   {do: func(_ *rig, n *Nexus) <-chan struct{} { return n.ResetTarget() }, own: true, other: true, reset: true},
	} {
		for _, status := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				r := newRig(t, UnitConfig{})
				r.unit.state.savedPages.status, r.unit.state.pages.status = status, status
				var events []Event
				other := r.target.Attach(NexusConfig{Notify: func(e Event) {
					if e.Kind == EventAborted {
						events = append(events, e)
					}
				}})
				r.settle(other)
				var own [3]Task
				var theirs Task
				for i := range own {
					r.nexus.Begin(&own[i], 0, blocks(0x2a, uint64(i), 1))
				}
				other.Begin(&theirs, 0, blocks(0x2a, 10, 1))
				if c.alone {
					own[1].Abort()
				}
				done := c.do(r, r.nexus)
				for i := range own {
					aborted, answer := own[i].Aborted()
					if aborted != (c.own || c.alone && i == 1) || answer {
						t.Errorf("task %d: aborted %v, answer %v", i, aborted, answer)
					}
				}
				if aborted, answer := theirs.Aborted(); aborted != c.other || answer != (c.other && status) {
					t.Errorf("the other's: aborted %v, answer %v", aborted, answer)
				}
				if len(events) > 0 != c.other {
					t.Errorf("events %v", events)
				}
				for _, task := range []*Task{&own[0], &own[1], &own[2], &theirs} {
					select {
					case <-done:
						if c.other || c.own && task != &theirs {
							t.Error("done while tasks are left")
						}
					default:
					}
					task.Execute(context.Background(), pattern(512, 1), nil)
				}
				if done != nil {
					<-done
				}
				if _, answer := theirs.Aborted(); answer && theirs.Status != TaskAborted {
					t.Errorf("status %v", theirs.Status)
				}
				if c.reset {
					r.fails(ready, nil, 0, attention(CodeDeviceReset))
					if s, _ := r.on(other, ready, nil, 0); s != attention(CodeDeviceReset) {
						t.Errorf("the other: %v", s)
					}
				}
				r.good(ready, nil, 0)
				for i := range own {
					p := r.good(blocks(0x28, uint64(i), 1), nil, 512)
					if wrote := p[1] != 0; wrote != !(c.own || c.alone && i == 1) {
						t.Errorf("task %d has written: %v", i, wrote)
					}
				}
			})
		}
	}
	r := newRig(t, UnitConfig{})
	if _, ok := r.nexus.AbortTaskSet(LUNOf(9)); ok {
		t.Error("a task set where there is no unit")
	}
	if _, ok := r.nexus.ResetUnit(LUNOf(9)); ok {
		t.Error("a reset where there is no unit")
	}
}

// TestContext: a context that has ended fails the command, and nothing is done.
func TestContext(t *testing.T) {
	r := newRig(t, UnitConfig{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range diskCommands().all {
		if c.flags&needsNoUnit != 0 {
			continue
		}
		r.nexus.Begin(&r.task, 0, c.smallest())
		if r.task.Done() {
			continue
		}
		r.task.Execute(ctx, make([]byte, r.task.DataOut), nil)
		if s, _ := r.ended(&r.task, nil); s.Key != AbortedCommand {
			t.Errorf("%s: %v, %v", c.name, r.task.Status, s)
		}
	}
}
