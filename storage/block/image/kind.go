package image

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/spec"
)

// Kind is the kind image of specifications: image:disk.qcow2.
func Kind() spec.Kind {
	return spec.Kind{
		Name: "image", Arg: "NAME", Usage: "a qcow2 image, read-only",
		Options: map[string]string{
			"named": "folder, none or any: where files are that the image may name; folder, which is its own",
			"base":  "DISK: stands for the backing file that the image names, as in base=file:golden.img, read-only",
			"cache": "SIZE: what is kept of decompressed clusters; 32M",
		},
		Open: func(ctx context.Context, set *spec.Set, arg string, options spec.Values) (block.Device, error) {
			c, err := config(options)
			if err != nil {
				return nil, err
			}
			if arg == "" {
				return nil, errors.New("there is no name")
			}
			if options["base"] == "" {
				return OpenFile(arg, c)
			}
			p, err := spec.Parse(options["base"])
			if err != nil {
				return nil, fmt.Errorf("base: %w", err)
			}
			p.Options = append(p.Options, spec.Option{Name: "ro"})
			base, err := set.OpenSpec(ctx, p)
			if err != nil {
				return nil, fmt.Errorf("base: %w", err)
			}
			c.Base = base
			i, err := OpenFile(arg, c)
			if err != nil {
				return nil, errors.Join(err, base.Close())
			}
			return i, nil
		},
	}
}

func config(options spec.Values) (c Config, err error) {
	switch v := options["named"]; v {
	case "", "folder":
	case "none":
		c.Named = Nowhere
	case "any":
		c.Named = Anywhere
	default:
		return c, fmt.Errorf("named=%s: want folder, none or any", v)
	}
	c.Clusters, err = options.Size("cache", 0)
	return c, err
}
