package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// registry is where the shop's own images claim to be from, as in the chart's values.
const registry = "docker.io/stampede/"

// searchPath is where the programs of an image of Debian's are.
const searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

var (
	nonroot = [2]int{65532, 65532} // of all images of ours (deploy/Dockerfile)
	jboss   = [2]int{1000, 0}      // of Keycloak's
)

// chartList is the part that is needed here of the list that `make generate` writes into the chart.
type chartList struct {
	Apps   map[string]any    `json:"apps"`
	Images map[string]string `json:"images"` // of servers, by role
}

func (c *Cluster) chartList() (list chartList, err error) {
	text, err := os.ReadFile(filepath.Join(c.Root, "deploy", "helm", "files", "shop.json"))
	if err != nil {
		return list, err
	}
	return list, json.Unmarshal(text, &list)
}

// build compiles what is in the shop's own images.
func (c *Cluster) build(ctx context.Context) error {
	return c.Out.Step(ctx, "apps", "building the apps", func(ctx context.Context) error {
		if err := os.MkdirAll(c.bin(""), 0o755); err != nil {
			return err
		}
		cmd := install.Go(ctx, "build", "-tags=nodynamic", "-ldflags=-s -w", "-o", c.bin("")+"/")
		cmd.Args = append(cmd.Args, "./apps/...", "./deploy/health")
		cmd.Dir, cmd.Env = c.Root, append(cmd.Env, "GOWORK=off")
		return supervise.Run(ctx, c.LogFile("build"), cmd)
	})
}

// bin is where a program for an image is, and where every stack has its apps: tests ask them what they document.
func (c *Cluster) bin(name string) string { return filepath.Join(c.Run, "bin", name) }

// images makes every image that the chart and Dapr's chart ask for. tag is the version of the shop's own, which changes with
// what is in them.
func (c *Cluster) images(ctx context.Context) (all []image, tag string, err error) {
	if err := c.build(ctx); err != nil {
		return nil, "", err
	}
	list, err := c.chartList()
	if err != nil {
		return nil, "", err
	}
	err = c.Out.Step(ctx, "images", "writing them, without an engine", func(context.Context) error {
		if err := os.MkdirAll(filepath.Join(c.Run, "images"), 0o755); err != nil {
			return err
		}
		ours, err := c.ownImages(list)
		if err != nil {
			return err
		}
		servers, err := c.serverImages(list)
		if err != nil {
			return err
		}
		var digests strings.Builder
		for _, i := range ours {
			digests.WriteString(i.digest())
		}
		tag = supervise.Digest(digests.String())
		for i := range ours {
			if !strings.Contains(ours[i].name, ":") {
				ours[i].name += ":" + tag
			}
		}
		all = append(ours, servers...)
		return nil
	})
	return all, tag, err
}

// layer writes a layer of this cluster.
func (c *Cluster) layer(name string, fill func(t *tree)) (layer, error) {
	return writeLayer(filepath.Join(c.Run, "images", name+".tar"), fill)
}

