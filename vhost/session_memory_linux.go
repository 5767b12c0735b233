package vhost

import (
	"fmt"

	"github.com/seed-012105e5/gonet/vhost/memory"
)

// setMemory replaces all regions.
func (s *session) setMemory(regions MemoryTable, files Files) (reply, error) {
	switch none := (reply{fd: -1}); {
	case !s.postpones():
		return none, s.replaceMemory(regions, files)
	case len(regions) == 0 && len(files) == 0:
		return none, s.acknowledged(nil)
	}
	told, err := s.postpone(regions, files)
	return answer(MemoryTable(told)), err
}

func (s *session) replaceMemory(regions MemoryTable, files Files) error {
	if len(regions) != len(files) {
		return fmt.Errorf("%w: %d regions with %d file descriptors", ErrMessage, len(regions), len(files))
	}
	var all []*memory.Mapping
	defer func() {
		for _, m := range all {
			m.Release()
		}
	}()
	for i, r := range regions {
		m, err := memory.Map(r, files[i])
		if err != nil {
			return err
		}
		all = append(all, m)
	}
	table, err := memory.NewTable(all...)
	if err != nil {
		return err
	}
	return s.setTable(table)
}

// changeMemory adds or removes a region. QEMU 7.2 sends each change once for each pair
// of a network card's rings, so one that was made already is none.
func (s *session) changeMemory(m Request, r memory.Region, files Files) (reply, error) {
	none := reply{fd: -1}
	if m == RemMemReg {
		return none, s.removeMemory(r)
	}
	if len(files) != 1 {
		return none, fmt.Errorf("%w: a region with %d file descriptors", ErrMessage, len(files))
	}
	if !s.postpones() {
		return none, s.addMemory(r, files[0])
	}
	told, err := s.postpone([]memory.Region{r}, files)
	if err != nil {
		return none, err
	}
	return answer(SingleRegion{Region: told[0]}), nil
}

func (s *session) removeMemory(r memory.Region) error {
	if s.table == nil || !s.table.Has(r) {
		return nil
	}
	table, err := s.table.Without(r)
	if err != nil {
		return err
	}
	return s.setTable(table)
}

func (s *session) addMemory(r memory.Region, fd int) error {
	old := s.table
	if old == nil {
		old, _ = memory.NewTable() // of nothing
		defer old.Release()
	}
	if old.Has(r) {
		return nil
	}
	added, err := memory.Map(r, fd)
	if err != nil {
		return err
	}
	defer added.Release()
	table, err := old.With(added)
	if err != nil {
		return err
	}
	return s.setTable(table)
}

func (s *session) setTable(t *memory.Table) error {
	return s.change(func() error {
		if s.table != nil {
			s.table.Release()
		}
		s.table = t
		return nil
	})
}

// setLog sets where written pages are noted.
func (s *session) setLog(a LogArea, files Files) error {
	if len(files) != 1 || s.protocol&ProtocolLogShmFD == 0 {
		return fmt.Errorf("%w: a log without its file", ErrRefused)
	}
	table, err := mapOne(a.Size, a.Offset, files[0])
	if err != nil {
		return err
	}
	b, err := table.Slice(0, a.Size)
	if err != nil {
		return err
	}
	log, err := memory.NewLog(b)
	if err == nil && s.table != nil && !log.Covers(s.table.End()) {
		err = fmt.Errorf("%w: the log is too short", ErrRefused)
	}
	if err != nil {
		table.Release()
		return err
	}
	return s.change(func() error {
		s.dropLog()
		s.log, s.logTable = log, table
		return nil
	})
}

func (s *session) dropLog() {
	if s.logTable != nil {
		s.logTable.Release()
	}
	s.log, s.logTable = nil, nil
}
