package chromium

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

// A Page is one that is open, with cookies and storage of its own. Its methods end the test
// if they do not succeed.
type Page struct {
	t          testing.TB
	browser    *Browser
	session    string
	complaints chan []string // holds them while nobody does
}

// find is there in all pages: it finds the first element of a selector that can be seen and
// has a text, or is labelled so.
const find = `window.find = (selector, text = "") => [...document.querySelectorAll(selector)].find((e) =>
	e.checkVisibility({ visibilityProperty: true }) && [e.textContent, e.ariaLabel, e.title].some((t) => t?.includes(text)))`

// Open opens a page. The certificate of its server may be any.
func (b *Browser) Open(t testing.TB, url string) *Page {
	t.Helper()
	p := &Page{t: t, browser: b, complaints: make(chan []string, 1)}
	p.complaints <- nil
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var context struct{ BrowserContextID string }
	check(b.call("", "Target.createBrowserContext", nil, &context))
	t.Cleanup(func() {
		b.call("", "Target.disposeBrowserContext", map[string]any{"browserContextId": context.BrowserContextID}, nil)
		b.at(func(t *table) { delete(t.pages, p.session) })
	})
	var target struct{ TargetID string }
	check(b.call("", "Target.createTarget", map[string]any{"url": "about:blank", "browserContextId": context.BrowserContextID, "width": 1000, "height": 800}, &target))
	var attached struct{ SessionID string }
	check(b.call("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached))
	p.session = attached.SessionID
	b.at(func(t *table) { t.pages[p.session] = p })
	p.Call("Page.enable", nil, nil)
	p.Call("Runtime.enable", nil, nil)
	p.Call("Log.enable", nil, nil)
	p.Call("Page.addScriptToEvaluateOnNewDocument", map[string]any{"source": find}, nil)
	p.Size(1000, 800)
	p.Go(url)
	return p
}

// Go goes to a URL.
func (p *Page) Go(url string) {
	p.t.Helper()
	var result struct{ ErrorText string }
	p.Call("Page.navigate", map[string]any{"url": url}, &result)
	if result.ErrorText != "" {
		p.t.Fatalf("%s: %s", url, result.ErrorText)
	}
}

// Reload loads the page again. A page that asks whether to leave it is left.
func (p *Page) Reload() {
	p.t.Helper()
	p.Eval("window.before = true", nil)
	p.Call("Page.reload", nil, nil)
	p.Until("the page is loaded again", "!window.before && document.readyState === 'complete'")
}

// event takes an event of the page. It must not wait for Chromium.
func (p *Page) event(m message) {
	var e struct {
		ExceptionDetails struct {
			Text      string
			Exception struct{ Description string }
		}
		Entry struct{ Source, Level, Text, URL string }
	}
	json.Unmarshal(m.Params, &e)
	complain := func(format string, args ...any) { p.complaints <- append(<-p.complaints, fmt.Sprintf(format, args...)) }
	switch m.Method {
	case "Page.javascriptDialogOpening":
		go p.browser.call(p.session, "Page.handleJavaScriptDialog", map[string]any{"accept": true}, nil)
	case "Runtime.exceptionThrown":
		complain("exception: %s %s", e.ExceptionDetails.Text, e.ExceptionDetails.Exception.Description)
	case "Log.entryAdded":
		if e.Entry.Level == "error" && e.Entry.Source != "network" { // calls that the server refuses are such
			complain("%s: %s", e.Entry.Source, e.Entry.Text)
		}
	}
}

// Complaints are exceptions of scripts, and what was against the page's policy.
func (p *Page) Complaints() []string {
	all := <-p.complaints
	p.complaints <- all
	return all
}

// Call makes a call of the protocol's.
func (p *Page) Call(method string, params, result any) {
	p.t.Helper()
	if err := p.browser.call(p.session, method, params, result); err != nil {
		p.t.Fatal(err)
	}
}

// eval evaluates an expression, also one whose value is a promise.
func (p *Page) eval(expression string, into any) error {
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	err := p.browser.call(p.session, "Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true}, &answer)
	switch {
	case err != nil:
		return err
	case answer.ExceptionDetails != nil:
		return fmt.Errorf("%s: %s %s", expression, answer.ExceptionDetails.Text, answer.ExceptionDetails.Exception.Description)
	case into == nil || answer.Result.Value == nil:
		return nil
	}
	return json.Unmarshal(answer.Result.Value, into)
}

// Eval evaluates an expression of JavaScript's.
func (p *Page) Eval(expression string, into any) {
	p.t.Helper()
	if err := p.eval(expression, into); err != nil {
		p.t.Fatal(err)
	}
}

// Until waits until an expression is true. It may throw before that.
func (p *Page) Until(what, expression string) {
	p.t.Helper()
	late := time.Now().Add(Patience)
	var err error
	for {
		ok := false
		if err = p.eval("!!("+expression+")", &ok); err == nil && ok {
			return
		}
		if time.Now().After(late) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	var text string
	p.eval("document.body.innerText", &text)
	p.t.Fatalf("waiting until %s: %s (%v)\nThe page: %s\nComplaints: %q", what, expression, err, text, p.Complaints())
}

// Sees waits until a text can be seen.
func (p *Page) Sees(text string) {
	p.t.Helper()
	p.Until("the page shows "+text, "document.body.innerText.includes("+quote(text)+")")
}

func quote(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

// Size sets the size of the window.
func (p *Page) Size(width, height int) {
	p.t.Helper()
	p.Call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}, nil)
}

// Media sets what the page is told that its reader wants, as prefers-color-scheme and dark.
func (p *Page) Media(feature, value string) {
	p.t.Helper()
	p.Call("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": feature, "value": value}}}, nil)
}

// Screenshot is a PNG of what the window shows.
func (p *Page) Screenshot() []byte {
	p.t.Helper()
	var shot struct{ Data string }
	p.Call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	image, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		p.t.Fatal(err)
	}
	return image
}
