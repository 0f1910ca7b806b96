package nginx

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	lua "github.com/yuin/gopher-lua"
)

// admission is lua/admission.lua, run by itself.
type admission struct {
	vm    *lua.LState
	self  *lua.LTable
	start float64 // the time at which a simulation begins
}

func newAdmission(t *testing.T) admission {
	vm := lua.NewState()
	t.Cleanup(vm.Close)
	require.NoError(t, vm.DoFile("lua/admission.lua"))
	a := admission{vm: vm, self: vm.Get(-1).(*lua.LTable)}
	a.self = a.call(t, "new").(*lua.LTable)
	return a
}

func (a admission) call(t *testing.T, name string, args ...lua.LValue) lua.LValue {
	require.NoError(t, a.vm.CallByParam(lua.P{Fn: a.vm.GetField(a.self, name), NRet: 1, Protect: true}, args...))
	defer a.vm.Pop(1)
	return a.vm.Get(-1)
}

func (a admission) enter(t *testing.T, class string) bool {
	return lua.LVAsBool(a.call(t, "enter", a.self, lua.LString(class)))
}

// leave takes the time and the answer's seconds, negative when nobody was asked.
func (a admission) leave(t *testing.T, class string, now, took float64) {
	seconds := lua.LValue(lua.LNumber(took))
	if took < 0 {
		seconds = lua.LNil
	}
	a.call(t, "leave", a.self, lua.LString(class), lua.LNumber(now), seconds)
}

func (a admission) number(name string) float64 {
	return float64(lua.LVAsNumber(a.vm.GetField(a.self, name)))
}

// load is one class's requests in a simulated shop.
type load struct {
	class  string
	rate   float64       // requests a second
	from   time.Duration // since the beginning
	until  time.Duration
	work   time.Duration // of one processor until it is answered
	beyond time.Duration // and after that
}

// outcome is what became of a load.
type outcome struct {
	offered, refused int
	took             []float64 // seconds of each that was answered, in the order of their ends
}

func (o outcome) slowest() float64 { return slices.Max(o.took) }

const step = 0.001 // seconds

// simulate lets loads come, evenly, to a shop whose processors are shared equally by all that is in hand.
func simulate(t *testing.T, a admission, processors float64, length time.Duration, loads ...load) []outcome {
	type task struct {
		load        int // -1: what goes on after an answer
		since, left float64
	}
	outcomes := make([]outcome, len(loads))
	due := make([]float64, len(loads))
	var tasks []task
	for now := 0.0; now < length.Seconds(); now += step {
		for i, l := range loads {
			if now >= l.from.Seconds() && now < l.until.Seconds() {
				due[i] += l.rate * step
			}
			for ; due[i] >= 1; due[i]-- {
				outcomes[i].offered++
				if !a.enter(t, l.class) {
					outcomes[i].refused++
					continue
				}
				tasks = append(tasks, task{i, now, l.work.Seconds()})
			}
		}
		share := min(1, processors/float64(len(tasks))) * step
		kept := tasks[:0]
		var more []task
		for _, k := range tasks {
			if k.left -= share; k.left > 0 {
				kept = append(kept, k)
				continue
			}
			if k.load >= 0 {
				l := loads[k.load]
				outcomes[k.load].took = append(outcomes[k.load].took, now-k.since)
				a.leave(t, l.class, a.start+now, now-k.since)
				if l.beyond > 0 {
					more = append(more, task{-1, now, l.beyond.Seconds()})
				}
			}
		}
		tasks = append(kept, more...)
	}
	return outcomes
}

// What requests cost here: browsing, and an order until it is answered and after that.
const (
	browseWork     = 5 * time.Millisecond
	checkoutWork   = 33 * time.Millisecond
	checkoutBeyond = 35 * time.Millisecond
)

// TestOverload: at four times what the shop can do it does at least 80 % of
// that, and nobody who was let in waits over 2 s, from the first second on.
func TestOverload(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		processors float64
		load       load
	}{
		"browsing":                   {2, load{class: "browse", work: browseWork}},
		"browsing, 16 processors":    {16, load{class: "browse", work: browseWork}},
		"carts":                      {2, load{class: "cart", work: 10 * time.Millisecond}},
		"logins":                     {2, load{class: "login", work: 100 * time.Millisecond}},
		"checkout":                   {2, load{class: "checkout", work: checkoutWork}},
		"checkout, 16 processors":    {16, load{class: "checkout", work: checkoutWork}},
		"checkout, half a processor": {0.5, load{class: "checkout", work: checkoutWork}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const length = 10 * time.Second
			best := c.processors / c.load.work.Seconds()
			c.load.rate, c.load.until = 4*best, length
			o := simulate(t, newAdmission(t), c.processors, length, c.load)[0]
			require.GreaterOrEqual(t, float64(len(o.took)), 0.8*best*length.Seconds())
			require.LessOrEqual(t, o.slowest(), 2.0)
		})
	}
}

