package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/stampede-shop/stampede/dev/supervise"
)

// The versions that the project is tested with.
const (
	keycloakVersion   = "26.0.7"
	maildevVersion    = "3.0.0"
	daprVersion       = "1.16.5"
	natsVersion       = "2.15.2"
	kafkaVersion      = "3.9.1"
	axeVersion        = "4.14.1"
	lighthouseVersion = "12.8.2"
	s3Version         = "1.8.0"
)

// prerequisite is a program that the user brings, since no Debian package has
// the version that is needed.
type prerequisite struct {
	name string
	args []string // print the version
	min  int      // of the first number, or of the second where it starts with "1."
	get  string
}

var prerequisites = []prerequisite{
	{"go", []string{"version"}, 26, "Go 1.26 or newer, from go.dev/dl"},
	{"java", []string{"-version"}, 17, "Java 17 or newer: apt-get install openjdk-17-jre-headless"},
	{"node", []string{"--version"}, 20, "Node 20 or newer, from nodejs.org"},
	{"npm", []string{"--version"}, 1, "npm, which comes with Node 20 from nodejs.org"},
	{"make", []string{"--version"}, 1, "make: apt-get install make"},
	{"git", []string{"--version"}, 1, "git: apt-get install git"},
}

var versionNumber = regexp.MustCompile(`(\d+)(?:\.(\d+))?`)

// major reads the version out of what a program printed about itself: the 26
// of "go1.26.1", the 17 of `openjdk version "17.0.2"`, the 8 of Java's "1.8.0".
func major(text string) int {
	m := versionNumber.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	first, _ := strconv.Atoi(m[1])
	if second, err := strconv.Atoi(m[2]); err == nil && first == 1 {
		return second
	}
	return first
}

// checkPrerequisites returns an error with one line for each program that is
// missing or too old.
func checkPrerequisites(ctx context.Context) error {
	var missing []error
	for _, p := range prerequisites {
		cmd := exec.CommandContext(ctx, p.name, p.args...)
		cmd.Dir = os.TempDir() // outside the clone, where go.mod could make go fetch another toolchain
		out, err := cmd.CombinedOutput()
		switch {
		case errors.Is(err, exec.ErrNotFound):
			missing = append(missing, fmt.Errorf("%s is missing; needed: %s", p.name, p.get))
		case err != nil:
			missing = append(missing, fmt.Errorf("%s does not run (%v); needed: %s", p.name, err, p.get))
		case major(string(out)) < p.min && p.min > 1:
			first, _, _ := strings.Cut(string(out), "\n")
			missing = append(missing, fmt.Errorf("%s is too old (%s); needed: %s", p.name, first, p.get))
		}
	}
	return errors.Join(missing...)
}

// debian is a package and a file that is there once it is installed. The file
// is asked for, not the package, so that a program installed in another way
// counts.
type debian struct {
	name string
	file string // a path pattern, or a program on PATH
	part string // the part of the infrastructure that it is for; "" for all
}

var debianPackages = []debian{
	{"postgresql", "/usr/lib/postgresql/*/bin/postgres", ""},
	{"redis-server", "redis-server", "redis"},
	{"rabbitmq-server", "/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq"},
	{"nginx", "/usr/sbin/nginx", ""},
	{"libnginx-mod-http-lua", "/usr/lib/nginx/modules/ngx_http_lua_module.so", ""},
	{"maven", "mvn", ""},
	{"unzip", "unzip", ""},
	{"gcc", "gcc", ""},
}

func (d debian) installed() bool {
	if strings.HasPrefix(d.file, "/") {
		found, _ := filepath.Glob(d.file)
		return len(found) > 0
	}
	_, err := exec.LookPath(d.file)
	return err == nil
}

func (s *stack) missingPackages() []string {
	var names []string
	for _, d := range debianPackages {
		if s.plugged.needs(d.part) && !d.installed() {
			names = append(names, d.name)
		}
	}
	return names
}

