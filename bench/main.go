// Command bench measures a running shop from outside, as its visitors meet it:
// how many it serves in a second, how long they wait, and what each costs in
// time on a processor, statements, commits and calls between sidecars.
//
// `make bench` starts a stack for it, with a hundred thousand products and a
// million orders, and writes RESULTS.md. It also runs against any stack that
// make up has started:
//
//	go run ./bench -offset 2000 -only order -clients 1,64
//
// A stack whose first make up had BENCH=true tells more than others: its
// PostgreSQL counts statements, its apps serve profiles, and its shoppers'
// tokens are made here, without Keycloak.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options are what the command line says.
type options struct {
	run     string
	only    []string
	clients []int
	most    int
	limit   time.Duration
	profile []string
	top     int
	quick   bool
	results string
	size    int
	people  int
	save    string
	growth  string
	echo    int
	bytes   int
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	var only, clients, profile string
	offset := flags.Int("offset", 0, "PORT_OFFSET of the shop, which is then in .run-OFFSET")
	flags.StringVar(&o.run, "run", "", "the shop's folder, such as .run or .run-bench")
	flags.StringVar(&only, "only", "", "what to measure, with commas between: "+strings.Join(names(), ", "))
	flags.StringVar(&clients, "clients", "1,16,64,256", "how many clients order at once, with commas between")
	flags.IntVar(&o.most, "n", 1_000_000, "the most operations of one measurement")
	flags.DurationVar(&o.limit, "for", 20*time.Second, "how long one measurement takes")
	flags.StringVar(&profile, "profile", "", "apps to take a profile of while orders come, with commas between")
	flags.IntVar(&o.top, "top", 0, "how many of the dearest statements to list")
	flags.BoolVar(&o.quick, "quick", false, "only what shows most, in a few minutes")
	flags.StringVar(&o.results, "results", "", "the folder of RESULTS.md and its charts; none is written without it")
	flags.IntVar(&o.size, "size", 0, "so many orders are loaded first, with a tenth as many products,\n"+
		"as many mails and ten times as many rows of the ledger")
	flags.IntVar(&o.people, "people", 10_000, "how many come to the drop")
	flags.StringVar(&o.save, "save", "", "a file for what was measured, for -growth")
	flags.StringVar(&o.growth, "growth", "", "what was measured with fewer rows, to compare with")
	flags.IntVar(&o.echo, "echo", 0, "be the program that other answers are compared with, on this port")
	flags.IntVar(&o.bytes, "bytes", 1000, "how much that answers")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case o.run != "":
	case *offset != 0:
		o.run = ".run-" + strconv.Itoa(*offset)
	default:
		o.run = ".run"
	}
	for _, text := range strings.Split(clients, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return o, fmt.Errorf("-clients must be numbers, not %q", clients)
		}
		o.clients = append(o.clients, n)
	}
	if o.quick && only == "" {
		only, o.clients = "order,hot", []int{1, 64}
	}
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	for _, name := range o.only {
		if !slices.Contains(names(), name) {
			return o, fmt.Errorf("there is no measurement %q; there are %s", name, strings.Join(names(), ", "))
		}
	}
	if profile != "" {
		o.profile = strings.Split(profile, ",")
	}
	return o, nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measurement is one part of the bench.
type measurement struct {
	name string
	fn   func(*bench, context.Context) error
}

var measurements = []measurement{
	{"order", (*bench).orders},
	{"browse", (*bench).browse},
	{"cart", (*bench).carts},
	{"login", (*bench).logins},
	{"hot", (*bench).hot},
	{"overload", (*bench).overload},
	{"drop", (*bench).drops},
	{"holds", (*bench).holds},
	{"reference", (*bench).references},
	{"instances", (*bench).instances},
	{"growth", (*bench).grown},
}

func names() []string {
	var list []string
	for _, m := range measurements {
		list = append(list, m.name)
	}
	return list
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.echo != 0 {
		return serveEcho(ctx, o.echo, o.bytes)
	}
	b, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer b.close()
	b.command = "bench " + strings.Join(args, " ")
	if o.size > 0 {
		if err := b.load(ctx); err != nil {
			return err
		}
	}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	for _, m := range measurements {
		if len(o.only) > 0 && !slices.Contains(o.only, m.name) {
			continue
		}
		if err := m.fn(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	if o.save != "" {
		if err := b.keepFor(o.save); err != nil {
			return err
		}
	}
	if o.results == "" {
		return nil
	}
	return b.write(o.results)
}
