package browser

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/drop"
	"github.com/stampede-shop/stampede/drop/proof"
	"github.com/stampede-shop/stampede/tests/shop"
)

// script opens a page that has nothing but the storefront's script of drops.
func script(t *testing.T) *Visitor {
	t.Helper()
	files := http.FileServer(http.Dir("../../apps/store/assets"))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte(`<!doctype html><html lang="en"><script src="/drop.js"></script>`))
			return
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return Visit(t, &shop.Shop{Base: server.URL}, 800, 600).Open("/").Until("loaded", `window.stampedeDrop`)
}

// said evaluates an expression of the script, in which d is what it offers.
func said[T any](v *Visitor, expression string) (out T) {
	v.t.Helper()
	v.Run(chromedp.Evaluate("(d => "+expression+")(window.stampedeDrop)", &out))
	return out
}

// TestDropPositions: a browser works out the places that Ethereum's own code gave (drop/testdata).
func TestDropPositions(t *testing.T) {
	t.Parallel()
	v := script(t)
	text, err := os.ReadFile("../../drop/testdata/shuffle.csv")
	require.NoError(t, err)
	lines := 0
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimSpace(line), ",")
		places := strings.Split(fields[2], ":")
		got := said[string](v, fmt.Sprintf(`[...Array(%[2]s).keys()].map(i => d.position(i, %[2]s, d.bytes(%[1]q))).join(":")`,
			fields[0], fields[1]))
		require.Equal(t, strings.Join(places, ":"), got)
		lines++
	}
	require.Greater(t, lines, 40)
	seed := drop.Seed([32]byte{1}, nil, [32]byte{2}, 100_000)
	got := said[int](v, fmt.Sprintf(`d.position(99999, 100000, d.bytes("%x"))`, seed))
	require.EqualValues(t, drop.Position(99_999, 100_000, seed), got)
}

// TestDropStandings: the script shows whom what the storefront shows (apps/store/testdata).
func TestDropStandings(t *testing.T) {
	t.Parallel()
	v := script(t)
	text, err := os.ReadFile("../../apps/store/testdata/standings.json")
	require.NoError(t, err)
	var all []struct {
		Name  string
		Rows  []string
		Stage string
	}
	require.NoError(t, json.Unmarshal(text, &all))
	require.Greater(t, len(all), 20)
	got := said[[]struct {
		Rows  []string
		Stage string
	}](v, `(`+string(text)+`).map(e => {
		const rows = e.me ? e.me.claims.map(c => d.row(e.status, c, e.position)) : [];
		return { rows, stage: d.stage(e.status, e.preset, e.me, rows, Date.parse(e.status.now)) };
	})`)
	for i, want := range all {
		require.Equal(t, strings.Join(want.Rows, " "), strings.Join(got[i].Rows, " "), want.Name)
		require.Equal(t, want.Stage, got[i].Stage, want.Name)
	}
}

// TestDropOdds: the script says what the storefront says of the same status (apps/store/testdata).
func TestDropOdds(t *testing.T) {
	t.Parallel()
	v := script(t)
	text, err := os.ReadFile("../../apps/store/testdata/odds.json")
	require.NoError(t, err)
	type words struct{ Odds, Wait string }
	var all []words
	require.NoError(t, json.Unmarshal(text, &all))
	require.Greater(t, len(all), 50)
	got := said[[]words](v, `(`+string(text)+`).map(e => (
		{ odds: d.odds(e.lot, e.position), wait: e.position === null ? "" : d.waitFor(e.lot, e.position) }))`)
	require.Equal(t, all, got)
}

