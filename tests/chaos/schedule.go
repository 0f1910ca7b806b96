// Package chaos breaks anything of the running shop at random moments while people buy, cancel and get money back, then
// lets it settle and proves that nothing was lost: no order, no money, no unit and no mail. A seed decides what happens
// when, so that it happens again.
package chaos

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Act is one thing that happens to the shop.
type Act struct {
	At     time.Duration // after people began to buy
	Kind   Kind
	Target string        // a process of `make status`, or the part whose connections are meant
	For    time.Duration // how long; 0 for what is over at once
	Value  int           // milliseconds of a delay, KB a second of a slow line, requests that hang up
}

// Kind is what is done.
type Kind string

// What is done to processes, to the connections to a part of the infrastructure, and to events.
const (
	Kill     Kind = "kill"      // SIGKILL; the supervisor starts it again
	Pause    Kind = "pause"     // SIGSTOP, then SIGCONT
	HangUp   Kind = "hang up"   // requests whose clients do not wait for the answer
	Cut      Kind = "cut"       // connections end and new ones are refused
	Delay    Kind = "delay"     // every piece of data comes later
	Slow     Kind = "slow"      // little data a second
	Swallow  Kind = "swallow"   // connections stay open and nothing arrives
	DiskFull Kind = "disk full" // the broker takes nothing more
	Twice    Kind = "twice"     // events that were sent are sent again
	Late     Kind = "late"      // the same, later
	Lost     Kind = "lost"      // events are taken for sent that nobody gets
)

// Wires are the parts to which the shop's connections can be broken.
var Wires = []string{"maildev", "postgres", "rabbitmq", "redis"}

// deck is what happens before anything happens again: a minute and a half has all of it.
var deck = []struct {
	kind Kind
	what string // of which processes
}{
	{Kill, "app"}, {Kill, "drops"}, {Kill, "sidecar"}, {Kill, "sidecar"}, {Kill, "part"}, {Kill, "part"}, {Pause, "any"}, {Pause, "any"},
	{HangUp, ""}, {Cut, "wire"}, {Delay, "wire"}, {Slow, "wire"}, {Swallow, "wire"}, {DiskFull, ""}, {Twice, ""}, {Late, ""}, {Lost, ""}, {Lost, ""},
}

// Plan decides what happens within length to a shop of these processes. The same seed decides the same.
func Plan(seed uint64, length time.Duration, processes []string) []Act {
	r := rand.New(rand.NewPCG(seed, 0))
	processes = slices.Sorted(slices.Values(processes))
	groups := map[string][]string{"any": processes, "wire": Wires}
	for _, p := range processes {
		group := "part"
		if strings.HasSuffix(p, "-daprd") {
			group = "sidecar"
		} else if slices.Contains(processes, p+"-daprd") {
			group = "app"
		}
		groups[group] = append(groups[group], p)
		if (Act{Target: p}).Part() == "drops" { // in the middle of the sale
			groups["drops"] = append(groups["drops"], p)
		}
	}
	between := func(least, most time.Duration) time.Duration {
		return (least + rand64(r, most-least)).Round(10 * time.Millisecond)
	}
	free := map[string]time.Duration{} // until then something happens to it
	var acts []Act
	var cards []int
	for at := between(2*time.Second, 4*time.Second); at < length-2*time.Second; at += between(2*time.Second, 5500*time.Millisecond) {
		if len(cards) == 0 {
			cards = r.Perm(len(deck))
		}
		card := deck[cards[0]]
		cards = cards[1:]
		a := Act{At: at, Kind: card.kind}
		busy := time.Duration(0)
		switch a.Kind {
		case Kill:
			busy = 4 * time.Second
		case Pause:
			a.For = between(3*time.Second, 20*time.Second)
		case HangUp:
			a.Value = 1_000 + r.IntN(2_000)
		case Cut:
			a.For = between(500*time.Millisecond, 8*time.Second)
		case Delay:
			a.For, a.Value = between(4*time.Second, 15*time.Second), 200+r.IntN(1_800)
		case Slow:
			a.For, a.Value = between(4*time.Second, 15*time.Second), 4+r.IntN(60)
		case Swallow:
			a.For = between(3*time.Second, 15*time.Second)
		case DiskFull:
			a.For = 10 * time.Second
		case Late:
			a.Value = 3_000 + r.IntN(15_000)
		case Lost:
			a.For = between(2*time.Second, 4*time.Second)
		case Twice:
		}
		if group := groups[card.what]; len(group) > 0 {
			first := r.IntN(len(group))
			for i := range group {
				if name := group[(first+i)%len(group)]; free[name] <= at {
					a.Target = name
					break
				}
			}
			if a.Target == "" {
				continue
			}
		}
		free[a.Target] = at + a.For + busy
		acts = append(acts, a)
	}
	return acts
}

func rand64(r *rand.Rand, below time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(below)))
}

// End is when it is over.
func (a Act) End() time.Duration { return a.At + a.For }

func (a Act) String() string {
	text := fmt.Sprintf("%6.2fs  %s", a.At.Seconds(), a.Kind)
	if a.Target != "" {
		text += " " + a.Target
	}
	switch a.Kind {
	case HangUp:
		text += fmt.Sprintf(", %d requests", a.Value)
	case Delay:
		text += fmt.Sprintf(" by %d ms", a.Value)
	case Slow:
		text += fmt.Sprintf(", %d KB/s", a.Value)
	case Late:
		text += fmt.Sprintf(", within %d ms", a.Value)
	case Kill, Pause, Cut, Swallow, DiskFull, Twice, Lost:
	}
	if a.For > 0 {
		text += fmt.Sprintf(" for %.1f s", a.For.Seconds())
	}
	return text
}

// further ends the name of an instance that is not the first.
var further = regexp.MustCompile(`-[0-9]+$`)

// Part is which part of the shop has to recover.
func (a Act) Part() string {
	switch a.Kind {
	case HangUp:
		return "nginx"
	case DiskFull, Twice, Late, Lost:
		return "rabbitmq"
	case Kill, Pause, Cut, Delay, Slow, Swallow:
	}
	part := further.ReplaceAllString(strings.TrimSuffix(a.Target, "-daprd"), "")
	if part == "epmd" {
		return "rabbitmq"
	}
	return part
}
