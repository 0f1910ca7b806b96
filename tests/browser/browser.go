// Package browser drives a real Chromium through the shop's pages, as a person does: open a page, fill in, click, and
// look. Nothing waits for a fixed time: what is looked for is asked for until it is there or a deadline is over, and
// then the test fails with what the page says instead.
package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

// Path is the browser: the one that CHROMIUM names, else an installed one. Without any the test fails.
func Path(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("CHROMIUM"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("no Chromium here: make test installs Debian's, or name one in CHROMIUM")
	return ""
}

// places bounds how many tests look at pages at once: they share two processors with the shop. placed names who has one.
var (
	places = make(chan struct{}, 2)
	placed sync.Map
)

// place gives a test a place until it ends. One is enough for all of its browsers: two tests that each had a place and waited
// for another one would wait for ever.
func place(t testing.TB) {
	test, _, _ := strings.Cut(t.Name(), "/")
	if _, has := placed.LoadOrStore(test, true); has {
		return
	}
	places <- struct{}{}
	t.Cleanup(func() { placed.Delete(test); <-places })
}

// Visitor is somebody before a browser.
type Visitor struct {
	Shop *shop.Shop

	t   testing.TB
	ctx context.Context
}

// Visit starts a browser without cookies, with a window of that size. It is closed when the test ends.
func Visit(t testing.TB, s *shop.Shop, width, height int, options ...chromedp.ExecAllocatorOption) *Visitor {
	t.Helper()
	place(t)
	all := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(Path(t)), chromedp.WindowSize(width, height),
		chromedp.Flag("lang", "en-GB"), chromedp.Flag("force-prefers-reduced-motion", true))
	if os.Geteuid() == 0 {
		all = append(all, chromedp.NoSandbox) // Chromium refuses to start as root otherwise
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, append(all, options...)...)
	t.Cleanup(cancel)
	return tab(t, s, ctx)
}

func tab(t testing.TB, s *shop.Shop, ctx context.Context) *Visitor {
	ctx, cancel := chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	v := &Visitor{Shop: s, t: t, ctx: ctx}
	v.Run(chromedp.Tasks{})
	return v
}

// Tab is another tab of the same browser.
func (v *Visitor) Tab() *Visitor { return tab(v.t, v.Shop, v.ctx) }

// WithoutScripts switches JavaScript off.
func (v *Visitor) WithoutScripts() *Visitor {
	v.Run(emulation.SetScriptExecutionDisabled(true))
	return v
}

// Dismiss answers every question of a page with no.
func (v *Visitor) Dismiss() *Visitor {
	v.t.Helper()
	chromedp.ListenTarget(v.ctx, func(event any) {
		if _, asks := event.(*page.EventJavascriptDialogOpening); asks {
			go func() { _ = chromedp.Run(v.ctx, page.HandleJavaScriptDialog(false)) }() // the page waits; so would an answer from in here
		}
	})
	return v
}

// Offline cuts the browser off, as a tunnel does.
func (v *Visitor) Offline() *Visitor {
	v.t.Helper()
	v.Run(network.Enable(), network.EmulateNetworkConditions(true, 0, 0, 0))
	return v
}

// Device looks at pages as on a device of that size, light or dark.
func (v *Visitor) Device(width, height int, phone, dark bool) *Visitor {
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	v.Run(
		emulation.SetDeviceMetricsOverride(int64(width), int64(height), 1, phone),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
	)
	return v
}

// Run runs actions, and fails the test with what the page says when one fails.
func (v *Visitor) Run(actions ...chromedp.Action) {
	v.t.Helper()
	if err := chromedp.Run(v.ctx, actions...); err != nil {
		v.t.Fatalf("%s\nat %s:\n%.1500s", err, v.Where(), v.Text())
	}
}

// Where is the address of the page, within the shop.
func (v *Visitor) Where() string {
	var at string
	_ = chromedp.Run(v.ctx, chromedp.Location(&at))
	return strings.TrimPrefix(at, v.Shop.Base)
}

// Text is what the page says. It is read from the document, for which no script of the page is needed.
func (v *Visitor) Text() string {
	ctx, cancel := context.WithTimeout(v.ctx, 2*time.Second)
	defer cancel()
	var text string
	_ = chromedp.Run(ctx, chromedp.Evaluate(`document.body ? document.body.innerText : ""`, &text))
	return strings.Join(strings.Fields(text), " ")
}

// Open goes to a page.
func (v *Visitor) Open(path string) *Visitor {
	v.t.Helper()
	v.Run(chromedp.Navigate(v.Shop.Base + path))
	return v
}

