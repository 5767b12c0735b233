package page

import (
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/internal/testing/chromium"
)

// card is what is in the card of a drive, as an expression.
func card(name, selector string) string {
	return `document.querySelector('[aria-labelledby="drive-` + name + `"]').querySelector('` + selector + `')`
}

// choose chooses an image for a drive.
func choose(p *chromium.Page, name, image string) {
	p.Until("the image can be chosen", card(name, "select")+`.disabled === false && [...`+card(name, "select")+`.options].some((o) => o.value === "`+image+`")`)
	p.Eval(`(() => { const s = `+card(name, "select")+`; s.value = "`+image+`"; s.dispatchEvent(new Event("change")); })()`, nil)
}

const (
	oneConnect = `[aria-labelledby="drive-one"] button.main`
	twoConnect = `[aria-labelledby="drive-two"] button.main`
)

// testDrives chooses, connects, disconnects, and takes a medium away that a machine holds,
// with two drives.
func testDrives(t *testing.T, b *chromium.Browser) {
	w := newWorld(t, "one", "two")
	w.put("a.iso", make([]byte, 1<<20))
	w.put("b.img", make([]byte, 1<<20))
	p := b.Open(t, w.url())
	signIn(p, "upload", "upload")
	choose(p, "one", "a.iso")
	p.Until("an .iso is a CD-ROM by itself", card("one", ".switch input")+".checked")
	p.Until("machines cannot write it", card("one", ".switch:nth-of-type(2) input")+".disabled")
	choose(p, "two", "b.img")
	p.Until("the drive has it", `find('[aria-labelledby="drive-two"] .status', "Disconnected")`)
	p.Click(`[aria-labelledby="drive-two"] .switch`, "Machines may write")
	waitDrive(t, w.drives[1], func(s drive.State) bool { return s.RW })
	p.Click(oneConnect, "Connect")
	p.Click(twoConnect, "Connect")
	p.Until("one is connected", `find('[aria-labelledby="drive-one"] .status', "Connected: a CD-ROM")`)
	p.Until("two is connected", `find('[aria-labelledby="drive-two"] .status', "Connected: a disk that machines may write")`)
	p.Until("nothing can be chosen", card("one", "select")+".disabled && "+card("one", ".switch input")+".disabled")
	w.shelves["one"].at(func(s *shelfState) {
		if s.medium == nil || !s.medium.CDROM || s.medium.Name != "a.iso" {
			t.Errorf("the backend has %+v", s.medium)
		}
	})
	p.Until("the images cannot be removed", `!find('button[aria-label="Remove a.iso"]') && !find('button[aria-label="Remove b.img"]') && find(".image", "in a drive")`)

	w.shelves["one"].at(func(s *shelfState) { s.locked = true })
	p.Click(oneConnect, "Disconnect")
	p.Sees("A machine uses it and does not let it go.")
	p.Click("dialog button", "Cancel")
	p.Until("it is connected still", `find('[aria-labelledby="drive-one"] .status', "Connected: a CD-ROM")`)
	p.Click(oneConnect, "Disconnect")
	p.Click("dialog button", "Take it away")
	p.Until("it is disconnected", `find('[aria-labelledby="drive-one"] .status', "Disconnected")`)
	w.shelves["one"].at(func(s *shelfState) {
		if s.medium != nil {
			t.Error("the backend has a medium")
		}
	})
	w.shelves["two"].at(func(s *shelfState) { s.medium.Ejected() }) // a machine ejects
	p.Until("the page shows it", `find('[aria-labelledby="drive-two"] .status', "Disconnected")`)
	p.Click(`[aria-labelledby="drive-two"] button`, "Reset")
	p.Click("dialog button", "Reset")
	p.Until("it is empty", `find('[aria-labelledby="drive-two"] .status', "Empty")`)
}

// waitDrive waits for a state of a drive.
func waitDrive(t *testing.T, d *drive.Drive, ok func(drive.State) bool) {
	t.Helper()
	late := time.After(chromium.Patience)
	for {
		s, changed := d.State()
		if ok(s) {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("the drive is %+v", s)
		}
	}
}

