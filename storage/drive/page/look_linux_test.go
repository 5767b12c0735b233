package page

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/internal/testing/chromium"
)

var update = flag.Bool("update", false, "write the screenshots in storage/doc anew")

// focus describes what has the focus, and whether that can be seen.
const focus = `(() => {
	const e = document.activeElement, shown = e.classList.contains("hidden-input") ? e.previousElementSibling : e;
	const style = getComputedStyle(shown), r = shown.getBoundingClientRect();
	return {
		What: e === document.body ? "BODY" : (e.id || e.name || e.ariaLabel || e.textContent || e.tagName).trim(),
		Seen: style.outlineStyle === "solid" && parseFloat(style.outlineWidth) >= 2 && r.bottom > 0 && r.top < innerHeight && r.right > 0 && r.left < innerWidth,
	};
})()`

// testKeyboard does all without a mouse.
func testKeyboard(t *testing.T, b *chromium.Browser) {
	w := newWorld(t)
	w.put("a.iso", make([]byte, 1<<10))
	w.put("b.img", make([]byte, 1<<10))
	p := b.Open(t, w.url())
	// to presses Tab until something has the focus, and sees that the focus can be seen.
	to := func(what string, key ...string) {
		t.Helper()
		var way []string
		for range 40 {
			var f struct {
				What string
				Seen bool
			}
			p.Eval(focus, &f)
			if f.What != "BODY" && !f.Seen && len(way) > 0 {
				t.Errorf("the focus of %q cannot be seen", f.What)
			}
			if f.What == what {
				return
			}
			way = append(way, f.What)
			p.Press(append(key, "Tab")[0])
		}
		t.Fatalf("Tab does not come to %q: %q", what, way)
	}
	p.Until("the form has the focus", `document.activeElement.name === "user"`)
	p.Type("upload")
	to("passwd")
	p.Type("upload")
	p.Press("Enter")
	p.Until("the page is live", `find("#link", "Live") && `+row("b.img"))
	p.Eval("document.activeElement.blur()", nil)

	to("signout") // in the order in which they are read
	p.Until("an image can be chosen", `document.querySelector(".drive select").disabled === false && document.querySelector(".drive select").options.length === 4`)
	p.Press("Tab")
	p.Until("the selection has the focus", `document.activeElement.tagName === "SELECT"`)
	p.Press("ArrowDown")
	p.Until("the image is selected", `document.querySelector(".drive select").value === "a.iso" && document.querySelector(".drive .switch input").checked && find(".status", "Disconnected")`)
	p.Press("ArrowDown")
	p.Until("the next image is selected", `document.querySelector(".drive select").value === "b.img" && !document.querySelector(".drive .switch input").checked && find(".status", "Disconnected")`)
	p.Press("Tab", "Tab", " ") // past the CD-ROM
	waitDrive(t, w.drives[0], func(s drive.State) bool { return s.RW })
	p.Until("it may be written", `find(".status", "Disconnected") && document.querySelectorAll(".switch input")[1].checked`)
	to("Connect")
	p.Press("Enter")
	p.Until("it is connected", `find(".status", "Connected") && find("button", "Disconnect")`)
	p.Until("the focus has stayed", `document.activeElement.textContent === "Disconnect"`)
	p.Press(" ")
	p.Until("it is disconnected", `find(".status", "Disconnected") && find("button", "Connect")`)
	to("files")
	to("fetch")
	p.Press("Enter")
	p.Until("the dialog has the focus", `document.activeElement.name === "url" && document.activeElement.closest("dialog").open`)
	p.Press("Escape")
	p.Until("the focus is where it was", `document.activeElement.id === "fetch" && !document.querySelector("dialog[open]")`)
	to("folder")
	to("Download a.iso")
	to("Remove a.iso")
	p.Press("Enter")
	p.Until("the focus is at what does no harm", `document.activeElement.closest("dialog").open && document.activeElement.textContent === "Cancel"`)
	p.Press("Escape")
	p.Until("the focus is where it was", `document.activeElement.ariaLabel === "Remove a.iso"`)
	p.Press("Enter")
	p.Until("the question is there", `document.activeElement.textContent === "Cancel"`)
	p.Press("Shift+Tab", "Enter")
	p.Until("the image is gone, and the focus is at the next", "!"+row("a.iso")+` && document.activeElement.closest(".image")?.textContent.includes("b.img")`)
	if all := p.Complaints(); len(all) > 0 {
		t.Errorf("the browser complains: %q", all)
	}
}

// contrasts finds texts that stand out too little from what they are on (WCAG 2.2, 1.4.3),
// and controls that are too small for a finger (2.5.8).
const contrasts = `(() => {
	const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
	const colour = (c, under) => {
		canvas.fillStyle = under; canvas.fillRect(0, 0, 1, 1);
		canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1);
		return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
	};
	const light = (rgb) => rgb.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const ground = (e) => {
		for (; e; e = e.parentElement) {
			const c = getComputedStyle(e).backgroundColor;
			if (c !== "rgba(0, 0, 0, 0)" && c !== "transparent") return c;
		}
		return "white";
	};
	const bad = [];
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n; n = walk.nextNode();) {
		const e = n.parentElement;
		if (!n.data.trim() || !e.checkVisibility({ visibilityProperty: true }) || e.closest(":disabled, noscript, option, datalist")) continue;
		const on = ground(e), a = light(colour(getComputedStyle(e).color, on)), b = light(colour(on, on));
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) bad.push(n.data.trim() + ": " + ratio.toFixed(2));
	}
	for (const e of document.querySelectorAll("button, a, select, label.switch")) {
		const r = e.getBoundingClientRect();
		if (e.checkVisibility() && (r.height < 24 || r.width < 24)) bad.push(e.textContent + ": " + r.width + " by " + r.height);
	}
	return bad;
})()`

