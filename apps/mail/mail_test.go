package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/stampede-shop/stampede/events"
)

var (
	noon   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	public = renderer{"http://localhost:8000"}
)

func TestIsAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"ada@example.com":                      true,
		"ada.lovelace+shop@mail.example.co.uk": true,
		"o'hara@example.com":                   true,
		"":                                     false,
		"ada":                                  false,
		"ada@":                                 false,
		"ada@example.com;eve@example.com":      false,
		"ada@example.com,eve@example.com":      false,
		"ada@example.com\r\nBcc: eve@example.com": false,
		"Ada <ada@example.com>":                   false,
		"<ada@example.com>":                       false,
		"ada@example.com ":                        false,
		"ada @example.com":                        false,
		`"a;b"@example.com`:                       false,
		strings.Repeat("a", 250) + "@example.com": false,
	} {
		require.Equal(t, want, IsAddress(address), address)
	}
}

func TestHeaderText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Your order S-1":                 "Your order S-1",
		"Hello\r\nBcc: eve@example.com":  "Hello Bcc: eve@example.com",
		"a\x00b\tc\u2028d\u2029e\u0085f": "a b c d e f",
		"  much   room  ":                "much room",
		"turned \u202egnp.exe":           "turned gnp.exe",
		"£19.99 für Zoë 🎉":               "£19.99 für Zoë 🎉",
		"bad \xff bytes":                 "bad bytes",
		strings.Repeat("ö", 201):         strings.Repeat("ö", 199) + "…",
	} {
		require.Equal(t, want, HeaderText(in))
	}
}

func TestOvertaken(t *testing.T) {
	t.Parallel()
	all := []Kind{OrderConfirmed, OrderShipped, OrderDelivered, OrderCancelled, OrderRefunded}
	require.NotEmpty(t, Overtaken(OrderShipped, []Kind{OrderReshipped}), "it has the wrong number")
	require.Empty(t, Overtaken(OrderReshipped, []Kind{OrderShipped, OrderReshipped}))
	require.NotEmpty(t, Overtaken(OrderReshipped, []Kind{OrderDelivered}))
	for kind, by := range map[Kind]Kind{
		OrderConfirmed: OrderCancelled, OrderReaddressed: OrderCancelled, OrderShipped: OrderDelivered,
	} {
		for _, k := range all {
			require.Equal(t, k == by, Overtaken(kind, []Kind{kind, k}) != "", "%s after %s", kind, k)
		}
	}
	for _, kind := range []Kind{OrderCancelled, OrderDelivered, OrderRefunded} {
		require.Empty(t, Overtaken(kind, all), kind)
	}
}

// Which mail is written for which event.
func TestMailFor(t *testing.T) {
	t.Parallel()
	order := func(status string) func() (*Mail, error) {
		return func() (*Mail, error) {
			return OrderMail(events.Order{Number: "S-7", Status: status, Email: "ada@example.com"}, "", Source{}, noon)
		}
	}
	activated := func(first bool) func() (*Mail, error) {
		return func() (*Mail, error) {
			return WelcomeMail(events.AccountActivated{Email: "ada@example.com", First: first}, "", Source{}, noon)
		}
	}
	code := func(purpose string) func() (*Mail, error) {
		return func() (*Mail, error) {
			return CodeMail(events.AccountCodeIssued{Email: "ada@example.com", Purpose: purpose, Code: "123456"}, "", Source{}, noon, noon)
		}
	}
	for name, tt := range map[string]struct {
		mail    func() (*Mail, error)
		kind    Kind
		subject string
	}{
		"order pending":     {order("pending"), "", ""},
		"order confirmed":   {order("confirmed"), OrderConfirmed, "Your order S-7 is confirmed"},
		"order cancelled":   {order("cancelled"), OrderCancelled, "Your order S-7 was cancelled"},
		"order shipped":     {order("shipped"), OrderShipped, "Your order S-7 is on its way"},
		"order readdressed": {order("readdressed"), OrderReaddressed, "Your order S-7 goes to another address"},
		"order reshipped": {func() (*Mail, error) {
			return OrderMail(events.Order{
				Number: "S-7", Status: "shipped", Version: 4, Email: "ada@example.com", Shipment: &events.Shipment{Corrected: true},
			}, "", Source{}, noon)
		}, OrderReshipped, "Another tracking number for your order S-7"},
		"order delivered": {order("delivered"), OrderDelivered, "Your order S-7 has arrived"},
		"order declined": {func() (*Mail, error) {
			return OrderMail(events.Order{Number: "S-7", Status: "cancelled", Reason: "payment-declined", Email: "ada@example.com"}, "", Source{}, noon)
		}, "", ""},
		"order void":       {order("void"), "", ""},
		"first activation": {activated(true), Welcome, "Welcome to Stampede"},
		"later activation": {activated(false), "", ""},
		"verification":     {code(events.PurposeVerifyEmail), VerifyEmail, "Your confirmation code for Stampede"},
		"reset":            {code(events.PurposePasswordReset), PasswordReset, "Your code for a new Stampede password"},
		"new address":      {code(events.PurposeChangeEmail), EmailChange, "Your code for another e-mail address at Stampede"},
		"invitation": {func() (*Mail, error) {
			return InvitationMail(events.AccountImported{Email: "ada@example.com", Invite: true}, "", Source{}, noon)
		}, Invitation, "Your account at Stampede"},
		"imported in silence": {func() (*Mail, error) {
			return InvitationMail(events.AccountImported{Email: "ada@example.com"}, "", Source{}, noon)
		}, "", ""},
		"notice of it": {func() (*Mail, error) {
			return EmailNoticeMail(events.AccountEmailChangeAsked{Email: "ada@example.com"}, "", Source{}, noon)
		}, EmailNotice, "Your e-mail address at Stampede is about to change"},
		"refund": {func() (*Mail, error) {
			return RefundMail(events.PaymentRefunded{Number: "S-7", Email: "ada@example.com", Amount: events.Money{Amount: 1999, Currency: "GBP"}}, "", Source{}, noon)
		}, OrderRefunded, "We have refunded £19.99 for your order S-7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := tt.mail()
			require.NoError(t, err)
			if tt.kind == "" {
				require.Nil(t, m)
				return
			}
			require.Equal(t, tt.kind, m.Kind)
			require.Equal(t, tt.subject, m.Subject)
			require.Equal(t, Queued, m.Status)
		})
	}
	_, err := code("lottery")()
	require.Error(t, err)
}

