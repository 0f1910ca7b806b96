package nginx

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	lua "github.com/yuin/gopher-lua"

	"github.com/stampede-shop/stampede/drop"
	"github.com/stampede-shop/stampede/kit/contract"
)

// tickets is lua/tickets.lua, run by itself: the libraries that it has in Nginx are Go's own here. lua/hash.lua, which
// calls them there, and lua/statuses.lua are tested by tests/gateway.
type tickets struct {
	vm   *lua.LState
	self lua.LValue
}

func newTickets(t *testing.T) tickets {
	vm := lua.NewState()
	t.Cleanup(vm.Close)
	text := func(fn func(args ...string) lua.LValue) *lua.LFunction {
		return vm.NewFunction(func(vm *lua.LState) int {
			var args []string
			for i := range vm.GetTop() {
				args = append(args, vm.CheckString(i+1))
			}
			vm.Push(fn(args...))
			return 1
		})
	}
	library := func(name string, functions map[string]*lua.LFunction) {
		vm.PreloadModule(name, func(vm *lua.LState) int {
			table := vm.NewTable()
			for name, fn := range functions {
				table.RawSetString(name, fn)
			}
			vm.Push(table)
			return 1
		})
	}
	library("hash", map[string]*lua.LFunction{
		"sha256": text(func(args ...string) lua.LValue {
			sum := sha256.Sum256([]byte(args[0]))
			return lua.LString(sum[:])
		}),
		"hmac": text(func(args ...string) lua.LValue {
			mac := hmac.New(sha256.New, []byte(args[0]))
			mac.Write([]byte(args[1]))
			return lua.LString(mac.Sum(nil))
		}),
		"equal": text(func(args ...string) lua.LValue { return lua.LBool(args[0] == args[1]) }),
	})
	library("ngx.base64", map[string]*lua.LFunction{
		"encode_base64url": text(func(args ...string) lua.LValue {
			return lua.LString(base64.RawURLEncoding.EncodeToString([]byte(args[0])))
		}),
		"decode_base64url": text(func(args ...string) lua.LValue {
			data, err := base64.RawURLEncoding.DecodeString(args[0])
			if err != nil {
				return lua.LNil
			}
			return lua.LString(data)
		}),
	})
	library("statuses", nil)
	require.NoError(t, vm.DoFile("lua/tickets.lua"))
	return tickets{vm, vm.Get(-1)}
}

// call gives both results of a function.
func (k tickets) call(t *testing.T, name string, args ...lua.LValue) (lua.LValue, lua.LValue) {
	require.NoError(t, k.vm.CallByParam(lua.P{Fn: k.vm.GetField(k.self, name), NRet: 2, Protect: true}, args...))
	defer k.vm.Pop(2)
	return k.vm.Get(-2), k.vm.Get(-1)
}

func (k tickets) set(t *testing.T, key string) { k.call(t, "init", lua.LString(key)) }

// TestTickets: the gateway reads tickets as the service does.
func TestTickets(t *testing.T) {
	t.Parallel()
	k := newTickets(t)
	data, err := os.ReadFile("../../drop/testdata/tickets.json")
	require.NoError(t, err)
	var examples []struct {
		Name, Setting, Drop, Ticket string
		Now, Idx                    int64
		Good                        bool
	}
	require.NoError(t, json.Unmarshal(data, &examples))
	require.NotEmpty(t, examples)
	for _, e := range examples {
		k.set(t, e.Setting)
		entry, idx := k.call(t, "read", lua.LString(e.Ticket), lua.LString(e.Drop), lua.LNumber(e.Now))
		require.Equal(t, e.Good, entry != lua.LNil, e.Name)
		if e.Good {
			require.Equal(t, lua.LNumber(e.Idx), idx, e.Name)
			k.set(t, strings.Repeat("another key ", 3)+","+e.Setting)
			entry, _ = k.call(t, "read", lua.LString(e.Ticket), lua.LString(e.Drop), lua.LNumber(e.Now))
			require.NotEqual(t, lua.LNil, entry, "another key takes the place of its own")
		}
	}

	const setting = "0123456789abcdef0123456789abcdef"
	long := drop.Ticket{Drop: "spring", Entry: strings.Repeat("e", 1000), ExpiresAt: 2e9}.Sign(drop.TicketKey([]byte(setting), "spring"))
	entry, _ := k.call(t, "read", lua.LString(long), lua.LString("spring"), lua.LNumber(1e9))
	require.Equal(t, lua.LNil, entry, "longer than any is")

	for _, short := range []string{"", "short", setting + ","} {
		init := lua.P{Fn: k.vm.GetField(k.self, "init"), Protect: true}
		require.ErrorContains(t, k.vm.CallByParam(init, lua.LString(short)), "DROPS_KEY", short)
	}
}

