package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/stampede-shop/stampede/dev/supervise"
)

// debian is a package and a file that is there once it is installed. The file
// is asked for, not the package, so that a program installed in another way
// counts.
type debian struct {
	name string
	file string // a path pattern, or a program on PATH
	part string // the part of the infrastructure that it is for; "" for all
}

// Watch is the part of the infrastructure that make observe adds.
const Watch = "watch"

var debianPackages = []debian{
	{"postgresql", "/usr/lib/postgresql/*/bin/postgres", ""},
	{"redis-server", "redis-server", "redis"},
	{"rabbitmq-server", "/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq"},
	{"nginx", "/usr/sbin/nginx", ""},
	{"libnginx-mod-http-lua", "/usr/lib/nginx/modules/ngx_http_lua_module.so", ""},
	{"maven", "mvn", ""},
	{"unzip", "unzip", ""},
	{"gcc", "gcc", ""},
	{"libc6-dev", "/usr/include/stdlib.h", ""}, // with gcc: the race detector
	{"prometheus", "promtool", Watch},
	{"prometheus-alertmanager", "prometheus-alertmanager", Watch},
	{"prometheus-node-exporter", "prometheus-node-exporter", Watch},
	{"prometheus-postgres-exporter", "prometheus-postgres-exporter", Watch},
	{"prometheus-redis-exporter", "prometheus-redis-exporter", Watch},
}

func (d debian) installed() bool {
	if strings.HasPrefix(d.file, "/") {
		found, _ := filepath.Glob(d.file)
		return len(found) > 0
	}
	_, err := exec.LookPath(d.file)
	return err == nil
}

func (i *Installer) missingPackages() []string {
	var names []string
	for _, d := range debianPackages {
		if i.Needs(d.part) && !d.installed() {
			names = append(names, d.name)
		}
	}
	return names
}

// Browser gets the browser that the tests of the storefront drive, where
// there is none. Without apt-get they say themselves what is missing.
func (i *Installer) Browser(ctx context.Context) error {
	if _, err := exec.LookPath("apt-get"); err != nil || os.Getenv("CHROMIUM") != "" {
		//lint:ignore nilerr the tests say what is missing
		return nil
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if _, err := exec.LookPath(name); err == nil {
			return nil
		}
	}
	return i.Out.Step(ctx, "browser", "installing chromium, for the tests alone", func(ctx context.Context) error {
		return i.installPackages(ctx, []string{"chromium"})
	})
}

// installPackages runs apt-get with the start of services switched off, so
// that no PostgreSQL, Redis, RabbitMQ or Nginx comes up on its usual port.
func (i *Installer) installPackages(ctx context.Context, names []string) error {
	restore, err := holdServices("/usr/sbin/policy-rc.d", "/etc/postgresql-common/createcluster.d/stampede.conf")
	if err != nil {
		return err
	}
	defer restore()
	apt := func(log string, args ...string) error {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8")
		return supervise.Run(ctx, i.logFile(log), cmd)
	}
	if err := apt("install-update", "update", "-q"); err != nil {
		i.Out.Say("packages", "the package lists could not be renewed, going on with those of this machine")
	}
	// Whatever is on this machine stays on it, hence no removals.
	args := append([]string{"install", "-qy", "--no-install-recommends", "--no-remove", "-o", "DPkg::Lock::Timeout=120"}, names...)
	if err := apt("install-packages", args...); err != nil {
		var p *supervise.Failure
		if errors.As(err, &p) {
			if why := aptError(p.Lines); why != "" {
				return &supervise.Failure{Line: why, Lines: p.Lines}
			}
		}
		return err
	}
	if left := i.missingPackages(); len(left) > 0 {
		return fmt.Errorf("apt-get was content, but still missing: %s", strings.Join(left, ", "))
	}
	return nil
}

// aptError is apt-get's own reason among the last lines of its output, or "".
func aptError(lines []string) string {
	for _, line := range lines {
		why, found := strings.CutPrefix(line, "E: ")
		switch {
		case strings.Contains(why, "remove is disabled"):
			return "apt-get would remove packages of this machine (listed below); install it by hand if that is fine"
		case strings.Contains(why, "No space left on device") || strings.Contains(why, "enough free space"):
			return "the disk is full: " + why
		case found:
			return "cannot be had: " + why
		}
	}
	return ""
}

// mark is written into the files that holdServices makes, so that one left
// behind by a killed run is known for ours.
const mark = "# written by stampede's make up while it installs packages, removed afterwards\n"

// holdServices tells Debian not to start what it installs (policy-rc.d) and
// PostgreSQL's package not to make a cluster (createcluster), and returns the
// function that puts back what was there.
func holdServices(policy, createcluster string) (restore func(), err error) {
	saved := policy + ".stampede-saved"
	old, err := os.ReadFile(policy)
	switch {
	case err == nil && !strings.Contains(string(old), mark):
		if err := os.Rename(policy, saved); err != nil {
			return nil, err
		}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	restore = func() {
		os.Remove(createcluster)
		if Exists(saved) {
			_ = os.Rename(saved, policy)
		} else {
			os.Remove(policy)
		}
	}
	err = errors.Join(
		os.WriteFile(policy, []byte("#!/bin/sh\n"+mark+"exit 101\n"), 0o755),
		os.MkdirAll(filepath.Dir(createcluster), 0o755),
		os.WriteFile(createcluster, []byte(mark+"create_main_cluster = false\n"), 0o644),
	)
	if err != nil {
		restore()
		return nil, err
	}
	return restore, nil
}
