// Package counter turns structs of atomic counters into a table of names and
// values.
//
// Each layer has a struct whose fields are all atomic.Uint64. A field whose
// name begins with Drop counts packets that were dropped for that reason.
package counter

import (
	"reflect"
	"sync/atomic"
)

var uint64Type = reflect.TypeFor[atomic.Uint64]()

// Read calls yield for each counter of the struct that stats points to, with
// the name prefix + "." + field.
func Read(prefix string, stats any, yield func(name string, value uint64)) {
	v := reflect.ValueOf(stats).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		if f.Type() != uint64Type {
			panic("counter: " + v.Type().String() + "." + v.Type().Field(i).Name + " is not an atomic.Uint64")
		}
		yield(prefix+"."+v.Type().Field(i).Name, f.Addr().Interface().(*atomic.Uint64).Load())
	}
}
