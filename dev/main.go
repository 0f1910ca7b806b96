// Command dev brings the shop up on one machine without containers: it
// installs what is missing, starts the infrastructure and every app beside its
// sidecar, and keeps them running. The Makefile calls it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/progress"
	"github.com/stampede-shop/stampede/dev/supervise"
)

const usage = `usage: dev <command>

  up              start the shop: install what is missing, start everything, seed the catalogue
  infra           start the infrastructure alone, for dapr run -f
  down            stop everything; data stays
  clean           stop everything and remove data, settings and logs
  status          a line a process: health, pid, memory, restarts
  logs [APP]      follow the log of an app and its sidecar, or all logs
  restart APP     build one app again and start it again with its sidecar
  test            run all tests, on a stack beside the developer's
  swaps           run one suite over every broker and state store, on that stack
  chaos           break parts at random while people buy, on a stack of its own: SEED=7 MINUTES=5
  lighthouse      mark the storefront's pages, and write docs/lighthouse.md
  screenshots     take the pictures of docs/screenshots
  audit           check that stock, money and orders add up, over all databases
  stop APP        stop an app with its sidecar, or one process of the infrastructure
  kill APP        the same without giving it time to end well, for tests
  start APP       start what was stopped or killed
  import FILE     import a product file, as Shopify exports them

PORT_OFFSET=1000 runs another shop beside the first, in .run-1000; RUN_DIR names another folder.
SWAP=kafka,state-postgres before up plugs in what components/swaps has; SWAP=default takes it out again.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		progress.Report(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] == "help" {
		fmt.Print(usage)
		return nil
	}
	if args[0] == "supervise" { // started by up
		return supervise.Serve(args[1], args[2], args[3:]...)
	}
	switch args[0] {
	case "proxies": // started by the supervisor
		return serveProxies(ctx, args[1], args[2:])
	case "test", "swaps":
		testStack()
	case "chaos":
		chaosStack()
	}
	s, err := newStack()
	if err != nil {
		return err
	}
	go s.out.Tick(ctx)
	name := ""
	if len(args) > 1 {
		name = args[1]
	}
	switch args[0] {
	case "up":
		return s.up(ctx, false)
	case "infra":
		return s.up(ctx, true)
	case "down":
		return s.supervisor().Down(ctx)
	case "clean":
		return s.clean(ctx)
	case "status":
		return s.status(ctx, os.Stdout)
	case "logs":
		return s.logs(ctx, name)
	case "restart", "stop", "kill", "start":
		if name == "" {
			return fmt.Errorf("which? dev %s orders", args[0])
		}
		return s.change(ctx, name, args[0] != "start", args[0] == "kill", args[0] == "restart" || args[0] == "start")
	case "test":
		return s.test(ctx)
	case "swaps":
		return s.swaps(ctx)
	case "chaos":
		return s.chaos(ctx)
	case "lighthouse":
		return s.lighthouse(ctx)
	case "screenshots":
		return s.screenshots(ctx)
	case "audit":
		return s.audit(ctx)
	case "import":
		if name == "" {
			return errors.New("which file? make import FILE=products.csv")
		}
		return s.importProducts(ctx, name)
	}
	return fmt.Errorf("there is no command %q; dev help lists them", args[0])
}

// stack is one shop on this machine: its settings, and where its files are.
type stack struct {
	root     string // the clone
	run      string // everything that this stack writes, or links to it
	data     string // data folders, which PostgreSQL's and RabbitMQ's users must be able to reach
	cache    string // what was fetched and built once for all stacks
	offset   int    // added to every port
	proxied  bool   // what the apps reach, they reach through the proxies of make chaos
	settings *settings
	plugged  *plugged // the components in effect
	out      *progress.Progress
}

// newStack finds the stack that PORT_OFFSET and RUN_DIR mean, and loads its
// settings, which it makes at the first run.
func newStack() (*stack, error) {
	root, err := findRoot()
	if err != nil {
		return nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	s := &stack{root: root, cache: filepath.Join(cache, "stampede"), out: progress.New(os.Stdout)}
	s.run = os.Getenv("RUN_DIR")
	s.proxied = os.Getenv("PROXIES") == "true"
	given := os.Getenv("PORT_OFFSET")
	if given == "" && s.run != "" {
		given = offsetOf(s.run)
	}
	if given != "" {
		if s.offset, err = strconv.Atoi(given); err != nil || s.offset < 0 || s.offset > maxOffset {
			return nil, fmt.Errorf("PORT_OFFSET must be a number from 0 to %d, not %q", maxOffset, given)
		}
	}
	if s.run == "" {
		s.run = filepath.Join(root, ".run")
		if s.offset != 0 {
			s.run += "-" + strconv.Itoa(s.offset)
		}
	}
	if s.run, err = filepath.Abs(s.run); err != nil {
		return nil, err
	}
	s.data = "/var/lib/stampede-" + supervise.Digest(s.run)
	if err := setAside(s.data, filepath.Join(s.run, "settings.env")); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(s.run, "logs"), 0o755); err != nil {
		return nil, err
	}
	s.settings, err = loadSettings(s)
	return s, err
}

// setAside moves data away that a removed clone at the same place has left:
// without its settings nobody has the passwords. It is kept, for whoever
// misses it.
func setAside(data, settings string) error {
	if exists(settings) || !exists(data) {
		return nil
	}
	return os.Rename(data, data+"-left-"+time.Now().UTC().Format("20060102T150405"))
}

// offsetOf returns the PORT_OFFSET that a run folder's settings hold, or "".
func offsetOf(run string) string {
	text, err := os.ReadFile(filepath.Join(run, "settings.env"))
	if err != nil {
		return ""
	}
	lines, _ := parseSettings(string(text))
	return (&settings{lines: lines}).get("PORT_OFFSET")
}

// findRoot returns the clone that the current folder is in.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.Contains(string(text), "module github.com/stampede-shop/stampede\n") {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("run this inside the clone of the project")
		}
		dir = filepath.Dir(dir)
	}
}

func (s *stack) logFile(name string) string { return filepath.Join(s.run, "logs", name+".log") }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (s *stack) supervisor() *supervise.Client {
	return &supervise.Client{Run: s.run, Socket: s.socket(), Say: s.out.Say}
}

func (s *stack) socket() string { return filepath.Join(s.data, "supervisor.sock") }

func (s *stack) installer() *install.Installer {
	return &install.Installer{
		Root: s.root, Cache: s.cache, Logs: filepath.Join(s.run, "logs"), Disks: []string{s.run, s.data},
		Needs: s.plugged.needs, Out: s.out,
	}
}