// TestPositions: the gateway computes what drop.Position does.
func TestPositions(t *testing.T) {
	t.Parallel()
	k := newTickets(t)
	position := func(idx, n uint64, seed []byte) uint64 {
		place, _ := k.call(t, "position", lua.LNumber(idx), lua.LNumber(n), lua.LString(seed))
		return uint64(lua.LVAsNumber(place))
	}
	text, err := os.ReadFile("../../drop/testdata/shuffle.csv")
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimSpace(line), ",")
		seed, err := hex.DecodeString(fields[0])
		require.NoError(t, err)
		places := strings.Split(fields[2], ":")
		n := uint64(len(places))
		for _, idx := range []uint64{0, n / 2, n - 1} {
			if fields[1] == "0" {
				break
			}
			require.Equal(t, places[idx], strconv.FormatUint(position(idx, n, seed), 10), "%d of %d", idx, n)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []uint64{255, 256, 257, 100_000, 10_000_000, 1<<32 + 5, 1 << 40} {
		for range 10 {
			var seed [32]byte
			for i := range seed {
				seed[i] = byte(r.Uint32())
			}
			idx := r.Uint64N(n)
			require.Equal(t, drop.Position(idx, n, seed), position(idx, n, seed[:]), "%d of %d", idx, n)
		}
	}
}

// TestCalled: the gateway finds in a status as drops answers it who is called, and says nothing when it does not.
func TestCalled(t *testing.T) {
	t.Parallel()
	k := newTickets(t)
	d, err := contract.Of("drops")
	require.NoError(t, err)
	var seed [32]byte
	copy(seed[:], "a seed")
	status := func(of map[string]any) string {
		body, err := d.Like(http.MethodGet, "/api/v1/drops/{slug}/status", of)
		require.NoError(t, err)
		return string(body)
	}
	lots := func(called ...int) (list []any) {
		for _, n := range called {
			list = append(list, map[string]any{"sku": `"called":99`, "called": n})
		}
		return list
	}
	const n = 1000
	open := map[string]any{
		"n": n, "seed": hex.EncodeToString(seed[:]), "message": `"called":99,"n":9 "seed":"00"`, "skus": lots(10, 40, 20),
	}
	with := func(changes map[string]any) map[string]any {
		of := map[string]any{}
		for key, value := range open {
			of[key] = value
		}
		for key, value := range changes {
			if of[key] = value; value == "" {
				delete(of, key)
			}
		}
		return of
	}
	at := make([]int, n) // idx by position
	for idx, place := range drop.Positions(n, seed) {
		at[place] = idx
	}
	ask := func(text string, idx int, known lua.LValue) (lua.LValue, lua.LValue) {
		return k.call(t, "called", lua.LString(text), lua.LNumber(idx), known)
	}
	for name, c := range map[string]struct {
		status string
		idx    int
		want   lua.LValue
	}{
		"the first one":                   {status(open), at[0], lua.LTrue},
		"the last one":                    {status(open), at[39], lua.LTrue},
		"the next one":                    {status(open), at[40], lua.LFalse},
		"who came after the draw":         {status(open), n, lua.LFalse},
		"… and is called":                 {status(with(map[string]any{"skus": lots(n + 1)})), n, lua.LTrue},
		"nobody waited":                   {status(with(map[string]any{"n": 0, "skus": lots(1)})), 0, lua.LTrue},
		"before the opening":              {status(with(map[string]any{"n": nil, "seed": ""})), 0, lua.LFalse},
		"drawing":                         {status(with(map[string]any{"seed": ""})), 0, lua.LFalse},
		"no lots":                         {status(with(map[string]any{"skus": lots()})), 0, lua.LNil},
		"too many to compute exactly":     {status(with(map[string]any{"n": 1<<40 + 1})), 0, lua.LNil},
		"a seed that is none":             {strings.Replace(status(open), `"seed":"61`, `"seed":"`, 1), 0, lua.LNil},
		"nothing":                         {"", 0, lua.LNil},
		"a page":                          {"<html>called</html>", 0, lua.LNil},
		"an error of the sidecar, as 200": {`{"errorCode":"ERR_DIRECT_INVOKE"}`, 0, lua.LNil},
	} {
		is, place := ask(c.status, c.idx, lua.LNil)
		require.Equal(t, c.want, is, name)
		if c.want == lua.LTrue && place != lua.LNil {
			is, again := ask(c.status, 7, place)
			require.Equal(t, lua.LTrue, is, "%s: what is known is not computed again", name)
			require.Equal(t, place, again)
		}
	}
}
