package page

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/storage/internal/testing/chromium"
)

// testUploads uploads by the chooser and by drag and drop, several at once.
func testUploads(t *testing.T, b *chromium.Browser) {
	w := newWorld(t)
	p := w.open(t, b, "upload")
	p.Sees("There are no images yet.")
	p.Until("there is room", `find(".part", "free of")`)
	one, empty := newFile(t, "one.iso", 100<<10), newFile(t, "empty.img", 0)
	p.Files("#files", one, empty)
	p.Sees("one.iso is complete.")
	p.Sees("empty.img is complete.")
	w.has("one.iso", one)
	w.has("empty.img", empty)
	p.Until("the row says what it is", row("one.iso")+`.querySelector(".facts").textContent.startsWith("CD or DVD · 102 kB · ")`)

	w.holdAt(10 << 10)
	var files []string
	for i := range 4 {
		files = append(files, newFile(t, fmt.Sprintf("disk-%d.img", i), 60<<10))
	}
	p.Click("#folder", "")
	p.Type("disks")
	p.Drag(false, files...)
	p.Until("the page says that files can be dropped", `document.body.classList.contains("dropping")`)
	p.Drag(true, files...)
	p.Until("two wait", `[...document.querySelectorAll("#images .facts")].filter((f) => f.textContent.includes("waits for its turn")).length === 2`)
	p.Until("two are on their way", row("disks/disk-0.img")+`.querySelector("progress").value > 0 && `+row("disks/disk-1.img")+`.querySelector("progress").value > 0`)
	p.Click(`button[aria-label="Cancel the upload of disks/disk-3.img"]`, "")
	p.Click("dialog button", "Cancel the upload")
	p.Until("it is gone", "!"+row("disks/disk-3.img"))
	p.Click(`button[aria-label="Cancel the upload of disks/disk-1.img"]`, "")
	p.Click("dialog button", "Cancel the upload")
	w.cut()
	p.Until("it is gone", "!"+row("disks/disk-1.img"))
	for _, name := range []string{"disks/disk-0.img", "disks/disk-2.img"} {
		p.Until(name+" is complete", row(name)+`.querySelector(".facts").textContent.startsWith("raw · ")`)
	}
	w.has("disks/disk-0.img", files[0])
	w.has("disks/disk-2.img", files[2])
	if state, _ := w.store.State(); len(state.Images) != 4 || len(state.Uploads) != 0 {
		t.Errorf("there are %v and %v", state.Images, state.Uploads)
	}

	p.Drag(true, files[0])
	p.Sees("There is an image disks/disk-0.img already.")
	p.Click("#messages button", "Dismiss")
	p.Click(`button[aria-label="Remove disks/disk-0.img"]`, "")
	p.Sees("disks/disk-0.img is gone then for everyone")
	p.Click("dialog button", "Cancel")
	p.Click(`button[aria-label="Remove disks/disk-0.img"]`, "")
	p.Click("dialog button", "Remove")
	p.Until("it is gone", "!"+row("disks/disk-0.img"))
}

// testNames has images with names that are HTML: they are shown as they are.
func testNames(t *testing.T, b *chromium.Browser) {
	w := newWorld(t)
	names := []string{"<img src=x onerror=pwned=1>", "\"><script>pwned=1<", "'`${pwned=1}&lt;&amp;.iso", "__proto__", "constructor", "ünï–ノ.img"}
	for _, name := range names {
		w.put(name, []byte("data"))
	}
	p := w.open(t, b, "upload")
	for _, name := range names {
		p.Until("there is "+name, row(name))
		p.Until("it can be chosen", fmt.Sprintf(`[...document.querySelector(".drive select").options].some((o) => o.text === %q && o.value === %q)`, name, name))
	}
	file := newFile(t, "<b onclick=pwned=1>x.img", 10<<10)
	w.holdAt(1 << 10)
	p.Files("#files", file)
	p.Until("it is on its way", row(filepath.Base(file))+`.querySelector("progress").value > 0`)
	w.letGo()
	p.Sees(filepath.Base(file) + " is complete.")
	p.Click(`button[aria-label^="Remove <img"]`, "")
	p.Sees(names[0] + " is gone then")
	p.Click("dialog button", "Remove")
	p.Until("it is gone", "!"+row(names[0]))
	p.Until("nothing was run or made of names", `window.pwned === undefined && !document.querySelector("img, li b, li script")`)
}