// TestOrder: who browses four times as much as the shop can do keeps nobody from checking out, and checkout four times
// as much as the shop can do is checkout all the same.
func TestOrder(t *testing.T) {
	t.Parallel()
	const length = 20 * time.Second
	browsing := load{class: "browse", rate: 1600, until: length, work: browseWork}
	checkouts := load{class: "checkout", rate: 10, until: length, work: checkoutWork, beyond: checkoutBeyond}

	o := simulate(t, newAdmission(t), 2, length, browsing, checkouts)
	require.Zero(t, o[1].refused)
	require.LessOrEqual(t, o[1].slowest(), 1.35)
	require.Positive(t, o[0].refused)
	require.Greater(t, len(o[0].took), 2000, "there was time for others")

	best := 2 / (checkoutWork + checkoutBeyond).Seconds()
	checkouts.rate = 4 * best
	o = simulate(t, newAdmission(t), 2, length, browsing, checkouts)
	require.Greater(t, float64(len(o[1].took)), 0.8*best*length.Seconds())
	require.LessOrEqual(t, o[1].slowest(), 2.0)
}

// TestSuddenCrowd: a crowd that comes at once, after much browsing or after little, is answered in time as far as it is
// let in.
func TestSuddenCrowd(t *testing.T) {
	t.Parallel()
	for _, before := range []float64{1600, 200} {
		o := simulate(t, newAdmission(t), 2, 25*time.Second,
			load{class: "browse", rate: before, until: 20 * time.Second, work: browseWork},
			load{class: "checkout", rate: 2000, from: 20 * time.Second, until: 20*time.Second + 200*time.Millisecond, work: checkoutWork})
		require.LessOrEqual(t, o[1].slowest(), 2.0)
		require.Greater(t, len(o[1].took), 10)
	}
}

// TestRoom: what the shop can do is not refused.
func TestRoom(t *testing.T) {
	t.Parallel()
	for name, processors := range map[string]float64{"2 processors": 2, "16 processors": 16} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const length = 10 * time.Second
			for i, o := range simulate(t, newAdmission(t), processors, length,
				load{class: "browse", rate: 50 * processors, until: length, work: browseWork},
				load{class: "cart", rate: 10 * processors, until: length, work: 2 * browseWork},
				load{class: "checkout", rate: 5 * processors, until: length, work: checkoutWork, beyond: checkoutBeyond}) {
				require.Zero(t, o.refused, "load %d", i)
			}
		})
	}
}

// TestCounts: what is put down again leaves no trace; who was never answered says nothing about the shop; who waits
// takes no room from anybody.
func TestCounts(t *testing.T) {
	t.Parallel()
	a := newAdmission(t)
	bound := a.number("bound")
	for _, class := range []string{"browse", "login", "cart", "checkout", "wait"} {
		n := 0
		for a.enter(t, class) {
			n++
		}
		require.Greater(t, n, 4, class)
		for range n {
			a.leave(t, class, 1, -1)
		}
		require.Zero(t, a.number("used"), class)
		require.Zero(t, a.number("waiting"), class)
		require.Equal(t, bound, a.number("bound"), class)
	}
	for a.enter(t, "wait") {
	}
	require.True(t, a.enter(t, "browse"))
}

// TestDropAdmitted: entries and claims of a drop are let in whatever is in hand, and nothing else is meanwhile.
func TestDropAdmitted(t *testing.T) {
	t.Parallel()
	a := newAdmission(t)
	for _, class := range []string{"browse", "login", "cart", "checkout"} {
		for a.enter(t, class) {
		}
	}
	for range 10_000 {
		require.True(t, a.enter(t, "drop"))
	}
	for range 10_000 {
		a.leave(t, "drop", 1, 0.1)
	}
	for _, class := range []string{"browse", "login", "cart", "checkout"} {
		require.False(t, a.enter(t, class), class)
	}
}

// TestFew: a few people are let in however slow the shop is.
func TestFew(t *testing.T) {
	t.Parallel()
	for class, few := range map[string]int{"browse": 50, "login": 5, "cart": 17, "checkout": 10} {
		a := newAdmission(t)
		for now := range 100 {
			n := 0
			for a.enter(t, class) {
				n++
			}
			require.GreaterOrEqual(t, n, few, class)
			for range n {
				a.leave(t, class, float64(now), 30)
			}
		}
	}
}

// TestHanging: a shop that does not answer at all is not given ever more, and is found well again when it is.
func TestHanging(t *testing.T) {
	t.Parallel()
	a, n := newAdmission(t), 0
	for now := 0.0; now < 300; now += 30 { // the time after which Nginx gives up
		for a.enter(t, "checkout") {
			n++
		}
		for ; n > 0; n-- {
			a.leave(t, "checkout", now+30, 30)
		}
	}
	const length, processors = 2 * time.Second, 64
	a.start = 400
	o := simulate(t, a, processors, length, load{class: "browse", rate: 20000, until: length, work: browseWork})[0]
	require.Greater(t, float64(len(o.took)), 0.8*length.Seconds()*processors/browseWork.Seconds())
}
