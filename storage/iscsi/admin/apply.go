package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Changes is what Apply has done: lines such as "target iqn... came".
type Changes []string

func (c *Changes) note(format string, args ...any) { *c = append(*c, fmt.Sprintf(format, args...)) }

// Apply makes what there is as a configuration says. What an earlier one has made and
// this one does not have goes; what was made by other calls stays, unless the
// configuration says something else of the same name. Targets and units that are as they
// should be are not touched, and their sessions go on. A target with another alias,
// access or groups loses its sessions, but keeps its units. What cannot be done is
// told in the error, and does not keep the rest from being done.
func (m *Manager) Apply(ctx context.Context, want []Target) (Changes, error) {
	if err := m.take(ctx); err != nil {
		return nil, err
	}
	defer func() { <-m.turn }()
	wanted, err := byName(want)
	if err != nil {
		return nil, err
	}
	var c Changes
	// What goes goes first, of all targets, since it may have the disks of what comes.
	errs := []error{m.applyRemovals(ctx, wanted, &c)}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		w := wanted[name]
		t := m.targets[name]
		if t == nil {
			if err := m.create(ctx, w, true); err != nil {
				errs = append(errs, err)
			} else {
				c.note("target %s came", w.Name)
			}
			continue
		}
		errs = append(errs, m.applyTarget(ctx, t, w, &c))
	}
	return c, errors.Join(errs...)
}

// byName is the targets by name in lower case.
func byName(all []Target) (map[string]Target, error) {
	targets := map[string]Target{}
	for _, t := range all {
		name := strings.ToLower(t.Name)
		if _, ok := targets[name]; ok {
			return nil, fmt.Errorf("target %s: %w", t.Name, ErrExists)
		}
		targets[name] = t
	}
	return targets, nil
}

// applyRemovals takes away what is not wanted any more, or is wanted differently.
func (m *Manager) applyRemovals(ctx context.Context, wanted map[string]Target, c *Changes) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(m.targets)) {
		t := m.targets[name]
		w, ok := wanted[name]
		if !ok && !t.fromConfig {
			continue
		}
		if !ok {
			c.note("target %s went", t.Name)
			errs = append(errs, m.remove(ctx, t.Name))
			continue
		}
		for _, n := range slices.Sorted(maps.Keys(t.luns)) {
			l, ok := w.LUNs[n]
			have := t.luns[n].lun
			if !ok && !t.configured[n] || ok && l.Disk == have.Disk && l.Shared == have.Shared {
				continue
			}
			c.note("unit %d of %s went", n, t.Name)
			errs = append(errs, m.drop(ctx, t, n))
		}
	}
	return errors.Join(errs...)
}

// applyTarget makes a target that is there as it is wanted.
func (m *Manager) applyTarget(ctx context.Context, t *target, w Target, c *Changes) error {
	var errs []error
	t.fromConfig = true
	if !sameTarget(t.Target, w) {
		errs = append(errs, m.change(ctx, t, w, c))
	}
	for _, n := range slices.Sorted(maps.Keys(w.LUNs)) {
		if t.luns[n] == nil {
			if err := m.add(ctx, t, n, w.LUNs[n]); err != nil {
				errs = append(errs, err)
				continue
			}
			c.note("unit %d of %s came", n, t.Name)
		}
		t.configured[n] = true
	}
	return errors.Join(errs...)
}

// change serves a target again, with other properties and the same units. If the
// server does not take the new ones, it stays as it was.
func (m *Manager) change(ctx context.Context, t *target, w Target, c *Changes) error {
	old := t.Target
	gone := m.server.Remove(ctx, t.Name)
	w.LUNs = nil
	m.mu.Lock()
	t.Target = w
	m.mu.Unlock()
	err := m.serve(t)
	if err == nil {
		c.note("target %s changed", t.Name)
		return gone
	}
	m.mu.Lock()
	t.Target = old
	m.mu.Unlock()
	return errors.Join(gone, err, m.serve(t))
}

// sameTarget compares all but the units.
func sameTarget(a, b Target) bool {
	return a.Alias == b.Alias && slices.Equal(a.Groups, b.Groups) &&
		(len(a.Access) == 0 && len(b.Access) == 0 || reflect.DeepEqual(a.Access, b.Access))
}