// testInterrupted interrupts an upload by everything: a pause, the end of the server, and
// its beginning again, which ends the session. It goes on each time.
func testInterrupted(t *testing.T, b *chromium.Browser) {
	w := newWorld(t)
	p := w.open(t, b, "upload")
	const size = 12 << 20
	file := newFile(t, "large.img", size)
	w.holdAt(size / 3)
	p.Files("#files", file)
	here := row("large.img")
	waitUpload(t, w, "large.img", size/3)
	p.Until("it shows how far it is", here+`.querySelector(".facts").textContent.includes(" %)")`)
	p.Click("button", "Pause")
	p.Until("it is paused", here+`.querySelector(".facts").textContent.startsWith("Paused: ")`)
	p.Until("the focus is where it goes on", `document.activeElement.textContent === "Go on"`)
	w.cut()
	w.holdAt(size / 2)
	p.Click("button", "Go on")
	waitUpload(t, w, "large.img", size/2)
	if offsets := w.offsets(); len(offsets) < 2 || offsets[0] != "0" || offsets[len(offsets)-1] == "0" {
		t.Errorf("the requests began at %v", offsets)
	}

	w.stop()
	p.Until("the page says that it has no connection", `find("#link", "Not connected")`)
	p.Until("the row says so, too", here+`.querySelector(".facts").textContent.includes("It goes on by itself")`)
	w.start("drive")
	p.Until("somebody has to sign in", `find("#signin")`)
	signIn(p, "upload", "upload")
	p.Sees("large.img is complete.")
	w.has("large.img", file)
	if offsets := w.offsets(); len(offsets) == 0 || offsets[len(offsets)-1] == "0" {
		t.Errorf("the last request began at %v", offsets)
	}
	p.Until("the page is live", `find("#link", "Live")`)
}

// testAgain loads the page anew while a file is on its way, and chooses it again; and
// another file of the same name.
func testAgain(t *testing.T, b *chromium.Browser) {
	w := newWorld(t)
	p := w.open(t, b, "upload")
	const size = 4 << 20
	file := newFile(t, "large.img", size)
	w.holdAt(size / 2)
	begin := func() {
		t.Helper()
		p.Reload()
		w.cut()
		p.Until("it is incomplete", row("large.img")+`.querySelector(".facts").textContent.startsWith("Incomplete: 2.")`)
	}
	p.Files("#files", file)
	waitUpload(t, w, "large.img", size/2)
	begin()
	w.offsets()
	p.Files("#files", file)
	p.Sees("large.img is complete.")
	w.has("large.img", file)
	if offsets := w.offsets(); len(offsets) != 1 || offsets[0] == "0" {
		t.Errorf("the requests began at %v", offsets)
	}

	p.Click("button", "Remove")
	p.Click("dialog button", "Remove")
	p.Until("it is gone", "!"+row("large.img"))
	w.holdAt(size / 2)
	p.Files("#files", file)
	waitUpload(t, w, "large.img", size/2)
	begin()
	other, shorter := newFile(t, "large.img", size), newFile(t, "large.img", size/4)
	data, _ := os.ReadFile(other)
	data[0]++
	if err := os.WriteFile(other, data, 0o666); err != nil {
		t.Fatal(err)
	}
	p.Files("#files", other)
	p.Sees("have come before. Go on only if this is the same file.")
	p.Click("dialog button", "Cancel")
	p.Until("it is incomplete as before", row("large.img")+`.querySelector(".facts").textContent.startsWith("Incomplete: 2.")`)
	p.Files("#files", other)
	p.Click("dialog button", "Start again")
	p.Sees("large.img is complete.")
	w.has("large.img", other)

	p.Click("button", "Remove")
	p.Click("dialog button", "Remove")
	p.Until("it is gone", "!"+row("large.img"))
	w.holdAt(size / 2)
	p.Files("#files", file)
	waitUpload(t, w, "large.img", size/2)
	begin()
	p.Files("#files", shorter)
	p.Sees("An upload of this name was interrupted that had another size")
	p.Click("dialog button", "Replace it")
	p.Sees("large.img is complete.")
	w.has("large.img", shorter)
}

