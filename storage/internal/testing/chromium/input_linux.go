package chromium

import (
	"fmt"
	"strings"
)

// Click clicks with the mouse at the first element of a selector that can be seen and has a
// text, when it is there, can be used, and nothing is over it.
func (p *Page) Click(selector, text string) {
	p.t.Helper()
	place := `(() => {
		const e = find(` + quote(selector) + `, ` + quote(text) + `);
		if (!e || e.disabled) return null;
		e.scrollIntoView({ block: "center", behavior: "instant" });
		const r = e.getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2;
		const top = document.elementFromPoint(x, y);
		return e === top || e.contains(top) || top?.contains(e) && top.tagName === "LABEL" ? [x, y] : null;
	})()`
	p.Until(fmt.Sprintf("there is %s %q to click at", selector, text), place)
	var at []float64
	p.Eval(place, &at)
	if len(at) != 2 {
		p.t.Fatalf("%s %q has gone", selector, text)
	}
	for _, kind := range []string{"mouseMoved", "mousePressed", "mouseReleased"} {
		p.Call("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1}, nil)
	}
}

// keys are those that tests press: the code of Windows, which the protocol wants, and the
// text that the key makes.
var keys = map[string]struct {
	code int
	text string
}{"Tab": {9, ""}, "Enter": {13, "\r"}, "Escape": {27, ""}, " ": {32, " "}, "ArrowDown": {40, ""}, "ArrowUp": {38, ""}, "Home": {36, ""}, "End": {35, ""}}

// Press presses keys, one after the other: "Tab", "Shift+Tab", " ".
func (p *Page) Press(names ...string) {
	p.t.Helper()
	for _, name := range names {
		key, shift := strings.CutPrefix(name, "Shift+")
		k, ok := keys[key]
		if !ok {
			p.t.Fatalf("key %q is not known", name)
		}
		event := map[string]any{"type": "keyDown", "key": key, "code": map[string]string{" ": "Space"}[key], "windowsVirtualKeyCode": k.code, "text": k.text}
		if key != " " {
			event["code"] = key
		}
		if shift {
			event["modifiers"] = 8
		}
		p.Call("Input.dispatchKeyEvent", event, nil)
		event["type"] = "keyUp"
		delete(event, "text")
		p.Call("Input.dispatchKeyEvent", event, nil)
	}
}

// Type types a text into what has the focus.
func (p *Page) Type(text string) {
	p.t.Helper()
	p.Call("Input.insertText", map[string]any{"text": text}, nil)
}

// Files chooses files in a file chooser.
func (p *Page) Files(selector string, files ...string) {
	p.t.Helper()
	var input struct{ Result struct{ ObjectID string } }
	p.Call("Runtime.evaluate", map[string]any{"expression": "document.querySelector(" + quote(selector) + ")"}, &input)
	p.Call("DOM.setFileInputFiles", map[string]any{"files": files, "objectId": input.Result.ObjectID}, nil)
}

// Drag moves files over the middle of the window, and drops them there if drop is set.
func (p *Page) Drag(drop bool, files ...string) {
	p.t.Helper()
	kinds := []string{"dragEnter", "dragOver"}
	if drop {
		kinds = append(kinds, "drop")
	}
	for _, kind := range kinds {
		p.Call("Input.dispatchDragEvent", map[string]any{"type": kind, "x": 200, "y": 200, "data": map[string]any{"items": []any{}, "files": files, "dragOperationsMask": 1}}, nil)
	}
}
