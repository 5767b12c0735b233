package sim

import (
	"hash"

	"github.com/seed-012105e5/gonet/link"
)

// hashed is a hash as a writer.
type hashed struct{ hash.Hash }

// RedFor are some ways to manage a queue.
var RedFor = []link.Manager{nil, link.RED{Min: 10}, link.CoDel{}}
