//go:build !linux

package memory

// await is for memory that is mapped, which only Linux has here.
func (m *Mapping) await([]byte) {}
