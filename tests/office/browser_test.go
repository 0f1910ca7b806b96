package office

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

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

// places bounds how many browsers there are at once: the tests share two
// processors with the shop.
var places = make(chan struct{}, 2)

// door lets in one at a time: of two logins of one account at the same moment
// Keycloak refuses the second, as it does to those who guess passwords.
var door sync.Mutex

// clerk is somebody before a browser.
type clerk struct {
	t    *testing.T
	ctx  context.Context
	shop *shop.Shop
}

// work starts a browser and logs in to the back office at a page.
func work(t *testing.T, s *shop.Shop, path string) *clerk {
	t.Helper()
	places <- struct{}{}
	t.Cleanup(func() { <-places })
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium(t)), chromedp.WindowSize(1440, 1000), chromedp.Flag("lang", "en-GB"))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses to start as root otherwise
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	c := &clerk{t, ctx, s}
	c.run(chromedp.Tasks{})
	door.Lock()
	defer door.Unlock()
	c.open(path).there("#username")
	return c.fill("#username", "ops@stampede.test").fill("#password", s.Settings["OPS_PASSWORD"]).click("[name=login]").at(path)
}

func (c *clerk) run(actions ...chromedp.Action) {
	c.t.Helper()
	if err := chromedp.Run(c.ctx, actions...); err != nil {
		c.t.Fatalf("%s\nat %s:\n%.1500s", err, c.where(), c.text())
	}
}

// where is the address of the page.
func (c *clerk) where() string {
	var at string
	_ = chromedp.Run(c.ctx, chromedp.Location(&at))
	return strings.TrimPrefix(at, c.shop.Base)
}

// text is what the page says.
func (c *clerk) text() string {
	ctx, cancel := context.WithTimeout(c.ctx, 2*time.Second)
	defer cancel()
	var text string
	_ = chromedp.Run(ctx, chromedp.Evaluate(`document.body ? document.body.innerText : ""`, &text))
	return strings.Join(strings.Fields(text), " ")
}

// open goes to a page.
func (c *clerk) open(path string) *clerk {
	c.t.Helper()
	c.run(chromedp.Navigate(c.shop.Base + path))
	return c
}

// until asks the page until a JavaScript expression is true there.
func (c *clerk) until(what, expression string) *clerk {
	c.t.Helper()
	shop.Eventually(c.t, shop.Patience, func() (bool, string) {
		ctx, cancel := context.WithTimeout(c.ctx, 5*time.Second)
		defer cancel()
		var ok bool
		if err := chromedp.Run(ctx, chromedp.Evaluate("!!("+expression+")", &ok)); err == nil && ok {
			return true, ""
		}
		return false, "not " + what + ", at " + c.where() + ": " + c.text()
	})
	return c
}

func quote(text string) string {
	out, _ := json.Marshal(text) // a string always can be
	return string(out)
}

// sees waits until the page says a text.
func (c *clerk) sees(text string) *clerk {
	c.t.Helper()
	return c.until("to be read: "+text, `document.body.innerText.toLowerCase().includes(`+quote(strings.ToLower(text))+`)`)
}

// at waits until the path begins so.
func (c *clerk) at(path string) *clerk {
	c.t.Helper()
	return c.until("at "+path, `(location.pathname + location.search).startsWith(`+quote(path)+`) && document.readyState === "complete"`)
}

// there waits for an element.
func (c *clerk) there(selector string) *clerk {
	c.t.Helper()
	return c.until("there: "+selector, `[...document.querySelectorAll(`+quote(selector)+`)].some(e => e.checkVisibility())`)
}

// click presses an element.
func (c *clerk) click(selector string) *clerk {
	c.t.Helper()
	c.there(selector)
	ctx, cancel := context.WithTimeout(c.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Run(ctx, chromedp.Click(selector, chromedp.ByQuery, chromedp.NodeVisible)); err != nil {
		c.t.Fatalf("click %s: %s, at %s:\n%.1500s", selector, err, c.where(), c.text())
	}
	return c
}

// fill types into a field, in place of what is there.
func (c *clerk) fill(selector, text string) *clerk {
	c.t.Helper()
	c.there(selector)
	c.until("empty: "+selector, `(e => { e.focus(); e.value = ""; return document.activeElement === e })(document.querySelector(`+quote(selector)+`))`)
	c.run(chromedp.KeyEvent(text))
	return c.holds(selector, text)
}

// holds waits until a field has a value.
func (c *clerk) holds(selector, text string) *clerk {
	c.t.Helper()
	return c.until(selector+" to hold "+text, `document.querySelector(`+quote(selector)+`)?.value === `+quote(text))
}

// upload chooses a file.
func (c *clerk) upload(selector, file string) *clerk {
	c.t.Helper()
	c.there(selector)
	c.run(chromedp.SetUploadFiles(selector, []string{file}, chromedp.ByQuery))
	return c
}

// forget ends the session of the back office, as its two hours do.
func (c *clerk) forget() *clerk {
	c.t.Helper()
	c.run(network.DeleteCookies("gosessionsid").WithURL(c.shop.Base + "/"))
	return c
}
