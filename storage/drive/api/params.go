package api

import (
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
)

// A kind is what a parameter's text must be.
type kind uint8

const (
	text    kind = iota
	boolean      // 1, true, yes; 0, false, no
	integer      // from 0
	seconds      // a number from 0.1
	image        // the name of an image
	medium       // the name of an image, a URL, or nothing
	digest       // SHA-256 in hexadecimal
	choice       // one of variants
)

// A param is a parameter of a call, in the query of its URL.
type param struct {
	name     string
	kind     kind
	required bool
	variants []string
	usage    string
}

// maxText bounds the length of a parameter in bytes.
const maxText = 4096

// values are the parameters of a request that were given and are good.
type values struct {
	query url.Values
	flags map[string]bool
	names map[string]string
	ints  map[string]int64
	times map[string]float64
}

func (v *values) has(name string) bool { return v.query.Has(name) }

// read checks the parameters of a request. The first bad one is the error.
func (c *call) read(query url.Values) (*values, error) {
	v := &values{query: query, flags: map[string]bool{}, names: map[string]string{}, ints: map[string]int64{}, times: map[string]float64{}}
	for _, p := range c.params {
		if !query.Has(p.name) {
			if p.required {
				return nil, badField(p.name, "the argument is missing: want %s", p.usage)
			}
			continue
		}
		given := query.Get(p.name)
		if len(given) > maxText {
			return nil, badField(p.name, "the argument is longer than %d bytes", maxText)
		}
		if err := p.parse(v, strings.TrimSpace(given)); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (p *param) parse(v *values, given string) (err error) {
	switch p.kind {
	case text:
		v.names[p.name] = given
	case choice:
		given = strings.ToLower(given)
		if given != "" && !slices.Contains(p.variants, given) {
			return badField(p.name, "the argument %q is none of %s", given, strings.Join(p.variants, ", "))
		}
		v.names[p.name] = given
	case boolean:
		switch strings.ToLower(given) {
		case "1", "true", "yes":
			v.flags[p.name] = true
		case "0", "false", "no":
			v.flags[p.name] = false
		default:
			return badField(p.name, "the argument %q is not a valid bool: want 1, true, yes, 0, false or no", shorten(given))
		}
	case integer:
		n, err := strconv.ParseInt(given, 10, 64)
		if err != nil || n < 0 {
			return badField(p.name, "the argument %q is not a number from 0", shorten(given))
		}
		v.ints[p.name] = n
	case seconds:
		f, err := strconv.ParseFloat(given, 64)
		if err != nil || !(f >= 0.1 && f <= 7*24*3600) {
			return badField(p.name, "the argument %q is not a number of seconds from 0.1", shorten(given))
		}
		v.times[p.name] = f
	case digest:
		if b, err := hex.DecodeString(given); err != nil || len(b) != 32 {
			return badField(p.name, "the argument %q is not a SHA-256 in hexadecimal", shorten(given))
		}
		v.names[p.name] = strings.ToLower(given)
	case image:
		v.names[p.name], err = cleanName(p.name, given)
	case medium:
		if given != "" && !isRemote(given) {
			given, err = cleanName(p.name, given)
		}
		v.names[p.name] = given
	}
	return err
}

// cleanName is imagestore.CleanName with the parameter named.
func cleanName(field, name string) (string, error) {
	clean, err := imagestore.CleanName(name)
	if err != nil {
		return "", badField(field, "%s", err)
	}
	return clean, nil
}

// shorten cuts what is shown of a bad argument.
func shorten(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "..."
	}
	return s
}

// maxParams bounds the parameters of a request.
const maxParams = 64

// parseQuery is url.ParseQuery with a bound.
func parseQuery(raw string) (url.Values, error) {
	if n := strings.Count(raw, "&"); n >= maxParams {
		return nil, fmt.Errorf("more than %d arguments", maxParams)
	}
	return url.ParseQuery(raw)
}