// TestDropPauses: how long a page waits before it looks again is what docs say: clamp(least, most, ETA/20), with a third more
// by chance; the first look after the opening is spread over 8 s.
func TestDropPauses(t *testing.T) {
	t.Parallel()
	v := script(t)
	const opens = 1_000_000_000
	for _, tt := range []struct {
		state       string
		now         int // ms after the opening
		ahead, rate string
		random      float64
		want        float64
	}{
		{"open", 60_000, "5", "60", 0, 2000}, // ETA 5 s
		{"open", 60_000, "5", "60", 1, 2600},
		{"open", 60_000, "100", "60", 0, 5000}, // 100 s
		{"open", 60_000, "9000", "60", 0, 10_000},
		{"open", 60_000, "9000", "60", 1, 13_000},
		{"open", 60_000, "9", "0", 0, 10_000},  // nobody is called
		{"open", 60_000, "null", "0", 0, 2000}, // called, or holding
		{"paused", 60_000, "9", "0", 0, 10_000},
		{"prequeue", -60_000, "null", "0", 0, 10_000},
		{"prequeue", -5_000, "null", "0", 0, 5_000}, // at the opening and not before
		{"prequeue", -5_000, "null", "0", 1, 13_000},
		{"scheduled", -900_000, "null", "0", 0, 30_000},
		{"scheduled", -605_000, "null", "0", 0, 5_000}, // entries open ten minutes before
		{"scheduled", -605_000, "null", "0", 1, 35_000},
		{"sold_out", 60_000, "9", "60", 0, -1},
		{"closed", 60_000, "9", "60", 0, -1},
	} {
		got := said[float64](v, fmt.Sprintf(`(ms => ms === Infinity ? -1 : ms)(d.pause(
			{ state: %q, opens_at: new Date(%d).toISOString(), poll_s: [2, 10] }, new Date(%d).toISOString(), %s, %s, %d, %v))`,
			tt.state, opens, opens-600_000, tt.ahead, tt.rate, opens+tt.now, tt.random))
		require.InDelta(t, tt.want, got, 1e-6, "%+v", tt)
	}
	// The simulation waits as long (drop.Pause).
	for _, ahead := range []float64{0, 1, 30, 100, 500, 9000} {
		got := said[float64](v, fmt.Sprintf(`d.pause(
			{ state: "open", opens_at: new Date(0).toISOString(), poll_s: [2, 10] }, new Date(0).toISOString(), %v, 60, 1000, .4)`, ahead))
		require.InDelta(t, drop.Pause([2]int64{2, 10}, ahead, .4)*1000, got, 1e-6, "%v", ahead)
	}
}

// published is the proof of a drop, as its service publishes it.
func published(t testing.TB, n, late int) (proof.Document, []proof.Hex) {
	t.Helper()
	secret := [32]byte{7}
	key := proof.HeadKey([]byte("a setting"))
	rules := fmt.Sprintf(`{"drop":"lamp","beacon":"commit","title":"Lämp","head_key":"%x"}`, []byte(key.Public().(ed25519.PublicKey)))
	d := proof.Document{Drop: "lamp", State: "open", Rules: rules}
	commitment := drop.Commitment(d.Drop, []byte(d.Rules), secret)
	log := proof.NewTree(false)
	var leaves []proof.Hex
	for i := range n + late {
		leaf := proof.Leaf([16]byte{byte(i), byte(i >> 8), byte(i >> 16)}, [16]byte{1, byte(i)}, []byte{9, byte(i)})
		leaves = append(leaves, leaf[:])
		if i < n {
			require.NoError(t, log.Add(leaf[:]))
		}
		if i%max(5, n/60) == 2 && i < n || i == n-1 {
			d.Heads = append(d.Heads, proof.SignHead(key, d.Drop, log.Size(), log.Root(), time.Now()))
		}
	}
	root, size := log.Root(), uint64(n)
	seed := drop.Seed(secret, nil, root, size)
	d.N, d.Root, d.Secret, d.Commitment, d.Seed = &size, root[:], secret[:], commitment[:], seed[:]
	return d, leaves
}

