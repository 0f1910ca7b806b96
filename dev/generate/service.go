package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/stampede-shop/stampede/dapr/runfile"
)

// templates are the files of a new service. They end with .tmpl so that nobody
// takes them for a package.
//
//go:embed templates/service
var templates embed.FS

// appID is what an app id may be: it is also a folder, a program, a database, a
// role and, in capitals, the beginning of settings.
var appID = regexp.MustCompile(`^[a-z][a-z0-9]{1,30}$`)

// taken are names of programs and databases that are no services.
var taken = map[string]bool{"audit": true, "dev": true, "daprd": true, "state": true}

// scaffold makes apps/<id> and the few lines about it that are written by hand:
// its entry in dapr/dapr.yaml and its routes in deploy/routes.yaml.
func scaffold(root, id string) error {
	if !appID.MatchString(id) || strings.HasPrefix(id, "edge") {
		return fmt.Errorf("%q is no name for a service: small letters and digits, and it does not begin with edge", id)
	}
	folder := filepath.Join(root, "apps", id)
	if _, err := os.Stat(folder); err == nil {
		return fmt.Errorf("apps/%s is there already", id)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	containers, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	if err != nil {
		return err
	}
	if taken[id] || strings.Contains(string(containers), "\n  "+id+":\n") {
		return fmt.Errorf("%s is the name of something else", id)
	}
	runFile, err := addApp(filepath.Join(root, "dapr/dapr.yaml"), id)
	if err != nil {
		return err
	}
	routes, err := addRoutes(filepath.Join(root, "deploy/routes.yaml"), id)
	if err != nil {
		return err
	}
	const from = "templates/service"
	err = fs.WalkDir(templates, from, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(folder, filepath.FromSlash(strings.TrimSuffix(strings.TrimPrefix(file, from), ".tmpl")))
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		t, err := template.New(path.Base(file)).ParseFS(templates, file)
		if err != nil {
			return err
		}
		out, err := os.Create(to)
		if err != nil {
			return err
		}
		return errors.Join(t.Execute(out, map[string]string{"ID": id, "Upper": strings.ToUpper(id)}), out.Close())
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "dapr/dapr.yaml"), []byte(runFile), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, "deploy/routes.yaml"), []byte(routes), 0o644)
}

// addApp gives the text of dapr.yaml with one entry more, at the end, where its
// place is its number.
func addApp(file, id string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	apps, err := runfile.Parse(text)
	if err != nil {
		return "", err
	}
	for _, a := range apps {
		if a.ID == id {
			return "", fmt.Errorf("%s has an app %s already", file, id)
		}
	}
	n := len(apps) + 1
	return strings.TrimRight(string(text), "\n") + fmt.Sprintf(`
  - appID: %s
    appDirPath: ..
    appPort: %d
    daprHTTPPort: %d
    daprGRPCPort: %d
    daprInternalGRPCPort: %d
    metricsPort: %d
    configFilePath: dapr/config/%s.yaml
    command: [./.run/bin/%s]
`, id, 7100+n, 3500+n, 5600+n, 11700+n, 13800+n, id, id), nil
}

// addRoutes gives the text of routes.yaml with the routes of a new service,
// behind those of the others.
func addRoutes(file, id string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	lines := strings.SplitAfter(string(text), "\n")
	behind := func(begins, line string) error {
		for i := len(lines) - 1; i >= 0; i-- {
			if strings.HasPrefix(strings.ReplaceAll(lines[i], `"`, ""), begins) {
				lines = append(lines[:i+1], append([]string{line}, lines[i+1:]...)...)
				return nil
			}
		}
		return fmt.Errorf("%s has no line that begins with %q", file, begins)
	}
	admin := fmt.Sprintf("  - {path: /api/v1/admin/%s/**, app: %s, edge: edge-auth, methods: [GET, POST, PUT, PATCH, DELETE]}\n", id, id)
	if err := behind("  - {path: /api/v1/admin/", admin); err != nil {
		return "", err
	}
	for i := range lines { // the first of the administrators'
		if strings.HasPrefix(lines[i], "  - {path: /api/v1/admin/") {
			if i > 0 && strings.TrimSpace(lines[i-1]) == "" {
				i--
			}
			own := fmt.Sprintf("  - {path: /api/v1/%s/**, app: %s, edge: edge-auth, methods: [GET]}\n", id, id)
			lines = append(lines[:i], append([]string{own}, lines[i:]...)...)
			break
		}
	}
	return strings.Join(lines, ""), nil
}