// testLook looks at the page in light and dark, on a desktop and a phone of 320 pixels: all
// can be read, nothing is wider than the window, and nothing jumps while it is loaded.
func testLook(t *testing.T, b *chromium.Browser) {
	w := newWorld(t, "cd", "disk")
	sector := make([]byte, 64<<10)
	copy(sector[32769:], "CD001")
	w.put("debian-13.1.0-amd64-netinst.iso", append(sector, make([]byte, 783<<20/64)...))
	w.put("rescue/"+strings.Repeat("a-long-name-", 12)+".iso", sector)
	w.put("golden.img", make([]byte, 2<<20))
	p := b.Open(t, w.url())
	check := func(what string) {
		t.Helper()
		for _, scheme := range []string{"light", "dark"} {
			p.Media("prefers-color-scheme", scheme)
			for _, width := range []int{320, 1000} {
				p.Size(width, 800)
				var bad []string
				p.Eval(contrasts, &bad)
				if len(bad) > 0 {
					t.Errorf("%s, %s, %d pixels: %q", what, scheme, width, bad)
				}
				var wide int
				p.Eval("Math.max(document.documentElement.scrollWidth, ...[...document.querySelectorAll('dialog[open]')].map((d) => d.scrollWidth))", &wide)
				if wide > width {
					t.Errorf("%s, %s: the page is %d pixels wide of %d", what, scheme, wide, width)
				}
			}
		}
	}
	p.Until("the form is there", `find("#signin")`)
	check("signing in")
	signIn(p, "upload", "upload")
	choose(p, "cd", "debian-13.1.0-amd64-netinst.iso")
	p.Until("it is selected", `find('[aria-labelledby="drive-cd"] .status', "Disconnected")`)
	p.Click(`[aria-labelledby="drive-cd"] button.main`, "Connect")
	p.Until("it is connected", `find('[aria-labelledby="drive-cd"] .status', "Connected")`)
	choose(p, "disk", "golden.img")
	p.Until("it is selected", `find('[aria-labelledby="drive-disk"] .status', "Disconnected")`)

	const size = 20 << 20
	w.holdAt(13 << 20)
	p.Files("#files", newFile(t, "fedora-workstation-43.img", size))
	waitUpload(t, w, "fedora-workstation-43.img", 13<<20)
	p.Until("the upload is on its way", row("fedora-workstation-43.img")+`.querySelector("progress").value > 0`)
	check("the page")
	if *update {
		pretend(p, w)
		shoot(t, p, "light", 1000, 1000, "drive-desktop.png")
		shoot(t, p, "dark", 360, 780, "drive-phone.png")
	}
	p.Click("button", "Fetch from a URL")
	check("fetching")
	p.Click("#fetch-dialog button", "Cancel")
	p.Click(`button[aria-label^="Remove rescue/"]`, "")
	check("a question")
	p.Click("dialog button", "Cancel")
	p.Files("#files", newFile(t, ".bad-"+strings.Repeat("n", 200), 10))
	p.Until("an upload has failed", `find(".failed")`)
	p.Eval(`import("./dialog.js").then((m) => m.tell("An_error_without_a_space_".repeat(12), true))`, nil)
	p.Eval(`import("./dialog.js").then((m) => m.tell("Some news"))`, nil)
	check("errors")
	var shift float64
	p.Size(1000, 800)
	w.letGo()
	p.Sees("fedora-workstation-43.img is complete.")
	p.Reload()
	p.Until("the page is live", `find("#link", "Live") && find(".image") && find('[aria-labelledby="drive-disk"] .status', "Disconnected")`)
	p.Eval(`new Promise((resolve) => new PerformanceObserver((list, o) => {
		o.disconnect();
		resolve(list.getEntries().reduce((sum, e) => sum + (e.hadRecentInput ? 0 : e.value), 0));
	}).observe({ type: "layout-shift", buffered: true }) ?? requestAnimationFrame(() => requestAnimationFrame(() => resolve(0))))`, &shift)
	if shift > 0.1 {
		t.Errorf("what is shown jumps: %.3f", shift)
	}
	if all := p.Complaints(); len(all) > 0 {
		t.Errorf("the browser complains: %q", all)
	}
}

// pretend has a machine read for a while, so that there is something to be seen.
func pretend(p *chromium.Page, w *world) {
	for i := range 12 {
		w.shelves["cd"].at(func(s *shelfState) {
			for range 1 + i*i%7 {
				s.medium.Disk.ReadAt(make([]byte, 1<<20), 0)
			}
		})
		p.Eval("new Promise((resolve) => setTimeout(resolve, 1000))", nil)
	}
}

// shoot writes a screenshot.
func shoot(t *testing.T, p *chromium.Page, scheme string, width, height int, name string) {
	t.Helper()
	p.Media("prefers-color-scheme", scheme)
	p.Size(width, height)
	p.Eval(`(scrollTo(0, 0), document.activeElement.blur(), new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))))`, nil)
	image := p.Screenshot()
	if len(image) > 150<<10 {
		t.Errorf("%s has %d bytes", name, len(image))
	}
	file := filepath.Join("..", "..", "doc", name)
	if err := os.WriteFile(file, image, 0o644); err != nil {
		t.Fatal(err)
	}
	fmt.Println("wrote", file)
}
