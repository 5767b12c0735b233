package s3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/spec"
)

// Kind is the kind s3 of specifications: s3:BUCKET/NAME. The server is reached by dial,
// or by the kernel's network if that is nil. Who the user is says the environment, as
// [Config] has it.
func Kind(dial func(ctx context.Context, network, address string) (net.Conn, error)) spec.Kind {
	return spec.Kind{
		Name: "s3", Arg: "BUCKET/NAME", Usage: "a disk in a bucket; keys are in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
		Options: map[string]string{
			"endpoint": "URL: the server; https://s3.amazonaws.com",
			"region":   "NAME: of the server; us-east-1",
			"journal":  "NAME: a file where changes are durable until they are in the bucket; without one a flush waits for it",
			"log":      "SIZE: of the journal, when it is made; 256M",
			"create":   "makes the disk if there is none",
			"size":     "SIZE: of a disk that is made",
			"chunk":    "SIZE: of the objects of a disk that is made; 4M",
			"cache":    "SIZE: what is kept in memory; 256M",
			"ro":       "opens it as it was published last, and asks no writer",
			"takeover": "gives up what a silent writer has in its journal only",
		},
		Open: func(ctx context.Context, _ *spec.Set, arg string, options spec.Values) (block.Device, error) {
			c, log, err := config(arg, options)
			if err != nil {
				return nil, err
			}
			c.DialContext = dial
			if name := options["journal"]; name != "" && !c.ReadOnly {
				if c.Journal, err = block.OpenFile(name, block.FileConfig{Create: true, Size: log}); err != nil {
					return nil, fmt.Errorf("journal: %w", err)
				}
			}
			d, err := Open(ctx, c)
			if err != nil {
				if f, ok := c.Journal.(*block.File); ok {
					f.Close()
				}
				return nil, err
			}
			return d, nil
		},
	}
}

// config reads the options.
func config(arg string, options spec.Values) (c Config, log int64, err error) {
	arg = strings.TrimPrefix(strings.TrimPrefix(arg, "s3:"), "//") // as s3://BUCKET/NAME
	bucket, name, ok := strings.Cut(arg, "/")
	if !ok || bucket == "" || name == "" {
		return c, 0, errors.New("want s3:BUCKET/NAME")
	}
	c = Config{Bucket: bucket, Name: name, Endpoint: options["endpoint"], Region: options["region"]}
	for name, to := range map[string]*bool{"create": &c.Create, "ro": &c.ReadOnly, "takeover": &c.TakeOver} {
		var bad error
		*to, bad = options.Bool(name)
		err = errors.Join(err, bad)
	}
	size := func(name string, otherwise int64) int64 {
		n, bad := options.Size(name, otherwise)
		err = errors.Join(err, bad)
		return n
	}
	chunk := size("chunk", 0)
	if chunk > largestChunk {
		return c, 0, checkGeometry(0, largestChunk+1)
	}
	c.Chunk, c.Size, c.Cache = int(chunk), size("size", 0), size("cache", 0)
	log = size("log", 256<<20)
	if err == nil && c.Create && options["size"] == "" {
		err = errors.New("create wants size=SIZE")
	}
	return c, log, err
}
