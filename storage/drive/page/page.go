package page

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
)

//go:embed files
var files embed.FS

// policy lets the page load what comes with it and talk to its own server, and nothing
// else; a script that would have the browser parse a text as HTML throws an exception.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// headers are those of every answer.
var headers = map[string]string{
	"Content-Security-Policy":      policy,
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
	"Referrer-Policy":              "no-referrer",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Cache-Control":                "no-cache", // the browser asks each time, by the ETag
}

// types are the kinds of files that there are.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// A file is one of the page's.
type file struct{ text, kind, tag string }

// Handler serves the page: index.html at /, and what it consists of beside it.
func Handler() http.Handler {
	all := map[string]file{}
	entries, err := fs.ReadDir(files, "files")
	if err != nil {
		panic(err) // they are in the program
	}
	for _, e := range entries {
		text, err := fs.ReadFile(files, "files/"+e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(text)
		all["/"+e.Name()] = file{string(text), types[path.Ext(e.Name())], `"` + hex.EncodeToString(sum[:8]) + `"`}
	}
	all["/"] = all["/index.html"]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		for name, value := range headers {
			h.Set(name, value)
		}
		f, ok := all[r.URL.Path]
		switch {
		case !ok:
			http.Error(w, "There is no such page", http.StatusNotFound)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "This page can only be read", http.StatusMethodNotAllowed)
		case r.Header.Get("If-None-Match") == f.tag:
			h.Set("ETag", f.tag)
			w.WriteHeader(http.StatusNotModified)
		default:
			h.Set("ETag", f.tag)
			h.Set("Content-Type", f.kind)
			h.Set("Content-Length", fmt.Sprint(len(f.text)))
			if r.Method == http.MethodGet {
				fmt.Fprint(w, f.text)
			}
		}
	})
}
