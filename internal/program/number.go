package program

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Number is a flag.Value: a number with a unit, as 64, 1.5M or 64Ki.
type Number int64

var units = [...]struct {
	suffix string
	factor float64
}{
	{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"k", 1e3}, {"K", 1e3}, {"M", 1e6}, {"G", 1e9}, {"", 1},
}

// Set reads a number that is not negative.
func (n *Number) Set(s string) error {
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(digits, 64)
		if v *= u.factor; err != nil || !(v >= 0 && v < math.MaxInt64) {
			break
		}
		*n = Number(v)
		return nil
	}
	return fmt.Errorf("want a number like 5000, 100k, 1.5M, 2G or 64Ki")
}

func (n *Number) String() string { return strconv.FormatInt(int64(*n), 10) }

// BitRate is a number of bit/s with three digits and a unit.
func BitRate(r float64) string {
	for _, u := range [...]struct {
		least float64
		name  string
	}{{1e9, "Gbit/s"}, {1e6, "Mbit/s"}, {1e3, "kbit/s"}} {
		if r >= u.least {
			return fmt.Sprintf("%.3g %s", r/u.least, u.name)
		}
	}
	return fmt.Sprintf("%.3g bit/s", r)
}