// Until asks the page until a JavaScript expression is true there.
func (v *Visitor) Until(what, expression string) *Visitor {
	v.t.Helper()
	shop.Eventually(v.t, shop.Patience, func() (bool, string) {
		ctx, cancel := context.WithTimeout(v.ctx, 5*time.Second)
		defer cancel()
		var ok bool
		if err := chromedp.Run(ctx, chromedp.Evaluate("!!("+expression+")", &ok)); err == nil && ok {
			return true, ""
		}
		text := v.Text()
		return false, "not " + what + ", at " + v.Where() + ":\n" + text[:min(len(text), 1500)]
	})
	return v
}

// Quote writes a text for JavaScript.
func Quote(text string) string {
	out, _ := json.Marshal(text) // a string always can be
	return string(out)
}

// Sees waits until the page says a text, in whatever case.
func (v *Visitor) Sees(text string) *Visitor {
	v.t.Helper()
	return v.Until("to be read: "+text, `document.body.innerText.toLowerCase().includes(`+Quote(strings.ToLower(text))+`)`)
}

// At waits until the path begins so and the page is loaded, its scripts among it.
func (v *Visitor) At(path string) *Visitor {
	v.t.Helper()
	return v.Until("at "+path, `(location.pathname + location.search).startsWith(`+Quote(path)+`) && document.readyState === "complete"`)
}

// There waits for an element that can be seen.
func (v *Visitor) There(selector string) *Visitor {
	v.t.Helper()
	return v.Until("there: "+selector, `[...document.querySelectorAll(`+Quote(selector)+`)].some(e => e.checkVisibility())`)
}

