package nbd

import (
	"crypto/tls"
	"slices"
	"strings"
)

// A Server is the [catalog] of its negotiations.

func (s *Server) list(state *tls.ConnectionState, yield func(*served) bool) {
	s.mu.Lock()
	var all []*served
	for _, x := range s.exports {
		all = append(all, x)
	}
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b *served) int { return strings.Compare(a.Name, b.Name) })
	for _, x := range all {
		if x.visible(state) && !yield(x) {
			return
		}
	}
}

func (s *Server) find(state *tls.ConnectionState, name string) *served {
	s.mu.Lock()
	x := s.exports[name]
	if x == nil && name == "" {
		x = s.exports[s.DefaultExport]
		if x == nil && s.DefaultExport == "" && len(s.exports) == 1 {
			for _, only := range s.exports {
				x = only
			}
		}
	}
	s.mu.Unlock()
	if x == nil || !x.visible(state) {
		return nil
	}
	return x
}

func (s *Server) secrets() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.exports {
		if x.TLSOnly || x.Visible != nil {
			return true
		}
	}
	return false
}

func (s *Server) shutdown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}
