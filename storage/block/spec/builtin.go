package spec

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/filter"
	"github.com/seed-012105e5/gonet/storage/block/httpdisk"
	"github.com/seed-012105e5/gonet/storage/block/overlay"
)

// Builtin is the kinds that need no other module, and the filters.
func Builtin() *Set {
	return &Set{
		[]Kind{memoryKind(), FileKind(block.FileConfig{}), overlayKind(), HTTPKind("http", nil), HTTPKind("https", nil)},
		[]Filter{
			{"ro", "takes no writes", wrapReadOnly},
			{"range", "OFFSET+LENGTH: only that part, as in 1M+64M", wrapRange},
			{"delay", "TIME: each read, write and sync takes so much longer, as in 5ms", wrapDelay},
			{"rate", "SIZE: so many bytes a second are read and written, as in 10M", wrapRate},
			{"fail", "RATE: so many of all calls fail, from 0 to 1", wrapFail},
			{"cow", "changes are kept in memory, and gone at the end", wrapCow},
			{"checksum", "fails reads of what is not as it was written", wrapChecksum},
		},
	}
}

func memoryKind() Kind {
	return Kind{
		Name: "memory", Arg: "SIZE", Usage: "memory, zeroes at first, as in memory:64M",
		Options: map[string]string{"limit": "SIZE: fails writes when so much of it holds data"},
		Open: func(_ context.Context, _ *Set, arg string, options Values) (block.Device, error) {
			size, err := ParseSize(arg)
			if err != nil {
				return nil, err
			}
			limit, err := options.Size("limit", 0)
			if err != nil {
				return nil, err
			}
			if limit > 0 {
				return block.NewMemoryLimit(size, limit), nil
			}
			return block.NewMemory(size), nil
		},
	}
}

// FileKind is the kind of files, opened as c says where the options say nothing.
func FileKind(c block.FileConfig) Kind {
	return Kind{
		Name: "file", Arg: "NAME", Usage: "a file or block special file",
		Options: map[string]string{
			"create": "makes the file if there is none",
			"size":   "SIZE: makes the file at least so large",
			"direct": "goes past the page cache",
			"shared": "does not lock the file against others",
			"ro":     "opens the file for reading only",
		},
		Open: func(_ context.Context, _ *Set, arg string, options Values) (block.Device, error) {
			c, err := fileConfig(c, options)
			if err != nil {
				return nil, err
			}
			if arg == "" {
				return nil, errors.New("there is no name")
			}
			return block.OpenFile(arg, c)
		},
	}
}

func fileConfig(c block.FileConfig, options Values) (block.FileConfig, error) {
	for name, to := range map[string]*bool{"create": &c.Create, "direct": &c.Direct, "shared": &c.Shared, "ro": &c.ReadOnly} {
		yes, err := options.Bool(name)
		if err != nil {
			return c, err
		}
		*to = *to || yes
	}
	var err error
	c.Size, err = options.Size("size", c.Size)
	return c, err
}

func overlayKind() Kind {
	return Kind{
		Name: "overlay", Arg: "NAME", Usage: "a file with the changes to another disk, which stays as it is",
		Options: map[string]string{
			"base":    "DISK: the other disk, as in base=file:golden.img, read-only",
			"cluster": "SIZE: what is copied at once, in a new overlay; 64K",
		},
		Open: func(ctx context.Context, set *Set, arg string, options Values) (block.Device, error) {
			cluster, err := options.Size("cluster", 0)
			if err != nil {
				return nil, err
			}
			if cluster > 1<<30 {
				return nil, fmt.Errorf("a cluster of %d bytes is too large", cluster)
			}
			if arg == "" || options["base"] == "" {
				return nil, errors.New("want the name of a file, and base=DISK")
			}
			p, err := Parse(options["base"])
			if err != nil {
				return nil, fmt.Errorf("base: %w", err)
			}
			p.Options = append(p.Options, Option{Name: "ro"})
			base, err := set.OpenSpec(ctx, p)
			if err != nil {
				return nil, fmt.Errorf("base: %w", err)
			}
			store, err := block.OpenFile(arg, block.FileConfig{Create: true})
			if err != nil {
				return nil, errors.Join(err, base.Close())
			}
			o, err := overlay.Open(base, store, overlay.Config{Cluster: int(cluster)})
			if err != nil {
				return nil, errors.Join(err, store.Close(), base.Close())
			}
			return o, nil
		},
	}
}