// Click presses an element as a mouse does.
func (v *Visitor) Click(selector string) *Visitor {
	v.t.Helper()
	// Else a style sheet that comes late moves it away, and what htmx has just brought is not listened to yet.
	v.Until("loaded", `document.readyState === "complete" && !document.querySelector(".htmx-swapping, .htmx-settling")`)
	v.There(selector)
	ctx, cancel := context.WithTimeout(v.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Run(ctx, chromedp.Click(selector, chromedp.ByQuery, chromedp.NodeVisible)); err != nil {
		v.t.Fatalf("click %s: %s, at %s:\n%.1500s", selector, err, v.Where(), v.Text())
	}
	return v
}

// Press presses a key of package kb on what has the focus, in one go as a keyboard does: of chromedp's KeyEvent the page may
// answer the first half before it hears the second, which a button that has the focus by then takes for its own.
func (v *Visitor) Press(key string) *Visitor {
	v.t.Helper()
	for _, r := range key {
		k := kb.Keys[r]
		press := input.DispatchKeyEvent(input.KeyDown).WithKey(k.Key).WithCode(k.Code).
			WithWindowsVirtualKeyCode(k.Windows).WithNativeVirtualKeyCode(k.Native)
		release := *press
		if k.Print {
			press = press.WithText(k.Text)
		}
		release.Type = input.KeyUp
		v.Run(press, &release)
	}
	return v
}

// TabTo presses Tab until the focus, which can be seen, is where a selector says.
func (v *Visitor) TabTo(selector string) *Visitor {
	v.t.Helper()
	for range 100 {
		var there, seen bool
		v.Press(kb.Tab).Run(chromedp.Evaluate(`document.activeElement.matches(`+Quote(selector)+`)`, &there))
		if there {
			v.Run(chromedp.Evaluate(`getComputedStyle(document.activeElement).outlineStyle !== "none"`, &seen))
			require.True(v.t, seen, "the focus cannot be seen at %s", selector)
			return v
		}
	}
	require.Fail(v.t, "Tab does not lead to "+selector, v.Where())
	return v
}

// Fill types into a field, in place of what is there.
func (v *Visitor) Fill(selector, text string) *Visitor {
	v.t.Helper()
	v.There(selector)
	v.Until("empty: "+selector, `(e => { e.focus(); e.value = ""; return document.activeElement === e })(document.querySelector(`+Quote(selector)+`))`)
	v.Run(chromedp.KeyEvent(text))
	return v.Holds(selector, text)
}

// Holds waits until a field has a value.
func (v *Visitor) Holds(selector, text string) *Visitor {
	v.t.Helper()
	return v.Until(selector+" to hold "+text, `document.querySelector(`+Quote(selector)+`)?.value === `+Quote(text))
}

// Choose selects an option.
func (v *Visitor) Choose(selector, value string) *Visitor {
	v.t.Helper()
	v.There(selector)
	return v.Until("chosen: "+value, `(e => { e.value = `+Quote(value)+`; e.dispatchEvent(new Event("change", {bubbles: true})); return e.value === `+Quote(value)+` })(document.querySelector(`+Quote(selector)+`))`)
}

// Upload chooses a file.
func (v *Visitor) Upload(selector string, files ...string) *Visitor {
	v.t.Helper()
	v.There(selector)
	v.Run(chromedp.SetUploadFiles(selector, files, chromedp.ByQuery))
	return v
}

// Value reads a field.
func (v *Visitor) Value(selector string) string {
	v.t.Helper()
	var text string
	v.Run(chromedp.Evaluate(`document.querySelector(`+Quote(selector)+`).value`, &text))
	return strings.Join(strings.Fields(text), " ")
}

// Login waits for Keycloak's page and logs in there.
func (v *Visitor) Login(email, password string) *Visitor {
	v.t.Helper()
	v.At("/realms/stampede/")
	return v.Fill("#username", email).Fill("#password", password).Click("button[name=login]")
}

// LoginAt logs in on the way to a page of the shop's.
func (v *Visitor) LoginAt(path, email, password string) *Visitor {
	v.t.Helper()
	return v.Open("/login?next="+path).Login(email, password).At(path)
}

// Address fills in where a parcel goes.
func (v *Visitor) Address(a shop.Address) *Visitor {
	v.t.Helper()
	return v.Fill("#name", a.Name).Fill("#line1", a.Line1).Fill("#postal_code", a.PostalCode).Fill("#city", a.City)
}

// Order is the id of the order whose page is open.
func (v *Visitor) Order() string {
	v.t.Helper()
	v.At("/orders/")
	id, _, _ := strings.Cut(strings.TrimPrefix(v.Where(), "/orders/"), "?")
	require.Len(v.t, id, 36)
	return id
}

// Cookies lists the browser's cookies by name.
func (v *Visitor) Cookies() map[string]*network.Cookie {
	v.t.Helper()
	all := map[string]*network.Cookie{}
	v.Run(chromedp.ActionFunc(func(ctx context.Context) error {
		list, err := storage.GetCookies().WithBrowserContextID(chromedp.FromContext(ctx).BrowserContextID).Do(ctx)
		for _, c := range list {
			all[c.Name] = c
		}
		return err
	}))
	return all
}

// Forget removes a cookie of the shop.
func (v *Visitor) Forget(name string) *Visitor {
	v.t.Helper()
	v.Run(network.DeleteCookies(name).WithURL(v.Shop.Base + "/"))
	return v
}

// ForgetKeycloak removes what Keycloak knows the browser by.
func (v *Visitor) ForgetKeycloak() *Visitor {
	v.t.Helper()
	for name, c := range v.Cookies() {
		if strings.HasPrefix(c.Path, "/realms/") {
			v.Run(network.DeleteCookies(name).WithDomain(c.Domain).WithPath(c.Path))
		}
	}
	return v
}

// touchingFields lists the fields of a page's forms that begin where the one above ends.
const touchingFields = `[...document.querySelectorAll(".field + .field")].filter(f => {
	const above = f.previousElementSibling.getBoundingClientRect(), at = f.getBoundingClientRect()
	return f.checkVisibility() && above.height > 0 && at.top >= above.bottom && at.top < above.bottom + 4
}).map(f => f.innerText)`

// brokenWords lists the short words of a page that go on in another line, as those of a column that is too narrow do.
const brokenWords = `(() => {
	const broken = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
	while (texts.nextNode()) for (const word of texts.currentNode.data.matchAll(/(?<=^|\s)[\p{L}\p{N}£€$.,:]{2,12}(?=\s|$)/gu)) {
		const range = document.createRange()
		range.setStart(texts.currentNode, word.index)
		range.setEnd(texts.currentNode, word.index + word[0].length)
		if (new Set(Array.from(range.getClientRects(), r => Math.round(r.top))).size > 1) broken.push(word[0])
	}
	return broken })()`

// fits demands of the page that is open that nothing reaches out of the window sideways, and that no column is so narrow
// that short words break.
func (v *Visitor) fits(width int) {
	v.t.Helper()
	var broken []string
	v.Run(chromedp.Evaluate(brokenWords, &broken))
	require.Empty(v.t, broken, "broken words: %s, %d wide", v.Where(), width)
	var touching []string
	v.Run(chromedp.Evaluate(touchingFields, &touching))
	require.Empty(v.t, touching, "fields that touch the one above: %s, %d wide", v.Where(), width)
	v.Until(fmt.Sprintf("as wide as the window of %d", width), fmt.Sprintf(`document.documentElement.scrollWidth <= %d`, width)) // innerWidth grows with the page on a phone
}

// Accessible demands that axe-core finds no barrier on a page, on a desktop and on a phone, light and dark, and that
// the page fits these, the smallest phone, a tablet and a small desktop. AXE_CORE names axe-core's script (axe.min.js of
// the npm package), which make test fetches.
func (v *Visitor) Accessible(paths ...string) *Visitor {
	v.t.Helper()
	script, err := os.ReadFile(os.Getenv("AXE_CORE"))
	require.NoError(v.t, err, "AXE_CORE must name axe.min.js of the npm package axe-core")
	for _, path := range paths {
		for _, phone := range []bool{false, true} {
			width, height := 1440, 900
			if phone {
				width, height = 390, 844
			}
			v.Device(width, height, phone, false).Open(path).Run(chromedp.Evaluate(string(script)+";1", nil))
			v.axe(path, phone, "{}")
			v.fits(width)
			// What is dark has other colours, and is the same otherwise.
			v.Device(width, height, phone, true)
			v.Until("dark", `matchMedia("(prefers-color-scheme: dark)").matches`)
			v.axe(path+", dark", phone, `{runOnly: ["color-contrast", "link-in-text-block"]}`)
			others := []int{1024}
			if phone {
				others = []int{320, 768}
			}
			for _, width := range others {
				v.Device(width, 800, width < 768, false)
				v.Until(fmt.Sprintf("%d wide", width), fmt.Sprintf(`document.documentElement.clientWidth === %d`, width))
				v.fits(width)
			}
		}
	}
	return v
}

// Clean demands that axe-core finds no barrier on the page that is open, as it stands: what Accessible looks at has to be there
// when it is loaded again.
func (v *Visitor) Clean() *Visitor {
	v.t.Helper()
	script, err := os.ReadFile(os.Getenv("AXE_CORE"))
	require.NoError(v.t, err, "AXE_CORE must name axe.min.js of the npm package axe-core")
	v.Run(chromedp.Evaluate(string(script)+";1", nil))
	v.axe(v.Where(), false, "{}")
	return v
}

// axe demands that axe-core, which is in the page that is open, finds nothing.
func (v *Visitor) axe(what string, phone bool, options string) {
	v.t.Helper()
	v.Run(chromedp.Evaluate(`window.found = null; axe.run(document, {resultTypes: ["violations"], ...`+options+`}).then(r => {
		window.found = r.violations.map(v => v.id + ": " + v.nodes.map(n => n.target.join(" ")).join(", ")) }); 1`, nil))
	v.Until("looked at", `window.found !== null`)
	var found []string
	v.Run(chromedp.Evaluate(`window.found`, &found))
	require.Empty(v.t, found, "%s, phone %t", what, phone)
}

// Shot takes a picture of what the window shows, as a JPEG, once the pictures in it are there.
func (v *Visitor) Shot(file string) *Visitor {
	v.t.Helper()
	v.Until("all pictures", `Array.from(document.images).every(i => i.complete && i.naturalWidth > 0 || i.getBoundingClientRect().top > innerHeight)`)
	var jpeg []byte
	v.Run(chromedp.ActionFunc(func(ctx context.Context) (err error) {
		jpeg, err = page.CaptureScreenshot().WithFormat(page.CaptureScreenshotFormatJpeg).WithQuality(82).Do(ctx)
		return err
	}))
	require.NoError(v.t, os.WriteFile(file, jpeg, 0o644))
	return v
}

// Printed looks at the page as it is printed: texts that are there, and selectors of what is not. A folder that SHEETS names
// gets what comes out of the printer, A4, under a name.
func (v *Visitor) Printed(name string, there []string, gone ...string) *Visitor {
	v.t.Helper()
	v.Run(emulation.SetEmulatedMedia().WithMedia("print"))
	for _, text := range there {
		v.Sees(text)
	}
	for _, selector := range gone {
		v.Until("not on paper: "+selector, `![...document.querySelectorAll(`+Quote(selector)+`)].some(e => e.checkVisibility())`)
	}
	var sheet []byte
	v.Run(chromedp.ActionFunc(func(ctx context.Context) (err error) {
		sheet, _, err = page.PrintToPDF().WithPaperWidth(8.27).WithPaperHeight(11.69).Do(ctx)
		return err
	}))
	require.True(v.t, strings.HasPrefix(string(sheet), "%PDF"))
	if dir := os.Getenv("SHEETS"); dir != "" {
		require.NoError(v.t, os.WriteFile(filepath.Join(dir, name+".pdf"), sheet, 0o600))
	}
	return v
}
