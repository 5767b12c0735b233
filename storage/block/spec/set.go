package spec

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/seed-012105e5/gonet/storage/block"
)

// A Kind is a kind of devices.
type Kind struct {
	Name    string
	Usage   string            // one line: "a file or block special file"
	Arg     string            // what follows the colon, as usage shows it: "NAME"
	Options map[string]string // by name, one line of usage each
	// Open makes the device. Arg and options are as they were written, and the
	// options are among Options. Set opens devices that the options name.
	Open func(ctx context.Context, set *Set, arg string, options Values) (block.Device, error)
}

// A Filter is an option that every kind takes: it puts a device before another.
type Filter struct {
	Name  string
	Usage string
	Wrap  func(dev block.Device, value string) (block.Device, error)
}

// A Set is the kinds and filters that there are. It is a value: [Builtin] makes one,
// and With one with more.
type Set struct {
	kinds   []Kind
	filters []Filter
}

// With is the set and more kinds. One that has a name of the set's takes its place.
func (s *Set) With(kinds ...Kind) *Set {
	all := slices.DeleteFunc(slices.Clone(s.kinds), func(old Kind) bool {
		return slices.ContainsFunc(kinds, func(k Kind) bool { return k.Name == old.Name })
	})
	return &Set{append(all, kinds...), s.filters}
}

// WithFilters is the set and more filters.
func (s *Set) WithFilters(filters ...Filter) *Set {
	return &Set{s.kinds, append(slices.Clone(s.filters), filters...)}
}

// Open opens the device that the specification describes. Filters are put before it
// in the order in which they were written. The result must be closed.
func (s *Set) Open(ctx context.Context, specification string) (*block.Disk, error) {
	p, err := Parse(specification)
	if err != nil {
		return nil, err
	}
	return s.OpenSpec(ctx, p)
}

// OpenSpec is Open of a specification that has been taken apart.
func (s *Set) OpenSpec(ctx context.Context, p Spec) (*block.Disk, error) {
	k, err := s.kind(p)
	if err != nil {
		return nil, err
	}
	values := Values{}
	var filters []Option
	for _, o := range p.Options {
		if _, ok := k.Options[o.Name]; ok {
			values[o.Name] = o.Value
		} else if s.filter(o.Name) != nil {
			filters = append(filters, o)
		} else {
			return nil, fmt.Errorf("%s: there is no option %q; there are %s", p, o.Name, strings.Join(s.options(k), ", "))
		}
	}
	dev, err := k.Open(ctx, s, p.Arg, values)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	d, err := s.wrap(dev, filters)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	return d, nil
}

// wrap puts filters before the device, or closes it.
func (s *Set) wrap(dev block.Device, filters []Option) (*block.Disk, error) {
	var err error
	for _, f := range filters {
		var wrapped block.Device
		if wrapped, err = s.filter(f.Name).Wrap(dev, f.Value); err != nil {
			break
		}
		dev = wrapped
	}
	if err == nil {
		var d *block.Disk
		if d, err = block.NewDisk(dev); err == nil {
			return d, nil
		}
	}
	if c, ok := dev.(io.Closer); ok {
		c.Close()
	}
	return nil, err
}

func (s *Set) kind(p Spec) (Kind, error) {
	var names []string
	for _, k := range s.kinds {
		if k.Name == p.Kind {
			return k, nil
		}
		names = append(names, k.Name)
	}
	return Kind{}, fmt.Errorf("%s: there is no kind %q of disks; there are %s", p, p.Kind, strings.Join(names, ", "))
}

func (s *Set) filter(name string) *Filter {
	for i := range s.filters {
		if s.filters[i].Name == name {
			return &s.filters[i]
		}
	}
	return nil
}

// options are the names that the kind takes.
func (s *Set) options(k Kind) (names []string) {
	for name := range k.Options {
		names = append(names, name)
	}
	for _, f := range s.filters {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return names
}

// Usage describes all kinds and options in lines of text.
func (s *Set) Usage() string {
	var b strings.Builder
	for _, k := range s.kinds {
		fmt.Fprintf(&b, "  %-28s %s\n", k.Name+":"+k.Arg, k.Usage)
		for _, name := range slices.Sorted(maps.Keys(k.Options)) {
			fmt.Fprintf(&b, "    ,%-25s %s\n", name, k.Options[name])
		}
	}
	b.WriteString("  of all kinds\n")
	for _, f := range s.filters {
		fmt.Fprintf(&b, "    ,%-25s %s\n", f.Name, f.Usage)
	}
	return b.String()
}
