package ip

import "sync/atomic"

// A CurrentTable is the Table that holds at the moment. Its one owner stores a
// changed one in it; all others load it, once for each packet or burst, and see
// either the one before or the one after, whole.
type CurrentTable struct{ atomic.Pointer[Table] }

// Publish returns a CurrentTable that holds t.
func Publish(t *Table) *CurrentTable {
	c := &CurrentTable{}
	c.Store(t)
	return c
}