// TestDropProof: a browser finds right what is right, and each way in which a shop could have changed it wrong.
func TestDropProof(t *testing.T) {
	t.Parallel()
	v := script(t)
	check := func(change func(d *proof.Document, leaves []proof.Hex) []proof.Hex) string {
		d, leaves := published(t, 13, 4)
		if change != nil {
			leaves = change(&d, leaves)
		}
		doc, err := json.Marshal(d)
		require.NoError(t, err)
		lines, err := json.Marshal(leaves)
		require.NoError(t, err)
		return said[string](v, `{
			try { return "seed " + d.hex(d.check(`+string(doc)+`, `+string(lines)+`, () => {})) } catch (wrong) { return wrong }
		}`)
	}
	signed := func(change func(d *proof.Document)) (said string) {
		d, _ := published(t, 13, 4)
		change(&d)
		doc, err := json.Marshal(d)
		require.NoError(t, err)
		v.Run(chromedp.Evaluate(`stampedeDrop.signed(`+string(doc)+`).then(String, wrong => wrong)`, &said,
			func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
		return said
	}
	require.Equal(t, "true", signed(func(*proof.Document) {}))
	for what, change := range map[string]func(d *proof.Document){
		"another size":      func(d *proof.Document) { d.Heads[1].Size++ },
		"another root":      func(d *proof.Document) { d.Heads[1].Root[0]++ },
		"another time":      func(d *proof.Document) { d.Heads[1].At = d.Heads[1].At.Add(time.Millisecond) },
		"another drop":      func(d *proof.Document) { d.Drop = "lamps" },
		"another key":       func(d *proof.Document) { d.Heads[1].Key[0]++ },
		"another signature": func(d *proof.Document) { d.Heads[1].Signature[0]++ },
		"no key":            func(d *proof.Document) { d.Heads[1].Key = nil },
	} {
		require.Equal(t, "The shop has not signed what is told of its log.", signed(change), what)
	}
	for _, subtle := range []string{ // a page that came by http, and an older browser
		"undefined", `{ importKey: () => Promise.reject(new DOMException("", "NotSupportedError")) }`,
	} {
		v.Run(chromedp.Evaluate(`void Object.defineProperty(crypto, "subtle", { configurable: true, value: `+subtle+` })`, nil))
		require.Equal(t, "false", signed(func(*proof.Document) {}), subtle)
	}
	right, leaves := published(t, 13, 4)
	require.Equal(t, "seed "+fmt.Sprintf("%x", []byte(right.Seed)), check(nil))
	require.Equal(t, fmt.Sprintf("%x", []byte(leaves[3])),
		said[string](v, `d.leafOf("03000000-0000-0000-0000-000000000000", "01030000-0000-0000-0000-000000000000", "0903")`))
	for says, change := range map[string]func(d *proof.Document, leaves []proof.Hex) []proof.Hex{
		"not what they were": func(_ *proof.Document, l []proof.Hex) []proof.Hex { l[1], l[2] = l[2], l[1]; return l },
		"another key than": func(d *proof.Document, l []proof.Hex) []proof.Hex {
			head := d.Heads[0]
			d.Heads[0] = proof.SignHead(proof.HeadKey([]byte("a fresh one")), d.Drop, head.Size, [32]byte(head.Root), head.At)
			return l
		},
		"fewer entries":  func(_ *proof.Document, l []proof.Hex) []proof.Hex { return l[:12] },
		"is another one": func(d *proof.Document, l []proof.Hex) []proof.Hex { *d.N = 12; return l },
		"is another":     func(d *proof.Document, l []proof.Hex) []proof.Hex { d.Heads = d.Heads[:2]; return l },
		"rules were changed": func(d *proof.Document, l []proof.Hex) []proof.Hex {
			d.Rules = strings.Replace(d.Rules, "ä", "a", 1)
			return l
		},
		"The secret is not": func(d *proof.Document, l []proof.Hex) []proof.Hex { d.Secret[0]++; return l },
		"does not follow":   func(d *proof.Document, l []proof.Hex) []proof.Hex { d.Seed[0]++; return l },
	} {
		require.Contains(t, check(change), says)
	}
}

// checks is a page that checks a drop's proof, of its first reader's entry, and the address of the shop that has it.
func checks(t testing.TB, d proof.Document, leaves []proof.Hex) *shop.Shop {
	t.Helper()
	files := http.FileServer(http.Dir("../../apps/store/assets"))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/":
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte(`<!doctype html><html lang="en"><div id="verify" data-slug="lamp" data-idx="0" data-salt="0900"
				data-entry="00000000-0000-0000-0000-000000000000" data-account="01000000-0000-0000-0000-000000000000"></div>
				<p id="verify-result"></p><ol id="verify-steps"></ol><script src="/drop.js"></script>`))
		case strings.HasSuffix(r.URL.Path, "/proof"):
			_ = json.NewEncoder(w).Encode(d)
		case strings.HasSuffix(r.URL.Path, "/leaves"):
			from, _ := strconv.Atoi(r.URL.Query().Get("from"))
			_ = json.NewEncoder(w).Encode(map[string]any{"leaves": leaves[from:min(from+10_000, len(leaves))]})
		default:
			files.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return &shop.Shop{Base: server.URL}
}

// TestDropChecked: the page says step by step what it has found right, and whose signatures it has checked.
func TestDropChecked(t *testing.T) {
	t.Parallel()
	d, leaves := published(t, 13, 4)
	v := Visit(t, checks(t, d, leaves), 800, 600).Open("/").Sees("Everything fits")
	v.Sees("with the key that its rules had named").Sees("Your own entry is number 1").Sees("Your place follows")
	d.Heads[1].Signature[0]++
	Visit(t, checks(t, d, leaves), 800, 600).Open("/").Sees("The shop has not signed what is told of its log.")
	var rules map[string]any
	d, leaves = published(t, 13, 4)
	require.NoError(t, json.Unmarshal([]byte(d.Rules), &rules))
	delete(rules, "head_key")
	text, err := json.Marshal(rules)
	require.NoError(t, err)
	commitment := drop.Commitment(d.Drop, text, [32]byte(d.Secret))
	d.Rules, d.Commitment = string(text), commitment[:]
	Visit(t, checks(t, d, leaves), 800, 600).Open("/").Sees("Everything fits").Sees("the rules name no key")
}

// BenchmarkDropChecked is how long the page takes, from being asked for, at a drop to which 100,000 came, with a head each 10 s of ten
// minutes: docs/decisions/drops.md has the figure.
func BenchmarkDropChecked(b *testing.B) {
	d, leaves := published(b, 100_000, 0)
	v := Visit(b, checks(b, d, leaves), 800, 600)
	for b.Loop() {
		v.Open("/").Until("it has checked all", `document.querySelector("#verify-result").textContent.startsWith("Everything fits")`)
	}
}

// TestDropFollows: a page goes on by itself as the status does, says once what it shows, says when it knows nothing new, and
// asks for nothing of its own before it is its turn. Its worker counts the time.
func TestDropFollows(t *testing.T) {
	t.Parallel()
	status := func(state string, called, second int) string {
		return fmt.Sprintf(`{"state":%q,"now":"2026-12-04T18:00:%02dZ","opens_at":"2026-12-04T18:00:00Z","entered":50,"n":50,"message":"",
			"poll_s":[1,1],"skus":[{"sku":"A","called":%d,"free":5,"held":0,"sold":0,"rate_per_min":60,"likely_below":%d}]}`,
			state, second, called, called+10)
	}
	begins := fmt.Sprintf(`{"slug":"lamp","preset":"queue","begins":"2026-12-04T17:50:00Z","stage":"waiting","status":%s,
		"me":{"idx":3,"position":20,"left":false,"excluded":false,"claims":[{"sku":"A","state":"","standby":0},
			{"sku":"B","state":"refused","standby":0}]}}`, status("open", 5, 10))
	page := `<!doctype html><html lang="en"><title>Lamp</title><div id="drop" data-drop="` + html.EscapeString(begins) + `">
		<p id="drop-message"></p><p id="drop-old" hidden><span id="drop-age"></span></p>
		<section data-stage="waiting"><h2><span data-n="ahead">15</span> before you</h2><progress></progress><p data-n="wait"></p>
		<p hidden><span data-odds="A"></span></p></section>
		<section data-stage="turn" class="now" hidden><h2>It is your turn</h2><p data-row="A" hidden>Take it</p>
			<p data-row="B" hidden>Take fewer</p></section>
		<section data-stage="sold-out" hidden><h2>Sold out</h2></section></div><p id="drop-said"></p><script src="/drop.js"></script>`
	var now atomic.Value // what the status says; empty: nothing
	var asked sync.Map
	now.Store(status("open", 12, 12))
	files := http.FileServer(http.Dir("../../apps/store/assets"))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.URL.Path, true)
		switch text := now.Load().(string); {
		case r.URL.Path == "/":
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte(page))
		case r.URL.Path == "/drop.js":
			files.ServeHTTP(w, r)
		case r.URL.Path == "/api/v1/drops/lamp/status" && text != "":
			_, _ = w.Write([]byte(text))
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	shows := func(v *Visitor, stage string) {
		v.Until("at the stage "+stage,
			`[...document.querySelectorAll("section")].filter(e => !e.hidden).map(e => e.dataset.stage).join() === `+Quote(stage))
	}
	v := Visit(t, &shop.Shop{Base: server.URL}, 800, 600).Open("/")
	v.Until("eight before me", `document.querySelector("[data-n=ahead]").textContent === "8" &&
		document.querySelector("progress").value === 12`)
	v.Sees("It may be your turn within a minute").Sees("It is likely that there is one for you")
	v.Until("nothing is read out while numbers move", `document.querySelector("#drop-said").textContent === ""`)
	_, own := asked.Load("/drops/lamp/body")
	require.False(t, own, "nothing of one's own is asked for")
	now.Store("")
	v.Until("it says that it is old", `!document.querySelector("#drop-old").hidden`)
	now.Store(status("open", 21, 30))
	shows(v, "turn")
	v.Until("said once", `document.querySelector("#drop-said").textContent === "It is your turn" &&
		document.title === "It is your turn · Lamp"`)
	v.Until("it can be taken, and what was refused asked for again",
		`[...document.querySelectorAll("[data-row]")].every(e => !e.hidden) && document.querySelector("#drop-old").hidden`)
	now.Store(status("sold_out", 21, 40))
	shows(v, "sold-out")
	v.Until("said", `document.querySelector("#drop-said").textContent === "Sold out" && document.title === "Lamp"`)
}

