// Package statetest gives tests a real sidecar over a real state store: daprd
// with a Redis of its own, started once a test process from what `make infra`
// installs, and ended with it.
package statetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/serve"
)

var (
	once    sync.Once
	failure error
	// lifeline is our end of the watching shell's pipe, held so that it is not
	// collected, which would close it.
	lifeline io.WriteCloser
	sidecar  atomic.Pointer[string] // its address for gRPC
)

// Sidecar is the address (host:port) at which the sidecar answers gRPC, or one
// at which nobody does when none was started.
func Sidecar() string {
	if address := sidecar.Load(); address != nil {
		return *address
	}
	return "127.0.0.1:1"
}

// Start starts the sidecar and makes it that of every runtime that this process
// makes from now on (servetest.NewTest), calls to neighbours excepted: those are
// for servetest.Neighbour. Only the first call starts anything.
func Start(t testing.TB, app string) {
	t.Helper()
	once.Do(func() { failure = start(app) })
	require.NoError(t, failure, "a sidecar for tests")
}

func start(app string) error {
	daprd, err := findDaprd()
	if err != nil {
		return err
	}
	redis, err := exec.LookPath("redis-server")
	if err != nil {
		return errors.New("no redis-server in PATH: `make infra` installs one")
	}
	dir, err := os.MkdirTemp("", "statetest")
	if err != nil {
		return err
	}
	ports, err := freePorts(4)
	if err != nil {
		return err
	}
	component := "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: " + serve.State + "\nspec:\n  type: state.redis\n  version: v1\n  metadata:\n" +
		"    - name: redisHost\n      value: 127.0.0.1:" + ports[0] + "\n    - name: keyPrefix\n      value: appid\n"
	if err := os.WriteFile(filepath.Join(dir, "state.yaml"), []byte(component), 0o600); err != nil {
		return err
	}
	// The shell lives until our pipe closes, however we end, then stops both
	// and removes their folder. daprd ends when its store is not there yet.
	script := `cd "$1" || exit
"$2" --bind 127.0.0.1 --port "$4" --save '' --appendonly no >redis.log 2>&1 & redis=$!
until (exec 3<>/dev/tcp/127.0.0.1/"$4") 2>/dev/null; do kill -0 $redis || exit; sleep 0.05; done
"$3" --app-id "$0" --resources-path "$1" --dapr-listen-addresses 127.0.0.1 --dapr-internal-grpc-listen-address 127.0.0.1 \
	--dapr-http-port "$5" --dapr-grpc-port "$6" --dapr-internal-grpc-port "$7" --enable-metrics=false --log-level warn >daprd.log 2>&1 & daprd=$!
cat >/dev/null; kill -9 $daprd $redis; wait; cd /; rm -rf "$1"`
	shell := exec.Command("bash", "-c", script, app, dir, redis, daprd, ports[0], ports[1], ports[2], ports[3])
	if lifeline, err = shell.StdinPipe(); err != nil {
		return err
	}
	if err := shell.Start(); err != nil {
		return err
	}
	address := "127.0.0.1:" + ports[2]
	client, err := dapr.At(address, "127.0.0.1:"+ports[1], "")
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for {
		if _, _, err = client.GetState(ctx, serve.State, "ready"); err == nil {
			sidecar.Store(&address)
			return nil
		}
		if ctx.Err() != nil {
			log, _ := os.ReadFile(filepath.Join(dir, "daprd.log"))
			return fmt.Errorf("daprd did not start: %w: %s", err, log)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// findDaprd finds an installed daprd, or the newest that `make infra` has built.
func findDaprd() (string, error) {
	if path, err := exec.LookPath("daprd"); err == nil {
		return path, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	var newest string
	var at time.Time
	built, _ := filepath.Glob(filepath.Join(cache, "stampede", "dapr-*", "daprd"))
	for _, path := range built {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(at) {
			newest, at = path, info.ModTime()
		}
	}
	if newest == "" {
		return "", errors.New("no daprd in PATH, nor in " + filepath.Join(cache, "stampede") + ": `make infra` builds one")
	}
	return newest, nil
}

// freePorts returns ports that nobody listens on now.
func freePorts(n int) (ports []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return ports, nil
}
