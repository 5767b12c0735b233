package spec

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ParseSize reads a number of bytes: digits, and perhaps one of the letters K, M, G,
// T, P, E, which stand for powers of 1024. Small letters are as good, and "B" or
// "iB" may follow a letter: "64M", "64MiB" and "67108864" are the same.
func ParseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "kmgtpeKMGTPEiB")
	shift := 0
	if unit := s[len(digits):]; unit != "" {
		letter := strings.TrimSuffix(strings.TrimSuffix(unit, "B"), "i")
		i := strings.Index("KMGTPE", strings.ToUpper(letter))
		if len(letter) != 1 || i < 0 || unit == letter+"i" {
			return 0, fmt.Errorf("%q is no size: %q is no unit (K, M, G, T, P or E)", s, unit)
		}
		shift = 10 * (i + 1)
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%q is no size: want digits and perhaps K, M, G, T, P or E, as in 64M", s)
	}
	if n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("the size %q is too large: at most %d bytes", s, int64(math.MaxInt64))
	}
	return int64(n) << shift, nil
}

// FormatSize writes a number of bytes as ParseSize reads it, as short as is exact.
func FormatSize(n int64) string {
	i := -1
	for n != 0 && n%1024 == 0 && i < 5 {
		n, i = n/1024, i+1
	}
	if i < 0 {
		return strconv.FormatInt(n, 10)
	}
	return strconv.FormatInt(n, 10) + "KMGTPE"[i:i+1]
}