func TestRefused(t *testing.T) {
	t.Parallel()
	const wrapped = "binding mail: rpc error: code = Internal desc = error when invoke output binding mail: error from smtp binding, sending email failed: "
	const ours = "binding mail: rpc error: code = Internal desc = error invoking output binding mail: mailer: "
	for name, tt := range map[string]struct {
		err    string
		age    time.Duration
		status Status
	}{
		"server down":           {wrapped + "dial tcp 127.0.0.1:1025: connect: connection refused", 0, Queued},
		"mailbox unknown":       {wrapped + "gomail: could not send email 1: 550 5.1.1 <ada@example.com>: Recipient address rejected", 0, Failed},
		"quoted":                {wrapped + `gomail: could not send email 1: 550 "5.1.1 <ada@example.com>: Recipient address rejected"`, 0, Failed},
		"not local":             {wrapped + "gomail: could not send email 1: 551 User not local", 0, Failed},
		"mailbox full":          {ours + "RCPT: 552 5.2.2 quota exceeded", 0, Failed},
		"name not allowed":      {ours + "RCPT: 553 sorry", 0, Failed},
		"blocked":               {ours + "DATA: 554 5.7.1 looks like spam", 0, Failed},
		"syntax":                {ours + "RCPT: 501 5.1.3 bad address", 0, Failed},
		"no address":            {wrapped + `gomail: invalid address "x": mail: missing '@' or angle-addr`, 0, Failed},
		"greylisted":            {ours + "RCPT: 451 4.7.1 try again later", 0, Queued},
		"wrong password":        {wrapped + "535 authentication failed", 0, Queued},
		"wrong password, ours":  {ours + "connect: SMTP AUTH failed: 535 5.7.8 no", 0, Queued},
		"greeted by a refusal":  {ours + "connect: 554 no service", 0, Queued},
		"too busy":              {ours + "RCPT: 421 too many connections", 0, Queued},
		"broke before the data": {ours + "RCPT: EOF", 0, Queued},
		"all busy":              {ours + "no connection became free: context deadline exceeded", 0, Queued},
		"a port of that number": {"dial tcp 127.0.0.1:55025: connect: connection refused", 0, Queued},
		"for three days":        {wrapped + "connection refused", 3*24*time.Hour + time.Second, Failed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &Mail{Kind: Welcome, Status: Queued, Tries: 3, CreatedAt: noon.Add(-tt.age), LeasedUntil: &noon}
			m.Refused(errors.New(tt.err), noon)
			require.Equal(t, tt.status, m.Status)
			require.Equal(t, tt.err, m.Error)
			require.Nil(t, m.LeasedUntil)
			require.Zero(t, m.CutOff)
			if tt.status == Queued {
				require.Equal(t, noon.Add(4*time.Second), m.NextTryAt)
			}
		})
	}
}

