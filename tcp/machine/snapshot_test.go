package machine

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"github.com/seed-012105e5/gonet/packet"
)

// A snapshot is all that a machine knows: every byte that can be reached from
// it, but the text, the configuration, and the counters.
type snapshot struct {
	tcb      TCB
	transfer Transfer
	regions  [][]byte // copies, in the order in which walk finds them
}

func takeSnapshot(t *TCB) snapshot {
	s := snapshot{tcb: *t, transfer: *t.Transfer}
	walk(t, func(p []byte) { s.regions = append(s.regions, slices.Clone(p)) })
	return s
}

// changed says in what t differs from the snapshot, except in the fields that
// except names; "" for nothing.
func (s *snapshot) changed(t *TCB, except ...string) string {
	// What the fields may hold is put back, so that the bytes are the same.
	now, act := *t, *t.Transfer
	defer func() { *t.Transfer = act; *t = now }()
	for _, name := range except {
		put(reflect.ValueOf(t.Transfer).Elem(), reflect.ValueOf(&s.transfer).Elem(), name)
	}
	same, i := true, 0
	walk(t, func(p []byte) {
		same = same && i < len(s.regions) && string(p) == string(s.regions[i])
		i++
	})
	if same && i == len(s.regions) {
		return ""
	}
	var names []string
	transferNow := *t.Transfer
	names = differ(names, "", reflect.ValueOf(&s.tcb).Elem(), reflect.ValueOf(&now).Elem())
	names = differ(names, "", reflect.ValueOf(&s.transfer).Elem(), reflect.ValueOf(&transferNow).Elem())
	if len(names) == 0 && i == len(s.regions) {
		var at []int
		i = 0
		walk(t, func(p []byte) {
			if string(p) != string(s.regions[i]) {
				at = append(at, i)
			}
			i++
		})
		if len(at) == 0 || at[0] < 2 { // the padding of the structs themselves
			return ""
		}
		return fmt.Sprintf("what is pointed to, regions %v", at)
	}
	return strings.Join(names, ", ")
}

// put copies the field name of from.
func put(to, from reflect.Value, name string) {
	f, g := to.FieldByName(name), from.FieldByName(name)
	reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem().Set(reflect.NewAt(g.Type(), g.Addr().UnsafePointer()).Elem())
}

// differ appends the names of the fields in which a and b differ.
func differ(names []string, path string, a, b reflect.Value) []string {
	if a.Kind() == reflect.Struct && a.NumField() > 0 {
		for i := range a.NumField() {
			names = differ(names, path+"."+a.Type().Field(i).Name, a.Field(i), b.Field(i))
		}
		return names
	}
	if x, y := fmt.Sprintf("%v", a), fmt.Sprintf("%v", b); x != y {
		names = append(names, fmt.Sprintf("%s was %s, is %s", strings.TrimPrefix(path, "."), x, y))
	}
	return names
}

// walk calls f with the memory of t and of all that it points to.
func walk(t *TCB, f func([]byte)) {
	region(unsafe.Pointer(t), unsafe.Sizeof(*t), f)
	region(unsafe.Pointer(t.Transfer), unsafe.Sizeof(*t.Transfer), f)
	follow(reflect.ValueOf(t).Elem(), f)
	follow(reflect.ValueOf(t.Transfer).Elem(), f)
}

func region(p unsafe.Pointer, n uintptr, f func([]byte)) {
	if n > 0 {
		f(unsafe.Slice((*byte)(p), n))
	}
}

// notFollowed are types that are no part of a connection, or followed already.
var notFollowed = []reflect.Type{
	reflect.TypeFor[*Config](), reflect.TypeFor[*Stats](), reflect.TypeFor[*SocketOptions](),
	reflect.TypeFor[*packet.Buffer](), reflect.TypeFor[*Transfer](), reflect.TypeFor[error](),
}

// pointing remembers which types point to something that is to be followed.
var pointing sync.Map

func points(t reflect.Type) bool {
	if p, ok := pointing.Load(t); ok {
		return p.(bool)
	}
	p := false
	switch {
	case slices.Contains(notFollowed, t) || t.PkgPath() == "time":
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			p = p || points(t.Field(i).Type)
		}
	case t.Kind() == reflect.Array:
		p = points(t.Elem())
	default:
		p = t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface
	}
	pointing.Store(t, p)
	return p
}

// follow looks for what v points to.
func follow(v reflect.Value, f func([]byte)) {
	if !points(v.Type()) {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			follow(v.Field(i), f)
		}
	case reflect.Array:
		for i := range v.Len() {
			follow(v.Index(i), f)
		}
	case reflect.Slice:
		if v.Len() > 0 {
			region(v.UnsafePointer(), uintptr(v.Len())*v.Type().Elem().Size(), f)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			region(v.UnsafePointer(), v.Type().Elem().Size(), f)
			follow(v.Elem(), f)
		}
	case reflect.Interface:
		if !v.IsNil() {
			follow(v.Elem(), f)
		}
	}
}
