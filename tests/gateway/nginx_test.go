package gateway

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// nginx is a native Nginx of the test's own, configured from deploy/nginx and one folder of deploy/media.
type nginx struct {
	dir                  string
	front, gateway, keys string // addresses
	vars                 map[string]string
	cmd                  *exec.Cmd
}

var variable = regexp.MustCompile(`\$\{([A-Z][A-Z0-9_]*)\}`)

// newNginx renders the configuration with these variables on top of the usual ones, changed by edit, and starts it.
// With S3_SERVER among them pictures come out of a bucket.
func newNginx(t testing.TB, vars map[string]string, edit func(file, text string) string) *nginx {
	path, err := exec.LookPath("nginx")
	require.NoError(t, err, "nginx with its Lua module is needed here (make up installs it)")

	// Not t.TempDir: the workers run as another user, and folders above must let that in.
	dir, err := os.MkdirTemp("/var/tmp", "stampede-gateway-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { os.RemoveAll(dir) })

	n := &nginx{dir: dir, front: freeAddress(t), gateway: freeAddress(t), keys: freeAddress(t)}
	n.vars = map[string]string{
		"RUN_DIR": dir, "NGINX_USER": "www-data",
		"LISTEN_FRONT": n.front, "LISTEN_GATEWAY": n.gateway, "LISTEN_KEYS": n.keys,
		"PUBLIC_URL": "http://" + publicHost, "GATEWAY_SERVERS": "server " + n.gateway + ";",
		"DAPR_API_TOKEN": apiToken, "DROPS_KEY": dropsKey, "KEYCLOAK": "127.0.0.1:9", "KEYCLOAK_REALM": "stampede",
		"EDGE": "127.0.0.1:9", "EDGE_AUTH": "127.0.0.1:9", "EDGE_ADMIN": "127.0.0.1:9",
		"MEDIA_DIR": filepath.Join(dir, "media"), "STATIC_DIR": filepath.Join(dir, "static"),
		"ALLOWED_ORIGINS": strings.Join(origins, " "),
		"RATE_TOKEN":      fmt.Sprint(rates.token), "RATE_ADDRESS": fmt.Sprint(rates.address),
		"RATE_LOGIN": fmt.Sprint(rates.login), "RATE_FRONT": "60000",
	}
	for name, value := range vars {
		n.vars[name] = value
	}
	require.NoError(t, os.Mkdir(n.vars["MEDIA_DIR"], 0o755))
	require.NoError(t, os.Mkdir(n.vars["STATIC_DIR"], 0o755))
	n.render(t, edit)

	n.start(t, path)
	t.Cleanup(func() { n.stop() })
	return n
}

// render does what deploy/nginx/README.md says.
func (n *nginx) render(t testing.TB, edit func(file, text string) string) {
	media := "../../deploy/media/folder"
	if n.vars["S3_SERVER"] != "" {
		media = "../../deploy/media/s3"
	}
	for _, source := range []string{"../../deploy/nginx", media} {
		n.renderFolder(t, source, edit)
	}
}

func (n *nginx) renderFolder(t testing.TB, source string, edit func(file, text string) string) {
	require.NoError(t, filepath.WalkDir(source, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target, _ := filepath.Rel(source, path)
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(n.dir, target), 0o755)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text := string(raw)
		if edit != nil {
			text = edit(target, text)
		}
		if trimmed, ok := strings.CutSuffix(target, ".template"); ok {
			target = trimmed
			text = variable.ReplaceAllStringFunc(text, func(found string) string {
				value, ok := n.vars[found[2:len(found)-1]]
				require.True(t, ok, "%s in %s has no value", found, path)
				return value
			})
		}
		return os.WriteFile(filepath.Join(n.dir, target), []byte(text), 0o644)
	}))
}

func (n *nginx) start(t testing.TB, path string) {
	log, err := os.Create(filepath.Join(n.dir, "error.log"))
	require.NoError(t, err)
	defer log.Close()
	n.cmd = exec.Command(path, "-p", n.dir, "-c", filepath.Join(n.dir, "nginx.conf"), "-e", "stderr")
	n.cmd.Stderr = log
	require.NoError(t, n.cmd.Start())
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", n.keys)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("nginx does not come up:\n%s", text)
		}
	}
}

func (n *nginx) stop() {
	if n.cmd != nil {
		n.cmd.Process.Signal(syscall.SIGTERM)
		n.cmd.Wait()
		n.cmd = nil
	}
}

// freeAddress gives a loopback address outside the range from which the system takes ports for clients.
func freeAddress(t testing.TB) string {
	for port := int(lastPort.Add(1)); port < 32000; port = int(lastPort.Add(1)) {
		if listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			listener.Close()
			return listener.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}
