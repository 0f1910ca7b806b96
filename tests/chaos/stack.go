package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/stampede-shop/stampede/tests/shop"
)

// stack is the side of the shop that no client sees.
type stack struct{ *shop.Shop }

// process is a line of `make status`.
type process struct {
	Name     string    `json:"name"`
	PID      int       `json:"pid"` // 0 while it waits to be started again
	Since    time.Time `json:"since"`
	Restarts int       `json:"restarts"`
	Health   string    `json:"health"`
}

func (s stack) processes() ([]process, error) {
	text, err := os.ReadFile(filepath.Join(s.Run, "state.json"))
	if err != nil {
		return nil, err
	}
	var state struct {
		Processes []process `json:"processes"`
	}
	err = json.Unmarshal(text, &state)
	return state.Processes, err
}

func (s stack) process(name string) (process, error) {
	all, err := s.processes()
	if err != nil {
		return process{}, err
	}
	if i := slices.IndexFunc(all, func(p process) bool { return p.Name == name }); i >= 0 {
		return all[i], nil
	}
	return process{}, fmt.Errorf("no process is called %s", name)
}

// well reports whether a process says of itself that it is.
func (p process) well(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if address, ok := strings.CutPrefix(p.Health, "tcp:"); ok {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Health, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode/100 == 2
}

// family is a process with all below it: PostgreSQL's each lead a group of their own.
func family(pid int) []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		_, after, _ := strings.Cut(string(text[bytes.LastIndexByte(text, ')'):]), " ")
		fields := strings.Fields(after)
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if parent, err := strconv.Atoi(fields[1]); err == nil {
			children[parent] = append(children[parent], child)
		}
	}
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// signal reaches a process and all below it. One that is just being started again has nothing to be sent to.
func signal(pids []int, sig syscall.Signal) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, sig)
	}
}

// wire tells the proxies of the stack what to do.
func (s stack) wire(ctx context.Context, method, path string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://127.0.0.1:"+s.Port(8474)+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, answer)
	}
	return nil
}

// sql runs a statement as the superuser, past the proxies, and returns the rows.
func (s stack) sql(ctx context.Context, database, statement string) ([][]string, error) {
	u, err := url.Parse(s.Settings["POSTGRES_SUPERUSER_URL"])
	if err != nil {
		return nil, err
	}
	u.Path = "/" + database
	u.RawQuery = "connect_timeout=5"
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "psql", "-XAtq", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", statement, u.String())
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w %s", database, err, errs.String())
	}
	var rows [][]string
	for line := range strings.Lines(string(out)) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return rows, nil
}
