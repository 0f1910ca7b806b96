// Package install gets what a shop runs on and this machine lacks: Debian's
// packages, and servers that are fetched or built once, by version, into a
// cache that all stacks share. It knows where each is afterwards.
//
// It imports supervise and progress, and knows neither settings nor ports.
package install

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
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/stampede-shop/stampede/dev/progress"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// LighthouseVersion is the version that docs/lighthouse.md is made with, DaprVersion that of the sidecars and all of Dapr.
const (
	LighthouseVersion = "12.8.2"
	DaprVersion       = "1.16.5"
)

// The versions that the project is tested with.
const (
	keycloakVersion = "26.0.7"
	maildevVersion  = "3.0.0"
	natsVersion     = "2.15.2"
	kafkaVersion    = "3.9.1"
	axeVersion      = "4.14.1"
	s3Version       = "1.8.0"
	zipkinVersion   = "3.6.1"
)

// Installer gets what one stack needs.
type Installer struct {
	Root  string                 // the clone
	Cache string                 // the folder for what was fetched and built once for all stacks
	Logs  string                 // the folder for the output of what it runs
	Disks []string               // folders that will be written to; the cache is another
	Needs func(part string) bool // whether the stack runs a part of the infrastructure
	Nice  bool                   // what it builds takes what others leave of the processors
	Out   *progress.Progress
}

func (i *Installer) logFile(name string) string { return filepath.Join(i.Logs, name+".log") }

