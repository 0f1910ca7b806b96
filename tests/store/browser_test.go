package store

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

// chromium finds the browser.
func chromium(t *testing.T) string {
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

// places bounds how many pages are open at once: the tests share two processors with the shop.
var places = make(chan struct{}, 2)

// visitor is somebody before a browser.
type visitor struct {
	t    *testing.T
	ctx  context.Context
	shop *shop.Shop
}

// visit starts a browser without cookies.
func visit(t *testing.T, s *shop.Shop) *visitor {
	t.Helper()
	places <- struct{}{}
	t.Cleanup(func() { <-places })
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium(t)), chromedp.WindowSize(1280, 900), chromedp.Flag("lang", "en-GB"), chromedp.Flag("force-prefers-reduced-motion", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses to start as root otherwise
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	v := &visitor{t, ctx, s}
	v.run(chromedp.Tasks{})
	return v
}

// withoutScripts switches JavaScript off.
func (v *visitor) withoutScripts() *visitor {
	v.run(emulation.SetScriptExecutionDisabled(true))
	return v
}

func (v *visitor) run(actions ...chromedp.Action) {
	v.t.Helper()
	if err := chromedp.Run(v.ctx, actions...); err != nil {
		v.t.Fatalf("%s\nat %s:\n%.1500s", err, v.where(), v.text())
	}
}

// where is the address of the page.
func (v *visitor) where() string {
	var at string
	_ = chromedp.Run(v.ctx, chromedp.Location(&at))
	return strings.TrimPrefix(at, v.shop.Base)
}

// text is what the page says. It is read from the document, for which no script of the page is needed.
func (v *visitor) text() string {
	ctx, cancel := context.WithTimeout(v.ctx, 2*time.Second)
	defer cancel()
	var text string
	_ = chromedp.Run(ctx, chromedp.Evaluate(`document.body ? document.body.innerText : ""`, &text))
	return strings.Join(strings.Fields(text), " ")
}

// open goes to a page.
func (v *visitor) open(path string) *visitor {
	v.t.Helper()
	v.run(chromedp.Navigate(v.shop.Base + path))
	return v
}

// until asks the page until a JavaScript expression is true there.
func (v *visitor) until(what, expression string) *visitor {
	v.t.Helper()
	deadline := time.Now().Add(shop.Patience)
	for {
		ctx, cancel := context.WithTimeout(v.ctx, 5*time.Second)
		var ok bool
		err := chromedp.Run(ctx, chromedp.Evaluate("!!("+expression+")", &ok))
		cancel()
		if err == nil && ok {
			return v
		}
		if time.Now().After(deadline) {
			v.t.Fatalf("not %s, at %s:\n%.1500s", what, v.where(), v.text())
		}
		tick := time.NewTimer(100 * time.Millisecond)
		select {
		case <-tick.C:
		case <-v.ctx.Done():
			v.t.Fatalf("%s: not %s, at %s", v.ctx.Err(), what, v.where())
		}
	}
}

func quote(text string) string {
	out, _ := json.Marshal(text) // a string always can be
	return string(out)
}

// sees waits until the page says a text.
func (v *visitor) sees(text string) *visitor {
	v.t.Helper()
	return v.until("to be read: "+text, `document.body.innerText.toLowerCase().includes(`+quote(strings.ToLower(text))+`)`)
}

// at waits until the path begins so.
func (v *visitor) at(path string) *visitor {
	v.t.Helper()
	return v.until("at "+path, `(location.pathname + location.search).startsWith(`+quote(path)+`) && document.readyState !== "loading"`)
}

// there waits for an element.
func (v *visitor) there(selector string) *visitor {
	v.t.Helper()
	return v.until("there: "+selector, `[...document.querySelectorAll(`+quote(selector)+`)].some(e => e.checkVisibility())`)
}

// click presses an element as a mouse does.
func (v *visitor) click(selector string) *visitor {
	v.t.Helper()
	v.until("loaded", `document.readyState === "complete"`) // else a style sheet that comes late moves it away
	v.there(selector)
	ctx, cancel := context.WithTimeout(v.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Run(ctx, chromedp.Click(selector, chromedp.ByQuery, chromedp.NodeVisible)); err != nil {
		v.t.Fatalf("click %s: %s, at %s:\n%.1500s", selector, err, v.where(), v.text())
	}
	return v
}

// fill types into a field, in place of what is there.
func (v *visitor) fill(selector, text string) *visitor {
	v.t.Helper()
	v.there(selector)
	v.until("empty: "+selector, `(e => { e.focus(); e.value = ""; return document.activeElement === e })(document.querySelector(`+quote(selector)+`))`)
	v.run(chromedp.KeyEvent(text))
	return v.until("filled in: "+selector, `document.querySelector(`+quote(selector)+`).value === `+quote(text))
}

// choose selects an option.
func (v *visitor) choose(selector, value string) *visitor {
	v.t.Helper()
	v.there(selector)
	return v.until("chosen: "+value, `(e => { e.value = `+quote(value)+`; e.dispatchEvent(new Event("change", {bubbles: true})); return e.value === `+quote(value)+` })(document.querySelector(`+quote(selector)+`))`)
}

// value reads a field.
func (v *visitor) value(selector string) string {
	v.t.Helper()
	var text string
	v.run(chromedp.Evaluate(`document.querySelector(`+quote(selector)+`).value`, &text))
	return strings.Join(strings.Fields(text), " ")
}

// login logs in on Keycloak's page.
func (v *visitor) login(c *shop.Client) *visitor {
	v.t.Helper()
	v.at("/realms/stampede/")
	return v.fill("#username", c.Email).fill("#password", c.Password).click("button[name=login]")
}

// address fills in where the parcel goes.
func (v *visitor) address(a shop.Address) *visitor {
	v.t.Helper()
	return v.fill("#name", a.Name).fill("#line1", a.Line1).fill("#postal_code", a.PostalCode).fill("#city", a.City)
}

// forget removes a cookie.
func (v *visitor) forget(name string) *visitor {
	v.t.Helper()
	v.run(network.DeleteCookies(name).WithURL(v.shop.Base + "/"))
	return v
}

// cookies lists the browser's cookies by name.
func (v *visitor) cookies() map[string]*network.Cookie {
	v.t.Helper()
	all := map[string]*network.Cookie{}
	v.run(chromedp.ActionFunc(func(ctx context.Context) error {
		list, err := storage.GetCookies().WithBrowserContextID(chromedp.FromContext(ctx).BrowserContextID).Do(ctx)
		for _, c := range list {
			all[c.Name] = c
		}
		return err
	}))
	return all
}

// order is the id of the order whose page is open.
func (v *visitor) order() string {
	v.t.Helper()
	v.at("/orders/")
	id, _, _ := strings.Cut(strings.TrimPrefix(v.where(), "/orders/"), "?")
	require.Len(v.t, id, 36)
	return id
}

// visit2 is another tab of the same browser.
func visit2(t *testing.T, v *visitor) *visitor {
	t.Helper()
	ctx, cancel := chromedp.NewContext(v.ctx)
	t.Cleanup(cancel)
	w := &visitor{t, ctx, v.shop}
	w.run(chromedp.Tasks{})
	return w
}

// clearKeycloak forgets that Keycloak knows the browser.
func clearKeycloak(v *visitor) func(context.Context) error {
	return func(ctx context.Context) error {
		for name, c := range v.cookies() {
			if strings.HasPrefix(c.Path, "/realms/") {
				if err := network.DeleteCookies(name).WithDomain(c.Domain).WithPath(c.Path).Do(ctx); err != nil {
					return err
				}
			}
		}
		return nil
	}
}
