package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/seed-012105e5/gonet/storage/block/spec"
	"github.com/seed-012105e5/gonet/storage/iscsi"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// maxTargets bounds the targets of a Manager.
const maxTargets = 65536

// A Manager is the targets of a server, with the disks behind their units, which it
// opens and closes.
type Manager struct {
	server *iscsi.Server
	kinds  *spec.Set
	reload func(context.Context) error

	// turn is held by who changes what there is, from the first look to the last step,
	// in which disks are opened and sessions ended. What is below belongs to the holder;
	// whoever only looks takes mu, and the holder takes it for each change.
	turn    chan struct{}
	mu      sync.Mutex
	targets map[string]*target // by name in lower case
	shared  map[string]*unit
	closed  bool
}

// A target is one that is served.
type target struct {
	Target     // but not its LUNs
	units      *scsi.Target
	luns       map[int]*unit
	configured map[int]bool // those of Apply
	fromConfig bool
}

// NewManager makes a Manager for a server. Kinds are the disks that can be named, and
// reload, which may be nil, is what Reload calls: it reads the configuration and calls
// Apply.
func NewManager(server *iscsi.Server, kinds *spec.Set, reload func(context.Context) error) *Manager {
	return &Manager{
		server: server, kinds: kinds, reload: reload,
		turn: make(chan struct{}, 1), targets: map[string]*target{}, shared: map[string]*unit{},
	}
}

var errClosed = errors.New("the manager is closed")

