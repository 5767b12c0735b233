package page

import (
	"testing"

	"github.com/seed-012105e5/gonet/storage/internal/testing/chromium"
)

// TestPage uses the page in Chromium, each time with another server and as another visitor.
func TestPage(t *testing.T) {
	b := chromium.Start(t)
	for _, c := range []struct {
		name string
		test func(*testing.T, *chromium.Browser)
	}{
		{"modules", testModules},
		{"signing in and out", testSignIn},
		{"uploads", testUploads},
		{"names", testNames},
		{"interruptions", testInterrupted},
		{"the same file again", testAgain},
		{"fetches", testFetches},
		{"drives", testDrives},
		{"errors", testErrors},
		{"traffic", testTraffic},
		{"roles", testRoles},
		{"news", testNews},
		{"keyboard", testKeyboard},
		{"look", testLook},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, b) })
	}
}

// testModules calls functions of the modules.
func testModules(t *testing.T, b *chromium.Browser) {
	w := newWorld(t)
	p := b.Open(t, w.url())
	for _, c := range []struct{ module, expression, want string }{
		{"format", `[0, 999, 999.6, 1000, 9994, 9996, 99960, 123456789, 300e6, 33957083136, 1e18].map(m.bytes).join()`, "0 B,999 B,1.00 kB,1.00 kB,9.99 kB,10.0 kB,100 kB,123 MB,300 MB,34.0 GB,1000 PB"},
		{"format", `[0, 1.2, 59, 60, 3599, 3600, 90000, 1e6, Infinity].map(m.duration).join()`, "1 s,2 s,59 s,1 min,60 min,1 h 0 min,25 h 0 min,days,days"},
		{"format", `[[0, 0], [0, 5], [299, 300], [300, 300]].map((a) => m.percent(...a)).join()`, "100,0,99,100"},
		{"format", `(() => { const r = new m.Meter(), all = []; for (const [n, t] of [[0, 0], [100, 1000], [300, 2000], [300, 9000], [10, 9500], [20, 10000]]) { r.add(n, t); all.push(Math.round(r.rate)); } return all.join(); })()`, "0,100,150,0,0,20"},
		{"live", `JSON.stringify(m.merge({ busy: false, drive: { a: 1 }, storage: { images: 1, parts: 2 } }, { busy: true, storage: { images: 3 } }))`, `{"busy":true,"drive":{"a":1},"storage":{"images":3,"parts":2}}`},
		{"live", `JSON.stringify(m.merge({ online: true, drive: {}, storage: {} }, { online: false, drive: null, storage: null }))`, `{"online":false,"drive":null,"storage":null}`},
		{"api", `m.path("msd/x", { a: "b c&d", t: true, f: false, u: undefined, n: 0 })`, "api/msd/x?a=b+c%26d&t=1&f=0&n=0"},
		{"api", `(() => { try { m.result(400, '{"ok": false, "result": {"error": "ValidatorError", "error_msg": "image: bad"}}') } catch (e) { return e.name + e.message + e.signedOut } })()`, "ValidatorErrorimage: badfalse"},
		{"api", `(() => { try { m.result(403, '{"ok": false, "result": {"error": "ForbiddenError", "error_msg": "Forbidden"}}') } catch (e) { return e.signedOut } })()`, "true"},
		{"api", `(() => { try { m.result(502, "<html>") } catch (e) { return e.name + e.status } })()`, "InternalError502"},
		{"plot", `JSON.stringify(m.spans([{ at: 0, read: 0, written: 0 }, { at: 1000, read: 10, written: 0 }, { at: 9000, read: 10, written: 5 }]))`, `[{"from":0,"to":1000,"read":10,"written":0},{"from":8000,"to":9000,"read":0,"written":5}]`},
		{"plot", `m.line([{ from: 30000, to: 60000, read: 100 }], "read", 60000, 100)`, "M0 59.0V59.0H150.0H150.0V1.0H300.0V59.0H300"},
		{"plot", `m.line([], "read", 60000, 100)`, "M0 59.0V59.0H300"},
	} {
		var got any
		p.Until("modules can be loaded", `document.readyState === "complete"`)
		p.Eval(`import("./`+c.module+`.js").then((m) => String(`+c.expression+`))`, &got)
		if got != c.want {
			t.Errorf("%s: %s is %v, want %s", c.module, c.expression, got, c.want)
		}
	}
}

// testSignIn signs in with a wrong and a right password, loads anew, and signs out.
func testSignIn(t *testing.T, b *chromium.Browser) {
	w := newWorld(t)
	p := b.Open(t, w.url())
	signIn(p, "view", "wrong")
	p.Sees("The user or the password is wrong.")
	p.Click("input[name=passwd]", "")
	p.Press("Home", "Shift+End")
	p.Type("view")
	p.Press("Enter")
	p.Until("the page is live", `find("#link", "Live") && find("h3", "drive")`)
	p.Sees("view (view)")
	p.Reload()
	p.Until("the page is live", `find("#link", "Live") && find("h3", "drive")`)
	var cookies string
	p.Eval("document.cookie", &cookies)
	if cookies != "" {
		t.Errorf("scripts see the cookie %q", cookies)
	}
	p.Click("button", "Sign out")
	p.Until("the form is there", `find("#signin")`)
	p.Until("the drives are not", `!find("#app")`)
	p.Reload()
	p.Until("the form is there", `find("#signin")`)
	signIn(p, "upload", "upload")
	p.Sees("upload (upload)")
	if all := p.Complaints(); len(all) > 0 {
		t.Errorf("the browser complains: %q", all)
	}
}