// install gets everything that the shop runs on and that this machine lacks.
// Nothing is fetched or built that is there already. What takes its time goes
// side by side: packages, daprd, the mail page, and Keycloak once Maven is there.
func (s *stack) install(ctx context.Context) error {
	packages := s.missingPackages()
	if len(packages) > 0 {
		if _, err := exec.LookPath("apt-get"); err != nil {
			return &supervise.Failure{
				Line: "this is not a Debian system (no apt-get), so nothing was installed",
				Lines: []string{
					"missing here: " + strings.Join(packages, ", "),
					"Install PostgreSQL 15, Redis 7, RabbitMQ 3.10 or newer, Nginx with its Lua module,",
					"Maven, unzip and gcc with this system's own tools and run make up again,",
					"or use containers: docker compose up",
				},
			}
		}
	}
	if err := s.room(packages); err != nil {
		return err
	}

	g, ctx := errgroup.WithContext(ctx)
	maven := make(chan struct{})
	g.Go(func() error {
		if len(packages) > 0 {
			err := s.out.Step(ctx, "packages", "installing "+strings.Join(packages, " "), func(ctx context.Context) error {
				return s.installPackages(ctx, packages)
			})
			if err != nil {
				return err
			}
		}
		close(maven)
		return nil
	})
	g.Go(func() error {
		select {
		case <-maven:
			return errors.Join(s.installKeycloak(ctx), s.installKafka(ctx))
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	g.Go(func() error { return s.installMaildev(ctx) })
	g.Go(func() error { return errors.Join(s.installDapr(ctx), s.installNATS(ctx), s.installS3(ctx)) })
	return g.Wait()
}

// installBrowser gets the browser that the tests of the storefront drive, where
// there is none. Without apt-get they say themselves what is missing.
func (s *stack) installBrowser(ctx context.Context) error {
	if _, err := exec.LookPath("apt-get"); err != nil || os.Getenv("CHROMIUM") != "" {
		return nil
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if _, err := exec.LookPath(name); err == nil {
			return nil
		}
	}
	return s.out.Step(ctx, "browser", "installing chromium, for the tests alone", func(ctx context.Context) error {
		return s.installPackages(ctx, []string{"chromium"})
	})
}

// room checks the free space before anything is written, since a disk that is
// full half-way gives errors that name everything but the disk.
func (s *stack) room(packages []string) error {
	need := uint64(300 << 20)
	if len(packages) > 0 || !exists(s.keycloakCache()) || !exists(s.daprCache()) {
		need = 4 << 30
	}
	for _, dir := range []string{s.run, s.data, s.cache} {
		for !exists(dir) {
			dir = filepath.Dir(dir)
		}
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			return fmt.Errorf("free space of %s: %w", dir, err)
		}
		if free := st.Bavail * uint64(st.Bsize); free < need {
			return fmt.Errorf("the disk of %s is full: %d MB free, %d MB needed", dir, free>>20, need>>20)
		}
	}
	return nil
}

// installPackages runs apt-get with the start of services switched off, so
// that no PostgreSQL, Redis, RabbitMQ or Nginx comes up on its usual port.
func (s *stack) installPackages(ctx context.Context, names []string) error {
	restore, err := holdServices("/usr/sbin/policy-rc.d", "/etc/postgresql-common/createcluster.d/stampede.conf")
	if err != nil {
		return err
	}
	defer restore()
	apt := func(log string, args ...string) error {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8")
		return supervise.Run(ctx, s.logFile(log), cmd)
	}
	if err := apt("install-update", "update", "-q"); err != nil {
		s.out.Say("packages", "the package lists could not be renewed, going on with those of this machine")
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
	if left := s.missingPackages(); len(left) > 0 {
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
		if exists(saved) {
			os.Rename(saved, policy)
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

// keycloakBuild are Keycloak's build options; the ready-made server that they
// give is kept in the cache, and another set makes another one.
var keycloakBuild = []string{"--db=postgres", "--health-enabled=true", "--metrics-enabled=false"}

func (s *stack) keycloakCache() string {
	return filepath.Join(s.cache, "keycloak-"+keycloakVersion+"-"+supervise.Digest(strings.Join(keycloakBuild, " ")))
}

// installKeycloak fetches Keycloak's distribution by Maven and builds the
// server for PostgreSQL once, which takes that work out of every start.
func (s *stack) installKeycloak(ctx context.Context) error {
	home := s.keycloakCache()
	if exists(home) {
		return nil
	}
	return s.out.Step(ctx, "keycloak", "fetching and preparing Keycloak "+keycloakVersion, func(ctx context.Context) error {
		tmp, err := s.scratch("keycloak")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		name := "keycloak-quarkus-dist-" + keycloakVersion + ".zip"
		err = supervise.Run(ctx, s.logFile("install-keycloak"), exec.CommandContext(ctx, "mvn", "-B", "-ntp",
			"org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy",
			"-Dartifact=org.keycloak:keycloak-quarkus-dist:"+keycloakVersion+":zip", "-DoutputDirectory="+tmp))
		if err != nil {
			return fmt.Errorf("Keycloak %s cannot be had: %w", keycloakVersion, err)
		}
		unzip := exec.CommandContext(ctx, "unzip", "-q", filepath.Join(tmp, name), "-d", tmp)
		if err := supervise.Run(ctx, s.logFile("install-keycloak-unzip"), unzip); err != nil {
			return err
		}
		unpacked := filepath.Join(tmp, "keycloak-"+keycloakVersion)
		build := exec.CommandContext(ctx, filepath.Join(unpacked, "bin", "kc.sh"), append([]string{"build"}, keycloakBuild...)...)
		if err := supervise.Run(ctx, s.logFile("install-keycloak-build"), build); err != nil {
			return err
		}
		return os.Rename(unpacked, home)
	})
}

func (s *stack) kafkaCache() string { return filepath.Join(s.cache, "kafka-"+kafkaVersion) }

// installKafka fetches the jars of Kafka's server and tools.
func (s *stack) installKafka(ctx context.Context) error {
	home := s.kafkaCache()
	if exists(home) || !s.plugged.needs("kafka") {
		return nil
	}
	return s.out.Step(ctx, "kafka", "fetching Kafka "+kafkaVersion, func(ctx context.Context) error {
		tmp, err := s.scratch("kafka")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		pom := `<project><modelVersion>4.0.0</modelVersion><groupId>shop.stampede</groupId><artifactId>kafka</artifactId><version>1</version><dependencies>`
		for _, artifact := range []string{"kafka_2.13", "kafka-tools"} {
			pom += "<dependency><groupId>org.apache.kafka</groupId><artifactId>" + artifact + "</artifactId><version>" + kafkaVersion + "</version></dependency>"
		}
		if err := writeFile(filepath.Join(tmp, "pom.xml"), pom+"</dependencies></project>\n", 0o644); err != nil {
			return err
		}
		jars := filepath.Join(tmp, "jars")
		err = supervise.Run(ctx, s.logFile("install-kafka"), exec.CommandContext(ctx, "mvn", "-B", "-ntp", "-f", filepath.Join(tmp, "pom.xml"),
			"org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+jars))
		if err != nil {
			return fmt.Errorf("Kafka %s cannot be had: %w", kafkaVersion, err)
		}
		return os.Rename(jars, home)
	})
}

func (s *stack) natsServer() string {
	return filepath.Join(s.cache, "nats-"+natsVersion, "nats-server")
}

// installNATS builds the NATS server.
func (s *stack) installNATS(ctx context.Context) error {
	program := s.natsServer()
	if exists(program) || !s.plugged.needs("nats") {
		return nil
	}
	return s.out.Step(ctx, "nats", "building nats-server "+natsVersion, func(ctx context.Context) error {
		return s.goInstall(ctx, "nats", "github.com/nats-io/nats-server/v2@v"+natsVersion, program)
	})
}

func (s *stack) s3Server() string {
	return filepath.Join(s.cache, "versitygw-"+s3Version, "versitygw")
}

// installS3 builds Versity's S3 gateway, which keeps buckets as folders.
func (s *stack) installS3(ctx context.Context) error {
	program := s.s3Server()
	if exists(program) || !s.plugged.needs("s3") {
		return nil
	}
	return s.out.Step(ctx, "s3", "building versitygw "+s3Version, func(ctx context.Context) error {
		return s.goInstall(ctx, "versitygw", "github.com/versity/versitygw/cmd/versitygw@v"+s3Version, program)
	})
}

// goInstall builds a program of another module, at a version, to a file.
func (s *stack) goInstall(ctx context.Context, name, pkg, file string) error {
	tmp, err := s.scratch(name)
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	cmd := exec.CommandContext(ctx, "go", "install", "-trimpath", "-ldflags=-s -w", pkg)
	cmd.Dir = tmp // outside the clone, whose go.mod and go.work are not this program's
	cmd.Env = append(os.Environ(), "GOBIN="+tmp, "GOWORK=off", "CGO_ENABLED=0")
	if err := supervise.Run(ctx, s.logFile("install-"+name), cmd); err != nil {
		return fmt.Errorf("%s cannot be had: %w", pkg, err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.Rename(filepath.Join(tmp, filepath.Base(file)), file)
}

func (s *stack) maildevCache() string { return s.npmCache("maildev", maildevVersion) }

func (s *stack) installMaildev(ctx context.Context) error {
	if !s.plugged.needs("maildev") {
		return nil
	}
	return s.installNPM(ctx, "maildev", maildevVersion)
}

func (s *stack) npmCache(name, version string) string {
	return filepath.Join(s.cache, name+"-"+version)
}

// installNPM fetches a package of npm with what it needs into a folder of its
// own.
func (s *stack) installNPM(ctx context.Context, name, version string) error {
	home := s.npmCache(name, version)
	if exists(home) {
		return nil
	}
	return s.out.Step(ctx, name, "fetching "+name+" "+version, func(ctx context.Context) error {
		tmp, err := s.scratch(name)
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		npm := exec.CommandContext(ctx, "npm", "install", "--prefix", tmp, "--no-audit", "--no-fund", "--omit=dev", name+"@"+version)
		if err := supervise.Run(ctx, s.logFile("install-"+name), npm); err != nil {
			return fmt.Errorf("%s %s cannot be had: %w", name, version, err)
		}
		return os.Rename(tmp, home)
	})
}

// daprCache is where daprd and sentry built from dapr/daprd are kept; its name
// changes with that module.
func (s *stack) daprCache() string {
	sum := sha256.New()
	module := os.DirFS(filepath.Join(s.root, "dapr", "daprd"))
	_ = fs.WalkDir(module, ".", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && (path == "go.mod" || strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go")) {
			text, _ := fs.ReadFile(module, path) // an unreadable file fails the build, which tells more
			sum.Write(text)
		}
		return nil
	})
	return filepath.Join(s.cache, "dapr-"+daprVersion+"-"+hex.EncodeToString(sum.Sum(nil))[:8])
}

// installDapr builds our daprd, and sentry, Dapr's certificate authority, which
// no package of Dapr's brings to a laptop.
func (s *stack) installDapr(ctx context.Context) error {
	home := s.daprCache()
	type build struct{ name, pkg string }
	var builds []build
	if !exists(filepath.Join(home, "daprd")) {
		builds = append(builds, build{"daprd", "."})
	}
	if !exists(filepath.Join(home, "sentry")) {
		builds = append(builds, build{"sentry", "github.com/dapr/dapr/cmd/sentry"})
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	for _, b := range builds {
		doing := "building " + b.name + " " + daprVersion
		if b.name == "daprd" {
			doing += " (3 to 5 minutes the first time)"
		}
		err := s.out.Step(ctx, b.name, doing, func(ctx context.Context) error {
			cmd := exec.CommandContext(ctx, "go", "build", "-tags", "stablecomponents", "-trimpath",
				"-ldflags", "-s -w -X github.com/dapr/dapr/pkg/buildinfo.version="+daprVersion,
				"-o", filepath.Join(home, b.name+".new"), b.pkg)
			cmd.Dir = filepath.Join(s.root, "dapr", "daprd")
			// The checksum database does not know all of Dapr's modules; go.sum pins
			// them. gcc may still be on its way, hence no cgo.
			cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly", "GONOSUMDB=github.com/dapr/*", "CGO_ENABLED=0")
			if err := supervise.Run(ctx, s.logFile("install-"+b.name), cmd); err != nil {
				return err
			}
			return os.Rename(filepath.Join(home, b.name+".new"), filepath.Join(home, b.name))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// daprd returns the daprd that the shop runs under: ours, also where another one
// is installed, which has no guard around oauth2's sessions (dapr/README.md).
func (s *stack) daprd() string { return filepath.Join(s.daprCache(), "daprd") }

func (s *stack) sentry() string { return filepath.Join(s.daprCache(), "sentry") }

// scratch makes an empty folder beside the caches, so that a finished one can
// be renamed into place and a half-finished one is never taken for a whole.
func (s *stack) scratch(name string) (string, error) {
	if err := os.MkdirAll(s.cache, 0o755); err != nil {
		return "", err
	}
	return os.MkdirTemp(s.cache, name+"-partial-")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
