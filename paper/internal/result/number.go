package result

import (
	"math"
	"strconv"
	"strings"
)

// Number is v with three digits that matter, or all of those before the
// point: 0.0123, 1.23, 61.2, 9,274.
func Number(v float64) string {
	if v == 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	s := strconv.FormatFloat(v, 'f', min(max(digits, 0), 6), 64)
	whole, fraction, found := strings.Cut(s, ".")
	if found {
		fraction = "." + fraction
	}
	return thousands(whole) + fraction
}

// thousands puts a comma before each group of three digits.
func thousands(whole string) string {
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	return sign + whole
}
