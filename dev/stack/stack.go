// Package stack describes one shop on this machine: where its files are, its
// settings and ports, which components are plugged in, which apps there are
// and how they and their sidecars are started. It decides and writes files;
// it starts nothing but the supervisor.
//
// It imports install, progress and supervise.
package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/progress"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// Stack is one shop on this machine: its settings, and where its files are.
type Stack struct {
	Root     string // the clone
	Run      string // everything that this stack writes, or links to it
	Data     string // data folders, which PostgreSQL's and RabbitMQ's users must be able to reach
	Cache    string // what was fetched and built once for all stacks
	Offset   int    // added to every port
	Proxied  bool   // what the apps reach, they reach through the proxies of make chaos
	Bench    bool   // for make bench: statements are counted, apps serve profiles, and a key of the bench's signs tokens too
	Watched  bool   // the processes of make observe are part of it
	Settings *Settings
	Plugged  *Plugged // the components in effect; nil until PlugIn
	Out      *progress.Progress
}

// Open finds the stack that PORT_OFFSET and RUN_DIR mean, and loads its
// settings, which it makes at the first run. The error tells what is wrong with
// one of these, or with the settings file.
func Open(out *progress.Progress) (*Stack, error) {
	root, err := findRoot()
	if err != nil {
		return nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	s := &Stack{Root: root, Cache: filepath.Join(cache, "stampede"), Out: out}
	s.Run = os.Getenv("RUN_DIR")
	s.Proxied, s.Bench = os.Getenv("PROXIES") == "true", os.Getenv("BENCH") == "true"
	given := os.Getenv("PORT_OFFSET")
	if given == "" && s.Run != "" {
		given = offsetOf(s.Run)
	}
	if given != "" {
		if s.Offset, err = strconv.Atoi(given); err != nil || s.Offset < 0 || s.Offset > maxOffset {
			return nil, fmt.Errorf("PORT_OFFSET must be a number from 0 to %d, not %q", maxOffset, given)
		}
	}
	if s.Run == "" {
		s.Run = filepath.Join(root, ".run")
		if s.Offset != 0 {
			s.Run += "-" + strconv.Itoa(s.Offset)
		}
	}
	if s.Run, err = filepath.Abs(s.Run); err != nil {
		return nil, err
	}
	s.Data = "/var/lib/stampede-" + supervise.Digest(s.Run)
	if err := setAside(s.Data, filepath.Join(s.Run, "settings.env")); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(s.Run, "logs"), 0o755); err != nil {
		return nil, err
	}
	s.Settings, err = loadSettings(s)
	return s, err
}

// setAside moves data away that a removed clone at the same place has left:
// without its settings nobody has the passwords. It is kept, for whoever
// misses it.
func setAside(data, settings string) error {
	if install.Exists(settings) || !install.Exists(data) {
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
	return (&Settings{lines: lines}).Get("PORT_OFFSET")
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

// LogFile is where the output of a process goes, or of what is run once.
func (s *Stack) LogFile(name string) string { return filepath.Join(s.Run, "logs", name+".log") }

// Supervisor is the client of this stack's supervisor, which Supervise starts.
func (s *Stack) Supervisor() *supervise.Client {
	return &supervise.Client{Run: s.Run, Socket: filepath.Join(s.Data, "supervisor.sock"), Say: s.Out.Say}
}

// Supervise starts the supervisor, unless it runs, and reports whether it was
// this call that started it. The supervisor is this program with the arguments
// supervise RUN SOCKET LOGS….
func (s *Stack) Supervise(ctx context.Context) (started bool, err error) {
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	client := s.Supervisor()
	// Nginx writes its access logs itself.
	cmd := exec.Command(self, "supervise", client.Run, client.Socket, filepath.Join(s.Data, "nginx", "*.log"))
	cmd.Dir, cmd.Env = s.Root, Environment()
	return client.Start(ctx, cmd)
}

// Installer gets what this stack runs on.
func (s *Stack) Installer() *install.Installer {
	return &install.Installer{
		Root: s.Root, Cache: s.Cache, Logs: filepath.Join(s.Run, "logs"), Disks: []string{s.Run, s.Data},
		Needs: s.Needs, Out: s.Out,
	}
}

// Lock keeps two commands that change the stack from running at once. The
// error says that another one is at it.
func (s *Stack) Lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(s.Run, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, errors.New("another make up, down or restart of this stack is under way")
	}
	return func() { f.Close() }, nil
}

// WriteFile replaces a file in one step, in a folder that it makes when there
// is none.
func WriteFile(name, text string, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	tmp := name + ".new"
	if err := os.WriteFile(tmp, []byte(text), mode); err != nil {
		return err
	}
	if err := os.Chmod(tmp, mode); err != nil {
		return err
	}
	return os.Rename(tmp, name)
}