func TestReady(t *testing.T) {
	t.Parallel()
	m := &Mail{Kind: VerifyEmail, Status: Queued, Data: json.RawMessage(`{"code": "123456"}`)}
	soon, past := noon.Add(time.Second), noon
	m.ExpiresAt = &soon
	require.True(t, m.Ready(noon))
	m.ExpiresAt = &past
	require.False(t, m.Ready(noon))
	require.Equal(t, Skipped, m.Status)
	require.JSONEq(t, "{}", string(m.Data), "nobody needs the code any more")

	m = &Mail{Kind: Welcome, Status: Queued, CutOff: maxCutOff - 1}
	require.True(t, m.Ready(noon))
	m.CutOff++
	require.False(t, m.Ready(noon))
	require.Equal(t, Failed, m.Status)

	m = &Mail{Kind: Welcome, Status: Skipped}
	require.False(t, m.Ready(noon))
}

func TestAgain(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		from Mail
		ok   bool
	}{
		"sent":               {Mail{Kind: OrderConfirmed, Status: Sent, Recipient: "ada@example.com"}, true},
		"failed":             {Mail{Kind: OrderConfirmed, Status: Failed, Recipient: "ada@example.com"}, true},
		"failed, no address": {Mail{Kind: OrderConfirmed, Status: Failed, Recipient: "ada"}, false},
		"queued":             {Mail{Kind: OrderConfirmed, Status: Queued, Recipient: "ada@example.com"}, false},
		"skipped":            {Mail{Kind: OrderConfirmed, Status: Skipped, Recipient: "ada@example.com"}, false},
		"a code":             {Mail{Kind: VerifyEmail, Status: Sent, Recipient: "ada@example.com"}, false},
		"another code":       {Mail{Kind: PasswordReset, Status: Failed, Recipient: "ada@example.com"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.from.ID = uuid.New()
			again, err := tt.from.Again(noon)
			if !tt.ok {
				require.ErrorIs(t, err, ErrNotResendable)
				return
			}
			require.NoError(t, err)
			require.Equal(t, Queued, again.Status)
			require.Equal(t, tt.from.ID, *again.AgainOf)
			require.Nil(t, again.About)
			require.NotEqual(t, tt.from.ID, again.ID)
		})
	}
}

func TestSums(t *testing.T) {
	t.Parallel()
	gbp := func(minor int64) events.Money { return events.Money{Amount: minor, Currency: "GBP"} }
	labels := func(o events.Order) (all []string) {
		for _, s := range sums(o) {
			all = append(all, s.Label+" "+s.Amount)
		}
		return all
	}
	require.Equal(t, []string{"Subtotal £20.00", "Delivery £4.95", "Total £24.95", "Of which tax £4.16"},
		labels(events.Order{Subtotal: gbp(2000), Discount: gbp(0), Shipping: gbp(495), Tax: gbp(416), Total: gbp(2495)}))
	require.Equal(t, []string{"Subtotal £20.00", "Discount -£2.00", "Delivery Free", "Tax £1.80", "Total £19.80"},
		labels(events.Order{Subtotal: gbp(2000), Discount: gbp(200), Shipping: gbp(0), Tax: gbp(180), Total: gbp(1980)}))
	require.Equal(t, []string{"Subtotal £20.00", "Delivery Free", "Total £20.00"},
		labels(events.Order{Subtotal: gbp(2000), Discount: gbp(0), Shipping: gbp(0), Tax: gbp(0), Total: gbp(2000)}))
}

func TestAbsolute(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]string{
		"/media/a.svg":                  "http://localhost:8000/media/a.svg",
		"https://cdn.example.com/a.png": "https://cdn.example.com/a.png",
		"":                              "",
		"//evil.example.com/a.png":      "",
		"javascript:alert(1)":           "",
		"data:image/png;base64,AAAA":    "",
		"media/a.svg":                   "",
		"http://[::1":                   "",
	} {
		require.Equal(t, want, public.absolute(at), at)
	}
}