// TestDropMoreTime: what is held is warned of two minutes before its end, once, and more time is offered then; with much time
// left neither is there. Who is near waits for news of the entry.
func TestDropMoreTime(t *testing.T) {
	t.Parallel()
	const status = `{"state":"open","now":"2026-12-04T18:00:05Z","opens_at":"2026-12-04T18:00:00Z","entered":50,"n":50,"message":"",
		"poll_s":[1,1],"skus":[{"sku":"A","called":30,"free":5,"held":1,"sold":0,"rate_per_min":60}]}`
	page := func(stage, claim string, position int, ends string) string {
		begins := fmt.Sprintf(`{"slug":"lamp","preset":"queue","begins":"2026-12-04T17:50:00Z","stage":%q,"status":%s,
			"me":{"idx":3,"position":%d,"left":false,"excluded":false,"version":"v1","claims":[%s]}}`, stage, status, position, claim)
		return `<!doctype html><html lang="en"><title>Lamp</title><div id="drop" data-drop="` + html.EscapeString(begins) + `">
			<p id="drop-message"></p><p id="drop-old" hidden><span id="drop-age"></span></p>
			<section data-stage="` + stage + `" class="now"><h2>Yours <span data-ends="` + ends + `">until then</span></h2>
			<span data-n="ahead"></span><progress></progress>
			<form data-more-time><button>I need more time</button></form></section></div>
			<p id="drop-said"></p><script src="/drop.js"></script>`
	}
	held := `{"sku":"A","state":"held","standby":0,"more_time":2}`
	pages := map[string]string{
		"/soon":  page("holding", held, 20, "2026-12-04T18:01:45Z"),
		"/later": page("holding", held, 20, "2026-12-04T18:09:45Z"),
		"/near":  page("waiting", `{"sku":"A","state":"","standby":0}`, 35, ""),
		"/far":   page("waiting", `{"sku":"A","state":"","standby":0}`, 900, ""),
	}
	var waited sync.Map // by the page that asks
	files := http.FileServer(http.Dir("../../apps/store/assets"))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch text := pages[r.URL.Path]; {
		case text != "":
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte(text))
		case r.URL.Path == "/drop.js":
			files.ServeHTTP(w, r)
		case strings.HasSuffix(r.URL.Path, "/status"):
			_, _ = w.Write([]byte(status))
		case r.URL.Query().Get("since") == "v1" && r.URL.Query().Has("wait"):
			from, _ := url.Parse(r.Referer())
			n, _ := waited.LoadOrStore(from.Path, new(atomic.Int64))
			n.(*atomic.Int64).Add(1)
			w.WriteHeader(http.StatusServiceUnavailable) // no place to wait
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	s := &shop.Shop{Base: server.URL}
	v := Visit(t, s, 800, 600).Open("/soon")
	v.Until("warned", `document.querySelector("#drop-said").textContent ===
		"Two minutes are left to pay for what is held for you. You can ask for more time."`)
	v.Until("offered", `!document.querySelector("[data-more-time]").hidden`)
	v.Open("/later")
	v.Until("not yet", `document.querySelector("[data-more-time]").hidden && /\d:\d\d/.test(document.querySelector("h2").textContent)`)
	v.Until("nothing is said", `document.querySelector("#drop-said").textContent === ""`)
	for path, want := range map[string]bool{"/near": true, "/far": false} {
		v.Open(path)
		v.Until("it has looked twice", `performance.getEntriesByType("resource").filter(e => e.name.endsWith("/status")).length > 1`)
		n, ok := waited.Load(path)
		require.Equal(t, want, ok, path)
		if ok {
			require.EqualValues(t, 1, n.(*atomic.Int64).Load(), "where there is no place it follows the status alone")
		}
	}
}