// ownImages are those of deploy/Dockerfile: of each app, of Dapr, of front and of Keycloak; and Dapr's control plane with the
// pause container, which stand on the same files. Those of the shop have no tag yet.
func (c *Cluster) ownImages(list chartList) (all []image, err error) {
	debian := filepath.Join(c.parts.debian(), "root")
	base, err := c.layer("base", func(t *tree) {
		t.copy(filepath.Join(debian, "etc/ssl/certs/ca-certificates.crt"), "/etc/ssl/certs/ca-certificates.crt", 0o444, root)
		t.copy(filepath.Join(debian, "usr/share/zoneinfo"), "/usr/share/zoneinfo", 0o444, root)
		t.text("/etc/passwd", "nonroot:x:65532:65532:nonroot:/:/sbin/nologin\n")
		t.text("/etc/group", "nonroot:x:65532:\n")
		t.dir("/tmp", 0o777|fs.ModeSticky, root)
		t.copy(c.bin("health"), "/health", 0o555, root)
	})
	if err != nil {
		return nil, err
	}
	// program makes an image of programs on that base. It starts the first.
	program := func(name string, files ...string) error {
		l, err := c.layer(strings.NewReplacer("/", "-", ":", "-").Replace(name), func(t *tree) {
			for i := 0; i < len(files); i += 2 {
				t.copy(files[i], files[i+1], 0o555, root)
			}
			if name == registry+"dapr" {
				t.dir("/media", 0o755, nonroot) // a volume for pictures takes its owner from here
			}
		})
		all = append(all, image{name: name, layers: []layer{base, l}, user: "65532:65532", entrypoint: []string{files[1]}})
		return err
	}
	for _, app := range slices.Sorted(maps.Keys(list.Apps)) {
		if err := program(registry+app, c.bin(app), "/service"); err != nil {
			return nil, err
		}
	}
	installer := c.Installer()
	if err := program(registry+"dapr", installer.Daprd(), "/daprd", installer.Sentry(), "/sentry"); err != nil {
		return nil, err
	}
	for _, name := range []string{"operator", "injector", "placement"} {
		if err := program(daprImage(name), filepath.Join(c.parts.controlPlane(), name), "/"+name); err != nil {
			return nil, err
		}
	}
	if err := program(daprImage("sentry"), installer.Sentry(), "/sentry"); err != nil {
		return nil, err
	}
	for _, s := range c.parts.scalerImages() {
		if err := program(s[0], s[1], s[2]); err != nil {
			return nil, err
		}
	}
	pause := image{name: pauseImage, layers: []layer{base}, user: "65532:65532", entrypoint: []string{"/health", "wait"}}

	front, err := c.stageImage("front", func(t *tree) {
		t.copy(c.standin("nginx.sh"), "/docker-entrypoint.sh", 0o555, root)
		for _, dir := range []string{"/media", "/srv/stampede", "/srv/stampede/static", "/srv/stampede/static/docs"} {
			t.dir(dir, 0o755, root)
		}
		t.dir("/keys", 0o755, [2]int{101, 101})
	})
	if err != nil {
		return nil, err
	}
	front.user, front.entrypoint, front.stop = "101", []string{"/docker-entrypoint.sh"}, "SIGQUIT" // what is in hand is finished

	keycloak, err := c.stageImage("keycloak", func(t *tree) {
		t.copy(installer.Keycloak(), "/opt/keycloak", 0o444, jboss)
		for _, dir := range []string{"data", "data/tmp", "data/transaction-logs"} {
			t.dir("/opt/keycloak/"+dir, 0o775, jboss)
		}
	})
	if err != nil {
		return nil, err
	}
	keycloak.user, keycloak.entrypoint = "1000:0", []string{"/opt/keycloak/bin/kc.sh"}
	return append(all, pause, front, keycloak), nil
}

// daprImage is what Dapr's chart calls an image of the control plane.
func daprImage(name string) string { return "ghcr.io/dapr/" + name + ":" + install.DaprVersion }

// pauseImage holds the namespaces of each pod.
const pauseImage = "docker.io/stampede/pause:1"

// standin is a file of those that stand in for images that cannot be had, as in `make compose-test`.
func (c *Cluster) standin(name string) string { return filepath.Join(c.Root, ".ci", "standins", name) }