// Every template renders, says what it must, is whole HTML, and loads nothing but pictures. With MAIL_PREVIEWS=folder
// they are written there, to be looked at.
func TestTemplates(t *testing.T) {
	t.Parallel()
	says := map[Kind][]string{
		VerifyEmail:   {"493817", "15 minutes", "Hello Ada,"},
		PasswordReset: {"493817", "15 minutes", "new password"},
		Welcome:       {"Hello Ada,", "http://localhost:8000/"},
		OrderConfirmed: {"S-7K3M9QX2TB", "£113.45", "Trail jacket", "M / Green", "2 × £12.25",
			"£19.50", "-£5.00", "£4.95", "Of which tax", "£18.91",
			"SW1Y 4JH London", "United Kingdom", "http://localhost:8000/products/enamel-mug"},
		OrderCancelled:   {"S-7K3M9QX2TB", "You asked us to.", "Trail jacket"},
		OrderShipped:     {"S-7K3M9QX2TB", "Royal Mail", "RM 4829 1GB", "Ada Lovelace", "https://carrier.example/RM48291GB"},
		OrderReaddressed: {"S-7K3M9QX2TB", "SW1Y 4JH London", "Was that not you?"},
		OrderReshipped:   {"S-7K3M9QX2TB", "Royal Mail", "RM 4829 1GB", "was wrong", "https://carrier.example/RM48291GB"},
		OrderDelivered:   {"S-7K3M9QX2TB", "was delivered"},
		OrderRefunded:    {"S-7K3M9QX2TB", "£24.50", "£113.45"},
		StockConfirm:     {"Trail jacket", "M / Green", "Yes, tell me", "Forget it now"},
		BackInStock:      {"Trail jacket", "M / Green", "Have a look", "Unsubscribe"},
		DropCalled:       {"The trail jacket", "Monday 2 March, 12:00 GMT", "Take it", "/drops/trail-jacket"},
		DropMissed:       {"The trail jacket", "all are sold", "charged nothing", "/drops/trail-jacket/verify"},
	}
	sixDigits := regexp.MustCompile(`\b\d{6}\b`)
	for _, kind := range Kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			m, err := sampleMail(kind)
			require.NoError(t, err)
			out, err := public.HTML(m)
			require.NoError(t, err)
			if folder := os.Getenv("MAIL_PREVIEWS"); folder != "" {
				require.NoError(t, os.WriteFile(filepath.Join(folder, string(kind)+".html"), out, 0o600))
			}
			require.NotContains(t, string(out), "<no value>")
			require.NotContains(t, string(out), "ZgotmplZ", "html/template found something unsafe")
			require.NotContains(t, string(out), "&lt;", "nothing is escaped twice")
			text := textOf(t, string(out))
			plain, err := public.Text(m)
			require.NoError(t, err)
			if folder := os.Getenv("MAIL_PREVIEWS"); folder != "" {
				require.NoError(t, os.WriteFile(filepath.Join(folder, string(kind)+".txt"), []byte(plain), 0o600))
			}
			require.NotContains(t, plain, "<")
			require.NotContains(t, plain, "\n\n\n")
			require.Contains(t, plain, "http://localhost:8000/")
			if kind.Secret() {
				require.Equal(t, []string{"493817"}, sixDigits.FindAllString(plain, -1))
			}
			for _, want := range says[kind] {
				// The text names neither unit prices nor a product's page.
				if !strings.Contains(want, "×") && !strings.Contains(want, "/products/") && want != "M / Green" {
					require.Contains(t, plain, want)
				}
				require.True(t, strings.Contains(text, want) || strings.Contains(string(out), want), "%s in %s", want, text)
			}
			require.Contains(t, text, m.Subject, "the title")
			require.NotContains(t, string(out), "<script")
			require.NotContains(t, string(out), "<link")
			if kind.Secret() {
				require.Equal(t, []string{"493817"}, sixDigits.FindAllString(string(out), -1), "only the code looks like a code")
				require.NotContains(t, m.Subject, "493817", "the log keeps subjects")
			}
			require.Less(t, len(out), 90_000, "Gmail cuts mails at 102 kB")
		})
	}
}