// TestMoreTimeAtCheckout: where it is paid for, more time is offered two minutes before the end, and said once; the server's clock
// counts as well, since a device's may be wrong.
func TestMoreTimeAtCheckout(t *testing.T) {
	t.Parallel()
	page := func(by string, left int) string {
		return fmt.Sprintf(`<!doctype html><html lang="en"><title>Checkout</title><dialog id="drawer"></dialog><div id="toast"></div>
			<a id="cart-link"></a><div data-longer="%s" data-left="%d"><button>I need more time</button></div>
			<script>const at = document.querySelector("[data-longer]"), left = at.dataset.longer;
			at.dataset.longer = new Date(Date.now() + left * 1000).toISOString();
			window.said = []; new MutationObserver(() => said.push(document.querySelector("#toast").textContent))
			.observe(document.querySelector("#toast"), { childList: true });</script><script src="/store.js"></script>`, by, left)
	}
	pages := map[string]string{
		"/soon": page("110", 110), "/later": page("600", 600), "/behind": page("7200", 110), "/asleep": page("110", 7200),
	}
	files := http.FileServer(http.Dir("../../apps/store/assets"))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text := pages[r.URL.Path]; text != "" {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte(text))
			return
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	v := Visit(t, &shop.Shop{Base: server.URL}, 800, 600)
	for _, path := range []string{"/soon", "/behind", "/asleep"} {
		v.Open(path).Until("offered, and said once", `!document.querySelector("[data-longer]").hidden && performance.now() > 2500 &&
			said.join() === "Two minutes are left to pay for what is held for you. You can ask for more time."`)
	}
	v.Open("/later").Until("not yet", `document.querySelector("[data-longer]").hidden && performance.now() > 1500 && said.length === 0`)
}
