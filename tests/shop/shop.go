package shop

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Patience is how long the shop may take for what it does in its own time. It is long because the tests share two
// processors with the whole stack.
const Patience = 60 * time.Second

// Shop is the running shop.
type Shop struct {
	Base     string            // where browsers find it
	Mail     string            // the inbox of all mails
	Run      string            // the stack's folder
	Settings map[string]string // of its settings.env
}

var (
	once   sync.Once
	opened *Shop
	failed error
)

// Open finds the shop that RUN_DIR names; without one the test fails.
func Open(t testing.TB) *Shop {
	t.Helper()
	if os.Getenv("RUN_DIR") == "" {
		t.Fatal("RUN_DIR is not set: no running shop to test (make test starts one)")
	}
	once.Do(func() { opened, failed = open(os.Getenv("RUN_DIR")) })
	require.NoError(t, failed)
	return opened
}

func open(run string) (*Shop, error) {
	run, err := filepath.Abs(run)
	if err != nil {
		return nil, err
	}
	settings, err := readSettings(filepath.Join(run, "settings.env"))
	if err != nil {
		return nil, err
	}
	s := &Shop{Base: os.Getenv("BASE_URL"), Mail: os.Getenv("MAIL_URL"), Run: run, Settings: settings}
	if s.Base == "" {
		s.Base = settings["PUBLIC_URL"]
	}
	if s.Mail == "" {
		s.Mail = "http://localhost:" + shift("1080", settings["PORT_OFFSET"])
	}
	return s, nil
}

// ReadSettings reads the settings again, which the test has had changed.
func (s *Shop) ReadSettings(t testing.TB) {
	t.Helper()
	settings, err := readSettings(filepath.Join(s.Run, "settings.env"))
	require.NoError(t, err)
	s.Settings = settings
}

// readSettings lets a shell read the file, which is written for one.
func readSettings(file string) (map[string]string, error) {
	shell := exec.Command("sh", "-c", `set -a; . "$1"; env -0`, "sh", file)
	shell.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := shell.Output()
	if err != nil {
		return nil, err
	}
	settings := map[string]string{}
	for _, line := range strings.Split(string(out), "\x00") {
		if key, value, ok := strings.Cut(line, "="); ok {
			settings[key] = value
		}
	}
	return settings, nil
}

// HoldTTL is how long this shop holds what is in a cart.
func (s *Shop) HoldTTL(t testing.TB) time.Duration {
	t.Helper()
	ttl, err := time.ParseDuration(s.Settings["HOLD_TTL"])
	require.NoError(t, err)
	return ttl
}

// Random returns 16 hexadecimal digits that nobody has used.
func Random() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// Eventually asks until done is true. While it is not, why says what is missing.
func Eventually(t testing.TB, limit time.Duration, ask func() (done bool, why string)) {
	t.Helper()
	begun := time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		done, why := ask()
		if done {
			return
		}
		if time.Since(begun) > limit {
			t.Fatalf("after %s still: %s", limit, why)
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("the test is over, and still: %s", why)
		case <-tick.C:
		}
	}
}

// transport keeps enough connections for two hundred shoppers.
var transport = &http.Transport{MaxIdleConns: 400, MaxIdleConnsPerHost: 400, IdleConnTimeout: 30 * time.Second}