// testErrors has calls fail: what has gone wrong is shown, and stays until it is dismissed.
func testErrors(t *testing.T, b *chromium.Browser) {
	w := newWorld(t, "one")
	w.put("a.iso", make([]byte, 1<<10))
	w.put("fixed/b.iso", make([]byte, 1<<10))
	p := b.Open(t, w.url())
	signIn(p, "upload", "upload")
	choose(p, "one", "a.iso")
	w.shelves["one"].at(func(s *shelfState) { s.insert = drive.ErrPermission })
	p.Click(oneConnect, "Connect")
	p.Sees("Drive one: The server may not read or write this. See the permissions of its files.")
	p.Until("it is an alert", `find("[role=alert]", "Drive one")`)
	p.Click("#messages button", "Dismiss")
	p.Until("it is gone", `!find(".message")`)
	w.shelves["one"].at(func(s *shelfState) { s.insert = nil })
	p.Click(oneConnect, "Connect")
	p.Until("it is connected", `find('[aria-labelledby="drive-one"] .status', "Connected")`)
	p.Until("what is fixed cannot be removed", row("fixed/b.iso")+` && !find('button[aria-label="Remove fixed/b.iso"]')`)

	file := newFile(t, ".hidden.img", 100) // a name that the store does not take
	p.Files("#files", file)
	p.Until("the row says why", `find("#images .failed", "Failed: image: ")`)
	p.Click(`button[aria-label^="Cancel the upload"]`, "")
	p.Click("dialog button", "Cancel the upload")
	p.Until("it is gone", `!find("#images .failed")`)

	p.Click("#folder", "")
	p.Type("fixed")
	p.Files("#files", newFile(t, "c.img", 100))
	p.Until("the row says why", `find("#images .failed", "This image is fixed")`)
}

// testTraffic has a machine read and write: the plot shows it.
func testTraffic(t *testing.T, b *chromium.Browser) {
	w := newWorld(t, "one")
	w.put("b.img", make([]byte, 4<<20))
	p := b.Open(t, w.url())
	signIn(p, "operate", "operate")
	choose(p, "one", "b.img")
	p.Click(`.switch`, "Machines may write")
	waitDrive(t, w.drives[0], func(s drive.State) bool { return s.RW })
	p.Click(oneConnect, "Connect")
	p.Until("it is connected", `find('.status', "Connected")`)
	p.Until("nothing was read", `find("figcaption .read", "Reads 0 B/s, 0 B in all")`)
	work := func(f func(d *drive.Medium) (int, error)) {
		t.Helper()
		w.shelves["one"].at(func(s *shelfState) {
			if _, err := f(s.medium); err != nil {
				t.Error(err)
			}
		})
	}
	work(func(m *drive.Medium) (int, error) { return m.Disk.ReadAt(make([]byte, 2<<20), 0) })
	work(func(m *drive.Medium) (int, error) { return m.Disk.WriteAt(make([]byte, 1<<20), 0) })
	p.Until("it shows what was read", `find("figcaption .read", "2.10 MB in all")`)
	p.Until("it shows what was written", `find("figcaption .written", "1.05 MB in all")`)
	p.Until("the curve rises", `/V12\.\d/.test(document.querySelector("path.read").getAttribute("d")) && /V[1-4]\d\.\d/.test(document.querySelector("path.written").getAttribute("d"))`)
	p.Until("then nothing is read", `find("figcaption .read", "Reads 0 B/s")`)
	p.Until("the plot has a text", `document.querySelector(".plot svg").ariaLabel.includes("2.10 MB in all")`)
}

// testRoles looks at the page as those who may do less.
func testRoles(t *testing.T, b *chromium.Browser) {
	w := newWorld(t)
	w.put("a.iso", make([]byte, 1<<10))
	for _, c := range []struct {
		role       string
		add, drive bool
	}{{"view", false, false}, {"operate", false, true}, {"upload", true, true}} {
		p := w.open(t, b, c.role)
		p.Until("the image is there", row("a.iso"))
		var got struct{ Add, Remove, Drive, Download bool }
		p.Eval(`({ Add: !!find("#add"), Remove: !!find(".image button", "Remove"), Download: !!find(".image a", "Download"), Drive: !document.querySelector(".drive select").disabled })`, &got)
		if got.Add != c.add || got.Remove != c.add || got.Drive != c.drive || !got.Download {
			t.Errorf("%s: the page offers %+v", c.role, got)
		}
	}
}

// testNews has others change what there is, and the server begin again.
func testNews(t *testing.T, b *chromium.Browser) {
	w := newWorld(t)
	p := w.open(t, b, "operate")
	w.put("new.iso", make([]byte, 1<<10))
	p.Until("it is there", row("new.iso"))
	name := "new.iso"
	if err := w.drives[0].SetParams(t.Context(), drive.Params{Image: &name}); err != nil {
		t.Fatal(err)
	}
	if err := w.drives[0].Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Until("it is connected", `find(".status", "Connected")`)
	w.restart()
	p.Until("somebody has to sign in", `find("#signin")`)
	signIn(p, "operate", "operate")
	p.Until("the drive is as it was", `find("#link", "Live") && find(".status", "Connected") && document.querySelector(".drive select").value === "new.iso"`)
	if err := w.store.Remove("new.iso"); err == nil {
		t.Error("an image in a drive was removed")
	}
	if err := w.drives[0].Disconnect(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	p.Until("it is disconnected", `find(".status", "Disconnected")`)
	if err := w.store.Remove("new.iso"); err != nil {
		t.Error(err)
	}
	p.Until("it is gone", `find("#no-images") && find(".status", "Empty")`)
}