// textOf is the text of a document, whose elements must be closed in the right order.
func textOf(t *testing.T, doc string) string {
	t.Helper()
	void := map[string]bool{"meta": true, "br": true, "img": true, "link": true}
	var open []string
	var text strings.Builder
	for z := html.NewTokenizer(strings.NewReader(doc)); ; {
		switch z.Next() {
		case html.ErrorToken:
			require.Empty(t, open, "not closed")
			return strings.Join(strings.Fields(text.String()), " ")
		case html.StartTagToken:
			if name, _ := z.TagName(); !void[string(name)] {
				open = append(open, string(name))
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			require.NotEmpty(t, open)
			require.Equal(t, open[len(open)-1], string(name))
			open = open[:len(open)-1]
		case html.TextToken:
			text.WriteString(z.Token().Data + " ")
		}
	}
}

// What the bindings unquote is what was rendered, byte by byte.
func TestQuoted(t *testing.T) {
	t.Parallel()
	texts := []string{
		"", "<p>Hello</p>", `"`, `""`, "'", "`", `\`, `\"`, `\n`, `\u00e9`, `"already quoted"`, "`raw`",
		"one\ntwo\r\nthree\ttab", "£19.99 für Zoë 🎉", "\u200c\u034f\u00a0\u2028\ufeff", "\x00\x07\x7f\u0080", "\xff\xfe half a rune \xe2\x82", "\ufffd",
		strings.Repeat("<td>Ω</td>\n", 10_000),
	}
	for _, kind := range Kinds {
		m, err := sampleMail(kind)
		require.NoError(t, err)
		out, err := public.HTML(m)
		require.NoError(t, err)
		texts = append(texts, string(out))
	}
	for _, text := range texts {
		same, err := strconv.Unquote(string(quoted(text)))
		require.NoError(t, err, "%q", text)
		require.Equal(t, text, same)
	}
}

func FuzzQuoted(f *testing.F) {
	f.Add("<p title=\"it's\">\n\xff£</p>")
	f.Fuzz(func(t *testing.T, html string) {
		same, err := strconv.Unquote(string(quoted(html)))
		require.NoError(t, err)
		require.Equal(t, html, same)
	})
}

// What customers and administrators typed stays text.
func TestTemplatesEscape(t *testing.T) {
	t.Parallel()
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)>` + "\r\nBcc: eve@example.com"
	m, err := OrderMail(events.Order{
		Number: evil, Status: "shipped", Email: "ada@example.com", FirstName: evil,
		Lines:    []events.OrderLine{{SKU: evil, Slug: "../../" + evil, Name: evil, ImageURL: "javascript:alert(3)", Quantity: 1}},
		Address:  events.Address{Name: evil, Line1: evil, Country: "GB"},
		Shipment: &events.Shipment{Carrier: evil, TrackingNumber: evil},
	}, "shop@stampede.test", Source{}, noon)
	require.NoError(t, err)
	require.NotContains(t, m.Subject, "\n")
	require.NotContains(t, m.Subject, "\r")
	out, err := public.HTML(m)
	require.NoError(t, err)
	require.NotContains(t, string(out), "<script")
	require.NotContains(t, string(out), "<img")
	require.NotContains(t, string(out), `href="javascript`)
	require.NotContains(t, string(out), "/products/../")
	textOf(t, string(out))
}

func TestCancellations(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]string{
		"out-of-stock": "sold out", "timed-out": "did not arrive in time",
		"by-customer": "You asked us to.", "by-shop": "We could not complete it", "something-new": "We could not complete it",
	} {
		m, err := OrderMail(events.Order{Number: "S-7", Status: "cancelled", Reason: reason, Email: "ada@example.com"}, "", Source{}, noon)
		require.NoError(t, err)
		out, err := public.HTML(m)
		require.NoError(t, err)
		require.Contains(t, textOf(t, string(out)), want)
	}
}

func TestWipedMail(t *testing.T) {
	t.Parallel()
	m, err := sampleMail(VerifyEmail)
	require.NoError(t, err)
	m.Delivered(noon)
	_, err = public.HTML(m)
	require.Error(t, err, "there is no code to show any more")
}

func TestMessageID(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse("01980000-0000-7000-8000-000000000001")
	for sender, host := range map[string]string{
		"Stampede <shop@stampede.test>": "stampede.test", "shop@mail.example.com": "mail.example.com", "Ström & Söhne <shop@stampede.test>": "stampede.test", "": "localhost",
	} {
		require.Equal(t, id.String()+"@"+host, (&Mail{ID: id, Sender: sender}).MessageID())
	}
}

// While the server is away one sender looks for it, ever less often, and many who miss it at once count as one.
func TestGate(t *testing.T) {
	t.Parallel()
	var g gate
	at := noon
	for range 16 {
		wait, probe := g.enter(at)
		require.Zero(t, wait)
		require.False(t, probe)
	}
	for range 16 {
		g.leave(false, true, true, at)
	}
	for _, pause := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second} {
		wait, _ := g.enter(at.Add(pause - time.Millisecond))
		require.Positive(t, wait)
		at = at.Add(pause)
		wait, probe := g.enter(at)
		require.Zero(t, wait)
		require.True(t, probe)
		wait, _ = g.enter(at)
		require.Positive(t, wait, "another looks already")
		g.leave(true, true, true, at)
	}
	at = at.Add(maxPause)
	_, probe := g.enter(at)
	require.True(t, probe)
	g.leave(true, false, false, at) // nothing was due: it is not known
	_, probe = g.enter(at)
	require.True(t, probe)
	g.leave(true, true, false, at)
	wait, probe := g.enter(at)
	require.Zero(t, wait)
	require.False(t, probe)
}