// Install gets everything that the shop runs on and that this machine lacks.
// Nothing is fetched or built that is there already. What takes its time goes
// side by side: packages, daprd, the mail page, and Keycloak once Maven is there.
func (i *Installer) Install(ctx context.Context) error {
	packages := i.missingPackages()
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
	if err := i.room(packages); err != nil {
		return err
	}

	g, ctx := errgroup.WithContext(ctx)
	maven := make(chan struct{})
	g.Go(func() error {
		if len(packages) > 0 {
			err := i.Out.Step(ctx, "packages", "installing "+strings.Join(packages, " "), func(ctx context.Context) error {
				return i.installPackages(ctx, packages)
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
			return errors.Join(i.installKeycloak(ctx), i.installKafka(ctx), i.installZipkin(ctx))
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	g.Go(func() error { return i.installMaildev(ctx) })
	g.Go(func() error { return errors.Join(i.installDapr(ctx), i.installNATS(ctx), i.InstallS3(ctx)) })
	return g.Wait()
}

// room checks the free space before anything is written, since a disk that is
// full half-way gives errors that name everything but the disk.
func (i *Installer) room(packages []string) error {
	need := uint64(300 << 20)
	if len(packages) > 0 || !Exists(i.Keycloak()) || !Exists(i.dapr()) {
		need = 4 << 30
	}
	for _, dir := range append(i.Disks, i.Cache) {
		for !Exists(dir) {
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

// keycloakBuild are Keycloak's build options; the ready-made server that they
// give is kept in the cache, and another set makes another one.
var keycloakBuild = []string{"--db=postgres", "--health-enabled=true", "--metrics-enabled=true"}

// Keycloak is the folder of the prepared server.
func (i *Installer) Keycloak() string {
	return filepath.Join(i.Cache, "keycloak-"+keycloakVersion+"-"+supervise.Digest(strings.Join(keycloakBuild, " ")))
}

// installKeycloak fetches Keycloak's distribution by Maven and builds the
// server for PostgreSQL once, which takes that work out of every start.
func (i *Installer) installKeycloak(ctx context.Context) error {
	home := i.Keycloak()
	if Exists(home) {
		return nil
	}
	return i.Out.Step(ctx, "keycloak", "fetching and preparing Keycloak "+keycloakVersion, func(ctx context.Context) error {
		tmp, err := i.scratch("keycloak")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		name := "keycloak-quarkus-dist-" + keycloakVersion + ".zip"
		err = supervise.Run(ctx, i.logFile("install-keycloak"), exec.CommandContext(ctx, "mvn", "-B", "-ntp",
			"org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy",
			"-Dartifact=org.keycloak:keycloak-quarkus-dist:"+keycloakVersion+":zip", "-DoutputDirectory="+tmp))
		if err != nil {
			return fmt.Errorf("Keycloak %s cannot be had: %w", keycloakVersion, err)
		}
		unzip := exec.CommandContext(ctx, "unzip", "-q", filepath.Join(tmp, name), "-d", tmp)
		if err := supervise.Run(ctx, i.logFile("install-keycloak-unzip"), unzip); err != nil {
			return err
		}
		unpacked := filepath.Join(tmp, "keycloak-"+keycloakVersion)
		build := exec.CommandContext(ctx, filepath.Join(unpacked, "bin", "kc.sh"), append([]string{"build"}, keycloakBuild...)...)
		if err := supervise.Run(ctx, i.logFile("install-keycloak-build"), build); err != nil {
			return err
		}
		return os.Rename(unpacked, home)
	})
}

// Kafka is the folder with the jars of its server and tools.
func (i *Installer) Kafka() string { return filepath.Join(i.Cache, "kafka-"+kafkaVersion) }

// installKafka fetches the jars of Kafka's server and tools.
func (i *Installer) installKafka(ctx context.Context) error {
	home := i.Kafka()
	if Exists(home) || !i.Needs("kafka") {
		return nil
	}
	return i.Out.Step(ctx, "kafka", "fetching Kafka "+kafkaVersion, func(ctx context.Context) error {
		tmp, err := i.scratch("kafka")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		pom := `<project><modelVersion>4.0.0</modelVersion><groupId>shop.stampede</groupId><artifactId>kafka</artifactId><version>1</version><dependencies>`
		for _, artifact := range []string{"kafka_2.13", "kafka-tools"} {
			pom += "<dependency><groupId>org.apache.kafka</groupId><artifactId>" + artifact + "</artifactId><version>" + kafkaVersion + "</version></dependency>"
		}
		if err := os.WriteFile(filepath.Join(tmp, "pom.xml"), []byte(pom+"</dependencies></project>\n"), 0o644); err != nil {
			return err
		}
		jars := filepath.Join(tmp, "jars")
		err = supervise.Run(ctx, i.logFile("install-kafka"), exec.CommandContext(ctx, "mvn", "-B", "-ntp", "-f", filepath.Join(tmp, "pom.xml"),
			"org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+jars))
		if err != nil {
			return fmt.Errorf("Kafka %s cannot be had: %w", kafkaVersion, err)
		}
		return os.Rename(jars, home)
	})
}

// Zipkin is the server, a jar that java runs.
func (i *Installer) Zipkin() string {
	return filepath.Join(i.Cache, "zipkin-"+zipkinVersion, "zipkin-server-"+zipkinVersion+"-exec.jar")
}

// installZipkin fetches the server.
func (i *Installer) installZipkin(ctx context.Context) error {
	jar := i.Zipkin()
	if Exists(jar) || !i.Needs("zipkin") {
		return nil
	}
	return i.Out.Step(ctx, "zipkin", "fetching Zipkin "+zipkinVersion, func(ctx context.Context) error {
		tmp, err := i.scratch("zipkin")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		err = supervise.Run(ctx, i.logFile("install-zipkin"), exec.CommandContext(ctx, "mvn", "-B", "-ntp",
			"org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy",
			"-Dartifact=io.zipkin:zipkin-server:"+zipkinVersion+":jar:exec", "-DoutputDirectory="+tmp))
		if err != nil {
			return fmt.Errorf("Zipkin %s cannot be had: %w", zipkinVersion, err)
		}
		return os.Rename(tmp, filepath.Dir(jar))
	})
}

// NATSServer is the program.
func (i *Installer) NATSServer() string {
	return filepath.Join(i.Cache, "nats-"+natsVersion, "nats-server")
}

// installNATS builds the NATS server.
func (i *Installer) installNATS(ctx context.Context) error {
	program := i.NATSServer()
	if Exists(program) || !i.Needs("nats") {
		return nil
	}
	return i.Out.Step(ctx, "nats", "building nats-server "+natsVersion, func(ctx context.Context) error {
		return i.goInstall(ctx, "nats", "github.com/nats-io/nats-server/v2@v"+natsVersion, program)
	})
}

// S3Server is Versity's gateway, the program.
func (i *Installer) S3Server() string {
	return filepath.Join(i.Cache, "versitygw-"+s3Version, "versitygw")
}

// InstallS3 builds Versity's S3 gateway, which keeps buckets as folders.
func (i *Installer) InstallS3(ctx context.Context) error {
	program := i.S3Server()
	if Exists(program) || !i.Needs("s3") {
		return nil
	}
	return i.Out.Step(ctx, "s3", "building versitygw "+s3Version, func(ctx context.Context) error {
		return i.goInstall(ctx, "versitygw", "github.com/versity/versitygw/cmd/versitygw@v"+s3Version, program)
	})
}

// Go is the go command. It works without cgo unless told otherwise: whatever is
// compiled with it, with -race or by other flags is compiled once more, so all
// but the race detector's tests is compiled as the apps are (CGO_ENABLED=0, and
// make's GOFLAGS). What it compiles with is let take four times as much memory as it
// needs before it tidies up, up to 3 GB each: a seventh faster (two apps with
// nothing cached: 109 s, 95 s).
func Go(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append([]string{"GOGC=400", "GOMEMLIMIT=3GiB"}, os.Environ()...)
	cmd.Env = append(cmd.Env, "CGO_ENABLED=0")
	return cmd
}

// Nice is a command that takes what others leave of the processors.
func Nice(ctx context.Context, cmd *exec.Cmd) *exec.Cmd {
	nice := exec.CommandContext(ctx, "nice", append([]string{"-n", "19"}, cmd.Args...)...)
	nice.Dir, nice.Env = cmd.Dir, cmd.Env
	return nice
}

// goInstall builds a program of another module, at a version, to a file.
func (i *Installer) goInstall(ctx context.Context, name, pkg, file string) error {
	tmp, err := i.scratch(name)
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	cmd := Go(ctx, "install", "-ldflags=-s -w", pkg)
	if i.Nice {
		cmd = Nice(ctx, cmd)
	}
	cmd.Dir = tmp // outside the clone, whose go.mod and go.work are not this program's
	cmd.Env = append(cmd.Env, "GOBIN="+tmp, "GOWORK=off")
	if err := supervise.Run(ctx, i.logFile("install-"+name), cmd); err != nil {
		return fmt.Errorf("%s cannot be had: %w", pkg, err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.Rename(filepath.Join(tmp, filepath.Base(file)), file)
}

// Maildev is the script that maildev is started with, by Node.
func (i *Installer) Maildev() string {
	return filepath.Join(i.npm("maildev", maildevVersion), "node_modules", "maildev", "dist", "bin", "maildev.js")
}

// AxeCore gets axe-core, which the tests of the storefront load into pages,
// and returns its script.
func (i *Installer) AxeCore(ctx context.Context) (script string, err error) {
	return filepath.Join(i.npm("axe-core", axeVersion), "node_modules", "axe-core", "axe.min.js"), i.installNPM(ctx, "axe-core", axeVersion)
}

// Lighthouse gets Lighthouse, and returns the script that it is started with.
func (i *Installer) Lighthouse(ctx context.Context) (script string, err error) {
	return filepath.Join(i.npm("lighthouse", LighthouseVersion), "node_modules", "lighthouse", "cli", "index.js"), i.installNPM(ctx, "lighthouse", LighthouseVersion)
}

func (i *Installer) installMaildev(ctx context.Context) error {
	if !i.Needs("maildev") {
		return nil
	}
	return i.installNPM(ctx, "maildev", maildevVersion)
}

func (i *Installer) npm(name, version string) string {
	return filepath.Join(i.Cache, name+"-"+version)
}

// installNPM fetches a package of npm with what it needs into a folder of its
// own.
func (i *Installer) installNPM(ctx context.Context, name, version string) error {
	home := i.npm(name, version)
	if Exists(home) {
		return nil
	}
	return i.Out.Step(ctx, name, "fetching "+name+" "+version, func(ctx context.Context) error {
		tmp, err := i.scratch(name)
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		npm := exec.CommandContext(ctx, "npm", "install", "--prefix", tmp, "--no-audit", "--no-fund", "--omit=dev", name+"@"+version)
		if err := supervise.Run(ctx, i.logFile("install-"+name), npm); err != nil {
			return fmt.Errorf("%s %s cannot be had: %w", name, version, err)
		}
		return os.Rename(tmp, home)
	})
}

// dapr is where daprd and sentry built from dapr/daprd are kept; its name
// changes with that module.
func (i *Installer) dapr() string {
	sum := sha256.New()
	module := os.DirFS(filepath.Join(i.Root, "dapr", "daprd"))
	_ = fs.WalkDir(module, ".", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && (path == "go.mod" || strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go")) {
			text, _ := fs.ReadFile(module, path) // an unreadable file fails the build, which tells more
			sum.Write(text)
		}
		return nil
	})
	return filepath.Join(i.Cache, "dapr-"+DaprVersion+"-"+hex.EncodeToString(sum.Sum(nil))[:8])
}

// installDapr builds our daprd, and sentry, Dapr's certificate authority, which
// no package of Dapr's brings to a laptop.
func (i *Installer) installDapr(ctx context.Context) error {
	home := i.dapr()
	type build struct{ name, pkg string }
	var builds []build
	if !Exists(filepath.Join(home, "daprd")) {
		builds = append(builds, build{"daprd", "."})
	}
	if !Exists(filepath.Join(home, "sentry")) {
		builds = append(builds, build{"sentry", "github.com/dapr/dapr/cmd/sentry"})
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	for _, b := range builds {
		doing := "building " + b.name + " " + DaprVersion
		if b.name == "daprd" {
			doing += " (3 to 5 minutes the first time)"
		}
		err := i.Out.Step(ctx, b.name, doing, func(ctx context.Context) error {
			cmd := Go(ctx, "build", "-tags", "stablecomponents", "-mod=readonly",
				"-ldflags", "-s -w -X github.com/dapr/dapr/pkg/buildinfo.version="+DaprVersion,
				"-o", filepath.Join(home, b.name+".new"), b.pkg)
			cmd.Dir = filepath.Join(i.Root, "dapr", "daprd")
			// The checksum database does not know all of Dapr's modules; go.sum pins them.
			cmd.Env = append(cmd.Env, "GOWORK=off", "GONOSUMDB=github.com/dapr/*")
			if err := supervise.Run(ctx, i.logFile("install-"+b.name), cmd); err != nil {
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

// Daprd returns the daprd that the shop runs under: ours, also where another one
// is installed, which has no guard around oauth2's sessions (dapr/README.md).
func (i *Installer) Daprd() string { return filepath.Join(i.dapr(), "daprd") }

// Sentry is Dapr's certificate authority, the program.
func (i *Installer) Sentry() string { return filepath.Join(i.dapr(), "sentry") }

// scratch makes an empty folder beside the caches, so that a finished one can
// be renamed into place and a half-finished one is never taken for a whole.
func (i *Installer) scratch(name string) (string, error) {
	if err := os.MkdirAll(i.Cache, 0o755); err != nil {
		return "", err
	}
	return os.MkdirTemp(i.Cache, name+"-partial-")
}

// Exists reports whether there is something at a path.
func Exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// PostgresBin is the folder of PostgreSQL's programs, the newest version's
// where there are several.
func PostgresBin() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(found) == 0 {
		return "", errors.New("PostgreSQL is not installed")
	}
	slices.SortFunc(found, func(a, b string) int {
		return major(strings.TrimPrefix(a, "/usr/lib/postgresql/")) - major(strings.TrimPrefix(b, "/usr/lib/postgresql/"))
	})
	return found[len(found)-1], nil
}