// waitUpload waits until so much of an upload has come.
func waitUpload(t *testing.T, w *world, name string, at int64) {
	t.Helper()
	late := time.After(chromium.Patience)
	for {
		s, changed := w.store.State()
		if s.Uploads[name].Done >= at {
			return
		}
		select {
		case <-changed:
		case <-time.After(20 * time.Millisecond): // of bytes that come within a second the store does not tell
		case <-late:
			t.Fatalf("the upload has come to %d of %d", s.Uploads[name].Done, at)
		}
	}
}

// testFetches fetches by URL: one that is there, one that is stopped and goes on, one that
// is cancelled, and one that is not there.
func testFetches(t *testing.T, b *chromium.Browser) {
	w := newWorld(t)
	p := w.open(t, b, "upload")
	let := make(chan struct{})
	file := newFile(t, "far.iso", 3<<20)
	far := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow.iso" && r.Header.Get("Range") == "" {
			rw.Header().Set("Content-Length", fmt.Sprint(3<<20))
			f, _ := os.Open(file)
			defer f.Close()
			io.CopyN(rw, f, 1<<20)
			rw.(http.Flusher).Flush()
			select {
			case <-let:
			case <-r.Context().Done():
			}
			return
		}
		if r.URL.Path == "/none.iso" {
			http.NotFound(rw, r)
			return
		}
		http.ServeFile(rw, r, file)
	}))
	defer far.Close()
	defer close(let)
	fetch := func(url string) {
		t.Helper()
		p.Click("button", "Fetch from a URL")
		p.Type(far.URL + url)
		p.Click("#fetch-dialog button", "Fetch")
	}
	fetch("/far.iso")
	p.Sees("far.iso is complete.")
	w.has("far.iso", file)
	fetch("/none.iso")
	p.Sees("404 Not Found")
	fetch("/slow.iso")
	p.Until("it is on its way", row("slow.iso")+`.querySelector(".facts").textContent.includes("being fetched") && `+row("slow.iso")+`.querySelector("progress").value > 0`)
	waitUpload(t, w, "slow.iso", 1<<20)
	p.Click(`button[aria-label="Pause slow.iso"]`, "")
	p.Until("it has stopped", row("slow.iso")+`.querySelector(".facts").textContent.includes("The fetch can go on.")`)
	p.Click(`button[aria-label="Go on slow.iso"]`, "")
	p.Sees("slow.iso is complete.")
	w.has("slow.iso", file)
	p.Click(`button[aria-label="Remove slow.iso"]`, "")
	p.Click("dialog button", "Remove")
	p.Until("it is gone", "!"+row("slow.iso"))
	fetch("/slow.iso")
	p.Until("it is on its way", row("slow.iso")+`.querySelector("progress").value > 0`)
	p.Click(`button[aria-label="Cancel the upload of slow.iso"]`, "")
	p.Click("dialog button", "Cancel the upload")
	p.Until("it is gone", "!"+row("slow.iso"))
	if state, _ := w.store.State(); len(state.Uploads) != 0 {
		t.Errorf("there are uploads %v", state.Uploads)
	}
}