// HTTPKind is the kind of that URL scheme, http or https, by a client of the
// program's, so that it can be reached over another network. Nil is http.DefaultClient.
func HTTPKind(scheme string, client *http.Client) Kind {
	return Kind{
		Name: scheme, Arg: "//SERVER/FILE", Usage: "a file on a web server, read-only; options stand behind a #",
		Options: map[string]string{
			"block":     "SIZE: what is asked for at once; 256K",
			"cache":     "SIZE: what is kept; 64M",
			"readahead": "SIZE: what is fetched ahead; 1M",
		},
		Open: func(ctx context.Context, _ *Set, arg string, options Values) (block.Device, error) {
			unit, err := options.Size("block", 256<<10)
			cache, err2 := options.Size("cache", 64<<20)
			ahead, err3 := options.Size("readahead", 1<<20)
			if err := errors.Join(err, err2, err3); err != nil {
				return nil, err
			}
			if unit <= 0 || unit > 64<<20 {
				return nil, fmt.Errorf("block=%s: want 4K to 64M", options["block"])
			}
			c := httpdisk.Config{Client: client, Block: int(unit), Cache: cache, ReadAhead: int(min(ahead/unit, 1<<10))}
			if c.ReadAhead == 0 {
				c.ReadAhead = -1
			}
			return httpdisk.Open(ctx, arg, c)
		},
	}
}

// ifYes puts f before the device unless the option is written with "=false".
func ifYes(dev block.Device, value string, f func(block.Device) (block.Device, error)) (block.Device, error) {
	if yes, err := (Values{"the option": value}).Bool("the option"); err != nil || !yes {
		return dev, err
	}
	return f(dev)
}

func wrapReadOnly(dev block.Device, value string) (block.Device, error) {
	return ifYes(dev, value, func(dev block.Device) (block.Device, error) { return filter.ReadOnly(dev) })
}

func wrapCow(dev block.Device, value string) (block.Device, error) {
	return ifYes(dev, value, func(dev block.Device) (block.Device, error) { return overlay.InMemory(dev) })
}

func wrapChecksum(dev block.Device, value string) (block.Device, error) {
	return ifYes(dev, value, func(dev block.Device) (block.Device, error) { return filter.NewChecksum(dev) })
}

func wrapRange(dev block.Device, value string) (block.Device, error) {
	from, length, ok := strings.Cut(value, "+")
	off, err := ParseSize(from)
	if !ok || err != nil {
		return nil, fmt.Errorf("range=%s: want OFFSET+LENGTH, as in 1M+64M", value)
	}
	n, err := ParseSize(length)
	if err != nil {
		return nil, fmt.Errorf("range=%s: %w", value, err)
	}
	return filter.NewPartition(dev, off, n)
}

func wrapDelay(dev block.Device, value string) (block.Device, error) {
	d, err := Values{"delay": value}.Duration("delay", time.Duration(0))
	if err != nil {
		return nil, err
	}
	return filter.Delay(dev, filter.Read|filter.Changes|filter.Sync, d)
}

func wrapRate(dev block.Device, value string) (block.Device, error) {
	n, err := ParseSize(value)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("rate=%s: want bytes a second, as in 10M", value)
	}
	return filter.Limit(dev, filter.Read|filter.Write, n, n/10)
}

func wrapFail(dev block.Device, value string) (block.Device, error) {
	rate, err := strconv.ParseFloat(value, 64)
	if err != nil || !(rate >= 0 && rate <= 1) {
		return nil, fmt.Errorf("fail=%s: want a number from 0 to 1", value)
	}
	return filter.Fail(dev, filter.Faults{Rate: rate})
}
