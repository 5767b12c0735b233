package block_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
)

// BenchmarkDisk reads and writes at random offsets of 64 MB that are all written,
// from as many goroutines as there are processors.
func BenchmarkDisk(b *testing.B) {
	const size = 64 << 20
	for name, open := range map[string]func(b *testing.B) (block.Device, error){
		"Memory": func(*testing.B) (block.Device, error) { return block.NewMemory(size), nil },
		"Bytes":  func(*testing.B) (block.Device, error) { return block.Adapt(make([]byte, size)) },
		"File": func(b *testing.B) (block.Device, error) {
			return block.OpenFile(filepath.Join(b.TempDir(), "disk"), block.FileConfig{Create: true, Size: size})
		},
		"Blocks512": func(*testing.B) (block.Device, error) {
			return blocks{block.NewMemory(size)}, nil
		},
	} {
		dev, err := open(b)
		if err != nil {
			b.Fatal(err)
		}
		d, err := block.NewDisk(dev)
		if err != nil {
			b.Fatal(err)
		}
		if err := d.WriteZeroes(0, size, block.ZeroNoHole); err != nil {
			b.Fatal(err)
		}
		for _, length := range []int{4 << 10, 256 << 10} {
			for _, write := range []bool{false, true} {
				call := d.ReadAt
				if write {
					call = d.WriteAt
				}
				b.Run(fmt.Sprintf("%s/%dK/write=%v", name, length>>10, write), func(b *testing.B) {
					b.SetBytes(int64(length))
					b.ReportAllocs()
					b.RunParallel(func(pb *testing.PB) {
						r := rand.New(rand.NewPCG(rand.Uint64(), 0))
						p := make([]byte, length)
						for pb.Next() {
							if _, err := call(p, r.Int64N(size/int64(length))*int64(length)); err != nil {
								b.Error(err)
							}
						}
					})
				})
			}
		}
		d.Close()
	}
}

// blocks has writes go through the table of ranges.
type blocks struct{ *block.Memory }

func (blocks) BlockSizes() block.BlockSizes { return block.BlockSizes{Minimum: 512} }
