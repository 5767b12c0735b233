package imagestore

import (
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of names, in bytes: of a part what file systems take.
const (
	maxName      = 1024
	maxNamePart  = 255
	maxNameDepth = 16
)

// A NameError says why a text is not the name of an image.
type NameError struct {
	Name string // as it was given, cut to a length that can be shown
	Why  string
}

func (e *NameError) Error() string {
	return fmt.Sprintf("the argument %q is not a valid image name: %s", e.Name, e.Why)
}

// CleanName returns the name of an image in the one form that it has in a store: parts
// that are file names, joined by single slashes. White space around the name and its
// parts, and empty parts, are dropped. The error is a *NameError.
func CleanName(name string) (string, error) {
	refuse := func(why string) (string, error) {
		if len(name) > 64 {
			name = strings.ToValidUTF8(name[:64], "") + "..."
		}
		return "", &NameError{Name: name, Why: why}
	}
	if len(name) > 4*maxName {
		return refuse("it is too long")
	}
	if !utf8.ValidString(name) {
		return refuse("it is not UTF-8")
	}
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		part = strings.TrimSpace(part)
		switch {
		case part == "":
			continue
		case strings.HasPrefix(part, "."):
			return refuse("no part of it may begin with a dot")
		case part == "lost+found":
			return refuse("lost+found belongs to the file system")
		case len(part) > maxNamePart:
			return refuse(fmt.Sprintf("no part of it may be longer than %d bytes", maxNamePart))
		case strings.ContainsFunc(part, func(r rune) bool { return !unicode.IsPrint(r) }):
			return refuse("it has characters that cannot be printed")
		}
		parts = append(parts, part)
	}
	name = path.Join(parts...)
	switch {
	case len(parts) == 0:
		return refuse("it is empty")
	case len(parts) > maxNameDepth:
		return refuse(fmt.Sprintf("it has more than %d parts", maxNameDepth))
	case len(name) > maxName:
		return refuse(fmt.Sprintf("it is longer than %d bytes", maxName))
	}
	return name, nil
}

// isName says whether a path below images/ is in the form of CleanName: other files
// there are not shown.
func isName(name string) bool {
	clean, err := CleanName(name)
	return err == nil && clean == name
}