// take takes the turn.
func (m *Manager) take(ctx context.Context) error {
	select {
	case m.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if m.closed {
		<-m.turn
		return errClosed
	}
	return nil
}

// Targets are what there is.
func (m *Manager) Targets(context.Context) ([]Target, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := []Target{}
	for _, name := range slices.Sorted(maps.Keys(m.targets)) {
		t := m.targets[name]
		out := t.Target
		out.LUNs = map[int]LUN{}
		for n, u := range t.luns {
			out.LUNs[n] = u.lun
		}
		out.Access = slices.Clone(out.Access)
		for i := range out.Access {
			out.Access[i].Secret, out.Access[i].MutualSecret = "", ""
		}
		all = append(all, out)
	}
	return all, nil
}

// Sessions are the sessions that there are.
func (m *Manager) Sessions(context.Context) ([]Session, error) {
	all := []Session{}
	for _, i := range m.server.Sessions() {
		all = append(all, session(i))
	}
	return all, nil
}

// Stats are the counters of the server.
func (m *Manager) Stats(context.Context) (iscsi.Stats, error) { return m.server.Stats(), nil }

// Reload calls what NewManager was given.
func (m *Manager) Reload(ctx context.Context) error {
	if m.reload == nil {
		return errors.New("there is no configuration to read again")
	}
	return m.reload(ctx)
}

// Create makes a target and its units.
func (m *Manager) Create(ctx context.Context, t Target) error {
	if err := m.take(ctx); err != nil {
		return err
	}
	defer func() { <-m.turn }()
	return m.create(ctx, t, false)
}

// create makes a target. It is served when all of its units are there, so that no
// initiator sees less.
func (m *Manager) create(ctx context.Context, t Target, fromConfig bool) error {
	name := strings.ToLower(t.Name)
	switch {
	case m.targets[name] != nil:
		return fmt.Errorf("target %s: %w", t.Name, ErrExists)
	case len(m.targets) >= maxTargets:
		return fmt.Errorf("there are %d targets, the most there can be", maxTargets)
	}
	made := &target{Target: t, units: scsi.NewTarget(), luns: map[int]*unit{}, configured: map[int]bool{}, fromConfig: fromConfig}
	made.LUNs = nil
	var err error
	for _, n := range slices.Sorted(maps.Keys(t.LUNs)) {
		if err = m.add(ctx, made, n, t.LUNs[n]); err != nil {
			break
		}
		made.configured[n] = fromConfig
	}
	if err == nil {
		err = m.serve(made)
	}
	if err != nil {
		return errors.Join(err, m.removeLUNs(context.WithoutCancel(ctx), made))
	}
	m.mu.Lock()
	m.targets[name] = made
	m.mu.Unlock()
	return nil
}

// serve has the server serve a target.
func (m *Manager) serve(t *target) error {
	config := iscsi.Target{Name: t.Name, Alias: t.Alias, Groups: t.Groups, Units: t.units}
	for i := range t.Access {
		a, err := t.Access[i].access()
		if err != nil {
			return fmt.Errorf("target %s: %w", t.Name, err)
		}
		config.Access = append(config.Access, a)
	}
	_, err := m.server.Add(config)
	return err
}

// Remove takes a target away.
func (m *Manager) Remove(ctx context.Context, name string) error {
	if err := m.take(ctx); err != nil {
		return err
	}
	defer func() { <-m.turn }()
	return m.remove(ctx, name)
}

func (m *Manager) remove(ctx context.Context, name string) error {
	key := strings.ToLower(name)
	t := m.targets[key]
	if t == nil {
		return fmt.Errorf("target %s: %w", name, ErrNotFound)
	}
	m.mu.Lock()
	delete(m.targets, key)
	m.mu.Unlock()
	return errors.Join(m.server.Remove(ctx, name), m.removeLUNs(ctx, t))
}

// find finds a target.
func (m *Manager) find(name string) (*target, error) {
	t := m.targets[strings.ToLower(name)]
	if t == nil {
		return nil, fmt.Errorf("target %s: %w", name, ErrNotFound)
	}
	return t, nil
}

// AddLUN adds a unit.
func (m *Manager) AddLUN(ctx context.Context, name string, lun int, l LUN) error {
	if err := m.take(ctx); err != nil {
		return err
	}
	defer func() { <-m.turn }()
	t, err := m.find(name)
	if err != nil {
		return err
	}
	return m.add(ctx, t, lun, l)
}

// add opens a unit, or finds it if it is shared and there, and adds it to a target.
func (m *Manager) add(ctx context.Context, t *target, n int, l LUN) error {
	if n < 0 || n > scsi.MaxLUN {
		return fmt.Errorf("unit %d: want 0 to %d", n, scsi.MaxLUN)
	}
	if t.luns[n] != nil {
		return fmt.Errorf("unit %d of %s: %w", n, t.Name, ErrExists)
	}
	u := m.shared[l.Shared]
	switch {
	case l.Shared == "" || u == nil:
		var err error
		if u, err = openUnit(ctx, m.kinds, l, fmt.Sprintf("%s,%d", strings.ToLower(t.Name), n)); err != nil {
			return fmt.Errorf("unit %d of %s: %w", n, t.Name, err)
		}
	case u.lun.Disk != l.Disk:
		return fmt.Errorf("unit %d of %s: the shared unit %s has another disk, %s", n, t.Name, l.Shared, u.lun.Disk)
	}
	if err := t.units.Add(n, u.unit); err != nil {
		if u.in == 0 {
			err = errors.Join(err, u.close(ctx))
		}
		return fmt.Errorf("unit %d of %s: %w", n, t.Name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t.luns[n] = u
	if u.in++; l.Shared != "" {
		m.shared[l.Shared] = u
	}
	return nil
}

// RemoveLUN takes a unit away.
func (m *Manager) RemoveLUN(ctx context.Context, name string, lun int) error {
	if err := m.take(ctx); err != nil {
		return err
	}
	defer func() { <-m.turn }()
	t, err := m.find(name)
	if err != nil {
		return err
	}
	return m.drop(ctx, t, lun)
}

// drop takes a unit from a target, and closes it if no other has it.
func (m *Manager) drop(ctx context.Context, t *target, n int) error {
	u := t.luns[n]
	if u == nil {
		return fmt.Errorf("unit %d of %s: %w", n, t.Name, ErrNotFound)
	}
	done, err := t.units.Remove(n)
	if err != nil {
		return fmt.Errorf("unit %d of %s: %w", n, t.Name, err)
	}
	m.mu.Lock()
	delete(t.luns, n)
	delete(t.configured, n)
	if u.in--; u.in == 0 {
		delete(m.shared, u.lun.Shared)
	}
	m.mu.Unlock()
	if u.in > 0 {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return u.close(ctx)
}

// removeLUNs drops all units of a target.
func (m *Manager) removeLUNs(ctx context.Context, t *target) error {
	var errs []error
	for _, n := range slices.Sorted(maps.Keys(t.luns)) {
		errs = append(errs, m.drop(ctx, t, n))
	}
	return errors.Join(errs...)
}

// Close closes all disks, when the server has been shut down. It takes no calls
// afterwards.
func (m *Manager) Close(ctx context.Context) error {
	if err := m.take(ctx); err != nil {
		return err
	}
	defer func() { <-m.turn }()
	m.closed = true
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(m.targets)) {
		errs = append(errs, m.removeLUNs(ctx, m.targets[name]))
	}
	return errors.Join(errs...)
}