// stageImage makes the image of a stage of deploy/Dockerfile, on Debian instead of what the stage names. below are the files
// of that.
func (c *Cluster) stageImage(name string, below func(t *tree)) (image, error) {
	debian, err := c.debianLayer()
	if err != nil {
		return image{}, err
	}
	text, err := os.ReadFile(filepath.Join(c.Root, "deploy", "Dockerfile"))
	if err != nil {
		return image{}, err
	}
	s, err := readStage(string(text), name)
	if err != nil {
		return image{}, fmt.Errorf("deploy/Dockerfile: %w", err)
	}
	l, err := c.layer(name, func(t *tree) {
		t.folders()
		below(t)
		for _, f := range s.files {
			from := filepath.Join(c.Root, filepath.FromSlash(f.from))
			at := f.to
			if !isDir(from) && strings.HasSuffix(at, "/") {
				at = path.Join(at, path.Base(f.from))
			}
			t.copy(from, at, f.mode, root)
		}
	})
	return image{name: registry + name, layers: []layer{debian, l}, env: append(s.env, searchPath), command: s.command}, err
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// folders are those of any system that the layer of Debian lacks.
func (t *tree) folders() {
	t.dir("/tmp", 0o777|fs.ModeSticky, root)
	for _, dir := range []string{"/dev", "/proc", "/run", "/sys"} {
		t.dir(dir, 0o755, root)
	}
}

// serverImages stand in for those of servers, made of Debian's packages.
func (c *Cluster) serverImages(list chartList) (all []image, err error) {
	debian, err := c.debianLayer()
	if err != nil {
		return nil, err
	}
	programs, err := filepath.Glob(filepath.Join(c.parts.debian(), "root/usr/lib/postgresql/*/bin"))
	if err != nil {
		return nil, err
	}
	if len(programs) != 1 {
		return nil, fmt.Errorf("the Debian root has %d versions of PostgreSQL, not one", len(programs))
	}
	postgres := strings.TrimPrefix(programs[0], filepath.Join(c.parts.debian(), "root"))
	maildev := strings.TrimSuffix(c.Installer().Maildev(), "/node_modules/maildev/dist/bin/maildev.js")
	for _, server := range []struct {
		role  string
		image image
		files func(t *tree)
	}{
		{"postgres", image{
			env:        []string{"PGDATA=/var/lib/postgresql/data", "POSTGRES_USER=postgres", searchPath + ":" + postgres},
			entrypoint: []string{"/docker-entrypoint.sh"},
			stop:       "SIGINT", // without waiting for its clients
		}, func(t *tree) {
			t.copy(c.standin("postgres.sh"), "/docker-entrypoint.sh", 0o555, root)
			t.dir("/var/lib/postgresql/data", 0o700, [2]int{999, 999})
		}},
		{"redis", image{env: []string{searchPath}}, func(t *tree) { t.dir("/data", 0o755, [2]int{999, 1000}) }},
		{"rabbitmq", image{
			env:     []string{"HOME=/var/lib/rabbitmq", "RABBITMQ_LOGS=-", strings.Replace(searchPath, "=", "=/usr/lib/rabbitmq/bin:", 1)},
			command: []string{"/usr/lib/rabbitmq/bin/rabbitmq-server"},
		}, func(*tree) {}},
		{"maildev", image{
			env:        []string{searchPath},
			entrypoint: []string{"node", "/home/node/node_modules/maildev/dist/bin/maildev.js"},
		}, func(t *tree) { t.copy(maildev, "/home/node", 0o444, root) }},
		// The developer's gateway, which tests/gateway holds to the same contract, at Kong's port.
		{"kong", image{
			env:        []string{searchPath, "RATE_TOKEN=60000", "RATE_ADDRESS=60000", "RATE_LOGIN=6000"}, // those of make up
			entrypoint: []string{"/docker-entrypoint.sh"},
			stop:       "SIGQUIT",
		}, func(t *tree) {
			t.copy(filepath.Join(c.Root, "deploy", "nginx"), "/opt/gateway", 0o444, root)
			t.copy(c.standin("kong.sh"), "/docker-entrypoint.sh", 0o555, root)
			t.copy(c.standin("kong.sh"), "/usr/local/bin/kong", 0o555, root)
		}},
	} {
		name, ok := list.Images[server.role]
		if !ok {
			return nil, fmt.Errorf("the chart names no image of %s", server.role)
		}
		if !strings.Contains(name, "/") {
			name = "library/" + name
		}
		l, err := c.layer(server.role, func(t *tree) {
			t.folders()
			server.files(t)
		})
		if err != nil {
			return nil, err
		}
		server.image.name, server.image.layers = "docker.io/"+name, []layer{debian, l}
		all = append(all, server.image)
	}
	return all, nil
}

// stage is what a stage of a Dockerfile lays over the image that it begins with, without what it runs.
type stage struct {
	files   []stageFile
	env     []string
	command []string
}

// stageFile is a file or folder of the clone and where it goes; a folder, when that ends in a slash.
type stageFile struct {
	from, to string
	mode     fs.FileMode // what all may do with it
}

// readStage reads a stage of a Dockerfile, as far as ours use what there is: COPY from the context, ARG with a default, ENV
// and CMD in brackets.
func readStage(text, name string) (s stage, err error) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	_, text, found := strings.Cut(text, " AS "+name+"\n")
	if !found {
		return s, fmt.Errorf("no stage %s", name)
	}
	text, _, _ = strings.Cut(text, "\nFROM ")
	var args []string // for a replacer
	for line := range strings.Lines(text) {
		words := strings.Fields(strings.NewReplacer(args...).Replace(line))
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "ARG":
			key, value, _ := strings.Cut(words[1], "=")
			args = append(args, "${"+key+"}", value)
		case "ENV":
			for _, word := range words[1:] {
				key, value, _ := strings.Cut(word, "=")
				s.env = append(s.env, key+"="+strings.Trim(value, `"`))
			}
		case "CMD":
			if err := json.Unmarshal([]byte(strings.TrimSpace(strings.TrimPrefix(line, "CMD"))), &s.command); err != nil {
				return s, fmt.Errorf("CMD of %s: %w", name, err)
			}
		case "COPY":
			mode := fs.FileMode(0o444)
			if words[1] == "--chmod=755" {
				mode, words = 0o755, words[1:]
			}
			if strings.HasPrefix(words[1], "--") {
				return s, fmt.Errorf("stage %s copies by %s, which nobody here understands", name, words[1])
			}
			last := len(words) - 1
			for _, from := range words[1:last] {
				s.files = append(s.files, stageFile{from: from, to: words[last], mode: mode})
			}
		}
	}
	return s, nil
}
